//! The hub's own web app: its door over raw HTTP, and its pages in a real browser.

use reqwest::Method;
use reqwest::header::SET_COOKIE;
use serde_json::{Value, json};

use super::client::{TestHub, good, refused, text, wait_until};
use crate::browser::Browser;
use crate::support::content;

const EMAIL: &str = "ed@example.com";
const PASSWORD: &str = "correct horse";

/// Pictures of a view at three widths in both schemes, each checked for who uses it.
async fn look(page: &Browser, name: &str) {
    for width in [390, 768, 1440] {
        page.resize(width, 900).await;
        for scheme in ["light", "dark"] {
            page.prefers(scheme).await;
            page.assert_accessible().await;
            page.whole_picture(&format!("app-{name}-{width}-{scheme}.png")).await;
        }
    }
    page.prefers("light").await;
}

/// Nothing went wrong in the page, but for refusals of whoever was not signed in: the browser reports these on its console.
fn assert_no_trouble(page: &Browser) {
    let errors: Vec<String> = page.trouble().into_iter().filter(|one| !one.contains("401")).collect();
    assert_eq!(errors, Vec::<String>::new());
}

/// A person of the team, who can sign in.
async fn add_person(hub: &TestHub, email: &str, role: &str) {
    let body = json!({ "email": email, "name": "Ed Itor", "password": PASSWORD, "role": role });
    good(hub.team_request(Method::POST, &format!("/v1/teams/{}/members", hub.team)).json(&body)).await;
}

async fn type_in(page: &Browser, email: &str, password: &str) {
    page.wait_for("document.getElementById('sign-in') !== null").await;
    page.fill("[type=email]", email).await;
    page.fill("[type=password]", password).await;
    page.click("#sign-in button").await;
}

/// Opens the app as somebody with this role.
async fn signed_in(page: &Browser, hub: &TestHub, role: &str) {
    add_person(hub, EMAIL, role).await;
    page.open(&format!("{}/app", hub.base)).await;
    type_in(page, EMAIL, PASSWORD).await;
    page.wait_for("document.getElementById('view') !== null && document.querySelector('h1') !== null").await;
}

/// The cookie counts at the door alone, for calls of the app alone, and nobody is told the token in it.
#[tokio::test]
async fn the_session_of_the_app_is_a_cookie_that_counts_for_its_own_pages_only() {
    let hub = TestHub::start().await;
    add_person(&hub, EMAIL, "sender").await;
    let credentials = json!({ "email": EMAIL, "password": PASSWORD });
    let door = |method: Method, path: &str| hub.request(method, &format!("/app/api{path}"));
    let from_app = |method: Method, path: &str| door(method, path).header("X-Masv-App", "1");
    refused(door(Method::POST, "/v1/auth").json(&credentials), 403).await;
    let strange = from_app(Method::POST, "/v1/auth").header("Sec-Fetch-Site", "cross-site");
    refused(strange.json(&credentials), 403).await;
    let wrong = json!({ "email": EMAIL, "password": "wrong" });
    refused(from_app(Method::POST, "/v1/auth").json(&wrong), 401).await;

    let answer = from_app(Method::POST, "/v1/auth").json(&credentials).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let cookie = answer.headers()[SET_COOKIE].to_str().unwrap().to_owned();
    assert!(cookie.ends_with("; Path=/app/api; Max-Age=604800; HttpOnly; SameSite=Strict"), "{cookie}");
    let told: Value = answer.json().await.unwrap();
    assert_eq!((&told["token"], text(&told["user"], "email")), (&Value::Null, EMAIL.to_owned()));
    let cookie = cookie.split(';').next().unwrap().to_owned();
    assert!(cookie.len() > 30 && !told.to_string().contains(cookie.split_once('=').unwrap().1));

    let with = |request: reqwest::RequestBuilder| request.header("Cookie", &cookie);
    let me = good(with(from_app(Method::GET, "/v1/auth"))).await;
    assert_eq!((text(&me["user"], "email"), text(&me["teams"][0], "role")), (EMAIL.into(), "sender".into()));
    let same = with(from_app(Method::GET, "/v1/teams")).header("Sec-Fetch-Site", "same-origin");
    assert_eq!(good(same).await[0]["id"], hub.team.as_str());
    refused(with(door(Method::GET, "/v1/teams")), 403).await;
    for site in ["cross-site", "same-site", "none"] {
        refused(with(from_app(Method::GET, "/v1/teams")).header("Sec-Fetch-Site", site), 403).await;
    }
    refused(with(hub.request(Method::GET, "/v1/teams").header("X-Masv-App", "1")), 401).await;
    // Nothing but the cookie counts there, and nothing but the protocol is behind it.
    let team = format!("/v1/teams/{}/members", hub.team);
    refused(from_app(Method::GET, &team).header("X-API-KEY", super::client::KEY), 401).await;
    refused(with(from_app(Method::GET, "/healthz")), 404).await;
    refused(with(from_app(Method::GET, &format!("/v1/teams/{}/audit", hub.team))), 403).await;
    let foreign = with(from_app(Method::GET, "/v1/teams")).header("Origin", "https://elsewhere.example.com");
    let headers = foreign.send().await.unwrap().headers().clone();
    assert!(!headers.contains_key("access-control-allow-origin"), "{headers:?}");
    assert_eq!(headers["x-content-type-options"], "nosniff");

    let out = with(from_app(Method::DELETE, "/v1/auth")).send().await.unwrap();
    assert_eq!(out.status(), 204);
    assert!(out.headers()[SET_COOKIE].to_str().unwrap().starts_with("masv_session=; Path=/app/api; Max-Age=0;"));
    refused(with(from_app(Method::GET, "/v1/auth")), 401).await;
}

/// What a script on the page could read of the session: nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_person_signs_in_changes_the_password_and_signs_out() {
    let Some(page) = Browser::start().await else { return };
    let hub = TestHub::start().await;
    add_person(&hub, EMAIL, "sender").await;
    page.open(&format!("{}/app/packages", hub.base)).await;
    page.wait_for("document.getElementById('sign-in') !== null").await;
    assert_eq!(page.value("document.activeElement.type").await, "email");
    look(&page, "sign-in").await;
    type_in(&page, EMAIL, "wrong").await;
    page.wait_for("document.querySelector('.problem').textContent.includes('password is wrong')").await;
    // By keyboard alone.
    page.press(&format!("{PASSWORD}\u{e007}")).await;
    page.wait_for("document.querySelector('h1').textContent === 'Sent'").await;
    page.wait_for("document.querySelector('.nothing') !== null").await;
    look(&page, "empty").await;
    let readable = "document.cookie + JSON.stringify(localStorage) + JSON.stringify(sessionStorage)";
    assert_eq!(page.value(readable).await, "{}{}");
    page.open(&format!("{}/app/account", hub.base)).await;
    page.wait_for("document.getElementById('own-password') !== null").await;
    look(&page, "account").await;
    let new = "battery staple";
    for (now, again, said) in [(PASSWORD, "other", "differ"), ("wrong", new, "password is wrong")] {
        page.fill("#password-now", now).await;
        page.fill("#password-new", new).await;
        page.fill("#password-again", again).await;
        page.click("#own-password button").await;
        page.wait_for(&format!("document.querySelector('.problem').textContent.includes('{said}')")).await;
    }
    page.fill("#password-now", PASSWORD).await;
    page.click("#own-password button").await;
    page.wait_for("document.getElementById('notes').textContent.includes('changed')").await;
    page.click("#sign-out").await;
    type_in(&page, EMAIL, PASSWORD).await;
    page.wait_for("document.querySelector('.problem').textContent.includes('password is wrong')").await;
    type_in(&page, EMAIL, new).await;
    page.wait_for("document.querySelector('h1').textContent === 'Sent'").await;
    // A session that ends elsewhere ends here, too.
    let database = rusqlite::Connection::open(hub.data().join("hub.db")).unwrap();
    database.execute("DELETE FROM session", []).unwrap();
    page.click("nav a[href='/app/inbox']").await;
    page.wait_for("document.querySelector('.problem')?.textContent.includes('You have been signed out')").await;
    assert_no_trouble(&page);
}

/// The names that the list shows, in order.
async fn names(page: &Browser) -> Vec<String> {
    let names = page.value("[...document.querySelectorAll('#rows .name strong')].map((e) => e.textContent)").await;
    serde_json::from_value(names).unwrap()
}

/// Waits until these are listed and no others: a list is emptied while another is fetched.
async fn lists(page: &Browser, expected: &[&str]) {
    let listed = "[...document.querySelectorAll('#rows .name strong')].map((e) => e.textContent)";
    page.wait_for(&format!("JSON.stringify({listed}) === JSON.stringify({})", json!(expected))).await;
}

async fn choose(page: &Browser, selector: &str, value: &str) {
    page.fill(selector, value).await;
    page.value(&format!("document.querySelector('{selector}').dispatchEvent(new Event('change'))")).await;
}

async fn search(page: &Browser, wanted: &str) {
    page.fill("#search", wanted).await;
    page.value("document.querySelector('#search').dispatchEvent(new Event('input'))").await;
}

/// A list of a thousand is searched, filtered, sorted, shown in pages without a package twice, and many are deleted at once.
#[tokio::test(flavor = "multi_thread")]
async fn packages_are_found_sorted_and_deleted_many_at_once() {
    let Some(page) = Browser::start().await else { return };
    let hub = TestHub::start().await;
    for (name, size) in [("Day 12 – Harbour, camera originals", 300_000), ("Rough cut v3", 50_000), ("Stills", 9_000)]
    {
        let package =
            hub.new_package(json!({ "name": name, "recipients": ["client@example.com"], "password": "p" })).await;
        package.send("", "clip.mov", &[&content(1, size)]).await;
        good(package.request(Method::POST, "/finalize")).await;
    }
    for number in 0..57 {
        hub.new_package(json!({ "name": format!("Dailies {number:02}") })).await;
    }
    signed_in(&page, &hub, "sender").await;
    page.wait_for("document.querySelectorAll('#rows li').length === 50").await;
    assert!(page.text().await.contains("50 of 60 packages"));
    // Something new arrives before the next page is asked for: nothing is shown twice, nothing is left out.
    hub.new_package(json!({ "name": "Meanwhile" })).await;
    page.click("#more").await;
    page.wait_for("document.querySelectorAll('#rows li').length === 60").await;
    let all = names(&page).await;
    assert_eq!(all.iter().collect::<std::collections::BTreeSet<_>>().len(), 60);
    assert_eq!(page.value("document.getElementById('more').hidden").await, true);
    search(&page, "harbour").await;
    lists(&page, &["Day 12 – Harbour, camera originals"]).await;
    search(&page, "").await;
    choose(&page, "#status", "finalized").await;
    choose(&page, "#sort", "-size").await;
    lists(&page, &["Day 12 – Harbour, camera originals", "Rough cut v3", "Stills"]).await;
    look(&page, "packages").await;
    // Where one was is kept over a reload, and over a look at one of them.
    let here = page.value("location.href").await.as_str().unwrap().to_owned();
    page.open(&here).await;
    page.wait_for("document.querySelectorAll('#rows li').length === 3").await;
    page.click("#rows li:nth-child(2) .name").await;
    page.wait_for("document.querySelector('h1').textContent === 'Rough cut v3'").await;
    page.value("history.back()").await;
    page.wait_for("document.querySelectorAll('#rows li').length === 3").await;
    choose(&page, "#status", "new").await;
    page.wait_for("document.querySelectorAll('#rows li').length === 50").await;
    for row in [1, 2] {
        page.click(&format!("#rows li:nth-child({row}) input")).await;
    }
    look(&page, "packages-selected").await;
    page.click("#delete-selected").await;
    page.wait_for("document.querySelector('dialog[open]') !== null").await;
    page.picture("app-packages-delete.png").await;
    page.assert_accessible().await;
    page.click("dialog button.danger").await;
    page.wait_for("document.getElementById('found').textContent === '50 of 56 packages'").await;
    search(&page, "nothing of this name").await;
    page.wait_for("document.querySelector('.nothing')?.textContent.includes('Nothing found')").await;
    assert_no_trouble(&page);
}

/// One package: who has it and what became of it is told, and everything about it can be changed.
#[tokio::test(flavor = "multi_thread")]
async fn a_package_tells_who_opened_and_downloaded_it_and_is_changed() {
    let Some(page) = Browser::start().await else { return };
    let hub = TestHub::start().await;
    let body = json!({
        "name": "Day 12 – Harbour", "sender": EMAIL, "recipients": ["client@example.com", "lab@example.com"],
        "description": "Cards A and B of today, with the sound.", "custom_expiry_days": 14,
    });
    let package = hub.new_package(body).await;
    for (path, name, size) in
        [("A007/CLIP", "A007C001.mov", 90_000), ("A007/CLIP", "A007C002.mov", 120_000), ("", "sound.wav", 40_000)]
    {
        package.send(path, name, &[&content(2, size)]).await;
    }
    good(package.request(Method::POST, "/finalize")).await;
    wait_until(|| (hub.mails().len() == 3).then_some(())).await;
    // The client opens the link and downloads everything.
    let links = good(package.request(Method::GET, "/links")).await;
    let link = links.as_array().unwrap().iter().find(|link| link["email"] == "client@example.com").unwrap();
    let (id, secret) = (text(link, "id"), text(link, "download_secret"));
    let opened = good(hub.request(Method::GET, &format!("/v1/links/{id}?secret={secret}"))).await;
    let archive = format!("/{id}/all.zip?token={}", text(&opened, "package_token"));
    hub.request(Method::GET, &archive).send().await.unwrap().bytes().await.unwrap();
    signed_in(&page, &hub, "sender").await;
    page.wait_for("document.querySelector('#rows .badge')?.textContent === 'Downloaded'").await;
    page.click("#rows .name").await;
    page.wait_for("document.querySelector('.timeline') !== null").await;
    let shown = page.text().await;
    for part in [
        "client@example.com downloaded everything",
        "client@example.com opened it",
        "127.0.0.1",
        "Downloaded 1×",
        "Not opened",
        "A007/CLIP/A007C002.mov",
        "3 files, 250.0 kB",
        "Cards A and B of today",
        "in 14 days",
    ] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    look(&page, "package").await;
    page.click("[aria-label='Download sound.wav']").await;
    assert_eq!(page.downloaded("sound.wav").await, content(2, 40_000));
    // The mail is sent again; a second click while it waits changes nothing.
    page.click("[aria-label='Send again to lab@example.com']").await;
    page.wait_for("document.getElementById('notes').textContent.includes('sent again')").await;
    wait_until(|| (hub.mails().len() == 4).then_some(())).await;

    page.click("#new-link").await;
    page.wait_for("document.querySelector('dialog[open]') !== null").await;
    look(&page, "new-link").await;
    page.fill("#link-email", "producer@example.com").await;
    page.click("dialog [type=submit]").await;
    page.wait_for("document.querySelectorAll('.links li').length === 3").await;
    wait_until(|| (hub.mails().len() == 5).then_some(())).await;
    page.click("[aria-label='Change the link of producer@example.com']").await;
    page.wait_for("document.querySelector('dialog[open]') !== null").await;
    page.fill("dialog [type=text]", "open barley").await;
    page.fill("dialog [type=number]", "2").await;
    page.click("dialog [type=submit]").await;
    page.wait_for("document.body.innerText.includes('0 of 2 downloads used') && document.body.innerText.includes('with a password')").await;
    page.click("[aria-label='Delete the link of lab@example.com']").await;
    page.click("dialog button.danger").await;
    page.wait_for("document.querySelectorAll('.links li').length === 2").await;

    page.click("#change").await;
    page.wait_for("document.querySelector('dialog[open]') !== null").await;
    page.fill("dialog [type=text]", "Day 12 – Harbour, final").await;
    page.click("dialog [type=checkbox]").await;
    page.click("dialog [type=submit]").await;
    page.wait_for("document.querySelector('h1').textContent === 'Day 12 – Harbour, final'").await;
    page.wait_for("document.body.innerText.includes('when somebody deletes it')").await;
    page.click("#delete").await;
    page.click("dialog button.danger").await;
    page.wait_for("document.querySelector('.nothing') !== null && location.pathname === '/app/packages'").await;
    assert_no_trouble(&page);
}

/// How many parts the page remembers.
const KEPT: &str = "async () => { const o = indexedDB.open('uploads', 1); await new Promise((r) => (o.onsuccess = r)); \
    const g = o.result.transaction('kept').objectStore('kept').getAllKeys(); await new Promise((r) => (g.onsuccess = r)); \
    o.result.close(); return g.result.filter((k) => k[1] === 'part').length; }";

/// Files and folders go to people with a link each, and what is wrong is said before anything is sent.
#[tokio::test(flavor = "multi_thread")]
async fn files_and_folders_are_sent_to_people_and_as_a_link() {
    let Some(page) = Browser::start().await else { return };
    let hub = TestHub::start().await;
    let card = hub.folder.path().join("Card A007");
    std::fs::create_dir_all(card.join("CLIP")).unwrap();
    std::fs::create_dir_all(card.join("AUDIO")).unwrap();
    std::fs::write(card.join("CLIP/a.mov"), content(1, 300_000)).unwrap();
    std::fs::write(card.join("notes ü.txt"), b"notes").unwrap();
    signed_in(&page, &hub, "sender").await;
    page.click("nav a[href='/app/send']").await;
    page.wait_for("document.getElementById('sending') !== null").await;
    look(&page, "send").await;
    page.drop_files("#drop", &[&card]).await;
    page.wait_for("document.getElementById('chosen').textContent.startsWith('2 files')").await;
    page.fill("#people", "client@example.com, lab").await;
    page.click("#send").await;
    page.wait_for("document.getElementById('problem').textContent.includes('“lab” is not an e-mail address')").await;
    page.fill("#people", "client@example.com, lab@example.com\nclient@example.com").await;
    page.fill("#message", "Cards of today.").await;
    page.click("details.more summary").await;
    page.fill("#password", "open barley").await;
    page.fill("#days", "7").await;
    page.fill("#times", "3").await;
    look(&page, "send-chosen").await;
    page.click("#send").await;
    page.wait_for("document.querySelector('#sent:not([hidden]) h2') !== null").await;
    assert!(page.text().await.contains("A mail with a link goes to client@example.com, lab@example.com."));
    let sent = good(hub.team_request(Method::GET, &format!("/v1.1/teams/{}/packages", hub.team))).await;
    let package = &sent["records"][0];
    assert_eq!((text(package, "name"), text(package, "state")), ("Card A007".into(), "finalized".into()));
    assert_eq!((&package["password_protected"], &package["access_limit"]), (&json!(true), &json!(3)));
    assert_eq!((text(package, "sender"), &package["total_files"]), (EMAIL.into(), &json!(2)));
    let files = format!("/v1/packages/{}/files", text(package, "id"));
    let files = good(hub.team_request(Method::GET, &files)).await;
    let paths: Vec<String> =
        files.as_array().unwrap().iter().map(|file| format!("{}/{}", text(file, "path"), text(file, "name"))).collect();
    for path in ["Card A007/CLIP/a.mov", "Card A007/notes ü.txt", "Card A007/AUDIO"] {
        assert!(paths.iter().any(|known| known == path), "{path} in {paths:?}");
    }
    // Two to the recipients, and the sender's receipt.
    wait_until(|| (hub.mails().len() == 3).then_some(())).await;

    let clip = hub.folder.path().join("clip.mov");
    std::fs::write(&clip, content(3, 10_000)).unwrap();
    page.choose("#files", &[&clip]).await;
    page.click("[value=link]").await;
    page.wait_for("!document.getElementById('people').checkVisibility()").await;
    page.click("#send").await;
    page.wait_for("document.getElementById('link') !== null").await;
    look(&page, "send-sent").await;
    let link = page.value("document.getElementById('link').value").await.as_str().unwrap().to_owned();
    let answer = hub.request(Method::GET, &link).header("Accept", "text/html").send().await.unwrap();
    assert!(answer.text().await.unwrap().contains("clip.mov"));
    assert_no_trouble(&page);
}

/// What was confirmed is not sent again after the page was closed; while it is sent, other views can be looked at.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_of_the_app_resumes_after_a_reload_and_goes_on_beside_other_views() {
    let Some(page) = Browser::start().await else { return };
    let hub = TestHub::start().await;
    // Two parts as the page cuts them.
    let long = hub.folder.path().join("long.mov");
    std::fs::write(&long, content(7, 36 << 20)).unwrap();
    let small = hub.folder.path().join("small.txt");
    std::fs::write(&small, b"small").unwrap();
    signed_in(&page, &hub, "sender").await;
    page.click("nav a[href='/app/send']").await;
    page.wait_for("document.getElementById('sending') !== null").await;
    page.click("[value=link]").await;
    page.choose("#files", &[&long, &small]).await;
    // Slow enough that it is still being sent when a busy machine has looked at all of this.
    page.send_slowly(1 << 20).await;
    page.click("#send").await;
    page.wait_for(&format!("({KEPT})().then((n) => (window.kept = n)), window.kept >= 2")).await;
    page.click("nav a[href='/app/packages']").await;
    page.wait_for("document.querySelector('#rows .badge')?.textContent === 'Not finished'").await;
    page.wait_for("/^Sending [0-9]+%$/.test(document.querySelector('nav a.prime').textContent)").await;
    page.click("nav a[href='/app/send']").await;
    page.wait_for("!document.getElementById('pause').hidden").await;
    look(&page, "send-sending").await;
    page.click("#pause").await;
    page.wait_for("document.getElementById('pause').textContent === 'Resume'").await;
    page.value("location.reload()").await;
    page.wait_for("document.getElementById('earlier')?.hidden === false").await;
    assert!(!page.value("JSON.stringify(localStorage)").await.as_str().unwrap().contains("token"));
    look(&page, "send-earlier").await;
    page.send_slowly(-1).await;
    page.choose("#files", &[&small]).await;
    page.click("#send").await;
    page.wait_for("document.getElementById('problem').textContent.includes('long.mov')").await;
    page.choose("#files", &[&long]).await;
    page.click("#send").await;
    page.wait_for("document.getElementById('link') !== null").await;
    let sent = "performance.getEntriesByType('resource').filter((e) => e.name.includes('partNumber=')).length";
    let again = page.value(sent).await.as_i64().unwrap();
    assert!(again <= 1, "{again} parts were sent again");
    let list = good(hub.team_request(Method::GET, &format!("/v1.1/teams/{}/packages", hub.team))).await;
    let package = &list["records"][0];
    assert_eq!((text(package, "state"), &package["size"]), ("finalized".into(), &json!((36 << 20) + 5)));
    assert_no_trouble(&page);
}

/// People, keys and portals are made, changed and removed; a sender is not shown what is for administrators.
#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_manages_people_keys_webhooks_and_portals() {
    let Some(page) = Browser::start().await else { return };
    let hub = TestHub::start().await;
    signed_in(&page, &hub, "admin").await;
    page.click("nav a[href='/app/people']").await;
    page.click("#add").await;
    page.wait_for("document.querySelector('dialog[open]') !== null").await;
    page.fill("#new-email", "sam@example.com").await;
    page.fill("#new-password", "first password").await;
    page.click("dialog [type=submit]").await;
    page.wait_for("document.getElementById('people')?.innerText.includes('sam@example.com')").await;
    look(&page, "people").await;
    // Somebody without a password is invited by mail.
    page.click("#add").await;
    page.wait_for("document.querySelector('dialog[open]') !== null").await;
    page.fill("#new-email", "invited@example.com").await;
    page.click("dialog [type=submit]").await;
    page.wait_for("document.getElementById('invitation') !== null").await;
    look(&page, "invited").await;
    let invitation = page.value("document.getElementById('invitation').value").await.as_str().unwrap().to_owned();
    wait_until(|| hub.mails().iter().any(|mail| mail.contains("To: invited@example.com")).then_some(())).await;
    page.click("dialog form > .actions button").await;

    page.click("nav a[href='/app/keys']").await;
    page.click("#add").await;
    page.wait_for("document.querySelector('dialog[open]') !== null").await;
    page.fill("#new-name", "Cart 9").await;
    page.click("dialog [type=submit]").await;
    page.wait_for("document.getElementById('key') !== null").await;
    look(&page, "key").await;
    let key = page.value("document.getElementById('key').value").await.as_str().unwrap().to_owned();
    assert_eq!(good(hub.request(Method::GET, "/v1/teams").header("X-API-KEY", key)).await[0]["role"], "sender");
    page.click("dialog form > .actions button").await;
    page.wait_for("document.getElementById('keys').innerText.includes('Cart 9')").await;
    look(&page, "keys").await;

    page.click("nav a[href='/app/webhooks']").await;
    page.click("#add").await;
    page.wait_for("document.querySelector('dialog[open]') !== null").await;
    page.fill("#hook-name", "Ingest").await;
    page.fill("#hook-url", "http://127.0.0.1:9/ingest").await;
    page.click("dialog [type=submit]").await;
    page.wait_for("document.getElementById('hooks')?.innerText.includes('when a package is complete')").await;
    look(&page, "webhooks").await;

    page.click("nav a[href='/app/portals']").await;
    page.click("#add").await;
    page.wait_for("document.getElementById('save') !== null").await;
    page.click("#name").await;
    page.press("Sound and Picture").await;
    page.fill("#message", "One package a card, please.").await;
    page.fill("#recipients", "lab@example.com, ingest@example.com").await;
    page.fill("#code", "sesame").await;
    page.click("#add-question").await;
    page.press("Reel number").await;
    choose(&page, "#rule", "only").await;
    page.fill("#types", "mov, wav").await;
    page.fill("#file-size", "2.5").await;
    page.fill("#color", "#fd0").await;
    look(&page, "portal").await;
    page.click("#save").await;
    page.wait_for("document.getElementById('portals')?.innerText.includes('Sound and Picture')").await;
    look(&page, "portals").await;
    let found = good(hub.request(Method::GET, "/v1/subdomains/portals/sound-and-picture")).await;
    assert_eq!((text(&found, "primary_color"), &found["max_file_size"]), ("#ffdd00".into(), &json!(2_500_000_000_u64)));
    assert_eq!((&found["active"], &found["has_access_code"]), (&json!(true), &json!(true)));
    assert_eq!(found["metadata_fields"][0]["name"], "reel_number");
    assert_eq!(found["file_types"], json!(["mov", "wav"]));
    let id = text(&found, "id");
    page.click(&format!("a[href='/app/portals/{id}']")).await;
    page.wait_for("document.getElementById('message')?.value === 'One package a card, please.'").await;
    page.fill("#message", "Thank you.").await;
    page.click("#save").await;
    page.wait_for("document.getElementById('portals') !== null").await;
    let found = good(hub.request(Method::GET, "/v1/subdomains/portals/sound-and-picture")).await;
    assert_eq!(
        (text(&found, "message"), &found["has_access_code"]),
        ("Thank you.".into(), &json!(true)),
        "the code stays"
    );

    page.click("nav a[href='/app/audit']").await;
    page.wait_for("document.getElementById('entries')?.innerText.includes('sound-and-picture')").await;
    look(&page, "audit").await;
    page.click("#sign-out").await;
    page.wait_for("document.getElementById('sign-in') !== null").await;
    page.open(&invitation).await;
    page.wait_for("document.getElementById('welcome') !== null").await;
    look(&page, "welcome").await;
    page.fill("#chosen-password", "my own choice").await;
    page.fill("#chosen-again", "my own choice").await;
    page.click("#welcome button").await;
    page.wait_for("document.querySelector('nav') !== null && document.querySelector('.who')?.innerText.includes('invited@example.com')").await;
    let token = invitation.split_once('#').unwrap().1;
    let twice = hub.request(Method::POST, "/v1/invitations");
    let said = refused(twice.json(&json!({ "token": token, "new_password": "another choice" })), 410).await;
    assert!(said.contains("used already"), "{said}");
    page.click("#sign-out").await;
    type_in(&page, "sam@example.com", "first password").await;
    page.wait_for("document.querySelector('nav') !== null && document.querySelector('h1')?.textContent === 'Sent'")
        .await;
    let shown = page.value("[...document.querySelectorAll('nav a')].map((e) => e.textContent)").await;
    assert_eq!(shown, json!(["Send", "Sent", "Received", "Portals", "People", "Account"]));
    assert_no_trouble(&page);
}
