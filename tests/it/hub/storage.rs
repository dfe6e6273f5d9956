//! Presigned addresses: parts in, ranges out.

use std::time::Duration;

use base64::Engine;
use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::client::{TestHub, wait_until};

#[tokio::test]
async fn every_range_across_parts_is_that_of_the_whole() {
    let hub = TestHub::start().await;
    let package = hub.new_package(json!({ "name": "Ranges" })).await;
    let whole: Vec<u8> = (0..250_000_u32).map(|number| (number % 251) as u8).collect();
    let (one, rest) = whole.split_at(100_000);
    let (two, three) = rest.split_at(10);
    let file = package.send("", "näïve \"1\".mov", &[one, two, three]).await;
    let url = package.download_url(&package.token, &file.id).await;
    for (range, from, to) in [
        ("bytes=0-0", 0, 1),
        ("bytes=99990-100020", 99_990, 100_021),
        ("bytes=100000-100009", 100_000, 100_010),
        ("bytes=249999-", 249_999, 250_000),
        ("bytes=-5", 249_995, 250_000),
        ("bytes=0-999999999", 0, 250_000),
    ] {
        let answer = hub.request(Method::GET, &url).header("Range", range).send().await.unwrap();
        assert_eq!(answer.status(), 206, "{range}");
        assert_eq!(answer.headers()["content-range"], format!("bytes {from}-{}/250000", to - 1).as_str());
        assert_eq!(answer.headers()["content-length"], (to - from).to_string().as_str());
        assert_eq!(answer.bytes().await.unwrap(), whole[from..to], "{range}");
    }
    let beyond = hub.request(Method::GET, &url).header("Range", "bytes=250000-").send().await.unwrap();
    assert_eq!(
        (beyond.status().as_u16(), &beyond.headers()["content-range"]),
        (416, &"bytes */250000".parse().unwrap())
    );
    let head = hub.request(Method::HEAD, &url).send().await.unwrap();
    assert_eq!((head.status().as_u16(), &head.headers()["content-length"]), (200, &"250000".parse().unwrap()));
    let disposition = head.headers()["content-disposition"].to_str().unwrap();
    assert!(disposition.contains("filename*=UTF-8''n%C3%A4%C3%AFve%20%221%22.mov"), "{disposition}");
    let etag = head.headers()["etag"].clone();
    let known = hub.request(Method::GET, &url).header("If-None-Match", etag.clone()).send().await.unwrap();
    assert_eq!(known.status(), 304);
    for (condition, status) in [(etag.to_str().unwrap(), 206), ("\"other\"", 200)] {
        let request = hub.request(Method::GET, &url).header("Range", "bytes=1-2").header("If-Range", condition);
        assert_eq!(request.send().await.unwrap().status(), status);
    }
}

/// Case: the number or the expiry in the address of a part is changed.
#[tokio::test]
async fn an_address_that_expired_or_was_changed_is_refused_as_s3_does() {
    let hub = TestHub::start_with(|config| config.address_life = Duration::ZERO).await;
    let package = hub.new_package(json!({ "name": "Late" })).await;
    let body = json!({ "kind": "file", "name": "a", "path": "", "size": 5_000_000 });
    let answer = super::client::good(package.request(Method::POST, "/files").json(&body)).await;
    let begin = answer["create_blueprint"]["url"].as_str().unwrap();
    let path = format!("/files/{}?start=0&count=1", answer["file"]["id"].as_str().unwrap());
    let part = super::client::good(package.request(Method::POST, &path)).await[0]["url"].as_str().unwrap().to_owned();
    for (method, url, body) in [(Method::POST, begin, 0), (Method::PUT, &part, 5_000_000)] {
        let answer = hub.request(method, url).body(vec![0; body]).send().await.unwrap();
        assert_eq!(answer.status(), 403);
        let xml = answer.text().await.unwrap();
        assert!(xml.contains("<Code>AccessDenied</Code><Message>Request has expired</Message>"), "{xml}");
    }
    let later = part.replace("expires=", "expires=9");
    let answer = hub.request(Method::PUT, &later).body("x").send().await.unwrap();
    assert_eq!(answer.status(), 403);
    assert!(answer.text().await.unwrap().contains("SignatureDoesNotMatch"));
    let other = part.replace("partNumber=1", "partNumber=2");
    assert_eq!(hub.request(Method::PUT, &other).body("x").send().await.unwrap().status(), 403);
    assert_eq!(hub.stored_files().len(), 0);
}

/// Case: a part whose content is not what its `Content-MD5` says is not taken.
#[tokio::test]
async fn content_md5_is_checked() {
    let hub = TestHub::start().await;
    let package = hub.new_package(json!({ "name": "Sums" })).await;
    let file = package.announce("", "a", 100_000).await;
    let url = package.addresses(&file, 0, 1).await.remove(0);
    let content = vec![4; 100_000];
    let sum = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(<md5::Md5 as md5::Digest>::digest(bytes));
    let put = |sum: String| hub.request(Method::PUT, &url).header("Content-MD5", sum).body(content.clone()).send();
    let wrong = put(sum(b"other")).await.unwrap();
    assert_eq!(wrong.status(), 400);
    assert!(wrong.text().await.unwrap().contains("BadDigest"));
    assert_eq!(put("nonsense".into()).await.unwrap().status(), 400);
    assert_eq!(hub.stored_files().len(), 0);
    assert_eq!(put(sum(&content)).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_body_cut_short_leaves_nothing() {
    let hub = TestHub::start().await;
    let package = hub.new_package(json!({ "name": "Cut" })).await;
    let file = package.announce("", "a", 5_000_000).await;
    let url = package.addresses(&file, 0, 1).await.remove(0);
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = tokio::net::TcpStream::connect(host).await.unwrap();
    let head = format!("PUT /{path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5000000\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![1; 3_000_000]).await.unwrap();
    wait_until(|| (hub.stored_files().len() == 1).then_some(())).await;
    drop(stream);
    wait_until(|| hub.stored_files().is_empty().then_some(())).await;
    let answer = package.finalize_file(&file, 5_000_000, &["00".repeat(16)]).await;
    assert_eq!(answer.status(), 400);
}

#[tokio::test]
async fn a_sender_that_asks_first_is_told_before_it_sends() {
    let hub = TestHub::start_with(|config| config.limits.max_chunk_size = 1000).await;
    let package = hub.new_package(json!({ "name": "Large" })).await;
    let file = package.announce("", "a", 5_000_000).await;
    let url = package.addresses(&file, 0, 1).await.remove(0);
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = tokio::net::TcpStream::connect(host).await.unwrap();
    let head =
        format!("PUT /{path}&x=1 HTTP/1.1\r\nHost: {host}\r\nExpect: 100-continue\r\nContent-Length: 5000\r\n\r\n");
    stream.write_all(head.replace("signature=", "signature=0").as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 403");
    let large = hub.request(Method::PUT, &url).body(vec![0; 5000]).send().await.unwrap();
    assert_eq!(large.status(), 400);
    assert!(large.text().await.unwrap().contains("EntityTooLarge"));
}
