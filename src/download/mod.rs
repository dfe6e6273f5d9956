//! Fetching packages: one queue of downloads, each driven from wherever it stopped to files in their places.
//!
//! **In**: a link and a folder through [`Downloads::submit`]; orders to pause, resume, remove. **Out**: the package's files
//! below that folder, events in the store. Nobody needs to be signed in.
//!
//! **Guarantees.** A file appears under its name only when it is whole and flushed; until then it is a hidden `.part` file
//! beside its place. Nothing is written outside the destination, whatever names and whatever symbolic links a package or
//! a neighbour has thought up. What is there already is not overwritten unless that was ordered. Only what is not on the disk is fetched
//! again.
//!
//! **On a crash** the store says which parts are on the disk (each is flushed before it is written down), and the next
//! start goes on from there.
//!
//! How it works: the engine of `transfer` runs one task a download ([`task`]); that task fetches several files at once
//! ([`file`]), each several parts at once ([`fetch`]). Where a file may go is decided by pure functions ([`layout`]) and
//! carried out folder by folder without following links ([`disk`]).
//!
//! Must never know: rules, the REST interface, uploads.

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
