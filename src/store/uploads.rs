//! Uploads: made, found, moved from state to state. Every transition is one transaction with its event, and says
//! from which states it is allowed.

use std::collections::{BTreeMap, HashSet};

use masv_protocol::TeamId;
use rusqlite::{Connection, OptionalExtension, Row, params};
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json as object};

use super::rows::{from_json, from_word, json, signed, time, unsigned, word};
use super::{Errand, Store, StoreError, events, files, ledger, now, outbox};
use crate::model::UploadId;
use crate::model::{
    Destination, File, Link, Outcome, Problem, RemotePackage, SourceFile, State, Totals, Upload, UploadFilter,
    UploadSpec,
};
use masv_platform::FileIdentity;

const COLUMNS: &str = "id, position, destination, name, description, password, options, team_id, chunk_size, priority, \
     auto_finalize, rule, state, closing, problem, package_id, package_token, links, files, files_done, bytes, \
     bytes_done, created_at, started_at, idle_at, completed_at, package_cloud";

/// Where an upload goes among those of equal priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// Before all others.
    Top,
    /// One place forward.
    Up,
    /// One place back.
    Down,
    /// After all others.
    Bottom,
}

/// [`Destination`] as its column keeps it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum StoredDestination {
    Email { recipients: Vec<String> },
    Link,
    Portal { subdomain: String, sender: String, access_code: Option<String>, metadata: BTreeMap<String, String> },
}

impl From<&Destination> for StoredDestination {
    fn from(destination: &Destination) -> Self {
        match destination {
            Destination::Email { recipients } => Self::Email { recipients: recipients.clone() },
            Destination::Link => Self::Link,
            Destination::Portal { subdomain, sender, access_code, metadata } => Self::Portal {
                subdomain: subdomain.clone(),
                sender: sender.clone(),
                access_code: access_code.as_ref().map(|code| code.expose_secret().to_owned()),
                metadata: metadata.clone(),
            },
        }
    }
}

impl From<StoredDestination> for Destination {
    fn from(stored: StoredDestination) -> Self {
        match stored {
            StoredDestination::Email { recipients } => Self::Email { recipients },
            StoredDestination::Link => Self::Link,
            StoredDestination::Portal { subdomain, sender, access_code, metadata } => {
                Self::Portal { subdomain, sender, access_code: access_code.map(SecretString::from), metadata }
            }
        }
    }
}

fn upload(row: &Row<'_>) -> Result<Upload, StoreError> {
    let destination: StoredDestination = from_json(&row.get::<_, String>(2)?, "upload.destination")?;
    let problem: Option<String> = row.get(14)?;
    let package_id: Option<String> = row.get(15)?;
    let package_token: Option<String> = row.get(16)?;
    let (team_id, cloud): (Option<String>, _) = (row.get(7)?, row.get(26)?);
    Ok(Upload {
        id: row.get(0)?,
        position: row.get(1)?,
        destination: destination.into(),
        name: row.get(3)?,
        description: row.get(4)?,
        password: row.get::<_, Option<String>>(5)?.map(SecretString::from),
        options: from_json(&row.get::<_, String>(6)?, "upload.options")?,
        team_id: team_id.clone().map(TeamId::from),
        chunk_size: row.get::<_, Option<i64>>(8)?.map(unsigned),
        priority: row.get(9)?,
        auto_finalize: row.get(10)?,
        rule: row.get(11)?,
        state: from_word(row.get(12)?, "upload.state")?,
        closing: row.get(13)?,
        problem: problem.map(|text| from_json(&text, "upload.problem")).transpose()?,
        package: package_id.zip(package_token).map(|(id, token)| RemotePackage {
            cloud,
            team: team_id.map(TeamId::from),
            id: id.into(),
            token: token.into(),
        }),
        links: from_json(&row.get::<_, String>(17)?, "upload.links")?,
        totals: Totals {
            files: unsigned(row.get(18)?),
            files_done: unsigned(row.get(19)?),
            bytes: unsigned(row.get(20)?),
            bytes_done: unsigned(row.get(21)?),
        },
        created_at: time(row.get(22)?),
        started_at: row.get::<_, Option<i64>>(23)?.map(time),
        idle_at: row.get::<_, Option<i64>>(24)?.map(time),
        completed_at: row.get::<_, Option<i64>>(25)?.map(time),
    })
}

/// The upload, or [`StoreError::NotFound`].
pub(super) fn find(connection: &Connection, id: UploadId) -> Result<Upload, StoreError> {
    connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM upload WHERE id = ?1"))?
        .query_row([id], |row| Ok(upload(row)))
        .optional()?
        .ok_or(StoreError::NotFound(id.into()))?
}

/// Tells of a state that has just been written.
fn tell_state(connection: &Connection, found: &Upload, state: State, more: Value) -> Result<(), StoreError> {
    let kind = match state {
        State::Complete => "upload.complete",
        State::Error => "upload.error",
        State::Idle => "upload.idle",
        State::Transferring | State::Paused => "upload.state",
    };
    let mut body = object!({ "state": state, "name": found.name });
    if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
        body.extend(more);
    }
    events::record(connection, kind, Some(found.id), found.rule.as_deref(), &body)
}

fn set_state(connection: &Connection, id: UploadId, state: State, problem: Option<&Problem>) -> Result<(), StoreError> {
    connection.prepare_cached("UPDATE upload SET state = ?2, problem = ?3 WHERE id = ?1")?.execute(params![
        id,
        word(&state),
        problem.map(json)
    ])?;
    Ok(())
}

fn require(found: &Upload, allowed: &[State]) -> Result<(), StoreError> {
    if allowed.contains(&found.state) {
        Ok(())
    } else {
        Err(StoreError::WrongState { id: found.id.into(), state: found.state.as_str() })
    }
}

pub(super) fn insert(connection: &Connection, id: UploadId, mut spec: UploadSpec) -> Result<(), StoreError> {
    files::number_clashes(HashSet::new(), &mut spec.files);
    let bytes: u64 = spec.files.iter().map(|file| file.identity.size).sum();
    connection
        .prepare_cached(
            "INSERT INTO upload (id, position, destination, name, description, password, options, team_id, \
             chunk_size, priority, auto_finalize, rule, state, files, bytes, created_at) VALUES \
             (?1, (SELECT coalesce(max(position), 0) + 1 FROM upload), ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, \
             'transferring', ?12, ?13, ?14)",
        )?
        .execute(params![
            id,
            json(&StoredDestination::from(&spec.destination)),
            spec.name,
            spec.description,
            spec.password.as_ref().map(ExposeSecret::expose_secret),
            json(&spec.options),
            spec.team_id.as_ref().map(TeamId::as_str),
            spec.chunk_size.map(signed),
            spec.priority,
            spec.auto_finalize,
            spec.rule,
            signed(spec.files.len() as u64),
            signed(bytes),
            now(),
        ])?;
    if let Some(rule) = &spec.rule {
        ledger::claim(connection, rule, id, &spec.files)?;
    }
    files::insert(connection, id, 0, &spec.files)?;
    let body = object!({ "name": spec.name, "files": spec.files.len(), "bytes": bytes, "state": State::Transferring });
    events::record(connection, "upload.created", Some(id), spec.rule.as_deref(), &body)
}

fn append(connection: &Connection, id: UploadId, mut more: Vec<SourceFile>) -> Result<State, StoreError> {
    let found = find(connection, id)?;
    if found.closing && found.state != State::Complete {
        return Err(StoreError::WrongState { id: id.into(), state: "finalizing" });
    }
    require(&found, &[State::Transferring, State::Paused, State::Idle, State::Error])?;
    if let Some(rule) = &found.rule {
        ledger::claim(connection, rule, id, &more)?;
    }
    files::number_clashes(files::paths(connection, id)?, &mut more);
    files::insert(connection, id, u32::try_from(found.totals.files).unwrap_or(u32::MAX), &more)?;
    let bytes: u64 = more.iter().map(|file| file.identity.size).sum();
    connection
        .prepare_cached("UPDATE upload SET files = files + ?2, bytes = bytes + ?3, idle_at = NULL WHERE id = ?1")?
        .execute(params![id, signed(more.len() as u64), signed(bytes)])?;
    let state = if found.state == State::Idle { State::Transferring } else { found.state };
    set_state(connection, id, state, found.problem.as_ref())?;
    tell_state(connection, &found, state, object!({ "added": more.len() }))?;
    Ok(state)
}

/// A file of a failed upload was dropped again with other content, and goes with the upload `by`: the failed one goes on
/// without it, or is removed where it has no other.
pub(super) fn superseded(
    connection: &Connection,
    id: UploadId,
    identity: &FileIdentity,
    by: UploadId,
) -> Result<(), StoreError> {
    let found = find(connection, id)?;
    if found.totals.files <= 1 {
        return remove(connection, &found, object!({ "superseded_by": by }));
    }
    let Some(file) = files::of_identity(connection, id, identity)? else { return Ok(()) };
    let path = file.path.to_string();
    files::leave_out(connection, id, &[file])?;
    files::retry_failed(connection, id)?;
    set_state(connection, id, State::Transferring, None)?;
    tell_state(connection, &found, State::Transferring, object!({ "left_out": [path], "superseded_by": by }))
}

/// Forgets an upload; what is not complete is cancelled in the cloud.
fn remove(connection: &Connection, found: &Upload, more: Value) -> Result<(), StoreError> {
    if found.state != State::Complete {
        if let Some(package) = &found.package {
            outbox::post(connection, &Errand::remove(package))?;
        }
        ledger::settle_claims(connection, found.id, Outcome::Cancelled)?;
    }
    connection.prepare_cached("DELETE FROM upload WHERE id = ?1")?.execute([found.id])?;
    let mut body = object!({ "name": found.name, "state": found.state });
    if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
        body.extend(more);
    }
    events::record(connection, "upload.removed", Some(found.id), found.rule.as_deref(), &body)
}

impl Store {
    /// Makes an upload with its files and its ledger claims.
    ///
    /// # Errors
    /// [`StoreError::AlreadyClaimed`]: nothing was made.
    pub async fn insert_upload(&self, id: UploadId, spec: UploadSpec) -> Result<(), StoreError> {
        self.change(move |connection| insert(connection, id, spec)).await
    }

    /// Adds files to an upload that is not closing; an idle one transfers again. One whose path another file has gets a
    /// number. Returns the upload's state.
    ///
    /// # Errors
    /// [`StoreError::WrongState`] once nothing can be added; [`StoreError::AlreadyClaimed`].
    pub async fn append_files(&self, id: UploadId, more: Vec<SourceFile>) -> Result<State, StoreError> {
        self.change(move |connection| append(connection, id, more)).await
    }

    /// One upload.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn upload(&self, id: UploadId) -> Result<Upload, StoreError> {
        self.read(move |connection| find(connection, id)).await
    }

    /// The uploads that `filter` lets through, newest first.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn uploads(&self, filter: UploadFilter) -> Result<Vec<Upload>, StoreError> {
        self.read(move |connection| {
            let states: Vec<String> = filter.states.iter().map(word).collect();
            // Only what is asked for stands there: a condition that holds of everything keeps SQLite from using an index.
            let of_state = if states.is_empty() { "" } else { "AND state IN (SELECT value FROM json_each(?1))" };
            let of_rule = if filter.rule.is_some() { "AND rule = ?2" } else { "" };
            let made_since = if filter.since.is_some() { "AND created_at >= ?4" } else { "" };
            let mut statement = connection.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM upload WHERE (?3 IS NULL OR id < ?3) {of_state} {of_rule} {made_since} \
                 AND instr(lower(name || ' ' || coalesce(rule, '')), lower(?5)) > 0 ORDER BY id DESC LIMIT ?6"
            ))?;
            let since = filter.since.map(|since| since.as_millisecond());
            let limit = if filter.limit == 0 { -1 } else { i64::from(filter.limit) };
            let mut rows =
                statement.query(params![json(&states), filter.rule, filter.before, since, filter.search, limit])?;
            let mut uploads = Vec::new();
            while let Some(row) = rows.next()? {
                uploads.push(upload(row)?);
            }
            Ok(uploads)
        })
        .await
    }

    /// How many uploads of a rule have failed, and the newest of them.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn uploads_failed(&self, rule: &str) -> Result<(u64, Option<Upload>), StoreError> {
        let rule = rule.to_owned();
        self.read(move |connection| {
            let failed = "FROM upload WHERE state = 'error' AND rule = ?1";
            let count: i64 = connection
                .prepare_cached(&format!("SELECT count(*) {failed}"))?
                .query_row([&rule], |row| row.get(0))?;
            let newest = connection
                .prepare_cached(&format!("SELECT {COLUMNS} {failed} ORDER BY id DESC LIMIT 1"))?
                .query_row([&rule], |row| Ok(upload(row)))
                .optional()?
                .transpose()?;
            Ok((unsigned(count), newest))
        })
        .await
    }

    /// How many uploads are in each state.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn upload_counts(&self) -> Result<Vec<(State, u64)>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached("SELECT state, count(*) FROM upload GROUP BY state")?;
            let mut rows = statement.query([])?;
            let mut counts = Vec::new();
            while let Some(row) = rows.next()? {
                counts.push((from_word(row.get(0)?, "upload.state")?, unsigned(row.get(1)?)));
            }
            Ok(counts)
        })
        .await
    }

    /// The cloud has made the package.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when the upload was removed meanwhile; the package is then put into the outbox
    /// to be removed from the cloud.
    pub async fn package_created(&self, id: UploadId, package: RemotePackage) -> Result<(), StoreError> {
        let orphan = Errand::remove(&package);
        let known = self
            .change(move |connection| {
                let changed = connection
                    .prepare_cached(
                        "UPDATE upload SET package_id = ?2, package_token = ?3, started_at = ?4, \
                         team_id = coalesce(?5, team_id), package_cloud = ?6 WHERE id = ?1",
                    )?
                    .execute(params![
                        id,
                        package.id.as_str(),
                        package.token.expose_secret(),
                        now(),
                        package.team.as_ref().map(TeamId::as_str),
                        package.cloud
                    ])?;
                if changed == 0 {
                    outbox::post(connection, &orphan)?;
                }
                Ok(changed > 0)
            })
            .await?;
        if known { Ok(()) } else { Err(StoreError::NotFound(id.into())) }
    }

    /// The package is not in the cloud any more, and was not complete: the upload is to have another one, with all its files.
    ///
    /// # Errors
    /// [`StoreError::WrongState`] unless it transfers.
    pub async fn package_vanished(&self, id: UploadId) -> Result<(), StoreError> {
        self.change(move |connection| {
            let found = find(connection, id)?;
            require(&found, &[State::Transferring])?;
            files::begin_anew(connection, id)?;
            connection
                .prepare_cached(
                    "UPDATE upload SET package_id = NULL, package_token = NULL, package_cloud = NULL, links = '[]', \
                     closing = 0, files_done = 0, bytes_done = 0, started_at = NULL, idle_at = NULL WHERE id = ?1",
                )?
                .execute([id])?;
            let vanished = found.package.as_ref().map(|package| package.id.clone());
            tell_state(connection, &found, State::Transferring, object!({ "vanished": vanished }))
        })
        .await
    }

    /// A link to the package was made.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn link_created(&self, id: UploadId, link: Link) -> Result<(), StoreError> {
        self.change(move |connection| {
            let mut found = find(connection, id)?;
            let body = object!({ "url": link.url, "name": found.name });
            found.links.push(link);
            connection
                .prepare_cached("UPDATE upload SET links = ?2 WHERE id = ?1")?
                .execute(params![id, json(&found.links)])?;
            events::record(connection, "upload.link", Some(id), found.rule.as_deref(), &body)
        })
        .await
    }

    /// Moves an upload to `to` when it is in one of `from`; being there already changes nothing. Returns the state
    /// it was in.
    ///
    /// # Errors
    /// [`StoreError::WrongState`] from any other state.
    pub async fn move_to(
        &self,
        id: UploadId,
        from: &'static [State],
        to: State,
        problem: Option<Problem>,
    ) -> Result<State, StoreError> {
        self.change(move |connection| {
            let found = find(connection, id)?;
            if found.state == to && found.problem == problem {
                return Ok(to);
            }
            require(&found, from)?;
            set_state(connection, id, to, problem.as_ref())?;
            tell_state(connection, &found, to, problem.map_or(Value::Null, |problem| object!({ "error": problem })))?;
            Ok(found.state)
        })
        .await
    }

    /// Lets a failed or paused upload try again: what failed in it is waiting once more.
    ///
    /// # Errors
    /// [`StoreError::WrongState`] when it is complete.
    pub async fn try_again(&self, id: UploadId) -> Result<State, StoreError> {
        self.change(move |connection| {
            let found = find(connection, id)?;
            require(&found, &[State::Paused, State::Error, State::Transferring, State::Idle])?;
            if matches!(found.state, State::Transferring | State::Idle) {
                return Ok(found.state);
            }
            files::retry_failed(connection, id)?;
            set_state(connection, id, State::Transferring, None)?;
            tell_state(connection, &found, State::Transferring, Value::Null)?;
            Ok(State::Transferring)
        })
        .await
    }

    /// Goes on without those of `files` that have vanished: they are left out of the package. Returns how many that are;
    /// `None`, and nothing changes, when no file would be left.
    ///
    /// # Errors
    /// [`StoreError::WrongState`] unless it is paused or has failed.
    pub async fn leave_out(&self, id: UploadId, files: Vec<File>) -> Result<Option<usize>, StoreError> {
        self.change(move |connection| {
            let found = find(connection, id)?;
            require(&found, &[State::Paused, State::Error])?;
            if files.len() as u64 >= found.totals.files {
                return Ok(None);
            }
            files::leave_out(connection, id, &files)?;
            let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
            tell_state(connection, &found, found.state, object!({ "left_out": paths }))?;
            Ok(Some(files.len()))
        })
        .await
    }

    /// All is uploaded, as far as the caller knows. In one transaction: if files are still to be sent, nothing
    /// changes and `None` is returned; otherwise the upload goes to [`State::Idle`] or, where it is to be finalized
    /// by itself, is closed for further files (`Transferring` is returned: go on with the finalize).
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::WrongState`] when somebody paused it meanwhile.
    pub async fn all_sent(&self, id: UploadId) -> Result<Option<State>, StoreError> {
        self.change(move |connection| {
            let found = find(connection, id)?;
            require(&found, &[State::Transferring])?;
            if found.totals.files_done < found.totals.files {
                return Ok(None);
            }
            let idle_at = found.idle_at.map_or_else(now, |at| at.as_millisecond());
            if found.auto_finalize || found.closing {
                connection
                    .prepare_cached("UPDATE upload SET closing = 1, idle_at = ?2 WHERE id = ?1")?
                    .execute(params![id, idle_at])?;
                return Ok(Some(State::Transferring));
            }
            connection.prepare_cached("UPDATE upload SET idle_at = ?2 WHERE id = ?1")?.execute(params![id, idle_at])?;
            set_state(connection, id, State::Idle, None)?;
            tell_state(connection, &found, State::Idle, Value::Null)?;
            Ok(Some(State::Idle))
        })
        .await
    }

    /// Somebody asks for the finalize: it happens as soon as all is uploaded. Complete uploads are left as they are.
    /// Returns the state afterwards.
    ///
    /// # Errors
    /// [`StoreError::WrongState`] for a paused or failed upload, which must be resumed first.
    pub async fn ask_finalize(&self, id: UploadId) -> Result<State, StoreError> {
        self.change(move |connection| {
            let found = find(connection, id)?;
            if found.state == State::Complete {
                return Ok(State::Complete);
            }
            require(&found, &[State::Transferring, State::Idle])?;
            connection.prepare_cached("UPDATE upload SET auto_finalize = 1 WHERE id = ?1")?.execute([id])?;
            if found.state == State::Idle {
                set_state(connection, id, State::Transferring, None)?;
                tell_state(connection, &found, State::Transferring, Value::Null)?;
            }
            Ok(State::Transferring)
        })
        .await
    }

    /// The cloud has finalized the package: the upload is complete and its claims are sent.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when it was removed meanwhile.
    pub async fn completed(&self, id: UploadId) -> Result<(), StoreError> {
        self.change(move |connection| {
            let found = find(connection, id)?;
            connection
                .prepare_cached("UPDATE upload SET completed_at = ?2 WHERE id = ?1")?
                .execute(params![id, now()])?;
            set_state(connection, id, State::Complete, None)?;
            ledger::settle_claims(connection, id, Outcome::Sent)?;
            let link = found.links.first().map(|link| link.url.clone());
            let mut more = object!({ "files": found.totals.files, "bytes": found.totals.bytes, "link": link });
            let left_out = files::left_out(connection, id)?;
            if !left_out.is_empty() {
                more["left_out"] = left_out.into();
            }
            tell_state(connection, &found, State::Complete, more)
        })
        .await
    }

    /// Forgets an upload. If it is not complete it is cancelled: its package, if there is one, is put into the outbox
    /// to be removed from the cloud, and its claims are marked so that the files are not sent by themselves again.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn remove_upload(&self, id: UploadId) -> Result<(), StoreError> {
        self.change(move |connection| {
            let found = find(connection, id)?;
            remove(connection, &found, Value::Null)
        })
        .await
    }

    /// Changes the priority.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn set_priority(&self, id: UploadId, priority: i32) -> Result<(), StoreError> {
        self.change(move |connection| {
            let found = find(connection, id)?;
            connection
                .prepare_cached("UPDATE upload SET priority = ?2 WHERE id = ?1")?
                .execute(params![id, priority])?;
            events::record(
                connection,
                "upload.priority",
                Some(id),
                found.rule.as_deref(),
                &object!({ "priority": priority }),
            )
        })
        .await
    }

    /// Changes the password, of a portal the access code, of an upload whose package is not made. Returns its state.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::WrongState`] once the package is made.
    pub async fn set_password(&self, id: UploadId, password: SecretString) -> Result<State, StoreError> {
        self.change(move |connection| {
            let mut found = find(connection, id)?;
            if found.package.is_some() {
                return Err(StoreError::WrongState { id: id.into(), state: found.state.as_str() });
            }
            match &mut found.destination {
                Destination::Portal { access_code, .. } => {
                    *access_code = Some(password);
                    connection
                        .prepare_cached("UPDATE upload SET destination = ?2 WHERE id = ?1")?
                        .execute(params![id, json(&StoredDestination::from(&found.destination))])?;
                }
                Destination::Email { .. } | Destination::Link => {
                    connection
                        .prepare_cached("UPDATE upload SET password = ?2 WHERE id = ?1")?
                        .execute(params![id, password.expose_secret()])?;
                }
            }
            Ok(found.state)
        })
        .await
    }

    /// Whether it is finalized by itself.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::WrongState`] when it is complete.
    pub async fn set_auto_finalize(&self, id: UploadId, auto_finalize: bool) -> Result<(), StoreError> {
        self.change(move |connection| {
            let found = find(connection, id)?;
            require(&found, &[State::Transferring, State::Paused, State::Idle, State::Error])?;
            connection
                .prepare_cached("UPDATE upload SET auto_finalize = ?2 WHERE id = ?1")?
                .execute(params![id, auto_finalize])?;
            Ok(())
        })
        .await
    }

    /// Moves an upload among those of the same priority that are not complete.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn set_order(&self, id: UploadId, order: Order) -> Result<(), StoreError> {
        self.change(move |connection| {
            let found = find(connection, id)?;
            let mine: (i64, i64) = connection
                .prepare_cached("SELECT position, rank FROM upload WHERE id = ?1")?
                .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let place = |id: UploadId, (position, rank): (i64, i64)| -> Result<(), StoreError> {
                connection
                    .prepare_cached("UPDATE upload SET position = ?2, rank = ?3 WHERE id = ?1")?
                    .execute(params![id, position, rank])?;
                Ok(())
            };
            let edge = |sql: &str| -> Result<(i64, i64), StoreError> {
                Ok(connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?)
            };
            let open = "state <> 'complete'";
            match order {
                Order::Top => {
                    let (first, rank) = edge("SELECT min(position), min(0, min(rank)) FROM upload")?;
                    place(id, (first - 1, rank - 1))?;
                }
                Order::Bottom => {
                    let (last, rank) = edge("SELECT max(position), max(0, max(rank)) FROM upload")?;
                    place(id, (last + 1, rank + 1))?;
                }
                Order::Up | Order::Down => {
                    let sql = if order == Order::Up {
                        format!("position < ?2 AND {open} ORDER BY position DESC LIMIT 1")
                    } else {
                        format!("position > ?2 AND {open} ORDER BY position LIMIT 1")
                    };
                    let neighbour: Option<(UploadId, (i64, i64))> = connection
                        .prepare_cached(&format!(
                            "SELECT id, position, rank FROM upload WHERE priority = ?1 AND {sql}"
                        ))?
                        .query_row(params![found.priority, found.position], |row| {
                            Ok((row.get(0)?, (row.get(1)?, row.get(2)?)))
                        })
                        .optional()?;
                    if let Some((other, theirs)) = neighbour {
                        place(other, mine)?;
                        place(id, theirs)?;
                    }
                }
            }
            events::record(connection, "upload.priority", Some(id), found.rule.as_deref(), &object!({ "order": order }))
        })
        .await
    }
}
