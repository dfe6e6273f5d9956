//! Glob patterns for paths relative to the watched folder.
//!
//! A pattern without a slash is matched against the file's own name, at any depth; one with a slash against the
//! whole relative path, where `*` and `?` stop at a slash and `**` does not. Pattern and path are compared character by
//! character in Unicode's composed form, so that `é` is `é` however a Mac has written it, and one character to `?`. A name
//! that is not UTF-8 matches like any other: invalid bytes count as a character that no pattern contains.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use globset::GlobBuilder;
use regex::Regex;

use crate::composed;

/// Longest pattern, bytes. What is compiled of it is bounded so.
const LONGEST: usize = 1_024;

/// A list of patterns; a path matches if one of them does.
#[derive(Debug, Clone)]
pub struct Patterns {
    patterns: Vec<Pattern>,
}

#[derive(Debug, Clone)]
struct Pattern {
    written: String,
    by_name: bool,
    /// What it is as a regular expression, compiled when the first path is compared with it: that takes a thousand times longer than
    /// reading it. `None` if it cannot be compiled; it matches nothing then.
    expression: Arc<(String, OnceLock<Option<Regex>>)>,
}

impl Pattern {
    fn new(written: &str, ignore_case: bool) -> Result<Self, String> {
        if written.len() > LONGEST {
            return Err(format!("it has more than {LONGEST} bytes"));
        }
        let text = written.strip_prefix("./").unwrap_or(written);
        let anchored = text.strip_prefix('/').unwrap_or(text);
        let composed = composed(Path::new(anchored)).to_string_lossy().into_owned();
        let glob = GlobBuilder::new(&composed).literal_separator(true).case_insensitive(ignore_case).build();
        let glob = glob.map_err(|error| error.kind().to_string())?;
        let expression = Arc::new((over_characters(glob.regex()), OnceLock::new()));
        Ok(Self { written: written.to_owned(), by_name: !text.contains('/'), expression })
    }

    fn is_match(&self, text: &str) -> bool {
        let (source, compiled) = &*self.expression;
        compiled.get_or_init(|| Regex::new(source).ok()).as_ref().is_some_and(|expression| expression.is_match(text))
    }
}

/// `globset` creates an expression over bytes of a pattern: `(?-u)`, with every byte of a letter outside ASCII written as
/// `\xNN`, so that `?` and `[é]` are one byte. The same expression with these letters put back is one over characters.
fn over_characters(over_bytes: &str) -> String {
    let mut text = b"(?s)".to_vec();
    let mut rest = over_bytes.strip_prefix("(?-u)").unwrap_or(over_bytes).as_bytes();
    while let [first, after @ ..] = rest {
        rest = match (first, after) {
            (b'\\', [b'x', high, low, after @ ..]) => {
                let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
                text.push((digit(*high).unwrap_or_default() << 4) | digit(*low).unwrap_or_default());
                after
            }
            (b'\\', [escaped, after @ ..]) => {
                text.extend([b'\\', *escaped]);
                after
            }
            _ => {
                text.push(*first);
                after
            }
        };
    }
    String::from_utf8_lossy(&text).into_owned()
}

impl Patterns {
    /// Reads one pattern to see whether it is one.
    pub(super) fn check(written: &str) -> Result<(), String> {
        Pattern::new(written, false).map(drop)
    }

    /// Reads the patterns; those that [`Self::check`] refuses match nothing.
    pub(super) fn new<'a>(written: impl IntoIterator<Item = &'a str>, ignore_case: bool) -> Self {
        Self { patterns: written.into_iter().filter_map(|text| Pattern::new(text, ignore_case).ok()).collect() }
    }

    /// The first pattern that matches the path, as written.
    #[must_use]
    pub fn first_match(&self, relative: &Path) -> Option<&str> {
        let relative = composed(relative);
        let whole = relative.to_string_lossy();
        let name = relative.file_name().map(OsStr::to_string_lossy);
        let found = self.patterns.iter().find(|pattern| {
            let text = if pattern.by_name { name.as_deref() } else { Some(&*whole) };
            text.is_some_and(|text| pattern.is_match(text))
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A file with 12,000 patterns took eleven seconds to check, each pattern being compiled twice.
    #[test]
    fn patterns_are_compiled_when_they_are_needed() {
        let many: Vec<String> = (0..12_000).map(|number| format!("folder{number}/*.[mx][ox][vf]")).collect();
        let patterns = Patterns::new(many.iter().map(String::as_str), false);
        assert!(patterns.patterns.iter().all(|pattern| pattern.expression.1.get().is_none()));
        assert!(
            patterns.matches(Path::new("folder0/a.mov")) && patterns.clone().patterns[0].expression.1.get().is_some()
        );
    }

    #[test]
    fn a_pattern_that_is_accepted_can_be_compiled() {
        let longest = |unit: &str| unit.repeat(LONGEST / unit.len());
        for pattern in
            [longest("?"), longest("[!a]"), longest("*"), longest("[\u{e0}-\u{ff}]"), longest("{a,b}"), longest("**/")]
        {
            for ignore_case in [false, true] {
                assert!(Patterns::check(&pattern).is_ok(), "{pattern}");
                let read = Pattern::new(&pattern, ignore_case).unwrap();
                read.is_match("a");
                assert!(matches!(read.expression.1.get(), Some(Some(_))), "{pattern}");
            }
        }
        assert!(Patterns::check(&"?".repeat(LONGEST + 1)).is_err());
    }
}
