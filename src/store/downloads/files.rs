//! The files of downloads, and the parts of them that are on the disk.

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::json as object;

use super::{find, tell};
use crate::model::DownloadId;
use crate::model::Problem;
use crate::model::{DownloadFile, DownloadFileState, FetchedPart, WantedFile};
use crate::store::rows::{from_json, from_word, json, signed, unsigned, word};
use crate::store::{Store, StoreError, now};

const COLUMNS: &str =
    "number, remote_id, path, size, modified_ns, etag, part_size, state, bytes_done, problem, checksum";

fn file(row: &Row<'_>) -> Result<DownloadFile, StoreError> {
    let problem: Option<String> = row.get(9)?;
    Ok(DownloadFile {
        number: row.get(0)?,
        wanted: WantedFile {
            remote_id: row.get::<_, String>(1)?.into(),
            path: row.get(2)?,
            size: unsigned(row.get(3)?),
            modified_ns: row.get(4)?,
        },
        etag: row.get(5)?,
        part_size: row.get::<_, Option<i64>>(6)?.map(unsigned),
        state: from_word(row.get(7)?, "download_file.state")?,
        bytes_done: unsigned(row.get(8)?),
        checksum: row.get(10)?,
        problem: problem.map(|text| from_json(&text, "download_file.problem")).transpose()?,
    })
}

/// Counts the files and bytes again from the files' rows.
fn count(connection: &Connection, id: DownloadId) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "UPDATE download SET (files, files_done, bytes, bytes_done) = (SELECT count(*), \
             coalesce(sum(state IN ('done', 'skipped')), 0), coalesce(sum(size), 0), coalesce(sum(bytes_done), 0) \
             FROM download_file WHERE download_id = ?1) WHERE id = ?1",
        )?
        .execute([id])?;
    Ok(())
}

/// The file must be downloaded from its first byte.
fn forget_parts(connection: &Connection, id: DownloadId, number: u32) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM download_part WHERE download_id = ?1 AND file_number = ?2")?
        .execute(params![id, number])?;
    Ok(())
}

fn insert_list(connection: &Connection, id: DownloadId, files: &[WantedFile]) -> Result<(), StoreError> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO download_file (download_id, number, remote_id, path, size, listed_size, modified_ns, state) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6, 'waiting')",
    )?;
    for (number, file) in (0u32..).zip(files) {
        insert.execute(params![id, number, file.remote_id.as_str(), file.path, signed(file.size), file.modified_ns])?;
    }
    Ok(())
}

fn compare_list(connection: &Connection, id: DownloadId, files: &[WantedFile]) -> Result<(), StoreError> {
    let mut known = connection.prepare_cached(
        "SELECT number FROM download_file WHERE download_id = ?1 AND remote_id = ?2 \
         AND (listed_size <> ?3 OR modified_ns IS NOT ?4)",
    )?;
    let mut update = connection.prepare_cached(
        "UPDATE download_file SET size = ?3, listed_size = ?3, modified_ns = ?4, etag = NULL, part_size = NULL, \
         state = 'waiting', bytes_done = 0, checksum = NULL, problem = NULL WHERE download_id = ?1 AND number = ?2",
    )?;
    for file in files {
        let now_listed = params![id, file.remote_id.as_str(), signed(file.size), file.modified_ns];
        let changed: Option<u32> = known.query_row(now_listed, |row| row.get(0)).optional()?;
        if let Some(number) = changed {
            forget_parts(connection, id, number)?;
            update.execute(params![id, number, signed(file.size), file.modified_ns])?;
        }
    }
    Ok(())
}

impl Store {
    /// The package was listed. The first list is kept, in its order; from later ones only size and time are used: a file
    /// that has changed is downloaded again.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when it was removed meanwhile.
    pub async fn download_listed(&self, id: DownloadId, files: Vec<WantedFile>) -> Result<(), StoreError> {
        self.change(move |connection| {
            let found = find(connection, id)?;
            if found.listed {
                compare_list(connection, id, &files)?;
                return count(connection, id);
            }
            insert_list(connection, id, &files)?;
            count(connection, id)?;
            connection
                .prepare_cached("UPDATE download SET listed = 1, started_at = ?2 WHERE id = ?1")?
                .execute(params![id, now()])?;
            let bytes: u64 = files.iter().fold(0, |sum, file| sum.saturating_add(file.size));
            tell(connection, "download.listed", &found, object!({ "files": files.len(), "bytes": bytes }))
        })
        .await
    }

    /// Up to `limit` files of a download with numbers above `after` (from the first on for `None`).
    ///
    /// # Errors
    /// Those of the database.
    pub async fn download_files(
        &self,
        id: DownloadId,
        after: Option<u32>,
        limit: u32,
    ) -> Result<Vec<DownloadFile>, StoreError> {
        self.download_files_where(id, after, limit, "").await
    }

    /// The same, but only files that are still to be fetched.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn files_to_fetch(
        &self,
        id: DownloadId,
        after: Option<u32>,
        limit: u32,
    ) -> Result<Vec<DownloadFile>, StoreError> {
        self.download_files_where(id, after, limit, "AND state IN ('waiting', 'receiving')").await
    }

    /// The same, but only files that cannot be downloaded.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn files_not_fetched(&self, id: DownloadId, limit: u32) -> Result<Vec<DownloadFile>, StoreError> {
        self.download_files_where(id, None, limit, "AND state = 'error'").await
    }

    async fn download_files_where(
        &self,
        id: DownloadId,
        after: Option<u32>,
        limit: u32,
        condition: &'static str,
    ) -> Result<Vec<DownloadFile>, StoreError> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM download_file WHERE download_id = ?1 AND number > ?2 {condition} \
                 ORDER BY number LIMIT ?3"
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

    /// A file is started, or started again: earlier parts no longer count.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn fetch_begun(&self, id: DownloadId, number: u32, size: u64, part_size: u64) -> Result<(), StoreError> {
        self.change(move |connection| {
            forget_parts(connection, id, number)?;
            let before: Option<(i64, i64)> = connection
                .prepare_cached("SELECT size, bytes_done FROM download_file WHERE download_id = ?1 AND number = ?2")?
                .query_row(params![id, number], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            let Some((size_before, done_before)) = before else { return Ok(()) };
            connection
                .prepare_cached(
                    "UPDATE download_file SET size = ?3, part_size = ?4, etag = NULL, state = 'receiving', \
                     bytes_done = 0, checksum = NULL, problem = NULL WHERE download_id = ?1 AND number = ?2",
                )?
                .execute(params![id, number, signed(size), signed(part_size)])?;
            connection
                .prepare_cached("UPDATE download SET bytes = bytes + ?2, bytes_done = bytes_done - ?3 WHERE id = ?1")?
                .execute(params![id, signed(size) - size_before, done_before])?;
            Ok(())
        })
        .await
    }

    /// The file's parts that are on the disk, by number.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn fetched_parts(&self, id: DownloadId, number: u32) -> Result<Vec<FetchedPart>, StoreError> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT number, size, tree FROM download_part WHERE download_id = ?1 AND file_number = ?2 \
                 ORDER BY number",
            )?;
            let rows = statement.query_map(params![id, number], |row| {
                Ok(FetchedPart {
                    number: row.get(0)?,
                    size: unsigned(row.get(1)?),
                    tree: row.get::<_, Option<Vec<u8>>>(2)?.unwrap_or_default(),
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// A part is on the disk, flushed; it is of the content that `etag` names.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn part_fetched(
        &self,
        id: DownloadId,
        number: u32,
        part: FetchedPart,
        etag: Option<String>,
    ) -> Result<(), StoreError> {
        self.change(move |connection| {
            let size = signed(part.size);
            let added = connection
                .prepare_cached(
                    "INSERT OR IGNORE INTO download_part (download_id, file_number, number, size, tree) \
                     SELECT download_id, number, ?3, ?4, ?5 FROM download_file WHERE download_id = ?1 AND number = ?2",
                )?
                .execute(params![id, number, part.number, size, part.tree])?;
            if added > 0 {
                connection
                    .prepare_cached(
                        "UPDATE download_file SET bytes_done = bytes_done + ?3, etag = coalesce(etag, ?4) \
                         WHERE download_id = ?1 AND number = ?2",
                    )?
                    .execute(params![id, number, size, etag])?;
                connection
                    .prepare_cached("UPDATE download SET bytes_done = bytes_done + ?2 WHERE id = ?1")?
                    .execute(params![id, size])?;
            }
            Ok(())
        })
        .await
    }

    /// A file is in its place, or the same was there already.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn fetch_done(
        &self,
        id: DownloadId,
        number: u32,
        state: DownloadFileState,
        checksum: Option<String>,
    ) -> Result<(), StoreError> {
        self.change(move |connection| {
            let before: Option<i64> = connection
                .prepare_cached(
                    "SELECT size - bytes_done FROM download_file WHERE download_id = ?1 AND number = ?2 \
                     AND state NOT IN ('done', 'skipped')",
                )?
                .query_row(params![id, number], |row| row.get(0))
                .optional()?;
            let Some(missing) = before else { return Ok(()) };
            forget_parts(connection, id, number)?;
            connection
                .prepare_cached(
                    "UPDATE download_file SET state = ?3, bytes_done = size, checksum = ?4, problem = NULL \
                     WHERE download_id = ?1 AND number = ?2",
                )?
                .execute(params![id, number, word(&state), checksum])?;
            connection
                .prepare_cached(
                    "UPDATE download SET files_done = files_done + 1, bytes_done = bytes_done + ?2 WHERE id = ?1",
                )?
                .execute(params![id, missing])?;
            Ok(())
        })
        .await
    }

    /// A file cannot be downloaded; the others continue.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn fetch_failed(&self, id: DownloadId, number: u32, problem: Problem) -> Result<(), StoreError> {
        self.change(move |connection| {
            connection
                .prepare_cached(
                    "UPDATE download_file SET state = 'error', problem = ?3 WHERE download_id = ?1 AND number = ?2",
                )?
                .execute(params![id, number, json(&problem)])?;
            Ok(())
        })
        .await
    }
}
