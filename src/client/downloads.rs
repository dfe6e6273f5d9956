//! The other direction: opening a link, listing a package, reading its files in ranges.

use bytes::Bytes;
use jiff::Timestamp;
use reqwest::header::{ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG, RANGE};
use reqwest::{Method, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::types::text;
use super::{Call, Cloud, CloudError, LARGEST_ERROR, NO_BODY, PackageAccess, ask, read_answer};

/// A link that was opened: the right to read its package.
#[derive(Debug, Clone, Deserialize)]
pub struct OpenedLink {
    /// Name of the package.
    #[serde(default)]
    pub name: String,
    /// The cloud's id of the package.
    #[serde(deserialize_with = "text")]
    pub package_id: String,
    /// Authorises reading the package.
    pub package_token: SecretString,
}

/// A file of a package, as the cloud lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedFile {
    /// The cloud's id.
    pub id: String,
    /// Folder and name as the sender's machine had them: nothing about them is safe.
    pub folder: String,
    /// Name.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// When it was last changed, where the cloud says so in a way that makes sense.
    pub modified: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(deserialize_with = "text")]
    id: String,
    #[serde(default)]
    kind: Option<String>,
    name: String,
    #[serde(default)]
    path: Option<String>,
    #[serde(default)]
    size: Option<u64>,
    #[serde(default)]
    last_modified: Value,
}

impl Entry {
    fn is_file(&self) -> bool {
        !matches!(self.kind.as_deref(), Some("directory" | "folder"))
    }
}

impl From<Entry> for ListedFile {
    fn from(entry: Entry) -> Self {
        let modified = match &entry.last_modified {
            Value::String(text) => text.parse::<Timestamp>().ok(),
            Value::Number(milliseconds) => milliseconds.as_i64().and_then(|at| Timestamp::from_millisecond(at).ok()),
            _ => None,
        };
        Self {
            id: entry.id,
            folder: entry.path.unwrap_or_default(),
            name: entry.name,
            size: entry.size.unwrap_or_default(),
            // Clouds that do not know write the year 1, or the epoch.
            modified: modified.filter(|at| *at > Timestamp::UNIX_EPOCH),
        }
    }
}

/// Where a file can be read for a while; it carries its own authorisation.
#[derive(Clone, Deserialize)]
pub struct FileAddress {
    url: Url,
}

impl std::fmt::Debug for FileAddress {
    /// Without the query, where the signature is.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}{}", self.url.authority(), self.url.path())
    }
}

impl FileAddress {
    /// The storage's host and port: failures of one host are no failures of another.
    #[must_use]
    pub fn host(&self) -> String {
        self.url.authority().to_owned()
    }
}

/// The beginning of an answer of the storage; the bytes follow with [`Incoming::next`].
#[derive(Debug)]
pub struct Incoming {
    /// Bytes of the whole file, where the storage says so.
    pub total: Option<u64>,
    /// The storage's tag of the file.
    pub etag: Option<String>,
    /// The first byte that comes.
    pub offset: u64,
    /// Whether the whole file comes, whatever was asked for.
    pub whole: bool,
    response: Response,
}

impl Incoming {
    /// The next bytes; `None` after the last.
    ///
    /// # Errors
    /// [`CloudError::Unreachable`] when the connection is cut.
    pub async fn next(&mut self) -> Result<Option<Bytes>, CloudError> {
        self.response.chunk().await.map_err(|error| CloudError::transport(Call::ReceivePart, &error))
    }
}

impl Cloud {
    /// Opens a link.
    ///
    /// # Errors
    /// [`CloudError::Refused`]: 401 without the right password, 403 beyond its limit, 404 for an unknown one, 410 when expired.
    pub async fn open_link(
        &self,
        id: &str,
        secret: &SecretString,
        password: Option<&SecretString>,
    ) -> Result<OpenedLink, CloudError> {
        let request = self.open_request(Method::GET, &["v1", "links", id])?;
        let mut request = request.query(&[("secret", secret.expose_secret())]);
        if let Some(password) = password {
            request = request.header("X-Link-Password", password.expose_secret());
        }
        ask(Call::OpenLink, request, NO_BODY).await
    }

    /// The files of a package, folders left out.
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn package_files(&self, package: PackageAccess<'_>) -> Result<Vec<ListedFile>, CloudError> {
        let request = self.package_request(Method::GET, &["v1", "packages", package.id, "files"], package.token)?;
        let entries: Vec<Entry> = ask(Call::ListFiles, request, NO_BODY).await?;
        Ok(entries.into_iter().filter(Entry::is_file).map(ListedFile::from).collect())
    }

    /// Where a file can be read.
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn file_address(&self, package: PackageAccess<'_>, file: &str) -> Result<FileAddress, CloudError> {
        let path = ["v1", "packages", package.id, "files", file, "download"];
        let request = self.package_request(Method::GET, &path, package.token)?;
        let address: FileAddress = ask(Call::FileAddress, request, NO_BODY).await?;
        if matches!(address.url.scheme(), "http" | "https") {
            Ok(address)
        } else {
            let reason = "an address that is not HTTP".to_owned();
            Err(CloudError::Garbled { call: Call::FileAddress, reason })
        }
    }

    /// Asks for `length` bytes from `offset` on; a storage that knows no ranges begins with the first. How long it
    /// may take is the caller's business.
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn receive(&self, address: &FileAddress, offset: u64, length: u64) -> Result<Incoming, CloudError> {
        let call = Call::ReceivePart;
        let last = offset.saturating_add(length).saturating_sub(1);
        let request = self.shared.storage.get(address.url.clone());
        let request = request.header(RANGE, format!("bytes={offset}-{last}")).header(ACCEPT_ENCODING, "identity");
        let response = request.send().await.map_err(|error| CloudError::transport(call, &error))?;
        let status = response.status();
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let etag = header(ETAG);
        let garbled = |reason: &str| CloudError::Garbled { call, reason: reason.to_owned() };
        match status {
            StatusCode::PARTIAL_CONTENT => {
                let range = header(CONTENT_RANGE).ok_or_else(|| garbled("a part without Content-Range"))?;
                let (offset, total) = content_range(&range).ok_or_else(|| garbled("a Content-Range that is none"))?;
                Ok(Incoming { total, etag, offset, whole: false, response })
            }
            StatusCode::OK => {
                let total = header(CONTENT_LENGTH).and_then(|length| length.parse().ok());
                Ok(Incoming { total, etag, offset: 0, whole: true, response })
            }
            status if status.is_success() || status.is_redirection() => {
                Err(CloudError::refusal(call, status.as_u16(), None, b"{\"message\":\"an answer without the file\"}"))
            }
            _ => match read_answer(call, response, LARGEST_ERROR).await {
                Ok(_) => Err(garbled("an answer that is no answer")),
                Err(error) => Err(error),
            },
        }
    }
}

/// First byte and size of the whole out of `bytes 0-9/100`.
fn content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, _) = range.split_once('-')?;
    Some((first.trim().parse().ok()?, total.trim().parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_part_begins_and_how_large_the_whole_is() {
        assert_eq!(content_range("bytes 5-9/100"), Some((5, Some(100))));
        assert_eq!(content_range("bytes 0-0/*"), Some((0, None)));
        for bad in ["", "bytes */5", "lines 0-1/2", "bytes a-b/c"] {
            assert_eq!(content_range(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_listing_is_read_however_it_is_spelled() {
        let entry = |json: &str| ListedFile::from(serde_json::from_str::<Entry>(json).unwrap());
        let full =
            entry(r#"{"id":7,"kind":"file","name":"a","path":"b","size":3,"last_modified":"2024-01-02T03:04:05Z"}"#);
        assert_eq!((full.id.as_str(), full.folder.as_str(), full.size), ("7", "b", 3));
        assert_eq!(full.modified, "2024-01-02T03:04:05Z".parse().ok());
        let bare = entry(r#"{"id":"x","name":"a","path":null,"last_modified":"0001-01-01T00:00:00Z"}"#);
        assert_eq!((bare.folder.as_str(), bare.size, bare.modified), ("", 0, None));
    }
}
