//! Files are finalized.

use masv_db::{Database, Row, Work, values};
use masv_protocol::{FileId, ListedPart, PackageId};
use md5::{Digest, Md5};

use super::super::packages;
use super::super::{Error, multipart_complete, quotas, restrictions};
use super::announce::open_package;
use super::parts::{PARTS, remove_parts_of, store_part_in};
use super::{FileRow, get_in};
use crate::clock::now;
use crate::stored::{Arrived, Leftovers, PartName, StoredPart};

/// The actual properties of a file.
#[derive(Debug, Clone)]
pub(crate) struct Content {
    pub size: u64,
    pub etag: String,
    pub crc: Option<u32>,
    pub md5: Option<[u8; 16]>,
}

/// Closes a file whose parts came through the hub: exactly the listed ones, from 1 on without a gap, become its content.
/// Closing it again changes nothing. Returns the parts that are on the disk but not listed.
pub(crate) async fn finalize(
    database: &Database,
    (package, id): (PackageId, FileId),
    listed: Vec<ListedPart>,
    size: Option<u64>,
) -> Result<(FileRow, Leftovers), Error> {
    let finalizing = database.transact(move |work| {
        let file = get_in(work, &package, &id)?;
        if file.finalized {
            return Ok((file, Leftovers::default()));
        }
        let content = joined(work, &file, listed.clone(), size)?;
        let last = i64::try_from(listed.len()).unwrap_or(PARTS);
        let unlisted = remove_parts_of(work, &package, &file, file.number * PARTS + last)?;
        Ok((close_in(work, &package, &file, &content)?, Leftovers { parts: unlisted, files: Vec::new() }))
    });
    finalizing.await
}

/// Notes the only part of a file, which has arrived, and closes the file with it. Doing it again changes nothing. Returns what
/// is not needed any more.
pub(crate) async fn take_whole(database: &Database, part: PartName, arrived: Arrived) -> Result<Leftovers, Error> {
    let taking = database.transact(move |work| {
        let before = get_in(work, &part.package, &part.file)?;
        if before.in_bucket {
            return Err(Error::Conflict("the content of the file goes to the bucket".to_owned()));
        }
        let mut leftovers = Leftovers::part(&part, store_part_in(work, &part, &arrived)?);
        if !before.finalized {
            let only = ListedPart { number: part.number, etag: hex::encode(arrived.md5) };
            let content = joined(work, &before, vec![only], Some(arrived.size))?;
            let last = before.number * PARTS + i64::from(part.number);
            leftovers.parts.extend(remove_parts_of(work, &part.package, &before, last)?);
            close_in(work, &part.package, &before, &content)?;
        }
        Ok(leftovers)
    });
    taking.await
}

/// The result of the listed parts.
fn joined(work: &Work<'_>, file: &FileRow, mut listed: Vec<ListedPart>, size: Option<u64>) -> Result<Content, Error> {
    let first = file.number * PARTS;
    let sql = "SELECT key - ?1, size, md5, crc FROM part WHERE key > ?1 AND key < ?2 ORDER BY key";
    let rows = work.all(sql, values![first, first + PARTS], |row: &Row<'_>| {
        let md5: [u8; 16] = row.get(2)?;
        let stored = StoredPart { number: row.get(0)?, size: row.get(1)?, etag: hex::encode(md5) };
        Ok((stored, (md5, row.get::<u32>(3)?)))
    })?;
    let (stored, sums): (Vec<StoredPart>, Vec<([u8; 16], u32)>) = rows.into_iter().unzip();
    let total = multipart_complete::compare(&mut listed, &stored)?;
    multipart_complete::check_size(total, size.unwrap_or(file.size))?;
    let last = listed.len();
    let (mut digests, mut whole) = (Md5::new(), crc32fast::Hasher::new());
    for (part, (md5, crc)) in stored.iter().zip(&sums).take(last) {
        digests.update(md5);
        whole.combine(&crc32fast::Hasher::new_with_initial_len(*crc, part.size));
    }
    let etag = format!("{}-{last}", hex::encode(digests.finalize()));
    // That of the only part is that of the whole; of more it takes reading them.
    let md5 = sums.first().filter(|_| last == 1).map(|(md5, _)| *md5);
    Ok(Content { size: total, etag, crc: Some(whole.finalize()), md5 })
}

fn check_close_in(work: &Work<'_>, package: &PackageId, file: &FileRow, size: u64) -> Result<(), Error> {
    if file.sized && size > file.size {
        return Err(Error::InvalidSize { total: size, said: file.size });
    }
    if let Some(taken) = open_package(work, package)? {
        restrictions::check_file(&taken, &file.name, size)?;
        let package = packages::get_in(work, package)?;
        restrictions::check_package(&taken, package.file_count + 1, package.size.saturating_add(size))?;
    }
    quotas::check_excess(work, package, file, || Ok(size))
}

/// Refuses to finalize a file of `size` bytes if that exceeds the limits of its portal or its team.
pub(crate) async fn check_close(
    database: &Database,
    package: PackageId,
    file: FileRow,
    size: u64,
) -> Result<(), Error> {
    database.query(move |work| check_close_in(work, &package, &file, size)).await
}

/// Records that a file is complete, and its properties, unless it already was, or that exceeds what its portal or its team may
/// have.
pub(crate) async fn close(
    database: &Database,
    (package, id): (PackageId, FileId),
    content: Content,
) -> Result<FileRow, Error> {
    let closing = database.transact(move |work| {
        let known = get_in(work, &package, &id)?;
        if known.finalized { Ok(known) } else { close_in(work, &package, &known, &content) }
    });
    closing.await
}

fn close_in(work: &Work<'_>, package: &PackageId, file: &FileRow, content: &Content) -> Result<FileRow, Error> {
    check_close_in(work, package, file, content.size)?;
    let now = now();
    work.run(
        "UPDATE file SET finalized_at = ?2, etag = ?3, size = ?4, crc = ?5, md5 = ?6, upload = NULL WHERE number = ?1",
        values![file.number, now, content.etag, content.size, content.crc, content.md5],
    )?;
    work.run(
        "UPDATE package SET size = size + ?2, file_count = file_count + 1, updated_at = ?3 WHERE id = ?1",
        values![package.as_str(), content.size, now],
    )?;
    get_in(work, package, &file.id)
}
