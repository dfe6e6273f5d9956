//! "Unchanged" means unchanged content, and a claim that can no longer succeed holds no later drop back.

use std::fs::{File, FileTimes, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use masv_agent::model::{FileState, Problem, State, Upload};
use masv_platform::FileIdentity;

use super::support::Bench;

/// A rule that sends each file separately.
const EACH: &str = "settle: 50ms\npackage: file";

/// Writes other bytes under the size and the date that the file has; in place, or as a file put in its place.
fn put(path: &Path, bytes: &[u8], in_place: bool) {
    let modified = std::fs::metadata(path).unwrap().modified().unwrap();
    let other = if in_place { path.to_owned() } else { path.with_file_name(".new") };
    std::fs::write(&other, bytes).unwrap();
    let times = FileTimes::new().set_modified(modified);
    File::options().write(true).open(&other).unwrap().set_times(times).unwrap();
    if !in_place {
        std::fs::rename(&other, path).unwrap();
    }
}

async fn sent(bench: &Bench, name: &str, bytes: &[u8]) -> Upload {
    bench.write(name, bytes);
    bench.packages_when(1).await;
    let upload = bench.uploads().await.remove(0);
    bench.complete(&upload).await;
    bench.looked_again().await;
    upload
}

async fn fail(bench: &Bench, upload: &Upload, code: &str) {
    let problem =
        Problem { code: code.to_owned(), message: "the portal says no".to_owned(), retryable: true, hint: None };
    bench.store.move_to(upload.id, &[State::Transferring], State::Error, Some(problem)).await.unwrap();
}

/// A rewrite in place with the date put back was never sent, nor a file of the same size and date that was renamed over one.
#[tokio::test(flavor = "multi_thread")]
async fn another_content_under_the_size_and_date_of_what_was_sent_is_sent() {
    for in_place in [true, false] {
        let bench = Bench::with(EACH).await;
        sent(&bench, "a.mov", b"the first take").await;
        put(&bench.path("a.mov"), b"the other take", in_place);
        let packages = bench.packages_when(2).await;
        assert_eq!(packages[1], ["a.mov"], "in place: {in_place}");
    }
}

/// Rows "after complete, `chmod`, `ln`, `setfattr` send nothing again" and "another inode after a remount": the date of the change moves,
/// the content does not.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_and_is_only_touched_is_not_sent_again() {
    let mut bench = Bench::with(EACH).await;
    sent(&bench, "a.mov", b"the first take").await;
    let path = bench.path("a.mov");
    std::fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    bench.looked_again().await;
    std::fs::hard_link(&path, bench.root.path().join("backup.mov")).unwrap();
    bench.looked_again().await;
    crate::support::set_attribute(&path);
    bench.looked_again().await;
    // As on a file system that is mounted again: another inode, all else equal.
    put(&path, b"the first take", false);
    let now = FileIdentity::of(&std::fs::metadata(&path).unwrap());
    bench
        .until("it is compared with what was sent".to_owned(), async || {
            let entry = bench.store.ledger_entry("dailies", Path::new("a.mov")).await.unwrap();
            entry.is_some_and(|entry| entry.identity == now)
        })
        .await;
    bench.stop().await;
    std::fs::rename(&path, bench.path("b.mov")).unwrap();
    bench.start(EACH).await;
    bench.ready().await;
    bench
        .until("it is known under its new name".to_owned(), async || {
            bench.store.ledger_entry("dailies", Path::new("b.mov")).await.unwrap().is_some()
        })
        .await;
    bench.looked_again().await;
    assert_eq!(bench.packages().await, [["a.mov"]]);
}

/// The frames of a sequence have one size and often one date: a new one with the inode of a removed one was taken for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_file_with_the_inode_of_a_sent_one_is_not_taken_for_it() {
    let mut bench = Bench::with(EACH).await;
    sent(&bench, "a.dpx", b"the first frame").await;
    bench.stop().await;
    put(&bench.path("a.dpx"), b"the other frame", true);
    std::fs::rename(bench.path("a.dpx"), bench.path("b.dpx")).unwrap();
    bench.start(EACH).await;
    assert_eq!(bench.packages_when(2).await[1], ["b.dpx"]);
}

/// A portal refused a file that was too large; the smaller one that was put in its place was never sent, and nothing said so.
#[tokio::test(flavor = "multi_thread")]
async fn a_corrected_file_of_a_failed_upload_is_a_new_drop() {
    for removed_first in [false, true] {
        let bench = Bench::with(EACH).await;
        bench.write("a.mov", "much too large");
        bench.packages_when(1).await;
        let upload = bench.uploads().await.remove(0);
        fail(&bench, &upload, "not_allowed").await;
        bench
            .until("the rule requires it".to_owned(), async || {
                let status = bench.status();
                let told =
                    status.last_error.is_some_and(|error| !error.over && error.message.contains("the portal says no"));
                told && status.failed_uploads == 1
            })
            .await;
        if removed_first {
            std::fs::remove_file(bench.path("a.mov")).unwrap();
            bench.looked_again().await;
        }
        bench.write("a.mov", "small");
        bench
            .until("the corrected file is sent instead".to_owned(), async || {
                let uploads = bench.uploads().await;
                uploads.len() == 1 && uploads[0].id != upload.id && uploads[0].state == State::Transferring
            })
            .await;
        bench
            .until("all is well again".to_owned(), async || {
                let status = bench.status();
                status.failed_uploads == 0 && status.last_error.is_none_or(|error| error.over)
            })
            .await;
    }
}

/// The other files of a package continue without the one that was corrected.
#[tokio::test(flavor = "multi_thread")]
async fn the_others_of_a_failed_package_go_on_without_the_corrected_file() {
    let bench = Bench::with("settle: 50ms\npackage: { per: batch, quiet: 200ms }").await;
    bench.write("a.mov", "much too large");
    bench.write("b.mov", "good");
    bench.packages_when(1).await;
    let upload = bench.uploads().await.remove(0);
    fail(&bench, &upload, "not_allowed").await;
    bench.write("a.mov", "small");
    let packages = bench.packages_when(2).await;
    assert_eq!(packages[1], ["a.mov"]);
    let before = bench.store.upload(upload.id).await.unwrap();
    assert_eq!((before.state, before.totals.files), (State::Transferring, 1));
}

/// One file that disappeared held up a whole batch forever.
#[tokio::test(flavor = "multi_thread")]
async fn the_others_of_a_package_are_sent_without_a_file_that_has_vanished_unless_the_rule_waits() {
    for on_gone in ["send_rest", "wait"] {
        let mut bench = Bench::new();
        bench.gone_wait = Duration::from_millis(200);
        bench.start(&format!("settle: 50ms\npackage: {{ per: batch, quiet: 200ms }}\non_gone: {on_gone}")).await;
        bench.write("a.mov", "gone");
        bench.write("b.mov", "here");
        bench.packages_when(1).await;
        let upload = bench.uploads().await.remove(0);
        std::fs::remove_file(bench.path("a.mov")).unwrap();
        let gone = bench.files(&upload).await.into_iter().find(|file| file.path.as_str() == "a.mov").unwrap();
        let problem =
            Problem { code: "source_gone".to_owned(), message: "gone".to_owned(), retryable: true, hint: None };
        bench.store.file_failed(upload.id, gone.number, FileState::Gone, problem).await.unwrap();
        fail(&bench, &upload, "source_gone").await;
        if on_gone == "wait" {
            tokio::time::sleep(Duration::from_millis(600)).await;
            assert_eq!(bench.uploads().await[0].state, State::Error);
            continue;
        }
        bench
            .until("the rest is sent".to_owned(), async || {
                let upload = bench.uploads().await.remove(0);
                upload.state == State::Transferring && upload.totals.files == 1
            })
            .await;
        let files = bench.files(&upload).await;
        let left = files.iter().find(|file| file.state == FileState::LeftOut).unwrap();
        assert_eq!((left.path.as_str(), left.problem.as_ref().unwrap().code.as_str()), ("a.mov", "source_gone"));
        for file in files.iter().filter(|file| file.state != FileState::LeftOut) {
            bench.store.file_done(upload.id, file.number, None, None).await.unwrap();
        }
        bench.store.completed(upload.id).await.unwrap();
        // What mails, webhooks and the history are made of.
        let events = bench.store.events_after(0, 1_000).await.unwrap();
        for kind in ["upload.state", "upload.complete"] {
            let told =
                events.iter().any(|event| event.kind == kind && event.body["left_out"].to_string().contains("a.mov"));
            assert!(told, "{kind}: {events:#?}");
        }
    }
}

/// An open package that had failed took every later drop, and none of them arrived.
#[tokio::test(flavor = "multi_thread")]
async fn what_comes_after_an_open_package_has_failed_goes_into_another() {
    let bench = Bench::with("settle: 50ms\npackage: file\nfinalize: { quiet: 1h }").await;
    bench.write("a.mov", "much too large");
    bench.packages_when(1).await;
    let upload = bench.uploads().await.remove(0);
    fail(&bench, &upload, "not_allowed").await;
    bench.write("b.mov", "good");
    assert_eq!(bench.packages_when(2).await, [["a.mov"], ["b.mov"]]);
    bench.write("a.mov", "small");
    bench
        .until("the corrected file goes into the new one".to_owned(), async || {
            bench.packages().await == [["b.mov", "a.mov"]]
        })
        .await;
}

/// The same with the agent running: a file is removed, and the file system gives its inode to the next one, of the same size and date.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_system_that_gives_an_inode_out_again_hides_no_new_file() {
    use std::os::unix::fs::MetadataExt;
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("drop")).unwrap();
    let store = masv_agent::store::Store::open(&root.path().join("agent.db")).unwrap();
    let mut bench = Bench { root, store, ..Bench::new() };
    bench.start(EACH).await;
    sent(&bench, "a.dpx", b"the first frame").await;
    let before = std::fs::metadata(bench.path("a.dpx")).unwrap();
    let times = FileTimes::new().set_modified(before.modified().unwrap());
    // Written outside of the folder until one has the inode.
    std::fs::remove_file(bench.path("a.dpx")).unwrap();
    let beside = |number: u32| bench.root.path().join(format!("{number}.dpx"));
    let reused = (0..500).map(beside).find(|path| {
        std::fs::write(path, b"the other frame").unwrap();
        std::fs::metadata(path).unwrap().ino() == before.ino()
    });
    let Some(other) = reused else {
        eprintln!("skipped: this file system does not give inodes out again");
        return;
    };
    File::options().write(true).open(&other).unwrap().set_times(times).unwrap();
    std::fs::rename(other, bench.path("b.dpx")).unwrap();
    assert_eq!(bench.packages_when(2).await[1], ["b.dpx"]);
}
