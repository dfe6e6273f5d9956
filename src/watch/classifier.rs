//! What a rule makes of a file it finds: something to send, a marker, a sign of unfinished work, or nothing.
//!
//! **In**: paths relative to the rule's folder, sizes. **Out**: a [`Kind`], or the reason for none. Pure.
//!
//! Must never know: the disk, the time.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use masv_rules::{Finalize, Ready, Rule};

/// What a file is to the rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// To be sent.
    Item,
    /// A ready marker, or the file that closes an open package: looked for, never sent.
    Marker,
    /// A checksum list that the rule reads and does not send.
    List,
    /// Not to be sent under this name or at this size, but while it changes somebody is still at work beside it:
    /// `rsync` and browsers write under such names and rename at the end.
    Unfinished,
}

/// Sorts the files of one rule's folder.
#[derive(Debug, Clone)]
pub struct Classifier {
    rule: Arc<Rule>,
    earlier: Vec<Arc<Rule>>,
    excluded: Vec<PathBuf>,
}

impl Classifier {
    /// `earlier` are the enabled rules before this one in the file, `excluded` absolute folders never looked into.
    #[must_use]
    pub fn new(rule: Arc<Rule>, earlier: &[Arc<Rule>], excluded: &[PathBuf]) -> Self {
        let overlaps = |other: &&Arc<Rule>| {
            other.enabled && (other.watch.starts_with(&rule.watch) || rule.watch.starts_with(&other.watch))
        };
        let earlier = earlier.iter().filter(overlaps).cloned().collect();
        let excluded = excluded.iter().filter_map(|path| path.strip_prefix(&rule.watch).ok().map(Path::to_owned));
        let excluded = excluded.collect();
        Self { rule, earlier, excluded }
    }

    /// The rule it sorts for.
    #[must_use]
    pub fn rule(&self) -> &Arc<Rule> {
        &self.rule
    }

    /// Earlier rules whose folders overlap this one's.
    #[must_use]
    pub fn earlier(&self) -> &[Arc<Rule>] {
        &self.earlier
    }

    /// Whether a scan looks into this folder.
    #[must_use]
    pub fn enters(&self, folder: &Path) -> bool {
        self.rule.may_contain(folder) && !self.is_excluded(folder)
    }

    /// What the file is, if it is anything to this rule.
    #[must_use]
    pub fn sort(&self, relative: &Path, size: u64) -> Option<Kind> {
        if self.is_excluded(relative) {
            return None;
        }
        let item = self.rule.matches(relative, size);
        if item && self.owner(relative, size).is_none() {
            return Some(Kind::Item);
        }
        if self.is_list(relative) {
            return Some(Kind::List);
        }
        if item {
            return None;
        }
        if self.is_marker(relative) {
            return Some(Kind::Marker);
        }
        let tests = self.rule.explain(relative, size);
        let failed = |name: &str| tests.iter().any(|test| test.test == name && !test.passed);
        let telling = failed("hidden") || failed("unfinished") || (failed("size") && !failed("include"));
        (telling && !failed("junk") && !failed("name") && !failed("recursive")).then_some(Kind::Unfinished)
    }

    /// The earlier rule that the file belongs to.
    #[must_use]
    pub fn owner(&self, relative: &Path, size: u64) -> Option<&Arc<Rule>> {
        if self.earlier.is_empty() {
            return None;
        }
        let absolute = self.rule.watch.join(relative);
        self.earlier.iter().find(|rule| absolute.strip_prefix(&rule.watch).is_ok_and(|path| rule.matches(path, size)))
    }

    /// Whether the path lies in a folder that this agent never looks into.
    #[must_use]
    pub fn is_excluded(&self, relative: &Path) -> bool {
        self.excluded.iter().any(|folder| relative.starts_with(folder))
    }

    /// Whether the rule reads the file as a checksum list, whether or not it sends it.
    #[must_use]
    pub fn is_list(&self, relative: &Path) -> bool {
        matches!(&self.rule.ready, Ready::Manifest { patterns, .. } if patterns.matches(relative))
            && self.rule.may_contain(relative.parent().unwrap_or(Path::new("")))
    }

    fn is_marker(&self, relative: &Path) -> bool {
        matches!(self.rule.ready, Ready::Marker { .. }) && self.rule.ready.is_marker(relative)
            || self.closing_marker().is_some_and(|marker| relative == marker)
    }

    /// The file in the watched folder that closes an open package.
    #[must_use]
    pub fn closing_marker(&self) -> Option<&Path> {
        match &self.rule.finalize {
            Finalize::Open(when) => when.marker.as_deref().map(Path::new),
            _ => None,
        }
    }
}
