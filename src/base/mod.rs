//! The few words every room shares: identifiers, what a file on disk is known by, sizes, names of package
//! paths. Plain values without I/O of their own, so that any room may use them and none learns of another; and the
//! named places at which tests cut the power.
//!
//! Must never know: the database, the network, the rules.

mod accept;
mod crash;
mod files;
mod ids;
mod names;
mod package_path;
pub mod shown;

pub use accept::AcceptTrouble;
pub use crash::{CRASH_POINTS, crash_point};
pub use files::{FileIdentity, bytes_to_path, path_to_bytes};
pub use ids::{DownloadId, TransferId, UploadId};
pub use names::composed;
pub use package_path::PackagePath;
