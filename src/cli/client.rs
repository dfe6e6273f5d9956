//! The typed client of the local API: finds the agent, calls it, turns its refusals into exit codes.

use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Common;
use super::error::{CliError, Exit};
use crate::agent::{default_data_dir, find_address};
use crate::api::types::ErrorBody;

/// Where an agent is when nobody says.
const USUAL: &str = "http://localhost:8080";

/// Calls one agent.
pub(super) struct Client {
    http: reqwest::Client,
    base: String,
    address: String,
    token: Option<SecretString>,
    /// Whether somebody said which agent is meant.
    named: bool,
}

impl Client {
    /// A client of the agent that was named, or that wrote its address into the data directory, or of the usual one.
    pub(super) fn new(common: &Common) -> Result<Self, CliError> {
        let data_dir = std::env::var_os("MASV_DATA_DIR").map_or_else(default_data_dir, Into::into);
        let address = common.server.clone().or_else(|| find_address(&data_dir)).unwrap_or_else(|| USUAL.to_owned());
        let mut builder = reqwest::Client::builder().no_proxy().connect_timeout(Duration::from_secs(5));
        let base = match address.strip_prefix("unix://") {
            Some(path) => {
                builder = builder.unix_socket(path);
                "http://localhost".to_owned()
            }
            None => address.trim_end_matches('/').to_owned(),
        };
        let http = builder.build().map_err(|error| CliError::failed(format!("cannot set up HTTP: {error}")))?;
        let token = match &common.token_file {
            Some(path) => {
                let text = std::fs::read_to_string(path);
                let text =
                    text.map_err(|error| CliError::usage(format!("--with-token {}: {error}", path.display())))?;
                Some(SecretString::from(text.trim()))
            }
            None => std::env::var("MASV_TOKEN").ok().map(SecretString::from),
        };
        Ok(Self { http, base, address, token, named: common.server.is_some() })
    }

    /// Whether somebody said which agent is meant.
    pub(super) fn is_named(&self) -> bool {
        self.named
    }

    /// Where the agent is.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}/api/v1{path}", self.base));
        match &self.token {
            Some(token) => request.bearer_auth(token.expose_secret()),
            None => request,
        }
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, CliError> {
        let response = request.send().await.map_err(|error| {
            if error.is_connect() {
                CliError::new(Exit::NoAgent, format!("no agent answers at {}", self.address))
                    .hint("start one with `masv server start`, or name another with --server")
            } else {
                CliError::failed(format!("the agent at {} did not answer: {error}", self.address))
            }
        })?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let text = response.text().await.unwrap_or_default();
        let body = serde_json::from_str::<ErrorBody>(&text).unwrap_or_else(|_| ErrorBody {
            code: u32::from(status.as_u16()),
            message: format!("{} is no agent, or answered {status}", self.address),
            ..ErrorBody::default()
        });
        Err(CliError::refused(status.as_u16(), body))
    }

    async fn read<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, CliError> {
        let answer = self.send(request).await?.json().await;
        answer.map_err(|error| CliError::failed(format!("the agent's answer makes no sense: {error}")))
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        self.read(self.request(Method::GET, path)).await
    }

    pub(super) async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, CliError> {
        self.read(self.request(Method::POST, path).json(body)).await
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

    pub(super) async fn tell(&self, path: &str) -> Result<(), CliError> {
        self.send(self.request(Method::POST, path)).await.map(drop)
    }
}
