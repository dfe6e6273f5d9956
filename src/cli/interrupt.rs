//! Ctrl-C while a command follows something.
//!
//! **In**: the process's signals. **Out**: when Ctrl-C was pressed, counted from [`Interrupt::listen`] on, also while nobody waits.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Ctrl-C, from the moment when this is made: what is pressed between two waits is not lost, and does not kill the process.
pub(super) struct Interrupt(Option<Signal>);

impl Interrupt {
    /// Where signals cannot be listened for, Ctrl-C ends the process as it ends any other.
    pub(super) fn listen() -> Self {
        Self(signal(SignalKind::interrupt()).ok())
    }

    /// Resolves once it was pressed.
    pub(super) async fn pressed(&mut self) {
        match &mut self.0 {
            Some(signal) => drop(signal.recv().await),
            None => std::future::pending().await,
        }
    }
}
