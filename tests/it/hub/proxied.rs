//! The hub behind a proxy, set up as docs/hub.md says.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;

use super::client::{TestHub, good, text};

/// With this variable set, a missing nginx fails the test instead of skipping it.
const NEEDED: &str = "MASV_NEED_NGINX";

struct Proxy(Child);

impl Drop for Proxy {
    fn drop(&mut self) {
        // Stopped, not killed: otherwise its workers would continue without it.
        let _ = rustix::process::kill_process(rustix::process::Pid::from_child(&self.0), rustix::process::Signal::TERM);
        let _ = self.0.wait();
    }
}

/// The configuration in the documentation.
fn documented() -> String {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/hub.md")).unwrap();
    page.split("```nginx\n").nth(1).unwrap().split("```").next().unwrap().to_owned()
}

/// Case: the nginx example of the documentation limited nothing, and passed on `X-Forwarded-Host` as a caller had written it.
#[test]
fn the_documented_nginx_limits_each_address_and_passes_on_no_host_of_a_caller() {
    let documented = documented();
    for line in [
        "limit_conn_zone $binary_remote_addr ",
        "limit_req_zone $binary_remote_addr ",
        "limit_conn masv_connections ",
        "limit_req zone=masv_requests ",
        "proxy_set_header Host $http_host;",
        "proxy_set_header X-Forwarded-Host \"\";",
    ] {
        assert!(documented.contains(line), "{line}");
    }
}

/// Case: the nginx example of the documentation works as it is written, and callers behind it are told apart.
#[tokio::test(flavor = "multi_thread")]
async fn large_parts_pass_through_the_documented_nginx_and_the_caller_is_known() {
    let is_there = Command::new("nginx").arg("-v").stderr(Stdio::null()).status().is_ok();
    if !is_there {
        assert!(std::env::var_os(NEEDED).is_none(), "nginx is not installed, and {NEEDED} is set");
        return eprintln!("no nginx here: its configuration is not tried");
    }
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let public = format!("https://localhost:{port}");
    let hub = TestHub::start_with(|config| {
        config.public_url = Some(public.parse().unwrap());
        config.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(at("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(at("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let server = documented()
        .replace("listen 443 ssl", &format!("listen 127.0.0.1:{port} ssl"))
        .replace("/etc/letsencrypt/live/files.example.com/fullchain.pem", &at("cert.pem"))
        .replace("/etc/letsencrypt/live/files.example.com/privkey.pem", &at("key.pem"))
        .replace("/var/log/nginx/masv-hub.log", &at("access.log"))
        .replace("files.example.com", "localhost")
        .replace("127.0.0.1:8090", hub.base.trim_start_matches("http://"));
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|what| format!("{what}_temp_path {};\n", at(what)))
        .collect();
    let whole = format!(
        "daemon off; error_log stderr; pid {};\nevents {{}}\nhttp {{\n{temporary}{server}\n}}\n",
        at("nginx.pid")
    );
    std::fs::write(at("nginx.conf"), whole).unwrap();
    let nginx = Command::new("nginx").args(["-p", &at(""), "-c", &at("nginx.conf")]).stderr(Stdio::null()).spawn();
    let _nginx = Proxy(nginx.unwrap());
    let trusted = reqwest::Certificate::from_pem(made.cert.pem().as_bytes()).unwrap();
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([trusted]).build().unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while client.get(format!("{public}/healthz")).send().await.is_err() {
        assert!(Instant::now() < deadline, "nginx does not come up");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let made = hub.team_request(Method::POST, &format!("/v1/teams/{}/packages", hub.team));
    let made = good(made.json(&json!({ "name": "Through nginx" }))).await;
    let (id, token) = (text(&made, "id"), text(&made, "access_token"));
    let post = |path: &str| client.post(format!("{public}/v1/packages/{id}{path}")).header("X-Package-Token", &token);
    let bytes = crate::support::content(3, 20 << 20);
    let file = good(post("/files").json(&json!({ "name": "a.mov", "size": bytes.len() }))).await;
    let file = text(&file["file"], "id");
    let part = text(&good(post(&format!("/files/{file}?start=0&count=1"))).await[0], "url");
    assert!(part.starts_with(&public), "parts go through the proxy as well: {part}");
    let stored = client.put(&part).body(bytes.clone()).send().await.unwrap();
    assert_eq!(stored.status(), 200);
    let etag = stored.headers()["etag"].to_str().unwrap().to_owned();
    let closing = json!({ "size": bytes.len(), "chunk_extras": [{ "partNumber": "1", "etag": etag }] });
    good(post(&format!("/files/{file}/finalize")).json(&closing)).await;
    good(post("/finalize")).await;
    let link = good(post("/links")).await;
    let page = client.get(text(&link, "url")).header("Accept", "text/html").send().await.unwrap().text().await.unwrap();
    let href = page.split("href=\"").find(|part| part.contains("/files/")).unwrap().split('"').next().unwrap();
    let href = href.replace("&amp;", "&").replace("&#x2f;", "/");
    let got = client.get(format!("{public}{href}")).send().await.unwrap().bytes().await.unwrap();
    assert!(got == bytes, "the same bytes");
    let guess = json!({ "email": "a@example.com", "password": "wrong" });
    for _ in 0..10 {
        let asked = client.post(format!("{public}/v1/auth")).header("X-Forwarded-For", "6.6.6.6").json(&guess);
        assert_eq!(asked.send().await.unwrap().status(), 401);
    }
    let other = hub.request(Method::POST, "/v1/auth").header("X-Forwarded-For", "192.0.2.7").json(&guess);
    assert_eq!(other.send().await.unwrap().status(), 401, "callers are told apart");
    let log = std::fs::read_to_string(at("access.log")).unwrap();
    assert!(log.contains(&format!("/storage/{id}/{file} 200")) && !log.contains("signature="), "{log}");
    assert!(!log.contains(&text(&link, "download_secret")));
}
