//! The agent's own words: uploads, downloads, files, states, and the ids that tell them apart. Plain values.
//!
//! Must never know: the database, the network, the rules' meaning.

mod ids;

pub use ids::{DownloadId, TransferId, UploadId};
