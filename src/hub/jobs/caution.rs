//! Whether anything may be removed now. What is removed by mistake is lost, what is kept by mistake can be removed later:
//! if the time or the database is in doubt, everything is kept. Pure.
//!
//! **In**: the clock and the process's uptime, at each check; when a backup was restored; how much of the storage is not
//! known. **Out**: what may be removed.
//!
//! **Guarantees.** After the clock was far off, nothing is removed until it has run steadily for
//! [`STEADY`], however often the process starts in between: a time that is doubted is not one to compare with.
//!
//! Must never know: the database, the storage.

use std::time::Duration;

use jiff::Timestamp;

use crate::clock::after;

/// A clock may be off by at most this much.
const FAR: Duration = Duration::from_secs(6 * 60 * 60);
/// The maximum gap in observation between two successive processes.
const SHORT: Duration = Duration::from_secs(15 * 60);
/// How long the clock must run steadily before it is trusted again.
pub(super) const STEADY: Duration = Duration::from_secs(60 * 60);
/// So long after a restore nothing is swept: it may have been the wrong backup.
pub(super) const AFTER_RESTORE: Duration = Duration::from_secs(48 * 60 * 60);
/// So many unknown parts may always be leftovers.
const FEW: usize = 20;
/// If more than one in this many parts is unknown, the database must be wrong.
const ONE_IN: usize = 20;

/// What earlier observations, in any process, say about the clock.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Kept {
    /// When it was trusted last.
    pub last_seen: Option<Timestamp>,
    /// While it is in doubt: how long it has been steady, and when it was last seen.
    pub doubted: Option<(Duration, Timestamp)>,
}

/// Follows the clock from check to check.
#[derive(Debug, Default)]
pub(super) struct ClockWatch {
    /// The last check at which it was trusted.
    trusted: Option<Look>,
    doubted: Option<Doubt>,
}

/// The clock, and how long the process had been running then.
#[derive(Debug, Clone, Copy)]
struct Look {
    now: Timestamp,
    running: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Doubt {
    /// How long it has been steady.
    steady: Duration,
    last: Look,
}

impl Look {
    /// Whether the clock went on from here to `later` as it must.
    fn leads_to(self, later: Self) -> bool {
        let expected = after(self.now, later.running.saturating_sub(self.running));
        expected.duration_since(later.now).unsigned_abs() <= FAR
    }
}

/// Whether the clock is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clock {
    Trusted,
    /// It has been steady for so long, which is less than [`STEADY`].
    Doubted(Duration),
}

impl ClockWatch {
    /// Observes the clock; `running` never jumps.
    pub(super) fn look(&mut self, kept: Kept, now: Timestamp, running: Duration) -> Clock {
        let look = Look { now, running };
        // Another process, or the operator, has trusted it since this one did.
        if let Some(last_seen) = kept.last_seen.filter(|at| self.trusted.is_none_or(|trusted| trusted.now != *at)) {
            self.trusted = Some(Look { now: last_seen, running });
        }
        let trusted = *self.trusted.get_or_insert(look);
        if !trusted.leads_to(look) {
            let steady = self.steady(kept, look);
            if steady < STEADY {
                self.doubted = Some(Doubt { steady, last: look });
                return Clock::Doubted(steady);
            }
        }
        *self = Self { trusted: Some(look), doubted: None };
        Clock::Trusted
    }

    /// For how long it has been steady at this look, over processes that end before it has been for long enough.
    fn steady(&self, kept: Kept, look: Look) -> Duration {
        match (self.doubted, kept.doubted) {
            (Some(doubt), _) if doubt.last.leads_to(look) => {
                doubt.steady + look.running.saturating_sub(doubt.last.running)
            }
            (None, Some((steady, last))) => match Duration::try_from(look.now.duration_since(last)) {
                Ok(gap) if gap <= SHORT => steady + gap,
                Ok(gap) if gap <= FAR => steady,
                _ => Duration::ZERO,
            },
            _ => Duration::ZERO,
        }
    }
}

/// What may be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Allowed {
    /// Nothing, for this long: the clock is in doubt.
    Nothing(Duration),
    /// What the rows say has expired, but nothing merely because it is in no row, until then: a backup was restored.
    WhatIsOver(Timestamp),
    /// Everything that is due.
    Everything,
}

/// What may be removed at `now`, given when a backup was restored.
pub(super) fn may_delete(clock: Clock, restored: Option<Timestamp>, now: Timestamp) -> Allowed {
    let sweeps_from = restored.map(|restored| after(restored, AFTER_RESTORE)).filter(|from| now < *from);
    match (clock, sweeps_from) {
        (Clock::Doubted(steady), _) => Allowed::Nothing(STEADY.saturating_sub(steady)),
        (Clock::Trusted, Some(from)) => Allowed::WhatIsOver(from),
        (Clock::Trusted, None) => Allowed::Everything,
    }
}

/// Whether so many unknown parts of all cannot be leftovers, where the operator has confirmed so many.
pub(super) fn is_too_much(unknown: usize, all: usize, confirmed: usize) -> bool {
    unknown > FEW.saturating_add(confirmed) && unknown.saturating_mul(ONE_IN) > all
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const HOUR: Duration = Duration::from_secs(60 * 60);

    /// The clock at the given hour.
    fn at(hours: u64) -> Timestamp {
        after(Timestamp::UNIX_EPOCH, HOUR * u32::try_from(hours).unwrap())
    }

    fn seen(last_seen: Timestamp) -> Kept {
        Kept { last_seen: Some(last_seen), doubted: None }
    }

    #[test]
    fn a_clock_that_goes_on_is_trusted_at_once_and_over_restarts() {
        let mut clock = ClockWatch::default();
        assert_eq!(clock.look(Kept::default(), at(1000), HOUR), Clock::Trusted);
        assert_eq!(clock.look(seen(at(1000)), at(1010), HOUR * 11), Clock::Trusted);
        assert_eq!(ClockWatch::default().look(seen(at(1000)), at(1006), HOUR), Clock::Trusted);
    }

    /// A hub that was started for some seconds with its clock weeks ahead expired packages that had days left.
    #[test]
    fn a_clock_that_is_far_off_is_trusted_after_a_steady_hour() {
        for wrong in [1007, 1500, 900] {
            let mut clock = ClockWatch::default();
            let look = |clock: &mut ClockWatch, last_seen, minutes: u32| {
                clock.look(seen(last_seen), after(at(wrong), MINUTE * minutes), MINUTE * minutes)
            };
            assert_eq!(look(&mut clock, at(1000), 0), Clock::Doubted(Duration::ZERO));
            assert_eq!(look(&mut clock, at(1000), 50), Clock::Doubted(MINUTE * 50));
            assert_eq!(look(&mut clock, at(1000), 60), Clock::Trusted);
            assert_eq!(look(&mut clock, after(at(wrong), HOUR), 70), Clock::Trusted);
        }
    }

    /// Case: the clock is ahead for some seconds and then right again: it is doubted meanwhile, and trusted at once when it is right.
    #[test]
    fn a_jump_while_it_runs_is_seen_and_one_back_to_the_right_time_ends_the_doubt() {
        let (mut clock, none) = (ClockWatch::default(), Kept::default());
        let doubted = Clock::Doubted(Duration::ZERO);
        assert_eq!(clock.look(seen(at(1000)), at(1000), Duration::ZERO), Clock::Trusted);
        assert_eq!(clock.look(none, at(2000), MINUTE), doubted);
        assert_eq!(clock.look(none, at(3000), MINUTE * 31), doubted);
        assert_eq!(clock.look(none, at(1001), HOUR), Clock::Trusted);
        assert_eq!(clock.look(none, at(1), HOUR), doubted);
    }

    /// After a long stop the doubt began anew with each start: a hub that was restarted more often than hourly never swept.
    #[test]
    fn the_steady_hour_may_be_made_of_many_processes() {
        let mut kept = seen(at(1000));
        for minutes in (0..60).step_by(10) {
            let now = after(at(1100), MINUTE * minutes);
            let Clock::Doubted(steady) = ClockWatch::default().look(kept, now, Duration::ZERO) else {
                panic!("{minutes}")
            };
            assert_eq!(steady, MINUTE * minutes);
            kept.doubted = Some((steady, now));
        }
        assert_eq!(ClockWatch::default().look(kept, at(1101), Duration::ZERO), Clock::Trusted);
        // A pause does not count, and a jump starts over.
        let look = |hours| ClockWatch::default().look(kept, at(hours), Duration::ZERO);
        assert_eq!(look(1104), Clock::Doubted(MINUTE * 50));
        assert_eq!(look(1200), Clock::Doubted(Duration::ZERO));
        assert_eq!(look(1050), Clock::Doubted(Duration::ZERO));
    }

    /// Case: after a jump of the clock, whoever runs the hub confirms that it is right.
    #[test]
    fn who_confirms_that_the_clock_is_right_ends_the_doubt_of_a_running_process() {
        let mut clock = ClockWatch::default();
        assert_eq!(clock.look(seen(at(1000)), at(1100), MINUTE), Clock::Doubted(Duration::ZERO));
        assert_eq!(clock.look(seen(at(1100)), at(1100), MINUTE * 10), Clock::Trusted);
    }

    /// Case: the backup of another day is restored, noticed, and the right one restored later.
    #[test]
    fn nothing_is_swept_for_two_days_after_a_restore_and_nothing_at_all_is_removed_while_the_clock_is_in_doubt() {
        assert_eq!(may_delete(Clock::Trusted, None, at(100)), Allowed::Everything);
        assert_eq!(may_delete(Clock::Trusted, Some(at(100)), at(147)), Allowed::WhatIsOver(at(148)));
        assert_eq!(may_delete(Clock::Trusted, Some(at(100)), at(148)), Allowed::Everything);
        assert_eq!(may_delete(Clock::Doubted(Duration::ZERO), Some(at(100)), at(148)), Allowed::Nothing(HOUR));
    }

    /// Case: more than a few percent of the parts are unknown: then the database is the one that is wrong.
    #[test]
    fn a_share_that_cannot_be_leftovers_is_told_from_a_few() {
        let unconfirmed = |unknown, all| is_too_much(unknown, all, 0);
        assert!(!unconfirmed(20, 20) && !unconfirmed(21, 420) && !unconfirmed(0, 0));
        assert!(unconfirmed(21, 21) && unconfirmed(21, 419));
        assert!(!is_too_much(1000, 1000, 980) && is_too_much(1001, 1001, 980));
    }
}
