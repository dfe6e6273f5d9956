//! Whether there is room on the disk for another part.

use std::io;

use masv_protocol::ErrorKind;

use super::refusal::Refusal;
use crate::context::Context;

/// Refuses `bytes` that would leave less free space than configured.
pub(super) async fn check(context: &Context, bytes: u64) -> Result<(), Refusal> {
    let (disk, keep) = (context.storage.disk.clone(), context.config.keep_free);
    let asking = tokio::task::spawn_blocking(move || disk.free());
    let free = asking.await.map_err(io::Error::other).and_then(|free| free);
    let free = free.map_err(|error| Refusal::internal(&error))?;
    if free < keep.saturating_add(bytes) {
        tracing::error!(free, wanted = bytes, keep, "the disk of the storage is full");
        return Err(Refusal::new(ErrorKind::StorageFull, "the hub's storage is full"));
    }
    Ok(())
}
