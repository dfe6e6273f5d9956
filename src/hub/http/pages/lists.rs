//! Which files of a package are checksum lists of whoever sent it: the page offers them beside its own.

use crate::records::files::FileRow;

/// The folder of ASC MHL histories.
const ASC_FOLDER: &str = "ascmhl";
/// What the names of lists end with.
const ENDS: [&str; 6] = ["mhl", "md5", "sha1", "sha256", "sha512", "xxh"];

/// Whether a file is such a list: at the top of the package, or in the folder of a history there.
pub(super) fn is_one(row: &FileRow) -> bool {
    is_named(&row.path, &row.name)
}

fn is_named(path: &str, name: &str) -> bool {
    let end = name.rsplit_once('.').map(|(_, end)| end.to_ascii_lowercase()).unwrap_or_default();
    match path {
        "" => ENDS.contains(&end.as_str()),
        ASC_FOLDER => end == "mhl",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_known_by_name_and_place() {
        for (path, name) in [("", "Dailies.md5"), ("", "card.MHL"), ("ascmhl", "0001_Dailies_2026-11-24_101500Z.mhl")] {
            assert!(is_named(path, name), "{path}/{name}");
        }
        for (path, name) in [("", "clip.mov"), ("ascmhl", "ascmhl_chain.xml"), ("A001", "card.md5"), ("", "md5")] {
            assert!(!is_named(path, name), "{path}/{name}");
        }
    }
}
