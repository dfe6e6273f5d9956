//! `masv hub start`.

use std::io::IsTerminal;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use bytesize::ByteSize;
use clap::Args;
use secrecy::{ExposeSecret, SecretString};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::failed;
use super::reach::usual_data_dir;
use super::shared::SharedOptions;
use super::storage::StorageOptions;
use crate::agent::service;
use crate::cli::error::CliError;
use crate::cli::output::Output;
use crate::cli::server::Log;
use masv_hub::{Hub, HubConfig, Network, Provision, SmtpConfig, TlsConfig};
use masv_platform::host_name;

/// How often the service manager is notified.
const STATUS: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(in crate::cli) struct Start {
    /// The address to listen on; a socket passed by systemd takes precedence.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8090", env = "MASV_HUB_LISTEN")]
    listen: String,
    /// The data directory [default: hub-server, beside the agent's]
    #[arg(long, value_name = "DIR", env = "MASV_HUB_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// The address that clients and recipients use [default: the one it listens on]
    #[arg(long, value_name = "URL", env = "MASV_HUB_PUBLIC_URL")]
    public_url: Option<Url>,
    /// PEM file with the TLS certificate chain; read again when it changes, and on SIGHUP [default: plain HTTP]
    #[arg(long, value_name = "FILE", env = "MASV_HUB_TLS_CERT", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// PEM file with the certificate's key.
    #[arg(long, value_name = "FILE", env = "MASV_HUB_TLS_KEY", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Addresses or networks of reverse proxies, such as 127.0.0.1 or 10.0.0.0/8: their X-Forwarded-For and
    /// X-Forwarded-Proto headers are trusted, no others.
    #[arg(long, value_name = "NETWORK", value_delimiter = ',', env = "MASV_HUB_TRUSTED_PROXIES")]
    trusted_proxies: Vec<Network>,
    /// Private networks that webhooks may call, such as 10.0.0.0/8; public addresses are always allowed.
    #[arg(long, value_name = "NETWORK", value_delimiter = ',', env = "MASV_HUB_WEBHOOK_NETWORKS")]
    webhook_networks: Vec<Network>,
    /// Maximum number of concurrent connections; more have to wait.
    #[arg(long, value_name = "N", default_value_t = 2048, env = "MASV_HUB_MAX_CONNECTIONS")]
    max_connections: usize,
    /// Simultaneous connections per client address; behind a trusted proxy, simultaneous requests.
    #[arg(long, value_name = "N", default_value_t = 256, env = "MASV_HUB_MAX_CONNECTIONS_PER_ADDRESS")]
    max_connections_per_address: usize,
    /// Packages that one address may send to one portal per hour; 0 is unlimited.
    #[arg(long, value_name = "N", default_value_t = 100, env = "MASV_HUB_PORTAL_PACKAGES_PER_HOUR")]
    portal_packages_per_hour: u32,
    /// Serve metrics at /metrics of this address, for Prometheus; it must be an address of this machine (loopback).
    #[arg(long, value_name = "ADDRESS:PORT", env = "MASV_HUB_METRICS_LISTEN", value_parser = loopback)]
    metrics_listen: Option<SocketAddr>,
    /// Seconds that transfers in flight get to finish when the hub is stopped.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, env = "MASV_HUB_GRACE")]
    grace: u64,
    /// The mail server: smtp://host:587?tls=required (STARTTLS), smtps://host:465, smtp://host:25 (no encryption)
    /// [default: mails are written to outbox/ in the data directory]
    #[arg(long, value_name = "URL", env = "MASV_HUB_SMTP_URL")]
    smtp_url: Option<String>,
    /// User name for the mail server.
    #[arg(long, value_name = "NAME", env = "MASV_HUB_SMTP_USER", requires = "smtp_password_file")]
    smtp_user: Option<String>,
    /// File with the mail server's password.
    #[arg(long, value_name = "FILE", env = "MASV_HUB_SMTP_PASSWORD_FILE", requires = "smtp_user")]
    smtp_password_file: Option<PathBuf>,
    /// PEM file with the CA of the mail server's certificate [default: the system's CAs]
    #[arg(long, value_name = "FILE", env = "MASV_HUB_SMTP_CA")]
    smtp_ca: Option<PathBuf>,
    /// Sender of the mails: 'Name <address>'
    #[arg(long, value_name = "SENDER", env = "MASV_HUB_MAIL_FROM")]
    mail_from: Option<String>,
    /// Days until packages are deleted, unless the sender chose otherwise [default: never]
    #[arg(long, value_name = "DAYS", env = "MASV_HUB_EXPIRY_DAYS")]
    expiry_days: Option<u32>,
    /// Disk space to keep free: uploads are refused when less would remain.
    #[arg(long, value_name = "SIZE", default_value = "256MiB", env = "MASV_HUB_KEEP_FREE")]
    keep_free: ByteSize,
    /// Days for which removed and expired packages are kept in the trash; 0 removes them at once.
    #[arg(long, value_name = "DAYS", default_value_t = 7, env = "MASV_HUB_TRASH_DAYS")]
    trash_days: u32,
    #[command(flatten)]
    shared: SharedOptions,
    #[command(flatten)]
    storage: StorageOptions,
    #[command(flatten)]
    log: Log,
}

/// An address that only this machine reaches.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text.parse().map_err(|_| format!("{text} is not a valid ADDRESS:PORT"))?;
    match address.ip().to_canonical().is_loopback() {
        true => Ok(address),
        false => Err(format!("{} can be reached by others: use 127.0.0.1:{}", address.ip(), address.port())),
    }
}

/// Refuses a hub on a shared database without what all of them must have in common.
fn check_shared(public_url: &Option<Url>, smtp_url: &Option<String>, config: &HubConfig) -> Result<(), CliError> {
    let missing = [
        (config.bucket.is_none(), "--storage s3://BUCKET/PREFIX, where all of them have the files"),
        (public_url.is_none(), "--public-url, the address that leads to any of them"),
        (smtp_url.is_none(), "--smtp-url: mails in the folder of one of them would stay there"),
    ];
    match missing.iter().find(|(is_missing, _)| *is_missing) {
        Some((_, what)) => Err(CliError::usage(format!("--database requires {what}"))),
        None => Ok(()),
    }
}

impl Start {
    fn config(self) -> Result<HubConfig, CliError> {
        let mut config = HubConfig::new(self.data_dir.unwrap_or_else(usual_data_dir));
        config.public_url = self.public_url.clone();
        config.bucket = self.storage.bucket()?;
        config.database = self.shared.database()?;
        if config.database.is_some() {
            check_shared(&self.public_url, &self.smtp_url, &config)?;
        }
        config.tls = match (self.tls_cert, self.tls_key) {
            (Some(certificate), Some(key)) => Some(TlsConfig { certificate, key }),
            _ => None,
        };
        config.trusted_proxies = self.trusted_proxies;
        config.webhook_networks = self.webhook_networks;
        config.max_connections = self.max_connections;
        config.max_connections_per_address = self.max_connections_per_address;
        config.portal_packages_per_hour = Some(self.portal_packages_per_hour).filter(|most| *most > 0);
        config.grace = Duration::from_secs(self.grace);
        config.default_expiry_days = self.expiry_days;
        config.keep_free = self.keep_free.as_u64();
        config.trash_days = self.trash_days;
        if let Some(sender) = self.mail_from {
            config.mail_from = sender;
        }
        if let Some(url) = self.smtp_url {
            let password = match self.smtp_password_file {
                None => None,
                Some(path) => {
                    let text = std::fs::read_to_string(&path).map_err(|error| {
                        CliError::usage(format!("--smtp-password-file {}: {error}", path.display()))
                    })?;
                    Some(SecretString::from(text.trim_end_matches(['\r', '\n'])))
                }
            };
            config.smtp = Some(SmtpConfig { url, username: self.smtp_user, password, authority: self.smtp_ca });
        }
        Ok(config)
    }
}

pub(super) async fn run(options: Start, output: &Output) -> Result<ExitCode, CliError> {
    options.log.start()?;
    crate::agent::raise_descriptors()?;
    let (listen, metrics) = (options.listen.clone(), options.metrics_listen);
    let config = options.config()?;
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    let data = match &config.database {
        Some(_) => "in the shared database".to_owned(),
        None => format!("in {}", config.data_dir.display()),
    };
    let hub = Hub::open(config).await.map_err(|error| failed(&error))?;
    let listener = listener(&listen)?;
    let address = listener.local_addr().map_err(|error| failed(&error))?;
    let metrics = metrics.map(|address| bound(&address.to_string(), "--metrics-listen")).transpose()?;
    if hub.is_new().await.map_err(|error| failed(&error))? {
        set_up(&hub, output).await?;
    }
    let stop = CancellationToken::new();
    let mut listening = format!("The hub listens on {scheme}://{address}, its data is {data}\n");
    if hub.is_read_only() {
        listening += "It is being moved, or was: it only reads. `masv hub migrate --undo` has it take changes again.\n";
    }
    if let Some(metrics) = metrics {
        let address = metrics.local_addr().map_err(|error| failed(&error))?;
        listening += &format!("Metrics are at http://{address}/metrics\n");
        tokio::spawn(serve_metrics(hub.clone(), metrics, stop.clone()));
    }
    tokio::spawn(tell_listening(hub.clone(), *output, listening));
    tokio::spawn(heed_signals(hub.clone(), stop.clone()));
    tokio::spawn(service::watchdog(stop.clone()));
    tokio::spawn(tell_status(hub.clone(), stop.clone()));
    hub.serve(listener, stop).await.map_err(|error| failed(&error))?;
    Ok(ExitCode::SUCCESS)
}

/// The socket that systemd (or another supervisor) keeps across restarts, or a new one.
fn listener(listen: &str) -> Result<TcpListener, CliError> {
    let handed = listenfd::ListenFd::from_env().take_tcp_listener(0);
    match handed {
        Ok(Some(listener)) => return Ok(listener),
        Ok(None) => {}
        Err(error) => {
            return Err(CliError::failed(format!("the socket passed by the supervisor is not valid: {error}")));
        }
    }
    bound(listen, "--listen")
}

fn bound(listen: &str, flag: &str) -> Result<TcpListener, CliError> {
    TcpListener::bind(listen).map_err(|error| {
        CliError::failed(format!("cannot listen on {listen}: {error}"))
            .hint(format!("choose another address with {flag}"))
    })
}

async fn serve_metrics(hub: Hub, listener: TcpListener, stop: CancellationToken) {
    if let Err(error) = hub.serve_metrics(listener, stop).await {
        tracing::error!(error = &error as &dyn std::error::Error, "the metrics are not served any more");
    }
}

/// Makes the first team and its key. The key is shown to a person who watches, once; where the output goes elsewhere, such as into
/// a journal that is kept for years, it goes into a file.
async fn set_up(hub: &Hub, output: &Output) -> Result<(), CliError> {
    let (key, file) = match std::io::stdout().is_terminal() {
        true => (hub.new_key().map_err(|error| failed(&error))?, None),
        false => hub.first_key().await.map(|(key, file)| (key, Some(file))).map_err(|error| failed(&error))?,
    };
    let (team_name, key_name) = ("Team".to_owned(), host_name());
    let provision = Provision { team_name, api_key: key.clone(), key_name, portals: Vec::new() };
    let team = hub.provision(provision).await.map_err(|error| failed(&error))?.team_id;
    output.raw(&match file {
        None => format!(
            "This is a new hub. The key below authorises uploads; it is shown only once, so store it safely:\n\n  api_key: {}\n  team: {team}\n\n",
            key.expose_secret()
        ),
        Some(file) => format!(
            "This is a new hub. The key that authorises uploads is in a file that only this user can read: move it to where it is used.\n\n  \
             api_key_file: {}\n  team: {team}\n\n",
            file.display()
        ),
    });
    Ok(())
}

/// Says where the hub listens, once it does: another one may have its data, or its bucket.
async fn tell_listening(hub: Hub, output: Output, said: String) {
    hub.serving().await;
    output.raw(&said);
}

/// Notifies the service manager that the hub is ready, then of its status.
async fn tell_status(hub: Hub, stop: CancellationToken) {
    hub.serving().await;
    service::ready(&hub.status());
    while tokio::time::timeout(STATUS, stop.cancelled()).await.is_err() {
        service::status(&hub.status());
    }
}

/// SIGTERM and Ctrl-C stop the hub, SIGHUP reloads the certificate.
async fn heed_signals(hub: Hub, stop: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()), signal(SignalKind::hangup()));
    let (Ok(mut terminate), Ok(mut interrupt), Ok(mut hang_up)) = signals else {
        return tracing::error!("cannot listen for signals: the hub can only be stopped with SIGKILL");
    };
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hang_up.recv() => {
                service::reloading();
                hub.reload_certificate().await;
                service::ready(&hub.status());
            }
        }
    }
    service::stopping();
    stop.cancel();
}
