//! Programs that pause while they write, as another user than the agent's. As root the agent runs as another user; otherwise as
//! the same user, who owns the files, and sees more.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::support::Bench;
use crate::process::Agent;

const LIMIT: Duration = Duration::from_secs(60);
const NOBODY: u32 = 65_534;
/// Longer than the settle times here by far.
const STALL: &str = "sleep 2";

/// An agent, not running yet, that is to run as a user without any right to the drop folder but to read it, with these flags of
/// `setpriv` besides. The folder is there.
fn foreign_agent(keys: &str, capabilities: &[&str]) -> Agent {
    let rules = format!(
        "rules:\n  - {{ name: dailies, watch: drop, package: file, rescan: 1h, upload: {{ kind: link }}, {keys} }}\n"
    );
    let mut agent = Agent::prepare(&rules, &[]);
    std::fs::create_dir(agent.path("drop")).unwrap();
    std::fs::set_permissions(agent.path(""), std::fs::Permissions::from_mode(0o777)).unwrap();
    if !rustix::process::geteuid().is_root() {
        said("not root: the agent runs as the writers' own user");
        return agent;
    }
    let by = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"].iter().chain(capabilities);
    let by: Vec<String> = by.map(|word| (*word).to_owned()).collect();
    if Command::new(&by[0]).args(&by[1..]).arg("true").status().is_ok_and(|status| status.success()) {
        agent.wrapper = by;
        for path in [agent.path(""), agent.path("rules.yaml")] {
            std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
    } else {
        said("setpriv does not work here: the agent runs as the writers' own user");
    }
    agent
}

/// What a test could not do here, which would otherwise go unnoticed.
fn said(what: &str) {
    let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{what}\n").as_bytes());
}

/// A program working in the drop folder.
fn write(agent: &Agent, program: &str, script: &str) -> Child {
    let shell = Command::new(program).args(["-c", script]).current_dir(agent.path("drop")).stdin(Stdio::null()).spawn();
    shell.unwrap()
}

fn end(mut writers: Vec<Child>) {
    for writer in &mut writers {
        assert!(writer.wait().unwrap().success());
    }
}

/// Names of the packages that are complete, and their bytes, sorted.
fn complete(list: &[Value]) -> Vec<(String, u64)> {
    let complete = list.iter().filter(|upload| upload["state"] == "complete");
    let mut complete: Vec<_> = complete
        .map(|upload| (upload["name"].as_str().unwrap().to_owned(), upload["size"].as_u64().unwrap()))
        .collect();
    complete.sort();
    complete
}

fn expected(sizes: &[(&str, u64)]) -> Vec<(String, u64)> {
    sizes.iter().map(|(name, size)| ((*name).to_owned(), *size)).collect()
}

/// Waits until a file waits for a reason with these words in it.
fn waits(agent: &Agent, words: &str) {
    let deadline = Instant::now() + LIMIT;
    loop {
        let status = agent.json(&["rule", "status", "dailies", "--output", "json"]);
        let waiting = status["waiting"].as_array().cloned().unwrap_or_default();
        if waiting.iter().any(|file| file["reason"].as_str().unwrap_or_default().contains(words)) {
            return;
        }
        assert!(Instant::now() < deadline, "nothing waits because it {words}: {status:#}\n{}", agent.log());
        std::thread::sleep(Duration::from_millis(30));
    }
}

/// R1: what was modified and not closed since is not sent, whichever user runs the agent, however long the writer pauses.
#[test]
fn no_half_file_is_sent_whoever_writes_and_however_long_it_pauses() {
    let mut agent = foreign_agent("settle: 300ms", &[]);
    agent.go_on();
    let sh = |script: &str| write(&agent, "sh", script);
    std::fs::write(agent.path("drop/again.mov"), "sent before").unwrap();
    agent.wait_for("the first is sent", LIMIT, |list| complete(list) == expected(&[("again.mov", 11)]));
    let mut writers = vec![
        sh(&format!("exec 3>append.mov; printf one >&3; {STALL}; printf two >&3; {STALL}; printf three >&3")),
        // Truncated and written again, as most programs overwrite; empty and open meanwhile.
        sh(&format!("exec 3>again.mov; {STALL}; printf 'other content' >&3")),
        // The last byte first, the first at the end.
        sh(&format!(
            "truncate -s 900 sparse.mov; exec 3<>sparse.mov; dd if=/dev/zero bs=100 count=1 seek=8 conv=notrunc \
             status=none >&3; {STALL}; printf begin | dd conv=notrunc status=none of=sparse.mov"
        )),
        sh(&format!("exec 3>temporary.tmp; printf half >&3; {STALL}; printf whole >&3; mv temporary.tmp renamed.mov")),
        // Renamed while it is open: the writer continues under the new name.
        sh(&format!("exec 3>.early; printf half >&3; mv .early early.mov; {STALL}; printf more >&3")),
    ];
    let mut sizes = vec![("again.mov", 11), ("again.mov", 13), ("append.mov", 11), ("early.mov", 8)];
    let mapped = "import mmap, os, time\nfd = os.open('mapped.mov', os.O_RDWR | os.O_CREAT)\nos.ftruncate(fd, 5000)\n\
                  memory = mmap.mmap(fd, 5000)\nos.close(fd)\nmemory[0] = 1\ntime.sleep(2)\nmemory[4999] = 1\n";
    if Command::new("python3").arg("--version").output().is_ok_and(|said| said.status.success()) {
        writers.push(write(&agent, "python3", mapped));
        sizes.push(("mapped.mov", 5_000));
    }
    sizes.extend([("renamed.mov", 9), ("sparse.mov", 900)]);
    end(writers);
    agent.wait_for("each is sent once, whole", LIMIT, |list| complete(list).len() >= sizes.len());
    // Half a file that was sent would be one more package by now, or another size.
    let list = agent.json(&["upload", "ls"])["transfers"].as_array().unwrap().clone();
    assert_eq!(complete(&list), expected(&sizes), "{list:#?}");
}

/// After a restart no event shows who was writing before: the lease does, if the agent may request one.
#[test]
fn a_writer_from_before_the_agent_started_is_seen_by_a_lease() {
    let mut agent = foreign_agent("settle: 300ms", &["--inh-caps=+lease", "--ambient-caps=+lease"]);
    let path = agent.path("drop/long.mov");
    let mut writer = std::fs::File::create(&path).unwrap();
    std::io::Write::write_all(&mut writer, b"first").unwrap();
    agent.go_on();
    waits(&agent, "is held open for writing by");
    std::io::Write::write_all(&mut writer, b", second").unwrap();
    drop(writer);
    agent.wait_for("it is sent", LIMIT, |list| complete(list) == expected(&[("long.mov", 13)]));
}

/// Where neither events nor a lease tell, the default settle time is a longer one, and it is said why.
#[test]
fn what_nobody_can_see_settles_for_longer_and_says_so() {
    let mut agent = foreign_agent("priority: 1", &[]);
    if agent.wrapper.is_empty() {
        return; // The owner of a file may always ask.
    }
    std::fs::write(agent.path("drop/before.mov"), "from before the start").unwrap();
    agent.go_on();
    waits(&agent, "for longer than usual: the agent's user has no permission to see who is writing");
    let status = agent.json(&["rule", "status", "dailies", "--output", "json"]);
    let unseen = status["writers_unseen"].as_str().unwrap();
    assert!(unseen.contains("no permission to see") && unseen.contains("30s"), "{unseen}");
    let doctor = agent.json(&["doctor", "--output", "json"]);
    let told = doctor["checks"].as_array().unwrap().iter().find(|check| check["name"] == "writers").unwrap();
    let drop = agent.path("drop").canonicalize().unwrap();
    assert!(told["grade"] == "amber" && told["finding"].as_str().unwrap().contains(drop.to_str().unwrap()), "{told}");
    assert!(told["todo"].as_str().unwrap().contains("CAP_LEASE"), "{told}");
    assert!(Path::new(&agent.path("drop/before.mov")).exists());
    let list = agent.json(&["upload", "ls"])["transfers"].as_array().unwrap().clone();
    assert!(list.is_empty(), "{list:#?}");
}

/// Row "network share: no events, no error": nothing on this machine knows who writes on another one, and the status, the reason
/// of each file and its time say so.
#[tokio::test(flavor = "multi_thread")]
async fn on_a_share_files_settle_for_longer_and_status_and_file_say_why() {
    let mut bench = Bench::new();
    bench.file_system = Some(|_: &Path| Some("NFS"));
    bench.start("package: file\nrescan: 1h").await;
    bench.write("clip.mov", "copied by another machine");
    let told = async || {
        let waiting = bench.status().waiting;
        waiting
            .iter()
            .any(|file| file.reason == "settling, for longer than usual: NFS does not show who is writing to a file")
    };
    bench.until("its reason is told", told).await;
    let unseen = bench.status().writers_unseen.unwrap();
    assert_eq!(unseen, "NFS does not show who is writing: a file counts as complete once it has not changed for 30s");
    assert!(bench.uploads().await.is_empty());
}

/// "Sent and deleted while it is written": right before an after-action it is asked once more who has the file open. Nothing about
/// the file has changed by then, so nothing but that question keeps it.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_deleted_that_somebody_has_begun_to_write_to_again() {
    use std::io::Write;
    for after in ["delete", "move: sent"] {
        let keys = format!(
            "package: file\nsettle: 50ms\nafter: {{ complete: {} }}",
            match after {
                "delete" => "delete".to_owned(),
                to => format!("{{ {to} }}"),
            }
        );
        let bench = Bench::with(&keys).await;
        bench.write("live.mov", "one");
        bench.packages_when(1).await;
        let mut writer = std::fs::File::options().append(true).open(bench.path("live.mov")).unwrap();
        bench.complete(&bench.uploads().await[0]).await;
        let told = async || {
            bench.status().last_error.is_some_and(|error| error.message.contains("is held open for writing by"))
        };
        bench.until("it is told who has it open", told).await;
        assert!(bench.path("live.mov").exists(), "{after}: it has its name, and was not hidden or moved");
        assert_eq!(std::fs::read_dir(bench.path("")).unwrap().count(), 1, "{after}: and nothing else is there");
        // What it writes then is a new drop; the sent bytes alone would have been taken away.
        writer.write_all(b", two").unwrap();
        drop(writer);
        bench.packages_when(2).await;
        assert_eq!(std::fs::read_to_string(bench.path("live.mov")).unwrap(), "one, two");
    }
}

/// Where nothing shows who writes, what was taken away is looked after ten times as long: what a writer on another machine writes into
/// it comes back as a new drop.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_away_where_nobody_sees_writers_is_looked_after_for_longer() {
    use std::io::Write;
    let mut bench = Bench::new();
    bench.file_system = Some(|_: &Path| Some("NFS"));
    bench.shortest_care = Duration::from_millis(500);
    bench.write("clip.mov", "half");
    bench.start("package: file\nsettle: 50ms\nafter: { complete: delete }").await;
    bench.packages_when(1).await;
    bench.complete(&bench.uploads().await[0]).await;
    bench.until("it is hidden", async || !bench.path("clip.mov").exists()).await;
    let hidden_at = Instant::now();
    let hidden = || std::fs::read_dir(bench.path("")).unwrap().map(|entry| entry.unwrap().path()).next();
    let place = hidden().unwrap();
    while hidden_at.elapsed() < bench.shortest_care * 4 {
        assert!(hidden().is_some(), "it was removed after {:?}", hidden_at.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // The descriptor that a server holds for its client.
    std::fs::File::options().append(true).open(place).unwrap().write_all(b", and the rest").unwrap();
    bench.until("it is back", async || bench.path("clip.mov").exists()).await;
    assert_eq!(std::fs::read_to_string(bench.path("clip.mov")).unwrap(), "half, and the rest");
    bench.packages_when(2).await;
}

/// The same with another user's program that pauses while it writes: what is sent is whole, and only that goes.
#[test]
fn what_another_user_s_program_writes_is_sent_whole_before_it_is_deleted() {
    let mut agent = foreign_agent("settle: 300ms, on_change: new_package, after: delete", &[]);
    std::fs::set_permissions(agent.path("drop"), std::fs::Permissions::from_mode(0o777)).unwrap();
    agent.go_on();
    let script = format!("exec 3>live.mov; printf one >&3; {STALL}; printf two >&3; {STALL}; printf three >&3");
    end(vec![write(&agent, "sh", &script)]);
    agent.wait_for("it is sent whole", LIMIT, |list| complete(list) == expected(&[("live.mov", 11)]));
    let deadline = Instant::now() + LIMIT * 2;
    while agent.path("drop/live.mov").exists() {
        assert!(Instant::now() < deadline, "it stays:\n{}", agent.log());
        std::thread::sleep(Duration::from_millis(30));
    }
}

/// "An immutable file under `after: delete`" (`chattr +i` is one for root; a folder that the agent may not write to shows the same): it is
/// told once however often it is tried, sent once, and deleted when that is possible.
#[test]
fn what_cannot_be_deleted_is_told_once_and_deleted_when_it_can_be() {
    let mut agent = foreign_agent("settle: 300ms, after: delete", &[]);
    if agent.wrapper.is_empty() {
        return; // Whoever owns the folder may delete in it.
    }
    agent.environment = vec![("MASV_HURRY".to_owned(), "1".to_owned())];
    for name in ["a.mov", "b.mov"] {
        std::fs::write(agent.path("drop").join(name), name).unwrap();
    }
    agent.go_on();
    agent.wait_for("both are sent", LIMIT, |list| complete(list) == expected(&[("a.mov", 5), ("b.mov", 5)]));
    let told = |agent: &Agent| agent.log().lines().filter(|line| line.contains("the rule has a problem")).count();
    let deadline = Instant::now() + LIMIT;
    while told(&agent) < 2 {
        assert!(Instant::now() < deadline, "it is not told:\n{}", agent.log());
        std::thread::sleep(Duration::from_millis(30));
    }
    // Tried again every two seconds, the longer of the two waits for a second chance to be told.
    let again = Instant::now() + Duration::from_secs(7);
    while Instant::now() < again {
        assert_eq!(told(&agent), 2, "{}", agent.log());
        std::thread::sleep(Duration::from_millis(200));
    }
    let status = agent.json(&["rule", "status", "dailies", "--output", "json"]);
    assert!(status["last_error"]["code"] == "after" && status["last_error"]["over"] == false, "{status:#}");
    assert!(agent.path("drop/a.mov").exists() && agent.path("drop/b.mov").exists());
    std::fs::set_permissions(agent.path("drop"), std::fs::Permissions::from_mode(0o777)).unwrap();
    let deadline = Instant::now() + LIMIT;
    while std::fs::read_dir(agent.path("drop")).unwrap().next().is_some() {
        assert!(Instant::now() < deadline, "they stay:\n{}", agent.log());
        std::thread::sleep(Duration::from_millis(30));
    }
    let status = agent.json(&["rule", "status", "dailies", "--output", "json"]);
    assert_eq!(status["last_error"]["over"], true, "{status:#}");
    let list = agent.json(&["upload", "ls"])["transfers"].as_array().unwrap().clone();
    assert_eq!(list.len(), 2, "nothing is sent a second time: {list:#?}");
}

/// "After a new sub-folder the state is unknown": the folder is made and the file opened in it before the agent watches it. The lease
/// shows the writer, and its file is sent once, whole.
#[test]
fn a_file_that_is_open_in_a_folder_made_this_moment_waits_for_its_writer() {
    let mut agent = foreign_agent("settle: 300ms", &["--inh-caps=+lease", "--ambient-caps=+lease"]);
    agent.go_on();
    let script =
        format!("mkdir -p new/deep; exec 3>new/deep/live.mov; printf one >&3; {STALL}; printf two >&3; {STALL}");
    end(vec![write(&agent, "sh", &script)]);
    agent.wait_for("it is sent", LIMIT, |list| complete(list) == expected(&[("live.mov", 6)]));
    let list = agent.json(&["upload", "ls"])["transfers"].as_array().unwrap().clone();
    assert_eq!(list.len(), 1, "{list:#?}");
}
