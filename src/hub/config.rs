//! The operator's configuration of a hub.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

pub use crate::network::Network;
use crate::storage::S3Config;

/// The configuration of a hub. [`HubConfig::new`] returns the defaults.
#[derive(Debug, Clone)]
pub struct HubConfig {
    /// The data directory: database, key, parts, mails.
    pub data_dir: PathBuf,
    /// The database that this hub shares with others on other machines; absent: `hub.db` in the data directory, for it alone.
    pub database: Option<SharedDatabase>,
    /// The bucket for the files of packages; absent: they are stored in `storage/` in the data directory.
    pub bucket: Option<S3Config>,
    /// Where people reach the hub; absent: the address it listens on, or the one a client used.
    pub public_url: Option<Url>,
    /// How mail leaves; absent: it is written to `outbox/` in the data directory.
    pub smtp: Option<SmtpConfig>,
    /// The sender of mails.
    pub mail_from: String,
    /// Days until a package is deleted whose sender did not say; absent: never.
    pub default_expiry_days: Option<u32>,
    /// Days after which an unfinished, untouched package is removed; absent: never.
    pub abandoned_after_days: Option<u32>,
    /// How long an abandoned unfinished package of a portal is kept.
    pub portal_abandoned_after: Duration,
    /// How long unknown objects are left alone in the bucket: a sender that has started a file may take a while to request
    /// the URL of the first part.
    pub orphans_after: Duration,
    /// Days for which removed, expired and unknown content is kept in the trash; 0 keeps nothing.
    pub trash_days: u32,
    /// The reverse proxies: their `X-Forwarded-For` and `X-Forwarded-Proto` headers are trusted. From others anybody
    /// could claim to be anyone.
    pub trusted_proxies: Vec<Network>,
    /// Networks that webhooks may call besides public addresses. A team's admins choose the addresses: the hub calls nothing for
    /// them that only it can reach.
    pub webhook_networks: Vec<Network>,
    /// How long URLs of the storage are valid.
    pub address_life: Duration,
    /// How long an opened link may be downloaded from.
    pub visit_life: Duration,
    /// Connections at a time; more have to wait.
    pub max_connections: usize,
    /// Simultaneous connections of one address, and simultaneous requests of one address behind a proxy.
    pub max_connections_per_address: usize,
    /// Packages that one address may start, and finalize, in one portal per hour; all addresses together may do ten times as many.
    /// Absent: unlimited.
    pub portal_packages_per_hour: Option<u32>,
    /// How long the head of a request may take, and how long a connection may be idle.
    pub head_limit: Duration,
    /// How long requests may continue when the hub is stopped.
    pub grace: Duration,
    /// Bytes that stay free on the disk: parts are refused before it is fuller.
    pub keep_free: u64,
    /// Largest parts and how many of them.
    pub limits: Limits,
    /// Whether senders are offered calls for many files at once.
    pub batches: bool,
    /// Certificate and key; absent: plain HTTP.
    pub tls: Option<TlsConfig>,
}

impl HubConfig {
    /// The defaults, with everything stored in `data_dir`.
    #[must_use]
    pub fn new(data_dir: PathBuf) -> Self {
        Self {
            data_dir,
            database: None,
            bucket: None,
            public_url: None,
            smtp: None,
            mail_from: "Media Hub <hub@localhost.localdomain>".to_owned(),
            default_expiry_days: None,
            abandoned_after_days: Some(60),
            portal_abandoned_after: Duration::from_secs(24 * 60 * 60),
            orphans_after: Duration::from_secs(24 * 60 * 60),
            trash_days: 7,
            trusted_proxies: Vec::new(),
            webhook_networks: Vec::new(),
            address_life: Duration::from_secs(60 * 60),
            visit_life: Duration::from_secs(24 * 60 * 60),
            max_connections: 2048,
            max_connections_per_address: 256,
            portal_packages_per_hour: Some(100),
            head_limit: Duration::from_secs(30),
            grace: Duration::from_secs(10),
            keep_free: 256 << 20,
            limits: Limits::default(),
            batches: true,
            tls: None,
        }
    }
}

/// The limits of files and parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Parts of a file, at most 10,000.
    pub max_chunk_count: u32,
    /// Bytes of a part.
    pub max_chunk_size: u64,
    /// Recommended size of each part except the last, in bytes; smaller ones are accepted, too.
    pub min_chunk_size: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_chunk_count: 10_000, max_chunk_size: 5 << 30, min_chunk_size: 5 << 20 }
    }
}

/// A database that several hubs share, each a process of its own that does the same.
#[derive(Debug, Clone)]
pub struct SharedDatabase {
    /// `postgres://user:password@host/database`.
    pub url: SecretString,
    /// The password, where the URL has none.
    pub password: Option<SecretString>,
    /// File with the secret key, the same for all of them. It is not in the database: who reads that must not be able to make links.
    pub secret_key_file: PathBuf,
}

/// A mail server.
#[derive(Debug, Clone)]
pub struct SmtpConfig {
    /// `smtp://host:port` (no encryption), `smtp://host:port?tls=required` (STARTTLS) or `smtps://host:port`.
    pub url: String,
    /// Name to sign in with.
    pub username: Option<String>,
    /// Its password.
    pub password: Option<SecretString>,
    /// PEM file with the CA of its certificate; absent: the system's CAs.
    pub authority: Option<PathBuf>,
}

/// A certificate.
#[derive(Debug, Clone)]
pub struct TlsConfig {
    /// PEM file with the certificate chain.
    pub certificate: PathBuf,
    /// PEM file with the key.
    pub key: PathBuf,
}

/// What a hub should have: created if it is missing, updated if it exists.
#[derive(Debug, Clone)]
pub struct Provision {
    /// Name of the team.
    pub team_name: String,
    /// A key that acts for the team.
    pub api_key: SecretString,
    /// Its name, which recipients of what is sent with it read as the sender.
    pub key_name: String,
    /// Portals of the team.
    pub portals: Vec<ProvisionPortal>,
}

/// A portal that a hub is to have.
#[derive(Debug, Clone)]
pub struct ProvisionPortal {
    /// Its name in addresses.
    pub subdomain: String,
    /// Its name for people.
    pub name: String,
    /// E-mail addresses that receive what is sent.
    pub recipients: Vec<String>,
    /// The access code for senders.
    pub access_code: Option<SecretString>,
}

/// The result of [`crate::Hub::provision`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provisioned {
    /// Id of the team.
    pub team_id: String,
}
