//! Links to packages.

use masv_protocol::{Link, LinkSettings, SecretUrl};
use reqwest::Method;

use super::{Call, Cloud, CloudError, PackageAccess, ask};

/// Where the service's links live when the answer does not say.
const SERVICE_LINKS: &str = "https://get.massive.io";

/// The address of a link to give away; it holds the link's secret.
#[must_use]
pub fn link_address(link: &Link) -> SecretUrl {
    link.address(SERVICE_LINKS)
}

impl Cloud {
    /// Makes a link; it opens once the package is finalized. [`link_address`] is what to give away.
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn create_link(&self, package: PackageAccess<'_>, link: &LinkSettings) -> Result<Link, CloudError> {
        let path = ["v1", "packages", package.id.as_str(), "links"];
        let request = self.package_request(Method::POST, &path, package.token)?;
        ask(Call::CreateLink, request, Some(link)).await
    }
}
