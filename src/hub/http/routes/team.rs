//! A team's view of its packages: lists, activities, tags.

use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;
use masv_protocol::{
    Activity, ActivityStep, Empty, NewTag, Package, PackageId, PackageState, PackageWithToken, Page, Tag,
};

use super::MOST_LISTED;
use super::packages::token;
use crate::http::access::{Id, InTeam, TagAdmin, TeamMember};
use crate::http::fields::{NO_CONNECTIONS, NO_TEAMSPACES};
use crate::http::json_body::JsonBody;
use crate::http::query::{self, ListQuery, page};
use crate::http::refusal::Refusal;
use crate::records::packages::{self, Filter, Which};
use crate::records::{activity, tags};

/// Packages of a team, in pages.
type PackagesQuery = ListQuery<query::Packages>;

pub(super) async fn sent(team: TeamMember, query: PackagesQuery) -> Result<Json<Page<Package>>, Refusal> {
    list(team, &query, Which::Sent).await
}

pub(super) async fn inbox(team: TeamMember, query: PackagesQuery) -> Result<Json<Page<Package>>, Refusal> {
    list(team, &query, Which::Received).await
}

async fn list(
    TeamMember(team): TeamMember,
    query: &PackagesQuery,
    which: Which,
) -> Result<Json<Page<Package>>, Refusal> {
    let filter = Filter {
        states: [query.words("status")?, query.words("state")?].concat(),
        tags: query.all("tags"),
        name: query.text("name"),
        sender: query.text("sender"),
        created: query.span("created_at")?,
        finalized: query.span("finalized_at")?,
        expires: query.span("expiry")?,
        portal: query.text("portal").or_else(|| query.text("subdomain")),
        extra_storage: query.flag("extra_storage")?,
        usual_days: team.hub.context.config.default_expiry_days,
    };
    let listed = packages::list(team.hub.database(), (team.id(), which), filter, query.window()?).await?;
    Ok(Json(page(listed)))
}

/// What the team sent as the service listed it before there were pages: which states are wanted is said one by one.
pub(super) async fn all_sent(
    TeamMember(team): TeamMember,
    query: ListQuery<query::AllPackages>,
) -> Result<Json<Vec<PackageWithToken>>, Refusal> {
    let mut states = Vec::new();
    for (state, usually) in [
        (PackageState::Expired, true),
        (PackageState::Finalized, true),
        (PackageState::New, false),
        (PackageState::Archived, false),
    ] {
        if query.flag(state.as_str())?.unwrap_or(usually) {
            states.push(state);
        }
    }
    if states.is_empty() {
        return Ok(Json(Vec::new()));
    }
    let all = packages::all(team.hub.database(), team.id(), states, MOST_LISTED.into()).await?;
    let epochs = packages::epochs(team.hub.database(), team.id()).await?;
    let epoch = |package: &Package| epochs.get(package.id.as_str()).copied().unwrap_or_default();
    Ok(Json(
        all.into_iter()
            .map(|package| (epoch(&package), package))
            .map(|(epoch, package)| with_token(&team, package, epoch))
            .collect(),
    ))
}

/// A package with the right to it that the caller has.
fn with_token(team: &InTeam, package: Package, epoch: i64) -> PackageWithToken {
    let access_token = token(&team.hub, (&package.id, epoch), &team.bearer());
    PackageWithToken { package, access_token }
}

pub(super) async fn package(
    TeamMember(team): TeamMember,
    Id(package): Id<PackageId>,
) -> Result<Json<PackageWithToken>, Refusal> {
    let (package, epoch) = packages::of_team(team.hub.database(), team.id(), package).await?;
    Ok(Json(with_token(&team, package, epoch)))
}

pub(super) async fn tags(TeamMember(team): TeamMember) -> Result<Json<Vec<Tag>>, Refusal> {
    Ok(Json(tags::list(team.hub.database(), team.id()).await?))
}

pub(super) async fn create_tag(
    TeamMember(team): TeamMember,
    JsonBody(given, ..): JsonBody<NewTag>,
) -> Result<(StatusCode, Json<Tag>), Refusal> {
    let name = given.name.unwrap_or_default().trim().to_owned();
    if name.is_empty() || name.len() > 255 {
        return Err(Refusal::invalid("name must have 1 to 255 bytes"));
    }
    Ok((StatusCode::CREATED, Json(tags::create(team.hub.database(), team.id(), name).await?)))
}

/// Removes a tag from everything that has it.
pub(super) async fn remove_tag(TagAdmin { hub, tag, by }: TagAdmin) -> Result<StatusCode, Refusal> {
    tags::delete(hub.database(), tag, by).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn activities(
    TeamMember(team): TeamMember,
    query: ListQuery<query::Activities>,
) -> Result<Json<Page<Activity>>, Refusal> {
    let filter = activity::Filter {
        types: query.words("activity_types")?,
        states: query.words("activity_states")?,
        portals: query.all("portals"),
        packages: query.all("package_id"),
        at: query.span("created_at")?,
    };
    Ok(Json(page(activity::list(team.hub.database(), team.id(), filter, query.window()?).await?)))
}

/// The events of an activity.
pub(super) async fn activity_events(
    TeamMember(team): TeamMember,
    Path((_, activity)): Path<(String, String)>,
) -> Result<Json<Vec<ActivityStep>>, Refusal> {
    Ok(Json(activity::events(team.hub.database(), team.id(), activity).await?))
}

/// Connections to other clouds: the hub has none, and clients that list them are to see that.
pub(super) async fn cloud_connections(_: TeamMember) -> Json<Vec<Empty>> {
    Json(Vec::new())
}

/// A connection to another cloud cannot be made.
pub(super) async fn connect(_: TeamMember) -> Refusal {
    Refusal::invalid(format!("a cloud connection cannot be made: {NO_CONNECTIONS}"))
}

/// Teamspaces: the hub has none, and clients that list them should see that.
pub(super) async fn spaces(_: TeamMember) -> Json<Vec<Empty>> {
    Json(Vec::new())
}

/// A teamspace cannot be made.
pub(super) async fn create_space(_: TeamMember) -> Refusal {
    Refusal::invalid(format!("a teamspace cannot be made: {NO_TEAMSPACES}"))
}
