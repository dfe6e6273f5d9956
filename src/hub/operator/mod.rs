//! What whoever runs the hub does with it beside the protocol: the first start, teams and people, backups, the storage and its trash.

pub(crate) mod backup;
mod bootstrap;
pub(crate) mod care;
pub(crate) mod migrate;
mod provision;
pub(crate) mod secret_keys;
pub(crate) mod trash;

#[cfg(test)]
mod tests;
