//! Portals as their team sees them.

use masv_protocol::{Page, Portal, PortalId, PortalQuery, PortalSettings, PublicPortal, TeamId};
use reqwest::Method;

use super::Admin;
use crate::{CloudError, NO_BODY};

impl Admin {
    /// A page of a team's portals.
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn portals(&self, team: &TeamId, query: &PortalQuery) -> Result<Page<Portal>, CloudError> {
        let path = ["v1.1", "teams", team.as_str(), "portals"];
        self.call("list the portals", Method::GET, &path, &query.pairs(), NO_BODY).await
    }

    /// The portal with this subdomain, as its senders see it.
    ///
    /// # Errors
    /// [`CloudError::Refused`] with status 404 if there is none.
    pub async fn find_portal(&self, subdomain: &str) -> Result<PublicPortal, CloudError> {
        self.get("find the portal", &["v1", "subdomains", "portals", subdomain]).await
    }

    /// One portal.
    ///
    /// # Errors
    /// [`CloudError::Refused`] with status 404 if there is none.
    pub async fn portal(&self, portal: &PortalId) -> Result<Portal, CloudError> {
        self.get("show the portal", &["v1.1", "portals", portal.as_str()]).await
    }

    /// Creates a portal.
    ///
    /// # Errors
    /// [`CloudError::Refused`] with status 409 if its subdomain is taken.
    pub async fn create_portal(&self, team: &TeamId, settings: &PortalSettings) -> Result<Portal, CloudError> {
        self.post("create a portal", &["v1", "teams", team.as_str(), "portals"], settings).await
    }

    /// Changes a portal; omitted fields stay as they are.
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn change_portal(&self, portal: &PortalId, settings: &PortalSettings) -> Result<Portal, CloudError> {
        self.put("change the portal", &["v1", "portals", portal.as_str()], settings).await
    }

    /// Removes a portal; packages received through it are kept.
    ///
    /// # Errors
    /// [`CloudError::Refused`] with status 404 if there is none.
    pub async fn remove_portal(&self, portal: &PortalId) -> Result<(), CloudError> {
        self.delete("remove the portal", &["v1", "portals", portal.as_str()]).await
    }
}
