//! Whose turn it is: which transfers of a queue should run, each counted for the slot that it uses.
//!
//! A transfer that is only waiting keeps running without a slot, so that those behind it continue. Of those waiting for one
//! destination only some do: they find out for all others that go there, which stay queued meanwhile. So neither a full team
//! nor a cloud that is away holds up anything else, and a queue of a hundred thousand does not wait all at once.

use std::collections::HashMap;

use rusqlite::types::FromSql;
use rusqlite::{Connection, ToSql};
use serde::Serialize;

use super::rows::json;
use super::{Store, StoreError};
use crate::model::{DownloadId, Turn, UploadId};

/// How many transfers run for one destination while some of them are waiting for it; others for it stay queued.
const MOST_WAITING: u32 = 32;

/// A queue in the database.
struct Table {
    name: &'static str,
    /// What transfers to one destination have in common: the cloud, and the portal or the team there.
    destination: &'static str,
    /// A transfer's rank, where its queue has one.
    rank: &'static str,
}

const UPLOADS: Table = Table {
    name: "upload",
    destination: "coalesce(package_cloud, '') || ' ' || coalesce(json_extract(destination, '$.portal.subdomain'), team_id, '')",
    rank: "rank",
};
const DOWNLOADS: Table = Table { name: "download", destination: "api || ' ' || coalesce(team_id, '')", rank: "0" };

/// Transfers that do nothing but wait at the moment.
#[derive(Debug)]
pub struct OnlyWaiting<Id> {
    /// For something about their own files.
    pub for_sources: Vec<Id>,
    /// For the cloud, or for permission there.
    pub for_cloud: Vec<Id>,
}

impl<Id> Default for OnlyWaiting<Id> {
    fn default() -> Self {
        Self { for_sources: Vec::new(), for_cloud: Vec::new() }
    }
}

impl<Id> OnlyWaiting<Id> {
    fn is_empty(&self) -> bool {
        self.for_sources.is_empty() && self.for_cloud.is_empty()
    }
}

fn by_turn<Id: FromSql + ToSql + Serialize + Copy>(
    connection: &Connection,
    table: &Table,
    places: u32,
    waiting: &OnlyWaiting<Id>,
) -> Result<Vec<(Id, Turn)>, StoreError> {
    let Table { name, destination, rank } = table;
    let turn = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, Turn { priority: row.get(1)?, rank: row.get(2)? }));
    let columns = format!("SELECT id, priority, {rank} FROM {name} WHERE state = 'transferring'");
    if waiting.is_empty() {
        let mut all = connection.prepare_cached(&format!("{columns} ORDER BY priority DESC, position LIMIT ?1"))?;
        return Ok(all.query_map([places], turn)?.collect::<Result<_, _>>()?);
    }
    let ids: Vec<Id> = waiting.for_sources.iter().chain(&waiting.for_cloud).copied().collect();
    let (ids, for_cloud) = (json(&ids), json(&waiting.for_cloud));
    let mut placeless = connection.prepare_cached(&format!("{columns} AND id IN (SELECT value FROM json_each(?1))"))?;
    let mut wanted = placeless.query_map([&ids], turn)?.collect::<Result<Vec<_>, _>>()?;
    let mut waiting_there = connection.prepare_cached(&format!(
        "SELECT {destination}, count(*) FROM {name} WHERE id IN (SELECT value FROM json_each(?1)) GROUP BY 1"
    ))?;
    let waiting_there = waiting_there.query_map([&for_cloud], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut at_work = waiting_there.collect::<Result<HashMap<String, u32>, _>>()?;
    let mut others = connection.prepare_cached(&format!(
        "SELECT id, priority, {rank}, {destination} FROM {name} WHERE state = 'transferring' \
         AND id NOT IN (SELECT value FROM json_each(?1)) ORDER BY priority DESC, position"
    ))?;
    let mut others = others.query([&ids])?;
    let (mut left, most) = (places, places.max(MOST_WAITING));
    while left > 0
        && let Some(row) = others.next()?
    {
        // Without waiters there is no limit for a destination.
        if let Some(at_work) = at_work.get_mut(&row.get::<_, String>(3)?) {
            if *at_work >= most {
                continue;
            }
            *at_work += 1;
        }
        wanted.push(turn(row)?);
        left -= 1;
    }
    Ok(wanted)
}

impl Store {
    /// The uploads that should run, up to the given number, not counting those that are only waiting; each with its turn.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn uploads_by_turn(
        &self,
        places: u32,
        waiting: OnlyWaiting<UploadId>,
    ) -> Result<Vec<(UploadId, Turn)>, StoreError> {
        self.read(move |connection| by_turn(connection, &UPLOADS, places, &waiting)).await
    }

    /// The same of the downloads.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn downloads_by_turn(
        &self,
        places: u32,
        waiting: OnlyWaiting<DownloadId>,
    ) -> Result<Vec<(DownloadId, Turn)>, StoreError> {
        self.read(move |connection| by_turn(connection, &DOWNLOADS, places, &waiting)).await
    }
}
