use std::path::Path;
use std::time::Duration;

use super::*;
use crate::model::{
    Destination, DueSpan, Outcome, PackageOptions, Part, RemotePackage, SourceFile, State, Totals, UploadId, UploadSpec,
};
use masv_platform::{FileIdentity, PathBeneath};
use masv_protocol::PackagePath;

pub(super) fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("agent.db")).unwrap();
    (folder, store)
}

fn identity(size: u64, inode: u64) -> FileIdentity {
    FileIdentity { size, mtime_ns: 1, ctime_ns: 2, device: 3, inode }
}

pub(super) fn source(name: &str, size: u64, inode: u64) -> SourceFile {
    SourceFile {
        path: PackagePath::from_relative(Path::new(name)).unwrap(),
        source: PathBeneath::new("/drop", name),
        owner: None,
        identity: identity(size, inode),
        claim: Some(name.into()),
        verified: None,
        guard: None,
    }
}

pub(super) fn spec(files: Vec<SourceFile>) -> UploadSpec {
    UploadSpec {
        destination: Destination::Link,
        name: "test".into(),
        description: None,
        password: None,
        options: PackageOptions::default(),
        team_id: None,
        chunk_size: None,
        priority: 0,
        auto_finalize: true,
        rule: Some("dailies".into()),
        files: files.into(),
    }
}

fn part(number: u32, size: u64) -> Part {
    Part { number, size, etag: "\"e\"".into(), tree: Vec::new() }
}

#[tokio::test]
async fn a_path_is_claimed_by_one_upload_only_and_a_failed_claim_leaves_nothing() {
    let (_folder, store) = store();
    store.insert_upload(UploadId::new(), spec(vec![source("a", 5, 1)])).await.unwrap();
    let second = UploadId::new();
    let refused = store.insert_upload(second, spec(vec![source("b", 5, 2), source("a", 5, 1)])).await;
    assert!(matches!(refused, Err(StoreError::AlreadyClaimed { path }) if path == Path::new("a")));
    assert!(matches!(store.upload(second).await, Err(StoreError::NotFound(_))));
    assert_eq!(store.ledger_entry("dailies", Path::new("b")).await.unwrap(), None);
}

#[tokio::test]
async fn what_was_sent_is_not_claimed_again_unless_it_changed_or_is_forgotten() {
    let (_folder, store) = store();
    let first = UploadId::new();
    store.insert_upload(first, spec(vec![source("a", 5, 1)])).await.unwrap();
    store.completed(first).await.unwrap();
    assert_eq!(store.ledger_page("dailies", None, 100).await.unwrap()[0].outcome, Outcome::Sent);
    let again = |inode| {
        let store = store.clone();
        async move { store.insert_upload(UploadId::new(), spec(vec![source("a", 5, inode)])).await }
    };
    assert!(matches!(again(1).await, Err(StoreError::AlreadyClaimed { .. })));
    assert_eq!(store.ledger_forget("dailies", Some(Path::new("a"))).await.unwrap(), 1);
    again(1).await.unwrap();
}

#[tokio::test]
async fn a_file_added_at_the_moment_of_the_finalize_is_refused_or_waited_for() {
    let (_folder, store) = store();
    let id = UploadId::new();
    store.insert_upload(id, spec(vec![source("a", 5, 1)])).await.unwrap();
    store.part_confirmed(id, 0, part(1, 5)).await.unwrap();
    store.file_done(id, 0, None, None).await.unwrap();
    store.append_files(id, vec![source("b", 7, 2)]).await.unwrap();
    assert_eq!(store.all_sent(id).await.unwrap(), None, "b is still to be sent");
    store.file_done(id, 1, None, Some(part(1, 7))).await.unwrap();
    assert_eq!(store.all_sent(id).await.unwrap(), Some(State::Transferring));
    let late = store.append_files(id, vec![source("c", 7, 3)]).await;
    assert!(matches!(late, Err(StoreError::WrongState { state: "finalizing", .. })));
    assert_eq!(store.ledger_entry("dailies", Path::new("c")).await.unwrap(), None);
}

#[tokio::test]
async fn the_totals_follow_parts_repeats_and_restarts() {
    let (_folder, store) = store();
    let id = UploadId::new();
    store.insert_upload(id, spec(vec![source("a", 10, 1), source("b", 4, 2)])).await.unwrap();
    store.part_confirmed(id, 0, part(1, 6)).await.unwrap();
    store.part_confirmed(id, 0, part(1, 6)).await.unwrap();
    store.part_confirmed(id, 0, part(2, 4)).await.unwrap();
    store.file_done(id, 0, Some("c0ffee".into()), None).await.unwrap();
    store.file_done(id, 0, Some("c0ffee".into()), None).await.unwrap();
    let totals = store.upload(id).await.unwrap().totals;
    assert_eq!(totals, Totals { files: 2, files_done: 1, bytes: 14, bytes_done: 10 });
    store.file_restarted(id, 0, identity(20, 9)).await.unwrap();
    let totals = store.upload(id).await.unwrap().totals;
    assert_eq!(totals, Totals { files: 2, files_done: 0, bytes: 24, bytes_done: 0 });
    assert_eq!(store.ledger_entry("dailies", Path::new("a")).await.unwrap().unwrap().identity, identity(20, 9));
}

#[tokio::test]
async fn a_removed_upload_leaves_its_package_to_be_removed_and_its_files_alone() {
    let (_folder, store) = store();
    let id = UploadId::new();
    store.insert_upload(id, spec(vec![source("a", 10, 1)])).await.unwrap();
    let package = RemotePackage { cloud: None, team: None, id: "PKG".into(), token: "token".into() };
    store.package_created(id, package.clone()).await.unwrap();
    store.remove_upload(id).await.unwrap();
    let errands =
        store.errands_due(ErrandKind::RemovePackage, DueSpan::at(Timestamp::now(), Duration::MAX), 10).await.unwrap();
    assert_eq!(
        errands[0].errand,
        Errand::RemovePackage { cloud: None, team: None, package_id: "PKG".into(), token: "token".into() }
    );
    assert_eq!(store.ledger_page("dailies", None, 100).await.unwrap()[0].outcome, Outcome::Cancelled);
    assert!(matches!(store.package_created(id, package).await, Err(StoreError::NotFound(_))));
    assert_eq!(
        store
            .errands_due(ErrandKind::RemovePackage, DueSpan::at(Timestamp::now(), Duration::MAX), 10)
            .await
            .unwrap()
            .len(),
        2,
        "a package made too late goes too"
    );
}

#[tokio::test]
async fn forgetting_a_folder_forgets_what_is_below_it_only() {
    let (_folder, store) = store();
    let files = ["card", "card/a", "card/b/c", "card0", "cardigan/x"];
    let marked = files.iter().map(|name| (name.into(), identity(1, 1))).collect();
    store.ledger_mark("dailies", marked, Outcome::Skipped).await.unwrap();
    assert_eq!(store.ledger_forget("dailies", Some(Path::new("card"))).await.unwrap(), 3);
    let left: Vec<_> =
        store.ledger_page("dailies", None, 100).await.unwrap().into_iter().map(|entry| entry.path).collect();
    assert_eq!(left, [Path::new("card0"), Path::new("cardigan/x")]);
}

#[tokio::test]
async fn order_counts_among_equals() {
    let (_folder, store) = store();
    let ids: Vec<UploadId> = (0..3).map(|_| UploadId::new()).collect();
    for (inode, id) in (1..).zip(&ids) {
        store.insert_upload(*id, spec(vec![source(&format!("f{inode}"), 1, inode)])).await.unwrap();
    }
    let turn = || async {
        store
            .uploads_by_turn(10, OnlyWaiting::default())
            .await
            .unwrap()
            .into_iter()
            .map(|(id, _)| id)
            .collect::<Vec<_>>()
    };
    store.set_order(ids[2], Order::Up).await.unwrap();
    assert_eq!(turn().await, [ids[0], ids[2], ids[1]]);
    store.set_order(ids[1], Order::Top).await.unwrap();
    assert_eq!(turn().await, [ids[1], ids[0], ids[2]]);
    store.set_priority(ids[2], 5).await.unwrap();
    assert_eq!(turn().await, [ids[2], ids[1], ids[0]]);
}

#[tokio::test]
async fn events_are_read_in_order_from_where_one_stopped() {
    let (_folder, store) = store();
    let mut changes = store.changes();
    let id = UploadId::new();
    store.insert_upload(id, spec(vec![source("a", 1, 1)])).await.unwrap();
    changes.changed().await.unwrap();
    store.move_to(id, &[State::Transferring], State::Paused, None).await.unwrap();
    let kinds = |events: Vec<Event>| events.into_iter().map(|event| event.kind).collect::<Vec<_>>();
    let first = store.events_after(0, 1).await.unwrap();
    let rest = store.events_after(first[0].id, 10).await.unwrap();
    assert_eq!((kinds(first), kinds(rest)), (vec!["upload.created".to_owned()], vec!["upload.state".to_owned()]));
}

#[tokio::test]
async fn the_event_log_has_an_end_and_old_transfers_are_forgotten_with_their_files() {
    let (_folder, store) = store();
    store
        .change(|connection| {
            (0..102_500).try_for_each(|_| events::record(connection, "test", None, None, &serde_json::Value::Null))
        })
        .await
        .unwrap();
    let first = store.events_after(0, 1).await.unwrap()[0].id;
    let kept = store.last_event().await.unwrap() - first + 1;
    assert!((100_000..=101_000).contains(&kept), "{kept}");

    let id = UploadId::new();
    store.insert_upload(id, spec(vec![source("a", 5, 1)])).await.unwrap();
    store.completed(id).await.unwrap();
    let open = UploadId::new();
    store.insert_upload(open, spec(vec![source("b", 5, 2)])).await.unwrap();
    let now = Timestamp::now();
    assert_eq!(store.forget_completed(now - jiff::SignedDuration::from_hours(1)).await.unwrap(), 0);
    assert_eq!(store.forget_completed(now + jiff::SignedDuration::from_hours(1)).await.unwrap(), 1);
    assert!(matches!(store.upload(id).await, Err(StoreError::NotFound(_))));
    assert!(store.upload(open).await.is_ok(), "what is not complete stays");
    let again = store.insert_upload(UploadId::new(), spec(vec![source("a", 5, 1)])).await;
    assert!(matches!(again, Err(StoreError::AlreadyClaimed { .. })), "what was sent stays known");
}

/// Uploads queued by an earlier version resume: their files are looked up beneath the folders that contain them.
#[tokio::test]
async fn a_file_is_found_beneath_its_root_and_one_of_before_beneath_its_folder() {
    let (folder, store) = store();
    let id = UploadId::new();
    let mut files = vec![source("card/a", 5, 1)];
    files[0].owner = Some(1000);
    store.insert_upload(id, spec(files)).await.unwrap();
    let kept = store.files(id, None, 1).await.unwrap().remove(0);
    assert_eq!((kept.source, kept.owner), (PathBeneath::new("/drop", "card/a"), Some(1000)));
    let database = Connection::open(folder.path().join("agent.db")).unwrap();
    database.execute("UPDATE file SET root = NULL, owner = NULL", []).unwrap();
    let kept = store.files(id, None, 1).await.unwrap().remove(0);
    assert_eq!((kept.source, kept.owner), (PathBeneath::new("/drop/card", "a"), None));
}

/// Who resumes an upload of which a file was replaced has read whose it is now.
#[tokio::test]
async fn resuming_agrees_to_a_file_s_new_owner_and_to_nothing_else() {
    let (_folder, store) = store();
    let id = UploadId::new();
    let mut files = vec![source("a", 5, 1), source("b", 5, 2)];
    files.iter_mut().for_each(|file| file.owner = Some(1000));
    store.insert_upload(id, spec(files)).await.unwrap();
    for (number, code) in [(0, "source_other_user"), (1, "source_replaced")] {
        let problem = crate::model::Problem { code: code.into(), message: "x".into(), retryable: true, hint: None };
        store.file_failed(id, number, crate::model::FileState::Error, problem).await.unwrap();
    }
    store.move_to(id, &[State::Transferring], State::Error, None).await.unwrap();
    store.try_again(id).await.unwrap();
    let owners: Vec<_> = store.files(id, None, 9).await.unwrap().into_iter().map(|file| file.owner).collect();
    assert_eq!(owners, [None, Some(1000)]);
}

/// A team whose quota was full held all slots with its uploads, and those of another team stayed queued.
#[tokio::test]
async fn what_waits_for_one_destination_holds_up_no_other_and_what_waits_for_its_file_nothing() {
    let (_folder, store) = store();
    let mut ids = Vec::new();
    for number in 0..41 {
        let team = if number < 40 { "full" } else { "other" };
        let id = UploadId::new();
        let order = spec(vec![source(&format!("f{number}"), 1, number)]);
        store.insert_upload(id, UploadSpec { team_id: Some(team.into()), ..order }).await.unwrap();
        ids.push(id);
    }
    let wanted = async |places, for_sources: &[UploadId], for_cloud: &[UploadId]| {
        let waiting = OnlyWaiting { for_sources: for_sources.to_vec(), for_cloud: for_cloud.to_vec() };
        let wanted = store.uploads_by_turn(places, waiting).await.unwrap();
        wanted.into_iter().map(|(id, _)| id).collect::<Vec<_>>()
    };
    assert_eq!(wanted(1, &[], &[]).await, ids[..1]);
    assert_eq!(wanted(1, &ids[..1], &[]).await, ids[..2], "the next goes on beside what waits for its file");
    assert_eq!(wanted(1, &[], &ids[..1]).await, ids[..2], "and beside what waits for the cloud: it may fit");
    let both = [&ids[..32], &ids[40..]].concat();
    assert_eq!(wanted(1, &[], &ids[..32]).await, both, "but not all of a destination wait");
    assert_eq!(wanted(2, &[], &ids[..31]).await, both);
}

/// Two names that differ in the case of letters were one file for recipients on macOS and Windows.
#[tokio::test]
async fn names_that_differ_in_case_only_are_numbered_in_one_package() {
    let (_folder, store) = store();
    let id = UploadId::new();
    let named = |names: &[&str]| names.iter().zip(1..).map(|(name, inode)| source(name, 5, inode)).collect::<Vec<_>>();
    let files = UploadSpec { rule: None, ..spec(named(&["A/Clip.mov", "a/clip.MOV", "a/other.mov"])) };
    store.insert_upload(id, files).await.unwrap();
    store.append_files(id, named(&["a/OTHER.mov"])).await.unwrap();
    let paths: Vec<String> =
        store.files(id, None, 10).await.unwrap().iter().map(|file| file.path.to_string()).collect();
    assert_eq!(paths, ["A/Clip.mov", "a/clip (2).MOV", "a/other.mov", "a/OTHER (2).mov"]);
}
