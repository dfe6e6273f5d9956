//! What happened to packages, as a record for their team.

use jiff::Timestamp;
use masv_db::{Database, DbError, Row, Work, values};
use masv_protocol::{Activity, ActivityEvent, ActivityState, ActivityType, Open, PortalId, TeamId};

use super::listing::{Conditions, Listed, Span, Window};
use super::packages::Package;
use super::{Error, OrNotFound};
use crate::clock::now;

const COLUMNS: &str = "number AS id, at, event, kind, state, package_id, package, portal_id, actor";

/// By which fields activities are sorted, and the columns that these are.
pub(crate) const ORDERS: &[(&str, &str)] = &[("created_at", "number")];

/// Which activities of a team; empty conditions are none.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    pub types: Vec<ActivityType>,
    pub states: Vec<ActivityState>,
    pub portals: Vec<String>,
    pub packages: Vec<String>,
    pub at: Span,
}

/// The kind of activity that an event belongs to, and how far it is with it.
fn kind(event: ActivityEvent) -> (ActivityType, ActivityState) {
    match event {
        ActivityEvent::PackageCreated => (ActivityType::Upload, ActivityState::Pending),
        ActivityEvent::PackageFinalized | ActivityEvent::PackageExpired => {
            (ActivityType::Upload, ActivityState::Complete)
        }
        ActivityEvent::PackageDeleted => (ActivityType::Upload, ActivityState::Cancelled),
        ActivityEvent::LinkCreated => (ActivityType::LinkGeneration, ActivityState::Pending),
        ActivityEvent::PackageDownloaded => (ActivityType::Download, ActivityState::Started),
    }
}

/// Notes that `event` happened to `package`, by the hand of `actor` (an e-mail address, empty when unknown).
pub(super) fn add(work: &Work<'_>, package: &Package, event: ActivityEvent, actor: &str) -> Result<(), Error> {
    let (kind, state) = kind(event);
    work.run(
        "INSERT INTO activity (team_id, at, event, kind, state, package_id, package, portal_id, actor)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        values![
            package.team_id.as_str(),
            now(),
            event.as_str(),
            kind.as_str(),
            state.as_str(),
            package.id.as_str(),
            package.name,
            package.portal_id.as_ref().map(PortalId::as_str),
            actor
        ],
    )?;
    Ok(())
}

/// A page of a team's activities.
pub(crate) async fn list(
    database: &Database,
    team: TeamId,
    filter: Filter,
    window: Window,
) -> Result<Listed<Activity>, Error> {
    let listing = database.query(move |work| {
        let mut conditions = Conditions::default();
        conditions.is("team_id", team.as_str());
        conditions.one_of("kind", &filter.types);
        conditions.one_of("state", &filter.states);
        conditions.one_of("portal_id", &filter.portals);
        conditions.one_of("package_id", &filter.packages);
        conditions.within("at", filter.at);
        let order = window.order(ORDERS);
        conditions.list(work, (COLUMNS, "activity"), &order, &window, read)
    });
    listing.await
}

/// An activity of a team.
pub(crate) async fn get(database: &Database, team: TeamId, id: String) -> Result<Activity, Error> {
    let number = id.parse::<i64>().unwrap_or_default();
    let getting = database.query(move |work| {
        let sql = format!("SELECT {COLUMNS} FROM activity WHERE team_id = ?1 AND number = ?2");
        work.one(&sql, values![team.as_str(), number], read)?.or_not_found("activity")
    });
    getting.await
}

fn read(row: &Row<'_>) -> Result<Activity, DbError> {
    Ok(Activity {
        id: row.get::<i64>(0)?.to_string().into(),
        created_at: row.get::<Timestamp>(1)?.into(),
        event_type: Some(Open::read(&row.get::<String>(2)?)),
        activity_type: Some(Open::read(&row.get::<String>(3)?)),
        state: Some(Open::read(&row.get::<String>(4)?)),
        package_id: row.maybe_text(5)?,
        package_name: row.get(6)?,
        portal_id: row.maybe_text(7)?,
        actor: row.get(8)?,
    })
}

/// Removes entries from before a time, and all but the newest `most`.
pub(super) fn forget(work: &Work<'_>, before: Timestamp, most: i64) -> Result<(), Error> {
    let older = "DELETE FROM activity WHERE at < ?1 OR number <= (SELECT max(number) FROM activity) - ?2";
    work.run(older, values![before, most])?;
    Ok(())
}
