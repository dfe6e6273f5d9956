//! Named places at which a test can end the process as a power cut would.
//!
//! Only debug builds have them: `MASV_CRASH_AT=NAME`, or `NAME:3` for the third time it is reached, kills the process with
//! the signal that cannot be caught. Release builds contain none of this.

use std::time::Duration;

/// Every named place, in the order in which a package reaches them.
pub const CRASH_POINTS: [&str; 29] = [
    "submit.before",
    "submit.after",
    "append.before",
    "append.after",
    "package.made",
    "package.kept",
    "link.made",
    "file.begun",
    "file.begun.kept",
    "part.sent",
    "part.kept",
    "file.closed",
    "file.kept",
    "close.before",
    "marker.claimed",
    "close.after",
    "upload.closing",
    "upload.finalized",
    "upload.completed",
    "after.before",
    "after.renamed",
    "after.copied",
    "after.named",
    "after.kept",
    "after.hidden",
    "after.returned",
    "after.removed",
    "after.noted",
    "hook.told",
];

/// A wait that is too long for a test: in a debug build, `MASV_HURRY=1` shortens it to two seconds.
#[must_use]
pub fn unless_hurried(wait: Duration) -> Duration {
    let hurried = cfg!(debug_assertions) && std::env::var_os("MASV_HURRY").is_some();
    if hurried { wait.min(Duration::from_secs(2)) } else { wait }
}

/// Waits here when a test asks for it, so that it can see what is under way: in a debug build, `MASV_SLOW_AT=NAME:20` waits for
/// 20 milliseconds each time.
pub fn slow_point(name: &str) {
    if cfg!(debug_assertions)
        && let Ok(wanted) = std::env::var("MASV_SLOW_AT")
        && let Some((at, milliseconds)) = wanted.split_once(':')
        && at == name
    {
        std::thread::sleep(Duration::from_millis(milliseconds.parse().unwrap_or_default()));
    }
}

/// Waits here, the first time, until a test lets it go on: in a debug build, `MASV_HOLD_AT=NAME:FILE` makes the file and waits for as long as
/// it is there. Blocks.
pub fn hold_point(name: &str) {
    use std::sync::atomic::{AtomicBool, Ordering};

    static HELD: AtomicBool = AtomicBool::new(false);
    if cfg!(debug_assertions)
        && let Ok(wanted) = std::env::var("MASV_HOLD_AT")
        && let Some((at, file)) = wanted.split_once(':')
        && at == name
        && !HELD.swap(true, Ordering::Relaxed)
        && std::fs::write(file, name).is_ok()
    {
        while std::path::Path::new(file).exists() {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Ends the process here when a test asks for it.
#[cfg(debug_assertions)]
pub fn crash_point(name: &str) {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    static WANTED: LazyLock<Option<(String, AtomicU32)>> = LazyLock::new(|| {
        let wanted = std::env::var("MASV_CRASH_AT").ok()?;
        let (name, times) = wanted.split_once(':').unwrap_or((&wanted, "1"));
        Some((name.to_owned(), AtomicU32::new(times.parse().unwrap_or(1))))
    });
    debug_assert!(CRASH_POINTS.contains(&name), "{name} is not listed");
    let Some((wanted, left)) = &*WANTED else { return };
    if wanted == name && left.fetch_sub(1, Ordering::Relaxed) == 1 {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        // The signal ends every thread; this one must not continue meanwhile.
        loop {
            std::thread::park();
        }
    }
}

/// Nothing, in a release build.
#[cfg(not(debug_assertions))]
#[inline]
pub fn crash_point(_name: &str) {}
