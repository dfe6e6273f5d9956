//! What is beside a file and shows that the file is not finished.
//!
//! Browsers and download managers give a file its final name, even its final size, before its content is there, and keep what
//! they know about it beside it: `film.mov` and `film.mov.aria2`, or Safari's folder `film.mov.download`.

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
        let folder = path.parent()?;
        let mut begin = path.file_name()?.to_owned();
        begin.push(".");
        let first = folder.join(&begin);
        // Paths are ordered name by name: all names that begin with this one and a dot follow each other.
        let beside = self.inventory.after(&first).map_while(|other| {
            let Some(Component::Normal(name)) = other.strip_prefix(folder).ok()?.components().next() else {
                return None;
            };
            name.as_encoded_bytes().starts_with(begin.as_encoded_bytes()).then_some(name)
        });
        let ending = begin.as_encoded_bytes().len() - 1;
        let companion = beside.into_iter().find(|name| marks_unfinished(&name.as_encoded_bytes()[ending..]))?;
        Some(folder.join(companion))
    }
}
