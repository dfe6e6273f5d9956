//! Opens manifests and the files that they list.
//!
//! **In**: paths. **Out**: a manifest's text; what is wrong with a listed file. Blocks.

use std::io::{Read, Write};
use std::path::Path;

use md5::Digest;

use super::{Hash, Listed};

/// Largest manifest read, bytes.
const LARGEST: u64 = 64 << 20;

/// The text of the manifest at `path`. Blocks.
///
/// # Errors
/// Why it can not be read, for a person.
pub fn read(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > LARGEST {
        return Err(format!("is larger than {LARGEST} bytes"));
    }
    Ok(String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

/// What is wrong with the file at `path`, compared with its listing; `None` when nothing is.
///
/// # Errors
/// Those of reading it.
pub fn verify(path: &Path, listed: &Listed) -> std::io::Result<Option<String>> {
    let file = std::fs::File::open(path)?;
    let size = file.metadata()?.len();
    if let Some(expected) = listed.size.filter(|expected| *expected != size) {
        return Ok(Some(format!("has {size} bytes, the manifest says {expected}")));
    }
    let Some((hash, expected)) = &listed.checksum else { return Ok(None) };
    let found = checksum(file, *hash)?;
    Ok((found != *expected).then(|| format!("has the checksum {found}, the manifest says {expected}")))
}

fn checksum(mut reader: impl Read, hash: Hash) -> std::io::Result<String> {
    fn feed<W: Write>(reader: &mut impl Read, mut sink: W) -> std::io::Result<W> {
        let mut buffer = vec![0; 1 << 20];
        loop {
            match reader.read(&mut buffer)? {
                0 => return Ok(sink),
                read => sink.write_all(&buffer[..read])?,
            }
        }
    }
    struct Into<F: FnMut(&[u8])>(F);
    impl<F: FnMut(&[u8])> Write for Into<F> {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            (self.0)(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    fn digest<D: Digest>(reader: &mut impl Read) -> std::io::Result<String> {
        let mut hasher = D::new();
        feed(reader, Into(|bytes: &[u8]| hasher.update(bytes)))?;
        Ok(hex::encode(hasher.finalize()))
    }
    match hash {
        Hash::Md5 => digest::<md5::Md5>(&mut reader),
        Hash::Sha1 => digest::<sha1::Sha1>(&mut reader),
        Hash::Sha256 => digest::<sha2::Sha256>(&mut reader),
        Hash::Xxh64 => {
            let mut hasher = xxhash_rust::xxh64::Xxh64::new(0);
            feed(&mut reader, Into(|bytes: &[u8]| hasher.update(bytes)))?;
            Ok(format!("{:016x}", hasher.digest()))
        }
        Hash::Xxh3 | Hash::Xxh128 => {
            let mut hasher = xxhash_rust::xxh3::Xxh3::new();
            feed(&mut reader, Into(|bytes: &[u8]| hasher.update(bytes)))?;
            Ok(if hash == Hash::Xxh3 {
                format!("{:016x}", hasher.digest())
            } else {
                format!("{:032x}", hasher.digest128())
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(path: &str, hash: Hash, checksum: &str) -> Listed {
        Listed { path: path.into(), size: None, checksum: Some((hash, checksum.to_owned())) }
    }

    #[test]
    fn checksums_are_compared() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.mov");
        std::fs::write(&path, "hello").unwrap();
        let right = [
            (Hash::Md5, "5d41402abc4b2a76b9719d911017c592"),
            (Hash::Sha1, "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"),
            (Hash::Sha256, "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"),
            (Hash::Xxh64, "26c7827d889f6da3"),
            (Hash::Xxh3, "9555e8555c62dcfd"),
            (Hash::Xxh128, "b5e9c1ad071b3e7fc779cfaa5e523818"),
        ];
        for (hash, checksum) in right {
            assert_eq!(verify(&path, &listed("a.mov", hash, checksum)).unwrap(), None, "{hash:?}");
        }
        std::fs::write(&path, "hullo").unwrap();
        assert!(verify(&path, &listed("a.mov", Hash::Md5, right[0].1)).unwrap().is_some());
        let longer = Listed { path: "a.mov".into(), size: Some(6), checksum: None };
        assert!(verify(&path, &longer).unwrap().is_some());
    }
}
