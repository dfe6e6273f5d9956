//! Portals: anybody may send a package to one, its recipients get it.

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::{Value, json};

use crate::error::Refusal;
use crate::http::wire::{now, time};
use crate::records::listing::{Asked, Conditions};
use crate::records::portal_form::Field;
use crate::records::restrictions::Restrictions;

/// A portal.
#[derive(Debug, Clone)]
pub(crate) struct Portal {
    pub id: String,
    pub team_id: String,
    pub subdomain: String,
    pub name: String,
    pub message: String,
    pub recipients: Vec<String>,
    pub active: bool,
    /// When it closes by itself; absent: never.
    pub closes_at: Option<i64>,
    pub access_code_hash: Option<String>,
    pub download_password_hash: Option<String>,
    pub expiry_days: Option<u64>,
    pub unlimited_storage: bool,
    pub tag_id: Option<String>,
    pub restrictions: Restrictions,
    /// What senders are asked to fill in.
    pub fields: Vec<Field>,
    pub created_at: i64,
    pub updated_at: i64,
}

const COLUMNS: &str = "id, team_id, subdomain, name, message, recipients, active, access_code_hash, \
    download_password_hash, expiry_days, tag_id, restrictions, created_at, updated_at, unlimited_storage, fields, closes_at";

impl Portal {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let (recipients, restrictions, fields): (String, String, String) = (row.get(5)?, row.get(11)?, row.get(15)?);
        let expiry_days: Option<i64> = row.get(9)?;
        Ok(Self {
            id: row.get(0)?,
            team_id: row.get(1)?,
            subdomain: row.get(2)?,
            name: row.get(3)?,
            message: row.get(4)?,
            recipients: serde_json::from_str(&recipients).unwrap_or_default(),
            active: row.get(6)?,
            access_code_hash: row.get(7)?,
            download_password_hash: row.get(8)?,
            expiry_days: expiry_days.and_then(|days| u64::try_from(days).ok()),
            tag_id: row.get(10)?,
            restrictions: serde_json::from_str(&restrictions).unwrap_or_default(),
            created_at: row.get(12)?,
            updated_at: row.get(13)?,
            unlimited_storage: row.get(14)?,
            fields: serde_json::from_str(&fields).unwrap_or_default(),
            closes_at: row.get(16)?,
        })
    }

    /// Whether it takes packages at this time.
    pub(crate) fn is_open(&self, now: i64) -> bool {
        self.active && self.closes_at.is_none_or(|closes| now < closes)
    }

    /// What people call it.
    pub(crate) fn title(&self) -> &str {
        if self.name.is_empty() { &self.subdomain } else { &self.name }
    }

    /// As its senders see it.
    pub(crate) fn public_json(&self) -> Value {
        let mut shown = json!({
            "id": self.id,
            "subdomain": self.subdomain,
            "name": self.name,
            "message": self.message,
            "active": self.is_open(now()),
            "expiry_enabled": self.closes_at.is_some(),
            "expiry": time(self.closes_at),
            "has_access_code": self.access_code_hash.is_some(),
            "has_download_password": self.download_password_hash.is_some(),
            "metadata_fields": self.fields,
        });
        if let (Value::Object(shown), Ok(Value::Object(restrictions))) =
            (&mut shown, serde_json::to_value(&self.restrictions))
        {
            shown.extend(restrictions);
        }
        shown
    }

    /// As its team sees it.
    pub(crate) fn json(&self) -> Value {
        let mut shown = self.public_json();
        shown["team_id"] = self.team_id.as_str().into();
        shown["recipients"] = json!(self.recipients);
        let days = self.expiry_days.and_then(|days| i64::try_from(days).ok()).unwrap_or_default();
        shown["custom_expiry_days"] = if self.unlimited_storage { -1 } else { days }.into();
        shown["tag_id"] = json!(self.tag_id);
        shown["created_at"] = time(Some(self.created_at)).into();
        shown["updated_at"] = time(Some(self.updated_at)).into();
        shown
    }
}

/// Whether `text` can be a portal's name in addresses: lower-case letters, digits and inner hyphens, at most 63.
pub(crate) fn is_subdomain(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Stores a new portal.
pub(crate) fn insert(connection: &Connection, portal: &Portal) -> Result<(), Refusal> {
    if find_by_subdomain(connection, &portal.subdomain)?.is_some() {
        return Err(Refusal::conflict("this subdomain is taken"));
    }
    connection
        .prepare_cached(
            "INSERT INTO portal (id, team_id, subdomain, created_at, name, message, recipients, active,
                access_code_hash, download_password_hash, expiry_days, tag_id, restrictions, updated_at,
                unlimited_storage)
             VALUES (?1, ?2, ?3, ?4, '', '', '[]', 1, NULL, NULL, NULL, NULL, '{}', ?4, 0)",
        )?
        .execute(params![portal.id, portal.team_id, portal.subdomain, portal.created_at])?;
    update(connection, portal)
}

/// Writes back what may change of a portal.
pub(crate) fn update(connection: &Connection, portal: &Portal) -> Result<(), Refusal> {
    let mut statement = connection.prepare_cached(
        "UPDATE portal SET name = ?2, message = ?3, recipients = ?4, active = ?5, access_code_hash = ?6,
            download_password_hash = ?7, expiry_days = ?8, tag_id = ?9, restrictions = ?10, updated_at = ?11,
            subdomain = ?12, unlimited_storage = ?13, fields = ?14, closes_at = ?15 WHERE id = ?1",
    )?;
    statement.execute(params![
        portal.id,
        portal.name,
        portal.message,
        json!(portal.recipients).to_string(),
        portal.active,
        portal.access_code_hash,
        portal.download_password_hash,
        portal.expiry_days.and_then(|days| i64::try_from(days).ok()),
        portal.tag_id,
        serde_json::to_string(&portal.restrictions).unwrap_or_default(),
        portal.updated_at,
        portal.subdomain,
        portal.unlimited_storage,
        serde_json::to_string(&portal.fields).unwrap_or_default(),
        portal.closes_at,
    ])?;
    Ok(())
}

/// The portal of that id, if there is one.
pub(crate) fn find(connection: &Connection, id: &str) -> Result<Option<Portal>, Refusal> {
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM portal WHERE id = ?1"))?;
    Ok(statement.query_row([id], Portal::from_row).optional()?)
}

/// The portal of that id, or the refusal that there is none.
pub(crate) fn get(connection: &Connection, id: &str) -> Result<Portal, Refusal> {
    find(connection, id)?.ok_or_else(|| Refusal::not_found("portal"))
}

/// The portal of that name.
pub(crate) fn find_by_subdomain(connection: &Connection, subdomain: &str) -> Result<Option<Portal>, Refusal> {
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM portal WHERE subdomain = ?1"))?;
    Ok(statement.query_row([subdomain.to_lowercase()], Portal::from_row).optional()?)
}

/// A page of a team's portals and how many there are in all.
pub(crate) fn list(connection: &Connection, team: &str, asked: &Asked) -> Result<(i64, Vec<Portal>), Refusal> {
    let mut conditions = Conditions::default();
    conditions.add("team_id = ?", team.to_owned());
    conditions.contains("name", asked, "name");
    conditions.contains("subdomain", asked, "subdomain");
    conditions.one_of("tag_id", asked.all("tags"));
    let order = asked.order(&[("created_at", "created_at"), ("name", "lower(name)"), ("active", "active")]);
    let values = rusqlite::params_from_iter(&conditions.values);
    let total = connection
        .prepare(&format!("SELECT count(*) FROM portal {}", conditions.text()))?
        .query_row(values, |row| row.get(0))?;
    let (limit, before) = asked.page();
    let where_ = conditions.text();
    let mut statement =
        connection.prepare(&format!("SELECT {COLUMNS} FROM portal {where_} {order} LIMIT {limit} OFFSET {before}"))?;
    let rows = statement.query_map(rusqlite::params_from_iter(&conditions.values), Portal::from_row)?;
    Ok((total, rows.collect::<Result<_, _>>()?))
}

/// Forgets a portal; the packages that came through it stay.
pub(crate) fn delete(connection: &Connection, id: &str) -> Result<(), Refusal> {
    connection.prepare_cached("DELETE FROM portal WHERE id = ?1")?.execute([id])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subdomain_is_a_host_label() {
        assert!(is_subdomain("acme-2"));
        for bad in ["", "-a", "a-", "Acme", "a.b", "a_b", &"a".repeat(64)] {
            assert!(!is_subdomain(bad), "{bad}");
        }
    }
}
