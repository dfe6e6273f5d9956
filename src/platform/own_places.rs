//! The places of a program's own files, which it neither sends nor overwrites on request.
//!
//! They are recognised by path and by identity: a path that leads there through links, or another name of the same file, does not
//! get around that.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use crate::{FileIdentity, real_path};

/// Files and folders of the program itself, as configured. Clones share those that may change.
#[derive(Debug, Clone, Default)]
pub struct OwnPlaces {
    named: Vec<PathBuf>,
    changing: Arc<RwLock<Vec<PathBuf>>>,
}

/// Where they were when the file system was checked.
#[derive(Debug, Clone, Default)]
pub struct RealPlaces {
    paths: Vec<PathBuf>,
    files: HashSet<(u64, u64)>,
}

impl OwnPlaces {
    /// From these absolute paths, and the files that the program's output goes to.
    #[must_use]
    pub fn new(named: Vec<PathBuf>) -> Self {
        Self { named, changing: Arc::default() }
    }

    /// These absolute paths are of the program, too, in place of those that were said to be before.
    pub fn change(&self, also: Vec<PathBuf>) {
        *self.changing.write().unwrap_or_else(PoisonError::into_inner) = also;
    }

    /// Checks the file system. Blocks.
    #[must_use]
    pub fn ask(&self) -> RealPlaces {
        let changing = self.changing.read().unwrap_or_else(PoisonError::into_inner).clone();
        let paths: Vec<PathBuf> = self.named.iter().chain(&changing).filter_map(|path| real_path(path).ok()).collect();
        let named = paths.iter().filter_map(|path| path.metadata().ok()).filter(std::fs::Metadata::is_file);
        let ids = |identity: FileIdentity| (identity.device, identity.inode);
        let mut files: HashSet<(u64, u64)> = named.map(|metadata| ids(FileIdentity::of(&metadata))).collect();
        let output = [rustix::fs::fstat(std::io::stdout()), rustix::fs::fstat(std::io::stderr())];
        for stat in output.into_iter().flatten() {
            if rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::RegularFile {
                files.insert(ids(FileIdentity::of_stat(&stat)));
            }
        }
        RealPlaces { paths, files }
    }
}

impl RealPlaces {
    /// Whether a real path is in one of the places.
    #[must_use]
    pub fn hold(&self, real: &Path) -> bool {
        self.paths.iter().any(|own| real.starts_with(own))
    }

    /// Whether this is one of the files, whatever its name.
    #[must_use]
    pub fn are(&self, identity: &FileIdentity) -> bool {
        self.files.contains(&(identity.device, identity.inode))
    }

    /// The places below a real path, relative to it.
    pub fn below<'a>(&'a self, real: &'a Path) -> impl Iterator<Item = PathBuf> + 'a {
        self.paths.iter().filter_map(move |own| own.strip_prefix(real).ok().map(Path::to_owned))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// Case: a place reached over a link or a second name is the same place.
    #[test]
    fn a_place_is_known_whatever_way_leads_there() {
        let around = tempfile::tempdir().unwrap();
        let root = around.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("media/data")).unwrap();
        std::fs::write(root.join("media/rules.yaml"), "keys").unwrap();
        symlink("media", root.join("link")).unwrap();
        std::fs::hard_link(root.join("media/rules.yaml"), root.join("media/other")).unwrap();
        let own =
            OwnPlaces::new(vec![root.join("link/data"), root.join("link/rules.yaml"), root.join("missing")]).ask();
        assert!(own.hold(&root.join("media/data/hub/key")) && own.hold(&root.join("media/rules.yaml")));
        assert!(!own.hold(&root.join("media/clip.mov")) && !own.hold(&root.join("media/data-2")));
        let is_own = |name: &str| own.are(&FileIdentity::of(&std::fs::metadata(root.join(name)).unwrap()));
        assert!(is_own("media/other") && !is_own("media"));
        let places = OwnPlaces::new(Vec::new());
        let shared = places.clone();
        places.change(vec![root.join("media/rules.yaml")]);
        assert!(shared.ask().hold(&root.join("media/rules.yaml")));
        places.change(Vec::new());
        assert!(!shared.ask().hold(&root.join("media/rules.yaml")));
        let mut below: Vec<_> = own.below(&root.join("media")).collect();
        below.sort();
        assert_eq!(below, [Path::new("data"), Path::new("rules.yaml")]);
    }
}
