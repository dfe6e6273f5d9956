//! The page of a link.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use masv_protocol::{ErrorKind, FileId, FileKind, LinkId, LinkQuery, PackageId};
use minijinja::context;
use serde::Deserialize;

use super::{POLICY, SEARCHED_POLICY, brand, lists, page, refused, refused_with, tree};
use crate::clock::now;
use crate::http::access::{Id, Public};
use crate::http::bodies::Sender;
use crate::http::deliveries::Delivery;
use crate::http::query::Asked;
use crate::http::refusal::Refusal;
use crate::http::routes::links as protocol;
use crate::http::{archive, ranges};
use crate::keys::tokens::Visit;
use crate::records::downloads::{Origin, Reader};
use crate::records::links::Link;
use crate::records::packages::Package;
use crate::records::portals::Brand;
use crate::records::{files, is_id, links};
use crate::{Hub, format};

/// The name of the cookie that keeps the visit of a link.
const COOKIE: &str = "masv_visit";
/// The largest form, bytes.
const LARGEST_FORM: usize = 16 << 10;
/// Up to this many files are seen at a glance; more can be searched.
const UNSEARCHED: usize = 20;
/// More files are not offered to be seen one by one: the page would be twice as large.
const MOST_SEEN: usize = 5_000;
/// This many checksum lists of the sender are offered apart from the other files.
const MOST_LISTS: usize = 5;
/// More files are not listed one by one.
const MOST_LISTED: u32 = 20_000;
/// A page with more files than this is large, and leaves their checksums to the list of them.
const MANY_FILES: u64 = 1_000;

#[derive(Deserialize)]
pub(super) struct Token {
    #[serde(default)]
    pub(super) token: String,
}

/// A visitor of a link, with the typed password, if any.
struct Visitor {
    origin: Origin,
    password: Option<String>,
    /// They only ask whether the page is there.
    peeks: bool,
}

pub(super) async fn show(
    Public(hub): Public,
    Id(link): Id<LinkId>,
    Asked(given): Asked<LinkQuery>,
    origin: Origin,
    method: Method,
    headers: HeaderMap,
) -> Response {
    if !is_id(link.as_str()) {
        return refused(Refusal::not_found("route"), &headers);
    }
    match visited_before(&hub, &link, given.secret.expose(), &headers).await {
        Ok(None) => {}
        Ok(Some(page)) => return page,
        Err(refusal) => return refused(refusal, &headers),
    }
    let visitor = Visitor { origin, password: None, peeks: method == Method::HEAD };
    answer(&hub, link, given.secret.expose(), visitor, &headers).await
}

pub(super) async fn unlock(
    Public(hub): Public,
    Id(link): Id<LinkId>,
    Asked(given): Asked<LinkQuery>,
    origin: Origin,
    headers: HeaderMap,
    body: Body,
) -> Response {
    if !is_id(link.as_str()) {
        return refused(Refusal::not_found("route"), &headers);
    }
    // Without the secret nothing is read.
    if let Err(refusal) = protocol::find(&hub, link.clone(), given.secret.expose()).await {
        return refused(refusal, &headers);
    }
    let reading = hub.server.bodies.read(Sender::Stranger(origin.address), &headers, body, LARGEST_FORM).await;
    let (form, _held) = match reading {
        Ok(read) => read,
        Err(refusal) => return refused(refusal, &headers),
    };
    let password = url::form_urlencoded::parse(&form)
        .find(|(name, _)| name == "password")
        .map(|(_, password)| password.into_owned())
        .unwrap_or_default();
    let visitor = Visitor { origin, password: Some(password), peeks: false };
    answer(&hub, link, given.secret.expose(), visitor, &headers).await
}

/// The page of a link, or why there is none.
async fn answer(hub: &Hub, link: LinkId, secret: &str, visitor: Visitor, headers: &HeaderMap) -> Response {
    match opened(hub, link.clone(), secret, visitor).await {
        Ok(response) => response,
        Err(refusal) if matches!(refusal.kind, ErrorKind::Expired | ErrorKind::LimitReached) => {
            refused_with(refusal, headers, whom_to_ask(hub, link).await)
        }
        Err(refusal) => refused(refusal, headers),
    }
}

/// Whom the holder of an expired link can ask: its sender, unless a password protects the sender's name.
async fn whom_to_ask(hub: &Hub, link: LinkId) -> Option<String> {
    let (link, package) = links::find(hub.database(), link).await.ok()??;
    if link.required_password(&package).is_some() || package.sender.is_empty() {
        return None;
    }
    let sent = package.finalized_at.map_or_else(String::new, |sent| format!(" on {}", format::day(sent)));
    Some(format!("Ask {}, who sent “{}”{sent}, for a new link.", package.sender, package.name))
}

async fn opened(hub: &Hub, link: LinkId, secret: &str, visitor: Visitor) -> Result<Response, Refusal> {
    let (link, package) = protocol::find(hub, link, secret).await?;
    let asked = visitor.password.is_some();
    let Visitor { origin, password, peeks } = visitor;
    match protocol::check_password(hub, &link, &package, origin.address, password).await {
        Ok(()) => {
            if !peeks {
                protocol::note_opened(hub, &link.id, origin).await;
            }
            let visit = protocol::visit(hub, &link, &package)?;
            let mut page = show_files(hub, &link, &package, &visit).await?;
            page.headers_mut().insert(header::SET_COOKIE, cookie(hub, &visit)?);
            Ok(page)
        }
        Err(refusal) if refusal.status == StatusCode::UNAUTHORIZED => {
            // What the package is called, and who sent it, is behind its password, too.
            let values = context! { title => "A password is needed", wrong => asked, small => true };
            Ok(page(if asked { StatusCode::UNAUTHORIZED } else { StatusCode::OK }, "password", values))
        }
        Err(refusal) => Err(refusal),
    }
}

/// The cookie of a visit, until it ends: with it, a reloaded page is the same visit.
fn cookie(hub: &Hub, visit: &Visit) -> Result<HeaderValue, Refusal> {
    let (token, link) = (hub.context.keys.visit_token(visit), &visit.link);
    let life = hub.context.config.visit_life.as_secs();
    let secure = if hub.context.is_https() { "; Secure" } else { "" };
    let text = format!("{COOKIE}={token}; Path=/{link}; Max-Age={life}; HttpOnly; SameSite=Lax{secure}");
    HeaderValue::from_str(&text).map_err(|error| Refusal::internal(&error))
}

/// The visit of this link stored in the browser, if it is still valid.
fn kept_visit(hub: &Hub, link: &LinkId, headers: &HeaderMap) -> Option<Visit> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let (_, token) = pairs.find(|(name, _)| *name == COOKIE)?;
    hub.context.keys.visit(token, now()).filter(|visit| visit.link == *link)
}

/// The page for a returning browser: it is not asked for the password again, and no further download is counted. Nothing for
/// a new one, or one whose visit has ended.
async fn visited_before(
    hub: &Hub,
    link: &LinkId,
    secret: &str,
    headers: &HeaderMap,
) -> Result<Option<Response>, Refusal> {
    let Some(visit) = kept_visit(hub, link, headers) else { return Ok(None) };
    if !hub.context.keys.is_link_secret(link, secret)
        || links::check_visit(hub.database(), visit.clone()).await.is_err()
    {
        return Ok(None);
    }
    let Some((link, package)) = links::find(hub.database(), link.clone()).await? else { return Ok(None) };
    // One that downloaded nothing yet has no claim on a download that is not there any more.
    if link.check_open(&package, now()).is_err() && !links::is_counted(hub.database(), visit.clone()).await? {
        return Ok(None);
    }
    show_files(hub, &link, &package, &visit).await.map(Some)
}

async fn show_files(hub: &Hub, link: &Link, package: &Package, visit: &Visit) -> Result<Response, Refusal> {
    // A page of many files takes some memory: a few at a time.
    let is_large = package.file_count > MANY_FILES;
    let _turn = if is_large { hub.server.large_pages.acquire().await.ok() } else { None };
    let (mut rows, _) = files::page(hub.database(), package.id.clone(), true, None, MOST_LISTED).await?;
    rows.retain(|row| row.kind == FileKind::File);
    let not_listed = package.file_count.saturating_sub(rows.len() as u64);
    let token = hub.context.keys.visit_token(visit);
    let only = match rows.as_slice() {
        [one] if not_listed == 0 && !one.lost => Some(one.id.as_str().to_owned()),
        _ => None,
    };
    let many = rows.len() > UNSEARCHED;
    let sender_lists = rows.iter().filter(|row| lists::is_one(row)).take(MOST_LISTS);
    let sender_lists: Vec<_> = sender_lists.map(|row| context! { id => row.id.as_str(), name => &row.name }).collect();
    let brand = brand::of_package(hub, package).await?;
    let left = link.access_limit.map(|limit| limit.saturating_sub(link.access_count));
    let values = context! {
        title => &package.name,
        message => &package.description,
        sender => &package.sender,
        sent => package.finalized_at.map(format::day),
        only,
        many,
        count => package.file_count,
        size => format::bytes(package.size),
        expires => link.expiry(package).map(format::day),
        left,
        link => link.id.as_str(),
        token,
        tree => tree::tree(&rows),
        sums => !is_large,
        see => rows.len() <= MOST_SEEN,
        sender_lists,
        branded => brand != Brand::default(),
        logo => &brand.logo_url,
        not_listed,
    };
    let mut response = page(StatusCode::OK, "link", values);
    let policy = brand::policy(if many { SEARCHED_POLICY } else { POLICY }, &brand)?;
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    Ok(response)
}

pub(super) async fn download(
    Public(hub): Public,
    Id(link): Id<LinkId>,
    Id(file): Id<FileId>,
    Asked(given): Asked<Token>,
    origin: Origin,
    method: Method,
    headers: HeaderMap,
) -> Response {
    let answer = async {
        let (package, delivery) = visited(&hub, &link, &given.token, &method, origin).await?;
        ranges::answer(&hub, package, file, (&method, &headers), delivery).await
    };
    answer.await.unwrap_or_else(|refusal: Refusal| refused(refusal, &headers))
}

pub(super) async fn download_all(
    Public(hub): Public,
    Id(link): Id<LinkId>,
    Asked(given): Asked<Token>,
    origin: Origin,
    method: Method,
    headers: HeaderMap,
) -> Response {
    let answer = async {
        let (package, delivery) = visited(&hub, &link, &given.token, &method, origin).await?;
        archive::answer(&hub, package, (&method, &headers), delivery).await
    };
    answer.await.unwrap_or_else(|refusal: Refusal| refused(refusal, &headers))
}

/// The visit that a page's token stands for.
pub(super) fn visit_of(hub: &Hub, link: &LinkId, token: &str) -> Result<Visit, Refusal> {
    let visit = hub.context.keys.visit(token, now()).filter(|visit| visit.link == *link);
    visit.ok_or_else(|| Refusal::new(ErrorKind::Expired, "this page is too old, open the link again"))
}

/// The package that a visit may download, counted, and its download. A HEAD request does not count as a download.
pub(super) async fn visited(
    hub: &Hub,
    link: &LinkId,
    token: &str,
    method: &Method,
    origin: Origin,
) -> Result<(PackageId, Option<Delivery>), Refusal> {
    let visit = visit_of(hub, link, token)?;
    let package = visit.package.clone();
    if *method == Method::HEAD {
        links::check_visit(hub.database(), visit).await?;
        return Ok((package, None));
    }
    let delivery = Delivery::by(hub, &package, Some(Reader::Visitor(visit)), origin).await?;
    Ok((package, delivery))
}
