//! Where a rule's folder lay when the rule last knew it, and what of the rule would be taken for removed by who does not know it.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};

use super::{Store, StoreError};
use crate::model::UploadId;
use masv_platform::{FileIdentity, FolderPlace, bytes_to_path, path_to_bytes};

/// A rule's folder, as it is known over restarts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchedFolder {
    /// Its path in the rules file.
    pub path: String,
    /// Where it lies.
    pub place: FolderPlace,
    /// Since when it lies there, where it lay elsewhere before: what is older in the ledger may still be there.
    pub since: Option<Timestamp>,
}

impl WatchedFolder {
    /// That of the folder at `path`.
    #[must_use]
    pub fn new(path: &Path, place: FolderPlace) -> Self {
        Self { path: path.to_string_lossy().into_owned(), place, since: None }
    }
}

/// What is in a folder, held against the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FolderEvidence {
    /// The ledger has entries of the rule.
    pub known: bool,
    /// A file of which the ledger knows size and date is there.
    pub recognised: bool,
    /// Entries that are forgotten once their file is gone, and of which the file is not there.
    pub missing: u64,
    /// Files of uploads that are not complete that were not sent yet and are not there.
    pub unsent: u64,
}

/// Files by their path below a watched folder.
pub type FilesHere = BTreeMap<Arc<Path>, FileIdentity>;

impl Store {
    /// Notes where a rule's folder lies.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn set_watched_folder(&self, rule: &str, folder: WatchedFolder) -> Result<(), StoreError> {
        let rule = rule.to_owned();
        self.change(move |connection| put(connection, &rule, &folder)).await
    }

    /// Holds what is in a folder against the ledger. `resend` says that what was sent is forgotten once it is gone. Goes through much of
    /// what is known of the rule.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn folder_evidence(
        &self,
        rule: &str,
        resend: bool,
        here: FilesHere,
    ) -> Result<FolderEvidence, StoreError> {
        let rule = rule.to_owned();
        self.read(move |connection| {
            let exists = "SELECT EXISTS (SELECT 1 FROM ledger WHERE rule = ?1)";
            let known: bool = connection.query_row(exists, [&rule], |row| row.get(0))?;
            if !known {
                return Ok(FolderEvidence::default());
            }
            Ok(FolderEvidence {
                known,
                recognised: recognised(connection, &rule, &here)?,
                missing: missing(connection, &rule, resend, &here)?,
                unsent: unsent(connection, &rule, &here)?,
            })
        })
        .await
    }
}

pub(super) fn put(connection: &Connection, rule: &str, folder: &WatchedFolder) -> Result<(), StoreError> {
    let folder = serde_json::to_string(folder).map_err(|_| StoreError::Unreadable("rule.folder"))?;
    connection.prepare_cached("UPDATE rule SET folder = ?2 WHERE name = ?1")?.execute(params![rule, folder])?;
    Ok(())
}

/// The folder in a row; `None` as well where a newer program wrote it otherwise: then it is noted anew.
pub(super) fn from_row(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<WatchedFolder>> {
    Ok(row.get::<_, Option<String>>(index)?.and_then(|text| serde_json::from_str(&text).ok()))
}

fn recognised(connection: &Connection, rule: &str, here: &FilesHere) -> Result<bool, StoreError> {
    let mut find = connection
        .prepare_cached("SELECT 1 FROM ledger WHERE rule = ?1 AND path = ?2 AND size = ?3 AND mtime_ns = ?4")?;
    for (path, identity) in here {
        let size = i64::try_from(identity.size).unwrap_or(i64::MAX);
        let found = find.query_row(params![rule, path_to_bytes(path), size, identity.mtime_ns], |_| Ok(()));
        if found.optional()?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn missing(connection: &Connection, rule: &str, resend: bool, here: &FilesHere) -> Result<u64, StoreError> {
    let (index, condition) = match resend {
        true => ("", "outcome <> 'claimed'"),
        false => ("INDEXED BY ledger_cancelled", "outcome = 'cancelled'"),
    };
    let mut statement =
        connection.prepare_cached(&format!("SELECT path FROM ledger {index} WHERE rule = ?1 AND {condition}"))?;
    let mut rows = statement.query([rule])?;
    let mut missing = 0;
    while let Some(row) = rows.next()? {
        missing += u64::from(!here.contains_key(&*bytes_to_path(&row.get::<_, Vec<u8>>(0)?)));
    }
    Ok(missing)
}

fn unsent(connection: &Connection, rule: &str, here: &FilesHere) -> Result<u64, StoreError> {
    let mut uploads =
        connection.prepare_cached("SELECT id FROM upload WHERE rule = ?1 AND state <> 'complete' ORDER BY id")?;
    let uploads: Vec<UploadId> = uploads.query_map([rule], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let mut to_send =
        connection.prepare_cached("SELECT inode, ctime_ns FROM file WHERE upload_id = ?1 AND state <> 'done'")?;
    let mut claimed = connection.prepare_cached(
        "SELECT path, inode, ctime_ns FROM ledger WHERE upload_id = ?1 AND rule = ?2 AND outcome = 'claimed'",
    )?;
    let mut unsent = 0;
    for upload in uploads {
        let files: HashSet<(i64, i64)> =
            to_send.query_map([upload], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
        if files.is_empty() {
            continue;
        }
        let mut rows = claimed.query(params![upload, rule])?;
        while let Some(row) = rows.next()? {
            let is_unsent = files.contains(&(row.get(1)?, row.get(2)?));
            let path = bytes_to_path(&row.get::<_, Vec<u8>>(0)?);
            unsent += u64::from(is_unsent && !here.contains_key(&*path));
        }
    }
    Ok(unsent)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{source, spec, store};
    use super::*;
    use crate::model::Outcome;
    use masv_platform::Folder;

    fn here(files: &[(&str, u64)]) -> FilesHere {
        let file = |(path, inode): &(&str, u64)| {
            let identity = FileIdentity { size: 5, mtime_ns: 1, ctime_ns: 2, device: 9, inode: *inode };
            (Arc::from(Path::new(*path)), identity)
        };
        files.iter().map(file).collect()
    }

    #[tokio::test]
    async fn what_is_missing_from_a_folder_is_counted_by_what_would_be_made_of_it() {
        let (_folder, store) = store();
        let ask =
            async |resend, files: &[(&str, u64)]| store.folder_evidence("dailies", resend, here(files)).await.unwrap();
        assert_eq!(ask(true, &[("a", 1)]).await, FolderEvidence::default());
        let files = here(&[("a", 1), ("b", 2)]).into_iter().map(|(path, identity)| (path.to_path_buf(), identity));
        store.ledger_mark("dailies", files.collect(), Outcome::Skipped).await.unwrap();
        let known = FolderEvidence { known: true, recognised: true, missing: 1, unsent: 0 };
        assert_eq!(ask(true, &[("a", 7)]).await, known);
        assert_eq!(ask(false, &[("a", 7)]).await, FolderEvidence { missing: 0, ..known });
        assert_eq!(ask(true, &[]).await, FolderEvidence { recognised: false, missing: 2, ..known });
        // What an upload has sent already it does not miss.
        let upload = UploadId::new();
        store.insert_upload(upload, spec(vec![source("c", 5, 3), source("d", 5, 4)])).await.unwrap();
        store.file_done(upload, 0, None, None).await.unwrap();
        assert_eq!(ask(false, &[]).await.unsent, 1);
        assert_eq!(ask(false, &[("d", 4)]).await.unsent, 0);
    }

    #[tokio::test]
    async fn where_a_folder_lies_is_kept_with_its_rule() {
        let (around, store) = store();
        let place = FolderPlace::of(&Folder::open(around.path()).unwrap()).unwrap();
        let folder = WatchedFolder::new(around.path(), place);
        store.rule_seen("dailies", Some(folder.clone())).await.unwrap();
        let kept = async || store.rule_record("dailies").await.unwrap().unwrap().folder;
        assert_eq!(kept().await, Some(folder.clone()));
        let later = WatchedFolder { since: Some(Timestamp::UNIX_EPOCH), ..folder };
        store.set_watched_folder("dailies", later.clone()).await.unwrap();
        assert_eq!(kept().await, Some(later));
        store.rule_seen("other", None).await.unwrap();
        assert_eq!(store.rule_record("other").await.unwrap().unwrap().folder, None);
    }
}
