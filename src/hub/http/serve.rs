//! Listening: connections with limits, the tasks beside them, and an orderly end.

use std::fs::TryLockError;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Extension;
use axum_server::{Handle, Server};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio_util::sync::CancellationToken;

use super::access::FromHere;
use super::bucket_files;
use super::certificate::Certificate;
use super::connections::Limited;
use super::routes;
use crate::context::BASE_FILE;
use crate::error::HubError;
use crate::records::moments::{self, Moment};
use crate::{Hub, jobs};
use masv_platform::{AcceptTrouble, private_file};

/// Bytes of a connection that are buffered, and the longest head: it bounds what unfinished heads
/// take.
const CONNECTION_BUFFER: usize = 64 << 10;
/// How long the previous server may take to release its data.
const HANDOVER: Duration = Duration::from_secs(3);

/// The lock of the process that serves a data directory; `None` if another process has it and does not release it in time.
pub(crate) fn lock(data_dir: &Path) -> Result<Option<std::fs::File>, HubError> {
    let path = data_dir.join("lock");
    let failed = |source| HubError::Data { path: path.clone(), source };
    let file = private_file().truncate(false).open(&path).map_err(failed)?;
    let deadline = Instant::now() + HANDOVER;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(50)),
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
    }
}

/// Where a hub listens.
#[derive(Debug)]
pub struct Listeners {
    /// For everyone: with TLS if the hub has a certificate.
    pub public: TcpListener,
    /// For the process that the hub is a part of, on this machine: plain HTTP, and addresses of the storage lead back here instead
    /// of to the public address. Absent where that process has no use for it.
    pub here: Option<TcpListener>,
}

impl Listeners {
    /// One for everybody.
    #[must_use]
    pub fn one(public: TcpListener) -> Self {
        Self { public, here: None }
    }

    /// The same sockets once more.
    ///
    /// # Errors
    /// When the system has no more descriptors.
    pub fn try_clone(&self) -> io::Result<Self> {
        let here = self.here.as_ref().map(TcpListener::try_clone).transpose()?;
        Ok(Self { public: self.public.try_clone()?, here })
    }
}

impl Hub {
    /// Serves on one listener: see [`Hub::serve_all`].
    ///
    /// # Errors
    /// Those of [`Hub::serve_all`].
    pub async fn serve(&self, listener: TcpListener, shutdown: CancellationToken) -> Result<(), HubError> {
        self.serve_all(Listeners::one(listener), shutdown).await
    }

    /// Serves on all listeners until `shutdown`, alone over its data. Then it takes no more connections and gives its data free at once,
    /// so that the next process can serve while the requests running here finish, within the configured grace period.
    ///
    /// # Errors
    /// [`HubError::Served`] if another server is using the same data, [`HubError::Invalid`] if the hub is being moved since it was opened, [`HubError::Serve`] if it cannot listen, [`HubError::Tls`] if the certificate cannot be used.
    pub async fn serve_all(&self, listeners: Listeners, shutdown: CancellationToken) -> Result<(), HubError> {
        let Listeners { public: listener, here } = listeners;
        let only_one = self.lock().await?;
        // Whoever waited for the lock of a move has opened its database before that closed it.
        if !self.is_read_only() && moments::get(self.database(), Moment::Moving).await?.is_some() {
            let why = "the hub has begun to be moved while it was starting: start it again, and it only reads";
            return Err(HubError::Invalid(why.to_owned()));
        }
        bucket_files::check_bucket(self).await?;
        let address = listener.local_addr().map_err(HubError::Serve)?;
        self.context.listens_on(self.own_base(address));
        self.write_base().await?;
        let certificate = self.certificate().await?;
        let ended = shutdown.child_token();
        let _end_tasks = ended.clone().drop_guard();
        // Whoever only reads has nothing to do beside.
        let mut tasks = match self.is_read_only() {
            true => Vec::new(),
            false => jobs::start(&self.context, &ended).await?,
        };
        if let Some(certificate) = certificate.clone() {
            let ended = ended.clone();
            tasks.push(tokio::spawn(async move { certificate.keep(ended).await }));
        }
        let handle = Handle::new();
        let stopped = shutdown.clone();
        let stopper = tokio::spawn({
            let (handle, grace) = (handle.clone(), self.context.config.grace);
            async move {
                shutdown.cancelled().await;
                handle.graceful_shutdown(Some(grace));
                for task in tasks {
                    if let Err(error) = task.await {
                        tracing::error!(%error, "a task of the hub failed");
                    }
                }
                // What is still running here only writes parts; the next server does not sweep up parts that young.
                drop(only_one);
                tracing::info!(connections = handle.connection_count(), "hub accepts no more requests");
            }
        });
        tracing::info!(%address, public = self.context.public_base(), "hub is listening");
        // The listener queues connections until the loop below accepts them.
        self.server.started(handle.clone());
        let config = &self.context.config;
        let trouble = AcceptTrouble::default();
        let server = self.server_on(listener, &handle, &trouble)?;
        let router = routes::router(self.clone());
        let limited = Limited::new(config.max_connections, config.max_connections_per_address, &config.trusted_proxies);
        // Both listeners share the places.
        let limited = || limited.clone();
        let beside = here.map(|here| {
            let service = router.clone().layer(Extension(FromHere)).into_make_service_with_connect_info::<SocketAddr>();
            let server = self.server_on(here, &handle, &trouble)?.acceptor(limited());
            Ok::<_, HubError>(async move { server.serve(service).await })
        });
        let beside = beside.transpose()?;
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        let public = async {
            match certificate {
                None => server.acceptor(limited()).serve(service).await,
                Some(certificate) => {
                    let tls = axum_server::tls_rustls::RustlsAcceptor::new(certificate.current());
                    server.acceptor(tls.acceptor(limited())).serve(service).await
                }
            }
        };
        let served = match beside {
            None => public.await,
            Some(beside) => tokio::try_join!(public, beside).map(drop),
        };
        ended.cancel();
        self.server.delivery_notes.close();
        self.server.delivery_notes.wait().await;
        if served.is_ok() && stopped.is_cancelled() {
            stopper.await.map_err(|error| HubError::Serve(io::Error::other(error)))?;
        } else {
            stopper.abort();
        }
        trouble.outcome(served).map_err(HubError::Serve)
    }

    /// A server on one listener, which ends with the others.
    fn server_on(
        &self,
        listener: TcpListener,
        handle: &Handle<SocketAddr>,
        trouble: &AcceptTrouble,
    ) -> Result<Server<SocketAddr>, HubError> {
        let (trouble, ending) = (trouble.clone(), handle.clone());
        let server = axum_server::from_tcp(listener).map_err(HubError::Serve)?.handle(handle.clone());
        let mut server = server.accept_error_handler(move |remote, error| {
            // An error of a single connection is ignored.
            if remote.is_none() && trouble.note(error) {
                ending.shutdown();
            }
        });
        // HTTP/1.1 alone: large bodies gain nothing from sharing a connection, and its limits cover every request.
        *server.http_builder() = Builder::new(TokioExecutor::new()).http1_only();
        let mut http1 = server.http_builder().http1();
        http1
            .timer(TokioTimer::new())
            .header_read_timeout(self.context.config.head_limit)
            .max_buf_size(CONNECTION_BUFFER);
        Ok(server)
    }

    /// For `masv hub link` and similar commands, which may run while the hub is not served.
    async fn write_base(&self) -> Result<(), HubError> {
        let path = self.context.config.data_dir.join(BASE_FILE);
        let (target, base) = (path.clone(), self.context.public_base());
        let writing =
            tokio::task::spawn_blocking(move || private_file().truncate(true).open(target)?.write_all(base.as_bytes()));
        let written = writing.await.map_err(|error| HubError::Serve(io::Error::other(error)))?;
        written.map_err(|source| HubError::Data { path, source })
    }

    /// Two servers over the same data would sweep up each other's parts.
    async fn lock(&self) -> Result<std::fs::File, HubError> {
        let folder = self.context.config.data_dir.clone();
        let locking = tokio::task::spawn_blocking(move || {
            lock(&folder)?.ok_or_else(|| HubError::Served { data_dir: folder.clone() })
        });
        locking.await.map_err(|error| HubError::Serve(io::Error::other(error)))?
    }

    fn own_base(&self, mut address: SocketAddr) -> String {
        if address.ip().is_unspecified() {
            address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
        }
        let scheme = if self.context.config.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{address}")
    }

    async fn certificate(&self) -> Result<Option<Arc<Certificate>>, HubError> {
        let Some(files) = &self.context.config.tls else { return Ok(None) };
        let opened = Certificate::open(files.clone()).await.map(Arc::new);
        let opened = opened.map_err(|source| HubError::Tls { path: files.certificate.clone(), source })?;
        self.server.uses(Arc::clone(&opened));
        Ok(Some(opened))
    }
}
