//! One attempt to deliver a message.

use masv_hub::{TextMail, send_text};
use serde_json::Value;

use super::queue::{Pending, Receiver};
use super::{AlertSettings, Mail, Webhook};
use crate::hooks::{Verdict, Webhooks};
use crate::store::Telling;

/// Sends to the receivers of these settings.
pub(super) struct Sender {
    webhook: Option<(Webhook, Result<Webhooks, String>)>,
    mail: Option<Mail>,
}

impl Sender {
    pub(super) fn new(settings: &AlertSettings) -> Self {
        let client = || Webhooks::new().map_err(|error| format!("HTTP cannot be set up: {error}"));
        let webhook = settings.webhook.clone().map(|webhook| (webhook, client()));
        Self { webhook, mail: settings.mail.clone() }
    }

    /// Delivers it once; otherwise whether to try again, and why it failed.
    pub(super) async fn send(&self, pending: &Pending) -> Result<(), (Verdict, String)> {
        let gone = || (Verdict::Never, "it is no longer in the settings".to_owned());
        match pending.receiver {
            Receiver::Webhook => {
                let (webhook, client) = self.webhook.as_ref().ok_or_else(gone)?;
                let client = client.as_ref().map_err(|reason| (Verdict::Later, reason.clone()))?;
                client.post(&webhook.url, webhook.secret.as_ref(), &telling(pending)).await
            }
            Receiver::Mail => {
                let mail = self.mail.as_ref().ok_or_else(gone)?;
                let said = |field: &str| pending.message[field].as_str().unwrap_or_default();
                let text = TextMail {
                    id: &pending.delivery,
                    from: &mail.from,
                    to: &mail.to,
                    subject: said("subject"),
                    text: said("text"),
                };
                send_text(&mail.server, &text).await.map_err(|refusal| {
                    (if refusal.permanent { Verdict::Never } else { Verdict::Later }, refusal.reason)
                })
            }
        }
    }
}

/// The message in the form in which webhooks of rules are sent, too.
fn telling(pending: &Pending) -> Telling {
    let mut message = pending.message.clone();
    message["delivery"] = Value::from(pending.delivery.as_str());
    Telling {
        delivery: pending.delivery.clone(),
        rule: String::new(),
        target: String::new(),
        event: message["event"].as_str().unwrap_or_default().to_owned(),
        message,
    }
}
