//! A database that several hubs share: options of `masv hub start` and of its administration.

use std::path::PathBuf;

use clap::Args;
use masv_hub::SharedDatabase;
use secrecy::SecretString;

use crate::cli::error::CliError;

#[derive(Debug, Clone, Default, Args)]
pub(in crate::cli) struct SharedOptions {
    /// Share a PostgreSQL database with other hubs: postgres://USER@HOST/DATABASE [default: a database of its own, in the data
    /// directory]
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "MASV_HUB_DATABASE",
        hide_env_values = true,
        requires = "secret_key_file"
    )]
    database: Option<String>,
    /// File with the database's password.
    #[arg(long, global = true, value_name = "FILE", env = "MASV_HUB_DATABASE_PASSWORD_FILE", requires = "database")]
    database_password_file: Option<PathBuf>,
    /// File with the secret key that the hubs on a shared database have in common, from `openssl rand -hex 32`
    #[arg(long, global = true, value_name = "FILE", env = "MASV_HUB_SECRET_KEY_FILE", requires = "database")]
    secret_key_file: Option<PathBuf>,
}

impl SharedOptions {
    /// The database, if one is named.
    pub(super) fn database(&self) -> Result<Option<SharedDatabase>, CliError> {
        let (Some(url), Some(secret_key_file)) = (&self.database, self.secret_key_file.clone()) else {
            return Ok(None);
        };
        let password = match &self.database_password_file {
            None => None,
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|error| {
                    CliError::usage(format!("--database-password-file {}: {error}", path.display()))
                })?;
                Some(SecretString::from(text.trim_end_matches(['\r', '\n'])))
            }
        };
        Ok(Some(SharedDatabase { url: SecretString::from(url.as_str()), password, secret_key_file }))
    }
}
