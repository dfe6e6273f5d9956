//! Listening on TCP or on a Unix socket, until the agent stops.

use std::net::TcpListener;
use std::time::Duration;

use axum::Router;
use axum::middleware::AddExtension;
use axum_server::accept::Accept;
use axum_server::{Address, Handle, Server};
use hyper_util::rt::TokioTimer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use super::guard::{Access, Caller, Identify};
use super::{ApiState, routes};
use masv_platform::{AcceptTrouble, LocalListener};

/// How long a request head may take before its connection is closed.
const HEAD_LIMIT: Duration = Duration::from_secs(30);
/// How long running calls get to finish.
const GRACE: Duration = Duration::from_secs(3);

/// A bound listener.
#[derive(Debug)]
pub enum ApiListener {
    /// An IP address and port.
    Tcp(TcpListener),
    /// A path in the file system.
    Unix(LocalListener),
}

/// Serves the API until `stop`, then lets running calls end.
///
/// # Errors
/// If the listener cannot be used, or breaks.
pub async fn serve(
    listener: ApiListener,
    state: ApiState,
    access: Access,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let router = routes::router(state, access, &stop);
    match listener {
        ApiListener::Tcp(listener) => {
            listener.set_nonblocking(true)?;
            run(axum_server::from_tcp(listener)?, router, stop).await
        }
        ApiListener::Unix(listener) => {
            listener.set_nonblocking(true)?;
            run(axum_server::from_unix(listener)?, router, stop).await
        }
    }
}

async fn run<A>(server: Server<A>, router: Router, stop: CancellationToken) -> std::io::Result<()>
where
    A: Address + Send + Sync + 'static,
    A::Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    Identify: Accept<A::Stream, Router, Stream = A::Stream, Service = AddExtension<Router, Caller>>,
    <Identify as Accept<A::Stream, Router>>::Future: Send,
{
    let handle = Handle::new();
    let trouble = AcceptTrouble::default();
    // HTTP/2 has no bound for connections on which nothing is asked.
    let mut server = server.http1_only().acceptor(Identify::default()).handle(handle.clone()).accept_error_handler({
        let (trouble, handle) = (trouble.clone(), handle.clone());
        move |remote, error| {
            // An error of a single connection is ignored.
            if remote.is_none() && trouble.note(error) {
                handle.shutdown();
            }
        }
    });
    server.http_builder().http1().timer(TokioTimer::new()).header_read_timeout(HEAD_LIMIT);
    let stopper = tokio::spawn(async move {
        stop.cancelled().await;
        handle.graceful_shutdown(Some(GRACE));
    });
    let served = server.serve(router.into_make_service()).await;
    stopper.abort();
    trouble.outcome(served)
}
