//! Puts whole files into the bucket: those of a hub that is moved there.

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use masv_protocol::{FileId, MultipartId, PackageId};
use md5::{Digest, Md5};
use rusty_s3::S3Action;
use rusty_s3::actions::CreateMultipartUpload;

use super::calls::{garbled, text};
use super::{Bucket, OWN_CALL, S3Error};
use crate::storage::StorageError;

/// Bytes of a part that is sent at once, unless that would make too many.
const PART: u64 = 16 << 20;
/// Parts of an upload, at most.
const MOST_PARTS: u64 = 10_000;

impl Bucket {
    /// Stores a file of `size` bytes with this content, and makes sure that the bucket has what was sent. Returns its tag there.
    pub(crate) async fn put_file<S>(
        &self,
        (package, file): (&PackageId, &FileId),
        size: u64,
        content: S,
    ) -> Result<String, StorageError>
    where
        S: Stream<Item = std::io::Result<Bytes>> + Send + Unpin,
    {
        let part = PART.max(size.div_ceil(MOST_PARTS));
        let mut pieces = Pieces { content, rest: Bytes::new(), left: size };
        if size <= part {
            let whole = pieces.next(part).await?;
            self.put_whole((package, file), whole).await?;
        } else {
            let upload = self.begin(package, file).await?;
            let sent = self.put_parts((package, file, &upload), part, pieces).await;
            if let Err(error) = sent {
                let _ = self.abort(package, file, &upload).await;
                return Err(error);
            }
        }
        match self.stored(package, file).await? {
            Some(stored) if stored.size == size => Ok(stored.etag),
            _ => Err(S3Error::Garbled("what was put there is not there".to_owned()).into()),
        }
    }

    async fn put_whole(&self, (package, file): (&PackageId, &FileId), whole: Bytes) -> Result<(), S3Error> {
        let key = self.key(package, file);
        let address = || self.shared.own.put_object(Some(&self.shared.credentials), &key).sign(OWN_CALL);
        let response = self.call(|| self.shared.http.put(address()).body(whole.clone())).await?;
        check_tag(&response, &whole)
    }

    async fn begin(&self, package: &PackageId, file: &FileId) -> Result<MultipartId, S3Error> {
        let key = self.key(package, file);
        let address = || self.shared.own.create_multipart_upload(Some(&self.shared.credentials), &key).sign(OWN_CALL);
        let answer = text(self.call(|| self.shared.http.post(address())).await?).await?;
        let begun = CreateMultipartUpload::parse_response(&answer).map_err(|error| garbled(&error))?;
        Ok(MultipartId::new(begun.upload_id()))
    }

    async fn put_parts<S>(
        &self,
        (package, file, upload): (&PackageId, &FileId, &MultipartId),
        part: u64,
        mut pieces: Pieces<S>,
    ) -> Result<(), StorageError>
    where
        S: Stream<Item = std::io::Result<Bytes>> + Send + Unpin,
    {
        let (key, mut tags) = (self.key(package, file), Vec::new());
        for number in 1..=u16::MAX {
            if pieces.left == 0 {
                break;
            }
            let bytes = pieces.next(part).await?;
            let credentials = Some(&self.shared.credentials);
            let address = || self.shared.own.upload_part(credentials, &key, number, upload.as_str()).sign(OWN_CALL);
            let response = self.call(|| self.shared.http.put(address()).body(bytes.clone())).await?;
            check_tag(&response, &bytes)?;
            tags.push(hex::encode(Md5::digest(&bytes)));
        }
        Ok(self.complete(package, file, upload, &tags).await?)
    }
}

/// The bytes of a file, in pieces of our size.
struct Pieces<S> {
    content: S,
    /// What came beyond the last piece.
    rest: Bytes,
    left: u64,
}

impl<S> Pieces<S>
where
    S: Stream<Item = std::io::Result<Bytes>> + Send + Unpin,
{
    /// The next bytes: `most`, or as many as are left.
    async fn next(&mut self, most: u64) -> std::io::Result<Bytes> {
        let wanted = usize::try_from(most.min(self.left)).map_err(std::io::Error::other)?;
        let mut piece = BytesMut::with_capacity(wanted);
        while piece.len() < wanted {
            if self.rest.is_empty() {
                self.rest = self.content.next().await.ok_or(std::io::ErrorKind::UnexpectedEof)??;
            }
            let taken = self.rest.split_to(self.rest.len().min(wanted - piece.len()));
            piece.extend_from_slice(&taken);
        }
        self.left -= wanted as u64;
        if self.left == 0 {
            self.end().await?;
        }
        Ok(piece.freeze())
    }

    /// That nothing comes after the last byte; what reads the file has then seen its end.
    async fn end(&mut self) -> std::io::Result<()> {
        while self.rest.is_empty() {
            match self.content.next().await {
                None => return Ok(()),
                Some(block) => self.rest = block?,
            }
        }
        Err(std::io::Error::new(std::io::ErrorKind::InvalidData, "the file is longer than it should be"))
    }
}

/// Whether the bucket has what was sent: its tag is the MD5 of that.
fn check_tag(response: &reqwest::Response, sent: &[u8]) -> Result<(), S3Error> {
    let tag = response.headers().get(reqwest::header::ETAG).and_then(|tag| tag.to_str().ok()).unwrap_or_default();
    if tag.trim_matches('"').eq_ignore_ascii_case(&hex::encode(Md5::digest(sent))) {
        return Ok(());
    }
    Err(S3Error::Garbled("what it stored is not what was sent".to_owned()))
}
