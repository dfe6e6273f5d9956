//! `masv automation`: the rules under the names that the MASV Agent uses, and rules written without an editor.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgAction, Args, Subcommand};
use serde_json::{Value, json};

use super::addresses::addresses;
use super::client::Client;
use super::confirm::Sure;
use super::error::CliError;
use super::list::ListOptions;
use super::output::Output;
use super::{rule, upload};
use crate::api::types::{AutomationAdded, AutomationChange, NewPortalDownload, NewUploadAutomation};
use masv_protocol::EmailAddress;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the active rules.
    #[command(after_help = "Example:\n  masv automation ls")]
    Ls(ListOptions),
    /// Add a rule to the rules file, keeping its comments; the rule takes effect at once.
    #[command(subcommand)]
    Add(Add),
    /// Change a rule in the rules file, keeping its comments; the change takes effect at once.
    #[command(subcommand)]
    Update(Update),
    /// Remove a rule from the rules file; the record of what it transferred is kept.
    #[command(visible_alias = "rm", after_help = "Example:\n  masv automation delete from-acme --yes")]
    Delete {
        /// The rule: its name, or enough of it.
        id: String,
        #[command(flatten)]
        sure: Sure,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Update {
    /// Change a download rule; anything not given stays as it is.
    #[command(
        after_help = "Examples:\n  masv automation update download from-acme --disable\n  masv automation update download from-acme --destination /srv/incoming --priority 2"
    )]
    Download {
        /// The rule: its name, or enough of it.
        id: String,
        /// The portal.
        #[arg(long)]
        subdomain: Option<String>,
        /// The folder that packages are saved to; created if it is missing.
        #[arg(long, value_name = "FOLDER")]
        destination: Option<PathBuf>,
        /// Give each package its own folder.
        #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
        create_package_folder: Option<bool>,
        /// Put packages in a subfolder named after their portal.
        #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
        create_portal_subfolder: Option<bool>,
        /// Only packages finalized at or after this time.
        #[arg(long, value_name = "TIME")]
        effective_time: Option<String>,
        #[command(flatten)]
        work: Work,
    },
    /// Change an upload rule: enable or disable it, or set its priority.
    #[command(after_help = "Example:\n  masv automation update upload dailies --disable")]
    Upload {
        /// The rule: its name, or enough of it.
        id: String,
        #[command(flatten)]
        work: Work,
    },
}

/// What can be changed in a rule of either kind.
#[derive(Debug, Args)]
pub(super) struct Work {
    /// Whether the rule is enabled.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    enable: Option<bool>,
    /// Disable the rule.
    #[arg(long, conflicts_with = "enable")]
    disable: bool,
    /// Priority of its transfers; higher priorities go first.
    #[arg(long, allow_negative_numbers = true)]
    priority: Option<i32>,
}

impl Work {
    fn change(&self) -> AutomationChange {
        let enabled = if self.disable { Some(false) } else { self.enable };
        AutomationChange { enabled, priority: self.priority, ..AutomationChange::default() }
    }
}

impl Update {
    /// Which rule, and what changes in it.
    fn build(self) -> Result<(String, AutomationChange), CliError> {
        Ok(match self {
            Self::Upload { id, work } => (id, work.change()),
            Self::Download {
                id,
                subdomain,
                destination,
                create_package_folder,
                create_portal_subfolder,
                effective_time,
                work,
            } => {
                let change = AutomationChange {
                    portal_subdomain: subdomain,
                    dst_folder: destination.map(absolute).transpose()?,
                    create_package_folder,
                    create_portal_subfolder,
                    effective_time,
                    ..work.change()
                };
                (id, change)
            }
        })
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Add {
    /// Download what arrives in a portal, or in all portals.
    #[command(
        after_help = "Examples:\n  masv automation add download --name from-acme --subdomain acme --destination /srv/incoming\n  masv automation add download --all --name clients --destination /srv/incoming --create-portal-subfolder"
    )]
    Download(Box<Download>),
    /// Upload what lands in a folder.
    #[command(
        after_help = "Examples:\n  masv automation add upload --name dailies --watch /srv/drop/dailies --emails client@example.com\n  masv automation add upload --name to-acme --watch drop --subdomain acme --sender me@example.com"
    )]
    Upload(Box<Upload>),
}

#[derive(Debug, Args)]
pub(super) struct Download {
    /// The rule's name; its id is derived from it.
    #[arg(long)]
    name: String,
    /// The portal.
    #[arg(long, required_unless_present = "all", conflicts_with = "all")]
    subdomain: Option<String>,
    /// All portals of the team.
    #[arg(long)]
    all: bool,
    /// The team that owns the portals, if you have several teams.
    #[arg(long)]
    team_id: Option<String>,
    /// The folder that packages are saved to; created if it is missing.
    #[arg(long, value_name = "FOLDER")]
    destination: PathBuf,
    /// Give each package its own folder.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "true",
          default_missing_value = "true")]
    create_package_folder: bool,
    /// Put packages in a subfolder named after their portal.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "false",
          default_missing_value = "true")]
    create_portal_subfolder: bool,
    /// Only packages finalized at or after this time, such as 2026-11-01 or 2026-11-01T18:00:00Z [default: now]
    #[arg(long, value_name = "TIME")]
    effective_time: Option<String>,
    /// Whether the rule is enabled.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "true",
          default_missing_value = "true")]
    enable: bool,
    /// Priority of its downloads; higher priorities go first.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    priority: i32,
}

#[derive(Debug, Args)]
pub(super) struct Upload {
    /// The rule's name; its id is derived from it.
    #[arg(long)]
    name: String,
    /// The folder.
    #[arg(long, value_name = "FOLDER")]
    watch: PathBuf,
    /// Create the folder if it is missing.
    #[arg(long)]
    create: bool,
    /// What becomes one package: file, folder or batch [default: batch]
    #[arg(long, value_name = "file|folder|batch")]
    package: Option<String>,
    /// How long a file must stay unchanged to count as complete [default: 5s, or 30s where open files cannot be seen]
    #[arg(long, value_name = "DURATION")]
    settle: Option<String>,
    /// E-mail addresses of the recipients; without any, each package gets a link.
    #[arg(long, value_delimiter = ',', value_name = "ADDRESS,...", conflicts_with = "subdomain")]
    emails: Vec<String>,
    /// The portal to deliver to.
    #[arg(long, requires = "sender")]
    subdomain: Option<String>,
    /// Your e-mail address (for a portal).
    #[arg(long, requires = "subdomain")]
    sender: Option<String>,
    /// Name of each package; a template such as '{{ rule }} {{ date }}'.
    #[arg(long, value_name = "TEMPLATE")]
    package_name: Option<String>,
    /// Message to the recipients; a template.
    #[arg(long, value_name = "TEMPLATE")]
    description: Option<String>,
    /// File with the password for recipients, or with the portal's access code.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Days until a package is deleted.
    #[arg(long, value_name = "DAYS")]
    delete_after: Option<u32>,
    /// How many times a package may be downloaded.
    #[arg(long, value_name = "N")]
    download_limit: Option<u64>,
    /// Tag by name; created if there is none.
    #[arg(long)]
    tag_name: Option<String>,
    /// The team to send as, if you have several.
    #[arg(long)]
    team_id: Option<String>,
    /// Move sent files to this folder; a template, relative to the rules file.
    #[arg(long, value_name = "FOLDER")]
    move_to: Option<String>,
    /// Delete files once the cloud has confirmed them.
    #[arg(long, conflicts_with = "move_to")]
    delete: bool,
    /// Whether the rule is enabled.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "true",
          default_missing_value = "true")]
    enable: bool,
    /// Priority of its uploads; higher priorities go first.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    priority: i32,
}

/// An absolute path: the agent runs in a different working directory.
fn absolute(path: PathBuf) -> Result<PathBuf, CliError> {
    Ok(upload::absolute(vec![path])?.pop().unwrap_or_default())
}

impl Download {
    fn build(self) -> Result<NewPortalDownload, CliError> {
        Ok(NewPortalDownload {
            name: self.name,
            portal_subdomain: self.subdomain,
            all_portals: self.all,
            team_id: self.team_id,
            dst_folder: absolute(self.destination)?,
            create_package_folder: self.create_package_folder,
            create_portal_subfolder: self.create_portal_subfolder,
            effective_time: self.effective_time,
            enabled: self.enable,
            download_priority: self.priority,
        })
    }
}

impl Upload {
    fn build(self) -> Result<NewUploadAutomation, CliError> {
        let recipients = addresses("--emails", &self.emails)?;
        let recipients = recipients.into_iter().map(EmailAddress::into_string).collect();
        Ok(NewUploadAutomation {
            name: self.name,
            watch_folder: absolute(self.watch)?,
            create_folder: self.create,
            package: self.package,
            settle: self.settle,
            recipients,
            portal_subdomain: self.subdomain,
            sender: self.sender,
            package_name: self.package_name,
            package_description: self.description,
            password_file: self.password_file.map(absolute).transpose()?,
            delete_after: self.delete_after,
            download_limit: self.download_limit,
            tag_name: self.tag_name,
            team_id: self.team_id,
            upload_priority: self.priority,
            after: match self.move_to {
                Some(folder) => json!({ "complete": { "move": folder } }),
                None if self.delete => "delete".into(),
                None => Value::Null,
            },
            enabled: self.enable,
        })
    }
}

/// The API path for one rule; whatever was typed stays one segment.
fn one(id: &str) -> String {
    let escaped: String = url::form_urlencoded::byte_serialize(id.as_bytes()).collect();
    format!("/automations/{}", escaped.replace('+', "%20"))
}

pub(super) async fn run(
    command: Command,
    client: impl FnOnce() -> Result<Client, CliError>,
    output: &Output,
) -> Result<ExitCode, CliError> {
    let added: AutomationAdded = match command {
        Command::Ls(options) => return rule::run(rule::Command::Ls(options), client, output).await,
        Command::Update(update) => {
            let (id, change) = update.build()?;
            let client = client()?;
            let id = rule::find(&id, &client).await?;
            let changed: Value = client.patch(&one(&id), &change).await?;
            output.json(&changed);
            output.line(&format!("Changed {id}."));
            return Ok(ExitCode::SUCCESS);
        }
        Command::Delete { id, sure } => {
            let client = client()?;
            let id = rule::find(&id, &client).await?;
            let question = format!("Remove the rule {id} from the rules file?");
            if !sure.go_on(&question, &format!("remove the rule {id} from the rules file"), output)? {
                return Ok(ExitCode::SUCCESS);
            }
            client.delete(&one(&id)).await?;
            output.json(&json!({ "removed": id }));
            output.line(&format!("Removed {id}."));
            return Ok(ExitCode::SUCCESS);
        }
        Command::Add(Add::Download(new)) => client()?.post("/automations/portal_download", &new.build()?).await?,
        Command::Add(Add::Upload(new)) => client()?.post("/automations/upload", &new.build()?).await?,
    };
    output.json(&added);
    output.line(&format!("Added {0}. `masv rule status {0}` shows what it is doing.", added.automation_id));
    Ok(ExitCode::SUCCESS)
}
