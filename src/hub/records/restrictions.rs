//! What a portal takes: kinds and sizes of files, sizes of packages.

use serde::{Deserialize, Serialize};

use crate::error::Refusal;
use crate::format;
use crate::http::wire::{flag, number};

/// A portal's restrictions, by the protocol's names. Those that are not enabled restrict nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Restrictions {
    #[serde(deserialize_with = "on")]
    pub file_type_restriction_enabled: bool,
    /// The types are those not taken.
    #[serde(deserialize_with = "on")]
    pub file_type_restriction_exclude: bool,
    /// Extensions, with their dot.
    pub file_types: Vec<String>,
    #[serde(deserialize_with = "on")]
    pub package_size_restriction_enabled: bool,
    /// Of these 0 means any number.
    #[serde(deserialize_with = "count")]
    pub max_file_count: u64,
    #[serde(deserialize_with = "count")]
    pub max_file_size: u64,
    #[serde(deserialize_with = "count")]
    pub max_package_size: u64,
}

fn on<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    flag(deserializer).map(Option::unwrap_or_default)
}

fn count<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    number(deserializer).map(Option::unwrap_or_default)
}

impl Restrictions {
    /// What is taken, for people; empty when everything is.
    pub(crate) fn told(&self) -> String {
        let mut told = Vec::new();
        if self.file_type_restriction_enabled && !self.file_types.is_empty() {
            let types: Vec<String> = self.file_types.iter().map(|end| format!(".{}", bare(end))).collect();
            let not = if self.file_type_restriction_exclude { "not " } else { "only " };
            told.push(format!("{not}{}", types.join(", ")));
        }
        if self.package_size_restriction_enabled {
            let bounds = [
                (self.max_file_count, format!("up to {} files", self.max_file_count)),
                (self.max_file_size, format!("files up to {}", format::bytes(self.max_file_size))),
                (self.max_package_size, format!("{} in all", format::bytes(self.max_package_size))),
            ];
            told.extend(bounds.into_iter().filter(|(bound, _)| *bound > 0).map(|(_, words)| words));
        }
        told.join(" · ")
    }

    /// Refuses a file that the portal does not take.
    pub(crate) fn check_file(&self, name: &str, size: u64) -> Result<(), Refusal> {
        if self.file_type_restriction_enabled {
            let name = name.to_lowercase();
            let listed = self.file_types.iter().any(|end| {
                let end = bare(end);
                !end.is_empty() && name.ends_with(&format!(".{end}"))
            });
            if listed == self.file_type_restriction_exclude {
                return Err(refused(format!("the portal does not take files like {name:?}")));
            }
        }
        if self.package_size_restriction_enabled && over(size, self.max_file_size) {
            return Err(refused(format!("the portal takes files up to {} bytes", self.max_file_size)));
        }
        Ok(())
    }

    /// Refuses a package that has grown beyond what the portal takes.
    pub(crate) fn check_package(&self, files: u64, size: u64) -> Result<(), Refusal> {
        if !self.package_size_restriction_enabled {
            return Ok(());
        }
        if over(files, self.max_file_count) {
            return Err(refused(format!("the portal takes up to {} files at a time", self.max_file_count)));
        }
        if over(size, self.max_package_size) {
            return Err(refused(format!("the portal takes packages up to {} bytes", self.max_package_size)));
        }
        Ok(())
    }
}

/// An extension without what people write in front of it.
fn bare(end: &str) -> String {
    end.trim().trim_start_matches(['*', '.']).to_lowercase()
}

fn over(value: u64, most: u64) -> bool {
    most > 0 && value > most
}

fn refused(message: String) -> Refusal {
    Refusal::new(axum::http::StatusCode::FORBIDDEN, "restricted", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_those_taken_or_those_not() {
        let mut portal = Restrictions {
            file_type_restriction_enabled: true,
            file_types: vec![".mov".into(), "MXF".into(), "tar.gz".into(), ".".into()],
            ..Restrictions::default()
        };
        for name in ["a.MOV", "b.mxf", "c.tar.gz"] {
            assert!(portal.check_file(name, 1).is_ok(), "{name}");
        }
        for name in ["a.exe", "mov", "b.", "c.gz"] {
            assert!(portal.check_file(name, 1).is_err(), "{name}");
        }
        portal.file_type_restriction_exclude = true;
        assert!(portal.check_file("a.mov", 1).is_err() && portal.check_file("a.exe", 1).is_ok());
        portal.file_type_restriction_enabled = false;
        assert!(portal.check_file("a.mov", 1).is_ok());
    }

    #[test]
    fn sizes_are_bounded_only_when_enabled_and_not_zero() {
        let mut portal =
            Restrictions { max_file_count: 2, max_file_size: 10, max_package_size: 15, ..Restrictions::default() };
        assert!(portal.check_file("a", 11).is_ok() && portal.check_package(3, 99).is_ok());
        portal.package_size_restriction_enabled = true;
        assert!(portal.check_file("a", 10).is_ok() && portal.check_file("a", 11).is_err());
        assert!(portal.check_package(2, 15).is_ok());
        assert!(portal.check_package(3, 1).is_err() && portal.check_package(1, 16).is_err());
        portal.max_package_size = 0;
        assert!(portal.check_package(1, 16).is_ok());
    }

    #[test]
    fn restrictions_are_read_in_many_spellings() {
        let text = r#"{"file_type_restriction_enabled":"true","max_file_size":"12","max_file_count":null,"other":1}"#;
        let read: Restrictions = serde_json::from_str(text).unwrap();
        assert!(read.file_type_restriction_enabled);
        assert_eq!((read.max_file_size, read.max_file_count), (12, 0));
    }
}
