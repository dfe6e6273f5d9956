//! When packages may be made.
//!
//! In: moments of time with any zone. Out: moments in the rule's zone, and yes or no. A cron time that a change to
//! summer time skips comes at the next valid instant; a fixed one that the change back repeats comes once.

use cron::Cron;
use cron::errors::CronError;
use cron::parser::{CronParser, Seconds, Year};
use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span, Zoned};

/// When packages may be made.
#[derive(Debug, Clone)]
pub enum Schedule {
    /// At any time.
    Always,
    /// Only at these moments.
    Moments(Moments),
    /// Only inside these windows.
    Windows(Windows),
}

impl Schedule {
    /// Whether a package may be made right now. For moments: whether this very second is one; a caller that looks
    /// less often than every second asks [`Schedule::due`].
    #[must_use]
    pub fn open_at(&self, now: &Zoned) -> bool {
        match self {
            Self::Always => true,
            Self::Moments(moments) => moments.is_one(now),
            Self::Windows(windows) => windows.open_at(now),
        }
    }

    /// Whether packages may be made at `now` by one who looked last at `last`: for moments, whether one of them
    /// lies after `last` and not after `now`; otherwise whether it is open now.
    #[must_use]
    pub fn due(&self, last: &Zoned, now: &Zoned) -> bool {
        match self {
            Self::Moments(moments) => moments.due(last, now),
            _ => self.open_at(now),
        }
    }

    /// The next instant after `now` at which it opens: the next moment, or the next start of a window. `None` for
    /// "always", which never opens because it never closes.
    #[must_use]
    pub fn next_after(&self, now: &Zoned) -> Option<Zoned> {
        match self {
            Self::Always => None,
            Self::Moments(moments) => moments.next_after(now),
            Self::Windows(windows) => windows.next_start(now),
        }
    }

    /// In words.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Always => "at any time".to_owned(),
            Self::Moments(moments) => moments.describe(),
            Self::Windows(windows) => windows.describe(),
        }
    }
}

/// Moments given by cron expressions, in a time zone of their own.
#[derive(Debug, Clone)]
pub struct Moments {
    crons: Vec<Cron>,
    zone: TimeZone,
}

impl Moments {
    /// Reads cron expressions of five fields, or six with seconds first, or `@hourly` and the like.
    pub(super) fn new(expressions: &[&str], zone: &TimeZone) -> Result<Self, (usize, String)> {
        let mut crons = Vec::with_capacity(expressions.len());
        for (index, expression) in expressions.iter().enumerate() {
            crons.push(parse_cron(expression).map_err(|message| (index, message))?);
        }
        Ok(Self { crons, zone: zone.clone() })
    }

    fn is_one(&self, now: &Zoned) -> bool {
        let second = Span::new().nanoseconds(i64::from(now.subsec_nanosecond()) + 1);
        now.checked_sub(second).is_ok_and(|before| self.due(&before, now))
    }

    /// Whether a moment lies after `last` and not after `now`.
    #[must_use]
    pub fn due(&self, last: &Zoned, now: &Zoned) -> bool {
        self.next_after(last).is_some_and(|next| next.timestamp() <= now.timestamp())
    }

    /// The next moment after `now`.
    #[must_use]
    pub fn next_after(&self, now: &Zoned) -> Option<Zoned> {
        let local = now.with_time_zone(self.zone.clone());
        let next = |cron: &Cron| cron.find_next_occurrence(&local, false).ok();
        self.crons.iter().filter_map(next).min_by_key(Zoned::timestamp)
    }

    /// In words.
    #[must_use]
    pub fn describe(&self) -> String {
        let words: Vec<String> =
            self.crons.iter().map(|cron| cron.describe().trim_end_matches('.').to_owned()).collect();
        format!("{} ({})", words.join("; or "), zone_name(&self.zone))
    }
}

fn parse_cron(expression: &str) -> Result<Cron, String> {
    let fields = expression.split_whitespace().count();
    if !expression.trim().starts_with('@') && !(5..=6).contains(&fields) {
        let plural = if fields == 1 { "" } else { "s" };
        return Err(format!("it has {fields} field{plural}, not 5 or 6"));
    }
    let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
    let cron = parser.parse(expression.trim()).map_err(|error| match error {
        CronError::InvalidPattern(_) => "it is no known name".to_owned(),
        CronError::ComponentError(why) | CronError::IllegalCharacters(why) => why.trim_end_matches('.').to_lowercase(),
        other => other.to_string().trim_end_matches('.').to_owned(),
    })?;
    // An expression may be well-formed and yet name no day of any year, like the 31st of February.
    match cron.find_next_occurrence(&Zoned::new(jiff::Timestamp::UNIX_EPOCH, TimeZone::UTC), false) {
        Ok(_) => Ok(cron),
        Err(_) => Err("it never comes".to_owned()),
    }
}

fn zone_name(zone: &TimeZone) -> String {
    zone.iana_name().map_or_else(|| "system time zone".to_owned(), str::to_owned)
}

/// Windows of the day, in a time zone of their own.
#[derive(Debug, Clone)]
pub struct Windows {
    windows: Vec<Window>,
    zone: TimeZone,
}

/// One window: from a time of the day to another, on some days of the week.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Window {
    /// Begins; belongs to the window.
    pub from: Time,
    /// Ends; belongs no more to it. At or before `from` is that time of the next day.
    pub to: Time,
    /// Days on which it begins.
    pub days: Vec<Weekday>,
}

impl Windows {
    pub(super) fn new(windows: Vec<Window>, zone: &TimeZone) -> Self {
        Self { windows, zone: zone.clone() }
    }

    fn open_at(&self, now: &Zoned) -> bool {
        let local = now.with_time_zone(self.zone.clone());
        let (time, today) = (local.time(), local.weekday());
        let begins = |window: &Window, day| window.days.contains(&day);
        self.windows.iter().any(|window| {
            if window.from < window.to {
                begins(window, today) && window.from <= time && time < window.to
            } else {
                (begins(window, today) && window.from <= time) || (begins(window, today.previous()) && time < window.to)
            }
        })
    }

    fn next_start(&self, now: &Zoned) -> Option<Zoned> {
        let local = now.with_time_zone(self.zone.clone());
        let starts = self.windows.iter().filter_map(|window| {
            (0..=8).find_map(|days| {
                let date = local.date().checked_add(Span::new().days(days)).ok()?;
                let start = date.to_datetime(window.from).to_zoned(self.zone.clone()).ok()?;
                (window.days.contains(&date.weekday()) && start.timestamp() > now.timestamp()).then_some(start)
            })
        });
        starts.min_by_key(Zoned::timestamp)
    }

    fn describe(&self) -> String {
        let words: Vec<String> = self
            .windows
            .iter()
            .map(|window| {
                let days = if window.days.len() == 7 { "every day".to_owned() } else { days_in_words(&window.days) };
                format!("{} from {} to {}", days, window.from.strftime("%H:%M"), window.to.strftime("%H:%M"))
            })
            .collect();
        format!("{} ({})", words.join("; or "), zone_name(&self.zone))
    }
}

fn days_in_words(days: &[Weekday]) -> String {
    let names: Vec<&str> = days.iter().map(|day| day_name(*day)).collect();
    names.join(", ")
}

/// The name of a day as rules write it.
pub(super) fn day_name(day: Weekday) -> &'static str {
    match day {
        Weekday::Monday => "mon",
        Weekday::Tuesday => "tue",
        Weekday::Wednesday => "wed",
        Weekday::Thursday => "thu",
        Weekday::Friday => "fri",
        Weekday::Saturday => "sat",
        Weekday::Sunday => "sun",
    }
}
