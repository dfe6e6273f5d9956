//! The agent's own files, those that its rules name among them: never sent, never written over.

use std::time::Duration;

use serde_json::{Value, json};

use crate::process::Agent;

const LIMIT: Duration = Duration::from_secs(60);

/// A rule that watched the folder with the rules file sent the keys and passwords that lie there, and a download that was to overwrite
/// replaced the rules file.
/// Case: `watch: .` with the rules file, the settings and a password file in it.
#[tokio::test(flavor = "multi_thread")]
async fn files_that_the_rules_and_settings_name_are_neither_sent_nor_replaced() {
    let rules = "rules:\n  - { name: first, watch: ., settle: 50ms, package: { per: batch, quiet: 300ms }, \
                 upload: { kind: link, password: { file: password.txt } } }\n";
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("password.txt"), "hush").unwrap();
    std::fs::write(at("agent.yaml"), "rules: rules.yaml\n").unwrap();
    std::fs::write(at("clip.mov"), "content").unwrap();
    let config = at("agent.yaml").display().to_string();
    let mut agent = Agent::start_in(folder, rules, &["--config", &config]);
    let list = agent.wait_for("it is sent", LIMIT, |list| list.iter().any(|upload| upload["state"] == "complete"));
    let status = agent.json(&["upload", "status", list[0]["id"].as_str().unwrap()]);
    let paths: Vec<&str> =
        status["files"].as_array().unwrap().iter().map(|file| file["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["clip.mov"]);
    for own in ["password.txt", "rules.yaml", "agent.yaml"] {
        let refused = agent.masv(&["upload", "start", "link", own]);
        assert!(String::from_utf8_lossy(&refused.stderr).contains("agent itself"), "{own}: {refused:?}");
    }
    // Once the rules do not name it any more, it is a file like others.
    let changed = rules.replace(", password: { file: password.txt }", "").replace("name: first", "name: others");
    std::fs::write(agent.path("rules.yaml"), format!("version: 1\n{changed}")).unwrap();
    agent.wait_for("the password file is sent", LIMIT, |list| {
        list.iter().any(|upload| upload["rule"] == "others" && upload["size"] == 11)
    });
    std::fs::write(agent.path("rules.yaml"), "version: 1\nrules: []\n").unwrap();
    assert!(agent.masv(&["rule", "reload"]).status.success());

    // A package with their names, received where they are.
    let package = tempfile::tempdir().unwrap();
    for name in ["rules.yaml", "agent.yaml", "new.mov"] {
        std::fs::write(package.path().join(name), "version: 1 # of a stranger\n").unwrap();
    }
    std::fs::create_dir(package.path().join("data")).unwrap();
    std::fs::write(package.path().join("data/api.token"), "known").unwrap();
    let path = |name: &str| package.path().join(name).display().to_string();
    let sent = agent.json(&[
        "upload",
        "start",
        "link",
        &path("rules.yaml"),
        &path("agent.yaml"),
        &path("new.mov"),
        &path("data"),
    ]);
    let id = sent["upload_id"].clone();
    agent.wait_for("it is sent", LIMIT, |list| {
        list.iter().any(|upload| upload["id"] == id && upload["state"] == "complete")
    });
    let token = std::fs::read(agent.path("data/api.token")).unwrap();
    let order = json!({ "url": sent["link"], "dst_folder": agent.folder.path(), "overwrite": true, "create_package_folder": false });
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client.post(format!("{}/api/v1/downloads", agent.url())).json(&order).send().await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    let over = |download: &Value| download["state"] == "error" || download["state"] == "complete";
    agent.wait_for_downloads("it is over", LIMIT, |list| list.iter().all(over));
    assert!(
        agent.path("new.mov").exists()
            && agent.path("rules (2).yaml").exists()
            && agent.path("agent (2).yaml").exists()
    );
    assert_eq!(std::fs::read_to_string(agent.path("rules.yaml")).unwrap(), "version: 1\nrules: []\n");
    assert_eq!(std::fs::read_to_string(agent.path("agent.yaml")).unwrap(), "rules: rules.yaml\n");
    assert_eq!(std::fs::read(agent.path("data/api.token")).unwrap(), token);
    assert_eq!(agent.stop(), Some(0));
}
