//! A long link in user space: a TCP proxy with a delay, a rate, a window per connection, and loss.
//!
//! **In**: where it leads, and the conditions. **Out**: an address at which the same service is reached under these conditions.
//!
//! Bytes are read from one side, wait for their turn at the rate that all connections share, and are written to the other side
//! one delay later. A connection has at most a window of bytes on its way, so one alone carries a window a round trip, as TCP
//! does. The first byte of a connection comes a round trip late, as after a handshake. Loss is what a proxy can
//! show of it: a connection is reset.
//!
//! It needs no privileges. Timers are precise to about a millisecond, so round trips of a few are longer than asked for.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// Bytes that are carried at once.
const CHUNK: usize = 32 << 10;

/// What a link is like.
#[derive(Debug, Clone, Copy)]
pub struct Conditions {
    /// There and back.
    pub round_trip: Duration,
    /// Bytes a second, each way, over all connections.
    pub rate: u64,
    /// Bytes that a connection may have on their way, there and back.
    pub window: usize,
    /// How likely each mebibyte that leaves is to end its connection with a reset, from 0 to 1.
    pub resets: f64,
}

/// What came through.
#[derive(Debug, Default)]
pub struct Seen {
    /// Connections that were made.
    pub connections: AtomicUsize,
    /// Connections that were reset.
    pub resets: AtomicUsize,
}

/// A link that carries until it is dropped.
pub struct LongLink {
    /// Where its near end listens.
    pub address: SocketAddr,
    /// What came through so far.
    pub seen: Arc<Seen>,
    task: AbortHandle,
}

impl Drop for LongLink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl LongLink {
    /// A link to `far`.
    pub async fn start(far: SocketAddr, conditions: Conditions) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, seen) = (listener.local_addr()?, Arc::new(Seen::default()));
        let rates = [Arc::new(Rate::new(conditions.rate)), Arc::new(Rate::new(conditions.rate))];
        let counted = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            // Its connections end with it.
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                counted.connections.fetch_add(1, Ordering::Relaxed);
                connections.spawn(connect(near, far, conditions, rates.clone(), Arc::clone(&counted)));
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { address, seen, task: task.abort_handle() })
    }
}

/// A rate that connections share.
struct Rate {
    bytes_a_second: f64,
    /// When the next byte may leave.
    free: Mutex<Option<Instant>>,
}

impl Rate {
    fn new(bytes_a_second: u64) -> Self {
        Self { bytes_a_second: bytes_a_second.max(1) as f64, free: Mutex::new(None) }
    }

    /// When these bytes, that come now, have left.
    fn take(&self, bytes: usize) -> Instant {
        let now = Instant::now();
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let begins = free.map_or(now, |free| free.max(now));
        let left = begins + Duration::from_secs_f64(bytes as f64 / self.bytes_a_second);
        *free = Some(left);
        left
    }
}

async fn connect(near: TcpStream, far: SocketAddr, conditions: Conditions, rates: [Arc<Rate>; 2], seen: Arc<Seen>) {
    tokio::time::sleep(conditions.round_trip).await;
    let Ok(far) = TcpStream::connect(far).await else {
        let _ = near.set_zero_linger();
        return;
    };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let (near_in, near_out) = near.into_split();
    let (far_in, far_out) = far.into_split();
    let [up, down] = rates;
    let mut there = std::pin::pin!(carry(near_in, far_out, conditions, up));
    let mut back = std::pin::pin!(carry(far_in, near_out, Conditions { resets: 0.0, ..conditions }, down));
    let mut answered = false;
    loop {
        tokio::select! {
            end = &mut there => {
                if end == End::Reset {
                    seen.resets.fetch_add(1, Ordering::Relaxed);
                } else if !answered {
                    back.await;
                }
                return;
            }
            _ = &mut back, if !answered => answered = true,
        }
    }
}

/// How one direction of a connection ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// Its sender is done, or one side is gone.
    Over,
    /// By chance.
    Reset,
}

/// Carries what comes from one side to the other, until there is no more.
async fn carry(mut from: OwnedReadHalf, to: OwnedWriteHalf, conditions: Conditions, rate: Arc<Rate>) -> End {
    let delay = conditions.round_trip / 2;
    // What is delivered makes room at once: half of the window is on its way there, the other half would be acknowledgements.
    let window = Arc::new(Semaphore::new((conditions.window / 2).max(CHUNK)));
    let (sender, receiver) = mpsc::unbounded_channel();
    let delivering = tokio::spawn(deliver(receiver, to, Arc::clone(&window)));
    let mut end = End::Over;
    loop {
        let mut chunk = BytesMut::with_capacity(CHUNK);
        match from.read_buf(&mut chunk).await {
            Ok(length) if length > 0 => {
                let Ok(room) = window.acquire_many(u32::try_from(length).unwrap_or(u32::MAX)).await else { break };
                room.forget();
                if fastrand::f64() < conditions.resets * length as f64 / (1 << 20) as f64 {
                    end = End::Reset;
                    break;
                }
                if sender.send((rate.take(length) + delay, chunk.freeze())).is_err() {
                    break;
                }
            }
            _ => break,
        }
    }
    if end == End::Reset {
        let _ = from.as_ref().set_zero_linger();
        delivering.abort();
    }
    drop(sender);
    let _ = delivering.await;
    end
}

async fn deliver(
    mut coming: mpsc::UnboundedReceiver<(Instant, Bytes)>,
    mut to: OwnedWriteHalf,
    window: Arc<Semaphore>,
) {
    while let Some((at, chunk)) = coming.recv().await {
        tokio::time::sleep_until(at).await;
        if to.write_all(&chunk).await.is_err() {
            break;
        }
        window.add_permits(chunk.len());
    }
    window.close();
    let _ = to.shutdown().await;
}
