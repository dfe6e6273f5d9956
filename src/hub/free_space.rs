//! Whether there is room for another part.

use crate::Hub;
use crate::error::Refusal;

/// Refuses `bytes` that would leave less free than the operator wants.
pub(crate) async fn check(hub: &Hub, bytes: u64) -> Result<(), Refusal> {
    let (disk, keep) = (hub.storage().disk.clone(), hub.config().keep_free);
    let free = tokio::task::spawn_blocking(move || disk.free()).await.map_err(|error| Refusal::internal(&error))?;
    let free = free.map_err(|error| Refusal::internal(&error))?;
    if free < keep.saturating_add(bytes) {
        tracing::error!(free, wanted = bytes, keep, "the disk of the storage is full");
        let status = axum::http::StatusCode::INSUFFICIENT_STORAGE;
        return Err(Refusal::new(status, "storage_full", "the hub's storage is full"));
    }
    Ok(())
}
