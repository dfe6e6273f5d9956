//! Calls webhooks that are owed a call: each receiver by itself, so that one that never answers holds up no other.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use masv_protocol::WebhookId;
use reqwest::Client;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::retry::{Failure, Policy};
use super::{JobError, LOOK};
use crate::clock::now;
use crate::context::Context;
use crate::records::webhooks::{self, Call, Webhook};

/// How long the other side may take.
const CALL_LIMIT: Duration = Duration::from_secs(20);
/// Calls that are made to one receiver at a time.
const AT_ONCE: u32 = 8;
/// More are claimed when so few are being made.
const CLAIM_BELOW: usize = 4;
/// A call is tried for some two days.
const POLICY: Policy = Policy { most_attempts: 30 };

/// Calls webhooks until `ended`.
pub(super) async fn deliver(context: Arc<Context>, ended: CancellationToken) {
    let client = Client::builder()
        .timeout(CALL_LIMIT)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("masv-hub/", env!("CARGO_PKG_VERSION")))
        .build();
    let client = match client {
        Ok(client) => client,
        Err(error) => return tracing::error!(%error, "no webhook can be called"),
    };
    tokio::select! {
        () = serve_receivers(&context, &client) => {}
        () = ended.cancelled() => {}
    }
}

/// Keeps a task for each webhook that is owed a call. Dropped, it gives up the calls that are being made: they are still owed.
async fn serve_receivers(context: &Arc<Context>, client: &Client) {
    let mut served: HashSet<WebhookId> = HashSet::new();
    let mut tasks: JoinSet<WebhookId> = JoinSet::new();
    loop {
        match webhooks::due(&context.database).await {
            Ok(hooks) => {
                for hook in hooks.into_iter().filter(|hook| served.insert(hook.clone())).collect::<Vec<_>>() {
                    let (context, client) = (Arc::clone(context), client.clone());
                    tasks.spawn(async move {
                        if let Err(error) = serve_one(&context, &client, &hook).await {
                            tracing::error!(webhook = %hook, reason = %error, "cannot look for calls of a webhook");
                        }
                        hook
                    });
                }
            }
            Err(error) => tracing::error!(reason = %JobError::from(error), "cannot look for webhooks to call"),
        }
        tokio::select! {
            () = context.call_due.notified() => {}
            () = tokio::time::sleep(LOOK) => {}
            Some(ended) = tasks.join_next() => {
                // A task that ended by a bug of ours is not served again before the next start.
                if let Ok(hook) = ended {
                    served.remove(&hook);
                }
            }
        }
    }
}

/// Makes the calls that a webhook is owed until none is due.
async fn serve_one(context: &Context, client: &Client, id: &WebhookId) -> Result<(), JobError> {
    let mut calling = FuturesUnordered::new();
    loop {
        if calling.len() <= CLAIM_BELOW {
            let free = AT_ONCE.saturating_sub(u32::try_from(calling.len()).unwrap_or(AT_ONCE));
            if let Some((hook, calls)) = webhooks::claim(&context.database, id.clone(), free).await? {
                let hook = Arc::new(hook);
                calling.extend(calls.into_iter().map(|call| make(context, client, Arc::clone(&hook), call)));
            }
        }
        if calling.next().await.is_none() {
            return Ok(());
        }
    }
}

/// Makes one call and writes down how that went.
async fn make(context: &Context, client: &Client, hook: Arc<Webhook>, call: Call) {
    let Call { id, body, attempt } = call;
    let marked = match request(client, &hook, body).await {
        Ok(()) => webhooks::called(&context.database, id).await,
        Err(failure) => {
            let reason = &failure.reason;
            tracing::warn!(call = id, webhook = %hook.id, attempts = attempt, reason, "webhook not called");
            let again = POLICY.next(attempt, &failure, now());
            webhooks::not_called(&context.database, id, again, failure.reason).await
        }
    };
    if let Err(error) = marked {
        tracing::error!(reason = %JobError::from(error), "cannot note what became of a call: it may be made again");
    }
}

async fn request(client: &Client, hook: &Webhook, body: String) -> Result<(), Failure> {
    let method = reqwest::Method::from_bytes(hook.method.as_str().as_bytes()).map_err(Failure::permanent)?;
    let mut request = client.request(method, &hook.url).header("Content-Type", "application/json");
    for (name, value) in &hook.headers {
        request = request.header(name, value);
    }
    let answer = request.body(body).send().await.map_err(|error| Failure::passing(error.without_url()))?;
    if answer.status().is_success() {
        Ok(())
    } else {
        Err(Failure::passing(format!("it answered {}", answer.status())))
    }
}
