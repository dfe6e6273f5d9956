//! The page of the hub's own web app, and its scripts. What the app does, it does by calls of the protocol: see [`crate::http::door`].

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use minijinja::context;

use super::{page, refused, storage_origins};
use crate::http::access::{Base, Public};
use crate::http::refusal::Refusal;

/// The files of the app, in folders of their own only here.
const FILES: &[(&str, &str)] = &[
    ("account.js", include_str!("app/account.js")),
    ("activity.js", include_str!("app/activity.js")),
    ("audit.js", include_str!("app/audit.js")),
    ("hooks.js", include_str!("app/hooks.js")),
    ("keys.js", include_str!("app/keys.js")),
    ("people.js", include_str!("app/people.js")),
    ("portals.js", include_str!("app/portals.js")),
    ("api.js", include_str!("app/api.js")),
    ("app.css", include_str!("app/app.css")),
    ("dom.js", include_str!("app/dom.js")),
    ("format.js", include_str!("app/format.js")),
    ("main.js", include_str!("app/main.js")),
    ("package.js", include_str!("app/package.js")),
    ("send.js", include_str!("app/send.js")),
    ("packages.js", include_str!("app/packages.js")),
];

/// The one page of the app: what it shows, its script finds by the address.
pub(super) async fn show(Public(hub): Public, Base(base): Base) -> Response {
    let mut response = page(StatusCode::OK, "app", context! { title => "Media hub" });
    let policy = format!(
        "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; worker-src 'self'; connect-src 'self'{}; \
         form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
        storage_origins(&hub, &base)
    );
    match HeaderValue::from_str(&policy) {
        Ok(policy) => {
            response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
            response
        }
        Err(error) => Refusal::internal(&error).into_response(),
    }
}

/// A script or the style sheet of the app.
pub(super) async fn file(_: Public, Path(name): Path<String>, headers: HeaderMap) -> Response {
    let Some((_, text)) = FILES.iter().find(|(known, _)| *known == name) else {
        return refused(Refusal::not_found("route"), &headers);
    };
    let kind = if name.ends_with(".css") { "text/css; charset=utf-8" } else { "text/javascript; charset=utf-8" };
    // Modules of two versions do not fit together: the browser asks each time.
    let headers = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")];
    (headers, *text).into_response()
}
