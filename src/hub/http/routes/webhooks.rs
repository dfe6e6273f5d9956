//! A team's webhooks.

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use masv_protocol::{self as protocol, Secret, WebhookEvent, WebhookId, WebhookSettings};

use crate::http::access::{Id, TeamAdmin};
use crate::http::json_body::JsonBody;
use crate::http::refusal::Refusal;
use crate::records::webhooks::{self, Webhook};

/// Takes over what is given; what is not said stays as it was.
fn apply(given: WebhookSettings, hook: &mut Webhook) -> Result<(), Refusal> {
    hook.name = given.name.unwrap_or_else(|| std::mem::take(&mut hook.name));
    hook.url = given.url.unwrap_or_else(|| std::mem::take(&mut hook.url));
    hook.method = given.method.unwrap_or(hook.method);
    hook.events = given.events.unwrap_or_else(|| std::mem::take(&mut hook.events));
    if let Some(headers) = given.headers {
        hook.headers = headers.into_iter().map(|(name, value)| (name, Secret::into_exposed(value))).collect();
    }
    hook.extras = given.body_extras.unwrap_or_else(|| std::mem::take(&mut hook.extras));
    hook.active = given.active.unwrap_or(hook.active);
    let address = url::Url::parse(&hook.url).map_err(|error| Refusal::invalid(format!("url: {error}")))?;
    if !matches!(address.scheme(), "http" | "https") {
        return Err(Refusal::invalid("url must be http or https"));
    }
    if hook.events.is_empty() {
        let all: Vec<&str> = WebhookEvent::ALL.iter().map(|event| event.as_str()).collect();
        return Err(Refusal::invalid(format!("events must name some of {}", all.join(", "))));
    }
    for (name, value) in &hook.headers {
        if name.parse::<HeaderName>().is_err() || HeaderValue::from_str(value).is_err() {
            return Err(Refusal::invalid(format!("{name:?} can not be a header")));
        }
    }
    Ok(())
}

pub(super) async fn create(
    TeamAdmin(team): TeamAdmin,
    JsonBody(given): JsonBody<WebhookSettings>,
) -> Result<(StatusCode, Json<protocol::Webhook>), Refusal> {
    let mut hook = Webhook::new(team.id())?;
    apply(given, &mut hook)?;
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
    JsonBody(given): JsonBody<WebhookSettings>,
) -> Result<Json<protocol::Webhook>, Refusal> {
    let mut hook = webhooks::get(team.hub.database(), team.id(), hook).await?;
    apply(given, &mut hook)?;
    let hook = webhooks::update(team.hub.database(), hook, team.by()).await?;
    Ok(Json(hook.message()))
}

pub(super) async fn remove(TeamAdmin(team): TeamAdmin, Id(hook): Id<WebhookId>) -> Result<StatusCode, Refusal> {
    webhooks::delete(team.hub.database(), team.id(), hook, team.by()).await?;
    Ok(StatusCode::NO_CONTENT)
}
