//! Notifications about rules: webhooks and programs, from the durable outbox.
//!
//! **In**: the event log, the current rules. **Out**: signed POSTs, programs run.
//!
//! **Guarantees.** Every event that a rule subscribes to is delivered at least once, across crashes and however long the receiver
//! is down (up to three days); repeats of one message carry the same delivery id. Transfers never wait for a receiver, and
//! one receiver never waits for another. Only the host of an address is logged.
//!
//! **On a crash** the event log is read from the recorded position, and the outbox is processed further.
//!
//! Must never know: how files are sent, or the cloud.

mod deliver;
mod exec;
mod message;
mod relay;
mod retry;
mod webhook;

pub(crate) use retry::{Verdict, wait};
pub(crate) use webhook::Webhooks;

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::store::{Store, StoreError};
use masv_rules::{Notify, NotifyTarget, RuleSet};

/// The current rules.
pub type Rules = watch::Receiver<Arc<RuleSet>>;

/// Notifies of every event from now on (at the first start) or from where it stopped, until `stop`.
///
/// # Errors
/// Those of the store.
pub async fn start(store: Store, rules: Rules, stop: CancellationToken) -> Result<JoinHandle<()>, StoreError> {
    let from = store.relayed().await?;
    Ok(tokio::spawn(async move {
        tokio::join!(relay::run(store.clone(), rules.clone(), from, stop.clone()), deliver::run(store, rules, stop));
    }))
}

/// The `notify` of a rule of either kind; empty if there is no longer such a rule.
fn notifies<'a>(rules: &'a RuleSet, name: &str) -> &'a [Notify] {
    let upload = rules.rule(name).map(|rule| rule.notify.as_slice());
    upload.or_else(|| rules.download(name).map(|rule| rule.notify.as_slice())).unwrap_or_default()
}

/// How the outbox identifies a receiver: by a digest of its address, so that neither addresses nor secrets are stored there and
/// a receiver that was removed from the rules is no longer notified.
fn target_id(target: &NotifyTarget) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut add = |text: &str| {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    match target {
        NotifyTarget::Webhook { url, .. } => ["webhook", url.as_str()].into_iter().for_each(&mut add),
        NotifyTarget::Exec { program, arguments } => {
            ["exec", program].into_iter().chain(arguments.iter().map(String::as_str)).for_each(&mut add);
        }
    }
    hasher.finalize().to_hex()[..32].to_owned()
}

/// The target in a log line: only the host of an address.
fn shown(target: &NotifyTarget) -> String {
    match target {
        NotifyTarget::Webhook { url, .. } => format!("webhook {}", url.host_str().unwrap_or("?")),
        NotifyTarget::Exec { program, .. } => format!("program {program}"),
    }
}
