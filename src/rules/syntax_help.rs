//! What is wrong with a text that is not YAML, in words that say what to do.
//!
//! **In**: the text, and what the reader of YAML says of it. **Out**: where it is, what it is, what helps. Pure. The reader
//! tells what it met; what somebody did is a guess from the line it met it in.

use super::yaml::SyntaxError;

/// What is told of a text that is not YAML.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SyntaxHelp {
    /// Position in the text, in bytes.
    pub at: usize,
    pub message: String,
    pub help: String,
}

/// Puts an error of syntax into words.
pub(super) fn explain(text: &str, error: &SyntaxError) -> SyntaxHelp {
    if let Some(at) = tab_in_indentation(text, error) {
        let help = "indent with spaces: YAML allows no tabs there".to_owned();
        return SyntaxHelp { at, message: "not YAML: a tab in the indentation".to_owned(), help };
    }
    if let Some((message, help)) = too_much(&error.message) {
        return SyntaxHelp { at: error.at, message: message.to_owned(), help: help.to_owned() };
    }
    let line = line_at(text, error.at).1;
    let message = error.message.split(';').next().unwrap_or_default();
    SyntaxHelp {
        at: error.at,
        message: format!("not YAML: {message}"),
        help: help(&error.message, text, error.at, line),
    }
}

fn help(message: &str, text: &str, at: usize, line: &str) -> String {
    let has = |what: &str| message.contains(what);
    if has("unknown anchor") {
        return "an unquoted `*` begins a YAML alias: quote globs, like \"*.mov\"".to_owned();
    }
    if has(" tag") || has("Tag") {
        return "tags like `!secret` are not supported: write `${NAME}` for a variable, `{ file: PATH }` for a secret, or \
                quote text that begins with `!`"
            .to_owned();
    }
    if has("multiple YAML documents") {
        return "a rules file is a single document: remove the `---`".to_owned();
    }
    if has("unexpected character") {
        let letter = text[text.floor_char_boundary(at)..].chars().next().unwrap_or('@');
        return format!("quote text that begins with `{letter}`");
    }
    if holds_a_colon(line) {
        return "quote text that contains a colon followed by a space, like \"Episode: 1\"".to_owned();
    }
    if has("mapping values") {
        let before = line_at(text, line_at(text, at).0.saturating_sub(1)).1;
        let key = |line: &str| {
            let (key, value) = line.trim_start_matches([' ', '-']).split_once(':')?;
            let word = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            (word && !value.is_empty() && !value.starts_with([' ', '/'])).then(|| format!("{key}: {value}"))
        };
        if let Some(meant) = key(line).or_else(|| key(before)) {
            return format!("a blank belongs behind the colon: `{meant}`");
        }
    }
    if line.contains("{{") || line.contains("${") {
        return "quote text that contains `{{` or `${`, like \"{{ rule }}\"".to_owned();
    }
    if has("unclosed") && line.contains(" #") {
        return "a `#` behind a blank begins a comment: quote text that holds one".to_owned();
    }
    "check the indentation and quotes here and above".to_owned()
}

/// What of a file is more than is read.
fn too_much(message: &str) -> Option<(&'static str, &'static str)> {
    if message.contains("Depth") {
        Some(("not a rules file: it is nested too deep", "a rules file has no more than seven levels"))
    } else if message.contains("budget breached") || message.contains("alias replay limit") {
        let help = "at most 50,000, each counted as often as aliases repeat it: repeat less, or spread the rules over several agents";
        Some(("not a rules file: it holds too many values", help))
    } else {
        None
    }
}

/// The first byte of the line that holds a byte of the text, and the line.
fn line_at(text: &str, at: usize) -> (usize, &str) {
    let at = text.floor_char_boundary(at.min(text.len()));
    let begin = text[..at].rfind('\n').map_or(0, |end| end + 1);
    (begin, text[begin..].lines().next().unwrap_or_default())
}

/// The tab that is the matter: in the indentation of the line, or of the one after it, which is where the reader stops before it.
fn tab_in_indentation(text: &str, error: &SyntaxError) -> Option<usize> {
    let (begin, line) = line_at(text, error.at);
    let tab = |begin: usize, line: &str| {
        let indentation = &line[..line.len() - line.trim_start_matches([' ', '\t']).len()];
        indentation.find('\t').map(|tab| begin + tab)
    };
    if error.message.contains("tab")
        && let Some(at) = tab(begin, line)
    {
        return Some(at);
    }
    let next = begin + text[begin..].find('\n')? + 1;
    let after = text[next..].lines().next().unwrap_or_default();
    error.message.contains("found a tab").then(|| tab(next, after)).flatten()
}

/// Whether the value on a line contains what separates a key from its value.
fn holds_a_colon(line: &str) -> bool {
    let value = line.split_once(": ").map(|(_, value)| value.trim_start());
    let plain = value.is_some_and(|value| value.contains(": ") && !value.starts_with(['"', '\'', '{', '[', '|', '>']));
    // Inside of braces: a value with a colon of its own before the next comma.
    let in_flow = line.split([',', '{', '}', '[', ']']).any(|part| part.matches(": ").count() > 1);
    plain && !line.contains('{') || in_flow
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::parse;

    fn told(text: &str) -> (String, String, String) {
        let told = explain(text, &parse(text).unwrap_err());
        let rest = text[told.at..].lines().next().unwrap_or_default().to_owned();
        (rest, told.message, told.help)
    }

    /// A tab was told on the line before it, or as something else.
    #[test]
    fn a_tab_in_the_indentation_is_told_where_it_is() {
        for text in [
            "version: 1\nrules:\n  - name: x\n\twatch: drop\n",
            "version: 1\nrules:\n  - name: x\n  \twatch: drop\n",
            "version: 1\nrules:\n\t- watch: drop\n",
            "rules:\n  - upload:\n    \twatch: drop\n",
            "rules:\n  - { name: x,\n\twatch: drop, upload: { kind: link } }\n",
        ] {
            let (rest, message, help) = told(text);
            assert!(rest.starts_with('\t') && rest.contains("watch: drop"), "{text}: {rest}");
            assert_eq!(
                (message.as_str(), help.contains("spaces")),
                ("not YAML: a tab in the indentation", true),
                "{text}"
            );
        }
    }

    /// Case: `name: Episode: 1` is told to need quotes.
    #[test]
    fn what_somebody_did_is_guessed_from_the_line() {
        for (text, expected) in [
            ("rules:\n  - name: Episode: 1\n", "\"Episode: 1\""),
            ("rules:\n  - { name: x, upload: { name: Episode: 1 } }\n", "\"Episode: 1\""),
            ("rules:\n  - name:x\n    watch: drop\n", "`name: x`"),
            ("rules:\n  - watch: @drop\n", "begins with `@`"),
            ("rules:\n  - watch: %drop\n", "begins with `%`"),
            ("rules:\n  - upload: { kind: link, password: #abc }\n", "begins a comment"),
            ("rules:\n  - name: {{ rule }} x\n", "contains `{{`"),
            ("rules:\n  - include: [*.mov]\n", "quote globs"),
            ("rules: []\n---\nrules: []\n", "remove the `---`"),
        ] {
            assert!(told(text).2.contains(expected), "{text}: {:?}", told(text));
        }
    }

    /// The help for a file whose aliases multiply spoke of globs.
    #[test]
    fn a_file_that_is_too_much_is_called_so() {
        let mut text = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n".to_owned();
        for (name, before) in [("b", "a"), ("c", "b"), ("d", "c"), ("e", "d"), ("f", "e")] {
            text.push_str(&format!("{name}: &{name} [{}]\n", vec![format!("*{before}"); 9].join(", ")));
        }
        let many = format!("a: [{}]\n", vec!["1"; 60_000].join(","));
        for (text, message) in [
            (text, "too many values"),
            (many, "too many values"),
            (format!("{}{}", "[".repeat(60), "]".repeat(60)), "too deep"),
        ] {
            let (_, told, help) = told(&text);
            assert!(told.contains(message) && !help.contains("glob"), "{told}: {help}");
        }
    }
}
