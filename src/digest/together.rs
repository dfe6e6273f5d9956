//! Who hashes, and when: streams gather what they are given, and the first whose window is full hashes for all.
//!
//! A block is put in its stream's buffer and the thread continues reading or receiving. When a buffer reaches its window, that
//! thread takes the heaps of all streams, up to one a lane, and hashes them together; what is left when the
//! lanes run empty stays for the next time. So the lanes are as full as there are streams, nobody waits for company that does not
//! come, and what waits to be hashed is bounded by the windows. Where lanes do not pay, every stream hashes for itself.

use std::collections::{HashMap, VecDeque};
use std::sync::{Condvar, LazyLock, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use fearless_simd::Level;

use super::lanes::{Job, LANES, advance};

/// An MD5 that is computed together with those of other streams. Dropping it forgets what it was given.
pub struct SharedMd5 {
    table: &'static Table,
    ticket: u64,
    window: usize,
}

impl SharedMd5 {
    /// A new stream, of which about `window` bytes may wait to be hashed.
    pub fn new(window: usize) -> Self {
        static TABLE: LazyLock<Table> = LazyLock::new(Table::for_this_machine);
        TABLE.stream(window)
    }

    /// Takes the next bytes. When the window is full the thread is blocked for the hashing of what has been gathered.
    pub fn update(&mut self, bytes: Bytes) {
        let mut heaps = self.table.lock();
        if let Some(heap) = heaps.streams.get_mut(&self.ticket) {
            heap.waiting += bytes.len();
            heap.job.pieces.push_back(bytes);
        }
        drop(self.table.hash_until(heaps, self.ticket, |heap| heap.waiting < self.window));
    }

    /// The digest of all bytes taken. Blocks for the hashing of what was gathered.
    pub fn finalize(self) -> [u8; 16] {
        let mut heaps = self.table.hash_until(self.table.lock(), self.ticket, |heap| heap.waiting == 0);
        let heap = heaps.streams.remove(&self.ticket);
        drop(heaps);
        heap.unwrap_or_default().job.md5.finalize()
    }
}

impl Drop for SharedMd5 {
    fn drop(&mut self) {
        self.table.lock().streams.remove(&self.ticket);
    }
}

/// Where all streams of this process lie.
struct Table {
    level: Level,
    /// Whether lanes are quicker than one stream after the other.
    wide: bool,
    /// Threads that may hash at once.
    seats: usize,
    heaps: Mutex<Heaps>,
    changed: Condvar,
}

#[derive(Default)]
struct Heaps {
    tickets: u64,
    streams: HashMap<u64, Heap>,
    seated: usize,
}

/// A stream and what it has gathered.
#[derive(Default)]
struct Heap {
    job: Job,
    /// Bytes that are not hashed yet; those in work count.
    waiting: usize,
    /// Another thread is hashing it: its state is not here, and `job` holds only what arrived since.
    in_work: bool,
}

impl Heap {
    /// Counts what waits, after some of it was hashed.
    fn count(&mut self) {
        self.waiting = self.job.pieces.iter().map(Bytes::len).sum();
    }
}

impl Table {
    fn for_this_machine() -> Self {
        let level = Level::new();
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        // Without optimisation lanes are slower than the library's loop, which is optimised in every build.
        let wide = !cfg!(debug_assertions) && is_wide(level);
        // A thread with full lanes hashes more than 3 GB/s: what four cores can read and send beside it.
        Self::new(level, wide, if wide { cores.div_ceil(4) } else { cores })
    }

    fn new(level: Level, wide: bool, seats: usize) -> Self {
        Self { level, wide, seats, heaps: Mutex::default(), changed: Condvar::new() }
    }

    fn stream(&'static self, window: usize) -> SharedMd5 {
        let mut heaps = self.lock();
        let ticket = heaps.tickets;
        heaps.tickets += 1;
        heaps.streams.insert(ticket, Heap::default());
        SharedMd5 { table: self, ticket, window }
    }

    /// Hashes, or waits while others do, until the stream's heap is as wished.
    fn hash_until<'a>(
        &'a self,
        mut heaps: MutexGuard<'a, Heaps>,
        ticket: u64,
        wished: impl Fn(&Heap) -> bool,
    ) -> MutexGuard<'a, Heaps> {
        while let Some(heap) = heaps.streams.get(&ticket)
            && !wished(heap)
        {
            if heap.in_work || heaps.seated == self.seats {
                heaps = self.changed.wait(heaps).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let mut load = heaps.take(ticket, if self.wide { LANES } else { 1 });
            drop(heaps);
            self.hash(&mut load, &wished);
            heaps = self.lock();
            heaps.put_back(load);
            self.changed.notify_all();
        }
        heaps
    }

    /// Hashes in lanes until half of them are empty; if the first stream's heap is not yet as wished, as long as it has company, which
    /// costs no more than hashing it alone; and then alone.
    fn hash(&self, load: &mut [(u64, Heap)], wished: impl Fn(&Heap) -> bool) {
        if self.wide {
            for least in [load.len().div_ceil(2).max(2), 2] {
                let mut jobs: Vec<&mut Job> = load.iter_mut().map(|(_, heap)| &mut heap.job).collect();
                advance(self.level, least, &mut jobs);
                load.iter_mut().for_each(|(_, heap)| heap.count());
                if load.first().is_none_or(|(_, first)| wished(first)) {
                    return;
                }
            }
        }
        if let Some((_, heap)) = load.first_mut()
            && !wished(heap)
        {
            heap.job.finish();
            heap.waiting = 0;
        }
    }

    /// Nothing that is done under the lock can fail halfway.
    fn lock(&self) -> MutexGuard<'_, Heaps> {
        self.heaps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Heaps {
    /// Takes the stream's heap and the largest of the others, `most` in all, into work.
    fn take(&mut self, ticket: u64, most: usize) -> Vec<(u64, Heap)> {
        self.seated += 1;
        let free = |(other, heap): (&u64, &Heap)| {
            (*other != ticket && !heap.in_work && heap.waiting > 0).then_some((heap.waiting, *other))
        };
        let mut others: Vec<(usize, u64)> = self.streams.iter().filter_map(free).collect();
        others.sort_unstable_by(|a, b| b.cmp(a));
        let tickets = std::iter::once(ticket).chain(others.into_iter().map(|(_, other)| other)).take(most);
        let take = |ticket: u64| {
            let heap = self.streams.get_mut(&ticket)?;
            heap.in_work = true;
            Some((ticket, Heap { job: std::mem::take(&mut heap.job), waiting: heap.waiting, in_work: false }))
        };
        tickets.filter_map(take).collect()
    }

    fn put_back(&mut self, load: Vec<(u64, Heap)>) {
        self.seated -= 1;
        for (ticket, worked) in load {
            // Who dropped the stream meanwhile has removed it.
            let Some(heap) = self.streams.get_mut(&ticket) else { continue };
            let since: VecDeque<Bytes> = std::mem::replace(&mut heap.job, worked.job).pieces;
            heap.waiting = worked.waiting + since.iter().map(Bytes::len).sum::<usize>();
            heap.job.pieces.extend(since);
            heap.in_work = false;
        }
    }
}

/// Whether eight lanes fit into a register or two that shift and mix in one go.
fn is_wide(level: Level) -> bool {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    return level.as_avx2().is_some();
    #[cfg(target_arch = "aarch64")]
    return level.as_neon().is_some();
    #[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
    return false;
}

#[cfg(test)]
mod tests {
    use super::super::stream::Md5;
    use super::*;

    #[test]
    fn streams_that_are_hashed_together_have_each_their_own_digest() {
        for (wide, seats) in [(true, 1), (true, 2), (false, 2)] {
            let table: &'static Table = Box::leak(Box::new(Table::new(Level::new(), wide, seats)));
            std::thread::scope(|scope| {
                for seed in 0..20u8 {
                    scope.spawn(move || {
                        let (mut md5, mut all) = (table.stream(1000), Vec::new());
                        for round in 0..30u8 {
                            let piece = vec![seed ^ round; 64 * usize::from(round % 7) + usize::from(seed)];
                            all.extend_from_slice(&piece);
                            md5.update(piece.into());
                            assert!(table.lock().streams[&md5.ticket].waiting < 1000);
                        }
                        if seed % 5 > 0 {
                            assert_eq!(md5.finalize(), Md5::digest(&all), "stream {seed}");
                        }
                    });
                }
            });
            let heaps = table.lock();
            assert_eq!((heaps.streams.len(), heaps.seated), (0, 0));
        }
    }

    #[test]
    fn an_empty_stream_has_the_digest_of_nothing() {
        assert_eq!(SharedMd5::new(1).finalize(), Md5::digest(b""));
    }
}
