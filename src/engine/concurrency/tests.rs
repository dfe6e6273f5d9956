use super::*;

const TICK: Duration = Duration::from_millis(100);

/// A link at a moment, for so many workers: bytes a second, and whether it has something to complain of.
#[derive(Default)]
struct Carries {
    bytes: f64,
    throttles: bool,
    loses: bool,
}

/// What the search came to, second by second.
struct Course {
    widths: Vec<usize>,
    bytes: u64,
    complaints: u64,
    controller: Controller,
}

/// Works for so many seconds on a link.
fn run(workers: Workers, trip: Duration, seconds: u64, link: impl FnMut(f64, usize) -> Carries) -> Course {
    go_on(Controller::new(workers), Reading::default(), trip, seconds, true, link)
}

fn go_on(
    mut controller: Controller,
    mut reading: Reading,
    trip: Duration,
    seconds: u64,
    busy: bool,
    mut link: impl FnMut(f64, usize) -> Carries,
) -> Course {
    let (mut widths, mut complaints, first) = (Vec::new(), 0, reading.bytes);
    for tick in 0..seconds * 10 {
        reading.now += TICK;
        let carries = link(reading.now.as_secs_f64(), controller.width());
        reading.bytes += (carries.bytes * TICK.as_secs_f64()) as u64;
        reading.throttled += u64::from(carries.throttles);
        reading.lost += u64::from(carries.loses);
        complaints += u64::from(carries.throttles);
        (reading.busy, reading.round_trip) = (busy, Some(trip));
        controller.read(reading);
        if tick % 10 == 9 {
            widths.push(controller.width());
        }
    }
    Course { widths, bytes: reading.bytes - first, complaints, controller }
}

/// Each worker carries so much, all together no more than the link.
fn fat(a_worker: f64, all: f64) -> impl FnMut(f64, usize) -> Carries {
    move |_, width| Carries { bytes: (a_worker * width as f64).min(all), ..Carries::default() }
}

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

#[test]
fn on_a_short_link_the_usual_number_stays() {
    let usual = Workers::Auto.usual();
    let course = run(Workers::Auto, Duration::from_micros(300), 60, fat(30e6, 500e6));
    assert!(course.widths.iter().all(|width| *width == usual), "{:?}", course.widths);
}

#[test]
fn a_long_fat_link_is_filled_within_seconds() {
    // 4 MB/s a connection, as with a window of a megabyte at 250 ms.
    let course = run(Workers::Auto, ms(250), 30, fat(4e6, 125e6));
    assert!(course.widths[8] >= 32, "{:?}", course.widths);
    assert!(course.bytes as f64 >= 0.85 * 30.0 * 125e6, "{} bytes, {:?}", course.bytes, course.widths);
}

#[test]
fn what_brings_nothing_is_given_back_and_not_tried_all_the_time() {
    // A processor, or a disk, that is used up.
    let course = run(Workers::Auto, ms(100), 300, fat(10e6, 60e6));
    let first = course.widths[20];
    assert!(first <= FIRST_GUESS, "{:?}", course.widths);
    let elsewhere = course.widths[20..].iter().filter(|width| **width != first).count();
    assert!(elsewhere < 30, "{elsewhere} seconds elsewhere: {:?}", course.widths);
    assert_eq!(course.controller.limited_by(), LimitedBy::Capacity);
}

#[test]
fn a_number_that_is_set_is_a_bound_and_needs_no_search() {
    let course = run(Workers::Fixed(4), ms(200), 60, fat(1e6, 1e9));
    assert!(course.widths.iter().all(|width| *width == 4), "{:?}", course.widths);
    assert_eq!(course.controller.limited_by(), LimitedBy::Workers);
}

#[test]
fn who_asks_for_fewer_requests_gets_fewer_and_is_not_asked_again_at_once() {
    let course = run(Workers::Auto, ms(100), 120, |_, width| Carries {
        bytes: 1e6 * width.min(20) as f64,
        throttles: width > 20,
        loses: false,
    });
    assert!(course.complaints < 60, "{} complaints: {:?}", course.complaints, course.widths);
    let late = &course.widths[30..];
    let kept = late.iter().filter(|width| (5..=20).contains(*width)).count();
    assert!(kept * 10 >= late.len() * 8, "{:?}", course.widths);
}

#[test]
fn all_that_complain_at_once_halve_it_once() {
    let mut controller = Controller::new(Workers::Fixed(32));
    for tick in 1..=10 {
        let now = TICK * tick;
        controller.read(Reading { now, busy: true, throttled: u64::from(tick) * 9, ..Reading::default() });
    }
    assert_eq!((controller.width(), controller.limited_by()), (16, LimitedBy::Throttling));
}

#[test]
fn after_a_complaint_the_usual_number_comes_back_on_a_short_link_too() {
    let course = run(Workers::Auto, ms(1), 120, |second, _| Carries {
        bytes: 50e6,
        throttles: (5.0..9.0).contains(&second),
        loses: false,
    });
    assert!(course.widths[8] < Workers::Auto.usual(), "{:?}", course.widths);
    assert_eq!(course.widths.last(), Some(&Workers::Auto.usual()), "{:?}", course.widths);
}

#[test]
fn a_lost_connection_now_and_then_is_no_reason_to_slow_down_and_many_are() {
    let now_and_then = run(Workers::Auto, ms(100), 60, |second, width| Carries {
        bytes: (2e6 * width as f64).min(100e6),
        loses: ((second * 10.0) as u64).is_multiple_of(10),
        throttles: false,
    });
    assert!(now_and_then.widths[20..].iter().all(|width| *width >= 32), "{:?}", now_and_then.widths);
    let mut count = 0_u64;
    let storm = run(Workers::Auto, ms(100), 60, |_, width| {
        count += u64::from(width > 8);
        Carries { bytes: 1e6, loses: width > 8, throttles: false }
    });
    assert!(count < 120, "{count} ticks above what the link bears: {:?}", storm.widths);
}

#[test]
fn a_link_that_becomes_another_is_searched_anew() {
    let course = run(Workers::Auto, ms(100), 90, |second, width| {
        let all = if second < 40.0 { 40e6 } else { 250e6 };
        Carries { bytes: (4e6 * width as f64).min(all), ..Carries::default() }
    });
    assert!(course.widths[39] <= 32, "{:?}", course.widths);
    assert!(course.widths[60] >= 48, "{:?}", course.widths);
}

#[test]
fn what_comes_slowly_says_nothing_about_the_link() {
    let idle = |_: f64, _: usize| Carries { bytes: 1e5, ..Carries::default() };
    let course = go_on(Controller::new(Workers::Auto), Reading::default(), ms(100), 60, false, idle);
    let guess = course.widths[0];
    assert!(course.widths.iter().all(|width| *width == guess), "{:?}", course.widths);
    assert_eq!((course.controller.limited_by(), course.controller.goodput()), (LimitedBy::Work, 0));
}

#[test]
fn other_bounds_count_at_once_and_zero_means_to_search() {
    let mut controller = run(Workers::Auto, ms(100), 30, fat(1e6, 1e9)).controller;
    assert!(controller.width() > 32);
    controller.set_workers(Workers::Fixed(3));
    assert_eq!(controller.width(), 3);
    controller.set_workers(Workers::from_kept(Workers::Auto.kept()));
    assert!(controller.width() >= Workers::Auto.usual());
    assert_eq!(Workers::from_kept(Workers::Fixed(7).kept()), Workers::Fixed(7));
}
