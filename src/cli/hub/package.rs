//! `masv hub package`.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Subcommand;
use masv_client::link_address;
use masv_protocol::{
    Download, File, Link, Package, PackageExpiry, PackageQuery, PackageState, PackageWithToken, Page, TeamId,
};
use serde::Serialize;
use serde_json::Value;

use super::reach::{HubClient, REMOVED, time, typed_time};
use crate::cli::confirm::Sure;
use crate::cli::error::CliError;
use crate::cli::list::{Kind, Looks};
use crate::cli::output::{Cell, Output, count, size};
use crate::cli::table::Column;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Command {
    /// List packages sent by the team, newest first, and say how many were received.
    #[command(
        after_help = "Examples:\n  masv hub package ls --status finalized --name dailies\n  masv hub package ls --received"
    )]
    Ls {
        /// List packages received through portals instead of packages sent by the team.
        #[arg(long)]
        received: bool,
        /// Only those in these states: new, finalized, expired.
        #[arg(long, value_delimiter = ',')]
        status: Vec<PackageState>,
        /// Only packages whose name contains this.
        #[arg(long, value_name = "TEXT")]
        name: Option<String>,
        /// Only packages whose sender contains this.
        #[arg(long, value_name = "TEXT")]
        sender: Option<String>,
        /// Sort by name, created_at, size, expiry, sender or status; prefix with - to reverse.
        #[arg(long, value_name = "FIELD", allow_hyphen_values = true)]
        sort: Option<String>,
        /// How many, up to 100.
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: u64,
        /// Which page.
        #[arg(long, value_name = "N", default_value_t = 1)]
        page: u64,
        #[command(flatten)]
        looks: Looks,
    },
    /// Show a package with its files, its links and who downloaded it.
    #[command(after_help = "Example:\n  masv hub package show 01M85VJ3Y0Q8ZK2T4W6X7B9CDE")]
    Show {
        /// Its id, the end of its id, or its name.
        package: String,
    },
    /// Change when a package expires.
    #[command(
        after_help = "Examples:\n  masv hub package set 01M85VJ3Y0Q8ZK2T4W6X7B9CDE --expires 2027-01-31\n  masv hub package set 01M85VJ3Y0Q8ZK2T4W6X7B9CDE --expires never"
    )]
    Set {
        /// Its id, the end of its id, or its name.
        package: String,
        /// A date, a time (RFC 3339), or never.
        #[arg(long, value_name = "TIME|never")]
        expires: String,
    },
    /// Revoke all tokens that were issued for a package: whoever holds one can no longer read or change it. Its links stay.
    #[command(after_help = "Example:\n  masv hub package revoke 01M85VJ3Y0Q8ZK2T4W6X7B9CDE")]
    Revoke {
        /// Its id, the end of its id, or its name.
        package: String,
        #[command(flatten)]
        sure: Sure,
    },
    /// Remove a package with its files and links.
    #[command(after_help = "Example:\n  masv hub package rm 01M85VJ3Y0Q8ZK2T4W6X7B9CDE")]
    Rm {
        /// Its id, the end of its id, or its name.
        package: String,
        #[command(flatten)]
        sure: Sure,
    },
}

/// A package with everything that belongs to it, except the token, which would let any reader change it.
#[derive(Debug, Serialize)]
struct Whole {
    #[serde(flatten)]
    package: Package,
    files: Vec<File>,
    links: Vec<Link>,
    downloads: Vec<Download>,
}

pub(super) async fn run(command: Command, hub: &HubClient, output: &Output) -> Result<ExitCode, CliError> {
    match command {
        Command::Ls { received, status, name, sender, sort, limit, page, looks } => {
            let team = hub.team().await?;
            let (page, limit) = (Some(page), Some(limit));
            let query = PackageQuery { page, limit, sort, status, name, sender, ..PackageQuery::default() };
            let list = match received {
                true => hub.ask(hub.admin.received_packages(&team, &query)).await?,
                false => hub.ask(hub.admin.sent_packages(&team, &query)).await?,
            };
            let Page { metadata, records } = list;
            let (total, shown, quiet) = (metadata.total.unwrap_or_default(), records.len() as u64, looks.quiet);
            let kind = Kind::new(&COLUMNS, "No packages.");
            output.list(&looks.into(), &kind, records, row, |records| Page { metadata, records })?;
            if !output.is_json() && !output.is_csv() && !quiet {
                if total > shown {
                    output.note(&format!("{shown} of {total}; use --page to see the others"));
                }
                if let Some(note) = others(hub, &team, received, &query).await {
                    output.note(&note);
                }
            }
        }
        Command::Show { package } => {
            let (team, id) = (hub.team().await?, hub.package(&package).await?);
            let PackageWithToken { package, .. } = hub.ask(hub.admin.package(&team, &id)).await?;
            let files = hub.ask(hub.admin.files(&id)).await?;
            let links = hub.ask(hub.admin.links(&id)).await?;
            let downloads = hub.ask(hub.admin.downloads(&id)).await?;
            let labels = labels(hub, &package).await;
            let whole = Whole { package, files, links, downloads };
            output.json(&whole);
            show(&whole, &labels, output);
        }
        Command::Set { package, expires } => {
            let until = if expires == "never" {
                PackageExpiry { unlimited_storage: Some(true), expiry: None }
            } else {
                PackageExpiry { unlimited_storage: Some(false), expiry: Some(typed_time(&expires)?) }
            };
            let package = hub.ask(hub.admin.set_package_expiry(&hub.package(&package).await?, &until)).await?;
            output.json(&package);
            let until = time(package.expiry);
            let until = if until.is_empty() { "forever".to_owned() } else { format!("until {until} UTC") };
            output.line(&format!("{} is kept {until}.", package.name));
        }
        Command::Revoke { package, sure } => {
            let package = hub.package(&package).await?;
            let what = format!("evoke all tokens of the package {package}");
            if !sure.go_on(&format!("R{what}? An upload that is under way ends."), &format!("r{what}"), output)? {
                return Ok(ExitCode::SUCCESS);
            }
            hub.ask(hub.admin.end_package_tokens(&package)).await?;
            output.json(&serde_json::json!({ "revoked": true }));
            output.line(&format!("Revoked all tokens of {package}."));
        }
        Command::Rm { package, sure } => {
            let package = hub.package(&package).await?;
            let what = format!("emove the package {package} with its files and links");
            if !sure.go_on(&format!("R{what}?"), &format!("r{what}"), output)? {
                return Ok(ExitCode::SUCCESS);
            }
            hub.ask(hub.admin.remove_package(&package)).await?;
            output.json(&REMOVED);
            output.line(&format!("Removed {package}."));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What the list leaves out: packages that were received, or the team's own.
async fn others(hub: &HubClient, team: &TeamId, received: bool, query: &PackageQuery) -> Option<String> {
    let query = PackageQuery { page: Some(1), limit: Some(1), sort: None, ..query.clone() };
    // It is an addition: the list stands without it.
    let found = match received {
        true => hub.admin.sent_packages(team, &query).await.ok()?,
        false => hub.admin.received_packages(team, &query).await.ok()?,
    };
    let total = found.metadata.total.filter(|total| *total > 0)?;
    let packages = count(total, "package");
    Some(match received {
        true => format!("{packages} sent by the team: masv hub package ls"),
        false => format!("{packages} received through portals: masv hub package ls --received"),
    })
}

fn state(package: &Package) -> String {
    package.state().map(ToString::to_string).unwrap_or_default()
}

const COLUMNS: [Column; 8] = [
    Column::new("ID"),
    Column::new("STATE"),
    Column::new("SIZE").named("bytes"),
    Column::new("FILES").rank(2),
    Column::new("DOWNLOADS").rank(1),
    Column::new("CREATED").rank(1),
    Column::new("EXPIRES").rank(3),
    Column::new("NAME").cut(12),
];

fn row(package: &Package) -> Vec<Cell> {
    vec![
        Cell::id(package.id.as_str()),
        state(package).into(),
        Cell::size(package.size),
        Cell::number(package.total_files),
        Cell::number(package.downloads.unwrap_or_default()),
        time(package.created_at).into(),
        time(package.expiry).into(),
        package.name.as_str().into(),
    ]
}

fn downloaded(download: &Download) -> Vec<Cell> {
    vec![
        time(download.started_at).into(),
        time(download.finished_at).into(),
        Cell::right(format!("{}/{}", download.files, download.total_files)),
        Cell::right(size(download.bytes)),
        download.address.as_str().into(),
        download.actor.as_str().into(),
    ]
}

/// The labels of a portal's fields, by their names; none if the portal is gone.
async fn labels(hub: &HubClient, package: &Package) -> BTreeMap<String, String> {
    let Some(portal) = &package.portal_id else { return BTreeMap::new() };
    // The names of the fields say enough where the portal cannot be read.
    let fields = hub.admin.portal(portal).await.map(|portal| portal.public.metadata_fields).unwrap_or_default();
    fields.iter().map(|field| (field.name.clone(), field.label().to_owned())).collect()
}

/// What its sender filled in, as text.
fn answers(package: &Package, labels: &BTreeMap<String, String>) -> Vec<String> {
    let given = package.custom_metadata.as_object().into_iter().flatten();
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    given.map(|(name, value)| format!("{}: {}", labels.get(name).unwrap_or(name), text(value))).collect()
}

fn show(whole: &Whole, labels: &BTreeMap<String, String>, output: &Output) {
    let Whole { package, files, links, downloads } = whole;
    output.line(&format!("{} ({})", package.name, package.id));
    for (name, value) in [
        ("state", state(package)),
        ("portal", package.portal_name.clone().unwrap_or_default()),
        ("sender", package.sender.clone()),
        ("message", package.description.clone()),
        ("size", size(package.size)),
        ("created", time(package.created_at)),
        ("finalized", time(package.finalized_at)),
        ("expires", time(package.expiry)),
    ] {
        if !value.is_empty() {
            output.line(&format!("  {name:<10}{value}"));
        }
    }
    for answer in answers(package, labels) {
        output.line(&format!("  {:<10}{answer}", "form"));
    }
    for link in links {
        output.line(&format!("  {:<10}{}", "link", link_address(link).expose()));
        let told = [
            ("for", link.email.clone()),
            ("opened", time(link.opened_at)),
            (
                "downloaded",
                if link.downloads > 0 {
                    format!("{}, {} times", time(link.downloaded_at), link.downloads)
                } else {
                    String::new()
                },
            ),
        ];
        for (name, value) in told.iter().filter(|(_, value)| !value.is_empty()) {
            output.line(&format!("  {:<10}{name} {value}", ""));
        }
    }
    let header = ["STARTED", "FINISHED", "FILES", "SIZE", "FROM", "BY"];
    if !downloads.is_empty() {
        output.table(&header, &downloads.iter().map(downloaded).collect::<Vec<_>>());
        output.line("");
    }
    let row = |file: &File| {
        let path = if file.path.is_empty() { file.name.clone() } else { format!("{}/{}", file.path, file.name) };
        vec![Cell::right(size(file.size)), path.into()]
    };
    output.table(&["SIZE", "FILE"], &files.iter().map(row).collect::<Vec<_>>());
}
