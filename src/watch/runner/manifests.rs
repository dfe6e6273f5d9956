//! Checksum lists: those that are complete are read, the digests of what they name are computed, what is wrong is told.
//!
//! **In**: lists that are complete, files they name. **Out**: what the lists say and what the files are, known to the planner; files
//! that changed meanwhile, to be looked at.
//!
//! **Owns** the reading under way, and what was told.
//!
//! Every listed file is read once before it is sent, on a thread of its own: a file that is not what its list says must
//! not even begin to be sent.

use std::collections::BTreeSet;
use std::path::PathBuf;

use tokio::task::{JoinError, JoinHandle};

use super::context::Context;
use super::describe;
use crate::manifest::checksum::Algorithm;
use crate::manifest::measure::Digests;
use crate::manifest::parse;
use crate::manifest::reader::{digests, read};
use masv_platform::FileIdentity;
use masv_rules::Ready;

/// Files read at a time: what was found out is told in between.
const AT_ONCE: usize = 16;

/// What was found out of a file: its digests in that state, nothing because it changed, or why it could not be read.
type Measurement = (PathBuf, FileIdentity, Result<Option<Digests>, String>);
type Results = Result<Vec<Measurement>, JoinError>;

/// What is being read, and what was told.
#[derive(Debug, Default)]
pub(super) struct Verifying {
    running: Option<JoinHandle<Vec<Measurement>>>,
    told: BTreeSet<String>,
}

impl Verifying {
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
}

impl Verifying {
    /// Reads lists that are complete, begins to read what they name, and tells what is wrong. Returns the lists that are not what they
    /// were.
    pub(super) async fn read_lists(&mut self, context: &Context) -> Vec<PathBuf> {
        let mut changed = Vec::new();
        if !matches!(context.rule.ready, Ready::Manifest { .. }) {
            return changed;
        }
        let unread = context.shared.desk().unread_lists();
        if !unread.is_empty() {
            let root = context.rule.place();
            let read = tokio::task::spawn_blocking(move || {
                let read = unread.into_iter().map(|(path, identity)| {
                    let source = root.join(&path);
                    let listed = match read(&source) {
                        Ok(Some((seen, bytes))) if seen == identity => Some(parse(&path, &bytes)),
                        Ok(_) => None,
                        Err(why) => Some(Err(why)),
                    };
                    (path, identity, listed)
                });
                read.collect::<Vec<_>>()
            });
            match read.await {
                Ok(read) => {
                    let mut desk = context.shared.desk();
                    for (path, identity, listed) in read {
                        match listed {
                            Some(listed) => desk.take_list(&path, identity, listed),
                            // It is read once it is complete again.
                            None => changed.push(path.to_path_buf()),
                        }
                    }
                }
                Err(error) => context.problem("manifest", describe(&error)).await,
            }
        }
        self.tell_of_lists(context).await;
        self.measure_next(context);
        changed
    }

    /// Reports problems, each once for as long as it lasts.
    async fn tell_of_lists(&mut self, context: &Context) {
        let problems: BTreeSet<String> = context.shared.desk().refresh_lists().into_iter().collect();
        for problem in problems.difference(&self.told) {
            context.problem("manifest", problem.clone()).await;
        }
        if problems.is_empty() && !self.told.is_empty() {
            context.recovered(&["manifest"]);
        }
        self.told = problems;
    }

    fn measure_next(&mut self, context: &Context) {
        if self.running.is_some() {
            return;
        }
        let mut unmeasured = context.shared.desk().unmeasured();
        unmeasured.truncate(AT_ONCE);
        if unmeasured.is_empty() {
            return;
        }
        let (root, cancel) = (context.rule.place(), context.cancel.clone());
        self.running = Some(tokio::task::spawn_blocking(move || {
            let measure = |(path, identity, algorithms): (PathBuf, FileIdentity, BTreeSet<Algorithm>)| {
                let found = digests(&root.join(&path), &algorithms).map_err(|error| error.to_string());
                let found = found.map(|found| found.filter(|(seen, _)| *seen == identity).map(|(_, digests)| digests));
                (path, identity, found)
            };
            unmeasured.into_iter().take_while(|_| !cancel.is_cancelled()).map(measure).collect()
        }));
    }

    /// Records what was found out: the next pass packages what is right. Returns the files that are not what they were.
    pub(super) async fn take(&mut self, context: &Context, results: Results) -> Vec<PathBuf> {
        let results = match results {
            Ok(results) => results,
            Err(error) => {
                context.problem("manifest", describe(&error)).await;
                return Vec::new();
            }
        };
        let mut changed = Vec::new();
        for (path, identity, result) in results {
            match result {
                Ok(Some(digests)) => context.shared.desk().take_measured(&path, identity, Ok(digests)),
                Ok(None) => changed.push(path),
                // It is told as what is wrong with the file: reading it again needs a change of it.
                Err(reason) => context.shared.desk().take_measured(&path, identity, Err(reason)),
            }
        }
        changed
    }
}
