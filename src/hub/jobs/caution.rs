//! Whether anything may be removed now. What was removed by mistake is gone, what was kept by mistake is removed later:
//! where the time or the database is in doubt, everything is kept. Pure.
//!
//! **In**: the clock and how long the process runs, at each look; when a backup was restored; how much of the storage is not
//! known. **Out**: what may be removed.
//!
//! **Guarantees.** After the clock was far from where it must be, nothing is removed until it has gone on steadily for
//! [`STEADY`], however often the process starts in between: a time that is doubted is not one to compare with.
//!
//! Must never know: the database, the storage.

use std::time::Duration;

use jiff::Timestamp;

use crate::clock::after;

/// Further than this the clock does not get from where it must be.
const FAR: Duration = Duration::from_secs(6 * 60 * 60);
/// So long the clock goes on steadily before it is trusted again.
pub(super) const STEADY: Duration = Duration::from_secs(60 * 60);
/// So long after a restore nothing is swept: it may have been the wrong backup.
pub(super) const AFTER_RESTORE: Duration = Duration::from_secs(48 * 60 * 60);
/// So many unknown parts may always be leftovers.
const FEW: usize = 20;
/// Where one in so many parts is unknown, it is the database that is wrong.
const ONE_IN: usize = 20;

/// Follows the clock from look to look.
#[derive(Debug, Default)]
pub(super) struct ClockWatch {
    /// The look at which it was trusted last.
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
    /// How long the process had been running when the clock began to be steady.
    since: Duration,
    last: Look,
}

impl Look {
    /// Whether the clock went on from here to `later` as it must.
    fn leads_to(self, later: Self) -> bool {
        let expected = after(self.now, later.running.saturating_sub(self.running));
        expected.duration_since(later.now).unsigned_abs() <= FAR
    }
}

impl ClockWatch {
    /// Looks at the clock: `last_seen` is when it was trusted last, in whichever process; `running` never jumps. Answers how long it
    /// must still go on steadily; nothing when it is trusted.
    pub(super) fn look(&mut self, last_seen: Option<Timestamp>, now: Timestamp, running: Duration) -> Option<Duration> {
        let look = Look { now, running };
        let trusted = *self.trusted.get_or_insert(Look { now: last_seen.unwrap_or(now), running });
        let since = match self.doubted {
            _ if trusted.leads_to(look) => None,
            Some(doubt) if doubt.last.leads_to(look) => Some(doubt.since),
            _ => Some(running),
        };
        let steady = since.map(|since| running.saturating_sub(since));
        match (since, steady) {
            (Some(since), Some(steady)) if steady < STEADY => {
                self.doubted = Some(Doubt { since, last: look });
                Some(STEADY - steady)
            }
            _ => {
                *self = Self { trusted: Some(look), doubted: None };
                None
            }
        }
    }
}

/// What may be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Allowed {
    /// Nothing, for so long: the clock is in doubt.
    Nothing(Duration),
    /// What the rows say is over, but nothing because no row knows it, until then: a backup was restored.
    WhatIsOver(Timestamp),
    /// Everything that is due.
    Everything,
}

/// What may be removed at `now`, when the clock is in doubt for so long, and a backup was restored then.
pub(super) fn may_delete(doubted_for: Option<Duration>, restored: Option<Timestamp>, now: Timestamp) -> Allowed {
    let sweeps_from = restored.map(|restored| after(restored, AFTER_RESTORE)).filter(|from| now < *from);
    match (doubted_for, sweeps_from) {
        (Some(left), _) => Allowed::Nothing(left),
        (None, Some(from)) => Allowed::WhatIsOver(from),
        (None, None) => Allowed::Everything,
    }
}

/// Whether so many unknown parts of all cannot be leftovers.
pub(super) fn is_too_much(unknown: usize, all: usize) -> bool {
    unknown > FEW && unknown.saturating_mul(ONE_IN) > all
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const HOUR: Duration = Duration::from_secs(60 * 60);

    /// The clock at so many hours.
    fn at(hours: u64) -> Timestamp {
        after(Timestamp::UNIX_EPOCH, HOUR * u32::try_from(hours).unwrap())
    }

    #[test]
    fn a_clock_that_goes_on_is_trusted_at_once_and_over_restarts() {
        let mut clock = ClockWatch::default();
        assert_eq!(clock.look(None, at(1000), HOUR), None);
        assert_eq!(clock.look(Some(at(1000)), at(1010), HOUR * 11), None);
        assert_eq!(ClockWatch::default().look(Some(at(1000)), at(1006), HOUR), None);
    }

    /// A hub that was started weeks ahead for some seconds expired what was to be kept for days.
    #[test]
    fn a_clock_that_is_far_off_is_trusted_after_a_steady_hour() {
        for wrong in [1007, 1500, 900] {
            let mut clock = ClockWatch::default();
            let look = |clock: &mut ClockWatch, minutes: u32| {
                clock.look(Some(at(1000)), after(at(wrong), MINUTE * minutes), MINUTE * minutes)
            };
            assert_eq!(look(&mut clock, 0), Some(HOUR));
            assert_eq!(look(&mut clock, 50), Some(MINUTE * 10));
            assert_eq!(look(&mut clock, 60), None);
            assert_eq!(look(&mut clock, 70), None);
        }
    }

    #[test]
    fn a_jump_while_it_runs_is_seen_and_one_back_to_the_right_time_ends_the_doubt() {
        let mut clock = ClockWatch::default();
        assert_eq!(clock.look(Some(at(1000)), at(1000), Duration::ZERO), None);
        assert_eq!(clock.look(None, at(2000), MINUTE), Some(HOUR));
        assert_eq!(clock.look(None, at(3000), MINUTE * 31), Some(HOUR));
        assert_eq!(clock.look(None, at(1001), HOUR), None);
        assert_eq!(clock.look(None, at(1), HOUR), Some(HOUR));
    }

    #[test]
    fn nothing_is_swept_for_two_days_after_a_restore_and_nothing_at_all_is_removed_while_the_clock_is_in_doubt() {
        assert_eq!(may_delete(None, None, at(100)), Allowed::Everything);
        assert_eq!(may_delete(None, Some(at(100)), at(147)), Allowed::WhatIsOver(at(148)));
        assert_eq!(may_delete(None, Some(at(100)), at(148)), Allowed::Everything);
        assert_eq!(may_delete(Some(HOUR), Some(at(100)), at(148)), Allowed::Nothing(HOUR));
    }

    #[test]
    fn a_share_that_cannot_be_leftovers_is_told_from_a_few() {
        assert!(!is_too_much(20, 20) && !is_too_much(21, 420) && !is_too_much(0, 0));
        assert!(is_too_much(21, 21) && is_too_much(21, 419));
    }
}
