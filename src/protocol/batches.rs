//! Batches: what a sender asks for many files in one round trip. The hub's own; a server that has them says so in [`Limits`].
//!
//! Each is to a call for one file what a list is to one of its items: [`NewFiles`] announces, begins and addresses, [`FinalizeFiles`]
//! finalizes, and [`SmallFiles`] brings the content of files that are a single small part and finalizes them. Every file of a batch
//! has an answer of its own ([`Outcome`]), in the order of the request: what is wrong with one is not wrong with the others. A call
//! that is refused as a whole has done nothing; one whose answer was lost may be repeated, as those for one file may.
//!
//! [`Limits`]: crate::Limits

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Blueprint, ErrorBody, FileId, FinalizeFile, MultipartId, NewFile, lenient};

/// What a server takes in one batch. A server without batches says nothing of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct BatchLimits {
    /// The most files.
    #[serde(deserialize_with = "lenient::field")]
    pub max_files: u64,
    /// The most bytes of the JSON of a batch.
    #[serde(deserialize_with = "lenient::field")]
    pub max_json: u64,
    /// The most bytes of a file whose content is taken in a batch; 0 where none is.
    #[serde(deserialize_with = "lenient::field")]
    pub max_small_file: u64,
    /// The most bytes of content in a batch.
    #[serde(deserialize_with = "lenient::field")]
    pub max_content: u64,
}

/// `POST /v1/packages/{package}/batches/files`: announces files and begins them in the storage.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct NewFiles {
    /// The files, of different places in the package. Files only: a folder is announced by itself.
    pub files: Vec<NewFile>,
}

/// The answer to a batch: what became of each file, in the order of the request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "{T}Outcomes")]
pub struct Outcomes<T> {
    /// As many as there were files.
    pub files: Vec<Outcome<T>>,
}

/// What became of one file of a batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "{T}Outcome")]
pub enum Outcome<T> {
    /// It was refused, as the call for one file would have been.
    Refused {
        /// The HTTP status that the call for one file would have had.
        status: u16,
        /// Seconds to wait before it is asked again, where the server says so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after: Option<u64>,
        /// Why.
        error: ErrorBody,
    },
    /// It is done.
    Done(T),
}

/// A file that was announced in a batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BegunFile {
    /// The server's id.
    pub id: FileId,
    /// The storage's id of the multipart upload, where the file is begun already.
    #[serde(default, deserialize_with = "lenient::id", skip_serializing_if = "Option::is_none")]
    pub upload_id: Option<MultipartId>,
    /// How to begin it in the storage, where it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create_blueprint: Option<Blueprint>,
    /// The address of its first part, where it is begun and has no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Blueprint>,
}

/// `POST /v1/packages/{package}/batches/finalize`: all parts of these files are there. Repeating it changes nothing.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct FinalizeFiles {
    /// The files.
    pub files: Vec<FinalizeOneFile>,
}

/// A file of [`FinalizeFiles`].
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct FinalizeOneFile {
    /// The server's id.
    pub id: FileId,
    /// What the call for one file says.
    #[serde(flatten)]
    pub file: FinalizeFile,
}

/// A file that a batch has finalized.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FinalizedFile {
    /// The server's id.
    pub id: FileId,
}

/// What the body of `POST /v1/packages/{package}/batches/contents` begins with: the files whose content follows. The body is the
/// length of this as JSON in four bytes, the highest first; the JSON; and the bytes of all files, in this order, with nothing between
/// them. Each is stored as the only part of its file, and its file is finalized, if its MD5 is right. Repeating it changes nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SmallFiles {
    /// The files.
    pub files: Vec<SmallFile>,
}

/// A file whose content comes in a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SmallFile {
    /// The server's id.
    pub id: FileId,
    /// The storage's id of the multipart upload.
    pub upload_id: MultipartId,
    /// Bytes.
    pub size: u64,
    /// MD5 of the content, 32 hexadecimal digits.
    pub md5: String,
}

/// Why the body of a batch of contents cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadContents {
    /// Not even the list is whole.
    #[error("the body is shorter than the list that it begins with")]
    Cut,
    /// The list is not what it should be.
    #[error("the list of files is not valid: {0}")]
    List(String),
    /// The list and what follows do not match.
    #[error("the files have {said} bytes by the list, {got} follow it")]
    Length {
        /// By the list.
        said: u64,
        /// What follows it.
        got: u64,
    },
}

impl SmallFiles {
    /// What the body begins with, up to the first byte of the first file.
    ///
    /// # Errors
    /// None that a list of these types can have.
    pub fn head(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut head = vec![0; 4];
        serde_json::to_writer(&mut head, self)?;
        let length = u32::try_from(head.len() - 4).map_err(serde::ser::Error::custom)?;
        head[..4].copy_from_slice(&length.to_be_bytes());
        Ok(head)
    }

    /// Reads a body: the files, each with its content.
    ///
    /// ```
    /// use masv_protocol::{SmallFile, SmallFiles};
    ///
    /// let file = SmallFile { id: "F".into(), upload_id: "U".into(), size: 2, md5: "49f68a5c8493ec2c0bf489821c21fc3b".to_owned() };
    /// let mut body = SmallFiles { files: vec![file.clone()] }.head()?;
    /// body.extend_from_slice(b"hi");
    /// assert_eq!(SmallFiles::read(&body).ok(), Some(vec![(file, &b"hi"[..])]));
    /// assert!(SmallFiles::read(&body[..body.len() - 1]).is_err());
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`BadContents`].
    pub fn read(body: &[u8]) -> Result<Vec<(SmallFile, &[u8])>, BadContents> {
        let (length, rest) = body.split_first_chunk::<4>().ok_or(BadContents::Cut)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| BadContents::Cut)?;
        let (list, mut contents) = rest.split_at_checked(length).ok_or(BadContents::Cut)?;
        let list: Self = serde_json::from_slice(list).map_err(|error| BadContents::List(error.to_string()))?;
        let got = contents.len() as u64;
        let said = list.files.iter().fold(0_u64, |sum, file| sum.saturating_add(file.size));
        if said != got {
            return Err(BadContents::Length { said, got });
        }
        let mut files = Vec::with_capacity(list.files.len());
        for file in list.files {
            let size = usize::try_from(file.size).unwrap_or(usize::MAX);
            let (content, rest) = contents.split_at_checked(size).ok_or(BadContents::Length { said, got })?;
            contents = rest;
            files.push((file, content));
        }
        Ok(files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn small(id: &str, size: u64) -> SmallFile {
        SmallFile { id: id.into(), upload_id: "U".into(), size, md5: String::new() }
    }

    #[test]
    fn contents_are_told_apart_by_the_list_before_them() {
        let list = SmallFiles { files: vec![small("A", 3), small("B", 0), small("C", 1)] };
        let body = [list.head().unwrap(), b"abcd".to_vec()].concat();
        let read = SmallFiles::read(&body).unwrap();
        let contents: Vec<&[u8]> = read.iter().map(|(_, content)| *content).collect();
        assert_eq!(contents, [&b"abc"[..], b"", b"d"]);
    }

    #[test]
    fn a_body_that_does_not_match_its_list_is_no_batch() {
        let body = |size| [SmallFiles { files: vec![small("A", size)] }.head().unwrap(), b"abc".to_vec()].concat();
        assert!(SmallFiles::read(&body(3)).is_ok());
        for size in [2, 4, u64::MAX] {
            assert_eq!(SmallFiles::read(&body(size)), Err(BadContents::Length { said: size, got: 3 }));
        }
        let twice = SmallFiles { files: vec![small("A", u64::MAX), small("B", 4)] }.head().unwrap();
        assert!(matches!(SmallFiles::read(&twice), Err(BadContents::Length { got: 0, .. })), "a sum that overflows");
        for cut in [&b""[..], b"abc", &[0, 0, 0, 9], &[255; 16]] {
            assert_eq!(SmallFiles::read(cut), Err(BadContents::Cut), "{cut:?}");
        }
        assert!(matches!(SmallFiles::read(b"\0\0\0\x01{"), Err(BadContents::List(_))));
    }

    #[test]
    fn what_was_refused_and_what_was_done_are_told_apart() {
        let done = Outcome::Done(FinalizedFile { id: "F".into() });
        let error = ErrorBody::new(404, ErrorKind::NotFound, "file not found");
        let refused = Outcome::Refused { status: 404, retry_after: None, error };
        let wire = serde_json::to_string(&Outcomes { files: vec![done.clone(), refused.clone()] }).unwrap();
        assert!(wire.starts_with(r#"{"files":[{"id":"F"},{"status":404,"error":{"code":404,"#), "{wire}");
        let read: Outcomes<FinalizedFile> = serde_json::from_str(&wire).unwrap();
        assert_eq!(read.files, [done, refused]);
    }
}
