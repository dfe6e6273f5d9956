//! The right to use a bucket: from the environment, or from a file as other S3 programs write it.

use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

use super::S3ConfigError;

/// The name of the credentials file among those that systemd passes to a service.
const SYSTEMD_NAME: &str = "s3-credentials";

/// An access key.
#[derive(Debug, Clone)]
pub struct S3Credentials {
    key: String,
    secret: SecretString,
    token: Option<SecretString>,
}

impl S3Credentials {
    /// An access key, its secret and, for a temporary one, its session token.
    pub fn new(key: impl Into<String>, secret: impl Into<SecretString>, token: Option<SecretString>) -> Self {
        Self { key: key.into(), secret: secret.into(), token }
    }

    pub(super) fn for_signing(&self) -> rusty_s3::Credentials {
        let secret = self.secret.expose_secret();
        match &self.token {
            Some(token) => rusty_s3::Credentials::new_with_token(&self.key, secret, token.expose_secret()),
            None => rusty_s3::Credentials::new(&self.key, secret),
        }
    }

    /// Looks for credentials where S3 programs keep them: in `file` if one is named; else `AWS_ACCESS_KEY_ID`,
    /// `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`; else `s3-credentials` in `$CREDENTIALS_DIRECTORY` (systemd);
    /// else `$AWS_SHARED_CREDENTIALS_FILE` or `~/.aws/credentials`. `variable` reads the environment. Blocks.
    ///
    /// # Errors
    /// [`S3ConfigError::Credentials`] when there are none, or the file cannot be read.
    pub fn find(file: Option<&Path>, variable: impl Fn(&str) -> Option<String>) -> Result<Self, S3ConfigError> {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let profile = variable("AWS_PROFILE").unwrap_or_else(|| "default".to_owned());
        if let Some(file) = file {
            return Self::read(file, &profile);
        }
        if let (Some(key), Some(secret)) = (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY")) {
            return Ok(Self::new(key, secret, variable("AWS_SESSION_TOKEN").map(SecretString::from)));
        }
        let systemd = variable("CREDENTIALS_DIRECTORY").map(|folder| PathBuf::from(folder).join(SYSTEMD_NAME));
        let shared = variable("AWS_SHARED_CREDENTIALS_FILE").map(PathBuf::from);
        let home = variable("HOME").map(|home| PathBuf::from(home).join(".aws/credentials"));
        let found = systemd.into_iter().chain(shared).chain(home).find(|path| path.exists());
        let file = found.ok_or_else(|| {
            let message = "there are no credentials for the bucket: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, \
                           or name a file of them";
            S3ConfigError::Credentials(message.to_owned())
        })?;
        Self::read(&file, &profile)
    }

    fn read(file: &Path, profile: &str) -> Result<Self, S3ConfigError> {
        let failed = |problem: String| {
            S3ConfigError::Credentials(format!("cannot use the bucket's credentials in {}: {problem}", file.display()))
        };
        let text = std::fs::read_to_string(file).map_err(|error| failed(error.to_string()))?;
        Self::from_profile(&text, profile).map_err(failed)
    }

    /// Reads `[profile]` out of such a file. A file without any section is one profile.
    fn from_profile(text: &str, profile: &str) -> Result<Self, String> {
        let (mut key, mut secret, mut token) = (None, None, None);
        let (mut inside, mut sections) = (true, false);
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                (inside, sections) = (name.trim() == profile, true);
                continue;
            }
            let Some((name, value)) = line.split_once('=') else { continue };
            let value = Some(value.trim().to_owned()).filter(|value| !value.is_empty());
            match name.trim().to_ascii_lowercase().as_str() {
                "aws_access_key_id" if inside => key = value,
                "aws_secret_access_key" if inside => secret = value,
                "aws_session_token" if inside => token = value,
                _ => {}
            }
        }
        match (key, secret) {
            (Some(key), Some(secret)) => Ok(Self::new(key, secret, token.map(SecretString::from))),
            _ if sections => Err(format!("it has no aws_access_key_id and aws_secret_access_key under [{profile}]")),
            _ => Err("it has no aws_access_key_id and aws_secret_access_key".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(found: &S3Credentials) -> (String, String, Option<String>) {
        let text = |secret: &SecretString| secret.expose_secret().to_owned();
        (found.key.clone(), text(&found.secret), found.token.as_ref().map(text))
    }

    #[test]
    fn a_profile_is_read_out_of_the_file_and_no_other() {
        let text = "# ours\n[other]\naws_access_key_id=no\naws_secret_access_key=no\n\n[ default ]\n\
                    aws_access_key_id = K\naws_secret_access_key = a/b=c\naws_session_token=T\n[last]\naws_access_key_id=no\n";
        let found = S3Credentials::from_profile(text, "default").unwrap();
        assert_eq!(shown(&found), ("K".into(), "a/b=c".into(), Some("T".into())));
        assert!(S3Credentials::from_profile(text, "last").unwrap_err().contains("[last]"));
        let bare = S3Credentials::from_profile("AWS_ACCESS_KEY_ID=K\nAWS_SECRET_ACCESS_KEY=S", "default").unwrap();
        assert_eq!(shown(&bare), ("K".into(), "S".into(), None));
    }

    #[test]
    fn a_named_file_comes_first_then_the_environment_then_files_where_programs_look() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, key: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, format!("aws_access_key_id={key}\naws_secret_access_key=S\n")).unwrap();
            path
        };
        let named = write("named", "NAMED");
        let variables = |names: &'static [(&'static str, &'static str)]| {
            let home = folder.path().to_owned();
            move |name: &str| {
                let place = names.iter().find(|(known, _)| *known == name)?.1;
                Some(if place.starts_with('/') { format!("{}{place}", home.display()) } else { place.to_owned() })
            }
        };
        let all: &[(&str, &str)] = &[
            ("AWS_ACCESS_KEY_ID", "ENV"),
            ("AWS_SECRET_ACCESS_KEY", "S"),
            ("CREDENTIALS_DIRECTORY", "/run"),
            ("HOME", "/"),
        ];
        assert!(S3Credentials::find(None, variables(&all[2..])).unwrap_err().to_string().contains("AWS_ACCESS_KEY_ID"));
        write(".aws/credentials", "HOME");
        assert_eq!(S3Credentials::find(None, variables(&all[2..])).unwrap().key, "HOME");
        write("run/s3-credentials", "SYSTEMD");
        assert_eq!(S3Credentials::find(None, variables(&all[2..])).unwrap().key, "SYSTEMD");
        assert_eq!(S3Credentials::find(None, variables(all)).unwrap().key, "ENV");
        assert_eq!(S3Credentials::find(Some(&named), variables(all)).unwrap().key, "NAMED");
    }

    #[test]
    fn secrets_are_not_shown() {
        let credentials = S3Credentials::new("K", "very-secret", Some("token-secret".into()));
        let shown = format!("{credentials:?}");
        assert!(shown.contains('K') && !shown.contains("secret\""), "{shown}");
        assert!(!shown.contains("very-secret") && !shown.contains("token-secret"), "{shown}");
    }
}
