//! `kill -9` at random moments of a large upload: it resumes, arrives identical, and what was confirmed is not sent again.

use std::time::Duration;

use serde_json::Value;

use crate::process::Agent;
use crate::support::{content, digests, received};

const CHUNK: u64 = 5 << 20;
const WORKERS: usize = 2;

/// How often it is killed; set `KILLS=50` for the long run.
fn kills() -> usize {
    std::env::var("KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(6)
}

/// Case: random kills while a large file is sent: only the parts in flight are sent again.
#[tokio::test(flavor = "multi_thread")]
async fn killed_at_random_moments_it_sends_again_at_most_what_was_in_flight() {
    let kills = kills();
    let size = (kills as u64 + 4) * 20 * 1_000_000;
    let workers = WORKERS.to_string();
    let mut agent =
        Agent::start("", &["--chunk-size", "5MiB", "--upload-workers", &workers, "--log-level", "info,masv_hub=debug"]);
    let bytes = content(11, usize::try_from(size).unwrap());
    std::fs::write(agent.path("big.mov"), &bytes).unwrap();
    // Slow enough that every kill hits it in flight.
    agent.json(&["settings", "rate-limit", "update", "--limit", "60MB"]);
    let started = agent.json(&["upload", "start", "link", "big.mov"]);
    let link = started["link"].as_str().unwrap().to_owned();
    let mut random = fastrand::Rng::with_seed(3);
    for _ in 0..kills {
        std::thread::sleep(Duration::from_millis(random.u64(50..400)));
        agent.kill();
        agent.go_on();
    }
    agent.json(&["settings", "rate-limit", "update", "--enabled=false"]);
    let complete = |list: &[Value]| list[0]["state"] == "complete";
    agent.wait_for("it arrives", Duration::from_secs(60), complete);
    assert_eq!(digests(&received(&link).await), digests(&[("big.mov".to_owned(), bytes)]));
    let stored = agent.log().lines().filter(|line| line.contains("part stored")).count();
    let parts = usize::try_from(size.div_ceil(CHUNK)).unwrap();
    assert!(
        stored >= parts && stored <= parts + kills * WORKERS,
        "{stored} parts stored, {parts} needed, {kills} kills"
    );
}
