//! `masv hub portal`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bytesize::ByteSize;
use clap::{Args, Subcommand};
use masv_protocol::{
    FieldKind, MetadataField, Page, Portal, PortalId, PortalQuery, PortalSettings, PublicPortal, RestrictionSettings,
    Restrictions, Secret, Visibility,
};

use super::reach::{HubClient, REMOVED, time, typed_time};
use crate::cli::addresses::addresses;
use crate::cli::confirm::Sure;
use crate::cli::error::CliError;
use crate::cli::list::{Kind, ListOptions};
use crate::cli::output::{Cell, Output, size};
use crate::cli::table::Column;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Command {
    /// Add a portal.
    #[command(
        after_help = "Example:\n  masv hub portal add rushes --name 'Rushes' --recipients dit@example.com,lab@example.com \\\n    --access-code-file code.txt --file-types mov,mxf --field '*Reel' --field 'Camera=A,B,C'"
    )]
    Add {
        /// Its name in URLs: lower-case letters, digits and hyphens.
        subdomain: String,
        #[command(flatten)]
        set: Box<Settings>,
    },
    /// List the portals.
    #[command(after_help = "Example:\n  masv hub portal ls")]
    Ls(ListOptions),
    /// Show one.
    #[command(after_help = "Example:\n  masv hub portal show rushes")]
    Show {
        /// Its name in URLs.
        subdomain: String,
    },
    /// Change one; anything not given stays as it is.
    #[command(
        after_help = "Examples:\n  masv hub portal set rushes --active=false\n  masv hub portal set rushes --no-access-code"
    )]
    Set {
        /// Its name in URLs.
        subdomain: String,
        #[command(flatten)]
        set: Box<Settings>,
    },
    /// Remove a portal; packages received through it are kept.
    #[command(after_help = "Example:\n  masv hub portal rm rushes")]
    Rm {
        /// Its name in URLs.
        subdomain: String,
        #[command(flatten)]
        sure: Sure,
    },
}

/// The settings of a portal.
#[derive(Debug, Args)]
pub(in crate::cli) struct Settings {
    /// Its display name [default: the name in URLs]
    #[arg(long)]
    name: Option<String>,
    /// The message on its page.
    #[arg(long)]
    message: Option<String>,
    /// E-mail addresses of those who receive what is sent.
    #[arg(long, value_delimiter = ',', value_name = "EMAIL")]
    recipients: Option<Vec<String>>,
    /// Whether it accepts packages [default for a new portal: true]
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    active: Option<bool>,
    /// When it stops accepting packages: a date, a time (RFC 3339), or never.
    #[arg(long, value_name = "TIME|never")]
    closes: Option<String>,
    /// File with the access code for senders; - reads standard input.
    #[arg(long, value_name = "FILE")]
    access_code_file: Option<PathBuf>,
    /// Require no access code from senders.
    #[arg(long, conflicts_with = "access_code_file")]
    no_access_code: bool,
    /// File with the password for recipients; - reads standard input.
    #[arg(long, value_name = "FILE")]
    download_password_file: Option<PathBuf>,
    /// Require no password from recipients.
    #[arg(long, conflicts_with = "download_password_file")]
    no_download_password: bool,
    /// Days until packages are deleted; 0 is the hub's default, -1 never.
    #[arg(long, value_name = "DAYS", allow_negative_numbers = true)]
    expiry_days: Option<i64>,
    /// Accept only files with these extensions; empty accepts all.
    #[arg(long, value_delimiter = ',', value_name = "EXTENSION", conflicts_with = "not_file_types")]
    file_types: Option<Vec<String>>,
    /// Reject files with these extensions.
    #[arg(long, value_delimiter = ',', value_name = "EXTENSION")]
    not_file_types: Option<Vec<String>>,
    /// Maximum size of a file, such as 50GB; 0 is unlimited.
    #[arg(long, value_name = "SIZE")]
    max_file_size: Option<ByteSize>,
    /// Maximum size of a package; 0 is unlimited.
    #[arg(long, value_name = "SIZE")]
    max_package_size: Option<ByteSize>,
    /// Maximum number of files in a package; 0 is unlimited.
    #[arg(long, value_name = "N")]
    max_files: Option<u64>,
    /// A form field for senders, repeatable: `Reel`, `*Reel` (required), `Camera=A,B` (a choice), `Shot:date`,
    /// `Take:number`, `Notes:long`. Replaces all existing fields; an empty value removes them all.
    #[arg(long = "field", value_name = "FIELD")]
    fields: Option<Vec<String>>,
}

impl Settings {
    fn read(&self) -> Result<PortalSettings, CliError> {
        let (expiry_enabled, expiry) = match self.closes.as_deref() {
            Some("never") => (Some(false), None),
            Some(closes) => (Some(true), Some(typed_time(closes)?)),
            None => (None, None),
        };
        let (has_access_code, access_code) = code(self.access_code_file.as_deref(), self.no_access_code)?;
        let (has_download_password, download_password) =
            code(self.download_password_file.as_deref(), self.no_download_password)?;
        let fields = self.fields.as_ref().map(|fields| given(fields).map(|text| field(text)).collect());
        let recipients = self.recipients.as_deref().map(|typed| addresses("--recipients", typed));
        Ok(PortalSettings {
            name: self.name.clone(),
            message: self.message.clone(),
            recipients: recipients.transpose()?,
            active: self.active,
            expiry_enabled,
            expiry,
            has_access_code,
            access_code,
            has_download_password,
            download_password,
            custom_expiry_days: self.expiry_days,
            metadata_fields: fields.transpose()?,
            restrictions: self.restrictions(),
            ..PortalSettings::default()
        })
    }

    fn restrictions(&self) -> RestrictionSettings {
        let types = self.file_types.as_ref().or(self.not_file_types.as_ref());
        let file_types: Option<Vec<String>> = types.map(|types| given(types).cloned().collect());
        let bounded = self.max_file_size.is_some() || self.max_package_size.is_some() || self.max_files.is_some();
        RestrictionSettings {
            file_type_restriction_enabled: file_types.as_ref().map(|types| !types.is_empty()),
            file_type_restriction_exclude: file_types.as_ref().map(|_| self.not_file_types.is_some()),
            file_types,
            package_size_restriction_enabled: bounded.then_some(true),
            max_file_count: self.max_files,
            max_file_size: self.max_file_size.map(|size| size.as_u64()),
            max_package_size: self.max_package_size.map(|size| size.as_u64()),
        }
    }
}

/// The non-empty values: a single empty value clears the list.
fn given(values: &[String]) -> impl Iterator<Item = &String> {
    values.iter().filter(|value| !value.trim().is_empty())
}

/// A code or password read from a file, or its removal.
fn code(file: Option<&Path>, none: bool) -> Result<(Option<bool>, Option<Secret>), CliError> {
    match file {
        _ if none => Ok((Some(false), None)),
        Some(path) => Ok((Some(true), Some(first_line(path)?.into()))),
        None => Ok((None, None)),
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

/// A field as written on the command line.
fn field(text: &str) -> Result<MetadataField, CliError> {
    let (visibility, rest) = match text.strip_prefix('*') {
        Some(rest) => (Visibility::Required, rest),
        None => (Visibility::Optional, text),
    };
    let field = |name: &str, kind, options| MetadataField {
        name: name.trim().to_owned(),
        label: String::new(),
        visibility,
        kind,
        options,
        default_value: String::new(),
    };
    if let Some((name, options)) = rest.split_once('=') {
        let options = options.split(',').map(|option| option.trim().to_owned()).collect();
        return Ok(field(name, FieldKind::Dropdown, options));
    }
    let (name, kind) = match rest.rsplit_once(':') {
        None => (rest, FieldKind::ShortText),
        Some((name, "long")) => (name, FieldKind::LongText),
        Some((name, "number")) => (name, FieldKind::Number),
        Some((name, "date")) => (name, FieldKind::Date),
        Some((_, kind)) => {
            return Err(CliError::usage(format!("--field {text}: {kind:?} is not a valid kind"))
                .hint("the kinds are long, number and date; write a choice as NAME=A,B"));
        }
    };
    Ok(field(name, kind, Vec::new()))
}

pub(super) async fn run(command: Command, hub: &HubClient, output: &Output) -> Result<ExitCode, CliError> {
    let team = hub.team().await?;
    match command {
        Command::Add { subdomain, set } => {
            let set = set.read()?;
            let name = set.name.clone().or_else(|| Some(subdomain.clone()));
            // The protocol's portals are closed unless it is said; whoever adds one here means to use it.
            let active = set.active.or(Some(true));
            let settings = PortalSettings { name, subdomain: Some(subdomain), active, ..set };
            let portal = hub.ask(hub.admin.create_portal(&team, &settings)).await?;
            output.json(&portal);
            show(&portal, output);
        }
        Command::Ls(options) => {
            let query = PortalQuery { sort: Some("name".to_owned()), limit: Some(100), ..PortalQuery::default() };
            let list = hub.ask(hub.admin.portals(&team, &query)).await?;
            let Page { metadata, records } = list;
            let kind = Kind::new(&COLUMNS, "No portals.");
            output.list(&options, &kind, records, row, |records| Page { metadata, records })?;
        }
        Command::Show { subdomain } => {
            let portal = hub.ask(hub.admin.portal(&id(hub, &subdomain).await?)).await?;
            output.json(&portal);
            show(&portal, output);
        }
        Command::Set { subdomain, set } => {
            let settings = set.read()?;
            if settings.is_empty() {
                return Err(CliError::usage("nothing to change").hint("see `masv hub portal set --help`"));
            }
            let portal = hub.ask(hub.admin.change_portal(&id(hub, &subdomain).await?, &settings)).await?;
            output.json(&portal);
            show(&portal, output);
        }
        Command::Rm { subdomain, sure } => {
            let (question, what) =
                (format!("Remove the portal {subdomain}?"), format!("remove the portal {subdomain}"));
            if !sure.go_on(&question, &what, output)? {
                return Ok(ExitCode::SUCCESS);
            }
            hub.ask(hub.admin.remove_portal(&id(hub, &subdomain).await?)).await?;
            output.json(&REMOVED);
            output.line(&format!("Removed the portal {subdomain}; its packages are kept."));
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn id(hub: &HubClient, subdomain: &str) -> Result<PortalId, CliError> {
    Ok(hub.ask(hub.admin.find_portal(subdomain)).await?.id)
}

fn state(portal: &PublicPortal) -> &'static str {
    if portal.active { "active" } else { "closed" }
}

const COLUMNS: [Column; 5] = [
    Column::new("PORTAL"),
    Column::new("STATE"),
    Column::new("ACCESS"),
    Column::new("RECIPIENTS"),
    Column::new("NAME").cut(12),
];

fn row(portal: &Portal) -> Vec<Cell> {
    let Portal { public, recipients, .. } = portal;
    vec![
        public.subdomain.as_str().into(),
        state(public).into(),
        if public.has_access_code { "code" } else { "open" }.into(),
        recipients.len().to_string().into(),
        public.name.as_str().into(),
    ]
}

fn show(portal: &Portal, output: &Output) {
    let Portal { public, recipients, custom_expiry_days, url, .. } = portal;
    output.line(&format!("{} ({})", public.subdomain, state(public)));
    let fact = |name: &str, value: &str| {
        if !value.is_empty() {
            output.line(&format!("  {name:<12}{value}"));
        }
    };
    fact("name", &public.name);
    fact("page", url.as_deref().unwrap_or_default());
    fact("message", &public.message);
    fact("recipients", &recipients.join(", "));
    let asks = [
        public.has_access_code.then_some("a code to send"),
        public.has_download_password.then_some("a password to download"),
    ];
    fact("asks for", &asks.into_iter().flatten().collect::<Vec<_>>().join(", "));
    fact(if public.active { "closes" } else { "closed" }, &time(public.expiry));
    fact(
        "expiry",
        &match custom_expiry_days {
            0 => String::new(),
            1.. => format!("{custom_expiry_days} days"),
            _ => "never".to_owned(),
        },
    );
    restrictions(&public.restrictions).iter().for_each(|(name, value)| fact(name, value));
    for field in &public.metadata_fields {
        fact("field", &format!("{} ({}, {})", field.name, field.visibility, field.kind));
    }
}

fn restrictions(of: &Restrictions) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    if of.file_type_restriction_enabled {
        let not = if of.file_type_restriction_exclude { "all but " } else { "" };
        facts.push(("takes", format!("{not}{}", of.file_types.join(", "))));
    }
    if of.package_size_restriction_enabled {
        let bound = |bound: u64| Some(bound).filter(|bound| *bound > 0);
        let bounds = [
            bound(of.max_file_size).map(|bytes| format!("files up to {}", size(bytes))),
            bound(of.max_package_size).map(|bytes| format!("packages up to {}", size(bytes))),
            bound(of.max_file_count).map(|count| format!("{count} files")),
        ];
        facts.push(("at most", bounds.into_iter().flatten().collect::<Vec<_>>().join(", ")));
    }
    facts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_written_shortly() {
        let read = |text: &str| {
            let MetadataField { name, kind, visibility, options, .. } = field(text).unwrap();
            (name, kind, visibility, options)
        };
        assert_eq!(read("*Reel"), ("Reel".into(), FieldKind::ShortText, Visibility::Required, vec![]));
        let choice = vec!["A".to_owned(), "B".to_owned()];
        assert_eq!(read("Camera=A, B"), ("Camera".into(), FieldKind::Dropdown, Visibility::Optional, choice));
        assert_eq!(read("Notes:long").1, FieldKind::LongText);
        assert!(field("Notes:short").is_err());
    }
}
