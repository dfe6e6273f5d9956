//! One circuit per host: while a host is known to be unavailable, a single occasional call probes on behalf of all.
//!
//! Without it, every worker of every upload would keep calling during an outage. With it, the first
//! failures open the circuit; from then on a single *probe* at a time is let through, ever more rarely, and the
//! others wait for its outcome. The first success closes it and all continue at once. The decisions are pure
//! ([`Circuit`], time comes in); [`Circuits`] adds the clock and the waiting.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use masv_client::CloudError;

/// Failures in a row that open the circuit.
const OPEN_AFTER: u32 = 3;
/// The first probe is made this long after opening; the wait doubles from there.
const FIRST_PROBE: Duration = Duration::from_secs(1);
/// Probes are at least this frequent, so that recovery is quick.
const SLOWEST_PROBE: Duration = Duration::from_secs(30);

/// What a caller of a host may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leave {
    /// Call.
    Go,
    /// Ask again after this long.
    Wait(Duration),
}

/// The circuit of one host; one that has been reached again is a new one. Times are of any steady clock.
#[derive(Debug, Default)]
pub(crate) struct Circuit {
    failures: u32,
    /// When the next probe may be made; `None` while the circuit is closed.
    probe_at: Option<Duration>,
    probes: u32,
}

impl Circuit {
    /// May a call be made at `now`? When the circuit is open, `Go` makes the caller the probe.
    pub(crate) fn ask(&mut self, now: Duration) -> Leave {
        match self.probe_at {
            None => Leave::Go,
            Some(at) if at <= now => {
                // A probe that never tells its outcome (cancelled) is replaced after the same wait.
                self.probe_at = Some(now + self.wait());
                Leave::Go
            }
            Some(at) => Leave::Wait(at - now),
        }
    }

    /// A call did not get through, at `now`.
    pub(crate) fn failed(&mut self, now: Duration) {
        self.failures = self.failures.saturating_add(1);
        if self.failures >= OPEN_AFTER {
            self.probe_at = Some(now + self.wait());
            self.probes = self.probes.saturating_add(1);
        }
    }

    fn wait(&self) -> Duration {
        FIRST_PROBE.saturating_mul(1 << self.probes.min(10)).min(SLOWEST_PROBE)
    }
}

/// The circuits of all hosts.
#[derive(Debug)]
pub(crate) struct Circuits {
    started: Instant,
    hosts: Mutex<HashMap<String, Circuit>>,
    /// A host has been reached again.
    closed: Notify,
}

impl Circuits {
    pub(crate) fn new() -> Self {
        Self { started: Instant::now(), hosts: Mutex::default(), closed: Notify::new() }
    }

    fn hosts(&self) -> MutexGuard<'_, HashMap<String, Circuit>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether `host` may be called now; where its circuit is open, the caller is the probe then.
    pub(crate) fn may_call(&self, host: &str) -> bool {
        let now = self.started.elapsed();
        self.hosts().get_mut(host).is_none_or(|circuit| circuit.ask(now) == Leave::Go)
    }

    /// How long until `host` may be probed; `None` if it may be called or probed now.
    pub(crate) fn away_for(&self, host: &str) -> Option<Duration> {
        let now = self.started.elapsed();
        let at = self.hosts().get(host)?.probe_at?;
        at.checked_sub(now).filter(|wait| !wait.is_zero())
    }

    /// Waits until `host` has been reached again, or may be probed. The waiters then ask [`Self::may_call`]: of many,
    /// one becomes the probe.
    pub(crate) async fn until_tried(&self, host: &str) {
        let closed = self.closed.notified();
        let Some(wait) = self.away_for(host) else { return };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = closed => {}
        }
    }

    /// Records the outcome of a call to `host`.
    pub(crate) fn learn(&self, host: &str, error: Option<&CloudError>) {
        if error.is_some_and(is_away) {
            self.hosts().entry(host.to_owned()).or_default().failed(self.started.elapsed());
        } else if self.hosts().remove(host).is_some() {
            self.closed.notify_waiters();
        }
    }
}

/// Whether the failure means that the host, or something in front of it, is currently unavailable.
fn is_away(error: &CloudError) -> bool {
    match error {
        CloudError::Unreachable { .. } => true,
        CloudError::Refused { status, .. } => matches!(status, 502..=504),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn single_failures_do_not_open_it() {
        let mut circuit = Circuit::default();
        for second in 0..100 {
            circuit.failed(SECOND * second);
            assert_eq!(circuit.ask(SECOND * second), Leave::Go);
            circuit = Circuit::default();
        }
    }

    #[test]
    fn an_outage_of_an_hour_costs_few_requests_and_recovery_is_quick() {
        let mut circuit = Circuit::default();
        let mut requests = 0;
        // Sixteen workers, each asking ten times a second, for an hour.
        for tenth in 0..36_000u32 {
            let now = SECOND * tenth / 10;
            for _ in 0..16 {
                if circuit.ask(now) == Leave::Go {
                    requests += 1;
                    circuit.failed(now);
                }
            }
        }
        assert!(requests < 200, "{requests} requests");
        let back = SECOND * 3600;
        let mut now = back;
        while circuit.ask(now) != Leave::Go {
            now += SECOND / 10;
        }
        assert!(now - back <= SLOWEST_PROBE, "the first call after {:?}", now - back);
        circuit = Circuit::default();
        assert_eq!(circuit.ask(now), Leave::Go);
        assert_eq!(circuit.ask(now), Leave::Go, "all go on at once");
    }

    #[tokio::test(start_paused = true)]
    async fn sixteen_workers_knock_seldom_for_an_hour_and_all_go_on_when_the_host_is_back() {
        use std::sync::Arc;
        use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};

        let away = CloudError::Unreachable { call: masv_client::Call::SendPart, reason: "refused".to_owned() };
        let circuits = Arc::new(Circuits::new());
        let (back, requests) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let workers: Vec<_> = (0..16)
            .map(|_| {
                let (circuits, back, requests) = (Arc::clone(&circuits), Arc::clone(&back), Arc::clone(&requests));
                let away = away.clone();
                tokio::spawn(async move {
                    loop {
                        while !circuits.may_call("storage") {
                            circuits.until_tried("storage").await;
                        }
                        requests.fetch_add(1, SeqCst);
                        // A request takes its time, whether it is answered or not.
                        tokio::time::sleep(SECOND / 10).await;
                        if back.load(SeqCst) {
                            return circuits.learn("storage", None);
                        }
                        circuits.learn("storage", Some(&away));
                        tokio::time::sleep(SECOND / 2).await;
                    }
                })
            })
            .collect();
        tokio::time::sleep(SECOND * 3600).await;
        let knocked = requests.load(SeqCst);
        assert!(knocked < 200, "{knocked} requests in an hour");
        back.store(true, SeqCst);
        let all = futures_util::future::join_all(workers);
        tokio::time::timeout(SLOWEST_PROBE + SECOND, all).await.expect("recovery is quick");
    }

    #[test]
    fn one_probe_at_a_time() {
        let mut circuit = Circuit::default();
        (0..OPEN_AFTER).for_each(|_| circuit.failed(SECOND));
        let Leave::Wait(wait) = circuit.ask(SECOND) else { panic!("it is open") };
        let then = SECOND + wait;
        assert_eq!(circuit.ask(then), Leave::Go);
        assert!(matches!(circuit.ask(then), Leave::Wait(_)));
    }
}
