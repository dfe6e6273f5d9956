//! `masv hub …` as an operator types it: on the data directory of a hub that is served or not, and over the network.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use reqwest::Method;
use serde_json::{Value, json};

use super::client::{KEY, TestHub, good, refused, text, wait_until};
use crate::process::{Agent, command};

fn masv(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = command(folder, arguments);
    command.env("MASV_HUB_DATA_DIR", folder.join("data"));
    for name in ["MASV_HUB_URL", "MASV_HUB_KEY", "MASV_HUB_TEAM"] {
        command.env_remove(name);
    }
    command
}

/// Runs `masv hub …`, which reads `input`.
fn run(folder: &Path, arguments: &[&str], input: &str) -> Output {
    let arguments: Vec<&str> = std::iter::once("hub").chain(arguments.iter().copied()).collect();
    let mut command = masv(folder, &arguments);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// Runs `masv hub …`, which must succeed, and reads the JSON that it prints.
fn done(folder: &Path, arguments: &[&str], input: &str) -> Value {
    let output = run(folder, &[arguments, &["--output", "json"]].concat(), input);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}"))
}

fn code(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let output = run(folder, arguments, "");
    (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Everything that is in the database, as text.
fn stored(hub: &TestHub) -> String {
    let mut all = Vec::new();
    for name in ["hub.db", "hub.db-wal"] {
        all.extend(std::fs::read(hub.data().join(name)).unwrap_or_default());
    }
    String::from_utf8_lossy(&all).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_shown_once_stored_hashed_and_hold_what_their_role_says() {
    let hub = TestHub::start().await;
    let folder = hub.folder.path();
    let made = done(folder, &["key", "add", "nas", "--role", "sender"], "");
    let key = text(&made, "key");
    assert!(key.len() == 64 && !stored(&hub).contains(&key), "only its hash is kept");
    let packages = format!("/v1/teams/{}/packages", hub.team);
    let with = |method: Method, path: &str| hub.request(method, path).header("X-API-KEY", &key);
    good(with(Method::POST, &packages).json(&json!({ "name": "By key" }))).await;
    let portals = format!("/v1/teams/{}/portals", hub.team);
    refused(with(Method::POST, &portals).json(&json!({ "name": "x", "subdomain": "x" })), 403).await;
    refused(with(Method::GET, &format!("/v1/teams/{}/api_keys", hub.team)), 403).await;
    refused(with(Method::GET, &format!("/v1/teams/{}/audit", hub.team)), 403).await;

    let listed = done(folder, &["key", "ls"], "");
    assert_eq!(listed.as_array().unwrap().len(), 2);
    assert!(!listed.to_string().contains(&key));
    let table = run(folder, &["key", "ls", "--output", "text"], "");
    assert!(String::from_utf8_lossy(&table.stdout).contains("nas"));
    let shown = run(folder, &["key", "add", "second"], "");
    let line = String::from_utf8(shown.stdout).unwrap();
    assert_eq!(line.trim().len(), 64, "the key alone goes to standard output: {line:?}");

    done(folder, &["key", "rm", "nas"], "");
    refused(with(Method::GET, &format!("/v1.1/teams/{}/packages", hub.team)), 401).await;
    assert_eq!(code(folder, &["key", "rm", "nas"]).0, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_added_changed_and_removed_and_sign_in_meanwhile() {
    let hub = TestHub::start().await;
    let folder = hub.folder.path();
    let added = done(folder, &["user", "add", "Ed@Example.com", "--name", "Ed", "--role", "sender"], "correct horse\n");
    assert_eq!((text(&added, "email"), text(&added, "role")), ("ed@example.com".into(), "sender".into()));
    assert!(!stored(&hub).contains("correct horse"));
    let sign_in = |password: &str| {
        hub.request(Method::POST, "/v1/auth").json(&json!({ "email": "ed@example.com", "password": password }))
    };
    let token = text(&good(sign_in("correct horse")).await, "token");
    let members = format!("/v1/teams/{}/members", hub.team);
    let as_ed = |method: Method, path: &str| hub.request(method, path).header("X-User-Token", &token);
    good(as_ed(Method::GET, &members)).await;
    let other = json!({ "email": "b@example.com", "password": "long enough" });
    refused(as_ed(Method::POST, &members).json(&other), 403).await;

    done(folder, &["user", "set", "ed@example.com", "--role", "admin"], "");
    good(as_ed(Method::POST, &members).json(&other)).await;
    let owner = json!({ "email": "c@example.com", "password": "long enough", "role": "owner" });
    refused(as_ed(Method::POST, &members).json(&owner), 403).await;
    assert_eq!(done(folder, &["user", "show", "ed@example.com"], "")["name"], "Ed");

    let file = folder.join("password");
    std::fs::write(&file, "battery staple\n").unwrap();
    done(folder, &["user", "set", "ed@example.com", "--password-file", file.to_str().unwrap()], "");
    refused(as_ed(Method::GET, &members), 401).await;
    refused(sign_in("correct horse"), 401).await;
    good(sign_in("battery staple")).await;

    let (status, said) = code(folder, &["user", "add", "d@example.com", "--password", "short"]);
    assert!(status == 2 && said.contains("at least 8") && said.contains("process lists"), "{status} {said}");
    assert_eq!(code(folder, &["user", "add", "ed@example.com", "--password", "long enough"]).0, 1);
    assert_eq!(code(folder, &["user", "rm", "ed@example.com"]).0, 2, "nobody can be asked");
    done(folder, &["user", "rm", "ed@example.com", "--yes"], "");
    refused(sign_in("battery staple"), 401).await;
    assert_eq!(code(folder, &["user", "show", "ed@example.com"]).0, 4);
    assert_eq!(done(folder, &["user", "ls"], "").as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_of_two_teams_is_taken_over_by_neither() {
    let hub = TestHub::start().await;
    let folder = hub.folder.path();
    let other = text(&done(folder, &["team", "add", "Other"], ""), "id");
    let (status, said) = code(folder, &["user", "ls"]);
    assert!(status == 2 && said.contains("Other, Team"), "{said}");
    done(folder, &["user", "--team", "Team", "add", "ed@example.com"], "correct horse");
    let key = text(&done(folder, &["key", "--team", "Other", "add", "k", "--role", "admin"], ""), "key");
    let members = format!("/v1/teams/{other}/members");
    let as_other = |method: Method, path: &str| hub.request(method, path).header("X-API-KEY", &key);
    let taken = json!({ "email": "ed@example.com", "password": "of the attacker" });
    refused(as_other(Method::POST, &members).json(&taken), 409).await;
    good(as_other(Method::POST, &members).json(&json!({ "email": "ed@example.com" }))).await;
    let path = format!("{members}/ed@example.com");
    refused(as_other(Method::PUT, &path).json(&json!({ "password": "of the attacker" })), 403).await;
    assert_eq!(as_other(Method::DELETE, &path).send().await.unwrap().status(), 204);
    let sign_in = json!({ "email": "ed@example.com", "password": "correct horse" });
    let answer = good(hub.request(Method::POST, "/v1/auth").json(&sign_in)).await;
    assert_eq!(answer["teams"].as_array().unwrap().len(), 1);
    refused(as_other(Method::GET, &format!("/v1/teams/{}/members", hub.team)), 403).await;
    refused(as_other(Method::POST, "/v1/teams").json(&json!({ "name": "Third" })), 403).await;
}

/// What an operator types: a portal was removed without being asked about, lists left out what was received, a package named neither its
/// portal nor what was filled in.
/// Cases: `portal rm` asks; a link with a day in the past is refused.
#[tokio::test(flavor = "multi_thread")]
async fn portals_packages_and_links_are_looked_after_with_the_hub_running_and_not() {
    let hub = TestHub::start().await;
    let folder = hub.folder.path();
    std::fs::write(folder.join("code"), "sesame\n").unwrap();
    let file = folder.join("code").to_str().unwrap().to_owned();
    let portal = done(
        folder,
        &[
            "portal",
            "add",
            "rushes",
            "--recipients",
            "a@example.com,b@example.com",
            "--access-code-file",
            &file,
            "--file-types",
            "mov,mxf",
            "--max-file-size",
            "1GB",
            "--expiry-days",
            "-1",
            "--field",
            "*Reel",
            "--field",
            "Camera=A,B",
        ],
        "",
    );
    assert_eq!(portal["url"], format!("{}/portals/rushes", hub.base), "the address of the hub that runs");
    assert_eq!((&portal["has_access_code"], &portal["max_file_size"]), (&json!(true), &json!(1_000_000_000)));
    let path = format!("/v1/portals/{}/packages", text(&portal, "id"));
    let send = |code: &str, metadata: Value| {
        let body = json!({ "name": "p", "sender": "s@example.com", "access_code": code, "custom_metadata": metadata });
        hub.request(Method::POST, &path).json(&body)
    };
    refused(send("wrong", json!({ "Reel": "1" })), 401).await;
    let message = refused(send("sesame", json!({ "Camera": "C" })), 400).await;
    assert_eq!(message, "custom_metadata: Reel is required; Camera must be one of A, B");
    let received = good(send("sesame", json!({ "Reel": "1", "Camera": "A" }))).await;
    assert_eq!(done(folder, &["package", "ls", "--received"], "")["metadata"]["total"], 1);
    // "List packages" left out what had been received, without a word.
    let listed = |more: &[&str]| {
        let listed = run(folder, &[&["package", "ls", "--output", "text"], more].concat(), "");
        (String::from_utf8_lossy(&listed.stdout).into_owned(), String::from_utf8_lossy(&listed.stderr).into_owned())
    };
    let (list, said) = listed(&[]);
    assert!(list.contains("No packages.") && said.contains("1 package received through portals"), "{list}{said}");
    let (list, said) = listed(&["--name", "something else"]);
    assert!(list.contains("No packages.") && !said.contains("received"), "as the list is narrowed: {list}{said}");
    assert!(!listed(&["--received"]).1.contains("sent by the team"), "there is none");
    let shown_as_text = |folder: &Path| {
        let shown = run(folder, &["package", "show", &text(&received, "id"), "--output", "text"], "");
        String::from_utf8_lossy(&shown.stdout).split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let told = shown_as_text(folder);
    for part in ["portal rushes", "sender s@example.com", "form Camera: A", "form Reel: 1"] {
        assert!(told.contains(part), "{part} in {told}");
    }
    // The tokens that were issued end, the package stays.
    let of_sender = || {
        let path = format!("/v1/packages/{}/files", text(&received, "id"));
        hub.request(Method::GET, &path).header("X-Package-Token", text(&received, "access_token"))
    };
    good(of_sender()).await;
    done(folder, &["package", "revoke", &text(&received, "id"), "--yes"], "");
    refused(of_sender(), 401).await;
    done(folder, &["portal", "set", "rushes", "--active=false", "--no-access-code", "--field", ""], "");
    refused(send("", json!({})), 403).await;
    let shown = run(folder, &["portal", "show", "rushes", "--output", "text"], "");
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("rushes (closed)") && shown.contains("mov, mxf") && shown.contains("never"), "{shown}");

    let package = hub.sent_package(json!({ "name": "Dailies", "sender": "dit@example.com" }), &[7; 100_000]).await;
    let (id, base) = (package.id.clone(), hub.base.clone());
    let secret_of_package = package.token.clone();
    drop(package);
    let data = hub.stop().await;
    let folder = data.path();
    let link = done(folder, &["link", "add", &id, "--limit", "1", "--expires", "2099-01-02"], "");
    assert!(text(&link, "url").starts_with(&base), "links lead to where the hub was reached last: {link}");
    assert!(text(&link, "expiry").starts_with("2099-01-02"));
    let shown = done(folder, &["package", "show", &id], "");
    assert_eq!((&shown["files"][0]["name"], &shown["links"][0]["id"]), (&json!("clip.mov"), &link["id"]));
    assert!(!shown.to_string().contains(&secret_of_package), "what may change the package is not shown");
    // A link that could never be opened was made without a word, and listed as active.
    let (status, said) = code(folder, &["link", "add", &id, "--expires", "2020-01-02"]);
    assert!(status == 2 && said.contains("is in the past"), "{status}: {said}");
    let link_id = text(&link, "id");
    done(folder, &["link", "set", &link_id, "--active=false", "--password-file", "-"], "pass word");
    let set = done(folder, &["link", "show", &link_id], "");
    assert_eq!((&set["active"], &set["has_password"]), (&json!(false), &json!(true)));
    assert_eq!(done(folder, &["package", "set", &id, "--expires", "never"], "")["unlimited_storage"], true);
    done(folder, &["link", "rm", &link_id], "");
    assert_eq!(done(folder, &["link", "ls", &id], ""), json!([]));
    assert_eq!(code(folder, &["link", "show", &link_id]).0, 4);
    assert_eq!(code(folder, &["link", "set", &link_id]).0, 2);
    done(folder, &["package", "rm", &id, "--yes"], "");
    assert_eq!(code(folder, &["package", "show", &id]).0, 4);
    // It was removed without being asked about.
    let (status, said) = code(folder, &["portal", "rm", "rushes"]);
    assert!(status == 2 && said.contains("--yes"), "nobody can be asked: {status} {said}");
    done(folder, &["portal", "rm", "rushes", "--dry-run"], "");
    done(folder, &["portal", "show", "rushes"], "");
    // What cannot be undone is not done unasked.
    let unasked = code(folder, &["portal", "rm", "rushes"]);
    assert!(unasked.0 == 2 && unasked.1.contains("--yes"), "{unasked:?}");
    done(folder, &["portal", "rm", "rushes", "--yes"], "");
    let told = shown_as_text(folder);
    assert!(told.contains("portal rushes") && told.contains("form Reel: 1"), "what happened stays: {told}");
    let hub = TestHub::start_in(data, |config| config.trash_days = 0).await;
    wait_until(|| hub.stored_files().is_empty().then_some(())).await;
    refused(hub.request(Method::GET, "/v1/subdomains/portals/rushes"), 404).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_elsewhere_is_administered_with_a_key() {
    let hub = TestHub::start().await;
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::write(elsewhere.path().join("key"), format!("{KEY}\n")).unwrap();
    let run = |arguments: &[&str]| {
        let arguments: Vec<&str> = std::iter::once("hub").chain(arguments.iter().copied()).collect();
        masv(elsewhere.path(), &arguments)
            .env_remove("MASV_HUB_DATA_DIR")
            .env("MASV_HUB_URL", &hub.base)
            .output()
            .unwrap()
    };
    let list = run(&["portal", "ls", "--key-file", "key"]);
    let list: Value = serde_json::from_slice(&list.stdout).unwrap();
    assert_eq!(list["metadata"]["total"], 2);
    assert_eq!(run(&["portal", "ls"]).status.code(), Some(2), "a key is needed");
    std::fs::write(elsewhere.path().join("wrong"), "wrong").unwrap();
    assert_eq!(run(&["portal", "ls", "--key-file", "wrong"]).status.code(), Some(5));
    let gone = run(&["portal", "ls", "--key-file", "key", "--hub", "http://127.0.0.1:9"]);
    assert_eq!(gone.status.code(), Some(3));
    let nothing = masv(elsewhere.path(), &["hub", "user", "ls"]).output().unwrap();
    assert_eq!(nothing.status.code(), Some(4));
    assert!(!elsewhere.path().join("data").exists(), "looking makes no hub");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_log_says_who_changed_what_and_holds_no_secret() {
    let hub = TestHub::start().await;
    let folder = hub.folder.path();
    done(folder, &["user", "add", "ed@example.com", "--role", "admin"], "correct horse");
    let sign_in = json!({ "email": "ed@example.com", "password": "correct horse" });
    let token = text(&good(hub.request(Method::POST, "/v1/auth").json(&sign_in)).await, "token");
    let path = format!("/v1/teams/{}/api_keys", hub.team);
    let key =
        good(hub.request(Method::POST, &path).header("X-User-Token", token).json(&json!({ "name": "cart" }))).await;
    let hook = json!({ "name": "mam", "url": "https://mam.example.com/?key=hidden", "events": ["package.created"] });
    good(hub.team_request(Method::POST, &format!("/v1/teams/{}/custom_webhooks", hub.team)).json(&hook)).await;
    let log = done(folder, &["audit"], "");
    let entries: Vec<(String, String, String)> = log["records"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (text(entry, "action"), text(entry, "actor"), text(entry, "subject")))
        .collect();
    let entry = |action: &str, actor: &str, subject: &str| (action.to_owned(), actor.to_owned(), subject.to_owned());
    assert_eq!(
        entries,
        [
            entry("webhook.added", "key agent", "mam (mam.example.com)"),
            entry("key.added", "ed@example.com", "cart (sender)"),
            entry("session.begun", "ed@example.com", ""),
            entry("user.added", "operator", "ed@example.com (admin)"),
        ]
    );
    assert_eq!((&log["records"][1]["address"], &log["records"][3]["address"]), (&json!("127.0.0.1"), &Value::Null));
    assert!(!log.to_string().contains(&text(&key, "key")));
    assert_eq!(done(folder, &["audit", "--actor", "ed@", "--action", "key.added"], "")["metadata"]["total"], 1);
    assert_eq!(done(folder, &["audit", "--since", "2099-01-01"], "")["metadata"]["total"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_running_hub_brings_back_its_people_keys_and_links() {
    let hub = TestHub::start().await;
    let package = hub.sent_package(json!({ "name": "Kept" }), b"small enough for the database").await;
    let link = package.new_link(json!({})).await;
    let folder = hub.folder.path().to_owned();
    let file = folder.join("backup.db").to_str().unwrap().to_owned();
    done(&folder, &["backup", &file], "");
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert_eq!(code(&folder, &["backup", &file]).0, 1, "nothing is overwritten");
    assert_eq!(code(&folder, &["restore", &file]).0, 1, "no hub is overwritten");
    let new = tempfile::tempdir().unwrap();
    let path = new.path().join("data");
    done(&folder, &["restore", "--data-dir", path.to_str().unwrap(), &file], "");
    let restored = TestHub::start_in(new, |_| {}).await;
    good(restored.team_request(Method::GET, &format!("/v1.1/teams/{}/packages", restored.team))).await;
    let open = format!("/v1/links/{}?secret={}", text(&link, "id"), text(&link, "download_secret"));
    let opened = good(restored.request(Method::GET, &open)).await;
    let files = format!("/v1/packages/{}/files", text(&opened, "package_id"));
    let token = text(&opened, "package_token");
    let files = good(restored.request(Method::GET, &files).header("X-Package-Token", &token)).await;
    let kept = super::client::Package { hub: &restored, id: text(&opened, "package_id"), token: token.clone() };
    let url = kept.download_url(&token, &text(&files[0], "id")).await;
    let body = restored.request(Method::GET, &url).send().await.unwrap().bytes().await.unwrap();
    assert_eq!(body, &b"small enough for the database"[..]);
    let nonsense = folder.join("nonsense.db").to_str().unwrap().to_owned();
    std::fs::write(&nonsense, "not a database").unwrap();
    let other = folder.join("other").to_str().unwrap().to_owned();
    assert_eq!(code(&folder, &["restore", "--data-dir", &other, &nonsense]).0, 1);
    assert!(!Path::new(&other).join("hub.db").exists() && !Path::new(&other).join("secret.key").exists());
}

/// A session stayed valid in the cloud for a week after its agent had forgotten it.
#[tokio::test(flavor = "multi_thread")]
async fn signing_out_of_an_agent_ends_the_session_in_the_hub() {
    let hub = TestHub::start().await;
    let password = secrecy::SecretString::from("correct horse");
    hub.hub.put_user("Team", "ed@example.com", "Ed", &password, masv_hub::Role::Sender).await.unwrap();
    let (base, data) = (hub.base.clone(), hub.data().join("hub.db"));
    let sessions = move || {
        let database = rusqlite::Connection::open(&data).unwrap();
        database.query_row("SELECT count(*) FROM session", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    let signing = tokio::task::spawn_blocking(move || {
        let agent = Agent::start("", &["--cloud-url", &base]);
        std::fs::write(agent.path("password"), "correct horse").unwrap();
        let login = ["user", "login", "--email", "ed@example.com", "--password-file", "password"];
        let said = agent.masv(&login);
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        let signed_in = sessions();
        assert!(agent.masv(&["user", "logout"]).status.success());
        (signed_in, sessions())
    });
    assert_eq!(signing.await.unwrap(), (1, 0));
}
