//! A network that misbehaves: a proxy between the engine and a hub (and the hub's bucket, where it has one), that spoils requests as
//! it is configured to, and records what came through.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State as Extract};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::serve::Listener;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use url::Url;

use crate::s3_server;
use crate::support::TestHub;

/// How a request is spoiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The connection ends before anything is answered, and the hub hears nothing.
    Cut,
    /// The hub does it, and the answer is lost.
    LostAnswer,
    /// The answer breaks off.
    CutAnswer,
    /// The response has its full length, but half of its content.
    HalfJson,
    /// One bit of a part is another when it arrives.
    FlippedBit,
    /// 500.
    ServerError,
    /// 503 with Retry-After.
    Busy,
    /// 429.
    TooMany,
    /// A part's address has expired.
    Expired,
    /// The answer comes late.
    Slow,
    /// No answer comes, and the connection stays.
    Stalled,
    /// The request is forwarded when [`Proxy::release`] says so. None of [`FAULTS`], for nobody else would.
    Held,
    /// 404: what is requested no longer exists. None of [`FAULTS`], for it ends what depends on it.
    Missing,
}

/// Every way there is to spoil a request.
pub const FAULTS: [Fault; 11] = [
    Fault::Cut,
    Fault::LostAnswer,
    Fault::CutAnswer,
    Fault::HalfJson,
    Fault::FlippedBit,
    Fault::ServerError,
    Fault::Busy,
    Fault::TooMany,
    Fault::Expired,
    Fault::Slow,
    Fault::Stalled,
];

/// A request, as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub method: String,
    pub path: String,
    pub query: String,
}

impl Asked {
    /// Whether it carries a part.
    pub fn is_part(&self) -> bool {
        self.method == "PUT"
    }

    /// Whether it is about many files.
    pub fn is_batch(&self) -> bool {
        self.path.contains("/batches/")
    }

    /// Whether it carries the content of small files.
    pub fn is_contents(&self) -> bool {
        self.path.ends_with("/batches/contents")
    }

    /// Whether it is a presigned address that is asked.
    pub fn is_storage(&self) -> bool {
        self.path.starts_with("/storage/") || self.path.starts_with(s3_server::PATH)
    }

    /// Whether it asks for the addresses of parts.
    pub fn is_addresses(&self) -> bool {
        self.query.starts_with("start=")
    }
}

type Plan = Box<dyn FnMut(&Asked) -> Option<Fault> + Send>;

/// The proxy, while it runs.
pub struct Proxy {
    hub: Url,
    /// The S3 server, for what is addressed to the bucket.
    bucket: Option<Url>,
    client: reqwest::Client,
    plan: Mutex<Plan>,
    asked: Mutex<Vec<(Asked, Option<Fault>)>>,
    parts_now: AtomicUsize,
    parts_most: AtomicUsize,
    /// Whether requests are forwarded that were held.
    released: watch::Sender<bool>,
}

impl Proxy {
    /// Forwards the first request that `wanted` picks, and holds those after it until [`Self::release`]: what they carry has begun and
    /// cannot be done before, however busy the machine is.
    pub fn hold_after_first(&self, wanted: impl Fn(&Asked) -> bool + Send + 'static) {
        self.released.send_replace(false);
        let mut count = 0;
        self.plan(move |asked| {
            count += u32::from(wanted(asked));
            (wanted(asked) && count > 1).then_some(Fault::Held)
        });
    }

    /// Lets go what is held, and whatever would be.
    pub fn release(&self) {
        self.released.send_replace(true);
    }

    /// From now on requests are spoiled like this.
    pub fn plan(&self, plan: impl FnMut(&Asked) -> Option<Fault> + Send + 'static) {
        *self.plan.lock().unwrap() = Box::new(plan);
    }

    /// All requests so far that `wanted` picks.
    pub fn asked(&self, wanted: impl Fn(&Asked) -> bool) -> Vec<Asked> {
        self.asked.lock().unwrap().iter().map(|(asked, _)| asked.clone()).filter(|asked| wanted(asked)).collect()
    }

    /// Requests so far, and how many of them were spoiled.
    pub fn counts(&self) -> (usize, usize) {
        let asked = self.asked.lock().unwrap();
        (asked.len(), asked.iter().filter(|(_, fault)| fault.is_some()).count())
    }

    /// The maximum number of parts that were ever in flight at once.
    pub fn most_parts_at_once(&self) -> usize {
        self.parts_most.load(Ordering::Relaxed)
    }

    fn choose(&self, asked: &Asked) -> Option<Fault> {
        let fault = (self.plan.lock().unwrap())(asked);
        self.asked.lock().unwrap().push((asked.clone(), fault));
        fault
    }

    async fn forward(
        &self,
        method: reqwest::Method,
        path: &str,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Option<(StatusCode, HeaderMap, Bytes)> {
        let bucket = self.bucket.as_ref().filter(|_| path.starts_with(s3_server::PATH));
        let to = bucket.unwrap_or(&self.hub);
        let mut request = self.client.request(method, to.join(path).unwrap()).body(body);
        for (name, value) in headers {
            // The address to the bucket is signed for the host that it was asked at.
            let own = *name == header::HOST && bucket.is_none();
            if !own && !matches!(*name, header::CONTENT_LENGTH | header::TRANSFER_ENCODING) {
                request = request.header(name, value);
            }
        }
        // A hub that was shut down answers nothing.
        let answer = request.send().await.ok()?;
        Some((answer.status(), answer.headers().clone(), answer.bytes().await.ok()?))
    }
}

/// Counts a part as in flight until it is dropped.
struct OnItsWay<'a>(&'a Proxy);

impl<'a> OnItsWay<'a> {
    fn new(proxy: &'a Proxy) -> Self {
        let now = proxy.parts_now.fetch_add(1, Ordering::Relaxed) + 1;
        proxy.parts_most.fetch_max(now, Ordering::Relaxed);
        Self(proxy)
    }
}

impl Drop for OnItsWay<'_> {
    fn drop(&mut self) {
        self.0.parts_now.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An answer whose connection breaks after `sent`, though its length promises more.
fn broken(sent: Bytes) -> Response {
    let end = futures_util::stream::once(async { Err(std::io::Error::other("cut")) });
    let body = futures_util::stream::once(async move { Ok::<_, std::io::Error>(sent) }).chain(end);
    let mut response = Body::from_stream(body).into_response();
    response.headers_mut().insert(header::CONTENT_LENGTH, header::HeaderValue::from_static("100000"));
    response
}

fn expired() -> Response {
    let body = "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>";
    (StatusCode::FORBIDDEN, body).into_response()
}

async fn serve(Extract(proxy): Extract<Arc<Proxy>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let asked = Asked {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
    };
    let is_part = asked.is_part();
    let _counted = is_part.then(|| OnItsWay::new(&proxy));
    let fault = proxy.choose(&asked);
    let mut bytes = BytesMut::new();
    let mut stream = body.into_data_stream();
    while let Some(block) = stream.next().await {
        let Ok(block) = block else { return StatusCode::BAD_REQUEST.into_response() };
        bytes.extend_from_slice(&block);
    }
    match fault {
        Some(Fault::Cut) => return broken(Bytes::new()),
        Some(Fault::ServerError) => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Some(Fault::Busy) => {
            return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "0")]).into_response();
        }
        Some(Fault::Missing) => {
            let body = "{\"code\":404,\"message\":\"upload not found\",\"errors\":[]}";
            return (StatusCode::NOT_FOUND, body).into_response();
        }
        Some(Fault::TooMany) => return StatusCode::TOO_MANY_REQUESTS.into_response(),
        Some(Fault::Expired) if is_part || asked.is_storage() => return expired(),
        Some(Fault::Stalled) => std::future::pending().await,
        Some(Fault::Held) => drop(proxy.released.subscribe().wait_for(|released| *released).await),
        Some(Fault::Slow) => tokio::time::sleep(Duration::from_millis(100)).await,
        Some(Fault::FlippedBit) if is_part && !bytes.is_empty() => {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        }
        Some(Fault::FlippedBit) if asked.is_contents() => {
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
        }
        _ => {}
    }
    let path = parts.uri.path_and_query().unwrap().as_str();
    let Some((status, headers, body)) = proxy.forward(parts.method, path, &parts.headers, bytes.freeze()).await else {
        return broken(Bytes::new());
    };
    match fault {
        Some(Fault::LostAnswer) => return broken(Bytes::new()),
        Some(Fault::CutAnswer) => return broken(body.slice(..body.len() / 2)),
        Some(Fault::HalfJson) if !is_part => return (status, body.slice(..body.len() / 2)).into_response(),
        _ => {}
    }
    let mut response = (status, body).into_response();
    for (name, value) in &headers {
        if !matches!(*name, header::CONTENT_LENGTH | header::TRANSFER_ENCODING | header::CONNECTION) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    response
}

/// A port at which some connections are refused, and some are reset before a word is said.
struct Moody {
    listener: TcpListener,
    address: SocketAddr,
    random: fastrand::Rng,
    percent: u32,
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(1024)
}

impl Listener for Moody {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            let Ok((stream, from)) = self.listener.accept().await else { continue };
            if self.random.u32(0..100) >= self.percent {
                return (stream, from);
            }
            // Closed with the request unread: the other side sees a reset.
            let _ = stream.set_zero_linger();
            drop(stream);
            if self.random.bool() {
                let elsewhere = listen("127.0.0.1:0".parse().unwrap()).unwrap();
                drop(std::mem::replace(&mut self.listener, elsewhere));
                tokio::time::sleep(Duration::from_millis(30)).await;
                while let Err(_taken) = listen(self.address).map(|listener| self.listener = listener) {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        Ok(self.address)
    }
}

/// A hub whose every address leads through a proxy, which spoils nothing yet. Of the connections to it, `percent` in
/// a hundred are reset or refused.
pub async fn behind_proxy(percent: u32) -> (TestHub, Url, Arc<Proxy>) {
    let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let url = Url::parse(&format!("http://{address}")).unwrap();
    let hub = TestHub::start_public(url.clone()).await;
    let proxy = Arc::new(Proxy {
        hub: hub.url.clone(),
        bucket: hub.bucket(),
        client: reqwest::Client::builder().no_proxy().build().unwrap(),
        plan: Mutex::new(Box::new(|_| None)),
        asked: Mutex::default(),
        parts_now: AtomicUsize::new(0),
        parts_most: AtomicUsize::new(0),
        released: watch::Sender::new(false),
    });
    let router = Router::new().fallback(serve).with_state(Arc::clone(&proxy));
    let listener = Moody { listener, address, random: fastrand::Rng::with_seed(7), percent };
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (hub, url, proxy)
}
