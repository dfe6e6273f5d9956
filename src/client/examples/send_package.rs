//! Sends one small file and prints the link to it.
//!
//! ```sh
//! masv hub start &   # prints an API key and a team at its first start
//! MASV_HUB_URL=http://127.0.0.1:8090 MASV_HUB_KEY=... MASV_HUB_TEAM=... \
//!     cargo run -p masv-client --example send_package -- clip.mov
//! ```
//!
//! A real sender splits a large file into parts, sends several at once, and retries after network failures: see
//! `PartAddresses` and `FinalizeFile` of the protocol crate, and `CloudError` for what may be retried.

use std::error::Error;
use std::path::Path;

use masv_client::protocol::{FileExtras, FinalizeFile, LinkSettings, ListedPart, NewFile, NewPackage, PackagePath};
use masv_client::{Cloud, CloudSettings, PackageAccess, PartBody, link_address};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args().nth(1).ok_or("usage: send_package FILE")?;
    let variable = |name: &str| std::env::var(name).map_err(|_| format!("set {name}"));
    let cloud = Cloud::new(CloudSettings {
        base: variable("MASV_HUB_URL")?.parse()?,
        name: None,
        api_key: Some(variable("MASV_HUB_KEY")?.into()),
        team_id: Some(variable("MASV_HUB_TEAM")?.into()),
    })?;
    let content = std::fs::read(&file)?;
    let size = content.len() as u64;
    let limits = cloud.limits().await?;
    if size > limits.max_chunk_size {
        return Err("the file is too large to be sent as one part".into());
    }

    // A package, and a link to it that works once it is finalized.
    let place = PackagePath::from_relative(Path::new(Path::new(&file).file_name().ok_or("not a file")?));
    let place = place.ok_or("the file has no name")?;
    let new = NewPackage { name: Some(place.to_string()), ..NewPackage::default() };
    // A key for this run: a hub that is asked twice for want of an answer makes one package.
    let run = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_nanos();
    let made = cloud.create_package(&cloud.team(None)?, &new, &format!("{}-{run}", std::process::id())).await?;
    let package = PackageAccess::from(&made);
    let link = cloud.create_link(package, &LinkSettings::default(), Some("the first link")).await?;

    // The file: announced, started in the storage, its one part sent, finalized.
    let new = NewFile { size: Some(size), chunk_size: Some(limits.max_chunk_size), ..NewFile::at(&place) };
    let announced = cloud.create_file(package, &new).await?;
    let id = &announced.file.id;
    let multipart = cloud.begin_file(&announced.create_blueprint).await?;
    let addresses = cloud.part_addresses(package, id, &multipart, 1, 1).await?;
    let address = addresses.first().ok_or("no address for the part")?;
    let receipt = cloud.send_part(address, PartBody::whole(content.into())).await?;
    let parts = FinalizeFile {
        size: Some(size),
        file_extras: Some(FileExtras { upload_id: Some(multipart) }),
        chunk_extras: vec![ListedPart { number: 1, etag: receipt.tag }],
        ..FinalizeFile::default()
    };
    cloud.finalize_file(package, id, &parts).await?;
    cloud.finalize_package(package).await?;
    #[expect(clippy::print_stdout, reason = "the link is what the example is for")]
    {
        println!("{}", link_address(&link).expose());
    }
    Ok(())
}
