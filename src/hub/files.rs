//! Files of packages and the parts they are made of.

use base64::Engine;
use md5::{Digest, Md5};
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::{Value, json};

use super::error::Refusal;
use super::packages;
use super::restrictions::Restrictions;
use super::storage::{Arrived, Disk, Kept, PartName, Piece, Source};
use super::wire::time;

/// Part keys are `number of the file * PARTS + number of the part`.
const PARTS: i64 = 16_384;

/// A file to be announced.
#[derive(Debug, Clone)]
pub(super) struct NewFile {
    pub id: String,
    pub package: String,
    pub directory: bool,
    pub path: String,
    pub name: String,
    pub size: u64,
    pub last_modified: i64,
}

/// A file that was announced.
#[derive(Debug, Clone)]
pub(super) struct FileRow {
    pub id: String,
    pub kind: String,
    pub path: String,
    pub name: String,
    pub size: u64,
    pub last_modified: i64,
    pub finalized: bool,
    pub etag: Option<String>,
    pub crc: u32,
    number: i64,
}

const COLUMNS: &str = "id, kind, path, name, size, last_modified, finalized_at IS NOT NULL, etag, number, crc";

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
            crc: row.get::<_, Option<u32>>(9)?.unwrap_or_default(),
        })
    }

    /// As the protocol shows it.
    pub(super) fn json(&self) -> Value {
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
/// begins anew. The parts of that are to be removed from the storage.
pub(super) fn insert(connection: &Connection, file: &NewFile, now: i64) -> Result<Vec<(PartName, String)>, Refusal> {
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
    let mut removed = Vec::new();
    for id in abandoned {
        removed.extend(delete(connection, &file.package, &id)?);
    }
    let mut statement = connection.prepare_cached(
        "INSERT INTO file (id, package_id, kind, path, name, size, last_modified, finalized_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    statement.execute(params![
        file.id,
        file.package,
        if file.directory { "directory" } else { "file" },
        file.path,
        file.name,
        i64::try_from(file.size).map_err(|_| Refusal::invalid("size is too large"))?,
        file.last_modified,
        file.directory.then_some(now),
    ])?;
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
pub(super) fn get(connection: &Connection, package: &str, id: &str) -> Result<FileRow, Refusal> {
    let mut statement =
        connection.prepare_cached(&format!("SELECT {COLUMNS} FROM file WHERE id = ?2 AND package_id = ?1"))?;
    statement.query_row([package, id], FileRow::from_row).optional()?.ok_or_else(|| Refusal::not_found("file"))
}

/// All files of a package, by path.
pub(super) fn list(connection: &Connection, package: &str, finalized_only: bool) -> Result<Vec<FileRow>, Refusal> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM file WHERE package_id = ?1 AND (finalized_at IS NOT NULL OR NOT ?2)
         ORDER BY path, name, number"
    ))?;
    let rows = statement.query_map(params![package, finalized_only], FileRow::from_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Notes a part that has arrived; returns the place of the one it replaces, if that is in the storage.
pub(super) fn store_part(
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
    Ok(old.and_then(|(_, place)| place))
}

/// A part as its sender lists it.
#[derive(Debug, Clone)]
pub(super) struct ListedPart {
    pub number: u32,
    pub etag: String,
}

/// Closes a file: exactly the listed parts, from 1 on without a gap, become its content. Closing it again changes
/// nothing. Returns the parts that are in the storage but not listed.
pub(super) fn finalize(
    connection: &Connection,
    package: &str,
    id: &str,
    mut listed: Vec<ListedPart>,
    size: Option<u64>,
    now: i64,
) -> Result<(FileRow, Vec<(PartName, String)>), Refusal> {
    let file = get(connection, package, id)?;
    if file.finalized {
        return Ok((file, Vec::new()));
    }
    let restrictions = open_package(connection, package)?;
    listed.sort_by_key(|part| part.number);
    let first = file.number * PARTS;
    let mut statement = connection.prepare_cached(
        "SELECT key - ?1, size, md5, place, crc FROM part WHERE key > ?1 AND key < ?1 + ?2 ORDER BY key",
    )?;
    let mut rows = statement.query(params![first, PARTS])?;
    let (mut total, mut last, mut digests, mut unlisted) = (0u64, 0u32, Md5::new(), Vec::new());
    let mut crc = crc32fast::Hasher::new();
    while let Some(row) = rows.next()? {
        let number: u32 = row.get(0)?;
        let Some(part) = listed.get(last as usize) else {
            if let Some(place) = row.get(3)? {
                unlisted.push((PartName { package: package.into(), file: id.into(), number }, place));
            }
            continue;
        };
        if part.number != last + 1 || number != last + 1 {
            break;
        }
        let (bytes, md5): (i64, [u8; 16]) = (row.get(1)?, row.get(2)?);
        if !same_etag(&part.etag, &md5) {
            let message = format!("part {number} does not have the ETag that was listed for it");
            return Err(Refusal::new(axum::http::StatusCode::BAD_REQUEST, "invalid_part", message));
        }
        let bytes = u64::try_from(bytes).unwrap_or_default();
        crc.combine(&crc32fast::Hasher::new_with_initial_len(row.get(4)?, bytes));
        total += bytes;
        digests.update(md5);
        last = number;
    }
    if last as usize != listed.len() || last == 0 {
        let message = match listed.len() {
            0 => "no parts are listed".to_owned(),
            _ => format!("part {} is missing, or listed twice or out of order", last + 1),
        };
        return Err(Refusal::new(axum::http::StatusCode::BAD_REQUEST, "invalid_part", message));
    }
    let size = size.unwrap_or(file.size);
    if total != size {
        let message = format!("the parts have {total} bytes, the file {size}");
        return Err(Refusal::new(axum::http::StatusCode::BAD_REQUEST, "invalid_size", message));
    }
    let etag = format!("{}-{last}", hex::encode(digests.finalize()));
    let total = i64::try_from(total).map_err(|_| Refusal::invalid("the file is too large"))?;
    connection
        .prepare_cached("DELETE FROM part WHERE key > ?1 + ?2 AND key < ?1 + ?3")?
        .execute(params![first, last, PARTS])?;
    connection
        .prepare_cached("UPDATE file SET finalized_at = ?2, etag = ?3, size = ?4, crc = ?5 WHERE number = ?1")?
        .execute(params![file.number, now, etag, total, crc.finalize()])?;
    connection
        .prepare_cached(
            "UPDATE package SET size = size + ?2, file_count = file_count + 1, updated_at = ?3 WHERE id = ?1",
        )?
        .execute(params![package, total, now])?;
    if let Some(restrictions) = restrictions {
        restrictions.check_file(&file.name, size)?;
        let package = packages::get(connection, package)?;
        restrictions.check_package(package.file_count, package.size)?;
    }
    Ok((get(connection, package, id)?, unlisted))
}

/// Forgets a file of a package that is not finalized; returns its parts in the storage.
pub(super) fn delete(connection: &Connection, package: &str, id: &str) -> Result<Vec<(PartName, String)>, Refusal> {
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
    Ok(places)
}

/// All parts of a package that are in the storage, and where.
pub(super) fn places(connection: &Connection, package: &str) -> Result<Vec<(PartName, String)>, Refusal> {
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

/// Forgets all parts of a package.
pub(super) fn remove_parts(connection: &Connection, package: &str) -> Result<(), Refusal> {
    let numbers: Vec<i64> = connection
        .prepare_cached("SELECT number FROM file WHERE package_id = ?1")?
        .query_map([package], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut statement = connection.prepare_cached("DELETE FROM part WHERE key > ?1 AND key < ?1 + ?2")?;
    for number in numbers {
        statement.execute(params![number * PARTS, PARTS])?;
    }
    Ok(())
}

const HAS_PARTS: &str =
    "EXISTS (SELECT 1 FROM part WHERE key > file.number * 16384 AND key < (file.number + 1) * 16384)";

/// How many files of a package have parts but are not finalized.
pub(super) fn unfinished(connection: &Connection, package: &str) -> Result<u64, Refusal> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT count(*) FROM file WHERE package_id = ?1 AND finalized_at IS NULL AND {HAS_PARTS}"
    ))?;
    let count: i64 = statement.query_row([package], |row| row.get(0))?;
    Ok(u64::try_from(count).unwrap_or_default())
}

/// Forgets the files of a package that were announced and never begun: their sender does not know them, the answer
/// to the announcement was lost.
pub(super) fn remove_never_started(connection: &Connection, package: &str) -> Result<(), Refusal> {
    let mut statement = connection.prepare_cached("DELETE FROM file WHERE package_id = ?1 AND finalized_at IS NULL")?;
    statement.execute([package])?;
    Ok(())
}

/// What a file is made of, to be read.
pub(super) fn pieces(
    connection: &Connection,
    disk: &Disk,
    package: &str,
    file: &FileRow,
) -> Result<Vec<Piece>, Refusal> {
    let first = file.number * PARTS;
    let mut statement =
        connection.prepare_cached("SELECT key, size, place FROM part WHERE key > ?1 AND key < ?1 + ?2 ORDER BY key")?;
    let rows = statement.query_map(params![first, PARTS], |row| {
        let (key, size, place): (i64, i64, Option<String>) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let number = u32::try_from(key - first).unwrap_or_default();
        let source = match place {
            Some(place) => {
                Source::Disk(disk.path(&PartName { package: package.into(), file: file.id.clone(), number }, &place))
            }
            None => Source::Database(key),
        };
        Ok(Piece { size: u64::try_from(size).unwrap_or_default(), source })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The bytes of a small part.
pub(super) fn small_part(connection: &Connection, key: i64) -> Result<Vec<u8>, Refusal> {
    let mut statement = connection.prepare_cached("SELECT content FROM part WHERE key = ?1")?;
    let content: Option<Option<Vec<u8>>> = statement.query_row([key], |row| row.get(0)).optional()?;
    content.flatten().ok_or_else(|| Refusal::not_found("part"))
}

/// Whether an ETag, with or without quotes, in any case, names these bytes.
fn same_etag(etag: &str, md5: &[u8; 16]) -> bool {
    let bare = etag.trim().trim_start_matches("W/").trim_matches('"');
    let mut bytes = [0; 16];
    hex::decode_to_slice(bare, &mut bytes).is_ok() && bytes == *md5
}

/// The MD5 out of a `Content-MD5` header.
pub(super) fn content_md5(header: &str) -> Option<[u8; 16]> {
    base64::engine::general_purpose::STANDARD.decode(header.trim()).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn etags_compare_whatever_their_dress() {
        let md5 = [0xab; 16];
        let bare = "ab".repeat(16);
        for etag in [bare.clone(), format!("\"{bare}\""), bare.to_uppercase(), format!(" \"{bare}\" ")] {
            assert!(same_etag(&etag, &md5), "{etag}");
        }
        assert!(!same_etag("", &md5));
        assert!(!same_etag(&bare[2..], &md5));
        assert_eq!(content_md5("q6urq6urq6urq6urq6urqw=="), Some(md5));
        assert_eq!(content_md5("abc"), None);
    }
}
