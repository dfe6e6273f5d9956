//! Portals: anyone may send a package to one.

use masv_protocol::{NewPortalPackage, PackageWithToken, PortalId, PublicPortal};
use reqwest::Method;

use super::{Call, Cloud, CloudError, NO_BODY, ask};

impl Cloud {
    /// Looks up a portal by its subdomain.
    ///
    /// # Errors
    /// [`CloudError::Refused`] with status 404 if there is none.
    pub async fn portal(&self, subdomain: &str) -> Result<PublicPortal, CloudError> {
        let request = self.open_request(Method::GET, &["v1", "subdomains", "portals", subdomain])?;
        ask(Call::FindPortal, request, NO_BODY).await
    }

    /// Creates a package for a portal.
    ///
    /// # Errors
    /// [`CloudError::Refused`] with status 401 or 403 for a wrong access code.
    pub async fn create_portal_package(
        &self,
        portal: &PortalId,
        package: &NewPortalPackage,
    ) -> Result<PackageWithToken, CloudError> {
        let request = self.open_request(Method::POST, &["v1", "portals", portal.as_str(), "packages"])?;
        ask(Call::CreatePortalPackage, request, Some(package)).await
    }
}
