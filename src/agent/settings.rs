//! Settings in three stages: as written in flags, environment and file ([`Written`]), put together (flag before
//! environment before file before default), and built ([`Settings`]): addresses parsed, secrets read.

mod sources;

use std::net::{SocketAddr, ToSocketAddrs};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use clap::{ArgAction, Args, ValueEnum};
use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

use self::sources::Sources;
pub use self::sources::{Origin, Origins};
use super::{AgentError, secrets};
use crate::api::about::Setting;
use crate::api::types::Size;
use crate::transfer::TransferSettings;

/// Where the API listens when nobody says.
const DEFAULT_LISTEN: &str = "http://127.0.0.1:8080";
/// Bytes of a part when nobody says.
const DEFAULT_CHUNK: u64 = 100 << 20;
/// Days that complete transfers are kept when nobody says.
const HISTORY_DAYS: u16 = 90;
/// What is shown of a secret.
const SECRET: &str = "set";

/// The settings as written: by flags, by `MASV_*` variables, in the file of `--config` (the same names, in YAML).
#[derive(Debug, Clone, Default, Args, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Written {
    /// The rules file: which folders are watched, and what becomes of what lands there.
    #[arg(long, value_name = "FILE", env = "MASV_RULES")]
    pub rules: Option<PathBuf>,
    /// Where the API listens: http://ADDRESS:PORT (port 0 for any) or unix:///PATH [default: http://127.0.0.1:8080]
    #[arg(long, value_name = "URL", env = "MASV_LISTEN")]
    pub listen: Option<String>,
    /// Who may connect to a unix:// socket: its mode, such as 660 for a group [default: 600]
    #[arg(long, value_name = "MODE", env = "MASV_SOCKET_MODE")]
    pub socket_mode: Option<Mode>,
    /// Where the agent keeps its state.
    #[arg(long, value_name = "DIR", env = "MASV_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// The cloud to send to; without one here or in the rules file, the agent runs its own hub.
    #[arg(long, value_name = "URL", env = "MASV_CLOUD_URL")]
    pub cloud_url: Option<String>,
    /// Authorises uploads. Shows in process lists: rather use --api-key-file or MASV_API_KEY.
    #[arg(long, value_name = "KEY", env = "MASV_API_KEY", hide_env_values = true)]
    pub api_key: Option<SecretString>,
    /// A file that holds the API key, and that others can not read.
    #[arg(long, value_name = "FILE", env = "MASV_API_KEY_FILE")]
    pub api_key_file: Option<PathBuf>,
    /// The team that sends, where key or session have several.
    #[arg(long, value_name = "ID", env = "MASV_TEAM_ID")]
    pub team_id: Option<String>,
    /// Finalize uploads that do not say by themselves [default: true]
    #[arg(long, env = "MASV_AUTO_FINALIZE", action = ArgAction::Set, num_args = 0..=1, require_equals = true,
          default_missing_value = "true")]
    pub auto_finalize: Option<bool>,
    /// Go on with unfinished uploads at the start; otherwise they are paused [default: true]
    #[arg(long, env = "MASV_AUTO_RESUME", action = ArgAction::Set, num_args = 0..=1, require_equals = true,
          default_missing_value = "true")]
    pub auto_resume: Option<bool>,
    /// Size of a part: bytes, 64MB or 64MiB [default: 100MiB]
    #[arg(long, value_name = "SIZE", env = "MASV_CHUNK_SIZE")]
    pub chunk_size: Option<Size>,
    /// Parts on their way at once [default: twice the cores, 8 to 16]
    #[arg(long, value_name = "N", env = "MASV_UPLOAD_WORKERS")]
    pub upload_workers: Option<usize>,
    /// A file that holds the token which every call of the API must bring, and that others can not read.
    #[arg(long, value_name = "FILE", env = "MASV_TOKEN_FILE")]
    pub token_file: Option<PathBuf>,
    /// Only files below this folder may be uploaded, and only there may be written, by command or API; can be given several times.
    #[arg(long = "allow-root", value_name = "DIR", env = "MASV_ALLOW_ROOT", value_delimiter = ':')]
    pub allow_root: Vec<PathBuf>,
    /// Complete uploads and downloads are forgotten after so many days, 0 for never; what was sent stays known [default: 90]
    #[arg(long, value_name = "DAYS", env = "MASV_HISTORY_DAYS")]
    pub history_days: Option<u16>,
    /// The log for people, or one JSON object a line [default: text]
    #[arg(long, value_enum, env = "MASV_LOG_FORMAT")]
    pub log_format: Option<LogFormat>,
    /// error, warn, info, debug or trace, also by module [default: warn on a terminal, else info]
    #[arg(long, value_name = "LEVEL", env = "MASV_LOG_LEVEL")]
    pub log_level: Option<String>,
    /// The settings above in a YAML file, by the same names without the dashes in front.
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
    /// A line for people; where the journal reads it, as the journal takes it.
    #[default]
    Text,
    /// A JSON object a line.
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
        mode.map(Self).ok_or_else(|| format!("{text:?} is no mode such as 600 or 660"))
    }
}

impl TryFrom<serde_json::Value> for Mode {
    type Error = String;

    /// `660` is written without quotes as well, and means the digits.
    fn try_from(value: serde_json::Value) -> Result<Self, String> {
        value.as_str().map_or_else(|| value.to_string(), str::to_owned).parse()
    }
}

/// The settings as the agent uses them.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The rules file.
    pub rules: Option<PathBuf>,
    /// Where the API listens.
    pub listen: Listen,
    /// Mode of a Unix socket.
    pub socket_mode: u32,
    /// Where the state is kept, absolute.
    pub data_dir: PathBuf,
    /// The cloud, unless the rules file or the embedded hub decide.
    pub cloud_url: Option<Url>,
    /// Authorises uploads.
    pub api_key: Option<SecretString>,
    /// The team that sends.
    pub team_id: Option<String>,
    /// Whether uploads that do not say are finalized by themselves.
    pub auto_finalize: bool,
    /// How the engine works.
    pub transfer: TransferSettings,
    /// What calls of the API must bring.
    pub token: Option<SecretString>,
    /// Folders that may be uploaded from and written to; empty for all.
    pub allowed_roots: Vec<PathBuf>,
    /// After how many days complete transfers are forgotten; 0 for never.
    pub history_days: u16,
    /// How the log is written.
    pub log_format: LogFormat,
    /// What the log tells, unless the default does.
    pub log_level: Option<String>,
    /// All settings with where they are from, for people.
    pub shown: Vec<Setting>,
}

/// Where the API listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// An IP address and port.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

/// The data directory when nobody names one: that of the service manager, else that of the platform.
#[must_use]
pub fn default_data_dir() -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    if let Some(state) = variable("STATE_DIRECTORY") {
        return state;
    }
    let home = std::env::home_dir().unwrap_or_else(|| PathBuf::from("/"));
    if cfg!(target_os = "macos") {
        return home.join("Library/Application Support/masv-agent");
    }
    variable("XDG_DATA_HOME").unwrap_or_else(|| home.join(".local/share")).join("masv-agent")
}

impl Written {
    /// Puts the settings together and builds them.
    ///
    /// # Errors
    /// [`AgentError::Setting`] or [`AgentError::SettingsFile`] for the first that can not be used.
    pub fn build(self) -> Result<Settings, AgentError> {
        let file = self.config.as_deref().map(read_file).transpose()?.unwrap_or_default();
        let mut from = Sources::new(self.origins, self.config.as_deref());
        let path = |path: &PathBuf| path.display().to_string();
        let secret = |_: &SecretString| SECRET.to_owned();
        let defaults = TransferSettings::default();

        let rules = from.choose("rules", self.rules, file.rules, path, "none");
        let listen = from.choose("listen", self.listen, file.listen, String::clone, DEFAULT_LISTEN);
        let mode = from.choose("socket-mode", self.socket_mode, file.socket_mode, |m| format!("{:o}", m.0), "600");
        let data_dir = default_data_dir();
        let data_dir = from
            .choose("data-dir", self.data_dir, file.data_dir, path, &data_dir.display().to_string())
            .unwrap_or(data_dir);
        let cloud_url = from.choose("cloud-url", self.cloud_url, file.cloud_url, String::clone, "its own hub");
        let key = from.choose("api-key", self.api_key, file.api_key, secret, "none");
        let key_file = from.choose("api-key-file", self.api_key_file, file.api_key_file, path, "none");
        let api_key = match (key, key_file, secrets::credential("api-key")) {
            (Some(key), _, _) => Some(key),
            (None, Some(path), _) => Some(read_secret("--api-key-file", &path)?),
            (None, None, Some(path)) => {
                from.instead("api-key-file", path.display().to_string(), "credential api-key");
                Some(read_secret("--api-key-file", &path)?)
            }
            (None, None, None) => None,
        };
        let team_id = from.choose("team-id", self.team_id, file.team_id, String::clone, "the only one");
        let auto_finalize = from.choose("auto-finalize", self.auto_finalize, file.auto_finalize, shown, "true");
        let auto_resume = from.choose("auto-resume", self.auto_resume, file.auto_resume, shown, "true");
        let chunk_size =
            from.choose("chunk-size", self.chunk_size, file.chunk_size, |s| s.0.to_string(), &shown(&DEFAULT_CHUNK));
        let chunk_size = chunk_size.map_or(DEFAULT_CHUNK, |size| size.0);
        if chunk_size == 0 {
            return Err(setting("--chunk-size", "must be more than 0"));
        }
        let (given, in_file) = (self.upload_workers, file.upload_workers);
        let workers = from.choose("upload-workers", given, in_file, shown, &shown(&defaults.workers));
        let workers = workers.unwrap_or(defaults.workers);
        if !(1..=256).contains(&workers) {
            return Err(setting("--upload-workers", "must be from 1 to 256"));
        }
        let token_file = from.choose("token-file", self.token_file, file.token_file, path, "none").or_else(|| {
            let path = secrets::credential("token")?;
            from.instead("token-file", path.display().to_string(), "credential token");
            Some(path)
        });
        let some = |roots: Vec<PathBuf>| Some(roots).filter(|roots| !roots.is_empty());
        let all = |roots: &Vec<PathBuf>| roots.iter().map(path).collect::<Vec<_>>().join(":");
        let roots = from.choose("allow-root", some(self.allow_root), some(file.allow_root), all, "all folders");
        let roots = roots.into_iter().flatten().map(|root| {
            root.canonicalize().map_err(|error| setting("--allow-root", format!("{}: {error}", root.display())))
        });
        let days = from.choose("history-days", self.history_days, file.history_days, shown, &shown(&HISTORY_DAYS));
        let format = |format: &LogFormat| format!("{format:?}").to_lowercase();
        let log_format = from.choose("log-format", self.log_format, file.log_format, format, "text");
        let usual = "info, on a terminal warn";
        let log_level = from.choose("log-level", self.log_level, file.log_level, String::clone, usual);
        Ok(Settings {
            rules: rules.map(|path| absolute("--rules", path)).transpose()?,
            listen: parse_listen(listen.as_deref().unwrap_or(DEFAULT_LISTEN))?,
            socket_mode: mode.map_or(0o600, |mode| mode.0),
            data_dir: absolute("--data-dir", data_dir)?,
            cloud_url: cloud_url.as_deref().map(parse_cloud).transpose()?,
            api_key,
            team_id,
            auto_finalize: auto_finalize.unwrap_or(true),
            transfer: TransferSettings { workers, chunk_size, auto_resume: auto_resume.unwrap_or(true), ..defaults },
            token: token_file.as_deref().map(|path| read_secret("--token-file", path)).transpose()?,
            allowed_roots: roots.collect::<Result<_, _>>()?,
            history_days: days.unwrap_or(HISTORY_DAYS),
            log_format: log_format.unwrap_or_default(),
            log_level,
            shown: from.noted(),
        })
    }
}

fn shown(value: &impl std::fmt::Display) -> String {
    value.to_string()
}

fn setting(setting: &'static str, problem: impl Into<String>) -> AgentError {
    AgentError::Setting { setting, problem: problem.into() }
}

fn absolute(name: &'static str, path: PathBuf) -> Result<PathBuf, AgentError> {
    std::path::absolute(&path).map_err(|error| setting(name, format!("{}: {error}", path.display())))
}

fn read_file(path: &Path) -> Result<Written, AgentError> {
    let problem = |problem: String| AgentError::SettingsFile { path: path.to_owned(), problem };
    let text = std::fs::read_to_string(path).map_err(|error| problem(error.to_string()))?;
    if text.trim().is_empty() {
        return Ok(Written::default());
    }
    let written: Written = serde_yaml::from_str(&text).map_err(|error| problem(error.to_string()))?;
    if written.api_key.is_some() {
        let metadata = std::fs::metadata(path).map_err(|error| problem(error.to_string()))?;
        secrets::guarded(path, metadata.mode()).map_err(|why| problem(format!("it holds the API key, and {why}")))?;
    }
    Ok(written)
}

fn read_secret(name: &'static str, path: &Path) -> Result<SecretString, AgentError> {
    secrets::read(path).map_err(|problem| setting(name, problem))
}

fn parse_cloud(text: &str) -> Result<Url, AgentError> {
    let url = Url::parse(text).map_err(|error| setting("--cloud-url", format!("{text:?} is no address: {error}")))?;
    if matches!(url.scheme(), "http" | "https") && url.has_host() {
        Ok(url)
    } else {
        Err(setting("--cloud-url", format!("{text:?} is no address such as https://api.massive.app")))
    }
}

fn parse_listen(text: &str) -> Result<Listen, AgentError> {
    if let Some(path) = text.strip_prefix("unix://") {
        return absolute("--listen", PathBuf::from(path)).map(Listen::Unix);
    }
    let address = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
    let wrong = || {
        setting("--listen", format!("{text:?} is no address such as http://127.0.0.1:8080 or unix:///run/masv.sock"))
    };
    let mut found = address.to_socket_addrs().map_err(|_| wrong())?;
    found.next().map(Listen::Tcp).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_counts_before_the_file_and_the_file_before_the_default() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("masv.yaml");
        std::fs::write(&config, "upload-workers: 3\nchunk-size: 64MiB\nauto-resume: false\n").unwrap();
        let written = Written { config: Some(config), upload_workers: Some(7), ..Written::default() };
        let settings = written.build().unwrap();
        assert_eq!((settings.transfer.workers, settings.transfer.chunk_size), (7, 64 << 20));
        assert!(!settings.transfer.auto_resume && settings.auto_finalize);
        assert_eq!(settings.listen, Listen::Tcp("127.0.0.1:8080".parse().unwrap()));
    }

    #[test]
    fn each_setting_says_where_it_is_from_and_secrets_say_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("masv.yaml");
        std::fs::write(&config, "api-key: sesame\nchunk-size: 64MiB\nsocket-mode: 660\nlog-format: json\n").unwrap();
        let origins = [("listen", Origin::Environment), ("upload-workers", Origin::Flag)];
        let written = Written {
            config: Some(config.clone()),
            listen: Some("unix:///run/x.sock".into()),
            upload_workers: Some(3),
            origins: origins.into_iter().map(|(name, origin)| (name.to_owned(), origin)).collect(),
            ..Written::default()
        };
        let mode =
            |mode| std::fs::set_permissions(&config, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        mode(0o644);
        let refused = written.clone().build().unwrap_err().to_string();
        assert!(refused.contains("chmod 600") && !refused.contains("sesame"), "{refused}");
        mode(0o600);
        let settings = written.build().unwrap();
        assert_eq!((settings.socket_mode, settings.log_format), (0o660, LogFormat::Json));
        let of = |name: &str| {
            let setting = settings.shown.iter().find(|setting| setting.name == name).unwrap();
            (setting.value.as_str(), setting.source.as_str())
        };
        let file = config.display().to_string();
        assert_eq!(of("listen"), ("unix:///run/x.sock", "MASV_LISTEN"));
        assert_eq!(of("upload-workers"), ("3", "flag"));
        assert_eq!(of("api-key"), ("set", &*file));
        assert_eq!(of("chunk-size"), ("67108864", &*file));
        assert_eq!(of("auto-resume"), ("true", "default"));
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let cases = [
            (Written { listen: Some("somewhere".into()), ..Written::default() }, "--listen"),
            (Written { cloud_url: Some("ftp://x".into()), ..Written::default() }, "--cloud-url"),
            (Written { upload_workers: Some(0), ..Written::default() }, "--upload-workers"),
            (Written { token_file: Some("/nowhere".into()), ..Written::default() }, "--token-file"),
        ];
        for (written, named) in cases {
            let error = written.build().unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }

    #[test]
    fn an_unknown_key_of_the_file_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("masv.yaml");
        std::fs::write(&config, "upload-worker: 3\n").unwrap();
        let error = Written { config: Some(config), ..Written::default() }.build().unwrap_err().to_string();
        assert!(error.contains("upload-worker"), "{error}");
    }
}
