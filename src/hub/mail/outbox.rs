//! Sends what is in the outbox.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};
use tokio_util::sync::CancellationToken;

use super::compose::{Delivery, compose};
use super::transport::{NotSent, Transport};
use crate::hub::error::Refusal;
use crate::hub::links::{self, Link};
use crate::hub::packages::Package;
use crate::hub::wire::{new_id, now};
use crate::hub::{Hub, portals, retry_pause};

/// How often the outbox is looked at when nobody says that there is something in it.
const LOOK: Duration = Duration::from_secs(15);
/// Mails that are read at once.
const AT_ONCE: u32 = 50;
/// After so many attempts, some three days, a mail is given up.
const MOST_ATTEMPTS: u32 = 40;

struct Waiting {
    id: String,
    recipient: String,
    attempts: u32,
    link: Link,
    package: Package,
    portal: Option<String>,
}

/// Owes `recipient` the mail that brings a link; it is due at `due_at`, or once its package is released.
pub(in crate::hub) fn owe(
    connection: &Connection,
    link: &str,
    recipient: &str,
    due_at: Option<i64>,
) -> Result<(), Refusal> {
    connection
        .prepare_cached("INSERT INTO mail (id, link_id, recipient, due_at) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![new_id()?, link, recipient, due_at])?;
    Ok(())
}

/// Makes all mails of a package due that wait for it.
pub(in crate::hub) fn release(connection: &Connection, package: &str, now: i64) -> Result<(), Refusal> {
    connection
        .prepare_cached(
            "UPDATE mail SET due_at = ?2 WHERE link_id IN (SELECT id FROM link WHERE package_id = ?1)
             AND due_at IS NULL AND attempts = 0",
        )?
        .execute(params![package, now])?;
    Ok(())
}

/// Sends mails until `ended`.
pub(in crate::hub) async fn deliver(hub: Hub, ended: CancellationToken) {
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
            Ok(()) => tracing::info!(mail = id, package = mail.package.id, "mail sent"),
            Err(NotSent { reason, for_good }) => {
                tracing::warn!(mail = id, package = mail.package.id, attempts, for_good, reason, "mail not sent");
            }
        }
        hub.database().write(move |connection| mark(connection, &id, attempts, &outcome)).await?;
    }
    Ok(count)
}

async fn send(hub: &Hub, transport: &Transport, waiting: &Waiting) -> Result<(), NotSent> {
    let Waiting { package, link, recipient, .. } = waiting;
    let delivery = Delivery {
        package,
        recipient,
        link: links::url(&hub.public_base(), &link.id, &hub.keys().link_secret(&link.id)),
        expires: link.expiry(package),
        has_password: link.required_password(package).is_some(),
        portal: waiting.portal.clone(),
    };
    let mail = compose(&hub.config().mail_from, &delivery).map_err(|reason| NotSent { reason, for_good: true })?;
    transport.send(&waiting.id, &mail).await
}

fn due(connection: &Connection, now: i64) -> Result<Vec<Waiting>, Refusal> {
    let rows: Vec<(String, String, String, u32)> = connection
        .prepare_cached(
            "SELECT id, link_id, recipient, attempts FROM mail WHERE due_at <= ?1 ORDER BY due_at LIMIT ?2",
        )?
        .query_map(params![now, AT_ONCE], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
        .collect::<Result<_, _>>()?;
    let mut waiting = Vec::new();
    for (id, link, recipient, attempts) in rows {
        let Some((link, package)) = links::find(connection, &link)? else { continue };
        let portal = match &package.portal_id {
            Some(portal) => portal_name(connection, portal)?,
            None => None,
        };
        waiting.push(Waiting { id, recipient, attempts, link, package, portal });
    }
    Ok(waiting)
}

fn portal_name(connection: &Connection, id: &str) -> Result<Option<String>, Refusal> {
    match portals::get(connection, id) {
        Ok(portal) => Ok(Some(if portal.name.is_empty() { portal.subdomain } else { portal.name })),
        Err(refusal) if refusal.status == axum::http::StatusCode::NOT_FOUND => Ok(None),
        Err(refusal) => Err(refusal),
    }
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
