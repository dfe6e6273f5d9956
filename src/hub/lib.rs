//! The self-hosted server of the protocol that the agent speaks: packages arrive in parts, their recipients get
//! links, anybody may send to a portal.
//!
//! **In**: HTTP. **Out**: HTTP, mail, webhooks; all state is in one data directory: `hub.db`, `secret.key`,
//! `storage/` and, if no mail server is configured, `outbox/`. If a bucket is configured, it stores the files.
//!
//! **Guarantees.** What was acknowledged is on disk. A part is stored completely and with the MD5 it was acknowledged
//! with, or not at all. Finalizing twice is the same as once. Mails and webhook calls that finalizing causes are
//! written down with it and tried until they succeed or are abandoned with a reason.
//!
//! **On a crash** the database is in the state of its last commit; parts that are in no row are swept up later; senders resume
//! after the last acknowledged part.
//!
//! **Layers**, from the bottom: `storage` stores bytes and knows no other layer; `keys` creates and checks secrets and knows no other layer;
//! `records` are the typed rows, all SQL and all transactions, and know neither HTTP, storage nor jobs; `jobs` do what is due
//! (mail, webhook calls, removal) and know records and storage; `http` speaks the protocol, `operator` is for those who run
//! the hub, and these two know all the others. There are also small files that any layer may use: configuration
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

pub use crate::config::{
    HubConfig, Limits, Network, Provision, ProvisionPortal, Provisioned, SharedDatabase, SmtpConfig, TlsConfig,
};
pub use crate::error::HubError;
pub use crate::http::serve::Listeners;
pub use crate::jobs::check::{CheckAsked, CheckReport, Fault, FaultKind, Repair, UnknownContent};
pub use crate::jobs::findings::Finding;
pub use crate::jobs::mail::{MailRefusal, TextMail, send_text, try_mail_server};
pub use crate::operator::backup::{back_up, restore};
pub use crate::operator::care::Survey;
pub use crate::operator::migrate::{Migration, Moved, migrate, stay};
pub use crate::operator::secret_keys::SecretKeys;
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

/// Whether the hub in this folder has a database of this version, so that opening it upgrades nothing.
#[must_use]
pub fn is_current(folder: &std::path::Path) -> bool {
    context::is_current(folder)
}

impl Hub {
    /// Opens the hub's data, or creates it: the directory is closed to others.
    ///
    /// # Errors
    /// [`HubError::Data`] and [`HubError::Database`] with the file that cannot be used.
    pub async fn open(config: HubConfig) -> Result<Self, HubError> {
        jobs::mail::check(&config)?;
        let context = Context::open(config, http::serve::lock).await?;
        Ok(Self { context: Arc::new(context), server: Arc::default() })
    }

    /// Reloads the certificate and its key; if it cannot be used, the previous one stays in use, and the reason is in
    /// the log.
    pub async fn reload_certificate(&self) {
        self.server.reload_certificate().await;
    }

    /// Resolves once [`Hub::serve`] accepts connections.
    pub async fn serving(&self) {
        self.server.serving().await;
    }

    /// Whether it takes no changes, because it is being moved, or was.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.context.database.is_read_only()
    }

    fn database(&self) -> &masv_db::Database {
        &self.context.database
    }

    /// The status in one line, for the service manager.
    pub fn status(&self) -> String {
        format!("{} connections, reached at {}", self.server.connection_count(), self.context.public_base())
    }
}
