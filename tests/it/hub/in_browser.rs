//! The pages in a real browser: what recipients and senders see and do.

use md5::{Digest, Md5};
use reqwest::Method;
use serde_json::{Value, json};

use super::client::{CODE, TestHub, good, text};
use super::pages::{times, unzips};
use crate::browser::{Browser, WIDTHS};
use crate::s3_server;
use crate::support::content;

/// Pictures of a page, light and dark, on a phone, a tablet and a desktop, each checked for who uses it.
async fn look(page: &Browser, name: &str) {
    for scheme in ["light", "dark"] {
        page.prefers(scheme).await;
        for width in WIDTHS {
            page.resize(width, 800).await;
            page.assert_accessible().await;
            page.whole_picture(&format!("{name}-{width}-{scheme}.png")).await;
        }
    }
    page.prefers("light").await;
    page.resize(1100, 800).await;
}

/// The page of a link said neither who sent it nor when, and had no button for a single file.
#[tokio::test(flavor = "multi_thread")]
async fn a_recipient_looks_at_a_link_and_downloads_with_and_without_javascript() {
    let Some(page) = Browser::start().await else { return };
    let hub = TestHub::start().await;
    let body = json!({
        "name": "Day 12 – Harbour, camera originals", "sender": "dit@example.com", "custom_expiry_days": 14,
        "description": "Cards A and B of today, with the sound.\nPlease check A007C003, it was the last take.",
    });
    let package = hub.new_package(body).await;
    let files: [(&str, &str, usize); 6] = [
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
    ];
    let changed = |size: usize| 1_700_000_000 + i64::try_from(size).unwrap();
    for (path, name, size) in files {
        let body = json!({ "path": path, "name": name, "size": size, "last_modified": changed(size) });
        package.send_as(body, &[&content(size as u64, size)]).await;
    }
    good(package.request(Method::POST, "/finalize")).await;
    let link = package.new_link(json!({ "access_limit": 10 })).await;
    page.open(&text(&link, "url")).await;
    let shown = page.text().await;
    for part in ["Day 12 – Harbour", "dit@example.com", "A007C003_261124.mov", "6 files, 334.0 kB", "10 downloads left"]
    {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    look(&page, "link").await;
    page.value("document.querySelector('.tree summary').click()").await;
    assert_eq!(page.value("document.querySelector('.tree details').open").await, false);
    page.value("document.querySelector('.tree > li:last-child a').click()").await;
    assert_eq!(page.downloaded("sound 261124.wav").await, content(40_000, 40_000));

    page.devtools("Emulation.setScriptExecutionDisabled", json!({ "value": true })).await;
    page.open(&text(&link, "url")).await;
    page.click("a.button").await;
    let zip = page.downloaded("Day 12 – Harbour, camera originals.zip").await;
    let all: Vec<(String, Vec<u8>, i64)> = files
        .iter()
        .map(|(path, name, size)| {
            let full = if path.is_empty() { (*name).to_owned() } else { format!("{path}/{name}") };
            (full, content(*size as u64, *size), changed(*size))
        })
        .collect();
    unzips(&zip, &all.iter().map(|(name, bytes, _)| (name.as_str(), bytes.as_slice())).collect::<Vec<_>>());
    let mut found = times(&zip);
    let mut expected: Vec<_> = all.iter().map(|(name, _, changed)| (name.clone(), *changed)).collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    assert_eq!(page.trouble(), Vec::<String>::new());
}

/// The page told the name of a package before its password was asked, and an expired one named nobody who could be asked for another.
#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_asked_for_and_what_is_over_says_so() {
    let Some(page) = Browser::start().await else { return };
    let hub = TestHub::start().await;
    let package = hub.sent_package(json!({ "name": "Rough cut v3", "password": "open barley" }), b"cut").await;
    let link = package.new_link(json!({})).await;
    page.open(&text(&link, "url")).await;
    look(&page, "password").await;
    assert_eq!(page.value("document.activeElement.id").await, "password");
    page.fill("#password", "wrong").await;
    page.click("button").await;
    page.wait_for("document.body.innerText.includes('The password is wrong')").await;
    page.assert_accessible().await;
    page.fill("#password", "open barley").await;
    page.click("button").await;
    page.wait_for("document.body.innerText.includes('clip.mov')").await;
    let gone = json!({ "expiry": "2020-01-01T00:00:00Z", "unlimited_storage": false });
    good(package.request(Method::PUT, "/expiry").json(&gone)).await;
    page.open(&text(&link, "url")).await;
    assert!(page.text().await.contains("This link has expired"));
    look(&page, "expired").await;
}

async fn inbox(hub: &TestHub) -> Value {
    good(hub.team_request(Method::GET, &format!("/v1.1/teams/{}/inbox", hub.team))).await["records"][0].clone()
}

/// Path, name and content of what arrived in a package; a folder's name ends with a slash.
async fn arrived(hub: &TestHub, package: &Value) -> Vec<(String, Vec<u8>)> {
    let id = text(package, "id");
    let list = good(hub.team_request(Method::GET, &format!("/v1/packages/{id}/files"))).await;
    let mut all = Vec::new();
    for file in list.as_array().unwrap() {
        if file["kind"] == "directory" {
            all.push((format!("{}/{}/", text(file, "path"), text(file, "name")), Vec::new()));
            continue;
        }
        let path = format!("/v1/packages/{id}/files/{}/download", text(file, "id"));
        let url = text(&good(hub.team_request(Method::GET, &path)).await, "url");
        let bytes = hub.request(Method::GET, &url).send().await.unwrap().bytes().await.unwrap();
        all.push((format!("{}/{}", text(file, "path"), text(file, "name")), bytes.to_vec()));
    }
    all
}

/// Case: folders dropped on the page of a portal, a wrong code, and the answers of its form.
#[tokio::test(flavor = "multi_thread")]
async fn a_sender_drops_a_folder_into_a_portal_and_fills_in_what_it_asks_for() {
    let Some(page) = Browser::start().await else { return };
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
    std::fs::create_dir_all(card.join("AUDIO/empty")).unwrap();
    std::fs::write(card.join("CLIP/a.mov"), content(1, 300_000)).unwrap();
    std::fs::write(card.join("CLIP/empty.txt"), b"").unwrap();
    std::fs::write(card.join("notes ü.txt"), b"notes").unwrap();
    page.open(&format!("{}/portals/closed", hub.base)).await;
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
        ("card/AUDIO/empty/".to_owned(), Vec::new()),
    ];
    assert!(files.len() == 4 && expected.iter().all(|file| files.contains(file)));
    let errors: Vec<String> = page.trouble().into_iter().filter(|one| !one.contains("401")).collect();
    assert_eq!(errors, Vec::<String>::new());
}

/// Case: pause, a closed tab and the same files chosen again: what was confirmed is not sent again.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_is_paused_and_goes_on_after_the_page_is_opened_again() {
    let Some(page) = Browser::start().await else { return };
    let hub = TestHub::start().await;
    // Three parts as the page cuts them.
    let bytes = content(7, 70 << 20);
    let file = hub.folder.path().join("long.mov");
    std::fs::write(&file, &bytes).unwrap();
    let small = hub.folder.path().join("small.txt");
    std::fs::write(&small, b"small").unwrap();
    let address = format!("{}/portals/open", hub.base);
    page.open(&address).await;
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
    // The short third part and the small file are there first: the long parts are in flight.
    page.wait_for(&format!("({KEPT})().then((n) => (window.kept = n)), window.kept >= 2")).await;
    page.whole_picture("portal-sending.png").await;
    page.click("#pause").await;
    page.wait_for("document.getElementById('pause').textContent === 'Resume'").await;
    assert!(page.text().await.contains("Paused."));
    page.whole_picture("portal-paused.png").await;
    assert!(stored() < 3, "it was paused in the middle");
    let kept = page.value(&format!("({KEPT})()")).await.as_i64().unwrap();

    page.open("about:blank").await;
    page.open(&address).await;
    page.wait_for("!document.getElementById('earlier').hidden").await;
    look(&page, "portal-earlier").await;
    page.send_slowly(-1).await;
    // Other files alone do not complete the package.
    page.choose("#files", &[&small]).await;
    page.click("#send").await;
    page.wait_for("document.getElementById('problem').textContent.includes('long.mov')").await;
    page.choose("#files", &[&file]).await;
    page.click("#send").await;
    page.wait_for("!document.getElementById('thanks').hidden").await;
    let sent = "performance.getEntriesByType('resource').filter((e) => e.name.includes('partNumber=')).length";
    let again = page.value(sent).await.as_i64().unwrap();
    assert!(again <= 4 - kept, "{again} parts were sent, of four {kept} were there");
    let package = inbox(&hub).await;
    assert_eq!(text(&package, "state"), "finalized");
    let files = arrived(&hub, &package).await;
    let long = files.iter().find(|(name, _)| name == "/long.mov").unwrap();
    assert!(files.len() == 2 && Md5::digest(&long.1) == Md5::digest(&bytes), "whole");
    page.open(&address).await;
    page.wait_for("!document.getElementById('portal').hidden").await;
    assert_eq!(page.value("document.getElementById('earlier').hidden").await, true, "nothing is left to resume");
}

/// Case: a part that arrives damaged is sent again, and told after three times.
#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_the_storage_has_otherwise_is_sent_again() {
    let Some(page) = Browser::start().await else { return };
    let hub = TestHub::start().await;
    let file = hub.folder.path().join("clip.mov");
    // Not a whole number of blocks of the sum, and more than one read of the file.
    let bytes = content(3, 3_000_001);
    std::fs::write(&file, &bytes).unwrap();
    page.open(&format!("{}/portals/open", hub.base)).await;
    page.wait_for("!document.getElementById('portal').hidden").await;
    page.fill("#sender", "dit@example.com").await;
    page.fill("#name", "Damaged").await;
    page.choose("#files", &[&file]).await;
    // As if other bytes had arrived: the tag that the page is shown is that of something else.
    let spoil = "const own = XMLHttpRequest.prototype.getResponseHeader; window.spoiled = 0; XMLHttpRequest.prototype.getResponseHeader = \
        function (name) { if (name !== 'ETag' || window.spoiled === TIMES) return own.call(this, name); \
        window.spoiled += 1; return '\"' + '0'.repeat(32) + '\"'; }";
    page.value(&spoil.replace("TIMES", "-1")).await;
    page.click("#send").await;
    page.wait_for("document.getElementById('problem').textContent.includes('clip.mov arrives damaged')").await;
    assert_eq!(page.value("window.spoiled").await, 3);
    look(&page, "portal-damaged").await;
    page.value("window.spoiled = 0").await;
    page.open(&format!("{}/portals/open", hub.base)).await;
    page.wait_for("!document.getElementById('earlier').hidden").await;
    page.choose("#files", &[&file]).await;
    page.value(&spoil.replace("TIMES", "1")).await;
    page.click("#send").await;
    page.wait_for("!document.getElementById('thanks').hidden").await;
    assert_eq!(page.value("window.spoiled").await, 1);
    let files = arrived(&hub, &inbox(&hub).await).await;
    assert!(files == [("/clip.mov".to_owned(), bytes)]);
}

/// A portal that took mov and wav listed README.md without complaint; sending it ended with a refusal of "readme.md" beside the advice to
/// choose the same files again, with all fields locked, and left an empty package on the hub.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_portal_does_not_accept_is_refused_when_it_is_chosen_by_its_real_name() {
    let Some(page) = Browser::start().await else { return };
    let hub = TestHub::start().await;
    let portal = text(&good(hub.request(Method::GET, "/v1/subdomains/portals/open")).await, "id");
    let set = async |body: Value| {
        good(hub.team_request(Method::PUT, &format!("/v1/portals/{portal}")).json(&body)).await;
    };
    set(json!({
        "file_type_restriction_enabled": true, "file_types": [".MOV", "wav"], "package_size_restriction_enabled": true,
        "max_file_size": 1000, "max_file_count": 2, "max_package_size": 1500,
    }))
    .await;
    let file = |name: &str, size: usize| {
        let path = hub.folder.path().join(name);
        std::fs::write(&path, content(size as u64, size)).unwrap();
        path
    };
    let (readme, large) = (file("README.md", 10), file("Large.mov", 1001));
    let (a, b, c) = (file("a.mov", 900), file("B.WAV", 500), file("c.mov", 700));
    page.open(&format!("{}/portals/open", hub.base)).await;
    page.wait_for("!document.getElementById('portal').hidden").await;
    assert_eq!(page.value("document.getElementById('files').accept").await, ".mov,.wav");
    page.choose("#files", &[&readme, &large, &a]).await;
    page.wait_for("document.getElementById('chosen').textContent.startsWith('1 file,')").await;
    let said = page.value("document.getElementById('refused').textContent").await.as_str().unwrap().to_owned();
    assert!(said.contains("README.md was not added: this portal accepts only .mov, .wav."), "{said}");
    assert!(said.contains("Large.mov was not added: it has 1.0 kB"), "{said}");
    look(&page, "portal-refused").await;
    page.choose("#files", &[&c]).await;
    page.wait_for(
        "document.getElementById('refused').textContent.includes('c.mov was not added: with it there would be 1.6 kB')",
    )
    .await;
    page.choose("#files", &[&b]).await;
    page.wait_for("document.getElementById('chosen').textContent.startsWith('2 files,')").await;
    page.choose("#files", &[&file("d.mov", 1)]).await;
    page.wait_for("document.getElementById('refused').textContent.includes('d.mov was not added: this portal accepts up to 2 files')").await;

    // What the portal no longer accepts since the page was opened, the hub refuses.
    set(json!({ "file_types": ["mxf"] })).await;
    page.fill("#sender", "dit@example.com").await;
    page.fill("#name", "Refused").await;
    page.click("#send").await;
    page.wait_for("document.getElementById('problem').textContent.includes('does not accept')").await;
    let problem = page.value("document.getElementById('problem').textContent").await;
    assert!(
        problem.as_str().unwrap().contains("\"a.mov\"") || problem.as_str().unwrap().contains("\"B.WAV\""),
        "{problem}"
    );
    let usable = "document.getElementById('earlier').hidden && !document.getElementById('about').disabled && !document.getElementById('files').disabled \
        && !document.getElementById('send').disabled && document.title === 'Open house'";
    page.wait_for(usable).await;
    let path = format!("/v1.1/teams/{}/inbox", hub.team);
    assert_eq!(good(hub.team_request(Method::GET, &path)).await["metadata"]["total"], 0, "nothing stays on the hub");
    look(&page, "portal-refused-by-hub").await;
    // Then it works without another word.
    set(json!({ "file_types": ["mov", "wav"] })).await;
    page.click("#send").await;
    page.wait_for("!document.getElementById('thanks').hidden").await;
    assert_eq!(arrived(&hub, &inbox(&hub).await).await.len(), 2);
}

/// The page tried ten times within a minute and then said that the upload was interrupted.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_told_to_wait_says_so_waits_and_goes_on() {
    let Some(page) = Browser::start().await else { return };
    let hub = TestHub::start_with(|config| config.portal_packages_per_hour = Some(1)).await;
    let file = hub.folder.path().join("a.mov");
    std::fs::write(&file, content(3, 1000)).unwrap();
    let portal = good(hub.request(Method::GET, "/v1/subdomains/portals/open")).await;
    let packages = format!("/v1/portals/{}/packages", text(&portal, "id"));
    good(hub.request(Method::POST, &packages).json(&json!({ "name": "First", "sender": "a@example.com" }))).await;
    let said = "document.getElementById('status').textContent";
    page.open(&format!("{}/portals/open", hub.base)).await;
    page.wait_for("!document.getElementById('portal').hidden").await;
    page.fill("#sender", "dit@example.com").await;
    page.fill("#name", "Patient").await;
    page.choose("#files", &[&file]).await;
    page.click("#send").await;
    page.wait_for(&format!("/Trying again in [0-9]+ min/.test({said})")).await;
    assert_eq!(page.value("document.getElementById('problem').textContent").await, "");
    page.click("#pause").await;
    page.wait_for("document.title === 'Paused · Open house'").await;
    // Refusals that ask for a short while each, then there is room.
    drop(hub.stop().await);
    let hub = TestHub::start().await;
    page.open(&format!("{}/portals/open", hub.base)).await;
    page.wait_for("!document.getElementById('portal').hidden").await;
    page.fill("#sender", "dit@example.com").await;
    page.fill("#name", "Patient").await;
    let file = hub.folder.path().join("a.mov");
    std::fs::write(&file, content(3, 1000)).unwrap();
    page.choose("#files", &[&file]).await;
    let refusing = "(() => { const real = window.fetch; let left = 2; window.waited = []; window.fetch = (path, ...rest) => {
        if (!String(path).endsWith('/packages') || left === 0) return real(path, ...rest);
        left -= 1; window.waited.push(performance.now());
        return Promise.resolve(new Response('{\"message\":\"too many at the moment\"}', { status: 429, headers: { 'Retry-After': '2' } })); } })()";
    page.value(refusing).await;
    page.click("#send").await;
    page.wait_for(&format!("{said}.startsWith('too many at the moment. Trying again in ')")).await;
    page.wait_for("!document.getElementById('thanks').hidden").await;
    assert_eq!(page.value("window.waited[1] - window.waited[0] >= 2000").await, true);
    assert_eq!(arrived(&hub, &inbox(&hub).await).await.len(), 1);
}

/// What was begun may be gone: removed by its team, or given up by the hub.
/// Case: speed, time left and the percentage in the tab's title were missing while a portal page sends.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_whose_package_is_gone_is_begun_anew() {
    let Some(page) = Browser::start().await else { return };
    let hub = TestHub::start().await;
    let file = hub.folder.path().join("long.mov");
    std::fs::write(&file, content(5, 40 << 20)).unwrap();
    page.open(&format!("{}/portals/open", hub.base)).await;
    page.wait_for("!document.getElementById('portal').hidden").await;
    page.fill("#sender", "dit@example.com").await;
    page.fill("#name", "Gone").await;
    page.choose("#files", &[&file]).await;
    page.send_slowly(6 << 20).await;
    page.click("#send").await;
    page.wait_for("/^[1-9][0-9]?% · Open house$/.test(document.title)").await;
    page.wait_for("/sent · .*\\/s · .* left$/.test(document.getElementById('status').textContent)").await;
    page.click("#pause").await;
    page.wait_for("document.title === 'Paused · Open house'").await;
    page.send_slowly(-1).await;
    let path = format!("/v1/packages/{}", text(&inbox(&hub).await, "id"));
    assert_eq!(hub.team_request(Method::DELETE, &path).send().await.unwrap().status(), 204);
    page.click("#pause").await;
    page.wait_for("document.getElementById('problem').textContent.includes('no longer on the hub')").await;
    page.wait_for("document.getElementById('earlier').hidden && !document.getElementById('about').disabled").await;
    page.click("#send").await;
    page.wait_for("!document.getElementById('thanks').hidden").await;
    assert_eq!(text(&inbox(&hub).await, "state"), "finalized");
}

/// Hundreds of files opened as one closed folder, with no way to find one.
#[tokio::test(flavor = "multi_thread")]
async fn many_files_are_searched_and_folders_opened_at_once() {
    let Some(page) = Browser::start().await else { return };
    let hub = TestHub::start().await;
    let package = hub.sent_package(json!({ "name": "Stills", "sender": "dit@example.com" }), b"clip").await;
    fill(&hub, &package.id, 1_200);
    page.open(&text(&package.new_link(json!({})).await, "url")).await;
    page.wait_for("!document.getElementById('tools').hidden").await;
    let shown = "[...document.querySelectorAll('.tree a[download]')].filter((e) => e.checkVisibility()).length";
    assert_eq!(page.value(shown).await, 1, "{}", page.text().await);
    page.click("#expand").await;
    page.wait_for("document.getElementById('expand').textContent === 'Collapse all'").await;
    assert_eq!(page.value(shown).await, 1_201);
    page.click("#expand").await;
    page.fill("#search", "Scene_02/frame_00119").await;
    page.value("document.getElementById('search').dispatchEvent(new Event('input'))").await;
    page.wait_for("document.getElementById('found').textContent === '10 of 1201 files'").await;
    assert_eq!(page.value(shown).await, 10);
    look(&page, "link-searched").await;
    page.fill("#search", "").await;
    page.value("document.getElementById('search').dispatchEvent(new Event('input'))").await;
    page.wait_for("document.getElementById('found').textContent === ''").await;
    assert_eq!(page.value(shown).await, 1, "as it was before");
    assert_eq!(page.trouble(), Vec::<String>::new());
}

/// Puts so many files beside the one that a package has, in folders of 500.
fn fill(hub: &TestHub, package: &str, count: i64) {
    let mut database = rusqlite::Connection::open(hub.data().join("hub.db")).unwrap();
    let all = database.transaction().unwrap();
    for number in 0..count {
        all.execute(
            "INSERT INTO file (id, package_id, kind, path, name, size, last_modified, finalized_at, etag, crc)
             VALUES (?1, ?2, 'file', ?3, ?4, 12345678, 1700000000000, 1700000000000, 'e', 0)",
            rusqlite::params![
                format!("01ARZ3NDEKTSV4RRFFQ{number:07}"),
                package,
                format!("reel/scene_{:02}", number / 500),
                format!("frame_{number:06}.dpx")
            ],
        )
        .unwrap();
    }
    all.execute("UPDATE package SET file_count = file_count + ?1, size = size + ?1 * 12345678", [count]).unwrap();
    all.commit().unwrap();
}

/// Case: a package of ten thousand files opens as a page of folders within seconds.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_files_are_a_page_of_folders() {
    let Some(page) = Browser::start().await else { return };
    let hub = TestHub::start().await;
    let package = hub.sent_package(json!({ "name": "Stills of the whole film" }), b"clip").await;
    fill(&hub, &package.id, 10_000);
    let link = package.new_link(json!({})).await;
    let started = std::time::Instant::now();
    page.open(&text(&link, "url")).await;
    page.click(".tree > li > details > summary").await;
    page.click(".tree ul > li:nth-child(20) > details > summary").await;
    page.wait_for("[...document.querySelectorAll('.name')].some((e) => e.textContent === 'frame_009999.dpx' && e.checkVisibility())")
        .await;
    assert!(started.elapsed() < std::time::Duration::from_secs(20), "{:?}", started.elapsed());
    let shown = page.text().await;
    assert!(shown.contains("10001 files") && shown.contains("10000 files, 123.5 GB"), "{shown:.300}");
    page.picture("link-many.png").await;
}

/// What the documentation says that a bucket must allow to browsers.
fn documented_cors(origin: &str) -> Value {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/hub.md")).unwrap();
    let block = page.split("```json\n").find(|block| block.contains("CORSRules")).unwrap().split("```").next().unwrap();
    serde_json::from_str(&block.replace("https://files.example.com", origin)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_bucket_the_pages_send_to_it_and_receive_from_it() {
    let (Some(page), Some(place)) = (Browser::start().await, s3_server::place()) else { return };
    let hub = TestHub::start_at(place.clone(), |_| {}).await;
    place.allow_browsers(&documented_cors(&hub.base)).await;
    // Three parts as the page cuts them.
    let bytes = content(9, 70 << 20);
    let file = hub.folder.path().join("long ü.mov");
    std::fs::write(&file, &bytes).unwrap();
    let small = hub.folder.path().join("small.txt");
    std::fs::write(&small, b"small").unwrap();
    page.open(&format!("{}/portals/open", hub.base)).await;
    page.wait_for("!document.getElementById('portal').hidden").await;
    page.fill("#sender", "dit@example.com").await;
    page.fill("#name", "To the bucket").await;
    page.choose("#files", &[&file, &small]).await;
    page.click("#send").await;
    page.wait_for("!document.getElementById('thanks').hidden").await;
    look(&page, "portal-bucket").await;
    let sent = "performance.getEntriesByType('resource').map((e) => e.name).filter((n) => n.includes('partNumber='))";
    let sent = page.value(sent).await;
    let to_bucket = |url: &Value| url.as_str().unwrap().starts_with(&place.endpoint);
    assert!(sent.as_array().unwrap().len() == 4 && sent.as_array().unwrap().iter().all(to_bucket), "{sent}");
    assert_eq!(page.trouble(), Vec::<String>::new());
    assert!(hub.stored_files().is_empty(), "nothing went through the hub");
    let package = inbox(&hub).await;
    assert_eq!((text(&package, "state"), place.objects().await.len()), ("finalized".into(), 2));

    let links = format!("/v1/packages/{}/links", text(&package, "id"));
    let link = good(hub.team_request(Method::POST, &links).json(&json!({}))).await;
    page.open(&text(&link, "url")).await;
    page.click(".tree > li:first-child a").await;
    assert!(page.downloaded("long ü.mov").await == bytes, "from the bucket, under its name");
    page.click("a.button").await;
    let zip = page.downloaded("To the bucket.zip").await;
    unzips(&zip, &[("long ü.mov", &bytes), ("small.txt", b"small")]);
    look(&page, "link-bucket").await;
    assert_eq!(page.trouble(), Vec::<String>::new());
}

/// How many parts the page remembers.
const KEPT: &str = "async () => { const o = indexedDB.open('uploads', 1); await new Promise((r) => (o.onsuccess = r)); \
    const g = o.result.transaction('kept').objectStore('kept').getAllKeys(); await new Promise((r) => (g.onsuccess = r)); \
    o.result.close(); return g.result.filter((k) => k[1] === 'part').length; }";
