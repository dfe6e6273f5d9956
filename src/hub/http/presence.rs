//! Checks that content exists before a byte of it is promised: a response that starts with 200 and breaks off looks like a
//! bad connection, and clients retry forever.

use std::collections::HashMap;

use masv_protocol::{ErrorKind, FileId, PackageId};

use super::refusal::Refusal;
use crate::Hub;
use crate::records::files::{self, FileRow};
use crate::storage::{self, Absent, CheckError, Piece, Source};

/// The maximum number of files named in one refusal.
const MOST_NAMED: usize = 5;

/// What is told of a file, and written into the log, when its content was looked for.
pub(crate) fn told(
    package: &PackageId,
    file: &FileId,
    name: &str,
    found: Result<(), CheckError>,
) -> Result<(), Refusal> {
    match found {
        Ok(()) => Ok(()),
        Err(CheckError::Absent(absent)) => {
            noted(package, file, &absent);
            Err(gone(&[name]))
        }
        Err(error @ (CheckError::Disk(_) | CheckError::Bucket(_))) => Err(Refusal::internal(&error)),
    }
}

/// Refuses a file whose content is known to be lost.
pub(crate) fn check_not_lost(row: &FileRow) -> Result<(), Refusal> {
    if row.lost { Err(gone(&[&row.name])) } else { Ok(()) }
}

fn noted(package: &PackageId, file: &FileId, absent: &Absent) {
    tracing::error!(%package, %file, %absent, "content is missing from the storage: `masv hub check` lists all that is");
}

/// The refusal to send these files.
fn gone(names: &[&str]) -> Refusal {
    let listed = names.iter().take(MOST_NAMED).map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
    let more = match names.len().saturating_sub(MOST_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let are = if names.len() == 1 { "is" } else { "are" };
    let message = format!(
        "{listed}{more} {are} missing on the hub: ask the sender to send it again, and whoever runs the hub to look"
    );
    Refusal::new(ErrorKind::ContentMissing, message)
}

/// Refuses a package with missing content, and names the files.
pub(crate) async fn check_all(hub: &Hub, package: &PackageId, rows: &[FileRow]) -> Result<(), Refusal> {
    let by_id: HashMap<&FileId, &FileRow> = rows.iter().map(|row| (&row.id, row)).collect();
    let mut missing: Vec<&str> = Vec::new();
    let parts = files::disk_parts(hub.database(), package.clone()).await?;
    let places: Vec<(FileId, Piece)> = parts
        .into_iter()
        .filter(|part| by_id.contains_key(&part.name.file))
        .map(|part| {
            let source = Source::Disk(hub.context.storage.disk.path(&part.name, &part.place));
            (part.name.file, Piece { size: part.size, source })
        })
        .collect();
    let absent = storage::absent(places).await.map_err(|error| Refusal::internal(&error))?;
    for (file, absent) in &absent {
        noted(package, file, absent);
        let name = by_id.get(file).map_or(file.as_str(), |row| row.name.as_str());
        if missing.last() != Some(&name) {
            missing.push(name);
        }
    }
    if rows.iter().any(|row| row.in_bucket) {
        let there = hub.context.bucket()?.of_package(package).await?;
        for row in rows.iter().filter(|row| row.in_bucket) {
            let found = there.get(&row.id).map(|found| found.size.unwrap_or(row.size));
            if found != Some(row.size) {
                noted(package, &row.id, &Absent::of(found, row.size, "the object"));
                missing.push(&row.name);
            }
        }
    }
    if missing.is_empty() { Ok(()) } else { Err(gone(&missing)) }
}
