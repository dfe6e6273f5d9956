//! Requests and connections as only an attacker makes them: where a body ends, how long a head is, TLS that is old or silent.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use masv_hub::TlsConfig;
use reqwest::Method;
use serde_json::json;

use super::client::{TestHub, good, text};
use super::hardening::{certificate, shows};

/// Sends raw bytes; what comes back until the other side closes, or says nothing for so long.
fn exchange(hub: &TestHub, bytes: &[u8], patience: Duration) -> Vec<u8> {
    let address = hub.base.trim_start_matches("http://").trim_start_matches("https://");
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(patience)).unwrap();
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}

/// The statuses of all answers on one connection.
async fn statuses(hub: &TestHub, bytes: impl Into<Vec<u8>>) -> Vec<u16> {
    let bytes = bytes.into();
    tokio::task::block_in_place(|| {
        let answer = exchange(hub, &bytes, Duration::from_secs(2));
        let answer = String::from_utf8_lossy(&answer).into_owned();
        answer.split("HTTP/1.1 ").skip(1).map(|rest| rest[..3].parse().unwrap()).collect()
    })
}

/// Two programs that see the end of a body at different places take one's body for the other's request: what says its length twice, or in
/// a way that can be read differently, is refused, and nothing that follows on the connection is taken for a request.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_could_end_at_two_places_is_refused_and_ends_its_connection() {
    let hub = TestHub::start().await;
    let next = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    for (what, head) in [
        ("two lengths", "Content-Length: 5\r\nContent-Length: 6\r\n"),
        ("a list of lengths", "Content-Length: 5, 6\r\n"),
        ("a negative length", "Content-Length: -5\r\n"),
        ("a length with a sign", "Content-Length: +5\r\n"),
        ("a length that is none", "Content-Length: 0x5\r\n"),
        ("an encoding that does not end", "Transfer-Encoding: identity\r\n"),
        ("one that ends in another", "Transfer-Encoding: chunked, gzip\r\n"),
        ("a misspelt one", "Transfer-Encoding: xchunked\r\n"),
        ("a header that is folded", "X-A: b\r\n c\r\nContent-Length: 5\r\n"),
        ("a space before the colon", "Content-Length : 5\r\n"),
    ] {
        let request = format!("POST /v1/auth HTTP/1.1\r\nHost: x\r\n{head}\r\n0\r\n\r\n{next}");
        assert_eq!(statuses(&hub, request).await, [400], "{what}");
    }
    // An encoding comes with HTTP/1.1 only.
    let old = format!("POST /v1/auth HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{next}");
    let old = statuses(&hub, old).await;
    assert!(old.is_empty() || old == [400], "{old:?}");
    // With a length and an encoding, the encoding alone counts, and nothing that follows is taken for a request.
    for head in [
        "Content-Length: 100\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 100\r\n",
    ] {
        let both = format!("POST /v1/auth HTTP/1.1\r\nHost: x\r\n{head}\r\n0\r\n\r\n{next}");
        let answers = statuses(&hub, both).await;
        assert!(matches!(answers.as_slice(), [400 | 401]), "{head}: {answers:?}");
    }
    // What is right goes on: a body in chunks, the next request on the same connection.
    let right =
        format!("POST /v1/auth HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n{next}");
    assert_eq!(statuses(&hub, right).await.last(), Some(&200));
}

/// An address that is too long is told so, and a head that is too long for anything as well: neither is taken for something shorter.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_or_a_head_that_is_too_long_is_refused_as_such() {
    let hub = TestHub::start().await;
    for (length, expected) in [(8_000, &[404][..]), (65_536, &[414, 431]), (600_000, &[414, 431])] {
        let request = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(length));
        let answers = statuses(&hub, request).await;
        assert!(answers.len() == 1 && expected.contains(&answers[0]), "{length}: {answers:?}");
    }
    let long = format!("GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: {}\r\n\r\n", "y".repeat(600_000));
    assert_eq!(statuses(&hub, long).await, [431]);
    assert_eq!(good(hub.request(Method::GET, "/healthz")).await["status"], "ok");
}

/// A JSON body that trickles holds its connection for 20 seconds, and is then told why.
#[tokio::test(flavor = "multi_thread")]
async fn a_json_body_that_comes_too_slowly_is_ended_with_408() {
    let hub = TestHub::start().await;
    let address = hub.base.trim_start_matches("http://").to_owned();
    let answer = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        stream.write_all(b"POST /v1/auth HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{").unwrap();
        let (begun, mut answer, mut block) = (Instant::now(), Vec::new(), [0; 4096]);
        while begun.elapsed() < Duration::from_secs(60) && !answer.windows(4).any(|four| four == b"\r\n\r\n") {
            let _ = stream.write_all(b" ");
            match stream.read(&mut block) {
                Ok(0) => break,
                Ok(size) => answer.extend_from_slice(&block[..size]),
                Err(_) => {}
            }
        }
        (begun.elapsed(), String::from_utf8_lossy(&answer).into_owned())
    });
    let (took, answer) = answer.await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408"), "{took:?}: {answer}");
    assert!(took >= Duration::from_secs(19) && took < Duration::from_secs(45), "{took:?}");
}

/// The first message of a TLS handshake, as a client sends it that knows this version and none later.
fn client_hello(version: u16) -> Vec<u8> {
    let [major, minor] = version.to_be_bytes();
    let ciphers: [u16; 6] = [0xc02b, 0xc02f, 0xc009, 0xc013, 0x002f, 0x000a];
    let mut body = vec![major, minor];
    body.extend([7; 32]);
    body.push(0);
    body.extend(u16::try_from(ciphers.len() * 2).unwrap().to_be_bytes());
    ciphers.iter().for_each(|cipher| body.extend(cipher.to_be_bytes()));
    body.extend([1, 0]);
    // Which curves and signatures it knows; not that it knows TLS 1.3.
    let extensions: &[u8] = &[0, 10, 0, 6, 0, 4, 0, 23, 0, 29, 0, 11, 0, 2, 1, 0, 0, 13, 0, 8, 0, 6, 4, 3, 8, 4, 4, 1];
    body.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
    body.extend(extensions);
    let mut hello = vec![1, 0];
    hello.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
    hello.extend(body);
    let mut record = vec![22, 3, 1];
    record.extend(u16::try_from(hello.len()).unwrap().to_be_bytes());
    record.extend(hello);
    record
}

/// TLS 1.0 and 1.1 are refused with the alert that says why, 1.2 is answered; whoever connects and says nothing is let go after ten seconds,
/// and meanwhile others come in.
#[tokio::test(flavor = "multi_thread")]
async fn old_tls_is_refused_and_a_silent_handshake_ends() {
    let folder = tempfile::tempdir().unwrap();
    let files = TlsConfig { certificate: folder.path().join("cert.pem"), key: folder.path().join("key.pem") };
    let (pem, key) = certificate();
    std::fs::write(&files.certificate, &pem).unwrap();
    std::fs::write(&files.key, &key).unwrap();
    let hub = TestHub::start_with(|config| config.tls = Some(files.clone())).await;
    let port = url::Url::parse(&hub.base).unwrap().port().unwrap();
    let told = |version| tokio::task::block_in_place(|| exchange(&hub, &client_hello(version), Duration::from_secs(3)));
    for version in [0x0301, 0x0302] {
        let answer = told(version);
        // A fatal alert: protocol_version.
        assert!(answer.len() >= 7 && answer[0] == 21 && answer[5..7] == [2, 70], "{version:x}: {answer:?}");
    }
    let answer = told(0x0303);
    assert!(answer.first() == Some(&22), "a handshake goes on: {answer:?}");
    let begun = Instant::now();
    let silent = tokio::task::spawn_blocking({
        let address = format!("127.0.0.1:{port}");
        move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest);
        }
    });
    assert!(shows(port, &pem).await, "others come in");
    silent.await.unwrap();
    assert!(
        begun.elapsed() >= Duration::from_secs(5) && begun.elapsed() < Duration::from_secs(40),
        "{:?}",
        begun.elapsed()
    );
}

/// How long an answer to this takes, at least, of some.
async fn fastest(hub: &TestHub, ask: impl Fn(&TestHub) -> reqwest::RequestBuilder) -> (u16, String, Duration) {
    let mut best: Option<(u16, String, Duration)> = None;
    for _ in 0..6 {
        let begun = Instant::now();
        let answer = ask(hub).send().await.unwrap();
        let (status, body) = (answer.status().as_u16(), answer.text().await.unwrap());
        let took = begun.elapsed();
        best = match best.take() {
            Some((known, told, least)) => {
                assert_eq!((status, &body), (known, &told), "each time the same");
                Some((known, told, least.min(took)))
            }
            None => Some((status, body, took)),
        };
    }
    best.unwrap()
}

/// Whether an account, a package, a link or a portal is there, strangers learn neither by the answer nor by how long it takes: for accounts
/// a password is compared in either case.
#[tokio::test(flavor = "multi_thread")]
async fn strangers_learn_of_no_account_package_or_link_by_the_answer_or_its_time() {
    let hub = TestHub::start().await;
    let password = secrecy::SecretString::from("correct horse");
    hub.hub.put_user("Team", "ed@example.com", "Ed", &password, masv_hub::Role::Sender).await.unwrap();
    let package = hub.sent_package(json!({ "name": "There" }), b"x").await;
    let link = text(&package.new_link(json!({})).await, "id");
    let (there, nothing) = (package.id.clone(), "01ARZ3NDEKTSV4RRFFQ69G5FAV");
    let sign_in = |email: &'static str| {
        move |hub: &TestHub| {
            hub.request(Method::POST, "/v1/auth").json(&json!({ "email": email, "password": "a wrong one" }))
        }
    };
    let get = |path: String| move |hub: &TestHub| hub.request(Method::GET, &path);
    // Six guesses each: fewer than are allowed.
    let known = fastest(&hub, sign_in("ed@example.com")).await;
    let unknown = fastest(&hub, sign_in("nobody@example.com")).await;
    assert_eq!((known.0, &known.1), (unknown.0, &unknown.1));
    assert_eq!(known.0, 401);
    let (least, most) = (known.2.min(unknown.2), known.2.max(unknown.2));
    assert!(most < least * 4, "a hash is computed for both: {known:?} {unknown:?}");
    for path in ["/v1/packages/{}/files", "/v1/packages/{}/links", "/v1/packages/{}/metadata"] {
        let known = fastest(&hub, get(path.replace("{}", &there))).await;
        let unknown = fastest(&hub, get(path.replace("{}", nothing))).await;
        assert_eq!((known.0, &known.1), (unknown.0, &unknown.1), "{path}");
        let difference = known.2.abs_diff(unknown.2);
        assert!(difference < Duration::from_millis(100), "{path}: {known:?} {unknown:?}");
    }
    for path in ["/v1/links/{}?secret=wrong", "/v1.1/links/{}", "/{}?secret=wrong", "/{}/all.zip?token=wrong"] {
        let known = fastest(&hub, get(path.replace("{}", &link))).await;
        let unknown = fastest(&hub, get(path.replace("{}", nothing))).await;
        assert_eq!((known.0, &known.1), (unknown.0, &unknown.1), "{path}");
        assert!(known.2.abs_diff(unknown.2) < Duration::from_millis(100), "{path}: {known:?} {unknown:?}");
    }
}
