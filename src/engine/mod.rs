//! The transfer engine: what uploads and downloads share. It knows no direction.
//!
//! **In**: a [`Direction`](scheduler::Direction) that says which transfers should run according to the database, and how one is driven.
//! **Out**: one running task per transfer, and what it needs: permits, retries, cancellation, statistics.
//!
//! * [`scheduler`] compares what should run according to the database with what is running, and starts or stops one task per transfer.
//! * [`task_context`] is the toolbox of a running task: retrying, waiting, being stopped, working on several files and parts at once.
//! * [`concurrency`] finds how many workers pay, by what moves and by the [`round_trip`] to the cloud.
//! * [`permits`] hands out workers fairly; [`circuit_breaker`] keeps a failing host from a storm of requests; [`bandwidth`]
//!   holds the rate limits and their schedules.
//! * [`handle`] is the handle for a queue's callers; [`progress`], [`counters`] and [`throughput`] are what it shows.
//! * [`retry`], [`blake3_tree`] decide and compute. Pure.
//!
//! **Guarantees.** Transient failures are retried without limit, with growing pauses; one bad file stops only itself.
//!
//! **On a crash** nothing is repaired: the database knows what is confirmed, and the next start resumes every transfer.
//! Pausing, stopping and a power cut are the same case.
//!
//! Must never know: uploads, downloads, rules, folders, or the REST API.

pub(crate) mod bandwidth;
pub(crate) mod blake3_tree;
pub(crate) mod circuit_breaker;
pub(crate) mod concurrency;
pub(crate) mod counters;
pub(crate) mod handle;
pub(crate) mod permits;
pub(crate) mod progress;
pub(crate) mod retry;
pub(crate) mod round_trip;
pub(crate) mod scheduler;
pub(crate) mod task_context;
pub(crate) mod throughput;

pub use bandwidth::{DownloadRateLimit, RateLimit, Span, Throttle, UploadRateLimit, Week};
pub(crate) use blake3_tree::{PartHasher, checksum};
pub(crate) use circuit_breaker::Circuits;
pub use concurrency::{LimitedBy, Workers};
pub use counters::{Cause, Counters};
pub(crate) use handle::Common;
pub use handle::{Handle, LinkFigures, QueueError, Settings};
pub(crate) use permits::Permit;
pub use permits::PermitLimits;
pub use progress::Live;
pub(crate) use progress::{InFlight, WaitsFor};
pub(crate) use retry::{RetryDecision, Tries};
pub(crate) use task_context::{Halt, PartError, TaskContext, each_part, in_trouble};
