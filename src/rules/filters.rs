//! The template engine: what it refuses, its limits, and the additional filters.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use bytesize::ByteSize;
use jiff::Zoned;
use minijinja::value::{Object, ObjectRepr, Value};
use minijinja::{Environment, Error, ErrorKind, State, UndefinedBehavior};
use regex::Regex;

/// Maximum number of instructions of one rendering; a loop over 10,000 files needs about a tenth of it.
const FUEL: u64 = 1_000_000;

/// The engine that renders every template.
pub(super) static ENGINE: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut engine = Environment::new();
    engine.set_undefined_behavior(UndefinedBehavior::Strict);
    engine.set_fuel(Some(FUEL));
    engine.remove_global("debug");
    engine.add_filter("date", format_date);
    engine.add_filter("filesize", format_size);
    engine.add_filter("regex", first_match);
    engine.add_filter("slug", slug);
    engine
});

/// `now` in a template: prints as RFC 3339, and the `date` filter formats it.
#[derive(Debug)]
pub(super) struct Instant(pub Zoned);

impl Object for Instant {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn render(self: &Arc<Self>, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string())
    }
}

fn format_date(value: &Value, format: Option<&str>) -> Result<String, Error> {
    let Some(instant) = value.downcast_object_ref::<Instant>() else {
        return Err(Error::new(ErrorKind::SyntaxError, "`date` formats a time: `now | date('%Y-%m-%d')`"));
    };
    jiff::fmt::strtime::format(format.unwrap_or("%Y-%m-%d"), &instant.0)
        .map_err(|error| Error::new(ErrorKind::SyntaxError, error.to_string()))
}

fn format_size(bytes: u64) -> String {
    ByteSize(bytes).display().si().to_string()
}

/// The first capture of the first match, the whole match if the pattern captures nothing, otherwise `""`.
fn first_match(state: &State<'_, '_>, text: &str, pattern: &str) -> Result<String, Error> {
    state.consume_fuel(text.len() as u64)?;
    let regex = compiled(pattern).map_err(|error| Error::new(ErrorKind::SyntaxError, error.to_string()))?;
    let found = regex.captures(text).and_then(|captures| captures.get(1).or(captures.get(0)));
    Ok(found.map(|found| found.as_str().to_owned()).unwrap_or_default())
}

/// The compiled pattern. A template is rendered for every file of a large drop, so the last few are kept.
fn compiled(pattern: &str) -> Result<Regex, regex::Error> {
    const KEPT: usize = 32;
    static COMPILED: LazyLock<Mutex<BTreeMap<String, Regex>>> = LazyLock::new(Mutex::default);
    let mut kept = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(regex) = kept.get(pattern) {
        return Ok(regex.clone());
    }
    let regex = Regex::new(pattern)?;
    if kept.len() >= KEPT {
        kept.clear();
    }
    kept.insert(pattern.to_owned(), regex.clone());
    Ok(regex)
}

/// Lower-case letters and digits, everything else one hyphen: fit for a folder or a tag.
fn slug(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    for character in text.chars().flat_map(char::to_lowercase) {
        if character.is_alphanumeric() {
            result.push(character);
        } else if !result.is_empty() && !result.ends_with('-') {
            result.push('-');
        }
    }
    result.trim_end_matches('-').to_owned()
}
