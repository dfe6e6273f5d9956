//! What only a hub with a bucket does. Each test is skipped where there is no S3 server.

use std::io::Read;
use std::process::Stdio;
use std::time::Duration;

use masv_hub::{Hub, HubError};
use reqwest::Method;
use serde_json::json;

use super::client::{Package, TestHub, good, refused, sweep_at_start, text};
use crate::process::command;
use crate::s3_server::{self, Place};
use crate::support::wait_until;

async fn place() -> Option<Place> {
    tokio::task::spawn_blocking(s3_server::place).await.unwrap()
}

#[tokio::test]
async fn bytes_go_to_the_bucket_and_from_it_and_never_through_the_hub() {
    let Some(place) = place().await else { return };
    let hub = TestHub::start_at(place.clone(), |_| {}).await;
    let package = hub.new_package(json!({ "name": "Straight" })).await;
    let file = package.announce("", "a.mov", 100_000).await;
    let part = package.addresses(&file, 0, 1).await.remove(0);
    let tag = package.put(&part, &[1; 100_000]).await;
    assert_eq!(package.finalize_file(&file, 100_000, &[tag]).await.status(), 200);
    good(package.request(Method::POST, "/finalize")).await;
    let read = package.download_url(&package.token, &file.id).await;
    for address in [part, read] {
        assert!(!address.starts_with(&hub.base) && address.contains("X-Amz-Signature="), "{address}");
    }
    assert_eq!(place.objects().await, [format!("{}/{}", package.id, file.id)]);
    assert!(hub.stored_files().is_empty());
}

#[tokio::test]
async fn a_file_whose_joining_was_not_written_down_is_closed_when_its_sender_asks_again() {
    let Some(place) = place().await else { return };
    let hub = TestHub::start_at(place.clone(), |_| {}).await;
    let package = hub.new_package(json!({ "name": "Killed between" })).await;
    let file = package.announce("", "a.mov", 100_000).await;
    let part = package.addresses(&file, 0, 1).await.remove(0);
    let tag = package.put(&part, &[1; 100_000]).await;
    place.complete(&format!("{}/{}", package.id, file.id), &file.upload, std::slice::from_ref(&tag)).await;
    assert_eq!(package.finalize_file(&file, 99_999, std::slice::from_ref(&tag)).await.status(), 400, "another size");
    assert_eq!(package.finalize_file(&file, 100_000, &[tag]).await.status(), 200);
    good(package.request(Method::POST, "/finalize")).await;
}

#[tokio::test]
async fn a_file_that_was_begun_twice_keeps_the_upload_that_its_sender_knows() {
    let Some(place) = place().await else { return };
    let hub = TestHub::start_at(place.clone(), |_| {}).await;
    let package = hub.new_package(json!({ "name": "Twice" })).await;
    let body = json!({ "kind": "file", "name": "a", "path": "", "size": 100_000 });
    let answer = good(package.request(Method::POST, "/files").json(&body)).await;
    let id = text(&answer["file"], "id");
    let begin = async || {
        let begun =
            hub.request(Method::POST, answer["create_blueprint"]["url"].as_str().unwrap()).send().await.unwrap();
        let xml = begun.text().await.unwrap();
        let upload = xml.split("<UploadId>").nth(1).unwrap().split('<').next().unwrap().to_owned();
        super::client::File { id: id.clone(), upload }
    };
    for file in [begin().await, begin().await] {
        package.addresses(&file, 0, 1).await;
        wait_until("only the last upload is there", Duration::from_secs(20), async || {
            place.uploads().await.contains(&file.upload)
        })
        .await;
    }
    wait_until("the first upload is given up", Duration::from_secs(20), async || place.uploads().await.len() == 1)
        .await;
}

#[tokio::test]
async fn what_nobody_knows_in_the_bucket_is_removed_and_nothing_else() {
    let Some(place) = place().await else { return };
    let hub = TestHub::start_at(place.clone(), |_| {}).await;
    let package = hub.sent_package(json!({ "name": "Known" }), &[5; 100_000]).await;
    let open = hub.new_package(json!({ "name": "Open" })).await;
    let begun = open.announce("", "a", 100_000).await;
    open.addresses(&begun, 0, 1).await;
    let lost = open.announce("", "b", 100_000).await;
    open.send("", "b", &[&[1; 100_000]]).await;
    let known: Vec<String> = place.objects().await;
    assert_eq!(known.len(), 2);
    place.put(&format!("{}/{}", package.id, ulid::Ulid::generate()), b"left by a crash").await;
    place.put(&format!("{}/{}", ulid::Ulid::generate(), ulid::Ulid::generate()), b"of a package that is gone").await;
    place.put("notes/readme.txt", b"of somebody else").await;
    let uploads = place.uploads().await;
    assert!(uploads.contains(&begun.upload) && uploads.contains(&lost.upload), "{uploads:?}");
    let (begun, id) = (begun.upload.clone(), package.id.clone());
    drop((package, open));
    let folder = hub.stop().await;
    sweep_at_start(&folder.path().join("data"));
    let _hub = TestHub::start_in(folder, |config| {
        config.bucket = Some(place.config());
        config.orphans_after = Duration::ZERO;
        config.trash_days = 0;
    })
    .await;
    let mut expected = known;
    expected.push("notes/readme.txt".to_owned());
    expected.sort();
    wait_until(&format!("only what is known is left of {id}"), Duration::from_secs(30), async || {
        place.objects().await == expected && place.uploads().await == [begun.clone()]
    })
    .await;
}

/// In a bucket the hub saw nothing of what a stranger sent: 10 bytes were announced, and any number of parts of any size were taken.
#[tokio::test]
async fn a_stranger_sends_no_more_to_the_bucket_than_was_announced() {
    let Some(place) = place().await else { return };
    let hub = TestHub::start_at(place, |_| {}).await;
    let portal = good(hub.request(Method::GET, "/v1/subdomains/portals/open")).await;
    let path = format!("/v1/portals/{}/packages", text(&portal, "id"));
    let begun = good(hub.request(Method::POST, &path).json(&json!({ "name": "In", "sender": "a@example.com" }))).await;
    let package = Package { hub: &hub, id: text(&begun, "id"), token: text(&begun, "access_token") };
    let status = async |url: &str, bytes: usize| {
        hub.request(Method::PUT, url).body(vec![1; bytes]).send().await.unwrap().status().as_u16()
    };
    // One part, of the size that was announced, whether or not its sender says how large parts are.
    for body in [json!({ "name": "a", "size": 10 }), json!({ "name": "b", "size": 10, "chunk_size": 100_000 })] {
        let file = package.announce_as(body).await;
        let addresses = package.addresses(&file, 0, 5).await;
        assert_eq!(addresses.len(), 1);
        assert_eq!(status(&addresses[0], 6 << 20).await, 403);
        assert_eq!(status(&addresses[0], 11).await, 403);
        let beyond = package.request(Method::POST, &format!("/files/{}?start=1&count=1", file.id));
        refused(beyond.json(&json!({ "upload_id": file.upload })), 400).await;
        let tag = package.put(&addresses[0], &[1; 10]).await;
        assert_eq!(package.finalize_file(&file, 10, &[tag]).await.status(), 200);
    }
    // Several parts, each with its own length.
    let (chunk, last) = (5 << 20, 1000);
    let body = json!({ "name": "c", "size": chunk + last, "chunk_size": chunk });
    let file = package.announce_as(body).await;
    let addresses = package.addresses(&file, 0, 2).await;
    assert_eq!((status(&addresses[0], last).await, status(&addresses[1], chunk).await), (403, 403));
    let tags = [package.put(&addresses[0], &vec![1; chunk]).await, package.put(&addresses[1], &vec![1; last]).await];
    assert_eq!(package.finalize_file(&file, (chunk + last) as u64, &tags).await.status(), 200);
    good(package.request(Method::POST, "/finalize")).await;
}

/// A stranger who said no size was stopped only when the file was closed: whatever was sent by then was in the bucket.
#[tokio::test]
async fn a_stranger_who_says_no_size_is_stopped_while_parts_arrive() {
    let Some(place) = place().await else { return };
    let hub = TestHub::start_at(place.clone(), |_| {}).await;
    let portal = good(hub.request(Method::GET, "/v1/subdomains/portals/open")).await;
    let portal = text(&portal, "id");
    let limits = json!({ "package_size_restriction_enabled": true, "max_package_size": 8 << 20 });
    good(hub.team_request(Method::PUT, &format!("/v1/portals/{portal}")).json(&limits)).await;
    let begin = async || {
        let path = format!("/v1/portals/{portal}/packages");
        let begun =
            good(hub.request(Method::POST, &path).json(&json!({ "name": "In", "sender": "a@example.com" }))).await;
        Package { hub: &hub, id: text(&begun, "id"), token: text(&begun, "access_token") }
    };
    // By the next address that is asked for.
    let package = begin().await;
    let file = package.announce_as(json!({ "name": "a" })).await;
    let addresses = package.addresses(&file, 0, 9).await;
    assert_eq!(addresses.len(), 2, "no more parts than could be in it");
    package.put(&addresses[0], &vec![1; 6 << 20]).await;
    assert_eq!(package.addresses(&file, 1, 1).await.len(), 1, "6 MiB of 8 are not too much");
    package.put(&addresses[1], &vec![1; 6 << 20]).await;
    let more = package.request(Method::POST, &format!("/files/{}?start=1&count=1", file.id));
    refused(more.json(&json!({ "upload_id": file.upload })), 400).await;
    // And by itself, soon.
    let package = begin().await;
    let file = package.announce_as(json!({ "name": "b" })).await;
    let addresses = package.addresses(&file, 0, 2).await;
    for address in &addresses {
        package.put(address, &vec![1; 6 << 20]).await;
    }
    wait_until("no further part is taken", Duration::from_secs(90), async || {
        let again = hub.request(Method::PUT, &addresses[0]).body(vec![1; 10]).send().await.unwrap();
        again.status() == 404
    })
    .await;
}

/// With downloads through the hub, what a browser reads is known: nobody has to confirm it, and nobody is believed.
#[tokio::test]
async fn what_is_read_through_the_hub_is_known_also_of_a_bucket() {
    let Some(place) = place().await else { return };
    let hub = TestHub::start_at(place, |config| config.bucket.as_mut().unwrap().downloads_through_hub = true).await;
    let package = hub.sent_package(json!({ "name": "Cut" }), &[7; 100_000]).await;
    let link = package.new_link(json!({})).await;
    let page = hub.request(Method::GET, &text(&link, "url")).header("Accept", "text/html").send().await.unwrap();
    let html = page.text().await.unwrap();
    let at = html.find("class=\"button large\" href=\"").unwrap() + "class=\"button large\" href=\"".len();
    let href = html[at..].split('"').next().unwrap().replace("&#x2f;", "/").replace("&amp;", "&");
    let token = href.split_once("token=").unwrap().1.to_owned();
    let answer = hub.request(Method::GET, &href).header("Range", "bytes=0-49999").send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.bytes().await.unwrap().len()), (206, 50_000), "no redirect");
    let path = format!("/v1/packages/{}/downloads", package.id);
    let confirmed = good(hub.request(Method::POST, &path).header("X-Package-Token", &token).json(&json!({}))).await;
    assert_eq!(confirmed["state"], "started", "half of it was delivered, whatever is said");
    let rest = hub.request(Method::GET, &href).header("Range", "bytes=50000-").send().await.unwrap();
    assert_eq!(rest.bytes().await.unwrap().len(), 50_000);
    wait_until("it is complete", Duration::from_secs(30), async || {
        good(package.request(Method::GET, "/downloads")).await[0]["state"] == "complete"
    })
    .await;
}

/// What nobody knows in the bucket stays there as long as the trash keeps: the database may be the one that is wrong.
#[tokio::test]
async fn what_nobody_knows_in_the_bucket_is_removed_only_when_it_was_unknown_for_days() {
    const HOUR: i64 = 60 * 60 * 1000;
    let Some(place) = place().await else { return };
    let hub = TestHub::start_at(place.clone(), |_| {}).await;
    for _ in 0..2 {
        hub.sent_package(json!({ "name": "Known" }), &[1; 1000]).await;
    }
    let lost = hub.sent_package(json!({ "name": "Lost" }), &[1; 1000]).await.id.clone();
    let (data, mut folder) = (hub.data(), hub.stop().await);
    let change = |sql: &str| {
        let database = rusqlite::Connection::open(data.join("hub.db")).unwrap();
        database.execute_batch("PRAGMA foreign_keys = ON").unwrap();
        database.execute(sql, []).unwrap()
    };
    assert_eq!(change(&format!("DELETE FROM package WHERE id = '{lost}'")), 1);
    let before = place.objects().await;
    assert_eq!(before.len(), 3);
    for (hours, left) in [(0, 3), (7 * 24 - 1, 3), (7 * 24 + 1, 2)] {
        change(&format!("UPDATE orphan SET since = since - {}", hours * HOUR));
        sweep_at_start(&data);
        let hub = TestHub::start_in(folder, |config| {
            config.bucket = Some(place.config());
            config.orphans_after = Duration::ZERO;
        })
        .await;
        // The chore is done when its next time is written down.
        let due = || {
            let database = rusqlite::Connection::open(data.join("hub.db")).unwrap();
            let sql = "SELECT due_at > unixepoch() * 1000 AND attempts = 0 FROM job WHERE id = 'sweep_bucket'";
            database.query_row(sql, [], |row| row.get::<_, bool>(0)).unwrap()
        };
        wait_until("the bucket is swept", Duration::from_secs(30), async || due()).await;
        assert_eq!(place.objects().await.len(), left, "after {hours} hours");
        folder = hub.stop().await;
        change(&format!("UPDATE orphan SET since = since + {}", hours * HOUR));
    }
    assert!(before.iter().any(|object| object.contains(&lost)));
    assert!(!place.objects().await.iter().any(|object| object.contains(&lost)));
}

#[tokio::test]
async fn a_hub_that_is_given_a_bucket_keeps_what_it_has_and_can_not_do_without_it_then() {
    let Some(place) = place().await else { return };
    let hub = TestHub::start().await;
    let old = hub.sent_package(json!({ "name": "Before" }), &[1; 100_000]).await.id.clone();
    let folder = hub.stop().await;
    let hub = TestHub::start_in(folder, |config| config.bucket = Some(place.config())).await;
    let new = hub.sent_package(json!({ "name": "After" }), &[2; 100_000]).await.id.clone();
    for (package, byte) in [(old, 1), (new, 2)] {
        let files = good(hub.team_request(Method::GET, &format!("/v1/packages/{package}/files"))).await;
        let path = format!("/v1/packages/{package}/files/{}/download", text(&files[0], "id"));
        let url = text(&good(hub.team_request(Method::GET, &path)).await, "url");
        assert!(hub.request(Method::GET, &url).send().await.unwrap().bytes().await.unwrap() == vec![byte; 100_000]);
    }
    let (data, _folder) = (hub.data(), hub.stop().await);
    let config = masv_hub::HubConfig::new(data);
    let hub = Hub::open(config).await.unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let served = hub.serve(listener, tokio_util::sync::CancellationToken::new()).await;
    assert!(matches!(&served, Err(HubError::Bucket { problem, .. }) if problem.contains("--storage")), "{served:?}");
}

#[tokio::test]
async fn the_program_takes_a_bucket_and_refuses_one_that_does_not_let_it_in() {
    let Some(place) = place().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let (address, credentials) = place.written();
    let file = folder.path().join("credentials");
    let start = |credentials: &str, address: &str| {
        std::fs::write(&file, credentials).unwrap();
        let mut program = command(folder.path(), &["hub", "start", "--listen", "127.0.0.1:0", "--log-level", "info"]);
        program.args(["--storage", address, "--storage-credentials", "credentials"]);
        program.arg("--data-dir").arg(folder.path().join("hub"));
        program.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        program
    };
    for (credentials, address, expected) in [
        (credentials.replace("test-secret", "wrong"), address.clone(), "SignatureDoesNotMatch"),
        (credentials.clone(), address.replace("masv-test", "another-bucket"), "NoSuchBucket"),
        (credentials.clone(), address.replace("endpoint", "endpiont"), "endpiont"),
        (String::new(), address.clone(), "aws_access_key_id"),
    ] {
        let output = tokio::task::spawn_blocking({
            let mut program = start(&credentials, &address);
            move || program.output().unwrap()
        });
        let output = output.await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(expected), "{expected}: {said}");
        assert!(!said.contains("test-secret"), "{said}");
    }
    let mut running = start(&credentials, &address).spawn().unwrap();
    let mut log = running.stderr.take().unwrap();
    let told = tokio::task::spawn_blocking(move || {
        let (mut said, mut block) = (String::new(), [0; 4096]);
        while !said.contains("hub is listening") {
            let size = log.read(&mut block).unwrap();
            said.push_str(&String::from_utf8_lossy(&block[..size]));
            if size == 0 {
                break;
            }
        }
        said
    });
    let told = told.await.unwrap();
    running.kill().unwrap();
    running.wait().unwrap();
    assert!(told.contains("new files are stored in the bucket") && told.contains("hub is listening"), "{told}");
    assert!(!told.contains("test-secret"), "{told}");
}
