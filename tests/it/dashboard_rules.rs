//! The rules file, edited on the dashboard: as a text, with its comments, without its secrets.

use std::time::Duration;

use serde_json::{Value, json};

use crate::browser::Browser;
use crate::dashboard::open;
use crate::process::Agent;
use crate::support::wait_until;

const RULES: &str = "rules:\n  # What the cameras bring.\n  - name: cards # never on Sundays\n    watch: cards\n    create: true\n    \
                     settle: 1h\n    package: file\n    upload: { kind: link, password: 'hush hush' }\n";

const TEXT: &str = "document.querySelector('#edit textarea').value";
const SAVE: &str = "[...document.querySelectorAll('#edit button')].find((e) => e.textContent === 'Save')";

/// Replaces a part of the text in the editor, as somebody who types it.
async fn replace(browser: &Browser, from: &str, to: &str) {
    let code = format!(
        "(() => {{ const e = document.querySelector('#edit textarea'); if (!e.value.includes({from})) throw new Error(e.value); \
         e.value = e.value.replace({from}, () => {to}); e.dispatchEvent(new Event('input')); }})()",
        from = json!(from),
        to = json!(to)
    );
    browser.value(&code).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_are_edited_as_a_text_that_is_checked_tried_and_saved_with_its_comments() {
    let agent = Agent::start(RULES, &[]);
    std::fs::create_dir_all(agent.path("cards")).unwrap();
    let Some(browser) = open(&agent).await else { return };
    browser.click("[aria-label='Edit cards']").await;
    browser.wait_for(&format!("{TEXT}?.includes('# never on Sundays')")).await;
    let shown = browser.value(TEXT).await;
    assert!(shown.as_str().unwrap().contains("password: <kept secret 1> }"), "{shown}");
    replace(&browser, "settle: 1h", "settle: soon").await;
    browser
        .wait_for("document.querySelector('#edit .problems .bad button')?.textContent.startsWith('Line 7, column 1')")
        .await;
    assert_eq!(browser.value(&format!("{SAVE}.disabled")).await, true);
    browser.click("#edit .problems .bad button").await;
    let at = "document.activeElement.value.slice(document.activeElement.selectionStart).startsWith('soon')";
    assert_eq!(browser.value(at).await, true, "the caret is where the mistake is");
    replace(&browser, "settle: soon", "settle: 2h # longer").await;
    browser.wait_for(&format!("{SAVE}.disabled === false")).await;
    std::fs::write(agent.path("cards/A001.mov"), b"picture").unwrap();
    browser
        .value("[...document.querySelectorAll('#edit button')].find((e) => e.textContent === 'Dry run').click()")
        .await;
    browser.wait_for("document.querySelector('#edit .tried:not([hidden])')?.innerText.includes('A001.mov')").await;
    browser.assert_accessible().await;
    browser.value(&format!("{SAVE}.click()")).await;
    browser.wait_for("document.querySelector('#edit[open]') === null").await;
    let written = std::fs::read_to_string(agent.path("rules.yaml")).unwrap();
    assert_eq!(written, format!("version: 1\n{}", RULES.replace("settle: 1h", "settle: 2h # longer")));
    assert_eq!(agent.json(&["upload", "ls"])["transfers"], json!([]), "nothing was sent by trying");
    assert_eq!(browser.trouble(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_is_made_for_a_folder_that_is_chosen() {
    let agent = Agent::start(RULES, &[]);
    std::fs::create_dir_all(agent.path("incoming & more")).unwrap();
    let Some(browser) = open(&agent).await else { return };
    let folder = agent.path("").canonicalize().unwrap();
    browser.value(&format!("sessionStorage.setItem('masv-folder', {})", json!(folder))).await;
    browser.click("#rules-add").await;
    let entry = "[...document.querySelectorAll('.chooser .open')].find((e) => e.textContent === 'incoming & more')";
    browser.wait_for(&format!("Boolean({entry})")).await;
    browser.value(&format!("{entry}.click()")).await;
    let choose = "(() => { const e = [...document.querySelectorAll('.chooser button')].find((e) => e.textContent === 'Choose this folder'); \
                  const here = document.querySelector('.chooser .way').textContent.endsWith('incoming & more'); if (here) e.click(); return here; })()";
    browser.wait_for(choose).await;
    browser.wait_for(&format!("{TEXT}.includes('name: new-rule') && {SAVE}.disabled === false")).await;
    replace(&browser, "name: new-rule", "name: incoming").await;
    browser.wait_for(&format!("{SAVE}.disabled === false")).await;
    browser.value(&format!("{SAVE}.click()")).await;
    browser.wait_for("document.querySelector('[aria-label=\"Rule incoming\"]') !== null").await;
    std::fs::write(agent.path("incoming & more/clip.mov"), b"clip").unwrap();
    wait_until("the new rule sends", Duration::from_secs(60), || async {
        agent.json(&["upload", "ls"])["transfers"][0]["state"] == "complete"
    })
    .await;
    // A rule is disabled and enabled where it is shown.
    for (press, then) in [("Disable incoming", "Enable incoming"), ("Enable incoming", "Disable incoming")] {
        browser.click(&format!("[aria-label='{press}']")).await;
        browser.wait_for(&format!("document.querySelector('[aria-label=\"{then}\"]') !== null")).await;
    }
    assert_eq!(browser.trouble(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_has_saved_is_not_overwritten_unasked() {
    let agent = Agent::start(RULES, &[]);
    let Some(browser) = open(&agent).await else { return };
    browser.click("#rules-edit").await;
    browser.wait_for(&format!("{TEXT}?.includes('# never on Sundays')")).await;
    let newer = format!("version: 1\n# Changed on the machine.\n{RULES}");
    std::fs::write(agent.path("rules.yaml"), &newer).unwrap();
    replace(&browser, "# never on Sundays", "# never").await;
    browser.wait_for(&format!("{SAVE}.disabled === false")).await;
    browser.value(&format!("{SAVE}.click()")).await;
    browser.wait_for("document.querySelector('dialog.ask[open]')?.textContent.includes('changed meanwhile')").await;
    browser.press("\u{e00c}").await;
    browser.wait_for("document.getElementById('edit-state').textContent.includes('Not saved')").await;
    assert_eq!(std::fs::read_to_string(agent.path("rules.yaml")).unwrap(), newer);
    assert_eq!(browser.value(&format!("{TEXT}.includes('# never\\n')")).await, true, "the own text is still there");
}

/// The file of an operator, and a caller who may change its rules.
struct Editing {
    agent: Agent,
    client: reqwest::Client,
}

impl Editing {
    async fn text(&self) -> Value {
        let answer =
            self.client.get(format!("{}/api/v1/automations/rules_file", self.agent.url())).send().await.unwrap();
        answer.json().await.unwrap()
    }

    async fn call(&self, how: reqwest::Method, path: &str, body: Value) -> (u16, String) {
        let url = format!("{}/api/v1/automations/{path}", self.agent.url());
        let answer = self.client.request(how, url).json(&body).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }
}

/// A whole text could run programs as the agent's user and send what the environment holds, which an ordered rule cannot.
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_text_of_the_rules_gives_nothing_that_the_file_did_not_give() {
    let root = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret"), "file-secret-7").unwrap();
    let (inside, out) = (root.path().canonicalize().unwrap(), outside.path().canonicalize().unwrap());
    let rules = format!(
        "rules:\n  - name: ours\n    watch: {}\n    upload: {{ kind: link, password: plain-secret-9 }}\n    notify:\n      - exec: [/bin/true]\n",
        out.display()
    );
    let mut agent = Agent::prepare(&rules, &["--allow-root", inside.to_str().unwrap()]);
    agent.environment.push(("MASV_SECRET_X".to_owned(), "env-secret-42".to_owned()));
    agent.go_on();
    let editing = Editing { agent, client: reqwest::Client::builder().no_proxy().build().unwrap() };
    let file = editing.text().await;
    let (text, version) = (file["text"].as_str().unwrap(), file["version"].as_str().unwrap());
    assert!(!file.to_string().contains("plain-secret-9"), "{file}");
    let rule =
        |more: &str| format!("{text}  - name: new\n    watch: {}\n    upload: {{ kind: link{more}\n", inside.display());
    let moved = format!(" }}\n    after: {{ complete: {{ move: '{}/sent' }} }}", out.display());
    let file_outside = format!(", password: {{ file: '{}/secret' }} }}\n    confined: true", out.display());
    for (new, why) in [
        (rule(" }\n    notify: [{ exec: [/bin/sh, -c, 'true'] }]"), "a program can only be added"),
        (rule(", name: '${MASV_SECRET_X}' }"), "a variable can only be added"),
        (rule(", name: <kept secret 1> }"), "stands for a secret"),
        (rule(&moved), "--allow-root"),
        (rule(&file_outside), "outside the allowed folders"),
        (rule(" }"), "confined: true"),
        (rule(" }").replace("watch: /", &format!("watch: {}/x/", out.display())), "--allow-root"),
        (format!("hub: {{ listen: '0.0.0.0:1' }}\n{text}"), "`hub` can only be changed"),
    ] {
        let save = editing.call(reqwest::Method::PUT, "rules_file", json!({ "text": new, "version": version })).await;
        assert!(save.0 == 400 && save.1.contains(why), "{why}: {save:?}");
        for path in ["check_rules", "dry_run"] {
            let (_, said) = editing.call(reqwest::Method::POST, path, json!({ "text": new })).await;
            assert!(said.contains(why) && !said.contains("-secret-"), "{why}: {said}");
        }
    }
    let written = std::fs::read_to_string(editing.agent.path("rules.yaml")).unwrap();
    assert_eq!(written, format!("version: 1\n{rules}"), "nothing was written");
    let good = json!({ "text": rule(" } # mine\n    confined: true"), "version": version });
    let (status, said) = editing.call(reqwest::Method::PUT, "rules_file", good.clone()).await;
    assert!(status == 200 && !said.contains("plain-secret-9"), "{said}");
    let written = std::fs::read_to_string(editing.agent.path("rules.yaml")).unwrap();
    assert!(
        written.contains("password: plain-secret-9")
            && written.ends_with("{ kind: link } # mine\n    confined: true\n"),
        "{written}"
    );
    let (status, said) = editing.call(reqwest::Method::PUT, "rules_file", good).await;
    assert!(status == 409 && said.contains("meanwhile"), "{said}");
}
