//! What both generations of MHL have in common: a root `<hashlist>` with a version, and one `<hash>` for each file.
//!
//! **In**: text, and what is peculiar to a generation. **Out**: the files it lists. Pure.

use std::cell::Cell;

use super::Listed;
use super::checksum::{Algorithm, Checksum};
use super::xml::{self, Element};

/// What is peculiar to a generation.
pub struct Generation {
    /// Its name, for a person.
    pub name: &'static str,
    /// Its number: the start of its version.
    pub number: &'static str,
    /// Whether a `<hash>` inside these elements is one of a file.
    pub is_entry: fn(around: &[String]) -> bool,
}

/// What a list says.
pub struct Content {
    /// The files that it lists.
    pub files: Vec<Listed>,
    /// Whether it refers to lists in folders below, which list what is there.
    pub refers: bool,
}

/// Reads the list; `entry` makes a file of each of its entries.
///
/// # Errors
/// Why it is not understood, for a person.
pub fn parse(
    generation: &Generation,
    text: &str,
    entry: &dyn Fn(&Element) -> Result<Listed, String>,
) -> Result<Content, String> {
    let (mut files, refers) = (Vec::new(), Cell::new(false));
    let understood = |version: &str| {
        version.strip_prefix(generation.number).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    xml::walk(
        text,
        &mut |root| match (root.name.as_str(), root.attributes.get("version").map(String::as_str)) {
            ("hashlist", Some(version)) if !understood(version) => {
                Err(format!("is of version `{version}` of {}, which is not understood", generation.name))
            }
            ("hashlist", _) => Ok(()),
            (name, _) => Err(format!("is not a list of checksums: it begins with `<{name}>`")),
        },
        &|around, name| name == "hash" && (generation.is_entry)(around),
        &|around, element| {
            refers.set(refers.get() || element.name == "hashlistreference");
            outside(around, element)
        },
        &mut |element| {
            files.push(entry(&element)?);
            Ok(())
        },
    )?;
    Ok(Content { files, refers: refers.get() })
}

/// Stops at what would be passed over: a checksum of a file where none belongs, and a verification that failed.
fn outside(around: &[String], element: &Element) -> Result<(), String> {
    let parent = around.last().map_or("", String::as_str);
    if element.name.eq_ignore_ascii_case("hash") {
        return Err(format!("has `<{}>` inside `<{parent}>`, which is not understood", element.name));
    }
    match element.attributes.get("action") {
        Some(action) if action.eq_ignore_ascii_case("failed") => {
            Err("records that verifying a folder failed".to_owned())
        }
        _ => Ok(()),
    }
}

/// The size of the file `name` as it is written.
///
/// # Errors
/// That it is not a number, for a person.
pub fn size(name: &str, text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("gives `{name}` the size `{text}`, which is not a number"))
}

/// Takes in the checksum of this kind: as one to be compared if both generations know the kind or `further` does, else as one that
/// is not understood.
pub fn add_checksum(listed: &mut Listed, kind: &str, text: &str, further: fn(&str, &str) -> Option<Option<Checksum>>) {
    let common = match kind {
        "md5" => Some(Checksum::of(Algorithm::Md5, text)),
        "sha1" => Some(Checksum::of(Algorithm::Sha1, text)),
        "xxh64" => Some(Checksum::of(Algorithm::Xxh64, text)),
        "xxh3" => Some(Checksum::of(Algorithm::Xxh3, text)),
        "xxh128" => Some(Checksum::of(Algorithm::Xxh128, text)),
        "c4" => Some(Checksum::c4(text)),
        _ => further(kind, text),
    };
    match common {
        Some(Some(checksum)) => listed.checksums.push(checksum),
        Some(None) => listed.unknown.push(format!("{kind} `{text}`")),
        None => listed.unknown.push(kind.to_owned()),
    }
}
