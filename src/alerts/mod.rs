//! Tells operators what is wrong with this agent, by mail and by webhook, for those who have no monitoring.
//!
//! **In**: what is wrong now, as the doctor sees it; who is to be told. **Out**: mails, signed POSTs.
//!
//! **Guarantees.** What stays wrong for the configured time is told once to each receiver, and once more when it is over; what passes before
//! that is not told. A receiver that is down is told later, for up to three days, and does not hold up the other. A message carries the same
//! delivery id however often it is tried.
//!
//! **On a crash** what is wrong, what was told and what still has to be are read from the database. Where that cannot be written (a full disk is one of
//! the things that are told), they are kept in memory, and a message may come twice after a restart.
//!
//! Must never know: how anything is checked, sent or received.

mod message;
mod queue;
mod send;
mod state;

use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use masv_hub::SmtpConfig;
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;
use url::Url;

use self::message::message;
use self::queue::Receiver;
use self::send::Sender;
use self::state::Kept;
use crate::store::Store;

/// The longest time between two looks.
const LONGEST_LOOK: Duration = Duration::from_secs(30);
/// The shortest.
const SHORTEST_LOOK: Duration = Duration::from_secs(1);

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What: `disk`, `cloud`, `uploads of dailies`. It identifies the trouble from one look to the next.
    pub name: String,
    /// What was found.
    pub finding: String,
    /// What to do about it.
    pub todo: Option<String>,
}

/// Looks at the agent: everything that is wrong now.
pub type Look = Box<dyn Fn() -> BoxFuture<'static, Vec<Trouble>> + Send + Sync>;

/// Who is told, and of what.
#[derive(Debug, Clone)]
pub struct AlertSettings {
    /// A receiver of POSTs.
    pub webhook: Option<Webhook>,
    /// Receivers of mails.
    pub mail: Option<Mail>,
    /// How long something has to be wrong.
    pub after: Duration,
}

/// A receiver of POSTs.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// Its address.
    pub url: Url,
    /// Signs the messages.
    pub secret: Option<SecretString>,
}

/// Receivers of mails.
#[derive(Debug, Clone)]
pub struct Mail {
    /// The mail server.
    pub server: SmtpConfig,
    /// Whom mails are from.
    pub from: String,
    /// Their addresses.
    pub to: Vec<String>,
}

impl AlertSettings {
    fn receivers(&self) -> impl Iterator<Item = Receiver> {
        let webhook = self.webhook.as_ref().map(|_| Receiver::Webhook);
        webhook.into_iter().chain(self.mail.as_ref().map(|_| Receiver::Mail))
    }
}

/// Looks, and tells, until `stop`. `host` is how this machine is called in the messages.
pub async fn run(settings: AlertSettings, look: Look, host: String, store: Store, stop: CancellationToken) {
    let mut kept: Kept = store.kept().await.ok().flatten().unwrap_or_default();
    let mut written = kept.clone();
    let sender = Sender::new(&settings);
    let every = (settings.after / 4).clamp(SHORTEST_LOOK, LONGEST_LOOK);
    loop {
        let troubles = look().await;
        let now = Timestamp::now();
        let change = kept.observe(now, settings.after, troubles);
        if !change.is_empty() {
            for trouble in &change.raised {
                tracing::warn!(what = trouble.name, finding = trouble.finding, "alert");
            }
            let message = message(now, &host, &change);
            for receiver in settings.receivers() {
                kept.queue.add(receiver, now, message.clone());
            }
        }
        for due in kept.queue.due(now) {
            let outcome = tokio::select! {
                () = stop.cancelled() => return,
                outcome = sender.send(&due) => outcome,
            };
            kept.queue.ended(&due, Timestamp::now(), outcome, fastrand::f64());
        }
        if kept != written {
            match store.keep(&kept).await {
                Ok(()) => written.clone_from(&kept),
                Err(error) => {
                    tracing::debug!(error = &error as &dyn std::error::Error, "alerts are kept in memory only");
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(every) => {}
        }
    }
}
