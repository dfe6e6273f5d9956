//! Downloads: ordered, listed, moved from state to state; their files and the parts of them that are on the disk.

use std::path::PathBuf;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json as object};

use super::rows::{from_json, from_word, json, signed, time, unsigned, word};
use super::{Problem, RemotePackage, State, Store, StoreError, Totals, events, now};
use crate::base::{DownloadId, bytes_to_path, path_to_bytes};

const COLUMNS: &str = "id, api, link_id, link_secret, password, destination, package_folder, chosen, overwrite, \
     priority, rule, state, problem, name, package_id, package_token, listed, files, files_done, bytes, bytes_done, \
     created_at, started_at, completed_at";
const FILE_COLUMNS: &str = "number, remote_id, path, size, modified_ns, etag, part_size, state, bytes_done, problem";

/// Everything needed to fetch one package.
#[derive(Debug, Clone)]
pub struct DownloadSpec {
    /// Base URL of the cloud that has it.
    pub api: String,
    /// What gives the right to read it.
    pub source: DownloadSource,
    /// The folder it goes into, absolute.
    pub destination: PathBuf,
    /// Whether it gets a folder of its own in there, named as the package is.
    pub package_folder: bool,
    /// The cloud's ids of the wanted files; empty for all.
    pub chosen: Vec<String>,
    /// Whether files that are there already are replaced.
    pub overwrite: bool,
    /// Higher goes first.
    pub priority: i32,
    /// The rule that made it.
    pub rule: Option<String>,
}

/// What gives the right to read a package.
#[derive(Debug, Clone)]
pub enum DownloadSource {
    /// A link.
    Link {
        /// The cloud's id of it.
        id: String,
        /// What its address holds besides.
        secret: SecretString,
        /// What the recipient must type.
        password: Option<SecretString>,
    },
    /// The package's own token.
    Package(RemotePackage),
}

/// A download as the database knows it.
#[derive(Debug, Clone)]
pub struct Download {
    /// Its id.
    pub id: DownloadId,
    /// What was ordered.
    pub spec: DownloadSpec,
    /// Where it stands; never idle.
    pub state: State,
    /// Why it is in [`State::Error`].
    pub problem: Option<Problem>,
    /// Name of the package, once known.
    pub name: Option<String>,
    /// The package and the right to read it, once known.
    pub package: Option<RemotePackage>,
    /// Whether its files are known.
    pub listed: bool,
    /// Files and bytes, and how many of them are on the disk.
    pub totals: Totals,
    /// When it was ordered.
    pub created_at: Timestamp,
    /// When its files became known.
    pub started_at: Option<Timestamp>,
    /// When all was on the disk.
    pub completed_at: Option<Timestamp>,
}

/// State of one file of a download.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DownloadFileState {
    /// Not begun.
    Waiting,
    /// Begun.
    Receiving,
    /// On the disk, whole.
    Done,
    /// The same file was there already.
    Skipped,
    /// It can not be had; its error says why.
    Error,
}

/// A file of a package, as it is to be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedFile {
    /// The cloud's id.
    pub remote_id: String,
    /// Below the destination, made safe.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// When it was last changed, nanoseconds since 1970.
    pub modified_ns: Option<i64>,
}

/// One file of a download as the database knows it.
#[derive(Debug, Clone)]
pub struct DownloadFile {
    /// Its number in the download, from 0.
    pub number: u32,
    /// What is to be fetched.
    pub wanted: WantedFile,
    /// The storage's tag, once a part was asked for.
    pub etag: Option<String>,
    /// Bytes of each part but the last, once begun.
    pub part_size: Option<u64>,
    /// Where it stands.
    pub state: DownloadFileState,
    /// Bytes on the disk.
    pub bytes_done: u64,
    /// Why it is in [`DownloadFileState::Error`].
    pub problem: Option<Problem>,
}

/// Which downloads [`Store::downloads`] lists, newest first.
#[derive(Debug, Clone, Default)]
pub struct DownloadFilter {
    /// Only those in one of these states; empty for all.
    pub states: Vec<State>,
    /// Only those made before this one.
    pub before: Option<DownloadId>,
    /// At most so many; 0 for all.
    pub limit: u32,
}

fn download(row: &Row<'_>) -> Result<Download, StoreError> {
    let secret = |column| row.get::<_, Option<String>>(column).map(|text| text.map(SecretString::from));
    let link_id: Option<String> = row.get(2)?;
    let package_id: Option<String> = row.get(14)?;
    let package = package_id.zip(secret(15)?).map(|(id, token)| RemotePackage { id, token });
    let source = match (link_id, &package) {
        (Some(id), _) => {
            let secret_of_link = secret(3)?.ok_or(StoreError::Unreadable("download.link_secret"))?;
            DownloadSource::Link { id, secret: secret_of_link, password: secret(4)? }
        }
        (None, Some(package)) => DownloadSource::Package(package.clone()),
        (None, None) => return Err(StoreError::Unreadable("download.link_id")),
    };
    let problem: Option<String> = row.get(12)?;
    Ok(Download {
        id: row.get(0)?,
        spec: DownloadSpec {
            api: row.get(1)?,
            source,
            destination: bytes_to_path(&row.get::<_, Vec<u8>>(5)?),
            package_folder: row.get(6)?,
            chosen: from_json(&row.get::<_, String>(7)?, "download.chosen")?,
            overwrite: row.get(8)?,
            priority: row.get(9)?,
            rule: row.get(10)?,
        },
        state: from_word(row.get(11)?, "download.state")?,
        problem: problem.map(|text| from_json(&text, "download.problem")).transpose()?,
        name: row.get(13)?,
        package,
        listed: row.get(16)?,
        totals: Totals {
            files: unsigned(row.get(17)?),
            files_done: unsigned(row.get(18)?),
            bytes: unsigned(row.get(19)?),
            bytes_done: unsigned(row.get(20)?),
        },
        created_at: time(row.get(21)?),
        started_at: row.get::<_, Option<i64>>(22)?.map(time),
        completed_at: row.get::<_, Option<i64>>(23)?.map(time),
    })
}

fn file(row: &Row<'_>) -> Result<DownloadFile, StoreError> {
    let problem: Option<String> = row.get(9)?;
    Ok(DownloadFile {
        number: row.get(0)?,
        wanted: WantedFile {
            remote_id: row.get(1)?,
            path: row.get(2)?,
            size: unsigned(row.get(3)?),
            modified_ns: row.get(4)?,
        },
        etag: row.get(5)?,
        part_size: row.get::<_, Option<i64>>(6)?.map(unsigned),
        state: from_word(row.get(7)?, "download_file.state")?,
        bytes_done: unsigned(row.get(8)?),
        problem: problem.map(|text| from_json(&text, "download_file.problem")).transpose()?,
    })
}

fn find(connection: &Connection, id: DownloadId) -> Result<Download, StoreError> {
    connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM download WHERE id = ?1"))?
        .query_row([id], |row| Ok(download(row)))
        .optional()?
        .ok_or(StoreError::NoDownload(id))?
}

fn require(found: &Download, allowed: &[State]) -> Result<(), StoreError> {
    if allowed.contains(&found.state) {
        Ok(())
    } else {
        Err(StoreError::DownloadState { id: found.id, state: found.state.as_str() })
    }
}

fn tell(connection: &Connection, kind: &str, found: &Download, more: Value) -> Result<(), StoreError> {
    let mut body = object!({ "download_id": found.id, "name": found.name });
    if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
        body.extend(more);
    }
    events::record(connection, kind, None, found.spec.rule.as_deref(), &body)
}

fn set_state(
    connection: &Connection,
    found: &Download,
    state: State,
    problem: Option<&Problem>,
    more: Value,
) -> Result<(), StoreError> {
    connection.prepare_cached("UPDATE download SET state = ?2, problem = ?3 WHERE id = ?1")?.execute(params![
        found.id,
        word(&state),
        problem.map(json)
    ])?;
    let kind = match state {
        State::Complete => "download.complete",
        State::Error => "download.error",
        State::Transferring | State::Paused | State::Idle => "download.state",
    };
    let mut body = object!({ "state": state });
    if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
        body.extend(more);
    }
    tell(connection, kind, found, body)
}

/// Counts the files and bytes anew from the files' rows.
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

/// The file is to be fetched from its first byte on.
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
        insert.execute(params![id, number, file.remote_id, file.path, signed(file.size), file.modified_ns])?;
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
         state = 'waiting', bytes_done = 0, problem = NULL WHERE download_id = ?1 AND number = ?2",
    )?;
    for file in files {
        let now_listed = params![id, file.remote_id, signed(file.size), file.modified_ns];
        let changed: Option<u32> = known.query_row(now_listed, |row| row.get(0)).optional()?;
        if let Some(number) = changed {
            forget_parts(connection, id, number)?;
            update.execute(params![id, number, signed(file.size), file.modified_ns])?;
        }
    }
    Ok(())
}

impl Store {
    /// Makes a download.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn insert_download(&self, id: DownloadId, spec: DownloadSpec) -> Result<(), StoreError> {
        self.change(move |connection| {
            let (link, package) = match &spec.source {
                DownloadSource::Link { id, secret, password } => (Some((id, secret, password.as_ref())), None),
                DownloadSource::Package(package) => (None, Some(package)),
            };
            connection
                .prepare_cached(
                    "INSERT INTO download (id, position, api, link_id, link_secret, password, destination, \
                     package_folder, chosen, overwrite, priority, rule, state, package_id, package_token, created_at) \
                     VALUES (?1, (SELECT coalesce(max(position), 0) + 1 FROM download), ?2, ?3, ?4, ?5, ?6, ?7, ?8, \
                     ?9, ?10, ?11, 'transferring', ?12, ?13, ?14)",
                )?
                .execute(params![
                    id,
                    spec.api,
                    link.map(|(id, _, _)| id),
                    link.map(|(_, secret, _)| secret.expose_secret()),
                    link.and_then(|(_, _, password)| password).map(ExposeSecret::expose_secret),
                    path_to_bytes(&spec.destination),
                    spec.package_folder,
                    json(&spec.chosen),
                    spec.overwrite,
                    spec.priority,
                    spec.rule,
                    package.map(|package| &package.id),
                    package.map(|package| package.token.expose_secret()),
                    now(),
                ])?;
            let found = find(connection, id)?;
            tell(connection, "download.created", &found, object!({ "state": found.state }))
        })
        .await
    }

    /// One download.
    ///
    /// # Errors
    /// [`StoreError::NoDownload`].
    pub async fn download(&self, id: DownloadId) -> Result<Download, StoreError> {
        self.read(move |connection| find(connection, id)).await
    }

    /// The downloads that `filter` lets through, newest first.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn downloads(&self, filter: DownloadFilter) -> Result<Vec<Download>, StoreError> {
        self.read(move |connection| {
            let states: Vec<String> = filter.states.iter().map(word).collect();
            let mut statement = connection.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM download WHERE (?1 = '[]' OR state IN (SELECT value FROM json_each(?1))) \
                 AND (?2 IS NULL OR id < ?2) ORDER BY id DESC LIMIT ?3"
            ))?;
            let limit = if filter.limit == 0 { -1 } else { i64::from(filter.limit) };
            let mut rows = statement.query(params![json(&states), filter.before, limit])?;
            let mut downloads = Vec::new();
            while let Some(row) = rows.next()? {
                downloads.push(download(row)?);
            }
            Ok(downloads)
        })
        .await
    }

    /// The downloads that want to be worked on, in the order of their turn: id and priority.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn downloads_by_turn(&self, limit: u32) -> Result<Vec<(DownloadId, i32)>, StoreError> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT id, priority FROM download WHERE state = 'transferring' \
                 ORDER BY priority DESC, position LIMIT ?1",
            )?;
            let rows = statement.query_map([limit], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// The link was opened: the package, the right to read it, its name.
    ///
    /// # Errors
    /// [`StoreError::NoDownload`] when it was removed meanwhile.
    pub async fn download_opened(
        &self,
        id: DownloadId,
        package: RemotePackage,
        name: String,
    ) -> Result<(), StoreError> {
        self.change(move |connection| {
            find(connection, id)?;
            connection
                .prepare_cached(
                    "UPDATE download SET package_id = ?2, package_token = ?3, name = coalesce(name, ?4) WHERE id = ?1",
                )?
                .execute(params![id, package.id, package.token.expose_secret(), name])?;
            Ok(())
        })
        .await
    }

    /// The package was listed. The first list is kept, in its order; in later ones only size and time count: a file
    /// that has changed is to be fetched anew.
    ///
    /// # Errors
    /// [`StoreError::NoDownload`] when it was removed meanwhile.
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

    /// The same, but only files that can not be had.
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
                "SELECT {FILE_COLUMNS} FROM download_file WHERE download_id = ?1 AND number > ?2 {condition} \
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

    /// A file is begun, or begun anew: whatever was there of it does not count any more.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn fetch_begun(&self, id: DownloadId, number: u32, size: u64, part_size: u64) -> Result<(), StoreError> {
        self.change(move |connection| {
            forget_parts(connection, id, number)?;
            connection
                .prepare_cached(
                    "UPDATE download_file SET size = ?3, part_size = ?4, etag = NULL, state = 'receiving', \
                     bytes_done = 0, problem = NULL WHERE download_id = ?1 AND number = ?2",
                )?
                .execute(params![id, number, signed(size), signed(part_size)])?;
            count(connection, id)
        })
        .await
    }

    /// The numbers, from 1, of the file's parts that are on the disk.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn fetched_parts(&self, id: DownloadId, number: u32) -> Result<Vec<u32>, StoreError> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT number FROM download_part WHERE download_id = ?1 AND file_number = ?2 ORDER BY number",
            )?;
            let rows = statement.query_map(params![id, number], |row| row.get(0))?;
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
        part: u32,
        size: u64,
        etag: Option<String>,
    ) -> Result<(), StoreError> {
        self.change(move |connection| {
            let added = connection
                .prepare_cached(
                    "INSERT OR IGNORE INTO download_part (download_id, file_number, number, size) \
                     SELECT download_id, number, ?3, ?4 FROM download_file WHERE download_id = ?1 AND number = ?2",
                )?
                .execute(params![id, number, part, signed(size)])?;
            if added > 0 {
                connection
                    .prepare_cached(
                        "UPDATE download_file SET bytes_done = bytes_done + ?3, etag = coalesce(etag, ?4) \
                         WHERE download_id = ?1 AND number = ?2",
                    )?
                    .execute(params![id, number, signed(size), etag])?;
                connection
                    .prepare_cached("UPDATE download SET bytes_done = bytes_done + ?2 WHERE id = ?1")?
                    .execute(params![id, signed(size)])?;
            }
            Ok(())
        })
        .await
    }

    /// A file is in its place, or the same was there already.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn fetch_done(&self, id: DownloadId, number: u32, state: DownloadFileState) -> Result<(), StoreError> {
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
                    "UPDATE download_file SET state = ?3, bytes_done = size, problem = NULL \
                     WHERE download_id = ?1 AND number = ?2",
                )?
                .execute(params![id, number, word(&state)])?;
            connection
                .prepare_cached(
                    "UPDATE download SET files_done = files_done + 1, bytes_done = bytes_done + ?2 WHERE id = ?1",
                )?
                .execute(params![id, missing])?;
            Ok(())
        })
        .await
    }

    /// A file can not be had; the others go on.
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

    /// All is on the disk: the download is complete. Whether that is so.
    ///
    /// # Errors
    /// [`StoreError::NoDownload`]; [`StoreError::DownloadState`] when somebody paused it meanwhile.
    pub async fn download_completed(&self, id: DownloadId) -> Result<bool, StoreError> {
        self.change(move |connection| {
            let found = find(connection, id)?;
            require(&found, &[State::Transferring])?;
            if found.totals.files_done < found.totals.files {
                return Ok(false);
            }
            connection
                .prepare_cached("UPDATE download SET completed_at = ?2 WHERE id = ?1")?
                .execute(params![id, now()])?;
            let more = object!({
                "files": found.totals.files, "bytes": found.totals.bytes,
                "destination": found.spec.destination.to_string_lossy(),
            });
            set_state(connection, &found, State::Complete, None, more)?;
            Ok(true)
        })
        .await
    }

    /// Moves a download to `to` when it is in one of `from`; being there already changes nothing.
    ///
    /// # Errors
    /// [`StoreError::DownloadState`] from any other state.
    pub async fn move_download(
        &self,
        id: DownloadId,
        from: &'static [State],
        to: State,
        problem: Option<Problem>,
    ) -> Result<(), StoreError> {
        self.change(move |connection| {
            let found = find(connection, id)?;
            if found.state == to && found.problem == problem {
                return Ok(());
            }
            require(&found, from)?;
            let more = problem.as_ref().map_or(Value::Null, |problem| object!({ "error": problem }));
            set_state(connection, &found, to, problem.as_ref(), more)
        })
        .await
    }

    /// Lets a failed or paused download try again: what failed in it is waiting once more.
    ///
    /// # Errors
    /// [`StoreError::DownloadState`] when it is complete.
    pub async fn try_download_again(&self, id: DownloadId) -> Result<(), StoreError> {
        self.change(move |connection| {
            let found = find(connection, id)?;
            require(&found, &[State::Paused, State::Error, State::Transferring])?;
            if found.state == State::Transferring {
                return Ok(());
            }
            connection
                .prepare_cached(
                    "UPDATE download_file SET state = 'waiting', problem = NULL \
                     WHERE download_id = ?1 AND state = 'error'",
                )?
                .execute([id])?;
            set_state(connection, &found, State::Transferring, None, Value::Null)
        })
        .await
    }

    /// Forgets a download.
    ///
    /// # Errors
    /// [`StoreError::NoDownload`].
    pub async fn remove_download(&self, id: DownloadId) -> Result<(), StoreError> {
        self.change(move |connection| {
            let found = find(connection, id)?;
            connection.prepare_cached("DELETE FROM download WHERE id = ?1")?.execute([id])?;
            tell(connection, "download.removed", &found, object!({ "state": found.state }))
        })
        .await
    }

    /// Changes the priority.
    ///
    /// # Errors
    /// [`StoreError::NoDownload`].
    pub async fn set_download_priority(&self, id: DownloadId, priority: i32) -> Result<(), StoreError> {
        self.change(move |connection| {
            let found = find(connection, id)?;
            connection
                .prepare_cached("UPDATE download SET priority = ?2 WHERE id = ?1")?
                .execute(params![id, priority])?;
            tell(connection, "download.priority", &found, object!({ "priority": priority }))
        })
        .await
    }
}
