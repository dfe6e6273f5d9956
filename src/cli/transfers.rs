//! What `masv upload` and `masv download` have in common: lists, reading page by page, control, and words for a state.

use clap::Args;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::client::Client;
use super::confirm::confirm;
use super::error::CliError;
use super::output::{Mood, Output};
use crate::api::types::{Paused, Removed, Resumed, Transfers};
use crate::model::{Activity, State};

/// Files requested at once.
const PAGE: usize = 1_000;

/// An upload or a download as the API shows it.
pub(super) trait Transfer: Serialize + DeserializeOwned {
    /// `upload` or `download`.
    const NAME: &'static str;
    type File;

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

/// Lists what matches `asked`.
pub(super) async fn list<T: Transfer>(
    asked: Vec<(&str, Option<String>)>,
    table: impl Fn(&[T], &Output),
    client: &Client,
    output: &Output,
) -> Result<(), CliError> {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (key, value) in asked {
        if let Some(value) = value {
            query.append_pair(key, &value);
        }
    }
    let list: Transfers<T> = client.get(&format!("/{}s?{}", T::NAME, query.finish())).await?;
    output.json(&list);
    if list.transfers.is_empty() {
        output.line(&format!("No {}s.", T::NAME));
    } else {
        table(&list.transfers, output);
    }
    Ok(())
}

/// A transfer and all its files, page by page.
pub(super) async fn with_files<T: Transfer>(id: &str, client: &Client) -> Result<T, CliError> {
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
    say(&client.order::<T>(&one::<T>(id, "/pause")).await?, output);
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
    say(&client.order::<T>(&one::<T>(id, "/resume")).await?, output);
    Ok(())
}

/// Which ones are removed, and the confirmation.
#[derive(Debug, Args)]
pub(super) struct Removing {
    /// With `all`: only those in these states.
    #[arg(long, value_name = "STATE,...")]
    states: Option<String>,
    /// With `all`: do not ask for confirmation.
    #[arg(long)]
    yes: bool,
}

/// Removes one, or all in the given states. Removing all, without states, asks for confirmation.
pub(super) async fn remove<T: Transfer>(
    id: &str,
    Removing { states, yes }: Removing,
    client: &Client,
    output: &Output,
) -> Result<(), CliError> {
    if id == "all" {
        if states.is_none() && !yes {
            let open: Transfers<T> =
                client.get(&format!("/{}s?states=transferring,paused,idle,error", T::NAME)).await?;
            let question = match open.transfers.len() as u64 {
                0 => format!("Remove all {}s from the list?", T::NAME),
                open => {
                    format!("Remove all {}s, and cancel the {} that are not complete?", T::NAME, counted::<T>(open))
                }
            };
            confirm(&question, yes, "give the states with --states complete,error, or confirm with --yes")?;
        }
        let states = states.unwrap_or_else(|| "all".to_owned());
        let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("states", &states).finish();
        let all: Removed = client.delete_counted(&format!("/{}s?{query}", T::NAME)).await?;
        output.json(&all);
        output.line(&format!("Removed {}.", counted::<T>(all.removed)));
    } else if states.is_some() {
        return Err(CliError::usage("--states requires `all`"));
    } else {
        client.delete(&one::<T>(id, "")).await?;
        output.json(&json!({ "removed": 1 }));
        output.line("Removed.");
    }
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
        Some(Activity::Retrying) => "retrying",
        Some(Activity::Verifying) => "verifying",
        Some(Activity::Finalizing) => "finalizing",
    };
    (activity.to_owned(), mood)
}

/// The share that is done; an empty transfer is done once its size is known.
pub(super) fn percent_of(progress: u64, size: u64, state: State) -> String {
    match progress.saturating_mul(100).checked_div(size) {
        Some(percent) => format!("{percent}%"),
        None if state == State::Complete => "100%".to_owned(),
        None => "0%".to_owned(),
    }
}
