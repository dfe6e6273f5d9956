//! The rule's task and its folder: when to scan, what, and what a scan means.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::Runner;
use crate::watch::beneath::{self, Offline, Probe};
use crate::watch::fs_events::Hinted;
use crate::watch::open_handles::{Writing, is_being_written};
use crate::watch::scan::{self, Look};
use crate::watch::status::LastScan;
use masv_rules::{Poll, Symlinks};

/// Shortest time between two scans caused by hints.
const SHORTEST_GAP: Duration = Duration::from_millis(100);
/// Shortest and longest time between two scans of a polled folder.
const POLL_BOUNDS: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));
/// A folder is polled so rarely that scanning takes at most this fraction of the time.
const POLL_SHARE: u32 = 10;
/// Shortest and longest time until a folder that is offline is looked for again.
const OFFLINE_BOUNDS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// When to scan.
#[derive(Debug, Default)]
pub(super) struct Scanning {
    /// The next full scan.
    pub(super) next_full: Duration,
    /// Everything is looked at then, watches are renewed and the ledger is read again.
    next_rescan: Duration,
    /// Hints wait.
    pub(super) hinted: bool,
    /// The last look's end, and how long it took.
    ended: Duration,
    took: Duration,
    /// Until the folder is looked for again.
    retry: Duration,
    /// Everything has been looked at since the start.
    pub(super) complete: bool,
}

impl Runner {
    pub(super) fn look_allowed_at(&self) -> Duration {
        self.looks.ended + self.looks.took.max(SHORTEST_GAP)
    }

    pub(super) async fn look_when_due(&mut self) {
        let now = self.shared.now();
        let hinted = if self.looks.hinted && now >= self.look_allowed_at() {
            self.looks.hinted = false;
            self.hints.take()
        } else {
            Hinted::default()
        };
        let follows_links = self.rule.symlinks == Symlinks::Within;
        let everything = now >= self.looks.next_full
            || hinted.everything
            || hinted.paths.contains(Path::new(""))
            || (follows_links && !hinted.is_empty());
        if everything {
            self.look_at_everything(now).await;
        } else if !hinted.is_empty() && self.offline.is_none() {
            self.look_at_paths(hinted.paths.into_iter().collect()).await;
        }
    }

    async fn look_at_everything(&mut self, now: Duration) {
        let renew = now >= self.looks.next_rescan;
        let (sieve, hints) = (self.sieve.clone(), Arc::clone(&self.hints));
        // A folder that was there and is gone is not made again: its drive may be away.
        let create = self.rule.create && !self.looks.complete;
        let look = self.blocking(move || {
            if create {
                // If it cannot be created, the scan reports why.
                let _ = masv_platform::make_folders(&sieve.rule().watch);
            }
            sieve.ask_again();
            if renew {
                hints.renew();
            }
            scan::look_at_all(&sieve, &mut |folder, id| hints.watch(folder, id))
        });
        let look = look.await;
        self.looked(now);
        match look {
            Ok(look) => {
                if renew {
                    self.looks.next_rescan = self.looks.ended + self.rule.rescan;
                    self.books.read_at = Some(Duration::ZERO);
                }
                self.looks.next_full = self.next_full();
                {
                    let mut status = self.shared.status();
                    (status.skipped, status.awkward_names) = (look.skipped.clone(), look.awkward.clone());
                }
                if self.take(look).await.is_ok() {
                    self.online(now);
                }
            }
            Err(offline) => self.go_offline(offline).await,
        }
    }

    /// When everything is looked at again, whatever the hints say.
    fn next_full(&self) -> Duration {
        let every = match (self.rule.poll, self.hints.silence()) {
            (Poll::Every(every), _) => Some(every),
            (Poll::Auto, Some(_)) => Some((self.looks.took * POLL_SHARE).clamp(POLL_BOUNDS.0, POLL_BOUNDS.1)),
            (Poll::Auto, None) => None,
        };
        let polled = every.map(|every| self.looks.ended + every.max(self.looks.took));
        polled.map_or(self.looks.next_rescan, |polled| polled.min(self.looks.next_rescan))
    }

    fn looked(&mut self, began: Duration) {
        self.looks.ended = self.shared.now();
        self.looks.took = self.looks.ended.saturating_sub(began);
        self.shared.status().looks += 1;
    }

    /// Looks at single paths; returns whether anything was new, changed or gone.
    pub(super) async fn look_at_paths(&mut self, paths: Vec<PathBuf>) -> bool {
        let began = self.shared.now();
        let (sieve, hints) = (self.sieve.clone(), Arc::clone(&self.hints));
        let look =
            self.blocking(move || scan::look_at(&sieve, &paths, &mut |folder, id| hints.watch(folder, id))).await;
        self.looked(began);
        match look {
            Ok(look) => self.take(look).await.unwrap_or(true),
            Err(offline) => {
                self.go_offline(offline).await;
                true
            }
        }
    }

    /// Takes in a look and judges what is fresh; returns whether anything was new, changed or gone.
    async fn take(&mut self, look: Look) -> Result<bool, ()> {
        let now = self.shared.now();
        let taken = self.shared.desk().take(now, look);
        let changes = match taken {
            Ok(changes) => changes,
            Err(offline) => {
                self.go_offline(offline).await;
                return Err(());
            }
        };
        let changed = !changes.fresh.is_empty() || !changes.gone.is_empty();
        self.aftermath.forget(changes.gone.iter().map(|(path, _)| path));
        self.forget_gone(&changes.gone).await;
        self.judge(&changes.fresh).await;
        Ok(changed)
    }

    fn online(&mut self, began: Duration) {
        if self.offline.take().is_some() {
            self.shared.desk().start_anew(self.shared.now());
            self.recovered(&["offline"]);
            self.reviving.look_again();
        }
        self.looks.retry = Duration::ZERO;
        self.looks.complete = true;
        let (files, folders) = self.shared.desk().inventory().counts();
        let milliseconds = u64::try_from((self.looks.ended - began).as_millis()).unwrap_or(u64::MAX);
        self.shared.status().last_scan =
            Some(LastScan { at: Timestamp::now(), milliseconds, files: files as u64, folders: folders as u64 });
    }

    async fn go_offline(&mut self, offline: Offline) {
        self.looks.retry = (self.looks.retry * 2).clamp(OFFLINE_BOUNDS.0, OFFLINE_BOUNDS.1);
        self.looks.next_full = self.shared.now() + self.looks.retry;
        // Watches went with the folder; they are set again when it is back.
        self.looks.next_rescan = Duration::ZERO;
        self.hints.forget_writes();
        if self.offline.as_ref() != Some(&offline) {
            let message = format!("{}: {offline}", self.rule.watch.display());
            self.offline = Some(offline);
            self.problem("offline", message).await;
        }
    }

    pub(super) async fn confirm_due(&mut self) {
        if self.offline.is_some() {
            return;
        }
        let due = self.shared.desk().due(self.shared.now());
        if due.is_empty() {
            return;
        }
        let places = due.iter().map(|(_, place)| Arc::clone(place)).collect();
        match self.probe(places).await {
            Ok(probes) => {
                let now = self.shared.now();
                let mut desk = self.shared.desk();
                for ((path, _), (probe, writing)) in due.into_iter().zip(probes) {
                    desk.confirm(now, &path, probe, writing);
                }
            }
            Err(offline) => self.go_offline(offline).await,
        }
    }

    /// Looks at single files, and at who writes to them.
    pub(super) async fn probe(&self, places: Vec<Arc<Path>>) -> Result<Vec<(Probe, Writing)>, Offline> {
        let (root, hints) = (self.rule.watch.clone(), Arc::clone(&self.hints));
        self.blocking(move || {
            let probes = beneath::probe(&root, places.iter().map(|place| &**place))?;
            let readable = probes.iter().zip(&places).filter_map(|(probe, place)| match probe {
                Probe::Readable(identity) => Some((&**place, *identity)),
                _ => None,
            });
            let readable: Vec<_> = readable.collect();
            let mut writing = is_being_written(&hints, &beneath::open_root(&root)?, &readable).into_iter();
            let with_writers = probes.into_iter().map(|probe| match probe {
                Probe::Readable(_) => (probe, writing.next().unwrap_or(Writing::No)),
                _ => (probe, Writing::No),
            });
            Ok(with_writers.collect())
        })
        .await
    }

    /// Runs a look on a thread that may block. One that never returns (a share that hangs) is left to itself when the
    /// rule stops.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Offline> + Send + 'static,
    ) -> Result<T, Offline> {
        match tokio::task::spawn_blocking(work).await {
            Ok(result) => result,
            Err(error) => Err(Offline::Failing(error.to_string())),
        }
    }
}
