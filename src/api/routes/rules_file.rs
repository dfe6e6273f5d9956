//! Changes to the rules file through the API: automations added and changed without an editor, comments preserved.

use std::io::Write;
use std::path::{Path, PathBuf};

use axum::Json;
use axum::extract::{Path as Named, State as Extract};
use axum::http::StatusCode;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::super::error::ApiError;
use super::super::openapi::{Created, Done};
use super::super::portal_name::portal_name;
use super::super::types::{Automation, AutomationAdded, AutomationChange, NewPortalDownload, NewUploadAutomation};
use super::super::{ApiState, RulesFile};
use super::downloads::check_folder;
use super::transfers::Answer;
use super::{Body, confined};
use masv_platform::real_path;
use masv_rules::SystemEnvironment;
use masv_rules::edit::{self, EditError};

/// The beginning of a rules file created through the API.
pub(super) const FRESH: &str =
    "# The rules of this agent; `masv rule init` prints an example of everything a rule can contain.\nversion: 1\n";

type Added = Result<Created<AutomationAdded>, ApiError>;

/// One edit at a time: each starts from the result of the previous one.
pub(super) static EDITING: Mutex<()> = Mutex::const_new(());

/// The entries of a rule, in order; `Null` entries are omitted.
type Entries = Vec<(&'static str, Value)>;

/// A value with `${` escaped, which begins a variable in a rules file: whoever submits a rule must not learn
/// the agent's environment.
fn literal(value: Value) -> Value {
    match value {
        Value::String(text) => text.replace("${", "$${").into(),
        Value::Array(values) => values.into_iter().map(literal).collect(),
        Value::Object(entries) => entries.into_iter().map(|(key, value)| (key, literal(value))).collect(),
        other => other,
    }
}

/// A value, if it differs from the default.
fn unless<T: PartialEq + Into<Value>>(value: T, usual: T) -> Value {
    if value == usual { Value::Null } else { value.into() }
}

/// The id derived from a rule's name: lower-case letters, digits and hyphens.
fn id_of(name: &str) -> String {
    let mut id = String::new();
    for character in name.trim().to_lowercase().chars() {
        if character.is_ascii_alphanumeric() {
            id.push(character);
        } else if !id.is_empty() && !id.ends_with('-') {
            id.push('-');
        }
    }
    id.trim_end_matches('-').to_owned()
}

fn needed(bad: &mut Vec<(String, String)>, field: &str, problem: Option<String>) {
    bad.extend(problem.map(|problem| (field.to_owned(), problem)));
}

pub(super) async fn add_download(Extract(state): Extract<ApiState>, Body(new): Body<NewPortalDownload>) -> Added {
    let id = id_of(&new.name);
    let mut bad = Vec::new();
    needed(&mut bad, "name", id.is_empty().then(|| "give the automation a name".to_owned()));
    let portal = new.portal_subdomain.as_deref().map(portal_name).filter(|name| !name.is_empty());
    let one = portal.is_some() != new.all_portals;
    let which = "give one portal, or set all_portals: true (--all)".to_owned();
    needed(&mut bad, "portal_subdomain", (!one).then_some(which));
    let (folder, roots, own) = (new.dst_folder.clone(), state.allowed_roots.clone(), state.own.clone());
    let checked = tokio::task::spawn_blocking(move || check_folder(&folder, &roots, &own)).await;
    let checked = checked.unwrap_or_else(|error| Err(error.to_string()));
    let dst_folder = checked.map_err(|problem| bad.push(("dst_folder".to_owned(), problem)));
    let dst_folder = dst_folder.map_or(new.dst_folder, |checked| checked.folder);
    if !bad.is_empty() {
        return Err(ApiError::fields(bad.into_iter().collect()));
    }
    let entries: Entries = vec![
        ("name", id.as_str().into()),
        match portal {
            Some(portal) => ("portal", portal.into()),
            None => ("portals", "all".into()),
        },
        ("team", new.team_id.map_or(Value::Null, Value::from)),
        ("into", path(&dst_folder)?),
        ("package_folder", unless(new.create_package_folder, true)),
        ("portal_folder", unless(new.create_portal_subfolder, false)),
        ("since", new.effective_time.map_or(Value::Null, Value::from)),
        ("priority", unless(new.download_priority, 0)),
        ("enabled", unless(new.enabled, true)),
    ];
    add(&state, id, entries).await
}

pub(super) async fn add_upload(Extract(state): Extract<ApiState>, Body(new): Body<NewUploadAutomation>) -> Added {
    let id = id_of(&new.name);
    let mut bad = Vec::new();
    needed(&mut bad, "name", id.is_empty().then(|| "give the automation a name".to_owned()));
    let (folder, roots, own) = (new.watch_folder.clone(), state.allowed_roots.clone(), state.own.clone());
    let checked = tokio::task::spawn_blocking(move || check_folder(&folder, &roots, &own)).await;
    let checked = checked.unwrap_or_else(|error| Err(error.to_string()));
    let watch_folder = checked.map_err(|problem| bad.push(("watch_folder".to_owned(), problem)));
    let watch_folder = watch_folder.map_or(new.watch_folder, |checked| checked.folder);
    let both = new.portal_subdomain.is_some() && !new.recipients.is_empty();
    needed(&mut bad, "recipients", both.then(|| "a portal has its own recipients".to_owned()));
    let nobody = new.portal_subdomain.is_some() && new.sender.is_none();
    needed(&mut bad, "sender", nobody.then(|| "a portal requires the sender's e-mail address".to_owned()));
    if !bad.is_empty() {
        return Err(ApiError::fields(bad.into_iter().collect()));
    }
    let kind = match (&new.portal_subdomain, new.recipients.is_empty()) {
        (Some(_), _) => "portal",
        (None, true) => "link",
        (None, false) => "email",
    };
    let (after, password_file) = (new.after, new.password_file);
    let (confines, file) = (!state.allowed_roots.is_empty(), state.about.rules.path.clone());
    let real = move || {
        let base = file.parent().unwrap_or(Path::new("/"));
        let after = if confines { confined::really(after, base) } else { after };
        let real = |file: PathBuf| if confines { real_path(&base.join(&file)).unwrap_or(file) } else { file };
        (after, password_file.map(real))
    };
    let real = tokio::task::spawn_blocking(real).await;
    let (after, password_file) =
        real.map_err(|error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    let text = |value: Option<String>| value.map_or(Value::Null, Value::from);
    let upload: Entries = vec![
        ("kind", kind.into()),
        ("emails", if new.recipients.is_empty() { Value::Null } else { json!(new.recipients) }),
        ("subdomain", text(new.portal_subdomain.as_deref().map(portal_name))),
        ("sender", text(new.sender)),
        ("name", text(new.package_name)),
        ("description", text(new.package_description)),
        ("password", password_file.map_or(Ok(Value::Null), |file| path(&file).map(|file| json!({ "file": file })))?),
        ("delete_after", new.delete_after.map_or(Value::Null, Value::from)),
        ("download_limit", new.download_limit.map_or(Value::Null, Value::from)),
        ("tag", text(new.tag_name)),
        ("team_id", text(new.team_id)),
    ];
    let upload = upload.into_iter().filter(|(_, value)| !value.is_null());
    let entries: Entries = vec![
        ("name", id.as_str().into()),
        ("watch", path(&watch_folder)?),
        ("create", unless(new.create_folder, false)),
        ("package", text(new.package)),
        ("settle", text(new.settle)),
        ("priority", unless(new.upload_priority, 0)),
        ("upload", upload.map(|(key, value)| (key.to_owned(), value)).collect::<serde_json::Map<_, _>>().into()),
        ("after", after),
        ("enabled", unless(new.enabled, true)),
    ];
    add(&state, id, entries).await
}

/// A path as text in the file.
fn path(path: &Path) -> Result<Value, ApiError> {
    let text = path
        .to_str()
        .ok_or_else(|| ApiError::bad("the folder's name is not valid UTF-8, which a rules file requires"))?;
    Ok(text.into())
}

/// Adds the rule to the rules file and starts it.
async fn add(state: &ApiState, id: String, entries: Entries) -> Added {
    let _one_at_a_time = EDITING.lock().await;
    let file = state.about.rules.clone();
    let rules = state.watcher.rules();
    if rules.rule(&id).is_some() || rules.download(&id).is_some() {
        return Err(ApiError::new(StatusCode::CONFLICT, format!("there is already a rule `{id}`"))
            .hint("choose another name, or edit the rules file"));
    }
    // Whoever ordered it may be able to replace its folders, too.
    let confined = ("confined", unless(!state.allowed_roots.is_empty(), false));
    let entries = entries.into_iter().chain([confined]).filter(|(_, value)| !value.is_null());
    let rule = edit::rule_text(entries.map(|(key, value)| (key, literal(value))));
    let checked = tokio::task::spawn_blocking({
        let (rule, id, file, roots) = (rule.clone(), id.clone(), file.path.clone(), state.allowed_roots.clone());
        move || confined::outside(&rule, &id, &file, &roots)
    });
    let bad = checked.await.map_err(|error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    if !bad.is_empty() {
        return Err(ApiError::fields(bad));
    }
    rewrite(state, file, move |text| edit::add_rule(text, &rule)).await?;
    Ok(Created(AutomationAdded { automation_id: id }))
}

/// Sets keys of a rule in the rules file and applies the change.
pub(super) async fn change(
    Extract(state): Extract<ApiState>,
    Named(name): Named<String>,
    Body(change): Body<AutomationChange>,
) -> Answer<Automation> {
    let _one_at_a_time = EDITING.lock().await;
    state.automation(&name).await?;
    in_the_rules_file(&state, &name)?;
    let keys = keys_of(&state, change, state.is_download(&name)).await?;
    if keys.is_empty() {
        return Err(ApiError::bad("give at least one field to change, such as enabled or priority"));
    }
    let (file, rule) = (state.about.rules.clone(), name.clone());
    let set = move |text: &str| {
        keys.iter().try_fold(text.to_owned(), |text, (key, value)| edit::set_key(&text, &rule, key, value))
    };
    rewrite(&state, file, set).await?;
    state.automation(&name).await.map(Json)
}

/// Refuses to edit a rule of a file that is included.
fn in_the_rules_file(state: &ApiState, name: &str) -> Result<(), ApiError> {
    let rules = state.watcher.rules();
    let file = rules.rule(name).map(|rule| &rule.file).or(rules.download(name).map(|rule| &rule.file));
    match file.filter(|file| **file != rules.path) {
        Some(file) => {
            let message = format!("`{name}` is in {}, which only people edit", file.display());
            Err(ApiError::new(StatusCode::CONFLICT, message).hint("edit that file; saving it is enough"))
        }
        None => Ok(()),
    }
}

/// The keys that a change sets.
async fn keys_of(
    state: &ApiState,
    change: AutomationChange,
    is_download: bool,
) -> Result<Vec<(&'static str, Value)>, ApiError> {
    let mut keys = vec![("enabled", change.enabled.map(Value::from)), ("priority", change.priority.map(Value::from))];
    let mut real_folder = None;
    if let Some(folder) = &change.dst_folder {
        let (checked, roots, own) = (folder.clone(), state.allowed_roots.clone(), state.own.clone());
        let checked = tokio::task::spawn_blocking(move || check_folder(&checked, &roots, &own)).await;
        match checked.unwrap_or_else(|error| Err(error.to_string())) {
            Ok(checked) => real_folder = Some(checked.folder),
            Err(problem) => return Err(ApiError::fields([("dst_folder".to_owned(), problem)].into())),
        }
    }
    let confined = real_folder.is_some() && !state.allowed_roots.is_empty();
    let of_downloads = [
        ("into", "dst_folder", real_folder.as_deref().map(path).transpose()?),
        ("confined", "dst_folder", confined.then_some(Value::Bool(true))),
        ("portal", "portal_subdomain", change.portal_subdomain.as_deref().map(portal_name).map(Value::from)),
        ("package_folder", "create_package_folder", change.create_package_folder.map(Value::from)),
        ("portal_folder", "create_portal_subfolder", change.create_portal_subfolder.map(Value::from)),
        ("since", "effective_time", change.effective_time.map(Value::from)),
    ];
    for (key, field, value) in of_downloads {
        if value.is_some() && !is_download {
            let problem = "this cannot be changed for an upload rule through the API; edit the rules file".to_owned();
            return Err(ApiError::fields([(field.to_owned(), problem)].into()));
        }
        keys.push((key, value));
    }
    Ok(keys.into_iter().filter_map(|(key, value)| Some((key, literal(value?)))).collect())
}

/// Removes a rule from the rules file. The record of what it sent or received is kept, should it come back.
pub(super) async fn remove(Extract(state): Extract<ApiState>, Named(name): Named<String>) -> Result<Done, ApiError> {
    let _one_at_a_time = EDITING.lock().await;
    state.automation(&name).await?;
    in_the_rules_file(&state, &name)?;
    let file = state.about.rules.clone();
    rewrite(&state, file, move |text| edit::remove_rule(text, &name)).await?;
    Ok(Done)
}

/// Edits the rules file and loads it.
async fn rewrite(
    state: &ApiState,
    file: RulesFile,
    edit: impl FnOnce(&str) -> Result<String, EditError> + Send + 'static,
) -> Result<(), ApiError> {
    let written = tokio::task::spawn_blocking(move || write(&file, edit)).await;
    written.unwrap_or_else(|error| Err(ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())))?;
    load(state).await
}

/// Loads the file that was written.
pub(super) async fn load(state: &ApiState) -> Result<(), ApiError> {
    (state.reload)().await.map_err(|diagnostics| {
        ApiError::new(StatusCode::CONFLICT, diagnostics.render(false))
            .hint("the change is in the rules file; it takes effect once the rest of the file is valid")
    })
}

/// Edits the file.
fn write(file: &RulesFile, edit: impl FnOnce(&str) -> Result<String, EditError>) -> Result<(), ApiError> {
    let by_hand =
        |error: EditError| ApiError::new(StatusCode::CONFLICT, error.to_string()).hint("edit the file by hand");
    replace(file, |text| edit(text).map_err(by_hand)).map(drop)
}

/// Replaces the file's text and returns the new one. It replaces the old one atomically, and only if all of it is valid.
pub(super) fn replace(
    file: &RulesFile,
    edit: impl FnOnce(&str) -> Result<String, ApiError>,
) -> Result<String, ApiError> {
    let expected = file.is_expected();
    let file = file.path.as_path();
    let failed = |error: std::io::Error| {
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, format!("{} cannot be written: {error}", file.display()))
            .hint("give the agent's user write access to it and its folder, or edit the file by hand")
    };
    // A link to the file stays a link.
    let real: PathBuf = if expected { file.canonicalize().map_err(failed)? } else { file.to_owned() };
    let text = if expected { std::fs::read_to_string(&real).map_err(failed)? } else { FRESH.to_owned() };
    let edited = edit(&text)?;
    masv_rules::parse(&edited, file, &SystemEnvironment)
        .map_err(|diagnostics| ApiError::new(StatusCode::BAD_REQUEST, diagnostics.render(false)))?;
    let folder = real.parent().unwrap_or(Path::new("/"));
    let mut fresh = tempfile::Builder::new().prefix(".masv-rules-").tempfile_in(folder).map_err(failed)?;
    fresh.write_all(edited.as_bytes()).map_err(failed)?;
    // The agent's own file is created for its user only.
    if expected {
        let permissions = std::fs::metadata(&real).map_err(failed)?.permissions();
        fresh.as_file().set_permissions(permissions).map_err(failed)?;
    }
    masv_platform::flush(fresh.as_file()).map_err(failed)?;
    fresh.persist(&real).map_err(|error| failed(error.error))?;
    masv_platform::flush_folder(folder).map_err(failed)?;
    Ok(edited)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A recipient `${NAME}@evil.example` was sent variables of the agent's environment.
    #[test]
    fn no_text_of_an_order_is_a_variable() {
        let ordered = json!({ "emails": ["${KEY}@x"], "after": { "complete": { "move": "/a/${KEY}" } }, "n": 1 });
        let written = json!({ "emails": ["$${KEY}@x"], "after": { "complete": { "move": "/a/$${KEY}" } }, "n": 1 });
        assert_eq!(literal(ordered), written);
    }

    #[test]
    fn a_free_name_becomes_an_id() {
        for (name, id) in [("From Clients!", "from-clients"), ("  A__b ", "a-b"), ("ok-1", "ok-1"), ("…", "")] {
            assert_eq!(id_of(name), id, "{name:?}");
        }
    }

    #[test]
    fn an_invalid_rule_leaves_the_file_as_it_was_and_a_valid_one_keeps_its_comments() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rules.yaml");
        let text = "# ours\nversion: 1\nrules:\n  - name: a # first\n    watch: drop\n    upload: { kind: link }\n";
        std::fs::write(&file, text).unwrap();
        let rule = |since: &str| {
            edit::rule_text([
                ("name", json!("in")),
                ("portals", json!("all")),
                ("into", json!("in")),
                ("since", json!(since)),
            ])
        };
        let named = RulesFile::of(Some(file.clone()), folder.path());
        let add = |since: &'static str| write(&named, move |text| edit::add_rule(text, &rule(since)));
        assert!(add("whenever").is_err());
        assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
        add("2025-01-20 00:00:00").unwrap();
        let written = std::fs::read_to_string(&file).unwrap();
        assert!(written.starts_with(text), "{written}");
        assert!(written.contains("- name: in\n"), "{written}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }
}
