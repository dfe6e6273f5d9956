//! How `masv hub` reaches the hub that it administers.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;

use clap::Args;
use masv_client::admin::{Admin, Answer, Request, Transport};
use masv_client::{Cloud, CloudError, CloudSettings};
use masv_protocol::{LinkId, Package, PackageId, PackageQuery, Portal, PortalQuery, TeamId, Time};
use secrecy::SecretString;
use serde::Serialize;
use url::Url;

use super::failed;
use super::shared::SharedOptions;
use crate::agent::default_data_dir;
use crate::api::types::ErrorBody;
use crate::cli::error::{CliError, Exit};
use crate::cli::short::Named;
use masv_hub::{Hub, HubConfig};

/// Which hub, and which of its teams.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Reach {
    /// The hub's data directory, for use on the hub's own machine, whether the hub is running or not [default: where `masv hub start` keeps it]
    #[arg(long, global = true, value_name = "DIR", env = "MASV_HUB_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// The address of a running hub, for use from another machine; requires a key.
    #[arg(long, global = true, value_name = "URL", env = "MASV_HUB_URL", conflicts_with = "data_dir")]
    hub: Option<Url>,
    /// File with an admin's API key; MASV_HUB_KEY holds the key itself.
    #[arg(long, global = true, value_name = "FILE")]
    key_file: Option<PathBuf>,
    #[command(flatten)]
    shared: SharedOptions,
    /// The team, by name or id, if the hub has several.
    #[arg(long, global = true, value_name = "TEAM", env = "MASV_HUB_TEAM")]
    team: Option<String>,
}

/// A hub's default data directory.
pub(super) fn usual_data_dir() -> PathBuf {
    default_data_dir().join("hub-server")
}

/// What of a hub is offered to a shell.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) enum Offered {
    Packages,
    Links,
    Keys,
    Portals,
}

impl Reach {
    /// The hub that a line is about which is still being typed; none if its address is not one yet.
    pub(in crate::cli) fn of(
        data_dir: Option<String>,
        hub: Option<String>,
        key_file: Option<String>,
        team: Option<String>,
    ) -> Option<Self> {
        let hub = hub.map(|hub| hub.parse()).transpose().ok()?;
        let (data_dir, key_file) = (data_dir.map(PathBuf::from), key_file.map(PathBuf::from));
        Some(Self { data_dir, hub, key_file, shared: SharedOptions::default(), team })
    }

    /// Ids, names and states of at most so many of these, for a shell; nothing if the hub cannot be asked, or would first have to be
    /// upgraded.
    pub(in crate::cli) async fn offered(self, what: Offered, most: usize) -> Option<Vec<(String, String, String)>> {
        if self.hub.is_none() && !masv_hub::is_current(&self.data_dir.clone().unwrap_or_else(usual_data_dir)) {
            return None;
        }
        let hub = self.open().await.ok()?;
        let team = hub.team().await.ok()?;
        let found = match what {
            Offered::Keys => {
                let keys = hub.admin.keys(&team).await.ok()?;
                keys.into_iter().map(|key| (key.id.to_string(), key.name, key.role.to_string())).collect()
            }
            Offered::Portals => {
                let portals = hub.admin.portals(&team, &PortalQuery::default()).await.ok()?.records;
                let parts = |portal: Portal| (portal.public.subdomain, portal.public.name, String::new());
                portals.into_iter().map(parts).collect()
            }
            Offered::Packages | Offered::Links => {
                let query = PackageQuery { limit: Some(most as u64), ..PackageQuery::default() };
                let mut packages = hub.admin.sent_packages(&team, &query).await.ok()?.records;
                if matches!(what, Offered::Packages) {
                    packages.extend(hub.admin.received_packages(&team, &query).await.ok()?.records);
                    let parts = |package: Package| {
                        let state = package.state().map(ToString::to_string).unwrap_or_default();
                        (package.id.to_string(), package.name, state)
                    };
                    packages.into_iter().map(parts).collect()
                } else {
                    let mut links = Vec::new();
                    for package in packages {
                        let of = hub.admin.links(&package.id).await.ok()?;
                        links.extend(
                            of.into_iter().map(|link| (link.id.to_string(), package.name.clone(), String::new())),
                        );
                    }
                    links
                }
            }
        };
        Some(found.into_iter().take(most).collect())
    }

    /// Finds the hub; does not create data if there is none.
    pub(super) async fn open(self) -> Result<HubClient, CliError> {
        let (admin, base) = match self.hub {
            Some(base) => (over(base.clone(), key(self.key_file)?)?, Some(base)),
            None => {
                let folder = self.data_dir.unwrap_or_else(usual_data_dir);
                let database = self.shared.database()?;
                if database.is_none() && !folder.join("hub.db").exists() {
                    return Err(CliError::new(Exit::NotFound, format!("there is no hub in {}", folder.display()))
                        .hint("give its --data-dir, or the address of a running one with --hub and --key-file"));
                }
                let config = HubConfig { database, ..HubConfig::new(folder) };
                let hub = Hub::open(config).await.map_err(|error| failed(&error))?;
                (Admin::within(Within(hub)), None)
            }
        };
        Ok(HubClient { admin, base, team: self.team })
    }
}

fn over(base: Url, key: SecretString) -> Result<Admin, CliError> {
    let settings = CloudSettings { base: base.clone(), name: None, api_key: Some(key), team_id: None };
    let cloud = Cloud::new(settings).map_err(|error| explain(Some(&base), error))?;
    Ok(Admin::over(cloud))
}

/// A hub opened in this process; another process may be serving it.
struct Within(Hub);

impl Transport for Within {
    fn call(&self, request: Request) -> Pin<Box<dyn Future<Output = Answer> + Send + '_>> {
        Box::pin(async move {
            let Request { method, target, body } = request;
            Ok(self.0.call(method, &target, body.as_ref()).await?)
        })
    }
}

fn key(file: Option<PathBuf>) -> Result<SecretString, CliError> {
    let key = match file {
        Some(path) => std::fs::read_to_string(&path)
            .map_err(|error| CliError::usage(format!("--key-file {}: {error}", path.display())))?,
        None => std::env::var("MASV_HUB_KEY")
            .map_err(|_| CliError::usage("a remote hub requires a key").hint("give --key-file, or set MASV_HUB_KEY"))?,
    };
    Ok(key.trim().into())
}

/// The most entries of a page.
const PAGE: u64 = 100;

/// Whether this is an id as a whole: 26 letters and digits.
fn is_whole(typed: &str) -> bool {
    typed.len() == 26 && typed.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
}

/// One hub, and the chosen team.
pub(super) struct HubClient {
    /// Its client.
    pub(super) admin: Admin,
    /// Its address, unless it is in this process.
    base: Option<Url>,
    team: Option<String>,
}

impl HubClient {
    /// The response to a call, or the error to report.
    pub(super) async fn ask<T>(&self, call: impl Future<Output = Result<T, CloudError>>) -> Result<T, CliError> {
        call.await.map_err(|error| explain(self.base.as_ref(), error))
    }

    /// The id of the chosen team.
    pub(super) async fn team(&self) -> Result<TeamId, CliError> {
        self.team_called(None).await
    }

    /// The package that was typed: by its id, the end of its id, or its name.
    pub(super) async fn package(&self, typed: &str) -> Result<PackageId, CliError> {
        if is_whole(typed) {
            return Ok(PackageId::from(typed));
        }
        let named = Named { kind: "package", list: "masv hub package ls", by_beginning: false };
        let parts = |package: &Package| {
            let state = package.state().map(ToString::to_string).unwrap_or_default();
            (package.id.to_string(), package.name.clone(), state)
        };
        named.one(typed, self.packages().await?, parts).map(|package| package.id)
    }

    /// The link that was typed: by its id, or the end of its id.
    pub(super) async fn link(&self, typed: &str) -> Result<LinkId, CliError> {
        if is_whole(typed) {
            return Ok(LinkId::from(typed));
        }
        let mut links = Vec::new();
        for package in self.packages().await? {
            let name = package.name;
            let of = self.ask(self.admin.links(&package.id)).await?;
            links.extend(of.into_iter().map(|link| (link.id, name.clone())));
        }
        let named = Named { kind: "link", list: "masv hub link ls PACKAGE", by_beginning: false };
        let parts = |(id, name): &(LinkId, String)| (id.to_string(), String::new(), name.clone());
        named.one(typed, links, parts).map(|(id, _)| id)
    }

    /// All packages of the team, sent and received.
    async fn packages(&self) -> Result<Vec<Package>, CliError> {
        let team = self.team().await?;
        let mut all = Vec::new();
        for received in [false, true] {
            for page in 1.. {
                let query = PackageQuery { page: Some(page), limit: Some(PAGE), ..PackageQuery::default() };
                let found = match received {
                    true => self.ask(self.admin.received_packages(&team, &query)).await?,
                    false => self.ask(self.admin.sent_packages(&team, &query)).await?,
                };
                let last = (found.records.len() as u64) < PAGE;
                all.extend(found.records);
                if last {
                    break;
                }
            }
        }
        Ok(all)
    }

    /// The id of the team with this name or id, or else of the chosen one.
    pub(super) async fn team_called(&self, called: Option<&str>) -> Result<TeamId, CliError> {
        let teams = self.ask(self.admin.teams()).await?;
        let names = teams.iter().map(|team| team.name.as_str()).collect::<Vec<_>>().join(", ");
        match (called.or(self.team.as_deref()), teams.as_slice()) {
            (Some(wanted), all) => {
                let found = all.iter().find(|team| team.id == *wanted || team.name == wanted);
                found.map(|team| team.id.clone()).ok_or_else(|| {
                    CliError::new(Exit::NotFound, format!("there is no team {wanted}"))
                        .hint(format!("the teams are: {names}"))
                })
            }
            (None, [only]) => Ok(only.id.clone()),
            (None, []) => Err(CliError::new(Exit::NotFound, "the hub has no team yet").hint("masv hub team add NAME")),
            (None, _) => {
                Err(CliError::usage("the hub has several teams").hint(format!("give --team, one of: {names}")))
            }
        }
    }
}

/// The error to report for a failed call; `base` is the hub's address, unless it is in this process.
fn explain(base: Option<&Url>, error: CloudError) -> CliError {
    match (error, base) {
        (CloudError::Refused { status, message, .. }, _) => {
            CliError::refused(status, ErrorBody { code: status.into(), message, ..ErrorBody::default() })
        }
        (CloudError::Unreachable { reason, .. }, Some(base)) => {
            CliError::new(Exit::NoAgent, format!("{base} does not respond: {reason}"))
        }
        (CloudError::Unreachable { reason, .. }, None) => CliError::failed(reason),
        (CloudError::Garbled { reason, .. }, Some(base)) => {
            CliError::failed(format!("{base} does not respond like a hub: {reason}"))
        }
        (CloudError::Setup { .. }, Some(base)) => CliError::usage(format!("{base} is not a valid address of a hub")),
        (error, _) => failed(&error),
    }
}

/// The output of a removal.
#[derive(Debug, Serialize)]
pub(super) struct Removed {
    removed: bool,
}

/// It was removed.
pub(super) const REMOVED: Removed = Removed { removed: true };

/// A time for people; empty if not set.
pub(super) fn time(time: Time) -> String {
    time.timestamp().map(|moment| moment.strftime("%Y-%m-%d %H:%M").to_string()).unwrap_or_default()
}

/// A time as typed.
pub(super) fn typed_time(typed: &str) -> Result<Time, CliError> {
    typed.parse().map_err(|error: masv_protocol::InvalidTime| CliError::usage(error.to_string()))
}
