//! Restores the engines at the start: with the configured cloud, the session saved for it, and the settings that
//! were changed at run time.
//!
//! **In**: settings, rules, the store. **Out**: [`CloudSettings`], and the running [`Queue`] and [`Downloads`].

use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

use super::{AgentError, Settings};
use crate::download::{DownloadSettings, Downloads};
use crate::engine::{DownloadRateLimit, UploadRateLimit, Workers};
use crate::model::{KeptDiskReaders, KeptFifo, KeptOpenFiles, KeptWorkers};
use crate::store::Store;
use crate::upload::{Queue, UploadSettings};
use masv_client::{Cloud, CloudSettings};
use masv_platform::OwnPlaces;
use masv_protocol::{SignedIn, TeamId};
use masv_rules::{Cloud as Written, RuleSet};

/// The service that uploads go to if only a key is configured.
const SERVICE: &str = "https://api.massive.app";

/// The configured cloud; `None` means the embedded hub.
pub(super) fn configured_cloud(settings: &Settings, rules: &RuleSet) -> Result<Option<CloudSettings>, AgentError> {
    // Key and team of the rules file are sent only to the cloud that it names.
    let other = |cloud: &&Written| settings.cloud_url.as_ref().is_some_and(|url| *url != cloud.url);
    let written = rules.cloud.as_ref().filter(|cloud| !other(cloud));
    let url = settings.cloud_url.clone().or_else(|| written.map(|cloud| cloud.url.clone()));
    let api_key: Option<SecretString> =
        settings.api_key.clone().or_else(|| written.and_then(|cloud| cloud.api_key.clone()));
    let team_id = settings.team_id.clone().or_else(|| written.and_then(|cloud| cloud.team.clone()));
    let base = match url {
        Some(url) => url,
        None if api_key.is_some() => Url::parse(SERVICE)
            .map_err(|error| AgentError::Setting { setting: "--cloud-url", problem: error.to_string() })?,
        None => return Ok(None),
    };
    Ok(Some(CloudSettings { base, name: None, api_key, team_id: team_id.map(TeamId::from) }))
}

#[derive(Deserialize)]
struct KeptSession {
    /// A token is sent only to the cloud that issued it.
    cloud: Url,
    #[serde(flatten)]
    session: SignedIn,
}

/// The saved session, whichever cloud it is for.
async fn kept_session(store: &Store) -> Result<Option<KeptSession>, AgentError> {
    let value = store.setting("session").await?;
    Ok(value.and_then(|value| {
        serde_json::from_value(value)
            .inspect_err(|error| tracing::warn!(%error, "the saved session cannot be read; continuing without it"))
            .ok()
    }))
}

/// Starts the queue with the saved session and settings.
pub(super) async fn start_queue(
    store: &Store,
    cloud_settings: CloudSettings,
    settings: UploadSettings,
) -> Result<Queue, AgentError> {
    let cloud = Cloud::new(cloud_settings)?;
    let session = kept_session(store).await?;
    let session = session.filter(|kept| kept.cloud == *cloud.base());
    cloud.set_session(session.map(|kept| kept.session));
    let workers = store.kept::<KeptWorkers>().await?.and_then(|kept| kept.uploads);
    let workers = workers.map_or(settings.workers, Workers::from_kept);
    let active_uploads =
        store.kept::<KeptFifo>().await?.and_then(|kept| kept.uploads).unwrap_or(settings.active_uploads);
    let open_files = store.kept::<KeptOpenFiles>().await?;
    let open_files = open_files.map_or(settings.open_files, |kept| kept.open_files);
    let disk_readers = store.kept::<KeptDiskReaders>().await?;
    let disk_readers = disk_readers.map_or(settings.disk_readers, |kept| kept.disk_readers);
    let settings = UploadSettings { workers, active_uploads, open_files, disk_readers, ..settings };
    let queue = Queue::start(store.clone(), cloud, settings).await?;
    if let Some(UploadRateLimit(limit)) = store.kept().await? {
        queue.throttle().set(limit);
    }
    Ok(queue)
}

/// Starts the downloads with the saved settings.
pub(super) async fn start_downloads(
    store: &Store,
    cloud: Cloud,
    transfer: UploadSettings,
    protected: OwnPlaces,
) -> Result<Downloads, AgentError> {
    let usual = DownloadSettings { auto_resume: transfer.auto_resume, ..DownloadSettings::default() };
    let workers = store.kept::<KeptWorkers>().await?.and_then(|kept| kept.downloads);
    let fifo = store.kept::<KeptFifo>().await?.and_then(|kept| kept.downloads);
    let settings = DownloadSettings {
        workers: workers.map_or(usual.workers, Workers::from_kept),
        active_downloads: fifo.unwrap_or(usual.active_downloads),
        ..usual
    };
    let downloads = Downloads::start(store.clone(), cloud, settings, protected).await?;
    if let Some(DownloadRateLimit(limit)) = store.kept().await? {
        downloads.throttle().set(limit);
    }
    Ok(downloads)
}
