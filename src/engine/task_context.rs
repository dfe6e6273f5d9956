//! The building blocks of a running transfer, in either direction: retrying, waiting, being stopped, working on several files.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use jiff::Timestamp;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::circuit_breaker::Circuits;
use super::counters::Cause;
use super::progress::{LiveTransfer, WaitsFor};
use super::retry::{RetryDecision, Tries, backoff};
use crate::model::Problem;
use crate::store::StoreError;
use masv_client::CloudError;

/// Files of one transfer that are in flight at the same time, at least;
const FILES_AT_ONCE: usize = 16;
/// more only as long as they have not more bytes together than these.
const BYTES_AT_ONCE: u64 = 256 << 20;
/// How many failed files a message names.
const NAMED: usize = 3;

/// Why a transfer's task ends before the transfer is done.
#[derive(Debug)]
pub(crate) enum Halt {
    /// On request: paused, removed, or the agent is stopping.
    Interrupted,
    /// The cloud refused, and would again.
    Refused(CloudError, RetryDecision),
    /// It cannot continue without help.
    Failed(Problem),
    /// The agent's database failed.
    Store(StoreError),
}

impl Halt {
    /// One of our tasks has panicked: that must not affect others.
    pub(crate) fn unexpected(what: &str, error: &JoinError) -> Self {
        Self::Failed(Problem {
            code: "internal".to_owned(),
            message: format!("{what} ended unexpectedly: {error}"),
            retryable: true,
            hint: Some("resume it, and report this with the log".to_owned()),
        })
    }

    /// For calls whose refusal does not matter: only the other reasons stop.
    pub(crate) fn unless_refused(self) -> Result<(), Self> {
        match self {
            Self::Refused(error, _) => {
                tracing::debug!(%error, "refused; not retried");
                Ok(())
            }
            other => Err(other),
        }
    }
}

impl From<StoreError> for Halt {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// The context of every step of a running transfer: its progress, and its two cancellation tokens.
pub(crate) struct TaskContext {
    /// `upload` or `download` and the id, for the log.
    pub(crate) name: String,
    pub(crate) live: Arc<LiveTransfer>,
    /// Start no new work; what is in flight may finish.
    pub(crate) soft: CancellationToken,
    /// Drop what is in flight, too.
    pub(crate) hard: CancellationToken,
}

impl TaskContext {
    /// Runs work that may be dropped at any point.
    pub(crate) async fn unless_aborted<T>(&self, work: impl Future<Output = T>) -> Result<T, Halt> {
        tokio::select! {
            biased;
            () = self.hard.cancelled() => Err(Halt::Interrupted),
            done = work => Ok(done),
        }
    }

    /// Waits for something, unless the transfer is stopping.
    pub(crate) async fn unless_stopped<T>(&self, event: impl Future<Output = T>) -> Result<T, Halt> {
        tokio::select! {
            biased;
            () = self.soft.cancelled() => Err(Halt::Interrupted),
            happened = event => Ok(happened),
        }
    }

    /// Waits, unless the transfer is stopping.
    pub(crate) async fn pause_for(&self, wait: Duration) -> Result<(), Halt> {
        self.unless_stopped(tokio::time::sleep(wait)).await
    }

    /// Waits before the next attempt, and shows why.
    pub(crate) async fn wait_after(
        &self,
        error: &CloudError,
        attempts: u32,
        wait: Option<Duration>,
    ) -> Result<(), Halt> {
        self.live.tally().retry(Cause::of(error));
        if matches!(error.status(), Some(429 | 503)) {
            self.live.tally().throttle();
        }
        let wait = wait.unwrap_or_else(|| backoff(attempts, fastrand::f64()));
        let until = Timestamp::now().checked_add(wait).unwrap_or(Timestamp::MAX);
        tracing::info!(transfer = %self.name, attempts, wait_ms = wait.as_millis() as u64, "{error}; trying again");
        let _shown = self.live.wait(WaitsFor::Cloud, error.to_string(), attempts, until);
        self.pause_for(wait).await
    }

    /// Waits until `host`, which is known to be unavailable, may be probed, and shows why.
    pub(crate) async fn while_away(&self, circuits: &Circuits, host: &str) -> Result<(), Halt> {
        let Some(wait) = circuits.away_for(host) else { return Ok(()) };
        let until = Timestamp::now().checked_add(wait).unwrap_or(Timestamp::MAX);
        let _shown = self.live.wait(WaitsFor::Cloud, format!("cannot connect to {host}"), 1, until);
        self.unless_stopped(circuits.until_tried(host)).await
    }

    /// Repeats a call to `host` until it succeeds or retrying is pointless: then the verdict says what to do.
    ///
    /// The call itself is never cancelled: what it created in the cloud must be recorded.
    pub(crate) async fn try_at<T, F>(
        &self,
        circuits: &Circuits,
        host: &str,
        mut call: impl FnMut() -> F,
        tries: &mut Tries,
    ) -> Result<T, Halt>
    where
        F: Future<Output = Result<T, CloudError>>,
    {
        loop {
            while !circuits.may_call(host) {
                self.while_away(circuits, host).await?;
            }
            let outcome = call().await;
            circuits.learn(host, outcome.as_ref().err());
            let error = match outcome {
                Ok(answer) => {
                    self.live.moved();
                    return Ok(answer);
                }
                Err(error) => error,
            };
            match tries.failed(&error) {
                RetryDecision::Later(wait) => self.wait_after(&error, tries.made(), wait).await?,
                verdict => return Err(Halt::Refused(error, verdict)),
            }
        }
    }

    /// Works on all files that `page` gives (those after a number), so many at once, fewer of large ones; returns how many that
    /// were. What stops the whole transfer stops them all. `look` tells a file's number and its bytes.
    pub(crate) async fn each_file<T, P, W>(
        &self,
        at_once: impl Fn() -> usize,
        mut page: impl FnMut(Option<u32>) -> P,
        look: impl Fn(&T) -> (u32, u64),
        mut work: impl FnMut(T) -> W,
    ) -> Result<usize, Halt>
    where
        P: Future<Output = Result<Vec<T>, StoreError>>,
        W: Future<Output = Result<(), Halt>> + Send + 'static,
    {
        let mut files = JoinSet::new();
        let mut in_flight = InFlightFiles::default();
        let mut halted = None;
        let (mut done, mut after) = (0, None);
        let mut waiting = page(after).await?.into_iter();
        while halted.is_none() && !self.soft.is_cancelled() {
            if in_flight.admits(at_once()) {
                let mut next = waiting.next();
                if next.is_none() {
                    waiting = page(after).await?.into_iter();
                    next = waiting.next();
                }
                if let Some(file) = next {
                    let (number, bytes) = look(&file);
                    after = Some(number);
                    in_flight.add(files.spawn(work(file)).id(), bytes);
                    continue;
                }
            }
            match files.join_next_with_id().await {
                Some(ended) => match in_flight.ended(ended) {
                    Ok(()) => done += 1,
                    Err(halt) => halted = Some(halt),
                },
                None => return Ok(done),
            }
        }
        if halted.is_some() {
            self.soft.cancel();
            self.hard.cancel();
        }
        while let Some(ended) = files.join_next_with_id().await {
            if let Err(halt) = in_flight.ended(ended)
                && matches!(halted, None | Some(Halt::Interrupted))
            {
                halted = Some(halt);
            }
        }
        Err(halted.unwrap_or(Halt::Interrupted))
    }
}

/// The files of a transfer that are worked on.
#[derive(Default)]
struct InFlightFiles {
    bytes_of: HashMap<tokio::task::Id, u64>,
    bytes: u64,
}

impl InFlightFiles {
    /// Whether another may be begun.
    fn admits(&self, at_once: usize) -> bool {
        let files = self.bytes_of.len();
        files < FILES_AT_ONCE || (files < at_once && self.bytes < BYTES_AT_ONCE)
    }

    fn add(&mut self, task: tokio::task::Id, bytes: u64) {
        self.bytes_of.insert(task, bytes);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// How the work on one ended.
    fn ended(&mut self, ended: Result<(tokio::task::Id, Result<(), Halt>), JoinError>) -> Result<(), Halt> {
        let task = ended.as_ref().map_or_else(JoinError::id, |(task, _)| *task);
        self.bytes = self.bytes.saturating_sub(self.bytes_of.remove(&task).unwrap_or_default());
        match ended {
            Ok((_, outcome)) => outcome,
            Err(error) => Err(Halt::unexpected("the work on a file", &error)),
        }
    }
}

/// Why work on a part failed.
pub(crate) trait PartError {
    /// Whether only because the transfer is stopping.
    fn is_interruption(&self) -> bool;
}

/// Works on parts by their numbers, several at once; `done` gets each as it ends. When the transfer is stopping, no new one is
/// started, and those in flight may finish; any other failure drops them.
pub(crate) async fn each_part<T, E: PartError, W: Future<Output = Result<T, E>>>(
    mut missing: impl Iterator<Item = u32>,
    at_once: impl Fn() -> usize,
    work: impl Fn(u32) -> W,
    mut done: impl FnMut(T),
) -> Result<(), E> {
    let mut working = FuturesUnordered::new();
    let mut interrupted = None;
    loop {
        while interrupted.is_none() && working.len() < at_once() {
            let Some(number) = missing.next() else { break };
            working.push(work(number));
        }
        match working.next().await {
            Some(Ok(part)) => done(part),
            Some(Err(error)) if error.is_interruption() => interrupted = Some(error),
            Some(Err(error)) => return Err(error),
            None => return interrupted.map_or(Ok(()), Err),
        }
    }
}

/// The problem to report for a transfer some of whose files have failed.
pub(crate) fn in_trouble<'a>(problems: impl Iterator<Item = &'a Problem>) -> Problem {
    let problems: Vec<&Problem> = problems.collect();
    let mut message: Vec<&str> = problems.iter().take(NAMED).map(|problem| problem.message.as_str()).collect();
    let more = format!("{} more files", problems.len().saturating_sub(NAMED));
    if problems.len() > NAMED {
        message.push(&more);
    }
    Problem {
        code: problems.first().map_or_else(|| "files_failed".to_owned(), |problem| problem.code.clone()),
        message: message.join("; "),
        retryable: true,
        hint: problems.first().and_then(|problem| problem.hint.clone()),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// Why work on a part failed, and whether that is an interruption.
    struct Failed(bool);

    impl PartError for Failed {
        fn is_interruption(&self) -> bool {
            self.0
        }
    }

    /// The first part takes its time; every other fails at once. Which were begun, and which were done.
    async fn begun_and_done(interruption: bool) -> (Vec<u32>, Vec<u32>) {
        let (begun, mut done) = (RefCell::new(Vec::new()), Vec::new());
        let work = |number| {
            begun.borrow_mut().push(number);
            async move {
                if number > 1 {
                    return Err(Failed(interruption));
                }
                for _ in 0..10 {
                    tokio::task::yield_now().await;
                }
                Ok(number)
            }
        };
        let outcome = each_part(1..=5, || 2, work, |number| done.push(number)).await;
        assert!(outcome.is_err());
        (begun.into_inner(), done)
    }

    #[tokio::test]
    async fn small_files_are_many_at_once_and_large_ones_few() {
        let begun = |at_once, bytes| {
            let mut files = InFlightFiles::default();
            let mut tasks = JoinSet::new();
            while files.admits(at_once) {
                files.add(tasks.spawn(async {}).id(), bytes);
            }
            files.bytes_of.len()
        };
        assert_eq!((begun(1, 10), begun(64, 10), begun(512, 10)), (16, 64, 512));
        assert_eq!((begun(512, 2 << 20), begun(512, 1 << 40)), (128, 16));
    }

    #[tokio::test]
    async fn when_it_is_to_stop_no_part_is_begun_and_those_on_their_way_end() {
        assert_eq!(begun_and_done(true).await, (vec![1, 2], vec![1]));
        assert_eq!(begun_and_done(false).await, (vec![1, 2], vec![]), "any other failure drops them");
    }
}
