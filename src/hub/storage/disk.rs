//! The folder of the parts: `{package}/{file}.{number}.{place}`, with `.tmp` at its end while one arrives. The place is
//! random, so a part can be replaced by another of the same number without ever touching the bytes that the database
//! still points to, and no name is ever used twice. What nothing seems to point to is put into `trash/{day}/{package}/` under its
//! own name, from where it can be taken back, and removed days later.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use masv_platform::{close_to_others, new_private_folder};
use masv_protocol::{FileId, PackageId};
use md5::{Digest, Md5};

use super::presence::size_of;
use crate::stored::PartName;

/// Ends the name of a part that is still arriving.
const ARRIVING: &str = ".tmp";
/// The trash folder, whose content is removed after some days.
const TRASH: &str = "trash";

/// The folder of the parts.
#[derive(Debug, Clone)]
pub(crate) struct Disk {
    root: PathBuf,
}

/// The content of a package's folder.
#[derive(Debug, Default)]
pub(crate) struct Looked {
    /// How many complete parts.
    pub parts: usize,
    /// The names of those that are old and unknown.
    pub unknown: Vec<String>,
}

impl Disk {
    /// The storage in `root`, which is made if it is not there.
    pub(crate) fn open(root: PathBuf) -> io::Result<Self> {
        new_private_folder(&root)?;
        // Created by an earlier version; or a separate disk whose mode is not ours to change.
        let _ = close_to_others(&root);
        Ok(Self { root })
    }

    /// The path of the part once it is complete.
    pub(crate) fn path(&self, part: &PartName, place: &str) -> PathBuf {
        self.folder(&part.package).join(Self::file_name(&part.file, part.number, place))
    }

    fn folder(&self, package: &PackageId) -> PathBuf {
        self.root.join(package.as_str())
    }

    /// A new file to write the part to. Blocks.
    pub(super) fn create(&self, part: &PartName) -> io::Result<Arriving> {
        let folder = self.folder(&part.package);
        let place = format!("{:016x}", fastrand::u64(..));
        let path = folder.join(Self::file_name(&part.file, part.number, &place) + ARRIVING);
        let file = match File::create_new(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make_folder(&folder)?;
                File::create_new(&path)?
            }
            other => other?,
        };
        Ok(Arriving { file, place, path: Some(path) })
    }

    /// Puts a part that has arrived in its place, flushed, and says which that is. Blocks.
    pub(super) fn keep(&self, mut arriving: Arriving, part: &PartName) -> io::Result<String> {
        masv_platform::flush_data(&arriving.file)?;
        if let Some(path) = &arriving.path {
            fs::rename(path, self.path(part, &arriving.place))?;
        }
        arriving.path = None;
        masv_platform::flush_folder(&self.folder(&part.package))?;
        Ok(std::mem::take(&mut arriving.place))
    }

    /// Removes parts that nothing points to any more; a missing one is not an error. Blocks.
    pub(crate) fn remove(&self, parts: &[(PartName, String)]) {
        for (part, place) in parts {
            let path = self.path(part, place);
            if let Err(error) = fs::remove_file(&path)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(path = %path.display(), %error, "cannot remove a part that is no longer needed");
            }
        }
    }

    /// Removes all of a package; one that is not there is no error. Blocks.
    pub(crate) fn remove_package(&self, package: &PackageId) -> io::Result<()> {
        match fs::remove_dir_all(self.folder(package)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes the folder of a package if nothing is in it. Blocks.
    pub(crate) fn remove_empty(&self, package: &PackageId) {
        // One that is not empty still gets parts; the next sweep sees to it.
        let _ = fs::remove_dir(self.folder(package));
    }

    /// The packages that have a folder, and what else is there. Blocks.
    pub(crate) fn packages(&self) -> io::Result<Vec<String>> {
        fs::read_dir(&self.root)?
            .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
            .filter(|name| !name.as_ref().is_ok_and(|name| name == TRASH))
            .collect()
    }

    /// Whether there is a part in the folder of any package; `is_package` says which folders are ones. Blocks.
    pub(crate) fn holds_parts(&self, is_package: impl Fn(&str) -> bool) -> io::Result<bool> {
        for package in self.packages()?.into_iter().filter(|name| is_package(name)) {
            if fs::read_dir(self.root.join(package))?.next().is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The whole parts in a package's folder by name, and their sizes; none where there is no such folder. Blocks.
    pub(crate) fn parts(&self, package: &PackageId) -> io::Result<HashMap<String, u64>> {
        sizes(&self.folder(package))
    }

    /// What is in the trash: the days, the packages of each, and the parts of each with their sizes. Blocks.
    pub(crate) fn trash(&self) -> io::Result<Vec<TrashFolder>> {
        let mut all = Vec::new();
        for day in names(&self.root.join(TRASH))?.into_iter().filter(|day| is_day(day)) {
            let folder = self.root.join(TRASH).join(&day);
            for package in names(&folder)? {
                let parts = sizes(&folder.join(&package))?;
                all.push(TrashFolder { day: day.clone(), package, parts });
            }
        }
        all.sort_by(|a, b| (&a.day, &a.package).cmp(&(&b.day, &b.package)));
        Ok(all)
    }

    /// Puts a part back in its place that is in the trash, the newest that has this size and MD5; whether there was one. What is in its
    /// place goes into the trash of `day`. Blocks.
    pub(crate) fn take_back(
        &self,
        part: &PartName,
        place: &str,
        (size, md5): (u64, [u8; 16]),
        day: &str,
    ) -> io::Result<bool> {
        let name = Self::file_name(&part.file, part.number, place);
        let mut days: Vec<String> = names(&self.root.join(TRASH))?.into_iter().filter(|day| is_day(day)).collect();
        days.sort_unstable_by(|a, b| b.cmp(a));
        for from in days {
            let found = self.root.join(TRASH).join(&from).join(part.package.as_str()).join(&name);
            if size_of(&found)? != Some(size) || md5_of(&found)? != md5 {
                continue;
            }
            let target = self.path(part, place);
            if size_of(&target)?.is_some() {
                let damaged = format!("{name}.damaged-{:016x}", fastrand::u64(..));
                let trash = self.root.join(TRASH).join(day).join(part.package.as_str());
                new_private_folder(&trash)?;
                fs::rename(&target, trash.join(damaged))?;
            }
            let folder = self.folder(&part.package);
            make_folder(&folder)?;
            fs::rename(found, target)?;
            masv_platform::flush_folder(&folder)?;
            return Ok(true);
        }
        Ok(false)
    }

    /// The MD5 of a part. Blocks.
    pub(crate) fn md5(&self, part: &PartName, place: &str) -> io::Result<[u8; 16]> {
        md5_of(&self.path(part, place))
    }

    /// Looks for complete parts in a package's folder that are older than `age` and not among `known` names. What arrived only partly and
    /// is as old is removed: nothing ever pointed to it. Blocks.
    pub(crate) fn look(&self, package: &PackageId, known: &HashSet<String>, age: Duration) -> io::Result<Looked> {
        let mut looked = Looked::default();
        for entry in fs::read_dir(self.folder(package))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let found = entry.metadata().and_then(|found| found.modified());
            let old = found.is_ok_and(|modified| modified.elapsed_since(SystemTime::now()) >= age);
            if name.ends_with(ARRIVING) {
                if old {
                    // What is gone meanwhile, or cannot be removed, holds up none of the rest.
                    let _ = fs::remove_file(entry.path());
                }
                continue;
            }
            looked.parts += 1;
            if old && !known.contains(&name) {
                looked.unknown.push(name);
            }
        }
        Ok(looked)
    }

    /// Moves these parts of a package into the trash of that day; returns how many were moved. Blocks.
    pub(crate) fn discard(&self, package: &PackageId, names: &[String], day: &str) -> io::Result<usize> {
        if names.is_empty() {
            return Ok(0);
        }
        let (folder, trash) = (self.folder(package), self.root.join(TRASH).join(day).join(package.as_str()));
        new_private_folder(&trash)?;
        let mut moved = 0;
        for name in names {
            match fs::rename(folder.join(name), trash.join(name)) {
                Ok(()) => moved += 1,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(moved)
    }

    /// Removes for good the days of the trash before `kept_since`; returns how many. Blocks.
    pub(crate) fn empty_trash(&self, kept_since: &str) -> io::Result<usize> {
        let trash = self.root.join(TRASH);
        let found = match fs::read_dir(&trash) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            other => other?,
        };
        let mut removed = 0;
        for entry in found {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            // Files that someone else put there are left alone.
            if is_day(&name) && name.as_str() < kept_since {
                fs::remove_dir_all(entry.path())?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// The name of a part's file in its package's folder.
    pub(crate) fn file_name(file: &FileId, number: u32, place: &str) -> String {
        format!("{file}.{number}.{place}")
    }

    /// Bytes that may still be written. Blocks.
    pub(crate) fn free(&self) -> io::Result<u64> {
        masv_platform::free_space(&self.root)
    }
}

/// The parts of a package in the trash of a day.
#[derive(Debug)]
pub(crate) struct TrashFolder {
    pub day: String,
    pub package: String,
    /// Their names and sizes.
    pub parts: HashMap<String, u64>,
}

fn is_day(name: &str) -> bool {
    name.parse::<jiff::civil::Date>().is_ok()
}

/// The names in a folder; none where it is not there.
fn names(folder: &Path) -> io::Result<Vec<String>> {
    match fs::read_dir(folder) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(Vec::new()),
        Err(error) => Err(error),
        Ok(entries) => entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect(),
    }
}

/// The whole parts in a folder, and their sizes.
fn sizes(folder: &Path) -> io::Result<HashMap<String, u64>> {
    let mut all = HashMap::new();
    for name in names(folder)?.into_iter().filter(|name| !name.ends_with(ARRIVING)) {
        if let Some(size) = size_of(&folder.join(&name))? {
            all.insert(name, size);
        }
    }
    Ok(all)
}

fn md5_of(path: &Path) -> io::Result<[u8; 16]> {
    let (mut file, mut digest, mut block) = (File::open(path)?, Md5::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut block)? {
            0 => return Ok(digest.finalize().into()),
            read => digest.update(&block[..read]),
        }
    }
}

/// How long ago a time was; nothing for one in the future.
trait ElapsedSince {
    fn elapsed_since(self, now: SystemTime) -> Duration;
}

impl ElapsedSince for SystemTime {
    fn elapsed_since(self, now: SystemTime) -> Duration {
        now.duration_since(self).unwrap_or_default()
    }
}

fn make_folder(folder: &Path) -> io::Result<()> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
        Ok(()) => match folder.parent() {
            Some(parent) => masv_platform::flush_folder(parent),
            None => Ok(()),
        },
    }
}

/// A part that is arriving; dropped before it is kept, it leaves nothing.
pub(super) struct Arriving {
    pub(super) file: File,
    place: String,
    path: Option<PathBuf>,
}

impl Drop for Arriving {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // What cannot be removed now is swept up later.
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_arrived_halfway_leaves_nothing_and_the_sweep_takes_only_old_unknown_files() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::open(folder.path().join("storage")).unwrap();
        let part = PartName { package: "P".into(), file: "F".into(), number: 1 };
        drop(disk.create(&part).unwrap());
        assert_eq!(fs::read_dir(disk.folder(&part.package)).unwrap().count(), 0);
        let keep = || disk.keep(disk.create(&part).unwrap(), &part).unwrap();
        let (first, second) = (keep(), keep());
        assert_ne!(first, second);
        let known = HashSet::from([Disk::file_name(&part.file, 1, &first)]);
        let arriving = disk.folder(&part.package).join("F.1.0.tmp");
        fs::write(&arriving, "half").unwrap();
        let look = |age| disk.look(&part.package, &known, Duration::from_secs(age)).unwrap();
        assert_eq!((look(3600).parts, look(3600).unknown.len(), arriving.exists()), (2, 0, true));
        let looked = look(0);
        assert_eq!(looked.unknown, [Disk::file_name(&part.file, 1, &second)]);
        assert!(!arriving.exists());
        assert_eq!(disk.discard(&part.package, &looked.unknown, "2026-11-28").unwrap(), 1);
        let trashed = disk.root.join("trash/2026-11-28/P").join(&looked.unknown[0]);
        assert!(trashed.exists());
        fs::create_dir(disk.root.join("trash/2026-notes")).unwrap();
        assert_eq!(disk.empty_trash("2026-11-28").unwrap(), 0);
        assert!(trashed.exists());
        assert_eq!(disk.empty_trash("2026-11-29").unwrap(), 1);
        assert!(!trashed.exists() && disk.root.join("trash/2026-notes").exists());
        assert!(disk.path(&part, &first).exists());
        assert_eq!(disk.packages().unwrap(), ["P"]);
        disk.remove_package(&part.package).unwrap();
        disk.remove_package(&part.package).unwrap();
        assert_eq!(disk.packages().unwrap().len(), 0);
    }
}
