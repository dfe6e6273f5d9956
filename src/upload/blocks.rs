//! Memory that a part is read into, block by block, and that is used again: fresh memory costs page faults and zeros.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;

type Free = Mutex<Vec<Box<[u8]>>>;

/// The blocks of one part, which are freed when it is read and sent.
pub(super) struct Blocks {
    /// Bytes of a block.
    size: usize,
    free: Arc<Free>,
}

impl Blocks {
    pub(super) fn new(size: usize) -> Self {
        Self { size, free: Arc::default() }
    }

    /// The first `length` bytes of a block, as `fill` has left them; at most a whole block. Once nobody has the bytes any more, the
    /// block is used again.
    pub(super) fn filled<E>(&self, length: usize, fill: impl FnOnce(&mut [u8]) -> Result<(), E>) -> Result<Bytes, E> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let memory = free.unwrap_or_else(|| vec![0; self.size].into_boxed_slice());
        let mut block = Block { memory, length: length.min(self.size), home: Arc::downgrade(&self.free) };
        fill(&mut block.memory[..block.length])?;
        Ok(Bytes::from_owner(block))
    }
}

struct Block {
    memory: Box<[u8]>,
    length: usize,
    home: Weak<Free>,
}

impl AsRef<[u8]> for Block {
    fn as_ref(&self) -> &[u8] {
        &self.memory[..self.length]
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if let Some(home) = self.home.upgrade() {
            home.lock().unwrap_or_else(PoisonError::into_inner).push(std::mem::take(&mut self.memory));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_used_again_when_nobody_has_it_and_shows_nothing_of_what_it_was() {
        let blocks = Blocks::new(8);
        let fill = |block: &mut [u8], byte| {
            block.fill(byte);
            Ok::<_, ()>(())
        };
        let filled = |length, byte| blocks.filled(length, |block| fill(block, byte)).unwrap();
        let (first, second) = (filled(8, 1), filled(8, 2));
        let (at, copy) = (first.as_ptr(), first.clone());
        drop(first);
        assert_ne!(filled(8, 3).as_ptr(), at, "somebody has it");
        drop(copy);
        let third = filled(3, 4);
        assert_eq!((third.as_ptr(), &third[..], &second[..]), (at, &[4; 3][..], &[2; 8][..]));
        assert_eq!(blocks.filled(8, |_| Err("cannot be read")).unwrap_err(), "cannot be read");
        assert_eq!(blocks.free.lock().unwrap().len(), 1);
        drop(blocks);
        assert_eq!(&second[..], [2; 8]);
    }
}
