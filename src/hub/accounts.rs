//! Teams, people, keys and sessions.

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::{Value, json};

use super::error::Refusal;
use super::sign::digest;
use super::wire::time;

/// Milliseconds that a session holds.
pub(super) const SESSION_LIFE: i64 = 7 * super::packages::DAY;

/// Who makes a team call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Caller {
    pub team_id: String,
    /// Mail address of a person, empty for a key.
    pub email: String,
    pub role: Role,
}

/// What a member of a team may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Sends and sees packages.
    Member,
    /// Also changes portals and webhooks.
    Admin,
    /// Also stands for the team.
    Owner,
}

impl Role {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }

    fn parse(text: &str) -> Self {
        match text {
            "owner" => Self::Owner,
            "admin" => Self::Admin,
            _ => Self::Member,
        }
    }
}

/// A person.
#[derive(Debug, Clone)]
pub(super) struct Account {
    pub id: String,
    pub email: String,
    pub name: String,
    pub password_hash: String,
}

impl Account {
    /// As the protocol shows it.
    pub(super) fn json(&self) -> Value {
        json!({ "id": self.id, "email": self.email, "name": self.name })
    }
}

/// The team of that name.
pub(super) fn team_by_name(connection: &Connection, name: &str) -> Result<Option<String>, Refusal> {
    let mut statement = connection.prepare_cached("SELECT id FROM team WHERE name = ?1")?;
    Ok(statement.query_row([name], |row| row.get(0)).optional()?)
}

/// Stores a new team.
pub(super) fn insert_team(connection: &Connection, id: &str, name: &str, now: i64) -> Result<(), Refusal> {
    connection
        .prepare_cached("INSERT INTO team (id, name, created_at) VALUES (?1, ?2, ?3)")?
        .execute(params![id, name, now])?;
    Ok(())
}

/// Lets `key` act for the team; a key that is known already moves to it.
pub(super) fn insert_key(
    connection: &Connection,
    id: &str,
    team: &str,
    name: &str,
    key: &str,
    now: i64,
) -> Result<(), Refusal> {
    connection
        .prepare_cached(
            "INSERT INTO api_key (id, hash, team_id, name, created_at) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (hash) DO UPDATE SET team_id = excluded.team_id",
        )?
        .execute(params![id, digest(key), team, name, now])?;
    Ok(())
}

/// A team's keys, without what they are made of.
pub(super) fn keys(connection: &Connection, team: &str) -> Result<Vec<Value>, Refusal> {
    let mut statement = connection
        .prepare_cached("SELECT id, name, created_at FROM api_key WHERE team_id = ?1 ORDER BY created_at, id")?;
    let rows = statement.query_map([team], |row| {
        Ok(json!({
            "id": row.get::<_, String>(0)?, "name": row.get::<_, String>(1)?, "created_at": time(Some(row.get(2)?)),
        }))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The team that `key` acts for.
pub(super) fn team_of_key(connection: &Connection, key: &str) -> Result<Option<String>, Refusal> {
    let mut statement = connection.prepare_cached("SELECT team_id FROM api_key WHERE hash = ?1")?;
    Ok(statement.query_row([digest(key)], |row| row.get(0)).optional()?)
}

/// The person of that address.
pub(super) fn account_by_email(connection: &Connection, email: &str) -> Result<Option<Account>, Refusal> {
    let mut statement =
        connection.prepare_cached("SELECT id, email, name, password_hash FROM account WHERE email = ?1")?;
    let account = statement.query_row([email.trim().to_lowercase()], |row| {
        Ok(Account { id: row.get(0)?, email: row.get(1)?, name: row.get(2)?, password_hash: row.get(3)? })
    });
    Ok(account.optional()?)
}

/// Stores a person, or a new name and password of one.
pub(super) fn put_account(connection: &Connection, account: &Account, now: i64) -> Result<(), Refusal> {
    connection
        .prepare_cached(
            "INSERT INTO account (id, email, name, password_hash, created_at) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (email) DO UPDATE SET name = excluded.name, password_hash = excluded.password_hash",
        )?
        .execute(params![account.id, account.email, account.name, account.password_hash, now])?;
    Ok(())
}

/// Makes a person part of a team.
pub(super) fn put_member(connection: &Connection, team: &str, email: &str, role: Role) -> Result<(), Refusal> {
    connection
        .prepare_cached(
            "INSERT INTO membership (team_id, account_id, role) SELECT ?1, id, ?3 FROM account WHERE email = ?2
             ON CONFLICT DO UPDATE SET role = excluded.role",
        )?
        .execute(params![team, email, role.as_str()])?;
    Ok(())
}

/// The teams of a person, as the protocol shows them.
pub(super) fn teams_of(connection: &Connection, account: &str) -> Result<Vec<Value>, Refusal> {
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
pub(super) fn members(connection: &Connection, team: &str) -> Result<Vec<Value>, Refusal> {
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
pub(super) fn insert_session(connection: &Connection, token: &str, account: &str, now: i64) -> Result<(), Refusal> {
    connection.prepare_cached("DELETE FROM session WHERE expires_at <= ?1")?.execute([now])?;
    connection
        .prepare_cached("INSERT INTO session (hash, account_id, expires_at) VALUES (?1, ?2, ?3)")?
        .execute(params![digest(token), account, now.saturating_add(SESSION_LIFE)])?;
    Ok(())
}

/// Who a session is, as a member of a team; `None` when there is no such session, or its person is not of the team.
pub(super) fn member_of_session(
    connection: &Connection,
    token: &str,
    team: &str,
    now: i64,
) -> Result<Option<Option<Caller>>, Refusal> {
    let account: Option<(String, String)> = connection
        .prepare_cached(
            "SELECT account.id, account.email FROM session JOIN account ON account.id = session.account_id
             WHERE session.hash = ?1 AND session.expires_at > ?2",
        )?
        .query_row(params![digest(token), now], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((account, email)) = account else { return Ok(None) };
    let role: Option<String> = connection
        .prepare_cached("SELECT role FROM membership WHERE team_id = ?1 AND account_id = ?2")?
        .query_row([team, &account], |row| row.get(0))
        .optional()?;
    Ok(Some(role.map(|role| Caller { team_id: team.to_owned(), email, role: Role::parse(&role) })))
}
