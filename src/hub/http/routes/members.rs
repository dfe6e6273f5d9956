//! The people of a team. The hub's own calls, in the protocol's style.

use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;
use masv_protocol::{ChangeMember, Member, MemberRole, NewMember, Secret};

use crate::http::access::{TeamAdmin, TeamMember};
use crate::http::json_body::JsonBody;
use crate::http::refusal::Refusal;
use crate::keys::passwords;
use crate::records::accounts;
use crate::records::members::{self, Change};

pub(super) async fn list(TeamMember(team): TeamMember) -> Result<Json<Vec<Member>>, Refusal> {
    Ok(Json(accounts::members(team.hub.database(), team.id()).await?))
}

/// The hash of a person's password, if given.
async fn password_hash(given: Option<Secret>) -> Result<Option<String>, Refusal> {
    match given {
        Some(password) => Ok(Some(passwords::hash_of_person(password.expose()).await?)),
        None => Ok(None),
    }
}

/// Adds a person to a team. An existing account of another team keeps its password.
pub(super) async fn add(
    TeamAdmin(team): TeamAdmin,
    JsonBody(given, ..): JsonBody<NewMember>,
) -> Result<(StatusCode, Json<Member>), Refusal> {
    let new = members::NewMember {
        email: given.email.ok_or_else(|| Refusal::invalid("email is missing"))?,
        name: given.name.unwrap_or_default(),
        password_hash: password_hash(given.password).await?,
        role: given.role.unwrap_or(MemberRole::Sender),
    };
    let by = team.by();
    let member = members::add(team.hub.database(), team.caller, by, new).await?;
    Ok((StatusCode::CREATED, Json(member)))
}

pub(super) async fn change(
    TeamAdmin(team): TeamAdmin,
    Path((_, member)): Path<(String, String)>,
    JsonBody(given, ..): JsonBody<ChangeMember>,
) -> Result<Json<Member>, Refusal> {
    let password_hash = password_hash(given.password).await?;
    let change = Change { name: given.name, password_hash, role: given.role };
    let by = team.by();
    Ok(Json(members::change(team.hub.database(), team.caller, by, (member, change)).await?))
}

pub(super) async fn remove(
    TeamAdmin(team): TeamAdmin,
    Path((_, member)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    let by = team.by();
    members::remove(team.hub.database(), team.caller, by, member).await?;
    Ok(StatusCode::NO_CONTENT)
}
