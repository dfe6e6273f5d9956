//! The life of the process: what is started in which order, and stopped in reverse.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use jiff::Timestamp;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::address::{AddressFile, own_token};
use super::console_events::{Banner, Notice, rule_lines, tell};
use super::embedded::{self, Embedded};
use super::listen::{access, listen};
use super::reload::{Reloader, load_at_start, name_teams};
use super::restore::{configured_cloud, start_downloads, start_queue};
use super::settings::Listen;
use super::supervisor::Supervisor;
use super::{AgentError, Settings, awake, history, lock, memory, service};
use crate::alerts::{self, Trouble};
use crate::api::about::{Delivery, Limitation, limitations_of_own_hub};
use crate::api::types::Grade;
use crate::api::{self, About, ApiState, EventCounts, RulesFile, Spool, serve};
use crate::hooks;
use crate::model::State;
use crate::portal_downloads::Inbox;
use crate::store::Store;
use crate::watch::{WatchSettings, Watcher};
use masv_client::CloudSettings;
use masv_platform::{OwnPlaces, host_name};
use masv_protocol::TeamId;
use masv_rules::{RuleSet, UploadKind};

/// How often the line for `systemctl status` is updated.
const STATUS_EVERY: Duration = Duration::from_secs(5);
/// Tasks that run elsewhere and are supervised.
const ENGINES: [&str; 3] = ["the upload engine", "the download engine", "the database's writer"];

/// Raises the limit of open files and connections; if it stays too low, the agent does not start.
///
/// # Errors
/// [`AgentError::Descriptors`].
pub fn raise_descriptors() -> Result<(), AgentError> {
    match masv_platform::raise_descriptors() {
        Some(allowed) if allowed < masv_platform::FEWEST_DESCRIPTORS => Err(AgentError::Descriptors { allowed }),
        allowed => {
            tracing::debug!(?allowed, "files and connections that may be open");
            Ok(())
        }
    }
}

/// Runs the agent until `stop`, SIGTERM or Ctrl-C; then lets work in flight end.
///
/// # Errors
/// See [`AgentError`]; each says what to do.
pub async fn run(settings: Settings, stop: CancellationToken, notices: mpsc::Sender<Notice>) -> Result<(), AgentError> {
    let hangup = heed_signals(&stop);
    raise_descriptors()?;
    let _lock = lock::lock(&settings.data_dir)?;
    memory::refuse_if_lost(&settings.data_dir)?;
    let rules_file = RulesFile::of(settings.rules.clone(), &settings.data_dir);
    let (rules, wrong) = load_at_start(&settings.data_dir, &rules_file).await.map_err(AgentError::Rules)?;
    let wrong = wrong.map(|diagnostics| diagnostics.render(false));
    AddressFile::forget(&settings.data_dir);
    let failed = |source| AgentError::DataDir { path: settings.data_dir.clone(), source };
    let access = access(&settings, own_token(&settings.data_dir).map_err(failed)?);
    let (listener, api_address) = listen(&settings)?;
    let store = memory::open(&settings.data_dir).await?;
    let missing_events = memory::missing(&settings.data_dir, &store).await?;
    if let Some(events) = missing_events {
        tracing::warn!(events, "{}", api::older_database(events));
    }

    let mut vital = Supervisor::default();
    let own_hub = settings.hub.clone().or(rules.hub.clone());
    let hub_stop = CancellationToken::new();
    let alerts = settings.alerts.settings(&own_hub, &host_name())?;
    let (cloud_settings, embedded) = match configured_cloud(&settings, &rules)? {
        Some(cloud) => (cloud, None),
        None => {
            let embedded = embedded::open(&settings.data_dir, &own_hub, &rules).await?;
            vital.run("the embedded hub", embedded.serve(hub_stop.clone()).map_err(failed)?);
            (embedded.cloud.clone(), Some(embedded))
        }
    };
    let about = About {
        started_at: Timestamp::now(),
        data_dir: settings.data_dir.clone(),
        cloud: cloud_settings.base.to_string().trim_end_matches('/').to_owned(),
        embedded_hub: embedded.is_some(),
        missing_events,
        limitations: match &embedded {
            Some(_) => limitations_of_own_hub(&own_hub, &settings.data_dir),
            None => Vec::new(),
        },
        rules: rules_file.clone(),
        settings: settings_in_force(&settings, &rules, &cloud_settings, embedded.is_some()),
    };
    let banner = banner(&settings, &rules, &about, &api_address);
    let from_event = store.last_event().await?;
    let team_id = cloud_settings.team_id.clone();
    let queue = start_queue(&store, cloud_settings, settings.transfer).await?;
    let own = OwnPlaces::new(settings.own_files.clone());
    own.change(rules.own_files());
    name_teams(&queue, &rules).await;
    let downloads = start_downloads(&store, queue.cloud().clone(), settings.transfer, own.clone()).await?;

    let (rules_cloud, rules_hub) = (rules.cloud.clone(), rules.hub.clone());
    let rules = Arc::new(rules);
    let (told_rules, rules_now) = watch::channel(Arc::clone(&rules));
    // Before anything can happen to a rule.
    let telling = hooks::start(store.clone(), rules_now, stop.clone()).await?;
    let watching = stop.child_token();
    let watch_settings = WatchSettings { own: own.clone(), host: host_name(), team_id, ..WatchSettings::default() };
    let outlet = Arc::new(queue.clone());
    let inbox =
        Inbox::start(Arc::clone(&rules), queue.cloud().clone(), downloads.clone(), watching.child_token()).await;
    let watcher = Watcher::start(rules, store.clone(), outlet, watch_settings, watching).await;
    let further_metrics = embedded.as_ref().map(Embedded::metrics);
    let (problem, rules_problem) = watch::channel(wrong.clone());
    let reloader = Arc::new(Reloader {
        file: rules_file,
        data_dir: settings.data_dir.clone(),
        own: own.clone(),
        queue: queue.clone(),
        watcher: watcher.clone(),
        inbox: inbox.clone(),
        rules: told_rules,
        embedded,
        cloud: Mutex::new(rules_cloud),
        hub: rules_hub,
        notices: notices.clone(),
        problem,
    });

    let events = Arc::new(EventCounts::default());
    let spool = Arc::new(Spool::new(&settings.data_dir, settings.spool_limit));
    let state = ApiState {
        queue: queue.clone(),
        downloads: downloads.clone(),
        watcher: watcher.clone(),
        inbox: inbox.clone(),
        reload: reload_by(&reloader),
        rules_problem,
        events: Arc::clone(&events),
        further_metrics,
        probe: Arc::default(),
        about: Arc::new(about),
        allowed_roots: settings.allowed_roots.clone().into(),
        own,
        spool: Arc::clone(&spool),
        auto_finalize: settings.auto_finalize,
        shutdown: stop.clone(),
    };
    if let Some(alerts) = alerts {
        let looked_at = state.clone();
        let look = Box::new(move || troubles(looked_at.clone()).boxed());
        tokio::spawn(alerts::run(alerts, look, host_name(), store.clone(), stop.clone()));
    }
    let api_stop = CancellationToken::new();
    vital.run("the API", serve(listener, state, access, api_stop.clone()));
    vital.watch(ENGINES[0], {
        let queue = queue.clone();
        async move { queue.over().await }
    });
    vital.watch(ENGINES[1], {
        let downloads = downloads.clone();
        async move { downloads.over().await }
    });
    vital.watch(ENGINES[2], {
        let store = store.clone();
        async move { store.closed().await }
    });
    let address_file = AddressFile::write(&settings.data_dir, &api_address).map_err(failed)?;

    tokio::spawn(tell(store.clone(), from_event, notices.clone(), stop.clone()));
    tokio::spawn({
        let (store, stop) = (store.clone(), stop.clone());
        async move { api::follow(store, from_event, &events, stop).await }
    });
    tokio::spawn(service::watchdog(stop.clone()));
    tokio::spawn(tell_status(store.clone(), watcher.clone(), stop.clone()));
    if settings.stay_awake {
        tokio::spawn(awake::stay_awake(store.clone(), stop.clone()));
    }
    tokio::spawn(history::keep_spool_clean(spool, store.clone(), stop.clone()));
    tokio::spawn(memory::keep_mark(settings.data_dir.clone(), store.clone(), stop.clone()));
    tokio::spawn(history::keep_short(store.clone(), settings.history_days, stop.clone()));
    let following = tokio::spawn({
        let (reloader, stop) = (Arc::clone(&reloader), stop.clone());
        async move { reloader.follow(stop).await }
    });
    tracing::info!(api = %api_address, cloud = %banner.cloud, rules = banner.rules.len(), "ready");
    let status = match &wrong {
        None => format!("{} rules, API on {api_address}", banner.rules.len()),
        Some(_) => "the rules file is not valid, the previous rules stay active".to_owned(),
    };
    service::ready(&status);
    // There may be no receiver.
    let _ = notices.send(Notice::Ready(banner)).await;
    if let Some(report) = wrong {
        let _ = notices.send(Notice::BadRules { report }).await;
    }

    let failure = tokio::select! {
        () = wait_for_the_end(&stop, hangup, &reloader) => None,
        failure = vital.failed() => Some(failure),
    };
    if let Some(failure) = &failure {
        tracing::error!(error = failure as &dyn std::error::Error, "the agent cannot continue");
    }

    service::stopping();
    let _ = notices.try_send(Notice::Stopping);
    tracing::info!("stopping");
    stop.cancel();
    tokio::join!(watcher.stop(), inbox.stop());
    tokio::join!(queue.stop(), downloads.stop());
    api_stop.cancel();
    let _ = following.await;
    let _ = telling.await;
    hub_stop.cancel();
    vital.wind_down(&ENGINES).await;
    memory::close(&settings.data_dir, &store).await;
    drop(address_file);
    if let Listen::Unix(path) = &settings.listen {
        let _ = std::fs::remove_file(path);
    }
    tracing::info!("stopped");
    failure.map_or(Ok(()), Err)
}

/// What is wrong with the agent, as the doctor sees it.
async fn troubles(state: ApiState) -> Vec<Trouble> {
    let wrong = api::examine(&state).await.into_iter().filter(|check| check.grade == Grade::Red);
    wrong.map(|check| Trouble { name: check.name, finding: check.finding, todo: check.todo }).collect()
}

/// The effective settings: including what the rules file and the embedded hub decide.
fn settings_in_force(
    settings: &Settings,
    rules: &RuleSet,
    cloud: &CloudSettings,
    embedded: bool,
) -> Vec<api::about::Setting> {
    let mut shown = settings.shown.clone();
    let written = rules.cloud.as_ref().filter(|written| written.url == cloud.base);
    let from_rules = rules.path.display().to_string();
    for setting in shown.iter_mut().filter(|setting| setting.source == "default") {
        let value = match &*setting.name {
            "cloud-url" if !embedded => Some(cloud.base.to_string()),
            "api-key" => written.and_then(|written| written.api_key.as_ref()).map(|_| "set".to_owned()),
            "team-id" if !embedded => cloud.team_id.clone().map(TeamId::into_string),
            _ => None,
        };
        if let Some(value) = value {
            setting.value = value;
            if written.is_some() {
                setting.source.clone_from(&from_rules);
            }
        }
    }
    shown
}

fn banner(settings: &Settings, rules: &RuleSet, about: &About, api: &str) -> Banner {
    Banner {
        api: api.to_owned(),
        cloud: about.cloud.clone(),
        embedded_hub: about.embedded_hub,
        limitations: limitations_that_matter(rules, about),
        data_dir: settings.data_dir.clone(),
        rules_file: about.rules.there().map(Path::to_owned),
        rules: rule_lines(rules),
        warnings: rules.warnings.clone(),
    }
}

/// Limitations of the deliveries that these rules make; without rules, links can still be made by hand.
fn limitations_that_matter(rules: &RuleSet, about: &About) -> Vec<Limitation> {
    let mails = rules.rules.iter().any(|rule| !matches!(rule.upload.kind, UploadKind::Link));
    about.limitations.iter().filter(|limitation| mails || limitation.of == Delivery::Links).cloned().collect()
}

fn reload_by(reloader: &Arc<Reloader>) -> api::Reload {
    let reloader = Arc::downgrade(reloader);
    Arc::new(move || {
        let reloader = reloader.clone();
        Box::pin(async move {
            match reloader.upgrade() {
                Some(reloader) => reloader.reload().await,
                // The agent is stopping.
                None => Ok(()),
            }
        })
    })
}

/// Reports the status to the service manager when it changes.
async fn tell_status(store: Store, watcher: Watcher, stop: CancellationToken) {
    let mut told = String::new();
    while tokio::time::timeout(STATUS_EVERY, stop.cancelled()).await.is_err() {
        let Ok(counts) = store.upload_counts().await else { continue };
        let of = |wanted: State| counts.iter().find(|(state, _)| *state == wanted).map_or(0, |(_, count)| *count);
        let rules = watcher.rules().rules.len();
        let (open, failed) = (of(State::Transferring), of(State::Error));
        let line = format!("{rules} rules, {open} uploads in flight, {failed} failed");
        if line != told {
            service::status(&line);
            told = line;
        }
    }
}

/// From here on SIGTERM and Ctrl-C cancel `stop`, also while the agent is still starting: it ends as it does later, with its database
/// closed. Returns the stream of SIGHUPs, which wait until it is ready.
fn heed_signals(stop: &CancellationToken) -> Option<Signal> {
    let (terminate, interrupt, hangup) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()), signal(SignalKind::hangup()));
    let (Ok(mut terminate), Ok(mut interrupt), Ok(hangup)) = (terminate, interrupt, hangup) else {
        tracing::warn!("signals cannot be handled: stop the agent with `masv server stop`");
        return None;
    };
    let stop = stop.clone();
    tokio::spawn(async move {
        for again in [false, true] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if again {
                // A second signal means: now. What is in flight resumes at the next start.
                std::process::exit(130);
            }
            stop.cancel();
        }
    });
    Some(hangup)
}

/// Waits for the request to stop; SIGHUP reloads the rules.
async fn wait_for_the_end(stop: &CancellationToken, hangup: Option<Signal>, reloader: &Reloader) {
    let Some(mut hangup) = hangup else { return stop.cancelled().await };
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = hangup.recv() => drop(reloader.reload().await),
        }
    }
}
