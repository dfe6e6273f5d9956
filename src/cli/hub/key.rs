//! `masv hub key`.

use std::process::ExitCode;

use clap::{Subcommand, ValueEnum};
use jiff::Timestamp;
use masv_protocol::{ChangeKey, Key, KeyId, KeyRole, KeyState, NewKey, Time};
use serde_json::json;

use super::reach::{HubClient, REMOVED, time, typed_time};
use crate::cli::error::CliError;
use crate::cli::list::{Kind, ListOptions};
use crate::cli::output::{Cell, Output};
use crate::cli::short::Named;
use crate::cli::table::Column;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Command {
    /// Create a key. It is printed once, on its own line, so that it can be redirected to a file; the hub stores only its hash.
    #[command(after_help = "Example:\n  (umask 077; masv hub key add 'DIT cart 2' > dit-cart-2.key)")]
    Add {
        /// What the key is for.
        name: String,
        /// What the key may do: send, or also administer.
        #[arg(long, value_enum, default_value = "sender")]
        role: Role,
        /// When the key expires: a date, a time (RFC 3339), or never.
        #[arg(long, value_name = "TIME|never", default_value = "never")]
        expires: String,
    },
    /// List the team's keys with their state, expiry and last use, without the secrets.
    #[command(after_help = "Example:\n  masv hub key ls")]
    Ls(ListOptions),
    /// Change a key: its name, role, expiry, or whether it is active.
    #[command(
        after_help = "Examples:\n  masv hub key set 'DIT cart 2' --active=false\n  masv hub key set 'DIT cart 2' --active --expires 2027-01-31"
    )]
    Set {
        /// The key's id, the end of its id, or its name.
        key: String,
        /// New name.
        #[arg(long)]
        name: Option<String>,
        /// What the key may do: send, or also administer.
        #[arg(long, value_enum)]
        role: Option<Role>,
        /// When the key expires: a date, a time (RFC 3339), or never.
        #[arg(long, value_name = "TIME|never")]
        expires: Option<String>,
        /// Whether the key is active.
        #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
        active: Option<bool>,
    },
    /// Revoke a key, effective at once.
    #[command(after_help = "Example:\n  masv hub key rm 01M85VJ3Y0Q8ZK2T4W6X7B9CDE")]
    Rm {
        /// The key's id, the end of its id, or its name.
        key: String,
        /// Only show which key would be revoked.
        #[arg(long)]
        dry_run: bool,
    },
}

/// What a key may do.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(in crate::cli) enum Role {
    /// Send, see and remove packages.
    Sender,
    /// Also manage people, keys, portals and webhooks.
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
        Command::Add { name, role, expires } => {
            let role = KeyRole::from(role);
            let output = output.usually_text();
            let new = NewKey { name: Some(name.clone()), role: Some(role), expiry: Some(end(&expires)?), state: None };
            let made = hub.ask(hub.admin.create_key(&team, &new)).await?;
            output.json(&made);
            // Only the key goes to standard output, so that it can be redirected to a file.
            output.line(made.key.expose());
            if !output.is_json() {
                output.note(&format!("Key for {name} ({role}). It is shown only once."));
            }
        }
        Command::Ls(options) => {
            let keys = hub.ask(hub.admin.keys(&team)).await?;
            let row = |key: &Key| {
                vec![
                    Cell::id(key.id.as_str()),
                    key.role.to_string().into(),
                    state(key).into(),
                    time(key.created_at).into(),
                    time(key.expiry).into(),
                    time(key.last_used_at).into(),
                    key.name.as_str().into(),
                ]
            };
            output.list(&options, &Kind::new(&COLUMNS, "No keys."), keys, row, |keys| keys)?;
        }
        Command::Set { key, name, role, expires, active } => {
            let state = active.map(|active| if active { KeyState::Active } else { KeyState::Inactive });
            let expiry = expires.as_deref().map(end).transpose()?;
            let change = ChangeKey { name, role: role.map(KeyRole::from), expiry, state };
            if change.is_empty() {
                return Err(
                    CliError::usage("nothing to change").hint("give --name, --role, --expires or --active=false")
                );
            }
            let keys = hub.ask(hub.admin.keys(&team)).await?;
            let changed = hub.ask(hub.admin.change_key(&team, &find(keys, &key)?, &change)).await?;
            output.json(&changed);
            output.line(&format!("The key {} is {}.", changed.name, self::state(&changed)));
        }
        Command::Rm { key, dry_run } => {
            let id = find(hub.ask(hub.admin.keys(&team)).await?, &key)?;
            if dry_run {
                output.json(&json!({ "would": "revoke", "key": id }));
                output.line(&format!("Would revoke the key {key} ({id}). Nothing was changed."));
                return Ok(ExitCode::SUCCESS);
            }
            hub.ask(hub.admin.remove_key(&team, &id)).await?;
            output.json(&REMOVED);
            output.line(&format!("Revoked the key {key}."));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// When a key is to expire, as entered.
fn end(typed: &str) -> Result<Time, CliError> {
    if typed == "never" {
        return Ok(Time::UNSET);
    }
    let time = typed_time(typed)?;
    if time.timestamp().is_some_and(|time| time <= Timestamp::now()) {
        return Err(CliError::usage(format!("--expires: {typed} is in the past"))
            .hint("`masv hub key set KEY --active=false` and `masv hub key rm KEY` disable a key at once"));
    }
    Ok(time)
}

/// Whether a key may be used: its state, or that it has expired.
fn state(key: &Key) -> String {
    let state = key.state.as_ref().map(ToString::to_string).unwrap_or_default();
    let has_expired = key.expiry.timestamp().is_some_and(|expiry| expiry <= Timestamp::now());
    if has_expired { "expired".to_owned() } else { state }
}

/// The key that was typed: by its id, the end of its id, or its name.
fn find(keys: Vec<Key>, typed: &str) -> Result<KeyId, CliError> {
    let named = Named { kind: "key", list: "masv hub key ls", by_beginning: false };
    named.one(typed, keys, |key| (key.id.to_string(), key.name.clone(), state(key))).map(|key| key.id)
}

const COLUMNS: [Column; 7] = [
    Column::new("ID"),
    Column::new("ROLE"),
    Column::new("STATE"),
    Column::new("SINCE").rank(3),
    Column::new("EXPIRES").rank(1),
    Column::new("LAST USE").rank(2),
    Column::new("NAME").cut(12),
];
