//! An agent whose database is older than what has happened since: a copy of it was restored. It says so, and what is in the cloud
//! already is recognised.

use std::path::Path;
use std::time::Duration;

use masv_agent::engine::RateLimit;
use masv_agent::model::{State, UploadId};
use masv_agent::store::Store;
use masv_agent::upload::UploadSettings;
use masv_platform::PathBeneath;
use serde_json::Value;

use crate::process::Agent;
use crate::support::{TestEngine, TestHub, content, digests, received, source_file, spec, wait_until};

const SOON: Duration = Duration::from_secs(30);
const RULE: &str =
    "rules:\n  - { name: dailies, watch: drop, create: true, settle: 200ms, package: file, upload: { kind: link } }\n";

/// A copy of the engine's database, as `masv server backup` makes it, in a folder of its own.
async fn copied(store: &Store) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    store.backup(PathBeneath::without_links(&folder.path().join("agent.db"))).await.unwrap();
    folder
}

async fn restored(hub: &TestHub, copy: tempfile::TempDir) -> TestEngine {
    TestEngine::start_in(hub.cloud(), copy, UploadSettings::default()).await
}

async fn events(engine: &TestEngine, id: UploadId) -> String {
    let found = engine.store.events_after(0, 1_000).await.unwrap();
    let of_it: Vec<String> =
        found.iter().filter(|event| event.upload == Some(id)).map(|event| format!("{event:?}")).collect();
    of_it.join("\n")
}

/// "One taken during a transfer ends in `error: the package is finalized (409)` although all was delivered": it is recognised, with
/// the sources there and with the sources deleted since.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_the_database_made_during_a_transfer_finds_the_package_complete() {
    for are_deleted in [false, true] {
        let hub = TestHub::start().await;
        let engine = TestEngine::start(hub.cloud()).await;
        let limit = |rate_limit_bps| RateLimit { enabled: true, rate_limit_bps, ..RateLimit::default() };
        engine.queue.throttle().set(limit(6_000_000));
        let (first, second) = (content(1, 300_000), content(2, 24_000_000));
        let files = vec![engine.file("first.mov", &first), engine.file("reel/second.mov", &second)];
        let mut order = spec(files);
        order.chunk_size = Some(5 << 20);
        let id = engine.queue.submit(order).await.unwrap();
        wait_until("some of it is confirmed", SOON, async || engine.upload(id).await.totals.bytes_done > 5_000_000)
            .await;
        engine.queue.throttle().set(limit(10_000));
        let copy = copied(&engine.store).await;
        assert!(engine.upload(id).await.state == State::Transferring, "the copy was made during the transfer");
        engine.queue.throttle().set(RateLimit::default());
        let done = engine.wait_for(id, State::Complete).await;
        engine.queue.stop().await;
        if are_deleted {
            std::fs::remove_dir_all(engine.folder.path().join("source")).unwrap();
        }
        let again = restored(&hub, copy).await;
        let found = again.wait_for(id, State::Complete).await;
        assert_eq!((found.links, found.totals.bytes_done), (done.links.clone(), done.totals.bytes), "{are_deleted}");
        assert_eq!(hub.stored_packages().await, 1, "nothing is sent a second time");
        let sent = [("first.mov".to_owned(), first), ("reel/second.mov".to_owned(), second)];
        assert_eq!(digests(&received(&done.links[0].url).await), digests(&sent));
        again.queue.stop().await;
    }
}

/// An upload of one file that takes more, and a copy of the database as it is then.
async fn copied_while_open(hub: &TestHub) -> (TestEngine, UploadId, tempfile::TempDir) {
    let engine = TestEngine::start(hub.cloud()).await;
    let mut order = spec(vec![engine.file("one.mov", b"one")]);
    order.auto_finalize = false;
    let id = engine.queue.submit(order).await.unwrap();
    engine.wait_for(id, State::Idle).await;
    let copy = copied(&engine.store).await;
    (engine, id, copy)
}

/// What is not in the finalized package is sent: with all the others, in another one, and that is told.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_finalized_package_lacks_is_sent_in_another_one_and_told() {
    for batches in [true, false] {
        let hub = if batches { TestHub::start().await } else { TestHub::start_without_batches().await };
        let (engine, id, copy) = copied_while_open(&hub).await;
        engine.queue.finalize(id).await.unwrap();
        engine.wait_for(id, State::Complete).await;
        let later = engine.file("two.mov", b"came later");
        engine.queue.stop().await;

        let again = restored(&hub, copy).await;
        again.queue.append(id, vec![later]).await.unwrap();
        again.queue.finalize(id).await.unwrap();
        let found = again.wait_for(id, State::Complete).await;
        assert_eq!(hub.stored_packages().await, 2);
        let sent = [("one.mov".to_owned(), b"one".to_vec()), ("two.mov".to_owned(), b"came later".to_vec())];
        assert_eq!(digests(&received(&found.links[0].url).await), digests(&sent));
        let told = events(&again, id).await;
        assert!(told.contains("finalized_before"), "{told}");
        again.queue.stop().await;
    }
}

/// A file of the same size and another date than the one in the package is not taken for it.
#[tokio::test(flavor = "multi_thread")]
async fn another_file_of_the_same_size_is_not_taken_for_the_one_in_the_package() {
    let hub = TestHub::start().await;
    let (engine, id, copy) = copied_while_open(&hub).await;
    engine.queue.append(id, vec![engine.file("two.mov", b"content A")]).await.unwrap();
    engine.queue.finalize(id).await.unwrap();
    engine.wait_for(id, State::Complete).await;
    let path = engine.folder.path().join("source/two.mov");
    std::fs::write(&path, "content B").unwrap();
    let date = std::time::SystemTime::now() - Duration::from_secs(3_600);
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(date).unwrap();
    let other = source_file(Path::new("two.mov"), path);
    engine.queue.stop().await;
    let again = restored(&hub, copy).await;
    again.queue.append(id, vec![other]).await.unwrap();
    again.queue.finalize(id).await.unwrap();
    let found = again.wait_for(id, State::Complete).await;
    let arrived = received(&found.links[0].url).await;
    assert!(arrived.iter().any(|(name, content)| name == "two.mov" && content == b"content B"), "{arrived:?}");
}

/// "After restoring an old agent backup what was sent since goes again, without a warning at start": log, doctor and `masv status` say
/// so, until the next start.
#[test]
fn a_restored_copy_says_that_it_is_older_and_what_that_means() {
    let mut agent = Agent::start(RULE, &[]);
    let drop_in = |agent: &Agent, name: &str| std::fs::write(agent.path("drop").join(name), name).unwrap();
    let complete = |list: &[Value]| list.iter().filter(|upload| upload["state"] == "complete").count();
    drop_in(&agent, "before.mov");
    agent.wait_for("the first is sent", SOON, |list| complete(list) == 1);
    let backup = agent.path("backup.db");
    assert!(agent.masv(&["server", "backup", backup.to_str().unwrap()]).status.success());
    drop_in(&agent, "after.mov");
    agent.wait_for("the second is sent", SOON, |list| complete(list) == 2);
    let told = |agent: &Agent| {
        let doctor = agent.json(&["doctor", "--output", "json"]);
        doctor["checks"].as_array().unwrap().iter().find(|check| check["name"] == "database").cloned()
    };
    assert!(told(&agent).is_none());
    assert_eq!(agent.stop(), Some(0));
    // The database as it is: a start more tells nothing.
    agent.go_on();
    assert!(told(&agent).is_none() && !agent.log().contains("is older than"), "{}", agent.log());
    assert_eq!(agent.stop(), Some(0));
    std::fs::copy(&backup, agent.path("data/agent.db")).unwrap();
    for log in ["data/agent.db-wal", "data/agent.db-shm"] {
        let _ = std::fs::remove_file(agent.path(log));
    }
    agent.go_on();
    let check = told(&agent).unwrap();
    assert_eq!(check["grade"], "amber");
    assert!(check["finding"].as_str().unwrap().contains("sent again if it is still in a watched folder"), "{check}");
    assert!(agent.log().contains("agent.db is older than the data directory that it is in"), "{}", agent.log());
    let status = String::from_utf8(agent.masv(&["status"]).stdout).unwrap();
    assert!(status.contains("agent.db is older"), "{status}");
    // It is what it says: what the copy does not know is sent again, what it knows is not.
    agent.wait_for("the second is sent again", SOON, |list| complete(list) == 2);
    assert_eq!(agent.stop(), Some(0));
    agent.go_on();
    assert!(told(&agent).is_none());
}
