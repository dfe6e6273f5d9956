//! Portals as senders use them.

use reqwest::Method;
use serde_json::json;

use super::client::{CODE, Package, TestHub, good, refused, text, wait_until};

#[tokio::test]
async fn anybody_sends_to_an_open_portal_and_its_recipients_are_mailed() {
    let hub = TestHub::start().await;
    let portal = good(hub.request(Method::GET, "/v1/subdomains/portals/OPEN")).await;
    assert_eq!((text(&portal, "name"), &portal["has_access_code"]), ("Open house".into(), &json!(false)));
    assert!(portal.get("recipients").is_none());
    let path = format!("/v1/portals/{}/packages", text(&portal, "id"));
    let body = json!({
        "name": "Rushes", "sender": "camera@example.com", "description": "Day 1", "recipients": ["spam@example.com"],
        "custom_metadata": { "reel": "A001" },
    });
    let answer = good(hub.request(Method::POST, &path).json(&body)).await;
    let package = Package { hub: &hub, id: text(&answer, "id"), token: text(&answer, "access_token") };
    package.send("", "a", &[b"a"]).await;
    good(package.request(Method::POST, "/finalize")).await;
    let mails = wait_until(|| Some(hub.mails()).filter(|mails| mails.len() == 2)).await;
    let to = |address: &str| mails.iter().find(|mail| mail.contains(&format!("To: {address}\r\n"))).unwrap();
    let delivery = to("ingest@example.com");
    assert!(delivery.contains("Reply-To: camera@example.com") && delivery.contains("reel: A001"), "{delivery}");
    let receipt = to("camera@example.com");
    assert!(receipt.contains("arrived at the portal Open house") && !receipt.contains("secret"), "{receipt}");
}

#[tokio::test]
async fn a_closed_portal_wants_its_code() {
    let hub = TestHub::start().await;
    let portal = good(hub.request(Method::GET, "/v1/subdomains/portals/closed")).await;
    assert_eq!(portal["has_access_code"], true);
    let path = format!("/v1/portals/{}/packages", text(&portal, "id"));
    let send = |body| hub.request(Method::POST, &path).json(&body);
    refused(send(json!({ "name": "x", "sender": "a@example.com" })), 401).await;
    refused(send(json!({ "name": "x", "sender": "a@example.com", "access_code": "wrong" })), 401).await;
    refused(send(json!({ "name": "x", "sender": "nobody", "access_code": CODE })), 400).await;
    good(send(json!({ "name": "x", "sender": "a@example.com", "access_code": CODE }))).await;
    refused(hub.request(Method::GET, "/v1/subdomains/portals/nothing"), 404).await;
}
