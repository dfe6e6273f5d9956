//! The ledger: the outcome of each path below a watched folder. It answers "was this already sent?".
//!
//! A path has one entry per rule, about the content it had last. Entries are made in the transaction that makes
//! their upload ([`claim`]) and follow its outcome.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::rows::{from_word, identity, signed, time, word};
use super::watched_folder::{self, WatchedFolder};
use super::{Store, StoreError, now, uploads};
use crate::model::UploadId;
use crate::model::{LedgerEntry, Outcome, SourceFiles};
use masv_platform::{FileIdentity, bytes_to_path, path_to_bytes};

/// What [`entry`] reads.
pub(super) const COLUMNS: &str = "path, size, mtime_ns, ctime_ns, device, inode, outcome, upload_id, at, checksum, \
     outcome = 'claimed' AND EXISTS (SELECT 1 FROM upload WHERE upload.id = ledger.upload_id AND state = 'error' \
     AND json_extract(problem, '$.code') NOT IN ('source_gone', 'source_unreadable'))";

/// What is known of a rule across restarts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleRecord {
    /// When the agent first ran it.
    pub first_seen_at: Timestamp,
    /// Whether it was paused.
    pub paused: bool,
    /// When its schedule last let it make packages.
    pub last_run_at: Option<Timestamp>,
    /// Its folder, as it was known last.
    pub folder: Option<WatchedFolder>,
}

/// Takes the rule's files for `upload`, in the transaction that makes it.
///
/// # Errors
/// [`StoreError::AlreadyClaimed`] when another upload that is not complete has the path (unless it has failed with other
/// content of it, which this one replaces), or when exactly this content of it was sent.
pub(super) fn claim(
    connection: &Connection,
    rule: &str,
    upload: UploadId,
    files: &SourceFiles,
) -> Result<(), StoreError> {
    let mut find = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM ledger WHERE rule = ?1 AND path = ?2"))?;
    for file in files.iter() {
        let Some(path) = &file.claim else { continue };
        let entry = find.query_row(params![rule, path_to_bytes(path)], |row| Ok(entry(row))).optional()?.transpose()?;
        if let Some(LedgerEntry { failed: true, identity, upload: Some(before), .. }) = &entry
            && *before != upload
            && !identity.same_content(&file.identity)
        {
            uploads::superseded(connection, *before, identity, upload)?;
            put(connection, rule, path, &file.identity, Outcome::Claimed, Some(upload))?;
            continue;
        }
        let taken = entry.is_some_and(|entry| match entry.outcome {
            Outcome::Claimed => entry.upload != Some(upload),
            Outcome::Sent => entry.identity == file.identity,
            Outcome::Skipped | Outcome::Cancelled => false,
        });
        if taken {
            return Err(StoreError::AlreadyClaimed { path: path.clone() });
        }
        put(connection, rule, path, &file.identity, Outcome::Claimed, Some(upload))?;
    }
    Ok(())
}

/// Records the outcome of all files that `upload` claimed.
pub(super) fn settle_claims(connection: &Connection, upload: UploadId, outcome: Outcome) -> Result<(), StoreError> {
    connection
        .prepare_cached("UPDATE ledger SET outcome = ?2, at = ?3 WHERE upload_id = ?1 AND outcome = 'claimed'")?
        .execute(params![upload, word(&outcome), now()])?;
    Ok(())
}

/// Releases the claim of a file that its upload continues without.
pub(super) fn release(connection: &Connection, upload: UploadId, file: &FileIdentity) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "DELETE FROM ledger WHERE upload_id = ?1 AND outcome = 'claimed' AND device = ?2 AND inode = ?3 \
             AND ctime_ns = ?4",
        )?
        .execute(params![upload, signed(file.device), signed(file.inode), file.ctime_ns])?;
    Ok(())
}

/// Follows a claimed file that changed before it was sent and is sent again in the same upload.
pub(super) fn claim_moved_on(
    connection: &Connection,
    upload: UploadId,
    before: &FileIdentity,
    after: &FileIdentity,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "UPDATE ledger SET size = ?4, mtime_ns = ?5, ctime_ns = ?6, device = ?7, inode = ?8 \
             WHERE upload_id = ?1 AND inode = ?2 AND ctime_ns = ?3 AND outcome = 'claimed'",
        )?
        .execute(params![
            upload,
            signed(before.inode),
            before.ctime_ns,
            signed(after.size),
            after.mtime_ns,
            after.ctime_ns,
            signed(after.device),
            signed(after.inode)
        ])?;
    Ok(())
}

/// Follows a claimed file that is sent while it is written.
pub(super) fn claim_of_path(
    connection: &Connection,
    upload: UploadId,
    path: &Path,
    identity: &FileIdentity,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "UPDATE ledger SET size = ?3, mtime_ns = ?4, ctime_ns = ?5, device = ?6, inode = ?7 \
             WHERE upload_id = ?1 AND path = ?2 AND outcome = 'claimed'",
        )?
        .execute(params![
            upload,
            path_to_bytes(path),
            signed(identity.size),
            identity.mtime_ns,
            identity.ctime_ns,
            signed(identity.device),
            signed(identity.inode)
        ])?;
    Ok(())
}

/// Releases all that an upload has claimed: as if it had never been.
pub(super) fn release_all(connection: &Connection, upload: UploadId) -> Result<(), StoreError> {
    connection.prepare_cached("DELETE FROM ledger WHERE upload_id = ?1 AND outcome = 'claimed'")?.execute([upload])?;
    Ok(())
}

/// Records the checksum of a claimed file, once the cloud has it: the file is compared with it when it looks as if it
/// had not changed, and may have.
pub(super) fn content_known(
    connection: &Connection,
    upload: UploadId,
    number: u32,
    checksum: &str,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "UPDATE ledger SET checksum = ?3 FROM \
             (SELECT inode, ctime_ns FROM file WHERE upload_id = ?1 AND number = ?2) AS sent \
             WHERE ledger.upload_id = ?1 AND ledger.inode = sent.inode AND ledger.ctime_ns = sent.ctime_ns \
             AND outcome = 'claimed'",
        )?
        .execute(params![upload, number, checksum])?;
    Ok(())
}

fn put(
    connection: &Connection,
    rule: &str,
    path: &Path,
    identity: &FileIdentity,
    outcome: Outcome,
    upload: Option<UploadId>,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO ledger (rule, path, size, mtime_ns, ctime_ns, device, inode, outcome, upload_id, at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT (rule, path) DO UPDATE SET \
             size = excluded.size, mtime_ns = excluded.mtime_ns, ctime_ns = excluded.ctime_ns, \
             device = excluded.device, inode = excluded.inode, outcome = excluded.outcome, \
             upload_id = excluded.upload_id, at = excluded.at, checksum = NULL",
        )?
        .execute(params![
            rule,
            path_to_bytes(path),
            signed(identity.size),
            identity.mtime_ns,
            identity.ctime_ns,
            signed(identity.device),
            signed(identity.inode),
            word(&outcome),
            upload,
            now()
        ])?;
    Ok(())
}

pub(super) fn entry(row: &Row<'_>) -> Result<LedgerEntry, StoreError> {
    Ok(LedgerEntry {
        path: bytes_to_path(&row.get::<_, Vec<u8>>(0)?),
        identity: identity(row, 1)?,
        outcome: from_word(row.get(6)?, "ledger.outcome")?,
        upload: row.get(7)?,
        at: time(row.get(8)?),
        checksum: row.get(9)?,
        failed: row.get(10)?,
    })
}

impl Store {
    /// What the ledger says of one path, relative to the rule's folder.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn ledger_entry(&self, rule: &str, path: &Path) -> Result<Option<LedgerEntry>, StoreError> {
        let (rule, path) = (rule.to_owned(), path_to_bytes(path));
        self.read(move |connection| {
            connection
                .prepare_cached(&format!("SELECT {COLUMNS} FROM ledger WHERE rule = ?1 AND path = ?2"))?
                .query_row(params![rule, path], |row| Ok(entry(row)))
                .optional()?
                .transpose()
        })
        .await
    }

    /// Writes that these files need not be sent ([`Outcome::Skipped`]), or count as sent.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn ledger_mark(
        &self,
        rule: &str,
        files: Vec<(PathBuf, FileIdentity)>,
        outcome: Outcome,
    ) -> Result<(), StoreError> {
        let rule = rule.to_owned();
        self.change(move |connection| {
            files.iter().try_for_each(|(path, identity)| put(connection, &rule, path, identity, outcome, None))
        })
        .await
    }

    /// The file at `path` has this identity now, with the content that the ledger knows.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn ledger_touched(&self, rule: &str, path: &Path, identity: FileIdentity) -> Result<(), StoreError> {
        let (rule, path) = (rule.to_owned(), path_to_bytes(path));
        self.change(move |connection| {
            connection
                .prepare_cached(
                    "UPDATE ledger SET ctime_ns = ?3, device = ?4, inode = ?5 WHERE rule = ?1 AND path = ?2 \
                     AND outcome <> 'claimed'",
                )?
                .execute(params![rule, path, identity.ctime_ns, signed(identity.device), signed(identity.inode)])?;
            Ok(())
        })
        .await
    }

    /// Sent files were renamed: new path, old path, new identity. They still count as sent.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn ledger_renamed(
        &self,
        rule: &str,
        renamed: Vec<(PathBuf, PathBuf, FileIdentity)>,
    ) -> Result<(), StoreError> {
        let rule = rule.to_owned();
        self.change(move |connection| {
            for (now, before, identity) in &renamed {
                let before = path_to_bytes(before);
                put(connection, &rule, now, identity, Outcome::Skipped, None)?;
                connection
                    .prepare_cached(
                        "UPDATE ledger SET checksum = (SELECT checksum FROM ledger WHERE rule = ?1 AND path = ?3) \
                         WHERE rule = ?1 AND path = ?2",
                    )?
                    .execute(params![rule, path_to_bytes(now), before])?;
                connection
                    .prepare_cached("DELETE FROM ledger WHERE rule = ?1 AND path = ?2 AND outcome <> 'claimed'")?
                    .execute(params![rule, before])?;
            }
            Ok(())
        })
        .await
    }

    /// Forgets that `path` (a file, or everything below a folder), or everything of the rule, was sent; returns how many
    /// entries that were. Files of uploads that are not complete stay claimed.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn ledger_forget(&self, rule: &str, path: Option<&Path>) -> Result<u64, StoreError> {
        let (rule, path) = (rule.to_owned(), path.map(path_to_bytes));
        self.change(move |connection| {
            let forgotten = match path {
                None => connection
                    .prepare_cached("DELETE FROM ledger WHERE rule = ?1 AND outcome <> 'claimed'")?
                    .execute([rule])?,
                Some(path) => {
                    // Everything below the folder sorts between `folder/` and `folder0`, the byte after the slash.
                    let mut from = path.clone();
                    from.push(b'/');
                    let mut until = path.clone();
                    until.push(b'/' + 1);
                    // Two statements: with OR between them SQLite goes through all of the rule.
                    let forget = |places: &str, values: &[&dyn rusqlite::ToSql]| {
                        connection
                            .prepare_cached(&format!(
                                "DELETE FROM ledger WHERE rule = ?1 AND outcome <> 'claimed' AND {places}"
                            ))?
                            .execute(values)
                    };
                    forget("path = ?2", params![rule, path])?
                        + forget("path >= ?2 AND path < ?3", params![rule, from, until])?
                }
            };
            Ok(forgotten as u64)
        })
        .await
    }

    /// What is known of a rule; `None` before its first start.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn rule_record(&self, rule: &str) -> Result<Option<RuleRecord>, StoreError> {
        let rule = rule.to_owned();
        self.read(move |connection| {
            Ok(connection
                .prepare_cached("SELECT first_seen_at, paused, last_run_at, folder FROM rule WHERE name = ?1")?
                .query_row([rule], |row| {
                    Ok(RuleRecord {
                        first_seen_at: time(row.get(0)?),
                        paused: row.get(1)?,
                        last_run_at: row.get::<_, Option<i64>>(2)?.map(time),
                        folder: watched_folder::from_row(row, 3)?,
                    })
                })
                .optional()?)
        })
        .await
    }

    /// Notes the rule's first start, together with its folder.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn rule_seen(&self, rule: &str, folder: Option<WatchedFolder>) -> Result<(), StoreError> {
        let rule = rule.to_owned();
        self.change(move |connection| {
            connection
                .prepare_cached("INSERT INTO rule (name, first_seen_at) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
                .execute(params![rule, now()])?;
            if let Some(folder) = &folder {
                watched_folder::put(connection, &rule, folder)?;
            }
            Ok(())
        })
        .await
    }

    /// Pauses or resumes a rule, persistently.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn set_rule_paused(&self, rule: &str, paused: bool) -> Result<(), StoreError> {
        let rule = rule.to_owned();
        self.change(move |connection| {
            connection
                .prepare_cached(
                    "INSERT INTO rule (name, first_seen_at, paused) VALUES (?1, ?2, ?3) \
                     ON CONFLICT (name) DO UPDATE SET paused = excluded.paused",
                )?
                .execute(params![rule, now(), paused])?;
            Ok(())
        })
        .await
    }

    /// Corrects when a rule was first started, where it was written down by a clock that was ahead.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn set_rule_first_seen(&self, rule: &str, at: Timestamp) -> Result<(), StoreError> {
        let rule = rule.to_owned();
        self.change(move |connection| {
            connection
                .prepare_cached("UPDATE rule SET first_seen_at = ?2 WHERE name = ?1 AND first_seen_at > ?2")?
                .execute(params![rule, at.as_millisecond()])?;
            Ok(())
        })
        .await
    }

    /// Notes that a rule's schedule has run up to `at`.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn set_rule_run(&self, rule: &str, at: Timestamp) -> Result<(), StoreError> {
        let rule = rule.to_owned();
        self.change(move |connection| {
            connection
                .prepare_cached("UPDATE rule SET last_run_at = ?2 WHERE name = ?1")?
                .execute(params![rule, at.as_millisecond()])?;
            Ok(())
        })
        .await
    }

    /// Counts the rule's packages of a day, from 1. `day` is the rule's own date, such as `2026-11-24`.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn next_sequence(&self, rule: &str, day: &str) -> Result<u64, StoreError> {
        let (rule, day) = (rule.to_owned(), day.to_owned());
        self.change(move |connection| {
            let next: i64 = connection
                .prepare_cached(
                    "INSERT INTO rule (name, first_seen_at, sequence_day, sequence) VALUES (?1, ?2, ?3, 1) \
                     ON CONFLICT (name) DO UPDATE SET sequence = \
                     CASE WHEN rule.sequence_day = excluded.sequence_day THEN rule.sequence + 1 ELSE 1 END, \
                     sequence_day = excluded.sequence_day RETURNING sequence",
                )?
                .query_row(params![rule, now(), day], |row| row.get(0))?;
            Ok(next.unsigned_abs())
        })
        .await
    }
}
