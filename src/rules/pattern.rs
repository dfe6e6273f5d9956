//! Glob patterns against paths relative to the watch folder.
//!
//! A pattern without a slash is matched against the file's own name, at any depth; one with a slash against the
//! whole relative path, where `*` and `?` stop at a slash and `**` does not. Pattern and path are compared character by
//! character in Unicode's composed form, so that `é` is `é` however a Mac has written it, and one character to `?`. A name
//! that is not UTF-8 matches like any other: what is no text in it counts as a character that no pattern names.

use std::ffi::OsStr;
use std::path::Path;

use globset::GlobBuilder;
use regex::Regex;

use crate::composed;

/// A list of patterns; a path matches when one of them does.
#[derive(Debug, Clone)]
pub struct Patterns {
    patterns: Vec<Pattern>,
}

#[derive(Debug, Clone)]
struct Pattern {
    written: String,
    by_name: bool,
    expression: Regex,
}

impl Pattern {
    fn new(written: &str, ignore_case: bool) -> Result<Self, String> {
        let text = written.strip_prefix("./").unwrap_or(written);
        let anchored = text.strip_prefix('/').unwrap_or(text);
        let composed = composed(Path::new(anchored)).to_string_lossy().into_owned();
        let glob = GlobBuilder::new(&composed).literal_separator(true).case_insensitive(ignore_case).build();
        let glob = glob.map_err(|error| error.kind().to_string())?;
        let expression = Regex::new(&over_characters(glob.regex())).map_err(|error| error.to_string())?;
        Ok(Self { written: written.to_owned(), by_name: !text.contains('/'), expression })
    }
}

/// `globset` makes an expression over bytes of a pattern: `(?-u)`, with every byte of a letter outside ASCII written as
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
    /// Compiles one pattern to see whether it is one.
    pub(super) fn check(written: &str) -> Result<(), String> {
        Pattern::new(written, false).map(drop)
    }

    /// Compiles the patterns; those that [`Self::check`] refuses match nothing.
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
            text.is_some_and(|text| pattern.expression.is_match(text))
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
