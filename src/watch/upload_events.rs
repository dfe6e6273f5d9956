//! Passes events of uploads to the rules that created them.
//!
//! **In**: the store's event log, read in order by one task. **Out**: per rule, which uploads have to be looked up again.
//! Events only make a check of the ledger happen sooner; a rule also checks it periodically.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::model::UploadId;
use crate::store::Store;

/// Events read at once.
const PAGE: u32 = 500;

/// What a rule has not looked up yet.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct News {
    /// Uploads that were completed.
    pub completed: BTreeSet<UploadId>,
    /// Uploads that have failed.
    pub failed: BTreeSet<UploadId>,
    /// Uploads were removed: the ledger has to be read as a whole.
    pub removed: bool,
    /// Uploads were resumed, or paused: failed ones may be among them.
    pub moved: bool,
}

impl News {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Where a rule's news are put.
#[derive(Debug, Default)]
pub struct Inbox {
    news: Mutex<News>,
    wake: Notify,
}

impl Inbox {
    /// Waits for news.
    pub async fn changed(&self) {
        self.wake.notified().await;
    }

    /// Takes them.
    #[must_use]
    pub fn take(&self) -> News {
        std::mem::take(&mut *self.news())
    }

    fn put(&self, kind: &str, upload: UploadId) {
        let mut news = self.news();
        match kind {
            "upload.complete" => drop(news.completed.insert(upload)),
            "upload.error" => drop(news.failed.insert(upload)),
            "upload.removed" => news.removed = true,
            "upload.state" => news.moved = true,
            _ => return,
        }
        drop(news);
        self.wake.notify_one();
    }

    fn news(&self) -> MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The inboxes, by rule.
#[derive(Debug, Default)]
pub struct Postbox {
    inboxes: Mutex<HashMap<String, Arc<Inbox>>>,
}

impl Postbox {
    /// A new inbox for a rule.
    #[must_use]
    pub fn open(&self, rule: &str) -> Arc<Inbox> {
        let inbox = Arc::new(Inbox::default());
        self.inboxes().insert(rule.to_owned(), Arc::clone(&inbox));
        inbox
    }

    /// The rule is gone.
    pub fn close(&self, rule: &str) {
        self.inboxes().remove(rule);
    }

    fn inboxes(&self) -> MutexGuard<'_, HashMap<String, Arc<Inbox>>> {
        self.inboxes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads the event log from `last` on, as it grows, until cancelled.
pub async fn deliver(store: Store, postbox: Arc<Postbox>, mut last: i64, cancel: CancellationToken) {
    let mut changes = store.changes();
    loop {
        loop {
            let events = match store.events_after(last, PAGE).await {
                Ok(events) => events,
                Err(error) => {
                    tracing::warn!(error = super::describe(&error), "cannot read the event log; trying again");
                    break;
                }
            };
            for event in &events {
                last = event.id;
                let inbox = event.rule.as_ref().and_then(|rule| postbox.inboxes().get(rule).cloned());
                if let (Some(inbox), Some(upload)) = (inbox, event.upload) {
                    inbox.put(&event.kind, upload);
                }
            }
            if events.len() < PAGE as usize {
                break;
            }
        }
        tokio::select! {
            () = cancel.cancelled() => return,
            changed = changes.changed() => if changed.is_err() { return },
        }
    }
}
