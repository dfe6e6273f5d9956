//! Files of a package: announcing, URLs for parts, finalizing, listing, reading.
//!
//! The path of a file: [`NewFile`] announces it, the [`Blueprint`] in the response starts it in the storage, [`PartAddresses`] requests
//! the blueprints of some parts, each is sent with a `PUT`, and [`FinalizeFile`] lists them all. An empty file is one empty
//! part. Documented by the service; removing a file (`DELETE /v1/packages/{package}/files/{file}`) and the URL of its content
//! are known from its clients.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::words::words;
use crate::{Blueprint, FileId, Limits, MultipartId, Open, PackageId, PackagePath, SecretUrl, Time, lenient};

words! {
    /// The kind of an entry of a package.
    pub enum FileKind ["kind of a file"] {
        /// A file with content.
        File = "file",
        /// An empty folder; others are implied by the paths of their files.
        Directory = "directory" | "folder",
    }
}

words! {
    /// The state of a file.
    pub enum FileState ["state of a file"] {
        /// It was announced.
        New = "new",
        /// All its parts are there.
        Finalized = "finalized",
    }
}

/// `POST /v1/packages/{package}/files`: announces a file. An earlier one with the same name in the same folder that is
/// not finalized is replaced.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct NewFile {
    /// Its kind; a file by default.
    #[serde(deserialize_with = "lenient::word", skip_serializing_if = "Option::is_none")]
    pub kind: Option<FileKind>,
    /// Name: 1 to 255 bytes, without `/` and control characters. Required.
    pub name: String,
    /// Folder in the package, `/` between names; empty for its root.
    #[serde(deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// When it was last modified; now, by default.
    #[serde(deserialize_with = "lenient::modified", skip_serializing_if = "Option::is_none")]
    pub last_modified: Option<Time>,
    /// Bytes.
    #[serde(deserialize_with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Size of each part except the last, in bytes, as planned by the client. Ignored by a hub.
    #[serde(deserialize_with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub chunk_size: Option<u64>,
}

impl NewFile {
    /// A file with its path in the package, and nothing else.
    ///
    /// ```
    /// use masv_protocol::{NewFile, PackagePath};
    ///
    /// let place = PackagePath::from_relative("A001/clip.mov".as_ref()).ok_or("no name")?;
    /// let file = NewFile { size: Some(3), ..NewFile::at(&place) };
    /// assert_eq!(serde_json::to_string(&file)?, r#"{"kind":"file","name":"clip.mov","path":"A001","size":3}"#);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn at(place: &PackagePath) -> Self {
        let (name, folder) = (place.name().to_owned(), place.folder().to_owned());
        Self { kind: Some(FileKind::File), name, path: Some(folder), ..Self::default() }
    }
}

/// The response to [`NewFile`].
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct AnnouncedFile {
    /// The file as the server knows it.
    pub file: CreatedFile,
    /// How to start it in the storage.
    pub create_blueprint: Blueprint,
    /// The maximum number of parts.
    #[serde(default, deserialize_with = "lenient::field")]
    pub max_chunks_count: u64,
    /// The maximum size of a part, in bytes.
    #[serde(default, deserialize_with = "lenient::field")]
    pub max_chunk_size: u64,
    /// The minimum size of each part except the last, in bytes.
    #[serde(default, deserialize_with = "lenient::field")]
    pub min_chunk_size: u64,
}

impl AnnouncedFile {
    /// The response for an announced file, with these limits.
    #[must_use]
    pub fn new(file: CreatedFile, create_blueprint: Blueprint, limits: Limits) -> Self {
        Self {
            file,
            create_blueprint,
            max_chunks_count: limits.max_chunk_count,
            max_chunk_size: limits.max_chunk_size,
            min_chunk_size: limits.min_chunk_size,
        }
    }
}

/// A file in the response to its announcement; a client can rely only on the id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CreatedFile {
    /// The server's id.
    pub id: FileId,
    /// What it is.
    #[serde(default, deserialize_with = "lenient::field")]
    pub kind: Option<Open<FileKind>>,
    /// Name.
    #[serde(default, deserialize_with = "lenient::plain")]
    pub name: String,
    /// Folder in the package; empty for its root.
    #[serde(default, deserialize_with = "lenient::plain")]
    pub path: String,
    /// Bytes.
    #[serde(default, deserialize_with = "lenient::field")]
    pub size: u64,
    /// The package that it belongs to.
    #[serde(default, deserialize_with = "lenient::id")]
    pub package_id: Option<PackageId>,
}

/// The query of `POST /v1/packages/{package}/files/{file}`: the parts for which URLs are requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PartWindow {
    /// The first part, from 0; 0 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<u32>,
    /// How many parts; one by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
}

/// The body of `POST /v1/packages/{package}/files/{file}`, answered by a list of [`Blueprint`]s in the order of the parts. They
/// expire: request only what is sent next.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PartAddresses {
    /// The storage's id of the multipart upload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upload_id: Option<MultipartId>,
}

/// `POST /v1/packages/{package}/files/{file}/finalize`: all parts of a file are there. Answered by a [`File`]; repeating it changes
/// nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct FinalizeFile {
    /// Total size in bytes; compared with the parts, if given.
    #[serde(deserialize_with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Size of each part except the last, in bytes. Ignored by a hub.
    #[serde(deserialize_with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub chunk_size: Option<u64>,
    /// How the storage identifies the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_extras: Option<FileExtras>,
    /// The same, where some clients put it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upload_id: Option<MultipartId>,
    /// All parts.
    pub chunk_extras: Vec<ListedPart>,
}

impl FinalizeFile {
    /// The storage's id of the multipart upload, wherever it was put.
    #[must_use]
    pub fn multipart_id(&self) -> Option<&MultipartId> {
        let inner = self.file_extras.as_ref().and_then(|extras| extras.upload_id.as_ref());
        inner.or(self.upload_id.as_ref())
    }
}

/// How the storage identifies a file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct FileExtras {
    /// Its id of the multipart upload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upload_id: Option<MultipartId>,
}

/// A part as listed when its file is finalized.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListedPart {
    /// From 1; written as a string.
    #[serde(
        rename = "partNumber",
        alias = "part_number",
        alias = "PartNumber",
        serialize_with = "as_string",
        deserialize_with = "part_number"
    )]
    #[schemars(with = "String")]
    pub number: u32,
    /// The storage's ETag, verbatim.
    #[serde(alias = "ETag", alias = "eTag", alias = "Etag")]
    pub etag: String,
}

fn as_string<S: Serializer>(number: &u32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(number)
}

fn part_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let given = lenient::number(deserializer)?.and_then(|number| u32::try_from(number).ok());
    given.ok_or_else(|| serde::de::Error::custom("a part number is missing or too large"))
}

/// A file in the list of `GET /v1/packages/{package}/files`, and in the response to finalizing it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct File {
    /// The server's id.
    pub id: FileId,
    /// Its kind; a file if the server does not say.
    #[serde(default, deserialize_with = "lenient::field")]
    pub kind: Option<Open<FileKind>>,
    /// Name, as on the sender's machine: it must not be trusted.
    pub name: String,
    /// Folder in the package, not to be trusted either; empty for its root.
    #[serde(default, deserialize_with = "lenient::plain")]
    pub path: String,
    /// Bytes.
    #[serde(default, deserialize_with = "lenient::size")]
    pub size: u64,
    /// When it was last modified.
    #[serde(default, deserialize_with = "lenient::time")]
    pub last_modified: Time,
    /// Its state.
    #[serde(default, deserialize_with = "lenient::field")]
    pub state: Option<Open<FileState>>,
    /// Whether the service found a virus in it. A hub does not scan for viruses.
    #[serde(default, deserialize_with = "lenient::field")]
    pub virus_detected: bool,
}

impl File {
    /// Whether it is an empty folder.
    #[must_use]
    pub fn is_directory(&self) -> bool {
        self.kind.as_ref().is_some_and(|kind| *kind == FileKind::Directory)
    }
}

/// The response of `GET /v1/packages/{package}/files/{file}/download`: a temporary URL for reading a file, with range requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileAddress {
    /// The presigned URL.
    pub url: SecretUrl,
}
