//! `masv hub sweep`.

use std::process::ExitCode;

use clap::Args;
use masv_hub::Hub;
use serde_json::json;

use super::local::told;
use crate::cli::error::CliError;
use crate::cli::output::{Mood, Output};

#[derive(Debug, Args)]
pub(in crate::cli) struct Sweep {
    /// The clock is right, the database is the one that belongs to this storage, and what was shown may go into the trash.
    #[arg(long)]
    confirm: bool,
}

pub(super) async fn run(asked: &Sweep, hub: &Hub, output: &Output) -> Result<ExitCode, CliError> {
    let found = hub.survey().await.map_err(told)?;
    let findings = hub.findings().await.map_err(told)?;
    let (unknown, all) = found.disk;
    output.line(&format!(
        "The database does not know {unknown} of {all} parts on the disk that are older than two hours."
    ));
    if let Some((unknown, all)) = found.bucket {
        output.line(&format!(
            "The database does not know {unknown} of {all} files in the bucket that are older than a day."
        ));
    }
    if !asked.confirm {
        for finding in &findings {
            output.marked("note", Mood::Warned, &format!("{}. {}", finding.message, finding.todo));
        }
        output.json(&json!({ "found": found, "findings": findings, "confirmed": false }));
        return Ok(ExitCode::SUCCESS);
    }
    let here = hub.confirm_sweep(&found).await.map_err(told)?;
    output.json(&json!({ "found": found, "findings": findings, "confirmed": true, "done": here }));
    output.line(if here {
        "Confirmed and done: what is unknown on the disk is in the trash, what is unknown in the bucket is removed when the trash would be."
    } else {
        "Confirmed: the hub that is running sweeps within a minute."
    });
    Ok(ExitCode::SUCCESS)
}
