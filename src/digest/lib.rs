//! MD5 of several streams at once.
//!
//! The protocol's storage proves a part by its MD5, and MD5 is slow by construction: each step waits for the one before, so one
//! stream keeps one core busy at about 500 MB/s whatever the processor's width. Several streams have no such bond. Parts are
//! sent, and received, side by side, so their streams are hashed in the lanes of one vector register: eight for
//! little more than the price of two.
//!
//! * [`Md5`] is one stream: as the `md-5` crate has it, but its state can be taken into a lane.
//! * [`SharedMd5`] is computed together with those of other parts: the first stream with enough data hashes for all.
//! * `lanes` is the arithmetic. Pure.
//!
//! Guaranteed: the digest is that of RFC 1321, whatever else is hashed at the time. What waits to be
//! hashed is bounded by each stream's window. A crash loses nothing that a part sent again does not bring back. MD5 detects accidents, not adversaries; nothing here is a signature.
//!
//! Must never know: files, parts, the network, tokio.

mod lanes;
mod stream;
mod together;

pub use stream::Md5;
pub use together::SharedMd5;
