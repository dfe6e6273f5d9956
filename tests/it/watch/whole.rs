//! From the folder to the recipient: the real engine, the real hub.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use masv_agent::model::{State, Upload, UploadFilter};
use masv_agent::watch::{WatchSettings, Watcher};
use masv_rules::SystemEnvironment;
use tokio_util::sync::CancellationToken;

use super::touches::Storm;
use crate::support::{TestEngine, TestHub, content, digests, received, wait_until};

const PATIENCE: Duration = Duration::from_secs(60);

/// A hub, an engine and one active rule over the folder `drop`.
struct Whole {
    _hub: TestHub,
    engine: TestEngine,
    watcher: Watcher,
    watched: PathBuf,
}

impl Whole {
    /// `keys` are lines of the rule, as they stand in the file.
    async fn start(keys: &str) -> Self {
        let hub = TestHub::start().await;
        let engine = TestEngine::start(hub.cloud()).await;
        let watched = engine.folder.path().join("drop");
        std::fs::create_dir(&watched).unwrap();
        let upload = if keys.contains("upload:") { "" } else { "    upload: { kind: link }\n" };
        let text = format!("version: 1\nrules:\n  - name: dailies\n    watch: drop\n{keys}{upload}");
        let rules = masv_rules::parse(&text, &engine.folder.path().join("rules.yaml"), &SystemEnvironment);
        let rules = Arc::new(rules.unwrap_or_else(|errors| panic!("{errors}")));
        let settings = WatchSettings::default();
        let outlet = Arc::new(engine.queue.clone());
        let watcher = Watcher::start(rules, engine.store.clone(), outlet, settings, CancellationToken::new()).await;
        Self { _hub: hub, engine, watcher, watched }
    }

    /// Newest first.
    async fn uploads(&self) -> Vec<Upload> {
        self.engine.store.uploads(UploadFilter::default()).await.unwrap()
    }
}

/// R1, R3, R8: a folder that is still being written arrives once, as it is at the end, and is moved away.
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_still_being_rendered_arrives_once_and_whole() {
    let bench = Whole::start(
        "    settle: 200ms\n    package: { per: folder, quiet: 400ms }\n    \
         upload: { kind: link, name: '{{ item }} {{ count }}' }\n    after: { complete: { move: sent } }\n",
    )
    .await;
    let folder = bench.watched.join("A001");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("sound.wav"), content(1, 50_000)).unwrap();
    let picture = content(2, 1_200_000);
    let mut render = std::fs::File::create(folder.join("picture.mov")).unwrap();
    for piece in picture.chunks(200_000) {
        render.write_all(piece).unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    drop(render);

    let uploads = async || bench.uploads().await;
    wait_until("it is complete", PATIENCE, || async { uploads().await.iter().any(|u| u.state == State::Complete) })
        .await;
    let uploads = uploads().await;
    assert_eq!(uploads.len(), 1);
    assert_eq!(uploads[0].name, "A001 2");
    let expected = [("A001/picture.mov".to_owned(), picture), ("A001/sound.wav".to_owned(), content(1, 50_000))];
    assert_eq!(received(&uploads[0].links[0].url).await, expected);
    wait_until("it is moved away", PATIENCE, || async { !folder.exists() }).await;
    assert_eq!(std::fs::read(bench.engine.folder.path().join("sent/A001/sound.wav")).unwrap(), content(1, 50_000));
    bench.watcher.stop().await;
}

/// R1: writers of every kind at once. What arrives last of each file is what it is in the end, and nothing that arrives is a
/// state that was never complete.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_writer_does_only_whole_files_arrive() {
    let bench = Whole::start("    settle: 400ms\n    package: file\n    on_change: new_package\n").await;
    let path = |name: &str| bench.watched.join(name);
    let pause = || std::thread::sleep(Duration::from_millis(120));
    let grows = || {
        for piece in 0..8 {
            let file = std::fs::File::options().create(true).append(true).open(path("grows.mov"));
            file.unwrap().write_all(&content(piece, 50_000)).unwrap();
            pause();
        }
        (0..8).flat_map(|piece| content(piece, 50_000)).collect::<Vec<u8>>()
    };
    let truncates = || {
        std::fs::write(path("truncated.mov"), content(20, 90_000)).unwrap();
        pause();
        let mut file = std::fs::File::create(path("truncated.mov")).unwrap();
        pause();
        file.write_all(&content(21, 70_000)).unwrap();
        content(21, 70_000)
    };
    let renames = || {
        for round in 30..34 {
            std::fs::write(path(".renamed.tmp"), content(round, 60_000)).unwrap();
            std::fs::rename(path(".renamed.tmp"), path("renamed.mov")).unwrap();
            pause();
        }
        content(33, 60_000)
    };
    let rewrites = || {
        std::fs::write(path("rewritten.mov"), content(40, 80_000)).unwrap();
        let time = std::fs::metadata(path("rewritten.mov")).unwrap().modified().unwrap();
        for round in 41..44 {
            pause();
            let mut file = std::fs::File::options().write(true).open(path("rewritten.mov")).unwrap();
            file.write_all(&content(round, 80_000)).unwrap();
            file.set_modified(time).unwrap();
        }
        content(43, 80_000)
    };
    let dated = || {
        let century = Duration::from_secs(3_000_000_000);
        for (round, at) in [(50, std::time::UNIX_EPOCH), (51, std::time::SystemTime::now() + century)] {
            let mut file = std::fs::File::create(path("dated.mov")).unwrap();
            for half in content(round, 40_000).chunks(20_000) {
                file.write_all(half).unwrap();
                file.set_modified(at).unwrap();
                pause();
            }
        }
        content(51, 40_000)
    };
    let finals: Vec<(&str, Vec<u8>)> = std::thread::scope(|scope| {
        let writers = [
            ("grows.mov", scope.spawn(grows)),
            ("truncated.mov", scope.spawn(truncates)),
            ("renamed.mov", scope.spawn(renames)),
            ("rewritten.mov", scope.spawn(rewrites)),
            ("dated.mov", scope.spawn(dated)),
        ];
        writers.map(|(name, writer)| (name, writer.join().unwrap())).into()
    });
    let last = async || {
        let mut last = std::collections::BTreeMap::new();
        for upload in bench.uploads().await.iter().rev().filter(|upload| upload.state == State::Complete) {
            last.extend(received(&upload.links[0].url).await);
        }
        last
    };
    let all = || async {
        let last = last().await;
        finals.iter().all(|(name, content)| last.get(*name) == Some(content))
    };
    wait_until("each arrived as it is in the end", PATIENCE, all).await;
    bench.watcher.stop().await;
}

/// "A drop at the very moment of finalizing goes to the next package, never lost, never in both": packages are closed again
/// and again while files come without a pause.
#[tokio::test(flavor = "multi_thread")]
async fn drops_at_the_very_moment_of_finalizing_are_in_exactly_one_package() {
    let keys =
        "    settle: 10ms\n    finalize: { files: 3, at: '* * * * * *' }\n    after: { complete: { move: sent } }\n";
    let bench = Whole::start(keys).await;
    let count = 120;
    for number in 0..count {
        std::fs::write(bench.watched.join(format!("clip{number:03}.mov")), content(number, 2_000)).unwrap();
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    let moved = || async { std::fs::read_dir(&bench.watched).unwrap().count() == 0 };
    wait_until("all are sent and moved away", PATIENCE, moved).await;
    let uploads = bench.uploads().await;
    let mut arrived = Vec::new();
    for upload in &uploads {
        arrived.extend(received(&upload.links[0].url).await);
    }
    arrived.sort();
    let expected: Vec<_> = (0..count).map(|number| (format!("clip{number:03}.mov"), content(number, 2_000))).collect();
    assert_eq!(digests(&arrived), digests(&expected));
    assert!(uploads.len() > 5, "only {} packages", uploads.len());
    bench.watcher.stop().await;
}

/// A package that was deleted in the cloud, or that a restored hub does not know, swallowed every later drop.
#[tokio::test(flavor = "multi_thread")]
async fn a_package_that_vanishes_in_the_cloud_is_made_anew_with_all_its_files() {
    let bench = Whole::start("    settle: 100ms\n    package: file\n    finalize: { files: 3 }\n").await;
    let vanish = async |upload: &Upload| {
        let package = upload.package.as_ref().unwrap();
        let access = masv_client::PackageAccess { id: &package.id, token: &package.token };
        bench.engine.queue.cloud().remove_package(access).await.unwrap();
    };
    std::fs::write(bench.watched.join("a.mov"), content(1, 1_000)).unwrap();
    wait_until("the package is open", PATIENCE, || async {
        bench.uploads().await.iter().any(|upload| upload.state == State::Idle)
    })
    .await;
    vanish(&bench.uploads().await[0]).await;
    std::fs::write(bench.watched.join("b.mov"), content(2, 1_000)).unwrap();
    wait_until("it is open again", PATIENCE, || async {
        bench.uploads().await.iter().any(|upload| upload.state == State::Idle && upload.totals.files_done == 2)
    })
    .await;
    vanish(&bench.uploads().await[0]).await;
    std::fs::write(bench.watched.join("c.mov"), content(3, 1_000)).unwrap();
    wait_until("it is complete", PATIENCE, || async {
        bench.uploads().await.iter().any(|upload| upload.state == State::Complete)
    })
    .await;
    let uploads = bench.uploads().await;
    assert_eq!(uploads.len(), 1);
    let expected: Vec<_> =
        (1..=3_u8).map(|n| (format!("{}.mov", char::from(b'`' + n)), content(n.into(), 1_000))).collect();
    assert_eq!(digests(&received(&uploads[0].links[0].url).await), digests(&expected));
    bench.watcher.stop().await;
}

/// `chmod -R` over a folder without end, while it settles, while it is sent, and afterwards: it arrives once, whole, and nothing that was
/// confirmed is sent again.
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_touched_all_the_time_arrives_once_and_whole() {
    let bench = Whole::start("    settle: 100ms\n    rescan: 1s\n    package: { per: folder, quiet: 300ms }\n").await;
    let storm = Storm::over(bench.watched.clone());
    let clips: Vec<(String, Vec<u8>)> =
        (0..6).map(|number| (format!("A001/clip{number}.mov"), content(number, 3_000_000))).collect();
    std::fs::create_dir(bench.watched.join("A001")).unwrap();
    for (name, bytes) in &clips {
        std::fs::write(bench.watched.join(name), bytes).unwrap();
    }
    let complete = async || bench.uploads().await.iter().any(|upload| upload.state == State::Complete);
    wait_until("it is complete under the storm", PATIENCE, || async { complete().await }).await;
    let uploads = bench.uploads().await;
    assert_eq!(uploads.len(), 1, "{uploads:?}");
    assert_eq!(received(&uploads[0].links[0].url).await, clips);
    drop(storm);
    for _ in 0..2 {
        let before = bench.watcher.rule_status("dailies").unwrap().last_scan;
        bench.watcher.run_now("dailies").await.unwrap();
        let again = || async { bench.watcher.rule_status("dailies").unwrap().last_scan != before };
        wait_until("it has looked again", PATIENCE, again).await;
    }
    assert_eq!(bench.uploads().await.len(), 1);
    bench.watcher.stop().await;
}
