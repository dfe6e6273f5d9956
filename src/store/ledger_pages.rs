//! The ledger asked about many paths: each is found by an index, and what is gone through is gone through page by page. What
//! a question costs depends on how much is asked, never on how much was ever sent.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};

use super::ledger::{COLUMNS, entry};
use super::rows::signed;
use super::{Store, StoreError};
use crate::model::{LedgerEntry, UploadId};
use masv_platform::{FileIdentity, bytes_to_path, path_to_bytes};

/// Entries that look like one file; more are of no use.
const MOST_ALIKE: u32 = 16;

/// What is asked about a path.
#[derive(Debug, Clone)]
pub struct LedgerQuestion {
    /// Relative to the rule's folder.
    pub path: Arc<Path>,
    /// What the file there looks like, if it may be one that was sent from another path and renamed since.
    pub renamed: Option<FileIdentity>,
}

/// What the ledger says.
#[derive(Debug, Clone)]
pub struct LedgerAnswer {
    /// The path that was asked about.
    pub path: Arc<Path>,
    /// Its entry.
    pub entry: Option<LedgerEntry>,
    /// Where there is none: entries of files that were sent, or count as sent, and had the same inode, size and modification
    /// time; the newest first.
    pub alike: Vec<LedgerEntry>,
}

fn alike(connection: &Connection, rule: &str, identity: &FileIdentity) -> Result<Vec<LedgerEntry>, StoreError> {
    // Left to itself SQLite prefers to go through all of the rule.
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM ledger INDEXED BY ledger_by_content WHERE rule = ?1 AND inode = ?2 AND size = ?3 AND mtime_ns = ?4 \
         AND outcome IN ('sent', 'skipped') ORDER BY at DESC LIMIT ?5"
    ))?;
    let asked = params![rule, signed(identity.inode), signed(identity.size), identity.mtime_ns, MOST_ALIKE];
    let mut rows = statement.query(asked)?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        entries.push(entry(row)?);
    }
    Ok(entries)
}

impl Store {
    /// What the ledger says of these paths of a rule, in the order of the questions. One read: ask for some hundreds at a time.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn ledger_answers(
        &self,
        rule: &str,
        questions: Vec<LedgerQuestion>,
    ) -> Result<Vec<LedgerAnswer>, StoreError> {
        let rule = rule.to_owned();
        self.read(move |connection| {
            let mut find =
                connection.prepare_cached(&format!("SELECT {COLUMNS} FROM ledger WHERE rule = ?1 AND path = ?2"))?;
            let answer = |LedgerQuestion { path, renamed }| {
                let found = find.query_row(params![rule, path_to_bytes(&path)], |row| Ok(entry(row)));
                let entry = found.optional()?.transpose()?;
                let alike = match (&entry, &renamed) {
                    (None, Some(identity)) => alike(connection, &rule, identity)?,
                    _ => Vec::new(),
                };
                Ok(LedgerAnswer { path, entry, alike })
            };
            questions.into_iter().map(answer).collect()
        })
        .await
    }

    /// Up to `limit` entries of a rule with paths after `after` (from the first on for `None`), by path.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn ledger_page(
        &self,
        rule: &str,
        after: Option<&Path>,
        limit: u32,
    ) -> Result<Vec<LedgerEntry>, StoreError> {
        self.ledger_page_where("", "", rule, after, limit).await
    }

    /// The same, but only of files whose upload was removed before it was complete.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn ledger_page_cancelled(
        &self,
        rule: &str,
        after: Option<&Path>,
        limit: u32,
    ) -> Result<Vec<LedgerEntry>, StoreError> {
        self.ledger_page_where("INDEXED BY ledger_cancelled", "AND outcome = 'cancelled'", rule, after, limit).await
    }

    async fn ledger_page_where(
        &self,
        index: &'static str,
        condition: &'static str,
        rule: &str,
        after: Option<&Path>,
        limit: u32,
    ) -> Result<Vec<LedgerEntry>, StoreError> {
        let (rule, after) = (rule.to_owned(), after.map(path_to_bytes).unwrap_or_default());
        self.read(move |connection| {
            // No path is empty.
            let mut statement = connection.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM ledger {index} WHERE rule = ?1 AND path > ?2 {condition} ORDER BY path LIMIT ?3"
            ))?;
            let mut rows = statement.query(params![rule, after, limit])?;
            let mut entries = Vec::new();
            while let Some(row) = rows.next()? {
                entries.push(entry(row)?);
            }
            Ok(entries)
        })
        .await
    }

    /// A path of a rule's folder that an upload has claimed, or had.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn ledger_path_in(&self, rule: &str, upload: UploadId) -> Result<Option<PathBuf>, StoreError> {
        let rule = rule.to_owned();
        self.read(move |connection| {
            let path: Option<Vec<u8>> = connection
                .prepare_cached("SELECT path FROM ledger WHERE upload_id = ?2 AND rule = ?1 LIMIT 1")?
                .query_row(params![rule, upload], |row| row.get(0))
                .optional()?;
            Ok(path.as_deref().map(bytes_to_path))
        })
        .await
    }

    /// Forgets what was sent of these files, in one transaction. Files of uploads that are not complete stay claimed.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn ledger_forget_files(&self, rule: &str, files: Vec<PathBuf>) -> Result<(), StoreError> {
        let rule = rule.to_owned();
        self.change(move |connection| {
            let mut forget = connection
                .prepare_cached("DELETE FROM ledger WHERE rule = ?1 AND path = ?2 AND outcome <> 'claimed'")?;
            files.iter().try_for_each(|path| forget.execute(params![rule, path_to_bytes(path)]).map(drop))?;
            Ok(())
        })
        .await
    }
}
