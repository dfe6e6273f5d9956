//! Tags: names that a team gives its packages.

use masv_db::{Database, DbError, Row, Work, values};
use masv_protocol::{Tag, TagChoice, TagId, TeamId, Time};

use super::audit::Actor;
use super::ids::{new_id, time_of};
use super::{Error, OrNotFound, bounds};
use crate::clock::now;

fn read(row: &Row<'_>) -> Result<Tag, DbError> {
    Ok(message(row.text(0)?, row.get(1)?, row.text(2)?))
}

/// As the protocol shows it. A tag is never changed, and its id says when it was made.
fn message(id: TagId, name: String, team: TeamId) -> Tag {
    let made = time_of(id.as_str()).map(Time::from);
    Tag { id, name, team_id: Some(team), active: Some(true), created_at: made, updated_at: made }
}

/// The team's tag of that name, made if there is none.
fn ensure(work: &Work<'_>, team: &TeamId, name: &str) -> Result<TagId, Error> {
    let known = "SELECT id FROM tag WHERE team_id = ?1 AND name = ?2";
    if let Some(id) = work.one(known, values![team.as_str(), name], |row| row.text(0))? {
        return Ok(id);
    }
    bounds::check_team(work, bounds::TAGS, team)?;
    let id: TagId = new_id(now())?;
    work.run("INSERT INTO tag (id, team_id, name) VALUES (?1, ?2, ?3)", values![id.as_str(), team.as_str(), name])?;
    Ok(id)
}

/// The requested tag of the team; a tag given by a new name is created.
pub(super) fn resolve(work: &Work<'_>, team: &TeamId, choice: Option<&TagChoice>) -> Result<Option<TagId>, Error> {
    match choice {
        None => Ok(None),
        Some(TagChoice::Name(name)) => ensure(work, team, name).map(Some),
        Some(TagChoice::Id(id)) => {
            let sql = "SELECT id FROM tag WHERE id = ?1 AND team_id = ?2";
            let known: Option<TagId> = work.one(sql, values![id.as_str(), team.as_str()], |row| row.text(0))?;
            known.map(Some).ok_or_else(|| Error::Invalid("there is no tag with this id".to_owned()))
        }
    }
}

/// The tag with that id, of any team.
pub(super) fn find(work: &Work<'_>, id: &TagId) -> Result<Option<Tag>, Error> {
    Ok(work.one("SELECT id, name, team_id FROM tag WHERE id = ?1", values![id.as_str()], read)?)
}

/// The team that has the tag of that id, if there is one.
pub(crate) async fn team_of(database: &Database, id: TagId) -> Result<Option<TeamId>, Error> {
    database.query(move |work| Ok(find(work, &id)?.and_then(|tag| tag.team_id))).await
}

/// Takes a tag from all that have it, and forgets it.
pub(crate) async fn delete(database: &Database, id: TagId, by: Actor) -> Result<(), Error> {
    let deleting = database.transact(move |work| {
        let tag = find(work, &id)?.or_not_found("tag")?;
        work.run("DELETE FROM tag WHERE id = ?1", values![id.as_str()])?;
        by.note(work, "tag.removed", &tag.name)
    });
    deleting.await
}

/// Makes sure that a team has a tag of this name.
pub(crate) async fn create(database: &Database, team: TeamId, name: String) -> Result<Tag, Error> {
    let made = database.transact(move |work| Ok(message(ensure(work, &team, &name)?, name.clone(), team.clone())));
    made.await
}

/// A team's tags, by name.
pub(crate) async fn list(database: &Database, team: TeamId) -> Result<Vec<Tag>, Error> {
    let listing = database.query(move |work| {
        let sql = "SELECT id, name, team_id FROM tag WHERE team_id = ?1 ORDER BY name";
        Ok::<_, Error>(work.all(sql, values![team.as_str()], read)?)
    });
    listing.await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::tests::database;

    /// Case: tags of another team, and unknown ones, are refused.
    #[tokio::test]
    async fn a_tag_is_made_once_and_found_by_the_team_that_has_it() {
        let (_folder, database, team) = database().await;
        let made = create(&database, team.clone(), "Dailies".into()).await.unwrap();
        assert_eq!(create(&database, team.clone(), "Dailies".into()).await.unwrap(), made);
        assert_eq!(list(&database, team.clone()).await.unwrap(), std::slice::from_ref(&made));
        let other = TeamId::new("OTHER");
        let resolving =
            database.query(move |work| resolve(work, &other, Some(&TagChoice::Id(made.id.clone()))).map(drop));
        assert!(matches!(resolving.await, Err(Error::Invalid(_))));
    }
}
