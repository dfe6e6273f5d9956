//! Listening for programs of this machine on a socket that has a place among files.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::fs::Mode;
use rustix::process::umask;

use crate::private::set_mode;

/// The listener of such a socket.
pub type LocalListener = std::os::unix::net::UnixListener;

/// Listens at `path`, for whom `mode` lets in. A socket that a crash has left there is taken away.
///
/// # Errors
/// The system's; [`io::ErrorKind::AddrInUse`] when somebody answers there.
pub fn listen_locally(path: &Path, mode: u32) -> io::Result<LocalListener> {
    if UnixStream::connect(path).is_ok() {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    // A socket that nobody listens on was left by a crash.
    let _ = std::fs::remove_file(path);
    // Never more open than configured, not even for a moment after creation. What other threads make meanwhile is
    // closed, too: this is for the start of a program.
    let before = umask(Mode::from_raw_mode(0o177));
    let bound = LocalListener::bind(path);
    umask(before);
    let listener = bound?;
    set_mode(path, mode)?;
    Ok(listener)
}
