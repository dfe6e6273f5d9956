//! Where a webhook may lead: to public addresses, and to the networks that the operator allows.
//!
//! **In**: the host of a URL, as a team's admin gave it. **Out**: the addresses to connect to, or why there are none.
//!
//! A team's admins choose what the hub calls. Without this check the hub would call what only its own machine and its
//! neighbours can reach, on behalf of someone who cannot. What matters is the address that is connected to, not the name, which
//! may lead elsewhere a moment later: names are checked by [`Destinations`] in its place as the client's resolver. Addresses that
//! need no resolving do not come by there: [`Destinations::check`] is asked before.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use crate::config::Network;

/// An address that is not called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a public address, and --webhook-networks does not allow it")]
pub(crate) struct NotAllowed(IpAddr);

/// The addresses that webhooks may lead to.
#[derive(Debug, Clone)]
pub(crate) struct Destinations {
    allowed: Vec<Network>,
}

impl Destinations {
    /// Public addresses, and these.
    pub(crate) fn new(allowed: &[Network]) -> Self {
        Self { allowed: allowed.to_vec() }
    }

    /// Refuses an address of the web whose host is an address that is not allowed.
    pub(crate) fn check(&self, url: &Url) -> Result<(), NotAllowed> {
        match url.host() {
            Some(Host::Ipv4(address)) => self.allow(address.into()),
            Some(Host::Ipv6(address)) => self.allow(address.into()),
            Some(Host::Domain(_)) | None => Ok(()),
        }
    }

    fn allow(&self, address: IpAddr) -> Result<(), NotAllowed> {
        if is_public(address) || self.allowed.iter().any(|network| network.contains(address)) {
            Ok(())
        } else {
            Err(NotAllowed(address))
        }
    }

    /// The allowed addresses of a name; if there are none, the reason.
    fn choose(&self, found: impl Iterator<Item = SocketAddr>) -> Result<Vec<SocketAddr>, NotAllowed> {
        let (mut chosen, mut refused) = (Vec::new(), None);
        for address in found {
            match self.allow(address.ip()) {
                Ok(()) => chosen.push(address),
                Err(reason) => refused = Some(reason),
            }
        }
        refused.filter(|_| chosen.is_empty()).map_or(Ok(chosen), Err)
    }
}

impl Resolve for Destinations {
    fn resolve(&self, name: Name) -> Resolving {
        let destinations = self.clone();
        Box::pin(async move {
            // The client puts the port of the address in the place of 0.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let chosen: Addrs = Box::new(destinations.choose(found)?.into_iter());
            Ok(chosen)
        })
    }
}

/// Whether an address is public: not of this machine, its networks, or multicast.
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => {
            let [first, second, .., seventh, eighth] = address.segments();
            // Gateways from IPv6 to IPv4 (RFC 6052, RFC 3056) lead to the IPv4 address that is in the address.
            let inner = match (first, second) {
                (0x64, 0xff9b) | (0, 0) => Some((seventh, eighth)),
                (0x2002, _) => Some((second, address.segments()[2])),
                _ => None,
            };
            let inner = inner.map(|(high, low)| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
            // fec0::/10 was for sites (RFC 3879), and routers may still know it so.
            let is_of_site = first & 0xffc0 == 0xfec0;
            !(address.is_unspecified()
                || address.is_loopback()
                || address.is_multicast()
                || address.is_unicast_link_local()
                || address.is_unique_local()
                || is_of_site)
                && inner.is_none_or(is_public_v4)
        }
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [first, second, third, _] = address.octets();
    // 0.0.0.0/8 leads to this machine (RFC 1122), 100.64.0.0/10 into the network of a provider or a cluster (RFC 6598).
    let is_shared = first == 100 && second & 0xc0 == 64;
    // 198.18.0.0/15 is for tests between networks (RFC 2544), 192.0.0.0/24 for protocols (RFC 6890), 240.0.0.0/4 for nobody yet (RFC 1112):
    // where they are used, it is inside.
    let is_reserved = (first == 198 && second & 0xfe == 18) || [first, second, third] == [192, 0, 0] || first >= 240;
    !(first == 0
        || is_reserved
        || address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_multicast()
        || is_shared)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Case: a webhook to `127.0.0.1`, written as a number, in IPv6 or through a translated address, reached the hub's own machine.
    #[test]
    fn addresses_of_the_machine_and_of_its_networks_are_refused_however_they_are_written() {
        let none = Destinations::new(&[]);
        for host in [
            "127.0.0.1",
            "127.9.9.9",
            "2130706433",
            "0x7f.1",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "192.0.0.170",
            "240.0.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "[::]",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[::127.0.0.1]",
            "[64:ff9b::10.0.0.1]",
            "[2002:7f00:1::]",
            "[fe80::1]",
            "[fec0::1]",
            "[fd00:ec2::254]",
            "[ff02::1]",
        ] {
            let url = Url::parse(&format!("http://{host}:8080/hook")).unwrap();
            assert!(none.check(&url).is_err(), "{host}");
        }
        for host in [
            "mam.example.com",
            "93.184.216.34",
            "172.32.0.1",
            "100.128.0.1",
            "198.20.0.1",
            "192.0.66.1",
            "[2606:4700::1111]",
        ] {
            let url = Url::parse(&format!("https://{host}/hook")).unwrap();
            assert_eq!(none.check(&url), Ok(()), "{host}");
        }
    }

    /// Case: a name that leads to several addresses is called only at those that are public or allowed.
    #[test]
    fn what_the_operator_allows_is_called_and_nothing_beside_it() {
        let some = Destinations::new(&["10.1.0.0/16".parse().unwrap(), "fd00::/8".parse().unwrap()]);
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let (inside, outside, public) = (address("10.1.2.3:0"), address("10.2.2.3:0"), address("93.184.216.34:0"));
        assert_eq!(some.choose([outside, inside, public].into_iter()), Ok(vec![inside, public]));
        assert_eq!(some.choose([outside].into_iter()), Err(NotAllowed(outside.ip())));
        assert_eq!(some.choose([address("[fd12::1]:0")].into_iter()), Ok(vec![address("[fd12::1]:0")]));
        assert_eq!(some.choose(std::iter::empty()), Ok(Vec::new()));
    }
}
