//! `masv hub link`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::package::moment;
use super::reach::{HubClient, text, time};
use crate::cli::error::CliError;
use crate::cli::output::{Cell, Output};
use crate::cli::user::{secret, typed};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Command {
    /// Make another link to a package, and mail it where an address is given.
    #[command(
        after_help = "Example:\n  masv hub link add 01M85VJ3Y0Q8ZK2T4W6X7B9CDE --email client@example.com --limit 3"
    )]
    Add {
        /// The package's id.
        package: String,
        /// Who gets it by mail.
        #[arg(long)]
        email: Option<String>,
        #[command(flatten)]
        set: Settings,
    },
    /// List a package's links.
    #[command(after_help = "Example:\n  masv hub link ls 01M85VJ3Y0Q8ZK2T4W6X7B9CDE")]
    Ls {
        /// The package's id.
        package: String,
    },
    /// Show one.
    #[command(after_help = "Example:\n  masv hub link show 01M85VJ3Y0Q8ZK2T4W6X7B9CDE")]
    Show {
        /// The link's id.
        link: String,
    },
    /// Change one; what is not given stays as it is.
    #[command(
        after_help = "Examples:\n  masv hub link set 01M85VJ3Y0Q8ZK2T4W6X7B9CDE --active=false\n  masv hub link set 01M85VJ3Y0Q8ZK2T4W6X7B9CDE --expires never --limit 0"
    )]
    Set {
        /// The link's id.
        link: String,
        #[command(flatten)]
        set: Settings,
    },
    /// Remove one; it opens no more at once.
    #[command(after_help = "Example:\n  masv hub link rm 01M85VJ3Y0Q8ZK2T4W6X7B9CDE")]
    Rm {
        /// The link's id.
        link: String,
    },
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Settings {
    /// The password that it asks for; shows in process lists, rather use --password-file.
    #[arg(long)]
    password: Option<SecretString>,
    /// A file that holds the password; - is standard input, or a prompt.
    #[arg(long, value_name = "FILE", conflicts_with = "password")]
    password_file: Option<PathBuf>,
    /// Ask for no password of its own.
    #[arg(long, conflicts_with_all = ["password", "password_file"])]
    no_password: bool,
    /// How often it may be downloaded from; 0 is any number.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Until when it opens: a day, a time (RFC 3339), or never.
    #[arg(long, value_name = "TIME|never")]
    expires: Option<String>,
    /// Whether it opens.
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    active: Option<bool>,
}

impl Settings {
    async fn body(self, output: &Output) -> Result<Value, CliError> {
        let mut body = json!({});
        let typed_in = self.password_file.as_deref().is_some_and(|path| path.as_os_str() == "-");
        let password =
            if typed_in { Some(typed().await?) } else { secret(self.password, self.password_file.as_deref(), output)? };
        if let Some(password) = password {
            body["password"] = password.expose_secret().into();
        } else if self.no_password {
            body["password"] = "".into();
        }
        if let Some(limit) = self.limit {
            body["access_limit"] = limit.into();
        }
        if let Some(expires) = self.expires {
            body["expiry"] =
                if expires == "never" { "0001-01-01T00:00:00.000Z".into() } else { moment(&expires)?.into() };
        }
        if let Some(active) = self.active {
            body["active"] = active.into();
        }
        Ok(body)
    }
}

pub(super) async fn run(command: Command, hub: &HubClient, output: &Output) -> Result<ExitCode, CliError> {
    match command {
        Command::Add { package, email, set } => {
            let mut body = set.body(output).await?;
            if let Some(email) = email {
                body["email"] = email.into();
            }
            let link = hub.post(&["v1", "packages", &package, "links"], &body).await?;
            output.json(&link);
            output.line(&text(&link, "url"));
        }
        Command::Ls { package } => {
            let links = hub.get(&["v1", "packages", &package, "links"]).await?;
            output.json(&links);
            let rows: Vec<_> = links.as_array().into_iter().flatten().map(row).collect();
            output.table(&HEADER, &rows);
        }
        Command::Show { link } => {
            let link = hub.get(&["v1.1", "links", &link]).await?;
            output.json(&link);
            output.table(&HEADER, &[row(&link)]);
            output.line(&text(&link, "url"));
        }
        Command::Set { link, set } => {
            let body = set.body(output).await?;
            if body.as_object().is_some_and(serde_json::Map::is_empty) {
                return Err(CliError::usage("nothing to change").hint("see masv hub link set --help"));
            }
            let link = hub.put(&["v1", "links", &link], &body).await?;
            output.json(&link);
            output.table(&HEADER, &[row(&link)]);
        }
        Command::Rm { link } => {
            output.json(&hub.delete(&["v1", "links", &link]).await?);
            output.line(&format!("The link {link} opens no more."));
        }
    }
    Ok(ExitCode::SUCCESS)
}

const HEADER: [&str; 6] = ["ID", "STATE", "DOWNLOADS", "PASSWORD", "EXPIRES", "FOR"];

fn row(link: &Value) -> Vec<Cell> {
    let limit = link["access_limit"].as_u64().filter(|limit| *limit > 0);
    let count = text(link, "access_count");
    vec![
        text(link, "id").into(),
        if link["active"] == true { "active" } else { "off" }.into(),
        Cell::right(limit.map_or_else(|| count.clone(), |limit| format!("{count}/{limit}"))),
        if link["has_password"] == true { "yes" } else { "no" }.into(),
        time(link, "expiry").into(),
        text(link, "email").into(),
    ]
}
