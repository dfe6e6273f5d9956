//! Whether another process has a file open for writing, asked of the kernel by a lease.
//!
//! **In**: a descriptor that is open for reading only. **Out**: an [`OpenForWriting`]. Linux; elsewhere nothing is known.
//!
//! A read lease (`F_SETLEASE` with `F_RDLCK`, see `fcntl(2)`) is granted only while no process has the file open for
//! writing or mapped for writing. The agent requests one and returns it at once: the refusal is the answer. The kernel
//! grants leases to the file's owner and to processes with `CAP_LEASE`; nothing of the file is read.
//!
//! **Guarantees.** Nothing is changed. A process that opens the file for writing within the few microseconds of the lease
//! waits that long; the signal that the kernel sends then is one that is ignored by default, because the usual one
//! (`SIGIO`) would end the agent.
//!
//! The only `unsafe` of the project: no crate offers this call. Its arguments are numbers, so no memory is at risk.
//!
//! Must never know: paths, file systems. On network file systems the result is about this machine's caches and not about
//! writers: callers have to exclude those.

use std::os::fd::AsFd;

/// What a lease reveals about other processes that have a file open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenForWriting {
    /// At least one has it open, or mapped, for writing.
    Yes,
    /// None has.
    No,
    /// Not known: another user's file, a file system without leases, a system other than Linux.
    Unknown,
}

/// Whether another process has the file open for writing. `file` is open for reading only.
#[must_use]
pub fn open_for_writing(file: impl AsFd) -> OpenForWriting {
    system::open_for_writing(file.as_fd())
}

/// Whether [`open_for_writing`] works for all files, including other users'. `None` if there are no leases at all.
#[must_use]
pub fn sees_all_writers() -> Option<bool> {
    /// The number of `CAP_LEASE`, from `linux/capability.h`.
    const CAP_LEASE: u32 = 28;
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    Some(u64::from_str_radix(effective.trim(), 16).ok()? >> CAP_LEASE & 1 == 1)
}

#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "no crate offers this call; its arguments are numbers")]
mod system {
    use std::io;
    use std::os::fd::{AsRawFd, BorrowedFd};

    use super::OpenForWriting;

    /// Sets the signal for a lease that must be returned; from `asm-generic/fcntl.h`, missing in `libc`.
    const F_SETSIG: libc::c_int = 10;

    pub(super) fn open_for_writing(file: BorrowedFd<'_>) -> OpenForWriting {
        // Ignored unless a process handles it, and nothing here does.
        if control(file, F_SETSIG, libc::SIGURG).is_err() {
            return OpenForWriting::Unknown;
        }
        match control(file, libc::F_SETLEASE, libc::F_RDLCK) {
            Ok(()) => {
                // Should this fail, closing the descriptor ends the lease.
                let _ = control(file, libc::F_SETLEASE, libc::F_UNLCK);
                OpenForWriting::No
            }
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => OpenForWriting::Yes,
            Err(_) => OpenForWriting::Unknown,
        }
    }

    fn control(file: BorrowedFd<'_>, command: libc::c_int, argument: libc::c_int) -> io::Result<()> {
        // SAFETY: the descriptor is open for the time of the borrow, and both commands take a number, no pointer.
        let result = unsafe { libc::fcntl(file.as_raw_fd(), command, argument) };
        if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::os::fd::BorrowedFd;

    use super::OpenForWriting;

    pub(super) fn open_for_writing(_file: BorrowedFd<'_>) -> OpenForWriting {
        OpenForWriting::Unknown
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs::File;

    use super::*;

    /// Case: the lease probe: whoever has the file open for writing is seen until it is closed, and readers are not.
    #[test]
    fn a_writer_is_seen_from_open_to_close() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("render.mov");
        let writer = File::create(&path).unwrap();
        let reader = File::open(&path).unwrap();
        assert_eq!(open_for_writing(&reader), OpenForWriting::Yes);
        drop(writer);
        assert_eq!(open_for_writing(&reader), OpenForWriting::No);
        let _another_reader = File::open(&path).unwrap();
        assert_eq!(open_for_writing(&reader), OpenForWriting::No);
    }

    #[test]
    fn what_is_no_regular_file_is_not_known() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(open_for_writing(File::open(folder.path()).unwrap()), OpenForWriting::Unknown);
        assert_eq!(open_for_writing(File::open("/dev/null").unwrap()), OpenForWriting::Unknown);
    }

    /// Breaking a lease sends a signal whose usual kind ends the process: writers that open the file again and again while
    /// it is asked about must neither end this process nor be refused.
    #[test]
    fn writers_that_come_while_a_lease_is_held_do_no_harm() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("busy.mov");
        std::fs::write(&path, "x").unwrap();
        let reader = File::open(&path).unwrap();
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                for _ in 0..2_000 {
                    drop(File::options().append(true).open(&path).unwrap());
                }
            });
            while !writer.is_finished() {
                let _ = open_for_writing(&reader);
            }
            writer.join().unwrap();
        });
        assert_eq!(open_for_writing(&reader), OpenForWriting::No);
    }
}
