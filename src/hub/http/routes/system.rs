//! What the hub says of itself.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::Hub;
use crate::error::Refusal;

/// What files may be made of.
pub(super) async fn spec(State(hub): State<Hub>) -> Json<Value> {
    let limits = hub.config().limits;
    Json(json!({
        "max_chunk_count": limits.max_chunk_count,
        "max_chunk_size": limits.max_chunk_size,
        "min_chunk_size": limits.min_chunk_size,
    }))
}

/// Whether the hub can work: its database answers.
pub(super) async fn health(State(hub): State<Hub>) -> Result<Json<Value>, Refusal> {
    hub.database().read(|connection| Ok::<_, Refusal>(connection.query_row("SELECT 1", [], |_| Ok(()))?)).await?;
    Ok(Json(json!({ "status": "ok" })))
}
