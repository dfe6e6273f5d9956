//! Confirmation of destructive commands: asked for on a terminal, given by a flag elsewhere.

use std::io::{BufRead, IsTerminal, Write};

use clap::Args;
use serde_json::json;

use super::error::{CliError, Exit};
use super::output::Output;

/// The flags of a command that destroys something.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct Sure {
    /// Do not ask for confirmation.
    #[arg(long)]
    yes: bool,
    /// Only show what would be done.
    #[arg(long)]
    dry_run: bool,
}

impl Sure {
    /// Whether to go on: the user confirms, or confirmed by the flag. With `--dry-run`, says what would be done instead.
    ///
    /// # Errors
    /// As [`confirm`].
    pub(super) fn go_on(self, question: &str, what: &str, output: &Output) -> Result<bool, CliError> {
        if self.dry_run {
            output.json(&json!({ "would": what }));
            output.line(&format!("Would {what}. Nothing was changed."));
            return Ok(false);
        }
        confirm(question, self.yes, "confirm with --yes").map(|()| true)
    }

    /// Whether nothing is to be done.
    pub(super) fn is_dry(self) -> bool {
        self.dry_run
    }

    /// Succeeds if the user confirms, or confirmed by the flag.
    ///
    /// # Errors
    /// As [`confirm`].
    pub(super) fn confirm_or(self, question: &str, instead: &str) -> Result<(), CliError> {
        confirm(question, self.yes, instead)
    }
}

/// Succeeds if the user confirms, or if `yes` was given.
///
/// # Errors
/// If the answer was no, or if there is no terminal to ask questions on; `instead` then names the flag to use.
pub(super) fn confirm(question: &str, yes: bool, instead: &str) -> Result<(), CliError> {
    if yes {
        return Ok(());
    }
    if !(std::io::stdin().is_terminal() && std::io::stderr().is_terminal()) {
        return Err(CliError::usage("this cannot be undone, and there is no terminal to confirm it on").hint(instead));
    }
    let _ = write!(std::io::stderr(), "{question} [y/N] ");
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    if read.is_ok() && is_yes(&answer) { Ok(()) } else { Err(CliError::new(Exit::Failed, "nothing was removed")) }
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_yes_is_a_yes() {
        for (answer, meant) in [("y\n", true), ("Yes", true), ("", false), ("\n", false), ("n", false), ("yep", false)]
        {
            assert_eq!(is_yes(answer), meant, "{answer:?}");
        }
        assert!(confirm("Remove?", true, "").is_ok());
    }
}
