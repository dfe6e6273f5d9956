//! `masv hub trash`.

use std::process::ExitCode;

use clap::Subcommand;
use jiff::Timestamp;
use masv_hub::{Hub, Trash};
use serde_json::json;

use super::local::told;
use crate::cli::confirm::Sure;
use crate::cli::error::CliError;
use crate::cli::output::{Cell, Output, count, size};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Command {
    /// List the packages in the trash, and its parts unknown to the database.
    #[command(after_help = "Example:\n  masv hub trash ls")]
    Ls,
    /// Restore packages, with their files and links. E-mails that had not been sent are not restored.
    #[command(after_help = "Example:\n  masv hub trash restore 01M85VJ3Y0Q8ZK2T4W6X7B9CDE")]
    Restore {
        /// Package ids.
        #[arg(required = true)]
        packages: Vec<String>,
    },
    /// Permanently remove everything in the trash. This cannot be undone.
    #[command(after_help = "Example:\n  masv hub trash empty --yes")]
    Empty {
        #[command(flatten)]
        sure: Sure,
    },
}

pub(super) async fn run(command: Command, hub: &Hub, output: &Output) -> Result<ExitCode, CliError> {
    match command {
        Command::Ls => {
            let trash = hub.trash().await.map_err(told)?;
            output.json(&trash);
            show(&trash, output);
        }
        Command::Restore { packages } => {
            let mut restored = Vec::new();
            for id in packages {
                let (name, until) = hub.restore_package(&id).await.map_err(told)?;
                let kept = until.map_or_else(|| "forever".to_owned(), |until| format!("until {} UTC", minute(until)));
                output.line(&format!("Restored {name} ({id}). It is kept {kept}."));
                restored.push(json!({ "id": id, "name": name, "expiry": until }));
            }
            output.json(&restored);
        }
        Command::Empty { sure } => {
            let trash = hub.trash().await.map_err(told)?;
            if !trash.is_empty() {
                sure.confirm(&format!("Permanently remove {}?", summary(&trash)))?;
                hub.empty_trash().await.map_err(told)?;
            }
            output.json(&json!({ "packages": trash.packages.len(), "bytes": trash.bytes() }));
            output.line(&if trash.is_empty() {
                "The trash is empty.".to_owned()
            } else {
                format!("Removed {}. Files in a bucket are removed by the hub that uses it.", summary(&trash))
            });
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn summary(trash: &Trash) -> String {
    let parts = trash.parts.iter().map(|parts| parts.parts as u64).sum::<u64>() + trash.in_bucket as u64;
    format!(
        "{} and {} ({})",
        count(trash.packages.len() as u64, "package"),
        count(parts, "unknown part"),
        size(trash.bytes())
    )
}

fn minute(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M").to_string()
}

fn show(trash: &Trash, output: &Output) {
    let rows: Vec<Vec<Cell>> = trash
        .packages
        .iter()
        .map(|package| {
            vec![
                package.id.as_str().into(),
                if package.removed { "removed" } else { "expired" }.into(),
                minute(package.since).into(),
                minute(package.until).into(),
                Cell::right(package.files.to_string()),
                Cell::right(size(package.bytes)),
                package.team.as_str().into(),
                package.name.as_str().into(),
            ]
        })
        .collect();
    output.table(&["ID", "STATE", "SINCE", "UNTIL", "FILES", "SIZE", "TEAM", "NAME"], &rows);
    for parts in &trash.parts {
        let of = format!("unknown, of {}, since {}", parts.package, parts.day);
        output.line(&format!("{} ({}): {of}", count(parts.parts as u64, "part"), size(parts.bytes)));
    }
    if trash.in_bucket > 0 {
        output.line(&format!("{} in the bucket unknown to the database", count(trash.in_bucket as u64, "file")));
    }
}
