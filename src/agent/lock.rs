//! One agent per data directory: a lock that the system releases when the process ends, however it ends.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use super::AgentError;
use masv_platform::{private_file, private_folder};

const FILE: &str = "agent.lock";

/// The lock, until it is dropped.
pub(super) struct Lock {
    _file: File,
}

/// Creates the data directory (for its owner only) and locks it.
pub(super) fn lock(data_dir: &Path) -> Result<Lock, AgentError> {
    let failed = |source| AgentError::DataDir { path: data_dir.to_owned(), source };
    private_folder(data_dir).map_err(failed)?;
    let mut file = private_file().read(true).truncate(false).open(data_dir.join(FILE)).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let _ = file.read_to_string(&mut text);
            return Err(AgentError::Locked { path: data_dir.to_owned(), pid: text.trim().parse().ok() });
        }
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    let write = |file: &mut File| {
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())
    };
    write(&mut file).map_err(failed)?;
    Ok(Lock { _file: file })
}

/// Whether an agent holds this data directory, as far as the caller may see. For callers that wait for the agent's end:
/// the check itself holds the lock for a moment.
#[must_use]
pub fn is_locked(data_dir: &Path) -> bool {
    let Ok(file) = File::open(data_dir.join(FILE)) else { return false };
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_agent_is_told_the_first_ones_process() {
        let folder = tempfile::tempdir().unwrap();
        let held = lock(folder.path()).unwrap();
        let refused = lock(folder.path()).map(|_| ()).unwrap_err();
        assert!(matches!(refused, AgentError::Locked { pid: Some(pid), .. } if pid == std::process::id()));
        assert!(is_locked(folder.path()));
        drop(held);
        assert!(!is_locked(folder.path()));
        lock(folder.path()).map(|_| ()).unwrap();
    }
}
