//! Files of a package: announcing, addresses for parts, closing, listing, reading.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use crate::Hub;
use crate::error::Refusal;
use crate::http::auth::Reader;
use crate::http::ranges::attachment;
use crate::http::wire::{JsonBody, new_id, now, number, parse_time, text};
use crate::http::{auth, objects};
use crate::keys::tokens::Action;
use crate::records::files;
use crate::records::files::NewFile;
use crate::records::{links, packages};
use crate::storage::multipart_complete::ListedPart;

/// The longest name of a file or a folder, bytes.
const LONGEST_NAME: usize = 255;
/// The longest path, bytes.
const LONGEST_PATH: usize = 4096;

#[derive(Deserialize)]
pub(super) struct GivenFile {
    #[serde(default)]
    kind: Option<String>,
    /// Missing is as bad as empty, but only to whoever may announce files at all.
    #[serde(default)]
    name: String,
    #[serde(default, deserialize_with = "text")]
    path: Option<String>,
    #[serde(default)]
    last_modified: Value,
    #[serde(default, deserialize_with = "number")]
    size: Option<u64>,
}

pub(super) async fn create(
    State(hub): State<Hub>,
    Path(package): Path<String>,
    headers: HeaderMap,
    JsonBody(given): JsonBody<GivenFile>,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    auth::full(&hub, &headers, &package).await?;
    let directory = match given.kind.as_deref() {
        None | Some("" | "file") => false,
        Some("directory" | "folder") => true,
        Some(other) => return Err(Refusal::invalid(format!("kind is {other:?}, not \"file\" or \"directory\""))),
    };
    let path = plain_path(&given.path.unwrap_or_default());
    check_name(&given.name)?;
    if !path.is_empty() {
        path.split('/').try_for_each(check_name)?;
    }
    if path.len() > LONGEST_PATH {
        return Err(Refusal::invalid("the path is too long"));
    }
    let now = now();
    let file = NewFile {
        id: new_id()?,
        package: package.clone(),
        directory,
        path,
        name: given.name,
        size: given.size.unwrap_or_default(),
        last_modified: modified(&given.last_modified).unwrap_or(now),
        in_bucket: hub.storage().bucket.is_some(),
    };
    let id = file.id.clone();
    let mut answer = json!({
        "id": file.id,
        "kind": if directory { "directory" } else { "file" },
        "name": file.name,
        "path": file.path,
        "size": file.size,
    });
    let abandoned = hub.database().write(move |connection| files::insert(connection, &file, now)).await?;
    hub.remove(abandoned);
    answer["package_id"] = package.as_str().into();
    let address = match &hub.storage().bucket {
        Some(bucket) => bucket.begin_address(&package, &id, hub.config().address_life).to_string(),
        None => hub.base(&headers) + &hub.keys().address(&package, &id, Action::Begin, expires(&hub)),
    };
    let limits = hub.config().limits;
    let answer = json!({
        "file": answer,
        "create_blueprint": blueprint("POST", &address),
        "max_chunks_count": limits.max_chunk_count,
        "max_chunk_size": limits.max_chunk_size,
        "min_chunk_size": limits.min_chunk_size,
    });
    Ok((StatusCode::CREATED, Json(answer)))
}

fn blueprint(method: &str, url: &str) -> Value {
    json!({ "method": method, "url": url, "headers": {}, "body": null })
}

/// Seconds since 1970 until when an address that is made now holds.
pub(super) fn expires(hub: &Hub) -> i64 {
    (now() / 1000).saturating_add(i64::try_from(hub.config().address_life.as_secs()).unwrap_or(i64::MAX))
}

/// A folder in a package without what foreign clients put around it: `./` and slashes.
fn plain_path(path: &str) -> String {
    let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty() && *name != ".").collect();
    names.join("/")
}

/// A name that every recipient's disk can carry and that leads nowhere else.
fn check_name(name: &str) -> Result<(), Refusal> {
    let bad = name.is_empty()
        || name == "."
        || name == ".."
        || name.len() > LONGEST_NAME
        || name.contains('/')
        || name.chars().any(char::is_control);
    if bad { Err(Refusal::invalid(format!("{name:?} can not be the name of a file or a folder"))) } else { Ok(()) }
}

/// When a file was changed last: RFC 3339, or milliseconds since 1970, or seconds.
fn modified(value: &Value) -> Option<i64> {
    match value {
        Value::String(text) => parse_time(text).or_else(|| modified(&json!(text.parse::<i64>().ok()?))),
        Value::Number(number) => {
            let number = number.as_i64()?;
            // Milliseconds of 1973, or seconds of the year 5138.
            Some(if number.unsigned_abs() > 100_000_000_000 { number } else { number.saturating_mul(1000) })
        }
        _ => None,
    }
}

#[derive(Deserialize)]
pub(super) struct Window {
    #[serde(default)]
    start: Option<u32>,
    #[serde(default)]
    count: Option<u32>,
}

#[derive(Deserialize)]
pub(super) struct OfUpload {
    #[serde(default)]
    upload_id: Option<String>,
}

pub(super) async fn part_addresses(
    State(hub): State<Hub>,
    Path((package, file)): Path<(String, String)>,
    Query(window): Query<Window>,
    headers: HeaderMap,
    JsonBody(given): JsonBody<OfUpload>,
) -> Result<Json<Vec<Value>>, Refusal> {
    auth::full(&hub, &headers, &package).await?;
    let (start, count) = (window.start.unwrap_or(0), window.count.unwrap_or(1));
    let most = hub.config().limits.max_chunk_count;
    if count == 0 || start.checked_add(count).is_none_or(|end| end > most) {
        return Err(Refusal::invalid(format!("a file has 1 to {most} parts")));
    }
    let (of, id) = (package.clone(), file.clone());
    let found = hub.database().read(move |connection| files::get(connection, &of, &id)).await?;
    if found.finalized {
        return Err(Refusal::conflict("the file is finalized"));
    }
    let parts = start + 1..=start + count;
    if found.in_bucket {
        let addresses = objects::part_addresses(&hub, &package, found, given.upload_id, parts).await?;
        return Ok(Json(addresses.iter().map(|address| blueprint("PUT", address.as_str())).collect()));
    }
    let upload = hub.keys().upload_id(&file);
    if given.upload_id.is_some_and(|given| given != upload) {
        return Err(Refusal::not_found("upload"));
    }
    let (base, expires) = (hub.base(&headers), expires(&hub));
    let address = |number| hub.keys().address(&package, &file, Action::Part(number, &upload), expires);
    Ok(Json(parts.map(|number| blueprint("PUT", &format!("{base}{}", address(number)))).collect()))
}

#[derive(Deserialize)]
pub(super) struct Closing {
    #[serde(default, deserialize_with = "number")]
    size: Option<u64>,
    #[serde(default)]
    file_extras: Option<OfUpload>,
    #[serde(default)]
    upload_id: Option<String>,
    #[serde(default)]
    chunk_extras: Vec<ClosingPart>,
}

#[derive(Deserialize)]
struct ClosingPart {
    #[serde(rename = "partNumber", alias = "part_number", alias = "PartNumber", deserialize_with = "part_number")]
    number: u32,
    #[serde(alias = "ETag", alias = "eTag", alias = "Etag")]
    etag: String,
}

fn part_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let given = number(deserializer)?;
    given
        .and_then(|number| u32::try_from(number).ok())
        .ok_or_else(|| serde::de::Error::custom("a part number is missing or too large"))
}

pub(super) async fn finalize(
    State(hub): State<Hub>,
    Path((package, file)): Path<(String, String)>,
    headers: HeaderMap,
    JsonBody(given): JsonBody<Closing>,
) -> Result<Json<Value>, Refusal> {
    auth::full(&hub, &headers, &package).await?;
    let upload = given.file_extras.and_then(|extras| extras.upload_id).or(given.upload_id);
    if given.chunk_extras.len() > hub.config().limits.max_chunk_count as usize {
        return Err(Refusal::invalid("the file has too many parts"));
    }
    let parts = given.chunk_extras.into_iter();
    let parts = parts.map(|part| ListedPart { number: part.number, etag: part.etag }).collect();
    let (of, id) = (package.clone(), file.clone());
    let known = hub.database().read(move |connection| files::get(connection, &of, &id)).await?;
    if known.in_bucket && !known.finalized {
        return Ok(Json(objects::finalize(&hub, package, known, upload, parts, given.size).await?.json()));
    }
    if upload.is_some_and(|upload| !known.in_bucket && upload != hub.keys().upload_id(&file)) {
        return Err(Refusal::not_found("upload"));
    }
    let (row, unlisted) = hub
        .database()
        .write(move |connection| files::finalize(connection, &package, &file, parts, given.size, now()))
        .await?;
    hub.remove(unlisted);
    Ok(Json(row.json()))
}

pub(super) async fn remove(
    State(hub): State<Hub>,
    Path((package, file)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<StatusCode, Refusal> {
    auth::full(&hub, &headers, &package).await?;
    let parts = hub.database().write(move |connection| files::delete(connection, &package, &file)).await?;
    hub.remove(parts);
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn list(
    State(hub): State<Hub>,
    Path(package): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Vec<Value>>, Refusal> {
    let visitor = matches!(auth::reader(&hub, &headers, &package).await?, Reader::Visitor(_));
    let rows = hub
        .database()
        .read(move |connection| {
            packages::get(connection, &package)?;
            files::list(connection, &package, visitor)
        })
        .await?;
    Ok(Json(rows.iter().map(files::FileRow::json).collect()))
}

pub(super) async fn download(
    State(hub): State<Hub>,
    Path((package, file)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    let reader = auth::reader(&hub, &headers, &package).await?;
    let (of, id) = (package.clone(), file.clone());
    let row = hub.database().read(move |connection| files::get(connection, &of, &id)).await?;
    if !row.finalized || row.kind != "file" {
        return Err(Refusal::not_found("file"));
    }
    if let Reader::Visitor(visit) = reader {
        hub.database()
            .write(move |connection| links::count_visit(connection, &visit.link, &visit.visit, now()))
            .await?;
    }
    let url = if row.in_bucket {
        hub.bucket()?.read_address(&package, &file, &attachment(&row.name), hub.config().address_life).to_string()
    } else {
        hub.base(&headers) + &hub.keys().address(&package, &file, Action::Read, expires(&hub))
    };
    Ok(Json(json!({ "url": url })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for bad in ["", ".", "..", "a/b", "a\nb", "a\0b", &"x".repeat(256)] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
        for good in ["a", "...", "🎬 naïve.mov", "a\\b", "-rf"] {
            assert!(check_name(good).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn the_root_has_many_names() {
        for root in ["", "/", "./", ".", "//", "/./"] {
            assert_eq!(plain_path(root), "");
        }
        assert_eq!(plain_path("./a//b/"), "a/b");
    }

    #[test]
    fn times_of_change_come_as_text_milliseconds_or_seconds() {
        let expected = Some(1_700_000_000_000);
        for value in [json!("2023-11-14T22:13:20Z"), json!(1_700_000_000_000_i64), json!(1_700_000_000)] {
            assert_eq!(modified(&value), expected, "{value}");
        }
        assert_eq!(modified(&json!("1700000000000")), expected);
        assert_eq!(modified(&Value::Null), None);
        assert_eq!(modified(&json!("soon")), None);
    }
}
