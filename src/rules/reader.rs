//! Reads typed values out of the tree as written and collects everything that is wrong on the way, so that one
//! look at a file tells all. A reader answers `None` where a value is wrong, after having said so.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;

use super::diagnostics::{Diagnostic, Diagnostics, Severity};
use super::environment::Environment;
use super::keys::{Key, Shape, names};
use super::nearest::nearest;
use super::units;
use super::yaml::{Kind, Node, Value};

/// A value and the path of keys to it.
#[derive(Debug, Clone)]
pub(super) struct At<'a> {
    pub node: &'a Node,
    pub path: String,
    /// The key in its section, where it has one.
    pub key: Option<&'static Key>,
}

impl<'a> At<'a> {
    pub(super) fn root(node: &'a Node) -> Self {
        Self { node, path: String::new(), key: None }
    }

    /// The text of a scalar that is not null.
    pub(super) fn text(&self) -> Option<&'a str> {
        self.node.text()
    }

    /// The items of a list, or the one value that stands in place of a list.
    pub(super) fn items(&self) -> Vec<Self> {
        let item = |(index, node)| Self { node, path: format!("{}[{index}]", self.path), key: self.key };
        match &self.node.value {
            Value::List(items) => items.iter().enumerate().map(item).collect(),
            _ => vec![self.clone()],
        }
    }

    /// Whether it is a mapping.
    pub(super) fn is_map(&self) -> bool {
        matches!(self.node.value, Value::Map(_))
    }

    pub(super) fn pairs(&self) -> &'a [(Node, Node)] {
        match &self.node.value {
            Value::Map(pairs) => pairs,
            _ => &[],
        }
    }

    pub(super) fn child(&self, name: &str, node: &'a Node, key: Option<&'static Key>) -> Self {
        let path = if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
        Self { node, path, key }
    }
}

/// The file being read and what is wrong with it so far.
pub(super) struct Reader<'a> {
    pub file: &'a Path,
    pub environment: &'a dyn Environment,
    text: &'a str,
    found: RefCell<Vec<Diagnostic>>,
    /// Digest of the secret files read since it was last taken.
    secrets: RefCell<blake3::Hasher>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str, file: &'a Path, environment: &'a dyn Environment) -> Self {
        let (found, secrets) = (RefCell::default(), RefCell::new(blake3::Hasher::new()));
        Self { file, environment, text, found, secrets }
    }

    /// Notes an error at the bytes `start..end` of the text.
    pub(super) fn error_at(&self, start: usize, end: usize, key: &str, message: String, help: Option<String>) {
        self.note(Severity::Error, (start, end), key, message, help);
    }

    pub(super) fn error(&self, at: &At<'_>, message: impl Into<String>, help: Option<String>) {
        if matches!(&at.node.value, Value::Scalar(scalar) if scalar.kind == Kind::Unresolved) {
            return;
        }
        self.error_at(at.node.start, at.node.end, &at.path, message.into(), help);
    }

    pub(super) fn warn(&self, at: &At<'_>, message: impl Into<String>, help: Option<String>) {
        self.note(Severity::Warning, (at.node.start, at.node.end), &at.path, message.into(), help);
    }

    fn note(&self, severity: Severity, span: (usize, usize), key: &str, message: String, help: Option<String>) {
        let place = Place::of(self.text, span);
        let diagnostic = Diagnostic {
            severity,
            message,
            file: self.file.to_path_buf(),
            line: place.line,
            column: place.column,
            key: key.to_owned(),
            source: place.source.to_owned(),
            span: place.span,
            help,
        };
        let mut found = self.found.borrow_mut();
        // A default that is wrong is met again in every rule that inherits it: told once.
        let known = found.iter().any(|known| {
            known.severity == severity
                && known.message == diagnostic.message
                && (known.line, known.column) == (diagnostic.line, diagnostic.column)
        });
        if !known {
            found.push(diagnostic);
        }
    }

    /// Whether an error was found so far.
    pub(super) fn failed(&self) -> bool {
        self.found.borrow().iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// The warnings, or everything where there is an error, in file order.
    pub(super) fn finish(self) -> Result<Vec<Diagnostic>, Diagnostics> {
        let failed = self.failed();
        let mut found = self.found.into_inner();
        found.sort_by_key(|diagnostic| (diagnostic.line, diagnostic.column));
        if failed { Err(Diagnostics(found)) } else { Ok(found) }
    }

    /// The line a value stands on, from 1.
    pub(super) fn line(&self, node: &Node) -> u32 {
        Place::of(self.text, (node.start, node.end)).line
    }

    /// Says what was expected in place of what is there.
    pub(super) fn wrong(&self, at: &At<'_>, expected: &Shape) {
        let found = match &at.node.value {
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a mapping".to_owned(),
            Value::Scalar(scalar) if scalar.kind == Kind::Null => "nothing".to_owned(),
            Value::Scalar(scalar) => format!("`{}`", scalar.text),
        };
        let quotes = self.text.get(at.node.start..).is_some_and(|rest| rest.starts_with("{{") || rest.starts_with('{'));
        let help = if quotes && matches!(expected, Shape::Template | Shape::Text | Shape::Secret) {
            Some("quote templates: \"{{ rule }}\"".to_owned())
        } else {
            example(at)
        };
        self.error(at, format!("expected {}, found {found}", expected.words()), help);
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

    /// One of the words, as the value that goes with it.
    pub(super) fn choice<T: Clone>(&self, at: &At<'_>, choices: &[(&'static str, T)]) -> Option<T> {
        let words: Vec<&'static str> = choices.iter().map(|(word, _)| *word).collect();
        let text = at.text();
        if let Some((_, value)) = choices.iter().find(|(word, _)| Some(*word) == text) {
            return Some(value.clone());
        }
        let help = text.and_then(|text| did_you_mean(text, &words)).or_else(|| example(at));
        let found = text.map_or_else(|| "something else".to_owned(), |text| format!("`{text}`"));
        self.error(at, format!("expected {}, found {found}", words.join(" or ")), help);
        None
    }

    /// A secret: text, or a file that holds it.
    pub(super) fn secret(&self, at: &At<'_>) -> Option<SecretString> {
        if !at.is_map() {
            let Some(text) = at.text().filter(|text| !text.is_empty()) else {
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
        match self.environment.secret_file(&path) {
            Ok(read) => {
                use secrecy::ExposeSecret;
                let exposed = read.secret.expose_secret();
                if exposed.is_empty() {
                    self.error(&file, format!("secret file {} is empty", path.display()), None);
                    return None;
                }
                if read.readable_by_all {
                    let help = format!("chmod o= {}", path.display());
                    self.warn(&file, "every user of this machine may read this secret", Some(help));
                }
                self.secrets.borrow_mut().update(&(exposed.len() as u64).to_le_bytes()).update(exposed.as_bytes());
                Some(read.secret)
            }
            Err(why) => {
                let help = "the agent's user must be able to read it".to_owned();
                self.error(&file, format!("can not read secret file {}: {why}", path.display()), Some(help));
                None
            }
        }
    }

    /// The digest of the secret files read since this was last asked.
    pub(super) fn take_secrets(&self) -> blake3::Hash {
        self.secrets.replace(blake3::Hasher::new()).finalize()
    }

    /// A path: absolute, `~`, or relative to the rules file.
    pub(super) fn path(&self, at: &At<'_>, folder: bool) -> Option<PathBuf> {
        let text = self.text(at)?;
        if text.contains('\0') {
            self.error(at, "a path can not hold a zero byte", None);
            return None;
        }
        match resolved(&text, &self.base(), self.environment.home().as_deref()) {
            Some(path) if folder && path.parent().is_none() => {
                self.error(at, "the root of the file system is not a folder to use", example(at));
                None
            }
            Some(path) => Some(path),
            None => {
                let help = "write the folder out; only `~/` is known, and only where HOME is set".to_owned();
                self.error(at, format!("no home folder is known for `{text}`"), Some(help));
                None
            }
        }
    }

    /// The folder of the rules file, absolute.
    pub(super) fn base(&self) -> PathBuf {
        let absolute = std::path::absolute(self.file).unwrap_or_else(|_| self.file.to_path_buf());
        absolute.parent().unwrap_or(Path::new("/")).to_path_buf()
    }

    /// The fields of a mapping, which must be one.
    pub(super) fn fields<'r>(&'r self, at: &At<'a>, section: &'static [Key]) -> Option<Fields<'r, 'a>>
    where
        'a: 'r,
    {
        self.merged(at, None, section)
    }

    /// The fields of a mapping and, for keys that it has not, those of another one.
    pub(super) fn merged<'r>(
        &'r self,
        at: &At<'a>,
        inherited: Option<&At<'a>>,
        section: &'static [Key],
    ) -> Option<Fields<'r, 'a>>
    where
        'a: 'r,
    {
        if !at.is_map() {
            self.wrong(at, &Shape::Defined(""));
            return None;
        }
        let mut fields = Fields { reader: self, at: at.clone(), section, entries: Vec::new() };
        fields.add_own();
        if let Some(inherited) = inherited {
            fields.inherit(inherited);
        }
        Some(fields)
    }
}

/// The entries of one mapping, each known by its section.
pub(super) struct Fields<'r, 'a> {
    reader: &'r Reader<'a>,
    at: At<'a>,
    section: &'static [Key],
    entries: Vec<(&'static str, At<'a>)>,
}

impl<'a> Fields<'_, 'a> {
    fn add_own(&mut self) {
        let known = names(self.section);
        let mut seen: Vec<&str> = Vec::new();
        for (key, value) in self.at.pairs() {
            let Some(name) = key.text() else {
                let help = Some(format!("the keys here are: {}", known.join(", ")));
                self.reader.error_at(key.start, key.end, &self.at.path, "expected a key".to_owned(), help);
                continue;
            };
            if seen.contains(&name) {
                let message = format!("`{name}` is given twice");
                let path = self.at.child(name, value, None).path;
                self.reader.error_at(key.start, key.end, &path, message, Some("keep one of them".to_owned()));
                continue;
            }
            seen.push(name);
            match self.section.iter().find(|known| known.name == name) {
                Some(known) => self.entries.push((known.name, self.at.child(name, value, Some(known)))),
                None => {
                    let all = || format!("the keys here are: {}", known.join(", "));
                    let help = did_you_mean(name, &known).unwrap_or_else(all);
                    let path = self.at.child(name, value, None).path;
                    self.reader.error_at(key.start, key.end, &path, format!("unknown key `{name}`"), Some(help));
                }
            }
        }
    }

    fn inherit(&mut self, from: &At<'a>) {
        for (key, value) in from.pairs() {
            let own = self.entries.iter().any(|(name, _)| key.text() == Some(*name));
            let known = self.section.iter().find(|known| key.text() == Some(known.name));
            if let Some(known) = known.filter(|_| !own) {
                self.entries.push((known.name, from.child(known.name, value, Some(known))));
            }
        }
    }

    /// The value of a key. Null is no value.
    pub(super) fn optional(&self, name: &'static str) -> Option<At<'a>> {
        debug_assert!(self.section.iter().any(|key| key.name == name), "{name} is in no table");
        let (_, at) = self.entries.iter().find(|(entry, _)| *entry == name)?;
        let null = matches!(&at.node.value, Value::Scalar(scalar) if scalar.kind == Kind::Null);
        (!null).then(|| at.clone())
    }

    /// The value of a key that must be there.
    pub(super) fn required(&self, name: &'static str) -> Option<At<'a>> {
        let found = self.optional(name);
        if found.is_none() {
            let example = self.section.iter().find(|key| key.name == name).map(|key| key.example);
            let help = example.map(|example| format!("add `{name}: {example}`"));
            self.reader.error(&self.at, format!("`{name}` is missing"), help);
        }
        found
    }

    /// Reads a key by the function, or takes the default where it is absent. `None` where it is wrong.
    pub(super) fn or<T>(&self, name: &'static str, default: T, read: impl FnOnce(&At<'a>) -> Option<T>) -> Option<T> {
        match self.optional(name) {
            Some(at) => read(&at),
            None => Some(default),
        }
    }

    /// Reads a key by the function where it is there: `Some(None)` where it is absent, `None` where it is wrong.
    pub(super) fn maybe<T>(&self, name: &'static str, read: impl FnOnce(&At<'a>) -> Option<T>) -> Option<Option<T>> {
        match self.optional(name) {
            Some(at) => read(&at).map(Some),
            None => Some(None),
        }
    }

    /// The mapping itself.
    pub(super) fn at(&self) -> &At<'a> {
        &self.at
    }

    /// Every entry, own ones first, for the digest.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'static str, &'a Node)> {
        self.entries.iter().map(|(name, at)| (*name, at.node))
    }

    /// The keys that are there.
    pub(super) fn present(&self) -> impl Iterator<Item = (&'static str, &At<'a>)> {
        self.entries.iter().map(|(name, at)| (*name, at))
    }
}

/// Resolves a path as written: absolute, `~`, or relative to `base`. `None` where `~` has no meaning.
pub(super) fn resolved(text: &str, base: &Path, home: Option<&Path>) -> Option<PathBuf> {
    let path = match text.strip_prefix('~') {
        Some("") => home?.to_path_buf(),
        Some(rest) => home?.join(rest.strip_prefix('/')?),
        None => base.join(text),
    };
    // Collecting the components drops `.` and doubled slashes; `..` stays, for it may follow a symbolic link.
    Some(path.components().collect())
}

pub(super) fn did_you_mean(word: &str, known: &[&'static str]) -> Option<String> {
    nearest(word, known).map(|near| format!("did you mean `{near}`?"))
}

pub(super) fn example(at: &At<'_>) -> Option<String> {
    at.key.map(|key| format!("for example `{}: {}`", key.name, key.example))
}

fn shown_example(at: &At<'_>, otherwise: &str) -> String {
    at.key.map_or_else(|| format!("`{otherwise}`"), |key| format!("`{}: {}`", key.name, key.example))
}

struct Place<'a> {
    line: u32,
    column: u32,
    source: &'a str,
    span: (usize, usize),
}

impl<'a> Place<'a> {
    /// The first line of the span, and where the span lies in it.
    fn of(text: &'a str, (start, end): (usize, usize)) -> Self {
        let start = text.floor_char_boundary(start);
        let before = &text[..start];
        let begin = before.rfind('\n').map_or(0, |at| at + 1);
        let rest = &text[begin..];
        let source = rest.split('\n').next().unwrap_or_default().trim_end_matches('\r');
        let from = (start - begin).min(source.len());
        let to = text.floor_char_boundary(end).saturating_sub(begin).clamp(from, source.len());
        // A span without length (a mapping, a list, nothing) is shown as its first word.
        let word = source[from..].find([' ', ',', ':']).map_or(source.len(), |at| from + at);
        let to = if to > from { to } else { word };
        let line = u32::try_from(before.matches('\n').count()).unwrap_or(u32::MAX).saturating_add(1);
        let column = u32::try_from(source[..from].chars().count()).unwrap_or(u32::MAX).saturating_add(1);
        Self { line, column, source, span: (from, to) }
    }
}
