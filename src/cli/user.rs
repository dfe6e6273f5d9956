//! `masv user`: the session with the cloud.

use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::client::Client;
use super::error::CliError;
use super::list::{Kind, ListOptions};
use super::output::Output;
use super::password;
use super::table::Column;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Sign in; the session survives restarts of the agent.
    #[command(after_help = "Example:\n  masv user login --email me@example.com --password-file ~/.masv-password")]
    Login {
        /// Your e-mail address.
        #[arg(long)]
        email: String,
        /// Your password; visible in process lists, prefer --password-file or standard input.
        #[arg(long)]
        password: Option<SecretString>,
        /// File with the password.
        #[arg(long, value_name = "FILE", conflicts_with = "password")]
        password_file: Option<PathBuf>,
    },
    /// Show who is signed in.
    #[command(after_help = "Example:\n  masv user status")]
    Status,
    /// List the teams you can send as.
    #[command(after_help = "Example:\n  masv user teams")]
    Teams(ListOptions),
    /// Sign out.
    #[command(after_help = "Example:\n  masv user logout")]
    Logout,
}

/// A secret from the flag or file that gives it; warns that a command line is visible to all users.
pub(super) fn secret(
    given: Option<SecretString>,
    file: Option<&Path>,
    output: &Output,
) -> Result<Option<SecretString>, CliError> {
    if let Some(secret) = given {
        output.note("note: a password on the command line is visible in process lists; use --password-file instead");
        return Ok(Some(secret));
    }
    let Some(path) = file else { return Ok(None) };
    let text = std::fs::read_to_string(path)
        .map_err(|error| CliError::usage(format!("--password-file {}: {error}", path.display())))?;
    Ok(Some(text.trim_end_matches(['\r', '\n']).into()))
}

/// A secret typed in without echo, or read from standard input.
pub(super) async fn typed() -> Result<SecretString, CliError> {
    let failed = |error: std::io::Error| CliError::failed(format!("cannot read the password: {error}"));
    if std::io::stdin().is_terminal() {
        return password::ask("Password").await;
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).map_err(failed)?;
    Ok(text.trim_end_matches(['\r', '\n']).into())
}

pub(super) async fn run(command: Command, client: &Client, output: &Output) -> Result<ExitCode, CliError> {
    match command {
        Command::Login { email, password, password_file } => {
            let password = match secret(password, password_file.as_deref(), output)? {
                Some(password) => password,
                None => typed().await?,
            };
            let body = json!({ "email": email, "password": password.expose_secret() });
            let answer: Value = client.post("/login", &body).await?;
            output.json(&answer);
            output.line(&format!("Signed in as {}.", answer["user"]["email"].as_str().unwrap_or(&email)));
        }
        Command::Status => {
            let answer: Value = client.get("/login").await?;
            output.json(&answer);
            let teams: Vec<&str> =
                answer["teams"].as_array().into_iter().flatten().filter_map(|team| team["name"].as_str()).collect();
            output.line(&match answer["user"]["email"].as_str() {
                Some(email) => format!("Signed in as {email}."),
                None => format!("Authorised by an API key ({}).", teams.join(", ")),
            });
        }
        Command::Teams(options) => {
            let mut answer: Value = client.get("/teams").await?;
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let teams = answer["teams"].as_array().cloned().unwrap_or_default();
            let row = |team: &Value| vec![text(&team["id"]).into(), text(&team["name"]).into()];
            let columns = [Column::new("ID"), Column::new("NAME")];
            output.list(&options, &Kind::new(&columns, "No teams."), teams, row, |teams| {
                answer["teams"] = teams.into();
                answer
            })?;
        }
        Command::Logout => {
            client.delete("/login").await?;
            output.json(&json!({ "signed_in": false }));
            output.line("Signed out.");
        }
    }
    Ok(ExitCode::SUCCESS)
}
