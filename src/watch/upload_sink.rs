//! Where packages go: the interface to the queue that this room needs.
//!
//! A trait, so that watching can be tested without anything being sent.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;

use crate::engine::QueueError;
use crate::model::UploadId;
use crate::model::{SourceFiles, UploadSpec};
use crate::upload::Queue;

/// Why a package was not taken.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The ledger has this content of a file already; nothing was taken. Look into the ledger again.
    #[error("{} is already claimed", .0.display())]
    AlreadyClaimed(PathBuf),
    /// The upload takes no more files; make a new one.
    #[error("the upload accepts no more files")]
    NotOpen,
    /// It could not be kept (full disk, for instance); try again.
    #[error("{0}")]
    Failed(String),
}

/// What an outlet answers with.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, SinkError>> + Send + 'a>>;

/// Takes packages. Each call is one transaction together with the ledger's claims.
pub trait UploadSink: Send + Sync + std::fmt::Debug + 'static {
    /// Makes an upload.
    fn submit(&self, spec: UploadSpec) -> Answer<'_, UploadId>;
    /// Adds files to an upload that is open.
    fn append(&self, id: UploadId, files: SourceFiles) -> Answer<'_, ()>;
    /// Closes an open upload: it is finalized as soon as all is sent.
    fn finalize(&self, id: UploadId) -> Answer<'_, ()>;
    /// Files of an upload that were being written are complete; `more` files go with them.
    fn growing_settled(&self, id: UploadId, grown: SourceFiles, more: SourceFiles) -> Answer<'_, ()>;
    /// Drops an upload with a file that is being written: its files are free to be sent anew.
    fn give_up_growing(&self, id: UploadId, reason: String) -> Answer<'_, ()>;
    /// Resumes a failed upload.
    fn resume(&self, id: UploadId) -> Answer<'_, ()>;
    /// Resumes a failed upload without the files that no longer exist.
    fn resume_without_gone(&self, id: UploadId) -> Answer<'_, ()>;
}

impl From<QueueError> for SinkError {
    fn from(error: QueueError) -> Self {
        match error {
            QueueError::AlreadyClaimed { path } => Self::AlreadyClaimed(path),
            QueueError::WrongState { .. } | QueueError::NotFound(_) => Self::NotOpen,
            other => Self::Failed(super::describe(&other)),
        }
    }
}

impl UploadSink for Queue {
    fn submit(&self, spec: UploadSpec) -> Answer<'_, UploadId> {
        Box::pin(async move { Ok(Self::submit(self, spec).await?) })
    }

    fn append(&self, id: UploadId, files: SourceFiles) -> Answer<'_, ()> {
        Box::pin(async move { Ok(Self::append(self, id, files).await?) })
    }

    fn finalize(&self, id: UploadId) -> Answer<'_, ()> {
        Box::pin(async move { Ok(Self::finalize(self, id).await?) })
    }

    fn growing_settled(&self, id: UploadId, grown: SourceFiles, more: SourceFiles) -> Answer<'_, ()> {
        Box::pin(async move { Ok(Self::growing_settled(self, id, grown, more).await?) })
    }

    fn give_up_growing(&self, id: UploadId, reason: String) -> Answer<'_, ()> {
        Box::pin(async move { Ok(Self::give_up_growing(self, id, reason).await?) })
    }

    fn resume(&self, id: UploadId) -> Answer<'_, ()> {
        Box::pin(async move { Ok(Self::resume(self, id).await?) })
    }

    fn resume_without_gone(&self, id: UploadId) -> Answer<'_, ()> {
        Box::pin(async move { Ok(Self::resume_without_gone(self, id).await?) })
    }
}
