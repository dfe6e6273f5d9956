//! `masv settings`: what is changed at run time and kept.

use std::process::ExitCode;

use clap::{ArgAction, Subcommand, ValueEnum};

use super::client::Client;
use super::error::CliError;
use super::output::{Output, size};
use crate::api::types::{FifoMode, Size, Workers};
use crate::transfer::RateLimit;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// The bandwidth that all uploads, or all downloads, share.
    RateLimit {
        /// Which of the two.
        #[arg(long, global = true, value_enum, default_value_t = Direction::Upload)]
        direction: Direction,
        #[command(subcommand)]
        command: RateLimitCommand,
    },
    /// How many parts are on their way at once.
    #[command(subcommand)]
    Workers(WorkersCommand),
    /// How many uploads are worked on at once; the others wait for their turn.
    #[command(subcommand)]
    Fifo(FifoCommand),
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Direction {
    Upload,
    Download,
}

#[derive(Debug, Subcommand)]
pub(super) enum RateLimitCommand {
    /// The limit in force.
    #[command(after_help = "Example:\n  masv settings rate-limit status")]
    Status,
    /// Change it, at once.
    #[command(
        after_help = "Examples:\n  masv settings rate-limit update --limit 20MB\n  masv settings rate-limit update --enabled=false\n  masv settings rate-limit update --direction download --limit 50MB\n\nWeekly schedules are set by the REST call POST /api/v1/settings/upload_rate_limit."
    )]
    Update {
        /// Whether there is a limit.
        #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
        enabled: Option<bool>,
        /// Bytes a second, also 20MB or 20MiB.
        #[arg(long, value_name = "SIZE")]
        limit: Option<Size>,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum WorkersCommand {
    /// How many there are.
    #[command(after_help = "Example:\n  masv settings workers status")]
    Status,
    /// Change it, at once.
    #[command(after_help = "Example:\n  masv settings workers update 8")]
    Update {
        /// Parts at once.
        workers: usize,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum FifoCommand {
    /// How many uploads at once.
    #[command(after_help = "Example:\n  masv settings fifo status")]
    Status,
    /// Change it, at once.
    #[command(after_help = "Example:\n  masv settings fifo update 1")]
    Update {
        /// Uploads at once.
        active_upload_count: usize,
    },
}

pub(super) async fn run(command: Command, client: &Client, output: &Output) -> Result<ExitCode, CliError> {
    match command {
        Command::RateLimit { direction, command } => {
            let path = match direction {
                Direction::Upload => "/settings/upload_rate_limit",
                Direction::Download => "/settings/download_rate_limit",
            };
            let mut limit: RateLimit = client.get(path).await?;
            if let RateLimitCommand::Update { enabled, limit: rate } = command {
                if enabled.is_none() && rate.is_none() {
                    return Err(CliError::usage(
                        "name what to change: --limit SIZE, --enabled=true or --enabled=false",
                    ));
                }
                if let Some(rate) = rate {
                    limit.rate_limit_bps = rate.0;
                }
                limit.enabled = enabled.unwrap_or(true);
                limit = client.post(path, &limit).await?;
            }
            output.json(&limit);
            output.line(&match limit.enabled {
                false => "No limit.".to_owned(),
                true if limit.schedule_enabled => {
                    format!("{}/s, at the times of its schedule.", size(limit.rate_limit_bps))
                }
                true => format!("{}/s.", size(limit.rate_limit_bps)),
            });
        }
        Command::Workers(command) => {
            let workers: Workers = match command {
                WorkersCommand::Status => client.get("/settings/workers").await?,
                WorkersCommand::Update { workers } => client.post("/settings/workers", &Workers { workers }).await?,
            };
            output.json(&workers);
            output.line(&format!("{} parts at once.", workers.workers));
        }
        Command::Fifo(command) => {
            let mode: FifoMode = match command {
                FifoCommand::Status => client.get("/settings/fifo_mode").await?,
                FifoCommand::Update { active_upload_count } => {
                    client.post("/settings/fifo_mode", &FifoMode { active_upload_count }).await?
                }
            };
            output.json(&mode);
            output.line(&format!("{} uploads at once.", mode.active_upload_count));
        }
    }
    Ok(ExitCode::SUCCESS)
}
