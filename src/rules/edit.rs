//! Writes a rule, or a key of one, to the text of a rules file and leaves every other byte, including comments, as it
//! is.
//!
//! Guarantees: the result contains exactly the old content and the change, or it is an error and there is no
//! result. The text must be valid YAML, but not necessarily valid rules; the caller checks the result before saving it.

use serde_json::Value as Json;

use super::yaml::{self, Node, Value};

/// Why a rule cannot be added.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// The file is not YAML.
    #[error("the rules file is not valid YAML: {0}")]
    File(String),
    /// The new rule is not a YAML mapping.
    #[error("the new rule is not a YAML mapping")]
    Rule,
    /// No rule in the file has that name, literally.
    #[error("the rules file does not contain a rule named `{0}`")]
    NoRule(String),
    /// The key cannot be changed without changing more.
    #[error("`{0}` of that rule is written in a form that can only be edited by hand")]
    Key(String),
    /// The file's style does not allow adding a line.
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

/// Whether YAML reads the unquoted text as that text in any position.
fn is_plain(text: &str) -> bool {
    let simple = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '@');
    let scalar = matches!(yaml::parse(text).map(|node| node.value), Ok(Value::Scalar(scalar))
        if scalar.kind == yaml::Kind::Text && scalar.text == text);
    scalar && text.chars().all(simple) && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '.')
}

/// Adds a rule, given as the YAML of its keys, to the end of the `rules` of a rules file.
///
/// # Errors
/// If one of the two is not YAML, or if the file's style does not allow it.
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

/// Sets a key of the rule named `rule` to a number, a boolean or a string.
///
/// # Errors
/// If the text is not YAML, if there is no such rule, or if the key's value cannot be replaced.
pub fn set_key(text: &str, rule: &str, key: &str, value: &Json) -> Result<String, EditError> {
    let refused = || EditError::Key(key.to_owned());
    let old = yaml::parse(text).map_err(|error| EditError::File(error.message))?;
    let value = value.to_string();
    let new = yaml::parse(&value).map_err(|_| refused())?;
    let place = place_of(&old, rule).ok_or_else(|| EditError::NoRule(rule.to_owned()))?;
    let edited = with_key(text, &list_of(&old)[place], key, &value).ok_or_else(refused)?;
    let read = yaml::parse(&edited).map_err(|_| refused())?;
    let expected = list_of(&old).into_iter().enumerate().map(|(index, node)| match node.value {
        Value::Map(pairs) if index == place => {
            let others = pairs.into_iter().filter(|(name, _)| name.text() != Some(key)).collect();
            Node { value: Value::Map(others), ..node }
        }
        value => Node { value, ..node },
    });
    let mut found = list_of(&read);
    let set = found.get_mut(place).and_then(|node| taken(node, key));
    let same = found.len() == list_of(&old).len() && found.iter().zip(expected).all(|(one, other)| one.same(&other));
    if same && same_others(&read, &old) && set.is_some_and(|set| set.same(&new)) { Ok(edited) } else { Err(refused()) }
}

/// Removes the rule named `rule`, with the comments in it; those around it are kept.
///
/// # Errors
/// If the text is not YAML, if there is no such rule, or if the file's style does not allow removing it alone.
pub fn remove_rule(text: &str, rule: &str) -> Result<String, EditError> {
    let old = yaml::parse(text).map_err(|error| EditError::File(error.message))?;
    let place = place_of(&old, rule).ok_or_else(|| EditError::NoRule(rule.to_owned()))?;
    let edited = without(text, &old, place).ok_or(EditError::Style)?;
    let read = yaml::parse(&edited).map_err(|_| EditError::Style)?;
    let (mut expected, found) = (list_of(&old), list_of(&read));
    expected.remove(place);
    let same = found.len() == expected.len() && found.iter().zip(&expected).all(|(one, other)| one.same(other));
    if same && same_others(&read, &old) { Ok(edited) } else { Err(EditError::Style) }
}

/// The text without one item of its list of rules.
fn without(text: &str, root: &Node, place: usize) -> Option<String> {
    let (key, value) = rules_of(root)?;
    let Value::List(items) = &value.value else { return None };
    let start = items.get(place)?.start;
    let line = text.get(..start)?.rfind('\n').map_or(0, |at| at + 1);
    let indent = text.get(line..start)?.trim_end_matches(' ').strip_suffix('-')?;
    if !indent.trim_matches(' ').is_empty() {
        return None;
    }
    let end = item_end(text, line, indent.len());
    let (before, after) = (text.get(..line)?, text.get(end..)?);
    if items.len() > 1 {
        return Some(format!("{before}{after}"));
    }
    let colon = key.end + text.get(key.end..)?.find(':')? + 1;
    Some(format!("{} []{}{after}", text.get(..colon)?, text.get(colon..line)?))
}

/// Where the item ends whose dash is in the line at `from`, indented by `width`: after its last line that is indented more.
fn item_end(text: &str, from: usize, width: usize) -> usize {
    let (mut end, mut at) = (from, from);
    for (index, line) in text[from..].split_inclusive('\n').enumerate() {
        at += line.len();
        let bare = line.trim_end();
        if bare.is_empty() {
            continue;
        }
        let deeper = bare.len() - bare.trim_start_matches(' ').len() > width;
        if index > 0 && !deeper {
            break;
        }
        end = at;
    }
    end
}

/// Which of the file's rules has that name.
fn place_of(root: &Node, rule: &str) -> Option<usize> {
    list_of(root).iter().position(|node| name_of(node).is_some_and(|(_, name)| name.text() == Some(rule)))
}

fn name_of(rule: &Node) -> Option<&(Node, Node)> {
    let Value::Map(pairs) = &rule.value else { return None };
    pairs.iter().find(|(key, _)| key.text() == Some("name"))
}

/// Removes a key from a mapping.
fn taken(map: &mut Node, key: &str) -> Option<Node> {
    let Value::Map(pairs) = &mut map.value else { return None };
    let at = pairs.iter().position(|(name, _)| name.text() == Some(key))?;
    Some(pairs.remove(at).1)
}

/// The text with the key's value replaced, or with the key inserted after the rule's name.
fn with_key(text: &str, rule: &Node, key: &str, value: &str) -> Option<String> {
    let Value::Map(pairs) = &rule.value else { return None };
    if let Some((_, old)) = pairs.iter().find(|(name, _)| name.text() == Some(key)) {
        let (before, after) = (text.get(..old.start)?, text.get(old.end..)?);
        return (old.end > old.start).then(|| format!("{before}{value}{after}"));
    }
    let (name, named) = name_of(rule)?;
    if text.get(rule.start..)?.starts_with('{') {
        return Some(format!("{}, {key}: {value}{}", text.get(..named.end)?, text.get(named.end..)?));
    }
    let line = text.get(..name.start)?.rfind('\n').map_or(0, |at| at + 1);
    let indent: String = text.get(line..name.start)?.chars().map(|c| if c == '-' { ' ' } else { c }).collect();
    let ending = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let at = text.get(named.end..)?.find('\n').map_or(text.len(), |at| named.end + at + 1);
    let gap = if text[..at].ends_with('\n') { "" } else { ending };
    Some(format!("{}{gap}{indent}{key}: {value}{ending}{}", &text[..at], &text[at..]))
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
            // `rules:` followed by nothing, `[]` or null: the rest of that line is replaced.
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

/// Where the list ends that begins at `from` with dashes indented by `width`: after its last line that is neither
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

fn list_of(root: &Node) -> Vec<Node> {
    match rules_of(root).map(|(_, value)| &value.value) {
        Some(Value::List(items)) => items.clone(),
        _ => Vec::new(),
    }
}

/// Whether two trees are equal except for their rules.
fn same_others(read: &Node, old: &Node) -> bool {
    let others = |root: &Node| -> Vec<(Node, Node)> {
        let Value::Map(pairs) = &root.value else { return Vec::new() };
        pairs.iter().filter(|(key, _)| key.text() != Some("rules")).cloned().collect()
    };
    let (read, old) = (others(read), others(old));
    let same = |left: &(Node, Node), right: &(Node, Node)| left.0.same(&right.0) && left.1.same(&right.1);
    read.len() == old.len() && read.iter().zip(&old).all(|(left, right)| same(left, right))
}

/// Whether the tree contains exactly the old one and the new rule at the end.
fn is_old_and_new(read: &Node, old: &Node, new: &Node) -> bool {
    let (mut read_rules, old_rules) = (list_of(read), list_of(old));
    let last = read_rules.pop();
    same_others(read, old)
        && read_rules.len() == old_rules.len()
        && read_rules.iter().zip(&old_rules).all(|(left, right)| left.same(right))
        && last.is_some_and(|last| last.same(new))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EXAMPLE;

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
    fn a_key_is_replaced_where_it_stands_or_put_behind_the_name() {
        let set = |text: &str, key: &str, value: Json| set_key(text, "b", key, &value).unwrap();
        let text = "version: 1\nrules:\n  - name: a\n    priority: 1\n  - watch: x\n    name: b # ours\n    priority: 2 # two\n";
        let edited = set(text, "priority", Json::from(-3));
        assert_eq!(edited, text.replace("2 # two", "-3 # two"));
        let edited = set(text, "enabled", Json::from(false));
        assert_eq!(edited, text.replace("# ours\n", "# ours\n    enabled: false\n"));
        let flow = "rules:\n  - { name: b, watch: x } # all\n";
        assert_eq!(
            set(flow, "enabled", Json::from(false)),
            "rules:\n  - { name: b, enabled: false, watch: x } # all\n"
        );
        assert_eq!(set("rules:\n- name: b", "priority", Json::from(1)), "rules:\n- name: b\n  priority: 1\n");
        let windows = "rules:\r\n  - name: b\r\n    watch: x\r\n";
        let edited = set(windows, "priority", Json::from(1));
        assert_eq!(edited.matches('\n').count(), edited.matches("\r\n").count());
    }

    #[test]
    fn a_key_that_cannot_be_changed_alone_is_left_to_people() {
        let shared = "x: &x 1\nrules:\n  - { name: a, priority: *x }\n  - { name: b, <<: { priority: 3 } }\n";
        assert_eq!(set_key(shared, "c", "priority", &Json::from(1)), Err(EditError::NoRule("c".to_owned())));
        assert_eq!(
            set_key(shared, "a", "priority", &Json::from(2)).unwrap(),
            shared.replace("priority: *x", "priority: 2")
        );
        let anchored = "rules:\n  - { name: a, priority: &p 1 }\n  - { name: b, priority: *p }\n";
        let edited = set_key(anchored, "a", "priority", &Json::from(2));
        assert!(matches!(edited, Err(EditError::Key(_))) || edited.unwrap().contains("priority: &p 2"));
        assert!(matches!(set_key("a: [", "a", "priority", &Json::from(1)), Err(EditError::File(_))));
    }

    #[test]
    fn a_rule_is_taken_out_and_what_is_around_it_stays() {
        let text = "# head\nversion: 1\nrules:\n  # first\n  - name: a # here\n    watch: b\n\n  # second\n  - name: b\n    # inside\n    \
                    watch: |\n      x\n\n      y\n  - { name: c, watch: z }\ncloud: { url: x }\n";
        let without_b = remove_rule(text, "b").unwrap();
        assert_eq!(without_b, text.replace("  - name: b\n    # inside\n    watch: |\n      x\n\n      y\n", ""));
        let without_c = remove_rule(&without_b, "c").unwrap();
        assert!(without_c.ends_with("  # second\ncloud: { url: x }\n"), "{without_c}");
        let empty = remove_rule(&without_c, "a").unwrap();
        assert!(empty.contains("rules: []\n  # first\n"), "{empty}");
        assert!(added(&empty).contains("- name: new"), "and another can be added");
        assert_eq!(remove_rule(text, "z"), Err(EditError::NoRule("z".to_owned())));
        assert_eq!(remove_rule("rules: [{ name: a }]\n", "a"), Err(EditError::Style));
        let left = "rules:\n- name: a\n  watch: b\n- name: b\n  watch: c\n# tail\n";
        assert_eq!(remove_rule(left, "b").unwrap(), "rules:\n- name: a\n  watch: b\n# tail\n");
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
