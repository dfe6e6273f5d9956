//! `masv hub package`.

use std::process::ExitCode;

use clap::Subcommand;
use reqwest::Method;
use serde_json::{Value, json};

use super::reach::{HubClient, text, time};
use crate::cli::error::CliError;
use crate::cli::output::{Cell, Output, size};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Command {
    /// List packages, newest first.
    #[command(
        after_help = "Examples:\n  masv hub package ls --status finalized --name dailies\n  masv hub package ls --received"
    )]
    Ls {
        /// Those that came through portals, instead of those that the team sent.
        #[arg(long)]
        received: bool,
        /// Only those in these states: new, finalized, expired.
        #[arg(long, value_delimiter = ',')]
        status: Vec<String>,
        /// Only those whose name has this in it.
        #[arg(long, value_name = "TEXT")]
        name: Option<String>,
        /// Only those whose sender has this in it.
        #[arg(long, value_name = "TEXT")]
        sender: Option<String>,
        /// By name, created_at, size, expiry, sender or status; with - in front the other way round.
        #[arg(long, value_name = "FIELD", allow_hyphen_values = true)]
        sort: Option<String>,
        /// How many, up to 100.
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: u32,
        /// Which page of them.
        #[arg(long, value_name = "N", default_value_t = 1)]
        page: u32,
    },
    /// Show one, with its files and links.
    #[command(after_help = "Example:\n  masv hub package show 01M85VJ3Y0Q8ZK2T4W6X7B9CDE")]
    Show {
        /// Its id.
        package: String,
    },
    /// Change until when one is kept.
    #[command(
        after_help = "Examples:\n  masv hub package set 01M85VJ3Y0Q8ZK2T4W6X7B9CDE --expires 2027-01-31\n  masv hub package set 01M85VJ3Y0Q8ZK2T4W6X7B9CDE --expires never"
    )]
    Set {
        /// Its id.
        package: String,
        /// A day, a time (RFC 3339), or never.
        #[arg(long, value_name = "TIME|never")]
        expires: String,
    },
    /// Remove one with its files and links.
    #[command(after_help = "Example:\n  masv hub package rm 01M85VJ3Y0Q8ZK2T4W6X7B9CDE")]
    Rm {
        /// Its id.
        package: String,
    },
}

pub(super) async fn run(command: Command, hub: &HubClient, output: &Output) -> Result<ExitCode, CliError> {
    match command {
        Command::Ls { received, status, name, sender, sort, limit, page } => {
            let team = hub.team().await?;
            let mut query = vec![("limit", limit.to_string()), ("page", page.to_string())];
            if !status.is_empty() {
                query.push(("status", status.join(",")));
            }
            for (key, value) in [("name", name), ("sender", sender), ("sort", sort)] {
                query.extend(value.map(|value| (key, value)));
            }
            let which = if received { "inbox" } else { "packages" };
            let list = hub.call(Method::GET, &["v1.1", "teams", &team, which], &query, None).await?;
            output.json(&list);
            let rows: Vec<_> = list["records"].as_array().into_iter().flatten().map(row).collect();
            output.table(&["ID", "STATE", "SIZE", "FILES", "CREATED", "EXPIRES", "NAME"], &rows);
            let total = list["metadata"]["total"].as_u64().unwrap_or_default();
            if total > rows.len() as u64 && !output.is_json() {
                output.note(&format!("{} of {total}; --page shows the others", rows.len()));
            }
        }
        Command::Show { package } => {
            let team = hub.team().await?;
            let mut shown = hub.get(&["v1.1", "teams", &team, "packages", &package]).await?;
            // It would let anybody who reads this change the package.
            if let Some(fields) = shown.as_object_mut() {
                fields.remove("access_token");
            }
            shown["files"] = hub.get(&["v1", "packages", &package, "files"]).await?;
            shown["links"] = hub.get(&["v1", "packages", &package, "links"]).await?;
            output.json(&shown);
            show(&shown, output);
        }
        Command::Set { package, expires } => {
            let body = if expires == "never" {
                json!({ "unlimited_storage": true })
            } else {
                json!({ "unlimited_storage": false, "expiry": moment(&expires)? })
            };
            let shown = hub.put(&["v1", "packages", &package, "expiry"], &body).await?;
            output.json(&shown);
            let until = time(&shown, "expiry");
            let until = if until.is_empty() { "for ever".to_owned() } else { format!("until {until} UTC") };
            output.line(&format!("{} is kept {until}.", text(&shown, "name")));
        }
        Command::Rm { package } => {
            output.json(&hub.delete(&["v1", "packages", &package]).await?);
            output.line(&format!("Removed {package}."));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A time as the protocol writes it; a day alone is its first moment in UTC.
pub(super) fn moment(written: &str) -> Result<String, CliError> {
    let time = written.parse::<jiff::Timestamp>().or_else(|_| format!("{written}T00:00:00Z").parse());
    time.map(|time| format!("{time:.3}")).map_err(|_| {
        CliError::usage(format!("{written:?} is no time")).hint("such as 2027-01-31 or 2027-01-31T18:00:00Z")
    })
}

fn bytes(value: &Value, field: &str) -> String {
    size(value[field].as_u64().unwrap_or_default())
}

fn row(package: &Value) -> Vec<Cell> {
    vec![
        text(package, "id").into(),
        text(package, "state").into(),
        Cell::right(bytes(package, "size")),
        Cell::right(text(package, "total_files")),
        time(package, "created_at").into(),
        time(package, "expiry").into(),
        text(package, "name").into(),
    ]
}

fn show(package: &Value, output: &Output) {
    output.line(&format!("{} ({})", text(package, "name"), text(package, "id")));
    for (name, value) in [
        ("state", text(package, "state")),
        ("sender", text(package, "sender")),
        ("message", text(package, "description")),
        ("size", bytes(package, "size")),
        ("created", time(package, "created_at")),
        ("finalized", time(package, "finalized_at")),
        ("expires", time(package, "expiry")),
    ] {
        if !value.is_empty() {
            output.line(&format!("  {name:<10}{value}"));
        }
    }
    for link in package["links"].as_array().into_iter().flatten() {
        output.line(&format!("  {:<10}{}", "link", text(link, "url")));
    }
    let rows: Vec<_> = package["files"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|file| {
            let (folder, name) = (text(file, "path"), text(file, "name"));
            let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            vec![Cell::right(bytes(file, "size")), path.into()]
        })
        .collect();
    output.table(&["SIZE", "FILE"], &rows);
}
