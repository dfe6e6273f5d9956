//! The bandwidth limit: how many bytes per second all workers together may transfer, by a weekly schedule.
//!
//! A token bucket with a small bucket: unused bandwidth is soon lost, so there is no burst after idling. The bucket
//! ([`Bucket`]) and the schedule ([`RateLimit::at`]) are pure; [`Throttle`] adds the clock and the waiting.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::civil::{Time, Weekday};
use jiff::{Timestamp, Zoned};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::model::Setting;

/// How much may pass at once after idling: this long at the full rate.
const BURST: Duration = Duration::from_millis(100);
/// The lowest limit, in bytes per second.
const SLOWEST: u64 = 16 << 10;
/// A large block at a low rate would make all others wait long, so it is cut into pieces that pass in this time,
const PIECE: Duration = Duration::from_millis(50);
/// but not into pieces smaller than this, in bytes.
const SMALLEST_PIECE: u64 = 4 << 10;
/// How often the schedule is checked.
const SCHEDULE_LOOK: Duration = Duration::from_secs(20);

/// A limit and when it applies.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    /// Whether there is a limit.
    pub enabled: bool,
    /// Bytes per second; less than 16 KiB counts as 16 KiB, so that a slow connection is not mistaken for a dead one.
    pub rate_limit_bps: u64,
    /// Whether it applies only at the times of the schedule.
    #[serde(default)]
    pub schedule_enabled: bool,
    /// When it applies, in the machine's own time zone.
    #[serde(default)]
    pub schedule: Week,
}

/// The limit shared by all uploads, as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UploadRateLimit(pub RateLimit);

impl Setting for UploadRateLimit {
    const KEY: &'static str = "upload_rate_limit";
}

/// The limit shared by all downloads, as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DownloadRateLimit(pub RateLimit);

impl Setting for DownloadRateLimit {
    const KEY: &'static str = "download_rate_limit";
}

/// A time span for each day of the week.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "the days of the week")]
pub struct Week {
    pub mon: Span,
    pub tue: Span,
    pub wed: Span,
    pub thu: Span,
    pub fri: Span,
    pub sat: Span,
    pub sun: Span,
}

/// A span on one day. An end that is not after the start is on the next day; equal times mean all day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Span {
    /// Whether the limit applies on this day.
    pub enabled: bool,
    /// `HH:MM`.
    #[serde(with = "clock")]
    #[schemars(with = "String", regex(pattern = r"^\d\d:\d\d$"))]
    pub start: Time,
    /// `HH:MM`.
    #[serde(with = "clock")]
    #[schemars(with = "String", regex(pattern = r"^\d\d:\d\d$"))]
    pub end: Time,
}

impl Default for Span {
    fn default() -> Self {
        Self { enabled: false, start: Time::midnight(), end: Time::midnight() }
    }
}

mod clock {
    //! Times of day as `HH:MM`.

    use jiff::civil::Time;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(time: &Time, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&time.strftime("%H:%M"))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Time, D::Error> {
        let text = String::deserialize(deserializer)?;
        Time::strptime("%H:%M", &text)
            .map_err(|_| D::Error::custom(format!("{text:?} is not a valid time of day, such as 22:30")))
    }
}

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

impl std::str::FromStr for Week {
    type Err = String;

    /// Reads `mon-fri=08:00-18:00,sat=22:00-06:00`; other days have no limit.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut week = Self::default();
        for span in text.split(',') {
            let wrong = || format!("{span:?} is not a valid span, such as mon-fri=08:00-18:00");
            let (days, times) = span.trim().split_once('=').ok_or_else(wrong)?;
            let (start, end) = times.split_once('-').ok_or_else(wrong)?;
            let time = |text: &str| Time::strptime("%H:%M", text.trim()).map_err(|_| wrong());
            let span = Span { enabled: true, start: time(start)?, end: time(end)? };
            let day = |name: &str| {
                let name = name.trim().to_ascii_lowercase();
                DAYS.iter()
                    .position(|day| *day == name)
                    .ok_or_else(|| format!("{name:?} is not a day: the days are {}", DAYS.join(", ")))
            };
            let (first, last) = days.split_once('-').unwrap_or((days, days));
            let (first, last) = (day(first)?, day(last)?);
            for number in first..=if last < first { last + DAYS.len() } else { last } {
                *week.days_mut()[number % DAYS.len()] = span;
            }
        }
        Ok(week)
    }
}

impl std::fmt::Display for Week {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let days = [self.mon, self.tue, self.wed, self.thu, self.fri, self.sat, self.sun];
        let spans: Vec<String> = DAYS
            .iter()
            .zip(days)
            .filter(|(_, span)| span.enabled)
            .map(|(day, span)| format!("{day}={}-{}", span.start.strftime("%H:%M"), span.end.strftime("%H:%M")))
            .collect();
        formatter.write_str(if spans.is_empty() { "no time" } else { "" })?;
        formatter.write_str(&spans.join(","))
    }
}

impl Week {
    fn days_mut(&mut self) -> [&mut Span; 7] {
        [&mut self.mon, &mut self.tue, &mut self.wed, &mut self.thu, &mut self.fri, &mut self.sat, &mut self.sun]
    }

    fn day(&self, day: Weekday) -> Span {
        match day {
            Weekday::Monday => self.mon,
            Weekday::Tuesday => self.tue,
            Weekday::Wednesday => self.wed,
            Weekday::Thursday => self.thu,
            Weekday::Friday => self.fri,
            Weekday::Saturday => self.sat,
            Weekday::Sunday => self.sun,
        }
    }

    fn covers(&self, day: Weekday, time: Time) -> bool {
        let today = self.day(day);
        let yesterday = self.day(day.previous());
        let now = today.enabled
            && if today.start < today.end { (today.start..today.end).contains(&time) } else { time >= today.start };
        now || (yesterday.enabled && yesterday.end <= yesterday.start && time < yesterday.end)
    }
}

impl RateLimit {
    /// The limit that applies at `now`, bytes per second; `None` for none.
    #[must_use]
    pub fn at(&self, now: &Zoned) -> Option<u64> {
        let applies = self.enabled && (!self.schedule_enabled || self.schedule.covers(now.weekday(), now.time()));
        applies.then_some(self.rate_limit_bps.max(SLOWEST))
    }
}

/// A token bucket that may be overdrawn: a caller waits afterwards for the missing tokens, so a block larger
/// than the bucket still passes.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    /// Bytes per second.
    rate: u64,
    /// Bytes that may pass at once; negative while in debt.
    tokens: f64,
    filled: Duration,
}

impl Bucket {
    fn new(rate: u64, now: Duration) -> Self {
        Self { rate, tokens: 0.0, filled: now }
    }

    /// Takes `bytes` at `now`, and says how long to wait before the next may be taken.
    fn take(&mut self, bytes: u64, now: Duration) -> Duration {
        let rate = self.rate as f64;
        let elapsed = now.saturating_sub(self.filled).as_secs_f64();
        self.tokens = (self.tokens + elapsed * rate).min(rate * BURST.as_secs_f64());
        self.filled = now;
        self.tokens -= bytes as f64;
        if self.tokens >= 0.0 { Duration::ZERO } else { Duration::from_secs_f64((-self.tokens / rate).min(3600.0)) }
    }
}

/// One direction's limit, shared by all its workers.
#[derive(Debug, Clone, Default)]
pub struct Throttle {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    limit: RateLimit,
    bucket: Option<Bucket>,
    looked: Option<Instant>,
    started: Option<Instant>,
}

impl Throttle {
    /// Applies `limit` from now on, also to callers that are already waiting.
    pub fn set(&self, limit: RateLimit) {
        let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.limit = limit;
        state.bucket = None;
        state.looked = None;
        drop(state);
        self.shared.changed.notify_waiters();
    }

    /// The limit in force.
    #[must_use]
    pub fn limit(&self) -> RateLimit {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner).limit.clone()
    }

    /// The maximum that one of several sharers should take at once, so that each of many makes progress every few
    /// seconds, and no connection is mistaken for a dead one.
    #[must_use]
    pub fn piece(&self) -> u64 {
        let state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        let rate = state.bucket.map(|bucket| bucket.rate);
        rate.map_or(u64::MAX, |rate| ((rate as f64 * PIECE.as_secs_f64()) as u64).max(SMALLEST_PIECE))
    }

    /// Takes `bytes`, and waits as long as the limit requires.
    pub async fn take(&self, bytes: u64) {
        let wait = self.reserve(bytes);
        if !wait.is_zero() {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.shared.changed.notified() => {}
            }
        }
    }

    fn reserve(&self, bytes: u64) -> Duration {
        let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.limit.enabled {
            return Duration::ZERO;
        }
        let now = Instant::now();
        let started = *state.started.get_or_insert(now);
        let elapsed = now.duration_since(started);
        if state.looked.is_none_or(|looked| now.duration_since(looked) >= SCHEDULE_LOOK) {
            state.looked = Some(now);
            let rate = state.limit.at(&Timestamp::now().to_zoned(jiff::tz::TimeZone::system()));
            if rate != state.bucket.map(|bucket| bucket.rate) {
                state.bucket = rate.map(|rate| Bucket::new(rate, elapsed));
            }
        }
        state.bucket.as_mut().map_or(Duration::ZERO, |bucket| bucket.take(bytes, elapsed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: u64 = 256 << 10;

    /// Bytes through in `seconds` by workers that each take block after block.
    fn moved(bucket: &mut Bucket, from: f64, seconds: f64, workers: usize) -> u64 {
        let mut free = vec![from; workers];
        let mut bytes = 0;
        loop {
            let next = free.iter_mut().min_by(|a, b| a.total_cmp(b)).unwrap();
            if *next >= from + seconds {
                return bytes;
            }
            bytes += BLOCK;
            *next += bucket.take(BLOCK, Duration::from_secs_f64(*next)).as_secs_f64().max(1e-6);
        }
    }

    #[test]
    fn the_rate_is_exact_within_five_percent_over_ten_seconds() {
        for rate in [1_000_000, 12_500_000, 125_000_000] {
            for workers in [1, 4, 16] {
                let mut bucket = Bucket::new(rate, Duration::ZERO);
                let bytes = moved(&mut bucket, 0.0, 10.0, workers);
                let blocks_ahead = (workers as u64) * BLOCK;
                let wanted = rate * 10;
                assert!(bytes + wanted / 20 + BLOCK >= wanted, "{rate} x {workers}: {bytes}");
                assert!(bytes <= wanted + wanted / 20 + blocks_ahead, "{rate} x {workers}: {bytes}");
            }
        }
    }

    #[test]
    fn there_is_no_burst_after_idling() {
        let mut bucket = Bucket::new(10_000_000, Duration::ZERO);
        moved(&mut bucket, 0.0, 1.0, 4);
        let bytes = moved(&mut bucket, 3600.0, 1.0, 4);
        assert!(bytes <= 10_000_000 + 1_000_000 + 4 * BLOCK, "{bytes}");
    }

    #[test]
    fn the_schedule_covers_days_and_nights() {
        let span =
            |start: &str, end: &str| Span { enabled: true, start: start.parse().unwrap(), end: end.parse().unwrap() };
        let schedule = Week { mon: span("09:00", "17:00"), tue: span("22:00", "06:00"), ..Week::default() };
        let limit = RateLimit { enabled: true, rate_limit_bps: 5, schedule_enabled: true, schedule };
        let at = |when: &str| limit.at(&when.parse().unwrap()).is_some();
        // 2026-11-23 is a Monday.
        assert!(at("2026-11-23T09:00[Europe/Berlin]") && at("2026-11-23T16:59[Europe/Berlin]"));
        assert!(!at("2026-11-23T17:00[Europe/Berlin]") && !at("2026-11-24T09:30[Europe/Berlin]"));
        assert!(at("2026-11-24T22:00[Europe/Berlin]") && at("2026-11-25T05:59[Europe/Berlin]"));
        assert!(!at("2026-11-25T06:00[Europe/Berlin]") && !at("2026-11-25T23:00[Europe/Berlin]"));
    }

    #[test]
    fn a_schedule_is_written_in_one_line() {
        let week: Week = "mon-fri=08:00-18:00, SAT=22:00-06:00".parse().unwrap();
        let span =
            |start: &str, end: &str| Span { enabled: true, start: start.parse().unwrap(), end: end.parse().unwrap() };
        assert_eq!((week.fri, week.sat, week.sun.enabled), (span("08:00", "18:00"), span("22:00", "06:00"), false));
        assert_eq!(week.to_string().parse::<Week>().unwrap(), week);
        let weekend: Week = "sat-mon=00:00-00:00".parse().unwrap();
        assert!(weekend.sun.enabled && weekend.mon.enabled && !weekend.tue.enabled);
        for bad in ["", "mon", "mon=8", "monday=08:00-09:00", "mon=08:00-25:00", "mon-fri=08:00-18:00,"] {
            assert!(bad.parse::<Week>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_bad_time_of_day_is_named() {
        let error = serde_json::from_str::<Span>(r#"{"enabled":true,"start":"25:00","end":"06:00"}"#).unwrap_err();
        assert!(error.to_string().contains("\"25:00\" is not a valid time of day"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_changed_limit_counts_at_once() {
        let throttle = Throttle::default();
        throttle.set(RateLimit { enabled: true, rate_limit_bps: 1, ..RateLimit::default() });
        let waiting = tokio::spawn({
            let throttle = throttle.clone();
            async move { throttle.take(1_000_000).await }
        });
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!waiting.is_finished());
        throttle.set(RateLimit::default());
        waiting.await.unwrap();
    }
}
