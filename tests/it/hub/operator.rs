//! What an operator does, and is kept from doing.

use masv_hub::{Hub, HubConfig, HubError};
use reqwest::Method;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::client::{KEY, TestHub, good, refused, text, wait_until};

/// Case: the key is missing beside a database in use, or a second hub is started over the same data.
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
    assert!(matches!(outcome, Err(HubError::Served { data_dir }) if data_dir == hub.data()));
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

/// Case: another user of the machine reads nothing of the data directory.
#[tokio::test]
async fn data_is_closed_to_others() {
    use std::os::unix::fs::PermissionsExt;
    let hub = TestHub::start().await;
    hub.sent_package(json!({ "name": "Mailed", "recipients": ["r@example.com"] }), &[1; 100_000]).await;
    wait_until(|| (!hub.mails().is_empty()).then_some(())).await;
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&hub.data()), 0o700);
    assert_eq!(mode(&hub.data().join("hub.db")), 0o600);
    for entry in walkdir::WalkDir::new(hub.data()).into_iter().map(Result::unwrap) {
        let (name, mode) = (entry.file_name().to_string_lossy().into_owned(), mode(entry.path()));
        let below_storage = entry.path().starts_with(hub.data().join("storage")) && name != "storage";
        // Parts are in a folder that no one else may enter.
        assert!(below_storage || mode & 0o077 == 0, "{}: {mode:o}", entry.path().display());
    }
    assert_eq!(mode(&hub.data().join("secret.key")), 0o600);
}

/// Case: the disk of the hub is full: a part is refused with 507.
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

/// Makes of the database one of the version before this one, as far as its number goes.
fn age(data: &std::path::Path) {
    let connection = rusqlite::Connection::open(data.join("hub.db")).unwrap();
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    connection.pragma_update(None, "user_version", version - 1).unwrap();
}

#[tokio::test]
async fn the_data_of_a_running_hub_of_an_older_version_is_not_upgraded_under_it() {
    let hub = TestHub::start().await;
    good(hub.request(Method::GET, "/healthz")).await;
    age(&hub.data());
    let outcome = Hub::open(HubConfig::new(hub.data())).await;
    assert!(matches!(&outcome, Err(HubError::OlderServes { data_dir }) if *data_dir == hub.data()), "{outcome:?}");
    let said =
        crate::process::command(hub.folder.path(), &["hub", "team", "ls", "--data-dir", "data"]).output().unwrap();
    let complaint = String::from_utf8_lossy(&said.stderr);
    assert!(!said.status.success() && complaint.contains("older version is using"), "{complaint}");
    assert!(!hub.data().join("hub.db.v2.bak").exists(), "nothing was begun");
    good(hub.team_request(Method::GET, &format!("/v1/teams/{}/usage", hub.team))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn quotas_are_shown_and_set_on_the_machine_of_the_hub_and_shown_elsewhere() {
    let hub = TestHub::start().await;
    let package = hub.sent_package(json!({ "name": "Counted" }), &[1; 100_000]).await;
    let key = hub.folder.path().join("key");
    std::fs::write(&key, KEY).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = crate::process::command(hub.folder.path(), &["hub", "team"]);
        command.args(arguments).env_remove("MASV_HUB_DATA_DIR").env_remove("MASV_HUB_URL").output().unwrap()
    };
    let here = |arguments: &[&str]| {
        let said = run(&[arguments, &["--data-dir", "data", "--output", "json"]].concat());
        assert!(said.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&said.stderr));
        serde_json::from_slice::<serde_json::Value>(&said.stdout).unwrap()
    };
    let elsewhere = ["--hub", &hub.base, "--key-file", key.to_str().unwrap()];
    let listed = here(&["ls"]);
    assert_eq!(listed[0]["used"], 100_000);
    assert!(listed[0]["quota"].is_null());
    assert_eq!(here(&["set", "Team", "--quota", "150kB"])["quota"], 150_000);
    let full = json!({ "kind": "file", "name": "b", "path": "", "size": 50_001 });
    let other = hub.new_package(json!({ "name": "Too much" })).await;
    refused(other.request(Method::POST, "/files").json(&full), 507).await;
    let table = run(&[&["show", "--output", "text"], &elsewhere[..]].concat());
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    assert!(table.contains("150.0 kB") && table.contains("100.0 kB"), "{table}");
    let refused_there = run(&[&["set", "--quota", "none"], &elsewhere[..]].concat());
    assert!(
        String::from_utf8_lossy(&refused_there.stderr).contains("only the operator of the hub"),
        "{refused_there:?}"
    );
    assert!(here(&["set", "--quota", "none"])["quota"].is_null());
    good(other.request(Method::POST, "/files").json(&full)).await;
    assert_eq!(here(&["show"])["used"], 150_001);
    assert_eq!(package.request(Method::DELETE, "").send().await.unwrap().status(), 204);
    assert_eq!(here(&["show", "Team"])["stored"], 0);
    let wrong = run(&["set", "--quota", "much", "--data-dir", "data"]);
    assert_eq!(wrong.status.code(), Some(2));
    let log = good(hub.team_request(Method::GET, &format!("/v1/teams/{}/audit?action=team.changed", hub.team))).await;
    let changes: Vec<_> = log["records"].as_array().unwrap().iter().map(|entry| text(entry, "subject")).collect();
    assert_eq!(changes, ["quota none", "quota 150.0 kB"]);
}

/// Case: a second hub over the same data said that it listened, and failed three seconds later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_says_that_it_listens_only_once_it_does() {
    // Hubs that share a database do not share a data directory.
    if masv_db::scratch::Scratch::is_wanted() {
        return;
    }
    let hub = TestHub::start().await;
    good(hub.request(Method::GET, "/v1/system/packages/spec")).await;
    let arguments = ["hub", "start", "--data-dir", "data", "--listen", "127.0.0.1:0"];
    let second = crate::process::command(hub.folder.path(), &arguments).output().unwrap();
    let (said, why) = (String::from_utf8_lossy(&second.stdout), String::from_utf8_lossy(&second.stderr));
    assert!(!second.status.success() && why.contains("another hub is using the data"), "{why}");
    assert!(!said.contains("listens"), "{said}");
}
