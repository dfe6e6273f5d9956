//! What people do with the dashboard all day: keys, times, what is wrong, what was sent and to whom.

use std::time::Duration;

use serde_json::{Value, json};

use crate::browser::Browser;
use crate::dashboard::open;
use crate::process::Agent;
use crate::support::wait_until;

const RULES: &str =
    "rules:\n  - { name: dailies, watch: drop, create: true, settle: 300ms, package: file, upload: { kind: link } }\n";

/// Creates a file of so many bytes of zeros.
fn file(agent: &Agent, name: &str, bytes: u64) -> String {
    let path = agent.path(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::File::create(&path).unwrap().set_len(bytes).unwrap();
    path.display().to_string()
}

fn id(started: &Value) -> String {
    started["upload_id"].as_str().unwrap().to_owned()
}

async fn until_state(agent: &Agent, id: &str, state: &str) {
    wait_until(state, Duration::from_secs(60), || async { agent.json(&["upload", "status", id])["state"] == state })
        .await;
}

const ROWS: &str = "document.querySelectorAll('#list [role=listitem]').length";
const FOCUSED: &str = "document.activeElement.querySelector('.name')?.textContent";
const ASKING: &str = "document.querySelector('dialog.ask[open]') !== null";

/// `j`, the arrows, Enter, `c`, `p` and Delete did nothing until the Tab key had been pressed fourteen times, and `?` never did anything.
#[tokio::test(flavor = "multi_thread")]
async fn the_documented_keyboard_works_from_a_freshly_loaded_page() {
    let agent = Agent::start(RULES, &[]);
    agent.json(&["settings", "rate-limit", "update", "--limit", "100kB"]);
    let long = file(&agent, "long.mov", 60 << 20);
    let upload = id(&agent.json(&["upload", "start", "link", &long, "--priority", "9"]));
    let next = file(&agent, "next.mov", 60 << 20);
    agent.json(&["upload", "start", "link", &next]);
    let Some(browser) = open(&agent).await else { return };
    let fresh = async || {
        browser.open(&agent.url()).await;
        browser.wait_for(&format!("{ROWS} === 2 && document.activeElement === document.body")).await;
        browser.wait_for("document.querySelectorAll('#list .copy').length > 0").await;
    };
    for down in ["j", "\u{e015}"] {
        fresh().await;
        browser.press(down).await;
        browser.wait_for(&format!("{FOCUSED} === 'long.mov'")).await;
        browser.press(down).await;
        browser.wait_for(&format!("{FOCUSED} === 'next.mov'")).await;
    }
    browser.press("k").await;
    browser.wait_for(&format!("{FOCUSED} === 'long.mov'")).await;
    fresh().await;
    browser.press("\u{e007}").await;
    browser.wait_for("document.querySelector('#details[open] h2')?.textContent === 'long.mov'").await;
    fresh().await;
    let permissions = json!({ "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"] });
    browser.devtools("Browser.grantPermissions", permissions).await;
    browser.press("c").await;
    browser.wait_for("document.querySelector('.toast')?.textContent === 'Link copied'").await;
    fresh().await;
    browser.press("\u{e017}").await;
    browser.wait_for(ASKING).await;
    browser.press("\u{e00c}").await;
    browser.wait_for(&format!("!({ASKING}) && {ROWS} === 2")).await;
    fresh().await;
    browser.press("p").await;
    until_state(&agent, &upload, "paused").await;
    fresh().await;
    browser.press("?").await;
    browser.wait_for("document.querySelector('#help[open]')?.innerText.includes('Next and previous row')").await;
    browser.press("\u{e00c}n").await;
    browser.wait_for("document.querySelector('#send[open]') !== null").await;
    assert_eq!(browser.trouble(), Vec::<String>::new());
}

/// In a locale with a clock of twelve hours, the time fields stood out of their card, and on a phone the second one was cut off.
#[tokio::test(flavor = "multi_thread")]
async fn the_times_of_a_limit_are_whole_at_every_width() {
    let agent = Agent::start(RULES, &[]);
    let Some(browser) = open(&agent).await else { return };
    browser.press("4").await;
    browser.wait_for("document.querySelectorAll('#settings-body .card').length === 6").await;
    let show =
        "[...document.querySelectorAll('#settings-body .check')].filter((e) => e.textContent === 'Only at these times')
        .forEach((e) => e.querySelector('input').checked || e.click())";
    browser.value(show).await;
    browser.wait_for("document.querySelectorAll('#settings-body .week:not([hidden]) [type=time]').length === 28").await;
    // What a field needs is the width that it has where nothing limits it.
    let cut = "(() => {
        const own = document.body.appendChild(Object.assign(document.createElement('input'), { type: 'time', value: '22:45' }));
        own.style.cssText = 'width: max-content; position: absolute';
        const needed = own.offsetWidth;
        own.remove();
        return [...document.querySelectorAll('#settings-body [type=time]')].filter((field) => {
            const [at, card] = [field, field.closest('.card')].map((e) => e.getBoundingClientRect());
            return at.left < card.left || at.right > card.right || at.width < needed || card.right > innerWidth;
        }).map((field) => `${field.ariaLabel}: ${field.offsetWidth} of ${needed}`);
    })()";
    for width in [390, 480, 640, 768, 840, 1024, 1100, 1280, 1440] {
        browser.resize(width, 900).await;
        assert_eq!(browser.value(cut).await, json!([]), "{width} pixels wide");
    }
}

/// The reason of a failure was cut off in the list and stood twice in the details; the title did not say whose agent it was; and the
/// way out was a command with a literal `ID`.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_stands_at_the_top_and_in_the_title_and_a_missing_file_is_left_out_by_a_button() {
    let rules = format!("{RULES}  - {{ name: lost, watch: not-there, upload: {{ kind: link }} }}\n");
    let agent = Agent::start(&rules, &[]);
    agent.json(&["settings", "rate-limit", "update", "--limit", "100kB"]);
    let (kept, gone) = (file(&agent, "kept.mov", 3 << 20), file(&agent, "gone.mov", 9 << 20));
    let upload = id(&agent.json(&["upload", "start", "link", &kept, &gone, "--name", "Reel"]));
    agent.json(&["upload", "pause", &upload]);
    std::fs::remove_file(&gone).unwrap();
    agent.json(&["settings", "rate-limit", "update", "--limit", "100MB"]);
    agent.json(&["upload", "resume", &upload]);
    until_state(&agent, &upload, "error").await;
    let Some(browser) = open(&agent).await else { return };
    browser.wait_for("document.querySelectorAll('#alert li').length === 2").await;
    let said = browser.value("document.getElementById('alert').innerText").await;
    let said = said.as_str().unwrap();
    assert!(said.contains("Reel failed") && said.contains("gone.mov no longer exists"), "{said}");
    assert!(said.contains("Rule lost: the folder does not exist"), "{said}");
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let title = format!("(1 failed, 1 rule) {host} · masv-agent");
    browser.wait_for(&format!("document.title === {}", json!(title))).await;
    browser.wait_for(&format!("document.getElementById('host').textContent === {}", json!(host))).await;
    browser.press("j\u{e007}").await;
    browser.wait_for("document.querySelector('#details[open] .files .name') !== null").await;
    let times = "document.getElementById('details').innerText.split('no longer exists').length - 1";
    assert_eq!(browser.value(times).await, 1, "the reason stands there once");
    browser.click("#details [aria-label^='Send without it: Reel']").await;
    until_state(&agent, &upload, "complete").await;
    browser.wait_for("document.querySelectorAll('#alert li').length === 1").await;
    // The words for what the doctor found are those of the command line.
    browser.press("\u{e00c}4").await;
    browser.wait_for("document.querySelectorAll('#settings-body .card').length === 6").await;
    browser.value("[...document.querySelectorAll('button')].find((e) => e.textContent === 'Run checks').click()").await;
    browser.wait_for("document.querySelectorAll('.checks .grade').length > 3").await;
    let words = browser
        .value("[...new Set([...document.querySelectorAll('.checks .grade')].map((e) => e.textContent))].sort().join()")
        .await;
    assert_eq!(words, "look,ok,wrong");
    assert_eq!(browser.trouble(), Vec::<String>::new());
}

/// Case: a refused rules file stands at the top of the page and in its title by itself, until it is mended.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_rules_file_stands_at_the_top_of_the_page_by_itself() {
    let agent = Agent::start(RULES, &[]);
    let Some(browser) = open(&agent).await else { return };
    let save = |rules: &str| std::fs::write(agent.path("rules.yaml"), format!("version: 1\n{rules}")).unwrap();
    save(&RULES.replace("settle", "setle"));
    for said in ["The rules file is not loaded; the previous rules stay active.", "unknown key", "Edit the rules"] {
        browser.wait_for(&format!("document.getElementById('alert').innerText.includes({})", json!(said))).await;
    }
    browser.wait_for("document.title.startsWith('(rules file not loaded)')").await;
    save(RULES);
    browser.wait_for("!document.getElementById('alert').innerText.includes('The rules file is not loaded')").await;
    browser.wait_for("!document.title.includes('rules file')").await;
    assert_eq!(browser.trouble(), Vec::<String>::new());
}

/// Case: that links and mails of the agent's own hub reach nobody was not said where uploads are looked at.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_own_hub_cannot_do_is_noted_at_the_top() {
    let agent = Agent::start(RULES, &[]);
    let Some(browser) = open(&agent).await else { return };
    browser.wait_for("document.querySelector('#alert .fold') !== null").await;
    browser.value("document.querySelector('#alert .fold').click()").await;
    let alert = "document.getElementById('alert').innerText";
    browser.wait_for(&format!("{alert}.includes('on this machine only') && {alert}.includes('mails')")).await;
    assert_eq!(browser.trouble(), Vec::<String>::new());
}

/// A page in the background said nothing.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_for_it_is_notified_while_the_page_is_in_the_background() {
    let rules = format!("{RULES}  - {{ name: lost, watch: not-there, upload: {{ kind: link }} }}\n");
    let agent = Agent::start(&rules, &[]);
    let Some(browser) = open(&agent).await else { return };
    let noted = "window.told = []; window.Notification = class {
        static permission = 'default';
        static async requestPermission() { return (this.permission = 'granted'); }
        constructor(title, { body }) { window.told.push(`${title}: ${body}`); }
    }; document.hasFocus = () => false;";
    browser.value(noted).await;
    std::fs::write(agent.path("drop/first.mov"), b"first").unwrap();
    browser.wait_for("document.querySelector('#list .row.good') !== null").await;
    assert_eq!(browser.value("window.told").await, json!([]), "nobody asked for it");
    browser.press("4").await;
    browser.wait_for("document.querySelectorAll('#settings-body .card').length === 6").await;
    browser.value("[...document.querySelectorAll('button')].find((e) => e.textContent === 'Notify me').click()").await;
    browser.wait_for("[...document.querySelectorAll('button')].some((e) => e.textContent === 'Turn off')").await;
    std::fs::write(agent.path("drop/second.mov"), b"second").unwrap();
    browser.wait_for("window.told.includes('second.mov is complete: It has been sent.')").await;
    let path = file(&agent, "third.mov", 10);
    agent.json(&["upload", "start", "portal", "--subdomain", "none", "--sender", "a@example.com", &path]);
    browser.wait_for("window.told.some((one) => one.startsWith('masv-agent: third.mov failed'))").await;
    assert_eq!(browser.trouble(), Vec::<String>::new());
}

/// Nowhere did the page say to whom a package went.
#[tokio::test(flavor = "multi_thread")]
async fn the_history_says_to_whom_it_went_in_one_order_and_as_a_table() {
    let agent = Agent::start(RULES, &[]);
    for (name, recipients) in
        [("first.mov", "client@example.com,editor@example.com"), ("second.mov", "=cmd@example.com")]
    {
        let path = file(&agent, name, 1_000);
        let upload = id(&agent.json(&["upload", "start", "email", "--emails", recipients, &path]));
        until_state(&agent, &upload, "complete").await;
    }
    let Some(browser) = open(&agent).await else { return };
    browser.press("3").await;
    let names = "[...document.querySelectorAll('#history-list .row')].sort((a, b) => a.ariaPosInSet - b.ariaPosInSet).map((e) => e.querySelector('.name').textContent).join()";
    browser.wait_for(&format!("{names} === 'second.mov,first.mov'")).await;
    let to = "document.querySelector('#history-list [aria-posinset=\"2\"] .to').textContent";
    assert_eq!(browser.value(to).await, "client@example.com +1");
    browser.click("#history-csv").await;
    let table = String::from_utf8(browser.downloaded("masv-history.csv").await).unwrap();
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines[0], "ordered,completed,direction,name,rule,to,link,files,bytes,outcome,id");
    assert!(lines[1].contains(",sent,second.mov,,'=cmd@example.com,"), "a spreadsheet must not run it: {table}");
    assert!(lines[2].contains(",\"client@example.com, editor@example.com\","), "{table}");
    let day = |field: &str, day: i32| {
        format!(
            "(() => {{ const e = document.getElementById('{field}'); e.value = new Date(Date.now() + {day} * 864e5).toLocaleDateString('sv'); e.dispatchEvent(new Event('change')); }})()"
        )
    };
    browser.value(&day("history-from", 1)).await;
    browser.wait_for("document.querySelector('#history-list .empty')?.textContent === 'Nothing matches.'").await;
    browser.value(&day("history-from", 0)).await;
    browser.value(&day("history-until", 0)).await;
    browser.wait_for(&format!("{names} === 'second.mov,first.mov'")).await;
    assert_eq!(browser.trouble(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn several_transfers_are_sorted_selected_and_removed_at_once_after_asking() {
    let agent = Agent::start(RULES, &[]);
    for (name, bytes) in [("b.mov", 30), ("c.mov", 10), ("a.mov", 20)] {
        let path = file(&agent, name, bytes);
        let upload = id(&agent.json(&["upload", "start", "link", &path]));
        until_state(&agent, &upload, "complete").await;
    }
    let Some(browser) = open(&agent).await else { return };
    let names = "[...document.querySelectorAll('#list .row')].sort((a, b) => a.ariaPosInSet - b.ariaPosInSet).map((e) => e.querySelector('.name').textContent).join()";
    let sort = |by: &str| {
        format!(
            "(() => {{ const e = document.getElementById('sort'); e.value = '{by}'; e.dispatchEvent(new Event('change')); }})()"
        )
    };
    for (by, order) in [("name", "a.mov,b.mov,c.mov"), ("size", "b.mov,a.mov,c.mov"), ("newest", "a.mov,c.mov,b.mov")] {
        browser.value(&sort(by)).await;
        browser.wait_for(&format!("{names} === '{order}'")).await;
    }
    browser.press("jxjx").await;
    browser.wait_for("document.querySelector('#selected strong')?.textContent === '2 transfers selected'").await;
    browser
        .value("[...document.querySelectorAll('#selected button')].find((e) => e.textContent === 'Remove').click()")
        .await;
    browser.wait_for(ASKING).await;
    browser.press("\u{e007}").await;
    browser.wait_for(&format!("{names} === 'b.mov' && document.getElementById('selected').hidden")).await;
    assert_eq!(agent.json(&["upload", "ls"])["transfers"].as_array().unwrap().len(), 1);
    // A removed transfer that an event told of is not there any more when it is asked for.
    let wrong: Vec<String> = browser.trouble().into_iter().filter(|one| !one.contains("404 (Not Found)")).collect();
    assert_eq!(wrong, Vec::<String>::new());
}

/// The code of a link is read by a decoder that is not ours.
#[tokio::test(flavor = "multi_thread")]
async fn the_qr_code_of_a_link_says_the_link() {
    let agent = Agent::start(RULES, &[]);
    std::fs::write(agent.path("drop/clip.mov"), b"clip").unwrap();
    let Some(browser) = open(&agent).await else { return };
    browser.click("#list .row.good").await;
    browser.wait_for("document.querySelector('#details[open] .files') !== null").await;
    browser.click("#details [aria-label='Show the link as a QR code']").await;
    browser.wait_for("document.querySelector('#details svg.qr path') !== null").await;
    let link = browser.value("document.querySelector('#details .links a').href").await;
    assert_eq!(decoded(&browser, link.as_str().unwrap()).await, link);
    for length in [1, 14, 15, 106, 107, 122, 180, 181, 213, 412] {
        let text: String = (0..length).map(|at| char::from(b'!' + (at * 7 % 90) as u8)).collect();
        assert_eq!(decoded(&browser, &text).await, json!(text), "{length} bytes");
    }
    let too_long = "import('/dashboard/qr.js').then((qr) => qr.modules('x'.repeat(413)) === undefined)";
    assert_eq!(browser.value(too_long).await, true);
}

async fn decoded(browser: &Browser, text: &str) -> Value {
    let code = format!("import('/dashboard/qr.js').then((qr) => qr.modules({}))", json!(text));
    let grid: Vec<Vec<bool>> = serde_json::from_value(browser.value(&code).await).unwrap();
    let (scale, margin) = (4, 4);
    let size = (grid.len() + 2 * margin) * scale;
    let dark = |x: usize, y: usize| {
        let at = |place: usize| (place / scale).checked_sub(margin);
        at(y).and_then(|y| grid.get(y)).zip(at(x)).and_then(|(line, x)| line.get(x)).copied().unwrap_or(false)
    };
    let mut picture = rqrr::PreparedImage::prepare_from_greyscale(size, size, |x, y| if dark(x, y) { 0 } else { 255 });
    let grids = picture.detect_grids();
    grids.first().and_then(|grid| grid.decode().ok()).map_or(Value::Null, |(_, text)| text.into())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_view_is_accessible_and_fits_on_a_phone_a_tablet_and_a_screen_dark_and_light() {
    let rules = format!("{RULES}  - {{ name: lost, watch: not-there, upload: {{ kind: link }} }}\n");
    let agent = Agent::start(&rules, &[]);
    std::fs::write(agent.path("drop/clip.mov"), b"clip").unwrap();
    let path = file(&agent, "portal.mov", 10);
    agent.json(&["upload", "start", "portal", "--subdomain", "none", "--sender", "a@example.com", &path]);
    let Some(browser) = open(&agent).await else { return };
    browser.wait_for("document.querySelectorAll('#list .row.good, #list .row.bad').length === 2").await;
    browser.wait_for("document.querySelectorAll('#alert li').length > 0").await;
    let dialog = "[...document.querySelectorAll('dialog[open]')].length";
    for scheme in ["dark", "light"] {
        browser.prefers(scheme).await;
        for width in [390, 768, 1440] {
            browser.resize(width, 900).await;
            for view in ["transfers", "rules", "history", "settings"] {
                browser.value(&format!("document.querySelector('[data-go={view}]').click()")).await;
                let ready = format!(
                    "document.body.dataset.view === '{view}' && (document.body.dataset.view !== 'settings' || document.querySelectorAll('#settings-body .card').length === 6)"
                );
                browser.wait_for(&ready).await;
                browser.assert_accessible().await;
                browser.picture(&format!("view-{view}-{width}-{scheme}.png")).await;
            }
            browser.value("document.querySelector('[data-go=transfers]').click()").await;
            for (name, open) in [
                ("send", "document.getElementById('send-open').click()"),
                ("help", "document.getElementById('help-open').click()"),
                ("details", "document.querySelector('#list .row.good').click()"),
                ("rules-text", "document.getElementById('rules-edit').click()"),
            ] {
                browser.value(open).await;
                browser.wait_for(&format!("{dialog} === 1")).await;
                browser.assert_accessible().await;
                browser.picture(&format!("dialog-{name}-{width}-{scheme}.png")).await;
                browser.value("document.querySelector('dialog[open]').close()").await;
                browser.wait_for(&format!("{dialog} === 0")).await;
            }
        }
    }
    assert_eq!(browser.trouble(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agent_has_its_documentation_with_it() {
    let agent = Agent::start(RULES, &[]);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut had = 0;
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/docs")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        let name = path.file_name().unwrap().to_str().unwrap();
        let answer = client.get(format!("{}/dashboard/docs/{name}", agent.url())).send().await.unwrap();
        if answer.status() == 200 {
            had += 1;
            assert_eq!(answer.text().await.unwrap(), std::fs::read_to_string(&path).unwrap(), "{name}");
        }
    }
    assert!(had >= 25, "{had} pages");
    if let Some(browser) = open(&agent).await {
        browser.press("?").await;
        browser
            .value(
                "[...document.querySelectorAll('#help .documents a')].find((e) => e.textContent === 'Rules').click()",
            )
            .await;
        browser.wait_for("document.querySelector('#reader[open] h2')?.textContent.includes('ules')").await;
        let parts = "['table', 'pre code', 'ul li', 'p code', 'a'].every((part) => document.querySelector(`#reader article ${part}`))";
        assert_eq!(browser.value(parts).await, true);
        browser.assert_accessible().await;
        // Of every page, nothing of its markup is left in its text.
        let left = "(async () => {
            const { read } = await import('/dashboard/reader.js');
            const left = [];
            for (const { textContent, href } of document.querySelectorAll('#help .documents a')) {
                await read(href.split('/').at(-1));
                for (const e of document.querySelectorAll('#reader article :is(p, li, td, h2, h3)')) {
                    const own = [...e.childNodes].filter((n) => n.nodeType === 3).map((n) => n.data).join('');
                    if (/\\*\\*|\\]\\(|^#+ /.test(own)) left.push(`${textContent}: ${own}`);
                }
            }
            return left;
        })()";
        assert_eq!(browser.value(left).await, json!([]));
        assert_eq!(browser.trouble(), Vec::<String>::new());
    }
    let none = client.get(format!("{}/dashboard/docs/none.md", agent.url())).send().await.unwrap();
    assert_eq!(none.status(), 404);
}
