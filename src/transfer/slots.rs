//! The workers: how many parts may be on their way at once, and whose turn it is when one is free.
//!
//! Higher priority first. Within a priority the transfer that has the fewest workers, so that a package of ten thousand
//! small files and one file of 500 GB both move; then who waited longest. The choice is a pure function ([`choose`]);
//! the rest hands out permits that return by themselves when they are dropped.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// What a transfer is known by.
pub(crate) trait Key: Copy + Eq + Hash + Send + Sync + std::fmt::Debug + std::fmt::Display + 'static {}

impl<T: Copy + Eq + Hash + Send + Sync + std::fmt::Debug + std::fmt::Display + 'static> Key for T {}

/// Somebody who waits for a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Claim<Id> {
    transfer: Id,
    priority: i32,
}

/// Which of those that wait (longest first) is next, given how many workers each transfer has.
fn choose<Id: Key>(waiting: impl Iterator<Item = Claim<Id>>, busy: &HashMap<Id, usize>) -> Option<usize> {
    waiting
        .enumerate()
        .min_by_key(|(place, claim)| {
            let workers = busy.get(&claim.transfer).copied().unwrap_or(0);
            (std::cmp::Reverse(claim.priority), workers, *place)
        })
        .map(|(place, _)| place)
}

/// The workers of one direction; clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Slots<Id: Key> {
    shared: Arc<Mutex<Table<Id>>>,
}

#[derive(Debug)]
struct Table<Id: Key> {
    capacity: usize,
    taken: usize,
    busy: HashMap<Id, usize>,
    waiting: Vec<(Claim<Id>, oneshot::Sender<Slot<Id>>)>,
}

/// One worker, until it is dropped.
#[derive(Debug)]
pub(crate) struct Slot<Id: Key> {
    slots: Slots<Id>,
    transfer: Id,
}

impl<Id: Key> Slots<Id> {
    pub(crate) fn new(capacity: usize) -> Self {
        let table = Table { capacity: capacity.max(1), taken: 0, busy: HashMap::new(), waiting: Vec::new() };
        Self { shared: Arc::new(Mutex::new(table)) }
    }

    fn table(&self) -> MutexGuard<'_, Table<Id>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a worker. Dropping the future leaves the queue.
    pub(crate) async fn take(&self, transfer: Id, priority: i32) -> Slot<Id> {
        let (sender, receiver) = oneshot::channel();
        self.table().waiting.push((Claim { transfer, priority }, sender));
        self.hand_out();
        match receiver.await {
            Ok(slot) => slot,
            // The table outlives every waiter, for this method borrows a handle to it.
            Err(_) => std::future::pending().await,
        }
    }

    /// From now on there are so many workers; those above the number end with the parts they are at.
    pub(crate) fn set_capacity(&self, capacity: usize) {
        self.table().capacity = capacity.max(1);
        self.hand_out();
    }

    /// Whoever waits for this transfer waits with another priority.
    pub(crate) fn set_priority(&self, transfer: Id, priority: i32) {
        for (claim, _) in &mut self.table().waiting {
            if claim.transfer == transfer {
                claim.priority = priority;
            }
        }
    }

    fn hand_out(&self) {
        loop {
            let (sender, slot) = {
                let mut table = self.table();
                table.waiting.retain(|(_, sender)| !sender.is_closed());
                if table.taken >= table.capacity {
                    return;
                }
                let Some(place) = choose(table.waiting.iter().map(|(claim, _)| *claim), &table.busy) else { return };
                let (claim, sender) = table.waiting.remove(place);
                table.taken += 1;
                *table.busy.entry(claim.transfer).or_default() += 1;
                (sender, Slot { slots: self.clone(), transfer: claim.transfer })
            };
            // A waiter that left at this moment gives the slot back by dropping it, outside the lock.
            drop(sender.send(slot));
        }
    }
}

impl<Id: Key> Drop for Slot<Id> {
    fn drop(&mut self) {
        {
            let mut table = self.slots.table();
            table.taken -= 1;
            if let Some(workers) = table.busy.get_mut(&self.transfer) {
                *workers -= 1;
                if *workers == 0 {
                    table.busy.remove(&self.transfer);
                }
            }
        }
        self.slots.hand_out();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::UploadId;
    use futures_util::FutureExt;

    fn next(waiting: &[(UploadId, i32)], busy: &[(UploadId, usize)]) -> Option<usize> {
        let claims = waiting.iter().map(|(upload, priority)| Claim { transfer: *upload, priority: *priority });
        choose(claims, &busy.iter().copied().collect())
    }

    #[test]
    fn priority_then_fairness_then_patience() {
        let (a, b) = (UploadId::new(), UploadId::new());
        assert_eq!(next(&[], &[]), None);
        assert_eq!(next(&[(a, 0), (b, 1)], &[(b, 9)]), Some(1), "a higher priority goes first however much it has");
        assert_eq!(next(&[(a, 0), (b, 0)], &[(a, 1)]), Some(1), "the one with fewer workers goes first");
        assert_eq!(next(&[(a, 0), (b, 0)], &[]), Some(0), "who waited longest goes first");
    }

    #[tokio::test]
    async fn a_freed_worker_goes_to_the_higher_priority_and_no_worker_is_lost() {
        let slots = Slots::new(1);
        let (low, high) = (UploadId::new(), UploadId::new());
        let held = slots.take(low, 0).await;
        let mut waiting_low = Box::pin(slots.take(low, 0));
        let mut waiting_high = Box::pin(slots.take(high, 5));
        assert!((&mut waiting_low).now_or_never().is_none());
        assert!((&mut waiting_high).now_or_never().is_none());
        drop(held);
        let got = (&mut waiting_high).now_or_never().expect("the higher priority has it");
        assert!((&mut waiting_low).now_or_never().is_none());
        drop(waiting_low);
        drop(got);
        assert!(slots.take(low, 0).now_or_never().is_some(), "a waiter that left took no worker with it");
    }

    #[tokio::test]
    async fn a_changed_priority_counts_for_those_who_wait() {
        let slots = Slots::new(1);
        let (first, second) = (UploadId::new(), UploadId::new());
        let held = slots.take(first, 0).await;
        let mut a = Box::pin(slots.take(first, 0));
        let mut b = Box::pin(slots.take(second, 0));
        assert!((&mut a).now_or_never().is_none() && (&mut b).now_or_never().is_none());
        slots.set_priority(first, -1);
        drop(held);
        assert!((&mut b).now_or_never().is_some());
    }

    #[tokio::test]
    async fn more_workers_help_at_once() {
        let slots = Slots::new(1);
        let upload = UploadId::new();
        let _held = slots.take(upload, 0).await;
        let mut waiting = Box::pin(slots.take(upload, 0));
        assert!((&mut waiting).now_or_never().is_none());
        slots.set_capacity(2);
        assert!((&mut waiting).now_or_never().is_some());
    }
}
