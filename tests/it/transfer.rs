//! The life of uploads, from submit to what the recipient gets.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

use masv_agent::engine::{QueueError, RateLimit};
use masv_agent::model::{Destination, FileState, State};
use masv_agent::store::ErrandKind;
use masv_agent::upload::{UploadSettings, Workers};
use masv_client::{Cloud, CloudSettings};

use crate::support::{KEY, TestEngine, TestHub, content, digests, received, source_file, spec, wait_until};

#[tokio::test(flavor = "multi_thread")]
async fn a_package_arrives_with_the_same_tree_and_the_same_bytes() {
    let hub = TestHub::start().await;
    let engine = TestEngine::start(hub.cloud()).await;
    let files = [
        ("empty.txt", Vec::new()),
        ("small.txt", content(1, 5_000)),
        ("A001/clip one.mov", content(2, 12_000_000)),
        ("A001/deep/er/🎬 \"quoted\".mov", content(3, 300_000)),
        ("exact.bin", content(4, 10 << 20)),
    ];
    let sources = files.iter().map(|(name, bytes)| engine.file(name, bytes)).collect();
    let id = engine.queue.submit(spec(sources)).await.unwrap();
    let upload = engine.wait_for(id, State::Complete).await;

    let mut expected: Vec<_> = files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.clone())).collect();
    expected.sort();
    assert_eq!(digests(&received(&upload.links[0].url).await), digests(&expected));
    assert_eq!(upload.totals.bytes_done, upload.totals.bytes);
    for file in engine.files(id).await {
        let hash = blake3::hash(&std::fs::read(file.source.whole()).unwrap()).to_hex().to_string();
        assert_eq!(file.checksum.as_deref(), Some(hash.as_str()), "{}", file.path);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_no_cloud_can_carry_arrive_under_the_documented_ones() {
    let hub = TestHub::start().await;
    let engine = TestEngine::start(hub.cloud()).await;
    let folder = engine.folder.path().join("source");
    std::fs::create_dir_all(&folder).unwrap();
    let mut sources = Vec::new();
    for name in [&b"line\nbreak.mov"[..], b"not-\xff-utf8.mov", b"tab\there", b"back\\slash"] {
        let name = Path::new(std::ffi::OsStr::from_bytes(name));
        std::fs::write(folder.join(name), name.as_os_str().as_bytes()).unwrap();
        sources.push(source_file(name, folder.join(name)));
    }
    let id = engine.queue.submit(spec(sources)).await.unwrap();
    let link = engine.wait_for(id, State::Complete).await.links[0].url.clone();
    let names: Vec<_> = received(&link).await.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["back%5Cslash", "line%0Abreak.mov", "not-%FF-utf8.mov", "tab%09here"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_and_portal_recipients_get_a_working_link() {
    let hub = TestHub::start().await;
    let engine = TestEngine::start(hub.cloud()).await;
    let portal = |subdomain: &str, access_code: Option<&str>| Destination::Portal {
        subdomain: subdomain.into(),
        sender: "sender@example.com".into(),
        access_code: access_code.map(Into::into),
        metadata: [("project".to_owned(), "Moon".to_owned())].into(),
    };
    let email = Destination::Email { recipients: vec!["client@example.com".into()] };
    let cases = [
        ("by mail", email, "client@example.com"),
        ("to acme", portal("acme", None), "owner@example.com"),
        ("to locked", portal("locked", Some("open sesame")), "owner@example.com"),
    ];
    for (name, destination, recipient) in cases {
        let mut spec = spec(vec![engine.file("a.txt", b"hello")]);
        (spec.name, spec.destination) = (name.into(), destination);
        let id = engine.queue.submit(spec).await.unwrap();
        engine.wait_for(id, State::Complete).await;
        let what = format!("a mail about {name:?}");
        // The sender gets a receipt beside it.
        let to_recipient = || {
            let to = format!("To: {recipient}");
            hub.mails_with(name).into_iter().find(|mail| mail.contains(&to) && mail.contains("secret"))
        };
        wait_until(&what, Duration::from_secs(30), || async { to_recipient().is_some() }).await;
        let mail = to_recipient().unwrap();
        let mail = mail.replace("=3D", "=");
        let link = mail.split_whitespace().find(|word| word.starts_with("http") && word.contains("secret=")).unwrap();
        assert_eq!(received(link).await, [("a.txt".to_owned(), b"hello".to_vec())]);
    }
}

/// Case: a portal that is not there ends the upload with the right words, as often as it is tried again.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_access_code_is_an_error_that_says_so_and_can_be_resumed() {
    let hub = TestHub::start().await;
    let engine = TestEngine::start(hub.cloud()).await;
    let mut order = spec(vec![engine.file("a.txt", b"hello")]);
    order.destination = Destination::Portal {
        subdomain: "nowhere".into(),
        sender: "sender@example.com".into(),
        access_code: None,
        metadata: [].into(),
    };
    let id = engine.queue.submit(order).await.unwrap();
    let problem = engine.wait_for(id, State::Error).await.problem.unwrap();
    assert_eq!(problem.code, "not_found");
    assert!(problem.message.contains("find the portal"), "{}", problem.message);
    engine.queue.resume(id).await.unwrap();
    engine.wait_for(id, State::Error).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_auto_finalize_it_stays_idle_takes_more_files_and_is_finalized_by_order() {
    let hub = TestHub::start().await;
    let engine = TestEngine::start(hub.cloud()).await;
    let mut order = spec(vec![engine.file("a.txt", b"one")]);
    order.auto_finalize = false;
    let id = engine.queue.submit(order).await.unwrap();
    let link = engine.wait_for(id, State::Idle).await.links[0].url.clone();
    let same_name = source_file(Path::new("a.txt"), engine.file("other/a.txt", b"three").source.whole());
    engine.queue.append(id, vec![engine.file("b.txt", b"two"), same_name]).await.unwrap();
    engine.wait_for(id, State::Idle).await;
    engine.queue.finalize(id).await.unwrap();
    engine.wait_for(id, State::Complete).await;
    engine.queue.finalize(id).await.expect("finalizing a complete upload changes nothing");
    let files: Vec<_> = received(&link).await.into_iter().map(|(name, _)| name).collect();
    assert_eq!(files, ["a (2).txt", "a.txt", "b.txt"], "the second file of a name is numbered");
    let late = engine.queue.append(id, vec![engine.file("c.txt", b"three")]).await;
    assert!(matches!(late, Err(QueueError::WrongState { .. })), "{late:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pausing_keeps_what_is_confirmed_and_resuming_goes_on() {
    let hub = TestHub::start().await;
    let settings = UploadSettings { workers: Workers::Fixed(1), ..UploadSettings::default() };
    let engine = TestEngine::start_in(hub.cloud(), tempfile::tempdir().unwrap(), settings).await;
    let bytes = content(7, 60 << 20);
    let id = engine.queue.submit(spec(vec![engine.file("big.mov", &bytes)])).await.unwrap();
    wait_until("something is confirmed", Duration::from_secs(10), || async {
        engine.upload(id).await.totals.bytes_done > 0
    })
    .await;
    engine.queue.pause(id).await.unwrap();
    wait_until("it has stopped", Duration::from_secs(1), || async { engine.queue.live(id).is_none() }).await;
    let paused = engine.upload(id).await;
    assert_eq!(paused.state, State::Paused);
    engine.queue.pause(id).await.expect("pausing twice changes nothing");
    engine.queue.resume(id).await.unwrap();
    let done = engine.wait_for(id, State::Complete).await;
    assert!(paused.totals.bytes_done <= done.totals.bytes_done);
    assert_eq!(digests(&received(&done.links[0].url).await), digests(&[("big.mov".to_owned(), bytes)]));
}

/// Row "resume trusted a changed file": other content of the same size, with the old time set again, while it is paused with
/// parts in the cloud.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_while_its_upload_is_paused_is_sent_anew() {
    let hub = TestHub::start().await;
    let settings = UploadSettings { workers: Workers::Fixed(1), ..UploadSettings::default() };
    let engine = TestEngine::start_in(hub.cloud(), tempfile::tempdir().unwrap(), settings).await;
    let source = engine.file("big.mov", &content(7, 40 << 20));
    let path = source.source.whole();
    let id = engine.queue.submit(spec(vec![source])).await.unwrap();
    let confirmed = || async { engine.upload(id).await.totals.bytes_done > 0 };
    wait_until("something is confirmed", Duration::from_secs(10), confirmed).await;
    engine.queue.pause(id).await.unwrap();
    wait_until("it has stopped", Duration::from_secs(5), || async { engine.queue.live(id).is_none() }).await;
    let time = std::fs::metadata(&path).unwrap().modified().unwrap();
    let other = content(8, 40 << 20);
    std::fs::write(&path, &other).unwrap();
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    engine.queue.resume(id).await.unwrap();
    let done = engine.wait_for(id, State::Complete).await;
    assert_eq!(digests(&received(&done.links[0].url).await), digests(&[("big.mov".to_owned(), other)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_while_it_waits_is_sent_as_it_is_then() {
    let hub = TestHub::start().await;
    let engine = TestEngine::start(hub.cloud()).await;
    let source = engine.file("a.txt", b"draft");
    std::fs::write(source.source.whole(), b"final version").unwrap();
    let id = engine.queue.submit(spec(vec![source, engine.file("b.txt", b"other")])).await.unwrap();
    let link = engine.wait_for(id, State::Complete).await.links[0].url.clone();
    let expected = [("a.txt".to_owned(), b"final version".to_vec()), ("b.txt".to_owned(), b"other".to_vec())];
    assert_eq!(received(&link).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_gone_stops_only_itself_and_says_so() {
    let hub = TestHub::start().await;
    let engine = TestEngine::start(hub.cloud()).await;
    let (gone, kept) = (engine.file("gone.mov", b"x"), engine.file("kept.mov", b"y"));
    let path = gone.source.whole();
    std::fs::remove_file(&path).unwrap();
    let id = engine.queue.submit(spec(vec![gone, kept])).await.unwrap();
    let problem = engine.wait_for(id, State::Error).await.problem.unwrap();
    assert!(problem.message.contains("gone.mov") && problem.hint.is_some(), "{problem:?}");
    let states: Vec<_> = engine.files(id).await.into_iter().map(|file| file.state).collect();
    assert_eq!(states, [FileState::Gone, FileState::Done]);
    std::fs::write(&path, b"back again").unwrap();
    engine.queue.resume(id).await.unwrap();
    engine.wait_for(id, State::Complete).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_upload_leaves_no_package_in_the_cloud_and_the_files_alone() {
    let hub = TestHub::start().await;
    let engine = TestEngine::start(hub.cloud()).await;
    let source = engine.file("a.mov", &content(1, 1 << 20));
    let path = source.source.whole();
    let mut order = spec(vec![source]);
    order.auto_finalize = false;
    let id = engine.queue.submit(order).await.unwrap();
    engine.wait_for(id, State::Idle).await;
    assert_eq!(hub.stored_packages().await, 1);
    engine.queue.remove(id).await.unwrap();
    wait_until("the package is removed", Duration::from_secs(20), || async { hub.stored_packages().await == 0 }).await;
    assert!(path.exists());
}

/// Case: the agent is stopped in the middle of a large file: what was confirmed is not sent again.
#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_engine_sends_only_what_is_missing() {
    let hub = TestHub::start().await;
    let settings = UploadSettings { workers: Workers::Fixed(1), ..UploadSettings::default() };
    let engine = TestEngine::start_in(hub.cloud(), tempfile::tempdir().unwrap(), settings).await;
    let bytes = content(9, 80 << 20);
    let id = engine.queue.submit(spec(vec![engine.file("big.mov", &bytes)])).await.unwrap();
    wait_until("two parts are confirmed", Duration::from_secs(10), || async {
        engine.upload(id).await.totals.bytes_done >= 10 << 20
    })
    .await;
    let TestEngine { queue, store, folder } = engine;
    queue.stop().await;
    let confirmed = store.parts(id, 0).await.unwrap();
    assert!(confirmed.len() >= 2 && confirmed.len() < 16, "{} parts", confirmed.len());
    drop((queue, store));

    let engine = TestEngine::start_in(hub.cloud(), folder, settings).await;
    let link = engine.wait_for(id, State::Complete).await.links[0].url.clone();
    assert_eq!(digests(&received(&link).await), digests(&[("big.mov".to_owned(), bytes)]));
}

/// How many small files are sent; set `SMALL_FILES=10000` for the long run.
fn small_files() -> u32 {
    std::env::var("SMALL_FILES").ok().and_then(|text| text.parse().ok()).unwrap_or(1_500)
}

/// Case: a folder of thousands of files is one package.
#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_small_files_arrive_in_one_package() {
    let count = small_files();
    let hub = TestHub::start().await;
    let engine = TestEngine::start(hub.cloud()).await;
    let sources = (0..count).map(|n| engine.file(&format!("{:03}/{n}.txt", n / 100), &n.to_le_bytes())).collect();
    let id = engine.queue.submit(spec(sources)).await.unwrap();
    let upload = engine.wait_long_for(id, State::Complete, Duration::from_secs(300)).await;
    assert_eq!((upload.totals.files_done, upload.totals.bytes_done), (u64::from(count), u64::from(count) * 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_higher_priority_takes_over_and_nothing_of_the_lower_is_lost() {
    let hub = TestHub::start().await;
    let settings = UploadSettings { workers: Workers::Fixed(1), ..UploadSettings::default() };
    let engine = TestEngine::start_in(hub.cloud(), tempfile::tempdir().unwrap(), settings).await;
    let (low_bytes, high_bytes) = (content(1, 100 << 20), content(2, 20 << 20));
    let low = engine.queue.submit(spec(vec![engine.file("low.mov", &low_bytes)])).await.unwrap();
    wait_until("the lower one moves", Duration::from_secs(10), || async {
        engine.upload(low).await.totals.bytes_done > 0
    })
    .await;
    let mut order = spec(vec![engine.file("high.mov", &high_bytes)]);
    order.priority = 5;
    let high = engine.queue.submit(order).await.unwrap();
    let high = engine.wait_for(high, State::Complete).await;
    let behind = engine.upload(low).await;
    assert!(behind.state == State::Transferring, "the higher one was not first");
    let low = engine.wait_for(low, State::Complete).await;
    assert!(behind.totals.bytes_done > 0 && low.completed_at > high.completed_at);
    assert_eq!(digests(&received(&low.links[0].url).await), digests(&[("low.mov".to_owned(), low_bytes)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_small_files_do_not_hold_up_a_big_one() {
    let hub = TestHub::start().await;
    let settings = UploadSettings { workers: Workers::Fixed(2), ..UploadSettings::default() };
    let engine = TestEngine::start_in(hub.cloud(), tempfile::tempdir().unwrap(), settings).await;
    let small = (0..3_000u32).map(|n| engine.file(&format!("{n}.txt"), &n.to_le_bytes())).collect();
    let small = engine.queue.submit(spec(small)).await.unwrap();
    let big = engine.queue.submit(spec(vec![engine.file("big.mov", &content(3, 30 << 20))])).await.unwrap();
    engine.wait_for(big, State::Complete).await;
    let small = engine.upload(small).await;
    assert!(small.state == State::Transferring && small.totals.files_done > 0, "both move at once: {small:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bandwidth_limit_is_kept_and_lifted_at_once() {
    let hub = TestHub::start().await;
    let engine = TestEngine::start(hub.cloud()).await;
    let limit = |enabled| RateLimit { enabled, rate_limit_bps: 10_000_000, ..RateLimit::default() };
    engine.queue.throttle().set(limit(true));
    let begun = Instant::now();
    let id = engine.queue.submit(spec(vec![engine.file("a.mov", &content(1, 30_000_000))])).await.unwrap();
    engine.wait_for(id, State::Complete).await;
    let took = begun.elapsed().as_secs_f64();
    assert!((2.8..5.0).contains(&took), "30 MB at 10 MB/s took {took:.2} s");

    engine.queue.throttle().set(RateLimit { rate_limit_bps: 300_000, ..limit(true) });
    let id = engine.queue.submit(spec(vec![engine.file("b.mov", &content(2, 30_000_000))])).await.unwrap();
    wait_until("it crawls", Duration::from_secs(5), || async {
        engine.queue.live(id).is_some_and(|live| live.in_flight > 0)
    })
    .await;
    engine.queue.throttle().set(limit(false));
    engine.wait_for(id, State::Complete).await;
}

/// Case: a missing sign-in is waited for, and is not a final error of each drop.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_session_uploads_wait_and_go_on_when_somebody_signs_in() {
    let hub = TestHub::start().await;
    let cloud = Cloud::new(CloudSettings { base: hub.url.clone(), name: None, api_key: None, team_id: None }).unwrap();
    let engine = TestEngine::start(cloud.clone()).await;
    let id = engine.queue.submit(spec(vec![engine.file("a.txt", b"hello")])).await.unwrap();
    wait_until("it says that nobody is signed in", Duration::from_secs(5), || async {
        engine.queue.live(id).is_some_and(|live| live.reason.is_some_and(|reason| reason.contains("masv user login")))
    })
    .await;
    assert_eq!(engine.upload(id).await.state, State::Transferring);
    let wrong = cloud.sign_in("editor@example.com", &"wrong".into()).await.unwrap_err();
    assert_eq!(wrong.status(), Some(401));
    let session = cloud.sign_in("editor@example.com", &"correct horse battery".into()).await.unwrap();
    engine.queue.set_session(Some(session));
    let upload = engine.wait_for(id, State::Complete).await;
    assert_eq!(received(&upload.links[0].url).await, [("a.txt".to_owned(), b"hello".to_vec())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_ends_in_the_cloud_that_has_its_package_whatever_cloud_the_agent_has_by_then() {
    let (first, second) = (TestHub::start().await, TestHub::start().await);
    let engine = TestEngine::start(first.cloud()).await;
    slow(&engine);
    let sent = engine.queue.submit(spec(vec![engine.file("sent.mov", &content(1, 3_000_000))])).await.unwrap();
    let removed = engine.queue.submit(spec(vec![engine.file("removed.mov", &content(2, 3_000_000))])).await.unwrap();
    wait_until("both packages are made", Duration::from_secs(10), || async {
        engine.upload(sent).await.links.len() + engine.upload(removed).await.links.len() == 2
    })
    .await;
    engine.queue.stop().await;
    let TestEngine { folder, queue, store } = engine;
    drop((queue, store));

    let engine = TestEngine::start_in(second.cloud(), folder, UploadSettings::default()).await;
    engine.queue.remove(removed).await.unwrap();
    let done = engine.wait_for(sent, State::Complete).await;
    assert!(done.links[0].url.starts_with(first.public().as_str()), "{:?}", done.links);
    let link = engine.queue.create_link(sent, None, None).await.unwrap();
    assert!(link.url.starts_with(first.public().as_str()), "{link:?}");
    wait_until("what was given up is gone from the first cloud", Duration::from_secs(20), || async {
        first.stored_packages().await == 1
            && engine.store.next_errand(ErrandKind::RemovePackage, long_ago()).await.unwrap().is_none()
    })
    .await;
    assert_eq!(second.stored_packages().await, 0);
    let next = engine.queue.submit(spec(vec![engine.file("next.txt", b"next")])).await.unwrap();
    let next = engine.wait_for(next, State::Complete).await;
    assert!(next.links[0].url.starts_with(second.public().as_str()), "{:?}", next.links);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_of_a_hub_that_does_not_run_any_more_says_so_and_goes_on_when_it_does() {
    let (own, other) = (TestHub::start().await, TestHub::start().await);
    let settings = CloudSettings {
        base: own.url.clone(),
        name: Some("embedded".into()),
        api_key: Some(KEY.into()),
        team_id: Some(own.team.as_str().into()),
    };
    let engine = TestEngine::start(Cloud::new(settings.clone()).unwrap()).await;
    slow(&engine);
    let id = engine.queue.submit(spec(vec![engine.file("a.mov", &content(1, 3_000_000))])).await.unwrap();
    wait_until("its package is made", Duration::from_secs(10), || async { !engine.upload(id).await.links.is_empty() })
        .await;
    engine.queue.stop().await;
    let TestEngine { folder, queue, store } = engine;
    drop((queue, store));

    let engine = TestEngine::start_in(other.cloud(), folder, UploadSettings::default()).await;
    let problem = engine.wait_for(id, State::Error).await.problem.unwrap();
    assert_eq!(problem.code, "other_cloud");
    assert!(problem.message.contains("embedded hub"), "{}", problem.message);
    assert!(matches!(engine.queue.create_link(id, None, None).await, Err(QueueError::Cloud(_))));
    engine.queue.stop().await;
    let TestEngine { folder, queue, store } = engine;
    drop((queue, store));

    let engine = TestEngine::start_in(Cloud::new(settings).unwrap(), folder, UploadSettings::default()).await;
    engine.queue.resume(id).await.unwrap();
    engine.wait_for(id, State::Complete).await;
}

fn slow(engine: &TestEngine) {
    engine.queue.throttle().set(RateLimit { enabled: true, rate_limit_bps: 1_000_000, ..RateLimit::default() });
}

fn long_ago() -> jiff::Timestamp {
    jiff::Timestamp::UNIX_EPOCH
}
