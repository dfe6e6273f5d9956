//! Packages and the files in them.

use masv_protocol::{
    AnnouncedFile, Blueprint, ChangePackage, Empty, FileId, FinalizeFile, IDEMPOTENCY_HEADER, Limits, MultipartId,
    NewFile, NewPackage, PackageId, PackageWithToken, PartAddresses, PartWindow, TeamId,
};
use reqwest::Method;
use secrecy::SecretString;

use super::storage::presigned;
use super::{Call, Cloud, CloudError, NO_BODY, ask, tell};

/// A package and the token to read or fill it.
#[derive(Debug, Clone, Copy)]
pub struct PackageAccess<'a> {
    /// The cloud's id.
    pub id: &'a PackageId,
    /// Its access token, or the token from an opened link.
    pub token: &'a SecretString,
}

impl<'a> From<&'a PackageWithToken> for PackageAccess<'a> {
    fn from(made: &'a PackageWithToken) -> Self {
        Self { id: &made.package.id, token: made.access_token.as_ref() }
    }
}

impl Cloud {
    /// The cloud's limits.
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn limits(&self) -> Result<Limits, CloudError> {
        ask(Call::Limits, self.open_request(Method::GET, &["v1", "system", "packages", "spec"])?, NO_BODY).await
    }

    /// Creates a package for `team`. A hub makes no other one where the call is repeated with the same `key`.
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn create_package(
        &self,
        team: &TeamId,
        package: &NewPackage,
        key: &str,
    ) -> Result<PackageWithToken, CloudError> {
        let request = self.team_request(Method::POST, &["v1", "teams", team.as_str(), "packages"])?;
        let request = request.header(IDEMPOTENCY_HEADER, key);
        ask(Call::CreatePackage, request, Some(package)).await
    }

    /// Announces a file.
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn create_file(&self, package: PackageAccess<'_>, file: &NewFile) -> Result<AnnouncedFile, CloudError> {
        let path = ["v1", "packages", package.id.as_str(), "files"];
        let request = self.package_request(Method::POST, &path, package.token)?;
        let announced: AnnouncedFile = ask(Call::CreateFile, request, Some(file)).await?;
        presigned(Call::CreateFile, &announced.create_blueprint.url)?;
        Ok(announced)
    }

    /// URLs for `count` parts of a file from part number `first` (from 1), in order. They expire: request only
    /// what is sent next.
    ///
    /// # Errors
    /// See [`CloudError`]; [`CloudError::Garbled`] if there are not as many as requested.
    pub async fn part_addresses(
        &self,
        package: PackageAccess<'_>,
        file: &FileId,
        multipart: &MultipartId,
        first: u32,
        count: u32,
    ) -> Result<Vec<Blueprint>, CloudError> {
        let call = Call::PartAddresses;
        let path = ["v1", "packages", package.id.as_str(), "files", file.as_str()];
        let window = PartWindow { start: Some(first.saturating_sub(1)), count: Some(count) };
        let request = self.package_request(Method::POST, &path, package.token)?.query(&window);
        let body = PartAddresses { upload_id: Some(multipart.clone()) };
        let blueprints: Vec<Blueprint> = ask(call, request, Some(&body)).await?;
        if blueprints.len() != count as usize {
            let reason = format!("{} URLs instead of {count}", blueprints.len());
            return Err(CloudError::Garbled { call, reason });
        }
        for blueprint in &blueprints {
            presigned(call, &blueprint.url)?;
        }
        Ok(blueprints)
    }

    /// Finalizes a file: the cloud has all its parts.
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn finalize_file(
        &self,
        package: PackageAccess<'_>,
        file: &FileId,
        parts: &FinalizeFile,
    ) -> Result<(), CloudError> {
        let path = ["v1", "packages", package.id.as_str(), "files", file.as_str(), "finalize"];
        tell(Call::FinalizeFile, self.package_request(Method::POST, &path, package.token)?, Some(parts)).await
    }

    /// Finalizes a package: its recipients are notified.
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn finalize_package(&self, package: PackageAccess<'_>) -> Result<(), CloudError> {
        let path = ["v1", "packages", package.id.as_str(), "finalize"];
        let request = self.package_request(Method::POST, &path, package.token)?;
        tell(Call::FinalizePackage, request, Some(&Empty {})).await
    }

    /// Gives a package another message to its recipients.
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn describe_package(&self, package: PackageAccess<'_>, description: String) -> Result<(), CloudError> {
        let path = ["v1", "packages", package.id.as_str()];
        let change = ChangePackage { description: Some(description), ..ChangePackage::default() };
        tell(Call::ChangePackage, self.package_request(Method::PUT, &path, package.token)?, Some(&change)).await
    }

    /// Removes a file from a package that is not finalized.
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn remove_file(&self, package: PackageAccess<'_>, file: &FileId) -> Result<(), CloudError> {
        let path = ["v1", "packages", package.id.as_str(), "files", file.as_str()];
        tell(Call::RemoveFile, self.package_request(Method::DELETE, &path, package.token)?, NO_BODY).await
    }

    /// Removes a package.
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn remove_package(&self, package: PackageAccess<'_>) -> Result<(), CloudError> {
        let path = ["v1", "packages", package.id.as_str()];
        tell(Call::RemovePackage, self.package_request(Method::DELETE, &path, package.token)?, NO_BODY).await
    }
}
