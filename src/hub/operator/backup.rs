//! Backups of a hub's state: the database and the secret key in one file, created while the hub is running.
//!
//! **In**: a data directory. **Out**: a SQLite database, consistent as of one moment, with the key in a separate table; and back
//! again into an empty directory. The files that were sent are not in it.
//!
//! **On a crash** the file is missing or complete: it is created in the hub's own folder, copied under another name, flushed, then
//! renamed.

use std::fs::File;
use std::io;
use std::path::Path;

use masv_platform::{Folder, FolderError, put_copy};
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use crate::clock::now;
use crate::error::HubError;

/// Writes the state of the hub in `data_dir` to `file`, which must not exist yet; returns its size in bytes.
///
/// # Errors
/// [`HubError::Data`] and [`HubError::Database`] with what cannot be read or written.
pub async fn back_up(data_dir: &Path, file: &Path) -> Result<u64, HubError> {
    let (data_dir, file) = (data_dir.to_owned(), file.to_owned());
    in_background(move || write(&data_dir, &file)).await
}

/// Restores what [`back_up`] wrote to `file` into `data_dir`, which must not contain a hub.
///
/// # Errors
/// [`HubError::Invalid`] if the file is not a backup or the directory contains a hub; [`HubError::Data`],
/// [`HubError::Database`].
pub async fn restore(file: &Path, data_dir: &Path) -> Result<(), HubError> {
    let (file, data_dir) = (file.to_owned(), data_dir.to_owned());
    in_background(move || read(&file, &data_dir)).await
}

async fn in_background<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, HubError> + Send + 'static,
) -> Result<T, HubError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| HubError::Serve(io::Error::other(error)))?
}

fn at(path: &Path) -> impl Fn(io::Error) -> HubError + '_ {
    move |source| HubError::Data { path: path.to_owned(), source }
}

fn write(data_dir: &Path, file: &Path) -> Result<u64, HubError> {
    let (database, key_file) = (data_dir.join("hub.db"), data_dir.join("secret.key"));
    let key = std::fs::read(&key_file).map_err(at(&key_file))?;
    if file.symlink_metadata().is_ok() {
        return Err(at(file)(io::ErrorKind::AlreadyExists.into()));
    }
    let told = |error: FolderError| at(file)(error.into());
    let name = file.file_name().ok_or_else(|| at(file)(io::ErrorKind::InvalidInput.into()))?;
    let folder = Folder::open(folder_of(file)).map_err(told)?;
    // Created in the hub's own folder, so that no one else can ever read it, or redirect the writing; SQLite uses
    // an empty file for a new database.
    let private = Folder::open(data_dir).map_err(told)?;
    let (draft, made) = private.create_unique("backup-", ".new", 0o600).map_err(told)?;
    let new = data_dir.join(&draft);
    let written = (|| {
        let hub = Connection::open_with_flags(&database, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        hub.busy_timeout(std::time::Duration::from_secs(10))?;
        hub.execute("VACUUM INTO ?1", [new.to_string_lossy()])?;
        drop(hub);
        let copy = Connection::open(&new)?;
        copy.execute_batch("CREATE TABLE backup (secret_key BLOB NOT NULL)")?;
        copy.execute("INSERT INTO backup VALUES (?1)", [key])?;
        copy.close().map_err(|(_, error)| HubError::from(error))?;
        put_copy(&made, &folder, name).map_err(told)
    })();
    let _ = private.remove_file(&draft);
    written
}

fn read(file: &Path, data_dir: &Path) -> Result<(), HubError> {
    let (database, key_file) = (data_dir.join("hub.db"), data_dir.join("secret.key"));
    let holds = |path: &Path| path.symlink_metadata().is_ok();
    if holds(&database) || holds(&key_file) {
        return Err(HubError::Invalid(format!("{} already contains a hub: move it away first", data_dir.display())));
    }
    let mut backup = File::open(file).map_err(at(file))?;
    masv_platform::private_folder(data_dir).map_err(at(data_dir))?;
    let told = |error: FolderError| at(data_dir)(error.into());
    let private = Folder::open(data_dir).map_err(told)?;
    // The log of another database would be replayed into this one.
    if let Some(log) = ["hub.db-wal", "hub.db-journal"].into_iter().find(|name| holds(&data_dir.join(name))) {
        let found = format!("{log} of another database is in {}: move it away first", data_dir.display());
        return Err(HubError::Invalid(found));
    }
    let (draft, mut made) = private.create_unique("restore-", ".new", 0o600).map_err(told)?;
    let new = data_dir.join(&draft);
    let restored = (|| {
        let none = || HubError::Invalid(format!("{} is not a backup of a hub", file.display()));
        io::copy(&mut backup, &mut made).map_err(at(file))?;
        let copy = Connection::open(&new)?;
        let key: Option<Vec<u8>> =
            copy.query_row("SELECT secret_key FROM backup", [], |row| row.get(0)).optional().map_err(|_| none())?;
        copy.execute_batch("DROP TABLE backup; VACUUM")?;
        // A backup of an earlier version has no such table yet.
        copy.execute_batch(
            "CREATE TABLE IF NOT EXISTS moment (name TEXT PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID",
        )?;
        copy.execute("INSERT OR REPLACE INTO moment (name, at) VALUES ('restored', ?1)", [now().as_millisecond()])?;
        copy.close().map_err(|(_, error)| HubError::from(error))?;
        masv_platform::flush(&made).map_err(at(&new))?;
        crate::keys::key_file::put(&key_file, &key.ok_or_else(none)?).map_err(at(&key_file))?;
        if let Err(error) = private.rename_new(&draft, &private, "hub.db".as_ref()) {
            // A key alone would be mistaken for a hub.
            let _ = private.remove_file("secret.key".as_ref());
            return Err(told(error));
        }
        private.flush().map_err(told)
    })();
    if restored.is_err() {
        let _ = private.remove_file(&draft);
    }
    restored
}

fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::{Hub, HubConfig};

    /// The name of the draft of a restored database could be foreseen: whoever made a link of it had the hub write elsewhere.
    #[tokio::test]
    async fn restoring_writes_through_nothing_that_others_put_there_and_replaces_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (hub, backup, target) = (folder.path().join("hub"), folder.path().join("b.db"), folder.path().join("new"));
        drop(Hub::open(HubConfig::new(hub.clone())).await.unwrap());
        back_up(&hub, &backup).await.unwrap();
        assert_eq!(fs::metadata(&backup).unwrap().permissions().mode() & 0o777, 0o600);
        fs::create_dir(&target).unwrap();
        let victim = folder.path().join("victim");
        fs::write(&victim, "theirs").unwrap();
        for name in ["hub.db.new", "secret.new"] {
            symlink(&victim, target.join(name)).unwrap();
        }
        restore(&backup, &target).await.unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "theirs");
        for name in ["hub.db", "secret.key"] {
            let found = fs::symlink_metadata(target.join(name)).unwrap();
            assert!(found.is_file() && found.permissions().mode() & 0o777 == 0o600, "{name}");
        }
        assert!(matches!(restore(&backup, &target).await, Err(HubError::Invalid(_))));
        drop(Hub::open(HubConfig::new(target)).await.unwrap());
    }

    /// Case: what somebody else has put where a database is restored to is neither used nor replaced.
    #[tokio::test]
    async fn a_log_of_another_database_and_a_dangling_link_are_in_the_way_of_restoring() {
        let folder = tempfile::tempdir().unwrap();
        let (hub, backup) = (folder.path().join("hub"), folder.path().join("b.db"));
        drop(Hub::open(HubConfig::new(hub.clone())).await.unwrap());
        back_up(&hub, &backup).await.unwrap();
        for in_the_way in ["hub.db-wal", "hub.db", "secret.key"] {
            let target = folder.path().join(format!("with {in_the_way}"));
            fs::create_dir(&target).unwrap();
            symlink("nowhere", target.join(in_the_way)).unwrap();
            assert!(matches!(restore(&backup, &target).await, Err(HubError::Invalid(_))), "{in_the_way}");
            assert_eq!(fs::read_dir(&target).unwrap().count(), 1, "{in_the_way}");
        }
    }
}
