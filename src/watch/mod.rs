//! Watching: what turns a folder into uploads.
//!
//! **In**: rules, folders. **Out**: uploads for the queue, with the ledger's claims in the same transaction; after-actions
//! on confirmed files; what each rule is doing and why each file waits.
//!
//! **Guarantees.** Decisions are based on a scan compared with the ledger; file events only make the next scan happen sooner. So
//! lost events, downtime, network drives and clock changes are not special. A file is sent only after our own scans
//! have found it unchanged for the settle time. One rule's failure stops only that rule.
//!
//! **On a crash** nothing is lost: nothing is stored here. The next start scans again, settling starts again, and the
//! ledger knows what was sent.
//!
//! How it works: one task per rule ([`runner`], a shell around parts that own their state) scans the folder ([`scan`], sooner on
//! [`fs_events`]), passes what it found to its [`planner`], where everything is decided by pure functions ([`classifier`], [`dedup`],
//! [`settle`], [`package`], [`trigger`], [`open`]), and carries the decisions out ([`dispatch`], [`upload_sink`], [`post_actions`],
//! [`aftercare`]).
//!
//! Must never know: how files are sent, or HTTP.

mod aftercare;
mod beneath;
mod classifier;
mod copy_over;
mod dedup;
mod dispatch;
mod dry_run;
mod explain;
mod folder_place;
mod fs_events;
mod listing;
mod lossy_path;
mod open;
mod open_handles;
mod orphans;
mod package;
mod path_map;
mod planner;
mod post_actions;
mod relocate;
mod runner;
mod scan;
mod sequence;
mod settle;
mod snapshot;
mod status;
mod trigger;
mod upload_events;
mod upload_sink;
mod watcher;
mod write_tracker;

pub use dry_run::{DryPackage, DryRun, dry_run};
pub use explain::{Explanation, RuleExplanation, Test};
pub use status::{Copying, LastError, LastScan, Noted, RuleState, RuleStatus, WaitingFile};
pub use upload_sink::{Answer, SinkError, UploadSink};
pub use watcher::{FileSystem, WatchError, WatchSettings, Watcher};

/// An error with what caused it, in one line.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests;
