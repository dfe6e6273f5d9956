//! Sweeps what is in no row out of the disk storage: into its trash, where it is kept for days, unless there is so much that
//! the database must be wrong.

use std::collections::HashSet;
use std::io;
use std::time::Duration;

use jiff::{Timestamp, tz::TimeZone};
use masv_protocol::PackageId;
use serde::{Deserialize, Serialize};

use super::JobError;
use super::caution::is_too_much;
use crate::clock::{after, before, days};
use crate::context::Context;
use crate::records::notices::{self, Notice};
use crate::records::{files, is_id};
use crate::storage::{Disk, Looked};
use crate::stored::PartName;

/// How long a confirmation of the operator is valid.
const CONFIRMATION_HOLDS: Duration = days(1);

/// What a scan of the storage has found that is unknown to the database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Unknown {
    /// Parts or objects unknown to the database.
    pub unknown: usize,
    /// All parts or objects.
    pub all: usize,
    /// One of the packages of the unknown ones.
    pub first: Option<String>,
}

/// How much the operator has confirmed to be swept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Confirmed {
    pub disk: usize,
    pub bucket: usize,
}

/// What the operator has confirmed, if it is still valid at `now`.
pub(super) async fn confirmed(context: &Context, now: Timestamp) -> Result<Confirmed, JobError> {
    let found = notices::get::<Confirmed>(&context.database, Notice::Confirmed).await?;
    let holds = found.filter(|(at, _)| now < after(*at, CONFIRMATION_HOLDS));
    Ok(holds.map(|(_, confirmed)| confirmed).unwrap_or_default())
}

/// Looks for what is older than `age` and no row knows, and the packages of it.
pub(crate) async fn survey_disk(context: &Context, age: Duration) -> Result<(Unknown, Vec<PackageId>), JobError> {
    let disk = context.storage.disk.clone();
    let packages = blocking(move || disk.packages()).await??;
    let (mut found, mut to_sweep) = (Unknown::default(), Vec::new());
    for package in packages.into_iter().filter(|name| is_id(name)).map(PackageId::from) {
        let Some((looked, is_known)) = look(context, &package, age).await? else { continue };
        found.all += looked.parts;
        found.unknown += looked.unknown.len();
        if !looked.unknown.is_empty() && found.first.is_none() {
            found.first = Some(package.as_str().to_owned());
        }
        if !looked.unknown.is_empty() || !is_known {
            to_sweep.push(package);
        }
    }
    Ok((found, to_sweep))
}

/// Moves what is older than `age` and in no row to the trash.
pub(super) async fn sweep_disk(context: &Context, age: Duration, now: Timestamp) -> Result<(), JobError> {
    let (found, to_sweep) = survey_disk(context, age).await?;
    let confirmed = confirmed(context, now).await?.disk;
    if is_too_much(found.unknown, found.all, confirmed) {
        tracing::error!(
            unknown = found.unknown,
            parts = found.all,
            folders = to_sweep.len(),
            first = found.first,
            "the database does not know so many of the parts in the storage that they are left where they are: restore the backup \
             that belongs to this storage, or confirm with `masv hub sweep --confirm` that they go into the trash"
        );
        return Ok(notices::set(&context.database, Notice::DiskRefused, &found).await?);
    }
    notices::clear(&context.database, Notice::DiskRefused).await?;
    let day = day_of(now);
    for package in to_sweep {
        // Looked at again: much time may have passed.
        let Some((looked, is_known)) = look(context, &package, age).await? else { continue };
        let (disk, day) = (context.storage.disk.clone(), day.clone());
        blocking(move || discard(&disk, &package, &looked, is_known, &day)).await?;
    }
    Ok(())
}

/// Permanently removes what has been in the trash for this many days.
pub(super) async fn empty_trash(context: &Context, now: Timestamp) -> Result<(), JobError> {
    let kept_since = day_of(before(now, days(context.config.trash_days.into())));
    let disk = context.storage.disk.clone();
    let removed = blocking(move || disk.empty_trash(&kept_since)).await??;
    if removed > 0 {
        tracing::info!(days = removed, "trash of the storage removed");
    }
    Ok(())
}

/// The name of a day in the trash: names sort as days do.
pub(crate) fn day_of(time: Timestamp) -> String {
    time.to_zoned(TimeZone::UTC).date().to_string()
}

/// The content of a package's folder, and whether there is such a package; nothing if the folder cannot be read.
async fn look(context: &Context, package: &PackageId, age: Duration) -> Result<Option<(Looked, bool)>, JobError> {
    let known = files::known_parts(&context.database, package.clone()).await?;
    let (disk, package) = (context.storage.disk.clone(), package.clone());
    let looking = blocking(move || {
        let name = |(part, place): &(PartName, String)| Disk::file_name(&part.file, part.number, place);
        let names: HashSet<String> = known.iter().flatten().map(name).collect();
        disk.look(&package, &names, age).map(|looked| (looked, known.is_some()))
    });
    match looking.await? {
        Ok(looked) => Ok(Some(looked)),
        Err(error) => {
            tracing::warn!(%error, "cannot sweep a folder of the storage");
            Ok(None)
        }
    }
}

/// Blocks.
fn discard(disk: &Disk, package: &PackageId, looked: &Looked, is_known: bool, day: &str) {
    match disk.discard(package, &looked.unknown, day) {
        Ok(0) => {}
        Ok(moved) => tracing::warn!(%package, moved, day, "parts that nothing points to moved into the trash"),
        Err(error) => return tracing::warn!(%package, %error, "cannot move parts into the trash"),
    }
    if !is_known {
        disk.remove_empty(package);
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)
}
