//! Reads typed values from the tree as written and collects all errors on the way, so that one
//! check of a file reports everything. A reader returns `None` if a value is wrong, after reporting it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use masv_platform::plain_path;
use secrecy::SecretString;

use super::diagnostics::{Diagnostic, Diagnostics, Severity};
use super::environment::Environment;
use super::fields::At;
use super::schema_table::Key;
use super::sources::Source;
use super::span::Lines;
use super::suggest::nearest;
use super::template::TemplatePlace;
use super::units;
use super::value_type::{Shape, one_of};
use super::yaml::{Kind, Node, Value};

/// Maximum number of diagnostics of a file that are listed.
const MOST: usize = 100;

/// The file being read and its diagnostics so far.
pub(super) struct Reader<'a> {
    pub file: &'a Path,
    pub environment: &'a dyn Environment,
    sources: &'a [Source],
    /// Of each source.
    lines: Vec<Lines<'a>>,
    /// Each with the number of its source.
    found: RefCell<Vec<(usize, Diagnostic)>>,
    /// How many more than [`MOST`] were found.
    more: Cell<usize>,
    /// Digest of the secret files read since it was last taken.
    secrets: RefCell<blake3::Hasher>,
    secret_files: RefCell<BTreeSet<PathBuf>>,
    /// Whether paths are read as those of a rule that follows no link.
    confined: Cell<bool>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(sources: &'a [Source], file: &'a Path, environment: &'a dyn Environment) -> Self {
        let (found, secrets) = (RefCell::default(), RefCell::new(blake3::Hasher::new()));
        let (secret_files, confined) = (RefCell::default(), Cell::new(false));
        let lines = sources.iter().map(|source| Lines::new(&source.text)).collect();
        Self { file, environment, sources, lines, found, more: Cell::new(0), secrets, secret_files, confined }
    }

    /// The source that a position is in.
    fn source(&self, at: usize) -> usize {
        self.sources.partition_point(|source| source.start <= at).saturating_sub(1)
    }

    /// The text of a source, and a span of positions in it.
    fn within(&self, (start, end): (usize, usize)) -> (&'a str, usize, usize) {
        match self.sources.get(self.source(start)) {
            Some(source) => (&source.text, start - source.start, end.saturating_sub(source.start)),
            None => ("", 0, 0),
        }
    }

    /// The path of the file that a value is in.
    pub(super) fn file_of(&self, node: &Node) -> PathBuf {
        let path = self.sources.get(self.source(node.start)).map_or(self.file, |source| &source.path);
        std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
    }

    /// Records an error at the bytes `start..end` of the text.
    pub(super) fn error_at(&self, start: usize, end: usize, key: &str, message: String, help: Option<String>) {
        self.note(Severity::Error, (start, end), key, message, help);
    }

    pub(super) fn error(&self, at: &At<'_>, message: impl Into<String>, help: Option<String>) {
        if matches!(&at.node.value, Value::Scalar(scalar) if scalar.kind == Kind::Unresolved) {
            return;
        }
        self.error_at(at.node.start, at.node.end, &at.path, message.into(), help);
    }

    /// Notes an error at the place in a template that it is about, which may be lines below its beginning.
    pub(super) fn error_in_template(
        &self,
        at: &At<'_>,
        place: Option<&TemplatePlace>,
        message: String,
        help: Option<String>,
    ) {
        let (text, start, end) = self.within((at.node.start, at.node.end));
        let raw = text.get(start..end).unwrap_or_default();
        let above = text.get(..start).unwrap_or_default().trim_end_matches([' ', '\n', '\r']);
        let is_literal = above.rsplit([' ', '\n']).next().is_some_and(|header| header.starts_with('|'));
        let found = place.and_then(|place| span_in_template(raw, is_literal, place));
        match found {
            Some((start, end)) => {
                self.error_at(at.node.start + start, at.node.start + end, &at.path, message, help);
            }
            None => self.error(at, message, help),
        }
    }

    pub(super) fn warn(&self, at: &At<'_>, message: impl Into<String>, help: Option<String>) {
        self.warn_at(at.node.start, at.node.end, &at.path, message.into(), help);
    }

    /// Records a warning at the bytes `start..end` of the text.
    pub(super) fn warn_at(&self, start: usize, end: usize, key: &str, message: String, help: Option<String>) {
        self.note(Severity::Warning, (start, end), key, message, help);
    }

    fn note(&self, severity: Severity, span: (usize, usize), key: &str, message: String, help: Option<String>) {
        if self.found.borrow().len() >= MOST {
            self.more.set(self.more.get() + 1);
            return;
        }
        let number = self.source(span.0);
        let Some((lines, source)) = self.lines.get(number).zip(self.sources.get(number)) else { return };
        let (_, start, end) = self.within(span);
        let place = lines.place((start, end));
        let diagnostic = Diagnostic {
            severity,
            message,
            file: source.path.clone(),
            line: place.line,
            column: place.column,
            key: key.to_owned(),
            source: place.source.to_owned(),
            span: place.span,
            help,
        };
        let mut found = self.found.borrow_mut();
        // A wrong default is found again in every rule that inherits it: reported once.
        let known = found.iter().any(|(of, known)| {
            *of == number
                && known.severity == severity
                && known.message == diagnostic.message
                && (known.line, known.column) == (diagnostic.line, diagnostic.column)
        });
        if !known {
            found.push((number, diagnostic));
        }
    }

    /// Whether an error was found so far.
    pub(super) fn failed(&self) -> bool {
        self.more.get() > 0 || self.found.borrow().iter().any(|(_, diagnostic)| diagnostic.severity == Severity::Error)
    }

    /// The warnings, or everything if there is an error, in file order.
    pub(super) fn finish(self) -> Result<Vec<Diagnostic>, Diagnostics> {
        let failed = self.failed();
        let mut found = self.found.into_inner();
        found.sort_by_key(|(number, diagnostic)| (*number, diagnostic.line, diagnostic.column));
        let mut found: Vec<Diagnostic> = found.into_iter().map(|(_, diagnostic)| diagnostic).collect();
        if self.more.get() > 0 {
            let message = format!("and {} more", self.more.get());
            found.push(Diagnostic::of_file(self.file, message, None));
        }
        if failed { Err(Diagnostics(found)) } else { Ok(found) }
    }

    /// The line of a value, from 1.
    pub(super) fn line(&self, node: &Node) -> u32 {
        let number = self.source(node.start);
        let at = self.within((node.start, node.start)).1;
        self.lines.get(number).map_or(0, |lines| lines.line(at))
    }

    /// Reports what was expected instead of what is there.
    pub(super) fn wrong(&self, at: &At<'_>, expected: &Shape) {
        let (text, start, _) = self.within((at.node.start, at.node.end));
        let unquoted = text.get(start..).is_some_and(|rest| rest.starts_with("{{"));
        let help = if unquoted {
            Some("quote templates, like \"{{ rule }}\"".to_owned())
        } else if is_only_quoted(at.node, expected) {
            Some("remove the quotes: in quotes it is text".to_owned())
        } else {
            example(at)
        };
        let what = if is_only_quoted(at.node, expected) { "the text " } else { "" };
        self.error(at, format!("expected {}, found {what}{}", expected.words(), found(at.node)), help);
    }

    pub(super) fn text(&self, at: &At<'_>) -> Option<String> {
        let text = at.text();
        if text.is_none() {
            self.wrong(at, &Shape::Text);
        } else if text.is_some_and(str::is_empty) {
            self.error(at, "must not be empty", example(at));
            return None;
        }
        text.map(str::to_owned)
    }

    pub(super) fn texts(&self, at: &At<'_>) -> Option<Vec<String>> {
        if at.is_map() {
            self.wrong(at, &Shape::Texts);
            return None;
        }
        let read: Vec<Option<String>> = at.items().iter().map(|item| self.text(item)).collect();
        read.into_iter().collect()
    }

    pub(super) fn boolean(&self, at: &At<'_>) -> Option<bool> {
        let read = match &at.node.value {
            Value::Scalar(scalar) => match scalar.kind {
                Kind::Bool(value) => Some(value),
                Kind::Replaced => scalar.text.trim().to_lowercase().parse().ok(),
                _ => None,
            },
            _ => None,
        };
        if read.is_none() {
            self.wrong(at, &Shape::Boolean);
        }
        read
    }

    pub(super) fn whole<T: TryFrom<i64>>(&self, at: &At<'_>) -> Option<T> {
        let shape = at.key.map_or(Shape::Whole { least: 0, most: None }, |key| key.shape);
        let (least, most) = match shape {
            Shape::Whole { least, most } => (least, most),
            _ => (0, None),
        };
        let read = match &at.node.value {
            Value::Scalar(scalar) if matches!(scalar.kind, Kind::Number | Kind::Replaced) => {
                scalar.text.trim().replace('_', "").parse::<i64>().ok()
            }
            _ => None,
        };
        let value = read.filter(|value| *value >= least && most.is_none_or(|most| *value <= most));
        let value = value.and_then(|value| T::try_from(value).ok());
        if value.is_none() {
            self.wrong(at, &shape);
        }
        value
    }

    pub(super) fn duration(&self, at: &At<'_>) -> Option<Duration> {
        let Some(text) = at.text() else {
            self.wrong(at, &Shape::Duration);
            return None;
        };
        match units::duration(text) {
            Ok(duration) => Some(duration),
            Err(message) => {
                let help = Some(format!("write a number and a unit (ms, s, m, h, d): {}", shown_example(at, "30s")));
                self.error(at, format!("expected a duration: {message}"), help);
                None
            }
        }
    }

    /// A duration that is not zero.
    pub(super) fn interval(&self, at: &At<'_>) -> Option<Duration> {
        let duration = self.duration(at)?;
        if duration.is_zero() {
            self.error(at, "expected a duration longer than zero", example(at));
            return None;
        }
        Some(duration)
    }

    pub(super) fn size(&self, at: &At<'_>) -> Option<u64> {
        let Some(text) = at.text() else {
            self.wrong(at, &Shape::Size);
            return None;
        };
        match units::size(text) {
            Ok(size) => Some(size),
            Err(message) => {
                let help =
                    Some(format!("write bytes, `10MB` (decimal) or `1.5GiB` (binary): {}", shown_example(at, "10MB")));
                self.error(at, format!("expected a size: {message}"), help);
                None
            }
        }
    }

    /// The value of one of the given words.
    pub(super) fn choice<T: Clone>(&self, at: &At<'_>, choices: &[(&'static str, T)]) -> Option<T> {
        let words: Vec<&'static str> = choices.iter().map(|(word, _)| *word).collect();
        let text = at.text();
        if let Some((_, value)) = choices.iter().find(|(word, _)| Some(*word) == text) {
            return Some(value.clone());
        }
        let help = text.and_then(|text| did_you_mean(text, &words)).or_else(|| example(at));
        self.error(at, format!("expected {}, found {}", one_of(&words), found(at.node)), help);
        None
    }

    /// A secret: text, or a file that contains it.
    pub(super) fn secret(&self, at: &At<'_>) -> Option<SecretString> {
        if !at.is_map() {
            let Some(text) = at.text().filter(|text| !text.trim().is_empty()) else {
                self.wrong(at, &Shape::Secret);
                return None;
            };
            return Some(SecretString::from(text));
        }
        const FILE: &[Key] = &[Key {
            name: "file",
            example: "/run/credentials/masv-agent/acme",
            about: "File that holds the secret.",
            shape: Shape::Text,
        }];
        let file = self.fields(at, FILE)?.required("file")?;
        let path = self.path(&file, false)?;
        self.secret_files.borrow_mut().insert(path.clone());
        let read = match self.confined.get() {
            true => self.environment.secret_file_without_links(&path),
            false => self.environment.secret_file(&path),
        };
        match read {
            Ok(read) => {
                use secrecy::ExposeSecret;
                let exposed = read.secret.expose_secret();
                if exposed.trim().is_empty() {
                    self.error(&file, format!("secret file {} is empty", path.display()), None);
                    return None;
                }
                if read.readable_by_all {
                    let help = format!("chmod o= {}", path.display());
                    self.warn(&file, "every user on this machine can read this secret", Some(help));
                }
                self.secrets.borrow_mut().update(&(exposed.len() as u64).to_le_bytes()).update(exposed.as_bytes());
                Some(read.secret)
            }
            Err(why) => {
                let help = "the agent's user must be able to read it".to_owned();
                self.error(&file, format!("cannot read the secret file {}: {why}", path.display()), Some(help));
                None
            }
        }
    }

    /// The files that hold secrets, as far as was read.
    pub(super) fn secret_files(&self) -> Vec<PathBuf> {
        self.secret_files.borrow().iter().cloned().collect()
    }

    /// The digest of the secret files read since this was last asked.
    pub(super) fn take_secrets(&self) -> blake3::Hash {
        self.secrets.replace(blake3::Hasher::new()).finalize()
    }

    /// Reads paths as those of a rule that follows no link, or as those of any other.
    pub(super) fn confine(&self, confined: bool) {
        self.confined.set(confined);
    }

    /// A path: absolute, `~`, or relative to the file that it is in.
    pub(super) fn path(&self, at: &At<'_>, folder: bool) -> Option<PathBuf> {
        let text = self.text(at)?;
        if text.contains('\0') {
            self.error(at, "a path cannot contain a null byte", None);
            return None;
        }
        if let Some((what, help)) = not_a_place(&text) {
            self.error(at, format!("`{text}` is {what}"), Some(help.to_owned()));
            return None;
        }
        match resolved(&text, &self.base_of(at.node), self.environment.home().as_deref()) {
            Some(path) if folder && path.parent().is_none() => {
                self.error(at, "the root of the file system cannot be used", example(at));
                None
            }
            Some(path) if self.confined.get() => Some(plain_path(&path)),
            Some(path) => Some(path),
            None => {
                let help = "write the full path; only `~/` is expanded, and only if HOME is set".to_owned();
                self.error(at, format!("there is no home folder for `{text}`"), Some(help));
                None
            }
        }
    }

    /// The folder of the file that a value is in, absolute: relative paths start there.
    pub(super) fn base_of(&self, node: &Node) -> PathBuf {
        self.file_of(node).parent().unwrap_or(Path::new("/")).to_path_buf()
    }
}

/// What a text looks like that would become a folder with that name beside the rules file, and what to write instead.
pub(super) fn not_a_place(text: &str) -> Option<(&'static str, &'static str)> {
    let drive = |text: &str| {
        let mut letters = text.chars();
        letters.next().is_some_and(|letter| letter.is_ascii_alphabetic())
            && letters.next() == Some(':')
            && matches!(letters.next(), None | Some('\\' | '/'))
    };
    let variable = |text: &str| {
        let name = text.strip_prefix('$').map(|name| name.trim_start_matches(['{', '(']));
        name.is_some_and(|name| name.starts_with(|first: char| first.is_ascii_uppercase()))
    };
    if text.split_once("://").is_some_and(|(scheme, _)| scheme.bytes().all(|byte| byte.is_ascii_alphanumeric())) {
        Some(("a URL, not a folder", "mount the share and give the folder where it is mounted"))
    } else if drive(text) || text.starts_with("\\\\") {
        Some(("a Windows path", "write the path on this machine, like `/mnt/share/drop`"))
    } else if variable(text) || text.strip_prefix('%').is_some_and(|rest| rest.contains('%')) {
        Some(("a shell variable", "write `${NAME}/folder` or `~/folder`; prefix it with `./` to use it literally"))
    } else {
        None
    }
}

/// Resolves a path as written: absolute, `~`, or relative to `base`. `None` if `~` has no meaning.
pub(super) fn resolved(text: &str, base: &Path, home: Option<&Path>) -> Option<PathBuf> {
    let path = match text.strip_prefix('~') {
        Some("") => home?.to_path_buf(),
        Some(rest) => home?.join(rest.strip_prefix('/')?),
        None => base.join(text),
    };
    // Collecting the components drops `.` and doubled slashes; `..` is kept because it may follow a symbolic link.
    Some(path.components().collect())
}

pub(super) fn did_you_mean(word: &str, known: &[&'static str]) -> Option<String> {
    nearest(word, known).map(|near| format!("did you mean `{near}`?"))
}

pub(super) fn example(at: &At<'_>) -> Option<String> {
    at.key.map(|key| format!("for example `{}: {}`", key.name, key.example))
}

/// Whether the value would be valid without its quotes.
fn is_only_quoted(node: &Node, expected: &Shape) -> bool {
    let Value::Scalar(scalar) = &node.value else { return false };
    let text = scalar.text.trim();
    scalar.kind == Kind::Text
        && match expected {
            Shape::Boolean => matches!(text, "true" | "false"),
            Shape::Whole { least, most } => {
                text.parse::<i64>().is_ok_and(|value| value >= *least && most.is_none_or(|most| value <= most))
            }
            _ => false,
        }
}

/// The bytes of a template as it stands in the file that a place in it is at. Lines are those of the file only where the text is
/// taken literally.
fn span_in_template(raw: &str, is_literal: bool, place: &TemplatePlace) -> Option<(usize, usize)> {
    match place {
        TemplatePlace::Names(names) => names.iter().filter_map(|name| name_in_template(raw, name)).min(),
        TemplatePlace::Line(line) if is_literal => {
            let row = raw.split('\n').nth(line.checked_sub(1)?)?;
            let begin = raw.split('\n').take(line - 1).map(|row| row.len() + 1).sum::<usize>();
            let text = row.trim();
            (!text.is_empty())
                .then(|| begin + row.len() - row.trim_start().len())
                .map(|start| (start, start + text.len()))
        }
        TemplatePlace::Line(_) => None,
    }
}

/// Where a name stands by itself between braces.
fn name_in_template(raw: &str, name: &str) -> Option<(usize, usize)> {
    let in_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    let mut places = raw.match_indices(name).filter(|(at, _)| {
        let (before, after) = (&raw[..*at], &raw[at + name.len()..]);
        let inside = before.rfind(['{']).is_some_and(|open| before.rfind('}').is_none_or(|close| close < open));
        inside && !before.ends_with(|letter| in_word(letter) || letter == '.') && !after.starts_with(in_word)
    });
    places.next().map(|(at, _)| (at, at + name.len()))
}

/// A description of what is there.
fn found(node: &Node) -> String {
    match &node.value {
        Value::List(_) => "a list".to_owned(),
        Value::Map(_) => "a mapping".to_owned(),
        Value::Scalar(scalar) if scalar.kind == Kind::Null || scalar.text.is_empty() => "nothing".to_owned(),
        Value::Scalar(scalar) => format!("`{}`", scalar.text),
    }
}

fn shown_example(at: &At<'_>, otherwise: &str) -> String {
    at.key.map_or_else(|| format!("`{otherwise}`"), |key| format!("`{}: {}`", key.name, key.example))
}
