//! Files that are sent while they are written: what arrives is what is on the disk in the end, whatever their writers do meanwhile and
//! however often the agent dies, and nothing is finalized before.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use masv_agent::model::{KeptExactSizes, SourceFile, State};

use crate::process::Agent;
use crate::support::{TestEngine, TestHub, content, digests, received, source_file, spec, wait_until};

const LIMIT: Duration = Duration::from_secs(90);
const CHUNK: usize = 5 << 20;
const MIB: usize = 1 << 20;

/// An agent whose rule sends what grows, in small parts; with these keys besides.
fn agent(keys: &str) -> Agent {
    let rules = format!(
        "rules:\n  - name: rec\n    watch: drop\n    create: true\n    settle: 1s\n    rescan: 1h\n    growing: send\n    \
         growing_min: 6MiB\n    growing_guard: 5MiB\n    upload: {{ kind: link, chunk_size: 5MiB }}\n    {keys}\n"
    );
    let mut agent = Agent::prepare(&rules, &["--log-level", "info,masv_hub=debug"]);
    std::fs::create_dir(agent.path("drop")).unwrap();
    agent.go_on();
    agent
}

/// A program that writes: it keeps its file open, and knows what it has to hold in the end.
struct Writer {
    path: PathBuf,
    file: File,
    bytes: Vec<u8>,
    seed: u64,
}

impl Writer {
    fn new(path: PathBuf) -> Self {
        let file = OpenOptions::new().create(true).truncate(true).write(true).open(&path).unwrap();
        Self { path, file, bytes: Vec::new(), seed: 1 }
    }

    fn append(&mut self, length: usize) {
        self.seed += 1;
        let more = content(self.seed, length);
        self.file.write_all_at(&more, self.bytes.len() as u64).unwrap();
        self.bytes.extend(more);
    }

    fn rewrite(&mut self, offset: usize, length: usize) {
        self.seed += 1;
        let (from, to) = (offset.min(self.bytes.len()), (offset + length).min(self.bytes.len()));
        let other = content(self.seed, to - from);
        self.file.write_all_at(&other, from as u64).unwrap();
        self.bytes[from..to].copy_from_slice(&other);
    }

    fn truncate(&mut self, length: usize) {
        self.bytes.truncate(length);
        self.file.set_len(self.bytes.len() as u64).unwrap();
    }

    /// Grows bit by bit until this many bytes of an upload are confirmed.
    fn append_until_sent(&mut self, agent: &Agent, bytes: u64) {
        let deadline = Instant::now() + LIMIT;
        while sent(agent) < bytes {
            assert!(Instant::now() < deadline, "nothing is sent of what grows:\n{}", agent.log());
            if self.bytes.len() < 80 * MIB {
                self.append(2 * MIB);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

fn uploads(agent: &Agent) -> Vec<Value> {
    agent.json(&["upload", "ls"])["transfers"].as_array().unwrap().clone()
}

/// Bytes that are confirmed of all uploads.
fn sent(agent: &Agent) -> u64 {
    uploads(agent).iter().map(|upload| upload["progress"].as_u64().unwrap_or_default()).sum()
}

fn is_complete(upload: &Value) -> bool {
    upload["state"] == "complete"
}

fn stored(agent: &Agent) -> usize {
    agent.log().lines().filter(|line| line.contains("part stored")).count()
}

/// All that a recipient gets of all complete packages.
async fn arrived(agent: &Agent) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for upload in uploads(agent).iter().filter(|upload| is_complete(upload)) {
        files.extend(received(upload["links"][0]["url"].as_str().unwrap()).await);
    }
    files.sort();
    files
}

/// The header is written anew at the end, as writers of MOV, MXF and WAV do: its part is sent again and no other.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_while_it_grows_arrives_as_it_is_in_the_end() {
    let agent = agent("package: file");
    let mut writer = Writer::new(agent.path("drop/take.mov"));
    writer.append_until_sent(&agent, 4 * CHUNK as u64);
    assert!(!uploads(&agent).iter().any(is_complete), "it is still being written");
    let status = agent.json(&["rule", "status", "rec", "--output", "json"]);
    let reason = status["waiting"][0]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("is being written, and sent meanwhile"), "{status:#}");
    let explained = agent.json(&["rule", "explain", "drop/take.mov", "--output", "json"]).to_string();
    assert!(explained.contains("bytes so far are sent"), "{explained}");
    agent.wait_for("it says so", LIMIT, |list| {
        list[0]["activity"] == "growing" && list[0]["error"]["message"].as_str().unwrap().contains("is being written")
    });
    writer.append(3 * MIB + 17);
    writer.rewrite(40, 4_000);
    let (path, bytes) = (writer.path.clone(), writer.bytes.clone());
    drop(writer);
    agent.wait_for("it arrives", LIMIT, |list| list.len() == 1 && is_complete(&list[0]));
    assert_eq!(std::fs::read(path).unwrap(), bytes);
    assert_eq!(digests(&arrived(&agent).await), digests(&[("take.mov".to_owned(), bytes.clone())]));
    let parts = bytes.len().div_ceil(CHUNK);
    assert_eq!(stored(&agent), parts + 1, "{parts} parts, and the first one twice\n{}", agent.log());
    let log = agent.log();
    assert!(log.contains("outdated=1"), "{log}");
}

/// What was begun is dropped, and the file is an ordinary one again: it arrives once, as it is in the end.
#[tokio::test(flavor = "multi_thread")]
async fn a_growing_file_that_is_cut_replaced_or_renamed_is_given_up_and_arrives_once_it_is_complete() {
    type Change = fn(&mut Writer);
    let cases: [(&str, Change, &str); 3] = [
        ("has become smaller", |writer| writer.truncate(1_000), "take.mov"),
        (
            "no longer there under this name",
            |writer| std::fs::rename(&writer.path, writer.path.with_file_name("final.mov")).unwrap(),
            "final.mov",
        ),
        (
            "has taken its place",
            |writer| {
                let beside = writer.path.with_file_name(".other");
                std::fs::write(&beside, &writer.bytes).unwrap();
                std::fs::rename(&beside, &writer.path).unwrap();
                writer.file = OpenOptions::new().write(true).open(&writer.path).unwrap();
            },
            "take.mov",
        ),
    ];
    for (words, change, name) in cases {
        let agent = agent("package: file");
        let mut writer = Writer::new(agent.path("drop/take.mov"));
        writer.append_until_sent(&agent, CHUNK as u64);
        change(&mut writer);
        let deadline = Instant::now() + LIMIT;
        while !agent.log().contains("what was sent of a file while it was written is dropped") {
            assert!(Instant::now() < deadline, "it is not given up: {words}\n{}", agent.log());
            writer.append(1_000);
            std::thread::sleep(Duration::from_millis(50));
        }
        assert!(agent.log().contains(words), "{words}\n{}", agent.log());
        writer.append(2_000);
        let bytes = writer.bytes.clone();
        drop(writer);
        agent.wait_for("it arrives", LIMIT, |list| list.iter().any(is_complete));
        assert_eq!(digests(&arrived(&agent).await), digests(&[(name.to_owned(), bytes)]), "{words}");
        assert_eq!(uploads(&agent).len(), 1, "{words}");
    }
}

/// A folder goes as one package: it is begun with the file that grows, and finalized when all of it is complete.
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_with_growing_files_is_one_package_once_all_of_it_is_complete() {
    let agent = agent("package: { per: folder, quiet: 1s }");
    std::fs::create_dir(agent.path("drop/card")).unwrap();
    let mut one = Writer::new(agent.path("drop/card/one.mov"));
    let mut two = Writer::new(agent.path("drop/card/two.mov"));
    for _ in 0..8 {
        one.append(2 * MIB);
        two.append(2 * MIB);
        std::thread::sleep(Duration::from_millis(150));
    }
    one.append_until_sent(&agent, 2 * CHUNK as u64);
    std::fs::write(agent.path("drop/card/notes.txt"), "of the day").unwrap();
    let first = one.bytes.clone();
    drop(one);
    std::thread::sleep(Duration::from_secs(3));
    assert!(!uploads(&agent).iter().any(is_complete), "the other is still being written");
    two.append(MIB);
    let second = two.bytes.clone();
    drop(two);
    agent.wait_for("it arrives", LIMIT, |list| list.len() == 1 && is_complete(&list[0]));
    let expected = [
        ("card/notes.txt".to_owned(), b"of the day".to_vec()),
        ("card/one.mov".to_owned(), first),
        ("card/two.mov".to_owned(), second),
    ];
    assert_eq!(digests(&arrived(&agent).await), digests(&expected));
}

/// A file of its final size from the start, of which the writer has not written much: it waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_given_its_size_in_advance_waits() {
    let agent = agent("package: file");
    let path = agent.path("drop/disk.img");
    let mut writer = Writer::new(path.clone());
    for step in 1..=12 {
        // Bit by bit, so that it grows; nothing but its beginning is written.
        writer.file.set_len((step * 4 * MIB) as u64).unwrap();
        writer.bytes.resize(step * 4 * MIB, 0);
        writer.rewrite(step * MIB, MIB);
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(sent(&agent), 0, "{:#?}", uploads(&agent));
    let bytes = writer.bytes.clone();
    drop(writer);
    agent.wait_for("it arrives", LIMIT, |list| list.len() == 1 && is_complete(&list[0]));
    assert_eq!(digests(&arrived(&agent).await), digests(&[("disk.img".to_owned(), bytes)]));
    assert_eq!(stored(&agent), 48 * MIB / CHUNK + 1);
}

/// How many histories; set `HISTORIES=100` for the long run.
fn histories() -> u64 {
    std::env::var("HISTORIES").ok().and_then(|text| text.parse().ok()).unwrap_or(3)
}

/// Random histories: writers append, go back, cut, rename, begin anew and pause, and the agent dies at any moment. Each file that is there in
/// the end arrives as it is in the end, and nothing arrives that was being written (R1 to R4, R6).
#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_writer_of_a_growing_file_does_what_arrives_is_what_it_is_in_the_end() {
    for seed in 0..histories() {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut agent = agent("package: file");
        let mut writers = vec![Writer::new(agent.path("drop/a.mov")), Writer::new(agent.path("drop/b.mov"))];
        let mut told = Vec::new();
        for step in 0..40 {
            let number = random.usize(0..writers.len());
            let writer = &mut writers[number];
            let size = writer.bytes.len();
            let what = random.u32(0..100);
            match what {
                0..60 => writer.append(random.usize(1..4 * MIB)),
                60..68 => writer.rewrite(0, random.usize(1..100_000)),
                68..74 => writer.rewrite(random.usize(0..size.max(1)), random.usize(1..MIB)),
                74..76 => writer.truncate(random.usize(0..=size)),
                76..78 => {
                    let to = writer.path.with_file_name(format!("{number}-{step}.mov"));
                    std::fs::rename(&writer.path, &to).unwrap();
                    writer.path = to;
                }
                78..80 => {
                    writer.truncate(0);
                    writer.append(MIB);
                }
                80..86 => std::thread::sleep(Duration::from_millis(random.u64(500..1_500))),
                86..92 => {
                    agent.kill();
                    agent.go_on();
                }
                _ => {}
            }
            told.push((number, what, writers[number].bytes.len()));
            std::thread::sleep(Duration::from_millis(random.u64(0..200)));
        }
        assert!(!uploads(&agent).iter().any(is_complete), "seed {seed}: both are open\n{}", agent.log());
        let expected: BTreeMap<String, Vec<u8>> = writers
            .iter()
            .map(|writer| (writer.path.file_name().unwrap().to_str().unwrap().to_owned(), writer.bytes.clone()))
            .filter(|(_, bytes)| !bytes.is_empty())
            .collect();
        drop(writers);
        if random.bool() {
            agent.kill();
            agent.go_on();
        }
        let wanted = expected.len();
        agent.wait_for(&format!("seed {seed}: {told:?}"), LIMIT, |list| {
            list.iter().filter(|upload| is_complete(upload)).count() >= wanted
        });
        let expected: Vec<(String, Vec<u8>)> = expected.into_iter().collect();
        assert_eq!(digests(&arrived(&agent).await), digests(&expected), "seed {seed}: {told:?}");
        let list = uploads(&agent);
        assert!(list.iter().all(is_complete), "seed {seed}: something else is left: {list:#?}");
    }
}

/// A cloud that refuses a file of another size than it was announced with: the file is announced and sent anew, once; from then on nothing is
/// sent to that cloud before it is complete.
#[tokio::test(flavor = "multi_thread")]
async fn a_cloud_that_wants_the_true_size_gets_files_once_they_are_complete() {
    let hub = TestHub::start_without_batches().await;
    let engine = TestEngine::start(hub.cloud()).await;
    for (name, sent_meanwhile) in [("one.mov", true), ("two.mov", false)] {
        let bytes = content(5, 8 * CHUNK);
        let growing = |guard| {
            let path = engine.folder.path().join("source").join(name);
            let claim = Some(name.into());
            SourceFile { claim, guard, ..source_file(Path::new(name), path) }
        };
        engine.file(name, &bytes[..6 * CHUNK]);
        let id = engine.queue.submit(spec(vec![growing(Some(CHUNK as u64))])).await.unwrap();
        if sent_meanwhile {
            wait_until("something is sent", LIMIT, || async {
                engine.upload(id).await.totals.bytes_done == 5 * CHUNK as u64
            })
            .await;
        }
        engine.file(name, &bytes);
        engine.queue.growing_settled(id, vec![growing(None)], Vec::new()).await.unwrap();
        let upload = engine.wait_for(id, State::Complete).await;
        assert_eq!(digests(&received(&upload.links[0].url).await), digests(&[(name.to_owned(), bytes)]));
        assert_eq!(upload.totals.bytes_done, upload.totals.bytes);
        assert_eq!(engine.store.kept::<KeptExactSizes>().await.unwrap().unwrap().clouds.len(), 1);
    }
}

/// `ffmpeg` records: MOV, whose header is written anew at the end, and MPEG-TS, which only grows.
#[tokio::test(flavor = "multi_thread")]
async fn what_ffmpeg_records_is_sent_meanwhile_and_arrives_whole() {
    let runs = Command::new("ffmpeg").arg("-version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !runs.is_ok_and(|status| status.success()) {
        let said = "ffmpeg is not installed: real recordings are not tried\n";
        let _ = std::io::Write::write_all(&mut std::io::stderr(), said.as_bytes());
        return;
    }
    let agent = agent("package: file");
    let record = |name: &str, more: &[&str]| {
        Command::new("ffmpeg")
            .args(["-v", "error", "-re", "-f", "lavfi", "-i", "testsrc2=s=640x480:r=25", "-t", "8"])
            .args(more)
            .arg(agent.path("drop").join(name))
            .stdin(Stdio::null())
            .spawn()
            .unwrap()
    };
    // Uncompressed, and padded to a fixed rate: both are large for little work.
    let raw = ["-c:v", "rawvideo", "-pix_fmt", "uyvy422"];
    let padded = ["-c:v", "mpeg2video", "-b:v", "20M", "-f", "mpegts", "-muxrate", "40M"];
    let mut recorders = [record("take.mov", &raw), record("take.ts", &padded)];
    let mut most = 0;
    let mut was_complete = false;
    while recorders.iter_mut().any(|one| one.try_wait().unwrap().is_none()) {
        most = most.max(sent(&agent));
        was_complete |= uploads(&agent).iter().filter(|upload| is_complete(upload)).count() > 1;
        std::thread::sleep(Duration::from_millis(100));
    }
    for recorder in &mut recorders {
        assert!(recorder.wait().unwrap().success());
    }
    assert!(!was_complete);
    agent.wait_for("both arrive", LIMIT, |list| list.iter().filter(|upload| is_complete(upload)).count() == 2);
    let expected: Vec<(String, Vec<u8>)> = ["take.mov", "take.ts"]
        .iter()
        .map(|name| ((*name).to_owned(), std::fs::read(agent.path("drop").join(name)).unwrap()))
        .collect();
    assert!(expected.iter().any(|(_, bytes)| bytes.len() > 12 * MIB), "{:?}", digests(&expected));
    assert!(most > 0, "nothing was sent while it was recorded: {:?}", digests(&expected));
    assert_eq!(digests(&arrived(&agent).await), digests(&expected));
}

/// Together with `upload: { manifest: md5 }`: the list that goes with the package has the checksum of the file as it is in the end, not of
/// what was sent before its header was rewritten.
#[tokio::test(flavor = "multi_thread")]
async fn the_list_of_what_was_sent_while_it_grew_has_the_checksum_of_the_end() {
    let mut agent = Agent::prepare(
        "rules:\n  - { name: rec, watch: drop, create: true, settle: 1s, package: file, growing: send, growing_min: 6MiB, \
         growing_guard: 5MiB, upload: { kind: link, chunk_size: 5MiB, manifest: md5 } }\n",
        &[],
    );
    std::fs::create_dir(agent.path("drop")).unwrap();
    agent.go_on();
    let mut writer = Writer::new(agent.path("drop/take.mov"));
    writer.append_until_sent(&agent, 2 * CHUNK as u64);
    writer.rewrite(40, 4_000);
    writer.append(MIB);
    let bytes = writer.bytes.clone();
    drop(writer);
    agent.wait_for("it arrives", LIMIT, |list| list.len() == 1 && is_complete(&list[0]));
    let arrived = arrived(&agent).await;
    let list = arrived.iter().find(|(name, _)| name.ends_with(".md5")).expect("the list is in the package");
    let list = String::from_utf8(list.1.clone()).unwrap();
    let md5 = hex::encode(masv_digest::Md5::digest(&bytes));
    assert!(list.contains(&md5) && list.contains("take.mov"), "{md5} is not in\n{list}");
    assert!(arrived.iter().any(|(name, content)| name == "take.mov" && *content == bytes));
    assert_eq!(arrived.len(), 2);
}

/// Together with `ready: { manifest: ... }`: what was sent while it grew is finalized only when its list says that it is right.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_while_it_grew_waits_for_its_checksum_list() {
    let agent = agent("package: file\n    ready: { manifest: '*.md5' }");
    let mut writer = Writer::new(agent.path("drop/take.mov"));
    writer.append_until_sent(&agent, 2 * CHUNK as u64);
    writer.append(MIB);
    let bytes = writer.bytes.clone();
    drop(writer);
    let md5 = |bytes: &[u8]| hex::encode(masv_digest::Md5::digest(bytes));
    std::fs::write(agent.path("drop/take.md5"), format!("{}  take.mov\n", md5(b"another"))).unwrap();
    wait_until("the list is compared", LIMIT, || async {
        agent.json(&["rule", "status", "rec", "--output", "json"]).to_string().contains("checksum")
    })
    .await;
    let is_sent = uploads(&agent).iter().any(|upload| upload["name"] == "take.mov" && is_complete(upload));
    assert!(!is_sent, "it is not what its list says");
    std::fs::write(agent.path("drop/take.md5"), format!("{}  take.mov\n", md5(&bytes))).unwrap();
    let is_take = |upload: &Value| upload["name"] == "take.mov" && is_complete(upload);
    agent.wait_for("it arrives", LIMIT, |list| list.iter().any(is_take));
    let arrived = arrived(&agent).await;
    // The list is a package of its own, which may have been sent by now.
    let takes: Vec<_> = arrived.iter().filter(|(name, _)| name == "take.mov").collect();
    assert!(takes.len() == 1 && takes[0].1 == bytes, "{} times", takes.len());
}
