//! What the benchmarks share: a hub and an agent as processes, and what is measured of them.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The program that is measured: this one, or another version of it to compare with.
fn program() -> std::ffi::OsString {
    std::env::var_os("BENCH_MASV").unwrap_or_else(|| env!("CARGO_BIN_EXE_masv").into())
}

/// A process that ends when it is dropped.
pub struct Process(Child);

impl Process {
    /// CPU seconds so far, user and system.
    pub fn cpu(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
    }

    /// The most memory it ever had, MiB.
    pub fn peak(&self) -> u64 {
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

/// A hub, its address, its key and its team.
pub fn start_hub(folder: &Path) -> (Process, String, String, String) {
    let command = Command::new(program())
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
            key = fs::read_to_string(file).unwrap().trim().to_owned();
        } else if let Some(value) = line.strip_prefix("team: ") {
            team = value.to_owned();
        } else if let Some(rest) = line.strip_prefix("The hub listens on ") {
            let url = rest.split(',').next().unwrap().to_owned();
            return (hub, url, key, team);
        }
    }
    unreachable!("the hub says where it listens");
}

/// An agent that sends to that hub.
pub fn start_agent(folder: &Path, url: &str, key: &str, team: &str) -> Process {
    let agent = Command::new(program())
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

/// Runs a command against the agent.
pub fn masv(folder: &Path, arguments: &[&str]) -> std::process::Output {
    Command::new(program()).args(arguments).env("MASV_DATA_DIR", folder.join("agent")).output().unwrap()
}

/// Sends a file or a folder; returns the seconds until it was complete, and its link.
pub fn upload(folder: &Path, path: &Path) -> (f64, String) {
    let begun = Instant::now();
    let done = masv(folder, &["upload", "start", "link", "--wait", path.to_str().unwrap()]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let seconds = begun.elapsed().as_secs_f64();
    // A line for each state; the last one is the end.
    let told = String::from_utf8(done.stdout).unwrap();
    let last: serde_json::Value = serde_json::from_str(told.lines().last().unwrap()).unwrap();
    (seconds, last["links"][0]["url"].as_str().unwrap().to_owned())
}

/// The middle one.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A number from the environment.
pub fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}
