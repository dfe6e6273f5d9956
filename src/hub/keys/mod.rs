//! Secrets: signed tokens, passwords, and how often either may be guessed.
//!
//! Must never know: HTTP, records, the storage.

pub(crate) mod attempt_limiter;
mod hash_threads;
pub(crate) mod passwords;
pub(crate) mod tokens;

use std::time::Duration;

/// Why a secret is not made or compared.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeysError {
    /// No password is so long.
    #[error("the password is too long")]
    TooLong,
    /// A person's password has more characters.
    #[error("a password has at least {0} characters")]
    TooShort(usize),
    /// Too many were wrong; another may be tried after so long.
    #[error("too many wrong attempts, try later")]
    TooManyAttempts(Duration),
    /// So many passwords wait to be compared that another would wait too long.
    #[error("too many passwords are being checked now, try again")]
    Busy,
    /// The system has no randomness, or no thread to compute on.
    #[error("cannot make or compare a secret: {0}")]
    Failed(String),
}
