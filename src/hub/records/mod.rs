//! What the hub knows: its tables as types, and all SQL.
//!
//! **In**: calls within a transaction of the database. **Out**: rows, and refusals of what the rules forbid.
//!
//! Must never know: HTTP, the storage, the jobs.

pub(crate) mod accounts;
pub(crate) mod activity;
pub(crate) mod audit;
pub(crate) mod files;
pub(crate) mod links;
pub(crate) mod listing;
pub(crate) mod packages;
pub(crate) mod portal_form;
pub(crate) mod portals;
pub(crate) mod quotas;
pub(crate) mod restrictions;
pub(crate) mod schema;
pub(crate) mod tags;
