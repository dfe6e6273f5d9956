//! Calls that their callers may repeat when no answer came: what a call with a key has made is made once.
//!
//! What was made and what it was made by are saved together. Keys are those of a team, and are forgotten after some days
//! (`retention`).

use masv_db::{Work, values};
use masv_protocol::TeamId;

use super::Error;
use crate::clock::now;

/// The id of what a call with this key has made. Until this transaction is over, no other call with it comes this far, so that one which
/// finds nothing may make it.
pub(super) fn made(work: &Work<'_>, team: &TeamId, key: &str) -> Result<Option<String>, Error> {
    work.alone(&format!("repeatable {team} {key}"))?;
    let sql = "SELECT made FROM repeatable WHERE team_id = ?1 AND key = ?2";
    Ok(work.one(sql, values![team.as_str(), key], |row| row.get(0))?)
}

/// Notes what a call with this key has made.
pub(super) fn note(work: &Work<'_>, team: &TeamId, key: &str, made: &str) -> Result<(), Error> {
    let sql = "INSERT INTO repeatable (team_id, key, made, at) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (team_id, key) DO UPDATE SET made = excluded.made, at = excluded.at";
    work.run(sql, values![team.as_str(), key, made, now()])?;
    Ok(())
}
