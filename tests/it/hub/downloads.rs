//! Downloads that are known: by whom, when, what, from where, and only once the last byte was delivered.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::client::{Package, TestHub, good, refused, text};
use crate::s3_server;
use crate::support::wait_until;

const NEVER: &str = "0001-01-01T00:00:00.000Z";

/// A finalized package with two files and an empty one, and a link of it that was sent to somebody.
async fn sent(hub: &TestHub) -> (Package<'_>, Vec<String>, Value) {
    let package = hub.new_package(json!({ "name": "Dailies" })).await;
    let mut files = Vec::new();
    for (name, content) in [("a.mov", &b"0123456789"[..]), ("b.mov", b"xyz")] {
        files.push(package.send("day 1", name, &[content]).await.id);
    }
    package.send("", "empty", &[b""]).await;
    good(package.request(Method::POST, "/finalize")).await;
    let link = package.new_link(json!({ "email": "client@example.com" })).await;
    (package, files, link)
}

/// What opening a link gives.
async fn open(hub: &TestHub, link: &Value) -> Value {
    good(hub.request(Method::GET, &format!("/v1/links/{}?secret={}", text(link, "id"), text(link, "download_secret"))))
        .await
}

/// The token that the page of a link has for its visit.
async fn visit(hub: &TestHub, link: &Value) -> (String, String) {
    let path = format!("/{}?secret={}", text(link, "id"), text(link, "download_secret"));
    let page = hub.request(Method::GET, &path).header("Accept", "text/html").send().await.unwrap();
    assert_eq!(page.status(), 200);
    let page = page.text().await.unwrap();
    let token = page.split("token=").nth(1).unwrap().split(['"', '&']).next().unwrap().to_owned();
    (page, token)
}

async fn downloads(package: &Package<'_>) -> Value {
    good(package.request(Method::GET, "/downloads")).await
}

async fn shown_link(hub: &TestHub, link: &Value) -> Value {
    good(hub.team_request(Method::GET, &format!("/v1.1/links/{}", text(link, "id")))).await
}

/// The activities of a kind.
async fn activities(hub: &TestHub, kind: &str) -> Vec<Value> {
    let path = format!("/v1.1/teams/{}/activities?activity_types={kind}", hub.team);
    good(hub.team_request(Method::GET, &path)).await["records"].as_array().unwrap().clone()
}

async fn events(hub: &TestHub, activity: &Value) -> Vec<(String, String)> {
    let path = format!("/v1/teams/{}/activities/{}/events", hub.team, text(activity, "id"));
    let events = good(hub.team_request(Method::GET, &path)).await;
    events.as_array().unwrap().iter().map(|event| (text(event, "event_type"), text(event, "state"))).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(event, state)| ((*event).to_owned(), (*state).to_owned())).collect()
}

/// Waits until the newest download of a package is as `is` wants it.
async fn until(package: &Package<'_>, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    wait_until(what, Duration::from_secs(20), || async { is(&downloads(package).await[0]) }).await;
    downloads(package).await[0].clone()
}

fn is_complete(download: &Value) -> bool {
    download["state"] == "complete"
}

fn files_are(count: u64) -> impl Fn(&Value) -> bool {
    move |download| download["files"] == count
}

async fn get(hub: &TestHub, path: &str, range: &str) -> (StatusCode, Vec<u8>) {
    let answer = hub.request(Method::GET, path).header("Range", range).send().await.unwrap();
    (answer.status(), answer.bytes().await.unwrap().to_vec())
}

/// A download stayed `started` for ever, even of who had fetched and verified all files.
#[tokio::test]
async fn a_download_is_complete_when_the_last_byte_of_all_files_was_delivered_and_counts_once() {
    let hub = TestHub::start().await;
    let (package, files, link) = sent(&hub).await;
    assert_eq!(downloads(&package).await, json!([]));
    assert_eq!(text(&shown_link(&hub, &link).await, "opened_at"), NEVER);
    let (_, token) = visit(&hub, &link).await;
    assert_ne!(text(&shown_link(&hub, &link).await, "opened_at"), NEVER);
    assert_eq!(downloads(&package).await, json!([]), "who looks at the page does not download");
    let path = |file: &str| format!("/{}/files/{file}?token={token}", text(&link, "id"));
    for file in &files {
        assert_eq!(hub.request(Method::HEAD, &path(file)).send().await.unwrap().status(), 200);
    }
    assert_eq!(downloads(&package).await, json!([]), "who asks for the head does not download");

    // The end first, then an overlap, then what lacks: only then it is whole.
    assert_eq!(get(&hub, &path(&files[0]), "bytes=7-9").await, (StatusCode::PARTIAL_CONTENT, b"789".to_vec()));
    assert_eq!(get(&hub, &path(&files[0]), "bytes=5-8").await.1, b"5678");
    assert_eq!(get(&hub, &path(&files[1]), "bytes=0-").await.1, b"xyz");
    let begun = until(&package, "the second file is known to be delivered", files_are(1)).await;
    assert_eq!((&begun["state"], &begun["total_files"], &begun["bytes"]), (&json!("started"), &json!(2), &json!(3)));
    assert_eq!(begun["file_names"], json!(["day 1/b.mov"]));
    assert_eq!(
        (text(&begun, "actor"), text(&begun, "address"), text(&begun, "link_id"), text(&begun, "finished_at")),
        ("client@example.com".into(), "127.0.0.1".into(), text(&link, "id"), NEVER.into())
    );
    assert_eq!(get(&hub, &path(&files[0]), "bytes=0-4").await.1, b"01234");
    let done = until(&package, "all is delivered", is_complete).await;
    assert_eq!((&done["files"], &done["bytes"], &done["file_names"]), (&json!(2), &json!(13), &json!([])));
    assert_ne!(text(&done, "finished_at"), NEVER);

    // Again, by files and as an archive, in the same visit: the same download.
    assert_eq!(get(&hub, &path(&files[0]), "bytes=0-").await.1, b"0123456789");
    let all = format!("/{}/all.zip?token={token}", text(&link, "id"));
    assert_eq!(hub.request(Method::GET, &all).send().await.unwrap().status(), 200);
    let (_, again) = visit(&hub, &link).await;
    let other = format!("/{}/files/{}?token={again}", text(&link, "id"), files[1]);
    get(&hub, &other, "bytes=0-").await;
    until(&package, "another visit has a file", files_are(1)).await;
    let known = downloads(&package).await;
    let states: Vec<&Value> = known.as_array().unwrap().iter().map(|download| &download["state"]).collect();
    assert_eq!(states, [&json!("started"), &json!("complete")]);
    let shown = shown_link(&hub, &link).await;
    assert_eq!(shown["downloads"], 1);
    assert_ne!(text(&shown, "downloaded_at"), NEVER);
    let listed = good(hub.team_request(Method::GET, &format!("/v1.1/teams/{}/packages", hub.team))).await;
    assert_eq!(listed["records"][0]["downloads"], 1);
}

/// Case: the download of a ZIP that was fetched in ranges stayed `started`.
#[tokio::test]
async fn an_archive_is_downloaded_when_all_its_bytes_were_delivered_in_whatever_ranges() {
    let hub = TestHub::start().await;
    let (package, _, link) = sent(&hub).await;
    let (_, token) = visit(&hub, &link).await;
    let path = format!("/{}/all.zip?token={token}", text(&link, "id"));
    let head = hub.request(Method::HEAD, &path).send().await.unwrap();
    let size: usize = head.headers()["content-length"].to_str().unwrap().parse().unwrap();
    assert_eq!(get(&hub, &path, &format!("bytes={}-", size / 2)).await.1.len(), size - size / 2);
    assert_eq!(get(&hub, &path, &format!("bytes=0-{}", size / 2 - 2)).await.1.len(), size / 2 - 1);
    // What is delivered is noted in order: the one behind it tells that it was.
    assert_eq!(get(&hub, &path, "bytes=0-0").await.1.len(), 1);
    assert_eq!(downloads(&package).await[0]["state"], "started", "a byte lacks");
    get(&hub, &path, &format!("bytes={0}-{0}", size / 2 - 1)).await;
    let done = until(&package, "all is delivered", is_complete).await;
    assert_eq!((&done["files"], &done["total_files"]), (&json!(2), &json!(2)));
}

/// Reads so many bytes of an answer and goes away.
fn read_some(address: SocketAddr, path: &str, from: usize, bytes: usize) {
    let mut connection = TcpStream::connect(address).unwrap();
    write!(connection, "GET {path} HTTP/1.1\r\nHost: {address}\r\nRange: bytes={from}-\r\n\r\n").unwrap();
    let mut got = vec![0; bytes];
    connection.read_exact(&mut got).unwrap();
}

/// A client whose connection broke, and a hub that was started again: one download.
#[tokio::test(flavor = "multi_thread")]
async fn a_download_that_is_interrupted_and_goes_on_later_is_one() {
    const SIZE: usize = 24 << 20;
    let hub = TestHub::start().await;
    let package = hub.new_package(json!({ "name": "Large" })).await;
    let content = vec![7; SIZE];
    let file = package.send("", "large.mov", &[&content]).await.id;
    good(package.request(Method::POST, "/finalize")).await;
    let link = package.new_link(json!({})).await;
    let token = text(&open(&hub, &link).await, "package_token");
    let address = package.download_url(&token, &file).await;
    assert!(address.contains("&download="), "{address}");
    let url = reqwest::Url::parse(&address).unwrap();
    let path = format!("{}?{}", url.path(), url.query().unwrap());
    let at: SocketAddr = hub.base.trim_start_matches("http://").parse().unwrap();
    let asked = path.clone();
    tokio::task::spawn_blocking(move || read_some(at, &asked, 0, 1 << 20)).await.unwrap();
    let (id, team_token) = (package.id.clone(), package.token.clone());
    let folder = hub.stop().await;
    let hub = TestHub::start_in(folder, |_| {}).await;
    let package = Package { hub: &hub, id, token: team_token };
    let begun = downloads(&package).await;
    assert_eq!((begun.as_array().unwrap().len(), &begun[0]["state"]), (1, &json!("started")));
    assert_eq!(get(&hub, &path, &format!("bytes={}-", 1 << 20)).await.1.len(), SIZE - (1 << 20));
    until(&package, "all is delivered", is_complete).await;
    assert_eq!(downloads(&package).await.as_array().unwrap().len(), 1);
    // An address for another download is none.
    let forged = path.replace("download=", "download=1");
    assert_eq!(hub.request(Method::GET, &forged).send().await.unwrap().status(), 403);
}

/// One package was `pending` for ever and `complete` besides; a link never left `pending`.
#[tokio::test]
async fn an_activity_is_one_object_whose_state_moves_with_its_events() {
    let hub = TestHub::start().await;
    let upload = async || {
        let uploads = activities(&hub, "package_upload_to_masv").await;
        assert_eq!(uploads.len(), 1);
        uploads[0].clone()
    };
    let package = hub.new_package(json!({ "name": "Dailies", "sender": "dit@example.com" })).await;
    assert_eq!(upload().await["state"], "pending");
    let (a, b) = (package.send("", "a", &[b"a"]).await.id, package.send("", "b", &[b"b"]).await.id);
    assert_eq!(upload().await["state"], "started");
    good(package.request(Method::POST, "/finalize")).await;
    let done = upload().await;
    assert_eq!((&done["state"], text(&done, "actor")), (&json!("complete"), "dit@example.com".into()));
    let steps = [("package.created", "pending"), ("package.started", "started"), ("package.finalized", "complete")];
    assert_eq!(events(&hub, &done).await, pairs(&steps));

    let link = package.new_link(json!({ "email": "client@example.com" })).await;
    let of_link = async || {
        let links = activities(&hub, "link_generation").await;
        assert_eq!((links.len(), text(&links[0], "link_id")), (1, text(&link, "id")));
        links[0].clone()
    };
    assert_eq!(of_link().await["state"], "pending");
    let token = text(&open(&hub, &link).await, "package_token");
    assert_eq!(of_link().await["state"], "started");
    open(&hub, &link).await;
    let read = async |file: &str| {
        let address = package.download_url(&token, file).await;
        assert_eq!(hub.request(Method::GET, &address).send().await.unwrap().bytes().await.unwrap().len(), 1);
    };
    read(&a).await;
    assert_eq!(activities(&hub, "package_download_from_masv").await[0]["state"], "started");
    read(&b).await;
    until(&package, "all is delivered", is_complete).await;
    let steps = [("link.created", "pending"), ("package.opened", "started"), ("package.downloaded", "complete")];
    assert_eq!(events(&hub, &of_link().await).await, pairs(&steps), "opened twice from one address is noted once");
    let download = activities(&hub, "package_download_from_masv").await;
    assert_eq!((download.len(), text(&download[0], "actor")), (1, "client@example.com".into()));
    let steps = [("package.download_started", "started"), ("package.downloaded", "complete")];
    assert_eq!(events(&hub, &download[0]).await, pairs(&steps));
    let pending = format!("/v1.1/teams/{}/activities?activity_states=pending,started", hub.team);
    assert_eq!(good(hub.team_request(Method::GET, &pending)).await["metadata"]["total"], 0);

    // What happened stays when the package is gone; one that was never finalized is cancelled.
    let given_up = hub.new_package(json!({ "name": "Given up" })).await;
    for removed in [&package, &given_up] {
        assert_eq!(removed.request(Method::DELETE, "").send().await.unwrap().status(), 204);
    }
    let uploads = activities(&hub, "package_upload_to_masv").await;
    let states: Vec<_> = uploads.iter().map(|upload| (text(upload, "package_name"), text(upload, "state"))).collect();
    assert_eq!(states, pairs(&[("Given up", "cancelled"), ("Dailies", "complete")]));
    assert_eq!(activities(&hub, "package_download_from_masv").await.len(), 1);
}

/// Case: what is known about downloads is for the team and its sender, not for recipients or portal senders.
#[tokio::test]
async fn who_downloads_or_sends_to_a_portal_is_not_told_who_else_downloaded() {
    let hub = TestHub::start().await;
    let (package, files, link) = sent(&hub).await;
    let token = text(&open(&hub, &link).await, "package_token");
    for file in &files {
        let address = package.download_url(&token, file).await;
        hub.request(Method::GET, &address).send().await.unwrap().bytes().await.unwrap();
    }
    until(&package, "all is delivered", is_complete).await;
    let path = format!("/v1/packages/{}/downloads", package.id);
    refused(hub.request(Method::GET, &path).header("X-Package-Token", &token), 401).await;
    refused(hub.request(Method::GET, &path), 401).await;
    let (page, _) = visit(&hub, &link).await;
    let opened = open(&hub, &link).await.to_string();
    for told in [page, opened] {
        assert!(!told.contains("127.0.0.1 ") && !told.contains("downloads\"") && !told.contains("opened_at"), "{told}");
    }
    let portal = good(hub.request(Method::GET, "/v1/subdomains/portals/open")).await;
    let path = format!("/v1/portals/{}/packages", text(&portal, "id"));
    let begun = good(hub.request(Method::POST, &path).json(&json!({ "name": "In", "sender": "a@example.com" }))).await;
    let received = Package { hub: &hub, id: text(&begun, "id"), token: text(&begun, "access_token") };
    received.send("", "a", &[b"a"]).await;
    let finalized = good(received.request(Method::POST, "/finalize")).await;
    assert!(finalized.get("downloads").is_none(), "{finalized}");
    refused(received.request(Method::GET, "/downloads"), 403).await;
    refused(received.request(Method::POST, "/downloads").json(&json!({})), 403).await;
}

/// Somebody of the team is known by the name of their key.
#[tokio::test]
async fn a_download_by_the_team_itself_is_known_by_its_key() {
    let hub = TestHub::start().await;
    let (package, files, _) = sent(&hub).await;
    for file in &files {
        let path = format!("/v1/packages/{}/files/{file}/download", package.id);
        let address = text(&good(hub.team_request(Method::GET, &path)).await, "url");
        hub.request(Method::GET, &address).send().await.unwrap().bytes().await.unwrap();
    }
    let done = until(&package, "all is delivered", is_complete).await;
    assert_eq!((&done["link_id"], text(&done, "actor")), (&Value::Null, "key agent".into()));
    // Before it is finalized, whoever fills a package reads what they sent.
    let unfinished = hub.new_package(json!({ "name": "Not yet" })).await;
    let file = unfinished.send("", "a", &[b"a"]).await.id;
    let address = unfinished.download_url(&unfinished.token, &file).await;
    assert_eq!(hub.request(Method::GET, &address).send().await.unwrap().bytes().await.unwrap(), &b"a"[..]);
    assert_eq!(downloads(&unfinished).await, json!([]));
}

/// The hub does not see what is read from a bucket: who read it says so, and is believed of what an address was given out for.
#[tokio::test]
async fn what_is_read_from_a_bucket_is_delivered_when_the_reader_confirms_it() {
    let Some(place) = tokio::task::spawn_blocking(s3_server::place).await.unwrap() else { return };
    let hub = TestHub::start_at(place, |_| {}).await;
    let (package, files, link) = sent(&hub).await;
    let token = text(&open(&hub, &link).await, "package_token");
    let confirm = async |files: &[&String]| {
        let path = format!("/v1/packages/{}/downloads", package.id);
        let request = hub.request(Method::POST, &path).header("X-Package-Token", &token);
        text(&good(request.json(&json!({ "files": files }))).await, "state")
    };
    assert_eq!(confirm(&[]).await, "pending", "no address was given out");
    assert_eq!(shown_link(&hub, &link).await["access_count"], 0);
    package.download_url(&token, &files[0]).await;
    assert_eq!(confirm(&[]).await, "started");
    let begun = downloads(&package).await;
    assert_eq!((&begun[0]["files"], &begun[0]["file_names"]), (&json!(1), &json!(["day 1/a.mov"])));
    package.download_url(&token, &files[1]).await;
    assert_eq!(confirm(&[&files[0]]).await, "started", "only the first, again");
    assert_eq!(confirm(&[&files[1]]).await, "complete");
    assert_eq!(shown_link(&hub, &link).await["downloads"], 1);
}

/// On the disk, the hub sees what is delivered: nobody's word counts.
#[tokio::test]
async fn nobody_is_believed_to_have_what_the_hub_did_not_deliver() {
    let hub = TestHub::start().await;
    let (package, files, link) = sent(&hub).await;
    let token = text(&open(&hub, &link).await, "package_token");
    package.download_url(&token, &files[0]).await;
    let path = format!("/v1/packages/{}/downloads", package.id);
    let confirmed = good(hub.request(Method::POST, &path).header("X-Package-Token", &token).json(&json!({}))).await;
    assert_eq!(confirmed["state"], "started");
    assert_eq!(downloads(&package).await[0]["files"], 0);
}

/// Takes calls of a webhook: the bodies, one after the other.
fn receiver() -> (String, std::sync::mpsc::Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/", listener.local_addr().unwrap());
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let (mut bytes, mut block) = (Vec::new(), [0; 4096]);
            let body = loop {
                let count = connection.read(&mut block).unwrap();
                bytes.extend_from_slice(&block[..count]);
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
                if let Ok(body) = serde_json::from_str::<Value>(&body) {
                    break body;
                }
                assert!(count > 0, "{text}");
            };
            connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
            if tell.send(body).is_err() {
                return;
            }
        }
    });
    (address, told)
}

/// Case: downloaded by whom, when and what, for each recipient, as webhooks are told it.
#[tokio::test(flavor = "multi_thread")]
async fn webhooks_are_told_that_a_package_was_opened_and_downloaded_and_by_whom() {
    let hub = TestHub::start().await;
    let (url, told) = receiver();
    let hook = json!({ "name": "mam", "url": url, "events": ["package.opened", "package.downloaded"] });
    let hooks = format!("/v1/teams/{}/custom_webhooks", hub.team);
    good(hub.team_request(Method::POST, &hooks).json(&hook)).await;
    let (package, files, link) = sent(&hub).await;
    let token = text(&open(&hub, &link).await, "package_token");
    for file in &files {
        let address = package.download_url(&token, file).await;
        hub.request(Method::GET, &address).send().await.unwrap().bytes().await.unwrap();
    }
    let calls = tokio::task::spawn_blocking(move || {
        [0; 2].map(|_| told.recv_timeout(Duration::from_secs(30)).expect("a call of the webhook"))
    });
    let mut calls = calls.await.unwrap();
    calls.sort_by_key(|call| text(call, "event_type"));
    let [downloaded, opened] = calls;
    assert_eq!(
        (text(&opened, "event_type"), text(&opened["object"], "id"), &opened["opened"]["email"]),
        ("package.opened".into(), package.id.clone(), &json!("client@example.com"))
    );
    assert_eq!(opened["opened"]["address"], "127.0.0.1");
    let download = &downloaded["download"];
    assert_eq!(
        (text(&downloaded, "event_type"), text(&downloaded["object"], "id"), text(download, "actor")),
        ("package.downloaded".into(), package.id.clone(), "client@example.com".into())
    );
    assert_eq!(
        (&download["state"], &download["files"], &download["bytes"]),
        (&json!("complete"), &json!(2), &json!(13))
    );
}
