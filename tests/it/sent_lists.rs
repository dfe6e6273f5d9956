//! Proof of delivery: the list of what was sent is in the package, says what was sent, and `masv verify` compares what arrived with it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::process::Agent;
use crate::support::{content, received};

const LIMIT: Duration = Duration::from_secs(60);
const RULE: &str = "rules:\n  - { name: cards, watch: drop, create: true, settle: 30ms, package: { per: folder, quiet: 50ms }, \
                    upload: { kind: link, name: 'Day 1 & 2', manifest: asc-mhl } }\n";

fn card(folder: &Path) -> Vec<(&'static str, Vec<u8>)> {
    let files = vec![
        ("A001/clip 1.mov", content(1, 6_000_000)),
        ("A001/näïve.wav", content(2, 70_000)),
        ("list & log.txt", vec![]),
    ];
    for (path, bytes) in &files {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    files
}

fn complete(agent: &Agent) -> Value {
    let is_complete = |list: &[Value]| list.len() == 1 && list[0]["state"] == "complete";
    agent.wait_for("it is complete", LIMIT, is_complete)[0].clone()
}

fn link(upload: &Value) -> String {
    upload["links"][0]["url"].as_str().unwrap().to_owned()
}

/// Fetches the package into a folder.
fn fetch(agent: &Agent, upload: &Value) -> PathBuf {
    let folder = agent.path("in");
    std::fs::create_dir_all(&folder).unwrap();
    let place = folder.display().to_string();
    agent.json(&[
        "download",
        "start",
        "--url",
        &link(upload),
        "--destination",
        &place,
        "--create-package-folder=false",
    ]);
    agent.wait_for_downloads("it is fetched", LIMIT, |list| list.len() == 1 && list[0]["state"] == "complete");
    folder
}

fn verify(agent: &Agent, folder: &Path, more: &[&str]) -> (Option<i32>, Value) {
    let place = folder.display().to_string();
    let output = agent.masv(&[&["verify", &place], more].concat());
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap())
}

/// A rule adds an ASC MHL; what was received is compared with it, and whatever became of one file is found.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_arrives_with_its_list_and_each_later_change_is_found() {
    let agent = Agent::start(RULE, &["--chunk-size", "5MiB"]);
    let card = card(&agent.path("drop/card"));
    let upload = complete(&agent);
    let arrived = received(&link(&upload)).await;
    let mut names: Vec<&str> =
        arrived.iter().map(|(path, _)| path.as_str()).filter(|path| path.starts_with("ascmhl/")).collect();
    names.sort_unstable();
    assert!(
        matches!(names[..], [list, "ascmhl/ascmhl_chain.xml"] if list.starts_with("ascmhl/0001_Day 1 & 2_")),
        "{names:?}"
    );
    assert_eq!(arrived.len(), card.len() + 2);

    let folder = fetch(&agent, &upload);
    let (code, report) = verify(&agent, &folder, &["--strict"]);
    assert_eq!(
        (code, &report["right"], &report["verified"]),
        (Some(0), &Value::Bool(true), &Value::from(3)),
        "{report}"
    );
    let changed = folder.join("card/A001/clip 1.mov");
    let changed = if changed.exists() { changed } else { folder.join("A001/clip 1.mov") };
    let mut bytes = std::fs::read(&changed).unwrap();
    bytes[3_000_000] ^= 1;
    std::fs::write(&changed, bytes).unwrap();
    std::fs::remove_file(changed.with_file_name("näïve.wav")).unwrap();
    std::fs::write(folder.join("more.mov"), "more").unwrap();
    let (code, report) = verify(&agent, &folder, &[]);
    let faults: Vec<&str> =
        report["faults"].as_array().unwrap().iter().map(|fault| fault["fault"].as_str().unwrap()).collect();
    assert_eq!((code, faults), (Some(1), vec!["is different", "is missing"]), "{report}");
    assert_eq!(report["unlisted"], serde_json::json!(["more.mov"]));
}

/// By a command, as lines of `md5sum`, under a name that is free.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_md5sum_gets_a_name_that_is_free() {
    let agent = Agent::start("rules: []\n", &[]);
    card(&agent.path("card"));
    std::fs::write(agent.path("card/Card.md5"), "d41d8cd98f00b204e9800998ecf8427e  list & log.txt\n").unwrap();
    let inside = agent.path("card").display().to_string();
    let files = ["A001", "list & log.txt", "Card.md5"].map(|name| format!("{inside}/{name}"));
    let order = ["upload", "start", "link", "--name", "Card", "--manifest", "md5"];
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    agent.json(&[&order[..], &files].concat());
    let arrived = received(&link(&complete(&agent))).await;
    let list = arrived.iter().find(|(path, _)| path == "Card (2).md5").unwrap_or_else(|| panic!("{arrived:?}"));
    let text = String::from_utf8(list.1.clone()).unwrap();
    assert!(text.lines().count() == 4 && text.contains("d41d8cd98f00b204e9800998ecf8427e  list & log.txt\n"), "{text}");
}

/// The list is of what was sent: a file that was changed since is named, not listed with what it is now.
#[tokio::test(flavor = "multi_thread")]
async fn what_changed_after_it_was_sent_is_not_listed_as_what_it_is_now() {
    let agent = Agent::start("rules: []\n", &[]);
    card(&agent.path("card"));
    let inside = agent.path("card").display().to_string();
    agent.json(&["upload", "start", "link", "--name", "Card", "--manifest", "md5", "--no-finalize", &inside]);
    let idle = agent.wait_for("everything is sent", LIMIT, |list| list[0]["state"] == "idle");
    let id = idle[0]["id"].as_str().unwrap().to_owned();
    std::fs::write(agent.path("card/A001/näïve.wav"), "another").unwrap();
    std::fs::remove_file(agent.path("card/list & log.txt")).unwrap();
    agent.masv(&["upload", "finalize", &id]);
    let arrived = received(&link(&complete(&agent))).await;
    let list = arrived.iter().find(|(path, _)| path == "Card.md5").unwrap();
    let text = String::from_utf8(list.1.clone()).unwrap();
    assert!(
        text.contains("clip 1.mov\n")
            && text.contains("# not listed: card/A001/näïve.wav (it has changed since it was sent)"),
        "{text}"
    );
    assert!(text.contains("# not listed: card/list & log.txt (it cannot be read any more"), "{text}");
    assert_eq!(text.lines().count(), 3, "{text}");
}

/// A card with a history of its own is sent as it is: a second first generation would contradict it.
#[tokio::test(flavor = "multi_thread")]
async fn a_history_that_is_there_gets_no_other_beside_it() {
    let agent = Agent::start("rules: []\n", &[]);
    card(&agent.path("card"));
    std::fs::create_dir(agent.path("card/ascmhl")).unwrap();
    std::fs::write(agent.path("card/ascmhl/0001_card.mhl"), "<hashlist/>").unwrap();
    let inside = agent.path("card").display().to_string();
    let files = ["A001", "ascmhl"].map(|name| format!("{inside}/{name}"));
    agent.json(&["upload", "start", "link", "--name", "Card", "--manifest", "asc-mhl", &files[0], &files[1]]);
    let arrived = received(&link(&complete(&agent))).await;
    assert_eq!(arrived.len(), 3, "{:?}", arrived.iter().map(|(path, _)| path).collect::<Vec<_>>());
}

/// Killed when the list was sent and nothing was finalized: it is in the package once.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_added_once_however_often_the_agent_is_killed() {
    let mut agent = Agent::prepare(RULE, &["--chunk-size", "5MiB"]);
    let crash = |point: Option<&str>| {
        let point = point.map(|point| ("MASV_CRASH_AT".to_owned(), point.to_owned()));
        point.into_iter().chain([("MASV_HURRY".to_owned(), "1".to_owned())]).collect::<Vec<_>>()
    };
    std::fs::create_dir_all(agent.path("drop")).unwrap();
    for point in ["upload.closing", "upload.finalized"] {
        agent.environment = crash(Some(point));
        agent.launch();
        if !agent.path("drop/card").exists() {
            card(&agent.path("drop/card"));
        }
        agent.wait_for_the_end(LIMIT);
    }
    agent.environment = crash(None);
    agent.go_on();
    let arrived = received(&link(&complete(&agent))).await;
    assert_eq!(arrived.len(), 5, "{:?}", arrived.iter().map(|(path, _)| path).collect::<Vec<_>>());
    assert_eq!(verify(&agent, &fetch(&agent, &complete(&agent)), &["--strict"]).0, Some(0));
}
