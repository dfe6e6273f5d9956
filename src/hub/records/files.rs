//! Files of packages and the parts they are made of.

use base64::Engine;
use md5::{Digest, Md5};
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::{Value, json};

use crate::error::Refusal;
use crate::http::wire::{now, time};
use crate::records::restrictions::Restrictions;
use crate::records::{packages, quotas};
use crate::storage::multipart_complete;
use crate::storage::multipart_complete::ListedPart;
use crate::storage::{Arrived, BucketFile, Kept, Leftovers, PartName, Piece, Source, Storage, StoredPart};

/// The largest file: 10,000 parts of 5 GiB, as S3 has it.
const LARGEST: u64 = 10_000 * (5 << 30);
/// Part keys are `number of the file * PARTS + number of the part`.
const PARTS: i64 = 16_384;

/// A file to be announced.
#[derive(Debug, Clone)]
pub(crate) struct NewFile {
    pub id: String,
    pub package: String,
    pub directory: bool,
    pub path: String,
    pub name: String,
    pub size: u64,
    pub last_modified: i64,
    /// Whether its content is to go to the bucket.
    pub in_bucket: bool,
}

/// A file that was announced.
#[derive(Debug, Clone)]
pub(crate) struct FileRow {
    pub id: String,
    pub kind: String,
    pub path: String,
    pub name: String,
    pub size: u64,
    pub last_modified: i64,
    pub finalized: bool,
    pub etag: Option<String>,
    /// CRC-32 of the whole, where it is known.
    pub crc: Option<u32>,
    /// Whether its content is in the bucket, or to go there.
    pub in_bucket: bool,
    /// Its multipart upload in the bucket, once that is known and until it is complete.
    pub upload: Option<String>,
    number: i64,
}

const COLUMNS: &str = "id, kind, path, name, size, last_modified, finalized_at IS NOT NULL, etag, number, crc, \
    in_bucket, upload";

impl FileRow {
    fn from_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        let size: i64 = row.get(4)?;
        Ok(Self {
            id: row.get(0)?,
            kind: row.get(1)?,
            path: row.get(2)?,
            name: row.get(3)?,
            size: u64::try_from(size).unwrap_or_default(),
            last_modified: row.get(5)?,
            finalized: row.get(6)?,
            etag: row.get(7)?,
            number: row.get(8)?,
            crc: row.get(9)?,
            in_bucket: row.get(10)?,
            upload: row.get(11)?,
        })
    }

    /// As the protocol shows it.
    pub(crate) fn json(&self) -> Value {
        json!({
            "id": self.id,
            "kind": self.kind,
            "name": self.name,
            "path": self.path,
            "size": self.size,
            "last_modified": time(Some(self.last_modified)),
            "state": if self.finalized { "finalized" } else { "new" },
            "virus_detected": false,
        })
    }
}

/// Announces a file. One of the same path and name that was announced but never finalized is forgotten: its sender
/// begins anew. What is left of that is to be removed from the storage.
pub(crate) fn insert(connection: &Connection, file: &NewFile, now: i64) -> Result<Leftovers, Refusal> {
    let restrictions = open_package(connection, &file.package)?;
    if let Some(restrictions) = &restrictions
        && !file.directory
    {
        restrictions.check_file(&file.name, file.size)?;
    }
    let abandoned: Vec<String> = connection
        .prepare_cached(
            "SELECT id FROM file WHERE package_id = ?1 AND path = ?2 AND name = ?3 AND finalized_at IS NULL",
        )?
        .query_map([&file.package, &file.path, &file.name], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut removed = Leftovers::default();
    for id in abandoned {
        let left = delete(connection, &file.package, &id)?;
        removed.parts.extend(left.parts);
        removed.files.extend(left.files);
    }
    let mut statement = connection.prepare_cached(
        "INSERT INTO file (id, package_id, kind, path, name, size, last_modified, finalized_at, in_bucket)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?;
    statement.execute(params![
        file.id,
        file.package,
        if file.directory { "directory" } else { "file" },
        file.path,
        file.name,
        i64::try_from(file.size)
            .ok()
            .filter(|_| file.size <= LARGEST)
            .ok_or_else(|| Refusal::invalid("size is too large"))?,
        file.last_modified,
        file.directory.then_some(now),
        file.in_bucket && !file.directory,
    ])?;
    packages::touch(connection, &file.package, now)?;
    quotas::check(connection, &file.package)?;
    if let Some(restrictions) = restrictions {
        let (count, size): (i64, i64) = connection
            .prepare_cached(
                "SELECT count(*), coalesce(sum(size), 0) FROM file WHERE package_id = ?1 AND kind = 'file'",
            )?
            .query_row([&file.package], |row| Ok((row.get(0)?, row.get(1)?)))?;
        restrictions.check_package(count.unsigned_abs(), size.unsigned_abs())?;
    }
    Ok(removed)
}

/// Refuses a package that takes no more files; answers what its portal restricts, if it came through one.
fn open_package(connection: &Connection, package: &str) -> Result<Option<Restrictions>, Refusal> {
    let found: Option<(String, Option<String>)> = connection
        .prepare_cached(
            "SELECT package.state, portal.restrictions FROM package
             LEFT JOIN portal ON portal.id = package.portal_id WHERE package.id = ?1",
        )?
        .query_row([package], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    match found {
        None => Err(Refusal::not_found("package")),
        Some((state, restrictions)) if state == "new" => {
            Ok(restrictions.and_then(|text| serde_json::from_str(&text).ok()))
        }
        Some((state, _)) => Err(Refusal::conflict(format!("the package is {state}"))),
    }
}

/// The file of that id in that package.
pub(crate) fn get(connection: &Connection, package: &str, id: &str) -> Result<FileRow, Refusal> {
    let mut statement =
        connection.prepare_cached(&format!("SELECT {COLUMNS} FROM file WHERE id = ?2 AND package_id = ?1"))?;
    statement.query_row([package, id], FileRow::from_row).optional()?.ok_or_else(|| Refusal::not_found("file"))
}

/// All files of a package, by path.
pub(crate) fn list(connection: &Connection, package: &str, finalized_only: bool) -> Result<Vec<FileRow>, Refusal> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM file WHERE package_id = ?1 AND (finalized_at IS NOT NULL OR NOT ?2)
         ORDER BY path, name, number"
    ))?;
    let rows = statement.query_map(params![package, finalized_only], FileRow::from_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Notes a part that has arrived; returns the place of the one it replaces, if that is in the storage.
pub(crate) fn store_part(
    connection: &Connection,
    part: &PartName,
    arrived: &Arrived,
) -> Result<Option<String>, Refusal> {
    let file = get(connection, &part.package, &part.file)?;
    let key = file.number * PARTS + i64::from(part.number);
    let old: Option<(Vec<u8>, Option<String>)> = connection
        .prepare_cached("SELECT md5, place FROM part WHERE key = ?1")?
        .query_row([key], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    if file.finalized {
        // The answer to this part was lost and its file finalized meanwhile: the bytes are there already.
        return match (old, &arrived.kept) {
            (Some((md5, _)), kept) if md5 == arrived.md5 => Ok(match kept {
                Kept::OnDisk(place) => Some(place.clone()),
                Kept::Here(_) => None,
            }),
            _ => Err(Refusal::conflict("the file is finalized")),
        };
    }
    let (place, content) = match &arrived.kept {
        Kept::OnDisk(place) => (Some(place), None),
        Kept::Here(content) => (None, Some(content)),
    };
    let mut statement = connection.prepare_cached(
        "INSERT OR REPLACE INTO part (key, size, md5, crc, place, content) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    let size = i64::try_from(arrived.size).map_err(|_| Refusal::invalid("the part is too large"))?;
    statement.execute(params![key, size, arrived.md5, arrived.crc, place, content])?;
    packages::touch(connection, &part.package, now())?;
    quotas::check_excess(connection, &part.package, &file, || stored_bytes(connection, &file, 0))?;
    Ok(old.and_then(|(_, place)| place))
}

/// Bytes of a file's parts that have arrived, but for the part `without`.
pub(crate) fn stored_bytes(connection: &Connection, file: &FileRow, without: u32) -> Result<u64, Refusal> {
    let mut statement = connection.prepare_cached(
        "SELECT coalesce(sum(size), 0) FROM part WHERE key > ?1 AND key < ?1 + ?2 AND key != ?1 + ?3",
    )?;
    let sum: i64 = statement.query_row(params![file.number * PARTS, PARTS, without], |row| row.get(0))?;
    Ok(sum.unsigned_abs())
}

/// A part that lies on the disk or in the database.
struct PartRow {
    md5: [u8; 16],
    crc: u32,
    place: Option<String>,
}

/// Closes a file whose parts came through the hub: exactly the listed ones, from 1 on without a gap, become its content.
/// Closing it again changes nothing. Returns the parts that are in the storage but not listed.
pub(crate) fn finalize(
    connection: &Connection,
    package: &str,
    id: &str,
    mut listed: Vec<ListedPart>,
    size: Option<u64>,
    now: i64,
) -> Result<(FileRow, Leftovers), Refusal> {
    let file = get(connection, package, id)?;
    if file.finalized {
        return Ok((file, Leftovers::default()));
    }
    let first = file.number * PARTS;
    let (mut stored, mut rows) = (Vec::new(), Vec::new());
    let mut statement = connection.prepare_cached(
        "SELECT key - ?1, size, md5, crc, place FROM part WHERE key > ?1 AND key < ?1 + ?2 ORDER BY key",
    )?;
    let mut found = statement.query(params![first, PARTS])?;
    while let Some(row) = found.next()? {
        let (size, md5): (i64, [u8; 16]) = (row.get(1)?, row.get(2)?);
        stored.push(StoredPart { number: row.get(0)?, size: size.unsigned_abs(), etag: hex::encode(md5) });
        rows.push(PartRow { md5, crc: row.get(3)?, place: row.get(4)? });
    }
    let total = multipart_complete::compare(&mut listed, &stored)?;
    multipart_complete::check_size(total, size.unwrap_or(file.size))?;
    let last = listed.len();
    let (mut digests, mut crc) = (Md5::new(), crc32fast::Hasher::new());
    for (part, row) in stored.iter().zip(&rows).take(last) {
        digests.update(row.md5);
        crc.combine(&crc32fast::Hasher::new_with_initial_len(row.crc, part.size));
    }
    let etag = format!("{}-{last}", hex::encode(digests.finalize()));
    let unlisted = stored.iter().zip(rows).skip(last).filter_map(|(part, row)| {
        Some((PartName { package: package.into(), file: id.into(), number: part.number }, row.place?))
    });
    let leftovers = Leftovers { parts: unlisted.collect(), files: Vec::new() };
    connection.prepare_cached("DELETE FROM part WHERE key > ?1 + ?2 AND key < ?1 + ?3")?.execute(params![
        first,
        i64::try_from(last).unwrap_or(PARTS),
        PARTS
    ])?;
    let content = Content { size: total, etag: &etag, crc: Some(crc.finalize()) };
    Ok((close(connection, package, &file, &content, now)?, leftovers))
}

/// What a file turned out to be.
pub(crate) struct Content<'a> {
    pub size: u64,
    pub etag: &'a str,
    pub crc: Option<u32>,
}

/// Refuses to close a file with `size` bytes when that goes beyond what its portal or its team may have.
pub(crate) fn check_close(connection: &Connection, package: &str, file: &FileRow, size: u64) -> Result<(), Refusal> {
    if let Some(restrictions) = open_package(connection, package)? {
        restrictions.check_file(&file.name, size)?;
        let package = packages::get(connection, package)?;
        restrictions.check_package(package.file_count + 1, package.size.saturating_add(size))?;
    }
    quotas::check_excess(connection, package, file, || Ok(size))
}

/// Writes down that a file is whole, and what it is, unless that goes beyond what its portal or its team may have.
pub(crate) fn close(
    connection: &Connection,
    package: &str,
    file: &FileRow,
    content: &Content<'_>,
    now: i64,
) -> Result<FileRow, Refusal> {
    check_close(connection, package, file, content.size)?;
    let size = i64::try_from(content.size).map_err(|_| Refusal::invalid("the file is too large"))?;
    connection
        .prepare_cached(
            "UPDATE file SET finalized_at = ?2, etag = ?3, size = ?4, crc = ?5, upload = NULL WHERE number = ?1",
        )?
        .execute(params![file.number, now, content.etag, size, content.crc])?;
    connection
        .prepare_cached(
            "UPDATE package SET size = size + ?2, file_count = file_count + 1, updated_at = ?3 WHERE id = ?1",
        )?
        .execute(params![package, size, now])?;
    get(connection, package, &file.id)
}

/// Notes the id of a file's multipart upload in the bucket; returns the one that it replaces.
pub(crate) fn set_upload(connection: &Connection, file: &FileRow, upload: &str) -> Result<Option<String>, Refusal> {
    connection
        .prepare_cached("UPDATE file SET upload = ?2 WHERE number = ?1 AND finalized_at IS NULL")?
        .execute(params![file.number, upload])?;
    Ok(file.upload.clone().filter(|before| before != upload))
}

/// Notes the CRC-32 of a whole file, learned while it was read.
pub(crate) fn set_crc(connection: &Connection, file: &FileRow, crc: u32) -> Result<(), Refusal> {
    connection.prepare_cached("UPDATE file SET crc = ?2 WHERE number = ?1")?.execute(params![file.number, crc])?;
    Ok(())
}

/// Whether a file in the bucket is whole, and its upload if that is known; nothing when there is no such file, or its
/// package is over.
pub(crate) fn upload_in_bucket(connection: &Connection, id: &str) -> Result<Option<(bool, Option<String>)>, Refusal> {
    let mut statement = connection.prepare_cached(
        "SELECT file.finalized_at IS NOT NULL, upload FROM file JOIN package ON package.id = file.package_id
         WHERE file.id = ?1 AND in_bucket AND state != 'expired'",
    )?;
    Ok(statement.query_row([id], |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
}

/// Whether the content of any file is in a bucket.
pub(crate) fn any_in_bucket(connection: &Connection) -> Result<bool, Refusal> {
    let mut statement = connection.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM file JOIN package ON package.id = file.package_id
         WHERE in_bucket AND state != 'expired')",
    )?;
    Ok(statement.query_row([], |row| row.get(0))?)
}

/// Forgets a file of a package that is not finalized; returns what it leaves in the storage.
pub(crate) fn delete(connection: &Connection, package: &str, id: &str) -> Result<Leftovers, Refusal> {
    let file = get(connection, package, id)?;
    let state: String =
        connection.prepare_cached("SELECT state FROM package WHERE id = ?1")?.query_row([package], |row| row.get(0))?;
    if state != "new" {
        return Err(Refusal::conflict(format!("the package is {state}")));
    }
    let first = file.number * PARTS;
    let places = connection
        .prepare_cached("SELECT key - ?1, place FROM part WHERE key > ?1 AND key < ?1 + ?2 AND place IS NOT NULL")?
        .query_map(params![first, PARTS], |row| {
            Ok((PartName { package: package.into(), file: id.into(), number: row.get(0)? }, row.get(1)?))
        })?
        .collect::<Result<_, _>>()?;
    connection.prepare_cached("DELETE FROM part WHERE key > ?1 AND key < ?1 + ?2")?.execute(params![first, PARTS])?;
    connection.prepare_cached("DELETE FROM file WHERE number = ?1")?.execute([file.number])?;
    if file.finalized && file.kind == "file" {
        connection
            .prepare_cached("UPDATE package SET size = size - ?2, file_count = file_count - 1 WHERE id = ?1")?
            .execute(params![package, i64::try_from(file.size).unwrap_or_default()])?;
    }
    let FileRow { in_bucket, upload, .. } = file;
    let bucket = in_bucket.then(|| BucketFile { package: package.to_owned(), file: id.to_owned(), upload });
    Ok(Leftovers { parts: places, files: bucket.into_iter().collect() })
}

/// All parts of a package that are in the storage, and where.
pub(crate) fn places(connection: &Connection, package: &str) -> Result<Vec<(PartName, String)>, Refusal> {
    let mut statement = connection.prepare_cached(
        "SELECT file.id, part.key - file.number * 16384, part.place FROM file JOIN part
         ON part.key > file.number * 16384 AND part.key < (file.number + 1) * 16384
         WHERE file.package_id = ?1 AND part.place IS NOT NULL",
    )?;
    let rows = statement.query_map([package], |row| {
        Ok((PartName { package: package.to_owned(), file: row.get(0)?, number: row.get(1)? }, row.get(2)?))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Forgets all parts of a package; returns its files whose uploads to the bucket are not complete.
pub(crate) fn remove_parts(connection: &Connection, package: &str) -> Result<Vec<BucketFile>, Refusal> {
    let numbers: Vec<i64> = connection
        .prepare_cached("SELECT number FROM file WHERE package_id = ?1")?
        .query_map([package], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut statement = connection.prepare_cached("DELETE FROM part WHERE key > ?1 AND key < ?1 + ?2")?;
    for number in numbers {
        statement.execute(params![number * PARTS, PARTS])?;
    }
    let mut statement =
        connection.prepare_cached("SELECT id, upload FROM file WHERE package_id = ?1 AND upload IS NOT NULL")?;
    let uploads = statement.query_map([package], |row| {
        Ok(BucketFile { package: package.to_owned(), file: row.get(0)?, upload: row.get(1)? })
    })?;
    Ok(uploads.collect::<Result<_, _>>()?)
}

/// Of files that are on the disk, and of files whose sender has asked where parts for the bucket go.
const HAS_PARTS: &str = "(upload IS NOT NULL OR EXISTS (SELECT 1 FROM part WHERE key > file.number * 16384 AND key < (file.number + 1) * 16384))";

/// How many files of a package have parts but are not finalized.
pub(crate) fn unfinished(connection: &Connection, package: &str) -> Result<u64, Refusal> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT count(*) FROM file WHERE package_id = ?1 AND finalized_at IS NULL AND {HAS_PARTS}"
    ))?;
    let count: i64 = statement.query_row([package], |row| row.get(0))?;
    Ok(u64::try_from(count).unwrap_or_default())
}

/// Forgets the files of a package that were announced and never begun: their sender does not know them, the answer
/// to the announcement was lost.
pub(crate) fn remove_never_started(connection: &Connection, package: &str) -> Result<(), Refusal> {
    let mut statement = connection.prepare_cached("DELETE FROM file WHERE package_id = ?1 AND finalized_at IS NULL")?;
    statement.execute([package])?;
    Ok(())
}

/// What a file is made of, to be read.
pub(crate) fn pieces(
    connection: &Connection,
    storage: &Storage,
    package: &str,
    file: &FileRow,
) -> Result<Vec<Piece>, Refusal> {
    if file.in_bucket {
        let of = BucketFile { package: package.to_owned(), file: file.id.clone(), upload: None };
        let bucket =
            storage.bucket.clone().ok_or_else(|| Refusal::internal(&"a file is in a bucket that is not set"))?;
        return Ok(vec![Piece { size: file.size, source: Source::Bucket(bucket, of) }]);
    }
    let first = file.number * PARTS;
    let mut statement =
        connection.prepare_cached("SELECT key, size, place FROM part WHERE key > ?1 AND key < ?1 + ?2 ORDER BY key")?;
    let rows = statement.query_map(params![first, PARTS], |row| {
        let (key, size, place): (i64, i64, Option<String>) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let number = u32::try_from(key - first).unwrap_or_default();
        let source = match place {
            Some(place) => Source::Disk(
                storage.disk.path(&PartName { package: package.into(), file: file.id.clone(), number }, &place),
            ),
            None => Source::Database(key),
        };
        Ok(Piece { size: u64::try_from(size).unwrap_or_default(), source })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The bytes of a small part.
pub(crate) fn small_part(connection: &Connection, key: i64) -> Result<Vec<u8>, Refusal> {
    let mut statement = connection.prepare_cached("SELECT content FROM part WHERE key = ?1")?;
    let content: Option<Option<Vec<u8>>> = statement.query_row([key], |row| row.get(0)).optional()?;
    content.flatten().ok_or_else(|| Refusal::not_found("part"))
}

/// The MD5 out of a `Content-MD5` header.
pub(crate) fn content_md5(header: &str) -> Option<[u8; 16]> {
    base64::engine::general_purpose::STANDARD.decode(header.trim()).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_header_is_read() {
        let md5 = [0xab; 16];
        assert_eq!(content_md5("q6urq6urq6urq6urq6urqw=="), Some(md5));
        assert_eq!(content_md5("abc"), None);
    }
}
