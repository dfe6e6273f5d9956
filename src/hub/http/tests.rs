//! Rights that must not change with their origin: a portal, a key. How often a password may be guessed.

use std::net::SocketAddr;

use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::{Method, Request};
use futures_util::future::join_all;
use masv_protocol::{API_KEY_HEADER, PACKAGE_TOKEN_HEADER};
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;

mod amounts;
mod archives;
mod credentials;
mod malformed;
mod shared;
mod strangers;

use super::routes::router;
use crate::{Hub, HubConfig, Provision, ProvisionPortal};

const KEY: &str = "the first key";
const CLIP: &str = "clip.mov";

/// A hub with a team, its key and a portal.
struct Bench {
    hub: Hub,
    team: String,
    _folder: TempDir,
}

impl Bench {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut HubConfig)) -> Self {
        Self::with_code(change, None).await
    }

    /// A hub whose portal asks for an access code.
    async fn with_code(change: impl FnOnce(&mut HubConfig), code: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = HubConfig::new(folder.path().join("hub"));
        change(&mut config);
        let hub = Hub::open(config).await.unwrap();
        let portal = ProvisionPortal {
            subdomain: "rushes".into(),
            name: "Rushes".into(),
            recipients: vec!["lab@example.com".into()],
            access_code: code.map(|code| code.to_owned().into()),
        };
        let provision = Provision {
            team_name: "Team".into(),
            api_key: KEY.to_owned().into(),
            key_name: "agent".into(),
            portals: vec![portal],
        };
        let team = hub.provision(provision).await.unwrap().team_id;
        Self { hub, team, _folder: folder }
    }

    async fn call(&self, method: Method, path: &str, (header, secret): (&str, &str), body: Value) -> (u16, Value) {
        let request = Request::builder().method(method).uri(path).header(header, secret);
        let request = request.header("Content-Type", "application/json").body(Body::from(body.to_string())).unwrap();
        let answer = router(self.hub.clone()).oneshot(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    async fn as_team(&self, method: Method, path: &str, body: Value) -> (u16, Value) {
        self.call(method, path, (API_KEY_HEADER, KEY), body).await
    }

    async fn portal(&self) -> String {
        let (status, found) = self.as_team(Method::GET, "/v1/subdomains/portals/rushes", Value::Null).await;
        assert_eq!(status, 200, "{found}");
        text(&found, "id")
    }

    /// A package that a stranger begins.
    async fn received(&self) -> Sent<'_> {
        let path = format!("/v1/portals/{}/packages", self.portal().await);
        let body = json!({ "name": "From outside", "sender": "stranger@example.com" });
        let (status, package) = self.call(Method::POST, &path, ("X-Nothing", "none"), body).await;
        assert_eq!(status, 201, "{package}");
        Sent::new(self, &package)
    }

    /// A package that was started with a key of the team.
    async fn own(&self, key: &str) -> Sent<'_> {
        let path = format!("/v1/teams/{}/packages", self.team);
        let (status, package) =
            self.call(Method::POST, &path, (API_KEY_HEADER, key), json!({ "name": "Our own" })).await;
        assert_eq!(status, 201, "{package}");
        Sent::new(self, &package)
    }

    /// The names of a team's packages: received, or sent.
    async fn names(&self, list: &str) -> Vec<String> {
        let (status, listed) =
            self.as_team(Method::GET, &format!("/v1.1/teams/{}/{list}", self.team), Value::Null).await;
        assert_eq!(status, 200, "{listed}");
        listed["records"].as_array().unwrap().iter().map(|package| text(package, "name")).collect()
    }
}

/// A package, for callers with its token.
struct Sent<'a> {
    bench: &'a Bench,
    id: String,
    token: String,
}

impl<'a> Sent<'a> {
    fn new(bench: &'a Bench, package: &Value) -> Self {
        Self { bench, id: text(package, "id"), token: text(package, "access_token") }
    }

    async fn call(&self, method: Method, path: &str, body: Value) -> (u16, Value) {
        let path = format!("/v1/packages/{}{path}", self.id);
        self.bench.call(method, &path, (PACKAGE_TOKEN_HEADER, &self.token), body).await
    }

    async fn announce(&self, name: &str, kind: &str) -> u16 {
        let body =
            json!({ "kind": kind, "name": name, "path": "", "size": 10, "last_modified": "2026-01-02T03:04:05.000Z" });
        self.call(Method::POST, "/files", body).await.0
    }
}

fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_else(|| panic!("no {field} in {value}")).to_owned()
}

/// Removing a portal made its senders owners of what they were sending, lifted its restrictions and moved deliveries among the
/// team's own packages.
#[tokio::test]
async fn what_came_through_a_portal_stays_received_when_the_portal_is_removed() {
    let bench = Bench::new().await;
    let portal = format!("/v1/portals/{}", bench.portal().await);
    let restrictions = json!({ "file_type_restriction_enabled": true, "file_types": ["mov"] });
    let (status, changed) = bench.as_team(Method::PUT, &portal, restrictions).await;
    assert_eq!(status, 200, "{changed}");
    bench.own(KEY).await;
    let sent = bench.received().await;
    for removed in [false, true] {
        if removed {
            assert_eq!(bench.as_team(Method::DELETE, &portal, Value::Null).await.0 / 100, 2);
        }
        let link = sent.call(Method::POST, "/links", json!({ "email": "me@example.com" })).await;
        assert_eq!(link.0, 403, "{removed}: {}", link.1);
        let kept = sent.call(Method::PUT, "/expiry", json!({ "unlimited_storage": true })).await;
        assert_eq!(kept.0, 403, "{removed}: {}", kept.1);
        assert_eq!(bench.names("inbox").await, ["From outside"], "{removed}");
        assert_eq!(bench.names("packages").await, ["Our own"], "{removed}");
        assert_eq!(sent.announce("tool.exe", "file").await / 100, 4, "{removed}");
        assert_eq!(sent.announce(CLIP, "file").await / 100, 2, "{removed}");
    }
}

/// A stranger could remove from the hub what had been delivered.
#[tokio::test]
async fn who_sends_to_a_portal_may_remove_the_package_until_it_is_finalized() {
    let bench = Bench::new().await;
    let (sent, given_up) = (bench.received().await, bench.received().await);
    let id = sent.id.clone();
    let finalizing = bench
        .hub
        .database()
        .transact(move |work| work.run("UPDATE package SET state = 'finalized' WHERE id = ?1", masv_db::values![id]));
    finalizing.await.unwrap();
    assert_eq!(sent.call(Method::DELETE, "", Value::Null).await.0, 403);
    assert_eq!(sent.call(Method::GET, "/files", Value::Null).await.0, 200);
    assert_eq!(given_up.call(Method::DELETE, "", Value::Null).await.0, 204);
    // The team may, by the token that it is shown too.
    let shown = format!("/v1.1/teams/{}/packages/{}", bench.team, sent.id);
    let (status, by_key) = bench.as_team(Method::GET, &shown, Value::Null).await;
    assert_eq!(status, 200, "{by_key}");
    let (status, by_person) = bench.hub.call(Method::GET, &shown, None).await.unwrap();
    assert_eq!(status, 200, "{by_person}");
    let (by_key, by_person) = (Sent::new(&bench, &by_key), Sent::new(&bench, &by_person));
    assert_eq!(by_person.call(Method::GET, "/files", Value::Null).await.0, 200);
    assert_eq!(by_person.call(Method::PUT, "/expiry", json!({ "unlimited_storage": true })).await.0, 200);
    assert_eq!(by_key.call(Method::DELETE, "", Value::Null).await.0, 204);
}

/// The tokens of the packages that were made with a key outlived it.
#[tokio::test]
async fn a_removed_key_takes_the_tokens_with_it_that_were_given_out_by_its_right() {
    let bench = Bench::new().await;
    let keys = format!("/v1/teams/{}/api_keys", bench.team);
    let (status, made) = bench.as_team(Method::POST, &keys, json!({ "name": "Cart", "role": "sender" })).await;
    assert_eq!(status / 100, 2, "{made}");
    let (id, key) = (text(&made, "id"), text(&made, "key"));
    let (removed, other) = (bench.own(&key).await, bench.own(KEY).await);
    let shown = format!("/v1.1/teams/{}/packages/{}", bench.team, other.id);
    let (status, shown) = bench.call(Method::GET, &shown, (API_KEY_HEADER, &key), Value::Null).await;
    assert_eq!(status, 200, "{shown}");
    let seen = Sent::new(&bench, &shown);
    let statuses = async || {
        let mut found = Vec::new();
        for sent in [&removed, &seen, &other] {
            found.push(sent.call(Method::GET, "/files", Value::Null).await.0);
            found.push(sent.announce(CLIP, "file").await / 100);
        }
        found
    };
    assert_eq!(statuses().await, [200, 2, 200, 2, 200, 2]);
    assert_eq!(bench.as_team(Method::DELETE, &format!("{keys}/{id}"), Value::Null).await.0 / 100, 2);
    assert_eq!(statuses().await, [401, 4, 401, 4, 200, 2]);
}

const HERE: [u8; 4] = [192, 0, 2, 1];
const THERE: [u8; 4] = [192, 0, 2, 2];

impl Bench {
    /// The response to a sign-in from `address`.
    async fn sign_in(&self, address: [u8; 4], email: &str, password: &str) -> (u16, Value) {
        self.post_from(address, "/v1/auth", json!({ "email": email, "password": password })).await
    }

    /// The response to a call of a stranger at `address`.
    async fn post_from(&self, address: [u8; 4], path: &str, body: Value) -> (u16, Value) {
        let request = Request::post(path).header("Content-Type", "application/json");
        let mut request = request.body(Body::from(body.to_string())).unwrap();
        request.extensions_mut().insert(ConnectInfo(SocketAddr::from((address, 40_000))));
        let answer = router(self.hub.clone()).oneshot(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }
}

/// Attempts that came at once were all compared, and the right one among them was answered.
#[tokio::test]
async fn no_more_than_ten_attempts_that_come_at_once_are_compared_and_others_are_not_locked_out() {
    let bench = Bench::new().await;
    let (known, password) = ("ed@example.com", "correct horse".to_owned());
    bench.hub.put_user("Team", known, "Ed", &password.clone().into(), crate::Role::Sender).await.unwrap();
    for email in [known, "unknown@example.com"] {
        let guesses: Vec<String> =
            (0..300).map(|guess| if guess == 250 { password.clone() } else { format!("wrong {guess}") }).collect();
        let answers = join_all(guesses.iter().map(|guess| bench.sign_in(HERE, email, guess))).await;
        let compared = answers.iter().filter(|(status, _)| *status == 401).count();
        let refused = answers.iter().filter(|(status, _)| *status == 429).count();
        assert_eq!((compared, refused), (10, 290), "{email}");
    }
    assert_eq!(bench.sign_in(HERE, known, &password).await.0, 429);
    let (status, signed_in) = bench.sign_in(THERE, known, &password).await;
    assert_eq!(status, 200, "{signed_in}");
}

/// The e-mail address of a sign-in was stored as given, however long.
#[tokio::test]
async fn an_address_that_is_too_long_for_an_account_is_answered_as_an_unknown_one_and_not_kept() {
    let bench = Bench::new().await;
    let unknown = bench.sign_in(HERE, "unknown@example.com", "wrong").await;
    let long = format!("{}@example.com", "x".repeat(60_000));
    for _ in 0..20 {
        assert_eq!(bench.sign_in(THERE, &long, "wrong").await, unknown);
    }
}

/// A webhook was taken whatever it called, and with whatever headers.
#[tokio::test]
async fn a_webhook_to_the_hubs_own_networks_or_with_headers_of_the_connection_is_refused() {
    let bench = Bench::new().await;
    let hooks = format!("/v1/teams/{}/custom_webhooks", bench.team);
    let hook = |url: &str, header: &str| json!({ "name": "mam", "url": url, "events": ["package.finalized"], "headers": { header: "1" } });
    let public = "https://mam.example.com/hook";
    for header in [
        "Host",
        "content-length",
        "Transfer-Encoding",
        "connection",
        "Upgrade",
        "TE",
        "Expect",
        "Keep-Alive",
        "Proxy-Authorization",
        "X-aws-ec2-metadata-token-ttl-seconds",
        "Metadata-Flavor",
        "Metadata",
        "a b",
    ] {
        let (status, refused) = bench.as_team(Method::POST, &hooks, hook(public, header)).await;
        assert_eq!(status, 400, "{header}: {refused}");
    }
    let (status, made) = bench.as_team(Method::POST, &hooks, hook(public, "Authorization")).await;
    assert_eq!(status, 201, "{made}");
    for url in
        ["http://127.0.0.1:8080/", "http://169.254.169.254/latest/api/token", "http://[::1]/", "http://10.1.2.3/"]
    {
        let (status, refused) = bench.as_team(Method::POST, &hooks, hook(url, "X-Mine")).await;
        assert_eq!(status, 400, "{url}: {refused}");
        let changed = format!("{hooks}/{}", text(&made, "id"));
        let (status, refused) = bench.as_team(Method::PUT, &changed, json!({ "url": url })).await;
        assert_eq!(status, 400, "{url}: {refused}");
    }
}
