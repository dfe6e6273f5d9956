//! The rule's task and what after-actions have taken away: looked at once more when a late writer would have shown.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::task::{JoinError, JoinHandle};

use super::{RETRY, Runner, describe};
use crate::model::TakenAway;
use crate::store::StoreError;
use crate::watch::aftercare::{Ending, look_after};
use crate::watch::relocate::Refused;
use masv_platform::Folder;
use masv_rules::Per;

/// So long a file that was taken away is looked after at least.
pub(super) const SHORTEST_CARE: Duration = Duration::from_secs(60);

type Endings = Vec<(TakenAway, Result<Ending, Refused>)>;
type Results = Result<Endings, JoinError>;

/// What is looked after.
#[derive(Debug, Default)]
pub(super) struct Aftercare {
    taken: Vec<TakenAway>,
    running: Option<JoinHandle<Endings>>,
    not_before: Option<Duration>,
}

impl Aftercare {
    /// Waits for the end of the look that is under way.
    pub(super) async fn ended(&mut self) -> Results {
        match &mut self.running {
            Some(running) => {
                let results = running.await;
                self.running = None;
                results
            }
            None => std::future::pending().await,
        }
    }
}

impl Runner {
    /// How long a file is looked after once it was taken away.
    pub(super) fn care(&self) -> Duration {
        self.shortest_care.max(self.rule.settle)
    }

    /// Reads what is to be looked after.
    pub(super) async fn read_taken_away(&mut self) -> Result<(), StoreError> {
        self.aftercare.taken = self.store.taken_away(&self.rule.name).await?;
        Ok(())
    }

    /// When something is due, as time since the start.
    pub(super) fn next_care(&self) -> Option<Duration> {
        if self.aftercare.running.is_some() {
            return None;
        }
        let (clock, now, care) = (Timestamp::now(), self.shared.now(), self.care());
        let due = self.aftercare.taken.iter().map(|taken| {
            // A clock that was set back must not hide a file for weeks.
            let wait = Duration::try_from(taken.due_at.duration_since(clock)).unwrap_or_default().min(care);
            now + wait
        });
        due.min().map(|due| self.aftercare.not_before.map_or(due, |not_before| due.max(not_before)))
    }

    /// Begins to look at what is due.
    pub(super) fn look_after_due(&mut self) {
        if self.next_care().is_none_or(|due| due > self.shared.now()) {
            return;
        }
        let (clock, far) = (Timestamp::now(), Timestamp::now() + self.care());
        let due = |taken: &&TakenAway| taken.due_at <= clock || taken.due_at > far;
        let due: Vec<TakenAway> = self.aftercare.taken.iter().filter(due).cloned().collect();
        let (events, store, rule) = (Arc::clone(&self.hints), self.store.clone(), Arc::clone(&self.rule));
        let (runtime, keeps) = (tokio::runtime::Handle::current(), self.keeps_levels());
        self.aftercare.running = Some(tokio::task::spawn_blocking(move || {
            let look = |taken: TakenAway| {
                // It is new when it is back, whatever was sent of it.
                let returning = || {
                    let forgotten = runtime.block_on(store.ledger_forget(&rule.name, Some(&taken.path)));
                    forgotten.map(drop).map_err(|error| Refused::Unkept(describe(&error)))
                };
                let root = Folder::open(&taken.root).map_err(Refused::at_target("open"));
                let ending = root.and_then(|root| look_after(&root, &events, &taken, keeps, &returning));
                (taken, ending)
            };
            due.into_iter().map(look).collect()
        }));
    }

    /// Notes what became of files that were looked after.
    pub(super) async fn looked_after(&mut self, results: Results) {
        self.aftercare.not_before = Some(self.shared.now() + RETRY);
        let results = match results {
            Ok(results) => results,
            Err(error) => return self.problem("after", describe(&error)).await,
        };
        for (taken, ending) in results {
            match ending {
                Ok(Ending::Over) => {}
                Ok(Ending::Returned(path)) => {
                    let (was, is) = (taken.path.display(), path.display());
                    let what =
                        format!("{was} was written to after it had been sent: it is back as {is}, and is sent anew");
                    self.problem("after", what).await;
                    self.looks.next_full = Duration::ZERO;
                }
                Ok(Ending::Written(who)) => {
                    tracing::debug!(path = %taken.path.display(), who, "a sent file is still open for writing; it is kept");
                    continue;
                }
                Err(error) => {
                    self.problem("after", format!("{}: {}", taken.path.display(), describe(&error))).await;
                    continue;
                }
            }
            if let Err(error) = self.store.let_go(&self.rule.name, &taken.held).await {
                return self.problem("store", describe(&error)).await;
            }
            self.aftercare.taken.retain(|kept| kept.held != taken.held);
        }
        if self.aftercare.taken.is_empty() {
            self.aftercare.not_before = None;
        }
    }

    /// How many names of an emptied folder's path stay: folders directly in the watched folder belong to whoever drops into
    /// them, unless they are what is dropped.
    pub(super) fn keeps_levels(&self) -> usize {
        if self.rule.package.per == Per::Folder { 0 } else { 1 }
    }
}
