//! Uploads: one queue of them, each driven from wherever it stopped to a finalized package.
//!
//! **In**: an [`UploadSpec`](crate::model::UploadSpec) through [`Queue::submit`], the one way in for rules, REST and command
//! line; requests to pause, resume, finalize, remove. **Out**: packages in the cloud, links, events in the store.
//!
//! **Guarantees.** What was submitted is on disk before the first request is made. Only what the storage has not
//! confirmed is sent again. Each part's MD5 is compared with the storage's ETag. A file that changes while it is sent
//! is noticed before it is finalized, and sent again.
//!
//! **On a crash** the database knows what is confirmed, and the next start resumes every upload in state `transferring`.
//!
//! How it works: the [`engine`](crate::engine) runs one [`task`] per upload; that task sends several files at once
//! ([`file`](mod@file)), each several parts at once ([`send`]) to addresses that the cloud has signed ([`presigned`]). Where the cloud takes them,
//! calls about files travel in batches ([`batches`]), and so does the content of small ones ([`small`]). A file may be sent while it is
//! still being written ([`growing`]). How a file is cut
//! into parts is decided by a pure function ([`plan`]). What must eventually be done in the cloud is kept and done by
//! [`cleanup`]. A checksum list of what was sent can be the last file of a package ([`sent_list`]).
//!
//! Must never know: rules, folders, downloads, or the REST API.

mod access_codes;
mod batches;
mod blocks;
mod cleanup;
mod compare;
mod file;
mod finalized;
mod growing;
mod left_out;
mod plan;
mod presigned;
mod queue;
mod send;
mod sent_list;
mod small;
mod task;

pub use crate::engine::Workers;
pub use plan::{CHUNK_SIZES, ChunkSizes};
pub use queue::{Queue, UploadSettings};
