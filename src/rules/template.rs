//! Templates for names, descriptions, groups, metadata and move targets.
//!
//! In: the text as written and a [`TemplateContext`]. Out: text, or an error that says what is wrong with the
//! template. Strict: an unknown variable is an error, never an empty string. A template can not read files, run
//! programs or see the environment beyond the names listed in `template_env`, and it runs out of fuel rather than
//! out of memory.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use bytesize::ByteSize;
use jiff::Zoned;
use minijinja::value::{Object, ObjectRepr, Value};
use minijinja::{Environment, Error, ErrorKind, State, UndefinedBehavior, context};
use regex::Regex;
use serde::Serialize;

use super::parts::MoveTarget;
use super::reader::resolved;

/// Instructions one rendering may take; a loop over 10,000 files needs about a tenth of it.
const FUEL: u64 = 1_000_000;

/// Every variable a template may use.
pub(super) const VARIABLES: [&str; 15] = [
    "rule", "now", "date", "files", "bytes", "count", "first", "item", "path", "stem", "ext", "group", "host", "env",
    "seq",
];

static ENGINE: LazyLock<Environment<'static>> = LazyLock::new(|| {
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

/// A template that has passed a trial rendering.
#[derive(Clone, PartialEq, Eq)]
pub struct Template {
    source: Arc<str>,
}

/// A template that can not be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TemplateError {
    /// What is wrong, in the words of the template.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// One file, as templates see it. Names that are not UTF-8 show `U+FFFD` in place of what is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TemplateFile {
    /// Relative to the watch folder, with `/`.
    pub path: String,
    /// The last name.
    pub name: String,
    /// The name without its extension.
    pub stem: String,
    /// The extension without its dot, as on disk; empty where there is none.
    pub ext: String,
    /// Bytes.
    pub size: u64,
}

impl TemplateFile {
    /// The file at this path, relative to the watch folder.
    #[must_use]
    pub fn new(relative: &Path, size: u64) -> Self {
        let lossy = |text: Option<&std::ffi::OsStr>| text.unwrap_or_default().to_string_lossy().into_owned();
        Self {
            path: relative.to_string_lossy().into_owned(),
            name: lossy(relative.file_name()),
            stem: lossy(relative.file_stem()),
            ext: lossy(relative.extension()),
            size,
        }
    }

    fn value(&self) -> Value {
        let Self { path, name, stem, ext, size } = self;
        context! { path => path.as_str(), name => name.as_str(), stem => stem.as_str(), ext => ext.as_str(), size => *size }
    }
}

/// What a template is rendered with.
#[derive(Debug, Clone)]
pub struct TemplateContext {
    /// Name of the rule.
    pub rule: String,
    /// The time, in the rule's zone.
    pub now: Zoned,
    /// The files of the package, or the one file that is grouped.
    pub files: Vec<TemplateFile>,
    /// Top-level name of the first file: its first folder, or itself.
    pub item: String,
    /// The folders of the first file, from the watch folder down.
    pub path: Vec<String>,
    /// The value `group_by` rendered to; empty without one.
    pub group: String,
    /// Name of this machine.
    pub host: String,
    /// How many packages the rule has made today, this one included.
    pub seq: u64,
    /// What `env.NAME` may read.
    pub env: Arc<BTreeMap<String, String>>,
}

impl TemplateContext {
    /// The context of a package of these files (relative path, bytes); `item` and `path` are those of the first.
    #[must_use]
    pub fn for_files<'a>(rule: &super::Rule, now: Zoned, files: impl IntoIterator<Item = (&'a Path, u64)>) -> Self {
        let mut listed = Vec::new();
        let mut folders: Option<Vec<String>> = None;
        for (relative, size) in files {
            folders.get_or_insert_with(|| folders_of(relative));
            listed.push(TemplateFile::new(relative, size));
        }
        let path = folders.unwrap_or_default();
        let item = path.first().or(listed.first().map(|file| &file.name)).cloned().unwrap_or_default();
        Self {
            rule: rule.name.clone(),
            now: now.with_time_zone(rule.time_zone.clone()),
            files: listed,
            item,
            path,
            group: String::new(),
            host: String::new(),
            seq: 1,
            env: Arc::clone(&rule.template_env),
        }
    }

    fn value(&self) -> Value {
        let first = self.files.first();
        let text = |choose: fn(&TemplateFile) -> &String| first.map(choose).cloned().unwrap_or_default();
        context! {
            rule => self.rule.as_str(),
            now => Value::from_object(Instant(self.now.clone())),
            date => self.now.date().to_string(),
            files => Value::from(self.files.iter().map(TemplateFile::value).collect::<Vec<_>>()),
            bytes => self.files.iter().map(|file| file.size).fold(0_u64, u64::saturating_add),
            count => self.files.len(),
            first => first.map_or(Value::UNDEFINED, TemplateFile::value),
            item => self.item.as_str(),
            path => self.path.clone(),
            stem => text(|file| &file.stem),
            ext => text(|file| &file.ext),
            group => self.group.as_str(),
            host => self.host.as_str(),
            env => Value::from((*self.env).clone()),
            seq => self.seq,
        }
    }
}

/// The names of the folders a relative path lies in, outermost first.
fn folders_of(relative: &Path) -> Vec<String> {
    let parent = relative.parent().unwrap_or(Path::new(""));
    let normal = |component| match component {
        Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
        _ => None,
    };
    parent.components().filter_map(normal).collect()
}

impl Template {
    /// A template after its trial: syntax, variables, filters, patterns and time formats are right.
    ///
    /// # Errors
    /// What is wrong with it. What depends on the files only (a slice that is no number, say) is not.
    pub fn new(source: &str, env: &Arc<BTreeMap<String, String>>) -> Result<Self, TemplateError> {
        let template = Self { source: source.into() };
        let parsed = ENGINE.template_from_str(source).map_err(|error| explained(&error))?;
        let mut unknown: Vec<String> = parsed.undeclared_variables(false).into_iter().collect();
        unknown.retain(|name| !VARIABLES.contains(&name.as_str()) && !is_global(name));
        unknown.sort();
        if let Some(name) = unknown.first() {
            let hint = super::nearest::nearest(name, &VARIABLES).map_or_else(
                || format!("the variables are: {}", VARIABLES.join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            return Err(TemplateError { message: format!("unknown variable `{name}`"), hint: Some(hint) });
        }
        match parsed.render(trial(env).value()) {
            Err(error) if depends_on_files(error.kind()) => Ok(template),
            Err(error) => Err(explained(&error)),
            Ok(_) => Ok(template),
        }
    }

    /// The text as written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The rendered text.
    ///
    /// # Errors
    /// What the template can not do with these files.
    pub fn render(&self, context: &TemplateContext) -> Result<String, TemplateError> {
        ENGINE.render_str(&self.source, context.value()).map_err(|error| explained(&error))
    }

    /// The rendered text as one line: control characters become spaces, and there is none at either end. For
    /// names, which travel in headers, mails and lists.
    ///
    /// # Errors
    /// What the template can not do with these files.
    pub fn render_line(&self, context: &TemplateContext) -> Result<String, TemplateError> {
        let text = self.render(context)?;
        let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        Ok(line.trim().to_owned())
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Template({:?})", self.source)
    }
}

fn is_global(name: &str) -> bool {
    ENGINE.globals().any(|(global, _)| global == name)
}

/// Whether another set of files might not fail in this way.
fn depends_on_files(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::InvalidOperation | ErrorKind::CannotUnpack)
}

/// Files as they might be, with folders deep enough for any index that is meant.
fn trial(env: &Arc<BTreeMap<String, String>>) -> TemplateContext {
    let path: Vec<String> = (1..=12).map(|depth| format!("folder{depth}")).collect();
    let relative = Path::new(&path.join("/")).join("A001_C001_0101AB.mov");
    TemplateContext {
        rule: "rule".to_owned(),
        now: Zoned::default(),
        files: vec![TemplateFile::new(&relative, 1_000_000); 12],
        item: path[0].clone(),
        path,
        group: "group".to_owned(),
        host: "host".to_owned(),
        seq: 1,
        env: Arc::clone(env),
    }
}

fn explained(error: &Error) -> TemplateError {
    let detail =
        error.detail().map(|detail| detail.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned());
    let of_env = detail.as_deref().is_some_and(|detail| detail.contains("`env."));
    let hint = match error.kind() {
        ErrorKind::UndefinedError if of_env => {
            Some("`env` holds the names listed in `template_env` at the top of the file")
        }
        ErrorKind::UndefinedError => Some("where it may be absent, give a default: `{{ path[3] | default('none') }}`"),
        ErrorKind::UnknownFilter => Some("own filters are: date, filesize, regex, slug"),
        ErrorKind::OutOfFuel => Some("the template does too much work; loop over fewer things"),
        _ => None,
    };
    let message = match detail {
        Some(detail) if matches!(error.kind(), ErrorKind::UndefinedError | ErrorKind::UnknownFilter) => detail,
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    };
    TemplateError { message, hint: hint.map(str::to_owned) }
}

/// `now` in a template: prints as RFC 3339, and the `date` filter formats it.
#[derive(Debug)]
struct Instant(Zoned);

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

/// The first capture of the first match, the whole match where the pattern captures nothing, otherwise `""`.
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

impl MoveTarget {
    /// The folder for this package: absolute, `~`, or relative to the rules file.
    ///
    /// # Errors
    /// What the template can not do with these files, or that the result leaves its fixed part: a variable that
    /// holds `..` can not lead elsewhere.
    pub fn render(&self, context: &TemplateContext) -> Result<PathBuf, TemplateError> {
        let refused = |message: String, hint: &str| TemplateError { message, hint: Some(hint.to_owned()) };
        let text = self.template.render_line(context)?;
        let fixed = self.written_part();
        let variable = text.get(fixed.len()..).unwrap_or(&text);
        if text.is_empty() || text.contains('\0') || variable.split('/').any(|part| part == "..") {
            return Err(refused(format!("`{text}` is not a folder to move into"), "use the `slug` filter on names"));
        }
        resolved(&text, &self.base, self.home.as_deref())
            .ok_or_else(|| refused(format!("no home folder is known for `{text}`"), "write the folder out"))
    }

    /// The folder that every rendering lies in; `None` where `~` has no meaning.
    pub(super) fn fixed_part(&self) -> Option<PathBuf> {
        let written = self.written_part();
        let whole = written.len() == self.template.source().len();
        let folder = if whole { written } else { written.rfind('/').map_or("", |at| &written[..=at]) };
        resolved(folder, &self.base, self.home.as_deref())
    }

    /// The text before the first variable.
    fn written_part(&self) -> &str {
        let source = self.template.source();
        source.find(['{']).map_or(source, |at| &source[..at])
    }
}
