//! Opens lists and the files that they list.
//!
//! **In**: paths beneath the watched folder. **Out**: a list's bytes, a file's digests; each with the state in which it was read, which was
//! the same before and after. Blocks.

use std::collections::BTreeSet;
use std::io::Read;

use super::checksum::Algorithm;
use super::measure::{Digests, measure};
use masv_platform::{FileIdentity, PathBeneath, hold_point};

/// Largest list read, bytes.
const LARGEST: u64 = 64 << 20;

/// Said of a list whose writer was at it while it was read.
pub const CHANGED: &str = "changed while it was read";

/// The bytes of a list, and the state that it was in before and after it was read; `None` if it changed meanwhile: half of what was read
/// may be the old list, and half the new one.
///
/// # Errors
/// Why it cannot be read, for a person.
pub fn read(path: &PathBeneath) -> Result<Option<(FileIdentity, Vec<u8>)>, String> {
    let failed = |error: std::io::Error| format!("cannot be read: {error}");
    let (mut file, entry) = path.open().map_err(|error| format!("cannot be read: {error}"))?;
    hold_point("list.opened");
    let (before, mut bytes) = (entry.identity, Vec::new());
    (&mut file).take(LARGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > LARGEST {
        return Err(format!("is larger than {LARGEST} bytes"));
    }
    let after = FileIdentity::of(&file.metadata().map_err(failed)?);
    Ok((before == after).then_some((before, bytes)))
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
    hold_point("listed.opened");
    let before = entry.identity;
    let digests = measure(&file, algorithms.iter().copied())?;
    let after = FileIdentity::of(&file.metadata()?);
    Ok((before == after).then_some((before, digests)))
}
