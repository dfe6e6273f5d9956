//! How much strangers make the hub store, list and send.

use axum::http::header;
use futures_util::stream;

use super::*;
use crate::clock::{before, days, now};
use crate::records::packages;

/// A stranger wrote 523 packages of 120 kB in five seconds, and had 60 mails sent.
#[tokio::test]
async fn a_portal_takes_so_many_packages_in_an_hour_from_one_address() {
    let bench = Bench::new().await;
    let path = format!("/v1/portals/{}/packages", bench.portal().await);
    let send = async |from: [u8; 4], size: usize| {
        let body = json!({ "sender": "stranger@example.com", "description": "x".repeat(size) }).to_string();
        let mut request = Request::post(&path).body(Body::from(body)).unwrap();
        request.extensions_mut().insert(ConnectInfo(SocketAddr::from((from, 40_000))));
        bench.send(request).await
    };
    assert_eq!(send(HERE, 120_000).await.status(), 413);
    let answers = join_all((0..120).map(|_| send(HERE, 10))).await;
    let taken = answers.iter().filter(|answer| answer.status() == 201).count();
    assert_eq!(taken, 100);
    let refused = answers.iter().find(|answer| answer.status() != 201).unwrap();
    assert_eq!(refused.status(), 429);
    let wait: u64 = refused.headers()[header::RETRY_AFTER].to_str().unwrap().parse().unwrap();
    assert!((1..=36).contains(&wait), "{wait}");
    assert_eq!(send(THERE, 10).await.status(), 201, "others may send");
}

/// Once the portal was removed, the packages that had been begun in it could be finalized without a limit, each with its mails.
#[tokio::test]
async fn the_limit_of_finalized_packages_holds_when_the_portal_is_removed() {
    let bench = Bench::with(|config| config.portal_packages_per_hour = Some(2)).await;
    let (sent, own) = (bench.received().await, bench.own(KEY).await);
    let finalize = async |package: &Sent<'_>, from: [u8; 4]| {
        let path = format!("/v1/packages/{}/finalize", package.id);
        let mut request =
            Request::post(&path).header(PACKAGE_TOKEN_HEADER, &package.token).body(Body::empty()).unwrap();
        request.extensions_mut().insert(ConnectInfo(SocketAddr::from((from, 40_000))));
        bench.send(request).await.status().as_u16()
    };
    let portal = format!("/v1/portals/{}", bench.portal().await);
    for removed in [false, true] {
        if removed {
            assert_eq!(bench.as_team(Method::DELETE, &portal, Value::Null).await.0 / 100, 2);
        }
        // It is empty: what counts is that it was tried.
        for status in [400, 400, 429, 429] {
            assert_eq!(finalize(&sent, HERE).await, status, "removed: {removed}");
        }
        assert_eq!(finalize(&sent, THERE).await, 400, "others may");
    }
    for _ in 0..5 {
        assert_eq!(finalize(&own, HERE).await, 400, "what the team sends itself is not limited");
    }
}

impl Sent<'_> {
    /// Announces a file as this says; its id, and the address of its first part.
    pub(super) async fn part_of(&self, about: Value) -> (String, String) {
        let (status, made) = self.call(Method::POST, "/files", about).await;
        assert_eq!(status, 201, "{made}");
        let file = text(&made["file"], "id");
        let (status, parts) = self.call(Method::POST, &format!("/files/{file}?start=0&count=3"), json!({})).await;
        assert_eq!(status, 200, "{parts}");
        let url = url::Url::parse(&text(&parts[0], "url"))
            .unwrap_or_else(|_| url::Url::parse("http://hub").unwrap().join(&text(&parts[0], "url")).unwrap());
        (file, format!("{}?{}", url.path(), url.query().unwrap()))
    }

    /// Sends so many bytes to an address, with or without saying how many before.
    pub(super) async fn put(&self, address: &str, bytes: usize, says: bool) -> u16 {
        let body = Body::from_stream(stream::iter(
            vec![7_u8; bytes].chunks(10_000).map(|piece| Ok::<_, std::io::Error>(piece.to_vec())).collect::<Vec<_>>(),
        ));
        let mut request = Request::put(address);
        if says {
            request = request.header(header::CONTENT_LENGTH, bytes);
        }
        self.bench.send(request.body(body).unwrap()).await.status().as_u16()
    }
}

/// With a quota of 20 MB and a portal of 1,000 bytes a package, 86 MB were stored: only what was announced was counted.
#[tokio::test]
async fn what_is_stored_of_a_file_is_no_more_than_was_announced() {
    let bench = Bench::new().await;
    let own = bench.own(KEY).await;
    let about = |name: &str, size: Value| json!({ "name": name, "size": size });
    let usage = async || {
        let path = format!("/v1/teams/{}/usage", bench.team);
        bench.as_team(Method::GET, &path, Value::Null).await.1["used"].as_u64().unwrap()
    };
    let stored = || {
        let files = walkdir::WalkDir::new(bench.hub.context.config.data_dir.join("storage")).into_iter();
        files
            .filter_map(|file| file.ok()?.metadata().ok())
            .filter(std::fs::Metadata::is_file)
            .map(|file| file.len())
            .sum::<u64>()
    };
    let (_, small) = own.part_of(about("small", json!(10))).await;
    let (_, large) = own.part_of(about("large", json!(200_000))).await;
    for says in [true, false] {
        for bytes in [11, 5_000, 15_000_000] {
            assert_eq!(own.put(&small, bytes, says).await, 400, "{bytes}");
        }
        assert_eq!(own.put(&large, 200_001, says).await, 400);
    }
    assert_eq!(stored(), 0);
    assert_eq!(own.put(&small, 10, true).await, 200);
    for says in [true, false] {
        assert_eq!(own.put(&large, 200_000, says).await, 200, "again is no more");
        let second = large.replace("partNumber=1", "partNumber=2");
        assert!(own.put(&second, 1, says).await / 100 == 4, "another part would be");
    }
    assert_eq!(usage().await, 200_010);
    // Without a size, what is stored counts, as far as there is room.
    let quota = format!("/v1/teams/{}/quota", bench.team);
    bench.hub.call(Method::PUT, &quota, Some(&json!({ "quota": 500_000 }))).await.unwrap();
    let (file, unsized_part) = own.part_of(about("stream", Value::Null)).await;
    assert_eq!(own.put(&unsized_part, 250_000, true).await, 200);
    assert_eq!(usage().await, 450_010);
    for says in [true, false] {
        assert!(matches!(own.put(&unsized_part, 300_000, says).await, 400 | 507));
    }
    assert_eq!(own.put(&unsized_part, 40_000, true).await, 200);
    assert_eq!(own.call(Method::DELETE, &format!("/files/{file}"), Value::Null).await.0, 204);
    assert_eq!(usage().await, 200_010);
    // The limits of a portal.
    let portal = format!("/v1/portals/{}", bench.portal().await);
    let limits = json!({ "package_size_restriction_enabled": true, "max_file_size": 1000, "max_package_size": 1500 });
    assert_eq!(bench.as_team(Method::PUT, &portal, limits).await.0, 200);
    let received = bench.received().await;
    let (_, part) = received.part_of(about("a", json!(10))).await;
    let (_, unsized_part) = received.part_of(about("b", Value::Null)).await;
    let before = stored();
    for address in [&part, &unsized_part] {
        for bytes in [1_001, 100_000, 15_000_000] {
            for says in [true, false] {
                let status = received.put(address, bytes, says).await;
                // Not 507, with which a sender waits for ever for room that the portal will never have.
                assert!(matches!(status, 400 | 403), "{bytes}: {status}");
            }
        }
    }
    assert_eq!(received.put(&unsized_part, 1000, true).await, 200);
    assert_eq!(stored(), before);
    // Nor more than a package may have, when only that is limited: refused before it is sent.
    let limits = json!({ "max_file_size": 0, "max_package_size": 100_000 });
    assert_eq!(bench.as_team(Method::PUT, &portal, limits).await.0, 200);
    let received = bench.received().await;
    let (_, first) = received.part_of(about("a", Value::Null)).await;
    let (_, second) = received.part_of(about("b", Value::Null)).await;
    assert_eq!(received.put(&first, 90_000, true).await, 200);
    let before = stored();
    for says in [true, false] {
        assert!(matches!(received.put(&second, 15_000_000, says).await, 400 | 403));
    }
    assert_eq!(stored(), before);
}

/// The sender of a team's package could hold line breaks, and so write lines of its own into the text of a mail.
#[tokio::test]
async fn a_name_and_a_sender_are_one_line() {
    let bench = Bench::new().await;
    let path = format!("/v1/teams/{}/packages", bench.team);
    let body =
        json!({ "name": "Day 1\r\n\r\nDownload", "sender": "Ed\nDownload: https://evil.example.com\u{2028}Bye" });
    let (status, made) = bench.as_team(Method::POST, &path, body).await;
    assert_eq!(status, 201, "{made}");
    let change = format!("/v1/packages/{}", text(&made, "id"));
    let (status, changed) = bench.as_team(Method::PUT, &change, json!({ "sender": "Ed\r\nItor" })).await;
    assert_eq!(status, 200, "{changed}");
    for value in [text(&made, "name"), text(&made, "sender"), text(&changed, "sender")] {
        assert!(!value.is_empty() && !value.contains(['\r', '\n', '\u{2028}']), "{value:?}");
    }
}

/// Up to what the package had announced, strangers could fill the disk for 60 days.
#[tokio::test]
async fn unfinished_packages_of_portals_are_removed_after_a_day() {
    let bench = Bench::new().await;
    let (own, received) = (bench.own(KEY).await, bench.received().await);
    let touched = async |hours: i64| {
        let at = before(now(), std::time::Duration::from_secs(3600 * hours.unsigned_abs()));
        let touching = bench
            .hub
            .database()
            .transact(move |work| work.run("UPDATE package SET updated_at = ?1", masv_db::values![at]));
        touching.await.unwrap();
        let age = bench.hub.context.config.portal_abandoned_after;
        let of_portals = packages::abandoned(bench.hub.database(), true, age, 10).await.unwrap();
        let others = packages::abandoned(bench.hub.database(), false, days(60), 10).await.unwrap();
        (of_portals.len(), others.len())
    };
    assert_eq!(touched(23).await, (0, 0));
    assert_eq!(touched(25).await, (1, 0));
    assert_eq!(touched(24 * 61).await, (1, 1));
    assert_ne!(own.id, received.id);
}

/// A list of a hundred thousand files was in memory as a whole, for each who asked for it.
#[tokio::test]
async fn a_list_of_many_files_is_whole_and_written_in_pieces() {
    let bench = Bench::new().await;
    let sent = bench.own(KEY).await;
    assert_eq!(sent.call(Method::GET, "/files", Value::Null).await.1, json!([]));
    let id = sent.id.clone();
    let filling = bench.hub.database().transact(move |work| {
        let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
            INSERT INTO file (id, package_id, kind, path, name, size, last_modified)
            SELECT 'F' || i, ?1, 'file', 'folder ' || (i % 7), 'name ' || (i / 3), 0, 1 FROM n";
        work.run(sql, masv_db::values![id])
    });
    filling.await.unwrap();
    let request = Request::get(format!("/v1/packages/{}/files", sent.id)).header(PACKAGE_TOKEN_HEADER, &sent.token);
    let answer = bench.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/json");
    let mut frames = answer.into_body().into_data_stream();
    let (mut text, mut largest) = (Vec::new(), 0);
    while let Some(frame) = futures_util::StreamExt::next(&mut frames).await {
        let frame = frame.unwrap();
        largest = largest.max(frame.len());
        text.extend_from_slice(&frame);
    }
    let listed: Vec<Value> = serde_json::from_slice(&text).unwrap();
    let places: Vec<(String, String)> =
        listed.iter().map(|file| (self::text(file, "path"), self::text(file, "name"))).collect();
    assert!(places.is_sorted() && places.len() == 1000);
    let ids: std::collections::BTreeSet<String> = listed.iter().map(|file| self::text(file, "id")).collect();
    assert_eq!(ids.len(), 1000);
    assert!(largest < text.len() * 2 / 3, "{largest} of {}", text.len());
}
