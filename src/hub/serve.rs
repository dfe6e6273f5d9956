//! Listening: connections with limits on how long a request head may take, a graceful end.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioTimer;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::error::HubError;
use super::{Hub, mail, routes};

/// A request head that takes longer ends its connection; so does silence between requests.
const HEAD_LIMIT: Duration = Duration::from_secs(30);
/// How long running requests may take to end when the hub stops.
const GRACE: Duration = Duration::from_secs(10);

/// What the routes work with.
pub(super) struct App {
    pub hub: Hub,
    /// The address that clients and recipients use, without a slash at the end.
    pub public_url: String,
}

pub(super) async fn serve(hub: &Hub, listener: TcpListener, shutdown: CancellationToken) -> Result<(), HubError> {
    listener.set_nonblocking(true).map_err(HubError::Listen)?;
    let address = listener.local_addr().map_err(HubError::Listen)?;
    let own = format!("http://{address}");
    let public_url = hub.inner.public_url.as_ref().map_or(own, Url::to_string).trim_end_matches('/').to_owned();
    let app = Arc::new(App { hub: hub.clone(), public_url });

    let mails = tokio::spawn(mail::send_all(hub.clone(), shutdown.clone()));
    let handle = axum_server::Handle::new();
    let mut server = axum_server::from_tcp(listener).map_err(HubError::Listen)?.handle(handle.clone());
    server.http_builder().http1().timer(TokioTimer::new()).header_read_timeout(HEAD_LIMIT);
    let stopper = tokio::spawn(async move {
        shutdown.cancelled().await;
        handle.graceful_shutdown(Some(GRACE));
    });
    let served = server.serve(routes::router(app).into_make_service()).await.map_err(HubError::Listen);
    stopper.abort();
    mails.abort();
    served
}
