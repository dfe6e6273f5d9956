//! The team's inbox: what came through its portals, and the right to read it.

use std::collections::HashMap;

use jiff::Timestamp;
use reqwest::Method;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::Value;

use super::types::text;
use super::{Call, Cloud, CloudError, NO_BODY, ask};

/// Packages of a page; more than the service gives at once.
const PAGE: usize = 100;

/// A package that came through a portal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The cloud's id of the package.
    pub id: String,
    /// Name of the package.
    pub name: String,
    /// Who sent it.
    pub sender: String,
    /// The cloud's id of the portal, where it says so.
    pub portal_id: Option<String>,
    /// The portal's subdomain, where the cloud says so; [`Cloud::portal_names`] knows it otherwise.
    pub subdomain: Option<String>,
    /// Whether it is whole and can still be fetched.
    pub finalized: bool,
    /// When it was finalized, or the nearest to that which the cloud tells.
    pub at: Option<Timestamp>,
}

/// A page of the inbox.
#[derive(Debug, Clone, Default)]
pub struct InboxPage {
    /// Newest first.
    pub deliveries: Vec<Delivery>,
    /// Whether there is another page.
    pub more: bool,
}

/// A package of the team and the right to read it.
#[derive(Debug, Clone)]
pub struct TeamPackage {
    /// Name of the package.
    pub name: String,
    /// Authorises every call about it.
    pub token: SecretString,
}

#[derive(Deserialize)]
struct Page<T> {
    #[serde(default = "Vec::new")]
    records: Vec<T>,
    #[serde(default)]
    metadata: Option<Metadata>,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    total: Option<usize>,
}

impl<T> Page<T> {
    fn more(&self, page: usize) -> bool {
        match self.metadata.as_ref().and_then(|metadata| metadata.total) {
            // A cloud with smaller pages than ours has gone on to the next one by now, too.
            Some(total) => !self.records.is_empty() && self.records.len() + (page - 1) * PAGE < total,
            None => self.records.len() >= PAGE,
        }
    }
}

#[derive(Deserialize)]
struct Record {
    #[serde(deserialize_with = "text")]
    id: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    sender: Option<String>,
    #[serde(default)]
    state: Option<String>,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    portal_id: Value,
    #[serde(default)]
    portal: Value,
    #[serde(default)]
    portal_subdomain: Option<String>,
    #[serde(default)]
    finalized_at: Value,
    #[serde(default)]
    updated_at: Value,
    #[serde(default)]
    created_at: Value,
}

fn word(value: &Value) -> Option<String> {
    match value {
        Value::String(word) if !word.is_empty() => Some(word.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A time that makes sense; clouds write the year 1 where there is none.
fn moment(value: &Value) -> Option<Timestamp> {
    let time = value.as_str()?.parse::<Timestamp>().ok()?;
    (time > Timestamp::UNIX_EPOCH).then_some(time)
}

impl From<Record> for Delivery {
    fn from(record: Record) -> Self {
        let portal = &record.portal;
        Self {
            name: record.name.unwrap_or_default(),
            sender: record.sender.unwrap_or_default(),
            portal_id: word(&record.portal_id).or_else(|| word(&portal["id"])).or_else(|| word(portal)),
            subdomain: record.portal_subdomain.or_else(|| word(&portal["subdomain"])),
            finalized: record.state.or(record.status).is_none_or(|state| state == "finalized"),
            at: [&record.finalized_at, &record.updated_at, &record.created_at].into_iter().find_map(moment),
            id: record.id,
        }
    }
}

#[derive(Deserialize)]
struct OwnPortal {
    #[serde(deserialize_with = "text")]
    id: String,
    #[serde(default)]
    subdomain: String,
}

#[derive(Deserialize)]
struct OwnPackage {
    #[serde(default)]
    name: String,
    access_token: SecretString,
}

impl Cloud {
    /// A page (from 1) of what came through the team's portals. A cloud that can leaves out what was finalized before
    /// `from`.
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn inbox(&self, team: &str, page: usize, from: Timestamp) -> Result<InboxPage, CloudError> {
        let request = self.team_request(Method::GET, &["v1.1", "teams", team, "inbox"])?.query(&[
            ("status", "finalized"),
            ("sort", "-created_at"),
            ("limit", &PAGE.to_string()),
            ("page", &page.to_string()),
            ("finalized_at_start", &format!("{from:.3}")),
        ]);
        let listed: Page<Record> = ask(Call::ListInbox, request, NO_BODY).await?;
        let more = listed.more(page);
        Ok(InboxPage { deliveries: listed.records.into_iter().map(Delivery::from).collect(), more })
    }

    /// The subdomains of the team's portals by the cloud's ids of them.
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn portal_names(&self, team: &str) -> Result<HashMap<String, String>, CloudError> {
        let mut names = HashMap::new();
        for page in 1.. {
            let request = self.team_request(Method::GET, &["v1.1", "teams", team, "portals"])?;
            let request = request.query(&[("limit", PAGE), ("page", page)]);
            let listed: Page<OwnPortal> = ask(Call::ListPortals, request, NO_BODY).await?;
            let more = listed.more(page);
            let before = names.len();
            names.extend(listed.records.into_iter().map(|portal| (portal.id, portal.subdomain)));
            // A cloud that gives the same page again and again ends here, too.
            if !more || names.len() == before {
                break;
            }
        }
        Ok(names)
    }

    /// A package of the team, and the right to read it.
    ///
    /// # Errors
    /// [`CloudError::Refused`] with status 404 when it was removed; [`CloudError::NotSignedIn`].
    pub async fn team_package(&self, team: &str, package: &str) -> Result<TeamPackage, CloudError> {
        let request = self.team_request(Method::GET, &["v1.1", "teams", team, "packages", package])?;
        let package: OwnPackage = ask(Call::OpenPackage, request, NO_BODY).await?;
        Ok(TeamPackage { name: package.name, token: package.access_token })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(json: &str) -> Delivery {
        serde_json::from_str::<Record>(json).unwrap().into()
    }

    #[test]
    fn a_delivery_is_read_however_it_is_spelled() {
        let full = delivery(
            r#"{"id":"P","name":"Rushes","sender":"a@x","state":"finalized","portal":{"id":"7","subdomain":"acme"},
                "finalized_at":"2026-11-02T00:00:00.000Z","created_at":"2026-11-01T00:00:00.000Z"}"#,
        );
        assert_eq!((full.portal_id.as_deref(), full.subdomain.as_deref()), (Some("7"), Some("acme")));
        assert!(full.finalized && full.at == "2026-11-02T00:00:00Z".parse().ok());
        let bare = delivery(
            r#"{"id":1,"portal_id":7,"status":"archived","finalized_at":"0001-01-01T00:00:00Z",
                "created_at":"2026-11-01T00:00:00Z"}"#,
        );
        assert_eq!((bare.id.as_str(), bare.portal_id.as_deref(), bare.subdomain), ("1", Some("7"), None));
        assert!(!bare.finalized && bare.at == "2026-11-01T00:00:00Z".parse().ok());
    }

    #[test]
    fn pages_end_whether_or_not_the_total_is_told() {
        let page = |records: usize, total: Option<usize>| Page {
            records: vec![(); records],
            metadata: total.map(|total| Metadata { total: Some(total) }),
        };
        assert!(page(100, Some(101)).more(1) && !page(1, Some(101)).more(2));
        assert!(page(100, None).more(1) && !page(99, None).more(1));
        assert!(!page(0, Some(500)).more(3), "a cloud that has miscounted");
    }
}
