//! What after-actions have taken away: checked again once a late writer would have been noticed.
//!
//! **In**: what the store says was taken away. **Out**: files that somebody wrote to are back in the folder, which is to be looked
//! at then; the others are removed for good.
//!
//! **Owns** when the first of it is due, and the check under way.
//!
//! **On a crash** nothing is lost: what was taken away is in the store until it is over.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::task::{JoinError, JoinHandle};

use super::context::Context;
use super::{RETRY, describe};
use crate::model::{DueSpan, Held, TakenAway};
use crate::store::StoreError;
use crate::watch::aftercare::{Ending, look_after};
use crate::watch::post_actions::Sight;
use crate::watch::relocate::Refused;
use masv_platform::unless_hurried;
use masv_rules::Rule;

/// So long a file that was taken away is looked after at least.
const SHORTEST_CARE: Duration = Duration::from_secs(60);
/// So many times as long, where nothing would show a writer: only what it writes can.
const UNSEEN_FACTOR: u32 = 10;

/// Between one look and the next: each is at all that has become due by then.
const REST: Duration = Duration::from_secs(1);
/// Files looked at between one change of the database and the next.
const PAGE: u32 = 256;
/// So often that long a file is kept hidden while somebody has it open and does not write to it.
const MOST_CARES: i32 = 60;
/// Failures told of after one look; of more, these stand for all.
const MOST_TOLD: usize = 10;

type Results = Result<Result<Looked, StoreError>, JoinError>;

/// What a look at what was taken away has found.
#[derive(Debug, Default)]
pub(super) struct Looked {
    /// Files that were written to: where they were dropped, and where they are again.
    returned: Vec<(PathBuf, PathBuf)>,
    /// Files that somebody held open for long: where they were dropped, where they are again, and who.
    reopened: Vec<(PathBuf, PathBuf, String)>,
    /// What went wrong.
    failed: Vec<String>,
    /// Files that stay as they are until the next look.
    kept: u64,
}

/// How long a file is looked after once it was taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Care {
    /// If a writer would have been seen.
    seen: Duration,
    /// Where nothing shows one.
    unseen: Duration,
}

impl Care {
    fn new(shortest: Duration, rule: &Rule) -> Self {
        let seen = shortest.max(rule.settle);
        Self { seen, unseen: seen.max(shortest * UNSEEN_FACTOR).max(rule.settle_unseen) }
    }

    pub(super) fn of(self, sight: Sight) -> Duration {
        match sight {
            Sight::Seen => self.seen,
            Sight::Unseen => self.unseen,
        }
    }
}

/// When what was taken away is looked at.
#[derive(Debug)]
pub(super) struct Aftercare {
    /// How long files that were taken away are watched, at least.
    shortest: Duration,
    /// When the first of it is due.
    due_at: Option<Timestamp>,
    running: Option<JoinHandle<Result<Looked, StoreError>>>,
    not_before: Option<Duration>,
}

impl Aftercare {
    pub(super) fn new(shortest: Option<Duration>) -> Self {
        let shortest = shortest.unwrap_or_else(|| unless_hurried(SHORTEST_CARE));
        Self { shortest, due_at: None, running: None, not_before: None }
    }

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

    /// How long a file is looked after once it was taken away.
    pub(super) fn care(&self, context: &Context) -> Care {
        Care::new(self.shortest, &context.rule)
    }

    /// Reads when something is to be looked after.
    pub(super) async fn read(&mut self, context: &Context) -> Result<(), StoreError> {
        self.due_at = context.store.next_taken_away(&context.rule.name).await?;
        Ok(())
    }

    /// The same; what cannot be read now is read later.
    pub(super) async fn read_again(&mut self, context: &Context) {
        if let Err(error) = self.read(context).await {
            self.due_at = Some(Timestamp::now());
            self.not_before = Some(context.now() + RETRY);
            context.problem("store", describe(&error)).await;
        }
    }

    /// When something is due, as time since the start.
    pub(super) fn next(&self, context: &Context) -> Option<Duration> {
        let due_at = self.due_at.filter(|_| self.running.is_none())?;
        let due = context.now() + DueSpan::at(Timestamp::now(), self.care(context).unseen).wait_for(due_at);
        Some(self.not_before.map_or(due, |not_before| due.max(not_before)))
    }

    /// Starts checking what is due.
    pub(super) fn begin_due(&mut self, context: &Context) {
        if self.next(context).is_none_or(|due| due > context.now()) {
            return;
        }
        let (events, store, rule) = (Arc::clone(&context.hints), context.store.clone(), Arc::clone(&context.rule));
        let (runtime, keeps, care) = (tokio::runtime::Handle::current(), context.keeps_levels(), self.care(context));
        self.running = Some(tokio::task::spawn_blocking(move || {
            let due = DueSpan::at(Timestamp::now(), care.unseen);
            let longest = SignedDuration::try_from(care.seen).unwrap_or_default() * MOST_CARES;
            let (mut looked, mut after) = (Looked::default(), None);
            loop {
                let page = store.taken_away(&rule.name, due, after.as_ref(), PAGE);
                let page = runtime.block_on(page)?;
                let Some(last) = page.last() else { return Ok(looked) };
                after = Some(last.held.clone());
                let mut over = Vec::with_capacity(page.len());
                for taken in page {
                    // It is new when it is back, whatever was sent of it.
                    let returning = || {
                        let forgotten = runtime.block_on(store.ledger_forget(&rule.name, Some(&taken.path)));
                        forgotten.map(drop).map_err(|error| Refused::Unkept(describe(&error)))
                    };
                    let waited = Timestamp::now().duration_since(taken.due_at) > longest;
                    // In the rule's own folder what the rule says now counts.
                    let place = if taken.root.whole() == rule.watch { rule.place() } else { taken.root.clone() };
                    let root = place.folder().map_err(Refused::at_target("open"));
                    let ending = root.and_then(|root| look_after(&root, &events, &taken, keeps, waited, &returning));
                    over.extend(looked.take(taken, ending));
                }
                runtime.block_on(store.let_go(&rule.name, over))?;
            }
        }));
    }

    /// Tells what became of files that were looked after; returns whether some are back in the folder.
    pub(super) async fn take(&mut self, context: &Context, results: Results) -> bool {
        let looked = match results {
            Ok(Ok(looked)) => looked,
            Ok(Err(error)) => return self.failed(context, "store", &error).await,
            Err(error) => return self.failed(context, "after", &error).await,
        };
        let are_back = !looked.returned.is_empty() || !looked.reopened.is_empty();
        let rest = if looked.kept > 0 { RETRY } else { REST };
        self.not_before = Some(context.now() + rest);
        for (was, is) in looked.returned {
            let (was, is) = (was.display(), is.display());
            let what =
                format!("{was} was written to after it had been sent: it is back as {is}, and will be sent again");
            context.problem("after", what).await;
        }
        for (was, is, who) in looked.reopened {
            let (was, is) = (was.display(), is.display());
            let what = format!("{was} was sent and is still held open by {who}: it is back as {is} until it is closed");
            context.problem("after", what).await;
        }
        for failed in looked.failed {
            context.problem("after", failed).await;
        }
        self.read_again(context).await;
        are_back
    }

    async fn failed(&mut self, context: &Context, code: &'static str, error: &(dyn std::error::Error + Sync)) -> bool {
        self.not_before = Some(context.now() + RETRY);
        context.problem(code, describe(error)).await;
        false
    }
}

impl Looked {
    /// Notes what became of a file; returns where it was held if it need not be looked after any more.
    fn take(&mut self, taken: TakenAway, ending: Result<Ending, Refused>) -> Option<Held> {
        match ending {
            Ok(Ending::Over) => Some(taken.held),
            Ok(Ending::Returned(path)) => {
                self.returned.push((taken.path, path));
                Some(taken.held)
            }
            Ok(Ending::Reopened(path, who)) => {
                self.reopened.push((taken.path, path, who));
                Some(taken.held)
            }
            Ok(Ending::Written(who)) => {
                tracing::debug!(path = %taken.path.display(), who, "a sent file is still open for writing; it is kept");
                self.kept += 1;
                None
            }
            Err(error) => {
                if self.failed.len() < MOST_TOLD {
                    self.failed.push(format!("{}: {}", taken.path.display(), describe(&error)));
                }
                self.kept += 1;
                None
            }
        }
    }
}
