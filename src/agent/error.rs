//! Why the agent cannot start or continue: each error says what to do.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::engine::QueueError;
use crate::store::StoreError;
use masv_client::CloudError;
use masv_hub::HubError;
use masv_rules::Diagnostics;

/// Why the agent cannot start or continue.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// A setting is not valid.
    #[error("{setting}: {problem}")]
    Setting {
        /// Its flag.
        setting: &'static str,
        /// What is wrong, and what would be valid.
        problem: String,
    },
    /// Too few files and connections may be open.
    #[error(
        "only {allowed} files and connections may be open at the same time, and {} are needed",
        masv_platform::FEWEST_DESCRIPTORS
    )]
    Descriptors {
        /// How many may be.
        allowed: u64,
    },
    /// The settings file cannot be read.
    #[error("the settings file {} cannot be used: {problem}", path.display())]
    SettingsFile {
        /// Which.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// The rules file is not valid.
    #[error("the rules file has {} {}", .0.0.len(), if .0.0.len() == 1 { "error" } else { "errors" })]
    Rules(Diagnostics),
    /// The data directory cannot be used.
    #[error("cannot use the data directory {}: {source}", path.display())]
    DataDir {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The data directory has been used, and its database is missing.
    #[error(
        "{}/agent.db is missing or empty, but {traces} beside it shows that an agent has worked here: with an empty database it \
         would send everything that is in the watched folders once more", data_dir.display()
    )]
    MemoryLost {
        /// The data directory.
        data_dir: PathBuf,
        /// What shows it.
        traces: String,
    },
    /// Another agent uses the data directory.
    #[error("another agent{} uses {}", pid.map(|pid| format!(" (process {pid})")).unwrap_or_default(), path.display())]
    Locked {
        /// The data directory.
        path: PathBuf,
        /// The other's process.
        pid: Option<u32>,
    },
    /// The API's address cannot be bound.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Which.
        address: String,
        /// Why.
        source: std::io::Error,
    },
    /// The address for the embedded hub is not available.
    #[error("the embedded hub cannot listen on {address}: {source}")]
    HubListen {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// Listening beyond this machine needs a token.
    #[error("{0} can be reached from other machines, and there is no token")]
    Open(SocketAddr),
    /// An essential part of the agent has ended.
    #[error("{part} ended unexpectedly: {reason}")]
    PartEnded {
        /// What.
        part: &'static str,
        /// Why.
        reason: String,
    },
    /// The store cannot be used.
    #[error("the agent's database cannot be used")]
    Store(#[from] StoreError),
    /// The queue of uploads or of downloads cannot be started.
    #[error("the transfers cannot be started")]
    Queue(#[from] QueueError),
    /// The connection to the cloud cannot be set up.
    #[error(transparent)]
    Cloud(#[from] CloudError),
    /// The embedded hub cannot be started.
    #[error("the embedded hub cannot be started")]
    Hub(#[from] HubError),
}

impl AgentError {
    /// What the user can do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Locked { .. } => {
                Some("stop it with `masv server stop`, or give this one its own --data-dir".to_owned())
            }
            Self::MemoryLost { traces, .. } => Some(format!(
                "put the database, or a copy that `masv server backup` has made, in its place; to begin with an empty one, move \
                 {traces} out of the data directory (the hub's folder can be put back after the first start)"
            )),
            Self::Listen { source, .. } if source.kind() == std::io::ErrorKind::AddrInUse => Some(
                "something else listens there, perhaps another agent: choose another port with --listen, or let the \
                 system choose with --listen http://127.0.0.1:0"
                    .to_owned(),
            ),
            Self::HubListen { source, .. } if source.kind() == std::io::ErrorKind::AddrInUse => Some(
                "something else listens there, perhaps a hub of its own: choose another port in the `hub` section of the \
                 rules file, or with --hub-listen"
                    .to_owned(),
            ),
            Self::HubListen { source, .. } if source.kind() == std::io::ErrorKind::AddrNotAvailable => {
                Some("this machine does not have that address: `ip address` lists those that it has".to_owned())
            }
            Self::HubListen { .. } => Some("ports below 1024 need root: choose one above, such as 8090".to_owned()),
            Self::Descriptors { .. } => Some(
                "raise the limit: LimitNOFILE= in a drop-in for the unit, HardResourceLimits in the property list, or `ulimit -n 65536` before starting"
                    .to_owned(),
            ),
            Self::Open(_) => Some("pass --token-file, or listen on 127.0.0.1 or a unix:// socket".to_owned()),
            Self::PartEnded { .. } => Some(
                "restart the agent: transfers in flight resume where they were. If it happens again, report it with the log"
                    .to_owned(),
            ),
            Self::DataDir { .. } => Some("choose another with --data-dir".to_owned()),
            Self::Rules(_) => Some("`masv rule check FILE` checks without starting anything".to_owned()),
            _ => None,
        }
    }
}
