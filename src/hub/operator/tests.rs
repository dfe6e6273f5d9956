//! What whoever runs the hub does with its storage and trash, over real files.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::stream;
use masv_protocol::{FileId, FileKind, ListedPart, PackageId};
use tokio_util::sync::CancellationToken;

use crate::jobs::check::{CheckAsked, FaultKind, Repair};
use crate::jobs::gc::{self, Watch};
use crate::records::audit::Authority;
use crate::records::files::{self, NewFile};
use crate::records::jobs::{self, Chore};
use crate::records::moments::{self, Moment};
use crate::records::moving;
use crate::records::packages::{self, NewPackage};
use crate::records::tests::new_package;
use crate::records::{links, quotas, teams};
use crate::storage::{Expected, receive};
use crate::stored::PartName;
use crate::{Hub, HubConfig, HubError};

const REPAIR: CheckAsked = CheckAsked { deep: false, repair: true };
const DEEP: CheckAsked = CheckAsked { deep: true, repair: false };

async fn hub(folder: &Path) -> Hub {
    let hub = Hub::open(HubConfig::new(folder.join("hub"))).await.unwrap();
    if hub.is_new().await.unwrap() {
        teams::create(hub.database(), "Team".into(), None).await.unwrap();
    }
    hub
}

/// Ends a hub, and waits until nothing of its database is open: a connection that is closed later would remove the log of the next.
async fn end(hub: Hub) {
    let database = hub.context.config.data_dir.join("hub.db").display().to_string();
    drop(hub);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let is_open = || {
        let open = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
        open.filter_map(|file| fs::read_link(file.path()).ok())
            .any(|file| file.to_string_lossy().starts_with(&database))
    };
    while is_open() {
        assert!(std::time::Instant::now() < deadline, "the database stays open");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

/// A package that was sent, of one file in two parts on the disk, for one recipient.
async fn sent(hub: &Hub, name: &str) -> (PackageId, FileId) {
    let team = teams::list(hub.database()).await.unwrap().remove(0).id;
    let recipients = vec!["r@example.com".parse().unwrap()];
    let new = NewPackage { name: name.into(), recipients, ..new_package(&team) };
    let package = packages::create(hub.database(), new).await.unwrap().id;
    let file = NewFile {
        package: package.clone(),
        kind: FileKind::File,
        path: "A001".into(),
        name: "clip.mov".into(),
        size: Some(200_000),
        last_modified: None,
        in_bucket: false,
        chunk_size: None,
    };
    let (id, _) = files::announce(hub.database(), file).await.unwrap();
    let mut listed = Vec::new();
    for number in 1..=2 {
        let part = PartName { package: package.clone(), file: id.clone(), number };
        let content = Bytes::from(vec![u8::try_from(number).unwrap(); 100_000]);
        let expected = Expected { largest: 1 << 20, length: None, md5: None };
        let body = stream::iter([Ok::<_, std::io::Error>(content)]);
        let arrived = receive(&hub.context.storage.disk, &part, &expected, body).await.unwrap();
        let part_of: ListedPart = serde_json::from_value(
            serde_json::json!({ "partNumber": number.to_string(), "etag": hex::encode(arrived.md5) }),
        )
        .unwrap();
        listed.push(part_of);
        files::store_part(hub.database(), part, arrived).await.unwrap();
    }
    files::finalize(hub.database(), (package.clone(), id.clone()), listed, None).await.unwrap();
    packages::finalize(hub.database(), package.clone(), None).await.unwrap();
    (package, id)
}

/// The parts of a package on the disk, by number.
fn parts(folder: &Path, package: &PackageId) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder.join("hub/storage").join(package.as_str())) else { return Vec::new() };
    let mut parts: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    parts.sort();
    parts
}

async fn used(hub: &Hub) -> u64 {
    let team = teams::list(hub.database()).await.unwrap().remove(0).id;
    quotas::usage(hub.database(), team).await.unwrap().used
}

async fn remove(hub: &Hub, package: &PackageId) {
    let by = Authority { team: None, address: None };
    packages::delete_by(hub.database(), package.clone(), by).await.unwrap();
}

async fn chores(hub: &Hub) {
    for chore in Chore::ALL {
        jobs::make_due(hub.database(), chore).await.unwrap();
    }
    gc::work_off(&hub.context, &mut Watch::default()).await;
    crate::jobs::removal::work_off(&hub.context).await;
}

/// Makes the time that all in the trash was put there so many days ago.
async fn trashed_days_ago(hub: &Hub, days: u64) {
    let at = crate::clock::before(crate::clock::now(), crate::clock::days(days));
    let changing = hub.database().transact(move |work| {
        work.run("UPDATE package SET trashed_at = ?1 WHERE trashed_at IS NOT NULL", masv_db::values![at])?;
        Ok::<_, crate::records::Error>(())
    });
    changing.await.unwrap();
}

/// Case: what a hub removes goes through a trash: its files and links come back with it.
#[tokio::test]
async fn a_package_that_was_removed_comes_back_with_its_files_and_links_and_nobody_sees_it_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let hub = hub(folder.path()).await;
    let (package, file) = sent(&hub, "Dailies").await;
    let link = links::list(hub.database(), package.clone()).await.unwrap().remove(0).id;
    remove(&hub, &package).await;
    assert_eq!(used(&hub).await, 0, "what is in the trash counts against no quota");
    assert!(packages::get(hub.database(), package.clone()).await.is_err());
    assert!(files::get(hub.database(), package.clone(), file.clone()).await.is_err());
    assert!(links::find(hub.database(), link.clone()).await.unwrap().is_none());
    assert!(links::list(hub.database(), package.clone()).await.unwrap().is_empty());
    chores(&hub).await;
    let trash = hub.trash().await.unwrap();
    let listed = &trash.packages[0];
    assert_eq!((listed.id.as_str(), listed.removed, listed.files, listed.bytes), (package.as_str(), true, 1, 200_000));
    assert_eq!(parts(folder.path(), &package).len(), 2);
    assert_eq!(hub.restore_package(package.as_str()).await.unwrap(), ("Dailies".to_owned(), None));
    assert_eq!(used(&hub).await, 200_000);
    assert!(links::find(hub.database(), link).await.unwrap().is_some());
    assert!(files::get_readable(hub.database(), package.clone(), file).await.is_ok());
    assert!(hub.trash().await.unwrap().is_empty());
    assert!(matches!(hub.restore_package(package.as_str()).await, Err(HubError::NotFound { .. })));
}

/// The content of packages that a hub with a wrong clock expired was gone at once.
#[tokio::test]
async fn a_package_that_expired_comes_back_and_is_kept_for_some_days_more() {
    let folder = tempfile::tempdir().unwrap();
    let hub = hub(folder.path()).await;
    let (package, _) = sent(&hub, "Over").await;
    assert!(packages::expire(hub.database(), package.clone()).await.unwrap());
    assert!(!packages::expire(hub.database(), package.clone()).await.unwrap(), "another process was first");
    chores(&hub).await;
    assert_eq!((used(&hub).await, parts(folder.path(), &package).len()), (0, 2));
    assert!(!hub.trash().await.unwrap().packages[0].removed);
    hub.restore_package(package.as_str()).await.unwrap();
    assert_eq!(used(&hub).await, 200_000);
    chores(&hub).await;
    assert!(hub.trash().await.unwrap().is_empty(), "it does not expire again at once");
}

/// Case: what a hub removed by mistake is in a trash for days, and stays there while a restored backup may be the wrong one.
#[tokio::test]
async fn what_has_been_in_the_trash_for_long_enough_is_removed_for_good_and_not_while_that_may_be_a_mistake() {
    let folder = tempfile::tempdir().unwrap();
    let hub = hub(folder.path()).await;
    let (removed, expired) = (sent(&hub, "Removed").await.0, sent(&hub, "Expired").await.0);
    remove(&hub, &removed).await;
    packages::expire(hub.database(), expired.clone()).await.unwrap();
    trashed_days_ago(&hub, 6).await;
    chores(&hub).await;
    assert_eq!(hub.trash().await.unwrap().packages.len(), 2);
    trashed_days_ago(&hub, 8).await;
    moments::set(hub.database(), Moment::Restored, crate::clock::now()).await.unwrap();
    chores(&hub).await;
    assert_eq!(hub.trash().await.unwrap().packages.len(), 2, "another backup may know better");
    moments::clear(hub.database(), &[Moment::Restored]).await.unwrap();
    chores(&hub).await;
    assert!(hub.trash().await.unwrap().is_empty());
    assert!(parts(folder.path(), &removed).is_empty() && parts(folder.path(), &expired).is_empty());
    assert!(packages::get(hub.database(), expired).await.is_ok(), "it stays in the lists");
    assert!(jobs::claim_removal(hub.database(), false).await.unwrap().is_none(), "nothing is owed any more");
}

/// Case: the operator empties the trash, of packages and of unknown parts.
#[tokio::test]
async fn the_trash_is_emptied_before_its_time_when_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let hub = hub(folder.path()).await;
    let (package, _) = sent(&hub, "Removed").await;
    remove(&hub, &package).await;
    let unknown = folder.path().join("hub/storage/trash/2026-11-20").join(package.as_str());
    fs::create_dir_all(&unknown).unwrap();
    fs::write(unknown.join("F.1.00"), "part").unwrap();
    let trash = hub.trash().await.unwrap();
    assert_eq!((trash.parts[0].parts, trash.parts[0].bytes, trash.bytes()), (1, 4, 200_004));
    hub.empty_trash().await.unwrap();
    assert!(hub.trash().await.unwrap().is_empty());
    assert!(parts(folder.path(), &package).is_empty() && !unknown.exists());
}

/// Case: there was no check that compares the database with the storage, neither by command nor at the start.
#[tokio::test]
async fn what_is_missing_damaged_or_unknown_is_named_with_package_and_file() {
    let folder = tempfile::tempdir().unwrap();
    let hub = hub(folder.path()).await;
    let (package, file) = sent(&hub, "Dailies").await;
    let (other, _) = sent(&hub, "Rushes").await;
    let report = hub.check(DEEP).await.unwrap();
    assert_eq!((report.packages, report.parts, report.bytes, report.complete), (2, 4, 400_000, true));
    assert!(report.faults.is_empty() && report.unknown.is_empty());
    let [first, second] = &parts(folder.path(), &package)[..] else { panic!("two parts") };
    fs::remove_file(first).unwrap();
    fs::write(second, "short").unwrap();
    fs::write(&parts(folder.path(), &other)[0], vec![9; 100_000]).unwrap();
    let strange = folder.path().join("hub/storage/01M85VJ3Y0Q8ZK2T4W6X7B9CDE");
    fs::create_dir(&strange).unwrap();
    fs::write(strange.join("F.1.00"), "part").unwrap();
    let report = hub.check(CheckAsked::default()).await.unwrap();
    let told =
        |index: usize| (report.faults[index].part, report.faults[index].kind, report.faults[index].path.as_str());
    assert_eq!(told(0), (Some(1), FaultKind::Missing, "A001/clip.mov"));
    assert_eq!(told(1), (Some(2), FaultKind::Damaged, "A001/clip.mov"));
    assert_eq!((report.faults.len(), report.faults[0].package.as_str()), (2, package.as_str()));
    assert_eq!((report.faults[0].package_name.as_str(), report.faults[0].file.as_str()), ("Dailies", file.as_str()));
    assert_eq!((report.unknown.len(), report.unknown[0].name.as_str()), (1, "F.1.00"));
    assert!(report.has_faults());
    let deep = hub.check(DEEP).await.unwrap();
    assert_eq!(deep.faults.len(), 3);
    assert!(deep.faults.iter().any(|fault| fault.package == other.as_str() && fault.kind == FaultKind::Damaged));
    // The quick check at the start reports it, too.
    chores(&hub).await;
    let codes: Vec<&str> = hub.findings().await.unwrap().iter().map(|finding| finding.code).collect();
    assert_eq!(codes, ["content_missing", "content_unknown"]);
}

/// Case: a part that is missing on the disk: it is taken back from the trash, or its file is marked.
#[tokio::test]
async fn what_is_in_the_trash_is_taken_back_and_what_is_gone_is_marked_until_it_is_there_again() {
    let folder = tempfile::tempdir().unwrap();
    let hub = hub(folder.path()).await;
    let (package, file) = sent(&hub, "Dailies").await;
    let both = parts(folder.path(), &package);
    let trash = folder.path().join("hub/storage/trash/2026-11-20").join(package.as_str());
    fs::create_dir_all(&trash).unwrap();
    let in_trash = |path: &Path| trash.join(path.file_name().unwrap());
    let kept = fs::read(&both[1]).unwrap();
    fs::rename(&both[0], in_trash(&both[0])).unwrap();
    // In the trash is another content of that name and size: it is none of this file.
    fs::write(in_trash(&both[1]), vec![7; 100_000]).unwrap();
    fs::write(&both[1], "short").unwrap();
    let report = hub.check(REPAIR).await.unwrap();
    let repairs: Vec<Repair> = report.faults.iter().map(|fault| fault.repair).collect();
    assert_eq!(repairs, [Repair::MarkedLost, Repair::MarkedLost], "a file is whole or lost");
    assert!(both[0].exists() && files::get(hub.database(), package.clone(), file.clone()).await.unwrap().lost);
    // Somebody puts it back, by a backup of the storage.
    fs::write(&both[1], kept).unwrap();
    assert!(!hub.check(CheckAsked { deep: true, repair: true }).await.unwrap().has_faults());
    assert!(!files::get(hub.database(), package.clone(), file).await.unwrap().lost);
    // A damaged part goes into the trash for the one that is taken back.
    fs::copy(&both[0], in_trash(&both[0])).unwrap();
    fs::write(&both[0], "short").unwrap();
    let report = hub.check(REPAIR).await.unwrap();
    assert_eq!((report.faults.len(), report.faults[0].repair, report.has_faults()), (1, Repair::TakenBack, false));
    assert!(!hub.check(DEEP).await.unwrap().has_faults());
}

/// A backup of another day was restored over the real storage, and what that did not know was removed; then the right one.
#[tokio::test]
async fn restoring_the_backup_of_another_day_and_then_the_right_one_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (data, early, late) =
        (folder.path().join("hub"), folder.path().join("early.db"), folder.path().join("late.db"));
    let first = hub(folder.path()).await;
    sent(&first, "Early").await;
    crate::back_up(&data, &early).await.unwrap();
    let mut packages = Vec::new();
    for number in 0..15 {
        packages.push(sent(&first, &format!("Late {number}")).await.0);
    }
    crate::back_up(&data, &late).await.unwrap();
    end(first).await;
    let restore = async |backup: &Path| {
        for name in ["hub.db", "hub.db-wal", "hub.db-shm", "secret.key"] {
            let _ = fs::remove_file(data.join(name));
        }
        crate::restore(backup, &data).await.unwrap();
        // Long enough ago that nothing may be on its way.
        let old = std::time::SystemTime::now() - std::time::Duration::from_secs(100_000);
        for part in packages.iter().flat_map(|package| parts(folder.path(), package)) {
            fs::File::options().append(true).open(part).unwrap().set_modified(old).unwrap();
        }
        hub(folder.path()).await
    };
    let wrong = restore(&early).await;
    chores(&wrong).await;
    assert_eq!(wrong.survey().await.unwrap().disk, (30, 32));
    assert_eq!(parts(folder.path(), &packages[0]).len(), 2, "for days nothing is touched after a restore");
    // Whoever runs it is sure, and wrong.
    let found = wrong.survey().await.unwrap();
    assert!(wrong.confirm_sweep(&found).await.unwrap());
    assert!(packages.iter().all(|package| parts(folder.path(), package).is_empty()));
    assert_eq!(wrong.trash().await.unwrap().parts.iter().map(|parts| parts.parts).sum::<usize>(), 30);
    end(wrong).await;
    let right = restore(&late).await;
    let report = right.check(REPAIR).await.unwrap();
    assert_eq!((report.faults.len(), report.has_faults()), (30, false));
    assert!(right.check(DEEP).await.unwrap().faults.is_empty());
}

/// Case: a hub that was opened before a move began, and waited for the lock meanwhile, took changes that the move had passed already.
#[tokio::test]
async fn a_hub_that_was_opened_before_a_move_began_does_not_serve() {
    let folder = tempfile::tempdir().unwrap();
    let before = hub(folder.path()).await;
    moving::close_source(before.database()).await.unwrap();
    let ended = CancellationToken::new();
    ended.cancel();
    let listener = || std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let refused = before.serve(listener(), ended.clone()).await.unwrap_err();
    assert!(matches!(refused, HubError::Invalid(_)), "{refused}");
    end(before).await;
    let again = hub(folder.path()).await;
    assert!(again.is_read_only());
    again.serve(listener(), ended).await.unwrap();
}
