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

/// Names that are never sent: what desktops and programs leave behind.
const LITTER: [&str; 4] = ["desktop.ini", ".DS_Store", ".fcpcache", "Thumbs.db"];

/// Begin of the name that office programs give to a file while another one is open.
const OFFICE_LOCK: &[u8] = b"~$";

/// Ends of the names that programs give to what they have not finished, or to what they note about it beside it.
const UNFINISHED: [&str; 18] = [
    ".tmp",
    ".part",
    ".partial",
    ".crdownload",
    ".download",
    ".filepart",
    ".aria2",
    ".!qb",
    ".!ut",
    ".!bt",
    ".!sync",
    ".bc!",
    ".opdownload",
    ".ytdl",
    ".aspera-ckpt",
    ".crswap",
    ".inprogress",
    ".lftp-pget-status",
];

/// How a Mac names a file that it is saving in place of another: `.sb-`, eight hexadecimal digits, `-`, six letters.
const SAVING: &str = ".sb-";
const SAVING_LENGTH: usize = ".sb-1a2b3c4d-AbCdEf".len();

/// Whether a name is never sent, whatever its case.
pub(super) fn is_litter(name: &[u8]) -> bool {
    name.starts_with(OFFICE_LOCK) || LITTER.iter().any(|litter| name.eq_ignore_ascii_case(litter.as_bytes()))
}

/// The ending that marks a name as that of an unfinished file, whatever its case.
pub(super) fn unfinished_ending(name: &[u8]) -> Option<&'static str> {
    let ends = |length: usize, is: &dyn Fn(&[u8]) -> bool| {
        name.len().checked_sub(length).and_then(|begin| name.get(begin..)).is_some_and(is)
    };
    let known = UNFINISHED.into_iter().find(|ending| ends(ending.len(), &|end| marks_unfinished(end)));
    known.or_else(|| ends(SAVING_LENGTH, &marks_unfinished).then_some(SAVING))
}

/// Whether this is all that a program appends to a file's name while the file is not finished: beside `film.mov` the name
/// `film.mov.aria2` says so, and its own ending is `.aria2`.
#[must_use]
pub fn marks_unfinished(ending: &[u8]) -> bool {
    let saving = || {
        let rest = ending.strip_prefix(SAVING.as_bytes())?;
        let (number, letters) = (rest.get(..8)?, rest.get(8..)?.strip_prefix(b"-")?);
        Some(number.iter().all(u8::is_ascii_hexdigit) && letters.iter().all(u8::is_ascii_alphanumeric))
    };
    UNFINISHED.iter().any(|known| ending.eq_ignore_ascii_case(known.as_bytes()))
        || ending.len() == SAVING_LENGTH && saving() == Some(true)
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
