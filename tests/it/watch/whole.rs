//! From the folder to the recipient: the real engine, the real hub.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use masv_agent::rules::{self, SystemEnvironment};
use masv_agent::store::{State, UploadFilter};
use masv_agent::watch::{WatchSettings, Watcher};
use tokio_util::sync::CancellationToken;

use crate::support::{TestEngine, TestHub, content, received, wait_until};

const PATIENCE: Duration = Duration::from_secs(60);

/// R1, R3, R8: a folder that is still being written arrives once, as it is at the end, and is moved away.
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_still_being_rendered_arrives_once_and_whole() {
    let hub = TestHub::start().await;
    let engine = TestEngine::start(hub.cloud()).await;
    let watched = engine.folder.path().join("drop");
    std::fs::create_dir(&watched).unwrap();
    let text = "version: 1\nrules:\n  - name: dailies\n    watch: drop\n    settle: 200ms\n    \
                package: { per: folder, quiet: 400ms }\n    upload: { kind: link, name: '{{ item }} {{ count }}' }\n    \
                after: { complete: { move: sent } }\n";
    let rules = rules::parse(text, &engine.folder.path().join("rules.yaml"), &SystemEnvironment).unwrap();
    let settings = WatchSettings { excluded: vec![engine.folder.path().join("agent")], ..WatchSettings::default() };
    let outlet = Arc::new(engine.queue.clone());
    let watcher =
        Watcher::start(Arc::new(rules), engine.store.clone(), outlet, settings, CancellationToken::new()).await;

    let folder = watched.join("A001");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("sound.wav"), content(1, 50_000)).unwrap();
    let picture = content(2, 1_200_000);
    let mut render = std::fs::File::create(folder.join("picture.mov")).unwrap();
    for piece in picture.chunks(200_000) {
        render.write_all(piece).unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    drop(render);

    let uploads = async || engine.store.uploads(UploadFilter::default()).await.unwrap();
    wait_until("it is complete", PATIENCE, || async { uploads().await.iter().any(|u| u.state == State::Complete) })
        .await;
    let uploads = uploads().await;
    assert_eq!(uploads.len(), 1);
    assert_eq!(uploads[0].name, "A001 2");
    let expected = [("A001/picture.mov".to_owned(), picture), ("A001/sound.wav".to_owned(), content(1, 50_000))];
    assert_eq!(received(&uploads[0].links[0].url).await, expected);
    wait_until("it is moved away", PATIENCE, || async { !folder.exists() }).await;
    assert_eq!(std::fs::read(engine.folder.path().join("sent/A001/sound.wav")).unwrap(), content(1, 50_000));
    watcher.stop().await;
}
