//! `/metrics`, for Prometheus and compatible systems. The names, units and types are a public contract, listed in
//! docs/monitoring.md.
//!
//! **In**: the engine's counters, the rules' status, the store, the event log as it grows. **Out**: text in the
//! OpenMetrics format. Nearly everything is read on request; only the event log is followed
//! ([`follow`]), because missed events cannot be counted later.
//!
//! Must never show: names of files or packages, addresses, or anything that a recipient or a stranger should not see.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use axum::extract::State as Extract;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::ApiState;
use super::about::Delivery;
use super::error::ApiError;
use super::openapi::{Answer, Operation, Schemas};
use crate::engine::{Cause, Counters, LimitedBy, LinkFigures};
use crate::model::State;
use crate::store::{Gauges, Store};
use crate::watch::{RuleState, RuleStatus};
use masv_platform::ProcessUsage;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// From a millisecond to a minute and more.
const LAG_BUCKETS: [f64; 9] = [0.001, 0.005, 0.025, 0.1, 0.5, 2.0, 10.0, 60.0, 600.0];
/// Events read at once.
const PAGE: u32 = 256;

/// Ends a text of metrics.
const END: &str = "# EOF";

type Labels = Vec<(&'static str, String)>;

/// Counters over the event log.
#[derive(Debug)]
pub struct EventCounts {
    /// Events by their kind, such as `upload.complete`.
    kinds: Mutex<BTreeMap<String, u64>>,
    /// From an event's commit until it was read.
    lag: Histogram,
}

impl Default for EventCounts {
    fn default() -> Self {
        Self { kinds: Mutex::default(), lag: Histogram::new(LAG_BUCKETS) }
    }
}

impl EventCounts {
    fn see(&self, kind: String, lag: f64) {
        *self.kinds.lock().unwrap_or_else(PoisonError::into_inner).entry(kind).or_default() += 1;
        self.lag.observe(lag);
    }
}

/// Counts events as they are committed, until `stop`.
pub async fn follow(store: Store, mut last: i64, counts: &EventCounts, stop: CancellationToken) {
    let mut changes = store.changes();
    loop {
        changes.mark_unchanged();
        match store.events_after(last, PAGE).await {
            Ok(events) if events.is_empty() => {}
            Ok(events) => {
                for event in events {
                    last = event.id;
                    counts.see(event.kind, seconds_since(event.at));
                }
                continue;
            }
            Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "the event log cannot be read"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            changed = changes.changed() => if changed.is_err() { return },
        }
    }
}

/// Text with its content type.
pub(super) struct OpenMetrics(String);

impl IntoResponse for OpenMetrics {
    fn into_response(self) -> Response {
        ([(CONTENT_TYPE, OPENMETRICS)], self.0).into_response()
    }
}

impl Answer for OpenMetrics {
    fn describe(operation: &mut Operation, _: &mut Schemas) {
        operation.answers(200, Some(("application/openmetrics-text", json!({ "type": "string" }))));
    }
}

pub(super) async fn show(Extract(state): Extract<ApiState>) -> Result<OpenMetrics, ApiError> {
    let gauges = state.queue.store().gauges().await?;
    let process = tokio::task::spawn_blocking(ProcessUsage::look).await.unwrap_or_default();
    let mut all = Exposition::default();
    about(&mut all, &state);
    transfers(&mut all, &state, &gauges);
    rules(&mut all, &state.watcher.status());
    let refused = f64::from(u8::from(state.rules_problem.borrow().is_some()));
    let help = "1 while the rules file is not valid and the previous rules stay active";
    all.gauge("masv_rules_file_refused", help, None, refused);
    events(&mut all, &state.events, &gauges);
    of_process(&mut all, &process, &state);
    let mut text = String::new();
    encode(&mut text, &all.registry).map_err(|error| {
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, format!("metrics cannot be written: {error}"))
    })?;
    if let Some(further) = &state.further_metrics {
        text.truncate(text.trim_end().strip_suffix(END).map_or(text.len(), str::len));
        text.push_str(&further().await);
        text.push_str(END);
        text.push('\n');
    }
    Ok(OpenMetrics(text))
}

/// The metrics at one moment.
#[derive(Default)]
struct Exposition {
    registry: Registry,
}

impl Exposition {
    fn gauges(&mut self, name: &str, help: &str, unit: Option<Unit>, values: impl IntoIterator<Item = (Labels, f64)>) {
        let family = Family::<Labels, Gauge<f64, std::sync::atomic::AtomicU64>>::default();
        for (labels, value) in values {
            family.get_or_create(&labels).set(value);
        }
        match unit {
            Some(unit) => self.registry.register_with_unit(name, help, unit, family),
            None => self.registry.register(name, help, family),
        }
    }

    fn gauge(&mut self, name: &str, help: &str, unit: Option<Unit>, value: impl Into<Option<f64>>) {
        self.gauges(name, help, unit, value.into().map(|value| (Labels::new(), value)));
    }

    /// `_total` is added to the name.
    fn counters(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<Unit>,
        values: impl IntoIterator<Item = (Labels, u64)>,
    ) {
        let family = Family::<Labels, Counter>::default();
        for (labels, value) in values {
            family.get_or_create(&labels).inc_by(value);
        }
        match unit {
            Some(unit) => self.registry.register_with_unit(name, help, unit, family),
            None => self.registry.register(name, help, family),
        }
    }
}

fn label(name: &'static str, value: impl Into<String>) -> Labels {
    vec![(name, value.into())]
}

/// 0 if the clock was set back.
fn seconds_since(then: Timestamp) -> f64 {
    Timestamp::now().duration_since(then).as_secs_f64().max(0.0)
}

fn age(oldest: Option<Timestamp>) -> f64 {
    oldest.map_or(0.0, seconds_since)
}

fn as_seconds(at: Timestamp) -> f64 {
    at.as_millisecond() as f64 / 1e3
}

fn about(all: &mut Exposition, state: &ApiState) {
    let version = label("version", env!("CARGO_PKG_VERSION"));
    all.gauges("masv_build_info", "The running version; always 1", None, [(version, 1.0)]);
    let authorised = f64::from(u8::from(state.queue.cloud().is_authorised()));
    all.gauge("masv_cloud_authorised", "Whether a key or session is set for the cloud", None, authorised);
    let limited =
        Delivery::ALL.map(|of| (label("of", of.as_str()), f64::from(u8::from(state.about.limitation(of).is_some()))));
    let help = "1 while deliveries of this kind reach only this machine, or nobody";
    all.gauges("masv_delivery_limited", help, None, limited);
    let free = masv_platform::free_space(&state.about.data_dir).ok().map(|bytes| bytes as f64);
    all.gauge("masv_data_free", "Free space for the data directory", Some(Unit::Bytes), free);
}

fn transfers(all: &mut Exposition, state: &ApiState, gauges: &Gauges) {
    for (name, help, counts) in [
        ("masv_uploads", "Uploads by state", &gauges.uploads),
        ("masv_downloads", "Downloads by state", &gauges.downloads),
    ] {
        let count = |state: State| counts.iter().find(|(there, _)| *there == state).map_or(0, |(_, count)| *count);
        let rows = State::ALL.iter().map(|state| (label("state", state.as_str()), count(*state) as f64));
        all.gauges(name, help, None, rows);
    }
    let directions: [(&str, &Counters, Option<Timestamp>); 2] = [
        ("upload", state.queue.tally(), gauges.oldest_upload),
        ("download", state.downloads.tally(), gauges.oldest_download),
    ];
    let bytes = |count: fn(&Counters) -> u64| {
        directions.map(|(direction, tally, _)| (label("direction", direction), count(tally)))
    };
    let help = "Bytes of files transferred over the network, including retries";
    all.counters("masv_transfer", help, Some(Unit::Bytes), bytes(Counters::moved_bytes));
    let help = "Bytes of files confirmed as arrived";
    all.counters("masv_transfer_confirmed", help, Some(Unit::Bytes), bytes(Counters::confirmed_bytes));
    let retries = directions.iter().flat_map(|(direction, tally, _)| {
        Cause::ALL.map(|cause| {
            (vec![("direction", (*direction).to_owned()), ("cause", cause.as_str().to_owned())], tally.retries(cause))
        })
    });
    all.counters("masv_transfer_retries", "Failed attempts that are retried, by cause", None, retries);
    let help = "Age of the oldest transfer that is not paused and not done";
    let ages = directions.map(|(direction, _, oldest)| (label("direction", direction), age(oldest)));
    all.gauges("masv_queue_oldest_age", help, Some(Unit::Seconds), ages);
    let help = "Bytes of files still to be sent";
    all.gauge("masv_queue_remaining", help, Some(Unit::Bytes), gauges.bytes_to_send as f64);
    let links = [("upload", state.queue.link()), ("download", state.downloads.link())];
    all.gauge("masv_upload_workers", "Maximum number of parts in flight", None, links[0].1.workers as f64);
    all.gauge("masv_upload_workers_busy", "Parts in flight", None, links[0].1.busy as f64);
    let of_links = |read: fn(&LinkFigures) -> Option<f64>| {
        links.iter().filter_map(move |(direction, link)| Some((label("direction", *direction), read(link)?)))
    };
    let help = "Maximum number of parts in flight: as many as bring more, within the setting";
    all.gauges("masv_transfer_workers", help, None, of_links(|link| Some(link.workers as f64)));
    let help = "Parts in flight";
    all.gauges("masv_transfer_workers_busy", help, None, of_links(|link| Some(link.busy as f64)));
    let help = "The shortest way to the cloud and back lately";
    let round_trip = of_links(|link| link.round_trip.map(|trip| trip.as_secs_f64()));
    all.gauges("masv_transfer_round_trip", help, Some(Unit::Seconds), round_trip);
    let help = "Bytes a second when all workers were at work last";
    all.gauges("masv_transfer_goodput", help, None, of_links(|link| Some(link.goodput as f64)));
    let limits = links.iter().flat_map(|(direction, link)| {
        LimitedBy::ALL.map(|by| {
            let labels = vec![("direction", (*direction).to_owned()), ("by", by.as_str().to_owned())];
            (labels, f64::from(u8::from(link.limited_by == by)))
        })
    });
    all.gauges("masv_transfer_limited", "1 for what limits the speed", None, limits);
    let throttled = directions.map(|(direction, tally, _)| (label("direction", direction), tally.throttled()));
    all.counters("masv_transfer_throttled", "How often the cloud asked for fewer requests", None, throttled);
}

const RULE_STATES: [(RuleState, &str); 6] = [
    (RuleState::Starting, "starting"),
    (RuleState::Watching, "watching"),
    (RuleState::Polling, "polling"),
    (RuleState::Offline, "offline"),
    (RuleState::Paused, "paused"),
    (RuleState::Disabled, "disabled"),
];

fn rules(all: &mut Exposition, rules: &[RuleStatus]) {
    let states = rules.iter().flat_map(|rule| {
        RULE_STATES.map(|(state, name)| {
            let labels = vec![("rule", rule.name.clone()), ("state", name.to_owned())];
            (labels, f64::from(u8::from(rule.state == state)))
        })
    });
    all.gauges("masv_rule_state", "1 for the current state of the rule", None, states);
    type Read = fn(&RuleStatus) -> Option<f64>;
    let gauges: [(&str, &str, Option<Unit>, Read); 8] = [
        ("masv_rule_waiting_files", "Files waiting to be sent", None, |rule| Some(rule.waiting_count as f64)),
        ("masv_rule_lag", "How long the oldest waiting file has been waiting", Some(Unit::Seconds), |rule| {
            Some(age(rule.waiting.iter().map(|file| file.since).min()))
        }),
        ("masv_rule_failed_uploads", "Failed uploads of the rule that need attention", None, |rule| {
            Some(rule.failed_uploads as f64)
        }),
        ("masv_rule_unread_paths", "Paths that could not be read", None, |rule| Some(rule.unread.len() as f64)),
        ("masv_rule_failing", "Whether the rule currently has an error", None, |rule| {
            Some(f64::from(u8::from(rule.last_error.as_ref().is_some_and(|error| !error.over))))
        }),
        ("masv_rule_scan_duration", "How long the last full scan of the folder took", Some(Unit::Seconds), |rule| {
            rule.last_scan.as_ref().map(|scan| scan.milliseconds as f64 / 1e3)
        }),
        ("masv_rule_last_scan_timestamp", "When the last full scan ended", Some(Unit::Seconds), |rule| {
            rule.last_scan.as_ref().map(|scan| as_seconds(scan.at))
        }),
        ("masv_rule_files", "Files found by the last full scan", None, |rule| {
            rule.last_scan.as_ref().map(|scan| scan.files as f64)
        }),
    ];
    for (name, help, unit, read) in gauges {
        let values = rules.iter().filter_map(|rule| Some((label("rule", &*rule.name), read(rule)?)));
        all.gauges(name, help, unit, values);
    }
    type Count = fn(&RuleStatus) -> u64;
    let counters: [(&str, &str, Count); 3] = [
        ("masv_rule_packages", "Uploads created by the rule", |rule| rule.made),
        ("masv_rule_looks", "Scans of the folder or parts of it", |rule| rule.looks),
        ("masv_rule_overflows", "Times that the system lost events, which caused a full scan", |rule| rule.overflows),
    ];
    for (name, help, read) in counters {
        all.counters(name, help, None, rules.iter().map(|rule| (label("rule", &*rule.name), read(rule))));
    }
}

fn events(all: &mut Exposition, counts: &EventCounts, gauges: &Gauges) {
    let kinds = counts.kinds.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let kinds = kinds.into_iter().map(|(kind, count)| (label("kind", kind), count));
    all.counters("masv_events", "Events, by kind", None, kinds);
    let help = "Time from an event until listeners are notified";
    all.registry.register_with_unit("masv_event_lag", help, Unit::Seconds, counts.lag.clone());
    let help = "Webhooks, programs and clean-ups in the cloud still to be done";
    all.gauge("masv_outbox_pending", help, None, gauges.errands as f64);
    let oldest = age(gauges.oldest_errand);
    all.gauge("masv_outbox_oldest_age", "Age of the oldest of them", Some(Unit::Seconds), oldest);
    let size = gauges.database_bytes as f64;
    all.gauge("masv_database_size", "Size of the agent's database", Some(Unit::Bytes), size);
}

/// The names that the client libraries of Prometheus have agreed on.
fn of_process(all: &mut Exposition, process: &ProcessUsage, state: &ApiState) {
    let started = as_seconds(state.about.started_at);
    all.gauge("process_start_time", "When the agent was started", Some(Unit::Seconds), started);
    let resident = process.resident.map(|bytes| bytes as f64);
    all.gauge("process_resident_memory", "Memory in use", Some(Unit::Bytes), resident);
    let descriptors = process.descriptors.map(|count| count as f64);
    all.gauge("process_open_fds", "Open files and connections", None, descriptors);
    let limit = process.descriptors_limit.map(|count| count as f64);
    all.gauge("process_max_fds", "Maximum number of open files and connections", None, limit);
    all.gauge("process_threads", "Threads", None, process.threads.map(|count| count as f64));
    if let Some(cpu) = process.cpu {
        let counter = Counter::<f64, std::sync::atomic::AtomicU64>::default();
        counter.inc_by(cpu);
        let help = "Processor time used";
        all.registry.register_with_unit("process_cpu", help, Unit::Seconds, counter);
    }
    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks() as f64;
    all.gauge("masv_tasks", "Tasks of the runtime", None, tasks);
}
