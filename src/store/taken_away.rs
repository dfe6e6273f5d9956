//! Files that after-actions have taken away and that are looked after a while longer, also by the next start.

use rusqlite::params;

use super::rows::{identity, signed, time};
use super::{Store, StoreError};
use crate::model::{Held, TakenAway};
use masv_platform::{bytes_to_path, path_to_bytes};

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
                     inode, due_at, root) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
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
                    path_to_bytes(&taken.root),
                ])?;
            Ok(())
        })
        .await
    }

    /// The files that a rule's after-actions have taken away and that are still looked after.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn taken_away(&self, rule: &str) -> Result<Vec<TakenAway>, StoreError> {
        let rule = rule.to_owned();
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT held, hidden, path, size, mtime_ns, ctime_ns, device, inode, due_at, root FROM taken_away \
                 WHERE rule = ?1 ORDER BY due_at",
            )?;
            let mut rows = statement.query([rule])?;
            let mut taken = Vec::new();
            while let Some(row) = rows.next()? {
                let held = bytes_to_path(&row.get::<_, Vec<u8>>(0)?);
                taken.push(TakenAway {
                    held: if row.get(1)? { Held::Hidden(held) } else { Held::Moved(held) },
                    path: bytes_to_path(&row.get::<_, Vec<u8>>(2)?),
                    identity: identity(row, 3)?,
                    due_at: time(row.get(8)?),
                    root: bytes_to_path(&row.get::<_, Vec<u8>>(9)?),
                });
            }
            Ok(taken)
        })
        .await
    }

    /// A file need not be looked after any more.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn let_go(&self, rule: &str, held: &Held) -> Result<(), StoreError> {
        let (rule, held) = (rule.to_owned(), path_to_bytes(held.path()));
        self.change(move |connection| {
            connection
                .prepare_cached("DELETE FROM taken_away WHERE rule = ?1 AND held = ?2")?
                .execute(params![rule, held])?;
            Ok(())
        })
        .await
    }
}
