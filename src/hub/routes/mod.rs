//! The routes of the protocol, a file a noun: each with the rows it reads and writes.

pub(super) mod accounts;
pub(super) mod files;
pub(super) mod links;
pub(super) mod packages;
pub(super) mod portals;
pub(super) mod storage;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRequest, Request};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use serde::de::DeserializeOwned;
use tower_http::cors::{AllowHeaders, AllowMethods, AllowOrigin, CorsLayer};

use super::error::Refusal;
use super::pages;
use super::serve::App;

/// The largest body of a control call, bytes: a file of ten thousand parts lists them all.
const LARGEST_CALL: usize = 4 << 20;

pub(super) fn router(app: Arc<App>) -> Router {
    let cors = CorsLayer::new()
        .allow_origin(AllowOrigin::mirror_request())
        .allow_methods(AllowMethods::list([
            Method::GET,
            Method::HEAD,
            Method::POST,
            Method::PUT,
            Method::DELETE,
            Method::OPTIONS,
        ]))
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([header::ETAG, header::CONTENT_RANGE, header::CONTENT_LENGTH, header::ACCEPT_RANGES]);
    Router::new()
        .route("/v1/system/packages/spec", get(packages::limits))
        .route("/v1/teams/{team}/packages", post(packages::create))
        .route("/v1/packages/{package}", delete(packages::remove))
        .route("/v1/packages/{package}/finalize", post(packages::finalize))
        .route("/v1/packages/{package}/files", post(files::create).get(files::list))
        .route("/v1/packages/{package}/files/{file}", post(files::part_addresses).delete(files::remove))
        .route("/v1/packages/{package}/files/{file}/finalize", post(files::finalize))
        .route("/v1/packages/{package}/files/{file}/download", get(files::download).post(files::download))
        .route("/v1/packages/{package}/links", post(links::create))
        .route("/v1/links/{link}", get(links::open))
        .route("/v1/subdomains/portals/{subdomain}", get(portals::find))
        .route("/v1/portals/{portal}/packages", post(portals::create_package))
        .layer(DefaultBodyLimit::max(LARGEST_CALL))
        .route("/storage/{package}/{file}/begin", post(storage::begin))
        .route("/storage/{package}/{file}/parts/{number}", put(storage::put_part))
        .route("/storage/{package}/{file}/content", get(storage::content))
        .route("/{link}", get(pages::link).post(pages::link_with_password))
        .fallback(|| async { Refusal::not_found("this route") })
        .method_not_allowed_fallback(|| async { Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "not this way") })
        .layer(cors)
        .with_state(app)
}

/// A JSON body; an empty one is an empty object, and the content type does not matter.
pub(super) struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let bytes = axum::body::Bytes::from_request(request, state).await.map_err(IntoResponse::into_response)?;
        let text: &[u8] = if bytes.iter().all(u8::is_ascii_whitespace) { b"{}" } else { &bytes };
        serde_json::from_slice(text)
            .map(Self)
            .map_err(|error| Refusal::bad(format!("the body is not what this call takes: {error}")).into_response())
    }
}

/// A header as text.
pub(super) fn text_header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

pub(super) const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
pub(super) const PACKAGE_TOKEN: HeaderName = HeaderName::from_static("x-package-token");
pub(super) const LINK_PASSWORD: HeaderName = HeaderName::from_static("x-link-password");

/// A number that may be written as a string, as some clients do.
pub(super) fn number<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum Number {
        Plain(u64),
        Text(String),
    }
    match serde::Deserialize::deserialize(deserializer)? {
        Number::Plain(number) => Ok(number),
        Number::Text(text) => text.trim().parse().map_err(serde::de::Error::custom),
    }
}
