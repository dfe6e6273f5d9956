//! Computes all requested checksums of a file in one pass.
//!
//! **In**: bytes, a set of [`Algorithm`]s. **Out**: a digest for each. Pure but for reading.

use std::collections::BTreeMap;
use std::io::Read;

use md5::Digest;

use super::checksum::Algorithm;

/// The digests of a file, by algorithm.
pub type Digests = BTreeMap<Algorithm, Vec<u8>>;

/// Bytes read at a time.
const BLOCK: usize = 1 << 20;

enum Hasher {
    Crc32(crc32fast::Hasher),
    Xxh32(xxhash_rust::xxh32::Xxh32),
    Xxh64(xxhash_rust::xxh64::Xxh64),
    Xxh3(Box<xxhash_rust::xxh3::Xxh3>),
    Xxh128(Box<xxhash_rust::xxh3::Xxh3>),
    Md5(md5::Md5),
    Sha1(sha1::Sha1),
    Sha224(sha2::Sha224),
    Sha256(sha2::Sha256),
    Sha384(sha2::Sha384),
    Sha512(sha2::Sha512),
    Blake2b(Box<blake2::Blake2b512>),
    Blake3(Box<blake3::Hasher>),
}

impl Hasher {
    fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Crc32 => Self::Crc32(crc32fast::Hasher::new()),
            Algorithm::Xxh32 => Self::Xxh32(xxhash_rust::xxh32::Xxh32::new(0)),
            Algorithm::Xxh64 => Self::Xxh64(xxhash_rust::xxh64::Xxh64::new(0)),
            Algorithm::Xxh3 => Self::Xxh3(Box::new(xxhash_rust::xxh3::Xxh3::new())),
            Algorithm::Xxh128 => Self::Xxh128(Box::new(xxhash_rust::xxh3::Xxh3::new())),
            Algorithm::Md5 => Self::Md5(md5::Md5::new()),
            Algorithm::Sha1 => Self::Sha1(sha1::Sha1::new()),
            Algorithm::Sha224 => Self::Sha224(sha2::Sha224::new()),
            Algorithm::Sha256 => Self::Sha256(sha2::Sha256::new()),
            Algorithm::Sha384 => Self::Sha384(sha2::Sha384::new()),
            Algorithm::Sha512 => Self::Sha512(sha2::Sha512::new()),
            Algorithm::Blake2b => Self::Blake2b(Box::new(blake2::Blake2b512::new())),
            Algorithm::Blake3 => Self::Blake3(Box::new(blake3::Hasher::new())),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Crc32(hasher) => hasher.update(bytes),
            Self::Xxh32(hasher) => hasher.update(bytes),
            Self::Xxh64(hasher) => hasher.update(bytes),
            Self::Xxh3(hasher) | Self::Xxh128(hasher) => hasher.update(bytes),
            Self::Md5(hasher) => hasher.update(bytes),
            Self::Sha1(hasher) => hasher.update(bytes),
            Self::Sha224(hasher) => hasher.update(bytes),
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Sha384(hasher) => hasher.update(bytes),
            Self::Sha512(hasher) => hasher.update(bytes),
            Self::Blake2b(hasher) => hasher.update(bytes),
            Self::Blake3(hasher) => drop(hasher.update(bytes)),
        }
    }

    /// The digest as written, most significant byte first.
    fn finish(self) -> Vec<u8> {
        match self {
            Self::Crc32(hasher) => hasher.finalize().to_be_bytes().to_vec(),
            Self::Xxh32(hasher) => hasher.digest().to_be_bytes().to_vec(),
            Self::Xxh64(hasher) => hasher.digest().to_be_bytes().to_vec(),
            Self::Xxh3(hasher) => hasher.digest().to_be_bytes().to_vec(),
            Self::Xxh128(hasher) => hasher.digest128().to_be_bytes().to_vec(),
            Self::Md5(hasher) => hasher.finalize().to_vec(),
            Self::Sha1(hasher) => hasher.finalize().to_vec(),
            Self::Sha224(hasher) => hasher.finalize().to_vec(),
            Self::Sha256(hasher) => hasher.finalize().to_vec(),
            Self::Sha384(hasher) => hasher.finalize().to_vec(),
            Self::Sha512(hasher) => hasher.finalize().to_vec(),
            Self::Blake2b(hasher) => hasher.finalize().to_vec(),
            Self::Blake3(hasher) => hasher.finalize().as_bytes().to_vec(),
        }
    }
}

/// The digests of all that `reader` gives.
///
/// # Errors
/// Those of reading.
pub fn measure(mut reader: impl Read, algorithms: impl IntoIterator<Item = Algorithm>) -> std::io::Result<Digests> {
    let mut hashers: BTreeMap<Algorithm, Hasher> = algorithms.into_iter().map(|one| (one, Hasher::new(one))).collect();
    let mut buffer = vec![0; BLOCK];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => hashers.values_mut().for_each(|hasher| hasher.update(&buffer[..read])),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(hashers.into_iter().map(|(algorithm, hasher)| (algorithm, hasher.finish())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Digests of `hello` as the tools of each kind print them.
    #[test]
    fn every_algorithm_gives_what_its_tool_prints() {
        let expected = [
            (Algorithm::Crc32, "3610a686"),
            (Algorithm::Xxh32, "fb0077f9"),
            (Algorithm::Xxh64, "26c7827d889f6da3"),
            (Algorithm::Xxh3, "9555e8555c62dcfd"),
            (Algorithm::Xxh128, "b5e9c1ad071b3e7fc779cfaa5e523818"),
            (Algorithm::Md5, "5d41402abc4b2a76b9719d911017c592"),
            (Algorithm::Sha1, "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"),
            (Algorithm::Sha224, "ea09ae9cc6768c50fcee903ed054556e5bfc8347907f12598aa24193"),
            (Algorithm::Sha256, "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"),
            (
                Algorithm::Sha384,
                "59e1748777448c69de6b800d7a33bbfb9ff1b463e44354c3553bcdb9c666fa90125a3c79f90397bdf5f6a13de828684f",
            ),
            (
                Algorithm::Sha512,
                "9b71d224bd62f3785d96d46ad3ea3d73319bfbc2890caadae2dff72519673ca72323c3d99ba5c11d7c7acc6e14b8c5da\
                 0c4663475c2e5c3adef46f73bcdec043",
            ),
            (
                Algorithm::Blake2b,
                "e4cfa39a3d37be31c59609e807970799caa68a19bfaa15135f165085e01d41a65ba1e1b146aeb6bd0092b49eac214c10\
                 3ccfa3a365954bbbe52f74a2b3620c94",
            ),
            (Algorithm::Blake3, "ea8f163db38682925e4491c5e58d4bb3506ef8c14eb78a86e908c5624a67200f"),
        ];
        let digests = measure(&b"hello"[..], Algorithm::ALL).unwrap();
        for (algorithm, digest) in expected {
            assert_eq!(hex::encode(&digests[&algorithm]), digest, "{algorithm:?}");
            assert_eq!(digests[&algorithm].len(), algorithm.bytes());
        }
        assert_eq!(digests.len(), expected.len());
    }
}
