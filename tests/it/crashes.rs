//! R2, R3 and R8 by the binary: whatever it is doing when the power goes, every dropped file is in exactly one finalized
//! package afterwards, equal, and its source is where the rule says.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use masv_platform::CRASH_POINTS;
use serde_json::Value;

use crate::process::Agent;
use crate::support::{content, digests, received};

const LIMIT: Duration = Duration::from_secs(120);
const FLAGS: [&str; 2] = ["--chunk-size", "5MiB"];
/// More than one part.
const LARGE: usize = 6_000_000;

/// A drop: path in the watched folder, and content.
type Drop = (String, Vec<u8>);

fn drop_of(path: &str, size: usize) -> Drop {
    (path.to_owned(), content(path.bytes().map(u64::from).sum(), size))
}

fn put(folder: &Path, (path, bytes): &Drop) {
    let path = folder.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// All regular files below a folder that are not the agent's own.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let walk = walkdir::WalkDir::new(folder).into_iter().flatten().filter(|entry| entry.file_type().is_file());
    walk.map(walkdir::DirEntry::into_path).collect()
}

fn until(what: &str, agent: &Agent, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {LIMIT:?}: {what}\n{}", agent.log());
        std::thread::sleep(Duration::from_millis(30));
    }
}

/// Waits until all drops have arrived, and checks that each arrived once, completely.
async fn all_arrive_once(agent: &Agent, drops: &[Drop]) {
    let files = |list: &[Value]| list.iter().map(|upload| upload["file_count"].as_u64().unwrap()).sum::<u64>();
    let all =
        |list: &[Value]| files(list) >= drops.len() as u64 && list.iter().all(|upload| upload["state"] == "complete");
    let uploads = agent.wait_for("everything is complete", LIMIT, all);
    let mut arrived = Vec::new();
    for upload in &uploads {
        arrived.extend(received(upload["links"][0]["url"].as_str().unwrap()).await);
    }
    arrived.sort();
    let mut dropped = drops.to_vec();
    dropped.sort();
    assert_eq!(digests(&arrived), digests(&dropped), "{}", agent.log());
    // What a lost response left behind in the cloud is not a package that anyone sees.
    let hub = rusqlite::Connection::open(agent.path("data/hub/hub.db")).unwrap();
    let finalized: i64 =
        hub.query_row("SELECT count(*) FROM package WHERE state = 'finalized'", [], |row| row.get(0)).unwrap();
    assert_eq!(usize::try_from(finalized), Ok(uploads.len()));
}

/// Sources end in `sent`, each once, and nothing is left in the watched folder.
fn all_are_moved(agent: &Agent, sent: &Path, drops: &[Drop]) {
    until("all sources are moved", agent, || files_below(&agent.path("drop")).is_empty());
    let mut moved: Vec<Drop> = files_below(sent)
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(sent).unwrap().to_string_lossy().into_owned();
            (name, std::fs::read(path).unwrap())
        })
        .collect();
    moved.sort();
    let mut dropped = drops.to_vec();
    dropped.sort();
    assert_eq!(digests(&moved), digests(&dropped), "{}", agent.log());
}

fn rule(keys: &str) -> String {
    let keys: String = keys.lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "rules:\n  - name: drop\n    watch: drop\n    create: true\n    settle: 30ms\n    upload: {{ kind: link }}\n{keys}"
    )
}

/// Where it dies, without a minute's wait for a late writer.
fn surroundings(point: Option<&str>) -> Vec<(String, String)> {
    let point = point.map(|point| ("MASV_CRASH_AT".to_owned(), point.to_owned()));
    point.into_iter().chain([("MASV_HURRY".to_owned(), "1".to_owned())]).collect()
}

/// Runs the agent until it dies at `point`; `drops` are dropped meanwhile.
fn run_until(agent: &mut Agent, point: &str, drops: &[Drop]) {
    use std::os::unix::process::ExitStatusExt;
    agent.environment = surroundings(Some(point));
    agent.launch();
    drops.iter().for_each(|drop| put(&agent.path("drop"), drop));
    let ended = agent.wait_for_the_end(LIMIT);
    assert_eq!(ended.signal(), Some(9), "at {point}: {}", agent.log());
}

/// Runs it for good.
fn revive(agent: &mut Agent) {
    agent.environment = surroundings(None);
    agent.go_on();
}

const SENDING: [&str; 13] = [
    "submit.before",
    "submit.after",
    "package.made",
    "package.kept",
    "link.made",
    "file.begun",
    "file.begun.kept",
    "part.sent",
    "part.kept",
    "file.closed",
    "file.kept",
    "upload.closing",
    "hook.told",
];
const ENDING: [&str; 4] = ["upload.finalized", "upload.completed", "after.before", "after.renamed"];
const OPEN: [&str; 4] = ["append.before", "append.after", "close.before", "close.after"];
const MARKED: [&str; 1] = ["marker.claimed"];
const DELETING: [&str; 3] = ["after.kept", "after.hidden", "after.removed"];
/// Tested where a late writer can be had.
const RETURNING: [&str; 1] = ["after.returned"];
const COPYING: [&str; 2] = ["after.copied", "after.named"];
const FAILING: [&str; 1] = ["after.noted"];

#[test]
fn every_point_has_its_test() {
    let mut tested = [&SENDING[..], &ENDING, &OPEN, &MARKED, &DELETING, &RETURNING, &COPYING, &FAILING].concat();
    let mut known = CRASH_POINTS.to_vec();
    tested.sort_unstable();
    known.sort_unstable();
    assert_eq!(tested, known);
}

/// One agent dies at each of these points in turn, every time with new drops.
async fn dies_at(points: &[&str]) {
    let hook = "notify: [{ exec: [sh, -c, 'cat >> told; echo >> told'], events: [upload.complete] }]";
    let mut agent =
        Agent::prepare(&rule(&format!("package: file\nafter: {{ complete: {{ move: sent }} }}\n{hook}")), &FLAGS);
    let mut drops: Vec<Drop> = Vec::new();
    for point in points {
        let size = if point.starts_with("part") { LARGE } else { 80_000 };
        let more = [drop_of(&format!("{point}.mov"), size), drop_of(&format!("card/{point}.empty"), 0)];
        run_until(&mut agent, point, &more);
        drops.extend(more);
    }
    revive(&mut agent);
    all_arrive_once(&agent, &drops).await;
    all_are_moved(&agent, &agent.path("sent"), &drops);
    let told = || std::fs::read_to_string(agent.path("told")).unwrap_or_default();
    let names = points.iter().map(|point| format!("\"name\":\"{point}.mov\""));
    let names: Vec<String> = names.collect();
    until("all are told of", &agent, || names.iter().all(|name| told().contains(name)));
}

/// Case: killed at each point between a drop and its confirmation: sent once, whole.
#[tokio::test(flavor = "multi_thread")]
async fn at_every_point_of_sending() {
    dies_at(&SENDING).await;
}

/// Case: killed at each point of the after-action: the source is moved once, and nothing is sent again.
#[tokio::test(flavor = "multi_thread")]
async fn at_every_point_of_ending() {
    dies_at(&ENDING).await;
}

/// Waits until the agent has made another upload than those `before`, or is dead.
fn another_upload_or_death(agent: &mut Agent, before: i64) {
    let deadline = Instant::now() + LIMIT;
    while agent.is_running() && uploads_made(agent) <= before {
        assert!(Instant::now() < deadline, "no upload within {LIMIT:?}:\n{}", agent.log());
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn uploads_made(agent: &Agent) -> i64 {
    let only_read = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let store = rusqlite::Connection::open_with_flags(agent.path("data/agent.db"), only_read);
    let Ok(store) = store else { return 0 };
    store.query_row("SELECT count(*) FROM upload", [], |row| row.get(0)).unwrap_or(0)
}

/// Case: killed at each point of an open package: every drop is in exactly one.
#[tokio::test(flavor = "multi_thread")]
async fn at_every_point_of_an_open_package() {
    let keys = "finalize: { files: 3, quiet: 5s }\nafter: { complete: { move: sent } }";
    let mut agent = Agent::prepare(&rule(keys), &FLAGS);
    let mut drops: Vec<Drop> = Vec::new();
    for point in OPEN {
        // One is in it, so that what comes later is added, and that closes it.
        let first = drop_of(&format!("{point}/first.mov"), 5_000);
        let later = [drop_of(&format!("{point}/second.mov"), 70_000), drop_of(&format!("{point}/third.mov"), 1)];
        let before = uploads_made(&agent);
        put(&agent.path("drop"), &first);
        agent.environment = surroundings(Some(point));
        agent.launch();
        another_upload_or_death(&mut agent, before);
        later.iter().for_each(|drop| put(&agent.path("drop"), drop));
        let ended = agent.wait_for_the_end(LIMIT);
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&ended), Some(9), "at {point}: {}", agent.log());
        drops.extend([first].into_iter().chain(later));
    }
    revive(&mut agent);
    all_arrive_once(&agent, &drops).await;
    all_are_moved(&agent, &agent.path("sent"), &drops);
}

/// The marker was an order about what was open then: it is carried out, and no later package is closed by it.
#[tokio::test(flavor = "multi_thread")]
async fn when_the_closing_marker_was_taken() {
    let mut agent = Agent::prepare(&rule("finalize: { marker: SEND }"), &FLAGS);
    let drops = [drop_of("one.mov", 5_000), drop_of("two.mov", 70_000)];
    run_until(&mut agent, MARKED[0], &[drops[0].clone(), drops[1].clone(), drop_of("SEND", 0)]);
    revive(&mut agent);
    all_arrive_once(&agent, &drops).await;
    until("the order is forgotten", &agent, || files_below(&agent.path("drop")).len() == 2);
    put(&agent.path("drop"), &drop_of("later.mov", 10));
    let open = |list: &[Value]| list.len() == 2 && list.iter().any(|upload| upload["state"] == "idle");
    agent.wait_for("the later one stays open", LIMIT, open);
}

/// Case: killed in the middle of a deletion of two steps: nothing is lost, and nothing stays hidden.
#[tokio::test(flavor = "multi_thread")]
async fn while_sources_are_deleted() {
    let mut agent = Agent::prepare(&rule("package: file\nafter: delete"), &FLAGS);
    let mut drops = Vec::new();
    for point in DELETING {
        let more = [drop_of(&format!("{point}.mov"), 5_000), drop_of(&format!("card/{point}.mov"), 70_000)];
        run_until(&mut agent, point, &more);
        drops.extend(more);
    }
    revive(&mut agent);
    all_arrive_once(&agent, &drops).await;
    // Under whatever name.
    until("all are deleted", &agent, || files_below(&agent.path("drop")).is_empty());
}

/// A program writes into a file that was deleted, and the agent dies when it has brought that back.
#[tokio::test(flavor = "multi_thread")]
async fn while_a_file_that_was_written_to_is_brought_back() {
    let mut agent = Agent::prepare(&rule("package: file\nafter: delete"), &FLAGS);
    let (path, mut bytes) = drop_of("one.mov", 5_000);
    agent.environment = surroundings(Some(RETURNING[0]));
    agent.launch();
    put(&agent.path("drop"), &(path.clone(), bytes.clone()));
    let unseen = agent.path("unseen");
    std::fs::hard_link(agent.path("drop").join(&path), &unseen).unwrap();
    until("it is taken away", &agent, || agent.path("drop").is_dir() && !agent.path("drop").join(&path).exists());
    std::io::Write::write_all(&mut std::fs::File::options().append(true).open(&unseen).unwrap(), b"late").unwrap();
    let ended = agent.wait_for_the_end(LIMIT);
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&ended), Some(9), "{}", agent.log());
    bytes.extend(b"late");
    assert!(std::fs::read(agent.path("drop").join(&path)).unwrap() == bytes, "it is back as it is");
    revive(&mut agent);
    let both = |list: &[Value]| list.len() == 2 && list.iter().all(|upload| upload["state"] == "complete");
    let uploads = agent.wait_for("it is sent anew", LIMIT, both);
    let newest = received(uploads[0]["links"][0]["url"].as_str().unwrap()).await;
    assert_eq!(digests(&newest), digests(&[(path, bytes)]));
    until("it is deleted", &agent, || files_below(&agent.path("drop")).is_empty());
}

/// Case: killed while a move copies to another file system: the file is there once, whole.
#[tokio::test(flavor = "multi_thread")]
async fn while_sources_are_copied_to_another_file_system() {
    use std::os::unix::fs::MetadataExt;
    let Ok(other) = tempfile::tempdir_in("/dev/shm") else { return };
    if std::fs::metadata(std::env::temp_dir()).unwrap().dev() == other.path().metadata().unwrap().dev() {
        return; // This machine has one file system only.
    }
    let sent = other.path().join("sent");
    let keys = format!("package: file\nafter: {{ complete: {{ move: '{}' }} }}", sent.display());
    let mut agent = Agent::prepare(&rule(&keys), &FLAGS);
    let mut drops = Vec::new();
    for point in COPYING {
        let more = [drop_of(&format!("card/{point}.mov"), 300_000), drop_of(&format!("{point}.mov"), 70_000)];
        run_until(&mut agent, point, &more);
        drops.extend(more);
    }
    revive(&mut agent);
    all_arrive_once(&agent, &drops).await;
    all_are_moved(&agent, &sent, &drops);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_files_of_a_failed_package_are_moved() {
    let text = rule("package: { per: folder, quiet: 100ms }\nafter: { error: { move: failed } }")
        .replace("kind: link", "kind: link, tag_id: no-such-tag");
    let mut agent = Agent::prepare(&text, &FLAGS);
    let drops = [drop_of("card/one.mov", 5_000), drop_of("card/two.mov", 70_000)];
    run_until(&mut agent, FAILING[0], &drops);
    revive(&mut agent);
    let failed = agent.path("failed");
    until("all are moved", &agent, || files_below(&failed).len() == 3);
    let reason = std::fs::read_to_string(failed.join("card.error.txt")).unwrap();
    assert!(reason.contains("Code: "), "{reason}");
    drops.iter().for_each(|(path, bytes)| assert_eq!(&std::fs::read(failed.join(path)).unwrap(), bytes));
    until("the emptied folder goes", &agent, || !agent.path("drop/card").exists());
}

/// How often it is killed; set `CRASHES=200` for the long run.
fn crashes() -> usize {
    std::env::var("CRASHES").ok().and_then(|text| text.parse().ok()).unwrap_or(5)
}

/// Case: random kills under drops of all kinds: none is lost, sent twice or sent in part.
#[tokio::test(flavor = "multi_thread")]
async fn at_random_moments() {
    let rules = "defaults: { create: true, settle: 30ms, upload: { kind: link }, after: { complete: { move: sent } } }
rules:
  - { name: files, watch: drop/files, package: file, after: { complete: { move: sent/files } } }
  - { name: folders, watch: drop/folders, package: { per: folder, quiet: 100ms }, after: { complete: { move: sent/folders } } }
  - { name: batches, watch: drop/batches, package: { per: batch, quiet: 50ms }, after: { complete: { move: sent/batches } } }
  - { name: open, watch: drop/open, finalize: { quiet: 300ms }, after: { complete: { move: sent/open } } }
";
    let mut agent = Agent::start(rules, &FLAGS);
    let mut random = fastrand::Rng::with_seed(20_261_124);
    let mut drops: Vec<Drop> = Vec::new();
    for round in 0..crashes() {
        for _ in 0..random.usize(1..5) {
            let rule = random.choice(["files", "folders", "batches", "open"]).unwrap();
            let size = if random.u8(0..12) == 0 { LARGE } else { random.usize(0..90_000) };
            let number = drops.len();
            // A folder of its own a round: a package of a folder that is dropped into later is another package.
            let drop = (format!("{rule}/card{round}/clip{number}.mov"), content(number as u64, size));
            put(&agent.path("drop"), &drop);
            drops.push(drop);
            std::thread::sleep(Duration::from_millis(random.u64(0..40)));
        }
        std::thread::sleep(Duration::from_millis(random.u64(0..700)));
        agent.kill();
        agent.go_on();
    }
    let names: BTreeMap<String, Vec<u8>> =
        drops.iter().map(|(path, bytes)| (path.split_once('/').unwrap().1.to_owned(), bytes.clone())).collect();
    let expected: Vec<Drop> = names.into_iter().collect();
    assert_eq!(expected.len(), drops.len());
    all_arrive_once(&agent, &expected).await;
    all_are_moved(&agent, &agent.path("sent"), &drops);
}
