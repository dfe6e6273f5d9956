//! `masv hub audit`.

use std::process::ExitCode;

use clap::Args;
use reqwest::Method;

use super::reach::{HubClient, text, time};
use crate::cli::error::CliError;
use crate::cli::output::Output;

/// What to show of the log.
#[derive(Debug, Args)]
pub(in crate::cli) struct Asked {
    /// Only what these did: a part of a mail address, a key's name, or "operator".
    #[arg(long, value_name = "TEXT")]
    actor: Option<String>,
    /// Only these actions, such as user.added or key.removed.
    #[arg(long, value_name = "ACTION", value_delimiter = ',')]
    action: Vec<String>,
    /// Only from this time on: a day or a time, RFC 3339, UTC.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// How many, up to 100.
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: u32,
    /// Which page of them.
    #[arg(long, value_name = "N", default_value_t = 1)]
    page: u32,
}

pub(super) async fn run(asked: &Asked, hub: &HubClient, output: &Output) -> Result<ExitCode, CliError> {
    let team = hub.team().await?;
    let mut query = vec![("limit", asked.limit.to_string()), ("page", asked.page.to_string())];
    query.extend(asked.actor.clone().map(|actor| ("actor", actor)));
    query.extend(asked.since.clone().map(|since| ("created_at_start", since)));
    if !asked.action.is_empty() {
        query.push(("action", asked.action.join(",")));
    }
    let log = hub.call(Method::GET, &["v1", "teams", &team, "audit"], &query, None).await?;
    output.json(&log);
    let rows: Vec<_> = log["records"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|entry| {
            vec![
                time(entry, "created_at").into(),
                text(entry, "action").into(),
                text(entry, "actor").into(),
                text(entry, "address").into(),
                text(entry, "subject").into(),
            ]
        })
        .collect();
    output.table(&["WHEN (UTC)", "ACTION", "BY", "FROM", "WHAT"], &rows);
    Ok(ExitCode::SUCCESS)
}
