//! How fast MD5 is on one processor: of one stream, and of several side by side in the lanes of vectors.
//!
//! ```sh
//! cargo bench --bench md5
//! ```
//!
//! Prints the median of nine rounds; docs/performance.md says what was measured where.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::time::Instant;

use bytes::Bytes;
use masv_digest::{Md5, SharedMd5};

/// Bytes that a stream is given at once, as by an upload,
const BLOCK: usize = 256 << 10;
/// how many of them may wait to be hashed,
const WINDOW: usize = 4 * BLOCK;
/// and how many of them it is given.
const BLOCKS: usize = 128;
const ROUNDS: usize = 9;

/// The median of gigabytes a second in which `hash` takes so many bytes.
fn speed(bytes: usize, hash: impl Fn()) -> f64 {
    let round = || {
        let begun = Instant::now();
        hash();
        bytes as f64 / begun.elapsed().as_secs_f64() / 1e9
    };
    let mut rounds: Vec<f64> = (0..ROUNDS).map(|_| round()).collect();
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}

fn main() {
    let block: Vec<u8> = (0..BLOCK).map(|at| (at * 7) as u8).collect();
    let block = Bytes::from(block);
    let alone = speed(BLOCKS * BLOCK, || {
        let mut md5 = Md5::default();
        (0..BLOCKS).for_each(|_| md5.update(&block));
        std::hint::black_box(md5.finalize());
    });
    println!("one stream      {alone:.2} GB/s");
    for streams in [2, 4, 8] {
        let together = speed(streams * BLOCKS * BLOCK, || {
            let mut all: Vec<SharedMd5> = (0..streams).map(|_| SharedMd5::new(WINDOW)).collect();
            for _ in 0..BLOCKS {
                all.iter_mut().for_each(|md5| md5.update(block.clone()));
            }
            for md5 in all {
                std::hint::black_box(md5.finalize());
            }
        });
        println!("{streams} side by side  {together:.2} GB/s");
    }
}
