//! What an operator relies on: metrics that dashboards and alerts can name, probes, settings with their source, copies of
//! the state, one agent per data directory, an end when something vital ends.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::process::{Agent, command};
use crate::support::{KEY, TestHub, wait_until};

const RULE: &str = "rules:\n  - name: quick\n    watch: drop\n    create: true\n    settle: 200ms\n    package: file\n    \
                    upload: { kind: link }\n";
const SOON: Duration = Duration::from_secs(30);

pub fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

async fn get(url: String) -> (u16, String) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client.get(url).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// Runs until `found` gives something.
fn wait_for<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + SOON;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(30));
    }
}

/// The value of a sample, by its name and labels as they stand.
fn sample(text: &str, name: &str) -> f64 {
    let line = text.lines().find(|line| line.split_once(' ').is_some_and(|(found, _)| found == name));
    line.unwrap_or_else(|| panic!("no {name} in\n{text}")).rsplit_once(' ').unwrap().1.parse().unwrap()
}

/// The names of samples.
fn names(exposition: &str) -> BTreeSet<String> {
    let samples = exposition.lines().filter(|line| !line.starts_with('#'));
    samples.map(|line| line.split(['{', ' ']).next().unwrap().to_owned()).collect()
}

/// All words of a text that can only be names of metrics.
pub fn metrics_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let is_metric = |word: &&str| {
        (word.starts_with("masv_") || word.starts_with("process_")) && !matches!(*word, "masv_agent" | "masv_token")
    };
    words.filter(is_metric).map(str::to_owned).collect()
}

/// Case: every metric that the pages name is there.
#[tokio::test(flavor = "multi_thread")]
async fn metrics_tell_of_the_work_and_every_name_in_the_documents_exists() {
    let agent = Agent::start(RULE, &[]);
    std::fs::write(agent.path("drop/clip.mov"), vec![7; 300_000]).unwrap();
    agent.wait_for("it is sent", SOON, |list| list.len() == 1 && list[0]["state"] == "complete");
    let (status, text) = get(format!("{}/metrics", agent.url())).await;
    assert_eq!(status, 200);
    assert!(text.ends_with("# EOF\n"));
    assert_eq!(sample(&text, "masv_uploads{state=\"complete\"}"), 1.0);
    assert_eq!(sample(&text, "masv_transfer_confirmed_bytes_total{direction=\"upload\"}"), 300_000.0);
    assert!(sample(&text, "masv_transfer_bytes_total{direction=\"upload\"}") >= 300_000.0);
    assert_eq!(sample(&text, "masv_transfer_retries_total{direction=\"upload\",cause=\"damaged\"}"), 0.0);
    assert_eq!(sample(&text, "masv_rule_state{rule=\"quick\",state=\"offline\"}"), 0.0);
    assert_eq!(sample(&text, "masv_rule_packages_total{rule=\"quick\"}"), 1.0);
    assert_eq!(sample(&text, "masv_queue_oldest_age_seconds{direction=\"upload\"}"), 0.0);
    assert!(sample(&text, "masv_events_total{kind=\"upload.created\"}") >= 1.0);
    assert!(!text.contains("clip") && !text.contains("secret"), "no names of files, no links: {text}");
    let there = names(&text);
    for document in ["docs/monitoring.md", "docs/monitoring/alerts.yaml", "docs/monitoring/grafana-dashboard.json"] {
        // A problem has a sample only while there is one.
        let named: Vec<_> = metrics_in(&read(document)).into_iter().filter(|name| name != "masv_hub_problem").collect();
        assert!(named.len() > 5, "{document} names {named:?}");
        let missing: Vec<_> = named.iter().filter(|name| !exists(name, &there)).collect();
        assert!(missing.is_empty(), "{document} names what is not there: {missing:?}\n{there:?}");
    }
    // Those of the embedded hub come with them, once each and before the end.
    assert_eq!(sample(&text, "masv_hub_packages{state=\"finalized\"}"), 1.0);
    assert_eq!((text.matches("# EOF").count(), text.matches("# TYPE masv_hub_packages ").count()), (1, 1));
    let documented = metrics_in(&(read("docs/monitoring.md") + &read("docs/hub.md")));
    let missing: Vec<_> = there.iter().filter(|name| !documented.iter().any(|known| belongs(name, known))).collect();
    assert!(missing.is_empty(), "docs/monitoring.md does not tell of {missing:?}");
    let _: Value = serde_json::from_str(&read("docs/monitoring/grafana-dashboard.json")).unwrap();
    let alerts: Value = serde_yaml::from_str(&read("docs/monitoring/alerts.yaml")).unwrap();
    for alert in alerts["groups"][0]["rules"].as_array().unwrap() {
        let told = [&alert["alert"], &alert["expr"], &alert["annotations"]["summary"], &alert["labels"]["severity"]];
        assert!(told.iter().all(|value| value.is_string()), "{alert}");
    }

    assert_eq!(sample(&text, "masv_rules_file_refused{}"), 0.0);
    std::fs::write(agent.path("rules.yaml"), "version: 1\nrulse: []\n").unwrap();
    wait_until("the file is refused", SOON, async || {
        let (_, text) = get(format!("{}/metrics", agent.url())).await;
        sample(&text, "masv_rules_file_refused{}") == 1.0
    })
    .await;
}

fn exists(name: &str, there: &BTreeSet<String>) -> bool {
    there.iter().any(|sample| belongs(sample, name))
}

/// A histogram is known by its name; its samples have more.
fn belongs(sample: &str, name: &str) -> bool {
    let more = ["", "_bucket", "_sum", "_count"];
    more.iter().any(|end| sample.strip_suffix(end) == Some(name))
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_answer_without_the_token_and_nothing_else_does() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "sesame").unwrap();
    std::fs::set_permissions(&token, PermissionsExt::from_mode(0o644)).unwrap();
    let start = ["server", "start", "--listen", "http://127.0.0.1:0", "--token-file", token.to_str().unwrap()];
    let refused = command(folder.path(), &start).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(2) && said.contains("chmod 600"), "{said}");

    std::fs::set_permissions(&token, PermissionsExt::from_mode(0o600)).unwrap();
    let mut agent = command(folder.path(), &start).stdout(std::process::Stdio::null()).spawn().unwrap();
    let written = folder.path().join("data/agent.json");
    let address = wait_for("it listens", || {
        let written: Value = serde_json::from_slice(&std::fs::read(&written).ok()?).ok()?;
        Some(written["address"].as_str()?.to_owned())
    });
    for (path, status) in [("/healthz", 200), ("/readyz", 200), ("/metrics", 401), ("/api/v1/server/settings", 401)] {
        assert_eq!(get(format!("{address}{path}")).await.0, status, "{path}");
    }
    agent.kill().unwrap();
    agent.wait().unwrap();
}

#[test]
fn settings_are_shown_with_where_they_are_from() {
    let folder = tempfile::tempdir().unwrap();
    let credentials = folder.path().join("credentials");
    std::fs::create_dir(&credentials).unwrap();
    std::fs::write(credentials.join("api-key"), "key-of-systemd").unwrap();
    std::fs::set_permissions(credentials.join("api-key"), PermissionsExt::from_mode(0o400)).unwrap();
    std::fs::write(folder.path().join("masv.yaml"), "cloud-url: http://127.0.0.1:9\nupload-workers: 3\n").unwrap();
    let socket = format!("unix://{}", folder.path().join("agent.sock").display());
    let mut agent = command(folder.path(), &["server", "start", "--config", "masv.yaml", "--listen", &socket])
        .env("MASV_CHUNK_SIZE", "64MiB")
        .env("MASV_SOCKET_MODE", "660")
        .env("CREDENTIALS_DIRECTORY", &credentials)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let ask = || {
        let said = command(folder.path(), &["server", "status", "--settings"]).output().unwrap();
        said.status.success().then(|| serde_json::from_slice::<Value>(&said.stdout).unwrap())
    };
    let answer = wait_for("it answers", ask);
    let of = |name: &str| {
        let settings = answer["settings"].as_array().unwrap();
        let setting = settings.iter().find(|setting| setting["name"] == name).unwrap();
        (setting["value"].as_str().unwrap().to_owned(), setting["source"].as_str().unwrap().to_owned())
    };
    assert_eq!(of("listen"), (socket, "flag".into()));
    assert_eq!(of("chunk-size"), ("67108864".into(), "MASV_CHUNK_SIZE".into()));
    assert_eq!(of("upload-workers"), ("3".into(), "masv.yaml".into()));
    assert_eq!(of("auto-finalize"), ("true".into(), "default".into()));
    assert_eq!(of("api-key-file").1, "credential api-key");
    assert!(!answer.to_string().contains("key-of-systemd"));
    let mode = std::fs::metadata(folder.path().join("agent.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    assert!(command(folder.path(), &["settings", "workers", "update", "5"]).output().unwrap().status.success());
    let workers =
        ask().unwrap()["settings"].as_array().unwrap().iter().find(|s| s["name"] == "upload-workers").cloned();
    assert_eq!(workers.unwrap()["source"], "masv settings workers update");
    agent.kill().unwrap();
    agent.wait().unwrap();
}

#[test]
fn a_line_of_the_log_says_which_upload_and_which_rule_it_is_about() {
    let tells = "    notify: [{ exec: [/bin/sh, -c, exit 1], events: [upload.complete] }]\n";
    let agent = Agent::start(&format!("{RULE}{tells}"), &[]);
    std::fs::write(agent.path("drop/one.mov"), b"one").unwrap();
    let list = agent.wait_for("it is sent", SOON, |list| list.len() == 1 && list[0]["state"] == "complete");
    let line = |words: &str| agent.log().lines().find(|line| line.contains(words)).map(str::to_owned);
    let complete = wait_for("it is written that it is sent", || line("upload complete"));
    assert!(complete.contains(list[0]["id"].as_str().unwrap()), "{complete}");
    let untold = wait_for("it is written that nobody could be told", || line("could not be notified"));
    assert!(untold.contains("telling{rule=\"quick\" event=\"upload.complete\"}"), "{untold}");
}

#[test]
fn a_copy_of_the_running_state_can_be_started_from() {
    let mut agent = Agent::start(RULE, &[]);
    std::fs::write(agent.path("drop/one.mov"), b"one").unwrap();
    agent.wait_for("it is sent", SOON, |list| list.len() == 1 && list[0]["state"] == "complete");
    let copied = agent.json(&["server", "backup", "copy.db"]);
    assert!(copied["bytes"].as_u64().unwrap() > 10_000, "{copied}");
    assert_eq!(std::fs::metadata(agent.path("copy.db")).unwrap().permissions().mode() & 0o777, 0o600);
    let again = agent.masv(&["server", "backup", "copy.db"]);
    assert!(!again.status.success() && String::from_utf8_lossy(&again.stderr).contains("already exists"));
    let nowhere = agent.masv(&["server", "backup", "nowhere/copy.db"]);
    assert!(!nowhere.status.success() && String::from_utf8_lossy(&nowhere.stderr).contains("nowhere"));
    std::fs::write(agent.path("drop/two.mov"), b"two").unwrap();
    agent.wait_for("the other is sent", SOON, |list| list.iter().filter(|u| u["state"] == "complete").count() == 2);

    // As docs/backup.md says: stop, put the copy where the database was, remove what belongs to the old one, start.
    assert_eq!(agent.stop(), Some(0));
    std::fs::rename(agent.path("copy.db"), agent.path("data/agent.db")).unwrap();
    for old in ["agent.db-wal", "agent.db-shm"] {
        let _ = std::fs::remove_file(agent.path("data").join(old));
    }
    std::fs::remove_file(agent.path("drop/two.mov")).unwrap();
    agent.go_on();
    let list = agent.wait_for("the state of the copy", SOON, |list| !list.is_empty());
    assert!(list.len() == 1 && list[0]["name"] == "one.mov", "{list:#?}");
    agent.masv(&["rule", "run", "quick"]);
    std::fs::write(agent.path("drop/three.mov"), b"three").unwrap();
    let list = agent
        .wait_for("it goes on", SOON, |list| list.iter().any(|u| u["name"] == "three.mov" && u["state"] == "complete"));
    assert_eq!(list.len(), 2, "what the copy knows as sent is not sent again: {list:#?}");
}

#[test]
fn a_second_agent_is_told_whose_the_data_directory_is() {
    let agent = Agent::start("", &[]);
    let pid = agent.json(&["server", "status"])["pid"].to_string();
    let second = agent.masv(&["server", "start", "--listen", "http://127.0.0.1:0"]);
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(second.status.code() == Some(1) && said.contains(&format!("process {pid}")), "{said}");
    assert!(said.contains("masv server stop"), "{said}");
}

/// A listener that breaks under the running agent: from outside, by the descriptor of the process.
#[cfg(target_os = "linux")]
#[test]
fn an_agent_whose_api_or_hub_ends_ends_with_a_clear_error() {
    for (part, wanted) in [("api", "the API ended unexpectedly"), ("hub", "the embedded hub ended unexpectedly")] {
        let mut agent = Agent::start("", &[]);
        let pid = u32::try_from(agent.json(&["server", "status"])["pid"].as_u64().unwrap()).unwrap();
        let port: u16 = match part {
            "api" => agent.url().rsplit_once(':').unwrap().1.parse().unwrap(),
            _ => std::fs::read_to_string(agent.path("data/hub/port")).unwrap().trim().parse().unwrap(),
        };
        break_listener(pid, port);
        assert_eq!(agent.ended(), Some(1), "{part}: {}", agent.log());
        assert!(agent.log().contains(wanted), "{part}: {}", agent.log());
        // What it said is true: started again it works.
        agent.go_on();
    }
}

#[cfg(target_os = "linux")]
fn break_listener(pid: u32, port: u16) {
    use std::net::{Shutdown, TcpStream};

    use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

    let table = std::fs::read_to_string(format!("/proc/{pid}/net/tcp")).unwrap();
    let local = format!("0100007F:{port:04X}");
    // In state 0A, listening; the inode is the tenth field.
    let inode = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let inode =
        inode.filter(|fields| fields[1] == local && fields[3] == "0A").map(|fields| fields[9].to_owned()).next();
    let socket = format!("socket:[{}]", inode.unwrap());
    let mut descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().map(|entry| entry.unwrap());
    let found = descriptors.find(|entry| std::fs::read_link(entry.path()).is_ok_and(|to| to.as_os_str() == &*socket));
    let number = found.unwrap().file_name().to_str().unwrap().parse().unwrap();
    let process = pidfd_open(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), PidfdFlags::empty()).unwrap();
    let stolen = pidfd_getfd(&process, number, PidfdGetfdFlags::empty()).unwrap();
    TcpStream::from(stolen).shutdown(Shutdown::Both).unwrap();
}

/// A terminal gives 256 descriptors on macOS and 1024 on Linux, and lets a process take more. With too few nothing is begun:
/// it would end in the middle, with an error about something else.
#[cfg(target_os = "linux")]
#[test]
fn few_descriptors_are_raised_and_too_few_are_told_at_the_start() {
    let limited = |rules: &str, limit: &str| {
        let mut agent = Agent::prepare(rules, &[]);
        agent.wrapper = ["sh", "-c", &format!("ulimit {limit} && exec \"$@\""), "sh"].map(str::to_owned).into();
        agent
    };
    let mut agent = limited("", "-S -n 128");
    agent.go_on();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", agent.json(&["server", "status"])["pid"])).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let allowed: u64 = line.split_whitespace().nth(3).unwrap().parse().unwrap();
    assert!(allowed >= 1024, "{line}");

    // With as few as it starts with, descriptors are counted: however much is dropped at once, none is wanting.
    let mut agent = limited(RULE, "-n 256");
    std::fs::create_dir(agent.path("drop")).unwrap();
    for number in 0..90 {
        std::fs::write(agent.path(&format!("drop/{number}.mov")), vec![7_u8; 2_000_000 + number]).unwrap();
    }
    agent.go_on();
    let sent = |list: &[Value]| list.iter().filter(|upload| upload["state"] == "complete").count();
    agent.wait_for("all are sent", SOON * 6, |list| {
        assert!(list.iter().all(|upload| upload["state"] != "error"), "{list:#?}");
        sent(list) == 90
    });

    let mut agent = limited("", "-n 128");
    agent.launch();
    assert_eq!(agent.wait_for_the_end(SOON).code(), Some(1));
    let log = agent.log();
    assert!(log.contains("only 128 files and connections may be open") && log.contains("ulimit -n"), "{log}");
}

/// Row "SIGTERM during start ended 2 of 30 by the signal": at whatever moment it is told to stop, it ends with 0 and its database is
/// complete without the log beside it.
#[test]
fn told_to_stop_while_it_starts_it_ends_as_at_any_other_time() {
    for attempt in 0..12 {
        let mut agent = Agent::prepare(RULE, &[]);
        agent.launch();
        let deadline = Instant::now() + SOON;
        while !agent.path("data/agent.lock").exists() {
            assert!(Instant::now() < deadline, "{}", agent.log());
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(attempt * 15));
        agent.signal(rustix::process::Signal::TERM);
        let ended = agent.wait_for_the_end(SOON);
        assert_eq!(ended.code(), Some(0), "attempt {attempt}: {ended}\n{}", agent.log());
        let log = std::fs::metadata(agent.path("data/agent.db-wal"));
        assert!(log.is_err() || log.unwrap().len() == 0, "attempt {attempt}: the log is not empty");
    }
}

/// Row "a locked agent.db": the rule says why nothing goes on, and what was dropped meanwhile is sent once it is unlocked.
#[test]
fn a_state_that_another_program_locks_is_told_and_nothing_is_lost() {
    let agent = Agent::start(RULE, &[]);
    let lock = rusqlite::Connection::open(agent.path("data/agent.db")).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    std::fs::create_dir_all(agent.path("drop")).unwrap();
    std::fs::write(agent.path("drop/clip.mov"), "dropped meanwhile").unwrap();
    let told = || {
        let status = agent.json(&["rule", "status", "quick"]);
        let said = status["last_error"]["message"].as_str().unwrap_or_default().to_owned();
        said.contains("locked").then_some(said)
    };
    let said = wait_for("it is told", told);
    assert!(!said.contains("closed"), "{said}");
    lock.execute_batch("ROLLBACK").unwrap();
    agent.wait_for("it is sent", SOON, |list| list.len() == 1 && list[0]["state"] == "complete");
}

/// Success was reported for what reached nobody: links that work on this machine only, mails that go to a folder.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_own_hub_does_not_reach_is_said_wherever_one_looks() {
    let rules = format!(
        "{RULE}  - name: mailed\n    watch: mails\n    create: true\n    upload: {{ kind: email, emails: [a@example.com] }}\n"
    );
    let agent = Agent::start(&rules, &[]);
    let links = "links work on this machine only";
    let mails = "e-mails are not delivered";
    let text = |arguments: &[&str]| {
        let said = agent.masv(&[arguments, &["--output", "text"]].concat());
        format!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr))
    };
    let told = [agent.log(), text(&["doctor"]), text(&["server", "status"]), text(&["rule", "check", "rules.yaml"])];
    for told in told {
        assert!(told.contains(links) && told.contains(mails), "{told}");
    }
    std::fs::write(agent.path("a.mov"), b"a").unwrap();
    let link = agent.json(&["upload", "start", "link", "a.mov"]);
    assert!(link["note"].as_str().unwrap().contains(links), "{link}");
    let mail = agent.json(&["upload", "start", "email", "--emails", "a@example.com", "a.mov"]);
    assert!(mail["note"].as_str().unwrap().contains(mails), "{mail}");
    let (_, metrics) = get(format!("{}/metrics", agent.url())).await;
    assert_eq!(sample(&metrics, "masv_delivery_limited{of=\"links\"}"), 1.0);

    let elsewhere = Agent::start("", &["--cloud-url", "http://127.0.0.1:9", "--api-key", "k", "--team-id", "t"]);
    assert_eq!(elsewhere.json(&["server", "status"])["limitations"], Value::Array(Vec::new()));
}

/// Ready means that an order could be kept: it was said over a state that could not be written.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_cannot_write_its_state_is_not_ready() {
    let Some(mut disk) = small_disk() else { return };
    let agent = Agent::start_in(disk.folder(), "", &[]);
    let ready = async || get(format!("{}/readyz", agent.url())).await.0;
    assert_eq!(ready().await, 200);
    disk.fill(&agent.path("ballast"));
    // What was found is good for a second.
    wait_until("it is told that nothing can be written", SOON, async || ready().await == 503).await;
    let examined: Value = serde_json::from_slice(&agent.masv(&["doctor"]).stdout).unwrap();
    let state = examined["checks"].as_array().unwrap().iter().find(|check| check["name"] == "state").unwrap();
    assert_eq!(state["grade"], "red", "{state}");
    std::fs::remove_file(agent.path("ballast")).unwrap();
    wait_until("there is room again", SOON, async || ready().await == 200).await;
}

/// A file system of its own with little room; none where this process may not mount one.
pub struct SmallDisk {
    mount: tempfile::TempDir,
}

pub fn small_disk() -> Option<SmallDisk> {
    let mount = tempfile::tempdir().unwrap();
    let mut command = std::process::Command::new("mount");
    command.args(["-t", "tmpfs", "-o", "size=24m", "masv-test"]).arg(mount.path());
    let mounted = rustix::process::geteuid().is_root() && command.status().is_ok_and(|status| status.success());
    mounted.then_some(SmallDisk { mount })
}

impl SmallDisk {
    pub fn folder(&self) -> tempfile::TempDir {
        tempfile::tempdir_in(self.mount.path()).unwrap()
    }

    /// Writes until nothing more goes.
    pub fn fill(&mut self, path: &Path) {
        let mut file = std::fs::File::create(path).unwrap();
        for size in [1 << 20, 4096, 1] {
            while std::io::Write::write_all(&mut file, &vec![1; size]).is_ok() {}
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("--lazy").arg(self.mount.path()).status();
    }
}

/// "Rules with failed uploads show nothing": a failed upload is in the metrics, in the rule's status, a `rule.error`, and red for the
/// doctor.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_upload_is_in_the_metrics_the_status_an_event_and_the_doctor() {
    let hub = TestHub::start().await;
    let flags = ["--cloud-url", hub.url.as_str(), "--api-key", KEY, "--team-id", &hub.team];
    let agent = Agent::start(
        "rules:\n  - { name: portal, watch: drop, create: true, settle: 200ms, package: file, \
         upload: { kind: portal, subdomain: nowhere, sender: a@example.com } }\n",
        &flags,
    );
    std::fs::write(agent.path("drop/clip.mov"), "content").unwrap();
    agent.wait_for("it has failed", SOON, |list| list.len() == 1 && list[0]["state"] == "error");
    wait_until("it is told", SOON, async || {
        let (_, text) = get(format!("{}/metrics", agent.url())).await;
        text.contains("masv_events_total{kind=\"rule.error\"}")
            && sample(&text, "masv_events_total{kind=\"rule.error\"}") >= 1.0
            && sample(&text, "masv_uploads{state=\"error\"}") == 1.0
            && sample(&text, "masv_rule_failed_uploads{rule=\"portal\"}") == 1.0
    })
    .await;
    let status = agent.json(&["rule", "status", "portal", "--output", "json"]);
    assert!(status["failed_uploads"] == 1 && status["last_error"]["code"] == "upload", "{status:#}");
    let examined: Value = serde_json::from_slice(&agent.masv(&["doctor"]).stdout).unwrap();
    let told =
        examined["checks"].as_array().unwrap().iter().find(|check| check["name"] == "uploads of portal").unwrap();
    assert_eq!(told["grade"], "red", "{told}");
}

/// "`/readyz` is always ready", beyond a full disk: a data directory that the agent may not write to any more is not ready. A hub that is
/// away and a folder that is not there do not hinder orders from being kept: the doctor says both.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_may_not_write_is_not_ready_and_the_doctor_names_what_is_away() {
    const NOBODY: u32 = 65_534;
    if !rustix::process::geteuid().is_root() {
        return; // Whoever owns a folder cannot be kept from it without another user.
    }
    let flags = ["--cloud-url", "http://127.0.0.1:9", "--api-key", "k", "--team-id", "t"];
    let rules = "rules:\n  - { name: nowhere, watch: not-there, upload: { kind: link } }\n";
    let mut agent = Agent::prepare(rules, &flags);
    agent.wrapper = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"].map(str::to_owned).into();
    for path in [agent.path(""), agent.path("rules.yaml")] {
        std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    agent.go_on();
    let ready = async || get(format!("{}/readyz", agent.url())).await.0;
    assert_eq!(ready().await, 200);
    let grades = |wanted: &[&str]| {
        let examined: Value = serde_json::from_slice(&agent.masv(&["doctor"]).stdout).unwrap();
        let checks = examined["checks"].as_array().unwrap();
        let grade =
            |name: &&str| checks.iter().find(|check| check["name"] == **name).map(|check| check["grade"].clone());
        wanted.iter().map(grade).collect::<Vec<_>>()
    };
    let red = Some(Value::from("red"));
    assert_eq!(grades(&["cloud", "folder of nowhere"]), [red.clone(), red.clone()]);
    let data = agent.path("data");
    std::os::unix::fs::chown(&data, Some(0), Some(0)).unwrap();
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o755)).unwrap();
    wait_until("it is told that nothing can be written", SOON, async || ready().await == 503).await;
    assert_eq!(grades(&["state"]), [red]);
    std::os::unix::fs::chown(&data, Some(NOBODY), Some(NOBODY)).unwrap();
    wait_until("it can be written again", SOON, async || ready().await == 200).await;
}

/// "500 rules: 629 threads and 737 descriptors": each watched folder takes one thread and three descriptors, as many as the system allows
/// watchers, and what comes besides does not grow with the rules. The last rule works like the first.
#[cfg(target_os = "linux")]
#[test]
fn five_hundred_rules_take_a_bounded_number_of_threads_and_descriptors() {
    const RULES: usize = 500;
    let rule = |number: usize| {
        format!(
            "  - {{ name: r{number}, watch: drop/{number}, create: true, settle: 200ms, package: file, \
             upload: {{ kind: link }} }}\n"
        )
    };
    let agent = Agent::start(&format!("rules:\n{}", (0..RULES).map(rule).collect::<String>()), &[]);
    for number in [0, RULES - 1] {
        let folder = agent.path(&format!("drop/{number}"));
        wait_for("the folder is there", || folder.exists().then_some(()));
        std::fs::write(folder.join("clip.mov"), "content").unwrap();
    }
    agent.wait_for("the first and the last rule have sent", SOON * 2, |list| {
        list.iter().filter(|upload| upload["state"] == "complete").count() == 2
    });
    let process = format!("/proc/{}", agent.id());
    let status = std::fs::read_to_string(format!("{process}/status")).unwrap();
    let threads = status.lines().find_map(|line| line.strip_prefix("Threads:")).unwrap().trim();
    let threads: usize = threads.parse().unwrap();
    let descriptors = std::fs::read_dir(format!("{process}/fd")).unwrap().count();
    let used = format!("{threads} threads, {descriptors} descriptors");
    let processors = std::thread::available_parallelism().unwrap().get();
    assert!(threads <= RULES + 160 + 2 * processors, "{used}");
    assert!(descriptors <= 3 * RULES + 160, "{used}");
}
