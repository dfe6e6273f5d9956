//! Batches: what a cloud that offers them does for many files in one round trip. What becomes of each is told one by one.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use masv_protocol::{
    BegunFile, ErrorKind, FinalizeFiles, FinalizeOneFile, FinalizedFile, NewFile, NewFiles, Outcome, Outcomes,
    PACKAGE_TOKEN_HEADER, SmallFile, SmallFiles,
};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Body, Method};
use secrecy::ExposeSecret;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::storage::presigned;
use super::{Call, Cloud, CloudError, LARGEST_ANSWER, PackageAccess, ask, below, read_answer};

/// What each file of a batch came to, in the order of the request.
pub type BatchAnswers<T> = Vec<Result<T, CloudError>>;

/// The storage's word for bytes that are not those that were sent.
pub const BAD_DIGEST: &str = "BadDigest";

impl Cloud {
    /// Announces files and begins them in the storage.
    ///
    /// # Errors
    /// See [`CloudError`], of the call and of each file; [`CloudError::Garbled`] when not every file is answered.
    pub async fn create_files(
        &self,
        package: PackageAccess<'_>,
        files: Vec<NewFile>,
    ) -> Result<BatchAnswers<BegunFile>, CloudError> {
        let call = Call::CreateFiles;
        let count = files.len();
        let new = NewFiles { files };
        let answers = self.batch::<BegunFile>((call, Call::CreateFile), package, "files", &new, count).await?;
        let check = |file: BegunFile| {
            let mut addresses = file.create_blueprint.iter().chain(&file.part);
            addresses.try_for_each(|blueprint| presigned(call, &blueprint.url).map(drop))?;
            Ok(file)
        };
        Ok(answers.into_iter().map(|answer| answer.and_then(check)).collect())
    }

    /// Finalizes files: the cloud has all their parts.
    ///
    /// # Errors
    /// See [`CloudError`], of the call and of each file; [`CloudError::Garbled`] when not every file is answered.
    pub async fn finalize_files(
        &self,
        package: PackageAccess<'_>,
        files: Vec<FinalizeOneFile>,
    ) -> Result<BatchAnswers<FinalizedFile>, CloudError> {
        let count = files.len();
        let calls = (Call::FinalizeFiles, Call::FinalizeFile);
        self.batch(calls, package, "finalize", &FinalizeFiles { files }, count).await
    }

    /// Sends the content of small files and finalizes them; `contents` are those of all, in this order. How long it may take is the
    /// caller's business.
    ///
    /// # Errors
    /// See [`CloudError`], of the call and of each file; the code of one that arrived damaged is [`BAD_DIGEST`].
    pub async fn send_small_files(
        &self,
        package: PackageAccess<'_>,
        files: Vec<SmallFile>,
        contents: impl Stream<Item = Bytes> + Send + 'static,
    ) -> Result<BatchAnswers<FinalizedFile>, CloudError> {
        let call = Call::SendSmallFiles;
        let count = files.len();
        let content: u64 = files.iter().map(|file| file.size).sum();
        let head = SmallFiles { files }.head().map_err(|error| CloudError::unreadable(call, &error))?;
        let length = head.len() as u64 + content;
        let url = below(&self.shared.base, &["v1", "packages", package.id.as_str(), "batches", "contents"])?;
        let body =
            futures_util::stream::once(async move { Bytes::from(head) }).chain(contents).map(Ok::<_, Infallible>);
        let request = self.shared.storage.post(url).header(PACKAGE_TOKEN_HEADER, package.token.expose_secret());
        let request = request.header(CONTENT_TYPE, "application/octet-stream").header(CONTENT_LENGTH, length);
        let sent = request.body(Body::wrap_stream(body)).send().await;
        let response = sent.map_err(|error| CloudError::transport(call, &error))?;
        let answer = read_answer(call, response, LARGEST_ANSWER).await?;
        let read = serde_json::from_slice(&answer).map_err(|error| CloudError::unreadable(call, &error))?;
        each(call, Call::FinalizeFile, read, count)
    }

    async fn batch<T: DeserializeOwned>(
        &self,
        (call, single): (Call, Call),
        package: PackageAccess<'_>,
        what: &str,
        files: &impl Serialize,
        count: usize,
    ) -> Result<BatchAnswers<T>, CloudError> {
        let path = ["v1", "packages", package.id.as_str(), "batches", what];
        let request = self.package_request(Method::POST, &path, package.token)?;
        each(call, single, ask(call, request, Some(files)).await?, count)
    }
}

/// The answers to `count` files, each as the call for a `single` one would have had it.
fn each<T>(call: Call, single: Call, outcomes: Outcomes<T>, count: usize) -> Result<BatchAnswers<T>, CloudError> {
    if outcomes.files.len() != count {
        let reason = format!("{} files are answered instead of {count}", outcomes.files.len());
        return Err(CloudError::Garbled { call, reason });
    }
    let answer = |outcome| match outcome {
        Outcome::Done(done) => Ok(done),
        Outcome::Refused { status, retry_after, error } => {
            let damaged = call == Call::SendSmallFiles && error.kind() == Some(ErrorKind::InvalidPart);
            let code = if damaged { Some(BAD_DIGEST.to_owned()) } else { None };
            let retry_after = retry_after.map(Duration::from_secs);
            Err(CloudError::refused(single, status, retry_after, code, &error))
        }
    };
    Ok(outcomes.files.into_iter().map(answer).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use masv_protocol::ErrorBody;

    #[test]
    fn every_file_has_its_answer_and_a_batch_with_another_number_of_them_makes_no_sense() {
        let done = |id: &str| Outcome::Done(FinalizedFile { id: id.into() });
        let refused =
            |kind| Outcome::Refused { status: 400, retry_after: Some(3), error: ErrorBody::new(400, kind, "no") };
        let files = vec![done("A"), refused(ErrorKind::InvalidPart), refused(ErrorKind::Invalid)];
        let answers = each(Call::SendSmallFiles, Call::FinalizeFile, Outcomes { files: files.clone() }, 3).unwrap();
        assert_eq!(answers[0], Ok(FinalizedFile { id: "A".into() }));
        let code = |answer: &Result<_, CloudError>| match answer {
            Err(CloudError::Refused { call: Call::FinalizeFile, code, status: 400, retry_after, .. }) => {
                assert_eq!(*retry_after, Some(Duration::from_secs(3)));
                code.clone()
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(code(&answers[1]).as_deref(), Some(BAD_DIGEST));
        assert_eq!(code(&answers[2]).as_deref(), Some("400"));
        assert!(matches!(
            each(Call::FinalizeFiles, Call::FinalizeFile, Outcomes { files }, 2),
            Err(CloudError::Garbled { .. })
        ));
    }
}
