//! How a mail leaves: to a mail server, or into a folder.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lettre::transport::smtp::AsyncSmtpTransportBuilder;
use lettre::transport::smtp::PoolConfig;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use masv_platform::{private_file, private_folder};
use secrecy::ExposeSecret;

use crate::config::{HubConfig, SmtpConfig};
use crate::error::HubError;
use crate::jobs::retry::Failure;

/// How long a mail server may take for one response.
const SERVER_LIMIT: Duration = Duration::from_secs(30);
/// Maximum number of connections to the mail server.
pub(super) const CONNECTIONS: u32 = 32;

/// How a mail leaves.
pub(super) enum Transport {
    Smtp(AsyncSmtpTransport<Tokio1Executor>),
    Folder(PathBuf),
}

/// Refuses settings with which no mail could ever leave.
pub(crate) fn check(config: &HubConfig) -> Result<(), HubError> {
    config
        .mail_from
        .parse::<lettre::message::Mailbox>()
        .map_err(|error| HubError::Mail(format!("{:?} is not a valid sender: {error}", config.mail_from)))?;
    config.smtp.as_ref().map_or(Ok(()), |smtp| connect(smtp).map(drop))
}

/// Connects to a mail server and signs in, without sending anything.
///
/// # Errors
/// What the server or the connection says.
pub async fn try_mail_server(smtp: &SmtpConfig, sender: Option<&str>) -> Result<(), String> {
    if let Some(sender) = sender {
        let mailbox = sender.parse::<lettre::message::Mailbox>();
        mailbox.map_err(|error| format!("{sender:?} is not a sender: {error}"))?;
    }
    match connect(smtp).map_err(|error| error.to_string())?.test_connection().await {
        Ok(true) => Ok(()),
        Ok(false) => Err("it answers, but is not ready".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// A mail without attachments, to people who run something.
#[derive(Debug, Clone, Copy)]
pub struct TextMail<'a> {
    /// Identifies it, however often it is tried.
    pub id: &'a str,
    /// Whom it is from: an address, or `Name <address>`.
    pub from: &'a str,
    /// Addresses.
    pub to: &'a [String],
    /// One line.
    pub subject: &'a str,
    /// What it says.
    pub text: &'a str,
}

/// Why a mail was not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailRefusal {
    /// What the server or the connection says.
    pub reason: String,
    /// Trying again is of no use.
    pub permanent: bool,
}

/// Sends a mail, once.
///
/// # Errors
/// [`MailRefusal`].
pub async fn send_text(smtp: &SmtpConfig, mail: &TextMail<'_>) -> Result<(), MailRefusal> {
    let never = |reason: String| MailRefusal { reason, permanent: true };
    let message = compose_text(mail).map_err(never)?;
    // The file with the authority's certificate may be there the next time.
    let server = connect(smtp).map_err(|error| MailRefusal { reason: error.to_string(), permanent: false })?;
    Transport::Smtp(server)
        .send(mail.id, &message)
        .await
        .map_err(|failure| MailRefusal { reason: failure.reason, permanent: failure.permanent })
}

/// Sends a mail the way all mails of the hub go, once and at once, for somebody who waits for the outcome.
pub(crate) async fn send_at_once(config: &HubConfig, mail: &TextMail<'_>) -> Result<(), String> {
    let message = compose_text(mail)?;
    let transport = Transport::new(config).map_err(|error| error.to_string())?;
    transport.send(mail.id, &message).await.map_err(|failure| failure.reason)
}

fn compose_text(mail: &TextMail<'_>) -> Result<Message, String> {
    let address = |text: &str| {
        text.parse::<lettre::message::Mailbox>().map_err(|error| format!("{text:?} is not a valid address: {error}"))
    };
    let from = address(mail.from)?;
    let id = format!("<{}@{}>", mail.id, from.email.domain());
    let mut message = Message::builder().from(from).subject(mail.subject).message_id(Some(id)).date_now();
    message = message.header(super::compose::AutoSubmitted);
    for to in mail.to {
        message = message.to(address(to)?);
    }
    message.body(mail.text.to_owned()).map_err(|error| error.to_string())
}

fn connect(smtp: &SmtpConfig) -> Result<AsyncSmtpTransport<Tokio1Executor>, HubError> {
    let builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(&smtp.url)
        .map_err(|error| HubError::Mail(error.to_string()))?
        .timeout(Some(SERVER_LIMIT))
        .pool_config(PoolConfig::new().max_size(CONNECTIONS));
    let builder = match &smtp.authority {
        None => builder,
        Some(path) => trusting(builder, smtp, path)?,
    };
    Ok(match (&smtp.username, &smtp.password) {
        (Some(name), Some(password)) => {
            builder.credentials(Credentials::new(name.clone(), password.expose_secret().to_owned())).build()
        }
        _ => builder.build(),
    })
}

/// With the certificates of one authority of the organisation's own.
fn trusting(
    builder: AsyncSmtpTransportBuilder,
    smtp: &SmtpConfig,
    path: &Path,
) -> Result<AsyncSmtpTransportBuilder, HubError> {
    let refused = |error: &dyn std::fmt::Display| HubError::Mail(format!("{}: {error}", path.display()));
    let url = url::Url::parse(&smtp.url).map_err(|error| refused(&error))?;
    let pem = std::fs::read(path).map_err(|error| refused(&error))?;
    let authority = Certificate::from_pem(&pem).map_err(|error| refused(&error))?;
    let host = url.host_str().unwrap_or_default().to_owned();
    let parameters = TlsParameters::builder(host).add_root_certificate(authority).build();
    let parameters = parameters.map_err(|error| refused(&error))?;
    let starttls = url.query_pairs().find(|(name, _)| name == "tls").map(|(_, value)| value.into_owned());
    Ok(match (url.scheme(), starttls.as_deref()) {
        ("smtps", _) => builder.tls(Tls::Wrapper(parameters)),
        (_, Some("required")) => builder.tls(Tls::Required(parameters)),
        (_, Some("opportunistic")) => builder.tls(Tls::Opportunistic(parameters)),
        _ => builder,
    })
}

impl Transport {
    /// The transport that the settings ask for.
    pub(super) fn new(config: &HubConfig) -> Result<Self, HubError> {
        match &config.smtp {
            Some(smtp) => connect(smtp).map(Self::Smtp),
            None => Ok(Self::Folder(config.data_dir.join("outbox"))),
        }
    }

    /// Sends one mail; `id` names its file where mails are files.
    pub(super) async fn send(&self, id: &str, mail: &Message) -> Result<(), Failure> {
        match self {
            Self::Smtp(server) => server.send(mail.clone()).await.map(drop).map_err(|error| {
                let reason = match std::error::Error::source(&error) {
                    Some(source) => format!("{error}: {source}"),
                    None => error.to_string(),
                };
                Failure { reason, permanent: error.is_permanent() }
            }),
            Self::Folder(folder) => {
                let (folder, name, bytes) = (folder.clone(), format!("{id}.eml"), mail.formatted());
                let writing = tokio::task::spawn_blocking(move || {
                    private_folder(&folder)?;
                    let new = folder.join(format!(".{name}"));
                    let mut file = private_file().truncate(true).open(&new)?;
                    file.write_all(&bytes)?;
                    masv_platform::flush(&file)?;
                    std::fs::rename(&new, folder.join(name))
                });
                let written = writing.await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
                written.map_err(Failure::passing)
            }
        }
    }
}
