//! The arithmetic: eight MD5 streams in the lanes of vectors. Pure.
//!
//! A stream is cut into runs of whole blocks; what lies between runs (the ends of its pieces) is hashed by itself. As long as enough
//! streams have a run, they advance together by the length of the shortest.

use std::collections::VecDeque;

use bytes::{Buf, Bytes};
use fearless_simd::{Bytes as SimdBytes, Level, dispatch, prelude::*, u8x32, u32x8};

use super::stream::{BLOCK, Md5};

/// Streams that are hashed at once.
pub(super) const LANES: usize = 8;

type Block = [u8; BLOCK];

/// Left rotations, by round and step modulo 4: RFC 1321, section 3.4.
const ROTATIONS: [[u32; 4]; 4] = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];

/// The whole part of 2^32 times the absolute sine of 1 to 64: RFC 1321, section 3.4.
#[rustfmt::skip]
const SINES: [u32; 64] = [
    0xd76a_a478, 0xe8c7_b756, 0x2420_70db, 0xc1bd_ceee, 0xf57c_0faf, 0x4787_c62a, 0xa830_4613, 0xfd46_9501,
    0x6980_98d8, 0x8b44_f7af, 0xffff_5bb1, 0x895c_d7be, 0x6b90_1122, 0xfd98_7193, 0xa679_438e, 0x49b4_0821,
    0xf61e_2562, 0xc040_b340, 0x265e_5a51, 0xe9b6_c7aa, 0xd62f_105d, 0x0244_1453, 0xd8a1_e681, 0xe7d3_fbc8,
    0x21e1_cde6, 0xc337_07d6, 0xf4d5_0d87, 0x455a_14ed, 0xa9e3_e905, 0xfcef_a3f8, 0x676f_02d9, 0x8d2a_4c8a,
    0xfffa_3942, 0x8771_f681, 0x6d9d_6122, 0xfde5_380c, 0xa4be_ea44, 0x4bde_cfa9, 0xf6bb_4b60, 0xbebf_bc70,
    0x289b_7ec6, 0xeaa1_27fa, 0xd4ef_3085, 0x0488_1d05, 0xd9d4_d039, 0xe6db_99e5, 0x1fa2_7cf8, 0xc4ac_5665,
    0xf429_2244, 0x432a_ff97, 0xab94_23a7, 0xfc93_a039, 0x655b_59c3, 0x8f0c_cc92, 0xffef_f47d, 0x8584_5dd1,
    0x6fa8_7e4f, 0xfe2c_e6e0, 0xa301_4314, 0x4e08_11a1, 0xf753_7e82, 0xbd3a_f235, 0x2ad7_d2bb, 0xeb86_d391,
];

/// A stream and the bytes that it is still to take.
#[derive(Default)]
pub(super) struct Job {
    pub md5: Md5,
    pub pieces: VecDeque<Bytes>,
}

impl Job {
    /// How many whole blocks lie ahead in one piece, once what lies before them is hashed; none when fewer bytes
    /// are left than a block has.
    fn run(&mut self) -> usize {
        while let Some(piece) = self.pieces.front_mut() {
            let taken = piece.len() - self.md5.fill_tail(piece).len();
            piece.advance(taken);
            if piece.len() >= BLOCK {
                return piece.len() / BLOCK;
            }
            self.md5.keep_tail(piece);
            self.pieces.pop_front();
        }
        0
    }

    /// The first `blocks` blocks of the run.
    fn blocks(&self, blocks: usize) -> &[Block] {
        self.pieces.front().map_or(&[], |piece| &piece.as_chunks().0[..blocks])
    }

    /// Takes all that is left, alone.
    pub(super) fn finish(&mut self) {
        for piece in self.pieces.drain(..) {
            self.md5.update(&piece);
        }
    }
}

/// Lets the streams (at most [`LANES`]) advance together as long as at least `least` of them have whole blocks
/// ahead. What is left stays in the jobs.
pub(super) fn advance(level: Level, least: usize, jobs: &mut [&mut Job]) {
    loop {
        let mut lanes: Vec<(usize, &mut &mut Job)> =
            jobs.iter_mut().map(|job| (job.run(), job)).filter(|(run, _)| *run > 0).take(LANES).collect();
        let Some(blocks) = lanes.iter().map(|(run, _)| *run).min().filter(|_| lanes.len() >= least) else { return };
        // A lane without a stream hashes another's blocks, for nothing.
        let lane = |index: usize| lanes.get(index).or(lanes.first()).map_or(&[][..], |(_, job)| job.blocks(blocks));
        let runs: [&[Block]; LANES] = std::array::from_fn(lane);
        let mut states = [[0; LANES]; 4];
        for (index, (_, job)) in lanes.iter().enumerate() {
            for (word, value) in job.md5.state.iter().enumerate() {
                states[word][index] = *value;
            }
        }
        dispatch!(level, simd => compress(simd, &mut states, &runs));
        for (index, (_, job)) in lanes.iter_mut().enumerate() {
            job.md5.state = states.map(|word| word[index]);
            job.md5.length += (blocks * BLOCK) as u64;
            if let Some(piece) = job.pieces.front_mut() {
                piece.advance(blocks * BLOCK);
            }
        }
    }
}

/// One of the four rounds of RFC 1321, section 3.4, which mixes the words in the order `factor * step + first`. It is written out, for
/// rotations by a number that the compiler knows are one instruction where there is one.
macro_rules! round {
    ($state:ident, $words:ident, $round:literal, $mix:expr, $factor:literal, $first:literal) => {
        round!(@steps $state, $words, $round, $mix, $factor, $first, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15)
    };
    (@steps $state:ident, $words:ident, $round:literal, $mix:expr, $factor:literal, $first:literal, $($step:literal)*) => {$({
        const WORD: usize = ($factor * $step + $first) % 16;
        const LEFT: u32 = ROTATIONS[$round][$step % 4];
        let [a, b, c, d] = $state;
        // Steps wait for each other, but not for the first of these sums.
        let sum = (a + ($words[WORD] + SINES[16 * $round + $step])) + $mix(b, c, d);
        $state = [d, b + ((sum << LEFT) | (sum >> (32 - LEFT))), b, c];
    })*};
}

/// RFC 1321, section 3.4, in every lane. The runs have the same length.
///
/// This and what it calls must be inlined where the level is known: only there may the compiler use the level's instructions.
#[inline(always)]
fn compress<S: Simd>(simd: S, states: &mut [[u32; LANES]; 4], runs: &[&[Block]; LANES]) {
    let [a, b, c, d] = &*states;
    let mut state = [
        u32x8::from_slice(simd, a),
        u32x8::from_slice(simd, b),
        u32x8::from_slice(simd, c),
        u32x8::from_slice(simd, d),
    ];
    for block in 0..runs[0].len() {
        let [a, b, c, d] = state;
        let words = words(simd, runs, block);
        round!(state, words, 0, |x: u32x8<S>, y: u32x8<S>, z: u32x8<S>| z ^ (x & (y ^ z)), 1, 0);
        round!(state, words, 1, |x: u32x8<S>, y: u32x8<S>, z: u32x8<S>| y ^ (z & (x ^ y)), 5, 1);
        round!(state, words, 2, |x: u32x8<S>, y: u32x8<S>, z: u32x8<S>| x ^ y ^ z, 3, 5);
        round!(state, words, 3, |x: u32x8<S>, y: u32x8<S>, z: u32x8<S>| y ^ (x | !z), 7, 0);
        state = [state[0] + a, state[1] + b, state[2] + c, state[3] + d];
    }
    for (values, word) in states.iter_mut().zip(state) {
        word.store_slice(values);
    }
}

/// The sixteen words of a block, each with its value in every lane.
#[inline(always)]
fn words<S: Simd>(simd: S, runs: &[&[Block]; LANES], block: usize) -> [u32x8<S>; 16] {
    let [a, b, c, d, e, f, g, h] = transposed(rows(simd, runs, block, 0));
    let [i, j, k, l, m, n, o, p] = transposed(rows(simd, runs, block, 1));
    [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
}

/// A half of the block of every lane.
#[inline(always)]
#[rustfmt::skip]
fn rows<S: Simd>(simd: S, runs: &[&[Block]; LANES], block: usize, half: usize) -> [u32x8<S>; LANES] {
    [
        eight_words(simd, &runs[0][block], half), eight_words(simd, &runs[1][block], half),
        eight_words(simd, &runs[2][block], half), eight_words(simd, &runs[3][block], half),
        eight_words(simd, &runs[4][block], half), eight_words(simd, &runs[5][block], half),
        eight_words(simd, &runs[6][block], half), eight_words(simd, &runs[7][block], half),
    ]
}

/// The first or the second eight words of a block. The instruction sets for which there are lanes have the order of bytes that MD5 has.
#[inline(always)]
fn eight_words<S: Simd>(simd: S, block: &Block, half: usize) -> u32x8<S> {
    let bytes = u8x32::from_slice(simd, &block[half * 32..half * 32 + 32]);
    SimdBytes::bitcast(bytes)
}

#[inline(always)]
fn transposed<S: Simd>(rows: [u32x8<S>; LANES]) -> [u32x8<S>; LANES] {
    zipped(zipped(zipped(rows)))
}

/// Each row of the first half zipped with its like of the second. It turns the bits of an element's place, three of the row and three
/// of the column, by one: after three times row and column are exchanged.
#[inline(always)]
#[rustfmt::skip]
fn zipped<S: Simd>([a, b, c, d, e, f, g, h]: [u32x8<S>; LANES]) -> [u32x8<S>; LANES] {
    [
        a.zip_low(e), a.zip_high(e), b.zip_low(f), b.zip_high(f),
        c.zip_low(g), c.zip_high(g), d.zip_low(h), d.zip_high(h),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use md5::Digest;
    use proptest::collection::vec;

    fn advance_and_finish(level: Level, least: usize, jobs: &mut [Job]) {
        let mut together: Vec<&mut Job> = jobs.iter_mut().collect();
        advance(level, least, &mut together);
        jobs.iter_mut().for_each(Job::finish);
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config::with_cases(64))]

        /// Streams of different lengths, cut anywhere, begun at different times.
        #[test]
        fn every_lane_has_its_own_stream_s_digest(
            streams in vec((vec(0u8.., 0..70), vec(vec(0u8.., 0..400), 0..4)), 0..10),
            least in 1usize..4,
        ) {
            let mut jobs: Vec<Job> = streams
                .iter()
                .map(|(before, pieces)| {
                    let mut md5 = Md5::default();
                    md5.update(before);
                    Job { md5, pieces: pieces.iter().cloned().map(Bytes::from).collect() }
                })
                .collect();
            advance_and_finish(Level::new(), least, &mut jobs);
            for (job, (before, pieces)) in jobs.into_iter().zip(&streams) {
                let theirs: [u8; 16] = md5::Md5::digest([before.clone(), pieces.concat()].concat()).into();
                proptest::prop_assert_eq!(job.md5.finalize(), theirs);
            }
        }
    }

    /// Whatever this machine has, the others' ways must give the same.
    #[test]
    fn every_instruction_set_gives_the_same() {
        let pieces: Vec<Vec<u8>> =
            (0..LANES).map(|lane| (0..5000).map(|at| (at * 7 + lane * 31) as u8).collect()).collect();
        let ours = Level::new();
        #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
        let narrower = [ours.as_sse4_2().map(Level::Sse4_2), ours.as_avx2().map(Level::Avx2)];
        #[cfg(not(any(target_arch = "x86", target_arch = "x86_64")))]
        let narrower: [Option<Level>; 0] = [];
        for level in [ours, Level::baseline()].into_iter().chain(narrower.into_iter().flatten()) {
            let job = |piece: &Vec<u8>| Job { md5: Md5::default(), pieces: [Bytes::from(piece.clone())].into() };
            let mut jobs: Vec<Job> = pieces.iter().map(job).collect();
            advance_and_finish(level, 1, &mut jobs);
            for (job, piece) in jobs.into_iter().zip(&pieces) {
                assert_eq!(job.md5.finalize(), <[u8; 16]>::from(md5::Md5::digest(piece)), "{level:?}");
            }
        }
    }
}
