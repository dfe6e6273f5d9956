//! Links to packages.

use masv_protocol::{IDEMPOTENCY_HEADER, Link, LinkSettings, SecretUrl};
use reqwest::Method;

use super::{Call, Cloud, CloudError, PackageAccess, ask};

/// The base URL of the service's links, if the response does not contain one.
const SERVICE_LINKS: &str = "https://get.massive.io";

/// The URL of a link to share; it contains the link's secret.
#[must_use]
pub fn link_address(link: &Link) -> SecretUrl {
    link.address(SERVICE_LINKS)
}

impl Cloud {
    /// Creates a link; it works once the package is finalized. [`link_address`] returns the URL to share. A hub makes no other one where
    /// the call is repeated with the same `key`.
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn create_link(
        &self,
        package: PackageAccess<'_>,
        link: &LinkSettings,
        key: Option<&str>,
    ) -> Result<Link, CloudError> {
        let path = ["v1", "packages", package.id.as_str(), "links"];
        let mut request = self.package_request(Method::POST, &path, package.token)?;
        if let Some(key) = key {
            request = request.header(IDEMPOTENCY_HEADER, key);
        }
        ask(Call::CreateLink, request, Some(link)).await
    }
}
