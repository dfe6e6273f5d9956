//! A map by path for what is known of very many files.
//!
//! **In and out**: paths, relative to a watched folder, and a value for each. Paths are ordered name by name, so that all below a folder
//! follow it without a gap. Pure; in memory only.
//!
//! Why not a `BTreeMap`: what a look finds comes in order, and its nodes are left half empty by that. Here sorted paths lie in blocks,
//! which are full when they are filled in order.

use std::path::Path;
use std::sync::Arc;

/// Paths of a block at most.
const BLOCK: usize = 128;
/// A block with fewer is joined with the next, if both have room in one.
const FEW: usize = 16;

/// See the module.
#[derive(Debug, Clone)]
pub struct PathMap<V> {
    /// No block is empty.
    blocks: Vec<Vec<(Arc<Path>, V)>>,
    count: usize,
}

impl<V> Default for PathMap<V> {
    fn default() -> Self {
        Self { blocks: Vec::new(), count: 0 }
    }
}

impl<V> PathMap<V> {
    /// How many paths there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The block in which a path is, or would be: the last one that begins with it or before it.
    fn block_of(&self, path: &Path) -> usize {
        let after = self.blocks.partition_point(|block| block.first().is_some_and(|(first, _)| **first <= *path));
        after.saturating_sub(1)
    }

    /// Where a path is in its block, or where it would be inserted.
    fn place_of(&self, path: &Path) -> (usize, Result<usize, usize>) {
        let block = self.block_of(path);
        let within =
            self.blocks.get(block).map_or(Err(0), |block| block.binary_search_by(|(one, _)| (**one).cmp(path)));
        (block, within)
    }

    /// The value of a path.
    #[must_use]
    pub fn get(&self, path: &Path) -> Option<&V> {
        let (block, within) = self.place_of(path);
        self.blocks.get(block)?.get(within.ok()?).map(|(_, value)| value)
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, path: &Path) -> Option<&mut V> {
        let (block, within) = self.place_of(path);
        self.blocks.get_mut(block)?.get_mut(within.ok()?).map(|(_, value)| value)
    }

    /// Whether the path is there.
    #[must_use]
    pub fn contains_key(&self, path: &Path) -> bool {
        self.get(path).is_some()
    }

    /// Puts a value; returns the one that was there.
    pub fn insert(&mut self, path: Arc<Path>, value: V) -> Option<V> {
        let (mut block, within) = self.place_of(&path);
        let mut place = match within {
            Ok(place) => {
                let known = self.blocks.get_mut(block).and_then(|block| block.get_mut(place));
                return known.map(|(_, known)| std::mem::replace(known, value));
            }
            Err(place) => place,
        };
        self.count += 1;
        if let Some(full) = self.blocks.get_mut(block).filter(|block| block.len() >= BLOCK) {
            // What comes in order fills one block after the other: where it goes on, the first of the two is left full.
            let rest = full.split_off(place.max(BLOCK / 2));
            if !rest.is_empty() {
                self.blocks.insert(block + 1, rest);
            } else {
                (block, place) = (block + 1, 0);
            }
        }
        match self.blocks.get_mut(block) {
            Some(known) if known.len() < BLOCK => {
                if known.len() == known.capacity() {
                    known.reserve_exact(known.len().clamp(1, BLOCK - known.len()));
                }
                known.insert(place, (path, value));
            }
            _ => {
                let mut new = Vec::with_capacity(if self.blocks.is_empty() { 1 } else { BLOCK });
                new.push((path, value));
                self.blocks.insert(block, new);
            }
        }
        None
    }

    /// Takes a path out.
    pub fn remove_entry(&mut self, path: &Path) -> Option<(Arc<Path>, V)> {
        let (at, within) = self.place_of(path);
        let block = self.blocks.get_mut(at)?;
        let removed = block.remove(within.ok()?);
        self.count -= 1;
        let left = block.len();
        if left == 0 {
            self.blocks.remove(at);
            if self.blocks.is_empty() {
                self.blocks = Vec::new();
            }
        } else if left < FEW && self.blocks.get(at + 1).is_some_and(|next| left + next.len() <= BLOCK) {
            let mut next = self.blocks.remove(at + 1);
            if let Some(block) = self.blocks.get_mut(at) {
                block.append(&mut next);
            }
        }
        Some(removed)
    }

    /// Takes a path out; returns its value.
    pub fn remove(&mut self, path: &Path) -> Option<V> {
        self.remove_entry(path).map(|(_, value)| value)
    }

    /// All, by path.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<Path>, &V)> {
        self.blocks.iter().flatten().map(|(path, value)| (path, value))
    }

    /// All values, by path.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    /// All values, by path, to be changed.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.blocks.iter_mut().flatten().map(|(_, value)| value)
    }

    /// A path and all after it, by path.
    pub fn from<'a>(&'a self, path: &Path) -> impl Iterator<Item = (&'a Arc<Path>, &'a V)> + use<'a, V> {
        let (block, within) = self.place_of(path);
        let (Ok(place) | Err(place)) = within;
        let blocks = self.blocks.get(block..).unwrap_or_default();
        blocks.iter().flatten().skip(place).map(|(path, value)| (path, value))
    }

    /// All at or below a path, by path.
    pub fn below<'a>(&'a self, top: &'a Path) -> impl Iterator<Item = (&'a Arc<Path>, &'a V)> {
        self.from(top).take_while(move |(path, _)| path.starts_with(top))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn path(text: &str) -> Arc<Path> {
        Arc::from(Path::new(text))
    }

    fn check(map: &PathMap<u32>, model: &BTreeMap<Arc<Path>, u32>) {
        assert!(map.iter().eq(model.iter()));
        assert_eq!((map.len(), map.is_empty()), (model.len(), model.is_empty()));
        assert!(map.blocks.iter().all(|block| !block.is_empty() && block.len() <= BLOCK));
    }

    /// Whatever is put in and taken out, it answers as a map of the standard library does.
    #[test]
    fn it_answers_as_an_ordered_map_does() {
        let mut random = fastrand::Rng::with_seed(13);
        for round in 0..20 {
            let (mut map, mut model) = (PathMap::default(), BTreeMap::new());
            for step in 0..3_000_u32 {
                let number = match round % 4 {
                    0 => step,                        // in order
                    1 => 3_000 - step,                // against it
                    2 => step / 10 + step % 10 * 300, // in order at several places
                    _ => random.u32(..2_000),         // anywhere
                };
                let name = path(&format!("{}/{number}", number % 7));
                match random.u8(..10) {
                    // Emptied, too.
                    _ if step > 2_000 => assert_eq!(map.remove(&name), model.remove(&name)),
                    0 | 1 => assert_eq!(map.remove_entry(&name), model.remove_entry(&name)),
                    2 => {
                        assert_eq!(
                            map.get_mut(&name).map(|value| *value += 1),
                            model.get_mut(&name).map(|value| *value += 1)
                        );
                    }
                    _ => assert_eq!(map.insert(Arc::clone(&name), step), model.insert(Arc::clone(&name), step)),
                }
                assert_eq!((map.get(&name), map.contains_key(&name)), (model.get(&name), model.contains_key(&name)));
                if step % 100 == 0 {
                    check(&map, &model);
                    let expected = model.range(Arc::clone(&name)..);
                    assert!(map.from(&name).eq(expected), "from {}", name.display());
                    let top = Path::new("3");
                    assert!(map.below(top).eq(model.iter().filter(|(one, _)| one.starts_with(top))));
                }
            }
            let names: Vec<_> = model.keys().cloned().collect();
            for name in names {
                assert_eq!(map.remove(&name), model.remove(&name));
            }
            check(&map, &model);
        }
    }

    /// Row "200,000 files in one package": what is kept of each, while its package is made, is what the memory goes into.
    #[test]
    fn what_is_kept_of_a_file_needs_little_room() {
        use crate::watch::{dispatch::Chosen, scan::Observed, settle::Pending, snapshot::Known};
        let sizes = [size_of::<Known>(), size_of::<Pending>(), size_of::<Observed>(), size_of::<Chosen>()];
        assert!(sizes.iter().zip([72, 88, 72, 72]).all(|(size, most)| *size <= most), "{sizes:?}");
    }

    /// A tree of 100,000 files used two thirds more memory than it needs.
    #[test]
    fn what_comes_in_order_fills_the_blocks() {
        let mut map = PathMap::default();
        for number in (0..10_000).chain(20_000..30_000).chain(10_000..20_000) {
            map.insert(path(&format!("{number:06}")), ());
        }
        assert_eq!(map.len(), 30_000);
        let room: usize = map.blocks.iter().map(Vec::capacity).sum();
        assert!(room < 30_000 + 4 * BLOCK, "{room}");
    }
}
