//! A team's webhooks.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::Hub;
use crate::error::Refusal;
use crate::http::auth;
use crate::http::auth::From;
use crate::http::wire::{JsonBody, flag, new_id, now, text};
use crate::jobs::webhooks;
use crate::jobs::webhooks::{EVENTS, Webhook};

/// What a team says of a webhook; what it does not say stays as it was.
#[derive(Deserialize)]
pub(super) struct GivenWebhook {
    #[serde(default, deserialize_with = "text")]
    name: Option<String>,
    #[serde(default, deserialize_with = "text")]
    url: Option<String>,
    #[serde(default, deserialize_with = "text")]
    method: Option<String>,
    #[serde(default)]
    events: Option<Vec<String>>,
    #[serde(default)]
    headers: Option<BTreeMap<String, String>>,
    #[serde(default)]
    body_extras: Option<Map<String, Value>>,
    #[serde(default, deserialize_with = "flag")]
    active: Option<bool>,
}

impl GivenWebhook {
    fn apply(self, hook: &mut Webhook) -> Result<(), Refusal> {
        hook.name = self.name.unwrap_or_else(|| std::mem::take(&mut hook.name));
        hook.url = self.url.unwrap_or_else(|| std::mem::take(&mut hook.url));
        hook.method = self.method.map_or_else(|| std::mem::take(&mut hook.method), |method| method.to_uppercase());
        hook.events = self.events.unwrap_or_else(|| std::mem::take(&mut hook.events));
        hook.headers = self.headers.unwrap_or_else(|| std::mem::take(&mut hook.headers));
        hook.extras = self.body_extras.unwrap_or_else(|| std::mem::take(&mut hook.extras));
        hook.active = self.active.unwrap_or(hook.active);
        let address = url::Url::parse(&hook.url).map_err(|error| Refusal::invalid(format!("url: {error}")))?;
        if !matches!(address.scheme(), "http" | "https") {
            return Err(Refusal::invalid("url must be http or https"));
        }
        if !matches!(hook.method.as_str(), "POST" | "PUT" | "PATCH") {
            return Err(Refusal::invalid("method must be POST, PUT or PATCH"));
        }
        if hook.events.is_empty() {
            return Err(Refusal::invalid(format!("events must name some of {}", EVENTS.join(", "))));
        }
        if let Some(unknown) = hook.events.iter().find(|event| !EVENTS.contains(&event.as_str())) {
            return Err(Refusal::invalid(format!("there is no event {unknown:?}, only {}", EVENTS.join(", "))));
        }
        for (name, value) in &hook.headers {
            if name.parse::<HeaderName>().is_err() || HeaderValue::from_str(value).is_err() {
                return Err(Refusal::invalid(format!("{name:?} can not be a header")));
            }
        }
        Ok(())
    }
}

/// What a webhook is called in the audit log: its address may hold a secret in its query.
fn named(hook: &Webhook) -> String {
    let host = url::Url::parse(&hook.url).ok().and_then(|url| url.host_str().map(str::to_owned));
    format!("{} ({})", hook.name, host.unwrap_or_default())
}

pub(super) async fn create(
    State(hub): State<Hub>,
    Path(team): Path<String>,
    From(from): From,
    headers: HeaderMap,
    JsonBody(given): JsonBody<GivenWebhook>,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let caller = auth::team_admin(&hub, &headers, &team).await?;
    let mut hook = Webhook {
        id: new_id()?,
        team_id: team,
        name: String::new(),
        url: String::new(),
        method: "POST".to_owned(),
        events: Vec::new(),
        headers: BTreeMap::new(),
        extras: Map::new(),
        active: true,
        created_at: now(),
    };
    given.apply(&mut hook)?;
    let shown = hook.json();
    hub.database()
        .write(move |connection| {
            webhooks::put(connection, &hook)?;
            caller.at(from).note(connection, "webhook.added", &named(&hook))
        })
        .await?;
    Ok((StatusCode::CREATED, Json(shown)))
}

pub(super) async fn list(
    State(hub): State<Hub>,
    Path(team): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Vec<Value>>, Refusal> {
    auth::team_admin(&hub, &headers, &team).await?;
    let hooks = hub.database().read(move |connection| webhooks::list(connection, &team)).await?;
    Ok(Json(hooks.iter().map(Webhook::json).collect()))
}

pub(super) async fn update(
    State(hub): State<Hub>,
    Path((team, hook)): Path<(String, String)>,
    From(from): From,
    headers: HeaderMap,
    JsonBody(given): JsonBody<GivenWebhook>,
) -> Result<Json<Value>, Refusal> {
    let caller = auth::team_admin(&hub, &headers, &team).await?;
    let hook = hub
        .database()
        .write(move |connection| {
            let mut hook = webhooks::get(connection, &team, &hook)?;
            given.apply(&mut hook)?;
            webhooks::put(connection, &hook)?;
            caller.at(from).note(connection, "webhook.changed", &named(&hook))?;
            Ok::<_, Refusal>(hook)
        })
        .await?;
    Ok(Json(hook.json()))
}

pub(super) async fn remove(
    State(hub): State<Hub>,
    Path((team, hook)): Path<(String, String)>,
    From(from): From,
    headers: HeaderMap,
) -> Result<StatusCode, Refusal> {
    let caller = auth::team_admin(&hub, &headers, &team).await?;
    hub.database()
        .write(move |connection| {
            let known = webhooks::get(connection, &team, &hook)?;
            webhooks::delete(connection, &team, &hook)?;
            caller.at(from).note(connection, "webhook.removed", &named(&known))
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
