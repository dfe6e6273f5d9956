//! Prompting for a password on the terminal, without echo.

use std::io::{BufRead, BufReader, Write};

use masv_platform::{SilentTerminal, open_terminal};
use secrecy::SecretString;
use tokio::sync::oneshot;

use super::error::{CliError, Exit};
use super::interrupt::Interrupt;

/// Prompts for a password. Ctrl-C restores the terminal.
///
/// # Errors
/// [`Exit::Interrupted`]; [`Exit::Failed`] if there is no terminal.
pub(super) async fn ask(prompt: &str) -> Result<SecretString, CliError> {
    let failed = |error: std::io::Error| CliError::failed(format!("cannot prompt for the password: {error}"));
    let mut terminal = open_terminal().map_err(failed)?;
    let silent = SilentTerminal::new(terminal.try_clone().map_err(failed)?).map_err(failed)?;
    let mut interrupt = Interrupt::listen();
    write!(terminal, "{prompt}: ").and_then(|()| terminal.flush()).map_err(failed)?;
    let (sender, line) = oneshot::channel();
    // A separate thread: a blocked read cannot be cancelled, and nothing should wait for it.
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = BufReader::new(terminal).read_line(&mut line).map(|_| line);
        let _ = sender.send(read);
    });
    let typed = tokio::select! {
        typed = line => typed.unwrap_or_else(|_| Err(std::io::ErrorKind::UnexpectedEof.into())).map_err(failed),
        () = interrupt.pressed() => {
            // The message belongs on a new line.
            let _ = writeln!(silent.file());
            Err(CliError::new(Exit::Interrupted, "interrupted"))
        }
    };
    drop(silent);
    Ok(typed?.trim_end_matches(['\r', '\n']).into())
}
