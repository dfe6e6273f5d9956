//! Teams: their rows.

use std::net::IpAddr;

use masv_db::{Database, Row, Work, values};
use masv_protocol::{Role, Team, TeamId};

use super::Error;
use super::accounts::Caller;
use super::audit::Actor;
use super::ids::new_id;
use super::portals::Brand;
use crate::clock::now;

/// The team of that name.
fn find_by_name(work: &Work<'_>, name: &str) -> Result<Option<TeamId>, Error> {
    Ok(work.one("SELECT id FROM team WHERE name = ?1", values![name], |row| row.text(0))?)
}

/// All teams, by name.
pub(crate) async fn list(database: &Database) -> Result<Vec<Team>, Error> {
    let listing = database.query(|work| {
        Ok::<_, Error>(work.all("SELECT id, name FROM team ORDER BY name", values![], |row| {
            Ok(Team { role: Some(Role::Operator.into()), ..Team::new(row.text(0)?, row.get(1)?) })
        })?)
    });
    listing.await
}

/// The team of that id, in the caller's role.
pub(crate) async fn of_caller(database: &Database, caller: Caller) -> Result<Vec<Team>, Error> {
    let mut teams = list(database).await?;
    teams.retain(|team| team.id == caller.team_id);
    teams.iter_mut().for_each(|team| team.role = Some(caller.role.into()));
    Ok(teams)
}

/// Whether there is a team of this id.
pub(crate) async fn exists(database: &Database, id: TeamId) -> Result<bool, Error> {
    let asking = database.query(move |work| {
        Ok::<_, Error>(work.value("SELECT EXISTS (SELECT 1 FROM team WHERE id = ?1)", values![id.as_str()])?)
    });
    asking.await
}

/// What a team is called; empty where it is not known.
pub(crate) async fn name(database: &Database, id: TeamId) -> Result<String, Error> {
    let asking = database.query(move |work| {
        let name = work.one("SELECT name FROM team WHERE id = ?1", values![id.as_str()], |row| row.get(0))?;
        Ok::<_, Error>(name.unwrap_or_default())
    });
    asking.await
}

/// How the pages of links of a team look.
pub(crate) async fn brand(database: &Database, id: TeamId) -> Result<Brand, Error> {
    database.query(move |work| brand_in(work, &id)).await
}

fn brand_in(work: &Work<'_>, id: &TeamId) -> Result<Brand, Error> {
    let sql = "SELECT primary_color, logo_url, background_url FROM team WHERE id = ?1";
    let read =
        |row: &Row<'_>| Ok(Brand { primary_color: row.get(0)?, logo_url: row.get(1)?, background_url: row.get(2)? });
    Ok(work.one(sql, values![id.as_str()], read)?.unwrap_or_default())
}

/// Sets how the pages of links of a team look.
pub(crate) async fn set_brand(database: &Database, id: TeamId, brand: Brand, by: Actor) -> Result<Brand, Error> {
    let setting = database.transact(move |work| {
        let Brand { primary_color, logo_url, background_url } = &brand;
        let sql = "UPDATE team SET primary_color = ?2, logo_url = ?3, background_url = ?4 WHERE id = ?1";
        work.run(sql, values![id.as_str(), primary_color, logo_url, background_url])?;
        by.note(work, "team.changed", "brand")?;
        brand_in(work, &id)
    });
    setting.await
}

/// Whether there is no team at all.
pub(crate) async fn is_empty(database: &Database) -> Result<bool, Error> {
    let counting =
        database.query(|work| Ok::<_, Error>(work.value::<i64>("SELECT count(*) FROM team", values![])? == 0));
    counting.await
}

/// The team of that name, made if there is none.
pub(super) fn ensure(work: &Work<'_>, name: &str) -> Result<TeamId, Error> {
    match find_by_name(work, name)? {
        Some(team) => Ok(team),
        None => insert(work, name),
    }
}

fn insert(work: &Work<'_>, name: &str) -> Result<TeamId, Error> {
    let now = now();
    let id: TeamId = new_id(now)?;
    work.run("INSERT INTO team (id, name, created_at) VALUES (?1, ?2, ?3)", values![id.as_str(), name, now])?;
    Ok(id)
}

/// Makes a team.
pub(crate) async fn create(database: &Database, name: String, address: Option<IpAddr>) -> Result<Team, Error> {
    let making = database.transact(move |work| {
        if find_by_name(work, &name)?.is_some() {
            return Err(Error::Conflict(format!("there is already a team {name:?}")));
        }
        let id = insert(work, &name)?;
        let actor = Actor { team: Some(id.clone()), name: Role::Operator.to_string(), address };
        actor.note(work, "team.added", &name)?;
        Ok(Team::new(id, name.clone()))
    });
    making.await
}
