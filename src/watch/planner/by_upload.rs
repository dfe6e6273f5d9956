//! The files that are here, by the upload that they are in, or were sent in: news of an upload are about its files and
//! not about all that is here.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use crate::model::UploadId;
use crate::watch::dedup::DedupDecision;
use crate::watch::path_map::PathMap;

/// The files of uploads.
#[derive(Debug, Default)]
pub(super) struct ByUpload {
    /// Whether something is done with files that were sent; otherwise nobody asks for them.
    keeps_sent: bool,
    claimed: HashMap<UploadId, PathMap<()>>,
    sent: BTreeMap<UploadId, PathMap<()>>,
}

impl ByUpload {
    pub(super) fn new(keeps_sent: bool) -> Self {
        Self { keeps_sent, ..Self::default() }
    }

    /// What is to be done with a file has become `verdict`; it was `before`.
    pub(super) fn change(&mut self, path: &Arc<Path>, before: Option<DedupDecision>, verdict: Option<DedupDecision>) {
        if before == verdict {
            return;
        }
        match before {
            Some(DedupDecision::InUpload(Some(id))) => {
                if let Some(files) = self.claimed.get_mut(&id) {
                    files.remove(path);
                    if files.is_empty() {
                        self.claimed.remove(&id);
                    }
                }
            }
            Some(DedupDecision::Sent(Some(id))) => {
                if let Some(files) = self.sent.get_mut(&id) {
                    files.remove(path);
                    if files.is_empty() {
                        self.sent.remove(&id);
                    }
                }
            }
            _ => {}
        }
        match verdict {
            Some(DedupDecision::InUpload(Some(id))) => {
                self.claimed.entry(id).or_default().insert(Arc::clone(path), ());
            }
            Some(DedupDecision::Sent(Some(id))) if self.keeps_sent => {
                self.sent.entry(id).or_default().insert(Arc::clone(path), ());
            }
            _ => {}
        }
    }

    /// The files that an upload which is not complete has claimed.
    pub(super) fn claimed(&self, id: UploadId) -> impl Iterator<Item = &Arc<Path>> {
        self.claimed.get(&id).into_iter().flat_map(PathMap::iter).map(|(path, ())| path)
    }

    /// The files that were sent and with which something is to be done, by upload.
    pub(super) fn sent(&self) -> impl Iterator<Item = (UploadId, impl Iterator<Item = &Arc<Path>>)> {
        self.sent.iter().map(|(id, files)| (*id, files.iter().map(|(path, ())| path)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_stands_where_its_verdict_says_and_nothing_is_left_of_what_is_over() {
        let (one, two) = (UploadId::new(), UploadId::new());
        let path: Arc<Path> = Path::new("a.mov").into();
        let mut files = ByUpload::new(true);
        let verdicts = [
            Some(DedupDecision::Send),
            Some(DedupDecision::InUpload(Some(one))),
            Some(DedupDecision::Sent(Some(one))),
            Some(DedupDecision::InUpload(Some(two))),
            None,
        ];
        let mut before = None;
        for verdict in verdicts {
            files.change(&path, before, verdict);
            let is = |id| verdict == Some(DedupDecision::InUpload(Some(id)));
            assert_eq!(files.claimed(one).count(), usize::from(is(one)));
            assert_eq!(files.claimed(two).count(), usize::from(is(two)));
            let sent = verdict == Some(DedupDecision::Sent(Some(one)));
            assert_eq!(files.sent().count(), usize::from(sent));
            before = verdict;
        }
        assert!(files.claimed.is_empty() && files.sent.is_empty());
        let mut kept = ByUpload::new(false);
        kept.change(&path, None, Some(DedupDecision::Sent(Some(one))));
        assert!(kept.sent.is_empty(), "with files that stay nothing is done");
    }
}
