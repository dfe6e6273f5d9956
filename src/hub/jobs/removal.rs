//! Removes from the storage what no row points to any more. What cannot be removed now is noted in the log; the garbage
//! collection finds it later.

use std::sync::Arc;

use masv_protocol::PackageId;

use crate::context::Context;
use crate::records::{self, packages};
use crate::stored::Leftovers;

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

/// Empties a package whose time is over.
pub(super) async fn expire_package(context: &Context, package: PackageId) -> Result<(), records::Error> {
    let uploads = packages::expire(&context.database, package.clone()).await?;
    tracing::info!(%package, "package expired");
    context.storage.remove_package(&package, &uploads).await;
    Ok(())
}

/// Removes a package that was begun and never finalized.
pub(super) async fn remove_abandoned(context: &Context, package: PackageId, days: u32) -> Result<(), records::Error> {
    let uploads = packages::delete(&context.database, package.clone()).await?;
    tracing::info!(%package, days, "package removed that was never finalized");
    context.storage.remove_package(&package, &uploads).await;
    Ok(())
}
