//! What a response to a webhook means and how long to wait before the next attempt. Pure.

use std::time::Duration;

/// The wait before the second attempt is up to this long, and doubles from there.
const FIRST_WAIT: Duration = Duration::from_secs(2);
/// The longest wait.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// The shortest wait.
const SHORTEST_WAIT: Duration = Duration::from_millis(250);
/// Deliveries are given up after this,
const PATIENCE: Duration = Duration::from_secs(3 * 24 * 3600);
/// but so often at least: how old a message is says a clock that may have been wrong when it was written.
const FEWEST_TRIES: u32 = 16;

/// What a response means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It arrived.
    Done,
    /// A retry may succeed.
    Later,
    /// It would be refused again.
    Never,
}

/// What an HTTP status means. Redirects are never followed: they would send the message elsewhere.
pub(super) fn decide(status: u16) -> Verdict {
    match status {
        200..300 => Verdict::Done,
        408 | 409 | 425 | 429 | 500.. => Verdict::Later,
        _ => Verdict::Never,
    }
}

/// The wait before the next attempt after `attempts` failed ones, the message being `age` old: uniformly random below a bound that
/// doubles (full jitter). `None`: it was retried for long enough. `random` is in `0.0..1.0`.
///
/// Source: <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>.
pub(crate) fn wait(attempts: u32, age: Duration, random: f64) -> Option<Duration> {
    if age >= PATIENCE && attempts >= FEWEST_TRIES {
        return None;
    }
    let doublings = attempts.saturating_sub(1).min(16);
    let bound = FIRST_WAIT.saturating_mul(1 << doublings).min(LONGEST_WAIT);
    Some(bound.mul_f64(random.clamp(0.0, 1.0)).max(SHORTEST_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_has_its_meaning() {
        for (status, verdict) in [
            (200, Verdict::Done),
            (204, Verdict::Done),
            (301, Verdict::Never),
            (400, Verdict::Never),
            (404, Verdict::Never),
            (410, Verdict::Never),
            (408, Verdict::Later),
            (409, Verdict::Later),
            (425, Verdict::Later),
            (429, Verdict::Later),
            (500, Verdict::Later),
            (503, Verdict::Later),
        ] {
            assert_eq!(decide(status), verdict, "{status}");
        }
    }

    #[test]
    fn waits_double_up_to_an_hour_and_end_after_three_days() {
        let bounds: Vec<u64> =
            (1..14).map(|attempts| wait(attempts, Duration::ZERO, 1.0).unwrap_or_default().as_secs()).collect();
        assert_eq!(bounds, [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600, 3600]);
        assert_eq!(wait(5, Duration::ZERO, 0.0), Some(SHORTEST_WAIT));
        assert_eq!(wait(u32::MAX, Duration::from_secs(3600), 0.5), Some(LONGEST_WAIT / 2));
        assert_eq!(wait(FEWEST_TRIES, PATIENCE, 0.5), None);
        assert_eq!(wait(1, PATIENCE * 1_000, 1.0), Some(FIRST_WAIT), "written in 1970, so to say");
    }
}
