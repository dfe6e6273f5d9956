//! What whoever runs the hub does with it beside the protocol: the first start, teams and people, backups.

pub(crate) mod backup;
mod bootstrap;
mod provision;
