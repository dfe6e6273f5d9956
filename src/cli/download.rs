//! `masv download`: start, list, control and follow downloads.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{ArgAction, Args, Subcommand};
use indicatif::ProgressBar;
use secrecy::SecretString;

use super::bars::Bars;
use super::client::Client;
use super::error::{CliError, Exit};
use super::interrupt::Interrupt;
use super::output::{Cell, Mood, Output, duration, size, visible};
use super::table::Column;
use super::transfers::{
    self, Removing, Transfer, Which, confirmed, list, one, pause, remove, resume, state_of, with_files,
};
use super::{upload, user};
use crate::api::types::{Download, DownloadStarted, DownloadedFile, NewDownload};
use crate::model::DownloadId;
use crate::model::State;

/// How often the agent is polled.
const EVERY: Duration = Duration::from_millis(250);

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Download the package of a link into a folder. Needs no session.
    #[command(
        after_help = "Example:\n  masv download start --url 'https://get.massive.io/01ABC?secret=xyz' --destination incoming/"
    )]
    Start(Box<Start>),
    /// List downloads, newest first.
    #[command(after_help = "Example:\n  masv download ls --states transferring,error")]
    Ls(Which),
    /// Show a download's status and its files.
    #[command(after_help = "Example:\n  masv download status 0199f3a6-7e0c-7a31-9d7e-0242ac120002")]
    Status {
        /// The download: its id, the end of its id, or its name.
        id: String,
    },
    /// Pause at once; what is on disk is kept.
    #[command(after_help = "Example:\n  masv download pause all")]
    Pause {
        /// The download (its id, the end of its id, or its name), or `all`.
        id: String,
    },
    /// Resume paused or failed downloads.
    #[command(after_help = "Example:\n  masv download resume all")]
    Resume {
        /// The download (its id, the end of its id, or its name), or `all`.
        id: String,
    },
    /// Remove a download from the list. Complete files are kept, unfinished ones are deleted.
    #[command(
        after_help = "Examples:\n  masv download rm 0199f3a6-7e0c-7a31-9d7e-0242ac120002\n  masv download rm all --states complete,error"
    )]
    Rm {
        /// The download (its id, the end of its id, or its name), or `all`.
        id: String,
        #[command(flatten)]
        removing: Removing,
    },
}

#[derive(Debug, Args)]
pub(super) struct Start {
    /// The whole link, in quotes: `&` and `?` are special to the shell.
    #[arg(long, value_name = "LINK")]
    url: String,
    /// The folder to download into; created if it is missing.
    #[arg(long, value_name = "FOLDER")]
    destination: PathBuf,
    /// The link's password; visible in process lists.
    #[arg(long)]
    password: Option<SecretString>,
    /// File with the password.
    #[arg(long, value_name = "FILE", conflicts_with = "password")]
    password_file: Option<PathBuf>,
    /// Create a folder for the package inside the destination.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "true",
          default_missing_value = "true")]
    create_package_folder: bool,
    /// Only these files, given by their ids in the cloud.
    #[arg(long, value_delimiter = ',', value_name = "ID,...")]
    file_ids: Vec<String>,
    /// Higher priorities go first.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    priority: i32,
    /// Replace existing files; otherwise new files get a number.
    #[arg(long)]
    overwrite: bool,
    /// Numeric user id for the downloaded files; requires an agent that is allowed to change ownership.
    #[arg(long)]
    uid: Option<u32>,
    /// Numeric group id for the downloaded files.
    #[arg(long)]
    gid: Option<u32>,
    /// Accepted for compatibility with the MASV Agent; no effect: the sender determines the part size.
    #[arg(long, value_name = "SIZE", hide = true)]
    chunk_size: Option<String>,
    /// Accepted for compatibility with the MASV Agent; no effect: there is no quarantine here.
    #[arg(long, hide = true, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "false",
          default_missing_value = "true")]
    bypass_package_quarantine: bool,
    /// Follow the download until it is done. Ctrl-C stops following, not the download.
    #[arg(long)]
    wait: bool,
}

async fn start(start: Start, client: &Client, output: &Output) -> Result<ExitCode, CliError> {
    if start.chunk_size.is_some() || start.bypass_package_quarantine {
        output.note("note: --chunk-size and --bypass-package-quarantine have no effect on downloads here");
    }
    let new = NewDownload {
        url: start.url,
        dst_folder: upload::absolute(vec![start.destination])?.pop().unwrap_or_default(),
        password: user::secret(start.password, start.password_file.as_deref(), output)?,
        create_package_folder: start.create_package_folder,
        file_ids: start.file_ids,
        priority: start.priority,
        overwrite: start.overwrite,
        uid: start.uid,
        gid: start.gid,
    };
    let started: DownloadStarted = client.post("/downloads", &new).await?;
    if !(start.wait && output.is_json()) {
        output.json(&started);
    }
    output.line(&format!("Download {} started.", started.download_id));
    if start.wait { follow(started.download_id, client, output).await } else { Ok(ExitCode::SUCCESS) }
}

/// Follows a download until it is complete, paused or failed.
async fn follow(id: DownloadId, client: &Client, output: &Output) -> Result<ExitCode, CliError> {
    let bar = if output.is_json() { ProgressBar::hidden() } else { ProgressBar::new(1) };
    let mut looks = Bars::now();
    bar.set_style(looks.style());
    let mut interrupt = Interrupt::listen();
    let mut last = None;
    loop {
        let download: Download = client.get(&one::<Download>(&id.to_string(), "")).await?;
        let now = Some((download.state, download.progress));
        if last != now {
            output.json_line(&download);
            last = now;
        }
        if Bars::now() != looks {
            looks = Bars::now();
            bar.set_style(looks.style());
        }
        bar.set_prefix(visible(&title(&download)));
        bar.set_length(download.size.max(1));
        let complete = download.state == State::Complete;
        bar.set_position(if complete { download.size.max(1) } else { download.progress + download.in_flight });
        bar.set_message(visible(&message(&download)));
        if download.state != State::Transferring {
            bar.abandon();
            return end(&download);
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = interrupt.pressed() => {
                bar.finish_and_clear();
                output.note("No longer following; the download continues.");
                return Ok(ExitCode::from(Exit::Interrupted as u8));
            }
        }
    }
}

fn end(download: &Download) -> Result<ExitCode, CliError> {
    if download.state != State::Error {
        return Ok(ExitCode::SUCCESS);
    }
    let problem = download.error.as_ref();
    let message = problem.map_or("it failed", |problem| problem.message.as_str());
    let mut error = CliError::new(Exit::EndedInError, format!("{}: {message}", title(download)));
    error.hint = problem.and_then(|problem| problem.hint.clone());
    Err(error)
}

fn message(download: &Download) -> String {
    let (state, _) = download.state();
    if download.state != State::Transferring {
        return format!("{state}, {}", size(download.size));
    }
    if let Some(error) = &download.error {
        return format!("{state}: {}", error.message);
    }
    let left = download.eta_seconds.map(|eta| format!(", {} left", duration(eta))).unwrap_or_default();
    format!("{}/s{left}", size(download.speed_bps))
}

fn title(download: &Download) -> String {
    download.name.clone().filter(|name| !name.is_empty()).unwrap_or_else(|| download.source.clone())
}

impl Transfer for Download {
    const NAME: &'static str = "download";
    type File = DownloadedFile;
    const COLUMNS: &'static [Column] = &[
        transfers::ID,
        transfers::STATE,
        transfers::DONE,
        transfers::SIZE,
        transfers::NAME,
        Column::new("INTO").cut(12).rank(1),
        transfers::RULE,
        transfers::CREATED,
        transfers::COMPLETED,
        Column::new("FROM").wide(),
        transfers::ERROR,
    ];

    fn is_id(text: &str) -> bool {
        text.parse::<DownloadId>().is_ok()
    }

    fn id(&self) -> String {
        self.id.to_string()
    }

    fn row(&self) -> Vec<Cell> {
        let (state, mood) = self.state();
        vec![
            Cell::id(self.id.to_string()),
            Cell::mood(state, mood),
            transfers::done(self),
            Cell::size(self.size),
            title(self).into(),
            self.dst_folder.clone().into(),
            self.rule.clone().unwrap_or_default().into(),
            Cell::time(Some(self.created_at)),
            Cell::time(self.completed_at),
            self.source.clone().into(),
            transfers::error_of(self),
        ]
    }

    fn title(&self) -> String {
        title(self)
    }

    fn state(&self) -> (String, Mood) {
        state_of(self.state, self.activity)
    }

    fn files(&mut self) -> &mut Option<Vec<DownloadedFile>> {
        &mut self.files
    }

    fn number(file: &DownloadedFile) -> u32 {
        file.id
    }
}

fn status(download: &Download, output: &Output) {
    let line = |title: &str, text: String| output.line(&format!("  {title:<9} {text}"));
    output.line(&format!("{} ({})", title(download), download.id));
    line("state", download.state().0);
    line("received", format!("{} of {} ({}%)", size(download.progress), size(download.size), confirmed(download)));
    line("files", format!("{} of {}", download.files_done, download.file_count));
    line("from", download.source.clone());
    line("into", download.dst_folder.clone());
    if let Some(error) = &download.error {
        line("error", error.message.clone());
        if let Some(hint) = &error.hint {
            line("do", hint.clone());
        }
    }
    let files = download.files.as_deref().unwrap_or_default();
    let rows: Vec<Vec<Cell>> = files
        .iter()
        .map(|file| {
            let state = serde_json::to_value(file.state).ok().and_then(|value| value.as_str().map(str::to_owned));
            let why = file.error.as_ref().map(|error| error.message.clone()).unwrap_or_default();
            // Enough to compare by eye; the full value is in the JSON.
            let checksum = file.checksum.as_deref().and_then(|sum| sum.get(..16)).unwrap_or_default();
            vec![
                state.unwrap_or_default().into(),
                Cell::right(size(file.size)),
                checksum.into(),
                file.path.clone().into(),
                why.into(),
            ]
        })
        .collect();
    output.table(&["STATE", "SIZE", "BLAKE3", "FILE", ""], &rows);
}

pub(super) async fn run(command: Command, client: &Client, output: &Output) -> Result<ExitCode, CliError> {
    match command {
        Command::Start(command) => return start(*command, client, output).await,
        Command::Ls(which) => return list::<Download>(which, client, output).await,
        Command::Status { id } => {
            let download = with_files(&id, client).await?;
            output.json(&download);
            status(&download, output);
        }
        Command::Pause { id } => pause::<Download>(&id, client, output).await?,
        Command::Resume { id } => resume::<Download>(&id, client, output).await?,
        Command::Rm { id, removing } => remove::<Download>(&id, removing, client, output).await?,
    }
    Ok(ExitCode::SUCCESS)
}
