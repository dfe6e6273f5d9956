//! Which of several values applies, and where it came from. A flag takes precedence over an environment variable, that over the
//! settings file, that over a systemd credential, that over the default.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::api::about::Setting;

/// Where a value of the command line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// By its flag.
    Flag,
    /// By its `MASV_*` variable.
    Environment,
}

/// Where the values of the command line came from, by the names of their flags without the dashes.
pub type Origins = BTreeMap<String, Origin>;

/// Merges values and records where each came from.
pub(super) struct Sources {
    origins: Origins,
    config: Option<PathBuf>,
    noted: Vec<Setting>,
}

impl Sources {
    pub(super) fn new(origins: Origins, config: Option<&Path>) -> Self {
        Self { origins, config: config.map(Path::to_owned), noted: Vec::new() }
    }

    /// The value that applies, if not the default.
    pub(super) fn choose<T>(
        &mut self,
        name: &'static str,
        given: Option<T>,
        file: Option<T>,
        show: impl Fn(&T) -> String,
        default: &str,
    ) -> Option<T> {
        let source = match (&given, &file) {
            (Some(_), _) => self.origin(name),
            (None, Some(_)) => self.config.as_ref().map_or_else(String::new, |path| path.display().to_string()),
            (None, None) => "default".to_owned(),
        };
        let chosen = given.or(file);
        let value = chosen.as_ref().map_or_else(|| default.to_owned(), show);
        self.noted.push(Setting { name: name.to_owned(), value, source });
        chosen
    }

    /// Replaces the value that was recorded last.
    pub(super) fn instead(&mut self, name: &str, value: impl Into<String>, source: impl Into<String>) {
        if let Some(setting) = self.noted.iter_mut().find(|setting| setting.name == name) {
            (setting.value, setting.source) = (value.into(), source.into());
        }
    }

    fn origin(&self, name: &str) -> String {
        match self.origins.get(name) {
            Some(Origin::Environment) => variable(name),
            _ => "flag".to_owned(),
        }
    }

    pub(super) fn noted(self) -> Vec<Setting> {
        self.noted
    }
}

/// The environment variable of a setting.
fn variable(name: &str) -> String {
    format!("MASV_{}", name.to_ascii_uppercase().replace('-', "_"))
}
