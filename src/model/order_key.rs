//! The key by which a caller ensures that a request is carried out once.

/// A caller's key, and the request it was used for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderKey {
    /// As given by the caller: 1 to 255 visible ASCII characters.
    pub key: String,
    /// What tells this order from another: BLAKE3 of all that it says.
    pub digest: [u8; 32],
}
