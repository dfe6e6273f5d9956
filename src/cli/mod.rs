//! The command line: a command becomes a call of the local API, or starts the agent or the hub.
//!
//! **In**: arguments and the environment. **Out**: tables or JSON on standard output, messages on standard error, an exit code
//! with a documented meaning.
//!
//! **Guarantees.** With JSON output, nothing but JSON goes to standard output. A user's mistake gets a hint on what to do, never
//! with a backtrace.
//!
//! Must never know: the database, or how anything is done.

mod addresses;
mod automation;
mod bars;
mod client;
mod complete;
mod confirm;
mod context;
mod doctor;
mod download;
mod error;
mod fleet;
mod hub;
mod interrupt;
mod list;
mod log;
mod log_file;
mod logs;
mod man;
mod open;
mod output;
mod overview;
mod password;
mod rule;
mod rule_reports;
mod server;
mod service;
mod settings;
#[cfg(test)]
mod settings_page;
mod setup;
mod short;
mod table;
mod transfers;
mod upload;
mod user;
mod verify;
mod watch;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;
use futures_util::future::LocalBoxFuture;

use client::Client;
use error::CliError;
use output::{Format, Output};

/// Uploads files from watched folders, or given on the command line, to the MASV cloud or your own hub.
#[derive(Debug, Parser)]
#[command(name = "masv", version, max_term_width = 110, disable_help_subcommand = true, subcommand_required = true)]
#[command(
    after_help = "Examples:\n  masv server start --rules rules.example.yaml\n  masv upload start link --name 'Rough cut' cut_v3.mov\n  masv rule check rules.yaml"
)]
struct Arguments {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
    /// Whether the command shows a list.
    #[arg(skip)]
    lists: bool,
}

/// Options that every command accepts.
#[derive(Debug, Clone, clap::Args)]
struct Common {
    /// The agent's address: http://HOST:PORT or unix:///PATH [default: that of the running agent]
    #[arg(long, global = true, value_name = "URL", env = "MASV_SERVER", hide_env = true)]
    server: Option<String>,
    /// The agent of this context; see `masv context` [default: the current one]
    #[arg(long, global = true, value_name = "NAME", env = "MASV_CONTEXT", hide_env = true)]
    context: Option<String>,
    /// Whether --server is on the command line; it does not count as such if it comes from the variable.
    #[arg(skip)]
    server_typed: bool,
    /// The same for --context.
    #[arg(skip)]
    context_typed: bool,
    /// Output format [default: text on a terminal, otherwise json]
    #[arg(short, long, global = true, value_enum)]
    output: Option<Format>,
    /// The same as --output json.
    #[arg(long, global = true, conflicts_with = "output")]
    json: bool,
    /// File with the agent's token, for callers other than the agent's user and root; MASV_TOKEN holds the token itself.
    #[arg(long = "with-token", global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Set up an agent: asks where to send packages and what to watch, checks the answers, and writes a rules file.
    #[command(
        after_help = "Examples:\n  masv setup\n  masv setup --yes --listen 192.168.1.20:8090 --watch /srv/drop\n  masv setup --yes --cloud-url https://api.massive.app --api-key-file key --email client@example.com"
    )]
    Setup(Box<setup::Setup>),
    /// The agent itself: start, stop, status, reload.
    #[command(subcommand)]
    Server(server::Command),
    /// Show the agent at a glance: its status, what is wrong, and what is being transferred.
    #[command(after_help = "Example:\n  masv status")]
    Status,
    /// List uploads, newest first; short for `masv upload ls`.
    #[command(after_help = "Example:\n  masv ls --states transferring,error")]
    Ls(transfers::Which),
    /// Open the dashboard, or the link of an upload, in a browser; print the address if there is no browser.
    #[command(after_help = "Examples:\n  masv open\n  masv open dailies\n  sudo masv open --print")]
    Open(open::Open),
    /// Cloud session: login, status, teams, logout.
    #[command(subcommand)]
    User(user::Command),
    /// Uploads: start, list, control, watch.
    #[command(subcommand)]
    Upload(upload::Command),
    /// Downloads: receive a package by its link.
    #[command(subcommand)]
    Download(download::Command),
    /// Rules: check them, see what they do and why.
    #[command(subcommand)]
    Rule(rule::Command),
    /// The same rules under the MASV Agent's names: ls, add, update, delete.
    #[command(subcommand)]
    Automation(automation::Command),
    /// Settings that can be changed at run time: rate-limit, workers, fifo, open-files, disk-readers; without one of them, shows all.
    #[command(after_help = "Examples:\n  masv settings\n  masv settings workers update 8")]
    Settings(settings::Settings),
    /// Agents that are known by name, here or elsewhere: add, ls, use, rm.
    #[command(subcommand)]
    Context(context::Command),
    /// All agents that are known by name, at a glance.
    #[command(subcommand)]
    Fleet(fleet::Command),
    /// Show the end of the agent's log, if it is written to a file.
    #[command(after_help = "Examples:\n  masv logs\n  masv logs -f -n 200")]
    Logs(logs::Logs),
    /// The self-hosted server that speaks the same protocol.
    #[command(subcommand)]
    Hub(Box<hub::Command>),
    /// Run the agent as a systemd or launchd service: install, uninstall, status, print.
    #[command(subcommand)]
    Service(service::Command),
    /// Check for problems that keep the agent from working; the worst finding determines the exit code.
    #[command(after_help = "Examples:\n  masv doctor\n  masv doctor --rules rules.yaml --output json")]
    Doctor(doctor::Doctor),
    /// Compare a received folder with the checksum lists in it; the exit code is 1 unless everything listed is right.
    #[command(
        after_help = "Examples:\n  masv verify Dailies\n  masv verify --list checksums.txt --strict --output json"
    )]
    Verify(verify::Verify),
    /// Print help for a command.
    #[command(after_help = "Examples:\n  masv help\n  masv help upload start")]
    Help {
        /// The command, such as `upload start`.
        command: Vec<String>,
    },
    /// Print the version.
    #[command(after_help = "Example:\n  masv version")]
    Version,
    /// Print the script by which a shell completes commands, and the ids, names and states that there are.
    #[command(
        after_help = "Examples:\n  masv completions bash > /etc/bash_completion.d/masv\n  masv completions zsh > /usr/local/share/zsh/site-functions/_masv\n  masv completions fish > ~/.config/fish/completions/masv.fish"
    )]
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Print the manual page, or write one for every command.
    #[command(after_help = "Examples:\n  masv man | man -l -\n  masv man --to /usr/local/share/man/man1")]
    Man {
        /// Write a page for each command to this folder, which is created if it is missing.
        #[arg(long, value_name = "DIR")]
        to: Option<PathBuf>,
    },
}

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    masv_platform::keep_own_files_usable();
    complete::answer();
    let arguments = match parse(std::env::args_os()) {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    let output = Output::new(arguments.common.output.or(arguments.common.json.then_some(Format::Json)));
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return output.fail(&CliError::failed(format!("cannot start: {error}"))),
    };
    // Boxed, or the whole command line is compiled once for each kind of scheduler.
    let work: LocalBoxFuture<'_, _> = Box::pin(run(arguments, &output));
    let code = match runtime.block_on(work) {
        Ok(code) => code,
        Err(error) => output.fail(&error),
    };
    // Copying or hashing a large file may take hours; the next start begins it again.
    runtime.shutdown_background();
    code
}

fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Arguments, ExitCode> {
    let arguments: Vec<OsString> = arguments.collect();
    // A word in the place of a command, not one further below.
    let top = arguments.get(1).and_then(|word| word.to_str());
    let parsed = command().try_get_matches_from(&arguments).and_then(|matches| {
        let mut parsed = Arguments::from_arg_matches(&matches)?;
        parsed.lists = lists(&matches);
        let typed = |id| matches.value_source(id) == Some(ValueSource::CommandLine);
        (parsed.common.server_typed, parsed.common.context_typed) = (typed("server"), typed("context"));
        if let Command::Server(server::Command::Start { written }) = &mut parsed.command {
            written.origins = server::origins(&matches);
        }
        Ok(parsed)
    });
    parsed.map_err(|error| {
        // If the message cannot be printed, the exit code still reports the error.
        let _ = error.print();
        if let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand)
            && top == Some(word)
            && let Some(command) = meant(word)
        {
            let _ = writeln!(anstream::stderr(), "\n  `{command}` may be what you are looking for.");
        }
        ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
    })
}

/// Whether the command that was given has the options of lists.
fn lists(matches: &ArgMatches) -> bool {
    let mut matches = matches;
    while let Some((_, below)) = matches.subcommand() {
        matches = below;
    }
    matches.try_contains_id("no_headers").is_ok()
}

async fn run(arguments: Arguments, output: &Output) -> Result<ExitCode, CliError> {
    if output.is_csv() && !arguments.lists {
        return Err(CliError::usage("csv is supported only by commands that list something").hint("use --output json"));
    }
    let client = || Client::new(&arguments.common);
    match arguments.command {
        Command::Setup(setup) => setup::run(*setup, output).await,
        Command::Server(command) => server::run(command, client, output).await,
        Command::Status => overview::run(&client()?, output).await,
        Command::Ls(which) => upload::run(upload::Command::Ls(which), &client()?, output).await,
        Command::Help { command } => help(&command, output),
        Command::Version => {
            output.json(&serde_json::json!({ "version": env!("CARGO_PKG_VERSION") }));
            output.line(&format!("masv {}", env!("CARGO_PKG_VERSION")));
            Ok(ExitCode::SUCCESS)
        }
        Command::Open(options) => open::run(options, &client()?, output).await,
        Command::User(command) => user::run(command, &client()?, output).await,
        Command::Upload(command) => upload::run(command, &client()?, output).await,
        Command::Download(command) => download::run(command, &client()?, output).await,
        Command::Rule(command) => rule::run(command, client, output).await,
        Command::Automation(command) => automation::run(command, client, output).await,
        Command::Settings(settings) => settings::run(settings, &client()?, output).await,
        Command::Context(command) => context::run(command, &arguments.common, output),
        Command::Fleet(command) => fleet::run(command, &arguments.common, output).await,
        Command::Logs(options) => logs::run(options, &client()?, output).await,
        Command::Hub(command) => hub::run(*command, output).await,
        Command::Service(command) => service::run(command, output),
        Command::Verify(options) => verify::run(options, output).await,
        Command::Doctor(options) => doctor::run(options, &client()?, output).await,
        Command::Completions { shell } => {
            output.raw(&complete::registration(&shell.to_string())?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Man { to: Some(folder) } => {
            let written = man::write_all(&command(), &folder);
            written.map_err(|error| CliError::failed(format!("cannot write to {}: {error}", folder.display())))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Man { to: None } => {
            let page = man::main_page(&command()).map_err(|error| CliError::failed(error.to_string()))?;
            output.raw(&String::from_utf8_lossy(&page));
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Prints the same as `--help` of the command.
fn help(words: &[String], output: &Output) -> Result<ExitCode, CliError> {
    let mut all = command();
    all.build();
    let mut command = &mut all;
    for (depth, word) in words.iter().enumerate() {
        command = command.find_subcommand_mut(word).ok_or_else(|| {
            CliError::usage(format!("there is no command `masv {}`", words[..=depth].join(" ")))
                .hint(similar(words).unwrap_or_else(|| "`masv help` lists the commands".to_owned()))
        })?;
    }
    output.raw(&format!("{}\n", command.render_long_help().ansi()));
    Ok(ExitCode::SUCCESS)
}

/// The commands with other words for them that people know from other programs.
fn command() -> clap::Command {
    fn with_others(command: clap::Command) -> clap::Command {
        let command = command.mut_subcommands(with_others);
        match command.get_name() {
            "ls" => command.alias("list"),
            "status" => command.alias("show"),
            "rm" => command.aliases(["remove", "delete"]),
            _ => command,
        }
    }
    with_others(Arguments::command())
}

/// The command that was probably meant by words that are not one.
fn similar(words: &[String]) -> Option<String> {
    let typed = std::iter::once("masv").chain(words.iter().map(String::as_str));
    let error = command().try_get_matches_from(typed).err()?;
    match error.get(ContextKind::SuggestedSubcommand)? {
        ContextValue::Strings(words) => Some(format!("did you mean `{}`?", words.first()?)),
        _ => None,
    }
}

/// What somebody means who types this in the place of a command.
fn meant(word: &str) -> Option<&'static str> {
    Some(match word {
        "send" | "share" | "put" => "masv upload start link FILE",
        "get" | "receive" | "fetch" => "masv download start --url LINK --destination FOLDER",
        "start" | "run" => "masv server start",
        "stop" | "kill" => "masv server stop",
        "reload" => "masv rule reload",
        "ps" | "top" | "watch" | "progress" => "masv upload watch",
        "pause" | "resume" | "rm" | "remove" | "delete" | "add" | "finalize" | "cancel" => "masv upload COMMAND ID",
        "links" | "link" => "masv upload status ID",
        "list" | "uploads" => "masv upload ls",
        "downloads" => "masv download ls",
        "rules" => "masv rule ls",
        "history" => "masv rule history RULE",
        "login" | "logout" | "whoami" => "masv user COMMAND",
        "config" | "set" => "masv settings",
        "check" => "masv rule check",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        command().debug_assert();
    }

    #[test]
    fn flags_are_taken_in_both_forms() {
        let parse = |line: &str| Arguments::try_parse_from(line.split(' '));
        for line in [
            "masv upload start email --emails=a@x,b@y --password p a.mov",
            "masv upload start link --delete-after 3 --unlimited-storage=false --no-finalize a.mov b.mov",
            "masv upload start portal --subdomain=s --sender=a@x --metadata=k=v,k2=v2 a.mov",
            "masv upload ls --output json",
            "masv download start --url https://x/1?secret=s --destination in --create-package-folder=false --overwrite",
            "masv settings rate-limit update --limit 20MB --direction download",
            "masv automation add download --name a --subdomain s --destination in --create-package-folder=true --priority 1",
            "masv automation add download --all --name a --destination in --effective-time 2025-01-20 --enable=false",
            "masv automation add upload --name a --watch in --emails a@x,b@y --move-to sent",
            "masv --server http://127.0.0.1:1 upload pause all",
            "masv server start --auto-finalize=false --listen http://127.0.0.1:0",
        ] {
            assert!(parse(line).is_ok(), "{line}: {:?}", parse(line).err());
        }
        assert!(parse("masv upload start link").is_err(), "a path is needed");
    }

    /// The help of a command and its subcommands, at a width of 100; the global options are shown once.
    fn help_of(command: &clap::Command, text: &mut String) {
        let shown_once = |argument: clap::Arg| {
            let everywhere = argument.is_global_set() || matches!(argument.get_id().as_str(), "help" | "version");
            argument.hide(everywhere)
        };
        let mut shown = if text.is_empty() { command.clone() } else { command.clone().mut_args(shown_once) };
        let help = shown.render_long_help().to_string();
        let name = command.get_bin_name().unwrap_or("masv").to_owned();
        text.push_str(&format!("$ {name} --help\n{}\n\n", help.trim_end()));
        for below in command.get_subcommands() {
            help_of(below, text);
        }
    }

    #[test]
    fn the_written_help_is_what_the_commands_print() {
        let mut command = without_values(command()).term_width(100);
        command.build();
        let mut text = String::new();
        help_of(&command, &mut text);
        let text: String = text.lines().map(|line| format!("{}\n", line.trim_end())).collect();
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/cli-help.txt");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, &text).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(written == text, "docs/cli-help.txt is old: run `UPDATE_DOCS=1 cargo test --lib cli::`");
    }

    /// The test must not depend on the environment of whoever runs it.
    fn without_values(command: clap::Command) -> clap::Command {
        command.mut_args(|argument| argument.hide_env_values(true)).mut_subcommands(without_values)
    }
}
