//! A download rule.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use super::super::fields::{At, Fields};
use super::super::model::{DownloadRule, Portals};
use super::super::reader::{Reader, example};
use super::super::schema_table::{AFTER_DOWNLOAD, DOWNLOAD};
use super::digest::digest;
use super::rule::{confined, rule_name};
use super::{Shared, notify, upload};

/// The default interval for polling the inbox.
const POLL: Duration = Duration::from_secs(60);
/// The shortest interval for polling a cloud.
const SHORTEST_POLL: Duration = Duration::from_secs(1);

/// A download rule.
pub(super) fn read<'a>(at: &At<'a>, shared: &Shared<'_, 'a>) -> Option<DownloadRule> {
    let reader = shared.reader;
    reader.take_secrets();
    reader.confine(false);
    let inherited = shared.defaults.as_ref().filter(|defaults| defaults.is_map());
    let fields = reader.merged(at, inherited, DOWNLOAD)?;
    let confined = confined(&fields, reader);
    let name = fields.required("name").and_then(|at| rule_name(&at, reader));
    let portals = portals(&fields, reader);
    let into = fields.required("into").and_then(|at| reader.path(&at, true));
    let package_folder = fields.or("package_folder", true, |at| reader.boolean(at));
    let portal_folder = fields.or("portal_folder", false, |at| reader.boolean(at));
    let team = fields.maybe("team", |at| reader.text(at));
    // `defaults` for these two apply to watched folders.
    let poll = fields.own("poll").map_or(Some(POLL), |at| poll(&at, reader));
    let remove_package = fields.own("after").map_or(Some(false), |at| after(&at, reader));
    let since = fields.maybe("since", |at| since(at, &shared.zone, reader));
    let priority = fields.or("priority", 0, |at| reader.whole(at));
    let notify = fields.or("notify", Vec::new(), |at| notify::list(at, reader));
    let enabled = fields.or("enabled", true, |at| reader.boolean(at));
    let digest = digest(fields.entries(), None, at.node, shared);
    Some(DownloadRule {
        name: name?,
        portals: portals?,
        into: into?,
        confined: confined?,
        package_folder: package_folder?,
        portal_folder: portal_folder?,
        team: team?,
        poll: poll?,
        remove_package: remove_package?,
        since: since?,
        priority: priority?,
        notify: notify?,
        enabled: enabled?,
        digest,
        file: reader.file_of(at.node),
        line: reader.line(at.node),
    })
}

fn portals(fields: &Fields<'_, '_>, reader: &Reader<'_>) -> Option<Portals> {
    match (fields.optional("portal"), fields.optional("portals")) {
        (Some(at), None) => upload::subdomain(&at, reader).map(|name| Portals::Subdomains(vec![name])),
        (None, Some(at)) if at.text() == Some("all") => Some(Portals::All),
        (None, Some(at)) => {
            let read: Vec<Option<String>> = at.items().iter().map(|item| upload::subdomain(item, reader)).collect();
            let names: Option<Vec<String>> = read.into_iter().collect();
            if names.as_ref().is_some_and(Vec::is_empty) {
                reader.error(&at, "expected `all` or at least one subdomain", example(&at));
                return None;
            }
            names.map(Portals::Subdomains)
        }
        (None, None) if fields.has_slips() => None,
        _ => {
            let help = "for example `portal: acme` or `portals: all`".to_owned();
            reader.error(fields.at(), "expected either `portal` or `portals`", Some(help));
            None
        }
    }
}

fn poll(at: &At<'_>, reader: &Reader<'_>) -> Option<Duration> {
    let poll = reader.interval(at)?;
    if poll < SHORTEST_POLL {
        reader.error(at, "expected one second or more", example(at));
        return None;
    }
    Some(poll)
}

/// Whether the package is removed from the cloud.
fn after(at: &At<'_>, reader: &Reader<'_>) -> Option<bool> {
    let words = [("keep", false), ("delete", true)];
    if !at.is_map() {
        return reader.choice(at, &words);
    }
    reader.fields(at, AFTER_DOWNLOAD)?.or("complete", false, |at| reader.choice(at, &words))
}

/// A time: RFC 3339, or a date, or a date and a time in the zone of the file.
fn since(at: &At<'_>, zone: &TimeZone, reader: &Reader<'_>) -> Option<Timestamp> {
    let text = reader.text(at)?;
    let local = |moment: DateTime| moment.to_zoned(zone.clone()).map(|zoned| zoned.timestamp());
    let read = text
        .parse::<Timestamp>()
        .or_else(|_| text.parse::<DateTime>().and_then(local))
        .or_else(|_| text.parse::<Date>().and_then(|date| local(date.into())));
    if read.is_err() {
        let help = "a date `2026-11-01`, or a time `2026-11-01T18:00:00Z`".to_owned();
        reader.error(at, format!("expected a time, found `{text}`"), Some(help));
    }
    read.ok()
}
