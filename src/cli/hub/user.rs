//! `masv hub user`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use masv_protocol::{ChangeMember, EmailAddress, Member, MemberRole, NewMember, Secret};
use secrecy::SecretString;

use super::reach::{HubClient, REMOVED, time};
use crate::cli::confirm::Sure;
use crate::cli::error::{CliError, Exit};
use crate::cli::list::{Kind, ListOptions};
use crate::cli::output::{Cell, Output};
use crate::cli::table::Column;
use crate::cli::user::{secret, typed};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Command {
    /// Add a user. The password is prompted for, or read from standard input or a file.
    #[command(after_help = "Example:\n  masv hub user add ed@example.com --name 'Ed Itor' --role sender")]
    Add {
        /// The e-mail address to sign in with.
        email: EmailAddress,
        /// The user's name.
        #[arg(long, default_value = "")]
        name: String,
        /// What the user may do.
        #[arg(long, value_enum, default_value = "sender")]
        role: Role,
        #[command(flatten)]
        password: Password,
        /// The user already has an account here, in another team: no password is needed.
        #[arg(long, conflicts_with_all = ["password", "password_file"])]
        existing: bool,
    },
    /// List the team's users.
    #[command(after_help = "Example:\n  masv hub user ls")]
    Ls(ListOptions),
    /// Show one.
    #[command(after_help = "Example:\n  masv hub user show ed@example.com")]
    Show {
        /// The user's e-mail address.
        email: String,
    },
    /// Change a user's role, name or password. A new password ends all the user's sessions.
    #[command(
        after_help = "Examples:\n  masv hub user set ed@example.com --role admin\n  masv hub user set ed@example.com --new-password"
    )]
    Set {
        /// The user's e-mail address.
        email: String,
        /// The new name.
        #[arg(long)]
        name: Option<String>,
        /// The new role.
        #[arg(long, value_enum)]
        role: Option<Role>,
        #[command(flatten)]
        password: Password,
        /// Prompt for a new password, or read it from standard input.
        #[arg(long)]
        new_password: bool,
    },
    /// Remove a user from the team; the user's sessions end at once.
    #[command(after_help = "Example:\n  masv hub user rm ed@example.com")]
    Rm {
        /// The user's e-mail address.
        email: String,
        #[command(flatten)]
        sure: Sure,
    },
}

/// What a user may do.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(in crate::cli) enum Role {
    /// Send, see and remove packages.
    Sender,
    /// Also manage people, keys, portals and webhooks.
    Admin,
    /// Also appoint and remove owners.
    Owner,
}

impl From<Role> for MemberRole {
    fn from(role: Role) -> Self {
        match role {
            Role::Sender => Self::Sender,
            Role::Admin => Self::Admin,
            Role::Owner => Self::Owner,
        }
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Password {
    /// The password; visible in process lists, prefer the prompt.
    #[arg(long)]
    password: Option<SecretString>,
    /// File with the password.
    #[arg(long, value_name = "FILE", conflicts_with = "password")]
    password_file: Option<PathBuf>,
}

pub(super) async fn run(command: Command, hub: &HubClient, output: &Output) -> Result<ExitCode, CliError> {
    let team = hub.team().await?;
    match command {
        Command::Add { email, name, role, password, existing } => {
            let mut new = NewMember { email: Some(email), role: Some(role.into()), ..NewMember::default() };
            if !existing {
                let given = secret(password.password, password.password_file.as_deref(), output)?;
                let password = match given {
                    Some(given) => given,
                    None => typed().await?,
                };
                new.password = Some(password.into());
                new.name = Some(name);
            }
            let user = hub.ask(hub.admin.add_member(&team, &new)).await?;
            output.json(&user);
            output.line(&format!("Added {} as {}.", user.email, role_of(&user)));
        }
        Command::Ls(options) => {
            let users = hub.ask(hub.admin.members(&team)).await?;
            output.list(&options, &Kind::new(&HEADER.map(Column::new), "No users."), users, row, |users| users)?;
        }
        Command::Show { email } => {
            let users = hub.ask(hub.admin.members(&team)).await?;
            let wanted = email.trim().to_lowercase();
            let user = users.iter().find(|user| user.email == wanted);
            let user = user.ok_or_else(|| CliError::new(Exit::NotFound, format!("there is no user {email}")))?;
            output.json(user);
            output.table(&HEADER, &[row(user)]);
        }
        Command::Set { email, name, role, password, new_password } => {
            let password = match secret(password.password, password.password_file.as_deref(), output)? {
                None if new_password => Some(typed().await?),
                given => given,
            };
            let change = ChangeMember { name, role: role.map(MemberRole::from), password: password.map(Secret::from) };
            if change.is_empty() {
                return Err(CliError::usage("nothing to change").hint("give --name, --role or --new-password"));
            }
            let user = hub.ask(hub.admin.change_member(&team, &email, &change)).await?;
            output.json(&user);
            output.line(&format!("{} is now {}.", user.email, role_of(&user)));
        }
        Command::Rm { email, sure } => {
            let (question, what) = (format!("Remove {email} from the team?"), format!("remove {email} from the team"));
            if !sure.go_on(&question, &what, output)? {
                return Ok(ExitCode::SUCCESS);
            }
            hub.ask(hub.admin.remove_member(&team, &email)).await?;
            output.json(&REMOVED);
            output.line(&format!("Removed {email}."));
        }
    }
    Ok(ExitCode::SUCCESS)
}

const HEADER: [&str; 4] = ["EMAIL", "ROLE", "SINCE", "NAME"];

fn role_of(user: &Member) -> String {
    user.role.as_ref().map(ToString::to_string).unwrap_or_default()
}

fn row(user: &Member) -> Vec<Cell> {
    let since = user.created_at.map(time).unwrap_or_default();
    vec![user.email.as_str().into(), role_of(user).into(), since.into(), user.name.as_str().into()]
}
