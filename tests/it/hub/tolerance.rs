//! What the hub owes foreign clients.

use reqwest::Method;
use serde_json::json;

use super::client::{TestHub, good, refused};

#[tokio::test]
async fn routes_that_are_none_answer_in_json() {
    let hub = TestHub::start().await;
    for path in ["/v1/nothing", "/v2/teams", "/", "/favicon.ico", "/storage", "/v1.1/x/y/z", "/a/b/c"] {
        refused(hub.request(Method::GET, path), 404).await;
    }
    refused(hub.request(Method::PATCH, "/v1/auth"), 405).await;
    refused(hub.request(Method::POST, "/v1/auth").body("{"), 400).await;
    let spec = good(hub.request(Method::GET, "/v1/system/packages/spec")).await;
    assert_eq!(
        spec,
        json!({
            "max_chunk_count": 10_000, "max_chunk_size": 5_368_709_120_u64, "min_chunk_size": 5_242_880,
            "batches": { "max_content": 4_194_304, "max_files": 1000, "max_json": 1_048_576, "max_small_file": 65_536 },
            "confirm_downloads": true,
            "growing_files": true,
        })
    );
}

#[tokio::test]
async fn pages_of_other_origins_may_call_api_and_storage() {
    let hub = TestHub::start().await;
    for path in ["/v1/auth", "/storage/P/F"] {
        let asked = hub
            .request(Method::OPTIONS, path)
            .header("Origin", "https://app.example.com")
            .header("Access-Control-Request-Method", "PUT")
            .header("Access-Control-Request-Headers", "x-package-token, x-anything")
            .send()
            .await
            .unwrap();
        assert_eq!(asked.status(), 200);
        assert_eq!(asked.headers()["access-control-allow-origin"], "https://app.example.com");
        assert_eq!(asked.headers()["access-control-allow-headers"], "x-package-token, x-anything");
        assert!(asked.headers()["access-control-allow-methods"].to_str().unwrap().contains("PUT"));
    }
    let answer =
        hub.request(Method::GET, "/v1/nothing").header("Origin", "https://app.example.com").send().await.unwrap();
    assert_eq!(answer.headers()["access-control-allow-origin"], "https://app.example.com");
    let exposed = answer.headers()["access-control-expose-headers"].to_str().unwrap().to_lowercase();
    for name in ["etag", "content-range", "content-length", "accept-ranges"] {
        assert!(exposed.contains(name), "{name}");
    }
}

#[tokio::test]
async fn part_lists_come_in_many_spellings() {
    let hub = TestHub::start().await;
    let package = hub.new_package(json!({ "name": "Spelling" })).await;
    for (number, list) in [
        |tag: &str| json!([{ "partNumber": 1, "etag": tag }]),
        |tag: &str| json!([{ "part_number": "1", "etag": tag.trim_matches('"') }]),
        |tag: &str| json!([{ "part_number": 1, "etag": tag.to_uppercase() }]),
    ]
    .iter()
    .enumerate()
    {
        let file = package.announce("", &format!("{number}"), 3).await;
        let url = package.addresses(&file, 0, 1).await.remove(0);
        let tag = package.put(&url, b"abc").await;
        let body = json!({ "size": "3", "file_extras": { "upload_id": file.upload }, "chunk_extras": list(&tag) });
        good(package.request(Method::POST, &format!("/files/{}/finalize", file.id)).json(&body)).await;
    }
}

#[tokio::test]
async fn an_announcement_needs_no_more_than_a_name_and_bodies_may_be_empty() {
    let hub = TestHub::start().await;
    let path = format!("/v1/teams/{}/packages", hub.team);
    good(hub.team_request(Method::POST, &path).header("Content-Type", "application/json")).await;
    let package = hub.new_package(json!({ "name": null, "recipients": null, "access_limit": "3", "tag": {} })).await;
    good(package.request(Method::POST, "/files").json(&json!({ "name": "a" }))).await;
    let folder =
        json!({ "kind": "directory", "name": "empty", "path": "", "size": 0, "last_modified": "2026-01-02T03:04:05Z" });
    good(package.request(Method::POST, "/files").json(&folder)).await;
    for bad in [
        json!({}),
        json!({ "name": ".." }),
        json!({ "name": "a", "path": "x/../y" }),
        json!({ "name": "a", "kind": "pipe" }),
    ] {
        refused(package.request(Method::POST, "/files").json(&bad), 400).await;
    }
}

#[tokio::test]
async fn an_address_of_a_part_tells_its_number_as_s3_does_and_all_are_given_at_once() {
    let hub = TestHub::start().await;
    let package = hub.new_package(json!({ "name": "Many parts" })).await;
    let file = package.announce("", "a", 10).await;
    let addresses = package.addresses(&file, 0, 10_000).await;
    for (number, address) in [(1, &addresses[0]), (10_000, &addresses[9_999])] {
        let told = address.split("&partNumber=").nth(1).unwrap().split('&').next().unwrap();
        assert_eq!(told, number.to_string(), "{address}");
        assert!(
            !address.ends_with(&format!("partNumber={told}")),
            "another value follows it, as clients expect: {address}"
        );
    }
}

#[tokio::test]
async fn a_time_without_a_zone_is_utc() {
    let hub = TestHub::start().await;
    let package = hub.new_package(json!({ "name": "Times" })).await;
    package.announce_as(json!({ "name": "a", "size": 1, "last_modified": "2026-01-02T03:04:05.678901" })).await;
    let files = good(package.request(Method::GET, "/files")).await;
    assert_eq!(files[0]["last_modified"], "2026-01-02T03:04:05.678Z");
}

#[tokio::test]
async fn nobody_makes_the_sum_of_a_team_impossible() {
    let hub = TestHub::start().await;
    let package = hub.new_package(json!({ "name": "Endless" })).await;
    let announce =
        |name: &str, size: u64| package.request(Method::POST, "/files").json(&json!({ "name": name, "size": size }));
    let largest = 10_000 * (5_u64 << 30);
    for size in [largest + 1, i64::MAX as u64, u64::MAX] {
        refused(announce("a", size), 400).await;
    }
    good(announce("a", largest)).await;
    // As if many had been announced: what is left of 64 bits is less than one more.
    let database = rusqlite::Connection::open(hub.data().join("hub.db")).unwrap();
    database.execute("UPDATE package SET reserved = ?1", [1_i64 << 60]).unwrap();
    refused(announce("b", 1), 507).await;
    let usage = good(hub.team_request(Method::GET, &format!("/v1/teams/{}/usage", hub.team))).await;
    assert_eq!(usage["used"], 1_u64 << 60);
    assert_eq!(package.request(Method::DELETE, "").send().await.unwrap().status(), 204);
    let after = hub.new_package(json!({ "name": "After" })).await;
    after.send("", "a", &[b"fine"]).await;
}
