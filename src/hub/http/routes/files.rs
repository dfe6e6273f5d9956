//! Files of a package: announcing, addresses for parts, closing, listing, reading.

use axum::Json;
use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use jiff::Timestamp;
use masv_protocol::{
    AnnouncedFile, Blueprint, CreatedFile, File, FileAddress, FileId, FileKind, FinalizeFile, Limits, MultipartId,
    NewFile, PackageId, PartAddresses, PartWindow, Time,
};

use crate::Hub;
use crate::clock::{after, now};
use crate::http::access::{Base, Id, PackageReader, PackageWriter};
use crate::http::bodies::Sender;
use crate::http::bucket_files;
use crate::http::deliveries::Delivery;
use crate::http::json_body::{JsonBody, PARTS_BODY};
use crate::http::presence;
use crate::http::query::Asked;
use crate::http::ranges::{self, attachment};
use crate::http::refusal::Refusal;
use crate::jobs::removal;
use crate::keys::tokens::Action;
use crate::records::downloads::{Origin, Reader};
use crate::records::files::{self, FileRow};

/// The longest name of a file or a folder, bytes.
const LONGEST_NAME: usize = 255;
/// How many files of a list are in memory at a time.
const LISTED_AT_ONCE: u32 = 100;
/// Bytes of an address of a part, as an estimate.
const ADDRESS_BYTES: usize = 400;
/// The longest path, bytes.
const LONGEST_PATH: usize = 4096;

pub(super) async fn create(
    PackageWriter { hub, package, .. }: PackageWriter,
    Base(base): Base,
    JsonBody(given, ..): JsonBody<NewFile>,
) -> Result<(StatusCode, Json<AnnouncedFile>), Refusal> {
    let (id, new) = announce(&hub, &package, given).await?;
    let blueprint = create_blueprint(&hub, &base, &package, &id);
    let file = CreatedFile {
        id,
        kind: Some(new.kind.into()),
        name: new.name,
        path: new.path,
        size: new.size.unwrap_or_default(),
        package_id: Some(package),
    };
    Ok((StatusCode::CREATED, Json(AnnouncedFile::new(file, blueprint, limits(&hub)))))
}

/// Announces a file; returns its id and what it was announced as.
pub(super) async fn announce(
    hub: &Hub,
    package: &PackageId,
    given: NewFile,
) -> Result<(FileId, files::NewFile), Refusal> {
    let path = plain_path(&given.path.unwrap_or_default());
    check_name(&given.name)?;
    if !path.is_empty() {
        path.split('/').try_for_each(check_name)?;
    }
    if path.len() > LONGEST_PATH {
        return Err(Refusal::invalid("the path is too long"));
    }
    let new = files::NewFile {
        package: package.clone(),
        kind: given.kind.unwrap_or(FileKind::File),
        path,
        name: given.name,
        size: if given.kind == Some(FileKind::Directory) { Some(0) } else { given.size },
        last_modified: given.last_modified.and_then(Time::timestamp),
        in_bucket: hub.context.storage.bucket.is_some(),
        chunk_size: given.chunk_size.filter(|size| *size > 0),
    };
    let (id, abandoned) = files::announce(hub.database(), new.clone()).await?;
    removal::remove(&hub.context, abandoned);
    Ok((id, new))
}

/// How to begin a file in the storage.
pub(super) fn create_blueprint(hub: &Hub, base: &str, package: &PackageId, file: &FileId) -> Blueprint {
    let address = match &hub.context.storage.bucket {
        Some(bucket) => bucket.begin_address(package, file, hub.context.config.address_life).to_string(),
        None => base.to_owned() + &hub.context.keys.address((package, file), Action::Begin, expiry(hub)),
    };
    Blueprint::new("POST", address)
}

/// The limits of files and parts.
pub(super) fn limits(hub: &Hub) -> Limits {
    let limits = hub.context.config.limits;
    Limits {
        max_chunk_count: limits.max_chunk_count.into(),
        max_chunk_size: limits.max_chunk_size,
        min_chunk_size: limits.min_chunk_size,
        batches: super::batches::limits(hub),
        confirm_downloads: true,
        growing_files: hub.context.config.batches,
    }
}

/// When a URL that is created now expires.
pub(super) fn expiry(hub: &Hub) -> Timestamp {
    after(now(), hub.context.config.address_life)
}

/// A folder in a package without what other clients put around it: `./` and slashes.
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
    if bad { Err(Refusal::invalid(format!("{name:?} is not a valid name for a file or a folder"))) } else { Ok(()) }
}

pub(super) async fn part_addresses(
    PackageWriter { hub, package, authority }: PackageWriter,
    Id(file): Id<FileId>,
    Asked(window): Asked<PartWindow>,
    Base(base): Base,
    JsonBody(given, ..): JsonBody<PartAddresses>,
) -> Result<Json<Vec<Blueprint>>, Refusal> {
    let (start, count) = (window.start.unwrap_or(0), window.count.unwrap_or(1));
    let most = hub.context.config.limits.max_chunk_count;
    if count == 0 || start.checked_add(count).is_none_or(|end| end > most) {
        return Err(Refusal::invalid(format!("a file has 1 to {most} parts")));
    }
    // Ten thousand addresses take as much memory as a large body.
    let mut held = hub.server.bodies.hold(Sender::Known(authority.address));
    held.grow(usize::try_from(count).unwrap_or(usize::MAX).saturating_mul(ADDRESS_BYTES))?;
    let found = files::get(hub.database(), package.clone(), file.clone()).await?;
    if found.finalized {
        return Err(Refusal::conflict("the file is finalized"));
    }
    let parts = start + 1..=start + count;
    if found.in_bucket {
        let addresses =
            bucket_files::part_addresses(&hub, &package, found, given.upload_id, (parts, authority.team.is_none()));
        let addresses = addresses.await?;
        return Ok(Json(addresses.into_iter().map(|address| Blueprint::new("PUT", address)).collect()));
    }
    if given.upload_id.is_some_and(|given| !hub.context.keys.is_upload_id(&file, &given)) {
        return Err(Refusal::not_found("upload"));
    }
    let (upload, expires) = (hub.context.keys.upload_id(&file), expiry(&hub));
    let address = |number| hub.context.keys.address((&package, &file), Action::Part(number, &upload), expires);
    Ok(Json(parts.map(|number| Blueprint::new("PUT", format!("{base}{}", address(number)))).collect()))
}

pub(super) async fn finalize(
    PackageWriter { hub, package, .. }: PackageWriter,
    Id(file): Id<FileId>,
    JsonBody(given, ..): JsonBody<FinalizeFile, PARTS_BODY>,
) -> Result<Json<File>, Refusal> {
    Ok(Json(close(&hub, package, file, given).await?.message()))
}

/// Finalizes a file.
pub(super) async fn close(
    hub: &Hub,
    package: PackageId,
    file: FileId,
    given: FinalizeFile,
) -> Result<FileRow, Refusal> {
    if given.chunk_extras.len() > hub.context.config.limits.max_chunk_count as usize {
        return Err(Refusal::invalid("the file has too many parts"));
    }
    let upload: Option<MultipartId> = given.multipart_id().cloned();
    let known = files::get(hub.database(), package.clone(), file.clone()).await?;
    if known.in_bucket && !known.finalized {
        let claim = bucket_files::Claim { upload, listed: given.chunk_extras, size: given.size };
        return bucket_files::finalize(hub, package, known, claim).await;
    }
    if upload.is_some_and(|upload| !known.in_bucket && !hub.context.keys.is_upload_id(&file, &upload)) {
        return Err(Refusal::not_found("upload"));
    }
    let finalizing = files::finalize(hub.database(), (package, file), given.chunk_extras, given.size);
    let (row, unlisted) = finalizing.await?;
    removal::remove(&hub.context, unlisted);
    Ok(row)
}

pub(super) async fn remove(
    PackageWriter { hub, package, .. }: PackageWriter,
    Id(file): Id<FileId>,
) -> Result<StatusCode, Refusal> {
    let left = files::delete(hub.database(), package, file).await?;
    removal::remove(&hub.context, left);
    Ok(StatusCode::NO_CONTENT)
}

/// All files, written page by page: a list of a hundred thousand is never in memory as a whole.
pub(super) async fn list(PackageReader { hub, package, reader }: PackageReader) -> Result<Response, Refusal> {
    let finalized_only = matches!(reader, Some(Reader::Visitor(_)));
    let first = files::page(hub.database(), package.clone(), finalized_only, None, LISTED_AT_ONCE).await?;
    let pages = stream::try_unfold(Some((first, true)), move |page| {
        let (hub, package) = (hub.clone(), package.clone());
        async move {
            let Some(((rows, behind), is_first)) = page else { return Ok::<_, std::io::Error>(None) };
            let text = written(&rows, is_first, behind.is_none())?;
            let Some(behind) = behind else { return Ok(Some((text, None))) };
            let next = files::page(hub.database(), package, finalized_only, Some(behind), LISTED_AT_ONCE).await;
            Ok(Some((text, Some((next.map_err(std::io::Error::other)?, false)))))
        }
    });
    Ok(([(header::CONTENT_TYPE, "application/json")], Body::from_stream(pages)).into_response())
}

/// A page of a list as a stretch of the JSON text of the whole.
fn written(rows: &[FileRow], is_first: bool, is_last: bool) -> std::io::Result<Vec<u8>> {
    let mut text = if is_first { vec![b'['] } else { Vec::new() };
    for (index, row) in rows.iter().enumerate() {
        if index > 0 || !is_first {
            text.push(b',');
        }
        serde_json::to_writer(&mut text, &row.message())?;
    }
    if is_last {
        text.push(b']');
    }
    Ok(text)
}

pub(super) async fn download(
    PackageReader { hub, package, reader }: PackageReader,
    Id(file): Id<FileId>,
    Base(base): Base,
    origin: Origin,
) -> Result<Json<FileAddress>, Refusal> {
    let row = files::get(hub.database(), package.clone(), file.clone()).await?;
    if !row.is_readable() {
        return Err(Refusal::not_found("file"));
    }
    presence::check_not_lost(&row)?;
    // A bucket tells whoever asks it.
    if !row.in_bucket {
        ranges::check_whole(&hub, &package, &row).await?;
    }
    let delivery = Delivery::by(&hub, &package, reader, origin).await?;
    let number = delivery.as_ref().map(|delivery| delivery.number.0);
    let url = if hub.context.is_read_from_bucket(row.in_bucket) {
        if let Some(delivery) = &delivery {
            delivery.hand_out(&file).await?;
        }
        let life = hub.context.config.address_life;
        hub.context.bucket()?.read_address(&package, &file, &attachment(&row.name), life).to_string()
    } else {
        base + &hub.context.keys.address((&package, &file), Action::Read(number), expiry(&hub))
    };
    Ok(Json(FileAddress { url: url.into() }))
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
}
