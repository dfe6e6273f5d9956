//! Commands to systemd or launchd, and what their results mean.

use std::path::PathBuf;
use std::process::Command as Process;

use super::Which;
use super::files::Place;
use super::launchd;
use crate::cli::error::CliError;
use masv_platform::own_user;

/// The service manager's state: `active`, `inactive`, `failed`, ...; `unknown` if there is none.
pub(super) fn unit_state(which: &Which, place: &Place) -> String {
    let name = which.name(place);
    if place.macos {
        let known = order("launchctl", &["print", &format!("{}/{name}", domain(which))]);
        let running = known.is_ok_and(|text| text.contains("state = running"));
        return if running { "active" } else { "inactive" }.to_owned();
    }
    // `is-active` exits with a code other than 0 unless the service is active.
    let mut asked = Process::new("systemctl");
    asked.args(systemctl(which, &["is-active", &name]));
    if which.user && std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        asked.env("XDG_RUNTIME_DIR", runtime_dir());
    }
    let asked = asked.output();
    let answer = asked.map(|asked| String::from_utf8_lossy(&asked.stdout).trim().to_owned()).unwrap_or_default();
    if answer.is_empty() { "unknown".to_owned() } else { answer }
}

pub(super) fn start(which: &Which, place: &Place) -> Result<Vec<String>, CliError> {
    let name = which.name(place);
    if place.macos {
        let file = which.service_file(place).display().to_string();
        launchd::load(&domain(which), &name, &file, &launchctl)?;
        return Ok(vec![format!("started {name}")]);
    }
    if !which.user {
        order("systemd-sysusers", &["/etc/sysusers.d/masv-agent.conf"])?;
    }
    order("systemctl", &systemctl(which, &["daemon-reload"]))?;
    order("systemctl", &systemctl(which, &["enable", &name]))?;
    // Restart, not start: the files may differ from those it is running with.
    order("systemctl", &systemctl(which, &["restart", &name]))?;
    let mut done = vec![format!("started {name}, now and at every boot")];
    if which.user {
        done.push(
            "it runs while you are logged in; to keep it running, use `sudo loginctl enable-linger $USER`".to_owned(),
        );
    }
    Ok(done)
}

pub(super) fn systemctl<'a>(which: &Which, arguments: &[&'a str]) -> Vec<&'a str> {
    let whose = if which.user { &["--user"][..] } else { &[] };
    whose.iter().chain(arguments).copied().collect()
}

pub(super) fn domain(which: &Which) -> String {
    launchd::domain(which, &launchctl)
}

fn launchctl(arguments: &[&str]) -> Result<String, CliError> {
    order("launchctl", arguments)
}

pub(super) fn order(program: &str, arguments: &[&str]) -> Result<String, CliError> {
    let mut process = Process::new(program);
    process.args(arguments);
    // Neither `su` nor `sudo -u` sets the variables that locate the user's service manager.
    if arguments.first() == Some(&"--user") && std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        process.env("XDG_RUNTIME_DIR", runtime_dir());
    }
    let said = process.output().map_err(|error| {
        CliError::failed(format!("cannot run {program}: {error}"))
            .hint("the files are written; without systemd or launchd, start `masv server start` by other means")
    })?;
    if said.status.success() {
        return Ok(String::from_utf8_lossy(&said.stdout).into_owned());
    }
    Err(refused(program, arguments, String::from_utf8_lossy(&said.stderr).trim()))
}

/// What the service manager's error means, and what to do.
pub(super) fn refused(program: &str, arguments: &[&str], complaint: &str) -> CliError {
    let failed = CliError::failed(format!("`{program} {}` failed: {complaint}", arguments.join(" ")));
    let no_manager =
        ["connect to bus", "not been booted with systemd", "connect to user scope bus", "connect to system scope bus"];
    if program != "systemctl" {
        return failed;
    }
    if !no_manager.iter().any(|words| complaint.contains(words)) {
        let whose = if arguments.first() == Some(&"--user") { "--user " } else { "" };
        let unit = arguments.last().filter(|word| word.ends_with(".service")).unwrap_or(&"masv-agent");
        return failed.hint(format!("see `journalctl {whose}-u {unit} -n 30` for the reason; the files are written"));
    }
    if arguments.first() != Some(&"--user") {
        return CliError::failed("this machine was not booted with systemd, so nothing can be started")
            .hint("the files are written; run `masv server start` with this machine's service manager");
    }
    let user = std::env::var("USER").unwrap_or_else(|_| own_user().to_string());
    CliError::failed(format!("no service manager is running for {user}, so nothing can be started")).hint(format!(
        "the files are written. Log in as {user} (by ssh or on the console; `su` and `sudo -u` are no login), or have its services run \
         without a login, `sudo loginctl enable-linger {user}`, and then do this again"
    ))
}

/// Where this user's service manager is, unless the environment says so.
pub(super) fn runtime_dir() -> PathBuf {
    PathBuf::from(format!("/run/user/{}", own_user()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_service_manager_is_told_apart_from_a_service_that_fails() {
        let said = |arguments: &[&str], complaint| {
            let error = refused("systemctl", arguments, complaint);
            format!("{} / {}", error.message, error.hint.unwrap_or_default())
        };
        let bus = "Failed to connect to bus: No medium found";
        assert!(said(&["--user", "daemon-reload"], bus).contains("enable-linger"));
        assert!(
            said(&["daemon-reload"], "System has not been booted with systemd as init system")
                .contains("not booted with systemd")
        );
        let job = said(&["--user", "restart", "masv-agent.service"], "Job for masv-agent.service failed.");
        assert!(job.contains("Job for") && job.contains("journalctl --user -u masv-agent.service"), "{job}");
    }
}
