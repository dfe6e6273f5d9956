//! Where the running agent can be reached: written into its data directory after it listens, removed when it stops.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

const FILE: &str = "agent.json";

#[derive(Serialize, Deserialize)]
struct Written {
    address: String,
    pid: u32,
}

/// The file, until it is dropped.
pub(super) struct AddressFile {
    path: PathBuf,
}

impl AddressFile {
    /// Writes the address where the command line looks for it.
    pub(super) fn write(data_dir: &Path, address: &str) -> std::io::Result<Self> {
        let path = data_dir.join(FILE);
        let written = Written { address: address.to_owned(), pid: std::process::id() };
        let temporary = tempfile::NamedTempFile::new_in(data_dir)?;
        serde_json::to_writer(temporary.as_file(), &written)?;
        temporary.persist(&path).map_err(|error| error.error)?;
        Ok(Self { path })
    }
}

impl Drop for AddressFile {
    fn drop(&mut self) {
        // Nobody minds an address at which nobody answers.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The address that the agent with this data directory wrote, such as `http://127.0.0.1:8080` or `unix:///run/a.sock`.
#[must_use]
pub fn find_address(data_dir: &Path) -> Option<String> {
    let text = std::fs::read_to_string(data_dir.join(FILE)).ok()?;
    serde_json::from_str::<Written>(&text).ok().map(|written| written.address)
}
