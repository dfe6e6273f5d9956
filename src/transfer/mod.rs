//! The transfer engine: one queue of uploads, each driven from wherever it stopped to a finalized package.
//!
//! **In**: an [`UploadSpec`](crate::store::UploadSpec) through [`Queue::submit`], the one way in for rules, REST and command
//! line; orders to pause, resume, finalize, remove. **Out**: packages in the cloud, links, events in the store.
//!
//! **Guarantees.** What was submitted is on disk before the first request is made. Only what the storage has not
//! confirmed is sent again. Each part's MD5 is compared with the storage's tag. A file that changes while it is sent
//! is noticed before it is finalized and sent anew. Failures that may pass are tried again without end; one bad file
//! stops only itself.
//!
//! **On a crash** nothing is repaired: the database says what is confirmed, and the next start drives every upload
//! in state `transferring` on. Pausing, stopping and losing the power are the same case.
//!
//! How it works: the [`engine`] compares what the database wants to run with what runs, and starts or stops one task per
//! upload ([`upload`]); that task sends several files at once ([`file`]), each several parts at once ([`send`]), as
//! the workers ([`slots`]) allow. Engine, workers, [`steps`], circuits and limit serve the other direction, too. What is to be decided is decided by pure functions: [`plan`], [`retry`], [`tree`],
//! [`meter`].
//!
//! Must never know: rules, folders, the REST interface.

mod addresses;
mod circuit;
pub(crate) mod engine;
mod errands;
mod file;
mod handle;
mod limit;
mod live;
mod meter;
mod plan;
mod queue;
mod retry;
mod send;
mod slots;
mod steps;
mod tally;
mod tree;
mod upload;

pub(crate) use circuit::Circuits;
pub(crate) use handle::Common;
pub use handle::{Handle, QueueError, Settings};
pub use limit::{RateLimit, Span, Throttle, Week};
pub(crate) use live::InFlight;
pub use live::Live;
pub use queue::{Queue, TransferSettings};
pub(crate) use retry::{Tries, Verdict};
pub(crate) use slots::Slot;
pub use slots::SlotLimits;
pub(crate) use steps::{Halt, PartError, Steps, each_part, in_trouble};
pub use tally::{Cause, Tally};
pub(crate) use tree::{PartHasher, checksum};
