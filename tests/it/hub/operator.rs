//! What an operator does, and is kept from doing.

use masv_agent::hub::{Hub, HubConfig, HubError};
use reqwest::Method;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::client::{TestHub, good};

#[tokio::test]
async fn a_hub_does_not_start_over_data_whose_key_is_missing_or_that_another_serves() {
    let hub = TestHub::start().await;
    // It has taken hold of its data when it answers; before that the other one could.
    good(hub.request(Method::GET, "/v1/system/packages/spec")).await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    // It answers, so it is the first.
    hub.request(Method::GET, "/").send().await.unwrap();
    let second = Hub::open(HubConfig::new(hub.data())).await.unwrap();
    let outcome = second.serve(listener, CancellationToken::new()).await;
    assert!(matches!(outcome, Err(HubError::Data { path, .. }) if path.ends_with("lock")));
    std::fs::remove_file(hub.data().join("secret.key")).unwrap();
    let outcome = Hub::open(HubConfig::new(hub.data())).await;
    assert!(matches!(outcome, Err(HubError::Data { path, .. }) if path.ends_with("secret.key")));
}

#[tokio::test]
async fn settings_that_can_not_work_are_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = HubConfig::new(folder.path().join("data"));
    config.mail_from = "nobody".into();
    assert!(matches!(Hub::open(config).await, Err(HubError::Mail(_))));
}

#[tokio::test]
async fn data_is_closed_to_others() {
    use std::os::unix::fs::PermissionsExt;
    let hub = TestHub::start().await;
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&hub.data()), 0o700);
    assert_eq!(mode(&hub.data().join("hub.db")), 0o600);
    assert_eq!(mode(&hub.data().join("secret.key")), 0o600);
}

#[tokio::test]
async fn a_full_disk_refuses_parts_before_they_are_sent() {
    let hub = TestHub::start_with(|config| config.keep_free = u64::MAX / 2).await;
    let package = hub.new_package(json!({ "name": "Full" })).await;
    let file = package.announce("", "a", 100_000).await;
    let url = package.addresses(&file, 0, 1).await.remove(0);
    let answer = hub.request(Method::PUT, &url).body(vec![0; 100_000]).send().await.unwrap();
    assert_eq!(answer.status(), 507);
    assert!(answer.text().await.unwrap().contains("<Code>InsufficientStorage</Code>"));
}
