//! `masv hub trash`.

use std::process::ExitCode;

use clap::Subcommand;
use jiff::Timestamp;
use masv_hub::{Hub, Trash, TrashedPackage, TrashedParts};
use serde_json::json;

use super::local::told;
use crate::cli::confirm::Sure;
use crate::cli::error::CliError;
use crate::cli::list::{Kind, ListOptions};
use crate::cli::output::{Cell, Output, count, size};
use crate::cli::short::Named;
use crate::cli::table::Column;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Command {
    /// List the packages in the trash, and its parts unknown to the database.
    #[command(after_help = "Example:\n  masv hub trash ls")]
    Ls(ListOptions),
    /// Restore packages, with their files and links. E-mails that had not been sent are not restored.
    #[command(after_help = "Example:\n  masv hub trash restore 01M85VJ3Y0Q8ZK2T4W6X7B9CDE")]
    Restore {
        /// Packages: their ids, the ends of their ids, or their names.
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
        Command::Ls(options) => show(hub.trash().await.map_err(told)?, &options, output)?,
        Command::Restore { packages } => {
            let mut restored = Vec::new();
            let trash = hub.trash().await.map_err(told)?;
            for typed in packages {
                let named = Named { kind: "package in the trash", list: "masv hub trash ls", by_beginning: false };
                let parts = |one: &TrashedPackage| (one.id.clone(), one.name.clone(), minute(one.since));
                let id = named.one(&typed, trash.packages.clone(), parts)?.id;
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
                let what = format!("ermanently remove {}", summary(&trash));
                if !sure.go_on(&format!("P{what}?"), &format!("p{what}"), output)? {
                    return Ok(ExitCode::SUCCESS);
                }
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

const COLUMNS: [Column; 8] = [
    Column::new("ID"),
    Column::new("STATE"),
    Column::new("SINCE").rank(3),
    Column::new("UNTIL"),
    Column::new("FILES").rank(2),
    Column::new("SIZE").named("bytes"),
    Column::new("TEAM").cut(8).rank(1),
    Column::new("NAME").cut(12),
];

fn show(mut trash: Trash, options: &ListOptions, output: &Output) -> Result<(), CliError> {
    let row = |package: &TrashedPackage| {
        vec![
            Cell::id(package.id.as_str()),
            if package.removed { "removed" } else { "expired" }.into(),
            minute(package.since).into(),
            minute(package.until).into(),
            Cell::number(package.files),
            Cell::size(package.bytes),
            package.team.as_str().into(),
            package.name.as_str().into(),
        ]
    };
    let unknown = unknown(&trash);
    let packages = std::mem::take(&mut trash.packages);
    output.list(options, &Kind::new(&COLUMNS, "No packages in the trash."), packages, row, |packages| {
        trash.packages = packages;
        trash
    })?;
    if !options.looks.quiet {
        unknown.iter().for_each(|line| output.line(line));
    }
    Ok(())
}

/// What the database does not know, in words.
fn unknown(trash: &Trash) -> Vec<String> {
    let of = |parts: &TrashedParts| {
        let of = format!("unknown, of {}, since {}", parts.package, parts.day);
        format!("{} ({}): {of}", count(parts.parts as u64, "part"), size(parts.bytes))
    };
    let in_bucket = (trash.in_bucket > 0)
        .then(|| format!("{} in the bucket unknown to the database", count(trash.in_bucket as u64, "file")));
    trash.parts.iter().map(of).chain(in_bucket).collect()
}
