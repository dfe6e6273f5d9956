//! Builds the rules file from the answers.

use std::io::Write;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::answers::{Answers, Destination, Secret};
use crate::cli::error::CliError;
use masv_rules::SystemEnvironment;
use masv_rules::own_hub::{OwnHub, is_loopback};

/// What has been written.
pub(super) struct Written {
    /// Files with secrets.
    pub secrets: Vec<PathBuf>,
    /// The folder that is watched.
    pub watch: PathBuf,
    /// The destination of packages, in words.
    pub sends_to: String,
    /// Notes for the user.
    pub notes: Vec<String>,
}

/// Writes the rules file, and next to it the secrets that were entered.
pub(super) fn write(answers: &Answers, file: &Path, replace: bool) -> Result<Written, CliError> {
    let folder = file.parent().unwrap_or(Path::new("/"));
    let mut secrets = Vec::new();
    let mut kept = |secret: &Secret, name: &str| -> Result<PathBuf, CliError> {
        match secret {
            Secret::File(path, _) => Ok(path.clone()),
            Secret::Typed(secret) => {
                let path = folder.join(name);
                put(&path, secret, replace)?;
                secrets.push(path.clone());
                Ok(path)
            }
        }
    };
    std::fs::create_dir_all(folder)
        .map_err(|error| CliError::failed(format!("cannot create {}: {error}", folder.display())))?;
    let (section, sends_to, notes) = match &answers.destination {
        Destination::Cloud { url, key } => {
            let key = key.as_ref().map(|key| kept(key, "masv-api-key")).transpose()?;
            let mut section = format!("cloud:\n  url: {}\n", quoted(url.as_str().trim_end_matches('/')));
            let mut notes = Vec::new();
            match key {
                Some(path) => section += &format!("  api_key: {{ file: {} }}\n", quoted(&path.display().to_string())),
                None => notes.push("sign in with `masv user login` once the agent is running".to_owned()),
            }
            (section, url.to_string(), notes)
        }
        Destination::OwnHub(hub, password) => {
            let password = password.as_ref().map(|password| kept(password, "smtp-password")).transpose()?;
            own_hub(hub, password.as_deref())
        }
    };
    let upload = match answers.emails.as_slice() {
        [] => "{ kind: link }".to_owned(),
        emails => {
            let emails: Vec<String> = emails.iter().map(|email| quoted(email.as_ref())).collect();
            format!("{{ kind: email, emails: [{}] }}", emails.join(", "))
        }
    };
    let text = format!(
        "# Written by `masv setup`. A running agent loads this file as soon as it is saved; check it with\n\
         # `masv rule check {name}`. rules.md in the documentation describes every key, and `masv rule init` prints a longer example.\n\
         version: 1\n\n{section}\nrules:\n  \
         # What is dropped together is one package: it is sent once nothing new has arrived for half a minute.\n  \
         - name: drop\n    watch: {watch}\n    create: true\n    package: {{ per: batch, quiet: 30s }}\n    upload: {upload}\n",
        name = file.file_name().unwrap_or_default().to_string_lossy(),
        watch = quoted(&answers.watch),
    );
    let rules = masv_rules::parse(&text, file, &SystemEnvironment).map_err(|diagnostics| {
        CliError::failed(format!("these answers do not result in a valid rules file:\n{}", diagnostics.render(false)))
    })?;
    let watch = rules.rules.first().map(|rule| rule.watch.clone()).unwrap_or_default();
    put_text(file, text.as_bytes(), replace)?;
    Ok(Written { secrets, watch, sends_to, notes })
}

/// The section of the embedded hub, the destination in words, and notes for the user.
fn own_hub(hub: &OwnHub, password: Option<&Path>) -> (String, String, Vec<String>) {
    let reached = hub.reached_at().ok().flatten();
    let mut lines = Vec::new();
    let mut line = |key: &str, value: Value| lines.push(format!("  {key}: {value}\n"));
    if let Some(listen) = hub.listen {
        line("listen", json!(listen.to_string()));
    }
    if let Some(url) = &hub.public_url {
        line("public_url", json!(url.as_str().trim_end_matches('/')));
    }
    if !hub.trusted_proxies.is_empty() {
        line("trusted_proxies", json!(hub.trusted_proxies.iter().map(ToString::to_string).collect::<Vec<_>>()));
    }
    if let Some(smtp) = &hub.smtp {
        let mut section = json!({ "url": smtp.url.as_str() });
        if let (Some((user, _)), Some(password)) = (&smtp.login, password) {
            section["user"] = json!(user);
            section["password"] = json!({ "file": password });
        }
        if let Some(authority) = &smtp.authority {
            section["ca"] = json!(authority);
        }
        line("smtp", section);
    }
    if let Some(sender) = &hub.mail_from {
        line("mail_from", json!(sender));
    }
    let section = match lines.is_empty() {
        true => "# Packages go to a hub embedded in this agent, whose links open on this machine only; a `hub:` section changes that.\n".to_owned(),
        false => format!("hub:\n{}", lines.concat()),
    };
    let mut notes = Vec::new();
    let sends_to = match &reached {
        Some(url) if !is_loopback(url) => {
            if let Some(listen) = hub.listen.filter(|listen| !listen.ip().is_loopback()) {
                notes.push(format!(
                    "if this machine has a firewall, allow incoming connections to TCP port {}",
                    listen.port()
                ));
            }
            format!("the hub embedded in this agent, at {url}")
        }
        _ => {
            notes.push("links open on this machine only".to_owned());
            "the hub embedded in this agent".to_owned()
        }
    };
    (section, sends_to, notes)
}

/// Quotes any text for YAML: a JSON string is valid YAML.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// Writes a secret to a file that no other user can read.
fn put(path: &Path, secret: &SecretString, replace: bool) -> Result<(), CliError> {
    put_text(path, format!("{}\n", secret.expose_secret()).as_bytes(), replace)
}

/// Writes a file that only this user can read; an existing one is kept unless it may be replaced.
fn put_text(path: &Path, text: &[u8], replace: bool) -> Result<(), CliError> {
    let failed = |error: std::io::Error| CliError::failed(format!("cannot write {}: {error}", path.display()));
    let folder = path.parent().unwrap_or(Path::new("/"));
    // A temporary file is made with a name nobody can foresee, closed to others.
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    file.write_all(text).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
    let kept = match replace {
        true => file.persist(path),
        false => file.persist_noclobber(path),
    };
    kept.map(drop).map_err(|error| match error.error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            CliError::failed(format!("{} already exists", path.display())).hint("replace it with --force")
        }
        _ => failed(error.error),
    })
}
