//! `masv hub team`.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::json;

use super::reach::{HubClient, text};
use crate::cli::error::CliError;
use crate::cli::output::Output;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Command {
    /// Add a team.
    #[command(after_help = "Example:\n  masv hub team add 'Post production'")]
    Add {
        /// Its name.
        name: String,
    },
    /// List the teams.
    #[command(after_help = "Example:\n  masv hub team ls")]
    Ls,
}

pub(super) async fn run(command: Command, hub: &HubClient, output: &Output) -> Result<ExitCode, CliError> {
    match command {
        Command::Add { name } => {
            let team = hub.post(&["v1", "teams"], &json!({ "name": name })).await?;
            output.json(&team);
            output.line(&format!("Added the team {name} ({}).", text(&team, "id")));
        }
        Command::Ls => {
            let teams = hub.get(&["v1", "teams"]).await?;
            output.json(&teams);
            let rows: Vec<_> = teams
                .as_array()
                .into_iter()
                .flatten()
                .map(|team| vec![text(team, "id").into(), text(team, "name").into()])
                .collect();
            output.table(&["ID", "NAME"], &rows);
        }
    }
    Ok(ExitCode::SUCCESS)
}
