//! Glob patterns against paths relative to the watch folder.
//!
//! A pattern without a slash is matched against the file's own name, at any depth; one with a slash against the
//! whole relative path, where `*` and `?` stop at a slash and `**` does not. Paths are matched as bytes: a name
//! that is not UTF-8 matches like any other. Pattern and path are compared in Unicode's composed form, so that `é` is `é`
//! however a Mac has written it.

use std::path::Path;

use globset::{Candidate, GlobBuilder, GlobMatcher};

use crate::base::composed;

/// Names that are never sent: what desktops and programs leave behind.
const LITTER: [&str; 4] = ["desktop.ini", ".DS_Store", ".fcpcache", "Thumbs.db"];

/// Begin of the name that office programs give to a file while another one is open.
const OFFICE_LOCK: &[u8] = b"~$";

/// Ends of the names of files that a program has not finished.
const UNFINISHED: [&str; 6] = [".tmp", ".part", ".partial", ".crdownload", ".download", ".filepart"];

/// Whether a name is never sent, whatever its case.
pub(super) fn is_litter(name: &[u8]) -> bool {
    name.starts_with(OFFICE_LOCK) || LITTER.iter().any(|litter| name.eq_ignore_ascii_case(litter.as_bytes()))
}

/// The ending that marks a name as that of an unfinished file, whatever its case.
pub(super) fn unfinished_ending(name: &[u8]) -> Option<&'static str> {
    UNFINISHED.into_iter().find(|ending| {
        let begin = name.len().checked_sub(ending.len());
        begin.and_then(|begin| name.get(begin..)).is_some_and(|end| end.eq_ignore_ascii_case(ending.as_bytes()))
    })
}

/// A list of patterns; a path matches when one of them does.
#[derive(Debug, Clone)]
pub struct Patterns {
    patterns: Vec<Pattern>,
}

#[derive(Debug, Clone)]
struct Pattern {
    written: String,
    by_name: bool,
    matcher: GlobMatcher,
}

impl Pattern {
    fn new(written: &str, ignore_case: bool) -> Result<Self, globset::Error> {
        let text = written.strip_prefix("./").unwrap_or(written);
        let anchored = text.strip_prefix('/').unwrap_or(text);
        let composed = composed(Path::new(anchored)).to_string_lossy().into_owned();
        let glob = GlobBuilder::new(&composed).literal_separator(true).case_insensitive(ignore_case).build()?;
        Ok(Self { written: written.to_owned(), by_name: !text.contains('/'), matcher: glob.compile_matcher() })
    }
}

impl Patterns {
    /// Compiles one pattern to see whether it is one.
    pub(super) fn check(written: &str) -> Result<(), String> {
        Pattern::new(written, false).map(drop).map_err(|error| error.kind().to_string())
    }

    /// Compiles the patterns; those that [`Self::check`] refuses match nothing.
    pub(super) fn new<'a>(written: impl IntoIterator<Item = &'a str>, ignore_case: bool) -> Self {
        Self { patterns: written.into_iter().filter_map(|text| Pattern::new(text, ignore_case).ok()).collect() }
    }

    /// The first pattern that matches the path, as written.
    #[must_use]
    pub fn first_match(&self, relative: &Path) -> Option<&str> {
        let relative = composed(relative);
        let whole = Candidate::new(&*relative);
        let name = relative.file_name().map(Candidate::new);
        let found = self.patterns.iter().find(|pattern| {
            if pattern.by_name {
                name.as_ref().is_some_and(|name| pattern.matcher.is_match_candidate(name))
            } else {
                pattern.matcher.is_match_candidate(&whole)
            }
        });
        found.map(|pattern| pattern.written.as_str())
    }

    /// Whether one of the patterns matches the path.
    #[must_use]
    pub fn matches(&self, relative: &Path) -> bool {
        self.first_match(relative).is_some()
    }

    /// The patterns as written.
    pub fn written(&self) -> impl Iterator<Item = &str> {
        self.patterns.iter().map(|pattern| pattern.written.as_str())
    }
}
