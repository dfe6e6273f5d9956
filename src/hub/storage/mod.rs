//! Where the bytes of files lie: on the hub's disk, or in an S3-compatible bucket.
//!
//! **In**: the body of a part, or what an address to a bucket is to allow. **Out**: a part's size and MD5 once it is safe;
//! later, any range of a file.
//!
//! A part for the disk comes through the hub ([`receive`]). Parts for a bucket never do ([`Bucket`]): whoever sends or
//! receives speaks to the bucket. Each file lies in one of the two, chosen when it was announced, so that a hub can
//! be given a bucket later and keeps what it has.
//!
//! **Guarantees.** A part appears under its name only when it is whole, checked and flushed; a body that is cut short
//! leaves nothing. A file is its parts in order: nothing is copied when it is finalized. Small parts are handed back
//! to be kept in the database, so that many small files share its flushes.
//!
//! **On a crash** there may be temporary files and parts that no row knows; [`Disk::sweep`] and the keeper remove them.
//!
//! Must never know: packages' states, who may read, HTTP routes.

mod disk;
pub(crate) mod multipart_complete;
mod read;
mod receive;
mod s3;

pub(crate) use disk::Disk;
pub(crate) use read::{Piece, Source, stream};
pub(crate) use receive::{Arrived, Expected, Kept, ReceiveError, drain, receive};
pub(crate) use s3::{Bucket, Found, Next, S3Error, StoredPart};
pub use s3::{S3Config, S3ConfigError, S3Credentials};

/// The places that files lie in.
#[derive(Debug, Clone)]
pub(crate) struct Storage {
    /// Always there: it keeps what came before there was a bucket.
    pub disk: Disk,
    /// Takes all new files, where there is one.
    pub bucket: Option<Bucket>,
}

/// Parts up to this many bytes are kept in the database.
pub(crate) const SMALL_PART: u64 = 64 << 10;

/// Which part of which file of which package.
#[derive(Debug, Clone)]
pub(crate) struct PartName {
    pub package: String,
    pub file: String,
    /// From 1.
    pub number: u32,
}

/// A file in the bucket.
#[derive(Debug, Clone)]
pub(crate) struct BucketFile {
    pub package: String,
    pub file: String,
    /// Its multipart upload, when that is known and not complete.
    pub upload: Option<String>,
}

/// What lies in the storage and nothing points to any more.
#[derive(Debug, Default)]
pub(crate) struct Leftovers {
    /// Parts on the disk, and where.
    pub parts: Vec<(PartName, String)>,
    /// Files in the bucket.
    pub files: Vec<BucketFile>,
}

impl Storage {
    /// Removes what nothing points to any more. What fails is noted in the log and swept up later.
    pub(crate) async fn remove(&self, leftovers: Leftovers) {
        let Leftovers { parts, files } = leftovers;
        if !parts.is_empty() {
            let disk = self.disk.clone();
            let removing = tokio::task::spawn_blocking(move || disk.remove(&parts));
            let _ = removing.await;
        }
        let Some(bucket) = self.bucket.as_ref().filter(|_| !files.is_empty()) else { return };
        abort(bucket, &files).await;
        let files: Vec<(String, String)> = files.into_iter().map(|file| (file.package, file.file)).collect();
        if let Err(error) = bucket.remove(&files).await {
            tracing::warn!(?bucket, %error, "cannot remove files from the bucket that are not needed any more");
        }
    }

    /// Removes all of a package, and gives up its multipart uploads. What fails is noted in the log and swept up later.
    pub(crate) async fn remove_package(&self, package: &str, uploads: &[BucketFile]) {
        let (disk, folder) = (self.disk.clone(), package.to_owned());
        let removing = tokio::task::spawn_blocking(move || disk.remove_package(&folder));
        let _ = removing.await;
        let Some(bucket) = &self.bucket else { return };
        abort(bucket, uploads).await;
        if let Err(error) = remove_objects(bucket, package).await {
            tracing::warn!(?bucket, package, %error, "cannot remove the files of a package from the bucket");
        }
    }
}

async fn abort(bucket: &Bucket, files: &[BucketFile]) {
    for BucketFile { package, file, upload } in files {
        let Some(upload) = upload else { continue };
        if let Err(error) = bucket.abort(package, file, upload).await {
            tracing::warn!(?bucket, package, file, %error, "cannot give up an upload in the bucket");
        }
    }
}

async fn remove_objects(bucket: &Bucket, package: &str) -> Result<(), S3Error> {
    loop {
        // From the start each time: what was listed before is gone.
        let page = bucket.objects(&format!("{package}/"), None, 1000).await?;
        if page.found.is_empty() {
            return Ok(());
        }
        let files: Vec<(String, String)> = page.found.into_iter().map(|found| (found.package, found.file)).collect();
        bucket.remove(&files).await?;
        if page.next.is_none() {
            return Ok(());
        }
    }
}
