//! Links: passwords, limits, expiry, downloads through them.

use reqwest::Method;
use serde_json::{Value, json};

use super::client::{TestHub, good, refused, text};

fn open(hub: &TestHub, link: &Value) -> reqwest::RequestBuilder {
    hub.request(Method::GET, &format!("/v1/links/{}?secret={}", text(link, "id"), text(link, "download_secret")))
}

#[tokio::test]
async fn a_link_opens_its_package_and_no_other() {
    let hub = TestHub::start().await;
    let package = hub.sent_package(json!({ "name": "For you", "description": "Look" }), b"content").await;
    let link = package.new_link(json!({})).await;
    assert_eq!(
        text(&link, "url"),
        format!("{}/{}?secret={}", hub.base, text(&link, "id"), text(&link, "download_secret"))
    );
    let opened = good(open(&hub, &link)).await;
    assert_eq!((text(&opened, "name"), text(&opened, "package_id")), ("For you".into(), package.id.clone()));
    assert_eq!((&opened["package_size"], text(&opened, "expiry")), (&json!(7), "0001-01-01T00:00:00.000Z".into()));
    let token = text(&opened, "package_token");
    let files =
        hub.request(Method::GET, &format!("/v1/packages/{}/files", package.id)).header("X-Package-Token", &token);
    let files = good(files).await;
    let url = package.download_url(&token, files[0]["id"].as_str().unwrap()).await;
    assert_eq!(hub.request(Method::GET, &url).send().await.unwrap().bytes().await.unwrap(), &b"content"[..]);
    let other = hub.sent_package(json!({ "name": "Not for you" }), b"secret").await;
    let files = hub.request(Method::GET, &format!("/v1/packages/{}/files", other.id)).header("X-Package-Token", &token);
    refused(files, 401).await;
    let change = hub.request(Method::DELETE, &format!("/v1/packages/{}", package.id)).header("X-Package-Token", &token);
    refused(change, 401).await;
    refused(hub.request(Method::GET, &format!("/v1/links/{}?secret=wrong", text(&link, "id"))), 404).await;
    refused(hub.request(Method::GET, &format!("/v1/links/{}", text(&link, "id"))), 404).await;
    refused(hub.request(Method::GET, "/v1/links/01ARZ3NDEKTSV4RRFFQ69G5FAV?secret=x"), 404).await;
}

/// Case: a link that is made before finalize opens nothing until then.
#[tokio::test]
async fn a_link_of_a_package_that_is_not_finalized_opens_nothing_yet() {
    let hub = TestHub::start().await;
    let package = hub.new_package(json!({ "name": "Soon" })).await;
    let link = package.new_link(json!({})).await;
    refused(open(&hub, &link), 404).await;
    package.send("", "a", &[b"a"]).await;
    good(package.request(Method::POST, "/finalize")).await;
    good(open(&hub, &link)).await;
}

/// Case: none or a wrong password answers 401, the right one opens: of the link, or else of the package.
#[tokio::test]
async fn a_password_is_the_links_own_or_else_the_packages() {
    let hub = TestHub::start().await;
    let package = hub.sent_package(json!({ "name": "Locked", "password": "of the package" }), b"x").await;
    let (plain, own) =
        (package.new_link(json!({})).await, package.new_link(json!({ "password": "of the link" })).await);
    for (link, right, wrong) in [(&plain, "of the package", "of the link"), (&own, "of the link", "of the package")] {
        refused(open(&hub, link), 401).await;
        refused(open(&hub, link).header("X-Link-Password", wrong), 401).await;
        good(open(&hub, link).header("X-Link-Password", right)).await;
    }
}

/// A link with a limit of one download was used up by its first file: downloading all files, however often in a visit, is one.
#[tokio::test]
async fn a_limit_counts_visits_that_download_each_once() {
    let hub = TestHub::start().await;
    let package = hub.new_package(json!({ "name": "Limited", "access_limit": 2 })).await;
    let (a, b) = (package.send("", "a", &[b"a"]).await, package.send("", "b", &[b"b"]).await);
    good(package.request(Method::POST, "/finalize")).await;
    let link = package.new_link(json!({})).await;
    for _ in 0..3 {
        good(open(&hub, &link)).await;
    }
    let (one, two, three) =
        (good(open(&hub, &link)).await, good(open(&hub, &link)).await, good(open(&hub, &link)).await);
    for visit in [&one, &two] {
        for file in [&a, &b, &a] {
            package.download_url(&text(visit, "package_token"), &file.id).await;
        }
    }
    refused(open(&hub, &link), 403).await;
    let path = format!("/v1/packages/{}/files/{}/download", package.id, a.id);
    refused(hub.request(Method::GET, &path).header("X-Package-Token", text(&three, "package_token")), 403).await;
    package.download_url(&text(&one, "package_token"), &b.id).await;
}

/// An answer that was lost left a second link behind, and a second mail to its recipient.
#[tokio::test]
async fn a_link_is_made_once_however_often_the_call_with_its_key_is_repeated() {
    let hub = TestHub::start().await;
    let package = hub.sent_package(json!({ "name": "Dailies" }), b"content").await;
    let make = |key: &'static str| {
        let new = json!({ "email": "lab@example.com", "access_limit": 3 });
        package.request(Method::POST, "/links").header("Idempotency-Key", key).json(&new)
    };
    let (one, same) = tokio::join!(good(make("upload 1")), good(make("upload 1")));
    assert_eq!((&one["id"], &one["download_secret"]), (&same["id"], &same["download_secret"]));
    let other = good(make("upload 2")).await;
    assert_ne!(other["id"], one["id"]);
    let listed = good(package.request(Method::GET, "/links")).await;
    assert_eq!(listed.as_array().unwrap().len(), 2, "{listed}");
    // As it is now, and anew if it is gone.
    let path = format!("/links/{}", text(&one, "id"));
    good(package.request(Method::PUT, &path).json(&json!({ "access_limit": 7 }))).await;
    let again = good(make("upload 1")).await;
    assert_eq!((&again["id"], &again["access_limit"]), (&one["id"], &json!(7)));
    assert!(package.request(Method::DELETE, &path).send().await.unwrap().status().is_success());
    assert_ne!(good(make("upload 1")).await["id"], one["id"]);
    // The key is that of a link of this package: neither a package nor a link of another one.
    let second = hub.sent_package(json!({ "name": "More" }), b"content").await;
    let new = second.request(Method::POST, "/links").header("Idempotency-Key", "upload 2").json(&json!({}));
    assert_ne!(good(new).await["id"], other["id"]);
    refused(make(""), 400).await;
}
