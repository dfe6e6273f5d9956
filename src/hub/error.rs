//! Errors for the operator of the hub.

use std::path::PathBuf;

use crate::keys::KeysError;
use crate::records;
use crate::storage::S3ConfigError;
use masv_db::DbError;

/// The hub cannot start, continue, or do what its operator requested.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// A file or folder in the data directory cannot be used.
    #[error("cannot use {}", path.display())]
    Data {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another process serves this data.
    #[error("another hub is using the data in {}: stop it first", data_dir.display())]
    Served {
        /// Whose.
        data_dir: PathBuf,
    },
    /// The data has to be upgraded, but a hub of an older version is using it.
    #[error("a hub of an older version is using the data in {}: restart it with this version first", data_dir.display())]
    OlderServes {
        /// Whose.
        data_dir: PathBuf,
    },
    /// There are parts in the storage, and no database that knows them.
    #[error(
        "{dir}/hub.db is missing or empty, but {dir}/storage holds parts of packages, which a new database would not know: move {dir} \
         away, restore a backup with `masv hub restore` and put the storage folder back; or move the storage folder away to begin \
         with an empty hub",
        dir = data_dir.display()
    )]
    StorageWithoutDatabase {
        /// Whose.
        data_dir: PathBuf,
    },
    /// The database.
    #[error(transparent)]
    Database(#[from] DbError),
    /// The network.
    #[error("cannot serve")]
    Serve(#[source] std::io::Error),
    /// The mail settings make no sense.
    #[error("the mail settings are not usable: {0}")]
    Mail(String),
    /// The certificate or its key cannot be used.
    #[error("cannot use the TLS certificate {}", path.display())]
    Tls {
        /// The certificate file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The bucket setting is not valid.
    #[error(transparent)]
    BucketSetting(#[from] S3ConfigError),
    /// The bucket refuses access, so sending and receiving are impossible.
    #[error("the bucket {bucket} cannot be used: {problem}")]
    Bucket {
        /// Which.
        bucket: String,
        /// Its response, and what to do.
        problem: String,
    },
    /// The bucket is another hub's: each would remove the other's files as unknown.
    #[error(
        "{bucket} belongs to another hub, as the object .hub there says: give this one a prefix of its own (s3://BUCKET/PREFIX); if the other \
         one is gone for good, with all its files there, remove that object"
    )]
    OfAnother {
        /// Which, and the prefix in it.
        bucket: String,
    },
    /// The storage cannot be read or changed.
    #[error("the storage cannot be looked at or changed: {0}")]
    Storage(String),
    /// What the operator requested is not possible.
    #[error("{0}")]
    Invalid(String),
    /// There is nothing of that name.
    #[error("there is no {what} {name}")]
    NotFound {
        /// The kind of object.
        what: &'static str,
        /// The requested one.
        name: String,
    },
}

impl From<rusqlite::Error> for HubError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error.into())
    }
}

impl From<records::Error> for HubError {
    fn from(error: records::Error) -> Self {
        match error {
            records::Error::Database(error) => Self::Database(error),
            other => Self::Invalid(other.to_string()),
        }
    }
}

impl From<KeysError> for HubError {
    fn from(error: KeysError) -> Self {
        Self::Invalid(error.to_string())
    }
}
