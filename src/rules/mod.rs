//! The rules file: what it says, what is wrong with it, and what it means.
//!
//! In: the text of a `rules.yaml` and a way to look up environment variables and secret files. Out: a
//! [`RuleSet`] of built values (compiled patterns, parsed sizes, resolved secrets), or all that is wrong with the
//! file, each with its place. A file goes through three stages: as written (a tree of values with positions),
//! validated (every key known and of its type), built (nothing left to parse, look up or default).
//!
//! Guarantees: no input panics; all errors of a file are reported at once; equal files under equal environments
//! have equal digests. Nothing here is kept on disk, so a crash costs nothing.
//!
//! Must never know: folders being watched, the network, the database.

mod diagnostics;
mod matching;
mod model;
mod nearest;
mod pattern;
mod schedule;
mod template;

pub use diagnostics::{Diagnostic, Diagnostics, Severity};
pub use matching::TestOutcome;
pub use model::{
    After, AfterComplete, AfterError, Cloud, DownloadRule, Existing, Finalize, FinalizeWhen, MoveTarget, Notify,
    NotifyEvent, NotifyTarget, OnChange, Packaging, Per, Poll, Portals, Ready, Rule, RuleDigest, RuleSet, Symlinks,
    UploadKind, UploadTemplate,
};
pub use pattern::Patterns;
pub use schedule::{Moments, Schedule, Windows};
pub use template::{Template, TemplateContext, TemplateError, TemplateFile};
