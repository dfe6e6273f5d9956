//! Opens lists and the files that they list.
//!
//! **In**: paths beneath the watched folder. **Out**: a list's bytes; a file's digests and the state in which it was read. Blocks.

use std::collections::BTreeSet;
use std::io::Read;

use super::checksum::Algorithm;
use super::measure::{Digests, measure};
use masv_platform::{FileIdentity, PathBeneath};

/// Largest list read, bytes.
const LARGEST: u64 = 64 << 20;

/// The bytes of a list.
///
/// # Errors
/// Why it cannot be read, for a person.
pub fn read(path: &PathBeneath) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let (file, _) = path.open().map_err(|error| format!("cannot be read: {error}"))?;
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() as u64 > LARGEST {
        return Err(format!("is larger than {LARGEST} bytes"));
    }
    Ok(bytes)
}

/// The digests of a file, and the state that it was in before and after it was read; `None` if it changed
/// meanwhile.
///
/// # Errors
/// Those of reading it.
pub fn digests(
    path: &PathBeneath,
    algorithms: &BTreeSet<Algorithm>,
) -> std::io::Result<Option<(FileIdentity, Digests)>> {
    let (file, entry) = path.open()?;
    let before = entry.identity;
    let digests = measure(&file, algorithms.iter().copied())?;
    let after = FileIdentity::of(&file.metadata()?);
    Ok((before == after).then_some((before, digests)))
}
