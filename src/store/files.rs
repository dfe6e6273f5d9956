//! The files of an upload and the parts of them that the storage has confirmed.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::json as object;

use super::rows::{from_json, from_word, identity as identity_of, json, signed, unsigned, word};
use super::{Store, StoreError, events, ledger};
use crate::model::UploadId;
use crate::model::{DistinctPaths, File, FileState, Growth, Part, Problem, RemoteFile, SourceFiles};
use masv_platform::{FileIdentity, PathBeneath, bytes_to_path, path_to_bytes};
use masv_protocol::PackagePath;

const COLUMNS: &str = "number, path, source, size, mtime_ns, ctime_ns, device, inode, state, remote_id, multipart_id, \
     chunk_size, bytes_done, checksum, problem, root, owner, verified, growth, guard";

fn file(row: &Row<'_>) -> Result<File, StoreError> {
    let path: String = row.get(1)?;
    let remote_id: Option<String> = row.get(9)?;
    let multipart_id: Option<String> = row.get(10)?;
    let chunk_size: Option<i64> = row.get(11)?;
    let remote = match (remote_id, multipart_id, chunk_size) {
        (Some(id), Some(multipart_id), Some(size)) => {
            Some(RemoteFile { id: id.into(), multipart_id: multipart_id.into(), chunk_size: unsigned(size) })
        }
        _ => None,
    };
    let problem: Option<String> = row.get(14)?;
    Ok(File {
        number: row.get(0)?,
        path: PackagePath::from_relative(path.as_ref()).ok_or(StoreError::Unreadable("file.path"))?,
        source: source(&bytes_to_path(&row.get::<_, Vec<u8>>(2)?), row.get(15)?),
        identity: identity_of(row, 3)?,
        owner: row.get(16)?,
        verified: row.get(17)?,
        growth: growth(row.get(18)?, row.get(19)?)?,
        state: from_word(row.get(8)?, "file.state")?,
        remote,
        bytes_done: unsigned(row.get(12)?),
        checksum: row.get(13)?,
        problem: problem.map(|text| from_json(&text, "file.problem")).transpose()?,
    })
}

fn growth(word: Option<String>, guard: Option<i64>) -> Result<Growth, StoreError> {
    match word.as_deref() {
        None => Ok(Growth::Whole),
        Some("growing") => Ok(Growth::Growing { guard: unsigned(guard.unwrap_or_default()) }),
        Some("unproven") => Ok(Growth::Unproven),
        Some(_) => Err(StoreError::Unreadable("file.growth")),
    }
}

/// Rows of before have no root: of those the folder that the file is in is one.
fn source(whole: &Path, root: Option<Vec<u8>>) -> PathBeneath {
    let root = root.map_or_else(|| whole.parent().unwrap_or(whole).to_owned(), |root| bytes_to_path(&root));
    PathBeneath::within(&root, whole).unwrap_or_else(|| PathBeneath::without_links(whole))
}

/// No path of an upload is taken yet. Names that differ in the case of letters only are one name to macOS and Windows, where the
/// second would replace the first.
pub(super) fn no_paths() -> DistinctPaths {
    DistinctPaths::new(|path| path.as_str().to_lowercase())
}

/// The number of the next file of an upload: files that were left out keep theirs.
pub(super) fn next_number(connection: &Connection, id: UploadId) -> Result<u32, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT coalesce(max(number) + 1, 0) FROM file WHERE upload_id = ?1")?;
    Ok(statement.query_row([id], |row| row.get(0))?)
}

/// The paths that an upload's files have taken.
pub(super) fn paths(connection: &Connection, id: UploadId) -> Result<DistinctPaths, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT path FROM file WHERE upload_id = ?1 AND state <> 'left_out'")?;
    let mut rows = statement.query([id])?;
    let mut taken = no_paths();
    while let Some(row) = rows.next()? {
        let path: String = row.get(0)?;
        taken.take(PackagePath::from_relative(path.as_ref()).ok_or(StoreError::Unreadable("file.path"))?);
    }
    Ok(taken)
}

/// Writes the files of an upload, numbered from `first`; one whose path is taken gets another.
pub(super) fn insert(
    connection: &Connection,
    id: UploadId,
    first: u32,
    mut taken: DistinctPaths,
    files: &SourceFiles,
) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO file (upload_id, number, path, source, size, mtime_ns, ctime_ns, device, inode, state, \
         root, owner, verified, growth, guard, claim) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 'waiting', ?10, ?11, \
         ?12, ?13, ?14, ?15)",
    )?;
    for (number, file) in (i64::from(first)..).zip(files.iter()) {
        statement.execute(params![
            id,
            number,
            taken.take(file.path).as_str(),
            path_to_bytes(&file.source.whole()),
            signed(file.identity.size),
            file.identity.mtime_ns,
            file.identity.ctime_ns,
            signed(file.identity.device),
            signed(file.identity.inode),
            path_to_bytes(file.source.root()),
            file.owner,
            file.verified,
            file.guard.map(|_| "growing"),
            file.guard.map(signed),
            file.guard.and(file.claim.as_deref()).map(path_to_bytes),
        ])?;
    }
    Ok(())
}

/// None of an upload's files is in the cloud any more: all of them wait again, except those that are left out.
pub(super) fn begin_anew(connection: &Connection, id: UploadId) -> Result<(), StoreError> {
    connection.prepare_cached("DELETE FROM part WHERE upload_id = ?1")?.execute([id])?;
    connection
        .prepare_cached(
            "UPDATE file SET state = CASE state WHEN 'left_out' THEN 'left_out' ELSE 'waiting' END, remote_id = NULL, \
             multipart_id = NULL, chunk_size = NULL, bytes_done = 0, checksum = NULL, problem = NULL WHERE upload_id = ?1",
        )?
        .execute([id])?;
    Ok(())
}

/// Failed files wait again. The user who asks for that knows why they failed: for a file that belongs to another user now, the
/// new owner is agreed to.
pub(super) fn retry_failed(connection: &Connection, id: UploadId) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "UPDATE file SET state = 'waiting', problem = NULL, \
             owner = CASE problem ->> '$.code' WHEN 'source_other_user' THEN NULL ELSE owner END WHERE upload_id = ?1 AND state IN ('error', 'gone')",
        )?
        .execute([id])?;
    Ok(())
}

/// Leaves these files out of an upload: what there is to send is less by them, and their rule may send them if they
/// come back.
pub(super) fn leave_out(connection: &Connection, id: UploadId, files: &[File]) -> Result<(), StoreError> {
    for file in files {
        connection
            .prepare_cached("UPDATE file SET state = 'left_out', bytes_done = 0 WHERE upload_id = ?1 AND number = ?2")?
            .execute(params![id, file.number])?;
        connection
            .prepare_cached("DELETE FROM part WHERE upload_id = ?1 AND file_number = ?2")?
            .execute(params![id, file.number])?;
        connection
            .prepare_cached(
                "UPDATE upload SET files = files - 1, bytes = bytes - ?2, bytes_done = bytes_done - ?3 WHERE id = ?1",
            )?
            .execute(params![id, signed(file.identity.size), signed(file.bytes_done)])?;
        ledger::release(connection, id, &file.identity)?;
    }
    Ok(())
}

/// The file of an upload that looked like this when it was chosen.
pub(super) fn of_identity(
    connection: &Connection,
    id: UploadId,
    identity: &FileIdentity,
) -> Result<Option<File>, StoreError> {
    connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM file WHERE upload_id = ?1 AND inode = ?2 AND ctime_ns = ?3 AND state <> 'left_out'"
        ))?
        .query_row(params![id, signed(identity.inode), identity.ctime_ns], |row| Ok(file(row)))
        .optional()?
        .transpose()
}

/// The paths of the files that an upload continues without: the first of many. One that came back has been added again.
pub(super) fn left_out(connection: &Connection, id: UploadId) -> Result<Vec<String>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT path FROM file WHERE upload_id = ?1 AND state = 'left_out' AND path NOT IN \
            (SELECT path FROM file WHERE upload_id = ?1 AND state <> 'left_out') GROUP BY path ORDER BY min(number) LIMIT 100",
    )?;
    let paths = statement.query_map([id], |row| row.get(0))?;
    Ok(paths.collect::<Result<_, _>>()?)
}

pub(super) fn add_done(connection: &Connection, id: UploadId, files: i64, bytes: i64) -> Result<(), StoreError> {
    connection
        .prepare_cached("UPDATE upload SET files_done = files_done + ?2, bytes_done = bytes_done + ?3 WHERE id = ?1")?
        .execute(params![id, files, bytes])?;
    Ok(())
}

impl Store {
    /// Up to `limit` files of an upload with numbers above `after` (from the first on for `None`).
    ///
    /// # Errors
    /// Those of the database.
    pub async fn files(&self, id: UploadId, after: Option<u32>, limit: u32) -> Result<Vec<File>, StoreError> {
        self.files_where(id, after, limit, "").await
    }

    /// The same, but only files that are still to be sent.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn files_to_send(&self, id: UploadId, after: Option<u32>, limit: u32) -> Result<Vec<File>, StoreError> {
        self.files_where(id, after, limit, "AND state IN ('waiting', 'sending')").await
    }

    /// The paths of the files that an upload continues without: the first of many. One that came back has been added again.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn files_left_out(&self, id: UploadId) -> Result<Vec<String>, StoreError> {
        self.read(move |connection| left_out(connection, id)).await
    }

    /// The same, but only files that prevent completion.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn files_failed(&self, id: UploadId, limit: u32) -> Result<Vec<File>, StoreError> {
        self.files_where(id, None, limit, "AND state IN ('error', 'gone')").await
    }

    /// The files that are left out and of which the cloud still has something.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn files_left_over(&self, id: UploadId) -> Result<Vec<File>, StoreError> {
        self.files_where(id, None, u32::MAX, "AND state = 'left_out' AND remote_id IS NOT NULL").await
    }

    /// The cloud no longer has anything of the file.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn file_removed(&self, id: UploadId, number: u32) -> Result<(), StoreError> {
        self.database
            .write(move |connection| {
                connection
                    .prepare_cached("UPDATE file SET remote_id = NULL WHERE upload_id = ?1 AND number = ?2")?
                    .execute(params![id, number])?;
                Ok(())
            })
            .await
    }

    async fn files_where(
        &self,
        id: UploadId,
        after: Option<u32>,
        limit: u32,
        condition: &'static str,
    ) -> Result<Vec<File>, StoreError> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM file WHERE upload_id = ?1 AND number > ?2 {condition} ORDER BY number LIMIT ?3"
            ))?;
            let mut rows = statement.query(params![id, after.map_or(-1, i64::from), limit])?;
            let mut files = Vec::new();
            while let Some(row) = rows.next()? {
                files.push(file(row)?);
            }
            Ok(files)
        })
        .await
    }

    /// The parts of a file that the storage has confirmed, by number.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn parts(&self, id: UploadId, file_number: u32) -> Result<Vec<Part>, StoreError> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT number, size, etag, tree FROM part WHERE upload_id = ?1 AND file_number = ?2 ORDER BY number",
            )?;
            let rows = statement.query_map(params![id, file_number], |row| {
                Ok(Part {
                    number: row.get(0)?,
                    size: unsigned(row.get(1)?),
                    etag: row.get(2)?,
                    tree: row.get::<_, Option<Vec<u8>>>(3)?.unwrap_or_default(),
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// The file was started in the cloud: from here on parts can be sent.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn file_begun(&self, id: UploadId, number: u32, remote: RemoteFile) -> Result<(), StoreError> {
        self.database
            .write(move |connection| {
                connection
                    .prepare_cached(
                        "UPDATE file SET state = 'sending', remote_id = ?3, multipart_id = ?4, chunk_size = ?5 \
                         WHERE upload_id = ?1 AND number = ?2",
                    )?
                    .execute(params![
                        id,
                        number,
                        remote.id.as_str(),
                        remote.multipart_id.as_str(),
                        signed(remote.chunk_size)
                    ])?;
                Ok(())
            })
            .await
    }

    /// The storage has confirmed a part.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when the upload was removed meanwhile.
    pub async fn part_confirmed(&self, id: UploadId, file_number: u32, part: Part) -> Result<(), StoreError> {
        self.database.write(move |connection| confirm_part(connection, id, file_number, &part)).await
    }

    /// The cloud has the file completely. `part` is its only part if that was not recorded before: a small file costs
    /// one transaction instead of two.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when the upload was removed meanwhile.
    pub async fn file_done(
        &self,
        id: UploadId,
        number: u32,
        checksum: Option<String>,
        part: Option<Part>,
    ) -> Result<(), StoreError> {
        self.database
            .write(move |connection| {
                if let Some(part) = &part {
                    confirm_part(connection, id, number, part)?;
                }
                let changed = connection
                    .prepare_cached(
                        "UPDATE file SET state = 'done', checksum = ?3, problem = NULL, growth = NULL \
                         WHERE upload_id = ?1 AND number = ?2 AND state <> 'done'",
                    )?
                    .execute(params![id, number, checksum])?;
                // The tree is merged into the checksum, and the parts of a complete file are not needed again.
                connection
                    .prepare_cached("DELETE FROM part WHERE upload_id = ?1 AND file_number = ?2")?
                    .execute(params![id, number])?;
                if changed > 0 {
                    add_done(connection, id, 1, 0)?;
                    if let Some(checksum) = &checksum {
                        ledger::content_known(connection, id, number, checksum)?;
                    }
                }
                Ok(())
            })
            .await
    }

    /// The file cannot be sent at present; the others continue.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn file_failed(
        &self,
        id: UploadId,
        number: u32,
        state: FileState,
        problem: Problem,
    ) -> Result<(), StoreError> {
        self.change(move |connection| {
            connection
                .prepare_cached("UPDATE file SET state = ?3, problem = ?4 WHERE upload_id = ?1 AND number = ?2")?
                .execute(params![id, number, word(&state), json(&problem)])?;
            let body = object!({ "file": number, "state": state, "error": problem });
            events::record(connection, "upload.file", Some(id), None, &body)
        })
        .await
    }

    /// The file has this identity now, with the same content: confirmed parts are kept.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn file_touched(&self, id: UploadId, number: u32, identity: FileIdentity) -> Result<(), StoreError> {
        self.database
            .write(move |connection| {
                let before = connection
                    .prepare_cached(
                        "SELECT size, mtime_ns, ctime_ns, device, inode FROM file WHERE upload_id = ?1 AND number = ?2",
                    )?
                    .query_row(params![id, number], |row| identity_of(row, 0))
                    .optional()?
                    .ok_or(StoreError::NotFound(id.into()))?;
                connection
                    .prepare_cached(
                        "UPDATE file SET ctime_ns = ?3, device = ?4, inode = ?5 WHERE upload_id = ?1 AND number = ?2",
                    )?
                    .execute(params![id, number, identity.ctime_ns, signed(identity.device), signed(identity.inode)])?;
                ledger::claim_moved_on(connection, id, &before, &identity)
            })
            .await
    }

    /// The file is sent again from its first byte: it changed (`identity` is its new one), or the cloud has
    /// lost it. Returns the bytes that are no longer confirmed.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn file_restarted(&self, id: UploadId, number: u32, identity: FileIdentity) -> Result<u64, StoreError> {
        self.change(move |connection| restart(connection, id, number, &identity)).await
    }
}

fn confirm_part(connection: &Connection, id: UploadId, file_number: u32, part: &Part) -> Result<(), StoreError> {
    let known: Option<i64> = connection
        .prepare_cached("SELECT size FROM part WHERE upload_id = ?1 AND file_number = ?2 AND number = ?3")?
        .query_row(params![id, file_number, part.number], |row| row.get(0))
        .optional()?;
    let size = signed(part.size);
    let changed = connection
        .prepare_cached("UPDATE file SET bytes_done = bytes_done + ?3 WHERE upload_id = ?1 AND number = ?2")?
        .execute(params![id, file_number, size - known.unwrap_or(0)])?;
    if changed == 0 {
        return Err(StoreError::NotFound(id.into()));
    }
    connection
        .prepare_cached(
            "INSERT INTO part (upload_id, file_number, number, size, etag, tree) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
             ON CONFLICT (upload_id, file_number, number) DO UPDATE SET \
             size = excluded.size, etag = excluded.etag, tree = excluded.tree",
        )?
        .execute(params![id, file_number, part.number, size, part.etag, part.tree])?;
    add_done(connection, id, 0, size - known.unwrap_or(0))
}

fn restart(connection: &Connection, id: UploadId, number: u32, identity: &FileIdentity) -> Result<u64, StoreError> {
    let before = connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM file WHERE upload_id = ?1 AND number = ?2"))?
        .query_row(params![id, number], |row| Ok(file(row)))
        .optional()?
        .ok_or(StoreError::NotFound(id.into()))??;
    connection
        .prepare_cached("DELETE FROM part WHERE upload_id = ?1 AND file_number = ?2")?
        .execute(params![id, number])?;
    connection
        .prepare_cached(
            "UPDATE file SET state = 'waiting', remote_id = NULL, multipart_id = NULL, chunk_size = NULL, \
             bytes_done = 0, checksum = NULL, problem = NULL, size = ?3, mtime_ns = ?4, ctime_ns = ?5, device = ?6, \
             inode = ?7, growth = CASE growth WHEN 'growing' THEN growth END WHERE upload_id = ?1 AND number = ?2",
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
    let grown = signed(identity.size) - signed(before.identity.size);
    connection.prepare_cached("UPDATE upload SET bytes = bytes + ?2 WHERE id = ?1")?.execute(params![id, grown])?;
    add_done(connection, id, -i64::from(before.state == FileState::Done), -signed(before.bytes_done))?;
    ledger::claim_moved_on(connection, id, &before.identity, identity)?;
    let body = object!({ "file": number, "state": FileState::Waiting, "restarted": true });
    events::record(connection, "upload.file", Some(id), None, &body)?;
    Ok(before.bytes_done)
}
