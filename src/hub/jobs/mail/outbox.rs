//! Sends what is in the outbox.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};
use tokio_util::sync::CancellationToken;

use super::compose::{Letter, Purpose, compose};
use super::transport::{NotSent, Transport};
use crate::error::Refusal;
use crate::http::wire::{new_id, now};
use crate::records::links;
use crate::records::links::Link;
use crate::records::packages;
use crate::records::packages::{DAY, Package};
use crate::records::portal_form;
use crate::records::portals;
use crate::records::portals::Portal;
use crate::{Hub, retry_pause};

/// How often the outbox is looked at when nobody says that there is something in it.
const LOOK: Duration = Duration::from_secs(15);
/// Mails that are read at once.
const AT_ONCE: u32 = 50;
/// After so many attempts, some three days, a mail is given up.
const MOST_ATTEMPTS: u32 = 40;

/// The most receipts for one address in a day: whoever sends to a portal says whose address it is.
const MOST_RECEIPTS: i64 = 50;

struct Waiting {
    id: String,
    recipient: String,
    attempts: u32,
    /// What is brought; absent: it is a receipt.
    link: Option<Link>,
    package: Package,
    portal: Option<Portal>,
}

/// Owes `recipient` the mail that brings a link; it is due at `due_at`, or once its package is released.
pub(crate) fn owe_link(
    connection: &Connection,
    link: &Link,
    recipient: &str,
    due_at: Option<i64>,
) -> Result<(), Refusal> {
    connection
        .prepare_cached(
            "INSERT INTO mail (id, kind, package_id, link_id, recipient, due_at)
             VALUES (?1, 'delivery', ?2, ?3, ?4, ?5)",
        )?
        .execute(params![new_id()?, link.package_id, link.id, recipient, due_at])?;
    Ok(())
}

/// Owes the sender of a package the mail that says that all is there, once the package is released. Who sends to nobody
/// gets none.
pub(crate) fn owe_receipt(connection: &Connection, package: &Package) -> Result<(), Refusal> {
    let delivered = package.portal_id.is_some() || !package.recipients.is_empty();
    if !delivered || package.sender.parse::<lettre::Address>().is_err() {
        return Ok(());
    }
    let day_ago = u64::try_from(now().saturating_sub(DAY)).unwrap_or_default();
    // Ids begin with their time.
    let since = ulid::Ulid::from_parts(day_ago, 0).to_string();
    let lately: i64 = connection
        .prepare_cached("SELECT count(*) FROM mail WHERE kind = 'receipt' AND recipient = ?1 AND id > ?2")?
        .query_row(params![package.sender, since], |row| row.get(0))?;
    if lately >= MOST_RECEIPTS {
        return Ok(());
    }
    connection
        .prepare_cached("INSERT INTO mail (id, kind, package_id, recipient) VALUES (?1, 'receipt', ?2, ?3)")?
        .execute(params![new_id()?, package.id, package.sender])?;
    Ok(())
}

/// Makes all mails of a package due that wait for it.
pub(crate) fn release(connection: &Connection, package: &str, now: i64) -> Result<(), Refusal> {
    connection
        .prepare_cached(
            "UPDATE mail SET due_at = ?2 WHERE package_id = ?1 AND due_at IS NULL AND attempts = 0 AND sent_at IS NULL",
        )?
        .execute(params![package, now])?;
    Ok(())
}

/// Sends mails until `ended`.
pub(crate) async fn deliver(hub: Hub, ended: CancellationToken) {
    let transport = match Transport::new(hub.config()) {
        Ok(transport) => transport,
        Err(error) => return tracing::error!(%error, "no mail can be sent"),
    };
    loop {
        let round = send_due(&hub, &transport);
        let sent = tokio::select! {
            sent = round => sent,
            () = ended.cancelled() => return,
        };
        match sent {
            Ok(mails) if mails == AT_ONCE as usize => continue,
            Ok(_) => {}
            Err(refusal) => tracing::error!(reason = refusal.message, "cannot look into the outbox"),
        }
        tokio::select! {
            () = hub.shared.outbox.notified() => {}
            () = tokio::time::sleep(LOOK) => {}
            () = ended.cancelled() => return,
        }
    }
}

async fn send_due(hub: &Hub, transport: &Transport) -> Result<usize, Refusal> {
    let now = now();
    let due = hub.database().read(move |connection| due(connection, now)).await?;
    let count = due.len();
    for mail in due {
        let outcome = send(hub, transport, &mail).await;
        let (id, attempts) = (mail.id.clone(), mail.attempts + 1);
        match &outcome {
            // Sent is only what a server has taken.
            Ok(()) => match transport {
                Transport::Smtp(_) => tracing::info!(mail = id, package = mail.package.id, "mail sent"),
                Transport::Folder(folder) => {
                    let folder = folder.display();
                    tracing::warn!(mail = id, package = mail.package.id, "no mail server: mail kept in {folder}");
                }
            },
            Err(NotSent { reason, for_good }) => {
                tracing::warn!(mail = id, package = mail.package.id, attempts, for_good, reason, "mail not sent");
            }
        }
        hub.database().write(move |connection| mark(connection, &id, attempts, &outcome)).await?;
    }
    Ok(count)
}

async fn send(hub: &Hub, transport: &Transport, waiting: &Waiting) -> Result<(), NotSent> {
    let Waiting { package, link, recipient, portal, .. } = waiting;
    let purpose = match link {
        None => Purpose::Receipt,
        Some(link) => Purpose::Delivery {
            link: links::url(&hub.public_base(), &link.id, &hub.keys().link_secret(&link.id)),
            expires: link.expiry(package),
            has_password: link.required_password(package).is_some(),
        },
    };
    let letter = Letter {
        purpose,
        package,
        recipient,
        portal: portal.as_ref().map(|portal| portal.title().to_owned()),
        fields: portal
            .as_ref()
            .map(|portal| portal_form::answers(&portal.fields, &package.metadata))
            .unwrap_or_default(),
    };
    let mail = compose(&hub.config().mail_from, &letter).map_err(|reason| NotSent { reason, for_good: true })?;
    transport.send(&waiting.id, &mail).await
}

fn due(connection: &Connection, now: i64) -> Result<Vec<Waiting>, Refusal> {
    type Row = (String, String, Option<String>, String, u32);
    let rows: Vec<Row> = connection
        .prepare_cached(
            "SELECT id, package_id, link_id, recipient, attempts FROM mail WHERE due_at <= ?1 ORDER BY due_at LIMIT ?2",
        )?
        .query_map(params![now, AT_ONCE], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)))?
        .collect::<Result<_, _>>()?;
    let mut waiting = Vec::new();
    for (id, package, link, recipient, attempts) in rows {
        let link = match link {
            None => None,
            Some(link) => match links::find(connection, &link)? {
                Some((link, _)) => Some(link),
                None => continue,
            },
        };
        let package = packages::get(connection, &package)?;
        let portal = match &package.portal_id {
            Some(portal) => portals::find(connection, portal)?,
            None => None,
        };
        waiting.push(Waiting { id, recipient, attempts, link, package, portal });
    }
    Ok(waiting)
}

fn mark(connection: &Connection, id: &str, attempts: u32, outcome: &Result<(), NotSent>) -> Result<(), Refusal> {
    let (due_at, sent_at, problem) = match outcome {
        Ok(()) => (None, Some(now()), None),
        Err(NotSent { reason, for_good }) => {
            let again = !for_good && attempts < MOST_ATTEMPTS;
            (again.then(|| now().saturating_add(retry_pause(attempts))), None, Some(reason.as_str()))
        }
    };
    connection
        .prepare_cached("UPDATE mail SET attempts = ?2, due_at = ?3, sent_at = ?4, problem = ?5 WHERE id = ?1")?
        .execute(params![id, attempts, due_at, sent_at, problem])
        .optional()?;
    Ok(())
}
