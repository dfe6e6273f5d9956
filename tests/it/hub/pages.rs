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

/// Case: HTML and scripts in the names and texts of a package, and ranges of files and of the ZIP.
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

/// Case: the name of a package was shown before its password was asked.
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

/// Case: the page of a portal did not say who receives the files; its colour, logo and background were dropped.
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

/// The address that a page links to in the first link behind `mark`.
fn linked(html: &str, mark: &str, part: &str) -> String {
    let behind = &html[html.find(mark).unwrap_or_else(|| panic!("{mark} in {html}"))..];
    let mut links = behind.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap());
    links.find(|link| link.contains(part)).unwrap().replace("&#x2f;", "/").replace("&amp;", "&")
}

/// The link page had no checksums: whoever received 300 files could not tell whether they are what was sent.
#[tokio::test]
async fn checksums_of_all_files_are_shown_and_listed_as_md5sum_writes_them() {
    let hub = TestHub::start().await;
    let package = hub.new_package(json!({ "name": "Day 1" })).await;
    let parts = [vec![1; 300_000], vec![2; 70_000]];
    package.send("A001", "one.mov", &[&parts[0], &parts[1]]).await;
    package.send("", "two\\three.wav", &[b"two"]).await;
    good(package.request(Method::POST, "/finalize")).await;
    let link = package.new_link(json!({ "access_limit": 1 })).await;
    let url = text(&link, "url");
    let (_, html, _) = page(&hub, Method::GET, &url, "").await;
    let sum = |bytes: &[u8]| hex::encode(<md5::Md5 as md5::Digest>::digest(bytes));
    let (one, two) = (sum(&parts.concat()), sum(b"two"));
    assert!(html.contains(&two) && !html.contains(&one), "that of more than one part is not known yet: {html}");
    let list = linked(&html, "class=\"facts lists\"", "checksums.md5");
    let answer = hub.request(Method::GET, &list).send().await.unwrap();
    assert!(answer.headers()["content-disposition"].to_str().unwrap().contains("Day 1.md5"));
    let expected = format!("\\{two}  two\\\\three.wav\n{one}  A001/one.mov\n");
    assert_eq!(answer.text().await.unwrap(), expected);
    // It is kept, and reading it was no download.
    let (_, html, _) = page(&hub, Method::GET, &url, "").await;
    assert!(html.contains(&one) && html.contains("1 download left"), "{html}");
    let (status, ..) = page(&hub, Method::GET, &list.replace("token=", "token=x"), "").await;
    assert_eq!(status, 410);
    // One whose content is gone is a comment.
    std::fs::remove_dir_all(hub.data().join("storage").join(&package.id)).unwrap();
    hub.hub.check(masv_hub::CheckAsked { repair: true, deep: false }).await.unwrap();
    let text = hub.request(Method::GET, &list).send().await.unwrap().text().await.unwrap();
    assert!(text.contains("# missing on the hub: A001/one.mov\n"), "{text}");
}

/// Files could only be downloaded. What a browser can show, it shows, in an origin of its own and with ranges; what could run is not shown.
#[tokio::test]
async fn a_file_is_seen_before_it_is_downloaded_and_nothing_of_it_runs() {
    let hub = TestHub::start().await;
    let package = hub.new_package(json!({ "name": "Stills" })).await;
    let script = b"<script>alert(document.domain)</script>";
    for (path, name) in [("", "a.png"), ("", "b.html"), ("", "c.svg"), ("", "d.txt"), ("", "e.pdf"), ("x", "f.mov")] {
        package.send(path, name, &[script]).await;
    }
    good(package.request(Method::POST, "/finalize")).await;
    let link = package.new_link(json!({})).await;
    let (_, html, _) = page(&hub, Method::GET, &text(&link, "url"), "").await;
    assert_eq!(html.matches("class=\"see\"").count(), 4, "{html}");
    let view = |name: &str| linked(&html, &format!(">{name}</span>"), "/view?");
    for (name, kind, shown) in [
        ("a.png", "image/png", "<img src=\""),
        ("d.txt", "text/plain; charset=utf-8", "<iframe src=\""),
        ("e.pdf", "application/pdf", ">Open the document</a>"),
        ("f.mov", "video/quicktime", "<video src=\""),
    ] {
        let (status, page, headers) = page(&hub, Method::GET, &view(name), "").await;
        assert!(status == 200 && page.contains(shown) && !page.contains("<script"), "{name}: {page}");
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("script-src"), "{policy}");
        let content = view(name).replace("/view?", "/content?");
        let answer = hub.request(Method::GET, &content).header("Range", "bytes=1-6").send().await.unwrap();
        let header = |header: &str| answer.headers()[header].to_str().unwrap().to_owned();
        assert_eq!((answer.status().as_u16(), header("content-type").as_str()), (206, kind));
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("cross-origin-resource-policy"), "same-origin");
        let policy = header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && !policy.contains("script"), "{policy}");
        assert_eq!(policy.starts_with("sandbox;"), name != "e.pdf", "viewers of documents need no sandbox: {policy}");
        assert!(header("content-disposition").starts_with("inline; "));
        assert_eq!(answer.text().await.unwrap(), "script");
    }
    // What could run is downloaded only, whatever address is made up for it.
    let listed = good(package.request(Method::GET, "/files")).await;
    let of = |name: &str| {
        let file = listed.as_array().unwrap().iter().find(|file| file["name"] == name).unwrap();
        text(file, "id")
    };
    let some = view("a.png");
    for (name, what) in [("b.html", "view"), ("b.html", "content"), ("c.svg", "content")] {
        let made_up = some.replace(&of("a.png"), &of(name)).replace("/view?", &format!("/{what}?"));
        let (status, body, _) = page(&hub, Method::GET, &made_up, "").await;
        assert!(status == 404 && !body.contains("alert("), "{made_up}: {body}");
    }
    // The next and the previous one that can be seen.
    let (_, d, _) = page(&hub, Method::GET, &view("d.txt"), "").await;
    assert!(d.contains("Previous<span class=\"visually-hidden\">: a.png") && d.contains(": e.pdf"), "{d}");
    // With the visit of another link there is nothing.
    let other = hub.sent_package(json!({ "name": "Other" }), b"x").await;
    let other = other.new_link(json!({})).await;
    let (_, theirs, _) = page(&hub, Method::GET, &text(&other, "url"), "").await;
    let token = linked(&theirs, "class=\"button large\"", "/files/").split_once("token=").unwrap().1.to_owned();
    let path = view("a.png").split_once("token=").unwrap().0.to_owned();
    let (status, ..) = page(&hub, Method::GET, &format!("{path}token={token}"), "").await;
    assert_eq!(status, 410);
    let moved = path.replace(&text(&link, "id"), &text(&other, "id"));
    let (status, ..) = page(&hub, Method::GET, &format!("{moved}token={token}"), "").await;
    assert_eq!(status, 404, "the file of another package");
}

/// What is seen is delivered: it is counted, and the team is told.
#[tokio::test]
async fn what_was_seen_counts_as_downloaded() {
    let hub = TestHub::start().await;
    let package = hub.new_package(json!({ "name": "Still" })).await;
    package.send("", "a.png", &[b"picture"]).await;
    good(package.request(Method::POST, "/finalize")).await;
    let link = package.new_link(json!({ "access_limit": 1 })).await;
    let (_, html, _) = page(&hub, Method::GET, &text(&link, "url"), "").await;
    let content = linked(&html, "class=\"see\"", "/view?").replace("/view?", "/content?");
    assert_eq!(hub.request(Method::GET, &content).send().await.unwrap().text().await.unwrap(), "picture");
    let (status, ..) = page(&hub, Method::GET, &text(&link, "url"), "").await;
    assert_eq!(status, 403, "its one download was used");
    crate::support::wait_until("it is known", std::time::Duration::from_secs(20), async || {
        let downloads = good(package.request(Method::GET, "/downloads")).await;
        downloads[0]["state"] == "complete"
    })
    .await;
}

/// The sender's own checksum lists are offered beside those of the hub.
#[tokio::test]
async fn checksum_lists_of_the_sender_are_offered() {
    let hub = TestHub::start().await;
    let package = hub.new_package(json!({ "name": "Card" })).await;
    package.send("", "a.mov", &[b"a"]).await;
    package.send("ascmhl", "0001_Card.mhl", &[b"<hashlist/>"]).await;
    good(package.request(Method::POST, "/finalize")).await;
    let (_, html, _) = page(&hub, Method::GET, &text(&package.new_link(json!({})).await, "url"), "").await;
    let lists = &html[html.find("class=\"facts lists\"").unwrap()..];
    assert!(lists.contains(">0001_Card.mhl</a>") && lists.contains("from the sender"), "{html}");
    let file = linked(&html, "class=\"facts lists\"", "/files/");
    assert_eq!(hub.request(Method::GET, &file).send().await.unwrap().text().await.unwrap(), "<hashlist/>");
}

/// The page of a link had no logo and no brand: only portals did.
#[tokio::test]
async fn the_page_of_a_link_looks_as_its_team_has_chosen_or_the_portal() {
    let hub = TestHub::start().await;
    let brand = format!("/v1/teams/{}/brand", hub.team);
    let package = hub.sent_package(json!({ "name": "Cut" }), b"x").await;
    let url = text(&package.new_link(json!({})).await, "url");
    let (_, html, headers) = page(&hub, Method::GET, &url, "").await;
    assert!(!html.contains("class=\"logo\"") && !html.contains("brand.css"), "{html}");
    assert!(!headers["content-security-policy"].to_str().unwrap().contains("logos.example.com"));
    let given = json!({ "primary_color": "#ABC", "logo_url": "https://logos.example.com/l.png" });
    let set = good(hub.team_request(Method::PUT, &brand).json(&given)).await;
    assert_eq!((&set["primary_color"], &set["background_url"]), (&json!("#aabbcc"), &json!("")));
    let (_, html, headers) = page(&hub, Method::GET, &url, "").await;
    assert!(html.contains("<img class=\"logo\" src=\"https:&#x2f;&#x2f;logos.example.com"), "{html}");
    let policy = headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("img-src 'self' https://logos.example.com;") && !policy.contains("script-src"), "{policy}");
    let sheet = linked(&html, "<head>", "brand.css");
    let sheet = hub.request(Method::GET, &sheet).send().await.unwrap().text().await.unwrap();
    assert!(sheet.contains("background: #aabbcc; color: #111;"), "{sheet}");
    // One field changes, the others stay; what is no colour or no address is refused by its name.
    let set = good(hub.team_request(Method::PUT, &brand).json(&json!({ "logo_url": "" }))).await;
    assert_eq!((&set["primary_color"], &set["logo_url"]), (&json!("#aabbcc"), &json!("")));
    for (field, value) in [("primary_color", "red"), ("logo_url", "javascript:alert(1)"), ("background_url", "x.png")] {
        let said =
            super::client::refused(hub.team_request(Method::PUT, &brand).json(&json!({ field: value })), 400).await;
        assert!(said.starts_with(field), "{said}");
    }
    // Of a package with a password nothing is shown before it.
    let locked = hub.sent_package(json!({ "name": "Locked", "password": "sesame" }), b"x").await;
    let (_, html, _) = page(&hub, Method::GET, &text(&locked.new_link(json!({})).await, "url"), "").await;
    assert!(!html.contains("brand.css"), "{html}");
}
