//! Who may make which call: every caller that there is, at every call of the protocol, at the door of the app and at the pages.

use std::collections::BTreeSet;

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::client::{KEY, Package, TestHub, good, text};
use super::conformance::Right::{Admin, Anybody, Known, Operator, Package as OfPackage, Team};
use super::conformance::{CALLS, Right, Things, things};

/// What whoever sends to a portal may do with the own package until it is delivered. All other calls about it decide who gets it and
/// for how long, or tell what became of it.
const OF_SENDERS: &[(&str, &str)] = &[
    ("PUT", "/v1/packages/{package}"),
    ("GET", "/v1/packages/{package}/metadata"),
    ("PUT", "/v1/packages/{package}/metadata"),
    ("DELETE", "/v1/packages/{package}"),
    ("POST", "/v1/packages/{package}/finalize"),
    ("GET", "/v1/packages/{package}/files"),
    ("POST", "/v1/packages/{package}/files"),
    ("POST", "/v1/packages/{package}/batches/files"),
    ("POST", "/v1/packages/{package}/batches/finalize"),
    ("POST", "/v1/packages/{package}/batches/contents"),
    ("POST", "/v1/packages/{package}/files/{file}"),
    ("DELETE", "/v1/packages/{package}/files/{file}"),
    ("POST", "/v1/packages/{package}/files/{file}/finalize"),
    ("GET", "/v1/packages/{package}/files/{file}/download"),
    ("GET", "/v1/packages/{package}/transfer"),
    ("POST", "/v1/packages/{package}/transfer"),
    // Its body is looked at first: what it sets is refused in `what_came_through_a_portal_stays_received_when_the_portal_is_removed`.
    ("PUT", "/v1/packages/{package}/expiry"),
];

/// What the visit of a link may do with its package.
const OF_VISITS: &[(&str, &str)] = &[
    ("GET", "/v1/packages/{package}/files"),
    ("GET", "/v1/packages/{package}/files/{file}/download"),
    ("POST", "/v1/packages/{package}/downloads"),
];

/// Calls that only a person, or only whoever runs the hub, can make: any other known caller is refused.
const OF_SOME: &[(&str, &str)] =
    &[("GET", "/v1/auth"), ("PUT", "/v1/auth"), ("DELETE", "/v1/auth"), ("POST", "/v1/teams")];

/// A caller, and how it says who it is.
struct Caller {
    name: &'static str,
    header: &'static str,
    secret: String,
}

fn caller(name: &'static str, header: &'static str, secret: &str) -> Caller {
    Caller { name, header, secret: secret.to_owned() }
}

const KEY_HEADER: &str = "X-API-KEY";
const SESSION: &str = "X-User-Token";
const TOKEN: &str = "X-Package-Token";

async fn session(hub: &TestHub, email: &str) -> String {
    let sign_in = json!({ "email": email, "password": "correct horse" });
    text(&good(hub.request(Method::POST, "/v1/auth").json(&sign_in)).await, "token")
}

/// A person of the team, signed in.
async fn person(hub: &TestHub, team: &str, email: &str, role: &str) -> String {
    let body = json!({ "email": email, "password": "correct horse", "role": role });
    let (status, made) = hub.hub.call(Method::POST, &format!("/v1/teams/{team}/members"), Some(&body)).await.unwrap();
    assert_eq!(status, 201, "{made}");
    session(hub, email).await
}

/// A package that a stranger has begun in the portal of `things`.
async fn received<'a>(hub: &'a TestHub, things: &Things) -> Package<'a> {
    let body = json!({ "name": "From outside", "sender": "stranger@example.com" });
    let path = things.path("/v1/portals/{portal}/packages");
    let begun = good(hub.request(Method::POST, &path).json(&body)).await;
    Package { hub, id: text(&begun, "id"), token: text(&begun, "access_token") }
}

/// The token of the package that a link of it gives to its visitor.
async fn visit(package: &Package<'_>) -> String {
    let link = package.new_link(json!({})).await;
    let open = format!("/v1/links/{}?secret={}", text(&link, "id"), text(&link, "download_secret"));
    text(&good(package.hub.request(Method::GET, &open)).await, "package_token")
}

fn has(list: &[(&str, &str)], call: (&str, &str)) -> bool {
    list.contains(&call)
}

struct Asked {
    status: u16,
    body: String,
}

async fn asked(request: RequestBuilder) -> Asked {
    let answer = request.send().await.unwrap();
    Asked { status: answer.status().as_u16(), body: answer.text().await.unwrap() }
}

/// The other team: its id, the key of a sender, and a session.
async fn others(hub: &TestHub) -> (String, String, String) {
    let (_, made) = hub.hub.call(Method::POST, "/v1/teams", Some(&json!({ "name": "Third" }))).await.unwrap();
    let team = text(&made, "id");
    let key = json!({ "name": "theirs", "role": "sender" });
    let (_, key) = hub.hub.call(Method::POST, &format!("/v1/teams/{team}/api_keys"), Some(&key)).await.unwrap();
    let session = person(hub, &team, "their-admin@example.com", "admin").await;
    (team, text(&key, "key"), session)
}

/// No caller reaches what is another's, nor more than the own role: nobody, junk, forged and foreign credentials, senders and admins of
/// other teams, tokens of other packages, of a sender to a portal and of a link's visit, by every call.
#[tokio::test(flavor = "multi_thread")]
async fn no_caller_has_more_than_its_right_at_any_call() {
    let hub = TestHub::start().await;
    let things = things(&hub).await;
    let (_, their_key, their_session) = others(&hub).await;
    let elsewhere = hub.sent_package(json!({ "name": "Elsewhere" }), b"x").await;
    let outside = received(&hub, &things).await;
    let junk = [
        caller("a key that is none", KEY_HEADER, "wrong"),
        caller("a session that is none", SESSION, "wrong"),
        caller("a forged operator", SESSION, "operator.9999999999.00"),
        caller("a token that is none", TOKEN, "wrong"),
        caller("the token of another package", TOKEN, &things.other_token),
        caller("a sender to a portal, elsewhere", TOKEN, &outside.token),
        caller("the visit of another package's link", TOKEN, &visit(&elsewhere).await),
    ];
    let foreign = [
        caller("the other team's admin, by key", KEY_HEADER, &things.other_key),
        caller("the other team's sender, by key", KEY_HEADER, &their_key),
        caller("the other team's admin, by session", SESSION, &their_session),
    ];
    let senders = [
        caller("the own team's sender, by key", KEY_HEADER, &things.sender_key),
        caller("the own team's sender, by session", SESSION, &session(&hub, "ed@example.com").await),
    ];
    let admins = [
        caller("the own team's admin, by key", KEY_HEADER, KEY),
        caller("the own team's admin, by session", SESSION, &person(&hub, &hub.team, "ad@example.com", "admin").await),
    ];
    let own_token = caller("the package's own token", TOKEN, &things.token);
    let mut wrong = Vec::new();
    for (method, route, right, _) in CALLS.iter().filter(|(_, _, right, _)| *right != Anybody) {
        let call = (*method, *route);
        let path = things.path(route);
        let ask = |caller: Option<&Caller>| {
            let request = hub.request(method.parse().unwrap(), &path).header("Content-Type", "application/json");
            // A body that changes nothing, should a caller be let in.
            let request = request.body("{");
            caller.map_or(request.try_clone().unwrap(), |caller| request.header(caller.header, &caller.secret))
        };
        let mut expect = async |caller: Option<&Caller>, statuses: &[u16]| {
            let Asked { status, body } = asked(ask(caller)).await;
            let name = caller.map_or("nobody", |caller| caller.name);
            if !statuses.contains(&status) {
                wrong.push(format!("{method} {route} by {name}: {status} in place of {statuses:?}: {body}"));
            }
        };
        expect(None, &[401]).await;
        for caller in &junk {
            expect(Some(caller), &[401]).await;
        }
        if *right != Known {
            for caller in &foreign {
                expect(Some(caller), if route.contains("{team}") { &[403] } else { &[404] }).await;
            }
        }
        if *right != OfPackage {
            expect(Some(&own_token), &[401]).await;
        }
        if matches!(right, Admin | Operator) {
            for caller in &senders {
                expect(Some(caller), &[403]).await;
            }
        }
        if *right == Operator {
            for caller in &admins {
                expect(Some(caller), &[403]).await;
            }
        }
        // Whoever has the right is let in, as far as looking shows it.
        if *method == "GET" && !has(OF_SOME, call) {
            let mut may: Vec<&Caller> = admins.iter().collect();
            if !matches!(right, Admin | Operator) {
                may.extend(&senders);
            }
            if *right == OfPackage {
                may.push(&own_token);
            }
            for caller in may {
                expect(Some(caller), &[200]).await;
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whoever sends to a portal, and whoever opened a link, may do with that package what is theirs to do, and nothing else with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_sender_to_a_portal_and_a_visitor_of_a_link_do_no_more_with_their_package_than_is_theirs() {
    let hub = TestHub::start().await;
    let things = things(&hub).await;
    let own = Package { hub: &hub, id: things.ids["package"].clone(), token: things.token.clone() };
    let visitor = caller("a visitor", TOKEN, &visit(&own).await);
    let mut wrong = Vec::new();
    for (method, route, right, _) in CALLS.iter().filter(|(_, _, right, _)| *right != Anybody) {
        // One for each call, as some of them end it.
        let outside = received(&hub, &things).await;
        let file = outside.announce("", "a.mov", 10).await;
        let by_team = hub.team_request(Method::POST, &format!("/v1/packages/{}/links", outside.id));
        let link = good(by_team.json(&json!({}))).await;
        let of_sender =
            route.replace("{package}", &outside.id).replace("{file}", &file.id).replace("{link}", &text(&link, "id"));
        let sender = caller("a sender to a portal", TOKEN, &outside.token);
        for (caller, path, theirs) in
            [(&sender, things.path(&of_sender), OF_SENDERS), (&visitor, things.path(route), OF_VISITS)]
        {
            let request = hub.request(method.parse().unwrap(), &path).header(caller.header, &caller.secret);
            let Asked { status, body } = asked(request.body("{}")).await;
            let may = has(theirs, (method, route));
            // A visitor's token is none that changes; a sender's is one, but not for what the team decides.
            let is_refused = match (*right == OfPackage, caller.name) {
                (true, "a sender to a portal") => status == 403,
                _ => status == 401,
            };
            if may == is_refused || status >= 500 {
                wrong.push(format!("{method} {route} by {}: {status} {body}", caller.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The door of the app lets in no call that does not come from the app, and takes no right along but its cookie.
#[tokio::test(flavor = "multi_thread")]
async fn the_door_of_the_app_takes_no_right_but_its_cookie_at_any_call() {
    let hub = TestHub::start().await;
    let things = things(&hub).await;
    let session = session(&hub, "ed@example.com").await;
    let cookie = format!("masv_session={session}");
    let mut wrong = Vec::new();
    for (method, route, right, _) in CALLS {
        if !route.starts_with("/v1") {
            continue;
        }
        let path = format!("/app/api{}", things.path(route));
        let call = || hub.request(method.parse().unwrap(), &path).header("Content-Type", "application/json").body("{");
        let rights = |request: RequestBuilder| {
            request.header(KEY_HEADER, KEY).header(TOKEN, &things.token).header(SESSION, &session)
        };
        let from_elsewhere = |request: RequestBuilder| request.header("Sec-Fetch-Site", "cross-site");
        for (what, request, statuses) in [
            ("a page of another origin", rights(call().header("Cookie", &cookie)), &[403][..]),
            (
                "one that says where it is",
                from_elsewhere(call().header("X-Masv-App", "1").header("Cookie", &cookie)),
                &[403],
            ),
            ("rights but no cookie", rights(call().header("X-Masv-App", "1")), &[401]),
            ("a cookie that is none", call().header("X-Masv-App", "1").header("Cookie", "masv_session=wrong"), &[401]),
        ] {
            // What anybody may call, the app may too.
            if *right == Anybody && statuses == [401] {
                continue;
            }
            let Asked { status, body } = asked(request).await;
            if !statuses.contains(&status) {
                wrong.push(format!("{method} {route} by {what}: {status} {body}"));
            }
        }
        if *right == Admin {
            let Asked { status, body } = asked(call().header("X-Masv-App", "1").header("Cookie", &cookie)).await;
            if status != 403 {
                wrong.push(format!("{method} {route} by a sender of the team: {status} {body}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // It is no way to anything but the protocol.
    for path in
        ["/app/api/healthz", "/app/api/storage/P/F", "/app/api/app", "/app/api/app/api/v1/teams", "/app/api/portals/p1"]
    {
        let request = hub.request(Method::GET, path).header("X-Masv-App", "1").header("Cookie", &cookie);
        assert_eq!(asked(request).await.status, 404, "{path}");
    }
}

/// What a page shows to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shows {
    /// The same to everybody, and nothing of what is in the hub.
    Nothing,
    /// What a portal says to its senders.
    Portal,
    /// What a link leads to, with its secret.
    Link,
    /// The same, with the token of a visit.
    Visit,
}

/// Method, address and what is shown of all pages.
const PAGES: &[(&str, &str, Shows)] = &[
    ("GET", "/", Shows::Nothing),
    ("GET", "/assets/hub.css", Shows::Nothing),
    ("GET", "/assets/icon.svg", Shows::Nothing),
    ("GET", "/assets/digest.js", Shows::Nothing),
    ("GET", "/assets/link.js", Shows::Nothing),
    ("GET", "/assets/portal.js", Shows::Nothing),
    ("GET", "/assets/sender.js", Shows::Nothing),
    ("GET", "/assets/app/{name}", Shows::Nothing),
    ("GET", "/app", Shows::Nothing),
    ("GET", "/app/{*page}", Shows::Nothing),
    ("GET", "/portals/{subdomain}", Shows::Portal),
    ("GET", "/portals/{subdomain}/brand.css", Shows::Portal),
    ("GET", "/{link}", Shows::Link),
    ("POST", "/{link}", Shows::Link),
    ("GET", "/{link}/files/{file}", Shows::Visit),
    ("GET", "/{link}/files/{file}/view", Shows::Visit),
    ("GET", "/{link}/files/{file}/content", Shows::Visit),
    ("GET", "/{link}/checksums.md5", Shows::Visit),
    ("GET", "/{link}/brand.css", Shows::Visit),
    ("GET", "/{link}/all.zip", Shows::Visit),
];

/// A page that is added without a line above fails this.
#[test]
fn no_page_is_forgotten() {
    let source = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/hub/http/pages/mod.rs")).unwrap();
    let whole: String = source.split_whitespace().collect();
    let mut pages = BTreeSet::new();
    for route in whole.split(".route(\"").skip(1) {
        let (path, rest) = route.split_once('"').unwrap();
        let handlers = rest.split(")}").next().unwrap();
        for method in ["get", "post", "put", "delete"] {
            if handlers.contains(&format!(",{method}(")) || handlers.contains(&format!(").{method}(")) {
                pages.insert((method.to_uppercase(), path.to_owned()));
            }
        }
    }
    let listed: BTreeSet<_> =
        PAGES.iter().map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned())).collect();
    assert_eq!(pages, listed);
}

/// Pages show to everybody the same, or ask for the secret of the link or the visit of it: no key, session or token of a package, nor the
/// visit of another link, makes them show more.
#[tokio::test(flavor = "multi_thread")]
async fn no_page_shows_more_for_any_right_but_the_links_own() {
    let hub = TestHub::start().await;
    let things = things(&hub).await;
    let session = session(&hub, "ed@example.com").await;
    let elsewhere = hub.sent_package(json!({ "name": "Elsewhere" }), b"x").await;
    let foreign = visit(&elsewhere).await;
    let own = Package { hub: &hub, id: things.ids["package"].clone(), token: things.token.clone() };
    let links: Value = good(own.request(Method::GET, "/links")).await;
    let link = links.as_array().unwrap().iter().find(|link| text(link, "id") == things.ids["link"]).unwrap();
    let secret = text(link, "download_secret");
    let open = format!("/v1/links/{}?secret={secret}", things.ids["link"]);
    let visited = text(&good(hub.request(Method::GET, &open)).await, "package_token");
    for (method, page, shows) in PAGES {
        println!("{method} {page}");
        let path = things.path(&page.replace("{name}", "main.js").replace("{*page}", "packages"));
        let ask = |query: &str| {
            let request = hub.request(method.parse().unwrap(), &format!("{path}{query}"));
            request.header("Accept", "text/html").header("Content-Length", "0")
        };
        let everything = |request: RequestBuilder| {
            let cookie = format!("masv_session={session}; masv_visit={foreign}");
            let request = request.header(KEY_HEADER, KEY).header(SESSION, &session).header(TOKEN, &things.token);
            request.header("Cookie", cookie)
        };
        match shows {
            Shows::Nothing | Shows::Portal => {
                let (plain, with_rights) = (asked(ask("")).await, asked(everything(ask(""))).await);
                assert_eq!((plain.status, &plain.body), (200, &with_rights.body), "{page}");
                assert!(!plain.body.contains(&hub.team) && !plain.body.contains("clip.mov"), "{page}");
            }
            Shows::Link | Shows::Visit => {
                let name = if *shows == Shows::Link { "secret" } else { "token" };
                let right = if *shows == Shows::Link { &secret } else { &visited };
                for wrong in ["", "wrong", &foreign, &things.token, KEY, &session] {
                    let query = format!("?{name}={wrong}");
                    let refused = asked(everything(ask(&query))).await;
                    let is_refused = matches!(refused.status, 401 | 403 | 404 | 410);
                    // A style is the same for everybody who has no visit: empty.
                    let is_plain = page.ends_with(".css") && refused.body.is_empty();
                    assert!(is_refused || is_plain, "{page} {query}: {} {}", refused.status, refused.body);
                    assert!(!refused.body.contains("clip.mov"), "{page} {query}");
                }
                let shown = asked(ask(&format!("?{name}={right}"))).await;
                assert!(matches!(shown.status, 200 | 415), "{page}: {} {}", shown.status, shown.body);
            }
        }
    }
}

#[test]
fn the_lists_of_rights_name_calls_that_there_are() {
    let listed: BTreeSet<(&str, &str)> = CALLS.iter().map(|(method, route, ..)| (*method, *route)).collect();
    for call in [OF_SENDERS, OF_VISITS, OF_SOME].concat() {
        assert!(listed.contains(&call), "{call:?}");
    }
    assert!(CALLS.iter().any(|(_, _, right, _): &(_, _, Right, _)| *right == Team));
}
