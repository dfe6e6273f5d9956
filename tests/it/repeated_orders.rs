//! Orders that are repeated because their answer was lost: carried out once.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::process::Agent;

/// An order with a key; the status and the answer.
async fn order(agent: &Agent, path: &str, key: &str, body: &str) -> (StatusCode, Value) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.post(format!("{}/api/v1/{path}", agent.url())).header("content-type", "application/json");
    let answer = request.header("Idempotency-Key", key).body(body.to_owned()).send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

fn count(agent: &Agent) -> usize {
    agent.json(&["upload", "ls"])["transfers"].as_array().unwrap().len()
}

/// The same order, sent twice because its answer was lost, made two packages.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_order_with_the_same_key_is_one_upload_over_restarts_too() {
    let mut agent = Agent::start("", &[]);
    let file = agent.path("clip.mov");
    std::fs::write(&file, "content").unwrap();
    let body = json!({ "paths": [file], "package_name": "Dailies", "password": "hush" }).to_string();
    let (status, first) = order(&agent, "uploads", "order-1", &body).await;
    assert!(status == StatusCode::CREATED && first["link"].is_string(), "{status} {first}");
    // However its JSON is written, and whatever has become of the files.
    std::fs::remove_file(&file).unwrap();
    let spaced = json!({ "password": "hush", "package_name": "Dailies", "paths": [file], "priority": 0 });
    assert_eq!(order(&agent, "uploads", "order-1", &format!("{spaced:#}")).await, (status, first.clone()));
    let other = json!({ "paths": [file], "package_name": "Dailies", "password": "other" }).to_string();
    let (status, refused) = order(&agent, "uploads", "order-1", &other).await;
    assert!(status == 422 && refused["hint"].as_str().unwrap().contains("new key"), "{status} {refused}");
    let portal = json!({ "paths": [file], "subdomain": "acme", "sender": "a@b.example" }).to_string();
    assert_eq!(order(&agent, "uploads/portal", "order-1", &portal).await.0, 422);
    assert_eq!(agent.stop(), Some(0));
    agent.go_on();
    let (status, again) = order(&agent, "uploads", "order-1", &body).await;
    assert_eq!((status.as_u16(), &again["upload_id"], count(&agent)), (201, &first["upload_id"], 1));
    // A late repetition does not send what somebody has removed.
    let id = first["upload_id"].as_str().unwrap();
    assert!(agent.masv(&["upload", "rm", id]).status.success());
    std::fs::write(&file, "content").unwrap();
    let (status, gone) = order(&agent, "uploads", "order-1", &body).await;
    assert!(status == StatusCode::CONFLICT && gone["message"].as_str().unwrap().contains("was removed"), "{gone}");
    assert_eq!(order(&agent, "uploads", "order-2", &body).await.0, StatusCode::CREATED);
    for key in ["", "two words", &"x".repeat(256)] {
        assert_eq!(order(&agent, "uploads", key, &body).await.0, StatusCode::BAD_REQUEST, "{key:?}");
    }
    assert_eq!(count(&agent), 1);
}

/// Lets the first request through to the agent and breaks off before its answer; the others get theirs.
fn breaks_the_first(agent: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let agent = agent.trim_start_matches("http://").to_owned();
    std::thread::spawn(move || {
        for (number, near) in listener.incoming().enumerate() {
            let (near, far) = (near.unwrap(), TcpStream::connect(&agent).unwrap());
            pass(near.try_clone().unwrap(), far.try_clone().unwrap());
            if number == 0 {
                let _ = (&far).read(&mut [0; 64]);
                let _ = near.shutdown(std::net::Shutdown::Both);
            } else {
                pass(far, near);
            }
        }
    });
    address
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    std::thread::spawn(move || {
        let mut block = [0; 4096];
        while let Ok(length) = from.read(&mut block) {
            if length == 0 || to.write_all(&block[..length]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(std::net::Shutdown::Write);
    });
}

/// Case: the same order twice, because its answer was lost, by the command line.
#[test]
fn the_command_line_repeats_an_order_whose_answer_was_lost_and_it_is_one_upload() {
    let agent = Agent::start("", &[]);
    std::fs::write(agent.path("clip.mov"), "content").unwrap();
    let between = breaks_the_first(&agent.url());
    let output = agent.masv(&["--server", &between, "upload", "start", "link", "clip.mov"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let started: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(started["link"].is_string() && count(&agent) == 1, "{started}");
    // A script that is run again gives the key itself.
    let start = ["upload", "start", "link", "clip.mov", "--idempotency-key", "nightly-2026-11-28"];
    assert_eq!(agent.json(&start)["upload_id"], agent.json(&start)["upload_id"]);
    assert_eq!(count(&agent), 2);
    let bad = agent.masv(&["upload", "start", "link", "clip.mov", "--idempotency-key", "zwei\nZeilen"]);
    assert_eq!(bad.status.code(), Some(2), "{}", String::from_utf8_lossy(&bad.stderr));
}
