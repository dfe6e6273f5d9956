//! When packages may be created.
//!
//! In: moments of time with any zone. Out: moments in the rule's zone, and yes or no. A cron time that a change to
//! summer time skips comes at the next valid instant; a fixed one that the change back repeats comes once, also in a list.

use cron::Cron;
use cron::errors::CronError;
use cron::parser::{CronParser, Seconds, Year};
use jiff::civil::{DateTime, Time, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Span, Timestamp, Zoned};

use super::cron_text;

/// When packages may be created.
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
    /// Whether a package may be created right now. For moments: whether this very second is one; a caller that checks
    /// less often than every second uses [`Schedule::due`].
    #[must_use]
    pub fn open_at(&self, now: &Zoned) -> bool {
        match self {
            Self::Always => true,
            Self::Moments(moments) => moments.is_one(now),
            Self::Windows(windows) => windows.open_at(now),
        }
    }

    /// Whether packages may be created at `now` if the last check was at `last`: for moments, whether one of them
    /// is after `last` and not after `now`; otherwise whether it is open now.
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

    /// The instants after `now` at which it opens, one after the other.
    pub fn coming(&self, now: &Zoned) -> impl Iterator<Item = Zoned> {
        std::iter::successors(self.next_after(now), |last| self.next_after(last))
    }

    /// When the window that is open at `now` closes; `None` if none is.
    #[must_use]
    pub fn closes_after(&self, now: &Zoned) -> Option<Zoned> {
        match self {
            Self::Windows(windows) => windows.end(now),
            _ => None,
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
    expressions: Vec<Expression>,
    zone: TimeZone,
}

/// One expression.
#[derive(Debug, Clone)]
struct Expression {
    /// As written, for its words.
    whole: Cron,
    /// Whether it is about the last working day of the month, for which the library has no word.
    last_working_day: bool,
    /// The expressions that compute its times: itself, or one for each of its fixed times of day.
    parts: Vec<Cron>,
}

impl Moments {
    /// Reads cron expressions of five fields, or six with seconds first, or `@hourly` and the like.
    pub(super) fn new(expressions: &[&str], zone: &TimeZone) -> Result<Self, (usize, String)> {
        let read = |(index, text): (usize, &&str)| expression(text).map_err(|message| (index, message));
        let expressions = expressions.iter().enumerate().map(read).collect::<Result<_, _>>()?;
        Ok(Self { expressions, zone: zone.clone() })
    }

    fn is_one(&self, now: &Zoned) -> bool {
        let second = Span::new().nanoseconds(i64::from(now.subsec_nanosecond()) + 1);
        now.checked_sub(second).is_ok_and(|before| self.due(&before, now))
    }

    /// Whether a moment is after `last` and not after `now`.
    #[must_use]
    pub fn due(&self, last: &Zoned, now: &Zoned) -> bool {
        self.next_after(last).is_some_and(|next| next.timestamp() <= now.timestamp())
    }

    /// The next moment after `now`.
    #[must_use]
    pub fn next_after(&self, now: &Zoned) -> Option<Zoned> {
        let local = now.with_time_zone(self.zone.clone());
        let next = |cron: &Cron| cron.find_next_occurrence(&local, false).ok();
        let parts = self.expressions.iter().flat_map(|expression| &expression.parts);
        parts.filter_map(next).min_by_key(Zoned::timestamp)
    }

    /// In words.
    #[must_use]
    pub fn describe(&self) -> String {
        // The words go into the middle of a line: they begin with "At" or "Every".
        let in_a_line = |text: String| {
            let begin = text.chars().next().map(|first| first.to_lowercase().to_string()).unwrap_or_default();
            format!("{begin}{}", text.trim_end_matches('.').chars().skip(1).collect::<String>())
        };
        let words = self.expressions.iter().map(|one| {
            let words = in_a_line(one.whole.describe());
            let day = if one.last_working_day { "the last weekday of the month" } else { "the last day of the month" };
            words.replace("the last day of the month", day)
        });
        let words: Vec<String> = words.collect();
        format!("{} ({})", words.join("; or "), zone_name(&self.zone))
    }
}

fn expression(text: &str) -> Result<Expression, String> {
    let normal = cron_text::normal(text)?;
    let whole = parse_cron(&normal.whole)?;
    let parts = normal.fixed.iter().map(|fixed| parse_cron(fixed)).collect::<Result<Vec<_>, _>>()?;
    let last_working_day = cron_text::is_last_working_day(text);
    Ok(Expression { parts: if parts.is_empty() { vec![whole.clone()] } else { parts }, whole, last_working_day })
}

fn parse_cron(expression: &str) -> Result<Cron, String> {
    let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
    let cron = parser.parse(expression).map_err(|error| match error {
        CronError::InvalidPattern(_) => "it is not a known name".to_owned(),
        CronError::ComponentError(why) | CronError::IllegalCharacters(why) => why.trim_end_matches('.').to_lowercase(),
        other => other.to_string().trim_end_matches('.').to_owned(),
    })?;
    // An expression may be well-formed and yet name no day of any year, like the 31st of February.
    match cron.find_next_occurrence(&Zoned::new(Timestamp::UNIX_EPOCH, TimeZone::UTC), false) {
        Ok(_) => Ok(cron),
        Err(_) => Err("that date never occurs".to_owned()),
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
    /// Start, inclusive.
    pub from: Time,
    /// End, exclusive. At or before `from` means that time on the next day.
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
                let starts =
                    window.days.contains(&date.weekday()).then(|| self.instants(date.to_datetime(window.from)));
                starts?.into_iter().find(|start| *start > now.timestamp())
            })
        });
        starts.min().map(|start| start.to_zoned(self.zone.clone()))
    }

    fn end(&self, now: &Zoned) -> Option<Zoned> {
        let local = now.with_time_zone(self.zone.clone());
        let (time, today) = (local.time(), local.date());
        let tomorrow = today.tomorrow().ok()?;
        let is_open =
            |window: &&Window| Self { windows: vec![(*window).clone()], zone: self.zone.clone() }.open_at(now);
        let ends = self.windows.iter().filter(is_open).filter_map(|window| {
            let begun_today = window.from >= window.to && window.from <= time && window.days.contains(&today.weekday());
            let day = if begun_today { tomorrow } else { today };
            self.instants(day.to_datetime(window.to)).into_iter().find(|end| *end > now.timestamp())
        });
        ends.max().map(|end| end.to_zoned(self.zone.clone()))
    }

    /// When the wall clock reaches that time: twice if an hour is repeated; if one is missing, when the clock
    /// jumps over it.
    fn instants(&self, wall: DateTime) -> Vec<Timestamp> {
        let ambiguous = self.zone.to_ambiguous_zoned(wall);
        let is_gap = matches!(ambiguous.offset(), AmbiguousOffset::Gap { .. });
        let both = [ambiguous.clone().earlier(), ambiguous.later()];
        let mut instants: Vec<Timestamp> = both.into_iter().flatten().map(|zoned| zoned.timestamp()).collect();
        instants.sort_unstable();
        instants.dedup();
        if is_gap {
            let before = instants.first().copied();
            let jump = before.and_then(|before| self.zone.following(before).next().map(|jump| jump.timestamp()));
            instants = jump.into_iter().collect();
        }
        instants
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

/// A future time as people say it at `now`, in its own zone: `today at 18:00`, `Friday at 18:00`, `on 3 December at 06:00`.
#[must_use]
pub fn in_words(now: &Zoned, at: &Zoned) -> String {
    let now = now.with_time_zone(at.time_zone().clone());
    let days = now.date().until(at.date()).map_or(i32::MAX, |span| span.get_days());
    let day = match days {
        0 => "today".to_owned(),
        1 => "tomorrow".to_owned(),
        2..=6 => at.strftime("%A").to_string(),
        _ if at.year() == now.year() => at.strftime("on %-d %B").to_string(),
        _ => at.strftime("on %-d %B %Y").to_string(),
    };
    let clock = if at.second() == 0 { "%H:%M" } else { "%H:%M:%S" };
    format!("{day} at {}", at.strftime(clock))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::rule;

    fn at(text: &str) -> Zoned {
        format!("{text}[Europe/Berlin]").parse().unwrap()
    }

    fn schedule(text: &str) -> Schedule {
        rule(&format!("schedule: {text}")).schedule.clone()
    }

    fn next(schedule: &Schedule, now: &str) -> String {
        schedule
            .next_after(&at(now))
            .map_or_else(|| "never".to_owned(), |next| next.strftime("%a %d %H:%M%:z").to_string())
    }

    #[test]
    fn always_is_open_and_never_opens() {
        let always = schedule("always");
        assert!(always.open_at(&at("2026-11-24T12:00")));
        assert_eq!(next(&always, "2026-11-24T12:00"), "never");
    }

    #[test]
    fn moments_are_due_once() {
        let evening = schedule("\"0 18 * * mon-fri\"");
        assert_eq!(next(&evening, "2026-11-27T18:00"), "Mon 30 18:00+01:00");
        assert!(evening.due(&at("2026-11-24T17:59:58"), &at("2026-11-24T18:00:03")));
        assert!(!evening.due(&at("2026-11-24T18:00:00"), &at("2026-11-24T18:00:03")));
        assert!(!evening.due(&at("2026-11-24T17:00"), &at("2026-11-24T17:59:59.999")));
        assert!(evening.open_at(&at("2026-11-24T18:00:00.7")));
        assert!(!evening.open_at(&at("2026-11-24T18:00:01")) && !evening.open_at(&at("2026-11-24T17:59:59.9")));
    }

    #[test]
    fn the_earliest_of_several_moments_counts_and_seconds_may_lead() {
        let several = schedule("[\"@daily\", \"30 15 12 * * *\"]");
        assert_eq!(next(&several, "2026-11-24T12:00"), "Tue 24 12:15+01:00");
        assert_eq!(next(&several, "2026-11-24T13:00"), "Wed 25 00:00+01:00");
    }

    #[test]
    fn the_zone_of_the_asker_does_not_matter() {
        let evening = schedule("\"0 18 * * *\"");
        let tokyo: Zoned = "2026-11-24T20:00[Asia/Tokyo]".parse().unwrap();
        assert_eq!(evening.next_after(&tokyo).unwrap().to_string(), "2026-11-24T18:00:00+01:00[Europe/Berlin]");
    }

    #[test]
    fn a_time_that_does_not_exist_comes_at_the_next_valid_one() {
        let night = schedule("\"30 2 * * *\"");
        assert_eq!(next(&night, "2026-03-28T12:00"), "Sun 29 03:00+02:00");
        assert_eq!(next(&night, "2026-03-29T03:00"), "Mon 30 02:30+02:00");
    }

    #[test]
    fn a_time_that_occurs_twice_comes_once() {
        let night = schedule("\"30 2 * * *\"");
        assert_eq!(next(&night, "2026-10-24T12:00"), "Sun 25 02:30+02:00");
        assert_eq!(next(&night, "2026-10-25T02:30+02:00"), "Mon 26 02:30+01:00");
    }

    /// A list of times was treated like `*`: 02:00 was lost when the clocks went forward, and 01:30 came twice when they went
    /// back.
    #[test]
    fn each_time_of_a_list_is_treated_like_a_single_one() {
        let coming = |written: &str, now: &str| {
            let now: Zoned = format!("{now}[America/New_York]").parse().unwrap();
            let moments = Moments::new(&[written], now.time_zone()).unwrap();
            let times = std::iter::successors(moments.next_after(&now), |last| moments.next_after(last));
            times.take(3).map(|next| next.strftime("%d %H:%M%:z").to_string()).collect::<Vec<_>>()
        };
        assert_eq!(coming("0 2,14 * * *", "2026-03-08T00:00"), ["08 03:00-04:00", "08 14:00-04:00", "09 02:00-04:00"]);
        assert_eq!(coming("30 1-3 * * *", "2026-11-01T00:00"), ["01 01:30-04:00", "01 02:30-05:00", "01 03:30-05:00"]);
        assert_eq!(coming("0,30 1 * * *", "2026-11-01T00:00"), ["01 01:00-04:00", "01 01:30-04:00", "02 01:00-05:00"]);
        assert_eq!(coming("0 * * * *", "2026-11-01T00:30"), ["01 01:00-04:00", "01 01:00-05:00", "01 02:00-05:00"]);
        assert_eq!(schedule("\"@midnight\"").describe(), schedule("\"@daily\"").describe());
        assert_eq!(next(&schedule("\"0 8 * * fri-mon\""), "2026-11-26T12:00"), "Fri 27 08:00+01:00");
    }

    #[test]
    fn windows_over_midnight_belong_to_the_day_they_begin() {
        let night = schedule("{ between: \"22:00-06:00\", days: mon-fri }");
        let open = |now| night.open_at(&at(now));
        assert!(open("2026-11-27T22:00") && open("2026-11-28T05:59"), "Friday night");
        assert!(!open("2026-11-28T06:00") && !open("2026-11-28T22:00") && !open("2026-11-29T23:00"), "weekend");
        assert!(!open("2026-11-30T05:00"), "the night before Monday");
        assert_eq!(next(&night, "2026-11-28T05:00"), "Mon 30 22:00+01:00");
        assert_eq!(next(&night, "2026-11-24T12:00"), "Tue 24 22:00+01:00");
    }

    #[test]
    fn windows_of_the_day_of_a_whole_day_and_several() {
        let lunch = schedule("[{ between: \"12:00-13:00\" }, { between: \"18:00-24:00\", days: [sat, sun] }]");
        let open = |now| lunch.open_at(&at(now));
        assert!(open("2026-11-24T12:30") && !open("2026-11-24T13:00") && !open("2026-11-24T19:00"));
        assert!(open("2026-11-28T23:59") && !open("2026-11-29T00:00"));
        let sunday = schedule("{ between: \"00:00-24:00\", days: sun }");
        assert!(sunday.open_at(&at("2026-11-29T00:00")) && sunday.open_at(&at("2026-11-29T23:59")));
        assert!(!sunday.open_at(&at("2026-11-30T00:00")) && !sunday.open_at(&at("2026-11-28T23:59")));
    }

    #[test]
    fn spans_of_days_may_go_over_the_weekend() {
        let words = |days| schedule(&format!("{{ between: \"1:00-2:00\", days: {days} }}")).describe();
        assert_eq!(words("fri-mon"), "mon, fri, sat, sun from 01:00 to 02:00 (Europe/Berlin)");
        assert_eq!(words("\"Monday, wed\""), "mon, wed from 01:00 to 02:00 (Europe/Berlin)");
        assert_eq!(words("mon-sun"), "every day from 01:00 to 02:00 (Europe/Berlin)");
    }

    /// Case: `LW` is described as the last weekday of the month.
    #[test]
    fn moments_in_words() {
        assert_eq!(schedule("\"0 18 * * *\"").describe(), "at 18:00 (Europe/Berlin)");
        // The last working day was called the last day.
        let said = |written: &str| schedule(&format!("\"{written}\"")).describe();
        assert!(said("0 8 LW * *").contains("on the last weekday of the month"), "{}", said("0 8 LW * *"));
        assert!(said("0 8 L * *").contains("on the last day of the month"));
    }
}
