//! The reading connections, lent one by one.

use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::DbError;

/// The connections that nobody reads with now.
pub(super) struct Readers {
    /// As many as there are permits left.
    pub(super) idle: Mutex<Vec<Connection>>,
    pub(super) permits: Arc<Semaphore>,
}

/// A borrowed reading connection; it is returned whatever happens to the reader.
pub(super) struct Lent {
    pub(super) connection: Option<Connection>,
    readers: Arc<Readers>,
    /// Given back after the connection is.
    _permit: OwnedSemaphorePermit,
}

impl Readers {
    /// The next idle one, in the order in which they were asked for.
    pub(super) async fn lend(self: Arc<Self>) -> Result<Lent, DbError> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| DbError::Closed)?;
        let connection = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Ok(Lent { connection, readers: self, _permit: permit })
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.readers.idle.lock().unwrap_or_else(PoisonError::into_inner).extend(self.connection.take());
    }
}
