//! The life of downloads: from a link to files in their places, whatever the network, the disk and strangers do.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::get;
use masv_agent::download::{DownloadSettings, Downloads, LinkAddress, Workers};
use masv_agent::engine::{QueueError, RateLimit};
use masv_agent::model::{Download, DownloadFile, DownloadFileState, DownloadSource, DownloadSpec, Owner, State};
use masv_agent::model::{DownloadId, UploadId};
use masv_agent::store::Store;
use masv_client::{Cloud, CloudSettings};
use serde_json::json;

use crate::proxy::{Asked, behind_proxy};
use crate::support::{TestEngine, TestHub, content, spec, wait_until};

const PART: u64 = 1 << 20;

struct Receiver {
    downloads: Downloads,
    store: Store,
    folder: tempfile::TempDir,
}

impl Receiver {
    async fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap()).await
    }

    async fn start_in(folder: tempfile::TempDir) -> Self {
        Self::start_with(
            folder,
            DownloadSettings { part_size: PART, workers: Workers::Fixed(2), ..DownloadSettings::default() },
        )
        .await
    }

    async fn start_with(folder: tempfile::TempDir, settings: DownloadSettings) -> Self {
        let store = Store::open(&folder.path().join("agent.db")).unwrap();
        let downloads =
            Downloads::start(store.clone(), nobody(), settings, masv_platform::OwnPlaces::default()).await.unwrap();
        Self { downloads, store, folder }
    }

    fn destination(&self) -> PathBuf {
        self.folder.path().join("in")
    }

    /// An order into the destination itself.
    fn spec(&self, link: &str) -> DownloadSpec {
        let LinkAddress { api, id, secret } = LinkAddress::parse(link).unwrap();
        let source = DownloadSource::Link { id, secret, password: None };
        DownloadSpec { package_folder: false, ..DownloadSpec::new(api, source, self.destination()) }
    }

    async fn fetch(&self, link: &str) -> Download {
        let id = self.downloads.submit(self.spec(link)).await.unwrap();
        self.wait_for(id, State::Complete).await
    }

    async fn wait_for(&self, id: DownloadId, state: State) -> Download {
        wait_until(&format!("the download is {state:?}"), Duration::from_secs(20), || async {
            let download = self.store.download(id).await.unwrap();
            let failed = download.state == State::Error && state != State::Error;
            assert!(!failed, "the download failed: {:?}", download.problem);
            download.state == state
        })
        .await;
        self.store.download(id).await.unwrap()
    }

    /// What the hub knows of the downloads through a link, once the last one is complete.
    async fn known_to(&self, hub: &TestHub, link: &str) -> serde_json::Value {
        let id = LinkAddress::parse(link).unwrap().id;
        let database = rusqlite::Connection::open(hub.data().join("hub/hub.db")).unwrap();
        let known = || {
            let sql = "SELECT state, downloads, access_count FROM link JOIN activity ON activity.link_id = link.id
                 WHERE link.id = ?1 AND kind = 'package_download_from_masv'";
            let read = |row: &rusqlite::Row<'_>| {
                Ok(
                    json!({ "state": row.get::<_, String>(0)?, "downloads": row.get::<_, i64>(1)?, "visits": row.get::<_, i64>(2)? }),
                )
            };
            database.query_row(sql, [&id], read).unwrap()
        };
        wait_until("the hub knows of the download", Duration::from_secs(20), || async {
            known()["state"] == "complete"
        })
        .await;
        known()
    }

    async fn files(&self, id: DownloadId) -> Vec<DownloadFile> {
        self.store.download_files(id, None, 1_000).await.unwrap()
    }

    /// What is in the destination: each path and its bytes, hidden ones too.
    fn received(&self) -> BTreeMap<String, Vec<u8>> {
        tree(&self.destination())
    }
}

/// A cloud of its own that the agent is not signed in to.
fn nobody() -> Cloud {
    let base = "http://127.0.0.1:1".parse().unwrap();
    Cloud::new(CloudSettings { base, name: None, api_key: None, team_id: None }).unwrap()
}

fn tree(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let files =
        walkdir::WalkDir::new(root).into_iter().filter_map(Result::ok).filter(|entry| entry.file_type().is_file());
    files
        .filter_map(|entry| {
            let path = entry.path().strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            match std::fs::read(entry.path()) {
                Ok(content) => Some((path, content)),
                // A download that is under way has given it its name meanwhile.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
                Err(error) => panic!("{path}: {error}"),
            }
        })
        .collect()
}

/// Sends these files; returns the link, the sender and the upload.
async fn send(hub: &TestHub, files: &[(&str, Vec<u8>)], password: Option<&str>) -> (String, TestEngine, UploadId) {
    let engine = TestEngine::start(hub.cloud()).await;
    let sources = files.iter().map(|(name, bytes)| engine.file(name, bytes)).collect();
    let mut spec = spec(sources);
    spec.password = password.map(Into::into);
    let id = engine.queue.submit(spec).await.unwrap();
    let upload = engine.wait_for(id, State::Complete).await;
    (upload.links[0].url.clone(), engine, id)
}

fn expected(files: &[(&str, Vec<u8>)]) -> BTreeMap<String, Vec<u8>> {
    files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.clone())).collect()
}

fn slow(downloads: &Downloads, bytes_a_second: u64) {
    downloads.throttle().set(RateLimit { enabled: true, rate_limit_bps: bytes_a_second, ..RateLimit::default() });
}

/// Case: the hub said `started` for ever of what this agent had fetched and verified; from a bucket it is the agent that confirms it.
#[tokio::test(flavor = "multi_thread")]
async fn a_package_arrives_with_its_tree_its_bytes_and_its_times() {
    let hub = TestHub::start().await;
    let files = [
        ("empty.txt", Vec::new()),
        ("A001/clip one.mov", content(1, 5_300_000)),
        ("A001/deep/🎬 \"quoted\".mov", content(2, 30_000)),
        ("exact.bin", content(3, 2 << 20)),
    ];
    let (link, engine, _) = send(&hub, &files, None).await;
    let receiver = Receiver::start().await;
    let download = receiver.fetch(&link).await;
    assert_eq!(receiver.received(), expected(&files));
    assert_eq!(download.totals.bytes_done, download.totals.bytes);
    let sums = receiver.files(download.id).await;
    let expected_sum = |path: &str| {
        let (_, bytes) = files.iter().find(|(name, _)| *name == path).unwrap();
        blake3::hash(bytes).to_hex().to_string()
    };
    for file in &sums {
        assert_eq!(file.checksum, Some(expected_sum(&file.wanted.path)), "{}", file.wanted.path);
    }
    for (name, _) in &files {
        let modified = |root: PathBuf| std::fs::metadata(root.join(name)).unwrap().modified().unwrap();
        let (sent, got) = (modified(engine.folder.path().join("source")), modified(receiver.destination()));
        let apart = sent.duration_since(got).unwrap_or_else(|error| error.duration());
        assert!(apart < Duration::from_millis(2), "{name}: {apart:?}");
    }
    // The hub knows who has it, once: the files that are here already are not fetched again.
    let known = receiver.known_to(&hub, &link).await;
    assert_eq!((&known["state"], &known["downloads"]), (&json!("complete"), &json!(1)));
    let again = receiver.fetch(&link).await;
    assert_eq!(receiver.known_to(&hub, &link).await, known);
    assert!(receiver.files(again.id).await.iter().all(|file| file.state == DownloadFileState::Skipped));
    assert_eq!(receiver.received(), expected(&files), "the same files are not fetched again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_asked_for_and_a_dead_link_says_so() {
    let hub = TestHub::start().await;
    let (link, _engine, _) = send(&hub, &[("a.txt", b"secret".to_vec())], Some("sesame")).await;
    let receiver = Receiver::start().await;
    let id = receiver.downloads.submit(receiver.spec(&link)).await.unwrap();
    let problem = receiver.wait_for(id, State::Error).await.problem.unwrap();
    assert_eq!(problem.code, "not_allowed");
    assert!(problem.message.contains("password") && problem.hint.unwrap().contains("password"));
    let mut with_password = receiver.spec(&link);
    if let DownloadSource::Link { password, .. } = &mut with_password.source {
        *password = Some("sesame".into());
    }
    let id = receiver.downloads.submit(with_password).await.unwrap();
    receiver.wait_for(id, State::Complete).await;
    assert_eq!(receiver.received()["a.txt"], b"secret");
    let dead = format!("{}nobody?secret=x", hub.url);
    let id = receiver.downloads.submit(receiver.spec(&dead)).await.unwrap();
    assert_eq!(receiver.wait_for(id, State::Error).await.problem.unwrap().code, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_engine_fetches_only_what_is_missing() {
    let hub = TestHub::start().await;
    let files = [("big.mov", content(5, 6_500_000))];
    let (link, _engine, _) = send(&hub, &files, None).await;
    let receiver = Receiver::start().await;
    slow(&receiver.downloads, 4_000_000);
    let id = receiver.downloads.submit(receiver.spec(&link)).await.unwrap();
    wait_until("two parts are on the disk", Duration::from_secs(10), || async {
        receiver.store.fetched_parts(id, 0).await.unwrap().len() >= 2
    })
    .await;
    receiver.downloads.stop().await;
    let before = receiver.store.fetched_parts(id, 0).await.unwrap();
    assert!(before.len() < 7, "it stopped in the middle");
    let hidden: Vec<_> = receiver.received().into_keys().collect();
    assert_eq!(hidden, [format!(".masv-{id}-big.mov.part")]);

    // What is on the disk is not fetched again: a mark in a confirmed part survives.
    let unfinished = receiver.destination().join(&hidden[0]);
    let mut bytes = std::fs::read(&unfinished).unwrap();
    let marked = usize::try_from(u64::from(before[0].number - 1) * PART).unwrap();
    bytes[marked] ^= 0xff;
    std::fs::write(&unfinished, &bytes).unwrap();

    let folder = receiver.folder;
    let receiver = Receiver::start_in(folder).await;
    receiver.wait_for(id, State::Complete).await;
    let mut wanted = files[0].1.clone();
    wanted[marked] ^= 0xff;
    assert!(receiver.received()["big.mov"] == wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unfinished_file_that_was_lost_is_begun_anew() {
    let hub = TestHub::start().await;
    let files = [("big.mov", content(6, 4_500_000))];
    let (link, _engine, _) = send(&hub, &files, None).await;
    let receiver = Receiver::start().await;
    slow(&receiver.downloads, 4_000_000);
    let id = receiver.downloads.submit(receiver.spec(&link)).await.unwrap();
    wait_until("a part is on the disk", Duration::from_secs(10), || async {
        !receiver.store.fetched_parts(id, 0).await.unwrap().is_empty()
    })
    .await;
    receiver.downloads.pause(id).await.unwrap();
    wait_until("nothing runs", Duration::from_secs(5), || async { receiver.downloads.live(id).is_none() }).await;
    std::fs::remove_file(receiver.destination().join(format!(".masv-{id}-big.mov.part"))).unwrap();
    receiver.downloads.throttle().set(RateLimit::default());
    receiver.downloads.resume(id).await.unwrap();
    let done = receiver.wait_for(id, State::Complete).await;
    assert_eq!(receiver.received(), expected(&files));
    assert_eq!(done.totals.bytes_done, done.totals.bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_lets_another_go_first_loses_no_part_on_its_way() {
    let (hub, url, proxy) = behind_proxy(0).await;
    let (link, _engine, _) = send(&hub, &[("big.mov", content(8, 40 << 20))], None).await;
    assert!(link.starts_with(url.as_str()), "the parts come through the proxy: {link}");
    proxy.hold_after_first(is_range);
    let settings = DownloadSettings {
        workers: Workers::Fixed(2),
        active_downloads: 1,
        part_size: 4 << 20,
        ..DownloadSettings::default()
    };
    let receiver = Receiver::start_with(tempfile::tempdir().unwrap(), settings).await;
    let first = receiver.downloads.submit(receiver.spec(&link)).await.unwrap();
    wait_until("the first one moves", Duration::from_secs(20), || async {
        receiver.store.download(first).await.unwrap().totals.bytes_done > 0
    })
    .await;
    let urgent =
        DownloadSpec { priority: 5, destination: receiver.destination().join("urgent"), ..receiver.spec(&link) };
    let second = receiver.downloads.submit(urgent).await.unwrap();
    proxy.release();
    let second = receiver.wait_for(second, State::Complete).await;
    let first = receiver.wait_for(first, State::Complete).await;
    assert!(second.completed_at < first.completed_at);
    assert_eq!(proxy.asked(is_range).len(), 20, "each part of both was fetched once");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_package_has_a_folder_of_its_own_also_one_of_the_same_name_and_keeps_it() {
    let hub = TestHub::start().await;
    let send_one = async |text: &str| send(&hub, &[("a.txt", text.as_bytes().to_vec())], None).await.0;
    let (first, second) = (send_one("first").await, send_one("second").await);
    let receiver = Receiver::start().await;
    let order = |link: &str| DownloadSpec { package_folder: true, ..receiver.spec(link) };
    let fetch = async |link: &str| {
        let id = receiver.downloads.submit(order(link)).await.unwrap();
        receiver.wait_for(id, State::Complete).await.name.unwrap()
    };
    let name = fetch(&first).await;
    assert_eq!(fetch(&second).await, name);
    let both = BTreeMap::from([
        (format!("{name}/a.txt"), b"first".to_vec()),
        (format!("{name} (2)/a.txt"), b"second".to_vec()),
    ]);
    assert_eq!(receiver.received(), both);
    fetch(&first).await;
    fetch(&second).await;
    assert_eq!(receiver.received(), both, "the same package goes where it is already");
}

fn is_range(asked: &Asked) -> bool {
    asked.method == "GET" && asked.is_storage()
}

#[tokio::test(flavor = "multi_thread")]
async fn removing_leaves_whole_files_and_no_unfinished_ones() {
    let hub = TestHub::start().await;
    let files = [("a/small.txt", b"small".to_vec()), ("b/big.mov", content(7, 8_000_000))];
    let (link, _engine, _) = send(&hub, &files, None).await;
    let receiver = Receiver::start().await;
    slow(&receiver.downloads, 2_000_000);
    let id = receiver.downloads.submit(receiver.spec(&link)).await.unwrap();
    wait_until("one is there, one is begun", Duration::from_secs(10), || async {
        let names = receiver.received();
        names.contains_key("a/small.txt") && names.keys().any(|name| name.starts_with("b/.masv-"))
    })
    .await;
    receiver.downloads.remove(id).await.unwrap();
    assert_eq!(receiver.received(), expected(&files[..1]));
    assert!(matches!(receiver.downloads.pause(id).await, Err(QueueError::NotFound(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_is_kept_unless_it_is_to_be_replaced_and_folders_and_choices_are_kept_to() {
    let hub = TestHub::start().await;
    let files = [("a.txt", b"new".to_vec()), ("b.txt", b"other".to_vec())];
    let (link, _engine, _) = send(&hub, &files, None).await;
    let receiver = Receiver::start().await;
    std::fs::create_dir_all(receiver.destination()).unwrap();
    std::fs::write(receiver.destination().join("a.txt"), b"old").unwrap();
    let first = receiver.fetch(&link).await;
    let received = receiver.received();
    assert_eq!((&received["a.txt"][..], &received["a (2).txt"][..]), (&b"old"[..], &b"new"[..]));
    receiver.fetch(&link).await;
    assert_eq!(receiver.received(), received, "the numbered one is recognised, too");

    let mut replace = receiver.spec(&link);
    replace.overwrite = true;
    let id = receiver.downloads.submit(replace).await.unwrap();
    receiver.wait_for(id, State::Complete).await;
    assert_eq!(receiver.received()["a.txt"], b"new");

    let known = receiver.files(first.id).await;
    let mut chosen = receiver.spec(&link);
    chosen.chosen = vec![known.iter().find(|file| file.wanted.path == "b.txt").unwrap().wanted.remote_id.clone()];
    chosen.package_folder = true;
    chosen.destination = receiver.folder.path().join("chosen");
    let id = receiver.downloads.submit(chosen).await.unwrap();
    receiver.wait_for(id, State::Complete).await;
    let names: Vec<_> = tree(&receiver.folder.path().join("chosen")).into_keys().collect();
    assert_eq!(names, ["test package/b.txt"]);
}

/// A cloud that serves what it is told to, and counts the requests for content.
struct FakeCloud {
    link: String,
    asked: Arc<AtomicUsize>,
}

/// `files`: folder, name, announced size, content. `expire` of the addresses are refused once each.
async fn fake_cloud(files: Vec<(&'static str, &'static str, u64, &'static [u8])>, expire: usize) -> FakeCloud {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let entries: Vec<_> = files
        .iter()
        .enumerate()
        .map(|(number, (folder, name, size, _))| {
            json!({ "id": number.to_string(), "kind": "file", "name": name, "path": folder, "size": size })
        })
        .collect();
    let opened = json!({ "id": "L", "name": "../../evil", "package_id": "P", "package_token": "T" });
    let address = base.clone();
    let count = Arc::clone(&asked);
    let router = Router::new()
        .route("/v1/links/L", get(move || async move { Json(opened) }))
        .route("/v1/packages/P/files", get(move || async move { Json(entries) }))
        .route(
            "/v1/packages/P/files/{file}/download",
            get(move |axum::extract::Path(file): axum::extract::Path<String>| async move {
                Json(json!({ "url": format!("{address}/content/{file}") }))
            }),
        )
        .route(
            "/content/{file}",
            // A storage that knows no ranges.
            get(move |axum::extract::Path(file): axum::extract::Path<usize>| async move {
                if count.fetch_add(1, Ordering::SeqCst) < expire {
                    return (StatusCode::FORBIDDEN, Vec::new());
                }
                (StatusCode::OK, files[file].3.to_vec())
            }),
        );
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    FakeCloud { link: format!("{base}/L?secret=s"), asked }
}

/// Case: hostile names of a cloud, and links planted in the destination.
#[tokio::test(flavor = "multi_thread")]
async fn no_name_and_no_planted_link_leads_out_of_the_destination() {
    let cloud = fake_cloud(
        vec![
            ("", "../../escaped", 1, b"x"),
            ("../..", "escaped2", 1, b"x"),
            ("/tmp/masv-escape", "absolute", 1, b"x"),
            ("", "..\\..\\windows", 1, b"x"),
            ("C:\\", "drive", 1, b"x"),
            ("", "nul", 1, b"x"),
            ("", "bad\0name\n", 1, b"x"),
            ("door", "through", 1, b"x"),
            ("", "..", 1, b"x"),
            ("", "leaf", 1, b"x"),
            ("", "Case.txt", 1, b"x"),
            ("", "CASE.TXT", 1, b"x"),
            ("", Box::leak("x".repeat(5_000).into_boxed_str()), 1, b"x"),
        ],
        0,
    )
    .await;
    let receiver = Receiver::start().await;
    let outside = receiver.folder.path().join("outside");
    std::fs::create_dir_all(&outside).unwrap();
    std::fs::create_dir_all(receiver.destination()).unwrap();
    std::fs::write(outside.join("victim"), b"safe").unwrap();
    symlink(&outside, receiver.destination().join("door")).unwrap();
    symlink(outside.join("victim"), receiver.destination().join("leaf")).unwrap();
    let id = receiver.downloads.submit(receiver.spec(&cloud.link)).await.unwrap();
    let problem = receiver.wait_for(id, State::Error).await.problem.unwrap();
    assert_eq!(problem.code, "unsafe_destination", "{problem:?}");
    let mut names: Vec<_> = receiver.received().into_keys().collect();
    let long = names.pop().unwrap();
    assert!(long.starts_with("xxx") && long.len() <= 255, "{long}");
    let expected = [
        "..%5C..%5Cwindows",
        "C%3A%5C/drive",
        "CASE (2).TXT",
        "Case.txt",
        "bad%00name%0A",
        "escaped",
        "escaped2",
        "file",
        "leaf (2)",
        "nul_",
        "tmp/masv-escape/absolute",
    ];
    assert_eq!(names, expected);
    assert_eq!(tree(&outside), BTreeMap::from([("victim".to_owned(), b"safe".to_vec())]));
    assert!(!Path::new("/tmp/masv-escape").exists());
    let around: Vec<_> = std::fs::read_dir(receiver.folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(!around.iter().any(|name| name.to_string_lossy().contains("escaped")), "{around:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_addresses_are_asked_for_again_and_storages_without_ranges_and_with_other_sizes_do() {
    let long: &'static [u8] = Box::leak(content(8, 3_000_000).into_boxed_slice());
    let files = vec![("", "long.mov", 3_000_000, long), ("", "grown.txt", 3, &b"grown since"[..])];
    let cloud = fake_cloud(files, 1).await;
    let receiver = Receiver::start().await;
    receiver.fetch(&cloud.link).await;
    let received = receiver.received();
    assert!(received["long.mov"] == long && received["grown.txt"] == b"grown since" && received.len() == 2);
    assert!(cloud.asked.load(Ordering::SeqCst) > 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_too_small_is_noticed_before_anything_is_fetched() {
    let cloud = fake_cloud(vec![("", "huge", 1 << 60, b"")], 0).await;
    let receiver = Receiver::start().await;
    let mut order = receiver.spec(&cloud.link);
    order.package_folder = true;
    let id = receiver.downloads.submit(order).await.unwrap();
    assert_eq!(receiver.wait_for(id, State::Error).await.problem.unwrap().code, "no_space");
    assert_eq!((receiver.received().len(), cloud.asked.load(Ordering::SeqCst)), (0, 0));
}

/// A cloud with one file of `before`; after `turn` requests for it, it is `after`.
async fn changing_cloud(before: &'static [u8], after: &'static [u8], turn: usize) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let address = base.clone();
    let asked = Arc::new(AtomicUsize::new(0));
    let content = move |headers: HeaderMap| {
        let (bytes, etag) = if asked.fetch_add(1, Ordering::SeqCst) < turn { (before, "one") } else { (after, "two") };
        let range = headers[header::RANGE].to_str().unwrap().trim_start_matches("bytes=").to_owned();
        let (first, last) = range.split_once('-').unwrap();
        let (first, last) = (first.parse::<usize>().unwrap(), last.parse::<usize>().unwrap());
        if first >= bytes.len() {
            let about = format!("bytes */{}", bytes.len());
            return futures_util::future::Either::Left(async move {
                (
                    StatusCode::RANGE_NOT_SATISFIABLE,
                    [(header::CONTENT_RANGE, about), (header::ETAG, etag.to_owned())],
                    &bytes[..0],
                )
            });
        }
        let end = bytes.len().min(last + 1);
        let about = format!("bytes {first}-{}/{}", end - 1, bytes.len());
        futures_util::future::Either::Right(async move {
            (
                StatusCode::PARTIAL_CONTENT,
                [(header::CONTENT_RANGE, about), (header::ETAG, etag.to_owned())],
                &bytes[first..end],
            )
        })
    };
    let opened = json!({ "id": "L", "name": "changing", "package_id": "P", "package_token": "T" });
    let listed = json!([{ "id": "F", "kind": "file", "name": "clip.mov", "path": "", "size": before.len() }]);
    let router = Router::new()
        .route("/v1/links/L", get(move || async move { Json(opened) }))
        .route("/v1/packages/P/files", get(move || async move { Json(listed) }))
        .route(
            "/v1/packages/P/files/F/download",
            get(move || async move { Json(json!({ "url": format!("{address}/content") })) }),
        )
        .route("/content", get(content));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    format!("{base}/L?secret=s")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_on_the_way_is_begun_anew_and_is_never_a_mixture() {
    let before: &'static [u8] = Box::leak(content(11, 4_500_000).into_boxed_slice());
    for (seed, length) in [(12, 4_500_000), (13, 6_000_000), (14, 1_200_000)] {
        let after: &'static [u8] = Box::leak(content(seed, length).into_boxed_slice());
        let receiver = Receiver::start().await;
        let download = receiver.fetch(&changing_cloud(before, after, 2).await).await;
        assert!(receiver.received() == BTreeMap::from([("clip.mov".to_owned(), after.to_vec())]), "{length}");
        let file = receiver.files(download.id).await.remove(0);
        assert_eq!(file.checksum, Some(blake3::hash(after).to_hex().to_string()));
        assert_eq!((download.totals.bytes, download.totals.bytes_done), (length as u64, length as u64));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_is_revoked_half_way_ends_it_with_what_to_do() {
    let hub = TestHub::start().await;
    let (link, _engine, _) = send(&hub, &[("big.mov", content(15, 8_000_000))], None).await;
    let receiver = Receiver::start().await;
    slow(&receiver.downloads, 2_000_000);
    let id = receiver.downloads.submit(receiver.spec(&link)).await.unwrap();
    wait_until("a part is on the disk", Duration::from_secs(20), || async {
        !receiver.store.fetched_parts(id, 0).await.unwrap().is_empty()
    })
    .await;
    receiver.downloads.pause(id).await.unwrap();
    let LinkAddress { id: revoked, .. } = LinkAddress::parse(&link).unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.delete(format!("{}v1/links/{revoked}", hub.url)).header("X-API-KEY", "test-key");
    request.send().await.unwrap().error_for_status().unwrap();
    receiver.downloads.resume(id).await.unwrap();
    let problem = receiver.wait_for(id, State::Error).await.problem.unwrap();
    assert_eq!(problem.code, "not_found");
    assert!(problem.hint.unwrap().contains("ask the sender"));
    receiver.downloads.remove(id).await.unwrap();
    assert!(receiver.received().is_empty(), "nothing unfinished is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_and_folders_are_given_to_whom_was_asked_or_it_says_why_not() {
    use std::os::unix::fs::MetadataExt;
    let hub = TestHub::start().await;
    let (link, _engine, _) = send(&hub, &[("A001/clip.mov", content(16, 5_000))], None).await;
    let receiver = Receiver::start().await;
    let order = DownloadSpec { owner: Owner { uid: Some(54_321), gid: Some(54_322) }, ..receiver.spec(&link) };
    let id = receiver.downloads.submit(order).await.unwrap();
    if rustix::process::geteuid().is_root() {
        receiver.wait_for(id, State::Complete).await;
        for path in ["", "A001", "A001/clip.mov"] {
            let about = std::fs::metadata(receiver.destination().join(path)).unwrap();
            assert_eq!((about.uid(), about.gid()), (54_321, 54_322), "{path:?}");
        }
    } else {
        let problem = receiver.wait_for(id, State::Error).await.problem.unwrap();
        assert_eq!(problem.code, "not_owner", "{problem:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_at_a_time_by_priority_and_more_at_once_when_told() {
    let hub = TestHub::start().await;
    let (link, _engine, _) = send(&hub, &[("big.mov", content(17, 6_000_000))], None).await;
    let receiver = Receiver::start().await;
    slow(&receiver.downloads, 500_000);
    receiver.downloads.change_settings(|settings| settings.active_downloads = 1);
    let mut ids = Vec::new();
    for (folder, priority) in [("a", 0), ("b", 0), ("c", 5)] {
        let destination = receiver.folder.path().join(folder);
        let order = DownloadSpec { destination, priority, ..receiver.spec(&link) };
        ids.push(receiver.downloads.submit(order).await.unwrap());
    }
    let running = || ids.iter().map(|id| receiver.downloads.live(*id).is_some()).collect::<Vec<_>>();
    let limit = Duration::from_secs(20);
    wait_until("the highest priority runs alone", limit, || async { running() == [false, false, true] }).await;
    receiver.downloads.pause(ids[2]).await.unwrap();
    wait_until("then the oldest", limit, || async { running() == [true, false, false] }).await;
    receiver.downloads.change_settings(|settings| settings.active_downloads = 2);
    wait_until("then two", limit, || async { running() == [true, true, false] }).await;
    receiver.downloads.throttle().set(RateLimit::default());
    for id in &ids[..2] {
        receiver.wait_for(*id, State::Complete).await;
    }
}
