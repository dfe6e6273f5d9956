//! Operators are told what is wrong with an agent, by a real mail server and a webhook, without any monitoring.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use axum::http::StatusCode;
use serde_json::Value;

use crate::hub::smtp::MailServer;
use crate::notify::Receiver;
use crate::operations::small_disk;
use crate::process::Agent;
use crate::support::wait_until;

const LIMIT: Duration = Duration::from_secs(60);
const RULES: &str = "rules:\n  - { name: lost, watch: drop, upload: { kind: link } }\n";

fn flags(hook: &str, more: &[String]) -> Vec<String> {
    let fixed = ["--alert-after", "0s", "--alert-webhook", hook];
    fixed.into_iter().map(str::to_owned).chain(more.iter().cloned()).collect()
}

fn strings(flags: &[String]) -> Vec<&str> {
    flags.iter().map(String::as_str).collect()
}

/// Names of what is wrong in a message, and of what is over.
fn names(message: &Value) -> (Vec<&str>, Vec<&str>) {
    let list = |field: &str| message[field].as_array().unwrap().iter();
    (
        list("raised").map(|one| one["name"].as_str().unwrap()).collect(),
        list("over").map(|one| one.as_str().unwrap()).collect(),
    )
}

async fn told(receiver: &Receiver, what: &str, condition: impl Fn(&Value) -> bool) -> Value {
    wait_until(what, LIMIT, || async { receiver.messages().iter().any(&condition) }).await;
    receiver.messages().into_iter().find(condition).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_cannot_work_is_mailed_and_posted_and_again_when_it_is_over() {
    let Some(mails) = MailServer::start("starttls", 1) else { return };
    let receiver = Receiver::answering(&[StatusCode::SERVICE_UNAVAILABLE]);
    let hook = format!("http://{}/hook", receiver.listen("127.0.0.1:0").await);
    let secrets = tempfile::tempdir().unwrap();
    let secret = secrets.path().join("hook-secret");
    std::fs::write(&secret, "sesame").unwrap();
    std::fs::set_permissions(&secret, PermissionsExt::from_mode(0o600)).unwrap();
    let mut more = mails.flags(secrets.path());
    more.extend(
        ["--alert-email", "ops@example.com,night@example.com", "--alert-webhook-secret-file"].map(str::to_owned),
    );
    more.push(secret.display().to_string());

    let mut agent = Agent::start(RULES, &strings(&flags(&hook, &more)));
    // Both receivers refuse the first time.
    let of = |message: &Value| names(message).0.contains(&"folder of lost");
    let message = told(&receiver, "the folder is posted", |message| of(message)).await;
    assert!(message["text"].as_str().unwrap().contains("folder of lost: "), "{message}");
    assert!(!message["host"].as_str().unwrap().is_empty(), "{message}");
    wait_until("it is posted again, as the same message", LIMIT, || async { receiver.messages().len() >= 2 }).await;
    assert_eq!(receiver.header(0, "x-masv-delivery"), receiver.header(1, "x-masv-delivery"));
    assert_eq!(receiver.header(1, "x-masv-event"), "alert.raised");
    assert!(receiver.header(1, "x-masv-signature").starts_with("v1="));
    let mailed = |words: &str| mails.taken().into_iter().find(|mail| mail.contains(words));
    wait_until("the folder is mailed", LIMIT, || async { mailed("folder of lost: ").is_some() }).await;
    let mail = mailed("folder of lost: ").unwrap();
    for part in
        ["RCPT TO ops@example.com,night@example.com", "TLS yes", "Subject: masv on ", "Auto-Submitted: auto-generated"]
    {
        assert!(mail.contains(part), "{part}:\n{mail}");
    }

    // What was told is not told again, over a restart either.
    let before = receiver.messages().len();
    assert_eq!(agent.stop(), Some(0));
    agent.go_on();
    std::fs::create_dir(agent.path("drop")).unwrap();
    let over = told(&receiver, "that it is over", |message| names(message).1.contains(&"folder of lost")).await;
    assert_eq!((over["event"].as_str(), names(&over).0), (Some("alert.over"), vec![]));
    assert_eq!(receiver.messages().len(), before + 1, "{:?}", receiver.messages());
    wait_until("it is mailed that it is over", LIMIT, || async { mailed("folder of lost: this is over").is_some() })
        .await;
    let log = agent.log();
    assert!(!log.contains("sesame") && !log.contains("mail secret"), "a secret in the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cloud_that_cannot_be_reached_is_told() {
    let receiver = Receiver::default();
    let hook = format!("http://{}/hook", receiver.listen("127.0.0.1:0").await);
    // Nobody listens there.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let more = ["--cloud-url".to_owned(), format!("http://{free}")];
    let _agent = Agent::start("", &strings(&flags(&hook, &more)));
    let message = told(&receiver, "the cloud is told", |message| names(message).0.contains(&"cloud")).await;
    let cloud = message["raised"].as_array().unwrap().iter().find(|one| one["name"] == "cloud").unwrap();
    assert!(cloud["finding"].as_str().unwrap().contains(&free.to_string()) && !cloud["todo"].is_null(), "{cloud}");
}

/// Where the database cannot be written either.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_told_although_nothing_can_be_recorded() {
    let Some(mut disk) = small_disk() else { return };
    let receiver = Receiver::default();
    let hook = format!("http://{}/hook", receiver.listen("127.0.0.1:0").await);
    let agent = Agent::start_in(disk.folder(), "", &strings(&flags(&hook, &[])));
    // A disk of this size has little room from the beginning.
    told(&receiver, "the disk is told", |message| names(message).0.contains(&"disk")).await;
    disk.fill(&agent.path("ballast"));
    let message = told(&receiver, "the state is told", |message| names(message).0.contains(&"state")).await;
    assert!(message["text"].as_str().unwrap().contains("cannot be written"), "{message}");
    std::fs::remove_file(agent.path("ballast")).unwrap();
    told(&receiver, "there is room again", |message| names(message).1.contains(&"state")).await;
}
