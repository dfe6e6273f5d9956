//! A network that misbehaves: the engine talks to the hub through a proxy that spoils three requests in ten.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State as Extract};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use masv_agent::store::State;
use url::Url;

use crate::support::{TestEngine, TestHub, content, digests, received, spec, wait_until};

/// How a request is spoiled.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// The connection ends before anything is answered, and the hub hears nothing.
    Reset,
    /// The hub does it, and the answer is lost.
    LostAnswer,
    /// The answer breaks off.
    CutAnswer,
    /// The answer is whole by its length, and half by its sense.
    HalfJson,
    /// One bit of the body is another when it arrives.
    FlippedBit,
    ServerError,
    Busy,
    TooMany,
    Expired,
    Slow,
}

const FAULTS: [Fault; 10] = [
    Fault::Reset,
    Fault::LostAnswer,
    Fault::CutAnswer,
    Fault::HalfJson,
    Fault::FlippedBit,
    Fault::ServerError,
    Fault::Busy,
    Fault::TooMany,
    Fault::Expired,
    Fault::Slow,
];

struct Proxy {
    hub: Url,
    client: reqwest::Client,
    /// Spoiled requests in a hundred; with all hundred, nothing gets through at all.
    percent: u64,
    random: Mutex<fastrand::Rng>,
    requests: AtomicU64,
    spoiled: AtomicU64,
}

impl Proxy {
    fn choose(&self) -> Option<Fault> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let mut random = self.random.lock().unwrap();
        if random.u64(0..100) >= self.percent {
            return None;
        }
        self.spoiled.fetch_add(1, Ordering::Relaxed);
        if self.percent == 100 { Some(Fault::Reset) } else { random.choice(FAULTS) }
    }

    async fn forward(
        &self,
        method: reqwest::Method,
        path: &str,
        headers: &HeaderMap,
        body: Bytes,
    ) -> reqwest::Response {
        let mut request = self.client.request(method, self.hub.join(path).unwrap()).body(body);
        for (name, value) in headers {
            if !matches!(*name, header::HOST | header::CONTENT_LENGTH | header::TRANSFER_ENCODING) {
                request = request.header(name, value);
            }
        }
        request.send().await.unwrap()
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

fn storage_error(status: StatusCode, code: &str) -> Response {
    (status, format!("<Error><Code>{code}</Code><Message>Request has expired</Message></Error>")).into_response()
}

async fn serve(Extract(proxy): Extract<Arc<Proxy>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().unwrap().as_str().to_owned();
    let mut bytes = BytesMut::new();
    let mut stream = body.into_data_stream();
    while let Some(block) = stream.next().await {
        let Ok(block) = block else { return StatusCode::BAD_REQUEST.into_response() };
        bytes.extend_from_slice(&block);
    }
    let is_part = parts.method == reqwest::Method::PUT;
    let fault = proxy.choose();
    match fault {
        Some(Fault::Reset) => return broken(Bytes::new()),
        Some(Fault::ServerError) => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Some(Fault::Busy) => {
            return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "0")]).into_response();
        }
        Some(Fault::TooMany) => return StatusCode::TOO_MANY_REQUESTS.into_response(),
        Some(Fault::Expired) if is_part => return storage_error(StatusCode::FORBIDDEN, "AccessDenied"),
        Some(Fault::Slow) => tokio::time::sleep(Duration::from_millis(100)).await,
        Some(Fault::FlippedBit) if is_part && !bytes.is_empty() => {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        }
        _ => {}
    }
    let answer = proxy.forward(parts.method, &path, &parts.headers, bytes.freeze()).await;
    let (status, headers) = (answer.status(), answer.headers().clone());
    let body = answer.bytes().await.unwrap();
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

/// A hub whose every address leads through a proxy that spoils `percent` of the requests.
async fn behind_proxy(percent: u64) -> (TestHub, Url, Arc<Proxy>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let hub = TestHub::start_public(url.clone()).await;
    let proxy = Arc::new(Proxy {
        hub: hub.url.clone(),
        client: reqwest::Client::builder().no_proxy().build().unwrap(),
        percent,
        random: Mutex::new(fastrand::Rng::with_seed(20_261_124)),
        requests: AtomicU64::new(0),
        spoiled: AtomicU64::new(0),
    });
    listener.set_nonblocking(true).unwrap();
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    let router = Router::new().fallback(serve).with_state(Arc::clone(&proxy));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (hub, url, proxy)
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_uploads_arrive_equal_though_three_requests_in_ten_are_spoiled() {
    let (hub, url, proxy) = behind_proxy(30).await;
    let engine = TestEngine::start(hub.cloud_at(url)).await;
    let mut expected = Vec::new();
    for number in 0..50_u64 {
        let sizes: &[usize] = match number % 5 {
            0 => &[6_000_000, 10],
            1 => &[0],
            2 => &[1_000, 2_000, 3_000, 4_000],
            3 => &[70_000],
            _ => &[1],
        };
        let mut files: Vec<(String, Vec<u8>)> = Vec::new();
        for (index, size) in sizes.iter().enumerate() {
            files.push((format!("{number}/{index}.bin"), content(number * 10 + index as u64, *size)));
        }
        let sources = files.iter().map(|(name, bytes)| engine.file(name, bytes)).collect();
        expected.push((engine.queue.submit(spec(sources)).await.unwrap(), files));
    }
    for (id, files) in expected {
        let upload = engine.wait_long_for(id, State::Complete, Duration::from_secs(120)).await;
        let link = upload.links[0].url.replacen(hub.public().as_str(), hub.url.as_str(), 1);
        assert_eq!(digests(&received(&link).await), digests(&files), "{id}");
    }
    let (requests, spoiled) = (proxy.requests.load(Ordering::Relaxed), proxy.spoiled.load(Ordering::Relaxed));
    assert!(spoiled * 5 > requests, "only {spoiled} of {requests} requests were spoiled");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_costs_few_requests_and_the_upload_says_why_it_waits() {
    let (hub, url, proxy) = behind_proxy(100).await;
    let engine = TestEngine::start(hub.cloud_at(url)).await;
    let files = (0..20).map(|n| engine.file(&format!("{n}.bin"), &content(n, 1_000))).collect();
    let id = engine.queue.submit(spec(files)).await.unwrap();
    wait_until("it tells why it waits", Duration::from_secs(10), || async {
        engine.queue.live(id).is_some_and(|live| live.reason.is_some() && live.next_retry_at.is_some())
    })
    .await;
    assert_eq!(engine.upload(id).await.state, State::Transferring, "an outage is no error");
    tokio::time::sleep(Duration::from_secs(3)).await;
    let requests = proxy.requests.load(Ordering::Relaxed);
    assert!(requests < 30, "{requests} requests in three seconds of outage");
    engine.queue.remove(id).await.expect("removing works with the cloud away");
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_wait_for_a_hub_that_is_away_and_go_on_when_it_is_back() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let hub = TestHub::start_on(listener, tempfile::tempdir().unwrap()).await;
    let cloud = hub.cloud();
    let folder = hub.shut_down().await;

    let engine = TestEngine::start(cloud).await;
    let id = engine.queue.submit(spec(vec![engine.file("a.txt", b"hello")])).await.unwrap();
    wait_until("the refused connection is told", Duration::from_secs(10), || async {
        engine.queue.live(id).is_some_and(|live| live.reason.is_some_and(|reason| reason.contains("connect")))
    })
    .await;
    let _hub = TestHub::start_on(TcpListener::bind(address).unwrap(), folder).await;
    engine.wait_long_for(id, State::Complete, Duration::from_secs(30)).await;
}
