//! The real caller behind reverse proxies: only trusted proxies are believed.
//!
//! **In**: the other side of the connection, and the headers. **Out**: the caller's address, and the scheme that it used. Headers with
//! which others could forge something are removed before anything reads them. A proxy says by which name it was reached in `Host`;
//! `X-Forwarded-Host` is not read, for proxies pass on what a caller wrote there.

use std::net::{IpAddr, SocketAddr};
use std::sync::Once;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;

use super::access::{ASKED_BY, ClientAddress, Gate};

const FORWARDED_FOR: &str = "x-forwarded-for";
const FORWARDED_PROTO: &str = "x-forwarded-proto";

/// An untrusted proxy was logged.
static UNNAMED: Once = Once::new();

/// Whether an address can be a proxy of ours.
fn is_near(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_loopback() || address.is_private(),
        IpAddr::V6(address) => address.is_loopback() || address.is_unique_local(),
    }
}

/// Determines the caller, for [`ClientAddress`] and [`super::access::Base`].
pub(crate) async fn resolve(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip().to_canonical());
    let trusted = |address: IpAddr| gate.trusted_proxies().iter().any(|network| network.contains(address));
    let headers = request.headers_mut();
    headers.remove(ASKED_BY);
    let caller = match peer {
        Some(peer) if trusted(peer) => {
            let scheme = last(headers, FORWARDED_PROTO);
            let scheme = scheme.filter(|scheme| matches!(scheme.as_str(), "http" | "https"));
            if let Some(scheme) = scheme.and_then(|scheme| HeaderValue::from_str(&scheme).ok()) {
                headers.insert(ASKED_BY, scheme);
            }
            Some(caller(headers, peer, trusted))
        }
        peer => {
            if let Some(peer) = peer.filter(|peer| is_near(*peer))
                && headers.contains_key(FORWARDED_FOR)
            {
                UNNAMED.call_once(|| {
                    tracing::warn!(%peer, "a proxy that is not trusted: all its callers count as one (--trusted-proxies)");
                });
            }
            peer
        }
    };
    request.extensions_mut().insert(ClientAddress(caller));
    next.run(request).await
}

/// The last value of a header to which each proxy appends.
fn last(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get_all(name).iter().next_back()?.to_str().ok()?;
    Some(value.rsplit(',').next()?.trim().to_lowercase())
}

/// The nearest address that no trusted proxy has: everything before it is the caller's own word.
fn caller(headers: &HeaderMap, peer: IpAddr, trusted: impl Fn(IpAddr) -> bool) -> IpAddr {
    let mut nearest = peer;
    let values = headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok());
    let hops: Vec<&str> = values.flat_map(|value| value.split(',')).map(str::trim).collect();
    for hop in hops.iter().rev() {
        // Some proxies add the port.
        let address = hop.parse().or_else(|_| hop.parse::<SocketAddr>().map(|with_port| with_port.ip()));
        let Ok(address) = address.map(|address: IpAddr| address.to_canonical()) else { break };
        nearest = address;
        if !trusted(address) {
            break;
        }
    }
    nearest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Network;

    /// Case: `X-Forwarded-For` as a caller wrote it, through one proxy and through two.
    #[test]
    fn the_caller_is_the_nearest_that_no_proxy_of_ours_is() {
        let networks: Vec<Network> = vec!["127.0.0.1".parse().unwrap(), "10.0.0.0/8".parse().unwrap()];
        let of = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(FORWARDED_FOR, value.parse().unwrap());
            }
            let trusted = |address| networks.iter().any(|network| network.contains(address));
            caller(&headers, "127.0.0.1".parse().unwrap(), trusted).to_string()
        };
        assert_eq!(of(&[]), "127.0.0.1");
        assert_eq!(of(&["192.0.2.1"]), "192.0.2.1");
        assert_eq!(of(&["6.6.6.6, 192.0.2.1"]), "192.0.2.1", "the caller's own word is not taken");
        assert_eq!(of(&["6.6.6.6", "192.0.2.1, 10.0.0.7"]), "192.0.2.1", "through two proxies of ours");
        assert_eq!(of(&["192.0.2.1:5123"]), "192.0.2.1");
        assert_eq!(of(&["192.0.2.1, unknown"]), "127.0.0.1");
        assert_eq!(of(&["10.0.0.9"]), "10.0.0.9");
    }
}
