//! The long-running process: settings, the lock on the data directory, start-up in order, reload, graceful stop.
//!
//! **In**: [`Settings`], a token that ends it. **Out**: [`Notice`]s for whoever started it; the running API, queue, watcher and
//! embedded hub.
//!
//! **Guarantees.** One agent per data directory. Nothing is announced as ready before it is. When it ends, what was in
//! flight has ended or will resume at the next start.
//!
//! **On a crash** the lock is released with the process, the address file is rewritten, and everything else is the
//! business of the store.
//!
//! Must never know: how anything is displayed.

mod address;
mod awake;
mod console_events;
mod dry_run;
mod embedded;
mod error;
mod history;
mod last_rules;
mod listen;
mod lock;
mod memory;
mod reload;
mod restore;
mod run;
mod secrets;
mod settings;
mod supervisor;
mod surroundings;

pub(crate) mod service;

pub use address::{Found, find_agent};
pub use console_events::{Banner, Notice, RuleLine};
pub use dry_run::dry_run;
pub use error::AgentError;
pub use lock::is_locked;
pub use run::{raise_descriptors, run};
pub use secrets::read as read_secret_file;
pub use settings::{Listen, LogFormat, Mode, Origin, Origins, Settings, Written, default_data_dir, log_files};
pub use surroundings::Surroundings;
