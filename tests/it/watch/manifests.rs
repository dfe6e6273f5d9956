//! `ready: { manifest: ... }`: complete and right, or not at all.

use super::support::Bench;

const HELLO: &str = "5d41402abc4b2a76b9719d911017c592";
const WORLD: &str = "7d793037a0760186574b0282f2f435e7";

#[tokio::test(flavor = "multi_thread")]
async fn a_card_is_sent_when_all_that_its_manifest_lists_is_there() {
    let bench = Bench::with("settle: 50ms\npackage: { per: folder, quiet: 100ms }\nready: { manifest: '*.md5' }").await;
    bench.write("A001/one.mov", "hello");
    bench.write("A001/card.md5", format!("{HELLO}  one.mov\n{WORLD}  CLIPS/two.mov\n"));
    bench
        .until("a reason", async || {
            bench.status().waiting.iter().any(|file| file.reason.contains("CLIPS/two.mov` is listed and not there"))
        })
        .await;
    assert!(bench.uploads().await.is_empty());
    bench.write("A001/CLIPS/two.mov", "world");
    assert_eq!(bench.packages_when(1).await, [["A001/CLIPS/two.mov", "A001/card.md5", "A001/one.mov"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_differs_from_its_manifest_is_not_sent_until_it_is_right() {
    let bench = Bench::with("settle: 50ms\npackage: { per: folder, quiet: 100ms }\nready: { manifest: '*.md5' }").await;
    bench.write("A001/one.mov", "hullo");
    bench.write("A001/card.md5", format!("{HELLO}  one.mov\n"));
    bench
        .until("a reason", async || bench.status().waiting.iter().any(|file| file.reason.contains("the manifest says")))
        .await;
    assert!(bench.uploads().await.is_empty());
    bench.write("A001/one.mov", "hello");
    bench.packages_when(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_manifest_lists_waits_for_one() {
    let bench = Bench::with("settle: 50ms\npackage: file\nready: { manifest: '*.mhl' }").await;
    bench.write("one.mov", "hello");
    bench
        .until("a reason", async || {
            bench.status().waiting.iter().any(|file| file.reason.contains("a manifest that lists it"))
        })
        .await;
    let text =
        format!("<hashlist version='1.1'><hash><file>one.mov</file><size>5</size><md5>{HELLO}</md5></hash></hashlist>");
    bench.write("all.mhl", text);
    assert_eq!(bench.packages_when(2).await, [["all.mhl"], ["one.mov"]]);
}
