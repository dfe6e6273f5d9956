//! Watched folders in which something touches everything again and again, without changing a byte: `chmod -R` by a timer, `setfacl -R`, an
//! indexer, a backup with hard links. It sends nothing twice, throws nothing away and holds nothing up for ever.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::support::Bench;

/// Sets the mode of everything below a folder, far more often than the settle times here, until it is dropped.
pub struct Storm {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Storm {
    pub fn over(folder: PathBuf) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            for round in 0_u32.. {
                if ends.load(Ordering::Relaxed) {
                    return;
                }
                touch(&folder, if round % 2 == 0 { 0o640 } else { 0o644 });
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        Self { over, thread: Some(thread) }
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What is gone by then does not matter.
fn touch(folder: &Path, mode: u32) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        match entry.path() {
            path if path.is_dir() => touch(&path, mode),
            path => drop(std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))),
        }
    }
}

/// `chmod -R` over a folder under work, without end: its files never settled.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_touched_without_end_is_packaged_all_the_same_and_only_once() {
    for (package, packages) in [("file", 3), ("{ per: folder, quiet: 100ms }", 1), ("{ per: batch, quiet: 100ms }", 1)]
    {
        let bench = Bench::with(&format!("package: {package}\nsettle: 100ms\nrescan: 1s")).await;
        let storm = Storm::over(bench.path(""));
        for name in ["A001/one.mov", "A001/two.mov", "A001/three.mov"] {
            bench.write(name, name);
        }
        let files = async || bench.packages().await.concat().len();
        bench.until(format!("all three are packaged, by {package}"), async || files().await == 3).await;
        assert_eq!(bench.uploads().await.len(), packages, "{package}: {:?}", bench.packages().await);
        for upload in bench.uploads().await {
            bench.complete(&upload).await;
        }
        // What was sent stays sent, and does not hold up what comes.
        bench.write("A001/four.mov", "four");
        bench.packages_when(packages + 1).await;
        drop(storm);
        bench.looked_again().await;
        bench.looked_again().await;
        assert_eq!(bench.packages().await[packages..], [["A001/four.mov"]], "{package}");
    }
}
