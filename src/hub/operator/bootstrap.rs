//! The first start of a hub that an operator runs: nobody has an account yet, so a key is made and shown once.

use secrecy::SecretString;

use crate::keys::tokens;
use crate::records::teams;
use crate::{Hub, HubError};

impl Hub {
    /// Whether nobody has an account here yet.
    ///
    /// # Errors
    /// [`HubError::Database`].
    pub async fn is_new(&self) -> Result<bool, HubError> {
        Ok(teams::is_empty(self.database()).await?)
    }

    /// A key to be given to [`Hub::provision`] and to whoever sends: 256 random bits, hexadecimal.
    ///
    /// # Errors
    /// [`HubError::Serve`] where the system gives no randomness.
    pub fn new_key(&self) -> Result<SecretString, HubError> {
        let secret = tokens::random_secret().map_err(|error| HubError::Serve(std::io::Error::other(error)))?;
        Ok(secret.into())
    }
}
