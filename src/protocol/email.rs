//! E-mail addresses: the one definition of what is valid, for the rules file, the local API, the hub and its mails.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use email_address::EmailAddress as Checked;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};

/// Maximum length of an address, in bytes: RFC 5321, section 4.5.3.1.3, without the angle brackets.
const LONGEST: usize = 254;

/// An e-mail address that a mail server accepts: RFC 5321 and RFC 6531, without a display name or comments.
///
/// It is stored as written, without surrounding white space. Two addresses that differ only in case are different
/// values; [`EmailAddress::is_same_mailbox`] compares as mail servers do.
///
/// ```
/// use masv_protocol::EmailAddress;
///
/// assert!("client@example.com".parse::<EmailAddress>().is_ok());
/// assert!("x@y..z".parse::<EmailAddress>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct EmailAddress(String);

/// A string that is not an e-mail address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a valid mail address")]
pub struct InvalidEmailAddress(String);

impl EmailAddress {
    /// The whole address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part after the last `@`.
    #[must_use]
    pub fn domain(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(_, domain)| domain)
    }

    /// The same address in lower case, for looking up accounts.
    #[must_use]
    pub fn to_lowercase(&self) -> Self {
        Self(self.0.to_lowercase())
    }

    /// Whether both are the same mailbox, ignoring case.
    #[must_use]
    pub fn is_same_mailbox(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }

    /// The whole address, owned.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }
}

impl FromStr for EmailAddress {
    type Err = InvalidEmailAddress;

    fn from_str(text: &str) -> Result<Self, InvalidEmailAddress> {
        let text = text.trim();
        let is_literal = |domain: &str| {
            let address = domain.strip_prefix('[').and_then(|domain| domain.strip_suffix(']'));
            address.is_some_and(|address| address.parse::<IpAddr>().is_ok())
        };
        let valid = text.len() <= LONGEST
            && !text.chars().any(char::is_control)
            && text.rsplit_once('@').is_some_and(|(local, domain)| {
                Checked::is_valid_local_part(local)
                    && (is_literal(domain) || (!domain.starts_with('[') && Checked::is_valid_domain(domain)))
            });
        if valid { Ok(Self(text.to_owned())) } else { Err(InvalidEmailAddress(text.to_owned())) }
    }
}

impl fmt::Display for EmailAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl AsRef<str> for EmailAddress {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl From<EmailAddress> for String {
    fn from(address: EmailAddress) -> Self {
        address.0
    }
}

impl<'de> Deserialize<'de> for EmailAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for EmailAddress {
    fn schema_name() -> Cow<'static, str> {
        "EmailAddress".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "email" })
    }

    fn inline_schema() -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_mail_server_takes_is_not_an_address() {
        let long = format!("{}@example.com", "a".repeat(65));
        for bad in [
            "",
            "a",
            "@",
            "a@",
            "@b",
            "a@b@c",
            "x@y..z",
            "x@.y",
            "x@y.",
            "x..y@z",
            ".x@y",
            "x.@y",
            "a b@c",
            "a@b c",
            "a@-b",
            "a@b-",
            "a,b@c",
            "A <a@b>",
            "<a@b>",
            "a@[b]",
            "a@[1.2.3]",
            "a@b\r\nBcc: c@d",
            "a\0@b",
            "a@b;c",
            &long,
        ] {
            assert!(bad.parse::<EmailAddress>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn every_address_in_use_is_one() {
        for good in [
            "a@b",
            "client@example.com",
            "first.last+tag@sub.example.co.uk",
            "dit@localhost",
            "o'neil@example.com",
            "user@[192.0.2.1]",
            "user@[2001:db8::1]",
            "müller@example.com",
            "info@münchen.example",
            "123@example.com",
        ] {
            assert_eq!(good.parse::<EmailAddress>().map(|address| address.to_string()).as_deref(), Ok(good));
        }
        assert_eq!(" a@b.example\n".parse::<EmailAddress>().unwrap().domain(), "b.example");
    }

    #[test]
    fn mailboxes_are_the_same_in_any_case() {
        let address = |text: &str| text.parse::<EmailAddress>().unwrap();
        assert!(address("Ed@Example.com").is_same_mailbox(&address("ed@example.com")));
        assert_eq!(address("Ed@Example.com").to_lowercase(), address("ed@example.com"));
    }
}
