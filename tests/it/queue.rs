//! Whose turn it is: what only waits holds nothing up, what was refused is not retried automatically, and orders count.

use std::io::Write;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use masv_agent::engine::RateLimit;
use masv_agent::model::{Destination, Problem, State, UploadSpec};
use masv_agent::store::Order;
use masv_agent::upload::{UploadSettings, Workers};
use masv_client::{Cloud, CloudSettings};
use secrecy::SecretString;

use crate::proxy::{Asked, Fault, behind_proxy};
use crate::support::{KEY, TestEngine, TestHub, content, listen_again, spec, wait_until};

/// One upload at a time, first come, first served.
fn one_at_a_time() -> UploadSettings {
    UploadSettings { active_uploads: 1, ..UploadSettings::default() }
}

/// An upload of one small file into the portal that asks for a code.
fn to_portal(engine: &TestEngine, name: &str, code: &str) -> UploadSpec {
    let destination = Destination::Portal {
        subdomain: "locked".into(),
        sender: "sender@example.com".into(),
        access_code: Some(SecretString::from(code)),
        metadata: [].into(),
    };
    UploadSpec { destination, ..spec(vec![engine.file(name, name.as_bytes())]) }
}

fn asks_portal(asked: &Asked) -> bool {
    asked.method == "POST" && asked.path.starts_with("/v1/portals/")
}

/// One mistyped access code stopped the whole agent: each upload with it tried again every 30 seconds forever, in a place of
/// its own, until the portal took no code from this address any more, the right one neither.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_access_code_ends_its_uploads_and_neither_holds_up_others_nor_is_tried_again() {
    let (hub, url, proxy) = behind_proxy(0).await;
    let engine = TestEngine::start(hub.cloud_at(url)).await;
    let mut wrong = Vec::new();
    for number in 0..40 {
        let order = to_portal(&engine, &format!("{number}.mov"), "wrongcode");
        wrong.push(engine.queue.submit(UploadSpec { rule: Some("locked".into()), ..order }).await.unwrap());
    }
    let right = engine.queue.submit(to_portal(&engine, "right.mov", "open sesame")).await.unwrap();
    engine.wait_for(right, State::Complete).await;
    for id in &wrong {
        let problem = engine.wait_for(*id, State::Error).await.problem.unwrap();
        assert_eq!(problem.code, "portal_authorization_required");
        assert!(problem.message.contains("portal authorization required"), "{}", problem.message);
        assert!(problem.hint.unwrap().contains("--password"));
    }
    assert_eq!(proxy.asked(asks_portal).len(), 2, "one try a code");

    engine.queue.set_password(wrong[0], SecretString::from("open sesame")).await.unwrap();
    engine.wait_for(wrong[0], State::Complete).await;
    engine.queue.resume(wrong[1]).await.unwrap();
    wait_until("somebody wanted it tried once more", Duration::from_secs(10), || async {
        proxy.asked(asks_portal).len() == 4
    })
    .await;
    engine.wait_for(wrong[1], State::Error).await;
}

/// With the vendor's FIFO mode a file that went on growing held up everything behind it.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_goes_on_growing_gives_its_turn_away_and_takes_it_back() {
    let hub = TestHub::start().await;
    let engine = TestEngine::start_in(hub.cloud(), tempfile::tempdir().unwrap(), one_at_a_time()).await;
    let growing = engine.file("growing.mov", &content(1, 1_000));
    let (path, stop) = (growing.source.whole(), Arc::new(AtomicBool::new(false)));
    let stopped = Arc::clone(&stop);
    let writer = std::thread::spawn(move || {
        let mut file = std::fs::OpenOptions::new().append(true).open(path).unwrap();
        while !stopped.load(Ordering::Relaxed) {
            file.write_all(b"more").unwrap();
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    wait_until("it grows", Duration::from_secs(10), || async {
        std::fs::metadata(growing.source.whole()).unwrap().len() > 1_000
    })
    .await;
    let first = engine.queue.submit(spec(vec![growing])).await.unwrap();
    let behind = engine.queue.submit(spec(vec![engine.file("behind.mov", b"behind")])).await.unwrap();
    engine.wait_for(behind, State::Complete).await;
    assert_eq!(engine.upload(first).await.state, State::Transferring, "it still waits for its file");
    stop.store(true, Ordering::Relaxed);
    writer.join().unwrap();
    engine.wait_long_for(first, State::Complete, Duration::from_secs(60)).await;
}

/// A team that may store no more held 32 places with its retries, and another team's files stayed queued.
#[tokio::test(flavor = "multi_thread")]
async fn a_team_that_gets_nothing_does_not_hold_up_another_destination() {
    let (hub, url, proxy) = behind_proxy(0).await;
    let team = format!("/v1/teams/{}/packages", hub.team);
    proxy.plan(move |asked| (asked.path == team && asked.method == "POST").then_some(Fault::ServerError));
    let engine = TestEngine::start(hub.cloud_at(url)).await;
    let mut held = Vec::new();
    for number in 0..45 {
        held.push(engine.queue.submit(spec(vec![engine.file(&format!("{number}.mov"), b"held")])).await.unwrap());
    }
    let other = engine.queue.submit(to_portal(&engine, "other.mov", "open sesame")).await.unwrap();
    engine.wait_for(other, State::Complete).await;
    let waiting = engine.queue.running().len();
    assert!(waiting <= 40, "{waiting} of them wait at once; the others are queued");
    proxy.plan(|_| None);
    for id in held {
        engine.wait_long_for(id, State::Complete, Duration::from_secs(90)).await;
    }
}

/// Nor does an upload whose package is in a cloud that is away hold up those of the agent's own.
#[tokio::test(flavor = "multi_thread")]
async fn a_cloud_that_is_away_does_not_hold_up_what_goes_to_another() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (first, second) = (TestHub::start_on(listener, tempfile::tempdir().unwrap()).await, TestHub::start().await);
    let engine = TestEngine::start(first.cloud()).await;
    let open = UploadSpec { auto_finalize: false, ..spec(vec![engine.file("a.txt", b"a")]) };
    let open = engine.queue.submit(open).await.unwrap();
    engine.wait_for(open, State::Idle).await;
    let TestEngine { queue, store, folder } = engine;
    queue.stop().await;
    drop((queue, store));
    let kept = first.shut_down().await;

    let engine = TestEngine::start_in(second.cloud(), folder, one_at_a_time()).await;
    engine.queue.finalize(open).await.unwrap();
    let other = engine.queue.submit(spec(vec![engine.file("b.txt", b"b")])).await.unwrap();
    engine.wait_for(other, State::Complete).await;
    let reason = engine.queue.live(open).and_then(|live| live.reason).unwrap_or_default();
    assert!(reason.contains("connect"), "{reason}");
    let _first = TestHub::start_on(listen_again(address).await, kept).await;
    engine.wait_long_for(open, State::Complete, Duration::from_secs(60)).await;
}

/// An upload that was moved to the top while it ran still shared the workers with its equals, and ended last.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_moved_to_the_top_goes_before_its_equals_while_they_run() {
    let hub = TestHub::start().await;
    let settings = UploadSettings { workers: Workers::Fixed(1), ..UploadSettings::default() };
    let engine = TestEngine::start_in(hub.cloud(), tempfile::tempdir().unwrap(), settings).await;
    engine.queue.throttle().set(RateLimit { enabled: true, rate_limit_bps: 10_000_000, ..RateLimit::default() });
    let mut ids = Vec::new();
    for number in 0..3 {
        let file = engine.file(&format!("{number}.mov"), &content(number, 40 << 20));
        ids.push(engine.queue.submit(spec(vec![file])).await.unwrap());
    }
    wait_until("all of them move", Duration::from_secs(30), || async {
        let mut moving = 0;
        for id in &ids {
            moving += usize::from(engine.upload(*id).await.totals.bytes_done > 0);
        }
        moving == 3
    })
    .await;
    engine.queue.set_order(ids[2], Order::Top).await.unwrap();
    let last = engine.wait_long_for(ids[2], State::Complete, Duration::from_secs(60)).await;
    for id in &ids[..2] {
        let other = engine.wait_long_for(*id, State::Complete, Duration::from_secs(60)).await;
        assert!(other.completed_at > last.completed_at, "the one at the top is done first");
    }
}

/// A key says nothing about its team, and every drop ended in an error although the cloud lists exactly one.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_alone_sends_for_its_only_team() {
    let hub = TestHub::start().await;
    let settings = CloudSettings { base: hub.url.clone(), name: None, api_key: Some(KEY.into()), team_id: None };
    let engine = TestEngine::start(Cloud::new(settings).unwrap()).await;
    let id = engine.queue.submit(spec(vec![engine.file("a.txt", b"hello")])).await.unwrap();
    let upload = engine.wait_for(id, State::Complete).await;
    assert_eq!(upload.team_id.map(|team| team.to_string()), Some(hub.team.clone()));
}

/// Case: every drop ended in `no_team`, and stayed there after the team was named. What an earlier version ended so is sent by the next
/// start that knows the team.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_earlier_version_ended_for_want_of_a_team_is_sent_when_the_team_is_known() {
    let hub = TestHub::start().await;
    let nobody = CloudSettings { base: hub.url.clone(), name: None, api_key: None, team_id: None };
    let engine = TestEngine::start(Cloud::new(nobody).unwrap()).await;
    let id = engine.queue.submit(spec(vec![engine.file("a.txt", b"hello")])).await.unwrap();
    wait_until("it waits", Duration::from_secs(10), || async {
        engine.queue.live(id).is_some_and(|live| live.reason.is_some())
    })
    .await;
    let TestEngine { queue, store, folder } = engine;
    queue.stop().await;
    let problem = Problem { code: "no_team".into(), message: "which team?".into(), retryable: true, hint: None };
    store.move_to(id, &[State::Transferring], State::Error, Some(problem)).await.unwrap();
    drop((queue, store));
    let engine = TestEngine::start_in(hub.cloud(), folder, UploadSettings::default()).await;
    let upload = engine.wait_for(id, State::Complete).await;
    assert!(upload.problem.is_none(), "{:?}", upload.problem);
}
