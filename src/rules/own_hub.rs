//! How the agent's own hub is reached and sends mail: from the rules file's `hub` section, from the agent's settings, or both.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;
use masv_protocol::EmailAddress;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

/// What is decided about the agent's own hub. What is absent is the default: reached on this machine only, mails as files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnHub {
    /// Where it listens for recipients, beside the loopback address that the agent itself uses.
    pub listen: Option<SocketAddr>,
    /// Where recipients reach it: behind a proxy, or by a name.
    pub public_url: Option<Url>,
    /// The proxies in front of it: what they say of their callers is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// The certificate of the address that it listens on; absent is plain HTTP.
    pub tls: Option<Tls>,
    /// The mail server.
    pub smtp: Option<Smtp>,
    /// Whom mails are from: an address, or `Name <address>`.
    pub mail_from: Option<String>,
}

/// A certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// PEM file with the certificate chain.
    pub certificate: PathBuf,
    /// PEM file with its key.
    pub key: PathBuf,
}

/// A mail server.
#[derive(Debug, Clone)]
pub struct Smtp {
    /// `smtps://host:port`, `smtp://host:port?tls=required` (STARTTLS) or `smtp://host:port` (no encryption).
    pub url: Url,
    /// Name and password to sign in with.
    pub login: Option<(String, SecretString)>,
    /// PEM file of the authority that signed its certificate; absent: those that the system trusts.
    pub authority: Option<PathBuf>,
}

impl PartialEq for Smtp {
    fn eq(&self, other: &Self) -> bool {
        let login =
            |smtp: &Self| smtp.login.clone().map(|(user, password)| (user, password.expose_secret().to_owned()));
        self.url == other.url && self.authority == other.authority && login(self) == login(other)
    }
}

impl Eq for Smtp {}

/// Why the agent's own hub cannot be set up like this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OwnHubError {
    /// Links need an address that a recipient can open.
    #[error("recipients cannot open {0}: say where they reach the hub, such as http://192.168.1.20:{port}", port = .0.port())]
    NoPublicUrl(SocketAddr),
    /// A port that the system chooses is another one at every start.
    #[error("port 0 is another one at every start, which ends the links made before: name a port, such as 8090")]
    NoPort,
    /// Links lead to an address where nobody listens.
    #[error("nothing answers at {0}: say where the hub listens, such as 127.0.0.1:8090 behind a proxy on this machine")]
    NoListen(String),
}

impl OwnHub {
    /// What `self` decides, and `other` where it does not.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            listen: self.listen.or(other.listen),
            public_url: self.public_url.or(other.public_url),
            trusted_proxies: match self.trusted_proxies.is_empty() {
                true => other.trusted_proxies,
                false => self.trusted_proxies,
            },
            tls: self.tls.or(other.tls),
            smtp: self.smtp.or(other.smtp),
            mail_from: self.mail_from.or(other.mail_from),
        }
    }

    /// Where recipients reach it; `None` where they do not, beyond this machine.
    ///
    /// # Errors
    /// [`OwnHubError`] where it listens on an address that is of no use in a link.
    pub fn reached_at(&self) -> Result<Option<Url>, OwnHubError> {
        if self.listen.is_some_and(|listen| listen.port() == 0) {
            return Err(OwnHubError::NoPort);
        }
        match (&self.public_url, self.listen) {
            (Some(url), Some(_)) => Ok(Some(url.clone())),
            (Some(url), None) => Err(OwnHubError::NoListen(url.to_string())),
            (None, None) => Ok(None),
            (None, Some(listen)) if listen.ip().is_unspecified() => Err(OwnHubError::NoPublicUrl(listen)),
            (None, Some(listen)) => {
                let scheme = if self.tls.is_some() { "https" } else { "http" };
                Url::parse(&format!("{scheme}://{listen}")).map(Some).map_err(|_| OwnHubError::NoPublicUrl(listen))
            }
        }
    }
}

/// An `http` or `https` URL with a host.
///
/// # Errors
/// What is wrong.
pub fn http_url(text: &str) -> Result<Url, String> {
    match Url::parse(text) {
        Ok(url) if !matches!(url.scheme(), "http" | "https") => Err("expected an http or https URL".to_owned()),
        Ok(url) if url.host_str().is_none() => Err("expected a URL with a host".to_owned()),
        Ok(url) => Ok(url),
        Err(error) => Err(format!("expected a URL: {error}")),
    }
}

/// An [`http_url`] that paths are put behind, and that others see.
///
/// # Errors
/// What is wrong.
pub fn base_url(text: &str) -> Result<Url, String> {
    let url = http_url(text)?;
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err("expected a URL without user name, password or query".to_owned());
    }
    Ok(url)
}

/// What a mail server's URL looks like.
pub const MAIL_SERVER_EXAMPLE: &str = "`smtps://HOST:465`, `smtp://HOST:587?tls=required` or `smtp://HOST:25`";

/// The URL of a mail server: see [`Smtp::url`].
///
/// # Errors
/// What is wrong.
pub fn mail_server(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "smtp" | "smtps") && url.has_host());
    let url = url.ok_or_else(|| format!("`{text}` is not the URL of a mail server"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("expected a URL without user and password".to_owned());
    }
    Ok(url)
}

/// Whom mails are from: an address, or `Name <address>`.
///
/// # Errors
/// What is wrong.
pub fn sender(text: &str) -> Result<String, String> {
    let address = text.rsplit_once('<').map_or(text, |(_, rest)| rest.trim_end().trim_end_matches('>'));
    match address.trim().parse::<EmailAddress>() {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(format!("`{text}` is not a sender")),
    }
}

/// A network, or an address as the network of itself alone.
///
/// # Errors
/// What is wrong, with an example.
pub fn network(text: &str) -> Result<IpNet, String> {
    let network = text.trim().parse::<IpAddr>().map(IpNet::from).or_else(|_| text.trim().parse::<IpNet>());
    network.map_err(|_| format!("`{text}` is not an address or a network such as 10.0.0.0/8"))
}

/// Whether an address leads to the machine that opens it.
#[must_use]
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(listen: Option<&str>, public_url: Option<&str>, tls: bool) -> OwnHub {
        OwnHub {
            listen: listen.map(|text| text.parse().unwrap()),
            public_url: public_url.map(|text| text.parse().unwrap()),
            tls: tls.then(|| Tls { certificate: "c".into(), key: "k".into() }),
            ..OwnHub::default()
        }
    }

    #[test]
    fn links_lead_where_recipients_reach_the_hub() {
        let reached = |hub: OwnHub| hub.reached_at().map(|url| url.map(String::from));
        assert_eq!(reached(hub(None, None, false)), Ok(None));
        assert_eq!(reached(hub(Some("192.168.1.20:8090"), None, false)), Ok(Some("http://192.168.1.20:8090/".into())));
        assert_eq!(reached(hub(Some("[fd00::2]:8090"), None, true)), Ok(Some("https://[fd00::2]:8090/".into())));
        let named = hub(Some("0.0.0.0:8090"), Some("https://send.example.com"), false);
        assert_eq!(reached(named), Ok(Some("https://send.example.com/".into())));
        let everywhere = reached(hub(Some("0.0.0.0:8090"), None, false)).unwrap_err();
        assert!(everywhere.to_string().contains("http://192.168.1.20:8090"), "{everywhere}");
        assert_eq!(reached(hub(Some("192.168.1.20:0"), None, false)), Err(OwnHubError::NoPort));
        let alone = reached(hub(None, Some("https://send.example.com"), false)).unwrap_err().to_string();
        assert!(alone.contains("https://send.example.com") && alone.contains("127.0.0.1:8090"), "{alone}");
    }

    #[test]
    fn what_cannot_work_is_refused_wherever_it_is_written() {
        for wrong in ["ftp://a.example", "https://", "https://u:p@a.example", "https://a.example/?q", "a.example", ""] {
            assert!(base_url(wrong).is_err(), "{wrong}");
        }
        assert_eq!(base_url("https://a.example/hub").unwrap().as_str(), "https://a.example/hub");
        for wrong in ["https://mail.example", "smtp:", "smtp://u:p@mail.example", "mail.example:25", ""] {
            assert!(mail_server(wrong).is_err(), "{wrong}");
        }
        assert_eq!(mail_server("smtp://mail.example:587?tls=required").unwrap().port(), Some(587));
        for wrong in ["nobody", "Nobody <nobody>", "Ann <a@b..example>", ""] {
            assert!(sender(wrong).is_err(), "{wrong}");
        }
        assert_eq!(sender("Ann <ann@example.com>").unwrap(), "Ann <ann@example.com>");
    }

    #[test]
    fn what_is_decided_first_wins() {
        let first = hub(Some("192.168.1.20:8090"), None, false);
        let second = hub(Some("10.0.0.1:80"), Some("https://send.example.com"), true);
        let both = first.clone().or(second.clone());
        assert_eq!((both.listen, both.public_url, both.tls), (first.listen, second.public_url, second.tls));
    }
}
