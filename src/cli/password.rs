//! Asking for a password on the terminal, which does not show it.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use secrecy::SecretString;
use tokio::sync::oneshot;

use super::error::{CliError, Exit};

/// A terminal that does not show what is typed, until this is dropped.
struct Silent {
    terminal: File,
    before: Termios,
}

impl Silent {
    fn new(terminal: File) -> std::io::Result<Self> {
        let before = tcgetattr(&terminal)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        // The line feed is shown all the same, so that what follows is on a line of its own.
        silent.local_modes.insert(LocalModes::ECHONL);
        tcsetattr(&terminal, OptionalActions::Flush, &silent)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        // A terminal that is gone shows nothing anyway.
        let _ = tcsetattr(&self.terminal, OptionalActions::Flush, &self.before);
    }
}

/// Asks for a password. Ctrl-C leaves the terminal as it was.
///
/// # Errors
/// [`Exit::Interrupted`]; [`Exit::Failed`] where there is no terminal.
pub(super) async fn ask(prompt: &str) -> Result<SecretString, CliError> {
    let failed = |error: std::io::Error| CliError::failed(format!("cannot ask for the password: {error}"));
    let mut terminal = OpenOptions::new().read(true).write(true).open("/dev/tty").map_err(failed)?;
    let silent = Silent::new(terminal.try_clone().map_err(failed)?).map_err(failed)?;
    write!(terminal, "{prompt}: ").and_then(|()| terminal.flush()).map_err(failed)?;
    let (sender, line) = oneshot::channel();
    // A thread of its own: a reader that waits for a line can not be told to stop, and nobody shall wait for it.
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = BufReader::new(terminal).read_line(&mut line).map(|_| line);
        let _ = sender.send(read);
    });
    let typed = tokio::select! {
        typed = line => typed.unwrap_or_else(|_| Err(std::io::ErrorKind::UnexpectedEof.into())).map_err(failed),
        _ = tokio::signal::ctrl_c() => {
            // What is said of it belongs on a line of its own.
            let _ = writeln!(&silent.terminal);
            Err(CliError::new(Exit::Interrupted, "interrupted"))
        }
    };
    drop(silent);
    Ok(typed?.trim_end_matches(['\r', '\n']).into())
}
