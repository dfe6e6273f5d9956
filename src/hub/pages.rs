//! The page behind a link: what is in the package, and each file to download. Works without JavaScript and loads
//! nothing from anywhere else.

use std::sync::Arc;

use axum::Form;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use minijinja::{AutoEscape, Environment, Value, context};
use rusqlite::Connection;
use serde::Deserialize;

use super::error::Refusal;
use super::routes::{files, links};
use super::serve::App;

/// Nothing but the page's own style may load, and nobody may frame it.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

#[derive(Deserialize)]
pub(super) struct Opening {
    #[serde(default)]
    secret: String,
}

#[derive(Deserialize)]
pub(super) struct Typed {
    #[serde(default)]
    password: String,
}

pub(super) async fn link(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Query(opening): Query<Opening>,
) -> Response {
    show(&app, &id, &opening.secret, None).await
}

pub(super) async fn link_with_password(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Query(opening): Query<Opening>,
    Form(typed): Form<Typed>,
) -> Response {
    show(&app, &id, &opening.secret, Some(typed.password)).await
}

async fn show(app: &App, id: &str, secret: &str, password: Option<String>) -> Response {
    let typed = password.is_some();
    let page = match package_page(app, id, secret, password).await {
        Ok(values) => render(StatusCode::OK, "link.html", values),
        Err(refusal) if refusal.status() == StatusCode::UNAUTHORIZED => {
            render(StatusCode::UNAUTHORIZED, "password.html", context! { wrong => typed })
        }
        Err(refusal) => render(refusal.status(), "problem.html", context! { message => sentence(refusal.message()) }),
    };
    page.unwrap_or_else(IntoResponse::into_response)
}

async fn package_page(app: &App, id: &str, secret: &str, password: Option<String>) -> Result<Value, Refusal> {
    let (_, package) = links::check(&app.hub, id, secret, password).await?;
    let package_id = package.id.clone();
    let files = app.hub.inner.database.read(move |connection: &Connection| files::all(connection, &package_id)).await?;
    let mut folders: Vec<(String, Vec<Value>)> = Vec::new();
    for file in &files {
        let path = format!("/storage/{}/{}/content", file.package, file.id);
        let entry = context! { name => &file.name, size => size(file.size), url => files::address(app, "GET", &path) };
        match folders.last_mut() {
            Some((folder, entries)) if *folder == file.folder => entries.push(entry),
            _ => folders.push((file.folder.clone(), vec![entry])),
        }
    }
    let folders: Vec<Value> = folders.into_iter().map(|(name, files)| context! { name, files }).collect();
    Ok(context! {
        name => package.name, description => package.description, sender => package.sender,
        count => package.files, size => size(package.size.unsigned_abs()), folders,
        expires => package.expires_at.map(|at| super::wire_time(Some(at))[..10].to_owned()),
    })
}

fn render(status: StatusCode, name: &str, values: Value) -> Result<Response, Refusal> {
    let mut templates = Environment::new();
    templates.set_auto_escape_callback(|_| AutoEscape::Html);
    for (name, text) in [
        ("base.html", include_str!("templates/base.html")),
        ("link.html", include_str!("templates/link.html")),
        ("password.html", include_str!("templates/password.html")),
        ("problem.html", include_str!("templates/problem.html")),
    ] {
        templates.add_template(name, text).map_err(|error| Refusal::internal(&error))?;
    }
    let template = templates.get_template(name).map_err(|error| Refusal::internal(&error))?;
    let page = template.render(values).map_err(|error| Refusal::internal(&error))?;
    let headers = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((status, headers, Html(page)).into_response())
}

/// A message as a sentence: upper case first, a full stop at the end.
fn sentence(message: &str) -> String {
    let mut characters = message.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", characters.as_str())
}

/// Bytes for people.
pub(super) fn size(bytes: u64) -> String {
    bytesize::ByteSize::b(bytes).display().si().to_string()
}
