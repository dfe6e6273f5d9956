//! Opening files to read them, whatever somebody may have put in their place.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

use crate::FileIdentity;

/// Opens a file to be read, and says what it is like; `None` where something else than a file is there. A named pipe that was
/// put in its place does not make the caller wait for a writer.
///
/// # Errors
/// Those of the system.
pub fn open_to_read(path: &Path) -> io::Result<Option<(File, FileIdentity)>> {
    let opened = OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path)?;
    let metadata = opened.metadata()?;
    let identity = FileIdentity::of(&metadata);
    Ok(metadata.is_file().then_some((opened, identity)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_file_is_opened_and_nothing_waits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, b"hello").unwrap();
        assert_eq!(open_to_read(&path).unwrap().unwrap().1.size, 5);
        assert!(open_to_read(folder.path()).unwrap().is_none());
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert!(open_to_read(&pipe).unwrap().is_none());
        assert_eq!(open_to_read(&folder.path().join("b")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
