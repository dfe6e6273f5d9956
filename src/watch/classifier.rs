//! How a rule classifies a file: something to send, a marker, a sign of unfinished work, or nothing.
//!
//! **In**: paths relative to the rule's folder, sizes. **Out**: a [`Kind`], or the reason for none. Pure, except for resolving
//! the real paths of rules' folders and the agent's own files, on creation and by [`Classifier::ask_again`].
//!
//! Must never know: the time.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use masv_platform::{FileIdentity, OwnPlaces, RealPlaces, real_path};
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
    /// Not sent under this name or at this size, but while it changes a program is still working beside it:
    /// `rsync` and browsers write under such names and rename at the end.
    Unfinished,
}

/// Classifies the files of one rule's folder. Clones share what is known about the places.
#[derive(Debug, Clone)]
pub struct Classifier {
    rule: Arc<Rule>,
    earlier: Vec<Arc<Rule>>,
    own: OwnPlaces,
    places: Arc<RwLock<Places>>,
}

/// Real paths. Two paths may lead to one place, and a link may be changed: so this is resolved again with every scan of
/// everything.
#[derive(Debug, Default)]
struct Places {
    /// The watched folder.
    watch: PathBuf,
    /// The folders of the earlier rules, where they overlap it.
    earlier: Vec<Option<PathBuf>>,
    own: RealPlaces,
    /// The agent's own files and folders, relative to the watched folder.
    excluded: Vec<PathBuf>,
}

impl Places {
    fn ask(rule: &Rule, earlier: &[Arc<Rule>], own: &OwnPlaces) -> Self {
        let real = |rule: &Rule| real_path(&rule.watch).unwrap_or_else(|_| rule.watch.clone());
        let watch = real(rule);
        let overlapping = |other: &Arc<Rule>| {
            let folder = real(other);
            (other.enabled && (folder.starts_with(&watch) || watch.starts_with(&folder))).then_some(folder)
        };
        let own = own.ask();
        let excluded = own.below(&watch).collect();
        Self { earlier: earlier.iter().map(overlapping).collect(), own, excluded, watch }
    }
}

impl Classifier {
    /// `earlier` are the rules before this one in the file, `own` the agent's own files. Blocks: it asks where they are.
    #[must_use]
    pub fn new(rule: Arc<Rule>, earlier: &[Arc<Rule>], own: &OwnPlaces) -> Self {
        let places = Arc::new(RwLock::new(Places::ask(&rule, earlier, own)));
        Self { rule, earlier: earlier.to_vec(), own: own.clone(), places }
    }

    /// Asks again where everything is. Blocks.
    pub fn ask_again(&self) {
        let places = Places::ask(&self.rule, &self.earlier, &self.own);
        *self.places.write().unwrap_or_else(PoisonError::into_inner) = places;
    }

    fn places(&self) -> RwLockReadGuard<'_, Places> {
        self.places.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The rule it sorts for.
    #[must_use]
    pub fn rule(&self) -> &Arc<Rule> {
        &self.rule
    }

    /// Earlier rules whose folders overlap this one's.
    #[must_use]
    pub fn earlier(&self) -> Vec<Arc<Rule>> {
        let places = self.places();
        let overlapping = self.earlier.iter().zip(&places.earlier).filter(|(_, folder)| folder.is_some());
        overlapping.map(|(rule, _)| Arc::clone(rule)).collect()
    }

    /// Whether a scan descends into this folder.
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
        let places = self.places();
        let real = places.watch.join(relative);
        let owns = |(rule, folder): &(&Arc<Rule>, &Option<PathBuf>)| {
            folder
                .as_ref()
                .and_then(|folder| real.strip_prefix(folder).ok())
                .is_some_and(|path| rule.matches(path, size))
        };
        self.earlier.iter().zip(&places.earlier).find(owns).map(|(rule, _)| rule)
    }

    /// Whether the path is in a folder that this agent never scans.
    #[must_use]
    pub fn is_excluded(&self, relative: &Path) -> bool {
        self.places().excluded.iter().any(|own| relative.starts_with(own))
    }

    /// Whether this is a file of the agent itself, under whatever name.
    #[must_use]
    pub fn is_own_file(&self, identity: &FileIdentity) -> bool {
        self.places().own.are(identity)
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
