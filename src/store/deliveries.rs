//! The ledger of deliveries: which packages of the portals each download rule has taken. It answers "was this fetched
//! already?", whatever became of the download since.
//!
//! Entries are created in the transaction that creates their download ([`take`]) and follow its outcome ([`settle`]).

use std::collections::HashSet;

use jiff::Timestamp;
use masv_protocol::PackageId;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};

use super::rows::{from_word, json, time, unsigned, word};
use super::{Store, StoreError, now};
use crate::model::Delivered;
use crate::model::DownloadId;

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryOutcome {
    /// Its download is not complete.
    Fetching,
    /// All of it was on the disk.
    Received,
    /// It was marked as received.
    Skipped,
    /// Its download was removed before it was complete: it is downloaded again only on request.
    Cancelled,
}

/// What the ledger says of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryEntry {
    /// What became of it.
    pub outcome: DeliveryOutcome,
    /// What fetches it, or has fetched it.
    pub download: Option<DownloadId>,
    /// Since when.
    pub at: Timestamp,
}

/// How many deliveries of a rule there are of each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeliveryCounts {
    /// Whose downloads are not complete.
    pub fetching: u64,
    /// That were received.
    pub received: u64,
}

/// Takes a delivery for `download`, in the transaction that makes it.
///
/// # Errors
/// [`StoreError::AlreadyDelivered`] when the rule has an entry of the package.
pub(super) fn take(
    connection: &Connection,
    rule: &str,
    delivered: &Delivered,
    download: DownloadId,
) -> Result<(), StoreError> {
    let added = put(connection, rule, delivered, DeliveryOutcome::Fetching, Some(download))?;
    if added { Ok(()) } else { Err(StoreError::AlreadyDelivered { package: delivered.package.to_string() }) }
}

/// Writes an entry unless there is one; returns whether it was written.
fn put(
    connection: &Connection,
    rule: &str,
    delivered: &Delivered,
    outcome: DeliveryOutcome,
    download: Option<DownloadId>,
) -> Result<bool, StoreError> {
    let Delivered { package, name, portal, .. } = delivered;
    let added = connection
        .prepare_cached(
            "INSERT INTO delivery (rule, package_id, name, portal, outcome, download_id, at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
        )?
        .execute(params![rule, package.as_str(), name, portal, word(&outcome), download, now()])?;
    Ok(added > 0)
}

/// Records the outcome of the delivery that `download` fetches, if any.
pub(super) fn settle(
    connection: &Connection,
    download: DownloadId,
    outcome: DeliveryOutcome,
) -> Result<(), StoreError> {
    connection
        .prepare_cached("UPDATE delivery SET outcome = ?2, at = ?3 WHERE download_id = ?1 AND outcome = 'fetching'")?
        .execute(params![download, word(&outcome), now()])?;
    Ok(())
}

impl Store {
    /// Which of these packages the rule has claimed or was told to skip.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn deliveries_known(
        &self,
        rule: &str,
        packages: Vec<PackageId>,
    ) -> Result<HashSet<PackageId>, StoreError> {
        let rule = rule.to_owned();
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT package_id FROM delivery WHERE rule = ?1 AND package_id IN (SELECT value FROM json_each(?2))",
            )?;
            let known = |row: &Row<'_>| Ok(row.get::<_, String>(0)?.into());
            let rows = statement.query_map(params![rule, json(&packages)], known)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// What the ledger says of a package.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn delivery(&self, rule: &str, package: &str) -> Result<Option<DeliveryEntry>, StoreError> {
        let (rule, package) = (rule.to_owned(), package.to_owned());
        self.read(move |connection| {
            let found: Option<(String, Option<DownloadId>, i64)> = connection
                .prepare_cached("SELECT outcome, download_id, at FROM delivery WHERE rule = ?1 AND package_id = ?2")?
                .query_row(params![rule, package], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
                .optional()?;
            let Some((outcome, download, at)) = found else { return Ok(None) };
            Ok(Some(DeliveryEntry { outcome: from_word(outcome, "delivery.outcome")?, download, at: time(at) }))
        })
        .await
    }

    /// How many deliveries of a rule are in flight, and how many were received.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn delivery_counts(&self, rule: &str) -> Result<DeliveryCounts, StoreError> {
        let rule = rule.to_owned();
        self.read(move |connection| {
            let (fetching, received): (i64, i64) = connection
                .prepare_cached(
                    "SELECT coalesce(sum(outcome = 'fetching'), 0), coalesce(sum(outcome = 'received'), 0) \
                     FROM delivery WHERE rule = ?1",
                )?
                .query_row([rule], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(DeliveryCounts { fetching: unsigned(fetching), received: unsigned(received) })
        })
        .await
    }

    /// Lets these packages count as received. Returns how many of them were new to the rule.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn deliveries_skip(&self, rule: &str, packages: Vec<Delivered>) -> Result<u64, StoreError> {
        let rule = rule.to_owned();
        self.change(move |connection| {
            let mut count = 0;
            for delivered in &packages {
                count += u64::from(put(connection, &rule, delivered, DeliveryOutcome::Skipped, None)?);
            }
            Ok(count)
        })
        .await
    }

    /// Forgets that a package, or every one, was taken: it is fetched again. Those whose downloads are not complete
    /// stay. Returns how many entries that were.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn deliveries_forget(&self, rule: &str, package: Option<String>) -> Result<u64, StoreError> {
        let rule = rule.to_owned();
        self.change(move |connection| {
            let forgotten = connection
                .prepare_cached(
                    "DELETE FROM delivery WHERE rule = ?1 AND outcome <> 'fetching' AND (?2 IS NULL OR package_id = ?2)",
                )?
                .execute(params![rule, package])?;
            Ok(forgotten as u64)
        })
        .await
    }
}
