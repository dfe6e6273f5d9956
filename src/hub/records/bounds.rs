//! Limits on the number of objects: whoever may create one must not fill the hub with them.

use masv_db::{Work, values};
use masv_protocol::TeamId;

use super::Error;

/// A table of objects that belong to a team, what they are called, and how many a team may have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bound {
    table: &'static str,
    name: &'static str,
    most: u64,
}

pub(super) const KEYS: Bound = Bound { table: "api_key", name: "API keys", most: 1000 };
pub(super) const MEMBERS: Bound = Bound { table: "membership", name: "members", most: 1000 };
pub(super) const PORTALS: Bound = Bound { table: "portal", name: "portals", most: 1000 };
pub(super) const TAGS: Bound = Bound { table: "tag", name: "tags", most: 5000 };
pub(super) const WEBHOOKS: Bound = Bound { table: "webhook", name: "webhooks", most: 100 };

/// Refuses another object for a team that has reached the limit.
pub(super) fn check_team(work: &Work<'_>, bound: Bound, team: &TeamId) -> Result<(), Error> {
    let Bound { table, name, most } = bound;
    // One after the other: each is counted.
    let sql = format!("SELECT id FROM team WHERE id = ?1{}", work.for_change());
    work.one(&sql, values![team.as_str()], |_| Ok(()))?;
    let sql = format!("SELECT count(*) FROM {table} WHERE team_id = ?1");
    if work.value::<u64>(&sql, values![team.as_str()])? >= most {
        return Err(Error::Conflict(format!("a team has at most {most} {name}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::{tags, tests::database};

    /// Case: tags without an end: there is a bound, and making one that is there already is no new one.
    #[tokio::test]
    async fn a_team_has_so_many_things_and_no_more() {
        let (_folder, database, team) = database().await;
        let filling = database.transact(|work| {
            let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
                INSERT INTO tag (id, team_id, name) SELECT 'T' || i, (SELECT id FROM team), 'tag ' || i FROM n";
            work.run(sql, values![TAGS.most]).map(drop).map_err(Error::from)
        });
        filling.await.unwrap();
        let another = tags::create(&database, team.clone(), "another".into()).await;
        assert!(matches!(another, Err(Error::Conflict(_))), "{another:?}");
        assert!(tags::create(&database, team, "tag 7".into()).await.is_ok(), "it is there");
    }
}
