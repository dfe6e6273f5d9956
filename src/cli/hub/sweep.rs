//! `masv hub sweep`.

use std::process::ExitCode;

use clap::Args;
use masv_hub::Hub;
use serde_json::json;

use super::local::told;
use crate::cli::error::CliError;
use crate::cli::output::{Mood, Output};

#[derive(Debug, Args)]
pub(in crate::cli) struct SweepOptions {
    /// Confirm that the clock is right and the database belongs to this storage, and move what was shown to the trash.
    #[arg(long)]
    confirm: bool,
}

pub(super) async fn run(asked: &SweepOptions, hub: &Hub, output: &Output) -> Result<ExitCode, CliError> {
    let found = hub.survey().await.map_err(told)?;
    let findings = hub.findings().await.map_err(told)?;
    let (unknown, all) = found.disk;
    output.line(&format!(
        "{unknown} of the {all} parts on the disk that are older than two hours are unknown to the database."
    ));
    if let Some((unknown, all)) = found.bucket {
        output.line(&format!(
            "{unknown} of the {all} files in the bucket that are older than a day are unknown to the database."
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
        "Confirmed and done: unknown files on the disk are in the trash; those in the bucket are removed when the trash would be emptied."
    } else {
        "Confirmed: the running hub sweeps within a minute."
    });
    Ok(ExitCode::SUCCESS)
}
