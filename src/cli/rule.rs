//! `masv rule`: checking, observing and controlling rules.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::client::Client;
use super::error::{CliError, Exit};
use super::list::{Kind, ListOptions};
use super::output::{Cell, Mood, Output, count, duration, size};
use super::rule_reports as reports;
use super::short::Named;
use super::table::Column;
use masv_rules::own_hub::is_loopback;
use masv_rules::{RuleSet, Severity, UploadKind};

/// The default rules file.
pub(super) const USUAL_FILE: &str = "rules.yaml";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Check a rules file: reports all errors at once, with line and column. Needs no agent.
    #[command(after_help = "Example:\n  masv rule check rules.yaml")]
    Check {
        /// The file.
        #[arg(default_value = USUAL_FILE)]
        file: PathBuf,
    },
    /// List the active rules.
    #[command(after_help = "Examples:\n  masv rule ls\n  masv rule ls --sort -waiting\n  masv rule ls -q")]
    Ls(ListOptions),
    /// Explain why a file is or is not sent, or a portal's package is or is not downloaded: every test of every relevant rule. Exit code 4
    /// if no rule matches it.
    #[command(
        after_help = "Examples:\n  masv rule explain /srv/drop/dailies/A001C001.mov\n  masv rule explain 01KFZ6VQ0M5S3A7N9P2R4T6V8X"
    )]
    Explain {
        /// The file, or a package's id in the cloud.
        path: PathBuf,
    },
    /// Show what would be sent if all files were complete now; nothing is sent.
    #[command(after_help = "Example:\n  masv rule dry-run rules.yaml")]
    DryRun {
        /// A rules file [default: the active rules; without a running agent, rules.yaml]
        file: Option<PathBuf>,
    },
    /// Show what a rule is doing: which files are waiting, for what, and until when.
    #[command(after_help = "Example:\n  masv rule status dailies")]
    Status {
        /// The rule: its name, or enough of it.
        name: String,
    },
    /// Package what is ready now, regardless of the schedule; for a download rule, check the whole inbox now.
    #[command(after_help = "Example:\n  masv rule run dailies")]
    Run {
        /// The rule: its name, or enough of it.
        name: String,
    },
    /// Pause a rule: it sends or downloads nothing until it is resumed, even after a restart.
    #[command(after_help = "Example:\n  masv rule pause all")]
    Pause {
        /// The rule (its name, or enough of it), or `all`.
        name: String,
    },
    /// Resume a paused rule.
    #[command(after_help = "Example:\n  masv rule resume dailies")]
    Resume {
        /// The rule (its name, or enough of it), or `all`.
        name: String,
    },
    /// Accept a watched folder that is on another file system than before; files that are not there any more count as removed.
    ///
    /// A rule remembers where its folder lies. If another file system is there after a restart, or while the agent runs, and files that the
    /// rule still needs are missing, or it is empty, the rule is `offline` and says so: usually a drive or share is not mounted. When it is
    /// back, the rule goes on by itself. Use this command if the change is on purpose.
    #[command(after_help = "Example:\n  masv rule accept-folder dailies")]
    AcceptFolder {
        /// The rule.
        name: String,
    },
    /// Reload the rules file; if it is not valid, the previous rules stay active.
    #[command(after_help = "Example:\n  masv rule reload")]
    Reload,
    /// Show what a rule has sent or received.
    #[command(after_help = "Example:\n  masv rule history dailies --since 7d --output csv > dailies.csv")]
    History {
        /// The rule: its name, or enough of it.
        name: String,
        /// Only transfers started since this date, time or age, such as 2026-11-01, 2026-11-01T18:00:00Z or 7d.
        #[arg(long, value_name = "WHEN", value_parser = reports::since)]
        since: Option<Timestamp>,
        /// The maximum number to list, newest first [default: 100; with --since, all]
        #[arg(long)]
        limit: Option<u32>,
        #[command(flatten)]
        list: ListOptions,
    },
    /// Forget that something was sent or received, so that it is transferred again.
    #[command(
        after_help = "Examples:\n  masv rule forget dailies /srv/drop/dailies/A001\n  masv rule forget from-clients 01KFZ6VQ0M5S3A7N9P2R4T6V8X"
    )]
    Forget {
        /// The rule: its name, or enough of it.
        name: String,
        /// A file, or a folder and everything below it; for a download rule, a package's id.
        path: Option<PathBuf>,
        /// Everything.
        #[arg(long)]
        all: bool,
    },
    /// Mark what is there now as sent or received, without transferring it.
    #[command(after_help = "Example:\n  masv rule mark-sent dailies --all")]
    MarkSent {
        /// The rule: its name, or enough of it.
        name: String,
        /// A file, or a folder and everything below it; for a download rule, a package's id.
        path: Option<PathBuf>,
        /// Everything.
        #[arg(long)]
        all: bool,
    },
    /// Print the JSON Schema of rules files, for editors.
    #[command(after_help = "Example:\n  masv rule schema > rules.schema.json")]
    Schema,
    /// Print a commented rules file to start from.
    #[command(after_help = "Example:\n  masv rule init > rules.yaml")]
    Init,
}

pub(super) async fn run(
    command: Command,
    client: impl FnOnce() -> Result<Client, CliError>,
    output: &Output,
) -> Result<ExitCode, CliError> {
    match command {
        Command::Check { file } => check(&file, output)?,
        Command::Schema => {
            output.raw(&format!("{:#}\n", masv_rules::schema()));
        }
        Command::Init => output.raw(&example()),
        Command::Ls(options) => list(client()?.get("/automations").await?, &options, output)?,
        Command::Explain { path } => return reports::explain(&path, &client()?, output).await,
        Command::DryRun { file } => reports::dry_run(file, &client()?, output).await?,
        Command::Status { name } => {
            let client = client()?;
            status(&client.get(&named(&find(&name, &client).await?, "")).await?, output);
        }
        Command::Run { name } => {
            let client = client()?;
            status(&client.order(&named(&find(&name, &client).await?, "/run")).await?, output);
        }
        Command::Pause { name } => {
            let client = client()?;
            let name = find(&name, &client).await?;
            let answer: Value = client.order(&named(&name, "/pause")).await?;
            output.json(&answer);
            output.line(&format!("Paused {name}."));
        }
        Command::Resume { name } => {
            let client = client()?;
            let name = find(&name, &client).await?;
            let answer: Value = client.order(&named(&name, "/resume")).await?;
            output.json(&answer);
            output.line(&format!("Resumed {name}."));
        }
        Command::AcceptFolder { name } => {
            let answer: Value = client()?.order(&named(&name, "/accept_folder")).await?;
            output.json(&answer);
            output.line(&format!("Accepted the folder of {name} as it is now: {}.", folder(&answer)));
        }
        Command::Reload => {
            let answer: Value = client()?.order("/automations/reload").await?;
            output.json(&answer);
            output.line(&format!("Loaded {}.", count(answer["rules"].as_u64().unwrap_or_default(), "rule")));
        }
        Command::History { name, since, limit, list } => {
            let client = client()?;
            let name = find(&name, &client).await?;
            let limit = limit.unwrap_or(if since.is_some() { 10_000 } else { 100 });
            let since = since.map(|since| format!("&since={since}")).unwrap_or_default();
            let call = named(&name, &format!("/history?limit={limit}{since}"));
            reports::history(client.get(&call).await?, &list, output)?;
        }
        Command::Forget { name, path, all } => {
            let client = client()?;
            let name = find(&name, &client).await?;
            let answer: Value = client.post(&named(&name, "/forget"), &below(path, all)?).await?;
            output.json(&answer);
            output.line(&match answer["forgotten"].as_u64().unwrap_or_default() {
                0 => "No record matches; nothing was changed.".to_owned(),
                forgotten => {
                    format!("Forgot {}; what is still there will be transferred again.", count(forgotten, "entry"))
                }
            });
        }
        Command::MarkSent { name, path, all } => {
            let client = client()?;
            let name = find(&name, &client).await?;
            let answer: Value = client.post(&named(&name, "/mark_sent"), &below(path, all)?).await?;
            output.json(&answer);
            output.line(&match answer["marked"].as_u64().unwrap_or_default() {
                0 => "Nothing matching is waiting to be transferred; nothing was changed.".to_owned(),
                1 => "Marked 1 as done.".to_owned(),
                marked => format!("Marked {marked} as done."),
            });
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The commented rules file, for a folder in which there is nothing else of the project.
fn example() -> String {
    let schema = "# `masv rule schema > rules.schema.json` writes that file; editors then know every key.";
    masv_rules::EXAMPLE
        .replacen("$schema=docs/rules.schema.json\n", &format!("$schema=rules.schema.json\n{schema}\n"), 1)
        .replace("docs/rules.md", "rules.md in the documentation")
}

/// The API path for one automation; whatever was typed stays one segment.
fn named(name: &str, call: &str) -> String {
    let escaped: String = url::form_urlencoded::byte_serialize(name.as_bytes()).collect();
    format!("/automations/{}{call}", escaped.replace('+', "%20"))
}

/// The package whose id was given instead of a path: no such file exists, and it looks like an id.
pub(super) fn package_id(typed: &Path) -> Option<&str> {
    let text = typed.to_str()?;
    let is_id = text.len() >= 20 && text.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
    (is_id && !typed.exists()).then_some(text)
}

fn below(path: Option<PathBuf>, all: bool) -> Result<Value, CliError> {
    if let Some(package) = path.as_deref().and_then(package_id).filter(|_| !all) {
        return Ok(json!({ "package": package }));
    }
    match (path, all) {
        (Some(path), false) => {
            let path = reports::whole_path(&path)?;
            let path = path.to_str().ok_or_else(reports::not_utf8)?;
            Ok(json!({ "path": path }))
        }
        (None, true) => Ok(json!({ "all": true })),
        _ => Err(CliError::usage("give either a path or --all")),
    }
}

fn check(file: &Path, output: &Output) -> Result<(), CliError> {
    let file = std::path::absolute(file).map_err(|error| CliError::usage(error.to_string()))?;
    let colours = std::io::stderr().is_terminal();
    match masv_rules::load(&file, &crate::agent::Surroundings) {
        Ok(rules) => {
            let number = rules.rules.len() + rules.downloads.len();
            let note = reaches_few(&rules);
            output.json(&json!({ "valid": true, "rules": number, "warnings": rules.warnings, "note": note }));
            for warning in &rules.warnings {
                output.report(&warning.render(colours));
            }
            if let Some(note) = note.filter(|_| !output.is_json()) {
                output.note(&note);
            }
            let warnings = match rules.warnings.len() {
                0 => String::new(),
                warnings => format!(", {}", count(warnings as u64, "warning")),
            };
            output.line(&format!("{}: {}, no errors{warnings}.", file.display(), count(number as u64, "rule")));
            Ok(())
        }
        Err(diagnostics) => {
            output.json(&json!({ "valid": false, "errors": diagnostics.0 }));
            output.report(&diagnostics.render(colours));
            let of = |severity| diagnostics.0.iter().filter(|one| one.severity == severity).count() as u64;
            let errors = count(of(Severity::Error), "error");
            let warnings = match of(Severity::Warning) {
                0 => String::new(),
                warnings => format!(" and {}", count(warnings, "warning")),
            };
            Err(CliError::failed(format!("{errors}{warnings} in {}", file.display())))
        }
    }
}

/// The note for a rules file without a cloud, on where its packages go.
fn reaches_few(rules: &RuleSet) -> Option<String> {
    if rules.cloud.is_some() || rules.rules.is_empty() {
        return None;
    }
    let nobody =
        rules.hub.smtp.is_none() && rules.rules.iter().any(|rule| !matches!(rule.upload.kind, UploadKind::Link));
    let here = rules.hub.reached_at().ok().flatten().is_none_or(|url| is_loopback(&url));
    let told = match (here, nobody) {
        (true, true) => "links work on this machine only, and e-mails are not delivered",
        (true, false) => "links work on this machine only",
        (false, true) => "e-mails are not delivered",
        (false, false) => return None,
    };
    Some(format!(
        "note: without `cloud` in the file and without --cloud-url, the agent sends to its embedded hub: {told}. `masv setup` makes it \
         reachable"
    ))
}

pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn mood(state: &str) -> Mood {
    match state {
        "watching" | "polling" => Mood::Good,
        "offline" => Mood::Bad,
        "paused" | "disabled" => Mood::Quiet,
        _ => Mood::Plain,
    }
}

/// Reports that the active rules differ from those in the file.
fn tell_problem(answer: &Value, output: &Output) {
    if let Some(problem) = answer["rules_problem"].as_str().filter(|_| !output.is_json()) {
        output.note(&format!("{problem}\n\nThe rules file is not loaded; the previous rules stay active.\n"));
    }
}

/// The columns of a list of rules.
const COLUMNS: [Column; 8] = [
    Column::new("NAME"),
    Column::new("STATE"),
    Column::new("KIND").rank(2),
    Column::new("PER").rank(3),
    Column::new("WAITING"),
    Column::new("FOLDER").cut(16).rank(1),
    Column::new("PRIORITY").wide(),
    Column::new("LAST ERROR").named("error").cut(16).rank(4).if_any(),
];

fn list(mut answer: Value, options: &ListOptions, output: &Output) -> Result<(), CliError> {
    tell_problem(&answer, output);
    let automations = answer["automations"].as_array().cloned().unwrap_or_default();
    let row = |rule: &Value| {
        let state = text(&rule["state"]);
        vec![
            text(&rule["name"]).into(),
            Cell::mood(state.clone(), mood(&state)),
            text(&rule["kind"]).into(),
            if is_download(rule) { "package".into() } else { text(&rule["package"]).into() },
            Cell::number(rule["waiting_count"].as_u64().unwrap_or_default()),
            folder(rule).into(),
            Cell::right(rule["priority"].as_i64().unwrap_or_default().to_string()),
            Cell::mood(unless_over(&rule["last_error"]), Mood::Bad),
        ]
    };
    let kind = Kind::new(&COLUMNS, "No rules.");
    output.list(options, &kind, automations, row, |automations| {
        answer["automations"] = automations.into();
        answer
    })
}

/// The name of the rule that was typed: its name, or enough of its beginning or end. A name that no active rule has is left as it
/// is: rules that were removed have a history.
pub(super) async fn find(typed: &str, client: &Client) -> Result<String, CliError> {
    if typed == "all" {
        return Ok(typed.to_owned());
    }
    let answer: Value = client.get("/automations").await?;
    let rules = answer["automations"].as_array().cloned().unwrap_or_default();
    let rule = Named { kind: "rule", list: "masv rule ls", by_beginning: true };
    let parts = |rule: &Value| (text(&rule["name"]), String::new(), text(&rule["state"]));
    match rule.one(typed, rules, parts) {
        Ok(rule) => Ok(text(&rule["name"])),
        Err(error) if error.exit == Exit::NotFound => Ok(typed.to_owned()),
        Err(error) => Err(error),
    }
}

fn is_download(rule: &Value) -> bool {
    rule["kind"] == "download"
}

/// The folder that a rule sends from or receives into.
fn folder(rule: &Value) -> String {
    text(&rule[if is_download(rule) { "into" } else { "watch" }])
}

fn unless_over(error: &Value) -> String {
    if error["over"] == true { String::new() } else { text(&error["message"]) }
}

/// A time in the agent's response, as local clock time.
pub(super) fn clock(time: &Value) -> Option<String> {
    let time = time.as_str()?.parse::<Timestamp>().ok()?;
    Some(time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string())
}

/// What only download rules have.
fn download_status(rule: &Value, output: &Output) {
    let portals = match &rule["portals"] {
        Value::Array(names) => names.iter().map(text).collect::<Vec<_>>().join(", "),
        _ => "all".to_owned(),
    };
    output.line(&format!("  portals  {portals}"));
    output.line(&format!("  every    {}", duration(rule["poll_seconds"].as_u64().unwrap_or_default())));
    if let Some(at) = clock(&rule["last_look"]["at"]) {
        output.line(&format!("  polled   {at}"));
    }
    if let Some(at) = clock(&rule["next_look"]) {
        output.line(&format!("  next     {at}"));
    }
    output.line(&format!("  pending  {}", rule["waiting_count"]));
    output.line(&format!("  received {}", rule["received"]));
}

fn status(rule: &Value, output: &Output) {
    output.json(rule);
    tell_problem(rule, output);
    output.line(&format!("{}: {}", text(&rule["name"]), text(&rule["state"])));
    output.line(&format!("  folder   {}", folder(rule)));
    if let Some(reason) = rule["reason"].as_str() {
        output.line(&format!("  because  {reason}"));
    }
    if let Some(reason) = rule["writers_unseen"].as_str() {
        output.line(&format!("  writers  {reason}"));
    }
    // The reason why the folder is offline was just printed.
    let said = rule["state"] == "offline" && rule["last_error"]["code"] == "offline";
    if let Some(message) = rule["last_error"]["message"].as_str().filter(|_| !said) {
        let over = if rule["last_error"]["over"] == true { " (resolved)" } else { "" };
        output.line(&format!("  error    {message}{over}"));
    }
    if is_download(rule) {
        return download_status(rule, output);
    }
    output.line(&format!("  schedule {}", text(&rule["schedule"])));
    let until = reports::at(&rule["open_until"]);
    if !until.is_empty() {
        output.line(&format!("  window   open until {until}"));
    }
    let coming = reports::coming(rule);
    if !coming.is_empty() {
        output.line(&format!("  next     {}", coming.join(", ")));
    }
    if let Some(at) = clock(&rule["next_package"]) {
        output.line(&format!("  package  next at {at}"));
    }
    for upload in rule["open"].as_array().into_iter().flatten() {
        output.line(&format!("  open     upload {} accepts files until it is finalized", text(upload)));
    }
    let copying = &rule["copying"];
    if let Some(path) = copying["path"].as_str() {
        let bytes = |key: &str| size(copying[key].as_u64().unwrap_or_default());
        output.line(&format!("  moving   {path}: {} of {} copied", bytes("copied"), bytes("size")));
    }
    let waiting = rule["waiting"].as_array().cloned().unwrap_or_default();
    for unread in rule["unread"].as_array().into_iter().flatten() {
        output.line(&format!("  unread   {}: {}", text(&unread[0]), text(&unread[1])));
    }
    let noted = |key: &str| {
        let (number, example) = (rule[key]["count"].as_u64().unwrap_or_default(), text(&rule[key]["example"]));
        (number > 0).then(|| (count(number, "name"), example, text(&rule[key]["what"])))
    };
    if let Some((names, example, what)) = noted("skipped") {
        output.line(&format!("  skipped  {names} that are not regular files: {example} is {what}"));
    }
    if let Some((names, example, why)) = noted("awkward_names") {
        output.line(&format!("  names    {names} that Windows cannot save: {example} {why}"));
    }
    output.line(&format!("  waiting  {}", rule["waiting_count"]));
    let rows: Vec<Vec<Cell>> = waiting
        .iter()
        .map(|file| {
            let bytes = file["size"].as_u64().unwrap_or_default();
            let until = clock(&file["until"]).map(|until| format!(", until {until}")).unwrap_or_default();
            let reason = format!("{}{until}", text(&file["reason"]));
            vec![text(&file["path"]).into(), Cell::right(size(bytes)), reason.into()]
        })
        .collect();
    if !rows.is_empty() {
        output.table(&["FILE", "SIZE", "WAITS FOR"], &rows);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Its first line named a schema in the clone of the project, which an installed program does not have.
    #[test]
    fn the_file_to_start_from_names_nothing_of_the_project() {
        let file = example();
        assert!(!file.contains("docs/") && file.contains("masv rule schema > rules.schema.json"), "{file}");
    }
}
