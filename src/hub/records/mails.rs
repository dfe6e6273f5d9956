//! Mails that are due, and their outcomes.

use jiff::Timestamp;
use masv_db::{Database, Work, values};
use masv_protocol::{EmailAddress, LinkId, PackageId};

use super::Error;
use super::ids::{first_id, new_id};
use super::links::{self, Link};
use super::outbox::{self, Outbox};
use super::packages::{self, Package};
use super::portals::{self, Portal};
use crate::clock::{before, days, now};

/// The maximum number of receipts for one address per day: senders to a portal can give any address.
const MOST_RECEIPTS: u64 = 50;

/// The purpose of a mail.
#[derive(Debug, Clone)]
pub(crate) enum Purpose {
    /// Sends a link to a recipient of the package.
    Delivery(Box<Link>),
    /// Tells somebody who does not get it of what came through a portal.
    Copy,
    /// Tells the sender that all is there.
    Receipt,
}

/// A mail to send, claimed by its reader.
#[derive(Debug, Clone)]
pub(crate) struct Mail {
    pub id: String,
    pub recipient: String,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    pub purpose: Purpose,
    pub package: Package,
    pub portal: Option<Portal>,
}

/// Owes `recipient` the mail that brings a link; it is due at `due_at`, or once its package is released.
pub(super) fn owe_link(
    work: &Work<'_>,
    link: &Link,
    recipient: &EmailAddress,
    due_at: Option<Timestamp>,
) -> Result<(), Error> {
    let id: String = new_id(now())?;
    work.run(
        "INSERT INTO mail (id, kind, package_id, link_id, recipient, due_at) VALUES (?1, 'delivery', ?2, ?3, ?4, ?5)",
        values![id, link.package_id.as_str(), link.id.as_str(), recipient.as_str(), due_at],
    )?;
    Ok(())
}

/// Queues the receipt for the sender of a package, once the package is released. A sender without recipients
/// gets none.
pub(super) fn owe_receipt(work: &Work<'_>, package: &Package, now: Timestamp) -> Result<(), Error> {
    let delivered = package.sends_receipt && (package.received || !package.recipients.is_empty());
    let Ok(sender) = package.sender.parse::<EmailAddress>() else { return Ok(()) };
    if !delivered {
        return Ok(());
    }
    // A mailbox has one spelling here: others lead to the same one. Ids begin with their time.
    let sender = sender.to_lowercase();
    let since = first_id(before(now, days(1)));
    let sql = "SELECT count(*) FROM mail WHERE kind = 'receipt' AND recipient = ?1 AND id > ?2";
    let lately: u64 = work.value(sql, values![sender.as_str(), since])?;
    if lately >= MOST_RECEIPTS {
        return Ok(());
    }
    owe(work, "receipt", package, &sender, now)
}

/// Owes those who are told of a package without getting it a mail, once the package is released.
pub(super) fn owe_copies(work: &Work<'_>, package: &Package, now: Timestamp) -> Result<(), Error> {
    let receives = |copy: &EmailAddress| package.recipients.iter().any(|recipient| recipient.is_same_mailbox(copy));
    let mut copies = package.cc_recipients.iter().filter(|copy| !receives(copy));
    copies.try_for_each(|copy| owe(work, "copy", package, copy, now))
}

fn owe(work: &Work<'_>, kind: &str, package: &Package, to: &EmailAddress, now: Timestamp) -> Result<(), Error> {
    let id: String = new_id(now)?;
    work.run(
        "INSERT INTO mail (id, kind, package_id, recipient) VALUES (?1, ?2, ?3, ?4)",
        values![id, kind, package.id.as_str(), to.as_str()],
    )?;
    Ok(())
}

/// Makes all waiting mails of a package due.
pub(super) fn release(work: &Work<'_>, package: &PackageId, now: Timestamp) -> Result<(), Error> {
    work.run(
        "UPDATE mail SET due_at = ?2 WHERE package_id = ?1 AND due_at IS NULL AND attempts = 0 AND sent_at IS NULL",
        values![package.as_str(), now],
    )?;
    Ok(())
}

/// Claims up to `most` mails that are due.
pub(crate) async fn claim(database: &Database, most: u32) -> Result<Vec<Mail>, Error> {
    let claiming = database.transact(move |work| {
        let columns = "id, package_id, link_id, recipient, attempts, kind";
        outbox::claim(work, Outbox::Mail, (columns, None), most, |row| {
            let of = (row.text::<PackageId>(1)?, row.maybe_text::<LinkId>(2)?, row.get::<String>(5)?);
            Ok((row.get::<String>(0)?, of, row.get::<String>(3)?, row.get::<u32>(4)?))
        })
    });
    let rows = claiming.await?;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    // Behind the claim, which would otherwise hold what a change of the packages needs.
    let reading = database.query(move |work| {
        let mut mails = Vec::with_capacity(rows.len());
        for (id, (package, link, kind), recipient, attempt) in rows.clone() {
            let purpose = match link {
                None if kind == "copy" => Purpose::Copy,
                None => Purpose::Receipt,
                Some(link) => match links::find_in(work, &link)? {
                    Some((link, _)) => Purpose::Delivery(Box::new(link)),
                    None => continue,
                },
            };
            // Removed since it was claimed: its mails went with it.
            let Some(package) = packages::find_in(work, &package)? else { continue };
            let portal = match &package.portal_id {
                Some(portal) => portals::find_in(work, portal)?,
                None => None,
            };
            mails.push(Mail { id, recipient, attempt, purpose, package, portal });
        }
        Ok::<_, Error>(mails)
    });
    reading.await
}

/// Records that a mail was accepted.
pub(crate) async fn sent(database: &Database, id: String) -> Result<(), Error> {
    let marking = database.transact(move |work| {
        work.run("UPDATE mail SET due_at = NULL, sent_at = ?2, problem = NULL WHERE id = ?1", values![id, now()])?;
        Ok::<_, Error>(())
    });
    marking.await
}

/// Records that a mail was not accepted: when it is tried again (`None`: it is abandoned), and why not.
pub(crate) async fn not_sent(
    database: &Database,
    id: String,
    again: Option<Timestamp>,
    problem: String,
) -> Result<(), Error> {
    database.transact(move |work| outbox::failed(work, Outbox::Mail, &id, again, &problem)).await
}
