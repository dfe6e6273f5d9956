//! Active rules over real folders.

mod after;
mod arriving;
mod cards;
mod content;
mod cookbook;
mod crashes;
mod drops;
mod keys;
mod manifests;
mod mounts;
mod open;
mod places;
mod scale;
pub mod support;
mod touches;
mod whole;
mod writers;
