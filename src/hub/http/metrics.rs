//! `/metrics` of the hub, for Prometheus and compatible systems, on a listener of its own. The names, units and types are a public
//! contract, listed in docs/hub.md.
//!
//! **In**: requests as they pass, counted; the records, read when somebody asks. **Out**: text in the OpenMetrics format.
//!
//! Must never show: names of packages, people or files, addresses.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::net::TcpListener;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use masv_protocol::ErrorKind;
use tokio_util::sync::CancellationToken;

use super::access::Gate;
use super::refusal::Refusal;
use crate::clock::now;
use crate::jobs::findings;
use crate::records::Error;
use crate::records::figures::{self, Figures, Owed};
use crate::{Hub, HubError};

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What has passed since the start.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    /// By the first digit of the status.
    answers: [AtomicU64; 6],
    /// By the word of the error.
    refused: Mutex<BTreeMap<&'static str, u64>>,
}

/// The limits by which a request is refused though nothing is wrong with it.
const LIMITS: [ErrorKind; 6] = [
    ErrorKind::TooManyGuesses,
    ErrorKind::RateLimited,
    ErrorKind::LimitReached,
    ErrorKind::Restricted,
    ErrorKind::StorageFull,
    ErrorKind::QuotaExceeded,
];

impl Traffic {
    fn answered(&self, response: &Response) {
        let class = usize::from(response.status().as_u16() / 100);
        if let Some(count) = self.answers.get(class) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(kind) = response.extensions().get::<ErrorKind>().filter(|kind| LIMITS.contains(kind)) {
            *self.refused.lock().unwrap_or_else(PoisonError::into_inner).entry(kind.as_str()).or_default() += 1;
        }
    }
}

/// Counts a request, its body and that of its answer.
pub(crate) async fn count(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let traffic = gate.traffic();
    let (of_request, of_answer) = (Arc::clone(&traffic), Arc::clone(&traffic));
    let request = request.map(|body| Body::new(Tallied { body, traffic: of_request, is_in: true }));
    let response = next.run(request).await;
    traffic.answered(&response);
    response.map(|body| Body::new(Tallied { body, traffic: of_answer, is_in: false }))
}

/// A body whose bytes are counted as they pass.
struct Tallied {
    body: Body,
    traffic: Arc<Traffic>,
    is_in: bool,
}

impl HttpBody for Tallied {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(bytes) = frame.data_ref()
        {
            let count = if self.is_in { &self.traffic.bytes_in } else { &self.traffic.bytes_out };
            count.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

impl Hub {
    /// Serves the metrics until `shutdown`. Whoever can reach the listener reads them: they hold numbers, no names.
    ///
    /// # Errors
    /// [`HubError::Serve`] if it cannot listen.
    pub async fn serve_metrics(&self, listener: TcpListener, shutdown: CancellationToken) -> Result<(), HubError> {
        listener.set_nonblocking(true).map_err(HubError::Serve)?;
        let listener = tokio::net::TcpListener::from_std(listener).map_err(HubError::Serve)?;
        let router = Router::new().route("/metrics", get(show)).with_state(self.clone());
        let serving = axum::serve(listener, router).with_graceful_shutdown(shutdown.cancelled_owned());
        serving.await.map_err(HubError::Serve)
    }
}

impl Hub {
    /// The metrics as text in the OpenMetrics format, without `# EOF`: for the process that the hub is a part of, to be served with its own.
    ///
    /// # Errors
    /// [`HubError::Serve`] if the records cannot be read.
    pub async fn metrics(&self) -> Result<String, HubError> {
        families(self).await.map_err(|error| HubError::Serve(std::io::Error::other(error)))
    }
}

async fn show(State(hub): State<Hub>) -> Result<Response, Refusal> {
    let text = format!("{}# EOF\n", families(&hub).await?);
    Ok(([(CONTENT_TYPE, OPENMETRICS)], text).into_response())
}

/// All families, without the end of the text.
async fn families(hub: &Hub) -> Result<String, Error> {
    let figures = figures::all(hub.database()).await?;
    let mut problems: Vec<&str> = findings::all(hub.database()).await?.iter().map(|finding| finding.code).collect();
    problems.dedup();
    let mut text = Exposition::default();
    requests(&mut text, hub);
    contents(&mut text, &figures);
    let names: Vec<(String, u64)> = problems.iter().map(|name| (format!("{{problem=\"{name}\"}}"), 1)).collect();
    text.family("masv_hub_problem", "gauge", "1 for each problem that needs the operator", &names);
    let version = format!("{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
    text.family("masv_hub_build_info", "gauge", "The version of the hub", &[(version, 1)]);
    Ok(text.0)
}

fn requests(text: &mut Exposition, hub: &Hub) {
    let traffic = &hub.server.traffic;
    let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let answers: Vec<(String, u64)> =
        (1..6).map(|class| (format!("{{status=\"{class}xx\"}}"), read(&traffic.answers[class]))).collect();
    text.family("masv_hub_requests", "counter", "Answered requests by the class of their status", &answers);
    let bytes = [("{direction=\"in\"}", &traffic.bytes_in), ("{direction=\"out\"}", &traffic.bytes_out)];
    let bytes: Vec<(String, u64)> = bytes.map(|(label, count)| (label.to_owned(), read(count))).into();
    text.family("masv_hub_body_bytes", "counter", "Bytes of bodies, without those of a bucket", &bytes);
    let known = traffic.refused.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let refused: Vec<(String, u64)> = LIMITS
        .iter()
        .map(|kind| kind.as_str())
        .map(|kind| (format!("{{limit=\"{kind}\"}}"), known.get(kind).copied().unwrap_or_default()))
        .collect();
    text.family("masv_hub_refused", "counter", "Requests refused by a limit, by its word", &refused);
    let connections = [(String::new(), hub.server.connection_count() as u64)];
    text.family("masv_hub_connections", "gauge", "Open connections", &connections);
    let most = [(String::new(), hub.context.config.max_connections as u64)];
    text.family("masv_hub_connections_max", "gauge", "Connections that can be open at a time", &most);
}

fn contents(text: &mut Exposition, figures: &Figures) {
    let of = |state: &str| format!("{{state=\"{state}\"}}");
    let counts: Vec<_> = figures.packages.iter().map(|(state, amount)| (of(state), amount.count)).collect();
    text.family("masv_hub_packages", "gauge", "Packages by state", &counts);
    let bytes: Vec<_> = figures.packages.iter().map(|(state, amount)| (of(state), amount.bytes)).collect();
    text.family("masv_hub_stored_bytes", "gauge", "Bytes of complete files by the state of their package", &bytes);
    let one = |value: u64| [(String::new(), value)];
    text.family("masv_hub_reserved_bytes", "gauge", "Bytes that count towards quotas", &one(figures.reserved));
    text.family("masv_hub_trash_packages", "gauge", "Packages in the trash", &one(figures.trash.count));
    text.family("masv_hub_trash_bytes", "gauge", "Bytes of packages in the trash", &one(figures.trash.bytes));
    text.family("masv_hub_removals", "gauge", "Packages whose content is to be removed", &one(figures.removals));
    let downloads = [(of("started"), figures.started), (of("complete"), figures.complete)];
    text.family("masv_hub_downloads", "gauge", "Downloads of the last 400 days by state", &downloads);
    let queues = [("mail", figures.mails), ("webhook", figures.calls)];
    let each = |value: fn(&Owed) -> u64| -> Vec<(String, u64)> {
        queues.iter().map(|(kind, owed)| (format!("{{kind=\"{kind}\"}}"), value(owed))).collect()
    };
    let help = "Mails and webhook calls that are to be made";
    text.family("masv_hub_outbox_pending", "gauge", help, &each(|owed| owed.pending));
    let help = "Mails and webhook calls that were given up";
    text.family("masv_hub_outbox_given_up", "gauge", help, &each(|owed| owed.given_up));
    let now = now();
    let lags: Vec<_> = queues.iter().map(|(kind, owed)| (format!("{{kind=\"{kind}\"}}"), owed.lag(now))).collect();
    text.family("masv_hub_outbox_lag_seconds", "gauge", "How long the longest due of them has been due", &lags);
}

/// Text in the OpenMetrics format. All labels are words of this program.
#[derive(Default)]
struct Exposition(String);

impl Exposition {
    fn family<V: Display>(&mut self, name: &str, kind: &str, help: &str, values: &[(String, V)]) {
        let total = if kind == "counter" { "_total" } else { "" };
        // Writing into a text does not fail.
        let _ = writeln!(self.0, "# TYPE {name} {kind}\n# HELP {name} {help}");
        for (labels, value) in values {
            let _ = writeln!(self.0, "{name}{total}{labels} {value}");
        }
    }
}
