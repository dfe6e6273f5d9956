//! Another user of the machine, who may write into the folders that the agent works in and reads nothing of the agent's: whatever it
//! exchanges for whatever, no byte from elsewhere leaves, and nothing elsewhere changes.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use masv_platform::own_user;
use serde_json::{Value, json};

use crate::beneath::{Meddler, holds_secret, meddling, secret, state_of};
use crate::process::Agent;

const LIMIT: Duration = Duration::from_secs(60);
/// A user that is nobody on the machine.
const STRANGER: u32 = 61_234;
/// MD5 of `harmless`, which is in every clip of a card.
const SUM: &str = "d8eced3b06972df4d1dd7d835fc3edd3";
/// The folders that others may write into.
const OPEN: [&str; 4] = ["drop", "sent", "cards", "inbox"];

/// What the other user's process does: this test, started by the one below, meddles; by itself it does nothing.
#[test]
fn meddles_when_it_is_told_to() {
    let Ok(told) = std::env::var("MASV_MEDDLE") else { return };
    let told: Value = serde_json::from_str(&told).unwrap();
    let path = |key: &str| PathBuf::from(told[key].as_str().unwrap());
    let (around, seed) = (path("around"), told["seed"].as_u64().unwrap());
    assert_ne!(own_user(), 0, "it is to be another user");
    let folders = vec!["drop", "drop", "cards/c1", "cards/c2", "cards", "sent", "inbox", "inbox/package"];
    let mut meddler = Meddler::among(&around, &path("scratch"), folders, &path("outside"), seed);
    let until = Instant::now() + Duration::from_secs_f64(told["seconds"].as_f64().unwrap());
    let mut done = 0;
    while Instant::now() < until {
        // Cards with their lists, so that there is something to compare.
        for card in ["c1", "c2"].iter().filter(|_| done % 16 == 0) {
            let card = around.join("cards").join(card);
            let _ = std::fs::create_dir(&card);
            let _ = std::fs::write(card.join("rest.mov"), "harmless");
            let _ = std::fs::write(card.join("card.md5"), format!("{SUM}  rest.mov\n"));
        }
        done += u64::from(meddler.meddle().is_some());
    }
    println!("meddled {done} times");
}

/// The test above as a process of the other user.
fn meddler(program: &Path, agent: &Agent, seed: u64, lasts: Duration) -> Child {
    let told = json!({ "around": agent.folder.path(), "scratch": agent.path("scratch"), "outside": agent.path("outside"),
                       "seed": seed, "seconds": lasts.as_secs_f64() });
    let mut command = Command::new(program);
    command.args(["--exact", "adversary::meddles_when_it_is_told_to", "--nocapture"]);
    command.env("MASV_MEDDLE", told.to_string()).current_dir("/").uid(STRANGER).gid(STRANGER);
    command.stdout(Stdio::piped()).spawn().unwrap()
}

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Everything at once: folders are scanned, checksum lists compared, files sent by rules and by order, looked at again after they have
/// changed, moved, deleted and downloaded, while another user exchanges what it can.
#[tokio::test(flavor = "multi_thread")]
async fn another_user_who_exchanges_what_it_can_gets_nothing_and_changes_nothing_elsewhere() {
    if own_user() != 0 {
        eprintln!("skipped: only root can start a process of another user");
        return;
    }
    let rule =
        |name: &str, more: &str| format!("  - {{ name: {name}, settle: 30ms, upload: {{ kind: link }}, {more} }}\n");
    let rules = format!(
        "rules:\n{}{}",
        rule("dailies", "watch: drop, package: file, after: { complete: { move: sent } }"),
        rule(
            "cards",
            "watch: cards, package: { per: folder, quiet: 50ms }, ready: { manifest: '*.md5' }, after: { complete: delete }"
        ),
    );
    let folder = tempfile::tempdir().unwrap();
    let roots: Vec<String> = OPEN.iter().map(|name| folder.path().join(name).display().to_string()).collect();
    let flags: Vec<&str> = roots.iter().flat_map(|root| ["--allow-root", root]).collect();
    for name in OPEN.into_iter().chain(["scratch", "package"]) {
        std::fs::create_dir(folder.path().join(name)).unwrap();
    }
    let mut agent = Agent::prepare_in(folder, &rules, &flags);
    mode(agent.folder.path(), 0o755);
    OPEN.iter().chain(&["scratch"]).for_each(|name| mode(&agent.path(name), 0o777));
    let outside = agent.path("outside");
    for name in ["a.mov", "b.mov", "c.mov", "rest.mov", "card/a.mov", "card/b.mov", "package/a.mov"] {
        let path = outside.join(name);
        secret(path.parent().unwrap(), path.file_name().unwrap().to_str().unwrap(), 40_000);
    }
    std::fs::write(outside.join("card.md5"), format!("{SUM}  rest.mov\n")).unwrap();
    mode(&outside, 0o700);
    let before = state_of(&outside);
    agent.environment = vec![("MASV_HURRY".to_owned(), "1".to_owned())];
    agent.go_on();

    // A package to download again and again into a folder that is meddled with. It comes from below an allowed root.
    for name in ["a.mov", "b.mov", "card/a.mov"] {
        let path = agent.path("inbox/package").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "harmless".repeat(5_000)).unwrap();
    }
    let package = agent.path("inbox/package").display().to_string();
    let sent = agent.json(&["upload", "start", "link", "--name", "package", &package]);
    let link = sent["link"].as_str().unwrap().to_owned();
    let id = sent["upload_id"].clone();
    agent.wait_for("the package is sent", LIMIT, |list| {
        list.iter().any(|upload| upload["id"] == id && upload["state"] == "complete")
    });
    mode(&agent.path("inbox/package"), 0o777);

    // Others may not be allowed to look into the folder that the program is in.
    let bin = tempfile::tempdir().unwrap();
    mode(bin.path(), 0o755);
    let program = bin.path().join("meddler");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    mode(&program, 0o755);
    let lasts = meddling();
    let until = Instant::now() + lasts;
    let meddlers: Vec<Child> = (0..2).map(|seed| meddler(&program, &agent, seed, lasts)).collect();

    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let call = |path: &str, order: Value| client.post(format!("{}/api/v1/{path}", agent.url())).json(&order).send();
    let (mut orders, mut number) = (0, 0);
    while Instant::now() < until {
        number += 1;
        let name = ["", "/a.mov", "/card", "/b.mov", "/card/a.mov"][number % 5];
        let paths = json!([format!("{}{name}", agent.path("drop").display())]);
        orders += u32::from(call("uploads", json!({ "paths": paths })).await.unwrap().status().is_success());
        let order = json!({ "url": link, "dst_folder": agent.path("inbox"), "overwrite": true, "create_package_folder": number % 2 == 0 });
        orders += u32::from(call("downloads", order).await.unwrap().status().is_success());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for meddler in meddlers {
        let output = meddler.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let times = said.split_once("meddled ").and_then(|(_, rest)| rest.split(' ').next()?.parse::<u64>().ok());
        assert!(output.status.success() && times.is_some_and(|times| times > 100), "{said}");
    }
    assert!(orders > 0, "no order was taken");
    agent.wait_for("what was dropped is sent", LIMIT, |list| {
        list.iter().any(|upload| upload["rule"] == "dailies" && upload["state"] == "complete")
    });
    agent.wait_for_downloads("something was received", LIMIT, |list| {
        list.iter().any(|download| download["progress"] != 0)
    });
    assert_eq!(agent.stop(), Some(0), "{}", agent.log());
    assert!(!holds_secret(&agent.path("data")), "a private file was sent");
    for own in ["data/hub/secret.key", "data/api.token"] {
        let own = std::fs::read(agent.path(own)).unwrap();
        let sent = walkdir::WalkDir::new(agent.path("data/hub/storage")).into_iter().flatten();
        let holds =
            |path: &Path| std::fs::read(path).is_ok_and(|bytes| bytes.windows(own.len()).any(|part| part == own));
        assert!(
            !sent.into_iter().any(|entry| entry.file_type().is_file() && holds(entry.path())),
            "an own file was sent"
        );
    }
    assert!(state_of(&outside) == before, "something outside changed");
}
