//! Files that are sent while they are written: begun when they have grown enough, given up when they are no longer what was begun.
//!
//! **In**: what the planner says grows, or is lost; whether packages may be made now. **Out**: uploads with such a file, uploads that are
//! dropped. That such a file is complete is for [packaging](super::packaging) to say, as of any other.
//!
//! **Owns** nothing: what was begun is in the store, and with the planner.
//!
//! **Guarantees.** An upload is begun in one transaction with its claim, like any other. It is dropped in one with it.

use std::path::Path;
use std::sync::Arc;

use super::context::Context;
use super::describe;
use super::packaging::begin_upload;
use crate::model::UploadId;
use crate::store::StoreError;
use crate::watch::dispatch::{self, Chosen};
use crate::watch::upload_sink::SinkError;

/// Takes up what was begun before a restart.
pub(super) async fn recover(context: &Context) -> Result<(), StoreError> {
    let growing = context.store.growing_files(&context.rule.name).await?;
    context.shared.desk().take_growing(growing);
    Ok(())
}

/// Drops uploads of which a file is no longer what was begun. Returns files that have to be judged again.
pub(super) async fn give_up_lost(context: &Context) -> Vec<Arc<Path>> {
    let lost = context.shared.desk().lost_growing();
    let mut free = Vec::new();
    for lost in lost {
        free.extend(give_up(context, lost.upload, &lost.path, &lost.reason).await);
    }
    free
}

/// Drops an upload that was begun with a file which is being written. Returns its files, which have to be judged again.
pub(super) async fn give_up(context: &Context, upload: UploadId, path: &Path, reason: &str) -> Vec<Arc<Path>> {
    match context.outlet.give_up_growing(upload, format!("{}: {reason}", path.display())).await {
        Ok(()) => {
            tracing::warn!(
                %upload, path = %path.display(), reason,
                "what was sent of a file while it was written is dropped; it is sent once it is complete"
            );
        }
        // It was removed.
        Err(SinkError::NotOpen) => {}
        Err(error) => {
            context.problem("queue", describe(&error)).await;
            return Vec::new();
        }
    }
    let mut files = context.shared.desk().gave_up_growing(upload);
    files.push(Arc::from(path));
    files
}

/// Begins to send files that are being written.
pub(super) async fn begin(context: &Context) {
    let growing = context.shared.desk().growing_now(context.now());
    for (package, chosen) in growing {
        let path = Arc::clone(&chosen.relative);
        let into = context.shared.desk().growing_upload_for(&path);
        let begun = match into {
            Some(upload) => add(context, upload, &chosen).await,
            None => begin_upload(context, &package.group, chosen.clone()).await,
        };
        match begun {
            Ok(upload) => {
                context.shared.desk().begun_with(&chosen, upload);
                let (rule, bytes) = (&context.rule.name, chosen.identity.size);
                tracing::info!(%upload, rule, path = %path.display(), bytes, "sending a file while it is being written");
            }
            Err(reason) => {
                let until = Some(context.now() + context.rule.rescan);
                context.shared.desk().block(&path, reason.clone(), until);
                context.problem("queue", reason).await;
            }
        }
    }
}

async fn add(context: &Context, upload: UploadId, chosen: &Chosen) -> Result<UploadId, String> {
    let files = dispatch::source_files(&context.rule, &Arc::new(vec![chosen.clone()]));
    context.outlet.append(upload, files).await.map(|()| upload).map_err(|error| describe(&error))
}
