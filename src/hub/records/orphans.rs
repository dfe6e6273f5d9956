//! What lies in the bucket and no row knows. A bucket has no trash to move things into, so they stay where they are, and are
//! removed when they have been unknown for days.

use jiff::Timestamp;
use masv_db::{Database, Row, Work, values};
use masv_protocol::{FileId, MultipartId, PackageId};

use super::Error;

/// An object, or a multipart upload that is not complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Orphan {
    pub package: PackageId,
    pub file: FileId,
    /// Of a multipart upload.
    pub upload: Option<MultipartId>,
}

impl Orphan {
    fn upload(&self) -> &str {
        self.upload.as_ref().map_or("", MultipartId::as_str)
    }

    fn from_row(row: &Row<'_>) -> Result<Self, masv_db::DbError> {
        let upload: MultipartId = row.text(2)?;
        let upload = Some(upload).filter(|upload| !upload.as_str().is_empty());
        Ok(Self { package: row.text(0)?, file: row.text(1)?, upload })
    }
}

/// Notes that these were seen at `now`; returns which of them have been unknown since `known_since` or longer.
pub(crate) async fn seen(
    database: &Database,
    orphans: Vec<Orphan>,
    now: Timestamp,
    known_since: Timestamp,
) -> Result<Vec<Orphan>, Error> {
    let marking = database.transact(move |work| {
        let mut due = Vec::new();
        for orphan in &orphans {
            if mark(work, orphan, now)? <= known_since {
                due.push(orphan.clone());
            }
        }
        Ok::<_, Error>(due)
    });
    marking.await
}

/// Since when it is unknown.
fn mark(work: &Work<'_>, orphan: &Orphan, now: Timestamp) -> Result<Timestamp, Error> {
    let sql = "INSERT INTO orphan (package_id, file_id, upload, since, seen_at) VALUES (?1, ?2, ?3, ?4, ?4)
         ON CONFLICT (package_id, file_id, upload) DO UPDATE SET seen_at = excluded.seen_at RETURNING since";
    let (package, file, upload) = (orphan.package.as_str(), orphan.file.as_str(), orphan.upload());
    Ok(work.one(sql, values![package, file, upload, now], |row| row.get(0))?.unwrap_or(now))
}

/// Forgets these: they were removed.
pub(crate) async fn removed(database: &Database, orphans: Vec<Orphan>) -> Result<(), Error> {
    let forgetting = database.transact(move |work| {
        for orphan in &orphans {
            let sql = "DELETE FROM orphan WHERE package_id = ?1 AND file_id = ?2 AND upload = ?3";
            work.run(sql, values![orphan.package.as_str(), orphan.file.as_str(), orphan.upload()])?;
        }
        Ok::<_, Error>(())
    });
    forgetting.await
}

/// Forgets those that were not seen since: a row knows them, or they are gone.
pub(crate) async fn forget_unseen(database: &Database, since: Timestamp) -> Result<(), Error> {
    let forgetting = database.transact(move |work| {
        work.run("DELETE FROM orphan WHERE seen_at < ?1", values![since])?;
        Ok::<_, Error>(())
    });
    forgetting.await
}

/// All of them, by package, and since when.
pub(crate) async fn list(database: &Database) -> Result<Vec<(Orphan, Timestamp)>, Error> {
    let listing = database.query(|work| {
        let sql = "SELECT package_id, file_id, upload, since FROM orphan ORDER BY package_id, file_id, upload";
        Ok::<_, Error>(work.all(sql, values![], |row| Ok((Orphan::from_row(row)?, row.get(3)?)))?)
    });
    listing.await
}
