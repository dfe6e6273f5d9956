//! What a long link makes of uploads and downloads: one big file, a thousand small ones and a sequence of frames, from an agent
//! process to a hub process and back through an emulated link, beside `rclone` and `s5cmd` in the same run, where they are installed.
//!
//! ```sh
//! cargo bench --bench long_link
//! BENCH_ROUND_TRIPS=100 BENCH_MIB=1024 BENCH_ROUNDS=1 cargo bench --bench long_link
//! ```
//!
//! A link is a round trip, a rate that all connections share, and a window that each has. The agent that sends is a new one
//! for each link: it knows nothing of it, and the first of its rounds is among those that count. Prints a table of medians, each with
//! its share of what the link could carry, or the number of files a round trip; docs/performance.md says what was measured where.
//! Ratios hold for debug builds, too (`cargo bench --profile dev --bench long_link`).

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark fails by panicking and prints its figures")]

mod emulator;
mod peers;
#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use emulator::{Conditions, LongLink};
use peers::PEERS;
use support::{masv, median, number, start_agent, start_hub, upload};

/// What is sent.
struct Work {
    name: String,
    path: PathBuf,
    files: u32,
    bytes: u64,
}

impl Work {
    /// A folder of files of random content; each differs in its first bytes.
    fn make(folder: &Path, name: &str, files: u32, size: usize) -> Self {
        let path = folder.join(name);
        fs::create_dir(&path).unwrap();
        let mut block = vec![0; size.min(1 << 20)];
        fastrand::Rng::with_seed(7).fill(&mut block);
        for number in 0..files {
            block[..4].copy_from_slice(&number.to_le_bytes());
            let mut file = fs::File::create(path.join(format!("{number:05}.dpx"))).unwrap();
            let mut left = size;
            while left > 0 {
                let length = left.min(block.len());
                file.write_all(&block[..length]).unwrap();
                left -= length;
            }
        }
        Self { name: name.to_owned(), path, files, bytes: u64::from(files) * size as u64 }
    }

    /// Megabytes a second, or files where these are small.
    fn figure(&self, seconds: f64, conditions: &Conditions) -> String {
        let speed = self.bytes as f64 / seconds;
        if self.bytes / u64::from(self.files) < 64 << 10 {
            let files = f64::from(self.files) / seconds;
            return format!("{files:.0} files/s ({:.1} a round trip)", files * conditions.round_trip.as_secs_f64());
        }
        format!("{:.1} MB/s ({:.0}% of the link)", speed / 1e6, 100.0 * speed / conditions.rate as f64)
    }
}

/// Fetches what a link leads to; returns the seconds until it was complete.
fn download(folder: &Path, link: &str) -> f64 {
    let to = tempfile::tempdir_in(folder).unwrap();
    let begun = Instant::now();
    let done =
        masv(folder, &["download", "start", "--wait", "--url", link, "--destination", to.path().to_str().unwrap()]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    begun.elapsed().as_secs_f64()
}

fn main() {
    let (mib, rounds) = (number("BENCH_MIB", 256), number("BENCH_ROUNDS", 3));
    let trips = std::env::var("BENCH_ROUND_TRIPS").unwrap_or_else(|_| "1,20,100".to_owned());
    let trips: Vec<u64> = trips.split(',').map(|text| text.trim().parse().unwrap()).collect();
    let rate = number("BENCH_MBIT", 1000) * 1_000_000 / 8;
    let window = usize::try_from(number("BENCH_WINDOW_KIB", 4096) << 10).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let works = [
        Work::make(folder, "1000 files of 4 KiB", 1_000, 4 << 10),
        Work::make(folder, "300 frames of 2 MB", 300, 2_000_000),
        Work::make(folder, &format!("one file of {mib} MiB"), 1, usize::try_from(mib << 20).unwrap()),
    ];
    let peers: Vec<_> = PEERS.iter().filter(|peer| peer.is_there()).collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (hub, url, key, team) = start_hub(folder);
    let hub_address = url.trim_start_matches("http://").trim_end_matches('/').parse().unwrap();
    let storage = runtime.block_on(peers::null_storage());
    println!("{} Mbit/s, window {} KiB, medians of {rounds}", rate * 8 / 1_000_000, window >> 10);
    for trip in trips {
        let conditions = Conditions { round_trip: Duration::from_millis(trip), rate, window, resets: 0.0 };
        let link = |to| runtime.block_on(LongLink::start(to, conditions)).unwrap();
        let (to_hub, to_storage) = (link(hub_address), link(storage));
        let own = tempfile::tempdir_in(folder).unwrap();
        let agent = start_agent(own.path(), &format!("http://{}", to_hub.address), &key, &team);
        println!("round trip {trip} ms");
        for work in &works {
            let (mut up, mut down) = (Vec::new(), Vec::new());
            let mut others = vec![Vec::new(); peers.len()];
            for _ in 0..rounds {
                let (seconds, leads_to) = upload(own.path(), &work.path);
                up.push(seconds);
                down.push(download(own.path(), &leads_to));
                for (peer, took) in peers.iter().zip(&mut others) {
                    took.extend(peer.send(to_storage.address, &work.path));
                }
            }
            let up = median(up);
            println!("  {}", work.name);
            println!("    {:<22} {}", "up", work.figure(up, &conditions));
            println!("    {:<22} {}", "down", work.figure(median(down), &conditions));
            for (peer, took) in peers.iter().zip(others) {
                if took.is_empty() {
                    println!("    {:<22} failed", peer.name);
                    continue;
                }
                let theirs = median(took);
                println!("    {:<22} {}; ours is {:.2} x", peer.name, work.figure(theirs, &conditions), theirs / up);
            }
        }
        let connections = to_hub.seen.connections.load(std::sync::atomic::Ordering::Relaxed);
        println!("  agent: {:.1} CPU seconds, {} MiB at most, {connections} connections", agent.cpu(), agent.peak());
    }
    println!("hub: {:.1} CPU seconds, {} MiB at most", hub.cpu(), hub.peak());
}
