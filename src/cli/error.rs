//! A failed command: the message, the hint, and the exit code.

use crate::agent::AgentError;
use crate::api::types::ErrorBody;

/// The exit codes; a public contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Exit {
    /// It failed.
    Failed = 1,
    /// Invalid usage.
    Usage = 2,
    /// No agent responds.
    NoAgent = 3,
    /// No such upload, rule, ...
    NotFound = 4,
    /// Not signed in, or not allowed.
    NotAllowed = 5,
    /// The transfer that was followed ended in `error`.
    EndedInError = 6,
    /// Ctrl-C.
    Interrupted = 130,
}

impl Exit {
    /// Each code and what it means.
    pub(super) const ALL: [(u8, &'static str); 8] = [
        (0, "success"),
        (Self::Failed as u8, "failure"),
        (Self::Usage as u8, "wrong usage"),
        (Self::NoAgent as u8, "no agent is running"),
        (Self::NotFound as u8, "no such upload, rule, …"),
        (Self::NotAllowed as u8, "not signed in, or not allowed"),
        (Self::EndedInError as u8, "the transfer that was waited for ended in `error`"),
        (Self::Interrupted as u8, "interrupted"),
    ];
}

/// A failed command.
#[derive(Debug)]
pub(super) struct CliError {
    pub exit: Exit,
    pub message: String,
    pub hint: Option<String>,
    /// The API's own error, for JSON.
    pub body: Option<Box<ErrorBody>>,
}

impl CliError {
    pub(super) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hint: None, body: None }
    }

    pub(super) fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// An error response of the API.
    pub(super) fn refused(status: u16, body: ErrorBody) -> Self {
        let exit = match status {
            401 | 403 => Exit::NotAllowed,
            404 => Exit::NotFound,
            400 | 415 => Exit::Usage,
            _ => Exit::Failed,
        };
        Self { exit, message: body.message.clone(), hint: body.hint.clone(), body: Some(Box::new(body)) }
    }
}

impl From<AgentError> for CliError {
    fn from(error: AgentError) -> Self {
        let exit = match &error {
            AgentError::Setting { .. } | AgentError::SettingsFile { .. } | AgentError::Open(_) => Exit::Usage,
            _ => Exit::Failed,
        };
        let mut message = error.to_string();
        // Errors that name their cause print it themselves; for the others it is added.
        if matches!(error, AgentError::Store(_) | AgentError::Queue(_) | AgentError::Hub(_)) {
            let mut source = std::error::Error::source(&error);
            while let Some(cause) = source {
                message.push_str(": ");
                message.push_str(&cause.to_string());
                source = cause.source();
            }
        }
        Self { exit, message, hint: error.hint(), body: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_codes_of_the_page_are_those_of_the_manual() {
        let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/cli.md")).unwrap();
        for (code, means) in Exit::ALL {
            assert!(page.contains(&format!("| {code} | {means} |")), "{code}: {means}");
        }
    }
}
