//! The entries of a mapping, according to the table of its section: accepts known keys, refuses others.

use secrecy::SecretString;

use super::reader::{Reader, did_you_mean};
use super::schema_table::{Key, is_free, names};
use super::suggest::{meant, nearest};
use super::value_type::Shape;
use super::yaml::{Kind, Node, Value};

/// A value and the path of keys to it.
#[derive(Debug, Clone)]
pub(super) struct At<'a> {
    pub node: &'a Node,
    pub path: String,
    /// The key in its section, if it has one.
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

    /// The items of a list, or a single value instead of a list.
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

impl<'a> Reader<'a> {
    /// The fields of a mapping, which must be one.
    pub(super) fn fields<'r>(&'r self, at: &At<'a>, section: &'static [Key]) -> Option<Fields<'r, 'a>>
    where
        'a: 'r,
    {
        self.merged(at, None, section)
    }

    /// The fields of a mapping; of the keys of the section only those that pass are offered in place of unknown ones.
    pub(super) fn fields_offering<'r>(
        &'r self,
        at: &At<'a>,
        section: &'static [Key],
        offered: impl Fn(&str) -> bool,
    ) -> Option<Fields<'r, 'a>>
    where
        'a: 'r,
    {
        self.read_fields(at, None, section, names(section).into_iter().filter(|name| offered(name)).collect())
    }

    /// The fields of a mapping and, for keys that it does not have, those of another one.
    pub(super) fn merged<'r>(
        &'r self,
        at: &At<'a>,
        inherited: Option<&At<'a>>,
        section: &'static [Key],
    ) -> Option<Fields<'r, 'a>>
    where
        'a: 'r,
    {
        self.read_fields(at, inherited, section, names(section))
    }

    fn read_fields<'r>(
        &'r self,
        at: &At<'a>,
        inherited: Option<&At<'a>>,
        section: &'static [Key],
        offered: Vec<&'static str>,
    ) -> Option<Fields<'r, 'a>>
    where
        'a: 'r,
    {
        if !at.is_map() {
            self.wrong(at, &Shape::Defined(""));
            return None;
        }
        let mut fields = Fields { reader: self, at: at.clone(), section, entries: Vec::new(), slips: Vec::new() };
        fields.add_own(&offered);
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
    /// Keys that unknown ones were probably meant to be; `None` for those without a likeness.
    slips: Vec<Option<&'static str>>,
}

impl<'a> Fields<'_, 'a> {
    fn add_own(&mut self, known: &[&'static str]) {
        let mut seen: Vec<&str> = Vec::new();
        for (key, value) in self.at.pairs() {
            let Some(name) = key.text() else {
                let help = Some(format!("the valid keys here are: {}", known.join(", ")));
                self.reader.error_at(key.start, key.end, &self.at.path, "expected a key".to_owned(), help);
                continue;
            };
            if seen.contains(&name) {
                let message = format!("`{name}` occurs twice");
                let path = self.at.child(name, value, None).path;
                self.reader.error_at(key.start, key.end, &path, message, Some("keep one of them".to_owned()));
                continue;
            }
            seen.push(name);
            match self.section.iter().find(|known| known.name == name) {
                Some(known) => self.entries.push((known.name, self.at.child(name, value, Some(known)))),
                None if is_free(self.section, name) => {}
                None => {
                    let all = || format!("the valid keys here are: {}", known.join(", "));
                    let meant = meant(name, known);
                    let same = meant.map(|meant| format!("did you mean `{meant}`?"));
                    let help = did_you_mean(name, known).or(same).unwrap_or_else(all);
                    self.slips.push(nearest(name, known).or(meant));
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

    /// The value of a key. Null counts as absent.
    pub(super) fn optional(&self, name: &'static str) -> Option<At<'a>> {
        debug_assert!(self.section.iter().any(|key| key.name == name), "{name} is in no table");
        let (_, at) = self.entries.iter().find(|(entry, _)| *entry == name)?;
        let null = matches!(&at.node.value, Value::Scalar(scalar) if scalar.kind == Kind::Null);
        (!null).then(|| at.clone())
    }

    /// The same, but only if the mapping itself has it and does not inherit it.
    pub(super) fn own(&self, name: &'static str) -> Option<At<'a>> {
        let own = self.at.pairs().iter().any(|(key, _)| key.text() == Some(name));
        self.optional(name).filter(|_| own)
    }

    /// The value of a required key.
    pub(super) fn required(&self, name: &'static str) -> Option<At<'a>> {
        let found = self.optional(name);
        if found.is_none() && !self.slips.contains(&Some(name)) {
            let example = self.section.iter().find(|key| key.name == name).map(|key| key.example);
            let help = example.map(|example| format!("add `{name}: {example}`"));
            self.reader.error(&self.at, format!("`{name}` is missing"), help);
        }
        found
    }

    /// The position of the key, if its value is null.
    pub(super) fn null(&self, name: &'static str) -> Option<&At<'a>> {
        let (_, at) = self.entries.iter().find(|(entry, _)| *entry == name)?;
        matches!(&at.node.value, Value::Scalar(scalar) if scalar.kind == Kind::Null).then_some(at)
    }

    /// Reads a secret if the key is present. A blank one is an error like an empty one: it was meant to protect something.
    pub(super) fn secret(&self, name: &'static str, reader: &Reader<'_>) -> Option<Option<SecretString>> {
        if let Some(at) = self.null(name) {
            let help = format!("give it a value, or remove `{name}`");
            reader.error(at, format!("`{name}` is blank"), Some(help));
            return None;
        }
        self.maybe(name, |at| reader.secret(at))
    }

    /// Reads a key with the function, or uses the default if it is absent. `None` if it is wrong.
    pub(super) fn or<T>(&self, name: &'static str, default: T, read: impl FnOnce(&At<'a>) -> Option<T>) -> Option<T> {
        match self.optional(name) {
            Some(at) => read(&at),
            None => Some(default),
        }
    }

    /// Reads a key with the function if it is present: `Some(None)` if it is absent, `None` if it is wrong.
    pub(super) fn maybe<T>(&self, name: &'static str, read: impl FnOnce(&At<'a>) -> Option<T>) -> Option<Option<T>> {
        match self.optional(name) {
            Some(at) => read(&at).map(Some),
            None => Some(None),
        }
    }

    /// Whether a key was unknown, so that a missing key may be a typo that was already reported.
    pub(super) fn has_slips(&self) -> bool {
        !self.slips.is_empty()
    }

    /// The mapping itself.
    pub(super) fn at(&self) -> &At<'a> {
        &self.at
    }

    /// Every entry, own ones first, for the digest.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'static str, &'a Node)> {
        self.entries.iter().map(|(name, at)| (*name, at.node))
    }

    /// The keys that are present.
    pub(super) fn present(&self) -> impl Iterator<Item = (&'static str, &At<'a>)> {
        self.entries.iter().map(|(name, at)| (*name, at))
    }
}
