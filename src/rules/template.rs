//! Templates for names, descriptions, groups, metadata and move targets.
//!
//! In: the text as written and a [`TemplateContext`]. Out: text, or an error that says what is wrong with the
//! template. Strict: an unknown variable is an error, never an empty string. A template cannot read files, run
//! programs or see the environment beyond the names listed in `template_env`, and it runs out of fuel rather than
//! out of memory.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Component, Path};
use std::sync::Arc;

use jiff::Zoned;
use minijinja::value::{Enumerator, Object, ObjectRepr};
use minijinja::{Error, ErrorKind, Value, context};
use serde::Serialize;

use super::filters::{ENGINE, Instant};

/// Every variable a template may use.
pub(super) const VARIABLES: [&str; 15] = [
    "rule", "now", "date", "files", "bytes", "count", "first", "item", "path", "stem", "ext", "group", "host", "env",
    "seq",
];

/// A template that has passed a trial rendering.
#[derive(Clone, PartialEq, Eq)]
pub struct Template {
    source: Arc<str>,
}

/// A template that cannot be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TemplateError {
    /// What is wrong, in the words of the template.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Where in the template it is.
    pub place: Option<TemplatePlace>,
}

/// A place in a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplatePlace {
    /// The first of these names in it.
    Names(Vec<String>),
    /// A line, from 1.
    Line(usize),
}

/// One file, as templates see it. In names that are not UTF-8, invalid bytes are shown as `U+FFFD`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TemplateFile {
    /// Relative to the watched folder, with `/`.
    pub path: String,
    /// The last name.
    pub name: String,
    /// The name without its extension.
    pub stem: String,
    /// The extension without its dot, as on disk; empty if there is none.
    pub ext: String,
    /// Bytes.
    pub size: u64,
}

impl TemplateFile {
    /// The file at this path, relative to the watched folder.
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

/// The files of a package: relative paths and bytes. Templates see each as a [`TemplateFile`], which is made when it is asked for: a
/// package may have hundreds of thousands, and few templates ask for more than the first.
#[derive(Debug, Default)]
pub struct TemplateFiles(Vec<(Arc<Path>, u64)>);

impl TemplateFiles {
    /// The file with this index, from 0.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<TemplateFile> {
        self.0.get(index).map(|(path, size)| TemplateFile::new(path, *size))
    }
}

impl<P: Into<Arc<Path>>> FromIterator<(P, u64)> for TemplateFiles {
    fn from_iter<I: IntoIterator<Item = (P, u64)>>(files: I) -> Self {
        Self(files.into_iter().map(|(path, size)| (path.into(), size)).collect())
    }
}

impl Object for TemplateFiles {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get(key.as_usize()?).map(|file| file.value())
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.0.len())
    }
}

/// What a template is rendered with.
#[derive(Debug, Clone)]
pub struct TemplateContext {
    /// Name of the rule.
    pub rule: String,
    /// The time, in the rule's zone.
    pub now: Zoned,
    /// The files of the package, or the one file being grouped.
    pub files: Arc<TemplateFiles>,
    /// Top-level name of the first file: its first folder, or itself.
    pub item: String,
    /// The folders of the first file, from the watched folder down.
    pub path: Vec<String>,
    /// The value `group_by` rendered to; empty without one.
    pub group: String,
    /// Name of this machine.
    pub host: String,
    /// How many packages the rule has created today, including this one.
    pub seq: u64,
    /// What `env.NAME` may read.
    pub env: Arc<BTreeMap<String, String>>,
}

impl TemplateContext {
    /// The context of a package with these files (relative path, bytes); `item` and `path` are those of the first.
    #[must_use]
    pub fn for_files<P: Into<Arc<Path>>>(
        rule: &super::Rule,
        now: Zoned,
        files: impl IntoIterator<Item = (P, u64)>,
    ) -> Self {
        let files: TemplateFiles = files.into_iter().collect();
        let path = files.0.first().map(|(first, _)| folders_of(first)).unwrap_or_default();
        let item = path.first().cloned().or_else(|| files.get(0).map(|first| first.name)).unwrap_or_default();
        Self {
            rule: rule.name.clone(),
            now: now.with_time_zone(rule.time_zone.clone()),
            files: Arc::new(files),
            item,
            path,
            group: String::new(),
            host: String::new(),
            seq: 1,
            env: Arc::clone(&rule.template_env),
        }
    }

    /// The same with one more variable.
    pub(super) fn value_with(&self, name: &'static str, value: Value) -> Value {
        context! { ..Value::from(BTreeMap::from([(name, value)])), ..self.value() }
    }

    fn value(&self) -> Value {
        let first = self.files.get(0);
        let text = |choose: fn(&TemplateFile) -> &String| first.as_ref().map(choose).cloned().unwrap_or_default();
        context! {
            rule => self.rule.as_str(),
            now => Value::from_object(Instant(self.now.clone())),
            date => self.now.date().to_string(),
            files => Value::from_dyn_object(Arc::clone(&self.files)),
            bytes => self.files.0.iter().map(|(_, size)| *size).fold(0_u64, u64::saturating_add),
            count => self.files.0.len(),
            first => first.as_ref().map_or(Value::UNDEFINED, TemplateFile::value),
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

/// The names of the folders of a relative path, outermost first.
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
    /// What is wrong with it, except for what depends on the files only (a slice that is not a number, say).
    pub fn new(source: &str, env: &Arc<BTreeMap<String, String>>) -> Result<Self, TemplateError> {
        let template = Self { source: source.into() };
        checked_source(source, &[])?;
        let parsed = ENGINE.template_from_str(source).map_err(|error| explained(&error))?;
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
    /// If the template fails for these files.
    pub fn render(&self, context: &TemplateContext) -> Result<String, TemplateError> {
        ENGINE.render_str(&self.source, context.value()).map_err(|error| explained(&error))
    }

    /// The rendered text as one line: control characters become spaces, trimmed at both ends. For
    /// names, which travel in headers, mails and lists.
    ///
    /// # Errors
    /// If the template fails for these files.
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

/// Checks the syntax and the variables of a template; `more` are known besides those of every template.
pub(super) fn checked_source(source: &str, more: &[&str]) -> Result<(), TemplateError> {
    let parsed = ENGINE.template_from_str(source).map_err(|error| explained(&error))?;
    let mut unknown: Vec<String> = parsed.undeclared_variables(false).into_iter().collect();
    let is_known = |name: &str| VARIABLES.contains(&name) || more.contains(&name) || is_global(name);
    unknown.retain(|name| !is_known(name));
    unknown.sort();
    if unknown.iter().any(|name| name == super::recipients::TABLE) {
        let (message, hint) = ("`recipients` can be read in `emails` only", "remove it here");
        let place = Some(TemplatePlace::Names(vec![super::recipients::TABLE.to_owned()]));
        return Err(TemplateError { message: message.to_owned(), hint: Some(hint.to_owned()), place });
    }
    if unknown.is_empty() { Ok(()) } else { Err(unknown_variables(&unknown, more)) }
}

/// All unknown variables, with those that were probably meant.
fn unknown_variables(names: &[String], more: &[&str]) -> TemplateError {
    let variables: Vec<&str> = VARIABLES.into_iter().chain(more.iter().copied()).collect();
    let near = |name: &String| super::suggest::nearest(name, &variables);
    let hint = match names {
        [name] => near(name).map(|near| format!("did you mean `{near}`?")),
        names => {
            let pairs: Vec<String> =
                names.iter().filter_map(|name| Some(format!("`{}` for `{name}`", near(name)?))).collect();
            (pairs.len() == names.len()).then(|| format!("did you mean {}?", pairs.join(", ")))
        }
    };
    let hint = hint.unwrap_or_else(|| format!("the variables are: {}", variables.join(", ")));
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    let plural = if names.len() == 1 { "" } else { "s" };
    let message = format!("unknown variable{plural} {}", quoted.join(", "));
    TemplateError { message, hint: Some(hint), place: Some(TemplatePlace::Names(names.to_vec())) }
}

fn is_global(name: &str) -> bool {
    ENGINE.globals().any(|(global, _)| global == name)
}

/// Whether another set of files might not fail in this way.
pub(super) fn depends_on_files(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::InvalidOperation | ErrorKind::CannotUnpack)
}

/// Sample files, with folders deep enough for any plausible index.
pub(super) fn trial(env: &Arc<BTreeMap<String, String>>) -> TemplateContext {
    let path: Vec<String> = (1..=12).map(|depth| format!("folder{depth}")).collect();
    let relative = Path::new(&path.join("/")).join("A001_C001_0101AB.mov");
    TemplateContext {
        rule: "rule".to_owned(),
        now: Zoned::default(),
        files: Arc::new(TemplateFiles(vec![(Arc::from(relative), 1_000_000); 12])),
        item: path[0].clone(),
        path,
        group: "group".to_owned(),
        host: "host".to_owned(),
        seq: 1,
        env: Arc::clone(env),
    }
}

pub(super) fn explained(error: &Error) -> TemplateError {
    let detail =
        error.detail().map(|detail| detail.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned());
    let of_env = detail.as_deref().is_some_and(|detail| detail.contains("`env."));
    let hint = match error.kind() {
        ErrorKind::UndefinedError if of_env => {
            Some("`env` holds the names listed in `template_env` at the top of the file")
        }
        ErrorKind::UndefinedError => Some("if it may be missing, give a default: `{{ path[3] | default('none') }}`"),
        ErrorKind::UnknownFilter => Some("the additional filters are: date, filesize, regex, slug"),
        ErrorKind::OutOfFuel => Some("the template takes too long to render; loop over fewer items"),
        _ => None,
    };
    let message = match detail {
        Some(detail) if matches!(error.kind(), ErrorKind::UndefinedError | ErrorKind::UnknownFilter) => detail,
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    };
    TemplateError { message, hint: hint.map(str::to_owned), place: error.line().map(TemplatePlace::Line) }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::tests::rule;

    pub(crate) fn context() -> TemplateContext {
        let rule = rule("");
        let now: Zoned = "2026-11-24T23:30:00[UTC]".parse().unwrap();
        let files = [("A001/CLIP/A001_C002.mov", 1_500_000_000), ("A001/notes.txt", 10)];
        let context = TemplateContext::for_files(&rule, now, files.map(|(path, size)| (Path::new(path), size)));
        let env = BTreeMap::from([("PROJECT".to_owned(), "Dune".to_owned())]);
        TemplateContext { host: "cart".to_owned(), group: "A".to_owned(), seq: 3, env: Arc::new(env), ..context }
    }

    fn rendered(source: &str) -> String {
        let context = context();
        let template = Template::new(source, &context.env).unwrap_or_else(|error| panic!("{source}: {error}"));
        template.render(&context).unwrap_or_else(|error| panic!("{source}: {error}"))
    }

    #[test]
    fn every_variable_and_filter() {
        let cases = [
            ("{{ rule }}-{{ host }}-{{ group }}-{{ seq }}", "test-cart-A-3"),
            ("{{ date }} {{ now | date('%H:%M') }} {{ now | date }}", "2026-11-25 00:30 2026-11-25"),
            ("{{ now }}", "2026-11-25T00:30:00+01:00"),
            ("{{ count }} {{ files | length }} {{ bytes }} {{ bytes | filesize }}", "2 2 1500000010 1.5 GB"),
            ("{{ item }} {{ path | join('>') }} {{ path[0] }}", "A001 A001>CLIP A001"),
            (
                "{{ first.path }} {{ first.name }} {{ stem }} {{ ext }}",
                "A001/CLIP/A001_C002.mov A001_C002.mov A001_C002 mov",
            ),
            ("{{ stem | regex('^(A\\d{3})') }}", "A001"),
            ("[{{ stem | regex('nothing') }}]", "[]"),
            ("{{ 'Über Client & Co.' | slug }}", "über-client-co"),
            ("{{ env.PROJECT }} {{ path[5] | default('none') }}", "Dune none"),
            ("{% for f in files %}{{ f.name }}:{{ f.size }} {% endfor %}", "A001_C002.mov:1500000000 notes.txt:10 "),
            ("{% set day = date %}{{ day }}", "2026-11-25"),
            ("<b>{{ rule }}</b> & more", "<b>test</b> & more"),
        ];
        for (source, expected) in cases {
            assert_eq!(rendered(source), expected, "{source}");
        }
    }

    #[test]
    fn what_only_some_files_can_not_do_is_no_error_of_the_template() {
        let template = Template::new("{{ stem[3:6] | int }}", &Arc::default()).unwrap();
        assert!(template.render(&context()).is_err());
    }

    #[test]
    fn a_template_can_not_reach_out_or_run_for_ever() {
        for source in ["{% include '/etc/passwd' %}", "{{ debug() }}", "{{ env.HOME }}", "{{ 'x' * 1000000000 }}"] {
            assert!(Template::new(source, &Arc::default()).is_err(), "{source}");
        }
        let clip: Arc<Path> = Arc::from(Path::new("A001/CLIP/A001_C002.mov"));
        let files = Arc::new(TemplateFiles(vec![(clip, 1_500_000_000); 10_000]));
        let many = TemplateContext { files, ..context() };
        let template =
            Template::new("{% for f in files %}{{ f.name }} {{ f.size | filesize }}, {% endfor %}", &many.env);
        assert!(template.unwrap().render(&many).is_ok());
        let nested = "{% for a in files %}{% for b in files %}{{ b.name }}{% endfor %}{% endfor %}";
        let error = Template::new(nested, &many.env).unwrap().render(&many).unwrap_err();
        assert!(error.message.contains("fuel"), "{error}");
    }

    #[test]
    fn a_name_is_one_line() {
        let template = Template::new("  {{ rule }}\n{{ host }}\t \n", &Arc::default()).unwrap();
        assert_eq!(template.render_line(&context()).unwrap(), "test cart");
    }
}
