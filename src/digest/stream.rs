//! One MD5 stream. Pure.

use md5::block_api::compress;

/// Bytes that MD5 takes at once.
pub(super) const BLOCK: usize = 64;

/// The MD5 of what it has been given so far.
#[derive(Clone)]
pub struct Md5 {
    pub(super) state: [u32; 4],
    /// Bytes so far.
    pub(super) length: u64,
    /// The bytes behind the last whole block: the first `length % 64` count.
    pub(super) tail: [u8; BLOCK],
}

impl Default for Md5 {
    fn default() -> Self {
        // RFC 1321, section 3.3.
        let state = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
        Self { state, length: 0, tail: [0; BLOCK] }
    }
}

impl Md5 {
    /// The digest of `bytes`.
    pub fn digest(bytes: &[u8]) -> [u8; 16] {
        let mut md5 = Self::default();
        md5.update(bytes);
        md5.finalize()
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        let (blocks, rest) = self.fill_tail(bytes).as_chunks();
        compress(&mut self.state, blocks);
        self.length += (blocks.len() * BLOCK) as u64;
        self.keep_tail(rest);
    }

    /// The digest of all bytes taken.
    pub fn finalize(mut self) -> [u8; 16] {
        let bits = self.length.wrapping_mul(8);
        let filled = self.filled();
        let padding = if filled < BLOCK - 8 { BLOCK - 8 - filled } else { 2 * BLOCK - 8 - filled };
        let mut end = [0; BLOCK];
        end[0] = 0x80;
        self.update(&end[..padding]);
        self.update(&bits.to_le_bytes());
        let mut digest = [0; 16];
        for (bytes, word) in digest.chunks_exact_mut(4).zip(self.state) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        digest
    }

    fn filled(&self) -> usize {
        usize::try_from(self.length % BLOCK as u64).unwrap_or_default()
    }

    /// Completes the block that was begun, if `bytes` suffice, and gives what is left of them. Afterwards either the stream
    /// stands between two blocks or nothing is left.
    pub(super) fn fill_tail<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        if self.filled() == 0 {
            return bytes;
        }
        let (now, later) = bytes.split_at(bytes.len().min(BLOCK - self.filled()));
        self.keep_tail(now);
        if self.filled() == 0 {
            compress(&mut self.state, &[self.tail]);
        }
        later
    }

    /// Keeps bytes that do not reach beyond the end of a block.
    pub(super) fn keep_tail(&mut self, bytes: &[u8]) {
        let filled = self.filled();
        self.tail[filled..filled + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use md5::Digest;

    #[test]
    fn digests_are_those_of_rfc_1321() {
        // Its appendix A.5.
        assert_eq!(hex::encode(Md5::digest(b"")), "d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(hex::encode(Md5::digest(b"abc")), "900150983cd24fb0d6963f7d28e17f72");
        let alphabet = b"abcdefghijklmnopqrstuvwxyz";
        assert_eq!(hex::encode(Md5::digest(alphabet)), "c3fcd3d76192e4007dfb496cca67e13b");
    }

    proptest::proptest! {
        #[test]
        fn pieces_of_any_size_add_up(pieces in proptest::collection::vec(proptest::collection::vec(0u8.., 0..200), 0..12)) {
            let mut ours = Md5::default();
            for piece in &pieces {
                ours.update(piece);
            }
            let theirs: [u8; 16] = md5::Md5::digest(pieces.concat()).into();
            proptest::prop_assert_eq!(ours.finalize(), theirs);
        }
    }
}
