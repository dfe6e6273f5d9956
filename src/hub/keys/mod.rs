//! Secrets: signed tokens, passwords, and how often either may be guessed.
//!
//! Must never know: HTTP, records, the storage.

pub(crate) mod attempt_limiter;
pub(crate) mod passwords;
pub(crate) mod tokens;
