//! Runs its part of the outbox: each receiver gets its messages one after the other, all receivers at the same time.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::retry::{LONGEST_WAIT, Verdict, wait};
use super::webhook::Webhooks;
use super::{Rules, exec, notifies, shown, target_id};
use crate::model::DueSpan;
use crate::store::{Errand, ErrandKind, Outgoing, Store, StoreError, Telling};
use masv_platform::crash_point;
use masv_rules::NotifyTarget;

/// Receivers at the same time.
const AT_ONCE: usize = 16;
/// The outbox is checked at least this often.
const LOOK: Duration = Duration::from_secs(30);
/// And no more often than this while idle.
const SHORTEST_LOOK: Duration = Duration::from_millis(10);
/// The wait after the store has failed.
const STORE_WAIT: Duration = Duration::from_secs(5);

/// Delivers until `stop`; deliveries in flight then are repeated at the next start.
pub(super) async fn run(store: Store, rules: Rules, stop: CancellationToken) {
    let webhooks = match Webhooks::new() {
        Ok(webhooks) => Arc::new(webhooks),
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "notifications cannot be sent: HTTP cannot be set up"
            );
            return;
        }
    };
    let mut changes = store.changes();
    let mut running = JoinSet::new();
    let mut busy = HashMap::new();
    loop {
        changes.mark_unchanged();
        let next = match deliver_due(&store, &rules, &webhooks, &mut running, &mut busy).await {
            Ok(wait) => wait,
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the outbox cannot be run; trying again");
                STORE_WAIT
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            changed = changes.changed() => if changed.is_err() { return },
            Some(ended) = running.join_next_with_id() => {
                let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
                busy.remove(&id);
            }
            () = tokio::time::sleep(next) => {}
        }
    }
}

/// Starts what is due and whose receiver is free; returns how long until the next is due.
async fn deliver_due(
    store: &Store,
    rules: &Rules,
    webhooks: &Arc<Webhooks>,
    running: &mut JoinSet<()>,
    busy: &mut HashMap<Id, String>,
) -> Result<Duration, StoreError> {
    let now = Timestamp::now();
    let due = DueSpan::at(now, LONGEST_WAIT);
    let taken: HashSet<String> = busy.values().cloned().collect();
    for outgoing in store.tellings_due(due).await? {
        let Errand::Tell(telling) = outgoing.errand.clone() else { continue };
        if taken.contains(&telling.target) || busy.len() >= AT_ONCE {
            continue;
        }
        let target = telling.target.clone();
        let span = tracing::info_span!("telling", rule = telling.rule, event = telling.event);
        let delivery = deliver(store.clone(), rules.clone(), Arc::clone(webhooks), outgoing, telling);
        let id = running.spawn(delivery.instrument(span)).id();
        busy.insert(id, target);
    }
    let next = store.next_errand(ErrandKind::Tell, now).await?;
    // One that is due while its receiver is busy is handled when the receiver is free.
    Ok(next.map_or(LOOK, |next| due.wait_for(next).clamp(SHORTEST_LOOK, LOOK)))
}

async fn deliver(store: Store, rules: Rules, webhooks: Arc<Webhooks>, outgoing: Outgoing, telling: Telling) {
    if let Err(error) = try_once(&store, &rules, &webhooks, &outgoing, &telling).await {
        tracing::error!(error = &error as &dyn std::error::Error, "the outbox cannot be written; trying again");
        // Its receiver stays busy meanwhile, so that it is not notified repeatedly.
        tokio::time::sleep(STORE_WAIT).await;
    }
}

async fn try_once(
    store: &Store,
    rules: &Rules,
    webhooks: &Webhooks,
    outgoing: &Outgoing,
    telling: &Telling,
) -> Result<(), StoreError> {
    let (target, folder) = {
        let rules = rules.borrow();
        let known = notifies(&rules, &telling.rule).iter().find(|notify| target_id(&notify.target) == telling.target);
        (known.map(|notify| notify.target.clone()), rules.path.parent().map(std::path::Path::to_owned))
    };
    let Some(target) = target else {
        tracing::info!("the rule no longer has this receiver");
        return store.errand_done(outgoing.id).await;
    };
    let result = match &target {
        NotifyTarget::Webhook { url, secret } => webhooks.post(url, secret.as_ref(), telling).await,
        NotifyTarget::Exec { program, arguments } => {
            // What a program has already done is not known: it is not run again.
            let folder = folder.as_deref().filter(|folder| !folder.as_os_str().is_empty());
            exec::run(program, arguments, folder, telling).await.map_err(|reason| (Verdict::Never, reason))
        }
    };
    let shown = shown(&target);
    let (verdict, reason) = match result {
        Ok(()) => {
            crash_point("hook.told");
            tracing::info!(target = shown, "told");
            return store.errand_done(outgoing.id).await;
        }
        Err(failure) => failure,
    };
    let age = Duration::try_from(Timestamp::now().duration_since(outgoing.created_at)).unwrap_or_default();
    match (verdict, wait(outgoing.attempts + 1, age, fastrand::f64())) {
        (Verdict::Later, Some(wait)) => {
            tracing::debug!(target = shown, reason, ?wait, "could not be notified; trying again");
            store.errand_failed(outgoing.id, SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX)).await
        }
        _ => {
            tracing::warn!(target = shown, reason, "could not be notified");
            let body = json!({
                "event": telling.event, "delivery": telling.delivery, "target": shown,
                "error": { "code": "notify_failed", "message": format!("{shown}: {reason}"), "retryable": false },
            });
            store.telling_given_up(outgoing.id, telling.rule.clone(), body).await
        }
    }
}
