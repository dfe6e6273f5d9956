//! Events as they are committed, as server-sent events: `Last-Event-ID` goes on where one stopped. The log is bounded:
//! whoever was away for so long that events are lost to him is told so by `log.gap`, and reads the present state.

use std::convert::Infallible;

use axum::Extension;
use axum::extract::State as Extract;
use axum::response::sse::{self, KeepAlive, Sse};
use futures_util::{Stream, StreamExt, stream};
use jiff::Timestamp;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::super::ApiState;
use super::super::error::ApiError;
use super::super::openapi::LastEventId;
use crate::store::Event;

/// Events read at once.
const PAGE: u32 = 256;

pub(super) async fn stream(
    Extract(state): Extract<ApiState>,
    Extension(stop): Extension<CancellationToken>,
    LastEventId(last): LastEventId,
) -> Result<Sse<impl Stream<Item = Result<sse::Event, Infallible>>>, ApiError> {
    let store = state.queue.store().clone();
    let (oldest, newest) = store.event_range().await?;
    let from: i64 = last.unwrap_or(newest);
    // An id that was never given is of another log: the agent's memory was removed.
    let lost = from < oldest - 1 || from > newest;
    let from = if from > newest { newest } else { from };
    let gap = lost.then(|| {
        let data = json!({ "at": format!("{:.3}", Timestamp::now()), "data": { "oldest": oldest, "newest": newest } });
        Ok(sse::Event::default().event("log.gap").data(data.to_string()))
    });
    let changes = store.changes();
    let pages = stream::unfold((store, changes, from), |(store, mut changes, from)| async move {
        loop {
            changes.mark_unchanged();
            match store.events_after(from, PAGE).await {
                Ok(events) if events.is_empty() => changes.changed().await.ok()?,
                Ok(events) => {
                    let last = events.last().map_or(from, |event| event.id);
                    return Some((stream::iter(events), (store, changes, last)));
                }
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "the event log cannot be read");
                    return None;
                }
            }
        }
    });
    let events = pages.flatten().map(|event| Ok(wire(&event))).take_until(stop.cancelled_owned());
    let events = stream::iter(gap).chain(events);
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

fn wire(event: &Event) -> sse::Event {
    let data = json!({
        "at": format!("{:.3}", event.at), "upload_id": event.upload, "rule": event.rule, "data": event.body,
    });
    sse::Event::default().id(event.id.to_string()).event(&event.kind).data(data.to_string())
}
