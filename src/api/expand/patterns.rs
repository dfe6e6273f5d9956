//! Paths that are patterns, such as `shots/*.mov`, and what they match.
//!
//! **In**: an absolute path containing `*`, `?` or `[` that does not exist literally. **Out**: the files and folders
//! that match, sorted.
//!
//! `*` is any text within a name, `?` one character, `[ab]` and `[a-z]` one of a set, `[!ab]` any other; `**` as a name is any
//! number of folders. A hidden name is matched only by a pattern that begins with a dot itself. Case counts.
//!
//! **Guarantees.** A part of the path that exists as it is written is not read as a pattern: a folder `a[1]` is that folder. From the
//! first part that is one, the folders are held open and no link is followed, as beneath every folder that is sent.
//!
//! Must never know: uploads.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern};
use masv_platform::{Entry, EntryKind, Folder};

use super::DEEPEST;

/// Matching as in a shell.
const AS_A_SHELL: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// A path that is a pattern.
#[derive(Debug)]
pub(super) struct PathPattern {
    /// The part that exists literally, or would have to.
    pub folder: PathBuf,
    parts: Vec<Part>,
    /// It ends in a slash.
    folders_only: bool,
}

#[derive(Debug)]
enum Part {
    /// A name as it is written.
    Name(OsString),
    /// Names that match.
    Like(Pattern),
    /// Any number of folders.
    AnyDepth,
}

/// Something that matches: where it is beneath [`PathPattern::folder`].
#[derive(Debug)]
pub(super) struct Found {
    pub below: PathBuf,
    pub entry: Entry,
}

impl PathPattern {
    /// The path as a pattern; `None` if it is not one, or exists literally. Blocks.
    ///
    /// # Errors
    /// What is wrong with the pattern.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, String> {
        if !is_pattern(path.as_os_str()) || path.symlink_metadata().is_ok() {
            return Ok(None);
        }
        let mut folder = PathBuf::new();
        let mut names = path.components().map(|part| part.as_os_str()).peekable();
        while let Some(name) = names.next_if(|name| !is_pattern(name) || folder.join(name).symlink_metadata().is_ok()) {
            folder.push(name);
        }
        let mut parts = names.map(part).collect::<Result<Vec<_>, _>>()?;
        if parts.is_empty() {
            return Ok(None);
        }
        // At the end any number of folders is what they hold: folders are taken with all that is in them.
        if let Some(Part::AnyDepth) = parts.last() {
            parts.push(Part::Like(Pattern::new("*").map_err(|error| error.to_string())?));
        }
        let folders_only = path.as_os_str().as_encoded_bytes().ends_with(b"/");
        Ok(Some(Self { folder, parts, folders_only }))
    }

    /// What matches in the folder, which is [`PathPattern::folder`], sorted. `pass_over` says what is not even looked at, by its
    /// path beneath. What lies in a folder that matches is not named again. Blocks.
    ///
    /// # Errors
    /// In words: a folder on the way cannot be read.
    pub(super) fn find(&self, folder: &Folder, pass_over: &dyn Fn(&Path) -> bool) -> Result<Vec<Found>, String> {
        let mut search = Search { folders_only: self.folders_only, pass_over, found: Vec::new(), seen: HashSet::new() };
        search.folder(folder, Path::new(""), &self.parts, 0)?;
        let mut found = search.found;
        found.sort_by(|one, other| one.below.cmp(&other.below));
        // Sorted, what is in a folder comes right behind it.
        let mut within: Option<PathBuf> = None;
        found.retain(|found| {
            if within.as_ref().is_some_and(|within| found.below.starts_with(within)) {
                return false;
            }
            within = Some(found.below.clone());
            true
        });
        Ok(found)
    }
}

fn is_pattern(text: &OsStr) -> bool {
    text.as_encoded_bytes().iter().any(|byte| b"*?[".contains(byte))
}

fn part(name: &OsStr) -> Result<Part, String> {
    if name == "**" {
        return Ok(Part::AnyDepth);
    }
    if !is_pattern(name) {
        return Ok(Part::Name(name.to_owned()));
    }
    let text = name.to_string_lossy();
    let pattern = Pattern::new(&text).map_err(|error| {
        format!("no such path exists, and `{text}` is not a valid pattern: {} (a bracket is `[[]`)", error.msg)
    })?;
    Ok(Part::Like(pattern))
}

struct Search<'a> {
    folders_only: bool,
    pass_over: &'a dyn Fn(&Path) -> bool,
    found: Vec<Found>,
    /// The folders that were searched, and for how many of the last parts: with several `**` many ways lead to each.
    seen: HashSet<(PathBuf, usize)>,
}

impl Search<'_> {
    /// Looks for `parts` in a folder, which is open, at `below`.
    fn folder(&mut self, folder: &Folder, below: &Path, parts: &[Part], depth: usize) -> Result<(), String> {
        if depth > DEEPEST {
            return Err(format!("{} is nested more than {DEEPEST} folders deep", folder.path().display()));
        }
        let Some((part, rest)) = parts.split_first() else { return Ok(()) };
        if !self.seen.insert((below.to_owned(), parts.len())) {
            return Ok(());
        }
        match part {
            Part::Name(name) => self.name(folder, below, name, rest, depth),
            Part::Like(pattern) => {
                for name in names(folder)? {
                    if pattern.matches_with(&name.to_string_lossy(), AS_A_SHELL) {
                        self.name(folder, below, &name, rest, depth)?;
                    }
                }
                Ok(())
            }
            Part::AnyDepth => {
                self.folder(folder, below, rest, depth)?;
                for name in names(folder)? {
                    if !name.as_encoded_bytes().starts_with(b".") {
                        self.name(folder, below, &name, parts, depth)?;
                    }
                }
                Ok(())
            }
        }
    }

    /// Goes on with what has this name: into it if it is a folder and more is to match, else it is one that is found.
    fn name(&mut self, folder: &Folder, below: &Path, name: &OsStr, rest: &[Part], depth: usize) -> Result<(), String> {
        let below = below.join(name);
        if (self.pass_over)(&below) {
            return Ok(());
        }
        let entry = match folder.look(Path::new(name)) {
            Ok(entry) => entry,
            Err(error) if error.is_gone() => return Ok(()),
            Err(error) => return Err(error.to_string()),
        };
        match (entry.kind, rest.is_empty()) {
            (EntryKind::Folder, false) => match folder.below(Path::new(name)) {
                Ok(inner) => self.folder(&inner, &below, rest, depth + 1),
                Err(error) if error.is_gone() => Ok(()),
                Err(error) => Err(error.to_string()),
            },
            (EntryKind::Folder, true) => {
                self.found.push(Found { below, entry });
                Ok(())
            }
            (EntryKind::File, true) if !self.folders_only => {
                self.found.push(Found { below, entry });
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

fn names(folder: &Folder) -> Result<Vec<OsString>, String> {
    let listed = folder.list().and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(|error| error.to_string())?;
    Ok(listed.into_iter().map(|(name, _)| name).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, name).unwrap();
        }
        folder
    }

    fn find(root: &Path, pattern: &str) -> Vec<String> {
        let pattern = PathPattern::read(&root.join(pattern)).unwrap().expect("a pattern");
        let folder = Folder::open(&pattern.folder).unwrap();
        let found = pattern.find(&folder, &|_| false).unwrap();
        let shown = |found: Found| pattern.folder.join(found.below).strip_prefix(root).unwrap().display().to_string();
        found.into_iter().map(shown).collect()
    }

    #[test]
    fn names_match_as_in_a_shell_and_come_sorted() {
        let folder =
            tree(&["b.mov", "a.mov", "A.MOV", ".c.mov", "d.wav", "deep/e.mov", "deep/.git/f.mov", "x1y/g", "x22y/h"]);
        for (pattern, expected) in [
            ("*.mov", &["a.mov", "b.mov"][..]),
            (".*.mov", &[".c.mov"]),
            ("?.mov", &["a.mov", "b.mov"]),
            ("[!a].mov", &["b.mov"]),
            ("[a-c].[mw]*", &["a.mov", "b.mov"]),
            ("*/*.mov", &["deep/e.mov"]),
            ("**/*.mov", &["a.mov", "b.mov", "deep/e.mov"]),
            ("deep/**", &["deep/e.mov"]),
            ("x*y", &["x1y", "x22y"]),
            ("x?y/g", &["x1y/g"]),
            ("d*/", &["deep"]),
            ("*.mp4", &[]),
            ("*/none", &[]),
        ] {
            assert_eq!(find(folder.path(), pattern), expected, "{pattern}");
        }
    }

    #[test]
    fn what_lies_in_a_folder_that_matches_is_not_named_again() {
        let folder = tree(&["card/a.mov", "card/deep/b.mov", "card-2.mov"]);
        assert_eq!(find(folder.path(), "**/*"), ["card", "card-2.mov"]);
        assert_eq!(find(folder.path(), "**"), ["card", "card-2.mov"]);
    }

    #[test]
    fn what_exists_as_it_is_written_is_no_pattern() {
        let folder = tree(&["a[1]/x.mov", "a1/y.mov", "what?.mov"]);
        let read = |path: &str| PathPattern::read(&folder.path().join(path)).unwrap();
        for literal in ["a[1]", "what?.mov", "a[1]/x.mov", "plain.mov"] {
            assert!(read(literal).is_none(), "{literal}");
        }
        assert_eq!(find(folder.path(), "a[1]/*.mov"), ["a[1]/x.mov"], "although `a1` matches, too");
        assert_eq!(find(folder.path(), "a[12]/*.mov"), ["a1/y.mov"]);
        assert_eq!(find(folder.path(), "a[[]1[]]/*"), ["a[1]/x.mov"]);
    }

    /// Each further `**` multiplied the ways to a folder: a short pattern occupied a thread for hours.
    #[test]
    fn a_folder_is_searched_once_however_many_ways_lead_there() {
        let folder = tree(&[&format!("{}x.mov", "a/".repeat(60))]);
        assert!(find(folder.path(), &format!("{}none", "**/*/".repeat(8))).is_empty());
        assert_eq!(find(folder.path(), &format!("{}x.mov", "**/a/".repeat(8))).len(), 1);
    }

    #[test]
    fn no_link_is_followed_from_the_first_pattern_on() {
        let folder = tree(&["card/a.mov", "else/b.mov"]);
        std::os::unix::fs::symlink("../else", folder.path().join("card/link")).unwrap();
        std::os::unix::fs::symlink("../else/b.mov", folder.path().join("card/b.mov")).unwrap();
        assert_eq!(find(folder.path(), "card/*"), ["card/a.mov"]);
        assert!(find(folder.path(), "card/l*/b.mov").is_empty() && find(folder.path(), "c*/link/*").is_empty());
    }

    #[test]
    fn a_pattern_that_is_none_is_told() {
        for wrong in ["/gone/a[", "/gone/a**b"] {
            let problem = PathPattern::read(Path::new(wrong)).unwrap_err();
            assert!(problem.contains("no such path") && problem.contains("not a valid pattern"), "{problem}");
        }
    }
}
