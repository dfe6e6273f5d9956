//! What is beside a file and shows that the file is not finished.
//!
//! Browsers and download managers give a file its final name, even its final size, before its content is there, and keep what
//! they know about it beside it: `film.mov` and `film.mov.aria2`, or Safari's folder `film.mov.download`.
//!
//! **In**: the paths that come and go. **Out**: the companion of a path. Pure. Names are compared regardless of case and of how
//! letters are composed: on the file systems of macOS and Windows that is one name, and a program may spell it in two ways.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use masv_platform::bytes_to_path;
use masv_rules::{composed, unfinished_beside};

/// The companions that are there.
#[derive(Debug, Default)]
pub(super) struct Companions {
    /// By the file that they are beside: each with the path through which it is known.
    beside: BTreeMap<PathBuf, BTreeSet<(PathBuf, Arc<Path>)>>,
}

impl Companions {
    /// A path is there.
    pub(super) fn add(&mut self, path: &Arc<Path>) {
        for (file, companion) in marks(path) {
            self.beside.entry(file).or_default().insert((companion, Arc::clone(path)));
        }
    }

    /// A path is no longer there.
    pub(super) fn remove(&mut self, path: &Arc<Path>) {
        for (file, companion) in marks(path) {
            let Some(companions) = self.beside.get_mut(&file) else { continue };
            companions.remove(&(companion, Arc::clone(path)));
            if companions.is_empty() {
                self.beside.remove(&file);
            }
        }
    }

    /// The file or folder beside `path` whose name says that `path` is not finished.
    pub(super) fn of(&self, path: &Path) -> Option<&Path> {
        let file = spelled_alike(path.parent()?, path.file_name()?.as_encoded_bytes());
        self.beside.get(&file)?.first().map(|(companion, _)| companion.as_path())
    }
}

/// The files that a path, or a folder on the way to it, says are not finished; each with that file or folder.
fn marks(path: &Path) -> impl Iterator<Item = (PathBuf, PathBuf)> {
    let named = path.ancestors().filter_map(|at| Some((at, at.parent()?, at.file_name()?)));
    named.filter_map(|(at, folder, name)| {
        let file = unfinished_beside(name.as_encoded_bytes())?;
        Some((spelled_alike(folder, file), at.to_owned()))
    })
}

/// The path of a name in a folder, the same for all spellings of the name.
fn spelled_alike(folder: &Path, name: &[u8]) -> PathBuf {
    let name = bytes_to_path(name);
    let composed = composed(&name);
    let alike = composed.to_str().map_or_else(
        || bytes_to_path(&composed.as_os_str().as_encoded_bytes().to_ascii_lowercase()),
        |text| text.to_lowercase().into(),
    );
    folder.join(OsStr::new(&alike))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Arc<Path> {
        Path::new(text).into()
    }

    /// A companion that differed only in the case of letters, or in how a letter is composed, was not recognized.
    #[test]
    fn a_companion_is_recognized_in_every_spelling_of_its_name() {
        let mut companions = Companions::default();
        companions.add(&path("in/FILM.mov.ARIA2"));
        companions.add(&path("in/u\u{308}ber.mov.part"));
        assert_eq!(companions.of(Path::new("in/Film.MOV")), Some(Path::new("in/FILM.mov.ARIA2")));
        assert_eq!(companions.of(Path::new("in/\u{dc}BER.mov")), Some(Path::new("in/u\u{308}ber.mov.part")));
        assert_eq!((companions.of(Path::new("Film.mov")), companions.of(Path::new("in/film.mo"))), (None, None));
        companions.remove(&path("in/FILM.mov.ARIA2"));
        assert_eq!(companions.of(Path::new("in/Film.MOV")), None);
    }

    /// Safari's companion is a folder, which is there as long as something is in it.
    #[test]
    fn a_folder_is_a_companion_until_its_last_file_is_gone() {
        let mut companions = Companions::default();
        let (film, list) = (path("a/Saf.mov.download/saf.mov"), path("a/Saf.mov.download/Info.plist"));
        companions.add(&film);
        companions.add(&list);
        companions.remove(&film);
        assert_eq!(companions.of(Path::new("a/saf.mov")), Some(Path::new("a/Saf.mov.download")));
        companions.remove(&list);
        assert_eq!(companions.of(Path::new("a/saf.mov")), None);
    }
}
