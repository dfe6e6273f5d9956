//! What rules files may look up on the machine when the agent or `masv rule check` reads them: everything that the process knows, and where
//! it is not visible who is writing to a file.

use std::path::{Path, PathBuf};

use masv_rules::{Environment, SecretFile, SystemEnvironment};

use masv_platform::silent_file_system;

/// The environment of an agent.
#[derive(Debug, Clone, Copy, Default)]
pub struct Surroundings;

impl Environment for Surroundings {
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
        SystemEnvironment.text_file(path)
    }

    fn folder(&self, path: &Path) -> Option<Vec<PathBuf>> {
        SystemEnvironment.folder(path)
    }

    fn is_not_a_folder(&self, path: &Path) -> bool {
        SystemEnvironment.is_not_a_folder(path)
    }

    fn home(&self) -> Option<PathBuf> {
        SystemEnvironment.home()
    }

    fn time_zone(&self) -> jiff::tz::TimeZone {
        SystemEnvironment.time_zone()
    }

    fn is_missing(&self, path: &Path) -> bool {
        SystemEnvironment.is_missing(path)
    }

    fn hides_writers(&self, folder: &Path) -> Option<&'static str> {
        silent_file_system(folder)
    }
}
