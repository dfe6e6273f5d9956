//! The examples of docs/rules.md in action: every block that shows keys is a rule of one agent with its own hub, files are
//! dropped into its folder, and what is sent and what is not is what the page says. Times are a hundredth of the page's, and
//! places lie in the test's folder; nothing else differs.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use regex::Regex;
use serde_json::{Value, json};

use crate::process::Agent;
use crate::support::wait_until;

const PAGE: &str = include_str!("../../../docs/rules.md");
const LIMIT: Duration = Duration::from_secs(60);

/// Content of a file that is a million bytes large.
const LARGE: &str = "(large)";
const SUMS: &str = "5d41402abc4b2a76b9719d911017c592  card/one.mov\n";
const MHL: &str =
    "<hashlist version=\"1.1\"><hash><file>one.mov</file><md5>5d41402abc4b2a76b9719d911017c592</md5></hash></hashlist>";

/// A block of the page and its result.
struct Example {
    /// Its heading, and its number among the blocks there.
    block: (&'static str, usize),
    /// What is dropped: path and content.
    drops: &'static [(&'static str, &'static str)],
    /// The files of each package, in the order of their paths.
    packages: &'static [&'static [&'static str]],
    /// What stays where it is, unsent.
    left: &'static [&'static str],
}

const fn example(
    block: (&'static str, usize),
    drops: &'static [(&'static str, &'static str)],
    packages: &'static [&'static [&'static str]],
    left: &'static [&'static str],
) -> Example {
    Example { block, drops, packages, left }
}

const ONE: &[(&str, &str)] = &[("clip.mov", "x")];
const ONE_SENT: &[&[&str]] = &[&["clip.mov"]];

const EXAMPLES: &[Example] = &[
    example(("name", 0), ONE, ONE_SENT, &[]),
    example(("watch, create", 0), ONE, ONE_SENT, &[]),
    example(("recursive", 0), &[("top.mov", "x"), ("card/deep.mov", "x")], &[&["top.mov"]], &["card/deep.mov"]),
    example(
        ("include, exclude, ignore_case", 0),
        &[
            ("A.MOV", "x"),
            ("card/b.mxf", "x"),
            ("audio/day/c.wav", "x"),
            ("d.wav", "x"),
            ("card/proxies/e.mov", "x"),
            ("f_temp.mov", "x"),
        ],
        &[&["A.MOV", "audio/day/c.wav", "card/b.mxf"]],
        &["d.wav", "card/proxies/e.mov", "f_temp.mov"],
    ),
    example(
        ("hidden, temporary, junk", 0),
        &[(".hidden", "x"), ("half.part", "x"), (".DS_Store", "x"), ("~$cut.docx", "x")],
        &[&[".hidden", "half.part"]],
        &[".DS_Store", "~$cut.docx"],
    ),
    example(
        ("hidden, temporary, junk", 1),
        &[
            ("clip.mov", "x"),
            ("@tmp/a.mov", "x"),
            ("old.bak", "x"),
            ("#recycle/b.mov", "x"),
            ("Proxy Media/c.mov", "x"),
        ],
        &[&["@tmp/a.mov", "clip.mov"]],
        &["old.bak", "#recycle/b.mov", "Proxy Media/c.mov"],
    ),
    example(("min_size, max_size", 0), &[("large.mov", LARGE), ("small.mov", "x")], &[&["large.mov"]], &["small.mov"]),
    example(("settle", 0), ONE, ONE_SENT, &[]),
    example(("growing, growing_min, growing_guard", 0), ONE, ONE_SENT, &[]),
    example(
        ("ready", 0),
        &[("clip.mov", "x"), ("clip.mov.done", ""), ("card/a.mov", "x"), ("card/.done", ""), ("waits.mov", "x")],
        &[&["card/a.mov", "clip.mov"]],
        &["waits.mov", "clip.mov.done"],
    ),
    example(
        ("ready", 1),
        &[("card/one.mov", "hello"), ("sums.md5", SUMS), ("unlisted.mov", "x")],
        &[&["card/one.mov", "sums.md5"]],
        &["unlisted.mov"],
    ),
    example(
        ("ready", 2),
        &[("card/one.mov", "hello"), ("card/card.mhl", MHL), ("card/report.pdf", "x"), ("waits.mov", "x")],
        &[&["card/card.mhl", "card/one.mov", "card/report.pdf"]],
        &["waits.mov"],
    ),
    example(
        ("package", 0),
        &[("A001/one.mov", "x"), ("A001/deep/two.mov", "x"), ("A002/one.mov", "x"), ("loose.mov", "x")],
        &[&["A001/deep/two.mov", "A001/one.mov"], &["A002/one.mov"], &["loose.mov"]],
        &[],
    ),
    example(("package", 1), &[("one.mov", "x"), ("two.mov", "x")], &[&["one.mov", "two.mov"]], &[]),
    example(
        ("group_by", 0),
        &[("A/one.mov", "x"), ("B/one.mov", "x"), ("B/two.mov", "x"), ("loose.mov", "x")],
        &[&["A/one.mov"], &["B/one.mov", "B/two.mov"], &["loose.mov"]],
        &[],
    ),
    example(("schedule", 0), ONE, ONE_SENT, &[]),
    example(("schedule", 1), ONE, ONE_SENT, &[]),
    example(("upload", 0), ONE, ONE_SENT, &[]),
    example(("finalize", 0), ONE, ONE_SENT, &[]),
    example(("finalize", 1), ONE, ONE_SENT, &["SEND"]),
    example(("priority", 0), ONE, ONE_SENT, &[]),
    example(("on_change, on_gone, resend, existing", 0), &[("clip.mov", "x")], ONE_SENT, &["before.mov"]),
    example(("after", 0), &[("card/clip.mov", "x")], &[&["card/clip.mov"]], &[]),
    example(("after", 1), &[("card/clip.mov", "x")], &[&["card/clip.mov"]], &[]),
    example(("notify", 0), ONE, ONE_SENT, &[]),
    example(("poll, rescan", 0), ONE, ONE_SENT, &[]),
    example(("symlinks", 0), &[("card/clip.mov", "x")], &[&["alias.mov", "card/clip.mov"]], &["out.mov"]),
    example(("hard_links", 0), ONE, ONE_SENT, &[]),
    example(("confined", 0), ONE, ONE_SENT, &[]),
    example(("enabled", 0), ONE, &[], &["clip.mov"]),
    example(("Uploads", 0), &[("reel/clip.mov", "x")], &[&["reel/clip.mov"]], &[]),
    example(("Uploads", 1), ONE, ONE_SENT, &[]),
    example(("Uploads", 2), &[("dune/clip.mov", "x")], &[&["dune/clip.mov"]], &[]),
    example(("Downloads", 0), &[], &[], &[]),
    example(("Downloads", 1), &[], &[], &[]),
    example(("Downloads", 2), &[], &[], &[]),
    example(
        ("Templates", 0),
        &[("A001C001.mov", "x"), ("A001C002.mov", "x"), ("B.mov", "x")],
        &[&["A001C001.mov", "A001C002.mov"], &["B.mov"]],
        &[],
    ),
];

/// The examples whose ids are those of the hub: they are known once it runs.
const WITH_IDS: [(&str, usize); 2] = [("Uploads", 1), ("Downloads", 2)];

/// The YAML blocks of the page that show keys, by the headings they stand under.
fn blocks() -> BTreeMap<&'static str, Vec<&'static str>> {
    let keys = PAGE.split("\n## Rules\n").nth(1).unwrap().split("\n## Cookbook\n").next().unwrap();
    let mut blocks: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for section in keys.split("\n##") {
        let heading = section.lines().next().unwrap().trim_start_matches('#').trim();
        let shown = section.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
        blocks.entry(heading).or_default().extend(shown);
    }
    blocks.retain(|_, shown| !shown.is_empty());
    blocks
}

impl Example {
    fn is(&self, heading: &str, place: usize) -> bool {
        self.block == (heading, place)
    }

    fn text(&self) -> &'static str {
        blocks()[self.block.0][self.block.1]
    }

    fn is_download(&self) -> bool {
        self.block.0 == "Downloads"
    }

    /// The rule's name: the block's, or one made of its heading.
    fn name(&self) -> String {
        let named = self.text().lines().find_map(|line| line.strip_prefix("name: ").filter(|_| !line.contains("{{")));
        let made = || {
            let word = self.block.0.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
            format!("{word}-{}", self.block.1)
        };
        named.map_or_else(made, str::to_owned)
    }

    /// Its folder, below the test's.
    fn folder(&self) -> String {
        if self.is("watch, create", 0) { "home/drop/review".to_owned() } else { format!("drop/{}", self.name()) }
    }

    /// The rule with the block's keys.
    fn rule(&self) -> String {
        let text = self.text();
        let has = |key: &str| text.lines().any(|line| line.starts_with(&format!("{key}:")));
        let of_upload = has("kind");
        let mut lines = String::new();
        if !has("name") || of_upload {
            lines.push_str(&format!("name: {}\n", self.name()));
        }
        if !self.is_download() {
            let folder = format!("watch: {}\n", self.folder());
            lines.push_str(if has("watch") { "" } else { &folder });
            lines.push_str(if of_upload { "upload:\n" } else { "" });
        }
        text.lines().for_each(|line| lines.push_str(&format!("{}{line}\n", if of_upload { "  " } else { "" })));
        let rule: String = lines.lines().map(|line| format!("    {line}\n")).collect();
        format!("  -\n{rule}")
    }
}

/// The page's times a hundred times shorter, its places in the test's folder, its receivers those of the test.
fn brought_here(rules: &str, agent: &Agent, hook: &str) -> String {
    let unit = |unit: &str| match unit {
        "s" => 10,
        "m" => 600,
        _ => 36_000,
    };
    let times = Regex::new(r"\b(\d+)(s|m|h)\b").unwrap();
    let rules = times.replace_all(rules, |time: &regex::Captures<'_>| {
        format!("{}ms", time[1].parse::<u64>().unwrap() * unit(&time[2]))
    });
    let here = |place: &str| agent.path(place).display().to_string();
    rules
        .replace("package: folder", "package: { per: folder, quiet: 300ms }")
        .replace("/run/credentials/masv-agent/acme", &here("acme.secret"))
        .replace("/usr/local/bin/tell-the-desk", &here("tell-the-desk"))
        .replace("/srv/", &format!("{}/", here("srv")))
        .replace("../", "")
        .replace("https://example.com/masv", hook)
}

const FILE: &str = "version: 1
timezone: UTC
defaults: { create: true, settle: 100ms, package: { per: batch, quiet: 300ms }, upload: { kind: link } }
rules:
";

/// What a webhook received.
type Told = Arc<Mutex<Vec<Value>>>;

async fn receiver() -> (String, Told) {
    let told = Told::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let take = async |State(told): State<Told>, axum::Json(message): axum::Json<Value>| {
        told.lock().unwrap().push(message);
    };
    let router = Router::new().route("/hook", post(take)).with_state(Arc::clone(&told));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (url, told)
}

struct Bench {
    agent: Agent,
    client: reqwest::Client,
}

impl Bench {
    async fn call(&self, path: &str) -> Value {
        let url = format!("{}/api/v1{path}", self.agent.url());
        self.client.get(url).send().await.unwrap().json().await.unwrap()
    }

    async fn order(&self, path: &str) {
        let url = format!("{}/api/v1{path}", self.agent.url());
        let answer = self.client.post(url).header("X-Masv", "1").send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.text().await.unwrap());
    }

    async fn uploads(&self, example: &Example) -> Vec<Value> {
        let list = self.call(&format!("/uploads?rule={}", example.name())).await;
        list["transfers"].as_array().unwrap().clone()
    }

    async fn status(&self, example: &Example) -> Value {
        self.call(&format!("/automations/{}", example.name())).await
    }

    /// The files of each of the rule's packages.
    async fn packages(&self, example: &Example) -> Vec<Vec<String>> {
        let mut packages = Vec::new();
        for upload in self.uploads(example).await {
            let upload = self.call(&format!("/uploads/{}?files=true", upload["id"].as_str().unwrap())).await;
            let files = upload["files"].as_array().unwrap().iter();
            let mut paths: Vec<String> = files.map(|file| file["path"].as_str().unwrap().to_owned()).collect();
            paths.sort();
            packages.push(paths);
        }
        packages.sort();
        packages
    }

    /// Waits until all that an example promises is uploaded, and what is finalized automatically is finalized.
    async fn sent(&self, example: &Example) {
        let what = format!("{:?} is sent: {:?}", example.block, example.packages);
        let there = || async {
            let uploads = self.uploads(example).await;
            let wrong = uploads.iter().find(|upload| upload["state"] == "error");
            assert!(wrong.is_none(), "{:?}: {}", example.block, wrong.unwrap());
            let done = |upload: &Value| upload["state"] == "complete" || upload["state"] == "idle";
            uploads.len() == example.packages.len() && uploads.iter().all(done)
        };
        let deadline = Instant::now() + LIMIT;
        while !there().await {
            let late = Instant::now() > deadline;
            assert!(!late, "not within {LIMIT:?}: {what}\n{:#}\n{}", self.status(example).await, self.agent.log());
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        assert_eq!(self.packages(example).await, example.packages, "{:?}", example.block);
    }

    fn path(&self, example: &Example, path: &str) -> std::path::PathBuf {
        self.agent.path(&example.folder()).join(path)
    }

    fn drop_files(&self, example: &Example) {
        for (path, content) in example.drops {
            let content = if *content == LARGE { "x".repeat(1_000_000) } else { (*content).to_owned() };
            write(&self.path(example, path), &content);
        }
    }
}

fn write(path: &Path, content: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

fn find(heading: &str, place: usize) -> &'static Example {
    EXAMPLES.iter().find(|example| example.is(heading, place)).unwrap()
}

fn rules(examples: impl Iterator<Item = &'static Example>) -> String {
    examples.map(Example::rule).collect()
}

#[test]
fn every_block_that_shows_keys_is_an_example() {
    let shown: Vec<(&str, usize)> =
        blocks().iter().flat_map(|(heading, shown)| (0..shown.len()).map(|place| (*heading, place))).collect();
    let mut tried: Vec<(&str, usize)> = EXAMPLES.iter().map(|example| example.block).collect();
    tried.sort_unstable();
    assert_eq!(tried, shown);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_example_does_what_the_page_says() {
    let (hook, told) = receiver().await;
    let mut agent = Agent::prepare("rules: []\n", &[]);
    let home = agent.path("home").display().to_string();
    agent.environment = [("HOME", &*home), ("HOOK_SECRET", "hook"), ("REVIEW_PASSWORD", "review")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    write(&agent.path("acme.secret"), "portal");
    write(&agent.path("tell-the-desk"), "#!/bin/sh\ncat > told-the-desk\n");
    let at_once = EXAMPLES.iter().filter(|example| !WITH_IDS.contains(&example.block));
    let first = format!("{FILE}{}", brought_here(&rules(at_once.clone()), &agent, &hook));
    write(&agent.path("rules.yaml"), &first);
    write(&agent.path(&find("on_change, on_gone, resend, existing", 0).folder()).join("before.mov"), "x");
    agent.go_on();
    let bench = Bench { agent, client: reqwest::Client::new() };
    assert!(bench.agent.path("home/drop/review").is_dir(), "`create` makes the folder");

    // A link that leads out of the folder, and one that does not.
    let links = find("symlinks", 0);
    write(&bench.agent.path("secret.mov"), "x");
    std::os::unix::fs::symlink(bench.agent.path("secret.mov"), bench.path(links, "out.mov")).unwrap();
    std::os::unix::fs::symlink("card/clip.mov", bench.path(links, "alias.mov")).unwrap();
    at_once.clone().for_each(|example| bench.drop_files(example));
    for example in [find("schedule", 0), find("schedule", 1)] {
        let (name, status) = (example.name(), bench.status(example).await);
        assert_eq!(status["next_schedules"].as_array().unwrap().len(), 3, "{status}");
        let whole = || async {
            let status = bench.status(example).await;
            let waits = status["waiting"][0]["reason"].as_str().is_some_and(|reason| reason.starts_with("is complete"));
            waits || !bench.uploads(example).await.is_empty()
        };
        wait_until("only the schedule is waited for", LIMIT, whole).await;
        bench.order(&format!("/automations/{name}/run")).await;
    }
    for example in at_once.clone().filter(|example| !example.is_download()) {
        bench.sent(example).await;
    }
    closed_when_the_page_says(&bench).await;
    sent_again_when_the_page_says(&bench).await;
    taken_away_and_told(&bench, &told).await;
    received(&bench, &first, &hook).await;

    for example in EXAMPLES.iter().filter(|example| !example.is_download()) {
        let more = u64::from(example.is("on_change, on_gone, resend, existing", 0) || example.is("Uploads", 2));
        assert_eq!(
            bench.uploads(example).await.len() as u64,
            example.packages.len() as u64 + more,
            "{:?}",
            example.block
        );
        for path in example.left.iter().filter(|path| **path != "SEND") {
            assert!(bench.path(example, path).symlink_metadata().is_ok(), "{:?}: {path}", example.block);
        }
    }
    assert_eq!(bench.status(find("enabled", 0)).await["state"], "disabled");
    assert_eq!(bench.status(find("poll, rescan", 0)).await["state"], "polling");
    assert_eq!(bench.uploads(find("priority", 0)).await[0]["priority"], 10);
    let review = &bench.uploads(find("Uploads", 0)).await[0];
    assert_eq!((&review["name"], &review["description"]), (&json!("reel for review"), &json!("1 files, 1 B")));
}

/// `finalize`: by hand, and by the first condition that holds.
async fn closed_when_the_page_says(bench: &Bench) {
    let (manual, marked) = (find("finalize", 0), find("finalize", 1));
    for example in [manual, marked] {
        let idle = || async { bench.uploads(example).await[0]["state"] == "idle" };
        wait_until("it stays open", LIMIT, idle).await;
    }
    let id = bench.uploads(manual).await[0]["id"].as_str().unwrap().to_owned();
    bench.order(&format!("/uploads/{id}/finalize")).await;
    write(&bench.path(marked, "SEND"), "");
    for example in [manual, marked] {
        let complete = || async { bench.uploads(example).await[0]["state"] == "complete" };
        wait_until("it is closed", LIMIT, complete).await;
    }
    wait_until("the marker is taken away", LIMIT, || async { !bench.path(marked, "SEND").exists() }).await;
}

/// `on_change: ignore` and `resend: true`.
async fn sent_again_when_the_page_says(bench: &Bench) {
    let example = find("on_change, on_gone, resend, existing", 0);
    let (clip, away) = (bench.path(example, "clip.mov"), bench.agent.path("away.mov"));
    std::fs::rename(&clip, &away).unwrap();
    let remembered = || async {
        let explained = bench.call(&format!("/automations/explain?path={}", clip.display())).await;
        !explained["rules"][0]["tests"].as_array().unwrap().iter().any(|test| test["test"] == "ledger")
    };
    wait_until("it is forgotten", LIMIT, || async { remembered().await }).await;
    std::fs::rename(&away, &clip).unwrap();
    let complete = |upload: &Value| upload["state"] == "complete";
    let twice = || async {
        let uploads = bench.uploads(example).await;
        uploads.len() == 2 && uploads.iter().all(complete)
    };
    wait_until("it is sent again", LIMIT, twice).await;
    write(&clip, "changed");
    let ignored = || async {
        let explained = bench.call(&format!("/automations/explain?path={}", clip.display())).await;
        explained.to_string().contains("changed after it was sent in package")
    };
    wait_until("the change is ignored, and told", LIMIT, ignored).await;
}

/// `after` and `notify`.
async fn taken_away_and_told(bench: &Bench, told: &Told) {
    let (moved, deleted) = (find("after", 0), find("after", 1));
    let date = jiff::Zoned::now().with_time_zone(jiff::tz::TimeZone::UTC).date();
    let sent = bench.agent.path(&format!("sent/{date}/card/clip.mov"));
    wait_until("it is moved", LIMIT, || async { sent.exists() && !bench.path(moved, "card/clip.mov").exists() }).await;
    wait_until("it is deleted", LIMIT, || async { !bench.path(deleted, "card/clip.mov").exists() }).await;
    wait_until("the receiver is told", LIMIT, || async { !told.lock().unwrap().is_empty() }).await;
    let told = told.lock().unwrap().clone();
    let events: Vec<&Value> = told.iter().map(|message| &message["event"]).collect();
    assert_eq!(events, ["upload.complete"]);
    assert!(!bench.agent.path("told-the-desk").exists(), "nothing went wrong that the desk is told of");
}

/// Download rules, and the examples that need to know the hub's ids.
async fn received(bench: &Bench, first: &str, hook: &str) {
    let incoming = bench.agent.path("srv/incoming/dune/clip.mov");
    bench.order("/automations/from-clients/run").await;
    wait_until("the delivery is received", LIMIT, || async { incoming.exists() }).await;
    let hub = rusqlite::Connection::open_with_flags(
        bench.agent.path("data/hub/hub.db"),
        rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY,
    );
    let hub = hub.unwrap();
    let id = |of: &str| hub.query_row(&format!("SELECT id FROM {of}"), [], |row| row.get::<_, String>(0)).unwrap();
    let (tag, team) = (id("tag WHERE name = 'review'"), id("team"));
    let with_ids = EXAMPLES.iter().filter(|example| WITH_IDS.contains(&example.block));
    let more = brought_here(&rules(with_ids), &bench.agent, hook);
    let more = more.replace("tag_id: 01HZX3Q4V8", &format!("tag_id: {tag}"));
    let more = more.replace("team_id: 01HZX3Q4V9", &format!("team_id: {team}"));
    let more = more.replace("team: 01HZX3Q4", &format!("team: {team}"));
    // The hub has no teamspaces, and refuses what is to be put into one.
    let more: String =
        more.lines().filter(|line| !line.contains("teamspace_id")).map(|line| format!("{line}\n")).collect();
    write(&bench.agent.path("rules.yaml"), &format!("{first}{more}"));
    bench.order("/automations/reload").await;
    let (link, all) = (find("Uploads", 1), find("Downloads", 2));
    bench.drop_files(link);
    bench.sent(link).await;
    wait_until("the inbox is looked at", LIMIT, || async { bench.status(all).await["state"] == "polling" }).await;
    write(&bench.path(find("Uploads", 2), "dune/later.mov"), "x");
    let later = || async {
        let found = walkdir::WalkDir::new(bench.agent.path("srv/incoming/acme")).into_iter().flatten();
        found.into_iter().any(|entry| entry.path().ends_with("dune/later.mov"))
    };
    wait_until("the portal's folder has it", LIMIT, later).await;
    assert!(!bench.agent.path("home/incoming").exists(), "a disabled rule receives nothing");
}
