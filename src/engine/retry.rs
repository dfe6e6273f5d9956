//! What a failure means and how long to wait before the next attempt. Pure.
//!
//! A bad network costs only time: anything that may succeed later is retried without limit, ever more
//! slowly; anything that would only be refused again fails at once and says why.

use std::time::Duration;

use masv_client::{Authority, Call, CloudError};

/// The wait before the second attempt is up to this long, and doubles from there.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// No wait is longer, unless the cloud asks for it.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// The longest wait that a cloud may ask for.
const LONGEST_ASKED_WAIT: Duration = Duration::from_secs(3600);

/// A new URL that is refused this many times in a row is not refused because of its age.
const MOST_REFUSALS: u32 = 5;

/// What to do about a failed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryDecision {
    /// Retry after the back-off, or after the wait that the cloud asked for.
    Later(Option<Duration>),
    /// The URL has expired or was revoked: request a new one and retry.
    Refresh,
    /// The storage no longer knows the file, or has another one: start it again.
    Restart,
    /// The call had already succeeded, only its response was lost.
    Done,
    /// There is no session, or it has ended, or the team is not chosen: continue once that is resolved.
    SignIn,
    /// It would be refused again.
    Never,
}

/// The attempts of one call so far, all of which failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tries {
    /// How many there were.
    made: u32,
    /// The latest consecutive refusals of the kind that an expired URL gets: network failures in
    /// between say nothing about whether we are allowed.
    refused: u32,
}

impl Tries {
    /// How many there were.
    pub(crate) fn made(self) -> u32 {
        self.made
    }

    /// Another one has failed: what to do about it.
    pub(crate) fn failed(&mut self, error: &CloudError) -> RetryDecision {
        self.made = self.made.saturating_add(1);
        self.refused = match error.status() {
            Some(400 | 401 | 403 | 404 | 410) => self.refused.saturating_add(1),
            _ => 0,
        };
        decide(error, *self)
    }
}

/// Decides what to do about a failed call; the failure is already counted in `tries`.
fn decide(error: &CloudError, tries: Tries) -> RetryDecision {
    let (call, status, code, message, retry_after) = match error {
        CloudError::NotSignedIn | CloudError::NoTeam { .. } => return RetryDecision::SignIn,
        CloudError::Elsewhere { .. } | CloudError::Setup { .. } => {
            return RetryDecision::Never;
        }
        CloudError::Unreachable { .. } | CloudError::Garbled { .. } => return RetryDecision::Later(None),
        CloudError::Refused { call, status, code, message, retry_after } => {
            (*call, *status, code.as_deref(), message.as_str(), *retry_after)
        }
    };
    let wait = RetryDecision::Later(retry_after.map(|wait| wait.min(LONGEST_ASKED_WAIT)));
    match (call, status) {
        (_, 408 | 425 | 429) => wait,
        (_, 500..) => wait,
        (Call::RemovePackage | Call::RemoveFile, 404 | 410) => RetryDecision::Done,
        // The response was lost, or the process ended before it could record it.
        (Call::FinalizePackage | Call::FinalizeFile, 400 | 409) if is_finalized(message) => RetryDecision::Done,
        // The cloud has finalized the file, or lost it, and what was sent of it is not known here.
        (Call::PartAddresses, 404 | 409 | 410) => RetryDecision::Restart,
        (Call::SendPart | Call::BeginFile, _) => match code {
            Some("NoSuchUpload") => RetryDecision::Restart,
            // A body that did not arrive as it was sent, or too slowly.
            Some("RequestTimeout" | "IncompleteBody" | "BadDigest" | "SlowDown") => RetryDecision::Later(None),
            _ if status == 404 && call == Call::SendPart => RetryDecision::Restart,
            _ if matches!(status, 400 | 401 | 403 | 410) && tries.refused <= MOST_REFUSALS => RetryDecision::Refresh,
            _ => RetryDecision::Never,
        },
        (Call::FinalizeFile, 400 | 409) if matches!(code, Some("NoSuchUpload" | "InvalidPart")) => {
            RetryDecision::Restart
        }
        // The file or its upload no longer exists. If the package is gone, announcing the file again will show that.
        (Call::FinalizeFile, 404 | 410) => RetryDecision::Restart,
        (_, 401) if call.authority() == Authority::Account => RetryDecision::SignIn,
        // The token to read the package has expired: the link gives a new one.
        (Call::ListFiles | Call::FileAddress, 401) if tries.refused <= MOST_REFUSALS => RetryDecision::Refresh,
        (Call::ReceivePart, 412 | 416) => RetryDecision::Restart,
        (Call::ReceivePart, 400 | 401 | 403 | 404 | 410) if tries.refused <= MOST_REFUSALS => RetryDecision::Refresh,
        _ => RetryDecision::Never,
    }
}

/// Whether a refusal to finalize means that it was already done, and not that something else must be finalized first.
fn is_finalized(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    (message.contains("already") || message.contains("finalized")) && !message.contains("not ")
}

/// The wait before the next attempt after `attempts` failed ones: uniformly random between nothing and a bound that
/// doubles (full jitter), so that many that failed together do not come back together.
///
/// Source: <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>. `random` is in `0.0..1.0`.
#[must_use]
pub fn backoff(attempts: u32, random: f64) -> Duration {
    let doublings = attempts.saturating_sub(1).min(16);
    let bound = FIRST_WAIT.saturating_mul(1 << doublings).min(LONGEST_WAIT);
    bound.mul_f64(random.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(call: Call, status: u16, code: Option<&str>, message: &str) -> CloudError {
        let code = code.map(str::to_owned);
        CloudError::Refused { call, status, code, message: message.to_owned(), retry_after: None }
    }

    /// Case: each failure has its own meaning: what is refused is not retried, what was interrupted is.
    /// Case: a team that is not named waits as a missing sign-in does; a refused code is final.
    #[test]
    fn every_failure_has_its_meaning() {
        use Call::*;
        let cases = [
            (refused(CreateFile, 500, None, ""), 1, RetryDecision::Later(None)),
            (refused(SendPart, 503, Some("SlowDown"), ""), 1, RetryDecision::Later(None)),
            // A full disk of the hub, or a full quota, is waited for.
            (refused(SendPart, 507, Some("InsufficientStorage"), ""), 9, RetryDecision::Later(None)),
            (refused(CreateFile, 507, Some("quota_exceeded"), ""), 9, RetryDecision::Later(None)),
            (refused(FinalizePackage, 429, None, ""), 1, RetryDecision::Later(None)),
            (refused(SendPart, 403, Some("AccessDenied"), "Request has expired"), 1, RetryDecision::Refresh),
            (refused(SendPart, 403, Some("AccessDenied"), "Access Denied"), 9, RetryDecision::Never),
            (refused(SendPart, 404, Some("NoSuchUpload"), ""), 1, RetryDecision::Restart),
            (refused(SendPart, 400, Some("BadDigest"), ""), 1, RetryDecision::Later(None)),
            (refused(FinalizeFile, 400, Some("InvalidPart"), ""), 1, RetryDecision::Restart),
            (refused(FinalizeFile, 404, None, "upload not found"), 1, RetryDecision::Restart),
            (refused(FinalizePackage, 404, None, "package not found"), 1, RetryDecision::Never),
            (refused(FinalizePackage, 400, None, "package must have at least 1 file"), 1, RetryDecision::Never),
            (refused(FinalizePackage, 409, None, "package is already finalized"), 1, RetryDecision::Done),
            (refused(FinalizeFile, 409, None, "the file is finalized"), 1, RetryDecision::Done),
            (refused(PartAddresses, 409, None, "the file is finalized"), 1, RetryDecision::Restart),
            (refused(FinalizePackage, 409, None, "2 files of the package are not finalized"), 2, RetryDecision::Never),
            (refused(PartAddresses, 404, None, ""), 1, RetryDecision::Restart),
            (refused(RemovePackage, 404, None, ""), 1, RetryDecision::Done),
            (refused(CreatePackage, 401, None, ""), 1, RetryDecision::SignIn),
            (refused(CreatePackage, 403, None, ""), 1, RetryDecision::Never),
            (refused(CreatePortalPackage, 401, None, "the access code is wrong"), 1, RetryDecision::Never),
            (refused(ListTeams, 401, None, ""), 1, RetryDecision::SignIn),
            (CloudError::NoTeam { choice: Vec::new() }, 1, RetryDecision::SignIn),
            (refused(FileAddress, 401, None, ""), 1, RetryDecision::Refresh),
            (refused(FileAddress, 403, None, "the limit is reached"), 1, RetryDecision::Never),
            (refused(OpenLink, 401, None, "the password is wrong"), 1, RetryDecision::Never),
            (refused(ReceivePart, 403, Some("AccessDenied"), "Request has expired"), 1, RetryDecision::Refresh),
            (refused(ReceivePart, 404, Some("NoSuchKey"), ""), 9, RetryDecision::Never),
            (refused(ReceivePart, 416, None, ""), 1, RetryDecision::Restart),
            (CloudError::NotSignedIn, 1, RetryDecision::SignIn),
            (CloudError::Unreachable { call: SendPart, reason: "reset".into() }, 99, RetryDecision::Later(None)),
            (CloudError::Garbled { call: CreateFile, reason: "cut".into() }, 1, RetryDecision::Later(None)),
        ];
        for (error, attempts, verdict) in cases {
            let tries = Tries { made: attempts, refused: attempts };
            assert_eq!(decide(&error, tries), verdict, "{error:?}");
        }
    }

    #[test]
    fn a_bad_network_does_not_use_up_the_patience_with_expired_addresses() {
        let expired = refused(Call::SendPart, 403, Some("AccessDenied"), "Request has expired");
        let cut = CloudError::Unreachable { call: Call::SendPart, reason: "reset".to_owned() };
        let mut tries = Tries::default();
        for _ in 0..20 {
            assert_eq!(tries.failed(&cut), RetryDecision::Later(None));
            assert_eq!(tries.failed(&expired), RetryDecision::Refresh);
        }
        assert_eq!(tries.made(), 40);
        (1..MOST_REFUSALS).for_each(|_| assert_eq!(tries.failed(&expired), RetryDecision::Refresh));
        assert_eq!(tries.failed(&expired), RetryDecision::Never, "a refusal that does not end is one");
    }

    #[test]
    fn a_cloud_may_ask_for_a_wait_but_not_for_ever() {
        let asked = |seconds| {
            let mut error = refused(Call::CreateFile, 503, None, "");
            if let CloudError::Refused { retry_after, .. } = &mut error {
                *retry_after = Some(Duration::from_secs(seconds));
            }
            Tries::default().failed(&error)
        };
        assert_eq!(asked(7), RetryDecision::Later(Some(Duration::from_secs(7))));
        assert_eq!(asked(1 << 40), RetryDecision::Later(Some(LONGEST_ASKED_WAIT)));
    }

    #[test]
    fn waits_double_up_to_a_bound_and_are_spread() {
        let bounds: Vec<u128> = (1..12).map(|attempts| backoff(attempts, 1.0).as_millis()).collect();
        assert_eq!(bounds, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000, 60_000]);
        assert_eq!(backoff(5, 0.0), Duration::ZERO);
        assert_eq!(backoff(u32::MAX, 0.5), LONGEST_WAIT / 2);
    }
}
