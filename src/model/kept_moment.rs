//! Moments that were written down, perhaps while the clock was wrong.
//!
//! A machine whose clock is weeks ahead for a minute, before it asks a time server, writes down moments that lie in the
//! future once it is right. Whatever compares such a moment with the clock would wait for it. So nothing compares them
//! itself: what has happened is a [`KeptMoment`], what is to happen is asked for by a [`DueSpan`].
//!
//! Pure: the time is given.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// A moment at which something has happened, and from which on it is counted.
///
/// It cannot lie ahead of the clock. One that does is taken for the time at which that was found; the moment itself is kept, and
/// counts again once the clock has passed it: it may as well be the clock of now that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptMoment {
    of: &'static str,
    kept: Timestamp,
    /// Since when it is known that it lies ahead.
    ahead_since: Option<Timestamp>,
}

impl KeptMoment {
    /// The moment as it was written down. `of` says what of, for the log.
    #[must_use]
    pub const fn new(of: &'static str, kept: Timestamp) -> Self {
        Self { of, kept, ahead_since: None }
    }

    /// From when on to count, the time being `now`: never later than that. That it lies ahead is said once.
    pub fn at(&mut self, now: Timestamp) -> Timestamp {
        if self.kept <= now {
            self.ahead_since = None;
            return self.kept;
        }
        if self.ahead_since.is_none() {
            tracing::warn!(
                kept = %self.kept, %now,
                "{} was written down by a clock that was ahead of this one; it counts as now", self.of
            );
        }
        // The clock may be set back a second time.
        let since = self.ahead_since.map_or(now, |since| since.min(now));
        self.ahead_since = Some(since);
        since
    }

    /// What to write down instead, once the clock has been behind the moment for so long that it is the moment which is wrong.
    #[must_use]
    pub fn correction(&self, now: Timestamp, after: Duration) -> Option<Timestamp> {
        let since = self.ahead_since.filter(|_| self.kept > now)?;
        let known_for = Duration::try_from(now.duration_since(since)).unwrap_or_default();
        (known_for >= after).then_some(since)
    }
}

/// Which of what was written down to be done at some time is due.
///
/// Nobody plans further ahead than the longest wait there is: what is due later than that was written by a clock that was
/// ahead, and is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DueSpan {
    /// Due is what is due by then,
    pub by: Timestamp,
    /// and what is due after that.
    pub latest: Timestamp,
}

impl DueSpan {
    /// What is due `now`, when nothing is put off for longer than `longest`.
    #[must_use]
    pub fn at(now: Timestamp, longest: Duration) -> Self {
        let longest = SignedDuration::try_from(longest).unwrap_or(SignedDuration::MAX);
        Self { by: now, latest: now.checked_add(longest).unwrap_or(Timestamp::MAX) }
    }

    /// How long to wait for what is due first at `due_at`; nothing when it is due.
    #[must_use]
    pub fn wait_for(&self, due_at: Timestamp) -> Duration {
        if due_at > self.latest {
            return Duration::ZERO;
        }
        Duration::try_from(due_at.duration_since(self.by)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_moment_that_is_over_stays_what_it_is() {
        let mut moment = KeptMoment::new("it", at("2026-11-01T00:00:00Z"));
        assert_eq!(moment.at(at("2026-11-24T12:00:00Z")), at("2026-11-01T00:00:00Z"));
    }

    /// What lies between two looks must not be lost: the time at which it was found counts, not that of each look.
    #[test]
    fn a_moment_ahead_counts_from_when_that_was_found() {
        let mut moment = KeptMoment::new("it", at("2026-12-24T12:00:00Z"));
        let found = at("2026-11-24T12:00:00Z");
        assert_eq!(moment.at(found), found);
        assert_eq!(moment.at(at("2026-11-24T12:05:00Z")), found);
        assert_eq!(moment.at(at("2026-11-24T11:00:00Z")), at("2026-11-24T11:00:00Z"), "the clock was set back again");
    }

    /// Case: a moment that was written down by a clock a month ahead counts from when that is found.
    #[test]
    fn only_a_clock_that_goes_on_being_behind_corrects_what_was_written_down() {
        let mut moment = KeptMoment::new("it", at("2026-12-24T12:00:00Z"));
        let (found, hour) = (at("2026-11-24T12:00:00Z"), Duration::from_secs(3600));
        assert_eq!(moment.correction(found, hour), None);
        moment.at(found);
        assert_eq!(moment.correction(at("2026-11-24T12:59:00Z"), hour), None);
        assert_eq!(moment.correction(at("2026-11-24T13:00:00Z"), hour), Some(found));
        assert_eq!(moment.correction(at("2026-12-25T00:00:00Z"), hour), None, "it was right");
    }

    /// A machine that begins in 1970, until it has asked for the time.
    #[test]
    fn a_clock_that_is_behind_for_a_while_makes_nothing_of_before_happen_again() {
        let mut moment = KeptMoment::new("it", at("2026-11-24T12:00:00Z"));
        assert_eq!(moment.at(at("1970-01-01T00:00:10Z")), at("1970-01-01T00:00:10Z"));
        assert_eq!(moment.at(at("2026-11-24T12:30:00Z")), at("2026-11-24T12:00:00Z"));
    }

    /// Case: a moment that lies farther ahead than anything is ever planned is due now.
    #[test]
    fn what_nobody_can_have_planned_is_due() {
        let due = DueSpan::at(at("2026-11-24T12:00:00Z"), Duration::from_secs(3600));
        for (planned, wait) in [
            ("2026-11-24T11:00:00Z", 0),
            ("2026-11-24T12:10:00Z", 600),
            ("2026-11-24T13:00:00Z", 3600),
            ("2026-11-24T13:00:01Z", 0),
            ("2027-01-01T00:00:00Z", 0),
        ] {
            assert_eq!(due.wait_for(at(planned)), Duration::from_secs(wait), "{planned}");
        }
    }
}
