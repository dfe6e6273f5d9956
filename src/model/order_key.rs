//! The key by which a caller makes sure that an order is carried out once.

/// A key of a caller's, and the order that came with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderKey {
    /// As the caller gave it: 1 to 255 visible characters of ASCII.
    pub key: String,
    /// What tells this order from another: BLAKE3 of all that it says.
    pub digest: [u8; 32],
}
