//! What a rules file may read from its environment: variables, secret files, the home folder, the time zone.
//! Passed in, so that reading a file is a function of its text and this.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use masv_platform::{PathBeneath, Permissions};
use secrecy::SecretString;

use super::compile::LARGEST;

/// Largest secret file read, bytes.
const LARGEST_SECRET: u64 = 64 * 1024;

/// The content of a secret file.
#[derive(Debug, Clone)]
pub struct SecretFile {
    /// The content without line breaks at its end.
    pub secret: SecretString,
    /// Whether every user of the machine may read the file.
    pub readable_by_all: bool,
}

/// What a rules file may read from its environment.
pub trait Environment {
    /// The value of an environment variable; `None` if it is not set or not UTF-8.
    fn variable(&self, name: &str) -> Option<String>;

    /// Reads a secret file.
    ///
    /// # Errors
    /// Why it cannot be read, for people.
    fn secret_file(&self, path: &Path) -> Result<SecretFile, String>;

    /// The same, following no link on the way to it.
    ///
    /// # Errors
    /// Why it cannot be read, for people.
    fn secret_file_without_links(&self, path: &Path) -> Result<SecretFile, String>;

    /// The folder that `~` stands for.
    fn home(&self) -> Option<PathBuf>;

    /// The zone of a file that names none.
    fn time_zone(&self) -> TimeZone;

    /// The text of a file that the rules file names.
    ///
    /// # Errors
    /// Why it cannot be read, for people.
    fn text_file(&self, _: &Path) -> Result<String, String> {
        Err("other files are not read here".to_owned())
    }

    /// The files in a folder; `None` if it is not one.
    fn folder(&self, _: &Path) -> Option<Vec<PathBuf>> {
        None
    }

    /// Whether something other than a folder is at that path; `false` if that is not known.
    fn is_not_a_folder(&self, _: &Path) -> bool {
        false
    }

    /// Whether there is nothing at that path; `false` if that is not known.
    fn is_missing(&self, _: &Path) -> bool {
        false
    }

    /// The name of the folder's file system, if nothing there shows who writes to a file.
    fn hides_writers(&self, _: &Path) -> Option<&'static str> {
        None
    }
}

/// Opens a file that is one: opening a pipe would wait for a writer.
fn regular(path: &Path) -> Result<std::fs::File, String> {
    match std::fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() => Err("it is not a regular file".to_owned()),
        Ok(_) => std::fs::File::open(path).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

/// The secret in a file.
fn secret_in(file: std::fs::File) -> Result<SecretFile, String> {
    let metadata = file.metadata().map_err(|error| error.to_string())?;
    let mut text = String::new();
    file.take(LARGEST_SECRET + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    if text.len() as u64 > LARGEST_SECRET {
        return Err(format!("it is larger than {LARGEST_SECRET} bytes"));
    }
    let secret = SecretString::from(text.trim_end_matches(['\r', '\n']));
    Ok(SecretFile { secret, readable_by_all: Permissions::of(&metadata).all_may_read() })
}

/// The process's own environment.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEnvironment;

impl Environment for SystemEnvironment {
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn secret_file(&self, path: &Path) -> Result<SecretFile, String> {
        secret_in(regular(path)?)
    }

    fn secret_file_without_links(&self, path: &Path) -> Result<SecretFile, String> {
        let (file, _) = PathBeneath::without_links(path).open().map_err(|error| error.to_string())?;
        secret_in(file)
    }

    fn home(&self) -> Option<PathBuf> {
        std::env::home_dir().filter(|home| home.is_absolute())
    }

    fn time_zone(&self) -> TimeZone {
        TimeZone::system()
    }

    fn text_file(&self, path: &Path) -> Result<String, String> {
        let mut bytes = Vec::new();
        regular(path)?.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        String::from_utf8(bytes).map_err(|_| "it is not UTF-8: save it as UTF-8".to_owned())
    }

    fn folder(&self, path: &Path) -> Option<Vec<PathBuf>> {
        let entries = std::fs::read_dir(path).ok()?;
        let files = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file());
        Some(files.collect())
    }

    fn is_not_a_folder(&self, path: &Path) -> bool {
        std::fs::metadata(path).is_ok_and(|metadata| !metadata.is_dir())
    }

    fn is_missing(&self, path: &Path) -> bool {
        std::fs::symlink_metadata(path).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
    }
}

/// An environment with given content only: for tests, and for checking a file without its
/// secrets.
#[derive(Debug, Clone, Default)]
pub struct FixedEnvironment {
    /// Environment variables.
    pub variables: BTreeMap<String, String>,
    /// Secret and other files that rules name, and their content.
    pub files: BTreeMap<PathBuf, String>,
    /// What `~` stands for.
    pub home: Option<PathBuf>,
    /// Folders on file systems that do not show who writes, and what these are called.
    pub hiding_writers: BTreeMap<PathBuf, &'static str>,
}

impl Environment for FixedEnvironment {
    fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }

    fn secret_file(&self, path: &Path) -> Result<SecretFile, String> {
        let text = self.files.get(path).ok_or("there is no such file")?;
        Ok(SecretFile { secret: SecretString::from(text.as_str()), readable_by_all: false })
    }

    fn secret_file_without_links(&self, path: &Path) -> Result<SecretFile, String> {
        self.secret_file(path)
    }

    fn text_file(&self, path: &Path) -> Result<String, String> {
        self.files.get(path).cloned().ok_or_else(|| "there is no such file".to_owned())
    }

    fn folder(&self, path: &Path) -> Option<Vec<PathBuf>> {
        let files: Vec<PathBuf> = self.files.keys().filter(|file| file.parent() == Some(path)).cloned().collect();
        (!files.is_empty()).then_some(files)
    }

    fn home(&self) -> Option<PathBuf> {
        self.home.clone()
    }

    fn hides_writers(&self, path: &Path) -> Option<&'static str> {
        self.hiding_writers.get(path).copied()
    }

    fn time_zone(&self) -> TimeZone {
        TimeZone::UTC
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use secrecy::ExposeSecret;

    use super::*;
    use crate::parse;

    /// A password file of an ordered rule was replaced by a link to a file outside: its text became the password.
    #[test]
    fn a_secret_file_of_a_confined_rule_is_read_through_no_link() {
        let around = tempfile::tempdir().unwrap();
        let root = around.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("d")).unwrap();
        std::fs::write(root.join("d/secret"), "inside").unwrap();
        std::fs::create_dir(root.join("outside")).unwrap();
        std::fs::write(root.join("outside/secret"), "outside").unwrap();
        let read = |confined: bool| {
            let text = format!(
                "version: 1\nrules:\n  - {{ name: x, watch: drop, confined: {confined}, upload: {{ kind: link, password: {{ file: drop/../d/secret }} }} }}\n"
            );
            parse(&text, &root.join("rules.yaml"), &SystemEnvironment)
                .map(|set| set.rules[0].upload.password.as_ref().unwrap().expose_secret().to_owned())
                .map_err(|diagnostics| diagnostics.render(false))
        };
        std::fs::create_dir(root.join("drop")).unwrap();
        assert_eq!((read(true).unwrap().as_str(), read(false).unwrap().as_str()), ("inside", "inside"));
        std::fs::rename(root.join("d"), root.join("away")).unwrap();
        symlink("outside", root.join("d")).unwrap();
        assert_eq!(read(false).unwrap(), "outside", "the operator's own links are followed");
        let refused = read(true).unwrap_err();
        assert!(refused.contains("symbolic link") && !refused.contains("`outside`"), "{refused}");
    }
}
