//! Files that were touched after they were sent: their content is read, which shows whether they changed.
//!
//! **In**: files whose verdict is "comparing". **Out**: what they hold, known to the planner, and which of them are to be judged now
//! ([`Compared`]).
//!
//! **Owns** the reading under way, and which files could not be read.
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

use super::context::Context;
use super::describe;
use crate::store::StoreError;
use masv_platform::{FileIdentity, PathBeneath, hold_point};

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

/// What follows from files that were read.
#[derive(Debug, Default)]
#[must_use]
pub(super) struct Compared {
    /// What these hold is known: they are to be judged.
    pub(super) known: Vec<Arc<Path>>,
    /// One of them is no longer what it was: everything is to be looked at.
    pub(super) look: bool,
}

impl Comparing {
    /// Begins to read files that must be compared with what was sent.
    pub(super) fn begin_next(&mut self, context: &Context) {
        if self.running.is_some() {
            return;
        }
        let now = context.now();
        self.unread.retain(|_, at| *at > now);
        let mut uncompared = context.shared.desk().uncompared();
        uncompared.retain(|(path, ..)| !self.unread.contains_key(path));
        uncompared.truncate(AT_ONCE);
        if uncompared.is_empty() {
            return;
        }
        let (root, cancel) = (context.rule.place(), context.cancel.clone());
        self.running = Some(tokio::task::spawn_blocking(move || {
            let read = |(path, place, identity): (Arc<Path>, Arc<Path>, FileIdentity)| {
                let content = content(&root.join(&place), &identity, &cancel);
                (path, identity, content)
            };
            uncompared.into_iter().take_while(|_| !cancel.is_cancelled()).map(read).collect()
        }));
    }

    /// Judges the files that were read by what they hold.
    pub(super) async fn take(&mut self, context: &Context, results: Results) -> Compared {
        let mut compared = Compared::default();
        let results = match results {
            Ok(results) => results,
            Err(error) => {
                context.problem("compare", describe(&error)).await;
                return compared;
            }
        };
        for (path, identity, content) in results {
            match content {
                Ok(Some(content)) => {
                    if let Err(error) = note_touched(context, &path, identity, &content).await {
                        context.problem("store", describe(&error)).await;
                    }
                    context.shared.desk().take_content(Arc::clone(&path), identity, content);
                    compared.known.push(path);
                    context.recovered(&["compare"]);
                }
                // The next look finds it as it is by then.
                Ok(None) => compared.look = true,
                Err(error) => {
                    self.unread.insert(Arc::clone(&path), context.now() + RETRY);
                    let message = format!("{} cannot be compared with what was sent: {error}", path.display());
                    context.problem("compare", message).await;
                }
            }
        }
        compared
    }
}

/// A file that holds what was sent is known as it looks now from then on.
async fn note_touched(context: &Context, path: &Path, identity: FileIdentity, content: &str) -> Result<(), StoreError> {
    match context.store.ledger_entry(&context.rule.name, path).await? {
        Some(entry) if entry.checksum.as_deref() == Some(content) => {
            context.store.ledger_touched(&context.rule.name, path, identity).await
        }
        _ => Ok(()),
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
    hold_point("sent.opened");
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
