//! What the jobs and the protocol share: settings, database, keys, storage, and the hub's public URL.
//!
//! **In**: the settings. **Out**: the open data directory.
//!
//! **On a crash** nothing of this is lost: the files are created before they are used.
//!
//! Must never know: jobs, HTTP.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use masv_db::{Database, Sqlite};
use masv_platform::{Folder, private_folder};
use masv_protocol::LinkId;
use secrecy::ExposeSecret;
use tokio::sync::Notify;

use crate::clock::now;
use crate::config::{HubConfig, SharedDatabase};
use crate::error::HubError;
use crate::keys::tokens::Keys;
use crate::records::moments::{self, Moment};
use crate::records::notices::{self, Notice};
use crate::records::schema::{MIGRATIONS, POSTGRES};
use crate::records::{identity, is_id, teams};
use crate::storage::{Bucket, Disk, Storage};

/// The file with the hub's address when it was last served.
pub(crate) const BASE_FILE: &str = "address";

/// The parts of a hub, apart from its server.
pub(crate) struct Context {
    pub config: HubConfig,
    pub database: Database,
    pub keys: Keys,
    pub storage: Storage,
    /// The id of the hub: all processes that share its database are that one.
    pub hub_id: String,
    /// A mail is waiting to be sent.
    pub mail_due: Notify,
    /// A webhook is waiting to be called.
    pub call_due: Notify,
    /// A task is due early.
    pub chore_due: Notify,
    /// Content is to be removed.
    pub removal_due: Notify,
    /// Its address if no public URL is set: known once it is listening.
    listens_on: OnceLock<String>,
    /// Its address when it was last served, for administration while it is not running.
    last_base: Option<String>,
}

/// A file is in a bucket, and the hub has none.
#[derive(Debug, thiserror::Error)]
#[error("a file is in a bucket, but none is configured")]
pub(crate) struct NoBucket;

/// The content of a data directory.
struct Data {
    keys: Keys,
    disk: Disk,
    /// Parts are in the storage.
    holds_parts: bool,
    database: Database,
    last_base: Option<String>,
    /// Commits lost through a damaged log.
    lost_commits: u64,
}

impl Context {
    /// Opens the hub's data, or creates it: the directory is closed to others. `lock` returns what only the process that serves a data
    /// directory has, while its tables are changed.
    pub(crate) async fn open<L>(
        config: HubConfig,
        lock: impl FnOnce(&Path) -> Result<Option<L>, HubError> + Send + 'static,
    ) -> Result<Self, HubError> {
        let folder = config.data_dir.clone();
        let data = match config.database.clone() {
            None => in_background(move || open_data(folder, lock)).await?,
            Some(shared) => open_shared(folder, shared).await?,
        };
        // Tables that were never written to count as none.
        if data.holds_parts && teams::is_empty(&data.database).await? {
            return Err(HubError::StorageWithoutDatabase { data_dir: config.data_dir });
        }
        if data.lost_commits > 0 {
            // What is unknown to it may be what it has lost: as after a restore, nothing unknown is removed for now.
            moments::set(&data.database, Moment::Restored, now()).await?;
            notices::set(&data.database, Notice::Damaged, &data.lost_commits).await?;
        }
        let hub_id = identity::confirm(&data.database, &data.keys).await?;
        let is_moving = moments::get(&data.database, Moment::Moving).await?.is_some();
        if is_moving && data.database.is_shared() {
            return Err(HubError::Invalid(
                "a hub is being moved into this database: let `masv hub migrate` come to its end first".to_owned(),
            ));
        }
        let database = if is_moving { data.database.read_only() } else { data.database };
        let bucket = config.bucket.as_ref().map(Bucket::new).transpose()?;
        Ok(Self {
            config,
            database,
            keys: data.keys,
            storage: Storage { disk: data.disk, bucket },
            hub_id,
            mail_due: Notify::new(),
            call_due: Notify::new(),
            chore_due: Notify::new(),
            removal_due: Notify::new(),
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

    /// Sets the address it listens on. If it is served on several, mails use the first.
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

    /// Whether a file is read from the bucket itself, by an address: one that is in it, unless everything is to pass through the hub.
    pub(crate) fn is_read_from_bucket(&self, in_bucket: bool) -> bool {
        in_bucket && self.config.bucket.as_ref().is_none_or(|bucket| !bucket.downloads_through_hub)
    }

    /// The bucket, for a file that is in one.
    pub(crate) fn bucket(&self) -> Result<&Bucket, NoBucket> {
        self.storage.bucket.as_ref().ok_or(NoBucket)
    }
}

async fn in_background<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, HubError> + Send + 'static,
) -> Result<T, HubError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| HubError::Serve(io::Error::other(error)))?
}

/// Connects to the database that others use too. The folder is this process's own, and nothing in it has to be kept.
async fn open_shared(folder: PathBuf, shared: SharedDatabase) -> Result<Data, HubError> {
    let key_file = shared.secret_key_file;
    let opening = in_background(move || {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| HubError::Data { path, source }
        };
        private_folder(&folder).map_err(at(&folder))?;
        if !is_missing(&folder.join("hub.db")).map_err(at(&folder))? {
            return Err(HubError::Invalid(format!(
                "{} holds a hub of its own: give the one on the shared database another data directory",
                folder.display()
            )));
        }
        let keys = Keys::read(&key_file).map_err(at(&key_file))?;
        let storage = folder.join("storage");
        let disk = Disk::open(storage.clone()).map_err(at(&storage))?;
        let last_base = std::fs::read_to_string(folder.join(BASE_FILE)).ok();
        Ok((keys, disk, last_base))
    });
    let (keys, disk, last_base) = opening.await?;
    let database = {
        let password = shared.password.as_ref().map(ExposeSecret::expose_secret);
        Database::connect(shared.url.expose_secret(), password, &POSTGRES).await?
    };
    Ok(Data { keys, disk, holds_parts: false, database, last_base, lost_commits: 0 })
}

fn open_data<L>(folder: PathBuf, lock: impl FnOnce(&Path) -> Result<Option<L>, HubError>) -> Result<Data, HubError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| HubError::Data { path, source }
    };
    private_folder(&folder).map_err(at(&folder))?;
    let (key, database) = (folder.join("secret.key"), folder.join("hub.db"));
    if database.exists() && !key.exists() {
        // A new key would silently invalidate every link and token.
        let missing = io::Error::new(io::ErrorKind::NotFound, "the key of this hub's data is missing: restore it");
        return Err(at(&key)(missing));
    }
    let storage = folder.join("storage");
    let disk = Disk::open(storage.clone()).map_err(at(&storage))?;
    let holds_parts = disk.holds_parts(is_id).map_err(at(&storage))?;
    if holds_parts && is_missing(&database).map_err(at(&database))? {
        // A new database knows none of these parts: they would be swept up as unreferenced.
        return Err(HubError::StorageWithoutDatabase { data_dir: folder });
    }
    let keys = Keys::open(&key).map_err(at(&key))?;
    let lost_commits = if database.exists() { lost_commits(&folder).map_err(at(&database))? } else { 0 };
    // A running hub must not find its tables changed.
    let _alone = match Sqlite::is_current(&database, MIGRATIONS)? {
        true => None,
        false => Some(lock(&folder)?.ok_or_else(|| HubError::OlderServes { data_dir: folder.clone() })?),
    };
    let database = Database::open(&database, MIGRATIONS)?;
    let last_base = std::fs::read_to_string(folder.join(BASE_FILE)).ok();
    Ok(Data { keys, disk, holds_parts, database, last_base, lost_commits })
}

/// Whether there is a database of this version in the folder.
pub(crate) fn is_current(folder: &Path) -> bool {
    let database = folder.join("hub.db");
    database.exists() && Sqlite::is_current(&database, MIGRATIONS).unwrap_or(false)
}

/// The commits that the database in `folder` is about to lose by a damaged log; it is then copied with its log, as they are.
fn lost_commits(folder: &Path) -> io::Result<u64> {
    let lost = masv_db::lost_commits(&folder.join("hub.db"))?;
    if lost > 0 {
        let private = Folder::open(folder)?;
        let (name, mut copy) = private.create_unique("hub.db.damaged-", "", 0o600)?;
        let mut log = name.clone();
        log.push("-wal");
        io::copy(&mut File::open(folder.join("hub.db"))?, &mut copy)?;
        io::copy(&mut File::open(folder.join("hub.db-wal"))?, &mut private.create_new(&log, 0o600)?)?;
        tracing::error!(
            commits = lost,
            copy = %folder.join(name).display(),
            "the log of the database is damaged, and commits in it are lost; database and log were copied as they are. Restore the last \
             backup, or compare the database with the storage: `masv hub check`"
        );
    }
    Ok(lost)
}

/// Whether there is no database, or an empty file in its place.
fn is_missing(database: &Path) -> io::Result<bool> {
    match std::fs::metadata(database) {
        Ok(found) => Ok(found.len() == 0),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::Hub;

    const PACKAGE: &str = "01M85VJ3Y0Q8ZK2T4W6X7B9CDE";

    /// A data directory with a key and a part in its storage, and no database.
    fn without_database() -> (tempfile::TempDir, HubConfig) {
        let folder = tempfile::tempdir().unwrap();
        let config = HubConfig::new(folder.path().join("hub"));
        put_part(&config);
        fs::write(config.data_dir.join("secret.key"), [7; 32]).unwrap();
        (folder, config)
    }

    fn put_part(config: &HubConfig) {
        let package = config.data_dir.join("storage").join(PACKAGE);
        fs::create_dir_all(&package).unwrap();
        fs::write(package.join("01M85VJ3Y0Q8ZK2T4W6X7B9CDF.1.0000000000000000"), "part").unwrap();
    }

    async fn is_refused(config: &HubConfig) -> bool {
        matches!(Hub::open(config.clone()).await, Err(HubError::StorageWithoutDatabase { .. }))
    }

    /// A hub whose database was lost came up as a new one and swept up its whole storage.
    #[tokio::test]
    async fn a_storage_without_its_database_is_refused_and_nothing_is_made() {
        let (_folder, config) = without_database();
        let refused = Hub::open(config.clone()).await.unwrap_err().to_string();
        assert!(refused.contains("masv hub restore") && refused.contains("storage"), "{refused}");
        assert!(!config.data_dir.join("hub.db").exists());
        fs::remove_file(config.data_dir.join("secret.key")).unwrap();
        assert!(is_refused(&config).await);
        assert!(!config.data_dir.join("secret.key").exists());
        fs::rename(config.data_dir.join("storage"), config.data_dir.join("storage.old")).unwrap();
        Hub::open(config).await.unwrap();
    }

    /// Case: a `hub.db` of zero length beside parts: the hub started as a new one and its sweep emptied the storage.
    #[tokio::test]
    async fn an_empty_file_in_the_place_of_the_database_is_refused() {
        let (_folder, config) = without_database();
        fs::write(config.data_dir.join("hub.db"), "").unwrap();
        assert!(is_refused(&config).await);
        assert_eq!(fs::metadata(config.data_dir.join("hub.db")).unwrap().len(), 0);
    }

    /// Case: a database that was made a moment ago, beside parts of another one: it has its tables, and knows no team.
    #[tokio::test]
    async fn tables_without_a_team_are_refused() {
        let (_folder, config) = without_database();
        drop(Database::open(&config.data_dir.join("hub.db"), MIGRATIONS).unwrap());
        assert!(is_refused(&config).await);
    }

    /// Case: what is refused beside a storage in use is neither a first start nor any later one.
    #[tokio::test]
    async fn a_first_start_and_every_other_go_on_whatever_else_lies_in_the_storage() {
        let folder = tempfile::tempdir().unwrap();
        let config = HubConfig::new(folder.path().join("hub"));
        // A separate disk has such a folder.
        let foreign = config.data_dir.join("storage/lost+found");
        fs::create_dir_all(&foreign).unwrap();
        fs::write(foreign.join("#12"), "").unwrap();
        let hub = Hub::open(config.clone()).await.unwrap();
        teams::create(hub.database(), "Team".into(), None).await.unwrap();
        put_part(&config);
        Hub::open(config).await.unwrap();
    }
}
