//! Limits the simultaneous requests of one address, over whichever connections they arrive: behind a proxy, the connections
//! do not tell clients apart.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use masv_protocol::ErrorKind;

use super::access::{ClientAddress, Gate};
use super::guarded::Guarded;
use super::refusal::Refusal;
use super::slots::host;

/// When to retry after a refusal for too many simultaneous requests.
const SOON: Duration = Duration::from_secs(2);

/// Answers a request, unless too many requests of its address are being answered.
pub(crate) async fn bound(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let address = request.extensions().get::<ClientAddress>().and_then(|address| address.0);
    let Some(address) = address else { return next.run(request).await };
    let Some(running) = gate.begin(address) else {
        let refusal = Refusal::new(ErrorKind::RateLimited, "too many simultaneous requests from this address");
        return Refusal { retry_after: Some(SOON), ..refusal }.into_response();
    };
    next.run(request).await.map(|body| Body::new(Guarded::new(body, running)))
}

/// Counts the requests of each address.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    running: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// A request that is being answered, until this is dropped.
#[derive(Debug)]
pub(super) struct Running {
    running: Arc<Mutex<HashMap<IpAddr, usize>>>,
    host: IpAddr,
}

fn lock(running: &Mutex<HashMap<IpAddr, usize>>) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
    running.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Requests {
    /// Begins a request of `address`; nothing where `most` of it are being answered.
    pub(super) fn begin(&self, address: IpAddr, most: usize) -> Option<Running> {
        let host = host(address);
        let mut running = lock(&self.running);
        let count = running.get(&host).copied().unwrap_or_default();
        if count >= most.max(1) {
            return None;
        }
        running.insert(host, count + 1);
        Some(Running { running: Arc::clone(&self.running), host })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut running = lock(&self.running);
        if let Some(count) = running.get_mut(&self.host) {
            *count -= 1;
            if *count == 0 {
                running.remove(&self.host);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Case: behind a proxy the connections do not tell callers apart; one could have as many requests at once as it liked.
    #[test]
    fn each_address_has_its_own_count_which_ends_with_the_answers() {
        let (requests, here, there) = (Requests::default(), IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let first = requests.begin(here, 2).unwrap();
        let _second = requests.begin(here, 2).unwrap();
        assert!(requests.begin(here, 2).is_none());
        drop(requests.begin(there, 2).unwrap());
        drop(first);
        assert!(requests.begin(here, 2).is_some());
        assert_eq!(lock(&requests.running).len(), 1);
    }
}
