//! The processes that hold files open for writing, as far as this user is shown them.

use std::collections::{HashMap, HashSet};

use crate::{FileIdentity, system};

/// The files among `wanted`, by device and inode, that a process is seen to hold open for writing, with its name and id for a
/// person. Looks at all processes. Blocks.
#[must_use]
pub fn writers_of(wanted: &[FileIdentity]) -> HashMap<(u64, u64), String> {
    let wanted: HashSet<(u64, u64)> = wanted.iter().map(|identity| (identity.device, identity.inode)).collect();
    if wanted.is_empty() {
        return HashMap::new();
    }
    system::writers_of(&wanted)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn who_writes_is_named_until_the_file_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("render.mov");
        let writer = std::fs::File::create(&path).unwrap();
        let _reader = std::fs::File::open(&path).unwrap();
        let identity = FileIdentity::of(&path.metadata().unwrap());
        let found = writers_of(&[identity]);
        let name = &found[&(identity.device, identity.inode)];
        assert!(name.contains(&format!("(process {})", std::process::id())), "{name}");
        drop(writer);
        assert!(writers_of(&[identity]).is_empty() && writers_of(&[]).is_empty());
    }
}
