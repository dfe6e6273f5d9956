//! ASC MHL 2.0: a generation of the history that lies in the folder `ascmhl` of a card
//! (<https://github.com/ascmitc/mhl-specification>).
//!
//! **In**: text. **Out**: the files it lists. Pure; how the generations go together is for `History`.
//!
//! A checksum whose `action` is `failed` belongs to the damaged file: it is reported, never compared.

use std::path::Path;

use super::hash_list::{self, Content, Generation, add_checksum};
use super::xml::Element;
use super::{Listed, below};

const ASC_MHL: Generation = Generation {
    name: "ASC MHL",
    number: "2",
    is_entry: |around| around.last().is_some_and(|parent| parent == "hashes"),
};

/// Children of `<hash>` that are not checksums.
const FACTS: [&str; 2] = ["path", "metadata"];

/// What the generation of the history of `folder` lists; that of a folder whose files are all in histories of folders below lists none,
/// and refers to those.
///
/// # Errors
/// Why it is not understood, for a person.
pub fn parse(folder: &Path, text: &str) -> Result<Content, String> {
    hash_list::parse(&ASC_MHL, text, &|element| entry(folder, element))
}

fn entry(folder: &Path, element: &Element) -> Result<Listed, String> {
    let path = element.child("path").filter(|path| !path.text.is_empty()).ok_or("has a hash without a file")?;
    let mut listed = Listed::new(below(folder, Path::new(&path.text))?);
    listed.size = path.attributes.get("size").map(|size| hash_list::size(&path.text, size)).transpose()?;
    for child in element.children.iter().filter(|child| !FACTS.contains(&child.name.as_str())) {
        let (kind, text) = (child.name.as_str(), child.text.as_str());
        if kind == "previousPath" {
            listed.renamed_from = Some(below(folder, Path::new(text))?);
            continue;
        }
        match child.attributes.get("action").map(String::as_str) {
            None | Some("original" | "verified" | "new") => {}
            Some("failed") => {
                let when = child.attributes.get("hashdate").cloned();
                listed.failed = Some(when.unwrap_or_else(|| "an unknown date".to_owned()));
                continue;
            }
            Some(action) => {
                listed.unknown.push(format!("{kind} with the action `{action}`"));
                continue;
            }
        }
        add_checksum(&mut listed, kind, text, |_, _| None);
    }
    Ok(listed)
}
