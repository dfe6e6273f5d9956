//! Two hubs on one PostgreSQL and one S3, which are killed, stand still and are cut off from the database, while clients use either of
//! them. What was acknowledged is there in the end, what was refused is not, what is once is once.
//!
//! `MASV_TWO_HUBS_SEEDS` says with how many seeds (1), `MASV_TWO_HUBS_SECONDS` for how long each (12); the seed is printed where something is
//! wrong.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use masv_db::scratch::Scratch;
use reqwest::{Client, Method, StatusCode};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::process::command;
use crate::{postgres, s3_server};

const CLIENTS: u64 = 6;
/// How often a link with a limit opens.
const OPENS: u64 = 3;

/// One of the hubs, as a process that comes back.
struct Process {
    child: Option<Child>,
    port: u16,
    folder: std::path::PathBuf,
    arguments: Vec<String>,
    url: String,
}

impl Process {
    fn new(folder: &Path, name: &str, url: &str, place: &s3_server::Place) -> Self {
        let folder = folder.join(name);
        std::fs::create_dir(&folder).unwrap();
        let shared = postgres::at(url.to_owned(), &folder);
        let (storage, credentials) = place.written();
        std::fs::write(folder.join("credentials"), credentials).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let arguments = [
            "hub",
            "start",
            "--data-dir",
            "own",
            "--listen",
            &format!("127.0.0.1:{port}"),
            "--storage",
            &storage,
            "--storage-credentials",
            "credentials",
            "--public-url",
            "http://hub.example.com",
            "--smtp-url",
            "smtp://127.0.0.1:1",
            "--secret-key-file",
            shared.secret_key_file.to_str().unwrap(),
        ];
        let arguments = arguments.map(str::to_owned).to_vec();
        let mut new = Self { child: None, port, folder, arguments, url: url.to_owned() };
        new.start();
        new
    }

    fn start(&mut self) {
        let mut start: Command = command(&self.folder, &[]);
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.folder.join("log")).unwrap();
        start.args(&self.arguments).env("MASV_HUB_DATABASE", &self.url);
        start.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.child = Some(start.spawn().unwrap());
    }

    fn base(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn signal(&self, signal: Signal) {
        if let Some(child) = &self.child {
            let _ = kill_process(Pid::from_child(child), signal);
        }
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    async fn ready(&self, http: &Client) {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let asked = http.get(format!("{}/readyz", self.base())).timeout(Duration::from_secs(5)).send().await;
            if asked.is_ok_and(|answer| answer.status() == StatusCode::OK) {
                return;
            }
            assert!(Instant::now() < end, "it is not ready:\n{}", self.said());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What became of a call.
#[derive(Debug, Clone)]
enum Outcome {
    Ok(Value),
    Refused(StatusCode, String),
    /// No answer, or that it failed: it may have happened.
    Unknown,
}

/// What the clients know in the end.
#[derive(Debug, Default)]
struct Known {
    /// Packages by id: files that are there in full, and whether the package is finalized.
    packages: BTreeMap<String, (Vec<String>, bool)>,
    /// Links with a limit, and how many visits were let in.
    visits: BTreeMap<String, u64>,
    /// Packages that were removed.
    removed: Vec<String>,
    unknown: u64,
    done: u64,
}

struct Clients {
    http: Client,
    bases: [String; 2],
    key: String,
    team: String,
    known: Mutex<Known>,
    over: AtomicBool,
}

impl Clients {
    async fn call(
        &self,
        random: &mut fastrand::Rng,
        method: Method,
        path: &str,
        auth: (&str, &str),
        body: &Value,
    ) -> Outcome {
        let url = format!("{}{path}", self.bases[random.usize(..2)]);
        let request = self.http.request(method, url).header(auth.0, auth.1).json(body).timeout(Duration::from_secs(8));
        let outcome = match request.send().await {
            Err(_) => Outcome::Unknown,
            Ok(answer) if answer.status().is_server_error() => Outcome::Unknown,
            Ok(answer) => {
                let status = answer.status();
                match answer.text().await {
                    Err(_) => Outcome::Unknown,
                    Ok(text) if status.is_success() => Outcome::Ok(serde_json::from_str(&text).unwrap_or_default()),
                    Ok(text) => Outcome::Refused(status, text),
                }
            }
        };
        let mut known = self.known.lock().unwrap();
        match outcome {
            Outcome::Unknown => known.unknown += 1,
            _ => known.done += 1,
        }
        outcome
    }

    /// Repeats a call that is the same once or often, until it is answered; nothing when it is refused.
    async fn sure(
        &self,
        random: &mut fastrand::Rng,
        method: Method,
        path: &str,
        auth: (&str, &str),
        body: &Value,
    ) -> Option<Value> {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            match self.call(random, method.clone(), path, auth, body).await {
                Outcome::Ok(value) => return Some(value),
                Outcome::Refused(status, _) if status == StatusCode::TOO_MANY_REQUESTS => {}
                Outcome::Refused(status, text) => panic!("{path}: {status} {text}"),
                Outcome::Unknown => {}
            }
            assert!(Instant::now() < end, "{path} is not answered");
            tokio::time::sleep(Duration::from_millis(random.u64(20..200))).await;
        }
    }

    /// Sends packages by whichever hub, until it is over.
    async fn run(self: Arc<Self>, seed: u64) {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut number = 0;
        while !self.over.load(Ordering::SeqCst) {
            number += 1;
            self.one_package(&mut random, &format!("{seed} {number}")).await;
        }
    }

    async fn one_package(&self, random: &mut fastrand::Rng, name: &str) {
        let key: (&str, &str) = ("X-API-KEY", &self.key.clone());
        let path = format!("/v1/teams/{}/packages", self.team);
        let wanted = json!({ "name": name, "recipients": ["one@example.com", "two@example.com"] });
        let Outcome::Ok(made) = self.call(random, Method::POST, &path, key, &wanted).await else { return };
        let (id, token) = (made["id"].as_str().unwrap().to_owned(), made["access_token"].as_str().unwrap().to_owned());
        let token: (&str, &str) = ("X-Package-Token", &token);
        self.known.lock().unwrap().packages.insert(id.clone(), (Vec::new(), false));
        for file in 0..random.u32(1..4) {
            let file = format!("{file}.mov");
            if self.one_file(random, &id, token, &file).await {
                self.known.lock().unwrap().packages.get_mut(&id).unwrap().0.push(file);
            }
        }
        let package = format!("/v1/packages/{id}");
        if self.known.lock().unwrap().packages[&id].0.is_empty() {
            return;
        }
        // Some files may have been begun and given up: those are in the way, and are removed.
        let files = self.sure(random, Method::GET, &format!("{package}/files"), token, &json!({})).await.unwrap();
        for file in files.as_array().unwrap().iter().filter(|file| file["state"] != "finalized") {
            let path = format!("{package}/files/{}", file["id"].as_str().unwrap());
            while matches!(self.call(random, Method::DELETE, &path, token, &json!({})).await, Outcome::Unknown) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        self.sure(random, Method::POST, &format!("{package}/finalize"), token, &json!({})).await;
        self.known.lock().unwrap().packages.get_mut(&id).unwrap().1 = true;
        if random.u32(..3) == 0 {
            self.visit(random, &id, token).await;
        }
        if random.u32(..5) == 0 {
            let mut removing = self.call(random, Method::DELETE, &package, token, &json!({})).await;
            while matches!(removing, Outcome::Unknown) {
                tokio::time::sleep(Duration::from_millis(50)).await;
                removing = self.call(random, Method::DELETE, &package, token, &json!({})).await;
            }
            self.known.lock().unwrap().removed.push(id);
        }
    }

    /// Sends a file; whether it is there in full.
    async fn one_file(&self, random: &mut fastrand::Rng, package: &str, token: (&str, &str), name: &str) -> bool {
        let content = format!("{package} {name}");
        let path = format!("/v1/packages/{package}/files");
        let new = json!({ "kind": "file", "name": name, "path": "", "size": content.len() });
        // Announced again, it takes the place of the one that was announced before.
        let Some(announced) = self.sure(random, Method::POST, &path, token, &new).await else { return false };
        let file = announced["file"]["id"].as_str().unwrap().to_owned();
        let begin = announced["create_blueprint"]["url"].as_str().unwrap();
        let Ok(begun) = self.http.post(begin).send().await else { return false };
        let xml = begun.text().await.unwrap_or_default();
        let Some(upload) = xml.split("<UploadId>").nth(1).and_then(|rest| rest.split("</UploadId>").next()) else {
            return false;
        };
        let body = json!({ "upload_id": upload });
        let path = format!("/v1/packages/{package}/files/{file}");
        let addresses =
            self.sure(random, Method::POST, &format!("{path}?start=0&count=1"), token, &body).await.unwrap();
        let Ok(put) = self.http.put(addresses[0]["url"].as_str().unwrap()).body(content.clone()).send().await else {
            return false;
        };
        let Some(etag) = put.headers().get("etag").and_then(|etag| etag.to_str().ok()).map(str::to_owned) else {
            return false;
        };
        let body = json!({
            "size": content.len(), "chunk_size": 104_857_600, "file_extras": { "upload_id": upload },
            "chunk_extras": [{ "partNumber": "1", "etag": etag }],
        });
        self.sure(random, Method::POST, &format!("{path}/finalize"), token, &body).await.is_some()
    }

    /// Opens a link with a limit more often than it opens, by either hub at the same time.
    async fn visit(&self, random: &mut fastrand::Rng, package: &str, token: (&str, &str)) {
        let new = json!({ "access_limit": OPENS });
        let made = self.call(random, Method::POST, &format!("/v1/packages/{package}/links"), token, &new).await;
        let Outcome::Ok(link) = made else { return };
        let (id, secret) = (link["id"].as_str().unwrap(), link["download_secret"].as_str().unwrap());
        let files = self.sure(random, Method::GET, &format!("/v1/packages/{package}/files"), token, &json!({})).await;
        let file = files.unwrap()[0]["id"].as_str().unwrap().to_owned();
        let visits = (0..OPENS + 3).map(|_| {
            let mut random = random.fork();
            let (file, path) = (&file, format!("/v1/links/{id}?secret={secret}"));
            async move {
                let none = ("X-Nobody", "x");
                let Outcome::Ok(opened) = self.call(&mut random, Method::GET, &path, none, &json!({})).await else {
                    return false;
                };
                let token = opened["package_token"].as_str().unwrap_or_default().to_owned();
                let path = format!("/v1/packages/{package}/files/{file}/download");
                let asked = self.call(&mut random, Method::GET, &path, ("X-Package-Token", &token), &json!({})).await;
                matches!(asked, Outcome::Ok(_))
            }
        });
        let let_in = futures_util::future::join_all(visits).await.into_iter().filter(|let_in| *let_in).count() as u64;
        self.known.lock().unwrap().visits.insert(id.to_owned(), let_in);
    }
}

/// Kills, stops and cuts off.
async fn trouble(random: &mut fastrand::Rng, hubs: &mut [Process; 2], scratch: &Scratch, http: &Client) {
    let hub = &mut hubs[random.usize(..2)];
    match random.u32(..3) {
        0 => {
            hub.kill();
            tokio::time::sleep(Duration::from_millis(random.u64(..1500))).await;
            hub.start();
            hub.ready(http).await;
        }
        1 => {
            hub.signal(Signal::STOP);
            tokio::time::sleep(Duration::from_millis(random.u64(200..3000))).await;
            hub.signal(Signal::CONT);
        }
        _ => scratch.cut_off().unwrap(),
    }
}

async fn history(seed: u64, length: Duration) -> bool {
    let Some(scratch) = Scratch::new() else { return false };
    let Some(place) = s3_server::place() else { return false };
    let folder = tempfile::tempdir().unwrap();
    let http = Client::builder().no_proxy().build().unwrap();
    let first = Process::new(folder.path(), "first", &scratch.url(), &place);
    first.ready(&http).await;
    let second = Process::new(folder.path(), "second", &scratch.url(), &place);
    second.ready(&http).await;
    let key = std::fs::read_to_string(first.folder.join("own/first-api-key")).unwrap().trim().to_owned();
    let mut hubs = [first, second];
    let team = scratch.ask("SELECT id FROM team".into()).unwrap()[0][0].clone();
    let clients = Arc::new(Clients {
        http: http.clone(),
        bases: [hubs[0].base(), hubs[1].base()],
        key,
        team,
        known: Mutex::default(),
        over: AtomicBool::new(false),
    });
    let running: Vec<_> =
        (0..CLIENTS).map(|number| tokio::spawn(Arc::clone(&clients).run(seed * CLIENTS + number))).collect();
    let (mut random, end) = (fastrand::Rng::with_seed(seed), Instant::now() + length);
    while Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(random.u64(500..2500))).await;
        trouble(&mut random, &mut hubs, &scratch, &http).await;
    }
    clients.over.store(true, Ordering::SeqCst);
    for client in running {
        if let Err(error) = client.await {
            panic!("seed {seed}: {error}\n{}\n{}", hubs[0].said(), hubs[1].said());
        }
    }
    let wrong = check(&scratch, &clients.known.lock().unwrap());
    assert!(wrong.is_empty(), "seed {seed}:\n{}", wrong.join("\n"));
    true
}

/// What is not as it must be.
fn check(scratch: &Scratch, known: &Known) -> Vec<String> {
    let mut wrong = Vec::new();
    assert!(known.done > 20, "{} calls only", known.done);
    let ask = |sql: &str| scratch.ask(sql.to_owned()).unwrap();
    let states: BTreeMap<String, (String, bool)> = ask("SELECT id, state, removed FROM package")
        .into_iter()
        .map(|row| (row[0].clone(), (row[1].clone(), row[2] == "1")))
        .collect();
    let mut files: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in ask("SELECT package_id, name FROM file WHERE finalized_at IS NOT NULL") {
        files.entry(row[0].clone()).or_default().push(row[1].clone());
    }
    for (id, (sent, is_finalized)) in &known.packages {
        let Some((state, _)) = states.get(id) else {
            wrong.push(format!("package {id} is gone"));
            continue;
        };
        if *is_finalized && state != "finalized" {
            wrong.push(format!("package {id} is {state}"));
        }
        let mut there = files.get(id).cloned().unwrap_or_default();
        there.sort();
        for name in sent.iter().filter(|name| !there.contains(name)) {
            wrong.push(format!("file {name} of {id} is gone"));
        }
        let before = there.len();
        there.dedup();
        if there.len() != before {
            wrong.push(format!("a file of {id} is there twice"));
        }
    }
    for id in known.removed.iter().filter(|id| states.get(*id).is_none_or(|(_, is_removed)| !is_removed)) {
        wrong.push(format!("package {id} was removed, and is there"));
    }
    // Of each package that is finalized each recipient has one link and one mail.
    for row in ask("SELECT package.id, (SELECT count(*) FROM link WHERE package_id = package.id AND email IS NOT NULL),
            (SELECT count(*) FROM mail WHERE package_id = package.id AND kind = 'delivery'),
            (SELECT count(*) FROM webhook_call), package.removed
         FROM package WHERE state = 'finalized'")
    {
        if row[1] != "2" || (row[2] != "2" && row[4] == "0") {
            wrong.push(format!("package {} has {} links and {} mails", row[0], row[1], row[2]));
        }
    }
    for row in ask("SELECT id, access_count, access_limit FROM link WHERE access_limit IS NOT NULL") {
        let (count, limit): (u64, u64) = (row[1].parse().unwrap(), row[2].parse().unwrap());
        let let_in = known.visits.get(&row[0]).copied().unwrap_or_default();
        if count > limit || let_in > count {
            wrong.push(format!("link {} counted {count} of {limit}, and let {let_in} in", row[0]));
        }
    }
    for row in
        ask("SELECT link.id FROM link WHERE access_count != (SELECT count(*) FROM link_visit WHERE link_id = link.id)")
    {
        wrong.push(format!("link {} does not have the visits that it counted", row[0]));
    }
    for row in ask("SELECT package.id, reserved, entries, size, file_count,
            (SELECT coalesce(sum(size), 0) FROM file WHERE package_id = package.id),
            (SELECT count(*) FROM file WHERE package_id = package.id),
            (SELECT coalesce(sum(size), 0) FROM file WHERE package_id = package.id AND finalized_at IS NOT NULL),
            (SELECT count(*) FROM file WHERE package_id = package.id AND finalized_at IS NOT NULL) FROM package WHERE removed = 0") {
        if row[1] != row[5] || row[2] != row[6] || row[3] != row[7] || row[4] != row[8] {
            wrong.push(format!("the sums of package {} are not those of its files: {row:?}", row[0]));
        }
    }
    for row in
        ask("SELECT id, used, (SELECT coalesce(sum(reserved), 0) FROM package WHERE team_id = team.id) FROM team")
    {
        if row[1] != row[2] {
            wrong.push(format!("team {} has {} in use, its packages {}", row[0], row[1], row[2]));
        }
    }
    for row in ask("SELECT subject FROM activity WHERE kind = 'package_upload_to_masv' AND
            (SELECT count(*) FROM activity_event WHERE activity = number AND event = 'package.finalized') > 1")
    {
        wrong.push(format!("package {} was finalized more than once", row[0]));
    }
    wrong
}

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// The promise of hubs that share a database: whatever happens to them, it is as if there was one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hubs_are_as_one_whatever_happens_to_them() {
    let length = Duration::from_secs(number("MASV_TWO_HUBS_SECONDS", 12));
    let first = number("MASV_TWO_HUBS_FIRST", fastrand::u64(..1_000_000));
    for seed in first..first + number("MASV_TWO_HUBS_SEEDS", 1) {
        if !history(seed, length).await {
            return;
        }
    }
}

/// A hub with another key is refused: links that it made would not open at the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_with_another_key_or_on_the_bucket_of_another_is_refused() {
    let (Some(scratch), Some(other)) = (Scratch::new(), Scratch::new()) else { return };
    let Some(place) = s3_server::place() else { return };
    let folder = tempfile::tempdir().unwrap();
    let http = Client::builder().no_proxy().build().unwrap();
    let first = Process::new(folder.path(), "first", &scratch.url(), &place);
    first.ready(&http).await;
    let ended = |mut process: Process| {
        let status = process.child.take().unwrap().wait().unwrap();
        assert!(!status.success());
        process.said()
    };
    let mut second = Process::new(folder.path(), "second", &scratch.url(), &place);
    second.ready(&http).await;
    second.kill();
    std::fs::write(second.folder.join("shared.key"), "00".repeat(32)).unwrap();
    second.start();
    let said = ended(second);
    assert!(said.contains("the secret key is not the one"), "{said}");
    let said = ended(Process::new(folder.path(), "third", &other.url(), &place));
    assert!(said.contains("belongs to another hub"), "{said}");
}
