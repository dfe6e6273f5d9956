//! What any storage behind the hub must do, shown over the wire: the same bodies over the disk and over a bucket of a real
//! S3 server.

use std::time::Duration;

use base64::Engine;
use masv_hub::HubConfig;
use reqwest::Method;
use serde_json::json;

use super::client::{KEY, TestHub, good, refused, text};
use super::pages::unzips;
use crate::s3_server;
use crate::support::{content, wait_until};

/// S3 joins no smaller parts but the last.
const PART: usize = 5 << 20;

/// A test over both storages. Without an S3 server the second half says that it was skipped.
macro_rules! over_both {
    ($(async fn $name:ident($hub:ident) $(with $change:expr)?; $body:block)*) => {
        $(async fn $name($hub: TestHub) $body)*

        mod on_disk {
            use super::*;
            $(#[tokio::test]
            async fn $name() {
                super::$name(TestHub::start_with(first_of!($($change,)? |_| {})).await).await;
            })*
        }

        mod in_a_bucket {
            use super::*;
            $(#[tokio::test]
            async fn $name() {
                let Some(place) = tokio::task::spawn_blocking(s3_server::place).await.unwrap() else { return };
                super::$name(TestHub::start_at(place, first_of!($($change,)? |_| {})).await).await;
            })*
        }
    };
}

macro_rules! first_of {
    ($first:expr, $($rest:expr),+) => {
        $first
    };
    ($only:expr) => {
        $only
    };
}

over_both! {
    async fn a_file_in_parts_arrives_whole_and_every_range_of_it(hub); {
        let package = hub.new_package(json!({ "name": "Dailies" })).await;
        let whole = content(1, 2 * PART + 12);
        let parts: Vec<&[u8]> = whole.chunks(PART).collect();
        let file = package.send("A001", "näïve \"1\".mov", &parts).await;
        good(package.request(Method::POST, "/finalize")).await;
        let url = package.download_url(&package.token, &file.id).await;
        let answer = hub.request(Method::GET, &url).send().await.unwrap();
        let disposition = answer.headers()["content-disposition"].to_str().unwrap().to_owned();
        assert!(disposition.contains("filename*=UTF-8''n%C3%A4%C3%AFve%20%221%22.mov"), "{disposition}");
        assert_eq!(answer.headers()["content-type"], "application/octet-stream");
        assert!(answer.bytes().await.unwrap() == whole);
        for (range, from, to) in [
            ("bytes=0-0".to_owned(), 0, 1),
            (format!("bytes={}-{}", PART - 5, PART + 4), PART - 5, PART + 5),
            (format!("bytes={}-", 2 * PART), 2 * PART, whole.len()),
            ("bytes=-5".to_owned(), whole.len() - 5, whole.len()),
        ] {
            let answer = hub.request(Method::GET, &url).header("Range", &range).send().await.unwrap();
            assert_eq!(answer.status(), 206, "{range}");
            assert_eq!(answer.headers()["content-range"], format!("bytes {from}-{}/{}", to - 1, whole.len()).as_str());
            assert!(answer.bytes().await.unwrap() == whole[from..to], "{range}");
        }
        let beyond = hub.request(Method::GET, &url).header("Range", format!("bytes={}-", whole.len())).send().await.unwrap();
        assert_eq!(beyond.status(), 416);
    }

    async fn an_empty_file_is_one_empty_part(hub); {
        let package = hub.new_package(json!({ "name": "Empty" })).await;
        let file = package.send("", "nothing.txt", &[b""]).await;
        good(package.request(Method::POST, "/finalize")).await;
        let url = package.download_url(&package.token, &file.id).await;
        let answer = hub.request(Method::GET, &url).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.bytes().await.unwrap().len()), (200, 0));
    }

    async fn a_file_is_closed_with_exactly_its_parts_and_once(hub); {
        let package = hub.new_package(json!({ "name": "Parts" })).await;
        let size = PART as u64 + 10;
        let file = package.announce("", "a", size).await;
        let addresses = package.addresses(&file, 0, 3).await;
        let one = package.put(&addresses[0], &content(1, PART)).await;
        let two = package.put(&addresses[1], &[2; 10]).await;
        let close = async |size, etags: &[&String]| {
            let etags: Vec<String> = etags.iter().map(|etag| (*etag).clone()).collect();
            package.finalize_file(&file, size, &etags).await.status().as_u16()
        };
        assert_eq!(close(size, &[&one, &one]).await, 400, "a wrong tag");
        assert_eq!(close(size, &[]).await, 400, "no parts");
        assert_eq!(close(size, &[&one, &two, &two]).await, 400, "a part that was not sent");
        assert_eq!(close(size + 1, &[&one, &two]).await, 400, "a wrong size");
        refused(package.request(Method::POST, "/finalize"), 409).await;
        assert_eq!(close(size, &[&one, &two]).await, 200);
        assert_eq!(close(size, &[&one, &two]).await, 200, "the answer was lost");
        let late = hub.request(Method::PUT, &addresses[1]).body(vec![9; 10]).send().await.unwrap();
        assert!(matches!(late.status().as_u16(), 404 | 409), "a part after the end: {}", late.status());
        refused(package.request(Method::POST, &format!("/files/{}?start=0&count=1", file.id)).json(&json!({})), 409).await;
        let url = package.download_url(&package.token, &file.id).await;
        assert_eq!(hub.request(Method::GET, &url).send().await.unwrap().bytes().await.unwrap().len() as u64, size);
    }

    async fn a_part_sent_anew_replaces_the_first_and_unlisted_ones_are_dropped(hub); {
        let package = hub.new_package(json!({ "name": "Parts" })).await;
        let file = package.announce("", "a", 300_000).await;
        let addresses = package.addresses(&file, 0, 2).await;
        package.put(&addresses[0], &[1; 100_000]).await;
        let one = package.put(&addresses[0], &[2; 200_000]).await;
        package.put(&addresses[1], &[3; 100_000]).await;
        assert_eq!(package.finalize_file(&file, 200_000, &[one]).await.status(), 200);
        let url = package.download_url(&package.token, &file.id).await;
        let whole = hub.request(Method::GET, &url).send().await.unwrap().bytes().await.unwrap();
        assert!(whole == vec![2; 200_000]);
        until_kept(&hub, 1).await;
    }

    async fn an_address_that_expired_or_was_changed_is_refused(hub)
        with |config: &mut HubConfig| config.address_life = Duration::from_secs(1);
    {
        let package = hub.new_package(json!({ "name": "Late" })).await;
        let file = package.announce("", "a", 100_000).await;
        let part = package.addresses(&file, 0, 1).await.remove(0);
        tokio::time::sleep(Duration::from_millis(2100)).await;
        let answer = hub.request(Method::PUT, &part).body(vec![0; 100_000]).send().await.unwrap();
        assert_eq!(answer.status(), 403);
        assert!(answer.text().await.unwrap().contains("<Code>AccessDenied</Code>"));
        let fresh = package.addresses(&file, 0, 1).await.remove(0);
        for (from, to) in [("partNumber=1", "partNumber=2"), ("ignature=", "ignature=0")] {
            let changed = fresh.replace(from, to);
            assert_ne!(changed, fresh);
            assert_eq!(hub.request(Method::PUT, &changed).body("x").send().await.unwrap().status(), 403, "{changed}");
        }
    }

    async fn content_md5_is_checked(hub); {
        let package = hub.new_package(json!({ "name": "Sums" })).await;
        let file = package.announce("", "a", 100_000).await;
        let url = package.addresses(&file, 0, 1).await.remove(0);
        let bytes = vec![4; 100_000];
        let sum = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(<md5::Md5 as md5::Digest>::digest(bytes));
        let put = |sum: String| hub.request(Method::PUT, &url).header("Content-MD5", sum).body(bytes.clone()).send();
        let wrong = put(sum(b"other")).await.unwrap();
        assert_eq!(wrong.status(), 400);
        assert!(wrong.text().await.unwrap().contains("BadDigest"));
        assert_eq!(put(sum(&bytes)).await.unwrap().status(), 200);
    }

    async fn announcing_a_file_anew_leaves_nothing_of_the_first(hub); {
        let package = hub.new_package(json!({ "name": "Again" })).await;
        let first = package.announce("d", "a.mov", 100_000).await;
        let addresses = package.addresses(&first, 0, 1).await;
        package.put(&addresses[0], &[1; 100_000]).await;
        package.send("d", "a.mov", &[&[2; 100_000]]).await;
        until_kept(&hub, 1).await;
        let late = hub.request(Method::PUT, &addresses[0]).body(vec![1; 100_000]).send().await.unwrap();
        assert_eq!(late.status(), 404);
        good(package.request(Method::POST, "/finalize")).await;
        assert_eq!(good(package.request(Method::GET, "/files")).await.as_array().unwrap().len(), 1);
    }

    async fn what_is_removed_leaves_nothing(hub) with |config: &mut HubConfig| config.trash_days = 0; {
        let package = hub.new_package(json!({ "name": "Gone" })).await;
        let file = package.send("", "a", &[&[7; 100_000]]).await;
        let path = format!("/files/{}", file.id);
        assert_eq!(package.request(Method::DELETE, &path).send().await.unwrap().status(), 204);
        until_kept(&hub, 0).await;
        package.send("", "b", &[&[7; 100_000]]).await;
        let begun = package.announce("", "c", 100_000).await;
        let address = package.addresses(&begun, 0, 1).await.remove(0);
        package.put(&address, &[1; 100_000]).await;
        until_kept(&hub, 2).await;
        assert_eq!(package.request(Method::DELETE, "").send().await.unwrap().status(), 204);
        until_kept(&hub, 0).await;
    }

    async fn a_package_that_is_over_or_was_given_up_is_emptied(hub); {
        let over = hub.sent_package(json!({ "name": "Over" }), &[5; 100_000]).await;
        let kept = hub.sent_package(json!({ "name": "Kept", "custom_expiry_days": 1 }), &[6; 100_000]).await;
        let unlimited = hub.sent_package(json!({ "name": "Ever", "unlimited_storage": true }), &[6; 100_000]).await;
        let given_up = hub.new_package(json!({ "name": "Given up" })).await;
        let file = given_up.announce("", "a", 100_000).await;
        let address = given_up.addresses(&file, 0, 1).await.remove(0);
        given_up.put(&address, &[1; 100_000]).await;
        until_kept(&hub, 4).await;
        let past = json!({ "unlimited_storage": false, "expiry": "2020-01-01T00:00:00Z" });
        good(over.request(Method::PUT, "/expiry").json(&past)).await;
        let (kept, unlimited) = (kept.id.clone(), unlimited.id.clone());
        drop((over, given_up));
        let bucket = hub.place.clone();
        let folder = hub.stop().await;
        let hub = TestHub::start_in(folder, |config| {
            config.bucket = bucket.as_ref().map(s3_server::Place::config);
            config.abandoned_after_days = Some(0);
            config.trash_days = 0;
        });
        let mut hub = hub.await;
        hub.place = bucket.clone();
        until_kept(&hub, 2).await;
        for package in [kept, unlimited] {
            let path = format!("/v1/packages/{package}/files");
            let files = good(hub.request(Method::GET, &path).header("X-API-KEY", KEY)).await;
            let path = format!("/v1/packages/{package}/files/{}/download", text(&files[0], "id"));
            let answer = good(hub.request(Method::GET, &path).header("X-API-KEY", KEY)).await;
            let content = hub.request(Method::GET, &text(&answer, "url")).send().await.unwrap().bytes().await.unwrap();
            assert!(content == vec![6; 100_000]);
        }
    }

    async fn a_package_that_somebody_is_at_work_on_is_not_given_up(hub); {
        let package = hub.new_package(json!({ "name": "For weeks" })).await;
        let file = package.announce("", "a", 100_000).await;
        let database = rusqlite::Connection::open(hub.data().join("hub.db")).unwrap();
        // Not for so long that it is given up: the hub looks for such packages now and then.
        let an_hour_ago = jiff::Timestamp::now().as_millisecond() - 3_600_000;
        let age = || database.execute("UPDATE package SET updated_at = ?1", [an_hour_ago]).unwrap();
        age();
        let address = package.addresses(&file, 0, 1).await.remove(0);
        package.put(&address, &[6; 100_000]).await;
        let touched = || database.query_row("SELECT updated_at FROM package", [], |row| row.get::<_, i64>(0)).unwrap();
        assert!(touched() > an_hour_ago, "by a part that was sent");
        age();
        package.announce("", "b", 100_000).await;
        assert!(touched() > an_hour_ago, "by a file that was announced");
    }

    async fn the_page_gives_each_file_and_all_as_one_archive_that_can_be_resumed(hub); {
        let package = hub.new_package(json!({ "name": "Day 1" })).await;
        let clip = content(3, PART + 77_777);
        let file = package.send("A001/CLIP", "one & two.mov", &clip.chunks(PART).collect::<Vec<_>>()).await;
        package.send("", "notes.txt", &[b"notes"]).await;
        package.send("", "empty.txt", &[b""]).await;
        good(package.request(Method::POST, "/finalize")).await;
        let link = package.new_link(json!({})).await;
        let page = hub.request(Method::GET, &text(&link, "url")).send().await.unwrap().text().await.unwrap();
        let address = |end: &str| {
            let found = page.split("href=\"").map(|part| part.split('"').next().unwrap()).find(|part| part.contains(end));
            hub.base.clone() + &found.unwrap().replace("&amp;", "&").replace("&#x3d;", "=").replace("&#x2f;", "/")
        };
        let single = address(&format!("/{}", file.id));
        let head = hub.request(Method::HEAD, &single).send().await.unwrap();
        assert_eq!((head.status().as_u16(), head.headers()["content-length"].to_str().unwrap()), (200, clip.len().to_string().as_str()));
        let following = reqwest::Client::builder().no_proxy().build().unwrap();
        assert!(following.get(&single).send().await.unwrap().error_for_status().unwrap().bytes().await.unwrap() == clip);

        let all = address("/all.zip");
        let head = hub.request(Method::HEAD, &all).send().await.unwrap();
        let size: usize = head.headers()["content-length"].to_str().unwrap().parse().unwrap();
        let range = async |range: String| {
            let answer = hub.request(Method::GET, &all).header("Range", range).send().await.unwrap();
            assert_eq!(answer.status(), 206);
            answer.bytes().await.unwrap().to_vec()
        };
        // First from the middle of a file, so that its checksum has to be computed from bytes that were not requested.
        let middle = size / 2;
        let mut archive = range(format!("bytes=0-{}", middle - 1)).await;
        archive.extend(range(format!("bytes={middle}-")).await);
        assert_eq!(archive.len(), size);
        unzips(&archive, &[("A001/CLIP/one & two.mov", &clip), ("notes.txt", b"notes"), ("empty.txt", b"")]);
        let whole = hub.request(Method::GET, &all).send().await.unwrap().bytes().await.unwrap();
        assert!(whole == archive, "the archive is the same each time");
        assert!(range("bytes=-200".to_owned()).await == archive[size - 200..]);
    }

    // Case: a quota holds on what is stored and announced, and only the operator sets it.
    async fn a_quota_refuses_what_goes_beyond_it_and_nothing_else(hub); {
        // The operator of the hub sets it, a key of the team cannot.
        let (quota, limit) = (format!("/v1/teams/{}/quota", hub.team), json!({ "quota": 300_000 }));
        refused(hub.team_request(Method::PUT, &quota).json(&limit), 403).await;
        assert_eq!(hub.hub.call(Method::PUT, &quota, Some(&json!({}))).await.unwrap().0, 400, "left out is not null");
        assert_eq!(hub.hub.call(Method::PUT, &quota, Some(&limit)).await.unwrap().0, 200);
        let package = hub.new_package(json!({ "name": "Full" })).await;
        let file = package.announce("", "a", 200_000).await;
        let body = json!({ "kind": "file", "name": "b", "path": "", "size": 100_001 });
        let message = refused(package.request(Method::POST, "/files").json(&body), 507).await;
        assert!(message.contains("quota of 300.0 kB") && message.contains("300.0 kB"), "{message}");
        let address = package.addresses(&file, 0, 1).await.remove(0);
        package.put(&address, &[0; 200_000]).await;
        let tag = package.put(&address, &[1; 200_000]).await;
        assert_eq!(package.finalize_file(&file, 200_000, &[tag]).await.status(), 200);
        let usage = async |fields: [&str; 3]| {
            let path = format!("/v1/teams/{}/usage", hub.team);
            let usage = good(hub.team_request(Method::GET, &path)).await;
            fields.map(|field| usage[field].as_u64().unwrap())
        };
        assert_eq!(usage(["used", "stored", "quota"]).await, [200_000, 200_000, 300_000]);
        // More than was announced: not taken, at the latest when the file is closed.
        let file = package.announce("", "c", 90_000).await;
        let addresses = package.addresses(&file, 0, 2).await;
        let answer = hub.request(Method::PUT, &addresses[0]).body(vec![2; 90_001]).send().await.unwrap();
        if answer.status() == 200 {
            let tag = answer.headers()["etag"].to_str().unwrap().to_owned();
            assert_eq!(package.finalize_file(&file, 90_001, &[tag]).await.status(), 400, "at the latest when it is closed");
        } else {
            assert_eq!(answer.status(), 400);
        }
        let tag = package.put(&addresses[0], &[2; 90_000]).await;
        assert_eq!(package.finalize_file(&file, 90_000, &[tag]).await.status(), 200);
        assert_eq!(usage(["used", "packages", "quota"]).await, [290_000, 1, 300_000]);
        good(package.request(Method::POST, "/finalize")).await;
        assert_eq!(package.request(Method::DELETE, "").send().await.unwrap().status(), 204);
        assert_eq!(usage(["used", "stored", "packages"]).await, [0, 0, 0]);
    }

    async fn a_package_that_was_removed_comes_back_whole_and_is_gone_when_the_trash_is_emptied(hub); {
        let package = hub.sent_package(json!({ "name": "Back" }), &[3; 100_000]).await;
        let files = good(package.request(Method::GET, "/files")).await;
        let file = text(&files[0], "id");
        let link = package.new_link(json!({})).await;
        let open = format!("/v1/links/{}?secret={}", text(&link, "id"), text(&link, "download_secret"));
        assert_eq!(package.request(Method::DELETE, "").send().await.unwrap().status(), 204);
        refused(package.request(Method::GET, "/files"), 404).await;
        assert!(hub.request(Method::GET, &open).send().await.unwrap().status().is_client_error());
        let (code, trash) = care(&hub, &["trash", "ls"]).await;
        let listed = &trash["packages"][0];
        assert_eq!((code, &listed["id"], &listed["name"], &listed["bytes"]), (0, &json!(package.id), &json!("Back"), &json!(100_000)));
        assert_eq!(care(&hub, &["trash", "restore", &package.id]).await.0, 0);
        assert_eq!(care(&hub, &["trash", "restore", &package.id]).await.0, 4);
        good(hub.request(Method::GET, &open)).await;
        let url = package.download_url(&package.token, &file).await;
        assert!(hub.request(Method::GET, &url).send().await.unwrap().bytes().await.unwrap() == vec![3; 100_000]);
        assert_eq!(package.request(Method::DELETE, "").send().await.unwrap().status(), 204);
        until_kept(&hub, 1).await;
        assert_eq!(care(&hub, &["trash", "empty"]).await.0, 2, "nobody can be asked");
        assert_eq!(care(&hub, &["trash", "empty", "--yes"]).await.0, 0);
        until_kept(&hub, 0).await;
        assert_eq!(care(&hub, &["trash", "ls"]).await.1["packages"], json!([]));
    }

    // Case: a part is missing in the storage, on a disk or in a bucket, and nothing said so before somebody downloaded it.
    async fn a_check_names_what_the_storage_has_lost_and_marks_it(hub); {
        let package = hub.new_package(json!({ "name": "Checked" })).await;
        let whole = content(2, 100_000);
        let (lost, _) = (package.send("A001", "lost.mov", &[&whole]).await, package.send("", "kept.mov", &[&whole]).await);
        good(package.request(Method::POST, "/finalize")).await;
        let (code, report) = care(&hub, &["check", "--deep"]).await;
        assert_eq!((code, &report["parts"], &report["faults"], &report["unknown"]), (0, &json!(2), &json!([]), &json!([])));
        lose(&hub, &package.id, &lost.id).await;
        let strange = ulid::Ulid::generate().to_string();
        match &hub.place {
            Some(place) => place.put(&format!("{strange}/{strange}"), b"strange").await,
            None => {
                std::fs::create_dir(hub.data().join("storage").join(&strange)).unwrap();
                std::fs::write(hub.data().join("storage").join(&strange).join("F.1.00"), "strange").unwrap();
            }
        }
        let (code, report) = care(&hub, &["check"]).await;
        let fault = &report["faults"][0];
        assert_eq!((code, report["faults"].as_array().unwrap().len(), &fault["kind"]), (1, 1, &json!("missing")));
        assert_eq!((&fault["package"], &fault["package_name"]), (&json!(package.id), &json!("Checked")));
        assert_eq!((&fault["file"], &fault["path"]), (&json!(lost.id), &json!("A001/lost.mov")));
        assert_eq!((report["unknown"].as_array().unwrap().len(), &report["unknown"][0]["package"]), (1, &json!(strange)));
        let (code, report) = care(&hub, &["check", "--repair"]).await;
        assert_eq!((code, &report["faults"][0]["repair"]), (1, &json!("marked_lost")));
        let path = format!("/v1/packages/{}/files/{}/download", package.id, lost.id);
        refused(hub.request(Method::GET, &path).header("X-Package-Token", &package.token), 410).await;
        let link = package.new_link(json!({})).await;
        let page = hub.request(Method::GET, &text(&link, "url")).send().await.unwrap().text().await.unwrap();
        assert!(page.contains("missing on the hub") && !page.contains(&format!("/{}", lost.id)), "{page}");
        let opened = format!("/v1/links/{}?secret={}", text(&link, "id"), text(&link, "download_secret"));
        let visit = text(&good(hub.request(Method::GET, &opened)).await, "package_token");
        let all = hub.request(Method::GET, &format!("/{}/all.zip?token={visit}", text(&link, "id"))).send().await.unwrap();
        assert_eq!(all.status(), 200);
        let note = b"These files are not in this archive, because their content is missing on the hub. Ask the sender to send them again.\r\n\r\nA001/lost.mov\r\n";
        unzips(&all.bytes().await.unwrap(), &[("kept.mov", &whole), ("MISSING FILES.txt", note)]);
    }

    // Of a file with a missing part the hub answered 200 and a length, and then cut the connection.
    async fn what_the_storage_has_lost_is_told_before_any_byte(hub); {
        let package = hub.new_package(json!({ "name": "Lost" })).await;
        let whole = content(2, 100_000);
        let (lost, kept) = (package.send("A001", "lost.mov", &[&whole]).await, package.send("", "kept.mov", &[&whole]).await);
        good(package.request(Method::POST, "/finalize")).await;
        let link = package.new_link(json!({})).await;
        let opened = format!("/v1/links/{}?secret={}", text(&link, "id"), text(&link, "download_secret"));
        let visit = text(&good(hub.request(Method::GET, &opened)).await, "package_token");
        let page = |path: &str| hub.request(Method::GET, &format!("/{}/{path}?token={visit}", text(&link, "id")));
        let handed_out = package.download_url(&package.token, &lost.id).await;
        assert_eq!(page("all.zip").send().await.unwrap().status(), 200);
        lose(&hub, &package.id, &lost.id).await;
        let answer = hub.request(Method::GET, &handed_out).send().await.unwrap();
        assert_eq!(answer.status(), 404);
        assert!(answer.text().await.unwrap().contains("NoSuchKey"));
        let answer = page("all.zip").send().await.unwrap();
        assert_eq!(answer.status(), 410);
        let said: serde_json::Value = answer.json().await.unwrap();
        assert!(text(&said, "message").contains("\"lost.mov\"") && !text(&said, "message").contains("kept.mov"), "{said}");
        assert_eq!(said["errors"][0]["type"], "content_missing");
        if hub.place.is_none() {
            let path = format!("/v1/packages/{}/files/{}/download", package.id, lost.id);
            refused(hub.request(Method::GET, &path).header("X-Package-Token", &package.token), 410).await;
            refused(page(&format!("files/{}", lost.id)), 410).await;
        }
        let other = package.download_url(&package.token, &kept.id).await;
        assert!(hub.request(Method::GET, &other).send().await.unwrap().bytes().await.unwrap() == whole);
    }
}

/// Waits until the storage has so many parts (on disk) or objects and uploads (in a bucket).
async fn until_kept(hub: &TestHub, count: usize) {
    wait_until(&format!("{count} things are kept"), Duration::from_secs(30), async || match &hub.place {
        None => hub.stored_files().len() == count,
        Some(place) => {
            assert_eq!(hub.stored_files(), Vec::<String>::new(), "nothing of a bucket's files comes to the disk");
            place.objects().await.len() + place.uploads().await.len() == count
        }
    })
    .await;
}

/// Removes the content of a file behind the hub's back.
async fn lose(hub: &TestHub, package: &str, file: &str) {
    match &hub.place {
        Some(place) => place.remove(&format!("{package}/{file}")).await,
        None => {
            for entry in std::fs::read_dir(hub.data().join("storage").join(package)).unwrap().map(Result::unwrap) {
                if entry.file_name().to_string_lossy().starts_with(file) {
                    std::fs::remove_file(entry.path()).unwrap();
                }
            }
        }
    }
}

/// A command of whoever runs the hub, on the hub's machine while it runs: its exit code, and what it printed.
async fn care(hub: &TestHub, arguments: &[&str]) -> (i32, serde_json::Value) {
    let mut command = crate::process::command(hub.folder.path(), &["hub"]);
    command.args(arguments).args(["--data-dir", "data", "--output", "json"]).env_remove("MASV_HUB_URL");
    if let Some(place) = &hub.place {
        let (address, credentials) = place.written();
        let file = hub.folder.path().join("credentials");
        std::fs::write(&file, credentials).unwrap();
        command.args(["--storage", &address, "--storage-credentials"]).arg(file);
    }
    let said = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let value = serde_json::from_slice(&said.stdout).unwrap_or_default();
    (said.status.code().unwrap(), value)
}
