//! The headers of every response, and its line in the log.

use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::access::{ClientAddress, Gate};
use super::refusal::Refusal;

/// For responses that are not pages: nothing in them may run, be framed, or link anywhere.
const POLICY: &str = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; sandbox";
/// Browsers that came by TLS come by it for a year.
const ONLY_TLS: &str = "max-age=31536000";

/// Adds the headers that a response does not have yet.
pub(crate) async fn guard(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let method = request.method().clone();
    // The route, never the address: there are secrets in those.
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let from = request.extensions().get::<ClientAddress>().and_then(|address| address.0);
    let begun = Instant::now();
    // RFC 9112: whoever stands between us and the caller may have believed the other one.
    let mut answer = match request.headers().get_all(header::HOST).iter().nth(1) {
        Some(_) => Refusal::invalid("the request has more than one Host header").into_response(),
        None => next.run(request).await,
    };
    let status = answer.status().as_u16();
    let milliseconds = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let route = route.as_deref().unwrap_or("none");
    tracing::debug!(%method, route, status, milliseconds, from = from.map(tracing::field::display), "answered");
    let headers = answer.headers_mut();
    let mut add = |name: HeaderName, value: &'static str| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    add(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    add(header::REFERRER_POLICY, "no-referrer");
    add(header::X_FRAME_OPTIONS, "DENY");
    add(header::CONTENT_SECURITY_POLICY, POLICY);
    add(HeaderName::from_static("x-robots-tag"), "noindex, nofollow");
    add(HeaderName::from_static("permissions-policy"), "camera=(), microphone=(), geolocation=(), payment=()");
    if gate.is_https() {
        add(header::STRICT_TRANSPORT_SECURITY, ONLY_TLS);
    }
    let json = headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    if json {
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    }
    answer
}
