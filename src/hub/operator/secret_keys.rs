//! Changing a hub's secret key without ending what was made with the one before: a new key is first known to every hub, then used, and the
//! old one goes when nothing is left that it made.
//!
//! **In**: the file with the keys. **Out**: the file, changed. Hubs read it when they start.
//!
//! **On a crash** the file is as it was before or as it is to be.

use std::io;
use std::path::{Path, PathBuf};

use crate::error::HubError;
use crate::keys::key_file::{self, SecretKey};

/// The keys in a hub's key file. The first makes what is new.
pub struct SecretKeys {
    path: PathBuf,
    keys: Vec<SecretKey>,
}

impl std::fmt::Debug for SecretKeys {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("SecretKeys").field("path", &self.path).field("names", &self.names()).finish()
    }
}

impl SecretKeys {
    /// Reads the file at `path`. Blocks.
    ///
    /// # Errors
    /// [`HubError::Data`] if it cannot be used.
    pub fn read(path: &Path) -> Result<Self, HubError> {
        let keys = key_file::read(path).map_err(|error| failed(path, error))?;
        Ok(Self { path: path.to_owned(), keys })
    }

    /// The names of the keys, which say nothing about them: first that of the one which makes what is new.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.keys.iter().map(key_file::name).collect()
    }

    /// Adds a new key, which makes nothing yet: what it makes will hold at every hub that has read the file since. Returns its name. Blocks.
    ///
    /// # Errors
    /// [`HubError::Data`] if the file cannot be written.
    pub fn add(&mut self) -> Result<String, HubError> {
        let key = key_file::new_key().map_err(|error| failed(&self.path, error))?;
        let mut keys = self.keys.clone();
        keys.push(key);
        self.put(keys)?;
        Ok(key_file::name(&key))
    }

    /// Has the key of this name make what is new. Blocks.
    ///
    /// # Errors
    /// [`HubError::NotFound`]; [`HubError::Data`] if the file cannot be written.
    pub fn use_first(&mut self, name: &str) -> Result<(), HubError> {
        let at = self.position(name)?;
        let mut keys = self.keys.clone();
        keys[..=at].rotate_right(1);
        self.put(keys)
    }

    /// Removes the key of this name: nothing that it made holds any more.
    ///
    /// # Errors
    /// [`HubError::NotFound`]; [`HubError::Invalid`] for the key that makes what is new; [`HubError::Data`] if the file cannot be
    /// written.
    pub fn remove(&mut self, name: &str) -> Result<(), HubError> {
        let at = self.position(name)?;
        if at == 0 {
            let why = format!("the key {name} makes what is new: have another one used first");
            return Err(HubError::Invalid(why));
        }
        let mut keys = self.keys.clone();
        keys.remove(at);
        self.put(keys)
    }

    fn position(&self, name: &str) -> Result<usize, HubError> {
        let at = self.keys.iter().position(|key| key_file::name(key) == name);
        at.ok_or_else(|| HubError::NotFound { what: "key", name: name.to_owned() })
    }

    fn put(&mut self, keys: Vec<SecretKey>) -> Result<(), HubError> {
        key_file::replace(&self.path, &keys).map_err(|error| failed(&self.path, error))?;
        self.keys = keys;
        Ok(())
    }
}

fn failed(path: &Path, source: io::Error) -> HubError {
    HubError::Data { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Case: a key too many was written into the file, and neither a hub nor a command could read it from then on.
    #[test]
    fn there_are_never_more_keys_than_can_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        key_file::put(&path, &[7; 32]).unwrap();
        let mut keys = SecretKeys::read(&path).unwrap();
        let added = (0..9).filter(|_| keys.add().is_ok()).count();
        assert_eq!(added, 7);
        assert_eq!(SecretKeys::read(&path).unwrap().names(), keys.names());
        let last = keys.names().pop().unwrap();
        keys.remove(&last).unwrap();
        keys.add().unwrap();
    }
}
