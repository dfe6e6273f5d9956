//! Loading the rules file: at the start, when it is saved, on SIGHUP, on request. The whole new set is built first; an
//! invalid one leaves the previous rules active, and so does one that somebody is still writing, unless it is loaded on request.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::console_events::Notice;
use super::embedded::Embedded;
use super::surroundings::Surroundings;
use super::{last_rules, service};
use crate::api::RulesFile;
use crate::portal_downloads::Inbox;
use crate::upload::Queue;
use crate::watch::Watcher;
use masv_platform::{FileIdentity, OpenForWriting, OwnPlaces, open_for_writing, silent_file_system_of, writers_of};
use masv_protocol::TeamId;
use masv_rules::own_hub::OwnHub;
use masv_rules::{Cloud, Diagnostic, Diagnostics, RuleSet};

/// How often the file is polled. A poll is one `stat`, which works on every file system.
const LOOK: Duration = Duration::from_secs(2);

/// How many more looks a file has to stay as it is, if it is closed; if nobody can tell whether it is; and if nobody can and rules are
/// gone from it, as from one of which the rest is still to come.
const CLOSED: u32 = 1;
const UNSEEN: u32 = 5;
const UNSEEN_AND_SHORTER: u32 = 15;

/// What is known of who writes the rules file.
enum Writer {
    /// Nobody.
    None,
    /// Somebody has this file open for writing.
    Has(PathBuf, String),
    /// Nobody can tell, here.
    Unseen,
}

/// Who has one of these files open for writing.
async fn writer_of(files: Vec<PathBuf>) -> Writer {
    let asked = tokio::task::spawn_blocking(move || {
        let mut unseen = false;
        for path in files {
            let Ok(metadata) = std::fs::metadata(&path) else { continue };
            let Ok(file) = std::fs::File::open(&path) else { continue };
            if !metadata.is_file() {
                continue;
            }
            let asked = match silent_file_system_of(&file) {
                Some(_) => OpenForWriting::Unknown,
                None => open_for_writing(&file),
            };
            let who = if asked == OpenForWriting::No {
                None
            } else {
                writers_of(&[FileIdentity::of(&metadata)]).into_values().next()
            };
            match (asked, who) {
                (_, Some(who)) => return Writer::Has(path, who),
                (OpenForWriting::Yes, None) => return Writer::Has(path, "a program of another user".to_owned()),
                (OpenForWriting::Unknown, None) => unseen = true,
                (OpenForWriting::No, None) => {}
            }
        }
        if unseen { Writer::Unseen } else { Writer::None }
    });
    asked.await.unwrap_or(Writer::Unseen)
}

/// What is said of a file that somebody writes.
fn being_written(path: &Path, who: &str) -> Diagnostic {
    let help = Some("it is loaded once it is closed; `masv rule reload` loads it as it is".to_owned());
    Diagnostic::of_file(path, format!("the file is being written by {who}"), help)
}

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
    // What was in force before is known to be whole.
    if file.is_expected()
        && let Writer::Has(path, who) = writer_of(vec![file.path.clone()]).await
        && let Some(rules) = last_rules::find(data_dir, &file.path).await
    {
        let diagnostics = Diagnostics(vec![being_written(&path, &who)]);
        tell(&diagnostics);
        return Ok((rules, Some(diagnostics)));
    }
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

/// Has what waits for a team sent by the one that the rules name.
pub(super) async fn name_teams(queue: &Queue, rules: &RuleSet) {
    // As a key, a team is told only to the cloud that the rules name.
    let cloud = rules.cloud.as_ref().filter(|cloud| cloud.url == *queue.cloud().base());
    let team = cloud.and_then(|cloud| cloud.team.clone()).map(TeamId::from);
    let of_rules =
        rules.rules.iter().filter_map(|rule| Some((rule.name.clone(), TeamId::from(rule.upload.team_id.clone()?))));
    if let Err(error) = queue.name_teams(team, of_rules.collect()).await {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "teams that the rules name cannot be given to waiting uploads"
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
    pub queue: Queue,
    pub watcher: Watcher,
    pub inbox: Inbox,
    /// The rules, for readers.
    pub rules: watch::Sender<Arc<RuleSet>>,
    pub embedded: Option<Embedded>,
    /// The cloud that the running agent sends to; only a restart changes it, but for a team that was not named.
    pub cloud: Mutex<Option<Cloud>>,
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
            let changed = match (self.is_cloud_in_force(rules.cloud.as_ref()), rules.hub == self.hub) {
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

    /// Whether the running agent's cloud is the file's, or would be if its team were named.
    fn is_cloud_in_force(&self, cloud: Option<&Cloud>) -> bool {
        let in_force = self.cloud.lock().unwrap_or_else(PoisonError::into_inner);
        let nameless = cloud.map(|cloud| Cloud { team: None, ..cloud.clone() });
        cloud == in_force.as_ref() || nameless.as_ref() == in_force.as_ref()
    }

    async fn take(&self, rules: RuleSet) {
        self.cloud.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&rules.cloud);
        name_teams(&self.queue, &rules).await;
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

    /// Loads the file whenever it, or a file that it names, was saved, until `stop`: not while somebody writes it.
    pub(super) async fn follow(&self, stop: CancellationToken) {
        let mut others = self.rules.borrow().read_from();
        // With a problem at the start, the rules in force are others than those of the file.
        let is_loaded = self.problem.borrow().is_none();
        let mut looks = Looks::begin(self.look(&others).await.filter(|_| is_loaded));
        let mut told: Option<Told> = None;
        while tokio::time::timeout(LOOK, stop.cancelled()).await.is_err() {
            let unchanged = looks.take(self.look(&others).await);
            if unchanged < CLOSED {
                if looks.nothing_new() {
                    self.no_longer_written(&mut told);
                }
                continue;
            }
            let needed = match writer_of([std::slice::from_ref(&self.file.path), &*others].concat()).await {
                Writer::Has(path, who) => {
                    self.is_being_written(&mut told, &being_written(&path, &who));
                    continue;
                }
                Writer::None => CLOSED,
                Writer::Unseen if unchanged >= UNSEEN && !self.would_lose_rules().await => UNSEEN,
                Writer::Unseen => UNSEEN_AND_SHORTER,
            };
            if unchanged < needed {
                continue;
            }
            looks.loaded();
            told = None;
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

    /// Says that the file is being written, in the place of what was said before.
    fn is_being_written(&self, told: &mut Option<Told>, diagnostic: &Diagnostic) {
        let message = Diagnostics(vec![diagnostic.clone()]).render(false);
        if told.as_ref().is_some_and(|told| told.message == message) {
            return;
        }
        tracing::info!("{}; it is loaded once it is closed", diagnostic.message);
        let before = told.take().map_or_else(|| self.problem.borrow().clone(), |told| told.before);
        self.problem.send_replace(Some(message.clone()));
        *told = Some(Told { message, before });
    }

    /// The file was closed as it had been before.
    fn no_longer_written(&self, told: &mut Option<Told>) {
        if let Some(Told { message, before }) = told.take() {
            self.problem.send_if_modified(|problem| {
                let is_ours = problem.as_ref() == Some(&message);
                if is_ours {
                    *problem = before;
                }
                is_ours
            });
        }
    }

    /// Whether rules that are in force are not in the file any more.
    async fn would_lose_rules(&self) -> bool {
        let Ok(new) = load(&self.file).await else { return false };
        let rules = Arc::clone(&self.rules.borrow());
        rules.rules.iter().any(|rule| new.rule(&rule.name).is_none())
            || rules.downloads.iter().any(|rule| new.download(&rule.name).is_none())
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

/// What was said of a file that is being written, and what had been said before.
struct Told {
    message: String,
    before: Option<String>,
}

/// What the polls of the files have seen.
struct Looks<State> {
    loaded: Option<State>,
    last: Option<State>,
    /// In how many polls it was as it had been in the one before.
    unchanged: u32,
}

impl<State: PartialEq + Clone> Looks<State> {
    fn begin(loaded: Option<State>) -> Self {
        Self { last: loaded.clone(), loaded, unchanged: 0 }
    }

    /// In how many polls in a row a file that differs from the loaded one has been as it had been before. None, if it does not
    /// differ, or is missing: a file that is briefly missing is being replaced, and one that just changed may be half written.
    fn take(&mut self, now: Option<State>) -> u32 {
        let settled = now == std::mem::replace(&mut self.last, now.clone());
        let differs = now.is_some() && now != self.loaded;
        self.unchanged = if settled && differs { self.unchanged.saturating_add(1) } else { 0 };
        self.unchanged
    }

    /// Whether the file is there and is the loaded one.
    fn nothing_new(&self) -> bool {
        self.last.is_some() && self.last == self.loaded
    }

    /// What was seen last is being loaded.
    fn loaded(&mut self) {
        self.loaded = self.last.clone();
        self.unchanged = 0;
    }
}

async fn look(path: &Path) -> Option<FileIdentity> {
    tokio::fs::metadata(path).await.ok().map(|metadata| FileIdentity::of(&metadata))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Case: half a rules file. One saved in two writes was loaded after the first: what the missing half excluded was sent.
    #[test]
    fn a_file_is_loaded_once_it_has_been_the_same_for_two_looks() {
        let file = |size| Some(FileIdentity { size, mtime_ns: 0, ctime_ns: 0, device: 0, inode: 0 });
        let mut looks = Looks::begin(file(1));
        let told =
            [file(1), file(2), file(3), file(3), file(3), None, file(3), file(4), None, file(4), file(4)].map(|now| {
                let is_due = looks.take(now) >= CLOSED;
                if is_due {
                    looks.loaded();
                }
                is_due
            });
        assert_eq!(told, [false, false, false, true, false, false, false, false, false, false, true]);
    }

    /// Case: a rules file is written anew with the same size and date.
    #[test]
    fn a_file_of_the_same_size_and_date_is_another_one_when_it_was_changed_since() {
        let file = |ctime_ns| Some(FileIdentity { size: 1, mtime_ns: 0, ctime_ns, device: 0, inode: 0 });
        let mut looks = Looks::begin(file(1));
        assert_eq!([file(1), file(2), file(2)].map(|now| looks.take(now)), [0, 0, 1]);
        assert!(!looks.nothing_new());
    }

    /// Case: half a rules file where nobody can tell who writes: it has to stay as it is for longer, and is counted anew after each change.
    #[test]
    fn looks_count_for_how_long_a_changed_file_has_been_the_same() {
        let mut looks = Looks::begin(Some(1));
        let counted =
            [Some(1), Some(2), Some(2), Some(2), Some(3), Some(3), None, Some(3), Some(1)].map(|now| looks.take(now));
        assert_eq!(counted, [0, 0, 1, 2, 0, 1, 0, 0, 0]);
        assert!(looks.nothing_new());
    }
}
