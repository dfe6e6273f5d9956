//! Pages for people: links and downloads from them, and sending to a portal.
//!
//! **In**: the address of a link or a portal. **Out**: HTML that needs no other host (but for the pictures that a portal's team
//! has chosen) and no script (but for sending, and for searching many files), and the files.
//!
//! **Guarantees.** All that senders wrote is escaped. The pages are closed to frames, scripts of others and caches,
//! and tell other sites nothing of their addresses, in which the secrets are.
//!
//! Must never know: how parts are stored.

mod app;
mod brand;
mod link;
mod lists;
mod portal;
mod tree;
mod view;
mod viewable;

use std::sync::LazyLock;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use minijinja::{AutoEscape, Environment, Value, context};

use super::access::{Public, Routes, get};
use super::refusal::Refusal;
use crate::Hub;
use crate::storage::Bucket;

const POLICY: &str =
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
/// The same for the page of a link that has so many files that it can be searched.
const SEARCHED_POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; form-action 'self'; \
    frame-ancestors 'none'; base-uri 'none'";

static TEMPLATES: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut templates = Environment::new();
    templates.set_auto_escape_callback(|_| AutoEscape::Html);
    templates.set_loader(|name| {
        Ok(match name {
            "page" => Some(include_str!("page.html").to_owned()),
            "view" => Some(include_str!("view.html").to_owned()),
            "app" => Some(include_str!("app.html").to_owned()),
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
pub(crate) fn routes() -> Routes {
    Routes::default()
        .route("/", get(home))
        .route("/assets/hub.css", get(style))
        .route("/assets/icon.svg", get(icon))
        .route("/assets/digest.js", get(digest_script))
        .route("/assets/link.js", get(link_script))
        .route("/assets/portal.js", get(portal_script))
        .route("/assets/sender.js", get(sender_script))
        .route("/assets/app/{name}", get(app::file))
        .route("/app", get(app::show))
        .route("/app/{*page}", get(app::show))
        .route("/portals/{subdomain}", get(portal::show))
        .route("/portals/{subdomain}/brand.css", get(brand::style))
        .route("/{link}", get(link::show).post(link::unlock))
        .route("/{link}/files/{file}", get(link::download))
        .route("/{link}/files/{file}/view", get(view::show))
        .route("/{link}/files/{file}/content", get(view::content))
        .route("/{link}/checksums.md5", get(view::all_checksums))
        .route("/{link}/brand.css", get(brand::style_of_link))
        .route("/{link}/all.zip", get(link::download_all))
}

async fn home(_: Public, headers: HeaderMap) -> Response {
    if !wants_html(&headers) {
        return Refusal::not_found("route").into_response();
    }
    let text = "This is a media hub. To download files, open the link you were sent.";
    page(StatusCode::OK, "message", context! { title => "Media hub", text, small => true })
}

async fn style(_: Public) -> Response {
    asset("text/css; charset=utf-8", include_str!("hub.css"))
}

async fn icon(_: Public) -> Response {
    asset("image/svg+xml", include_str!("icon.svg"))
}

async fn link_script(_: Public) -> Response {
    asset("text/javascript; charset=utf-8", include_str!("link.js"))
}

async fn portal_script(_: Public) -> Response {
    asset("text/javascript; charset=utf-8", include_str!("portal.js"))
}

async fn digest_script(_: Public) -> Response {
    asset("text/javascript; charset=utf-8", include_str!("digest.js"))
}

async fn sender_script(_: Public) -> Response {
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

/// Where the scripts of a page send parts to, for its policy: the storage is another origin if the page was opened under another name, and
/// so is a bucket.
fn storage_origins(hub: &Hub, base: &str) -> String {
    let storage = url::Url::parse(base).map(|base| base.origin().ascii_serialization()).ok();
    let bucket = hub.context.storage.bucket.as_ref().map(Bucket::public_origin);
    storage.into_iter().chain(bucket).map(|origin| format!(" {origin}")).collect()
}

/// Whether the client is a browser opening a page.
fn wants_html(headers: &HeaderMap) -> bool {
    let values = |name: HeaderName| headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    let is_page = |range: &str| {
        let mut parts = range.split(';').map(|part| part.trim().to_ascii_lowercase());
        let kind = parts.next().unwrap_or_default();
        let never = parts.any(|part| part.strip_prefix("q=").is_some_and(|weight| weight.parse() == Ok(0.0)));
        !never && matches!(kind.as_str(), "text/html" | "application/xhtml+xml" | "text/*")
    };
    values(header::ACCEPT).flat_map(|accept| accept.split(',')).any(is_page)
        || values(HeaderName::from_static("sec-fetch-mode")).any(|mode| mode.eq_ignore_ascii_case("navigate"))
}

/// The response where there is no route: a page for a person, JSON for a program and for every path of the protocol.
pub(crate) async fn unknown(uri: Uri, headers: HeaderMap) -> Response {
    let of_the_protocol = ["/v1/", "/v1.1/", "/storage/"].iter().any(|start| uri.path().starts_with(start));
    let missing = Refusal::not_found("route");
    if of_the_protocol { missing.into_response() } else { refused(missing, &headers) }
}

/// A page, with its security headers.
fn page(status: StatusCode, template: &str, values: Value) -> Response {
    let rendered = TEMPLATES.get_template(template).and_then(|template| template.render(values));
    let html = match rendered {
        Ok(html) => html,
        Err(error) => return Refusal::internal(&error).into_response(),
    };
    let mut response = (status, Html(html)).into_response();
    // Every response gets the rest: see headers.rs.
    for (name, value) in [(header::CONTENT_SECURITY_POLICY, POLICY), (header::CACHE_CONTROL, "no-store")] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// An error for people, or for programs that ask for it.
fn refused(refusal: Refusal, headers: &HeaderMap) -> Response {
    refused_with(refusal, headers, None)
}

/// The same; `ask` says whom a person can ask.
fn refused_with(refusal: Refusal, headers: &HeaderMap, ask: Option<String>) -> Response {
    if !wants_html(headers) {
        return refusal.into_response();
    }
    let (title, text) = match refusal.status {
        StatusCode::NOT_FOUND => ("Not found", "There is nothing at this address. Is the link complete?"),
        StatusCode::GONE => ("Expired", "This link has expired, and its files can no longer be downloaded."),
        StatusCode::FORBIDDEN => ("Limit reached", "This link has been used as often as it may be."),
        StatusCode::TOO_MANY_REQUESTS => ("Too many attempts", "Wait a few minutes, then try again."),
        _ => ("Temporarily unavailable", "Something went wrong. Try again in a few minutes."),
    };
    let over = matches!(refusal.status, StatusCode::GONE | StatusCode::FORBIDDEN);
    let ask = ask.or_else(|| over.then(|| "Ask whoever sent you the link for a new one.".to_owned()));
    let mut response = page(refusal.status, "message", context! { title, text, ask, small => true });
    response.extensions_mut().insert(refusal.kind);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(headers: &[(&'static str, &'static str)]) -> bool {
        let given =
            headers.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let mut all = HeaderMap::new();
        given.for_each(|(name, value)| {
            all.append(name, value);
        });
        wants_html(&all)
    }

    /// `/` was seen as raw JSON in a browser.
    #[test]
    fn a_browser_that_opens_a_page_is_known_however_it_asks() {
        for accept in [
            "text/html,application/xhtml+xml,*/*;q=0.8",
            "TEXT/HTML",
            "application/xhtml+xml",
            "text/*",
            "*/*, text/html ;q=0.9",
        ] {
            assert!(asks(&[("accept", accept)]), "{accept}");
        }
        assert!(asks(&[("accept", "*/*"), ("accept", "text/html")]), "the second line of the header");
        assert!(asks(&[("accept", "*/*"), ("sec-fetch-mode", "navigate")]) && asks(&[("sec-fetch-mode", "navigate")]));
        for accept in ["*/*", "application/json", "text/html;q=0", "image/avif,image/webp,*/*", "text/htmlx"] {
            assert!(!asks(&[("accept", accept)]), "{accept}");
        }
        assert!(!asks(&[]) && !asks(&[("accept", "*/*"), ("sec-fetch-mode", "cors")]));
    }
}
