//! Everything in a rule about timing: readiness, packaging, schedule, finalizing.

use std::time::Duration;

use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;

use super::super::cron_text::quartz_days;
use super::super::fields::{At, Fields};
use super::super::pattern::Patterns;
use super::super::reader::{Reader, example};
use super::super::schedule::{Moments, Schedule, Window, Windows, day_name};
use super::super::schema_table::{FINALIZE, PACKAGE, READY, SCHEDULE};
use super::super::settings::{Finalize, FinalizeWhen, Packaging, Per, Ready};
use super::super::yaml::Value;

const PER: [(&str, Per); 3] = [("file", Per::File), ("folder", Per::Folder), ("batch", Per::Batch)];

/// The default quiet time of folders and batches.
const QUIET: Duration = Duration::from_secs(30);
/// The default maximum wait of a batch.
const MAX_WAIT: Duration = Duration::from_secs(15 * 60);
/// The default maximum number of files in a package.
const MAX_FILES: u64 = 10_000;

pub(super) fn packaging(at: Option<At<'_>>, reader: &Reader<'_>) -> Option<Packaging> {
    let preset = |per| Packaging {
        per,
        quiet: if per == Per::File { Duration::ZERO } else { QUIET },
        max_wait: MAX_WAIT,
        min_files: 1,
        max_files: MAX_FILES,
        max_bytes: None,
    };
    let Some(at) = at else { return Some(preset(Per::Batch)) };
    if !at.is_map() {
        return reader.choice(&at, &PER).map(preset);
    }
    let fields = reader.fields(&at, PACKAGE)?;
    let per = fields.or("per", Per::Batch, |at| reader.choice(at, &PER));
    let preset = preset(per.unwrap_or(Per::Batch));
    let quiet = fields.or("quiet", preset.quiet, |at| reader.duration(at));
    let max_wait = fields.or("max_wait", preset.max_wait, |at| reader.interval(at));
    let min_files = fields.or("min_files", preset.min_files, |at| reader.whole(at));
    let max_files = fields.or("max_files", preset.max_files, |at| reader.whole(at));
    let max_bytes = fields.maybe("max_bytes", |at| reader.size(at));
    let read = Packaging {
        per: per?,
        quiet: quiet?,
        max_wait: max_wait?,
        min_files: min_files?,
        max_files: max_files?,
        max_bytes: max_bytes?,
    };
    if read.min_files > read.max_files {
        reader.error(&at, "`min_files` is greater than `max_files`: no package could ever be created", None);
        return None;
    }
    warn_without_effect(&fields, read.per, reader);
    Some(read)
}

fn warn_without_effect(fields: &Fields<'_, '_>, per: Per, reader: &Reader<'_>) {
    let idle: &[&str] = match per {
        Per::File => &["quiet", "max_wait", "min_files", "max_files", "max_bytes"],
        Per::Folder => &["max_wait", "min_files", "max_files", "max_bytes"],
        Per::Batch => &[],
    };
    for (name, at) in fields.present().filter(|(name, _)| idle.contains(name)) {
        let help = "remove it, or package by `batch`".to_owned();
        reader.warn(at, format!("`{name}` has no effect on this kind of package"), Some(help));
    }
}

pub(super) fn ready(at: &At<'_>, reader: &Reader<'_>) -> Option<Ready> {
    if !at.is_map() {
        return reader.choice(at, &[("settled", ())]).map(|()| Ready::Settled);
    }
    let fields = reader.fields(at, READY)?;
    let unlisted = fields.optional("unlisted");
    let sends_unlisted = match &unlisted {
        Some(at) => reader.choice(at, &[("wait", false), ("send", true)])?,
        None => false,
    };
    match (fields.optional("marker"), fields.optional("manifest")) {
        (Some(_), None) if unlisted.is_some() => {
            let help = "remove it, or use `manifest` instead of `marker`".to_owned();
            reader.error(at, "`unlisted` requires `manifest`", Some(help));
            None
        }
        (Some(marker), None) => file_name(&marker, reader).map(|name| Ready::Marker { name }),
        (None, Some(manifest)) => {
            let texts = globs(&manifest, reader)?;
            Some(Ready::Manifest { patterns: Patterns::new(texts.iter().map(String::as_str), true), sends_unlisted })
        }
        (None, None) if fields.has_slips() => None,
        _ => {
            reader.error(at, "expected either `marker` or `manifest`", example(at));
            None
        }
    }
}

/// A list of glob patterns, each compiled to validate it.
pub(super) fn globs(at: &At<'_>, reader: &Reader<'_>) -> Option<Vec<String>> {
    let texts = reader.texts(at)?;
    let mut good = true;
    for (item, text) in at.items().iter().zip(&texts) {
        if let Err(why) = Patterns::check(text) {
            let help =
                "globs support `*`, `**`, `?`, `[a-z]` and `{one,two}`; a backslash escapes a character".to_owned();
            reader.error(item, format!("bad pattern `{text}`: {why}"), Some(help));
            good = false;
        }
    }
    good.then_some(texts)
}

/// A name without a folder.
fn file_name(at: &At<'_>, reader: &Reader<'_>) -> Option<String> {
    let text = reader.text(at)?;
    if text.contains(['/', '\0']) || text == "." || text == ".." {
        reader.error(at, format!("expected a file name, found `{text}`"), example(at));
        return None;
    }
    Some(text)
}

pub(super) fn schedule(at: &At<'_>, zone: &TimeZone, reader: &Reader<'_>) -> Option<Schedule> {
    if at.text().is_some_and(|text| text == "always") {
        return Some(Schedule::Always);
    }
    let items = at.items();
    let windows = items.iter().filter(|item| item.is_map()).count();
    if windows == 0 {
        return moments(at, zone, reader).map(Schedule::Moments);
    }
    if windows < items.len() {
        reader.error(at, "expected either cron expressions or windows, found both", None);
        return None;
    }
    let read: Vec<Option<Window>> = items.iter().map(|item| window(item, reader)).collect();
    let read: Option<Vec<Window>> = read.into_iter().collect();
    Some(Schedule::Windows(Windows::new(read?, zone)))
}

pub(super) fn moments(at: &At<'_>, zone: &TimeZone, reader: &Reader<'_>) -> Option<Moments> {
    let texts = reader.texts(at)?;
    let expressions: Vec<&str> = texts.iter().map(String::as_str).collect();
    if expressions.is_empty() {
        let help = "for example \"0 18 * * mon-fri\"".to_owned();
        reader.error(at, "expected at least one cron expression", Some(help));
        return None;
    }
    match Moments::new(&expressions, zone) {
        Ok(moments) => {
            for (item, text) in at.items().iter().zip(&expressions) {
                let Some(days) = quartz_days(text) else { continue };
                let message = format!("the days `{days}` are counted from Sunday as 0; Quartz counts from Sunday as 1");
                reader.warn(item, message, Some("write days by name, like `fri#3` or `friL`".to_owned()));
            }
            Some(moments)
        }
        Err((index, why)) => {
            let items = at.items();
            let text = expressions.get(index).copied().unwrap_or_default();
            let help = match time(text) {
                Some(time) => format!("for every day at that time: \"{} {} * * *\"", time.minute(), time.hour()),
                None => "minute hour day month weekday, like \"0 18 * * mon-fri\"; six fields begin with seconds; \
                         or @hourly, @daily, @weekly, @monthly"
                    .to_owned(),
            };
            let message = format!("bad cron expression `{text}`: {why}");
            reader.error(items.get(index).unwrap_or(at), message, Some(help));
            None
        }
    }
}

fn window(at: &At<'_>, reader: &Reader<'_>) -> Option<Window> {
    let fields = reader.fields(at, SCHEDULE)?;
    let between = fields.required("between").and_then(|at| {
        let text = reader.text(&at)?;
        let times = text.split_once('-').and_then(|(from, to)| Some((time(from)?, time(to)?)));
        if times.is_none() {
            let help = "two times of the day: \"22:00-06:00\"".to_owned();
            reader.error(&at, format!("expected a window, found `{text}`"), Some(help));
        }
        if times.is_some_and(|(from, to)| from == to) && !text.trim_end().ends_with("24:00") {
            let help = "for the whole day write \"00:00-24:00\"".to_owned();
            reader.warn(
                &at,
                format!("the window `{text}` ends when it begins, and lasts until the next day"),
                Some(help),
            );
        }
        times
    });
    let every: Vec<Weekday> = week().collect();
    let days = fields.or("days", every, |at| days(at, reader));
    let ((from, to), days) = (between?, days?);
    Some(Window { from, to, days })
}

fn time(text: &str) -> Option<Time> {
    let (hour, minute) = text.trim().split_once(':')?;
    let number = |text: &str| {
        let digits = !text.is_empty() && text.len() <= 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<i8>().ok()).flatten()
    };
    match (number(hour)?, number(minute)?) {
        (24, 0) => Some(Time::midnight()),
        (hour, minute) => Time::new(hour, minute, 0, 0).ok(),
    }
}

fn week() -> impl Iterator<Item = Weekday> {
    Weekday::Monday.cycle_forward().take(7)
}

fn days(at: &At<'_>, reader: &Reader<'_>) -> Option<Vec<Weekday>> {
    let texts = reader.texts(at)?;
    let mut chosen = Vec::new();
    for part in texts.iter().flat_map(|text| text.split(',')).map(str::trim) {
        let ends = part.split_once('-').unwrap_or((part, part));
        let (Some(from), Some(to)) = (day(ends.0), day(ends.1)) else {
            let help = "the days are mon, tue, wed, thu, fri, sat, sun, and ranges like mon-fri".to_owned();
            reader.error(at, format!("`{part}` is not a day of the week"), Some(help));
            return None;
        };
        let length = usize::try_from(to.since(from).rem_euclid(7)).unwrap_or(0);
        chosen.extend(from.cycle_forward().take(length + 1));
    }
    let days: Vec<Weekday> = week().filter(|day| chosen.contains(day)).collect();
    if days.is_empty() || matches!(&at.node.value, Value::List(items) if items.is_empty()) {
        reader.error(at, "expected at least one day", example(at));
        return None;
    }
    Some(days)
}

fn day(text: &str) -> Option<Weekday> {
    let text = text.trim().to_lowercase();
    week().find(|day| text.len() >= 3 && day_in_full(*day).starts_with(&text) && text.starts_with(day_name(*day)))
}

fn day_in_full(day: Weekday) -> &'static str {
    match day {
        Weekday::Monday => "monday",
        Weekday::Tuesday => "tuesday",
        Weekday::Wednesday => "wednesday",
        Weekday::Thursday => "thursday",
        Weekday::Friday => "friday",
        Weekday::Saturday => "saturday",
        Weekday::Sunday => "sunday",
    }
}

pub(super) fn finalize(at: &At<'_>, zone: &TimeZone, reader: &Reader<'_>) -> Option<Finalize> {
    if !at.is_map() {
        let named = reader.choice(at, &[("auto", false), ("manual", true)])?;
        return Some(if named { Finalize::Manual } else { Finalize::Auto });
    }
    let fields = reader.fields(at, FINALIZE)?;
    if fields.present().next().is_none() && !fields.has_slips() {
        reader.error(at, "expected at least one condition", example(at));
        return None;
    }
    let quiet = fields.maybe("quiet", |at| reader.interval(at));
    let moment = fields.maybe("at", |at| moments(at, zone, reader));
    let marker = fields.maybe("marker", |at| file_name(at, reader));
    let files = fields.maybe("files", |at| reader.whole(at));
    let bytes = fields.maybe("bytes", |at| reader.size(at));
    Some(Finalize::Open(FinalizeWhen { quiet: quiet?, at: moment?, marker: marker?, files: files?, bytes: bytes? }))
}
