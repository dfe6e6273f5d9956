//! The first start of a hub that an operator runs: nobody has an account yet, so a key is made, and shown once or kept in a file.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use masv_platform::{Folder, FolderError};
use secrecy::{ExposeSecret, SecretString};

use crate::keys::tokens;
use crate::records::teams;
use crate::{Hub, HubError};

/// The file of the first key, in the data directory.
const FIRST_KEY: &str = "first-api-key";
/// No key is longer, bytes.
const LONGEST: u64 = 1024;

impl Hub {
    /// Whether there are no accounts here yet.
    ///
    /// # Errors
    /// [`HubError::Database`].
    pub async fn is_new(&self) -> Result<bool, HubError> {
        Ok(teams::is_empty(self.database()).await?)
    }

    /// A key for [`Hub::provision`] and for senders: 256 random bits in hexadecimal.
    ///
    /// # Errors
    /// [`HubError::Serve`] if the system provides no randomness.
    pub fn new_key(&self) -> Result<SecretString, HubError> {
        let secret = tokens::random_secret().map_err(|error| HubError::Serve(io::Error::other(error)))?;
        Ok(secret.into())
    }

    /// The same, kept in a file of the data directory that only its owner can read, and where that is. Called again before the key is
    /// used, as after a crash, it gives the same one.
    ///
    /// # Errors
    /// [`HubError::Data`] with the file; [`HubError::Serve`] where the system gives no randomness.
    pub async fn first_key(&self) -> Result<(SecretString, PathBuf), HubError> {
        let folder = self.context.config.data_dir.clone();
        let path = folder.join(FIRST_KEY);
        let new = self.new_key()?;
        let keeping = tokio::task::spawn_blocking(move || keep(&folder, new));
        let kept = keeping.await.map_err(|error| HubError::Serve(io::Error::other(error)))?;
        match kept {
            Ok(key) => Ok((key, path)),
            Err(source) => Err(HubError::Data { path, source }),
        }
    }
}

/// Writes the key, or reads the one that is there. Blocks.
fn keep(folder: &Path, new: SecretString) -> io::Result<SecretString> {
    let folder = Folder::open(folder)?;
    match folder.open_file(Path::new(FIRST_KEY)) {
        Ok((file, _)) => {
            let mut known = String::new();
            file.take(LONGEST).read_to_string(&mut known)?;
            return Ok(known.trim().into());
        }
        Err(FolderError::Missing(_)) => {}
        Err(error) => return Err(error.into()),
    }
    let (draft, mut file) = folder.create_unique("first-", ".new", 0o600)?;
    let written = (|| {
        writeln!(file, "{}", new.expose_secret())?;
        masv_platform::flush(&file)?;
        folder.rename_new(&draft, &folder, FIRST_KEY.as_ref())?;
        Ok::<_, io::Error>(folder.flush()?)
    })();
    if written.is_err() {
        let _ = folder.remove_file(&draft);
    }
    written.map(|()| new)
}
