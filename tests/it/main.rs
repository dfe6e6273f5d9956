//! The integration tests, one module a theme.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking")]

mod watch;
