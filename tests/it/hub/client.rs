//! A hub on a free port and a small client that speaks the protocol by hand.

use std::path::Path;
use std::time::{Duration, Instant};

use masv_hub::{Hub, HubConfig, Network, Provision, ProvisionPortal};
use md5::{Digest, Md5};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::postgres;
use crate::s3_server::{self, Place};

pub const KEY: &str = "a key of the tests";
pub const CODE: &str = "open sesame";

/// A hub that ends with its test.
pub struct TestHub {
    pub hub: Hub,
    pub base: String,
    pub team: String,
    pub http: Client,
    pub folder: tempfile::TempDir,
    /// Where its files are, if that is a bucket.
    pub place: Option<Place>,
    shutdown: CancellationToken,
    served: Option<tokio::task::JoinHandle<()>>,
}

impl Drop for TestHub {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl TestHub {
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub async fn start_with(change: impl FnOnce(&mut HubConfig)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::start_in(folder, change).await
    }

    /// A hub that keeps its files in a bucket.
    pub async fn start_at(place: Place, change: impl FnOnce(&mut HubConfig)) -> Self {
        let bucket = place.config();
        let in_bucket = |config: &mut HubConfig| {
            config.bucket = Some(bucket);
            change(config);
        };
        let mut hub = Self::start_with(in_bucket).await;
        hub.place = Some(place);
        hub
    }

    /// A hub over the data of another that has ended.
    pub async fn start_in(folder: tempfile::TempDir, change: impl FnOnce(&mut HubConfig)) -> Self {
        let mut config = HubConfig::new(folder.path().join("data"));
        config.keep_free = 0;
        config.webhook_networks = Network::LOOPBACK.to_vec();
        change(&mut config);
        config.database = config.database.or_else(|| postgres::everywhere(folder.path()));
        if config.database.is_some() && config.bucket.is_none() {
            let prefix = folder.path().join("prefix");
            let Some(mut place) = s3_server::place() else { panic!("hubs on PostgreSQL need the S3 server") };
            match std::fs::read_to_string(&prefix) {
                Ok(before) => place.prefix = before,
                Err(_) => std::fs::write(&prefix, &place.prefix).unwrap(),
            }
            config.bucket = Some(place.config());
        }
        let hub = Hub::open(config).await.unwrap();
        let portals = vec![
            ProvisionPortal {
                subdomain: "open".into(),
                name: "Open house".into(),
                recipients: vec!["ingest@example.com".into()],
                access_code: None,
            },
            ProvisionPortal {
                subdomain: "closed".into(),
                name: "Closed house".into(),
                recipients: vec!["one@example.com".into(), "two@example.com".into()],
                access_code: Some(SecretString::from(CODE)),
            },
        ];
        let provision =
            Provision { team_name: "Team".into(), api_key: SecretString::from(KEY), key_name: "agent".into(), portals };
        let team = hub.provision(provision).await.unwrap().team_id;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let shutdown = CancellationToken::new();
        let served = tokio::spawn({
            let (hub, shutdown) = (hub.clone(), shutdown.clone());
            async move { hub.serve(listener, shutdown).await.unwrap() }
        });
        let http = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { hub, base, team, http, folder, place: None, shutdown, served: Some(served) }
    }

    /// Ends the hub in order and hands its data back.
    pub async fn stop(mut self) -> tempfile::TempDir {
        self.shutdown.cancel();
        self.served.take().unwrap().await.unwrap();
        std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap())
    }

    pub fn data(&self) -> std::path::PathBuf {
        self.folder.path().join("data")
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.base) };
        self.http.request(method, url)
    }

    pub fn team_request(&self, method: Method, path: &str) -> RequestBuilder {
        self.request(method, path).header("X-API-KEY", KEY)
    }

    pub async fn new_package(&self, body: Value) -> Package<'_> {
        let path = format!("/v1/teams/{}/packages", self.team);
        let answer = good(self.team_request(Method::POST, &path).json(&body)).await;
        Package { hub: self, id: text(&answer, "id"), token: text(&answer, "access_token") }
    }

    /// A finalized package with one file.
    pub async fn sent_package(&self, body: Value, content: &[u8]) -> Package<'_> {
        let package = self.new_package(body).await;
        package.send("", "clip.mov", &[content]).await;
        good(package.request(Method::POST, "/finalize")).await;
        package
    }

    /// The names of all files that the storage holds, but for its trash.
    pub fn stored_files(&self) -> Vec<String> {
        let storage = self.data().join("storage");
        files_below(&storage, |path| path != storage.join("trash"))
    }

    /// The names of all files in the storage's trash.
    pub fn trashed_files(&self) -> Vec<String> {
        files_below(&self.data().join("storage/trash"), |_| true)
    }

    pub fn mails(&self) -> Vec<String> {
        let Ok(folder) = std::fs::read_dir(self.data().join("outbox")) else { return Vec::new() };
        let mut mails: Vec<_> = folder
            .filter_map(Result::ok)
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|end| end == "eml"))
            .filter(|path| !is_hidden(path))
            .map(|path| std::fs::read_to_string(path).unwrap())
            .collect();
        mails.sort();
        mails
    }
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
}

/// A package and the right to change it.
pub struct Package<'a> {
    pub hub: &'a TestHub,
    pub id: String,
    pub token: String,
}

/// A file that was announced and begun.
pub struct File {
    pub id: String,
    pub upload: String,
}

impl Package<'_> {
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.hub.request(method, &format!("/v1/packages/{}{path}", self.id)).header("X-Package-Token", &self.token)
    }

    pub async fn announce(&self, path: &str, name: &str, size: u64) -> File {
        self.announce_as(json!({ "kind": "file", "name": name, "path": path, "size": size })).await
    }

    /// The same, as this body says.
    pub async fn announce_as(&self, body: Value) -> File {
        let answer = good(self.request(Method::POST, "/files").json(&body)).await;
        let blueprint = &answer["create_blueprint"];
        assert_eq!(blueprint["method"], "POST");
        let begun = self.hub.request(Method::POST, blueprint["url"].as_str().unwrap()).send().await.unwrap();
        assert_eq!(begun.status(), 200);
        let xml = begun.text().await.unwrap();
        let upload = xml.split("<UploadId>").nth(1).unwrap().split("</UploadId>").next().unwrap().to_owned();
        File { id: text(&answer["file"], "id"), upload }
    }

    pub async fn addresses(&self, file: &File, start: u32, count: u32) -> Vec<String> {
        let path = format!("/files/{}?start={start}&count={count}", file.id);
        let answer = good(self.request(Method::POST, &path).json(&json!({ "upload_id": file.upload }))).await;
        answer.as_array().unwrap().iter().map(|blueprint| text(blueprint, "url")).collect()
    }

    /// Sends a part; returns its ETag.
    pub async fn put(&self, url: &str, content: &[u8]) -> String {
        let response = self.hub.request(Method::PUT, url).body(content.to_vec()).send().await.unwrap();
        assert_eq!(response.status(), 200);
        let etag = response.headers()["etag"].to_str().unwrap().to_owned();
        assert_eq!(etag, format!("\"{}\"", hex::encode(Md5::digest(content))));
        etag
    }

    pub async fn finalize_file(&self, file: &File, size: u64, etags: &[String]) -> Response {
        let parts: Vec<Value> = etags
            .iter()
            .enumerate()
            .map(|(index, etag)| json!({ "partNumber": (index + 1).to_string(), "etag": etag }))
            .collect();
        let body = json!({
            "size": size, "chunk_size": 104_857_600, "file_extras": { "upload_id": file.upload }, "chunk_extras": parts,
        });
        self.request(Method::POST, &format!("/files/{}/finalize", file.id)).json(&body).send().await.unwrap()
    }

    /// Sends a whole file in these parts.
    pub async fn send(&self, path: &str, name: &str, parts: &[&[u8]]) -> File {
        let size: u64 = parts.iter().map(|part| part.len() as u64).sum();
        self.send_as(json!({ "kind": "file", "name": name, "path": path, "size": size }), parts).await
    }

    /// The same, announced as this body says.
    pub async fn send_as(&self, body: Value, parts: &[&[u8]]) -> File {
        let size = body["size"].as_u64().unwrap();
        let file = self.announce_as(body).await;
        let addresses = self.addresses(&file, 0, u32::try_from(parts.len()).unwrap()).await;
        let mut etags = Vec::new();
        for (address, part) in addresses.iter().zip(parts) {
            etags.push(self.put(address, part).await);
        }
        assert_eq!(self.finalize_file(&file, size, &etags).await.status(), 200);
        file
    }

    pub async fn new_link(&self, body: Value) -> Value {
        let response = self.request(Method::POST, "/links").json(&body).send().await.unwrap();
        assert_eq!(response.status(), 201);
        response.json().await.unwrap()
    }

    /// Where a file can be downloaded, asked with `token`.
    pub async fn download_url(&self, token: &str, file: &str) -> String {
        let path = format!("/v1/packages/{}/files/{file}/download", self.id);
        let answer = good(self.hub.request(Method::GET, &path).header("X-Package-Token", token)).await;
        text(&answer, "url")
    }
}

/// The JSON of an answer that must be good.
pub async fn good(request: RequestBuilder) -> Value {
    let response = request.send().await.unwrap();
    let (status, url) = (response.status(), response.url().clone());
    let body = response.text().await.unwrap();
    assert!(status.is_success(), "{url}: {status} {body}");
    serde_json::from_str(&body).unwrap_or_else(|error| panic!("{url}: {error}: {body}"))
}

/// Asserts that a call is refused, in the protocol's form; returns its message.
pub async fn refused(request: RequestBuilder, status: u16) -> String {
    let response = request.send().await.unwrap();
    let (got, url) = (response.status(), response.url().clone());
    let body = response.text().await.unwrap();
    assert_eq!(got, StatusCode::from_u16(status).unwrap(), "{url}: {body}");
    let body: Value = serde_json::from_str(&body).unwrap_or_else(|error| panic!("{url}: {error}: {body}"));
    let message = text(&body, "message");
    assert_eq!(body["errors"][0]["msg"], message.as_str());
    assert!(body["errors"][0]["type"].is_string() && body["errors"][0]["code"].is_number() && body["code"].is_number());
    message
}

pub fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_else(|| panic!("no {field} in {value}")).to_owned()
}

/// Waits until `condition` gives something.
pub async fn wait_until<T>(mut condition: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < end, "did not happen in time");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Has the next hub over this data sweep its storage at once, however short a time ago it was swept.
pub fn sweep_at_start(data: &Path) {
    let database = rusqlite::Connection::open(data.join("hub.db")).unwrap();
    database.execute("UPDATE job SET due_at = 0 WHERE id IN ('sweep_disk', 'sweep_bucket')", []).unwrap();
}

fn files_below(folder: &Path, enter: impl Fn(&Path) -> bool) -> Vec<String> {
    let entries = walkdir::WalkDir::new(folder).into_iter().filter_entry(|entry| enter(entry.path()));
    let files = entries.filter_map(Result::ok).filter(|entry| entry.file_type().is_file());
    files.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
