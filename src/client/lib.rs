//! The typed client of the cloud protocol: sessions, packages, files, parts, links, portals.
//!
//! **In**: requests. **Out**: the cloud's response as types, or a [`CloudError`] that says what a caller can do.
//!
//! **Guarantees.** One call is one request: nothing is retried here (the caller knows whether it may be), nothing is
//! read without a bound, every wait has a limit, and no error or log line contains a secret: URLs are cut
//! before their query.
//!
//! **On a crash** nothing is lost, because nothing is stored.
//!
//! Must never know: uploads, the database, or which of the two clouds it talks to.
//!
//! Messages are the types of [`protocol`]. A whole upload is `examples/send_package.rs`; the calls for administering a hub are in
//! [`admin`].
//!
//! ```no_run
//! use masv_client::protocol::{LinkSettings, NewPackage};
//! use masv_client::{Cloud, CloudError, CloudSettings, PackageAccess, link_address};
//!
//! # async fn send() -> Result<(), Box<dyn std::error::Error>> {
//! let cloud = Cloud::new(CloudSettings {
//!     base: "http://127.0.0.1:8090".parse()?,
//!     name: None,
//!     api_key: Some("the team's key".into()),
//!     team_id: Some("01M85VJ3Y0Q8ZK2T4W6X7B9CDE".into()),
//! })?;
//! let new = NewPackage { name: Some("Dailies".into()), ..NewPackage::default() };
//! match cloud.create_package(&cloud.team(None)?, &new, "dailies of 28 November").await {
//!     Ok(made) => {
//!         let link = cloud.create_link(PackageAccess::from(&made), &LinkSettings::default(), None).await?;
//!         println!("{}", link_address(&link).expose());
//!     }
//!     Err(CloudError::Refused { status: 401, .. }) => println!("the key is wrong"),
//!     Err(error) => return Err(error.into()),
//! }
//! # Ok(())
//! # }
//! ```

pub mod admin;
mod auth;
mod batches;
mod downloads;
mod error;
mod health;
mod inbox;
mod links;
mod packages;
mod portals;
mod registry;
mod storage;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use masv_protocol::{API_KEY_HEADER, PACKAGE_TOKEN_HEADER, SignedIn, Team, TeamId, USER_TOKEN_HEADER};
use reqwest::header::{ACCEPT, RETRY_AFTER};
use reqwest::{Client, Method, RequestBuilder, Response};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

pub use batches::{BAD_DIGEST, BatchAnswers};
pub use downloads::Incoming;
pub use error::{Authority, Call, CloudError};
pub use health::Reached;
pub use inbox::InboxPage;
pub use links::link_address;
pub use masv_protocol as protocol;
pub use packages::PackageAccess;
pub use registry::Clouds;
pub use storage::{PartBody, Receipt, storage_host};

/// Connecting that takes longer than this has failed.
const CONNECT_LIMIT: Duration = Duration::from_secs(15);
/// Idle connections are closed before the usual load balancers do (60 s and more).
const IDLE_LIMIT: Duration = Duration::from_secs(20);
/// Maximum size of the response to a control call, in bytes.
const LARGEST_ANSWER: usize = 32 << 20;
/// Maximum size of a response of the storage that is read into memory, in bytes.
const LARGEST_ERROR: usize = 64 << 10;

/// A cloud, and our credentials there.
#[derive(Debug, Clone)]
pub struct CloudSettings {
    /// The base URL of the protocol; the calls add the version.
    pub base: Url,
    /// The name under which packages record it; `None` for its URL.
    pub name: Option<String>,
    /// Authorises team calls; `None` if a person signs in, or for portals only.
    pub api_key: Option<SecretString>,
    /// The default team for uploads.
    pub team_id: Option<TeamId>,
}

/// Timeouts for a cloud.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// A control call that takes longer has failed.
    pub call: Duration,
    /// A connection on which nothing of a part moves for this long is dead. It covers the storage's own work after the
    /// last byte.
    pub stall: Duration,
}

impl Default for Patience {
    /// For any usable network.
    fn default() -> Self {
        Self { call: Duration::from_secs(60), stall: Duration::from_secs(90) }
    }
}

/// A handle to one cloud; clones share connections and session.
#[derive(Debug, Clone)]
pub struct Cloud {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    base: Url,
    name: String,
    api_key: Option<SecretString>,
    team_id: RwLock<Option<TeamId>>,
    patience: Patience,
    session: RwLock<Option<SignedIn>>,
    /// The only team of the key, once the cloud has reported it.
    only_team: RwLock<Option<TeamId>>,
    control: Client,
    /// Parts go over HTTP/1.1, a connection each: on one HTTP/2 connection they would share one window.
    storage: Client,
}

impl Cloud {
    /// A client of the cloud at `settings.base`. Makes no request.
    ///
    /// # Errors
    /// [`CloudError::Setup`] if no client can be built, for example on a machine without root certificates.
    pub fn new(settings: CloudSettings) -> Result<Self, CloudError> {
        Self::patient(settings, Patience::default())
    }

    /// The same, with other timeouts.
    ///
    /// # Errors
    /// Those of [`Self::new`].
    pub fn patient(settings: CloudSettings, patience: Patience) -> Result<Self, CloudError> {
        let local = settings.base.host_str().is_some_and(is_loopback);
        let builder = || {
            let builder = Client::builder()
                .user_agent(concat!("masv-agent/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(CONNECT_LIMIT)
                .pool_idle_timeout(IDLE_LIMIT)
                .tcp_nodelay(true);
            // A proxy from the environment cannot reach our loopback.
            if local { builder.no_proxy() } else { builder }
        };
        let setup = |source: reqwest::Error| CloudError::Setup { reason: error::reason(&source) };
        let control = builder().timeout(patience.call).build().map_err(setup)?;
        let storage = builder()
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .pool_max_idle_per_host(64)
            .build()
            .map_err(setup)?;
        Ok(Self {
            shared: Arc::new(Shared {
                name: settings.name.unwrap_or_else(|| settings.base.as_str().trim_end_matches('/').to_owned()),
                base: settings.base,
                api_key: settings.api_key,
                team_id: RwLock::new(settings.team_id),
                patience,
                session: RwLock::new(None),
                only_team: RwLock::new(None),
                control,
                storage,
            }),
        })
    }

    /// The base URL of the protocol.
    #[must_use]
    pub fn base(&self) -> &Url {
        &self.shared.base
    }

    /// Whether we are a member of a team there.
    #[must_use]
    pub fn has_team(&self, id: &TeamId) -> bool {
        let in_session = |session: SignedIn| session.teams.iter().any(|team| team.id == *id);
        self.named_team().as_ref() == Some(id) || self.session().is_some_and(in_session)
    }

    /// The name under which packages record it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Its timeouts.
    #[must_use]
    pub fn patience(&self) -> Patience {
        self.shared.patience
    }

    /// The current session; `None` if no one has signed in.
    #[must_use]
    pub fn session(&self) -> Option<SignedIn> {
        self.shared.session.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Uses `session` from now on; `None` signs out.
    pub fn set_session(&self, session: Option<SignedIn>) {
        *self.shared.session.write().unwrap_or_else(PoisonError::into_inner) = session;
    }

    /// Sends as this team from now on, unless another was named before. Whether it is this one that was missing.
    pub fn name_team(&self, team: TeamId) -> bool {
        let mut named = self.shared.team_id.write().unwrap_or_else(PoisonError::into_inner);
        let was_missing = named.is_none();
        named.get_or_insert(team);
        was_missing
    }

    fn named_team(&self) -> Option<TeamId> {
        self.shared.team_id.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether team calls are authorised by a key, whoever is signed in.
    #[must_use]
    pub fn has_key(&self) -> bool {
        self.shared.api_key.is_some()
    }

    /// Whether team calls are authorised at all, by key or session.
    #[must_use]
    pub fn is_authorised(&self) -> bool {
        self.shared.api_key.is_some() || self.session().is_some()
    }

    /// The team to send as: the requested one, or that of the settings, or the session's only one.
    ///
    /// # Errors
    /// [`CloudError::NoTeam`] with the available teams.
    pub fn team(&self, wanted: Option<&TeamId>) -> Result<TeamId, CloudError> {
        if let Some(team) = wanted.cloned().or_else(|| self.named_team()) {
            return Ok(team);
        }
        if let Some(team) = self.shared.only_team.read().unwrap_or_else(PoisonError::into_inner).clone() {
            return Ok(team);
        }
        let teams: Vec<Team> = self.session().map(|session| session.teams).unwrap_or_default();
        match teams.as_slice() {
            [only] => Ok(only.id.clone()),
            _ if !self.is_authorised() => Err(CloudError::NotSignedIn),
            _ => Err(CloudError::NoTeam { choice: teams.into_iter().map(|team| team.name).collect() }),
        }
    }

    /// The same; if no team is given and the key does not determine it, the cloud is asked, and if it lists exactly one
    /// team for the key, that is used from then on.
    ///
    /// # Errors
    /// [`CloudError::NoTeam`] with the available teams; those of the call.
    pub async fn find_team(&self, wanted: Option<&TeamId>) -> Result<TeamId, CloudError> {
        let unknown = match self.team(wanted) {
            Err(error @ CloudError::NoTeam { .. }) if self.has_key() => error,
            known => return known,
        };
        match self.teams().await {
            Ok(teams) => {
                if let [only] = teams.as_slice() {
                    *self.shared.only_team.write().unwrap_or_else(PoisonError::into_inner) = Some(only.id.clone());
                    return Ok(only.id.clone());
                }
                Err(CloudError::NoTeam { choice: teams.into_iter().map(|team| team.name).collect() })
            }
            // A cloud that does not list them, or not to keys.
            Err(CloudError::Refused { status: 401..=405, .. } | CloudError::Garbled { .. }) => Err(unknown),
            Err(error) => Err(error),
        }
    }

    /// A request that the team's key or session authorises.
    fn team_request(&self, method: Method, path: &[&str]) -> Result<RequestBuilder, CloudError> {
        let request = self.open_request(method, path)?;
        if let Some(key) = &self.shared.api_key {
            return Ok(request.header(API_KEY_HEADER, key.expose_secret()));
        }
        let session = self.session().ok_or(CloudError::NotSignedIn)?;
        Ok(request.header(USER_TOKEN_HEADER, session.token.expose()))
    }

    /// A request that a package's token authorises.
    fn package_request(
        &self,
        method: Method,
        path: &[&str],
        token: &SecretString,
    ) -> Result<RequestBuilder, CloudError> {
        Ok(self.open_request(method, path)?.header(PACKAGE_TOKEN_HEADER, token.expose_secret()))
    }

    /// A request that needs no authorisation.
    fn open_request(&self, method: Method, path: &[&str]) -> Result<RequestBuilder, CloudError> {
        Ok(self.shared.control.request(method, below(&self.shared.base, path)?).header(ACCEPT, "application/json"))
    }
}

/// The URL of a call: each element of `path` is one segment, escaped.
fn below(base: &Url, path: &[&str]) -> Result<Url, CloudError> {
    let mut url = base.clone();
    url.path_segments_mut()
        .map_err(|()| CloudError::Setup { reason: "the cloud's address cannot have a path".to_owned() })?
        .pop_if_empty()
        .extend(path);
    Ok(url)
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Sends a control call with a JSON body and reads its JSON response.
async fn ask<T: DeserializeOwned>(
    call: Call,
    request: RequestBuilder,
    body: Option<&impl Serialize>,
) -> Result<T, CloudError> {
    let answer = send(call, request, body).await?;
    serde_json::from_slice(&answer).map_err(|error| CloudError::unreadable(call, &error))
}

/// Sends a control call whose response is ignored on success.
async fn tell(call: Call, request: RequestBuilder, body: Option<&impl Serialize>) -> Result<(), CloudError> {
    send(call, request, body).await.map(drop)
}

async fn send(call: Call, request: RequestBuilder, body: Option<&impl Serialize>) -> Result<Bytes, CloudError> {
    let request = match body {
        Some(body) => request.json(body),
        None => request,
    };
    let response = request.send().await.map_err(|error| CloudError::transport(call, &error))?;
    read_answer(call, response, LARGEST_ANSWER).await
}

/// The body of a successful response, or the error of another.
async fn read_answer(call: Call, mut response: Response, limit: usize) -> Result<Bytes, CloudError> {
    let status = response.status();
    let retry_after = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| error::retry_after(text, jiff::Timestamp::now()));
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= limit => body.extend_from_slice(&chunk),
            Ok(Some(_)) => {
                return Err(CloudError::Garbled { call, reason: format!("the response is longer than {limit} bytes") });
            }
            Ok(None) => break,
            // For a refusal the status is enough.
            Err(_) if !status.is_success() => break,
            Err(error) => return Err(CloudError::transport(call, &error)),
        }
    }
    if status.is_success() {
        Ok(body.into())
    } else {
        Err(CloudError::refusal(call, status.as_u16(), retry_after, &body))
    }
}

/// For calls without a body.
const NO_BODY: Option<&()> = None;

#[cfg(test)]
mod tests;
