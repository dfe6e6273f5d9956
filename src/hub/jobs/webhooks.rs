//! Makes due webhook calls: each receiver separately, so that one that never responds does not hold up the others.
//!
//! A call leads where [`Destinations`] allows, whatever its name resolves to, and follows no redirect.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use masv_protocol::WebhookId;
use reqwest::Client;
use reqwest::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderName, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::destinations::{Destinations, NotAllowed};
use super::retry::{Failure, Policy};
use super::{JobError, LOOK};
use crate::clock::now;
use crate::context::Context;
use crate::records::webhooks::{self, Call, Webhook};

/// How long the other side may take.
const CALL_LIMIT: Duration = Duration::from_secs(20);
/// How many calls are made to one receiver at once.
const AT_ONCE: u32 = 8;
/// More are claimed when this few are in flight.
const CLAIM_BELOW: usize = 4;
/// A call is tried for some two days.
const POLICY: Policy = Policy { most_attempts: 30 };

/// What the headers begin with that cloud metadata services require before they return credentials.
const METADATA_HEADERS: [&str; 3] = ["x-aws-ec2-metadata", "metadata", "x-google-metadata"];
/// Headers between neighbours, which control routing and framing, and what begins with `proxy-`.
const OF_THE_CONNECTION: [HeaderName; 8] =
    [HOST, CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, UPGRADE, TE, TRAILER, EXPECT];

/// Whether a team may set a header: not those that control routing and framing.
pub(crate) fn may_be_set(header: &HeaderName) -> bool {
    let name = header.as_str();
    !OF_THE_CONNECTION.contains(header)
        && name != "keep-alive"
        && !name.starts_with("proxy-")
        && !METADATA_HEADERS.iter().any(|start| name.starts_with(start))
}

/// Makes calls.
#[derive(Debug, Clone)]
struct Caller {
    client: Client,
    destinations: Destinations,
}

impl Caller {
    fn new(destinations: Destinations) -> reqwest::Result<Self> {
        let client = Client::builder()
            .timeout(CALL_LIMIT)
            .redirect(reqwest::redirect::Policy::none())
            .dns_resolver(destinations.clone())
            .user_agent(concat!("masv-hub/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { client, destinations })
    }
}

/// Calls webhooks until `ended`.
pub(super) async fn deliver(context: Arc<Context>, ended: CancellationToken) {
    let caller = match Caller::new(Destinations::new(&context.config.webhook_networks)) {
        Ok(caller) => caller,
        Err(error) => return tracing::error!(%error, "no webhook can be called"),
    };
    tokio::select! {
        () = serve_receivers(&context, &caller) => {}
        () = ended.cancelled() => {}
    }
}

/// Runs a task for each webhook with due calls. If dropped, the calls in flight stay due.
async fn serve_receivers(context: &Arc<Context>, caller: &Caller) {
    let mut served: HashSet<WebhookId> = HashSet::new();
    let mut tasks: JoinSet<WebhookId> = JoinSet::new();
    loop {
        match webhooks::due(&context.database).await {
            Ok(hooks) => {
                for hook in hooks.into_iter().filter(|hook| served.insert(hook.clone())).collect::<Vec<_>>() {
                    let (context, caller) = (Arc::clone(context), caller.clone());
                    tasks.spawn(async move {
                        if let Err(error) = serve_one(&context, &caller, &hook).await {
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
async fn serve_one(context: &Context, caller: &Caller, id: &WebhookId) -> Result<(), JobError> {
    let mut calling = FuturesUnordered::new();
    loop {
        if calling.len() <= CLAIM_BELOW {
            let free = AT_ONCE.saturating_sub(u32::try_from(calling.len()).unwrap_or(AT_ONCE));
            if let Some((hook, calls)) = webhooks::claim(&context.database, id.clone(), free).await? {
                let hook = Arc::new(hook);
                calling.extend(calls.into_iter().map(|call| make(context, caller, Arc::clone(&hook), call)));
            }
        }
        if calling.next().await.is_none() {
            return Ok(());
        }
    }
}

/// Makes one call and writes down how that went.
async fn make(context: &Context, caller: &Caller, hook: Arc<Webhook>, call: Call) {
    let Call { id, body, attempt } = call;
    let marked = match request(caller, &hook, body).await {
        Ok(()) => webhooks::called(&context.database, id).await,
        Err(failure) => {
            let reason = &failure.reason;
            tracing::warn!(call = id, webhook = %hook.id, attempts = attempt, reason, "webhook not called");
            let again = POLICY.next(attempt, &failure, now());
            webhooks::not_called(&context.database, id, again, failure.reason).await
        }
    };
    if let Err(error) = marked {
        tracing::error!(reason = %JobError::from(error), "cannot record the outcome of a call: it may be repeated");
    }
}

async fn request(caller: &Caller, hook: &Webhook, body: String) -> Result<(), Failure> {
    let url = Url::parse(&hook.url).map_err(Failure::permanent)?;
    // It may have been stored by a version that checked nothing, and the operator may allow it any time.
    caller.destinations.check(&url).map_err(Failure::passing)?;
    let method = reqwest::Method::from_bytes(hook.method.as_str().as_bytes()).map_err(Failure::permanent)?;
    let mut request = caller.client.request(method, url).header("Content-Type", "application/json");
    for (name, value) in &hook.headers {
        if name.parse().is_ok_and(|name| may_be_set(&name)) {
            request = request.header(name, value);
        }
    }
    let answer = request.body(body).send().await.map_err(|error| not_sent(error.without_url()))?;
    if answer.status().is_success() {
        Ok(())
    } else {
        Err(Failure::passing(format!("it responded with {}", answer.status())))
    }
}

/// Why a call could not be made; a forbidden destination is named explicitly, not hidden in the causes.
fn not_sent(error: reqwest::Error) -> Failure {
    let causes = std::iter::successors(std::error::Error::source(&error), |cause| cause.source());
    match causes.filter_map(|cause| cause.downcast_ref::<NotAllowed>()).next() {
        Some(not_allowed) => Failure::passing(not_allowed),
        None => Failure::passing(error),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::config::Network;

    fn hook(url: String, headers: &[(&str, &str)]) -> Webhook {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Webhook { url, headers, ..Webhook::new("team".to_owned().into()).unwrap() }
    }

    /// A team's administrator could have the hub call whatever listens on its own machine.
    #[tokio::test]
    async fn what_only_the_hub_can_reach_is_not_called_by_address_nor_by_name_unless_it_is_allowed() {
        let receiver = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = receiver.local_addr().unwrap().port();
        let careful = Caller::new(Destinations::new(&[])).unwrap();
        for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"] {
            let failure =
                request(&careful, &hook(format!("http://{host}:{port}/"), &[]), "{}".into()).await.unwrap_err();
            assert!(failure.reason.contains("--webhook-networks"), "{host}: {failure:?}");
            assert!(!failure.permanent, "{host}");
        }
        let allowed = Caller::new(Destinations::new(&Network::LOOPBACK)).unwrap();
        let answers = tokio::spawn(async move {
            let (mut connection, _) = receiver.accept().await.unwrap();
            let mut asked = Vec::new();
            while !asked.ends_with(b"{}") {
                assert_ne!(connection.read_buf(&mut asked).await.unwrap(), 0);
            }
            let elsewhere = format!("HTTP/1.1 307 Moved\r\nLocation: http://127.0.0.1:{port}/stop\r\n");
            connection.write_all(format!("{elsewhere}Content-Length: 0\r\n\r\n").as_bytes()).await.unwrap();
            // The first call is the allowed one, and the redirect brings no other: nothing came before and nothing comes now.
            let more = connection.read(&mut [0; 1]).await;
            (String::from_utf8_lossy(&asked).to_lowercase(), more.unwrap_or_default())
        });
        let headers = [("Host", "evil.example.com"), ("X-aws-ec2-metadata-token-ttl-seconds", "60"), ("X-Mine", "yes")];
        let hook = hook(format!("http://localhost:{port}/hook"), &headers);
        let failure = request(&allowed, &hook, "{}".into()).await.unwrap_err();
        assert!(failure.reason.contains("307"), "{failure:?}");
        drop(allowed);
        let (asked, more) = answers.await.unwrap();
        assert!(asked.contains(&format!("host: localhost:{port}\r\n")), "{asked}");
        assert!(asked.contains("x-mine: yes") && !asked.contains("evil") && !asked.contains("ec2"), "{asked}");
        assert_eq!(more, 0);
    }
}
