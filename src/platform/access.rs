//! Whether this user may enter and write a folder.

use std::io;
use std::path::Path;

use rustix::fs::{Access, access};

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_ones_own_is_entered_and_written_and_one_that_is_gone_is_not() {
        let folder = tempfile::tempdir().unwrap();
        assert!(may_enter(folder.path()).is_ok() && may_write(folder.path()).is_ok());
        let gone = folder.path().join("gone");
        assert_eq!(may_enter(&gone).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(may_write(&gone).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
