//! Parsing of the link that a recipient received. Pure.

use secrecy::SecretString;
use url::Url;

/// Hosts that show the service's links; its API is elsewhere.
const SERVICE_HOSTS: &[&str] = &["get.massive.io", "get.massive.app"];
/// The service's API.
const SERVICE_API: &str = "https://api.massive.app";

/// A parsed link.
#[derive(Debug, Clone)]
pub struct LinkAddress {
    /// Base URL of the cloud that has the package.
    pub api: String,
    /// The link's id in the cloud.
    pub id: String,
    /// Its secret.
    pub secret: SecretString,
}

/// Why a URL is not a link to a package.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// Not a web URL at all.
    #[error("this is not a URL")]
    NotAnAddress,
    /// It contains no id.
    #[error("the URL does not name a package")]
    NoId,
    /// It contains no secret.
    #[error("the URL has no `secret`: copy the whole link, including everything after the question mark")]
    NoSecret,
}

impl LinkAddress {
    /// Parses a link of the service or of any hub: the last part of the path is the link's id, `secret` its secret, everything else
    /// is ignored.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub fn parse(text: &str) -> Result<Self, LinkError> {
        let url = Url::parse(text.trim()).map_err(|_| LinkError::NotAnAddress)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(LinkError::NotAnAddress);
        }
        let host = url.host_str().ok_or(LinkError::NotAnAddress)?;
        let api =
            if SERVICE_HOSTS.contains(&host) { SERVICE_API.to_owned() } else { url.origin().ascii_serialization() };
        let id = url.path_segments().and_then(|segments| segments.rev().find(|segment| !segment.is_empty()));
        let id = id.ok_or(LinkError::NoId)?;
        let plain = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        if !plain {
            return Err(LinkError::NoId);
        }
        let secret = url.query_pairs().find(|(key, value)| key == "secret" && !value.is_empty());
        let (_, secret) = secret.ok_or(LinkError::NoSecret)?;
        Ok(Self { api, id: id.to_owned(), secret: SecretString::from(secret.into_owned()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    fn parts(text: &str) -> (String, String, String) {
        let link = LinkAddress::parse(text).unwrap();
        (link.api, link.id, link.secret.expose_secret().to_owned())
    }

    #[test]
    fn links_of_the_service_and_of_hubs() {
        let cases = [
            ("https://get.massive.io/01ABC?secret=s%2Bx", "https://api.massive.app", "01ABC", "s+x"),
            ("https://get.massive.app/de/01ABC/?a=b&secret=s#top", "https://api.massive.app", "01ABC", "s"),
            ("http://127.0.0.1:41873/01ABC?secret=s", "http://127.0.0.1:41873", "01ABC", "s"),
            (" https://hub.example.com/01ABC?secret=s\n", "https://hub.example.com", "01ABC", "s"),
            ("https://user:pass@hub.example.com:8443/x?secret=s", "https://hub.example.com:8443", "x", "s"),
        ];
        for (text, api, id, secret) in cases {
            assert_eq!(parts(text), (api.to_owned(), id.to_owned(), secret.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_is_no_link_says_why() {
        let cases = [
            ("", LinkError::NotAnAddress),
            ("01ABC", LinkError::NotAnAddress),
            ("file:///01ABC?secret=s", LinkError::NotAnAddress),
            ("https://hub.example.com/?secret=s", LinkError::NoId),
            ("https://hub.example.com/%2e%2e%2f?secret=s", LinkError::NoId),
            ("https://hub.example.com/01ABC", LinkError::NoSecret),
            ("https://hub.example.com/01ABC?secret=", LinkError::NoSecret),
        ];
        for (text, error) in cases {
            assert_eq!(LinkAddress::parse(text).unwrap_err(), error, "{text}");
        }
    }
}
