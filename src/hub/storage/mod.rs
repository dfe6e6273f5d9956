//! Where the content of files is stored: on the hub's disk, or in an S3-compatible bucket.
//!
//! **In**: the body of a part, or what an address to a bucket is to allow. **Out**: a part's size and MD5 once it is safe;
//! later, any range of a file.
//!
//! Parts for the disk go through the hub ([`receive()`]). Parts for a bucket never do ([`Bucket`]): whoever sends or
//! receives talks to the bucket directly. Each file is in one of the two, chosen when it was announced, so that a hub can
//! be given a bucket later and keep what it has.
//!
//! **Guarantees.** A part appears under its name only when it is complete, checked and flushed; a body that is cut short
//! leaves nothing. A file is its parts in order: nothing is copied when it is finalized. Small parts are returned
//! to be stored in the database, so that many small files share its flushes.
//!
//! **On a crash** there may be temporary files and parts that no row knows; the garbage collection finds them.
//!
//! Must never know: packages' states, who may read, HTTP routes.

mod disk;
mod presence;
mod read;
mod receive;
mod s3;

pub(crate) use disk::{Disk, Looked};
pub(crate) use presence::{Absent, CheckError, absent, check};
pub(crate) use read::{Piece, Source, stream};
pub(crate) use receive::{Expected, ReceiveError, drain, receive};
pub(crate) use s3::{Bucket, Found, S3Error};
pub use s3::{S3Config, S3ConfigError, S3Credentials};

use std::io;

use masv_protocol::{FileId, PackageId};

use crate::stored::{BucketFile, Leftovers};

/// The places where files are stored.
#[derive(Debug, Clone)]
pub(crate) struct Storage {
    /// Always present: it has the files from before there was a bucket.
    pub disk: Disk,
    /// Gets all new files, if there is one.
    pub bucket: Option<Bucket>,
}

/// Parts up to this many bytes are kept in the database.
pub(crate) const SMALL_PART: u64 = 64 << 10;

impl Storage {
    /// Removes what nothing points to any more. Failures are logged, and swept up later.
    pub(crate) async fn remove(&self, leftovers: Leftovers) {
        let Leftovers { parts, files } = leftovers;
        if !parts.is_empty() {
            let disk = self.disk.clone();
            let removing = tokio::task::spawn_blocking(move || disk.remove(&parts));
            let _ = removing.await;
        }
        let Some(bucket) = self.bucket.as_ref().filter(|_| !files.is_empty()) else { return };
        self.abort(&files).await;
        let files: Vec<(PackageId, FileId)> = files.into_iter().map(|file| (file.package, file.file)).collect();
        if let Err(error) = bucket.remove(&files).await {
            tracing::warn!(?bucket, %error, "cannot remove files from the bucket that are no longer needed");
        }
    }

    /// Gives up multipart uploads in the bucket. What fails is noted in the log and swept up later.
    pub(crate) async fn abort(&self, files: &[BucketFile]) {
        let Some(bucket) = &self.bucket else { return };
        for BucketFile { package, file, upload } in files {
            let Some(upload) = upload else { continue };
            if let Err(error) = bucket.abort(package, file, upload).await {
                tracing::warn!(?bucket, %package, %file, %error, "cannot abort an upload in the bucket");
            }
        }
    }

    /// Removes all of a package, and gives up its multipart uploads; what no longer exists is not an error. `in_bucket` says whether
    /// some of it is in the bucket.
    pub(crate) async fn remove_package(
        &self,
        package: &PackageId,
        uploads: &[BucketFile],
        in_bucket: bool,
    ) -> Result<(), StorageError> {
        let (disk, folder) = (self.disk.clone(), package.clone());
        let removing = tokio::task::spawn_blocking(move || disk.remove_package(&folder));
        removing.await.map_err(io::Error::other)??;
        let Some(bucket) = self.bucket.as_ref().filter(|_| in_bucket) else { return Ok(()) };
        for BucketFile { package, file, upload } in uploads {
            if let Some(upload) = upload {
                bucket.abort(package, file, upload).await?;
            }
        }
        Ok(remove_objects(bucket, package).await?)
    }
}

/// Why the storage did not do something.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StorageError {
    /// The disk did not.
    #[error(transparent)]
    Disk(#[from] io::Error),
    /// The bucket did not.
    #[error(transparent)]
    Bucket(#[from] S3Error),
}

async fn remove_objects(bucket: &Bucket, package: &PackageId) -> Result<(), S3Error> {
    loop {
        // From the start each time: what was listed before is gone.
        let page = bucket.objects(&format!("{package}/"), None, 1000).await?;
        if page.found.is_empty() {
            return Ok(());
        }
        let files: Vec<(PackageId, FileId)> = page.found.into_iter().map(|found| (found.package, found.file)).collect();
        bucket.remove(&files).await?;
        if page.next.is_none() {
            return Ok(());
        }
    }
}
