//! Schedules against calendars worked out in another way: cases kept as files, and random ones over years of clock
//! changes.

use std::fmt::Write as _;

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use jiff::{Span, Timestamp, ToSpan, Zoned};
use proptest::prelude::*;

use crate::tests::read;
use crate::{Schedule, in_words};

fn schedule(zone: &str, written: &str) -> Schedule {
    let text = format!(
        "version: 1\ntimezone: {zone}\nrules:\n  - {{ name: a, watch: /a, upload: {{ kind: link }}, schedule: {written} }}\n"
    );
    read(&text).unwrap_or_else(|errors| panic!("{errors}")).rules[0].schedule.clone()
}

/// A case has a zone, a schedule, and after a line of dashes one line each: a time, and what is told at it (whether it is
/// open, and the next three times in words).
fn play(case: &str) -> String {
    let (head, questions) = case.split_once("\n---\n").unwrap();
    let value = |key: &str| {
        let line = head.lines().find_map(|line| line.strip_prefix(key));
        line.unwrap_or_else(|| panic!("no {key}")).trim()
    };
    let (zone, schedule) = (value("timezone:"), schedule(value("timezone:"), value("schedule:")));
    let mut result = String::new();
    for question in questions.lines().filter(|line| !line.is_empty()) {
        let time = question.split(" -> ").next().unwrap();
        let now: Zoned = format!("{time}[{zone}]").parse().unwrap();
        let open = if schedule.open_at(&now) { "open" } else { "closed" };
        let coming = schedule.coming(&now).take(3).map(|next| in_words(&now, &next));
        let coming: Vec<String> = coming.collect();
        let _ = writeln!(result, "{time} -> {open}; {}", coming.join(", "));
    }
    result
}

/// Case: lists of times on the nights in which the clocks change (a-list-when-an-hour-is-repeated), among others.
#[test]
fn every_case_tells_the_times_it_lists() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cases/schedule");
    let (mut played, mut wrong) = (0, String::new());
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let case = std::fs::read_to_string(&path).unwrap();
        let expected = case.split_once("\n---\n").unwrap().1.trim();
        let given = play(&case);
        if given.trim() != expected {
            let _ = writeln!(wrong, "{}:\n{}\ninstead of\n{expected}\n", path.display(), given.trim());
        }
        played += 1;
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(played >= 8);
}

const ZONES: [&str; 7] = [
    "UTC",
    "Europe/Berlin",
    "America/Toronto",
    "America/St_Johns",
    "Australia/Lord_Howe",
    "Asia/Kolkata",
    "Africa/Casablanca",
];
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

fn weekday(index: usize) -> Weekday {
    Weekday::from_monday_zero_offset(i8::try_from(index).unwrap()).unwrap()
}

/// When that time of that day comes: at the next valid instant where the clocks jump over it, once where they repeat it.
fn instant(zone: &TimeZone, date: Date, time: Time) -> Timestamp {
    let ambiguous = zone.to_ambiguous_zoned(date.to_datetime(time));
    if !matches!(ambiguous.offset(), AmbiguousOffset::Gap { .. }) {
        return ambiguous.earlier().unwrap().timestamp();
    }
    // The clocks jump within the hours around: the first instant whose own time is not before the wanted one.
    let before: Offset = zone.to_offset(ambiguous.clone().earlier().unwrap().timestamp());
    let around = before.to_timestamp(date.to_datetime(time)).unwrap();
    let start = around.checked_sub(3.hours()).unwrap();
    (0..=6 * 60)
        .map(|minute| start.checked_add(Span::new().minutes(minute)).unwrap())
        .find(|moment| moment.to_zoned(zone.clone()).datetime() >= date.to_datetime(time))
        .unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Looked at however seldom, every moment is due once and none is invented; also those of lists, on the nights in which an hour
    /// is skipped or repeated.
    #[test]
    fn moments_are_those_of_the_calendar(
        zone in prop::sample::select(ZONES.to_vec()), hours in prop::collection::btree_set(0_i8..24, 1..=4),
        minutes in prop::collection::btree_set(0_i8..60, 1..=2),
        days in prop::collection::btree_set(0_usize..7, 1..=7), from in 1_700_000_000_i64..1_900_000_000,
        steps in prop::collection::vec(1_i64..100_000, 1..40),
    ) {
        let names: Vec<&str> = days.iter().map(|day| DAYS[*day]).collect();
        let list = |of: &std::collections::BTreeSet<i8>| of.iter().map(i8::to_string).collect::<Vec<_>>().join(",");
        let schedule = schedule(zone, &format!("\"{} {} * * {}\"", list(&minutes), list(&hours), names.join(",")));
        let zone = TimeZone::get(zone).unwrap();
        let times = hours.iter().flat_map(|hour| minutes.iter().map(|minute| Time::new(*hour, *minute, 0, 0).unwrap()));
        let times: Vec<Time> = times.collect();
        let mut last = Timestamp::from_second(from).unwrap().to_zoned(zone.clone());
        for step in steps {
            let now = last.checked_add(Span::new().seconds(step)).unwrap();
            let first = last.date().checked_sub(1.day()).unwrap();
            let expected = first
                .series(1.day())
                .take_while(|date| *date <= now.date().checked_add(1.day()).unwrap())
                .filter(|date| days.iter().any(|day| weekday(*day) == date.weekday()))
                .flat_map(|date| times.iter().map(move |time| (date, *time)))
                .map(|(date, time)| instant(&zone, date, time))
                .any(|moment| last.timestamp() < moment && moment <= now.timestamp());
            prop_assert_eq!(schedule.due(&last, &now), expected, "{} to {}", last, now);
            let next = schedule.next_after(&now).unwrap();
            prop_assert!(next > now && !schedule.due(&now, &next.checked_sub(1.nanosecond()).unwrap()), "{}", next);
            last = now;
        }
    }

    /// A window is open exactly when the wall clock says so, and opens exactly when it is said to.
    #[test]
    fn windows_are_those_of_the_wall_clock(
        zone in prop::sample::select(ZONES.to_vec()), from in 0_i16..1440, to in 0_i16..1440,
        days in prop::collection::btree_set(0_usize..7, 1..=7),
        moments in prop::collection::vec(1_700_000_000_i64..1_900_000_000, 1..30),
    ) {
        let names: Vec<&str> = days.iter().map(|day| DAYS[*day]).collect();
        let clock = |minutes: i16| format!("{:02}:{:02}", minutes / 60, minutes % 60);
        let written = format!("{{ between: \"{}-{}\", days: [{}] }}", clock(from), clock(to), names.join(", "));
        let schedule = schedule(zone, &written);
        let zone = TimeZone::get(zone).unwrap();
        for moment in moments {
            let now = Timestamp::from_second(moment).unwrap().to_zoned(zone.clone());
            let minutes = i16::from(now.hour()) * 60 + i16::from(now.minute());
            let begins = |day: Weekday| days.iter().any(|index| weekday(*index) == day);
            let expected = if from < to {
                begins(now.weekday()) && (from..to).contains(&minutes)
            } else {
                (begins(now.weekday()) && minutes >= from) || (begins(now.weekday().previous()) && minutes < to)
            };
            prop_assert_eq!(schedule.open_at(&now), expected, "{}", now);
            let next = schedule.next_after(&now).unwrap();
            prop_assert!(next > now);
            if let Some(end) = schedule.closes_after(&now) {
                prop_assert!(expected && end > now && schedule.open_at(&end.checked_sub(1.second()).unwrap()));
            } else {
                prop_assert!(!expected);
            }
        }
    }
}
