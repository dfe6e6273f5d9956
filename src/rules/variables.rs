//! Puts environment variables into the tree as written: `${NAME}`, `${NAME:-default}`, and `$${` for a literal
//! `${`. Keys are left as they are.

use super::fields::At;
use super::reader::Reader;
use super::yaml::{Kind, Node, Scalar, Value};

/// Replaces the variables in every value below, recording errors.
pub(super) fn replace(node: &Node, path: &str, reader: &Reader<'_>) -> Node {
    let at = At { node, path: path.to_owned(), key: None };
    let value = match &node.value {
        Value::Scalar(scalar) if scalar.text.contains("${") => Value::Scalar(replaced(scalar, &at, reader)),
        Value::Scalar(scalar) => Value::Scalar(scalar.clone()),
        Value::List(_) => Value::List(at.items().iter().map(|item| replace(item.node, &item.path, reader)).collect()),
        Value::Map(pairs) => {
            let pair = |(key, value): &(Node, Node)| {
                let child = at.child(key.text().unwrap_or("?"), value, None);
                (key.clone(), replace(value, &child.path, reader))
            };
            Value::Map(pairs.iter().map(pair).collect())
        }
    };
    Node { value, start: node.start, end: node.end }
}

fn replaced(scalar: &Scalar, at: &At<'_>, reader: &Reader<'_>) -> Scalar {
    match expand(&scalar.text, &|name| reader.environment.variable(name)) {
        Ok(text) => Scalar { text, kind: Kind::Replaced },
        Err(errors) => {
            for (message, help) in errors {
                reader.error(at, message, Some(help));
            }
            Scalar { text: scalar.text.clone(), kind: Kind::Unresolved }
        }
    }
}

type Problem = (String, String);

/// The text with its variables replaced, or all its errors. The values of variables are not expanded again.
pub(super) fn expand(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<String, Vec<Problem>> {
    let mut result = String::with_capacity(text.len());
    let mut problems = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let before = &rest[..at];
        rest = &rest[at + 2..];
        if let Some(before) = before.strip_suffix('$') {
            result.push_str(before);
            result.push_str("${");
            continue;
        }
        result.push_str(before);
        let Some(end) = rest.find('}') else {
            problems.push(("`${` without a `}`".to_owned(), "write `$${` for a literal `${`".to_owned()));
            break;
        };
        let (inside, after) = (&rest[..end], &rest[end + 1..]);
        rest = after;
        let (name, default) = inside.split_once(":-").map_or((inside, None), |(name, other)| (name, Some(other)));
        if !is_name(name) {
            let help = "write `${NAME}` or `${NAME:-default}`, and `$${` for a literal `${`".to_owned();
            problems.push((format!("`{name}` is not the name of an environment variable"), help));
            continue;
        }
        // As in a shell, `:-` stands in for an empty variable too.
        let value = variable(name).filter(|value| !(value.is_empty() && default.is_some()));
        match value.or_else(|| default.map(str::to_owned)) {
            Some(value) => result.push_str(&value),
            None => {
                let help = format!("set it for the agent, or give a default: `${{{name}:-...}}`");
                problems.push((format!("environment variable `{name}` is not set"), help));
            }
        }
    }
    result.push_str(rest);
    if problems.is_empty() { Ok(result) } else { Err(problems) }
}

fn is_name(text: &str) -> bool {
    let mut letters = text.chars();
    letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_defaults_and_literals() {
        let known = |name: &str| match name {
            "A" => Some("one".to_owned()),
            "EMPTY" => Some(String::new()),
            "NESTED" => Some("${A}".to_owned()),
            _ => None,
        };
        let expanded = |text| expand(text, &known);
        assert_eq!(expanded("x ${A} y ${A}").unwrap(), "x one y one");
        assert_eq!(expanded("${B:-two}${B:-}").unwrap(), "two");
        assert_eq!(expanded("[${EMPTY}] [${EMPTY:-full}]").unwrap(), "[] [full]");
        assert_eq!(expanded("$${A} $$ $5 {A}").unwrap(), "${A} $$ $5 {A}");
        assert_eq!(expanded("${NESTED}").unwrap(), "${A}");
        assert_eq!(expanded("${B} ${C}").unwrap_err().len(), 2);
        assert!(expanded("${").is_err());
        assert!(expanded("${}").is_err());
        assert!(expanded("${a b}").is_err());
    }
}
