//! Packages and the files in them.

use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::types::text;
use super::{Blueprint, Call, Cloud, CloudError, NO_BODY, ask, tell};

/// A package to be made for a team.
#[derive(Debug, Clone, Default)]
pub struct NewPackage {
    /// Name.
    pub name: String,
    /// Message to the recipients.
    pub description: Option<String>,
    /// Addresses to mail; empty for links only.
    pub recipients: Vec<String>,
    /// What recipients must type.
    pub password: Option<SecretString>,
    /// How often it may be downloaded.
    pub access_limit: Option<u64>,
    /// Days until it is deleted.
    pub expiry_days: Option<u32>,
    /// Kept until somebody deletes it.
    pub unlimited_storage: bool,
    /// Tag by id.
    pub tag_id: Option<String>,
    /// Tag by name.
    pub tag_name: Option<String>,
    /// Teamspace.
    pub teamspace_id: Option<String>,
}

impl NewPackage {
    fn body(&self) -> Value {
        let mut body = json!({
            "name": self.name,
            "description": self.description.as_deref().unwrap_or_default(),
            "recipients": self.recipients,
        });
        let mut set = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                body[key] = value;
            }
        };
        set("password", self.password.as_ref().map(|password| json!(password.expose_secret())));
        set("access_limit", self.access_limit.map(Value::from));
        set("custom_expiry_days", self.expiry_days.map(Value::from));
        set("unlimited_storage", self.unlimited_storage.then_some(Value::Bool(true)));
        let tag = match (&self.tag_id, &self.tag_name) {
            (Some(id), _) => Some(json!({ "id": id })),
            (None, Some(name)) => Some(json!({ "name": name })),
            (None, None) => None,
        };
        set("tag", tag);
        set("teamspace_id", self.teamspace_id.clone().map(Value::from));
        body
    }
}

/// A package that was made.
#[derive(Debug, Deserialize)]
pub struct CreatedPackage {
    /// The cloud's id.
    #[serde(deserialize_with = "text")]
    pub id: String,
    /// Authorises every call about the package.
    pub access_token: SecretString,
}

/// A package and the right to change it.
#[derive(Debug, Clone, Copy)]
pub struct PackageAccess<'a> {
    /// The cloud's id.
    pub id: &'a str,
    /// Its access token.
    pub token: &'a SecretString,
}

/// A file to be announced.
#[derive(Debug, Clone, Serialize)]
pub struct NewFile<'a> {
    /// Always `file`: folders are made by the paths of their files.
    pub kind: &'static str,
    /// Name.
    pub name: &'a str,
    /// Folder in the package; empty for its root.
    pub path: &'a str,
    /// RFC 3339.
    pub last_modified: String,
    /// Bytes.
    pub size: u64,
    /// Bytes of each part but the last.
    pub chunk_size: u64,
}

/// A file that was announced.
#[derive(Debug, Deserialize)]
pub struct CreatedFile {
    /// What the cloud knows it by.
    pub file: CreatedFileId,
    /// How to begin it in the storage.
    pub create_blueprint: Blueprint,
}

/// The id of a file that was announced.
#[derive(Debug, Deserialize)]
pub struct CreatedFileId {
    /// The cloud's id.
    #[serde(deserialize_with = "text")]
    pub id: String,
}

/// A part as it is listed when its file is closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentPart<'a> {
    /// From 1.
    pub number: u32,
    /// The storage's tag, verbatim.
    pub etag: &'a str,
}

/// What closes a file.
#[derive(Debug, Clone)]
pub struct FinalizeFile<'a> {
    /// The cloud's id of the file.
    pub file_id: &'a str,
    /// Bytes.
    pub size: u64,
    /// Bytes of each part but the last.
    pub chunk_size: u64,
    /// The storage's id of the multipart upload.
    pub multipart_id: &'a str,
    /// All parts, by number.
    pub parts: Vec<SentPart<'a>>,
}

/// What the cloud accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Parts of a file.
    pub max_chunk_count: u64,
    /// Bytes of a part.
    pub max_chunk_size: u64,
    /// Bytes of a part that is not the last.
    pub min_chunk_size: u64,
}

impl Default for Limits {
    /// Those of S3, on which the service stands.
    fn default() -> Self {
        Self { max_chunk_count: 10_000, max_chunk_size: 5 << 30, min_chunk_size: 5 << 20 }
    }
}

impl Cloud {
    /// What the cloud accepts.
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn limits(&self) -> Result<Limits, CloudError> {
        ask(Call::Limits, self.open_request(Method::GET, &["v1", "system", "packages", "spec"])?, NO_BODY).await
    }

    /// Makes a package for `team`.
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn create_package(&self, team: &str, package: &NewPackage) -> Result<CreatedPackage, CloudError> {
        let request = self.team_request(Method::POST, &["v1", "teams", team, "packages"])?;
        ask(Call::CreatePackage, request, Some(&package.body())).await
    }

    /// Announces a file.
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn create_file(&self, package: PackageAccess<'_>, file: &NewFile<'_>) -> Result<CreatedFile, CloudError> {
        let request = self.package_request(Method::POST, &["v1", "packages", package.id, "files"], package.token)?;
        ask(Call::CreateFile, request, Some(file)).await
    }

    /// Addresses for `count` parts of a file from part number `first` (from 1) on, in order. They expire: ask for
    /// what is sent next only.
    ///
    /// # Errors
    /// See [`CloudError`]; [`CloudError::Garbled`] when there are not as many as were asked for.
    pub async fn part_addresses(
        &self,
        package: PackageAccess<'_>,
        file_id: &str,
        multipart_id: &str,
        first: u32,
        count: u32,
    ) -> Result<Vec<Blueprint>, CloudError> {
        let path = ["v1", "packages", package.id, "files", file_id];
        let request = self
            .package_request(Method::POST, &path, package.token)?
            .query(&[("start", first.saturating_sub(1)), ("count", count)]);
        let call = Call::PartAddresses;
        let blueprints: Vec<Blueprint> = ask(call, request, Some(&json!({ "upload_id": multipart_id }))).await?;
        if blueprints.len() == count as usize {
            Ok(blueprints)
        } else {
            let reason = format!("{} addresses instead of {count}", blueprints.len());
            Err(CloudError::Garbled { call, reason })
        }
    }

    /// Closes a file: the cloud has all its parts.
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn finalize_file(&self, package: PackageAccess<'_>, file: &FinalizeFile<'_>) -> Result<(), CloudError> {
        let path = ["v1", "packages", package.id, "files", file.file_id, "finalize"];
        let parts: Vec<Value> =
            file.parts.iter().map(|part| json!({ "partNumber": part.number.to_string(), "etag": part.etag })).collect();
        let body = json!({
            "size": file.size,
            "chunk_size": file.chunk_size,
            "file_extras": { "upload_id": file.multipart_id },
            "chunk_extras": parts,
        });
        tell(Call::FinalizeFile, self.package_request(Method::POST, &path, package.token)?, Some(&body)).await
    }

    /// Closes a package: its recipients are told.
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn finalize_package(&self, package: PackageAccess<'_>) -> Result<(), CloudError> {
        let path = ["v1", "packages", package.id, "finalize"];
        let request = self.package_request(Method::POST, &path, package.token)?;
        tell(Call::FinalizePackage, request, Some(&json!({}))).await
    }

    /// Removes a file from a package that is not finalized.
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn remove_file(&self, package: PackageAccess<'_>, file_id: &str) -> Result<(), CloudError> {
        let path = ["v1", "packages", package.id, "files", file_id];
        tell(Call::RemoveFile, self.package_request(Method::DELETE, &path, package.token)?, NO_BODY).await
    }

    /// Removes a package.
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn remove_package(&self, package: PackageAccess<'_>) -> Result<(), CloudError> {
        let request = self.package_request(Method::DELETE, &["v1", "packages", package.id], package.token)?;
        tell(Call::RemovePackage, request, NO_BODY).await
    }
}
