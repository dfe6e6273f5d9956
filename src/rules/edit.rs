//! Writes a rule into the text of a rules file and leaves every other byte, comments among them, as it is.
//!
//! Guarantees: the result holds exactly what the text held and the new rule as the last one, or it is an error and
//! there is no result. The text need not be valid but for its YAML; the caller reads the result before saving it.

use serde_json::Value as Json;

use super::yaml::{self, Node, Value};

/// Why a rule can not be added.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// The file is not YAML.
    #[error("the rules file is not YAML: {0}")]
    File(String),
    /// The new rule is not a YAML mapping.
    #[error("the new rule is not a YAML mapping")]
    Rule,
    /// The file is written in a style that has no place for a line more.
    #[error(
        "the `rules` of the file are written on one line or in JSON; write them as a list with a `-` for each rule"
    )]
    Style,
}

/// The text of one rule, its keys in the order given.
#[must_use]
pub fn rule_text<'a>(entries: impl IntoIterator<Item = (&'a str, Json)>) -> String {
    let mut text = String::new();
    for (key, value) in entries {
        write_entry(key, &value, 0, &mut text);
    }
    text
}

fn write_entry(key: &str, value: &Json, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    let key = if is_plain(key) { key.to_owned() } else { Json::from(key).to_string() };
    match value {
        Json::Object(entries) if !entries.is_empty() => {
            text.push_str(&format!("{indent}{key}:\n"));
            entries.iter().for_each(|(key, value)| write_entry(key, value, depth + 1, text));
        }
        Json::String(plain) if is_plain(plain) => text.push_str(&format!("{indent}{key}: {plain}\n")),
        // JSON is YAML, so a value in JSON means the same whatever it holds.
        other => text.push_str(&format!("{indent}{key}: {other}\n")),
    }
}

/// Whether YAML reads the bare text as that text, wherever it stands.
fn is_plain(text: &str) -> bool {
    let simple = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '@');
    let scalar = matches!(yaml::parse(text).map(|node| node.value), Ok(Value::Scalar(scalar))
        if scalar.kind == yaml::Kind::Text && scalar.text == text);
    scalar && text.chars().all(simple) && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '.')
}

/// Adds a rule, given as the YAML of its keys, to the end of the `rules` of a rules file.
///
/// # Errors
/// That one of the two is not YAML, or that the file's style has no place for it.
pub fn add_rule(text: &str, rule: &str) -> Result<String, EditError> {
    let old = yaml::parse(text).map_err(|error| EditError::File(error.message))?;
    let new = yaml::parse(rule).map_err(|_| EditError::Rule)?;
    if !matches!(new.value, Value::Map(_)) {
        return Err(EditError::Rule);
    }
    let edited = inserted(text, &old, rule).ok_or(EditError::Style)?;
    let read = yaml::parse(&edited).map_err(|_| EditError::Style)?;
    if is_old_and_new(&read, &old, &new) { Ok(edited) } else { Err(EditError::Style) }
}

fn rules_of(root: &Node) -> Option<(&Node, &Node)> {
    let Value::Map(pairs) = &root.value else { return None };
    pairs.iter().find(|(key, _)| key.text() == Some("rules")).map(|(key, value)| (key, value))
}

fn inserted(text: &str, root: &Node, rule: &str) -> Option<String> {
    let ending = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let Some((key, value)) = rules_of(root) else {
        let (before, after) = text.split_at(document_end(text));
        let gap = if before.is_empty() || before.ends_with('\n') { "" } else { ending };
        let list = item(rule, "  ", ending);
        return Some(format!("{before}{gap}{ending}rules:{ending}{list}{after}"));
    };
    match &value.value {
        Value::List(items) if !items.is_empty() => {
            let first = items.first()?.start;
            let line = text[..first].rfind('\n').map_or(0, |at| at + 1);
            let indent = text[line..first].strip_suffix("- ")?.trim_end_matches(' ').is_empty();
            let width = text[line..first].len().checked_sub(2)?;
            let indent = indent.then(|| " ".repeat(width))?;
            let at = list_end(text, line, width);
            let (before, after) = text.split_at(at);
            let gap = if before.ends_with('\n') { "" } else { ending };
            let blank = if has_blank_line(&text[line..at]) { ending } else { "" };
            Some(format!("{before}{gap}{blank}{}{after}", item(rule, &indent, ending)))
        }
        _ => {
            // `rules:` with nothing, `[]` or null behind it: the rest of that line is replaced.
            let colon = key.end + text[key.end..].find(':')?;
            let line_end = colon + text[colon..].find('\n').map_or(text.len() - colon, |at| at + 1);
            let rest = text[colon + 1..line_end].trim();
            let (nothing, comment) = rest.split_once('#').map_or((rest, None), |(left, right)| (left, Some(right)));
            if !matches!(nothing.trim(), "" | "[]" | "~" | "null" | "[ ]") {
                return None;
            }
            let comment = comment.map(|comment| format!(" #{comment}")).unwrap_or_default();
            let list = item(rule, "  ", ending);
            Some(format!("{}:{comment}{ending}{list}{}", &text[..colon], &text[line_end..]))
        }
    }
}

/// The rule as an item of a list.
fn item(rule: &str, indent: &str, ending: &str) -> String {
    let lines = rule.lines().filter(|line| !line.trim().is_empty()).enumerate();
    let line = |(index, line): (usize, &str)| {
        let dash = if index == 0 { "- " } else { "  " };
        format!("{indent}{dash}{line}{ending}")
    };
    lines.map(line).collect()
}

/// Where the list that begins at `from` with dashes `width` columns in ends: behind its last line that is neither
/// empty nor a comment of what follows.
fn list_end(text: &str, from: usize, width: usize) -> usize {
    let (mut end, mut at) = (from, from);
    for line in text[from..].split_inclusive('\n') {
        let bare = line.trim_end();
        let indent = bare.len() - bare.trim_start_matches(' ').len();
        let dash = indent == width && (bare[indent..].starts_with("- ") || &bare[indent..] == "-");
        let inside = indent > width || dash;
        let comment = bare.trim_start().starts_with('#');
        at += line.len();
        if bare.is_empty() || (comment && !inside) {
            continue;
        }
        if !inside {
            break;
        }
        end = at;
    }
    end
}

fn has_blank_line(text: &str) -> bool {
    text.lines().any(|line| line.trim().is_empty())
}

/// Where a document ends: before its end marker, or at the end of the text.
fn document_end(text: &str) -> usize {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if line.trim_end() == "..." {
            return at;
        }
        at += line.len();
    }
    text.len()
}

/// Whether the tree holds exactly what the old one held and the new rule as the last one.
fn is_old_and_new(read: &Node, old: &Node, new: &Node) -> bool {
    let others = |root: &Node| -> Vec<(Node, Node)> {
        let Value::Map(pairs) = &root.value else { return Vec::new() };
        pairs.iter().filter(|(key, _)| key.text() != Some("rules")).cloned().collect()
    };
    let list = |root: &Node| -> Vec<Node> {
        match rules_of(root).map(|(_, value)| &value.value) {
            Some(Value::List(items)) => items.clone(),
            _ => Vec::new(),
        }
    };
    let (read_others, old_others) = (others(read), others(old));
    let (mut read_rules, old_rules) = (list(read), list(old));
    let last = read_rules.pop();
    let same = |left: &(Node, Node), right: &(Node, Node)| left.0.same(&right.0) && left.1.same(&right.1);
    read_others.len() == old_others.len()
        && read_others.iter().zip(&old_others).all(|(left, right)| same(left, right))
        && read_rules.len() == old_rules.len()
        && read_rules.iter().zip(&old_rules).all(|(left, right)| left.same(right))
        && last.is_some_and(|last| last.same(new))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::EXAMPLE;

    const RULE: &str = "name: new\nwatch: /srv/new\nupload: {\"kind\":\"link\"}\n";

    fn added(text: &str) -> String {
        add_rule(text, RULE).unwrap()
    }

    #[test]
    fn comments_and_spacing_stay() {
        let text = "# head\nversion: 1\nrules:\n  # first\n  - name: a # here\n    watch: b\n\n# tail\n";
        let expected = "# head\nversion: 1\nrules:\n  # first\n  - name: a # here\n    watch: b\n  \
                        - name: new\n    watch: /srv/new\n    upload: {\"kind\":\"link\"}\n\n# tail\n";
        assert_eq!(added(text), expected);
    }

    #[test]
    fn the_example_gets_a_rule_more_and_loses_nothing() {
        let edited = added(EXAMPLE);
        assert!(edited.starts_with(EXAMPLE.trim_end()));
        assert!(edited.ends_with("\n\n  - name: new\n    watch: /srv/new\n    upload: {\"kind\":\"link\"}\n"));
    }

    #[test]
    fn a_file_without_rules_gets_the_list() {
        assert_eq!(
            added("version: 1\n"),
            "version: 1\n\nrules:\n  - name: new\n    watch: /srv/new\n    upload: {\"kind\":\"link\"}\n"
        );
        for empty in ["rules:", "rules: []", "rules: [] # none yet", "rules: ~", "rules: # none"] {
            let edited = added(&format!("version: 1\n{empty}\ndefaults: {{ settle: 1s }}\n"));
            assert!(edited.contains("- name: new"), "{edited}");
            assert_eq!(empty.contains("none"), edited.contains("none"), "{edited}");
        }
        assert!(added("version: 1\n---\n".trim_end_matches("---\n")).contains("rules:"));
        assert!(added("version: 1").contains("rules:"));
    }

    #[test]
    fn lists_at_the_left_edge_sections_behind_and_block_texts() {
        let edited = added("version: 1\nrules:\n- name: a\n  watch: |\n    b\n    # not a comment\ncloud:\n  url: x\n");
        assert!(edited.contains("# not a comment\n- name: new\n  watch: /srv/new\n"), "{edited}");
        assert!(edited.ends_with("cloud:\n  url: x\n"));
    }

    #[test]
    fn line_endings_are_kept() {
        let edited = added("version: 1\r\nrules:\r\n  - name: a\r\n    watch: b\r\n");
        assert_eq!(edited.matches('\n').count(), edited.matches("\r\n").count());
    }

    #[test]
    fn styles_without_room_are_refused() {
        for text in ["{version: 1, rules: [{name: a}]}", "version: 1\nrules: [{name: a}]\n", "rules: 5\n"] {
            assert_eq!(add_rule(text, RULE), Err(EditError::Style), "{text}");
        }
        assert!(matches!(add_rule("a: [", RULE), Err(EditError::File(_))));
        assert_eq!(add_rule("version: 1\n", "- no mapping"), Err(EditError::Rule));
    }

    #[test]
    fn values_mean_what_was_given() {
        let text = rule_text([
            ("name", Json::from("a-1")),
            ("watch", Json::from("/srv/x y: #z")),
            ("portal", Json::from("no")),
            ("into", Json::from("~")),
            ("since", Json::from("2026-11-01T00:00:00Z")),
            ("upload", serde_json::json!({ "kind": "link", "name": "{{ rule }} \"x\" \\ ü \u{1}" })),
            ("enabled", Json::from(true)),
            ("priority", Json::from(-3)),
        ]);
        let read: Json = serde_yaml::from_str(&text).unwrap();
        assert_eq!(read["watch"], "/srv/x y: #z");
        assert_eq!(read["portal"], "no");
        assert_eq!(read["into"], "~");
        assert_eq!(read["since"], "2026-11-01T00:00:00Z");
        assert_eq!(read["upload"]["name"], "{{ rule }} \"x\" \\ ü \u{1}");
        assert_eq!(read["priority"], -3);
        assert!(text.starts_with("name: a-1\n"));
        assert!(text.contains("upload:\n  kind: link\n"));
    }
}
