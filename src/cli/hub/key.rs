//! `masv hub key`.

use std::process::ExitCode;

use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::reach::{HubClient, text, time};
use crate::cli::error::{CliError, Exit};
use crate::cli::output::Output;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Command {
    /// Make a key. It is shown this once, alone, also into a file; the hub keeps only its hash.
    #[command(after_help = "Example:\n  (umask 077; masv hub key add 'DIT cart 2' > dit-cart-2.key)")]
    Add {
        /// What it is for.
        name: String,
        /// What it may do: send, or also administer.
        #[arg(long, value_enum, default_value = "sender")]
        role: Role,
    },
    /// List the team's keys, without what they are made of.
    #[command(after_help = "Example:\n  masv hub key ls")]
    Ls,
    /// Take a key back; it holds no more at once.
    #[command(after_help = "Example:\n  masv hub key rm 01M85VJ3Y0Q8ZK2T4W6X7B9CDE")]
    Rm {
        /// Its id, or its name where no other key has it.
        key: String,
    },
}

/// What a key may do.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(in crate::cli) enum Role {
    /// Send, see and remove packages.
    Sender,
    /// Also people, keys, portals and webhooks.
    Admin,
}

pub(super) async fn run(command: Command, hub: &HubClient, output: &Output) -> Result<ExitCode, CliError> {
    let team = hub.team().await?;
    let keys = ["v1", "teams", &team, "api_keys"];
    match command {
        Command::Add { name, role } => {
            let role = if matches!(role, Role::Admin) { "admin" } else { "sender" };
            let output = output.usually_text();
            let key = hub.post(&keys, &json!({ "name": name, "role": role })).await?;
            output.json(&key);
            // The key alone goes to standard output: it can be sent into a file.
            output.line(&text(&key, "key"));
            if !output.is_json() {
                output.note(&format!("A key for {name} ({role}). It is shown this once."));
            }
        }
        Command::Ls => {
            let all = hub.get(&keys).await?;
            output.json(&all);
            let rows: Vec<_> = all
                .as_array()
                .into_iter()
                .flatten()
                .map(|key| {
                    vec![
                        text(key, "id").into(),
                        text(key, "role").into(),
                        time(key, "created_at").into(),
                        text(key, "name").into(),
                    ]
                })
                .collect();
            output.table(&["ID", "ROLE", "SINCE", "NAME"], &rows);
        }
        Command::Rm { key } => {
            let all = hub.get(&keys).await?;
            let id = find(&all, &key)?;
            output.json(&hub.delete(&["v1", "teams", &team, "api_keys", &id]).await?);
            output.line(&format!("The key {key} holds no more."));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn find(all: &Value, wanted: &str) -> Result<String, CliError> {
    let keys = || all.as_array().into_iter().flatten();
    if keys().any(|key| key["id"] == wanted) {
        return Ok(wanted.to_owned());
    }
    let named: Vec<_> = keys().filter(|key| key["name"] == wanted).collect();
    match named.as_slice() {
        [key] => Ok(text(key, "id")),
        [] => Err(CliError::new(Exit::NotFound, format!("there is no key {wanted}"))),
        _ => Err(CliError::usage(format!("several keys are called {wanted}")).hint("give the id: masv hub key ls")),
    }
}
