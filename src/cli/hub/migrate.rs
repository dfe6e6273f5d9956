//! `masv hub migrate`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use masv_hub::Migration;
use serde_json::json;

use super::local::told;
use super::reach::usual_data_dir;
use super::shared::SharedOptions;
use super::storage::StorageOptions;
use crate::cli::error::{CliError, Exit};
use crate::cli::output::{Mood, Output, size};

#[derive(Debug, Args)]
pub(in crate::cli) struct Migrate {
    /// The data directory of the hub that moves [default: that of `masv hub start`]
    #[arg(long, value_name = "DIR", env = "MASV_HUB_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// Stay: have the hub in the data directory take changes again. What was copied is to be thrown away.
    #[arg(long)]
    undo: bool,
    #[command(flatten)]
    shared: SharedOptions,
    #[command(flatten)]
    storage: StorageOptions,
}

pub(super) async fn run(options: Migrate, output: &Output) -> Result<ExitCode, CliError> {
    let data_dir = options.data_dir.unwrap_or_else(usual_data_dir);
    if !data_dir.join("hub.db").exists() {
        return Err(CliError::new(Exit::NotFound, format!("there is no hub in {}", data_dir.display()))
            .hint("give its --data-dir"));
    }
    if options.undo {
        masv_hub::stay(&data_dir).await.map_err(told)?;
        output.json(&json!({ "data_dir": data_dir, "undone": true }));
        output.line(&format!(
            "The hub in {} takes changes again, from its next start. Throw away the database that was made; in the bucket nothing must be removed if this hub \
             had files there before.",
            data_dir.display()
        ));
        return Ok(ExitCode::SUCCESS);
    }
    let (Some(database), Some(bucket)) = (options.shared.database()?, options.storage.bucket()?) else {
        return Err(CliError::usage("give where to: --database, --secret-key-file and --storage"));
    };
    let migration = Migration { data_dir: data_dir.clone(), database, bucket };
    let progress = |said: String| output.note(&said);
    let moved = masv_hub::migrate(migration, progress).await.map_err(told)?;
    output.json(&moved);
    for (table, rows) in &moved.rows {
        output.line(&format!("{rows:>9}  {table}"));
    }
    output.line(&format!(
        "Moved: {} files with {} went into the bucket now, and all rows are in the new database. Start the new hubs, and look once: `masv hub check`.",
        moved.files,
        size(moved.bytes)
    ));
    for lost in &moved.lost {
        output.marked("lost", Mood::Bad, lost);
    }
    Ok(if moved.lost.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
