//! Moving a hub to PostgreSQL and a bucket, by the command and with a kill in the middle. Skipped where there is neither.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use masv_db::scratch::Scratch;
use masv_hub::{Hub, HubConfig, SharedDatabase};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::client::{KEY, Package, TestHub, good, refused, text};
use crate::process::command;
use crate::s3_server::{self, Place};

/// The name of a file that goes into the bucket in several parts.
const LARGE: &str = "a.mov";

/// A hub over existing data, as its operator starts it.
struct Started {
    base: String,
    http: Client,
    shutdown: CancellationToken,
    served: tokio::task::JoinHandle<()>,
}

impl Started {
    async fn over(config: HubConfig) -> Self {
        let hub = Hub::open(config).await.unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let shutdown = CancellationToken::new();
        let ended = shutdown.clone();
        let served = tokio::spawn(async move { hub.serve(listener, ended).await.unwrap() });
        let http = Client::builder().no_proxy().build().unwrap();
        Self { base, http, shutdown, served }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base)).header("X-API-KEY", KEY)
    }

    /// Opens a link and reads the large file of its package.
    async fn read(&self, link: &Value) -> Result<Vec<u8>, u16> {
        let path = format!("/v1/links/{}?secret={}", text(link, "id"), text(link, "download_secret"));
        let answer = self.request(Method::GET, &path).send().await.unwrap();
        if !answer.status().is_success() {
            return Err(answer.status().as_u16());
        }
        let opened: Value = answer.json().await.unwrap();
        let (package, token) = (text(&opened, "package_id"), text(&opened, "package_token"));
        let with_token = |path: String| self.http.get(format!("{}{path}", self.base)).header("X-Package-Token", &token);
        let files = good(with_token(format!("/v1/packages/{package}/files"))).await;
        let file = files.as_array().unwrap().iter().find(|file| file["name"] == LARGE).unwrap();
        let asked = with_token(format!("/v1/packages/{package}/files/{}/download", text(file, "id")));
        let answer = asked.send().await.unwrap();
        if !answer.status().is_success() {
            return Err(answer.status().as_u16());
        }
        let url = text(&answer.json().await.unwrap(), "url");
        let content = self.http.get(url).send().await.unwrap();
        assert!(content.status().is_success());
        Ok(content.bytes().await.unwrap().to_vec())
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.served.await.unwrap();
    }
}

/// Where a hub goes.
struct Goal<'a> {
    folder: &'a Path,
    scratch: &'a Scratch,
    place: &'a Place,
}

impl Goal<'_> {
    fn masv(&self, arguments: &[&str]) -> Command {
        let mut masv = command(self.folder, &["hub", "migrate", "--data-dir", "data"]);
        masv.args(arguments).stdin(Stdio::null());
        masv
    }

    fn migrate(&self) -> Command {
        let (storage, credentials) = self.place.written();
        std::fs::write(self.folder.join("credentials"), credentials).unwrap();
        let mut masv = self.masv(&["--output", "json", "--storage", &storage, "--storage-credentials", "credentials"]);
        masv.args(["--secret-key-file", "new.key"]).env("MASV_HUB_DATABASE", self.scratch.url());
        masv
    }

    fn config(&self) -> HubConfig {
        let mut config = HubConfig::new(self.folder.join("own"));
        let secret_key_file = self.folder.join("new.key");
        config.database = Some(SharedDatabase { url: self.scratch.url().into(), password: None, secret_key_file });
        config.bucket = Some(self.place.config());
        config
    }

    fn rows(&self, table: &str) -> u64 {
        let counted = self.scratch.ask(format!("SELECT count(*) FROM {table}"));
        // Before the tables are made there is nothing to count.
        counted.ok().and_then(|rows| rows[0][0].parse().ok()).unwrap_or_default()
    }

    /// Starts the move, has it stand still where `slow_at` says as soon as there are rows of this table, and kills it.
    fn kill_at(&self, slow_at: &str, table: &str) {
        let log = std::fs::File::create(self.folder.join("log")).unwrap();
        let mut masv = self.migrate();
        masv.env("MASV_SLOW_AT", format!("{slow_at}:3600000")).stdout(log.try_clone().unwrap()).stderr(log);
        let mut moving = masv.spawn().unwrap();
        let end = Instant::now() + Duration::from_secs(120);
        while self.rows(table) == 0 {
            let said = || std::fs::read_to_string(self.folder.join("log")).unwrap();
            assert!(moving.try_wait().unwrap().is_none(), "it has ended: {}", said());
            assert!(Instant::now() < end, "no rows in {table}: {}", said());
            std::thread::sleep(Duration::from_millis(20));
        }
        moving.kill().unwrap();
        moving.wait().unwrap();
    }
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Case: a hub has grown out of its machine. What it has is there afterwards, whenever the move was killed; what was asked of the old one
/// meanwhile was answered or refused, and is in no case lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_that_is_moved_only_reads_meanwhile_and_is_whole_afterwards_whenever_the_move_was_killed() {
    let Some(scratch) = Scratch::new().filter(|_| !Scratch::is_wanted() && s3_server::everywhere().is_none()) else {
        return;
    };
    let Some(place) = tokio::task::spawn_blocking(s3_server::place).await.unwrap() else { return };
    let hub = TestHub::start().await;
    let large: Vec<u8> = (0..9_000_000_u32).flat_map(|number| number.to_le_bytes()).take(20_000_000).collect();
    let package = hub.new_package(json!({ "name": "Dailies", "recipients": ["lab@example.com"] })).await;
    let (one, two) = large.split_at(7_000_000);
    package.send("day 1", LARGE, &[one, two]).await;
    for number in 0..30 {
        package.send("frames", &format!("{number:02}.dpx"), &[format!("frame {number}").as_bytes()]).await;
    }
    package.send("", "empty", &[b""]).await;
    good(package.request(Method::POST, "/finalize")).await;
    let link = package.new_link(json!({ "password": "" })).await;
    let limited = package.new_link(json!({ "access_limit": 1 })).await;
    let half = hub.new_package(json!({ "name": "Half" })).await;
    half.send("", "whole.mov", &[&[5; 100_000]]).await;
    half.announce("", "rest.mov", 100_000).await;
    let removed = hub.sent_package(json!({ "name": "Removed" }), &[7; 200_000]).await;
    assert!(removed.request(Method::DELETE, "").send().await.unwrap().status().is_success());
    let damaged = hub.sent_package(json!({ "name": "Damaged" }), &[8; 200_000]).await;
    let of_damaged = format!("{}/", damaged.id);
    let (half, packages) = ((half.id.clone(), half.token.clone()), format!("/v1.1/teams/{}/packages", hub.team));
    let folder = hub.stop().await;
    let part = walkdir::WalkDir::new(folder.path().join("data/storage"))
        .into_iter()
        .filter_map(Result::ok)
        .find(|entry| entry.file_type().is_file() && entry.path().to_string_lossy().contains(&of_damaged))
        .unwrap();
    std::fs::write(part.path(), [9; 200_000]).unwrap();
    let goal = Goal { folder: folder.path(), scratch: &scratch, place: &place };

    goal.kill_at("move.rows", "team");
    let early = Hub::open(goal.config()).await.unwrap_err().to_string();
    assert!(early.contains("masv hub migrate"), "{early}");
    goal.kill_at("move.files", "file");

    let old = Started::over(HubConfig::new(folder.path().join("data"))).await;
    let listed = good(old.request(Method::GET, &packages)).await;
    assert_eq!(listed["records"].as_array().unwrap().len(), 3, "{listed}");
    assert_eq!(old.read(&link).await.unwrap().len(), 20_000_000);
    assert_eq!(old.read(&limited).await, Err(503), "a visit that has to be counted waits");
    let create = packages.replace("v1.1", "v1");
    let why = refused(old.request(Method::POST, &create).json(&json!({ "name": "Too late" })), 503).await;
    assert!(why.contains("moved"), "{why}");

    // It runs while the old hub reads, and goes on where it was.
    goal.kill_at("move.rows", "link");
    let output = goal.migrate().output().unwrap();
    let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)));
    assert_eq!(told["lost"].as_array().unwrap().len(), 1, "{}", said(&output));
    assert!(told["lost"][0].as_str().unwrap().starts_with(&of_damaged), "{told}");
    old.stop().await;
    assert!(!goal.migrate().output().unwrap().status.success(), "it is there already");

    let new = Started::over(goal.config()).await;
    assert_eq!(good(new.request(Method::GET, &packages)).await["records"].as_array().unwrap().len(), 3);
    assert_eq!(new.read(&link).await.unwrap(), large);
    assert_eq!(new.read(&limited).await.unwrap(), large);
    assert_eq!(new.read(&limited).await, Err(403));
    // Who was in the middle of a package goes on with it.
    let there = |method, path: &str| {
        let path = format!("{}/v1/packages/{}{path}", new.base, half.0);
        new.http.request(method, path).header("X-Package-Token", &half.1)
    };
    let files = good(there(Method::GET, "/files")).await;
    let state = |name: &str| {
        let files = files.as_array().unwrap();
        files.iter().find(|file| file["name"] == name).map(|file| text(file, "state"))
    };
    assert_eq!((state("whole.mov").as_deref(), state("rest.mov").as_deref()), (Some("finalized"), Some("new")));
    let announced = json!({ "kind": "file", "name": "rest.mov", "path": "", "size": 100_000 });
    good(there(Method::POST, "/files").json(&announced)).await;
    // The sums are those of what is there, and new rows are numbered after those that came.
    let sums = "SELECT count(*) FROM package WHERE removed = 0 AND (reserved, entries) !=
        (SELECT coalesce(sum(size), 0), count(*) FROM file WHERE package_id = package.id)";
    assert_eq!(scratch.ask(sums.into()).unwrap()[0][0], "0");
    let used = "SELECT used - (SELECT sum(reserved) FROM package) FROM team";
    assert_eq!(scratch.ask(used.into()).unwrap()[0][0], "0");
    new.stop().await;

    // The old one can be opened again.
    let undone = goal.masv(&["--undo"]).output().unwrap();
    assert!(undone.status.success(), "{}", said(&undone));
    let old = TestHub::start_in(folder, |_| {}).await;
    let again = Package { hub: &old, id: half.0, token: half.1 };
    again.send("", "more.mov", &[b"more"]).await;
}

/// Case: a move was killed, undone, and begun again into the same database: what had been changed in between was not in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_that_was_undone_does_not_go_on_in_what_it_had_copied() {
    let Some(scratch) = Scratch::new().filter(|_| !Scratch::is_wanted() && s3_server::everywhere().is_none()) else {
        return;
    };
    let Some(place) = tokio::task::spawn_blocking(s3_server::place).await.unwrap() else { return };
    let hub = TestHub::start().await;
    let package = hub.new_package(json!({ "name": "Half" })).await;
    package.send("", "whole.mov", &[&[5; 100_000]]).await;
    package.announce("", "rest.mov", 100_000).await;
    let (id, token) = (package.id.clone(), package.token.clone());
    let folder = hub.stop().await;
    let goal = Goal { folder: folder.path(), scratch: &scratch, place: &place };
    goal.kill_at("move.files", "file");
    let undone = goal.masv(&["--undo"]).output().unwrap();
    assert!(undone.status.success(), "{}", said(&undone));

    let hub = TestHub::start_in(folder, |_| {}).await;
    let again = Package { hub: &hub, id, token };
    again.send("", "rest.mov", &[&[6; 100_000]]).await;
    good(again.request(Method::POST, "/finalize")).await;
    let folder = hub.stop().await;
    let goal = Goal { folder: folder.path(), scratch: &scratch, place: &place };
    let refused = goal.migrate().output().unwrap();
    assert!(!refused.status.success() && said(&refused).contains("undone"), "{}", said(&refused));

    // It was refused before the old hub was closed.
    let old = TestHub::start_in(folder, |_| {}).await;
    old.sent_package(json!({ "name": "After" }), b"after").await;
}

/// Case: a hub with its files in a bucket was moved with another bucket named: all of them were marked as lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_with_its_files_in_one_bucket_is_not_moved_to_another() {
    let Some(scratch) = Scratch::new().filter(|_| !Scratch::is_wanted() && s3_server::everywhere().is_none()) else {
        return;
    };
    let two = || Some((s3_server::place()?, s3_server::place()?));
    let Some((own, other)) = tokio::task::spawn_blocking(two).await.unwrap() else { return };
    let bucket = own.config();
    let hub = TestHub::start_with(|config| config.bucket = Some(bucket)).await;
    hub.sent_package(json!({ "name": "Sent" }), &[7; 200_000]).await;
    let folder = hub.stop().await;
    let refused = Goal { folder: folder.path(), scratch: &scratch, place: &other }.migrate().output().unwrap();
    assert!(!refused.status.success() && said(&refused).contains("none of the last 1 files"), "{}", said(&refused));
    assert!(!said(&refused).contains("only reads"), "it is not closed: {}", said(&refused));
    let moved = Goal { folder: folder.path(), scratch: &scratch, place: &own }.migrate().output().unwrap();
    assert!(moved.status.success(), "{}", said(&moved));
}
