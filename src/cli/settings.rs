//! `masv settings`: settings that are changed at run time and persist.

use std::process::ExitCode;

use clap::{ArgAction, Args, Subcommand, ValueEnum};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::client::Client;
use super::error::CliError;
use super::list::{Kind, ListOptions};
use super::output::{Output, size};
use super::table::Column;
use crate::api::types::{DiskReaders, FifoMode, OpenFiles, Size, Workers};
use crate::engine::RateLimit;

#[derive(Debug, Args)]
pub(super) struct Settings {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    list: ListOptions,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// The bandwidth that all uploads, or all downloads, share.
    RateLimit {
        /// The direction.
        #[arg(long, global = true, value_enum, default_value_t = Direction::Upload)]
        direction: Direction,
        #[command(subcommand)]
        command: RateLimitCommand,
    },
    /// How many parts are in flight at once.
    Workers {
        /// The direction.
        #[arg(long, global = true, value_enum, default_value_t = Direction::Upload)]
        direction: Direction,
        #[command(subcommand)]
        command: WorkersCommand,
    },
    /// How many uploads or downloads run at once; the others are queued.
    Fifo {
        /// The direction.
        #[arg(long, global = true, value_enum, default_value_t = Direction::Upload)]
        direction: Direction,
        #[command(subcommand)]
        command: FifoCommand,
    },
    /// How many files are read at once, across all uploads.
    #[command(subcommand)]
    OpenFiles(OpenFilesCommand),
    /// How many parts are read at once from the same disk.
    #[command(subcommand)]
    DiskReaders(DiskReadersCommand),
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Direction {
    Upload,
    Download,
}

#[derive(Debug, Subcommand)]
pub(super) enum RateLimitCommand {
    /// Show the limit in force.
    #[command(after_help = "Example:\n  masv settings rate-limit status")]
    Status,
    /// Change it; takes effect at once.
    #[command(
        after_help = "Examples:\n  masv settings rate-limit update --limit 20MB\n  masv settings rate-limit update --enabled=false\n  masv settings rate-limit update --direction download --limit 50MB\n  masv settings rate-limit update --schedule mon-fri=08:00-18:00,sat=22:00-06:00\n  masv settings rate-limit update --schedule always"
    )]
    Update {
        /// Whether there is a limit.
        #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
        enabled: Option<bool>,
        /// Bytes per second, such as 20MB or 20MiB.
        #[arg(long, value_name = "SIZE")]
        limit: Option<Size>,
        /// When the limit applies, in the agent's time zone: DAYS=FROM-TO,... or always. A span that ends before it begins
        /// continues into the next day.
        #[arg(long, value_name = "SPANS")]
        schedule: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum WorkersCommand {
    /// Show the number.
    #[command(after_help = "Example:\n  masv settings workers status")]
    Status,
    /// Change it; takes effect at once.
    #[command(
        after_help = "Examples:\n  masv settings workers update 8\n  masv settings workers update auto\n  masv settings workers update 4 --direction download"
    )]
    Update {
        /// Parts at once, or `auto` for as many as bring more.
        #[arg(value_name = "N|auto")]
        workers: WantedWorkers,
    },
}

/// How many parts at once somebody wants.
#[derive(Debug, Clone, Copy)]
pub(super) enum WantedWorkers {
    Auto,
    Count(usize),
}

impl WantedWorkers {
    fn count(self) -> Option<usize> {
        match self {
            Self::Auto => None,
            Self::Count(count) => Some(count),
        }
    }

    fn auto(self) -> Option<bool> {
        matches!(self, Self::Auto).then_some(true)
    }
}

impl std::str::FromStr for WantedWorkers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(count) => Ok(Self::Count(count)),
            Err(_) if text == "auto" => Ok(Self::Auto),
            Err(_) => Err("must be a number, or auto".to_owned()),
        }
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum FifoCommand {
    /// Show the number.
    #[command(after_help = "Example:\n  masv settings fifo status")]
    Status,
    /// Change it; takes effect at once.
    #[command(
        after_help = "Examples:\n  masv settings fifo update 1\n  masv settings fifo update 1 --direction download\n  masv settings fifo update --enable --uploads 1 --downloads 2\n  masv settings fifo update --enable=false"
    )]
    Update {
        /// Transfers at once, in the given direction.
        #[arg(conflicts_with_all = ["enable", "uploads", "downloads"])]
        count: Option<usize>,
        /// Whether to limit how many run at once; without counts, to one.
        #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
        enable: Option<bool>,
        /// Uploads at once.
        #[arg(long, value_name = "N")]
        uploads: Option<usize>,
        /// Downloads at once.
        #[arg(long, value_name = "N")]
        downloads: Option<usize>,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum OpenFilesCommand {
    /// Show the number.
    #[command(after_help = "Example:\n  masv settings open-files status")]
    Status,
    /// Change it; takes effect at once.
    #[command(
        after_help = "Example, for a disk that is fast only when it reads one file at a time:\n  masv settings open-files update 1"
    )]
    Update {
        /// Files at once.
        open_files: usize,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum DiskReadersCommand {
    /// Show the number.
    #[command(after_help = "Example:\n  masv settings disk-readers status")]
    Status,
    /// Change it; takes effect at once.
    #[command(
        after_help = "Example, so that a slow disk takes no workers from a fast one:\n  masv settings disk-readers update 2"
    )]
    Update {
        /// Parts at once from each disk (file system).
        disk_readers: usize,
    },
}

/// Reads a setting, or changes it.
async fn setting<T: Serialize + DeserializeOwned>(
    path: &str,
    change: Option<T>,
    client: &Client,
    output: &Output,
    say: impl FnOnce(&T) -> String,
) -> Result<(), CliError> {
    let now: T = match change {
        None => client.get(path).await?,
        Some(change) => client.post(path, &change).await?,
    };
    output.json(&now);
    output.line(&say(&now));
    Ok(())
}

/// `1 upload at once.`, `2 uploads at once.`
fn at_once(count: usize, what: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {what}{s} at once.")
}

/// All settings of this kind.
#[derive(Serialize)]
struct All {
    upload_rate_limit: RateLimit,
    download_rate_limit: RateLimit,
    workers: Workers,
    fifo_mode: FifoMode,
    open_files: usize,
    disk_readers: usize,
}

const COLUMNS: [Column; 3] = [Column::new("SETTING"), Column::new("UPLOADS"), Column::new("DOWNLOADS")];

/// Shows all settings.
async fn all(options: &ListOptions, client: &Client, output: &Output) -> Result<ExitCode, CliError> {
    let all = All {
        upload_rate_limit: client.get("/settings/upload_rate_limit").await?,
        download_rate_limit: client.get("/settings/download_rate_limit").await?,
        workers: client.get("/settings/workers").await?,
        fifo_mode: client.get("/settings/fifo_mode").await?,
        open_files: client.get::<OpenFiles>("/settings/open_files").await?.open_files,
        disk_readers: client.get::<DiskReaders>("/settings/disk_readers").await?.disk_readers,
    };
    let workers = |workers: Option<usize>, auto: Option<bool>| match (workers.unwrap_or_default(), auto) {
        (now, Some(true)) => format!("auto, now {now}"),
        (workers, _) => workers.to_string(),
    };
    let number = |number: Option<usize>| number.unwrap_or_default().to_string();
    let rows = vec![
        ("rate-limit", limit_in_words(&all.upload_rate_limit), limit_in_words(&all.download_rate_limit)),
        (
            "workers",
            workers(all.workers.workers, all.workers.auto),
            workers(all.workers.download_workers, all.workers.download_auto),
        ),
        ("fifo", number(all.fifo_mode.active_upload_count), number(all.fifo_mode.active_download_count)),
        ("open-files", all.open_files.to_string(), String::new()),
        ("disk-readers", all.disk_readers.to_string(), String::new()),
    ];
    let row = |row: &(&str, String, String)| vec![row.0.into(), row.1.as_str().into(), row.2.as_str().into()];
    output.list(options, &Kind::new(&COLUMNS, ""), rows, row, |_| all)?;
    Ok(ExitCode::SUCCESS)
}

fn limit_in_words(limit: &RateLimit) -> String {
    match limit.enabled {
        false => "no limit".to_owned(),
        true if limit.schedule_enabled => format!("{}/s at {}", size(limit.rate_limit_bps), limit.schedule),
        true => format!("{}/s", size(limit.rate_limit_bps)),
    }
}

pub(super) async fn run(settings: Settings, client: &Client, output: &Output) -> Result<ExitCode, CliError> {
    let Some(command) = settings.command else { return all(&settings.list, client, output).await };
    match command {
        Command::RateLimit { direction, command } => {
            let path = match direction {
                Direction::Upload => "/settings/upload_rate_limit",
                Direction::Download => "/settings/download_rate_limit",
            };
            let mut limit: RateLimit = client.get(path).await?;
            if let RateLimitCommand::Update { enabled, limit: rate, schedule } = command {
                if enabled.is_none() && rate.is_none() && schedule.is_none() {
                    return Err(CliError::usage(
                        "give --limit SIZE, --schedule SPANS, --enabled=true or --enabled=false",
                    ));
                }
                if let Some(text) = schedule {
                    limit.schedule_enabled = text != "always";
                    if limit.schedule_enabled {
                        limit.schedule =
                            text.parse().map_err(|problem| CliError::usage(format!("--schedule: {problem}")))?;
                    }
                }
                if let Some(rate) = rate {
                    limit.rate_limit_bps = rate.0;
                }
                limit.enabled = enabled.unwrap_or(true);
                limit = client.post(path, &limit).await?;
            }
            output.json(&limit);
            let words = limit_in_words(&limit);
            output.line(&format!("{}.", words.replacen("no limit", "No limit", 1)));
        }
        Command::Workers { direction, command } => {
            let change = match (command, direction) {
                (WorkersCommand::Status, _) => None,
                (WorkersCommand::Update { workers }, Direction::Upload) => {
                    Some(Workers { workers: workers.count(), auto: workers.auto(), ..Workers::default() })
                }
                (WorkersCommand::Update { workers }, Direction::Download) => {
                    let (download_workers, download_auto) = (workers.count(), workers.auto());
                    Some(Workers { download_workers, download_auto, ..Workers::default() })
                }
            };
            let of = |now: &Workers| match direction {
                Direction::Upload => (now.workers, now.auto),
                Direction::Download => (now.download_workers, now.download_auto),
            };
            let say = |now: &Workers| match of(now) {
                (workers, Some(true)) => {
                    format!("As many as bring more, now {}", at_once(workers.unwrap_or_default(), "part"))
                }
                (workers, _) => at_once(workers.unwrap_or_default(), "part"),
            };
            setting("/settings/workers", change, client, output, say).await?;
        }
        Command::Fifo { direction, command } => {
            let mut both = false;
            let change = match (command, direction) {
                (FifoCommand::Status, _) => None,
                (FifoCommand::Update { count: count @ Some(_), .. }, Direction::Upload) => {
                    Some(FifoMode { active_upload_count: count, ..FifoMode::default() })
                }
                (FifoCommand::Update { count: count @ Some(_), .. }, Direction::Download) => {
                    Some(FifoMode { active_download_count: count, ..FifoMode::default() })
                }
                (FifoCommand::Update { count: None, enable, uploads, downloads }, _) => {
                    if enable.is_none() && uploads.is_none() && downloads.is_none() {
                        return Err(CliError::usage("give a number, --enable, --uploads or --downloads"));
                    }
                    both = true;
                    Some(FifoMode { enabled: enable, active_upload_count: uploads, active_download_count: downloads })
                }
            };
            let say = |now: &FifoMode| {
                let uploads = at_once(now.active_upload_count.unwrap_or_default(), "upload");
                let downloads = at_once(now.active_download_count.unwrap_or_default(), "download");
                match direction {
                    _ if both => format!("{uploads} {downloads}"),
                    Direction::Upload => uploads,
                    Direction::Download => downloads,
                }
            };
            setting("/settings/fifo_mode", change, client, output, say).await?;
        }
        Command::OpenFiles(command) => {
            let change = match command {
                OpenFilesCommand::Status => None,
                OpenFilesCommand::Update { open_files } => Some(OpenFiles { open_files }),
            };
            let say = |now: &OpenFiles| at_once(now.open_files, "file");
            setting("/settings/open_files", change, client, output, say).await?;
        }
        Command::DiskReaders(command) => {
            let change = match command {
                DiskReadersCommand::Status => None,
                DiskReadersCommand::Update { disk_readers } => Some(DiskReaders { disk_readers }),
            };
            let say =
                |now: &DiskReaders| at_once(now.disk_readers, "part").replace(" at once", " at once from each disk");
            setting("/settings/disk_readers", change, client, output, say).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
