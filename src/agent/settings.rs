//! Settings in three stages: as written in flags, environment and file ([`Written`]), put together (flag before
//! environment before file before default), and built ([`Settings`]): addresses parsed, secrets read.

mod alerts;
mod own_hub;
mod sources;
mod written;

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use url::Url;

pub use self::alerts::Alerting;
use self::sources::Sources;
pub use self::sources::{Origin, Origins};
pub use self::written::{LogFormat, Mode, Written};
use super::{AgentError, secrets};
use crate::api::about::Setting;
use crate::api::types::Size;
use crate::engine::Workers;
use crate::upload::{CHUNK_SIZES, UploadSettings};
use masv_rules::own_hub::OwnHub;

/// The default address of the API.
const DEFAULT_LISTEN: &str = "http://127.0.0.1:8080";
/// The default part size, in bytes.
const DEFAULT_CHUNK: u64 = 100 << 20;
/// The default number of days that complete transfers are kept.
const HISTORY_DAYS: u16 = 90;
const SPOOL_LIMIT: u64 = 100_000_000_000;
/// What is shown instead of a secret.
const SECRET: &str = "set";

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
    /// The cloud, unless the rules file or the embedded hub decides.
    pub cloud_url: Option<Url>,
    /// How the embedded hub is reached and sends mail, as far as the settings say.
    pub hub: OwnHub,
    /// Who is told when something is wrong.
    pub alerts: Alerting,
    /// Authorises uploads.
    pub api_key: Option<SecretString>,
    /// The team to send as.
    pub team_id: Option<String>,
    /// Whether uploads are finalized automatically by default.
    pub auto_finalize: bool,
    /// How the engine works.
    pub transfer: UploadSettings,
    /// The token that every API call must carry; without one, the agent creates its own for callers who are neither its user
    /// nor root.
    pub token: Option<SecretString>,
    /// Folders that may be uploaded from and written to; empty for all.
    pub allowed_roots: Vec<PathBuf>,
    /// The agent's own files and folders: its state and its configuration.
    pub own_files: Vec<PathBuf>,
    /// After how many days complete transfers are removed; 0 for never.
    pub history_days: u16,
    /// The most that is received from browsers before it is sent, bytes.
    pub spool_limit: u64,
    /// Whether the machine is kept awake while something is transferred.
    pub stay_awake: bool,
    /// How the log is written.
    pub log_format: LogFormat,
    /// The log filter, if not the default.
    pub log_level: Option<String>,
    /// The file that the log is written to, if not standard error.
    pub log_file: Option<PathBuf>,
    /// All settings with their sources, for people.
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

/// The default data directory: the service manager's, else the platform's.
#[must_use]
pub fn default_data_dir() -> PathBuf {
    let of_service = std::env::var_os("STATE_DIRECTORY").map(PathBuf::from);
    if let Some(state) = of_service.filter(|path| path.is_absolute()) {
        return state;
    }
    let home = std::env::home_dir().unwrap_or_else(|| PathBuf::from("/"));
    masv_platform::user_data_folder(&home).join("masv-agent")
}

impl Written {
    /// Merges the settings and builds them.
    ///
    /// # Errors
    /// [`AgentError::Setting`] or [`AgentError::SettingsFile`] for the first that is not valid.
    pub fn build(self) -> Result<Settings, AgentError> {
        let file = self.config.as_deref().map(read_file).transpose()?.unwrap_or_default();
        let mut from = Sources::new(self.origins, self.config.as_deref());
        let path = |path: &PathBuf| path.display().to_string();
        let secret = |_: &SecretString| SECRET.to_owned();
        let defaults = UploadSettings::default();

        let rules = from.choose("rules", self.rules, file.rules, path, "none");
        let listen = from.choose("listen", self.listen, file.listen, String::clone, DEFAULT_LISTEN);
        let mode = from.choose("socket-mode", self.socket_mode, file.socket_mode, |m| format!("{:o}", m.0), "600");
        let data_dir = default_data_dir();
        let data_dir = from
            .choose("data-dir", self.data_dir, file.data_dir, path, &data_dir.display().to_string())
            .unwrap_or(data_dir);
        let cloud_url = from.choose("cloud-url", self.cloud_url, file.cloud_url, String::clone, "its own hub");
        let (hub, hub_files) = own_hub::build(self.hub, file.hub, &mut from)?;
        let (alerts, alert_files) = alerts::build(self.alerts, file.alerts, &mut from)?;
        let key = from.choose("api-key", self.api_key, file.api_key, secret, "none");
        let key_file = from.choose("api-key-file", self.api_key_file, file.api_key_file, path, "none");
        let mut own_files: Vec<PathBuf> = self.config.iter().chain(&key_file).cloned().collect();
        let api_key = match (key, key_file, secrets::credential("api-key")) {
            (Some(key), _, _) => Some(key),
            (None, Some(path), _) => Some(read_secret("--api-key-file", &path)?),
            (None, None, Some(path)) => {
                from.instead("api-key-file", path.display().to_string(), "credential api-key");
                Some(read_secret("--api-key-file", &path)?)
            }
            (None, None, None) => None,
        };
        let team_id = from.choose("team-id", self.team_id, file.team_id, String::clone, "the only team");
        if team_id.as_ref().is_some_and(|team| team.trim().is_empty()) {
            return Err(setting("--team-id", "give a team, or omit it"));
        }
        let auto_finalize = from.choose("auto-finalize", self.auto_finalize, file.auto_finalize, shown, "true");
        let auto_resume = from.choose("auto-resume", self.auto_resume, file.auto_resume, shown, "true");
        let chunk_size =
            from.choose("chunk-size", self.chunk_size, file.chunk_size, |s| s.0.to_string(), &shown(&DEFAULT_CHUNK));
        let chunk_size = chunk_size.map_or(DEFAULT_CHUNK, |size| size.0);
        CHUNK_SIZES.check(chunk_size).map_err(|problem| setting("--chunk-size", problem))?;
        let (given, in_file) = (self.upload_workers, file.upload_workers);
        let workers = from.choose("upload-workers", given, in_file, shown, &defaults.workers.to_string());
        let workers = match workers {
            Some(workers @ 1..=256) => Workers::Fixed(workers),
            Some(_) => return Err(setting("--upload-workers", "must be from 1 to 256")),
            None => defaults.workers,
        };
        let token_file = from.choose("token-file", self.token_file, file.token_file, path, "none").or_else(|| {
            let path = secrets::credential("token")?;
            from.instead("token-file", path.display().to_string(), "credential token");
            Some(path)
        });
        own_files.extend(token_file.iter().cloned().chain(hub_files).chain(alert_files));
        let some = |roots: Vec<PathBuf>| Some(roots).filter(|roots| !roots.is_empty());
        let all = |roots: &Vec<PathBuf>| roots.iter().map(path).collect::<Vec<_>>().join(":");
        let roots = from.choose("allow-root", some(self.allow_root), some(file.allow_root), all, "all folders");
        let roots = roots.into_iter().flatten().map(|root| {
            root.canonicalize().map_err(|error| setting("--allow-root", format!("{}: {error}", root.display())))
        });
        let days = from.choose("history-days", self.history_days, file.history_days, shown, &shown(&HISTORY_DAYS));
        let bytes = |size: &Size| size.0.to_string();
        let spool_limit =
            from.choose("spool-limit", self.spool_limit, file.spool_limit, bytes, &SPOOL_LIMIT.to_string());
        let stay_awake = from.choose("stay-awake", self.stay_awake, file.stay_awake, shown, "false");
        let format = |format: &LogFormat| format!("{format:?}").to_lowercase();
        let log_format = from.choose("log-format", self.log_format, file.log_format, format, "text");
        let usual = "info, or warn on a terminal";
        let log_level = from.choose("log-level", self.log_level, file.log_level, String::clone, usual);
        let log_file = from.choose("log-file", self.log_file, file.log_file, path, "none");
        let log_file = log_file.map(|path| absolute("--log-file", path)).transpose()?;
        own_files.extend(log_file.iter().flat_map(|path| log_files(path)));
        let rules = rules.map(|path| absolute("--rules", path)).transpose()?;
        let data_dir = absolute("--data-dir", data_dir)?;
        let listen = parse_listen(listen.as_deref().unwrap_or(DEFAULT_LISTEN))?;
        own_files.extend(rules.clone().into_iter().chain([data_dir.clone()]));
        if let Listen::Unix(socket) = &listen {
            own_files.push(socket.clone());
        }
        Ok(Settings {
            rules,
            listen,
            socket_mode: mode.map_or(0o600, |mode| mode.0),
            data_dir,
            own_files: own_files.into_iter().map(|path| absolute("--config", path)).collect::<Result<_, _>>()?,
            cloud_url: cloud_url.as_deref().map(parse_cloud).transpose()?,
            hub,
            alerts,
            api_key,
            team_id,
            auto_finalize: auto_finalize.unwrap_or(true),
            transfer: UploadSettings { workers, chunk_size, auto_resume: auto_resume.unwrap_or(true), ..defaults },
            token: token_file.as_deref().map(|path| read_secret("--token-file", path)).transpose()?,
            allowed_roots: roots.collect::<Result<_, _>>()?,
            history_days: days.unwrap_or(HISTORY_DAYS),
            spool_limit: spool_limit.map_or(SPOOL_LIMIT, |size| size.0),
            stay_awake: stay_awake.unwrap_or(false),
            log_format: log_format.unwrap_or_default(),
            log_level,
            log_file,
            shown: from.noted(),
        })
    }
}

/// How many full log files are kept beside the one that is written to.
pub const FULL_LOG_FILES: u32 = 4;

/// The log file and the full ones beside it; 1 is the newest of these.
pub fn log_files(path: &Path) -> Vec<PathBuf> {
    let numbered = (1..=FULL_LOG_FILES).map(|number| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        name.into()
    });
    std::iter::once(path.to_owned()).chain(numbered).collect()
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
        secrets::guarded(path, &metadata).map_err(|why| problem(format!("it holds the API key, and {why}")))?;
    }
    Ok(written)
}

fn read_secret(name: &'static str, path: &Path) -> Result<SecretString, AgentError> {
    secrets::read(path).map_err(|problem| setting(name, problem))
}

fn parse_cloud(text: &str) -> Result<Url, AgentError> {
    let url = Url::parse(text)
        .map_err(|error| setting("--cloud-url", format!("{text:?} is not a valid address: {error}")))?;
    if matches!(url.scheme(), "http" | "https") && url.has_host() {
        Ok(url)
    } else {
        Err(setting("--cloud-url", format!("{text:?} is not a valid address, such as https://api.massive.app")))
    }
}

fn parse_listen(text: &str) -> Result<Listen, AgentError> {
    if let Some(path) = text.strip_prefix("unix://") {
        return absolute("--listen", PathBuf::from(path)).map(Listen::Unix);
    }
    let address = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
    let wrong = || {
        setting(
            "--listen",
            format!("{text:?} is not a valid address, such as http://127.0.0.1:8080 or unix:///run/masv.sock"),
        )
    };
    let mut found = address.to_socket_addrs().map_err(|_| wrong())?;
    found.next().map(Listen::Tcp).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::own_hub::WrittenHub;
    use super::*;

    #[test]
    fn a_flag_counts_before_the_file_and_the_file_before_the_default() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("masv.yaml");
        std::fs::write(&config, "upload-workers: 3\nchunk-size: 64MiB\nauto-resume: false\n").unwrap();
        let written = Written { config: Some(config), upload_workers: Some(7), ..Written::default() };
        let settings = written.build().unwrap();
        assert_eq!((settings.transfer.workers, settings.transfer.chunk_size), (Workers::Fixed(7), 64 << 20));
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
        let hub = WrittenHub::default;
        let of_hub = |hub: WrittenHub| Written { hub, ..Written::default() };
        let cases = [
            (Written { listen: Some("somewhere".into()), ..Written::default() }, "--listen"),
            (Written { cloud_url: Some("ftp://x".into()), ..Written::default() }, "--cloud-url"),
            (Written { upload_workers: Some(0), ..Written::default() }, "--upload-workers"),
            (Written { chunk_size: Some(Size(1_000_000)), ..Written::default() }, "--chunk-size"),
            (Written { chunk_size: Some(Size(6 << 30)), ..Written::default() }, "--chunk-size"),
            (Written { team_id: Some(" ".into()), ..Written::default() }, "--team-id"),
            (Written { token_file: Some("/nowhere".into()), ..Written::default() }, "--token-file"),
            (of_hub(WrittenHub { listen: Some("office:80".into()), ..hub() }), "--hub-listen"),
            (of_hub(WrittenHub { public_url: Some("send.example.com".into()), ..hub() }), "--hub-public-url"),
            (of_hub(WrittenHub { trusted_proxies: vec!["proxy".into()], ..hub() }), "--hub-trusted-proxies"),
            (of_hub(WrittenHub { tls_key: Some("key.pem".into()), ..hub() }), "--hub-tls-cert"),
            (of_hub(WrittenHub { smtp_url: Some("mail.example.com".into()), ..hub() }), "--hub-smtp-url"),
            (of_hub(WrittenHub { smtp_user: Some("post".into()), ..hub() }), "--hub-smtp-user"),
        ];
        for (written, named) in cases {
            let error = written.build().unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }

    #[test]
    fn the_own_hub_has_a_section_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("masv.yaml");
        let text = "hub:\n  listen: 192.168.1.20:8090\n  public-url: https://send.example.com\n";
        std::fs::write(&config, text).unwrap();
        let hub = WrittenHub { listen: Some("10.0.0.1:80".into()), ..WrittenHub::default() };
        let settings = Written { config: Some(config), hub, ..Written::default() }.build().unwrap();
        assert_eq!(settings.hub.listen.unwrap().to_string(), "10.0.0.1:80");
        assert_eq!(settings.hub.public_url.unwrap().as_str(), "https://send.example.com/");
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
