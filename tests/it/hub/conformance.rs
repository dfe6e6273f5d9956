//! Every call of the protocol over raw HTTP: statuses, bodies, the form of refusals. The list below is compared with the routes that the
//! hub has, so a route that is added without a line here fails the test.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

use super::client::{KEY, Package, TestHub, good, refused, text};

/// Who may make a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Right {
    Anybody,
    /// Any key or session.
    Known,
    /// A key or a person of the team.
    Team,
    /// An admin's.
    Admin,
    /// The operator of the hub.
    Operator,
    /// Holders of the package's token, or its team.
    Package,
}
use Right::{Admin, Anybody, Known, Operator, Package as OfPackage, Team};

/// Method, route, who may, whether it reads a JSON body.
pub(super) const CALLS: &[(&str, &str, Right, bool)] = &[
    ("POST", "/v1/auth", Anybody, true),
    ("GET", "/v1/auth", Known, false),
    ("PUT", "/v1/auth", Known, true),
    ("DELETE", "/v1/auth", Known, false),
    ("GET", "/v1/system/packages/spec", Anybody, false),
    ("GET", "/healthz", Anybody, false),
    ("GET", "/readyz", Anybody, false),
    ("POST", "/v1/teams/{team}/packages", Team, true),
    ("GET", "/v1/teams/{team}/packages", Team, false),
    ("PUT", "/v1/packages/{package}", OfPackage, true),
    ("GET", "/v1/packages/{package}/metadata", OfPackage, false),
    ("PUT", "/v1/packages/{package}/metadata", OfPackage, true),
    ("DELETE", "/v1/packages/{package}", OfPackage, false),
    ("POST", "/v1/packages/{package}/finalize", OfPackage, false),
    ("GET", "/v1/packages/{package}/files", OfPackage, false),
    ("POST", "/v1/packages/{package}/files", OfPackage, true),
    ("POST", "/v1/packages/{package}/batches/files", OfPackage, true),
    ("POST", "/v1/packages/{package}/batches/finalize", OfPackage, true),
    ("POST", "/v1/packages/{package}/batches/contents", OfPackage, false),
    ("POST", "/v1/packages/{package}/files/{file}", OfPackage, true),
    ("DELETE", "/v1/packages/{package}/files/{file}", OfPackage, false),
    ("POST", "/v1/packages/{package}/files/{file}/finalize", OfPackage, true),
    ("GET", "/v1/packages/{package}/files/{file}/download", OfPackage, false),
    ("GET", "/v1/packages/{package}/downloads", OfPackage, false),
    ("POST", "/v1/packages/{package}/downloads", OfPackage, true),
    ("PUT", "/v1/packages/{package}/expiry", OfPackage, true),
    ("DELETE", "/v1/packages/{package}/tokens", OfPackage, false),
    ("GET", "/v1/packages/{package}/links", OfPackage, false),
    ("POST", "/v1/packages/{package}/links", OfPackage, true),
    ("PUT", "/v1/packages/{package}/links/{link}", OfPackage, true),
    ("DELETE", "/v1/packages/{package}/links/{link}", OfPackage, false),
    ("GET", "/v1.1/links/{link}", OfPackage, false),
    ("POST", "/v1/links/{link}/mail", OfPackage, false),
    ("GET", "/v1/links/{link}", Anybody, false),
    ("PUT", "/v1/links/{link}", OfPackage, true),
    ("DELETE", "/v1/links/{link}", OfPackage, false),
    ("GET", "/v1.1/teams/{team}/packages", Team, false),
    ("GET", "/v1.1/teams/{team}/packages/{package}", Team, false),
    ("GET", "/v1.1/teams/{team}/inbox", Team, false),
    ("GET", "/v1.1/teams/{team}/activities", Team, false),
    ("GET", "/v1/teams/{team}/activities/{activity}/events", Team, false),
    ("GET", "/v1/teams/{team}/cloud_connections", Team, false),
    ("POST", "/v1/teams/{team}/cloud_connections", Team, false),
    ("GET", "/v1/teams/{team}/spaces", Team, false),
    ("POST", "/v1/teams/{team}/spaces", Team, false),
    ("DELETE", "/v1/tags/{tag}", Admin, false),
    ("GET", "/v1.1/teams/{team}/portals", Team, false),
    ("GET", "/v1/teams/{team}/portals", Team, false),
    ("POST", "/v1/teams/{team}/portals", Admin, true),
    ("GET", "/v1/teams/{team}/tags", Team, false),
    ("POST", "/v1/teams/{team}/tags", Team, true),
    ("GET", "/v1/teams", Known, false),
    ("POST", "/v1/teams", Known, true),
    ("GET", "/v1/teams/{team}/usage", Team, false),
    ("PUT", "/v1/teams/{team}/quota", Operator, true),
    ("GET", "/v1/teams/{team}/brand", Team, false),
    ("PUT", "/v1/teams/{team}/brand", Admin, true),
    ("GET", "/v1/packages/{package}/transfer", OfPackage, false),
    ("POST", "/v1/packages/{package}/transfer", OfPackage, false),
    ("GET", "/v1/teams/{team}/members", Team, false),
    ("POST", "/v1/teams/{team}/members", Admin, true),
    ("PUT", "/v1/teams/{team}/members/{member}", Admin, true),
    ("DELETE", "/v1/teams/{team}/members/{member}", Admin, false),
    ("POST", "/v1/teams/{team}/members/{member}/invitation", Admin, false),
    ("POST", "/v1/invitations", Anybody, true),
    ("GET", "/v1/teams/{team}/api_keys", Admin, false),
    ("POST", "/v1/teams/{team}/api_keys", Admin, true),
    ("PUT", "/v1/teams/{team}/api_keys/{key}", Admin, true),
    ("DELETE", "/v1/teams/{team}/api_keys/{key}", Admin, false),
    ("PUT", "/v1/api_keys/{key}", Admin, true),
    ("DELETE", "/v1/api_keys/{key}", Admin, false),
    ("GET", "/v1/teams/{team}/audit", Admin, false),
    ("GET", "/v1/teams/{team}/custom_webhooks", Admin, false),
    ("POST", "/v1/teams/{team}/custom_webhooks", Admin, true),
    ("PUT", "/v1/teams/{team}/custom_webhooks/{hook}", Admin, true),
    ("DELETE", "/v1/teams/{team}/custom_webhooks/{hook}", Admin, false),
    ("PUT", "/v1/custom_webhooks/{hook}", Admin, true),
    ("DELETE", "/v1/custom_webhooks/{hook}", Admin, false),
    ("GET", "/v1/portals/{portal}/form", Anybody, false),
    ("POST", "/v1/portals/{portal}/form", Admin, true),
    ("PUT", "/v1/portals/{portal}/form", Admin, true),
    ("DELETE", "/v1/portals/{portal}/form", Admin, false),
    ("GET", "/v1.1/portals/{portal}", Team, false),
    ("GET", "/v1/portals/{portal}", Team, false),
    ("PUT", "/v1/portals/{portal}", Admin, true),
    ("DELETE", "/v1/portals/{portal}", Admin, false),
    ("GET", "/v1/subdomains/portals/{subdomain}", Anybody, false),
    ("POST", "/v1/portals/{portal}/packages", Anybody, true),
];

/// The storage is called by presigned addresses alone; its refusals are XML.
const STORAGE: &[(&str, &str)] = &[
    ("POST", "/storage/{package}/{file}"),
    ("PUT", "/storage/{package}/{file}"),
    ("GET", "/storage/{package}/{file}"),
];

/// The routes of the source, as method and path.
fn routes_of_the_hub() -> BTreeSet<(String, String)> {
    let source = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/hub/http/routes/mod.rs")).unwrap();
    let mut routes = BTreeSet::new();
    let whole: String = source.split_whitespace().collect();
    for route in whole.split(".route(\"").skip(1) {
        let (path, rest) = route.split_once('"').unwrap();
        let handlers = rest.split(".route(").next().unwrap().split(";api.").next().unwrap();
        for method in ["get", "post", "put", "delete"] {
            if handlers.contains(&format!(",{method}(")) || handlers.contains(&format!(").{method}(")) {
                routes.insert((method.to_uppercase(), path.to_owned()));
            }
        }
    }
    routes
}

/// Case: a route that is added without its right in the list of calls is found.
#[test]
fn no_route_is_forgotten() {
    let listed = CALLS.iter().map(|(method, path, ..)| (*method, *path)).chain(STORAGE.iter().copied());
    let listed: BTreeSet<_> = listed.map(|(method, path)| (method.to_owned(), path.to_owned())).collect();
    assert_eq!(routes_of_the_hub(), listed);
}

/// docs/hub-openapi.json is generated from the same document.
#[test]
fn the_document_has_the_routes_of_the_hub_and_no_others() {
    let document = masv_openapi::hub::document();
    let paths = document["paths"].as_object().unwrap().iter();
    let told: BTreeSet<_> = paths
        .flat_map(|(path, item)| item.as_object().unwrap().keys().map(|method| (method.to_uppercase(), path.clone())))
        .collect();
    assert_eq!(told, routes_of_the_hub());
}

/// One of everything that a route can name.
pub(super) struct Things {
    pub ids: BTreeMap<&'static str, String>,
    pub token: String,
    pub other_token: String,
    pub other_key: String,
    pub sender_key: String,
}

impl Things {
    pub(super) fn path(&self, route: &str) -> String {
        self.ids.iter().fold(route.to_owned(), |path, (name, id)| path.replace(&format!("{{{name}}}"), id))
    }
}

pub(super) async fn things(hub: &TestHub) -> Things {
    let team = &hub.team;
    let package = hub.sent_package(json!({ "name": "All" }), b"content").await;
    let files = good(package.request(Method::GET, "/files")).await;
    let link = package.new_link(json!({})).await;
    let other = hub.new_package(json!({ "name": "Other" })).await;
    let post =
        |path: &str, body: Value| hub.team_request(Method::POST, &format!("/v1/teams/{team}/{path}")).json(&body);
    let portal = good(post("portals", json!({ "name": "P", "subdomain": "p1", "active": true }))).await;
    let hook = json!({ "name": "h", "url": "http://127.0.0.1:9/", "events": ["package.finalized"], "active": false });
    let hook = good(post("custom_webhooks", hook)).await;
    let key = good(post("api_keys", json!({ "name": "sender" }))).await;
    let person = json!({ "email": "ed@example.com", "password": "correct horse" });
    let person = good(post("members", person)).await;
    let (_, second) = hub.hub.call(Method::POST, "/v1/teams", Some(&json!({ "name": "Second" }))).await.unwrap();
    let path = format!("/v1/teams/{}/api_keys", text(&second, "id"));
    let body = json!({ "name": "k", "role": "admin" });
    let (_, other_key) = hub.hub.call(Method::POST, &path, Some(&body)).await.unwrap();
    let tag = good(post("tags", json!({ "name": "red" }))).await;
    let activities = good(hub.team_request(Method::GET, &format!("/v1.1/teams/{team}/activities"))).await;
    let ids = [
        ("team", team.clone()),
        ("package", package.id.clone()),
        ("file", text(&files[0], "id")),
        ("link", text(&link, "id")),
        ("portal", text(&portal, "id")),
        ("subdomain", "p1".to_owned()),
        ("hook", text(&hook, "id")),
        ("tag", text(&tag, "id")),
        ("key", text(&key, "id")),
        ("member", text(&person, "id")),
        ("activity", text(&activities["records"][0], "id")),
    ];
    Things {
        ids: ids.into(),
        token: package.token.clone(),
        other_token: other.token.clone(),
        other_key: text(&other_key, "key"),
        sender_key: text(&key, "key"),
    }
}

/// Case: each call with nothing, junk, a forged operator, another package's token and another team's key.
#[tokio::test]
async fn every_call_refuses_whoever_has_no_right_to_it() {
    let hub = TestHub::start().await;
    let things = things(&hub).await;
    for (method, route, right, _) in CALLS {
        let call = || hub.request(method.parse().unwrap(), &things.path(route)).body("{}");
        println!("{method} {route}");
        if *right == Anybody {
            continue;
        }
        refused(call(), 401).await;
        refused(call().header("X-API-KEY", "wrong"), 401).await;
        refused(call().header("X-User-Token", "wrong"), 401).await;
        refused(call().header("X-User-Token", "operator.9999999999.00"), 401).await;
        if *right == OfPackage {
            refused(call().header("X-Package-Token", &things.other_token), 401).await;
        }
        if *right != Known {
            // What is another team's is answered as what is not there, where the route alone says which team it is.
            let status = if route.contains("{team}") { 403 } else { 404 };
            refused(call().header("X-API-KEY", &things.other_key), status).await;
        }
        if *right == Operator {
            refused(call().header("X-API-KEY", KEY), 403).await;
        }
        if matches!(right, Admin | Operator) {
            refused(call().header("X-API-KEY", &things.sender_key), 403).await;
        }
    }
    for (method, route) in STORAGE {
        let wrong = "?uploads=&partNumber=1&uploadId=x&expires=9999999999&signature=00";
        let answer =
            hub.request(method.parse().unwrap(), &format!("{}{wrong}", things.path(route))).send().await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["content-type"]),
            (403, &"application/xml".parse().unwrap())
        );
        assert!(answer.text().await.unwrap().contains("<Code>SignatureDoesNotMatch</Code>"));
    }
}

#[tokio::test]
async fn every_call_refuses_in_the_same_form_what_is_wrong() {
    let hub = TestHub::start().await;
    let things = things(&hub).await;
    let nobody = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
    for (method, route, right, reads) in CALLS {
        println!("{method} {route}");
        let as_team = |method: &str, path: &str| hub.team_request(method.parse().unwrap(), path);
        refused(as_team("PATCH", &things.path(route)), 405).await;
        if *reads {
            // A caller without the right is refused, whatever the body says.
            let is_operators =
                *right == Operator || [("POST", "/v1/teams"), ("PUT", "/v1/auth")].contains(&(*method, *route));
            let status = if is_operators { 403 } else { 400 };
            let broken = as_team(method, &things.path(route)).body("{\"name\": ");
            refused(broken, status).await;
            refused(as_team(method, &things.path(route)).body("[1, 2]"), status).await;
        }
        // The last thing that the route names is not there.
        let last = ["{file}", "{link}", "{hook}", "{tag}", "{key}", "{member}", "{portal}", "{subdomain}", "{package}"];
        if let Some(name) = last.iter().find(|name| route.contains(**name)) {
            let missing = as_team(method, &things.path(&route.replace(name, nobody))).body("{}");
            let answer = missing.send().await.unwrap();
            assert_eq!(answer.status(), 404, "{method} {route}");
            assert!(answer.json::<Value>().await.unwrap()["errors"][0]["type"].is_string());
        }
    }
}

async fn empty(request: RequestBuilder) {
    let answer: Response = request.send().await.unwrap();
    assert_eq!(answer.status(), 204);
    assert_eq!(answer.bytes().await.unwrap().len(), 0);
}

fn has(value: &Value, fields: &[&str]) {
    for field in fields {
        assert!(value.get(field).is_some(), "{field} in {value}");
    }
}

async fn status(request: RequestBuilder, wanted: u16) -> Value {
    let answer = request.send().await.unwrap();
    let (status, kind) = (answer.status().as_u16(), answer.headers().get("content-type").cloned());
    let body = answer.text().await.unwrap();
    assert_eq!(status, wanted, "{body}");
    assert!(kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/json")), "JSON in every good answer");
    serde_json::from_str(&body).unwrap()
}

#[tokio::test]
async fn an_upload_and_a_download_answer_as_the_protocol_says() {
    let hub = TestHub::start().await;
    let team = hub.team.clone();
    let made = hub.team_request(Method::POST, &format!("/v1/teams/{team}/packages"));
    let body = json!({
        "name": "N", "description": "D", "recipients": [], "access_limit": 5, "custom_expiry_days": 3, "tag": { "name": "t" },
    });
    let made = status(made.json(&body), 201).await;
    has(&made, &["id", "access_token", "name", "state", "created_at", "expiry"]);
    assert_eq!((text(&made, "state"), text(&made, "expiry")), ("new".into(), "0001-01-01T00:00:00.000Z".into()));
    assert!(text(&made, "id").len() == 26 && text(&made, "id").to_uppercase() == text(&made, "id"));
    let package = Package { hub: &hub, id: text(&made, "id"), token: text(&made, "access_token") };
    assert_eq!(refused(package.request(Method::POST, "/finalize"), 400).await, "package must have at least 1 file");
    let folder =
        json!({ "kind": "directory", "name": "empty", "path": "a", "last_modified": "2026-01-02T03:04:05.678Z" });
    status(package.request(Method::POST, "/files").json(&folder), 201).await;
    let file = json!({
        "kind": "file", "name": "b.mov", "path": "a", "size": 3, "chunk_size": 104_857_600, "last_modified": "2026-01-02T03:04:05.678Z",
    });
    let file = status(package.request(Method::POST, "/files").json(&file), 201).await;
    has(&file, &["max_chunks_count", "max_chunk_size", "min_chunk_size"]);
    let blueprint = &file["create_blueprint"];
    has(blueprint, &["method", "url", "headers", "body"]);
    let begun =
        hub.request(Method::POST, blueprint["url"].as_str().unwrap()).send().await.unwrap().text().await.unwrap();
    let at = |tag: &str| begun.find(&format!("<{tag}>")).unwrap_or_else(|| panic!("{tag} in {begun}"));
    assert!(at("Bucket") < at("Key") && at("Key") < at("UploadId"), "in this order: {begun}");
    let upload = begun.split("<UploadId>").nth(1).unwrap().split('<').next().unwrap().to_owned();
    let id = text(&file["file"], "id");
    let parts =
        package.request(Method::POST, &format!("/files/{id}?start=0&count=2")).json(&json!({ "upload_id": upload }));
    let parts = status(parts, 200).await;
    assert_eq!((parts.as_array().unwrap().len(), &parts[1]["method"]), (2, &json!("PUT")));
    for bad in ["start=0&count=0", "start=10000&count=1", "start=0&count=100000"] {
        refused(package.request(Method::POST, &format!("/files/{id}?{bad}")), 400).await;
    }
    let etag = package.put(parts[0]["url"].as_str().unwrap(), b"abc").await;
    let closing = |etag: &str| {
        json!({
            "size": 3, "chunk_size": 104_857_600, "file_extras": { "upload_id": upload }, "chunk_extras": [{ "partNumber": "1", "etag": etag }],
        })
    };
    let close = package.request(Method::POST, &format!("/files/{id}/finalize"));
    refused(close.json(&closing("\"00000000000000000000000000000000\"")), 400).await;
    let close = package.request(Method::POST, &format!("/files/{id}/finalize"));
    status(close.json(&closing(&etag)), 200).await;
    let finalized = status(package.request(Method::POST, "/finalize"), 200).await;
    assert_eq!((text(&finalized, "state"), &finalized["size"]), ("finalized".into(), &json!(3)));
    assert_eq!(
        status(package.request(Method::POST, "/finalize"), 200).await["id"],
        finalized["id"],
        "twice is as once"
    );

    let link = status(package.request(Method::POST, "/links").json(&json!({})), 201).await;
    has(&link, &["id", "download_secret", "expiry", "access_limit", "active", "url"]);
    let open = format!("/v1/links/{}?secret={}", text(&link, "id"), text(&link, "download_secret"));
    let opened = status(hub.request(Method::GET, &open), 200).await;
    has(&opened, &["id", "name", "package_id", "package_token", "package_size", "expiry", "sender_email"]);
    let token = text(&opened, "package_token");
    let list =
        hub.request(Method::GET, &format!("/v1/packages/{}/files", package.id)).header("X-Package-Token", &token);
    let list = status(list, 200).await;
    let file = list.as_array().unwrap().iter().find(|file| file["kind"] == "file").unwrap();
    has(file, &["id", "kind", "name", "path", "size", "last_modified", "virus_detected"]);
    assert_eq!(text(file, "last_modified"), "2026-01-02T03:04:05.678Z");
    assert!(list.as_array().unwrap().iter().any(|file| file["kind"] == "directory" && file["name"] == "empty"));
    let url = package.download_url(&token, &id).await;
    for (range, wanted, content) in
        [(None, 200, "abc"), (Some("bytes=1-"), 206, "bc"), (Some("bytes=-1"), 206, "c"), (Some("bytes=9-"), 416, "")]
    {
        let mut get = hub.request(Method::GET, &url);
        if let Some(range) = range {
            get = get.header("Range", range);
        }
        let got = get.send().await.unwrap();
        assert_eq!(got.status(), wanted, "{range:?}");
        assert!(wanted == 416 || got.text().await.unwrap() == content, "{range:?}");
    }
    empty(package.request(Method::DELETE, "")).await;
    refused(hub.request(Method::GET, &open), 404).await;
}

#[tokio::test]
async fn managing_answers_as_the_protocol_says() {
    let hub = TestHub::start().await;
    let things = things(&hub).await;
    let call = |method: Method, route: &str| hub.team_request(method, &things.path(route));
    for route in ["packages", "inbox", "activities", "portals"] {
        let page = status(call(Method::GET, &format!("/v1.1/teams/{{team}}/{route}?page=1&limit=1")), 200).await;
        let total = page["metadata"]["total"].as_u64().unwrap();
        assert_eq!(page["records"].as_array().unwrap().len() as u64, total.min(1), "{route}");
    }
    let one = status(call(Method::GET, "/v1.1/teams/{team}/packages/{package}"), 200).await;
    assert_eq!(one["access_token"], things.token.as_str());
    for route in ["members", "tags", "api_keys", "custom_webhooks"] {
        assert!(status(call(Method::GET, &format!("/v1/teams/{{team}}/{route}")), 200).await.is_array(), "{route}");
    }
    let expiry = json!({ "unlimited_storage": false, "expiry": "2099-01-02T03:04:05.000Z" });
    let kept = status(call(Method::PUT, "/v1/packages/{package}/expiry").json(&expiry), 200).await;
    assert_eq!(kept["expiry"], "2099-01-02T03:04:05.000Z");
    for name in ["x", "x"] {
        let tag = status(call(Method::POST, "/v1/teams/{team}/tags").json(&json!({ "name": name })), 201).await;
        has(&tag, &["id", "name"]);
    }
    let portal = status(call(Method::GET, "/v1.1/portals/{portal}"), 200).await;
    has(
        &portal,
        &["id", "name", "subdomain", "recipients", "active", "has_access_code", "custom_expiry_days", "message"],
    );
    let public = status(hub.request(Method::GET, "/v1/subdomains/portals/p1"), 200).await;
    assert!(public.get("recipients").is_none() && public.get("team_id").is_none());
    let sent = hub.request(Method::POST, &things.path("/v1/portals/{portal}/packages"));
    let sent = status(sent.json(&json!({ "name": "x", "sender": "a@example.com" })), 201).await;
    has(&sent, &["id", "access_token"]);
    let changed = status(call(Method::PUT, "/v1/portals/{portal}").json(&json!({ "active": false })), 200).await;
    assert_eq!(changed["active"], false);
    let teams = status(hub.request(Method::GET, "/v1/teams").header("X-API-KEY", KEY), 200).await;
    assert_eq!((teams.as_array().unwrap().len(), &teams[0]["id"]), (1, &json!(hub.team)));
    let signed_in = hub.request(Method::POST, "/v1/auth");
    let signed_in = signed_in.json(&json!({ "email": "ed@example.com", "password": "correct horse" }));
    has(&status(signed_in, 200).await, &["token", "user", "teams"]);
    for route in [
        "/v1/teams/{team}/custom_webhooks/{hook}",
        "/v1/teams/{team}/api_keys/{key}",
        "/v1/teams/{team}/members/{member}",
        "/v1/portals/{portal}",
        "/v1/packages/{package}/links/{link}",
        "/v1/packages/{package}",
    ] {
        empty(call(Method::DELETE, route)).await;
        assert!(call(Method::DELETE, route).send().await.unwrap().status().is_client_error(), "{route}");
    }
}
