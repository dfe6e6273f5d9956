//! Who may do what: the only way from a request to the hub.
//!
//! **In**: the head of a request. **Out**: the hub, for callers that have the right the handler requires.
//!
//! The state of the router is a [`Gate`], which does not expose the hub. A handler gets it from one of the extractors here, each of
//! which stands for a right: one whose first argument is none of them does not compile ([`guarded`]), and one that anybody may call
//! says so by [`Public`]. A right is checked before the body of the request is read.
//!
//! Must never know: what handlers do.

mod credentials;
mod guarded;
mod link;
mod named;
mod package;
mod portal;
mod team;

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use masv_protocol::{FileId, KeyId, LinkId, PackageId, PortalId, TagId, TeamId, WebhookId};

pub(crate) use credentials::{Operator, Session, SignedIn, Who};
pub(crate) use guarded::{Routes, delete, get, post, put};
pub(crate) use link::LinkOwner;
pub(crate) use named::{TagAdmin, WebhookAdmin};
pub(crate) use package::{PackageOwner, PackageReader, PackageWriter};
pub(crate) use portal::{OpenPortal, PortalAdmin, PortalMember};
pub(crate) use team::{InTeam, KeyAdmin, TeamAdmin, TeamMember, TeamOperator};

use super::bodies::Bodies;
use super::metrics::Traffic;
use super::refusal::Refusal;
use super::requests::Running;
use crate::Hub;
use crate::context::Context;
use crate::network::Network;
use crate::records::downloads::Origin;

/// Our own header: the scheme that the caller used, as a trusted proxy says.
pub(crate) const ASKED_BY: &str = "x-masv-scheme";

/// The state of the router. It contains the hub and exposes it only to the extractors here.
#[derive(Clone)]
pub(crate) struct Gate(Hub);

impl Gate {
    /// The gate to a hub.
    pub(crate) fn new(hub: Hub) -> Self {
        Self(hub)
    }

    /// Whether people reach the hub by TLS.
    pub(super) fn is_https(&self) -> bool {
        self.0.context.is_https()
    }

    /// The bodies in memory.
    pub(super) fn bodies(&self) -> &Bodies {
        &self.0.server.bodies
    }

    /// What has passed.
    pub(super) fn traffic(&self) -> Arc<Traffic> {
        Arc::clone(&self.0.server.traffic)
    }

    /// Begins a request of `address`, unless too many of its requests are being answered.
    pub(super) fn begin(&self, address: IpAddr) -> Option<Running> {
        self.0.server.requests.begin(address, self.0.context.config.max_connections_per_address)
    }

    /// The trusted proxies.
    pub(super) fn trusted_proxies(&self) -> &[Network] {
        &self.0.context.config.trusted_proxies
    }
}

/// Public: the handler needs no right, or checks credentials in the request itself.
pub(crate) struct Public(pub Hub);

impl FromRequestParts<Gate> for Public {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, gate: &Gate) -> Result<Self, Infallible> {
        Ok(Self(gate.0.clone()))
    }
}

/// Where a request comes from, as far as one can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClientAddress(pub Option<IpAddr>);

impl ClientAddress {
    fn of(parts: &Parts) -> Option<IpAddr> {
        parts.extensions.get::<Self>().and_then(|address| address.0)
    }
}

impl<S: Sync> FromRequestParts<S> for ClientAddress {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(Self::of(parts)))
    }
}

/// The longest name of a program that is kept.
const LONGEST_AGENT: usize = 200;

/// Where a request comes from, and by which program, for the record of downloads.
fn origin_of(parts: &Parts) -> Origin {
    let agent = header_text(&parts.headers, header::USER_AGENT.as_str()).unwrap_or_default();
    Origin { address: ClientAddress::of(parts), agent: agent.chars().take(LONGEST_AGENT).collect() }
}

impl<S: Sync> FromRequestParts<S> for Origin {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(origin_of(parts))
    }
}

/// The request arrived on the listener of the process in which the hub is embedded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FromHere;

/// The base URL of the hub for the client of a request: the public one, or the one that was requested. For storage URLs.
#[derive(Debug, Clone)]
pub(crate) struct Base(pub String);

/// The base URL of the hub for people: the public one, or the one that was requested. For links.
#[derive(Debug, Clone)]
pub(crate) struct PublicBase(pub String);

impl FromRequestParts<Gate> for Base {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, gate: &Gate) -> Result<Self, Infallible> {
        let context = &gate.0.context;
        let here = parts.extensions.get::<FromHere>().is_some();
        Ok(Self(match context.config.public_url.is_some() && !here {
            true => context.public_base(),
            false => asked_at(parts, context, here),
        }))
    }
}

impl FromRequestParts<Gate> for PublicBase {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, gate: &Gate) -> Result<Self, Infallible> {
        let context = &gate.0.context;
        Ok(Self(match context.config.public_url.is_some() {
            true => context.public_base(),
            false => asked_at(parts, context, parts.extensions.get::<FromHere>().is_some()),
        }))
    }
}

/// The address to which a request was sent, or the public one if the request does not say.
fn asked_at(parts: &Parts, context: &Context, here: bool) -> String {
    let asked = header_text(&parts.headers, header::HOST.as_str());
    let scheme = match header_text(&parts.headers, ASKED_BY) {
        Some(scheme) => scheme,
        None if context.config.tls.is_some() && !here => "https",
        None => "http",
    };
    let base = asked.map(|host| format!("{scheme}://{host}"));
    // Other characters are allowed in names of hosts, and end something where the name is written.
    let is_plain = |base: &str| base.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:/[]".contains(&byte));
    let is_origin = |base: &String| {
        is_plain(base) && url::Url::parse(base).is_ok_and(|url| url.path() == "/" && url.query().is_none())
    };
    base.filter(is_origin).unwrap_or_else(|| context.public_base())
}

/// The value of a header, if it is there and text.
pub(crate) fn header_text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim).filter(|value| !value.is_empty())
}

/// An id that a route names.
pub(crate) trait InPath: From<String> {
    /// Its name in the route.
    const NAME: &str;
}

macro_rules! in_path {
    ($($id:ident $name:literal)+) => {$(
        impl InPath for $id {
            const NAME: &str = $name;
        }
    )+};
}

in_path! {
    TeamId "team"
    PackageId "package"
    FileId "file"
    LinkId "link"
    PortalId "portal"
    KeyId "key"
    WebhookId "hook"
    TagId "tag"
}

/// The id of that type in the route of a request.
pub(crate) struct Id<T>(pub T);

impl<T: InPath, S: Send + Sync> FromRequestParts<S> for Id<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let missing = || Refusal::not_found("route");
        let named = RawPathParams::from_request_parts(parts, state).await.map_err(|_| missing())?;
        let found = named.iter().find(|(name, _)| *name == T::NAME).map(|(_, id)| T::from(id.to_owned()));
        found.map(Self).ok_or_else(missing)
    }
}

/// The id of that type in the route of a request.
async fn id<T: InPath>(parts: &mut Parts) -> Result<T, Refusal> {
    Id::<T>::from_request_parts(parts, &()).await.map(|Id(id)| id)
}
