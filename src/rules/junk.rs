//! Names that are not meant to be sent: what systems, servers and desktops leave in folders, and what programs call a file
//! that they have not finished.
//!
//! **In**: single names of a path. **Out**: the pattern of the list that takes them. Pure.
//!
//! docs/rules.md shows both lists whole; a test compares them.

use std::ffi::OsStr;
use std::path::Path;

use super::pattern::Patterns;

/// Files and folders that systems, servers and desktops create: trash, snapshots, thumbnails, folder settings. `*` is any
/// text, `?` one character; case does not matter.
pub(super) const SYSTEM: [&str; 36] = [
    // macOS
    ".DS_Store",
    ".Trashes",
    ".Trash-*",
    ".Spotlight-V100",
    ".fseventsd",
    ".TemporaryItems",
    ".DocumentRevisions-V100",
    ".fcpcache",
    "__MACOSX",
    "Icon\r",
    "Icon\u{f00d}",
    "Temporary Items",
    "Network Trash Folder",
    "TheVolumeSettingsFolder",
    // Windows
    "desktop.ini",
    "Thumbs.db",
    "ehthumbs.db",
    "ehthumbs_vista.db",
    "$RECYCLE.BIN",
    "RECYCLER",
    "RECYCLED",
    "System Volume Information",
    "~$*",
    // Linux
    "lost+found",
    ".nfs????????????????*",
    ".fuse_hidden*",
    // Servers
    "#recycle",
    "@Recycle",
    "@Recently-Snapshot",
    "@eaDir",
    "@tmp",
    "#snapshot",
    "~snapshot",
    ".snapshot",
    ".snapshots",
    ".zfs",
];

/// Names of files, and of folders around files, that a program has not finished.
pub(super) const UNFINISHED: [&str; 21] = [
    "*.tmp",
    "*.part",
    "*.partial",
    "*.crdownload",
    "*.download",
    "*.filepart",
    "*.opdownload",
    "*.aria2",
    "*.aspera-ckpt",
    "*.ytdl",
    "*.!qB",
    "*.!ut",
    "*.!bt",
    "*.bc!",
    "*.!sync",
    "*.crswap",
    "*.inprogress",
    "*.lftp-pget-status",
    "*.sb-????????-??????",
    "*~",
    // What vim writes to see whether it may; only as the name of a file, for a folder may be a number.
    "4913",
];

/// Whether the name is one that systems, servers and desktops leave in folders.
#[must_use]
pub fn is_junk(name: &OsStr) -> bool {
    SYSTEM.iter().any(|pattern| is_like(pattern.as_bytes(), name.as_encoded_bytes()))
}

/// What a rule does with the names in [`SYSTEM`].
#[derive(Debug, Clone)]
pub(super) struct Junk {
    /// Whether the list is used.
    pub on: bool,
    /// Further names.
    pub add: Patterns,
    /// Names that are sent although they are in the list.
    pub keep: Patterns,
}

impl Junk {
    /// The pattern that matches the name.
    pub(super) fn first_match(&self, name: &OsStr) -> Option<&str> {
        let path = Path::new(name);
        if self.keep.matches(path) {
            return None;
        }
        let listed =
            SYSTEM.into_iter().filter(|_| self.on).find(|pattern| is_like(pattern.as_bytes(), name.as_encoded_bytes()));
        listed.or_else(|| self.add.first_match(path))
    }
}

/// The pattern of unfinished files that the name of a file, or of a folder, matches.
pub(super) fn unfinished(name: &OsStr, is_folder: bool) -> Option<&'static str> {
    let name = name.as_encoded_bytes();
    let mut patterns = UNFINISHED.into_iter().filter(|pattern| !is_folder || pattern.starts_with('*'));
    patterns.find(|pattern| name.len() >= pattern.len() && is_unfinished_like(pattern, name))
}

/// The name of the file that the name says is not finished: a program appends a suffix to it and keeps what it knows about the file under
/// that, so that beside `film.mov` the name `film.mov.aria2` says so.
#[must_use]
pub fn unfinished_beside(name: &[u8]) -> Option<&[u8]> {
    let suffixes = UNFINISHED.iter().filter_map(|pattern| pattern.strip_prefix('*')).filter(|one| one.starts_with('.'));
    suffixes.into_iter().find_map(|suffix| {
        // Each is as long as what it matches.
        let (begin, end) = name.split_at_checked(name.len().checked_sub(suffix.len())?)?;
        (!begin.is_empty() && is_unfinished_like(suffix, end)).then_some(begin)
    })
}

/// Whether the name matches one of [`UNFINISHED`]. What a Mac saves in place of another file ends in eight hexadecimal digits
/// and six letters; others may be names given by people.
fn is_unfinished_like(pattern: &str, name: &[u8]) -> bool {
    let saved = || {
        let end = name.len().checked_sub("1a2b3c4d-AbCdEf".len()).and_then(|begin| name.get(begin..));
        end.is_some_and(|end| {
            end[..8].iter().all(u8::is_ascii_hexdigit) && end[9..].iter().all(u8::is_ascii_alphanumeric)
        })
    };
    is_like(pattern.as_bytes(), name) && (!pattern.contains(".sb-") || saved())
}

/// Whether the name matches the pattern, ignoring ASCII case.
fn is_like(pattern: &[u8], name: &[u8]) -> bool {
    match pattern {
        [] => name.is_empty(),
        [b'*', rest @ ..] => (0..=name.len()).any(|begin| is_like(rest, &name[begin..])),
        [b'?', rest @ ..] => name.split_first().is_some_and(|(_, name)| is_like(rest, name)),
        [first, rest @ ..] => {
            name.split_first().is_some_and(|(byte, name)| byte.eq_ignore_ascii_case(first) && is_like(rest, name))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_compared_whatever_the_case() {
        assert!(is_like(b"*.!qB", b"A.MOV.!QB") && !is_like(b"*.!qB", b"a.mov"));
        assert!(
            is_like(b"*.sb-????????-??????", b"m.mov.sb-1a2b3c4d-AbCdEf")
                && !is_like(b"*.sb-????????-??????", b"m.sb-1a-b")
        );
        assert!(is_like(b"~$*", b"~$letter.docx") && is_like(b"lost+found", b"Lost+Found"));
    }

    /// Case: `film.mov.aria2` and its like tell that `film.mov` is not finished.
    #[test]
    fn a_name_tells_of_the_unfinished_file_beside_it() {
        assert_eq!(unfinished_beside(b"film.mov.aria2"), Some(&b"film.mov"[..]));
        assert_eq!(unfinished_beside(b"Film.MOV.PART"), Some(&b"Film.MOV"[..]));
        assert_eq!(unfinished_beside(b"m.mov.sb-1a2b3c4d-AbCdEf"), Some(&b"m.mov"[..]));
        for other in ["film.mov", ".aria2", "m.mov.sb-not-a-save-of", "a~", "4913", ""] {
            assert_eq!(unfinished_beside(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn an_ending_alone_is_no_unfinished_name() {
        assert_eq!(
            (unfinished(OsStr::new("a.tmp"), false), unfinished(OsStr::new(".tmp"), false)),
            (Some("*.tmp"), None)
        );
        assert_eq!((unfinished(OsStr::new("4913"), false), unfinished(OsStr::new("4913"), true)), (Some("4913"), None));
    }
}
