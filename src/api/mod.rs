//! The local REST API: what the command line, scripts and the dashboard talk to.
//!
//! **In**: HTTP requests over TCP or a Unix socket, of the agent's own user or with its token. **Out**: orders to the
//! queue and the watcher; their state as JSON; events as a stream.
//!
//! **Guarantees.** Whatever the command line can do goes through here. A web page of somebody else can not call it (Host,
//! Origin and content type are checked), a wrong token is told apart in constant time, and no path outside the
//! allowed folders is read. Bad input names every bad field at once.
//!
//! **On a crash** nothing is lost: an order is answered when it is on disk.
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

pub use guard::{Access, Free, INTENT};
pub use metrics::{EventCounts, follow};
pub use serve::{ApiListener, serve};

/// Loads the rules file again.
pub type Reload = Arc<dyn Fn() -> BoxFuture<'static, Result<(), Diagnostics>> + Send + Sync>;

/// What the routes work with.
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
    /// Loads the rules file again.
    pub reload: Reload,
    /// What is wrong with the rules file that is there now, while the rules before go on.
    pub rules_problem: watch::Receiver<Option<String>>,
    /// What was seen of the event log.
    pub events: Arc<EventCounts>,
    /// Whether the state can be written.
    pub probe: Arc<doctor::Probe>,
    /// What is told about the agent itself.
    pub about: Arc<About>,
    /// Folders that may be uploaded from and downloaded to; empty for all.
    pub allowed_roots: Arc<[PathBuf]>,
    /// The agent's own files, which are neither sent nor written over, whatever the roots.
    pub own: OwnPlaces,
    /// Whether uploads that do not say are finalized by themselves.
    pub auto_finalize: bool,
    /// Ends the agent.
    pub shutdown: CancellationToken,
}

/// The rules file: the one that was named, or else the one in the data directory, which is made by the first rule that is
/// ordered.
#[derive(Debug, Clone)]
pub struct RulesFile {
    /// Where it is, absolute.
    pub path: PathBuf,
    /// Whether somebody named it; it must be there then.
    named: bool,
}

impl RulesFile {
    /// The one that was named, if one was.
    #[must_use]
    pub fn of(named: Option<PathBuf>, data_dir: &Path) -> Self {
        Self { named: named.is_some(), path: named.unwrap_or_else(|| data_dir.join("rules.yaml")) }
    }

    /// Whether it is there, or should be.
    #[must_use]
    pub fn is_expected(&self) -> bool {
        self.named || self.path.exists()
    }

    /// The file, where it is expected.
    #[must_use]
    pub fn there(&self) -> Option<&Path> {
        self.is_expected().then_some(self.path.as_path())
    }
}

impl About {
    /// What a delivery of this kind does not reach.
    fn limitation(&self, of: about::Delivery) -> Option<&about::Limitation> {
        self.limitations.iter().find(|limitation| limitation.of == of)
    }
}

/// What is told about the agent itself.
#[derive(Debug, Clone)]
pub struct About {
    /// When it was started.
    pub started_at: Timestamp,
    /// Where it keeps its state.
    pub data_dir: PathBuf,
    /// The cloud it sends to.
    pub cloud: String,
    /// Whether that cloud is the hub in its own process.
    pub embedded_hub: bool,
    /// What its deliveries do not reach.
    pub limitations: Vec<about::Limitation>,
    /// The rules file.
    pub rules: RulesFile,
    /// The settings it was started with.
    pub settings: Vec<about::Setting>,
}
