//! Decides which complete files become one package, and when.
//!
//! **In**: the time, the rule's [`Packaging`], the pending files. **Out**: the packages to create now, and
//! when to check again. Pure: everything it needs is in its arguments, so it stores nothing and a restart
//! changes nothing except that settling starts again.
//!
//! **Guarantees.** A file is in at most one package of a plan. Only complete files are. A folder is never split and
//! never packaged while anything in it is not complete or still changing, or while the next frame of a sequence may still arrive.

use std::collections::BTreeMap;
use std::path::{Component, Path};
use std::sync::Arc;
use std::time::Duration;

use super::sequence::quiet_for;
use masv_rules::{Packaging, Per};

/// A pending file, as packaging sees it.
#[derive(Debug, Clone)]
pub struct Item {
    /// Relative to the watched folder.
    pub path: Arc<Path>,
    /// Bytes.
    pub size: u64,
    /// The value of `group_by`; empty without one.
    pub group: Arc<str>,
    /// When its present state was first seen.
    pub since: Duration,
    /// Its state.
    pub standing: Standing,
}

/// The state of a file, as packaging sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Whole since then, and may be sent.
    Ready(Duration),
    /// Whole, but it waits for its marker or manifest.
    Waiting,
    /// Not whole yet.
    Settling,
    /// Cannot be read or sent: a folder waits for it, a batch does not.
    Stuck,
    /// Not sent, but a program is working on it.
    Unfinished,
}

/// When packages may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// Whenever they are ready.
    Open,
    /// Not now.
    Closed,
    /// A scheduled time has come, or a user asked: what is ready is sent now, without waiting for more.
    Flush,
}

/// Files that become one package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// The value of `group_by` that they share.
    pub group: Arc<str>,
    /// The files, by path.
    pub files: Vec<Arc<Path>>,
}

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// To be made now.
    pub packages: Vec<Package>,
    /// When something may be ready that is not now, if nothing changes meanwhile.
    pub next: Option<Duration>,
}

impl Plan {
    fn ask_again(&mut self, at: Duration) {
        self.next = Some(self.next.map_or(at, |next| next.min(at)));
    }
}

/// The top-level entry of the watched folder that a path belongs to.
#[must_use]
pub fn top_level(path: &Path) -> &Path {
    match path.components().next() {
        Some(Component::Normal(name)) => Path::new(name),
        _ => path,
    }
}

/// What to package now. `open_package` means that an open package accepts files as they come, so that nothing has to be
/// gathered; `folders` tells when a folder of a top-level entry was last seen to appear.
#[must_use]
pub fn plan(
    now: Duration,
    packaging: &Packaging,
    gate: Gate,
    open_package: bool,
    items: &[Item],
    folders: &dyn Fn(&Path) -> Option<Duration>,
) -> Plan {
    if gate == Gate::Closed {
        return Plan::default();
    }
    match packaging.per {
        Per::File => per_file(items),
        Per::Folder => per_folder(now, packaging.quiet, items, folders),
        Per::Batch if open_package => at_once(items),
        Per::Batch => per_batch(now, packaging, gate, items),
    }
}

fn ready(item: &Item) -> Option<Duration> {
    match item.standing {
        Standing::Ready(at) => Some(at),
        _ => None,
    }
}

fn per_file(items: &[Item]) -> Plan {
    let files = items.iter().filter(|item| ready(item).is_some());
    let package = |item: &Item| Package { group: Arc::clone(&item.group), files: vec![Arc::clone(&item.path)] };
    Plan { packages: files.map(package).collect(), next: None }
}

fn per_folder(now: Duration, quiet: Duration, items: &[Item], folders: &dyn Fn(&Path) -> Option<Duration>) -> Plan {
    let mut entries: BTreeMap<&Path, Vec<&Item>> = BTreeMap::new();
    for item in items {
        entries.entry(top_level(&item.path)).or_default().push(item);
    }
    let mut plan = Plan::default();
    for (entry, items) in entries {
        let files: Vec<&&Item> = items.iter().filter(|item| item.standing != Standing::Unfinished).collect();
        if files.is_empty() || !files.iter().all(|item| ready(item).is_some()) {
            continue;
        }
        let changed = items.iter().map(|item| item.since).chain(folders(entry)).max().unwrap_or_default();
        let unfinished = items.iter().any(|item| item.standing == Standing::Unfinished);
        let inside = files.iter().filter(|item| &*item.path != entry);
        let quiet = quiet_for(quiet, inside.map(|item| (&*item.path, item.since)));
        if now < changed + quiet {
            plan.ask_again(changed + quiet);
        } else if !unfinished {
            let paths = files.iter().map(|item| Arc::clone(&item.path)).collect();
            plan.packages.push(Package { group: Arc::from(""), files: paths });
        }
    }
    plan
}

fn groups(items: &[Item]) -> BTreeMap<&Arc<str>, Vec<&Item>> {
    let mut groups: BTreeMap<&Arc<str>, Vec<&Item>> = BTreeMap::new();
    for item in items {
        groups.entry(&item.group).or_default().push(item);
    }
    groups
}

fn at_once(items: &[Item]) -> Plan {
    let mut plan = Plan::default();
    for (group, items) in groups(items) {
        let files: Vec<_> = items.iter().filter(|i| ready(i).is_some()).map(|i| Arc::clone(&i.path)).collect();
        if !files.is_empty() {
            plan.packages.push(Package { group: Arc::clone(group), files });
        }
    }
    plan
}

fn per_batch(now: Duration, packaging: &Packaging, gate: Gate, items: &[Item]) -> Plan {
    // A file being written under another name may belong to any group.
    let unfinished = items.iter().filter(|item| item.standing == Standing::Unfinished).map(|item| item.since).max();
    let mut plan = Plan::default();
    for (group, items) in groups(items) {
        let taken: Vec<(&Item, Duration)> = items.iter().filter_map(|item| Some((*item, ready(item)?))).collect();
        let Some(first) = taken.iter().map(|(_, at)| *at).min() else { continue };
        let (full, rest) = split(packaging, &taken.iter().map(|(item, _)| *item).collect::<Vec<_>>());
        let mut close = |files: &[&Item]| {
            let files = files.iter().map(|item| Arc::clone(&item.path)).collect();
            plan.packages.push(Package { group: Arc::clone(group), files });
        };
        full.iter().for_each(|files| close(files));
        if rest.is_empty() {
            continue;
        }
        let settling = items.iter().any(|item| item.standing == Standing::Settling);
        let active = items.iter().map(|item| item.since).chain(unfinished).max();
        let quiet_at = active.unwrap_or_default() + packaging.quiet;
        let latest = first + packaging.max_wait;
        let enough = rest.len() as u64 >= packaging.min_files;
        let gathered = enough && !settling && unfinished.is_none() && now >= quiet_at;
        if gate == Gate::Flush || gathered || now >= latest {
            close(&rest);
        } else {
            plan.ask_again(if enough && now < quiet_at { quiet_at.min(latest) } else { latest });
        }
    }
    plan
}

/// Cuts the files into packages that are full, and what is left.
fn split<'a>(packaging: &Packaging, items: &[&'a Item]) -> (Vec<Vec<&'a Item>>, Vec<&'a Item>) {
    let most_bytes = packaging.max_bytes.unwrap_or(u64::MAX);
    let most_files = packaging.max_files.max(1);
    let (mut full, mut current, mut bytes) = (Vec::new(), Vec::new(), 0_u64);
    for item in items {
        if !current.is_empty() && bytes.saturating_add(item.size) > most_bytes {
            full.push(std::mem::take(&mut current));
            bytes = 0;
        }
        current.push(*item);
        bytes = bytes.saturating_add(item.size);
        if current.len() as u64 >= most_files || bytes >= most_bytes {
            full.push(std::mem::take(&mut current));
            bytes = 0;
        }
    }
    (full, current)
}
