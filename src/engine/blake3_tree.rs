//! The BLAKE3 checksum of a file whose parts are hashed side by side, in any order, over several runs. Pure.
//!
//! BLAKE3 is a binary tree over leaves of 1,024 bytes (section 2.1 of the BLAKE3 paper). A part that begins at a
//! leaf is cut into the largest whole sub-trees that fit, each is hashed by itself, and their chaining values (32
//! bytes each, a few dozen a part) are all that must be kept to compute the file's checksum at the end.

use blake3::Hasher;
use blake3::hazmat::{self, HasherExt, Mode};

const LEAF: u64 = 1024;
const VALUE: usize = blake3::OUT_LEN;

/// The whole sub-trees that the bytes from `start` to `end` of a file consist of, as their lengths in order.
/// `start` is at a leaf, and so is `end` unless the file ends there.
fn subtrees(start: u64, end: u64) -> impl Iterator<Item = u64> {
    let mut position = start;
    std::iter::from_fn(move || {
        let left = end - position;
        if left == 0 {
            return None;
        }
        let aligned = hazmat::max_subtree_len(position).unwrap_or(u64::MAX);
        let fitting = if left <= LEAF { left } else { 1 << left.ilog2() };
        let length = fitting.min(aligned);
        position += length;
        Some(length)
    })
}

/// Hashes one part as its bytes pass.
pub(crate) struct PartHasher {
    /// Only when the part is the whole file: its plain hash is the checksum.
    whole: bool,
    hasher: Hasher,
    /// Where the part ends in the file.
    end: u64,
    position: u64,
    /// Bytes missing from the current sub-tree.
    room: u64,
    values: Vec<u8>,
}

impl PartHasher {
    /// For the part of `length` bytes at `offset` of a file of `size` bytes.
    pub(crate) fn new(offset: u64, length: u64, size: u64) -> Self {
        let whole = offset == 0 && length == size;
        let mut hasher = Self {
            whole,
            hasher: Hasher::new(),
            end: offset + length,
            position: offset,
            room: length,
            values: Vec::new(),
        };
        if !whole {
            hasher.begin_subtree();
        }
        hasher
    }

    fn begin_subtree(&mut self) {
        self.room = subtrees(self.position, self.end).next().unwrap_or(0);
        self.hasher = Hasher::new();
        if self.room > 0 {
            self.hasher.set_input_offset(self.position);
        }
    }

    /// Takes the next bytes of the part.
    pub(crate) fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.room > 0 {
            let take = usize::try_from(self.room).unwrap_or(usize::MAX).min(bytes.len());
            self.hasher.update(&bytes[..take]);
            self.position += take as u64;
            self.room -= take as u64;
            bytes = &bytes[take..];
            if self.room == 0 && !self.whole {
                self.values.extend_from_slice(&self.hasher.finalize_non_root());
                self.begin_subtree();
            }
        }
    }

    /// What to keep of the part: chaining values, or the checksum when the part is the whole file.
    pub(crate) fn finish(self) -> Vec<u8> {
        if self.whole { self.hasher.finalize().as_bytes().to_vec() } else { self.values }
    }
}

/// The checksum of a file of `size` bytes cut into parts of `chunk_size`, from what [`PartHasher::finish`] gave for
/// each, in order. `None` when something of it is missing.
pub(crate) fn checksum(size: u64, chunk_size: u64, parts: &[&[u8]]) -> Option<blake3::Hash> {
    if let [only] = parts {
        return Some(blake3::Hash::from_bytes((*only).try_into().ok()?));
    }
    let mut pieces = Vec::new();
    let mut start = 0;
    for values in parts {
        let end = size.min(start + chunk_size);
        let (values, rest) = values.as_chunks::<VALUE>();
        if !rest.is_empty() || subtrees(start, end).count() != values.len() {
            return None;
        }
        for (length, value) in subtrees(start, end).zip(values) {
            pieces.push((start, length, *value));
            start += length;
        }
    }
    if start != size || pieces.len() < 2 {
        return None;
    }
    let left = hazmat::left_subtree_len(size);
    Some(hazmat::merge_subtrees_root(&value(&pieces, 0, left)?, &value(&pieces, left, size - left)?, Mode::Hash))
}

/// The chaining value of the sub-tree of `length` bytes at `start`; `pieces` are sorted by where they start.
fn value(pieces: &[(u64, u64, [u8; VALUE])], start: u64, length: u64) -> Option<[u8; VALUE]> {
    let at = pieces.binary_search_by_key(&start, |piece| piece.0).ok()?;
    if pieces[at].1 == length {
        return Some(pieces[at].2);
    }
    if length <= LEAF {
        return None;
    }
    let left = hazmat::left_subtree_len(length);
    let (first, second) = (value(pieces, start, left)?, value(pieces, start + left, length - left)?);
    Some(hazmat::merge_subtrees_non_root(&first, &second, Mode::Hash))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn by_parts(content: &[u8], chunk_size: usize, block: usize) -> blake3::Hash {
        let size = content.len() as u64;
        let chunks: Vec<&[u8]> = if content.is_empty() { vec![content] } else { content.chunks(chunk_size).collect() };
        // Last part first: the order must not matter.
        let mut parts: Vec<Vec<u8>> = Vec::new();
        for (number, chunk) in chunks.iter().enumerate().rev() {
            let mut hasher = PartHasher::new((number * chunk_size) as u64, chunk.len() as u64, size);
            chunk.chunks(block).for_each(|block| hasher.update(block));
            parts.insert(0, hasher.finish());
        }
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        checksum(size, chunk_size as u64, &parts).unwrap()
    }

    #[test]
    fn a_missing_or_damaged_part_gives_no_checksum() {
        assert_eq!(checksum(4096, 2048, &[&[0; 32]]).map(|_| ()), Some(()), "a single part is taken as it is");
        assert_eq!(checksum(4096, 2048, &[&[0; 32], &[0; 31]]), None);
        assert_eq!(checksum(4096, 2048, &[&[0; 32], &[]]), None);
        assert_eq!(checksum(4096, 2048, &[]), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn parts_hash_to_what_the_whole_does(size in 0usize..200_000, leaves in 1usize..70, block in 1usize..9_000) {
            let content: Vec<u8> = (0..size).map(|index| (index % 251) as u8).collect();
            prop_assert_eq!(by_parts(&content, leaves * 1024, block), blake3::hash(&content));
        }
    }
}
