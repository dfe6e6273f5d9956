//! Packages: their rows, and what becomes of one.

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::{Value, json};

use crate::error::Refusal;
use crate::http::wire::time;
use crate::jobs::{mail, webhooks};
use crate::records::activity;
use crate::records::activity::Event;
use crate::records::listing::{Asked, Conditions};
use crate::records::{files, links};
use crate::storage::BucketFile;

/// Milliseconds of a day.
pub(crate) const DAY: i64 = 24 * 60 * 60 * 1000;

/// A package.
#[derive(Debug, Clone)]
pub(crate) struct Package {
    pub id: String,
    pub team_id: String,
    pub portal_id: Option<String>,
    pub state: String,
    pub name: String,
    pub description: String,
    pub sender: String,
    pub recipients: Vec<String>,
    pub password_hash: Option<String>,
    pub access_limit: Option<u64>,
    pub expiry_days: Option<u64>,
    pub unlimited_storage: bool,
    pub tag_id: Option<String>,
    pub teamspace_id: Option<String>,
    pub metadata: Value,
    pub size: u64,
    pub file_count: u64,
    pub created_at: i64,
    pub updated_at: i64,
    pub finalized_at: Option<i64>,
    pub expires_at: Option<i64>,
}

/// The columns that [`Package::from_row`] reads.
pub(crate) const COLUMNS: &str = "id, team_id, portal_id, state, name, description, sender, recipients, password_hash, \
    access_limit, expiry_days, unlimited_storage, tag_id, teamspace_id, metadata, size, file_count, created_at, \
    updated_at, finalized_at, expires_at";

impl Package {
    pub(crate) fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let count = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok());
        let recipients: String = row.get(7)?;
        let metadata: String = row.get(14)?;
        Ok(Self {
            id: row.get(0)?,
            team_id: row.get(1)?,
            portal_id: row.get(2)?,
            state: row.get(3)?,
            name: row.get(4)?,
            description: row.get(5)?,
            sender: row.get(6)?,
            recipients: serde_json::from_str(&recipients).unwrap_or_default(),
            password_hash: row.get(8)?,
            access_limit: count(row.get(9)?),
            expiry_days: count(row.get(10)?),
            unlimited_storage: row.get(11)?,
            tag_id: row.get(12)?,
            teamspace_id: row.get(13)?,
            metadata: serde_json::from_str(&metadata).unwrap_or_default(),
            size: count(row.get(15)?).unwrap_or_default(),
            file_count: count(row.get(16)?).unwrap_or_default(),
            created_at: row.get(17)?,
            updated_at: row.get(18)?,
            finalized_at: row.get(19)?,
            expires_at: row.get(20)?,
        })
    }

    /// As the protocol shows it, without any secret.
    pub(crate) fn json(&self) -> Value {
        json!({
            "id": self.id,
            "team_id": self.team_id,
            "portal_id": self.portal_id,
            "state": self.state,
            "status": self.state,
            "name": self.name,
            "description": self.description,
            "sender": self.sender,
            "recipients": self.recipients,
            "size": self.size,
            "total_files": self.file_count,
            "access_limit": self.access_limit.unwrap_or_default(),
            "password_protected": self.password_hash.is_some(),
            "unlimited_storage": self.unlimited_storage,
            "tag_id": self.tag_id,
            "teamspace_id": self.teamspace_id,
            "custom_metadata": self.metadata,
            "created_at": time(Some(self.created_at)),
            "updated_at": time(Some(self.updated_at)),
            "finalized_at": time(self.finalized_at),
            "expiry": time(self.expires_at),
        })
    }
}

/// Stores a new package.
pub(crate) fn insert(connection: &Connection, package: &Package) -> Result<(), Refusal> {
    let number = |value: Option<u64>| value.and_then(|value| i64::try_from(value).ok());
    let mut statement = connection.prepare_cached(
        "INSERT INTO package (id, team_id, portal_id, state, name, description, sender, recipients, password_hash,
            access_limit, expiry_days, unlimited_storage, tag_id, teamspace_id, metadata, created_at, updated_at)
         VALUES (?1, ?2, ?3, 'new', ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?15)",
    )?;
    statement.execute(params![
        package.id,
        package.team_id,
        package.portal_id,
        package.name,
        package.description,
        package.sender,
        json!(package.recipients).to_string(),
        package.password_hash,
        number(package.access_limit),
        number(package.expiry_days),
        package.unlimited_storage,
        package.tag_id,
        package.teamspace_id,
        package.metadata.to_string(),
        package.created_at,
    ])?;
    activity::add(connection, package, Event::Created, &package.sender)?;
    webhooks::announce(connection, package, "package.created")
}

/// Which packages of a team.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// Those that it sent.
    Sent,
    /// Those that came through its portals.
    Received,
}

/// A page of a team's packages, and how many there are in all.
pub(crate) fn list(
    connection: &Connection,
    team: &str,
    which: Which,
    asked: &Asked,
) -> Result<(i64, Vec<Package>), Refusal> {
    let mut conditions = Conditions::default();
    conditions.add("team_id = ?", team.to_owned());
    conditions.add("(portal_id IS NOT NULL) = ?", i64::from(which == Which::Received));
    let states = asked.all("status").into_iter().chain(asked.all("state"));
    conditions.one_of("state", states.collect());
    conditions.one_of("tag_id", asked.all("tags"));
    conditions.one_of("teamspace_id", asked.all("teamspaces"));
    conditions.contains("name", asked, "name");
    conditions.contains("sender", asked, "sender");
    conditions.between("created_at", asked, "created_at");
    conditions.between("finalized_at", asked, "finalized_at");
    conditions.between("expires_at", asked, "expiry");
    if let Some(portal) = asked.one("portal").or_else(|| asked.one("subdomain")) {
        let portals = "portal_id IN (SELECT id FROM portal WHERE lower(?) IN (lower(id), lower(name), subdomain))";
        conditions.add(portals, portal.to_owned());
    }
    let order = asked.order(&[
        ("created_at", "created_at"),
        ("finalized_at", "finalized_at"),
        ("name", "lower(name)"),
        ("size", "size"),
        ("usage_total_bytes", "size"),
        ("expiry", "expires_at"),
        ("sender", "lower(sender)"),
        ("status", "state"),
        ("teamspace_id", "teamspace_id"),
    ]);
    let text = conditions.text();
    let total = connection
        .prepare(&format!("SELECT count(*) FROM package {text}"))?
        .query_row(rusqlite::params_from_iter(&conditions.values), |row| row.get(0))?;
    let (limit, before) = asked.page();
    let mut statement =
        connection.prepare(&format!("SELECT {COLUMNS} FROM package {text} {order} LIMIT {limit} OFFSET {before}"))?;
    let rows = statement.query_map(rusqlite::params_from_iter(&conditions.values), Package::from_row)?;
    Ok((total, rows.collect::<Result<_, _>>()?))
}

/// Sets until when a finalized package is kept; `None` is for ever.
pub(crate) fn set_expiry(
    connection: &Connection,
    id: &str,
    expires_at: Option<i64>,
    now: i64,
) -> Result<Package, Refusal> {
    let package = get(connection, id)?;
    if !matches!(package.state.as_str(), "new" | "finalized") {
        return Err(Refusal::conflict(format!("the package is {}", package.state)));
    }
    connection
        .prepare_cached("UPDATE package SET expires_at = ?2, unlimited_storage = ?3, updated_at = ?4 WHERE id = ?1")?
        .execute(params![id, expires_at, expires_at.is_none(), now])?;
    get(connection, id)
}

/// Up to `most` finalized packages that are over at `now`.
pub(crate) fn over(connection: &Connection, now: i64, most: u32) -> Result<Vec<String>, Refusal> {
    let mut statement =
        connection.prepare_cached("SELECT id FROM package WHERE expires_at <= ?1 AND state = 'finalized' LIMIT ?2")?;
    let rows = statement.query_map(params![now, most], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Notes that somebody is at work on a package that is being filled, to the hour: it is not given up.
pub(crate) fn touch(connection: &Connection, id: &str, now: i64) -> Result<(), Refusal> {
    connection
        .prepare_cached(
            "UPDATE package SET updated_at = ?2 WHERE id = ?1 AND state = 'new' AND updated_at < ?2 - 3600000",
        )?
        .execute(params![id, now])?;
    Ok(())
}

/// Up to `most` packages that were begun and not touched since `before`.
pub(crate) fn abandoned(connection: &Connection, before: i64, most: u32) -> Result<Vec<String>, Refusal> {
    let mut statement = connection.prepare_cached(
        "SELECT id FROM package WHERE state = 'new' AND updated_at < ?1 ORDER BY updated_at LIMIT ?2",
    )?;
    let rows = statement.query_map(params![before, most], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Marks a package as expired and forgets its parts: all of it in the storage can then be removed, and the uploads to the
/// bucket that are returned given up.
pub(crate) fn expire(connection: &Connection, id: &str, now: i64) -> Result<Vec<BucketFile>, Refusal> {
    let package = get(connection, id)?;
    let uploads = files::remove_parts(connection, id)?;
    connection
        .prepare_cached("UPDATE package SET state = 'expired', updated_at = ?2 WHERE id = ?1")?
        .execute(params![id, now])?;
    activity::add(connection, &package, Event::Expired, "")?;
    Ok(uploads)
}

/// The package of that id.
pub(crate) fn find(connection: &Connection, id: &str) -> Result<Option<Package>, Refusal> {
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM package WHERE id = ?1"))?;
    Ok(statement.query_row([id], Package::from_row).optional()?)
}

/// The package of that id, or the refusal that there is none.
pub(crate) fn get(connection: &Connection, id: &str) -> Result<Package, Refusal> {
    find(connection, id)?.ok_or_else(|| Refusal::not_found("package"))
}

/// Closes a package: it gets its time to live, each recipient a link and a mail to be sent. Closing it again changes
/// nothing.
pub(crate) fn finalize(
    connection: &Connection,
    id: &str,
    now: i64,
    default_expiry_days: Option<u32>,
) -> Result<Package, Refusal> {
    let package = get(connection, id)?;
    match package.state.as_str() {
        "new" => {}
        "finalized" => return Ok(package),
        other => return Err(Refusal::conflict(format!("the package is {other}"))),
    }
    let unfinished = files::unfinished(connection, id)?;
    if unfinished > 0 {
        let message = format!("{unfinished} files of the package are not finalized");
        return Err(Refusal::conflict(message));
    }
    if package.file_count == 0 {
        return Err(Refusal::new(
            axum::http::StatusCode::BAD_REQUEST,
            "package_empty",
            "package must have at least 1 file",
        ));
    }
    let days = package.expiry_days.or(default_expiry_days.map(u64::from));
    let lives = days.and_then(|days| i64::try_from(days).ok()).map(|days| now.saturating_add(days.saturating_mul(DAY)));
    let expires_at = if package.unlimited_storage { None } else { package.expires_at.or(lives) };
    let mut statement = connection.prepare_cached(
        "UPDATE package SET state = 'finalized', finalized_at = ?2, updated_at = ?2, expires_at = ?3 WHERE id = ?1",
    )?;
    statement.execute(params![id, now, expires_at])?;
    files::remove_never_started(connection, id)?;
    for recipient in &package.recipients {
        let link = links::Link::new(&package, Some(recipient.clone()), None, now)?;
        links::insert(connection, &link)?;
        mail::owe_link(connection, &link, recipient, None)?;
    }
    mail::owe_receipt(connection, &package)?;
    mail::release(connection, id, now)?;
    let package = get(connection, id)?;
    activity::add(connection, &package, Event::Finalized, &package.sender)?;
    webhooks::announce(connection, &package, "package.finalized")?;
    Ok(package)
}

/// Forgets a package with all that belongs to it; the storage is then to be seen to as for [`expire`].
pub(crate) fn delete(connection: &Connection, id: &str) -> Result<Vec<BucketFile>, Refusal> {
    let package = get(connection, id)?;
    let uploads = files::remove_parts(connection, id)?;
    connection.prepare_cached("DELETE FROM package WHERE id = ?1")?.execute([id])?;
    activity::add(connection, &package, Event::Deleted, "")?;
    Ok(uploads)
}
