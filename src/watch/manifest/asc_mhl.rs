//! ASC MHL 2.0: a generation of the history that lies in the folder `ascmhl` of a card
//! (<https://github.com/ascmitc/mhl-specification>).
//!
//! **In**: text. **Out**: the files it lists. Pure; how the generations go together is for [`History`](super::History).
//!
//! A file's checksum whose `action` is `failed` is the one of the damaged file: it is told, never compared.

use std::path::Path;

use super::checksum::{Algorithm, Checksum};
use super::xml::{self, Element};
use super::{Listed, below};

/// Children of `<hash>` that are no checksums.
const FACTS: [&str; 2] = ["path", "metadata"];

/// What the generation of the history of `folder` lists.
///
/// # Errors
/// Why it is not understood, for a person.
pub fn parse(folder: &Path, text: &str) -> Result<Vec<Listed>, String> {
    let mut listed = Vec::new();
    xml::walk(
        text,
        &mut |root| match (root.name.as_str(), root.attributes.get("version").map(String::as_str)) {
            ("hashlist", Some(version)) if version != "2" && !version.starts_with("2.") => {
                Err(format!("is of version `{version}` of ASC MHL, which is not understood"))
            }
            ("hashlist", _) => Ok(()),
            (name, _) => Err(format!("is not a list of checksums: it begins with `<{name}>`")),
        },
        &|around, name| name == "hash" && around.last().is_some_and(|parent| parent == "hashes"),
        &mut |element| {
            listed.push(entry(folder, &element)?);
            Ok(())
        },
    )?;
    Ok(listed)
}

fn entry(folder: &Path, element: &Element) -> Result<Listed, String> {
    let path = element.child("path").filter(|path| !path.text.is_empty()).ok_or("has a hash without a file")?;
    let mut listed = Listed::new(below(folder, Path::new(&path.text))?);
    if let Some(size) = path.attributes.get("size") {
        let refuse = |_| format!("gives `{}` the size `{size}`, which is not a number", path.text);
        listed.size = Some(size.parse().map_err(refuse)?);
    }
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
                listed.failed = Some(when.unwrap_or_else(|| "an unknown day".to_owned()));
                continue;
            }
            Some(action) => {
                listed.unknown.push(format!("{kind} with the action `{action}`"));
                continue;
            }
        }
        let checksum = match kind {
            "md5" => Checksum::of(Algorithm::Md5, text),
            "sha1" => Checksum::of(Algorithm::Sha1, text),
            "xxh64" => Checksum::of(Algorithm::Xxh64, text),
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
