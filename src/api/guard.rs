//! Who may call. Pure decisions over a request's head, and the layer that applies them.
//!
//! On loopback whoever can connect may call, but a browser can be made to connect by any page it shows: the `Host`
//! must be a loopback name (or a rebound DNS name would do), an `Origin` must be our own, and a body must be JSON (a
//! form of a foreign page can not send that without asking first).

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use super::dashboard;
use super::error::ApiError;

/// Who may call, beyond those who can connect.
#[derive(Debug, Clone)]
pub struct Access {
    /// What `Authorization: Bearer` must say; `None` lets in whoever can connect.
    pub token: Option<SecretString>,
    /// Whether the `Host` must name this machine's loopback.
    pub loopback_only: bool,
}

impl Access {
    fn check(&self, method: &Method, path: &str, headers: &HeaderMap) -> Result<(), ApiError> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        if self.loopback_only && !text(header::HOST).is_none_or(is_loopback_host) {
            return Err(ApiError::new(StatusCode::FORBIDDEN, "the agent answers to loopback names only"));
        }
        if let Some(origin) = text(header::ORIGIN) {
            let own = text(header::HOST).is_some_and(|host| origin.split_once("://").is_some_and(|(_, at)| at == host));
            if !own {
                return Err(ApiError::new(StatusCode::FORBIDDEN, "pages of other origins may not call the agent"));
            }
        }
        if let Some(token) = &self.token
            && !is_open(path)
        {
            let given = text(header::AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
            if !bool::from(given.trim().as_bytes().ct_eq(token.expose_secret().as_bytes())) {
                return Err(ApiError::new(StatusCode::UNAUTHORIZED, "this agent wants its token")
                    .hint("give it with MASV_TOKEN or --token-file"));
            }
        }
        let has_body = text(header::CONTENT_LENGTH).is_some_and(|length| length != "0")
            || headers.contains_key(header::TRANSFER_ENCODING);
        let is_json = text(header::CONTENT_TYPE).is_some_and(|kind| kind.split(';').next() == Some("application/json"));
        if has_body && !is_json && !matches!(*method, Method::GET | Method::HEAD) {
            return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body must be application/json"));
        }
        Ok(())
    }
}

/// Whether a path is given without the token: it tells nothing of the agent.
fn is_open(path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz" | "/") || path.starts_with(dashboard::FOLDER)
}

fn is_loopback_host(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Lets a request through or answers it.
pub(super) async fn guard(State(access): State<Access>, request: Request, next: Next) -> Response {
    match access.check(request.method(), request.uri().path(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(access: &Access, headers: &[(&'static str, &str)]) -> bool {
        let headers = headers.iter().map(|(name, value)| {
            (header::HeaderName::from_static(name), header::HeaderValue::from_str(value).unwrap())
        });
        access.check(&Method::POST, "/api/v1/uploads", &headers.collect()).is_ok()
    }

    #[test]
    fn only_loopback_names_and_own_pages_are_let_in() {
        let access = Access { token: None, loopback_only: true };
        for host in ["localhost:8080", "127.0.0.1:8080", "[::1]:8080", "LOCALHOST", "127.9.9.9"] {
            assert!(allowed(&access, &[("host", host)]), "{host}");
        }
        for host in ["evil.example:8080", "localhost.evil.example", "192.168.1.5", "", "10.0.0.1:80"] {
            assert!(!allowed(&access, &[("host", host)]), "{host}");
        }
        assert!(allowed(&access, &[("host", "localhost:8080"), ("origin", "http://localhost:8080")]));
        for origin in ["http://evil.example", "null", "http://localhost:9999"] {
            assert!(!allowed(&access, &[("host", "localhost:8080"), ("origin", origin)]), "{origin}");
        }
    }

    #[test]
    fn a_form_is_no_way_in() {
        let access = Access { token: None, loopback_only: true };
        let body = |kind| allowed(&access, &[("host", "localhost"), ("content-length", "5"), ("content-type", kind)]);
        assert!(body("application/json") && body("application/json; charset=utf-8"));
        assert!(!body("text/plain") && !body("application/x-www-form-urlencoded") && !body("multipart/form-data"));
        assert!(allowed(&access, &[("host", "localhost"), ("content-length", "0")]));
    }

    #[test]
    fn with_a_token_nothing_goes_without_it() {
        let access = Access { token: Some("sesame".into()), loopback_only: false };
        assert!(allowed(&access, &[("host", "nas.local"), ("authorization", "Bearer sesame")]));
        for value in ["Bearer sesam", "Bearer ", "sesame", "Basic sesame"] {
            assert!(!allowed(&access, &[("authorization", value)]), "{value}");
        }
        assert!(!allowed(&access, &[]));
        let free = |path| access.check(&Method::GET, path, &HeaderMap::new()).is_ok();
        assert!(free("/") && free("/healthz") && free("/readyz") && free("/dashboard/main.js"));
        assert!(!free("/metrics") && !free("/api/v1/server") && !free("/api/v1/dashboard/x"));
    }
}
