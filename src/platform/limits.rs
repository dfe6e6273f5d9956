//! What this process and the disks have left: descriptors, free space.

use std::io;
use std::path::Path;

use rustix::fd::AsFd;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::system;

/// With fewer descriptors than this an agent or a hub would fail in the middle of its work: files, connections, the database.
pub const FEWEST_DESCRIPTORS: u64 = 256;

/// How many descriptors this process may have open. `None`: unlimited.
#[must_use]
pub fn descriptors() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// Raises the limit of open descriptors as far as useful and allowed, and returns the new limit.
///
/// Service managers and terminals set a low limit (256 on macOS, 1024 on Linux), but let a process raise it.
pub fn raise_descriptors() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    if let Some(wanted) = wanted(limit, system::ENOUGH_DESCRIPTORS)
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), ..limit })
    {
        tracing::debug!(%error, wanted, "the number of descriptors cannot be raised");
    }
    descriptors()
}

/// As many as wanted, but at most the `share`-th part of the descriptors that this process may have open, and at least one.
#[must_use]
pub fn within_descriptors(wanted: usize, share: u64) -> usize {
    within(wanted, descriptors(), share)
}

fn within(wanted: usize, allowed: Option<u64>, share: u64) -> usize {
    let most = allowed.map_or(usize::MAX, |allowed| usize::try_from(allowed / share.max(1)).unwrap_or(usize::MAX));
    wanted.min(most).max(1)
}

/// The limit to set: never lower than it is, never above what is allowed. `None`: it is fine.
fn wanted(limit: Rlimit, enough: u64) -> Option<u64> {
    let wanted = limit.maximum.map_or(enough, |most| most.min(enough));
    limit.current.is_some_and(|current| current < wanted).then_some(wanted)
}

/// Free space for this user below a path, in bytes.
///
/// # Errors
/// The system's.
pub fn free_space(path: &Path) -> io::Result<u64> {
    Ok(system::free_space(path)?)
}

/// Free space for this user below an open folder, in bytes.
///
/// # Errors
/// The system's.
pub fn free_space_of(folder: impl AsFd) -> io::Result<u64> {
    Ok(system::free_space_of(folder)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Case: with 64 or 128 descriptors nothing was sent: the soft limit is raised to the hard one at the start.
    #[test]
    fn the_limit_is_raised_as_far_as_it_helps_and_never_lowered() {
        let limit = |current, maximum| Rlimit { current, maximum };
        assert_eq!(wanted(limit(Some(256), None), 10_240), Some(10_240));
        assert_eq!(wanted(limit(Some(1024), Some(4096)), 65_536), Some(4096));
        assert_eq!(wanted(limit(Some(1024), Some(1 << 30)), 65_536), Some(65_536));
        assert_eq!(wanted(limit(Some(100_000), Some(1 << 20)), 65_536), None);
        assert_eq!(wanted(limit(Some(64), Some(64)), 65_536), None);
        assert_eq!(wanted(limit(None, None), 65_536), None);
    }

    /// With 64 or 128 descriptors files could not be read, for as many were opened as the settings say.
    #[test]
    fn no_more_is_begun_than_there_are_descriptors_for() {
        assert_eq!(within(256, Some(65_536), 4), 256);
        assert_eq!(within(256, Some(256), 4), 64);
        assert_eq!(within(64, Some(256), 8), 32);
        assert_eq!(within(64, Some(2), 8), 1);
        assert_eq!(within(64, None, 8), 64);
    }

    #[test]
    fn a_path_and_its_folder_have_the_same_room() {
        let folder = tempfile::tempdir().unwrap();
        let opened = std::fs::File::open(folder.path()).unwrap();
        assert!(free_space(folder.path()).unwrap() > 0 && free_space_of(opened).unwrap() > 0);
        assert_eq!(free_space(&folder.path().join("gone")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
