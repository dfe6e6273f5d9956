//! Restores files that rules have hidden before removing them, when these rules are no longer active.
//!
//! **In**: the names of the rules at work, the store. **Out**: nothing hidden is left of other rules.
//!
//! A rule that was removed, renamed or disabled decides nothing any more, and least of all that a file is removed. What it had
//! hidden gets its name back; a taken name is numbered. What it had moved stays where it is.
//!
//! **On a crash** the store still has the file, and the next start brings it back.

use std::collections::HashSet;
use std::time::Duration;

use jiff::Timestamp;
use masv_platform::{Folder, unless_hurried};
use tokio_util::sync::CancellationToken;

use super::aftercare::{Ending, give_back};
use super::describe;
use super::relocate::Refused;
use crate::model::{DueSpan, Held, TakenAway};
use crate::store::{Store, StoreError};

/// A folder that is not there may be there again after this.
const AGAIN: Duration = Duration::from_secs(60);

/// Files restored between one change of the database and the next.
const PAGE: u32 = 256;
/// Everything being looked after, due or not.
const EVERYTHING: DueSpan = DueSpan { by: Timestamp::MAX, latest: Timestamp::MAX };

/// Brings back what rules other than these have hidden, until all of it is back.
pub(super) async fn give_back_all(store: Store, at_work: HashSet<String>, cancel: CancellationToken) {
    loop {
        match give_back_what_can_be(&store, &at_work).await {
            Ok(true) => return,
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(
                    error = describe(&error),
                    "files hidden by removed rules cannot be restored at the moment"
                )
            }
        }
        if tokio::time::timeout(unless_hurried(AGAIN), cancel.cancelled()).await.is_ok() {
            return;
        }
    }
}

/// Whether nothing is left.
async fn give_back_what_can_be(store: &Store, at_work: &HashSet<String>) -> Result<bool, StoreError> {
    let mut all = true;
    for rule in store.rules_that_took_away().await? {
        if at_work.contains(&rule) {
            continue;
        }
        let mut after = None;
        loop {
            let page = store.taken_away(&rule, EVERYTHING, after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.held.clone());
            let mut over = Vec::new();
            match tokio::task::spawn_blocking(move || page.into_iter().map(back).collect::<Vec<_>>()).await {
                Ok(done) => done.into_iter().for_each(|(taken, ending)| over.extend(told(&rule, taken, ending))),
                Err(error) => tracing::error!(%error, "restoring hidden files ended unexpectedly"),
            }
            store.let_go(&rule, over).await?;
        }
        all &= store.next_taken_away(&rule).await?.is_none();
    }
    Ok(all)
}

/// Reports what became of a file; returns where it was held if it no longer needs looking after.
fn told(rule: &str, taken: TakenAway, ending: Result<Ending, Refused>) -> Option<Held> {
    let folder = taken.root.display();
    match ending {
        Ok(Ending::Returned(path)) => {
            let path = path.display();
            tracing::warn!(%folder, %path, rule, "a sent file that was to be removed has been restored: its rule is no longer active");
        }
        Ok(_) => {}
        Err(error) => {
            let (path, error) = (taken.path.display(), describe(&error));
            tracing::warn!(%folder, %path, rule, error, "a hidden file cannot be restored at the moment");
            return None;
        }
    }
    Some(taken.held)
}

fn back(taken: TakenAway) -> (TakenAway, Result<Ending, Refused>) {
    let root = Folder::open(&taken.root).map_err(Refused::at_target("open"));
    let ending = root.and_then(|root| give_back(&root, &taken));
    (taken, ending)
}
