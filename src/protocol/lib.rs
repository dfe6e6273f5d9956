//! The words of the cloud protocol as types, for whoever speaks it: the hub's side, the agent's client, the commands that
//! administer a hub.
//!
//! Must never know: HTTP libraries, databases, files.

mod package_path;

pub use package_path::PackagePath;
