//! `masv hub`: the self-hosted server and its administration.
//!
//! Everything but `start`, `backup`, `restore` and the storage commands is a call of the hub's protocol: made within this process where the hub's data directory is
//! given (the hub may be running or not), or over the network with a key.

mod audit;
mod backup;
mod check;
mod key;
mod link;
mod local;
mod migrate;
mod package;
mod portal;
mod reach;
mod secret_key;
mod shared;
mod start;
mod storage;
mod sweep;
mod team;
mod trash;
mod user;

use std::process::ExitCode;

use clap::Subcommand;

use super::error::CliError;
use super::output::Output;
use local::Local;
pub(super) use reach::{Offered, Reach};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run a hub for others in the foreground. The first start creates an API key: shown once on a terminal, otherwise stored in first-api-key in
    /// the data directory.
    #[command(after_help = "Example:\n  masv hub start --listen 127.0.0.1:8090 --public-url https://files.example.com")]
    Start(Box<start::Start>),
    /// Teams, their storage use and quotas: add, ls, show, set.
    Team {
        #[command(flatten)]
        at: Reach,
        #[command(subcommand)]
        command: team::Command,
    },
    /// People who sign in: add, ls, show, set, rm.
    User {
        #[command(flatten)]
        at: Reach,
        #[command(subcommand)]
        command: user::Command,
    },
    /// API keys, for agents and scripts: add, ls, rm.
    Key {
        #[command(flatten)]
        at: Reach,
        #[command(subcommand)]
        command: key::Command,
    },
    /// Portals, which accept files from anyone: add, ls, show, set, rm.
    Portal {
        #[command(flatten)]
        at: Reach,
        #[command(subcommand)]
        command: portal::Command,
    },
    /// Packages: ls, show, set, revoke, rm.
    Package {
        #[command(flatten)]
        at: Reach,
        #[command(subcommand)]
        command: package::Command,
    },
    /// Links to packages: add, ls, show, set, rm.
    Link {
        #[command(flatten)]
        at: Reach,
        #[command(subcommand)]
        command: link::Command,
    },
    /// Who changed what: the audit log, newest first.
    #[command(after_help = "Example:\n  masv hub audit --actor ed@example.com --limit 20")]
    Audit {
        #[command(flatten)]
        at: Reach,
        #[command(flatten)]
        asked: audit::Asked,
    },
    /// Write the hub's state (database and secret key, without the uploaded files) to one file. The hub may be running.
    #[command(after_help = "Example:\n  masv hub backup --data-dir /var/lib/masv-hub /backup/hub-$(date +%F).db")]
    Backup(backup::Backup),
    /// Move a hub with a database of its own to PostgreSQL and a bucket. It only reads meanwhile; run again, it goes on where it was stopped.
    #[command(
        after_help = "Example:\n  masv hub migrate --data-dir /var/lib/masv-hub --database postgres://masv@db.example.com/masv \\\n      --secret-key-file /etc/masv-agent/hub-key --storage 's3://media/hub?endpoint=https://s3.example.com'"
    )]
    Migrate(Box<migrate::Migrate>),
    /// Restore a backup into an empty data directory.
    #[command(after_help = "Example:\n  masv hub restore --data-dir /var/lib/masv-hub /backup/hub-2026-11-24.db")]
    Restore(backup::Restore),
    /// Compare the database with the storage: list what is missing, damaged or unknown. Exits with 1 if content is missing or damaged.
    #[command(
        after_help = "Examples:\n  masv hub check\n  masv hub check --deep --output json\n  masv hub check --repair"
    )]
    Check {
        #[command(flatten)]
        at: Local,
        #[command(flatten)]
        asked: check::CheckOptions,
    },
    /// The secret key, of which links and tokens are made: ls, add, use, rm.
    #[command(
        after_help = "Example, for a hub alone:\n  masv hub secret-key add\n  masv hub secret-key use 5f1c09ab\n  systemctl restart masv-hub"
    )]
    SecretKey {
        #[command(flatten)]
        at: secret_key::KeyFile,
        #[command(subcommand)]
        command: secret_key::Command,
    },
    /// The trash: removed and expired packages, and parts unknown to the database: ls, restore, empty.
    Trash {
        #[command(flatten)]
        at: Local,
        #[command(subcommand)]
        command: trash::Command,
    },
    /// Show what is in the storage but unknown to the database, and confirm a sweep that the hub does not do on its own.
    #[command(after_help = "Examples:\n  masv hub sweep\n  masv hub sweep --confirm")]
    Sweep {
        #[command(flatten)]
        at: Local,
        #[command(flatten)]
        asked: sweep::SweepOptions,
    },
}

pub(super) async fn run(command: Command, output: &Output) -> Result<ExitCode, CliError> {
    match command {
        Command::Start(options) => start::run(*options, output).await,
        Command::Team { at, command } => team::run(command, &at.open().await?, output).await,
        Command::User { at, command } => user::run(command, &at.open().await?, output).await,
        Command::Key { at, command } => key::run(command, &at.open().await?, output).await,
        Command::Portal { at, command } => portal::run(command, &at.open().await?, output).await,
        Command::Package { at, command } => package::run(command, &at.open().await?, output).await,
        Command::Link { at, command } => link::run(command, &at.open().await?, output).await,
        Command::Audit { at, asked } => audit::run(&asked, &at.open().await?, output).await,
        Command::Backup(options) => backup::backup(options, output).await,
        Command::Migrate(options) => migrate::run(*options, output).await,
        Command::Restore(options) => backup::restore(options, output).await,
        Command::Check { at, asked } => check::run(&asked, &at.open().await?, output).await,
        Command::SecretKey { at, command } => secret_key::run(&command, at, output),
        Command::Trash { at, command } => trash::run(command, &at.open().await?, output).await,
        Command::Sweep { at, asked } => sweep::run(&asked, &at.open().await?, output).await,
    }
}

/// An error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

fn failed(error: &dyn std::error::Error) -> CliError {
    CliError::failed(chain(error))
}
