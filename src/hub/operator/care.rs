//! Looking after the storage: comparing it with the database, and letting go on what the hub does not do unasked.

use masv_protocol::Role;
use serde::Serialize;

use crate::clock::now;
use crate::http::serve;
use crate::jobs::check::{self, CheckAsked, CheckReport};
use crate::jobs::findings::{self, Finding};
use crate::jobs::gc::{self, Watch};
use crate::jobs::sweep::{Confirmed, Unknown, survey_disk};
use crate::jobs::sweep_bucket::survey_bucket;
use crate::jobs::{JobError, removal};
use crate::records::audit::{self, Actor};
use crate::records::jobs::{self, Chore};
use crate::records::moments::{self, Moment};
use crate::records::notices::{self, Notice};
use crate::{Hub, HubError};

/// What a sweep would take.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Survey {
    /// Parts on the disk that no row knows, and all parts there.
    pub disk: (usize, usize),
    /// The same of the objects in the bucket, where one is named.
    pub bucket: Option<(usize, usize)>,
}

impl Hub {
    /// Compares the database with the storage.
    ///
    /// # Errors
    /// [`HubError::Storage`] where one of them cannot be read or changed.
    pub async fn check(&self, asked: CheckAsked) -> Result<CheckReport, HubError> {
        check::check(&self.context, asked).await.map_err(unreadable)
    }

    /// What whoever runs the hub must know now; nothing where all is well.
    ///
    /// # Errors
    /// [`HubError::Database`].
    pub async fn findings(&self) -> Result<Vec<Finding>, HubError> {
        Ok(findings::all(self.database()).await?)
    }

    /// What a sweep would take now.
    ///
    /// # Errors
    /// [`HubError::Storage`] where the storage cannot be read.
    pub async fn survey(&self) -> Result<Survey, HubError> {
        let (disk, _) = survey_disk(&self.context, gc::ARRIVES).await.map_err(unreadable)?;
        let bucket = match &self.context.storage.bucket {
            None => None,
            Some(bucket) => {
                let age = self.context.config.orphans_after;
                let (found, _) = survey_bucket(&self.context, bucket, age, now()).await.map_err(unreadable)?;
                Some((found.unknown, found.all))
            }
        };
        Ok(Survey { disk: (disk.unknown, disk.all), bucket })
    }

    /// Confirms that the clock is right, that the database is the right one, and that what was found may be swept. Sweeps at once where no
    /// hub is serving; else the one that is does so within a minute. Whether it was done here.
    ///
    /// # Errors
    /// [`HubError::Database`]; [`HubError::Data`].
    pub async fn confirm_sweep(&self, found: &Survey) -> Result<bool, HubError> {
        let database = self.database();
        let bucket = match found.bucket {
            Some((unknown, _)) => unknown,
            // Whoever confirms has seen what the hub that has the bucket has told.
            None => {
                notices::get::<Unknown>(database, Notice::BucketRefused).await?.map_or(0, |(_, found)| found.unknown)
            }
        };
        let by = Actor { team: None, name: Role::Operator.to_string(), address: None };
        audit::add(database, by, "sweep.confirmed", format!("{} on the disk, {bucket} in the bucket", found.disk.0))
            .await?;
        notices::set(database, Notice::Confirmed, &Confirmed { disk: found.disk.0, bucket }).await?;
        moments::set(database, Moment::LastSeen, now()).await?;
        moments::clear(database, &[Moment::Restored, Moment::DoubtedSince, Moment::DoubtedLast]).await?;
        for notice in [Notice::Waiting, Notice::Damaged] {
            notices::clear(database, notice).await?;
        }
        for chore in Chore::ALL {
            jobs::make_due(database, chore).await?;
        }
        let folder = self.context.config.data_dir.clone();
        let locking = tokio::task::spawn_blocking(move || serve::lock(&folder));
        let alone = locking.await.map_err(|error| HubError::Serve(std::io::Error::other(error)))??;
        if alone.is_some() {
            gc::work_off(&self.context, &mut Watch::default()).await;
            removal::work_off(&self.context).await;
        }
        Ok(alone.is_some())
    }
}

fn unreadable(error: JobError) -> HubError {
    match error {
        JobError::Records(error) => error.into(),
        other => HubError::Storage(other.to_string()),
    }
}
