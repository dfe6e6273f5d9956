//! From the tree as written to the built model, in one walk over every section.

mod checks;
mod digest;
mod download;
mod notify;
mod own_hub;
mod recipients;
mod rule;
mod upload;
mod when;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use jiff::tz::TimeZone;
use url::Url;

use super::diagnostics::{Diagnostic, Diagnostics};
use super::environment::Environment;
use super::fields::{At, Fields};
use super::model::{Cloud, DownloadRule, Rule, RuleSet};
use super::own_hub::{OwnHub, is_loopback};
use super::reader::{Reader, example};
use super::recipients::Recipients;
use super::schema_table;
use super::sources::{Role, Source, Sources};
use super::syntax_help::explain;
use super::template::Template;
use super::value_type::Shape;
use super::yaml::{self, Node};
use super::{diagnostics, variables};

/// Largest rules file read, bytes.
pub(crate) const LARGEST: u64 = 1024 * 1024;

/// Maximum number of rules in a file; every pair is checked for overlaps.
const MOST_RULES: usize = 1000;

/// Reads a rules file.
///
/// # Errors
/// Everything that is wrong with it, at once.
pub fn load(path: &Path, environment: &dyn Environment) -> Result<RuleSet, Diagnostics> {
    let refused = |message: String, help: Option<&str>| {
        Diagnostics(vec![Diagnostic::of_file(path, message, help.map(str::to_owned))])
    };
    let help = Some("`masv rule init` prints a commented starter file");
    let bytes = read_limited(path).map_err(|error| refused(format!("cannot read the rules file: {error}"), help))?;
    if bytes.len() as u64 > LARGEST {
        return Err(refused(format!("the rules file is larger than {LARGEST} bytes"), None));
    }
    match String::from_utf8(bytes) {
        Ok(text) => parse(&text, path, environment),
        Err(error) => {
            let good = error.utf8_error().valid_up_to();
            let line = error.as_bytes()[..good].iter().filter(|byte| **byte == b'\n').count() + 1;
            Err(refused(format!("line {line} is not UTF-8"), Some("save the file as UTF-8")))
        }
    }
}

fn read_limited(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads the text of a rules file; `path` is its path, which relative paths start from.
///
/// # Errors
/// Everything that is wrong with it, at once.
pub fn parse(text: &str, path: &Path, environment: &dyn Environment) -> Result<RuleSet, Diagnostics> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut sources = Sources::new(path, text);
    let unread = match yaml::parse(text) {
        Ok(root) => sources.gather(&root, environment),
        Err(_) => Vec::new(),
    };
    let reader = Reader::new(&sources.all, path, environment);
    for unread in unread {
        reader.error_at(unread.span.0, unread.span.1, unread.key, unread.message, unread.help);
    }
    let trees: Vec<(&Source, Option<Node>)> =
        sources.all.iter().map(|source| (source, tree(source, &reader))).collect();
    let main = trees.first().and_then(|(_, tree)| tree.as_ref());
    let included = trees.iter().filter(|(source, _)| source.role == Role::Included);
    let included: Vec<&Node> = included.filter_map(|(_, tree)| tree.as_ref()).filter(|tree| !is_null(tree)).collect();
    let table = trees.iter().find(|(source, _)| source.role == Role::Recipients);
    let table = table.map(|(source, tree)| (*source, tree.as_ref()));
    let set = main.and_then(|main| file(main, &included, table, &reader));
    let secret_files = reader.secret_files();
    let warnings = reader.finish()?;
    let files = sources.all.iter().skip(1).map(|source| source.path.clone()).collect();
    let folders = sources.folders.clone();
    match set {
        Some(set) => Ok(RuleSet { warnings, secret_files, files, folders, ..set }),
        None => Err(diagnostics::unexplained(path)),
    }
}

/// The source as a tree, with its variables replaced; `None` if it is not YAML.
fn tree(source: &Source, reader: &Reader<'_>) -> Option<Node> {
    if recipients::is_table_of_lines(source) {
        return None;
    }
    match yaml::parse(&source.text) {
        Ok(node) => Some(variables::replace(&node.moved(source.start), "", reader)),
        Err(error) => {
            let told = explain(&source.text, &error);
            let at = source.start + told.at;
            reader.error_at(at, at, "", told.message, Some(told.help));
            None
        }
    }
}

/// What every rule of the file shares.
struct Shared<'r, 'a> {
    reader: &'r Reader<'a>,
    zone: TimeZone,
    template_env: Arc<BTreeMap<String, String>>,
    defaults: Option<At<'a>>,
    uploads: BTreeMap<&'a str, At<'a>>,
    recipients: Arc<Recipients>,
}

fn file<'a>(
    root: &'a Node,
    included: &[&'a Node],
    table: Option<(&'a Source, Option<&'a Node>)>,
    reader: &Reader<'a>,
) -> Option<RuleSet> {
    let at = At::root(root);
    if is_null(root) {
        let help = "`masv rule init` prints a commented starter file".to_owned();
        reader.error(&at, "the file is empty", Some(help));
        return None;
    }
    let fields = reader.fields(&at, schema_table::FILE)?;
    if let Some(version) = fields.required("version") {
        reader.whole::<u8>(&version);
    }
    let included: Vec<At<'a>> = included.iter().map(|root| At::root(root)).collect();
    let included: Vec<Fields<'_, 'a>> =
        included.iter().filter_map(|at| reader.fields(at, schema_table::INCLUDED)).collect();
    for version in included.iter().filter_map(|fields| fields.optional("version")) {
        reader.whole::<u8>(&version);
    }
    let zone = fields.or("timezone", reader.environment.time_zone(), |at| time_zone(at, reader));
    let shared = Shared {
        reader,
        zone: zone.unwrap_or(TimeZone::UTC),
        template_env: Arc::new(template_env(&fields, reader)),
        defaults: fields.optional("defaults"),
        uploads: uploads(std::iter::once(&fields).chain(&included), reader),
        recipients: Arc::new(recipients::read(&fields, table, reader)),
    };
    let cloud = fields.maybe("cloud", |at| cloud(at, reader));
    let hub = fields.or("hub", OwnHub::default(), |at| own_hub::read(at, reader));
    if let (Some(_), Some(at)) = (fields.optional("cloud"), fields.optional("hub")) {
        let help = "remove `hub`, or remove `cloud`".to_owned();
        reader.error(&at, "`hub` is the agent's own hub, which does not run where `cloud` names another", Some(help));
    }
    upload::check_all(&shared);
    rule::check_defaults(&shared);
    let (rules, downloads) = rules(&fields, &included, &shared);
    checks::run(&rules, &downloads, reader);
    Some(RuleSet {
        rules: rules.into_iter().map(|(rule, _)| rule).collect(),
        downloads: downloads.into_iter().map(|(rule, _)| rule).collect(),
        cloud: cloud?,
        hub: hub?,
        time_zone: shared.zone,
        warnings: Vec::new(),
        path: reader.file_of(root),
        secret_files: Vec::new(),
        files: Vec::new(),
        folders: Vec::new(),
    })
}

fn is_null(node: &Node) -> bool {
    matches!(&node.value, yaml::Value::Scalar(scalar) if scalar.kind == yaml::Kind::Null)
}

fn time_zone(at: &At<'_>, reader: &Reader<'_>) -> Option<TimeZone> {
    let name = reader.text(at)?;
    match TimeZone::get(&name) {
        Ok(zone) => Some(zone),
        Err(_) if jiff::tz::db().is_definitively_empty() => {
            let help = "install the package `tzdata`, or remove `timezone`".to_owned();
            reader.error(at, "this machine has no time zone database", Some(help));
            None
        }
        Err(_) => {
            reader.error(
                at,
                format!("unknown time zone `{name}`"),
                Some("write an IANA name, like `America/Toronto`".to_owned()),
            );
            None
        }
    }
}

fn template_env(fields: &Fields<'_, '_>, reader: &Reader<'_>) -> BTreeMap<String, String> {
    let Some(at) = fields.optional("template_env") else { return BTreeMap::new() };
    let mut values = BTreeMap::new();
    for item in at.items() {
        let Some(name) = reader.text(&item) else { continue };
        match reader.environment.variable(&name) {
            Some(value) => drop(values.insert(name, value)),
            None => reader.error(
                &item,
                format!("environment variable `{name}` is not set"),
                Some("set it for the agent, or remove it from the list".to_owned()),
            ),
        }
    }
    values
}

fn cloud(at: &At<'_>, reader: &Reader<'_>) -> Option<Cloud> {
    // Spelled out rather than with `?`, so that every key is checked.
    let fields = reader.fields(at, schema_table::CLOUD)?;
    let url = fields.required("url").and_then(|at| cloud_url(&at, reader));
    let api_key = fields.secret("api_key", reader);
    let team = fields.maybe("team", |at| reader.text(at));
    Some(Cloud { url: url?, api_key: api_key?, team: team? })
}

/// The base URL of a cloud: without secrets, and not unencrypted over a network.
fn cloud_url(at: &At<'_>, reader: &Reader<'_>) -> Option<Url> {
    let url = base_url(at, reader, "give the key as `api_key`, or sign in with `masv user login`")?;
    if let Some(version) = url.path_segments().and_then(|mut path| path.rfind(|name| !name.is_empty())).filter(|name| {
        name.strip_prefix('v')
            .is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    }) {
        let help = "the agent adds the version itself".to_owned();
        reader.error(at, format!("leave `/{version}` out of the URL"), Some(help));
        return None;
    }
    if url.scheme() == "http" && !is_loopback(&url) {
        let help = "use https, or a tunnel to a loopback address".to_owned();
        reader.warn(at, "keys and files are sent to this URL unencrypted", Some(help));
    }
    Some(url)
}

/// An `http` or `https` URL that paths are put behind; `help` says what belongs elsewhere.
fn base_url(at: &At<'_>, reader: &Reader<'_>, help: &str) -> Option<Url> {
    let text = http_url(at, reader)?;
    crate::own_hub::base_url(text.as_str()).map_err(|why| reader.error(at, why, Some(help.to_owned()))).ok()
}

/// An `http` or `https` URL.
fn http_url(at: &At<'_>, reader: &Reader<'_>) -> Option<Url> {
    let text = reader.text(at)?;
    crate::own_hub::http_url(&text).map_err(|why| reader.error(at, why, example(at))).ok()
}

fn uploads<'r, 'a: 'r>(
    files: impl Iterator<Item = &'r Fields<'r, 'a>>,
    reader: &Reader<'a>,
) -> BTreeMap<&'a str, At<'a>> {
    let mut uploads = BTreeMap::new();
    for at in files.filter_map(|fields| fields.optional("uploads")) {
        if !at.is_map() {
            reader.wrong(&at, &Shape::Defined("uploads"));
        }
        for (key, value) in at.pairs() {
            let Some(name) = key.text() else {
                let message = "expected the name of an upload template".to_owned();
                reader.error_at(key.start, key.end, &at.path, message, None);
                continue;
            };
            if uploads.insert(name, at.child(name, value, None)).is_some() {
                let message = format!("upload template `{name}` occurs twice");
                let help = Some("give one of them another name".to_owned());
                reader.error_at(key.start, key.end, &at.path, message, help);
            }
        }
    }
    uploads
}

type Built<'a> = (Vec<(Arc<Rule>, At<'a>)>, Vec<(Arc<DownloadRule>, At<'a>)>);

fn rules<'a>(fields: &Fields<'_, 'a>, included: &[Fields<'_, 'a>], shared: &Shared<'_, 'a>) -> Built<'a> {
    let (mut uploads, mut downloads) = (Vec::new(), Vec::new());
    let reader = shared.reader;
    let mut items = Vec::new();
    for fields in std::iter::once(fields).chain(included) {
        if let Some(at) = fields.null("rules") {
            // A half-saved file ends like this, and would stop every rule.
            let help = "write the rules below it, or `rules: []` for none".to_owned();
            reader.error(at, "`rules` has no value", Some(help));
        }
        let Some(at) = fields.optional("rules") else { continue };
        match &at.node.value {
            yaml::Value::List(_) => items.extend(at.items()),
            _ => reader.wrong(&at, &Shape::ListOf(&Shape::Defined("rule"))),
        }
    }
    if items.is_empty() && included.is_empty() {
        let none = "there are no rules: nothing is watched";
        match fields.optional("rules") {
            Some(at) => reader.warn(&at, none, None),
            None if fields.null("rules").is_none() && !fields.has_slips() => reader.warn(fields.at(), none, None),
            None => {}
        }
    }
    if let Some(first) = items.get(MOST_RULES) {
        reader.error(
            first,
            format!("more than {MOST_RULES} rules"),
            Some("spread them over several agents".to_owned()),
        );
        return (uploads, downloads);
    }
    let mut names = BTreeSet::new();
    for item in items {
        let item = At { key: None, ..item };
        if let Some((_, name)) = item.pairs().iter().find(|(key, _)| key.text() == Some("name"))
            && let Some(text) = name.text()
            && !names.insert(text.to_owned())
        {
            let path = item.child("name", name, None).path;
            let help = "every rule needs a unique name, because the name is its id".to_owned();
            shared.reader.error_at(
                name.start,
                name.end,
                &path,
                format!("there are two rules named `{text}`"),
                Some(help),
            );
        }
        let has = |wanted: &str| item.pairs().iter().any(|(key, _)| key.text() == Some(wanted));
        if !has("watch") && (has("portal") || has("portals") || has("into")) {
            downloads.extend(download::read(&item, shared).map(|rule| (Arc::new(rule), item)));
        } else {
            uploads.extend(rule::upload(&item, shared).map(|rule| (Arc::new(rule), item)));
        }
    }
    (uploads, downloads)
}

impl<'a> Shared<'_, 'a> {
    fn template(&self, at: &At<'a>) -> Option<Template> {
        let text = self.reader.text(at)?;
        match Template::new(&text, &self.template_env) {
            Ok(template) => Some(template),
            Err(error) => {
                self.reader.error_in_template(at, error.place.as_ref(), format!("bad template: {error}"), error.hint);
                None
            }
        }
    }

    fn upload_named(&self, at: &At<'a>) -> Option<At<'a>> {
        let name = self.reader.text(at)?;
        let found = self.uploads.get(name.as_str());
        if found.is_none() {
            let mut names: Vec<&str> = self.uploads.keys().copied().collect();
            names.truncate(20);
            let near = super::suggest::nearest(&name, &names).map(|near| format!("did you mean `{near}`?"));
            let help = near.unwrap_or_else(|| match names.is_empty() {
                true => "define it under `uploads`, or write `upload: { kind: link }`".to_owned(),
                false => format!("the templates under `uploads` are: {}", names.join(", ")),
            });
            self.reader.error(at, format!("there is no upload template `{name}`"), Some(help));
        }
        found.cloned()
    }
}
