//! Mails to recipients.

use reqwest::Method;
use serde_json::json;

use super::client::{TestHub, good, wait_until};

/// The link in a mail's plain text, its soft line breaks undone.
fn link_of(mail: &str) -> String {
    let mail = mail.replace("=\r\n", "").replace("=3D", "=");
    let start = mail.find("Download: ").unwrap() + "Download: ".len();
    mail[start..].split_whitespace().next().unwrap().to_owned()
}

#[tokio::test]
async fn each_recipient_gets_a_link_of_its_own_once() {
    let hub = TestHub::start().await;
    let recipients = json!(["one@example.com", "two@example.com", "ONE@example.com"]);
    let package =
        hub.new_package(json!({ "name": "Für euch", "recipients": recipients, "description": "Hello" })).await;
    package.send("", "a", &[b"a"]).await;
    assert_eq!(hub.mails().len(), 0);
    for _ in 0..2 {
        good(package.request(Method::POST, "/finalize")).await;
    }
    let mails = wait_until(|| Some(hub.mails()).filter(|mails| mails.len() >= 2)).await;
    assert_eq!(mails.len(), 2);
    let links: Vec<String> = mails.iter().map(|mail| link_of(mail)).collect();
    assert_ne!(links[0], links[1]);
    for link in links {
        let page = hub.request(Method::GET, &link).header("Accept", "text/html").send().await.unwrap();
        assert_eq!(page.status(), 200, "{link}");
    }
    for recipient in ["one@example.com", "two@example.com"] {
        assert!(mails.iter().any(|mail| mail.contains(&format!("To: {recipient}"))));
    }
}

#[tokio::test]
async fn mails_that_were_owed_when_the_hub_ended_are_sent_by_the_next() {
    let hub = TestHub::start_with(|config| {
        config.smtp =
            Some(masv_agent::hub::SmtpConfig { url: "smtp://127.0.0.1:1".into(), username: None, password: None });
    })
    .await;
    let package = hub.sent_package(json!({ "name": "Owed", "recipients": ["a@example.com"] }), b"x").await;
    drop(package);
    let database = hub.data().join("hub.db");
    let failed = || {
        let connection = rusqlite::Connection::open(&database).unwrap();
        connection.query_row("SELECT problem FROM mail WHERE attempts > 0", [], |row| row.get::<_, String>(0)).ok()
    };
    wait_until(failed).await;
    let folder = hub.stop().await;
    let connection = rusqlite::Connection::open(folder.path().join("data/hub.db")).unwrap();
    connection.execute("UPDATE mail SET due_at = 0", []).unwrap();
    drop(connection);
    let hub = TestHub::start_in(folder, |_| {}).await;
    wait_until(|| (hub.mails().len() == 1).then_some(())).await;
}
