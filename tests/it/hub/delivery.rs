//! Mails and webhook calls to receivers that take their time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use masv_hub::SmtpConfig;
use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::client::{TestHub, good, wait_until};

/// How long the mail server here takes for a mail.
const FOR_A_MAIL: Duration = Duration::from_millis(100);

/// What a mail server has seen.
#[derive(Default)]
struct Seen {
    taken: AtomicUsize,
    at_a_time: AtomicUsize,
    most_at_a_time: AtomicUsize,
}

/// A mail server that takes every mail, each after a while.
async fn slow_mail_server() -> (String, Arc<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("smtp://{}", listener.local_addr().unwrap());
    let seen = Arc::new(Seen::default());
    tokio::spawn({
        let seen = Arc::clone(&seen);
        async move {
            while let Ok((stream, _)) = listener.accept().await {
                let seen = Arc::clone(&seen);
                tokio::spawn(async move { take_mails(stream, &seen).await });
            }
        }
    });
    (url, seen)
}

/// Speaks with one client until it goes.
async fn take_mails(stream: TcpStream, seen: &Seen) -> std::io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    write.write_all(b"220 test\r\n").await?;
    let mut in_mail = false;
    while let Some(line) = lines.next_line().await? {
        let answer = match line.as_str() {
            "." if in_mail => {
                in_mail = false;
                let now = seen.at_a_time.fetch_add(1, Ordering::SeqCst) + 1;
                seen.most_at_a_time.fetch_max(now, Ordering::SeqCst);
                tokio::time::sleep(FOR_A_MAIL).await;
                seen.at_a_time.fetch_sub(1, Ordering::SeqCst);
                seen.taken.fetch_add(1, Ordering::SeqCst);
                "250 taken\r\n"
            }
            _ if in_mail => continue,
            "DATA" => {
                in_mail = true;
                "354 go on\r\n"
            }
            "QUIT" => "221 bye\r\n",
            _ => "250 ok\r\n",
        };
        write.write_all(answer.as_bytes()).await?;
    }
    Ok(())
}

/// Mails went to the mail server one after the other: seven a second where it took a tenth of a second for each. Ten at a
/// time are a hundred a second.
#[tokio::test(flavor = "multi_thread")]
async fn mails_are_sent_many_at_a_time_and_each_once() {
    let (url, seen) = slow_mail_server().await;
    let hub = TestHub::start_with(|config| {
        config.smtp = Some(SmtpConfig { url, username: None, password: None, authority: None });
    })
    .await;
    let recipients: Vec<String> = (0..200).map(|number| format!("client{number}@example.com")).collect();
    hub.sent_package(json!({ "name": "To all", "recipients": recipients }), b"x").await;
    let database = hub.data().join("hub.db");
    let all_sent = || {
        let connection = rusqlite::Connection::open(&database).unwrap();
        let sent = "SELECT count(*) FROM mail WHERE sent_at IS NOT NULL AND due_at IS NULL AND attempts = 1";
        let sent: u32 = connection.query_row(sent, [], |row| row.get(0)).ok()?;
        (sent as usize == recipients.len()).then_some(())
    };
    wait_until(all_sent).await;
    assert_eq!(seen.taken.load(Ordering::SeqCst), recipients.len(), "each once");
    let most = seen.most_at_a_time.load(Ordering::SeqCst);
    assert!(most >= 10, "{most} at a time at the most");
}

/// A server that takes connections and never says anything.
async fn silent_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    url
}

/// A server that counts its calls.
async fn counting_server() -> (String, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let counted = Arc::clone(&calls);
    let count = move || {
        counted.fetch_add(1, Ordering::SeqCst);
        async {}
    };
    let router = axum::Router::new().route("/hook", axum::routing::post(count));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, calls)
}

/// One webhook that never answered held up those of all teams: calls were made in batches, and each batch waited for its slowest.
#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_never_answers_holds_up_no_other() {
    let (silent, (counting, calls)) = (silent_server().await, counting_server().await);
    let hub = TestHub::start().await;
    let hooks = format!("/v1/teams/{}/custom_webhooks", hub.team);
    for (name, url) in [("silent", silent), ("counting", counting)] {
        let hook = json!({ "name": name, "url": url, "events": ["package.created"] });
        good(hub.team_request(Method::POST, &hooks).json(&hook)).await;
    }
    for number in 0..120 {
        hub.new_package(json!({ "name": format!("Package {number}") })).await;
    }
    // A call may take twenty seconds: had any of these waited for the silent one, they would not be there by then.
    wait_until(|| (calls.load(Ordering::SeqCst) == 120).then_some(())).await;
    let connection = rusqlite::Connection::open(hub.data().join("hub.db")).unwrap();
    let waiting = "SELECT count(*) FROM webhook_call JOIN webhook ON webhook.id = webhook_id WHERE name = 'silent'";
    let waiting: u32 = connection.query_row(waiting, [], |row| row.get(0)).unwrap();
    assert_eq!(waiting, 120, "what the silent one is owed is kept");
}
