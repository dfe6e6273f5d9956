//! Why a record was not read or changed, by what the caller can do about it.

use std::time::Duration;

use masv_db::DbError;

use crate::format;

/// A change or a question that the records refuse. Nothing of it has happened, unless that is unknown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Not found: a "package", a "link".
    #[error("{0} not found")]
    NotFound(&'static str),
    /// The input is not valid; it says why.
    #[error("{0}")]
    Invalid(String),
    /// The state of things does not allow it.
    #[error("{0}")]
    Conflict(String),
    /// The caller may not do this.
    #[error("{0}")]
    Forbidden(&'static str),
    /// A package without files cannot be finalized.
    #[error("package must have at least 1 file")]
    PackageEmpty,
    /// The listed parts are not the stored ones.
    #[error("{0}")]
    InvalidPart(String),
    /// The parts together are not as large as the file.
    #[error("the parts have {total} bytes, but the file {said}")]
    InvalidSize {
        /// Bytes of the parts.
        total: u64,
        /// Bytes of the file, as its sender says.
        said: u64,
    },
    /// A file exceeds its announced size.
    #[error("the file was announced with {announced} bytes, and this part exceeds them")]
    BeyondAnnounced {
        /// Bytes.
        announced: u64,
    },
    /// So much of a file is in flight that another part must wait.
    #[error("other parts of the file in flight leave no room for this one, try again")]
    InFlight,
    /// The portal does not accept this.
    #[error("{0}")]
    Restricted(String),
    /// The link's time, or its package's, is over.
    #[error("the link has expired")]
    LinkExpired,
    /// The link opens no more often.
    #[error("the link has reached its download limit")]
    LimitReached,
    /// Too much of this was done; more is allowed after this long.
    #[error("too often, try again later")]
    TooOften(Duration),
    /// The team would exceed its quota; something may be removed.
    #[error(
        "the team's quota of {} is full: this would make {} of it; remove packages, or ask the operator of the hub for more",
        format::bytes(*quota), format::bytes(*wanted)
    )]
    QuotaExceeded {
        /// Bytes that the team may have.
        quota: u64,
        /// Bytes that it would have.
        wanted: u64,
    },
    /// The system provides no randomness for an id.
    #[error("the system provides no random numbers: {0}")]
    Random(String),
    /// The database could not do it.
    #[error(transparent)]
    Database(#[from] DbError),
}

impl Error {
    /// Whether it may have happened all the same: what it would need then must stay.
    pub(crate) fn is_unknown(&self) -> bool {
        matches!(self, Self::Database(error) if error.is_unknown())
    }

    /// Whether asking again can be of no use, whatever happens meanwhile.
    pub(crate) fn is_permanent(&self) -> bool {
        !matches!(
            self,
            Self::QuotaExceeded { .. } | Self::InFlight | Self::TooOften(_) | Self::Random(_) | Self::Database(_)
        )
    }
}

/// The error for something that does not exist.
pub(crate) trait OrNotFound<T> {
    /// The value, or the error that there is no such `what`.
    fn or_not_found(self, what: &'static str) -> Result<T, Error>;
}

impl<T> OrNotFound<T> for Option<T> {
    fn or_not_found(self, what: &'static str) -> Result<T, Error> {
        self.ok_or(Error::NotFound(what))
    }
}
