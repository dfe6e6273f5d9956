//! The door of the hub's own web app: the calls of the protocol, by a cookie instead of a header.
//!
//! **In**: calls below `/app/api`. **Out**: what the protocol answers to them; but the token of a session that begins is put into a
//! cookie, and is not in the answer.
//!
//! **Guarantees.** No script of a page ever reads the token. The cookie counts here and nowhere else, and only for calls that show that
//! they come from the app: pages of other origins can send neither the header nor, with it, the cookie. Here, no other right is
//! taken along: a key, a token of a package and a session in a header count for nothing.
//!
//! **On a crash** a session that was begun and whose cookie did not arrive ends by itself.
//!
//! Must never know: what the calls are about, except for those that begin and end a session.

use std::net::SocketAddr;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use masv_protocol::{API_KEY_HEADER, PACKAGE_TOKEN_HEADER, USER_TOKEN_HEADER};
use serde_json::Value;
use tower::ServiceExt;

use super::access::{FromHere, Gate};
use super::headers;
use super::refusal::Refusal;
use crate::records::accounts::SESSION_LIFE;

/// Below this are the calls.
const DOOR: &str = "/app/api";
/// The cookie with the token of the session.
const COOKIE: &str = "masv_session";
/// Only scripts of the app's own origin can send this: for others, browsers ask first, and are refused.
const PROOF: &str = "x-masv-app";
/// What browsers say about the page that makes a call.
const FETCH_SITE: &str = "sec-fetch-site";
/// The largest answer to a sign-in, bytes.
const LARGEST_ANSWER: usize = 1 << 20;
/// Seconds of a day.
const DAY: u64 = 24 * 60 * 60;

/// The hub's routes with the door to them.
pub(crate) fn with_door(routes: Router, gate: &Gate) -> Router {
    let (inside, secure) = (routes.clone(), gate.is_https());
    let pass = move |request: Request| pass(inside.clone(), secure, request);
    let guarded = middleware::from_fn_with_state(gate.clone(), headers::guard);
    routes.merge(Router::new().route("/app/api/{*call}", any(pass)).layer(guarded))
}

/// Hands a call of the app to the protocol.
async fn pass(inside: Router, secure: bool, request: Request) -> Response {
    let (outer, body) = request.into_parts();
    if !is_of_the_app(&outer.headers) {
        return Refusal::forbidden(
            "only the hub's own app may call here; programs call the same path without /app/api",
        )
        .into_response();
    }
    let Some(target) = target(&outer.uri) else { return Refusal::not_found("route").into_response() };
    let is_session = target.path() == "/v1/auth";
    let (begins, ends) = (is_session && outer.method == Method::POST, is_session && outer.method == Method::DELETE);
    // A request of its own: nothing that was made of the outer one is in it.
    let mut inner = Request::new(body);
    if let Some(peer) = outer.extensions.get::<ConnectInfo<SocketAddr>>() {
        inner.extensions_mut().insert(*peer);
    }
    if let Some(here) = outer.extensions.get::<FromHere>() {
        inner.extensions_mut().insert(*here);
    }
    let token = cookie(&outer.headers).map(HeaderValue::from_str);
    *inner.method_mut() = outer.method;
    *inner.uri_mut() = target;
    *inner.headers_mut() = outer.headers;
    for name in [API_KEY_HEADER, USER_TOKEN_HEADER, PACKAGE_TOKEN_HEADER] {
        inner.headers_mut().remove(name);
    }
    for name in [header::COOKIE, header::ORIGIN] {
        inner.headers_mut().remove(name);
    }
    if let (Some(Ok(token)), Ok(name)) = (token, HeaderName::try_from(USER_TOKEN_HEADER)) {
        inner.headers_mut().insert(name, token);
    }
    let answer = match inside.oneshot(inner).await {
        Ok(answer) => answer,
        Err(never) => match never {},
    };
    match answer.status() {
        StatusCode::OK if begins => keep_token(answer, secure).await.unwrap_or_else(IntoResponse::into_response),
        status if ends && (status.is_success() || status == StatusCode::UNAUTHORIZED) => {
            with_cookie(answer, "", 0, secure).unwrap_or_else(IntoResponse::into_response)
        }
        _ => answer,
    }
}

/// Whether a page of the hub's own origin makes this call.
fn is_of_the_app(headers: &HeaderMap) -> bool {
    let same = headers.get(FETCH_SITE).is_none_or(|site| site == "same-origin");
    headers.contains_key(PROOF) && same
}

/// The call of the protocol behind an address below the door.
fn target(uri: &Uri) -> Option<Uri> {
    let inner = uri.path_and_query()?.as_str().strip_prefix(DOOR)?;
    let is_call = ["/v1/", "/v1.1/"].iter().any(|start| inner.starts_with(start));
    is_call.then(|| inner.parse().ok()).flatten()
}

/// The token in the cookie.
fn cookie(headers: &HeaderMap) -> Option<&str> {
    let values = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = values.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, token)| token).filter(|token| !token.is_empty())
}

/// Takes the token out of the answer to a sign-in and puts it into the cookie.
async fn keep_token(answer: Response, secure: bool) -> Result<Response, Refusal> {
    let (head, body) = answer.into_parts();
    let bytes = to_bytes(body, LARGEST_ANSWER).await.map_err(|error| Refusal::internal(&error))?;
    let mut told: Value = serde_json::from_slice(&bytes).map_err(|error| Refusal::internal(&error))?;
    let token = told.as_object_mut().and_then(|fields| fields.remove("token"));
    let token = token.as_ref().and_then(Value::as_str).ok_or_else(|| Refusal::internal(&"a sign-in gave no token"))?;
    let mut answer = Response::from_parts(head, Body::from(told.to_string()));
    answer.headers_mut().remove(header::CONTENT_LENGTH);
    with_cookie(answer, token, SESSION_LIFE * DAY, secure)
}

/// The answer with a cookie that lives for so many seconds.
fn with_cookie(mut answer: Response, token: &str, life: u64, secure: bool) -> Result<Response, Refusal> {
    let secure = if secure { "; Secure" } else { "" };
    let text = format!("{COOKIE}={token}; Path={DOOR}; Max-Age={life}; HttpOnly; SameSite=Strict{secure}");
    let value = HeaderValue::from_str(&text).map_err(|error| Refusal::internal(&error))?;
    answer.headers_mut().insert(header::SET_COOKIE, value);
    Ok(answer)
}
