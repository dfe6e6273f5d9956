//! The engine of one direction: makes what runs agree with what the database wants.
//!
//! It compares which transfers are wanted with those that run, and starts and stops until both agree. Every order is a
//! change in the database and a nudge ([`Controls`]), so an order and a restart after a crash are the same thing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::live::{LiveTable, LiveTransfer};
use super::slots::Key;
use super::steps::{Halt, Steps};
use crate::store::StoreError;

/// How long parts on their way may take to end when the agent stops.
const GRACE: Duration = Duration::from_secs(10);
/// A transfer whose task ended for a reason of our own is tried again after this.
const OWN_FAULT_WAIT: Duration = Duration::from_secs(5);

/// How others move the engine.
#[derive(Debug, Default)]
pub(crate) struct Controls {
    /// Something may have to be started or stopped.
    pub(crate) nudge: Notify,
    /// A transfer's task has ended.
    pub(crate) ended: Notify,
    /// Ends the engine.
    pub(crate) stop: CancellationToken,
    /// Cancelled when the engine has ended, however it ended.
    pub(crate) over: CancellationToken,
}

/// One direction's transfers, as the engine sees them.
pub(crate) trait Direction: Send + Sync + 'static {
    /// What a transfer is known by.
    type Id: Key;
    /// `upload` or `download`.
    const NAME: &'static str;

    fn controls(&self) -> &Controls;
    fn live(&self) -> &LiveTable<Self::Id>;
    /// The transfers that are to run now, and their priorities.
    fn wanted(&self) -> impl Future<Output = Result<Vec<(Self::Id, i32)>, StoreError>> + Send;
    /// Whether a transfer that is no longer wanted only has to let others go first.
    fn is_only_waiting(&self, id: Self::Id) -> impl Future<Output = bool> + Send;
    /// What a transfer shows as it is started.
    fn begin(&self, id: Self::Id, priority: i32) -> impl Future<Output = Result<LiveTransfer, StoreError>> + Send;
    /// Drives a transfer from where it stands as far as it goes.
    fn drive(self: Arc<Self>, id: Self::Id, steps: Steps) -> impl Future<Output = Result<(), Halt>> + Send;
    /// Writes down how a transfer's task ended. Whether it must rest before it is started again.
    fn finish(&self, id: Self::Id, outcome: Result<(), Halt>) -> impl Future<Output = bool> + Send;
}

/// A running transfer's two brakes.
struct Running {
    soft: CancellationToken,
    hard: CancellationToken,
}

type Ended<Id> = (Id, Result<(), Halt>);

/// Makes what runs agree with what the database wants, until it is stopped.
pub(crate) async fn run<D: Direction>(direction: Arc<D>) {
    let controls = direction.controls();
    let _over = controls.over.clone().drop_guard();
    let mut running: HashMap<D::Id, Running> = HashMap::new();
    let mut resting: HashMap<D::Id, Instant> = HashMap::new();
    let mut tasks: JoinSet<Ended<D::Id>> = JoinSet::new();
    let mut second = tokio::time::interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut agree = false;
    while !controls.stop.is_cancelled() {
        if !agree {
            match reconcile(&direction, &mut running, &resting, &mut tasks).await {
                Ok(()) => agree = true,
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "the queue cannot be read; trying again");
                }
            }
        }
        tokio::select! {
            () = controls.stop.cancelled() => {}
            () = controls.nudge.notified() => agree = false,
            Some(ended) = tasks.join_next() => {
                if let Ok((id, outcome)) = ended {
                    running.remove(&id);
                    direction.live().remove(id);
                    controls.ended.notify_waiters();
                    if direction.finish(id, outcome).await {
                        resting.insert(id, Instant::now() + OWN_FAULT_WAIT);
                    }
                }
                agree = false;
            }
            _ = second.tick() => {
                direction.live().tick();
                let rested = resting.len();
                resting.retain(|_, until| *until > Instant::now());
                agree &= rested == resting.len();
            }
        }
    }
    wind_down(&running, &mut tasks).await;
    running.keys().for_each(|id| direction.live().remove(*id));
    controls.ended.notify_waiters();
}

/// Lets what is on its way end, but not for ever.
async fn wind_down<Id: Key>(running: &HashMap<Id, Running>, tasks: &mut JoinSet<Ended<Id>>) {
    running.values().for_each(|transfer| transfer.soft.cancel());
    let all_ended = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, all_ended).await.is_err() {
        running.values().for_each(|transfer| transfer.hard.cancel());
        let all_dropped = async { while tasks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(GRACE, all_dropped).await;
        tasks.abort_all();
    }
}

async fn reconcile<D: Direction>(
    direction: &Arc<D>,
    running: &mut HashMap<D::Id, Running>,
    resting: &HashMap<D::Id, Instant>,
    tasks: &mut JoinSet<Ended<D::Id>>,
) -> Result<(), StoreError> {
    let wanted = direction.wanted().await?;
    for (id, transfer) in running.iter() {
        if wanted.iter().any(|(wanted, _)| wanted == id) {
            continue;
        }
        transfer.soft.cancel();
        // One that only has to let others go first may end the parts on their way; a paused or removed one may not.
        if !direction.is_only_waiting(*id).await {
            transfer.hard.cancel();
        }
    }
    for (id, priority) in wanted {
        if running.contains_key(&id) || resting.contains_key(&id) {
            continue;
        }
        let live = Arc::new(direction.begin(id, priority).await?);
        direction.live().insert(id, Arc::clone(&live));
        let (soft, hard) = (CancellationToken::new(), CancellationToken::new());
        let name = format!("{} {id}", D::NAME);
        let steps = Steps { name, live, soft: soft.clone(), hard: hard.clone() };
        let direction = Arc::clone(direction);
        // Every line of the log that is written below says whose it is.
        let span = tracing::info_span!("transfer", kind = D::NAME, %id);
        tasks.spawn(async move { (id, direction.drive(id, steps).await) }.instrument(span));
        running.insert(id, Running { soft, hard });
    }
    Ok(())
}
