//! Guesses at secrets, within the limits of this process and of all that share its database.
//!
//! **In**: what is guarded, who guesses, and the hash of what is right. **Out**: whether the guess is.
//!
//! A hub alone counts in memory. Where hubs share a database, this process counts first, so that what it can refuse itself costs the
//! database nothing, and then all together.
//!
//! Must never know: what the secrets open.

use std::net::IpAddr;
use std::time::Instant;

use super::refusal::Refusal;
use crate::Hub;
use crate::keys::KeysError;
use crate::keys::attempt_limiter::{Attempt, Keys};
use crate::records::{Error, counters};

/// Whether a password is the one with the hash that is stored for `what`. Where there is none, the answer is no, and takes as long.
pub(super) async fn is_right(
    hub: &Hub,
    what: &str,
    guesser: Option<IpAddr>,
    password: String,
    stored: Option<String>,
) -> Result<bool, Refusal> {
    let is_known = stored.is_some();
    let attempt = hub.server.limiter.begin(what, guesser, Instant::now())?;
    let compared = match hub.database().is_shared() {
        false => attempt.compare(password, stored).await?,
        true => compare_shared(hub, attempt, Keys::new(what, guesser), password, stored).await?,
    };
    if !compared && is_known {
        tracing::warn!(what, guesser = guesser.map(tracing::field::display), "wrong password");
    }
    Ok(compared)
}

async fn compare_shared(
    hub: &Hub,
    attempt: Attempt<'_>,
    keys: Keys,
    password: String,
    stored: Option<String>,
) -> Result<bool, Refusal> {
    let counted = match counters::count(hub.database(), keys).await {
        Ok(counted) => counted,
        Err(error) => {
            attempt.give_back();
            return Err(match error {
                Error::TooOften(wait) => KeysError::TooManyAttempts(wait).into(),
                error => error.into(),
            });
        }
    };
    let compared = attempt.compare(password, stored).await;
    if !matches!(compared, Ok(false))
        && let Err(error) = counters::uncount(hub.database(), counted).await
    {
        // Whoever is let in need not wait because of that: it counts for some minutes.
        tracing::warn!(%error, "an attempt that was right still counts as a wrong one");
    }
    Ok(compared?)
}
