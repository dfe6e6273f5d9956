//! Portals: anybody may send a package to one.

use std::collections::BTreeMap;

use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;

use super::types::text;
use super::{Call, Cloud, CloudError, CreatedPackage, NO_BODY, ask};

/// A portal as senders see it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Portal {
    /// The cloud's id.
    #[serde(deserialize_with = "text")]
    pub id: String,
    /// Name for people.
    #[serde(default)]
    pub name: String,
    /// Whether senders must give an access code.
    #[serde(default)]
    pub has_access_code: bool,
}

/// A package to be made for a portal.
#[derive(Debug, Clone)]
pub struct NewPortalPackage<'a> {
    /// Name.
    pub name: &'a str,
    /// Message to the recipients.
    pub description: Option<&'a str>,
    /// The sender's mail address.
    pub sender: &'a str,
    /// The portal's access code.
    pub access_code: Option<&'a SecretString>,
    /// Values for the portal's form.
    pub metadata: &'a BTreeMap<String, String>,
}

impl Cloud {
    /// Looks a portal up by its name.
    ///
    /// # Errors
    /// [`CloudError::Refused`] with status 404 when there is none.
    pub async fn portal(&self, subdomain: &str) -> Result<Portal, CloudError> {
        let request = self.open_request(Method::GET, &["v1", "subdomains", "portals", subdomain])?;
        ask(Call::FindPortal, request, NO_BODY).await
    }

    /// Makes a package for a portal.
    ///
    /// # Errors
    /// [`CloudError::Refused`] with status 401 or 403 for a wrong access code.
    pub async fn create_portal_package(
        &self,
        portal: &Portal,
        package: &NewPortalPackage<'_>,
    ) -> Result<CreatedPackage, CloudError> {
        let mut body = json!({
            "name": package.name,
            "sender": package.sender,
            "description": package.description.unwrap_or_default(),
        });
        if let Some(code) = package.access_code {
            body["access_code"] = code.expose_secret().into();
        }
        if !package.metadata.is_empty() {
            body["custom_metadata"] = json!(package.metadata);
        }
        let request = self.open_request(Method::POST, &["v1", "portals", &portal.id, "packages"])?;
        ask(Call::CreatePortalPackage, request, Some(&body)).await
    }
}
