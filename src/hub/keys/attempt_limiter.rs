//! How often a password may be guessed.
//!
//! An attempt is counted before its password is compared, and uncounted if the password is right: concurrent attempts
//! are bounded like attempts that come one by one. Between looking at a counter and counting nothing is awaited.
//!
//! Attempts are counted for each thing that is guarded, by each address that guesses and by all together. The first bound stops
//! one guesser without locking others out. The second stops many that guess together; a client that has not guessed wrongly anywhere
//! still has one attempt, so that no one can lock out others. A third stops one address that tries one
//! password on everything. Of IPv6 the network counts: everybody has 2^64 addresses.
//!
//! Keys are digests and their number is bounded: memory use does not depend on the length of the input.
//!
//! Hubs that share a database count there as well, under the same keys and with the same bounds: `records::counters`.
//!
//! Must never know: the clock (it is passed in), or what is guarded.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::{KeysError, passwords};

/// Wrong guesses of one address in a window.
const OF_ONE: u32 = 10;
/// Wrong guesses of one address at all things together in a window.
const OF_ONE_AT_ALL: u32 = 50;
/// Wrong guesses of all together in a window.
const OF_ALL: u32 = 100;
/// How long wrong guesses count.
pub(crate) const WINDOW: Duration = Duration::from_secs(5 * 60);
/// When to retry if only attempts in progress are in the way: these may all be right.
const SOON: Duration = Duration::from_secs(1);
/// The maximum number of counters: some 6 MB.
const MOST_COUNTERS: usize = 65_536;

/// What a counter counts, as a digest.
pub(crate) type Key = [u8; 32];

/// The first bits of an address; of IPv4 all.
fn network(address: IpAddr, bits: u32) -> IpAddr {
    match address {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) >> (128 - bits) << (128 - bits)).into()),
        address => address,
    }
}

fn key(scope: &str, what: &str, guesser: Option<IpAddr>) -> Key {
    let mut digest = Sha256::new();
    // The scopes are our own words, and what is guarded is a digest: two different keys never have the same bytes.
    digest.update(scope);
    digest.update(Sha256::digest(what));
    match guesser {
        Some(IpAddr::V4(address)) => digest.update(address.octets()),
        Some(IpAddr::V6(address)) => digest.update(address.octets()),
        None => {}
    }
    digest.finalize().into()
}

/// The counters of an attempt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keys {
    /// This guesser at this thing.
    of_one: Key,
    /// Everybody at this thing.
    of_all: Key,
    /// One client against everything, and its site against everything: the owner of one IPv6 network often has 65,536 of them.
    at_all: Option<(Key, Key)>,
}

impl Keys {
    pub(crate) fn new(what: &str, guesser: Option<IpAddr>) -> Self {
        let host = guesser.map(|address| network(address, 64));
        let at_all = guesser.map(|address| (key("at all", "", host), key("site", "", Some(network(address, 48)))));
        Self { of_one: key("one", what, host), of_all: key("all", what, None), at_all }
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = Key> {
        [self.of_one, self.of_all].into_iter().chain(self.at_all.into_iter().flat_map(|(host, site)| [host, site]))
    }

    /// How long the attempt must wait, if at all. `wait` says that of a counter, given how many it may have counted.
    pub(crate) fn wait(&self, wait: impl Fn(&Key, u32) -> Option<Duration>) -> Option<Duration> {
        let of_all = wait(&self.of_all, OF_ALL).and_then(|left| match &self.at_all {
            // One attempt, as long as none has failed.
            Some((_, site)) => wait(site, 1).map(|own| own.min(left)),
            None => Some(left),
        });
        let at_all = self.at_all.and_then(|(host, _)| wait(&host, OF_ONE_AT_ALL));
        wait(&self.of_one, OF_ONE).max(of_all).max(at_all)
    }
}

#[derive(Debug)]
struct Counter {
    since: Instant,
    wrong: u32,
    /// Attempts that are being compared.
    pending: u32,
}

impl Counter {
    /// The length of the counting window.
    fn left(&self, now: Instant) -> Duration {
        WINDOW.saturating_sub(now.saturating_duration_since(self.since))
    }

    /// Forgets failures older than a window.
    fn renew(&mut self, now: Instant) {
        if self.left(now).is_zero() {
            (self.since, self.wrong) = (now, 0);
        }
    }

    /// How long to wait for another attempt, given how many may fail.
    fn wait(&self, most: u32, now: Instant) -> Option<Duration> {
        let left = self.left(now);
        let wrong = if left.is_zero() { 0 } else { self.wrong };
        if wrong >= most { Some(left) } else { (wrong.saturating_add(self.pending) >= most).then_some(SOON) }
    }
}

/// Counts attempts.
#[derive(Debug)]
pub(crate) struct AttemptLimiter {
    counters: Mutex<HashMap<Key, Counter>>,
    most_counters: usize,
}

impl Default for AttemptLimiter {
    fn default() -> Self {
        Self { counters: Mutex::default(), most_counters: MOST_COUNTERS }
    }
}

/// An attempt that is counted. If dropped, it counts as failed: a caller that disconnects before the response has used it.
#[derive(Debug)]
pub(crate) struct Attempt<'a> {
    limiter: &'a AttemptLimiter,
    keys: Keys,
    is_wrong: bool,
}

impl Attempt<'_> {
    /// It does not count: it was right, or not compared.
    pub(crate) fn give_back(mut self) {
        self.is_wrong = false;
    }

    /// Compares a password with the hash that is stored. Where there is none, it is wrong, after as long.
    pub(crate) async fn compare(self, password: String, stored: Option<String>) -> Result<bool, KeysError> {
        let compared = match stored {
            Some(stored) => passwords::matches(password, stored).await,
            None => passwords::match_nothing(password).await.map(|()| false),
        };
        if !matches!(compared, Ok(false)) {
            self.give_back();
        }
        compared
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let mut counters = self.limiter.lock();
        for key in self.keys.iter() {
            if let Some(counter) = counters.get_mut(&key) {
                counter.pending = counter.pending.saturating_sub(1);
                counter.wrong = counter.wrong.saturating_add(self.is_wrong.into());
            }
        }
    }
}

impl AttemptLimiter {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Counter>> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an attempt at `what`, or refuses it if there were too many.
    pub(crate) fn begin(&self, what: &str, guesser: Option<IpAddr>, at: Instant) -> Result<Attempt<'_>, KeysError> {
        let keys = Keys::new(what, guesser);
        let mut counters = self.lock();
        if let Some(wait) = keys.wait(|key, most| counters.get(key).and_then(|counter| counter.wait(most, at))) {
            return Err(KeysError::TooManyAttempts(wait));
        }
        make_room(&mut counters, self.most_counters, at);
        for key in keys.iter() {
            let counter = counters.entry(key).or_insert(Counter { since: at, wrong: 0, pending: 0 });
            counter.renew(at);
            counter.pending = counter.pending.saturating_add(1);
        }
        Ok(Attempt { limiter: self, keys, is_wrong: true })
    }
}

/// Makes room for the counters of another attempt: first those go that are over, then the half that counted least, which
/// an attacker can fill without losing what others have counted.
fn make_room(counters: &mut HashMap<Key, Counter>, most: usize, now: Instant) {
    const OF_AN_ATTEMPT: usize = 4;
    if counters.len() + OF_AN_ATTEMPT <= most {
        return;
    }
    counters.retain(|_, counter| counter.pending > 0 || !counter.left(now).is_zero());
    if counters.len() + OF_AN_ATTEMPT <= most {
        return;
    }
    let mut counts: Vec<u32> = counters.values().map(|counter| counter.wrong).collect();
    counts.sort_unstable();
    let median = counts.get(counts.len() / 2).copied().unwrap_or_default();
    let mut surplus = counts.len() / 2;
    counters.retain(|_, counter| {
        let goes = surplus > 0 && counter.pending == 0 && counter.wrong <= median;
        surplus -= usize::from(goes);
        !goes
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)));
    const THERE: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2)));

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    impl AttemptLimiter {
        /// A wrong attempt, if there may be another.
        fn wrong(&self, what: &str, guesser: Option<IpAddr>, at: Instant) -> Result<(), KeysError> {
            self.begin(what, guesser, at).map(drop)
        }

        /// How long a caller with the right password would have to wait, if at all.
        fn right(&self, what: &str, guesser: Option<IpAddr>, at: Instant) -> Option<Duration> {
            match self.begin(what, guesser, at) {
                Ok(attempt) => attempt.give_back(),
                Err(KeysError::TooManyAttempts(wait)) => return Some(wait),
                Err(error) => panic!("{error}"),
            }
            None
        }
    }

    /// Case: the right password, or code, from an address without wrong guesses passes.
    #[test]
    fn one_guesser_is_stopped_for_a_while_and_others_are_not() {
        let (limiter, start) = (AttemptLimiter::default(), Instant::now());
        for _ in 0..OF_ONE {
            limiter.wrong("link", HERE, start).unwrap();
        }
        assert_eq!(limiter.right("link", HERE, start), Some(WINDOW));
        assert_eq!(limiter.right("link", THERE, start), None);
        assert_eq!(limiter.right("other", HERE, start), None);
        assert_eq!(limiter.right("link", HERE, start + WINDOW), None);
    }

    /// Concurrent attempts were all compared, because none was counted before the others were checked.
    #[test]
    fn attempts_count_while_they_are_compared_and_not_if_they_were_right() {
        let (limiter, start) = (AttemptLimiter::default(), Instant::now());
        let begun: Vec<_> = (0..OF_ONE).map(|_| limiter.begin("link", HERE, start).unwrap()).collect();
        assert_eq!(limiter.right("link", HERE, start), Some(SOON));
        begun.into_iter().for_each(Attempt::give_back);
        for _ in 0..1000 {
            assert_eq!(limiter.right("link", HERE, start), None);
        }
    }

    /// Case: one password is tried on every account, from all addresses of an IPv6 network.
    #[test]
    fn one_address_is_stopped_whatever_it_guesses_and_from_wherever_in_its_network() {
        let (limiter, start) = (AttemptLimiter::default(), Instant::now());
        for number in 0..OF_ONE_AT_ALL {
            limiter.wrong(&number.to_string(), address(&format!("2001:db8::{number:x}")), start).unwrap();
        }
        assert_eq!(limiter.right("another", address("2001:db8::ffff"), start), Some(WINDOW));
        assert_eq!(limiter.right("another", address("2001:db8:1::1"), start), None);
    }

    /// Wrong guesses at an account, a link or a portal locked everybody out of it.
    #[test]
    fn many_guessers_together_are_stopped_and_who_has_not_guessed_wrongly_is_not() {
        let (limiter, start) = (AttemptLimiter::default(), Instant::now());
        for last in 0..OF_ALL {
            limiter.wrong("link", Some(IpAddr::V4(last.into())), start).unwrap();
        }
        assert_eq!(limiter.right("link", Some(IpAddr::V4(0.into())), start), Some(WINDOW));
        for _ in 0..OF_ALL {
            assert_eq!(limiter.right("link", HERE, start), None);
        }
        limiter.wrong("link", THERE, start).unwrap();
        assert_eq!(limiter.right("link", THERE, start), Some(WINDOW));
        limiter.wrong("link", address("2001:db8::1"), start).unwrap();
        assert_eq!(limiter.right("link", address("2001:db8:0:1::1"), start), Some(WINDOW), "of the same site");
        assert_eq!(limiter.right("link", None, start), Some(WINDOW));
    }

    /// A password that was too long revealed whether the account existed, and was not counted.
    #[tokio::test]
    async fn a_password_that_is_too_long_is_wrong_and_counted_whether_there_is_something_to_compare_with_or_not() {
        let (limiter, long) = (AttemptLimiter::default(), "x".repeat(1025));
        let stored = passwords::hash("right".into()).await.unwrap();
        for _ in 0..OF_ONE {
            for (what, stored) in [("unknown", None), ("known", Some(stored.clone()))] {
                let attempt = limiter.begin(what, HERE, Instant::now()).unwrap();
                assert!(!attempt.compare(long.clone(), stored).await.unwrap());
            }
        }
        for what in ["unknown", "known"] {
            let another = limiter.begin(what, HERE, Instant::now());
            assert!(matches!(another, Err(KeysError::TooManyAttempts(_))), "{what}");
        }
    }

    /// Counters were kept under whatever was sent as an address, without a bound.
    #[test]
    fn the_counters_are_bounded_and_those_that_counted_most_are_kept() {
        let (limiter, start) = (AttemptLimiter { most_counters: 400, ..AttemptLimiter::default() }, Instant::now());
        for _ in 0..OF_ONE {
            limiter.wrong("attacked", HERE, start).unwrap();
        }
        for number in 0..1000 {
            limiter.wrong(&number.to_string(), Some(IpAddr::V4(number.into())), start).unwrap();
            assert!(limiter.lock().len() <= 400);
        }
        assert_eq!(limiter.right("attacked", HERE, start), Some(WINDOW));
        for number in 0..100 {
            let other = Some(IpAddr::V4((number + (1 << 24)).into()));
            limiter.wrong(&format!("other {number}"), other, start + WINDOW).unwrap();
        }
        assert!(limiter.lock().values().all(|counter| counter.since == start + WINDOW));
    }
}
