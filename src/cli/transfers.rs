//! What `masv upload` and `masv download` have in common: lists, reading page by page, control, and words for a state.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::client::Client;
use super::confirm::Sure;
use super::error::{CliError, Exit};
use super::interrupt::Interrupt;
use super::list::{Kind, ListOptions};
use super::output::{Cell, Mood, Output};
use super::rule_reports::since;
use super::short::Named;
use super::table::Column;
use crate::api::types::{Paused, Removed, Resumed, Standing, Transfers};
use crate::model::{Activity, State};

/// How often a list is shown again.
const EVERY: Duration = Duration::from_secs(1);
/// Files requested at once.
const PAGE: usize = 1_000;

/// An upload or a download as the API shows it.
pub(super) trait Transfer: Serialize + DeserializeOwned {
    /// `upload` or `download`.
    const NAME: &'static str;
    type File;

    /// The columns of a list.
    const COLUMNS: &'static [Column];

    /// Whether this is a whole id.
    fn is_id(text: &str) -> bool;
    /// Its id.
    fn id(&self) -> String;
    /// A row of a list.
    fn row(&self) -> Vec<Cell>;
    /// Its display name.
    fn title(&self) -> String;
    /// Its state in words.
    fn state(&self) -> (String, Mood);
    /// The requested files.
    fn files(&mut self) -> &mut Option<Vec<Self::File>>;
    /// The number of a file, from which a list continues.
    fn number(file: &Self::File) -> u32;
}

/// The API path for one transfer; whatever was typed stays one segment.
pub(super) fn one<T: Transfer>(id: &str, call: &str) -> String {
    let escaped: String = url::form_urlencoded::byte_serialize(id.as_bytes()).collect();
    format!("/{}s/{}{call}", T::NAME, escaped.replace('+', "%20"))
}

/// `1 upload`, `2 uploads`
fn counted<T: Transfer>(count: u64) -> String {
    format!("{count} {}{}", T::NAME, if count == 1 { "" } else { "s" })
}

/// Prints a transfer's status.
pub(super) fn say<T: Transfer>(transfer: &T, output: &Output) {
    output.json(transfer);
    output.line(&format!("{} is {}.", transfer.title(), transfer.state().0));
}

/// What uploads and downloads are asked for in a list.
#[derive(Debug, Clone, Args)]
pub(super) struct Which {
    /// Only those in these states: transferring, paused, idle, complete, error.
    #[arg(long, value_name = "STATE,...")]
    states: Option<String>,
    /// Only those of this rule.
    #[arg(long)]
    rule: Option<String>,
    /// Only those started since this date, time or age, such as 2026-11-01, 2026-11-01T18:00:00Z or 7d.
    #[arg(long, value_name = "WHEN", value_parser = since)]
    since: Option<Timestamp>,
    /// The maximum number to list.
    #[arg(long)]
    limit: Option<u32>,
    /// Show the list again and again, until Ctrl-C; into a pipe, each time that it has changed.
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    list: ListOptions,
}

/// Lists transfers, newest first.
pub(super) async fn list<T: Transfer>(which: Which, client: &Client, output: &Output) -> Result<ExitCode, CliError> {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    let (since, limit) = (which.since.map(|since| since.to_string()), which.limit.map(|limit| limit.to_string()));
    let search = which.list.search.clone();
    for (key, value) in
        [("states", which.states), ("rule", which.rule), ("since", since), ("limit", limit), ("search", search)]
    {
        if let Some(value) = value {
            query.append_pair(key, &value);
        }
    }
    let path = format!("/{}s?{}", T::NAME, query.finish());
    // The agent has searched, in names only.
    let options = ListOptions { search: None, ..which.list };
    if !which.watch {
        show::<T>(client.get(&path).await?, &options, output)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut interrupt = Interrupt::listen();
    let (terminal, mut last) = (Terminal::of(*output), Value::Null);
    loop {
        let list: Transfers<T> = client.get(&path).await?;
        let now = serde_json::to_value(&list).unwrap_or_default();
        match &terminal {
            Some(terminal) => show(terminal.clear(list), &options, output)?,
            None if now == last => {}
            None if output.is_json() && !options.looks.quiet => output.json_line(&now),
            None => show(list, &options, output)?,
        }
        last = now;
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = interrupt.pressed() => return Ok(ExitCode::from(Exit::Interrupted as u8)),
        }
    }
}

fn show<T: Transfer>(list: Transfers<T>, options: &ListOptions, output: &Output) -> Result<(), CliError> {
    let empty = format!("No {}s.", T::NAME);
    let kind = Kind::new(T::COLUMNS, &empty);
    let cursor = list.cursor;
    output.list(options, &kind, list.transfers, T::row, |transfers| Transfers { transfers, cursor })
}

/// A terminal on which a list is shown in place.
struct Terminal;

impl Terminal {
    fn of(output: Output) -> Option<Self> {
        let dumb = std::env::var("TERM").is_ok_and(|kind| kind == "dumb");
        (std::io::stdout().is_terminal() && !dumb && !output.is_json() && !output.is_csv()).then_some(Self)
    }

    /// Clears it, and leaves in the list what it has room for.
    fn clear<T>(&self, mut list: Transfers<T>) -> Transfers<T> {
        // Not through the filter of colours: NO_COLOR does not mean that nothing moves.
        let _ = std::io::stdout().write_all(b"\x1b[H\x1b[J");
        if let Some((_, rows)) = masv_platform::output_size() {
            list.transfers.truncate(rows.saturating_sub(3).max(1));
        }
        list
    }
}

/// The columns that uploads and downloads have in common stand before those of their own.
pub(super) const ID: Column = Column::new("ID");
pub(super) const STATE: Column = Column::new("STATE");
pub(super) const DONE: Column = Column::new("DONE");
pub(super) const SIZE: Column = Column::new("SIZE").named("bytes").rank(2);
pub(super) const NAME: Column = Column::new("NAME").cut(12);
pub(super) const ERROR: Column = Column::new("ERROR").cut(16).rank(3).if_any();
pub(super) const RULE: Column = Column::new("RULE").wide();
pub(super) const CREATED: Column = Column::new("CREATED").wide();
pub(super) const COMPLETED: Column = Column::new("COMPLETED").wide();

/// The transfer that was typed: by its id, the end of its id, or its name.
pub(super) async fn find<T: Transfer>(typed: &str, client: &Client) -> Result<String, CliError> {
    if T::is_id(typed) {
        return Ok(typed.to_owned());
    }
    let list = format!("masv {} ls", T::NAME);
    let named = Named { kind: T::NAME, list: &list, by_beginning: false };
    if typed.is_empty() {
        return Err(named.none("with an empty id"));
    }
    let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("named", typed).finish();
    let fitting: Transfers<T> = client.get(&format!("/{}s?limit=20&{query}", T::NAME)).await?;
    let parts = |one: &T| (one.id(), one.title(), one.state().0);
    named.one(typed, fitting.transfers, parts).map(|one| one.id())
}

/// A transfer and all its files, page by page.
pub(super) async fn with_files<T: Transfer>(typed: &str, client: &Client) -> Result<T, CliError> {
    let id = &find::<T>(typed, client).await?;
    let mut transfer: T = client.get(&one::<T>(id, &format!("?files=true&limit={PAGE}"))).await?;
    let mut files = transfer.files().take().unwrap_or_default();
    let mut page = files.len();
    while page == PAGE
        && let Some(last) = files.last()
    {
        let more = format!("?files=true&limit={PAGE}&cursor={}", T::number(last));
        let next = client.get::<T>(&one::<T>(id, &more)).await?.files().take().unwrap_or_default();
        page = next.len();
        files.extend(next);
    }
    *transfer.files() = Some(files);
    Ok(transfer)
}

/// Pauses one, or all that are transferring.
pub(super) async fn pause<T: Transfer>(id: &str, client: &Client, output: &Output) -> Result<(), CliError> {
    if id == "all" {
        let all: Paused = client.order(&format!("/{}s/pause", T::NAME)).await?;
        output.json(&all);
        output.line(&format!("Paused {}.", counted::<T>(all.paused)));
        return Ok(());
    }
    let id = find::<T>(id, client).await?;
    say(&client.order::<T>(&one::<T>(&id, "/pause")).await?, output);
    Ok(())
}

/// Resumes one, or all that are paused or have failed.
pub(super) async fn resume<T: Transfer>(id: &str, client: &Client, output: &Output) -> Result<(), CliError> {
    if id == "all" {
        let all: Resumed = client.order(&format!("/{}s/resume", T::NAME)).await?;
        output.json(&all);
        output.line(&format!("Resumed {}.", counted::<T>(all.resumed)));
        return Ok(());
    }
    let id = find::<T>(id, client).await?;
    say(&client.order::<T>(&one::<T>(&id, "/resume")).await?, output);
    Ok(())
}

/// Which ones are removed, and the confirmation.
#[derive(Debug, Args)]
pub(super) struct Removing {
    /// With `all`: only those in these states.
    #[arg(long, value_name = "STATE,...")]
    states: Option<String>,
    #[command(flatten)]
    sure: Sure,
}

/// Removes one, or all in the given states. Removing all, without states, asks for confirmation.
pub(super) async fn remove<T: Transfer>(
    id: &str,
    Removing { states, sure }: Removing,
    client: &Client,
    output: &Output,
) -> Result<(), CliError> {
    if id != "all" {
        if states.is_some() {
            return Err(CliError::usage("--states requires `all`"));
        }
        let id = find::<T>(id, client).await?;
        if sure.is_dry() {
            let one: T = client.get(&one::<T>(&id, "")).await?;
            return would_remove(&[one], output);
        }
        client.delete(&one::<T>(&id, "")).await?;
        output.json(&json!({ "removed": 1 }));
        output.line("Removed.");
        return Ok(());
    }
    let named = states.is_some();
    let states = states.unwrap_or_else(|| "all".to_owned());
    let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("states", &states).finish();
    if sure.is_dry() {
        let all: Transfers<T> = client.get(&format!("/{}s?{query}", T::NAME)).await?;
        return would_remove(&all.transfers, output);
    }
    if !named {
        let open: Transfers<T> = client.get(&format!("/{}s?states=transferring,paused,idle,error", T::NAME)).await?;
        let question = match open.transfers.len() as u64 {
            0 => format!("Remove all {}s from the list?", T::NAME),
            open => {
                format!("Remove all {}s, and cancel the {} that are not complete?", T::NAME, counted::<T>(open))
            }
        };
        sure.confirm_or(&question, "give the states with --states complete,error, or confirm with --yes")?;
    }
    let all: Removed = client.delete_counted(&format!("/{}s?{query}", T::NAME)).await?;
    output.json(&all);
    output.line(&format!("Removed {}.", counted::<T>(all.removed)));
    Ok(())
}

/// Says what would be removed.
fn would_remove<T: Transfer>(all: &[T], output: &Output) -> Result<(), CliError> {
    output.json(&json!({ "would_remove": all }));
    for one in all {
        output.line(&format!("Would remove {} ({}, {}).", one.title(), one.id(), one.state().0));
    }
    output.line("Nothing was removed.");
    Ok(())
}

/// The state in one word, and the activity while it is transferring.
pub(super) fn state_of(state: State, activity: Option<Activity>) -> (String, Mood) {
    let mood = match state {
        State::Complete => Mood::Good,
        State::Error => Mood::Bad,
        State::Transferring => Mood::Busy,
        State::Paused | State::Idle => Mood::Quiet,
    };
    let activity = match activity {
        None | Some(Activity::Sending | Activity::Receiving) => return (state.as_str().to_owned(), mood),
        Some(Activity::Queued) => "queued",
        Some(Activity::Creating) => "creating",
        Some(Activity::Opening) => "opening",
        Some(Activity::Growing) => "growing",
        Some(Activity::Retrying) => "retrying",
        Some(Activity::Verifying) => "verifying",
        Some(Activity::Finalizing) => "finalizing",
    };
    (activity.to_owned(), mood)
}

/// The share that is done. An empty transfer is done once its size is known.
fn percent(done: u64, standing: &Standing) -> u64 {
    match done.min(standing.size).saturating_mul(100).checked_div(standing.size) {
        Some(percent) => percent,
        None if standing.state == State::Complete => 100,
        None => 0,
    }
}

/// The share that the storage has confirmed, or that is on disk.
pub(super) fn confirmed(standing: &Standing) -> u64 {
    percent(standing.progress, standing)
}

/// The share that is done, with what is in flight: a large part counts before the storage has confirmed all of it.
pub(super) fn done(standing: &Standing) -> Cell {
    let percent = percent(standing.progress.saturating_add(standing.in_flight), standing);
    Cell::right(format!("{percent}%")).meaning(percent)
}

/// The reason of a failure, or what is being waited for.
pub(super) fn error_of(standing: &Standing) -> Cell {
    let mood = if standing.state == State::Error { Mood::Bad } else { Mood::Warned };
    Cell::mood(standing.error.as_ref().map(|error| error.message.clone()).unwrap_or_default(), mood)
}
