//! Threads that only compute argon2: each keeps its memory and reuses it.
//!
//! **In**: work. **Out**: its result, or that there is too much to do.
//!
//! A hash takes some 20 MiB. On the runtime's threads each would allocate them again, from another arena of the allocator, which
//! does not return them: the memory of the process would grow with the number of requested hashes. Here it is
//! limited by the number of threads, and the queue is bounded. Work that no one is waiting for any more is skipped.
//!
//! Must never know: what is hashed, or why.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use argon2::Block;
use tokio::sync::oneshot;

use super::KeysError;

/// The memory of a thread; it grows as needed.
pub(super) type Memory = Vec<Block>;

type Work = Box<dyn FnOnce(&mut Memory) + Send>;

/// The threads and their queue.
#[derive(Debug)]
pub(super) struct HashThreads {
    waiting: SyncSender<Work>,
}

impl HashThreads {
    /// Starts `count` threads; this much more may be queued. They end when this is dropped.
    pub(super) fn start(count: usize, most_waiting: usize) -> std::io::Result<Self> {
        let (waiting, work) = sync_channel(most_waiting);
        let work = Arc::new(Mutex::new(work));
        for _ in 0..count {
            let work = Arc::clone(&work);
            thread::Builder::new().name("masv-argon2".into()).spawn(move || compute(&work))?;
        }
        Ok(Self { waiting })
    }

    /// Does `work` when its turn comes.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Memory) -> T + Send + 'static,
    ) -> Result<T, KeysError> {
        let (sender, result) = oneshot::channel();
        let work = Box::new(move |memory: &mut Memory| {
            if !sender.is_closed() {
                let _ = sender.send(work(memory));
            }
        });
        self.waiting.try_send(work).map_err(|error| match error {
            TrySendError::Full(_) => KeysError::Busy,
            TrySendError::Disconnected(_) => KeysError::Failed("the hashing threads have ended".into()),
        })?;
        result.await.map_err(|error| KeysError::Failed(error.to_string()))
    }
}

/// The loop of each thread.
fn compute(waiting: &Mutex<Receiver<Work>>) {
    let mut memory = Memory::new();
    loop {
        // The lock is held while it waits: the other threads wait for the lock instead.
        let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(work) = next else { return };
        work(&mut memory);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use futures_util::future::join_all;

    use super::*;

    /// Case: a hundred sign-ins at once: beyond the queue of the hashing threads they are refused, not kept.
    #[tokio::test]
    async fn what_is_more_than_may_wait_is_refused_and_what_nobody_waits_for_is_not_done() {
        let threads = HashThreads::start(1, 1).unwrap();
        let (begun, has_begun) = oneshot::channel();
        let (go_on, may_go_on) = channel();
        let first = threads.run(move |_| {
            begun.send(()).unwrap();
            may_go_on.recv().unwrap();
            1
        });
        let rest = async {
            has_begun.await.unwrap();
            let (done, was_done) = channel();
            let mut given_up = Box::pin(threads.run(move |_| done.send(()).unwrap()));
            assert!(futures_util::poll!(&mut given_up).is_pending());
            let refused = threads.run(|_| 3).await;
            assert!(matches!(refused, Err(KeysError::Busy)), "{refused:?}");
            drop(given_up);
            go_on.send(()).unwrap();
            assert!(was_done.recv().is_err());
        };
        let (first, ()) = tokio::join!(first, rest);
        assert_eq!(first.unwrap(), 1);
        assert_eq!(threads.run(|_| 4).await.unwrap(), 4);
    }

    /// Each hash ran on another thread, whose memory was never given back.
    #[tokio::test]
    async fn the_memory_of_a_thread_is_used_again() {
        let threads = HashThreads::start(2, 100).unwrap();
        let grow = |memory: &mut Memory| {
            memory.resize(100, Block::default());
            memory.as_ptr() as usize
        };
        let places = join_all((0..100).map(|_| threads.run(grow))).await;
        let places: std::collections::BTreeSet<usize> = places.into_iter().map(Result::unwrap).collect();
        assert!(places.len() <= 2, "{places:?}");
    }
}
