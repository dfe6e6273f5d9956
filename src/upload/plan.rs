//! How a file is cut into parts. Pure.

use masv_protocol::Limits;

/// Part sizes are multiples of this many bytes, so that every part begins at a leaf of the file's BLAKE3 tree.
const STEP: u64 = 1024;

/// The part sizes that may be requested.
pub const CHUNK_SIZES: ChunkSizes = ChunkSizes { smallest: 5 << 20, largest: 5 << 30 };

/// The bounds of a requested part size. A cloud's limits may be narrower, and a file with many parts gets larger ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkSizes {
    /// Bytes.
    pub smallest: u64,
    /// Bytes.
    pub largest: u64,
}

impl ChunkSizes {
    /// Whether a part size may be requested.
    ///
    /// # Errors
    /// What would be valid, in words.
    pub fn check(self, bytes: u64) -> Result<(), String> {
        if (self.smallest..=self.largest).contains(&bytes) {
            return Ok(());
        }
        Err("must be from 5MiB to 5GiB".to_owned())
    }
}

/// What a restart may cost, at most and whatever the link: bytes that are on their way and not confirmed.
const LEAST_AT_STAKE: u64 = 64 << 20;
const MOST_AT_STAKE: u64 = 1 << 30;
/// And for how many seconds they were sent.
const SECONDS_AT_STAKE: u64 = 20;

/// Bytes of a part such that what is on its way at once costs a restart no more than seconds: `usual` at most. `goodput` is in bytes
/// a second, 0 where it is not known; `workers` is how many parts are on their way at once.
#[must_use]
pub fn affordable(usual: u64, goodput: u64, workers: usize) -> u64 {
    (at_stake(goodput) / (workers as u64).max(1)).min(usual)
}

/// Bytes that may be on their way at once.
fn at_stake(goodput: u64) -> u64 {
    goodput.saturating_mul(SECONDS_AT_STAKE).clamp(LEAST_AT_STAKE, MOST_AT_STAKE)
}

/// Bytes of a part, at least, of a file that is cut so that its parts end together.
const LEAST_OF_EVEN: u64 = 8 << 20;

/// Bytes of a part such that a file of `size` bytes has as many parts for each worker: of `largest` bytes, they would have the last few
/// of them sent by few workers, while the others wait.
#[must_use]
pub fn even(size: u64, largest: u64, workers: usize) -> u64 {
    let workers = (workers as u64).max(1);
    let rounds = size.div_ceil(largest.saturating_mul(workers).max(1)).max(1);
    let even = size.div_ceil(rounds.saturating_mul(workers));
    even.checked_next_multiple_of(STEP).unwrap_or(largest).max(LEAST_OF_EVEN).min(largest)
}

/// How large a file that is being written may become without being cut anew.
const FORESEEN: u64 = 320 << 30;
/// And by how much it may outgrow what it is, once it is larger than that.
const OUTGROWN: u64 = 8;
/// Parts of such a file that are on their way at once, at least.
const LEAST_AT_ONCE: u64 = 4;

impl Plan {
    /// Cuts a file that is being written, and has `size` bytes so far: into parts of `ordered` bytes where that is set, else into parts
    /// with which it may become large.
    #[must_use]
    pub fn growing(size: u64, ordered: Option<u64>, limits: Limits) -> Self {
        let chunk_size = match ordered {
            Some(ordered) => Self::new(size, ordered, limits).chunk_size,
            None if size <= FORESEEN / 2 => Self::new(FORESEEN, 0, limits).chunk_size,
            None => Self::new(size.saturating_mul(OUTGROWN), 0, limits).chunk_size,
        };
        Self { size, chunk_size }
    }

    /// How many parts of a file that is being written end before its last `guard` bytes, and before its last part.
    #[must_use]
    pub fn settled(&self, guard: u64, limits: Limits) -> u32 {
        let settled = self.size.saturating_sub(guard.max(self.chunk_size)) / self.chunk_size;
        u32::try_from(settled.min(limits.max_chunk_count)).unwrap_or(u32::MAX)
    }

    /// How many parts of a file that is being written may be on their way at once.
    #[must_use]
    pub fn growing_at_once(&self, goodput: u64, workers: usize) -> usize {
        let affordable = (at_stake(goodput) / self.chunk_size).max(LEAST_AT_ONCE);
        usize::try_from(affordable).unwrap_or(workers).min(workers).max(1)
    }
}

/// A file cut into parts: all of `chunk_size` bytes, the last may be shorter. An empty file is one empty part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Bytes of the file.
    pub size: u64,
    /// Bytes of each part but the last.
    pub chunk_size: u64,
}

impl Plan {
    /// Cuts `size` bytes into parts of about `wanted` bytes: within the cloud's bounds,
    /// and larger than wanted if there would be too many parts.
    #[must_use]
    pub fn new(size: u64, wanted: u64, limits: Limits) -> Self {
        let most = limits.max_chunk_count.max(1);
        let fewest_bytes = size.div_ceil(most).next_multiple_of(STEP);
        let smallest = limits.min_chunk_size.next_multiple_of(STEP).max(STEP);
        let largest = (limits.max_chunk_size / STEP * STEP).max(smallest);
        let chunk_size = (wanted / STEP * STEP).max(fewest_bytes).clamp(smallest, largest);
        Self { size, chunk_size }
    }

    /// How many parts there are; at least one.
    #[must_use]
    pub fn parts(&self) -> u32 {
        u32::try_from(self.size.div_ceil(self.chunk_size).max(1)).unwrap_or(u32::MAX)
    }

    /// Offset and length of part `number` (from 1), in bytes.
    #[must_use]
    pub fn range(&self, number: u32) -> (u64, u64) {
        let offset = u64::from(number.saturating_sub(1)) * self.chunk_size;
        (offset, self.chunk_size.min(self.size.saturating_sub(offset)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DEFAULT: u64 = 100 << 20;

    #[test]
    fn an_empty_file_is_one_empty_part() {
        let plan = Plan::new(0, DEFAULT, Limits::default());
        assert_eq!((plan.parts(), plan.range(1)), (1, (0, 0)));
    }

    #[test]
    fn what_is_on_its_way_costs_a_restart_seconds_and_not_the_whole_file() {
        const MIB: u64 = 1 << 20;
        assert_eq!(affordable(DEFAULT, 0, 8), 8 * MIB, "nothing is known");
        assert_eq!(affordable(DEFAULT, 2_000_000, 8), 8 * MIB, "a slow link");
        assert_eq!(affordable(DEFAULT, 80_000_000, 32), MOST_AT_STAKE / 32);
        assert_eq!(affordable(DEFAULT, 500_000_000, 8), DEFAULT, "a fast one");
        assert_eq!(affordable(5 * MIB, 500_000_000, 8), 5 * MIB, "never more than is set");
        assert_eq!(affordable(DEFAULT, u64::MAX, 0), DEFAULT);
    }

    /// A gigabyte in parts of 100 MiB is eight for eight workers, and then two and a rest for three of them.
    #[test]
    fn parts_end_together() {
        const MIB: u64 = 1 << 20;
        assert_eq!(even(1 << 30, DEFAULT, 8), 64 * MIB);
        assert_eq!(even(120 * MIB, DEFAULT, 8), 15 * MIB);
        assert_eq!(even(20 * MIB, DEFAULT, 8), 8 * MIB, "no smaller");
        assert_eq!(even(20 * MIB, 5 * MIB, 8), 5 * MIB, "no larger");
        assert_eq!(even(u64::MAX, u64::MAX, 0), u64::MAX);
        for (size, workers) in [(300_000_000_000, 8), (1_000_000_007, 32), (3_000_000_001, 5)] {
            let plan = Plan::new(size, even(size, DEFAULT, workers), Limits::default());
            assert_eq!(u64::from(plan.parts()) % workers as u64, 0, "{size} for {workers}: {}", plan.parts());
        }
    }

    /// A file that is being written: its size is not known, and its end is left alone.
    #[test]
    fn a_growing_file_is_cut_for_what_it_may_become_and_its_end_is_left_alone() {
        const MIB: u64 = 1 << 20;
        let limits = Limits::default();
        let plan = Plan::growing(300 * MIB, None, limits);
        assert!(plan.chunk_size * limits.max_chunk_count >= FORESEEN && plan.chunk_size <= 64 * MIB);
        let large = Plan::growing(400 << 30, None, limits);
        assert!(large.chunk_size * limits.max_chunk_count >= 3 << 40);
        let ordered = Plan::growing(300 * MIB, Some(10 * MIB), limits);
        assert_eq!(ordered.chunk_size, 10 * MIB);
        assert_eq!(ordered.settled(64 * MIB, limits), 23);
        assert_eq!(ordered.settled(0, limits), 29, "a part at least stays");
        assert_eq!(Plan { size: 5, ..ordered }.settled(0, limits), 0);
        assert_eq!((ordered.growing_at_once(0, 64), ordered.growing_at_once(0, 2)), (6, 2));
        assert_eq!(plan.growing_at_once(0, 64), 4);
    }

    #[test]
    fn five_terabytes_stay_within_ten_thousand_parts() {
        let plan = Plan::new(5_000_000_000_000, DEFAULT, Limits::default());
        assert!(plan.parts() <= 10_000 && plan.chunk_size > DEFAULT);
    }

    #[test]
    fn a_chunk_is_never_smaller_than_the_cloud_takes() {
        assert_eq!(Plan::new(1 << 30, 1, Limits::default()).chunk_size, 5 << 20);
    }

    proptest! {
        #[test]
        fn the_parts_cover_the_file_without_gap_or_overlap(
            size in 0u64..6_000_000_000_000, wanted in 0u64..10_000_000_000
        ) {
            let limits = Limits::default();
            let plan = Plan::new(size, wanted, limits);
            prop_assert!(u64::from(plan.parts()) <= limits.max_chunk_count);
            prop_assert!((limits.min_chunk_size..=limits.max_chunk_size).contains(&plan.chunk_size));
            let mut end = 0;
            for number in 1..=plan.parts() {
                let (offset, length) = plan.range(number);
                prop_assert_eq!(offset, end);
                prop_assert!(length == plan.chunk_size || number == plan.parts());
                end = offset + length;
            }
            prop_assert_eq!(end, size);
        }
    }
}
