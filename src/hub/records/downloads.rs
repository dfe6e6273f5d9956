//! Downloads: who opened a link, who downloads what, and what of it was delivered.
//!
//! A download is complete once every byte of every file was delivered, in however many requests, or all of the archive. What happened
//! is written down as it happens and outlives the link and the package. A visit of a link is one download; one that was interrupted
//! and goes on in another visit from the same address is the same one.

use std::net::IpAddr;
use std::ops::Range;
use std::time::Duration;

use jiff::Timestamp;
use masv_db::{Database, DbError, Row, Work, values};
use masv_protocol::{
    ActivityEvent, ActivityState, Download, FileId, LinkId, OpenedBy, PackageId, PackageState, WebhookEvent,
};

use super::Error;
use super::activity::{self, By, Subject};
use super::links::{self, Link};
use super::packages::{self, Package, protocol_time};
use super::stretches::Stretches;
use super::webhooks::{self, About};
use crate::clock::{before, now};
use crate::keys::tokens::Visit;

/// A link that is opened again and again from one address is noted once in this time.
const OPENED_EVERY: Duration = Duration::from_secs(60 * 60);
/// How often it is noted in that time, from whatever addresses.
const MOST_OPENED: u32 = 50;
/// The most downloads of a package that are listed.
const MOST_LISTED: u32 = 10_000;
/// The most names of files that are listed of a download.
const MOST_NAMES: u32 = 100;
/// The number of the archive with all files, in the place of a file's.
const ARCHIVE: i64 = 0;

/// Where a request comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Origin {
    pub address: Option<IpAddr>,
    /// The program, as it calls itself.
    pub agent: String,
}

/// Who downloads.
#[derive(Debug, Clone)]
pub(crate) enum Reader {
    /// Somebody with a link.
    Visitor(Visit),
    /// Somebody of the team: what tells them from others, and their name.
    Member { id: String, name: String },
}

/// A download, by the number of its activity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DownloadNumber(pub i64);

/// What is delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    File(FileId),
    /// The archive with all files, of this size.
    Archive(u64),
}

/// Notes that a link was opened.
pub(crate) async fn opened(database: &Database, link: LinkId, origin: Origin) -> Result<(), Error> {
    let noting = database.transact(move |work| {
        let Some((link, package)) = links::find_in(work, &link)? else { return Ok(()) };
        let (now, address) = (now(), origin.address.map(|address| address.to_string()));
        let sql = "SELECT count(*), count(*) FILTER (WHERE address IS NOT DISTINCT FROM ?3) FROM (SELECT at, address FROM activity_event
                WHERE activity = (SELECT number FROM activity WHERE kind = 'link_generation' AND subject = ?1)
                    AND event = 'package.opened' ORDER BY number DESC LIMIT ?4) AS opened
             WHERE at > ?2";
        let since = before(now, OPENED_EVERY);
        let counts = work.one(sql, values![link.id.as_str(), since, address, MOST_OPENED], |row| {
            Ok((row.get::<u32>(0)?, row.get::<u32>(1)?))
        })?;
        let (all, same) = counts.unwrap_or_default();
        if same > 0 || all >= MOST_OPENED {
            return Ok(());
        }
        let by = By { actor: link.recipient(), address: origin.address };
        activity::note(work, &package, Subject::Link(&link.id), ActivityEvent::PackageOpened, by)?;
        let sql = "UPDATE link SET opened_at = coalesce(opened_at, ?2) WHERE id = ?1";
        work.run(sql, values![link.id.as_str(), now])?;
        let opened = OpenedBy {
            link_id: link.id.clone(),
            email: link.recipient().to_owned(),
            address: address.unwrap_or_default(),
            opened_at: now.into(),
        };
        webhooks::announce(work, &package, WebhookEvent::PackageOpened, About::Opened(opened))
    });
    noting.await
}

/// The download of a visit, which begins with this if it has not yet.
pub(super) fn of_visit(
    work: &Work<'_>,
    (link, package): (&Link, &Package),
    visit: &Visit,
    origin: &Origin,
) -> Result<DownloadNumber, Error> {
    if let Some(known) = find(work, &visit.visit)? {
        return Ok(known);
    }
    let by = By { actor: link.recipient(), address: origin.address };
    let (now, address) = (now(), origin.address.map(|address| address.to_string()));
    // What an earlier visit of the same link from the same address left unfinished goes on.
    let sql = "UPDATE download SET ends_at = ?4 WHERE activity = (SELECT activity FROM download
            WHERE link_id = ?1 AND address IS NOT DISTINCT FROM ?2 AND finished_at IS NULL AND ends_at <= ?3 ORDER BY ends_at DESC LIMIT 1)
         RETURNING activity";
    let ended = work.one(sql, values![link.id.as_str(), address, now, visit.expires], |row| row.get::<i64>(0))?;
    if let Some(number) = ended {
        work.run("UPDATE activity SET subject = ?2 WHERE number = ?1", values![number, visit.visit])?;
        activity::step(work, number, ActivityEvent::DownloadStarted, by)?;
        return Ok(DownloadNumber(number));
    }
    begin(work, package, (&visit.visit, Some(link)), (by, origin), Some(visit.expires))
}

/// The download of a package by somebody of its team, which begins with this if it has not yet. None of one that is being filled.
pub(crate) async fn of_member(
    database: &Database,
    package: PackageId,
    (id, name): (String, String),
    origin: Origin,
) -> Result<Option<DownloadNumber>, Error> {
    let beginning = database.transact(move |work| {
        let package = packages::get_in(work, &package)?;
        if package.state == PackageState::New {
            return Ok(None);
        }
        let subject = of_whom(&package.id, &id);
        if let Some(known) = find(work, &subject)? {
            return Ok(Some(known));
        }
        let by = By { actor: &name, address: origin.address };
        begin(work, &package, (&subject, None), (by, &origin), None).map(Some)
    });
    beginning.await
}

/// What tells downloads of a package by people of its team apart.
fn of_whom(package: &PackageId, member: &str) -> String {
    format!("{package}.{member}")
}

fn find(work: &Work<'_>, subject: &str) -> Result<Option<DownloadNumber>, Error> {
    let sql = "SELECT number FROM activity WHERE kind = 'package_download_from_masv' AND subject = ?1";
    Ok(work.one(sql, values![subject], |row| row.get(0).map(DownloadNumber))?)
}

fn begin(
    work: &Work<'_>,
    package: &Package,
    (subject, link): (&str, Option<&Link>),
    (by, origin): (By<'_>, &Origin),
    ends_at: Option<Timestamp>,
) -> Result<DownloadNumber, Error> {
    let link_id = link.map(|link| &link.id);
    let subject = Subject::Download(subject, link_id);
    let number = activity::note(work, package, subject, ActivityEvent::DownloadStarted, by)?;
    let sql = "INSERT INTO download (activity, package_id, link_id, address, agent, ends_at, total_files)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, (SELECT count(*) FROM file WHERE package_id = ?2 AND kind = 'file' AND size > 0
            AND finalized_at IS NOT NULL AND lost_at IS NULL))";
    let address = by.address.map(|address| address.to_string());
    let link_id = link_id.map(LinkId::as_str);
    work.run(sql, values![number, package.id.as_str(), link_id, address, origin.agent, ends_at])?;
    finish_if_all(work, number)?;
    Ok(DownloadNumber(number))
}

/// Notes that these bytes of a download were delivered.
pub(crate) async fn delivered(
    database: &Database,
    download: DownloadNumber,
    content: Content,
    bytes: Range<u64>,
) -> Result<(), Error> {
    database.transact(move |work| deliver(work, download.0, &content, Some(bytes.clone()))).await
}

/// Notes that whoever downloads was given the address of a file that is read elsewhere.
pub(crate) async fn handed_out(database: &Database, download: DownloadNumber, file: FileId) -> Result<(), Error> {
    database.transact(move |work| deliver(work, download.0, &Content::File(file.clone()), Some(0..0))).await
}

/// Notes that whoever downloads has these files (none: all of them), as far as their addresses were given out to be read elsewhere.
/// Returns how far the download is; it is not begun by this. Nothing is noted unless the reader `is_believed`.
pub(crate) async fn confirmed(
    database: &Database,
    package: PackageId,
    reader: Reader,
    files: Vec<FileId>,
    is_believed: bool,
) -> Result<ActivityState, Error> {
    let noting = database.transact(move |work| {
        let subject = match &reader {
            Reader::Visitor(visit) => visit.visit.clone(),
            Reader::Member { id, .. } => of_whom(&package, id),
        };
        let Some(download) = find(work, &subject)? else { return Ok(ActivityState::Pending) };
        let sql = "SELECT file.id FROM download_file JOIN file ON file.number = download_file.file
             WHERE activity = ?1 AND delivered_at IS NULL AND in_bucket = 1 AND ?2 = 1";
        let handed_out: Vec<FileId> = work.all(sql, values![download.0, is_believed], |row| row.text(0))?;
        for file in handed_out.into_iter().filter(|file| files.is_empty() || files.contains(file)) {
            deliver(work, download.0, &Content::File(file), None)?;
        }
        let sql = "SELECT state FROM activity WHERE number = ?1";
        Ok(work.one(sql, values![download.0], |row| row.word(0))?.unwrap_or(ActivityState::Started))
    });
    noting.await
}

/// What is delivered, as it is written down: its number, name and size.
fn described(work: &Work<'_>, content: &Content) -> Result<Option<(i64, String, u64)>, Error> {
    let file = match content {
        Content::Archive(size) => return Ok(Some((ARCHIVE, String::new(), *size))),
        Content::File(file) => file,
    };
    let sql = "SELECT number, CASE path WHEN '' THEN name ELSE path || '/' || name END, size FROM file WHERE id = ?1";
    Ok(work.one(sql, values![file.as_str()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?)
}

/// Adds what was delivered (absent: all of it) to what was before.
fn deliver(work: &Work<'_>, number: i64, content: &Content, bytes: Option<Range<u64>>) -> Result<(), Error> {
    let sql = "SELECT package_id FROM download WHERE activity = ?1";
    let Some(package) = work.one(sql, values![number], |row| row.text::<PackageId>(0))? else { return Ok(()) };
    packages::lock(work, &package)?;
    let open =
        format!("SELECT activity FROM download WHERE activity = ?1 AND finished_at IS NULL{}", work.for_change());
    if work.one(&open, values![number], |_| Ok(()))?.is_none() {
        return Ok(());
    }
    let Some((file, name, size)) = described(work, content)? else { return Ok(()) };
    let sql = "SELECT size, stretches, delivered_at IS NOT NULL FROM download_file WHERE activity = ?1 AND file = ?2";
    let read = |row: &Row<'_>| Ok((row.get::<u64>(0)?, row.get::<String>(1)?, row.get::<bool>(2)?));
    let before = work.one(sql, values![number, file], read)?;
    // Another archive than before: files were lost meanwhile.
    let before = before.filter(|(known, ..)| *known == size);
    if size == 0 || before.as_ref().is_some_and(|(_, _, is_delivered)| *is_delivered) {
        return Ok(());
    }
    let mut stretches = Stretches::read(&before.map(|(_, text, _)| text).unwrap_or_default());
    stretches.add(bytes.unwrap_or(0..size));
    let is_whole = stretches.cover(size);
    let text = if is_whole { String::new() } else { stretches.to_string() };
    work.run(
        "INSERT INTO download_file (activity, file, name, size, stretches, delivered_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (activity, file) DO UPDATE SET name = excluded.name, size = excluded.size,
            stretches = excluded.stretches, delivered_at = excluded.delivered_at",
        values![number, file, name, size, text, is_whole.then(now)],
    )?;
    match content {
        _ if !is_whole => Ok(()),
        Content::Archive(_) => finish(work, number),
        Content::File(_) => {
            let sql = "UPDATE download SET files = files + 1, bytes = bytes + ?2 WHERE activity = ?1";
            work.run(sql, values![number, size])?;
            finish_if_all(work, number)
        }
    }
}

fn finish_if_all(work: &Work<'_>, number: i64) -> Result<(), Error> {
    let sql = "SELECT files >= total_files FROM download WHERE activity = ?1";
    if work.value(sql, values![number])? { finish(work, number) } else { Ok(()) }
}

/// All was delivered: that is told and noted at the link and at the package; what was delivered of single files is not needed any more.
fn finish(work: &Work<'_>, number: i64) -> Result<(), Error> {
    let now = now();
    let sql = "UPDATE download SET finished_at = ?2, files = total_files, bytes = coalesce((SELECT size FROM package
            WHERE id = download.package_id), bytes) WHERE activity = ?1";
    work.run(sql, values![number, now])?;
    work.run("DELETE FROM download_file WHERE activity = ?1", values![number])?;
    let sql = format!("SELECT {COLUMNS} FROM {TABLES} WHERE download.activity = ?1");
    let Some((package, download)) = work.one(&sql, values![number], read)? else { return Ok(()) };
    let by = By { actor: &download.actor, address: download.address.parse().ok() };
    activity::step(work, number, ActivityEvent::PackageDownloaded, by)?;
    work.run("UPDATE package SET downloads = downloads + 1 WHERE id = ?1", values![package.as_str()])?;
    let Some(package) = packages::find_in(work, &package)? else { return Ok(()) };
    if let Some(link) = &download.link_id {
        let sql = "UPDATE link SET downloads = downloads + 1, downloaded_at = ?2 WHERE id = ?1";
        work.run(sql, values![link.as_str(), now])?;
        activity::note(work, &package, Subject::Link(link), ActivityEvent::PackageDownloaded, by)?;
    }
    let download = Download { state: Some(ActivityState::Complete.into()), ..download };
    webhooks::announce(work, &package, WebhookEvent::PackageDownloaded, About::Downloaded(download))
}

const TABLES: &str = "download JOIN activity ON activity.number = download.activity";
const COLUMNS: &str = "activity.number, download.package_id, download.link_id, activity.actor, address, agent, state, created_at, \
    finished_at, total_files, files, bytes";

fn read(row: &Row<'_>) -> Result<(PackageId, Download), DbError> {
    let package: PackageId = row.text(1)?;
    let download = Download {
        id: row.get::<i64>(0)?.to_string().into(),
        package_id: Some(package.clone()),
        link_id: row.maybe_text(2)?,
        actor: row.get(3)?,
        address: row.get::<Option<String>>(4)?.unwrap_or_default(),
        user_agent: row.get(5)?,
        state: Some(row.word::<ActivityState>(6)?.into()),
        started_at: row.get::<Timestamp>(7)?.into(),
        finished_at: protocol_time(row.get(8)?),
        total_files: row.get(9)?,
        files: row.get(10)?,
        bytes: row.get(11)?,
        file_names: Vec::new(),
    };
    Ok((package, download))
}

/// The downloads of a package, newest first.
pub(crate) async fn list(database: &Database, package: PackageId) -> Result<Vec<Download>, Error> {
    let listing = database.query(move |work| {
        let sql = format!(
            "SELECT {COLUMNS} FROM {TABLES} WHERE download.package_id = ?1 ORDER BY download.activity DESC LIMIT ?2"
        );
        let mut found =
            work.all(&sql, values![package.as_str(), MOST_LISTED], |row| Ok((row.get::<i64>(0)?, read(row)?.1)))?;
        let sql =
            "SELECT name FROM download_file WHERE activity = ?1 AND delivered_at IS NOT NULL ORDER BY name LIMIT ?2";
        for (number, download) in &mut found {
            download.file_names = work.all(sql, values![*number, MOST_NAMES], |row| row.get(0))?;
        }
        Ok::<_, Error>(found.into_iter().map(|(_, download)| download).collect())
    });
    listing.await
}
