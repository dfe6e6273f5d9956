//! The status of a rule.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::model::UploadId;
use crate::watch::lossy_path;

/// Most waiting files that a status lists; the count is always right.
pub const LISTED: usize = 100;

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RuleState {
    /// It has not scanned its folder yet.
    #[default]
    Starting,
    /// The system reports changes.
    Watching,
    /// It polls its folder; [`RuleStatus::reason`] says why.
    Polling,
    /// Its folder cannot be read; [`RuleStatus::reason`] says why. It retries automatically.
    Offline,
    /// It was paused: it scans, but creates no packages and touches no files.
    Paused,
    /// The rules file disables it.
    Disabled,
}

/// A file that waits, and for what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct WaitingFile {
    /// Relative to the watched folder.
    #[serde(serialize_with = "lossy_path::path")]
    #[schemars(with = "String")]
    pub path: PathBuf,
    /// Size in bytes at the last scan.
    pub size: u64,
    /// What it waits for, for a person.
    pub reason: String,
    /// Since when it waits: when it was first seen, or last changed.
    pub since: Timestamp,
    /// Until when, if nothing changes.
    pub until: Option<Timestamp>,
}

/// Names in a folder that deserve a note.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub struct Noted {
    /// How many there are.
    pub count: u64,
    /// The first of them, relative to the watched folder.
    pub example: Option<String>,
    /// What it is, or what is wrong with it.
    pub what: Option<&'static str>,
}

impl Noted {
    pub(super) fn note(&mut self, path: &Path, what: &'static str) {
        self.count += 1;
        if self.example.is_none() {
            (self.example, self.what) = (Some(path.to_string_lossy().into_owned()), Some(what));
        }
    }
}

/// The last full scan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LastScan {
    /// When it ended.
    pub at: Timestamp,
    /// How long it took, milliseconds.
    pub milliseconds: u64,
    /// Files that are something to the rule.
    pub files: u64,
    /// Folders looked into.
    pub folders: u64,
}

/// Something that went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LastError {
    /// When.
    pub at: Timestamp,
    /// Where: `offline`, `store`, `queue`, `template`, `after`, `manifest`, `marker`, `compare`,
    /// `upload` or `bug`.
    pub code: &'static str,
    /// What, for people.
    pub message: String,
    /// Whether it is resolved.
    pub over: bool,
}

/// A sent file being moved to another file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Copying {
    /// Relative to the watched folder.
    pub path: PathBuf,
    /// Bytes copied.
    pub copied: u64,
    /// Bytes in all.
    pub size: u64,
}

/// All that a rule can tell about itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub struct RuleStatus {
    /// The rule.
    pub name: String,
    /// The folder it watches.
    #[serde(serialize_with = "lossy_path::path")]
    #[schemars(with = "String")]
    pub watch: PathBuf,
    /// Its state.
    pub state: RuleState,
    /// Why it polls or is offline.
    pub reason: Option<String>,
    /// Whether it polls because the system lets it watch no more folders; the reason says what to do.
    pub limited: bool,
    /// Why writers in the folder cannot be detected; files settle for longer there unless the rule sets `settle`.
    pub writers_unseen: Option<String>,
    /// How many files wait.
    pub waiting_count: u64,
    /// The first of them.
    pub waiting: Vec<WaitingFile>,
    /// What could not be read, and why.
    #[serde(serialize_with = "lossy_path::remarks")]
    #[schemars(with = "Vec<(String, String)>")]
    pub unread: Vec<(PathBuf, String)>,
    /// Entries of the folder that are never sent because they are not regular files: symbolic links, pipes, sockets, devices.
    pub skipped: Noted,
    /// Files to send with names that recipients on Windows cannot save.
    pub awkward_names: Noted,
    /// The last full scan.
    pub last_scan: Option<LastScan>,
    /// How many scans of the folder, or of parts of it, there were.
    pub looks: u64,
    /// How often the system lost events, which caused a full scan.
    pub overflows: u64,
    /// The last thing that went wrong.
    pub last_error: Option<LastError>,
    /// When its schedule next lets it make packages.
    pub next_schedule: Option<Timestamp>,
    /// When something that is ready now, or gathers, becomes a package, if nothing else happens.
    pub next_package: Option<Timestamp>,
    /// The sent file that is being moved to another file system.
    pub copying: Option<Copying>,
    /// Uploads of the rule that still take files.
    pub open: Vec<UploadId>,
    /// How many of its uploads have failed and need attention.
    pub failed_uploads: u64,
    /// How many uploads it has made since the agent started.
    pub made: u64,
}

impl RuleStatus {
    /// What can still come after `now`: a task that is held up, as by a locked database, writes no new status, and no moment is promised
    /// that has passed.
    #[must_use]
    pub(super) fn at_moment(mut self, now: Timestamp) -> Self {
        let waiting = self.waiting.iter_mut().map(|file| &mut file.until);
        for moment in waiting.chain([&mut self.next_schedule, &mut self.next_package]) {
            *moment = moment.filter(|moment| *moment > now);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Case: while another program locked the database, a file "settles" until a moment in the past.
    #[test]
    fn no_moment_that_has_passed_is_told_as_one_to_come() {
        let [past, now, later] = [1_000, 2_000, 3_000].map(|second| Timestamp::from_second(second).unwrap());
        let waiting = |until| WaitingFile {
            path: "clip.mov".into(),
            size: 1,
            reason: "settles".to_owned(),
            since: past,
            until: Some(until),
        };
        let status = RuleStatus {
            waiting: vec![waiting(past), waiting(later)],
            next_schedule: Some(now),
            next_package: Some(later),
            ..RuleStatus::default()
        };
        let told = status.at_moment(now);
        assert_eq!(told.waiting.iter().map(|file| file.until).collect::<Vec<_>>(), [None, Some(later)]);
        assert_eq!((told.next_schedule, told.next_package), (None, Some(later)));
    }
}
