//! Download rules, with the program as a user runs it: what arrives in a portal comes down once, whatever happens to
//! the agent; rules are added by order; a relay sends on what it has received.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::process::Agent;
use crate::support::{content, wait_until};

const LIMIT: Duration = Duration::from_secs(60);

/// Delivers files to the portal `acme` of the agent's own hub.
fn deliver(agent: &Agent, name: &str, files: &[(&str, Vec<u8>)]) {
    let mut arguments = vec!["upload", "start", "portal", "--subdomain=acme", "--sender=sender@example.com", "--wait"];
    let named = format!("--name={name}");
    arguments.push(&named);
    let folder = agent.path("outgoing").join(name);
    std::fs::create_dir_all(&folder).unwrap();
    let mut paths = Vec::new();
    for (file, bytes) in files {
        std::fs::write(folder.join(file), bytes).unwrap();
        paths.push(folder.join(file).to_str().unwrap().to_owned());
    }
    arguments.extend(paths.iter().map(String::as_str));
    let output = agent.masv(&arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

async fn arrives(agent: &Agent, path: &str, bytes: &[u8]) {
    let full = agent.path(path);
    wait_until(path, LIMIT, || async { full.exists() }).await;
    assert!(std::fs::read(&full).unwrap() == bytes, "{path} is not what was sent");
}

/// The rule's downloads, newest first, once `count` of them are complete.
async fn history(agent: &Agent, rule: &str, count: usize) -> Vec<Value> {
    let transfers =
        || agent.json(&["rule", "history", rule, "--output", "json"])["transfers"].as_array().unwrap().clone();
    wait_until(&format!("{count} downloads are complete"), LIMIT, || async {
        let transfers = transfers();
        transfers.len() >= count && transfers.iter().all(|one| one["state"] == "complete")
    })
    .await;
    let transfers = transfers();
    assert_eq!(transfers.len(), count, "{transfers:#?}");
    transfers
}

fn said(agent: &Agent, arguments: &[&str]) -> String {
    let output = agent.masv(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn status(agent: &Agent, rule: &str) -> Value {
    agent.json(&["rule", "status", rule, "--output", "json"])
}

const RULES: &str = "rules:
  # what clients send
  - name: from-acme
    portal: acme
    into: incoming
    portal_folder: true
    poll: 1s
    notify: [{ exec: [sh, -c, 'cat >> told.json; echo >> told.json'], events: [download.complete] }]
";

/// Case: kills and pauses while portal rules fetch: each delivery comes down once.
#[tokio::test(flavor = "multi_thread")]
async fn each_delivery_comes_down_once_over_kills_pauses_and_orders() {
    let mut agent = Agent::start(RULES, &[]);
    deliver(&agent, "Day 1", &[("a.mov", content(1, 400_000)), ("b.txt", b"b".to_vec())]);
    arrives(&agent, "incoming/acme/Day 1/a.mov", &content(1, 400_000)).await;
    let day1 = history(&agent, "from-acme", 1).await.remove(0);
    assert_eq!((&day1["name"], &day1["rule"]), (&json!("Day 1"), &json!("from-acme")));
    let package = day1["package_id"].as_str().unwrap().to_owned();

    // The ledger outlives the process, and the list of downloads.
    agent.json(&["download", "rm", "all", "--states", "complete"]);
    agent.kill();
    agent.go_on();
    deliver(&agent, "Day 2", &[("a.mov", content(2, 1_000))]);
    arrives(&agent, "incoming/acme/Day 2/a.mov", &content(2, 1_000)).await;
    history(&agent, "from-acme", 1).await;
    assert_eq!(status(&agent, "from-acme")["received"], 2);

    said(&agent, &["rule", "pause", "from-acme"]);
    wait_until("it is paused", LIMIT, || async { status(&agent, "from-acme")["state"] == "paused" }).await;
    agent.kill();
    agent.go_on();
    deliver(&agent, "Day 3", &[("a.mov", content(3, 1_000))]);
    let tried = said(&agent, &["rule", "dry-run", "--output", "text"]);
    assert!(tried.contains("would download \"Day 3\" from the portal acme"), "{tried}");
    assert_eq!(status(&agent, "from-acme")["state"], "paused");
    assert!(!agent.path("incoming/acme/Day 3").exists());
    said(&agent, &["rule", "resume", "all"]);
    arrives(&agent, "incoming/acme/Day 3/a.mov", &content(3, 1_000)).await;
    history(&agent, "from-acme", 2).await;

    let explained = said(&agent, &["rule", "explain", &package, "--output", "text"]);
    assert!(
        explained.contains("it came through the portal acme") && explained.contains("it was received"),
        "{explained}"
    );
    let listed = said(&agent, &["automation", "ls", "--output", "text"]);
    assert!(listed.contains("from-acme") && listed.contains("download"), "{listed}");
    let told = || std::fs::read_to_string(agent.path("told.json")).unwrap_or_default();
    wait_until("the program was told of three", LIMIT, || async { told().lines().count() == 3 }).await;
    let first: Value = serde_json::from_str(told().lines().next().unwrap()).unwrap();
    assert_eq!((&first["event"], &first["download"]["name"]), (&json!("download.complete"), &json!("Day 1")));
    let destination = Path::new(first["download"]["destination"].as_str().unwrap());
    assert!(destination.ends_with("incoming/acme/Day 1"), "{destination:?}");

    // Only a request downloads it again.
    std::fs::remove_file(agent.path("incoming/acme/Day 1/a.mov")).unwrap();
    assert_eq!(agent.json(&["rule", "forget", "from-acme", &package])["forgotten"], 1);
    arrives(&agent, "incoming/acme/Day 1/a.mov", &content(1, 400_000)).await;
    let again = history(&agent, "from-acme", 3).await.remove(0);
    let files = agent.json(&["download", "status", again["id"].as_str().unwrap()])["files"].as_array().unwrap().clone();
    let by_path =
        |path: &str| files.iter().find(|file| file["path"].as_str().unwrap().ends_with(path)).unwrap().clone();
    assert_eq!(by_path("a.mov")["checksum"], blake3::hash(&content(1, 400_000)).to_hex().to_string());
    assert_eq!(by_path("b.txt")["state"], "skipped", "what is there is not fetched again");
}

#[tokio::test(flavor = "multi_thread")]
async fn automations_are_added_by_order_into_the_rules_file_and_work_at_once() {
    let agent = Agent::start("# ours\nrules: []\n# nothing yet\n", &[]);
    let rules = agent.path("rules.yaml");
    let bad = agent.masv(&[
        "automation",
        "add",
        "download",
        "--all",
        "--name=x",
        "--destination=in",
        "--effective-time=soon",
    ]);
    assert_eq!(bad.status.code(), Some(2), "{}", String::from_utf8_lossy(&bad.stderr));
    assert!(String::from_utf8_lossy(&bad.stderr).contains("expected a time"), "{bad:?}");

    let flags = "automation add download --all --name Clients --destination incoming --create-package-folder=false \
                 --effective-time 2025-01-20T00:00:00Z --priority 3";
    let added = agent.json(&flags.split_whitespace().collect::<Vec<_>>());
    assert_eq!(added, json!({ "automation_id": "clients" }));
    let again = agent.masv(&["automation", "add", "download", "--all", "--name=clients", "--destination=in"]);
    assert!(String::from_utf8_lossy(&again.stderr).contains("already"), "{again:?}");
    let flags = "automation add upload --name to-acme --watch drop --create --package file --settle 1s \
                 --subdomain acme --sender sender@example.com --delete";
    agent.json(&flags.split_whitespace().collect::<Vec<_>>());
    let text = std::fs::read_to_string(&rules).unwrap();
    assert!(text.contains("# ours") && text.contains("# nothing yet"), "{text}");

    let listed = agent.json(&["automation", "ls"])["automations"].as_array().unwrap().clone();
    let names: Vec<_> =
        listed.iter().map(|rule| (rule["name"].as_str().unwrap(), rule["kind"].as_str().unwrap())).collect();
    assert_eq!(names, [("clients", "download"), ("to-acme", "portal")]);
    assert_eq!((&listed[0]["priority"], &listed[0]["portals"]), (&json!(3), &Value::Null));

    std::fs::write(agent.path("drop/clip.mov"), content(4, 50_000)).unwrap();
    wait_until("it is sent, and deleted here", LIMIT, || async { !agent.path("drop/clip.mov").exists() }).await;
    said(&agent, &["rule", "run", "clients"]);
    arrives(&agent, "incoming/clip.mov", &content(4, 50_000)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_sends_on_what_is_whole_and_the_package_leaves_the_cloud() {
    let rules = "rules:
  - name: in
    portal: acme
    into: relay
    poll: 1s
    after: delete
  - name: out
    watch: relay
    create: true
    package: folder
    settle: 500ms
    upload: { kind: link }
";
    let agent = Agent::start(rules, &[]);
    // Slow enough that an incomplete file would settle.
    agent.json(&["settings", "rate-limit", "update", "--direction", "download", "--limit", "4MB"]);
    let big = content(5, 12_000_000);
    deliver(&agent, "Rushes", &[("big.mov", big.clone()), ("small.txt", b"small".to_vec())]);
    let sent = |list: &[Value]| {
        list.iter().any(|one| one["rule"] == "out" && one["state"] == "complete")
            && !list.iter().any(|one| one["state"] == "transferring")
    };
    let uploads = agent.wait_for("it is sent on", LIMIT, sent);
    let link = |upload: &Value| upload["links"][0]["url"].as_str().unwrap().to_owned();
    let mut received = Vec::new();
    for upload in uploads.iter().filter(|one| one["rule"] == "out") {
        received.extend(crate::support::received(&link(upload)).await);
    }
    received.sort();
    let expected = vec![("Rushes/big.mov".to_owned(), big), ("Rushes/small.txt".to_owned(), b"small".to_vec())];
    assert_eq!(crate::support::digests(&received), crate::support::digests(&expected), "each file once, and whole");
    let package = history(&agent, "in", 1).await[0]["package_id"].as_str().unwrap().to_owned();
    wait_until("the package is removed", LIMIT, || async {
        let explained = agent.masv(&["rule", "explain", &package, "--output", "text"]);
        String::from_utf8_lossy(&explained.stdout).contains("does not contain this package")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cloud_that_is_away_is_told_of_and_a_disabled_rule_does_nothing() {
    let rules = "rules:
  - { name: away, portals: all, into: in, poll: 1s }
  - { name: off, portals: all, into: in, enabled: false }
";
    let agent = Agent::start(rules, &["--cloud-url", "http://127.0.0.1:1", "--api-key", "k", "--team-id", "t"]);
    wait_until("it is offline", LIMIT, || async { status(&agent, "away")["state"] == "offline" }).await;
    let away = status(&agent, "away");
    assert!(away["reason"].as_str().unwrap().contains("list the inbox"), "{away}");
    assert_eq!(status(&agent, "off")["state"], "disabled");
    assert!(agent.log().contains("Rule away: could not list the inbox"), "{}", agent.log());
    let refused = agent.masv(&["rule", "run", "off"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("disabled"), "{refused:?}");
}

/// "An inbox rule on a full disk": what does not fit waits for room and says so, nothing unfinished keeps the disk full, and when there is
/// room the rest comes by itself.
#[tokio::test(flavor = "multi_thread")]
async fn an_inbox_rule_on_a_full_disk_fetches_the_rest_when_there_is_room() {
    const SIZE: usize = 7 << 20;
    let Some(disk) = crate::operations::small_disk() else { return };
    let target = disk.folder();
    let rules = format!(
        "rules:\n  - {{ name: from-acme, portal: acme, into: '{}', portal_folder: false, poll: 1s, enabled: true }}\n",
        target.path().display()
    );
    let mut agent = Agent::prepare(&rules, &[]);
    agent.environment = vec![("MASV_HURRY".to_owned(), "1".to_owned())];
    agent.go_on();
    let count = 5;
    for number in 0..count {
        deliver(&agent, &format!("Day {number}"), &[("a.mov", content(number, SIZE))]);
    }
    let arrived = |number: u64| target.path().join(format!("Day {number}/a.mov"));
    wait_until("the disk is full, and that is told", LIMIT, || async {
        let list = agent.json(&["download", "ls"])["transfers"].as_array().unwrap().clone();
        let fetched = (0..count).filter(|number| arrived(*number).exists()).count();
        fetched >= 1 && list.iter().any(|one| one.to_string().contains("bytes free"))
    })
    .await;
    wait_until("the rule says so", LIMIT, || async { status(&agent, "from-acme").to_string().contains("bytes free") })
        .await;
    let mut came = std::collections::BTreeSet::new();
    wait_until("all have come", LIMIT * 2, || {
        for number in 0..count {
            // Somebody takes away what is there, and makes room.
            if std::fs::metadata(arrived(number)).is_ok_and(|found| found.len() == SIZE as u64) {
                assert!(std::fs::read(arrived(number)).unwrap() == content(number, SIZE), "Day {number}");
                std::fs::remove_file(arrived(number)).unwrap();
                assert!(came.insert(number), "Day {number} came twice");
            }
        }
        let all = came.len() as u64 == count;
        async move { all }
    })
    .await;
    history(&agent, "from-acme", usize::try_from(count).unwrap()).await;
    wait_until("the trouble is over", LIMIT, || async {
        let error = status(&agent, "from-acme")["last_error"].clone();
        error.is_null() || error["over"] == true
    })
    .await;
}
