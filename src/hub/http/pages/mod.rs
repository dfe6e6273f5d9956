//! Pages for people: what a link leads to and downloads from it, and where to send to a portal.
//!
//! **In**: the address of a link or a portal. **Out**: HTML that needs no other host (and no script, but for sending),
//! and the files.
//!
//! **Guarantees.** All that senders wrote is escaped. The pages are closed to frames, scripts of others and caches,
//! and tell other sites nothing of their addresses, in which the secrets are.
//!
//! Must never know: how parts are stored.

mod link;
mod portal;
mod tree;

use std::sync::LazyLock;

use axum::Router;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use minijinja::{AutoEscape, Environment, Value, context};

use super::access::Gate;
use super::refusal::Refusal;

const POLICY: &str =
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

static TEMPLATES: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut templates = Environment::new();
    templates.set_auto_escape_callback(|_| AutoEscape::Html);
    templates.set_loader(|name| {
        Ok(match name {
            "page" => Some(include_str!("page.html").to_owned()),
            "link" => Some(include_str!("link.html").to_owned()),
            "portal" => Some(include_str!("portal.html").to_owned()),
            "password" => Some(include_str!("password.html").to_owned()),
            "message" => Some(include_str!("message.html").to_owned()),
            _ => None,
        })
    });
    templates
});

/// The addresses of the pages.
pub(crate) fn router() -> Router<Gate> {
    Router::new()
        .route("/", get(home))
        .route("/assets/hub.css", get(style))
        .route("/assets/icon.svg", get(icon))
        .route("/assets/digest.js", get(digest_script))
        .route("/assets/portal.js", get(portal_script))
        .route("/assets/sender.js", get(sender_script))
        .route("/portals/{subdomain}", get(portal::show))
        .route("/{link}", get(link::show).post(link::unlock))
        .route("/{link}/files/{file}", get(link::download))
        .route("/{link}/all.zip", get(link::download_all))
}

async fn home(headers: HeaderMap) -> Response {
    if !wants_html(&headers) {
        return Refusal::not_found("route").into_response();
    }
    let text = "This is a media hub. Open the link that you were sent.";
    page(StatusCode::OK, "message", context! { title => "Media hub", text, small => true })
}

async fn style() -> Response {
    asset("text/css; charset=utf-8", include_str!("hub.css"))
}

async fn icon() -> Response {
    asset("image/svg+xml", include_str!("icon.svg"))
}

async fn portal_script() -> Response {
    asset("text/javascript; charset=utf-8", include_str!("portal.js"))
}

async fn digest_script() -> Response {
    asset("text/javascript; charset=utf-8", include_str!("digest.js"))
}

async fn sender_script() -> Response {
    asset("text/javascript; charset=utf-8", include_str!("sender.js"))
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "max-age=3600"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, text).into_response()
}

/// Whether the other side is a person's browser.
fn wants_html(headers: &HeaderMap) -> bool {
    headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"))
}

/// A page, with what keeps it to itself.
fn page(status: StatusCode, template: &str, values: Value) -> Response {
    let rendered = TEMPLATES.get_template(template).and_then(|template| template.render(values));
    let html = match rendered {
        Ok(html) => html,
        Err(error) => return Refusal::internal(&error).into_response(),
    };
    let mut response = (status, Html(html)).into_response();
    // The rest every answer gets: see headers.rs.
    for (name, value) in [(header::CONTENT_SECURITY_POLICY, POLICY), (header::CACHE_CONTROL, "no-store")] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// A refusal for a person, or for a program where one asks.
fn refused(refusal: Refusal, headers: &HeaderMap) -> Response {
    if !wants_html(headers) {
        return refusal.into_response();
    }
    let (title, text) = match refusal.status {
        StatusCode::NOT_FOUND => ("Not found", "There is nothing at this address. Is the link complete?"),
        StatusCode::GONE => ("Expired", "This link has expired. Ask the sender for a new one."),
        StatusCode::FORBIDDEN => ("Limit reached", "This link has been used as often as it may be."),
        StatusCode::TOO_MANY_REQUESTS => ("Too many attempts", "Wait a few minutes, then try again."),
        _ => ("Not now", "This does not work at the moment. Try again in a few minutes."),
    };
    page(refusal.status, "message", context! { title, text, small => true })
}
