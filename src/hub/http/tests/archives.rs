//! Archives of many files: made once for all who download them, and light.

use axum::http::{StatusCode, header};
use futures_util::StreamExt;

use super::*;

/// Enough that a list of them would be seen, few enough for a test.
const FILES: u64 = 20_000;
/// What a file in the list may take, bytes: a hundred thousand take 30 MB, whoever downloads them.
const MOST_PER_FILE: usize = 300;

impl Bench {
    /// A finalized package with many empty files.
    async fn of_many_files(&self) -> Sent<'_> {
        let sent = self.own(KEY).await;
        let id = sent.id.clone();
        let filling = self.hub.database().transact(move |work| {
            let sql = "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?2)
                 INSERT INTO file (id, package_id, kind, path, name, size, last_modified, finalized_at, crc)
                 SELECT printf('%026d', n), ?1, 'file', 'A001/CLIPS OF THE DAY', printf('A001C%06d_261124.mov', n), 0, 1, 1, 0
                 FROM numbers";
            work.run(sql, masv_db::values![id, FILES])?;
            let sql = "UPDATE package SET state = 'finalized', finalized_at = 1, file_count = ?2 WHERE id = ?1";
            work.run(sql, masv_db::values![id, FILES])
        });
        filling.await.unwrap();
        sent
    }
}

/// Each of several parallel downloads of an archive of a hundred thousand files had a list of its own, of 50 MB.
#[tokio::test]
async fn all_who_download_an_archive_share_one_light_list_of_its_files() {
    let bench = Bench::new().await;
    let sent = bench.of_many_files().await;
    let (status, link) = sent.call(Method::POST, "/links", json!({})).await;
    assert_eq!(status, 201, "{link}");
    let page = format!("/{}?secret={}", text(&link, "id"), text(&link, "download_secret"));
    let opened = format!("/v1/links/{}?secret={}", text(&link, "id"), text(&link, "download_secret"));
    let (status, opened) = bench.call(Method::GET, &opened, ("X-Nothing", "none"), Value::Null).await;
    assert_eq!(status, 200, "{opened} {page}");
    let path = format!("/{}/all.zip?token={}", text(&link, "id"), text(&opened, "package_token"));
    let asked = || async {
        let request = Request::get(&path).header(header::ACCEPT, "*/*").body(Body::empty()).unwrap();
        let answer = router(bench.hub.clone()).oneshot(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let size: usize = answer.headers()[header::CONTENT_LENGTH].to_str().unwrap().parse().unwrap();
        let mut content = answer.into_body().into_data_stream();
        let first = content.next().await.unwrap().unwrap().len();
        (size, first, content)
    };
    let mut downloads = join_all((0..8).map(|_| asked())).await;
    let (made, bytes, files) = bench.hub.server.archives.weight();
    assert_eq!((made, files), (1, usize::try_from(FILES).unwrap()));
    assert!(bytes < files * MOST_PER_FILE, "{} bytes for a file", bytes / files);
    let (size, mut got, mut content) = downloads.pop().unwrap();
    while let Some(block) = content.next().await {
        got += block.unwrap().len();
    }
    assert_eq!(got, size);
    drop((downloads, content));
    // Nobody downloads it any more: nothing of it is kept.
    let limit = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while bench.hub.server.archives.weight() != (1, 0, 0) {
        assert!(std::time::Instant::now() < limit, "{:?}", bench.hub.server.archives.weight());
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}
