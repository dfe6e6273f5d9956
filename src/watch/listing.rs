//! What the checksum lists of a watched folder require: a file is ready when every list that contains it has been read,
//! everything in those lists is complete, and all of it matches. Listed paths are known here in their
//! composed form (NFC).
//!
//! **In**: lists as read, digests of files. **Out**: what each file is waiting for, what has to be read and hashed,
//! what is wrong. Pure.
//!
//! **Guarantees.** What is stored for a file is not a verdict but its digests, with the state in which they were computed: each
//! list in its present state is compared with them, so that a list that arrives later, disagrees or is corrected takes effect at
//! once. A list that exists but was not read in its present state holds everything that it may contain.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::package::top_level;
use crate::manifest::checksum::{Algorithm, Checksum, Kind};
use crate::manifest::measure::Digests;
use crate::manifest::{ASC_FOLDER, Listed, effective, history_of, scope};
use masv_platform::FileIdentity;
use masv_rules::composed;

/// Maximum number of files of one list whose differences are reported individually.
const MOST_TOLD: usize = 20;

/// The status of a listed file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It does not exist.
    Absent,
    /// It is there, but not complete yet.
    NotWhole,
    /// It is complete and to be sent.
    Whole(FileIdentity),
    /// It was sent already.
    Sent,
    /// There or not, this rule does not send such a file.
    NotSent,
}

/// How a list is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListState {
    /// It is complete, like this.
    Whole(FileIdentity),
    /// It still changes, or may.
    NotWhole,
    /// The agent cannot read it, for this reason.
    Unreadable(String),
}

/// The status of a listed file, with the size from the list if it has one.
pub type PresenceOf<'a> = &'a dyn Fn(&Path, Option<u64>) -> Presence;

/// What a rule does with files that no list names.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// They are sent when the lists around them are complete.
    pub sends_unlisted: bool,
    /// A top-level folder goes as a whole, or not at all.
    pub per_folder: bool,
}

/// The status of a list.
#[derive(Debug, PartialEq, Eq)]
enum Standing {
    /// Everything that it names is there and right.
    Complete,
    /// It waits for a file.
    Waits(String),
    /// It is not supported, or files differ from it.
    Wrong(Vec<String>),
}

/// Why a list that is there was not read in its present state.
#[derive(Debug)]
enum Pending {
    NotWhole,
    Unread,
    Unreadable(String),
}

impl fmt::Display for Pending {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotWhole => formatter.write_str("is not complete yet"),
            Self::Unread => formatter.write_str("is about to be read"),
            Self::Unreadable(reason) => write!(formatter, "cannot be read: {reason}"),
        }
    }
}

/// What a list says of one file, held against the file.
enum Verdict {
    Right,
    Waits(String),
    Wrong(String),
}

#[derive(Debug)]
struct List {
    identity: FileIdentity,
    listed: Result<Vec<Listed>, String>,
    /// What it asks for, given the later generations of its history; empty outside one.
    effective: Option<Vec<Listed>>,
    standing: Standing,
}

impl List {
    fn files(&self) -> &[Listed] {
        self.effective.as_deref().or(self.listed.as_deref().ok()).unwrap_or_default()
    }
}

/// What was found out of a file by reading it.
#[derive(Debug)]
struct Measured {
    identity: FileIdentity,
    digests: Result<Digests, String>,
}

/// The checksum lists of a folder.
#[derive(Debug, Default)]
pub struct Listing {
    lists: BTreeMap<Arc<Path>, List>,
    /// Lists that are there and were not read in their present state, and why not.
    pending: BTreeMap<Arc<Path>, Pending>,
    /// Lists that are not understood.
    broken: Vec<Arc<Path>>,
    listed_in: BTreeMap<PathBuf, Vec<Arc<Path>>>,
    measured: BTreeMap<PathBuf, Measured>,
    /// What was not measured counts as right: for a rehearsal.
    trusting: bool,
}

impl Listing {
    /// Whether the list has to be read: it is new, or differs from the one that was read.
    #[must_use]
    pub fn needs_reading(&self, path: &Path, identity: &FileIdentity) -> bool {
        self.lists.get(path).is_none_or(|list| list.identity != *identity)
    }

    /// A list was read.
    pub fn take(&mut self, path: &Arc<Path>, identity: FileIdentity, listed: Result<Vec<Listed>, String>) {
        self.forget_list(path);
        let compose = |file: Listed| Listed {
            path: composed(&file.path).into_owned(),
            renamed_from: file.renamed_from.map(|path| composed(&path).into_owned()),
            ..file
        };
        let listed = listed.map(|files| files.into_iter().map(compose).collect());
        let standing = Standing::Waits("is about to be compared with the files".to_owned());
        self.lists.insert(Arc::clone(path), List { identity, listed, effective: None, standing });
        self.enter(path);
        self.rebuild_history(path);
    }

    /// A file, possibly a list, is gone or was taken.
    pub fn remove(&mut self, path: &Path) {
        self.measured.remove(&*composed(path));
        if self.forget_list(path) {
            self.rebuild_history(path);
        }
    }

    /// Digests of a file were computed while it was in that state, or it could not be read.
    pub fn measured(&mut self, path: &Path, identity: FileIdentity, digests: Result<Digests, String>) {
        let path = composed(path).into_owned();
        match (self.measured.get_mut(&path), digests) {
            (Some(Measured { identity: seen, digests: Ok(known) }), Ok(digests)) if *seen == identity => {
                known.extend(digests);
            }
            (_, digests) => drop(self.measured.insert(path, Measured { identity, digests })),
        }
    }

    /// Counts what was not measured as correct.
    pub fn trust(&mut self) {
        self.trusting = true;
    }

    fn forget_list(&mut self, path: &Path) -> bool {
        let Some(list) = self.lists.remove(path) else { return false };
        self.leave(path, list.files());
        true
    }

    fn enter(&mut self, path: &Arc<Path>) {
        let Some(list) = self.lists.get(path) else { return };
        for file in list.files() {
            self.listed_in.entry(file.path.clone()).or_default().push(Arc::clone(path));
        }
    }

    fn leave(&mut self, path: &Path, files: &[Listed]) {
        for file in files {
            let Some(lists) = self.listed_in.get_mut(&file.path) else { continue };
            lists.retain(|one| **one != *path);
            if lists.is_empty() {
                self.listed_in.remove(&file.path);
            }
        }
    }

    /// Looks at all generations of the list's history again.
    fn rebuild_history(&mut self, path: &Path) {
        let Some(history) = history_of(path) else { return };
        let generations: Vec<Arc<Path>> =
            self.lists.keys().filter(|list| history_of(list) == Some(history)).map(Arc::clone).collect();
        let listed: Vec<&[Listed]> = generations
            .iter()
            .filter_map(|one| self.lists.get(one))
            .map(|list| list.listed.as_deref().unwrap_or_default())
            .collect();
        for (generation, files) in generations.iter().zip(effective(&listed)) {
            let Some(list) = self.lists.get_mut(generation) else { continue };
            let before = list.effective.replace(files);
            let before = before.or_else(|| list.listed.clone().ok()).unwrap_or_default();
            self.leave(generation, &before);
            self.enter(generation);
        }
    }

    /// Updates the status of the lists. `there` are those that exist.
    pub fn refresh(&mut self, there: &[(Arc<Path>, ListState)], presence: PresenceOf<'_>) {
        self.pending.clear();
        for (path, state) in there {
            let pending = match state {
                ListState::NotWhole => Pending::NotWhole,
                ListState::Unreadable(reason) => Pending::Unreadable(reason.clone()),
                ListState::Whole(identity) if self.needs_reading(path, identity) => Pending::Unread,
                ListState::Whole(_) => continue,
            };
            self.pending.insert(Arc::clone(path), pending);
        }
        let broken = self.lists.iter().filter(|(_, list)| list.listed.is_err());
        self.broken = broken.map(|(path, _)| Arc::clone(path)).collect();
        let standings: Vec<(Arc<Path>, Standing)> =
            self.lists.iter().map(|(path, list)| (Arc::clone(path), self.standing(list, presence))).collect();
        for (path, standing) in standings {
            if let Some(list) = self.lists.get_mut(&path) {
                list.standing = standing;
            }
        }
    }

    fn standing(&self, list: &List, presence: PresenceOf<'_>) -> Standing {
        if let Err(reason) = &list.listed {
            return Standing::Wrong(vec![reason.clone()]);
        }
        let (mut waits, mut wrong) = (None, Vec::new());
        for file in list.files() {
            match self.verdict(file, presence) {
                Verdict::Right => {}
                Verdict::Waits(reason) => drop(waits.get_or_insert(reason)),
                Verdict::Wrong(reason) => wrong.push(reason),
            }
        }
        match waits {
            _ if !wrong.is_empty() => Standing::Wrong(wrong),
            Some(reason) => Standing::Waits(reason),
            None => Standing::Complete,
        }
    }

    fn verdict(&self, file: &Listed, presence: PresenceOf<'_>) -> Verdict {
        let name = file.path.display();
        let identity = match presence(&file.path, file.size) {
            Presence::Sent | Presence::NotSent => return Verdict::Right,
            Presence::Absent => return Verdict::Waits(format!("`{name}` is listed but does not exist")),
            Presence::NotWhole => return Verdict::Waits(format!("`{name}` is listed but not complete yet")),
            Presence::Whole(identity) => identity,
        };
        if let Some(day) = &file.failed {
            return Verdict::Wrong(format!("its history says that verifying `{name}` failed on {day}"));
        }
        if let Some(expected) = file.size.filter(|expected| *expected != identity.size) {
            return Verdict::Wrong(format!("`{name}` has {} bytes, the list says {expected}", identity.size));
        }
        if file.checksums.is_empty() {
            return Verdict::Wrong(match file.unknown.as_slice() {
                [] => format!("`{name}` is listed without a checksum"),
                kinds => format!("`{name}` has only checksums that are not supported ({})", kinds.join(", ")),
            });
        }
        let digests = match self.measured.get(&file.path).filter(|measured| measured.identity == identity) {
            Some(Measured { digests: Err(reason), .. }) => {
                return Verdict::Wrong(format!("`{name}` cannot be read: {reason}"));
            }
            Some(Measured { digests: Ok(digests), .. }) => digests,
            None if self.trusting => return Verdict::Right,
            None => return Verdict::Waits(format!("`{name}` is being compared")),
        };
        for checksum in &file.checksums {
            if missing(checksum, digests).next().is_some() {
                return Verdict::Waits(format!("`{name}` is being compared"));
            }
            if let Some(difference) = difference(checksum, digests) {
                return Verdict::Wrong(format!("`{name}` {difference}"));
            }
        }
        Verdict::Right
    }

    /// What a file in that state holds (BLAKE3 in hexadecimal), if a list names it.
    #[must_use]
    pub fn verified(&self, path: &Path, identity: &FileIdentity) -> Option<String> {
        let path = composed(path);
        let measured = self.measured.get(&*path).filter(|measured| measured.identity == *identity)?;
        let is_listed = self.listed_in.contains_key(&*path);
        let digest = measured.digests.as_ref().ok()?.get(&Algorithm::Blake3)?;
        is_listed.then(|| hex::encode(digest))
    }

    /// Whether a complete file waits for nothing that lists ask for.
    #[must_use]
    pub fn is_ready(&self, path: &Path, policy: Policy) -> bool {
        if self.pending.keys().chain(&self.broken).any(|list| may_speak_of(list, path)) {
            return false;
        }
        let complete = |list: &Arc<Path>| self.lists.get(list).is_some_and(|list| list.standing == Standing::Complete);
        if let Some(list) = self.lists.get(path) {
            // The generations of a history go together: an older one alone would say that nothing came after it.
            return list.standing == Standing::Complete && self.generations_with(path).all(complete);
        }
        if policy.per_folder && self.broken_beside(path).is_some() {
            return false;
        }
        match self.listed_in.get(&*composed(path)) {
            Some(lists) => lists.iter().all(complete),
            None => match self.around(path, policy) {
                lists if lists.is_empty() => false,
                lists => lists.iter().all(|list| complete(list)),
            },
        }
    }

    /// The lists that an unlisted file goes with: those of its history, or all around it if it is sent without being
    /// listed.
    fn around(&self, path: &Path, policy: Policy) -> Vec<&Arc<Path>> {
        let history = path.ancestors().skip(1).find(|folder| folder.file_name().is_some_and(|name| name == ASC_FOLDER));
        let of_history = |list: &&Arc<Path>| history.is_some() && history_of(list) == history;
        let beside = |list: &&Arc<Path>| policy.sends_unlisted && may_speak_of(list, path);
        self.lists.keys().filter(|list| of_history(list) || beside(list)).collect()
    }

    /// The generations of the history that the list at `path` is one of.
    fn generations_with(&self, path: &Path) -> impl Iterator<Item = &Arc<Path>> {
        let history = history_of(path).filter(|_| self.lists.contains_key(path));
        self.lists.keys().filter(move |list| history.is_some() && history_of(list) == history)
    }

    /// A list that is not understood in the same top-level folder.
    fn broken_beside(&self, path: &Path) -> Option<(&Arc<Path>, &String)> {
        let top = top_level(path);
        let beside = self.broken.iter().find(|list| list.starts_with(top) && list.components().count() > 1)?;
        Some((beside, self.lists.get(beside)?.listed.as_ref().err()?))
    }

    /// What a complete file waits for that is not ready.
    #[must_use]
    pub fn reason(&self, path: &Path, policy: Policy, presence: PresenceOf<'_>) -> String {
        if let Some((list, why)) = self.pending.iter().find(|(list, _)| may_speak_of(list, path)) {
            return match **list == *path {
                true => format!("the list {why}"),
                false => format!("waits for the list `{}`, which {why}", list.display()),
            };
        }
        if let Some(list) = self.lists.get(path)
            && let Some(why) = told(list)
        {
            return match list.listed {
                Ok(_) => why,
                Err(_) => format!("the list {why}"),
            };
        }
        let waits = |name: &Arc<Path>, why: String| format!("waits for its list `{}`: {why}", name.display());
        let of_list = |name: &Arc<Path>| Some(waits(name, told(self.lists.get(name)?)?));
        let understood = |name: &&Arc<Path>| self.lists.get(*name).is_some_and(|list| list.listed.is_ok());
        if let Some(found) = self.generations_with(path).filter(understood).find_map(of_list) {
            return found;
        }
        if let Some(lists) = self.listed_in.get(&*composed(path)) {
            let own = lists.iter().find_map(|name| {
                let file = self.lists.get(name)?.files().iter().find(|file| file.path == *composed(path))?;
                match self.verdict(file, presence) {
                    Verdict::Wrong(why) => Some(waits(name, why)),
                    Verdict::Right | Verdict::Waits(_) => None,
                }
            });
            if let Some(found) = own.or_else(|| lists.iter().find_map(of_list)) {
                return found;
            }
        }
        let broken = self.broken.iter().filter(|list| may_speak_of(list, path));
        let broken = broken.filter_map(|list| Some((list, self.lists.get(list)?.listed.as_ref().err()?))).next();
        if let Some((list, why)) = broken.or_else(|| self.broken_beside(path)) {
            return format!("waits for the list `{}`, which {why}", list.display());
        }
        if let Some(found) = self.around(path, policy).into_iter().find_map(of_list) {
            return found;
        }
        if self.lists.contains_key(path) {
            return "is ready".to_owned();
        }
        if self.lists.keys().any(|list| may_speak_of(list, path)) {
            return "is not in any checksum list: list it, exclude it, or set `unlisted: send`".to_owned();
        }
        "waits for a checksum list that contains it".to_owned()
    }

    /// Listed complete files and have to be read, with the digests to compute.
    #[must_use]
    pub fn to_measure(&self, presence: PresenceOf<'_>) -> Vec<(PathBuf, FileIdentity, BTreeSet<Algorithm>)> {
        let mut wanted: BTreeMap<&Path, (FileIdentity, BTreeSet<Algorithm>)> = BTreeMap::new();
        for file in self.lists.values().flat_map(List::files).filter(|file| !file.checksums.is_empty()) {
            let Presence::Whole(identity) = presence(&file.path, file.size) else { continue };
            let known = self.measured.get(&file.path).filter(|measured| measured.identity == identity);
            let missing: Vec<Algorithm> = match known.map(|known| &known.digests) {
                Some(Err(_)) => continue,
                Some(Ok(digests)) => file.checksums.iter().flat_map(|one| missing(one, digests)).collect(),
                None => file.checksums.iter().flat_map(|one| one.algorithms.iter().copied()).collect(),
            };
            if !missing.is_empty() {
                // What is sent is compared with what was verified, by its BLAKE3.
                let also = BTreeSet::from([Algorithm::Blake3]);
                wanted.entry(&file.path).or_insert((identity, also)).1.extend(missing);
            }
        }
        wanted.into_iter().map(|(path, (identity, algorithms))| (path.to_owned(), identity, algorithms)).collect()
    }

    /// The problems, by list and the first of each, for people; not what is only being waited for.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let wrong = self.lists.iter().filter_map(|(path, list)| match &list.standing {
            Standing::Wrong(reasons) => Some(reasons.iter().take(MOST_TOLD).map(move |reason| (path, list, reason))),
            _ => None,
        });
        let tell = |(path, list, reason): (&Arc<Path>, &List, &String)| match list.listed {
            Ok(_) => format!("the list `{}`: {reason}", path.display()),
            Err(_) => format!("the list `{}` {reason}", path.display()),
        };
        let unreadable = self.pending.iter().filter(|(_, pending)| matches!(pending, Pending::Unreadable(_)));
        let unreadable = unreadable.map(|(path, pending)| format!("the list `{}` {pending}", path.display()));
        wrong.flatten().map(tell).chain(unreadable).collect()
    }
}

/// Whether the list could name the file.
fn may_speak_of(list: &Path, file: &Path) -> bool {
    list == file || file.starts_with(scope(list))
}

fn told(list: &List) -> Option<String> {
    match &list.standing {
        Standing::Complete => None,
        Standing::Waits(reason) => Some(reason.clone()),
        Standing::Wrong(reasons) => reasons.first().cloned(),
    }
}

fn missing<'a>(checksum: &'a Checksum, digests: &'a Digests) -> impl Iterator<Item = Algorithm> + 'a {
    checksum.algorithms.iter().copied().filter(|algorithm| !digests.contains_key(algorithm))
}

/// How the file differs from its checksum; `None` when it does not.
fn difference(checksum: &Checksum, digests: &Digests) -> Option<String> {
    let found = |algorithm: &Algorithm| digests.get(algorithm);
    let is = |algorithm: &Algorithm| found(algorithm).is_some_and(|digest| checksum.is(*algorithm, digest));
    if checksum.algorithms.iter().any(is) {
        return None;
    }
    let (likely, others) = checksum.algorithms.split_first()?;
    let (found, expected) = (hex::encode(found(likely)?), hex::encode(&checksum.digest));
    let difference = format!("has the {} checksum {found}, the list says {expected}", likely.name());
    if checksum.kind != Kind::Guessed {
        return Some(difference);
    }
    // The file need not be what is wrong.
    let others: String = others.iter().map(|other| format!("{}, ", other.name())).collect();
    let also = if others.is_empty() { String::new() } else { format!("is not its {others}and ") };
    Some(format!("{difference}, which {also}may be of a kind that is not supported"))
}

#[cfg(test)]
mod tests;
