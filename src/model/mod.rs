//! The agent's domain types: uploads, downloads, their files and parts, the ledger, and their ids.
//!
//! Plain values, which the database stores, the engine works on and the API shows. After a crash the store is authoritative.
//!
//! Must never know: the database, the network, or the meaning of rules.

mod download;
mod ids;
mod kept_moment;
mod ledger;
mod order_key;
mod settings;
mod source_files;
mod taken_away;
mod transfer;
mod upload;

pub use download::{
    Delivered, Download, DownloadFile, DownloadFileState, DownloadFilter, DownloadSource, DownloadSpec, FetchedPart,
    Owner, WantedFile,
};
pub use ids::{DownloadId, TransferId, UploadId};
pub use kept_moment::{DueSpan, KeptMoment};
pub use ledger::{LedgerEntry, Outcome};
pub use order_key::OrderKey;
pub use settings::{KeptDiskReaders, KeptExactSizes, KeptFifo, KeptOpenFiles, KeptWorkers, Setting};
pub use source_files::{DistinctPaths, SourceFiles, SourceList};
pub use taken_away::{Held, TakenAway};
pub use transfer::{Activity, Filter, Problem, RemotePackage, State, Totals, Turn};
pub use upload::{
    Destination, File, FileState, GrowingFile, Growth, Link, PackageOptions, Part, RemoteFile, SentList, SourceFile,
    Upload, UploadFilter, UploadKind, UploadSpec,
};
