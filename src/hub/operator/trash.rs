//! The trash, for whoever runs the hub: what is in it, how to bring it back, how to empty it before its time.

use jiff::Timestamp;
use masv_protocol::{PackageId, Role};
use serde::Serialize;

use crate::clock::{after, days, now};
use crate::jobs::removal;
use crate::jobs::sweep::day_of;
use crate::jobs::sweep_bucket;
use crate::records::audit::Actor;
use crate::records::orphans;
use crate::records::{self, packages};
use crate::{Hub, HubError};

/// How many packages are removed before what they leave in the storage is.
const AT_ONCE: u32 = 100;

/// What is in the trash.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Trash {
    /// Packages that were removed or have expired, the longest first: with their rows, files and links.
    pub packages: Vec<TrashedPackage>,
    /// Parts on the disk that no row knew.
    pub parts: Vec<TrashedParts>,
    /// Files and uploads in the bucket that no row knows: they are where they were.
    pub in_bucket: usize,
}

/// A package in the trash.
#[derive(Debug, Clone, Serialize)]
pub struct TrashedPackage {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Name of its team.
    pub team: String,
    /// It was removed by somebody, or given up; else it has expired.
    pub removed: bool,
    /// Files that are whole.
    pub files: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// Since when it is in the trash.
    pub since: Timestamp,
    /// When it is removed for good.
    pub until: Timestamp,
}

/// Parts of a package that no row knew, in the trash of the disk.
#[derive(Debug, Clone, Serialize)]
pub struct TrashedParts {
    /// The day on which they were put there.
    pub day: String,
    /// Id of the package that they belong to.
    pub package: String,
    /// How many.
    pub parts: usize,
    /// Bytes of these.
    pub bytes: u64,
}

impl Trash {
    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.packages.is_empty() && self.parts.is_empty() && self.in_bucket == 0
    }

    /// Bytes on the disk and in the bucket that emptying it frees, as far as they are known.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let packages = self.packages.iter().map(|package| package.bytes);
        packages.chain(self.parts.iter().map(|parts| parts.bytes)).fold(0, u64::saturating_add)
    }
}

impl Hub {
    /// What is in the trash.
    ///
    /// # Errors
    /// [`HubError::Database`]; [`HubError::Data`] where the trash of the disk cannot be read.
    pub async fn trash(&self) -> Result<Trash, HubError> {
        let kept = days(self.context.config.trash_days.into());
        let packages = packages::trashed(self.database()).await?.into_iter().map(|trashed| TrashedPackage {
            id: trashed.package.id.into_string(),
            name: trashed.package.name,
            team: trashed.team,
            removed: trashed.removed,
            files: trashed.package.file_count,
            bytes: trashed.package.size,
            since: trashed.since,
            until: after(trashed.since, kept),
        });
        let disk = self.context.storage.disk.clone();
        let listed = tokio::task::spawn_blocking(move || disk.trash()).await;
        let listed =
            listed.map_err(std::io::Error::other).and_then(|listed| listed).map_err(|error| self.storage(error))?;
        let parts = listed.into_iter().map(|folder| TrashedParts {
            day: folder.day,
            package: folder.package,
            parts: folder.parts.len(),
            bytes: folder.parts.values().sum(),
        });
        let in_bucket = orphans::list(self.database()).await?.len();
        Ok(Trash { packages: packages.collect(), parts: parts.collect(), in_bucket })
    }

    /// Brings a package back out of the trash, with its files and links; its name, and until when it is kept.
    ///
    /// # Errors
    /// [`HubError::NotFound`] where it is not there; [`HubError::Database`].
    pub async fn restore_package(&self, id: &str) -> Result<(String, Option<Timestamp>), HubError> {
        let by = Actor { team: None, name: Role::Operator.to_string(), address: None };
        match packages::restore(self.database(), PackageId::from(id), by).await {
            Ok(package) => Ok((package.name, package.expires_at)),
            Err(records::Error::NotFound(_)) => {
                Err(HubError::NotFound { what: "package in the trash", name: id.to_owned() })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Removes for good all that is in the trash now. What is in a bucket goes when the hub that has it gets to it.
    ///
    /// # Errors
    /// [`HubError::Database`]; [`HubError::Data`] where the trash of the disk cannot be removed; [`HubError::Bucket`].
    pub async fn empty_trash(&self) -> Result<(), HubError> {
        let now = now();
        loop {
            let trashed = packages::trashed_since(self.database(), now, AT_ONCE).await?;
            if trashed.is_empty() {
                break;
            }
            for package in trashed {
                packages::purge(self.database(), package, now).await?;
            }
        }
        removal::work_off(&self.context).await;
        let (disk, tomorrow) = (self.context.storage.disk.clone(), day_of(after(now, days(1))));
        let emptied = tokio::task::spawn_blocking(move || disk.empty_trash(&tomorrow)).await;
        emptied.map_err(std::io::Error::other).and_then(|emptied| emptied).map_err(|error| self.storage(error))?;
        if let Some(bucket) = &self.context.storage.bucket {
            let all = orphans::list(self.database()).await?.into_iter().map(|(orphan, _)| orphan).collect();
            let removed = sweep_bucket::remove(&self.context, bucket, all, now).await;
            removed.map_err(|error| HubError::Bucket { bucket: format!("{bucket:?}"), problem: error.to_string() })?;
        }
        Ok(())
    }

    fn storage(&self, source: std::io::Error) -> HubError {
        HubError::Data { path: self.context.config.data_dir.join("storage"), source }
    }
}
