//! `kill -9` three times while a package comes down through a proxy that spoils requests: all of it arrives equal, and what
//! was on the disk is not fetched again.
//!
//! `FULL_SIZE=1` takes a file of 5 GB and a package of 10,000 files; it needs 15 GB of disk.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use masv_agent::model::{SourceFile, State};

use crate::process::Agent;
use crate::proxy::behind_proxy;
use crate::support::{TestEngine, source_file, spec};

/// Kills at these shares of the way, in percent.
const KILLS: [u64; 3] = [20, 45, 70];
/// The agent's parts.
const PART: u64 = 32 << 20;
const WORKERS: u64 = 8;

fn is_full() -> bool {
    std::env::var_os("FULL_SIZE").is_some()
}

/// Writes a file of so many random bytes, however many those are.
fn write_random(path: &Path, seed: u64, size: u64) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = std::fs::File::create(path).unwrap();
    let mut random = fastrand::Rng::with_seed(seed);
    let mut block = vec![0; 1 << 20];
    let mut left = size;
    while left > 0 {
        let length = usize::try_from(left.min(block.len() as u64)).unwrap();
        random.fill(&mut block[..length]);
        file.write_all(&block[..length]).unwrap();
        left -= length as u64;
    }
}

fn hash(path: &Path) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut file = std::fs::File::open(path).unwrap();
    let mut block = vec![0; 1 << 20];
    loop {
        match file.read(&mut block).unwrap() {
            0 => return hasher.finalize().to_hex().to_string(),
            length => drop(hasher.update(&block[..length])),
        }
    }
}

/// Every file below a folder, by its path in there, and what it hashes to.
fn hashes(root: &Path) -> Vec<(PathBuf, String)> {
    let files = walkdir::WalkDir::new(root).sort_by_file_name().into_iter().map(Result::unwrap);
    let files = files.filter(|entry| entry.file_type().is_file());
    files.map(|entry| (entry.path().strip_prefix(root).unwrap().to_owned(), hash(entry.path()))).collect()
}

/// Sends files of these sizes, then fetches them, killed three times on the way; `rate` slows it down so that the kills
/// hit it.
async fn comes_down_equal(sizes: &[u64], percent: u32, rate: &str, limit: Duration) {
    let (hub, _url, proxy) = behind_proxy(percent).await;
    let engine = TestEngine::start(hub.cloud()).await;
    let source = engine.folder.path().join("source");
    let mut files: Vec<SourceFile> = Vec::new();
    for (number, size) in (0_u64..).zip(sizes) {
        let name = format!("{:02}/{number}.bin", number % 50);
        write_random(&source.join(&name), number, *size);
        files.push(source_file(Path::new(&name), source.join(&name)));
    }
    let mut order = spec(files);
    order.chunk_size = Some(PART);
    let id = engine.queue.submit(order).await.unwrap();
    // By the link's own address, which leads through the proxy.
    let upload = engine.wait_long_for(id, State::Complete, limit).await;
    let (before, link) = (proxy.counts().0, upload.links[0].url.clone());

    let mut agent = Agent::start("", &[]);
    agent.json(&["settings", "rate-limit", "update", "--direction", "download", "--limit", rate]);
    let flags = ["download", "start", "--url", &link, "--destination", "in", "--create-package-folder=false"];
    agent.json(&flags);
    for share in KILLS {
        let far = |list: &[serde_json::Value]| {
            let (size, progress) = (list[0]["size"].as_u64().unwrap(), list[0]["progress"].as_u64().unwrap());
            size > 0 && progress * 100 >= size * share
        };
        agent.wait_for_downloads(&format!("{share} % are here"), limit, far);
        agent.kill();
        agent.go_on();
    }
    agent.json(&["settings", "rate-limit", "update", "--direction", "download", "--enabled=false"]);
    agent.wait_for_downloads("it is complete", limit, |list| list[0]["state"] == "complete");
    let (sent, got) = (hashes(&source), hashes(&agent.path("in")));
    assert!(sent == got, "{} files sent, {} received", sent.len(), got.len());

    // A restart costs at most the parts in flight; spoiled requests are asked again.
    let (requests, spoiled) = proxy.counts();
    let (requests, spoiled) = ((requests - before) as u64, spoiled as u64);
    let parts: u64 = sizes.iter().map(|size| size.div_ceil(PART)).sum();
    let addresses = sizes.len() as u64;
    let kills = KILLS.len() as u64;
    let most = parts + addresses + kills * (2 * WORKERS.max(16) + 4) + spoiled + parts * u64::from(percent) / 50 + 10;
    assert!(requests <= most, "{requests} requests for {parts} parts; {most} would do");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_comes_down_equal_after_three_kills_through_a_bad_network() {
    match is_full() {
        true => comes_down_equal(&[5_000_000_000], 10, "400MB", Duration::from_secs(3600)).await,
        false => comes_down_equal(&[12 * PART + 12_345], 10, "80MB", Duration::from_secs(120)).await,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_files_come_down_equal_after_three_kills_through_a_bad_network() {
    let count: u64 = if is_full() { 10_000 } else { 300 };
    let sizes: Vec<u64> = (0..count).map(|number| number * 37 % 40_000).collect();
    let (rate, limit) = if is_full() { ("20MB", 3600) } else { ("1MB", 120) };
    comes_down_equal(&sizes, 10, rate, Duration::from_secs(limit)).await;
}
