//! `masv hub secret-key`: changing the secret key of a hub without ending what was made with the one before.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use masv_hub::SecretKeys;
use serde_json::json;

use super::local::told;
use super::reach::usual_data_dir;
use crate::cli::error::CliError;
use crate::cli::output::Output;

/// Which file has the keys.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct KeyFile {
    /// The key file of hubs on a shared database [default: secret.key in the data directory]
    #[arg(long, global = true, value_name = "FILE", env = "MASV_HUB_SECRET_KEY_FILE")]
    secret_key_file: Option<PathBuf>,
    /// The hub's data directory [default: that of `masv hub start`]
    #[arg(long, global = true, value_name = "DIR", env = "MASV_HUB_DATA_DIR")]
    data_dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Command {
    /// List the keys in the file by name. The first makes what is new; what the others made still holds.
    Ls,
    /// Add a new key, which makes nothing yet. What it will make holds at hubs that were started since.
    Add,
    /// Have a key make what is new, from the next start of the hub.
    Use {
        /// Its name, as `ls` shows it.
        name: String,
    },
    /// Remove a key: links, tokens and addresses that it made end with the next start of the hub.
    Rm {
        /// Its name, as `ls` shows it.
        name: String,
    },
}

pub(super) fn run(command: &Command, at: KeyFile, output: &Output) -> Result<ExitCode, CliError> {
    let file = at.secret_key_file.unwrap_or_else(|| at.data_dir.unwrap_or_else(usual_data_dir).join("secret.key"));
    let mut keys = SecretKeys::read(&file).map_err(told)?;
    let note = match command {
        Command::Ls => None,
        Command::Add => {
            let name = keys.add().map_err(told)?;
            Some(format!(
                "Added the key {name}. When all hubs have been restarted with this file: `masv hub secret-key use {name}`."
            ))
        }
        Command::Use { name } => {
            keys.use_first(name).map_err(told)?;
            Some(format!(
                "The key {name} makes what is new, from the next start of each hub. What the others made still holds."
            ))
        }
        Command::Rm { name } => {
            keys.remove(name).map_err(told)?;
            Some(format!("Removed the key {name}. What it made ends with the next start of each hub."))
        }
    };
    let names = keys.names();
    output.json(&json!({ "file": file, "keys": names }));
    for (place, name) in names.iter().enumerate() {
        output.line(&format!("{name}  {}", if place == 0 { "makes what is new" } else { "what it made holds" }));
    }
    if let Some(note) = note.filter(|_| !output.is_json()) {
        output.note(&note);
    }
    Ok(ExitCode::SUCCESS)
}
