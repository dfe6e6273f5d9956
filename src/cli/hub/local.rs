//! Work on a hub's storage, which is done on its own machine.

use std::path::PathBuf;

use clap::Args;
use masv_hub::{Hub, HubConfig, HubError};

use super::failed;
use super::reach::usual_data_dir;
use super::shared::SharedOptions;
use super::storage::StorageOptions;
use crate::cli::error::{CliError, Exit};

/// The hub, and its bucket.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Local {
    /// The hub's data directory; the hub may be running [default: that of `masv hub start`]
    #[arg(long, global = true, value_name = "DIR", env = "MASV_HUB_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// Days for which the hub keeps things in the trash.
    #[arg(long, global = true, value_name = "DAYS", default_value_t = 7, env = "MASV_HUB_TRASH_DAYS")]
    trash_days: u32,
    #[command(flatten)]
    shared: SharedOptions,
    #[command(flatten)]
    storage: StorageOptions,
}

impl Local {
    /// Opens the hub; makes no data where there is none.
    pub(super) async fn open(self) -> Result<Hub, CliError> {
        let folder = self.data_dir.unwrap_or_else(usual_data_dir);
        let database = self.shared.database()?;
        if database.is_none() && !folder.join("hub.db").exists() {
            return Err(CliError::new(Exit::NotFound, format!("there is no hub in {}", folder.display()))
                .hint("give its --data-dir"));
        }
        let mut config = HubConfig::new(folder);
        config.database = database;
        config.bucket = self.storage.bucket()?;
        config.trash_days = self.trash_days;
        Hub::open(config).await.map_err(|error| failed(&error))
    }
}

/// The message for work that was not done.
pub(super) fn told(error: HubError) -> CliError {
    match error {
        HubError::NotFound { .. } => CliError::new(Exit::NotFound, error.to_string()),
        error => failed(&error),
    }
}
