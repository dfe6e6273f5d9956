//! `masv server`: the agent, a long-running process.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Subcommand};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::client::Client;
use super::error::CliError;
use super::log;
use super::output::{Cell, Output, count, size, visible};
use crate::agent::{self, AgentError, Banner, LogFormat, Notice, Origin, Origins, Written};
use crate::api::about::{Copied, Setting, SettingsInForce};
use crate::api::types::{Server, TransferLink};

/// How long `server stop` waits for the agent to end.
const STOPPING: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(50);

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the agent in the foreground.
    #[command(after_help = "Example:\n  masv server start --rules rules.example.yaml")]
    Start {
        #[command(flatten)]
        written: Box<Written>,
    },
    /// Show the status of the running agent.
    #[command(after_help = "Examples:\n  masv server status --output json\n  masv server status --settings")]
    Status {
        /// Show the settings in force, each with its source: flag, variable, file or default.
        #[arg(long)]
        settings: bool,
    },
    /// Write a consistent copy of the running agent's state to a new file.
    #[command(after_help = "Example:\n  masv server backup /var/lib/masv-agent/backup.db")]
    Backup {
        /// The file, which must not exist yet; the agent writes it, readable by its own user only.
        file: PathBuf,
    },
    /// Stop the running agent; transfers in flight resume at the next start.
    #[command(after_help = "Example:\n  masv server stop")]
    Stop,
    /// Reload the rules file.
    #[command(after_help = "Example:\n  masv server reload")]
    Reload,
}

/// How the log is written.
#[derive(Debug, Clone, Args)]
pub(super) struct Log {
    /// Log format: text for people, or one JSON object per line.
    #[arg(long, value_enum, default_value = "text", env = "MASV_LOG_FORMAT")]
    log_format: LogFormat,
    /// error, warn, info, debug or trace, also by module [default: warn on a terminal, else info]
    #[arg(long, value_name = "LEVEL", env = "MASV_LOG_LEVEL")]
    log_level: Option<String>,
    /// Write the log to this file instead of standard error; at 10 MB it gets a number, and four such files are kept.
    #[arg(long, value_name = "FILE", env = "MASV_LOG_FILE")]
    log_file: Option<PathBuf>,
}

impl Log {
    pub(super) fn start(&self) -> Result<(), CliError> {
        log::start(self.log_format, self.log_level.as_deref(), self.log_file.as_deref())
    }
}

pub(super) async fn run(
    command: Command,
    client: impl FnOnce() -> Result<Client, CliError>,
    output: &Output,
) -> Result<ExitCode, CliError> {
    match command {
        Command::Start { written } => start(*written, output).await?,
        Command::Status { settings: false } => {
            let server: Server = client()?.get("/server").await?;
            output.json(&server);
            show(&server, output);
        }
        Command::Status { settings: true } => {
            let answer: SettingsInForce = client()?.get("/server/settings").await?;
            output.json(&answer);
            let row = |setting: &Setting| [&setting.name, &setting.value, &setting.source].map(|s| s.clone().into());
            let rows: Vec<Vec<Cell>> = answer.settings.iter().map(|setting| row(setting).into()).collect();
            output.table(&["SETTING", "VALUE", "FROM"], &rows);
        }
        Command::Backup { file } => {
            let path = std::path::absolute(&file).map_err(|error| CliError::usage(error.to_string()))?;
            let wanted = json!({ "path": path });
            let answer: Copied = client()?.post("/server/backup", &wanted).await?;
            output.json(&answer);
            output.line(&format!("Copied the agent's state to {} ({}).", answer.path, size(answer.bytes)));
        }
        Command::Stop => {
            let client = client()?;
            client.tell("/server/stop").await?;
            let ended = tokio::time::timeout(STOPPING, ended(&client)).await.is_ok();
            output.json(&json!({ "stopping": true, "stopped": ended }));
            output.line(match ended {
                true => "The agent has stopped; transfers in flight resume at the next start.",
                false => "The agent is stopping; transfers in flight resume at the next start.",
            });
        }
        Command::Reload => {
            let answer: Value = client()?.order("/automations/reload").await?;
            output.line(&format!("Loaded {}.", count(answer["rules"].as_u64().unwrap_or_default(), "rule")));
            output.json(&answer);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Waits until the agent has released its data directory, so that another one can start; or, if that cannot be seen,
/// until nothing responds.
async fn ended(client: &Client) {
    loop {
        let going = match client.data_dir() {
            Some(data_dir) => agent::is_locked(data_dir),
            None => client.is_there().await,
        };
        if !going {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The agent's status in words.
pub(super) fn show(server: &Server, output: &Output) {
    let cloud = if server.embedded_hub { format!("{} (embedded hub)", server.cloud) } else { server.cloud.clone() };
    let uploads: Vec<String> = server.uploads.iter().map(|(state, count)| format!("{count} {state}")).collect();
    let rules = server.rules_file.as_deref().unwrap_or("none");
    output.line(&format!("masv {}, process {}, since {:.0}", server.version, server.pid, server.started_at));
    output.line(&format!("  cloud    {cloud}"));
    for limitation in &server.limitations {
        output.line(&format!("           {}", limitation.message));
    }
    output.line(&format!("  rules    {} in {rules}", server.rules));
    if let Some(problem) = &server.rules_problem {
        output.note(&format!("{problem}\n\nThe rules file is not loaded; the previous rules stay active."));
    }
    output.line(&format!("  uploads  {}", if uploads.is_empty() { "none".to_owned() } else { uploads.join(", ") }));
    for link in server.links.iter().filter(|link| link.busy > 0) {
        output.line(&format!("  {:<8} {}", link.direction, link_line(link)));
    }
    output.line(&format!("  data     {}", server.data_dir));
}

/// What is made of the way to the cloud in one direction.
fn link_line(link: &TransferLink) -> String {
    let mut line = format!("{} of {} parts at once", link.busy, link.workers);
    if let Some(trip) = link.round_trip_ms {
        line += &format!(", round trip {trip:.0} ms");
    }
    if link.goodput_bps > 0 {
        line += &format!(", {}/s", size(link.goodput_bps));
    }
    line + match link.limited_by.as_str() {
        "search" => ", trying more",
        "capacity" => ", more would bring nothing",
        "workers" => ", as many as may be",
        "throttling" => ", the cloud asks for fewer requests",
        "losses" => ", connections break",
        _ => "",
    }
}

/// Where each setting of `server start` came from.
pub(super) fn origins(matches: &ArgMatches) -> Origins {
    let start = matches.subcommand_matches("server").and_then(|server| server.subcommand_matches("start"));
    let Some(start) = start else { return Origins::new() };
    let origin = |id: &str| match start.value_source(id)? {
        ValueSource::CommandLine => Some(Origin::Flag),
        ValueSource::EnvVariable => Some(Origin::Environment),
        _ => None,
    };
    start.ids().filter_map(|id| Some((id.as_str().replace('_', "-"), origin(id.as_str())?))).collect()
}

async fn start(written: Written, output: &Output) -> Result<(), CliError> {
    let settings = written.build()?;
    let in_file = settings.log_file.is_some();
    log::start(settings.log_format, settings.log_level.as_deref(), settings.log_file.as_deref())?;
    let (sender, mut notices) = mpsc::channel(256);
    let showing = *output;
    let show = tokio::spawn(async move {
        while let Some(notice) = notices.recv().await {
            tell(&notice, showing);
        }
    });
    let ended = agent::run(settings, CancellationToken::new(), sender).await;
    // The agent's tasks have ended; their last events still have to be shown.
    let _ = tokio::time::timeout(Duration::from_secs(1), show).await;
    ended.map_err(|error| {
        if let AgentError::Rules(diagnostics) = &error {
            output.report(&diagnostics.render(std::io::stderr().is_terminal()));
        }
        let error = CliError::from(error);
        // On standard error it is printed anyway.
        if in_file {
            tracing::error!("the agent has ended: {}", error.message);
        }
        error
    })
}

/// The agent's messages go to standard output, even into a pipe: they are not the result of a command.
fn tell(notice: &Notice, output: Output) {
    let line = |text: &str| output.raw(&format!("{}\n", visible(text)));
    match notice {
        Notice::Ready(banner) => greet(banner, output, line),
        Notice::Received { name, folder, files, bytes } => {
            line(&format!("Received {name} ({})", amount(*files, *bytes)));
            line(&format!("  {folder}"));
        }
        Notice::Complete { name, link, files, bytes } => {
            line(&format!("Sent {name} ({})", amount(*files, *bytes)));
            // Anyone with a link has the package: it is for the person at the terminal, not for the journal.
            if let Some(link) = link.as_ref().filter(|_| std::io::stdout().is_terminal()) {
                line(&format!("  {link}"));
            }
        }
        Notice::Failed { name, message, hint } => {
            line(&format!("Failed {name}: {message}"));
            if let Some(hint) = hint {
                line(&format!("  {hint}"));
            }
        }
        Notice::RuleProblem { rule, message, hint } => {
            line(&format!("Rule {rule}: {message}"));
            if let Some(hint) = hint {
                line(&format!("  {hint}"));
            }
        }
        Notice::Reloaded { rules } => line(&format!("Loaded {}.", count(*rules as u64, "rule"))),
        Notice::BadRules { report } => {
            output.raw(&format!("{report}\nThe previous rules stay active.\n"));
        }
        Notice::Stopping => line("Stopping; transfers in flight resume at the next start."),
    }
}

fn amount(files: u64, bytes: u64) -> String {
    format!("{}, {}", count(files, "file"), size(bytes))
}

fn greet(banner: &Banner, output: Output, line: impl Fn(&str)) {
    let cloud = if banner.embedded_hub {
        format!("{} (embedded hub: no cloud is configured)", banner.cloud)
    } else {
        banner.cloud.clone()
    };
    line(&format!("masv {} is ready", env!("CARGO_PKG_VERSION")));
    line(&format!("  sends to  {cloud}"));
    line(&format!("  API       {}", banner.api));
    line(&format!("  state in  {}", banner.data_dir.display()));
    for limitation in &banner.limitations {
        line(&format!("  note      {}", limitation.message));
    }
    if let Some(limitation) = banner.limitations.first() {
        line(&format!("            {}", limitation.hint));
    }
    match &banner.rules_file {
        None => line("  no rules  pass a rules file with --rules; `masv rule init` prints one to start from"),
        Some(file) => line(&format!("  rules in  {}", file.display())),
    }
    for rule in &banner.rules {
        line("");
        line(&format!("  {}", rule.name));
        line(&format!("    {}", rule.watch.display()));
        line(&format!("    {}", rule.does));
    }
    for warning in &banner.warnings {
        output.raw(&format!("\n{}\n", warning.render(false)));
    }
    let receives = banner.rules.iter().filter(|rule| rule.receives).count();
    let what_to_do = match (banner.rules.len() - receives, receives) {
        (0, 0) => return,
        (0, _) => "Packages that arrive in the portals are saved to these folders. Ctrl-C stops the agent.",
        (_, 0) => "Drop files into these folders. Ctrl-C stops the agent.",
        _ => "Drop files into the watched folders. Ctrl-C stops the agent.",
    };
    line("");
    line(what_to_do);
}
