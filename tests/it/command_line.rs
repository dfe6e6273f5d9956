//! The command line against a running agent: the main job, exit codes, what is printed where.

use std::time::Duration;

use serde_json::Value;

use crate::process::{Agent, code, command, errors};
use crate::support::received;

const RULE: &str = "rules:\n  - name: quick\n    watch: drop\n    create: true\n    settle: 300ms\n    package: file\n    \
                    upload: { kind: link }\n";

/// Case: links work over restarts.
#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_file_becomes_a_working_link_and_is_not_sent_again_after_a_restart() {
    let mut agent = Agent::start(RULE, &[]);
    std::fs::write(agent.path("drop/clip one.mov"), b"camera original").unwrap();
    let complete = |list: &[Value]| list.len() == 1 && list[0]["state"] == "complete";
    let list = agent.wait_for("it is sent", Duration::from_secs(20), complete);
    let link = list[0]["links"][0]["url"].as_str().unwrap().to_owned();
    assert_eq!(received(&link).await, [("clip one.mov".to_owned(), b"camera original".to_vec())]);

    assert_eq!(agent.stop(), Some(0));
    std::fs::write(agent.path("drop/late.mov"), b"while it was down").unwrap();
    agent.go_on();
    let both = agent.wait_for("the late one is sent", Duration::from_secs(20), |list| {
        list.iter().any(|upload| upload["name"] == "late.mov" && upload["state"] == "complete")
    });
    assert_eq!(both.len(), 2, "{both:#?}");
    assert_eq!(received(&link).await.len(), 1, "links work over restarts");
}

/// Cases: an address beyond this machine without a token file is refused; each kind of failure has its exit code.
#[test]
fn what_goes_wrong_has_its_exit_code_and_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| command(folder.path(), arguments).output().unwrap();
    let nobody = run(&["upload", "ls", "--server", "http://127.0.0.1:9"]);
    assert_eq!(code(&nobody), 3);
    assert!(errors(&nobody).contains("masv server start"), "{}", errors(&nobody));
    assert_eq!(code(&run(&["upload", "start", "link"])), 2);
    assert_eq!(code(&run(&["--help"])), 0);
    assert_eq!(code(&run(&["--version"])), 0);
    std::fs::write(folder.path().join("bad.yaml"), "version: 1\nrules:\n  - name: a\n    wacht: x\n").unwrap();
    let bad = run(&["rule", "check", "bad.yaml"]);
    assert_eq!(code(&bad), 1);
    assert!(errors(&bad).contains("bad.yaml:4:5") && errors(&bad).contains("`watch`"), "{}", errors(&bad));
    let start = run(&["server", "start", "--rules", "bad.yaml", "--listen", "http://127.0.0.1:0"]);
    assert_eq!(code(&start), 1);
    assert!(errors(&start).contains("wacht"), "{}", errors(&start));
    let open = run(&["server", "start", "--listen", "http://0.0.0.0:0"]);
    assert!(code(&open) == 2 && errors(&open).contains("--token-file"), "{}", errors(&open));
    let init = run(&["rule", "init"]);
    std::fs::write(folder.path().join("init.yaml"), init.stdout).unwrap();
    assert_eq!(code(&run(&["rule", "check", "init.yaml"])), 0);
}

/// Case: a second agent on the same data is refused and told the process of the first.
/// Case: a second agent over the same data, and a port that is taken.
#[test]
fn a_second_agent_is_told_of_the_first_and_a_taken_port_is_named() {
    let agent = Agent::start("", &[]);
    let second = agent.masv(&["server", "start", "--listen", "http://127.0.0.1:0"]);
    assert_eq!(code(&second), 1);
    assert!(errors(&second).contains("another agent (process "), "{}", errors(&second));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = format!("http://{}", listener.local_addr().unwrap());
    let other = tempfile::tempdir().unwrap();
    let refused = command(other.path(), &["server", "start", "--listen", &taken]).output().unwrap();
    assert_eq!(code(&refused), 1);
    assert!(errors(&refused).contains("--listen http://127.0.0.1:0"), "{}", errors(&refused));
}

/// Case: a watched folder that does not exist is told at the start, and by the state of its rule.
#[test]
fn a_missing_folder_is_told_at_once_and_stops_only_its_rule() {
    let rules = format!("{RULE}  - name: lost\n    watch: not-there\n    upload: {{ kind: link }}\n");
    let agent = Agent::start(&rules, &[]);
    std::fs::write(agent.path("drop/a.mov"), b"a").unwrap();
    agent.wait_for("the other rule works", Duration::from_secs(20), |list| {
        list.iter().any(|upload| upload["state"] == "complete")
    });
    let log = agent.log();
    assert!(log.contains("Rule lost: ") && log.contains("create: true"), "{log}");
    assert_eq!(agent.json(&["rule", "status", "lost"])["state"], "offline");
}

/// Case: `upload rm all` asks, or needs `--yes` or `--states`.
#[test]
fn uploads_are_started_listed_steered_and_removed() {
    let agent = Agent::start("", &[]);
    std::fs::write(agent.path("a.txt"), b"hello").unwrap();
    std::fs::create_dir(agent.path("card")).unwrap();
    std::fs::write(agent.path("card/b.mov"), b"clip").unwrap();

    let text = agent.masv(&["upload", "start", "link", "--name", "X", "a.txt", "--output", "text"]);
    let line = String::from_utf8(text.stdout).unwrap();
    assert!(line.starts_with("Upload ") && line.contains(" started. Shareable link: http://127.0.0.1:"), "{line}");

    let started = agent.json(&["upload", "start", "email", "--emails=a@example.com", "--no-finalize", "card"]);
    let id = started["upload_id"].as_str().unwrap().to_owned();
    let idle = |list: &[Value]| list.iter().any(|upload| upload["id"] == id.as_str() && upload["state"] == "idle");
    agent.wait_for("it is idle", Duration::from_secs(10), idle);
    assert_eq!(agent.json(&["upload", "add", &id, "a.txt"])["file_count"], 2);
    agent.wait_for("it is idle again", Duration::from_secs(10), idle);
    assert_eq!(code(&agent.masv(&["upload", "watch", &id])), 0);
    agent.json(&["upload", "finalize", &id]);
    assert_eq!(code(&agent.masv(&["upload", "watch", &id])), 0);
    let status = agent.json(&["upload", "status", &id]);
    assert_eq!((&status["state"], &status["files"][0]["path"]), (&"complete".into(), &"card/b.mov".into()));
    assert_eq!(agent.json(&["upload", "finalize", &id])["state"], "complete", "again changes nothing");

    let conflict = agent.masv(&["upload", "pause", &id]);
    assert!(code(&conflict) == 1 && errors(&conflict).contains("complete"), "{}", errors(&conflict));
    assert_eq!(code(&agent.masv(&["upload", "status", "no-such-id"])), 4);
    let missing = agent.masv(&["upload", "start", "link", "nowhere.mov", "a.txt", "nor-here.mov"]);
    assert_eq!(code(&missing), 2);
    assert!(
        errors(&missing).contains("nowhere.mov") && errors(&missing).contains("nor-here.mov"),
        "{}",
        errors(&missing)
    );

    let failed =
        agent.masv(&["upload", "start", "portal", "--subdomain=none", "--sender=a@example.com", "a.txt", "--wait"]);
    assert_eq!(code(&failed), 6, "{}", errors(&failed));
    let unasked = agent.masv(&["upload", "rm", "all"]);
    assert!(code(&unasked) == 2 && errors(&unasked).contains("--yes"), "{}", errors(&unasked));
    assert_eq!(agent.json(&["upload", "rm", "all", "--states", "error"])["removed"], 1);
    assert_eq!(agent.json(&["upload", "rm", "all", "--yes"])["removed"], 2);
    assert_eq!(agent.json(&["upload", "ls"])["transfers"], Value::Array(Vec::new()));
}

/// Case: a link upload whose package cannot be made yet. The command says that there is no link, and why.
#[test]
fn a_link_that_is_not_there_yet_is_told_with_its_reason() {
    let agent = Agent::start("", &["--cloud-url", "http://127.0.0.1:9", "--api-key", "k", "--team-id", "t"]);
    std::fs::write(agent.path("a.txt"), b"hello").unwrap();
    let started = agent.masv(&["upload", "start", "link", "a.txt", "--output", "text"]);
    assert_eq!(code(&started), 0, "{}", errors(&started));
    assert!(errors(&started).contains("there is no link yet: "), "{}", errors(&started));
}

/// What cannot be done as ordered is refused by the name of its field; a portal is known by its host as well.
/// Cases: chunk sizes that the cloud does not take, `delete_after: 0`, an empty team; an e-mail's recipients are in the status.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_would_become_something_else_is_refused() {
    let agent = Agent::start("", &[]);
    std::fs::write(agent.path("a.txt"), b"hello").unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for (field, value) in [
        ("chunk_size", Value::from("1MB")),
        ("chunk_size", Value::from("6GiB")),
        ("delete_after", Value::from(0)),
        ("download_limit", Value::from(0)),
        ("team_id", Value::from("")),
    ] {
        let order = serde_json::json!({ "paths": [agent.path("a.txt")], field: value });
        let answer = client.post(format!("{}/api/v1/uploads", agent.url())).json(&order).send().await.unwrap();
        assert_eq!(answer.status(), 400, "{field}");
        let answer: Value = answer.json().await.unwrap();
        assert!(answer["fields"][field].is_string(), "{answer}");
    }
    let to = ["--subdomain", "ACME.portal.massive.app", "--sender", "me@example.com", "--metadata", "a=1, b=x, y"];
    let id = agent.json(&[&["upload", "start", "portal", "a.txt"][..], &to].concat())["upload_id"].clone();
    let upload = agent.json(&["upload", "status", id.as_str().unwrap()]);
    assert_eq!(upload["portal"], serde_json::json!({ "subdomain": "acme", "sender": "me@example.com" }));
    let id = agent.json(&["upload", "start", "email", "--emails", "a@example.com", "a.txt"])["upload_id"].clone();
    let complete = |list: &[Value]| list.iter().any(|one| one["id"] == id && one["state"] == "complete");
    agent.wait_for("it is sent", Duration::from_secs(20), complete);
    let upload = agent.json(&["upload", "status", id.as_str().unwrap()]);
    assert_eq!(upload["recipients"], serde_json::json!(["a@example.com"]));
    assert_eq!(upload["files"][0]["chunk_size"], 100 << 20);
    let shown = agent.masv(&["upload", "status", id.as_str().unwrap(), "--output", "text"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("to        a@example.com") && shown.contains("parts     of 104.9 MB"), "{shown}");
}

/// "the agent has no rules file to write into": without one, rules that are added on the command line had no place.
#[test]
fn rules_are_added_changed_and_removed_without_a_rules_file_of_ones_own() {
    let mut agent = Agent::start("", &[]);
    let add = "automation add download --subdomain acme --name Clients --destination in";
    agent.json(&add.split(' ').collect::<Vec<_>>());
    let file = agent.path("data/rules.yaml");
    let update = "automation update download clients --disable --priority 3 --destination ../elsewhere";
    let changed = agent.json(&update.split(' ').collect::<Vec<_>>());
    assert_eq!((&changed["enabled"], &changed["priority"]), (&false.into(), &3.into()), "{changed}");
    agent.stop();
    agent.go_on();
    assert_eq!(agent.json(&["server", "status"])["rules_file"], file.display().to_string());
    assert_eq!(agent.json(&["rule", "ls"])["automations"][0]["name"], "clients", "it is there at the next start");
    assert_eq!(code(&agent.masv(&["automation", "delete", "clients"])), 2, "nobody can be asked");
    agent.json(&["automation", "delete", "clients", "--yes"]);
    assert_eq!(agent.json(&["rule", "ls"])["automations"], Value::Array(Vec::new()));
}

/// Starting with a key was no session for the command line: teams could not be looked up.
#[test]
fn an_agent_with_a_key_is_signed_in_as_its_team() {
    let agent = Agent::start("", &[]);
    assert!(agent.json(&["user", "status"])["user"].is_null());
    let teams = agent.json(&["user", "teams"]);
    assert!(teams["teams"][0]["id"].is_string(), "{teams}");
    let fifo = "settings fifo update --enable --downloads 1 --uploads 2";
    let mode = agent.json(&fifo.split(' ').collect::<Vec<_>>());
    assert_eq!(mode, serde_json::json!({ "enabled": true, "active_upload_count": 2, "active_download_count": 1 }));
    let started = "download start --url http://127.0.0.1:9/L?secret=s --destination in --bypass-package-quarantine --chunk-size 64MB";
    assert!(agent.json(&started.split(' ').collect::<Vec<_>>())["download_id"].is_string());
}

/// Cases: the folder of `man --to` is created; `--server nonsense` is told to be no address, with the exit code of wrong use.
#[test]
fn commands_at_the_top_say_the_same_as_those_below() {
    let agent = Agent::start("", &[]);
    assert_eq!(agent.json(&["status"])["pid"], agent.json(&["server", "status"])["pid"]);
    assert_eq!(agent.json(&["ls"]), agent.json(&["upload", "ls"]));
    assert_eq!(agent.json(&["version"])["version"], env!("CARGO_PKG_VERSION"));
    let text = |arguments: &[&str]| String::from_utf8(agent.masv(arguments).stdout).unwrap();
    assert_eq!(text(&["help", "upload", "start"]).trim_end(), text(&["upload", "start", "--help"]).trim_end());
    assert!(text(&["help"]).contains("masv server start"));
    let unknown = agent.masv(&["help", "upload", "stat"]);
    assert!(code(&unknown) == 2 && errors(&unknown).contains("masv upload stat"), "{}", errors(&unknown));
    assert!(agent.masv(&["man", "--to", "not/yet/there"]).status.success());
    assert!(agent.path("not/yet/there/masv.1").exists());
    let nonsense = agent.masv(&["--server", "nonsense", "status"]);
    assert!(code(&nonsense) == 2 && errors(&nonsense).contains("is not a valid address"), "{}", errors(&nonsense));
}

#[test]
fn settings_are_kept_over_restarts() {
    let mut agent = Agent::start("", &[]);
    agent.json(&["settings", "rate-limit", "update", "--limit", "20MB"]);
    agent.json(&["settings", "workers", "update", "3"]);
    agent.json(&["settings", "fifo", "update", "1"]);
    agent.json(&["settings", "open-files", "update", "7"]);
    agent.json(&["settings", "disk-readers", "update", "2"]);
    agent.json(&["settings", "rate-limit", "update", "--schedule", "mon-fri=08:00-18:00"]);
    assert_eq!(code(&agent.masv(&["settings", "rate-limit", "update", "--schedule", "monday"])), 2);
    assert_eq!(code(&agent.masv(&["settings", "workers", "update", "0"])), 2);
    assert_eq!(agent.stop(), Some(0));
    agent.go_on();
    assert_eq!(agent.json(&["settings", "rate-limit", "status"])["rate_limit_bps"], 20_000_000);
    assert_eq!(agent.json(&["settings", "workers", "status"])["workers"], 3);
    assert_eq!(agent.json(&["settings", "fifo", "status"])["active_upload_count"], 1);
    assert_eq!(agent.json(&["settings", "open-files", "status"])["open_files"], 7);
    assert_eq!(agent.json(&["settings", "disk-readers", "status"])["disk_readers"], 2);
    let limit = agent.json(&["settings", "rate-limit", "status"]);
    assert!(limit["schedule_enabled"] == true && limit["schedule"]["fri"]["end"] == "18:00", "{limit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unix_socket_serves_as_well_and_is_gone_after_the_stop() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("agent.sock");
    let address = format!("unix://{}", socket.display());
    let mut agent = Agent::start("", &["--listen", &address]);
    assert!(agent.json(&["server", "status"])["pid"].is_number());
    agent.stop();
    assert!(!socket.exists());
}

/// What the event stream says, from after an event until something stands in it.
async fn read_events(url: &str, last: &str, until: &str) -> String {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut answer = client.get(url).header("Last-Event-ID", last).send().await.unwrap();
    let mut text = String::new();
    while !text.contains(until) {
        let chunk = tokio::time::timeout(Duration::from_secs(5), answer.chunk()).await;
        text.push_str(&String::from_utf8_lossy(&chunk.unwrap().unwrap().unwrap()));
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_away_too_long_is_told_what_is_missing_of_the_events() {
    let mut agent = Agent::start("", &[]);
    std::fs::write(agent.path("a.txt"), b"hello").unwrap();
    assert_eq!(code(&agent.masv(&["upload", "start", "link", "a.txt", "--wait"])), 0);
    agent.stop();
    // As the bound on the log does after a hundred thousand events.
    let database = rusqlite::Connection::open(agent.path("data/agent.db")).unwrap();
    let newest: i64 = database.query_row("SELECT max(id) FROM event", [], |row| row.get(0)).unwrap();
    assert!(newest >= 3, "{newest}");
    database.execute("DELETE FROM event WHERE id < 3", []).unwrap();
    drop(database);
    agent.go_on();
    let url = format!("{}/api/v1/events", agent.url());
    let gap = |text: &str| -> Option<Value> {
        let mut lines = text.lines().skip_while(|line| *line != "event: log.gap");
        lines.nth(1).map(|line| serde_json::from_str(line.trim_start_matches("data: ")).unwrap())
    };
    let told = read_events(&url, "1", "upload.complete").await;
    let missing = gap(&told).unwrap_or_else(|| panic!("{told}"));
    assert_eq!((&missing["data"]["oldest"], &missing["data"]["newest"]), (&3.into(), &newest.into()));
    assert!(told.find("log.gap") < told.find("id: 3\n"), "first of all: {told}");
    let nothing_lost = read_events(&url, "2", "upload.complete").await;
    assert_eq!(gap(&nothing_lost), None, "{nothing_lost}");
    // An id of another log: the agent's memory was set up again.
    let foreign = read_events(&url, "1000000", "log.gap").await;
    assert!(!foreign.contains("id: "), "{foreign}");
}

#[test]
fn all_files_of_an_upload_are_shown_however_many_there_are() {
    const FILES: usize = 2_050;
    let agent = Agent::start("", &[]);
    let folder = agent.path("many");
    std::fs::create_dir(&folder).unwrap();
    (0..FILES).for_each(|number| std::fs::write(folder.join(format!("{number:04}.txt")), b"x").unwrap());
    let started = agent.json(&["upload", "start", "link", "--no-finalize", "many"]);
    let id = started["upload_id"].as_str().unwrap();
    let shown = agent.json(&["upload", "status", id]);
    let names: std::collections::BTreeSet<&str> =
        shown["files"].as_array().unwrap().iter().map(|file| file["path"].as_str().unwrap()).collect();
    assert_eq!((names.len(), &shown["file_count"]), (FILES, &FILES.into()));

    let link = agent.json(&["upload", "finalize", id])["links"][0]["url"].as_str().unwrap().to_owned();
    agent.wait_for("it is sent", Duration::from_secs(180), |uploads| uploads[0]["state"] == "complete");
    let started = agent.json(&["download", "start", "--url", &link, "--destination", "got"]);
    let id = started["download_id"].as_str().unwrap();
    agent.wait_for_downloads("it is here", Duration::from_secs(180), |all| all[0]["state"] == "complete");
    let shown = agent.json(&["download", "status", id]);
    assert_eq!((shown["files"].as_array().unwrap().len(), &shown["file_count"]), (FILES, &FILES.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_streamed_and_resumed_from_where_one_stopped() {
    let agent = Agent::start("", &[]);
    std::fs::write(agent.path("a.txt"), b"hello").unwrap();
    assert_eq!(code(&agent.masv(&["upload", "start", "link", "a.txt", "--wait"])), 0);
    let written: Value = serde_json::from_slice(&std::fs::read(agent.path("data/agent.json")).unwrap()).unwrap();
    let url = format!("{}/api/v1/events", written["address"].as_str().unwrap());
    let read = async |last: &str, until: &str| read_events(&url, last, until).await;
    let all = read("0", "upload.complete").await;
    let kinds: Vec<&str> = all.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
    assert_eq!((kinds.first(), kinds.last()), (Some(&"upload.created"), Some(&"upload.complete")), "{all}");
    let second = read("1", "upload.complete").await;
    assert!(!second.contains("upload.created"), "{second}");
}

/// Case: removing without naming the states is refused.
#[tokio::test(flavor = "multi_thread")]
async fn what_would_be_passed_over_is_refused() {
    let agent = Agent::start("", &[]);
    std::fs::write(agent.path("a.txt"), b"hello").unwrap();
    agent.json(&["upload", "start", "link", "--no-finalize", "a.txt"]);
    let written: Value = serde_json::from_slice(&std::fs::read(agent.path("data/agent.json")).unwrap()).unwrap();
    let url = format!("{}/api/v1/uploads", written["address"].as_str().unwrap());
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for states in ["", "?states=", "?states=,", "?states=%20,"] {
        let answer = client.delete(format!("{url}{states}")).send().await.unwrap();
        assert_eq!(answer.status(), 400, "{states}");
    }
    assert_eq!(agent.json(&["upload", "ls"])["transfers"].as_array().unwrap().len(), 1, "nothing was removed");
    let body = serde_json::json!({ "paths": [agent.path("a.txt")], "pasword": "secret" });
    let answer = client.post(&url).json(&body).send().await.unwrap();
    assert_eq!(answer.status(), 400);
    assert!(answer.text().await.unwrap().contains("pasword"));
}
