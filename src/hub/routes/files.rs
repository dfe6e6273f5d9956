//! The files of a package: announced, given addresses for their parts, closed, listed.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Body, links, number, packages};
use crate::hub::error::Refusal;
use crate::hub::serve::App;
use crate::hub::{new_id, wire_time};

/// The most parts of a file.
const MOST_PARTS: u32 = 10_000;
/// The longest path of a file in a package, bytes.
const LONGEST_PATH: usize = 4096;

/// A file as its row says.
pub(in crate::hub) struct File {
    pub id: String,
    pub package: String,
    pub folder: String,
    pub name: String,
    pub size: u64,
    pub last_modified: Option<i64>,
    pub finalized: bool,
}

fn file(row: &rusqlite::Row<'_>) -> rusqlite::Result<File> {
    Ok(File {
        id: row.get(0)?,
        package: row.get(1)?,
        folder: row.get(2)?,
        name: row.get(3)?,
        size: row.get::<_, i64>(4)?.unsigned_abs(),
        last_modified: row.get(5)?,
        finalized: row.get(6)?,
    })
}

const COLUMNS: &str = "id, package_id, folder, name, size, last_modified, finalized";

/// A file of a package.
pub(in crate::hub) fn find(connection: &Connection, package: &str, id: &str) -> Result<File, Refusal> {
    connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM file WHERE id = ?1 AND package_id = ?2"))?
        .query_row([id, package], file)
        .optional()?
        .ok_or_else(|| Refusal::not_found("file"))
}

/// The finalized files of a package by folder and name.
pub(in crate::hub) fn all(connection: &Connection, package: &str) -> Result<Vec<File>, Refusal> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM file WHERE package_id = ?1 AND finalized = 1 ORDER BY folder, name"
    ))?;
    Ok(statement.query_map([package], file)?.collect::<Result<_, _>>()?)
}

/// How many files are finalized, and their bytes.
pub(super) fn totals(connection: &Connection, package: &str) -> Result<(i64, i64), Refusal> {
    Ok(connection
        .prepare_cached("SELECT count(*), coalesce(sum(size), 0) FROM file WHERE package_id = ?1 AND finalized = 1")?
        .query_row([package], |row| Ok((row.get(0)?, row.get(1)?)))?)
}

/// Forgets the files that were begun and never finished; returns their ids.
pub(super) fn drop_unfinished(connection: &Connection, package: &str) -> Result<Vec<String>, Refusal> {
    let mut statement =
        connection.prepare_cached("DELETE FROM file WHERE package_id = ?1 AND finalized = 0 RETURNING id")?;
    Ok(statement.query_map([package], |row| row.get(0))?.collect::<Result<_, _>>()?)
}

#[derive(Deserialize)]
pub(super) struct NewFile {
    #[serde(default)]
    kind: Option<String>,
    name: String,
    #[serde(default)]
    path: Option<String>,
    #[serde(default)]
    last_modified: Option<String>,
    #[serde(deserialize_with = "number", default)]
    size: u64,
}

/// A path that stays in the package: names joined by `/`, none of them empty, `.` or `..`.
fn clean_folder(path: &str) -> Result<String, Refusal> {
    let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
    if path.len() > LONGEST_PATH || path.contains(['\\', '\0']) || names.iter().any(|name| matches!(*name, "." | ".."))
    {
        return Err(Refusal::bad("the path must stay inside the package"));
    }
    Ok(names.join("/"))
}

fn clean_name(name: &str) -> Result<String, Refusal> {
    let bad = name.is_empty() || name.len() > 255 || name.contains(['/', '\\', '\0']) || matches!(name, "." | "..");
    if bad {
        Err(Refusal::bad("the name of a file must be one name of at most 255 bytes"))
    } else {
        Ok(name.to_owned())
    }
}

pub(super) async fn create(
    State(app): State<Arc<App>>,
    Path(package): Path<String>,
    headers: HeaderMap,
    Body(new): Body<NewFile>,
) -> Result<impl IntoResponse, Refusal> {
    let token = packages::token(&headers)?;
    let (folder, name) = (clean_folder(new.path.as_deref().unwrap_or_default())?, clean_name(&new.name)?);
    if new.kind.as_deref() == Some("directory") {
        return Err(Refusal::bad("folders are made by the paths of their files"));
    }
    let size = i64::try_from(new.size).map_err(|_| Refusal::bad("the size is too large"))?;
    let modified = new.last_modified.as_deref().and_then(|text| text.parse::<Timestamp>().ok());
    let (id, upload) = (new_id(), new_id());
    let begin = address(&app, "POST", &format!("/storage/{package}/{id}/begin"));
    let answer = json!({
        "file": {
            "id": id, "kind": "file", "name": name, "path": folder, "size": size,
            "last_modified": wire_time(modified.map(Timestamp::as_millisecond)),
        },
        "create_blueprint": { "method": "POST", "url": begin, "headers": {}, "body": "" },
    });
    let write = move |connection: &Connection| {
        packages::open(connection, &package, &token)?;
        connection
            .prepare_cached(
                "INSERT INTO file (id, package_id, folder, name, size, last_modified, upload_id) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![id, package, folder, name, size, modified.map(Timestamp::as_millisecond), upload])?;
        Ok::<_, Refusal>(())
    };
    app.hub.inner.database.write(write).await?;
    Ok((StatusCode::CREATED, Json(answer)))
}

/// A signed address of the storage.
pub(in crate::hub) fn address(app: &App, method: &str, path: &str) -> String {
    format!("{}{path}?{}", app.public_url, app.hub.inner.signer.query(&format!("{method} {path}")))
}

#[derive(Deserialize)]
pub(super) struct Window {
    #[serde(default)]
    start: u32,
    #[serde(default)]
    count: Option<u32>,
}

pub(super) async fn part_addresses(
    State(app): State<Arc<App>>,
    Path((package, id)): Path<(String, String)>,
    Query(window): Query<Window>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    let token = packages::token(&headers)?;
    let (package_id, file_id) = (package.clone(), id.clone());
    let check = move |connection: &Connection| {
        packages::open(connection, &package_id, &token)?;
        find(connection, &package_id, &file_id).map(drop)
    };
    app.hub.inner.database.read(check).await?;
    let end = window.start.saturating_add(window.count.unwrap_or(1));
    if end > MOST_PARTS {
        return Err(Refusal::bad(format!("a file has at most {MOST_PARTS} parts")));
    }
    let blueprints: Vec<Value> = (window.start..end)
        .map(|index| {
            let url = address(&app, "PUT", &format!("/storage/{package}/{id}/parts/{}", index + 1));
            json!({ "method": "PUT", "url": url, "headers": {}, "body": "" })
        })
        .collect();
    Ok(Json(Value::Array(blueprints)))
}

#[derive(Deserialize)]
pub(super) struct Closing {
    #[serde(deserialize_with = "number", default)]
    size: u64,
    #[serde(default)]
    file_extras: Option<FileExtras>,
    #[serde(default)]
    chunk_extras: Vec<ChunkExtras>,
}

#[derive(Deserialize)]
struct FileExtras {
    #[serde(default)]
    upload_id: String,
}

#[derive(Deserialize)]
struct ChunkExtras {
    #[serde(rename = "partNumber", alias = "part_number", deserialize_with = "number")]
    number: u64,
    etag: String,
}

pub(super) async fn finalize(
    State(app): State<Arc<App>>,
    Path((package, id)): Path<(String, String)>,
    headers: HeaderMap,
    Body(closing): Body<Closing>,
) -> Result<Json<Value>, Refusal> {
    let token = packages::token(&headers)?;
    let write = move |connection: &Connection| {
        packages::owned(connection, &package, &token)?;
        finalize_in(connection, &package, &id, &closing)?;
        Ok::<_, Refusal>(json!({ "id": id, "size": closing.size }))
    };
    Ok(Json(app.hub.inner.database.write(write).await?))
}

/// Closes a file whose parts are all there, in order, with the listed tags. Doing it again changes nothing.
fn finalize_in(connection: &Connection, package: &str, id: &str, closing: &Closing) -> Result<(), Refusal> {
    let known = find(connection, package, id)?;
    if known.finalized && known.size == closing.size {
        return Ok(());
    }
    packages::find(connection, package)
        .and_then(|package| if package.is_open() { Ok(()) } else { Err(Refusal::bad("the package is closed")) })?;
    let upload: String =
        connection.prepare_cached("SELECT upload_id FROM file WHERE id = ?1")?.query_row([id], |row| row.get(0))?;
    let named = closing.file_extras.as_ref().map(|extras| extras.upload_id.as_str());
    if named.is_some_and(|named| named != upload) {
        return Err(Refusal::storage(StatusCode::NOT_FOUND, "NoSuchUpload", "no such upload of this file"));
    }
    let mut statement =
        connection.prepare_cached("SELECT number, size, md5 FROM part WHERE file_id = ?1 ORDER BY number")?;
    let stored: Vec<(u64, u64, String)> = statement
        .query_map([id], |row| {
            Ok((row.get::<_, i64>(0)?.unsigned_abs(), row.get::<_, i64>(1)?.unsigned_abs(), row.get(2)?))
        })?
        .collect::<Result<_, _>>()?;
    let mut listed: Vec<&ChunkExtras> = closing.chunk_extras.iter().collect();
    listed.sort_by_key(|part| part.number);
    let invalid = |message: String| Refusal::storage(StatusCode::BAD_REQUEST, "InvalidPart", message);
    if listed.len() != stored.len() {
        return Err(invalid(format!("{} parts are listed, {} are stored", listed.len(), stored.len())));
    }
    for ((expected, listed), (number, _, md5)) in (1..).zip(&listed).zip(&stored) {
        let etag = listed.etag.trim().trim_matches('"');
        if listed.number != expected || *number != expected || !etag.eq_ignore_ascii_case(md5) {
            return Err(invalid(format!("part {expected} is not the one that is stored")));
        }
    }
    let size: u64 = stored.iter().map(|(_, size, _)| size).sum();
    if size != closing.size {
        return Err(invalid(format!("the parts have {size} bytes, the file is said to have {}", closing.size)));
    }
    connection
        .prepare_cached("UPDATE file SET finalized = 1, size = ?2 WHERE id = ?1")?
        .execute(params![id, size.cast_signed()])?;
    Ok(())
}

pub(super) async fn remove(
    State(app): State<Arc<App>>,
    Path((package, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<StatusCode, Refusal> {
    let token = packages::token(&headers)?;
    let (package_id, file_id) = (package.clone(), id.clone());
    let write = move |connection: &Connection| {
        packages::open(connection, &package_id, &token)?;
        find(connection, &package_id, &file_id)?;
        connection.prepare_cached("DELETE FROM file WHERE id = ?1")?.execute([&file_id])?;
        Ok::<_, Refusal>(())
    };
    app.hub.inner.database.write(write).await?;
    let hub = app.hub.clone();
    match tokio::task::spawn_blocking(move || hub.inner.disk.remove_file(&package, &id)).await {
        Ok(Ok(())) => Ok(StatusCode::NO_CONTENT),
        Ok(Err(error)) => Err(Refusal::internal(&error)),
        Err(error) => Err(Refusal::internal(&error)),
    }
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    Path(package): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    let token = packages::token(&headers)?;
    let hub = app.hub.clone();
    let read = move |connection: &Connection| {
        links::reader(connection, &hub, &package, &token)?;
        let files = all(connection, &package)?;
        let list = files.iter().map(|file| {
            json!({
                "id": file.id, "kind": "file", "name": file.name, "path": file.folder, "size": file.size,
                "last_modified": wire_time(file.last_modified), "virus_detected": false,
            })
        });
        Ok::<_, Refusal>(Json(list.collect()))
    };
    app.hub.inner.database.read(read).await
}

pub(super) async fn download(
    State(app): State<Arc<App>>,
    Path((package, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    let token = packages::token(&headers)?;
    let url = address(&app, "GET", &format!("/storage/{package}/{id}/content"));
    let hub = app.hub.clone();
    let read = move |connection: &Connection| {
        links::reader(connection, &hub, &package, &token)?;
        find(connection, &package, &id).map(drop)
    };
    app.hub.inner.database.read(read).await?;
    Ok(Json(json!({ "url": url })))
}
