//! The page of a link.

use std::net::IpAddr;

use axum::body::{Body, to_bytes};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use minijinja::context;
use serde::Deserialize;

use super::{page, refused, tree};
use crate::error::Refusal;
use crate::http::auth::From;
use crate::http::routes::links as protocol;
use crate::http::wire::{is_id, now};
use crate::http::{archive, ranges};
use crate::records::files;
use crate::records::links;
use crate::records::links::Link;
use crate::records::packages::Package;
use crate::{Hub, format};

/// The largest form, bytes.
const LARGEST_FORM: usize = 16 << 10;
/// More files are not listed one by one.
const MOST_LISTED: usize = 20_000;

#[derive(Deserialize)]
pub(super) struct Secret {
    #[serde(default)]
    secret: String,
}

#[derive(Deserialize)]
pub(super) struct Token {
    #[serde(default)]
    token: String,
}

pub(super) async fn show(
    State(hub): State<Hub>,
    Path(link): Path<String>,
    Query(given): Query<Secret>,
    headers: HeaderMap,
) -> Response {
    if !is_id(&link) {
        return refused(Refusal::not_found("route"), &headers);
    }
    opened(&hub, &link, &given.secret, None, None).await.unwrap_or_else(|refusal| refused(refusal, &headers))
}

pub(super) async fn unlock(
    State(hub): State<Hub>,
    Path(link): Path<String>,
    Query(given): Query<Secret>,
    From(from): From,
    headers: HeaderMap,
    body: Body,
) -> Response {
    if !is_id(&link) {
        return refused(Refusal::not_found("route"), &headers);
    }
    let Ok(form) = to_bytes(body, LARGEST_FORM).await else {
        return refused(Refusal::invalid("the form is too long"), &headers);
    };
    let password = url::form_urlencoded::parse(&form)
        .find(|(name, _)| name == "password")
        .map(|(_, password)| password.into_owned())
        .unwrap_or_default();
    opened(&hub, &link, &given.secret, from, Some(password)).await.unwrap_or_else(|refusal| refused(refusal, &headers))
}

async fn opened(
    hub: &Hub,
    link: &str,
    secret: &str,
    from: Option<IpAddr>,
    password: Option<String>,
) -> Result<Response, Refusal> {
    let (link, package) = protocol::find(hub, link, secret).await?;
    let asked = password.is_some();
    match protocol::check_password(hub, &link, &package, from, password).await {
        Ok(()) => show_files(hub, &link, &package).await,
        Err(refusal) if refusal.status == StatusCode::UNAUTHORIZED => {
            let values = context! { title => &package.name, wrong => asked, small => true };
            Ok(page(if asked { StatusCode::UNAUTHORIZED } else { StatusCode::OK }, "password", values))
        }
        Err(refusal) => Err(refusal),
    }
}

async fn show_files(hub: &Hub, link: &Link, package: &Package) -> Result<Response, Refusal> {
    let id = package.id.clone();
    let mut rows = hub.database().read(move |connection| files::list(connection, &id, true)).await?;
    rows.retain(|row| row.kind == "file");
    let not_listed = rows.len().saturating_sub(MOST_LISTED);
    rows.truncate(MOST_LISTED);
    let token = hub.keys().visit_token(&protocol::visit(hub, link, package)?);
    let left = link.access_limit.map(|limit| limit.saturating_sub(link.access_count));
    let values = context! {
        title => &package.name,
        message => &package.description,
        sender => &package.sender,
        count => package.file_count,
        size => format::bytes(package.size),
        expires => link.expiry(package).map(format::day),
        left,
        link => &link.id,
        token,
        tree => tree::tree(&rows),
        not_listed,
    };
    Ok(page(StatusCode::OK, "link", values))
}

pub(super) async fn download(
    State(hub): State<Hub>,
    Path((link, file)): Path<(String, String)>,
    Query(given): Query<Token>,
    method: Method,
    headers: HeaderMap,
) -> Response {
    let answer = async {
        let package = visited(&hub, &link, &given.token, &method).await?;
        ranges::answer(&hub, &package, &file, &method, &headers).await
    };
    answer.await.unwrap_or_else(|refusal: Refusal| refused(refusal, &headers))
}

pub(super) async fn download_all(
    State(hub): State<Hub>,
    Path(link): Path<String>,
    Query(given): Query<Token>,
    method: Method,
    headers: HeaderMap,
) -> Response {
    let answer = async {
        let package = visited(&hub, &link, &given.token, &method).await?;
        archive::answer(&hub, &package, &method, &headers).await
    };
    answer.await.unwrap_or_else(|refusal: Refusal| refused(refusal, &headers))
}

/// The package that a visit may download, counted. Who only asks for the head downloads nothing.
async fn visited(hub: &Hub, link: &str, token: &str, method: &Method) -> Result<String, Refusal> {
    let visit = hub.keys().visit(token, now() / 1000).filter(|visit| visit.link == link);
    let visit = visit.ok_or_else(|| Refusal::gone("this page is too old, open the link again"))?;
    let package = visit.package.clone();
    if *method != Method::HEAD {
        hub.database()
            .write(move |connection| links::count_visit(connection, &visit.link, &visit.visit, now()))
            .await?;
    }
    Ok(package)
}
