//! A copy of the whole database while others read and write.

use std::path::Path;
use std::time::Duration;

use masv_platform::{Folder, FolderError, PathBeneath, put_copy};
use rusqlite::Connection;

/// Pages that are copied at once: four megabytes.
const BACKUP_PAGES: std::ffi::c_int = 1024;

/// Copies what `connection` sees into a new file.
pub(super) fn copy(connection: &Connection, target: &PathBeneath) -> Result<(), String> {
    let database = Path::new(connection.path().ok_or("it is not in a file")?);
    let told = |error: FolderError| error.to_string();
    let (folder, name) =
        Folder::open(target.root()).and_then(|root| root.parent_of(target.relative())).map_err(told)?;
    let private = Folder::open(database.parent().unwrap_or(Path::new("."))).map_err(told)?;
    // SQLite takes an empty file for a new database.
    let (draft, file) = private.create_unique("backup-", ".new", 0o600).map_err(told)?;
    let outcome = draw(connection, &private.path().join(&draft))
        .and_then(|()| put_copy(&file, &folder, &name).map(drop).map_err(told));
    let _ = private.remove_file(&draft);
    outcome
}

/// Writes what `connection` sees to a file of our own.
fn draw(connection: &Connection, path: &Path) -> Result<(), String> {
    let copied = (|| {
        let mut target = Connection::open(path)?;
        {
            // A reader sees one moment, however long it takes.
            let moment = connection.unchecked_transaction()?;
            moment.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
            rusqlite::backup::Backup::new(&moment, &mut target)?.run_to_completion(
                BACKUP_PAGES,
                Duration::ZERO,
                None,
            )?;
        }
        // One self-contained file: no log beside it.
        target.pragma_update(None, "journal_mode", "DELETE")?;
        let sound: String = target.pragma_query_value(None, "quick_check", |row| row.get(0))?;
        Ok::<_, rusqlite::Error>(sound)
    })();
    match copied {
        Ok(sound) if sound == "ok" => Ok(()),
        Ok(problem) => Err(format!("the copy is damaged: {problem}")),
        Err(error) => Err(error.to_string()),
    }
}
