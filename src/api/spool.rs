//! Files that come from a browser: received piece by piece, then sent as an upload, then removed.
//!
//! **In**: what is to come (paths and sizes), then its bytes, in order. **Out**: the files of an upload. Blocks.
//!
//! **Guarantees.** Nothing is ordered before every byte of it is on disk and flushed. Nothing is begun that has no room: what is promised
//! to others counts. What was received survives a lost connection and a restart: the sender asks how far it came and goes on.
//! The names of a browser are names in a package only; on disk, files are numbered.
//!
//! A spool has the id of the upload that it becomes, so that after a crash the database says what to do with it: it is removed when
//! that upload is complete or removed, and when nobody has sent anything to it for a day.
//!
//! Must never know: how files are sent.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::types::{NewSpool, Spooled, SpooledFile};
use crate::model::{SourceFile, State, UploadId};
use crate::store::{Store, StoreError};
use masv_platform::{Folder, PathBeneath, entry_of, flush, free_space, private_file, private_folder, write_all_at};
use masv_protocol::PackagePath;

/// What is expected, in each spool.
const PLAN: &str = "plan.json";
/// Is there once its upload was ordered.
const ORDERED: &str = "ordered";
/// The largest number of files of a spool.
const MOST_FILES: usize = 100_000;
/// The largest number of spools at once.
const MOST_SPOOLS: usize = 100;
/// What stays free on the disk.
const RESERVE: u64 = 1 << 30;
/// Spools to which nobody sends anything for so long are removed.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);
/// How long an order may take from its beginning until it is in the database.
const ORDERING: Duration = Duration::from_secs(60);

/// Why something is refused.
#[derive(Debug)]
pub(super) enum Refusal {
    /// There is no such spool, or no such file in it.
    Unknown,
    /// This much has been received; what was sent does not begin there.
    Elsewhere(u64),
    /// The request makes no sense, by field.
    Bad(String, String),
    /// There is not enough room, or more than may be received.
    Full(String),
    /// Something is missing.
    Incomplete(String),
    /// The disk failed.
    Disk(io::Error),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Unknown,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::Full("the disk of the agent's data directory is full".to_owned())
            }
            _ => Self::Disk(error),
        }
    }
}

type Result<T> = std::result::Result<T, Refusal>;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Expected {
    path: PathBuf,
    size: u64,
    /// Milliseconds since 1970.
    modified: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Plan {
    files: Vec<Expected>,
}

/// The files that are being received.
#[derive(Debug)]
pub struct Spool {
    folder: PathBuf,
    /// The most that all spools together may hold, bytes.
    limit: u64,
    /// One at a time decides about room, writes, or removes.
    alone: Mutex<()>,
}

impl Spool {
    /// In the agent's data directory. `limit`: the most that is received before it is sent, bytes; 0 for nothing.
    #[must_use]
    pub fn new(data_dir: &Path, limit: u64) -> Self {
        Self { folder: data_dir.join("spool"), limit, alone: Mutex::new(()) }
    }

    fn alone(&self) -> std::sync::MutexGuard<'_, ()> {
        self.alone.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn at(&self, id: UploadId) -> PathBuf {
        self.folder.join(id.to_string())
    }

    fn ids(&self) -> Vec<UploadId> {
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
    }

    fn plan(&self, id: UploadId) -> Result<Plan> {
        let text = std::fs::read(self.at(id).join(PLAN))?;
        serde_json::from_slice(&text).map_err(|error| Refusal::Disk(error.into()))
    }

    /// Bytes that are there of a file.
    fn received(&self, id: UploadId, number: usize) -> u64 {
        std::fs::metadata(self.at(id).join(number.to_string())).map_or(0, |found| found.len())
    }

    /// Begins to receive files; those that systems leave in folders are passed over.
    pub(super) fn begin(&self, new: &NewSpool) -> Result<Spooled> {
        let mut files = Vec::with_capacity(new.files.len());
        for (position, file) in new.files.iter().enumerate() {
            let path = Path::new(&file.path);
            if path.iter().any(masv_rules::is_junk) {
                continue;
            }
            let is_relative = path.components().all(|part| matches!(part, std::path::Component::Normal(_)));
            if !is_relative || PackagePath::from_relative(path).is_none() {
                return Err(Refusal::Bad(format!("files.{position}.path"), "is not a relative path".to_owned()));
            }
            files.push(Expected { path: path.to_owned(), size: file.size, modified: file.modified });
        }
        if files.is_empty() || files.len() > MOST_FILES {
            return Err(Refusal::Bad("files".to_owned(), format!("give 1 to {MOST_FILES} files")));
        }
        let wanted = files.iter().fold(0_u64, |sum, file| sum.saturating_add(file.size));
        let _alone = self.alone();
        private_folder(&self.folder)?;
        let (mut held, mut missing, ids) = (0_u64, 0_u64, self.ids());
        for id in &ids {
            for (number, file) in self.plan(*id).map_or(Vec::new(), |plan| plan.files).into_iter().enumerate() {
                held = held.saturating_add(file.size);
                missing = missing.saturating_add(file.size.saturating_sub(self.received(*id, number)));
            }
        }
        if ids.len() >= MOST_SPOOLS {
            return Err(Refusal::Full(format!("{MOST_SPOOLS} uploads from browsers are under way already")));
        }
        if held.saturating_add(wanted) > self.limit {
            return Err(Refusal::Full(format!(
                "files from browsers may take {} bytes (spool-limit in the agent's settings), of which {held} are taken: these need {wanted}",
                self.limit
            )));
        }
        let free = free_space(&self.folder)?.saturating_sub(RESERVE).saturating_sub(missing);
        if wanted > free {
            return Err(Refusal::Full(format!(
                "the disk of the agent's data directory has room for {free} bytes more, these need {wanted}"
            )));
        }
        let id = UploadId::new();
        // Under another name until it is whole: a crash leaves no spool without a plan.
        let new = self.folder.join(format!("new-{id}"));
        private_folder(&new)?;
        let plan = Plan { files };
        let text = serde_json::to_vec(&plan).map_err(|error| Refusal::Disk(error.into()))?;
        let mut file = private_file().write(true).create_new(true).open(new.join(PLAN))?;
        file.write_all(&text)?;
        flush(&file)?;
        std::fs::rename(&new, self.at(id))?;
        Ok(self.view(id, plan))
    }

    fn view(&self, id: UploadId, plan: Plan) -> Spooled {
        let file = |(number, file): (usize, Expected)| SpooledFile {
            number: u32::try_from(number).unwrap_or(u32::MAX),
            path: file.path.to_string_lossy().into_owned(),
            size: file.size,
            received: self.received(id, number),
        };
        Spooled { id, files: plan.files.into_iter().enumerate().map(file).collect() }
    }

    /// How far it came.
    pub(super) fn show(&self, id: UploadId) -> Result<Spooled> {
        let plan = self.plan(id)?;
        Ok(self.view(id, plan))
    }

    /// Adds bytes to a file, behind those that are there.
    pub(super) fn write(&self, id: UploadId, number: usize, offset: u64, bytes: &[u8]) -> Result<SpooledFile> {
        let _alone = self.alone();
        let mut plan = self.plan(id)?;
        if number >= plan.files.len() {
            return Err(Refusal::Unknown);
        }
        if self.at(id).join(ORDERED).exists() {
            return Err(Refusal::Incomplete("its upload was ordered already".to_owned()));
        }
        let (expected, received) = (plan.files.swap_remove(number), self.received(id, number));
        if offset != received {
            return Err(Refusal::Elsewhere(received));
        }
        let end = offset.saturating_add(bytes.len() as u64);
        if end > expected.size {
            return Err(Refusal::Bad(
                "offset".to_owned(),
                format!("the file was announced with {} bytes", expected.size),
            ));
        }
        let file =
            private_file().write(true).create(true).truncate(false).open(self.at(id).join(number.to_string()))?;
        if let Err(error) = write_all_at(&file, bytes, offset) {
            // What a full disk took of it does not count.
            file.set_len(offset)?;
            return Err(error.into());
        }
        let path = expected.path.to_string_lossy().into_owned();
        Ok(SpooledFile { number: u32::try_from(number).unwrap_or(u32::MAX), path, size: expected.size, received: end })
    }

    /// The files for the upload that it becomes, all whole and flushed.
    pub(super) fn order(&self, id: UploadId) -> Result<Vec<SourceFile>> {
        let _alone = self.alone();
        let (plan, place) = (self.plan(id)?, self.at(id));
        let mut files = Vec::with_capacity(plan.files.len());
        for (number, expected) in plan.files.into_iter().enumerate() {
            let (name, received) = (number.to_string(), self.received(id, number));
            if received != expected.size {
                let path = expected.path.display();
                return Err(Refusal::Incomplete(format!(
                    "{path} is not complete: {received} of {} bytes",
                    expected.size
                )));
            }
            let file = private_file().write(true).create(true).truncate(false).open(place.join(&name))?;
            if let Some(modified) = expected.modified {
                // A date that the file system does not know is none that anybody misses.
                let _ = file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_millis(modified));
            }
            flush(&file)?;
            let entry = entry_of(&file)?;
            let path = PackagePath::from_relative(&expected.path).ok_or(Refusal::Unknown)?;
            let (source, identity, owner) = (PathBeneath::new(&place, name), entry.identity, Some(entry.owner));
            files.push(SourceFile { path, source, identity, owner, claim: None, verified: None, guard: None });
        }
        flush(&File::create(place.join(ORDERED))?)?;
        masv_platform::flush_folder(&place)?;
        masv_platform::flush_folder(&self.folder)?;
        Ok(files)
    }

    /// Removes it: whoever sent it does not want it any more.
    pub(super) fn remove(&self, id: UploadId) -> Result<()> {
        let _alone = self.alone();
        self.plan(id)?;
        if self.at(id).join(ORDERED).exists() {
            return Err(Refusal::Incomplete("its upload was ordered; remove that one".to_owned()));
        }
        self.take_away(id)
    }

    fn take_away(&self, id: UploadId) -> Result<()> {
        // Renamed first, so that half of it is never mistaken for a whole one.
        let old = self.folder.join(format!("old-{id}"));
        std::fs::rename(self.at(id), &old)?;
        Ok(std::fs::remove_dir_all(old)?)
    }

    /// How long nothing has happened in a spool.
    fn idle(&self, place: &Path) -> Duration {
        let names = Folder::open(place).and_then(|folder| folder.list().map(Iterator::collect::<Vec<_>>));
        let paths = names.into_iter().flatten().flatten().map(|(name, _)| place.join(name)).chain([place.to_owned()]);
        let changed = paths.filter_map(|path| std::fs::metadata(path).ok()?.modified().ok()).max();
        changed.and_then(|changed| changed.elapsed().ok()).unwrap_or_default()
    }

    fn is_over(&self, id: UploadId, state: Option<State>) -> bool {
        let place = self.at(id);
        match state {
            Some(state) => state == State::Complete,
            None if place.join(ORDERED).exists() => {
                let marked = std::fs::metadata(place.join(ORDERED)).and_then(|found| found.modified());
                marked.is_ok_and(|marked| {
                    marked.elapsed().is_ok_and(|since| since > masv_platform::unless_hurried(ORDERING))
                })
            }
            None => self.idle(&place) > ABANDONED,
        }
    }

    /// Removes what is not needed any more. `states`: those of the uploads that there are.
    fn sweep(&self, states: &BTreeMap<UploadId, State>) {
        let _alone = self.alone();
        for id in self.ids() {
            if self.is_over(id, states.get(&id).copied()) {
                match self.take_away(id) {
                    Ok(()) => tracing::info!(upload = %id, "removed what a browser had sent for it"),
                    Err(error) => tracing::warn!(upload = %id, ?error, "what a browser sent cannot be removed"),
                }
            }
        }
        // What a crash left in the middle of beginning or removing.
        for entry in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let half = ["new-", "old-"].iter().any(|begin| name.to_string_lossy().starts_with(begin));
            if half {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
    }

    /// Removes what is not needed any more.
    pub async fn clean(self: &std::sync::Arc<Self>, store: &Store) {
        let spool = std::sync::Arc::clone(self);
        let Ok(ids) = tokio::task::spawn_blocking(move || spool.ids()).await else { return };
        let mut states = BTreeMap::new();
        for id in ids {
            match store.upload(id).await {
                Ok(upload) => drop(states.insert(id, upload.state)),
                Err(StoreError::NotFound(_)) => {}
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "what browsers sent cannot be looked through now"
                    );
                    return;
                }
            }
        }
        let spool = std::sync::Arc::clone(self);
        // A panic in it is told by its thread.
        let _ = tokio::task::spawn_blocking(move || spool.sweep(&states)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::super::types::NewSpoolFile;
    use super::*;

    fn new(files: &[(&str, u64)]) -> NewSpool {
        let file =
            |(path, size): &(&str, u64)| NewSpoolFile { path: (*path).to_owned(), size: *size, modified: Some(1_000) };
        NewSpool { files: files.iter().map(file).collect() }
    }

    #[test]
    fn what_was_received_goes_on_where_it_stopped_and_is_ordered_only_whole() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::new(folder.path(), 100);
        let begun = spool.begin(&new(&[("card/a.mov", 5), ("card/.DS_Store", 9), ("empty", 0)])).unwrap();
        assert_eq!(begun.files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), ["card/a.mov", "empty"]);
        let id = begun.id;
        assert_eq!(spool.write(id, 0, 0, b"hel").unwrap().received, 3);
        assert!(matches!(spool.write(id, 0, 0, b"hel"), Err(Refusal::Elsewhere(3))), "a piece that came twice");
        assert!(matches!(spool.write(id, 0, 3, b"lo!"), Err(Refusal::Bad(..))), "more than was announced");
        assert!(matches!(spool.write(id, 2, 0, b""), Err(Refusal::Unknown)));
        assert!(matches!(spool.order(id), Err(Refusal::Incomplete(why)) if why.contains("3 of 5")));
        // After a restart.
        let spool = Spool::new(folder.path(), 100);
        assert_eq!(spool.show(id).unwrap().files[0].received, 3);
        spool.write(id, 0, 3, b"lo").unwrap();
        let files = spool.order(id).unwrap();
        assert_eq!(
            (files[0].path.as_str(), files[0].identity.size, files[0].identity.mtime_ns),
            ("card/a.mov", 5, 1_000_000_000)
        );
        assert_eq!((files[1].path.as_str(), files[1].identity.size), ("empty", 0));
        assert_eq!(std::fs::read(files[0].source.whole()).unwrap(), b"hello");
        assert!(spool.write(id, 0, 5, b"").is_err() && spool.remove(id).is_err(), "it belongs to its upload now");
    }

    #[test]
    fn what_has_no_room_is_refused_before_its_first_byte() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::new(folder.path(), 100);
        let first = spool.begin(&new(&[("a", 60)])).unwrap();
        assert!(matches!(spool.begin(&new(&[("b", 60)])), Err(Refusal::Full(why)) if why.contains("spool-limit")));
        spool.remove(first.id).unwrap();
        spool.begin(&new(&[("b", 60)])).unwrap();
        let large = Spool::new(folder.path(), u64::MAX);
        assert!(matches!(large.begin(&new(&[("c", u64::MAX / 2)])), Err(Refusal::Full(why)) if why.contains("disk")));
        for path in ["/etc/passwd", "../x", "", "a/../../b"] {
            assert!(matches!(spool.begin(&new(&[(path, 1)])), Err(Refusal::Bad(..))), "{path}");
        }
    }

    #[test]
    fn a_spool_goes_with_its_upload_and_no_sooner() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::new(folder.path(), 100);
        let [open, done] = [(); 2].map(|()| spool.begin(&new(&[("a", 0)])).unwrap().id);
        for id in [open, done] {
            spool.order(id).unwrap();
        }
        let receiving = spool.begin(&new(&[("a", 1)])).unwrap().id;
        std::fs::create_dir(folder.path().join("spool/old-half")).unwrap();
        spool.sweep(&BTreeMap::from([(open, State::Error), (done, State::Complete)]));
        let mut left = spool.ids();
        left.sort();
        assert_eq!(left, [open, receiving], "a failed upload can be resumed");
        assert!(!folder.path().join("spool/old-half").exists());
    }
}
