//! `masv hub team`.

use std::process::ExitCode;

use bytesize::ByteSize;
use clap::Subcommand;
use serde_json::{Value, json};

use super::reach::{HubClient, text};
use crate::cli::error::CliError;
use crate::cli::output::{Cell, Output, size};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Command {
    /// Add a team.
    #[command(after_help = "Example:\n  masv hub team add 'Post production'")]
    Add {
        /// Its name.
        name: String,
    },
    /// List the teams, with what they have stored and may store.
    #[command(after_help = "Example:\n  masv hub team ls")]
    Ls,
    /// Show what a team has stored and may store.
    #[command(after_help = "Example:\n  masv hub team show 'Post production'")]
    Show {
        /// The team, by name or id, where there are several.
        name: Option<String>,
    },
    /// Set how much a team may have stored; what it has already stays. Only on the hub's own machine.
    #[command(
        after_help = "Examples:\n  masv hub team set 'Post production' --quota 20TB\n  masv hub team set --quota none"
    )]
    Set {
        /// The team, by name or id, where there are several.
        name: Option<String>,
        /// The most that its packages may have together, or none.
        #[arg(long, value_name = "SIZE|none", value_parser = quota)]
        quota: Quota,
    },
}

/// A limit, or none.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) struct Quota(Option<u64>);

fn quota(text: &str) -> Result<Quota, String> {
    match text {
        "none" => Ok(Quota(None)),
        _ => text.parse::<ByteSize>().map(|size| Quota(Some(size.as_u64()))),
    }
}

pub(super) async fn run(command: Command, hub: &HubClient, output: &Output) -> Result<ExitCode, CliError> {
    match command {
        Command::Add { name } => {
            let team = hub.post(&["v1", "teams"], &json!({ "name": name })).await?;
            output.json(&team);
            output.line(&format!("Added the team {name} ({}).", text(&team, "id")));
        }
        Command::Ls => {
            let mut teams = Vec::new();
            for team in hub.get(&["v1", "teams"]).await?.as_array().into_iter().flatten() {
                teams.push(hub.get(&["v1", "teams", &text(team, "id"), "usage"]).await?);
            }
            output.json(&teams);
            output.table(&HEADER, &teams.iter().map(row).collect::<Vec<_>>());
        }
        Command::Show { name } => {
            let team = hub.team_called(name.as_deref()).await?;
            let usage = hub.get(&["v1", "teams", &team, "usage"]).await?;
            output.json(&usage);
            output.table(&HEADER, &[row(&usage)]);
        }
        Command::Set { name, quota: Quota(quota) } => {
            let team = hub.team_called(name.as_deref()).await?;
            let usage = hub.put(&["v1", "teams", &team, "quota"], &json!({ "quota": quota })).await?;
            output.json(&usage);
            output.table(&HEADER, &[row(&usage)]);
        }
    }
    Ok(ExitCode::SUCCESS)
}

const HEADER: [&str; 6] = ["ID", "NAME", "PACKAGES", "STORED", "COUNTED", "QUOTA"];

fn row(team: &Value) -> Vec<Cell> {
    let bytes = |field: &str| team[field].as_u64().map(size);
    vec![
        text(team, "id").into(),
        text(team, "name").into(),
        Cell::right(text(team, "packages")),
        Cell::right(bytes("stored").unwrap_or_default()),
        Cell::right(bytes("used").unwrap_or_default()),
        Cell::right(bytes("quota").unwrap_or_else(|| "none".to_owned())),
    ]
}
