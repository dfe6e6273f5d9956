//! Events as they are committed, as server-sent events: `Last-Event-ID` resumes where a reader stopped. The log is bounded:
//! a reader that was away so long that it missed events is told by `log.gap`, and reads the current state.

use std::convert::Infallible;
use std::time::Duration;

use axum::Extension;
use axum::extract::State as Extract;
use axum::response::sse::{self, KeepAlive, Sse};
use futures_util::{Stream, StreamExt, stream};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::super::ApiState;
use super::super::error::ApiError;
use super::super::openapi::LastEventId;
use super::super::types::{Download, Upload};
use super::Query;
use crate::store::Event;

/// Events read at once.
const PAGE: u32 = 256;

/// How often progress is reported.
const BEAT: Duration = Duration::from_millis(500);
/// The maximum number of transfers of a kind in one progress event.
const MOST: usize = 200;

#[derive(Deserialize, JsonSchema)]
pub(super) struct Following {
    /// Also send, twice a second while there are any, the status of the running transfers: events of the kind `progress`,
    /// without an id, whose data is `{"uploads", "downloads"}` as in the lists.
    #[serde(default)]
    progress: bool,
}

pub(super) async fn stream(
    Extract(state): Extract<ApiState>,
    Extension(stop): Extension<CancellationToken>,
    Query(following): Query<Following>,
    LastEventId(last): LastEventId,
) -> Result<Sse<impl Stream<Item = Result<sse::Event, Infallible>>>, ApiError> {
    let store = state.queue.store().clone();
    let (oldest, newest) = store.event_range().await?;
    let from: i64 = last.unwrap_or(newest);
    // An id from the future belongs to another log: the agent's state was removed.
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
    let events = pages.flatten().map(|event| wire(&event));
    let beats = stream::iter(following.progress.then(|| progress(state))).flatten();
    let all = stream::iter(gap).chain(stream::select(events, beats).map(Ok)).take_until(stop.cancelled_owned());
    Ok(Sse::new(all).keep_alive(KeepAlive::default()))
}

/// The status of the running transfers, periodically.
fn progress(state: ApiState) -> impl Stream<Item = sse::Event> {
    let mut beat = tokio::time::interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    stream::unfold((state, beat), |(state, mut beat)| async move {
        loop {
            beat.tick().await;
            let (mut uploads, mut downloads) = (Vec::new(), Vec::new());
            // A transfer that just ended has its own event.
            for id in state.queue.running().into_iter().take(MOST) {
                if let Ok(upload) = state.queue.store().upload(id).await {
                    uploads.push(Upload::new(upload, state.queue.live(id)));
                }
            }
            for id in state.downloads.running().into_iter().take(MOST) {
                if let Ok(download) = state.downloads.store().download(id).await {
                    downloads.push(Download::new(download, state.downloads.live(id)));
                }
            }
            if !uploads.is_empty() || !downloads.is_empty() {
                let data = json!({ "uploads": uploads, "downloads": downloads });
                let event = sse::Event::default().event("progress").data(data.to_string());
                return Some((event, (state, beat)));
            }
        }
    })
}

fn wire(event: &Event) -> sse::Event {
    let data = json!({
        "at": format!("{:.3}", event.at), "upload_id": event.upload, "rule": event.rule, "data": event.body,
    });
    sse::Event::default().id(event.id.to_string()).event(&event.kind).data(data.to_string())
}
