//! Removes from the storage what the database no longer refers to: at once what is replaced while it arrives, and as pending work what was in
//! the trash for long enough, until it is done.

use std::sync::Arc;
use std::time::Duration;

use masv_protocol::PackageId;
use tokio_util::sync::CancellationToken;

use super::retry::{Failure, Policy};
use super::{JobError, due, turn};
use crate::clock::now;
use crate::context::Context;
use crate::records::jobs::{self, Claim, Removal};
use crate::records::{self, packages};
use crate::stored::Leftovers;

/// A removal is retried for about three days; after that, the sweep finds what is left.
const POLICY: Policy = Policy { most_attempts: 40 };
/// A bucket is given so long for all objects of a package before others have their turn.
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// Removes leftovers in the background.
pub(crate) fn remove(context: &Context, leftovers: Leftovers) {
    if !leftovers.is_empty() {
        let storage = context.storage.clone();
        tokio::spawn(async move { storage.remove(leftovers).await });
    }
}

/// Gives up a multipart upload in the bucket in the background.
pub(crate) fn abort_upload(context: &Arc<Context>, file: crate::stored::BucketFile) {
    let context = Arc::clone(context);
    tokio::spawn(async move { context.storage.abort(&[file]).await });
}

/// Permanently removes what was just moved to the trash, if the trash keeps nothing.
pub(crate) async fn unless_kept(context: &Context, package: PackageId) -> Result<(), records::Error> {
    if context.config.trash_days == 0 {
        packages::purge(&context.database, package, now()).await?;
        context.removal_due.notify_one();
    }
    Ok(())
}

/// Carries out pending removals until `ended`.
pub(super) async fn run(context: Arc<Context>, ended: CancellationToken) {
    loop {
        tokio::select! {
            () = work_off(&context) => {}
            () = ended.cancelled() => return,
        }
        if !due(&context.removal_due, &ended).await {
            return;
        }
    }
}

/// Removes what is owed until nothing is due. What is in the bucket waits for a process that has one.
pub(crate) async fn work_off(context: &Context) {
    for in_bucket in [false, true] {
        if in_bucket && context.storage.bucket.is_none() {
            continue;
        }
        loop {
            match jobs::claim_removal(&context.database, in_bucket).await {
                Ok(Some((removal, claim))) => {
                    if let Err(error) = one(context, &removal, claim).await {
                        return tracing::error!(reason = %JobError::from(error), "cannot write down what was removed");
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    return tracing::error!(reason = %JobError::from(error), "cannot look for what is to be removed");
                }
            }
        }
    }
}

async fn one(context: &Context, removal: &Removal, mut claim: Claim) -> Result<(), records::Error> {
    let (package, uploads) = (removal.package(), removal.uploads());
    let removing = async {
        let all = context.storage.remove_package(&package, &uploads, removal.in_bucket);
        tokio::time::timeout(LONGEST, all)
            .await
            .unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()))
    };
    match turn::hold(&context.database, &mut claim, removing).await {
        None => {
            tracing::warn!(%package, "another process removes the content of a package now");
            Ok(())
        }
        Some(Ok(())) => {
            tracing::info!(%package, "content of a package removed for good");
            jobs::done(&context.database, claim).await
        }
        Some(Err(error)) => {
            tracing::warn!(%package, %error, attempt = claim.attempt, "cannot remove the content of a package");
            let failure = Failure::passing(&error);
            let again = POLICY.next(claim.attempt, &failure, now());
            jobs::failed(&context.database, claim, again, failure.reason).await
        }
    }
}
