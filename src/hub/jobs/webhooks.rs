//! Webhooks of a team: whom to call when something happens to a package.
//!
//! Calls are written down in the transaction of what they tell of and sent by the outbox, at least once.

use std::collections::BTreeMap;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use crate::Hub;
use crate::error::Refusal;
use crate::http::wire::{new_id, now, time};
use crate::records::packages::Package;

/// What can be told of.
pub(crate) const EVENTS: [&str; 2] = ["package.created", "package.finalized"];
/// How long the other side may take.
const CALL_LIMIT: Duration = Duration::from_secs(20);
/// How often the outbox is looked at when nobody says that there is something in it.
const LOOK: Duration = Duration::from_secs(15);
/// Calls that are read at once.
const AT_ONCE: u32 = 50;
/// After so many attempts, some two days, a call is given up.
const MOST_ATTEMPTS: u32 = 30;

/// A webhook.
#[derive(Debug, Clone)]
pub(crate) struct Webhook {
    pub id: String,
    pub team_id: String,
    pub name: String,
    pub url: String,
    pub method: String,
    pub events: Vec<String>,
    pub headers: BTreeMap<String, String>,
    pub extras: Map<String, Value>,
    pub active: bool,
    pub created_at: i64,
}

const COLUMNS: &str = "id, team_id, name, url, method, events, headers, extras, active, created_at";

impl Webhook {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let (events, headers, extras): (String, String, String) = (row.get(5)?, row.get(6)?, row.get(7)?);
        Ok(Self {
            id: row.get(0)?,
            team_id: row.get(1)?,
            name: row.get(2)?,
            url: row.get(3)?,
            method: row.get(4)?,
            events: serde_json::from_str(&events).unwrap_or_default(),
            headers: serde_json::from_str(&headers).unwrap_or_default(),
            extras: serde_json::from_str(&extras).unwrap_or_default(),
            active: row.get(8)?,
            created_at: row.get(9)?,
        })
    }

    /// As the protocol shows it; what the headers say is often a secret and stays here.
    pub(crate) fn json(&self) -> Value {
        json!({
            "id": self.id, "team_id": self.team_id, "name": self.name, "url": self.url, "method": self.method,
            "events": self.events, "header_names": self.headers.keys().collect::<Vec<_>>(),
            "body_extras": self.extras, "active": self.active, "created_at": time(Some(self.created_at)),
        })
    }
}

/// Stores a webhook, new or changed.
pub(crate) fn put(connection: &Connection, hook: &Webhook) -> Result<(), Refusal> {
    connection
        .prepare_cached(
            "INSERT INTO webhook (id, team_id, name, url, method, events, headers, extras, active, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
             ON CONFLICT (id) DO UPDATE SET name = excluded.name, url = excluded.url, method = excluded.method,
                events = excluded.events, headers = excluded.headers, extras = excluded.extras,
                active = excluded.active",
        )?
        .execute(params![
            hook.id,
            hook.team_id,
            hook.name,
            hook.url,
            hook.method,
            json!(hook.events).to_string(),
            json!(hook.headers).to_string(),
            Value::Object(hook.extras.clone()).to_string(),
            hook.active,
            hook.created_at,
        ])?;
    Ok(())
}

/// A team's webhooks, by name.
pub(crate) fn list(connection: &Connection, team: &str) -> Result<Vec<Webhook>, Refusal> {
    let mut statement =
        connection.prepare_cached(&format!("SELECT {COLUMNS} FROM webhook WHERE team_id = ?1 ORDER BY name, id"))?;
    let rows = statement.query_map([team], Webhook::from_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// A team's webhook.
pub(crate) fn get(connection: &Connection, team: &str, id: &str) -> Result<Webhook, Refusal> {
    let mut statement =
        connection.prepare_cached(&format!("SELECT {COLUMNS} FROM webhook WHERE team_id = ?1 AND id = ?2"))?;
    statement.query_row([team, id], Webhook::from_row).optional()?.ok_or_else(|| Refusal::not_found("webhook"))
}

/// Forgets a webhook with the calls that it still waits for.
pub(crate) fn delete(connection: &Connection, team: &str, id: &str) -> Result<(), Refusal> {
    match connection.prepare_cached("DELETE FROM webhook WHERE team_id = ?1 AND id = ?2")?.execute([team, id])? {
        0 => Err(Refusal::not_found("webhook")),
        _ => Ok(()),
    }
}

/// Puts a call to every webhook of the package's team that wants `event` into the outbox.
pub(crate) fn announce(connection: &Connection, package: &Package, event: &str) -> Result<(), Refusal> {
    for hook in list(connection, &package.team_id)? {
        if !hook.active || !hook.events.iter().any(|wanted| wanted == event) {
            continue;
        }
        let mut body = hook.extras.clone();
        body.insert("event_type".to_owned(), event.into());
        body.insert("object".to_owned(), package.json());
        connection
            .prepare_cached("INSERT INTO webhook_call (id, webhook_id, body, due_at) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![new_id()?, hook.id, Value::Object(body).to_string(), now()])?;
    }
    Ok(())
}

struct Waiting {
    id: String,
    body: String,
    attempts: u32,
    hook: Webhook,
}

/// Calls webhooks until `ended`.
pub(crate) async fn deliver(hub: Hub, ended: CancellationToken) {
    let client = reqwest::Client::builder()
        .timeout(CALL_LIMIT)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("masv-hub/", env!("CARGO_PKG_VERSION")))
        .build();
    let client = match client {
        Ok(client) => client,
        Err(error) => return tracing::error!(%error, "no webhook can be called"),
    };
    loop {
        let round = async {
            while call_due(&hub, &client).await? == AT_ONCE as usize {}
            Ok::<_, Refusal>(())
        };
        tokio::select! {
            outcome = round => if let Err(refusal) = outcome {
                tracing::error!(reason = refusal.message, "cannot look for webhooks to call");
            },
            () = ended.cancelled() => return,
        }
        tokio::select! {
            () = hub.shared.calls.notified() => {}
            () = tokio::time::sleep(LOOK) => {}
            () = ended.cancelled() => return,
        }
    }
}

async fn call_due(hub: &Hub, client: &reqwest::Client) -> Result<usize, Refusal> {
    let due = hub.database().read(|connection| due(connection, now())).await?;
    let count = due.len();
    let calls = due.into_iter().map(|waiting| async move {
        let outcome = call(client, &waiting).await;
        let (id, attempts) = (waiting.id, waiting.attempts + 1);
        if let Err(reason) = &outcome {
            tracing::warn!(call = id, webhook = waiting.hook.id, attempts, reason, "webhook not called");
        }
        hub.database().write(move |connection| mark(connection, &id, attempts, outcome.err())).await
    });
    futures_util::future::try_join_all(calls).await?;
    Ok(count)
}

async fn call(client: &reqwest::Client, waiting: &Waiting) -> Result<(), String> {
    let method = reqwest::Method::from_bytes(waiting.hook.method.as_bytes()).map_err(|error| error.to_string())?;
    let mut request = client.request(method, &waiting.hook.url).header("Content-Type", "application/json");
    for (name, value) in &waiting.hook.headers {
        request = request.header(name, value);
    }
    let answer = request.body(waiting.body.clone()).send().await.map_err(|error| error.without_url().to_string())?;
    if answer.status().is_success() { Ok(()) } else { Err(format!("it answered {}", answer.status())) }
}

fn due(connection: &Connection, now: i64) -> Result<Vec<Waiting>, Refusal> {
    let rows: Vec<(String, String, String, u32)> = connection
        .prepare_cached(
            "SELECT id, webhook_id, body, attempts FROM webhook_call WHERE due_at <= ?1 ORDER BY due_at, id LIMIT ?2",
        )?
        .query_map(params![now, AT_ONCE], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
        .collect::<Result<_, _>>()?;
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM webhook WHERE id = ?1"))?;
    let mut waiting = Vec::new();
    for (id, hook, body, attempts) in rows {
        if let Some(hook) = statement.query_row([hook], Webhook::from_row).optional()? {
            waiting.push(Waiting { id, body, attempts, hook });
        }
    }
    Ok(waiting)
}

fn mark(connection: &Connection, id: &str, attempts: u32, problem: Option<String>) -> Result<(), Refusal> {
    if problem.is_none() {
        connection.prepare_cached("DELETE FROM webhook_call WHERE id = ?1")?.execute([id])?;
        return Ok(());
    }
    let again = (attempts < MOST_ATTEMPTS).then(|| now().saturating_add(crate::retry_pause(attempts)));
    connection
        .prepare_cached("UPDATE webhook_call SET attempts = ?2, due_at = ?3, problem = ?4 WHERE id = ?1")?
        .execute(params![id, attempts, again, problem])?;
    Ok(())
}
