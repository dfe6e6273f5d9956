//! What a person can do on this system about what was found: words to be shown, with a command where there is one.

use std::path::Path;

use crate::system;

/// What to do about a clock that is off.
#[must_use]
pub fn clock_advice() -> String {
    system::clock_advice()
}

/// What to do about too few descriptors.
#[must_use]
pub fn more_descriptors_advice() -> String {
    system::more_descriptors_advice()
}

/// What to do about a folder that the agent cannot read.
#[must_use]
pub fn let_read_advice(folder: &Path) -> String {
    system::let_read_advice(folder)
}

/// What to do about a folder that the agent cannot write.
#[must_use]
pub fn let_write_advice() -> String {
    system::let_write_advice()
}

/// What else belongs to the advice of [`more_folders_advice`](crate::more_folders_advice) and its like.
#[must_use]
pub fn keep_watch_limit_advice() -> String {
    system::keep_watch_limit_advice()
}
