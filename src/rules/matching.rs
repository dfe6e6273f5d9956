//! Which files belong to a rule: ordered tests, each with an outcome that can be told.

use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use serde::Serialize;

use super::model::Rule;
use super::parts::{Finalize, Ready};
use super::pattern::{Patterns, is_litter, unfinished_ending};

/// The compiled patterns of a rule.
#[derive(Debug, Clone)]
pub(super) struct Matcher {
    pub include: Patterns,
    pub exclude: Patterns,
}

impl Matcher {
    pub(super) fn new<'a>(
        include: impl IntoIterator<Item = &'a str>,
        exclude: impl IntoIterator<Item = &'a str>,
        ignore_case: bool,
    ) -> Self {
        Self { include: Patterns::new(include, ignore_case), exclude: Patterns::new(exclude, ignore_case) }
    }
}

/// One test a file was put to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TestOutcome {
    /// Which test: `name`, `recursive`, `hidden`, `litter`, `unfinished`, `marker`, `exclude`, `include`, `size`.
    pub test: &'static str,
    /// Whether the file passed.
    pub passed: bool,
    /// Why, for a person.
    pub detail: String,
}

impl TestOutcome {
    fn new(test: &'static str, failure: Option<String>, success: impl FnOnce() -> String) -> Self {
        Self { test, passed: failure.is_none(), detail: failure.unwrap_or_else(success) }
    }
}

/// How names of the agent's own files and folders begin; they are never sent and never looked into.
pub const OWN_PREFIX: &str = ".masv";

fn names(relative: &Path) -> impl Iterator<Item = &[u8]> {
    relative.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.as_bytes()),
        _ => None,
    })
}

impl Rule {
    /// Whether a regular file of this size, at this path relative to the watch folder, belongs to the rule.
    #[must_use]
    pub fn matches(&self, relative: &Path, size: u64) -> bool {
        self.failure_of_name(relative).is_none()
            && self.failure_of_recursion(relative).is_none()
            && self.failure_of_hidden(relative).is_none()
            && self.failure_of_litter(relative).is_none()
            && self.failure_of_unfinished(relative).is_none()
            && self.failure_of_marker(relative).is_none()
            && !self.matcher.exclude.matches(relative)
            && self.matcher.include.matches(relative)
            && self.failure_of_size(size).is_none()
    }

    /// The same as [`Rule::matches`], told test by test; it matches when all have passed.
    #[must_use]
    pub fn explain(&self, relative: &Path, size: u64) -> Vec<TestOutcome> {
        let excluded = self.matcher.exclude.first_match(relative).map(|by| format!("excluded by `{by}`"));
        let included = self.matcher.include.first_match(relative);
        let not_included = included.is_none().then(|| {
            let patterns: Vec<String> = self.matcher.include.written().map(|text| format!("`{text}`")).collect();
            format!("none of {} matches", patterns.join(", "))
        });
        vec![
            TestOutcome::new("name", self.failure_of_name(relative), || "is a path below the watch folder".into()),
            TestOutcome::new("recursive", self.failure_of_recursion(relative), || "is not too deep".into()),
            TestOutcome::new("hidden", self.failure_of_hidden(relative), || "has no hidden name".into()),
            TestOutcome::new("litter", self.failure_of_litter(relative), || "is not what a desktop leaves".into()),
            TestOutcome::new("unfinished", self.failure_of_unfinished(relative), || {
                "has no name of an unfinished file".into()
            }),
            TestOutcome::new("marker", self.failure_of_marker(relative), || "is not a marker".into()),
            TestOutcome::new("exclude", excluded, || "no exclude pattern matches".into()),
            TestOutcome::new("include", not_included, || format!("included by `{}`", included.unwrap_or_default())),
            TestOutcome::new("size", self.failure_of_size(size), || format!("{size} bytes are within the limits")),
        ]
    }

    /// Whether the folder at this relative path may hold files of the rule, so that a scan has to look into it.
    /// The empty path is the watch folder itself.
    #[must_use]
    pub fn may_contain(&self, relative_dir: &Path) -> bool {
        let mut names = names(relative_dir).peekable();
        if names.peek().is_none() {
            return true;
        }
        self.recursive
            && names.all(|name| {
                !name.starts_with(OWN_PREFIX.as_bytes()) && !is_litter(name) && (self.hidden || !name.starts_with(b"."))
            })
    }

    fn failure_of_name(&self, relative: &Path) -> Option<String> {
        let inside = relative.components().all(|component| matches!(component, Component::Normal(_)));
        if !inside || relative.file_name().is_none() {
            return Some("is not a path below the watch folder".to_owned());
        }
        let own = names(relative).any(|name| name.starts_with(OWN_PREFIX.as_bytes()));
        own.then(|| "belongs to the agent itself".to_owned())
    }

    fn failure_of_recursion(&self, relative: &Path) -> Option<String> {
        let deep = names(relative).nth(1).is_some();
        (!self.recursive && deep).then(|| "lies in a sub-folder, and `recursive` is false".to_owned())
    }

    fn failure_of_hidden(&self, relative: &Path) -> Option<String> {
        if self.hidden {
            return None;
        }
        let hidden = names(relative).find(|name| name.starts_with(b"."))?;
        Some(format!("`{}` is hidden, and `hidden` is false", String::from_utf8_lossy(hidden)))
    }

    fn failure_of_litter(&self, relative: &Path) -> Option<String> {
        let litter = names(relative).find(|name| is_litter(name))?;
        Some(format!("`{}` is never sent", String::from_utf8_lossy(litter)))
    }

    fn failure_of_unfinished(&self, relative: &Path) -> Option<String> {
        if self.temporary {
            return None;
        }
        let ending = unfinished_ending(relative.file_name()?.as_bytes())?;
        Some(format!("`*{ending}` is a name of unfinished files, and `temporary` is false"))
    }

    fn failure_of_marker(&self, relative: &Path) -> Option<String> {
        let name = relative.file_name()?.as_bytes();
        let closes = match &self.finalize {
            Finalize::Open(when) => when.marker.as_deref(),
            _ => None,
        };
        let in_root = names(relative).nth(1).is_none();
        if in_root && closes.is_some_and(|marker| marker.as_bytes() == name) {
            return Some("is the marker that closes the package".to_owned());
        }
        self.ready.is_marker(relative).then(|| "is a ready marker, which is not sent".to_owned())
    }

    fn failure_of_size(&self, size: u64) -> Option<String> {
        if let Some(least) = self.min_size.filter(|least| size < *least) {
            return Some(format!("{size} bytes are fewer than `min_size` ({least})"));
        }
        let most = self.max_size.filter(|most| size > *most)?;
        Some(format!("{size} bytes are more than `max_size` ({most})"))
    }
}

impl Ready {
    /// The places, relative to the watch folder, where a marker makes this file ready; any one will do: beside
    /// the file with the marker's name appended to its own, and inside each folder on the way to it.
    #[must_use]
    pub fn markers_of(&self, relative: &Path) -> Vec<PathBuf> {
        let Self::Marker { name } = self else { return Vec::new() };
        let mut beside = relative.as_os_str().to_owned();
        beside.push(name);
        let inside = relative.ancestors().skip(1).filter(|folder| folder.file_name().is_some());
        std::iter::once(PathBuf::from(beside)).chain(inside.map(|folder| folder.join(name))).collect()
    }

    /// Whether the path is that of a marker.
    #[must_use]
    pub fn is_marker(&self, relative: &Path) -> bool {
        let Self::Marker { name } = self else { return false };
        relative.file_name().is_some_and(|file| file.as_bytes().ends_with(name.as_bytes()))
    }
}
