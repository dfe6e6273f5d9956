//! Which bytes of something were delivered: stretches that do not touch, in order. Pure.
//!
//! **In**: stretches as they are delivered, in any order and as often as anybody asks for them. **Out**: whether all of it was.
//!
//! As text: `0-10,20-30`, each from its first byte to before its last.

use std::fmt::{Display, Formatter, Result};
use std::ops::Range;

/// More stretches than this are not kept apart: a file has no more parts.
const MOST: usize = 10_000;

/// What was delivered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Stretches(Vec<Range<u64>>);

impl Stretches {
    /// As it was written; what cannot be read was not delivered.
    pub(super) fn read(text: &str) -> Self {
        let stretch = |text: &str| {
            let (start, end) = text.split_once('-')?;
            Some(start.parse().ok()?..end.parse().ok()?)
        };
        let mut all = Self::default();
        text.split(',').filter_map(stretch).for_each(|range| all.add(range));
        all
    }

    /// This was delivered, too.
    pub(super) fn add(&mut self, new: Range<u64>) {
        if new.is_empty() {
            return;
        }
        // Those that it touches become one with it.
        let first = self.0.partition_point(|known| known.end < new.start);
        let behind = self.0.partition_point(|known| known.start <= new.end);
        let touched = &self.0[first..behind];
        if touched.is_empty() && self.0.len() >= MOST {
            return;
        }
        let start = touched.first().map_or(new.start, |known| known.start.min(new.start));
        let end = touched.last().map_or(new.end, |known| known.end.max(new.end));
        self.0.splice(first..behind, std::iter::once(start..end));
    }

    /// Whether it is all of something of this size.
    pub(super) fn cover(&self, size: u64) -> bool {
        size == 0 || self.0.first().is_some_and(|known| known.start == 0 && known.end >= size)
    }
}

impl Display for Stretches {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        for (index, range) in self.0.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(formatter, "{comma}{}-{}", range.start, range.end)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All ways to deliver a few stretches of a small file, against a set of its bytes.
    #[test]
    fn all_is_delivered_when_each_byte_was_in_whatever_order_and_however_often() {
        const SIZE: u64 = 12;
        let mut state = 7_u64;
        let mut next = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for _ in 0..2_000 {
            let (mut stretches, mut bytes) = (Stretches::default(), [false; SIZE as usize]);
            for _ in 0..next(9) {
                let start = next(SIZE);
                let end = start + next(SIZE + 1 - start);
                stretches.add(start..end);
                (start..end).for_each(|byte| bytes[byte as usize] = true);
                let text = stretches.to_string();
                assert_eq!(Stretches::read(&text), stretches, "{text}");
                assert_eq!(stretches.cover(SIZE), bytes.iter().all(|byte| *byte), "{text}: {bytes:?}");
                assert!(stretches.0.windows(2).all(|pair| pair[0].end < pair[1].start), "{text}");
            }
        }
        assert!(Stretches::default().cover(0) && !Stretches::read("nothing,5,7-x,3-3").cover(1));
    }

    /// Whoever asks for every other byte must not fill the database.
    #[test]
    fn only_so_many_stretches_are_kept_apart() {
        let mut stretches = Stretches::default();
        (0..MOST as u64 + 50).for_each(|number| stretches.add(number * 2..number * 2 + 1));
        assert_eq!(stretches.0.len(), MOST);
        stretches.add(0..MOST as u64 * 2 + 100);
        assert_eq!(stretches.0.len(), 1);
    }
}
