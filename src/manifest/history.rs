//! How the generations of an ASC MHL history go together.
//!
//! **In**: the lists of one `ascmhl` folder, oldest first. **Out**: what each of them asks for with the knowledge of the
//! later ones: under the name that a file has now, and without a failure that a later generation has overcome. Pure.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::{ASC_FOLDER, Listed};

/// The `ascmhl` folder that the list at `place` is a generation of.
#[must_use]
pub fn history_of(place: &Path) -> Option<&Path> {
    place.parent().filter(|folder| folder.file_name().is_some_and(|name| name == ASC_FOLDER))
}

/// What each generation requires, given those of a history in order.
#[must_use]
pub fn effective(generations: &[&[Listed]]) -> Vec<Vec<Listed>> {
    // From the newest to the oldest: the name that each older name has become, and the files that were seen since.
    let mut now: HashMap<PathBuf, PathBuf> = HashMap::new();
    let mut seen: HashMap<PathBuf, ()> = HashMap::new();
    let mut all = Vec::with_capacity(generations.len());
    for generation in generations.iter().rev() {
        let mut files = Vec::with_capacity(generation.len());
        let mut renamed = Vec::new();
        for file in *generation {
            let path = now.get(&file.path).unwrap_or(&file.path).clone();
            if let Some(before) = &file.renamed_from {
                renamed.push((before.clone(), path.clone()));
            }
            // A later generation has verified the file again; it says whether that failed.
            let overcome = file.failed.is_some() && seen.contains_key(&path);
            if !overcome {
                files.push(Listed { path, ..file.clone() });
            }
        }
        seen.extend(files.iter().map(|file| (file.path.clone(), ())));
        now.extend(renamed);
        all.push(files);
    }
    all.reverse();
    all
}
