//! Files of a package: announcing, addresses for parts, finalizing, listing, reading.
//!
//! The way of a file: [`NewFile`] announces it, the [`Blueprint`] of the answer begins it in the storage, [`PartAddresses`] asks
//! for the blueprints of some parts, each is sent with a `PUT`, and [`FinalizeFile`] lists them all. An empty file is one empty
//! part. Documented by the service; removing a file (`DELETE /v1/packages/{package}/files/{file}`) and the address of its content
//! are known from its clients.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::words::words;
use crate::{Blueprint, FileId, Limits, MultipartId, Open, PackageId, PackagePath, SecretUrl, Time, lenient};

words! {
    /// What an entry of a package is.
    pub enum FileKind ["kind of a file"] {
        /// A file with content.
        File = "file",
        /// An empty folder; the others are made by the paths of their files.
        Directory = "directory" | "folder",
    }
}

words! {
    /// What state a file is in.
    pub enum FileState ["state of a file"] {
        /// It was announced.
        New = "new",
        /// All its parts are there.
        Finalized = "finalized",
    }
}

/// `POST /v1/packages/{package}/files`: announces a file. One of the same name in the same folder that was announced before, but
/// not finalized, is forgotten.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct NewFile {
    /// What it is; a file where it is left out.
    #[serde(deserialize_with = "lenient::word", skip_serializing_if = "Option::is_none")]
    pub kind: Option<FileKind>,
    /// Name: 1 to 255 bytes, without `/` and control characters. Required.
    pub name: String,
    /// Folder in the package, `/` between names; empty for its root.
    #[serde(deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// When it was last changed; now, where it is left out.
    #[serde(deserialize_with = "lenient::modified", skip_serializing_if = "Option::is_none")]
    pub last_modified: Option<Time>,
    /// Bytes.
    #[serde(deserialize_with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Bytes of each part but the last, as the client plans. A hub does not read it.
    #[serde(deserialize_with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub chunk_size: Option<u64>,
}

impl NewFile {
    /// A file with its place in the package; the rest is left out.
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

/// The answer to [`NewFile`].
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct AnnouncedFile {
    /// What the server knows it by.
    pub file: CreatedFile,
    /// How to begin it in the storage.
    pub create_blueprint: Blueprint,
    /// The most parts that it may have.
    #[serde(default, deserialize_with = "lenient::field")]
    pub max_chunks_count: u64,
    /// The most bytes of a part.
    #[serde(default, deserialize_with = "lenient::field")]
    pub max_chunk_size: u64,
    /// The fewest bytes of a part that is not the last.
    #[serde(default, deserialize_with = "lenient::field")]
    pub min_chunk_size: u64,
}

impl AnnouncedFile {
    /// The answer for a file that was announced, under these limits.
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

/// A file in the answer to its announcement; a client must expect the id alone.
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

/// The query of `POST /v1/packages/{package}/files/{file}`: which parts addresses are wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PartWindow {
    /// The first part, from 0; the first of all where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<u32>,
    /// How many parts; one where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
}

/// The body of `POST /v1/packages/{package}/files/{file}`, answered by a list of [`Blueprint`]s in the order of the parts. They
/// expire: ask for what is sent next only.
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
    /// Bytes of the whole; compared with the parts where it is given.
    #[serde(deserialize_with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Bytes of each part but the last. A hub does not read it.
    #[serde(deserialize_with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub chunk_size: Option<u64>,
    /// What the storage knows the file by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_extras: Option<FileExtras>,
    /// The same where some clients put it.
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

/// What the storage knows a file by.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct FileExtras {
    /// Its id of the multipart upload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upload_id: Option<MultipartId>,
}

/// A part as it is listed when its file is finalized.
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
    /// The storage's tag, verbatim.
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

/// A file in the answer of `GET /v1/packages/{package}/files`, a list, and of finalizing it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct File {
    /// The server's id.
    pub id: FileId,
    /// What it is; a file where its server does not say.
    #[serde(default, deserialize_with = "lenient::field")]
    pub kind: Option<Open<FileKind>>,
    /// Name, as the sender's machine had it: nothing about it is safe.
    pub name: String,
    /// Folder in the package, as unsafe as the name; empty for its root.
    #[serde(default, deserialize_with = "lenient::plain")]
    pub path: String,
    /// Bytes.
    #[serde(default, deserialize_with = "lenient::size")]
    pub size: u64,
    /// When it was last changed.
    #[serde(default, deserialize_with = "lenient::time")]
    pub last_modified: Time,
    /// What state it is in.
    #[serde(default, deserialize_with = "lenient::field")]
    pub state: Option<Open<FileState>>,
    /// Whether the service found a virus in it. A hub does not look for any.
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

/// The answer of `GET /v1/packages/{package}/files/{file}/download`: where a file can be read for a while, in ranges.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileAddress {
    /// The presigned address.
    pub url: SecretUrl,
}
