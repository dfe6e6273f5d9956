//! Checks that content exists before a byte of it is promised: a response that starts with 200 and breaks off looks like a
//! bad connection, and clients retry forever.

use masv_protocol::{ErrorKind, FileId, PackageId};

use super::refusal::Refusal;
use crate::Hub;
use crate::records::files::{self, FileRow};
use crate::storage::{self, Absent, CheckError, Piece, Source};

/// The maximum number of files named in one refusal.
const MOST_NAMED: usize = 5;

/// How many files are looked at at a time.
const AT_ONCE: u32 = 1000;

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
            Err(gone(&[name], 1))
        }
        Err(error @ (CheckError::Disk(_) | CheckError::Bucket(_))) => Err(Refusal::internal(&error)),
    }
}

/// Refuses a file whose content is known to be lost.
pub(crate) fn check_not_lost(row: &FileRow) -> Result<(), Refusal> {
    if row.lost { Err(gone(&[&row.name], 1)) } else { Ok(()) }
}

fn noted(package: &PackageId, file: &FileId, absent: &Absent) {
    tracing::error!(%package, %file, %absent, "content is missing from the storage: `masv hub check` lists all that is");
}

/// The refusal to send so many files, of which these are named.
fn gone<N: AsRef<str>>(names: &[N], count: usize) -> Refusal {
    let listed = names.iter().map(|name| format!("{:?}", name.as_ref())).collect::<Vec<_>>().join(", ");
    let more = match count.saturating_sub(names.len()) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let are = if count == 1 { "is" } else { "are" };
    let message = format!(
        "{listed}{more} {are} missing on the hub: ask the sender to send it again, and whoever runs the hub to look"
    );
    Refusal::new(ErrorKind::ContentMissing, message)
}

/// The files that are missing: the first of them by name, and how many.
#[derive(Default)]
struct Missing {
    names: Vec<String>,
    count: usize,
}

impl Missing {
    fn add(&mut self, name: &str) {
        self.count += 1;
        if self.names.len() < MOST_NAMED {
            self.names.push(name.to_owned());
        }
    }
}

/// Refuses a package with missing content, and names the files. They are looked at page by page.
pub(crate) async fn check_all(hub: &Hub, package: &PackageId) -> Result<(), Refusal> {
    let (mut missing, mut behind, mut in_bucket) = (Missing::default(), None, None);
    loop {
        let (rows, next) = files::page(hub.database(), package.clone(), true, behind, AT_ONCE).await?;
        let rows: Vec<FileRow> = rows.into_iter().filter(|row| !row.lost).collect();
        check_disk(hub, package, &rows, &mut missing).await?;
        if rows.iter().any(|row| row.in_bucket) {
            let there = match &mut in_bucket {
                Some(there) => there,
                unknown => unknown.insert(hub.context.bucket()?.of_package(package).await?),
            };
            for row in rows.iter().filter(|row| row.in_bucket) {
                let found = there.get(&row.id).map(|found| found.size.unwrap_or(row.size));
                if found != Some(row.size) {
                    noted(package, &row.id, &Absent::of(found, row.size, "the object"));
                    missing.add(&row.name);
                }
            }
        }
        behind = next;
        if behind.is_none() {
            break;
        }
    }
    if missing.count == 0 { Ok(()) } else { Err(gone(&missing.names, missing.count)) }
}

async fn check_disk(hub: &Hub, package: &PackageId, rows: &[FileRow], missing: &mut Missing) -> Result<(), Refusal> {
    let parts = files::disk_parts(hub.database(), package.clone(), rows).await?;
    let places = parts.into_iter().map(|(index, part)| {
        let source = Source::Disk(hub.context.storage.disk.path(&part.name, &part.place));
        (index, Piece { size: part.size, source })
    });
    let absent = storage::absent(places.collect()).await.map_err(|error| Refusal::internal(&error))?;
    let mut last = None;
    for (index, absent) in &absent {
        let Some(row) = rows.get(*index) else { continue };
        noted(package, &row.id, absent);
        if last.replace(*index) != Some(*index) {
            missing.add(&row.name);
        }
    }
    Ok(())
}
