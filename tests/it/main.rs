//! The rooms together, as a user meets them: real servers on free ports, spoken to over the wire.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test's helpers fail by panicking")]
#![expect(clippy::print_stderr, reason = "a test says when it could not look")]

mod hub;
