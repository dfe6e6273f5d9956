//! What strangers can do and learn: bodies before authorisation, identical responses, credentials that expire.

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use futures_util::stream;
use masv_protocol::{PackageId, USER_TOKEN_HEADER};

use super::*;
use crate::clock::{before, days, now};
use crate::keys::tokens::Bearer;
use crate::records::moments::{self, Moment};
use crate::records::{packages, teams};

const NOBODY: (&str, &str) = ("X-Nothing", "none");

impl Bench {
    async fn send(&self, request: Request<Body>) -> Response {
        router(self.hub.clone()).oneshot(request).await.unwrap()
    }

    /// Another team and its admin's key.
    async fn other_team(&self) -> (String, String) {
        let other = teams::create(self.hub.database(), "Others".into(), None).await.unwrap();
        let path = format!("/v1/teams/{}/api_keys", other.id);
        let body = json!({ "name": "theirs", "role": "admin" });
        let (status, made) = self.hub.call(Method::POST, &path, Some(&body)).await.unwrap();
        assert_eq!(status, 201, "{made}");
        (other.id.to_string(), text(&made, "key"))
    }

    async fn person(&self, email: &str, password: &str) {
        self.hub.put_user("Team", email, "", &password.to_owned().into(), crate::Role::Sender).await.unwrap();
    }

    async fn session(&self, email: &str, password: &str) -> String {
        let (status, signed_in) = self.sign_in(HERE, email, password).await;
        assert_eq!(status, 200, "{signed_in}");
        text(&signed_in, "token")
    }

    /// What a caller is answered who lists the tags of the team.
    async fn status_of(&self, header: &str, secret: &str) -> u16 {
        let path = format!("/v1/teams/{}/tags", self.team);
        self.call(Method::GET, &path, (header, secret), Value::Null).await.0
    }

    /// A finalized package with a link of this kind; their ids, and the address of the link's page.
    pub(super) async fn linked(&self, settings: Value) -> (PackageId, String, String) {
        let sent = self.own(KEY).await;
        let (status, link) = sent.call(Method::POST, "/links", settings).await;
        assert_eq!(status, 201, "{link}");
        let id = sent.id.clone();
        let finalizing = self.hub.database().transact(move |work| {
            work.run(
                "UPDATE package SET state = 'finalized', finalized_at = 1, file_count = 1 WHERE id = ?1",
                masv_db::values![id],
            )?;
            let sql = "INSERT INTO file (id, package_id, kind, path, name, size, last_modified, finalized_at)
                VALUES (substr(?1, 1, 25) || 'X', ?1, 'file', '', 'a.mov', 0, 1, 1)";
            work.run(sql, masv_db::values![id])
        });
        finalizing.await.unwrap();
        let page = format!("/{}?secret={}", text(&link, "id"), text(&link, "download_secret"));
        (sent.id.as_str().into(), text(&link, "id"), page)
    }

    pub(super) async fn page(&self, path: &str, cookie: &str) -> (StatusCode, HeaderMap, String) {
        let request = Request::get(path).header(header::ACCEPT, "text/html").header(header::COOKIE, cookie);
        let answer = self.send(request.body(Body::empty()).unwrap()).await;
        let (head, body) = answer.into_parts();
        let page = String::from_utf8(to_bytes(body, 1 << 20).await.unwrap().to_vec()).unwrap();
        (head.status, head.headers, page.replace("&#x2f;", "/"))
    }
}

/// Up to 8 MiB of every body were read and parsed before anybody asked who sent it.
#[tokio::test]
async fn no_body_is_read_of_who_has_no_right() {
    let bench = Bench::new().await;
    let (own, received) = (bench.own(KEY).await, bench.received().await);
    let (team, package, nothing) = (&bench.team, &own.id, "01M85VJ3Y0Q8ZK2T4W6X7B9CDE");
    for (method, path) in [
        (Method::PUT, "/v1/auth".to_owned()),
        (Method::POST, "/v1/teams".to_owned()),
        (Method::POST, format!("/v1/teams/{team}/packages")),
        (Method::POST, format!("/v1/teams/{team}/portals")),
        (Method::POST, format!("/v1/teams/{team}/tags")),
        (Method::POST, format!("/v1/teams/{team}/members")),
        (Method::PUT, format!("/v1/teams/{team}/members/x")),
        (Method::POST, format!("/v1/teams/{team}/api_keys")),
        (Method::PUT, format!("/v1/teams/{team}/api_keys/{nothing}")),
        (Method::PUT, format!("/v1/api_keys/{nothing}")),
        (Method::PUT, format!("/v1/teams/{team}/quota")),
        (Method::PUT, format!("/v1/teams/{team}/brand")),
        (Method::POST, format!("/v1/teams/{team}/custom_webhooks")),
        (Method::POST, format!("/v1/packages/{package}/files")),
        (Method::POST, format!("/v1/packages/{package}/files/{nothing}/finalize")),
        (Method::PUT, format!("/v1/packages/{package}/expiry")),
        (Method::PUT, format!("/v1/packages/{package}")),
        (Method::PUT, format!("/v1/packages/{package}/metadata")),
        (Method::POST, format!("/v1/packages/{package}/downloads")),
        (Method::POST, format!("/v1/packages/{package}/batches/files")),
        (Method::POST, format!("/v1/packages/{package}/batches/finalize")),
        (Method::POST, format!("/v1/packages/{package}/batches/contents")),
        (Method::PUT, format!("/v1/portals/{}/form", bench.portal().await)),
        (Method::PUT, format!("/v1/custom_webhooks/{nothing}")),
        (Method::POST, format!("/v1/packages/{package}/links")),
        (Method::PUT, format!("/v1/links/{nothing}")),
        (Method::PUT, format!("/v1/portals/{}", bench.portal().await)),
        (Method::POST, format!("/v1/portals/{nothing}/packages")),
        (Method::PUT, format!("/storage/{package}/{nothing}?partNumber=1&uploadId=x&expires=9&signature=x")),
        (Method::POST, format!("/{nothing}?secret=x")),
    ] {
        for (header, secret) in [(API_KEY_HEADER, "wrong"), (PACKAGE_TOKEN_HEADER, received.token.as_str())] {
            let body =
                Body::from_stream(stream::poll_fn(|_| -> std::task::Poll<Option<Result<Vec<u8>, std::io::Error>>> {
                    panic!("the body was asked for")
                }));
            let request = Request::builder().method(method.clone()).uri(&path).header(header, secret);
            // Who waits for it has sent nothing yet.
            let request = request.header(header::EXPECT, "100-continue").body(body).unwrap();
            let status = bench.send(request).await.status().as_u16();
            assert!(matches!(status, 401 | 403 | 404), "{method} {path}: {status}");
        }
    }
}

/// Another team's portal was answered with 403, an unknown one with 404; without a key, 401 and 404.
#[tokio::test]
async fn what_belongs_to_another_team_is_answered_as_what_is_not_there() {
    let bench = Bench::new().await;
    let (other, theirs) = bench.other_team().await;
    bench.person("stranger@example.com", "correct horse").await;
    let session = bench.session("stranger@example.com", "correct horse").await;
    let keys = bench.as_team(Method::GET, &format!("/v1/teams/{}/api_keys", bench.team), Value::Null).await.1;
    let (package, link, _) = bench.linked(json!({})).await;
    let received = bench.received().await;
    let (team, portal, key) = (bench.team.clone(), bench.portal().await, text(&keys[0], "id"));
    let nothing = "01M85VJ3Y0Q8ZK2T4W6X7B9CDF";
    // The session belongs to our team, so that it asks for what is the other's.
    let path = format!("/v1/teams/{other}/portals");
    let body = json!({ "name": "Theirs", "subdomain": "theirs" });
    let their_portal = bench.call(Method::POST, &path, (API_KEY_HEADER, &theirs), body).await.1;
    let their_portal = text(&their_portal, "id");
    let kinds = [
        (Method::GET, "/v1/portals/{}", portal.as_str()),
        (Method::PUT, "/v1/portals/{}", portal.as_str()),
        (Method::DELETE, "/v1/portals/{}", portal.as_str()),
        (Method::GET, "/v1.1/links/{}", link.as_str()),
        (Method::PUT, "/v1/links/{}", link.as_str()),
        (Method::DELETE, "/v1/links/{}", link.as_str()),
        (Method::GET, "/v1/links/{}?secret=wrong", link.as_str()),
        (Method::GET, "/v1/packages/{}/files", package.as_str()),
        (Method::POST, "/v1/packages/{}/finalize", package.as_str()),
        (Method::GET, "/v1/packages/{}/links", package.as_str()),
        (Method::DELETE, "/v1/packages/{}/tokens", package.as_str()),
        (Method::DELETE, "/v1/packages/{}", package.as_str()),
        (Method::PUT, "/v1/api_keys/{}", key.as_str()),
        (Method::DELETE, "/v1/api_keys/{}", key.as_str()),
        (Method::GET, "/v1/teams/{}/usage", team.as_str()),
        (Method::GET, "/v1.1/teams/{}/inbox", team.as_str()),
    ];
    let callers = [
        NOBODY,
        (API_KEY_HEADER, "wrong"),
        (API_KEY_HEADER, &theirs),
        (USER_TOKEN_HEADER, "wrong"),
        (PACKAGE_TOKEN_HEADER, "wrong"),
        (PACKAGE_TOKEN_HEADER, &received.token),
    ];
    for (method, path, id) in kinds {
        for caller in callers {
            let there = bench.call(method.clone(), &path.replace("{}", id), caller, json!({})).await;
            let not_there = bench.call(method.clone(), &path.replace("{}", nothing), caller, json!({})).await;
            assert_eq!(there, not_there, "{method} {path} by {}", caller.0);
            assert!(there.0 / 100 == 4, "{method} {path} by {}: {}", caller.0, there.0);
        }
    }
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        let by = (USER_TOKEN_HEADER, session.as_str());
        let there = bench.call(method.clone(), &format!("/v1/portals/{their_portal}"), by, json!({})).await;
        assert_eq!(there, bench.call(method, &format!("/v1/portals/{nothing}"), by, json!({})).await);
    }
}

/// There was no way to sign out, and a member could not change a password that an admin had set.
#[tokio::test]
async fn a_person_signs_out_and_changes_the_own_password_which_ends_all_other_sessions() {
    let bench = Bench::new().await;
    bench.person("ed@example.com", "correct horse").await;
    let first = bench.session("ed@example.com", "correct horse").await;
    let second = bench.session("ed@example.com", "correct horse").await;
    let third = bench.session("ed@example.com", "correct horse").await;
    let auth =
        async |method, session: &str, body| bench.call(method, "/v1/auth", (USER_TOKEN_HEADER, session), body).await.0;
    assert_eq!(auth(Method::DELETE, &first, Value::Null).await, 204);
    assert_eq!(auth(Method::DELETE, &first, Value::Null).await, 401);
    assert_eq!(bench.status_of(USER_TOKEN_HEADER, &first).await, 401);
    let change = |old: &str, new: &str| json!({ "password": old, "new_password": new });
    assert_eq!(auth(Method::PUT, &second, change("wrong", "battery staple")).await, 401);
    assert_eq!(auth(Method::PUT, &second, change("correct horse", "short")).await, 400);
    assert_eq!(bench.status_of(USER_TOKEN_HEADER, &third).await, 200);
    assert_eq!(auth(Method::PUT, &second, change("correct horse", "battery staple")).await, 204);
    assert_eq!(bench.status_of(USER_TOKEN_HEADER, &second).await, 200);
    assert_eq!(bench.status_of(USER_TOKEN_HEADER, &third).await, 401);
    assert_eq!(bench.sign_in(THERE, "ed@example.com", "correct horse").await.0, 401);
    assert_eq!(bench.sign_in(THERE, "ed@example.com", "battery staple").await.0, 200);
    assert_eq!(bench.call(Method::DELETE, "/v1/auth", (API_KEY_HEADER, KEY), Value::Null).await.0, 403);
}

/// A key made with an `expiry` in the past, or as inactive, was good.
#[tokio::test]
async fn a_key_ends_when_it_was_to_end_and_takes_its_tokens_with_it() {
    let bench = Bench::new().await;
    let keys = format!("/v1/teams/{}/api_keys", bench.team);
    let made = async |more: Value| {
        let mut body = json!({ "name": "Cart" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let (status, made) = bench.as_team(Method::POST, &keys, body).await;
        assert_eq!(status, 201, "{made}");
        made
    };
    for more in [json!({ "expiry": "2020-01-01T00:00:00.000Z" }), json!({ "state": "inactive" })] {
        let key = text(&made(more.clone()).await, "key");
        assert_eq!(bench.status_of(API_KEY_HEADER, &key).await, 401, "{more}");
    }
    for wrong in [json!({ "name": "x", "state": "asleep" }), json!({ "name": "x", "expiry": "soon" })] {
        let (status, refused) = bench.as_team(Method::POST, &keys, wrong).await;
        assert_eq!(status, 400, "{refused}");
    }
    let made = made(json!({ "expiry": "2999-01-01T00:00:00.000Z", "state": "active" })).await;
    assert_eq!((text(&made, "expiry"), text(&made, "state")), ("2999-01-01T00:00:00.000Z".into(), "active".into()));
    let (id, key) = (text(&made, "id"), text(&made, "key"));
    let sent = bench.own(&key).await;
    let change = format!("/v1/api_keys/{id}");
    for (ends, again) in [
        (json!({ "state": "inactive" }), json!({ "state": "active" })),
        (json!({ "expiry": "2020-01-01" }), json!({ "expiry": "0001-01-01T00:00:00.000Z" })),
    ] {
        assert_eq!(bench.as_team(Method::PUT, &change, ends).await.0, 200);
        assert_eq!(bench.status_of(API_KEY_HEADER, &key).await, 401);
        assert_eq!(sent.call(Method::GET, "/files", Value::Null).await.0, 401);
        assert_eq!(bench.as_team(Method::PUT, &format!("{keys}/{id}"), again).await.0, 200);
        assert_eq!(bench.status_of(API_KEY_HEADER, &key).await, 200);
        assert_eq!(sent.call(Method::GET, "/files", Value::Null).await.0, 200);
    }
    let listed = bench.as_team(Method::GET, &keys, Value::Null).await.1;
    let used = |name: &str| {
        let key = listed.as_array().unwrap().iter().find(|key| text(key, "id") == name).unwrap();
        text(key, "last_used_at")
    };
    assert!(!used(&id).starts_with("0001"), "{listed}");
    assert!(listed.as_array().unwrap().iter().any(|key| text(key, "last_used_at").starts_with("0001")));
}

/// Tokens of packages were for ever, whatever became of who had got them.
#[tokio::test]
async fn the_tokens_of_a_package_can_be_ended_and_end_by_themselves() {
    let bench = Bench::new().await;
    let (sent, received) = (bench.own(KEY).await, bench.received().await);
    assert_eq!(received.call(Method::DELETE, "/tokens", Value::Null).await.0, 403, "a stranger may not");
    assert_eq!(sent.call(Method::DELETE, "/tokens", Value::Null).await.0, 204);
    assert_eq!(sent.call(Method::GET, "/files", Value::Null).await.0, 401);
    let path = format!("/v1.1/teams/{}/packages/{}", bench.team, sent.id);
    let (_, shown) = bench.as_team(Method::GET, &path, Value::Null).await;
    assert_eq!(Sent::new(&bench, &shown).call(Method::GET, "/files", Value::Null).await.0, 200);
    // Of a person: as long as they are in the team.
    bench.person("ed@example.com", "correct horse").await;
    let session = bench.session("ed@example.com", "correct horse").await;
    let (_, seen) = bench.call(Method::GET, &path, (USER_TOKEN_HEADER, &session), Value::Null).await;
    let seen = Sent::new(&bench, &seen);
    assert_eq!(seen.call(Method::GET, "/files", Value::Null).await.0, 200);
    let member = format!("/v1/teams/{}/members/ed@example.com", bench.team);
    assert_eq!(bench.as_team(Method::DELETE, &member, Value::Null).await.0, 204);
    assert_eq!(seen.call(Method::GET, "/files", Value::Null).await.0, 401);
    // Out of time.
    let keys = &bench.hub.context.keys;
    let late = keys.package_token(&sent.id.as_str().into(), &Bearer::Member(None), 1, before(now(), days(1)));
    let late = Sent { bench: &bench, id: sent.id.clone(), token: late };
    assert_eq!(late.call(Method::GET, "/files", Value::Null).await.0, 401);
}

/// Tokens from before they had an end would have been good for ever.
#[tokio::test]
async fn tokens_of_earlier_versions_end_two_weeks_after_the_upgrade() {
    let bench = Bench::new().await;
    let received = bench.received().await;
    let token = bench.hub.context.keys.old_package_token(&received.id.as_str().into());
    let old = Sent { bench: &bench, id: received.id.clone(), token };
    assert_eq!(old.call(Method::GET, "/files", Value::Null).await.0, 200);
    let end = moments::get(bench.hub.database(), Moment::OldTokensEnd).await.unwrap().unwrap();
    assert!(end > now() && before(end, days(15)) < now());
    moments::set(bench.hub.database(), Moment::OldTokensEnd, now()).await.unwrap();
    assert_eq!(old.call(Method::GET, "/files", Value::Null).await.0, 401);
}

/// A limit of one download locked its recipient out when the page was loaded again.
#[tokio::test]
async fn a_page_that_is_loaded_again_is_the_same_visit() {
    let bench = Bench::new().await;
    let (_, link, path) = bench.linked(json!({ "access_limit": 1, "password": "open sesame" })).await;
    let form = Request::post(&path).body(Body::from("password=open+sesame")).unwrap();
    let unlocked = bench.send(form).await;
    assert_eq!(unlocked.status(), 200);
    let set = unlocked.headers()[header::SET_COOKIE].to_str().unwrap().to_owned();
    assert!(
        set.contains(&format!("Path=/{link};")) && set.contains("HttpOnly") && set.contains("SameSite=Lax"),
        "{set}"
    );
    let cookie = set.split(';').next().unwrap();
    let (status, _, page) = bench.page(&path, cookie).await;
    assert_eq!(status, 200);
    let download = page.split("href=\"").find(|part| part.contains("/files/")).unwrap().split('"').next().unwrap();
    let download = download.replace("&amp;", "&").replace("&#x3d;", "=");
    assert_eq!(bench.page(&download, "").await.0, 200);
    // It is used up: for whoever has the visit, and for nobody else.
    let (status, head, page) = bench.page(&path, cookie).await;
    assert_eq!((status, head.contains_key(header::SET_COOKIE)), (StatusCode::OK, false));
    assert!(page.contains("/files/"));
    assert_eq!(bench.page(&download, "").await.0, 200);
    assert_eq!(bench.page(&path, "").await.0, 403);
    assert_eq!(bench.page(&path, &cookie.replace("masv_visit", "other")).await.0, 403);
    let (_, _, other) = bench.linked(json!({ "password": "another" })).await;
    let (_, _, page) = bench.page(&other, cookie).await;
    assert!(page.contains("password") && !page.contains("/files/"), "it is good for its own link only");
}

/// After a link was switched off or had another password, old visits went on listing and downloading for a day.
#[tokio::test]
async fn visits_end_when_a_link_is_switched_off_or_gets_another_password() {
    let bench = Bench::new().await;
    for change in [json!({ "password": "new one" }), json!({ "active": false }), json!({ "expiry": "2020-01-01" })] {
        let (package, link, path) = &bench.linked(json!({})).await;
        let (status, _, page) = bench.page(path, "").await;
        assert_eq!(status, 200);
        let download = page.split("href=\"").find(|part| part.contains("/files/")).unwrap();
        let download = download.split('"').next().unwrap().replace("&amp;", "&").replace("&#x3d;", "=");
        let opened = path.replacen('/', "/v1/links/", 1);
        let (_, opened) = bench.call(Method::GET, &opened, NOBODY, Value::Null).await;
        let visit = text(&opened, "package_token");
        let list = format!("/v1/packages/{package}/files");
        let listed = async || bench.call(Method::GET, &list, (PACKAGE_TOKEN_HEADER, &visit), Value::Null).await.0;
        assert_eq!(listed().await, 200);
        assert_eq!(bench.page(&download, "").await.0, 200);
        let (status, changed) = bench.as_team(Method::PUT, &format!("/v1/links/{link}"), change.clone()).await;
        assert_eq!(status, 200, "{changed}");
        assert!(matches!(listed().await, 401 | 404 | 410), "{change}");
        assert!(matches!(bench.page(&download, "").await.0.as_u16(), 401 | 404 | 410), "{change}");
    }
}

/// A stranger wrote 523 packages of 120 kB in five seconds, and had 60 mails sent.
#[tokio::test]
async fn a_portal_takes_so_many_packages_in_an_hour_from_one_address() {
    let bench = Bench::new().await;
    let path = format!("/v1/portals/{}/packages", bench.portal().await);
    let send = async |from: [u8; 4], size: usize| {
        let body = json!({ "sender": "stranger@example.com", "description": "x".repeat(size) }).to_string();
        let mut request = Request::post(&path).body(Body::from(body)).unwrap();
        request.extensions_mut().insert(ConnectInfo(SocketAddr::from((from, 40_000))));
        bench.send(request).await
    };
    assert_eq!(send(HERE, 120_000).await.status(), 413);
    let answers = join_all((0..120).map(|_| send(HERE, 10))).await;
    let taken = answers.iter().filter(|answer| answer.status() == 201).count();
    assert_eq!(taken, 100);
    let refused = answers.iter().find(|answer| answer.status() != 201).unwrap();
    assert_eq!(refused.status(), 429);
    let wait: u64 = refused.headers()[header::RETRY_AFTER].to_str().unwrap().parse().unwrap();
    assert!((1..=36).contains(&wait), "{wait}");
    assert_eq!(send(THERE, 10).await.status(), 201, "others may send");
}

/// Once the portal was removed, the packages that had been begun in it could be finalized without a limit, each with its mails.
#[tokio::test]
async fn the_limit_of_finalized_packages_holds_when_the_portal_is_removed() {
    let bench = Bench::with(|config| config.portal_packages_per_hour = Some(2)).await;
    let (sent, own) = (bench.received().await, bench.own(KEY).await);
    let finalize = async |package: &Sent<'_>, from: [u8; 4]| {
        let path = format!("/v1/packages/{}/finalize", package.id);
        let mut request =
            Request::post(&path).header(PACKAGE_TOKEN_HEADER, &package.token).body(Body::empty()).unwrap();
        request.extensions_mut().insert(ConnectInfo(SocketAddr::from((from, 40_000))));
        bench.send(request).await.status().as_u16()
    };
    let portal = format!("/v1/portals/{}", bench.portal().await);
    for removed in [false, true] {
        if removed {
            assert_eq!(bench.as_team(Method::DELETE, &portal, Value::Null).await.0 / 100, 2);
        }
        // It is empty: what counts is that it was tried.
        for status in [400, 400, 429, 429] {
            assert_eq!(finalize(&sent, HERE).await, status, "removed: {removed}");
        }
        assert_eq!(finalize(&sent, THERE).await, 400, "others may");
    }
    for _ in 0..5 {
        assert_eq!(finalize(&own, HERE).await, 400, "what the team sends itself is not limited");
    }
}

impl Sent<'_> {
    /// Announces a file as this says; its id, and the address of its first part.
    pub(super) async fn part_of(&self, about: Value) -> (String, String) {
        let (status, made) = self.call(Method::POST, "/files", about).await;
        assert_eq!(status, 201, "{made}");
        let file = text(&made["file"], "id");
        let (status, parts) = self.call(Method::POST, &format!("/files/{file}?start=0&count=3"), json!({})).await;
        assert_eq!(status, 200, "{parts}");
        let url = url::Url::parse(&text(&parts[0], "url"))
            .unwrap_or_else(|_| url::Url::parse("http://hub").unwrap().join(&text(&parts[0], "url")).unwrap());
        (file, format!("{}?{}", url.path(), url.query().unwrap()))
    }

    /// Sends so many bytes to an address, with or without saying how many before.
    pub(super) async fn put(&self, address: &str, bytes: usize, says: bool) -> u16 {
        let body = Body::from_stream(stream::iter(
            vec![7_u8; bytes].chunks(10_000).map(|piece| Ok::<_, std::io::Error>(piece.to_vec())).collect::<Vec<_>>(),
        ));
        let mut request = Request::put(address);
        if says {
            request = request.header(header::CONTENT_LENGTH, bytes);
        }
        self.bench.send(request.body(body).unwrap()).await.status().as_u16()
    }
}

/// With a quota of 20 MB and a portal of 1,000 bytes a package, 86 MB were stored: only what was announced was counted.
#[tokio::test]
async fn what_is_stored_of_a_file_is_no_more_than_was_announced() {
    let bench = Bench::new().await;
    let own = bench.own(KEY).await;
    let about = |name: &str, size: Value| json!({ "name": name, "size": size });
    let usage = async || {
        let path = format!("/v1/teams/{}/usage", bench.team);
        bench.as_team(Method::GET, &path, Value::Null).await.1["used"].as_u64().unwrap()
    };
    let stored = || {
        let files = walkdir::WalkDir::new(bench.hub.context.config.data_dir.join("storage")).into_iter();
        files
            .filter_map(|file| file.ok()?.metadata().ok())
            .filter(std::fs::Metadata::is_file)
            .map(|file| file.len())
            .sum::<u64>()
    };
    let (_, small) = own.part_of(about("small", json!(10))).await;
    let (_, large) = own.part_of(about("large", json!(200_000))).await;
    for says in [true, false] {
        for bytes in [11, 5_000, 15_000_000] {
            assert_eq!(own.put(&small, bytes, says).await, 400, "{bytes}");
        }
        assert_eq!(own.put(&large, 200_001, says).await, 400);
    }
    assert_eq!(stored(), 0);
    assert_eq!(own.put(&small, 10, true).await, 200);
    for says in [true, false] {
        assert_eq!(own.put(&large, 200_000, says).await, 200, "again is no more");
        let second = large.replace("partNumber=1", "partNumber=2");
        assert!(own.put(&second, 1, says).await / 100 == 4, "another part would be");
    }
    assert_eq!(usage().await, 200_010);
    // Without a size, what is stored counts, as far as there is room.
    let quota = format!("/v1/teams/{}/quota", bench.team);
    bench.hub.call(Method::PUT, &quota, Some(&json!({ "quota": 500_000 }))).await.unwrap();
    let (file, unsized_part) = own.part_of(about("stream", Value::Null)).await;
    assert_eq!(own.put(&unsized_part, 250_000, true).await, 200);
    assert_eq!(usage().await, 450_010);
    for says in [true, false] {
        assert!(matches!(own.put(&unsized_part, 300_000, says).await, 400 | 507));
    }
    assert_eq!(own.put(&unsized_part, 40_000, true).await, 200);
    assert_eq!(own.call(Method::DELETE, &format!("/files/{file}"), Value::Null).await.0, 204);
    assert_eq!(usage().await, 200_010);
    // The limits of a portal.
    let portal = format!("/v1/portals/{}", bench.portal().await);
    let limits = json!({ "package_size_restriction_enabled": true, "max_file_size": 1000, "max_package_size": 1500 });
    assert_eq!(bench.as_team(Method::PUT, &portal, limits).await.0, 200);
    let received = bench.received().await;
    let (_, part) = received.part_of(about("a", json!(10))).await;
    let (_, unsized_part) = received.part_of(about("b", Value::Null)).await;
    let before = stored();
    for address in [&part, &unsized_part] {
        for bytes in [1_001, 100_000, 15_000_000] {
            for says in [true, false] {
                let status = received.put(address, bytes, says).await;
                // Not 507, with which a sender waits for ever for room that the portal will never have.
                assert!(matches!(status, 400 | 403), "{bytes}: {status}");
            }
        }
    }
    assert_eq!(received.put(&unsized_part, 1000, true).await, 200);
    assert_eq!(stored(), before);
    // Nor more than a package may have, when only that is limited: refused before it is sent.
    let limits = json!({ "max_file_size": 0, "max_package_size": 100_000 });
    assert_eq!(bench.as_team(Method::PUT, &portal, limits).await.0, 200);
    let received = bench.received().await;
    let (_, first) = received.part_of(about("a", Value::Null)).await;
    let (_, second) = received.part_of(about("b", Value::Null)).await;
    assert_eq!(received.put(&first, 90_000, true).await, 200);
    let before = stored();
    for says in [true, false] {
        assert!(matches!(received.put(&second, 15_000_000, says).await, 400 | 403));
    }
    assert_eq!(stored(), before);
}

/// Up to what the package had announced, strangers could fill the disk for 60 days.
#[tokio::test]
async fn unfinished_packages_of_portals_are_removed_after_a_day() {
    let bench = Bench::new().await;
    let (own, received) = (bench.own(KEY).await, bench.received().await);
    let touched = async |hours: i64| {
        let at = before(now(), std::time::Duration::from_secs(3600 * hours.unsigned_abs()));
        let touching = bench
            .hub
            .database()
            .transact(move |work| work.run("UPDATE package SET updated_at = ?1", masv_db::values![at]));
        touching.await.unwrap();
        let age = bench.hub.context.config.portal_abandoned_after;
        let of_portals = packages::abandoned(bench.hub.database(), true, age, 10).await.unwrap();
        let others = packages::abandoned(bench.hub.database(), false, days(60), 10).await.unwrap();
        (of_portals.len(), others.len())
    };
    assert_eq!(touched(23).await, (0, 0));
    assert_eq!(touched(25).await, (1, 0));
    assert_eq!(touched(24 * 61).await, (1, 1));
    assert_ne!(own.id, received.id);
}

/// A list of a hundred thousand files was in memory as a whole, for each who asked for it.
#[tokio::test]
async fn a_list_of_many_files_is_whole_and_written_in_pieces() {
    let bench = Bench::new().await;
    let sent = bench.own(KEY).await;
    assert_eq!(sent.call(Method::GET, "/files", Value::Null).await.1, json!([]));
    let id = sent.id.clone();
    let filling = bench.hub.database().transact(move |work| {
        let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
            INSERT INTO file (id, package_id, kind, path, name, size, last_modified)
            SELECT 'F' || i, ?1, 'file', 'folder ' || (i % 7), 'name ' || (i / 3), 0, 1 FROM n";
        work.run(sql, masv_db::values![id])
    });
    filling.await.unwrap();
    let request = Request::get(format!("/v1/packages/{}/files", sent.id)).header(PACKAGE_TOKEN_HEADER, &sent.token);
    let answer = bench.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/json");
    let mut frames = answer.into_body().into_data_stream();
    let (mut text, mut largest) = (Vec::new(), 0);
    while let Some(frame) = futures_util::StreamExt::next(&mut frames).await {
        let frame = frame.unwrap();
        largest = largest.max(frame.len());
        text.extend_from_slice(&frame);
    }
    let listed: Vec<Value> = serde_json::from_slice(&text).unwrap();
    let places: Vec<(String, String)> =
        listed.iter().map(|file| (self::text(file, "path"), self::text(file, "name"))).collect();
    assert!(places.is_sorted() && places.len() == 1000);
    let ids: std::collections::BTreeSet<String> = listed.iter().map(|file| self::text(file, "id")).collect();
    assert_eq!(ids.len(), 1000);
    assert!(largest < text.len() * 2 / 3, "{largest} of {}", text.len());
}
