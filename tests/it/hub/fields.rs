//! What clients of the service send and ask for: held, or refused by its name; and lists as the service has them.

use std::sync::{Arc, Mutex};

use axum::extract::State;
use reqwest::Method;
use serde_json::{Value, json};

use super::client::{Package, TestHub, good, refused, text, wait_until};

async fn portal_of(hub: &TestHub, subdomain: &str) -> String {
    text(&good(hub.request(Method::GET, &format!("/v1/subdomains/portals/{subdomain}"))).await, "id")
}

/// A package that somebody sends to a portal, and closes.
async fn deliver<'a>(hub: &'a TestHub, portal: &str, body: Value) -> Package<'a> {
    let answer = good(hub.request(Method::POST, &format!("/v1/portals/{portal}/packages")).json(&body)).await;
    let package = Package { hub, id: text(&answer, "id"), token: text(&answer, "access_token") };
    package.send("", "a.mov", &[b"a"]).await;
    good(package.request(Method::POST, "/finalize")).await;
    package
}

/// A portal's `cc_recipients` got a 201 and no mail; receipts could not be switched off.
#[tokio::test]
async fn those_in_copy_are_told_without_a_link_and_receipts_can_be_switched_off() {
    let hub = TestHub::start().await;
    let portal = portal_of(&hub, "open").await;
    let settings = json!({
        "cc_recipients": ["producer@example.com", "INGEST@example.com"], "disable_upload_receipt": true,
        "metadata_fields": [{ "name": "reel", "label": "Reel" }],
    });
    let path = format!("/v1/portals/{portal}");
    let changed = good(hub.team_request(Method::PUT, &path).json(&settings)).await;
    assert_eq!(changed["cc_recipients"], json!(["producer@example.com", "INGEST@example.com"]));
    assert_eq!(changed["disable_upload_receipt"], true);
    let body = json!({ "name": "Rushes", "sender": "dit@example.com", "custom_metadata": { "reel": "A001" } });
    deliver(&hub, &portal, body.clone()).await;
    let mails = wait_until(|| Some(hub.mails()).filter(|mails| mails.len() >= 2)).await;
    let to = |address: &str| mails.iter().filter(|mail| mail.contains(&format!("\r\nTo: {address}\r\n"))).count();
    assert_eq!(
        (to("ingest@example.com"), to("producer@example.com"), to("dit@example.com"), mails.len()),
        (1, 1, 0, 2)
    );
    let copy = mails.iter().find(|mail| mail.contains("To: producer@example.com")).unwrap();
    assert!(copy.contains("Reel: A001") && copy.contains("This is a copy") && !copy.contains("secret"), "{copy}");
    // What was begun is delivered as the portal was then.
    let begun = good(hub.request(Method::POST, &format!("{path}/packages")).json(&body)).await;
    let package = Package { hub: &hub, id: text(&begun, "id"), token: text(&begun, "access_token") };
    assert_eq!(hub.team_request(Method::DELETE, &path).send().await.unwrap().status(), 204);
    package.send("", "b.mov", &[b"b"]).await;
    good(package.request(Method::POST, "/finalize")).await;
    let mails = wait_until(|| Some(hub.mails()).filter(|mails| mails.len() >= 4)).await;
    assert_eq!(mails.iter().filter(|mail| mail.contains("To: producer@example.com")).count(), 2);
}

type Seen = Arc<Mutex<Vec<Value>>>;

/// Where webhooks lead, and what has arrived there.
async fn receiver() -> (String, Seen) {
    let seen = Seen::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let take = async |State(seen): State<Seen>,
                      axum::extract::Path(to): axum::extract::Path<String>,
                      body: axum::Json<Value>| {
        let mut told = body.0;
        told["to"] = json!(to);
        seen.lock().unwrap().push(told);
    };
    let router = axum::Router::new().route("/{to}", axum::routing::post(take)).with_state(Arc::clone(&seen));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (format!("http://{address}"), seen)
}

/// A webhook could not be attached to a portal: every webhook was called for all packages of the team.
#[tokio::test]
async fn a_webhook_of_a_portal_is_called_for_that_portal_only_also_when_the_portal_is_removed() {
    let hub = TestHub::start().await;
    let (base, seen) = receiver().await;
    let hooks = format!("/v1/teams/{}/custom_webhooks", hub.team);
    let make = async |to: &str| {
        let body = json!({ "name": to, "url": format!("{base}/{to}"), "method": "POST", "events": ["package.finalized"], "active": true });
        text(&good(hub.team_request(Method::POST, &hooks).json(&body)).await, "id")
    };
    let (of_all, of_portal) = (make("all").await, make("portal").await);
    let portal = portal_of(&hub, "open").await;
    let path = format!("/v1/portals/{portal}");
    let unknown = json!({ "custom_webhooks": [{ "id": "01ARZ3NDEKTSV4RRFFQ69G5FAV" }] });
    let said = refused(hub.team_request(Method::PUT, &path).json(&unknown), 400).await;
    assert!(said.starts_with("custom_webhooks: "), "{said}");
    let attached =
        good(hub.team_request(Method::PUT, &path).json(&json!({ "custom_webhooks": [{ "id": of_portal }] }))).await;
    assert_eq!(attached["custom_webhooks"], json!([{ "id": of_portal }]));
    let listed = good(hub.team_request(Method::GET, &hooks)).await;
    let portals =
        |id: &str| listed.as_array().unwrap().iter().find(|hook| hook["id"] == id).unwrap()["portals"].clone();
    assert_eq!((portals(&of_portal), portals(&of_all)), (json!([portal]), Value::Null));

    let body = json!({ "name": "Through the portal", "sender": "a@example.com", "custom_metadata": { "reel": "A1" } });
    let delivered = deliver(&hub, &portal, body.clone()).await;
    deliver(
        &hub,
        &portal_of(&hub, "closed").await,
        json!({ "name": "Elsewhere", "sender": "a@example.com", "access_code": super::client::CODE }),
    )
    .await;
    hub.sent_package(json!({ "name": "Sent" }), b"x").await;
    let told = |to: &str| {
        let seen = seen.lock().unwrap();
        let mut names: Vec<_> =
            seen.iter().filter(|told| told["to"] == to).map(|told| text(&told["object"], "name")).collect();
        names.sort();
        names
    };
    wait_until(|| (told("all").len() == 3 && told("portal").len() == 1).then_some(())).await;
    assert_eq!(told("portal"), ["Through the portal"]);
    let object = seen.lock().unwrap().iter().find(|told| told["to"] == "portal").unwrap()["object"].clone();
    assert_eq!(text(&object, "form_data_id"), delivered.id, "by which a receiver asks for what was filled in");

    assert_eq!(hub.team_request(Method::DELETE, &path).send().await.unwrap().status(), 204);
    hub.sent_package(json!({ "name": "Later" }), b"x").await;
    wait_until(|| (told("all").len() == 4).then_some(())).await;
    assert_eq!(told("portal").len(), 1);
    // By its id alone, as the service has it.
    let one = format!("/v1/custom_webhooks/{of_portal}");
    assert_eq!(good(hub.team_request(Method::PUT, &one).json(&json!({ "active": false }))).await["active"], false);
    assert_eq!(hub.team_request(Method::DELETE, &one).send().await.unwrap().status(), 204);
    refused(hub.team_request(Method::DELETE, &one), 404).await;
}

/// Case: a portal's `active` was true by default, where the service documents false; its colour and logo were dropped.
#[tokio::test]
async fn a_portal_that_is_not_said_to_be_active_is_closed_and_what_it_can_not_do_is_refused_by_name() {
    let hub = TestHub::start().await;
    let portals = format!("/v1/teams/{}/portals", hub.team);
    let make = |body: Value| hub.team_request(Method::POST, &portals).json(&body);
    let made = good(make(json!({ "name": "VFX", "subdomain": "vfx", "primary_color": "#1DF", "logo_url": "https://h.example.com/l.png" }))).await;
    assert_eq!((&made["active"], text(&made, "primary_color")), (&json!(false), "#11ddff".into()));
    let shown = good(hub.request(Method::GET, "/v1/subdomains/portals/vfx")).await;
    assert_eq!(text(&shown, "logo_url"), "https://h.example.com/l.png");
    for (field, value) in [
        ("cloud_connections", json!([{ "id": "C", "active": true }])),
        ("teamspace_id", json!("S")),
        ("access_list", json!(["M"])),
        ("access_level", json!("private")),
        ("terms_of_service_enabled", json!(true)),
        ("primary_color", json!("reddish")),
        ("logo_url", json!("logo.png")),
        ("custom_expiry_days", json!(70_000)),
        ("recipient", json!(["typo@example.com"])),
    ] {
        let said = refused(make(json!({ "name": "x", "subdomain": "x1", field: value })), 400).await;
        assert!(said.starts_with(field), "{field}: {said}");
    }
    // Nothing is asked for by these; a client that fills in every field gets its portal.
    let nothing = json!({
        "name": "Y", "subdomain": "y1", "active": true, "cloud_connections": [], "custom_webhooks": [], "teamspace_id": "", "access_level": "regular",
        "access_list": [], "terms_of_service_enabled": false, "terms_of_service": { "title": "T" }, "tag": {}, "logo_url": "", "something": null,
    });
    let made = good(make(nothing)).await;
    // And one that changes what it was shown, too.
    let mut back = made.clone();
    back["message"] = json!("Hello");
    let changed = good(hub.team_request(Method::PUT, &format!("/v1/portals/{}", text(&made, "id"))).json(&back)).await;
    assert_eq!((text(&changed, "message"), &changed["active"]), ("Hello".into(), &json!(true)));
}

/// Any text was stored as the teamspace of a package though there are none, and packages sent with a key had an empty sender, so that no
/// filter found them.
#[tokio::test]
async fn what_a_package_can_not_be_is_refused_by_name_and_a_sender_is_found() {
    let hub = TestHub::start().await;
    let packages = format!("/v1/teams/{}/packages", hub.team);
    for (field, value) in [
        ("teamspace_id", json!("S")),
        ("expiry", json!("2030-01-01")),
        ("form_data_id", json!("F")),
        ("receipients", json!(["a@b"])),
    ] {
        let said =
            refused(hub.team_request(Method::POST, &packages).json(&json!({ "name": "x", field: value })), 400).await;
        assert!(said.starts_with(field), "{field}: {said}");
    }
    hub.new_package(json!({ "name": "By key" })).await;
    hub.new_package(json!({ "name": "By name", "sender": "Ed\r\nBcc: all@example.com" })).await;
    let list = async |query: &str| {
        good(hub.team_request(Method::GET, &format!("/v1.1/teams/{}/packages?{query}", hub.team))).await
    };
    // The name of the key that made it.
    let found = list("sender=AGENT").await;
    assert_eq!((&found["metadata"]["total"], text(&found["records"][0], "name")), (&json!(1), "By key".into()));
    assert_eq!(text(&list("sender=ed").await["records"][0], "sender"), "Ed  Bcc: all@example.com");
}

/// A filter that the hub did not know was ignored, so the whole list came; `extra_storage` was one of them.
#[tokio::test]
async fn lists_are_narrowed_by_what_is_asked_for_or_refused() {
    let hub = TestHub::start_with(|config| config.default_expiry_days = Some(7)).await;
    for (name, more) in [
        ("Usual", json!({})),
        ("Week", json!({ "custom_expiry_days": 7 })),
        ("Month", json!({ "custom_expiry_days": 30 })),
        ("Kept", json!({ "unlimited_storage": true })),
    ] {
        let mut body = json!({ "name": name });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        hub.sent_package(body, b"x").await;
    }
    let path = format!("/v1.1/teams/{}/packages", hub.team);
    let names = async |query: &str| {
        let page = good(hub.team_request(Method::GET, &format!("{path}?sort=name&{query}"))).await;
        page["records"].as_array().unwrap().iter().map(|package| text(package, "name")).collect::<Vec<_>>()
    };
    assert_eq!(names("extra_storage=true").await, ["Kept", "Month"]);
    assert_eq!(names("extra_storage=false").await, ["Usual", "Week"]);
    assert_eq!(names("extra_storage=").await.len(), 4);
    for (query, start) in [
        ("teamspaces=S", "teamspaces: "),
        ("colour=red", "colour is not a filter"),
        ("status=done", "status: "),
        ("created_at_start=soon", "created_at_start: "),
        ("sort=colour", "sort: "),
        ("page=last", "page: "),
    ] {
        let said = refused(hub.team_request(Method::GET, &format!("{path}?{query}")), 400).await;
        assert!(said.starts_with(start), "{query}: {said}");
    }
}

/// The service answers these with a bare list; the hub had pages, or no such route.
/// Case: `GET /v1/teams/T/portals` with pages broke scripts, `GET /v1/teams/T/packages` was 405; `/spaces` and transfers were 404.
#[tokio::test]
async fn lists_without_pages_are_bare() {
    let hub = TestHub::start().await;
    let portals = good(hub.team_request(Method::GET, &format!("/v1/teams/{}/portals", hub.team))).await;
    assert_eq!((portals.as_array().unwrap().len(), text(&portals[0], "name")), (2, "Closed house".into()));
    hub.new_package(json!({ "name": "New" })).await;
    hub.sent_package(json!({ "name": "Sent" }), b"x").await;
    let list = async |query: &str| {
        good(hub.team_request(Method::GET, &format!("/v1/teams/{}/packages{query}", hub.team))).await
    };
    let sent = list("").await;
    assert_eq!((sent.as_array().unwrap().len(), text(&sent[0], "name")), (1, "Sent".into()));
    let files = format!("/v1/packages/{}/files", text(&sent[0], "id"));
    good(hub.request(Method::GET, &files).header("X-Package-Token", text(&sent[0], "access_token"))).await;
    assert_eq!(list("?new=1&finalized=0&expired=0").await[0]["name"], "New");
    assert_eq!(list("?finalized=false&expired=false").await, json!([]));
    assert_eq!(good(hub.team_request(Method::GET, &format!("/v1/teams/{}/spaces", hub.team))).await, json!([]));
    for path in [
        format!("/v1/teams/{}/spaces", hub.team),
        format!("/v1/teams/{}/cloud_connections", hub.team),
        format!("/v1/packages/{}/transfer", text(&sent[0], "id")),
    ] {
        let said = refused(hub.team_request(Method::POST, &path).json(&json!({ "name": "x" })), 400).await;
        assert!(said.contains("this hub "), "{said}");
    }
}

/// There was no way to change a package by the service's own call, nor to read what was filled in, so that a receiver of webhooks skipped
/// every package.
#[tokio::test]
async fn a_package_is_changed_and_what_was_filled_in_is_read_and_replaced() {
    let hub = TestHub::start().await;
    let package = hub
        .new_package(json!({ "name": "First", "recipients": ["a@example.com"], "custom_metadata": { "reel": "A1" } }))
        .await;
    let put = |body: Value| package.request(Method::PUT, "").json(&body);
    let changed =
        good(put(json!({ "name": "Second", "tag": { "name": "red" }, "access_limit": 3, "password": "open" }))).await;
    assert_eq!(
        (text(&changed, "name"), &changed["access_limit"], &changed["password_protected"]),
        ("Second".into(), &json!(3), &json!(true))
    );
    assert_eq!(changed["recipients"], json!(["a@example.com"]), "what is not said stays");
    assert_eq!(
        good(put(json!({ "password": "", "recipients": ["b@example.com"], "expiry": "2099-01-01" }))).await["expiry"],
        "2099-01-01T00:00:00.000Z"
    );
    refused(put(json!({ "custom_expiry_days": 3 })), 400).await;
    let metadata = good(package.request(Method::GET, "/metadata")).await;
    assert_eq!((text(&metadata, "id"), &metadata["custom_metadata"]), (package.id.clone(), &json!({ "reel": "A1" })));
    assert_eq!(metadata["fields"], json!([{ "name": "reel", "label": "reel", "value": "A1" }]));
    let given = json!({ "fields": [{ "name": "reel", "value": "B2" }] });
    assert_eq!(
        good(package.request(Method::PUT, "/metadata").json(&given)).await["custom_metadata"],
        json!({ "reel": "B2" })
    );
    refused(package.request(Method::PUT, "/metadata").json(&json!({})), 400).await;
    package.send("", "a", &[b"a"]).await;
    good(package.request(Method::POST, "/finalize")).await;
    refused(put(json!({ "recipients": ["c@example.com"] })), 409).await;
    // Whoever sends to a portal fills in the form until it is delivered, and decides nothing else.
    let portal = portal_of(&hub, "open").await;
    let body = json!({ "name": "x", "sender": "s@example.com" });
    let answer = good(hub.request(Method::POST, &format!("/v1/portals/{portal}/packages")).json(&body)).await;
    let stranger = Package { hub: &hub, id: text(&answer, "id"), token: text(&answer, "access_token") };
    refused(stranger.request(Method::PUT, "").json(&json!({ "recipients": ["me@example.com"] })), 403).await;
    let filled_in = json!({ "custom_metadata": { "reel": "C3" } });
    good(stranger.request(Method::PUT, "/metadata").json(&filled_in)).await;
    stranger.send("", "a", &[b"a"]).await;
    good(stranger.request(Method::POST, "/finalize")).await;
    refused(stranger.request(Method::PUT, "/metadata").json(&filled_in), 403).await;
}

/// The form of a portal had no call of its own.
#[tokio::test]
async fn a_portals_form_is_read_by_anybody_and_set_by_its_team() {
    let hub = TestHub::start().await;
    let path = format!("/v1/portals/{}/form", portal_of(&hub, "open").await);
    refused(hub.request(Method::GET, &path), 404).await;
    let form = json!({
        "name": "Camera report", "delivery_formats": ["email_body"],
        "fields": [{ "name": "reel", "label": "Reel", "type": "short_text", "visibility": "required", "default_value": "A001" }],
    });
    assert_eq!(hub.team_request(Method::POST, &path).json(&form).send().await.unwrap().status(), 201);
    refused(hub.team_request(Method::POST, &path).json(&form), 409).await;
    let shown = good(hub.request(Method::GET, &path)).await;
    assert_eq!((&shown["fields"], &shown["delivery_formats"]), (&form["fields"], &form["delivery_formats"]));
    let files = json!({ "fields": form["fields"], "delivery_formats": ["csv"] });
    let said = refused(hub.team_request(Method::PUT, &path).json(&files), 400).await;
    assert!(said.starts_with("delivery_formats: \"csv\""), "{said}");
    let send = json!({ "name": "x", "sender": "a@example.com" });
    refused(hub.request(Method::POST, &path.replace("form", "packages")).json(&send), 400).await;
    assert_eq!(hub.team_request(Method::DELETE, &path).send().await.unwrap().status(), 204);
    good(hub.request(Method::POST, &path.replace("form", "packages")).json(&send)).await;
}

/// Clients of the service found no subdomain, time zone or preferred team, and tags and members without the fields that they read.
#[tokio::test]
async fn teams_people_and_tags_say_what_the_service_says() {
    let hub = TestHub::start_with(|config| config.default_expiry_days = Some(14)).await;
    hub.hub
        .put_user("Team", "ed@example.com", "Ed", &secrecy::SecretString::from("correct horse"), masv_hub::Role::Admin)
        .await
        .unwrap();
    let sign_in = json!({ "email": "ed@example.com", "password": "correct horse" });
    let signed_in = good(hub.request(Method::POST, "/v1/auth").json(&sign_in)).await;
    let (user, team) = (&signed_in["user"], &signed_in["teams"][0]);
    assert_eq!(
        (text(user, "level"), text(user, "time_zone"), text(user, "preferred_team_id")),
        ("basic".into(), "UTC".into(), hub.team.clone())
    );
    let limits = json!([
        team["subdomain"],
        team["custom_expiry_default"],
        team["custom_expiry_enabled"],
        team["download_limit_default"],
        team["download_limit_enabled"],
        team["max_email_recipients"]
    ]);
    assert_eq!(limits, json!(["team", 14, true, 0, true, 200]));
    assert_eq!(good(hub.team_request(Method::GET, "/v1/teams")).await[0]["max_email_recipients"], 200);
    let members = good(hub.team_request(Method::GET, &format!("/v1/teams/{}/members", hub.team))).await;
    assert!(members[0]["user_id"].is_string() && members[0]["user_id"] == members[0]["id"]);

    let tags = format!("/v1/teams/{}/tags", hub.team);
    let tag = good(hub.team_request(Method::POST, &tags).json(&json!({ "name": "dailies" }))).await;
    assert_eq!((text(&tag, "team_id"), &tag["active"]), (hub.team.clone(), &json!(true)));
    assert!(text(&tag, "created_at").starts_with("20") && tag["created_at"] == tag["updated_at"], "{tag}");
    let package = hub.new_package(json!({ "name": "x", "tag": { "id": tag["id"] } })).await;
    let path = format!("/v1/tags/{}", text(&tag, "id"));
    refused(hub.request(Method::DELETE, &path), 401).await;
    assert_eq!(hub.team_request(Method::DELETE, &path).send().await.unwrap().status(), 204);
    refused(hub.team_request(Method::DELETE, &path), 404).await;
    let one = format!("/v1.1/teams/{}/packages/{}", hub.team, package.id);
    assert_eq!(good(hub.team_request(Method::GET, &one)).await["tag_id"], Value::Null);
    assert_eq!(good(hub.team_request(Method::GET, &tags)).await, json!([]));
}
