//! A clock that was a month ahead for a while, and is right again.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use serde_json::Value;

use crate::process::Agent;
use crate::support::wait_until;

const LIMIT: Duration = Duration::from_secs(60);
const MONTH_MS: i64 = 30 * 24 * 3600 * 1000;

/// Rules in which everything that is kept of the time plays a part. `moments` are those of the schedule and of the open package.
fn rules(moments: &str, hook: &str) -> String {
    format!(
        "rules:
  - {{ name: scheduled, watch: scheduled, create: true, settle: 200ms, package: file, schedule: '{moments}', upload: {{ kind: link }} }}
  - {{ name: open, watch: open, create: true, settle: 200ms, package: batch, finalize: {{ at: '{moments}' }}, upload: {{ kind: link }} }}
  - {{ name: deleted, watch: deleted, create: true, settle: 200ms, package: file, after: delete, upload: {{ kind: link }},
      notify: [{{ webhook: 'http://{hook}/hook', events: [upload.complete] }}] }}
  - {{ name: from-acme, portal: acme, into: incoming, poll: 1s }}
"
    )
}

/// Moves every moment that the agent has written down a month ahead, as if its clock had been; those that come later, too.
fn a_month_ahead(database: &Path) -> usize {
    let connection = Connection::open(database).unwrap();
    let columns = "SELECT t.name, c.name FROM sqlite_schema t JOIN pragma_table_info(t.name) c \
         WHERE t.type = 'table' AND (c.name = 'at' OR c.name LIKE '%!_at' ESCAPE '!')";
    let mut statement = connection.prepare(columns).unwrap();
    let found = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let found: Vec<(String, String)> = found.collect::<Result<_, _>>().unwrap();
    for (table, column) in &found {
        connection.execute(&format!("UPDATE {table} SET {column} = {column} + ?1"), [MONTH_MS]).unwrap();
    }
    connection.execute("UPDATE rule SET last_run_at = coalesce(last_run_at, first_seen_at)", []).unwrap();
    found.len()
}

/// Answers a request with 200.
fn answer(stream: &mut TcpStream) {
    let mut request = [0; 16_384];
    let _ = stream.read(&mut request);
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
}

fn state_of<'a>(list: &'a [Value], rule: &str) -> &'a str {
    list.iter().find(|upload| upload["rule"] == rule).map_or("", |upload| upload["state"].as_str().unwrap())
}

/// An agent that was a month ahead while a moment passed: schedules, open packages, download rules, messages and what is looked after
/// stood still until that date, over restarts, while the status said that all was well.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_down_by_a_clock_that_was_ahead_holds_nothing_up() {
    // Nobody listens there yet.
    let hook = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let mut agent = Agent::start(&rules("0 0 1 1 *", &hook), &[]);
    std::fs::write(agent.path("open/clip.mov"), "open").unwrap();
    std::fs::write(agent.path("deleted/clip.mov"), "deleted").unwrap();
    agent.wait_for("both are sent", LIMIT, |list| {
        state_of(list, "open") == "idle" && state_of(list, "deleted") == "complete"
    });
    wait_until("it is deleted", LIMIT, || async { !agent.path("deleted/clip.mov").exists() }).await;
    assert_eq!(agent.stop(), Some(0));
    assert!(a_month_ahead(&agent.path("data/agent.db")) >= 12);

    std::fs::write(agent.path("rules.yaml"), format!("version: 1\n{}", rules("* * * * * *", &hook))).unwrap();
    let listener = TcpListener::bind(&hook).unwrap();
    let told = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        answer(&mut stream);
    });
    agent.go_on();
    std::fs::write(agent.path("scheduled/clip.mov"), "scheduled").unwrap();
    std::fs::write(agent.path("delivered.mov"), "delivered").unwrap();
    let delivered = agent.masv(&[
        "upload",
        "start",
        "portal",
        "--subdomain=acme",
        "--sender=sender@example.com",
        "--name=Day 1",
        "--wait",
        "delivered.mov",
    ]);
    assert!(delivered.status.success(), "{}", String::from_utf8_lossy(&delivered.stderr));
    agent.wait_for("the schedule goes on, and the open package is closed", LIMIT, |list| {
        state_of(list, "open") == "complete" && state_of(list, "scheduled") == "complete"
    });
    wait_until("what came through the portal is fetched", LIMIT, || async {
        agent.path("incoming/Day 1/delivered.mov").exists()
    })
    .await;
    wait_until("the receiver is told", LIMIT, || async { told.is_finished() }).await;
    let left = || {
        let hidden = std::fs::read_dir(agent.path("deleted")).unwrap();
        hidden.map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>()
    };
    wait_until("what was taken away is gone", LIMIT, || async { left().is_empty() }).await;
    let said = agent.log().matches("by a clock that was ahead").count();
    assert!((1..=8).contains(&said), "said once of each, not {said} times:\n{}", agent.log());
}
