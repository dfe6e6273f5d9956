//! Why a record is not read or changed, by what the caller can do about it.

use masv_db::DbError;

use crate::format;

/// A change or a question that the records refuse. Nothing of it has happened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// There is no such thing: a "package", a "link".
    #[error("{0} not found")]
    NotFound(&'static str),
    /// What was given makes no sense; it says what.
    #[error("{0}")]
    Invalid(String),
    /// The state of things does not allow it.
    #[error("{0}")]
    Conflict(String),
    /// Whoever asks may not do this.
    #[error("{0}")]
    Forbidden(&'static str),
    /// A package without files cannot be finalized.
    #[error("package must have at least 1 file")]
    PackageEmpty,
    /// The parts that were listed are not those that are stored.
    #[error("{0}")]
    InvalidPart(String),
    /// The parts together are not as large as the file.
    #[error("the parts have {total} bytes, the file {said}")]
    InvalidSize {
        /// Bytes of the parts.
        total: u64,
        /// Bytes of the file, as its sender says.
        said: u64,
    },
    /// More is sent of a file than it was announced with.
    #[error("the file was announced with {announced} bytes, and this part goes beyond them")]
    BeyondAnnounced {
        /// Bytes.
        announced: u64,
    },
    /// So much of a file is being sent at the moment that another part must wait.
    #[error("other parts of the file are being sent that leave no room for this one, try again")]
    InFlight,
    /// The portal does not take this.
    #[error("{0}")]
    Restricted(String),
    /// The link's time, or its package's, is over.
    #[error("the link has expired")]
    LinkExpired,
    /// The link opens no more often.
    #[error("the link has been used as often as it may be")]
    LimitReached,
    /// The team would have more than it may; somebody may remove something.
    #[error(
        "the team's quota of {} is full: this would make {} of it; remove packages, or ask who runs the hub for more",
        format::bytes(*quota), format::bytes(*wanted)
    )]
    QuotaExceeded {
        /// Bytes that the team may have.
        quota: u64,
        /// Bytes that it would have.
        wanted: u64,
    },
    /// The system gives no randomness for an id.
    #[error("the system gives no random numbers: {0}")]
    Random(String),
    /// The database could not do it.
    #[error(transparent)]
    Database(#[from] DbError),
}

impl Error {
    /// Whether asking again can be of no use, whatever happens meanwhile.
    pub(crate) fn is_permanent(&self) -> bool {
        !matches!(self, Self::QuotaExceeded { .. } | Self::InFlight | Self::Random(_) | Self::Database(_))
    }
}

/// The refusal for what is not there.
pub(crate) trait OrNotFound<T> {
    /// The thing, or that there is no such `what`.
    fn or_not_found(self, what: &'static str) -> Result<T, Error>;
}

impl<T> OrNotFound<T> for Option<T> {
    fn or_not_found(self, what: &'static str) -> Result<T, Error> {
        self.ok_or(Error::NotFound(what))
    }
}
