//! Secrets: signed tokens, passwords, and how often either may be guessed.
//!
//! Must never know: HTTP, records, the storage.

pub(crate) mod attempt_limiter;
mod hash_threads;
pub(crate) mod key_file;
pub(crate) mod passwords;
pub(crate) mod tokens;

use std::time::Duration;

/// Why a secret was not created or compared.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeysError {
    /// The maximum length of a password.
    #[error("the password is too long")]
    TooLong,
    /// A person's password has more characters.
    #[error("a password must have at least {0} characters")]
    TooShort(usize),
    /// Too many attempts failed; another is allowed after this long.
    #[error("too many wrong attempts, try again later")]
    TooManyAttempts(Duration),
    /// So many passwords wait to be compared that another would wait too long.
    #[error("too many passwords are being checked at the moment, try again")]
    Busy,
    /// The system has no randomness, or no thread to compute on.
    #[error("cannot create or compare a secret: {0}")]
    Failed(String),
}
