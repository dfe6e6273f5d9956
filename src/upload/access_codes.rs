//! What portals said of access codes: a code that was refused is not tried again by itself, whoever has it.
//!
//! A portal counts wrong codes and takes no more after a few, from us the right one neither. So a code that is not known to be
//! right is tried by one upload at a time, and when it is refused the others that have the same learn it from here.
//!
//! Kept in memory only, of the codes a hash: after a restart each may be tried once more.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use masv_client::CloudError;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{Mutex as Turn, MutexGuard};

/// What is known of a code.
#[derive(Debug, Default)]
pub(super) enum Verdict {
    /// Nobody has tried it.
    #[default]
    Unknown,
    /// The portal takes it.
    Accepted,
    /// It was refused, like this.
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

    /// Somebody wants this code of a portal to be tried: it may be right by now.
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
    /// The same, where it is nobody else's turn.
    pub(super) fn turn_now(&self) -> Option<MutexGuard<'_, Verdict>> {
        self.0.try_lock().ok()
    }

    /// Waits for one's turn to try it, and says what is known of it then. Whoever has the turn writes down what came of it.
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
