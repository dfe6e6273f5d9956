//! Paged lists of a team's packages, with the names of their portals and tags.

use std::collections::HashMap;

use masv_db::{Database, Value, Work, values};
use masv_protocol::{self as protocol, PackageId, PackageState, PortalSummary, TeamId};

use super::super::listing::{Conditions, Listed, Span, Window};
use super::super::{Error, OrNotFound, tags};
use super::{COLUMNS, Package, find_in};

/// Which packages of a team.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// Sent packages.
    Sent,
    /// Packages received through its portals.
    Received,
}

/// Which of these; empty conditions are none.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    pub states: Vec<PackageState>,
    pub tags: Vec<String>,
    pub name: Option<String>,
    pub sender: Option<String>,
    pub created: Span,
    pub finalized: Span,
    pub expires: Span,
    /// A portal's id, name or subdomain.
    pub portal: Option<String>,
    /// Those that are kept longer than the hub's packages usually are, or the others.
    pub extra_storage: Option<bool>,
    /// Days that packages are usually kept; absent: until somebody deletes them.
    pub usual_days: Option<u32>,
}

/// By which fields packages are sorted, and the columns that these are.
pub(crate) const ORDERS: &[(&str, &str)] = &[
    ("created_at", "created_at"),
    // The engines disagree on where what has none comes: before all that have one.
    ("finalized_at", "coalesce(finalized_at, 0)"),
    ("name", "lower(name)"),
    ("size", "size"),
    ("usage_total_bytes", "size"),
    ("expiry", "coalesce(expires_at, 0)"),
    ("sender", "lower(sender)"),
    ("status", "state"),
];

/// A page of a team's packages.
pub(crate) async fn list(
    database: &Database,
    (team, which): (TeamId, Which),
    filter: Filter,
    window: Window,
) -> Result<Listed<protocol::Package>, Error> {
    let listing = database.list(move |work| {
        let conditions = conditions(&team, which, &filter);
        let order = window.order(ORDERS);
        let Listed { total, entries } =
            conditions.list(work, (COLUMNS, "package"), &order, &window, Package::from_row)?;
        let entries = entries.iter().map(|package| with_names(work, package)).collect::<Result<_, _>>()?;
        Ok::<_, Error>(Listed { total, entries })
    });
    listing.await
}

fn conditions(team: &TeamId, which: Which, filter: &Filter) -> Conditions {
    let mut conditions = Conditions::default();
    conditions.is("team_id", team.as_str());
    let received = Value::Integer(i64::from(which == Which::Received));
    conditions.add("received = ?", received);
    conditions.add("removed = ?", Value::Integer(0));
    conditions.one_of("state", &filter.states);
    conditions.one_of("tag_id", &filter.tags);
    conditions.contains("name", filter.name.as_ref());
    conditions.contains("sender", filter.sender.as_ref());
    conditions.within("created_at", filter.created);
    conditions.within("finalized_at", filter.finalized);
    conditions.within("expires_at", filter.expires);
    if let Some(portal) = &filter.portal {
        let portals = "portal_id IN (SELECT id FROM portal WHERE lower(?) IN (lower(id), lower(name), subdomain))";
        conditions.add(portals, Value::Text(portal.clone().into()));
    }
    if let Some(extra) = filter.extra_storage {
        // Of those that are being filled, the day that they will be finalized on is not known yet.
        let longer = "(CASE WHEN unlimited_storage = 1 OR expiry_days > ?
            OR expires_at > finalized_at + CAST(? AS BIGINT) * 86400000 THEN 1 ELSE 0 END) = ?";
        let days = Value::Integer(filter.usual_days.map_or(i64::from(u32::MAX), i64::from));
        conditions.add_all(longer, [days.clone(), days, Value::Integer(i64::from(extra))]);
    }
    conditions
}

/// Up to `most` packages that a team sent and that are in one of these states, newest first.
pub(crate) async fn all(
    database: &Database,
    team: TeamId,
    states: Vec<PackageState>,
    most: u64,
) -> Result<Vec<protocol::Package>, Error> {
    let window = Window { limit: most, offset: 0, sort: None };
    let filter = Filter { states, ..Filter::default() };
    Ok(list(database, (team, Which::Sent), filter, window).await?.entries)
}

/// The epochs of the tokens of all packages that a team sent, by their ids.
pub(crate) async fn epochs(database: &Database, team: TeamId) -> Result<HashMap<String, i64>, Error> {
    let finding = database.query(move |work| {
        // Of the others it is the first.
        let sql = "SELECT id, epoch FROM package WHERE team_id = ?1 AND epoch > 0";
        let found = work.all(sql, values![team.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok::<_, Error>(found.into_iter().collect())
    });
    finding.await
}

/// A package of a team, and the epoch of its tokens.
pub(crate) async fn of_team(
    database: &Database,
    team: TeamId,
    id: PackageId,
) -> Result<(protocol::Package, i64), Error> {
    let getting = database.query(move |work| {
        let package = find_in(work, &id)?.filter(|package| package.team_id == team).or_not_found("package")?;
        Ok((with_names(work, &package)?, package.epoch))
    });
    getting.await
}

/// A package with its tag, and the portal that it came through, by name.
fn with_names(work: &Work<'_>, package: &Package) -> Result<protocol::Package, Error> {
    let mut message = package.message();
    let sql = "SELECT downloads, portal_name FROM package WHERE id = ?1";
    let known = work.one(sql, values![package.id.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    (message.downloads, message.portal_name) = known.unwrap_or_default();
    if let Some(tag) = &package.tag_id {
        message.tag = tags::find(work, tag)?;
    }
    if let Some(portal) = &package.portal_id {
        let sql = "SELECT id, name, subdomain FROM portal WHERE id = ?1";
        message.portal = work.one(sql, values![portal.as_str()], |row| {
            Ok(PortalSummary { id: row.text(0)?, name: row.get(1)?, subdomain: Some(row.get(2)?) })
        })?;
    }
    Ok(message)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::records::schema::MIGRATIONS;
    use crate::records::teams;

    const DAY: i64 = 24 * 60 * 60 * 1000;

    /// How many packages there are: so many in `MASV_WALL_PACKAGES`, for those who want to see it at 200,000.
    fn many() -> u64 {
        std::env::var("MASV_WALL_PACKAGES").ok().and_then(|many| many.parse().ok()).unwrap_or(8_000)
    }

    /// Adds finalized packages of a team up to this number, half of them received, one a minute.
    async fn fill(database: &Database, team: &TeamId, up_to: u64) {
        let team = team.clone();
        let filling = database.transact(move |work| {
            let sql = "INSERT INTO package (id, team_id, state, name, description, sender, recipients, unlimited_storage, metadata,
                    created_at, updated_at, finalized_at, received)
                WITH RECURSIVE n (i) AS (SELECT (SELECT count(*) FROM package) UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?2)
                SELECT printf('%026d', i), ?1, 'finalized', 'Dailies ' || i, '', '', '[]', 0, 'null', i * 60000, i * 60000, i * 60000, i % 2
                FROM n";
            work.run(sql, values![team.as_str(), up_to])?;
            work.run("ANALYZE", values![])?;
            Ok::<_, Error>(())
        });
        filling.await.unwrap();
    }

    /// How many thousands of steps SQLite takes for so many lists.
    async fn steps(database: &Database, times: u64, list: impl AsyncFn() -> usize, expected: usize) -> u64 {
        let Database::Sqlite(sqlite) = database else { panic!("it is counted in SQLite") };
        let before = sqlite.thousand_steps();
        for _ in 0..times {
            assert_eq!(list().await, expected);
        }
        sqlite.thousand_steps() - before
    }

    /// An agent that asked each minute whether something had arrived had the hub look at everything that ever had; and the first page of a
    /// list was sorted out of all packages.
    #[tokio::test]
    async fn what_has_arrived_and_the_newest_are_found_without_looking_at_all_packages() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&folder.path().join("hub.db"), MIGRATIONS).unwrap();
        let team = teams::create(&database, "Team".into(), None).await.unwrap().id;
        let mut newest = Vec::new();
        for number in [many() / 4, many()] {
            fill(&database, &team, number).await;
            // As the agent asks: what was finalized since a moment. Nothing was, or a few were.
            let end = i64::try_from(number).unwrap() * 60_000;
            for (since, few) in [(end + DAY, 0), (end - 4 * 60_000, 2)] {
                let since = Timestamp::from_millisecond(since).unwrap();
                let arrived = async || {
                    let finalized = Span { from: Some(since), until: None };
                    let filter = Filter { states: vec![PackageState::Finalized], finalized, ..Filter::default() };
                    let window = Window { limit: 100, offset: 0, sort: None };
                    list(&database, (team.clone(), Which::Received), filter, window).await.unwrap().entries.len()
                };
                let polls = steps(&database, 100, arrived, few).await;
                assert!(polls <= 100, "{polls} thousand steps for 100 polls that find {few} beside {number} packages");
            }
            let first_page = async || {
                let window = Window { limit: 50, offset: 0, sort: None };
                list(&database, (team.clone(), Which::Sent), Filter::default(), window).await.unwrap().entries.len()
            };
            newest.push(steps(&database, 10, first_page, 50).await);
        }
        // The number of all is still counted, in the index alone: a handful of steps for each of them, and none to sort it.
        let (more, grown) = ((many() - many() / 4) / 2, newest[1].saturating_sub(newest[0]));
        assert!(grown * 1000 / 10 <= more * 8, "{grown} thousand steps more for 10 pages beside {more} packages more");
    }
}
