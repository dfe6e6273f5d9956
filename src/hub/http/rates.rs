//! Rate limits for actions that cost others something: starting a package in a portal, the e-mails of a finalized one.
//!
//! Each kind has a limit per hour. All of it may be used at once; it is then replenished evenly, so a refused caller is told after
//! how long the next one is allowed. The number of counters is bounded: a full one need not be kept.
//!
//! A hub alone counts in memory, hubs that share a database count there.
//!
//! Must never know: the clock (it is given), what is counted.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use masv_protocol::{ErrorKind, PortalId, TeamId};
use sha2::{Digest, Sha256};

use super::refusal::Refusal;
use super::slots::host;
use crate::Hub;
use crate::records::Error;
use crate::records::counters::{self, Rate};

const HOUR: Duration = Duration::from_secs(60 * 60);
/// The maximum number of counters.
const MOST_COUNTERS: usize = 65_536;

/// How many times as much all addresses together may do.
const OF_ALL: u32 = 10;

/// Where strangers send to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place<'a> {
    Portal(&'a PortalId),
    /// All portals of a team that were removed since: their packages can still be finalized.
    Removed(&'a TeamId),
}

impl Place<'_> {
    fn name(self) -> String {
        match self {
            Self::Portal(portal) => portal.to_string(),
            Self::Removed(team) => format!("removed portals of {team}"),
        }
    }
}

/// Refuses what a stranger does with a package in a portal, where that was done too often in the last hour.
pub(crate) async fn check(
    hub: &Hub,
    what: &'static str,
    place: Place<'_>,
    address: Option<IpAddr>,
) -> Result<(), Refusal> {
    let Some(most) = hub.context.config.portal_packages_per_hour else { return Ok(()) };
    let place = place.name();
    let key = |address| (what, place.clone(), address);
    let mut counted = vec![(key(None), most.saturating_mul(OF_ALL))];
    counted.extend(address.map(|address| (key(Some(address)), most)));
    let taken = match hub.database().is_shared() {
        false => hub.server.rates.take(counted, Instant::now()),
        true => match counters::take(hub.database(), counted.iter().map(shared).collect()).await {
            Ok(()) => Ok(()),
            Err(Error::TooOften(wait)) => Err(wait),
            Err(error) => return Err(error.into()),
        },
    };
    taken.map_err(|wait| {
        tracing::warn!(
            portal = place,
            what,
            address = address.map(tracing::field::display),
            "too many packages in an hour"
        );
        let message = format!("too many packages were {what} in this portal in the last hour, try again later");
        Refusal { retry_after: Some(wait), ..Refusal::new(ErrorKind::RateLimited, message) }
    })
}

/// What is counted: something, by somebody or by all.
pub(crate) type Counted = (&'static str, String, Option<IpAddr>);

/// The same for all hubs that share the database.
fn shared(((what, which, address), an_hour): &(Counted, u32)) -> Rate {
    let mut digest = Sha256::new();
    for field in ["rate", what, which.as_str(), &address.map(|address| host(address).to_string()).unwrap_or_default()] {
        digest.update((field.len() as u64).to_be_bytes());
        digest.update(field);
    }
    Rate { key: digest.finalize().into(), pause: HOUR / (*an_hour).max(1), saved_up: HOUR }
}

/// Counts actions.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    /// When each may be used to the full again.
    full_at: Mutex<HashMap<Counted, Instant>>,
}

impl Rates {
    fn lock(&self) -> MutexGuard<'_, HashMap<Counted, Instant>> {
        self.full_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one of each of these, of which there may be so many in an hour; where one is used up, none, and how long to wait.
    pub(crate) fn take(&self, counted: Vec<(Counted, u32)>, now: Instant) -> Result<(), Duration> {
        let mut full_at = self.lock();
        let mut next = Vec::with_capacity(counted.len());
        let mut wait = Duration::ZERO;
        for ((what, which, address), an_hour) in counted {
            let key = (what, which, address.map(host));
            let step = HOUR / an_hour.max(1);
            let at = full_at.get(&key).copied().unwrap_or(now).max(now) + step;
            wait = wait.max(at.saturating_duration_since(now + HOUR));
            next.push((key, at));
        }
        // Rounding must not take away the last one.
        if wait > Duration::from_millis(1) {
            return Err(wait);
        }
        make_room(&mut full_at, next.len(), now);
        full_at.extend(next);
        Ok(())
    }
}

/// Makes room for some more: first those go that are full again, then the half that was used least.
fn make_room(full_at: &mut HashMap<Counted, Instant>, more: usize, now: Instant) {
    if full_at.len() + more <= MOST_COUNTERS {
        return;
    }
    full_at.retain(|_, at| *at > now);
    if full_at.len() + more <= MOST_COUNTERS {
        return;
    }
    let mut moments: Vec<Instant> = full_at.values().copied().collect();
    moments.sort_unstable();
    if let Some(median) = moments.get(moments.len() / 2).copied() {
        full_at.retain(|_, at| *at > median);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(address: u32) -> Vec<(Counted, u32)> {
        let address = Some(IpAddr::V4(address.into()));
        vec![(("package", "P".into(), address), 10), (("package", "P".into(), None), 25)]
    }

    /// Case: packages that one address sends to a portal, and those of all addresses together, in an hour.
    #[test]
    fn an_hours_number_may_be_used_at_once_and_comes_back_evenly() {
        let (rates, start) = (Rates::default(), Instant::now());
        for _ in 0..10 {
            rates.take(one(1), start).unwrap();
        }
        assert_eq!(rates.take(one(1), start).map_err(|wait| wait.as_secs()), Err(360));
        assert!(rates.take(one(1), start + Duration::from_secs(359)).is_err());
        rates.take(one(1), start + Duration::from_secs(360)).unwrap();
        for _ in 0..10 {
            rates.take(one(2), start).unwrap();
        }
        let of_all = (0..10).filter(|number| rates.take(one(100 + number), start).is_ok()).count();
        assert_eq!(of_all, 4, "all together");
    }

    #[test]
    fn what_is_refused_is_not_counted() {
        let (rates, start) = (Rates::default(), Instant::now());
        let took = (0..1000).filter(|_| rates.take(one(1), start).is_ok()).count();
        assert_eq!(took, 10);
        assert!(rates.take(one(1), start + HOUR).is_ok());
    }

    #[test]
    fn the_counters_are_bounded() {
        let (rates, start) = (Rates::default(), Instant::now());
        for address in 0..u32::try_from(MOST_COUNTERS).unwrap() + 10 {
            let address = Some(IpAddr::V4(address.into()));
            rates.take(vec![(("package", "P".into(), address), 10)], start).unwrap();
        }
        assert!(rates.lock().len() <= MOST_COUNTERS);
        rates.take(vec![(("package", "Q".into(), None), 10)], start + HOUR * 2).unwrap();
    }
}
