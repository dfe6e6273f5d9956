//! The time as the hub stores it: in whole milliseconds, so that what is returned at once equals what is read back later.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// The time now.
pub(crate) fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}

/// A time plus a duration, at most the last representable time.
pub(crate) fn after(time: Timestamp, span: Duration) -> Timestamp {
    SignedDuration::try_from(span).ok().and_then(|span| time.checked_add(span).ok()).unwrap_or(Timestamp::MAX)
}

/// A time minus a duration, at least the first representable time.
pub(crate) fn before(time: Timestamp, span: Duration) -> Timestamp {
    SignedDuration::try_from(span).ok().and_then(|span| time.checked_sub(span).ok()).unwrap_or(Timestamp::MIN)
}

/// So many days.
pub(crate) const fn days(count: u64) -> Duration {
    Duration::from_secs(count.saturating_mul(24 * 60 * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_stay_within_what_can_be_told() {
        let epoch = Timestamp::UNIX_EPOCH;
        assert_eq!(after(epoch, days(1)), epoch + SignedDuration::from_hours(24));
        assert_eq!(after(epoch, days(u64::MAX)), Timestamp::MAX);
        assert_eq!(before(epoch, Duration::MAX), Timestamp::MIN);
        assert_eq!(now().as_nanosecond() % 1_000_000, 0);
    }
}
