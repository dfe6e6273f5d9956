//! `masv hub portal`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bytesize::ByteSize;
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::package::moment;
use super::reach::{HubClient, text, time};
use crate::cli::error::CliError;
use crate::cli::output::{Output, size};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Command {
    /// Add a portal.
    #[command(
        after_help = "Example:\n  masv hub portal add rushes --name 'Rushes' --recipients dit@example.com,lab@example.com \\\n    --access-code-file code.txt --file-types mov,mxf --field '*Reel' --field 'Camera=A,B,C'"
    )]
    Add {
        /// Its name in addresses: lower-case letters, digits, hyphens.
        subdomain: String,
        #[command(flatten)]
        set: Box<Settings>,
    },
    /// List the portals.
    #[command(after_help = "Example:\n  masv hub portal ls")]
    Ls,
    /// Show one.
    #[command(after_help = "Example:\n  masv hub portal show rushes")]
    Show {
        /// Its name in addresses.
        subdomain: String,
    },
    /// Change one; what is not given stays as it is.
    #[command(
        after_help = "Examples:\n  masv hub portal set rushes --active=false\n  masv hub portal set rushes --no-access-code"
    )]
    Set {
        /// Its name in addresses.
        subdomain: String,
        #[command(flatten)]
        set: Box<Settings>,
    },
    /// Remove one; the packages that came through it stay.
    #[command(after_help = "Example:\n  masv hub portal rm rushes")]
    Rm {
        /// Its name in addresses.
        subdomain: String,
    },
}

/// What a portal is.
#[derive(Debug, Args)]
pub(in crate::cli) struct Settings {
    /// Its name for people [default: the one in addresses]
    #[arg(long)]
    name: Option<String>,
    /// What its page says.
    #[arg(long)]
    message: Option<String>,
    /// Who gets what is sent: mail addresses.
    #[arg(long, value_delimiter = ',', value_name = "EMAIL")]
    recipients: Option<Vec<String>>,
    /// Whether it takes packages.
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    active: Option<bool>,
    /// Until when it takes packages: a day, a time (RFC 3339), or never.
    #[arg(long, value_name = "TIME|never")]
    closes: Option<String>,
    /// A file with the code that senders must know; - is standard input.
    #[arg(long, value_name = "FILE")]
    access_code_file: Option<PathBuf>,
    /// Ask senders for no code.
    #[arg(long, conflicts_with = "access_code_file")]
    no_access_code: bool,
    /// A file with the password that recipients must know; - is standard input.
    #[arg(long, value_name = "FILE")]
    download_password_file: Option<PathBuf>,
    /// Ask recipients for no password.
    #[arg(long, conflicts_with = "download_password_file")]
    no_download_password: bool,
    /// Days until packages are deleted; 0 is the hub's default, -1 never.
    #[arg(long, value_name = "DAYS", allow_negative_numbers = true)]
    expiry_days: Option<i64>,
    /// Take only files with these extensions; empty: all.
    #[arg(long, value_delimiter = ',', value_name = "EXTENSION", conflicts_with = "not_file_types")]
    file_types: Option<Vec<String>>,
    /// Take no files with these extensions.
    #[arg(long, value_delimiter = ',', value_name = "EXTENSION")]
    not_file_types: Option<Vec<String>>,
    /// The largest file, such as 50GB; 0 is any size.
    #[arg(long, value_name = "SIZE")]
    max_file_size: Option<ByteSize>,
    /// The largest package; 0 is any size.
    #[arg(long, value_name = "SIZE")]
    max_package_size: Option<ByteSize>,
    /// The most files of a package; 0 is any number.
    #[arg(long, value_name = "N")]
    max_files: Option<u64>,
    /// Something that senders fill in, repeatable: `Reel`, `*Reel` (required), `Camera=A,B` (a choice), `Shot:date`,
    /// `Take:number`, `Notes:long`. Replaces the fields that there were; an empty one leaves none.
    #[arg(long = "field", value_name = "FIELD")]
    fields: Option<Vec<String>>,
}

impl Settings {
    fn body(&self) -> Result<Value, CliError> {
        let mut body = json!({});
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                body[name] = value;
            }
        };
        put("name", self.name.clone().map(Value::from));
        put("message", self.message.clone().map(Value::from));
        let recipients = self.recipients.as_ref();
        put("recipients", recipients.map(|all| all.iter().filter(|one| !one.is_empty()).cloned().collect()));
        put("active", self.active.map(Value::from));
        match self.closes.as_deref() {
            Some("never") => put("expiry_enabled", Some(false.into())),
            Some(closes) => {
                put("expiry_enabled", Some(true.into()));
                put("expiry", Some(moment(closes)?.into()));
            }
            None => {}
        }
        for (name, file, none) in [
            ("access_code", &self.access_code_file, self.no_access_code),
            ("download_password", &self.download_password_file, self.no_download_password),
        ] {
            if none {
                put(&format!("has_{name}"), Some(false.into()));
            } else if let Some(path) = file {
                put(&format!("has_{name}"), Some(true.into()));
                put(name, Some(first_line(path)?.into()));
            }
        }
        put("custom_expiry_days", self.expiry_days.map(Value::from));
        if let Some(types) = self.file_types.as_ref().or(self.not_file_types.as_ref()) {
            let types: Vec<&String> = types.iter().filter(|one| !one.is_empty()).collect();
            put("file_type_restriction_enabled", Some((!types.is_empty()).into()));
            put("file_type_restriction_exclude", Some(self.not_file_types.is_some().into()));
            put("file_types", Some(json!(types)));
        }
        let bounds = [
            ("max_file_size", self.max_file_size.map(|size| size.as_u64())),
            ("max_package_size", self.max_package_size.map(|size| size.as_u64())),
            ("max_file_count", self.max_files),
        ];
        for (name, bound) in bounds {
            put(name, bound.map(Value::from));
        }
        if bounds.iter().any(|(_, bound)| bound.is_some()) {
            put("package_size_restriction_enabled", Some(true.into()));
        }
        if let Some(fields) = &self.fields {
            let fields: Result<Vec<Value>, CliError> =
                fields.iter().filter(|text| !text.is_empty()).map(|text| field(text)).collect();
            put("metadata_fields", Some(fields?.into()));
        }
        Ok(body)
    }
}

fn first_line(path: &Path) -> Result<String, CliError> {
    let read = match path.as_os_str() == "-" {
        true => std::io::read_to_string(std::io::stdin()),
        false => std::fs::read_to_string(path),
    };
    let text = read.map_err(|error| CliError::usage(format!("{}: {error}", path.display())))?;
    match text.lines().next().map(str::trim) {
        Some(line) if !line.is_empty() => Ok(line.to_owned()),
        _ => Err(CliError::usage(format!("{} is empty", path.display()))),
    }
}

/// A field as it is written on the command line.
fn field(text: &str) -> Result<Value, CliError> {
    let (required, rest) = match text.strip_prefix('*') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let visibility = if required { "required" } else { "optional" };
    if let Some((name, options)) = rest.split_once('=') {
        let options: Vec<&str> = options.split(',').map(str::trim).collect();
        return Ok(json!({ "name": name.trim(), "type": "dropdown", "options": options, "visibility": visibility }));
    }
    let (name, kind) = match rest.rsplit_once(':') {
        None => (rest, "short_text"),
        Some((name, "long")) => (name, "long_text"),
        Some((name, "number")) => (name, "number"),
        Some((name, "date")) => (name, "date"),
        Some((_, kind)) => {
            return Err(CliError::usage(format!("--field {text}: there is no kind {kind:?}"))
                .hint("kinds are long, number and date; a choice is written NAME=A,B"));
        }
    };
    Ok(json!({ "name": name.trim(), "type": kind, "visibility": visibility }))
}

pub(super) async fn run(command: Command, hub: &HubClient, output: &Output) -> Result<ExitCode, CliError> {
    let team = hub.team().await?;
    match command {
        Command::Add { subdomain, set } => {
            let mut body = set.body()?;
            body["subdomain"] = subdomain.as_str().into();
            if body.get("name").is_none() {
                body["name"] = subdomain.into();
            }
            let portal = hub.post(&["v1", "teams", &team, "portals"], &body).await?;
            output.json(&portal);
            show(&portal, output);
        }
        Command::Ls => {
            let query = [("sort", "name".to_owned()), ("limit", "100".to_owned())];
            let list = hub.call(Method::GET, &["v1.1", "teams", &team, "portals"], &query, None).await?;
            output.json(&list);
            let rows: Vec<_> = list["records"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|portal| {
                    let state = if portal["active"] == true { "active" } else { "closed" };
                    let code = if portal["has_access_code"] == true { "code" } else { "open" };
                    let recipients = portal["recipients"].as_array().map_or(0, Vec::len);
                    vec![
                        text(portal, "subdomain").into(),
                        state.into(),
                        code.into(),
                        recipients.to_string().into(),
                        text(portal, "name").into(),
                    ]
                })
                .collect();
            output.table(&["PORTAL", "STATE", "ACCESS", "RECIPIENTS", "NAME"], &rows);
        }
        Command::Show { subdomain } => {
            let portal = hub.get(&["v1.1", "portals", &id(hub, &subdomain).await?]).await?;
            output.json(&portal);
            show(&portal, output);
        }
        Command::Set { subdomain, set } => {
            let body = set.body()?;
            if body.as_object().is_some_and(serde_json::Map::is_empty) {
                return Err(CliError::usage("nothing to change").hint("see masv hub portal set --help"));
            }
            let portal = hub.put(&["v1", "portals", &id(hub, &subdomain).await?], &body).await?;
            output.json(&portal);
            show(&portal, output);
        }
        Command::Rm { subdomain } => {
            output.json(&hub.delete(&["v1", "portals", &id(hub, &subdomain).await?]).await?);
            output.line(&format!("Removed the portal {subdomain}; its packages stay."));
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn id(hub: &HubClient, subdomain: &str) -> Result<String, CliError> {
    Ok(text(&hub.get(&["v1", "subdomains", "portals", subdomain]).await?, "id"))
}

fn show(portal: &Value, output: &Output) {
    let list = |field: &str| {
        let values = portal[field].as_array().into_iter().flatten();
        values.map(|value| value.as_str().unwrap_or_default()).collect::<Vec<_>>().join(", ")
    };
    let state = if portal["active"] == true { "active" } else { "closed" };
    output.line(&format!("{} ({state})", text(portal, "subdomain")));
    let fact = |name: &str, value: String| {
        if !value.is_empty() {
            output.line(&format!("  {name:<12}{value}"));
        }
    };
    fact("name", text(portal, "name"));
    fact("page", text(portal, "url"));
    fact("message", text(portal, "message"));
    fact("recipients", list("recipients"));
    let asks: Vec<&str> = [("has_access_code", "a code to send"), ("has_download_password", "a password to download")]
        .into_iter()
        .filter(|(field, _)| portal[*field] == true)
        .map(|(_, words)| words)
        .collect();
    fact("asks for", asks.join(", "));
    fact(if portal["active"] == true { "closes" } else { "closed" }, time(portal, "expiry"));
    fact(
        "expiry",
        match portal["custom_expiry_days"].as_i64() {
            Some(days) if days > 0 => format!("{days} days"),
            Some(days) if days < 0 => "never".to_owned(),
            _ => String::new(),
        },
    );
    if portal["file_type_restriction_enabled"] == true {
        let not = if portal["file_type_restriction_exclude"] == true { "all but " } else { "" };
        fact("takes", format!("{not}{}", list("file_types")));
    }
    if portal["package_size_restriction_enabled"] == true {
        let bound = |field: &str| portal[field].as_u64().filter(|bound| *bound > 0);
        let bounds: Vec<String> = [
            bound("max_file_size").map(|bytes| format!("files up to {}", size(bytes))),
            bound("max_package_size").map(|bytes| format!("packages up to {}", size(bytes))),
            bound("max_file_count").map(|count| format!("{count} files")),
        ]
        .into_iter()
        .flatten()
        .collect();
        fact("at most", bounds.join(", "));
    }
    for field in portal["metadata_fields"].as_array().into_iter().flatten() {
        fact("field", format!("{} ({}, {})", text(field, "name"), text(field, "visibility"), text(field, "type")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_written_shortly() {
        assert_eq!(field("*Reel").unwrap(), json!({ "name": "Reel", "type": "short_text", "visibility": "required" }));
        assert_eq!(
            field("Camera=A, B").unwrap(),
            json!({ "name": "Camera", "type": "dropdown", "options": ["A", "B"], "visibility": "optional" })
        );
        assert_eq!(field("Notes:long").unwrap()["type"], "long_text");
        assert!(field("Notes:short").is_err());
    }
}
