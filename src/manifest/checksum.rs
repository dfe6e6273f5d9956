//! Kinds of checksums, and checksums as lists write them.
//!
//! **In**: the name of a kind, the text of a checksum. **Out**: a [`Checksum`] to compare, whatever its spelling: C4 is
//! SHA-512 in other digits, a little-endian XXH64 is the same number written backwards. Pure.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

/// The digits of C4 identifiers, by their value.
pub(super) const C4_DIGITS: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

/// A way to compute a checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Algorithm {
    /// CRC-32 of zip and SFV.
    Crc32,
    /// XXH32.
    Xxh32,
    /// XXH64.
    Xxh64,
    /// The 64-bit variant of XXH3.
    Xxh3,
    /// The 128-bit variant of XXH3.
    Xxh128,
    /// MD5.
    Md5,
    /// SHA-1.
    Sha1,
    /// SHA-224.
    Sha224,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
    /// BLAKE2b with 512 bits.
    Blake2b,
    /// BLAKE3 with 256 bits.
    Blake3,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Crc32,
        Self::Xxh32,
        Self::Xxh64,
        Self::Xxh3,
        Self::Xxh128,
        Self::Md5,
        Self::Sha1,
        Self::Sha224,
        Self::Sha256,
        Self::Sha384,
        Self::Sha512,
        Self::Blake2b,
        Self::Blake3,
    ];

    /// Bytes of its result.
    #[must_use]
    pub fn bytes(self) -> usize {
        match self {
            Self::Crc32 | Self::Xxh32 => 4,
            Self::Xxh64 | Self::Xxh3 => 8,
            Self::Xxh128 | Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha224 => 28,
            Self::Sha256 | Self::Blake3 => 32,
            Self::Sha384 => 48,
            Self::Sha512 | Self::Blake2b => 64,
        }
    }

    /// The name for a person.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC-32",
            Self::Xxh32 => "XXH32",
            Self::Xxh64 => "XXH64",
            Self::Xxh3 => "XXH3",
            Self::Xxh128 => "XXH128",
            Self::Md5 => "MD5",
            Self::Sha1 => "SHA-1",
            Self::Sha224 => "SHA-224",
            Self::Sha256 => "SHA-256",
            Self::Sha384 => "SHA-384",
            Self::Sha512 => "SHA-512",
            Self::Blake2b => "BLAKE2b",
            Self::Blake3 => "BLAKE3",
        }
    }

    /// Whether that is the name of a kind that is not supported: `sha3`, `rmd160`.
    #[must_use]
    pub fn is_unsupported(name: &str) -> bool {
        const UNSUPPORTED: [&str; 22] = [
            "adler32",
            "b2s",
            "blake2bp",
            "blake2s",
            "blake2sp",
            "btih",
            "crc32c",
            "crc64",
            "ed2k",
            "gost",
            "k12",
            "keccak",
            "md2",
            "md4",
            "ripemd",
            "ripemd160",
            "rmd160",
            "sha3",
            "sm3",
            "tiger",
            "tth",
            "whirlpool",
        ];
        UNSUPPORTED.contains(&name.to_ascii_lowercase().as_str())
    }

    /// The algorithm of that name in tagged lines, endings and names of lists: `SHA2-256`, `xxh128`, `b3`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
        Some(match plain.to_ascii_lowercase().as_str() {
            "crc32" | "sfv" => Self::Crc32,
            "xxh32" => Self::Xxh32,
            "xxh64" | "xxhash" => Self::Xxh64,
            "xxh3" | "xxh364" => Self::Xxh3,
            "xxh128" | "xxh3128" => Self::Xxh128,
            "md5" => Self::Md5,
            "sha1" => Self::Sha1,
            "sha224" | "sha2224" => Self::Sha224,
            "sha256" | "sha2256" => Self::Sha256,
            "sha384" | "sha2384" => Self::Sha384,
            "sha512" | "sha2512" => Self::Sha512,
            "b2" | "blake2" | "blake2b" | "blake2b512" => Self::Blake2b,
            "b3" | "blake3" => Self::Blake3,
            _ => return None,
        })
    }
}

/// A checksum from a list. It matches if one of its algorithms produces it: a bare number does not say how it was computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checksum {
    /// The algorithms that may have made it, the likeliest first; never empty.
    pub algorithms: Vec<Algorithm>,
    /// The result.
    pub digest: Vec<u8>,
    /// Where its algorithm is known from.
    pub kind: Kind,
}

/// Where the algorithm of a checksum is known from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The line or the element says so.
    Said,
    /// The name of the list suggests it.
    Suggested,
    /// Only its length hints at it.
    Guessed,
}

impl Checksum {
    /// The checksum of a known algorithm, in hexadecimal or base64; `None` if the text is not one of its length.
    #[must_use]
    pub fn of(algorithm: Algorithm, text: &str) -> Option<Self> {
        let digest = hex::decode(text).ok().or_else(|| BASE64.decode(text).ok())?;
        (digest.len() == algorithm.bytes()).then(|| Self { algorithms: vec![algorithm], digest, kind: Kind::Said })
    }

    /// The same, with its bytes in reverse order: how some tools write the XXH family.
    #[must_use]
    pub fn little_endian(algorithm: Algorithm, text: &str) -> Option<Self> {
        let mut checksum = Self::of(algorithm, text)?;
        checksum.digest.reverse();
        Some(checksum)
    }

    /// A bare number of which only the surroundings say how it was made. With 8 bytes or more, a match under any
    /// algorithm of that length proves that the file is the one that was listed; fewer have to be named.
    #[must_use]
    pub fn bare(text: &str, suggested: Option<Algorithm>) -> Option<Self> {
        let Ok(digest) = hex::decode(text) else { return Self::of(suggested?, text) };
        let fits = |algorithm: &Algorithm| algorithm.bytes() == digest.len();
        let mut algorithms: Vec<Algorithm> = suggested.into_iter().filter(fits).collect();
        if digest.len() >= 8 {
            let others = Algorithm::ALL.into_iter().filter(fits).filter(|one| Some(*one) != suggested);
            // Of equal length the older ones are the likelier ones: MD5, SHA-256, SHA-512, XXH64.
            let (likely, rare): (Vec<_>, Vec<_>) = others.partition(|one| {
                !matches!(one, Algorithm::Xxh3 | Algorithm::Xxh128 | Algorithm::Blake2b | Algorithm::Blake3)
            });
            algorithms.extend(likely.into_iter().chain(rare));
        }
        let named = suggested.is_some_and(|suggested| algorithms.first() == Some(&suggested));
        let kind = if named { Kind::Suggested } else { Kind::Guessed };
        (!algorithms.is_empty()).then_some(Self { algorithms, digest, kind })
    }

    /// Whether that is the digest of the listed file. Some tools write bare numbers of the XXH family in reverse order.
    #[must_use]
    pub fn is(&self, algorithm: Algorithm, digest: &[u8]) -> bool {
        let reversed = || {
            self.kind != Kind::Said
                && matches!(algorithm, Algorithm::Xxh64 | Algorithm::Xxh3 | Algorithm::Xxh128)
                && self.digest.iter().rev().eq(digest)
        };
        self.digest == digest || reversed()
    }

    /// A C4 identifier (SMPTE ST 2114): `c4` and SHA-512 in 88 digits of base 58.
    #[must_use]
    pub fn c4(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("c4").filter(|digits| digits.len() == 88)?;
        let mut digest = vec![0_u8; 64];
        for digit in digits.bytes() {
            let mut carry = u32::try_from(C4_DIGITS.iter().position(|known| *known == digit)?).ok()?;
            for byte in digest.iter_mut().rev() {
                carry += u32::from(*byte) * 58;
                *byte = (carry & 0xff) as u8;
                carry >>= 8;
            }
            if carry > 0 {
                return None;
            }
        }
        Some(Self { algorithms: vec![Algorithm::Sha512], digest, kind: Kind::Said })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The identifier of nothing, as the standard gives it, is SHA-512 of nothing in other digits.
    /// Case: a C4 identifier is compared.
    #[test]
    fn c4_is_sha_512_in_other_digits() {
        let empty = "c459dsjfscH38cYeXXYogktxf4Cd9ibshE3BHUo6a58hBXmRQdZrAkZzsWcbWtDg5oQstpDuni4Hirj75GEmTc1sFT";
        let sha512 = "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce\
                      47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e";
        assert_eq!(Checksum::c4(empty), Checksum::of(Algorithm::Sha512, sha512));
        assert_eq!(Checksum::c4(&empty.replace('s', "0")), None);
        assert_eq!(Checksum::c4("c41"), None);
        assert_eq!(Checksum::c4(&format!("c4{}", "z".repeat(88))), None, "more than 512 bits");
    }

    #[test]
    fn a_bare_number_may_be_of_any_algorithm_of_its_length_and_a_short_one_must_be_named() {
        let of = |digits: usize, suggested| Checksum::bare(&"ab".repeat(digits / 2), suggested).map(|it| it.algorithms);
        assert_eq!(of(32, None), Some(vec![Algorithm::Md5, Algorithm::Xxh128]));
        assert_eq!(of(32, Some(Algorithm::Xxh128)), Some(vec![Algorithm::Xxh128, Algorithm::Md5]));
        assert_eq!(of(64, None), Some(vec![Algorithm::Sha256, Algorithm::Blake3]));
        assert_eq!(of(16, None), Some(vec![Algorithm::Xxh64, Algorithm::Xxh3]));
        assert_eq!((of(8, None), of(8, Some(Algorithm::Xxh32))), (None, Some(vec![Algorithm::Xxh32])));
        assert_eq!(of(30, Some(Algorithm::Md5)), None);
    }
}
