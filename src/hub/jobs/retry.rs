//! When a delivery that failed is tried again: the one rule of mails and webhook calls. Pure.

use std::time::Duration;

use jiff::Timestamp;

use crate::clock::after;

/// The pause after the first attempt; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(2 * 60 * 60);

/// How often something is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Policy {
    /// The maximum number of attempts.
    pub most_attempts: u32,
}

/// Why something was not delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// For the operator of the hub.
    pub reason: String,
    /// Trying again is of no use.
    pub permanent: bool,
}

impl Failure {
    /// A transient one.
    pub(crate) fn passing(reason: impl ToString) -> Self {
        Self { reason: reason.to_string(), permanent: false }
    }

    /// A permanent one.
    pub(crate) fn permanent(reason: impl ToString) -> Self {
        Self { reason: reason.to_string(), permanent: true }
    }
}

impl Policy {
    /// When the attempt after the `attempt`th is due, which failed at `now`; `None`: it is abandoned.
    pub(crate) fn next(self, attempt: u32, failure: &Failure, now: Timestamp) -> Option<Timestamp> {
        let again = !failure.permanent && attempt < self.most_attempts;
        again.then(|| after(now, pause(attempt)))
    }
}

/// The pause after this many attempts.
fn pause(attempts: u32) -> Duration {
    (FIRST_PAUSE * (1 << attempts.saturating_sub(1).min(10))).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_two_hours() {
        assert_eq!([1, 2, 3, 40].map(|attempts| pause(attempts).as_secs()), [10, 20, 40, 7_200]);
    }

    #[test]
    fn what_cannot_succeed_is_given_up_at_once_and_all_else_in_the_end() {
        let (policy, now) = (Policy { most_attempts: 3 }, Timestamp::UNIX_EPOCH);
        let next = |attempt, failure: &Failure| policy.next(attempt, failure, now).map(Timestamp::as_second);
        assert_eq!(next(1, &Failure::passing("away")), Some(10));
        assert_eq!(next(2, &Failure::passing("away")), Some(20));
        assert_eq!(next(3, &Failure::passing("away")), None);
        assert_eq!(next(1, &Failure::permanent("no such mailbox")), None);
    }
}
