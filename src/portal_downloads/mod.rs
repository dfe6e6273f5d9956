//! Active download rules: what arrives in portals is downloaded, each package once.
//!
//! **In**: download rules; the team's inbox in the cloud. **Out**: downloads, with the ledger's entry in the
//! same transaction; what each rule is doing, and why a package is or is not downloaded.
//!
//! **Guarantees.** The inbox is compared with the ledger: packages that arrived while the agent was down, or
//! while the cloud could not be reached, are not special. A rule downloads a package once, across restarts and whatever happens to
//! the download since. One rule's failure stops only that rule, and is retried.
//!
//! **On a crash** nothing is lost: only the position of the last poll is remembered here, and the first poll after a start
//! goes through the whole inbox.
//!
//! Downloads that failed for a transient reason, such as a full disk, are retried automatically ([`retries`]).
//!
//! How it works: one task per rule ([`runner`]) reads the inbox page by page; a pure function decides about each
//! package ([`selection`]).
//!
//! Must never know: how files are received, where they are put, or HTTP.

mod retries;
mod runner;
mod selection;
mod status;
mod supervisor;

pub use selection::{DeliveryExplanation, DeliveryTest};
pub use status::{InboxState, InboxStatus, LastError, LastLook};
pub use supervisor::{Inbox, InboxError};
