//! `masv service`: puts the service files, which are in the binary, where the system's service manager looks for them.
//!
//! **In**: which service, whose, below which root. **Out**: files, and orders to systemd or launchd.
//!
//! **Guarantees.** Doing it again changes nothing. A settings file that is there is left alone, also by `uninstall`, and
//! so is all state.

use std::path::{Path, PathBuf};
use std::process::{Command as Process, ExitCode};

use clap::{Args, Subcommand};
use serde_json::json;

use super::error::{CliError, Exit};
use super::output::Output;

const SYSTEM_UNIT: &str = include_str!("../../systemd/masv-agent.service");
const INSTANCE_UNIT: &str = include_str!("../../systemd/masv-agent@.service");
const USER_UNIT: &str = include_str!("../../systemd/user/masv-agent.service");
const HUB_UNIT: &str = include_str!("../../systemd/masv-hub.service");
const SYSUSERS: &str = include_str!("../../systemd/masv-agent.sysusers");
const SETTINGS: &str = include_str!("../../systemd/agent.yaml");
const AGENT_PLIST: &str = include_str!("../../launchd/io.masv.agent.plist");
const HUB_PLIST: &str = include_str!("../../launchd/io.masv.hub.plist");

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Write the service files, and start the service now and at every boot.
    #[command(after_help = "Examples:\n  sudo masv service install\n  masv service install --user")]
    Install(Which),
    /// Stop the service and remove its files; settings and state stay.
    #[command(after_help = "Example:\n  sudo masv service uninstall")]
    Uninstall(Which),
    /// Whether the service is installed and runs; exit code 3 when it does not run.
    #[command(after_help = "Example:\n  masv service status --user")]
    Status(Which),
    /// Print the service file as `install` writes it.
    #[command(after_help = "Example:\n  masv service print --user")]
    Print(Which),
}

/// Which service.
#[derive(Debug, Clone, Args)]
pub(super) struct Which {
    /// The service of whoever runs this, instead of the system's.
    #[arg(long)]
    user: bool,
    /// The hub instead of the agent.
    #[arg(long, conflicts_with = "user")]
    hub: bool,
    /// Another agent beside the first, with settings of its own (systemd only).
    #[arg(long, value_name = "NAME", conflicts_with_all = ["user", "hub"])]
    instance: Option<String>,
    /// Write below this folder, and start nothing: for images and packages.
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
}

/// A file to be there.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    path: PathBuf,
    content: String,
    /// Somebody else's once it is written: neither written over nor removed.
    keep: bool,
}

/// Where things are on this machine.
#[derive(Debug, Clone)]
struct Place {
    binary: PathBuf,
    home: PathBuf,
    /// `$XDG_CONFIG_HOME`, or its usual place.
    config: PathBuf,
    macos: bool,
    /// Who called sudo: on macOS the daemon runs as that user, whose folders it watches.
    caller: Option<String>,
}

impl Place {
    fn here() -> Result<Self, CliError> {
        let binary = std::env::current_exe().and_then(std::path::absolute);
        let binary = binary.map_err(|error| CliError::failed(format!("cannot tell where masv is: {error}")))?;
        let home = std::env::home_dir().unwrap_or_else(|| PathBuf::from("/"));
        let config = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        Ok(Self {
            binary,
            config: config.unwrap_or_else(|| home.join(".config")),
            home,
            macos: cfg!(target_os = "macos"),
            caller: std::env::var("SUDO_USER").ok().filter(|name| !name.is_empty()),
        })
    }
}

impl Which {
    /// Its name to the service manager.
    fn name(&self, place: &Place) -> String {
        match (place.macos, self.hub, &self.instance) {
            (true, true, _) => "io.masv.hub".to_owned(),
            (true, false, _) => "io.masv.agent".to_owned(),
            (false, true, _) => "masv-hub.service".to_owned(),
            (false, false, None) => "masv-agent.service".to_owned(),
            (false, false, Some(instance)) => format!("masv-agent@{instance}.service"),
        }
    }

    fn check(&self, place: &Place) -> Result<(), CliError> {
        let Some(instance) = &self.instance else { return Ok(()) };
        if place.macos {
            return Err(CliError::usage("--instance is for systemd"));
        }
        let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if instance.is_empty() || !instance.bytes().all(fine) {
            return Err(CliError::usage("--instance: a name has letters, digits, - and _"));
        }
        Ok(())
    }

    /// The service file itself first.
    fn files(&self, place: &Place) -> Vec<Wanted> {
        let below = |path: PathBuf| match &self.root {
            Some(root) => root.join(path.strip_prefix("/").unwrap_or(&path)),
            None => path,
        };
        let wanted = |path: PathBuf, content: String, keep| Wanted { path: below(path), content, keep };
        let binary = place.binary.display().to_string();
        let mut files = Vec::new();
        if place.macos {
            let settings = self.settings(place);
            let text = if self.hub { HUB_PLIST } else { AGENT_PLIST };
            let mut text = text
                .replace("/usr/local/bin/masv", &xml(&binary))
                .replace("/usr/local/etc/masv-agent/agent.yaml", &xml(&settings.display().to_string()));
            if self.user {
                let logs = place.home.join("Library/Logs");
                text = text.replace("/usr/local/var/log", &xml(&logs.display().to_string()));
            } else if let Some(caller) = &place.caller {
                let user = format!("  <key>UserName</key>\n  <string>{}</string>\n</dict>\n</plist>", xml(caller));
                text = text.replace("</dict>\n</plist>", &user);
            }
            files.push(wanted(self.service_file(place), text, false));
            if !self.hub {
                files.push(wanted(settings, SETTINGS.to_owned(), true));
            }
            return files;
        }
        let unit = match (self.hub, self.user, &self.instance) {
            (true, ..) => HUB_UNIT,
            (_, true, _) => USER_UNIT,
            (.., Some(_)) => INSTANCE_UNIT,
            _ => SYSTEM_UNIT,
        };
        // A % in a path means itself when it is doubled; blanks need quotes.
        let command = format!("ExecStart=\"{}\" ", binary.replace('%', "%%").replace('"', "\\\""));
        files.push(wanted(self.service_file(place), unit.replace("ExecStart=/usr/bin/masv ", &command), false));
        if !self.user {
            files.push(wanted("/etc/sysusers.d/masv-agent.conf".into(), SYSUSERS.to_owned(), true));
        }
        if !self.hub {
            files.push(wanted(self.settings(place), SETTINGS.to_owned(), true));
        }
        files
    }

    fn service_file(&self, place: &Place) -> PathBuf {
        match (place.macos, self.user) {
            (true, true) => place.home.join("Library/LaunchAgents").join(format!("{}.plist", self.name(place))),
            (true, false) => PathBuf::from("/Library/LaunchDaemons").join(format!("{}.plist", self.name(place))),
            (false, true) => place.config.join("systemd/user/masv-agent.service"),
            (false, false) if self.instance.is_some() => PathBuf::from("/etc/systemd/system/masv-agent@.service"),
            (false, false) => PathBuf::from("/etc/systemd/system").join(self.name(place)),
        }
    }

    fn settings(&self, place: &Place) -> PathBuf {
        let folder = match (place.macos, self.user) {
            (_, true) => place.config.join("masv-agent"),
            (true, false) => PathBuf::from("/usr/local/etc/masv-agent"),
            (false, false) => PathBuf::from("/etc/masv-agent"),
        };
        folder.join(format!("{}.yaml", self.instance.as_deref().unwrap_or("agent")))
    }
}

fn xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
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
    let mut done = Vec::new();
    for file in which.files(place) {
        let what = write(&file).map_err(|error| file_error("write", &file.path, &error, which))?;
        done.push(format!("{what} {}", file.path.display()));
    }
    if which.root.is_none() {
        let changed = done.iter().any(|line| line.starts_with("wrote"));
        // One that runs with these files already is not disturbed.
        if changed || unit_state(which, place) != "active" {
            done.extend(start(which, place)?);
        } else {
            done.push(format!("{} runs already", which.name(place)));
        }
    }
    report(&done, output);
    Ok(())
}

/// What was done: the file is `wrote`, `kept` or `unchanged`.
fn write(file: &Wanted) -> std::io::Result<&'static str> {
    match std::fs::read_to_string(&file.path) {
        Ok(there) if there == file.content => return Ok("unchanged"),
        Ok(_) if file.keep => return Ok("kept"),
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let folder = file.path.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(folder)?;
    // Written aside and moved: a service file is never half there.
    let temporary = tempfile::NamedTempFile::new_in(folder)?;
    std::fs::write(temporary.path(), &file.content)?;
    std::fs::set_permissions(temporary.path(), std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    temporary.persist(&file.path).map_err(|error| error.error)?;
    Ok("wrote")
}

fn start(which: &Which, place: &Place) -> Result<Vec<String>, CliError> {
    let name = which.name(place);
    if place.macos {
        let file = which.service_file(place).display().to_string();
        // One that is loaded already has to be unloaded to take up a new file; one that is not can not be.
        let _ = order("launchctl", &["bootout", &format!("{}/{name}", domain(which))]);
        order("launchctl", &["bootstrap", &domain(which), &file])?;
        return Ok(vec![format!("started {name}")]);
    }
    if !which.user {
        order("systemd-sysusers", &["/etc/sysusers.d/masv-agent.conf"])?;
    }
    order("systemctl", &systemctl(which, &["daemon-reload"]))?;
    order("systemctl", &systemctl(which, &["enable", &name]))?;
    // Restart and not start: the files may be others than those that it runs with.
    order("systemctl", &systemctl(which, &["restart", &name]))?;
    let mut done = vec![format!("started {name}, now and at every boot")];
    if which.user {
        done.push("it runs while you are logged in; `loginctl enable-linger` keeps it running".to_owned());
    }
    Ok(done)
}

fn uninstall(which: &Which, place: &Place, output: &Output) -> Result<(), CliError> {
    which.check(place)?;
    let mut done = Vec::new();
    if which.root.is_none() && installed(which, place) {
        let name = which.name(place);
        if place.macos {
            let _ = order("launchctl", &["bootout", &format!("{}/{name}", domain(which))]);
        } else {
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
    output.line("Settings and state are left where they are.");
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

/// The word of the service manager: `active`, `inactive`, `failed`, ...; `unknown` where there is none.
fn unit_state(which: &Which, place: &Place) -> String {
    let name = which.name(place);
    if place.macos {
        let known = order("launchctl", &["print", &format!("{}/{name}", domain(which))]);
        let running = known.is_ok_and(|text| text.contains("state = running"));
        return if running { "active" } else { "inactive" }.to_owned();
    }
    // `is-active` answers with an exit code other than 0 for everything that is not active.
    let asked = Process::new("systemctl").args(systemctl(which, &["is-active", &name])).output();
    let answer = asked.map(|asked| String::from_utf8_lossy(&asked.stdout).trim().to_owned()).unwrap_or_default();
    if answer.is_empty() { "unknown".to_owned() } else { answer }
}

/// What the service manager says of the agent's service, the system's or else the user's, where it is installed.
pub(super) fn installed_state() -> Option<(String, String)> {
    let place = Place::here().ok()?;
    let mut both = [false, true].map(|user| Which { user, hub: false, instance: None, root: None }).into_iter();
    let which = both.find(|which| installed(which, &place))?;
    Some((which.name(&place), unit_state(&which, &place)))
}

fn systemctl<'a>(which: &Which, arguments: &[&'a str]) -> Vec<&'a str> {
    let whose = if which.user { &["--user"][..] } else { &[] };
    whose.iter().chain(arguments).copied().collect()
}

fn domain(which: &Which) -> String {
    if which.user { format!("gui/{}", rustix::process::getuid().as_raw()) } else { "system".to_owned() }
}

fn order(program: &str, arguments: &[&str]) -> Result<String, CliError> {
    let said = Process::new(program).args(arguments).output().map_err(|error| {
        CliError::failed(format!("cannot run {program}: {error}")).hint(
            "the files are written; where there is no systemd or launchd, start `masv server start` by other means",
        )
    })?;
    if said.status.success() {
        return Ok(String::from_utf8_lossy(&said.stdout).into_owned());
    }
    let complaint = String::from_utf8_lossy(&said.stderr).trim().to_owned();
    Err(CliError::failed(format!("`{program} {}` failed: {complaint}", arguments.join(" "))))
}

fn file_error(verb: &str, path: &Path, error: &std::io::Error, which: &Which) -> CliError {
    let failed = CliError::failed(format!("cannot {verb} {}: {error}", path.display()));
    if error.kind() == std::io::ErrorKind::PermissionDenied && !which.user {
        return failed.hint("run it with sudo, or with --user for a service of your own");
    }
    failed
}

fn report(done: &[String], output: &Output) {
    output.json(&json!({ "done": done }));
    for line in done {
        output.line(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn which(root: &Path) -> Which {
        Which { user: false, hub: false, instance: None, root: Some(root.to_owned()) }
    }

    fn place(macos: bool) -> Place {
        Place {
            binary: "/opt/my tools/masv".into(),
            home: "/home/ann".into(),
            config: "/home/ann/.config".into(),
            macos,
            caller: Some("ann".into()),
        }
    }

    #[test]
    fn a_unit_names_this_binary_and_installing_again_changes_nothing() {
        let root = tempfile::tempdir().unwrap();
        let which = which(root.path());
        let files = which.files(&place(false));
        assert!(files[0].content.contains("ExecStart=\"/opt/my tools/masv\" server start --config /etc/masv-agent/"));
        let first: Vec<_> = files.iter().map(|file| write(file).unwrap()).collect();
        let again: Vec<_> = files.iter().map(|file| write(file).unwrap()).collect();
        assert_eq!((first, again), (vec!["wrote"; 3], vec!["unchanged"; 3]));
        std::fs::write(&files[0].path, "old").unwrap();
        std::fs::write(&files[2].path, "rules: /srv/rules.yaml\n").unwrap();
        let outcome: Vec<_> = files.iter().map(|file| write(file).unwrap()).collect();
        assert_eq!(outcome, ["wrote", "unchanged", "kept"]);
    }

    #[test]
    fn a_daemon_of_macos_runs_as_who_installed_it() {
        let root = tempfile::tempdir().unwrap();
        let daemon = which(root.path()).files(&place(true));
        assert!(daemon[0].content.contains("<string>ann</string>"), "{}", daemon[0].content);
        let own = Which { user: true, ..which(root.path()) }.files(&place(true));
        assert!(own[0].content.contains("/home/ann/Library/Logs/masv-agent.log"));
        assert!(own[0].path.ends_with("home/ann/Library/LaunchAgents/io.masv.agent.plist"));
    }

    #[test]
    fn an_instance_has_settings_of_its_own_and_a_name_that_is_one() {
        let root = tempfile::tempdir().unwrap();
        let instance = |name: &str| Which { instance: Some(name.into()), ..which(root.path()) };
        assert!(instance("studio-b").settings(&place(false)).ends_with("studio-b.yaml"));
        assert!(instance("studio-b").check(&place(false)).is_ok());
        for name in ["", "a/b", "a b", "../x"] {
            assert!(instance(name).check(&place(false)).is_err(), "{name}");
        }
    }
}
