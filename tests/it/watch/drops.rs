//! What is dropped is sent: once, whole, in the right packages.

use super::support::Bench;

#[tokio::test(flavor = "multi_thread")]
async fn a_file_dropped_becomes_a_package_once() {
    let bench = Bench::with("package: file\nsettle: 100ms").await;
    bench.ready().await;
    bench.write("clip.mov", "content");
    assert_eq!(bench.packages_when(1).await, [["clip.mov"]]);
    bench.looked_again().await;
    assert_eq!(bench.packages().await.len(), 1);
}
