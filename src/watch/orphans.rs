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
use masv_platform::unless_hurried;
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
    let root = taken.root.whole();
    let folder = root.display();
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
    let root = taken.root.folder().map_err(Refused::at_target("open"));
    let ending = root.and_then(|root| give_back(&root, &taken));
    (taken, ending)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use masv_platform::{FileIdentity, PathBeneath};

    use super::*;

    /// A link took the place of the folder after a file was hidden in it and its rule was removed: the file got its name back behind
    /// the link, where the rule was never to write. The link of an operator is followed, as ever.
    #[tokio::test]
    async fn what_a_confined_rule_has_hidden_is_given_back_through_no_link() {
        for confined in [true, false] {
            let around = tempfile::tempdir().unwrap();
            let at = |path: &str| around.path().canonicalize().unwrap().join(path);
            let store = Store::open(&at("agent.db")).unwrap();
            std::fs::create_dir(at("drop")).unwrap();
            std::fs::write(at("drop/.masv-sent-1"), "content").unwrap();
            let identity = FileIdentity::of(&std::fs::metadata(at("drop/.masv-sent-1")).unwrap());
            let root = match confined {
                true => PathBeneath::without_links(&at("drop")),
                false => PathBeneath::new(at("drop"), ""),
            };
            let held = Held::Hidden(".masv-sent-1".into());
            let taken = TakenAway { root, path: "clip.mov".into(), held, identity, due_at: Timestamp::now() };
            store.take_away("gone", taken.clone()).await.unwrap();
            assert_eq!(store.taken_away("gone", EVERYTHING, None, PAGE).await.unwrap()[0].root, taken.root);
            std::fs::rename(at("drop"), at("elsewhere")).unwrap();
            symlink("elsewhere", at("drop")).unwrap();
            let all = async || give_back_what_can_be(&store, &HashSet::new()).await.unwrap();
            let is_back = |folder: &str| Path::exists(&at(folder).join("clip.mov"));
            assert_eq!((all().await, is_back("elsewhere")), (!confined, !confined), "confined: {confined}");
            std::fs::remove_file(at("drop")).unwrap();
            std::fs::rename(at("elsewhere"), at("drop")).unwrap();
            assert!(all().await && is_back("drop"), "confined: {confined}");
        }
    }
}
