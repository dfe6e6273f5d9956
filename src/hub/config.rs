//! What an operator decides about a hub.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

pub use crate::network::Network;
use crate::storage::S3Config;

/// How a hub is set up. [`HubConfig::new`] gives the defaults.
#[derive(Debug, Clone)]
pub struct HubConfig {
    /// Where everything lies that the hub keeps: database, key, parts, mails.
    pub data_dir: PathBuf,
    /// The bucket that takes the files of packages; absent: they are kept in `storage/` in the data directory.
    pub bucket: Option<S3Config>,
    /// Where people reach the hub; absent: the address it listens on, or the one a client used.
    pub public_url: Option<Url>,
    /// How mail leaves; absent: it is written to `outbox/` in the data directory.
    pub smtp: Option<SmtpConfig>,
    /// Who mails are from.
    pub mail_from: String,
    /// Days until a package is deleted whose sender did not say; absent: never.
    pub default_expiry_days: Option<u32>,
    /// Days after which a package is removed that was begun and not touched any more; absent: never.
    pub abandoned_after_days: Option<u32>,
    /// How long a package that somebody sends to a portal is kept which was begun and not touched any more.
    pub portal_abandoned_after: Duration,
    /// How long what nobody knows is left alone in the bucket: a sender that has begun a file may take its time to ask
    /// where the first part goes.
    pub orphans_after: Duration,
    /// Days that is kept in the trash what was removed, has expired, or is not known to the database; 0: nothing is kept there.
    pub trash_days: u32,
    /// The proxies in front of the hub: what they say in `X-Forwarded-For` and `X-Forwarded-Proto` is believed. Of others anybody
    /// could claim to be anyone.
    pub trusted_proxies: Vec<Network>,
    /// Where webhooks may lead beside public addresses. Whoever administers a team names their addresses: the hub calls nothing for
    /// them that only it can reach.
    pub webhook_networks: Vec<Network>,
    /// How long addresses of the storage hold.
    pub address_life: Duration,
    /// How long an opened link may be downloaded from.
    pub visit_life: Duration,
    /// Connections at a time; more have to wait.
    pub max_connections: usize,
    /// Connections of one address at a time, and requests of one address that a proxy forwards.
    pub max_connections_per_address: usize,
    /// Packages that one address may begin, and finalize, in one portal in an hour; all addresses together may ten times as many.
    /// Absent: any number.
    pub portal_packages_per_hour: Option<u32>,
    /// How long the head of a request may take, and how long a connection may be idle.
    pub head_limit: Duration,
    /// How long requests may go on when the hub is stopped.
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
    /// The defaults, with everything kept in `data_dir`.
    #[must_use]
    pub fn new(data_dir: PathBuf) -> Self {
        Self {
            data_dir,
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

/// What a file may be made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Parts of a file, at most 10,000.
    pub max_chunk_count: u32,
    /// Bytes of a part.
    pub max_chunk_size: u64,
    /// Bytes of a part but the last that senders are asked for; smaller ones are taken all the same.
    pub min_chunk_size: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_chunk_count: 10_000, max_chunk_size: 5 << 30, min_chunk_size: 5 << 20 }
    }
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
    /// PEM file of the authority that signed its certificate; absent: those that the system trusts.
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

/// What a hub is to have: made where it is missing, brought up to date where it is there.
#[derive(Debug, Clone)]
pub struct Provision {
    /// Name of the team.
    pub team_name: String,
    /// A key that acts for the team.
    pub api_key: SecretString,
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
    /// Mail addresses that get what is sent.
    pub recipients: Vec<String>,
    /// What senders must know.
    pub access_code: Option<SecretString>,
}

/// What [`crate::Hub::provision`] made sure of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provisioned {
    /// Id of the team.
    pub team_id: String,
}
