//! The dashboard in a real browser, against a real agent: what an operator does with it.

use std::io::Write;
use std::path::Path;
use std::time::Instant;

use crate::browser::Browser;
use crate::process::Agent;
use crate::support::received;

const RULES: &str = "rules:\n  - name: dailies\n    watch: drop\n    create: true\n    settle: 300ms\n    package: file\n    \
                     upload: { kind: link }\n";

/// How many rows the list says it has.
const COUNT: &str = "Number(document.querySelector('#list [role=listitem]')?.getAttribute('aria-setsize') ?? 0)";

/// The dashboard of an agent, once it is live.
pub(super) async fn open(agent: &Agent) -> Option<Browser> {
    let browser = Browser::start().await?;
    browser.open(&agent.url()).await;
    browser.wait_for("document.getElementById('live').dataset.state === 'live'").await;
    // What is to be said at the top moves everything else: nothing is clicked before.
    browser.wait_for("!document.getElementById('alert').hidden").await;
    Some(browser)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_file_is_seen_to_complete_and_its_link_is_copied() {
    let agent = Agent::start(RULES, &[]);
    let Some(browser) = open(&agent).await else { return };
    browser.wait_for("document.querySelector('#rule-cards h3')?.textContent === 'dailies'").await;
    std::fs::write(agent.path("drop/A001 <b>clip.mov"), b"camera original").unwrap();
    browser.wait_for("document.querySelector('#list .row.good .name')?.textContent === 'A001 <b>clip.mov'").await;
    let permissions = serde_json::json!({ "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"] });
    browser.devtools("Browser.grantPermissions", permissions).await;
    browser.click("#list .row.good button.copy").await;
    browser.wait_for("document.querySelector('.toast')?.textContent === 'Link copied'").await;
    let link = browser.value("navigator.clipboard.readText()").await;
    let files = received(link.as_str().unwrap()).await;
    assert_eq!(files, [("A001 <b>clip.mov".to_owned(), b"camera original".to_vec())]);
    browser.click("[data-go=history]").await;
    browser.wait_for("document.querySelectorAll('#history-list [role=listitem]').length === 1").await;
    browser.click("#history-find").await;
    browser.press("nothing of it").await;
    browser.wait_for("document.querySelector('#history-list .empty') !== null").await;
    assert_eq!(browser.trouble(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_says_why_and_the_keyboard_reaches_everything() {
    let rules = format!("{RULES}  - name: lost\n    watch: not-there\n    upload: {{ kind: link }}\n");
    let agent = Agent::start(&rules, &[]);
    let Some(browser) = open(&agent).await else { return };
    browser.wait_for("document.querySelector('.card.bad .trouble')?.textContent === 'the folder does not exist'").await;
    std::fs::write(agent.path("held.mov"), b"first").unwrap();
    let id = agent.json(&["upload", "start", "link", "--no-finalize", "held.mov"])["upload_id"].clone();
    browser.wait_for("document.querySelector('#list .row.warn .main')?.textContent === 'Finalize'").await;
    browser.value("document.querySelector('#list [role=listitem]').focus()").await;
    browser.press("\u{e007}").await;
    browser.wait_for("document.querySelector('#details[open] .files .name')?.textContent === 'held.mov'").await;
    browser.press("\u{e00c}").await;
    browser.wait_for("document.querySelector('#details[open]') === null").await;
    browser.press("/held").await;
    browser.wait_for("document.activeElement.id === 'find' && document.activeElement.value === 'held'").await;
    browser.click("#list .row.warn .main").await;
    browser.wait_for("document.querySelector('#list .row.good') !== null").await;
    assert_eq!(agent.json(&["upload", "status", id.as_str().unwrap()])["state"], "complete");
    browser.click("[aria-label='Pause dailies']").await;
    browser.wait_for("document.querySelector('[aria-label=\"Resume dailies\"]') !== null").await;
    browser.press("\u{e00c}4").await;
    browser.wait_for("document.querySelectorAll('#settings-body .card').length === 6").await;
    assert_eq!(browser.trouble(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_token_the_page_asks_for_it_and_keeps_it() {
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "sesame\n").unwrap();
    let agent = Agent::start(RULES, &["--token-file", secret.path().to_str().unwrap()]);
    let Some(browser) = Browser::start().await else { return };
    browser.open(&agent.url()).await;
    browser.wait_for("document.querySelector('#token[open]') !== null").await;
    browser.press("guess\u{e007}").await;
    browser.wait_for("document.getElementById('token-trouble').textContent === 'Wrong token. Try again.'").await;
    browser.press("sesame\u{e007}").await;
    browser.wait_for("document.querySelector('#rule-cards h3')?.textContent === 'dailies'").await;
    browser.open(&agent.url()).await;
    browser.wait_for("document.getElementById('live').dataset.state === 'live'").await;
    browser.wait_for("document.querySelector('#rule-cards h3')?.textContent === 'dailies'").await;
    // Who leaves the machine signs out, and the tab has forgotten the token.
    browser.press("4").await;
    browser.click("[aria-label^='Sign out']").await;
    browser.wait_for("document.querySelector('#token[open]') !== null && sessionStorage.length === 0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_that_is_handed_over_opens_the_page_and_leaves_its_address() {
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "sesame\n").unwrap();
    let agent = Agent::start(RULES, &["--token-file", secret.path().to_str().unwrap()]);
    let url = agent.json(&["open", "--print"])["url"].as_str().unwrap().to_owned();
    assert_eq!(url, format!("{}/#token=sesame", agent.url()));
    let Some(browser) = Browser::start().await else { return };
    browser.open(&url).await;
    browser.wait_for("document.getElementById('live').dataset.state === 'live'").await;
    assert!(!browser.value("window.location.href").await.as_str().unwrap().contains("sesame"));
}

#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_uploads_are_a_short_page() {
    let folder = tempfile::tempdir().unwrap();
    fill(&folder.path().join("data"), 5_000).await;
    let agent = Agent::start_in(folder, "", &["--cloud-url", "http://127.0.0.1:9", "--team-id", "t", "--api-key", "k"]);
    let Some(browser) = Browser::start().await else { return };
    let started = Instant::now();
    browser.open(&agent.url()).await;
    browser.wait_for(&format!("{COUNT} === 5000")).await;
    let shown = started.elapsed();
    let nodes = browser.value("document.querySelectorAll('#list [role=listitem]').length").await.as_u64().unwrap();
    assert!(nodes < 60, "{nodes} rows are in the page");
    let scrolling = "(async () => {
        const list = document.getElementById('list');
        const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
        const frames = [];
        for (let step = 0; step < 60; step += 1) {
            const start = performance.now();
            list.scrollTop = (list.scrollHeight / 60) * step;
            await frame();
            await frame();
            frames.push(performance.now() - start);
        }
        return frames.sort((one, other) => one - other)[30];
    })()";
    let median = browser.value(scrolling).await.as_f64().unwrap();
    let _ =
        writeln!(std::io::stderr(), "5,000 uploads are shown after {shown:?}; a jump in the list takes {median:.0} ms");
    // On an idle machine 33 ms: two frames.
    assert!(median < 400.0, "a jump in the list takes {median:.0} ms");
    browser
        .wait_for("document.querySelector('#list [role=listitem]:last-child .name').textContent.startsWith('clip')")
        .await;
    browser.picture("many.png").await;
}

/// Puts so many uploads into an agent's database.
async fn fill(data: &Path, count: u32) {
    use masv_agent::model::UploadId;
    use masv_agent::model::UploadSpec;
    use masv_agent::store::Store;
    std::fs::create_dir_all(data).unwrap();
    let file = data.join("clip.mov");
    std::fs::write(&file, b"clip").unwrap();
    let store = Store::open(&data.join("agent.db")).unwrap();
    let mut writing = tokio::task::JoinSet::new();
    for number in 0..count {
        let source = crate::support::source_file(Path::new("clip.mov"), file.clone());
        let spec = UploadSpec { name: format!("clip {number:04}.mov"), ..crate::support::spec(vec![source]) };
        let store = store.clone();
        writing.spawn(async move { store.insert_upload(UploadId::new(), spec).await.unwrap() });
    }
    writing.join_all().await;
}

/// The pictures of the documentation, of an afternoon in a post house: with `MASV_SCREENSHOTS=folder` only.
#[tokio::test(flavor = "multi_thread")]
async fn pictures() {
    if std::env::var_os("MASV_SCREENSHOTS").is_none() {
        return;
    }
    let rules = "rules:\n  - name: camera-cards\n    watch: cards\n    create: true\n    settle: 500ms\n    package: folder\n    \
                 upload: { kind: link }\n  - name: dailies\n    watch: dailies\n    create: true\n    settle: 2h\n    \
                 schedule: \"0 18 * * mon-fri\"\n    upload: { kind: email, emails: [client@example.com] }\n  - name: promos\n    \
                 watch: promos\n    create: true\n    settle: 300ms\n    package: file\n    upload: { kind: link }\n  - name: archive\n    \
                 watch: /mnt/nas/archive\n    upload: { kind: link }\n";
    // Folders as a post house has them, where there are none of this name.
    let folder = tempfile::Builder::new().prefix("media").rand_bytes(0).tempdir_in("/srv");
    let folder = folder.or_else(|_| tempfile::tempdir()).unwrap();
    let agent = Agent::start_in(folder, rules, &["--upload-workers", "4", "--chunk-size", "8MiB"]);
    let Some(browser) = open(&agent).await else { return };
    let sparse = |name: &str, size: u64| {
        let path = agent.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::File::create(path).unwrap().set_len(size).unwrap();
    };
    for (name, size) in [("Spot_30s_v7.mov", 21 << 20), ("Spot_15s_v7.mov", 12 << 20), ("Trailer_A_mix.wav", 4 << 20)] {
        sparse(&format!("promos/{name}"), size);
    }
    browser.wait_for("document.querySelectorAll('#list .row.good').length === 3").await;
    for (name, size) in
        [("Scene_12_take_3.mov", 3 << 20), ("Scene_12_take_4.mov", 5 << 20), ("sound/S12T3.wav", 1 << 20)]
    {
        sparse(&format!("dailies/{name}"), size);
    }
    agent.json(&["settings", "rate-limit", "update", "--limit", "24MB"]);
    agent.json(&["settings", "fifo", "update", "3"]);
    for card in ["A001_1124", "A002_1124", "B001_1124", "B002_1124"] {
        for clip in 1..=6 {
            sparse(&format!("cards/{card}/{card}_C{clip:03}.mov"), 90 << 20);
        }
    }
    sparse("Grade_v3_for_review.mov", 40 << 20);
    let held = agent.json(&["upload", "start", "link", "--no-finalize", "Grade_v3_for_review.mov", "--priority", "5"]);
    sparse("Client_selects.mov", 30 << 20);
    agent.json(&[
        "upload",
        "start",
        "portal",
        "--subdomain=acme-review",
        "--sender=dit@example.com",
        "Client_selects.mov",
    ]);
    browser.wait_for("document.querySelectorAll('#list .row.bad').length === 1").await;
    let cards = "[...document.querySelectorAll('#list .row.busy')].filter((row) => row.textContent.includes('left')).length >= 3";
    browser.wait_for(cards).await;
    browser.wait_for("document.querySelectorAll('#list .row.warn').length >= 1").await;
    assert!(held["upload_id"].is_string());
    // A line that moves a little, as lines do.
    for limit in [22, 24, 23, 26, 21, 25, 27, 24, 22, 26, 25, 23] {
        agent.json(&["settings", "rate-limit", "update", "--limit", &format!("{limit}MB")]);
        tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
    }
    for scheme in ["dark", "light"] {
        browser.prefers(scheme).await;
        browser.picture(&format!("{scheme}.png")).await;
    }
    browser.prefers("dark").await;
    browser.resize(1920, 1080).await;
    browser.picture("wall.png").await;
    browser.resize(390, 844).await;
    browser.picture("phone.png").await;
    browser.click("[data-go=rules]").await;
    browser.picture("phone-rules.png").await;
    browser.resize(1440, 900).await;
    browser.click("[data-go=settings]").await;
    browser.wait_for("document.querySelectorAll('#settings-body .card').length === 6").await;
    browser.picture("settings.png").await;
    browser.click("[data-go=history]").await;
    browser.picture("history.png").await;
    browser.click("[data-go=transfers]").await;
    browser.click("#failed-tile").await;
    browser.wait_for("document.querySelectorAll('#list .row.bad').length === 1").await;
    browser.picture("error.png").await;
    browser.click("#list .row.bad").await;
    browser.wait_for("document.querySelector('#details[open] .files') !== null").await;
    browser.picture("details.png").await;
}
