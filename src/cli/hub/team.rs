//! `masv hub team`.

use std::process::ExitCode;

use bytesize::ByteSize;
use clap::Subcommand;
use masv_protocol::{NewTeam, Quota, SetBrand, TeamUsage};

use super::reach::HubClient;
use crate::cli::error::CliError;
use crate::cli::list::{Kind, ListOptions};
use crate::cli::output::{Cell, Output, size};
use crate::cli::table::Column;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Command {
    /// Add a team.
    #[command(after_help = "Example:\n  masv hub team add 'Post production'")]
    Add {
        /// Its name.
        name: String,
    },
    /// List the teams with their storage use and quotas.
    #[command(after_help = "Example:\n  masv hub team ls")]
    Ls(ListOptions),
    /// Show a team's storage use and quota.
    #[command(after_help = "Example:\n  masv hub team show 'Post production'")]
    Show {
        /// The team, by name or id, if there are several.
        name: Option<String>,
    },
    /// Set a team's storage quota; stored files are kept. Only on the hub's own machine.
    #[command(
        after_help = "Examples:\n  masv hub team set 'Post production' --quota 20TB\n  masv hub team set --quota none"
    )]
    Set {
        /// The team, by name or id, if there are several.
        name: Option<String>,
        /// Maximum total size of its packages, or none.
        #[arg(long, value_name = "SIZE|none", value_parser = quota)]
        quota: Quota,
    },
    /// Show or set how the pages of a team's links look: a colour, a logo, a background.
    #[command(
        after_help = "Examples:\n  masv hub team brand\n  masv hub team brand 'Post production' --color '#1d5fc4' --logo \
                      https://example.com/logo.png\n  masv hub team brand --logo ''"
    )]
    Brand {
        /// The team, by name or id, if there are several.
        name: Option<String>,
        /// Colour of the buttons; empty for the usual one.
        #[arg(long, value_name = "#RRGGBB")]
        color: Option<String>,
        /// Address of a picture above the title; empty for none.
        #[arg(long, value_name = "URL")]
        logo: Option<String>,
        /// Address of a picture behind the page; empty for none.
        #[arg(long, value_name = "URL")]
        background: Option<String>,
    },
}

fn quota(text: &str) -> Result<Quota, String> {
    match text {
        "none" => Ok(Quota::Unlimited),
        _ => text.parse::<ByteSize>().map(|size| Quota::Bytes(size.as_u64())),
    }
}

pub(super) async fn run(command: Command, hub: &HubClient, output: &Output) -> Result<ExitCode, CliError> {
    match command {
        Command::Add { name } => {
            let team = hub.ask(hub.admin.create_team(&NewTeam { name: Some(name.clone()) })).await?;
            output.json(&team);
            output.line(&format!("Added the team {name} ({}).", team.id));
        }
        Command::Ls(options) => {
            let mut teams = Vec::new();
            for team in hub.ask(hub.admin.teams()).await? {
                teams.push(hub.ask(hub.admin.team_usage(&team.id)).await?);
            }
            output.list(&options, &Kind::new(&HEADER.map(Column::new), "No teams."), teams, row, |teams| teams)?;
        }
        Command::Show { name } => {
            let team = hub.team_called(name.as_deref()).await?;
            let usage = hub.ask(hub.admin.team_usage(&team)).await?;
            output.json(&usage);
            output.table(&HEADER, &[row(&usage)]);
        }
        Command::Set { name, quota } => {
            let team = hub.team_called(name.as_deref()).await?;
            let usage = hub.ask(hub.admin.set_quota(&team, quota)).await?;
            output.json(&usage);
            output.table(&HEADER, &[row(&usage)]);
        }
        Command::Brand { name, color, logo, background } => {
            let team = hub.team_called(name.as_deref()).await?;
            let given = SetBrand { primary_color: color, logo_url: logo, background_url: background };
            let brand = match given == SetBrand::default() {
                true => hub.ask(hub.admin.brand(&team)).await?,
                false => hub.ask(hub.admin.set_brand(&team, &given)).await?,
            };
            output.json(&brand);
            let shown = [brand.primary_color, brand.logo_url, brand.background_url];
            let shown = shown.map(|value| Cell::from(if value.is_empty() { "none".to_owned() } else { value }));
            output.table(&["COLOR", "LOGO", "BACKGROUND"], &[shown.into()]);
        }
    }
    Ok(ExitCode::SUCCESS)
}

const HEADER: [&str; 6] = ["ID", "NAME", "PACKAGES", "STORED", "COUNTED", "QUOTA"];

fn row(team: &TeamUsage) -> Vec<Cell> {
    vec![
        team.id.as_str().into(),
        team.name.as_str().into(),
        Cell::number(team.packages),
        Cell::size(team.stored),
        Cell::size(team.used),
        Cell::right(team.quota.map_or_else(|| "none".to_owned(), size)),
    ]
}
