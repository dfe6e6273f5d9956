//! How the agent's own hub is reached and sends mail.

use std::net::SocketAddr;

use ipnet::IpNet;
use url::Url;

use super::super::fields::At;
use super::super::own_hub::{self, MAIL_SERVER_EXAMPLE, OwnHub, Smtp, Tls, is_loopback, mail_server, network};
use super::super::reader::{Reader, example};
use super::super::schema_table::{HUB, SMTP, TLS};
use super::base_url;

pub(super) fn read(at: &At<'_>, reader: &Reader<'_>) -> Option<OwnHub> {
    // Spelled out rather than with `?`, so that every key is checked.
    let fields = reader.fields(at, HUB)?;
    let listen = fields.maybe("listen", |at| address(at, reader));
    let public_url = fields.maybe("public_url", |at| public_url(at, reader));
    let trusted_proxies = fields.or("trusted_proxies", Vec::new(), |at| networks(at, reader));
    let tls = fields.maybe("tls", |at| tls(at, reader));
    let smtp = fields.maybe("smtp", |at| smtp(at, reader));
    let mail_from = fields.maybe("mail_from", |at| sender(at, reader));
    let hub = OwnHub {
        listen: listen?,
        public_url: public_url?,
        trusted_proxies: trusted_proxies?,
        tls: tls?,
        smtp: smtp?,
        mail_from: mail_from?,
    };
    let place = fields.optional("listen").or_else(|| fields.optional("public_url")).unwrap_or_else(|| at.clone());
    match hub.reached_at() {
        Err(problem) => {
            reader.error(&place, problem.to_string(), None);
            return None;
        }
        Ok(Some(url)) if url.scheme() == "http" && is_public(&url) => {
            let at = fields.optional("public_url").unwrap_or(place);
            let help = "use https: by `tls` here, or by a proxy in front".to_owned();
            reader.warn(&at, "files and passwords travel to this address unencrypted", Some(help));
        }
        Ok(_) => {}
    }
    Some(hub)
}

/// Whether strangers' networks lie on the way.
fn is_public(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(address)) => !address.is_private() && !address.is_link_local() && !is_loopback(url),
        Some(url::Host::Ipv6(address)) => !address.is_unique_local() && !is_loopback(url),
        Some(url::Host::Domain(name)) => name.contains('.') && !name.ends_with(".local") && !is_loopback(url),
        None => false,
    }
}

fn address(at: &At<'_>, reader: &Reader<'_>) -> Option<SocketAddr> {
    let text = reader.text(at)?;
    let parsed = text.parse();
    if parsed.is_err() {
        let help = "write the IP address and the port, like `192.168.1.20:8090`, or `0.0.0.0:8090` for every network"
            .to_owned();
        reader.error(at, format!("`{text}` is not an address to listen on"), Some(help));
    }
    parsed.ok()
}

fn networks(at: &At<'_>, reader: &Reader<'_>) -> Option<Vec<IpNet>> {
    let read: Vec<Option<IpNet>> = at
        .items()
        .iter()
        .map(|item| {
            let text = reader.text(item)?;
            let network = network(&text);
            if let Err(problem) = &network {
                reader.error(item, problem.clone(), example(item));
            }
            network.ok()
        })
        .collect();
    read.into_iter().collect()
}

/// Links are this URL with a path behind it.
fn public_url(at: &At<'_>, reader: &Reader<'_>) -> Option<Url> {
    base_url(at, reader, "links are made of it: write the scheme, the host and, where it has one, the port")
}

fn tls(at: &At<'_>, reader: &Reader<'_>) -> Option<Tls> {
    let fields = reader.fields(at, TLS)?;
    let certificate = fields.required("certificate").and_then(|at| reader.path(&at, false));
    let key = fields.required("key").and_then(|at| reader.path(&at, false));
    Some(Tls { certificate: certificate?, key: key? })
}

fn smtp(at: &At<'_>, reader: &Reader<'_>) -> Option<Smtp> {
    let fields = reader.fields(at, SMTP)?;
    let url = fields.required("url").and_then(|at| smtp_url(&at, reader));
    let user = fields.maybe("user", |at| reader.text(at));
    let password = fields.secret("password", reader);
    let authority = fields.maybe("ca", |at| reader.path(at, false));
    let login = match (user?, password?) {
        (Some(user), Some(password)) => Some((user, password)),
        (None, None) => None,
        _ => {
            reader.error(at, "`user` and `password` go together", Some("give both, or neither".to_owned()));
            return None;
        }
    };
    Some(Smtp { url: url?, login, authority: authority? })
}

fn smtp_url(at: &At<'_>, reader: &Reader<'_>) -> Option<Url> {
    let text = reader.text(at)?;
    let help = match text.contains('@') {
        true => "give the user and the password as `user` and `password`".to_owned(),
        false => format!("write {MAIL_SERVER_EXAMPLE}"),
    };
    mail_server(&text).map_err(|why| reader.error(at, why, Some(help))).ok()
}

/// An address, or a name with one: the hub takes both.
fn sender(at: &At<'_>, reader: &Reader<'_>) -> Option<String> {
    let text = reader.text(at)?;
    own_hub::sender(&text).map_err(|why| reader.error(at, why, example(at))).ok()
}
