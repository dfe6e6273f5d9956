//! The protocol over HTTP: routes, pages for people, archives, and the server itself.
//!
//! **In**: requests. **Out**: answers; changes of the records; bytes for the storage.
//!
//! May know everything else in the hub. Nothing else knows it, except for the operator's calls of the protocol.

pub(crate) mod archive;
pub(crate) mod auth;
pub(crate) mod certificate;
pub(crate) mod connections;
pub(crate) mod forwarded;
pub(crate) mod headers;
pub(crate) mod objects;
pub(crate) mod pages;
pub(crate) mod ranges;
pub(crate) mod routes;
pub(crate) mod serve;
pub(crate) mod wire;
pub(crate) mod zip;
