//! `masv hub backup` and `masv hub restore`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::failed;
use super::reach::usual_data_dir;
use crate::cli::error::{CliError, Exit};
use crate::cli::output::{Output, size};

#[derive(Debug, Args)]
pub(in crate::cli) struct Backup {
    /// The file to write; it must not exist yet. Protect it as well as the hub itself.
    file: PathBuf,
    /// The hub's data directory [default: where `masv hub start` keeps it]
    #[arg(long, value_name = "DIR", env = "MASV_HUB_DATA_DIR")]
    data_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Restore {
    /// A file that `masv hub backup` wrote.
    file: PathBuf,
    /// The data directory to restore into; it must not contain a hub [default: where `masv hub start` keeps it]
    #[arg(long, value_name = "DIR", env = "MASV_HUB_DATA_DIR")]
    data_dir: Option<PathBuf>,
}

pub(super) async fn backup(options: Backup, output: &Output) -> Result<ExitCode, CliError> {
    let data_dir = options.data_dir.unwrap_or_else(usual_data_dir);
    if !data_dir.join("hub.db").exists() {
        return Err(CliError::new(Exit::NotFound, format!("there is no hub in {}", data_dir.display()))
            .hint("give its --data-dir"));
    }
    let bytes = masv_hub::back_up(&data_dir, &options.file).await.map_err(|error| failed(&error))?;
    output.json(&json!({ "file": options.file, "bytes": bytes }));
    output.line(&format!("Wrote {} ({}).", options.file.display(), size(bytes)));
    output.line(
        "It does not contain the uploaded files: copy the storage now, as described in hub.md in the documentation.",
    );
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn restore(options: Restore, output: &Output) -> Result<ExitCode, CliError> {
    let data_dir = options.data_dir.unwrap_or_else(usual_data_dir);
    masv_hub::restore(&options.file, &data_dir).await.map_err(|error| failed(&error))?;
    output.json(&json!({ "data_dir": data_dir }));
    output.line(&format!("Restored the hub to {}.", data_dir.display()));
    Ok(ExitCode::SUCCESS)
}
