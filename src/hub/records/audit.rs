//! The audit log: who changed what, written in the transaction of the change itself.
//!
//! It records what was done to people, keys, portals, webhooks, links and stored packages, and who tried to sign in; what happens to
//! packages otherwise is in the activities. It never contains a secret.

use std::net::IpAddr;

use jiff::Timestamp;
use masv_db::{Database, DbError, Row, Work, values};
use masv_protocol::{AuditEntry, PackageState, TeamId};

use super::Error;
use super::accounts::Caller;
use super::listing::{Conditions, Listed, Span, Window};
use super::packages::Package;
use crate::clock::now;

const COLUMNS: &str = "number AS id, at, actor, address, action, subject";

/// An actor, and the address.
#[derive(Debug, Clone)]
pub(crate) struct Actor {
    /// The team that it concerns; absent: the whole hub.
    pub team: Option<TeamId>,
    /// An e-mail address, a key's name, or `operator`.
    pub name: String,
    /// Where the request came from.
    pub address: Option<IpAddr>,
}

impl Actor {
    /// Notes that `action` was done to `subject`, as people call it.
    pub(super) fn note(&self, work: &Work<'_>, action: &str, subject: &str) -> Result<(), Error> {
        let address = self.address.map(|address| address.to_string());
        work.run(
            "INSERT INTO audit (team_id, at, actor, address, action, subject) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            values![self.team.as_ref().map(TeamId::as_str), now(), self.name, address, action, subject],
        )?;
        Ok(())
    }
}

/// The right by which a package is changed, and the address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Authority {
    /// Its team; absent: its access token, which for a package of a portal anybody may have.
    pub team: Option<Caller>,
    /// Where the request came from.
    pub address: Option<IpAddr>,
}

impl Authority {
    /// Its holder, for the audit log.
    pub(super) fn actor(&self, package: &Package) -> Actor {
        match &self.team {
            Some(caller) => caller.at(self.address),
            None => Actor {
                team: Some(package.team_id.clone()),
                name: format!("sender {}", package.sender),
                address: self.address,
            },
        }
    }

    /// Refuses what a sender to a portal must not decide: who gets the package, and for how long.
    pub(crate) fn check_owner(&self, package: &Package) -> Result<(), Error> {
        if self.team.is_none() && package.received {
            return Err(Error::Forbidden("only the portal's team may do this"));
        }
        Ok(())
    }

    /// Refuses a sender who tries to remove what was delivered through a portal.
    pub(super) fn check_remover(&self, package: &Package) -> Result<(), Error> {
        if self.team.is_none() && package.received && package.state != PackageState::New {
            return Err(Error::Forbidden("packages sent to a portal can be removed only by the portal's team"));
        }
        Ok(())
    }
}

/// By which fields entries are sorted, and the columns that these are.
pub(crate) const ORDERS: &[(&str, &str)] = &[("created_at", "number")];

/// Which entries; empty conditions are none.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    /// Also what concerns the whole hub, for its operator.
    pub of_all: bool,
    pub actions: Vec<String>,
    pub actor: Option<String>,
    pub subject: Option<String>,
    pub at: Span,
}

/// Notes what an operator did to no row.
pub(crate) async fn add(database: &Database, by: Actor, action: &'static str, subject: String) -> Result<(), Error> {
    database.transact(move |work| by.note(work, action, &subject)).await
}

/// A page of what concerns a team.
pub(crate) async fn list(
    database: &Database,
    team: TeamId,
    filter: Filter,
    window: Window,
) -> Result<Listed<AuditEntry>, Error> {
    let listing = database.list(move |work| {
        let mut conditions = Conditions::default();
        let whose = if filter.of_all { "(team_id = ? OR team_id IS NULL)" } else { "team_id = ?" };
        conditions.add(whose, masv_db::Value::Text(team.as_str().to_owned().into()));
        conditions.one_of("action", &filter.actions);
        conditions.contains("actor", filter.actor.as_ref());
        conditions.contains("subject", filter.subject.as_ref());
        conditions.within("at", filter.at);
        let order = window.order(ORDERS);
        conditions.list(work, (COLUMNS, "audit"), &order, &window, read)
    });
    listing.await
}

fn read(row: &Row<'_>) -> Result<AuditEntry, DbError> {
    Ok(AuditEntry {
        id: row.get::<i64>(0)?.to_string().into(),
        created_at: row.get::<Timestamp>(1)?.into(),
        actor: row.get(2)?,
        address: row.get(3)?,
        action: row.get(4)?,
        subject: row.get(5)?,
    })
}

/// Removes entries from before a time, and all but the newest `most`.
pub(super) fn forget(work: &Work<'_>, before: Timestamp, most: i64) -> Result<(), Error> {
    let older = "DELETE FROM audit WHERE at < ?1 OR number <= (SELECT max(number) FROM audit) - ?2";
    work.run(older, values![before, most])?;
    Ok(())
}
