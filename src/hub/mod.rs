//! The self-hosted server of the cloud protocol: packages, links, portals, mail, pages, storage on disk.
//!
//! **In**: HTTP requests of any client of the protocol. **Out**: stored parts, finalized packages, mails, pages.
//!
//! **Guarantees.** What is answered with success is on disk. A part is stored whole or not at all; a package opens only when it is
//! finalized, and holds exactly the files that were finalized. Mails are written in the transaction that makes them
//! necessary. Secrets are stored as hashes where they can be, addresses into the storage are signed and expire.
//!
//! **On a crash** half-written parts are left under temporary names and swept at the next start; the rest is in the
//! database.
//!
//! Must never know: the agent, its rules, its queue. Both meet on the wire only.

mod disk;
mod error;
mod mail;
mod pages;
mod routes;
mod secrets;
mod serve;

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::db::{Database, DbError};

pub use error::HubError;

/// Version by version, what makes the hub's database; only ever longer.
const MIGRATIONS: &[&str] = &[include_str!("../../migrations/hub/0001_first.sql")];

/// How a hub is set up.
#[derive(Debug, Clone)]
pub struct HubConfig {
    /// Where database, storage and outbox live; made with mode 0700.
    pub data_dir: PathBuf,
    /// The address that clients and recipients use; `None` takes the one it listens on.
    pub public_url: Option<Url>,
}

/// What a hub is made sure to have.
#[derive(Debug)]
pub struct Provision {
    /// Name of the team.
    pub team_name: String,
    /// A key that authorises the team's calls; only its hash is kept.
    pub api_key: SecretString,
    /// Portals of the team.
    pub portals: Vec<ProvisionPortal>,
}

/// A portal that a hub is made sure to have.
#[derive(Debug, Clone)]
pub struct ProvisionPortal {
    /// Its name in addresses.
    pub subdomain: String,
    /// Its name for people.
    pub name: String,
    /// Who is mailed when something arrives.
    pub recipients: Vec<String>,
    /// What senders must know.
    pub access_code: Option<SecretString>,
}

/// What [`Hub::provision`] made sure of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provisioned {
    /// The team's id.
    pub team_id: String,
}

/// A hub; clones share it.
#[derive(Clone)]
pub struct Hub {
    inner: Arc<Inner>,
}

struct Inner {
    database: Database,
    disk: disk::Disk,
    signer: secrets::Signer,
    data_dir: PathBuf,
    public_url: Option<Url>,
    /// A mail was written.
    mail: Notify,
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Hub")
    }
}

impl Hub {
    /// Opens the hub in `config.data_dir`, making it where there is none, and sweeps what a crash left.
    ///
    /// # Errors
    /// [`HubError::Folder`] and [`HubError::Database`] when it can not be used.
    pub async fn open(config: HubConfig) -> Result<Self, HubError> {
        let data_dir = config.data_dir.clone();
        let (database, disk) = tokio::task::spawn_blocking(move || -> Result<_, HubError> {
            private_folder(&data_dir)?;
            let disk = disk::Disk::open(data_dir.join("storage"))?;
            Ok((Database::open(&data_dir.join("hub.db"), MIGRATIONS)?, disk))
        })
        .await
        .map_err(|_| HubError::Database(DbError::Closed))??;
        let signer = secrets::Signer::load(&database).await?;
        let HubConfig { data_dir, public_url } = config;
        let inner = Inner { database, disk, signer, data_dir, public_url, mail: Notify::new() };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Makes sure of a team, a key and portals. Doing it again changes what differs.
    ///
    /// # Errors
    /// [`HubError::Database`].
    pub async fn provision(&self, provision: Provision) -> Result<Provisioned, HubError> {
        let key_hash = secrets::digest(provision.api_key.expose_secret());
        let mut portals = Vec::new();
        for portal in provision.portals {
            let code = portal.access_code.as_ref().map(secrets::hash_password).transpose()?;
            portals.push((portal, code));
        }
        let team_name = provision.team_name;
        let team_id = self
            .inner
            .database
            .write(move |connection| routes::accounts::provision(connection, &team_name, &key_hash, &portals))
            .await?;
        Ok(Provisioned { team_id })
    }

    /// Whether nobody has an account here yet.
    ///
    /// # Errors
    /// [`HubError::Database`].
    pub async fn is_new(&self) -> Result<bool, HubError> {
        let count = |connection: &rusqlite::Connection| {
            Ok::<i64, DbError>(connection.query_row("SELECT count(*) FROM team", [], |row| row.get(0))?)
        };
        Ok(self.inner.database.read(count).await? == 0)
    }

    /// A key to be given to [`Hub::provision`] and to whoever sends.
    ///
    /// # Errors
    /// [`HubError::Secrets`] where the system gives no randomness.
    pub fn new_key(&self) -> Result<SecretString, HubError> {
        secrets::random().map(SecretString::from)
    }

    /// Serves until `shutdown`, then lets what runs end within a grace time.
    ///
    /// # Errors
    /// [`HubError::Listen`].
    pub async fn serve(&self, listener: std::net::TcpListener, shutdown: CancellationToken) -> Result<(), HubError> {
        serve::serve(self, listener, shutdown).await
    }
}

fn private_folder(path: &std::path::Path) -> Result<(), HubError> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    let folder = |source| HubError::Folder { path: path.to_owned(), source };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(folder)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).map_err(folder)
}

fn new_id() -> String {
    ulid::Ulid::generate().to_string()
}

fn now() -> i64 {
    Timestamp::now().as_millisecond()
}

/// A time as the protocol writes it; the zero time for none.
fn wire_time(milliseconds: Option<i64>) -> String {
    milliseconds
        .and_then(|ms| Timestamp::from_millisecond(ms).ok())
        .map_or_else(|| "0001-01-01T00:00:00.000Z".to_owned(), |time| format!("{time:.3}"))
}
