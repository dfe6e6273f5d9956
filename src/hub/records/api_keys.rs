//! Keys that act for a team. Only their hashes are stored.

use std::time::Duration;

use jiff::Timestamp;
use masv_db::{Database, DbError, Row, Value, Work, values};
use masv_protocol::{Key, KeyId, KeyRole, KeyState, Open, TeamId};

use super::accounts::{Caller, stored_role};
use super::audit::Actor;
use super::ids::new_id;
use super::packages::protocol_time;
use super::{Error, OrNotFound, bounds};
use crate::clock::{before, now};
use crate::keys::tokens::digest;

/// The precision with which the last use of a key is recorded.
const USE_NOTED_EVERY: Duration = Duration::from_secs(60);

/// The properties of a new or changed key.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub name: String,
    pub role: KeyRole,
    /// Absent: it does not expire.
    pub expires_at: Option<Timestamp>,
    pub state: KeyState,
}

impl Settings {
    fn audit_name(&self) -> String {
        let Self { name, role, state, .. } = self;
        let until = self.expires_at.map(|at| format!(", until {at:.0}")).unwrap_or_default();
        let off = if *state == KeyState::Inactive { ", inactive" } else { "" };
        format!("{name} ({role}{until}{off})")
    }
}

/// Why a key is not valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoCaller {
    Unknown,
    Expired,
    Inactive,
}

const COLUMNS: &str = "id, name, role, created_at, expires_at, active, last_used_at";

fn read(row: &Row<'_>) -> Result<Key, DbError> {
    let state = if row.get(5)? { KeyState::Active } else { KeyState::Inactive };
    Ok(Key {
        id: row.text(0)?,
        name: row.get(1)?,
        role: Open::read(&row.get::<String>(2)?),
        created_at: row.get::<Timestamp>(3)?.into(),
        expiry: protocol_time(row.get(4)?),
        state: Some(state.into()),
        last_used_at: protocol_time(row.get(6)?),
    })
}

fn get_in(work: &Work<'_>, team: &TeamId, id: &KeyId) -> Result<Key, Error> {
    let sql = format!("SELECT {COLUMNS} FROM api_key WHERE team_id = ?1 AND id = ?2{}", work.for_change());
    work.one(&sql, values![team.as_str(), id.as_str()], read)?.or_not_found("key")
}

/// Lets `key`, of which only a hash is stored, act for the team in a role; an existing key moves to it.
pub(super) fn insert(work: &Work<'_>, team: &TeamId, settings: &Settings, key: &str) -> Result<KeyId, Error> {
    let now = now();
    let id: KeyId = new_id(now)?;
    work.run(
        "INSERT INTO api_key (id, hash, team_id, name, role, created_at, expires_at, active)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (hash) DO UPDATE
         SET team_id = excluded.team_id, name = excluded.name",
        values![
            id.as_str(),
            digest(key),
            team.as_str(),
            settings.name,
            settings.role.as_str(),
            now,
            settings.expires_at,
            settings.state == KeyState::Active
        ],
    )?;
    Ok(id)
}

/// Makes a key of a team.
pub(crate) async fn create(
    database: &Database,
    team: TeamId,
    settings: Settings,
    key: String,
    by: Actor,
) -> Result<Key, Error> {
    let making = database.transact(move |work| {
        bounds::check_team(work, bounds::KEYS, &team)?;
        let id = insert(work, &team, &settings, &key)?;
        by.note(work, "key.added", &settings.audit_name())?;
        get_in(work, &team, &id)
    });
    making.await
}

/// Changes the key with this id as `change` says.
pub(crate) async fn update(
    database: &Database,
    team: TeamId,
    id: KeyId,
    change: impl Fn(Settings) -> Settings + Send + 'static,
    by: Actor,
) -> Result<Key, Error> {
    let updating = database.transact(move |work| {
        let key = get_in(work, &team, &id)?;
        let known = Settings {
            name: key.name,
            role: key.role.known().copied().unwrap_or(KeyRole::Sender),
            expires_at: key.expiry.timestamp(),
            state: key.state.and_then(|state| state.known().copied()).unwrap_or(KeyState::Inactive),
        };
        let settings = change(known);
        work.run(
            "UPDATE api_key SET name = ?2, role = ?3, expires_at = ?4, active = ?5 WHERE id = ?1",
            values![
                id.as_str(),
                settings.name,
                settings.role.as_str(),
                settings.expires_at,
                settings.state == KeyState::Active
            ],
        )?;
        by.note(work, "key.changed", &settings.audit_name())?;
        get_in(work, &team, &id)
    });
    updating.await
}

/// A team's keys, without the secrets.
pub(crate) async fn list(database: &Database, team: TeamId) -> Result<Vec<Key>, Error> {
    let listing = database.query(move |work| {
        let sql = format!("SELECT {COLUMNS} FROM api_key WHERE team_id = ?1 ORDER BY created_at, id");
        Ok::<_, Error>(work.all(&sql, values![team.as_str()], read)?)
    });
    listing.await
}

/// The team of the key of that id.
pub(crate) async fn team_of(database: &Database, id: KeyId) -> Result<Option<TeamId>, Error> {
    let finding = database.query(move |work| {
        let sql = "SELECT team_id FROM api_key WHERE id = ?1";
        Ok::<_, Error>(work.one(sql, values![id.as_str()], |row| row.text(0))?)
    });
    finding.await
}

/// Takes back the key of that id.
pub(crate) async fn delete(database: &Database, team: TeamId, id: KeyId, by: Actor) -> Result<(), Error> {
    let deleting = database.transact(move |work| {
        let sql = "DELETE FROM api_key WHERE team_id = ?1 AND id = ?2 RETURNING name, role";
        let deleted = work.one(sql, values![team.as_str(), id.as_str()], |row| {
            Ok((row.get::<String>(0)?, stored_role(&row.get::<String>(1)?)))
        })?;
        let (name, role) = deleted.or_not_found("key")?;
        by.note(work, "key.removed", &format!("{name} ({role})"))
    });
    deleting.await
}

/// The caller of `key`; its use is recorded.
pub(crate) async fn caller_of_key(database: &Database, key: &str) -> Result<Result<Caller, NoCaller>, Error> {
    let hash = digest(key);
    let found = database.query(move |work| find(work, "hash", values![hash])).await?;
    used(database, found).await
}

/// The caller of the key with this id, while it is valid; its use is recorded.
pub(crate) async fn caller_of_id(database: &Database, id: KeyId) -> Result<Result<Caller, NoCaller>, Error> {
    let found = database.query(move |work| find(work, "id", values![id.as_str()])).await?;
    used(database, found).await
}

/// A caller, and whether the use of its key is to be recorded.
type Found = Result<(Caller, bool), NoCaller>;

fn find(work: &Work<'_>, column: &str, is: &[Value<'_>]) -> Result<Found, Error> {
    let now = now();
    let sql =
        format!("SELECT id, team_id, name, role, expires_at, active, last_used_at FROM api_key WHERE {column} = ?1");
    let found = work.one(&sql, is, |row| {
        if !row.get::<bool>(5)? {
            return Ok(Err(NoCaller::Inactive));
        }
        if row.get::<Option<Timestamp>>(4)?.is_some_and(|expires| expires <= now) {
            return Ok(Err(NoCaller::Expired));
        }
        let caller = Caller {
            key: Some(row.text(0)?),
            account: None,
            team_id: row.text(1)?,
            email: String::new(),
            name: format!("key {}", row.get::<String>(2)?),
            role: stored_role(&row.get::<String>(3)?).into(),
        };
        let used: Option<Timestamp> = row.get(6)?;
        Ok(Ok((caller, used.is_none_or(|used| used <= before(now, USE_NOTED_EVERY) || used > now))))
    })?;
    Ok(found.unwrap_or(Err(NoCaller::Unknown)))
}

async fn used(database: &Database, found: Found) -> Result<Result<Caller, NoCaller>, Error> {
    let (caller, is_to_note) = match found {
        Ok(found) => found,
        Err(none) => return Ok(Err(none)),
    };
    let is_to_note = is_to_note && !database.is_read_only();
    if let (true, Some(key)) = (is_to_note, caller.key.clone()) {
        let noting = database.transact(move |work| {
            work.run("UPDATE api_key SET last_used_at = ?2 WHERE id = ?1", values![key.as_str(), now()])?;
            Ok::<_, Error>(())
        });
        // A disk that is full must not keep anybody from reading, or from removing something.
        if let Err(error) = noting.await {
            tracing::warn!(%error, "cannot record the use of a key");
        }
    }
    Ok(Ok(caller))
}
