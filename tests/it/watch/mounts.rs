//! Disks and shares that are not mounted, and others in their place: with real mounts, while a rule runs and over its restarts. Only
//! root can mount; without that each test says that it was skipped.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use masv_agent::model::{FileState, Problem, State};
use masv_agent::watch::RuleState;

use super::support::Bench;
use crate::process::Agent;

const LIMIT: Duration = Duration::from_secs(60);
const RESENDING: &str = "package: file\nsettle: 50ms\nrescan: 1s\nresend: true";

fn run(program: &str, arguments: &[&str], path: &Path) -> bool {
    Command::new(program).args(arguments).arg(path).output().is_ok_and(|output| output.status.success())
}

/// What is mounted on a folder, until this is dropped.
struct Mount(PathBuf);

impl Mount {
    /// An empty file system in memory.
    fn empty(at: &Path) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let mounted = run("mount", &["-t", "tmpfs", "disk"], at);
        Self::done(mounted, at)
    }

    /// A folder, or a whole disk, by another name.
    fn of(folder: &Path, at: &Path) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let mounted = run("mount", &["--bind", folder.to_str().unwrap()], at);
        Self::done(mounted, at)
    }

    #[expect(clippy::print_stderr, reason = "says that the test was skipped")]
    fn done(mounted: bool, at: &Path) -> Option<Self> {
        if !mounted {
            eprintln!("skipped: only root can mount");
        }
        mounted.then(|| Self(at.to_owned()))
    }

    /// Whatever is still open on it.
    fn away(self) {}
}

impl Drop for Mount {
    fn drop(&mut self) {
        assert!(run("umount", &["--lazy"], &self.0) || std::thread::panicking(), "{} stays mounted", self.0.display());
    }
}

/// A disk that can be mounted as the watched folder, or not.
struct Disk {
    _disk: Option<Mount>,
    folder: PathBuf,
}

impl Disk {
    /// A file system of its own.
    fn new(bench: &Bench) -> Option<Self> {
        let folder = bench.root.path().join("disk");
        Some(Self { _disk: Some(Mount::empty(&folder)?), folder })
    }

    /// A folder of the file system on which the watched folder is as well.
    fn on_the_same_device(bench: &Bench) -> Self {
        let folder = bench.root.path().join("share");
        std::fs::create_dir(&folder).unwrap();
        Self { _disk: None, folder }
    }

    fn mounted(&self, bench: &Bench) -> Option<Mount> {
        Mount::of(&self.folder, &bench.path(""))
    }
}

async fn is_offline(bench: &Bench) -> String {
    bench.until("the folder is offline", async || bench.status().state == RuleState::Offline).await;
    bench.status().reason.unwrap()
}

async fn is_online(bench: &Bench) {
    let online = async || bench.status().last_scan.is_some() && bench.status().state != RuleState::Offline;
    bench.until("the folder is back", online).await;
}

async fn sends_five(bench: &Bench) {
    for number in 0..5 {
        bench.write(format!("clip{number}.mov"), format!("{number}"));
    }
    bench.packages_when(5).await;
    for upload in bench.uploads().await {
        bench.complete(&upload).await;
    }
    bench.looked_again().await;
}

async fn known(bench: &Bench) -> usize {
    bench.store.ledger_page("dailies", None, 100).await.unwrap().len()
}

/// Five files sent by a rule with `resend`; the agent stopped, the share unmounted, the agent started, the share mounted again: all five
/// were sent once more. With a mount point on the same device (a bind mount, a container) that happened while the agent ran, too.
#[tokio::test(flavor = "multi_thread")]
async fn an_unmounted_share_is_no_deletion_over_a_restart_and_what_was_sent_is_not_sent_again() {
    for (own_device, restarts) in [(true, true), (true, false), (false, true), (false, false)] {
        let case = format!("a device of its own: {own_device}, a restart: {restarts}");
        let mut bench = Bench::new();
        let disk = if own_device { Disk::new(&bench) } else { Some(Disk::on_the_same_device(&bench)) };
        let Some(disk) = disk else { return };
        let Some(mount) = disk.mounted(&bench) else { return };
        bench.start(RESENDING).await;
        sends_five(&bench).await;
        if restarts {
            bench.stop().await;
        }
        mount.away();
        if restarts {
            bench.start(RESENDING).await;
        }
        let reason = is_offline(&bench).await;
        assert!(reason.contains("is not the one that was watched before"), "{case}: {reason}");
        assert!(reason.contains("5 files") && reason.contains("masv rule accept-folder dailies"), "{case}: {reason}");
        assert_eq!(known(&bench).await, 5, "{case}");
        let Some(mount) = disk.mounted(&bench) else { return };
        is_online(&bench).await;
        bench.looked_again().await;
        assert_eq!((bench.uploads().await.len(), known(&bench).await), (5, 5), "{case}");
        // What is really removed is forgotten still.
        std::fs::remove_file(bench.path("clip0.mov")).unwrap();
        bench.until("it is forgotten", async || known(&bench).await == 4).await;
        bench.stop().await;
        mount.away();
    }
}

/// A rule with `existing: skip` was started for the first time before its share with old files was mounted: they were all sent.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_on_a_share_that_is_mounted_after_the_first_start_was_there_already() {
    const KEYS: &str = "package: file\nsettle: 50ms\nrescan: 1s\nexisting: skip";
    for restarts in [true, false] {
        let mut bench = Bench::new();
        let Some(disk) = Disk::new(&bench) else { return };
        for number in 0..5 {
            std::fs::write(disk.folder.join(format!("old{number}.mov")), "old").unwrap();
        }
        bench.start(KEYS).await;
        let noted =
            async || bench.store.rule_record("dailies").await.unwrap().is_some_and(|rule| rule.folder.is_some());
        bench.until("the first start is noted", noted).await;
        if restarts {
            bench.stop().await;
        }
        let Some(mount) = disk.mounted(&bench) else { return };
        if restarts {
            bench.start(KEYS).await;
        }
        bench.until("they count as sent", async || known(&bench).await == 5).await;
        bench.write("new.mov", "new");
        assert_eq!(bench.packages_when(1).await, [["new.mov"]], "a restart: {restarts}");
        bench.looked_again().await;
        assert_eq!(bench.uploads().await.len(), 1);
        bench.stop().await;
        mount.away();
    }
}

/// A share goes away while an upload still needs its files: they are not left out of the package as if they had been removed, however
/// long it takes, with what the rule says for removed ones.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_waits_for_files_on_a_share_that_is_away() {
    for restarts in [true, false] {
        let mut bench = Bench::new();
        bench.gone_wait = Duration::from_millis(100);
        let Some(disk) = Disk::new(&bench) else { return };
        let Some(mount) = disk.mounted(&bench) else { return };
        // Nothing but the failed upload makes it look.
        let keys = "package: { per: batch, quiet: 100ms }\nsettle: 50ms\nrescan: 1h\non_gone: send_rest";
        bench.start(keys).await;
        for name in ["one.mov", "two.mov", "three.mov"] {
            bench.write(name, name);
        }
        bench.packages_when(1).await;
        let upload = bench.uploads().await.remove(0);
        bench.store.file_done(upload.id, 0, None, None).await.unwrap();
        if restarts {
            bench.stop().await;
        }
        mount.away();
        let problem = Problem { code: "source_gone".into(), message: "x".into(), retryable: true, hint: None };
        for number in 1..3 {
            bench.store.file_failed(upload.id, number, FileState::Gone, problem.clone()).await.unwrap();
        }
        let error = (State::Error, Some(problem));
        bench.store.move_to(upload.id, &[State::Transferring], error.0, error.1).await.unwrap();
        if restarts {
            bench.start(keys).await;
        }
        let reason = is_offline(&bench).await;
        assert!(reason.contains("lacks 2 files that the rule still needs"), "{reason}");
        // As on_gone would have it.
        tokio::time::sleep(bench.gone_wait * 5).await;
        let now = bench.store.upload(upload.id).await.unwrap();
        assert_eq!((now.state, now.totals.files), (State::Error, 3));
        let Some(mount) = disk.mounted(&bench) else { return };
        let goes_on = async || bench.store.upload(upload.id).await.unwrap().state == State::Transferring;
        bench.until("it goes on", goes_on).await;
        assert_eq!(bench.store.upload(upload.id).await.unwrap().totals.files, 3);
        bench.stop().await;
        mount.away();
    }
}

/// Cards in a reader, one after the other: each is another file system, and what is on it is sent. What another one held stays known.
#[tokio::test(flavor = "multi_thread")]
async fn another_card_is_sent_and_the_first_one_is_not_sent_again() {
    let mut bench = Bench::new();
    let Some(first) = Disk::new(&bench) else { return };
    let folder = bench.root.path().join("second");
    let second = Disk { _disk: Mount::empty(&folder), folder };
    std::fs::write(second.folder.join("A002C001.mov"), "second").unwrap();
    let Some(mount) = first.mounted(&bench) else { return };
    bench.start(RESENDING).await;
    sends_five(&bench).await;
    mount.away();
    is_offline(&bench).await;
    let Some(mount) = second.mounted(&bench) else { return };
    assert_eq!(bench.packages_when(6).await[5], ["A002C001.mov"]);
    bench.complete(&bench.uploads().await[5]).await;
    bench.looked_again().await;
    bench.stop().await;
    mount.away();
    let Some(mount) = first.mounted(&bench) else { return };
    bench.start(RESENDING).await;
    is_online(&bench).await;
    bench.looked_again().await;
    assert_eq!((bench.uploads().await.len(), known(&bench).await), (6, 6));
    bench.stop().await;
    mount.away();
}

/// Another disk is put there on purpose, and it is empty: the rule takes it when somebody says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_on_another_file_system_is_taken_when_it_is_accepted() {
    let mut bench = Bench::new();
    let Some(disk) = Disk::new(&bench) else { return };
    let Some(mount) = disk.mounted(&bench) else { return };
    bench.start(RESENDING).await;
    sends_five(&bench).await;
    bench.stop().await;
    mount.away();
    bench.start(RESENDING).await;
    is_offline(&bench).await;
    bench.watcher().accept_folder("dailies").await.unwrap();
    is_online(&bench).await;
    bench.until("what is not there is forgotten", async || known(&bench).await == 0).await;
    bench.write("clip0.mov", "0");
    bench.packages_when(6).await;
    // It is remembered, too.
    bench.stop().await;
    bench.start(RESENDING).await;
    is_online(&bench).await;
    bench.stop().await;
}

/// The disk on which a folder lay is not mounted, and the rule may create its folder: it would create it on the wrong disk.
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_not_created_where_its_disk_is_not_mounted() {
    let mut bench = Bench::new();
    let text = "rules:\n  - name: dailies\n    watch: disk/inside\n    create: true\n    settle: 50ms\n    package: file\n    \
                upload: { kind: link }\n";
    let place = bench.root.path().join("disk");
    let Some(mount) = Mount::empty(&place) else { return };
    bench.start_rules(bench.rules_file(text)).await;
    is_online(&bench).await;
    let noted = async || bench.store.rule_record("dailies").await.unwrap().is_some_and(|rule| rule.folder.is_some());
    bench.until("the first start is noted", noted).await;
    bench.stop().await;
    mount.away();
    bench.start_rules(bench.rules_file(text)).await;
    assert_eq!(is_offline(&bench).await, "the folder does not exist");
    assert!(!place.join("inside").exists());
    bench.stop().await;
    // On its own disk it is made again.
    let Some(mount) = Mount::empty(&bench.root.path().join("other")) else { return };
    let text = text.replace("disk/inside", "other/inside");
    for _ in 0..2 {
        bench.start_rules(bench.rules_file(&text)).await;
        is_online(&bench).await;
        bench.stop().await;
        std::fs::remove_dir(mount.0.join("inside")).unwrap();
    }
}

/// By the program: what `rule status` says, and the command that it names.
#[test]
fn a_missing_disk_is_told_by_status_and_the_named_command_accepts_what_is_there() {
    let rule = "rules:\n  - { name: dailies, watch: drop, package: file, settle: 50ms, upload: { kind: link } }\n";
    let mut agent = Agent::prepare(rule, &[]);
    std::fs::create_dir_all(agent.path("drop")).unwrap();
    let Some(mount) = Mount::empty(&agent.path("drop")) else { return };
    agent.go_on();
    std::fs::write(agent.path("drop/one.mov"), "1").unwrap();
    agent.wait_for("it is sent", LIMIT, |list| list.len() == 1 && list[0]["state"] == "complete");
    assert_eq!(agent.stop(), Some(0));
    mount.away();
    agent.go_on();
    let deadline = std::time::Instant::now() + LIMIT;
    let status = |agent: &Agent| agent.json(&["rule", "status", "dailies"]);
    while status(&agent)["state"] != "offline" {
        assert!(std::time::Instant::now() < deadline, "{:#}", status(&agent));
        std::thread::sleep(Duration::from_millis(30));
    }
    let reason = status(&agent)["reason"].as_str().unwrap().to_owned();
    let (_, command) = reason.split_once("on purpose: masv ").unwrap();
    let arguments: Vec<&str> = command.split(' ').collect();
    assert_eq!(arguments, ["rule", "accept-folder", "dailies"]);
    assert!(agent.masv(&arguments).status.success());
    while status(&agent)["state"] == "offline" {
        assert!(std::time::Instant::now() < deadline, "{:#}", status(&agent));
        std::thread::sleep(Duration::from_millis(30));
    }
    std::fs::write(agent.path("drop/two.mov"), "2").unwrap();
    agent.wait_for("what is dropped now is sent", LIMIT, |list| list.len() == 2);
}

/// `watch: today`, a link that is turned to the folder of another day, empty at first: that is meant, whatever the rule knows of before.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_is_turned_to_another_folder_is_followed_over_a_restart() {
    let mut bench = Bench::new();
    std::fs::remove_dir(bench.root.path().join("drop")).unwrap();
    let around = bench.root.path().to_owned();
    let turn = |day: &str| {
        std::fs::create_dir(around.join(day)).unwrap();
        std::os::unix::fs::symlink(day, around.join("next")).unwrap();
        std::fs::rename(around.join("next"), around.join("drop")).unwrap();
    };
    turn("day1");
    bench.start(RESENDING).await;
    sends_five(&bench).await;
    bench.stop().await;
    turn("day2");
    bench.start(RESENDING).await;
    is_online(&bench).await;
    assert_eq!(bench.status().reason, None);
    bench.write("clip0.mov", "of another day");
    bench.packages_when(6).await;
    bench.stop().await;
}

/// Another card is put in while an upload still needs files of the first one: they are not given up for it, and it is sent when the first
/// is done, or when somebody says that the first will not come back.
#[tokio::test(flavor = "multi_thread")]
async fn another_card_waits_while_an_upload_still_needs_files_of_the_first() {
    let keys = "package: file\nsettle: 50ms\nrescan: 1s";
    let mut bench = Bench::new();
    let Some(first) = Disk::new(&bench) else { return };
    let folder = bench.root.path().join("second");
    let second = Disk { _disk: Mount::empty(&folder), folder };
    std::fs::write(second.folder.join("A002C001.mov"), "second").unwrap();
    let Some(mount) = first.mounted(&bench) else { return };
    bench.start(keys).await;
    bench.write("A001C001.mov", "first");
    bench.packages_when(1).await;
    bench.stop().await;
    mount.away();
    let Some(mount) = second.mounted(&bench) else { return };
    bench.start(keys).await;
    let reason = is_offline(&bench).await;
    assert!(reason.contains("lacks a file that the rule still needs"), "{reason}");
    assert_eq!(bench.uploads().await.len(), 1);
    bench.watcher().accept_folder("dailies").await.unwrap();
    assert_eq!(bench.packages_when(2).await[1], ["A002C001.mov"]);
    bench.stop().await;
    mount.away();
}
