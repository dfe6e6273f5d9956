//! The terminal of the person who called, and keeping what is typed there from being shown.

use std::fs::{File, OpenOptions};
use std::io;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

/// Opens the terminal that this process was started from, wherever its input and output go.
///
/// # Errors
/// The system's; there is none for a service.
pub fn open_terminal() -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open("/dev/tty")
}

/// Columns and rows of the terminal that standard output goes to; `None` if it goes elsewhere, or the terminal does not say.
#[must_use]
pub fn output_size() -> Option<(usize, usize)> {
    let size = tcgetwinsize(io::stdout()).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some((size.ws_col.into(), size.ws_row.into()))
}

/// A terminal that does not show what is typed, until this is dropped.
#[derive(Debug)]
pub struct SilentTerminal {
    terminal: File,
    before: Termios,
}

impl SilentTerminal {
    /// Makes it silent.
    ///
    /// # Errors
    /// The system's; the file may be something else than a terminal.
    pub fn new(terminal: File) -> io::Result<Self> {
        let before = tcgetattr(&terminal)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        // The line feed is shown all the same, so that what follows is on a line of its own.
        silent.local_modes.insert(LocalModes::ECHONL);
        tcsetattr(&terminal, OptionalActions::Flush, &silent)?;
        Ok(Self { terminal, before })
    }

    /// The terminal, to be written to.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.terminal
    }
}

impl Drop for SilentTerminal {
    fn drop(&mut self) {
        // A terminal that is gone shows nothing anyway.
        let _ = tcsetattr(&self.terminal, OptionalActions::Flush, &self.before);
    }
}
