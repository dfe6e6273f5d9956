//! What its owner changes of a package: its name, its message, who gets it and how.

use jiff::Timestamp;
use masv_db::{Database, Work, values};
use masv_protocol::{EmailAddress, PackageId, PackageState, TagChoice, TagId};
use serde_json::Value;

use super::super::audit::Authority;
use super::super::{Error, portal_form, portals, tags};
use super::{Package, get_in};
use crate::clock::now;

/// What changes of a package; the rest stays.
#[derive(Debug, Clone, Default)]
pub(crate) struct Change {
    pub name: Option<String>,
    pub description: Option<String>,
    /// Only while it is being filled: later they have their links.
    pub recipients: Option<Vec<EmailAddress>>,
    /// Given: the hash of the new password, or that there is none.
    pub password_hash: Option<Option<String>>,
    /// Given: of links from now on, or that there is none.
    pub access_limit: Option<Option<u64>>,
    pub tag: Option<TagChoice>,
    /// Not of what came through a portal.
    pub sender: Option<String>,
    /// Given: until when it is kept, or that it is kept until somebody deletes it.
    pub expires_at: Option<Option<Timestamp>>,
    pub metadata: Option<Value>,
}

impl Change {
    /// Whether it is what a stranger who sends to a portal may say: what was filled in, while the package is being filled.
    fn is_a_senders(&self, package: &Package) -> bool {
        let Self { name, description, recipients, password_hash, access_limit, tag, sender, expires_at, metadata: _ } =
            self;
        let texts = name.is_some() || description.is_some() || sender.is_some();
        let rights = recipients.is_some() || password_hash.is_some() || access_limit.is_some() || expires_at.is_some();
        package.state == PackageState::New && !texts && !rights && tag.is_none()
    }
}

/// Changes a package.
pub(crate) async fn change(
    database: &Database,
    id: PackageId,
    change: Change,
    by: Authority,
) -> Result<Package, Error> {
    let changing = database.transact(move |work| {
        let package = get_in(work, &id)?;
        if !change.is_a_senders(&package) {
            by.check_owner(&package)?;
        }
        package.check_alive()?;
        if package.received && change.sender.as_ref().is_some_and(|sender| *sender != package.sender) {
            return Err(Error::Conflict("sender: who sent to a portal stays who it was".to_owned()));
        }
        // What an answer said may be given back.
        let same = change.recipients.as_ref().is_none_or(|recipients| *recipients == package.recipients);
        if !same && package.state != PackageState::New {
            return Err(Error::Conflict(
                "recipients: the package is finalized; make a link for each new one".to_owned(),
            ));
        }
        if let Some(given) = &change.metadata {
            check_answers(work, &package, given)?;
        }
        let tag = tags::resolve(work, &package.team_id, change.tag.as_ref())?;
        put(work, &package, &change, tag.or_else(|| package.tag_id.clone()).as_ref())?;
        let changed = get_in(work, &id)?;
        by.actor(&package).note(work, "package.changed", &changed.name)?;
        Ok(changed)
    });
    changing.await
}

/// Refuses what the form of the package's portal, as long as there is one, does not take.
fn check_answers(work: &Work<'_>, package: &Package, given: &Value) -> Result<(), Error> {
    let portal = match &package.portal_id {
        Some(portal) => portals::find_in(work, portal)?,
        None => None,
    };
    portal_form::check_answers(portal.as_ref().map_or(&[], |portal| portal.fields.as_slice()), given)
}

fn put(work: &Work<'_>, package: &Package, change: &Change, tag: Option<&TagId>) -> Result<(), Error> {
    let recipients = change.recipients.as_ref().unwrap_or(&package.recipients);
    work.run(
        "UPDATE package SET name = ?2, description = ?3, recipients = ?4, password_hash = ?5, access_limit = ?6,
            tag_id = ?7, metadata = ?8, updated_at = ?9, sender = ?10, expires_at = ?11, unlimited_storage = ?12
         WHERE id = ?1",
        values![
            package.id.as_str(),
            change.name.as_ref().unwrap_or(&package.name),
            change.description.as_ref().unwrap_or(&package.description),
            serde_json::to_string(recipients).unwrap_or_default(),
            change.password_hash.as_ref().unwrap_or(&package.password_hash),
            change.access_limit.unwrap_or(package.access_limit),
            tag.map(TagId::as_str),
            change.metadata.as_ref().unwrap_or(&package.metadata).to_string(),
            now(),
            change.sender.as_ref().unwrap_or(&package.sender),
            change.expires_at.unwrap_or(package.expires_at),
            change.expires_at.map_or(package.unlimited_storage, |until| until.is_none())
        ],
    )?;
    Ok(())
}
