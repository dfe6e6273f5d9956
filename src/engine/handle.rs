//! What the queues of both directions share: the context of their tasks ([`Common`]), and the handle by which
//! others observe and control the engine ([`Handle`]).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::bandwidth::Throttle;
use super::circuit_breaker::Circuits;
use super::concurrency::{Controller, LimitedBy, Reading, Workers};
use super::counters::{Cause, Counters};
use super::permits::{Key, PermitLimits, Permits};
use super::progress::{Live, LiveTable};
use super::round_trip::RoundTrip;
use super::scheduler::Controls;
use crate::model::{TransferId, Turn};
use crate::store::{Store, StoreError};
use masv_client::{CloudError, Clouds};

/// Why a queue refused a request.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// There is no such transfer.
    #[error("no {0}")]
    NotFound(TransferId),
    /// The transfer's state does not allow it.
    #[error("{id} is {state}; this is possible only {allowed}")]
    WrongState {
        /// The transfer.
        id: TransferId,
        /// Its state.
        state: &'static str,
        /// When it is possible, in words.
        allowed: &'static str,
    },
    /// The rule's ledger already has it.
    #[error("{} is already sent, or being sent", path.display())]
    AlreadyClaimed {
        /// Relative to the rule's folder.
        path: std::path::PathBuf,
    },
    /// The key was already used for a different request.
    #[error("this key was already used for a different request")]
    OtherOrder,
    /// The request is not valid.
    #[error("{0}")]
    Invalid(&'static str),
    /// The cloud failed.
    #[error(transparent)]
    Cloud(#[from] CloudError),
    /// The agent's database failed.
    #[error(transparent)]
    Store(StoreError),
}

impl QueueError {
    pub(crate) fn from_store(error: StoreError, allowed: &'static str) -> Self {
        match error {
            StoreError::NotFound(id) => Self::NotFound(id),
            StoreError::WrongState { id, state } => Self::WrongState { id, state, allowed },
            StoreError::AlreadyClaimed { path } => Self::AlreadyClaimed { path },
            StoreError::OtherOrder => Self::OtherOrder,
            other => Self::Store(other),
        }
    }
}

impl From<StoreError> for QueueError {
    fn from(error: StoreError) -> Self {
        Self::from_store(error, "at no time")
    }
}

/// The settings of a direction.
pub trait Settings: Copy + Send + Sync + 'static {
    /// How much may run at once.
    fn slots(&self) -> PermitLimits;
    /// How many parts may be on their way.
    fn workers(&self) -> Workers;
}

/// What was found of the link that a direction uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkFigures {
    /// Maximum number of parts in flight now.
    pub workers: usize,
    /// Parts in flight.
    pub busy: usize,
    /// The shortest way to the cloud and back lately; `None` before it is known.
    pub round_trip: Option<Duration>,
    /// Bytes a second when all workers were at work last; 0 before that is known.
    pub goodput: u64,
    /// What limits the speed.
    pub limited_by: LimitedBy,
}

/// What all tasks of one direction work with.
pub(crate) struct Common<Id: Key, S> {
    pub(crate) store: Store,
    pub(crate) clouds: Clouds,
    pub(crate) slots: Permits<Id>,
    pub(crate) circuits: Circuits,
    /// The direction's bandwidth.
    pub(crate) throttle: Throttle,
    pub(crate) live: LiveTable<Id>,
    pub(crate) controls: Controls,
    round_trip: Arc<RoundTrip>,
    controller: Mutex<Controller>,
    started: Instant,
    settings: RwLock<S>,
}

impl<Id: Key, S: Settings> Common<Id, S> {
    pub(crate) fn new(store: Store, clouds: Clouds, settings: S) -> Arc<Self> {
        let controller = Controller::new(settings.workers());
        let slots = Permits::limited(settings.slots());
        slots.set_width(controller.width());
        Arc::new(Self {
            store,
            clouds,
            slots,
            circuits: Circuits::new(),
            throttle: Throttle::default(),
            live: LiveTable::default(),
            controls: Controls::default(),
            round_trip: Arc::default(),
            controller: Mutex::new(controller),
            started: Instant::now(),
            settings: RwLock::new(settings),
        })
    }

    pub(crate) fn settings(&self) -> S {
        *self.settings.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn controller(&self) -> MutexGuard<'_, Controller> {
        self.controller.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at what moves, and changes the number of workers by it; to be called several times a second while something is
    /// transferred.
    pub(crate) fn steer(&self) {
        if self.round_trip.is_due() {
            let (round_trip, cloud) = (Arc::clone(&self.round_trip), self.clouds.own().clone());
            tokio::spawn(async move { round_trip.ask(&cloud).await });
        }
        let tally = self.live.tally();
        let reading = Reading {
            now: self.started.elapsed(),
            bytes: tally.moved_bytes(),
            parts: tally.parts(),
            busy: self.slots.is_saturated(),
            round_trip: self.round_trip.shortest(),
            throttled: tally.throttled(),
            lost: tally.retries(Cause::Unreachable),
        };
        let width = {
            let mut controller = self.controller();
            controller.read(reading);
            controller.width()
        };
        self.slots.set_width(width);
    }

    /// What was found of the link.
    pub(crate) fn link(&self) -> LinkFigures {
        let controller = self.controller();
        LinkFigures {
            workers: self.slots.width(),
            busy: self.slots.taken(),
            round_trip: self.round_trip.shortest(),
            goodput: controller.goodput(),
            limited_by: controller.limited_by(),
        }
    }

    /// Wakes the engine: a request was written to the database.
    pub(crate) fn nudge(&self) {
        self.controls.nudge.notify_one();
    }

    /// A running transfer has this turn from its next part on.
    pub(crate) fn set_turn(&self, id: Id, turn: Turn) {
        if let Some(live) = self.live.of(id) {
            live.set_turn(turn);
            self.slots.set_turn(id, turn);
        }
    }
}

/// A handle to one direction's engine; clones share it.
pub struct Handle<Id: Key, S> {
    common: Arc<Common<Id, S>>,
    engine: Arc<tokio::sync::Mutex<Option<JoinHandle<()>>>>,
}

impl<Id: Key, S> Clone for Handle<Id, S> {
    fn clone(&self) -> Self {
        Self { common: Arc::clone(&self.common), engine: Arc::clone(&self.engine) }
    }
}

impl<Id: Key, S: Settings> Handle<Id, S> {
    /// The handle to an engine that `engine` runs.
    pub(crate) fn new(common: Arc<Common<Id, S>>, engine: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { common, engine: Arc::new(tokio::sync::Mutex::new(Some(tokio::spawn(engine)))) }
    }

    /// Stops: no new part is started, those in flight may finish within a grace period. Transfers stay as they are in the
    /// store and resume at the next start.
    pub async fn stop(&self) {
        self.common.controls.stop.cancel();
        let engine = self.engine.lock().await.take();
        if let Some(engine) = engine
            && let Err(error) = engine.await
        {
            tracing::error!(%error, "the transfer engine ended unexpectedly");
        }
    }

    /// Resolves when the engine has ended, which without a stop happens only through a bug.
    pub async fn over(&self) {
        self.common.controls.over.cancelled().await;
    }

    /// The store that the queue works on.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.common.store
    }

    /// The running transfers, in no particular order.
    #[must_use]
    pub fn running(&self) -> Vec<Id> {
        self.common.live.ids()
    }

    /// The current activity of a running transfer; `None` if it is not running.
    #[must_use]
    pub fn live(&self, id: Id) -> Option<Live> {
        self.common.live.of(id).map(|live| live.look())
    }

    /// The direction's counters since the agent started.
    #[must_use]
    pub fn tally(&self) -> &Counters {
        self.common.live.tally()
    }

    /// What was found of the link, and what is made of it.
    #[must_use]
    pub fn link(&self) -> LinkFigures {
        self.common.link()
    }

    /// The bandwidth that all transfers of the direction share.
    #[must_use]
    pub fn throttle(&self) -> &Throttle {
        &self.common.throttle
    }

    /// The current settings of the engine.
    #[must_use]
    pub fn settings(&self) -> S {
        self.common.settings()
    }

    /// Changes the settings; work above a new limit ends with the current parts.
    pub fn change_settings(&self, change: impl FnOnce(&mut S)) {
        let settings = {
            let mut settings = self.common.settings.write().unwrap_or_else(PoisonError::into_inner);
            change(&mut settings);
            *settings
        };
        self.common.slots.set_limits(settings.slots());
        let width = {
            let mut controller = self.common.controller();
            controller.set_workers(settings.workers());
            controller.width()
        };
        self.common.slots.set_width(width);
        self.common.nudge();
    }
}
