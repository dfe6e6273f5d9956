//! Administration of a hub: its teams, people, keys, portals, packages, links, webhooks and logs.
//!
//! **In**: calls of the protocol that an admin's key, a session or the hub's own process may make. **Out**: the hub's responses as
//! types, or a [`CloudError`].
//!
//! **Guarantees.** One call is one request; nothing is stored between calls. The same calls reach a hub over the network, with
//! [`Admin::over`], and one in this process, which need not listen at all, with [`Admin::within`].
//!
//! Must never know: who calls it, or how responses are displayed.

mod logs;
mod packages;
mod portals;
mod teams;

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;

use reqwest::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use super::{Call, Cloud, CloudError, NO_BODY, ask, below, tell};

/// The placeholder URL of a hub in this process: nothing is ever sent to it.
const WITHIN: &str = "http://localhost/";

/// A request for a hub that is not reached over the network.
#[derive(Debug, Clone)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub target: String,
    /// The JSON to send with it, if any.
    pub body: Option<Value>,
}

/// The status of a response and its JSON; `null` if there is no body.
pub type Answer = Result<(u16, Value), Box<dyn Error + Send + Sync>>;

/// Carries requests to a hub that is not reached over the network.
pub trait Transport: Send + Sync {
    /// Makes a request with every right.
    fn call(&self, request: Request) -> Pin<Box<dyn Future<Output = Answer> + Send + '_>>;
}

enum Way {
    Network(Cloud),
    Within(Box<dyn Transport>),
}

/// A hub to administer.
pub struct Admin {
    way: Way,
}

impl fmt::Debug for Admin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.way {
            Way::Network(cloud) => formatter.debug_tuple("Admin").field(cloud).finish(),
            Way::Within(_) => formatter.write_str("Admin(within)"),
        }
    }
}

impl Admin {
    /// The hub at the URL of `cloud`, with its key or session.
    #[must_use]
    pub fn over(cloud: Cloud) -> Self {
        Self { way: Way::Network(cloud) }
    }

    /// A hub that `transport` reaches.
    #[must_use]
    pub fn within(transport: impl Transport + 'static) -> Self {
        Self { way: Way::Within(Box::new(transport)) }
    }

    /// Makes a call; `what` completes "the cloud refused to …".
    async fn call<T: DeserializeOwned>(
        &self,
        what: &'static str,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        body: Option<&impl Serialize>,
    ) -> Result<T, CloudError> {
        let call = Call::Administer(what);
        match &self.way {
            Way::Network(cloud) => ask(call, cloud.team_request(method, path)?.query(query), body).await,
            Way::Within(transport) => {
                let answer = call_within(call, transport.as_ref(), method, path, query, body).await?;
                serde_json::from_value(answer).map_err(|error| CloudError::unreadable(call, &error))
            }
        }
    }

    async fn get<T: DeserializeOwned>(&self, what: &'static str, path: &[&str]) -> Result<T, CloudError> {
        self.call(what, Method::GET, path, &[], NO_BODY).await
    }

    async fn post<T: DeserializeOwned>(
        &self,
        what: &'static str,
        path: &[&str],
        body: &impl Serialize,
    ) -> Result<T, CloudError> {
        self.call(what, Method::POST, path, &[], Some(body)).await
    }

    async fn put<T: DeserializeOwned>(
        &self,
        what: &'static str,
        path: &[&str],
        body: &impl Serialize,
    ) -> Result<T, CloudError> {
        self.call(what, Method::PUT, path, &[], Some(body)).await
    }

    async fn delete(&self, what: &'static str, path: &[&str]) -> Result<(), CloudError> {
        let call = Call::Administer(what);
        match &self.way {
            Way::Network(cloud) => tell(call, cloud.team_request(Method::DELETE, path)?, NO_BODY).await,
            Way::Within(transport) => {
                call_within(call, transport.as_ref(), Method::DELETE, path, &[], NO_BODY).await.map(drop)
            }
        }
    }
}

async fn call_within(
    call: Call,
    transport: &dyn Transport,
    method: Method,
    path: &[&str],
    query: &[(&str, String)],
    body: Option<&impl Serialize>,
) -> Result<Value, CloudError> {
    let broken = |error: &dyn fmt::Display| CloudError::Unreachable { call, reason: error.to_string() };
    let body = body.map(serde_json::to_value).transpose().map_err(|error| broken(&error))?;
    let mut url = below(&Url::parse(WITHIN).map_err(|error| broken(&error))?, path)?;
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    let target = url[url::Position::BeforePath..].to_owned();
    let answer = transport.call(Request { method, target, body }).await;
    let (status, answer) = answer.map_err(|error| broken(&chain(error.as_ref())))?;
    if (200..300).contains(&status) {
        return Ok(answer);
    }
    Err(CloudError::refusal(call, status, None, answer.to_string().as_bytes()))
}

/// An error and its causes in one line.
fn chain(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests;
