//! The local REST API, used by the command line, scripts and the dashboard.
//!
//! **In**: HTTP requests over TCP or a Unix socket, from the agent's own user or with its token. **Out**: commands to the
//! queue and the watcher; their state as JSON; events as a stream.
//!
//! **Guarantees.** Everything the command line can do goes through here. Other people's web pages cannot call it (Host,
//! Origin and content type are checked), tokens are compared in constant time, and no path outside the
//! allowed folders is read. Errors name every bad field at once.
//!
//! **On a crash** nothing is lost: a request is acknowledged once it is on disk.
//!
//! Must never know: how files are sent, how folders are watched.

pub mod about;
mod dashboard;
pub mod doctor;
mod error;
mod expand;
mod guard;
mod metrics;
mod openapi;
mod portal_name;
mod routes;
mod serve;
mod spool;
pub mod types;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::download::Downloads;
use crate::portal_downloads::Inbox;
use crate::upload::Queue;
use crate::watch::Watcher;
use masv_platform::OwnPlaces;
use masv_rules::Diagnostics;

pub use doctor::older_database;
pub use guard::{Access, Free, INTENT};
pub use metrics::{EventCounts, follow};
pub use routes::examine;
pub use serve::{ApiListener, serve};
pub use spool::Spool;

/// Reloads the rules file.
pub type Reload = Arc<dyn Fn() -> BoxFuture<'static, Result<(), Diagnostics>> + Send + Sync>;

/// Further families of metrics, in the OpenMetrics format and without its end: those of a hub in this process.
pub type FurtherMetrics = Arc<dyn Fn() -> BoxFuture<'static, String> + Send + Sync>;

/// The state shared by the routes.
#[derive(Clone)]
pub struct ApiState {
    /// Takes uploads.
    pub queue: Queue,
    /// Takes downloads.
    pub downloads: Downloads,
    /// Runs the upload rules.
    pub watcher: Watcher,
    /// Runs the download rules.
    pub inbox: Inbox,
    /// Reloads the rules file.
    pub reload: Reload,
    /// What is wrong with the current rules file, while the previous rules stay active.
    pub rules_problem: watch::Receiver<Option<String>>,
    /// Counters over the event log.
    pub events: Arc<EventCounts>,
    /// The metrics of the embedded hub, if there is one.
    pub further_metrics: Option<FurtherMetrics>,
    /// Whether the state can be written.
    pub probe: Arc<doctor::Probe>,
    /// Facts about the agent itself.
    pub about: Arc<About>,
    /// Folders that may be uploaded from and downloaded to; empty for all.
    pub allowed_roots: Arc<[PathBuf]>,
    /// The agent's own files, which are never sent or overwritten, whatever the roots.
    pub own: OwnPlaces,
    /// Files that browsers send.
    pub spool: Arc<Spool>,
    /// Whether uploads are finalized automatically by default.
    pub auto_finalize: bool,
    /// Ends the agent.
    pub shutdown: CancellationToken,
}

/// The rules file: the configured one, or else the one in the data directory, which is created with the first rule that is
/// added.
#[derive(Debug, Clone)]
pub struct RulesFile {
    /// Its absolute path.
    pub path: PathBuf,
    /// Whether it was configured; it must exist then.
    named: bool,
}

impl RulesFile {
    /// The configured one, if any.
    #[must_use]
    pub fn of(named: Option<PathBuf>, data_dir: &Path) -> Self {
        Self { named: named.is_some(), path: named.unwrap_or_else(|| data_dir.join("rules.yaml")) }
    }

    /// Whether it exists, or should.
    #[must_use]
    pub fn is_expected(&self) -> bool {
        self.named || self.path.exists()
    }

    /// The file, if it is expected to exist.
    #[must_use]
    pub fn there(&self) -> Option<&Path> {
        self.is_expected().then_some(self.path.as_path())
    }
}

impl About {
    /// The limitation of a kind of delivery.
    fn limitation(&self, of: about::Delivery) -> Option<&about::Limitation> {
        self.limitations.iter().find(|limitation| limitation.of == of)
    }
}

/// Facts about the agent itself.
#[derive(Debug, Clone)]
pub struct About {
    /// When it was started.
    pub started_at: Timestamp,
    /// Its data directory.
    pub data_dir: PathBuf,
    /// The cloud it sends to.
    pub cloud: String,
    /// Whether that is the embedded hub.
    pub embedded_hub: bool,
    /// How many events its database lacks: an older one was put in its place before it was started.
    pub missing_events: Option<u64>,
    /// The limitations of its deliveries.
    pub limitations: Vec<about::Limitation>,
    /// The rules file.
    pub rules: RulesFile,
    /// The settings it was started with.
    pub settings: Vec<about::Setting>,
}
