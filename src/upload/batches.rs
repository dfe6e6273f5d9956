//! Calls about many files at once, where the cloud offers them: files ask by themselves, and what they ask for at the same time
//! travels together.
//!
//! A file's task asks as if it were alone and waits for its own answer. Behind it one task for each kind of call gathers what is asked
//! while earlier calls are under way ([`Gather`]), so a batch is as large as the link is long, and nobody waits for a timer that
//! matters. A call that fails as a whole is made again as one; what is refused of a single file is that file's business. A cloud that
//! does not know the calls it offered is spoken to file by file from then on.
//!
//! **On a crash** nothing is lost: a batch is no unit of anything, and each call may be repeated for each of its files.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::send::unless_stalled;
use super::task::Task;
use crate::engine::retry::Tries;
use crate::engine::task_context::Halt;
use crate::model::RemotePackage;
use masv_client::{BatchAnswers, CloudError, PackageAccess};
use masv_protocol::{BatchLimits, BegunFile, FinalizeOneFile, FinalizedFile, NewFile, SmallFile};

/// Files of a batch, at most: more in one call gain nothing.
const MOST_FILES: usize = 256;
/// Bytes of JSON that a file takes in a batch beside its path.
const ENTRY: usize = 512;
/// Bytes of JSON of a batch, at most.
const MOST_JSON: usize = 512 << 10;
/// Bytes of content of a batch, at most: what a slow link carries before it looks stalled.
const MOST_CONTENT: usize = 1 << 20;
/// Calls of a kind that are under way at once.
const CALLS: usize = 4;
/// How long the first of a batch waits for others that come at the same time.
const GATHERING: Duration = Duration::from_millis(2);

/// A small file on its way: what is told of it, and its content.
pub(super) struct Small {
    pub(super) file: SmallFile,
    pub(super) content: Bytes,
    /// Its share of the memory for small files.
    #[expect(dead_code, reason = "held as long as the content is in memory")]
    pub(super) memory: OwnedSemaphorePermit,
}

/// The calls about many files of one upload.
pub(super) struct Batches {
    announce: Gather<NewFile, BegunFile>,
    finalize: Gather<FinalizeOneFile, FinalizedFile>,
    contents: Gather<Small, FinalizedFile>,
    /// Bytes of the largest file whose content may travel with others.
    small: u64,
    /// The cloud does not know them after all.
    off: AtomicBool,
}

impl Batches {
    /// What the cloud takes for the files of this package.
    pub(super) fn start(task: &Arc<Task>, package: &RemotePackage, limits: BatchLimits) -> Self {
        let most_files = usize::try_from(limits.max_files).unwrap_or(MOST_FILES).min(MOST_FILES);
        let most_json = usize::try_from(limits.max_json).unwrap_or(MOST_JSON).min(MOST_JSON);
        let most_content = usize::try_from(limits.max_content).unwrap_or(MOST_CONTENT).min(MOST_CONTENT);
        let with = || (Arc::clone(task), Arc::new(package.clone()));
        let json = Bounds { files: most_files, weight: most_json };
        let announce = {
            let (task, package) = with();
            let weigh = |file: &NewFile| ENTRY + 2 * (file.name.len() + file.path.as_ref().map_or(0, String::len));
            Gather::start(json, weigh, move |files: Vec<NewFile>| {
                let (task, package) = (Arc::clone(&task), Arc::clone(&package));
                async move { task.try_to(|| task.cloud().create_files(access(&package), files.clone())).await }
            })
        };
        let finalize = {
            let (task, package) = with();
            let weigh = |one: &FinalizeOneFile| ENTRY + 128 * one.file.chunk_extras.len();
            Gather::start(json, weigh, move |files: Vec<FinalizeOneFile>| {
                let (task, package) = (Arc::clone(&task), Arc::clone(&package));
                async move { task.try_to(|| task.cloud().finalize_files(access(&package), files.clone())).await }
            })
        };
        let contents = {
            let (task, package) = with();
            let bounds = Bounds { files: most_files, weight: most_content };
            Gather::start(
                bounds,
                |small: &Small| small.content.len(),
                move |files: Vec<Small>| {
                    let (task, package) = (Arc::clone(&task), Arc::clone(&package));
                    async move { send_contents(&task, &package, files).await }
                },
            )
        };
        let small = limits.max_small_file.min(most_content as u64);
        Self { announce, finalize, contents, small, off: AtomicBool::new(most_files == 0) }
    }

    /// Whether the content of a file of so many bytes travels with that of others.
    pub(super) fn takes_content(&self, bytes: u64) -> bool {
        bytes <= self.small && self.small > 0 && !self.off.load(Ordering::Relaxed)
    }

    /// Announces and begins a file; nothing where that has to be done by itself.
    pub(super) async fn announce(&self, task: &Task, file: &NewFile) -> Result<Option<BegunFile>, Halt> {
        let mut tries = Tries::default();
        loop {
            let Some(answer) = self.ask(&self.announce, file.clone()).await? else { return Ok(None) };
            match answer {
                Ok(begun) => return Ok(Some(begun)),
                Err(error) => task.after_refusal(error, &mut tries).await?,
            }
        }
    }

    /// Finalizes a file; nothing where that has to be done by itself.
    pub(super) async fn finalize(&self, task: &Task, file: &FinalizeOneFile) -> Result<Option<()>, Halt> {
        let mut tries = Tries::default();
        loop {
            let Some(answer) = self.ask(&self.finalize, file.clone()).await? else { return Ok(None) };
            match answer {
                Ok(_) => return Ok(Some(())),
                Err(error) => task.after_refusal(error, &mut tries).await?,
            }
        }
    }

    /// Sends the content of a file and finalizes it, once; nothing where that has to be done by itself.
    pub(super) async fn send(&self, small: Small) -> Result<Option<Result<(), CloudError>>, Halt> {
        Ok(self.ask(&self.contents, small).await?.map(|answer| answer.map(drop)))
    }

    async fn ask<I: Send + 'static, O: Send + 'static>(
        &self,
        gather: &Gather<I, O>,
        item: I,
    ) -> Result<Option<Result<O, CloudError>>, Halt> {
        if self.off.load(Ordering::Relaxed) {
            return Ok(None);
        }
        match gather.ask(item).await {
            Ok(answer) => Ok(Some(answer)),
            Err(NoAnswer::Interrupted) => Err(Halt::Interrupted),
            Err(NoAnswer::Refused(error)) => {
                if !self.off.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%error, "the cloud does not take the batches that it offers; going on file by file");
                }
                Ok(None)
            }
        }
    }
}

fn access(package: &RemotePackage) -> PackageAccess<'_> {
    PackageAccess { id: &package.id, token: &package.token }
}

/// Sends small files as one of the parts that may be on their way at once.
async fn send_contents(
    task: &Task,
    package: &RemotePackage,
    files: Vec<Small>,
) -> Result<BatchAnswers<FinalizedFile>, Halt> {
    let list: Vec<SmallFile> = files.iter().map(|small| small.file.clone()).collect();
    let stall = task.cloud().patience().stall;
    let mut tries = Tries::default();
    loop {
        let host = task.cloud().base().authority();
        while !task.circuits().may_call(host) {
            task.while_away(task.circuits(), host).await?;
        }
        let worker = task.any_worker().await?;
        let flow = task.live.begin_part();
        let moved = Arc::clone(&flow);
        let contents: Vec<Bytes> = files.iter().map(|small| small.content.clone()).collect();
        let stream = futures_util::stream::iter(contents).inspect(move |content| moved.add(content.len() as u64));
        let sending = task.cloud().send_small_files(access(package), list.clone(), stream);
        let sent = task.unless_aborted(unless_stalled(sending, &flow, stall)).await?;
        drop((flow, worker));
        task.circuits().learn(host, sent.as_ref().err());
        match sent {
            Ok(answers) => {
                task.live.moved();
                return Ok(answers);
            }
            Err(error) => task.after_refusal(error, &mut tries).await?,
        }
    }
}

/// Why somebody who asked has no answer of the cloud.
enum NoAnswer {
    /// The upload is to stop.
    Interrupted,
    /// The call was refused as a whole, and would be again.
    Refused(CloudError),
}

type Answer<O> = Result<Result<O, CloudError>, NoAnswer>;

struct Asked<I, O> {
    item: I,
    answer: oneshot::Sender<Answer<O>>,
}

/// How large a batch may be.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    files: usize,
    weight: usize,
}

/// Gathers what many ask for into few calls. It ends with its last call once nobody can ask any more.
struct Gather<I, O> {
    asks: mpsc::UnboundedSender<Asked<I, O>>,
}

impl<I: Send + 'static, O: Send + 'static> Gather<I, O> {
    fn start<C, F>(bounds: Bounds, weigh: impl Fn(&I) -> usize + Send + 'static, call: C) -> Self
    where
        C: Fn(Vec<I>) -> F + Send + Sync + 'static,
        F: Future<Output = Result<BatchAnswers<O>, Halt>> + Send + 'static,
    {
        let (asks, receiver) = mpsc::unbounded_channel();
        tokio::spawn(gather(receiver, bounds, weigh, call));
        Self { asks }
    }

    async fn ask(&self, item: I) -> Answer<O> {
        let (answer, answered) = oneshot::channel();
        if self.asks.send(Asked { item, answer }).is_err() {
            return Err(NoAnswer::Interrupted);
        }
        answered.await.unwrap_or(Err(NoAnswer::Interrupted))
    }
}

async fn gather<I, O, C, F>(
    mut asks: mpsc::UnboundedReceiver<Asked<I, O>>,
    bounds: Bounds,
    weigh: impl Fn(&I) -> usize,
    call: C,
) where
    C: Fn(Vec<I>) -> F,
    F: Future<Output = Result<BatchAnswers<O>, Halt>>,
{
    let mut calls = FuturesUnordered::new();
    let mut waiting: VecDeque<Asked<I, O>> = VecDeque::new();
    let mut over = false;
    while !over || !calls.is_empty() || !waiting.is_empty() {
        if !waiting.is_empty() && calls.len() < CALLS {
            if !over && waiting.len() < bounds.files {
                tokio::time::sleep(GATHERING).await;
                while let Ok(asked) = asks.try_recv() {
                    waiting.push_back(asked);
                }
            }
            let (items, answers) = take(&mut waiting, bounds, &weigh);
            if !items.is_empty() {
                let called = call(items);
                calls.push(async move { tell(called.await, answers) });
            }
            continue;
        }
        tokio::select! {
            asked = asks.recv(), if !over => match asked {
                Some(asked) => waiting.push_back(asked),
                None => over = true,
            },
            Some(()) = calls.next() => {}
        }
    }
}

/// The first of those that wait, as many as a batch takes; at least one. Who has gone meanwhile is left out.
fn take<I, O>(
    waiting: &mut VecDeque<Asked<I, O>>,
    bounds: Bounds,
    weigh: impl Fn(&I) -> usize,
) -> (Vec<I>, Vec<oneshot::Sender<Answer<O>>>) {
    let (mut items, mut answers, mut weight) = (Vec::new(), Vec::new(), 0);
    while let Some(next) = waiting.front() {
        let more = weigh(&next.item);
        if !items.is_empty() && (items.len() == bounds.files || weight + more > bounds.weight) {
            break;
        }
        let Some(Asked { item, answer }) = waiting.pop_front() else { break };
        if !answer.is_closed() {
            weight += more;
            items.push(item);
            answers.push(answer);
        }
    }
    (items, answers)
}

/// Gives everybody who asked their own answer.
fn tell<O>(outcome: Result<BatchAnswers<O>, Halt>, answers: Vec<oneshot::Sender<Answer<O>>>) {
    // Who has gone does not need it.
    match outcome {
        Ok(each) => answers.into_iter().zip(each).for_each(|(answer, told)| drop(answer.send(Ok(told)))),
        Err(Halt::Refused(error, _)) => {
            answers.into_iter().for_each(|answer| drop(answer.send(Err(NoAnswer::Refused(error.clone())))));
        }
        // Whoever asked finds out by the same means why the upload stops.
        Err(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::engine::retry::RetryDecision;
    use masv_client::Call;

    const FEW: Bounds = Bounds { files: 3, weight: 10 };

    fn refused(status: u16) -> CloudError {
        let (code, message, retry_after) = (None, "no".to_owned(), None);
        CloudError::Refused { call: Call::CreateFiles, status, code, message, retry_after }
    }

    /// The batches that were sent.
    type Sent = Arc<Mutex<Vec<Vec<u32>>>>;

    /// A cloud that answers with twice the number, refuses 13, and remembers its calls.
    fn doubling(bounds: Bounds) -> (Arc<Gather<u32, u32>>, Sent) {
        let calls = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&calls);
        let gather = Gather::start(
            bounds,
            |number: &u32| *number as usize,
            move |numbers: Vec<u32>| {
                seen.lock().unwrap().push(numbers.clone());
                async move {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    let double = |number: u32| if number == 13 { Err(refused(400)) } else { Ok(2 * number) };
                    Ok(numbers.into_iter().map(double).collect())
                }
            },
        );
        (Arc::new(gather), calls)
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_asked_at_once_travels_together_and_each_has_its_own_answer() {
        let (gather, calls) = doubling(Bounds { files: 100, weight: 1000 });
        let asks = (1..=20).map(|number| {
            let gather = Arc::clone(&gather);
            async move { (number, gather.ask(number).await) }
        });
        for (number, answer) in futures_util::future::join_all(asks).await {
            match answer {
                Ok(Err(_)) => assert_eq!(number, 13, "what is wrong with one is not wrong with the others"),
                Ok(Ok(double)) => assert_eq!(double, 2 * number),
                Err(_) => panic!("{number} has no answer"),
            }
        }
        assert_eq!(calls.lock().unwrap().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_has_its_bounds_and_what_is_too_heavy_goes_alone() {
        let (gather, calls) = doubling(FEW);
        let asks = [4, 4, 4, 50, 1, 1, 1, 1].map(|number| {
            let gather = Arc::clone(&gather);
            async move { matches!(gather.ask(number).await, Ok(Ok(double)) if double == 2 * number) }
        });
        assert!(futures_util::future::join_all(asks).await.into_iter().all(|right| right));
        assert_eq!(*calls.lock().unwrap(), [vec![4, 4], vec![4], vec![50], vec![1, 1, 1], vec![1]]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_gone_is_not_asked_for_and_a_refused_call_is_told_to_all() {
        let (gather, calls) = doubling(FEW);
        let gone = {
            let gather = Arc::clone(&gather);
            tokio::spawn(async move { gather.ask(1).await })
        };
        tokio::task::yield_now().await;
        gone.abort();
        let _ = gone.await;
        assert!(matches!(gather.ask(2).await, Ok(Ok(4))));
        assert_eq!(*calls.lock().unwrap(), [vec![2]]);

        let refuses =
            Gather::<u32, u32>::start(FEW, |_| 1, |_| async { Err(Halt::Refused(refused(404), RetryDecision::Never)) });
        let (one, two) = tokio::join!(refuses.ask(1), refuses.ask(2));
        assert!(matches!((one, two), (Err(NoAnswer::Refused(_)), Err(NoAnswer::Refused(_)))));
        let stops = Gather::<u32, u32>::start(FEW, |_| 1, |_| async { Err(Halt::Interrupted) });
        assert!(matches!(stops.ask(1).await, Err(NoAnswer::Interrupted)));
    }
}
