//! Where the running agent can be reached, and with which token: written to its data directory, for the command line to
//! find.
//!
//! **In**: the data directory. **Out**: the address and the token of the agent that uses it.
//!
//! **Guarantees.** The token is returned only with the address of a process that is alive and belongs to the caller:
//! a program that takes over the port of an agent that has ended is never sent the token.
//!
//! **On a crash** the address stays behind; the next start removes it before it listens.

use std::path::{Path, PathBuf};

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::secrets;
use masv_platform::may_signal;

const ADDRESS: &str = "agent.json";
const TOKEN: &str = "api.token";

#[derive(Serialize, Deserialize)]
struct Written {
    address: String,
    pid: u32,
}

/// The file with the address, until it is dropped.
pub(super) struct AddressFile {
    path: PathBuf,
}

impl AddressFile {
    /// Writes the address where the command line looks for it.
    pub(super) fn write(data_dir: &Path, address: &str) -> std::io::Result<Self> {
        let path = data_dir.join(ADDRESS);
        let written = Written { address: address.to_owned(), pid: std::process::id() };
        let temporary = tempfile::NamedTempFile::new_in(data_dir)?;
        serde_json::to_writer(temporary.as_file(), &written)?;
        temporary.persist(&path).map_err(|error| error.error)?;
        Ok(Self { path })
    }

    /// Removes the file left by an agent that crashed.
    pub(super) fn forget(data_dir: &Path) {
        // Usually there is none.
        let _ = std::fs::remove_file(data_dir.join(ADDRESS));
    }
}

impl Drop for AddressFile {
    fn drop(&mut self) {
        // A stale address does no harm.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The token of the agent with this data directory, created at its first start. If the file is removed, the next start
/// creates another.
pub(super) fn own_token(data_dir: &Path) -> std::io::Result<SecretString> {
    secrets::find_or_make(&data_dir.join(TOKEN))
}

/// A running agent, as described in its data directory.
#[derive(Debug, Clone)]
pub struct Found {
    /// Such as `http://127.0.0.1:8080` or `unix:///run/a.sock`.
    pub address: String,
    /// The token it created, if the caller may read it.
    pub token: Option<SecretString>,
}

/// The agent that runs with this data directory, if the caller may read it.
#[must_use]
pub fn find_agent(data_dir: &Path) -> Option<Found> {
    let text = std::fs::read_to_string(data_dir.join(ADDRESS)).ok()?;
    let written = serde_json::from_str::<Written>(&text).ok()?;
    let token = may_signal(written.pid).then(|| std::fs::read_to_string(data_dir.join(TOKEN)).ok()).flatten();
    let token = token.map(|text| SecretString::from(text.trim()));
    Some(Found { address: written.address, token })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Case: the command line finds the token of the own agent, and gives it to no other program at its address.
    #[test]
    fn the_token_is_found_beside_the_address_of_a_process_that_lives() {
        let folder = tempfile::tempdir().unwrap();
        assert!(find_agent(folder.path()).is_none());
        own_token(folder.path()).unwrap();
        let file = AddressFile::write(folder.path(), "http://127.0.0.1:1").unwrap();
        assert!(find_agent(folder.path()).unwrap().token.is_some());
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        let dead = Written { address: "http://127.0.0.1:1".into(), pid: child.id() };
        std::fs::write(folder.path().join(ADDRESS), serde_json::to_vec(&dead).unwrap()).unwrap();
        let found = find_agent(folder.path()).unwrap();
        assert!(found.token.is_none() && found.address == "http://127.0.0.1:1", "{found:?}");
        drop(file);
        assert!(find_agent(folder.path()).is_none());
    }
}
