//! Sends the mails that are due, several at a time.

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::compose::{Letter, Purpose, compose};
use super::transport::{CONNECTIONS, Transport};
use crate::clock::now;
use crate::context::Context;
use crate::jobs::retry::{Failure, Policy};
use crate::jobs::{JobError, LOOK, due};
use crate::records::mails::{self, Mail};
use crate::records::portal_form;

/// How many mails are sent at once: a server that takes a tenth of a second for each then takes hundreds per second.
const AT_ONCE: usize = CONNECTIONS as usize;
/// More are claimed when so few are being sent.
const CLAIM_BELOW: usize = AT_ONCE / 2;
/// A mail is tried for some three days.
const POLICY: Policy = Policy { most_attempts: 40 };

/// Sends mails until `ended`.
pub(in crate::jobs) async fn deliver(context: Arc<Context>, ended: CancellationToken) {
    let transport = match Transport::new(&context.config) {
        Ok(transport) => Arc::new(transport),
        Err(error) => return tracing::error!(%error, "no mail can be sent"),
    };
    loop {
        tokio::select! {
            () = send_due(&context, &transport) => {}
            () = ended.cancelled() => return,
        }
        if !due(&context.mail_due, &ended).await {
            return;
        }
    }
}

/// Sends mails until none is due. If dropped, the mails being sent stay due.
async fn send_due(context: &Arc<Context>, transport: &Arc<Transport>) {
    let mut sending = JoinSet::new();
    let mut more = true;
    loop {
        while more && sending.len() < CLAIM_BELOW {
            let free = u32::try_from(AT_ONCE - sending.len()).unwrap_or(1);
            let claimed = mails::claim(&context.database, free).await.unwrap_or_else(|error| {
                tracing::error!(reason = %JobError::from(error), "cannot look for mails to send");
                Vec::new()
            });
            more = !claimed.is_empty();
            for mail in claimed {
                let (context, transport) = (Arc::clone(context), Arc::clone(transport));
                sending.spawn(async move { send(&context, &transport, mail).await });
            }
        }
        tokio::select! {
            sent = sending.join_next() => if sent.is_none() {
                return;
            },
            () = context.mail_due.notified() => more = true,
            () = tokio::time::sleep(LOOK) => more = true,
        }
    }
}

/// Sends one mail and writes down how that went.
async fn send(context: &Context, transport: &Transport, mail: Mail) {
    let (id, package, attempt) = (mail.id.clone(), mail.package.id.clone(), mail.attempt);
    let marked = match hand_over(context, transport, &mail).await {
        Ok(()) => {
            // Only what a server has accepted counts as sent.
            match transport {
                Transport::Smtp(_) => tracing::info!(mail = id, %package, "mail sent"),
                Transport::Folder(folder) => {
                    let folder = folder.display();
                    tracing::warn!(mail = id, %package, "no mail server: mail written to {folder}");
                }
            }
            mails::sent(&context.database, id).await
        }
        Err(failure) => {
            let Failure { reason, permanent } = &failure;
            tracing::warn!(mail = id, %package, attempts = attempt, permanent, reason, "mail not sent");
            let again = POLICY.next(attempt, &failure, now());
            mails::not_sent(&context.database, id, again, failure.reason).await
        }
    };
    if let Err(error) = marked {
        tracing::error!(reason = %JobError::from(error), "cannot record the outcome of a mail: it may be sent again");
    }
}

async fn hand_over(context: &Context, transport: &Transport, mail: &Mail) -> Result<(), Failure> {
    let Mail { package, recipient, portal, .. } = mail;
    let purpose = match &mail.purpose {
        mails::Purpose::Receipt => Purpose::Receipt,
        mails::Purpose::Copy => Purpose::Copy,
        mails::Purpose::Delivery(link) => Purpose::Delivery {
            link: context.link_address(&context.public_base(), &link.id),
            expires: link.expiry(package),
            has_password: link.required_password(package).is_some(),
        },
    };
    let answers = portal.as_ref().map(|portal| portal_form::answers(&portal.fields, &package.metadata));
    let letter = Letter {
        purpose,
        package,
        recipient,
        portal: portal.as_ref().map(|portal| portal.title().to_owned()),
        fields: answers.unwrap_or_default(),
    };
    let message = compose(&context.config.mail_from, &letter).map_err(Failure::permanent)?;
    transport.send(&mail.id, &message).await
}
