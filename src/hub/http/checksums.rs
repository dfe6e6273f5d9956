//! The MD5 checksums of all files of a package, as a text that `md5sum --check` and `masv verify` read.
//!
//! The checksum of a file that came in one part is known with that part. Of any other it is computed by reading the file when somebody first
//! asks for the list, and kept: a list costs reading each file once, however many people ask for it.
//!
//! **In**: a finalized package. **Out**: lines, written as the checksums become known. A file whose content is known to be lost is named in a
//! comment. The list breaks off where a file cannot be read.

use std::collections::VecDeque;
use std::io;

use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use masv_protocol::{FileKind, PackageId};
use md5::{Digest, Md5};

use super::ranges::{attachment, pieces, small_parts};
use super::refusal::Refusal;
use crate::records::files::{self, Behind, FileRow};
use crate::{Hub, storage};

/// How many rows are read at once.
const AT_ONCE: u32 = 200;

/// The MD5 of a file in hexadecimal, if it is known.
pub(crate) fn shown(row: &FileRow) -> Option<String> {
    row.md5.map(hex::encode)
}

/// Answers with the checksums of a finalized package.
pub(crate) async fn answer(hub: &Hub, package: PackageId) -> Result<Response, Refusal> {
    let package = files::finalized_package(hub.database(), package).await?;
    let head = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()),
        (header::CONTENT_DISPOSITION, attachment(&format!("{}.md5", package.name))),
        (header::CACHE_CONTROL, "private, no-store".to_owned()),
    ];
    let list = List { hub: hub.clone(), package: package.id, rows: VecDeque::new(), next: Some(None) };
    let lines = stream::try_unfold(list, |mut list| async move {
        let row = list.row().await?;
        Ok::<_, io::Error>(match row {
            Some(row) => Some((list.line(&row).await?, list)),
            None => None,
        })
    });
    Ok((head, Body::from_stream(lines)).into_response())
}

/// A list that is being written.
struct List {
    hub: Hub,
    package: PackageId,
    rows: VecDeque<FileRow>,
    /// Where the next rows begin; none: there are no more.
    next: Option<Option<Behind>>,
}

impl List {
    /// The next file.
    async fn row(&mut self) -> io::Result<Option<FileRow>> {
        loop {
            if let Some(row) = self.rows.pop_front() {
                return Ok(Some(row));
            }
            let Some(behind) = self.next.take() else { return Ok(None) };
            let page = files::page(self.hub.database(), self.package.clone(), true, behind, AT_ONCE).await;
            let (rows, next) = page.map_err(io::Error::other)?;
            self.rows.extend(rows.into_iter().filter(|row| row.kind == FileKind::File));
            self.next = next.map(Some);
        }
    }

    async fn line(&self, row: &FileRow) -> io::Result<String> {
        let path = if row.path.is_empty() { row.name.clone() } else { format!("{}/{}", row.path, row.name) };
        if row.lost {
            return Ok(format!("# missing on the hub: {path}\n"));
        }
        let md5 = match row.md5 {
            Some(md5) => md5,
            None => self.compute(row).await?,
        };
        Ok(line(&hex::encode(md5), &path))
    }

    /// The MD5 of a file, by reading it; it is kept.
    async fn compute(&self, row: &FileRow) -> io::Result<[u8; 16]> {
        let _turn = self.hub.server.reading_sums.acquire().await.map_err(io::Error::other)?;
        let again = files::get(self.hub.database(), self.package.clone(), row.id.clone()).await;
        if let Some(md5) = again.map_err(io::Error::other)?.md5 {
            // Somebody else has asked for it meanwhile.
            return Ok(md5);
        }
        let refused = |refusal: Refusal| io::Error::other(refusal.message);
        let pieces = pieces(&self.hub.context, &self.package, row).await.map_err(refused)?;
        let mut content = Box::pin(storage::stream(pieces, 0, row.size, small_parts(&self.hub.context)));
        let mut digest = Md5::new();
        while let Some(block) = content.next().await {
            digest.update(&block?);
        }
        let md5: [u8; 16] = digest.finalize().into();
        files::set_md5(self.hub.database(), row, md5).await.map_err(io::Error::other)?;
        Ok(md5)
    }
}

/// A line as `md5sum` writes it: a name with a backslash is escaped, which a backslash in front says.
fn line(md5: &str, path: &str) -> String {
    if path.contains('\\') { format!("\\{md5}  {}\n", path.replace('\\', "\\\\")) } else { format!("{md5}  {path}\n") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What GNU coreutils 9.1 writes for such names.
    #[test]
    fn a_line_is_that_of_md5sum() {
        assert_eq!(line("d41d", "a/b c.mov"), "d41d  a/b c.mov\n");
        assert_eq!(line("d41d", "a\\b.mov"), "\\d41d  a\\\\b.mov\n");
    }
}
