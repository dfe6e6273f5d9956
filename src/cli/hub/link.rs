//! `masv hub link`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use masv_client::link_address;
use masv_protocol::{EmailAddress, Link, LinkSettings, Secret, Time};
use secrecy::SecretString;
use serde_json::json;

use super::reach::{HubClient, REMOVED, time, typed_time};
use crate::cli::error::CliError;
use crate::cli::list::{Kind, ListOptions};
use crate::cli::output::{Cell, Output};
use crate::cli::table::Column;
use crate::cli::user::{secret, typed};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Command {
    /// Create another link to a package; it is e-mailed if an address is given.
    #[command(
        after_help = "Example:\n  masv hub link add 01M85VJ3Y0Q8ZK2T4W6X7B9CDE --email client@example.com --limit 3"
    )]
    Add {
        /// The package: its id, the end of its id, or its name.
        package: String,
        /// E-mail the link to this address.
        #[arg(long)]
        email: Option<EmailAddress>,
        #[command(flatten)]
        set: Settings,
    },
    /// List a package's links.
    #[command(after_help = "Example:\n  masv hub link ls 01M85VJ3Y0Q8ZK2T4W6X7B9CDE")]
    Ls {
        /// The package: its id, the end of its id, or its name.
        package: String,
        #[command(flatten)]
        list: ListOptions,
    },
    /// Show one.
    #[command(after_help = "Example:\n  masv hub link show 01M85VJ3Y0Q8ZK2T4W6X7B9CDE")]
    Show {
        /// The link's id, or the end of it.
        link: String,
    },
    /// Change one; anything not given stays as it is.
    #[command(
        after_help = "Examples:\n  masv hub link set 01M85VJ3Y0Q8ZK2T4W6X7B9CDE --active=false\n  masv hub link set 01M85VJ3Y0Q8ZK2T4W6X7B9CDE --expires never --limit 0"
    )]
    Set {
        /// The link's id, or the end of it.
        link: String,
        #[command(flatten)]
        set: Settings,
    },
    /// Remove a link; it stops working at once.
    #[command(after_help = "Example:\n  masv hub link rm 01M85VJ3Y0Q8ZK2T4W6X7B9CDE")]
    Rm {
        /// The link's id, or the end of it.
        link: String,
        /// Only show which link would be removed.
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Settings {
    /// The link's password; visible in process lists, prefer --password-file.
    #[arg(long)]
    password: Option<SecretString>,
    /// File with the password; - reads standard input, or prompts.
    #[arg(long, value_name = "FILE", conflicts_with = "password")]
    password_file: Option<PathBuf>,
    /// Remove the link's own password.
    #[arg(long, conflicts_with_all = ["password", "password_file"])]
    no_password: bool,
    /// How many downloads the link allows; 0 is unlimited.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// When the link expires: a date, a time (RFC 3339), or never.
    #[arg(long, value_name = "TIME|never")]
    expires: Option<String>,
    /// Whether the link works.
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    active: Option<bool>,
}

impl Settings {
    async fn read(self, output: &Output) -> Result<LinkSettings, CliError> {
        let typed_in = self.password_file.as_deref().is_some_and(|path| path.as_os_str() == "-");
        let password =
            if typed_in { Some(typed().await?) } else { secret(self.password, self.password_file.as_deref(), output)? };
        let password = password.map(Secret::from).or_else(|| self.no_password.then(|| Secret::new("")));
        let expiry = match self.expires.as_deref() {
            Some("never") => Some(Time::UNSET),
            typed => typed.map(to_come).transpose()?,
        };
        Ok(LinkSettings { password, access_limit: self.limit, expiry, active: self.active, ..LinkSettings::default() })
    }
}

/// An expiry that is not in the past.
fn to_come(typed: &str) -> Result<Time, CliError> {
    let time = typed_time(typed)?;
    if time.timestamp().is_some_and(|time| time <= Timestamp::now()) {
        return Err(CliError::usage(format!("--expires: {typed} is in the past"))
            .hint("to close a link now, run `masv hub link set LINK --active=false`"));
    }
    Ok(time)
}

pub(super) async fn run(command: Command, hub: &HubClient, output: &Output) -> Result<ExitCode, CliError> {
    match command {
        Command::Add { package, email, set } => {
            let settings = LinkSettings { email, ..set.read(output).await? };
            let link = hub.ask(hub.admin.create_link(&hub.package(&package).await?, &settings)).await?;
            output.json(&link);
            output.line(link_address(&link).expose());
        }
        Command::Ls { package, list } => {
            let links = hub.ask(hub.admin.links(&hub.package(&package).await?)).await?;
            output.list(&list, &Kind::new(&HEADER.map(Column::new), "No links."), links, row, |links| links)?;
        }
        Command::Show { link } => {
            let link = hub.ask(hub.admin.link(&hub.link(&link).await?)).await?;
            output.json(&link);
            output.table(&HEADER, &[row(&link)]);
            output.line(link_address(&link).expose());
        }
        Command::Set { link, set } => {
            let settings = set.read(output).await?;
            if settings.is_empty() {
                return Err(CliError::usage("nothing to change").hint("see `masv hub link set --help`"));
            }
            let link = hub.ask(hub.admin.change_link(&hub.link(&link).await?, &settings)).await?;
            output.json(&link);
            output.table(&HEADER, &[row(&link)]);
        }
        Command::Rm { link, dry_run } => {
            let link = hub.link(&link).await?;
            if dry_run {
                output.json(&json!({ "would": "remove", "link": link }));
                output.line(&format!("Would remove the link {link}. Nothing was changed."));
                return Ok(ExitCode::SUCCESS);
            }
            hub.ask(hub.admin.remove_link(&link)).await?;
            output.json(&REMOVED);
            output.line(&format!("Removed the link {link}."));
        }
    }
    Ok(ExitCode::SUCCESS)
}

const HEADER: [&str; 8] = ["ID", "STATE", "VISITS", "DOWNLOADS", "OPENED", "PASSWORD", "EXPIRES", "FOR"];

/// Whether it opens: one whose time is over does not, whatever else is set.
fn state(link: &Link) -> &'static str {
    let is_over = link.expiry.plausible().is_some_and(|expiry| expiry <= Timestamp::now());
    match link.active {
        false => "off",
        true if is_over => "expired",
        true => "active",
    }
}

fn row(link: &Link) -> Vec<Cell> {
    let Link { access_limit: limit, access_count: count, .. } = link;
    vec![
        Cell::id(link.id.as_str()),
        state(link).into(),
        Cell::right(if *limit > 0 { format!("{count}/{limit}") } else { count.to_string() }),
        Cell::right(link.downloads.to_string()),
        time(link.opened_at).into(),
        if link.has_password { "yes" } else { "no" }.into(),
        time(link.expiry).into(),
        link.email.as_str().into(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A link whose time was over was listed as active.
    #[test]
    fn a_link_whose_time_is_over_is_listed_as_expired() {
        for (expiry, active, expected) in [
            ("2020-01-02T00:00:00.000Z", true, "expired"),
            ("2020-01-02T00:00:00.000Z", false, "off"),
            ("2999-01-02T00:00:00.000Z", true, "active"),
            ("0001-01-01T00:00:00.000Z", true, "active"),
        ] {
            let link = json!({ "id": "L", "download_secret": "s", "expiry": expiry, "active": active });
            assert_eq!(state(&serde_json::from_value(link).unwrap()), expected, "{expiry} {active}");
        }
    }
}
