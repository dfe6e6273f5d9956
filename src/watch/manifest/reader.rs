//! Opens lists and the files that they list.
//!
//! **In**: paths. **Out**: a list's bytes; a file's digests and the state in which it was read. Blocks.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;

use super::checksum::Algorithm;
use super::measure::{Digests, measure};
use masv_platform::FileIdentity;

/// Largest list read, bytes.
const LARGEST: u64 = 64 << 20;

/// The bytes of the list at `path`.
///
/// # Errors
/// Why it can not be read, for a person.
pub fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > LARGEST {
        return Err(format!("is larger than {LARGEST} bytes"));
    }
    Ok(bytes)
}

/// The digests of the file at `path`, and the state that it was in before and after it was read; `None` if it changed
/// meanwhile.
///
/// # Errors
/// Those of reading it.
pub fn digests(path: &Path, algorithms: &BTreeSet<Algorithm>) -> std::io::Result<Option<(FileIdentity, Digests)>> {
    let file = std::fs::File::open(path)?;
    let before = FileIdentity::of(&file.metadata()?);
    let digests = measure(&file, algorithms.iter().copied())?;
    let after = FileIdentity::of(&file.metadata()?);
    Ok((before == after).then_some((before, digests)))
}
