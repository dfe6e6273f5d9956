//! Standing in front of the internet: TLS, proxies, limits, headers.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use masv_hub::TlsConfig;
use reqwest::Method;
use serde_json::json;

use super::client::{CODE, TestHub, good, refused, text};

/// A fresh certificate for localhost and its key, as PEM.
pub fn certificate() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

/// Whether the hub at `port` shows this certificate, on a new connection.
pub async fn shows(port: u16, certificate: &str) -> bool {
    let trusted = reqwest::Certificate::from_pem(certificate.as_bytes()).unwrap();
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([trusted]).build().unwrap();
    let answer = client.get(format!("https://localhost:{port}/healthz")).send().await;
    answer.is_ok_and(|answer| answer.headers().contains_key("strict-transport-security"))
}

#[tokio::test]
async fn a_new_certificate_is_taken_while_the_hub_runs_and_a_bad_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let files = TlsConfig { certificate: folder.path().join("cert.pem"), key: folder.path().join("key.pem") };
    let (first, second) = (certificate(), certificate());
    let write = |(certificate, key): &(String, String)| {
        std::fs::write(&files.certificate, certificate).unwrap();
        std::fs::write(&files.key, key).unwrap();
    };
    write(&first);
    let hub = TestHub::start_with(|config| config.tls = Some(files.clone())).await;
    let port = url::Url::parse(&hub.base).unwrap().port().unwrap();
    assert!(shows(port, &first.0).await && !shows(port, &second.0).await);
    std::fs::write(&files.key, "no key").unwrap();
    hub.hub.reload_certificate().await;
    std::fs::write(&files.certificate, &second.0).unwrap();
    hub.hub.reload_certificate().await;
    assert!(shows(port, &first.0).await, "half a change is none");
    std::fs::write(&files.key, &second.1).unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while !shows(port, &second.0).await {
        assert!(Instant::now() < deadline, "files that changed are read without being told");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(!shows(port, &first.0).await);
}

async fn sign_in(hub: &TestHub, forwarded: &str, email: &str) -> u16 {
    let body = json!({ "email": email, "password": "wrong" });
    let request = hub.request(Method::POST, "/v1/auth").header("X-Forwarded-For", forwarded).json(&body);
    request.send().await.unwrap().status().as_u16()
}

/// Case: whoever guesses writes another `X-Forwarded-For` each time: an untrusted caller's word is ignored.
#[tokio::test]
async fn only_a_trusted_proxy_says_who_is_calling() {
    let hub = TestHub::start().await;
    for guess in 0..10 {
        assert_eq!(sign_in(&hub, &format!("192.0.2.{guess}"), "a@example.com").await, 401);
    }
    assert_eq!(sign_in(&hub, "192.0.2.99", "a@example.com").await, 429, "its own word is not taken");

    let hub = TestHub::start_with(|config| config.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()]).await;
    for _ in 0..10 {
        assert_eq!(sign_in(&hub, "6.6.6.6, 192.0.2.1", "a@example.com").await, 401);
    }
    assert_eq!(sign_in(&hub, "7.7.7.7, 192.0.2.1", "a@example.com").await, 429);
    assert_eq!(sign_in(&hub, "192.0.2.2", "a@example.com").await, 401, "others may try");
}

/// `X-Forwarded-Host` was believed as a caller had written it, and its name stood in the links that the hub gave out.
#[tokio::test]
async fn only_a_trusted_proxy_says_by_which_address_the_hub_is_reached() {
    for (trusted, base) in [(true, "https://files.example.com/"), (false, "http://files.example.com/")] {
        let hub = TestHub::start_with(|config| {
            if trusted {
                config.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
            }
        })
        .await;
        let package = hub.sent_package(json!({ "name": "x" }), b"x").await;
        let asked = package.request(Method::POST, "/links").header("X-Forwarded-Proto", "https");
        let asked = asked.header("Host", "files.example.com").header("X-Masv-Scheme", "gopher");
        // A proxy passes on what a caller wrote there.
        let link = good(asked.header("X-Forwarded-Host", "evil.example.com")).await;
        assert!(text(&link, "url").starts_with(base), "{link}");
    }
}

/// Passwords of people and links and the codes of portals: of each ten wrong ones, and then not even the right one for a while.
#[tokio::test]
async fn guessing_is_slowed_for_passwords_of_people_links_and_portals() {
    let hub = TestHub::start().await;
    let password = "correct horse".to_owned().into();
    hub.hub.put_user("Team", "ed@example.com", "Ed", &password, masv_hub::Role::Sender).await.unwrap();
    let package = hub.sent_package(json!({ "name": "Locked", "password": "right" }), b"x").await;
    let link = package.new_link(json!({})).await;
    let portal = good(hub.request(Method::GET, "/v1/subdomains/portals/closed")).await;
    let open = format!("/v1/links/{}?secret={}", text(&link, "id"), text(&link, "download_secret"));
    let send = format!("/v1/portals/{}/packages", text(&portal, "id"));
    let ask = |what: &str, guess: &str| match what {
        "person" => {
            hub.request(Method::POST, "/v1/auth").json(&json!({ "email": "ed@example.com", "password": guess }))
        }
        "link" => hub.request(Method::GET, &open).header("X-Link-Password", guess),
        _ => hub.request(Method::POST, &send).json(&json!({ "sender": "a@example.com", "access_code": guess })),
    };
    for (what, right) in [("person", "correct horse"), ("link", "right"), ("portal", CODE)] {
        for guess in 0..10 {
            refused(ask(what, &format!("wrong {guess}")), 401).await;
        }
        let stopped = ask(what, right).send().await.unwrap();
        assert_eq!(stopped.status(), 429, "{what}");
        let wait: u64 = stopped.headers()["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=300).contains(&wait), "{what}");
    }
}

/// Case: one password is tried on sixty accounts, a single guess at each.
#[tokio::test]
async fn one_address_does_not_try_one_password_on_everybody() {
    let hub = TestHub::start().await;
    let mut last = 0;
    for person in 0..60 {
        last = sign_in(&hub, "", &format!("person{person}@example.com")).await;
        if last == 429 {
            break;
        }
    }
    assert_eq!(last, 429);
}

/// Sends raw bytes; what comes back until the other side closes or says no more for a second.
fn raw(hub: &TestHub, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(hub.base.trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// Case: bodies and heads without an end, in length and in time.
#[tokio::test(flavor = "multi_thread")]
async fn bodies_heads_and_times_have_limits() {
    let hub = TestHub::start_with(|config| config.head_limit = Duration::from_millis(500)).await;
    for (path, bytes) in [("packages", 600 << 10), ("tags", 65 << 10), ("members", 9 << 20)] {
        let large = format!("{{\"name\":\"{}\"}}", "x".repeat(bytes));
        refused(hub.team_request(Method::POST, &format!("/v1/teams/{}/{path}", hub.team)).body(large), 413).await;
    }
    let many: String = (0..200).map(|number| format!("x-{number}: y\r\n")).collect();
    let answer = raw(&hub, format!("GET /healthz HTTP/1.1\r\nhost: x\r\n{many}\r\n").as_bytes());
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let long = format!("GET /healthz HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(600_000));
    assert!(!raw(&hub, long.as_bytes()).starts_with("HTTP/1.1 200"));
    let begun = Instant::now();
    let answer = raw(&hub, b"GET /healthz HTTP/1.1\r\nhost: x\r\n");
    assert!(!answer.contains("200 OK") && begun.elapsed() < Duration::from_secs(5), "a head that never ends: {answer}");
}

/// Case: all connections are taken: who comes then waits for one to end and is not lost.
#[tokio::test(flavor = "multi_thread")]
async fn connections_beyond_the_limit_wait_for_one_to_end() {
    let hub = TestHub::start_with(|config| config.max_connections = 1).await;
    // Provisioning is done; nothing else is connected yet.
    let idle = TcpStream::connect(hub.base.trim_start_matches("http://")).unwrap();
    let mut first = idle.try_clone().unwrap();
    first.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let mut begun = [0; 12];
    first.read_exact(&mut begun).unwrap();
    assert_eq!(&begun, b"HTTP/1.1 200");
    let asked = tokio::spawn(hub.request(Method::GET, "/healthz").send());
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!asked.is_finished(), "it waits");
    idle.shutdown(std::net::Shutdown::Both).unwrap();
    assert_eq!(asked.await.unwrap().unwrap().status(), 200);
}

/// Heads of one address that did not come to an end took all connections for a minute, again and again.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn one_address_with_heads_that_do_not_end_leaves_room_for_others() {
    use tokio::io::AsyncWriteExt;

    let hub = TestHub::start_with(|config| {
        config.max_connections = 20;
        config.max_connections_per_address = 10;
    })
    .await;
    let mut held = Vec::new();
    for _ in 0..40 {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        let mut stream = socket.connect(hub.base.trim_start_matches("http://").parse().unwrap()).await.unwrap();
        let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n").await;
        held.push(stream);
    }
    let begun = Instant::now();
    for _ in 0..5 {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        assert_eq!(client.get(format!("{}/healthz", hub.base)).send().await.unwrap().status(), 200);
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    drop(held);
}

/// Case: no answer, of the API, a page or the storage, may be framed, kept or run as something else.
#[tokio::test]
async fn every_answer_is_closed_to_frames_scripts_and_caches() {
    let hub =
        TestHub::start_with(|config| config.public_url = Some("https://files.example.com".parse().unwrap())).await;
    for (path, accept) in [
        ("/healthz", "*/*"),
        ("/v1/nothing", "*/*"),
        ("/v1/system/packages/spec", "*/*"),
        ("/", "text/html"),
        ("/portals/open", "text/html"),
        ("/portals/nothing", "text/html"),
        ("/assets/portal.js", "*/*"),
        ("/assets/icon.svg", "*/*"),
        ("/storage/P/F", "*/*"),
        ("/01ARZ3NDEKTSV4RRFFQ69G5FAV?secret=x", "text/html"),
    ] {
        let answer = hub.request(Method::GET, path).header("Accept", accept).send().await.unwrap();
        let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap()).unwrap_or_default();
        assert_eq!((header("x-content-type-options"), header("x-frame-options")), ("nosniff", "DENY"), "{path}");
        assert_eq!((header("referrer-policy"), header("x-robots-tag")), ("no-referrer", "noindex, nofollow"), "{path}");
        assert!(header("strict-transport-security").starts_with("max-age="), "{path}");
        let policy = header("content-security-policy");
        assert!(
            policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{path}: {policy}"
        );
        assert!(!policy.contains("unsafe") && !policy.contains('*'), "{path}: {policy}");
        if !path.starts_with("/assets") && !path.starts_with("/storage") {
            assert_eq!(header("cache-control"), "no-store", "{path}");
        }
    }
}
