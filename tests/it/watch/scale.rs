//! A large tree is looked at quickly, and idle costs nothing.

use std::time::Duration;

use super::support::Bench;

/// Folders with ten files each; the long form is FOLDERS=10000.
fn folders() -> u64 {
    std::env::var("FOLDERS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000)
}

/// Row "memory grows with number of files" and "notice latency in a tree of 100,000 files": here a tenth of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_tree_is_looked_at_quickly_and_then_left_alone() {
    let mut bench = Bench::new();
    for folder in 0..folders() {
        let path = bench.path(format!("card{:02}/clip{folder:04}", folder % 100));
        std::fs::create_dir_all(&path).unwrap();
        for file in 0..10 {
            std::fs::File::create(path.join(format!("{file}.mov"))).unwrap();
        }
    }
    bench.start("package: file\nsettle: 100ms\nexisting: skip\nrescan: 1h").await;
    bench.until("it has looked", async || bench.status().last_scan.is_some()).await;
    let scan = bench.status().last_scan.unwrap();
    assert_eq!((scan.files, scan.folders), (folders() * 10, folders() + 101));
    // Half a second on an idle machine; tests share theirs.
    assert!(scan.milliseconds < 8 * folders(), "{scan:?}");
    bench.until("all is skipped", async || bench.status().waiting_count == 0).await;
    // One file more costs a look at that file, not at the tree.
    let before = bench.status();
    bench.write("card50/clip0050/new.mov", "x");
    bench.packages_when(1).await;
    let after = bench.status();
    assert_eq!(before.last_scan, after.last_scan);
    assert!(after.looks - before.looks <= 4, "{} looks", after.looks - before.looks);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(bench.status().looks, after.looks, "idle is idle");
}
