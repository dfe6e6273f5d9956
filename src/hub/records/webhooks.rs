//! Webhooks of a team, and the calls that they are owed.
//!
//! Calls are recorded in the transaction of what they report, and made at least once.

use std::collections::BTreeMap;

use jiff::Timestamp;
use masv_db::{Database, DbError, Row, Work, values};
use masv_protocol::{
    self as protocol, Download, OpenedBy, PortalId, TeamId, WebhookCall, WebhookEvent, WebhookId, WebhookMethod,
};
use serde_json::{Map, Value};

use super::audit::Actor;
use super::ids::new_id;
use super::outbox::{self, Outbox};
use super::packages::Package;
use super::{Error, OrNotFound, bounds};
use crate::clock::now;

/// A webhook.
#[derive(Debug, Clone)]
pub(crate) struct Webhook {
    pub id: WebhookId,
    pub team_id: TeamId,
    pub name: String,
    pub url: String,
    pub method: WebhookMethod,
    pub events: Vec<WebhookEvent>,
    pub headers: BTreeMap<String, String>,
    pub extras: Map<String, Value>,
    pub active: bool,
    /// The portals that it is called for; absent: it was never attached to one, and is called for all packages of the team.
    pub portals: Option<Vec<PortalId>>,
    pub created_at: Timestamp,
}

const COLUMNS: &str = "id, team_id, name, url, method, events, headers, extras, active, created_at, of_portals, \
    (SELECT '[' || coalesce(string_agg('\"' || portal_id || '\"', ','), '') || ']' FROM portal_webhook WHERE webhook_id = webhook.id)";

impl Webhook {
    /// One of which nothing is set yet.
    pub(crate) fn new(team_id: TeamId) -> Result<Self, Error> {
        let now = now();
        Ok(Self {
            id: new_id(now)?,
            team_id,
            name: String::new(),
            url: String::new(),
            method: WebhookMethod::default(),
            events: Vec::new(),
            headers: BTreeMap::new(),
            extras: Map::new(),
            active: true,
            portals: None,
            created_at: now,
        })
    }

    fn from_row(row: &Row<'_>) -> Result<Self, DbError> {
        let json = |column| row.get::<String>(column);
        Ok(Self {
            id: row.text(0)?,
            team_id: row.text(1)?,
            name: row.get(2)?,
            url: row.get(3)?,
            method: row.word(4)?,
            events: serde_json::from_str(&json(5)?).unwrap_or_default(),
            headers: serde_json::from_str(&json(6)?).unwrap_or_default(),
            extras: serde_json::from_str(&json(7)?).unwrap_or_default(),
            active: row.get(8)?,
            created_at: row.get(9)?,
            portals: match row.get(10)? {
                true => Some(serde_json::from_str(&json(11)?).unwrap_or_default()),
                false => None,
            },
        })
    }

    /// As the protocol shows it; the values of headers are often secret and stay here.
    pub(crate) fn message(&self) -> protocol::Webhook {
        protocol::Webhook {
            id: self.id.clone(),
            team_id: Some(self.team_id.clone()),
            name: self.name.clone(),
            url: self.url.clone(),
            method: Some(self.method.into()),
            events: self.events.iter().map(|event| (*event).into()).collect(),
            header_names: self.headers.keys().cloned().collect(),
            body_extras: self.extras.clone(),
            portals: self.portals.clone(),
            active: self.active,
            created_at: self.created_at.into(),
        }
    }

    /// Whether it is called for what becomes of `package`.
    fn is_called_for(&self, package: &Package) -> bool {
        match &self.portals {
            None => true,
            Some(portals) => package.portal_id.as_ref().is_some_and(|portal| portals.contains(portal)),
        }
    }

    /// What it is called in the audit log: its address may hold a secret in its query.
    fn audit_name(&self) -> String {
        let host = url::Url::parse(&self.url).ok().and_then(|url| url.host_str().map(str::to_owned));
        format!("{} ({})", self.name, host.unwrap_or_default())
    }
}

fn put(work: &Work<'_>, hook: &Webhook) -> Result<(), Error> {
    work.run(
        "INSERT INTO webhook (id, team_id, name, url, method, events, headers, extras, active, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
         ON CONFLICT (id) DO UPDATE SET name = excluded.name, url = excluded.url, method = excluded.method,
            events = excluded.events, headers = excluded.headers, extras = excluded.extras,
            active = excluded.active",
        values![
            hook.id.as_str(),
            hook.team_id.as_str(),
            hook.name,
            hook.url,
            hook.method.as_str(),
            serde_json::to_string(&hook.events).unwrap_or_default(),
            serde_json::to_string(&hook.headers).unwrap_or_default(),
            serde_json::to_string(&hook.extras).unwrap_or_default(),
            hook.active,
            hook.created_at
        ],
    )?;
    Ok(())
}

fn list_in(work: &Work<'_>, team: &TeamId) -> Result<Vec<Webhook>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM webhook WHERE team_id = ?1 ORDER BY name, id");
    Ok(work.all(&sql, values![team.as_str()], Webhook::from_row)?)
}

fn get_in(work: &Work<'_>, team: &TeamId, id: &WebhookId) -> Result<Webhook, Error> {
    let sql = format!("SELECT {COLUMNS} FROM webhook WHERE team_id = ?1 AND id = ?2{}", work.for_change());
    work.one(&sql, values![team.as_str(), id.as_str()], Webhook::from_row)?.or_not_found("webhook")
}

/// Makes these the webhooks that are called for a portal.
pub(super) fn attach(work: &Work<'_>, team: &TeamId, portal: &PortalId, hooks: &[WebhookId]) -> Result<(), Error> {
    work.run("DELETE FROM portal_webhook WHERE portal_id = ?1", values![portal.as_str()])?;
    for hook in hooks {
        let sql = "UPDATE webhook SET of_portals = 1 WHERE id = ?1 AND team_id = ?2 RETURNING id";
        let known: Option<WebhookId> = work.one(sql, values![hook.as_str(), team.as_str()], |row| row.text(0))?;
        if known.is_none() {
            return Err(Error::Invalid(format!("custom_webhooks: the team has no webhook {hook}")));
        }
        let sql = "INSERT INTO portal_webhook (portal_id, webhook_id) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
        work.run(sql, values![portal.as_str(), hook.as_str()])?;
    }
    Ok(())
}

/// The team of that webhook, if there is one.
pub(crate) async fn team_of(database: &Database, id: WebhookId) -> Result<Option<TeamId>, Error> {
    let asking = database.query(move |work| {
        let sql = "SELECT team_id FROM webhook WHERE id = ?1";
        Ok::<_, Error>(work.one(sql, values![id.as_str()], |row| row.text(0))?)
    });
    asking.await
}

/// A team's webhooks, by name.
pub(crate) async fn list(database: &Database, team: TeamId) -> Result<Vec<Webhook>, Error> {
    database.query(move |work| list_in(work, &team)).await
}

/// A team's webhook.
pub(crate) async fn get(database: &Database, team: TeamId, id: WebhookId) -> Result<Webhook, Error> {
    database.query(move |work| get_in(work, &team, &id)).await
}

/// Stores a new webhook.
pub(crate) async fn create(database: &Database, hook: Webhook, by: Actor) -> Result<Webhook, Error> {
    let creating = database.transact(move |work| {
        bounds::check_team(work, bounds::WEBHOOKS, &hook.team_id)?;
        put(work, &hook)?;
        by.note(work, "webhook.added", &hook.audit_name())?;
        Ok::<_, Error>(hook.clone())
    });
    creating.await
}

/// Stores the changes to a webhook, unless it was removed meanwhile.
pub(crate) async fn update(database: &Database, hook: Webhook, by: Actor) -> Result<Webhook, Error> {
    let updating = database.transact(move |work| {
        get_in(work, &hook.team_id, &hook.id)?;
        put(work, &hook)?;
        by.note(work, "webhook.changed", &hook.audit_name())?;
        Ok::<_, Error>(hook.clone())
    });
    updating.await
}

/// Forgets a webhook with the calls that it still waits for.
pub(crate) async fn delete(database: &Database, team: TeamId, id: WebhookId, by: Actor) -> Result<(), Error> {
    let deleting = database.transact(move |work| {
        let known = get_in(work, &team, &id)?;
        work.run("DELETE FROM webhook WHERE id = ?1", values![id.as_str()])?;
        by.note(work, "webhook.removed", &known.audit_name())
    });
    deleting.await
}

/// What a call tells besides the package.
#[derive(Debug, Clone)]
pub(super) enum About {
    /// Nothing.
    Package,
    /// By whom its link was opened.
    Opened(OpenedBy),
    /// By whom it was downloaded.
    Downloaded(Download),
}

/// Queues a call to every webhook of the package's team that subscribes to `event`.
pub(super) fn announce(work: &Work<'_>, package: &Package, event: WebhookEvent, about: About) -> Result<(), Error> {
    for hook in list_in(work, &package.team_id)? {
        if !hook.active || !hook.events.contains(&event) || !hook.is_called_for(package) {
            continue;
        }
        let mut call = WebhookCall::new(event, package.message(), hook.extras);
        match about.clone() {
            About::Package => {}
            About::Opened(opened) => call.opened = Some(opened),
            About::Downloaded(download) => call.download = Some(download),
        }
        let body = serde_json::to_string(&call).map_err(|error| Error::Invalid(error.to_string()))?;
        let (now, sql) = (now(), "INSERT INTO webhook_call (id, webhook_id, body, due_at) VALUES (?1, ?2, ?3, ?4)");
        work.run(sql, values![new_id::<String>(now)?, hook.id.as_str(), body, now])?;
    }
    Ok(())
}

/// A call to make, claimed by its reader.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub id: String,
    pub body: String,
    /// Which attempt this is, from 1.
    pub attempt: u32,
}

/// The webhooks that calls are due to.
pub(crate) async fn due(database: &Database) -> Result<Vec<WebhookId>, Error> {
    let asking = database.query(|work| {
        let sql = "SELECT DISTINCT webhook_id FROM webhook_call WHERE due_at <= ?1";
        Ok::<_, Error>(work.all(sql, values![now()], |row| row.text(0))?)
    });
    asking.await
}

/// Claims up to `most` due calls of a webhook, and how to make them; nothing if the webhook is gone.
pub(crate) async fn claim(
    database: &Database,
    hook: WebhookId,
    most: u32,
) -> Result<Option<(Webhook, Vec<Call>)>, Error> {
    let claiming = database.transact(move |work| {
        let sql = format!("SELECT {COLUMNS} FROM webhook WHERE id = ?1");
        let Some(known) = work.one(&sql, values![hook.as_str()], Webhook::from_row)? else { return Ok(None) };
        let of_hook = Some(("webhook_id = ?4", hook.as_str()));
        let calls = outbox::claim(work, Outbox::WebhookCall, ("id, body, attempts", of_hook), most, |row| {
            Ok(Call { id: row.get(0)?, body: row.get(1)?, attempt: row.get(2)? })
        })?;
        Ok::<_, Error>(Some((known, calls)))
    });
    claiming.await
}

/// Forgets a call that was made.
pub(crate) async fn called(database: &Database, id: String) -> Result<(), Error> {
    let marking = database.transact(move |work| {
        work.run("DELETE FROM webhook_call WHERE id = ?1", values![id])?;
        Ok::<_, Error>(())
    });
    marking.await
}

/// Records that a call failed: when it is tried again (`None`: it is abandoned), and why it failed.
pub(crate) async fn not_called(
    database: &Database,
    id: String,
    again: Option<Timestamp>,
    problem: String,
) -> Result<(), Error> {
    database.transact(move |work| outbox::failed(work, Outbox::WebhookCall, &id, again, &problem)).await
}
