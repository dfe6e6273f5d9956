//! Packages of a team, their files and their links.

use masv_protocol::{
    Download, File, Link, LinkId, LinkSettings, Package, PackageExpiry, PackageId, PackageQuery, PackageWithToken,
    Page, TeamId,
};
use reqwest::Method;

use super::Admin;
use crate::{CloudError, NO_BODY};

impl Admin {
    /// A page of the packages that a team sent.
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn sent_packages(&self, team: &TeamId, query: &PackageQuery) -> Result<Page<Package>, CloudError> {
        let path = ["v1.1", "teams", team.as_str(), "packages"];
        self.call("list the packages", Method::GET, &path, &query.pairs(), NO_BODY).await
    }

    /// A page of the packages received through a team's portals.
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn received_packages(&self, team: &TeamId, query: &PackageQuery) -> Result<Page<Package>, CloudError> {
        let path = ["v1.1", "teams", team.as_str(), "inbox"];
        self.call("list the inbox", Method::GET, &path, &query.pairs(), NO_BODY).await
    }

    /// A package of a team, with the token to change it.
    ///
    /// # Errors
    /// [`CloudError::Refused`] with status 404 if there is none.
    pub async fn package(&self, team: &TeamId, package: &PackageId) -> Result<PackageWithToken, CloudError> {
        self.get("show the package", &["v1.1", "teams", team.as_str(), "packages", package.as_str()]).await
    }

    /// The files of a package.
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn files(&self, package: &PackageId) -> Result<Vec<File>, CloudError> {
        self.get("list the files", &["v1", "packages", package.as_str(), "files"]).await
    }

    /// Changes when a package expires.
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn set_package_expiry(&self, package: &PackageId, until: &PackageExpiry) -> Result<Package, CloudError> {
        self.put("change the package", &["v1", "packages", package.as_str(), "expiry"], until).await
    }

    /// Revokes all issued tokens of a package.
    ///
    /// # Errors
    /// [`CloudError::Refused`] with status 404 if there is none.
    pub async fn end_package_tokens(&self, package: &PackageId) -> Result<(), CloudError> {
        self.delete("revoke the tokens of the package", &["v1", "packages", package.as_str(), "tokens"]).await
    }

    /// Removes a package with its files and links.
    ///
    /// # Errors
    /// [`CloudError::Refused`] with status 404 if there is none.
    pub async fn remove_package(&self, package: &PackageId) -> Result<(), CloudError> {
        self.delete("remove the package", &["v1", "packages", package.as_str()]).await
    }

    /// The links to a package.
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn links(&self, package: &PackageId) -> Result<Vec<Link>, CloudError> {
        self.get("list the links", &["v1", "packages", package.as_str(), "links"]).await
    }

    /// The downloads of a package, newest first.
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn downloads(&self, package: &PackageId) -> Result<Vec<Download>, CloudError> {
        self.get("list the downloads", &["v1", "packages", package.as_str(), "downloads"]).await
    }

    /// Creates a link to a package, and e-mails it if the settings have an address.
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn create_link(&self, package: &PackageId, settings: &LinkSettings) -> Result<Link, CloudError> {
        self.post("create a link", &["v1", "packages", package.as_str(), "links"], settings).await
    }

    /// One link.
    ///
    /// # Errors
    /// [`CloudError::Refused`] with status 404 if there is none.
    pub async fn link(&self, link: &LinkId) -> Result<Link, CloudError> {
        self.get("show the link", &["v1.1", "links", link.as_str()]).await
    }

    /// Changes a link; omitted fields stay as they are.
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn change_link(&self, link: &LinkId, settings: &LinkSettings) -> Result<Link, CloudError> {
        self.put("change the link", &["v1", "links", link.as_str()], settings).await
    }

    /// Removes a link.
    ///
    /// # Errors
    /// [`CloudError::Refused`] with status 404 if there is none.
    pub async fn remove_link(&self, link: &LinkId) -> Result<(), CloudError> {
        self.delete("remove the link", &["v1", "links", link.as_str()]).await
    }
}
