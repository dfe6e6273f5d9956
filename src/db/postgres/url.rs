//! The URL of a database: where it is, and how the way there is protected.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

use super::tls::Tls;
use crate::DbError;

/// Reads a URL. To another machine the way is encrypted and its certificate checked, unless it says `sslmode=disable`;
/// `sslrootcert=FILE` names the CA.
pub(super) fn read(url: &str) -> Result<(Config, Tls), DbError> {
    let wrong = |problem: String| DbError::Url(problem);
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(wrong("it must begin with postgres://".to_owned()));
    }
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let (mut kept, mut authority, mut says_mode) = (Vec::new(), None, false);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("sslrootcert", file)) => {
                authority = Some(PathBuf::from(file.replace("%2F", "/").replace("%20", " ")))
            }
            Some(("sslmode", mode)) => {
                says_mode = true;
                // To encrypt without a look at the certificate would protect from nobody.
                let mode = if matches!(mode, "verify-ca" | "verify-full") { "require" } else { mode };
                kept.push(format!("sslmode={mode}"));
            }
            _ => kept.push(pair.to_owned()),
        }
    }
    // What it says of the URL would show the password.
    let mut config = Config::from_str(&format!("{base}?{}", kept.join("&")))
        .map_err(|_| wrong("it is not postgres://USER:PASSWORD@HOST:PORT/DATABASE".to_owned()))?;
    let is_local = |name: &str| matches!(name, "localhost" | "127.0.0.1" | "::1");
    let is_far = |host: &Host| matches!(host, Host::Tcp(name) if !is_local(name));
    if !config.get_hosts().iter().any(is_far) && !says_mode {
        config.ssl_mode(SslMode::Disable);
    } else if !says_mode {
        config.ssl_mode(SslMode::Require);
    }
    if config.get_dbname().is_none() {
        return Err(wrong("it does not name a database".to_owned()));
    }
    let tls = if config.get_ssl_mode() == SslMode::Disable { Tls::none() } else { Tls::new(authority.as_deref())? };
    if config.get_application_name().is_none() {
        config.application_name("masv-hub");
    }
    config
        .connect_timeout(Duration::from_secs(4))
        .keepalives_idle(Duration::from_secs(15))
        .tcp_user_timeout(Duration::from_secs(20))
        // After a fail-over the old primary may still answer.
        .target_session_attrs(TargetSessionAttrs::ReadWrite);
    Ok((config, tls))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The way to another machine is encrypted unless the operator says otherwise; a URL that is wrong is not shown, for it has the
    /// password.
    #[test]
    fn the_way_to_another_machine_is_encrypted_unless_the_url_says_otherwise() {
        let mode = |url: &str| read(url).unwrap().0.get_ssl_mode();
        assert_eq!(mode("postgres://u:p@db.example.com/hub"), SslMode::Require);
        assert_eq!(mode("postgres://u:p@db.example.com/hub?sslmode=disable"), SslMode::Disable);
        assert_eq!(mode("postgres://u:p@127.0.0.1/hub"), SslMode::Disable);
        assert_eq!(mode("postgres://u@/hub?host=/run/postgresql"), SslMode::Disable);
        assert_eq!(mode("postgres://u:p@a,b/hub?sslmode=verify-full"), SslMode::Require);
        for wrong in [
            "mysql://u:secret@h/d",
            "postgres://u:secret@h:port/d",
            "postgres://u:secret@h",
            "postgres://u:secret@h/d?color=red",
        ] {
            let told = read(wrong).unwrap_err().to_string();
            assert!(!told.contains("secret"), "{told}");
        }
    }
}
