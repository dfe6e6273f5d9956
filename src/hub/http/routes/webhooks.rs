//! A team's webhooks.

use std::collections::BTreeMap;

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use masv_protocol::{self as protocol, Secret, WebhookEvent, WebhookId, WebhookSettings};

use crate::Hub;
use crate::http::access::{Id, TeamAdmin, WebhookAdmin};
use crate::http::json_body::JsonBody;
use crate::http::refusal::Refusal;
use crate::jobs::destinations::Destinations;
use crate::jobs::webhooks::may_be_set;
use crate::records::webhooks::{self, Webhook};

/// Applies the given fields; omitted fields stay as they are.
fn apply(given: WebhookSettings, hook: &mut Webhook, destinations: &Destinations) -> Result<(), Refusal> {
    let is_led_elsewhere = given.url.is_some();
    hook.name = given.name.unwrap_or_else(|| std::mem::take(&mut hook.name));
    hook.url = given.url.unwrap_or_else(|| std::mem::take(&mut hook.url));
    hook.method = given.method.unwrap_or(hook.method);
    hook.events = given.events.unwrap_or_else(|| std::mem::take(&mut hook.events));
    if let Some(headers) = given.headers {
        check_headers(&headers)?;
        hook.headers = headers.into_iter().map(|(name, value)| (name, Secret::into_exposed(value))).collect();
    }
    hook.extras = given.body_extras.unwrap_or_else(|| std::mem::take(&mut hook.extras));
    hook.active = given.active.unwrap_or(hook.active);
    let address = url::Url::parse(&hook.url).map_err(|error| Refusal::invalid(format!("url: {error}")))?;
    if !matches!(address.scheme(), "http" | "https") {
        return Err(Refusal::invalid("url must be http or https"));
    }
    // A stored webhook that is no longer allowed can still be renamed and disabled.
    if is_led_elsewhere {
        destinations.check(&address).map_err(|error| Refusal::invalid(format!("url: {error}")))?;
    }
    if hook.events.is_empty() {
        let all: Vec<&str> = WebhookEvent::ALL.iter().map(|event| event.as_str()).collect();
        return Err(Refusal::invalid(format!("events must be from: {}", all.join(", "))));
    }
    Ok(())
}

/// Refuses invalid headers, and those that a team may not set.
fn check_headers(headers: &BTreeMap<String, Secret>) -> Result<(), Refusal> {
    for (name, value) in headers {
        let allowed = name.parse::<HeaderName>().is_ok_and(|name| may_be_set(&name));
        if !allowed || HeaderValue::from_str(value.expose()).is_err() {
            return Err(Refusal::invalid(format!("{name:?} is not a valid header")));
        }
    }
    Ok(())
}

fn destinations(hub: &Hub) -> Destinations {
    Destinations::new(&hub.context.config.webhook_networks)
}

pub(super) async fn create(
    TeamAdmin(team): TeamAdmin,
    JsonBody(given, ..): JsonBody<WebhookSettings>,
) -> Result<(StatusCode, Json<protocol::Webhook>), Refusal> {
    let mut hook = Webhook::new(team.id())?;
    apply(given, &mut hook, &destinations(&team.hub))?;
    let hook = webhooks::create(team.hub.database(), hook, team.by()).await?;
    Ok((StatusCode::CREATED, Json(hook.message())))
}

pub(super) async fn list(TeamAdmin(team): TeamAdmin) -> Result<Json<Vec<protocol::Webhook>>, Refusal> {
    let hooks = webhooks::list(team.hub.database(), team.id()).await?;
    Ok(Json(hooks.iter().map(Webhook::message).collect()))
}

pub(super) async fn update(
    TeamAdmin(team): TeamAdmin,
    Id(hook): Id<WebhookId>,
    JsonBody(given, ..): JsonBody<WebhookSettings>,
) -> Result<Json<protocol::Webhook>, Refusal> {
    let mut hook = webhooks::get(team.hub.database(), team.id(), hook).await?;
    apply(given, &mut hook, &destinations(&team.hub))?;
    let hook = webhooks::update(team.hub.database(), hook, team.by()).await?;
    Ok(Json(hook.message()))
}

/// The same by its id alone, as in the service.
pub(super) async fn update_by_id(
    WebhookAdmin { hub, team, hook, by }: WebhookAdmin,
    JsonBody(given, ..): JsonBody<WebhookSettings>,
) -> Result<Json<protocol::Webhook>, Refusal> {
    let mut hook = webhooks::get(hub.database(), team, hook).await?;
    apply(given, &mut hook, &destinations(&hub))?;
    Ok(Json(webhooks::update(hub.database(), hook, by).await?.message()))
}

pub(super) async fn remove_by_id(WebhookAdmin { hub, team, hook, by }: WebhookAdmin) -> Result<StatusCode, Refusal> {
    webhooks::delete(hub.database(), team, hook, by).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn remove(TeamAdmin(team): TeamAdmin, Id(hook): Id<WebhookId>) -> Result<StatusCode, Refusal> {
    webhooks::delete(team.hub.database(), team.id(), hook, team.by()).await?;
    Ok(StatusCode::NO_CONTENT)
}
