//! Secrets from files: read only if no other user can have read or written them; created where the agent needs its own.

use std::fs::{File, Metadata};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use masv_platform::Permissions;
use secrecy::SecretString;

/// The maximum length of a secret, in bytes.
const LONGEST: u64 = 64 << 10;
/// Where container engines put secrets: readable by all users of the container, which has no others.
const CONTAINER: &str = "/run/secrets";

/// Reads a secret; surrounding whitespace is ignored.
///
/// # Errors
/// In words, with the path and what to do.
pub fn read(path: &Path) -> Result<SecretString, String> {
    let shown = path.display();
    let file = File::open(path).map_err(|error| format!("{shown}: {error}"))?;
    let metadata = file.metadata().map_err(|error| format!("{shown}: {error}"))?;
    if !path.starts_with(CONTAINER) {
        guarded(path, &metadata)?;
    }
    let mut text = String::new();
    file.take(LONGEST).read_to_string(&mut text).map_err(|error| format!("{shown}: {error}"))?;
    let secret = text.trim();
    if secret.is_empty() {
        return Err(format!("{shown} is empty"));
    }
    Ok(secret.into())
}

/// The secret in one of the agent's own files, which is created with a new one if it is missing, for its user only. It is on
/// disk before it is used.
pub(super) fn find_or_make(path: &Path) -> std::io::Result<SecretString> {
    match std::fs::read_to_string(path) {
        Ok(secret) if !secret.trim().is_empty() => return Ok(secret.trim().into()),
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
    let secret = hex::encode(bytes);
    let folder = path.parent().unwrap_or(Path::new("."));
    // Mode 0600 from the beginning.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(secret.as_bytes())?;
    masv_platform::flush(file.as_file())?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(secret.into())
}

/// Whether others can read or change the file with this metadata.
pub(super) fn guarded(path: &Path, metadata: &Metadata) -> Result<(), String> {
    let permissions = Permissions::of(metadata);
    if permissions.keep_strangers_out() {
        return Ok(());
    }
    let shown = path.display();
    let what = if permissions.all_may_read() { "be read" } else { "be changed" };
    Err(format!("{shown} can {what} by others ({permissions}): `chmod 600 {shown}`"))
}

/// A credential that systemd passed under this name (`LoadCredential=`), if it did.
pub(super) fn credential(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from).filter(|path| path.is_absolute())?;
    Some(folder.join(name)).filter(|path| path.exists())
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    /// Case: a key or token file that others can read or change is refused.
    #[test]
    fn a_secret_that_others_can_read_or_change_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, " sesame \n").unwrap();
        let with_mode = |mode| {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            read(&path)
        };
        for mode in [0o600, 0o400, 0o440, 0o640] {
            assert_eq!(with_mode(mode).unwrap().expose_secret(), "sesame", "{mode:o}");
        }
        for mode in [0o644, 0o604, 0o660, 0o602, 0o666] {
            let problem = with_mode(mode).unwrap_err();
            assert!(problem.contains("chmod 600") && !problem.contains("sesame"), "{mode:o}: {problem}");
        }
        std::fs::write(&path, "\n").unwrap();
        assert!(with_mode(0o600).unwrap_err().contains("empty"));
    }

    #[test]
    fn a_secret_of_its_own_is_kept_and_made_anew_when_it_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let first = find_or_make(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(first.expose_secret().len(), 64);
        assert_eq!(find_or_make(&path).unwrap().expose_secret(), first.expose_secret());
        std::fs::remove_file(&path).unwrap();
        assert_ne!(find_or_make(&path).unwrap().expose_secret(), first.expose_secret());
    }
}
