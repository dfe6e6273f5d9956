//! Whether this user may enter and write a folder.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Access, access};

/// Entries of a folder that are looked at to see whose they are.
const LOOKED_AT: usize = 256;
/// Whoever comes may write.
const OTHERS_WRITE: u32 = 0o002;

/// Whether files in the folder may be reached.
///
/// # Errors
/// Why not.
pub fn may_enter(folder: &Path) -> io::Result<()> {
    Ok(access(folder, Access::EXEC_OK)?)
}

/// Whether files may be made in the folder, removed and renamed.
///
/// # Errors
/// Why not.
pub fn may_write(folder: &Path) -> io::Result<()> {
    Ok(access(folder, Access::WRITE_OK | Access::EXEC_OK)?)
}

/// Whether other users have files in the folder, or may put some there: it is another's, everybody may write to it, or one of its
/// first entries is another's. Blocks.
#[must_use]
pub fn has_other_writers(folder: &Path) -> bool {
    let me = rustix::process::geteuid().as_raw();
    let Ok(itself) = std::fs::metadata(folder) else { return false };
    if itself.uid() != me || itself.mode() & OTHERS_WRITE != 0 {
        return true;
    }
    let Ok(entries) = std::fs::read_dir(folder) else { return false };
    let mut owners = entries.take(LOOKED_AT).filter_map(|entry| Some(entry.ok()?.metadata().ok()?.uid()));
    owners.any(|owner| owner != me)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_others_may_write_to_or_have_files_in_has_other_writers() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("clip.mov");
        std::fs::write(&file, "").unwrap();
        assert!(!has_other_writers(folder.path()));
        assert!(!has_other_writers(&folder.path().join("gone")));
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        assert!(has_other_writers(folder.path()));
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&file, Some(65_534), None).unwrap();
            assert!(has_other_writers(folder.path()), "a file of another user");
        }
    }

    #[test]
    fn a_folder_of_ones_own_is_entered_and_written_and_one_that_is_gone_is_not() {
        let folder = tempfile::tempdir().unwrap();
        assert!(may_enter(folder.path()).is_ok() && may_write(folder.path()).is_ok());
        let gone = folder.path().join("gone");
        assert_eq!(may_enter(&gone).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(may_write(&gone).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
