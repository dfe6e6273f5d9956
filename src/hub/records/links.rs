//! Links: each opens one package for whoever has its secret.

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::{Value, json};

use crate::error::Refusal;
use crate::http::wire::{new_id, time};
use crate::keys::tokens::Keys;
use crate::records::activity;
use crate::records::activity::Event;
use crate::records::packages;
use crate::records::packages::Package;

/// A link.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    pub id: String,
    pub package_id: String,
    pub email: Option<String>,
    pub password_hash: Option<String>,
    pub access_limit: Option<u64>,
    pub access_count: u64,
    pub active: bool,
    pub expires_at: Option<i64>,
    pub created_at: i64,
}

const COLUMNS: &str =
    "id, package_id, email, password_hash, access_limit, access_count, active, expires_at, created_at";

impl Link {
    /// A link to `package`, with its limit.
    pub(crate) fn new(
        package: &Package,
        email: Option<String>,
        password_hash: Option<String>,
        now: i64,
    ) -> Result<Self, Refusal> {
        Ok(Self {
            id: new_id()?,
            package_id: package.id.clone(),
            email,
            password_hash,
            access_limit: package.access_limit,
            access_count: 0,
            active: true,
            expires_at: None,
            created_at: now,
        })
    }

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let limit: Option<i64> = row.get(4)?;
        let count: i64 = row.get(5)?;
        Ok(Self {
            id: row.get(0)?,
            package_id: row.get(1)?,
            email: row.get(2)?,
            password_hash: row.get(3)?,
            access_limit: limit.and_then(|limit| u64::try_from(limit).ok()),
            access_count: u64::try_from(count).unwrap_or_default(),
            active: row.get(6)?,
            expires_at: row.get(7)?,
            created_at: row.get(8)?,
        })
    }

    /// When it stops opening: its own time or its package's, whichever is first.
    pub(crate) fn expiry(&self, package: &Package) -> Option<i64> {
        match (self.expires_at, package.expires_at) {
            (Some(own), Some(package)) => Some(own.min(package)),
            (own, package) => own.or(package),
        }
    }

    /// What its password is checked against.
    pub(crate) fn required_password<'a>(&'a self, package: &'a Package) -> Option<&'a str> {
        self.password_hash.as_deref().or(package.password_hash.as_deref())
    }

    /// As the protocol shows it to the package's owner; it holds the secret.
    pub(crate) fn json(&self, package: &Package, keys: &Keys, base: &str) -> Value {
        let secret = keys.link_secret(&self.id);
        json!({
            "id": self.id,
            "package_id": self.package_id,
            "email": self.email.as_deref().unwrap_or_default(),
            "download_secret": secret,
            "url": url(base, &self.id, &secret),
            "expiry": time(self.expiry(package)),
            "access_limit": self.access_limit.unwrap_or_default(),
            "access_count": self.access_count,
            "active": self.active,
            "has_password": self.required_password(package).is_some(),
            "password_protected": self.required_password(package).is_some(),
            "created_at": time(Some(self.created_at)),
        })
    }
}

/// The address of a link's page.
pub(crate) fn url(base: &str, link: &str, secret: &str) -> String {
    format!("{base}/{link}?secret={secret}")
}

/// Stores a new link.
pub(crate) fn insert(connection: &Connection, link: &Link) -> Result<(), Refusal> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO link (id, package_id, email, password_hash, access_limit, active, expires_at, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    statement.execute(params![
        link.id,
        link.package_id,
        link.email,
        link.password_hash,
        link.access_limit.and_then(|limit| i64::try_from(limit).ok()),
        link.active,
        link.expires_at,
        link.created_at,
    ])?;
    Ok(())
}

/// The link of that id and its package.
pub(crate) fn find(connection: &Connection, id: &str) -> Result<Option<(Link, Package)>, Refusal> {
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM link WHERE id = ?1"))?;
    let Some(link) = statement.query_row([id], Link::from_row).optional()? else { return Ok(None) };
    let package = packages::get(connection, &link.package_id)?;
    Ok(Some((link, package)))
}

/// All links of a package, oldest first.
pub(crate) fn list(connection: &Connection, package: &str) -> Result<Vec<Link>, Refusal> {
    let mut statement = connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM link WHERE package_id = ?1 ORDER BY created_at, id"))?;
    let rows = statement.query_map([package], Link::from_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Writes back what an owner may change of a link.
pub(crate) fn update(connection: &Connection, link: &Link) -> Result<(), Refusal> {
    let mut statement = connection.prepare_cached(
        "UPDATE link SET password_hash = ?2, access_limit = ?3, active = ?4, expires_at = ?5 WHERE id = ?1",
    )?;
    statement.execute(params![
        link.id,
        link.password_hash,
        link.access_limit.and_then(|limit| i64::try_from(limit).ok()),
        link.active,
        link.expires_at,
    ])?;
    Ok(())
}

/// Forgets a link.
pub(crate) fn delete(connection: &Connection, id: &str) -> Result<(), Refusal> {
    match connection.prepare_cached("DELETE FROM link WHERE id = ?1")?.execute([id])? {
        0 => Err(Refusal::not_found("link")),
        _ => Ok(()),
    }
}

/// Why a link does not open, whatever the password.
pub(crate) fn closed(link: &Link, package: &Package, now: i64) -> Option<Refusal> {
    if !link.active {
        return Some(Refusal::not_found("link"));
    }
    if package.state == "new" {
        return Some(Refusal::not_found("package"));
    }
    if package.state != "finalized" || link.expiry(package).is_some_and(|expiry| expiry <= now) {
        return Some(Refusal::gone("the link has expired"));
    }
    if link.access_limit.is_some_and(|limit| limit > 0 && link.access_count >= limit) {
        return Some(Refusal::new(
            axum::http::StatusCode::FORBIDDEN,
            "limit_reached",
            "the link has been used as often as it may be",
        ));
    }
    None
}

/// Counts a visit against the link's limit, once. Refuses a visit that has not been counted when the link does not
/// open any more; one that has been counted goes on as long as the package is there.
pub(crate) fn count_visit(connection: &Connection, link: &str, visit: &str, now: i64) -> Result<(), Refusal> {
    let (link, package) = find(connection, link)?.ok_or_else(|| Refusal::not_found("link"))?;
    let counted: bool = connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM link_visit WHERE link_id = ?1 AND visit = ?2)")?
        .query_row([&link.id, visit], |row| row.get(0))?;
    let as_if_unlimited = Link { access_limit: None, ..link.clone() };
    if let Some(refusal) = closed(if counted { &as_if_unlimited } else { &link }, &package, now) {
        return Err(refusal);
    }
    if counted {
        return Ok(());
    }
    connection
        .prepare_cached("INSERT INTO link_visit (link_id, visit, created_at) VALUES (?1, ?2, ?3)")?
        .execute(params![link.id, visit, now])?;
    connection.prepare_cached("UPDATE link SET access_count = access_count + 1 WHERE id = ?1")?.execute([&link.id])?;
    activity::add(connection, &package, Event::Downloaded, link.email.as_deref().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package() -> Package {
        Package {
            id: "P".into(),
            team_id: "T".into(),
            portal_id: None,
            state: "finalized".into(),
            name: String::new(),
            description: String::new(),
            sender: String::new(),
            recipients: Vec::new(),
            password_hash: None,
            access_limit: Some(2),
            expiry_days: None,
            unlimited_storage: false,
            tag_id: None,
            teamspace_id: None,
            metadata: Value::Null,
            size: 0,
            file_count: 1,
            created_at: 0,
            updated_at: 0,
            finalized_at: Some(0),
            expires_at: Some(100),
        }
    }

    #[test]
    fn a_link_closes_for_each_reason_with_its_own_status() {
        let package = package();
        let link = Link::new(&package, None, None, 0).unwrap();
        let status = |link: &Link, package: &Package, now| closed(link, package, now).map(|r| r.status.as_u16());
        assert_eq!(status(&link, &package, 99), None);
        assert_eq!(status(&link, &package, 100), Some(410));
        assert_eq!(status(&Link { expires_at: Some(50), ..link.clone() }, &package, 50), Some(410));
        assert_eq!(status(&Link { access_count: 2, ..link.clone() }, &package, 0), Some(403));
        assert_eq!(status(&Link { active: false, ..link.clone() }, &package, 0), Some(404));
        assert_eq!(status(&link, &Package { state: "new".into(), ..package.clone() }, 0), Some(404));
        assert_eq!(status(&link, &Package { state: "expired".into(), ..package }, 0), Some(410));
    }
}
