//! The parts of files on disk and in the database.

use masv_db::{Database, Row, Work, values};
use masv_protocol::{FileId, MultipartId, PackageId, Restrictions};

use super::super::{Error, OrNotFound, packages, quotas, restrictions};
use super::announce::{check_announced, open_package};
use super::{FileRow, get_in};
use crate::clock::now;
use crate::stored::{Arrived, BucketFile, Kept, PartName};

/// Part keys are `number of the file * PARTS + number of the part`.
pub(in crate::records) const PARTS: i64 = 16_384;

/// Records a part that has arrived; returns the place of the one that is no longer needed, if that is on disk.
pub(crate) async fn store_part(database: &Database, part: PartName, arrived: Arrived) -> Result<Option<String>, Error> {
    database.transact(move |work| store_part_in(work, &part, &arrived)).await
}

pub(super) fn store_part_in(work: &Work<'_>, part: &PartName, arrived: &Arrived) -> Result<Option<String>, Error> {
    let file = get_in(work, &part.package, &part.file)?;
    let key = file.number * PARTS + i64::from(part.number);
    let read = |row: &Row<'_>| Ok((row.get::<[u8; 16]>(0)?, row.get::<Option<String>>(1)?));
    let old = work.one("SELECT md5, place FROM part WHERE key = ?1", values![key], read)?;
    let (place, content) = match &arrived.kept {
        Kept::OnDisk(place) => (Some(place), None),
        Kept::Here(content) => (None, Some(content)),
    };
    if file.finalized {
        // The response to this part was lost and its file finalized meanwhile: the bytes are already there.
        return match old {
            Some((md5, _)) if md5 == arrived.md5 => Ok(place.cloned()),
            _ => Err(Error::Conflict("the file is finalized".to_owned())),
        };
    }
    work.run(
        "INSERT INTO part (key, size, md5, crc, place, content) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (key) DO UPDATE SET size = excluded.size, md5 = excluded.md5, crc = excluded.crc,
            place = excluded.place, content = excluded.content",
        values![key, arrived.size, arrived.md5, arrived.crc, place, content],
    )?;
    packages::touch(work, &part.package, now())?;
    book(work, &part.package, &file)?;
    Ok(old.and_then(|(_, place)| place))
}

/// Refuses what is stored of a file beyond what it was announced with. One that was announced without its size has what is stored of
/// it, as far as its team and its portal allow.
fn book(work: &Work<'_>, package: &PackageId, file: &FileRow) -> Result<(), Error> {
    let stored = stored_bytes(work, file, &[])?;
    if stored <= file.size {
        return Ok(());
    }
    if file.sized {
        return Err(Error::BeyondAnnounced { announced: file.size });
    }
    work.run("UPDATE file SET size = ?2 WHERE number = ?1", values![file.number, stored])?;
    quotas::check(work, package)?;
    let taken = open_package(work, package)?;
    if let Some(taken) = &taken {
        restrictions::check_file(taken, &file.name, stored)?;
    }
    check_announced(work, package, taken.as_ref())
}

/// Bytes of a file's parts that have arrived, but for these.
fn stored_bytes(work: &Work<'_>, file: &FileRow, without: &[u32]) -> Result<u64, Error> {
    let sql = "SELECT CAST(coalesce(sum(size), 0) AS BIGINT) FROM part WHERE key > ?1 AND key < ?2
         AND instr(?3, ',' || (key - ?1) || ',') = 0";
    let first = file.number * PARTS;
    let without: String = without.iter().map(|number| format!(",{number}")).collect::<String>() + ",";
    Ok(work.value(sql, values![first, first + PARTS, without])?)
}

/// How many bytes a part may have beside the other parts of its file: those that are stored, and those `in_flight`. Refuses one for
/// which there is no room at all, or not for the `wanted` bytes that it is to have.
pub(crate) async fn room(
    database: &Database,
    part: PartName,
    wanted: Option<u64>,
    in_flight: Vec<(u32, u64)>,
) -> Result<u64, Error> {
    let checking = database.query(move |work| {
        let file = get_in(work, &part.package, &part.file)?;
        let others = stored_bytes(work, &file, &[part.number])?;
        let taken = if file.sized { None } else { open_package(work, &part.package)? };
        let whole = if file.sized { file.size } else { may_grow_to(work, &part.package, &file, taken.as_ref())? };
        let room = whole.saturating_sub(others);
        let wanted = wanted.unwrap_or_default();
        if wanted > room && file.sized {
            return Err(Error::BeyondAnnounced { announced: file.size });
        }
        if wanted > room {
            if let Some(taken) = &taken {
                // What the portal does not accept will never fit; what the team's quota has no room for may.
                let size = others.saturating_add(wanted);
                restrictions::check_file(taken, &file.name, size)?;
                let others = reserved(work, &part.package)?.saturating_sub(file.size);
                restrictions::check_package(taken, 0, others.saturating_add(size))?;
            }
            return Err(quotas::exceeded(
                work,
                &part.package,
                others.saturating_add(wanted).saturating_sub(file.size),
            )?);
        }
        // Parts that replace others count with what they will have.
        let mut numbers: Vec<u32> = in_flight.iter().map(|(number, _)| *number).collect();
        numbers.push(part.number);
        let stored = stored_bytes(work, &file, &numbers)?;
        let coming = in_flight.iter().fold(0_u64, |sum, (_, bytes)| sum.saturating_add(*bytes));
        let left = whole.saturating_sub(stored).saturating_sub(coming);
        if wanted > left || (left == 0 && room > 0) { Err(Error::InFlight) } else { Ok(left.min(room)) }
    });
    checking.await
}

/// How large a file announced without a size may become.
pub(super) fn may_grow_to(
    work: &Work<'_>,
    package: &PackageId,
    file: &FileRow,
    taken: Option<&Restrictions>,
) -> Result<u64, Error> {
    let left = quotas::left(work, package)?.saturating_add(file.size);
    let Some(taken) = taken.filter(|taken| taken.package_size_restriction_enabled) else { return Ok(left) };
    let others = reserved(work, package)?.saturating_sub(file.size);
    let bounds = [(taken.max_file_size, 0), (taken.max_package_size, others)];
    let bounds = bounds.into_iter().filter(|(most, _)| *most > 0).map(|(most, without)| most.saturating_sub(without));
    Ok(bounds.fold(left, u64::min))
}

/// Bytes that count for a package: stored or announced.
fn reserved(work: &Work<'_>, package: &PackageId) -> Result<u64, Error> {
    Ok(work.value("SELECT reserved FROM package WHERE id = ?1", values![package.as_str()])?)
}

/// Removes a file's parts beyond a key; returns those on disk, and where.
pub(super) fn remove_parts_of(
    work: &Work<'_>,
    package: &PackageId,
    file: &FileRow,
    beyond: i64,
) -> Result<Vec<(PartName, String)>, Error> {
    let first = file.number * PARTS;
    let sql = "SELECT key - ?1, place FROM part WHERE key > ?2 AND key < ?3 AND place IS NOT NULL";
    let places = work.all(sql, values![first, beyond, first + PARTS], |row| {
        let name = PartName { package: package.clone(), file: file.id.clone(), number: row.get(0)? };
        Ok((name, row.get(1)?))
    })?;
    work.run("DELETE FROM part WHERE key > ?1 AND key < ?2", values![beyond, first + PARTS])?;
    Ok(places)
}

/// All parts of a package that are on the disk, and where; `None` when there is no such package
/// any more, not in the trash either.
pub(crate) async fn known_parts(
    database: &Database,
    package: PackageId,
) -> Result<Option<Vec<(PartName, String)>>, Error> {
    let listing = database.query(move |work| {
        let there = "SELECT EXISTS (SELECT 1 FROM package WHERE id = ?1)";
        if !work.value::<bool>(there, values![package.as_str()])? {
            return Ok::<_, Error>(None);
        }
        let sql = "SELECT file.id, part.key - file.number * 16384, part.place FROM file JOIN part
             ON part.key > file.number * 16384 AND part.key < (file.number + 1) * 16384
             WHERE file.package_id = ?1 AND part.place IS NOT NULL";
        let parts = work.all(sql, values![package.as_str()], |row| {
            let (file, number): (FileId, u32) = (row.text(0)?, row.get(1)?);
            Ok((PartName { package: package.clone(), file, number }, row.get(2)?))
        })?;
        Ok(Some(parts))
    });
    listing.await
}

/// A part of a finalized file that is on the disk.
#[derive(Debug, Clone)]
pub(crate) struct DiskPart {
    pub name: PartName,
    pub place: String,
    pub size: u64,
}

/// The parts of these files of a package that are on the disk, file by file in order, each with the index of its file.
pub(crate) async fn disk_parts(
    database: &Database,
    package: PackageId,
    files: &[FileRow],
) -> Result<Vec<(usize, DiskPart)>, Error> {
    let files: Vec<(FileId, i64)> = files.iter().map(|file| (file.id.clone(), file.number * PARTS)).collect();
    let listing = database.query(move |work| {
        let sql =
            "SELECT key - ?1, place, size FROM part WHERE key > ?1 AND key < ?2 AND place IS NOT NULL ORDER BY key";
        let mut found = Vec::new();
        for (index, (file, first)) in files.iter().enumerate() {
            found.extend(work.all(sql, values![*first, first + PARTS], |row| {
                let name = PartName { package: package.clone(), file: file.clone(), number: row.get(0)? };
                Ok((index, DiskPart { name, place: row.get(1)?, size: row.get(2)? }))
            })?);
        }
        Ok::<_, Error>(found)
    });
    listing.await
}

/// Forgets all parts of a package; returns its files whose uploads to the bucket are not complete.
pub(in crate::records) fn remove_parts(work: &Work<'_>, package: &PackageId) -> Result<Vec<BucketFile>, Error> {
    let numbers: Vec<i64> =
        work.all("SELECT number FROM file WHERE package_id = ?1", values![package.as_str()], |row| row.get(0))?;
    for number in numbers {
        let first = number * PARTS;
        work.run("DELETE FROM part WHERE key > ?1 AND key < ?2", values![first, first + PARTS])?;
    }
    let sql = "SELECT id, upload FROM file WHERE package_id = ?1 AND upload IS NOT NULL";
    Ok(work.all(sql, values![package.as_str()], |row| {
        let upload = row.maybe_text::<MultipartId>(1)?;
        Ok(BucketFile { package: package.clone(), file: row.text(0)?, upload })
    })?)
}

/// A part of a file on the disk or in the database.
#[derive(Debug, Clone)]
pub(crate) struct PieceRow {
    pub size: u64,
    pub source: PieceSource,
}

/// Where its bytes are.
#[derive(Debug, Clone)]
pub(crate) enum PieceSource {
    /// On the disk: its number, and the place.
    Disk(u32, String),
    /// In the database, under this key.
    Database(i64),
}

/// The parts of a file that is not in a bucket, in order.
pub(crate) async fn pieces(database: &Database, file: &FileRow) -> Result<Vec<PieceRow>, Error> {
    let first = file.number * PARTS;
    let listing = database.query(move |work| {
        let sql = "SELECT key, key - ?1, size, place FROM part WHERE key > ?1 AND key < ?2 ORDER BY key";
        Ok::<_, Error>(work.all(sql, values![first, first + PARTS], |row| {
            let source = match row.get(3)? {
                Some(place) => PieceSource::Disk(row.get(1)?, place),
                None => PieceSource::Database(row.get(0)?),
            };
            Ok(PieceRow { size: row.get(2)?, source })
        })?)
    });
    listing.await
}

/// The bytes of a small part.
pub(crate) async fn small_part(database: &Database, key: i64) -> Result<Vec<u8>, Error> {
    let reading = database.query(move |work| {
        let content: Option<Option<Vec<u8>>> =
            work.one("SELECT content FROM part WHERE key = ?1", values![key], |row| row.get(0))?;
        content.flatten().or_not_found("part")
    });
    reading.await
}
