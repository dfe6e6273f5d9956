//! Provisioning by the operator: a team, a key for it, its portals. Idempotent.

use masv_db::{Database, Work};
use masv_protocol::{KeyRole, KeyState, TeamId};

use super::api_keys::{self, Settings};
use super::ids::new_id;
use super::portals::{self, Portal};
use super::{Error, teams};
use crate::clock::now;

/// Makes sure of the team of that name, the key and the portals, of which the ids and the team do not count.
pub(crate) async fn ensure(
    database: &Database,
    team_name: String,
    (key, key_name): (String, String),
    portals: Vec<Portal>,
) -> Result<TeamId, Error> {
    let ensuring = database.transact(move |work| {
        let team = teams::ensure(work, &team_name)?;
        let settings =
            Settings { name: key_name.clone(), role: KeyRole::Admin, expires_at: None, state: KeyState::Active };
        api_keys::insert(work, &team, &settings, &key)?;
        for portal in &portals {
            ensure_portal(work, &team, portal)?;
        }
        Ok::<_, Error>(team)
    });
    ensuring.await
}

fn ensure_portal(work: &Work<'_>, team: &TeamId, wanted: &Portal) -> Result<(), Error> {
    let wanted = wanted.clone();
    match portals::find_by_subdomain_in(work, &wanted.subdomain)? {
        Some(known) if known.team_id != *team => {
            Err(Error::Conflict(format!("the subdomain {} belongs to another team", wanted.subdomain)))
        }
        Some(known) => portals::put(work, &Portal { id: known.id, team_id: known.team_id, ..wanted }),
        None => portals::insert(work, &Portal { id: new_id(now())?, team_id: team.clone(), ..wanted }),
    }
}
