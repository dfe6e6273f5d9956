//! The pages that people see.

use reqwest::Method;
use serde_json::json;

use super::client::{TestHub, good, text};

async fn page(hub: &TestHub, method: Method, url: &str, form: &str) -> (u16, String, reqwest::header::HeaderMap) {
    let request = hub.request(method, url).header("Accept", "text/html,*/*").body(form.to_owned());
    let answer = request.send().await.unwrap();
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    (status, answer.text().await.unwrap(), headers)
}

#[tokio::test]
async fn a_link_shows_its_files_as_a_tree_and_they_download() {
    let hub = TestHub::start().await;
    let body =
        json!({ "name": "<b>Day 1</b>", "description": "<script>alert(1)</script>", "sender": "dit@example.com" });
    let package = hub.new_package(body).await;
    package.send("A001/CLIP", "one & two.mov", &[b"one"]).await;
    package.send("", "notes.txt", &[b"notes"]).await;
    good(package.request(Method::POST, "/finalize")).await;
    let url = text(&package.new_link(json!({})).await, "url");
    let (status, html, headers) = page(&hub, Method::GET, &url, "").await;
    assert_eq!(status, 200);
    assert!(html.contains("&lt;b&gt;Day 1") && !html.contains("<script"), "{html}");
    for shown in ["dit@example.com", "A001", "CLIP", "one &amp; two.mov", "notes.txt", "2 files"] {
        assert!(html.contains(shown), "{shown} in {html}");
    }
    assert!(headers["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'"));
    assert_eq!(
        (&headers["referrer-policy"], &headers["cache-control"]),
        (&"no-referrer".parse().unwrap(), &"no-store".parse().unwrap())
    );
    let at = html[..html.find("notes.txt").unwrap()].rfind("href=\"").unwrap() + 6;
    let href = html[at..].split('"').next().unwrap().replace("&amp;", "&").replace("&#x2f;", "/");
    let file = hub.request(Method::GET, &href).header("Range", "bytes=1-2").send().await.unwrap();
    assert_eq!(file.status(), 206);
    assert_eq!(file.bytes().await.unwrap(), &b"ot"[..]);
    let (status, ..) = page(&hub, Method::GET, &href.replace("token=", "token=x"), "").await;
    assert_eq!(status, 410);
    let href = format!(
        "/{}",
        html.split("href=\"/").find(|part| part.contains("/all.zip")).unwrap().split('"').next().unwrap()
    );
    let whole = hub.request(Method::GET, &href).send().await.unwrap();
    assert_eq!((whole.status().as_u16(), &whole.headers()["content-type"]), (200, &"application/zip".parse().unwrap()));
    assert!(
        whole.headers()["content-disposition"].to_str().unwrap().contains("<b>Day 1<_b>.zip"),
        "{:?}",
        whole.headers()
    );
    let whole = whole.bytes().await.unwrap();
    let rest = hub.request(Method::GET, &href).header("Range", "bytes=50-").send().await.unwrap();
    assert_eq!(rest.status(), 206);
    assert_eq!(rest.bytes().await.unwrap(), whole[50..]);
    unzips(&whole, &[("A001/CLIP/one & two.mov", b"one"), ("notes.txt", b"notes")]);
    let css = hub.request(Method::GET, "/assets/hub.css").send().await.unwrap();
    assert!(css.headers()["content-type"].to_str().unwrap().starts_with("text/css"));
}

#[tokio::test]
async fn a_password_is_asked_for_and_wrong_links_say_so() {
    let hub = TestHub::start().await;
    let package =
        hub.sent_package(json!({ "name": "Locked", "password": "a&b c", "sender": "dit@example.com" }), b"x").await;
    let url = text(&package.new_link(json!({})).await, "url");
    let (status, html, _) = page(&hub, Method::GET, &url, "").await;
    assert!(status == 200 && html.contains("type=\"password\"") && !html.contains("clip.mov"));
    assert!(!html.contains("Locked") && !html.contains("dit@example.com"), "nothing of it before its password: {html}");
    let (status, html, _) = page(&hub, Method::POST, &url, "password=wrong").await;
    assert!(status == 401 && html.contains("The password is wrong"));
    let (status, html, _) = page(&hub, Method::POST, &url, "password=a%26b+c").await;
    assert!(status == 200 && html.contains("clip.mov"));
    let (status, html, _) =
        page(&hub, Method::GET, &format!("{}/01ARZ3NDEKTSV4RRFFQ69G5FAV?secret=1", hub.base), "").await;
    assert!(status == 404 && html.contains("Not found"));
    // Over, it tells who knows no password no more than before.
    let over = json!({ "unlimited_storage": false, "expiry": "2020-01-01T00:00:00Z" });
    good(package.request(Method::PUT, "/expiry").json(&over)).await;
    let (status, html, _) = page(&hub, Method::GET, &url, "").await;
    assert!(status == 410 && html.contains("Ask whoever sent you the link") && !html.contains("Locked"), "{html}");
}

/// An expired page named nobody to ask, and the page of a link not when it was sent.
#[tokio::test]
async fn a_page_says_who_sent_it_and_when_and_whom_to_ask_when_it_is_over() {
    let hub = TestHub::start().await;
    let package = hub.sent_package(json!({ "name": "Rough <cut>", "sender": "dit@example.com" }), b"x").await;
    let link = package.new_link(json!({ "access_limit": 1 })).await;
    let url = text(&link, "url");
    let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).strftime("%-d %B %Y").to_string();
    let (_, html, headers) = page(&hub, Method::GET, &url, "").await;
    assert!(html.contains("From dit@example.com") && html.contains(&format!("sent {today}")), "{html}");
    assert!(
        html.contains("class=\"button large\"") && html.contains(">Download (1 B)</a>"),
        "one file, one large button: {html}"
    );
    assert!(!headers["content-security-policy"].to_str().unwrap().contains("script-src"), "without scripts");
    let at = html.find("class=\"button large\" href=\"").unwrap() + "class=\"button large\" href=\"".len();
    let href = html[at..].split('"').next().unwrap().replace("&#x2f;", "/").replace("&amp;", "&");
    assert_eq!(hub.request(Method::GET, &href).send().await.unwrap().text().await.unwrap(), "x");
    let asked = format!("Ask dit@example.com, who sent “Rough &lt;cut&gt;” on {today}, for a new link.");
    let (status, html, _) = page(&hub, Method::GET, &url, "").await;
    assert!(status == 403 && html.contains(&asked), "{html}");
    let other = text(&package.new_link(json!({})).await, "url");
    let over = json!({ "unlimited_storage": false, "expiry": "2020-01-01T00:00:00Z" });
    good(package.request(Method::PUT, "/expiry").json(&over)).await;
    let (status, html, _) = page(&hub, Method::GET, &other, "").await;
    assert!(status == 410 && html.contains(&asked), "{html}");
    // A wrong secret is told nothing.
    let (status, html, _) = page(&hub, Method::GET, &other.replace("secret=", "secret=x"), "").await;
    assert!(status == 404 && !html.contains("dit@example.com"), "{html}");
}

/// `/` was seen as raw JSON in a browser.
#[tokio::test]
async fn a_browser_gets_a_page_at_the_root_and_where_there_is_nothing() {
    let hub = TestHub::start().await;
    for (name, value) in
        [("Accept", "application/xhtml+xml"), ("Accept", "text/*;q=0.5"), ("Sec-Fetch-Mode", "navigate")]
    {
        for (path, status) in [("/", 200), ("/index.html", 404), ("/a/b/c", 404)] {
            let answer = hub.request(Method::GET, path).header(name, value).send().await.unwrap();
            assert_eq!(answer.status(), status, "{path} {value}");
            assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("text/html"), "{path} {value}");
        }
    }
    let api = hub.request(Method::GET, "/v1/nothing").header("Accept", "text/html").send().await.unwrap();
    assert_eq!(api.headers()["content-type"], "application/json");
}

#[tokio::test]
async fn a_portal_looks_as_its_team_has_chosen_and_says_who_receives_what_is_sent() {
    let hub = TestHub::start().await;
    let portal = text(&good(hub.request(Method::GET, "/v1/subdomains/portals/open")).await, "id");
    let looks = json!({
        "primary_color": "#ffdd00", "logo_url": "https://pictures.example.com/logo.png?a=\"b", "background_url": "https://other.example.com/b.jpg",
        "metadata_fields": [{ "name": "reel", "default_value": "A001" }],
    });
    good(hub.team_request(Method::PUT, &format!("/v1/portals/{portal}")).json(&looks)).await;
    let (_, html, headers) = page(&hub, Method::GET, "/portals/open", "").await;
    assert!(
        html.contains("Your files go to Team; 1 person is told by mail.") && !html.contains("ingest@example.com"),
        "{html}"
    );
    assert!(html.contains("value=\"A001\"") && html.contains("logo.png?a=%22b"), "{html}");
    let policy = headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("img-src 'self' https://pictures.example.com https://other.example.com;"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    let css = hub.request(Method::GET, "/portals/open/brand.css").send().await.unwrap();
    assert!(css.headers()["content-type"].to_str().unwrap().starts_with("text/css"));
    let css = css.text().await.unwrap();
    assert!(
        css.contains("background: #ffdd00; color: #111;") && css.contains("url(\"https://other.example.com/b.jpg\")"),
        "{css}"
    );
    let (_, html, headers) = page(&hub, Method::GET, "/portals/closed", "").await;
    assert!(!html.contains("brand.css"));
    assert!(headers["content-security-policy"].to_str().unwrap().contains("img-src 'self'; script-src 'self'"));
}

#[tokio::test]
async fn a_portal_has_a_page_to_send_from() {
    let hub = TestHub::start().await;
    let (status, html, headers) = page(&hub, Method::GET, &format!("{}/portals/closed", hub.base), "").await;
    assert!(status == 200 && html.contains("Closed house") && html.contains("id=\"code\""), "{html}");
    let policy = headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("script-src 'self'; connect-src 'self' http://127.0.0.1:"), "{policy}");
    let (_, html, _) = page(&hub, Method::GET, &format!("{}/portals/open", hub.base), "").await;
    assert!(!html.contains("id=\"code\""));
    let (status, ..) = page(&hub, Method::GET, &format!("{}/portals/nothing", hub.base), "").await;
    assert_eq!(status, 404);
    let script = hub.request(Method::GET, "/assets/portal.js").send().await.unwrap();
    assert!(script.headers()["content-type"].to_str().unwrap().starts_with("text/javascript"));
}

/// Asserts that Python's `zipfile`, an independent implementation, finds these files intact in the archive.
/// The time of change of each entry, seconds since 1970, as the archive's directory has it.
pub fn times(archive: &[u8]) -> Vec<(String, i64)> {
    let script = "import io, json, struct, sys, zipfile\nfound = []\nfor entry in zipfile.ZipFile(io.BytesIO(sys.stdin.buffer.read())).infolist():\n\
        \x20   at = entry.extra.index(b'UT')\n    found.append([entry.filename, struct.unpack('<i', entry.extra[at + 5:at + 9])[0]])\n\
        print(json.dumps(found))";
    let mut python = std::process::Command::new("python3");
    python.args(["-c", script]).stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut python = python.spawn().unwrap();
    std::io::Write::write_all(&mut python.stdin.take().unwrap(), archive).unwrap();
    serde_json::from_slice(&python.wait_with_output().unwrap().stdout).unwrap()
}

pub fn unzips(archive: &[u8], files: &[(&str, &[u8])]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("all.zip");
    std::fs::write(&path, archive).unwrap();
    let script = "import sys, zipfile\nz = zipfile.ZipFile(sys.argv[1])\nassert z.testzip() is None\n\
        z.extractall(sys.argv[2])\nprint(len(z.namelist()))";
    let out = folder.path().join("out");
    let command = std::process::Command::new("python3").args(["-c", script]).arg(&path).arg(&out).output();
    let Ok(output) = command else { return };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), files.len().to_string());
    for (name, content) in files {
        assert_eq!(std::fs::read(out.join(name)).unwrap(), *content);
    }
}
