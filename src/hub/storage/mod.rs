//! Where the bytes of parts lie.
//!
//! **In**: the body of a part. **Out**: its size and MD5 once it is safe on disk; later, any range of a file.
//!
//! **Guarantees.** A part appears under its name only when it is whole, checked and flushed; a body that is cut short
//! leaves nothing. A file is its parts in order: nothing is copied when it is finalized. Small parts are handed back
//! to be kept in the database, so that many small files share its flushes.
//!
//! **On a crash** there may be temporary files and parts that no row knows; [`Disk::sweep`] removes them.
//!
//! Must never know: packages' states, who may read, HTTP routes.

mod disk;
mod read;
mod receive;

pub(super) use disk::Disk;
pub(super) use read::{Piece, Source, stream};
pub(super) use receive::{Arrived, Expected, Kept, ReceiveError, drain, receive};

/// Parts up to this many bytes are kept in the database.
pub(super) const SMALL_PART: u64 = 64 << 10;

/// Which part of which file of which package.
#[derive(Debug, Clone)]
pub(super) struct PartName {
    pub package: String,
    pub file: String,
    /// From 1.
    pub number: u32,
}
