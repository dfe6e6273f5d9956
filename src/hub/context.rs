//! What the jobs and the protocol both work with: settings, database, keys, storage, and where people reach the hub.
//!
//! **In**: the settings. **Out**: the open data directory.
//!
//! **On a crash** nothing of this is lost: the files are made before they are used.
//!
//! Must never know: jobs, HTTP.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use masv_db::Database;
use masv_protocol::LinkId;
use tokio::sync::Notify;

use crate::config::HubConfig;
use crate::error::HubError;
use crate::keys::tokens::Keys;
use crate::private::private_folder;
use crate::records::schema::MIGRATIONS;
use crate::storage::{Bucket, Disk, Storage};

/// The file that says where the hub was reached when it was served last.
pub(crate) const BASE_FILE: &str = "address";

/// What a hub is made of, apart from its server.
pub(crate) struct Context {
    pub config: HubConfig,
    pub database: Database,
    pub keys: Keys,
    pub storage: Storage,
    /// A mail is waiting to be sent.
    pub mail_due: Notify,
    /// A webhook is waiting to be called.
    pub call_due: Notify,
    /// Where it is reached when no public address is set: known once it listens.
    listens_on: OnceLock<String>,
    /// Where it was reached when it was served last, for who administers it without serving it.
    last_base: Option<String>,
}

/// A file is in a bucket, and the hub has none.
#[derive(Debug, thiserror::Error)]
#[error("a file is in a bucket, but none is set")]
pub(crate) struct NoBucket;

/// What lies in a data directory.
struct Data {
    keys: Keys,
    disk: Disk,
    database: Database,
    last_base: Option<String>,
}

impl Context {
    /// Opens the hub's data, or makes it: the directory is closed to others. `lock` gives what only the one who serves a data
    /// directory holds, for as long as its tables are changed.
    pub(crate) async fn open<L>(
        config: HubConfig,
        lock: impl FnOnce(&Path) -> Result<Option<L>, HubError> + Send + 'static,
    ) -> Result<Self, HubError> {
        let folder = config.data_dir.clone();
        let opening = tokio::task::spawn_blocking(move || open_data(folder, lock));
        let data = opening.await.map_err(|error| HubError::Serve(io::Error::other(error)))??;
        let bucket = config.bucket.as_ref().map(Bucket::new).transpose()?;
        Ok(Self {
            config,
            database: data.database,
            keys: data.keys,
            storage: Storage { disk: data.disk, bucket },
            mail_due: Notify::new(),
            call_due: Notify::new(),
            listens_on: OnceLock::new(),
            last_base: data.last_base,
        })
    }

    /// Where people reach the hub, without a slash at the end.
    pub(crate) fn public_base(&self) -> String {
        match &self.config.public_url {
            Some(url) => url.as_str().trim_end_matches('/').to_owned(),
            None => self.listens_on.get().or(self.last_base.as_ref()).cloned().unwrap_or_default(),
        }
    }

    /// Says where it listens. Served on several addresses, mails name the first.
    pub(crate) fn listens_on(&self, base: String) {
        let _ = self.listens_on.set(base);
    }

    /// Whether people reach it by TLS, its own or a proxy's.
    pub(crate) fn is_https(&self) -> bool {
        match &self.config.public_url {
            Some(url) => url.scheme() == "https",
            None => self.config.tls.is_some(),
        }
    }

    /// Mails and webhook calls may be due.
    pub(crate) fn wake_outbox(&self) {
        self.mail_due.notify_one();
        self.call_due.notify_one();
    }

    /// The address of a link's page below `base`.
    pub(crate) fn link_address(&self, base: &str, link: &LinkId) -> String {
        format!("{base}/{link}?secret={}", self.keys.link_secret(link))
    }

    /// The bucket, for a file that is in one.
    pub(crate) fn bucket(&self) -> Result<&Bucket, NoBucket> {
        self.storage.bucket.as_ref().ok_or(NoBucket)
    }
}

fn open_data<L>(folder: PathBuf, lock: impl FnOnce(&Path) -> Result<Option<L>, HubError>) -> Result<Data, HubError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| HubError::Data { path, source }
    };
    private_folder(&folder).map_err(at(&folder))?;
    let (key, database) = (folder.join("secret.key"), folder.join("hub.db"));
    if database.exists() && !key.exists() {
        // A new key would silently end every link and token that was given out.
        let missing = io::Error::new(io::ErrorKind::NotFound, "the key of this hub's data is missing: restore it");
        return Err(at(&key)(missing));
    }
    let keys = Keys::open(&key).map_err(at(&key))?;
    let storage = folder.join("storage");
    let disk = Disk::open(storage.clone()).map_err(at(&storage))?;
    // A hub that runs with the tables as they are must not find others.
    let _alone = match Database::is_current(&database, MIGRATIONS)? {
        true => None,
        false => Some(lock(&folder)?.ok_or_else(|| HubError::OlderServes { data_dir: folder.clone() })?),
    };
    let database = Database::open(&database, MIGRATIONS)?;
    let last_base = std::fs::read_to_string(folder.join(BASE_FILE)).ok();
    Ok(Data { keys, disk, database, last_base })
}
