//! Steering: orders at every moment, limits that are changed while uploads run, the bandwidth.

use std::time::{Duration, Instant};

use masv_agent::engine::{QueueError, RateLimit};
use masv_agent::model::{FileState, State};
use masv_agent::store::Order;
use masv_agent::upload::{UploadSettings, Workers};
use masv_client::{Cloud, CloudSettings};

use crate::proxy::{Asked, Fault, behind_proxy};
use crate::support::{TestEngine, TestHub, content, received, spec, wait_until};

fn refused<T: std::fmt::Debug>(order: Result<T, QueueError>) -> bool {
    matches!(order, Err(QueueError::WrongState { .. }))
}

/// Case: pause, resume, finalize and remove, at every moment and twice.
#[tokio::test(flavor = "multi_thread")]
async fn every_order_is_taken_or_refused_at_every_moment_and_twice_is_as_good_as_once() {
    let hub = TestHub::start().await;
    let engine = TestEngine::start(hub.cloud()).await;
    let queue = &engine.queue;
    let mut order = spec(vec![engine.file("a.txt", b"one")]);
    order.auto_finalize = false;
    let id = queue.submit(order).await.unwrap();
    for _ in 0..2 {
        queue.pause(id).await.expect("at any moment, also while it is created");
    }
    assert!(refused(queue.finalize(id).await), "it must be resumed first");
    queue.append(id, vec![engine.file("b.txt", b"two")]).await.unwrap();
    assert_eq!(engine.upload(id).await.state, State::Paused, "what is added waits, too");
    for _ in 0..2 {
        queue.resume(id).await.unwrap();
    }
    engine.wait_for(id, State::Idle).await;
    queue.resume(id).await.expect("it has nothing to do");
    let error = queue.pause(id).await.unwrap_err().to_string();
    assert!(error.contains("is idle; this is possible only while it is transferring or paused"), "{error}");
    queue.finalize(id).await.unwrap();
    queue.finalize(id).await.unwrap();
    engine.wait_for(id, State::Complete).await;
    queue.finalize(id).await.expect("it is done");
    assert!(refused(queue.pause(id).await) && refused(queue.resume(id).await));
    let late = queue.append(id, vec![engine.file("c.txt", b"three")]).await.unwrap_err().to_string();
    assert!(late.contains("is complete; this is possible only while it is"), "{late}");
    queue.remove(id).await.unwrap();
    assert!(matches!(queue.remove(id).await, Err(QueueError::NotFound(_))));

    let gone = engine.file("gone.txt", b"x");
    std::fs::remove_file(gone.source.whole()).unwrap();
    let id = queue.submit(spec(vec![gone])).await.unwrap();
    engine.wait_for(id, State::Error).await;
    assert!(refused(queue.pause(id).await) && refused(queue.finalize(id).await));
    queue.append(id, vec![engine.file("d.txt", b"four")]).await.unwrap();
    assert_eq!(engine.upload(id).await.state, State::Error);
    queue.remove(id).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_can_go_on_without_the_files_that_have_vanished() {
    let hub = TestHub::start().await;
    let engine = TestEngine::start(hub.cloud()).await;
    let slow = RateLimit { enabled: true, rate_limit_bps: 3_000_000, ..RateLimit::default() };
    engine.queue.throttle().set(slow);
    let mut files = vec![
        engine.file("begun.mov", &content(1, 12_000_000)),
        engine.file("kept.txt", b"kept"),
        engine.file("gone.txt", b"gone"),
        engine.file("back.txt", b"back"),
    ];
    for (number, file) in files.iter_mut().enumerate() {
        file.claim = Some(format!("{number}").into());
    }
    let sources: Vec<_> = files.iter().map(|file| file.source.whole()).collect();
    let mut order = spec(files);
    order.chunk_size = Some(5 << 20);
    order.rule = Some("dailies".into());
    std::fs::remove_file(&sources[2]).unwrap();
    std::fs::remove_file(&sources[3]).unwrap();
    let id = engine.queue.submit(order).await.unwrap();
    assert!(refused(engine.queue.resume_without_gone(id).await), "it has not failed");
    wait_until("a part of the large one is there", Duration::from_secs(20), || async {
        engine.files(id).await[0].bytes_done > 0
    })
    .await;
    std::fs::remove_file(&sources[0]).unwrap();
    let problem = engine.wait_for(id, State::Error).await.problem.unwrap();
    assert!(problem.hint.unwrap().contains("--without-gone"));
    std::fs::write(&sources[3], b"back").unwrap();

    engine.queue.resume_without_gone(id).await.unwrap();
    let done = engine.wait_for(id, State::Complete).await;
    assert_eq!((done.totals.files, done.totals.files_done), (2, 2));
    assert_eq!((done.totals.bytes, done.totals.bytes_done), (8, 8));
    let states: Vec<FileState> = engine.files(id).await.iter().map(|file| file.state).collect();
    assert_eq!(states, [FileState::LeftOut, FileState::Done, FileState::LeftOut, FileState::Done]);
    let mut got = received(&done.links[0].url).await;
    got.sort();
    assert_eq!(got, [("back.txt".to_owned(), b"back".to_vec()), ("kept.txt".to_owned(), b"kept".to_vec())]);
    let ledger = engine.store.ledger_page("dailies", None, 100).await.unwrap();
    let claimed: Vec<_> = ledger.iter().map(|entry| entry.path.display().to_string()).collect();
    assert_eq!(claimed, ["1", "3"], "what was left out may be sent when it comes back");

    // A package that stays open takes more afterwards, what is back under its own name included.
    let mut open = spec(vec![engine.file("one.txt", b"one"), engine.file("away.txt", b"away")]);
    open.auto_finalize = false;
    std::fs::remove_file(engine.folder.path().join("source/away.txt")).unwrap();
    let id = engine.queue.submit(open).await.unwrap();
    engine.wait_for(id, State::Error).await;
    engine.queue.resume_without_gone(id).await.unwrap();
    engine.wait_for(id, State::Idle).await;
    engine.queue.append(id, vec![engine.file("later.txt", b"later"), engine.file("away.txt", b"back")]).await.unwrap();
    engine.queue.finalize(id).await.unwrap();
    let done = engine.wait_for(id, State::Complete).await;
    let mut got = received(&done.links[0].url).await;
    got.sort();
    let expected = [("away.txt", "back"), ("later.txt", "later"), ("one.txt", "one")];
    assert_eq!(got, expected.map(|(name, content)| (name.to_owned(), content.as_bytes().to_vec())));
    assert_eq!(engine.store.files_left_out(id).await.unwrap(), Vec::<String>::new());

    let only = engine.file("only.txt", b"x");
    std::fs::remove_file(only.source.whole()).unwrap();
    let id = engine.queue.submit(spec(vec![only])).await.unwrap();
    engine.wait_for(id, State::Error).await;
    let error = engine.queue.resume_without_gone(id).await.unwrap_err();
    assert!(matches!(error, QueueError::Invalid(_)), "{error}");
    assert_eq!(engine.upload(id).await.state, State::Error, "nothing has changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_can_be_paused_and_removed_while_the_cloud_does_not_answer() {
    let (hub, url, proxy) = behind_proxy(0).await;
    proxy.plan(|_| Some(Fault::Stalled));
    let engine = TestEngine::start(hub.impatient_cloud_at(url)).await;
    let id = engine.queue.submit(spec(vec![engine.file("a.txt", b"one")])).await.unwrap();
    wait_until("the package is asked for", Duration::from_secs(10), || async { proxy.counts().0 > 0 }).await;
    let begun = Instant::now();
    engine.queue.pause(id).await.unwrap();
    assert_eq!(engine.upload(id).await.state, State::Paused);
    engine.queue.resume(id).await.unwrap();
    engine.queue.remove(id).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(1), "orders wait for nobody");
    assert!(engine.store.upload(id).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn in_fifo_mode_the_order_can_be_changed_and_no_part_on_its_way_is_lost() {
    let (hub, url, proxy) = behind_proxy(0).await;
    proxy.hold_after_first(Asked::is_part);
    let settings = UploadSettings { workers: Workers::Fixed(2), active_uploads: 1, ..UploadSettings::default() };
    let engine = TestEngine::start_in(hub.cloud_at(url), tempfile::tempdir().unwrap(), settings).await;
    let ten_parts = |name: &str| spec(vec![engine.file(name, &content(1, 50 << 20))]);
    let first = engine.queue.submit(ten_parts("first.mov")).await.unwrap();
    let second = engine.queue.submit(ten_parts("second.mov")).await.unwrap();
    wait_until("the first one moves", Duration::from_secs(20), || async {
        engine.upload(first).await.totals.bytes_done > 0
    })
    .await;
    assert!(engine.queue.live(second).is_none(), "the second one waits for its turn");
    engine.queue.set_order(second, Order::Top).await.unwrap();
    proxy.release();
    let second = engine.wait_for(second, State::Complete).await;
    let first = engine.wait_for(first, State::Complete).await;
    assert!(second.completed_at < first.completed_at);
    assert_eq!(proxy.asked(Asked::is_part).len(), 20, "each part was sent once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_has_as_many_readers_as_it_may_and_files_are_open_as_allowed() {
    let (hub, url, proxy) = behind_proxy(0).await;
    proxy.plan(|asked| asked.is_part().then_some(Fault::Slow));
    let settings = UploadSettings { workers: Workers::Fixed(4), disk_readers: 1, ..UploadSettings::default() };
    let engine = TestEngine::start_in(hub.cloud_at(url), tempfile::tempdir().unwrap(), settings).await;
    let two_files = |name: &str| {
        let file = |number: u64| engine.file(&format!("{name}-{number}.mov"), &content(number, 15 << 20));
        spec(vec![file(1), file(2)])
    };
    let id = engine.queue.submit(two_files("slow")).await.unwrap();
    engine.wait_for(id, State::Complete).await;
    assert_eq!(proxy.most_parts_at_once(), 1, "one reader");

    engine.queue.change_settings(|settings| (settings.disk_readers, settings.open_files) = (4, 1));
    let before = proxy.asked(Asked::is_part).len();
    let id = engine.queue.submit(two_files("one-by-one")).await.unwrap();
    engine.wait_for(id, State::Complete).await;
    assert!(proxy.most_parts_at_once() > 1, "several readers of one file");
    let files: Vec<String> = proxy.asked(Asked::is_part).into_iter().skip(before).map(|asked| asked.path).collect();
    let changes = files.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert_eq!((files.len(), changes), (6, 1), "one file after the other: {files:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_session_is_told_once_whatever_waits_for_it() {
    let hub = TestHub::start().await;
    let cloud = Cloud::new(CloudSettings { base: hub.url.clone(), name: None, api_key: None, team_id: None }).unwrap();
    let engine = TestEngine::start(cloud.clone()).await;
    let mut ids = Vec::new();
    for name in ["a.txt", "b.txt", "c.txt"] {
        ids.push(engine.queue.submit(spec(vec![engine.file(name, b"hello")])).await.unwrap());
    }
    wait_until("all wait", Duration::from_secs(10), || async {
        ids.iter().all(|id| engine.queue.live(*id).is_some_and(|live| live.reason.is_some()))
    })
    .await;
    let events = engine.store.events_after(0, 1_000).await.unwrap();
    assert_eq!(events.iter().filter(|event| event.kind == "session.lost").count(), 1);
    let session = cloud.sign_in("editor@example.com", &"correct horse battery".into()).await.unwrap();
    engine.queue.set_session(Some(session));
    for id in ids {
        engine.wait_for(id, State::Complete).await;
    }
}

/// How long the bandwidth is measured; set `BANDWIDTH_SECONDS=10` for the long run.
fn seconds() -> u64 {
    std::env::var("BANDWIDTH_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(4)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bandwidth_is_exact_over_all_workers_and_there_is_no_burst_after_idling() {
    const RATE: u64 = 4_000_000;
    let seconds = seconds();
    let hub = TestHub::start().await;
    let settings = UploadSettings { workers: Workers::Fixed(4), ..UploadSettings::default() };
    let engine = TestEngine::start_in(hub.cloud(), tempfile::tempdir().unwrap(), settings).await;
    engine.queue.throttle().set(RateLimit { enabled: true, rate_limit_bps: RATE, ..RateLimit::default() });
    let size = usize::try_from(RATE * (seconds + 6)).unwrap() / 3;
    let mut ids = Vec::new();
    for seed in 0..4 {
        // One part each, so that what is in flight only grows.
        let mut order = spec(vec![engine.file(&format!("{seed}.mov"), &content(seed, size))]);
        order.chunk_size = Some(1 << 30);
        ids.push(engine.queue.submit(order).await.unwrap());
    }
    let moved = || ids.iter().filter_map(|id| engine.queue.live(*id)).map(|live| live.in_flight).sum::<u64>();
    wait_until("it moves", Duration::from_secs(20), || async { moved() > 1_000_000 }).await;
    let (begun, before) = (Instant::now(), moved());
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let rate = (moved() - before) as f64 / begun.elapsed().as_secs_f64() / RATE as f64;
    assert!((0.95..1.05).contains(&rate), "{rate:.3} of the limit");

    for id in &ids {
        engine.queue.pause(*id).await.unwrap();
    }
    wait_until("nothing moves", Duration::from_secs(10), || async { moved() == 0 }).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let begun = Instant::now();
    for id in &ids {
        engine.queue.resume(*id).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let most = begun.elapsed().as_secs_f64() * RATE as f64 * 1.05 + RATE as f64 / 5.0;
    assert!((moved() as f64) < most, "{} bytes in a second", moved());
}
