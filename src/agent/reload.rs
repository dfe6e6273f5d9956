//! Loading the rules file: at the start, when it is saved, on SIGHUP, on request. The whole new set is built first; an
//! invalid one leaves the previous rules active.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::console_events::Notice;
use super::embedded::Embedded;
use super::surroundings::Surroundings;
use super::{last_rules, service};
use crate::api::RulesFile;
use crate::portal_downloads::Inbox;
use crate::watch::Watcher;
use masv_platform::{FileIdentity, OwnPlaces};
use masv_rules::own_hub::OwnHub;
use masv_rules::{Cloud, Diagnostic, Diagnostics, RuleSet};

/// How often the file is polled. A poll is one `stat`, which works on every file system.
const LOOK: Duration = Duration::from_secs(2);

/// The rules of a file; none if it is optional and missing.
async fn load(file: &RulesFile) -> Result<RuleSet, Diagnostics> {
    if !file.is_expected() {
        return Ok(RuleSet::empty());
    }
    let path = file.path.clone();
    let loading = tokio::task::spawn_blocking(move || masv_rules::load(&path, &Surroundings));
    loading
        .await
        .unwrap_or_else(|error| Err(Diagnostics(vec![Diagnostic::of_file(&file.path, error.to_string(), None)])))
}

/// The rules to start with; if they are the previous ones, also what is wrong with the file.
pub(super) async fn load_at_start(
    data_dir: &Path,
    file: &RulesFile,
) -> Result<(RuleSet, Option<Diagnostics>), Diagnostics> {
    match load(file).await {
        Ok(rules) => {
            if file.is_expected() {
                last_rules::keep(data_dir, &file.path).await;
            }
            Ok((rules, None))
        }
        Err(diagnostics) => match last_rules::find(data_dir, &file.path).await {
            Some(rules) => {
                tell(&diagnostics);
                Ok((rules, Some(diagnostics)))
            }
            None => Err(diagnostics),
        },
    }
}

/// Logs what is wrong with the file.
fn tell(diagnostics: &Diagnostics) {
    for diagnostic in &diagnostics.0 {
        let (line, key) = (diagnostic.line, &diagnostic.key);
        tracing::error!(
            line,
            key,
            "the rules file is not valid, the previous rules stay active: {}",
            diagnostic.message
        );
    }
}

/// Loads the file again for the running agent.
pub(super) struct Reloader {
    pub file: RulesFile,
    /// Where the copy of the last valid file is kept.
    pub data_dir: PathBuf,
    /// The agent's own files; the rules name some of them.
    pub own: OwnPlaces,
    pub watcher: Watcher,
    pub inbox: Inbox,
    /// The rules, for readers.
    pub rules: watch::Sender<Arc<RuleSet>>,
    pub embedded: Option<Embedded>,
    /// The cloud that the running agent sends to; only a restart changes it.
    pub cloud: Option<Cloud>,
    /// How the rules file says that the embedded hub is reached; only a new start changes it.
    pub hub: OwnHub,
    pub notices: mpsc::Sender<Notice>,
    /// What is wrong with the current file, for the API.
    pub problem: watch::Sender<Option<String>>,
}

impl Reloader {
    /// Loads the file and applies it.
    pub(super) async fn reload(&self) -> Result<(), Diagnostics> {
        service::reloading();
        let loaded = load(&self.file).await.and_then(|rules| {
            let changed = match (rules.cloud == self.cloud, rules.hub == self.hub) {
                (true, true) => return Ok(rules),
                (false, _) => "cloud",
                (true, false) => "hub",
            };
            let message = format!("`{changed}` has changed, which takes effect only when the agent is restarted");
            let help = Some("restart the agent: `masv server stop`, then `masv server start`".to_owned());
            Err(Diagnostics(vec![Diagnostic::of_file(&rules.path, message, help)]))
        });
        let (outcome, notice, status) = match loaded {
            Ok(rules) => {
                let count = rules.rules.len() + rules.downloads.len();
                self.take(rules).await;
                if self.file.is_expected() {
                    last_rules::keep(&self.data_dir, &self.file.path).await;
                }
                self.problem.send_replace(None);
                tracing::info!(rules = count, "rules loaded");
                (Ok(()), Notice::Reloaded { rules: count }, format!("{count} rules"))
            }
            Err(diagnostics) => {
                let report = diagnostics.render(false);
                self.problem.send_replace(Some(report.clone()));
                tell(&diagnostics);
                (
                    Err(diagnostics),
                    Notice::BadRules { report },
                    "the rules file is not valid, the previous rules stay active".to_owned(),
                )
            }
        };
        service::ready(&status);
        // The receiver may be gone.
        let _ = self.notices.try_send(notice);
        outcome
    }

    async fn take(&self, rules: RuleSet) {
        if let Some(embedded) = &self.embedded
            && let Err(error) = embedded.provision(&rules).await
        {
            tracing::error!(error = &error as &dyn std::error::Error, "the hub's portals cannot be created");
        }
        let rules = Arc::new(rules);
        self.own.change(rules.own_files());
        self.rules.send_replace(Arc::clone(&rules));
        self.watcher.reload(Arc::clone(&rules)).await;
        self.inbox.reload(rules).await;
    }

    /// Loads the file whenever it, or a file that it names, was saved, until `stop`.
    pub(super) async fn follow(&self, stop: CancellationToken) {
        let mut others = self.rules.borrow().read_from();
        let mut looks = Looks::begin(self.look(&others).await);
        while tokio::time::timeout(LOOK, stop.cancelled()).await.is_err() {
            if !looks.tell_of_a_change(self.look(&others).await) {
                continue;
            }
            let now = match self.reload().await {
                Ok(()) => self.rules.borrow().read_from(),
                // What is wrong may be in a file that was not followed yet.
                Err(diagnostics) => {
                    let files = diagnostics.0.into_iter().map(|diagnostic| diagnostic.file);
                    let files = files.filter(|file| *file != self.file.path);
                    others.iter().cloned().chain(files).collect::<BTreeSet<_>>().into_iter().collect()
                }
            };
            if now != others {
                others = now;
                looks = Looks::begin(self.look(&others).await);
            }
        }
    }

    /// The state of the file and the others; `None` while the file is missing.
    async fn look(&self, others: &[PathBuf]) -> Option<Vec<Option<FileIdentity>>> {
        let mut all = vec![Some(look(&self.file.path).await?)];
        for path in others {
            all.push(look(path).await);
        }
        Some(all)
    }
}

/// What the polls of the files have seen.
struct Looks<State> {
    loaded: Option<State>,
    last: Option<State>,
}

impl<State: PartialEq + Clone> Looks<State> {
    fn begin(loaded: Option<State>) -> Self {
        Self { last: loaded.clone(), loaded }
    }

    /// Whether to load the file: it differs from the loaded one, and was the same in two polls. A file that is
    /// briefly missing is being replaced, and one that just changed may be half written.
    fn tell_of_a_change(&mut self, now: Option<State>) -> bool {
        let settled = now == std::mem::replace(&mut self.last, now.clone());
        if !settled || now.is_none() || now == self.loaded {
            return false;
        }
        self.loaded = now;
        true
    }
}

async fn look(path: &Path) -> Option<FileIdentity> {
    tokio::fs::metadata(path).await.ok().map(|metadata| FileIdentity::of(&metadata))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A rules file saved in two writes was loaded after the first: what the missing half excluded was sent.
    #[test]
    fn a_file_is_loaded_once_it_has_been_the_same_for_two_looks() {
        let file = |size| Some(FileIdentity { size, mtime_ns: 0, ctime_ns: 0, device: 0, inode: 0 });
        let mut looks = Looks::begin(file(1));
        let told = [file(1), file(2), file(3), file(3), file(3), None, file(3), file(4), None, file(4), file(4)]
            .map(|now| looks.tell_of_a_change(now));
        assert_eq!(told, [false, false, false, true, false, false, false, false, false, false, true]);
    }
}
