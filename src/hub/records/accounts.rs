//! Teams, people, keys and sessions.

use std::net::IpAddr;

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::{Value, json};

use crate::error::Refusal;
use crate::http::wire::time;
use crate::keys::tokens::digest;
use crate::records::audit::Actor;

/// Milliseconds that a session holds.
pub(crate) const SESSION_LIFE: i64 = 7 * crate::records::packages::DAY;

/// Who makes a team call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    pub team_id: String,
    /// Mail address of a person, empty for a key.
    pub email: String,
    /// As the audit log calls it.
    pub name: String,
    pub role: Role,
}

impl Caller {
    /// The caller, at the address that the request came from, for the audit log.
    pub(crate) fn at(&self, address: Option<IpAddr>) -> Actor {
        Actor { team: Some(self.team_id.clone()), name: self.name.clone(), address }
    }
}

/// What a key or a member of a team may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Sends and sees packages.
    Sender,
    /// Also changes people, keys, portals and webhooks.
    Admin,
    /// Also makes and unmakes owners.
    Owner,
    /// Whoever has the hub's data: may do everything, in every team. Never stored.
    Operator,
}

impl Role {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sender => "sender",
            Self::Admin => "admin",
            Self::Owner => "owner",
            Self::Operator => "operator",
        }
    }

    /// The role that is written so; `member` is the protocol's older word for a sender.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "owner" => Some(Self::Owner),
            "admin" => Some(Self::Admin),
            "sender" | "member" => Some(Self::Sender),
            _ => None,
        }
    }

    /// As it is stored; what is not known may do the least.
    fn stored(text: &str) -> Self {
        Self::parse(text).unwrap_or(Self::Sender)
    }
}

/// A person.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    pub id: String,
    pub email: String,
    pub name: String,
    pub password_hash: String,
}

impl Account {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self { id: row.get(0)?, email: row.get(1)?, name: row.get(2)?, password_hash: row.get(3)? })
    }

    /// As the protocol shows it.
    pub(crate) fn json(&self) -> Value {
        json!({ "id": self.id, "email": self.email, "name": self.name })
    }
}

/// The team of that name.
pub(crate) fn team_by_name(connection: &Connection, name: &str) -> Result<Option<String>, Refusal> {
    let mut statement = connection.prepare_cached("SELECT id FROM team WHERE name = ?1")?;
    Ok(statement.query_row([name], |row| row.get(0)).optional()?)
}

/// All teams, by name, as the protocol shows them.
pub(crate) fn teams(connection: &Connection) -> Result<Vec<Value>, Refusal> {
    let mut statement = connection.prepare_cached("SELECT id, name FROM team ORDER BY name")?;
    let rows = statement.query_map([], |row| {
        Ok(json!({ "id": row.get::<_, String>(0)?, "name": row.get::<_, String>(1)?, "role": Role::Operator.as_str() }))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Whether there is a team of this id.
pub(crate) fn is_team(connection: &Connection, id: &str) -> Result<bool, Refusal> {
    let mut statement = connection.prepare_cached("SELECT EXISTS (SELECT 1 FROM team WHERE id = ?1)")?;
    Ok(statement.query_row([id], |row| row.get(0))?)
}

/// Stores a new team.
pub(crate) fn insert_team(connection: &Connection, id: &str, name: &str, now: i64) -> Result<(), Refusal> {
    connection
        .prepare_cached("INSERT INTO team (id, name, created_at) VALUES (?1, ?2, ?3)")?
        .execute(params![id, name, now])?;
    Ok(())
}

/// Lets `key` act for the team in a role; a key that is known already moves to it.
pub(crate) fn insert_key(connection: &Connection, new: &NewKey<'_>, now: i64) -> Result<(), Refusal> {
    connection
        .prepare_cached(
            "INSERT INTO api_key (id, hash, team_id, name, role, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (hash) DO UPDATE SET team_id = excluded.team_id",
        )?
        .execute(params![new.id, digest(new.key), new.team, new.name, new.role.as_str(), now])?;
    Ok(())
}

/// A key to be stored.
pub(crate) struct NewKey<'a> {
    pub id: &'a str,
    pub team: &'a str,
    pub name: &'a str,
    pub role: Role,
    /// The secret itself, of which only a hash is kept.
    pub key: &'a str,
}

/// A team's keys, without what they are made of.
pub(crate) fn keys(connection: &Connection, team: &str) -> Result<Vec<Value>, Refusal> {
    let mut statement = connection
        .prepare_cached("SELECT id, name, role, created_at FROM api_key WHERE team_id = ?1 ORDER BY created_at, id")?;
    let rows = statement.query_map([team], |row| {
        Ok(json!({
            "id": row.get::<_, String>(0)?, "name": row.get::<_, String>(1)?, "role": row.get::<_, String>(2)?,
            "created_at": time(Some(row.get(3)?)),
        }))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Takes back the key of that id; its name and role.
pub(crate) fn delete_key(connection: &Connection, team: &str, id: &str) -> Result<(String, Role), Refusal> {
    connection
        .prepare_cached("DELETE FROM api_key WHERE team_id = ?1 AND id = ?2 RETURNING name, role")?
        .query_row([team, id], |row| Ok((row.get(0)?, Role::stored(&row.get::<_, String>(1)?))))
        .optional()?
        .ok_or_else(|| Refusal::not_found("key"))
}

/// Who `key` is.
pub(crate) fn caller_of_key(connection: &Connection, key: &str) -> Result<Option<Caller>, Refusal> {
    let mut statement = connection.prepare_cached("SELECT team_id, name, role FROM api_key WHERE hash = ?1")?;
    let caller = statement.query_row([digest(key)], |row| {
        Ok(Caller {
            team_id: row.get(0)?,
            email: String::new(),
            name: format!("key {}", row.get::<_, String>(1)?),
            role: Role::stored(&row.get::<_, String>(2)?),
        })
    });
    Ok(caller.optional()?)
}

/// The person of that address.
pub(crate) fn account_by_email(connection: &Connection, email: &str) -> Result<Option<Account>, Refusal> {
    let mut statement =
        connection.prepare_cached("SELECT id, email, name, password_hash FROM account WHERE email = ?1")?;
    Ok(statement.query_row([email.trim().to_lowercase()], Account::from_row).optional()?)
}

/// The person of that id.
pub(crate) fn account_by_id(connection: &Connection, id: &str) -> Result<Option<Account>, Refusal> {
    let mut statement =
        connection.prepare_cached("SELECT id, email, name, password_hash FROM account WHERE id = ?1")?;
    Ok(statement.query_row([id], Account::from_row).optional()?)
}

/// Stores a person, or a new name and password of one.
pub(crate) fn put_account(connection: &Connection, account: &Account, now: i64) -> Result<(), Refusal> {
    connection
        .prepare_cached(
            "INSERT INTO account (id, email, name, password_hash, created_at) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (email) DO UPDATE SET name = excluded.name, password_hash = excluded.password_hash",
        )?
        .execute(params![account.id, account.email, account.name, account.password_hash, now])?;
    Ok(())
}

/// Makes a person part of a team, or changes what they are in it.
pub(crate) fn put_member(connection: &Connection, team: &str, account: &str, role: Role) -> Result<(), Refusal> {
    connection
        .prepare_cached(
            "INSERT INTO membership (team_id, account_id, role) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET role = excluded.role",
        )?
        .execute(params![team, account, role.as_str()])?;
    Ok(())
}

/// Takes a person out of a team; one who is in no other is forgotten, and sessions end with that.
pub(crate) fn remove_member(connection: &Connection, team: &str, account: &str) -> Result<(), Refusal> {
    connection
        .prepare_cached("DELETE FROM membership WHERE team_id = ?1 AND account_id = ?2")?
        .execute([team, account])?;
    connection
        .prepare_cached(
            "DELETE FROM account WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM membership WHERE account_id = ?1)",
        )?
        .execute([account])?;
    Ok(())
}

/// What a person is in a team.
pub(crate) fn role_in(connection: &Connection, team: &str, account: &str) -> Result<Option<Role>, Refusal> {
    let role: Option<String> = connection
        .prepare_cached("SELECT role FROM membership WHERE team_id = ?1 AND account_id = ?2")?
        .query_row([team, account], |row| row.get(0))
        .optional()?;
    Ok(role.map(|role| Role::stored(&role)))
}

/// Ends all sessions of a person.
pub(crate) fn end_sessions(connection: &Connection, account: &str) -> Result<(), Refusal> {
    connection.prepare_cached("DELETE FROM session WHERE account_id = ?1")?.execute([account])?;
    Ok(())
}

/// The teams of a person, as the protocol shows them.
pub(crate) fn teams_of(connection: &Connection, account: &str) -> Result<Vec<Value>, Refusal> {
    let mut statement = connection.prepare_cached(
        "SELECT team.id, team.name, membership.role FROM membership JOIN team ON team.id = membership.team_id
         WHERE membership.account_id = ?1 ORDER BY team.name",
    )?;
    let rows = statement.query_map([account], |row| {
        Ok(json!({
            "id": row.get::<_, String>(0)?, "name": row.get::<_, String>(1)?, "role": row.get::<_, String>(2)?,
        }))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The members of a team, as the protocol shows them.
pub(crate) fn members(connection: &Connection, team: &str) -> Result<Vec<Value>, Refusal> {
    let mut statement = connection.prepare_cached(
        "SELECT account.id, account.email, account.name, membership.role, account.created_at
         FROM membership JOIN account ON account.id = membership.account_id
         WHERE membership.team_id = ?1 ORDER BY account.email",
    )?;
    let rows = statement.query_map([team], |row| {
        Ok(json!({
            "id": row.get::<_, String>(0)?, "email": row.get::<_, String>(1)?, "name": row.get::<_, String>(2)?,
            "role": row.get::<_, String>(3)?, "created_at": time(Some(row.get(4)?)),
        }))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Begins a session; forgets those that are over.
pub(crate) fn insert_session(connection: &Connection, token: &str, account: &str, now: i64) -> Result<(), Refusal> {
    connection.prepare_cached("DELETE FROM session WHERE expires_at <= ?1")?.execute([now])?;
    connection
        .prepare_cached("INSERT INTO session (hash, account_id, expires_at) VALUES (?1, ?2, ?3)")?
        .execute(params![digest(token), account, now.saturating_add(SESSION_LIFE)])?;
    Ok(())
}

/// Whose session this is.
pub(crate) fn account_of_session(connection: &Connection, token: &str, now: i64) -> Result<Option<Account>, Refusal> {
    let mut statement = connection.prepare_cached(
        "SELECT account.id, email, name, password_hash FROM session JOIN account ON account.id = session.account_id
         WHERE session.hash = ?1 AND session.expires_at > ?2",
    )?;
    Ok(statement.query_row(params![digest(token), now], Account::from_row).optional()?)
}
