//! Places for connections: how many there are, and which connection makes room for a new one.
//!
//! There is a total number of places, and a number for each address, so that one address cannot take them all. If none is left,
//! a connection without a request (it is idle, or its head does not come to an end) is ended after [`GRACE`], one of a crowd sooner; whoever
//! has a request keeps the place. Further connections wait, up to a limit.
//!
//! Must never know: HTTP, what is sent over a connection.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// How long a connection may be without a request before it has to make room for another.
const GRACE: Duration = Duration::from_secs(2);
/// The same for a connection of an address that has [`CROWD`] or more, and more than twice as many as the one that waits.
const CROWDS_GRACE: Duration = Duration::from_millis(100);
/// Fewer connections of one address are no crowd.
const CROWD: usize = 64;
/// How often a waiting connection checks whether another can be ended.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// How many connections may wait for a place.
const MOST_WAITING: usize = 1024;
/// How many of one address may wait for a place.
const MOST_WAITING_OF_ONE: usize = 64;

/// The network that counts as one address: with IPv6, everyone has 2^64 addresses.
pub(super) fn host(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) >> 64 << 64).into()),
        address => address,
    }
}

/// The places.
#[derive(Debug)]
pub(super) struct Slots {
    table: Mutex<Table>,
    freed: Notify,
    most: usize,
    most_of_one: usize,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    taken: HashMap<u64, Arc<Slot>>,
    of: HashMap<IpAddr, usize>,
    waiting: usize,
    waiting_of: HashMap<IpAddr, usize>,
}

/// The place of a connection.
#[derive(Debug)]
pub(super) struct Slot {
    host: Option<IpAddr>,
    work: Mutex<Work>,
    /// Cancelled when the connection has to make room.
    pub ended: CancellationToken,
}

#[derive(Debug)]
struct Work {
    requests: usize,
    idle_since: Instant,
}

/// A place that is taken; released when this is dropped.
#[derive(Debug)]
pub(super) struct Taken {
    slots: Arc<Slots>,
    id: u64,
    pub slot: Arc<Slot>,
}

/// A request on a connection, which keeps its place as long as this lives.
#[derive(Debug)]
pub(super) struct InRequest(Arc<Slot>);

impl Slot {
    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request has begun.
    pub(super) fn begin(self: &Arc<Self>) -> InRequest {
        self.work().requests += 1;
        InRequest(Arc::clone(self))
    }

    /// How long there has been no request; nothing while there is one.
    fn idle_for(&self, now: Instant) -> Option<Duration> {
        let work = self.work();
        (work.requests == 0).then(|| now.saturating_duration_since(work.idle_since))
    }
}

impl Drop for InRequest {
    fn drop(&mut self) {
        let mut work = self.0.work();
        work.requests = work.requests.saturating_sub(1);
        work.idle_since = Instant::now();
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.slots.lock().remove(self.id);
        self.slots.freed.notify_waiters();
    }
}

impl Table {
    fn remove(&mut self, id: u64) {
        let Some(slot) = self.taken.remove(&id) else { return };
        if let Some(host) = slot.host {
            count_down(&mut self.of, host);
        }
    }

    fn count_of(&self, host: Option<IpAddr>) -> usize {
        host.and_then(|host| self.of.get(&host)).copied().unwrap_or_default()
    }

    /// Ends the connection that has been without a request for the longest time, of the address that has most; of `of` alone, where
    /// one is given. It makes room for one of `newcomer`. Whether there was one.
    fn end_one(&mut self, of: Option<IpAddr>, newcomer: Option<IpAddr>, now: Instant) -> bool {
        let own = self.count_of(newcomer);
        let candidates = self.taken.iter().filter(|(_, slot)| of.is_none() || slot.host == of);
        let idle = candidates.filter_map(|(id, slot)| {
            let count = self.count_of(slot.host);
            let grace = if count >= CROWD && count / 2 > own { CROWDS_GRACE } else { GRACE };
            let idle = slot.idle_for(now).filter(|idle| *idle >= grace)?;
            Some((count, idle, *id))
        });
        let Some((_, _, id)) = idle.max() else { return false };
        if let Some(slot) = self.taken.get(&id) {
            slot.ended.cancel();
        }
        self.remove(id);
        true
    }
}

fn count_down(counts: &mut HashMap<IpAddr, usize>, host: IpAddr) {
    if let Some(count) = counts.get_mut(&host) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&host);
        }
    }
}

/// A connection waiting for a place.
struct Waiting<'a> {
    slots: &'a Slots,
    host: Option<IpAddr>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut table = self.slots.lock();
        table.waiting = table.waiting.saturating_sub(1);
        if let Some(host) = self.host {
            count_down(&mut table.waiting_of, host);
        }
    }
}

impl Slots {
    /// This many places, and this many of them for one address.
    pub(super) fn new(most: usize, most_of_one: usize) -> Self {
        Self { table: Mutex::default(), freed: Notify::new(), most: most.max(1), most_of_one: most_of_one.max(1) }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a connection of `host` (`None` for a proxy, which speaks for many), as soon as there is one; nothing where too many
    /// wait for one.
    pub(super) async fn take(self: &Arc<Self>, host: Option<IpAddr>) -> Option<Taken> {
        if let Some(taken) = self.try_take(host, Instant::now()) {
            return Some(taken);
        }
        let _waiting = self.wait(host)?;
        loop {
            let freed = self.freed.notified();
            if let Some(taken) = self.try_take(host, Instant::now()) {
                return Some(taken);
            }
            let _ = tokio::time::timeout(LOOK_AGAIN, freed).await;
        }
    }

    fn wait(&self, host: Option<IpAddr>) -> Option<Waiting<'_>> {
        let mut table = self.lock();
        let of_one = host.and_then(|host| table.waiting_of.get(&host)).copied().unwrap_or_default();
        if table.waiting >= MOST_WAITING || of_one >= MOST_WAITING_OF_ONE {
            return None;
        }
        table.waiting += 1;
        if let Some(host) = host {
            *table.waiting_of.entry(host).or_default() += 1;
        }
        drop(table);
        Some(Waiting { slots: self, host })
    }

    fn try_take(self: &Arc<Self>, host: Option<IpAddr>, now: Instant) -> Option<Taken> {
        let mut table = self.lock();
        let has_room = (table.count_of(host) < self.most_of_one || table.end_one(host, host, now))
            && (table.taken.len() < self.most || table.end_one(None, host, now));
        if !has_room {
            return None;
        }
        let (id, work) = (table.next, Mutex::new(Work { requests: 0, idle_since: now }));
        table.next += 1;
        let slot = Arc::new(Slot { host, work, ended: CancellationToken::new() });
        table.taken.insert(id, Arc::clone(&slot));
        if let Some(host) = host {
            *table.of.entry(host).or_default() += 1;
        }
        drop(table);
        Some(Taken { slots: Arc::clone(self), id, slot })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, last]))
    }

    /// Case: half-sent heads of one address took all 2,048 connections.
    #[test]
    fn one_address_gets_so_many_places_and_a_proxy_all() {
        let (slots, now) = (Arc::new(Slots::new(5, 2)), Instant::now());
        let held: Vec<_> = (0..2).map(|_| slots.try_take(address(1), now).unwrap()).collect();
        assert!(slots.try_take(address(1), now).is_none());
        assert!(slots.try_take(address(2), now).is_some());
        drop(held);
        let proxied: Vec<_> = (0..5).map(|_| slots.try_take(None, now).unwrap()).collect();
        assert!(slots.try_take(address(1), now).is_none(), "all are taken");
        drop(proxied);
        let table = slots.lock();
        assert!(table.taken.is_empty() && table.of.is_empty());
    }

    /// Case: connections without a whole request give way when somebody else waits; a transfer does not.
    #[test]
    fn who_has_no_request_makes_room_and_who_has_one_does_not() {
        let (slots, now) = (Arc::new(Slots::new(3, 2)), Instant::now());
        let (busy, idle) = (slots.try_take(address(1), now).unwrap(), slots.try_take(address(1), now).unwrap());
        let request = busy.slot.begin();
        assert!(slots.try_take(address(1), now + GRACE / 2).is_none(), "it has just come");
        let later = now + GRACE;
        let _new = slots.try_take(address(1), later).unwrap();
        assert!(idle.slot.ended.is_cancelled() && !busy.slot.ended.is_cancelled());
        // Given back twice, it counts once.
        drop(idle);
        assert_eq!(slots.lock().count_of(address(1)), 2);
        let _other = slots.try_take(address(2), later).unwrap();
        let _another = slots.try_take(address(3), later + GRACE).unwrap();
        assert!(!busy.slot.ended.is_cancelled());
        drop(request);
        assert_eq!(busy.slot.idle_for(Instant::now()).map(|idle| idle < GRACE), Some(true));
    }

    /// Eight addresses with heads that do not end took all places at once, and whoever came then waited for two seconds.
    #[test]
    fn a_crowd_makes_room_sooner_for_whoever_has_few() {
        let (slots, now) = (Arc::new(Slots::new(CROWD + 10, CROWD)), Instant::now());
        let crowd: Vec<_> = (0..CROWD).map(|_| slots.try_take(address(1), now).unwrap()).collect();
        let few: Vec<_> = (0..10).map(|_| slots.try_take(address(2), now).unwrap()).collect();
        assert!(slots.try_take(address(3), now).is_none(), "they have just come");
        let soon = now + CROWDS_GRACE;
        assert!(slots.try_take(address(1), soon).is_none(), "a crowd makes no room for itself");
        let _new = slots.try_take(address(3), soon).unwrap();
        assert_eq!(crowd.iter().filter(|one| one.slot.ended.is_cancelled()).count(), 1);
        assert!(few.iter().all(|one| !one.slot.ended.is_cancelled()));
    }

    #[test]
    fn of_ipv6_a_network_is_one_address() {
        let host = |text: &str| host(text.parse().unwrap());
        assert_eq!(host("2001:db8::1"), host("2001:db8::ffff"));
        assert_ne!(host("2001:db8::1"), host("2001:db8:0:1::1"));
        assert_eq!(host("::ffff:192.0.2.1"), host("192.0.2.1"));
    }

    #[tokio::test]
    async fn so_many_wait_and_no_more() {
        let slots = Arc::new(Slots::new(1, 1));
        let held = slots.take(address(1)).await.unwrap();
        let _request = held.slot.begin();
        let mut waiting: Vec<_> = (0..MOST_WAITING_OF_ONE).map(|_| Box::pin(slots.take(address(1)))).collect();
        for one in &mut waiting {
            assert!(futures_util::poll!(one).is_pending());
        }
        assert!(slots.take(address(1)).await.is_none());
        drop(waiting);
        let mut next = Box::pin(slots.take(address(1)));
        assert!(futures_util::poll!(&mut next).is_pending());
        drop((_request, held));
        assert!(next.await.is_some());
    }
}
