//! `masv service`: installs the service files, which are in the binary, where the system's service manager looks for them.
//!
//! **In**: which service, whose, below which root. **Out**: files, and commands to systemd or launchd.
//!
//! **Guarantees.** Idempotent. An existing settings file is left alone, also by `uninstall`, and
//! so is all state.

mod files;
mod launchd;
mod manager;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use super::error::{CliError, Exit};
use super::output::Output;
use files::{Ground, HUB_SOCKET_FILE, Place, make, write};
use manager::{domain, order, start, systemctl, unit_state};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Install the service and start it, now and at every boot.
    #[command(after_help = "Examples:\n  sudo masv service install\n  masv service install --user")]
    Install(Which),
    /// Stop the service and remove its files; settings and state are kept.
    #[command(after_help = "Example:\n  sudo masv service uninstall")]
    Uninstall(Which),
    /// Show whether the service is installed and running; exit code 3 if it is not running.
    #[command(after_help = "Example:\n  masv service status --user")]
    Status(Which),
    /// Print the service file that `install` writes.
    #[command(after_help = "Example:\n  masv service print --user")]
    Print(Which),
}

/// Which service.
#[derive(Debug, Clone, Args)]
pub(super) struct Which {
    /// A service of the current user instead of a system service.
    #[arg(long)]
    user: bool,
    /// The hub instead of the agent.
    #[arg(long, conflicts_with = "user")]
    hub: bool,
    /// Another agent beside the first, with its own settings (systemd only).
    #[arg(long, value_name = "NAME", conflicts_with_all = ["user", "hub"])]
    instance: Option<String>,
    /// Write below this folder and start nothing: for building images and packages.
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
}

pub(super) fn run(command: Command, output: &Output) -> Result<ExitCode, CliError> {
    let place = Place::here()?;
    match command {
        Command::Install(which) => install(&which, &place, output)?,
        Command::Uninstall(which) => uninstall(&which, &place, output)?,
        Command::Status(which) => return status(&which, &place, output),
        Command::Print(which) => {
            which.check(&place)?;
            if let Some(file) = which.files(&place).first() {
                output.raw(&file.content);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn install(which: &Which, place: &Place, output: &Output) -> Result<(), CliError> {
    which.check(place)?;
    if which.root.is_none() {
        which.sees_its_program(place)?;
    }
    let mut done = Vec::new();
    for file in which.files(place) {
        let what = write(&file).map_err(|error| file_error("write", &file.path, &error, which))?;
        done.push(format!("{what} {}", file.path.display()));
    }
    for ground in which.ground(place) {
        let (Ground::Folder(path) | Ground::Log(path)) = &ground;
        if make(&ground, place).map_err(|error| file_error("make", path, &error, which))? {
            done.push(format!("created {}", path.display()));
        }
    }
    if which.root.is_none() {
        let changed = done.iter().any(|line| line.starts_with("wrote"));
        // A service that already runs with these files is not restarted.
        if changed || unit_state(which, place) != "active" {
            done.extend(start(which, place)?);
        } else {
            done.push(format!("{} is already running", which.name(place)));
        }
    }
    report(&done, output);
    Ok(())
}

fn uninstall(which: &Which, place: &Place, output: &Output) -> Result<(), CliError> {
    which.check(place)?;
    let mut done = Vec::new();
    if which.root.is_none() && installed(which, place) {
        let name = which.name(place);
        if place.macos {
            let _ = order("launchctl", &["bootout", &format!("{}/{name}", domain(which))]);
        } else {
            // The socket first: it would start the service again.
            if which.hub && Path::new(HUB_SOCKET_FILE).exists() {
                order("systemctl", &systemctl(which, &["disable", "--now", "masv-hub.socket"]))?;
            }
            order("systemctl", &systemctl(which, &["disable", "--now", &name]))?;
        }
        done.push(format!("stopped {name}"));
    }
    // The template may serve other instances.
    let ours = which.files(place).into_iter().filter(|file| !file.keep && which.instance.is_none());
    for file in ours {
        match std::fs::remove_file(&file.path) {
            Ok(()) => done.push(format!("removed {}", file.path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(file_error("remove", &file.path, &error, which)),
        }
    }
    if which.root.is_none() && !place.macos && !done.is_empty() {
        order("systemctl", &systemctl(which, &["daemon-reload"]))?;
    }
    if done.is_empty() {
        done.push("nothing was installed".to_owned());
    }
    report(&done, output);
    output.line("Settings and state are kept.");
    Ok(())
}

fn installed(which: &Which, place: &Place) -> bool {
    which.service_file(place).exists()
}

fn status(which: &Which, place: &Place, output: &Output) -> Result<ExitCode, CliError> {
    which.check(place)?;
    let name = which.name(place);
    let state = unit_state(which, place);
    let installed = installed(which, place);
    let running = matches!(state.as_str(), "active" | "reloading" | "activating");
    output.json(&json!({ "service": name, "installed": installed, "state": state }));
    output.line(&format!("{name} is {}, {state}", if installed { "installed" } else { "not installed" }));
    Ok(if running { ExitCode::SUCCESS } else { ExitCode::from(Exit::NoAgent as u8) })
}

/// What the service manager reports for the agent's service (the system's, or else the user's), if it is installed.
pub(super) fn installed_state() -> Option<(String, String)> {
    let place = Place::here().ok()?;
    let mut both = [false, true].map(|user| Which { user, hub: false, instance: None, root: None }).into_iter();
    let which = both.find(|which| installed(which, &place))?;
    Some((which.name(&place), unit_state(&which, &place)))
}

fn file_error(verb: &str, path: &Path, error: &std::io::Error, which: &Which) -> CliError {
    let failed = CliError::failed(format!("cannot {verb} {}: {error}", path.display()));
    if error.kind() == std::io::ErrorKind::PermissionDenied && !which.user {
        return failed.hint("run it with sudo, or with --user to install a service for your user");
    }
    failed
}

fn report(done: &[String], output: &Output) {
    output.json(&json!({ "done": done }));
    for line in done {
        output.line(line);
    }
}
