//! The settings of the agent's own hub: the flags `--hub-...`, their variables, and the section `hub` of the settings file.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use serde::Deserialize;

use super::{AgentError, Sources, read_secret, setting};
use masv_rules::own_hub::{MAIL_SERVER_EXAMPLE, OwnHub, Smtp, Tls, base_url, mail_server, network, sender};

/// The settings of the agent's own hub, as written.
#[derive(Debug, Clone, Default, Args, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct WrittenHub {
    /// Address on which the embedded hub listens for recipients: ADDRESS:PORT, such as 0.0.0.0:8090 [default: this machine only]
    #[arg(id = "hub_listen", long = "hub-listen", value_name = "ADDRESS:PORT", env = "MASV_HUB_LISTEN")]
    pub listen: Option<String>,
    /// URL at which recipients reach it: https://send.example.com [default: the address it listens on]
    #[arg(id = "hub_public_url", long = "hub-public-url", value_name = "URL", env = "MASV_HUB_PUBLIC_URL")]
    pub public_url: Option<String>,
    /// Addresses or networks of the proxies in front of it, such as 127.0.0.1 or 10.0.0.0/8.
    #[arg(
        id = "hub_trusted_proxies",
        long = "hub-trusted-proxies",
        value_name = "NETWORK",
        value_delimiter = ',',
        env = "MASV_HUB_TRUSTED_PROXIES"
    )]
    pub trusted_proxies: Vec<String>,
    /// PEM file with its TLS certificate chain [default: plain HTTP]
    #[arg(id = "hub_tls_cert", long = "hub-tls-cert", value_name = "FILE", env = "MASV_HUB_TLS_CERT")]
    pub tls_cert: Option<PathBuf>,
    /// PEM file with the certificate's key.
    #[arg(id = "hub_tls_key", long = "hub-tls-key", value_name = "FILE", env = "MASV_HUB_TLS_KEY")]
    pub tls_key: Option<PathBuf>,
    /// The mail server: smtp://HOST:587?tls=required (STARTTLS), smtps://HOST:465, smtp://HOST:25 (no encryption)
    /// [default: mails become files in hub/outbox of the data directory]
    #[arg(id = "hub_smtp_url", long = "hub-smtp-url", value_name = "URL", env = "MASV_HUB_SMTP_URL")]
    pub smtp_url: Option<String>,
    /// User name for the mail server.
    #[arg(id = "hub_smtp_user", long = "hub-smtp-user", value_name = "NAME", env = "MASV_HUB_SMTP_USER")]
    pub smtp_user: Option<String>,
    /// A file with the mail server's password, which others cannot read.
    #[arg(
        id = "hub_smtp_password_file",
        long = "hub-smtp-password-file",
        value_name = "FILE",
        env = "MASV_HUB_SMTP_PASSWORD_FILE"
    )]
    pub smtp_password_file: Option<PathBuf>,
    /// PEM file with the CA certificate of the mail server [default: the system's CAs]
    #[arg(id = "hub_smtp_ca", long = "hub-smtp-ca", value_name = "FILE", env = "MASV_HUB_SMTP_CA")]
    pub smtp_ca: Option<PathBuf>,
    /// Sender of its e-mails: 'Name <address>'
    #[arg(id = "hub_mail_from", long = "hub-mail-from", value_name = "SENDER", env = "MASV_HUB_MAIL_FROM")]
    pub mail_from: Option<String>,
}

/// The settings put together, and the files that they name.
pub(super) fn build(
    given: WrittenHub,
    file: WrittenHub,
    from: &mut Sources,
) -> Result<(OwnHub, Vec<PathBuf>), AgentError> {
    let path = |path: &PathBuf| path.display().to_string();
    let listed = |networks: Vec<String>| Some(networks).filter(|networks| !networks.is_empty());
    let (proxies, in_file) = (listed(given.trusted_proxies), listed(file.trusted_proxies));

    let listen = from.choose("hub-listen", given.listen, file.listen, String::clone, "this machine only");
    let public_url =
        from.choose("hub-public-url", given.public_url, file.public_url, String::clone, "the address it listens on");
    let proxies = from.choose("hub-trusted-proxies", proxies, in_file, |all| all.join(","), "none");
    let certificate = from.choose("hub-tls-cert", given.tls_cert, file.tls_cert, path, "none");
    let key = from.choose("hub-tls-key", given.tls_key, file.tls_key, path, "none");
    let smtp_url = from.choose("hub-smtp-url", given.smtp_url, file.smtp_url, String::clone, "none");
    let user = from.choose("hub-smtp-user", given.smtp_user, file.smtp_user, String::clone, "none");
    let password =
        from.choose("hub-smtp-password-file", given.smtp_password_file, file.smtp_password_file, path, "none");
    let authority = from.choose("hub-smtp-ca", given.smtp_ca, file.smtp_ca, path, "the system's");
    let mail_from = from.choose("hub-mail-from", given.mail_from, file.mail_from, String::clone, "none");

    let own_files = [&certificate, &key, &password].into_iter().flatten().cloned().collect();
    let tls = match (certificate, key) {
        (Some(certificate), Some(key)) => Some(Tls { certificate, key }),
        (None, None) => None,
        _ => return Err(setting("--hub-tls-cert", "goes together with --hub-tls-key: give both, or neither")),
    };
    let login = match (user, password) {
        (Some(user), Some(file)) => Some((user, read_secret("--hub-smtp-password-file", &file)?)),
        (None, None) => None,
        _ => {
            return Err(setting(
                "--hub-smtp-user",
                "goes together with --hub-smtp-password-file: give both, or neither",
            ));
        }
    };
    let smtp = match smtp_url {
        Some(text) => {
            let wrong = |why| setting("--hub-smtp-url", format!("{why}: write {MAIL_SERVER_EXAMPLE}"));
            Some(Smtp { url: mail_server(&text).map_err(wrong)?, login, authority })
        }
        None if login.is_some() || authority.is_some() => {
            return Err(setting("--hub-smtp-url", "is missing: which mail server is it that you sign in to?"));
        }
        None => None,
    };
    let hub = OwnHub {
        listen: listen.as_deref().map(address).transpose()?,
        public_url: public_url.as_deref().map(base_url).transpose().map_err(|why| setting("--hub-public-url", why))?,
        trusted_proxies: proxies
            .iter()
            .flatten()
            .map(|text| network(text).map_err(|problem| setting("--hub-trusted-proxies", problem)))
            .collect::<Result<_, _>>()?,
        tls,
        smtp,
        mail_from: mail_from.as_deref().map(sender).transpose().map_err(|why| setting("--hub-mail-from", why))?,
    };
    Ok((hub, own_files))
}

fn address(text: &str) -> Result<SocketAddr, AgentError> {
    let wrong = |_| setting("--hub-listen", format!("{text:?} is not an address such as 192.168.1.20:8090"));
    text.parse().map_err(wrong)
}
