//! The rule's task and checksum lists: reads those that are complete, computes the digests of what they name, tells what is
//! wrong.
//!
//! Every listed file is read once before it is sent, on a thread of its own: a file that is not what its list says must
//! not even begin to be sent.

use std::collections::BTreeSet;
use std::path::PathBuf;

use tokio::task::{JoinError, JoinHandle};

use super::{Runner, describe};
use crate::watch::manifest::checksum::Algorithm;
use crate::watch::manifest::measure::Digests;
use crate::watch::manifest::parse;
use crate::watch::manifest::reader::{digests, read};
use masv_platform::{FileIdentity, PathBeneath};
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

impl Runner {
    /// Reads lists that are complete, begins to read what they name, and tells what is wrong.
    pub(super) async fn read_manifests(&mut self) {
        if !matches!(self.rule.ready, Ready::Manifest { .. }) || self.offline.is_some() {
            return;
        }
        let unread = self.shared.desk().unread_lists();
        if !unread.is_empty() {
            let root = self.rule.watch.clone();
            let read = tokio::task::spawn_blocking(move || {
                let read = unread.into_iter().map(|(path, identity)| {
                    let source = PathBeneath::new(&*root, &*path);
                    let listed = read(&source).and_then(|bytes| parse(&path, &bytes));
                    (path, identity, listed)
                });
                read.collect::<Vec<_>>()
            });
            match read.await {
                Ok(read) => {
                    let mut desk = self.shared.desk();
                    for (path, identity, listed) in read {
                        desk.take_list(&path, identity, listed);
                    }
                }
                Err(error) => self.problem("manifest", describe(&error)).await,
            }
        }
        self.tell_of_lists().await;
        self.measure_next();
    }

    /// Reports problems, each once for as long as it lasts.
    async fn tell_of_lists(&mut self) {
        let problems: BTreeSet<String> = self.shared.desk().refresh_lists().into_iter().collect();
        for problem in problems.difference(&self.verifying.told) {
            self.problem("manifest", problem.clone()).await;
        }
        if problems.is_empty() && !self.verifying.told.is_empty() {
            self.recovered(&["manifest"]);
        }
        self.verifying.told = problems;
    }

    fn measure_next(&mut self) {
        if self.verifying.running.is_some() {
            return;
        }
        let mut unmeasured = self.shared.desk().unmeasured();
        unmeasured.truncate(AT_ONCE);
        if unmeasured.is_empty() {
            return;
        }
        let (root, cancel) = (self.rule.watch.clone(), self.cancel.clone());
        self.verifying.running = Some(tokio::task::spawn_blocking(move || {
            let measure = |(path, identity, algorithms): (PathBuf, FileIdentity, BTreeSet<Algorithm>)| {
                let found = digests(&PathBeneath::new(&*root, &*path), &algorithms).map_err(|error| error.to_string());
                let found = found.map(|found| found.filter(|(seen, _)| *seen == identity).map(|(_, digests)| digests));
                (path, identity, found)
            };
            unmeasured.into_iter().take_while(|_| !cancel.is_cancelled()).map(measure).collect()
        }));
    }

    /// Records what was found out; the next pass packages what is right.
    pub(super) async fn measured(&mut self, results: Results) {
        let results = match results {
            Ok(results) => results,
            Err(error) => return self.problem("manifest", describe(&error)).await,
        };
        let mut changed = Vec::new();
        for (path, identity, result) in results {
            match result {
                Ok(Some(digests)) => self.shared.desk().take_measured(&path, identity, Ok(digests)),
                Ok(None) => changed.push(path),
                // It is told as what is wrong with the file: reading it again needs a change of it.
                Err(reason) => self.shared.desk().take_measured(&path, identity, Err(reason)),
            }
        }
        if !changed.is_empty() {
            self.look_at_paths(changed).await;
        }
    }
}
