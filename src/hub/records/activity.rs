//! What becomes of packages, as a record for their team: uploads, links and downloads, each with a state that moves, and the events
//! that moved it.
//!
//! An activity that is complete stays so; what happens to it later is an event only.

use std::net::IpAddr;

use jiff::Timestamp;
use masv_db::{Database, DbError, Row, Work, values};
use masv_protocol::{
    Activity, ActivityEvent, ActivityState, ActivityStep, ActivityType, LinkId, Open, PackageId, PortalId, TeamId,
};

use super::listing::{Conditions, Listed, Span, Window};
use super::packages::Package;
use super::{Error, OrNotFound};
use crate::clock::now;

const COLUMNS: &str =
    "number AS id, created_at, updated_at, event, kind, state, package_id, package, portal_id, link_id, actor";

/// By which fields activities are sorted, and the columns that these are.
pub(crate) const ORDERS: &[(&str, &str)] = &[("created_at", "number"), ("updated_at", "updated_at")];

/// The most events of an activity that are listed.
const MOST_EVENTS: u32 = 10_000;

/// Which activities of a team; empty conditions are none.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    pub types: Vec<ActivityType>,
    pub states: Vec<ActivityState>,
    pub portals: Vec<String>,
    pub packages: Vec<String>,
    pub at: Span,
}

/// What there is one activity for each of.
#[derive(Debug, Clone, Copy)]
pub(super) enum Subject<'a> {
    /// The upload of the package.
    Upload,
    /// A link.
    Link(&'a LinkId),
    /// A download, by what tells it from others, and its link.
    Download(&'a str, Option<&'a LinkId>),
}

/// Who does something, as far as it is known.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct By<'a> {
    /// An e-mail address or the name of a key; empty if unknown.
    pub actor: &'a str,
    pub address: Option<IpAddr>,
}

impl<'a> By<'a> {
    /// Somebody, from nobody knows where.
    pub(super) fn name(actor: &'a str) -> Self {
        Self { actor, address: None }
    }
}

/// What an event moves the state of its activity to.
fn moved_to(event: ActivityEvent) -> Option<ActivityState> {
    match event {
        ActivityEvent::PackageCreated | ActivityEvent::LinkCreated => Some(ActivityState::Pending),
        ActivityEvent::PackageStarted | ActivityEvent::PackageOpened | ActivityEvent::DownloadStarted => {
            Some(ActivityState::Started)
        }
        ActivityEvent::PackageFinalized | ActivityEvent::PackageDownloaded => Some(ActivityState::Complete),
        ActivityEvent::PackageDeleted => Some(ActivityState::Cancelled),
        ActivityEvent::PackageExpired => None,
    }
}

/// Notes that `event` happened to `subject` of `package`; its activity begins with its first. Returns its number.
pub(super) fn note(
    work: &Work<'_>,
    package: &Package,
    subject: Subject<'_>,
    event: ActivityEvent,
    by: By<'_>,
) -> Result<i64, Error> {
    let (kind, id, link) = match subject {
        Subject::Upload => (ActivityType::Upload, package.id.as_str(), None),
        Subject::Link(link) => (ActivityType::LinkGeneration, link.as_str(), Some(link)),
        Subject::Download(id, link) => (ActivityType::Download, id, link),
    };
    let (now, state) = (now(), moved_to(event));
    let sql = "INSERT INTO activity (team_id, kind, subject, state, event, created_at, updated_at, package_id, package, portal_id,
            link_id, actor)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7, ?8, ?9, ?10, ?11)
         ON CONFLICT (kind, subject) DO NOTHING";
    let first = state.unwrap_or(ActivityState::Complete);
    work.run(
        sql,
        values![
            package.team_id.as_str(),
            kind.as_str(),
            id,
            first.as_str(),
            event.as_str(),
            now,
            package.id.as_str(),
            package.name,
            package.portal_id.as_ref().map(PortalId::as_str),
            link.map(LinkId::as_str),
            by.actor
        ],
    )?;
    let sql = "SELECT number FROM activity WHERE kind = ?1 AND subject = ?2";
    let number = work.value(sql, values![kind.as_str(), id])?;
    step(work, number, event, by)?;
    Ok(number)
}

/// Notes that `event` happened to the activity with that number.
pub(super) fn step(work: &Work<'_>, number: i64, event: ActivityEvent, by: By<'_>) -> Result<(), Error> {
    let (now, state) = (now(), moved_to(event).map(ActivityState::as_str));
    let sql = "UPDATE activity SET event = ?2, updated_at = ?3,
            state = CASE WHEN state = 'complete' THEN state ELSE coalesce(?4, state) END WHERE number = ?1";
    work.run(sql, values![number, event.as_str(), now, state])?;
    let sql = "INSERT INTO activity_event (activity, at, event, state, actor, address)
         SELECT number, ?2, ?3, state, ?4, ?5 FROM activity WHERE number = ?1";
    work.run(sql, values![number, now, event.as_str(), by.actor, by.address.map(|address| address.to_string())])?;
    Ok(())
}

/// Notes what happened to the upload of a package.
pub(super) fn note_upload(work: &Work<'_>, package: &Package, event: ActivityEvent) -> Result<(), Error> {
    let actor = match event {
        ActivityEvent::PackageExpired | ActivityEvent::PackageDeleted => "",
        _ => package.sender.as_str(),
    };
    note(work, package, Subject::Upload, event, By::name(actor)).map(drop)
}

/// Notes that the first file was added to a package.
pub(super) fn note_started(work: &Work<'_>, package: &PackageId) -> Result<(), Error> {
    let sql = "SELECT number FROM activity WHERE kind = ?1 AND subject = ?2 AND state = 'pending'";
    let found = work.one(sql, values![ActivityType::Upload.as_str(), package.as_str()], |row| row.get(0))?;
    match found {
        Some(number) => step(work, number, ActivityEvent::PackageStarted, By::default()),
        None => Ok(()),
    }
}

/// A page of a team's activities.
pub(crate) async fn list(
    database: &Database,
    team: TeamId,
    filter: Filter,
    window: Window,
) -> Result<Listed<Activity>, Error> {
    let listing = database.list(move |work| {
        let mut conditions = Conditions::default();
        conditions.is("team_id", team.as_str());
        conditions.one_of("kind", &filter.types);
        conditions.one_of("state", &filter.states);
        conditions.one_of("portal_id", &filter.portals);
        conditions.one_of("package_id", &filter.packages);
        conditions.within("created_at", filter.at);
        let order = window.order(ORDERS);
        conditions.list(work, (COLUMNS, "activity"), &order, &window, read)
    });
    listing.await
}

/// The events of an activity of a team, oldest first.
pub(crate) async fn events(database: &Database, team: TeamId, id: String) -> Result<Vec<ActivityStep>, Error> {
    let number = id.parse::<i64>().unwrap_or_default();
    let getting = database.query(move |work| {
        let sql = "SELECT number FROM activity WHERE team_id = ?1 AND number = ?2";
        work.one(sql, values![team.as_str(), number], |row| row.get::<i64>(0))?.or_not_found("activity")?;
        let sql = "SELECT number, activity, at, event, state, actor, address FROM activity_event WHERE activity = ?1
             ORDER BY number LIMIT ?2";
        Ok(work.all(sql, values![number, MOST_EVENTS], read_step)?)
    });
    getting.await
}

fn read(row: &Row<'_>) -> Result<Activity, DbError> {
    Ok(Activity {
        id: row.get::<i64>(0)?.to_string().into(),
        created_at: row.get::<Timestamp>(1)?.into(),
        updated_at: row.get::<Timestamp>(2)?.into(),
        event_type: Some(Open::read(&row.get::<String>(3)?)),
        activity_type: Some(Open::read(&row.get::<String>(4)?)),
        state: Some(Open::read(&row.get::<String>(5)?)),
        package_id: row.maybe_text(6)?,
        package_name: row.get(7)?,
        portal_id: row.maybe_text(8)?,
        link_id: row.maybe_text(9)?,
        actor: row.get(10)?,
    })
}

fn read_step(row: &Row<'_>) -> Result<ActivityStep, DbError> {
    Ok(ActivityStep {
        id: row.get::<i64>(0)?.to_string().into(),
        activity_id: Some(row.get::<i64>(1)?.to_string().into()),
        created_at: row.get::<Timestamp>(2)?.into(),
        event_type: Some(Open::read(&row.get::<String>(3)?)),
        state: Some(Open::read(&row.get::<String>(4)?)),
        actor: row.get(5)?,
        address: row.get::<Option<String>>(6)?.unwrap_or_default(),
    })
}

/// Removes activities that nothing has happened to since a time, and all but the newest `most`, with their events.
pub(super) fn forget(work: &Work<'_>, before: Timestamp, most: i64) -> Result<(), Error> {
    let older = "DELETE FROM activity WHERE updated_at < ?1 OR number <= (SELECT max(number) FROM activity) - ?2";
    work.run(older, values![before, most])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::schema::MIGRATIONS;

    /// What an earlier version noted as rows that never changed becomes activities with their events.
    #[tokio::test]
    async fn what_an_earlier_version_noted_becomes_activities_with_events() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hub.db");
        let before = Database::open(&path, &MIGRATIONS[..10]).unwrap();
        let rows = [
            ("package.created", "package_upload_to_masv", "pending", "P"),
            ("package.created", "package_upload_to_masv", "pending", "Q"),
            ("package.finalized", "package_upload_to_masv", "complete", "P"),
            ("link.created", "link_generation", "pending", "P"),
            ("package.downloaded", "package_download_from_masv", "started", "P"),
            ("package.deleted", "package_upload_to_masv", "cancelled", "P"),
            ("package.created", "package_upload_to_masv", "pending", "R"),
            ("package.deleted", "package_upload_to_masv", "cancelled", "R"),
        ];
        let filling = before.transact(move |work| {
            work.run("INSERT INTO team (id, name, created_at) VALUES ('T', 'Team', 1)", values![])?;
            for (at, (event, kind, state, package)) in rows.iter().enumerate() {
                let sql = "INSERT INTO activity (team_id, at, event, kind, state, package_id, package, actor)
                     VALUES ('T', ?1, ?2, ?3, ?4, ?5, 'Dailies', 'dit@example.com')";
                work.run(sql, values![at as u64 + 1, event, kind, state, package])?;
            }
            Ok::<_, Error>(())
        });
        filling.await.unwrap();
        drop(before);
        let database = Database::open(&path, MIGRATIONS).unwrap();
        let window = Window { limit: 100, offset: 0, sort: None };
        let listed = list(&database, "T".into(), Filter::default(), window).await.unwrap();
        let mut found: Vec<(String, String, String)> = Vec::new();
        for activity in &listed.entries {
            let state = activity.state.as_ref().map(ToString::to_string).unwrap_or_default();
            let steps = events(&database, "T".into(), activity.id.to_string()).await.unwrap();
            let steps: Vec<String> =
                steps.iter().filter_map(|step| step.event_type.as_ref().map(ToString::to_string)).collect();
            found.push((activity.package_id.as_ref().unwrap().to_string(), state, steps.join(" ")));
        }
        found.sort();
        let expected = [
            ("P", "complete", "package.created package.finalized package.deleted"),
            ("P", "pending", "link.created"),
            ("P", "started", "package.download_started"),
            ("Q", "pending", "package.created"),
            ("R", "cancelled", "package.created package.deleted"),
        ];
        assert_eq!(found, expected.map(|(package, state, steps)| (package.into(), state.into(), steps.into())));
    }
}
