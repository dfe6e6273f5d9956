//! The transfer engine: what uploads and downloads share. It knows no direction.
//!
//! **In**: a [`Direction`](scheduler::Direction) that says which transfers the database wants to run and how one is driven.
//! **Out**: one running task per transfer, and what each needs on its way: permits, retries, brakes, figures.
//!
//! * [`scheduler`] compares what the database wants to run with what runs, and starts or stops one task per transfer.
//! * [`task_context`] is what a running task works by: trying again, waiting, being stopped, several files and parts at once.
//! * [`concurrency`] finds how many workers pay, by what moves and by the [`round_trip`] to the cloud.
//! * [`permits`] hands out workers fairly; [`circuit_breaker`] keeps a failing host from a storm of requests; [`bandwidth`]
//!   holds the rate limits and their schedules.
//! * [`handle`] is what a queue's callers hold; [`progress`], [`counters`] and [`throughput`] are what they are shown.
//! * [`retry`], [`blake3_tree`] decide and compute. Pure.
//!
//! **Guarantees.** Failures that may pass are retried without end, with growing pauses; one bad file stops only itself.
//!
//! **On a crash** nothing is repaired: the database says what is confirmed, and the next start drives every transfer on.
//! Pausing, stopping and losing the power are the same case.
//!
//! Must never know: uploads, downloads, rules, folders, the REST interface.

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
