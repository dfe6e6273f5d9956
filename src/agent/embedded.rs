//! The hub in the agent's own process, for when no cloud is configured: its data beside the agent's, with a key of its own
//! and the portals that the rules name. Agent and hub meet here only, and speak HTTP from here on, over a loopback address of
//! their own. Where it is to be reached by others, it listens for them on a second address.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::FutureExt;
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{AgentError, secrets};
use crate::api::FurtherMetrics;
use masv_client::CloudSettings;
use masv_hub::{Hub, HubConfig, HubError, Listeners, Network, Provision, ProvisionPortal, SmtpConfig, TlsConfig};
use masv_platform::{host_name, private_file};
use masv_rules::own_hub::OwnHub;
use masv_rules::{Portals, RuleSet, UploadKind};

/// The name by which packages remember it: its address may change.
const EMBEDDED: &str = "embedded";

/// The running hub.
pub(super) struct Embedded {
    hub: Hub,
    key: SecretString,
    /// Who recipients read as the sender.
    sender: String,
    /// How the agent reaches it.
    pub cloud: CloudSettings,
    listeners: Listeners,
}

/// Prepares the hub; it answers once it is served.
pub(super) async fn open(data_dir: &Path, own: &OwnHub, rules: &RuleSet) -> Result<Embedded, AgentError> {
    let folder = data_dir.join("hub");
    let hub = Hub::open(config(folder.clone(), own)?).await?;
    let failed = |source| AgentError::DataDir { path: folder.clone(), source };
    let key = secrets::find_or_make(&folder.join("agent.key")).map_err(failed)?;
    let here = listen(&folder).map_err(failed)?;
    let address = here.local_addr().map_err(failed)?;
    let public = own
        .listen
        .map(|address| TcpListener::bind(address).map_err(|source| AgentError::HubListen { address, source }));
    let listeners = match public.transpose()? {
        None => Listeners::one(here),
        Some(public) => Listeners { public, here: Some(here) },
    };
    let sender = sender(own);
    let provisioned = hub.provision(provision(&key, &sender, rules)).await?;
    let base = Url::parse(&format!("http://{address}"))
        .map_err(|error| AgentError::Setting { setting: "hub", problem: error.to_string() })?;
    let cloud = CloudSettings {
        base,
        name: Some(EMBEDDED.to_owned()),
        api_key: Some(key.clone()),
        team_id: Some(provisioned.team_id.into()),
    };
    Ok(Embedded { hub, key, sender, cloud, listeners })
}

fn config(folder: PathBuf, own: &OwnHub) -> Result<HubConfig, AgentError> {
    let public_url = own
        .reached_at()
        .map_err(|error| AgentError::Setting { setting: "--hub-listen", problem: error.to_string() })?;
    let smtp = own.smtp.clone().map(|smtp| {
        let (username, password) = smtp.login.unzip();
        SmtpConfig { url: smtp.url.into(), username, password, authority: smtp.authority }
    });
    let default = HubConfig::new(folder);
    Ok(HubConfig {
        public_url,
        smtp,
        mail_from: own.mail_from.clone().unwrap_or_else(|| default.mail_from.clone()),
        trusted_proxies: own.trusted_proxies.iter().copied().map(Network::from).collect(),
        tls: own.tls.clone().map(|tls| TlsConfig { certificate: tls.certificate, key: tls.key }),
        // Whoever administers its team also runs the agent and may call what listens on this machine.
        webhook_networks: Network::LOOPBACK.to_vec(),
        // Its rules send to its portals as often as there are files.
        portal_packages_per_hour: if own.listen.is_some() { default.portal_packages_per_hour } else { None },
        ..default
    })
}

impl Embedded {
    /// Serves it until `stop`.
    ///
    /// # Errors
    /// Its listeners cannot be used.
    pub(super) fn serve(
        &self,
        stop: CancellationToken,
    ) -> std::io::Result<impl Future<Output = Result<(), HubError>> + Send + use<>> {
        let (hub, listeners) = (self.hub.clone(), self.listeners.try_clone()?);
        Ok(async move { hub.serve_all(listeners, stop).await })
    }

    /// Its metrics, to be served with those of the agent; empty while they cannot be read.
    pub(super) fn metrics(&self) -> FurtherMetrics {
        let hub = self.hub.clone();
        Arc::new(move || {
            let hub = hub.clone();
            async move {
                let read = hub.metrics().await;
                read.inspect_err(|error| tracing::error!(%error, "the metrics of the hub cannot be read"))
                    .unwrap_or_default()
            }
            .boxed()
        })
    }

    /// Makes sure that the portals named by the new rules exist.
    pub(super) async fn provision(&self, rules: &RuleSet) -> Result<(), HubError> {
        self.hub.provision(provision(&self.key, &self.sender, rules)).await.map(drop)
    }
}

/// Who its recipients read as the sender: the name in `mail-from`, or its address, or this machine.
fn sender(own: &OwnHub) -> String {
    let given = own.mail_from.as_deref().unwrap_or_default();
    let (name, address) = given.split_once('<').unwrap_or((given, ""));
    let names = [name.trim().trim_matches('"').trim(), address.trim_end().trim_end_matches('>').trim()];
    names.into_iter().find(|name| !name.is_empty()).map_or_else(host_name, str::to_owned)
}

fn provision(key: &SecretString, sender: &str, rules: &RuleSet) -> Provision {
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
    Provision {
        team_name: "This machine".to_owned(),
        api_key: key.clone(),
        key_name: sender.to_owned(),
        portals: portals.into_values().collect(),
    }
}

/// The same port at every start, so that links keep working; another one only if it is in use.
fn listen(folder: &Path) -> std::io::Result<TcpListener> {
    let path = folder.join("port");
    let before = std::fs::read_to_string(&path).ok().and_then(|text| text.trim().parse::<u16>().ok());
    if let Some(port) = before {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(listener) => return Ok(listener),
            Err(error) => {
                tracing::warn!(port, %error, "the hub's port is in use by another program: earlier links do not work")
            }
        }
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut file = private_file().truncate(true).open(path)?;
    file.write_all(listener.local_addr()?.port().to_string().as_bytes())?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pages and mails of an agent's own hub said "From agent".
    #[test]
    fn the_sender_is_who_sends_the_mails_or_this_machine() {
        let own = |mail_from: &str| OwnHub { mail_from: Some(mail_from.to_owned()), ..OwnHub::default() };
        for (mail_from, expected) in [
            ("Post House <files@example.com>", "Post House"),
            ("\"Post, House\" <files@example.com>", "Post, House"),
            ("<files@example.com>", "files@example.com"),
            ("files@example.com", "files@example.com"),
        ] {
            assert_eq!(sender(&own(mail_from)), expected);
        }
        assert_eq!(sender(&OwnHub::default()), host_name());
        assert_ne!(sender(&OwnHub::default()), "agent");
    }
}
