//! Secrets: made, hashed, compared in constant time; addresses into the storage signed.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::error::HubError;
use super::now;
use crate::db::{Database, DbError};

/// How long a signed address can be used.
const ADDRESS_LIFE_MS: i64 = 60 * 60 * 1000;

/// A random secret of 256 bits, as text that needs no escaping anywhere.
pub(super) fn random() -> Result<String, HubError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| HubError::Secrets(error.to_string()))?;
    Ok(hex::encode(bytes))
}

/// The hash under which a random secret is stored. Such a secret can not be guessed, so a fast hash will do.
pub(super) fn digest(secret: &str) -> Vec<u8> {
    Sha256::digest(secret.as_bytes()).to_vec()
}

/// Whether both are equal, in a time that does not tell where they differ.
pub(super) fn equal(left: &[u8], right: &[u8]) -> bool {
    left.ct_eq(right).into()
}

/// The hash under which a password that a person chose is stored: slow and salted (Argon2id). Takes some 50 ms.
pub(super) fn hash_password(password: &SecretString) -> Result<String, HubError> {
    let hash = Argon2::default().hash_password(password.expose_secret().as_bytes());
    hash.map(|hash| hash.to_string()).map_err(|error| HubError::Secrets(error.to_string()))
}

/// Whether `password` is the one that was hashed. Takes as long as hashing.
pub(super) fn is_password(password: &str, hash: &str) -> bool {
    PasswordHash::new(hash).is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
}

/// Signs addresses into the storage: who holds one may do that one thing until it expires.
pub(super) struct Signer {
    key: Vec<u8>,
}

impl Signer {
    /// The hub's own key, made at its first start.
    pub(super) async fn load(database: &Database) -> Result<Self, HubError> {
        let fresh = random()?;
        let key = database
            .write(move |connection| {
                connection.execute(
                    "INSERT OR IGNORE INTO secret (name, value) VALUES ('signing', ?1)",
                    [fresh.into_bytes()],
                )?;
                let key =
                    connection.query_row("SELECT value FROM secret WHERE name = 'signing'", [], |row| row.get(0))?;
                Ok::<_, DbError>(key)
            })
            .await?;
        Ok(Self { key })
    }

    fn signature(&self, what: &str, expires: i64) -> String {
        // Any length of key is fine for HMAC.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.key) else { return String::new() };
        mac.update(format!("{expires}\n{what}").as_bytes());
        hex::encode(mac.finalize().into_bytes())
    }

    /// The query that lets its holder do `what` for an hour.
    pub(super) fn query(&self, what: &str) -> String {
        let expires = now() + ADDRESS_LIFE_MS;
        format!("expires={expires}&signature={}", self.signature(what, expires))
    }

    /// Whether the query was made by [`Signer::query`] for `what`.
    pub(super) fn allows(&self, what: &str, expires: i64, signature: &str) -> bool {
        !signature.is_empty() && equal(self.signature(what, expires).as_bytes(), signature.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_for_one_thing_and_one_time() {
        let signer = Signer { key: b"key".to_vec() };
        let signature = signer.signature("PUT a/1", 5);
        assert!(signer.allows("PUT a/1", 5, &signature));
        assert!(!signer.allows("PUT a/2", 5, &signature));
        assert!(!signer.allows("PUT a/1", 6, &signature));
        assert!(!signer.allows("PUT a/1", 5, ""));
        assert!(!Signer { key: b"other".to_vec() }.allows("PUT a/1", 5, &signature));
    }

    #[test]
    fn passwords_are_told_apart() {
        let hash = hash_password(&"open sesame".into()).unwrap();
        assert!(is_password("open sesame", &hash));
        assert!(!is_password("open sesam", &hash));
        assert!(!is_password("open sesame", "no hash"));
    }
}
