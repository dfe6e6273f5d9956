//! Nothing leaks: whatever happens, at the most verbose log level, no secret is where anyone else could read it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::process::command;
use crate::support::TestHub;

const SOON: Duration = Duration::from_secs(30);
/// The key that [`TestHub`] takes, and the password of its user.
const KEY: &str = "test-key";
const PASSWORD: &str = "correct horse battery";
const WRONG_PASSWORD: &str = "incorrect-horse-97";
const LINK_PASSWORD: &str = "opens-the-package-31";
const HOOK_SECRET: &str = "signs-the-webhook-59";
const HOOK_ADDRESS: &str = "hook-path-that-nobody-knows";
const LOCAL_TOKEN: &str = "sesame-for-the-api-73";

/// Case: keys, passwords and tokens in the log, process lists, errors and metrics.
#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_the_log_a_process_list_an_error_or_a_metric() {
    let hub = TestHub::start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let secret_file = |name: &str, secret: &str| {
        std::fs::write(path(name), secret).unwrap();
        std::fs::set_permissions(path(name), PermissionsExt::from_mode(0o600)).unwrap();
    };
    secret_file("key", KEY);
    secret_file("token", LOCAL_TOKEN);
    secret_file("password", PASSWORD);
    secret_file("wrong", WRONG_PASSWORD);
    secret_file("link-password", LINK_PASSWORD);
    let rules = format!(
        "version: 1\nrules:\n  - name: quick\n    watch: drop\n    create: true\n    settle: 200ms\n    package: file\n    \
         upload: {{ kind: link, password: {LINK_PASSWORD} }}\n    notify:\n      - webhook: http://127.0.0.1:9/{HOOK_ADDRESS}\n        \
         secret: {HOOK_SECRET}\n        events: [upload.complete]\n"
    );
    std::fs::write(path("rules.yaml"), rules).unwrap();
    let log = std::fs::File::create(path("log")).unwrap();
    let mut agent =
        command(folder.path(), &["server", "start", "--rules", "rules.yaml", "--listen", "http://127.0.0.1:0"])
            .args([
                "--cloud-url",
                hub.url.as_str(),
                "--api-key-file",
                "key",
                "--token-file",
                "token",
                "--team-id",
                &hub.team,
            ])
            .args(["--log-level", "trace", "--log-format", "json"])
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
    let masv = |arguments: &[&str]| {
        let said = command(folder.path(), arguments).args(["--with-token", "token"]).output().unwrap();
        (said.status.success(), String::from_utf8(said.stdout).unwrap(), String::from_utf8(said.stderr).unwrap())
    };
    let until = |what: &str, arguments: &[&str], good: &dyn Fn(&str) -> bool| {
        let deadline = Instant::now() + SOON;
        loop {
            let (done, said, complaint) = masv(arguments);
            if done && good(&said) {
                return said;
            }
            assert!(Instant::now() < deadline, "{what}: {said}{complaint}");
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    until("it answers", &["server", "status"], &|_| true);

    // What works, and what goes wrong, with every secret there is.
    let mut said = String::new();
    let mut run = |arguments: &[&str]| {
        let (_, answer, complaint) = masv(arguments);
        said.push_str(&answer);
        said.push_str(&complaint);
    };
    run(&["user", "login", "--email", "editor@example.com", "--password-file", "wrong"]);
    run(&["user", "login", "--email", "editor@example.com", "--password-file", "password"]);
    run(&["user", "status"]);
    std::fs::write(path("drop/clip.mov"), b"clip").unwrap();
    std::fs::write(path("by-hand.mov"), b"by hand").unwrap();
    run(&["upload", "start", "link", "--password-file", "link-password", "by-hand.mov"]);
    let list = until("both are sent", &["upload", "ls"], &|said| said.matches("\"complete\"").count() == 2);
    let list: Value = serde_json::from_str(&list).unwrap();
    let link = list["transfers"][0]["links"][0]["url"].as_str().unwrap().to_owned();
    let link_secret = link.split_once("secret=").unwrap().1.to_owned();
    run(&["download", "start", "--url", &link, "--destination", "in", "--password-file", "wrong"]);
    run(&["download", "start", "--url", &format!("{link}x"), "--destination", "in"]);
    run(&["server", "status", "--settings"]);
    run(&["doctor"]);
    run(&["rule", "status", "quick"]);
    let address: Value = serde_json::from_slice(&std::fs::read(path("data/agent.json")).unwrap()).unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let metrics = client.get(format!("{}/metrics", address["address"].as_str().unwrap())).bearer_auth(LOCAL_TOKEN);
    let metrics = metrics.send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("masv_uploads"), "{metrics}");
    // The webhook is tried, and fails: the log says so.
    let deadline = Instant::now() + SOON;
    let log = loop {
        let log = std::fs::read_to_string(path("log")).unwrap();
        if log.contains("127.0.0.1:9") || Instant::now() > deadline {
            break log;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    let processes = std::fs::read_to_string(format!("/proc/{}/cmdline", agent.id())).unwrap_or_default();
    let session = session_of(&path("data/agent.db"));

    let secrets =
        [KEY, PASSWORD, WRONG_PASSWORD, LINK_PASSWORD, HOOK_SECRET, HOOK_ADDRESS, LOCAL_TOKEN, &link_secret, &session];
    for (place, text) in [("log", &log), ("process list", &processes), ("metrics", &metrics), ("answers", &said)] {
        for secret in secrets {
            // The link itself is a response: it is for its creator.
            if place == "answers" && secret == link_secret {
                continue;
            }
            if let Some(at) = text.find(secret) {
                let around: String = text[..at].chars().rev().take(300).collect::<Vec<_>>().into_iter().rev().collect();
                panic!("{secret:?} is in the {place}, after {around}");
            }
        }
    }
    assert!(log.lines().count() > 100, "at this level there is much to read");
    for line in log.lines().filter(|line| line.starts_with('{')) {
        assert!(serde_json::from_str::<Value>(line).is_ok(), "one JSON object a line: {line}");
    }
    assert_eq!(open_to_others(&path("data")), Vec::<String>::new());
    agent.kill().unwrap();
    agent.wait().unwrap();
}

/// The session's token, which the agent keeps across restarts.
fn session_of(database: &Path) -> String {
    let connection =
        rusqlite::Connection::open_with_flags(database, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let text: String =
        connection.query_row("SELECT value FROM setting WHERE key = 'session'", [], |row| row.get(0)).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()["token"].as_str().unwrap().to_owned()
}

/// The folder, and what is in it, where others than the owner can read or enter it.
fn open_to_others(folder: &Path) -> Vec<String> {
    let inside = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let all = std::iter::once(folder.to_owned()).chain(inside);
    let mode = |path: &Path| std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777;
    all.filter(|path| mode(path) & 0o077 != 0).map(|path| format!("{} {:o}", path.display(), mode(&path))).collect()
}

/// The embedded hub's files are the agent's: keys, and what clients sent.
#[test]
fn the_data_directory_and_the_hubs_folder_in_it_are_for_their_owner_only() {
    let agent = crate::process::Agent::start("", &[]);
    assert_eq!(open_to_others(&agent.path("data")), Vec::<String>::new());
    let key = std::fs::metadata(agent.path("data/hub/agent.key")).unwrap();
    assert_eq!(key.permissions().mode() & 0o777, 0o600);
}

/// A user of the agent's own in the test below, where it is run by root: to root, modes mean nothing.
const NOBODY: u32 = 64_003;

/// With `umask 777` the agent could not use what it had made itself, and sent nothing. With `umask 000`, what is private is as private as
/// ever.
#[test]
fn whatever_the_umask_the_agent_works_and_what_is_private_is_closed() {
    let rule = "rules:\n  - { name: quick, watch: drop, create: true, settle: 200ms, package: file, upload: { kind: link }, \
                after: { complete: { move: sent } } }\n";
    for (umask, folders, files) in [("777", 0o700, 0o600), ("000", 0o777, 0o666), ("027", 0o750, 0o640)] {
        let mut agent = crate::process::Agent::prepare(rule, &[]);
        let started = format!("umask {umask}; exec \"$@\"");
        agent.wrapper = ["sh", "-c", &started, "sh"].map(str::to_owned).into();
        if masv_platform::own_user() == 0 {
            let user = NOBODY.to_string();
            let other = ["setpriv", "--reuid", &user, "--regid", &user, "--clear-groups"].map(str::to_owned);
            agent.wrapper.splice(0..0, other);
            for path in [agent.path(""), agent.path("rules.yaml")] {
                std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
            }
        }
        agent.go_on();
        std::fs::write(agent.path("drop/clip.mov"), "clip").unwrap();
        let sent = agent.wait_for("it is sent", SOON, |list| list.iter().any(|upload| upload["state"] == "complete"));
        let deadline = Instant::now() + SOON;
        while !agent.path("sent/clip.mov").exists() {
            assert!(Instant::now() < deadline, "umask {umask}: it is not moved\n{}", agent.log());
            std::thread::sleep(Duration::from_millis(30));
        }
        let link = sent[0]["links"][0]["url"].as_str().unwrap();
        let into = agent.path("in").display().to_string();
        agent.json(&["download", "start", "--url", link, "--destination", &into]);
        agent.wait_for_downloads("it is received", SOON, |list| list.iter().all(|one| one["state"] == "complete"));

        // What an agent has for a moment only must not vanish while it is looked at.
        assert_eq!(agent.stop(), Some(0), "umask {umask}: {}", agent.log());
        let mode = |path: &Path| std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777;
        for entry in walkdir::WalkDir::new(agent.path("data")).into_iter().map(Result::unwrap) {
            let (path, mode) = (entry.path(), mode(entry.path()));
            let needed = if entry.file_type().is_dir() { 0o700 } else { 0o600 };
            assert!(mode & needed == needed, "umask {umask}: {} {mode:o}", path.display());
        }
        // What lies deeper is behind these.
        assert_eq!(open_to_others(&agent.path("data")), Vec::<String>::new(), "umask {umask}");
        let received = walkdir::WalkDir::new(&into).into_iter().map(Result::unwrap);
        let received = received.filter(|entry| entry.file_type().is_file()).map(|entry| mode(entry.path()));
        assert_eq!(received.collect::<Vec<_>>(), [files], "umask {umask}");
        for folder in ["drop", "sent", "in"] {
            assert_eq!(mode(&agent.path(folder)), folders, "umask {umask}: {folder}");
        }
    }
}
