//! The file with the hub's secret keys: the first makes what is new, and what the others made still holds.
//!
//! **In**: a path. **Out**: keys. A file is either 32 bytes, one key, as hubs make it; or lines, each with a key in hexadecimal, as
//! `openssl rand -hex 32` makes them, where empty lines and those that begin with `#` count for nothing.
//!
//! **On a crash** a file that is written is as it was before or as it is to be.
//!
//! Must never know: what is made with the keys.

use std::fmt::Write as _;
use std::io::{Error, ErrorKind, Result, Write};
use std::path::Path;

use masv_platform::Folder;
use sha2::{Digest, Sha256};

/// Bytes of a key.
const KEY_BYTES: usize = 32;
/// Keys in a file: more than a change of the key ever needs.
const MOST_KEYS: usize = 8;

/// A secret key.
pub(crate) type SecretKey = [u8; KEY_BYTES];

/// A new key.
pub(crate) fn new_key() -> Result<SecretKey> {
    let mut key = [0; KEY_BYTES];
    getrandom::fill(&mut key).map_err(Error::other)?;
    Ok(key)
}

/// What a key is called: it tells keys apart, and says nothing about them.
pub(crate) fn name(key: &SecretKey) -> String {
    let digest = Sha256::new().chain_update("name of a hub's key").chain_update(key).finalize();
    hex::encode(&digest[..4])
}

/// The keys in the file at `path`.
pub(crate) fn read(path: &Path) -> Result<Vec<SecretKey>> {
    let found = std::fs::read(path)?;
    if let Ok(key) = SecretKey::try_from(found.as_slice()) {
        return Ok(vec![key]);
    }
    let invalid = || {
        Error::other(
            "it must have 32 random bytes, or in each line as many in hexadecimal, as `openssl rand -hex 32` makes them; restore it from a copy",
        )
    };
    let text = std::str::from_utf8(&found).map_err(|_| invalid())?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let key = |line| hex::decode(line).ok().and_then(|key| SecretKey::try_from(key).ok()).ok_or_else(invalid);
    let keys = lines.map(key).collect::<Result<Vec<_>>>()?;
    if keys.is_empty() {
        return Err(invalid());
    }
    if keys.len() > MOST_KEYS {
        return Err(Error::other(format!("it has {} keys, and {MOST_KEYS} are the most", keys.len())));
    }
    Ok(keys)
}

/// Keys as a file has them, in lines.
pub(crate) fn text(keys: &[SecretKey]) -> String {
    let mut text = String::from(
        "# The secret keys of a hub: the first makes what is new, and what the others made still holds.\n",
    );
    for key in keys {
        let _ = writeln!(text, "{}", hex::encode(key));
    }
    text
}

/// Writes what `path` has to have in the first place, readable by its owner only and on disk before this returns. What is there already
/// stays, and is an error.
pub(crate) fn put(path: &Path, content: &[u8]) -> Result<()> {
    let (folder, name) = place(path)?;
    let (draft, mut file) = folder.create_unique("secret-", ".new", 0o600)?;
    let put = (|| {
        file.write_all(content)?;
        masv_platform::flush(&file)?;
        folder.rename_new(&draft, &folder, name)?;
        Ok::<_, Error>(folder.flush()?)
    })();
    if put.is_err() {
        let _ = folder.remove_file(&draft);
    }
    put
}

/// Puts these keys in the place of those that the file at `path` has. Who may read it stays.
pub(crate) fn replace(path: &Path, keys: &[SecretKey]) -> Result<()> {
    if keys.len() > MOST_KEYS {
        return Err(Error::other(format!(
            "it would have {} keys, and {MOST_KEYS} are the most: remove one that is not needed",
            keys.len()
        )));
    }
    let (folder, name) = place(path)?;
    let before = folder.look(name.as_ref())?;
    if !before.is_file() {
        return Err(Error::other("it is not a regular file: name the file itself"));
    }
    let permissions = std::fs::symlink_metadata(path)?.permissions();
    let (draft, mut file) = folder.create_unique("secret-", ".new", 0o600)?;
    let replaced = (|| {
        file.write_all(text(keys).as_bytes())?;
        let made = masv_platform::entry_of(&file)?;
        if (made.owner, made.group) != (before.owner, before.group) {
            masv_platform::give_file(&file, Some(before.owner), Some(before.group))?;
        }
        // After that: a change of the owner takes permissions away.
        file.set_permissions(permissions)?;
        masv_platform::flush(&file)?;
        folder.replace(&draft, name)?;
        Ok::<_, Error>(folder.flush()?)
    })();
    if replaced.is_err() {
        let _ = folder.remove_file(&draft);
    }
    replaced
}

fn place(path: &Path) -> Result<(Folder, &std::ffi::OsStr)> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().ok_or(ErrorKind::InvalidInput)?;
    Ok((Folder::open(parent)?, name))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_one_key_in_bytes_or_several_in_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let (one, two) = ([7; 32], [0xab; 32]);
        let found = |content: &[u8]| {
            fs::write(&path, content).unwrap();
            read(&path).ok()
        };
        assert_eq!(found(&one), Some(vec![one]));
        assert_eq!(found("ab".repeat(32).as_bytes()), Some(vec![two]));
        let several = format!("# of November\n{}\n\n  {}  \r\n", "07".repeat(32), "AB".repeat(32));
        assert_eq!(found(several.as_bytes()), Some(vec![one, two]));
        for damaged in
            ["", "\n", "# nothing\n", "07", &"07".repeat(31), &format!("{}\nx\n", "07".repeat(32)), &several.repeat(5)]
        {
            assert_eq!(found(damaged.as_bytes()), None, "{damaged:?}");
        }
        assert_eq!(found(&[0xff; 31]), None);
    }

    /// Who may read the file is decided by its operator: a hub that runs as another user must be able to go on reading it.
    #[test]
    fn keys_are_replaced_as_a_whole_and_who_may_read_them_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        put(&path, &[7; 32]).unwrap();
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(), 0o600);
        assert!(put(&path, &[8; 32]).is_err());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        replace(&path, &[[9; 32], [7; 32]]).unwrap();
        assert_eq!((read(&path).unwrap(), mode()), (vec![[9; 32], [7; 32]], 0o640));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no draft is left");
        // A link is not followed, and what it leads to stays.
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(replace(&link, &[[1; 32]]).is_err());
        assert_eq!(read(&link).unwrap().len(), 2);
    }

    #[test]
    fn names_tell_keys_apart() {
        assert_ne!(name(&[7; 32]), name(&[8; 32]));
        assert_eq!(name(&[7; 32]).len(), 8);
    }
}
