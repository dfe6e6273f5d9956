//! The rule's task and files that were touched after they were sent: reads their content, which shows whether they changed.
//!
//! A `chmod`, a hard link, an attribute, another mount leave size and date unchanged, and so does a tool that restores the date
//! after rewriting a file. Reading costs disk time; it happens on a separate thread, a few files at a time.

use std::collections::HashMap;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;

use super::{Runner, describe};
use crate::store::StoreError;
use masv_platform::{FileIdentity, PathBeneath};

/// Files read at a time: what was found out is told in between.
const AT_ONCE: usize = 16;
/// Bytes read at once.
const BLOCK: usize = 1 << 20;
/// A file that could not be read is tried again after this.
const RETRY: Duration = Duration::from_secs(60);

/// What was found out of a file: what it holds; `None` when it is not what it was when it was chosen to be read.
type Read = (Arc<Path>, FileIdentity, io::Result<Option<String>>);
type Results = Result<Vec<Read>, JoinError>;

/// The reading under way.
#[derive(Debug, Default)]
pub(super) struct Comparing {
    running: Option<JoinHandle<Vec<Read>>>,
    /// Files that could not be read: not again before then.
    unread: HashMap<Arc<Path>, Duration>,
}

impl Comparing {
    /// Waits for its end.
    pub(super) async fn ended(&mut self) -> Results {
        match &mut self.running {
            Some(running) => {
                let results = running.await;
                self.running = None;
                results
            }
            None => std::future::pending().await,
        }
    }

    /// When to look without anything having happened.
    pub(super) fn next(&self, now: Duration) -> Option<Duration> {
        self.unread.values().copied().filter(|at| *at > now).min()
    }
}

impl Runner {
    /// Begins to read files that must be compared with what was sent.
    pub(super) fn compare_next(&mut self) {
        if self.comparing.running.is_some() || self.offline.is_some() {
            return;
        }
        let now = self.shared.now();
        self.comparing.unread.retain(|_, at| *at > now);
        let mut uncompared = self.shared.desk().uncompared();
        uncompared.retain(|(path, ..)| !self.comparing.unread.contains_key(path));
        uncompared.truncate(AT_ONCE);
        if uncompared.is_empty() {
            return;
        }
        let (root, cancel) = (self.rule.watch.clone(), self.cancel.clone());
        self.comparing.running = Some(tokio::task::spawn_blocking(move || {
            let read = |(path, place, identity): (Arc<Path>, Arc<Path>, FileIdentity)| {
                let content = content(&PathBeneath::new(&*root, &*place), &identity, &cancel);
                (path, identity, content)
            };
            uncompared.into_iter().take_while(|_| !cancel.is_cancelled()).map(read).collect()
        }));
    }

    /// Judges the files that were read by what they hold.
    pub(super) async fn compared(&mut self, results: Results) {
        let results = match results {
            Ok(results) => results,
            Err(error) => return self.problem("compare", describe(&error)).await,
        };
        let mut known = Vec::new();
        for (path, identity, content) in results {
            match content {
                Ok(Some(content)) => {
                    if let Err(error) = self.note_touched(&path, identity, &content).await {
                        self.problem("store", describe(&error)).await;
                    }
                    self.shared.desk().take_content(Arc::clone(&path), identity, content);
                    known.push(path);
                    self.recovered(&["compare"]);
                }
                // The next look finds it as it is by then.
                Ok(None) => self.looks.next_full = Duration::ZERO,
                Err(error) => {
                    self.comparing.unread.insert(Arc::clone(&path), self.shared.now() + RETRY);
                    let message = format!("{} cannot be compared with what was sent: {error}", path.display());
                    self.problem("compare", message).await;
                }
            }
        }
        self.judge(&known).await;
    }

    /// A file that holds what was sent is known as it looks now from then on.
    async fn note_touched(&self, path: &Path, identity: FileIdentity, content: &str) -> Result<(), StoreError> {
        match self.store.ledger_entry(&self.rule.name, path).await? {
            Some(entry) if entry.checksum.as_deref() == Some(content) => {
                self.store.ledger_touched(&self.rule.name, path, identity).await
            }
            _ => Ok(()),
        }
    }
}

/// What a file that looks like `identity` holds, as BLAKE3; `None` when it looks otherwise, or the rule is to stop.
fn content(path: &PathBeneath, identity: &FileIdentity, cancel: &CancellationToken) -> io::Result<Option<String>> {
    let mut opened = match path.open() {
        Ok((opened, entry)) if entry.identity == *identity => opened,
        Ok(_) => return Ok(None),
        Err(error) if error.is_gone() => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let (mut hasher, mut block) = (blake3::Hasher::new(), vec![0; BLOCK]);
    loop {
        if cancel.is_cancelled() {
            return Ok(None);
        }
        match opened.read(&mut block)? {
            0 => break,
            read => drop(hasher.update(&block[..read])),
        }
    }
    let after = FileIdentity::of(&opened.metadata()?);
    Ok((after == *identity).then(|| hasher.finalize().to_hex().to_string()))
}
