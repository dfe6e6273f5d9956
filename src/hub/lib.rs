//! The self-hosted server of the protocol that the agent speaks: packages arrive in parts, their recipients get
//! links, anybody may send to a portal.
//!
//! **In**: HTTP. **Out**: HTTP, mail, webhooks; everything kept is in one data directory: `hub.db`, `secret.key`,
//! `storage/` and, where no mail server is set, `outbox/`. Where a bucket is set, it takes the files.
//!
//! **Guarantees.** What was answered with success is on disk. A part is stored whole and with the MD5 it was answered
//! with, or not at all. Finalizing twice is the same as once. Mails and webhook calls that finalizing causes are
//! written down with it and tried until they succeed or are given up with a reason.
//!
//! **On a crash** the database is what its last commit left; parts that no row knows are swept up later; senders go on
//! where they were answered last.
//!
//! **Layers**, from the bottom: `storage` keeps bytes and knows nobody; `keys` makes and checks secrets and knows nobody;
//! `records` are the typed rows, all SQL and all transactions, and know neither HTTP, storage nor jobs; `jobs` do what is due
//! (mail, webhook calls, removal) and know records and storage; `http` speaks the protocol, `operator` is for whoever runs
//! the hub, and these two know all the others. Beside them are small files that any layer may use: what the operator decides
//! (`config`), words (`stored`, `format`, `network`), the clock. `tests/layers.rs` keeps the order.
//!
//! Must never know: the agent, its rules, its store. The two meet on the wire only.

mod clock;
mod config;
mod context;
mod error;
mod format;
mod http;
mod jobs;
mod keys;
mod network;
mod operator;
mod records;
mod storage;
mod stored;

use std::sync::Arc;

pub use masv_protocol::MemberRole as Role;

pub use crate::config::{HubConfig, Limits, Network, Provision, ProvisionPortal, Provisioned, SmtpConfig, TlsConfig};
pub use crate::error::HubError;
pub use crate::http::serve::Listeners;
pub use crate::jobs::check::{CheckAsked, CheckReport, Fault, FaultKind, Repair, UnknownContent};
pub use crate::jobs::findings::Finding;
pub use crate::jobs::mail::try_mail_server;
pub use crate::operator::backup::{back_up, restore};
pub use crate::operator::care::Survey;
pub use crate::operator::trash::{Trash, TrashedPackage, TrashedParts};
pub use crate::storage::{S3Config, S3ConfigError, S3Credentials};

use crate::context::Context;
use crate::http::server::Server;

/// A hub; clones share it.
#[derive(Clone)]
pub struct Hub {
    context: Arc<Context>,
    server: Arc<Server>,
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Hub").field("data_dir", &self.context.config.data_dir).finish()
    }
}

impl Hub {
    /// Opens the hub's data, or makes it: the directory is closed to others.
    ///
    /// # Errors
    /// [`HubError::Data`] and [`HubError::Database`] with the file that can not be used.
    pub async fn open(config: HubConfig) -> Result<Self, HubError> {
        jobs::mail::check(&config)?;
        let context = Context::open(config, http::serve::lock).await?;
        Ok(Self { context: Arc::new(context), server: Arc::default() })
    }

    /// Reads the certificate and its key again; a certificate that can not be used leaves the one there was, and is told of in
    /// the log.
    pub async fn reload_certificate(&self) {
        self.server.reload_certificate().await;
    }

    /// Resolves once [`Hub::serve`] takes connections.
    pub async fn serving(&self) {
        self.server.serving().await;
    }

    fn database(&self) -> &masv_db::Database {
        &self.context.database
    }

    /// How it goes, in a line for whoever looks after the service.
    pub fn status(&self) -> String {
        format!("{} connections, reached at {}", self.server.connection_count(), self.context.public_base())
    }
}
