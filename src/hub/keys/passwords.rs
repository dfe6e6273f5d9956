//! Passwords and access codes: argon2id, off the async threads, a few at a time because each takes memory.

use std::sync::LazyLock;

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use subtle::ConstantTimeEq;

use super::KeysError;
use super::hash_threads::{HashThreads, Memory};

/// How many hashes are computed at once; each takes some 20 MiB and a core.
const AT_ONCE: usize = 2;
/// How many wait for their turn: about two seconds' work.
const MOST_WAITING: usize = 64;
/// The length of a salt, in bytes, as RFC 9106 recommends.
const SALT_BYTES: usize = 16;
/// The fewest characters of a person's password.
const SHORTEST_OF_PERSON: usize = 8;
/// A longer password is rejected.
const LONGEST: usize = 1024;

static THREADS: LazyLock<std::io::Result<HashThreads>> = LazyLock::new(|| HashThreads::start(AT_ONCE, MOST_WAITING));

/// The hash to store for `password`, in PHC form.
pub(crate) async fn hash(password: String) -> Result<String, KeysError> {
    if password.len() > LONGEST {
        return Err(KeysError::TooLong);
    }
    let mut salt = [0; SALT_BYTES];
    getrandom::fill(&mut salt).map_err(failed)?;
    threads()?.run(move |memory| compute(memory, &password, &salt)).await?.map_err(failed)
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

/// Whether `password` matches the hash `stored`.
pub(crate) async fn matches(password: String, stored: String) -> Result<bool, KeysError> {
    if password.len() > LONGEST {
        return Ok(false);
    }
    threads()?.run(move |memory| compare(memory, &password, &stored).unwrap_or(false)).await
}

/// Takes as long as [`matches()`], so that the time does not reveal whether the account exists; a password that is too long is
/// wrong in both.
pub(crate) async fn match_nothing(password: String) -> Result<(), KeysError> {
    if password.len() > LONGEST {
        return Ok(());
    }
    hash(password).await.map(drop)
}

fn threads() -> Result<&'static HashThreads, KeysError> {
    THREADS.as_ref().map_err(failed)
}

fn failed(error: impl std::fmt::Display) -> KeysError {
    KeysError::Failed(error.to_string())
}

/// The hash of a password, in PHC form.
fn compute(memory: &mut Memory, password: &str, salt: &[u8]) -> argon2::password_hash::Result<String> {
    let (algorithm, version, params) = (Algorithm::default(), Version::default(), Params::default());
    let hash = PasswordHash {
        algorithm: algorithm.ident(),
        version: Some(version.into()),
        params: ParamsString::try_from(&params)?,
        salt: Some(Salt::new(salt)?),
        hash: Some(output(memory, &Argon2::new(algorithm, version, params), password, salt)?),
    };
    Ok(hash.to_string())
}

/// Whether a password has a hash that is stored, which says itself how it was computed. In constant time.
fn compare(memory: &mut Memory, password: &str, stored: &str) -> argon2::password_hash::Result<bool> {
    let stored = PasswordHash::new(stored)?;
    let (Some(salt), Some(expected)) = (&stored.salt, &stored.hash) else { return Ok(false) };
    let algorithm = Algorithm::try_from(stored.algorithm.as_str())?;
    let version = stored.version.map(Version::try_from).transpose()?.unwrap_or_default();
    let argon2 = Argon2::new(algorithm, version, Params::try_from(&stored)?);
    let computed = output(memory, &argon2, password, salt)?;
    Ok(computed.as_bytes().ct_eq(expected.as_bytes()).into())
}

/// The last step of both: `memory` grows to the required size and is reused.
fn output(
    memory: &mut Memory,
    argon2: &Argon2<'_>,
    password: &str,
    salt: &[u8],
) -> argon2::password_hash::Result<Output> {
    let params = argon2.params();
    if memory.len() < params.block_count() {
        memory.resize(params.block_count(), Block::default());
    }
    let mut bytes = [0; Output::MAX_LENGTH];
    let bytes = &mut bytes[..params.output_len().unwrap_or(Params::DEFAULT_OUTPUT_LEN).min(Output::MAX_LENGTH)];
    argon2.hash_password_into_with_memory(password.as_bytes(), salt, bytes, memory)?;
    Ok(Output::new(bytes)?)
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

    /// Hashes that earlier versions of the hub stored, and those of other parameters, are compared as before.
    #[tokio::test]
    async fn hashes_that_the_crate_itself_makes_and_checks_are_the_same() {
        use argon2::{PasswordHasher, PasswordVerifier};

        let ours = hash("open sesame".into()).await.unwrap();
        assert!(Argon2::default().verify_password(b"open sesame", ours.as_str()).is_ok());
        let small = Params::new(64, 3, 2, Some(24)).unwrap();
        for argon2 in [Argon2::default(), Argon2::new(Algorithm::Argon2i, Version::V0x10, small)] {
            let stored = PasswordHasher::<PasswordHash>::hash_password(&argon2, b"open sesame").unwrap().to_string();
            assert!(matches("open sesame".into(), stored.clone()).await.unwrap(), "{stored}");
            assert!(!matches("open barley".into(), stored.clone()).await.unwrap(), "{stored}");
        }
        assert!(!matches("open sesame".into(), "no hash".into()).await.unwrap());
    }

    /// A hundred concurrent guesses took 1.6 GiB, which was not released.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn many_hashes_at_once_take_no_more_memory_than_two() {
        let resident = || {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap().trim().to_owned();
            line.trim_end_matches(" kB").parse::<usize>().unwrap() / 1024
        };
        let threads = HashThreads::start(AT_ONCE, 60).unwrap();
        let before = resident();
        let hashes = (0..60).map(|_| threads.run(|memory| compute(memory, "open sesame", &[7; SALT_BYTES])));
        for hash in futures_util::future::join_all(hashes).await {
            hash.unwrap().unwrap();
        }
        // Twice what two need, to leave room for tests running in parallel.
        assert!(resident().saturating_sub(before) < 160, "{before} MiB before, {} after", resident());
    }
}
