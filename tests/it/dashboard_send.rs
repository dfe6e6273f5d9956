//! Uploads started on the dashboard, of files that are chosen on the agent's machine or dropped into the page.

use std::time::Duration;

use serde_json::{Value, json};

use crate::dashboard::open;
use crate::process::Agent;
use crate::support::{received, wait_until};

const RULES: &str = "rules:\n  - { name: dailies, watch: drop, create: true, upload: { kind: link } }\n";

/// Clicks the button of that name in the dialog on top.
fn press(text: &str) -> String {
    format!(
        "(() => {{ const found = [...[...document.querySelectorAll('dialog[open]')].at(-1).querySelectorAll('button')] \
         .find((e) => e.textContent.trim() === {} && !e.disabled); found?.click(); return Boolean(found); }})()",
        json!(text)
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_chosen_on_the_agents_machine_and_sent_by_link_and_by_mail() {
    let root = tempfile::tempdir().unwrap();
    let real = root.path().canonicalize().unwrap();
    std::fs::create_dir_all(real.join("card/sound")).unwrap();
    std::fs::write(real.join("card/A001.mov"), b"picture").unwrap();
    std::fs::write(real.join("card/sound/A001.wav"), b"sound").unwrap();
    std::fs::write(real.join("notes <b>.txt"), b"notes").unwrap();
    std::os::unix::fs::symlink("/etc", real.join("way-out")).unwrap();
    let agent = Agent::start(RULES, &["--allow-root", real.to_str().unwrap()]);
    let Some(browser) = open(&agent).await else { return };
    browser.press("n").await;
    browser.wait_for(&press("Add files and folders…")).await;
    // Only the allowed folder is there to begin at.
    let names = "[...document.querySelectorAll('.chooser .entries .open')].map((e) => e.textContent)";
    browser.wait_for(&format!("{names}.join() === {}", json!(real))).await;
    browser.wait_for(&press(real.to_str().unwrap())).await;
    browser.wait_for(&format!("{names}.join() === 'card,notes <b>.txt'")).await;
    browser.click("[aria-label='Select card']").await;
    browser.click("[aria-label='Select notes <b>.txt']").await;
    browser.wait_for(&press("Add 2 selected")).await;
    browser.wait_for("document.querySelectorAll('#send .chosen li').length === 2").await;
    browser.wait_for(&press("Send")).await;
    browser.wait_for("document.querySelector('#details[open] .standing')?.textContent === 'Complete' || document.querySelector('#list .row.good') !== null").await;
    let sent = agent.json(&["upload", "ls"]);
    let mut files = received(sent["transfers"][0]["links"][0]["url"].as_str().unwrap()).await;
    files.sort();
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["card/A001.mov", "card/sound/A001.wav", "notes <b>.txt"]);

    browser.press("\u{e00c}n").await;
    browser.click("#send input[value=email]").await;
    browser.wait_for(&press("Add files and folders…")).await;
    // Where files were chosen last, they are chosen next.
    browser.wait_for("document.querySelector('[aria-label=\"Select card\"]') !== null").await;
    browser.wait_for(&press("card")).await;
    browser.wait_for("document.querySelector('[aria-label=\"Select A001.mov\"]') !== null").await;
    browser.wait_for(&press("Add this folder")).await;
    browser.wait_for("document.querySelectorAll('#send .chosen li').length === 1").await;
    browser.fill("#send input[placeholder^=client]", "no address").await;
    browser.wait_for(&press("Send")).await;
    browser.wait_for("document.querySelector('#send .trouble').textContent.includes('recipients')").await;
    browser.fill("#send input[placeholder^=client]", "client@example.com, editor@example.com").await;
    browser.wait_for(&press("Send")).await;
    browser
        .wait_for(
            "document.querySelector('#details[open]')?.innerText.includes('client@example.com, editor@example.com')",
        )
        .await;
    let sent = agent.json(&["upload", "ls"]);
    assert_eq!(sent["transfers"][0]["recipients"], json!(["client@example.com", "editor@example.com"]));
    let wrong: Vec<String> = browser.trouble().into_iter().filter(|one| !one.contains("400 (Bad Request)")).collect();
    assert_eq!(wrong, Vec::<String>::new());
}

/// Dropping a file did nothing at all; then the page said that the agent sends files of its own machine only. It is received by the agent,
/// sent, and not kept any longer.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_dropped_into_the_page_is_sent_and_not_kept() {
    let mut agent = Agent::prepare(RULES, &[]);
    agent.environment = vec![("MASV_HURRY".to_owned(), "1".to_owned())];
    agent.go_on();
    let Some(browser) = open(&agent).await else { return };
    // More than one piece.
    let content: Vec<u8> = (0..20_000_000_u32).map(|at| at.to_le_bytes()[usize::from(at % 3 == 0)]).collect();
    let file = agent.path("mine.mov");
    std::fs::write(&file, &content).unwrap();
    browser.drop_files("#list", &[&file]).await;
    browser.wait_for("document.querySelector('#send[open] .chosen li .path')?.textContent === 'mine.mov'").await;
    browser.wait_for(&press("Send")).await;
    browser.wait_for("document.querySelector('#details[open] .standing')?.textContent === 'Complete' || document.querySelector('#list .row.good') !== null").await;
    let sent = agent.json(&["upload", "ls"]);
    assert_eq!(sent["transfers"][0]["name"], "mine.mov");
    let files = received(sent["transfers"][0]["links"][0]["url"].as_str().unwrap()).await;
    assert!(files[0].0 == "mine.mov" && files[0].1 == content, "what arrived is not what was dropped");
    let gone = || async { std::fs::read_dir(agent.path("data/spool")).unwrap().count() == 0 };
    wait_until("nothing of it is kept", Duration::from_secs(30), gone).await;
    assert_eq!(browser.value("location.pathname").await, "/");
    assert_eq!(browser.trouble(), Vec::<String>::new());
}

/// What a browser has sent so far survives the agent's end, and is ordered once, when it is whole.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_received_from_a_browser_survives_a_crash_and_is_sent_once() {
    let mut agent = Agent::prepare(RULES, &["--spool-limit", "1MB"]);
    agent.environment = vec![("MASV_HURRY".to_owned(), "1".to_owned())];
    agent.go_on();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let post = |agent: &Agent, path: &str, body: Value| {
        client.post(format!("{}/api/v1/{path}", agent.url())).json(&body).send()
    };
    let put = |agent: &Agent, path: &str, body: &'static str| {
        let to = client.put(format!("{}/api/v1/{path}", agent.url())).header("X-Masv", "test");
        to.header("Content-Type", "application/octet-stream").body(body).send()
    };
    let full = post(&agent, "spools", json!({ "files": [{ "path": "large.mov", "size": 2_000_000 }] })).await.unwrap();
    assert_eq!(full.status(), 507, "more than --spool-limit");
    let begun = post(&agent, "spools", json!({ "files": [{ "path": "card/a.mov", "size": 10 }] })).await.unwrap();
    let id = begun.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned();
    assert_eq!(put(&agent, &format!("spools/{id}/0?offset=0"), "hello").await.unwrap().status(), 200);
    agent.kill();
    agent.go_on();
    let early = post(&agent, "uploads", json!({ "paths": [], "spool": id })).await.unwrap();
    assert_eq!(early.status(), 409, "half of it is missing");
    assert_eq!(put(&agent, &format!("spools/{id}/0?offset=0"), "hello").await.unwrap().status(), 409);
    let state = client.get(format!("{}/api/v1/spools/{id}", agent.url())).send().await.unwrap();
    assert_eq!(state.json::<Value>().await.unwrap()["files"][0]["received"], 5);
    assert_eq!(put(&agent, &format!("spools/{id}/0?offset=5"), "world").await.unwrap().status(), 200);
    let orders = [(); 2].map(|()| post(&agent, "uploads", json!({ "paths": [], "spool": id })));
    let [first, second] = orders;
    assert_eq!(first.await.unwrap().status(), 201);
    assert_eq!(second.await.unwrap().json::<Value>().await.unwrap()["upload_id"], json!(id), "the same order again");
    let list =
        agent.wait_for("it is sent", Duration::from_secs(30), |list| list.iter().all(|one| one["state"] == "complete"));
    assert_eq!((list.len(), list[0]["id"].as_str()), (1, Some(id.as_str())));
    let files = received(list[0]["links"][0]["url"].as_str().unwrap()).await;
    assert_eq!(files, [("card/a.mov".to_owned(), b"helloworld".to_vec())]);
    let gone = || async { std::fs::read_dir(agent.path("data/spool")).unwrap().count() == 0 };
    wait_until("nothing of it is kept", Duration::from_secs(30), gone).await;
    assert_eq!(agent.stop(), Some(0));
}
