//! The routes of the interface, a file a noun.

mod automations;
mod downloads;
mod events;
mod server;
mod session;
mod settings;
mod uploads;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRequest, Request};
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use super::ApiState;
use super::error::ApiError;
use super::guard::{Access, guard};

/// The largest body, bytes: a hundred thousand paths.
const LARGEST_BODY: usize = 32 << 20;

pub(super) fn router(state: ApiState, access: Access, stop: &CancellationToken) -> Router {
    let api = Router::new()
        .route("/uploads", get(uploads::list).post(uploads::create).delete(uploads::remove_many))
        .route("/uploads/portal", post(uploads::create_portal))
        .route("/uploads/pause", post(uploads::pause_all))
        .route("/uploads/resume", post(uploads::resume_all))
        .route("/uploads/{id}", get(uploads::show).patch(uploads::change).delete(uploads::remove))
        .route("/uploads/{id}/files", post(uploads::add_files))
        .route("/uploads/{id}/finalize", post(uploads::finalize))
        .route("/uploads/{id}/pause", post(uploads::pause))
        .route("/uploads/{id}/resume", post(uploads::resume))
        .route("/uploads/{id}/links", post(uploads::create_link))
        .route("/downloads", get(downloads::list).post(downloads::create).delete(downloads::remove_many))
        .route("/downloads/pause", post(downloads::pause_all))
        .route("/downloads/resume", post(downloads::resume_all))
        .route("/downloads/{id}", get(downloads::show).patch(downloads::change).delete(downloads::remove))
        .route("/downloads/{id}/pause", post(downloads::pause))
        .route("/downloads/{id}/resume", post(downloads::resume))
        .route("/automations", get(automations::list))
        .route("/automations/reload", post(automations::reload))
        .route("/automations/explain", get(automations::explain))
        .route("/automations/dry_run", post(automations::dry_run))
        .route("/automations/{name}", get(automations::show))
        .route("/automations/{name}/run", post(automations::run))
        .route("/automations/{name}/pause", post(automations::pause))
        .route("/automations/{name}/resume", post(automations::resume))
        .route("/automations/{name}/history", get(automations::history))
        .route("/automations/{name}/forget", post(automations::forget))
        .route("/automations/{name}/mark_sent", post(automations::mark_sent))
        .route("/login", get(session::show).post(session::sign_in).delete(session::sign_out))
        .route("/teams", get(session::teams))
        .route("/settings/upload_rate_limit", get(settings::rate_limit).post(settings::set_rate_limit))
        .route(
            "/settings/download_rate_limit",
            get(settings::download_rate_limit).post(settings::set_download_rate_limit),
        )
        .route("/settings/workers", get(settings::workers).post(settings::set_workers))
        .route("/settings/fifo_mode", get(settings::fifo_mode).post(settings::set_fifo_mode))
        .route("/events", get(events::stream))
        .route("/server", get(server::status))
        .route("/server/stop", post(server::stop))
        .route("/doctor", get(server::doctor));
    Router::new()
        .nest("/api/v1", api)
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(server::ready))
        .fallback(|| async { ApiError::new(StatusCode::NOT_FOUND, "there is no such route") })
        .method_not_allowed_fallback(|| async { ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "not this way") })
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(from_fn_with_state(access, guard))
        .layer(axum::Extension(stop.clone()))
        .with_state(state)
}

/// A JSON body; what is wrong with it is said in the interface's own words.
struct Body<T>(T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let bytes = axum::body::Bytes::from_request(request, state).await.map_err(|rejection| {
            ApiError::new(rejection.status(), "the body cannot be read, or is too large").into_response()
        })?;
        let text: &[u8] = if bytes.iter().all(u8::is_ascii_whitespace) { b"{}" } else { &bytes };
        serde_json::from_slice(text)
            .map(Self)
            .map_err(|error| ApiError::bad(format!("the body is not what this call takes: {error}")).into_response())
    }
}
