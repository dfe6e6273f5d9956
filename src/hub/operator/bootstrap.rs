//! The first start of a hub that an operator runs: nobody has an account yet, so a key is made and shown once.

use secrecy::SecretString;

use crate::{Hub, HubError};
use masv_db::DbError;

impl Hub {
    /// Whether nobody has an account here yet.
    ///
    /// # Errors
    /// [`HubError::Database`].
    pub async fn is_new(&self) -> Result<bool, HubError> {
        let count = self.database().read(|connection| {
            Ok::<i64, DbError>(connection.query_row("SELECT count(*) FROM team", [], |row| row.get(0))?)
        });
        Ok(count.await? == 0)
    }

    /// A key to be given to [`Hub::provision`] and to whoever sends: 256 random bits, hexadecimal.
    ///
    /// # Errors
    /// [`HubError::Serve`] where the system gives no randomness.
    pub fn new_key(&self) -> Result<SecretString, HubError> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|error| HubError::Serve(std::io::Error::other(error)))?;
        Ok(hex::encode(bytes).into())
    }
}
