//! The workers: how many parts may be in flight at once, and whose turn it is when one is free.
//!
//! Higher priority first. Within a priority, first those that were moved forward, and last those that were moved back. Among
//! the others, the transfer with the fewest workers, so that a package of ten thousand small files and one file of 500 GB
//! both move; then the one that had its last worker longest ago, however many parts of it wait; then who waited longest. A part whose file would be one too many
//! open, or whose disk has its maximum of readers, is skipped until that changes: a slow disk holds up only
//! its own files. Permits are requested part by part and returned after each, so a transfer with a higher
//! priority waits only for the end of one part, whichever limit is reached.
//!
//! The choice is a pure function ([`choose`]); the rest hands out permits that are returned when they are
//! dropped.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::model::Turn;

/// Transfers that are gone and remembered all the same.
const REMEMBERED: usize = 64;

/// The id of a transfer.
pub trait Key: Copy + Eq + Hash + Send + Sync + std::fmt::Debug + std::fmt::Display + 'static {}

impl<T: Copy + Eq + Hash + Send + Sync + std::fmt::Debug + std::fmt::Display + 'static> Key for T {}

/// How much may run at once, across all transfers of a direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PermitLimits {
    /// Parts in flight.
    pub(crate) workers: usize,
    /// Files that are being read.
    pub(crate) open_files: usize,
    /// Parts that are being read from the same disk.
    pub(crate) disk_readers: usize,
}

impl PermitLimits {
    /// Only the workers are limited.
    pub(crate) const fn workers(workers: usize) -> Self {
        Self { workers, open_files: usize::MAX, disk_readers: usize::MAX }
    }
}

/// Where a part is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reads {
    /// The file's number in its transfer.
    pub(crate) file: u32,
    /// The device number of the file system that it is on.
    pub(crate) disk: u64,
}

/// A waiter for a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Claim<Id> {
    transfer: Id,
    turn: Turn,
    reads: Option<Reads>,
}

/// What is running: how many workers each transfer, each open file and each disk has. Those without any are not listed.
#[derive(Debug)]
struct Busy<Id> {
    workers: usize,
    /// How many workers were handed out so far,
    handed_out: u64,
    /// and as which of them each transfer had its last.
    last: HashMap<Id, u64>,
    transfers: HashMap<Id, usize>,
    files: HashMap<(Id, u32), usize>,
    disks: HashMap<u64, usize>,
}

impl<Id> Default for Busy<Id> {
    fn default() -> Self {
        Self {
            workers: 0,
            handed_out: 0,
            last: HashMap::new(),
            transfers: HashMap::new(),
            files: HashMap::new(),
            disks: HashMap::new(),
        }
    }
}

impl<Id: Key> Busy<Id> {
    fn admits(&self, claim: &Claim<Id>, limits: PermitLimits) -> bool {
        self.workers < limits.workers.max(1)
            && claim.reads.is_none_or(|Reads { file, disk }| {
                let is_open = self.files.contains_key(&(claim.transfer, file));
                (is_open || self.files.len() < limits.open_files.max(1))
                    && self.disks.get(&disk).is_none_or(|readers| *readers < limits.disk_readers.max(1))
            })
    }

    fn take(&mut self, claim: &Claim<Id>) {
        self.workers += 1;
        self.handed_out += 1;
        self.last.insert(claim.transfer, self.handed_out);
        *self.transfers.entry(claim.transfer).or_default() += 1;
        if let Some(Reads { file, disk }) = claim.reads {
            *self.files.entry((claim.transfer, file)).or_default() += 1;
            *self.disks.entry(disk).or_default() += 1;
        }
    }

    fn give_back(&mut self, claim: &Claim<Id>) {
        self.workers -= 1;
        one_less(&mut self.transfers, &claim.transfer);
        if let Some(Reads { file, disk }) = claim.reads {
            one_less(&mut self.files, &(claim.transfer, file));
            one_less(&mut self.disks, &disk);
        }
    }
}

fn one_less<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

/// Which of the waiters (longest first) is next, given what is running; `None` if none may start now.
fn choose<Id: Key>(waiting: impl Iterator<Item = Claim<Id>>, busy: &Busy<Id>, limits: PermitLimits) -> Option<usize> {
    waiting
        .enumerate()
        .filter(|(_, claim)| busy.admits(claim, limits))
        .min_by_key(|(place, claim)| {
            let workers = busy.transfers.get(&claim.transfer).copied().unwrap_or(0);
            let last = busy.last.get(&claim.transfer).copied().unwrap_or(0);
            (std::cmp::Reverse(claim.turn.priority), claim.turn.rank, workers, last, *place)
        })
        .map(|(place, _)| place)
}

/// The workers of one direction; clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Permits<Id: Key> {
    shared: Arc<Mutex<Table<Id>>>,
}

#[derive(Debug)]
struct Table<Id: Key> {
    limits: PermitLimits,
    /// How many workers there are now: what was found to be useful, within the limits.
    width: usize,
    busy: Busy<Id>,
    waiting: Vec<(Claim<Id>, oneshot::Sender<Permit<Id>>)>,
}

impl<Id: Key> Table<Id> {
    /// Transfers that neither wait nor work are not remembered, once they are many.
    fn forget_the_gone(&mut self) {
        if self.busy.last.len() > 2 * (self.waiting.len() + self.busy.transfers.len()) + REMEMBERED {
            let here: HashSet<Id> = self.waiting.iter().map(|(claim, _)| claim.transfer).collect();
            let Busy { last, transfers, .. } = &mut self.busy;
            last.retain(|id, _| here.contains(id) || transfers.contains_key(id));
        }
    }

    fn effective(&self) -> PermitLimits {
        PermitLimits { workers: self.limits.workers.min(self.width), ..self.limits }
    }
}

/// One worker, until it is dropped.
#[derive(Debug)]
pub(crate) struct Permit<Id: Key> {
    slots: Permits<Id>,
    claim: Claim<Id>,
}

impl<Id: Key> Permits<Id> {
    #[cfg(test)]
    fn new(workers: usize) -> Self {
        Self::limited(PermitLimits::workers(workers))
    }

    pub(crate) fn limited(limits: PermitLimits) -> Self {
        let table = Table { limits, width: usize::MAX, busy: Busy::default(), waiting: Vec::new() };
        Self { shared: Arc::new(Mutex::new(table)) }
    }

    fn table(&self) -> MutexGuard<'_, Table<Id>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a worker. Dropping the future leaves the queue.
    pub(crate) async fn take(&self, transfer: Id, turn: Turn) -> Permit<Id> {
        self.wait(Claim { transfer, turn, reads: None }).await
    }

    /// Waits for a worker that may read from there.
    pub(crate) async fn take_to_read(&self, transfer: Id, turn: Turn, reads: Reads) -> Permit<Id> {
        self.wait(Claim { transfer, turn, reads: Some(reads) }).await
    }

    async fn wait(&self, claim: Claim<Id>) -> Permit<Id> {
        let (sender, receiver) = oneshot::channel();
        self.table().waiting.push((claim, sender));
        self.hand_out();
        match receiver.await {
            Ok(slot) => slot,
            // The table outlives every waiter: this method borrows a handle to it.
            Err(_) => std::future::pending().await,
        }
    }

    /// The number of busy workers.
    pub(crate) fn taken(&self) -> usize {
        self.table().busy.workers
    }

    /// How many there are.
    pub(crate) fn width(&self) -> usize {
        self.table().effective().workers
    }

    /// Whether all are at work and somebody waits for one.
    pub(crate) fn is_saturated(&self) -> bool {
        let table = self.table();
        table.busy.workers >= table.effective().workers.max(1) && !table.waiting.is_empty()
    }

    /// Sets the limits; work above them ends with the current parts.
    pub(crate) fn set_limits(&self, limits: PermitLimits) {
        self.table().limits = limits;
        self.hand_out();
    }

    /// From now on there are so many workers, within the limit; what is above that ends with the parts it is at.
    pub(crate) fn set_width(&self, width: usize) {
        self.table().width = width;
        self.hand_out();
    }

    /// Changes the turn of this transfer's waiters.
    pub(crate) fn set_turn(&self, transfer: Id, turn: Turn) {
        for (claim, _) in &mut self.table().waiting {
            if claim.transfer == transfer {
                claim.turn = turn;
            }
        }
    }

    fn hand_out(&self) {
        loop {
            let (sender, slot) = {
                let mut table = self.table();
                table.waiting.retain(|(_, sender)| !sender.is_closed());
                table.forget_the_gone();
                let claims = table.waiting.iter().map(|(claim, _)| *claim);
                let Some(place) = choose(claims, &table.busy, table.effective()) else { return };
                let (claim, sender) = table.waiting.remove(place);
                table.busy.take(&claim);
                (sender, Permit { slots: self.clone(), claim })
            };
            // A waiter that left at this moment returns the slot by dropping it, outside the lock.
            drop(sender.send(slot));
        }
    }
}

impl<Id: Key> Drop for Permit<Id> {
    fn drop(&mut self) {
        self.slots.table().busy.give_back(&self.claim);
        self.slots.hand_out();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::UploadId;
    use futures_util::FutureExt;

    /// The turn of a priority, without a move.
    fn at(priority: i32) -> Turn {
        Turn { priority, rank: 0 }
    }

    fn next(waiting: &[(UploadId, i32)], busy: &[(UploadId, usize)]) -> Option<usize> {
        let claim = |transfer, priority| Claim { transfer, turn: at(priority), reads: None };
        let mut going_on = Busy::default();
        for (upload, workers) in busy {
            (0..*workers).for_each(|_| going_on.take(&claim(*upload, 0)));
        }
        let claims = waiting.iter().map(|(upload, priority)| claim(*upload, *priority));
        choose(claims, &going_on, PermitLimits::workers(100))
    }

    #[test]
    fn a_busy_disk_and_a_file_too_many_are_passed_over() {
        let upload = UploadId::new();
        let reads = |file, disk| Claim { transfer: upload, turn: at(0), reads: Some(Reads { file, disk }) };
        let limits = PermitLimits { workers: 9, open_files: 2, disk_readers: 2 };
        let mut busy = Busy::default();
        busy.take(&reads(1, 7));
        assert_eq!(choose([reads(2, 7), reads(2, 8)].into_iter(), &busy, limits), Some(0));
        busy.take(&reads(1, 7));
        assert_eq!(choose([reads(2, 7), reads(2, 8)].into_iter(), &busy, limits), Some(1), "disk 7 has its readers");
        busy.take(&reads(2, 8));
        assert_eq!(choose([reads(3, 9), reads(2, 8)].into_iter(), &busy, limits), Some(1), "two files are open");
        let urgent = Claim { turn: at(5), ..reads(3, 9) };
        assert_eq!(choose([urgent].into_iter(), &busy, limits), None, "a limit is a limit, whoever asks");
        busy.give_back(&reads(2, 8));
        assert_eq!(choose([reads(2, 8), urgent].into_iter(), &busy, limits), Some(1), "and is asked for part by part");
        let few = PermitLimits { workers: 2, ..limits };
        assert_eq!(choose([urgent].into_iter(), &busy, few), None);
    }

    #[tokio::test]
    async fn what_was_given_back_leaves_no_trace() {
        let slots = Permits::limited(PermitLimits { workers: 3, open_files: 1, disk_readers: 1 });
        let upload = UploadId::new();
        let held = slots.take_to_read(upload, at(0), Reads { file: 0, disk: 1 }).await;
        let mut waiting = Box::pin(slots.take_to_read(upload, at(0), Reads { file: 1, disk: 1 }));
        assert!((&mut waiting).now_or_never().is_none());
        drop(held);
        drop((&mut waiting).now_or_never().expect("the file is closed, the disk is free"));
        let table = slots.table();
        assert!(table.busy.transfers.is_empty() && table.busy.files.is_empty() && table.busy.disks.is_empty());
    }

    #[test]
    fn priority_then_fairness_then_patience() {
        let (a, b) = (UploadId::new(), UploadId::new());
        assert_eq!(next(&[], &[]), None);
        assert_eq!(next(&[(a, 0), (b, 1)], &[(b, 9)]), Some(1), "a higher priority goes first however much it has");
        assert_eq!(next(&[(a, 0), (b, 0)], &[(a, 1)]), Some(1), "the one with fewer workers goes first");
        assert_eq!(next(&[(a, 0), (b, 0)], &[]), Some(0), "who waited longest goes first");
    }

    /// With one worker, a transfer whose parts all waited already had it until they were done.
    #[tokio::test]
    async fn one_worker_goes_round_however_many_parts_of_each_wait() {
        let slots = Permits::new(1);
        let (many, few) = (UploadId::new(), UploadId::new());
        let held = slots.take(many, at(0)).await;
        let mut waiting: Vec<_> =
            [many, many, many, few, few].into_iter().map(|id| (id, Box::pin(slots.take(id, at(0))))).collect();
        waiting.iter_mut().for_each(|(_, claim)| assert!(claim.as_mut().now_or_never().is_none()));
        let (mut order, mut held) = (Vec::new(), Some(held));
        while !waiting.is_empty() {
            drop(held.take());
            let mut ready = None;
            for (place, (_, claim)) in waiting.iter_mut().enumerate() {
                if let Some(permit) = claim.as_mut().now_or_never() {
                    ready = Some((place, permit));
                    break;
                }
            }
            let (place, permit) = ready.unwrap();
            order.push(waiting.remove(place).0);
            held = Some(permit);
        }
        assert_eq!(order, [few, many, few, many, many]);
    }

    #[tokio::test]
    async fn transfers_that_are_gone_are_forgotten() {
        let slots = Permits::new(1);
        for _ in 0..10 * REMEMBERED {
            drop(slots.take(UploadId::new(), at(0)).await);
        }
        assert!(slots.table().busy.last.len() <= REMEMBERED + 3);
    }

    /// An upload that was moved to the top while running still shared the workers with its equals, and finished last.
    #[test]
    fn who_was_moved_goes_before_or_after_its_equals_whatever_they_have() {
        let (first, moved) = (UploadId::new(), UploadId::new());
        let claim = |transfer, rank| Claim { transfer, turn: Turn { priority: 0, rank }, reads: None };
        let mut busy = Busy::default();
        (0..5).for_each(|_| busy.take(&claim(moved, -1)));
        let limits = PermitLimits::workers(100);
        assert_eq!(choose([claim(first, 0), claim(moved, -1)].into_iter(), &busy, limits), Some(1));
        assert_eq!(choose([claim(first, 0), claim(moved, 1)].into_iter(), &busy, limits), Some(0));
        let urgent = Claim { turn: Turn { priority: 1, rank: 9 }, ..claim(first, 0) };
        assert_eq!(choose([claim(moved, -1), urgent].into_iter(), &busy, limits), Some(1), "a priority counts more");
    }

    #[tokio::test]
    async fn a_freed_worker_goes_to_the_higher_priority_and_no_worker_is_lost() {
        let slots = Permits::new(1);
        let (low, high) = (UploadId::new(), UploadId::new());
        let held = slots.take(low, at(0)).await;
        let mut waiting_low = Box::pin(slots.take(low, at(0)));
        let mut waiting_high = Box::pin(slots.take(high, at(5)));
        assert!((&mut waiting_low).now_or_never().is_none());
        assert!((&mut waiting_high).now_or_never().is_none());
        drop(held);
        let got = (&mut waiting_high).now_or_never().expect("the higher priority has it");
        assert!((&mut waiting_low).now_or_never().is_none());
        drop(waiting_low);
        drop(got);
        assert!(slots.take(low, at(0)).now_or_never().is_some(), "a waiter that left took no worker with it");
    }

    #[tokio::test]
    async fn a_changed_priority_counts_for_those_who_wait() {
        let slots = Permits::new(1);
        let (first, second) = (UploadId::new(), UploadId::new());
        let held = slots.take(first, at(0)).await;
        let mut a = Box::pin(slots.take(first, at(0)));
        let mut b = Box::pin(slots.take(second, at(0)));
        assert!((&mut a).now_or_never().is_none() && (&mut b).now_or_never().is_none());
        slots.set_turn(first, at(-1));
        drop(held);
        assert!((&mut b).now_or_never().is_some());
    }

    #[tokio::test]
    async fn more_workers_help_at_once() {
        let slots = Permits::new(1);
        let upload = UploadId::new();
        let _held = slots.take(upload, at(0)).await;
        let mut waiting = Box::pin(slots.take(upload, at(0)));
        assert!((&mut waiting).now_or_never().is_none());
        slots.set_limits(PermitLimits::workers(2));
        assert!((&mut waiting).now_or_never().is_some());
    }
}
