//! The rooms together, as a user meets them: real servers on free ports, spoken to over the wire.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking; its helpers are no tests to the lint"
)]

mod hub;
