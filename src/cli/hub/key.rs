//! `masv hub key`.

use std::process::ExitCode;

use clap::{Subcommand, ValueEnum};
use masv_protocol::{Key, KeyId, KeyRole, NewKey};

use super::reach::{HubClient, REMOVED, time};
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

impl From<Role> for KeyRole {
    fn from(role: Role) -> Self {
        match role {
            Role::Sender => Self::Sender,
            Role::Admin => Self::Admin,
        }
    }
}

pub(super) async fn run(command: Command, hub: &HubClient, output: &Output) -> Result<ExitCode, CliError> {
    let team = hub.team().await?;
    match command {
        Command::Add { name, role } => {
            let role = KeyRole::from(role);
            let output = output.usually_text();
            let new = NewKey { name: Some(name.clone()), role: Some(role) };
            let made = hub.ask(hub.admin.create_key(&team, &new)).await?;
            output.json(&made);
            // The key alone goes to standard output: it can be sent into a file.
            output.line(made.key.expose());
            if !output.is_json() {
                output.note(&format!("A key for {name} ({role}). It is shown this once."));
            }
        }
        Command::Ls => {
            let keys = hub.ask(hub.admin.keys(&team)).await?;
            output.json(&keys);
            let row = |key: &Key| {
                vec![
                    key.id.as_str().into(),
                    key.role.to_string().into(),
                    time(key.created_at).into(),
                    key.name.as_str().into(),
                ]
            };
            output.table(&["ID", "ROLE", "SINCE", "NAME"], &keys.iter().map(row).collect::<Vec<_>>());
        }
        Command::Rm { key } => {
            let keys = hub.ask(hub.admin.keys(&team)).await?;
            hub.ask(hub.admin.remove_key(&team, find(&keys, &key)?)).await?;
            output.json(&REMOVED);
            output.line(&format!("The key {key} holds no more."));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn find<'a>(keys: &'a [Key], wanted: &str) -> Result<&'a KeyId, CliError> {
    if let Some(key) = keys.iter().find(|key| key.id == *wanted) {
        return Ok(&key.id);
    }
    let named: Vec<_> = keys.iter().filter(|key| key.name == wanted).collect();
    match named.as_slice() {
        [key] => Ok(&key.id),
        [] => Err(CliError::new(Exit::NotFound, format!("there is no key {wanted}"))),
        _ => Err(CliError::usage(format!("several keys are called {wanted}")).hint("give the id: masv hub key ls")),
    }
}
