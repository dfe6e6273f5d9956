//! A closure and the place for what it made, so that what runs it is compiled once, and not once more for each closure of the program.
//!
//! **In**: a closure with a result of its own type. **Out**: one without, that anything can run, and its result, once whoever ran it says that
//! it stands.
//!
//! Why: the code that runs a transaction is long (two engines, runs that are repeated), and the rooms have hundreds of closures. Copied for
//! each, it made the program half as large again, and slower to compile.

use std::sync::{Arc, Mutex, PoisonError};

use crate::DbError;

/// Whether a closure ended well: its changes are kept, or undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Its result is `Ok`.
    Keep,
    /// Its result is an error.
    Undo,
}

/// Where the result of a closure is kept until somebody says that it stands.
pub(crate) struct Made<T, E>(Arc<Mutex<Option<Result<T, E>>>>);

impl<T, E: From<DbError>> Made<T, E> {
    pub(crate) fn new() -> Self {
        Self(Arc::default())
    }

    /// The same place, for the closure.
    pub(crate) fn place(&self) -> Self {
        Self(Arc::clone(&self.0))
    }

    /// Keeps a result, instead of that of an earlier run.
    pub(crate) fn keep(&self, result: Result<T, E>) -> Verdict {
        let verdict = if result.is_ok() { Verdict::Keep } else { Verdict::Undo };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        verdict
    }

    /// The result of the last run, if it stands; else what went wrong with the database.
    pub(crate) fn take(self, stands: Result<(), DbError>) -> Result<T, E> {
        stands?;
        let made = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        made.unwrap_or_else(|| Err(DbError::Panicked.into()))
    }
}
