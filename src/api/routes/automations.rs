//! Active rules of both directions: listing, explaining, controlling.

use std::path::PathBuf;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State as Extract};
use axum::http::StatusCode;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;

use super::super::ApiState;
use super::super::error::ApiError;
use super::super::types::{
    Automation, AutomationRule, Automations, Download, DownloadAutomation, DryFetch, DryRuns, Explained,
    ExplainedPackage, Forgotten, History, Loaded, Marked, PausedRules, ResumedRules, Transfer, Upload,
    UploadAutomation, WaitingPackage,
};
use super::transfers::Answer;
use super::{Body, NoFields, Query, rules_text};
use crate::model::{DownloadFilter, UploadFilter};
use crate::portal_downloads::InboxError;
use masv_rules::{DownloadRule, Portals, Rule, RuleSet, SystemEnvironment};

/// How many of the next times of a schedule are listed.
const COMING: usize = 3;

/// A rule's configuration, in stable words.
fn describe(rule: &Rule) -> AutomationRule {
    let now = Timestamp::now().to_zoned(rule.time_zone.clone());
    AutomationRule {
        schedule: rule.schedule.describe(),
        next_schedules: rule.schedule.coming(&now).take(COMING).map(|time| time.to_string()).collect(),
        open_until: rule.schedule.closes_after(&now).map(|time| time.to_string()),
        kind: rule.upload.kind.name(),
        enabled: rule.enabled,
        priority: rule.priority,
        package: rule.package.per.name(),
        file: rule.file.to_string_lossy().into_owned(),
        line: rule.line,
    }
}

impl ApiState {
    /// A rule of either direction.
    pub(super) async fn automation(&self, name: &str) -> Result<Automation, ApiError> {
        if let Ok(rule) = self.inbox.rule(name) {
            return self.download_automation(&rule).await;
        }
        let status = self.watcher.rule_status(name)?;
        let rules_problem = self.rules_problem.borrow().clone();
        let rule = self.watcher.rules().rule(name).map(|rule| describe(rule));
        Ok(Automation::Upload(Box::new(UploadAutomation { status, rule, rules_problem })))
    }

    async fn download_automation(&self, rule: &DownloadRule) -> Result<Automation, ApiError> {
        let (status, counts) = self.inbox.status(&rule.name).await?;
        Ok(Automation::Download(Box::new(DownloadAutomation {
            status,
            kind: "download",
            portals: match &rule.portals {
                Portals::All => None,
                Portals::Subdomains(names) => Some(names.clone()),
            },
            since: rule.since,
            poll_seconds: rule.poll.as_secs(),
            package_folder: rule.package_folder,
            portal_folder: rule.portal_folder,
            after: if rule.remove_package { "delete" } else { "keep" },
            enabled: rule.enabled,
            priority: rule.priority,
            file: rule.file.to_string_lossy().into_owned(),
            line: rule.line,
            waiting_count: counts.fetching,
            received: counts.received,
            rules_problem: self.rules_problem.borrow().clone(),
        })))
    }

    pub(super) fn is_download(&self, name: &str) -> bool {
        self.inbox.rule(name).is_ok()
    }
}

/// All rules in the order of their files, and whether they are enabled.
fn names(rules: &RuleSet) -> Vec<(String, bool)> {
    let place = |file: &std::path::Path, line: u32| (rules.files.iter().position(|known| known == file), line);
    let uploads = rules.rules.iter().map(|rule| (place(&rule.file, rule.line), rule.name.clone(), rule.enabled));
    let downloads = rules.downloads.iter().map(|rule| (place(&rule.file, rule.line), rule.name.clone(), rule.enabled));
    let mut all: Vec<_> = uploads.chain(downloads).collect();
    all.sort();
    all.into_iter().map(|(_, name, enabled)| (name, enabled)).collect()
}

pub(super) async fn list(Extract(state): Extract<ApiState>) -> Answer<Automations> {
    let mut automations = Vec::new();
    for (name, _) in names(&state.watcher.rules()) {
        automations.push(state.automation(&name).await?);
    }
    let rules_problem = state.rules_problem.borrow().clone();
    Ok(Json(Automations { automations, rules_problem }))
}

pub(super) async fn show(Extract(state): Extract<ApiState>, Path(name): Path<String>) -> Answer<Automation> {
    state.automation(&name).await.map(Json)
}

pub(super) async fn run(
    Extract(state): Extract<ApiState>,
    Path(name): Path<String>,
    _: NoFields,
) -> Answer<Automation> {
    match state.is_download(&name) {
        true => state.inbox.look_now(&name).await?,
        false => state.watcher.run_now(&name).await?,
    }
    state.automation(&name).await.map(Json)
}

/// The rules that `name` stands for: itself, or all enabled rules.
fn named(state: &ApiState, name: &str) -> Vec<String> {
    if name != "all" {
        return vec![name.to_owned()];
    }
    names(&state.watcher.rules()).into_iter().filter(|(_, enabled)| *enabled).map(|(name, _)| name).collect()
}

pub(super) async fn pause(
    Extract(state): Extract<ApiState>,
    Path(name): Path<String>,
    _: NoFields,
) -> Answer<PausedRules> {
    let paused = named(&state, &name);
    for name in &paused {
        match state.is_download(name) {
            true => state.inbox.pause(name).await?,
            false => state.watcher.pause(name).await?,
        }
    }
    Ok(Json(PausedRules { paused }))
}

pub(super) async fn resume(
    Extract(state): Extract<ApiState>,
    Path(name): Path<String>,
    _: NoFields,
) -> Answer<ResumedRules> {
    let resumed = named(&state, &name);
    for name in &resumed {
        match state.is_download(name) {
            true => state.inbox.resume(name).await?,
            false => state.watcher.resume(name).await?,
        }
    }
    Ok(Json(ResumedRules { resumed }))
}

pub(super) async fn accept_folder(
    Extract(state): Extract<ApiState>,
    Path(name): Path<String>,
    _: NoFields,
) -> Answer<Automation> {
    if state.is_download(&name) {
        let error =
            ApiError::new(StatusCode::BAD_REQUEST, format!("`{name}` is a download rule and watches no folder"));
        return Err(error.hint("name an upload rule"));
    }
    state.watcher.accept_folder(&name).await?;
    state.automation(&name).await.map(Json)
}

pub(super) async fn reload(Extract(state): Extract<ApiState>, _: NoFields) -> Answer<Loaded> {
    match (state.reload)().await {
        Ok(()) => Ok(Json(Loaded { rules: names(&state.watcher.rules()).len() })),
        Err(diagnostics) => Err(ApiError::new(StatusCode::BAD_REQUEST, diagnostics.render(false))
            .hint("the previous rules stay active; correct the file and save it")),
    }
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct Explaining {
    path: Option<PathBuf>,
    /// A package's id in the cloud, instead.
    package: Option<String>,
}

pub(super) async fn explain(
    Extract(state): Extract<ApiState>,
    Query(explaining): Query<Explaining>,
) -> Answer<Explained> {
    match (explaining.path, explaining.package) {
        (Some(path), None) => Ok(Json(Explained::Path(state.watcher.explain(&path).await?))),
        (None, Some(package)) => {
            let rules = state.inbox.explain(&package).await?;
            let rule = rules.iter().find(|rule| rule.owned).map(|rule| rule.rule.clone());
            Ok(Json(Explained::Package(ExplainedPackage { package, rule, rules })))
        }
        _ => Err(ApiError::bad("give either a path or a package")),
    }
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct Trying {
    /// Another rules file; by default, the active rules.
    path: Option<PathBuf>,
    /// A changed text of the rules file, instead.
    text: Option<String>,
}

pub(super) async fn dry_run(Extract(state): Extract<ApiState>, Body(trying): Body<Trying>) -> Answer<DryRuns> {
    let rules = match (trying.path, trying.text) {
        (None, None) => state.watcher.rules(),
        (Some(_), Some(_)) => return Err(ApiError::bad("give either a path or a text")),
        (None, Some(text)) => {
            let examined = rules_text::examined(&state, text).await?;
            match (examined.refused(), examined.rules) {
                (None, Some(rules)) => Arc::new(rules),
                (Some(refused), _) => return Err(refused),
                (None, None) => return Err(ApiError::bad("the text has no rules")),
            }
        }
        (Some(path), None) => {
            if !path.is_absolute() {
                return Err(ApiError::bad("the path is not absolute"));
            }
            // Errors in a file are shown with its lines.
            let own = state.about.rules.path == path;
            let allowed = own || state.allowed_roots.is_empty() || below_root(&path, &state.allowed_roots).await;
            if !allowed {
                return Err(ApiError::new(
                    StatusCode::FORBIDDEN,
                    "the file is not in a folder that the agent may read",
                ));
            }
            let loading = tokio::task::spawn_blocking(move || masv_rules::load(&path, &SystemEnvironment)).await;
            let loaded = loading
                .map_err(|error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?
                .map_err(|diagnostics| ApiError::new(StatusCode::BAD_REQUEST, diagnostics.render(false)))?;
            Arc::new(loaded)
        }
    };
    let mut downloads = Vec::new();
    for rule in rules.downloads.iter().filter(|rule| rule.enabled) {
        downloads.push(dry_fetch(&state, rule).await?);
    }
    Ok(Json(DryRuns { rules: state.watcher.dry_run(&rules).await?, downloads }))
}

async fn dry_fetch(state: &ApiState, rule: &DownloadRule) -> Result<DryFetch, ApiError> {
    let (found, offline) = match state.inbox.would_fetch(rule).await {
        Ok(found) => (found, None),
        Err(InboxError::Store(error)) => return Err(error.into()),
        Err(error) => (Vec::new(), Some(error.to_string())),
    };
    let packages = found.into_iter().map(|one| WaitingPackage {
        package: one.package.into_string(),
        name: one.name,
        portal: one.portal,
    });
    Ok(DryFetch { rule: rule.name.clone(), into: rule.into.clone(), offline, packages: packages.collect() })
}

/// Whether a file, with links resolved, is below one of these folders.
async fn below_root(path: &std::path::Path, roots: &[PathBuf]) -> bool {
    let Ok(real) = tokio::fs::canonicalize(path).await else { return false };
    for root in roots {
        if tokio::fs::canonicalize(root).await.is_ok_and(|root| real.starts_with(root)) {
            return true;
        }
    }
    false
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct Past {
    limit: Option<u32>,
    since: Option<Timestamp>,
}

pub(super) async fn history(
    Extract(state): Extract<ApiState>,
    Path(name): Path<String>,
    Query(past): Query<Past>,
) -> Answer<History> {
    let limit = past.limit.unwrap_or(100).clamp(1, 10_000);
    if state.is_download(&name) {
        let filter = DownloadFilter { rule: Some(name), limit, since: past.since, ..DownloadFilter::default() };
        let downloads = state.downloads.store().downloads(filter).await?.into_iter();
        let transfers = downloads.map(|one| Transfer::Download(Box::new(Download::new(one, None)))).collect();
        return Ok(Json(History { transfers }));
    }
    state.watcher.rule_status(&name)?;
    let filter = UploadFilter { rule: Some(name), limit, since: past.since, ..UploadFilter::default() };
    let uploads = state.queue.store().uploads(filter).await?;
    let uploads = uploads.into_iter();
    let transfers = uploads.map(|upload| Transfer::Upload(Box::new(Upload::new(upload, None)))).collect();
    Ok(Json(History { transfers }))
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct Below {
    path: Option<PathBuf>,
    /// For a download rule: a package's id in the cloud.
    package: Option<String>,
    #[serde(default)]
    all: bool,
}

impl Below {
    /// The package; `None` for all.
    fn package(&self) -> Result<Option<String>, ApiError> {
        match (&self.package, self.all) {
            (package, all) if package.is_some() != all => Ok(package.clone()),
            _ => Err(ApiError::bad("give either a package or all").hint("`masv rule history` shows the packages' ids")),
        }
    }

    /// The path relative to the rule's folder; `None` for everything.
    fn relative(&self, state: &ApiState, name: &str) -> Result<Option<PathBuf>, ApiError> {
        match (&self.path, self.all) {
            (None, true) => Ok(None),
            (Some(path), false) => {
                let watch = state.watcher.rule_status(name)?.watch;
                match path.strip_prefix(&watch) {
                    Ok(relative) => Ok(Some(relative.to_owned())),
                    Err(_) if path.is_relative() => Ok(Some(path.clone())),
                    Err(_) => {
                        let (path, watch) = (path.display(), watch.display());
                        Err(ApiError::bad(format!("{path} is not in the folder of the rule `{name}`, {watch}")))
                    }
                }
            }
            _ => Err(ApiError::bad("give either a path or all")),
        }
    }
}

pub(super) async fn forget(
    Extract(state): Extract<ApiState>,
    Path(name): Path<String>,
    Body(below): Body<Below>,
) -> Answer<Forgotten> {
    let count = match state.is_download(&name) {
        true => state.inbox.forget(&name, below.package()?).await?,
        false => state.watcher.forget(&name, below.relative(&state, &name)?.as_deref()).await?,
    };
    Ok(Json(Forgotten { forgotten: count }))
}

pub(super) async fn mark_sent(
    Extract(state): Extract<ApiState>,
    Path(name): Path<String>,
    Body(below): Body<Below>,
) -> Answer<Marked> {
    let count = match state.is_download(&name) {
        true => state.inbox.mark(&name, below.package()?.as_deref()).await?,
        false => state.watcher.mark_sent(&name, below.relative(&state, &name)?.as_deref()).await?,
    };
    Ok(Json(Marked { marked: count }))
}
