//! The settings as written: what flags, variables and file are called, and what they look like.

use std::path::PathBuf;

use clap::{ArgAction, Args, ValueEnum};
use secrecy::SecretString;
use serde::Deserialize;

use super::alerts::WrittenAlerts;
use super::own_hub::WrittenHub;
use super::sources::Origins;
use crate::api::types::Size;

/// The settings as written: by flags, by `MASV_*` variables, in the file of `--config` (the same names, in YAML).
#[derive(Debug, Clone, Default, Args, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Written {
    /// The rules file: which folders are watched, and what happens to the files in them.
    #[arg(long, value_name = "FILE", env = "MASV_RULES")]
    pub rules: Option<PathBuf>,
    /// Where the API listens: http://ADDRESS:PORT (port 0 for any) or unix:///PATH [default: http://127.0.0.1:8080]
    #[arg(long, value_name = "URL", env = "MASV_LISTEN")]
    pub listen: Option<String>,
    /// File mode of a unix:// socket, such as 660 to let a group connect [default: 600]
    #[arg(long, value_name = "MODE", env = "MASV_SOCKET_MODE")]
    pub socket_mode: Option<Mode>,
    /// The agent's data directory.
    #[arg(long, value_name = "DIR", env = "MASV_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// The cloud to send to; without one here or in the rules file, the agent runs its own hub.
    #[arg(long, value_name = "URL", env = "MASV_CLOUD_URL")]
    pub cloud_url: Option<String>,
    /// How the agent's own hub is reached and sends mail, where no cloud is configured.
    #[command(flatten)]
    pub hub: WrittenHub,
    /// Who is told when something is wrong.
    #[command(flatten)]
    pub alerts: WrittenAlerts,
    /// Authorises uploads. Shows in process lists: rather use --api-key-file or MASV_API_KEY.
    #[arg(long, value_name = "KEY", env = "MASV_API_KEY", hide_env_values = true)]
    pub api_key: Option<SecretString>,
    /// File with the API key; other users must not be able to read it.
    #[arg(long, value_name = "FILE", env = "MASV_API_KEY_FILE")]
    pub api_key_file: Option<PathBuf>,
    /// The team to send as, if the key or session has several.
    #[arg(long, value_name = "ID", env = "MASV_TEAM_ID")]
    pub team_id: Option<String>,
    /// Finalize uploads automatically, unless an upload says otherwise [default: true]
    #[arg(long, env = "MASV_AUTO_FINALIZE", action = ArgAction::Set, num_args = 0..=1, require_equals = true,
          default_missing_value = "true")]
    pub auto_finalize: Option<bool>,
    /// Resume unfinished uploads at the start; otherwise they are paused [default: true]
    #[arg(long, env = "MASV_AUTO_RESUME", action = ArgAction::Set, num_args = 0..=1, require_equals = true,
          default_missing_value = "true")]
    pub auto_resume: Option<bool>,
    /// Size of a part, at most: bytes, 64MB or 64MiB; on slow links parts are smaller [default: 100MiB]
    #[arg(long, value_name = "SIZE", env = "MASV_CHUNK_SIZE")]
    pub chunk_size: Option<Size>,
    /// Parts on their way at once [default: as many as bring more, at most 64]
    #[arg(long, value_name = "N", env = "MASV_UPLOAD_WORKERS")]
    pub upload_workers: Option<usize>,
    /// File with the token that every API call must carry; other users must not be able to read it.
    #[arg(long, value_name = "FILE", env = "MASV_TOKEN_FILE")]
    pub token_file: Option<PathBuf>,
    /// Restrict commands and API calls to reading and writing below this folder; can be repeated.
    #[arg(long = "allow-root", value_name = "DIR", env = "MASV_ALLOW_ROOT", value_delimiter = ':')]
    pub allow_root: Vec<PathBuf>,
    /// Days until complete uploads and downloads are removed from the list, 0 for never; the record of what was sent is kept [default: 90]
    #[arg(long, value_name = "DAYS", env = "MASV_HISTORY_DAYS")]
    pub history_days: Option<u16>,
    /// The most that the dashboard may receive from browsers until it is sent: bytes, 100GB or 100GiB; 0 for nothing [default: 100GB]
    #[arg(long, value_name = "SIZE", env = "MASV_SPOOL_LIMIT")]
    pub spool_limit: Option<Size>,
    /// Keep the machine awake while uploads or downloads are under way [default: false]
    #[arg(long, env = "MASV_STAY_AWAKE", action = ArgAction::Set, num_args = 0..=1, require_equals = true,
          default_missing_value = "true")]
    pub stay_awake: Option<bool>,
    /// The log for people, or one JSON object a line [default: text]
    #[arg(long, value_enum, env = "MASV_LOG_FORMAT")]
    pub log_format: Option<LogFormat>,
    /// error, warn, info, debug or trace, also by module [default: warn on a terminal, else info]
    #[arg(long, value_name = "LEVEL", env = "MASV_LOG_LEVEL")]
    pub log_level: Option<String>,
    /// Write the log to this file instead of standard error; at 10 MB it gets a number, and four such files are kept.
    #[arg(long, value_name = "FILE", env = "MASV_LOG_FILE")]
    pub log_file: Option<PathBuf>,
    /// YAML file with the settings above, under the same names without the leading dashes.
    #[arg(long, value_name = "FILE", env = "MASV_CONFIG")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// How the values came to the command line.
    #[arg(skip)]
    #[serde(skip)]
    pub origins: Origins,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One line for people; under the journal, in the journal's format.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// The mode of a file, in octal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "serde_json::Value")]
pub struct Mode(pub u32);

impl std::str::FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777 && mode & 0o111 == 0);
        mode.map(Self).ok_or_else(|| format!("{text:?} is not a valid mode, such as 600 or 660"))
    }
}

impl TryFrom<serde_json::Value> for Mode {
    type Error = String;

    /// `660` may be written without quotes, too, and means the octal digits.
    fn try_from(value: serde_json::Value) -> Result<Self, String> {
        value.as_str().map_or_else(|| value.to_string(), str::to_owned).parse()
    }
}
