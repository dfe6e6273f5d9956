//! Keys that act for a team. Only a hash of each is kept.

use jiff::Timestamp;
use masv_db::{Database, Value, Work, values};
use masv_protocol::{Key, KeyId, KeyRole, Open, TeamId};

use super::accounts::{Caller, stored_role};
use super::audit::Actor;
use super::ids::new_id;
use super::{Error, OrNotFound};
use crate::clock::now;
use crate::keys::tokens::digest;

/// Lets `key`, of which only a hash is kept, act for the team in a role; a key that is known already moves to it.
pub(super) fn insert(work: &Work<'_>, team: &TeamId, name: &str, role: KeyRole, key: &str) -> Result<KeyId, Error> {
    let now = now();
    let id: KeyId = new_id(now)?;
    work.run(
        "INSERT INTO api_key (id, hash, team_id, name, role, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (hash) DO UPDATE SET team_id = excluded.team_id",
        values![id.as_str(), digest(key), team.as_str(), name, role.as_str(), now],
    )?;
    Ok(id)
}

/// Makes a key of a team.
pub(crate) async fn create(
    database: &Database,
    team: TeamId,
    (name, role, key): (String, KeyRole, String),
    by: Actor,
) -> Result<KeyId, Error> {
    let making = database.transact(move |work| {
        let id = insert(work, &team, &name, role, &key)?;
        by.note(work, "key.added", &format!("{name} ({role})"))?;
        Ok(id)
    });
    making.await
}

/// A team's keys, without what they are made of.
pub(crate) async fn list(database: &Database, team: TeamId) -> Result<Vec<Key>, Error> {
    let listing = database.query(move |work| {
        let sql = "SELECT id, name, role, created_at FROM api_key WHERE team_id = ?1 ORDER BY created_at, id";
        Ok::<_, Error>(work.all(sql, values![team.as_str()], |row| {
            let role = Open::read(&row.get::<String>(2)?);
            Ok(Key { id: row.text(0)?, name: row.get(1)?, role, created_at: row.get::<Timestamp>(3)?.into() })
        })?)
    });
    listing.await
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

/// Who `key` is.
pub(crate) async fn caller_of_key(database: &Database, key: &str) -> Result<Option<Caller>, Error> {
    let hash = digest(key);
    database.query(move |work| find(work, "hash", values![hash])).await
}

/// Who the key of that id is, as long as there is one.
pub(crate) async fn caller_of_id(database: &Database, id: KeyId) -> Result<Option<Caller>, Error> {
    database.query(move |work| find(work, "id", values![id.as_str()])).await
}

fn find(work: &Work<'_>, column: &str, is: &[Value<'_>]) -> Result<Option<Caller>, Error> {
    let sql = format!("SELECT id, team_id, name, role FROM api_key WHERE {column} = ?1");
    Ok(work.one(&sql, is, |row| {
        Ok(Caller {
            key: Some(row.text(0)?),
            team_id: row.text(1)?,
            email: String::new(),
            name: format!("key {}", row.get::<String>(2)?),
            role: stored_role(&row.get::<String>(3)?).into(),
        })
    })?)
}
