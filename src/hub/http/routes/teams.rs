//! Teams, their keys, their quota, and the log of all changes. The hub's own calls, in the protocol's style.

use axum::Json;
use axum::http::StatusCode;
use masv_protocol::{
    AuditEntry, ChangeKey, CreatedKey, Key, KeyId, KeyRole, KeyState, NewKey, NewTeam, Page, Role, SetBrand, SetQuota,
    Team, TeamBrand, TeamUsage, Time,
};

use super::{about_team, brand};
use crate::http::access::{Id, InTeam, KeyAdmin, Operator, SignedIn, TeamAdmin, TeamMember, TeamOperator, Who};
use crate::http::json_body::JsonBody;
use crate::http::query::{self, ListQuery, page};
use crate::http::refusal::Refusal;
use crate::keys::tokens;
use crate::records::portals::Brand;
use crate::records::{accounts, api_keys, audit, quotas, teams};

/// The longest name of a person, a key or a team, bytes.
const LONGEST_NAME: usize = 255;

/// The teams that the caller can act for.
pub(super) async fn list(SignedIn { hub, who }: SignedIn) -> Result<Json<Vec<Team>>, Refusal> {
    let teams = match who {
        Who::Operator => teams::list(hub.database()).await?,
        Who::Person(account) => accounts::teams_of(hub.database(), account.id).await?,
        Who::Key(caller) => teams::of_caller(hub.database(), caller).await?,
    };
    Ok(Json(about_team::all_with_limits(&hub, teams)))
}

pub(super) async fn create(
    Operator { hub, address }: Operator,
    JsonBody(given, ..): JsonBody<NewTeam>,
) -> Result<(StatusCode, Json<Team>), Refusal> {
    let team = teams::create(hub.database(), plain_name(given.name)?, address).await?;
    Ok((StatusCode::CREATED, Json(about_team::with_limits(&hub, team))))
}

/// How much a team has stored, and how much it may.
pub(super) async fn usage(TeamMember(team): TeamMember) -> Result<Json<TeamUsage>, Refusal> {
    Ok(Json(quotas::usage(team.hub.database(), team.id()).await?))
}

pub(super) async fn set_quota(
    TeamOperator(team): TeamOperator,
    JsonBody(given, ..): JsonBody<SetQuota>,
) -> Result<Json<TeamUsage>, Refusal> {
    let missing = || Refusal::invalid("quota is missing: a number of bytes, or null for none");
    let quota = given.quota.ok_or_else(missing)?;
    Ok(Json(quotas::set(team.hub.database(), team.id(), quota, team.by()).await?))
}

/// How the pages of a team's links look.
pub(super) async fn brand(TeamMember(team): TeamMember) -> Result<Json<TeamBrand>, Refusal> {
    Ok(Json(brand_message(teams::brand(team.hub.database(), team.id()).await?)))
}

/// Omitted fields stay as they are; empty ones remove what is set.
pub(super) async fn set_brand(
    TeamAdmin(team): TeamAdmin,
    JsonBody(given, ..): JsonBody<SetBrand>,
) -> Result<Json<TeamBrand>, Refusal> {
    let mut brand = teams::brand(team.hub.database(), team.id()).await?;
    brand::apply((given.primary_color, given.logo_url, given.background_url), &mut brand)?;
    Ok(Json(brand_message(teams::set_brand(team.hub.database(), team.id(), brand, team.by()).await?)))
}

fn brand_message(brand: Brand) -> TeamBrand {
    let Brand { primary_color, logo_url, background_url } = brand;
    TeamBrand { primary_color, logo_url, background_url }
}

fn plain_name(given: Option<String>) -> Result<String, Refusal> {
    let name = given.unwrap_or_default().trim().to_owned();
    if name.is_empty() || name.len() > LONGEST_NAME || name.chars().any(char::is_control) {
        return Err(Refusal::invalid(format!(
            "name must have 1 to {LONGEST_NAME} bytes, none of them control characters"
        )));
    }
    Ok(name)
}

pub(super) async fn keys(TeamAdmin(team): TeamAdmin) -> Result<Json<Vec<Key>>, Refusal> {
    Ok(Json(api_keys::list(team.hub.database(), team.id()).await?))
}

/// Creates a key: only this response contains it.
pub(super) async fn create_key(
    TeamAdmin(team): TeamAdmin,
    JsonBody(given, ..): JsonBody<NewKey>,
) -> Result<(StatusCode, Json<CreatedKey>), Refusal> {
    let settings = api_keys::Settings {
        name: plain_name(given.name)?,
        role: given.role.unwrap_or(KeyRole::Sender),
        expires_at: given.expiry.and_then(Time::timestamp),
        state: given.state.unwrap_or(KeyState::Active),
    };
    let key = tokens::random_secret()?;
    let made = api_keys::create(team.hub.database(), team.id(), settings, key.clone(), team.by()).await?;
    Ok((StatusCode::CREATED, Json(CreatedKey::new(made, key.into()))))
}

pub(super) async fn change_key(
    TeamAdmin(team): TeamAdmin,
    Id(key): Id<KeyId>,
    JsonBody(given, ..): JsonBody<ChangeKey>,
) -> Result<Json<Key>, Refusal> {
    change(&team, key, given).await
}

/// The same as the service has it: the key says whose it is.
pub(super) async fn change_key_by_id(
    KeyAdmin { team, key }: KeyAdmin,
    JsonBody(given, ..): JsonBody<ChangeKey>,
) -> Result<Json<Key>, Refusal> {
    change(&team, key, given).await
}

async fn change(team: &InTeam, key: KeyId, given: ChangeKey) -> Result<Json<Key>, Refusal> {
    let name = given.name.map(|name| plain_name(Some(name))).transpose()?;
    let change = move |known: api_keys::Settings| api_keys::Settings {
        name: name.clone().unwrap_or(known.name),
        role: given.role.unwrap_or(known.role),
        expires_at: given.expiry.map_or(known.expires_at, Time::timestamp),
        state: given.state.unwrap_or(known.state),
    };
    Ok(Json(api_keys::update(team.hub.database(), team.id(), key, change, team.by()).await?))
}

pub(super) async fn remove_key(TeamAdmin(team): TeamAdmin, Id(key): Id<KeyId>) -> Result<StatusCode, Refusal> {
    api_keys::delete(team.hub.database(), team.id(), key, team.by()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The same as the service has it.
pub(super) async fn remove_key_by_id(KeyAdmin { team, key }: KeyAdmin) -> Result<StatusCode, Refusal> {
    api_keys::delete(team.hub.database(), team.id(), key, team.by()).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn audit_log(
    TeamAdmin(team): TeamAdmin,
    query: ListQuery<query::Audit>,
) -> Result<Json<Page<AuditEntry>>, Refusal> {
    let filter = audit::Filter {
        of_all: team.caller.role == Role::Operator,
        actions: query.all("action"),
        actor: query.text("actor"),
        subject: query.text("subject"),
        at: query.span("created_at")?,
    };
    Ok(Json(page(audit::list(team.hub.database(), team.id(), filter, query.window()?).await?)))
}
