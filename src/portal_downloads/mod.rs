//! Download rules at work: what arrives in portals becomes downloads, each package once.
//!
//! **In**: download rules; the team's inbox in the cloud. **Out**: orders to the downloads, with the ledger's entry in the
//! same transaction; what each rule is doing, and why a package is fetched or not.
//!
//! **Guarantees.** The truth is a look at the inbox compared with the ledger: packages that came while the agent was down, or
//! while the cloud could not be reached, are ordinary. A rule takes a package once, over restarts and whatever becomes of
//! the download since. One rule's failure stops only that rule, and is tried again.
//!
//! **On a crash** nothing is lost: nothing is remembered here but how far the last look went, and the first look after a start
//! goes through the whole inbox.
//!
//! Downloads that failed for a reason that can pass, such as a full disk, are tried again by themselves ([`retries`]).
//!
//! How it works: one task per rule ([`runner`]) asks for the inbox page by page; a pure function decides about each
//! package ([`selection`]).
//!
//! Must never know: how files are received, where they are put, HTTP.

mod retries;
mod runner;
mod selection;
mod status;
mod supervisor;

pub use selection::{DeliveryExplanation, DeliveryTest};
pub use status::{InboxState, InboxStatus, LastError, LastLook};
pub use supervisor::{Inbox, InboxError};
