//! Where a hub stores the files of packages: options of `masv hub start` and of the storage commands.

use std::path::PathBuf;

use clap::Args;

use crate::cli::error::CliError;
use masv_hub::{S3Config, S3Credentials};

#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct StorageOptions {
    /// Store the files of packages in a bucket: s3://BUCKET/PREFIX?endpoint=https://HOST&region=REGION [default: in the
    /// data directory]
    #[arg(long, global = true, value_name = "S3-URL", env = "MASV_HUB_STORAGE")]
    storage: Option<String>,
    /// File with the bucket's aws_access_key_id and aws_secret_access_key [default: the AWS_ variables, systemd's
    /// s3-credentials, ~/.aws/credentials]
    #[arg(long, global = true, value_name = "FILE", env = "MASV_HUB_STORAGE_CREDENTIALS", requires = "storage")]
    storage_credentials: Option<PathBuf>,
}

impl StorageOptions {
    /// The bucket, if one is named.
    pub(super) fn bucket(&self) -> Result<Option<S3Config>, CliError> {
        let Some(address) = &self.storage else { return Ok(None) };
        let read = S3Credentials::find(self.storage_credentials.as_deref(), |name| std::env::var(name).ok())
            .and_then(|credentials| S3Config::parse(address, credentials));
        read.map(Some).map_err(|error| {
            CliError::failed(error.to_string()).hint("see \"Files in a bucket\" in hub.md in the documentation")
        })
    }
}
