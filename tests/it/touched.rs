//! A `chmod`, a link, an attribute or another mount does not change the content; what puts another content under the
//! same size and date is.

use std::fs::{File, FileTimes, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use masv_agent::engine::RateLimit;
use masv_agent::model::{State, UploadId};
use masv_agent::upload::{UploadSettings, Workers};
use masv_client::Cloud;

use crate::proxy::{Asked, behind_proxy};
use crate::support::{TestEngine, TestHub, content, digests, received, set_attribute, spec, wait_until};

/// Six parts of the smallest size.
const SIZE: usize = 30 << 20;

/// An engine that sends one part after the other, and takes its time.
async fn slow(cloud: Cloud) -> TestEngine {
    let settings = UploadSettings { workers: Workers::Fixed(1), ..UploadSettings::default() };
    let engine = TestEngine::start_in(cloud, tempfile::tempdir().unwrap(), settings).await;
    engine.queue.throttle().set(RateLimit { enabled: true, rate_limit_bps: 10_000_000, ..RateLimit::default() });
    engine
}

/// Writes other bytes, or the same ones, under the size and the date that the file has; in place, or as a file put in its place.
fn put(path: &Path, bytes: &[u8], in_place: bool) {
    let modified = std::fs::metadata(path).unwrap().modified().unwrap();
    let other = if in_place { path.to_owned() } else { path.with_extension("new") };
    std::fs::write(&other, bytes).unwrap();
    let times = FileTimes::new().set_modified(modified);
    File::options().write(true).open(&other).unwrap().set_times(times).unwrap();
    if !in_place {
        std::fs::rename(&other, path).unwrap();
    }
}

async fn some_is_confirmed(engine: &TestEngine, id: UploadId) -> u64 {
    wait_until("parts are confirmed", Duration::from_secs(20), || async {
        engine.upload(id).await.totals.bytes_done >= 10 << 20
    })
    .await;
    engine.upload(id).await.totals.bytes_done
}

/// A hard-link backup, a `chmod`, a `setfattr` by an antivirus or the Finder, or another mount started an upload of 500 GB again.
/// Cases: `chmod`, `ln`, `setfattr`, another inode, also while it is paused.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_touched_keeps_its_confirmed_parts() {
    type Touch = (&'static str, fn(&Path));
    let touches: [Touch; 5] = [
        ("chmod", |path| std::fs::set_permissions(path, Permissions::from_mode(0o640)).unwrap()),
        ("ln", |path| std::fs::hard_link(path, path.with_extension("backup")).unwrap()),
        ("setfattr", set_attribute),
        ("another inode", |path| put(path, &std::fs::read(path).unwrap(), false)),
        ("another inode while it is paused", |path| put(path, &std::fs::read(path).unwrap(), false)),
    ];
    for (what, touch) in touches {
        let (hub, url, proxy) = behind_proxy(0).await;
        let engine = slow(hub.cloud_at(url)).await;
        let bytes = content(7, SIZE);
        let source = engine.file("big.mov", &bytes);
        let path = source.source.whole();
        let id = engine.queue.submit(spec(vec![source])).await.unwrap();
        let confirmed = some_is_confirmed(&engine, id).await;
        if what.contains("paused") {
            engine.queue.pause(id).await.unwrap();
        }
        touch(&path);
        engine.queue.resume(id).await.unwrap();
        let least = Arc::new(AtomicBool::new(true));
        wait_until("it is complete", Duration::from_secs(60), || async {
            let upload = engine.upload(id).await;
            if upload.totals.bytes_done < confirmed {
                least.store(false, Ordering::Relaxed);
            }
            upload.state == State::Complete
        })
        .await;
        assert!(least.load(Ordering::Relaxed), "{what}: what was confirmed was given up");
        let begun = proxy.asked(|asked: &Asked| asked.method == "POST" && asked.path.ends_with("/files")).len();
        assert_eq!(begun, 1, "{what}: the file was begun once");
        let link = engine.upload(id).await.links[0].url.replacen(hub.public().as_str(), hub.url.as_str(), 1);
        assert_eq!(digests(&received(&link).await), digests(&[("big.mov".to_owned(), bytes)]), "{what}");
    }
}

/// With a `chmod` every few seconds an upload never went on.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_touched_all_the_time_still_arrives() {
    let (hub, url, proxy) = behind_proxy(0).await;
    let engine = slow(hub.cloud_at(url)).await;
    let source = engine.file("big.mov", &content(7, SIZE));
    let (path, stop) = (source.source.whole(), Arc::new(AtomicBool::new(false)));
    let stopped = Arc::clone(&stop);
    let toucher = std::thread::spawn(move || {
        for mode in [0o640, 0o644].into_iter().cycle() {
            if stopped.load(Ordering::Relaxed) {
                return;
            }
            std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            std::thread::sleep(Duration::from_millis(200));
        }
    });
    let id = engine.queue.submit(spec(vec![source])).await.unwrap();
    engine.wait_long_for(id, State::Complete, Duration::from_secs(60)).await;
    stop.store(true, Ordering::Relaxed);
    toucher.join().unwrap();
    assert_eq!(proxy.asked(Asked::is_part).len(), 6, "each part once");
}

/// Size and date prove nothing: what is in the file at the end is what arrives.
#[tokio::test(flavor = "multi_thread")]
async fn another_content_under_the_same_size_and_date_arrives_as_the_new_one() {
    for in_place in [false, true] {
        let (hub, url, _proxy) = behind_proxy(0).await;
        let engine = slow(hub.cloud_at(url)).await;
        let source = engine.file("big.mov", &content(7, SIZE));
        let path = source.source.whole();
        let id = engine.queue.submit(spec(vec![source])).await.unwrap();
        some_is_confirmed(&engine, id).await;
        let other = content(8, SIZE);
        put(&path, &other, in_place);
        let link = engine.wait_long_for(id, State::Complete, Duration::from_secs(90)).await.links[0].url.clone();
        let link = link.replacen(hub.public().as_str(), hub.url.as_str(), 1);
        let arrived = digests(&received(&link).await);
        assert_eq!(arrived, digests(&[("big.mov".to_owned(), other)]), "in place: {in_place}");
    }
}

/// A card was compared with its checksum list and right; while its upload waited or ran, a clip was changed, and sent as it was then.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_longer_what_its_list_was_compared_with_is_not_sent_until_it_is_put_back() {
    let hub = TestHub::start().await;
    let engine = TestEngine::start(hub.cloud()).await;
    // Small ones travel in batches, the large one in parts; of each kind one keeps its size and date, and another does not.
    let kinds: [(&str, usize, bool); 4] = [
        ("small.mov", 3_000, true),
        ("resized.mov", 3_000, false),
        ("large.mov", 12 << 20, true),
        ("grown.mov", 12 << 20, false),
    ];
    let mut files = Vec::new();
    for (number, (name, size, same_size)) in kinds.into_iter().enumerate() {
        let right = content(number as u64, size);
        let mut file = engine.file(name, &right);
        file.verified = Some(blake3::hash(&right).to_hex().to_string());
        let path = file.source.whole();
        if same_size {
            put(&path, &content(50, size), true)
        } else {
            std::fs::write(&path, content(50, size + 1)).unwrap()
        }
        files.push(file);
    }
    let paths: Vec<_> = files.iter().map(|file| file.source.whole()).collect();
    let id = engine.queue.submit(spec(files)).await.unwrap();
    let upload = engine.wait_long_for(id, State::Error, Duration::from_secs(60)).await;
    assert_eq!(upload.problem.unwrap().code, "source_not_verified");
    for file in engine.files(id).await {
        let problem = file.problem.unwrap_or_else(|| panic!("{} was sent", file.path));
        assert!(problem.code == "source_not_verified" && problem.message.contains(file.path.as_str()), "{problem:?}");
    }
    // Another try does not help; the right content does, whatever its date is by then.
    engine.queue.resume(id).await.unwrap();
    engine.wait_long_for(id, State::Error, Duration::from_secs(60)).await;
    for (number, (path, (_, size, _))) in paths.iter().zip(kinds).enumerate() {
        std::fs::write(path, content(number as u64, size)).unwrap();
    }
    engine.queue.resume(id).await.unwrap();
    let upload = engine.wait_long_for(id, State::Complete, Duration::from_secs(60)).await;
    let got = received(&upload.links[0].url).await;
    let expected: Vec<_> = kinds
        .iter()
        .enumerate()
        .map(|(number, (name, size, _))| ((*name).to_owned(), content(number as u64, *size)))
        .collect();
    let mut expected = digests(&expected);
    expected.sort();
    assert_eq!(digests(&got), expected);
}

/// "Inode numbers that do not outlive a mount": the agent is stopped, the file has another inode when it starts again, and what was
/// confirmed is kept.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_confirmed_is_kept_over_a_restart_and_another_inode() {
    let (hub, url, proxy) = behind_proxy(0).await;
    let engine = slow(hub.cloud_at(url.clone())).await;
    let bytes = content(8, SIZE);
    let source = engine.file("big.mov", &bytes);
    let path = source.source.whole();
    let id = engine.queue.submit(spec(vec![source])).await.unwrap();
    some_is_confirmed(&engine, id).await;
    engine.queue.stop().await;
    let confirmed = engine.upload(id).await.totals.bytes_done;
    put(&path, &bytes, false);
    let TestEngine { queue, store, folder } = engine;
    drop((queue, store));
    let engine = TestEngine::start_in(hub.cloud_at(url), folder, UploadSettings::default()).await;
    let least = Arc::new(AtomicBool::new(true));
    wait_until("it is complete", Duration::from_secs(60), || async {
        let upload = engine.upload(id).await;
        if upload.totals.bytes_done < confirmed {
            least.store(false, Ordering::Relaxed);
        }
        upload.state == State::Complete
    })
    .await;
    assert!(least.load(Ordering::Relaxed), "what was confirmed was given up");
    let begun = proxy.asked(|asked: &Asked| asked.method == "POST" && asked.path.ends_with("/files")).len();
    assert_eq!(begun, 1, "the file was begun once");
    let link = engine.upload(id).await.links[0].url.replacen(hub.public().as_str(), hub.url.as_str(), 1);
    assert_eq!(digests(&received(&link).await), digests(&[("big.mov".to_owned(), bytes)]));
}
