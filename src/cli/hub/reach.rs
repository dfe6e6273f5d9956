//! How `masv hub` reaches the hub that it looks after.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use url::Url;

use super::failed;
use crate::agent::default_data_dir;
use crate::api::types::ErrorBody;
use crate::cli::error::{CliError, Exit};
use masv_hub::{Hub, HubConfig};

/// How long a hub may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// Which hub, and as which of its teams.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Reach {
    /// The hub's data directory, for work on its own machine, running or not [default: where `masv hub start` keeps it]
    #[arg(long, global = true, value_name = "DIR", env = "MASV_HUB_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// The address of a running hub, for work from elsewhere; needs a key.
    #[arg(long, global = true, value_name = "URL", env = "MASV_HUB_URL", conflicts_with = "data_dir")]
    hub: Option<Url>,
    /// A file with an API key of an admin; MASV_HUB_KEY holds the key itself.
    #[arg(long, global = true, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// The team, by name or id, where the hub has several.
    #[arg(long, global = true, value_name = "TEAM", env = "MASV_HUB_TEAM")]
    team: Option<String>,
}

/// Where a hub keeps its data when nobody says.
pub(super) fn usual_data_dir() -> PathBuf {
    default_data_dir().join("hub-server")
}

impl Reach {
    /// Finds the hub; makes no data where there is none.
    pub(super) async fn open(self) -> Result<HubClient, CliError> {
        let way = match self.hub {
            Some(base) => Way::Network { http: http()?, base, key: key(self.key_file)? },
            None => {
                let folder = self.data_dir.unwrap_or_else(usual_data_dir);
                if !folder.join("hub.db").exists() {
                    return Err(CliError::new(Exit::NotFound, format!("there is no hub in {}", folder.display()))
                        .hint("give its --data-dir, or the address of a running one with --hub and --key-file"));
                }
                Way::Here(Hub::open(HubConfig::new(folder)).await.map_err(|error| failed(&error))?)
            }
        };
        Ok(HubClient { way, team: self.team })
    }
}

fn http() -> Result<reqwest::Client, CliError> {
    let builder = reqwest::Client::builder().connect_timeout(Duration::from_secs(10)).timeout(ANSWER_LIMIT);
    builder.build().map_err(|error| CliError::failed(format!("cannot set up HTTP: {error}")))
}

fn key(file: Option<PathBuf>) -> Result<SecretString, CliError> {
    let key = match file {
        Some(path) => std::fs::read_to_string(&path)
            .map_err(|error| CliError::usage(format!("--key-file {}: {error}", path.display())))?,
        None => std::env::var("MASV_HUB_KEY")
            .map_err(|_| CliError::usage("a hub elsewhere wants a key").hint("give --key-file, or set MASV_HUB_KEY"))?,
    };
    Ok(key.trim().into())
}

/// Calls one hub.
pub(super) struct HubClient {
    way: Way,
    team: Option<String>,
}

enum Way {
    Here(Hub),
    Network { http: reqwest::Client, base: Url, key: SecretString },
}

impl HubClient {
    /// A call of the protocol; `segments` of its path are escaped.
    pub(super) async fn call(
        &self,
        method: Method,
        segments: &[&str],
        query: &[(&str, String)],
        body: Option<&Value>,
    ) -> Result<Value, CliError> {
        let (status, answer) = match &self.way {
            Way::Here(hub) => {
                let target = address("http://localhost/", segments, query)?;
                let target = target.as_str().trim_start_matches("http://localhost").to_owned();
                hub.call(method, &target, body).await.map_err(|error| failed(&error))?
            }
            Way::Network { http, base, key } => {
                let url = address(base.as_str(), segments, query)?;
                let mut request = http.request(method, url).header("X-API-KEY", key.expose_secret());
                if let Some(body) = body {
                    request = request.json(body);
                }
                let unreachable = |error: reqwest::Error| {
                    CliError::new(
                        Exit::NoAgent,
                        format!("{base} does not answer: {}", super::chain(&error.without_url())),
                    )
                };
                let answer = request.send().await.map_err(unreachable)?;
                let status = answer.status().as_u16();
                let bytes = answer.bytes().await.map_err(unreachable)?;
                let value = if bytes.is_empty() { Ok(Value::Null) } else { serde_json::from_slice(&bytes) };
                (status, value.map_err(|_| CliError::failed(format!("{base} is no hub: it answered {status}")))?)
            }
        };
        if (200..300).contains(&status) {
            return Ok(answer);
        }
        let message = answer["message"].as_str().unwrap_or("the hub refused").to_owned();
        Err(CliError::refused(status, ErrorBody { code: status.into(), message, ..ErrorBody::default() }))
    }

    pub(super) async fn get(&self, segments: &[&str]) -> Result<Value, CliError> {
        self.call(Method::GET, segments, &[], None).await
    }

    pub(super) async fn post(&self, segments: &[&str], body: &Value) -> Result<Value, CliError> {
        self.call(Method::POST, segments, &[], Some(body)).await
    }

    pub(super) async fn put(&self, segments: &[&str], body: &Value) -> Result<Value, CliError> {
        self.call(Method::PUT, segments, &[], Some(body)).await
    }

    pub(super) async fn delete(&self, segments: &[&str]) -> Result<Value, CliError> {
        self.call(Method::DELETE, segments, &[], None).await?;
        Ok(json!({ "removed": true }))
    }

    /// The id of the team that is meant.
    pub(super) async fn team(&self) -> Result<String, CliError> {
        self.team_called(None).await
    }

    /// The id of the team of this name or id, or else of the one that is meant.
    pub(super) async fn team_called(&self, called: Option<&str>) -> Result<String, CliError> {
        let teams = self.get(&["v1", "teams"]).await?;
        let teams: Vec<(&str, &str)> = teams
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|team| Some((team["id"].as_str()?, team["name"].as_str()?)))
            .collect();
        let names = teams.iter().map(|(_, name)| *name).collect::<Vec<_>>().join(", ");
        match (called.or(self.team.as_deref()), teams.as_slice()) {
            (Some(wanted), all) => all
                .iter()
                .find(|(id, name)| *id == wanted || *name == wanted)
                .map(|(id, _)| (*id).to_owned())
                .ok_or_else(|| {
                    CliError::new(Exit::NotFound, format!("there is no team {wanted}"))
                        .hint(format!("there are: {names}"))
                }),
            (None, [(id, _)]) => Ok((*id).to_owned()),
            (None, []) => Err(CliError::new(Exit::NotFound, "the hub has no team yet").hint("masv hub team add NAME")),
            (None, _) => {
                Err(CliError::usage("the hub has several teams").hint(format!("give --team, one of: {names}")))
            }
        }
    }
}

fn address(base: &str, segments: &[&str], query: &[(&str, String)]) -> Result<Url, CliError> {
    let bad = || CliError::usage(format!("{base} can not be the address of a hub"));
    let mut url = Url::parse(base).map_err(|_| bad())?;
    url.path_segments_mut().map_err(|()| bad())?.pop_if_empty().extend(segments);
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    Ok(url)
}

/// A field of an answer as text.
pub(super) fn text(value: &Value, field: &str) -> String {
    match &value[field] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// A time of an answer, for people; empty when it is none.
pub(super) fn time(value: &Value, field: &str) -> String {
    let text = text(value, field);
    if text.starts_with("0001-") { String::new() } else { text.replace('T', " ").chars().take(16).collect() }
}
