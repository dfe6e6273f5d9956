//! The hub in the agent's own process, for when no cloud is configured: on loopback, its data beside the agent's,
//! with a key of its own and the portals that the rules name. Agent and hub meet here only, and speak HTTP from here on.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use secrecy::SecretString;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{AgentError, secrets};
use masv_client::CloudSettings;
use masv_hub::{Hub, HubConfig, HubError, Network, Provision, ProvisionPortal};
use masv_rules::{Portals, RuleSet, UploadKind};

/// What packages remember it by: its address may change.
const EMBEDDED: &str = "embedded";

/// The running hub.
pub(super) struct Embedded {
    hub: Hub,
    key: SecretString,
    /// How the agent reaches it.
    pub cloud: CloudSettings,
    listener: TcpListener,
}

/// Prepares the hub; it answers once it is served.
pub(super) async fn open(data_dir: &Path, rules: &RuleSet) -> Result<Embedded, AgentError> {
    let folder = data_dir.join("hub");
    // Who administers its team runs the agent too: what listens on this machine is theirs to call.
    let config = HubConfig { webhook_networks: Network::LOOPBACK.to_vec(), ..HubConfig::new(folder.clone()) };
    let hub = Hub::open(config).await?;
    let failed = |source| AgentError::DataDir { path: folder.clone(), source };
    let key = secrets::find_or_make(&folder.join("agent.key")).map_err(failed)?;
    let listener = listen(&folder).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let provisioned = hub.provision(provision(&key, rules)).await?;
    let base = Url::parse(&format!("http://{address}"))
        .map_err(|error| AgentError::Setting { setting: "hub", problem: error.to_string() })?;
    let cloud = CloudSettings {
        base,
        name: Some(EMBEDDED.to_owned()),
        api_key: Some(key.clone()),
        team_id: Some(provisioned.team_id.into()),
    };
    Ok(Embedded { hub, key, cloud, listener })
}

impl Embedded {
    /// Serves it until `stop`.
    ///
    /// # Errors
    /// When its listener can not be used.
    pub(super) fn serve(
        &self,
        stop: CancellationToken,
    ) -> std::io::Result<impl Future<Output = Result<(), HubError>> + Send + use<>> {
        let (hub, listener) = (self.hub.clone(), self.listener.try_clone()?);
        Ok(async move { hub.serve(listener, stop).await })
    }

    /// Makes sure of the portals that other rules name.
    pub(super) async fn provision(&self, rules: &RuleSet) -> Result<(), HubError> {
        self.hub.provision(provision(&self.key, rules)).await.map(drop)
    }
}

fn provision(key: &SecretString, rules: &RuleSet) -> Provision {
    let mut portals = BTreeMap::new();
    for rule in &rules.rules {
        if let UploadKind::Portal { subdomain, sender, .. } = &rule.upload.kind {
            portals.entry(subdomain.clone()).or_insert_with(|| ProvisionPortal {
                subdomain: subdomain.clone(),
                name: subdomain.clone(),
                recipients: vec![sender.to_string()],
                access_code: rule.upload.password.clone(),
            });
        }
    }
    let followed = rules.downloads.iter().filter_map(|rule| match &rule.portals {
        Portals::Subdomains(names) => Some(names),
        Portals::All => None,
    });
    for subdomain in followed.flatten() {
        portals.entry(subdomain.clone()).or_insert_with(|| ProvisionPortal {
            subdomain: subdomain.clone(),
            name: subdomain.clone(),
            recipients: Vec::new(),
            access_code: None,
        });
    }
    Provision { team_name: "This machine".to_owned(), api_key: key.clone(), portals: portals.into_values().collect() }
}

/// The same port at every start, so that links keep working; another one only when somebody took it.
fn listen(folder: &Path) -> std::io::Result<TcpListener> {
    let path = folder.join("port");
    let before = std::fs::read_to_string(&path).ok().and_then(|text| text.trim().parse::<u16>().ok());
    if let Some(port) = before {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(listener) => return Ok(listener),
            Err(error) => tracing::warn!(port, %error, "the hub's port is taken: links made before do not work"),
        }
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(listener.local_addr()?.port().to_string().as_bytes())?;
    Ok(listener)
}
