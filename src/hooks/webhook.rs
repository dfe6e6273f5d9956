//! One POST of a message to a webhook, signed if there is a secret.

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, redirect};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use url::Url;

use super::retry::{Verdict, decide};
use crate::store::Telling;

/// How long a receiver may take to respond.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// How long connecting may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// The clients of all webhooks.
pub(crate) struct Webhooks {
    /// Through the environment's proxy, if any.
    outside: Client,
    /// A proxy cannot reach our own loopback.
    local: Client,
}

impl Webhooks {
    pub(crate) fn new() -> Result<Self, reqwest::Error> {
        let builder = || {
            Client::builder()
                .user_agent(concat!("masv-agent/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(CONNECT_LIMIT)
                .timeout(ANSWER_LIMIT)
                .redirect(redirect::Policy::none())
        };
        Ok(Self { outside: builder().build()?, local: builder().no_proxy().build()? })
    }

    /// Posts the message; returns the outcome, and the reason if it failed.
    pub(crate) async fn post(
        &self,
        url: &Url,
        secret: Option<&SecretString>,
        telling: &Telling,
    ) -> Result<(), (Verdict, String)> {
        let body = telling.message.to_string();
        let timestamp = Timestamp::now().as_second().to_string();
        let client = if is_local(url) { &self.local } else { &self.outside };
        let mut request = client
            .post(url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("X-Masv-Event", &telling.event)
            .header("X-Masv-Delivery", &telling.delivery)
            .header("X-Masv-Timestamp", &timestamp);
        if let Some(signature) = secret.and_then(|secret| sign(secret, &timestamp, &body)) {
            request = request.header("X-Masv-Signature", signature);
        }
        match request.body(body).send().await {
            Ok(response) => {
                let status = response.status();
                match decide(status.as_u16()) {
                    Verdict::Done => Ok(()),
                    verdict => Err((verdict, format!("it responded with {status}"))),
                }
            }
            Err(error) => Err((Verdict::Later, reason(error))),
        }
    }
}

fn is_local(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// `v1=` and the HMAC-SHA256 of the time in seconds, a dot and the body, hexadecimal.
fn sign(secret: &SecretString, timestamp: &str, body: &str) -> Option<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()).ok()?;
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac.update(body.as_bytes());
    Some(format!("v1={}", hex::encode(mac.finalize().into_bytes())))
}

/// Why it could not be sent, without the URL.
fn reason(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_what_any_receiver_computes() {
        // printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac secret
        let signature = sign(&SecretString::from("secret"), "1700000000", "{\"a\":1}");
        assert_eq!(signature.as_deref(), Some("v1=49f24e537407743fa4a0242bb63b94b9a47ee99cbbe071ccd8a22550ae411686"));
    }
}
