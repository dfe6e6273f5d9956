//! Errands outside this machine that must be run until they are done: they are written in the transaction of the
//! change that makes them necessary, so neither a crash nor an offline cloud forgets one.

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::rows::{from_json, json, time};
use super::{Store, StoreError, events, now};
use crate::model::{DueSpan, RemotePackage};
use masv_protocol::{PackageId, TeamId};

/// Something to do outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Errand {
    /// Remove a package that will never be completed from the cloud.
    RemovePackage {
        /// The name of the cloud that has it; `None` for the agent's own.
        #[serde(default)]
        cloud: Option<String>,
        /// The team there that it belongs to, where one does.
        #[serde(default)]
        team: Option<TeamId>,
        /// The cloud's id.
        package_id: PackageId,
        /// Its access token.
        token: String,
    },
    /// Notify a receiver of an event of a rule.
    Tell(Telling),
}

/// A notification and its receiver. The address and the signing secret stay in the rules file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Telling {
    /// Stays the same however often it is tried.
    pub delivery: String,
    /// The rule whose `notify` asks for it.
    pub rule: String,
    /// Digest of the receiver.
    pub target: String,
    /// The kind of event, such as `upload.complete`.
    pub event: String,
    /// The message.
    pub message: Value,
}

/// Which kinds of errands to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrandKind {
    /// [`Errand::RemovePackage`].
    RemovePackage,
    /// [`Errand::Tell`].
    Tell,
}

impl ErrandKind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::RemovePackage => "remove_package",
            Self::Tell => "tell",
        }
    }
}

impl Errand {
    /// Removes a package from the cloud that has it.
    pub(super) fn remove(package: &RemotePackage) -> Self {
        Self::RemovePackage {
            cloud: package.cloud.clone(),
            team: package.team.clone(),
            package_id: package.id.clone(),
            token: package.token.expose_secret().to_owned(),
        }
    }

    const fn kind(&self) -> ErrandKind {
        match self {
            Self::RemovePackage { .. } => ErrandKind::RemovePackage,
            Self::Tell(_) => ErrandKind::Tell,
        }
    }
}

/// An errand waiting to be run.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// Its number.
    pub id: i64,
    /// What to do.
    pub errand: Errand,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was written.
    pub created_at: Timestamp,
}

fn outgoing(row: &Row<'_>) -> Result<Outgoing, StoreError> {
    Ok(Outgoing {
        id: row.get(0)?,
        errand: from_json(&row.get::<_, String>(1)?, "outbox.body")?,
        attempts: row.get(2)?,
        created_at: time(row.get(3)?),
    })
}

/// Writes an errand into the transaction that makes it necessary.
pub(super) fn post(connection: &Connection, errand: &Errand) -> Result<(), StoreError> {
    connection
        .prepare_cached("INSERT INTO outbox (kind, body, due_at, created_at) VALUES (?1, ?2, ?3, ?3)")?
        .execute(params![errand.kind().as_str(), json(errand), now()])?;
    Ok(())
}

/// The setting that says up to which event everything is dealt with.
const RELAYED: &str = "relayed_event";

fn relayed(connection: &Connection) -> Result<Option<i64>, StoreError> {
    let text: Option<String> = connection
        .prepare_cached("SELECT value FROM setting WHERE key = ?1")?
        .query_row([RELAYED], |row| row.get(0))
        .optional()?;
    text.map(|text| from_json(&text, "setting.value")).transpose()
}

impl Store {
    /// The errands of a kind that are due, oldest first.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn errands_due(&self, kind: ErrandKind, due: DueSpan, limit: u32) -> Result<Vec<Outgoing>, StoreError> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT id, body, attempts, created_at FROM outbox WHERE kind = ?1 AND (due_at <= ?2 OR due_at > ?3) \
                 ORDER BY id LIMIT ?4",
            )?;
            let (by, latest) = (due.by.as_millisecond(), due.latest.as_millisecond());
            let mut rows = statement.query(params![kind.as_str(), by, latest, limit])?;
            let mut errands = Vec::new();
            while let Some(row) = rows.next()? {
                errands.push(outgoing(row)?);
            }
            Ok(errands)
        })
        .await
    }

    /// For everybody who is to be told something that is due, the oldest of it, so that one who cannot be reached
    /// does not hold up the others.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn tellings_due(&self, due: DueSpan) -> Result<Vec<Outgoing>, StoreError> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT id, body, attempts, created_at FROM outbox WHERE id IN \
                 (SELECT min(id) FROM outbox WHERE kind = ?1 AND (due_at <= ?2 OR due_at > ?3) \
                 GROUP BY body ->> 'target') ORDER BY id",
            )?;
            let (by, latest) = (due.by.as_millisecond(), due.latest.as_millisecond());
            let mut rows = statement.query(params![ErrandKind::Tell.as_str(), by, latest])?;
            let mut errands = Vec::new();
            while let Some(row) = rows.next()? {
                errands.push(outgoing(row)?);
            }
            Ok(errands)
        })
        .await
    }

    /// When the first errand of a kind after `now` is due.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn next_errand(&self, kind: ErrandKind, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        self.read(move |connection| {
            let due: Option<i64> = connection
                .prepare_cached("SELECT min(due_at) FROM outbox WHERE kind = ?1 AND due_at > ?2")?
                .query_row(params![kind.as_str(), now.as_millisecond()], |row| row.get(0))?;
            Ok(due.map(time))
        })
        .await
    }

    /// Writes the notifications for the events after `from` up to `to`, and that they are dealt with, in one
    /// transaction. Changes nothing and returns false if events after `from` were already dealt with.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn relay(&self, from: i64, to: i64, tellings: Vec<Telling>) -> Result<bool, StoreError> {
        self.change(move |connection| {
            if relayed(connection)? != Some(from) {
                return Ok(false);
            }
            for telling in tellings {
                post(connection, &Errand::Tell(telling))?;
            }
            connection
                .prepare_cached("UPDATE setting SET value = ?2 WHERE key = ?1")?
                .execute(params![RELAYED, to.to_string()])?;
            Ok(true)
        })
        .await
    }

    /// The event up to which everything is dealt with; at the very first call that is the newest one.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn relayed(&self) -> Result<i64, StoreError> {
        self.change(|connection| {
            if let Some(event) = relayed(connection)? {
                return Ok(event);
            }
            let newest: i64 = connection.query_row("SELECT coalesce(max(id), 0) FROM event", [], |row| row.get(0))?;
            connection
                .prepare_cached("INSERT INTO setting (key, value) VALUES (?1, ?2)")?
                .execute(params![RELAYED, newest.to_string()])?;
            Ok(newest)
        })
        .await
    }

    /// A receiver could not be notified: the errand ends, and an event reports it.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn telling_given_up(&self, id: i64, rule: String, body: Value) -> Result<(), StoreError> {
        self.change(move |connection| {
            connection.prepare_cached("DELETE FROM outbox WHERE id = ?1")?.execute([id])?;
            events::record(connection, "notify.error", None, Some(&rule), &body)
        })
        .await
    }

    /// The errand is done, or can never be.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn errand_done(&self, id: i64) -> Result<(), StoreError> {
        self.change(move |connection| {
            connection.prepare_cached("DELETE FROM outbox WHERE id = ?1")?.execute([id])?;
            Ok(())
        })
        .await
    }

    /// The errand failed and is tried again after `wait`.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn errand_failed(&self, id: i64, wait: SignedDuration) -> Result<(), StoreError> {
        self.change(move |connection| {
            let due =
                Timestamp::now().as_millisecond().saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX));
            connection
                .prepare_cached("UPDATE outbox SET attempts = attempts + 1, due_at = ?2 WHERE id = ?1")?
                .execute(params![id, due])?;
            Ok(())
        })
        .await
    }
}
