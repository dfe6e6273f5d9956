//! Checksum lists: what a list says about files, lists of what was sent, and comparing a folder with its lists.
//!
//! **In**: a list's name and bytes. **Out**: the files it lists with their checksums, or why it is not understood. Pure;
//! [`reader`] opens files, [`measure`] computes checksums, [`compose`] writes lists, [`verify`] compares folders.
//!
//! **Guarantees.** What is not understood stops: a list that does not end, an encoding, a line, an element or an action
//! that is unknown is reported, and nothing counts as verified because of it.
//!
//! **On a crash** nothing is lost: nothing is kept here.
//!
//! Must never know: rules' decisions, uploads, HTTP.
//!
//! Understood are lists of lines (see [`sums`]), MHL 1.x ([`mhl`]) and ASC MHL 2.0 ([`asc_mhl`], with [`hash_list`] in common).

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use self::checksum::Checksum;

mod asc_mhl;
pub mod checksum;
pub mod compose;
mod hash_list;
mod history;
pub mod measure;
mod mhl;
pub mod reader;
mod sums;
mod text;
pub mod verify;
mod xml;

pub use history::{effective, history_of};

/// The folder of ASC MHL histories; what they list is relative to its parent.
pub const ASC_FOLDER: &str = "ascmhl";

/// A file that a list lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Relative to the watched folder.
    pub path: PathBuf,
    /// Bytes, if the list says.
    pub size: Option<u64>,
    /// The checksums that are understood; all of them have to be right.
    pub checksums: Vec<Checksum>,
    /// Kinds of checksums that are not understood.
    pub unknown: Vec<String>,
    /// The name under which earlier generations of a history list the file.
    pub renamed_from: Option<PathBuf>,
    /// When a verification failed, by the history.
    pub failed: Option<String>,
}

impl Listed {
    /// A file of which nothing else is said.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path, size: None, checksums: Vec::new(), unknown: Vec::new(), renamed_from: None, failed: None }
    }

    /// Merges what the list says about the same file elsewhere.
    fn merge(&mut self, other: Self) -> Result<(), String> {
        let differs = |one: &Checksum| {
            self.checksums.iter().any(|known| known.algorithms == one.algorithms && known.digest != one.digest)
        };
        let sizes_differ = self.size.is_some() && other.size.is_some() && self.size != other.size;
        if sizes_differ || other.checksums.iter().any(differs) {
            return Err(format!("lists `{}` twice, with different values", self.path.display()));
        }
        self.size = self.size.or(other.size);
        self.checksums.extend(other.checksums);
        self.checksums.dedup();
        self.unknown.extend(other.unknown);
        self.renamed_from = self.renamed_from.take().or(other.renamed_from);
        self.failed = self.failed.take().or(other.failed);
        Ok(())
    }
}

/// The folder that what a list at `place` lists is relative to, and that its files lie below.
#[must_use]
pub fn scope(place: &Path) -> &Path {
    let around = place.parent().unwrap_or(Path::new(""));
    let inside = around.file_name().is_some_and(|name| name == ASC_FOLDER);
    if inside { around.parent().unwrap_or(Path::new("")) } else { around }
}

/// What the list at `place` (relative to the watched folder) lists, each file once.
///
/// # Errors
/// Why it is not understood, for a person.
pub fn parse(place: &Path, bytes: &[u8]) -> Result<Vec<Listed>, String> {
    let text = text::decoded(bytes)?;
    let mut refers = false;
    let listed = if text::is_xml(&text) {
        let text = str::from_utf8(&text).map_err(|_| "is not valid UTF-8: save it as UTF-8".to_owned())?;
        let is_asc = text.contains("urn:ASC:MHL") || text.contains("<hashes");
        if is_asc {
            let content = asc_mhl::parse(scope(place), text)?;
            refers = content.refers;
            content.files
        } else {
            mhl::parse(scope(place), text)?
        }
    } else {
        sums::parse(place.parent().unwrap_or(Path::new("")), place, &text)?
    };
    // A list cannot contain its own checksum: `sha256sum * > SHA256SUMS` lists itself as it was when it was empty.
    let mut files: BTreeMap<PathBuf, Listed> = BTreeMap::new();
    for file in listed.into_iter().filter(|file| file.path != place) {
        match files.get_mut(&file.path) {
            Some(known) => known.merge(file)?,
            None => drop(files.insert(file.path.clone(), file)),
        }
    }
    if files.is_empty() && !refers { Err("lists no files".to_owned()) } else { Ok(files.into_values().collect()) }
}

/// A listed name as a path below the list's folder.
fn below(folder: &Path, name: impl AsRef<Path>) -> Result<PathBuf, String> {
    let (mut path, name) = (folder.to_owned(), name.as_ref());
    for component in name.components() {
        match component {
            Component::Normal(name) => path.push(name),
            Component::CurDir => {}
            _ => return Err(format!("lists `{}`, which is not below its folder", name.display())),
        }
    }
    Ok(path)
}

#[cfg(test)]
mod tests;
