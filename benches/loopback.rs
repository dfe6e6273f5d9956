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

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const MASV: &str = env!("CARGO_BIN_EXE_masv");
const SMALL_FILES: u32 = 10_000;
const SMALL_SIZE: usize = 4096;

struct Process(Child);

impl Process {
    /// CPU seconds so far, user and system.
    fn cpu(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
    }

    /// The most memory it ever had, MiB.
    fn peak(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start_hub(folder: &Path) -> (Process, String, String, String) {
    let command = Command::new(MASV)
        .args(["hub", "start", "--listen", "127.0.0.1:0", "--log-level", "error", "--data-dir"])
        .arg(folder.join("hub"))
        .stdout(Stdio::piped())
        .spawn();
    let mut hub = Process(command.unwrap());
    let (mut key, mut team) = (String::new(), String::new());
    for line in BufReader::new(hub.0.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let line = line.trim();
        if let Some(file) = line.strip_prefix("api_key_file: ") {
            key = std::fs::read_to_string(file).unwrap().trim().to_owned();
        } else if let Some(value) = line.strip_prefix("team: ") {
            team = value.to_owned();
        } else if let Some(rest) = line.strip_prefix("The hub listens on ") {
            let url = rest.split(',').next().unwrap().to_owned();
            return (hub, url, key, team);
        }
    }
    unreachable!("the hub says where it listens");
}

fn start_agent(folder: &Path, url: &str, key: &str, team: &str) -> Process {
    let agent = Command::new(MASV)
        .args(["server", "start", "--listen", "http://127.0.0.1:0", "--log-level", "error"])
        .args(["--cloud-url", url, "--team-id", team])
        .env("MASV_API_KEY", key)
        .env("MASV_DATA_DIR", folder.join("agent"))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while !masv(folder, &["server", "status"]).status.success() {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(20));
    }
    Process(agent)
}

fn masv(folder: &Path, arguments: &[&str]) -> std::process::Output {
    Command::new(MASV).args(arguments).env("MASV_DATA_DIR", folder.join("agent")).output().unwrap()
}

fn upload(folder: &Path, path: &Path) -> f64 {
    let begun = Instant::now();
    let done = masv(folder, &["upload", "start", "link", "--wait", path.to_str().unwrap()]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    begun.elapsed().as_secs_f64()
}

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

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
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
        ours.push(upload(folder, &big));
    }
    let gigabytes = (mib << 20) as f64 / 1e9;
    let per_gigabyte = |cpu: f64, before: f64| (cpu - before) / (gigabytes * rounds as f64);
    let (agent_cpu, hub_cpu) = (per_gigabyte(agent.cpu(), before.0), per_gigabyte(hub.cpu(), before.1));
    for _ in 0..rounds {
        smalls.push(upload(folder, &small));
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
