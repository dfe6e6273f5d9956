//! The rule's task and manifests: reads those that are whole, compares what they list.
//!
//! Comparing reads every listed file once before it is sent, on a thread of its own: a file that is not what its
//! manifest says must not even begin to be sent.

use std::sync::Arc;

use tokio::task::{JoinError, JoinHandle};

use super::{Runner, describe};
use crate::watch::manifest::reader::{read, verify};
use crate::watch::manifest::{Listed, parse};
use masv_platform::FileIdentity;
use masv_rules::Ready;

/// Files compared at a time: what was found out is told in between.
const AT_ONCE: usize = 16;

/// What was found out of a file: what is wrong with it, or that it could not be read.
type Comparison = (Listed, FileIdentity, Result<Option<String>, String>);
type Results = Result<Vec<Comparison>, JoinError>;

/// The comparison under way.
#[derive(Debug, Default)]
pub(super) struct Verifying(Option<JoinHandle<Vec<Comparison>>>);

impl Verifying {
    /// Waits for its end.
    pub(super) async fn ended(&mut self) -> Results {
        match &mut self.0 {
            Some(running) => {
                let results = running.await;
                self.0 = None;
                results
            }
            None => std::future::pending().await,
        }
    }
}

impl Runner {
    /// Reads manifests that are whole and begins to compare what they list.
    pub(super) async fn read_manifests(&mut self) {
        if !matches!(self.rule.ready, Ready::Manifest { .. }) || self.offline.is_some() {
            return;
        }
        let unread = self.shared.desk().unread_manifests();
        if !unread.is_empty() {
            let root = self.rule.watch.clone();
            let read = tokio::task::spawn_blocking(move || {
                let read = unread.into_iter().map(|(path, identity)| {
                    let listed = read(&root.join(&path)).and_then(|text| parse(&path, &text));
                    (path, identity, listed)
                });
                read.collect::<Vec<_>>()
            });
            match read.await {
                Ok(read) => {
                    let mut desk = self.shared.desk();
                    for (path, identity, listed) in read {
                        desk.take_manifest(&path, identity, listed);
                    }
                }
                Err(error) => self.problem("manifest", describe(&error)).await,
            }
        }
        self.verify_next();
    }

    fn verify_next(&mut self) {
        if self.verifying.0.is_some() {
            return;
        }
        let mut unverified = self.shared.desk().unverified();
        unverified.truncate(AT_ONCE);
        if unverified.is_empty() {
            return;
        }
        let (root, cancel) = (Arc::new(self.rule.watch.clone()), self.cancel.clone());
        self.verifying.0 = Some(tokio::task::spawn_blocking(move || {
            let compare = |(listed, identity): (Listed, FileIdentity)| {
                let wrong = verify(&root.join(&listed.path), &listed).map_err(|error| error.to_string());
                (listed, identity, wrong)
            };
            unverified.into_iter().take_while(|_| !cancel.is_cancelled()).map(compare).collect()
        }));
    }

    /// Notes what was found out; the next pass packages what is right.
    pub(super) async fn verified(&mut self, results: Results) {
        let results = match results {
            Ok(results) => results,
            Err(error) => return self.problem("manifest", describe(&error)).await,
        };
        for (listed, identity, result) in results {
            // A file that can not be read is told as what is wrong with it: reading it again needs a change of it.
            let wrong = result.unwrap_or_else(|reason| Some(format!("can not be read: {reason}")));
            if let Some(wrong) = &wrong {
                self.problem("manifest", format!("{} {wrong}", listed.path.display())).await;
            }
            self.shared.desk().take_verified(listed.path, identity, wrong);
        }
    }
}
