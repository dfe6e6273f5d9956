//! What lies beside a file and says that the file is not finished.
//!
//! Browsers and download managers give a file its final name, even its final size, before its content is there, and keep what
//! they know about it beside it: `film.mov` and `film.mov.aria2`, or Safari's folder `film.mov.download`.

use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use super::Planner;
use masv_rules::marks_unfinished;

impl Planner {
    /// The file or folder beside `path` whose name says that `path` is not finished. A rule that sends such names takes them
    /// for files like any others.
    pub(super) fn companion(&self, path: &Path) -> Option<PathBuf> {
        if self.rule().temporary {
            return None;
        }
        let (folder, name) = (path.parent()?, path.file_name()?.as_bytes());
        // Paths are ordered name by name: all names that begin with this one and a dot follow each other.
        let begin = folder.join(OsStr::from_bytes(&[name, b"."].concat()));
        let beside = self.inventory.after(&begin).map_while(|other| {
            let Some(Component::Normal(other)) = other.strip_prefix(folder).ok()?.components().next() else {
                return None;
            };
            other.as_bytes().strip_prefix(name).filter(|ending| ending.starts_with(b"."))
        });
        let ending = beside.into_iter().find(|ending| marks_unfinished(ending))?;
        Some(folder.join(std::ffi::OsString::from_vec([name, ending].concat())))
    }
}
