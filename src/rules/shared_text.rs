//! The text of a rules file for somebody who may change its rules, but is not the owner of its secrets and of the machine.
//!
//! In: the file's text; the changed text. Out: the text to show, in which the secrets are placeholders; the text to save, in which
//! the placeholders are the secrets again, or what it must not change.
//!
//! Guarantees: no secret of the file is in the text to show, except in a comment. The text to save gives nothing that the file did
//! not give before: no environment variable in a place where it was not, no program that is not run already, the same `cloud`,
//! `hub`, `template_env`, `include` and file of `recipients`. A secret stays with its key, so that it cannot become the name of a package. Every other byte is as it
//! was written.

use std::path::Path;

use super::diagnostics::Diagnostics;
use super::environment::FixedEnvironment;
use super::fields::At;
use super::reader::Reader;
use super::sources::Sources;
use super::yaml::{self, Kind, Node, Value};

/// Sections that say where everything is sent, what templates may read, and which other files are rules.
const FIXED: [&str; 4] = ["cloud", "hub", "template_env", "include"];
/// Keys whose values are secrets; of a webhook, its path and query are.
const SECRETS: [&str; 4] = ["password", "api_key", "secret", "webhook"];
const MARK: &str = "<kept secret";

/// Why a file cannot be shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotShown {
    /// It is not YAML, so its secrets cannot be found.
    #[error("the rules file is not valid YAML (line {line}): {message}")]
    File {
        /// The line of the error.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// A secret is written in a form that cannot be replaced.
    #[error("the value of `{0}` in the rules file is written in a form that cannot be hidden")]
    Secret(String),
}

/// A changed text with its secrets, and where they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The text to save.
    pub text: String,
    kept: Vec<Kept>,
}

/// A placeholder in a line of the changed text, in characters.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Kept {
    line: u32,
    column: u32,
    shown: u32,
    real: u32,
}

impl Taken {
    /// The column in the text that was shown of one in the text to save.
    #[must_use]
    pub fn column(&self, line: u32, column: u32) -> u32 {
        self.kept.iter().filter(|kept| kept.line == line).fold(column, |column, kept| {
            if column >= kept.column + kept.real { column - kept.real + kept.shown } else { column.min(kept.column) }
        })
    }
}

/// The text to show.
///
/// # Errors
/// See [`NotShown`].
pub fn show(text: &str) -> Result<String, NotShown> {
    let body = without_mark(text);
    let root = yaml::parse(body).map_err(|error| NotShown::File {
        line: body.get(..error.at).unwrap_or_default().matches('\n').count() + 1,
        message: error.message,
    })?;
    let secrets = secrets(&root);
    let mut shown = body.to_owned();
    for (index, (key, node)) in secrets.iter().enumerate().rev() {
        let cannot = || NotShown::Secret(key.clone());
        let raw = body.get(node.start..node.end).filter(|raw| !raw.is_empty() && !raw.contains('\n'));
        raw.ok_or_else(cannot)?;
        shown.replace_range(node.start..node.end, &placeholder(index));
    }
    let unclear = || NotShown::Secret(secrets.first().map_or_else(|| MARK.to_owned(), |(key, _)| key.clone()));
    let read = yaml::parse(&shown).map_err(|_| unclear())?;
    if body.contains(MARK) || !is_hidden(&root, &read, "", &secrets) {
        return Err(unclear());
    }
    Ok(format!("{}{shown}", &text[..text.len() - body.len()]))
}

/// The text to save, for a changed text of `old`. A text that is not YAML is returned as it is: it cannot be saved.
///
/// # Errors
/// What it must not change, with positions in `new`.
pub fn take(new: &str, old: &str, file: &Path) -> Result<Taken, Diagnostics> {
    let unix = new.replace("\r\n", "\n");
    let new = if old.contains("\r\n") { unix.replace('\n', "\r\n") } else { new.to_owned() };
    let body = without_mark(&new);
    let nothing = FixedEnvironment::default();
    let sources = Sources::new(file, body);
    let reader = Reader::new(&sources.all, file, &nothing);
    let root = match yaml::parse(body) {
        Ok(root) => root,
        Err(_) => return Ok(Taken { text: new, kept: Vec::new() }),
    };
    let old_body = without_mark(old);
    let before = yaml::parse(old_body).ok();
    let kept = before.as_ref().map(secrets).unwrap_or_default();
    let shown = show(old).ok().and_then(|shown| yaml::parse(without_mark(&shown)).ok()).or_else(|| before.clone());
    let known = shown.as_ref().map(Known::of).unwrap_or_default();
    for section in FIXED {
        let (is, was) = (entry(&root, section), shown.as_ref().and_then(|shown| entry(shown, section)));
        let same = match (is, was) {
            (Some(is), Some(was)) => is.same(was),
            (None, None) => true,
            _ => false,
        };
        if !same {
            let (start, end) = is.map_or((0, 0), |node| (node.start, node.end));
            let help = "edit the file on the agent's machine".to_owned();
            reader.error_at(
                start,
                end,
                section,
                format!("`{section}` can only be changed in the file itself"),
                Some(help),
            );
        }
    }
    // A table of recipients may be changed here, but not which file is one.
    if let Some(is) = entry(&root, "recipients").filter(|is| is.text().is_some()) {
        let was = shown.as_ref().and_then(|shown| entry(shown, "recipients"));
        if !was.is_some_and(|was| was.same(is)) {
            let help = "edit the file on the agent's machine, or write the table here".to_owned();
            let message = "the file of `recipients` can only be chosen in the file itself".to_owned();
            reader.error_at(is.start, is.end, "recipients", message, Some(help));
        }
    }
    let mut found = Vec::new();
    check(&At::root(&root), "", &known, &kept, &reader, &mut found);
    reader.finish()?;
    found.sort_by_key(|(node, _)| node.start);
    found.dedup_by_key(|(node, _)| node.start);
    Ok(restored(&new, body, old_body, &found, &kept))
}

/// Puts the secrets back.
fn restored(new: &str, body: &str, old: &str, found: &[(&Node, usize)], secrets: &[(String, &Node)]) -> Taken {
    let mut text = String::with_capacity(new.len());
    text.push_str(&new[..new.len() - body.len()]);
    let (mut kept, mut at) = (Vec::new(), 0);
    for (node, index) in found {
        let raw = secrets.get(*index).and_then(|(_, secret)| old.get(secret.start..secret.end)).unwrap_or_default();
        let (Some(before), Some(mark)) = (body.get(at..node.start), body.get(node.start..node.end)) else { continue };
        text.push_str(before);
        let line = body[..node.start].matches('\n').count() + 1;
        let column = text.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let small = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        kept.push(Kept {
            line: small(line),
            column: small(column),
            shown: small(mark.chars().count()),
            real: small(raw.chars().count()),
        });
        text.push_str(raw);
        at = node.end;
    }
    text.push_str(body.get(at..).unwrap_or_default());
    kept.reverse();
    Taken { text, kept }
}

fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

fn placeholder(index: usize) -> String {
    format!("{MARK} {}>", index + 1)
}

fn entry<'a>(root: &'a Node, name: &str) -> Option<&'a Node> {
    let Value::Map(pairs) = &root.value else { return None };
    pairs.iter().find(|(key, _)| key.text() == Some(name)).map(|(_, value)| value)
}

/// Calls the function with every scalar below, and the key that it belongs to.
fn scalars<'a>(node: &'a Node, key: &'a str, each: &mut impl FnMut(&'a str, &'a Node)) {
    match &node.value {
        Value::Scalar(_) => each(key, node),
        Value::List(items) => items.iter().for_each(|item| scalars(item, key, each)),
        Value::Map(pairs) => pairs.iter().for_each(|(key, value)| scalars(value, key.text().unwrap_or(""), each)),
    }
}

/// The secrets of a file, in its order; a repeated one once.
fn secrets(root: &Node) -> Vec<(String, &Node)> {
    let mut found: Vec<(String, &Node)> = Vec::new();
    scalars(root, "", &mut |key, node| {
        if is_secret(key, node) {
            found.push((key.to_owned(), node));
        }
    });
    found.sort_by_key(|(_, node)| node.start);
    found.dedup_by_key(|(_, node)| node.start);
    found
}

fn is_secret(key: &str, node: &Node) -> bool {
    let Value::Scalar(scalar) = &node.value else { return false };
    if scalar.kind == Kind::Null || scalar.text.trim().is_empty() {
        return false;
    }
    let signs_in = scalar.text.split_once("://").is_some_and(|(_, rest)| {
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        host.contains('@')
    });
    signs_in || (SECRETS.contains(&key) && !is_variable(&scalar.text))
}

/// Whether a text is a variable and nothing else: its default would be a secret in the text.
fn is_variable(text: &str) -> bool {
    let name = text.strip_prefix("${").and_then(|text| text.strip_suffix('}'));
    name.is_some_and(|name| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
}

/// Whether the tree is the old one, with a placeholder for each secret.
fn is_hidden(old: &Node, new: &Node, key: &str, secrets: &[(String, &Node)]) -> bool {
    match (&old.value, &new.value) {
        (Value::Scalar(one), Value::Scalar(other)) => {
            match secrets.iter().position(|(_, secret)| secret.start == old.start && is_secret(key, old)) {
                Some(index) => new.text() == Some(&placeholder(index)),
                None => one == other && !is_secret(key, old),
            }
        }
        (Value::List(one), Value::List(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_hidden(one, other, key, secrets))
        }
        (Value::Map(one), Value::Map(other)) => {
            one.len() == other.len()
                && one.iter().zip(other).all(|((key, one), (other_key, other))| {
                    key.same(other_key) && is_hidden(one, other, key.text().unwrap_or(""), secrets)
                })
        }
        _ => false,
    }
}

/// What the file gives already.
#[derive(Default)]
struct Known<'a> {
    /// Values with variables, each with its key.
    variables: Vec<(&'a str, &'a str)>,
    programs: Vec<&'a Node>,
}

impl<'a> Known<'a> {
    fn of(root: &'a Node) -> Self {
        let mut variables = Vec::new();
        scalars(root, "", &mut |key, node| {
            variables.extend(node.text().filter(|text| has_variable(text)).map(|text| (key, text)));
        });
        let mut programs = Vec::new();
        entries(root, &mut |key, value| {
            if key == "exec" {
                programs.push(value);
            }
        });
        Self { variables, programs }
    }
}

fn entries<'a>(node: &'a Node, each: &mut impl FnMut(&'a str, &'a Node)) {
    match &node.value {
        Value::Scalar(_) => {}
        Value::List(items) => items.iter().for_each(|item| entries(item, each)),
        Value::Map(pairs) => {
            for (key, value) in pairs {
                each(key.text().unwrap_or(""), value);
                entries(value, each);
            }
        }
    }
}

/// Whether a text contains a variable: `$${` is a literal `${`.
fn has_variable(text: &str) -> bool {
    text.replace("$${", "").contains("${")
}

fn check<'a>(
    at: &At<'a>,
    key: &str,
    known: &Known<'_>,
    secrets: &[(String, &Node)],
    reader: &Reader<'_>,
    found: &mut Vec<(&'a Node, usize)>,
) {
    for (name, value) in at.pairs() {
        let name = name.text().unwrap_or("");
        let child = at.child(name, value, None);
        if name == "exec" && !known.programs.iter().any(|program| program.same(value)) {
            let help = "add it to the file on the agent's machine".to_owned();
            reader.error_at(
                value.start,
                value.end,
                &child.path,
                "a program can only be added in the file itself".to_owned(),
                Some(help),
            );
        }
        check(&child, name, known, secrets, reader, found);
    }
    if let Value::List(_) = &at.node.value {
        at.items().iter().for_each(|item| check(item, key, known, secrets, reader, found));
    }
    let Value::Scalar(_) = &at.node.value else { return };
    let Some(text) = at.text() else { return };
    if has_variable(text) && !known.variables.contains(&(key, text)) {
        let help = "add it to the file on the agent's machine, or write `$${` for a literal `${`".to_owned();
        reader.error(at, "a variable can only be added in the file itself", Some(help));
    }
    if text.contains(MARK) {
        match secrets.iter().enumerate().position(|(index, (name, _))| name == key && placeholder(index) == text) {
            Some(index) => found.push((at.node, index)),
            None => {
                let help = "write the value itself".to_owned();
                reader.error(at, "this stands for a secret that the file does not have here", Some(help));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# ours\nversion: 1\ncloud: { url: https://hub.example, api_key: '${KEY}' }\nrules:\n  - name: a # first\n    \
                        watch: /drop\n    upload: { kind: link, password: 'hunter 2', name: x }\n    notify:\n      - webhook: https://example.com/hook?key=abc\n        \
                        secret: ${HOOK:-default}\n      - exec: [/bin/true, now]\n";

    fn refused(new: &str) -> Vec<(u32, u32, String)> {
        let refused = take(new, FILE, Path::new("rules.yaml")).unwrap_err();
        refused.0.into_iter().map(|one| (one.line, one.column, one.message)).collect()
    }

    #[test]
    fn secrets_are_hidden_and_come_back_where_they_were() {
        let shown = show(FILE).unwrap();
        for secret in ["hunter", "key=abc", "default"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        assert!(shown.contains("password: <kept secret 1>, name: x") && shown.contains("${KEY}"), "{shown}");
        assert_eq!(take(&shown, FILE, Path::new("r")).unwrap().text, FILE);
        let changed = shown
            .replace("# first", "# first of all")
            .replace("now]\n", "now]\n  - name: b\n    password: <kept secret 1>\n");
        let taken = take(&changed, FILE, Path::new("r")).unwrap();
        assert!(taken.text.ends_with("  - name: b\n    password: 'hunter 2'\n"), "{}", taken.text);
        assert!(taken.text.contains("- name: a # first of all\n"), "comments are as they were written");
    }

    #[test]
    fn a_secret_stays_with_its_key() {
        let shown = show(FILE).unwrap();
        for (from, to) in [
            ("name: x", "name: <kept secret 1>"),
            ("name: x", "name: '<kept secret 1> of ours'"),
            ("secret 1>, name", "secret 7>, name"),
        ] {
            assert!(shown.contains(from));
            let said = refused(&shown.replace(from, to));
            assert_eq!(said.len(), 1);
            assert_eq!((said[0].0, said[0].2.contains("stands for a secret")), (7, true), "{said:?}");
        }
    }

    /// Who may change rules through the API must not run programs, nor read the agent's environment.
    #[test]
    fn nothing_is_given_that_the_file_did_not_give() {
        let shown = show(FILE).unwrap();
        for (from, to, message) in [
            ("name: x", "name: '${KEY}'", "a variable can only be added"),
            ("name: x", "name: x, description: '${HOME}'", "a variable can only be added"),
            ("[/bin/true, now]", "[/bin/sh, -c, now]", "a program can only be added"),
            ("[/bin/true, now]", "/bin/true", "a program can only be added"),
            ("https://hub.example", "https://evil.example", "`cloud` can only be changed"),
            ("version: 1\n", "version: 1\ntemplate_env: [HOME]\n", "`template_env` can only be changed"),
            ("version: 1\n", "version: 1\ninclude: [/etc/rules.yaml]\n", "`include` can only be changed"),
            ("version: 1\n", "version: 1\nrecipients: /etc/people.csv\n", "the file of `recipients`"),
            ("version: 1\n", "version: 1\nhub: { listen: '0.0.0.0:80' }\n", "`hub` can only be changed"),
        ] {
            assert!(shown.contains(from), "{from}");
            let said = refused(&shown.replace(from, to));
            assert!(said.iter().any(|(line, _, said)| *line > 0 && said.contains(message)), "{to}: {said:?}");
        }
        let without = shown.replace("cloud: { url: https://hub.example, api_key: '${KEY}' }\n", "");
        assert!(refused(&without)[0].2.contains("`cloud`"));
        let literal = shown.replace("name: x", "name: '$${KEY}'");
        assert!(take(&literal, FILE, Path::new("r")).is_ok());
        let twice = shown.replace("- exec:", "- exec: [/bin/true, now]\n      - exec:");
        assert!(take(&twice, FILE, Path::new("r")).is_ok(), "a program that is run already");
    }

    #[test]
    fn positions_are_those_of_the_text_that_was_shown() {
        let shown = show(FILE).unwrap();
        let taken = take(&shown, FILE, Path::new("r")).unwrap();
        let column = |text: &str, word: &str| {
            let line = text.lines().nth(6).unwrap();
            u32::try_from(line.find(word).unwrap() + 1).unwrap()
        };
        for word in ["kind", "name: x"] {
            assert_eq!(taken.column(7, column(FILE, word)), column(&shown, word), "{word}");
        }
        assert_eq!(taken.column(7, column(FILE, "nter")), column(&shown, "<kept"));
        assert_eq!(taken.column(6, 9), 9);
    }

    #[test]
    fn line_endings_and_marks_are_kept_and_other_forms_are_refused() {
        let windows = format!("\u{feff}{}", FILE.replace('\n', "\r\n"));
        let shown = show(&windows).unwrap();
        // A text field of a browser has its own line endings.
        assert_eq!(take(&shown.replace("\r\n", "\n"), &windows, Path::new("r")).unwrap().text, windows);
        let block = FILE.replace("'hunter 2', name: x }", "\"hunter\\\n        2\" }");
        assert!(matches!(show(&block), Err(NotShown::Secret(key)) if key == "password"));
        assert!(matches!(show("rules: [\n"), Err(NotShown::File { .. })));
        assert_eq!(take("rules: [", FILE, Path::new("r")).unwrap().text, "rules: [");
    }
}
