//! Downloading packages: one queue of downloads, each driven from wherever it stopped to files in their places.
//!
//! **In**: a link and a folder through [`Downloads::submit`]; requests to pause, resume, remove. **Out**: the package's files
//! below that folder, events in the store. No session is needed.
//!
//! **Guarantees.** A file appears under its name only when it is complete and flushed; until then it is a hidden `.part` file
//! beside its place. Nothing is written outside the destination, whatever names and whatever symbolic links a package or
//! a neighbour has made up. Existing files are not overwritten unless requested. Only what is not on disk is downloaded
//! again.
//!
//! **On a crash** the store knows which parts are on disk (each is flushed before it is recorded), and the next
//! start resumes from there.
//!
//! How it works: the engine runs one task per download ([`task`]); that task downloads several files at once
//! ([`file`](mod@file)), each several parts at once ([`fetch`]). Where a file may go is decided by pure functions ([`layout`]) and
//! carried out folder by folder without following links ([`disk`]).
//!
//! Must never know: rules, the REST API, or uploads.

mod disk;
mod fetch;
mod file;
mod layout;
mod link;
mod queue;
mod room;
mod task;

pub use crate::engine::{QueueError, Workers};
pub use layout::assign as places;
pub use link::{LinkAddress, LinkError};
pub use queue::{DownloadSettings, Downloads};
