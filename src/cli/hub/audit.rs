//! `masv hub audit`.

use std::process::ExitCode;

use clap::Args;
use masv_protocol::{AuditEntry, AuditQuery, Page, Time};

use super::reach::{HubClient, time};
use crate::cli::error::CliError;
use crate::cli::list::{Kind, ListOptions};
use crate::cli::output::Output;
use crate::cli::table::Column;

/// What part of the log to show.
#[derive(Debug, Args)]
pub(in crate::cli) struct Asked {
    /// Only entries by this actor: part of an e-mail address, a key's name, or "operator".
    #[arg(long, value_name = "TEXT")]
    actor: Option<String>,
    /// Only these actions, such as user.added or key.removed.
    #[arg(long, value_name = "ACTION", value_delimiter = ',')]
    action: Vec<String>,
    /// Only entries since this date or time (RFC 3339, UTC).
    #[arg(long, value_name = "TIME")]
    since: Option<Time>,
    /// How many, up to 100.
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: u64,
    /// Which page.
    #[arg(long, value_name = "N", default_value_t = 1)]
    page: u64,
    #[command(flatten)]
    list: ListOptions,
}

pub(super) async fn run(asked: &Asked, hub: &HubClient, output: &Output) -> Result<ExitCode, CliError> {
    let team = hub.team().await?;
    let query = AuditQuery {
        page: Some(asked.page),
        limit: Some(asked.limit),
        actor: asked.actor.clone(),
        action: asked.action.clone(),
        from: asked.since,
    };
    let log = hub.ask(hub.admin.audit(&team, &query)).await?;
    let row = |entry: &AuditEntry| {
        vec![
            time(entry.created_at).into(),
            entry.action.as_str().into(),
            entry.actor.as_str().into(),
            entry.address.clone().unwrap_or_default().into(),
            entry.subject.as_str().into(),
        ]
    };
    let Page { metadata, records } = log;
    output
        .list(&asked.list, &Kind::new(&COLUMNS, "No entries."), records, row, |records| Page { metadata, records })?;
    Ok(ExitCode::SUCCESS)
}

const COLUMNS: [Column; 5] = [
    Column::new("WHEN (UTC)").named("when"),
    Column::new("ACTION"),
    Column::new("BY").cut(12),
    Column::new("FROM").rank(1),
    Column::new("WHAT").cut(16),
];
