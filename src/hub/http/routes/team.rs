//! What a team sees of its packages: lists, activities, tags.

use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;
use masv_protocol::{Activity, Empty, NewTag, Package, PackageId, PackageWithToken, Page, Tag};

use crate::http::access::{Id, TeamMember};
use crate::http::json_body::JsonBody;
use crate::http::query::{ListQuery, page};
use crate::http::refusal::Refusal;
use crate::keys::tokens::Bearer;
use crate::records::packages::{self, Filter, Which};
use crate::records::{activity, tags};

pub(super) async fn sent(team: TeamMember, query: ListQuery) -> Result<Json<Page<Package>>, Refusal> {
    list(team, &query, Which::Sent).await
}

pub(super) async fn inbox(team: TeamMember, query: ListQuery) -> Result<Json<Page<Package>>, Refusal> {
    list(team, &query, Which::Received).await
}

async fn list(TeamMember(team): TeamMember, query: &ListQuery, which: Which) -> Result<Json<Page<Package>>, Refusal> {
    let filter = Filter {
        states: query.all("status").into_iter().chain(query.all("state")).collect(),
        tags: query.all("tags"),
        teamspaces: query.all("teamspaces"),
        name: query.text("name"),
        sender: query.text("sender"),
        created: query.span("created_at"),
        finalized: query.span("finalized_at"),
        expires: query.span("expiry"),
        portal: query.text("portal").or_else(|| query.text("subdomain")),
    };
    let listed = packages::list(team.hub.database(), (team.id(), which), filter, query.window()).await?;
    Ok(Json(page(listed)))
}

pub(super) async fn package(
    TeamMember(team): TeamMember,
    Id(package): Id<PackageId>,
) -> Result<Json<PackageWithToken>, Refusal> {
    let package = packages::of_team(team.hub.database(), team.id(), package).await?;
    let bearer = team.caller.key.map_or(Bearer::Member, Bearer::Key);
    let access_token = team.hub.context.keys.package_token(&package.id, &bearer).into();
    Ok(Json(PackageWithToken { package, access_token }))
}

pub(super) async fn tags(TeamMember(team): TeamMember) -> Result<Json<Vec<Tag>>, Refusal> {
    Ok(Json(tags::list(team.hub.database(), team.id()).await?))
}

pub(super) async fn create_tag(
    TeamMember(team): TeamMember,
    JsonBody(given): JsonBody<NewTag>,
) -> Result<(StatusCode, Json<Tag>), Refusal> {
    let name = given.name.unwrap_or_default().trim().to_owned();
    if name.is_empty() || name.len() > 255 {
        return Err(Refusal::invalid("name must have 1 to 255 bytes"));
    }
    Ok((StatusCode::CREATED, Json(tags::create(team.hub.database(), team.id(), name).await?)))
}

pub(super) async fn activities(
    TeamMember(team): TeamMember,
    query: ListQuery,
) -> Result<Json<Page<Activity>>, Refusal> {
    let filter = activity::Filter {
        types: query.all("activity_types"),
        states: query.all("activity_states"),
        portals: query.all("portals"),
        packages: query.all("package_id"),
        at: query.span("created_at"),
    };
    Ok(Json(page(activity::list(team.hub.database(), team.id(), filter, query.window()).await?)))
}

/// What happened in the course of an activity: here, each is one thing that happened.
pub(super) async fn activity_events(
    TeamMember(team): TeamMember,
    Path((_, activity)): Path<(String, String)>,
) -> Result<Json<Vec<Activity>>, Refusal> {
    Ok(Json(vec![activity::get(team.hub.database(), team.id(), activity).await?]))
}

/// Connections to other clouds: the hub has none, and clients that list them are to see that.
pub(super) async fn cloud_connections(_: TeamMember) -> Json<Vec<Empty>> {
    Json(Vec::new())
}
