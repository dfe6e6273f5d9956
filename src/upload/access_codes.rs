//! What portals said about access codes: a refused code is not retried automatically, whichever upload has it.
//!
//! A portal counts wrong codes and accepts none after a few, not even the right one. So a code that is not known to be
//! right is tried by one upload at a time, and if it is refused, the others with the same code learn of it here.
//!
//! Kept in memory only, as hashes of the codes: after a restart each may be tried once more.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use masv_client::CloudError;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{Mutex as Turn, MutexGuard};

/// What is known about a code.
#[derive(Debug, Default)]
pub(super) enum Verdict {
    /// It has not been tried.
    #[default]
    Unknown,
    /// The portal accepts it.
    Accepted,
    /// It was refused, with this error.
    Refused(CloudError),
}

type Key = (String, String, blake3::Hash);

/// The codes that were tried.
#[derive(Debug, Default)]
pub(super) struct AccessCodes {
    known: Mutex<HashMap<Key, Arc<Turn<Verdict>>>>,
}

/// A code of a portal.
#[derive(Debug, Clone)]
pub(super) struct Code(Arc<Turn<Verdict>>);

impl AccessCodes {
    /// The code for a portal of a cloud.
    pub(super) fn of(&self, cloud: &str, portal: &str, code: Option<&SecretString>) -> Code {
        let key = (cloud.to_owned(), portal.to_owned(), hash(code));
        Code(Arc::clone(self.known.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default()))
    }

    /// A user asked to try this code of a portal again: it may be right by now.
    pub(super) fn forget(&self, portal: &str, code: Option<&SecretString>) {
        let hash = hash(code);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|(_, of, other), _| of != portal || *other != hash);
    }
}

fn hash(code: Option<&SecretString>) -> blake3::Hash {
    blake3::hash(code.map_or("", ExposeSecret::expose_secret).as_bytes())
}

impl Code {
    /// The same, if no other upload is trying it.
    pub(super) fn turn_now(&self) -> Option<MutexGuard<'_, Verdict>> {
        self.0.try_lock().ok()
    }

    /// Waits for the turn to try it, and returns what is known then. The holder of the turn records the outcome.
    pub(super) async fn turn(&self) -> MutexGuard<'_, Verdict> {
        self.0.lock().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use masv_client::Call;

    fn refused() -> CloudError {
        let message = "the access code is wrong".to_owned();
        CloudError::Refused { call: Call::CreatePortalPackage, status: 401, code: None, message, retry_after: None }
    }

    /// Case: a refused access code is not tried again by itself, for any upload that has it.
    #[tokio::test]
    async fn a_refused_code_is_known_to_all_that_have_it_until_somebody_wants_it_tried() {
        let codes = AccessCodes::default();
        let (wrong, right) = (SecretString::from("wrong"), SecretString::from("right"));
        *codes.of("cloud", "acme", Some(&wrong)).turn().await = Verdict::Refused(refused());
        assert!(matches!(*codes.of("cloud", "acme", Some(&wrong)).turn().await, Verdict::Refused(_)));
        assert!(matches!(*codes.of("cloud", "acme", Some(&right)).turn().await, Verdict::Unknown));
        assert!(matches!(*codes.of("cloud", "other", Some(&wrong)).turn().await, Verdict::Unknown));
        codes.forget("acme", Some(&right));
        assert!(matches!(*codes.of("cloud", "acme", Some(&wrong)).turn().await, Verdict::Refused(_)));
        codes.forget("acme", Some(&wrong));
        assert!(matches!(*codes.of("cloud", "acme", Some(&wrong)).turn().await, Verdict::Unknown));
    }
}
