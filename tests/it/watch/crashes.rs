//! R2 and R3: whenever the agent dies, every drop is in exactly one package afterwards.

use std::collections::BTreeMap;
use std::time::Duration;

use super::support::Bench;

/// The rule is cut short at random moments while files are dropped, changed packages are completed and files
/// taken away; every start begins from the store and the folder alone.
async fn dies_again_and_again(keys: &str, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut bench = Bench::new();
    let mut dropped = 0;
    for _ in 0..12 {
        bench.start(keys).await;
        for _ in 0..random.usize(0..6) {
            bench.write(format!("card{}/clip{dropped}.mov", dropped % 3), format!("content {dropped}"));
            dropped += 1;
            tokio::time::sleep(Duration::from_millis(random.u64(0..15))).await;
        }
        for upload in bench.uploads().await {
            if upload.completed_at.is_none() && random.bool() {
                bench.complete(&upload).await;
            }
        }
        tokio::time::sleep(Duration::from_millis(random.u64(0..80))).await;
        bench.stop().await;
    }
    bench.start(keys).await;
    let sent = async || bench.packages().await.iter().map(Vec::len).sum::<usize>();
    bench.until("all is sent", async || sent().await >= dropped).await;
    bench.looked_again().await;
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for path in bench.packages().await.into_iter().flatten() {
        *times.entry(path).or_default() += 1;
    }
    assert_eq!(times.len(), dropped, "seed {seed}");
    assert!(times.values().all(|times| *times == 1), "seed {seed}: {times:?}");
    for upload in bench.uploads().await {
        if upload.completed_at.is_none() {
            bench.complete(&upload).await;
        }
    }
    if keys.contains("move") {
        let kept = bench.root.path().join("sent");
        let there =
            async || walkdir::WalkDir::new(&kept).into_iter().flatten().filter(|e| e.file_type().is_file()).count();
        bench.until("all is moved", async || there().await == dropped).await;
    }
}

/// The histories of a test, from this one on: two, or as many as CRASHES says for the long form.
fn seeds(first: u64) -> std::ops::Range<u64> {
    let count = std::env::var("CRASHES").ok().and_then(|text| text.parse().ok()).unwrap_or(2);
    first..first + count
}

/// Case: crashes while a rule of single files works: each file is in exactly one package.
#[tokio::test(flavor = "multi_thread")]
async fn each_file_is_in_one_package() {
    for seed in seeds(0) {
        dies_again_and_again("package: file\nsettle: 10ms", seed).await;
    }
}

/// Case: crashes while a batch is made and moved: each file is in one package and moved once.
#[tokio::test(flavor = "multi_thread")]
async fn each_file_of_a_batch_is_in_one_package_and_is_moved_once() {
    for seed in seeds(2) {
        let keys =
            "package: { per: batch, quiet: 30ms, max_wait: 1s }\nsettle: 10ms\nafter: { complete: { move: sent } }";
        dies_again_and_again(keys, seed).await;
    }
}

/// Case: crashes while files are added to an open package: each is in exactly one.
#[tokio::test(flavor = "multi_thread")]
async fn each_file_is_added_to_one_open_package() {
    for seed in seeds(4) {
        dies_again_and_again("settle: 10ms\nfinalize: { quiet: 100ms }", seed).await;
    }
}
