//! The pages in a real browser: what recipients and senders see and do.

use std::path::PathBuf;

use md5::{Digest, Md5};
use reqwest::Method;
use serde_json::{Value, json};

use super::chromium::{Browser, Page};
use super::client::{CODE, TestHub, good, text, wait_until};
use crate::support::content;

/// Pictures of a page in light, dark and on a phone, each checked for who uses it.
async fn look(page: &Page, name: &str) {
    for (dark, width, suffix) in
        [(false, 1100, "light"), (true, 1100, "dark"), (false, 390, "phone"), (true, 390, "phone-dark")]
    {
        page.dark(dark).await;
        page.width(width).await;
        page.assert_accessible().await;
        page.picture(&format!("{name}-{suffix}")).await;
    }
    page.dark(false).await;
    page.width(1100).await;
}

async fn downloaded(browser: &Browser, name: &str) -> Vec<u8> {
    let path: PathBuf = browser.downloads().join(name);
    wait_until(|| path.exists().then_some(())).await;
    std::fs::read(path).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recipient_looks_at_a_link_and_downloads_with_and_without_javascript() {
    let Some(browser) = Browser::start().await else { return };
    let hub = TestHub::start().await;
    let body = json!({
        "name": "Day 12 – Harbour, camera originals", "sender": "dit@example.com", "custom_expiry_days": 14,
        "description": "Cards A and B of today, with the sound.\nPlease check A007C003, it was the last take.",
    });
    let package = hub.new_package(body).await;
    for (path, name, size) in [
        ("A007/CLIP", "A007C001_261124.mov", 90_000),
        ("A007/CLIP", "A007C002_261124.mov", 120_000),
        ("A007/CLIP", "A007C003_261124.mov", 70_000),
        ("A007/DOC", "camera report & notes.pdf", 9_000),
        (
            "B003",
            "B003C001_261124_a very long name that somebody gave to a clip by hand because it was the best take.mov",
            5_000,
        ),
        ("", "sound 261124.wav", 40_000),
    ] {
        package.send(path, name, &[&content(size as u64, size)]).await;
    }
    good(package.request(Method::POST, "/finalize")).await;
    let link = package.new_link(json!({ "access_limit": 10 })).await;
    let page = browser.open(&text(&link, "url")).await;
    let shown = page.text().await;
    for part in ["Day 12 – Harbour", "dit@example.com", "A007C003_261124.mov", "6 files, 334.0 kB", "10 downloads left"]
    {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    look(&page, "link").await;
    page.eval("document.querySelector('.tree summary').click()").await;
    assert_eq!(page.eval("document.querySelector('.tree details').open").await, false);
    page.eval("document.querySelector('.tree > li:last-child a').click()").await;
    assert_eq!(downloaded(&browser, "sound 261124.wav").await, content(40_000, 40_000));

    page.call("Emulation.setScriptExecutionDisabled", json!({ "value": true })).await;
    page.go(&text(&link, "url")).await;
    let focus = page.call("DOM.getDocument", json!({ "depth": 0 })).await;
    let button = json!({ "nodeId": focus["root"]["nodeId"], "selector": "a.button" });
    let button = page.call("DOM.querySelector", button).await;
    let place = page.call("DOM.getBoxModel", json!({ "nodeId": button["nodeId"] })).await;
    let corner = &place["model"]["content"];
    let (x, y) = (corner[0].as_f64().unwrap() + 20.0, corner[1].as_f64().unwrap() + 10.0);
    for kind in ["mousePressed", "mouseReleased"] {
        let event = json!({ "type": kind, "x": x, "y": y, "button": "left", "clickCount": 1 });
        page.call("Input.dispatchMouseEvent", event).await;
    }
    let zip = downloaded(&browser, "Day 12 – Harbour, camera originals.zip").await;
    assert!(zip.starts_with(b"PK\x03\x04") && zip.len() > 334_000);
    assert_eq!(page.complaints(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_asked_for_and_what_is_over_says_so() {
    let Some(browser) = Browser::start().await else { return };
    let hub = TestHub::start().await;
    let package = hub.sent_package(json!({ "name": "Rough cut v3", "password": "open barley" }), b"cut").await;
    let link = package.new_link(json!({})).await;
    let page = browser.open(&text(&link, "url")).await;
    look(&page, "password").await;
    assert_eq!(page.eval("document.activeElement.id").await, "password");
    page.fill("#password", "wrong").await;
    page.click("button").await;
    page.wait_for("document.body.innerText.includes('The password is wrong')").await;
    page.assert_accessible().await;
    page.fill("#password", "open barley").await;
    page.click("button").await;
    page.wait_for("document.body.innerText.includes('clip.mov')").await;
    let gone = json!({ "expiry": "2020-01-01T00:00:00Z", "unlimited_storage": false });
    good(package.request(Method::PUT, "/expiry").json(&gone)).await;
    page.go(&text(&link, "url")).await;
    assert!(page.text().await.contains("This link has expired"));
    look(&page, "expired").await;
}

async fn inbox(hub: &TestHub) -> Value {
    good(hub.team_request(Method::GET, &format!("/v1.1/teams/{}/inbox", hub.team))).await["records"][0].clone()
}

/// Path, name and content of what arrived in a package.
async fn arrived(hub: &TestHub, package: &Value) -> Vec<(String, Vec<u8>)> {
    let id = text(package, "id");
    let list = good(hub.team_request(Method::GET, &format!("/v1/packages/{id}/files"))).await;
    let mut all = Vec::new();
    for file in list.as_array().unwrap() {
        let path = format!("/v1/packages/{id}/files/{}/download", text(file, "id"));
        let url = text(&good(hub.team_request(Method::GET, &path)).await, "url");
        let bytes = hub.request(Method::GET, &url).send().await.unwrap().bytes().await.unwrap();
        all.push((format!("{}/{}", text(file, "path"), text(file, "name")), bytes.to_vec()));
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_drops_a_folder_into_a_portal_and_fills_in_what_it_asks_for() {
    let Some(browser) = Browser::start().await else { return };
    let hub = TestHub::start().await;
    let portal = good(hub.request(Method::GET, "/v1/subdomains/portals/closed")).await;
    let settings = json!({
        "name": "Rushes of “Harbour”", "message": "Camera originals and sound, one package a card, please.",
        "metadata_fields": [
            { "name": "reel", "label": "Reel", "visibility": "required" },
            { "name": "camera", "label": "Camera", "type": "dropdown", "options": ["A", "B", "Drone"] },
            { "name": "shot", "label": "Day of shooting", "type": "date" },
        ],
        "file_type_restriction_enabled": true, "file_types": ["mov", "wav", "txt"],
    });
    good(hub.team_request(Method::PUT, &format!("/v1/portals/{}", text(&portal, "id"))).json(&settings)).await;
    let card = hub.folder.path().join("card");
    std::fs::create_dir_all(card.join("CLIP")).unwrap();
    std::fs::write(card.join("CLIP/a.mov"), content(1, 300_000)).unwrap();
    std::fs::write(card.join("CLIP/empty.txt"), b"").unwrap();
    std::fs::write(card.join("notes ü.txt"), b"notes").unwrap();
    let page = browser.open(&format!("{}/portals/closed", hub.base)).await;
    page.wait_for("!document.getElementById('portal').hidden").await;
    look(&page, "portal").await;
    page.drop_files("#drop", &[&card]).await;
    page.wait_for("document.getElementById('chosen').textContent.startsWith('3 files')").await;
    page.fill("#sender", "dit@example.com").await;
    page.fill("#name", "Card A007").await;
    page.fill("[data-field=reel]", "A007").await;
    page.fill("[data-field=camera]", "Drone").await;
    page.fill("#code", "wrong").await;
    look(&page, "portal-chosen").await;
    page.click("#send").await;
    page.wait_for("document.getElementById('problem').textContent === 'the access code is wrong'").await;
    page.fill("#code", CODE).await;
    page.click("#send").await;
    page.wait_for("!document.getElementById('thanks').hidden").await;
    assert!(page.text().await.contains("Everything has been sent (3 files)"));
    look(&page, "portal-sent").await;
    let package = inbox(&hub).await;
    assert_eq!((text(&package, "name"), text(&package, "state")), ("Card A007".into(), "finalized".into()));
    assert_eq!(package["custom_metadata"], json!({ "reel": "A007", "camera": "Drone" }));
    let files = arrived(&hub, &package).await;
    let expected = [
        ("card/CLIP/a.mov".to_owned(), content(1, 300_000)),
        ("card/CLIP/empty.txt".to_owned(), Vec::new()),
        ("card/notes ü.txt".to_owned(), b"notes".to_vec()),
    ];
    assert!(files.len() == 3 && expected.iter().all(|file| files.contains(file)));
    let errors: Vec<String> = page.complaints().into_iter().filter(|one| !one.contains("401")).collect();
    assert_eq!(errors, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_is_paused_and_goes_on_after_the_page_is_opened_again() {
    let Some(browser) = Browser::start().await else { return };
    let hub = TestHub::start().await;
    // Three parts as the page cuts them.
    let bytes = content(7, 70 << 20);
    let file = hub.folder.path().join("long.mov");
    std::fs::write(&file, &bytes).unwrap();
    let small = hub.folder.path().join("small.txt");
    std::fs::write(&small, b"small").unwrap();
    let address = format!("{}/portals/open", hub.base);
    let page = browser.open(&address).await;
    page.wait_for("!document.getElementById('portal').hidden").await;
    page.fill("#sender", "dit@example.com").await;
    page.fill("#name", "Long").await;
    page.choose("#files", &[&file, &small]).await;
    page.send_slowly(6 << 20).await;
    page.click("#send").await;
    let database = hub.data().join("hub.db");
    let stored = || {
        let connection = rusqlite::Connection::open(&database).unwrap();
        connection.query_row("SELECT count(*) FROM part WHERE size > 1000", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    // The short third part and the small file are there first: the long parts are on their way.
    page.wait_for(&format!("({KEPT})().then((n) => (window.kept = n)), window.kept >= 2")).await;
    page.picture("portal-sending").await;
    page.click("#pause").await;
    page.wait_for("document.getElementById('pause').textContent === 'Go on'").await;
    assert!(page.text().await.contains("Paused."));
    page.picture("portal-paused").await;
    assert!(stored() < 3, "it was paused in the middle");
    let kept = page.eval(&format!("({KEPT})()")).await.as_i64().unwrap();

    page.go("about:blank").await;
    page.go(&address).await;
    page.wait_for("!document.getElementById('earlier').hidden").await;
    look(&page, "portal-earlier").await;
    page.send_slowly(-1).await;
    // Other files alone do not make the package whole.
    page.choose("#files", &[&small]).await;
    page.click("#send").await;
    page.wait_for("document.getElementById('problem').textContent.includes('long.mov')").await;
    page.choose("#files", &[&file]).await;
    page.click("#send").await;
    page.wait_for("!document.getElementById('thanks').hidden").await;
    let sent = "performance.getEntriesByType('resource').filter((e) => e.name.includes('partNumber=')).length";
    let again = page.eval(sent).await.as_i64().unwrap();
    assert!(again <= 4 - kept, "{again} parts were sent, of four {kept} were there");
    let package = inbox(&hub).await;
    assert_eq!(text(&package, "state"), "finalized");
    let files = arrived(&hub, &package).await;
    let long = files.iter().find(|(name, _)| name == "/long.mov").unwrap();
    assert!(files.len() == 2 && Md5::digest(&long.1) == Md5::digest(&bytes), "whole");
    page.go(&address).await;
    page.wait_for("!document.getElementById('portal').hidden").await;
    assert_eq!(page.eval("document.getElementById('earlier').hidden").await, true, "nothing is left to go on with");
}

/// How many parts the page remembers.
const KEPT: &str = "async () => { const o = indexedDB.open('uploads', 1); await new Promise((r) => (o.onsuccess = r)); \
    const g = o.result.transaction('kept').objectStore('kept').getAllKeys(); await new Promise((r) => (g.onsuccess = r)); \
    o.result.close(); return g.result.filter((k) => k[1] === 'part').length; }";
