//! Limits the bytes of request bodies in memory, and reads them.
//!
//! A body is counted as it arrives, not as it is announced: a sender of nothing holds nothing. Bodies of strangers and of callers
//! who are authorised are counted separately, and no address holds more than its share of either, so that nobody can lock others out.
//! Anything beyond that is refused at once; nobody waits for memory.
//!
//! Must never know: what is in a body.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use futures_util::StreamExt;
use masv_protocol::ErrorKind;

use super::refusal::Refusal;
use super::slots::host;

/// Bytes of strangers' bodies in total, and of one address.
const OF_STRANGERS: Bounds = Bounds { all: 8 << 20, one: 1 << 20 };
/// The same for authorised callers. An agent has eight batches of small files on their way, 5 MiB each.
const OF_KNOWN: Bounds = Bounds { all: 64 << 20, one: 48 << 20 };
/// How long a body of at most [`SMALL`] may take.
const SMALL_LIMIT: Duration = Duration::from_secs(20);
/// How long a larger one may take.
const LARGE_LIMIT: Duration = Duration::from_secs(60);
const SMALL: usize = 64 << 10;
/// When to retry after a refusal for lack of memory.
const SOON: Duration = Duration::from_secs(5);
/// How much of an oversized body is read and discarded, so that its sender receives the refusal.
const DRAIN_BYTES: usize = 16 << 20;

#[derive(Debug, Clone, Copy)]
struct Bounds {
    all: usize,
    one: usize,
}

/// Whose body it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sender {
    /// An unauthorised caller at this address.
    Stranger(Option<IpAddr>),
    /// An authorised caller at this address.
    Known(Option<IpAddr>),
}

#[derive(Debug, Default)]
struct Pool {
    all: usize,
    of: HashMap<Option<IpAddr>, usize>,
}

/// The bytes held.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bodies(Arc<Mutex<[Pool; 2]>>);

/// A body's share of the memory; given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    bodies: Bodies,
    sender: Sender,
    bytes: usize,
}

impl Sender {
    fn pool(self) -> (usize, Option<IpAddr>, Bounds) {
        match self {
            Self::Stranger(address) => (0, address.map(host), OF_STRANGERS),
            Self::Known(address) => (1, address.map(host), OF_KNOWN),
        }
    }
}

impl Bodies {
    fn lock(&self) -> MutexGuard<'_, [Pool; 2]> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An empty share, to start with.
    pub(crate) fn hold(&self, sender: Sender) -> Held {
        Held { bodies: self.clone(), sender, bytes: 0 }
    }

    /// Reads a body of at most `largest` bytes.
    pub(crate) async fn read(
        &self,
        sender: Sender,
        head: &HeaderMap,
        body: Body,
        largest: usize,
    ) -> Result<(Vec<u8>, Held), Refusal> {
        let too_large = || Refusal::new(ErrorKind::TooLarge, format!("the body is longer than {largest} bytes"));
        let said = head.get(header::CONTENT_LENGTH).and_then(|said| said.to_str().ok()?.parse::<usize>().ok());
        if said.is_some_and(|said| said > largest) {
            forget(body);
            return Err(too_large());
        }
        let limit = if largest <= SMALL { SMALL_LIMIT } else { LARGE_LIMIT };
        let (mut bytes, mut held, mut body) = (Vec::new(), self.hold(sender), body.into_data_stream());
        let reading = async {
            while let Some(frame) = body.next().await {
                let frame = frame.map_err(|_| Refusal::invalid("the body is truncated"))?;
                if bytes.len() + frame.len() > largest {
                    return Err(too_large());
                }
                held.grow(frame.len())?;
                bytes.extend_from_slice(&frame);
            }
            Ok(())
        };
        let read = tokio::time::timeout(limit, reading).await;
        let read = read.unwrap_or_else(|_| Err(Refusal::new(ErrorKind::Timeout, "the body took too long")));
        if let Err(refusal) = read {
            if refusal.kind == ErrorKind::TooLarge {
                forget(Body::from_stream(body));
            }
            return Err(refusal);
        }
        Ok((bytes, held))
    }
}

impl Held {
    /// Holds this many more bytes, or refuses.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), Refusal> {
        let (index, address, bounds) = self.sender.pool();
        let mut pools = self.bodies.lock();
        let pool = &mut pools[index];
        let of_one = pool.of.get(&address).copied().unwrap_or_default();
        if pool.all + bytes > bounds.all || of_one + bytes > bounds.one {
            let refusal =
                Refusal::new(ErrorKind::Internal, "the hub is receiving too much data at the moment, try again");
            return Err(Refusal { retry_after: Some(SOON), ..refusal });
        }
        pool.all += bytes;
        pool.of.insert(address, of_one + bytes);
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let (index, address, _) = self.sender.pool();
        let mut pools = self.bodies.lock();
        let pool = &mut pools[index];
        pool.all = pool.all.saturating_sub(self.bytes);
        if let Some(of_one) = pool.of.get_mut(&address) {
            *of_one = of_one.saturating_sub(self.bytes);
            if *of_one == 0 {
                pool.of.remove(&address);
            }
        }
    }
}

/// Reads some of a refused body: if a connection is closed while the sender is still sending, the response is often lost.
fn forget(body: Body) {
    let mut body = body.into_data_stream();
    tokio::spawn(tokio::time::timeout(SMALL_LIMIT, async move {
        let mut left = DRAIN_BYTES;
        while let Some(Ok(frame)) = body.next().await {
            left = left.saturating_sub(frame.len());
            if left == 0 {
                break;
            }
        }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)));
    const THERE: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2)));

    /// Sixty half-sent bodies of nobody in particular held half a gigabyte.
    #[test]
    fn nobody_holds_more_than_a_share_and_all_together_no_more_than_there_is() {
        let bodies = Bodies::default();
        let mut mine = bodies.hold(Sender::Stranger(HERE));
        mine.grow(OF_STRANGERS.one).unwrap();
        let mut more = bodies.hold(Sender::Stranger(HERE));
        assert_eq!(more.grow(1).unwrap_err().retry_after, Some(SOON));
        bodies.hold(Sender::Stranger(THERE)).grow(1).unwrap();
        let others: Vec<Held> = (0..20)
            .filter_map(|last| {
                let mut held = bodies.hold(Sender::Stranger(Some(IpAddr::from([198, 51, 100, last]))));
                held.grow(OF_STRANGERS.one).ok().map(|()| held)
            })
            .collect();
        assert_eq!(others.len(), OF_STRANGERS.all / OF_STRANGERS.one - 1);
        bodies.hold(Sender::Known(HERE)).grow(1).unwrap();
        drop((mine, others));
        assert!(more.grow(1).is_ok());
        drop(more);
        assert!(bodies.lock().iter().all(|pool| pool.all == 0 && pool.of.is_empty()));
    }

    /// Case: a body without a length, or of another length than its head says, is bounded as well.
    #[tokio::test]
    async fn a_body_is_as_long_as_it_may_be_whatever_its_head_says() {
        let bodies = Bodies::default();
        let head = |length: &str| HeaderMap::from_iter([(header::CONTENT_LENGTH, length.parse().unwrap())]);
        let read = async |head: HeaderMap, bytes: usize| {
            let body = Body::from_stream(futures_util::stream::iter(
                vec![0_u8; bytes].chunks(10).map(|piece| Ok::<_, std::io::Error>(piece.to_vec())).collect::<Vec<_>>(),
            ));
            bodies.read(Sender::Known(HERE), &head, body, 100).await.map(|(bytes, _)| bytes.len())
        };
        assert_eq!(read(HeaderMap::new(), 100).await.unwrap(), 100);
        assert_eq!(read(HeaderMap::new(), 101).await.unwrap_err().kind, ErrorKind::TooLarge);
        assert_eq!(read(head("101"), 1).await.unwrap_err().kind, ErrorKind::TooLarge);
        assert_eq!(read(head("1"), 101).await.unwrap_err().kind, ErrorKind::TooLarge);
    }
}
