//! Files that rules have hidden on their way to being removed, when these rules are not at work any more: they come back.
//!
//! **In**: the names of the rules at work, the store. **Out**: nothing hidden is left of other rules.
//!
//! A rule that was removed, renamed or disabled decides nothing any more, and least of all that a file is removed. What it had
//! hidden gets its name back; a taken name is numbered. What it had moved stays where it is.
//!
//! **On a crash** the store still has the file, and the next start brings it back.

use std::collections::HashSet;
use std::time::Duration;

use masv_platform::{Folder, unless_hurried};
use tokio_util::sync::CancellationToken;

use super::aftercare::{Ending, give_back};
use super::describe;
use super::relocate::Refused;
use crate::model::TakenAway;
use crate::store::{Store, StoreError};

/// A folder that is not there may be there again after this.
const AGAIN: Duration = Duration::from_secs(60);

/// Brings back what rules other than these have hidden, until all of it is back.
pub(super) async fn give_back_all(store: Store, at_work: HashSet<String>, cancel: CancellationToken) {
    loop {
        match give_back_what_can_be(&store, &at_work).await {
            Ok(true) => return,
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(error = describe(&error), "what removed rules have hidden cannot be brought back now")
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
        for taken in store.taken_away(&rule).await? {
            let held = taken.held.clone();
            let (taken, ending) = match tokio::task::spawn_blocking(move || back(taken)).await {
                Ok(done) => done,
                Err(error) => {
                    tracing::error!(%error, "bringing back a hidden file ended unexpectedly");
                    all = false;
                    continue;
                }
            };
            let folder = taken.root.display();
            match ending {
                Ok(Ending::Returned(path)) => {
                    tracing::warn!(%folder, path = %path.display(), rule, "a sent file that was to be removed is back: its rule is not at work any more");
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%folder, path = %taken.path.display(), rule, error = describe(&error), "a hidden file cannot be brought back now");
                    all = false;
                    continue;
                }
            }
            store.let_go(&rule, &held).await?;
        }
    }
    Ok(all)
}

fn back(taken: TakenAway) -> (TakenAway, Result<Ending, Refused>) {
    let root = Folder::open(&taken.root).map_err(Refused::at_target("open"));
    let ending = root.and_then(|root| give_back(&root, &taken));
    (taken, ending)
}
