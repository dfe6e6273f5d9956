//! A copy of the last valid rules file, in the data directory: an agent started with an invalid file continues
//! with its previous rules, as a running one does.
//!
//! **In**: the text of a rules file that was loaded. **Out**: its rules, parsed again, for the same file only.
//!
//! **On a crash** either the old copy or the new one is there. It contains the same as the rules file, readable by the agent's user only.
//!
//! Must never know: what rules do.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use masv_rules::{Environment, RuleSet, SecretFile, SystemEnvironment};

const FILE: &str = "rules.last.json";

#[derive(Serialize, Deserialize)]
struct Kept {
    /// The rules file, absolute.
    path: PathBuf,
    text: String,
    /// The other files that it was read from.
    #[serde(default)]
    files: BTreeMap<PathBuf, String>,
}

impl Environment for Kept {
    fn variable(&self, name: &str) -> Option<String> {
        SystemEnvironment.variable(name)
    }

    fn secret_file(&self, path: &Path) -> Result<SecretFile, String> {
        SystemEnvironment.secret_file(path)
    }

    fn secret_file_without_links(&self, path: &Path) -> Result<SecretFile, String> {
        SystemEnvironment.secret_file_without_links(path)
    }

    fn text_file(&self, path: &Path) -> Result<String, String> {
        self.files.get(path).cloned().ok_or_else(|| "there is no copy of it".to_owned())
    }

    fn folder(&self, path: &Path) -> Option<Vec<PathBuf>> {
        let is_folder = !self.files.contains_key(path);
        is_folder.then(|| self.files.keys().filter(|file| file.parent() == Some(path)).cloned().collect())
    }

    fn home(&self) -> Option<PathBuf> {
        SystemEnvironment.home()
    }

    fn time_zone(&self) -> jiff::tz::TimeZone {
        SystemEnvironment.time_zone()
    }
}

/// Stores the text of a file that was just loaded. The agent works without the copy, so a failure is only logged.
pub(super) async fn keep(data_dir: &Path, path: &Path) {
    let (data_dir, path) = (data_dir.to_owned(), path.to_owned());
    let kept = tokio::task::spawn_blocking(move || write(&data_dir, path)).await;
    if let Ok(Err(error)) = kept {
        tracing::warn!(%error, "the rules file cannot be copied to the data directory");
    }
}

fn write(data_dir: &Path, path: PathBuf) -> std::io::Result<()> {
    let text = std::fs::read_to_string(&path)?;
    // The file may be newer by now than what was loaded; only a valid one is stored.
    let Ok(rules) = masv_rules::parse(&text, &path, &SystemEnvironment) else { return Ok(()) };
    let files = rules.files.into_iter().map(|file| Ok((file.clone(), std::fs::read_to_string(file)?)));
    let files = files.collect::<std::io::Result<_>>()?;
    let mut fresh = tempfile::NamedTempFile::new_in(data_dir)?;
    serde_json::to_writer(&mut fresh, &Kept { path, text, files })?;
    fresh.flush()?;
    fresh.as_file().sync_all()?;
    fresh.persist(data_dir.join(FILE)).map_err(|error| error.error)?;
    Ok(())
}

/// The rules of the same file when it was last valid, if they still are.
pub(super) async fn find(data_dir: &Path, path: &Path) -> Option<RuleSet> {
    let (data_dir, path) = (data_dir.to_owned(), path.to_owned());
    let found = tokio::task::spawn_blocking(move || read(&data_dir, &path)).await;
    found.ok().flatten()
}

fn read(data_dir: &Path, path: &Path) -> Option<RuleSet> {
    let kept = std::fs::read(data_dir.join(FILE)).ok()?;
    let kept: Kept = serde_json::from_slice(&kept).ok()?;
    (kept.path == path).then(|| masv_rules::parse(&kept.text, path, &kept).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const GOOD: &str = "version: 1\nrules:\n  - { name: a, watch: drop, upload: { kind: link, password: hush } }\n";

    #[test]
    fn the_files_that_it_names_are_kept_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let (data, path) = (folder.path(), folder.path().join("rules.yaml"));
        let text = "version: 1\ninclude: rules.d\nrecipients: clients.csv\n";
        std::fs::write(&path, text).unwrap();
        std::fs::create_dir(folder.path().join("rules.d")).unwrap();
        let rule = "rules: [{ name: a, watch: drop, package: folder, upload: { kind: email, emails: '{{ recipients[item] }}' } }]\n";
        std::fs::write(folder.path().join("rules.d/a.yaml"), rule).unwrap();
        std::fs::write(folder.path().join("clients.csv"), "north,a@example.com\n").unwrap();
        write(data, path.clone()).unwrap();
        std::fs::write(folder.path().join("rules.d/a.yaml"), "rules: [").unwrap();
        std::fs::write(folder.path().join("clients.csv"), "north,nobody\n").unwrap();
        write(data, path.clone()).unwrap();
        let found = read(data, &path).unwrap();
        assert_eq!(found.rules.len(), 1);
        assert_eq!(found.rules[0].watch, folder.path().join("rules.d/drop"), "relative to the file that it is in");
    }

    /// Case: the last good copy of a rules file that is broken at boot.
    #[test]
    fn the_last_usable_text_of_the_same_file_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let (data, path) = (folder.path(), folder.path().join("rules.yaml"));
        std::fs::write(&path, GOOD).unwrap();
        write(data, path.clone()).unwrap();
        let mode = std::fs::metadata(data.join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "it holds secrets as the rules file does");
        std::fs::write(&path, "version: 1\nrulse: []\n").unwrap();
        write(data, path.clone()).unwrap();
        let found = read(data, &path).unwrap();
        assert_eq!((found.rules.len(), &*found.rules[0].name), (1, "a"));
        assert_eq!(found.rules[0].watch, folder.path().join("drop"), "relative to the file, not to the copy");
        assert!(read(data, &folder.path().join("other.yaml")).is_none(), "of another file");
    }
}
