//! Passwords and access codes: argon2, off the async threads, a few at a time because each takes memory.

use argon2::{Argon2, PasswordHash, PasswordHasher, PasswordVerifier};
use tokio::sync::Semaphore;

use super::KeysError;

/// How many hashes are computed at once; each takes some 20 MiB and a core.
const AT_ONCE: usize = 2;
/// The fewest characters of a person's password.
const SHORTEST_OF_PERSON: usize = 8;
/// A longer password is no password.
const LONGEST: usize = 1024;

static TURNS: Semaphore = Semaphore::const_new(AT_ONCE);

/// The hash to store for `password`, in PHC form.
pub(crate) async fn hash(password: String) -> Result<String, KeysError> {
    if password.len() > LONGEST {
        return Err(KeysError::TooLong);
    }
    in_turn(move || Argon2::default().hash_password(password.as_bytes()).map(|hash: PasswordHash| hash.to_string()))
        .await?
        .map_err(|error| KeysError::Failed(error.to_string()))
}

/// The hash to store for `password`, if there is one.
pub(crate) async fn hash_given(password: Option<&str>) -> Result<Option<String>, KeysError> {
    match password {
        Some(password) if !password.is_empty() => hash(password.to_owned()).await.map(Some),
        _ => Ok(None),
    }
}

/// The hash to store for the password of a person, which must not be too short.
pub(crate) async fn hash_of_person(password: &str) -> Result<String, KeysError> {
    if password.chars().count() < SHORTEST_OF_PERSON {
        return Err(KeysError::TooShort(SHORTEST_OF_PERSON));
    }
    hash(password.to_owned()).await
}

/// Whether `password` is the one that `stored` was made from.
pub(crate) async fn matches(password: String, stored: String) -> Result<bool, KeysError> {
    if password.len() > LONGEST {
        return Ok(false);
    }
    in_turn(move || Argon2::default().verify_password(password.as_bytes(), stored.as_str()).is_ok()).await
}

/// Takes as long as [`matches`], so that the time does not tell whether there is such an account; one that is too long is as
/// wrong here as it is there.
pub(crate) async fn match_nothing(password: String) -> Result<(), KeysError> {
    if password.len() > LONGEST {
        return Ok(());
    }
    hash(password).await.map(drop)
}

async fn in_turn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, KeysError> {
    let _turn = TURNS.acquire().await.map_err(|error| KeysError::Failed(error.to_string()))?;
    tokio::task::spawn_blocking(work).await.map_err(|error| KeysError::Failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_password_matches_its_hash() {
        let stored = hash("open sesame".into()).await.unwrap();
        assert!(stored.starts_with("$argon2id$"));
        assert!(matches("open sesame".into(), stored.clone()).await.unwrap());
        assert!(!matches("open barley".into(), stored.clone()).await.unwrap());
        assert!(!matches("x".repeat(LONGEST + 1), stored).await.unwrap());
        assert_eq!(hash_given(Some("")).await.unwrap(), None);
    }
}
