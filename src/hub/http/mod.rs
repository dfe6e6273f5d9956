//! The protocol over HTTP: who may do what, routes, pages for people, archives, and the server itself.
//!
//! **In**: requests. **Out**: responses; changes to the records; content for the storage.
//!
//! **Guarantees.** No handler reaches the hub but by a right that it names ([`access`]). Every refusal has one form ([`refusal`]).
//!
//! May know everything else in the hub. Nothing else knows it, except for the operator's calls of the protocol.

pub(crate) mod access;
pub(crate) mod archive;
pub(crate) mod arriving;
pub(crate) mod bodies;
pub(crate) mod bucket_files;
pub(crate) mod certificate;
mod checksums;
pub(crate) mod connections;
pub(crate) mod deliveries;
mod door;
pub(crate) mod fields;
pub(crate) mod forwarded;
pub(crate) mod free_space;
mod guarded;
mod guesses;
pub(crate) mod headers;
pub(crate) mod json_body;
pub(crate) mod metrics;
pub(crate) mod pages;
mod portable_name;
pub(crate) mod presence;
pub(crate) mod query;
pub(crate) mod ranges;
pub(crate) mod rates;
pub(crate) mod refusal;
pub(crate) mod requests;
pub(crate) mod routes;
pub(crate) mod serve;
pub(crate) mod server;
mod slots;
pub(crate) mod zip;

#[cfg(test)]
mod tests;
