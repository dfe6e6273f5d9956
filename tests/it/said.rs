//! What the agent says of itself is so, and what would lose something is asked for: commands and responses.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::process::{Agent, code, command, errors};
use crate::support::content;

const LIMIT: Duration = Duration::from_secs(60);
const RULE: &str = "rules:\n  - name: quick\n    watch: drop\n    create: true\n    settle: 300ms\n    package: file\n    \
                    upload: { kind: link }\n";

fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {LIMIT:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// An agent that sends one file slowly.
fn busy() -> Agent {
    let agent = Agent::start("", &[]);
    assert!(agent.masv(&["settings", "rate-limit", "update", "--limit", "1MB"]).status.success());
    std::fs::write(agent.path("big.mov"), content(7, 24_000_000)).unwrap();
    agent.json(&["upload", "start", "link", "big.mov"]);
    agent.wait_for("it is being sent", LIMIT, |list| list[0]["speed_bps"].as_u64().is_some_and(|bytes| bytes > 0));
    agent
}

/// Case: `server stop` returned before the agent had ended, and the next start found another agent on the data; or it said that there had
/// been no answer. While something is being sent, stop and start at once, again and again.
#[test]
fn an_agent_starts_at_once_when_the_stop_has_returned() {
    let mut agent = busy();
    for round in 0..4 {
        let stopped = agent.masv(&["server", "stop"]);
        assert_eq!(code(&stopped), 0, "round {round}: {}", errors(&stopped));
        // Not waited for: whoever starts it anew does not, either.
        agent.go_on();
        assert!(agent.is_running(), "round {round}: {}", agent.log());
    }
    assert!(!agent.log().contains("another agent uses"), "{}", agent.log());
}

/// Cases: a reader that goes away ends a command without a panic; where colours are unwanted there are none; nothing at all in the
/// environment, or a time zone that does not exist, keeps no command from working.
#[test]
fn commands_work_whatever_is_around_them() {
    let agent = Agent::start(RULE, &[]);
    for arguments in [&["rule", "schema"][..], &["man"], &["upload", "ls"]] {
        let mut reading = command(agent.folder.path(), arguments);
        let mut child = reading.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        child.wait().unwrap();
        assert!(!said.contains("panicked"), "{arguments:?}: {said}");
    }
    let bare = |name: &str, value: &str| {
        let mut masv = command(agent.folder.path(), &["server", "status", "--output", "text"]);
        masv.env_clear().env("MASV_DATA_DIR", agent.path("data")).env(name, value).output().unwrap()
    };
    for (name, value) in [("NOTHING", ""), ("TZ", "Nonsense/Nowhere"), ("LANG", "tr_TR.UTF-8"), ("NO_COLOR", "1")] {
        let output = bare(name, value);
        assert_eq!(code(&output), 0, "{name}={value}: {}", errors(&output));
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(shown.contains("process") && !shown.contains('\u{1b}'), "{name}={value}: {shown}");
    }
}

/// Case: the own hub has no mail server. Its log says that the mail was written to a folder, and not that it was sent.
#[test]
fn a_mail_that_became_a_file_is_not_called_sent() {
    let agent = Agent::start("", &[]);
    std::fs::write(agent.path("a.mov"), b"content").unwrap();
    agent.json(&["upload", "start", "email", "--emails", "a@example.com", "a.mov"]);
    until("the mail is written", || agent.log().contains("no mail server: mail written to"));
    assert!(!agent.log().contains("mail sent"), "{}", agent.log());
}

/// Case: an agent that is started with its standard input closed.
#[test]
fn an_agent_needs_no_standard_input() {
    let mut agent = Agent::prepare(RULE, &[]);
    agent.wrapper = ["sh", "-c", "exec \"$@\" <&-", "sh"].map(str::to_owned).into();
    agent.go_on();
    std::fs::create_dir_all(agent.path("drop")).unwrap();
    std::fs::write(agent.path("drop/clip.mov"), b"content").unwrap();
    agent.wait_for("it is sent", LIMIT, |list| list.len() == 1 && list[0]["state"] == "complete");
}

/// Case: a proxy that the environment names is not asked for what is on this machine.
#[test]
fn a_proxy_of_the_environment_is_passed_over_on_this_machine() {
    let mut agent = Agent::prepare(RULE, &[]);
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
        agent.environment.push((name.to_owned(), "http://127.0.0.1:9".to_owned()));
    }
    agent.go_on();
    std::fs::create_dir_all(agent.path("drop")).unwrap();
    std::fs::write(agent.path("drop/clip.mov"), b"content").unwrap();
    agent.wait_for("it is sent", LIMIT, |list| list.len() == 1 && list[0]["state"] == "complete");
}

/// Cases: a watched folder that does not exist is told by `rule check`; warnings are not counted as errors.
#[test]
fn a_check_counts_errors_and_warnings_apart() {
    let folder = tempfile::tempdir().unwrap();
    let check = |kinds: [&str; 2]| {
        let rules = kinds.iter().enumerate().map(|(number, kind)| {
            format!("  - {{ name: r{number}, watch: missing{number}, upload: {{ kind: {kind} }} }}\n")
        });
        let text = format!("version: 1\nrules:\n{}", rules.collect::<String>());
        std::fs::write(folder.path().join("rules.yaml"), text).unwrap();
        command(folder.path(), &["rule", "check", "rules.yaml", "--output", "text"]).output().unwrap()
    };
    let valid = check(["link", "link"]);
    assert_eq!(code(&valid), 0, "{}", errors(&valid));
    assert!(errors(&valid).contains("missing0 does not exist"), "{}", errors(&valid));
    let wrong = check(["link", "lnk"]);
    assert_eq!(code(&wrong), 1);
    assert!(errors(&wrong).contains("error: 1 error and 1 warning in"), "{}", errors(&wrong));
}

/// Cases: what removes everything is not done unasked; `--team-id=` is no team, and `--delete-after=0` no day.
#[test]
fn what_cannot_be_undone_or_meant_is_refused() {
    let agent = Agent::start("", &[]);
    std::fs::write(agent.path("a.txt"), b"hello").unwrap();
    let id = agent.json(&["upload", "start", "link", "a.txt"])["upload_id"].clone();
    for noun in ["upload", "download"] {
        let refused = agent.masv(&[noun, "rm", "all"]);
        assert!(code(&refused) == 2 && errors(&refused).contains("--yes"), "{noun}: {}", errors(&refused));
    }
    for (flag, field) in
        [("--team-id=", "team_id"), ("--delete-after=0", "delete_after"), ("--download-limit=0", "download_limit")]
    {
        let refused = agent.masv(&["upload", "start", "link", flag, "a.txt"]);
        assert!(code(&refused) == 2 && errors(&refused).contains(field), "{flag}: {}", errors(&refused));
    }
    let left = agent.json(&["upload", "ls"])["transfers"].as_array().unwrap().clone();
    assert!(left.len() == 1 && left[0]["id"] == id, "nothing was begun or removed: {left:?}");
}

/// Cases: responses that hold links are kept by no cache; a query that is not valid is answered as any other bad request, and not with a
/// text of the framework.
#[tokio::test(flavor = "multi_thread")]
async fn responses_with_secrets_are_not_kept_and_bad_queries_are_answered_as_documented() {
    let agent = Agent::start(RULE, &[]);
    std::fs::write(agent.path("a.txt"), b"hello").unwrap();
    let id = agent.json(&["upload", "start", "link", "a.txt"])["upload_id"].as_str().unwrap().to_owned();
    agent.wait_for("it is sent", LIMIT, |list| list[0]["state"] == "complete");
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let get = async |path: &str| {
        let answer = client.get(format!("{}/api/v1/{path}", agent.url())).send().await.unwrap();
        let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let (kept, kind) = (header("cache-control"), header("content-type"));
        (answer.status().as_u16(), kept, kind.unwrap_or_default(), answer.text().await.unwrap())
    };
    for path in ["uploads".to_owned(), format!("uploads/{id}"), "automations/rules_file".to_owned()] {
        let (status, kept, _, text) = get(&path).await;
        assert_eq!((status, kept.as_deref()), (200, Some("no-store")), "{path}: {text}");
        assert!(path.contains("rules_file") || text.contains("secret="), "{path}: {text}");
    }
    for query in [
        "automations/quick/history?since=true".to_owned(),
        "uploads?limit=99999999999".to_owned(),
        format!("uploads/{id}?limit=many"),
        "downloads?limit=many".to_owned(),
        format!("downloads/{id}?limit=many"),
    ] {
        let (status, kept, kind, text) = get(&query).await;
        assert_eq!(
            (status, kind.as_str(), kept.as_deref()),
            (400, "application/json", Some("no-store")),
            "{query}: {text}"
        );
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert!(answer["code"] == 400 && answer["message"].is_string(), "{query}: {text}");
    }
}

/// Case: a dry run says "would send" of a card whose checksums it does not compare; it says so.
#[test]
fn a_dry_run_says_that_it_compares_no_checksums() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("drop/A001")).unwrap();
    std::fs::write(folder.path().join("drop/A001/clip.mov"), "damaged").unwrap();
    std::fs::write(folder.path().join("drop/A001/A001.md5"), "d8eced3b06972df4d1dd7d835fc3edd3  clip.mov\n").unwrap();
    let rule = "version: 1\nrules:\n  - { name: cards, watch: drop, package: folder, ready: { manifest: '*.md5' }, upload: { kind: link } }\n";
    std::fs::write(folder.path().join("rules.yaml"), rule).unwrap();
    let output = command(folder.path(), &["rule", "dry-run", "rules.yaml", "--output", "text"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("would send \"A001\""), "{said}");
    assert!(
        said.contains("a dry run does not compare checksums; 1 listed file would be compared before sending"),
        "{said}"
    );
}

/// Cases: a rules file that becomes a link to another (as configuration tools do) is the other; one that is emptied, or cut off after
/// `rules:`, leaves the rules as they were.
#[cfg(target_os = "linux")]
#[test]
fn a_rules_file_may_become_a_link_and_an_emptied_one_removes_no_rule() {
    let agent = Agent::start(RULE, &[]);
    let names = || agent.json(&["rule", "ls"])["automations"].to_string();
    let problem = || agent.json(&["server", "status"])["rules_problem"].clone();
    std::fs::write(agent.path("other.yaml"), format!("version: 1\n{}", RULE.replace("quick", "linked"))).unwrap();
    std::os::unix::fs::symlink("other.yaml", agent.path("link.yaml")).unwrap();
    std::fs::rename(agent.path("link.yaml"), agent.path("rules.yaml")).unwrap();
    until("the other file is loaded", || names().contains("linked") && problem().is_null());
    for cut in ["", "version: 1\nrules:\n"] {
        std::fs::write(agent.path("other.yaml"), cut).unwrap();
        until("it is refused", || problem().is_string());
        assert!(names().contains("linked"), "{}", names());
        std::fs::write(agent.path("other.yaml"), format!("version: 1\n{}", RULE.replace("quick", "linked"))).unwrap();
        until("nothing is wrong any more", || problem().is_null());
    }
}

/// Case: Ctrl-C ends what follows something with exit code 130, whenever it is pressed: right after the first line it killed the process
/// without a word, and between two looks it was lost.
#[test]
fn ctrl_c_ends_what_follows_with_130_whenever_it_is_pressed() {
    let agent = busy();
    let uploads = agent.wait_for("there is one", LIMIT, |list| !list.is_empty());
    let id = uploads[0]["id"].as_str().unwrap();
    let following: [&[&str]; 2] = [&["upload", "ls", "--watch"], &["upload", "watch", id]];
    for arguments in following {
        for round in 0..8 {
            let mut following = command(agent.folder.path(), arguments);
            let following = following.args(["--output", "json"]).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child = following.spawn().unwrap();
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            // At another moment between two looks each time.
            lines.next().unwrap().unwrap();
            std::thread::sleep(Duration::from_millis(37 * round));
            let process = rustix::process::Pid::from_child(&child);
            rustix::process::kill_process(process, rustix::process::Signal::INT).unwrap();
            let mut said = String::new();
            child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            assert_eq!(child.wait().unwrap().code(), Some(130), "{arguments:?}, round {round}: {said}");
        }
    }
    assert_eq!(agent.json(&["upload", "status", id])["state"], "transferring");
}
