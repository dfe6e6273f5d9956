//! The hub as a service: a separate process that is notified, monitored, restarted and killed.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::client::{good, refused, text, wait_until};
use super::hardening::{certificate, shows};
use crate::process::command;
use crate::support::content;

/// A hub as its own process, on a socket that the test holds.
struct Process {
    child: Child,
    log: std::path::PathBuf,
}

impl Process {
    fn start(folder: &Path, listener: &TcpListener, log: &str) -> Self {
        Self::start_with(folder, listener, log, |_| {})
    }

    fn start_with(folder: &Path, listener: &TcpListener, log: &str, change: impl FnOnce(&mut Command)) -> Self {
        let log = folder.join(log);
        let out = std::fs::File::create(&log).unwrap();
        let masv = command(folder, &[]);
        let mut shell = Command::new("sh");
        // As a supervisor passes a socket: it is descriptor 3, and the process recognises it by its own id.
        shell.args(["-c", "exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$@\"", "sh"]);
        shell.arg(masv.get_program()).args(["hub", "start", "--log-level", "trace", "--data-dir", "data"]);
        shell.current_dir(folder).stdin(Stdio::from(OwnedFd::from(listener.try_clone().unwrap())));
        change(&mut shell);
        let child = shell.stdout(Stdio::from(out.try_clone().unwrap())).stderr(Stdio::from(out)).spawn().unwrap();
        Self { child, log }
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn signal(&self, signal: Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The key that a new hub made.
fn first_key(folder: &Path) -> String {
    let path = folder.join("data/first-api-key");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::read_to_string(path).unwrap().trim().to_owned()
}

fn request(client: &reqwest::Client, method: Method, base: &str, path: &str, token: &str) -> reqwest::RequestBuilder {
    client.request(method, format!("{base}{path}")).header("X-Package-Token", token)
}

/// The first key of a hub, an admin's, stood in the journal for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_breaks_no_transfer_and_the_log_holds_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let base = format!("http://{address}");
    let mut first = Process::start(folder.path(), &listener, "first.log");
    // A connection that idles is closed when its process stops: each request has its own.
    let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap();
    good(client.get(format!("{base}/healthz"))).await;
    let said = first.said();
    let word = |after: &str| said.split(after).nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    let (key, team) = (first_key(folder.path()), word("team:"));
    assert_eq!(word("api_key_file:"), "data/first-api-key");
    assert!(!said.contains(&key), "what is no terminal keeps what it is told");
    let made = client.post(format!("{base}/v1/teams/{team}/packages")).header("X-API-KEY", &key);
    let body =
        json!({ "name": "Over a restart", "password": "pass word of the package", "recipients": ["r@example.com"] });
    let made = good(made.json(&body)).await;
    let (package, token) = (text(&made, "id"), text(&made, "access_token"));
    let files = format!("/v1/packages/{package}/files");
    let announce = json!({ "name": "a.mov", "size": 2_000_000 });
    let file = good(request(&client, Method::POST, &base, &files, &token).json(&announce)).await;
    let id = text(&file["file"], "id");
    let part = good(request(&client, Method::POST, &base, &format!("{files}/{id}?start=0&count=1"), &token)).await;
    let part = text(&part[0], "url");

    // Half of the part is there when the hub is told to stop.
    let path = part.trim_start_matches(&base);
    let mut sending = TcpStream::connect(address).unwrap();
    let head = format!("PUT {path} HTTP/1.1\r\nhost: {address}\r\ncontent-length: 2000000\r\n\r\n");
    sending.write_all(head.as_bytes()).unwrap();
    sending.write_all(&[7; 1_000_000]).unwrap();
    first.signal(Signal::HUP);
    tokio::time::sleep(Duration::from_millis(200)).await;
    first.signal(Signal::TERM);
    wait_until(|| first.said().contains("hub accepts no more requests").then_some(())).await;
    let second = Process::start(folder.path(), &listener, "second.log");
    // No one is refused meanwhile: connections wait in the socket.
    let listed = good(request(&client, Method::GET, &base, &files, &token)).await;
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert!(first.child.try_wait().unwrap().is_none(), "the first one still receives:\n{}", first.said());
    sending.write_all(&[7; 1_000_000]).unwrap();
    let mut answer = [0; 4096];
    let length = sending.read(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer[..length]).to_lowercase();
    assert!(answer.starts_with("http/1.1 200"), "{answer}");
    let etag = answer.split("etag: ").nth(1).unwrap().split("\r\n").next().unwrap().to_owned();
    drop(sending);
    let ended = wait_until(|| first.child.try_wait().unwrap()).await;
    assert_eq!(ended.code(), Some(0), "{}", first.said());

    let closing = json!({ "size": 2_000_000, "chunk_extras": [{ "partNumber": "1", "etag": etag }] });
    good(request(&client, Method::POST, &base, &format!("{files}/{id}/finalize"), &token).json(&closing)).await;
    good(request(&client, Method::POST, &base, &format!("/v1/packages/{package}/finalize"), &token)).await;
    let link = good(request(&client, Method::POST, &base, &format!("/v1/packages/{package}/links"), &token)).await;
    let secret = text(&link, "download_secret");
    let open = client.get(format!("{base}/v1/links/{}?secret={secret}", text(&link, "id")));
    refused(open.try_clone().unwrap().header("X-Link-Password", "a wrong guess"), 401).await;
    let opened = good(open.header("X-Link-Password", "pass word of the package")).await;
    let visit = text(&opened, "package_token");
    let url = good(request(&client, Method::GET, &base, &format!("{files}/{id}/download"), &visit)).await;
    let url = text(&url, "url");
    let got = client.get(&url).send().await.unwrap().bytes().await.unwrap();
    assert!(got.len() == 2_000_000 && got.iter().all(|byte| *byte == 7));
    let page = client.get(text(&link, "url")).header("Accept", "text/html").send().await.unwrap();
    assert_eq!(page.status(), 200);

    let signature = |url: &str| url.split("signature=").nth(1).unwrap().to_owned();
    // The first lines of the first log are the key, shown once.
    let logs = format!("{}{}", first.said().replacen(&key, "", 1), second.said());
    assert!(logs.contains("answered") && logs.contains("part stored"), "the log is of the level that was asked for");
    let secrets = [&key, &token, &secret, &visit, &signature(&part), &signature(&url)];
    for held in secrets.into_iter().map(String::as_str).chain(["pass word of the package", "a wrong guess"]) {
        let line = logs.lines().find(|line| line.contains(held));
        assert_eq!(line, None, "a secret in the log");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_manager_hears_how_it_goes_and_a_reload_takes_the_new_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let manager = UnixDatagram::bind(folder.path().join("notify")).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let (first, second) = (certificate(), certificate());
    let write = |(certificate, key): (&str, &str)| {
        std::fs::write(folder.path().join("cert.pem"), certificate).unwrap();
        std::fs::write(folder.path().join("key.pem"), key).unwrap();
    };
    write((&first.0, &first.1));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut hub = Process::start_with(folder.path(), &listener, "log", |command| {
        command.args(["--tls-cert", "cert.pem", "--tls-key", "key.pem", "--public-url", "https://files.example.com"]);
        command.env("NOTIFY_SOCKET", folder.path().join("notify")).env("WATCHDOG_USEC", "400000");
        command.env_remove("WATCHDOG_PID");
    });
    let until = |wanted: &str| {
        let mut buffer = [0; 1024];
        loop {
            let length = manager.recv(&mut buffer).unwrap_or_else(|error| panic!("{wanted}: {error}"));
            let said = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if said.contains(wanted) {
                return said;
            }
        }
    };
    let ready = until("READY=1");
    assert!(ready.contains("STATUS=0 connections, reached at https://files.example.com"), "{ready}");
    assert!(shows(port, &first.0).await, "ready is ready");
    until("WATCHDOG=1");
    let reload = || {
        hub.signal(Signal::HUP);
        assert!(until("RELOADING=1").contains("MONOTONIC_USEC="), "without it the reload counts as failed");
        until("READY=1");
    };
    let taken = || hub.said().matches("TLS certificate reloaded").count();
    let before = taken();
    reload();
    // The files did not change, so it was the signal.
    assert!(taken() > before, "{}", hub.said());
    write((&second.0, "no key"));
    reload();
    assert!(hub.said().contains("keeping the previous one") && shows(port, &first.0).await);
    write((&second.0, &second.1));
    reload();
    assert!(shows(port, &second.0).await && !shows(port, &first.0).await, "once the reload is over");
    hub.signal(Signal::TERM);
    until("STOPPING=1");
    assert!(wait_until(|| hub.child.try_wait().unwrap()).await.success(), "{}", hub.said());
}

/// Whether the folder of the storage has a file whose name ends so.
fn stored(folder: &Path, end: &str) -> bool {
    let all = walkdir::WalkDir::new(folder.join("data/storage")).into_iter().filter_map(Result::ok);
    all.into_iter().any(|entry| entry.file_type().is_file() && entry.file_name().to_string_lossy().ends_with(end))
}

/// Case: the hub is killed while it stores and while it closes: what it answered is there, and half a part is not.
#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_middle_of_a_part_and_of_closing_it_keeps_what_it_answered_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let base = format!("http://{address}");
    let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap();
    let mut hub = Process::start(folder.path(), &listener, "0.log");
    good(client.get(format!("{base}/healthz"))).await;
    let said = hub.said();
    let word = |after: &str| said.split(after).nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    let made = client.post(format!("{base}/v1/teams/{}/packages", word("team:")));
    let made = made.header("X-API-KEY", first_key(folder.path()));
    let made = good(made.json(&json!({ "name": "Killed", "recipients": ["r@example.com"] }))).await;
    let (package, token) = (text(&made, "id"), text(&made, "access_token"));
    let post = |path: &str| request(&client, Method::POST, &base, &format!("/v1/packages/{package}{path}"), &token);
    let bytes = content(5, 3_000_000);
    let file = good(post("/files").json(&json!({ "name": "a.mov", "size": bytes.len() }))).await;
    let id = text(&file["file"], "id");
    let parts = good(post(&format!("/files/{id}?start=0&count=2"))).await;
    let put = |number: usize, bytes: &[u8]| client.put(text(&parts[number], "url")).body(bytes.to_vec());
    let etag = |answer: &reqwest::Response| answer.headers()["etag"].to_str().unwrap().to_owned();
    let one = etag(&put(0, &bytes[..2_000_000]).send().await.unwrap());

    // Half of the second part is there.
    let path = text(&parts[1], "url").trim_start_matches(&base).to_owned();
    let mut sending = TcpStream::connect(address).unwrap();
    let head = format!("PUT {path} HTTP/1.1\r\nhost: {address}\r\ncontent-length: 1000000\r\n\r\n");
    sending.write_all(head.as_bytes()).unwrap();
    sending.write_all(&bytes[2_000_000..2_600_000]).unwrap();
    wait_until(|| stored(folder.path(), ".tmp").then_some(())).await;
    hub.kill();
    hub = Process::start(folder.path(), &listener, "1.log");
    drop(sending);
    let two = etag(&put(1, &bytes[2_000_000..]).send().await.unwrap());
    let listed: Vec<Value> =
        (1..).zip([one, two]).map(|(number, etag)| json!({ "partNumber": number, "etag": etag })).collect();
    let closing = json!({ "size": bytes.len(), "chunk_extras": listed });
    let finalize = |path: &str| post(path).json(&closing).send();
    // Killed while it closes the file, and the package: asked again until it answers, it has done it once.
    for (number, path) in [format!("/files/{id}/finalize"), "/finalize".to_owned()].iter().enumerate() {
        for wait in [0, 2, 5, 10] {
            let log = format!("{number}-{wait}.log");
            // A connection made while the hub is down waits for the next one, which has to be started meanwhile.
            let (answer, ()) = tokio::join!(finalize(path), async {
                tokio::time::sleep(Duration::from_millis(wait)).await;
                hub.kill();
                hub = Process::start(folder.path(), &listener, &log);
            });
            // Whether the answer came or not: it holds.
            drop(answer);
        }
        assert_eq!(finalize(path).await.unwrap().status(), 200);
        assert_eq!(finalize(path).await.unwrap().status(), 200, "again is the same as once");
    }
    let outbox = folder.path().join("data/outbox");
    wait_until(|| outbox.exists().then_some(())).await;
    let connection = rusqlite::Connection::open(folder.path().join("data/hub.db")).unwrap();
    let count =
        |what: &str| connection.query_row(&format!("SELECT count(*) FROM {what}"), [], |row| row.get::<_, i64>(0));
    assert_eq!(count("link").unwrap(), 1, "one link for one recipient");
    assert_eq!(count("activity_event WHERE event = 'package.finalized'").unwrap(), 1);
    let url = request(&client, Method::GET, &base, &format!("/v1/packages/{package}/files/{id}/download"), &token);
    let got = client.get(text(&good(url).await, "url")).send().await.unwrap().bytes().await.unwrap();
    assert!(got == bytes, "the same bytes");
}
