//! `masv rule` as it is typed, against an agent of its own.

use std::time::Duration;

use serde_json::Value;

use crate::process::{Agent, code, command, errors};
use crate::support::wait_until;

const LIMIT: Duration = Duration::from_secs(20);

/// Standard output of a command that succeeds.
fn said(agent: &Agent, arguments: &[&str]) -> String {
    let output = agent.masv(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", errors(&output));
    String::from_utf8(output.stdout).unwrap()
}

const RULE: &str = "rules:
  - name: dailies
    watch: drop
    create: true
    package: file
    settle: 1s
    exclude: ['*.txt']
    schedule: '0 18 * * *'
    upload: { kind: link, name: 'Roll \"{{ stem }}\", {{ count }}' }
    notify: [{ exec: [sh, -c, 'cat > told.new; echo >> told.new; mv told.new told.json'], events: [upload.complete] }]
timezone: Europe/Berlin
";

#[tokio::test]
async fn rules_are_explained_tried_run_and_told_of() {
    let bench = Agent::start(RULE, &[]);
    std::fs::write(bench.path("drop/A001.mov"), b"film").unwrap();
    std::fs::write(bench.path("drop/notes.txt"), b"no film").unwrap();

    let explained = said(&bench, &["rule", "explain", "./drop/../drop/A001.mov", "--output", "text"]);
    assert!(explained.contains("dailies") && explained.contains("It matches the rule dailies."), "{explained}");
    assert!(explained.contains("\nStatus: "), "{explained}");
    let output = bench.masv(&["rule", "explain", "drop/notes.txt", "--output", "text"]);
    assert_eq!(code(&output), 4);
    assert!(errors(&output).contains("no rule matches"), "{}", errors(&output));
    assert!(errors(&output).contains("\n  dailies: excluded by `*.txt`"), "{}", errors(&output));
    assert_eq!(code(&bench.masv(&["rule", "explain", "/elsewhere/A001.mov"])), 4);

    let tried = said(&bench, &["rule", "dry-run", "--output", "text"]);
    assert!(tried.contains("would send \"Roll \"A001\", 1\" by link (1 file, 4 B)"), "{tried}");
    let other = RULE.replace("Roll", "Reel");
    std::fs::write(bench.path("other.yaml"), format!("version: 1\n{other}")).unwrap();
    let tried = bench.json(&["rule", "dry-run", "other.yaml", "--output", "json"]);
    assert_eq!(tried["rules"][0]["packages"][0]["name"], "Reel \"A001\", 1");
    std::fs::write(bench.path("other.yaml"), "version: 1\nrules: 7\n").unwrap();
    let output = bench.masv(&["rule", "dry-run", "other.yaml"]);
    assert_eq!(code(&output), 2);
    assert!(errors(&output).contains("other.yaml:2"), "{}", errors(&output));

    let status = said(&bench, &["rule", "status", "dailies", "--output", "text"]);
    assert!(status.contains("schedule at 18:00 (Europe/Berlin)"), "{status}");
    let next = status.lines().find(|line| line.starts_with("  next ")).unwrap();
    assert_eq!(next.matches("18:00").count(), 3, "{next}");
    assert!(said(&bench, &["rule", "ls", "--output", "text"]).contains("FOLDER"));

    let settled =
        || said(&bench, &["rule", "explain", "drop/A001.mov", "--output", "text"]).contains("packages are created");
    wait_until("only the schedule is waited for", LIMIT, || async { settled() }).await;
    said(&bench, &["rule", "run", "dailies"]);
    let complete = |list: &[Value]| list.len() == 1 && list[0]["state"] == "complete";
    bench.wait_for("it is sent", LIMIT, complete);
    let history = bench.json(&["rule", "history", "dailies", "--output", "json"]);
    let link = history["transfers"][0]["links"][0]["url"].as_str().unwrap().to_owned();

    // Which package it went into, and when; also when it is no longer there.
    let id = history["transfers"][0]["id"].as_str().unwrap().to_owned();
    let day = jiff::Timestamp::now().to_string()[..10].to_owned();
    let went = |explained: &str| {
        explained.contains(&format!("was sent in package \"Roll \"A001\", 1\" (upload {id}) on {day}T"))
    };
    let explain = || said(&bench, &["rule", "explain", "drop/A001.mov", "--output", "text"]);
    wait_until("the ledger has it", LIMIT, || async { went(&explain()) }).await;
    std::fs::rename(bench.path("drop/A001.mov"), bench.path("A001.mov")).unwrap();
    let explained = explain();
    assert!(went(&explained) && explained.contains("A001.mov does not exist"), "{explained}");
    std::fs::rename(bench.path("A001.mov"), bench.path("drop/A001.mov")).unwrap();

    let csv = said(&bench, &["rule", "history", "dailies", "--since", "1h", "--output", "csv"]);
    let mut lines = csv.lines();
    assert_eq!(lines.next(), Some("when,name,files,bytes,duration,link,outcome,to"));
    let row = lines.next().unwrap();
    assert!(row.contains("Z,\"Roll \"\"A001\"\", 1\",1,4,") && row.ends_with(&format!(",{link},complete,")), "{row}");
    assert_eq!(lines.next(), None);
    let later = said(&bench, &["rule", "history", "dailies", "--since", "2999-01-01", "--output", "csv"]);
    assert_eq!(later.lines().count(), 1, "only the header");
    assert_eq!(code(&bench.masv(&["rule", "status", "dailies", "--output", "csv"])), 2);
    assert_eq!(code(&bench.masv(&["rule", "history", "dailies", "--since", "soon"])), 2);

    let told = bench.path("told.json");
    wait_until("the program was told", LIMIT, || async { told.exists() }).await;
    let told: Value = serde_json::from_slice(&std::fs::read(told).unwrap()).unwrap();
    assert_eq!((&told["rule"], &told["upload"]["link"]), (&"dailies".into(), &link.into()));
    let tried = said(&bench, &["rule", "dry-run", "--output", "text"]);
    assert!(tried.contains("1 file already sent, in flight, or marked as sent"), "{tried}");

    let forgets = |path: &str| bench.masv(&["rule", "forget", "dailies", path, "--output", "text"]);
    let forgot = |path: &str| String::from_utf8(forgets(path).stdout).unwrap();
    assert_eq!(forgot("drop/other.mov"), "No record matches; nothing was changed.\n");
    assert_eq!(forgot("drop/../drop/A001.mov"), "Forgot 1 entry; what is still there will be transferred again.\n");
    let refused = forgets("elsewhere/A001.mov");
    assert_eq!(code(&refused), 2);
    assert!(errors(&refused).contains("is not in the folder of the rule `dailies`"), "{}", errors(&refused));
}

#[test]
fn a_dry_run_needs_no_agent_unless_one_was_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let masv = |arguments: &[&str]| command(folder.path(), arguments).output().unwrap();
    std::fs::write(path("rules.yaml"), format!("version: 1\n{RULE}")).unwrap();
    std::fs::create_dir(path("drop")).unwrap();
    std::fs::write(path("drop/A001.mov"), b"film").unwrap();
    let output = masv(&["--output", "json", "rule", "dry-run"]);
    assert!(output.status.success(), "{}", errors(&output));
    assert!(errors(&output).contains("No agent is running"));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["rules"][0]["packages"][0]["name"], "Roll \"A001\", 1");
    assert!(!path("data").exists(), "nothing is left behind");
    let output = masv(&["--server", "http://127.0.0.1:1", "rule", "dry-run"]);
    assert_eq!(code(&output), 3);
}
