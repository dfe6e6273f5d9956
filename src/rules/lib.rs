//! The rules file: its content, its errors, and its meaning.
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
//!
//! ```
//! use std::path::Path;
//! use masv_rules::{FixedEnvironment, parse};
//!
//! let text = "
//! version: 1
//! rules:
//!   - { name: dailies, watch: /srv/drop, include: ['*.mov'], upload: { kind: link } }
//! ";
//! let rules = parse(text, Path::new("/etc/masv/rules.yaml"), &FixedEnvironment::default())?;
//! let dailies = rules.rule("dailies").ok_or("there is no such rule")?;
//! assert!(dailies.matches(Path::new("monday/clip.mov"), 3_000_000));
//! let tests = dailies.explain(Path::new("notes.txt"), 12);
//! assert!(tests.iter().any(|test| test.test == "include" && !test.passed));
//!
//! let wrong = parse("version: 1\nrules: [{ nam: dailies }]", Path::new("rules.yaml"), &FixedEnvironment::default());
//! assert!(wrong.is_err_and(|errors| errors.to_string().contains("name")));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod compile;
mod cron_text;
mod diagnostics;
pub mod edit;
mod environment;
mod fields;
mod filters;
mod junk;
mod matching;
mod model;
mod move_target;
pub mod own_hub;
mod pattern;
mod reader;
mod recipients;
mod schedule;
mod schema;
mod schema_table;
mod settings;
pub mod shared_text;
mod sources;
mod span;
mod suggest;
mod syntax_help;
mod template;
mod unicode;
mod units;
mod value_type;
mod variables;
mod yaml;

pub use compile::{load, parse};
pub use diagnostics::{Diagnostic, Diagnostics, Severity};
pub use environment::{Environment, FixedEnvironment, SecretFile, SystemEnvironment};
pub use junk::{is_junk, unfinished_beside};
pub use matching::{OWN_PREFIX, TestOutcome};
pub use model::{Cloud, DownloadRule, Portals, Rule, RuleDigest, RuleSet};
pub use move_target::MoveTarget;
pub use pattern::Patterns;
pub use recipients::{Recipient, RecipientTemplate, Recipients, addresses};
pub use schedule::{Moments, Schedule, Windows, in_words};
pub use schema::schema;
pub use settings::{
    After, AfterComplete, AfterError, Existing, Finalize, FinalizeWhen, Growing, HardLinks, Notify, NotifyEvent,
    NotifyTarget, OnChange, OnGone, Packaging, Per, Poll, Ready, SentList, Symlinks, UploadKind, UploadTemplate,
};
pub use template::{Template, TemplateContext, TemplateError, TemplateFile, TemplateFiles};
pub use unicode::composed;

/// The commented starter file, which is also the first thing to read about rules.
pub const EXAMPLE: &str = include_str!("../../rules.example.yaml");

#[cfg(test)]
mod tests;
