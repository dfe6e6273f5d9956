//! Files that are sent while they are written: how far they have come, when they are complete, and when that is given up.
//!
//! **Guarantees.** What the ledger claims of such a file is what is known of it, in the same transaction. While it grows its upload is
//! never all sent, so that nothing is finalized. A file that is given up is as if it had never been begun: its rule may take it again.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::json as object;

use super::rows::{identity as identity_of, signed, unsigned};
use super::uploads;
use super::{Store, StoreError, events, files, ledger};
use crate::model::{FileState, GrowingFile, SourceFiles, State, UploadId};
use masv_platform::{FileIdentity, bytes_to_path, path_to_bytes};

impl Store {
    /// The files of a rule that are being written and sent.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn growing_files(&self, rule: &str) -> Result<Vec<GrowingFile>, StoreError> {
        let rule = rule.to_owned();
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT claim, upload_id, file.bytes_done, file.size, mtime_ns, ctime_ns, device, inode FROM file \
                 JOIN upload ON upload.id = upload_id WHERE rule = ?1 AND growth = 'growing' AND claim IS NOT NULL \
                 AND upload.state IN ('transferring', 'paused', 'idle', 'error')",
            )?;
            let mut rows = statement.query([rule])?;
            let mut growing = Vec::new();
            while let Some(row) = rows.next()? {
                growing.push(GrowingFile {
                    claim: bytes_to_path(&row.get::<_, Vec<u8>>(0)?),
                    upload: row.get(1)?,
                    bytes_done: unsigned(row.get(2)?),
                    identity: identity_of(row, 3)?,
                });
            }
            Ok(growing)
        })
        .await
    }

    /// A file that is being written has become this. Nothing changes once it counts as complete.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn file_grown(&self, id: UploadId, number: u32, identity: FileIdentity) -> Result<(), StoreError> {
        self.database
            .write(move |connection| {
                let claim: Option<Vec<u8>> = connection
                    .prepare_cached(
                        "SELECT claim FROM file WHERE upload_id = ?1 AND number = ?2 AND growth = 'growing'",
                    )?
                    .query_row(params![id, number], |row| row.get(0))
                    .optional()?
                    .flatten();
                let Some(claim) = claim else { return Ok(()) };
                becomes(connection, id, number, &claim, &identity)
            })
            .await
    }

    /// Files that were being written are complete, as they are given: what was sent of them has yet to be compared with them. `more` files
    /// of the same package are added, in the same transaction.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], or [`StoreError::WrongState`], where the upload does not have one of them: nothing is changed.
    pub async fn growing_settled(
        &self,
        id: UploadId,
        grown: impl Into<SourceFiles>,
        more: impl Into<SourceFiles>,
    ) -> Result<(), StoreError> {
        let (grown, more) = (grown.into(), more.into());
        self.change(move |connection| {
            let found = uploads::find(connection, id)?;
            for file in grown.iter() {
                let claim = file.claim.as_deref().map(path_to_bytes).unwrap_or_default();
                let number: Option<u32> = connection
                    .prepare_cached(
                        "SELECT number FROM file WHERE upload_id = ?1 AND growth = 'growing' AND claim = ?2",
                    )?
                    .query_row(params![id, claim], |row| row.get(0))
                    .optional()?;
                let Some(number) = number else {
                    return Err(StoreError::WrongState { id: id.into(), state: found.state.as_str() });
                };
                becomes(connection, id, number, &claim, &file.identity)?;
                connection
                    .prepare_cached(
                        "UPDATE file SET growth = 'unproven', verified = ?3 WHERE upload_id = ?1 AND number = ?2",
                    )?
                    .execute(params![id, number, file.verified])?;
                let body = object!({ "file": number, "state": FileState::Sending, "growing": false, "size": file.identity.size });
                events::record(connection, "upload.file", Some(id), found.rule.as_deref(), &body)?;
            }
            if more.is_empty() { Ok(()) } else { uploads::append(connection, id, &more).map(drop) }
        })
        .await
    }

    /// A file that counted as complete goes on growing, or was changed: it has become this. What was sent of it stays, and is compared
    /// with it before it is finalized.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn file_changed_on(&self, id: UploadId, number: u32, identity: FileIdentity) -> Result<(), StoreError> {
        self.change(move |connection| {
            let claim: Option<Vec<u8>> = connection
                .prepare_cached("SELECT claim FROM file WHERE upload_id = ?1 AND number = ?2")?
                .query_row(params![id, number], |row| row.get(0))
                .optional()?
                .flatten();
            becomes(connection, id, number, &claim.unwrap_or_default(), &identity)
        })
        .await
    }

    /// These parts of a file are not what it holds: they are sent again. Returns the bytes that are no longer confirmed.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn parts_outdated(&self, id: UploadId, number: u32, parts: Vec<u32>) -> Result<u64, StoreError> {
        self.database
            .write(move |connection| {
                let mut lost: i64 = 0;
                for part in &parts {
                    let bytes: Option<i64> = connection
                        .prepare_cached(
                            "DELETE FROM part WHERE upload_id = ?1 AND file_number = ?2 AND number = ?3 RETURNING size",
                        )?
                        .query_row(params![id, number, part], |row| row.get(0))
                        .optional()?;
                    lost += bytes.unwrap_or_default();
                }
                connection
                    .prepare_cached(
                        "UPDATE file SET bytes_done = bytes_done - ?3 WHERE upload_id = ?1 AND number = ?2",
                    )?
                    .execute(params![id, number, lost])?;
                files::add_done(connection, id, 0, -lost)?;
                Ok(unsigned(lost))
            })
            .await
    }

    /// An upload with files that are being written is dropped, with what the cloud has of it: its files are free to be sent anew.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::WrongState`] where nothing of it is being written any more.
    pub async fn growing_given_up(&self, id: UploadId, reason: String) -> Result<(), StoreError> {
        self.change(move |connection| {
            let found = uploads::find(connection, id)?;
            let growing: u32 = connection
                .prepare_cached("SELECT count(*) FROM file WHERE upload_id = ?1 AND growth = 'growing'")?
                .query_row([id], |row| row.get(0))?;
            if growing == 0 || found.state == State::Complete {
                return Err(StoreError::WrongState { id: id.into(), state: found.state.as_str() });
            }
            ledger::release_all(connection, id)?;
            uploads::remove(connection, &found, object!({ "growing": "given_up", "reason": reason }))
        })
        .await
    }
}

/// The file and its claim are of this identity now.
fn becomes(
    connection: &Connection,
    id: UploadId,
    number: u32,
    claim: &[u8],
    identity: &FileIdentity,
) -> Result<(), StoreError> {
    let before: i64 = connection
        .prepare_cached("SELECT size FROM file WHERE upload_id = ?1 AND number = ?2")?
        .query_row(params![id, number], |row| row.get(0))
        .optional()?
        .ok_or(StoreError::NotFound(id.into()))?;
    connection
        .prepare_cached(
            "UPDATE file SET size = ?3, mtime_ns = ?4, ctime_ns = ?5, device = ?6, inode = ?7 \
             WHERE upload_id = ?1 AND number = ?2",
        )?
        .execute(params![
            id,
            number,
            signed(identity.size),
            identity.mtime_ns,
            identity.ctime_ns,
            signed(identity.device),
            signed(identity.inode)
        ])?;
    connection
        .prepare_cached("UPDATE upload SET bytes = bytes + ?2 WHERE id = ?1")?
        .execute(params![id, signed(identity.size) - before])?;
    ledger::claim_of_path(connection, id, Path::new(&bytes_to_path(claim)), identity)
}
