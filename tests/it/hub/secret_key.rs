//! Changing the secret key by the command, step by step as the documentation says.

use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::client::{Package, TestHub, good, refused, text};
use crate::process::command;

/// Runs `masv hub secret-key` on the keys of the hub in this folder; the names of the keys afterwards.
fn keys(folder: &TempDir, arguments: &[&str]) -> Vec<String> {
    let output = on_keys(folder.path(), arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    told["keys"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

fn on_keys(folder: &Path, arguments: &[&str]) -> std::process::Output {
    let mut masv = command(folder, &["hub", "secret-key", "--output", "json"]);
    let file = match folder.join("shared.key") {
        shared if shared.exists() => shared,
        _ => folder.join("data/secret.key"),
    };
    masv.args(arguments).arg("--secret-key-file").arg(file).output().unwrap()
}

/// What a sender and a recipient have of a hub.
struct Had {
    package: String,
    token: String,
    link: Value,
}

impl Had {
    async fn link_opens(&self, hub: &TestHub) -> bool {
        let path = format!("/v1/links/{}?secret={}", text(&self.link, "id"), text(&self.link, "download_secret"));
        hub.request(Method::GET, &path).send().await.unwrap().status().is_success()
    }

    fn package<'a>(&self, hub: &'a TestHub) -> Package<'a> {
        Package { hub, id: self.package.clone(), token: self.token.clone() }
    }
}

/// Case: the secret key leaked, or the person who made it has left: it is changed without a link or an upload being lost, and ends when its
/// operator says so.
#[tokio::test]
async fn a_new_key_is_used_while_what_the_one_before_made_holds_until_that_is_removed() {
    let hub = TestHub::start().await;
    let package = hub.new_package(json!({ "name": "Before" })).await;
    package.send("", "a.mov", &[b"content"]).await;
    let half = package.announce("", "b.mov", 100_000).await;
    let part = package.addresses(&half, 0, 1).await.remove(0);
    let etag = package.put(&part, &[1; 100_000]).await;
    let had =
        Had { link: package.new_link(json!({})).await, package: package.id.clone(), token: package.token.clone() };
    let mut folder = hub.stop().await;

    let old = keys(&folder, &["ls"]);
    let known = keys(&folder, &["add"]);
    assert_eq!((old.len(), &known[..1]), (1, &old[..]));
    let hub = TestHub::start_in(folder, |_| {}).await;
    assert!(had.package(&hub).request(Method::GET, "/files").send().await.unwrap().status().is_success());
    folder = hub.stop().await;

    let used = keys(&folder, &["use", &known[1]]);
    assert_eq!(used, [known[1].clone(), known[0].clone()]);
    let refused_removal = on_keys(folder.path(), &["rm", &known[1]]);
    assert!(!refused_removal.status.success(), "the key that is used is not removed");
    let hub = TestHub::start_in(folder, |_| {}).await;
    let package = had.package(&hub);
    // An upload goes on where it was, and a link of before opens.
    assert_eq!(package.finalize_file(&half, 100_000, &[etag]).await.status(), 200);
    good(package.request(Method::POST, "/finalize")).await;
    assert!(had.link_opens(&hub).await);
    let new = hub.sent_package(json!({ "name": "After" }), b"content").await;
    let new = Had { link: new.new_link(json!({})).await, package: new.id.clone(), token: new.token.clone() };
    folder = hub.stop().await;

    assert_eq!(keys(&folder, &["rm", &known[0]]), [known[1].clone()]);
    let hub = TestHub::start_in(folder, |_| {}).await;
    assert!(new.link_opens(&hub).await);
    good(new.package(&hub).request(Method::GET, "/files")).await;
    assert!(!had.link_opens(&hub).await, "what the removed key made has ended");
    refused(had.package(&hub).request(Method::GET, "/files"), 401).await;
}
