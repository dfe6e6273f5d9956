//! Tells of what happens to a rule: webhooks and programs, from the durable outbox.
//!
//! **In**: the event log, the rules as they are now. **Out**: signed POSTs, programs run.
//!
//! **Guarantees.** Every event of a rule that asks for it is told at least once, over crashes and however long the receiver
//! is down (up to three days); repeats of one message carry the same delivery id. Transfers never wait for a receiver, and
//! one receiver never waits for another. Of an address nothing but its host is logged.
//!
//! **On a crash** the event log is read on from where the outbox was written last, and the outbox is run on.
//!
//! Must never know: how files are sent, the cloud.

mod deliver;
mod exec;
mod message;
mod relay;
mod retry;
mod webhook;

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::store::{Store, StoreError};
use masv_rules::{Notify, NotifyTarget, RuleSet};

/// The rules as they are now.
pub type Rules = watch::Receiver<Arc<RuleSet>>;

/// Tells of every event from now on (at the very first start) or from where it stopped, until `stop`.
///
/// # Errors
/// Those of the store.
pub async fn start(store: Store, rules: Rules, stop: CancellationToken) -> Result<JoinHandle<()>, StoreError> {
    let from = store.relayed().await?;
    Ok(tokio::spawn(async move {
        tokio::join!(relay::run(store.clone(), rules.clone(), from, stop.clone()), deliver::run(store, rules, stop));
    }))
}

/// The `notify` of a rule of either kind; empty when there is no such rule any more.
fn notifies<'a>(rules: &'a RuleSet, name: &str) -> &'a [Notify] {
    let upload = rules.rule(name).map(|rule| rule.notify.as_slice());
    upload.or_else(|| rules.download(name).map(|rule| rule.notify.as_slice())).unwrap_or_default()
}

/// What the outbox knows one who is told by: a digest of where, so that neither addresses nor secrets are kept there and
/// whoever was taken out of the rules is told no more.
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

/// The target in a log line: no more of an address than its host.
fn shown(target: &NotifyTarget) -> String {
    match target {
        NotifyTarget::Webhook { url, .. } => format!("webhook {}", url.host_str().unwrap_or("?")),
        NotifyTarget::Exec { program, .. } => format!("program {program}"),
    }
}
