//! The agent's memory: uploads and their files and parts, the ledger of what was sent, settings, the event log.
//!
//! **In**: typed changes, each one transaction. **Out**: the same facts after any crash.
//!
//! **Guarantees.** An upload, its files, its ledger claims and its event are one transaction. No two uploads
//! claim the same content of the same path of one rule. What a function returned is on disk.
//!
//! Must never know: HTTP, the rules' meaning, how files are sent.

mod model;

pub use model::*;
