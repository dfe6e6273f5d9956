//! The path of a file inside a package: what the cloud is told, and what a recipient sees.

use std::fmt;
use std::path::{Component, Path};

use serde::{Deserialize, Serialize};

/// Longest name of one file or folder in a package, in bytes; the limit of common file systems.
const LONGEST_NAME: usize = 255;

/// A file's place in its package: one or more names joined by `/`, UTF-8, none of them empty, `.` or `..`.
///
/// Whatever a cloud or a recipient's disk cannot store in a local name is replaced, always in the same way:
/// each byte that is not part of valid UTF-8 becomes `%` and its two upper-case hexadecimal digits, as does each
/// control character (including line breaks and tabs) and each backslash, which Windows treats as a separator.
/// Names longer than 255 bytes after that keep their extension and end in `~` and eight digits of a hash before it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PackagePath(String);

impl PackagePath {
    /// The package path for a relative local path. Components that are not names (`.`, `..`, `/`) are dropped,
    /// so the result never leaves the package; `None` if no name remains.
    #[must_use]
    pub fn from_relative(path: &Path) -> Option<Self> {
        let names: Vec<String> = path
            .components()
            .filter_map(|component| match component {
                Component::Normal(name) => Some(carried_name(name.as_encoded_bytes())),
                _ => None,
            })
            .collect();
        (!names.is_empty()).then(|| Self(names.join("/")))
    }

    /// The whole path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.rsplit_once('/').map_or(self.0.as_str(), |(_, name)| name)
    }

    /// The folder in the package, without a slash at either end; empty for the root.
    #[must_use]
    pub fn folder(&self) -> &str {
        self.0.rsplit_once('/').map_or("", |(folder, _)| folder)
    }

    /// The same file one folder further down, as when a whole folder is packaged under its own name.
    #[must_use]
    pub fn below(&self, folder: &Self) -> Self {
        Self(format!("{}/{}", folder.0, self.0))
    }

    /// The path with ` (n)` before its extension, for a second file that would arrive under the same name.
    #[must_use]
    pub fn numbered(&self, number: u32) -> Self {
        let name = self.name();
        let (stem, extension) = match name.rfind('.') {
            Some(dot) if dot > 0 => name.split_at(dot),
            _ => (name, ""),
        };
        let renamed = format!("{stem} ({number}){extension}");
        let folder = self.folder();
        Self(if folder.is_empty() { renamed } else { format!("{folder}/{renamed}") })
    }
}

impl fmt::Display for PackagePath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Why Windows cannot save a file or folder of this name, to follow the name; `None` if it can.
///
/// The rules are those of "Naming Files, Paths, and Namespaces" of Microsoft's documentation.
#[must_use]
pub fn trouble_on_windows(name: &str) -> Option<&'static str> {
    const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];
    let stem = name.split('.').next().unwrap_or(name).trim_end();
    let numbered = |device: &str| match stem.as_bytes() {
        [word @ .., b'1'..=b'9'] => word.eq_ignore_ascii_case(device.as_bytes()),
        _ => false,
    };
    if DEVICES.iter().any(|device| stem.eq_ignore_ascii_case(device)) || numbered("com") || numbered("lpt") {
        Some("has the name of a device")
    } else if name.contains(['<', '>', ':', '"', '|', '?', '*']) {
        Some("has one of the characters < > : \" | ? *")
    } else if name.ends_with(['.', ' ']) {
        Some("has a name that ends with a full stop or a space")
    } else {
        None
    }
}

fn carried_name(bytes: &[u8]) -> String {
    let mut name = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() || character == '\\' {
                let mut buffer = [0; 4];
                character.encode_utf8(&mut buffer).bytes().for_each(|byte| push_escaped(&mut name, byte));
            } else {
                name.push(character);
            }
        }
        chunk.invalid().iter().for_each(|byte| push_escaped(&mut name, *byte));
    }
    if name.len() <= LONGEST_NAME { name } else { shortened(&name) }
}

fn push_escaped(name: &mut String, byte: u8) {
    name.push('%');
    name.push_str(&hex::encode_upper([byte]));
}

fn shortened(name: &str) -> String {
    let extension = match name.rfind('.') {
        Some(dot) if dot > 0 && name.len() - dot <= 32 => &name[dot..],
        _ => "",
    };
    let digest = blake3::hash(name.as_bytes()).to_hex();
    let room = LONGEST_NAME - extension.len() - 9;
    let cut = name.floor_char_boundary(room);
    format!("{}~{}{extension}", &name[..cut], &digest[..8])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    fn carried(bytes: &[u8]) -> String {
        PackagePath::from_relative(Path::new(OsStr::from_bytes(bytes))).unwrap().to_string()
    }

    /// Case: `con`, `aux.mov`, `a:b.mov` and a name with a space at its end are known as names that Windows cannot save.
    #[test]
    fn names_that_windows_cannot_save_are_known() {
        for name in
            ["con", "AUX.mov", "nul.tar.gz", "com1", "LPT9.txt", "a:b.mov", "what?.mov", "trail. ", "dot.", "con .txt"]
        {
            assert!(trouble_on_windows(name).is_some(), "{name}");
        }
        for name in ["console.mov", "com", "com10", "com0", "aux-1.mov", "a.b", "caf\u{e9}.mov", "x.con"] {
            assert_eq!(trouble_on_windows(name), None, "{name}");
        }
    }

    #[test]
    fn ordinary_names_are_kept_as_they_are() {
        for name in ["clip.mov", "A001/C 01 'quoted' \"twice\".mov", "🎬/naïve – 東京.mxf", "50%.txt"] {
            assert_eq!(carried(name.as_bytes()), name);
        }
    }

    #[test]
    fn what_no_cloud_can_carry_is_replaced() {
        assert_eq!(carried(b"line\nbreak.mov"), "line%0Abreak.mov");
        assert_eq!(carried(b"not-\xff-utf8.mov"), "not-%FF-utf8.mov");
        assert_eq!(carried(br"a\b.mov"), "a%5Cb.mov");
    }

    #[test]
    fn a_path_never_leaves_its_package() {
        assert_eq!(carried(b"../../etc/passwd"), "etc/passwd");
        assert_eq!(carried(b"/etc/./passwd"), "etc/passwd");
        assert_eq!(PackagePath::from_relative(Path::new("..")), None);
    }

    #[test]
    fn a_long_name_is_cut_to_what_disks_hold_and_stays_distinct() {
        let long = |last: u8| carried(format!("{}{}.mov", "\u{7f}".repeat(250), char::from(last)).as_bytes());
        assert_eq!(long(b'a').len(), LONGEST_NAME);
        assert!(long(b'a').ends_with(".mov"));
        assert_ne!(long(b'a'), long(b'b'));
    }

    #[test]
    fn the_parts_of_a_path() {
        let path = PackagePath::from_relative(Path::new("A001/CLIP/one.tar.gz")).unwrap();
        assert_eq!((path.folder(), path.name()), ("A001/CLIP", "one.tar.gz"));
        assert_eq!(path.numbered(2).as_str(), "A001/CLIP/one.tar (2).gz");
    }
}
