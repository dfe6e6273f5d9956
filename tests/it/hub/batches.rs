//! Batches: what the hub does for many files in one round trip.

use masv_protocol::{SmallFile, SmallFiles};
use md5::{Digest, Md5};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::client::{Package, TestHub, good, refused, text};

async fn announced(package: &Package<'_>, files: &[(&str, u64)]) -> Vec<Value> {
    let files: Vec<Value> =
        files.iter().map(|(name, size)| json!({ "name": name, "size": size, "chunk_size": 5 << 20 })).collect();
    let answer = good(package.request(Method::POST, "/batches/files").json(&json!({ "files": files }))).await;
    answer["files"].as_array().unwrap().clone()
}

fn small(begun: &Value, content: &[u8]) -> SmallFile {
    SmallFile {
        id: text(begun, "id").into(),
        upload_id: text(begun, "upload_id").into(),
        size: content.len() as u64,
        md5: hex::encode(Md5::digest(content)),
    }
}

fn contents(package: &Package<'_>, files: Vec<SmallFile>, contents: &[&[u8]]) -> RequestBuilder {
    let body = [SmallFiles { files }.head().unwrap(), contents.concat()].concat();
    package.request(Method::POST, "/batches/contents").body(body)
}

async fn read(package: &Package<'_>, file: &Value) -> Vec<u8> {
    let url = package.download_url(&package.token, &text(file, "id")).await;
    package.hub.request(Method::GET, &url).send().await.unwrap().bytes().await.unwrap().to_vec()
}

#[tokio::test]
async fn a_hub_says_what_it_takes_and_one_that_offers_no_batches_has_none() {
    let hub = TestHub::start().await;
    let spec = good(hub.request(Method::GET, "/v1/system/packages/spec")).await;
    assert_eq!((&spec["batches"]["max_files"], &spec["batches"]["max_small_file"]), (&json!(1000), &json!(65_536)));
    let hub = TestHub::start_with(|config| config.batches = false).await;
    let spec = good(hub.request(Method::GET, "/v1/system/packages/spec")).await;
    assert_eq!(spec.get("batches"), None);
    let package = hub.new_package(json!({ "name": "Single" })).await;
    for call in ["files", "finalize", "contents"] {
        let body = json!({ "files": [] });
        refused(package.request(Method::POST, &format!("/batches/{call}")).json(&body), 404).await;
    }
}

#[tokio::test]
async fn files_are_announced_sent_and_finalized_together() {
    let hub = TestHub::start().await;
    let package = hub.new_package(json!({ "name": "Frames" })).await;
    let frames: Vec<Vec<u8>> = (0..3).map(|number| vec![number; 100_000]).collect();
    let begun = announced(&package, &[("0.dpx", 100_000), ("1.dpx", 100_000), ("2.dpx", 100_000)]).await;
    let mut closing = Vec::new();
    for (file, frame) in begun.iter().zip(&frames) {
        let etag = package.put(file["part"]["url"].as_str().unwrap(), frame).await;
        closing.push(json!({
            "id": file["id"], "size": 100_000, "file_extras": { "upload_id": file["upload_id"] },
            "chunk_extras": [{ "partNumber": "1", "etag": etag }],
        }));
    }
    for round in 0..2 {
        let answer = good(package.request(Method::POST, "/batches/finalize").json(&json!({ "files": closing }))).await;
        for (file, told) in begun.iter().zip(answer["files"].as_array().unwrap()) {
            assert_eq!(told, &json!({ "id": file["id"] }), "round {round}");
        }
    }
    good(package.request(Method::POST, "/finalize")).await;
    for (file, frame) in begun.iter().zip(frames) {
        assert!(read(&package, file).await == frame);
    }
}

#[tokio::test]
async fn what_is_wrong_with_one_file_is_not_wrong_with_the_others() {
    let hub = TestHub::start().await;
    let package = hub.new_package(json!({ "name": "Mixed" })).await;
    let begun = announced(&package, &[("good", 4), ("a/b", 4), ("also good", 4), ("large", 6 << 20)]).await;
    assert_eq!((&begun[1]["status"], begun[1]["error"]["errors"][0]["type"].as_str()), (&json!(400), Some("invalid")));
    assert!(begun[0]["part"]["url"].is_string() && begun[2]["upload_id"].is_string());
    assert!(begun[3]["upload_id"].is_string() && begun[3].get("part").is_none(), "it has more parts than one");
    let closing = json!({ "files": [
        { "id": begun[0]["id"], "chunk_extras": [{ "partNumber": "1", "etag": "0".repeat(32) }] },
        { "id": "01M85VJ3Y0Q8ZK2T4W6X7B9CDE", "chunk_extras": [] },
    ]});
    let answer = good(package.request(Method::POST, "/batches/finalize").json(&closing)).await;
    let statuses: Vec<_> = answer["files"].as_array().unwrap().iter().map(|file| file["status"].clone()).collect();
    assert_eq!(statuses, [json!(400), json!(404)]);
}

#[tokio::test]
async fn small_files_arrive_whole_in_one_body_and_repeating_it_changes_nothing() {
    let hub = TestHub::start().await;
    let package = hub.new_package(json!({ "name": "Small" })).await;
    let bytes: [&[u8]; 3] = [b"one", b"", &[7; 65_536]];
    let begun = announced(&package, &[("one", 3), ("nothing", 0), ("largest", 65_536)]).await;
    let files: Vec<SmallFile> = begun.iter().zip(bytes).map(|(file, content)| small(file, content)).collect();
    for _ in 0..2 {
        let answer = good(contents(&package, files.clone(), &bytes)).await;
        let told: Vec<_> = answer["files"].as_array().unwrap().iter().map(|file| file["id"].clone()).collect();
        assert_eq!(told, begun.iter().map(|file| file["id"].clone()).collect::<Vec<_>>());
    }
    let answer = good(package.request(Method::POST, "/finalize")).await;
    assert_eq!((&answer["size"], &answer["total_files"]), (&json!(65_539), &json!(3)));
    for (file, content) in begun.iter().zip(bytes) {
        assert!(read(&package, file).await == content);
    }
}

#[tokio::test]
async fn content_that_is_not_what_the_list_says_finalizes_nothing() {
    let hub = TestHub::start().await;
    let package = hub.new_package(json!({ "name": "Damaged" })).await;
    let other = hub.new_package(json!({ "name": "Other" })).await;
    let begun = announced(&package, &[("right", 3), ("damaged", 3), ("huge", 65_537), ("other upload", 3)]).await;
    let mut files: Vec<SmallFile> = begun.iter().map(|file| small(file, b"abc")).collect();
    files[2] = small(&begun[2], &[1; 65_537]);
    files[3].upload_id = files[0].upload_id.clone();
    let answer = good(contents(&package, files.clone(), &[b"abc", b"abd", &[1; 65_537], b"abc"])).await;
    let told = answer["files"].as_array().unwrap();
    assert_eq!(told[0]["id"], begun[0]["id"]);
    assert_eq!(
        (&told[1]["status"], told[1]["error"]["errors"][0]["type"].as_str()),
        (&json!(400), Some("invalid_part"))
    );
    assert_eq!((&told[2]["status"], &told[3]["status"]), (&json!(400), &json!(404)));
    // The same place finalized with other content: what was finalized stays.
    let answer = good(contents(&package, vec![small(&begun[0], b"xyz")], &[b"xyz"])).await;
    assert_eq!(answer["files"][0]["status"], 409);
    assert_eq!(read(&package, &begun[0]).await, b"abc");
    let answer = good(contents(&other, vec![files[0].clone()], &[b"abc"])).await;
    assert_eq!(answer["files"][0]["status"], 404, "a file of another package");
    let cut = SmallFiles { files: vec![files[0].clone()] }.head().unwrap();
    refused(package.request(Method::POST, "/batches/contents").body(cut), 400).await;
}

#[tokio::test]
async fn announcing_again_forgets_what_was_never_finalized() {
    let hub = TestHub::start().await;
    let package = hub.new_package(json!({ "name": "Lost answer" })).await;
    let lost = announced(&package, &[("a", 1), ("b", 1)]).await;
    let begun = announced(&package, &[("a", 1), ("b", 1)]).await;
    let answer = good(contents(&package, vec![small(&lost[0], b"x")], &[b"x"])).await;
    assert_eq!(answer["files"][0]["status"], 404);
    good(contents(&package, begun.iter().map(|file| small(file, b"y")).collect(), &[b"y", b"y"])).await;
    assert_eq!(good(package.request(Method::POST, "/finalize")).await["total_files"], 2);
}

/// Case: large bodies, and many entries, of who may send and of who may not.
#[tokio::test]
async fn a_batch_is_bounded_and_nobody_without_the_right_has_its_body_read() {
    let hub = TestHub::start().await;
    let package = hub.new_package(json!({ "name": "Bounds" })).await;
    let many: Vec<Value> = (0..1001).map(|number| json!({ "name": number.to_string(), "size": 1 })).collect();
    let files = |body: Vec<u8>| package.request(Method::POST, "/batches/files").body(body);
    let message = refused(files(json!({ "files": many }).to_string().into_bytes()), 400).await;
    assert!(message.contains("at most 1000 files, this one has 1001"), "{message}");
    refused(files(vec![b' '; (1 << 20) + 1]), 413).await;
    refused(files(b"{\"files\": 7}".to_vec()), 400).await;
    refused(package.request(Method::POST, "/batches/contents").body(vec![0; (5 << 20) + 1]), 413).await;
    for call in ["files", "finalize", "contents"] {
        let path = format!("/v1/packages/{}/batches/{call}", package.id);
        let stranger = || hub.request(Method::POST, &path).body("no JSON at all");
        refused(stranger(), 401).await;
        refused(stranger().header("X-Package-Token", "of another"), 401).await;
    }
    assert_eq!(good(package.request(Method::GET, "/files")).await, json!([]));
}
