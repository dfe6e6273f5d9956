//! The engine of one direction: makes what is running agree with what should run according to the database.
//!
//! It compares the wanted transfers with the running ones, and starts and stops until both agree. Every request is a
//! change in the database and a wake-up ([`Controls`]), so a request and a restart after a crash are the same thing.
//!
//! A slot among those that may run at once counts only while it is used: a transfer that is only waiting is reported to the
//! direction, which gives its slot to another, and gives one back in turn when it progresses again.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::handle::{Common, Settings};
use super::permits::Key;
use super::progress::WaitsFor;
use super::task_context::{Halt, TaskContext};
use crate::model::{Problem, State, Totals, Turn};
use crate::store::{OnlyWaiting, StoreError};
use masv_client::CloudError;

/// How long parts in flight may take to finish when the agent stops.
const GRACE: Duration = Duration::from_secs(10);
/// A transfer whose task ended because of an internal error is retried after this.
const OWN_FAULT_WAIT: Duration = Duration::from_secs(5);

/// How often the number of workers is looked at while something is transferred.
const STEERING: Duration = Duration::from_millis(100);

/// Signals to the engine.
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
    /// The id of a transfer.
    type Id: Key;
    /// How the direction works.
    type Settings: Settings;
    /// `upload` or `download`.
    const NAME: &'static str;

    fn common(&self) -> &Common<Self::Id, Self::Settings>;
    /// The transfers that should run now, each with its turn; those that are only waiting use no slot.
    fn wanted(
        &self,
        waiting: OnlyWaiting<Self::Id>,
    ) -> impl Future<Output = Result<Vec<(Self::Id, Turn)>, StoreError>> + Send;
    /// The state of a transfer.
    fn look(&self, id: Self::Id) -> impl Future<Output = Result<(State, Totals), StoreError>> + Send;
    /// Drives a transfer from its current state as far as possible.
    fn drive(self: Arc<Self>, id: Self::Id, steps: TaskContext) -> impl Future<Output = Result<(), Halt>> + Send;
    /// The problem to report for a refusal.
    fn refused(error: &CloudError) -> Problem;
    /// Records that a transfer cannot continue.
    fn fail(&self, id: Self::Id, problem: Problem) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// A running transfer's task and its two cancellation tokens.
struct Running {
    task: tokio::task::Id,
    soft: CancellationToken,
    hard: CancellationToken,
}

type Ended<Id> = (Id, Result<(), Halt>);

/// Makes what is running agree with what should run, until stopped.
pub(crate) async fn run<D: Direction>(direction: Arc<D>) {
    let Common { controls, live, .. } = direction.common();
    let _over = controls.over.clone().drop_guard();
    let mut running: HashMap<D::Id, Running> = HashMap::new();
    let mut resting: HashMap<D::Id, Instant> = HashMap::new();
    let mut tasks: JoinSet<Ended<D::Id>> = JoinSet::new();
    let mut second = tokio::time::interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut steering = tokio::time::interval(STEERING);
    steering.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut waiting: Vec<(D::Id, WaitsFor)> = Vec::new();
    let mut agree = false;
    while !controls.stop.is_cancelled() {
        if !agree {
            match reconcile(&direction, &mut running, &resting, &waiting, &mut tasks).await {
                Ok(()) => agree = true,
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "the queue cannot be read; trying again");
                }
            }
        }
        tokio::select! {
            () = controls.stop.cancelled() => {}
            () = controls.nudge.notified() => agree = false,
            Some(first) = tasks.join_next() => {
                // All that have ended by now at once: the queue is read again once for them, not once for each.
                let mut next = Some(first);
                while let Some(ended) = next.take() {
                    if let Some((id, outcome)) = whose(ended, &running) {
                        running.remove(&id);
                        live.remove(id);
                        if finish(&*direction, id, outcome).await {
                            resting.insert(id, Instant::now() + OWN_FAULT_WAIT);
                        }
                    }
                    next = tasks.try_join_next();
                }
                controls.ended.notify_waiters();
                agree = false;
            }
            _ = steering.tick(), if !running.is_empty() => direction.common().steer(),
            _ = second.tick() => {
                let mut now_waiting = live.tick();
                now_waiting.sort_unstable_by_key(|(id, _)| id.to_string());
                agree &= now_waiting == waiting;
                waiting = now_waiting;
                let rested = resting.len();
                resting.retain(|_, until| *until > Instant::now());
                agree &= rested == resting.len();
            }
        }
    }
    wind_down(&running, &mut tasks).await;
    running.keys().for_each(|id| live.remove(*id));
    controls.ended.notify_waiters();
}

/// Which transfer's task has ended, and how. A task that panicked has failed alone, and says so.
fn whose<Id: Key>(ended: Result<Ended<Id>, JoinError>, running: &HashMap<Id, Running>) -> Option<Ended<Id>> {
    ended.map(Some).unwrap_or_else(|error| {
        let (id, _) = running.iter().find(|(_, transfer)| transfer.task == error.id())?;
        Some((*id, Err(Halt::unexpected("the work on it", &error))))
    })
}

/// Records how a transfer's task ended. Returns whether it must pause before it is restarted.
async fn finish<D: Direction>(direction: &D, id: D::Id, outcome: Result<(), Halt>) -> bool {
    let cannot = |error: &StoreError| {
        tracing::error!(transfer = %id, kind = D::NAME, error = error as &dyn std::error::Error, "cannot continue for now");
        true
    };
    let problem = match outcome {
        Ok(()) | Err(Halt::Interrupted | Halt::Store(StoreError::NotFound(_) | StoreError::WrongState { .. })) => {
            return false;
        }
        Err(Halt::Store(error)) => return cannot(&error),
        Err(Halt::Refused(error, _)) => D::refused(&error),
        Err(Halt::Failed(problem)) => problem,
    };
    tracing::error!(transfer = %id, kind = D::NAME, code = %problem.code, "{}", problem.message);
    match direction.fail(id, problem).await {
        // It was paused or removed meanwhile.
        Ok(()) | Err(StoreError::NotFound(_) | StoreError::WrongState { .. }) => false,
        Err(error) => cannot(&error),
    }
}

/// Lets what is in flight finish, for a limited time.
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
    waiting: &[(D::Id, WaitsFor)],
    tasks: &mut JoinSet<Ended<D::Id>>,
) -> Result<(), StoreError> {
    let wait_for = |what| waiting.iter().filter(move |(_, waits)| *waits == what).map(|(id, _)| *id).collect();
    let only_waiting = OnlyWaiting { for_sources: wait_for(WaitsFor::Source), for_cloud: wait_for(WaitsFor::Cloud) };
    let wanted = direction.wanted(only_waiting).await?;
    let still: HashSet<D::Id> = wanted.iter().map(|(id, _)| *id).collect();
    for (id, transfer) in running.iter() {
        if still.contains(id) || transfer.hard.is_cancelled() {
            continue;
        }
        transfer.soft.cancel();
        // A transfer that only has to yield may finish its parts in flight; a paused or removed one may not.
        if !direction.look(*id).await.is_ok_and(|(state, _)| state == State::Transferring) {
            transfer.hard.cancel();
        }
    }
    for (id, turn) in wanted {
        if running.contains_key(&id) {
            direction.common().set_turn(id, turn);
            continue;
        }
        if resting.contains_key(&id) {
            continue;
        }
        let (_, totals) = direction.look(id).await?;
        let table = &direction.common().live;
        let live = Arc::new(table.transfer(turn, totals.bytes_done, totals.bytes));
        table.insert(id, Arc::clone(&live));
        let (soft, hard) = (CancellationToken::new(), CancellationToken::new());
        let name = format!("{} {id}", D::NAME);
        let steps = TaskContext { name, live, soft: soft.clone(), hard: hard.clone() };
        let direction = Arc::clone(direction);
        // Every log line written below carries the transfer's id.
        let span = tracing::info_span!("transfer", kind = D::NAME, %id);
        let task = tasks.spawn(async move { (id, direction.drive(id, steps).await) }.instrument(span)).id();
        running.insert(id, Running { task, soft, hard });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::watch;

    use super::*;
    use crate::model::UploadId;
    use crate::store::Store;
    use crate::upload::UploadSettings;
    use masv_client::{Cloud, CloudSettings, Clouds};

    /// Two transfers: the first panics, the second continues until it is stopped.
    struct Fragile {
        common: Arc<Common<UploadId, UploadSettings>>,
        ids: [UploadId; 2],
        failed: watch::Sender<Option<(UploadId, Problem)>>,
    }

    impl Direction for Fragile {
        type Id = UploadId;
        type Settings = UploadSettings;
        const NAME: &'static str = "upload";

        fn common(&self) -> &Common<UploadId, UploadSettings> {
            &self.common
        }

        async fn wanted(&self, _: OnlyWaiting<UploadId>) -> Result<Vec<(UploadId, Turn)>, StoreError> {
            let failed = self.failed.borrow().as_ref().map(|(id, _)| *id);
            Ok(self.ids.iter().filter(|id| failed != Some(**id)).map(|id| (*id, Turn::default())).collect())
        }

        async fn look(&self, _: UploadId) -> Result<(State, Totals), StoreError> {
            Ok((State::Transferring, Totals::default()))
        }

        async fn drive(self: Arc<Self>, id: UploadId, steps: TaskContext) -> Result<(), Halt> {
            assert!(id != self.ids[0], "a bug of ours");
            steps.soft.cancelled().await;
            Err(Halt::Interrupted)
        }

        fn refused(error: &CloudError) -> Problem {
            panic!("nothing is asked of the cloud: {error}")
        }

        async fn fail(&self, id: UploadId, problem: Problem) -> Result<(), StoreError> {
            self.failed.send_replace(Some((id, problem)));
            Ok(())
        }
    }

    fn common(folder: &Path) -> Arc<Common<UploadId, UploadSettings>> {
        let store = Store::open(&folder.join("agent.db")).unwrap();
        let base = "http://127.0.0.1:9".parse().unwrap();
        let cloud = Cloud::new(CloudSettings { base, name: None, api_key: None, team_id: None }).unwrap();
        Common::new(store, Clouds::new(cloud), UploadSettings::default())
    }

    async fn until(done: impl Fn() -> bool) {
        let waiting = async {
            while !done() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), waiting).await.unwrap();
    }

    /// Transfers that are all complete at the same moment.
    struct Crowd {
        common: Arc<Common<UploadId, UploadSettings>>,
        ids: Vec<UploadId>,
        started: AtomicUsize,
        complete: CancellationToken,
        looks: AtomicUsize,
    }

    impl Direction for Crowd {
        type Id = UploadId;
        type Settings = UploadSettings;
        const NAME: &'static str = "upload";

        fn common(&self) -> &Common<UploadId, UploadSettings> {
            &self.common
        }

        async fn wanted(&self, _: OnlyWaiting<UploadId>) -> Result<Vec<(UploadId, Turn)>, StoreError> {
            match self.complete.is_cancelled() {
                true => Ok(Vec::new()),
                false => Ok(self.ids.iter().map(|id| (*id, Turn::default())).collect()),
            }
        }

        async fn look(&self, _: UploadId) -> Result<(State, Totals), StoreError> {
            self.looks.fetch_add(1, Ordering::Relaxed);
            let state = if self.complete.is_cancelled() { State::Complete } else { State::Transferring };
            Ok((state, Totals::default()))
        }

        async fn drive(self: Arc<Self>, _: UploadId, _: TaskContext) -> Result<(), Halt> {
            self.started.fetch_add(1, Ordering::Relaxed);
            self.complete.cancelled().await;
            Ok(())
        }

        fn refused(error: &CloudError) -> Problem {
            panic!("nothing is asked of the cloud: {error}")
        }

        async fn fail(&self, id: UploadId, problem: Problem) -> Result<(), StoreError> {
            panic!("{id} has not failed: {problem:?}")
        }
    }

    /// The queue was read again for each transfer that had ended, and then each of the others that had ended as well was
    /// looked up: 500 files dropped at once cost 57,000 statements.
    #[tokio::test]
    async fn many_transfers_that_end_at_once_are_looked_up_a_few_times_each_at_most() {
        let folder = tempfile::tempdir().unwrap();
        let common = common(folder.path());
        let crowd = Arc::new(Crowd {
            common: Arc::clone(&common),
            ids: (0..300).map(|_| UploadId::new()).collect(),
            started: AtomicUsize::new(0),
            complete: CancellationToken::new(),
            looks: AtomicUsize::new(0),
        });
        let engine = tokio::spawn(run(Arc::clone(&crowd)));
        until(|| crowd.started.load(Ordering::Relaxed) == 300).await;
        crowd.complete.cancel();
        until(|| common.live.ids().is_empty()).await;
        let looks = crowd.looks.load(Ordering::Relaxed);
        assert!(looks <= 3 * 300, "{looks} looks at 300 transfers");
        common.controls.stop.cancel();
        engine.await.unwrap();
    }

    #[tokio::test]
    async fn a_transfer_whose_work_panics_fails_alone_and_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let common = common(folder.path());
        let ids = [UploadId::new(), UploadId::new()];
        let fragile = Arc::new(Fragile { common: Arc::clone(&common), ids, failed: watch::Sender::default() });
        let engine = tokio::spawn(run(Arc::clone(&fragile)));
        let mut failed = fragile.failed.subscribe();
        let failed = tokio::time::timeout(Duration::from_secs(10), failed.wait_for(Option::is_some)).await;
        let (id, problem) = failed.unwrap().unwrap().clone().unwrap();
        assert_eq!((id, problem.code.as_str()), (ids[0], "internal"));
        assert!(!engine.is_finished());
        assert_eq!(common.live.ids(), [ids[1]], "the other goes on");
        common.controls.stop.cancel();
        engine.await.unwrap();
    }
}
