//! The file as written: a tree of YAML values with their positions. The only place that knows which YAML
//! library reads it.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_yaml::{DuplicateKeyPolicy, NonFiniteFloatPolicy, Spanned};

/// Deepest nesting of a rules file; a valid one needs seven.
const DEEPEST: usize = 48;

/// Maximum number of values in a rules file, counting those that aliases repeat.
const MOST_NODES: usize = 50_000;

/// A value and its position in the text, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    pub value: Value,
    /// First byte.
    pub start: usize,
    /// Byte after the last one; of lists and maps only the start is known, and it is equal to that.
    pub end: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    /// In file order; keys may repeat.
    Map(Vec<(Node, Node)>),
}

/// A scalar keeps its spelling, so that `tag: 007` stays `007`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scalar {
    pub text: String,
    pub kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Bool(bool),
    Number,
    Text,
    /// Text in which variables were replaced: may be read as any kind.
    Replaced,
    /// Text whose variables could not be replaced, which was already reported.
    Unresolved,
}

/// Why a text is not valid YAML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SyntaxError {
    pub message: String,
    /// Position in the text, in bytes.
    pub at: usize,
}

impl Node {
    /// The text of a scalar that is not null.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(scalar) if scalar.kind != Kind::Null => Some(&scalar.text),
            _ => None,
        }
    }

    /// Moves it, with everything in it, that many bytes on.
    pub(super) fn moved(self, by: usize) -> Self {
        let value = match self.value {
            Value::Scalar(scalar) => Value::Scalar(scalar),
            Value::List(items) => Value::List(items.into_iter().map(|item| item.moved(by)).collect()),
            Value::Map(pairs) => {
                Value::Map(pairs.into_iter().map(|(key, value)| (key.moved(by), value.moved(by))).collect())
            }
        };
        Self { value, start: self.start + by, end: self.end + by }
    }

    /// Equal content, whatever the position.
    pub(super) fn same(&self, other: &Self) -> bool {
        let pair = |left: &(Self, Self), right: &(Self, Self)| left.0.same(&right.0) && left.1.same(&right.1);
        match (&self.value, &other.value) {
            (Value::Scalar(left), Value::Scalar(right)) => left == right,
            (Value::List(left), Value::List(right)) => {
                left.len() == right.len() && left.iter().zip(right).all(|(left, right)| left.same(right))
            }
            (Value::Map(left), Value::Map(right)) => {
                left.len() == right.len() && left.iter().zip(right).all(|(left, right)| pair(left, right))
            }
            _ => false,
        }
    }
}

/// Reads a text as one YAML document.
pub(super) fn parse(text: &str) -> Result<Node, SyntaxError> {
    let options = serde_yaml::options! {
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        with_snippet: false,
        reject_unsupported_tags: true,
        budget: serde_yaml::budget! { max_depth: DEEPEST, max_nodes: MOST_NODES },
        alias_limits: serde_yaml::alias_limits! { max_total_replayed_events: MOST_NODES },
    };
    match serde_yaml::from_str_with_options::<Raw>(text, options) {
        Ok(raw) => {
            let node = raw.node(text);
            match foreign_tag(&node, text, &mut 0) {
                Some((tag, at)) => Err(SyntaxError { message: format!("unsupported tag `{tag}`"), at }),
                None => Ok(node),
            }
        }
        Err(error) => {
            let whole = error.without_snippet().to_string();
            let message = whole.split_once(" at line ").map_or(whole.as_str(), |(message, _)| message).to_owned();
            let at = error.location().map_or(0, |place| offset_of(text, place.line(), place.column()));
            Err(SyntaxError { message, at })
        }
    }
}

/// Tags that mean what the value is without them.
const PLAIN_TAGS: [&str; 7] = ["!!str", "!!int", "!!float", "!!bool", "!!null", "!!map", "!!seq"];

/// The first tag that would be passed over, with its place. What is before `end` is text of other values.
fn foreign_tag(node: &Node, text: &str, end: &mut usize) -> Option<(String, usize)> {
    if let Some((tag, at)) = tag_before(node.start, text)
        && !PLAIN_TAGS.contains(&tag)
        && at >= *end
    {
        return Some((tag.to_owned(), at));
    }
    *end = node.end.max(*end);
    match &node.value {
        Value::Scalar(_) => None,
        Value::List(items) => items.iter().find_map(|item| foreign_tag(item, text, end)),
        Value::Map(pairs) => {
            pairs.iter().find_map(|(key, value)| foreign_tag(key, text, end).or_else(|| foreign_tag(value, text, end)))
        }
    }
}

/// The tag in front of a value, with its place.
fn tag_before(start: usize, text: &str) -> Option<(&str, usize)> {
    let before = text.get(..start)?;
    let trimmed = before.trim_end_matches([' ', '\n', '\r', '\t']);
    let at = trimmed.rfind([' ', '\n', '\t', '[', '{', ',']).map_or(0, |at| at + 1);
    let tag = trimmed.get(at..).filter(|tag| tag.starts_with('!'))?;
    let line = trimmed.get(..at)?.rsplit('\n').next()?.trim();
    let same_line = !before[trimmed.len()..].contains('\n');
    // At the end of a text or a comment, `!` is only a letter.
    let begins_a_value = line.ends_with(':')
        || line.bytes().all(|byte| matches!(byte, b'-' | b' '))
        || (same_line && line.ends_with(['[', '{', ',', '-']));
    (begins_a_value && !line.starts_with('#') && !line.contains(" #")).then_some((tag, at))
}

/// The byte at a line and column, both from 1, the column in characters.
fn offset_of(text: &str, line: u64, column: u64) -> usize {
    let (mut offset, mut left) = (0, line.saturating_sub(1));
    for row in text.split_inclusive('\n') {
        if left == 0 {
            let before = usize::try_from(column.saturating_sub(1)).unwrap_or(usize::MAX);
            let inside = row.trim_end_matches(['\r', '\n']);
            return offset + inside.char_indices().nth(before).map_or(inside.len(), |(at, _)| at);
        }
        left -= 1;
        offset += row.len();
    }
    text.len()
}

struct Raw(Spanned<RawValue>);

enum RawValue {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Raw>),
    Map(Vec<(Raw, Raw)>),
}

impl Raw {
    fn node(self, text: &str) -> Node {
        let bytes = |location: serde_yaml::Location| {
            let span = location.span();
            let offset = |value: Option<_>| value.and_then(|value| usize::try_from(value).ok());
            let start = offset(span.byte_offset()).unwrap_or(0).min(text.len());
            let end = start.saturating_add(offset(span.byte_len()).unwrap_or(0)).min(text.len());
            (start, end)
        };
        let written = {
            let (start, end) = bytes(self.0.defined);
            text.get(start..end).unwrap_or_default().trim()
        };
        let scalar = |text: &str, kind| Value::Scalar(Scalar { text: text.to_owned(), kind });
        let value = match self.0.value {
            RawValue::Null => scalar("", Kind::Null),
            RawValue::Bool(value) => scalar(written, Kind::Bool(value)),
            RawValue::Number(value) => scalar(if written.is_empty() { &value } else { written }, Kind::Number),
            RawValue::Text(value) => Value::Scalar(Scalar { text: value, kind: Kind::Text }),
            RawValue::List(items) => Value::List(items.into_iter().map(|item| item.node(text)).collect()),
            RawValue::Map(pairs) => {
                Value::Map(pairs.into_iter().map(|(key, value)| (key.node(text), value.node(text))).collect())
            }
        };
        let (start, end) = bytes(self.0.referenced);
        let end = if matches!(value, Value::Scalar(_)) { end } else { start };
        Node { value, start, end }
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Spanned::deserialize(deserializer).map(Self)
    }
}

impl<'de> Deserialize<'de> for RawValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = RawValue;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a YAML value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<RawValue, E> {
        Ok(RawValue::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<RawValue, E> {
        Ok(RawValue::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<RawValue, D::Error> {
        deserializer.deserialize_any(Self)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<RawValue, E> {
        Ok(RawValue::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<RawValue, E> {
        Ok(RawValue::Number(value.to_string()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<RawValue, E> {
        Ok(RawValue::Number(value.to_string()))
    }

    fn visit_i128<E: de::Error>(self, value: i128) -> Result<RawValue, E> {
        Ok(RawValue::Number(value.to_string()))
    }

    fn visit_u128<E: de::Error>(self, value: u128) -> Result<RawValue, E> {
        Ok(RawValue::Number(value.to_string()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<RawValue, E> {
        Ok(RawValue::Number(value.to_string()))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<RawValue, E> {
        Ok(RawValue::Text(value.to_owned()))
    }

    fn visit_bytes<E: de::Error>(self, value: &[u8]) -> Result<RawValue, E> {
        Ok(RawValue::Text(String::from_utf8_lossy(value).into_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<RawValue, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(RawValue::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<RawValue, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = entries.next_entry()? {
            pairs.push(pair);
        }
        Ok(RawValue::Map(pairs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(node: &Node, text: &str) -> String {
        let joined = |parts: Vec<String>| parts.join(", ");
        match &node.value {
            Value::Scalar(scalar) => {
                format!("{:?} {:?} at {:?}", scalar.kind, scalar.text, &text[node.start..node.end])
            }
            Value::List(items) => format!("[{}]", joined(items.iter().map(|item| shown(item, text)).collect())),
            Value::Map(pairs) => {
                let pair = |(key, value): &(Node, Node)| format!("{} = {}", shown(key, text), shown(value, text));
                format!("{{{}}}", joined(pairs.iter().map(pair).collect()))
            }
        }
    }

    fn values(text: &str) -> Vec<String> {
        let Value::Map(pairs) = parse(text).unwrap().value else { panic!("no map") };
        pairs.iter().map(|(_, value)| shown(value, text)).collect()
    }

    /// Case: `0123`, `yes`, `1e3` and `12:30:00` stay as they are spelled.
    #[test]
    fn scalars_keep_their_spelling_and_their_place() {
        let text = "a: 007\nb: no\nc: 1_000\nd: ~\ne: \"ü y\"\nf: 2026-11-01\n";
        let expected = [
            r#"Number "007" at "007""#,
            r#"Bool(false) "no" at "no""#,
            r#"Number "1_000" at "1_000""#,
            r#"Null "" at "~""#,
            r#"Text "ü y" at "\"ü y\"""#,
            r#"Text "2026-11-01" at "2026-11-01""#,
        ];
        assert_eq!(values(text), expected);
    }

    /// `!!binary` and `!str` were taken for no tags at all: the password was another than the one written.
    /// Case: a tag like `!secret`, `!ENV` or `!include` is an error, not passed over.
    #[test]
    fn every_tag_that_could_mean_something_is_refused() {
        for text in
            ["a: !!binary aGVsbG8=", "a: !str 123", "a:\n  !!timestamp\n  2026-01-01", "- !x a", "[a, !!binary YQ==]"]
        {
            let error = parse(text).err().unwrap_or_else(|| panic!("{text}"));
            assert!(error.message.contains("tag"), "{text}: {}", error.message);
        }
        for text in [
            "a: !!str 123",
            "a: go !now\nb: c",
            "a: b, !c\nd: e",
            "# a: !x\nb: c",
            "a: b # !x\nc: d",
            "a: '!x'\nb: \"!y\"",
            "a: |\n  one: !x\n\nb: c",
            "a: wait!\nb: c",
        ] {
            assert!(parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn repeated_keys_reach_the_reader() {
        assert_eq!(values("a: 1\na: 2\n").len(), 2);
    }

    #[test]
    fn an_alias_stands_where_it_is_used() {
        assert_eq!(values("x: &x hello\nz: *x\n")[1], r#"Text "hello" at "*x""#);
    }

    #[test]
    fn a_syntax_error_has_a_place() {
        let text = "é: 1\ninclude: [*.mov]\n";
        let error = parse(text).unwrap_err();
        assert_eq!(&text[error.at..=error.at], "*");
        assert_eq!(error.message, "alias references unknown anchor");
    }

    /// Case: a file nested too deeply is refused.
    #[test]
    fn deep_nesting_is_refused() {
        assert!(parse(&"[".repeat(10_000)).is_err());
        assert!(parse(&format!("{}{}", "[".repeat(60), "]".repeat(60))).is_err());
    }
}
