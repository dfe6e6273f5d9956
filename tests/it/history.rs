//! What a drop costs does not depend on how much was ever sent.
//!
//! The history is written into the database directly, as copies of what one real drop leaves there, so that it takes
//! seconds. `MASV_HISTORY=100000` is the long form.

use std::path::Path;
use std::time::Duration;
#[cfg(target_os = "linux")]
use std::time::Instant;

use masv_agent::model::{State, UploadFilter};
use rusqlite::{Connection, params};

#[cfg(target_os = "linux")]
use crate::process::Agent;
use crate::watch::support::Bench;

/// How many drops were sent before.
fn history(short: u32) -> u32 {
    std::env::var("MASV_HISTORY").ok().and_then(|text| text.parse().ok()).unwrap_or(short)
}

/// Copies what one sent file has left in the database so many times, but for its events: these are bounded, and read as they come.
fn prefill(database: &Path, copies: u32) {
    let mut connection = Connection::open(database).unwrap();
    connection.busy_timeout(Duration::from_secs(20)).unwrap();
    // The agent writes now and then: from the beginning, nobody else does.
    let all = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
    let tables = ["upload", "file", "ledger"];
    for table in tables {
        all.execute_batch(&format!("CREATE TEMP TABLE one_{table} AS SELECT * FROM {table} LIMIT 1")).unwrap();
    }
    for copy in 1..=copies {
        let (id, path) = (format!("01900000-0000-7000-8000-{copy:012x}"), format!("before {copy:07}.mov"));
        let change = |sql: &str, values: &[&dyn rusqlite::ToSql]| {
            all.prepare_cached(sql).unwrap().execute(values).unwrap();
        };
        change("UPDATE one_upload SET id = ?1, position = -?2", &[&id, &copy]);
        change("UPDATE one_file SET upload_id = ?1, path = ?2", &[&id, &path]);
        let inode = 1_u64 << 40 | u64::from(copy);
        change(
            "UPDATE one_ledger SET upload_id = ?1, path = ?2, inode = ?3",
            &[&id, &path.as_bytes(), &(inode as i64)],
        );
        for table in tables {
            change(&format!("INSERT INTO {table} SELECT * FROM one_{table}"), &[]);
        }
    }
    all.commit().unwrap();
    let known: u32 = connection.query_row("SELECT count(*) FROM ledger", params![], |row| row.get(0)).unwrap();
    assert!(known > copies, "{known} entries of {copies}");
}

/// Drops files in tens, has each upload completed, and waits until the rule is through with them.
async fn drop_some(bench: &Bench, named: &str, count: u32) {
    let open = || UploadFilter { states: vec![State::Transferring], ..UploadFilter::default() };
    for ten in 0..count / 10 {
        for one in 0..10 {
            bench.write(format!("{named} {ten} {one}.mov"), format!("{named} {ten} {one}"));
        }
        bench.until("ten uploads", async || bench.store.uploads(open()).await.unwrap().len() == 10).await;
        for upload in bench.store.uploads(open()).await.unwrap() {
            bench.complete(&upload).await;
        }
        bench.until("they are through", async || bench.status().waiting_count == 0).await;
    }
}

/// Each upload was put after the last of all that ever were, failed ones were looked for among all, and more than 64 fresh
/// files had the whole ledger read: 18,000 drops later a drop took eight times as long.
#[tokio::test(flavor = "multi_thread")]
async fn the_database_does_as_much_for_a_drop_after_a_long_history_as_at_first() {
    for keys in ["after: { complete: delete }", "existing: send", "resend: true"] {
        let mut bench = Bench::with(&format!("package: file\nsettle: 10ms\nrescan: 1h\n{keys}")).await;
        bench.ready().await;
        drop_some(&bench, "warm", 20).await;
        let before = bench.store.thousand_steps();
        drop_some(&bench, "first", 200).await;
        let first = bench.store.thousand_steps() - before;
        let copies = history(20_000);
        prefill(&bench.root.path().join("agent.db"), copies);
        drop_some(&bench, "warm again", 20).await;
        let before = bench.store.thousand_steps();
        drop_some(&bench, "later", 200).await;
        let later = bench.store.thousand_steps() - before;
        println!("{keys}: {first} thousand steps for 200 drops at first, {later} after {copies} more");
        // How often this test itself looks differs from one time to the next; to go through all that was sent once costs forty
        // thousand steps and more, two hundred times as much as is allowed here for a drop.
        assert!(later <= first * 2 + 20, "{keys}: {first} thousand steps became {later}");
        // A look that finds much asks about that, and not about all.
        let before = bench.store.thousand_steps();
        for file in 0..300 {
            bench.write(format!("many {file}.mov"), "many");
        }
        let open = || UploadFilter { states: vec![State::Transferring], ..UploadFilter::default() };
        bench.until("all of them", async || bench.store.uploads(open()).await.unwrap().len() == 300).await;
        let many = bench.store.thousand_steps() - before;
        println!("{keys}: {many} thousand steps for 300 drops at once");
        assert!(many < first * 4, "{keys}: {many} thousand steps for 300 at once, {first} for 200 one by one");
        bench.stop().await;
    }
}

/// Seconds of processor time that a process has used, and its anonymous memory in KiB.
#[cfg(target_os = "linux")]
fn used(process: u32) -> (f64, u64) {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let ticks: f64 = fields[11..=12].iter().map(|field| field.parse::<f64>().unwrap()).sum();
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let anonymous = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    (ticks / rustix::param::clock_ticks_per_second() as f64, anonymous.trim().trim_end_matches(" kB").parse().unwrap())
}

/// Drops files under a rule that deletes what is sent, and waits until they are gone; processor time and memory afterwards.
#[cfg(target_os = "linux")]
fn cost_of(agent: &Agent, named: &str, count: u32) -> (f64, u64) {
    let before = used(agent.id()).0;
    for file in 0..count {
        std::fs::write(agent.path(&format!("aside/{named} {file}")), format!("{named} {file}")).unwrap();
        let drop = agent.path(&format!("drop/{named} {file}.mov"));
        std::fs::rename(agent.path(&format!("aside/{named} {file}")), drop).unwrap();
    }
    let visible = |name: std::ffi::OsString| !name.as_encoded_bytes().starts_with(b".");
    let deadline = Instant::now() + Duration::from_secs(120) + Duration::from_millis(100) * count;
    while std::fs::read_dir(agent.path("drop")).unwrap().any(|entry| visible(entry.unwrap().file_name())) {
        assert!(Instant::now() < deadline, "they are not through:\n{}", agent.log());
        std::thread::sleep(Duration::from_millis(100));
    }
    let (processor, memory) = used(agent.id());
    (processor - before, memory)
}

/// The agent took 5.7 KiB more for each drop that was ever sent, and ever more of its processor.
#[cfg(target_os = "linux")]
#[test]
fn an_agent_takes_no_more_processor_and_memory_for_a_drop_after_a_long_history() {
    let long = std::env::var_os("MASV_HISTORY").is_some();
    let (copies, drops) = (history(20_000), if long { 1_000 } else { 200 });
    let rules = "rules:\n  - { name: x, watch: drop, create: true, settle: 500ms, package: file, \
         upload: { kind: link }, after: { complete: delete } }\n";
    let mut agent = Agent::start(rules, &[]);
    std::fs::create_dir(agent.path("aside")).unwrap();
    cost_of(&agent, "warm", drops / 2);
    let (first, first_memory) = cost_of(&agent, "first", drops);
    assert_eq!(agent.stop(), Some(0));
    prefill(&agent.path("data/agent.db"), copies);
    agent.go_on();
    cost_of(&agent, "warm again", drops / 2);
    let (later, later_memory) = cost_of(&agent, "later", drops);
    println!(
        "{drops} drops: {first:.1} s of processor time at first and {first_memory} KiB, {later:.1} s and {later_memory} KiB \
         after {copies} more"
    );
    // The clock of the processor counts in hundredths of a second, and a busy machine is slower.
    assert!(later <= first * 1.2 + if long { 0.2 } else { 2.0 }, "{first} s became {later}");
    assert!(later_memory <= first_memory * 12 / 10 + 4096, "{first_memory} KiB became {later_memory}");
}
