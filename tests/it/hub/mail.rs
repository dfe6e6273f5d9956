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

/// Case: mails and links go out only after finalize, and once, however often that is called.
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
        config.smtp = Some(masv_hub::SmtpConfig {
            url: "smtp://127.0.0.1:1".into(),
            username: None,
            password: None,
            authority: None,
        });
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

/// A mail server that accepts one mail and returns what it received.
async fn mail_server() -> (String, tokio::task::JoinHandle<String>) {
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("smtp://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let (read, mut write) = stream.into_split();
        let mut lines = BufReader::new(read).lines();
        write.write_all(b"220 test\r\n").await.unwrap();
        let (mut told, mut in_mail) = (String::new(), false);
        while let Ok(Some(line)) = lines.next_line().await {
            told.push_str(&line);
            told.push('\n');
            let answer = match line.as_str() {
                "." if in_mail => {
                    write.write_all(b"250 taken\r\n").await.unwrap();
                    return told;
                }
                _ if in_mail => continue,
                "DATA" => {
                    in_mail = true;
                    "354 go on\r\n"
                }
                _ => "250 ok\r\n",
            };
            write.write_all(answer.as_bytes()).await.unwrap();
        }
        told
    });
    (url, server)
}

#[tokio::test]
async fn mails_leave_by_a_mail_server() {
    let (url, server) = mail_server().await;
    let hub = TestHub::start_with(|config| {
        config.smtp = Some(masv_hub::SmtpConfig { url, username: None, password: None, authority: None });
        config.mail_from = "Post house <hub@example.com>".into();
        config.public_url = Some("https://hub.example.com/".parse().unwrap());
    })
    .await;
    let body = json!({ "name": "By server", "recipients": ["client@example.com"] });
    let answer = good(hub.team_request(Method::POST, &format!("/v1/teams/{}/packages", hub.team)).json(&body)).await;
    // The addresses that the hub gives out now begin with its public one, which leads nowhere here.
    let token = super::client::text(&answer, "access_token");
    let files = format!("/v1/packages/{}/files", super::client::text(&answer, "id"));
    let file = json!({ "name": "a", "size": 1 });
    let made = good(hub.request(Method::POST, &files).header("X-Package-Token", &token).json(&file)).await;
    let begin = made["create_blueprint"]["url"].as_str().unwrap();
    assert!(begin.starts_with("https://hub.example.com/storage/"), "{begin}");
    let package = super::client::Package { hub: &hub, id: super::client::text(&answer, "id"), token };
    let id = super::client::text(&made["file"], "id");
    let path = format!("/files/{id}?start=0&count=1");
    let part = good(package.request(Method::POST, &path)).await[0]["url"].as_str().unwrap().to_owned();
    let tag = package.put(&part.replace("https://hub.example.com", &hub.base), b"x").await;
    let closing = json!({ "size": 1, "chunk_extras": [{ "partNumber": "1", "etag": tag }] });
    good(package.request(Method::POST, &format!("/files/{id}/finalize")).json(&closing)).await;
    good(package.request(Method::POST, "/finalize")).await;
    let told = server.await.unwrap();
    for part in ["MAIL FROM:<hub@example.com>", "RCPT TO:<client@example.com>", "Subject: Files for you: By server"] {
        assert!(told.contains(part), "{part} in {told}");
    }
    let told = told.replace("=\n", "");
    assert!(told.contains("Download: https://hub.example.com/0"), "{told}");
    assert_eq!(hub.mails().len(), 0);
}
