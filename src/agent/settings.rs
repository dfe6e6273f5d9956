//! Settings in three stages: as written in flags, environment and file ([`Written`]), put together (flag before
//! environment before file before default), and built ([`Settings`]): addresses parsed, secrets read.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

use clap::{ArgAction, Args};
use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

use super::AgentError;
use crate::api::types::Size;
use crate::transfer::TransferSettings;

/// Where the API listens when nobody says.
const DEFAULT_LISTEN: &str = "http://127.0.0.1:8080";
/// Bytes of a part when nobody says.
const DEFAULT_CHUNK: u64 = 100 << 20;

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
    /// Where the agent keeps its state.
    #[arg(long, value_name = "DIR", env = "MASV_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// The cloud to send to; without one here or in the rules file, the agent runs its own hub.
    #[arg(long, value_name = "URL", env = "MASV_CLOUD_URL")]
    pub cloud_url: Option<String>,
    /// Authorises uploads. Shows in process lists: rather use --api-key-file or MASV_API_KEY.
    #[arg(long, value_name = "KEY", env = "MASV_API_KEY", hide_env_values = true)]
    pub api_key: Option<SecretString>,
    /// A file that holds the API key.
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
    /// A file that holds the token which every call of the API must bring.
    #[arg(long, value_name = "FILE", env = "MASV_TOKEN_FILE")]
    pub token_file: Option<PathBuf>,
    /// Only files below this folder may be uploaded by command or API; can be given several times.
    #[arg(long = "allow-root", value_name = "DIR")]
    pub allow_root: Vec<PathBuf>,
    /// The settings above in a YAML file, by the same names without the dashes in front.
    #[arg(long, value_name = "FILE", env = "MASV_CONFIG")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
}

/// The settings as the agent uses them.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The rules file.
    pub rules: Option<PathBuf>,
    /// Where the API listens.
    pub listen: Listen,
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
    /// Folders that may be uploaded from; empty for all.
    pub allowed_roots: Vec<PathBuf>,
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
        let written = self.over(file);
        let defaults = TransferSettings::default();
        let workers = written.upload_workers.unwrap_or(defaults.workers);
        if !(1..=256).contains(&workers) {
            return Err(setting("--upload-workers", "must be from 1 to 256"));
        }
        let chunk_size = written.chunk_size.map_or(DEFAULT_CHUNK, |size| size.0);
        if chunk_size == 0 {
            return Err(setting("--chunk-size", "must be more than 0"));
        }
        let allowed_roots = written.allow_root.into_iter().map(|root| {
            root.canonicalize().map_err(|error| setting("--allow-root", format!("{}: {error}", root.display())))
        });
        Ok(Settings {
            rules: written.rules.map(|path| absolute("--rules", path)).transpose()?,
            listen: parse_listen(written.listen.as_deref().unwrap_or(DEFAULT_LISTEN))?,
            data_dir: absolute("--data-dir", written.data_dir.unwrap_or_else(default_data_dir))?,
            cloud_url: written.cloud_url.as_deref().map(parse_cloud).transpose()?,
            api_key: match (written.api_key, written.api_key_file) {
                (Some(key), _) => Some(key),
                (None, Some(path)) => Some(read_secret("--api-key-file", &path)?),
                (None, None) => None,
            },
            team_id: written.team_id,
            auto_finalize: written.auto_finalize.unwrap_or(true),
            transfer: TransferSettings {
                workers,
                chunk_size,
                auto_resume: written.auto_resume.unwrap_or(true),
                ..defaults
            },
            token: written.token_file.as_deref().map(|path| read_secret("--token-file", path)).transpose()?,
            allowed_roots: allowed_roots.collect::<Result<_, _>>()?,
        })
    }

    /// These settings, and those of `file` where these say nothing.
    fn over(self, file: Self) -> Self {
        Self {
            rules: self.rules.or(file.rules),
            listen: self.listen.or(file.listen),
            data_dir: self.data_dir.or(file.data_dir),
            cloud_url: self.cloud_url.or(file.cloud_url),
            api_key: self.api_key.or(file.api_key),
            api_key_file: self.api_key_file.or(file.api_key_file),
            team_id: self.team_id.or(file.team_id),
            auto_finalize: self.auto_finalize.or(file.auto_finalize),
            auto_resume: self.auto_resume.or(file.auto_resume),
            chunk_size: self.chunk_size.or(file.chunk_size),
            upload_workers: self.upload_workers.or(file.upload_workers),
            token_file: self.token_file.or(file.token_file),
            allow_root: if self.allow_root.is_empty() { file.allow_root } else { self.allow_root },
            config: self.config,
        }
    }
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
    serde_yaml::from_str(&text).map_err(|error| problem(error.to_string()))
}

fn read_secret(name: &'static str, path: &Path) -> Result<SecretString, AgentError> {
    let text = std::fs::read_to_string(path).map_err(|error| setting(name, format!("{}: {error}", path.display())))?;
    let secret = text.trim();
    if secret.is_empty() {
        return Err(setting(name, format!("{} is empty", path.display())));
    }
    Ok(secret.into())
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
