//! Old complete transfers are removed, so that the database does not grow forever. What was sent stays in the ledger.

use jiff::Timestamp;

use super::{Store, StoreError};

/// Transfers forgotten in one transaction; a large one has a hundred thousand files.
const AT_ONCE: u32 = 20;

impl Store {
    /// Forgets some of the complete uploads and downloads that were completed before `before`, with their files. Returns how many
    /// it forgot; 0 when there are none left.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn forget_completed(&self, before: Timestamp) -> Result<usize, StoreError> {
        self.change(move |connection| {
            let mut forgotten = 0;
            for table in ["upload", "download"] {
                forgotten += connection
                    .prepare_cached(&format!(
                        "DELETE FROM {table} WHERE id IN \
                         (SELECT id FROM {table} WHERE state = 'complete' AND completed_at < ?1 ORDER BY completed_at LIMIT ?2)"
                    ))?
                    .execute((before.as_millisecond(), AT_ONCE))?;
            }
            Ok(forgotten)
        })
        .await
    }
}
