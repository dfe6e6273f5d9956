//! Folders that others write to: whatever they exchange for whatever, nothing from elsewhere is sent, and nothing elsewhere
//! is touched.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use masv_agent::engine::RateLimit;
use masv_agent::model::{FileState, Problem, SourceFile, State, UploadId};
use masv_platform::{Folder, PathBeneath, own_user};
use serde_json::json;

use crate::process::Agent;
use crate::support::{TestEngine, TestHub, content, received, spec, wait_until};

const LIMIT: Duration = Duration::from_secs(60);
/// What is in every line of what must never be sent.
pub const SECRET: &str = "root:$6$secret-that-nobody-may-have:19000";

/// A private file of the requested size.
pub fn secret(folder: &Path, name: &str, size: usize) -> PathBuf {
    std::fs::create_dir_all(folder).unwrap();
    let path = folder.join(name);
    std::fs::write(&path, format!("{SECRET}\n").repeat(size / SECRET.len() + 1)).unwrap();
    path
}

/// Whether a secret is in any file below a folder.
pub fn holds_secret(folder: &Path) -> bool {
    let walk = walkdir::WalkDir::new(folder).into_iter().flatten().filter(|entry| entry.file_type().is_file());
    let needle = SECRET.as_bytes();
    walk.map(|entry| std::fs::read(entry.path()).unwrap_or_default())
        .any(|bytes| bytes.windows(needle.len()).any(|window| window == needle))
}

/// Puts `new` in the place of `path` at one moment.
fn exchange(path: &Path, put: impl FnOnce(&Path)) {
    let beside = path.with_file_name(".beside");
    put(&beside);
    std::fs::rename(beside, path).unwrap();
}

/// An upload that is slow enough to meddle with.
struct Slow {
    hub: TestHub,
    engine: TestEngine,
    id: UploadId,
    /// The file that is sent.
    path: PathBuf,
    outside: PathBuf,
}

impl Slow {
    /// Its first bytes are in flight, beneath the folder `source`.
    async fn start() -> Self {
        let hub = TestHub::start().await;
        let engine = TestEngine::start(hub.cloud()).await;
        let slow = RateLimit { enabled: true, rate_limit_bps: 2_000_000, ..RateLimit::default() };
        engine.queue.throttle().set(slow);
        let outside = engine.folder.path().join("outside");
        let mut file = engine.file("card/clip.mov", &content(1, 24_000_000));
        file.source = PathBeneath::new(engine.folder.path().join("source"), "card/clip.mov");
        file.owner = Some(own_user());
        let path = file.source.whole();
        let id = engine.queue.submit(spec(vec![file])).await.unwrap();
        let moving = || async { engine.queue.live(id).is_some_and(|live| live.in_flight > 0) };
        wait_until("it is being sent", LIMIT, moving).await;
        Self { hub, engine, id, path, outside }
    }

    /// Lets it continue at full speed until it has failed; nothing of the secret is in the hub.
    async fn refused(&self) -> Problem {
        self.engine.queue.throttle().set(RateLimit { enabled: false, ..RateLimit::default() });
        let problem = self.engine.wait_long_for(self.id, State::Error, LIMIT).await.problem.unwrap();
        assert!(matches!(problem.code.as_str(), "source_replaced" | "source_other_user"), "{problem:?}");
        assert_eq!(self.engine.files(self.id).await[0].state, FileState::Error);
        assert!(!holds_secret(self.hub.data()));
        problem
    }
}

/// Others may write into the folder: while a file was sent, a link to a private one took its place, and the private one was
/// delivered.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_exchanged_for_a_link_while_it_is_sent_is_refused() {
    let slow = Slow::start().await;
    let private = secret(&slow.outside, "shadow", 24_000_000);
    exchange(&slow.path, |beside| symlink(&private, beside).unwrap());
    let problem = slow.refused().await;
    assert!(problem.message.contains("is now a symbolic link"), "{problem:?}");
}

/// The same by a link in the place of the folder that the file is in.
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_exchanged_for_a_link_while_its_file_is_sent_is_refused() {
    let slow = Slow::start().await;
    secret(&slow.outside, "clip.mov", 24_000_000);
    let card = slow.path.parent().unwrap();
    std::fs::rename(card, card.with_file_name("away")).unwrap();
    symlink(&slow.outside, card).unwrap();
    let problem = slow.refused().await;
    assert!(problem.message.contains("card is now a symbolic link"), "{problem:?}");
    // Restored as it was, it resumes.
    std::fs::remove_file(card).unwrap();
    std::fs::rename(card.with_file_name("away"), card).unwrap();
    slow.engine.queue.resume(slow.id).await.unwrap();
    let upload = slow.engine.wait_long_for(slow.id, State::Complete, LIMIT).await;
    let link = upload.links[0].url.replacen(slow.hub.public().as_str(), slow.hub.url.as_str(), 1);
    assert!(received(&link).await[0].1 == content(1, 24_000_000));
}

/// A named pipe blocks nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_exchanged_for_a_pipe_while_it_is_sent_is_refused() {
    let slow = Slow::start().await;
    exchange(&slow.path, |beside| {
        assert!(std::process::Command::new("mkfifo").arg(beside).status().unwrap().success());
    });
    let problem = slow.refused().await;
    assert!(problem.message.contains("is now a named pipe"), "{problem:?}");
}

/// A file of another user, such as a second name of a private one, is not what was chosen either; who has read that may have it
/// sent.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_exchanged_for_one_of_another_user_is_sent_only_when_somebody_agrees() {
    if own_user() != 0 {
        return; // Nobody else may make files of another user.
    }
    let slow = Slow::start().await;
    exchange(&slow.path, |beside| {
        std::fs::write(beside, "of somebody else").unwrap();
        std::os::unix::fs::chown(beside, Some(12_345), None).unwrap();
    });
    let problem = slow.refused().await;
    assert!(problem.message.contains("another user (id 12345, before 0)"), "{problem:?}");
    slow.engine.queue.resume(slow.id).await.unwrap();
    slow.engine.wait_long_for(slow.id, State::Complete, LIMIT).await;
}

/// What waits in the queue is meddled with as easily.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_exchanged_while_it_waits_is_refused() {
    let hub = TestHub::start().await;
    let engine = TestEngine::start(hub.cloud()).await;
    let private = secret(&engine.folder.path().join("outside"), "shadow", 1_000);
    let file: SourceFile = engine.file("clip.mov", b"harmless");
    exchange(&file.source.whole(), |beside| symlink(&private, beside).unwrap());
    let id = engine.queue.submit(spec(vec![file])).await.unwrap();
    let problem = engine.wait_for(id, State::Error).await.problem.unwrap();
    assert!(problem.code == "source_replaced" && !holds_secret(hub.data()), "{problem:?}");
}

/// `--allow-root` was asked when the upload was ordered, and the folder exchanged afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_stays_below_its_allowed_root_whatever_becomes_of_its_folders() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    std::fs::create_dir_all(root.join("d")).unwrap();
    std::fs::write(root.join("d/secret"), content(2, 30_000_000)).unwrap();
    secret(&folder.path().join("outside"), "secret", 30_000_000);
    let root_flag = root.to_str().unwrap().to_owned();
    let agent = Agent::start_in(folder, "", &["--allow-root", &root_flag]);
    let limited = agent.masv(&["settings", "rate-limit", "update", "--limit", "2MB"]);
    assert!(limited.status.success(), "{}", String::from_utf8_lossy(&limited.stderr));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let order = json!({ "paths": [root.join("d/secret")] });
    let answer = client.post(format!("{}/api/v1/uploads", agent.url())).json(&order).send().await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    agent.wait_for("it is being sent", LIMIT, |list| list[0]["speed_bps"].as_u64().is_some_and(|bytes| bytes > 0));
    std::fs::rename(root.join("d"), root.join("away")).unwrap();
    symlink(agent.path("outside"), root.join("d")).unwrap();
    assert!(agent.masv(&["settings", "rate-limit", "update", "--enabled=false"]).status.success());
    let failed = agent.wait_for("it is refused", LIMIT, |list| list[0]["state"] == "error");
    assert!(failed[0].to_string().contains("is now a symbolic link"), "{failed:?}");
    assert!(!holds_secret(&agent.path("data")));
    assert_eq!(std::fs::metadata(agent.path("outside/secret")).unwrap().nlink(), 1);
}

/// How long others meddle: a few seconds, or as many as MASV_ADVERSARY_SECONDS says.
pub fn meddling() -> Duration {
    let seconds = std::env::var("MASV_ADVERSARY_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(6))
}

/// An attacker who may write to the drop folder and around the place that files are moved to, and replaces files, folders and
/// links at random as fast as a thread can. It follows no link itself: whatever changes outside is the agent's doing.
pub struct Meddler {
    around: Folder,
    /// Where it makes what it puts in the place of something else.
    scratch: Folder,
    /// The folders it meddles with.
    folders: Vec<&'static str>,
    /// The one that it also exchanges as a whole.
    whole: Option<&'static str>,
    outside: PathBuf,
    random: fastrand::Rng,
    aside: String,
}

impl Meddler {
    fn new(around: &Path, outside: &Path, seed: u64) -> Self {
        let meddler = Self::among(around, around, vec!["drop", "drop", "drop", "sent"], outside, seed);
        Self { whole: Some("sent"), ..meddler }
    }

    /// One that may write into these folders of `around`, and into `scratch`.
    pub fn among(around: &Path, scratch: &Path, folders: Vec<&'static str>, outside: &Path, seed: u64) -> Self {
        let (around, scratch) = (Folder::open(around).unwrap(), Folder::open(scratch).unwrap());
        let (random, aside) = (fastrand::Rng::with_seed(seed), format!("aside-{seed}"));
        Self { around, scratch, folders, whole: None, outside: outside.to_owned(), random, aside }
    }

    /// A random place: its folder and its name.
    fn place(&mut self) -> Option<(Folder, OsString)> {
        let name = *self.random.choice(&["a.mov", "b.mov", "card", "card/a.mov", "card/b.mov", "c.mov"]).unwrap();
        let place = match self.whole {
            Some(whole) if self.random.u8(0..8) == 0 => whole.to_owned(),
            _ => format!("{}/{name}", self.random.choice(&self.folders).unwrap()),
        };
        self.around.parent_of(Path::new(&place)).ok()
    }

    /// Whatever fails was in the way of another, or of the agent.
    pub fn meddle(&mut self) -> Option<()> {
        let (folder, name) = self.place()?;
        match self.random.u8(0..8) {
            0 | 1 => {
                let (temporary, mut file) = folder.create_unique("new-", ".tmp", 0o644).ok()?;
                let text = format!("harmless {}", self.random.u64(..)).repeat(self.random.usize(1..4_000));
                file.write_all(text.as_bytes()).ok()?;
                drop(file);
                if folder.replace(&temporary, &name).is_err() {
                    folder.remove_file(&temporary).ok()?;
                }
            }
            2 => drop(folder.make_folder(&name).ok()?),
            3 => {
                let (other, new) = self.place()?;
                folder.rename_new(&name, &other, &new).ok()?;
            }
            4 | 5 => {
                let target = if self.random.bool() { self.outside.clone() } else { self.outside.join("a.mov") };
                let link = format!("link-{}", self.aside);
                symlink(target, self.scratch.path().join(&link)).ok()?;
                let (aside, link) = (OsStr::new(&self.aside), OsStr::new(&link));
                let _ = folder.rename_new(&name, &self.scratch, aside);
                let _ = self.scratch.rename_new(link, &folder, &name).or_else(|_| self.scratch.remove_file(link));
                std::thread::sleep(Duration::from_micros(self.random.u64(0..400)));
                if self.random.bool() {
                    let _ = folder.remove_file(&name);
                    let _ = self.scratch.rename_new(aside, &folder, &name);
                }
                let _ = self.scratch.remove_file(aside);
                let _ = self.scratch.remove_folder(aside);
            }
            6 => folder.remove_file(&name).or_else(|_| folder.remove_folder(&name)).ok()?,
            _ => {
                // A file that rests, so that there is something to send.
                let drops = self.around.below(Path::new("drop")).ok()?;
                let (_, mut file) = drops.create_unique("rest-", ".mov", 0o644).ok()?;
                file.write_all("harmless".repeat(self.random.usize(1..10_000)).as_bytes()).ok()?;
                std::thread::sleep(Duration::from_millis(self.random.u64(0..20)));
            }
        }
        Some(())
    }
}

/// Every file outside with what it is and holds.
pub fn state_of(folder: &Path) -> Vec<(PathBuf, u64, i64, Vec<u8>)> {
    let walk = walkdir::WalkDir::new(folder).sort_by_file_name().into_iter().flatten();
    let files = walk.filter(|entry| entry.file_type().is_file());
    let files = files.map(|entry| {
        let metadata = entry.metadata().unwrap();
        (entry.path().to_owned(), metadata.ino(), metadata.mtime_nsec(), std::fs::read(entry.path()).unwrap())
    });
    files.collect()
}

/// An attacker replaces files, folders and links at random while they are scanned, sent, moved and deleted: no byte of a private file
/// arrives, and nothing outside changes.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_exchanges_what_gets_nothing_from_outside_and_changes_nothing_there() {
    for after in ["{ complete: { move: sent } }", "{ complete: delete }"] {
        let rule = format!(
            "rules:\n  - name: dailies\n    watch: drop\n    create: true\n    settle: 30ms\n    package: file\n    \
             upload: {{ kind: link }}\n    after: {after}\n"
        );
        let mut agent = Agent::prepare(&rule, &[]);
        std::fs::create_dir_all(agent.path("drop")).unwrap();
        let outside = agent.path("outside");
        for name in ["a.mov", "b.mov", "c.mov", "card/a.mov", "card/b.mov"] {
            secret(
                outside.join(name).parent().unwrap(),
                Path::new(name).file_name().unwrap().to_str().unwrap(),
                40_000,
            );
        }
        let before = state_of(&outside);
        // What was deleted goes in the time of the test, too.
        agent.environment = vec![("MASV_HURRY".to_owned(), "1".to_owned())];
        agent.go_on();
        let until = std::time::Instant::now() + meddling() / 2;
        let around = agent.folder.path().to_owned();
        let meddlers: Vec<_> = (0..2)
            .map(|seed| {
                let mut meddler = Meddler::new(&around, &outside, seed);
                std::thread::spawn(move || {
                    while std::time::Instant::now() < until {
                        let _ = meddler.meddle();
                    }
                })
            })
            .collect();
        meddlers.into_iter().for_each(|meddler| meddler.join().unwrap());
        agent.wait_for("something was sent", LIMIT, |list| list.iter().any(|upload| upload["state"] == "complete"));
        assert_eq!(agent.stop(), Some(0), "{}", agent.log());
        assert!(!holds_secret(&agent.path("data")), "a private file arrived: {after}");
        assert!(state_of(&outside) == before, "something outside changed: {after}");
    }
}
