//! Files that after-actions have taken away and that are looked after a while longer, also by the next start.

use jiff::Timestamp;
use rusqlite::params;

use super::rows::{identity, signed, time};
use super::{Store, StoreError};
use crate::model::{DueSpan, Held, TakenAway};
use masv_platform::{PathBeneath, bytes_to_path, path_to_bytes};

impl Store {
    /// Notes that a file is about to be taken away.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn take_away(&self, rule: &str, taken: TakenAway) -> Result<(), StoreError> {
        let rule = rule.to_owned();
        self.change(move |connection| {
            connection
                .prepare_cached(
                    "INSERT OR REPLACE INTO taken_away (rule, held, hidden, path, size, mtime_ns, ctime_ns, device, \
                     inode, due_at, root, confined) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
                )?
                .execute(params![
                    rule,
                    path_to_bytes(taken.held.path()),
                    matches!(taken.held, Held::Hidden(_)),
                    path_to_bytes(&taken.path),
                    signed(taken.identity.size),
                    taken.identity.mtime_ns,
                    taken.identity.ctime_ns,
                    signed(taken.identity.device),
                    signed(taken.identity.inode),
                    taken.due_at.as_millisecond(),
                    path_to_bytes(&taken.root.whole()),
                    !taken.root.relative().as_os_str().is_empty(),
                ])?;
            Ok(())
        })
        .await
    }

    /// When the first of the files that a rule's after-actions have taken away is to be looked after.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn next_taken_away(&self, rule: &str) -> Result<Option<Timestamp>, StoreError> {
        let rule = rule.to_owned();
        self.read(move |connection| {
            let due: Option<i64> = connection
                .prepare_cached("SELECT min(due_at) FROM taken_away WHERE rule = ?1")?
                .query_row([rule], |row| row.get(0))?;
            Ok(due.map(time))
        })
        .await
    }

    /// Up to `limit` of the files that a rule's after-actions have taken away and that are due, by where they are; of those
    /// after `after`.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn taken_away(
        &self,
        rule: &str,
        due: DueSpan,
        after: Option<&Held>,
        limit: u32,
    ) -> Result<Vec<TakenAway>, StoreError> {
        let (rule, after) = (rule.to_owned(), after.map(|held| path_to_bytes(held.path())).unwrap_or_default());
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT held, hidden, path, size, mtime_ns, ctime_ns, device, inode, due_at, root, confined \
                 FROM taken_away WHERE rule = ?1 AND held > ?2 AND (due_at <= ?3 OR due_at > ?4) ORDER BY held LIMIT ?5",
            )?;
            let (by, latest) = (due.by.as_millisecond(), due.latest.as_millisecond());
            let mut rows = statement.query(params![rule, after, by, latest, limit])?;
            let mut taken = Vec::new();
            while let Some(row) = rows.next()? {
                let held = bytes_to_path(&row.get::<_, Vec<u8>>(0)?);
                let root = bytes_to_path(&row.get::<_, Vec<u8>>(9)?);
                taken.push(TakenAway {
                    held: if row.get(1)? { Held::Hidden(held) } else { Held::Moved(held) },
                    path: bytes_to_path(&row.get::<_, Vec<u8>>(2)?),
                    identity: identity(row, 3)?,
                    due_at: time(row.get(8)?),
                    root: if row.get(10)? { PathBeneath::without_links(&root) } else { PathBeneath::new(root, "") },
                });
            }
            Ok(taken)
        })
        .await
    }

    /// The rules whose after-actions have taken files away that are still looked after.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn rules_that_took_away(&self) -> Result<Vec<String>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached("SELECT DISTINCT rule FROM taken_away")?;
            let rules = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
            Ok(rules)
        })
        .await
    }

    /// These files need not be looked after any more.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn let_go(&self, rule: &str, held: Vec<Held>) -> Result<(), StoreError> {
        let rule = rule.to_owned();
        self.change(move |connection| {
            let mut forget = connection.prepare_cached("DELETE FROM taken_away WHERE rule = ?1 AND held = ?2")?;
            held.iter().try_for_each(|held| forget.execute(params![rule, path_to_bytes(held.path())]).map(drop))?;
            Ok(())
        })
        .await
    }
}
