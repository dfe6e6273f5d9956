//! `masv upload`: start, list, control and watch uploads.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{ArgAction, Args, Subcommand, ValueEnum};
use secrecy::{ExposeSecret, SecretString};

use super::addresses::addresses;
use super::client::Client;
use super::error::{CliError, Exit};
use super::output::{Cell, Mood, Output, duration, size};
use super::rule_reports::whole_path;
use super::table::Column;
use super::transfers::{
    self, Removing, Transfer, Which, confirmed, find, list, one, pause, remove, resume, say, state_of, with_files,
};
use super::{user, watch};
use crate::api::types::{Change, Common, File, MoreFiles, NewLink, NewPortalUpload, NewUpload, Size, Started, Upload};
use crate::model::{Link, SentList, UploadId};
use crate::store::Order;
use masv_protocol::EmailAddress;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Start an upload: by e-mail, by link, or to a portal.
    #[command(subcommand)]
    Start(Box<Start>),
    /// Create another link to an upload's package.
    #[command(
        after_help = "Example:\n  masv upload link 0199f3a6-7e0c-7a31-9d7e-0242ac120002 --email client@example.com"
    )]
    Link {
        /// The upload: its id, the end of its id, or its name.
        id: String,
        /// E-mail the link to this address.
        #[arg(long)]
        email: Option<String>,
        /// Password for the recipients; visible in process lists.
        #[arg(long)]
        password: Option<SecretString>,
        /// File with the password.
        #[arg(long, value_name = "FILE", conflicts_with = "password")]
        password_file: Option<PathBuf>,
    },
    /// Finalize an upload: its recipients are notified as soon as everything is uploaded.
    #[command(after_help = "Example:\n  masv upload finalize 0199f3a6-7e0c-7a31-9d7e-0242ac120002")]
    Finalize {
        /// The upload: its id, the end of its id, or its name.
        id: String,
    },
    /// List uploads, newest first.
    #[command(
        after_help = "Examples:\n  masv upload ls\n  masv upload ls --states transferring,error --rule dailies\n  masv upload ls --since 7d --sort -size -o csv > week.csv\n  masv upload ls --watch"
    )]
    Ls(Which),
    /// Show an upload's status and its files.
    #[command(after_help = "Example:\n  masv upload status 0199f3a6-7e0c-7a31-9d7e-0242ac120002")]
    Status {
        /// The upload: its id, the end of its id, or its name.
        id: String,
    },
    /// Pause at once; confirmed parts are kept.
    #[command(after_help = "Example:\n  masv upload pause all")]
    Pause {
        /// The upload (its id, the end of its id, or its name), or `all`.
        id: String,
    },
    /// Resume paused or failed uploads.
    #[command(
        after_help = "Examples:\n  masv upload resume all\n  masv upload resume 0199f3a6-7e0c-7a31-9d7e-0242ac120002 --without-gone"
    )]
    Resume {
        /// The upload (its id, the end of its id, or its name), or `all`.
        id: String,
        /// Leave out files that no longer exist, and send the rest.
        #[arg(long)]
        without_gone: bool,
    },
    /// Remove an upload from the list; if it is not complete, it is cancelled and removed from the cloud. Local files are kept.
    #[command(
        after_help = "Examples:\n  masv upload rm 0199f3a6-7e0c-7a31-9d7e-0242ac120002\n  masv upload rm all --states complete,error\n  masv upload rm all --dry-run"
    )]
    Rm {
        /// The upload (its id, the end of its id, or its name), or `all`.
        id: String,
        #[command(flatten)]
        removing: Removing,
    },
    /// Add files to an upload that is not complete.
    #[command(after_help = "Example:\n  masv upload add 0199f3a6-7e0c-7a31-9d7e-0242ac120002 late.mov")]
    Add {
        /// The upload: its id, the end of its id, or its name.
        id: String,
        /// Files and folders, or quoted patterns such as 'shots/*.mov', which the agent expands.
        #[arg(required = true)]
        paths: Vec<PathBuf>,
    },
    /// Change an upload's priority, order or finalization.
    #[command(after_help = "Example:\n  masv upload set 0199f3a6-7e0c-7a31-9d7e-0242ac120002 --priority 5")]
    Set {
        /// The upload: its id, the end of its id, or its name.
        id: String,
        /// Higher priorities go first.
        #[arg(long, allow_negative_numbers = true)]
        priority: Option<i32>,
        /// Its position among uploads of equal priority.
        #[arg(long, value_enum)]
        order: Option<Place>,
        /// Whether it is finalized automatically.
        #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
        auto_finalize: Option<bool>,
        /// Another password, or access code for a portal, as long as the package has not been created; `-` reads it from standard input.
        /// A failed upload resumes with it.
        #[arg(long)]
        password: Option<SecretString>,
        /// File with the password.
        #[arg(long, value_name = "FILE", conflicts_with = "password")]
        password_file: Option<PathBuf>,
    },
    /// Follow one upload, or all, until done; the exit code reports the outcome.
    #[command(after_help = "Example:\n  masv upload watch")]
    Watch {
        /// The upload (its id, the end of its id, or its name); by default, all that are not complete.
        id: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Start {
    /// E-mail a link to the recipients.
    #[command(
        after_help = "Example:\n  masv upload start email --emails=client@example.com,producer@example.com cut_v3.mov"
    )]
    Email {
        /// E-mail addresses of the recipients.
        #[arg(long, value_delimiter = ',', required = true)]
        emails: Vec<String>,
        #[command(flatten)]
        link: LinkFlags,
        #[command(flatten)]
        common: CommonFlags,
    },
    /// Create a link to share.
    #[command(
        after_help = "Examples:\n  masv upload start link --name 'Rough cut' cut_v3.mov\n  masv upload start link 'shots/*.mov'"
    )]
    Link {
        #[command(flatten)]
        link: LinkFlags,
        #[command(flatten)]
        common: CommonFlags,
    },
    /// Deliver to a portal; needs no session.
    #[command(after_help = "Example:\n  masv upload start portal --subdomain acme --sender me@example.com card/")]
    Portal {
        /// The portal's name.
        #[arg(long)]
        subdomain: String,
        /// Your e-mail address.
        #[arg(long)]
        sender: String,
        /// Values for the portal's form; can be repeated. A comma not followed by KEY= is part of the value.
        #[arg(long, value_name = "KEY=VALUE,...")]
        metadata: Vec<String>,
        #[command(flatten)]
        common: CommonFlags,
    },
}

#[derive(Debug, Args)]
pub(super) struct LinkFlags {
    /// Days until the package is deleted.
    #[arg(long, value_name = "DAYS")]
    delete_after: Option<u32>,
    /// How many times the package may be downloaded.
    #[arg(long, value_name = "N")]
    download_limit: Option<u64>,
    /// Tag by name; created if there is none.
    #[arg(long)]
    tag_name: Option<String>,
    /// Tag by id.
    #[arg(long)]
    tag_id: Option<String>,
    /// The team to send as, if you have several.
    #[arg(long)]
    team_id: Option<String>,
    /// The teamspace it belongs to.
    #[arg(long)]
    teamspace_id: Option<String>,
    /// Keep the package until it is deleted by hand.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "false",
          default_missing_value = "true")]
    unlimited_storage: bool,
}

#[derive(Debug, Args)]
pub(super) struct CommonFlags {
    /// Files and folders, or quoted patterns such as 'shots/*.mov', which the agent expands.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Name of the package [default: the name of the first path]
    #[arg(long)]
    name: Option<String>,
    /// Message to the recipients.
    #[arg(long)]
    description: Option<String>,
    /// Password for the recipients, or the portal's access code; visible in process lists.
    #[arg(long)]
    password: Option<SecretString>,
    /// File with the password.
    #[arg(long, value_name = "FILE", conflicts_with = "password")]
    password_file: Option<PathBuf>,
    /// Part size: bytes, 64MB or 64MiB; "" for the agent's setting.
    #[arg(long, value_name = "SIZE")]
    chunk_size: Option<String>,
    /// Higher priorities go first.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    priority: i32,
    /// Do not finalize automatically: leave the upload idle until `masv upload finalize`.
    #[arg(long)]
    no_finalize: bool,
    /// Exclude matching files, such as '*.tmp'; can be repeated.
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,
    /// Add a checksum list of what was sent to the package, which `masv verify` and other programs compare with what arrives.
    #[arg(long, value_name = "KIND")]
    manifest: Option<List>,
    /// Carry out the command only once for this key; a repeated command shows the upload of the first. For scripts that
    /// may be run again.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Follow the upload until it is done. Ctrl-C stops following, not the upload.
    #[arg(long)]
    wait: bool,
}

/// A kind of checksum list.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum List {
    AscMhl,
    Md5,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Place {
    Top,
    Up,
    Down,
    Bottom,
}

impl From<Place> for Order {
    fn from(place: Place) -> Self {
        match place {
            Place::Top => Self::Top,
            Place::Up => Self::Up,
            Place::Down => Self::Down,
            Place::Bottom => Self::Bottom,
        }
    }
}

/// Absolute paths: the agent runs in a different working directory.
pub(super) fn absolute(paths: Vec<PathBuf>) -> Result<Vec<PathBuf>, CliError> {
    paths
        .into_iter()
        .map(|path| {
            let from_here = std::env::current_dir().map(|here| here.join(&path));
            let full = from_here
                .map_err(|error| CliError::failed(format!("the current directory no longer exists: {error}")))?;
            // `..` and links are resolved here, where the path was typed; what does not exist yet, by name.
            if !has_dots(&path) {
                return Ok(full);
            }
            masv_platform::real_path(&full).or_else(|_| whole_path(&full))
        })
        .collect()
}

fn has_dots(path: &Path) -> bool {
    path.components().any(|part| matches!(part, std::path::Component::ParentDir | std::path::Component::CurDir))
}

impl CommonFlags {
    /// The order, its key, and whether to follow it.
    fn build(self, output: &Output) -> Result<(Common, Option<String>, bool), CliError> {
        let chunk_size = self.chunk_size.filter(|text| !text.trim().is_empty());
        let chunk_size = chunk_size.map(|text| text.parse::<Size>()).transpose().map_err(CliError::usage)?;
        let common = Common {
            paths: absolute(self.paths)?,
            spool: None,
            package_name: self.name,
            package_description: self.description,
            password: user::secret(self.password, self.password_file.as_deref(), output)?,
            chunk_size,
            priority: self.priority,
            auto_finalize: self.no_finalize.then_some(false),
            exclude: self.exclude,
            manifest: self.manifest.map(|list| match list {
                List::AscMhl => SentList::AscMhl,
                List::Md5 => SentList::Md5,
            }),
        };
        Ok((common, self.idempotency_key, self.wait))
    }
}

fn new_upload(common: Common, link: LinkFlags, recipients: Vec<String>) -> NewUpload {
    NewUpload {
        common,
        team_id: link.team_id,
        recipients,
        delete_after: link.delete_after,
        download_limit: link.download_limit,
        tag_name: link.tag_name,
        tag_id: link.tag_id,
        teamspace_id: link.teamspace_id,
        unlimited_storage: link.unlimited_storage,
    }
}

/// Keys and values as given, in one flag or in several. A piece without `=` belongs to the value before its comma.
fn parse_metadata(given: &[String]) -> Result<BTreeMap<String, String>, CliError> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for text in given {
        let mut first = true;
        for piece in text.split(',') {
            match (piece.split_once('='), pairs.last_mut().filter(|_| !first)) {
                (Some((key, value)), _) if !key.trim().is_empty() => {
                    pairs.push((key.trim().to_owned(), value.to_owned()));
                }
                (None, Some((_, value))) => *value = format!("{value},{piece}"),
                _ => return Err(CliError::usage(format!("--metadata: {piece:?} is not in the form KEY=VALUE"))),
            }
            first = false;
        }
    }
    Ok(pairs.into_iter().map(|(key, value)| (key, value.trim().to_owned())).collect())
}

async fn start(start: Start, client: &Client, output: &Output) -> Result<ExitCode, CliError> {
    let (started, wait): (Started, bool) = match start {
        Start::Email { emails, link, common } => {
            let emails = addresses("--emails", &emails)?;
            if emails.is_empty() {
                return Err(CliError::usage("--emails: give at least one recipient"));
            }
            let emails = emails.into_iter().map(EmailAddress::into_string).collect();
            let (common, key, wait) = common.build(output)?;
            (client.post_once("/uploads", &new_upload(common, link, emails), key).await?, wait)
        }
        Start::Link { link, common } => {
            let (common, key, wait) = common.build(output)?;
            (client.post_once("/uploads", &new_upload(common, link, Vec::new()), key).await?, wait)
        }
        Start::Portal { subdomain, sender, metadata, common } => {
            let (common, key, wait) = common.build(output)?;
            let metadata = parse_metadata(&metadata)?;
            let order = NewPortalUpload { common, subdomain, sender, metadata };
            (client.post_once("/uploads/portal", &order, key).await?, wait)
        }
    };
    if !(wait && output.is_json()) {
        output.json(&started);
    }
    output.line(&match &started.link {
        Some(link) => format!("Upload {} started. Shareable link: {link}", started.upload_id),
        None => format!("Upload {} started.", started.upload_id),
    });
    // For the person who is about to share the link; programs have it in the response.
    if let Some(note) = started.note.as_ref().filter(|_| !output.is_json() && std::io::stderr().is_terminal()) {
        output.note(&format!("  {note}"));
    }
    for warning in &started.warnings {
        output.note(&format!("warning: {warning}"));
    }
    if let Some(error) = &started.error {
        let no_link = if error.code == "retrying" { "there is no link yet" } else { "it has failed" };
        output.note(&format!("{no_link}: {}", error.message));
        if let Some(hint) = &error.hint {
            output.note(&format!("  {hint}"));
        }
        if error.code != "retrying" && !wait {
            return Ok(ExitCode::from(Exit::EndedInError as u8));
        }
    }
    if wait { watch::follow(Some(started.upload_id), client, output).await } else { Ok(ExitCode::SUCCESS) }
}

pub(super) async fn run(command: Command, client: &Client, output: &Output) -> Result<ExitCode, CliError> {
    match command {
        Command::Start(command) => return start(*command, client, output).await,
        Command::Watch { id } => {
            let id = match id {
                Some(id) => {
                    let id = find::<Upload>(&id, client).await?;
                    Some(client.get::<Upload>(&one::<Upload>(&id, "")).await?.id)
                }
                None => None,
            };
            return watch::follow(id, client, output).await;
        }
        Command::Link { id, email, password, password_file } => {
            let password = user::secret(password, password_file.as_deref(), output)?;
            let id = find::<Upload>(&id, client).await?;
            let link: Link = client.post(&one::<Upload>(&id, "/links"), &NewLink { password, email }).await?;
            output.json(&link);
            output.line(&link.url);
        }
        Command::Finalize { id } => {
            let id = find::<Upload>(&id, client).await?;
            say::<Upload>(&client.order(&one::<Upload>(&id, "/finalize")).await?, output);
        }
        Command::Ls(which) => return list::<Upload>(which, client, output).await,
        Command::Status { id } => {
            let upload = with_files(&id, client).await?;
            output.json(&upload);
            status(&upload, output);
        }
        Command::Pause { id } => pause::<Upload>(&id, client, output).await?,
        Command::Resume { id, without_gone: true } => {
            if id == "all" {
                return Err(CliError::usage("--without-gone applies to one upload: give its id"));
            }
            let id = find::<Upload>(&id, client).await?;
            say::<Upload>(&client.order(&one::<Upload>(&id, "/resume_without_gone")).await?, output);
        }
        Command::Resume { id, .. } => resume::<Upload>(&id, client, output).await?,
        Command::Rm { id, removing } => remove::<Upload>(&id, removing, client, output).await?,
        Command::Add { id, paths } => {
            let id = find::<Upload>(&id, client).await?;
            let more = MoreFiles { paths: absolute(paths)?, exclude: Vec::new() };
            say::<Upload>(&client.post(&one::<Upload>(&id, "/files"), &more).await?, output);
        }
        Command::Set { id, priority, order, auto_finalize, password, password_file } => {
            let password = match password {
                Some(dash) if dash.expose_secret() == "-" => Some(user::typed().await?),
                password => user::secret(password, password_file.as_deref(), output)?,
            };
            if priority.is_none() && order.is_none() && auto_finalize.is_none() && password.is_none() {
                let what = "give --priority, --order, --auto-finalize or --password";
                return Err(CliError::usage(what));
            }
            let id = find::<Upload>(&id, client).await?;
            let change = Change { priority, order: order.map(Order::from), auto_finalize, password };
            say::<Upload>(&client.patch(&one::<Upload>(&id, ""), &change).await?, output);
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl Transfer for Upload {
    const NAME: &'static str = "upload";
    type File = File;
    const COLUMNS: &'static [Column] = &[
        transfers::ID,
        transfers::STATE,
        transfers::DONE,
        transfers::SIZE,
        transfers::NAME,
        Column::new("TO").cut(10).rank(1),
        transfers::RULE,
        transfers::CREATED,
        transfers::COMPLETED,
        Column::new("PACKAGE").wide(),
        Column::new("LINK").whole(),
        transfers::ERROR,
    ];

    fn is_id(text: &str) -> bool {
        text.parse::<UploadId>().is_ok()
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
            self.name.clone().into(),
            self.to().into(),
            self.rule.clone().unwrap_or_default().into(),
            Cell::time(Some(self.created_at)),
            Cell::time(self.completed_at),
            self.package_id.clone().unwrap_or_default().into(),
            self.links.first().map(|link| link.url.clone()).unwrap_or_default().into(),
            transfers::error_of(self),
        ]
    }

    fn title(&self) -> String {
        self.name.clone()
    }

    fn state(&self) -> (String, Mood) {
        state_of(self.state, self.activity)
    }

    fn files(&mut self) -> &mut Option<Vec<File>> {
        &mut self.files
    }

    fn number(file: &File) -> u32 {
        file.id
    }
}

fn status(upload: &Upload, output: &Output) {
    let line = |title: &str, text: String| output.line(&format!("  {title:<9} {text}"));
    output.line(&format!("{} ({})", upload.name, upload.id));
    line("state", upload.state().0);
    let in_flight = match upload.in_flight {
        0 => String::new(),
        bytes => format!(", {} in flight", size(bytes)),
    };
    line("sent", format!("{} of {} ({}%){in_flight}", size(upload.progress), size(upload.size), confirmed(upload)));
    line("files", format!("{} of {}", upload.files_done, upload.file_count));
    line("to", upload.to());
    let parts = upload.files.iter().flatten().filter_map(|file| file.chunk_size);
    if let Some(largest) = parts.max() {
        line("parts", format!("of {}", size(largest)));
    }
    if upload.priority != 0 {
        line("priority", upload.priority.to_string());
    }
    if upload.speed_bps > 0 {
        let left = upload.eta_seconds.map(|eta| format!(", {} left", duration(eta))).unwrap_or_default();
        line("speed", format!("{}/s{left}", size(upload.speed_bps)));
    }
    for link in &upload.links {
        line("link", link.url.clone());
    }
    if let Some(error) = &upload.error {
        line("error", error.message.clone());
        if let Some(hint) = &error.hint {
            line("do", hint.clone());
        }
    }
    if let Some(rule) = &upload.rule {
        line("rule", rule.clone());
    }
    let files = upload.files.as_deref().unwrap_or_default();
    let rows: Vec<Vec<Cell>> = files
        .iter()
        .map(|file| {
            let state = serde_json::to_value(file.state).ok().and_then(|value| value.as_str().map(str::to_owned));
            let why = file.error.as_ref().map(|error| error.message.clone()).unwrap_or_default();
            vec![state.unwrap_or_default().into(), Cell::right(size(file.size)), file.path.clone().into(), why.into()]
        })
        .collect();
    output.table(&["STATE", "SIZE", "FILE", ""], &rows);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Case: metadata with spaces after the comma, and with commas in a value.
    #[test]
    fn metadata_is_read_as_people_write_it() {
        let read = |given: &[&str]| parse_metadata(&given.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
        let is = |given: &[&str], wanted: &[(&str, &str)]| {
            let found = read(given).unwrap();
            let found: Vec<_> = found.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
            assert_eq!(found, wanted, "{given:?}");
        };
        is(&["a=1,b=c"], &[("a", "1"), ("b", "c")]);
        is(&["a=1, b = c "], &[("a", "1"), ("b", "c")]);
        is(&["note=red, green,b=x=y"], &[("b", "x=y"), ("note", "red, green")]);
        is(&["a=1", "b=2"], &[("a", "1"), ("b", "2")]);
        is(&["a="], &[("a", "")]);
        for wrong in ["a", "=1", ",a=1"] {
            assert!(read(&[wrong]).is_err(), "{wrong:?}");
        }
    }

    /// A folder that did not exist yet was refused with "the folder must be absolute, without `..`".
    #[test]
    fn a_relative_path_that_is_not_there_is_resolved_where_it_was_typed() {
        let here = std::env::current_dir().unwrap();
        let path = absolute(vec!["../not/there".into()]).unwrap().pop().unwrap();
        assert_eq!(path, here.parent().unwrap().join("not/there"));
    }
}
