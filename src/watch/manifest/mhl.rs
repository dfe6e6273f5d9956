//! MHL 1.x: `<hashlist version="1.1">` with one `<hash>` for each file.
//!
//! **In**: text. **Out**: the files it lists. Pure.

use std::path::Path;

use super::checksum::{Algorithm, Checksum};
use super::xml::{self, Element};
use super::{Listed, below};

/// Children of `<hash>` that are no checksums.
const FACTS: [&str; 7] =
    ["file", "size", "lastmodificationdate", "creationdate", "hashdate", "comment", "modificationdate"];

/// What the list at `folder` lists.
///
/// # Errors
/// Why it is not understood, for a person.
pub fn parse(folder: &Path, text: &str) -> Result<Vec<Listed>, String> {
    let mut listed = Vec::new();
    xml::walk(
        text,
        &mut |root| match (root.name.as_str(), root.attributes.get("version").map(String::as_str)) {
            ("hashlist", Some(version)) if !version.starts_with("1.") && version != "1" => {
                Err(format!("is of version `{version}` of MHL, which is not understood"))
            }
            ("hashlist", _) => Ok(()),
            (name, _) => Err(format!("is not a list of checksums: it begins with `<{name}>`")),
        },
        &|around, name| name == "hash" && around.len() == 1,
        &mut |element| {
            listed.push(entry(folder, &element)?);
            Ok(())
        },
    )?;
    Ok(listed)
}

fn entry(folder: &Path, element: &Element) -> Result<Listed, String> {
    let name = element.child("file").map(|file| file.text.as_str()).filter(|name| !name.is_empty());
    let name = name.ok_or("has a hash without a file")?;
    // Tools on Windows write their own separator.
    let path = below(folder, Path::new(&name.replace('\\', "/")))?;
    let mut listed = Listed::new(path);
    if let Some(size) = element.child("size") {
        let text = &size.text;
        listed.size =
            Some(text.parse().map_err(|_| format!("gives `{name}` the size `{text}`, which is not a number"))?);
    }
    for child in element.children.iter().filter(|child| !FACTS.contains(&child.name.as_str())) {
        let (kind, text) = (child.name.as_str(), child.text.as_str());
        let checksum = match kind {
            "md5" => Checksum::of(Algorithm::Md5, text),
            "sha1" => Checksum::of(Algorithm::Sha1, text),
            "sha256" => Checksum::of(Algorithm::Sha256, text),
            "sha512" => Checksum::of(Algorithm::Sha512, text),
            "xxhash64" => Checksum::little_endian(Algorithm::Xxh64, text),
            "xxhash64be" | "xxh64" => Checksum::of(Algorithm::Xxh64, text),
            "xxh3" => Checksum::of(Algorithm::Xxh3, text),
            "xxh128" => Checksum::of(Algorithm::Xxh128, text),
            "c4" => Checksum::c4(text),
            _ => {
                listed.unknown.push(kind.to_owned());
                continue;
            }
        };
        match checksum {
            Some(checksum) => listed.checksums.push(checksum),
            None => listed.unknown.push(format!("{kind} `{text}`")),
        }
    }
    Ok(listed)
}
