//! Folders that arrive with pauses: a package is made of all of it, not of what was there when it paused.

use std::time::Duration;

use super::support::Bench;

/// A render farm delivers the frames of a sequence a batch at a time, with pauses that are longer than `quiet`: each batch was a package.
#[tokio::test(flavor = "multi_thread")]
async fn frames_that_come_in_batches_are_one_package() {
    let bench = Bench::with("package: { per: folder, quiet: 2s }\nsettle: 50ms").await;
    for batch in 0..3 {
        if batch > 0 {
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
        for frame in 1..6 {
            bench.write(format!("shot/f.{:04}.exr", batch * 5 + frame), "a frame");
        }
        assert!(bench.uploads().await.is_empty(), "after batch {batch}: {:?}", bench.packages().await);
    }
    assert_eq!(bench.packages_when(1).await[0].len(), 15);
}

/// `unzip` that is stopped in the middle of a file: half of the folder was a package.
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_waits_for_the_file_that_a_program_has_paused_in() {
    let bench = Bench::with("package: { per: folder, quiet: 100ms }\nsettle: 50ms").await;
    bench.write("card/one.mov", "one");
    bench.write("card/two.mov", "two");
    let mut paused = std::fs::File::create(bench.path("card/three.mov")).unwrap();
    std::io::Write::write_all(&mut paused, b"half").unwrap();
    let is_told = async || {
        let waiting = bench.status().waiting;
        let by = |path: &str, words: &str| waiting.iter().any(|f| f.path.ends_with(path) && f.reason.contains(words));
        by("three.mov", "is held open for writing by") && by("one.mov", "waits for `card/three.mov`")
    };
    bench.until("it is told what the folder waits for", is_told).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(bench.uploads().await.is_empty());
    bench.write("card/four.mov", "four");
    std::io::Write::write_all(&mut paused, b", whole").unwrap();
    drop(paused);
    assert_eq!(bench.packages_when(1).await, [["card/four.mov", "card/one.mov", "card/three.mov", "card/two.mov"]]);
}
