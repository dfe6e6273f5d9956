//! The other direction: opening a link, listing a package, reading its files in ranges.

use bytes::Bytes;
use masv_protocol::{
    ConfirmDownload, ConfirmedDownload, File, FileAddress, FileId, LINK_PASSWORD_HEADER, LinkId, LinkQuery, OpenedLink,
    SecretUrl,
};
use reqwest::header::{ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG, RANGE};
use reqwest::{Method, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};

use super::storage::presigned;
use super::{Call, Cloud, CloudError, LARGEST_ERROR, NO_BODY, PackageAccess, ask, read_answer};

/// The head of a response of the storage; the bytes follow with [`Incoming::next`].
#[derive(Debug)]
pub struct Incoming {
    /// Size of the whole file in bytes, if the storage reports it.
    pub total: Option<u64>,
    /// The storage's ETag of the file.
    pub etag: Option<String>,
    /// The offset of the first byte.
    pub offset: u64,
    /// Whether the whole file is sent, whatever was requested.
    pub whole: bool,
    response: Response,
}

impl Incoming {
    /// The next bytes; `None` after the last.
    ///
    /// # Errors
    /// [`CloudError::Unreachable`] if the connection is cut.
    pub async fn next(&mut self) -> Result<Option<Bytes>, CloudError> {
        self.response.chunk().await.map_err(|error| CloudError::transport(Call::ReceivePart, &error))
    }
}

impl Cloud {
    /// Opens a link.
    ///
    /// # Errors
    /// [`CloudError::Refused`]: 401 without the right password, 403 beyond its limit, 404 for an unknown one, 410 if expired.
    pub async fn open_link(
        &self,
        id: &LinkId,
        secret: &SecretString,
        password: Option<&SecretString>,
    ) -> Result<OpenedLink, CloudError> {
        let request = self.open_request(Method::GET, &["v1", "links", id.as_str()])?;
        let mut request = request.query(&LinkQuery { secret: secret.clone().into() });
        if let Some(password) = password {
            request = request.header(LINK_PASSWORD_HEADER, password.expose_secret());
        }
        ask(Call::OpenLink, request, NO_BODY).await
    }

    /// The files of a package, without folders.
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn package_files(&self, package: PackageAccess<'_>) -> Result<Vec<File>, CloudError> {
        let path = ["v1", "packages", package.id.as_str(), "files"];
        let request = self.package_request(Method::GET, &path, package.token)?;
        let mut files: Vec<File> = ask(Call::ListFiles, request, NO_BODY).await?;
        files.retain(|file| !file.is_directory());
        Ok(files)
    }

    /// A temporary URL for reading a file; it contains its own authorisation.
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn file_address(&self, package: PackageAccess<'_>, file: &FileId) -> Result<SecretUrl, CloudError> {
        let path = ["v1", "packages", package.id.as_str(), "files", file.as_str(), "download"];
        let request = self.package_request(Method::GET, &path, package.token)?;
        let FileAddress { url } = ask(Call::FileAddress, request, NO_BODY).await?;
        presigned(Call::FileAddress, &url)?;
        Ok(url)
    }

    /// Confirms that these files of a package (none: all of them) have arrived, where the cloud asks for that.
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn confirm_download(&self, package: PackageAccess<'_>, files: Vec<FileId>) -> Result<(), CloudError> {
        if !self.limits().await?.confirm_downloads {
            return Ok(());
        }
        let path = ["v1", "packages", package.id.as_str(), "downloads"];
        let request = self.package_request(Method::POST, &path, package.token)?;
        let _: ConfirmedDownload = ask(Call::ConfirmDownload, request, Some(&ConfirmDownload { files })).await?;
        Ok(())
    }

    /// Requests `length` bytes from `offset`; a storage without range requests starts with the first byte. The caller decides how long it
    /// may take.
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn receive(&self, address: &SecretUrl, offset: u64, length: u64) -> Result<Incoming, CloudError> {
        let call = Call::ReceivePart;
        let last = offset.saturating_add(length).saturating_sub(1);
        let request = self.shared.storage.get(presigned(call, address)?);
        let request = request.header(RANGE, format!("bytes={offset}-{last}")).header(ACCEPT_ENCODING, "identity");
        let response = request.send().await.map_err(|error| CloudError::transport(call, &error))?;
        let status = response.status();
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let etag = header(ETAG);
        let garbled = |reason: &str| CloudError::Garbled { call, reason: reason.to_owned() };
        match status {
            StatusCode::PARTIAL_CONTENT => {
                let range = header(CONTENT_RANGE).ok_or_else(|| garbled("a part without Content-Range"))?;
                let (offset, total) = content_range(&range).ok_or_else(|| garbled("an invalid Content-Range"))?;
                Ok(Incoming { total, etag, offset, whole: false, response })
            }
            StatusCode::OK => {
                let total = header(CONTENT_LENGTH).and_then(|length| length.parse().ok());
                Ok(Incoming { total, etag, offset: 0, whole: true, response })
            }
            status if status.is_success() || status.is_redirection() => {
                Err(CloudError::refusal(call, status.as_u16(), None, b"{\"message\":\"a response without the file\"}"))
            }
            _ => match read_answer(call, response, LARGEST_ERROR).await {
                Ok(_) => Err(garbled("an invalid response")),
                Err(error) => Err(error),
            },
        }
    }
}

/// First byte and total size from `bytes 0-9/100`.
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
}
