//! Where files really live: the kernel's limits, other users' files, network drives, names from other systems. By the
//! binary where only a process of its own can meet them.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::support::Bench;
use crate::process::Agent;

const LIMIT: Duration = Duration::from_secs(60);

const RULE: &str = "rules:
  - { name: dailies, watch: drop, create: true, package: file, settle: 50ms, upload: { kind: link } }
";

fn write(agent: &Agent, path: &str) {
    let path = agent.path("drop").join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, "x").unwrap();
}

fn status_when(agent: &Agent, what: &str, condition: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + LIMIT;
    loop {
        let status = agent.json(&["rule", "status", "dailies"]);
        if condition(&status) {
            return status;
        }
        assert!(Instant::now() < deadline, "not within {LIMIT:?}: {what}\n{status:#}\n{}", agent.log());
        std::thread::sleep(Duration::from_millis(30));
    }
}

fn said(agent: &Agent, arguments: &[&str]) -> String {
    let output = agent.masv(&[arguments, &["--output", "text"]].concat());
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Row "inotify watch limit (ENOSPC) read as disk full": a real limit, that of a user namespace of its own. The rest of the
/// tree is polled, nothing is missed, and both `rule status` and `doctor` name what to do.
#[cfg(target_os = "linux")]
#[test]
fn beyond_the_limit_of_watches_folders_are_polled_and_the_command_that_raises_it_is_named() {
    let script = "echo 4 > /proc/sys/user/max_inotify_watches && exec \"$@\"";
    let by = ["unshare", "--user", "--map-root-user", "sh", "-c", script, "sh"];
    if !std::process::Command::new(by[0]).args(&by[1..]).arg("true").status().is_ok_and(|status| status.success()) {
        return; // This machine does not let us make such a namespace.
    }
    let mut agent = Agent::prepare(RULE, &[]);
    agent.wrapper = by.map(str::to_owned).into();
    for folder in 0..12 {
        write(&agent, &format!("card{folder}/first.mov"));
    }
    agent.go_on();
    let status = status_when(&agent, "it polls", |status| status["limited"] == true);
    assert_eq!(status["state"], "polling");
    let reason = status["reason"].as_str().unwrap();
    assert!(reason.contains("sysctl fs.inotify.max_user_watches=") && reason.contains("13 folders"), "{reason}");
    agent.wait_for("all are there", LIMIT, |list| list.len() == 12);
    for folder in 0..12 {
        write(&agent, &format!("card{folder}/second.mov"));
    }
    agent.wait_for("what came later is found, too", LIMIT, |list| list.len() == 24);
    assert!(said(&agent, &["rule", "status", "dailies"]).contains("sysctl fs.inotify."));
    let doctor = said(&agent, &["doctor"]);
    assert!(doctor.contains("watching of dailies") && doctor.contains("sysctl fs.inotify."), "{doctor}");
}

/// Row "inotify queue overflow loses events silently": a real one. The process is halted while more happens than the
/// kernel's queue holds. Row "event channel full, process cannot be stopped": while there are more again, it ends in time.
#[cfg(target_os = "linux")]
#[test]
fn a_real_overflow_is_noticed_counted_and_made_up_for() {
    use rustix::process::Signal;

    let held = std::fs::read_to_string("/proc/sys/fs/inotify/max_queued_events");
    let held: usize = held.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(16_384);
    if held > 40_000 {
        return; // It would take a long time to fill.
    }
    let mut agent = Agent::start(&RULE.replace("settle: 50ms", "settle: 1h, rescan: 1h"), &[]);
    status_when(&agent, "it watches", |status| status["state"] == "watching" && status["last_scan"].is_object());
    agent.signal(Signal::STOP);
    // Making, opening, writing and closing are four events; and many more that say the same are told as one.
    let count = held / 4 + 1_000;
    for number in 0..count {
        std::fs::write(agent.path(&format!("drop/frame{number:06}.dpx")), "x").unwrap();
    }
    agent.signal(Signal::CONT);
    let all = |status: &Value| status["waiting_count"] == count && status["overflows"].as_u64() > Some(0);
    status_when(&agent, "everything is seen", all);
    let folder = agent.path("drop");
    let flood = std::thread::spawn(move || {
        (0..count).for_each(|number| std::fs::write(folder.join(format!("more{number:06}.dpx")), "x").unwrap());
    });
    let began = Instant::now();
    assert_eq!(agent.stop(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    flood.join().unwrap();
}

/// "No permission": what the agent's user may not read waits with a reason, and stops only itself. Root may read
/// everything, so the agent runs as another user.
#[test]
fn what_may_not_be_read_waits_and_stops_only_itself() {
    const NOBODY: u32 = 65_534;
    let mut agent = Agent::prepare(RULE, &[]);
    if rustix::process::geteuid().is_root() {
        let by = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
        if !std::process::Command::new(by[0]).args(&by[1..]).arg("true").status().is_ok_and(|status| status.success()) {
            return;
        }
        agent.wrapper = by.map(str::to_owned).into();
        for path in [agent.path(""), agent.path("rules.yaml")] {
            std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }
    write(&agent, "closed.mov");
    write(&agent, "card/clip.mov");
    write(&agent, "fine.mov");
    let mode = |path: &str, mode| {
        std::fs::set_permissions(agent.path("drop").join(path), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode("closed.mov", 0o000);
    mode("card", 0o700);
    if !rustix::process::geteuid().is_root() {
        mode("card", 0o000);
    }
    let mut agent = agent;
    agent.go_on();
    agent.wait_for("the readable one is sent", LIMIT, |list| list.len() == 1 && list[0]["name"] == "fine.mov");
    let reason = |status: &Value| {
        let reason = status["waiting"][0]["reason"].as_str().unwrap_or_default().to_owned();
        reason.contains("cannot be read: the agent has no permission to read it") && status["unread"][0][0] == "card"
    };
    status_when(&agent, "both are told", reason);
    let shown = said(&agent, &["rule", "status", "dailies"]);
    assert!(shown.contains("unread   card: the agent has no permission to read it"), "{shown}");
    let explained = said(&agent, &["rule", "explain", "drop/closed.mov"]);
    assert!(explained.contains("the agent has no permission to read it"), "{explained}");
    for (path, mode) in [("closed.mov", 0o644), ("card", 0o755)] {
        std::fs::set_permissions(agent.path("drop").join(path), std::fs::Permissions::from_mode(mode)).unwrap();
    }
    agent.wait_for("all are sent", LIMIT, |list| list.len() == 3);
}

/// Row "network share: no events, no error": a share is known by its file system (here one says that it is NFS) and is
/// polled. The change is made through a name outside the watched folder, of which the kernel tells nothing.
#[tokio::test(flavor = "multi_thread")]
async fn on_a_network_share_changes_made_elsewhere_are_found_by_polling() {
    let mut bench = Bench::new();
    bench.file_system = Some(|_: &Path| Some("NFS"));
    bench.start("package: file\nsettle: 50ms\nrescan: 1h").await;
    bench.write("clip.mov", "first");
    bench.packages_when(1).await;
    bench.complete(&bench.uploads().await[0]).await;
    let status = bench.status();
    assert_eq!(status.reason.as_deref(), Some("NFS does not report changes"));
    bench.looked_again().await;
    let elsewhere = bench.root.path().join("elsewhere.mov");
    std::fs::hard_link(bench.path("clip.mov"), &elsewhere).unwrap();
    std::fs::write(&elsewhere, "changed on the server").unwrap();
    assert_eq!(bench.packages_when(2).await, [["clip.mov"], ["clip.mov"]]);
    assert_eq!(bench.uploads().await[1].totals.bytes, 21);
}

/// "Names in NFC and NFD": both are files of their own, both match a pattern in either form, and they do not overwrite each
/// other on a recipient's Mac.
#[tokio::test(flavor = "multi_thread")]
async fn composed_and_decomposed_names_are_two_files_and_match_alike() {
    let bench = Bench::with("package: { per: batch, quiet: 200ms }\nsettle: 50ms\ninclude: [\"Caf\u{e9}*.mov\"]").await;
    bench.write("Caf\u{e9} 1.mov", "composed");
    bench.write("Cafe\u{301} 1.mov", "decomposed");
    bench.write("Cafe 1.mov", "neither");
    let packages = bench.packages_when(1).await;
    assert_eq!(packages, [["Cafe\u{301} 1.mov", "Caf\u{e9} 1 (2).mov"]]);
}

/// "Atomic-save editors": the old file is renamed away and a new one written in its place, or a new one renamed over it.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_editor_saves_is_sent_once_each_time_and_its_backup_is_not() {
    let bench = Bench::with("package: file\nsettle: 100ms\nexclude: ['*~']\nrescan: 1h").await;
    bench.ready().await;
    bench.write("cut.edl", "one");
    bench.packages_when(1).await;
    bench.complete(&bench.uploads().await[0]).await;
    std::fs::rename(bench.path("cut.edl"), bench.path("cut.edl~")).unwrap();
    bench.write("cut.edl", "two, longer");
    std::fs::remove_file(bench.path("cut.edl~")).unwrap();
    bench.packages_when(2).await;
    bench.complete(&bench.uploads().await[1]).await;
    bench.write(".cut.edl.swp", "three, longer still");
    std::fs::rename(bench.path(".cut.edl.swp"), bench.path("cut.edl")).unwrap();
    assert_eq!(bench.packages_when(3).await, [["cut.edl"], ["cut.edl"], ["cut.edl"]]);
    let sizes: Vec<u64> = bench.uploads().await.iter().map(|upload| upload.totals.bytes).collect();
    assert_eq!(sizes, [3, 11, 19]);
}

/// Two rules over one folder, one of them over a link: the file used to be sent by both, and so to the wrong client too.
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_and_a_link_to_it_are_one_place() {
    let mut bench = Bench::new();
    std::fs::create_dir_all(bench.root.path().join("real/north")).unwrap();
    std::os::unix::fs::symlink("real", bench.root.path().join("alias")).unwrap();
    let rules = bench.rules_file(
        "defaults: { settle: 50ms, package: file, upload: { kind: link } }\nrules:\n  \
         - { name: north, watch: real/north }\n  - { name: dailies, watch: alias }\n",
    );
    assert!(rules.warnings.iter().any(|warning| warning.message.contains("overlaps")), "{:?}", rules.warnings);
    bench.start_rules(rules).await;
    bench.ready().await;
    std::fs::write(bench.root.path().join("real/north/secret.mov"), "secret").unwrap();
    std::fs::write(bench.root.path().join("real/other.mov"), "other").unwrap();
    bench.packages_when(2).await;
    bench.looked_again().await;
    let mut sent: Vec<_> =
        bench.uploads().await.into_iter().map(|upload| (upload.rule.unwrap(), upload.name)).collect();
    sent.sort();
    let sent: Vec<_> = sent.iter().map(|(rule, name)| (rule.as_str(), name.as_str())).collect();
    assert_eq!(sent, [("dailies", "other.mov"), ("north", "secret.mov")]);
}

/// The rules file holds keys, the data directory everything; a folder around them, or a link to it, may be watched all the same.
#[tokio::test(flavor = "multi_thread")]
async fn the_agent_s_own_files_are_never_sent() {
    let mut bench = Bench::new();
    let at = |path: &str| bench.root.path().join("drop").join(path);
    std::fs::create_dir_all(at("data/hub")).unwrap();
    for file in ["data/hub/part.mov", "rules.yaml", "api-key.txt"] {
        std::fs::write(at(file), "secret").unwrap();
    }
    std::fs::hard_link(at("api-key.txt"), at("second-name.txt")).unwrap();
    std::os::unix::fs::symlink("drop", bench.root.path().join("link")).unwrap();
    let own = ["data", "rules.yaml", "api-key.txt"].map(at).to_vec();
    bench.own = masv_platform::OwnPlaces::new(own);
    let text = "rules:\n  - { name: dailies, watch: link, settle: 50ms, package: file, upload: { kind: link } }\n";
    bench.start_rules(bench.rules_file(text)).await;
    bench.ready().await;
    bench.write("clip.mov", "content");
    bench.packages_when(1).await;
    bench.looked_again().await;
    bench.looked_again().await;
    assert_eq!(bench.packages().await, [["clip.mov"]]);
}

/// Cases: a download into a watched folder, and a move into it over a link, are warned of.
#[test]
fn a_download_into_a_watched_folder_is_warned_of_whatever_leads_there() {
    let bench = Bench::new();
    std::os::unix::fs::symlink("drop", bench.root.path().join("link")).unwrap();
    for into in ["drop", "link", "link/new/deeper"] {
        let rules = bench.rules_file(&format!(
            "rules:\n  - {{ name: up, watch: drop, upload: {{ kind: link }} }}\n  \
             - {{ name: down, portals: all, into: {into} }}\n"
        ));
        let told = |text: &str| rules.warnings.iter().any(|warning| warning.message.contains(text));
        assert!(told("downloaded into the watched folder of rule `up`"), "{into}: {:?}", rules.warnings);
    }
    std::os::unix::fs::symlink("drop", bench.root.path().join("lin")).unwrap();
    let text =
        "rules:\n  - { name: up, watch: drop, upload: { kind: link }, after: { complete: { move: lin/sent } } }\n";
    let rules = bench.rules_file(text);
    assert!(rules.warnings.iter().any(|warning| warning.message.contains("moved into the watched folder")));
}

/// Links and pipes in a folder were never sent, and nothing said so; names that Windows cannot save went without a word.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_regular_file_and_what_windows_cannot_save_is_told_in_the_status() {
    let bench = Bench::with("package: { per: batch, quiet: 100ms }\nsettle: 50ms\nexclude: ['x*']").await;
    bench.write("A001/aux.mov", "1");
    bench.write("A001/a:b.mov", "1");
    bench.write("A001/clip.mov", "1");
    for (name, target) in [("A001/latest.mov", "clip.mov"), ("A001/xlink", "clip.mov"), ("A001/.hidden", "clip.mov")] {
        std::os::unix::fs::symlink(target, bench.path(name)).unwrap();
    }
    assert!(std::process::Command::new("mkfifo").arg(bench.path("A001/pipe")).status().unwrap().success());
    bench.looked_again().await;
    let status = bench.status();
    assert_eq!((status.skipped.count, status.awkward_names.count), (2, 2), "{status:?}");
    let example = status.skipped.example.unwrap();
    let kind = if example == "A001/pipe" { "a named pipe" } else { "a symbolic link" };
    assert_eq!(status.skipped.what, Some(kind), "{example}");
    assert!(status.awkward_names.example.is_some() && status.awkward_names.what.is_some());
    bench.packages_when(1).await;
    std::fs::remove_file(bench.path("A001/pipe")).unwrap();
    std::fs::remove_file(bench.path("A001/latest.mov")).unwrap();
    bench.looked_again().await;
    assert_eq!(bench.status().skipped, masv_agent::watch::Noted::default());
}

/// `watch: today`, a link that is turned to another folder every morning: what was in that one was not seen until the next full scan.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_is_turned_to_another_folder_is_followed() {
    let mut bench = Bench::new();
    let at = |path: &str| bench.root.path().join(path);
    let (link, other, second) = (at("today"), at("turned"), at("day2/second.mov"));
    for day in ["day1", "day2"] {
        std::fs::create_dir(at(day)).unwrap();
    }
    std::os::unix::fs::symlink("day1", &link).unwrap();
    std::fs::write(at("day1/first.mov"), "first").unwrap();
    let text = "rules:\n  - { name: dailies, watch: today, settle: 50ms, package: file, upload: { kind: link } }\n";
    bench.start_rules(bench.rules_file(text)).await;
    assert_eq!(bench.packages_when(1).await, [["first.mov"]]);
    std::os::unix::fs::symlink("day2", &other).unwrap();
    std::fs::rename(&other, &link).unwrap();
    std::fs::write(second, "second").unwrap();
    bench.packages_when(2).await;
}
