//! To whom packages are mailed: addresses as written, and templates that work them out for each package.
//!
//! In: the `recipients` of a file (a table, or the text of a CSV or YAML file), the `emails` of an upload, and a
//! [`TemplateContext`]. Out: addresses, each of them checked, or why there are none. Pure.
//!
//! Guarantees: nothing is guessed. A name without an entry, text that is not an address, and files of one package that have
//! different recipients are errors.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use masv_protocol::EmailAddress;
use minijinja::Value;
use minijinja::value::{Enumerator, Object, ObjectRepr, ValueKind};

use super::filters::ENGINE;
use super::suggest::nearest;
use super::template::{TemplateContext, TemplateError, checked_source, depends_on_files, explained, trial};
use super::unicode::composed_text;

/// The name of the table in templates.
pub(super) const TABLE: &str = "recipients";

/// Who gets what, by name. Names are compared in composed form, as folders of a Mac are not named in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recipients {
    entries: BTreeMap<String, Vec<EmailAddress>>,
    /// Whether the file has such a table, be it a wrong one.
    pub(super) is_given: bool,
    /// Computed once, for many rules may look into a large table.
    digest: OnceLock<blake3::Hash>,
}

impl Recipients {
    /// Adds addresses to a name.
    pub(super) fn add(&mut self, name: &str, addresses: Vec<EmailAddress>) {
        self.entries.entry(composed_text(name)).or_default().extend(addresses);
    }

    /// Whether there is such a name.
    pub(super) fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(&composed_text(name))
    }

    /// A number for all of it.
    pub(super) fn digest(&self) -> blake3::Hash {
        *self.digest.get_or_init(|| {
            let mut hasher = blake3::Hasher::new();
            for (name, addresses) in &self.entries {
                let texts = std::iter::once(name.as_str()).chain(addresses.iter().map(AsRef::as_ref));
                for text in texts {
                    hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
                }
                hasher.update(&[0xff]);
            }
            hasher.finalize()
        })
    }

    /// Why there is nothing under that name.
    fn missing(&self, name: &str) -> TemplateError {
        let lower: Vec<String> = self.entries.keys().map(|known| known.to_lowercase()).collect();
        let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
        let near = nearest(name, &lower).and_then(|near| lower.iter().position(|known| *known == near));
        let hint = match near.and_then(|place| self.entries.keys().nth(place)) {
            Some(near) => format!("did you mean `{near}`? Otherwise add `{name}` to `recipients`"),
            None => format!("add `{name}` to `recipients`, or give a default: `| default('archive@example.com')`"),
        };
        TemplateError { message: format!("`recipients` has no entry `{name}`"), hint: Some(hint), place: None }
    }
}

/// The table as a template sees it. What is looked up in vain is remembered, for the message.
#[derive(Debug)]
struct Lookup {
    table: Arc<Recipients>,
    missed: Mutex<Option<String>>,
}

impl Object for Lookup {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str().map_or_else(|| key.to_string(), str::to_owned);
        match self.table.entries.get(&composed_text(&name)) {
            Some(addresses) => Some(addresses.iter().map(|address| Value::from(address.as_str())).collect()),
            None => {
                *self.missed.lock().unwrap_or_else(PoisonError::into_inner) = Some(name);
                None
            }
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.table.entries.keys().map(|name| Value::from(name.as_str())).collect())
    }
}

/// One item of `emails`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recipient {
    /// An address as written.
    Address(EmailAddress),
    /// A template that gives one, or a list of them.
    Template(RecipientTemplate),
}

/// A template for recipients, with the table that it may look into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipientTemplate {
    source: Arc<str>,
    table: Arc<Recipients>,
}

impl RecipientTemplate {
    /// Whether the text is a template rather than an address.
    pub(super) fn is(text: &str) -> bool {
        text.contains("{{") || text.contains("{%")
    }

    /// A template after its trial.
    pub(super) fn new(
        source: &str,
        env: &Arc<BTreeMap<String, String>>,
        table: &Arc<Recipients>,
    ) -> Result<Self, TemplateError> {
        checked_source(source, &[TABLE])?;
        let template = Self { source: source.into(), table: Arc::clone(table) };
        if template.uses(TABLE) && !table.is_given {
            let hint =
                "add a table at the top of the file: `recipients: { north: [post@north.example.com] }`".to_owned();
            let message = "the file has no `recipients`".to_owned();
            return Err(TemplateError { message, hint: Some(hint), place: None });
        }
        match template.values(&trial(env)) {
            // Of what depends on the files, the trial cannot know.
            Ok(_) | Err(Failure::Missing(_) | Failure::Other { depends_on_files: true, .. }) => Ok(template),
            Err(Failure::Other { error, .. }) => Err(error),
        }
    }

    /// The text as written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether the template reads that variable.
    #[must_use]
    pub fn uses(&self, variable: &str) -> bool {
        let parsed = ENGINE.template_from_str(&self.source);
        parsed.is_ok_and(|parsed| parsed.undeclared_variables(false).contains(variable))
    }

    /// The addresses for these files.
    ///
    /// # Errors
    /// Why there are none: a name without an entry, or text that is not an address.
    pub fn addresses(&self, context: &TemplateContext) -> Result<Vec<EmailAddress>, TemplateError> {
        let texts = self.values(context).map_err(|failure| match failure {
            Failure::Missing(name) => self.table.missing(&name),
            Failure::Other { error, .. } => error,
        })?;
        let refused = |message: String| {
            let hint = "each must be one address; several are a list in `recipients`".to_owned();
            TemplateError { message, hint: Some(hint), place: None }
        };
        if texts.is_empty() {
            return Err(refused(format!("`{}` gives no recipient", self.source)));
        }
        let address = |text: String| {
            text.parse()
                .map_err(|_| refused(format!("`{}` gives `{text}`, which is not an e-mail address", self.source)))
        };
        texts.into_iter().map(address).collect()
    }

    /// What the template gives: one text, or the items of a list where it is nothing but one expression.
    fn values(&self, context: &TemplateContext) -> Result<Vec<String>, Failure> {
        let lookup = Arc::new(Lookup { table: Arc::clone(&self.table), missed: Mutex::default() });
        let scope = context.value_with(TABLE, Value::from_dyn_object(Arc::clone(&lookup)));
        let failed = |error: &minijinja::Error| failure(error, &lookup);
        let Some(expression) = self.expression() else {
            let text = ENGINE.render_str(&self.source, scope).map_err(|error| failed(&error))?;
            return Ok(vec![text.trim().to_owned()]);
        };
        let compiled = ENGINE.compile_expression(expression).map_err(|error| failed(&error))?;
        let value = compiled.eval(scope).map_err(|error| failed(&error))?;
        match value.kind() {
            ValueKind::Undefined => Err(failed(&minijinja::Error::from(minijinja::ErrorKind::UndefinedError))),
            ValueKind::Seq | ValueKind::Iterable => {
                let items = value.try_iter().map_err(|error| failed(&error))?;
                Ok(items.map(|item| item.to_string().trim().to_owned()).collect())
            }
            _ => Ok(vec![value.to_string().trim().to_owned()]),
        }
    }

    /// The expression, if the template is nothing but one.
    fn expression(&self) -> Option<&str> {
        let inside = self.source.trim().strip_prefix("{{")?.strip_suffix("}}")?;
        let inside = inside.strip_prefix('-').unwrap_or(inside);
        let inside = inside.strip_suffix('-').unwrap_or(inside);
        (!inside.contains("{{") && !inside.contains("}}") && !inside.contains("{%")).then_some(inside)
    }
}

/// Why a template gives nothing.
enum Failure {
    /// The table has no entry of this name.
    Missing(String),
    Other {
        error: TemplateError,
        /// Other files might not fail in this way.
        depends_on_files: bool,
    },
}

fn failure(error: &minijinja::Error, lookup: &Lookup) -> Failure {
    let undefined = matches!(error.kind(), minijinja::ErrorKind::UndefinedError);
    let missed = lookup.missed.lock().unwrap_or_else(PoisonError::into_inner).take();
    match missed.filter(|_| undefined) {
        Some(name) => Failure::Missing(name),
        None => Failure::Other { error: explained(error), depends_on_files: depends_on_files(error.kind()) },
    }
}

/// The addresses of all items for one file or package, each once.
///
/// # Errors
/// Those of a template.
pub fn addresses(items: &[Recipient], context: &TemplateContext) -> Result<Vec<EmailAddress>, TemplateError> {
    let mut all: Vec<EmailAddress> = Vec::new();
    for item in items {
        let given = match item {
            Recipient::Address(address) => vec![address.clone()],
            Recipient::Template(template) => template.addresses(context)?,
        };
        for address in given {
            if !all.iter().any(|known| known.is_same_mailbox(&address)) {
                all.push(address);
            }
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::tests::context;

    fn table() -> Arc<Recipients> {
        let mut table = Recipients { is_given: true, ..Recipients::default() };
        let address = |text: &str| text.parse().unwrap();
        table.add("A001", vec![address("post@north.example.com"), address("producer@north.example.com")]);
        table.add("Mu\u{308}ller", vec![address("mueller@example.com")]);
        Arc::new(table)
    }

    fn given(source: &str) -> Result<Vec<String>, String> {
        let template = RecipientTemplate::new(source, &context().env, &table()).map_err(|error| error.to_string())?;
        let addresses = template.addresses(&context()).map_err(|error| error.to_string())?;
        Ok(addresses.into_iter().map(EmailAddress::into_string).collect())
    }

    /// Case: the recipients of a rule are worked out by a template, or looked up in a table.
    #[test]
    fn addresses_are_made_of_names_or_looked_up() {
        assert_eq!(given("{{ path[0] | slug }}@example.com").unwrap(), ["a001@example.com"]);
        let both = ["post@north.example.com", "producer@north.example.com"];
        for source in
            ["{{ recipients[path[0]] }}", "{{- recipients.A001 -}}", "{{ recipients[item] | default('x@y.zz') }}"]
        {
            assert_eq!(given(source).unwrap(), both, "{source}");
        }
        assert_eq!(given("{{ recipients['M\u{fc}ller'] }}").unwrap(), ["mueller@example.com"]);
        assert_eq!(
            given("{{ recipients[path[1]] | default('archive@example.com') }}").unwrap(),
            ["archive@example.com"]
        );
        assert_eq!(given("{% if count > 1 %}many{% else %}one{% endif %}@example.com").unwrap(), ["many@example.com"]);
    }

    #[test]
    fn nothing_is_guessed() {
        for (source, why) in [
            ("{{ recipients[path[1]] }}", "no entry `CLIP`"),
            ("{{ recipients[path[1]] }}@example.com", "no entry `CLIP`"),
            ("{{ path[0] }}", "`A001`, which is not an e-mail address"),
            // Whoever names the folder does not add recipients.
            ("{{ 'a@evil.example, b' }}@example.com", "which is not an e-mail address"),
            ("{{ recipients[item] }}x", "which is not an e-mail address"),
            ("{{ [] }}", "gives no recipient"),
            ("{{ nobody }}@example.com", "unknown variable `nobody`"),
            ("{{ path[9] }}@example.com", "undefined"),
        ] {
            let told = given(source).unwrap_err();
            assert!(told.contains(why), "{source}: {told}");
        }
        let hint = |name: &str| table().missing(name).hint.unwrap();
        assert!(hint("A01").contains("did you mean `A001`?"));
        assert!(hint("nobody").contains("add `nobody`"));
        let none = RecipientTemplate::new("{{ recipients.north }}", &Arc::default(), &Arc::default()).unwrap_err();
        assert!(none.message.contains("no `recipients`"), "{none}");
    }
}
