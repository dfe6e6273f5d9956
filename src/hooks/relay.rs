//! From the event log to the outbox: each subscribed event is written there once, together with how far
//! the log was read.

use tokio_util::sync::CancellationToken;

use super::{Rules, message, notifies, target_id};
use crate::model::Upload;
use crate::model::UploadId;
use crate::store::{Event, Store, StoreError, Telling};
use masv_rules::NotifyEvent;

/// Events read at once.
const PAGE: u32 = 256;
/// How many unsubscribed events are read before the position is recorded.
const NOTED_EVERY: i64 = 2_000;
/// The wait after the store has failed.
const WAIT: std::time::Duration = std::time::Duration::from_secs(5);

/// Reads the log as it grows, until `stop`.
pub(super) async fn run(store: Store, rules: Rules, from: i64, stop: CancellationToken) {
    let mut changes = store.changes();
    let (mut noted, mut read) = (from, from);
    loop {
        changes.mark_unchanged();
        match relay(&store, &rules, &mut noted, &mut read).await {
            // There may be more.
            Ok(true) if !stop.is_cancelled() => continue,
            Ok(_) => {}
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the event log cannot be read; trying again");
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(WAIT) => continue,
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            changed = changes.changed() => if changed.is_err() { return },
        }
    }
}

/// Deals with the next page; returns whether there was one.
async fn relay(store: &Store, rules: &Rules, noted: &mut i64, read: &mut i64) -> Result<bool, StoreError> {
    let events = store.events_after(*read, PAGE).await?;
    let Some(last) = events.last().map(|event| event.id) else { return Ok(false) };
    let mut tellings = Vec::new();
    let mut matters = last - *noted >= NOTED_EVERY;
    for event in &events {
        let Some((rule, kind)) = event.rule.as_deref().zip(kind_of(event)) else { continue };
        matters = true;
        let targets = targets(rules, rule, kind);
        if targets.is_empty() {
            continue;
        }
        let upload = match event.upload {
            Some(id) => known(store, id).await?,
            None => None,
        };
        let message = message::of(event, kind, rule, upload.as_ref());
        tellings.extend(targets.into_iter().map(|target| Telling {
            delivery: uuid::Uuid::new_v4().to_string(),
            rule: rule.to_owned(),
            target,
            event: kind.name().to_owned(),
            message: message.clone(),
        }));
    }
    if matters {
        if !store.relay(*noted, last, tellings).await? {
            // The recorded position is correct, whoever recorded it.
            *noted = store.relayed().await?;
            *read = *noted;
            return Ok(true);
        }
        *noted = last;
    }
    *read = last;
    Ok(true)
}

/// The receivers subscribed to that kind of event of the rule, each once.
fn targets(rules: &Rules, rule: &str, kind: NotifyEvent) -> Vec<String> {
    let rules = rules.borrow();
    let mut targets: Vec<String> = Vec::new();
    for notify in notifies(&rules, rule).iter().filter(|notify| notify.events.contains(&kind)) {
        let id = target_id(&notify.target);
        if !targets.contains(&id) {
            targets.push(id);
        }
    }
    targets
}

/// The upload, unless it was removed meanwhile.
async fn known(store: &Store, id: UploadId) -> Result<Option<Upload>, StoreError> {
    match store.upload(id).await {
        Ok(upload) => Ok(Some(upload)),
        Err(StoreError::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

fn kind_of(event: &Event) -> Option<NotifyEvent> {
    match event.kind.as_str() {
        "upload.created" => Some(NotifyEvent::PackageCreated),
        kind => NotifyEvent::ALL.into_iter().find(|event| event.name() == kind),
    }
}
