//! What a server does about connections that cannot be accepted: some errors are transient, a broken listener is not.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The same error is logged again after this.
const TELL_EVERY: Duration = Duration::from_secs(30);

/// The errors of one listener; clones share them.
#[derive(Debug, Clone, Default)]
pub struct AcceptTrouble {
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    told: Option<Instant>,
    broken: Option<io::Error>,
}

impl AcceptTrouble {
    /// Records a failed accept. `true`: this listener will never accept a connection again, the server must end.
    ///
    /// Too many open files and aborted connections are transient; the first is logged.
    #[must_use]
    pub fn note(&self, error: &io::Error) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if is_broken(error) {
            seen.broken = Some(io::Error::new(error.kind(), format!("the listener is broken: {error}")));
            return true;
        }
        if seen.told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
            tracing::warn!(%error, "connections cannot be accepted; trying again");
            seen.told = Some(Instant::now());
        }
        false
    }

    /// How serving ended: with the listener's error, if that is what ended it.
    ///
    /// # Errors
    /// The listener's, or the server's own.
    pub fn outcome(&self, served: io::Result<()>) -> io::Result<()> {
        let broken = self.seen.lock().unwrap_or_else(PoisonError::into_inner).broken.take();
        broken.map_or(served, Err)
    }
}

fn is_broken(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let broken = [Errno::INVAL, Errno::BADF, Errno::NOTSOCK, Errno::OPNOTSUPP];
    Errno::from_io_error(error).is_some_and(|errno| broken.contains(&errno))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_never_passes_ends_the_server() {
        use rustix::io::Errno;
        let trouble = AcceptTrouble::default();
        for passing in [Errno::MFILE, Errno::NFILE, Errno::CONNABORTED, Errno::INTR, Errno::NOBUFS] {
            assert!(!trouble.note(&passing.into()), "{passing}");
        }
        assert!(trouble.outcome(Ok(())).is_ok());
        assert!(trouble.note(&Errno::INVAL.into()));
        assert!(trouble.outcome(Ok(())).is_err());
    }
}
