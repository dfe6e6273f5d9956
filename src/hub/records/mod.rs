//! The hub's records: its tables as types, and all SQL.
//!
//! **In**: changes and queries, and by whom. **Out**: rows as types, and an [`Error`] for what the rules forbid.
//!
//! **Guarantees.** Each change is one transaction: the rows, the activity, the audit entry, the mails and the webhook calls that
//! it owes are there together, or not at all. Transactions are opened here and nowhere else.
//!
//! **On a crash** the database is in the state of its last commit.
//!
//! Must never know: HTTP, the storage, the jobs.

pub(crate) mod accounts;
pub(crate) mod activity;
pub(crate) mod api_keys;
pub(crate) mod audit;
mod bounds;
pub(crate) mod counters;
pub(crate) mod downloads;
mod error;
pub(crate) mod figures;
pub(crate) mod files;
pub(crate) mod identity;
mod ids;
pub(crate) mod jobs;
pub(crate) mod links;
pub(crate) mod listing;
pub(crate) mod mails;
pub(crate) mod members;
pub(crate) mod moments;
pub(crate) mod moving;
pub(crate) mod multipart_complete;
pub(crate) mod notices;
pub(crate) mod orphans;
pub(crate) mod outbox;
pub(crate) mod packages;
pub(crate) mod portal_form;
pub(crate) mod portals;
pub(crate) mod provision;
pub(crate) mod quotas;
mod repeatable;
pub(crate) mod restrictions;
pub(crate) mod retention;
pub(crate) mod schema;
mod stretches;
pub(crate) mod tags;
pub(crate) mod teams;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod webhooks;

pub(crate) use error::{Error, OrNotFound};
pub(crate) use ids::{is_id, new_id};
