//! The rules file as a text: reading, checking and saving it.
//!
//! **In**: a changed text, and the version that it was made from. **Out**: what is wrong with it, with positions; or the saved file,
//! which is loaded at once.
//!
//! **Guarantees.** The file is saved whole or not at all, as it was written, comments included; never if it has errors, and never over a
//! change that its author has not seen. Its secrets are not shown. The text gives its author nothing that the file did not give
//! ([`masv_rules::shared_text`]), and with allowed roots no folder or secret file outside of them that it did not name before.
//!
//! **On a crash** the old file is there, or the new one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use axum::Json;
use axum::extract::State as Extract;
use axum::http::StatusCode;

use super::super::error::ApiError;
use super::super::types::{NewRulesText, RuleProblem, RulesChecked, RulesText, RulesToCheck};
use super::super::{ApiState, RulesFile};
use super::Body;
use super::confined::{Place, Surroundings};
use super::rules_file::{EDITING, FRESH, load, replace};
use super::transfers::Answer;
use masv_rules::shared_text::{self, NotShown};
use masv_rules::{Diagnostic, Diagnostics, RuleSet, Severity};

/// The largest text, bytes: that of a rules file.
const LARGEST: usize = 1 << 20;

/// A changed text, and what it means.
pub(super) struct Examined {
    /// The text to save.
    text: String,
    /// The rules, if it can be saved.
    pub(super) rules: Option<RuleSet>,
    /// What is wrong.
    problems: Vec<RuleProblem>,
}

impl Examined {
    fn count(&self) -> usize {
        self.rules.as_ref().map_or(0, |set| set.rules.len() + set.downloads.len())
    }

    /// The rules, or an error that names everything that is wrong.
    pub(super) fn refused(&self) -> Option<ApiError> {
        let errors = || self.problems.iter().filter(|problem| problem.severity == "error");
        if self.rules.is_some() && errors().next().is_none() {
            return None;
        }
        let told: Vec<String> =
            errors().map(|one| format!("line {}, column {}: {}", one.line, one.column, one.message)).collect();
        let mut fields: BTreeMap<String, String> = BTreeMap::new();
        for one in errors() {
            let message = fields.entry(format!("{}:{}", one.line, one.column)).or_default();
            if !message.is_empty() {
                message.push_str("; ");
            }
            message.push_str(&one.message);
        }
        Some(ApiError::new(StatusCode::BAD_REQUEST, told.join("\n")).with_fields(fields))
    }
}

/// The file's text; a beginning for one that does not exist yet.
fn current(file: &RulesFile) -> Result<String, ApiError> {
    if !file.is_expected() {
        return Ok(FRESH.to_owned());
    }
    std::fs::read_to_string(&file.path).map_err(|error| {
        ApiError::new(StatusCode::CONFLICT, format!("{} cannot be read: {error}", file.path.display()))
            .hint("the agent's user must be able to read it, and it must be UTF-8")
    })
}

/// What a text is recognised by.
fn version(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex().to_string()
}

fn view(file: &RulesFile, text: &str) -> Result<RulesText, ApiError> {
    let shown = shared_text::show(text).map_err(|error| {
        let hint = match error {
            NotShown::File { .. } => {
                "correct the file on the agent's machine; `masv rule check` says what is wrong with it"
            }
            NotShown::Secret(_) => "write it on one line, or in a file of its own: `password: { file: PATH }`",
        };
        ApiError::new(StatusCode::CONFLICT, error.to_string()).hint(hint)
    })?;
    Ok(RulesText { path: file.path.display().to_string(), text: shown, version: version(text) })
}

/// What a changed text means. Blocks.
pub(super) fn examine(new: &str, old: &str, file: &Path, roots: &[PathBuf], active: &RuleSet) -> Examined {
    let refused = |diagnostics: Diagnostics, column: &dyn Fn(&Diagnostic) -> u32| Examined {
        text: String::new(),
        rules: None,
        problems: diagnostics.0.iter().map(|one| problem(one, column(one), file)).collect(),
    };
    if new.len() > LARGEST {
        let message = format!("the text is larger than {LARGEST} bytes");
        return refused(Diagnostics(vec![Diagnostic::of_file(file, message, None)]), &|one| one.column);
    }
    let taken = match shared_text::take(new, old, file) {
        Ok(taken) => taken,
        Err(diagnostics) => return refused(diagnostics, &|one| one.column),
    };
    let column = |one: &Diagnostic| if one.file == file { taken.column(one.line, one.column) } else { 0 };
    // What the operator's file names is allowed, wherever it is.
    let before = masv_rules::parse(old, file, &masv_rules::SystemEnvironment).ok();
    let before = before.as_ref().unwrap_or(active);
    let surroundings = Surroundings { roots, known: &before.secret_files };
    let set = match masv_rules::parse(&taken.text, file, &surroundings) {
        Ok(set) => set,
        Err(diagnostics) => return refused(diagnostics, &column),
    };
    let mut problems: Vec<RuleProblem> = set.warnings.iter().map(|one| problem(one, column(one), file)).collect();
    let known: BTreeSet<(PathBuf, bool)> =
        super::confined::folders(before).into_iter().map(|one| (one.folder, one.confined)).collect();
    let mut outside = false;
    for Place { line, field: key, folder, confined, .. } in super::confined::folders(&set) {
        if roots.is_empty() || known.contains(&(folder.clone(), confined)) {
            continue;
        }
        let checked = super::downloads::check_folder(&folder, roots, &masv_platform::OwnPlaces::default());
        let why = match checked {
            Err(why) => Some(why),
            Ok(_) => (!confined).then(|| super::confined::UNCONFINED.to_owned()),
        };
        if let Some(why) = why {
            outside = true;
            let message = format!("{key}: {}: {why}", folder.display());
            let help = Some("choose a folder below an allowed one, or edit the file on the agent's machine".to_owned());
            problems.push(RuleProblem {
                severity: "error".to_owned(),
                message,
                line,
                column: 1,
                key: key.to_owned(),
                help,
            });
        }
    }
    Examined { text: taken.text, rules: (!outside).then_some(set), problems }
}

/// What is wrong in an included file is told without a position: the text is another one.
fn problem(one: &Diagnostic, column: u32, file: &Path) -> RuleProblem {
    if one.file != file {
        let message = format!("{}, line {}: {}", one.file.display(), one.line, one.message);
        return RuleProblem {
            message,
            line: 0,
            column: 0,
            ..problem(&Diagnostic { file: file.to_owned(), ..one.clone() }, 0, file)
        };
    }
    let severity = match one.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    RuleProblem {
        severity: severity.to_owned(),
        message: one.message.clone(),
        line: one.line,
        column,
        key: one.key.clone(),
        help: one.help.clone(),
    }
}

/// Examines a text on a thread that may block.
pub(super) async fn examined(state: &ApiState, new: String) -> Result<Examined, ApiError> {
    let (file, roots, active) = (state.about.rules.clone(), state.allowed_roots.clone(), state.watcher.rules());
    let work = move || Ok(examine(&new, &current(&file)?, &file.path, &roots, &active));
    blocking(work).await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())))
}

pub(super) async fn show(Extract(state): Extract<ApiState>) -> Answer<RulesText> {
    let file = state.about.rules.clone();
    blocking(move || view(&file, &current(&file)?)).await.map(Json)
}

pub(super) async fn check(Extract(state): Extract<ApiState>, Body(given): Body<RulesToCheck>) -> Answer<RulesChecked> {
    let examined = examined(&state, given.text).await?;
    Ok(Json(RulesChecked { rules: examined.count(), problems: examined.problems }))
}

pub(super) async fn save(Extract(state): Extract<ApiState>, Body(given): Body<NewRulesText>) -> Answer<RulesText> {
    let _one_at_a_time = EDITING.lock().await;
    let (file, roots, active) = (state.about.rules.clone(), state.allowed_roots.clone(), state.watcher.rules());
    let saved = move || {
        let text = replace(&file, |old| {
            if version(old) != given.version {
                return Err(ApiError::new(StatusCode::CONFLICT, "the rules file was changed meanwhile")
                    .hint("load it again, and make your changes in the new text"));
            }
            let examined = examine(&given.text, old, &file.path, &roots, &active);
            match examined.refused() {
                Some(refused) => Err(refused),
                None => Ok(examined.text),
            }
        })?;
        view(&file, &text)
    };
    let saved = blocking(saved).await?;
    load(&state).await?;
    Ok(Json(saved))
}
