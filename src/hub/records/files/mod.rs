//! Files of packages: their rows, and the questions about them.

mod announce;
mod close;
mod expected;
mod parts;
mod unbound;

use jiff::Timestamp;
use masv_db::{Database, DbError, Row, Work, values};
use masv_protocol::{self as protocol, FileId, FileKind, FileState, MultipartId, PackageId, PackageState};

pub(crate) use announce::{NewFile, announce, delete};
pub(crate) use close::{Content, check_close, close, finalize, take_whole};
pub(crate) use expected::{ExpectedFile, ExpectedPart, Kept, expected, mark_lost, small_parts};
pub(super) use parts::{PARTS, remove_parts};
pub(crate) use parts::{PieceSource, disk_parts, known_parts, pieces, room, small_part, store_part};
pub(crate) use unbound::{Unbound, has_stored, unbound, unbound_file};

use super::{Error, OrNotFound, packages};

/// A file that was announced.
#[derive(Debug, Clone)]
pub(crate) struct FileRow {
    pub id: FileId,
    pub kind: FileKind,
    /// Folder in the package; empty for its root.
    pub path: String,
    pub name: String,
    pub size: u64,
    /// Whether its size was announced; otherwise the size grows with its parts.
    pub sized: bool,
    pub last_modified: Timestamp,
    pub finalized: bool,
    pub etag: Option<String>,
    /// CRC-32 of the whole, if it is known.
    pub crc: Option<u32>,
    /// MD5 of the whole, if it is known.
    pub md5: Option<[u8; 16]>,
    /// Whether its content is in the bucket, or to go there.
    pub in_bucket: bool,
    /// Its multipart upload in the bucket, once that is known and until it is complete.
    pub upload: Option<MultipartId>,
    /// Its content is known to be gone.
    pub lost: bool,
    /// Bytes of its parts but the last, where its sender said so.
    pub chunk_size: Option<u64>,
    number: i64,
}

const COLUMNS: &str = "id, kind, path, name, size, last_modified, finalized_at IS NOT NULL, etag, number, crc, \
    in_bucket, upload, lost_at IS NOT NULL, sized, chunk_size, md5";

impl FileRow {
    fn from_row(row: &Row<'_>) -> Result<Self, DbError> {
        Ok(Self {
            id: row.text(0)?,
            kind: row.word(1)?,
            path: row.get(2)?,
            name: row.get(3)?,
            size: row.get(4)?,
            last_modified: row.get(5)?,
            finalized: row.get(6)?,
            etag: row.get(7)?,
            number: row.get(8)?,
            crc: row.get(9)?,
            in_bucket: row.get(10)?,
            upload: row.maybe_text(11)?,
            lost: row.get(12)?,
            sized: row.get(13)?,
            chunk_size: row.get(14)?,
            md5: row.get(15)?,
        })
    }

    /// Whether it has content that can be read.
    pub(crate) fn is_readable(&self) -> bool {
        self.finalized && self.kind == FileKind::File
    }

    /// As the protocol shows it.
    pub(crate) fn message(&self) -> protocol::File {
        let state = if self.finalized { FileState::Finalized } else { FileState::New };
        protocol::File {
            id: self.id.clone(),
            kind: Some(self.kind.into()),
            name: self.name.clone(),
            path: self.path.clone(),
            size: self.size,
            last_modified: self.last_modified.into(),
            state: Some(state.into()),
            virus_detected: false,
        }
    }
}

/// The file of that id in that package, unless that was removed.
fn get_in(work: &Work<'_>, package: &PackageId, id: &FileId) -> Result<FileRow, Error> {
    packages::lock(work, package)?;
    let sql = format!(
        "SELECT {COLUMNS} FROM file WHERE id = ?2 AND package_id = ?1
            AND EXISTS (SELECT 1 FROM package WHERE id = ?1 AND removed = 0)"
    );
    work.one(&sql, values![package.as_str(), id.as_str()], FileRow::from_row)?.or_not_found("file")
}

/// The file of that id in that package.
pub(crate) async fn get(database: &Database, package: PackageId, id: FileId) -> Result<FileRow, Error> {
    database.query(move |work| get_in(work, &package, &id)).await
}

/// The file with that id, if its content can be read: it is complete, and its package has not expired.
pub(crate) async fn get_readable(database: &Database, package: PackageId, id: FileId) -> Result<FileRow, Error> {
    let getting = database.query(move |work| {
        if packages::get_in(work, &package)?.state == PackageState::Expired {
            return Err(Error::NotFound("file"));
        }
        let file = get_in(work, &package, &id)?;
        Some(file).filter(FileRow::is_readable).or_not_found("file")
    });
    getting.await
}

/// Where a page of a list starts: after this file.
pub(crate) type Behind = (String, String, i64);

/// Up to `most` files of a package, by path, from behind one of them on, and where the next page begins, if there is one. Those that
/// are whole, where only these are wanted.
pub(crate) async fn page(
    database: &Database,
    package: PackageId,
    finalized_only: bool,
    behind: Option<Behind>,
    most: u32,
) -> Result<(Vec<FileRow>, Option<Behind>), Error> {
    let listing = database.query(move |work| {
        packages::get_in(work, &package)?;
        let (path, name, number) = behind.clone().unwrap_or_default();
        let sql = format!(
            "SELECT {COLUMNS} FROM file WHERE package_id = ?1 AND (path, name, number) > (?3, ?4, ?5)
                AND (finalized_at IS NOT NULL OR ?2 = 0)
             ORDER BY path, name, number LIMIT ?6"
        );
        let rows =
            work.all(&sql, values![package.as_str(), finalized_only, path, name, number, most], FileRow::from_row)?;
        let is_full = u32::try_from(rows.len()).is_ok_and(|count| count == most);
        let next = rows.last().filter(|_| is_full).map(|last| (last.path.clone(), last.name.clone(), last.number));
        Ok::<_, Error>((rows, next))
    });
    listing.await
}

/// A package that is finalized.
pub(crate) async fn finalized_package(database: &Database, package: PackageId) -> Result<packages::Package, Error> {
    let found = packages::get(database, package).await?;
    Some(found).filter(|found| found.state == PackageState::Finalized).or_not_found("package")
}

/// The paths of a package's files whose content is known to be gone, in order.
pub(crate) async fn lost(database: &Database, package: PackageId) -> Result<Vec<String>, Error> {
    let listing = database.query(move |work| {
        let sql = "SELECT CASE path WHEN '' THEN name ELSE path || '/' || name END FROM file
             WHERE package_id = ?1 AND lost_at IS NOT NULL AND finalized_at IS NOT NULL ORDER BY path, name, number";
        Ok::<_, Error>(work.all(sql, values![package.as_str()], |row| row.get(0))?)
    });
    listing.await
}

/// Records the id of a file's multipart upload in the bucket; returns the one that it replaces.
pub(crate) async fn set_upload(
    database: &Database,
    package: PackageId,
    file: FileRow,
    upload: MultipartId,
) -> Result<Option<MultipartId>, Error> {
    let setting = database.transact(move |work| {
        packages::lock(work, &package)?;
        packages::touch(work, &package, crate::clock::now())?;
        // Not as it was when the caller asked: another process may have begun it since.
        let sql = "SELECT upload FROM file WHERE number = ?1";
        let known = work.one(sql, values![file.number], |row| row.maybe_text::<MultipartId>(0))?.flatten();
        if known.as_ref() == Some(&upload) {
            return Ok::<_, Error>(None);
        }
        let sql = "UPDATE file SET upload = ?2 WHERE number = ?1 AND finalized_at IS NULL";
        work.run(sql, values![file.number, upload.as_str()])?;
        Ok(known)
    });
    setting.await
}

/// Records the CRC-32 of a complete file, computed while it was read.
pub(crate) async fn set_crc(database: &Database, file: &FileRow, crc: u32) -> Result<(), Error> {
    let number = file.number;
    let setting = database.transact(move |work| {
        work.run("UPDATE file SET crc = ?2 WHERE number = ?1", values![number, crc])?;
        Ok::<_, Error>(())
    });
    setting.await
}

/// Records the MD5 of a complete file, computed while it was read.
pub(crate) async fn set_md5(database: &Database, file: &FileRow, md5: [u8; 16]) -> Result<(), Error> {
    let number = file.number;
    let setting = database.transact(move |work| {
        work.run("UPDATE file SET md5 = ?2 WHERE number = ?1", values![number, md5])?;
        Ok::<_, Error>(())
    });
    setting.await
}

/// Complete files of a package around one of them, by path, nearest first: those behind it, or those before it.
pub(crate) async fn around(
    database: &Database,
    package: PackageId,
    file: &FileRow,
    behind: bool,
    most: u32,
) -> Result<Vec<FileRow>, Error> {
    let (path, name, number) = (file.path.clone(), file.name.clone(), file.number);
    let listing = database.query(move |work| {
        let (side, order) = if behind { (">", "ASC") } else { ("<", "DESC") };
        let sql = format!(
            "SELECT {COLUMNS} FROM file WHERE package_id = ?1 AND (path, name, number) {side} (?2, ?3, ?4)
                AND finalized_at IS NOT NULL
             ORDER BY path {order}, name {order}, number {order} LIMIT ?5"
        );
        Ok::<_, Error>(work.all(&sql, values![package.as_str(), path, name, number, most], FileRow::from_row)?)
    });
    listing.await
}

/// Whether the content of any file is in a bucket.
pub(crate) async fn any_in_bucket(database: &Database) -> Result<bool, Error> {
    let asking = database.query(|work| {
        let sql = "SELECT EXISTS (SELECT 1 FROM file JOIN package ON package.id = file.package_id
             WHERE in_bucket = 1 AND (state != 'expired' OR trashed_at IS NOT NULL))";
        Ok::<_, Error>(work.value(sql, values![])?)
    });
    asking.await
}

/// The row of a file in the bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InBucket {
    /// Whether it is complete.
    pub finalized: bool,
    /// Its multipart upload, if that is known.
    pub upload: Option<MultipartId>,
}

/// What the rows know of each of these files; nothing where there is no such file, or the content of its package was removed.
pub(crate) async fn in_bucket(database: &Database, files: Vec<FileId>) -> Result<Vec<Option<InBucket>>, Error> {
    let asking = database.query(move |work| {
        let sql = "SELECT file.finalized_at IS NOT NULL, upload FROM file JOIN package ON package.id = file.package_id
             WHERE file.id = ?1 AND in_bucket = 1 AND (state != 'expired' OR trashed_at IS NOT NULL)";
        let found = files.iter().map(|file| {
            work.one(sql, values![file.as_str()], |row| {
                Ok(InBucket { finalized: row.get(0)?, upload: row.maybe_text(1)? })
            })
        });
        Ok::<_, Error>(found.collect::<Result<_, _>>()?)
    });
    asking.await
}

/// Of files that are on the disk, and of files whose sender has asked where parts for the bucket go.
const HAS_PARTS: &str = "(upload IS NOT NULL OR EXISTS (SELECT 1 FROM part WHERE key > file.number * 16384 AND key < (file.number + 1) * 16384))";

/// How many files of a package have parts but are not finalized.
pub(super) fn unfinished(work: &Work<'_>, package: &PackageId) -> Result<u64, Error> {
    let sql = format!("SELECT count(*) FROM file WHERE package_id = ?1 AND finalized_at IS NULL AND {HAS_PARTS}");
    Ok(work.value(&sql, values![package.as_str()])?)
}

/// Removes the files of a package that were announced and never started: their sender does not know them, the response
/// to the announcement was lost.
pub(super) fn remove_never_started(work: &Work<'_>, package: &PackageId) -> Result<(), Error> {
    work.run("DELETE FROM file WHERE package_id = ?1 AND finalized_at IS NULL", values![package.as_str()])?;
    Ok(())
}
