//! What is kept where the clock or the database cannot be trusted, and what is removed where they can: hubs over the data of others that
//! have ended.

use std::path::Path;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::client::{Package, TestHub, good, refused, sweep_at_start, text};
use super::pages::unzips;
use crate::process::command;
use crate::s3_server;
use crate::support::wait_until;

const LIMIT: Duration = Duration::from_secs(60);
const DAY: i64 = 24 * 60 * 60 * 1000;

fn change(folder: &TempDir, sql: &str) -> usize {
    let database = rusqlite::Connection::open(folder.path().join("data/hub.db")).unwrap();
    database.execute(sql, []).unwrap()
}

async fn problems(hub: &TestHub) -> Vec<Value> {
    good(hub.request(Method::GET, "/healthz")).await["problems"].as_array().cloned().unwrap_or_default()
}

async fn has_problem(hub: &TestHub, code: &str) {
    wait_until(&format!("{code} is told"), LIMIT, async || problems(hub).await.contains(&json!(code))).await;
}

/// The chore is done when its next time is written down.
async fn done(data: &Path, chore: &str) {
    let database = rusqlite::Connection::open(data.join("hub.db")).unwrap();
    let sql = format!("SELECT due_at > unixepoch() * 1000 AND attempts = 0 FROM job WHERE id = '{chore}'");
    wait_until(&format!("{chore} is done"), LIMIT, async || {
        database.query_row(&sql, [], |row| row.get::<_, bool>(0)).unwrap()
    })
    .await;
}

async fn state(hub: &TestHub, package: &str) -> String {
    let path = format!("/v1.1/teams/{}/packages/{package}", hub.team);
    let answer = hub.team_request(Method::GET, &path).send().await.unwrap();
    match answer.status().as_u16() {
        404 => "gone".to_owned(),
        _ => text(&answer.json().await.unwrap(), "state"),
    }
}

/// A hub that was started weeks ahead for some seconds expired packages that had days left, and removed an open one, each with its content.
/// Nothing expires and nothing is removed after a jump, until whoever runs the hub says that the clock is right.
#[tokio::test(flavor = "multi_thread")]
async fn neither_what_has_an_end_nor_what_is_open_goes_while_the_clock_has_jumped() {
    let hub = TestHub::start().await;
    let ends = hub.sent_package(json!({ "name": "Ends", "custom_expiry_days": 3 }), &[1; 100_000]).await.id.clone();
    let open = hub.new_package(json!({ "name": "Open" })).await;
    open.send("", "a.mov", &[&[2; 100_000]]).await;
    let open = open.id.clone();
    let folder = hub.stop().await;
    // What a jump of 80 days ahead looks like: all times that are written down are so long ago.
    for sql in [
        "UPDATE moment SET at = at - {}",
        "UPDATE package SET expires_at = expires_at - {}, updated_at = updated_at - {}, created_at = created_at - {}",
    ] {
        assert!(change(&folder, &sql.replace("{}", &(80 * DAY).to_string())) > 0);
    }
    change(&folder, "UPDATE job SET due_at = 0");
    let hub = TestHub::start_in(folder, |_| {}).await;
    has_problem(&hub, "clock_doubted").await;
    done(&hub.data(), "expire").await;
    assert_eq!((state(&hub, &ends).await, state(&hub, &open).await), ("finalized".to_owned(), "new".to_owned()));
    assert_eq!((hub.stored_files().len(), hub.trashed_files().len()), (2, 0));
    // It is said that the time is right: now what is over goes, into the trash.
    let mut confirming = command(hub.folder.path(), &["hub", "sweep", "--confirm"]);
    let confirmed = confirming.env("MASV_HUB_DATA_DIR", hub.data()).output().unwrap();
    assert!(confirmed.status.success(), "{}", String::from_utf8_lossy(&confirmed.stderr));
    let folder = hub.stop().await;
    change(&folder, "UPDATE job SET due_at = 0");
    let hub = TestHub::start_in(folder, |_| {}).await;
    wait_until("both are over", LIMIT, async || {
        (state(&hub, &ends).await, state(&hub, &open).await) == ("expired".to_owned(), "gone".to_owned())
    })
    .await;
    assert!(!problems(&hub).await.contains(&json!("clock_doubted")));
}

/// Bytes flipped in the log of the database after a kill: the hub started without a word and served the packages that were left.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_log_of_the_database_is_told_at_the_start_and_kept() {
    let hub = TestHub::start().await;
    let mut made = Vec::new();
    for number in 0..20 {
        made.push(hub.new_package(json!({ "name": format!("Package {number}") })).await.id.clone());
    }
    // As a killed process leaves it: with all in the log.
    let killed = tempfile::tempdir().unwrap();
    let data = killed.path().join("data");
    std::fs::create_dir(&data).unwrap();
    for name in ["hub.db", "hub.db-wal", "secret.key"] {
        std::fs::copy(hub.data().join(name), data.join(name)).unwrap();
    }
    drop(hub);
    let log = data.join("hub.db-wal");
    let mut bytes = std::fs::read(&log).unwrap();
    let middle = bytes.len() * 3 / 4;
    bytes[middle..middle + 64].iter_mut().for_each(|byte| *byte = !*byte);
    std::fs::write(&log, bytes).unwrap();
    let hub = TestHub::start_in(killed, |_| {}).await;
    has_problem(&hub, "database_damaged").await;
    let left = good(hub.team_request(Method::GET, &format!("/v1.1/teams/{}/packages", hub.team))).await;
    assert!(left["metadata"]["total"].as_u64().unwrap() < made.len() as u64, "it is told because it is so");
    let copies = std::fs::read_dir(hub.data()).unwrap().flatten();
    let copies = copies.filter(|entry| entry.file_name().to_string_lossy().starts_with("hub.db.damaged-")).count();
    assert_eq!(copies, 2, "the database and its log, as they were found");
}

/// More in the bucket than can be leftovers is unknown: then the database is the one that is wrong, and all of it stays.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_swept_in_a_bucket_of_which_too_much_is_unknown() {
    let Some(place) = tokio::task::spawn_blocking(s3_server::place).await.unwrap() else { return };
    let hub = TestHub::start_at(place.clone(), |_| {}).await;
    hub.sent_package(json!({ "name": "Known" }), &[1; 1000]).await;
    for _ in 0..25 {
        place.put(&format!("{}/{}", ulid::Ulid::generate(), ulid::Ulid::generate()), b"of another day").await;
    }
    let before = place.objects().await;
    let folder = hub.stop().await;
    sweep_at_start(&folder.path().join("data"));
    let hub = TestHub::start_in(folder, |config| {
        config.bucket = Some(place.config());
        config.orphans_after = Duration::ZERO;
        config.trash_days = 0;
    })
    .await;
    has_problem(&hub, "sweep_refused").await;
    done(&hub.data(), "sweep_bucket").await;
    assert_eq!(place.objects().await, before);
    assert_eq!(before.len(), 26);
}

/// Unfinished packages of strangers filled the disk for 60 days: after a day they are removed, the team's own are not.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_stranger_began_and_never_finalized_is_removed_after_a_day_by_itself() {
    let hub = TestHub::start().await;
    let portal = text(&good(hub.request(Method::GET, "/v1/subdomains/portals/open")).await, "id");
    let begin = async || {
        let path = format!("/v1/portals/{portal}/packages");
        let body = json!({ "name": "From outside", "sender": "a@example.com" });
        let begun = good(hub.request(Method::POST, &path).json(&body)).await;
        let package = Package { hub: &hub, id: text(&begun, "id"), token: text(&begun, "access_token") };
        package.send("", "a.mov", &[&[1; 100_000]]).await;
        package.id.clone()
    };
    let (old, young) = (begin().await, begin().await);
    let own = hub.new_package(json!({ "name": "Our own" })).await.id.clone();
    let folder = hub.stop().await;
    change(&folder, &format!("UPDATE package SET updated_at = updated_at - {} WHERE id != '{young}'", 25 * DAY / 24));
    change(&folder, "UPDATE job SET due_at = 0");
    let hub = TestHub::start_in(folder, |_| {}).await;
    wait_until("it is removed", LIMIT, async || state(&hub, &old).await == "gone").await;
    assert_eq!((state(&hub, &young).await, state(&hub, &own).await), ("new".to_owned(), "new".to_owned()));
}

/// Another user puts a file of their own where a backup is written first, `NAME.new` beside it, readable for everybody: the backup became
/// theirs, with the key of everything. It is written elsewhere, and what lies there stays as it is.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_planted_beside_a_backup_is_neither_used_nor_changed() {
    use std::os::unix::fs::PermissionsExt;

    let hub = TestHub::start().await;
    let open = hub.folder.path().join("open to all");
    std::fs::create_dir(&open).unwrap();
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o777)).unwrap();
    let (file, planted) = (open.join("b.db"), open.join("b.db.new"));
    std::fs::write(&planted, "planted").unwrap();
    std::fs::set_permissions(&planted, std::fs::Permissions::from_mode(0o666)).unwrap();
    let back_up = |to: &Path| {
        let mut command = command(hub.folder.path(), &["hub", "backup", to.to_str().unwrap()]);
        command.env("MASV_HUB_DATA_DIR", hub.data()).output().unwrap()
    };
    let made = back_up(&file);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&file), mode(&planted)), (0o600, 0o666));
    assert_eq!(std::fs::read_to_string(&planted).unwrap(), "planted");
    assert!(std::fs::read(&file).unwrap().starts_with(b"SQLite format 3"));
    assert_eq!(std::fs::read_dir(&open).unwrap().count(), 2, "nothing else is left there");
    // Nor is a link in the place of the backup followed.
    let (link, target) = (open.join("link.db"), open.join("target"));
    std::os::unix::fs::symlink(&target, &link).unwrap();
    assert!(!back_up(&link).status.success());
    assert!(!target.exists());
}

/// A client on Windows that gives a whole path as the name: the file arrives under that name, and unpacks nowhere else.
#[tokio::test(flavor = "multi_thread")]
async fn a_path_of_windows_as_a_name_is_a_name_and_leads_nowhere() {
    let hub = TestHub::start().await;
    let package = hub.new_package(json!({ "name": "From Windows" })).await;
    let name = r"C:\Users\ed\Desktop\..\clip.mov";
    let file = package.send("", name, &[b"content"]).await;
    good(package.request(Method::POST, "/finalize")).await;
    let listed = good(package.request(Method::GET, "/files")).await;
    assert_eq!((text(&listed[0], "name"), text(&listed[0], "path")), (name.to_owned(), String::new()));
    let url = package.download_url(&package.token, &file.id).await;
    let answer = hub.request(Method::GET, &url).send().await.unwrap();
    assert_eq!(answer.bytes().await.unwrap(), &b"content"[..]);
    let link = package.new_link(json!({})).await;
    let open = format!("/v1/links/{}?secret={}", text(&link, "id"), text(&link, "download_secret"));
    let visit = text(&good(hub.request(Method::GET, &open)).await, "package_token");
    let zip = format!("/{}/all.zip?token={visit}", text(&link, "id"));
    let zip = hub.request(Method::GET, &zip).send().await.unwrap().bytes().await.unwrap();
    unzips(&zip, &[("C__Users_ed_Desktop_.._clip.mov", b"content")]);
    refused(package.request(Method::POST, "/files").json(&json!({ "name": "../up.mov" })), 400).await;
}
