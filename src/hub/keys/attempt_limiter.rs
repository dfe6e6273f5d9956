//! How often a password may be guessed.
//!
//! Wrong guesses are counted for each thing that is guarded, by each address that guesses and by all together. The
//! first bound stops one guesser without locking others out; the second stops many that guess together. A third stops one
//! address that tries one password on everything. Of IPv6 the network counts: everybody has 2^64 addresses.
//!
//! Must never know: the clock (it is given), what is guarded.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{KeysError, passwords};

/// Wrong guesses of one address in a window.
const OF_ONE: u32 = 10;
/// Wrong guesses of one address at all things together in a window.
const OF_ONE_AT_ALL: u32 = 50;
/// Wrong guesses of all together in a window.
const OF_ALL: u32 = 100;
/// How long wrong guesses count.
const WINDOW: Duration = Duration::from_secs(5 * 60);
/// So many counters are kept, then those that are over are dropped.
const MANY: usize = 10_000;

/// What all things together are counted as.
const EVERYTHING: &str = "";

/// The address that is counted: of IPv6 the first half.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) >> 64 << 64).into()),
        address => address,
    }
}

/// Counts wrong limiter.
#[derive(Debug, Default)]
pub(crate) struct AttemptLimiter {
    counters: Mutex<HashMap<(String, Option<IpAddr>), Counter>>,
}

#[derive(Debug)]
struct Counter {
    since: Instant,
    wrong: u32,
}

impl AttemptLimiter {
    /// Refuses another guess at `what` where there were too many.
    pub(crate) fn check(&self, what: &str, guesser: Option<IpAddr>, now: Instant) -> Result<(), KeysError> {
        let counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        let guesser = guesser.map(network);
        let at_all = guesser.map(|_| (EVERYTHING, guesser, OF_ONE_AT_ALL));
        let wait = [(what, guesser, OF_ONE), (what, None, OF_ALL)]
            .into_iter()
            .chain(at_all)
            .filter_map(|(what, guesser, most)| {
                let counter = counters.get(&(what.to_owned(), guesser))?;
                let left = WINDOW.saturating_sub(now.saturating_duration_since(counter.since));
                (counter.wrong >= most && !left.is_zero()).then_some(left)
            })
            .max();
        wait.map_or(Ok(()), |wait| Err(KeysError::TooManyAttempts(wait)))
    }

    /// Counts a wrong guess.
    pub(crate) fn wrong(&self, what: &str, guesser: Option<IpAddr>, now: Instant) {
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        if counters.len() >= MANY {
            counters.retain(|_, counter| now.saturating_duration_since(counter.since) < WINDOW);
        }
        let guesser = guesser.map(network);
        let all = guesser.iter().flat_map(|_| [(what, None), (EVERYTHING, guesser)]);
        for (what, guesser) in std::iter::once((what, guesser)).chain(all) {
            let counter = counters.entry((what.to_owned(), guesser)).or_insert(Counter { since: now, wrong: 0 });
            if now.saturating_duration_since(counter.since) >= WINDOW {
                *counter = Counter { since: now, wrong: 0 };
            }
            counter.wrong = counter.wrong.saturating_add(1);
        }
    }

    /// Compares a password with what is stored for `what`, within the bounds on guessing.
    pub(crate) async fn guess(
        &self,
        what: &str,
        guesser: Option<IpAddr>,
        password: String,
        stored: String,
    ) -> Result<bool, KeysError> {
        self.check(what, guesser, Instant::now())?;
        let right = passwords::matches(password, stored).await?;
        if !right {
            self.wrong(what, guesser, Instant::now());
            tracing::warn!(what, guesser = guesser.map(tracing::field::display), "wrong password");
        }
        Ok(right)
    }

    /// Takes as long as a wrong guess, and counts as one, where there is nothing to compare with.
    pub(crate) async fn guess_nothing(
        &self,
        what: &str,
        guesser: Option<IpAddr>,
        password: String,
    ) -> Result<(), KeysError> {
        self.check(what, guesser, Instant::now())?;
        passwords::match_nothing(password).await?;
        self.wrong(what, guesser, Instant::now());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)));
    const THERE: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2)));

    #[test]
    fn one_guesser_is_stopped_for_a_while_and_others_are_not() {
        let (limiter, start) = (AttemptLimiter::default(), Instant::now());
        for _ in 0..OF_ONE {
            limiter.check("link", HERE, start).unwrap();
            limiter.wrong("link", HERE, start);
        }
        let refused = limiter.check("link", HERE, start);
        assert!(matches!(refused, Err(KeysError::TooManyAttempts(WINDOW))));
        limiter.check("link", THERE, start).unwrap();
        limiter.check("other", HERE, start).unwrap();
        limiter.check("link", HERE, start + WINDOW).unwrap();
    }

    #[test]
    fn one_address_is_stopped_whatever_it_guesses_and_from_wherever_in_its_network() {
        let (limiter, start) = (AttemptLimiter::default(), Instant::now());
        for number in 0..OF_ONE_AT_ALL {
            let address = format!("2001:db8::{number:x}").parse().unwrap();
            limiter.check(&number.to_string(), Some(address), start).unwrap();
            limiter.wrong(&number.to_string(), Some(address), start);
        }
        assert!(limiter.check("another", Some("2001:db8::ffff".parse().unwrap()), start).is_err());
        assert!(limiter.check("another", Some("2001:db8:1::1".parse().unwrap()), start).is_ok());
    }

    #[test]
    fn many_guessers_together_are_stopped() {
        let (limiter, start) = (AttemptLimiter::default(), Instant::now());
        for last in 0..OF_ALL {
            limiter.wrong("link", Some(IpAddr::V4(last.into())), start);
        }
        assert!(limiter.check("link", HERE, start).is_err());
    }

    /// A password that is too long told whether there was such an account, and was not counted.
    #[tokio::test]
    async fn a_password_that_is_too_long_is_wrong_and_counted_whether_there_is_something_to_compare_with_or_not() {
        let (limiter, long) = (AttemptLimiter::default(), "x".repeat(1025));
        let stored = passwords::hash("right".into()).await.unwrap();
        for _ in 0..OF_ONE {
            limiter.guess_nothing("unknown", HERE, long.clone()).await.unwrap();
            assert!(!limiter.guess("known", HERE, long.clone(), stored.clone()).await.unwrap());
        }
        let unknown = limiter.guess_nothing("unknown", HERE, long.clone()).await;
        assert!(matches!(unknown, Err(KeysError::TooManyAttempts(_))));
        assert!(matches!(limiter.guess("known", HERE, long, stored).await, Err(KeysError::TooManyAttempts(_))));
    }

    #[test]
    fn counters_that_are_over_are_dropped() {
        let (limiter, start) = (AttemptLimiter::default(), Instant::now());
        for number in 0..MANY {
            limiter.wrong(&number.to_string(), None, start);
        }
        limiter.wrong("last", None, start + WINDOW);
        assert_eq!(limiter.counters.lock().unwrap().len(), 1);
    }
}
