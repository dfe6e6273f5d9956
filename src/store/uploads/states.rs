//! Transitions from state to state, each one transaction with its event.

use rusqlite::params;
use serde_json::{Value, json as object};

use super::{find, require, set_state, tell_state};
use crate::model::{File, Outcome, Problem, State, UploadId};
use crate::store::{Store, StoreError, events, files, ledger, now};

impl Store {
    /// Moves an upload to `to` if it is in one of `from`; if it is already there, nothing changes. Returns the state
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

    /// Continues without those of `files` that no longer exist: they are left out of the package. Returns how many there are;
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
            // No second failure: what follows is that it goes on.
            let body = object!({ "state": found.state, "name": found.name, "left_out": paths });
            events::record(connection, "upload.state", Some(id), found.rule.as_deref(), &body)?;
            Ok(Some(files.len()))
        })
        .await
    }

    /// All is uploaded, as far as the caller knows. In one transaction: if files are still to be sent, nothing
    /// changes and `None` is returned; otherwise the upload becomes [`State::Idle`] or, if it is finalized
    /// automatically, is closed for further files (`Transferring` is returned: continue with finalizing).
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::WrongState`] if it was paused meanwhile.
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

    /// Requests finalizing: it happens as soon as everything is uploaded. Complete uploads are left as they are.
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
}
