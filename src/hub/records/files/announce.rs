//! Files come into a package, and out of it again while it is being filled.

use jiff::Timestamp;
use masv_db::{Database, Work, values};
use masv_protocol::{FileId, FileKind, PackageId, PackageState, Restrictions};

use super::super::ids::new_id;
use super::super::packages::{self, state_in_the_way};
use super::super::{Error, OrNotFound, activity, quotas, restrictions};
use super::parts::{PARTS, remove_parts_of};
use super::{FileRow, get_in};
use crate::clock::now;
use crate::stored::{BucketFile, Leftovers};

/// The largest file: 10,000 parts of 5 GiB, as S3 has it.
const LARGEST: u64 = 10_000 * (5 << 30);

/// The maximum number of files and folders of a package, and of one that a stranger sends to a portal.
const MOST_ENTRIES: u64 = 2_000_000;
const MOST_FROM_STRANGERS: u64 = 100_000;

/// A file to be announced.
#[derive(Debug, Clone)]
pub(crate) struct NewFile {
    pub package: PackageId,
    pub kind: FileKind,
    pub path: String,
    pub name: String,
    /// Bytes; where it is not known, the file grows with its parts.
    pub size: Option<u64>,
    /// Now, where it is not known.
    pub last_modified: Option<Timestamp>,
    /// Whether its content is to go to the bucket.
    pub in_bucket: bool,
    /// Bytes of its parts but the last, where its sender says so.
    pub chunk_size: Option<u64>,
}

/// Announces a file. One of the same path and name that was announced but never finalized is forgotten: its sender
/// starts again. What is left of it must be removed from the storage.
pub(crate) async fn announce(database: &Database, file: NewFile) -> Result<(FileId, Leftovers), Error> {
    let announcing = database.transact(move |work| {
        let restrictions = open_package(work, &file.package)?;
        if let Some(taken) = &restrictions
            && file.kind == FileKind::File
        {
            restrictions::check_file(taken, &file.name, file.size.unwrap_or_default())?;
        }
        let leftovers = forget_unfinished(work, &file)?;
        let now = now();
        let id = insert(work, &file, now)?;
        packages::touch(work, &file.package, now)?;
        quotas::check(work, &file.package)?;
        check_announced(work, &file.package, restrictions.as_ref())?;
        Ok((id, leftovers))
    });
    announcing.await
}

/// Refuses a package that has become larger, by what was announced, than its portal takes, or than any may be.
pub(super) fn check_announced(
    work: &Work<'_>,
    package: &PackageId,
    restrictions: Option<&Restrictions>,
) -> Result<(), Error> {
    let read = |row: &masv_db::Row<'_>| Ok((row.get::<u64>(0)?, row.get::<u64>(1)?));
    let sql = "SELECT entries, reserved FROM package WHERE id = ?1";
    let (entries, size) = work.one(sql, values![package.as_str()], read)?.unwrap_or_default();
    if entries == 1 {
        activity::note_started(work, package)?;
    }
    let most = if restrictions.is_some() { MOST_FROM_STRANGERS } else { MOST_ENTRIES };
    if entries > most {
        return Err(Error::Conflict(format!("a package has at most {most} files and folders")));
    }
    let Some(taken) = restrictions else { return Ok(()) };
    // Folders do not count for the portal.
    let sql = "SELECT count(*) FROM file WHERE package_id = ?1 AND kind = 'file'";
    let is_counted = taken.package_size_restriction_enabled && taken.max_file_count > 0;
    let count = if is_counted { work.value(sql, values![package.as_str()])? } else { 0 };
    restrictions::check_package(taken, count, size)
}

fn forget_unfinished(work: &Work<'_>, file: &NewFile) -> Result<Leftovers, Error> {
    let sql = "SELECT id FROM file WHERE package_id = ?1 AND path = ?2 AND name = ?3 AND finalized_at IS NULL";
    let sql = format!("{sql}{}", work.by_digest("path || '/' || name", "?2 || '/' || ?3"));
    let abandoned: Vec<FileId> =
        work.all(&sql, values![file.package.as_str(), file.path, file.name], |row| row.text(0))?;
    let mut removed = Leftovers::default();
    for id in abandoned {
        let left = delete_in(work, &file.package, &id)?;
        removed.parts.extend(left.parts);
        removed.files.extend(left.files);
    }
    Ok(removed)
}

fn insert(work: &Work<'_>, file: &NewFile, now: Timestamp) -> Result<FileId, Error> {
    if file.size.is_some_and(|size| size > LARGEST) {
        return Err(Error::Invalid("size is too large".to_owned()));
    }
    let id: FileId = new_id(now)?;
    let is_directory = file.kind == FileKind::Directory;
    work.run(
        "INSERT INTO file (id, package_id, kind, path, name, size, last_modified, finalized_at, in_bucket, sized,
            chunk_size)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        values![
            id.as_str(),
            file.package.as_str(),
            file.kind.as_str(),
            file.path,
            file.name,
            file.size.unwrap_or_default(),
            file.last_modified.unwrap_or(now),
            is_directory.then_some(now),
            file.in_bucket && !is_directory,
            file.size.is_some(),
            file.chunk_size
        ],
    )?;
    Ok(id)
}

/// Refuses a package that accepts no more files; returns the restrictions of its portal, or those when it was removed, if
/// it came through one.
pub(super) fn open_package(work: &Work<'_>, package: &PackageId) -> Result<Option<Restrictions>, Error> {
    let sql = "SELECT package.state, coalesce(portal.restrictions, package.restrictions) FROM package
         LEFT JOIN portal ON portal.id = package.portal_id WHERE package.id = ?1 AND package.removed = 0";
    let sql = format!("{sql}{}", work.for_change_of("package"));
    let found = work.one(&sql, values![package.as_str()], |row| {
        Ok((row.word::<PackageState>(0)?, row.get::<Option<String>>(1)?))
    })?;
    match found.or_not_found("package")? {
        (PackageState::New, restrictions) => Ok(restrictions.and_then(|text| serde_json::from_str(&text).ok())),
        (state, _) => Err(state_in_the_way(state)),
    }
}

/// Removes a file of a package that is not finalized; returns what it leaves in the storage.
pub(crate) async fn delete(database: &Database, package: PackageId, id: FileId) -> Result<Leftovers, Error> {
    database.transact(move |work| delete_in(work, &package, &id)).await
}

fn delete_in(work: &Work<'_>, package: &PackageId, id: &FileId) -> Result<Leftovers, Error> {
    let file = get_in(work, package, id)?;
    open_package(work, package)?;
    let parts = remove_parts_of(work, package, &file, file.number * PARTS)?;
    work.run("DELETE FROM file WHERE number = ?1", values![file.number])?;
    if file.is_readable() {
        let sql = "UPDATE package SET size = size - ?2, file_count = file_count - 1 WHERE id = ?1";
        work.run(sql, values![package.as_str(), file.size])?;
    }
    let FileRow { in_bucket, upload, .. } = file;
    let bucket = in_bucket.then(|| BucketFile { package: package.clone(), file: id.clone(), upload });
    Ok(Leftovers { parts, files: bucket.into_iter().collect() })
}
