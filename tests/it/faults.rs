//! A network that misbehaves: three requests in ten are spoiled, parts arrive damaged, addresses expire, the hub is away.

use std::net::TcpListener;
use std::time::Duration;

use masv_agent::model::{Destination, FileState, State, UploadSpec};
use masv_agent::upload::{UploadSettings, Workers};

use crate::proxy::{Asked, FAULTS, Fault, behind_proxy};
use crate::support::{TestEngine, TestHub, content, digests, listen_again, received, spec, wait_until};

/// Case: a network that loses, resets and spoils requests: every upload arrives equal.
#[tokio::test(flavor = "multi_thread")]
async fn fifty_uploads_arrive_equal_though_three_requests_in_ten_are_spoiled() {
    let (hub, url, proxy) = behind_proxy(10).await;
    let mut random = fastrand::Rng::with_seed(20_261_124);
    proxy.plan(move |_| if random.u32(0..100) < 30 { random.choice(FAULTS) } else { None });
    let engine = TestEngine::start(hub.impatient_cloud_at(url)).await;
    let mut expected = Vec::new();
    for number in 0..50_u64 {
        let sizes: &[usize] = match number % 5 {
            0 => &[12_000_000, 10],
            1 => &[0],
            2 => &[1_000, 2_000, 3_000, 4_000],
            3 => &[70_000],
            _ => &[1],
        };
        let mut files: Vec<(String, Vec<u8>)> = Vec::new();
        for (index, size) in sizes.iter().enumerate() {
            files.push((format!("{number}/{index}.bin"), content(number * 10 + index as u64, *size)));
        }
        let sources = files.iter().map(|(name, bytes)| engine.file(name, bytes)).collect();
        expected.push((engine.queue.submit(spec(sources)).await.unwrap(), files));
    }
    for (id, files) in expected {
        let upload = engine.wait_long_for(id, State::Complete, Duration::from_secs(300)).await;
        let link = upload.links[0].url.replacen(hub.public().as_str(), hub.url.as_str(), 1);
        assert_eq!(digests(&received(&link).await), digests(&files), "{id}");
    }
    let (requests, spoiled) = proxy.counts();
    assert!(spoiled * 5 > requests, "only {spoiled} of {requests} requests were spoiled");
}

/// Case: a blackhole or an outage is waited out, with few requests and the reason told.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_costs_few_requests_and_the_upload_says_why_it_waits() {
    let (hub, url, proxy) = behind_proxy(0).await;
    proxy.plan(|_| Some(Fault::Cut));
    let engine = TestEngine::start(hub.cloud_at(url)).await;
    let files = (0..20).map(|n| engine.file(&format!("{n}.bin"), &content(n, 1_000))).collect();
    let id = engine.queue.submit(spec(files)).await.unwrap();
    wait_until("it tells why it waits", Duration::from_secs(10), || async {
        engine.queue.live(id).is_some_and(|live| live.reason.is_some() && live.next_retry_at.is_some())
    })
    .await;
    assert_eq!(engine.upload(id).await.state, State::Transferring, "an outage is no error");
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (requests, _) = proxy.counts();
    assert!(requests < 30, "{requests} requests in three seconds of outage");
    engine.queue.remove(id).await.expect("removing works with the cloud away");
}

/// Case: the hub is stopped and started again at its address while uploads wait.
#[tokio::test(flavor = "multi_thread")]
async fn uploads_wait_for_a_hub_that_is_away_and_go_on_when_it_is_back() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let hub = TestHub::start_on(listener, tempfile::tempdir().unwrap()).await;
    let cloud = hub.cloud();
    let folder = hub.shut_down().await;

    let engine = TestEngine::start(cloud).await;
    let id = engine.queue.submit(spec(vec![engine.file("a.txt", b"hello")])).await.unwrap();
    wait_until("the refused connection is told", Duration::from_secs(10), || async {
        engine.queue.live(id).is_some_and(|live| live.reason.is_some_and(|reason| reason.contains("connect")))
    })
    .await;
    let _hub = TestHub::start_on(listen_again(address).await, folder).await;
    engine.wait_long_for(id, State::Complete, Duration::from_secs(60)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_removed_while_the_hub_is_away_is_removed_there_later_also_after_a_restart() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let hub = TestHub::start_on(listener, tempfile::tempdir().unwrap()).await;
    let cloud = hub.cloud();
    let engine = TestEngine::start(cloud.clone()).await;
    let mut order = spec(vec![engine.file("a.mov", &content(1, 1 << 20))]);
    order.auto_finalize = false;
    let id = engine.queue.submit(order).await.unwrap();
    engine.wait_for(id, State::Idle).await;
    assert_eq!(hub.stored_packages().await, 1);
    let folder = hub.shut_down().await;

    engine.queue.remove(id).await.expect("removing works with the hub away");
    let TestEngine { queue, store, folder: kept } = engine;
    queue.stop().await;
    drop((queue, store));
    let _engine = TestEngine::start_in(cloud, kept, UploadSettings::default()).await;
    let hub = TestHub::start_on(listen_again(address).await, folder).await;
    wait_until("the package is removed", Duration::from_secs(90), || async { hub.stored_packages().await == 0 }).await;
}

/// Case: a part is changed on its way: it is noticed by its checksum, and sent again.
#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_arrives_damaged_is_sent_again_and_three_times_is_an_error_that_says_so() {
    let (hub, url, proxy) = behind_proxy(0).await;
    let engine = TestEngine::start(hub.cloud_at(url)).await;
    let flips = |mut times: u32| {
        move |asked: &Asked| {
            let flip = asked.is_part() && times > 0;
            times -= u32::from(flip);
            flip.then_some(Fault::FlippedBit)
        }
    };
    proxy.plan(flips(2));
    let id = engine.queue.submit(spec(vec![engine.file("a.mov", &content(1, 100_000))])).await.unwrap();
    engine.wait_for(id, State::Complete).await;
    assert_eq!(proxy.asked(Asked::is_part).len(), 3, "twice wrong, then right");

    proxy.plan(flips(3));
    let bytes = content(2, 100_000);
    let id = engine.queue.submit(spec(vec![engine.file("b.mov", &bytes)])).await.unwrap();
    let problem = engine.wait_for(id, State::Error).await.problem.unwrap();
    assert_eq!(problem.code, "part_damaged");
    assert!(problem.message.contains("b.mov arrived damaged 3 times") && problem.hint.is_some(), "{problem:?}");
    engine.queue.resume(id).await.unwrap();
    let upload = engine.wait_for(id, State::Complete).await;
    let link = upload.links[0].url.replacen(hub.public().as_str(), hub.url.as_str(), 1);
    assert_eq!(digests(&received(&link).await), digests(&[("b.mov".to_owned(), bytes)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_the_cloud_has_lost_is_sent_again_but_not_for_ever() {
    let (hub, url, proxy) = behind_proxy(0).await;
    let engine = TestEngine::start(hub.cloud_at(url)).await;
    let is_close = |asked: &Asked| asked.path.contains("/files/") && asked.path.ends_with("/finalize");
    let loses = |mut times: u32| {
        move |asked: &Asked| {
            if asked.is_batch() {
                return Some(Fault::Missing);
            }
            let lost = is_close(asked) && times > 0;
            times -= u32::from(lost);
            lost.then_some(Fault::Missing)
        }
    };
    proxy.plan(loses(1));
    let id = engine.queue.submit(spec(vec![engine.file("a.mov", &content(1, 100_000))])).await.unwrap();
    engine.wait_for(id, State::Complete).await;
    assert_eq!(proxy.asked(Asked::is_part).len(), 2, "sent once more");

    proxy.plan(loses(u32::MAX));
    let id = engine.queue.submit(spec(vec![engine.file("b.mov", &content(2, 100_000))])).await.unwrap();
    let problem = engine.wait_long_for(id, State::Error, Duration::from_secs(60)).await.problem.unwrap();
    assert_eq!(problem.code, "file_lost", "{problem:?}");
    assert_eq!(proxy.asked(Asked::is_part).len(), 2 + 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_come_in_windows_and_are_asked_for_again_when_they_have_expired_and_after_a_pause() {
    let (hub, url, proxy) = behind_proxy(0).await;
    let settings = UploadSettings { workers: Workers::Fixed(2), ..UploadSettings::default() };
    let engine = TestEngine::start_in(hub.cloud_at(url), tempfile::tempdir().unwrap(), settings).await;
    let twelve_parts = |name: &str, seed| spec(vec![engine.file(name, &content(seed, 60 << 20))]);
    let windows = || -> Vec<String> { proxy.asked(Asked::is_addresses).into_iter().map(|asked| asked.query).collect() };
    let id = engine.queue.submit(twelve_parts("a.mov", 1)).await.unwrap();
    engine.wait_for(id, State::Complete).await;
    assert_eq!(windows(), ["start=0&count=8", "start=8&count=4"]);
    assert_eq!(proxy.asked(Asked::is_part).len(), 12);

    // The sixth part is refused, as after a night's sleep.
    let mut parts = 0;
    proxy.plan(move |asked| {
        parts += u32::from(asked.is_part());
        (asked.is_part() && parts == 6).then_some(Fault::Expired)
    });
    let id = engine.queue.submit(twelve_parts("b.mov", 2)).await.unwrap();
    engine.wait_for(id, State::Complete).await;
    assert_eq!(windows()[2..], ["start=0&count=8", "start=0&count=8", "start=8&count=4"]);
    assert_eq!(proxy.asked(Asked::is_part).len(), 12 + 13, "only what was refused is sent again");

    proxy.hold_after_first(Asked::is_part);
    let id = engine.queue.submit(twelve_parts("c.mov", 3)).await.unwrap();
    wait_until("some parts are confirmed", Duration::from_secs(20), || async {
        engine.upload(id).await.totals.bytes_done > 0
    })
    .await;
    engine.queue.pause(id).await.unwrap();
    proxy.release();
    wait_until("it has stopped", Duration::from_secs(10), || async { engine.queue.live(id).is_none() }).await;
    let before = windows().len();
    engine.queue.resume(id).await.unwrap();
    engine.wait_for(id, State::Complete).await;
    assert!(windows().len() > before, "after the pause no old address is used");
}

/// Sends a file of four parts, and runs `meanwhile` while its second part is in flight.
async fn sent_while(
    meanwhile: impl Fn(&std::path::Path) + Send + 'static,
) -> (TestHub, TestEngine, masv_agent::model::UploadId) {
    let (hub, url, proxy) = behind_proxy(0).await;
    let settings = UploadSettings { workers: Workers::Fixed(1), ..UploadSettings::default() };
    let engine = TestEngine::start_in(hub.cloud_at(url), tempfile::tempdir().unwrap(), settings).await;
    let source = engine.file("clip.mov", &content(1, 20 << 20));
    let path = source.source.whole();
    let mut parts = 0;
    proxy.plan(move |asked| {
        parts += u32::from(asked.is_part());
        if asked.is_part() && parts == 2 {
            meanwhile(&path);
        }
        None
    });
    let id = engine.queue.submit(spec(vec![source, engine.file("other.txt", b"other")])).await.unwrap();
    (hub, engine, id)
}

/// Case: a file is replaced, grows or shrinks while it is sent.
/// Case: a file grows, shrinks or is replaced while it is sent: no mixture arrives.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_while_it_is_sent_is_sent_anew_as_it_is_then() {
    let grows = |path: &std::path::Path| {
        let mut bytes = content(1, 20 << 20);
        bytes.extend_from_slice(b"and more");
        std::fs::write(path, bytes).unwrap();
    };
    let shrinks = |path: &std::path::Path| {
        std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(11 << 20).unwrap();
    };
    let is_replaced = |path: &std::path::Path| {
        let new = path.with_extension("new");
        std::fs::write(&new, content(9, 20 << 20)).unwrap();
        std::fs::rename(new, path).unwrap();
    };
    let arrives = |sent: (TestHub, TestEngine, masv_agent::model::UploadId)| async move {
        let (hub, engine, id) = sent;
        let upload = engine.wait_long_for(id, State::Complete, Duration::from_secs(60)).await;
        let link = upload.links[0].url.replacen(hub.public().as_str(), hub.url.as_str(), 1);
        let now = std::fs::read(engine.folder.path().join("source/clip.mov")).unwrap();
        let expected = [("clip.mov".to_owned(), now.clone()), ("other.txt".to_owned(), b"other".to_vec())];
        assert_eq!(digests(&received(&link).await), digests(&expected));
        assert_eq!(upload.totals.bytes_done, upload.totals.bytes, "what is shown is what arrived");
        let checksum = blake3::hash(&now).to_hex().to_string();
        assert_eq!(engine.files(id).await[0].checksum.as_deref(), Some(checksum.as_str()));
    };
    tokio::join!(
        async { arrives(sent_while(grows).await).await },
        async { arrives(sent_while(shrinks).await).await },
        async { arrives(sent_while(is_replaced).await).await },
    );
}

/// Case: one of the files of a package vanishes while it is sent: the others go on, and it is named.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_vanishes_while_it_is_sent_is_named_and_the_others_are_sent() {
    let (hub, engine, id) = sent_while(|path| std::fs::remove_file(path).unwrap()).await;
    let problem = engine.wait_for(id, State::Error).await.problem.unwrap();
    assert!(problem.code == "source_gone" && problem.message.contains("clip.mov"), "{problem:?}");
    let states: Vec<_> = engine.files(id).await.into_iter().map(|file| file.state).collect();
    assert_eq!(states, [FileState::Gone, FileState::Done]);
    let back = engine.file("clip.mov", b"back again").source.whole();
    engine.queue.resume(id).await.unwrap();
    let upload = engine.wait_long_for(id, State::Complete, Duration::from_secs(60)).await;
    let link = upload.links[0].url.replacen(hub.public().as_str(), hub.url.as_str(), 1);
    assert_eq!(received(&link).await[0].1, std::fs::read(back).unwrap());
}

/// A mail named a file that its package does not have.
#[tokio::test(flavor = "multi_thread")]
async fn the_mail_of_a_package_says_which_of_its_files_have_vanished() {
    let hub = TestHub::start().await;
    let engine = TestEngine::start(hub.cloud()).await;
    let files = ["gone.mov", "here.mov"].map(|name| engine.file(name, name.as_bytes()));
    std::fs::remove_file(files[0].source.whole()).unwrap();
    let order = UploadSpec {
        destination: Destination::Email { recipients: vec!["client@example.com".into()] },
        description: Some("Today: gone.mov and here.mov".into()),
        ..spec(files.into())
    };
    let id = engine.queue.submit(order).await.unwrap();
    engine.wait_long_for(id, State::Error, Duration::from_secs(60)).await;
    engine.queue.resume_without_gone(id).await.unwrap();
    engine.wait_long_for(id, State::Complete, Duration::from_secs(60)).await;
    wait_until("the mail is made", Duration::from_secs(60), || async {
        !hub.mails_with("Today: gone.mov and here.mov").is_empty()
    })
    .await;
    let mail = hub.mails_with("Today: gone.mov and here.mov").concat();
    assert!(mail.contains("before they could be sent: gone.mov."), "{mail}");
    assert!(mail.contains("1 file"), "{mail}");
}

/// Case: files that grow while they are sent give their turn to the others of their package.
#[tokio::test(flavor = "multi_thread")]
async fn files_that_go_on_changing_hold_up_only_themselves_and_are_named() {
    let hub = TestHub::start().await;
    let engine = TestEngine::start(hub.cloud()).await;
    let growing: Vec<_> = (0..20).map(|n| engine.file(&format!("growing-{n}.mov"), b"0")).collect();
    let writers: Vec<_> = growing.iter().map(|file| file.source.whole()).collect();
    writers.iter().for_each(|path| std::fs::write(path, b"01").unwrap());
    let mut sources = growing;
    sources.push(engine.file("whole.mov", b"whole"));
    let writing = tokio::spawn(async move {
        for round in 0_u64.. {
            tokio::time::sleep(Duration::from_millis(300)).await;
            writers.iter().for_each(|path| std::fs::write(path, round.to_string()).unwrap());
        }
    });
    let id = engine.queue.submit(spec(sources)).await.unwrap();
    wait_until("what waits is named", Duration::from_secs(20), || async {
        engine.queue.live(id).is_some_and(|live| live.reason.is_some_and(|reason| reason.contains("growing-")))
    })
    .await;
    wait_until("the whole one is sent", Duration::from_secs(60), || async {
        engine.files(id).await[20].state == FileState::Done
    })
    .await;
    assert_eq!(engine.upload(id).await.state, State::Transferring);
    writing.abort();
    engine.wait_long_for(id, State::Complete, Duration::from_secs(90)).await;
}

/// "A package that disappears in the cloud", while it is being filled: the rule's upload gets another one, with all its files, and
/// nothing of the first is taken for sent.
#[tokio::test(flavor = "multi_thread")]
async fn a_package_that_vanishes_while_it_is_filled_is_made_anew_with_all_its_files() {
    let hub = TestHub::start().await;
    let engine = TestEngine::start(hub.cloud()).await;
    let slow = masv_agent::engine::RateLimit { enabled: true, rate_limit_bps: 6_000_000, ..Default::default() };
    engine.queue.throttle().set(slow);
    let (small, large) = (content(5, 200_000), content(6, 16_000_000));
    let files = vec![engine.file("a.mov", &small), engine.file("b.mov", &large)];
    let order = UploadSpec { rule: Some("dailies".into()), chunk_size: Some(5 << 20), ..spec(files) };
    let id = engine.queue.submit(order).await.unwrap();
    let some = async || engine.upload(id).await.totals.bytes_done > 5_000_000;
    wait_until("some of it is confirmed", Duration::from_secs(30), some).await;
    let first = engine.upload(id).await.package.unwrap();
    let access = masv_client::PackageAccess { id: &first.id, token: &first.token };
    engine.queue.cloud().remove_package(access).await.unwrap();
    engine.queue.throttle().set(masv_agent::engine::RateLimit::default());
    let upload = engine.wait_long_for(id, State::Complete, Duration::from_secs(60)).await;
    assert_ne!(upload.package.unwrap().id, first.id);
    let sent = [("a.mov".to_owned(), small), ("b.mov".to_owned(), large)];
    assert_eq!(digests(&received(&upload.links[0].url).await), digests(&sent));
    assert_eq!(hub.stored_packages().await, 1);
}
