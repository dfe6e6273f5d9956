//! What strangers can do and learn: bodies before authorisation, identical responses, credentials that expire.

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use futures_util::stream;
use masv_protocol::{PackageId, USER_TOKEN_HEADER};

use super::*;
use crate::clock::{before, days, now};
use crate::keys::tokens::Bearer;
use crate::records::moments::{self, Moment};
use crate::records::teams;

const NOBODY: (&str, &str) = ("X-Nothing", "none");

impl Bench {
    pub(super) async fn send(&self, request: Request<Body>) -> Response {
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
/// Case: the browser is restarted: the cookie of the visit has a life of its own.
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
    assert!(set.contains(" Max-Age=86400;"), "it is kept for a day: {set}");
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
