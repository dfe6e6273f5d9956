//! The long reports about rules: why a file is sent or not, what would be sent, what was sent.

use std::io::IsTerminal;
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Zoned};
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::Client;
use super::error::{CliError, Exit};
use super::list::{Kind, ListOptions};
use super::output::{Cell, Mood, Output, count, duration, size};
use super::rule::{USUAL_FILE, clock, package_id, text};
use super::table::Column;
use super::transfers;
use crate::agent;
use crate::api::types::{PortalTarget, Standing};
use crate::model::{Link, State};

/// A time as people write it: a date, a time, or an age.
pub(super) fn since(words: &str) -> Result<Timestamp, String> {
    if let Ok(time) = words.parse::<Timestamp>() {
        return Ok(time);
    }
    if let Ok(day) = words.parse::<Date>() {
        let start = day.to_zoned(TimeZone::system()).map_err(|error| error.to_string())?;
        return Ok(start.timestamp());
    }
    let ago = words.parse::<Span>().ok().and_then(|span| Zoned::now().checked_sub(span).ok());
    ago.map(|time| time.timestamp()).ok_or_else(|| {
        "expected a day (2026-11-01), a time (2026-11-01T18:00:00Z) or how long ago (7d, 12h)".to_owned()
    })
}

/// The path as the rules see it: absolute, without `.` and `..`.
pub(super) fn whole_path(path: &Path) -> Result<PathBuf, CliError> {
    let absolute = std::path::absolute(path).map_err(|error| CliError::usage(error.to_string()))?;
    let mut whole = PathBuf::new();
    for part in absolute.components() {
        match part {
            Component::ParentDir => drop(whole.pop()),
            Component::CurDir => {}
            part => whole.push(part),
        }
    }
    Ok(whole)
}

pub(super) fn not_utf8() -> CliError {
    CliError::usage("the path is not valid UTF-8, which the API requires")
}

pub(super) async fn explain(path: &Path, client: &Client, output: &Output) -> Result<ExitCode, CliError> {
    if let Some(package) = package_id(path) {
        let answer: Value = client.get(&format!("/automations/explain?package={package}")).await?;
        return explained(&answer, package, output);
    }
    let path = whole_path(path)?;
    let asked = path.to_str().ok_or_else(not_utf8)?;
    let asked: String = url::form_urlencoded::byte_serialize(asked.as_bytes()).collect();
    let answer: Value = client.get(&format!("/automations/explain?path={asked}")).await?;
    explained(&answer, &path.display().to_string(), output)
}

/// Shows every test of every rule in an explanation of `what`.
fn explained(answer: &Value, what: &str, output: &Output) -> Result<ExitCode, CliError> {
    output.json(answer);
    let taker = answer["rule"].as_str();
    output.line(what);
    for rule in answer["rules"].as_array().into_iter().flatten() {
        let name = text(&rule["rule"]);
        output.line(&format!("\n{name}"));
        let rows: Vec<Vec<Cell>> = rule["tests"].as_array().into_iter().flatten().map(test).collect();
        output.table(&["", "TEST", "BECAUSE"], &rows);
    }
    match taker {
        Some(taker) => {
            output.line(&format!("\nIt matches the rule {taker}."));
            let rule = answer["rules"].as_array().into_iter().flatten().find(|rule| rule["rule"] == taker);
            if let Some(standing) = rule.and_then(standing) {
                output.line(&format!("Status: {standing}."));
            }
            Ok(ExitCode::SUCCESS)
        }
        None => {
            let reasons = answer["rules"].as_array().into_iter().flatten();
            let reasons: Vec<String> =
                reasons.filter_map(|rule| Some(format!("{}: {}", text(&rule["rule"]), standing(rule)?))).collect();
            let error = CliError::new(Exit::NotFound, format!("no rule matches {what}"));
            Err(if reasons.is_empty() { error } else { error.hint(reasons.join("\n  ")) })
        }
    }
}

fn test(test: &Value) -> Vec<Cell> {
    let passed = test["passed"].as_bool().unwrap_or_default();
    let mark = if passed { Cell::mood("yes", Mood::Good) } else { Cell::mood("no", Mood::Bad) };
    vec![mark, text(&test["test"]).into(), because(test).into()]
}

/// The result of a test, and until when it waits.
fn because(test: &Value) -> String {
    let until = clock(&test["until"]).map(|time| format!(", until {time}"));
    format!("{}{}", text(&test["detail"]), until.unwrap_or_default())
}

/// The status of the file or package under a rule: the result of the last test, which it did not pass.
fn standing(rule: &Value) -> Option<String> {
    let failed = rule["tests"].as_array()?.iter().rfind(|test| test["passed"] == false)?;
    Some(because(failed))
}

pub(super) async fn dry_run(file: Option<PathBuf>, client: &Client, output: &Output) -> Result<(), CliError> {
    let path = file.as_deref().map(whole_path).transpose()?;
    let asked = path.as_ref().map_or_else(|| json!({}), |path| json!({ "path": path }));
    let answer = match client.post("/automations/dry_run", &asked).await {
        Err(CliError { exit: Exit::NoAgent, .. }) if !client.is_named() => {
            output.note("No agent is running: earlier transfers are not known, so everything counts as new.");
            without_agent(&path.map_or_else(|| whole_path(Path::new(USUAL_FILE)), Ok)?, output).await?
        }
        answer => answer?,
    };
    output.json(&answer);
    for rule in answer["rules"].as_array().into_iter().flatten() {
        show_dry_run(rule, output);
    }
    for rule in answer["downloads"].as_array().into_iter().flatten() {
        show_dry_download(rule, output);
    }
    output.line("Nothing was sent.");
    Ok(())
}

async fn without_agent(file: &Path, output: &Output) -> Result<Value, CliError> {
    let rules = masv_rules::load(file, &agent::Surroundings).map_err(|diagnostics| {
        output.report(&diagnostics.render(std::io::stderr().is_terminal()));
        CliError::failed(format!("{} is not valid", file.display()))
    })?;
    Ok(json!({ "rules": agent::dry_run(&rules).await? }))
}

fn show_dry_run(rule: &Value, output: &Output) {
    output.line(&format!("{} ({})", text(&rule["rule"]), text(&rule["watch"])));
    if let Some(offline) = rule["offline"].as_str() {
        output.line(&format!("  cannot run: {offline}"));
    }
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    for package in list(&rule["packages"]) {
        let files = list(&package["files"]);
        let what =
            format!("{}, {}", count(files.len() as u64, "file"), size(package["bytes"].as_u64().unwrap_or_default()));
        match package["error"].as_str() {
            Some(error) => output.line(&format!("  would fail: {error} ({what})")),
            None => {
                let to: Vec<String> = list(&package["recipients"]).iter().map(text).collect();
                let to = if to.is_empty() { String::new() } else { format!(" to {}", to.join(", ")) };
                let (name, kind) = (text(&package["name"]), text(&package["kind"]));
                output.line(&format!("  would send \"{name}\" by {kind}{to} ({what})"));
                for line in text(&package["description"]).lines() {
                    output.line(&format!("    | {line}"));
                }
                for (field, value) in package["metadata"].as_object().into_iter().flatten() {
                    output.line(&format!("    {field} = {}", text(value)));
                }
            }
        }
        for file in files {
            output.line(&format!("    {} ({})", text(&file[0]), size(file[1].as_u64().unwrap_or_default())));
        }
    }
    for waiting in list(&rule["waiting"]) {
        output.line(&format!("  would wait: {}: {}", text(&waiting[0]), text(&waiting[1])));
    }
    for unread in list(&rule["unread"]) {
        output.line(&format!("  cannot read {}: {}", text(&unread[0]), text(&unread[1])));
    }
    let uncompared = rule["uncompared"].as_u64().unwrap_or_default();
    if uncompared > 0 {
        let files = count(uncompared, "listed file");
        output.line(&format!("  a dry run does not compare checksums; {files} would be compared before sending"));
    }
    let done = rule["done"].as_u64().unwrap_or_default();
    if done > 0 {
        output.line(&format!("  {} already sent, in flight, or marked as sent", count(done, "file")));
    } else if rule["offline"].is_null() && list(&rule["packages"]).is_empty() && list(&rule["waiting"]).is_empty() {
        output.line("  nothing to send");
    }
}

fn show_dry_download(rule: &Value, output: &Output) {
    output.line(&format!("{} ({})", text(&rule["rule"]), text(&rule["into"])));
    if let Some(offline) = rule["offline"].as_str() {
        return output.line(&format!("  cannot run: {offline}"));
    }
    let packages = rule["packages"].as_array().cloned().unwrap_or_default();
    for package in &packages {
        let (name, portal) = (text(&package["name"]), text(&package["portal"]));
        output.line(&format!("  would download \"{name}\" from the portal {portal} ({})", text(&package["package"])));
    }
    if packages.is_empty() {
        output.line("  nothing to download");
    }
}

/// A time with zone from the agent, in words; empty if there is none.
pub(super) fn at(time: &Value) -> String {
    let time = time.as_str().and_then(|time| time.parse::<Zoned>().ok());
    time.map_or_else(String::new, |time| masv_rules::in_words(&Zoned::now(), &time))
}

/// The next times of a rule's schedule, in words, in the rule's time zone.
pub(super) fn coming(rule: &Value) -> Vec<String> {
    rule["next_schedules"].as_array().into_iter().flatten().map(at).collect()
}

/// A transfer of a rule, in either direction, as shown in its history.
#[derive(Deserialize)]
struct Past {
    name: Option<String>,
    #[serde(flatten)]
    standing: Standing,
    #[serde(default)]
    links: Vec<Link>,
    /// For e-mail.
    #[serde(default)]
    recipients: Vec<String>,
    /// For a portal.
    portal: Option<PortalTarget>,
    /// For a download.
    package_id: Option<String>,
    dst_folder: Option<String>,
}

/// The columns of a history; the names are those of the columns for spreadsheets.
const fn columns(downloads: bool) -> [Column; 8] {
    [
        Column::new("WHEN"),
        Column::new("NAME").cut(12),
        Column::new("FILES").rank(3),
        Column::new("SIZE").named("bytes"),
        Column::new("TOOK").named("duration").rank(2),
        Column::new("OUTCOME").cut(12),
        Column::new("TO").cut(10).rank(1),
        // Uploads end in a link, downloads in a received package.
        if downloads { Column::new("PACKAGE") } else { Column::new("LINK").whole() },
    ]
}

pub(super) fn history(mut answer: Value, options: &ListOptions, output: &Output) -> Result<(), CliError> {
    let list = answer["transfers"].as_array().cloned().unwrap_or_default();
    let past = list.into_iter().map(|one| Ok((serde_json::from_value(one.clone())?, one)));
    let past: Vec<(Past, Value)> = past
        .collect::<Result<_, serde_json::Error>>()
        .map_err(|error| CliError::failed(format!("the agent's response is not valid: {error}")))?;
    let columns = columns(past.iter().any(|(one, _)| one.dst_folder.is_some()));
    let csv = ["when", "name", "files", "bytes", "duration", "link", "package", "outcome", "to"];
    let kind = Kind { csv: &csv, ..Kind::new(&columns, "Nothing was transferred.") };
    output.list(
        options,
        &kind,
        past,
        |(past, _)| row(past),
        |past| {
            answer["transfers"] = past.into_iter().map(|(_, one)| one).collect();
            answer
        },
    )
}

/// When a transfer was completed, or created if it is not complete.
fn when(past: &Past) -> Timestamp {
    past.standing.completed_at.unwrap_or(past.standing.created_at)
}

/// Seconds from creation to completion.
fn took(past: &Past) -> Option<u64> {
    let took = past.standing.completed_at?.duration_since(past.standing.created_at);
    u64::try_from(took.as_secs()).ok()
}

/// The recipients of an upload, or the folder of a download.
fn to(past: &Past) -> String {
    let portal = past.portal.as_ref().map(|portal| format!("portal {}", portal.subdomain));
    portal.or_else(|| past.dst_folder.clone()).unwrap_or_else(|| past.recipients.join(", "))
}

fn link_or_package(past: &Past) -> String {
    let package = past.package_id.clone().filter(|_| past.dst_folder.is_some());
    past.links.first().map(|link| link.url.clone()).or(package).unwrap_or_default()
}

fn outcome(past: &Past) -> String {
    match (past.standing.state, &past.standing.error) {
        (State::Error, Some(error)) => format!("error: {}", error.message),
        (state, _) => state.as_str().to_owned(),
    }
}

fn row(past: &Past) -> Vec<Cell> {
    let (_, mood) = transfers::state_of(past.standing.state, None);
    let took = match took(past) {
        Some(seconds) => Cell::right(duration(seconds)).meaning(seconds),
        None => Cell::right(""),
    };
    vec![
        Cell::time(Some(when(past))),
        past.name.clone().unwrap_or_default().into(),
        Cell::number(past.standing.file_count),
        Cell::size(past.standing.size),
        took,
        Cell::mood(outcome(past), mood),
        to(past).into(),
        link_or_package(past).into(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_named_in_three_ways() {
        assert_eq!(since("2026-11-01T18:00:00Z").unwrap().to_string(), "2026-11-01T18:00:00Z");
        assert!(since("2026-11-01").is_ok());
        let week = Timestamp::now().duration_since(since("7d").unwrap());
        assert!((167..=169).contains(&week.as_hours()), "{week}");
        assert!(since("yesterday-ish").unwrap_err().contains("7d"));
    }

    #[test]
    fn a_path_is_made_whole() {
        assert_eq!(whole_path(Path::new("/a/./b/../c.mov")).unwrap(), Path::new("/a/c.mov"));
    }
}
