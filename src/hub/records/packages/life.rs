//! The life of a package: created, finalized, stored, expired, removed.

use std::time::Duration;

use jiff::Timestamp;
use masv_db::{Database, Work, values};
use masv_protocol::{
    ActivityEvent, EmailAddress, PackageId, PackageState, PortalId, TagChoice, TagId, TeamId, Time, WebhookEvent,
};
use serde_json::Value;

use super::super::audit::Authority;

use super::super::ids::new_id;
use super::super::webhooks::About;
use super::super::{Error, activity, files, links, mails, repeatable, tags, webhooks};
use super::{Package, get_in};
use crate::clock::{after, before, days, now};

/// How often activity on a package is recorded.
const TOUCHED_EVERY: Duration = Duration::from_secs(60 * 60);

/// A package to create.
#[derive(Debug, Clone)]
pub(crate) struct NewPackage {
    pub team_id: TeamId,
    pub portal_id: Option<PortalId>,
    pub name: String,
    pub description: String,
    pub sender: String,
    pub recipients: Vec<EmailAddress>,
    /// Who is told of it when it is finalized, without a link.
    pub cc_recipients: Vec<EmailAddress>,
    /// Whether its sender is told by mail that all is there.
    pub sends_receipt: bool,
    pub password_hash: Option<String>,
    pub access_limit: Option<u64>,
    pub expiry_days: Option<u64>,
    pub unlimited_storage: bool,
    pub tag: Option<TagChoice>,
    pub metadata: Value,
    /// By which its maker knows the call: repeated with the same one, it makes no other package.
    pub key: Option<String>,
}

/// Makes a package, unless a call with the same key has: as long as that package is as it was made.
pub(crate) async fn create(database: &Database, new: NewPackage) -> Result<Package, Error> {
    let creating = database.transact(move |work| {
        if let Some(known) = made_before(work, &new)? {
            return Ok(known);
        }
        let tag_id = tags::resolve(work, &new.team_id, new.tag.as_ref())?;
        let id = insert(work, &new, tag_id.as_ref())?;
        let package = get_in(work, &id)?;
        activity::note_upload(work, &package, ActivityEvent::PackageCreated)?;
        webhooks::announce(work, &package, WebhookEvent::PackageCreated, About::Package)?;
        if let Some(key) = &new.key {
            repeatable::note(work, &new.team_id, key, id.as_str())?;
        }
        Ok(package)
    });
    creating.await
}

/// The package that a call with the same key has made, if its maker cannot have gone on with it.
fn made_before(work: &Work<'_>, new: &NewPackage) -> Result<Option<Package>, Error> {
    let Some(key) = &new.key else { return Ok(None) };
    let Some(made) = repeatable::made(work, &new.team_id, key)? else { return Ok(None) };
    let sql = "SELECT id FROM package WHERE id = ?1 AND state = 'new' AND entries = 0 AND removed = 0";
    let as_it_was = work.one(sql, values![made], |row| row.text::<PackageId>(0))?;
    as_it_was.map(|id| get_in(work, &id)).transpose()
}

fn insert(work: &Work<'_>, new: &NewPackage, tag_id: Option<&TagId>) -> Result<PackageId, Error> {
    let now = now();
    let id: PackageId = new_id(now)?;
    let json = |addresses: &[EmailAddress]| serde_json::to_string(addresses).unwrap_or_default();
    work.run(
        "INSERT INTO package (id, team_id, portal_id, state, name, description, sender, recipients, password_hash,
            access_limit, expiry_days, unlimited_storage, tag_id, metadata, created_at, updated_at, received,
            cc_recipients, sends_receipt, portal_name)
         VALUES (?1, ?2, ?3, 'new', ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?14, ?15, ?16, ?17,
            (SELECT name FROM portal WHERE id = ?3))",
        values![
            id.as_str(),
            new.team_id.as_str(),
            new.portal_id.as_ref().map(PortalId::as_str),
            new.name,
            new.description,
            new.sender,
            json(&new.recipients),
            new.password_hash,
            new.access_limit,
            new.expiry_days,
            new.unlimited_storage,
            tag_id.map(TagId::as_str),
            new.metadata.to_string(),
            now,
            new.portal_id.is_some(),
            json(&new.cc_recipients),
            new.sends_receipt
        ],
    )?;
    Ok(id)
}

/// Closes a package: it gets its time to live, each recipient a link and a mail to be sent. Closing it again changes
/// nothing.
pub(crate) async fn finalize(
    database: &Database,
    id: PackageId,
    default_expiry_days: Option<u32>,
) -> Result<Package, Error> {
    database.transact(move |work| finalize_in(work, &id, now(), default_expiry_days)).await
}

fn finalize_in(
    work: &Work<'_>,
    id: &PackageId,
    now: Timestamp,
    default_expiry_days: Option<u32>,
) -> Result<Package, Error> {
    let package = get_in(work, id)?;
    match package.state {
        PackageState::New => {}
        PackageState::Finalized => return Ok(package),
        PackageState::Expired | PackageState::Archived => return Err(package.in_the_way()),
    }
    let unfinished = files::unfinished(work, id)?;
    if unfinished > 0 {
        return Err(Error::Conflict(format!("{unfinished} files of the package are not finalized")));
    }
    if package.file_count == 0 {
        return Err(Error::PackageEmpty);
    }
    let life = package.expiry_days.or(default_expiry_days.map(u64::from));
    let lives_until = life.map(|life| after(now, days(life)));
    let expires_at = if package.unlimited_storage { None } else { package.expires_at.or(lives_until) };
    work.run(
        "UPDATE package SET state = 'finalized', finalized_at = ?2, updated_at = ?2, expires_at = ?3 WHERE id = ?1",
        values![id.as_str(), now, expires_at],
    )?;
    files::remove_never_started(work, id)?;
    for recipient in &package.recipients {
        let link = links::insert_for(work, &package, recipient, now)?;
        mails::owe_link(work, &link, recipient, None)?;
    }
    mails::owe_copies(work, &package, now)?;
    mails::owe_receipt(work, &package, now)?;
    mails::release(work, id, now)?;
    let package = get_in(work, id)?;
    activity::note_upload(work, &package, ActivityEvent::PackageFinalized)?;
    webhooks::announce(work, &package, WebhookEvent::PackageFinalized, About::Package)?;
    Ok(package)
}

/// Sets when a package expires; `None` is never. Senders to a portal may not.
pub(crate) async fn set_expiry(
    database: &Database,
    id: PackageId,
    expires_at: Option<Timestamp>,
    by: Authority,
) -> Result<Package, Error> {
    let setting = database.transact(move |work| {
        let package = get_in(work, &id)?;
        by.check_owner(&package)?;
        package.check_alive()?;
        work.run(
            "UPDATE package SET expires_at = ?2, unlimited_storage = ?3, updated_at = ?4 WHERE id = ?1",
            values![id.as_str(), expires_at, expires_at.is_none(), now()],
        )?;
        let until = expires_at.map_or_else(|| "forever".to_owned(), |at| Time::from(at).to_string());
        by.actor(&package).note(work, "package.kept", &format!("{} until {until}", package.name))?;
        get_in(work, &id)
    });
    setting.await
}

/// Revokes all issued tokens of a package.
pub(crate) async fn end_tokens(database: &Database, package: Package, by: Authority) -> Result<(), Error> {
    let ending = database.transact(move |work| {
        work.run("UPDATE package SET epoch = epoch + 1 WHERE id = ?1", values![package.id.as_str()])?;
        by.actor(&package).note(work, "package.tokens_ended", &format!("{} ({})", package.id, package.name))
    });
    ending.await
}

/// Records activity on a package that is being filled, to the hour, so that it does not count as abandoned.
pub(in crate::records) fn touch(work: &Work<'_>, id: &PackageId, now: Timestamp) -> Result<(), Error> {
    work.run(
        "UPDATE package SET updated_at = ?2 WHERE id = ?1 AND state = 'new' AND updated_at < ?3",
        values![id.as_str(), now, before(now, TOUCHED_EVERY)],
    )?;
    Ok(())
}
