//! MHL 1.x: `<hashlist version="1.1">` with one `<hash>` for each file.
//!
//! **In**: text. **Out**: the files it lists. Pure.

use std::path::Path;

use super::checksum::{Algorithm, Checksum};
use super::hash_list::{self, Generation, add_checksum};
use super::xml::Element;
use super::{Listed, below};

const MHL: Generation = Generation { name: "MHL", number: "1", is_entry: |around| around.len() == 1 };

/// Children of `<hash>` that are not checksums.
const FACTS: [&str; 7] =
    ["file", "size", "lastmodificationdate", "creationdate", "hashdate", "comment", "modificationdate"];

/// What the list at `folder` lists.
///
/// # Errors
/// Why it is not understood, for a person.
pub fn parse(folder: &Path, text: &str) -> Result<Vec<Listed>, String> {
    Ok(hash_list::parse(&MHL, text, &|element| entry(folder, element))?.files)
}

fn entry(folder: &Path, element: &Element) -> Result<Listed, String> {
    let name = element.child("file").map(|file| file.text.as_str()).filter(|name| !name.is_empty());
    let name = name.ok_or("has a hash without a file")?;
    // Tools on Windows write their own separator.
    let mut listed = Listed::new(below(folder, Path::new(&name.replace('\\', "/")))?);
    listed.size = element.child("size").map(|size| hash_list::size(name, &size.text)).transpose()?;
    for child in element.children.iter().filter(|child| !FACTS.contains(&child.name.as_str())) {
        add_checksum(&mut listed, &child.name, &child.text, further);
    }
    Ok(listed)
}

/// Checksums that later generations have dropped.
fn further(kind: &str, text: &str) -> Option<Option<Checksum>> {
    Some(match kind {
        "sha256" => Checksum::of(Algorithm::Sha256, text),
        "sha512" => Checksum::of(Algorithm::Sha512, text),
        "xxhash64" => Checksum::little_endian(Algorithm::Xxh64, text),
        "xxhash64be" => Checksum::of(Algorithm::Xxh64, text),
        _ => return None,
    })
}
