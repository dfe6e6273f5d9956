//! Compares the database with the storage: which content is missing or damaged, and which is unknown to the database.
//!
//! A quick check, which reads no content and has a time limit, runs at each start and once a day: a database that has lost
//! commits, or a storage that has lost files, is reported before anyone requests them.

use std::collections::{HashMap, HashSet};
use std::io;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use masv_protocol::PackageId;
use serde::{Deserialize, Serialize};

use super::JobError;
use super::sweep::day_of;
use super::sweep_bucket::survey_bucket;
use crate::clock::now;
use crate::context::Context;
use crate::records::files::{self, ExpectedFile, ExpectedPart, Kept};
use crate::records::notices::{self, Notice};
use crate::records::{is_id, packages};
use crate::storage::{Disk, Found};

/// How many packages are read at once.
const AT_ONCE: u32 = 100;
/// The maximum duration of the quick check.
const LONGEST_LOOK: Duration = Duration::from_secs(60);
/// What arrives is written down within this time after it is in its place.
const WRITTEN_DOWN: Duration = Duration::from_millis(500);
/// The maximum number of faults logged individually.
const MOST_TOLD: usize = 5;

/// What is to be compared.
#[derive(Debug, Clone, Copy, Default)]
pub struct CheckAsked {
    /// Content is also read and compared with its checksums.
    pub deep: bool,
    /// Missing parts are restored from the trash where possible, and files whose content is lost are marked.
    pub repair: bool,
}

/// What was found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct CheckReport {
    /// Packages checked.
    pub packages: u64,
    /// Parts and objects that must exist.
    pub parts: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// Everything was checked.
    pub complete: bool,
    /// Files in a bucket that were not checked because no bucket was given.
    pub not_looked_at: u64,
    /// What is missing or damaged.
    pub faults: Vec<Fault>,
    /// What is unknown to the database.
    pub unknown: Vec<UnknownContent>,
}

/// What is wrong with content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// It does not exist.
    Missing,
    /// It has another size, or another checksum.
    Damaged,
}

/// What was done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Repair {
    /// Nothing.
    None,
    /// It was restored from the trash.
    TakenBack,
    /// The file is marked as lost.
    MarkedLost,
}

/// Content that is missing or damaged.
#[derive(Debug, Clone, Serialize)]
pub struct Fault {
    /// Id of the package.
    pub package: String,
    /// Its name.
    pub package_name: String,
    /// Id of the file.
    pub file: String,
    /// Its path and name in the package.
    pub path: String,
    /// Which part of it, from 1; absent for an object in the bucket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<u32>,
    /// What is wrong.
    pub kind: FaultKind,
    /// The same for people.
    pub detail: String,
    /// What was done about it.
    pub repair: Repair,
}

/// Content unknown to the database.
#[derive(Debug, Clone, Serialize)]
pub struct UnknownContent {
    /// Id of the package that it would belong to.
    pub package: String,
    /// Its name in the storage.
    pub name: String,
    /// It is in the bucket.
    pub in_bucket: bool,
    /// Size in bytes, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

impl CheckReport {
    /// Whether content is missing or damaged, and was not restored.
    #[must_use]
    pub fn has_faults(&self) -> bool {
        self.faults.iter().any(|fault| fault.repair != Repair::TakenBack)
    }
}

/// The result of the quick check, for the operator.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Checked {
    pub missing: usize,
    pub damaged: usize,
    pub unknown: usize,
    /// Packages in the storage that are not in the database.
    pub unknown_packages: usize,
    pub complete: bool,
}

/// The quick check: checks, and records the findings in the log and the database.
pub(super) async fn look(context: &Context) -> Result<(), JobError> {
    let run = Run { asked: CheckAsked::default(), until: Some(Instant::now() + LONGEST_LOOK), in_bucket: false };
    let report = run.compare(context).await?;
    let of = |kind| report.faults.iter().filter(|fault| fault.kind == kind).count();
    let unknown: HashSet<&str> = report.unknown.iter().map(|unknown| unknown.package.as_str()).collect();
    let known: HashSet<&str> = report.faults.iter().map(|fault| fault.package.as_str()).collect();
    let checked = Checked {
        missing: of(FaultKind::Missing),
        damaged: of(FaultKind::Damaged),
        unknown: report.unknown.len(),
        unknown_packages: unknown.difference(&known).count(),
        complete: report.complete,
    };
    for Fault { package, path, detail, .. } in report.faults.iter().take(MOST_TOLD) {
        tracing::error!(%package, file = path, "content is not as it must be: {detail}");
    }
    if !report.faults.is_empty() {
        let (missing, damaged) = (checked.missing, checked.damaged);
        tracing::error!(missing, damaged, "the storage has lost content: `masv hub check` names all of it");
    }
    if checked.unknown > 0 {
        tracing::warn!(
            parts = checked.unknown,
            packages = checked.unknown_packages,
            "the storage has parts that the database does not know: `masv hub check` names them. If there are many, the database may have \
             lost commits"
        );
    }
    Ok(notices::set(&context.database, Notice::Checked, &checked).await?)
}

/// Compares everything.
pub(crate) async fn check(context: &Context, asked: CheckAsked) -> Result<CheckReport, JobError> {
    Run { asked, until: None, in_bucket: true }.compare(context).await
}

struct Run {
    asked: CheckAsked,
    until: Option<Instant>,
    /// The bucket is checked, too.
    in_bucket: bool,
}

impl Run {
    async fn compare(&self, context: &Context) -> Result<CheckReport, JobError> {
        let mut report = CheckReport::default();
        let mut last: Option<PackageId> = None;
        loop {
            let page = packages::with_content(&context.database, last.clone(), AT_ONCE).await?;
            let Some((id, _)) = page.last() else { break };
            last = Some(id.clone());
            for (package, name) in page {
                if self.until.is_some_and(|until| Instant::now() >= until) {
                    return Ok(report);
                }
                self.package(context, &package, &name, &mut report).await?;
            }
        }
        self.strangers(context, &mut report).await?;
        report.complete = true;
        Ok(report)
    }

    async fn package(
        &self,
        context: &Context,
        package: &PackageId,
        name: &str,
        report: &mut CheckReport,
    ) -> Result<(), JobError> {
        report.packages += 1;
        // The folder before the rows: what arrives in between is in both.
        let (disk, folder) = (context.storage.disk.clone(), package.clone());
        let mut there = blocking(move || disk.parts(&folder)).await??;
        let files = files::expected(&context.database, package.clone()).await?;
        let objects = match &context.storage.bucket {
            Some(bucket) if self.in_bucket && files.iter().any(|file| matches!(file.kept, Kept::Object { .. })) => {
                Some(bucket.of_package(package).await?)
            }
            _ => None,
        };
        let mut marks = Vec::new();
        for file in &files {
            let faults = match &file.kept {
                Kept::Parts(parts) => self.parts(context, package, (file, parts), &mut there, report).await?,
                Kept::Object { etag, crc } => match &objects {
                    Some(objects) => {
                        self.object(context, package, (file, etag.as_deref(), *crc), objects, report).await?
                    }
                    None => {
                        report.not_looked_at += u64::from(self.in_bucket);
                        continue;
                    }
                },
            };
            let lost = faults.iter().any(|(.., repair)| *repair != Repair::TakenBack);
            // What was not read may still be damaged, as it was found to be before.
            if self.asked.repair && file.lost != lost && (lost || self.asked.deep) {
                marks.push((file.id.clone(), lost));
            }
            report.faults.extend(faults.into_iter().map(|(part, kind, detail, repair)| Fault {
                package: package.as_str().to_owned(),
                package_name: name.to_owned(),
                file: file.id.as_str().to_owned(),
                path: file.path.clone(),
                part,
                kind,
                detail,
                repair: if self.asked.repair && lost { Repair::MarkedLost } else { repair },
            }));
        }
        if !marks.is_empty() {
            files::mark_lost(&context.database, marks).await?;
        }
        unknown_parts(context, package, there, report).await
    }

    /// The faults of a file on the disk; takes what it knows out of `there`.
    async fn parts(
        &self,
        context: &Context,
        package: &PackageId,
        (file, parts): (&ExpectedFile, &[ExpectedPart]),
        there: &mut HashMap<String, u64>,
        report: &mut CheckReport,
    ) -> Result<Vec<FileFault>, JobError> {
        let mut faults = Vec::new();
        for part in parts {
            report.parts += 1;
            report.bytes = report.bytes.saturating_add(part.size);
            let found = there.remove(&Disk::file_name(&part.name.file, part.name.number, &part.place));
            let (kind, detail) = match found {
                None => (FaultKind::Missing, format!("part {} is not there", part.name.number)),
                Some(size) if size != part.size => {
                    (FaultKind::Damaged, format!("part {} has {size} bytes instead of {}", part.name.number, part.size))
                }
                Some(_) if self.asked.deep && !is_sound(context, part).await? => {
                    (FaultKind::Damaged, format!("part {} has another content than it had", part.name.number))
                }
                Some(_) => continue,
            };
            let repair =
                if self.asked.repair && take_back(context, part).await? { Repair::TakenBack } else { Repair::None };
            faults.push((Some(part.name.number), kind, detail, repair));
        }
        if self.asked.deep {
            faults.extend(small_faults(context, package, file, report).await?);
        }
        Ok(faults)
    }

    async fn object(
        &self,
        context: &Context,
        package: &PackageId,
        (file, etag, crc): (&ExpectedFile, Option<&str>, Option<u32>),
        objects: &HashMap<masv_protocol::FileId, Found>,
        report: &mut CheckReport,
    ) -> Result<Vec<FileFault>, JobError> {
        report.parts += 1;
        report.bytes = report.bytes.saturating_add(file.size);
        let Some(found) = objects.get(&file.id) else {
            return Ok(vec![(None, FaultKind::Missing, "its object is not in the bucket".to_owned(), Repair::None)]);
        };
        let damaged = |detail: String| Ok(vec![(None, FaultKind::Damaged, detail, Repair::None)]);
        if let Some(size) = found.size.filter(|size| *size != file.size) {
            return damaged(format!("its object has {size} bytes instead of {}", file.size));
        }
        if etag.is_some_and(|etag| !found.etag.is_empty() && !etag.is_empty() && etag.trim_matches('"') != found.etag) {
            return damaged("its object was replaced: it has another tag".to_owned());
        }
        if let (true, Some(crc), Some(bucket)) = (self.asked.deep, crc, &context.storage.bucket) {
            let mut content = bucket.read(package, &file.id, 0, file.size);
            let mut hasher = crc32fast::Hasher::new();
            while let Some(block) = content.next().await {
                hasher.update(&block?);
            }
            if hasher.finalize() != crc {
                return damaged("its object has another content than it had".to_owned());
            }
        }
        Ok(Vec::new())
    }

    /// What lies in the storage of packages that the database does not have.
    async fn strangers(&self, context: &Context, report: &mut CheckReport) -> Result<(), JobError> {
        let disk = context.storage.disk.clone();
        let folders = blocking(move || disk.packages()).await??;
        for package in folders.into_iter().filter(|name| is_id(name)).map(PackageId::from) {
            if self.until.is_some_and(|until| Instant::now() >= until) {
                return Ok(());
            }
            if files::known_parts(&context.database, package.clone()).await?.is_none() {
                let (disk, folder) = (context.storage.disk.clone(), package.clone());
                let there = blocking(move || disk.parts(&folder)).await??;
                unknown_parts(context, &package, there, report).await?;
            }
        }
        if let (true, Some(bucket)) = (self.in_bucket, &context.storage.bucket) {
            let (_, orphans) = survey_bucket(context, bucket, Duration::ZERO, now()).await?;
            report.unknown.extend(orphans.into_iter().map(|orphan| UnknownContent {
                package: orphan.package.into_string(),
                name: orphan.file.into_string(),
                in_bucket: true,
                bytes: None,
            }));
        }
        Ok(())
    }
}

/// Which part, what is wrong, the same for people, and what was done.
type FileFault = (Option<u32>, FaultKind, String, Repair);

/// Tells of the parts in `there` that no row knows, nor will when what has just arrived is written down.
async fn unknown_parts(
    context: &Context,
    package: &PackageId,
    there: HashMap<String, u64>,
    report: &mut CheckReport,
) -> Result<(), JobError> {
    if there.is_empty() {
        return Ok(());
    }
    tokio::time::sleep(WRITTEN_DOWN).await;
    let known = files::known_parts(&context.database, package.clone()).await?;
    let name = |(part, place): &(crate::stored::PartName, String)| Disk::file_name(&part.file, part.number, place);
    let known: HashSet<String> = known.iter().flatten().map(name).collect();
    let mut unknown: Vec<(String, u64)> = there.into_iter().filter(|(name, _)| !known.contains(name)).collect();
    unknown.sort_unstable();
    report.unknown.extend(unknown.into_iter().map(|(name, bytes)| UnknownContent {
        package: package.as_str().to_owned(),
        name,
        in_bucket: false,
        bytes: Some(bytes),
    }));
    Ok(())
}

/// The parts of a file in the database that have another content than they had.
async fn small_faults(
    context: &Context,
    package: &PackageId,
    file: &ExpectedFile,
    report: &mut CheckReport,
) -> Result<Vec<FileFault>, JobError> {
    let mut faults = Vec::new();
    for (key, number, md5) in files::small_parts(&context.database, package.clone(), file.id.clone()).await? {
        report.parts += 1;
        let content = files::small_part(&context.database, key).await?;
        report.bytes = report.bytes.saturating_add(content.len() as u64);
        if masv_digest::Md5::digest(&content) != md5 {
            let detail = format!("part {number}, in the database, has another content than it had");
            faults.push((Some(number), FaultKind::Damaged, detail, Repair::None));
        }
    }
    Ok(faults)
}

async fn is_sound(context: &Context, part: &ExpectedPart) -> Result<bool, JobError> {
    let (disk, part) = (context.storage.disk.clone(), part.clone());
    Ok(blocking(move || disk.md5(&part.name, &part.place).map(|found| found == part.md5)).await??)
}

async fn take_back(context: &Context, part: &ExpectedPart) -> Result<bool, JobError> {
    let (disk, part, day) = (context.storage.disk.clone(), part.clone(), day_of(now()));
    Ok(blocking(move || disk.take_back(&part.name, &part.place, (part.size, part.md5), &day)).await??)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)
}
