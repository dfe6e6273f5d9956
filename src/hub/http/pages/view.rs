//! Seeing a file before downloading it: a page with the picture, the film, the sound, the document or the text.
//!
//! **In**: the address of a file of a link, with a visit. **Out**: the page, and the content for it, with ranges.
//!
//! **Guarantees.** The page has no script and allows only the one kind of content that it shows. The content is sent with a type of an
//! allow-list ([`super::viewable`]), is never sniffed, and belongs to an origin of its own (`sandbox`), so that nothing in it reaches
//! what the hub's pages may. Documents (PDF) are the exception: browsers refuse to show them in a sandbox; they run nothing in the hub's origin,
//! and may load nothing. What is seen is delivered: it is counted, and told, as a download is.

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use masv_protocol::{FileId, LinkId};
use minijinja::{Value, context};

use super::link::{Token, visit_of, visited};
use super::viewable::{Shown, shown};
use super::{page, refused};
use crate::Hub;
use crate::format;
use crate::http::access::{Id, Public};
use crate::http::query::Asked;
use crate::http::refusal::Refusal;
use crate::http::{checksums, presence, ranges};
use crate::records::downloads::Origin;
use crate::records::files::{self, FileRow};
use crate::records::links;

/// The page around what is shown.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; media-src 'self'; frame-src 'self'; form-action 'none'; \
    frame-ancestors 'none'; base-uri 'none'";
/// What is shown: nothing of it may run or load anything, and only our own page may frame it.
const CONTENT: &str = "sandbox; default-src 'none'; frame-ancestors 'self'; form-action 'none'; base-uri 'none'";
/// The same for documents: viewers of browsers do not work in a sandbox.
const DOCUMENT: &str = "default-src 'none'; style-src 'unsafe-inline'; object-src 'self'; frame-ancestors 'none'; \
    form-action 'none'; base-uri 'none'";
/// How far the next file that can be seen is looked for.
const NEAR: u32 = 200;

pub(super) async fn show(
    Public(hub): Public,
    Id(link): Id<LinkId>,
    Id(file): Id<FileId>,
    Asked(given): Asked<Token>,
    headers: HeaderMap,
) -> Response {
    view(&hub, &link, file, &given.token).await.unwrap_or_else(|refusal| refused(refusal, &headers))
}

async fn view(hub: &Hub, link: &LinkId, file: FileId, token: &str) -> Result<Response, Refusal> {
    let visit = visit_of(hub, link, token)?;
    let package = visit.package.clone();
    links::check_visit(hub.database(), visit).await?;
    let row = files::get_readable(hub.database(), package.clone(), file).await?;
    presence::check_not_lost(&row)?;
    let (kind, _) = shown(&row.name, row.size).ok_or_else(not_shown)?;
    let near = async |behind| {
        let rows = files::around(hub.database(), package.clone(), &row, behind, NEAR).await?;
        Ok::<_, Refusal>(rows.into_iter().find(can_be_seen).map(|row| named(&row)))
    };
    let values = context! {
        title => &row.name,
        path => &row.path,
        wide => true,
        kind => kind.as_str(),
        size => format::bytes(row.size),
        changed => format::day(row.last_modified),
        md5 => checksums::shown(&row),
        link => link.as_str(),
        id => row.id.as_str(),
        token,
        before => near(false).await?,
        behind => near(true).await?,
    };
    let mut response = page(StatusCode::OK, "view", values);
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    Ok(response)
}

fn named(row: &FileRow) -> Value {
    context! { id => row.id.as_str(), name => &row.name }
}

/// Whether a file can be seen before it is downloaded.
pub(super) fn can_be_seen(row: &FileRow) -> bool {
    row.is_readable() && !row.lost && shown(&row.name, row.size).is_some()
}

fn not_shown() -> Refusal {
    Refusal::not_found("view of this file")
}

/// The content of what is shown; through the hub, wherever it is.
pub(super) async fn content(
    Public(hub): Public,
    Id(link): Id<LinkId>,
    Id(file): Id<FileId>,
    Asked(given): Asked<Token>,
    origin: Origin,
    method: Method,
    headers: HeaderMap,
) -> Response {
    let answer = async {
        let package = visit_of(&hub, &link, &given.token)?.package;
        let row = files::get_readable(hub.database(), package, file).await?;
        presence::check_not_lost(&row)?;
        let (kind, media_type) = shown(&row.name, row.size).ok_or_else(not_shown)?;
        let disposition = ranges::disposition("inline", &row.name);
        let (package, delivery) = visited(&hub, &link, &given.token, &method, origin).await?;
        let mut response = ranges::content(&hub, package, row, (&method, &headers), (delivery, media_type)).await?;
        let policy = if kind == Shown::Document { DOCUMENT } else { CONTENT };
        let own = HeaderValue::from_str(&disposition).map_err(|error| Refusal::internal(&error))?;
        for (name, value) in [
            (header::CONTENT_DISPOSITION, own),
            (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy)),
            (header::X_FRAME_OPTIONS, HeaderValue::from_static("SAMEORIGIN")),
            (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
        ] {
            response.headers_mut().insert(name, value);
        }
        Ok(response)
    };
    answer.await.unwrap_or_else(|refusal: Refusal| refused(refusal, &headers))
}

/// The checksums of all files. Reading them is no download.
pub(super) async fn all_checksums(
    Public(hub): Public,
    Id(link): Id<LinkId>,
    Asked(given): Asked<Token>,
    headers: HeaderMap,
) -> Response {
    let answer = async {
        let visit = visit_of(&hub, &link, &given.token)?;
        let package = visit.package.clone();
        links::check_visit(hub.database(), visit).await?;
        checksums::answer(&hub, package).await
    };
    answer.await.unwrap_or_else(|refusal: Refusal| refused(refusal, &headers))
}
