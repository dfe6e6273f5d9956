//! `masv status`: the agent at a glance, what is wrong, and what is being transferred.

use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;

use super::client::Client;
use super::doctor;
use super::error::{CliError, Exit};
use super::output::{Cell, Output, duration, size};
use super::server;
use super::table::Column;
use super::transfers::{self, Transfer};
use crate::api::types::{Check, Download, Examination, Grade, Server, Standing, Transfers, Upload};

/// How long the checks may take: the cloud may not respond.
const CHECKS_WITHIN: Duration = Duration::from_secs(5);
/// How many transfers are shown in each direction.
const SHOWN: u32 = 10;

/// The status with what is wrong and what is being transferred.
#[derive(Serialize)]
struct Overview {
    #[serde(flatten)]
    server: Server,
    /// The checks that found something.
    problems: Vec<Check>,
    /// What is being transferred.
    transferring: Running,
}

#[derive(Serialize)]
struct Running {
    uploads: Vec<Upload>,
    downloads: Vec<Download>,
}

pub(super) async fn run(client: &Client, output: &Output) -> Result<ExitCode, CliError> {
    let server: Server = client.get("/server").await?;
    let query = format!("states=transferring&limit={SHOWN}");
    let uploads: Transfers<Upload> = client.get(&format!("/uploads?{query}")).await?;
    let downloads: Transfers<Download> = client.get(&format!("/downloads?{query}")).await?;
    let problems = problems(client).await?;
    let transferring = Running { uploads: uploads.transfers, downloads: downloads.transfers };
    let overview = Overview { server, problems, transferring };
    output.json(&overview);
    server::show(&overview.server, output);
    let Running { uploads, downloads } = &overview.transferring;
    let rows: Vec<Vec<Cell>> = uploads.iter().map(row).chain(downloads.iter().map(row)).collect();
    if !rows.is_empty() {
        output.line("");
        output.fitted(&COLUMNS, &rows, true, false);
    }
    // What the status itself has just said is not said again.
    let said = |check: &Check| overview.server.limitations.iter().any(|one| one.message == check.finding);
    let others: Vec<&Check> = overview.problems.iter().filter(|check| !said(check)).collect();
    if !others.is_empty() {
        output.line("");
        others.into_iter().for_each(|check| doctor::show(check, output));
    }
    Ok(ExitCode::SUCCESS)
}

/// The checks that found something; nothing if they take too long, which the status must not.
pub(super) async fn problems(client: &Client) -> Result<Vec<Check>, CliError> {
    let checks = match tokio::time::timeout(CHECKS_WITHIN, client.get::<Examination>("/doctor")).await {
        Ok(Err(error)) if error.exit == Exit::NoAgent => return Err(error),
        Ok(Ok(Examination { checks })) => checks,
        Ok(Err(error)) => vec![unknown(error.message)],
        Err(_) => vec![unknown(format!("not done within {} s", CHECKS_WITHIN.as_secs()))],
    };
    Ok(checks.into_iter().filter(|check| check.grade != Grade::Green).collect())
}

fn unknown(finding: String) -> Check {
    Check { name: "checks".to_owned(), grade: Grade::Amber, finding, todo: Some("see `masv doctor`".to_owned()) }
}

const COLUMNS: [Column; 5] = [
    Column::new(""),
    Column::new("NAME").cut(12),
    Column::new("STATE"),
    Column::new("DONE"),
    Column::new("SPEED").cut(10),
];

fn row<T: Transfer + std::ops::Deref<Target = Standing>>(transfer: &T) -> Vec<Cell> {
    let (state, mood) = transfer.state();
    let left = transfer.eta_seconds.map(|eta| format!(", {} left", duration(eta))).unwrap_or_default();
    vec![
        T::NAME.into(),
        transfer.title().into(),
        Cell::mood(state, mood),
        transfers::done(transfer),
        format!("{}/s{left}", size(transfer.speed_bps)).into(),
    ]
}
