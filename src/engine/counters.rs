//! What one direction has done since the agent started: counters that only go up, for monitoring.

use std::sync::atomic::{AtomicU64, Ordering};

use masv_client::CloudError;

/// Why something is retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The network failed, or the other end is down.
    Unreachable,
    /// An invalid response.
    Garbled,
    /// The other end asked for fewer calls.
    Throttled,
    /// The other end reported an internal error.
    ServerError,
    /// The other end refused it this time: an expired URL or session.
    Refused,
    /// The storage received different bytes than were sent.
    Damaged,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Self; 6] =
        [Self::Unreachable, Self::Garbled, Self::Throttled, Self::ServerError, Self::Refused, Self::Damaged];

    /// Its stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Garbled => "garbled",
            Self::Throttled => "throttled",
            Self::ServerError => "server_error",
            Self::Refused => "refused",
            Self::Damaged => "damaged",
        }
    }

    /// What kind of failure it was.
    #[must_use]
    pub const fn of(error: &CloudError) -> Self {
        match error {
            CloudError::Unreachable { .. } => Self::Unreachable,
            CloudError::Garbled { .. } => Self::Garbled,
            CloudError::Refused { status: 429, .. } => Self::Throttled,
            CloudError::Refused { status: 500.., .. } => Self::ServerError,
            _ => Self::Refused,
        }
    }
}

/// The counters of one direction.
#[derive(Debug, Default)]
pub struct Counters {
    moved: AtomicU64,
    confirmed: AtomicU64,
    parts: AtomicU64,
    throttled: AtomicU64,
    retries: [AtomicU64; Cause::ALL.len()],
}

impl Counters {
    pub(crate) fn moved(&self, bytes: u64) {
        self.moved.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn confirmed(&self, bytes: u64) {
        self.confirmed.fetch_add(bytes, Ordering::Relaxed);
    }

    /// A part sets out.
    pub(crate) fn part(&self) {
        self.parts.fetch_add(1, Ordering::Relaxed);
    }

    /// The other end has asked for fewer requests.
    pub(crate) fn throttle(&self) {
        self.throttled.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn retry(&self, cause: Cause) {
        self.retries[cause as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Bytes of files transferred over the network, including retries.
    #[must_use]
    pub fn moved_bytes(&self) -> u64 {
        self.moved.load(Ordering::Relaxed)
    }

    /// Bytes of files confirmed as arrived.
    #[must_use]
    pub fn confirmed_bytes(&self) -> u64 {
        self.confirmed.load(Ordering::Relaxed)
    }

    /// Parts that have set out, those that had to go again included.
    #[must_use]
    pub fn parts(&self) -> u64 {
        self.parts.load(Ordering::Relaxed)
    }

    /// How often the other end asked for fewer requests (429, 503).
    #[must_use]
    pub fn throttled(&self) -> u64 {
        self.throttled.load(Ordering::Relaxed)
    }

    /// How often something was retried for this cause.
    #[must_use]
    pub fn retries(&self, cause: Cause) -> u64 {
        self.retries[cause as usize].load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_has_a_counter_and_a_name_of_its_own() {
        let tally = Counters::default();
        for (number, cause) in Cause::ALL.into_iter().enumerate() {
            assert_eq!(cause as usize, number);
            (0..=number).for_each(|_| tally.retry(cause));
        }
        for (number, cause) in Cause::ALL.into_iter().enumerate() {
            assert_eq!(tally.retries(cause), number as u64 + 1, "{}", cause.as_str());
        }
    }
}
