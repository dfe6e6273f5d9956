//! Incoming connections: each takes a place, and ends when its peer does not read, or when it has to make room for another.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use axum_server::accept::Accept;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::WaitForCancellationFutureOwned;
use tower::Service;

use super::guarded::Guarded;
use super::slots::{Slot, Slots, Taken, host};
use crate::network::Network;

/// How long the peer may take to read [`LEAST_READ`] of what is sent to it.
const WRITE_STALL: Duration = Duration::from_secs(120);
/// Bytes that it reads in that time.
const LEAST_READ: usize = 32 << 10;

/// Accepts connections as places become available.
#[derive(Debug, Clone)]
pub(crate) struct Limited {
    slots: Arc<Slots>,
    /// These speak for many: what they forward is counted by itself, see [`super::requests`].
    proxies: Arc<[Network]>,
}

impl Limited {
    /// So many connections, and so many of them of one address that is not one of `proxies`.
    pub(crate) fn new(most: usize, most_of_one: usize, proxies: &[Network]) -> Self {
        Self { slots: Arc::new(Slots::new(most, most_of_one)), proxies: proxies.into() }
    }
}

impl<S: Send + 'static> Accept<TcpStream, S> for Limited {
    type Stream = Connection;
    type Service = Counted<S>;
    type Future = Pin<Box<dyn Future<Output = io::Result<(Connection, Counted<S>)>> + Send>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let Self { slots, proxies } = self.clone();
        Box::pin(async move {
            let peer = stream.peer_addr()?.ip().to_canonical();
            let is_proxy = proxies.iter().any(|network| network.contains(peer));
            let taken = slots.take((!is_proxy).then(|| host(peer))).await;
            let taken = taken.ok_or_else(|| io::Error::other("too many connections are waiting"))?;
            stream.set_nodelay(true)?;
            let slot = Arc::clone(&taken.slot);
            let ended = Box::pin(slot.ended.clone().cancelled_owned());
            Ok((Connection { stream, stalled: None, ended, _place: taken }, Counted { service, slot }))
        })
    }
}

/// The service of a connection, which reports when it has a request.
#[derive(Debug, Clone)]
pub(crate) struct Counted<S> {
    service: S,
    slot: Arc<Slot>,
}

impl<R, S> Service<R> for Counted<S>
where
    S: Service<R, Response = Response>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let (answering, running) = (self.service.call(request), self.slot.begin());
        Box::pin(async move { Ok(answering.await?.map(|body| Body::new(Guarded::new(body, running)))) })
    }
}

/// Runs from the first write that had to wait until enough has been read since.
struct Stalled {
    until: Pin<Box<Sleep>>,
    read: usize,
}

/// A connection that holds a place for its lifetime.
pub(crate) struct Connection {
    stream: TcpStream,
    stalled: Option<Stalled>,
    ended: Pin<Box<WaitForCancellationFutureOwned>>,
    _place: Taken,
}

impl Connection {
    fn watch(&mut self, context: &mut Context<'_>, outcome: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(outcome) = outcome {
            if let (Some(stalled), Ok(written)) = (&mut self.stalled, &outcome) {
                stalled.read += written;
                if stalled.read >= LEAST_READ {
                    self.stalled = None;
                }
            }
            return Poll::Ready(outcome);
        }
        let begin = || Stalled { until: Box::pin(sleep_until(Instant::now() + WRITE_STALL)), read: 0 };
        let stalled = self.stalled.get_or_insert_with(begin);
        stalled.until.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ended.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let outcome = Pin::new(&mut self.stream).poll_read(context, buffer);
        if outcome.is_ready() {
            // Another request: what was written before was read.
            self.stalled = None;
        }
        outcome
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watch(context, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
