//! What all parts of a rule's task work with: the rule, the room's services, the store and the queue.
//!
//! Nothing in it changes while the task runs; what does change belongs to exactly one part. A part is handed the context with each
//! call and keeps none of it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::{Timestamp, Zoned};
use tokio_util::sync::CancellationToken;

use super::shared::Shared;
use crate::store::Store;
use crate::watch::beneath::{self, Offline, Probe};
use crate::watch::classifier::Classifier;
use crate::watch::dispatch::Surroundings;
use crate::watch::fs_events::FsEvents;
use crate::watch::open_handles::{Writing, is_being_written};
use crate::watch::upload_sink::UploadSink;
use masv_rules::{Per, Rule};

/// See the module.
pub(super) struct Context {
    pub(super) rule: Arc<Rule>,
    pub(super) sieve: Classifier,
    pub(super) surroundings: Surroundings,
    pub(super) store: Store,
    pub(super) outlet: Arc<dyn UploadSink>,
    pub(super) shared: Arc<Shared>,
    pub(super) hints: Arc<FsEvents>,
    pub(super) cancel: CancellationToken,
}

impl Context {
    /// Time since the rule's task was started.
    pub(super) fn now(&self) -> Duration {
        self.shared.now()
    }

    /// The wall clock, in the rule's zone.
    pub(super) fn clock(&self) -> Zoned {
        Timestamp::now().to_zoned(self.rule.time_zone.clone())
    }

    /// How many names of an emptied folder's path stay: folders directly in the watched folder belong to whoever drops into
    /// them, unless they are what is dropped.
    pub(super) fn keeps_levels(&self) -> usize {
        if self.rule.package.per == Per::Folder { 0 } else { 1 }
    }

    /// Looks at single files, and at who writes to them.
    pub(super) async fn probe(&self, places: Vec<Arc<Path>>) -> Result<Vec<(Probe, Writing)>, Offline> {
        let (root, hints) = (self.rule.place(), Arc::clone(&self.hints));
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
