//! The canonical form of a path whose end may not exist yet.

use std::io;
use std::path::{Component, Path, PathBuf};

/// The canonical path of what exists of `path`, an absolute path, and the rest as it is written. Blocks.
///
/// Two paths that lead to one place have one real path, whatever links and `..` they contain. What does not exist yet has no
/// links in it.
///
/// # Errors
/// Those of the system, such as a folder that may not be searched.
pub fn real_path(path: &Path) -> io::Result<PathBuf> {
    let mut rest: Vec<Component<'_>> = Vec::new();
    let mut existing = path.components();
    let mut real = loop {
        match existing.as_path().canonicalize() {
            Ok(real) => break real,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                match existing.next_back() {
                    Some(last) => rest.push(last),
                    None => return Err(error),
                }
            }
            Err(error) => return Err(error),
        }
    };
    let mut turned_back = false;
    for component in rest.into_iter().rev() {
        match component {
            Component::ParentDir => turned_back = real.pop(),
            other => real.push(other),
        }
    }
    // `missing/../link`: what comes after the way back may exist after all.
    if turned_back { real_path(&real) } else { Ok(real) }
}

/// An absolute path without `.` and `..`, as it is where no name of it is a link. Does not ask the file system.
#[must_use]
pub fn plain_path(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// Case: a folder and a link to it are one place.
    #[test]
    fn all_ways_to_one_place_have_one_real_path() {
        let around = tempfile::tempdir().unwrap();
        let at = |path: &str| around.path().join(path);
        std::fs::create_dir_all(at("media/drop")).unwrap();
        symlink("media", at("link")).unwrap();
        symlink("nowhere", at("dangling")).unwrap();
        let root = around.path().canonicalize().unwrap();
        for (path, expected) in [
            ("media/drop", "media/drop"),
            ("link/drop", "media/drop"),
            ("link/drop/../new/deeper", "media/new/deeper"),
            ("missing/../link/drop", "media/drop"),
            ("link/missing", "media/missing"),
            ("dangling/x", "dangling/x"),
        ] {
            assert_eq!(real_path(&at(path)).unwrap(), root.join(expected), "{path}");
        }
    }
}
