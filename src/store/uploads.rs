//! Uploads: made, found, moved from state to state. Every transition is one transaction with its event, and says
//! from which states it is allowed.

mod changes;
mod lists;
mod package;
mod row;
mod states;

use masv_protocol::TeamId;
use rusqlite::{Connection, params};
use secrecy::ExposeSecret;
use serde_json::{Value, json as object};

use self::row::StoredDestination;
use super::rows::{json, signed, word};
use super::{Errand, Store, StoreError, events, files, ledger, now, outbox};
use crate::model::{Outcome, Problem, SourceFiles, State, Upload, UploadId, UploadSpec};
use masv_platform::FileIdentity;

pub use self::changes::Order;
pub(super) use self::lists::find;

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

pub(super) fn insert(connection: &Connection, id: UploadId, spec: UploadSpec) -> Result<(), StoreError> {
    let bytes = spec.files.bytes();
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
    files::insert(connection, id, 0, files::no_paths(), &spec.files)?;
    let body = object!({ "name": spec.name, "files": spec.files.len(), "bytes": bytes, "state": State::Transferring });
    events::record(connection, "upload.created", Some(id), spec.rule.as_deref(), &body)
}

pub(super) fn append(connection: &Connection, id: UploadId, more: &SourceFiles) -> Result<State, StoreError> {
    let found = find(connection, id)?;
    if found.closing && found.state != State::Complete {
        return Err(StoreError::WrongState { id: id.into(), state: "finalizing" });
    }
    require(&found, &[State::Transferring, State::Paused, State::Idle, State::Error])?;
    if let Some(rule) = &found.rule {
        ledger::claim(connection, rule, id, more)?;
    }
    let taken = files::paths(connection, id)?;
    files::insert(connection, id, files::next_number(connection, id)?, taken, more)?;
    let bytes = more.bytes();
    connection
        .prepare_cached("UPDATE upload SET files = files + ?2, bytes = bytes + ?3, idle_at = NULL WHERE id = ?1")?
        .execute(params![id, signed(more.len() as u64), signed(bytes)])?;
    let state = if found.state == State::Idle { State::Transferring } else { found.state };
    set_state(connection, id, state, found.problem.as_ref())?;
    tell_state(connection, &found, state, object!({ "added": more.len() }))?;
    Ok(state)
}

/// A file of a failed upload was dropped again with different content, and is sent by the upload `by`: the failed one continues
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

/// Removes an upload; if it is not complete, it is cancelled in the cloud.
pub(super) fn remove(connection: &Connection, found: &Upload, more: Value) -> Result<(), StoreError> {
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
    pub async fn append_files(&self, id: UploadId, more: impl Into<SourceFiles>) -> Result<State, StoreError> {
        let more = more.into();
        self.change(move |connection| append(connection, id, &more)).await
    }

    /// Forgets an upload. If it is not complete it is cancelled: its package, if there is one, is put into the outbox
    /// to be removed from the cloud, and its claims are marked so that the files are not automatically sent again.
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
}
