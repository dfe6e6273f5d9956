//! Who may call. Pure decisions about a request's head and its caller, and the layers that apply them.
//!
//! **In**: the owner of the connection, the head of the request. **Out**: the request, or why it is refused.
//!
//! **Guarantees.** Being on the same machine grants no access. Without the token, only the agent's own user and
//! root may call, and only if the system reports the owner of the connection. Any page can make that user's browser
//! connect, so the `Host` must be a loopback name (against DNS rebinding), an `Origin` must be our own, and a
//! state-changing request must have a JSON body or our own header (a form on a foreign page can send neither without a preflight).

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::{AddExtension, Next};
use axum::response::{IntoResponse, Response};
use axum_server::accept::Accept;
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;
use tokio::net::{TcpStream, UnixStream};
use tower::Layer;

use super::dashboard;
use super::error::ApiError;

/// The header that confirms, with any value, that a request without a body is intended. A page of another origin cannot send it, and
/// neither can anything that calls a URL chosen by someone else, such as a webhook.
pub const INTENT: &str = "x-masv";

/// The content type of pieces of files, the only bodies besides JSON.
pub(super) const PIECES: &str = "application/octet-stream";
/// Where pieces of files are received.
const SPOOLS: &str = "/api/v1/spools/";

/// Who may call.
#[derive(Debug, Clone)]
pub struct Access {
    /// The token expected in `Authorization: Bearer`.
    pub token: SecretString,
    /// Who needs no token.
    pub free: Free,
    /// Whether the `Host` must name this machine's loopback.
    pub loopback_only: bool,
}

/// Who may call without the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Free {
    /// No one.
    Nobody,
    /// This user, who is the agent's own, and root.
    User(u32),
    /// Everyone who can connect: the mode of the socket determines that.
    Everyone,
}

impl Free {
    fn includes(self, caller: Option<u32>) -> bool {
        match self {
            Self::Nobody => false,
            Self::User(user) => caller.is_some_and(|caller| caller == user || caller == 0),
            Self::Everyone => true,
        }
    }
}

/// The most connections at once of callers who are neither the agent's own user nor root: each takes a descriptor, and the agent needs
/// these for files.
const MOST_FOREIGN: usize = 256;

/// The owner of the connection, if the system reports it; and its place among those of others.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    user: Option<u32>,
    _place: Option<Arc<Place>>,
}

/// Determines the owner once for each connection.
#[derive(Debug, Clone, Default)]
pub(super) struct Identify {
    foreign: Arc<AtomicUsize>,
}

/// One of the places for connections of others, as long as the connection lasts.
#[derive(Debug)]
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Identify {
    fn caller(&self, user: Option<u32>) -> io::Result<Caller> {
        if user.is_some_and(|user| user == masv_platform::own_user() || user == 0) {
            return Ok(Caller { user, _place: None });
        }
        let place = Place(Arc::clone(&self.foreign));
        if self.foreign.fetch_add(1, Ordering::Relaxed) >= MOST_FOREIGN {
            return Err(io::Error::other("too many connections of other users"));
        }
        Ok(Caller { user, _place: Some(Arc::new(place)) })
    }
}

impl<S: Send + 'static> Accept<TcpStream, S> for Identify {
    type Stream = TcpStream;
    type Service = AddExtension<S, Caller>;
    type Future = std::future::Ready<io::Result<(Self::Stream, Self::Service)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let ends = stream.local_addr().and_then(|near| Ok((near, stream.peer_addr()?)));
        let user = ends.ok().and_then(|(near, far)| masv_platform::tcp_peer_user(near, far));
        // If the caller has disconnected by now, someone else may have its port.
        let caller = self.caller(user.filter(|_| stream.peer_addr().is_ok()));
        std::future::ready(caller.map(|caller| (stream, Extension(caller).layer(service))))
    }
}

impl<S: Send + 'static> Accept<UnixStream, S> for Identify {
    type Stream = UnixStream;
    type Service = AddExtension<S, Caller>;
    type Future = std::future::Ready<io::Result<(Self::Stream, Self::Service)>>;

    fn accept(&self, stream: UnixStream, service: S) -> Self::Future {
        let caller = self.caller(stream.peer_cred().ok().map(|credentials| credentials.uid()));
        std::future::ready(caller.map(|caller| (stream, Extension(caller).layer(service))))
    }
}

impl Access {
    fn check(&self, caller: Option<u32>, method: &Method, path: &str, headers: &HeaderMap) -> Result<(), ApiError> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        if self.loopback_only && !text(header::HOST).is_none_or(is_loopback_host) {
            return Err(ApiError::new(StatusCode::FORBIDDEN, "the agent accepts only loopback host names"));
        }
        if let Some(origin) = text(header::ORIGIN) {
            let own = text(header::HOST).is_some_and(|host| origin.split_once("://").is_some_and(|(_, at)| at == host));
            if !own {
                return Err(ApiError::new(StatusCode::FORBIDDEN, "pages from other origins may not call the agent"));
            }
        }
        if !self.free.includes(caller) && !is_open(path) {
            self.check_token(text(header::AUTHORIZATION))?;
        }
        let has_body = text(header::CONTENT_LENGTH).is_some_and(|length| length != "0")
            || headers.contains_key(header::TRANSFER_ENCODING);
        let is_json = text(header::CONTENT_TYPE).is_some_and(|kind| kind.split(';').next() == Some("application/json"));
        if matches!(*method, Method::GET | Method::HEAD) {
            return Ok(());
        }
        // A form can send neither this content type nor the header.
        let is_piece = *method == Method::PUT
            && path.starts_with(SPOOLS)
            && headers.contains_key(INTENT)
            && text(header::CONTENT_TYPE) == Some(PIECES);
        if has_body && !is_json && !is_piece {
            return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body must be application/json"));
        }
        if !has_body && !headers.contains_key(INTENT) {
            return Err(ApiError::bad("a request without a body requires the header X-Masv, with any value")
                .hint("or send the body {} with the content type application/json"));
        }
        Ok(())
    }

    fn check_token(&self, authorization: Option<&str>) -> Result<(), ApiError> {
        let given = authorization.and_then(|value| value.strip_prefix("Bearer ")).map(str::trim);
        if given.is_some_and(|given| bool::from(given.as_bytes().ct_eq(self.token.expose_secret().as_bytes()))) {
            return Ok(());
        }
        let message = match (given, self.free) {
            (Some(_), _) => "the token is wrong",
            (None, Free::User(_)) => "this agent belongs to another user and requires its token",
            (None, _) => "this agent requires its token",
        };
        // This user's own agent has its token in its data directory, where `masv` finds it.
        Err(ApiError::new(StatusCode::UNAUTHORIZED, message)
            .hint("pass it with `--with-token FILE` or in MASV_TOKEN; for the agent's user and root it is found automatically"))
    }
}

/// Whether a path is served without the token: it reveals nothing about the agent.
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

/// The security headers of every response: no sniffing, no caching, no other page may read it. Links in it are
/// secrets. Headers set by the route are kept.
pub(super) async fn harden(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let said = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in said {
        headers.entry(name).or_insert(header::HeaderValue::from_static(value));
    }
    response
}

/// Passes a request on, or rejects it.
pub(super) async fn guard(State(access): State<Access>, request: Request, next: Next) -> Response {
    let caller = request.extensions().get::<Caller>().and_then(|caller| caller.user);
    match access.check(caller, request.method(), request.uri().path(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: u32 = 1_000;

    fn access(free: Free) -> Access {
        Access { token: "sesame".into(), free, loopback_only: true }
    }

    fn allowed(access: &Access, headers: &[(&'static str, &str)]) -> bool {
        let with_body = [("content-length", "2"), ("content-type", "application/json")];
        let says = headers.iter().any(|(name, _)| *name == "content-length");
        let headers = headers.iter().chain(if says { &[][..] } else { &with_body }).map(|(name, value)| {
            (header::HeaderName::from_static(name), header::HeaderValue::from_str(value).unwrap())
        });
        access.check(Some(OWN), &Method::POST, "/api/v1/uploads", &headers.collect()).is_ok()
    }

    /// Case: a rebound host name and a foreign or null origin are refused.
    #[test]
    fn only_loopback_names_and_own_pages_are_let_in() {
        let access = access(Free::User(OWN));
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

    /// Another user of the machine opened connections until the agent could open no file any more.
    #[test]
    fn others_have_so_many_connections_and_the_own_user_as_many_as_it_wants() {
        let (identify, own) = (Identify::default(), masv_platform::own_user());
        let mut others: Vec<Caller> = (0..MOST_FOREIGN).map(|_| identify.caller(Some(own + 1)).unwrap()).collect();
        assert!(identify.caller(Some(own + 1)).is_err() && identify.caller(None).is_err());
        assert!(identify.caller(Some(own)).is_ok() && identify.caller(Some(0)).is_ok());
        let request = others.pop().unwrap();
        let while_it_is_answered = request.clone();
        drop(request);
        assert!(identify.caller(None).is_err());
        drop(while_it_is_answered);
        assert!(identify.caller(None).is_ok());
    }

    /// Case: what a form of a web page, or a webhook without a body of ours, can send is refused.
    #[test]
    fn a_form_is_no_way_in() {
        let access = access(Free::User(OWN));
        let body = |kind| allowed(&access, &[("host", "localhost"), ("content-length", "5"), ("content-type", kind)]);
        assert!(body("application/json") && body("application/json; charset=utf-8"));
        assert!(!body("text/plain") && !body("application/x-www-form-urlencoded") && !body("multipart/form-data"));
        assert!(!allowed(&access, &[("host", "localhost"), ("content-length", "0")]), "no body says nothing");
        assert!(allowed(&access, &[("host", "localhost"), ("content-length", "0"), (INTENT, "1")]));
    }

    /// Bytes of files are received only where files are, by what no form can send.
    #[test]
    fn bytes_are_taken_only_for_files_and_only_with_the_header() {
        let access = access(Free::User(OWN));
        let may = |method: Method, path: &str, intended: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, "localhost".parse().unwrap());
            headers.insert(header::CONTENT_LENGTH, "5".parse().unwrap());
            headers.insert(header::CONTENT_TYPE, PIECES.parse().unwrap());
            if intended {
                headers.insert(INTENT, "1".parse().unwrap());
            }
            access.check(Some(OWN), &method, path, &headers).is_ok()
        };
        assert!(may(Method::PUT, "/api/v1/spools/x/0", true));
        assert!(!may(Method::PUT, "/api/v1/spools/x/0", false) && !may(Method::POST, "/api/v1/spools/x/0", true));
        assert!(
            !may(Method::PUT, "/api/v1/automations/rules_file", true) && !may(Method::POST, "/api/v1/uploads", true)
        );
    }

    /// Case: the token is needed for everything but the page and the probes.
    #[test]
    fn with_a_token_nothing_goes_without_it() {
        let access = Access { loopback_only: false, ..access(Free::Nobody) };
        assert!(allowed(&access, &[("host", "nas.local"), ("authorization", "Bearer sesame")]));
        for value in ["Bearer sesam", "Bearer ", "sesame", "Basic sesame"] {
            assert!(!allowed(&access, &[("authorization", value)]), "{value}");
        }
        assert!(!allowed(&access, &[]));
        let free = |path| access.check(None, &Method::GET, path, &HeaderMap::new()).is_ok();
        assert!(free("/") && free("/healthz") && free("/readyz") && free("/dashboard/main.js"));
        assert!(!free("/metrics") && !free("/api/v1/server") && !free("/api/v1/dashboard/x"));
    }

    /// Being able to connect was enough: every user of the machine could send files of the agent's user, and
    /// stop the agent.
    #[test]
    fn only_the_own_user_and_root_need_no_token() {
        let access = access(Free::User(OWN));
        let may = |caller, authorization: Option<&'static str>| {
            let headers = authorization.map(|value| (header::AUTHORIZATION, header::HeaderValue::from_static(value)));
            access.check(caller, &Method::GET, "/metrics", &headers.into_iter().collect()).is_ok()
        };
        assert!(may(Some(OWN), None) && may(Some(0), None));
        assert!(!may(Some(OWN + 1), None) && !may(None, None) && !may(None, Some("Bearer guess")));
        assert!(may(Some(OWN + 1), Some("Bearer sesame")) && may(None, Some("Bearer sesame")));
        assert!(Free::Everyone.includes(None) && !Free::Nobody.includes(Some(0)));
    }
}
