//! The typed client of the local API: finds the agent, calls it, turns its errors into exit codes.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use reqwest::{Method, RequestBuilder, Response};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::error::{CliError, Exit};
use super::{Common, context};
use crate::agent::{Found, default_data_dir, find_agent};
use crate::api::INTENT;
use crate::api::types::ErrorBody;
use crate::model::UploadId;
use masv_platform::PathBeneath;

/// The agent's default address.
const USUAL: &str = "http://localhost:8080";
const USUAL_PORT: u16 = 8080;
/// Where the system service keeps its state; readable by root and by the service's user.
const SERVICE: &str = "/var/lib/masv-agent";

/// How long a request whose response was lost is repeated: a restarting agent is back by then.
const REPEATING: Duration = Duration::from_secs(15);
/// Delay before retrying after a broken connection.
const PAUSE: Duration = Duration::from_millis(500);

/// A client of one agent.
pub(super) struct Client {
    http: reqwest::Client,
    base: String,
    address: String,
    token: Option<SecretString>,
    /// The agent's data directory, if that is how it was found.
    data_dir: Option<PathBuf>,
    /// Whether the agent was named explicitly.
    named: bool,
    /// Whether nothing but its address is known of it, which is the usual one.
    guessed: bool,
}

impl Client {
    /// A client of the agent that was named, or whose address is in the data directory, or of the default one.
    pub(super) fn new(common: &Common) -> Result<Self, CliError> {
        let found = find();
        let context = context::chosen(common)?;
        let named = context.as_ref().map_or_else(|| common.server.clone(), |context| Some(context.server.clone()));
        let is_named = named.is_some();
        let guessed = !is_named && found.is_none();
        let address = named.or_else(|| found.as_ref().map(|(_, found)| found.address.clone()));
        let address = address.unwrap_or_else(|| USUAL.to_owned());
        let address = address.trim_end_matches('/').to_owned();
        // A token is sent only to the agent that created it.
        let found = found.filter(|(_, found)| found.address == address);
        let mut builder = reqwest::Client::builder().no_proxy().connect_timeout(Duration::from_secs(5));
        let base = match address.strip_prefix("unix://") {
            Some(path) => {
                builder = builder.unix_socket(path);
                "http://localhost".to_owned()
            }
            None => checked(&address)?,
        };
        let http = builder.build().map_err(|error| CliError::failed(format!("cannot set up HTTP: {error}")))?;
        let token_file = common.token_file.clone().or_else(|| context?.token_file);
        let token = match token_file {
            Some(path) => {
                let text = std::fs::read_to_string(&path);
                let text =
                    text.map_err(|error| CliError::usage(format!("the token in {}: {error}", path.display())))?;
                Some(SecretString::from(text.trim()))
            }
            None => std::env::var("MASV_TOKEN").ok().map(SecretString::from),
        };
        let (data_dir, own_token) = found.map(|(data_dir, found)| (data_dir, found.token)).unzip();
        let token = token.or(own_token.flatten());
        Ok(Self { http, base, address, token, data_dir, named: is_named, guessed })
    }

    /// Whether the agent was named explicitly.
    pub(super) fn is_named(&self) -> bool {
        self.named
    }

    /// Where the agent is.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// The token that is sent along.
    pub(super) fn token(&self) -> Option<&SecretString> {
        self.token.as_ref()
    }

    /// The agent's data directory, if that is how it was found.
    pub(super) fn data_dir(&self) -> Option<&Path> {
        self.data_dir.as_deref()
    }

    /// The same client without a token.
    pub(super) fn without_token(&self) -> Self {
        let (http, base, address) = (self.http.clone(), self.base.clone(), self.address.clone());
        Self { http, base, address, token: None, data_dir: None, named: self.named, guessed: self.guessed }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}/api/v1{path}", self.base)).header(INTENT, "masv");
        match &self.token {
            Some(token) => request.bearer_auth(token.expose_secret()),
            None => request,
        }
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, CliError> {
        self.is_trusted()?;
        let response = request.send().await.map_err(|error| {
            if error.is_connect() {
                self.absent()
            } else {
                CliError::failed(format!("the agent at {} did not respond: {error}", self.address))
            }
        })?;
        self.success(response).await
    }

    /// Whoever is at the usual address was found by nothing but that address: where no agent runs, any user of the machine may listen there,
    /// and would be sent paths, passwords and credentials.
    fn is_trusted(&self) -> Result<(), CliError> {
        if !self.guessed {
            return Ok(());
        }
        let Some(users) = masv_platform::listening_users(USUAL_PORT) else { return Ok(()) };
        let service = PathBeneath::without_links(Path::new(SERVICE)).look().map(|found| found.owner).ok();
        let trusted = |user: &u32| [0, masv_platform::own_user()].contains(user) || Some(*user) == service;
        match users.iter().find(|user| !trusted(user)) {
            _ if users.is_empty() => Err(self.absent()),
            None => Ok(()),
            Some(user) => Err(CliError::new(
                Exit::NotAllowed,
                format!("the program at {} belongs to another user (id {user}); nothing was sent to it", self.address),
            )
            .hint("if it is the agent that you mean, name it with --server")),
        }
    }

    fn absent(&self) -> CliError {
        CliError::new(Exit::NoAgent, format!("no agent is running at {}", self.address))
            .hint("start one with `masv server start`, or name another with --server")
    }

    /// The response if it is a success, otherwise its error.
    async fn success(&self, response: Response) -> Result<Response, CliError> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let text = response.text().await.unwrap_or_default();
        let body = serde_json::from_str::<ErrorBody>(&text).unwrap_or_else(|_| ErrorBody {
            code: u32::from(status.as_u16()),
            message: format!("{} is not an agent, or responded with {status}", self.address),
            ..ErrorBody::default()
        });
        Err(CliError::refused(status.as_u16(), body))
    }

    async fn read<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, CliError> {
        let answer = self.send(request).await?.json().await;
        answer.map_err(|error| CliError::failed(format!("the agent's response is not valid: {error}")))
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        self.read(self.request(Method::GET, path)).await
    }

    pub(super) async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, CliError> {
        self.read(self.request(Method::POST, path).json(body)).await
    }

    /// Posts a request that is carried out once: if the connection breaks before the response, it is repeated with the same
    /// key; a new one is generated if none is given.
    pub(super) async fn post_once<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        key: Option<String>,
    ) -> Result<T, CliError> {
        let key = key.unwrap_or_else(|| UploadId::new().to_string());
        let (until, mut may_have_arrived) = (Instant::now() + REPEATING, false);
        loop {
            let request = self.request(Method::POST, path).header("Idempotency-Key", &key).json(body);
            let error = match request.send().await {
                Ok(response) => match self.success(response).await?.json().await {
                    Ok(answer) => return Ok(answer),
                    Err(error) => error,
                },
                Err(error) => error,
            };
            if error.is_builder() {
                return Err(CliError::usage("--idempotency-key: 1 to 255 visible ASCII characters are expected"));
            }
            if error.is_connect() && !may_have_arrived {
                return Err(self.absent());
            }
            if error.is_decode() || Instant::now() >= until {
                let message = format!("the agent at {} did not answer: {error}", self.address);
                let hint = format!("repeat the command with `--idempotency-key {key}`: it is carried out only once");
                return Err(CliError::failed(message).hint(hint));
            }
            may_have_arrived = true;
            tokio::time::sleep(PAUSE).await;
        }
    }

    pub(super) async fn order<T: DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        self.read(self.request(Method::POST, path)).await
    }

    pub(super) async fn patch<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, CliError> {
        self.read(self.request(Method::PATCH, path).json(body)).await
    }

    pub(super) async fn delete(&self, path: &str) -> Result<(), CliError> {
        self.send(self.request(Method::DELETE, path)).await.map(drop)
    }

    pub(super) async fn delete_counted<T: DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        self.read(self.request(Method::DELETE, path)).await
    }

    /// Whether anything responds there at all.
    pub(super) async fn is_there(&self) -> bool {
        let asked = self.http.get(format!("{}/healthz", self.base)).send().await;
        !asked.is_err_and(|error| error.is_connect())
    }

    /// A request after which the agent may exit before its response has arrived.
    pub(super) async fn tell(&self, path: &str) -> Result<(), CliError> {
        let sent = self.request(Method::POST, path).send().await;
        match sent {
            Ok(response) => self.success(response).await.map(drop),
            Err(error) if error.is_connect() => Err(self.absent()),
            Err(_) => Ok(()),
        }
    }
}

/// The agent of the given data directory, or else this user's, or else the system service's.
fn find() -> Option<(PathBuf, Found)> {
    let places = match std::env::var_os("MASV_DATA_DIR") {
        Some(named) => vec![PathBuf::from(named)],
        None => vec![default_data_dir(), PathBuf::from(SERVICE)],
    };
    places.into_iter().find_map(|place| Some((place.clone(), find_agent(&place)?)))
}

/// The address as typed, if it is valid.
pub(super) fn checked(address: &str) -> Result<String, CliError> {
    let valid = Url::parse(address).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    if valid {
        return Ok(address.to_owned());
    }
    Err(CliError::usage(format!("--server: {address:?} is not a valid address"))
        .hint("such as http://127.0.0.1:8080 or unix:///run/masv-agent/agent.sock"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It was reported as "builder error", as if an agent had not responded.
    #[test]
    fn what_is_not_an_address_is_refused_as_such() {
        for address in ["nonsense", "127.0.0.1:8080", "ftp://x", "http://", "unix:/run/x"] {
            let error = checked(address).unwrap_err();
            assert!(error.exit == Exit::Usage && error.message.contains("is not a valid address"), "{address}");
        }
        assert!(checked("http://127.0.0.1:8080").is_ok() && checked("https://agent.example/masv").is_ok());
    }
}
