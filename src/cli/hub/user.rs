//! `masv hub user`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::reach::{HubClient, text, time};
use crate::cli::error::{CliError, Exit};
use crate::cli::output::Output;
use crate::cli::user::{secret, typed};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Command {
    /// Add somebody. The password is asked for, or read from standard input or a file.
    #[command(after_help = "Example:\n  masv hub user add ed@example.com --name 'Ed Itor' --role sender")]
    Add {
        /// The mail address to sign in with.
        email: String,
        /// The person's name.
        #[arg(long, default_value = "")]
        name: String,
        /// What the person may do.
        #[arg(long, value_enum, default_value = "sender")]
        role: Role,
        #[command(flatten)]
        password: Password,
        /// Somebody who has an account here already, in another team: ask for no password.
        #[arg(long, conflicts_with_all = ["password", "password_file"])]
        existing: bool,
    },
    /// List the team's people.
    #[command(after_help = "Example:\n  masv hub user ls")]
    Ls,
    /// Show one.
    #[command(after_help = "Example:\n  masv hub user show ed@example.com")]
    Show {
        /// The mail address.
        email: String,
    },
    /// Change somebody's role, name or password. A new password ends all their sessions.
    #[command(
        after_help = "Examples:\n  masv hub user set ed@example.com --role admin\n  masv hub user set ed@example.com --new-password"
    )]
    Set {
        /// The mail address.
        email: String,
        /// The new name.
        #[arg(long)]
        name: Option<String>,
        /// What the person may do from now on.
        #[arg(long, value_enum)]
        role: Option<Role>,
        #[command(flatten)]
        password: Password,
        /// Ask for a new password, or read it from standard input.
        #[arg(long)]
        new_password: bool,
    },
    /// Take somebody out of the team; their sessions end at once.
    #[command(after_help = "Example:\n  masv hub user rm ed@example.com")]
    Rm {
        /// The mail address.
        email: String,
    },
}

/// What somebody may do.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(in crate::cli) enum Role {
    /// Send, see and remove packages.
    Sender,
    /// Also people, keys, portals and webhooks.
    Admin,
    /// Also make and unmake owners.
    Owner,
}

impl Role {
    fn word(self) -> &'static str {
        match self {
            Self::Sender => "sender",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Password {
    /// The password; shows in process lists, rather let it be asked for.
    #[arg(long)]
    password: Option<SecretString>,
    /// A file that holds the password.
    #[arg(long, value_name = "FILE", conflicts_with = "password")]
    password_file: Option<PathBuf>,
}

pub(super) async fn run(command: Command, hub: &HubClient, output: &Output) -> Result<ExitCode, CliError> {
    let team = hub.team().await?;
    let members = ["v1", "teams", &team, "members"];
    let member = |email| ["v1", "teams", &team, "members", email];
    match command {
        Command::Add { email, name, role, password, existing } => {
            let mut body = json!({ "email": email, "role": role.word() });
            if !existing {
                let given = secret(password.password, password.password_file.as_deref(), output)?;
                let password = match given {
                    Some(given) => given,
                    None => typed().await?,
                };
                body["password"] = password.expose_secret().into();
                body["name"] = name.into();
            }
            let user = hub.post(&members, &body).await?;
            output.json(&user);
            output.line(&format!("Added {} as {}.", text(&user, "email"), text(&user, "role")));
        }
        Command::Ls => {
            let users = hub.get(&members).await?;
            output.json(&users);
            let rows: Vec<_> = users.as_array().into_iter().flatten().map(row).collect();
            output.table(&["EMAIL", "ROLE", "SINCE", "NAME"], &rows);
        }
        Command::Show { email } => {
            let users = hub.get(&members).await?;
            let wanted = email.trim().to_lowercase();
            let user = users.as_array().into_iter().flatten().find(|user| user["email"] == wanted.as_str());
            let user = user.ok_or_else(|| CliError::new(Exit::NotFound, format!("there is no user {email}")))?;
            output.json(user);
            output.table(&["EMAIL", "ROLE", "SINCE", "NAME"], &[row(user)]);
        }
        Command::Set { email, name, role, password, new_password } => {
            let mut body = json!({});
            if let Some(name) = name {
                body["name"] = name.into();
            }
            if let Some(role) = role {
                body["role"] = role.word().into();
            }
            match secret(password.password, password.password_file.as_deref(), output)? {
                Some(password) => body["password"] = password.expose_secret().into(),
                None if new_password => body["password"] = typed().await?.expose_secret().into(),
                None => {}
            }
            if body.as_object().is_some_and(serde_json::Map::is_empty) {
                return Err(CliError::usage("nothing to change").hint("give --name, --role or --new-password"));
            }
            let user = hub.put(&member(&email), &body).await?;
            output.json(&user);
            output.line(&format!("{} is {} now.", text(&user, "email"), text(&user, "role")));
        }
        Command::Rm { email } => {
            output.json(&hub.delete(&member(&email)).await?);
            output.line(&format!("Removed {email}."));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn row(user: &Value) -> Vec<crate::cli::output::Cell> {
    vec![
        text(user, "email").into(),
        text(user, "role").into(),
        time(user, "created_at").into(),
        text(user, "name").into(),
    ]
}
