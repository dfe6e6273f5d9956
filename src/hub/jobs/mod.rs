//! Background jobs of the hub: mail, webhook calls, removal of expired packages.
//!
//! **In**: rows that say what is due. **Out**: mails, calls, freed storage; the outcome is recorded in the rows.
//!
//! **Guarantees.** A delivery is claimed before it is started, retried until it succeeds, and abandoned with a reason after
//! [`retry::Policy`]'s last attempt. A receiver that does not respond does not hold up the others. Chores and removals are claimed in the same
//! way: of several processes one does each, and one that has died or stood still is succeeded by another.
//!
//! **On a crash** what was claimed is claimed again later: at-least-once delivery.
//!
//! Must never know: HTTP routes.

pub(crate) mod caution;
pub(crate) mod check;
pub(crate) mod destinations;
pub(crate) mod findings;
pub(crate) mod gc;
pub(crate) mod mail;
pub(crate) mod overfilled;
pub(crate) mod removal;
pub(crate) mod retry;
pub(crate) mod sweep;
pub(crate) mod sweep_bucket;
mod turn;
pub(crate) mod webhooks;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::records::jobs::{self, Chore};
use crate::records::{self, outbox};
use crate::storage::{S3Error, StorageError};

/// How often a job checks for due work without being woken.
const LOOK: Duration = Duration::from_secs(15);

/// Why a job could not do its round; it will try again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JobError {
    /// The rows could not be read or changed.
    #[error("{}", causes(.0))]
    Records(#[from] records::Error),
    /// The bucket did not do it.
    #[error(transparent)]
    Bucket(#[from] S3Error),
    /// The disk did not do it, or the process is ending.
    #[error(transparent)]
    Disk(#[from] std::io::Error),
}

impl From<StorageError> for JobError {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Disk(error) => Self::Disk(error),
            StorageError::Bucket(error) => Self::Bucket(error),
        }
    }
}

/// An error and its causes in one line.
fn causes(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// Starts all jobs, which end when `ended` is. Only the process that is alone with its data directory may.
pub(crate) async fn start(
    context: &Arc<Context>,
    ended: &CancellationToken,
) -> Result<Vec<JoinHandle<()>>, records::Error> {
    // What others that share the database have claimed is theirs until their leases are over.
    if !context.database.is_shared() {
        outbox::reclaim(&context.database).await?;
    }
    for chore in [Chore::Expire, Chore::Check] {
        jobs::make_due(&context.database, chore).await?;
    }
    Ok(vec![
        tokio::spawn(mail::deliver(Arc::clone(context), ended.clone())),
        tokio::spawn(webhooks::deliver(Arc::clone(context), ended.clone())),
        tokio::spawn(overfilled::run(Arc::clone(context), ended.clone())),
        tokio::spawn(gc::run(Arc::clone(context), ended.clone())),
        tokio::spawn(removal::run(Arc::clone(context), ended.clone())),
    ])
}

/// Waits until something may be due; `false` when the job is to end.
async fn due(told: &Notify, ended: &CancellationToken) -> bool {
    tokio::select! {
        () = told.notified() => true,
        () = tokio::time::sleep(LOOK) => true,
        () = ended.cancelled() => false,
    }
}
