//! Uploads started on the dashboard, of files that are chosen on the agent's machine.

use serde_json::json;

use crate::dashboard::open;
use crate::process::Agent;
use crate::support::received;

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

/// Dropping a file did nothing at all, or left the page for the file.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_dropped_into_the_page_is_told_where_it_belongs() {
    let agent = Agent::start(RULES, &[]);
    let Some(browser) = open(&agent).await else { return };
    let file = agent.path("mine.mov");
    std::fs::write(&file, b"mine").unwrap();
    browser.drop_files("#list", &[&file]).await;
    browser.wait_for("document.querySelector('.toast.bad')?.textContent.includes('of its own machine')").await;
    assert_eq!(browser.value("location.pathname").await, "/");
}
