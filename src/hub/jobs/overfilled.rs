//! Stops strangers who send more to the bucket than they may. The hub does not see what is sent there, and an address binds the length of a
//! part only where the file was announced with its size and that of its parts: of every other file the bucket is asked what it has.
//!
//! **In**: files of portals that are being sent to the bucket by such addresses. **Out**: their uploads are given up when they have too much: no
//! further part is taken, and what was sent is gone.
//!
//! **On a crash** nothing is lost: the next round asks again. What can be sent between two rounds is sent.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::JobError;
use crate::context::Context;
use crate::records::files::{self, Unbound};
use crate::storage::Bucket;
use crate::stored::BucketFile;

/// How often the bucket is asked.
const ROUND: Duration = Duration::from_secs(20);

/// Asks until `ended`, if there is a bucket.
pub(super) async fn run(context: Arc<Context>, ended: CancellationToken) {
    let Some(bucket) = context.storage.bucket.clone() else { return };
    loop {
        tokio::select! {
            () = tokio::time::sleep(ROUND) => {}
            () = ended.cancelled() => return,
        }
        let looking = async {
            for file in files::unbound(&context.database).await? {
                stop_if_too_much(&context, &bucket, &file).await?;
            }
            Ok::<_, JobError>(())
        };
        tokio::select! {
            looked = looking => if let Err(error) = looked {
                tracing::error!(reason = %error, "cannot ask the bucket how much strangers have sent");
            },
            () = ended.cancelled() => return,
        }
    }
}

/// Gives up the upload of a file that has more than it may; returns whether it had.
pub(crate) async fn stop_if_too_much(context: &Context, bucket: &Bucket, file: &Unbound) -> Result<bool, JobError> {
    let parts = match bucket.parts(&file.package, &file.id, &file.upload).await {
        Ok(parts) => parts,
        // Finalized or given up meanwhile.
        Err(error) if error.is("NoSuchUpload") => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    let stored = parts.iter().fold(0_u64, |sum, part| sum.saturating_add(part.size));
    if stored <= file.most {
        // It counts from now on, so that other files of the package may have the less.
        files::has_stored(&context.database, file.id.clone(), stored).await?;
        return Ok(false);
    }
    tracing::warn!(package = %file.package, file = %file.id, stored, most = file.most, "a stranger has sent too much: what was sent is removed");
    let given_up =
        BucketFile { package: file.package.clone(), file: file.id.clone(), upload: Some(file.upload.clone()) };
    context.storage.abort(&[given_up]).await;
    Ok(true)
}
