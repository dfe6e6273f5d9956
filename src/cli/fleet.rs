//! `masv fleet`: all agents that are known by name, at one glance.
//!
//! **In**: the [contexts](super::context). **Out**: a row for each agent, the worst first. **Guarantees.** All are asked at once, and one
//! that does not respond delays the others by no more than its time. Each gets only its own token.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use futures_util::StreamExt;
use serde::Serialize;

use super::client::Client;
use super::context;
use super::error::{CliError, Exit};
use super::list::{Kind, ListOptions};
use super::output::{Cell, Mood, Output};
use super::table::Column;
use super::{Common, overview};
use crate::api::types::{Check, Grade, Server};

/// How long an agent may take to say who it is.
const WITHIN: Duration = Duration::from_secs(10);
/// How many are asked at the same time.
const AT_ONCE: usize = 32;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show all agents that `masv context add` has made known: which respond, what they do, and what is wrong. Exits with 1 if something is wrong
    /// somewhere.
    #[command(
        after_help = "Examples:\n  masv fleet status\n  masv fleet status --sort -failed\n  masv fleet status -o csv"
    )]
    Status(Status),
}

#[derive(Debug, Args)]
pub(super) struct Status {
    #[command(flatten)]
    list: ListOptions,
}

/// What became of asking an agent.
#[derive(Debug, Serialize)]
struct Seen {
    name: String,
    server: String,
    /// `ok`, `look`, `wrong`, or `silent` if it did not respond as an agent.
    standing: &'static str,
    /// Why it is silent.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<Server>,
    /// The checks that found something.
    problems: Vec<Check>,
}

#[derive(Serialize)]
struct Fleet {
    agents: Vec<Seen>,
}

const COLUMNS: [Column; 9] = [
    Column::new("NAME").cut(10),
    Column::new("STANDING"),
    Column::new("HOST").cut(8).rank(2),
    Column::new("VERSION").rank(3),
    Column::new("RULES").rank(3),
    Column::new("SENDING"),
    Column::new("FAILED"),
    Column::new("WHAT").cut(20),
    Column::new("SERVER").wide(),
];

pub(super) async fn run(command: Command, common: &Common, output: &Output) -> Result<ExitCode, CliError> {
    let Command::Status(Status { list }) = command;
    if common.server_typed || common.context_typed {
        return Err(CliError::usage("this asks all contexts: leave out --server and --context"));
    }
    let names = context::all()?;
    if names.is_empty() {
        let hint = "`masv context add NAME --server URL` adds one for each agent";
        return Err(CliError::new(Exit::NotFound, "there are no contexts").hint(hint));
    }
    let asked = futures_util::stream::iter(names).map(|(name, server)| ask(name, server, common));
    let mut agents: Vec<Seen> = asked.buffer_unordered(AT_ONCE).collect().await;
    let worst = |seen: &Seen| ["silent", "wrong", "look", "ok"].iter().position(|one| *one == seen.standing);
    agents.sort_by(|one, other| worst(one).cmp(&worst(other)).then_with(|| one.name.cmp(&other.name)));
    let wrong = agents.iter().any(|seen| matches!(seen.standing, "silent" | "wrong"));
    output.list(&list, &Kind::new(&COLUMNS, "No agents."), agents, row, |agents| Fleet { agents })?;
    Ok(if wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn ask(name: String, server: String, common: &Common) -> Seen {
    let common = Common { context: Some(name.clone()), context_typed: true, server: None, ..common.clone() };
    let answer = async {
        let client = Client::new(&common)?;
        let agent: Server = client.get("/server").await?;
        let problems = overview::problems(&client).await?;
        Ok::<_, CliError>((agent, problems))
    };
    let late = || CliError::failed(format!("no response within {} s", WITHIN.as_secs()));
    match tokio::time::timeout(WITHIN, answer).await.unwrap_or_else(|_| Err(late())) {
        Ok((agent, problems)) => {
            let standing = match problems.iter().map(|check| check.grade).max_by_key(|grade| *grade == Grade::Red) {
                None => "ok",
                Some(Grade::Red) => "wrong",
                Some(_) => "look",
            };
            Seen { name, server, standing, error: None, agent: Some(agent), problems }
        }
        Err(error) => {
            Seen { name, server, standing: "silent", error: Some(error.message), agent: None, problems: Vec::new() }
        }
    }
}

fn row(seen: &Seen) -> Vec<Cell> {
    let mood = match seen.standing {
        "ok" => Mood::Good,
        "look" => Mood::Warned,
        _ => Mood::Bad,
    };
    let agent = seen.agent.as_ref();
    let of = |value: Option<String>| Cell::from(value.unwrap_or_default());
    let uploads =
        |state: &str| of(agent.map(|agent| agent.uploads.get(state).copied().unwrap_or_default().to_string()));
    let worst = seen.problems.iter().find(|check| check.grade == Grade::Red).or_else(|| seen.problems.first());
    let what = seen.error.clone().or_else(|| worst.map(|check| format!("{}: {}", check.name, check.finding)));
    vec![
        seen.name.as_str().into(),
        Cell::mood(seen.standing, mood),
        of(agent.map(|agent| agent.host.clone())),
        of(agent.map(|agent| agent.version.clone())),
        of(agent.map(|agent| agent.rules.to_string())),
        uploads("transferring"),
        uploads("error"),
        of(what),
        seen.server.as_str().into(),
    ]
}
