//! Links to packages.

use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;

use super::types::text;
use super::{Call, Cloud, CloudError, PackageAccess, ask};

/// Where the service's links live when the answer does not say.
const SERVICE_LINKS: &str = "https://get.massive.io";

/// A link to be made.
#[derive(Debug, Clone, Default)]
pub struct NewLink {
    /// Mailed to this address.
    pub email: Option<String>,
    /// A password of its own.
    pub password: Option<SecretString>,
}

/// A link that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedLink {
    /// The cloud's id.
    pub id: String,
    /// The address to give away; it holds the link's secret.
    pub url: String,
}

#[derive(Deserialize)]
struct LinkAnswer {
    #[serde(deserialize_with = "text")]
    id: String,
    download_secret: String,
    /// A hub says where its links are opened.
    #[serde(default)]
    url: Option<String>,
}

impl Cloud {
    /// Makes a link; it opens once the package is finalized.
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn create_link(&self, package: PackageAccess<'_>, link: &NewLink) -> Result<CreatedLink, CloudError> {
        let mut body = json!({});
        if let Some(email) = &link.email {
            body["email"] = email.as_str().into();
        }
        if let Some(password) = &link.password {
            body["password"] = password.expose_secret().into();
        }
        let path = ["v1", "packages", package.id, "links"];
        let request = self.package_request(Method::POST, &path, package.token)?;
        let answer: LinkAnswer = ask(Call::CreateLink, request, Some(&body)).await?;
        let url =
            answer.url.unwrap_or_else(|| format!("{SERVICE_LINKS}/{}?secret={}", answer.id, answer.download_secret));
        Ok(CreatedLink { id: answer.id, url })
    }
}
