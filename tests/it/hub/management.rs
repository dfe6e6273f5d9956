//! What a team sees and decides of its packages.

use std::sync::{Arc, Mutex};

use reqwest::Method;
use serde_json::{Value, json};

use super::client::{Package, TestHub, good, refused, sweep_at_start, text, wait_until};

fn names(page: &Value) -> Vec<String> {
    page["records"].as_array().unwrap().iter().map(|record| text(record, "name")).collect()
}

async fn from_portal<'a>(hub: &'a TestHub, subdomain: &str, name: &str) -> Package<'a> {
    let portal = good(hub.request(Method::GET, &format!("/v1/subdomains/portals/{subdomain}"))).await;
    let path = format!("/v1/portals/{}/packages", text(&portal, "id"));
    let body = json!({ "name": name, "sender": "camera@example.com" });
    let answer = good(hub.request(Method::POST, &path).json(&body)).await;
    Package { hub, id: text(&answer, "id"), token: text(&answer, "access_token") }
}

/// Case: lists of packages by page, status, name, sender and tag, and the inbox apart from them.
#[tokio::test]
async fn packages_are_listed_in_pages_by_name_state_sender_and_tag() {
    let hub = TestHub::start().await;
    for (name, tag) in [("Alpha", "red"), ("beta", "red"), ("Gamma", "blue")] {
        hub.new_package(json!({ "name": name, "tag": { "name": tag }, "sender": format!("{name}@example.com") })).await;
    }
    hub.sent_package(json!({ "name": "Delta" }), b"x").await;
    from_portal(&hub, "open", "Portal").await;
    let list = async |query: &str| {
        good(hub.team_request(Method::GET, &format!("/v1.1/teams/{}/packages?{query}", hub.team))).await
    };
    let all = list("sort=name").await;
    assert_eq!(
        (names(&all), &all["metadata"]["total"]),
        (vec!["Alpha".into(), "beta".into(), "Delta".into(), "Gamma".into()], &json!(4))
    );
    assert_eq!(names(&list("sort=-name&page=2&limit=3").await), ["Alpha"]);
    assert_eq!(names(&list("").await)[0], "Delta", "newest first");
    assert_eq!(names(&list("status=finalized,expired").await), ["Delta"]);
    assert_eq!(names(&list("name=A&sort=name&status=new").await), ["Alpha", "beta", "Gamma"]);
    assert_eq!(names(&list("sender=BETA").await), ["beta"]);
    let tags = good(hub.team_request(Method::GET, &format!("/v1/teams/{}/tags", hub.team))).await;
    let red = tags.as_array().unwrap().iter().find(|tag| tag["name"] == "red").unwrap();
    assert_eq!(names(&list(&format!("sort=name&tags={}", text(red, "id"))).await), ["Alpha", "beta"]);
    let inbox = good(hub.team_request(Method::GET, &format!("/v1.1/teams/{}/inbox", hub.team))).await;
    assert_eq!(
        (names(&inbox), text(&inbox["records"][0]["portal"], "subdomain")),
        (vec!["Portal".into()], "open".into())
    );
    let one = format!("/v1.1/teams/{}/packages/{}", hub.team, text(&all["records"][2], "id"));
    let token = text(&good(hub.team_request(Method::GET, &one)).await, "access_token");
    let files = format!("/v1/packages/{}/files", text(&all["records"][2], "id"));
    good(hub.request(Method::GET, &files).header("X-Package-Token", token)).await;
    refused(hub.request(Method::GET, &one), 401).await;
}

/// Case: a link that is switched off, over, locked or removed answers with 404, 410, 401 and 404.
#[tokio::test]
async fn links_are_listed_changed_and_removed() {
    let hub = TestHub::start().await;
    let package = hub.sent_package(json!({ "name": "Linked" }), b"x").await;
    let link = package.new_link(json!({ "access_limit": 1 })).await;
    let other = package.new_link(json!({})).await;
    let listed = good(package.request(Method::GET, "/links")).await;
    assert_eq!(listed.as_array().unwrap().len(), 2);
    let open = || {
        hub.request(Method::GET, &format!("/v1/links/{}?secret={}", text(&link, "id"), text(&link, "download_secret")))
    };
    let path = format!("/v1/links/{}", text(&link, "id"));
    let change = async |body: Value| {
        good(hub.request(Method::PUT, &path).header("X-Package-Token", &package.token).json(&body)).await
    };
    assert_eq!(change(json!({ "active": false })).await["active"], false);
    refused(open(), 404).await;
    change(json!({ "active": true, "expiry": "2020-01-01T00:00:00Z" })).await;
    refused(open(), 410).await;
    change(json!({ "expiry": "0001-01-01T00:00:00.000Z", "password": "p" })).await;
    refused(open(), 401).await;
    let changed = change(json!({ "password": "", "access_limit": 0 })).await;
    assert_eq!((&changed["access_limit"], &changed["has_password"]), (&json!(0), &json!(false)));
    good(open()).await;
    refused(hub.request(Method::PUT, &path).json(&json!({ "active": false })), 401).await;
    let removed = package.request(Method::DELETE, &format!("/links/{}", text(&link, "id"))).send().await.unwrap();
    assert_eq!(removed.status(), 204);
    refused(open(), 404).await;
    assert_eq!(good(package.request(Method::GET, "/links")).await[0]["id"], other["id"]);
}

#[tokio::test]
async fn a_link_for_an_address_is_mailed_when_its_package_is_closed() {
    let hub = TestHub::start().await;
    let package = hub.new_package(json!({ "name": "Later" })).await;
    package.new_link(json!({ "email": "early@example.com" })).await;
    refused(package.request(Method::POST, "/links").json(&json!({ "email": "nobody" })), 400).await;
    package.send("", "a", &[b"a"]).await;
    assert_eq!(hub.mails().len(), 0);
    good(package.request(Method::POST, "/finalize")).await;
    wait_until(|| (hub.mails().len() == 1).then_some(())).await;
    package.new_link(json!({ "email": "late@example.com" })).await;
    wait_until(|| (hub.mails().len() == 2).then_some(())).await;
}

/// Case: a portal sender's token makes no links and sets no expiry; only the portal's team does.
#[tokio::test]
async fn a_stranger_who_sends_to_a_portal_gives_the_package_to_nobody_else() {
    let hub = TestHub::start().await;
    let package = from_portal(&hub, "open", "Mine").await;
    refused(package.request(Method::POST, "/links").json(&json!({ "email": "spam@example.com" })), 403).await;
    let expiry = json!({ "unlimited_storage": true });
    refused(package.request(Method::PUT, "/expiry").json(&expiry), 403).await;
    let path = format!("/v1/packages/{}", package.id);
    good(hub.team_request(Method::POST, &format!("{path}/links"))).await;
    good(hub.team_request(Method::PUT, &format!("{path}/expiry")).json(&expiry)).await;
}

/// Case: names of portals in any case of letters are one name; a code that was changed counts at once.
#[tokio::test]
async fn portals_are_made_changed_closed_and_removed() {
    let hub = TestHub::start().await;
    let portals = format!("/v1/teams/{}/portals", hub.team);
    let body = json!({
        "name": "VFX", "subdomain": "VFX", "recipients": ["vfx@example.com"], "has_access_code": true, "access_code": "one",
        "custom_expiry_days": -1, "message": "Welcome", "active": true,
    });
    let portal = good(hub.team_request(Method::POST, &portals).json(&body)).await;
    assert_eq!(
        (text(&portal, "subdomain"), &portal["has_access_code"], &portal["custom_expiry_days"]),
        ("vfx".into(), &json!(true), &json!(-1))
    );
    refused(hub.team_request(Method::POST, &portals).json(&body), 409).await;
    for bad in [
        json!({ "name": "x" }),
        json!({ "name": "x", "subdomain": "a b" }),
        json!({ "subdomain": "x1" }),
        json!({ "name": "x", "subdomain": "x1", "has_access_code": true }),
    ] {
        refused(hub.team_request(Method::POST, &portals).json(&bad), 400).await;
    }
    let path = format!("/v1/portals/{}", text(&portal, "id"));
    let send = |code: &str| {
        let body = json!({ "name": "p", "sender": "a@example.com", "access_code": code });
        hub.request(Method::POST, &format!("{path}/packages")).json(&body)
    };
    good(send("one")).await;
    let change = async |body: Value| good(hub.team_request(Method::PUT, &path).json(&body)).await;
    let changed = change(json!({ "name": "Effects", "subdomain": "vfx", "access_code": "two" })).await;
    assert_eq!((text(&changed, "name"), text(&changed, "message")), ("Effects".into(), "Welcome".into()));
    refused(send("one"), 401).await;
    good(send("two")).await;
    change(json!({ "has_access_code": false, "active": false })).await;
    refused(send(""), 403).await;
    let shown = good(hub.team_request(Method::GET, &format!("/v1.1/portals/{}", text(&portal, "id")))).await;
    assert_eq!((&shown["active"], &shown["recipients"]), (&json!(false), &json!(["vfx@example.com"])));
    let listed = good(hub.team_request(Method::GET, &format!("/v1.1/teams/{}/portals?sort=name", hub.team))).await;
    assert_eq!(names(&listed), ["Closed house", "Effects", "Open house"]);
    refused(hub.request(Method::DELETE, &path), 401).await;
    assert_eq!(hub.team_request(Method::DELETE, &path).send().await.unwrap().status(), 204);
    refused(hub.request(Method::GET, "/v1/subdomains/portals/vfx"), 404).await;
}

/// Case: a file that is announced small is sent larger: refused at the first byte beyond what was announced.
#[tokio::test]
async fn a_portal_takes_what_its_restrictions_allow() {
    let hub = TestHub::start().await;
    let portal = good(hub.request(Method::GET, "/v1/subdomains/portals/open")).await;
    let restrictions = json!({
        "file_type_restriction_enabled": true, "file_types": [".mov"], "package_size_restriction_enabled": true,
        "max_file_size": 10, "max_file_count": 2, "max_package_size": 15,
    });
    good(hub.team_request(Method::PUT, &format!("/v1/portals/{}", text(&portal, "id"))).json(&restrictions)).await;
    let package = from_portal(&hub, "open", "Restricted").await;
    let announce =
        |name: &str, size: u64| package.request(Method::POST, "/files").json(&json!({ "name": name, "size": size }));
    refused(announce("a.exe", 1), 403).await;
    refused(announce("a.mov", 11), 403).await;
    let file = package.announce("", "a.mov", 5).await;
    let url = package.addresses(&file, 0, 1).await.remove(0);
    let more = hub.request(Method::PUT, &url).body(vec![0; 11]).send().await.unwrap();
    assert_eq!(more.status(), 400, "more than announced");
    assert_eq!(package.finalize_file(&file, 11, &[]).await.status(), 400);
    package.send("", "b.mov", &[&[0; 10]]).await;
    refused(announce("c.mov", 1), 403).await;
}

/// Options of portals that the hub does not have got a 201 and were dropped.
#[tokio::test]
async fn a_portal_closes_at_its_time_and_what_it_can_not_hold_is_refused() {
    let hub = TestHub::start().await;
    let portal = text(&good(hub.request(Method::GET, "/v1/subdomains/portals/open")).await, "id");
    let set = |body: Value| hub.team_request(Method::PUT, &format!("/v1/portals/{portal}")).json(&body);
    refused(set(json!({ "expiry_enabled": true })), 400).await;
    refused(set(json!({ "expiry_enabled": true, "expiry": "soon" })), 400).await;
    let shown = good(set(json!({ "expiry_enabled": true, "expiry": "2999-01-01" }))).await;
    assert_eq!((&shown["active"], text(&shown, "expiry")), (&json!(true), "2999-01-01T00:00:00.000Z".into()));
    from_portal(&hub, "open", "In time").await;
    let shown = good(set(json!({ "expiry": "2020-01-01T00:00:00Z" }))).await;
    assert_eq!(shown["active"], false);
    let send = json!({ "name": "Late", "sender": "dit@example.com" });
    let late = || hub.request(Method::POST, &format!("/v1/portals/{portal}/packages")).json(&send);
    assert_eq!(refused(late(), 403).await, "the portal is closed");
    let page = hub.request(Method::GET, "/portals/open").send().await.unwrap().text().await.unwrap();
    assert!(page.contains("This portal is closed"));
    // Other changes leave it as it is.
    assert_eq!(good(set(json!({ "message": "Hello" }))).await["active"], false);
    assert_eq!(good(set(json!({ "expiry_enabled": false }))).await["active"], true);
    good(late()).await;
    for asked in [
        json!({ "user_authentication_required": true }),
        json!({ "download_user_authentication_required": true }),
        json!({ "package_name_format_enabled": true }),
        json!({ "terms_of_service_enabled": true }),
        json!({ "access_level": "private" }),
    ] {
        let (name, _) = asked.as_object().unwrap().iter().next().unwrap();
        let said = refused(set(asked.clone()), 400).await;
        assert!(said.starts_with(name), "{said}");
    }
    good(set(json!({ "user_authentication_required": false, "access_level": "regular" }))).await;
}

/// Case: a package without an end, one whose time is over, and the links of both.
#[tokio::test]
async fn expiry_is_set_and_what_is_over_is_emptied() {
    let hub = TestHub::start().await;
    let package = hub.sent_package(json!({ "name": "Over", "custom_expiry_days": 3 }), &[1; 100_000]).await;
    let link = package.new_link(json!({})).await;
    let open = format!("/v1/links/{}?secret={}", text(&link, "id"), text(&link, "download_secret"));
    assert!(!text(&good(hub.request(Method::GET, &open)).await, "expiry").starts_with("0001"));
    refused(package.request(Method::PUT, "/expiry").json(&json!({})), 400).await;
    let kept = good(package.request(Method::PUT, "/expiry").json(&json!({ "unlimited_storage": true }))).await;
    assert!(text(&kept, "expiry").starts_with("0001"));
    let past = json!({ "unlimited_storage": false, "expiry": "2020-01-01T00:00:00Z" });
    good(package.request(Method::PUT, "/expiry").json(&past)).await;
    refused(hub.request(Method::GET, &open), 410).await;
    let path = format!("/v1.1/teams/{}/packages?status=expired", hub.team);
    drop(package);
    let folder = hub.stop().await;
    let hub = TestHub::start_in(folder, |config| config.trash_days = 0).await;
    wait_until(|| hub.stored_files().is_empty().then_some(())).await;
    assert_eq!(names(&good(hub.team_request(Method::GET, &path)).await), ["Over"]);
    refused(hub.request(Method::GET, &open), 410).await;
}

#[tokio::test]
async fn what_a_crash_left_in_the_storage_goes_into_the_trash_and_nothing_else() {
    let hub = TestHub::start().await;
    let package = hub.sent_package(json!({ "name": "Kept" }), &[1; 100_000]).await;
    let kept = hub.stored_files();
    let storage = hub.data().join("storage");
    let gone = storage.join("01ARZ3NDEKTSV4RRFFQ69G5FAV");
    std::fs::create_dir(&gone).unwrap();
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(100_000);
    let leave = |path: std::path::PathBuf, old_one: bool| {
        let file = std::fs::File::create(path).unwrap();
        if old_one {
            file.set_modified(old).unwrap();
        }
    };
    leave(storage.join(&package.id).join("F.1.00ff.tmp"), true);
    leave(storage.join(&package.id).join("F.2.00ff.tmp"), false);
    leave(gone.join("F.1.00ff"), true);
    let part = std::fs::File::options().append(true).open(storage.join(&package.id).join(&kept[0])).unwrap();
    part.set_modified(old).unwrap();
    drop((part, package));
    let folder = hub.stop().await;
    sweep_at_start(&folder.path().join("data"));
    let hub = TestHub::start_in(folder, |_| {}).await;
    wait_until(|| {
        let mut left = hub.stored_files();
        left.retain(|name| *name != "F.2.00ff.tmp");
        let gone = !hub.data().join("storage/01ARZ3NDEKTSV4RRFFQ69G5FAV").exists();
        (gone && left == kept).then_some(())
    })
    .await;
    assert_eq!(hub.stored_files().len(), 2, "what may still be arriving stays");
    assert!(hub.trashed_files().contains(&"F.1.00ff".to_owned()), "what nothing points to is kept for days");
}

#[tokio::test]
async fn webhooks_are_called_again_until_they_answer() {
    type Seen = Arc<Mutex<Vec<(String, Value)>>>;
    let seen: Seen = Seen::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let router = axum::Router::new()
        .route(
            "/hook",
            axum::routing::post(
                async |axum::extract::State(seen): axum::extract::State<Seen>,
                       headers: axum::http::HeaderMap,
                       axum::Json(body): axum::Json<Value>| {
                    let mut seen = seen.lock().unwrap();
                    seen.push((headers["x-secret"].to_str().unwrap().to_owned(), body));
                    if seen.len() == 1 { 500_u16 } else { 200 }.try_into().unwrap_or(axum::http::StatusCode::OK)
                },
            ),
        )
        .with_state(Arc::clone(&seen));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let hub = TestHub::start().await;
    let hooks = format!("/v1/teams/{}/custom_webhooks", hub.team);
    let body = json!({
        "name": "Mam", "url": url, "events": ["package.finalized"], "headers": { "X-Secret": "s" }, "body_extras": { "site": "A" },
    });
    let hook = good(hub.team_request(Method::POST, &hooks).json(&body)).await;
    assert!(!hook.to_string().contains("\"s\""));
    refused(
        hub.team_request(Method::POST, &hooks).json(&json!({ "url": "file:///x", "events": ["package.created"] })),
        400,
    )
    .await;
    refused(hub.team_request(Method::POST, &hooks).json(&json!({ "url": url, "events": ["other"] })), 400).await;
    let package = hub.sent_package(json!({ "name": "Told" }), b"x").await;
    wait_until(|| (seen.lock().unwrap().len() == 1).then_some(())).await;
    let database = hub.data().join("hub.db");
    wait_until(|| {
        let connection = rusqlite::Connection::open(&database).unwrap();
        let due = connection.execute("UPDATE webhook_call SET due_at = 0 WHERE problem IS NOT NULL", []).unwrap();
        (due == 1).then_some(())
    })
    .await;
    hub.new_package(json!({ "name": "Wakes the outbox" })).await;
    wait_until(|| (seen.lock().unwrap().len() == 2).then_some(())).await;
    let (secret, told) = seen.lock().unwrap()[1].clone();
    assert_eq!((secret.as_str(), &told["event_type"], &told["site"]), ("s", &json!("package.finalized"), &json!("A")));
    assert_eq!((&told["object"]["id"], &told["object"]["state"]), (&json!(package.id), &json!("finalized")));
    let path = format!("{hooks}/{}", text(&hook, "id"));
    assert_eq!(good(hub.team_request(Method::PUT, &path).json(&json!({ "active": false }))).await["active"], false);
    assert_eq!(good(hub.team_request(Method::GET, &hooks)).await.as_array().unwrap().len(), 1);
    assert_eq!(hub.team_request(Method::DELETE, &path).send().await.unwrap().status(), 204);
}

#[tokio::test]
async fn members_and_activities_are_shown_and_roles_hold() {
    let hub = TestHub::start().await;
    let password = secrecy::SecretString::from("correct horse");
    hub.hub.put_user("Team", "ed@example.com", "Ed", &password, masv_hub::Role::Sender).await.unwrap();
    let members = good(hub.team_request(Method::GET, &format!("/v1/teams/{}/members", hub.team))).await;
    assert_eq!((&members[0]["email"], &members[0]["role"]), (&json!("ed@example.com"), &json!("sender")));
    let session = good(
        hub.request(Method::POST, "/v1/auth").json(&json!({ "email": "ed@example.com", "password": "correct horse" })),
    )
    .await;
    let portal = json!({ "name": "x", "subdomain": "x1" });
    let path = format!("/v1/teams/{}/portals", hub.team);
    refused(hub.request(Method::POST, &path).header("X-User-Token", text(&session, "token")).json(&portal), 403).await;
    hub.sent_package(json!({ "name": "Done" }), b"x").await;
    let path = format!("/v1.1/teams/{}/activities", hub.team);
    let activities = good(hub.team_request(Method::GET, &path)).await;
    assert_eq!(activities["metadata"]["total"], 1);
    assert_eq!(
        (&activities["records"][0]["event_type"], &activities["records"][0]["state"]),
        (&json!("package.finalized"), &json!("complete"))
    );
    let none = good(hub.team_request(Method::GET, &format!("{path}?activity_types=link_generation"))).await;
    assert_eq!(none["metadata"]["total"], 0);
}

/// Case: after ten wrong guesses at the password of a link the right one is refused as well, with a time to wait.
#[tokio::test]
async fn passwords_can_not_be_guessed_for_long() {
    let hub = TestHub::start().await;
    let package = hub.sent_package(json!({ "name": "Guess", "password": "right" }), b"x").await;
    let link = package.new_link(json!({})).await;
    let open = format!("/v1/links/{}?secret={}", text(&link, "id"), text(&link, "download_secret"));
    for _ in 0..10 {
        refused(hub.request(Method::GET, &open).header("X-Link-Password", "wrong"), 401).await;
    }
    let answer = hub.request(Method::GET, &open).header("X-Link-Password", "right").send().await.unwrap();
    assert_eq!(answer.status(), 429);
    assert!(answer.headers().contains_key("retry-after"));
}
