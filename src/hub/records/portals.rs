//! Portals: anybody may send a package to one, its recipients get it.

use jiff::Timestamp;
use masv_db::{Database, DbError, Row, Work, values};
use masv_protocol::{
    self as protocol, AttachedWebhook, EmailAddress, MetadataField, PortalId, PublicPortal, Restrictions, TagChoice,
    TagId, TeamId, WebhookId,
};

use super::audit::Actor;
use super::ids::new_id;
use super::listing::{Conditions, Listed, Window};
use super::packages::{addresses, protocol_time};
use super::{Error, OrNotFound, bounds, tags, webhooks};
use crate::clock::now;

/// A portal.
#[derive(Debug, Clone)]
pub(crate) struct Portal {
    pub id: PortalId,
    pub team_id: TeamId,
    pub subdomain: String,
    pub name: String,
    pub message: String,
    pub recipients: Vec<EmailAddress>,
    /// Who is told of what is sent, without a link to it.
    pub cc_recipients: Vec<EmailAddress>,
    /// Whether senders are told by mail that all is there.
    pub sends_receipts: bool,
    pub active: bool,
    /// When it closes automatically; absent: never.
    pub closes_at: Option<Timestamp>,
    pub access_code_hash: Option<String>,
    pub download_password_hash: Option<String>,
    /// Days from finalizing that packages live; absent: the hub's default.
    pub expiry_days: Option<u64>,
    pub unlimited_storage: bool,
    pub tag_id: Option<TagId>,
    pub restrictions: Restrictions,
    /// The form for senders.
    pub fields: Vec<MetadataField>,
    /// How its page looks.
    pub brand: Brand,
    /// The webhooks of its team that are called for what comes through it.
    pub webhooks: Vec<WebhookId>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// How the page of a portal, or those of the links of a team, look; empty: as usual.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Brand {
    /// `#rrggbb`.
    pub primary_color: String,
    pub logo_url: String,
    pub background_url: String,
}

const COLUMNS: &str = "id, team_id, subdomain, name, message, recipients, active, access_code_hash, \
    download_password_hash, expiry_days, tag_id, restrictions, created_at, updated_at, unlimited_storage, fields, closes_at, \
    cc_recipients, sends_receipts, primary_color, logo_url, background_url, \
    (SELECT '[' || coalesce(string_agg('\"' || webhook_id || '\"', ','), '') || ']' FROM portal_webhook WHERE portal_id = portal.id)";

impl Portal {
    /// A closed portal of a team, of which nothing is set yet.
    pub(crate) fn new(team_id: TeamId) -> Result<Self, Error> {
        let now = now();
        Ok(Self {
            id: new_id(now)?,
            team_id,
            subdomain: String::new(),
            name: String::new(),
            message: String::new(),
            recipients: Vec::new(),
            cc_recipients: Vec::new(),
            sends_receipts: true,
            active: false,
            closes_at: None,
            access_code_hash: None,
            download_password_hash: None,
            expiry_days: None,
            unlimited_storage: false,
            tag_id: None,
            restrictions: Restrictions::default(),
            fields: Vec::new(),
            brand: Brand::default(),
            webhooks: Vec::new(),
            created_at: now,
            updated_at: now,
        })
    }

    fn from_row(row: &Row<'_>) -> Result<Self, DbError> {
        Ok(Self {
            id: row.text(0)?,
            team_id: row.text(1)?,
            subdomain: row.get(2)?,
            name: row.get(3)?,
            message: row.get(4)?,
            recipients: addresses(row, 5)?,
            active: row.get(6)?,
            access_code_hash: row.get(7)?,
            download_password_hash: row.get(8)?,
            expiry_days: row.get(9)?,
            tag_id: row.maybe_text(10)?,
            restrictions: serde_json::from_str(&row.get::<String>(11)?).unwrap_or_default(),
            created_at: row.get(12)?,
            updated_at: row.get(13)?,
            unlimited_storage: row.get(14)?,
            fields: serde_json::from_str(&row.get::<String>(15)?).unwrap_or_default(),
            closes_at: row.get(16)?,
            cc_recipients: addresses(row, 17)?,
            sends_receipts: row.get(18)?,
            brand: Brand { primary_color: row.get(19)?, logo_url: row.get(20)?, background_url: row.get(21)? },
            webhooks: serde_json::from_str(&row.get::<String>(22)?).unwrap_or_default(),
        })
    }

    /// Whether it accepts packages at this time.
    pub(crate) fn is_open(&self, now: Timestamp) -> bool {
        self.active && self.closes_at.is_none_or(|closes| now < closes)
    }

    /// Its display name.
    pub(crate) fn title(&self) -> &str {
        if self.name.is_empty() { &self.subdomain } else { &self.name }
    }

    /// As its senders see it at this time.
    pub(crate) fn public_message(&self, now: Timestamp) -> PublicPortal {
        PublicPortal {
            id: self.id.clone(),
            subdomain: self.subdomain.clone(),
            name: self.name.clone(),
            message: self.message.clone(),
            active: self.is_open(now),
            expiry_enabled: self.closes_at.is_some(),
            expiry: protocol_time(self.closes_at),
            has_access_code: self.access_code_hash.is_some(),
            has_download_password: self.download_password_hash.is_some(),
            metadata_fields: self.fields.clone(),
            primary_color: self.brand.primary_color.clone(),
            logo_url: self.brand.logo_url.clone(),
            background_url: self.brand.background_url.clone(),
            restrictions: self.restrictions.clone(),
        }
    }

    /// As its team sees it at this time; `url` is the address of its page.
    pub(crate) fn message(&self, now: Timestamp, url: String) -> protocol::Portal {
        let days = self.expiry_days.and_then(|days| i64::try_from(days).ok()).unwrap_or_default();
        protocol::Portal {
            public: self.public_message(now),
            team_id: Some(self.team_id.clone()),
            recipients: self.recipients.iter().map(ToString::to_string).collect(),
            cc_recipients: self.cc_recipients.iter().map(ToString::to_string).collect(),
            disable_upload_receipt: !self.sends_receipts,
            custom_webhooks: self.webhooks.iter().map(|id| AttachedWebhook { id: id.clone() }).collect(),
            custom_expiry_days: if self.unlimited_storage { -1 } else { days },
            tag_id: self.tag_id.clone(),
            created_at: self.created_at.into(),
            updated_at: self.updated_at.into(),
            url: Some(url),
        }
    }
}

/// Whether `text` is a valid subdomain of a portal: lower-case letters, digits and inner hyphens, at most 63.
pub(crate) fn is_subdomain(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Stores a new portal.
pub(super) fn insert(work: &Work<'_>, portal: &Portal) -> Result<(), Error> {
    work.run(
        "INSERT INTO portal (id, team_id, subdomain, created_at, name, message, recipients, active,
            access_code_hash, download_password_hash, expiry_days, tag_id, restrictions, updated_at,
            unlimited_storage)
         VALUES (?1, ?2, ?3, ?4, '', '', '[]', 1, NULL, NULL, NULL, NULL, '{}', ?4, 0)",
        values![portal.id.as_str(), portal.team_id.as_str(), portal.subdomain, portal.created_at],
    )?;
    put(work, portal)
}

/// Stores the changes to a portal.
pub(super) fn put(work: &Work<'_>, portal: &Portal) -> Result<(), Error> {
    work.run(
        "UPDATE portal SET name = ?2, message = ?3, recipients = ?4, active = ?5, access_code_hash = ?6,
            download_password_hash = ?7, expiry_days = ?8, tag_id = ?9, restrictions = ?10, updated_at = ?11,
            subdomain = ?12, unlimited_storage = ?13, fields = ?14, closes_at = ?15, cc_recipients = ?16,
            sends_receipts = ?17, primary_color = ?18, logo_url = ?19, background_url = ?20 WHERE id = ?1",
        values![
            portal.id.as_str(),
            portal.name,
            portal.message,
            serde_json::to_string(&portal.recipients).unwrap_or_default(),
            portal.active,
            portal.access_code_hash,
            portal.download_password_hash,
            portal.expiry_days,
            portal.tag_id.as_ref().map(TagId::as_str),
            serde_json::to_string(&portal.restrictions).unwrap_or_default(),
            portal.updated_at,
            portal.subdomain,
            portal.unlimited_storage,
            serde_json::to_string(&portal.fields).unwrap_or_default(),
            portal.closes_at,
            serde_json::to_string(&portal.cc_recipients).unwrap_or_default(),
            portal.sends_receipts,
            portal.brand.primary_color,
            portal.brand.logo_url,
            portal.brand.background_url
        ],
    )?;
    webhooks::attach(work, &portal.team_id, &portal.id, &portal.webhooks)
}

/// The portal of that id, if there is one.
pub(super) fn find_in(work: &Work<'_>, id: &PortalId) -> Result<Option<Portal>, Error> {
    Ok(work.one(&format!("SELECT {COLUMNS} FROM portal WHERE id = ?1"), values![id.as_str()], Portal::from_row)?)
}

/// The portal of that name.
pub(super) fn find_by_subdomain_in(work: &Work<'_>, subdomain: &str) -> Result<Option<Portal>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM portal WHERE subdomain = ?1");
    Ok(work.one(&sql, values![subdomain.to_lowercase()], Portal::from_row)?)
}

/// Refuses a name in addresses that another portal has.
fn check_subdomain(work: &Work<'_>, portal: &Portal) -> Result<(), Error> {
    match find_by_subdomain_in(work, &portal.subdomain)? {
        Some(other) if other.id != portal.id => Err(Error::Conflict("this subdomain is taken".to_owned())),
        _ => Ok(()),
    }
}

/// The portal of that id, if there is one.
pub(crate) async fn find(database: &Database, id: PortalId) -> Result<Option<Portal>, Error> {
    database.query(move |work| find_in(work, &id)).await
}

/// The portal of that id.
pub(crate) async fn get(database: &Database, id: PortalId) -> Result<Portal, Error> {
    database.query(move |work| find_in(work, &id)?.or_not_found("portal")).await
}

/// The portal of that name, if there is one.
pub(crate) async fn find_by_subdomain(database: &Database, subdomain: String) -> Result<Option<Portal>, Error> {
    database.query(move |work| find_by_subdomain_in(work, &subdomain)).await
}

/// Stores a new portal, with a tag if one is chosen.
pub(crate) async fn create(
    database: &Database,
    portal: Portal,
    tag: Option<TagChoice>,
    by: Actor,
) -> Result<Portal, Error> {
    let creating = database.transact(move |work| {
        bounds::check_team(work, bounds::PORTALS, &portal.team_id)?;
        check_subdomain(work, &portal)?;
        let tag_id = tags::resolve(work, &portal.team_id, tag.as_ref())?;
        let portal = Portal { tag_id, ..portal.clone() };
        insert(work, &portal)?;
        by.note(work, "portal.added", &portal.subdomain)?;
        Ok(portal)
    });
    creating.await
}

/// Stores the changes to a portal, with another tag if one is chosen.
pub(crate) async fn update(
    database: &Database,
    portal: Portal,
    tag: Option<TagChoice>,
    by: Actor,
) -> Result<Portal, Error> {
    let updating = database.transact(move |work| {
        let chosen = tags::resolve(work, &portal.team_id, tag.as_ref())?;
        let portal = Portal { tag_id: chosen.or_else(|| portal.tag_id.clone()), ..portal.clone() };
        check_subdomain(work, &portal)?;
        put(work, &portal)?;
        by.note(work, "portal.changed", &portal.subdomain)?;
        Ok(portal)
    });
    updating.await
}

/// Removes a portal; the packages received through it stay what they are: received, and restricted while they are filled.
pub(crate) async fn delete(database: &Database, portal: Portal, by: Actor) -> Result<(), Error> {
    let deleting = database.transact(move |work| {
        work.run("DELETE FROM portal WHERE id = ?1", values![portal.id.as_str()])?;
        by.note(work, "portal.removed", &portal.subdomain)
    });
    deleting.await
}

/// Which portals of a team; empty conditions are none.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    pub name: Option<String>,
    pub subdomain: Option<String>,
    pub tags: Vec<String>,
}

/// Up to `most` portals of a team, by name.
pub(crate) async fn all(database: &Database, team: TeamId, most: u32) -> Result<Vec<Portal>, Error> {
    let listing = database.query(move |work| {
        let sql = format!("SELECT {COLUMNS} FROM portal WHERE team_id = ?1 ORDER BY lower(name), id LIMIT ?2");
        Ok::<_, Error>(work.all(&sql, values![team.as_str(), most], Portal::from_row)?)
    });
    listing.await
}

/// By which fields portals are sorted, and the columns that these are.
pub(crate) const ORDERS: &[(&str, &str)] =
    &[("created_at", "created_at"), ("name", "lower(name)"), ("active", "active")];

/// A page of a team's portals.
pub(crate) async fn list(
    database: &Database,
    team: TeamId,
    filter: Filter,
    window: Window,
) -> Result<Listed<Portal>, Error> {
    let listing = database.list(move |work| {
        let mut conditions = Conditions::default();
        conditions.is("team_id", team.as_str());
        conditions.contains("name", filter.name.as_ref());
        conditions.contains("subdomain", filter.subdomain.as_ref());
        conditions.one_of("tag_id", &filter.tags);
        let order = window.order(ORDERS);
        conditions.list(work, (COLUMNS, "portal"), &order, &window, Portal::from_row)
    });
    listing.await
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
