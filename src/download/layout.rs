//! Where the files of a package may go: names that stay below the destination on every disk. Pure.
//!
//! A package's names come from someone else's machine. What is not a plain name is dropped or replaced here, always in
//! the same way: `..`, `.` and leading slashes are removed; control characters, backslashes and bytes that are not text become
//! `%` and hexadecimal digits ([`PackagePath`]); a drive letter's colon becomes `%3A`, names that Windows treats as
//! devices get a `_`, dots and spaces at the end of a name become `%2E` and `%20` — the destination is often a share
//! that other systems open, too. Two files that would arrive under one name are numbered.

use std::collections::HashSet;
use std::path::Path;

use crate::model::DownloadId;
use masv_protocol::{File, PackagePath};

/// Longest name of one file or folder, in bytes.
const LONGEST_NAME: usize = 255;
/// Longest path below the destination, in bytes; longer ones can hardly be opened.
const LONGEST_PATH: usize = 2048;
/// Names that Windows treats as devices, whatever their extension.
const DEVICES: &[&str] = &["CON", "PRN", "AUX", "NUL", "COM", "LPT", "CONIN$", "CONOUT$"];

/// The paths of these files below the destination, in their order.
/// `around` are the folders that contain all of them.
#[must_use]
pub fn assign(files: &[File], around: &[String]) -> Vec<String> {
    let wanted: Vec<Vec<String>> = files.iter().map(|file| safe(file, around)).collect();
    // A file may not have the name of a folder that another file needs.
    let folders: HashSet<String> = wanted.iter().flat_map(|names| folders_of(&names.join("/"))).collect();
    let mut taken = HashSet::new();
    let mut place = |mut names: Vec<String>| {
        let name = names.pop().unwrap_or_default();
        let mut number = 1;
        loop {
            let path = names.iter().cloned().chain([numbered(&name, number)]).collect::<Vec<_>>().join("/");
            let folded = fold(&path);
            if !folders.contains(&folded) && taken.insert(folded) {
                return path;
            }
            number += 1;
        }
    };
    wanted.into_iter().map(&mut place).collect()
}

/// Names that differ only in case are the same on many disks.
fn fold(path: &str) -> String {
    path.to_lowercase()
}

fn folders_of(path: &str) -> Vec<String> {
    path.match_indices('/').map(|(end, _)| fold(&path[..end])).collect()
}

fn safe(file: &File, around: &[String]) -> Vec<String> {
    let mut names = names(&format!("{}/{}", file.path, file.name));
    if names.is_empty() {
        names.push("file".to_owned());
    }
    // A path too long for any disk keeps its end: that is where the name is.
    while names.len() > 1 && names.iter().map(|name| name.len() + 1).sum::<usize>() > LONGEST_PATH {
        names.remove(0);
    }
    names.splice(0..0, around.iter().cloned());
    names
}

/// The folder that a package or a portal gets for itself.
pub(super) fn folder_name(name: &str) -> String {
    // A slash in such a name is part of the name, not of a path.
    let name = name.replace('/', "-");
    names(&name).pop().unwrap_or_else(|| "package".to_owned())
}

fn names(path: &str) -> Vec<String> {
    let carried = PackagePath::from_relative(Path::new(path));
    let text = carried.as_ref().map(PackagePath::as_str).unwrap_or_default();
    text.split('/').filter(|name| !name.is_empty()).map(portable).collect()
}

/// A name without special meaning on any system.
fn portable(name: &str) -> String {
    let mut name = name.to_owned();
    let bytes = name.as_bytes();
    if bytes.len() >= 2 && bytes[0].is_ascii_alphabetic() && bytes[1] == b':' {
        name.replace_range(1..2, "%3A");
    }
    // The prefix of our own unfinished files.
    if name.starts_with(".masv-") {
        name.replace_range(0..1, "%2E");
    }
    if let Some(end) = name.chars().next_back().filter(|end| matches!(end, '.' | ' ')) {
        name.pop();
        name.push_str(if end == '.' { "%2E" } else { "%20" });
    }
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_ascii_uppercase();
    let without_digit = stem.strip_suffix(|c: char| c.is_ascii_digit() || "¹²³".contains(c));
    let is_device = match without_digit {
        Some(port) => matches!(port, "COM" | "LPT"),
        None => DEVICES.contains(&stem.as_str()) && !matches!(stem.as_str(), "COM" | "LPT"),
    };
    if is_device {
        let stem = name.find('.').unwrap_or(name.len());
        name.insert(stem, '_');
    }
    cut(&name, LONGEST_NAME, extension(&name))
}

fn extension(name: &str) -> &str {
    name.rfind('.').filter(|dot| *dot > 0 && name.len() - dot <= 16).map_or("", |dot| &name[dot..])
}

/// The name in at most `longest` bytes: a shortened one ends in `~`, eight digits of a hash, and `ending`.
fn cut(name: &str, longest: usize, ending: &str) -> String {
    if name.len() <= longest {
        return name.to_owned();
    }
    let hash = blake3::hash(name.as_bytes()).to_hex();
    let mut keep = longest.saturating_sub(9 + ending.len());
    while !name.is_char_boundary(keep) {
        keep -= 1;
    }
    format!("{}~{}{ending}", &name[..keep], &hash.as_str()[..8])
}

/// The hidden name of a file that is not complete yet, beside its place.
pub(super) fn temporary(id: DownloadId, name: &str) -> String {
    let (before, after) = (format!(".masv-{id}-"), ".part");
    let room = LONGEST_NAME - before.len() - after.len();
    format!("{before}{}{after}", cut(name, room, ""))
}

/// The name with ` (n)` before its extension, for a name that is taken; 1 is the name itself.
pub(super) fn numbered(name: &str, number: u32) -> String {
    if number < 2 {
        return name.to_owned();
    }
    let ending = extension(name);
    let stem = &name[..name.len() - ending.len()];
    let number = format!(" ({number})");
    let stem = cut(stem, LONGEST_NAME - ending.len() - number.len(), "");
    format!("{stem}{number}{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn listed(folder: &str, name: &str) -> File {
        let wire = serde_json::json!({ "id": "1", "path": folder, "name": name, "size": 1 });
        serde_json::from_value(wire).unwrap()
    }

    fn placed(folder: &str, name: &str) -> String {
        assign(&[listed(folder, name)], &[]).remove(0)
    }

    /// Case: hostile names of a cloud lead nowhere outside the destination.
    #[test]
    fn hostile_paths_stay_inside() {
        let cases = [
            ("", "../../etc/passwd", "etc/passwd"),
            ("/etc", "passwd", "etc/passwd"),
            ("a/../../b", "c", "a/b/c"),
            ("..", "..", "file"),
            ("", "", "file"),
            ("", "..\\..\\evil.exe", "..%5C..%5Cevil.exe"),
            ("C:", "boot.ini", "C%3A/boot.ini"),
            ("", "c:evil", "c%3Aevil"),
            ("", "nul", "nul_"),
            ("AUX", "com1.txt", "AUX_/com1_.txt"),
            ("", "com10.txt", "com10.txt"),
            ("", "a\0b", "a%00b"),
            ("x\n", "y", "x%0A/y"),
            ("end. ", "dot.", "end.%20/dot%2E"),
            ("", ".masv-x-a.part", "%2Emasv-x-a.part"),
            ("A001/🎬", "naïve \"x\".mov", "A001/🎬/naïve \"x\".mov"),
        ];
        for (folder, name, expected) in cases {
            assert_eq!(placed(folder, name), expected, "{folder:?} {name:?}");
        }
    }

    #[test]
    fn equal_names_and_names_of_folders_are_numbered() {
        let files =
            [listed("", "a.mov"), listed("", "A.MOV"), listed("", "b"), listed("b", "c"), listed("x/..", "a.mov")];
        assert_eq!(assign(&files, &[]), ["a.mov", "A (2).MOV", "b (2)", "b/c", "x/a.mov"]);
        assert_eq!(assign(&[listed("p", "q")], &["Rough cut".into()]), ["Rough cut/p/q"]);
    }

    #[test]
    fn a_package_folder_is_one_name() {
        assert_eq!(folder_name("Rough cut 1/2"), "Rough cut 1-2");
        assert_eq!(folder_name("../.."), "..-.%2E");
        assert_eq!(folder_name(".."), "package");
        assert_eq!(folder_name(""), "package");
    }

    #[test]
    fn names_are_cut_to_what_disks_hold() {
        let long = format!("{}.mov", "ä".repeat(300));
        assert!(temporary(DownloadId::new(), &long).len() <= LONGEST_NAME);
        assert!(numbered(&"x".repeat(255), 12).len() <= LONGEST_NAME);
        assert_eq!(numbered("a.tar.gz", 2), "a.tar (2).gz");
        assert_eq!(numbered(".hidden", 3), ".hidden (3)");
        assert_eq!(numbered("a", 1), "a");
    }

    proptest! {
        #[test]
        fn no_name_whatever_leaves_the_destination(folder in "(\\PC|[/\\\\.:\\x00-\\x1f]){0,40}", name in "(\\PC|[/\\\\.:\\x00-\\x1f]){0,40}") {
            let path = placed(&folder, &name);
            prop_assert!(!path.is_empty() && !path.starts_with('/'));
            for part in path.split('/') {
                prop_assert!(!part.is_empty() && part != "." && part != ".." && part.len() <= LONGEST_NAME);
                prop_assert!(!part.contains(['\\', '\0', '\n']));
            }
        }
    }
}
