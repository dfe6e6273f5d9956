//! What must be in the storage for the files of a package, and which of them are known to be lost.

use masv_db::{Database, values};
use masv_protocol::{FileId, PackageId};

use super::parts::PARTS;
use crate::clock::now;
use crate::records::Error;
use crate::stored::PartName;

/// A file of which content must be there.
#[derive(Debug, Clone)]
pub(crate) struct ExpectedFile {
    pub id: FileId,
    /// With its folders.
    pub path: String,
    pub size: u64,
    pub lost: bool,
    pub kept: Kept,
}

/// Where its content must be.
#[derive(Debug, Clone)]
pub(crate) enum Kept {
    /// In these parts on the disk; small ones are in the database.
    Parts(Vec<ExpectedPart>),
    /// In an object of the bucket.
    Object { etag: Option<String>, crc: Option<u32> },
}

/// A part on the disk.
#[derive(Debug, Clone)]
pub(crate) struct ExpectedPart {
    pub name: PartName,
    pub place: String,
    pub size: u64,
    pub md5: [u8; 16],
}

/// The files of a package that have content: all parts that have arrived on the disk, and what is whole in the bucket.
pub(crate) async fn expected(database: &Database, package: PackageId) -> Result<Vec<ExpectedFile>, Error> {
    let listing = database.query(move |work| {
        let sql = "SELECT number, id, path, name, size, lost_at IS NOT NULL, in_bucket, etag, crc FROM file
             WHERE package_id = ?1 AND kind = 'file' AND (in_bucket = 0 OR finalized_at IS NOT NULL) ORDER BY number";
        let files = work.all(sql, values![package.as_str()], |row| {
            let (folder, name): (String, String) = (row.get(2)?, row.get(3)?);
            let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            let kept = match row.get::<bool>(6)? {
                true => Kept::Object { etag: row.get(7)?, crc: row.get(8)? },
                false => Kept::Parts(Vec::new()),
            };
            let file = ExpectedFile { id: row.text(1)?, path, size: row.get(4)?, lost: row.get(5)?, kept };
            Ok((row.get::<i64>(0)?, file))
        })?;
        let with_parts = files.into_iter().map(|(number, mut file)| {
            if let Kept::Parts(parts) = &mut file.kept {
                let first = number * PARTS;
                let sql = "SELECT key - ?1, place, size, md5 FROM part
                     WHERE key > ?1 AND key < ?2 AND place IS NOT NULL ORDER BY key";
                *parts = work.all(sql, values![first, first + PARTS], |row| {
                    let name = PartName { package: package.clone(), file: file.id.clone(), number: row.get(0)? };
                    Ok(ExpectedPart { name, place: row.get(1)?, size: row.get(2)?, md5: row.get(3)? })
                })?;
            }
            Ok::<_, Error>(file)
        });
        with_parts.collect()
    });
    listing.await
}

/// The keys of a file's parts that are in the database, with their numbers, and the MD5 they must have.
pub(crate) async fn small_parts(
    database: &Database,
    package: PackageId,
    file: FileId,
) -> Result<Vec<(i64, u32, [u8; 16])>, Error> {
    let listing = database.query(move |work| {
        let sql = "SELECT part.key, part.key - file.number * 16384, part.md5 FROM file JOIN part
             ON part.key > file.number * 16384 AND part.key < (file.number + 1) * 16384
             WHERE file.package_id = ?1 AND file.id = ?2 AND part.place IS NULL ORDER BY part.key";
        let read = |row: &masv_db::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        Ok::<_, Error>(work.all(sql, values![package.as_str(), file.as_str()], read)?)
    });
    listing.await
}

/// Writes down of these files whether their content is gone.
pub(crate) async fn mark_lost(database: &Database, files: Vec<(FileId, bool)>) -> Result<(), Error> {
    let marking = database.transact(move |work| {
        for (file, lost) in &files {
            let sql = "UPDATE file SET lost_at = ?2 WHERE id = ?1";
            work.run(sql, values![file.as_str(), lost.then(now)])?;
        }
        Ok::<_, Error>(())
    });
    marking.await
}
