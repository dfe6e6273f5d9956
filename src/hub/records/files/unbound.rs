//! Files of portals that are being sent to the bucket by addresses that do not bind the length of their parts.

use masv_db::{Database, Work, values};
use masv_protocol::{FileId, MultipartId, PackageId};

use super::super::{Error, packages};
use super::announce::open_package;
use super::parts::may_grow_to;
use super::{FileRow, get_in};

/// Such a file.
#[derive(Debug, Clone)]
pub(crate) struct Unbound {
    pub package: PackageId,
    pub id: FileId,
    pub upload: MultipartId,
    /// Bytes that it may have.
    pub most: u64,
}

/// Most files that are looked at in a round.
const AT_ONCE: u32 = 1000;

/// All of them.
pub(crate) async fn unbound(database: &Database) -> Result<Vec<Unbound>, Error> {
    let listing = database.query(|work| {
        let sql = "SELECT file.package_id, file.id, file.upload FROM file JOIN package ON package.id = file.package_id
             WHERE package.state = 'new' AND package.removed = 0 AND package.received = 1 AND file.in_bucket = 1
                AND file.finalized_at IS NULL AND file.upload IS NOT NULL AND (file.sized = 0 OR file.chunk_size IS NULL)
             LIMIT ?1";
        let found: Vec<(PackageId, FileId, MultipartId)> =
            work.all(sql, values![AT_ONCE], |row| Ok((row.text(0)?, row.text(1)?, row.text(2)?)))?;
        let each = found.into_iter().map(|(package, id, upload)| {
            let file = get_in(work, &package, &id)?;
            Ok(Unbound { most: most(work, &package, &file)?, package, id, upload })
        });
        each.collect::<Result<_, Error>>()
    });
    listing.await
}

/// One of them, whose upload is known now.
pub(crate) async fn unbound_file(
    database: &Database,
    package: PackageId,
    file: FileRow,
    upload: MultipartId,
) -> Result<Unbound, Error> {
    let asking = database.query(move |work| {
        packages::get_in(work, &package)?;
        let most = most(work, &package, &file)?;
        Ok::<_, Error>(Unbound { package: package.clone(), id: file.id.clone(), upload: upload.clone(), most })
    });
    asking.await
}

/// Notes what the bucket has of a file that was announced without its size.
pub(crate) async fn has_stored(database: &Database, file: FileId, bytes: u64) -> Result<(), Error> {
    let noting = database.transact(move |work| {
        let sql = "UPDATE file SET size = ?2 WHERE id = ?1 AND sized = 0 AND finalized_at IS NULL AND size < ?2";
        work.run(sql, values![file.as_str(), bytes])?;
        Ok::<_, Error>(())
    });
    noting.await
}

fn most(work: &Work<'_>, package: &PackageId, file: &FileRow) -> Result<u64, Error> {
    match file.sized {
        true => Ok(file.size),
        false => may_grow_to(work, package, file, open_package(work, package)?.as_ref()),
    }
}
