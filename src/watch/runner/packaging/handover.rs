//! One package on its way to the queue: its order is written, the queue takes it or refuses it, and the planner is told.
//!
//! **In**: chosen files of a group. **Out**: an upload, or files that are blocked for a while with a reason; whether the ledger turns
//! out to know more than the planner does.
//!
//! **Owns** nothing. **Guarantees.** The queue makes the ledger's claims in the transaction that creates the upload, so that no file
//! is sent twice or forgotten because of a crash.

use std::sync::Arc;

use futures_util::StreamExt;
use jiff::Zoned;

use crate::model::{Destination, UploadId, UploadSpec};
use crate::watch::dispatch::{self, Chosen};
use crate::watch::runner::context::Context;
use crate::watch::runner::{RETRY, describe};
use crate::watch::upload_sink::SinkError;
use masv_platform::crash_point;
use masv_protocol::EmailAddress;

/// Packages handed to the queue at the same time: their transactions share a flush of the disk.
const AT_ONCE: usize = 64;

/// A package for the queue.
pub(super) struct Submission {
    pub(super) group: Arc<str>,
    pub(super) files: Arc<Vec<Chosen>>,
}

/// Why a package was not made.
pub(super) enum Refusal {
    Template(String),
    Claimed,
    Failed(String),
}

impl From<SinkError> for Refusal {
    fn from(error: SinkError) -> Self {
        match error {
            SinkError::AlreadyClaimed(_) => Self::Claimed,
            other => Self::Failed(describe(&other)),
        }
    }
}

/// What the queue is asked for.
pub(super) async fn order(context: &Context, shipment: &Submission, clock: &Zoned) -> Result<UploadSpec, String> {
    let sequence = if dispatch::uses_sequence(&context.rule) {
        let day = clock.date().to_string();
        context.store.next_sequence(&context.rule.name, &day).await.map_err(|error| describe(&error))?
    } else {
        1
    };
    dispatch::order(&context.rule, &context.surroundings, clock, &shipment.group, sequence, &shipment.files)
        .map_err(|error| describe(&error))
}

/// Why these files must not go into a package that exists: it is for others.
pub(super) async fn goes_to_others(
    context: &Context,
    id: UploadId,
    shipment: &Submission,
    clock: &Zoned,
) -> Option<String> {
    let rule = &context.rule;
    if !dispatch::works_out_recipients(rule) {
        return None;
    }
    let files = shipment.files.iter().map(|file| (&*file.relative, file.identity.size));
    let given = dispatch::recipients(rule, &context.surroundings, clock, (&shipment.group, 1), files);
    let (given, upload) = match (given, context.store.upload(id).await) {
        (Ok(given), Ok(upload)) => (given, upload),
        (Err(error), _) => return Some(describe(&error)),
        (_, Err(error)) => return Some(describe(&error)),
    };
    let Destination::Email { recipients } = &upload.destination else { return None };
    let is_known = |one: &EmailAddress| recipients.iter().any(|known| known == one.as_str());
    (recipients.len() != given.len() || !given.iter().all(is_known)).then(|| {
        let given: Vec<&str> = given.iter().map(AsRef::as_ref).collect();
        format!(
            "is for {}, and the open package of its group is for {}: group the files by recipient with `group_by`",
            given.join(", "),
            recipients.join(", ")
        )
    })
}

/// Hands it to the queue.
pub(super) async fn submit(context: &Context, spec: UploadSpec) -> Result<UploadId, Refusal> {
    crash_point("submit.before");
    let result = context.outlet.submit(spec).await.map_err(Refusal::from);
    crash_point("submit.after");
    result
}

/// Makes uploads of all of them; returns whether the ledger has to be read again.
pub(super) async fn submit_all(context: &Context, shipments: Vec<Submission>, clock: &Zoned) -> bool {
    let submits = shipments.into_iter().map(|shipment| async move {
        let result = match order(context, &shipment, clock).await {
            Ok(spec) => submit(context, spec).await,
            Err(reason) => Err(Refusal::Template(reason)),
        };
        (shipment, result)
    });
    let results: Vec<(Submission, Result<UploadId, Refusal>)> =
        futures_util::stream::iter(submits).buffered(AT_ONCE).collect().await;
    let mut ledger_differs = false;
    for (shipment, result) in results {
        ledger_differs |= book(context, &shipment, result).await;
    }
    ledger_differs
}

/// Records the outcome of a package; returns whether the ledger has to be read again.
#[must_use]
pub(super) async fn book(context: &Context, shipment: &Submission, result: Result<UploadId, Refusal>) -> bool {
    let now = context.now();
    match result {
        Ok(id) => {
            let mut desk = context.shared.desk();
            shipment.files.iter().for_each(|file| desk.sent_with(&file.relative, id));
            drop(desk);
            context.shared.status().made += 1;
            context.recovered(&["queue", "store"]);
        }
        Err(Refusal::Template(reason)) => {
            {
                let mut desk = context.shared.desk();
                let until = Some(now + context.rule.rescan);
                shipment.files.iter().for_each(|file| desk.block(&file.relative, reason.clone(), until));
            }
            context.problem("template", reason).await;
        }
        Err(Refusal::Claimed) => {
            let mut desk = context.shared.desk();
            let reason = "the ledger already has it; looking it up again".to_owned();
            shipment.files.iter().for_each(|file| desk.block(&file.relative, reason.clone(), Some(now + RETRY)));
            return true;
        }
        Err(Refusal::Failed(reason)) => {
            {
                let mut desk = context.shared.desk();
                let until = Some(now + RETRY);
                shipment.files.iter().for_each(|file| desk.block(&file.relative, reason.clone(), until));
            }
            context.problem("queue", reason).await;
        }
    }
    false
}
