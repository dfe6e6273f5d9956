//! The parts in flight to the disk: no more of a file is received at one time than there is room for.
//!
//! Must never know: what is already stored, and the limits of a file.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use masv_protocol::FileId;

/// How often one part may be in flight at a time: a sender that lost its connection starts again before the hub notices.
const MOST_OF_ONE: usize = 3;

type Parts = HashMap<FileId, HashMap<u32, Vec<u64>>>;

/// The parts in flight.
#[derive(Debug, Clone, Default)]
pub(crate) struct Arriving(Arc<Mutex<Parts>>);

/// A part in flight, until this is dropped.
#[derive(Debug)]
pub(crate) struct OnItsWay {
    arriving: Arriving,
    file: FileId,
    number: u32,
    bytes: u64,
}

impl Arriving {
    fn lock(&self) -> MutexGuard<'_, Parts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that a part of so many bytes is on its way; nothing where it is so too often at a time. Also says what the other parts
    /// of its file have that are.
    pub(crate) fn begin(&self, file: &FileId, number: u32, bytes: u64) -> Option<(OnItsWay, Vec<(u32, u64)>)> {
        let mut parts = self.lock();
        let of_file = parts.entry(file.clone()).or_default();
        let others = of_file.iter().filter(|(other, _)| **other != number);
        let others = others.filter_map(|(other, bytes)| Some((*other, *bytes.iter().max()?))).collect();
        let of_part = of_file.entry(number).or_default();
        if of_part.len() >= MOST_OF_ONE {
            return None;
        }
        of_part.push(bytes);
        drop(parts);
        Some((OnItsWay { arriving: self.clone(), file: file.clone(), number, bytes }, others))
    }
}

impl Drop for OnItsWay {
    fn drop(&mut self) {
        let mut parts = self.arriving.lock();
        let Some(of_file) = parts.get_mut(&self.file) else { return };
        if let Some(of_part) = of_file.get_mut(&self.number) {
            if let Some(at) = of_part.iter().position(|bytes| *bytes == self.bytes) {
                of_part.swap_remove(at);
            }
            if of_part.is_empty() {
                of_file.remove(&self.number);
            }
        }
        if of_file.is_empty() {
            parts.remove(&self.file);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Case: several parts of one file at once are counted together, so that no more arrives than was announced.
    #[test]
    fn other_parts_count_with_what_they_have_and_one_part_may_come_again() {
        let (arriving, file) = (Arriving::default(), FileId::new("F"));
        let (first, others) = arriving.begin(&file, 1, 10).unwrap();
        assert!(others.is_empty());
        let (second, others) = arriving.begin(&file, 2, 20).unwrap();
        assert_eq!(others, [(1, 10)]);
        let again: Vec<_> = (0..2).map(|_| arriving.begin(&file, 1, 10).unwrap().0).collect();
        assert!(arriving.begin(&file, 1, 10).is_none());
        assert_eq!(arriving.begin(&FileId::new("G"), 1, 10).unwrap().1, []);
        drop((first, second, again));
        assert!(arriving.lock().is_empty());
    }
}
