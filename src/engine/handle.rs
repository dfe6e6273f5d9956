//! What the queues of both directions are made of: what their tasks work with ([`Common`]), and the handle by which
//! others look at the engine and steer it ([`Handle`]).

use std::sync::{Arc, PoisonError, RwLock};

use tokio::task::JoinHandle;

use super::bandwidth::Throttle;
use super::circuit_breaker::Circuits;
use super::counters::Counters;
use super::permits::{Key, PermitLimits, Permits};
use super::progress::{Live, LiveTable};
use super::scheduler::Controls;
use crate::model::{TransferId, Turn};
use crate::store::{Store, StoreError};
use masv_client::{CloudError, Clouds};

/// Why a queue did not do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// There is no such transfer.
    #[error("no {0}")]
    NotFound(TransferId),
    /// The transfer's state does not allow it.
    #[error("{id} is {state}; this works {allowed}")]
    WrongState {
        /// The transfer.
        id: TransferId,
        /// What it is.
        state: &'static str,
        /// When it works, in words.
        allowed: &'static str,
    },
    /// The rule's ledger has it already.
    #[error("{} is sent already, or on its way", path.display())]
    AlreadyClaimed {
        /// Relative to the rule's folder.
        path: std::path::PathBuf,
    },
    /// The key of the order came with another order before.
    #[error("this key came with another order")]
    OtherOrder,
    /// The order makes no sense.
    #[error("{0}")]
    Invalid(&'static str),
    /// The cloud did not do its part.
    #[error(transparent)]
    Cloud(#[from] CloudError),
    /// The agent's memory failed.
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

/// How a direction works.
pub trait Settings: Copy + Send + Sync + 'static {
    /// How much may go on at once.
    fn slots(&self) -> PermitLimits;
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
    settings: RwLock<S>,
}

impl<Id: Key, S: Settings> Common<Id, S> {
    pub(crate) fn new(store: Store, clouds: Clouds, settings: S) -> Arc<Self> {
        Arc::new(Self {
            store,
            clouds,
            slots: Permits::limited(settings.slots()),
            circuits: Circuits::new(),
            throttle: Throttle::default(),
            live: LiveTable::default(),
            controls: Controls::default(),
            settings: RwLock::new(settings),
        })
    }

    pub(crate) fn settings(&self) -> S {
        *self.settings.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the engine look at the database: an order was written there.
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

    /// Stops: no new part is begun, those on their way may end within a grace time. Transfers stay as they are in the
    /// store and go on at the next start.
    pub async fn stop(&self) {
        self.common.controls.stop.cancel();
        let engine = self.engine.lock().await.take();
        if let Some(engine) = engine
            && let Err(error) = engine.await
        {
            tracing::error!(%error, "the transfer engine ended unexpectedly");
        }
    }

    /// Resolves when the engine has ended, which it does by itself only by a bug.
    pub async fn over(&self) {
        self.common.controls.over.cancelled().await;
    }

    /// The store that the queue works on.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.common.store
    }

    /// The transfers that are worked on at this moment, in no order.
    #[must_use]
    pub fn running(&self) -> Vec<Id> {
        self.common.live.ids()
    }

    /// What a running transfer does at this moment; `None` when it is not running.
    #[must_use]
    pub fn live(&self, id: Id) -> Option<Live> {
        self.common.live.of(id).map(|live| live.look())
    }

    /// What all transfers of the direction have done since the agent started.
    #[must_use]
    pub fn tally(&self) -> &Counters {
        self.common.live.tally()
    }

    /// How many workers are at work.
    #[must_use]
    pub fn busy_workers(&self) -> usize {
        self.common.slots.taken()
    }

    /// The bandwidth that all transfers of the direction share.
    #[must_use]
    pub fn throttle(&self) -> &Throttle {
        &self.common.throttle
    }

    /// How the engine works now.
    #[must_use]
    pub fn settings(&self) -> S {
        self.common.settings()
    }

    /// Works in another way from now on; what is above a limit ends with the parts it is at.
    pub fn change_settings(&self, change: impl FnOnce(&mut S)) {
        let settings = {
            let mut settings = self.common.settings.write().unwrap_or_else(PoisonError::into_inner);
            change(&mut settings);
            *settings
        };
        self.common.slots.set_limits(settings.slots());
        self.common.nudge();
    }
}
