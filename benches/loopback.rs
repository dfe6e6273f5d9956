//! What an upload costs: one big file and ten thousand small ones, from an agent process to a hub process on
//! loopback, beside a plain copy and a raw socket copy of the same bytes in the same run.
//!
//! ```sh
//! cargo bench --bench loopback            # 2 GiB and 10,000 files of 4 KiB, three rounds
//! BENCH_MIB=8192 BENCH_ROUNDS=5 cargo bench --bench loopback
//! ```
//!
//! Prints a table of medians; docs/performance.md says what was measured where.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark fails by panicking and prints its figures")]

#[path = "support/mod.rs"]
mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Instant;

use support::{median, number, start_agent, start_hub, upload};

const SMALL_FILES: u32 = 10_000;
const SMALL_SIZE: usize = 4096;

/// Sends the file through a socket to a thread that drops what arrives.
fn socket_copy(path: &Path) -> f64 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let sink = std::thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let mut block = vec![0; 256 << 10];
        while stream.read(&mut block).unwrap() > 0 {}
    });
    let begun = Instant::now();
    let mut source = fs::File::open(path).unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let mut block = vec![0; 256 << 10];
    loop {
        let length = source.read(&mut block).unwrap();
        if length == 0 {
            break;
        }
        stream.write_all(&block[..length]).unwrap();
    }
    drop(stream);
    sink.join().unwrap();
    begun.elapsed().as_secs_f64()
}

fn flushed_copy(from: &Path, to: &Path) -> f64 {
    let begun = Instant::now();
    fs::copy(from, to).unwrap();
    fs::File::open(to).unwrap().sync_all().unwrap();
    let took = begun.elapsed().as_secs_f64();
    fs::remove_file(to).unwrap();
    took
}

fn main() {
    let (mib, rounds) = (number("BENCH_MIB", 2048), number("BENCH_ROUNDS", 3));
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let big = folder.join("big.mov");
    let mut file = fs::File::create(&big).unwrap();
    let mut block = vec![0; 1 << 20];
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..mib {
        random.fill(&mut block);
        file.write_all(&block).unwrap();
    }
    file.sync_all().unwrap();
    let small = folder.join("small");
    fs::create_dir(&small).unwrap();
    for number in 0..SMALL_FILES {
        fs::write(small.join(format!("{number:05}.dat")), &block[..SMALL_SIZE]).unwrap();
    }

    let (hub, url, key, team) = start_hub(folder);
    let agent = start_agent(folder, &url, &key, &team);
    let (mut ours, mut copies, mut sockets, mut smalls) = (vec![], vec![], vec![], vec![]);
    let before = (agent.cpu(), hub.cpu());
    for _ in 0..rounds {
        copies.push(flushed_copy(&big, &folder.join("copy")));
        sockets.push(socket_copy(&big));
        ours.push(upload(folder, &big).0);
    }
    let gigabytes = (mib << 20) as f64 / 1e9;
    let per_gigabyte = |cpu: f64, before: f64| (cpu - before) / (gigabytes * rounds as f64);
    let (agent_cpu, hub_cpu) = (per_gigabyte(agent.cpu(), before.0), per_gigabyte(hub.cpu(), before.1));
    for _ in 0..rounds {
        smalls.push(upload(folder, &small).0);
    }

    let speed = |seconds: Vec<f64>| gigabytes * 1000.0 / median(seconds);
    println!("{mib} MiB in one file, medians of {rounds}");
    println!("  plain copy, flushed      {:>6.0} MB/s", speed(copies));
    println!("  raw socket, no disk      {:>6.0} MB/s", speed(sockets));
    println!("  upload, checked, flushed {:>6.0} MB/s", speed(ours));
    println!("  CPU seconds per GB       {agent_cpu:>6.2} agent, {hub_cpu:.2} hub");
    println!("{SMALL_FILES} files of {SMALL_SIZE} bytes");
    println!("  upload                   {:>6.0} files/s", f64::from(SMALL_FILES) / median(smalls));
    println!("peak memory                {:>6} MiB agent, {} MiB hub", agent.peak(), hub.peak());
}
