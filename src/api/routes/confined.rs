//! Checks a rule that was submitted through the API: by what the finished rule would read and write, not by what
//! its fields look like.
//!
//! **In**: the rule as it would appear in the rules file, the allowed roots. **Out**: the fields of the request that lead
//! outside of them, each with the reason.
//!
//! **Guarantees.** No file outside the roots is opened for the check, and no variable of the agent's environment is
//! put into the rule. Without roots everything is allowed. A rule that is valid only among the others (by a variable of
//! `template_env`, say) is checked among them. Other errors are not detected here: the rules file with the rule is checked
//! later, and reports where they are.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::downloads::check_folder;
use masv_platform::{OwnPlaces, real_path};
use masv_rules::{AfterComplete, AfterError, Environment, Rule, RuleSet, SecretFile, SystemEnvironment, edit};

/// What a rule lacks that is ordered by somebody who may not reach everything.
pub(super) const UNCONFINED: &str = "a rule that names it has to say `confined: true`";

/// A minimal rules file.
const EMPTY: &str = "version: 1\nrules: []\n";

/// The fields of the request whose paths are outside the roots. `id` is the rule's name. Reads the disk.
pub(super) fn outside(rule: &str, id: &str, file: &Path, roots: &[PathBuf]) -> BTreeMap<String, String> {
    let mut bad = BTreeMap::new();
    if roots.is_empty() {
        return bad;
    }
    let surroundings = Confined { roots, refused: RefCell::default() };
    let built = edit::add_rule(EMPTY, rule).ok().map(|text| masv_rules::parse(&text, file, &surroundings));
    if !surroundings.refused.borrow().is_empty() {
        bad.insert(
            "password_file".to_owned(),
            "it is outside the folders that this agent may read (--allow-root)".to_owned(),
        );
    }
    let among_others = || {
        let text = std::fs::read_to_string(file).unwrap_or_else(|_| EMPTY.to_owned());
        let text = edit::add_rule(&text, rule).ok()?;
        masv_rules::parse(&text, file, &SystemEnvironment).ok()
    };
    let built = match built {
        Some(Ok(built)) => Some(built),
        _ if bad.is_empty() => among_others(),
        _ => None,
    };
    if let Some(built) = built {
        // What the rule inherits is the operator's.
        let gives_after = rule.lines().any(|line| line.starts_with("after:"));
        let of_rule = folders(&built).into_iter().filter(|one| one.rule == id);
        for Place { field, folder, .. } in of_rule.filter(|one| gives_after || one.field != "after") {
            if let Err(problem) = check_folder(&folder, roots, &OwnPlaces::default()) {
                bad.insert(field.to_owned(), problem);
            }
        }
    }
    bad
}

/// A folder of a rule.
pub(super) struct Place {
    /// The rule.
    pub(super) rule: String,
    /// The line where it begins.
    pub(super) line: u32,
    /// The field of a request that it comes from.
    pub(super) field: &'static str,
    /// The folder.
    pub(super) folder: PathBuf,
    /// Whether no link is followed on the way to it.
    pub(super) confined: bool,
}

/// Every folder of the rules. Everything that a template can render to is below its fixed prefix.
pub(super) fn folders(rules: &RuleSet) -> Vec<Place> {
    let mut folders = Vec::new();
    for rule in &rules.rules {
        let (line, confined) = (rule.line, rule.confined);
        let place = |field, folder| Place { rule: rule.name.clone(), line, field, folder, confined };
        folders.push(place("watch_folder", rule.watch.clone()));
        folders.extend(moved_to(rule).map(|folder| place("after", folder)));
    }
    folders.extend(rules.downloads.iter().map(|rule| Place {
        rule: rule.name.clone(),
        line: rule.line,
        field: "dst_folder",
        folder: rule.into.clone(),
        confined: rule.confined,
    }));
    folders
}

/// The `after` of a request, with its move targets as they really are: a rule that is confined follows no link to them.
pub(super) fn really(after: Value, base: &Path) -> Value {
    let Value::Object(events) = after else { return after };
    let event = |(event, action): (String, Value)| match action.get("move").and_then(Value::as_str) {
        Some(target) => (event, json!({ "move": real_target(target, base) })),
        None => (event, action),
    };
    Value::Object(events.into_iter().map(event).collect())
}

/// A move target of which everything before its first variable is a real path.
fn real_target(target: &str, base: &Path) -> String {
    if target.starts_with('~') {
        return target.to_owned();
    }
    let fixed = target.find('{').map_or(target.len(), |variable| target[..variable].rfind('/').map_or(0, |at| at + 1));
    let (fixed, rest) = target.split_at(fixed);
    match real_path(&base.join(fixed)).ok().and_then(|real| real.join(rest).into_os_string().into_string().ok()) {
        Some(real) if rest.is_empty() => real.trim_end_matches('/').to_owned(),
        Some(real) => real,
        None => target.to_owned(),
    }
}

fn moved_to(rule: &Rule) -> impl Iterator<Item = PathBuf> {
    let complete = match &rule.after.complete {
        AfterComplete::Move(target) => target.fixed_part(),
        AfterComplete::Keep | AfterComplete::Delete => None,
    };
    let error = match &rule.after.error {
        AfterError::Move(target) => target.fixed_part(),
        AfterError::Keep => None,
    };
    complete.into_iter().chain(error)
}

/// An environment without variables, and with secret files below the roots only.
struct Confined<'a> {
    roots: &'a [PathBuf],
    refused: RefCell<Vec<PathBuf>>,
}

impl Environment for Confined<'_> {
    fn variable(&self, _name: &str) -> Option<String> {
        None
    }

    fn secret_file(&self, path: &Path) -> Result<SecretFile, String> {
        let real = path.canonicalize().map_err(|error| error.to_string());
        match real {
            Ok(real) if self.roots.iter().any(|root| real.starts_with(root)) => SystemEnvironment.secret_file(&real),
            // Whether a file outside the roots exists is not revealed either.
            _ => {
                self.refused.borrow_mut().push(path.to_owned());
                Err("it is outside the allowed folders".to_owned())
            }
        }
    }

    fn secret_file_without_links(&self, path: &Path) -> Result<SecretFile, String> {
        if self.roots.iter().any(|root| path.starts_with(root)) {
            return SystemEnvironment.secret_file_without_links(path);
        }
        self.refused.borrow_mut().push(path.to_owned());
        Err("it is outside the allowed folders".to_owned())
    }

    fn home(&self) -> Option<PathBuf> {
        SystemEnvironment.home()
    }

    fn time_zone(&self) -> jiff::tz::TimeZone {
        SystemEnvironment.time_zone()
    }
}

/// The environment of the agent's own rules file, for a text that somebody else has changed: of secret files outside the roots, only
/// those that the file named before.
pub(super) struct Surroundings<'a> {
    /// The allowed roots; empty for all.
    pub(super) roots: &'a [PathBuf],
    /// The secret files of the old text.
    pub(super) known: &'a [PathBuf],
}

impl Environment for Surroundings<'_> {
    fn variable(&self, name: &str) -> Option<String> {
        SystemEnvironment.variable(name)
    }

    fn secret_file(&self, path: &Path) -> Result<SecretFile, String> {
        if self.roots.is_empty() || self.known.iter().any(|known| known == path) {
            return SystemEnvironment.secret_file(path);
        }
        let below = Confined { roots: self.roots, refused: RefCell::default() }.secret_file(path);
        below.and_then(|_| Err(UNCONFINED.to_owned()))
    }

    fn secret_file_without_links(&self, path: &Path) -> Result<SecretFile, String> {
        if self.roots.is_empty() || self.known.iter().any(|known| known == path) {
            return SystemEnvironment.secret_file_without_links(path);
        }
        Confined { roots: self.roots, refused: RefCell::default() }.secret_file_without_links(path)
    }

    fn home(&self) -> Option<PathBuf> {
        SystemEnvironment.home()
    }

    fn time_zone(&self) -> jiff::tz::TimeZone {
        SystemEnvironment.time_zone()
    }

    // Which other files belong to the rules cannot be changed in a text of somebody else.
    fn text_file(&self, path: &Path) -> Result<String, String> {
        SystemEnvironment.text_file(path)
    }

    fn folder(&self, path: &Path) -> Option<Vec<PathBuf>> {
        SystemEnvironment.folder(path)
    }

    fn is_not_a_folder(&self, path: &Path) -> bool {
        self.shows(path) && SystemEnvironment.is_not_a_folder(path)
    }

    fn is_missing(&self, path: &Path) -> bool {
        self.shows(path) && SystemEnvironment.is_missing(path)
    }

    fn hides_writers(&self, path: &Path) -> Option<&'static str> {
        self.shows(path).then(|| SystemEnvironment.hides_writers(path)).flatten()
    }
}

impl Surroundings<'_> {
    /// Whether somebody else may learn whether something is there.
    fn shows(&self, path: &Path) -> bool {
        self.roots.is_empty() || self.roots.iter().any(|root| path.starts_with(root))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only the folder to watch was checked: files were moved out of the allowed root, and passwords were
    /// read from outside it.
    #[test]
    fn every_path_of_the_finished_rule_is_checked() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap().join("root");
        std::fs::create_dir_all(root.join("drop")).unwrap();
        let outside_of_it = root.parent().unwrap().to_owned();
        std::fs::write(outside_of_it.join("secret"), "s3cret").unwrap();
        std::fs::write(root.join("inside"), "s3cret").unwrap();
        std::os::unix::fs::symlink(&outside_of_it, root.join("way-out")).unwrap();
        let (roots, file) = ([root.clone()], root.join("rules.yaml"));
        let rule =
            |more: &str| format!("name: x\nwatch: {}\nupload: {{ kind: link }}\n{more}", root.join("drop").display());
        let upload = |password: &str| rule("").replace("kind: link", &format!("kind: link, password: {password}"));
        let id = |rule: &str| rule.lines().next().unwrap().replace("name: ", "");
        let fields = |rule: &str| outside(rule, &id(rule), &file, &roots).into_keys().collect::<Vec<_>>();
        let out = outside_of_it.display();
        for (rule, wanted) in [
            (rule(""), vec![]),
            (rule("after: { complete: { move: sent } }\n"), vec![]),
            (rule(&format!("after: {{ complete: {{ move: '{out}/sent' }} }}\n")), vec!["after"]),
            (rule(&format!("after: {{ complete: {{ move: '{out}/{{{{ date }}}}/x' }} }}\n")), vec!["after"]),
            (rule("after: { complete: { move: ../sent } }\n"), vec!["after"]),
            (rule("after: { complete: { move: way-out/sent } }\n"), vec!["after"]),
            (rule(&format!("after: {{ error: {{ move: '{out}/failed' }} }}\n")), vec!["after"]),
            (upload("{ file: inside }"), vec![]),
            (upload(&format!("{{ file: '{out}/secret' }}")), vec!["password_file"]),
            (upload("{ file: way-out/secret }"), vec!["password_file"]),
            (rule("").replace("root/drop", "elsewhere"), vec!["watch_folder"]),
            (format!("name: y\nportals: all\ninto: {out}/in\n"), vec!["dst_folder"]),
        ] {
            assert_eq!(fields(&rule), wanted, "{rule}");
        }
        assert!(outside(&rule(&format!("after: {{ complete: {{ move: '{out}' }} }}\n")), "x", &file, &[]).is_empty());
        // A rule that is valid only among the others was not checked at all.
        let others = format!(
            "version: 1\ntemplate_env: [PATH]\nrecipients: {{ north: a@example.com }}\n\
             defaults: {{ after: {{ complete: {{ move: '{out}/sent' }} }} }}\nrules: []\n"
        );
        std::fs::write(&file, others).unwrap();
        for upload in ["kind: link, name: '{{ env.PATH }}'", "kind: email, emails: '{{ recipients.north }}'"] {
            let rule = |more: &str| rule(more).replace("kind: link", upload);
            assert_eq!(
                fields(&rule(&format!("after: {{ complete: {{ move: '{out}/sent' }} }}\n"))),
                ["after"],
                "{upload}"
            );
            assert_eq!(fields(&rule("")), [""; 0], "the operator's own default");
        }
    }
}
