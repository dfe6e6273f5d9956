//! Files and lists that somebody exchanges at the very moment when the agent reads them to compare them: the reading is held, the exchange is
//! made, and the reading goes on. What is sent is what was compared, and what was sent before is not taken for what is there now.

use std::fs::{File, FileTimes};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::process::Agent;
use crate::support::received;

const LIMIT: Duration = Duration::from_secs(60);
/// MD5 of `harmless`.
const SUM: &str = "d8eced3b06972df4d1dd7d835fc3edd3";

/// An agent that stops at one place, once.
struct Held {
    agent: Agent,
    /// Is there while it stands still.
    hold: PathBuf,
}

impl Held {
    /// Not running yet; the folder `drop` is there. `keys` are those of its rule.
    fn prepare(place: &str, keys: &str) -> Self {
        let rules =
            format!("rules:\n  - {{ name: cards, watch: drop, settle: 200ms, upload: {{ kind: link }}, {keys} }}\n");
        let mut agent = Agent::prepare(&rules, &[]);
        let hold = agent.path("hold");
        agent.environment = vec![("MASV_HOLD_AT".to_owned(), format!("{place}:{}", hold.display()))];
        std::fs::create_dir(agent.path("drop")).unwrap();
        Self { agent, hold }
    }

    fn until(&self, what: &str, condition: impl Fn() -> bool) {
        let deadline = Instant::now() + LIMIT;
        while !condition() {
            assert!(Instant::now() < deadline, "not within {LIMIT:?}: {what}\n{}", self.agent.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn stands_still(&self) {
        self.until("it comes to the place", || self.hold.exists());
    }

    fn goes_on(&self) {
        std::fs::remove_file(&self.hold).unwrap();
    }

    /// Waits until one of the waiting files has all these words for a reason. Nothing is sent meanwhile.
    fn holds_because(&self, words: &[&str]) {
        self.until(&format!("a reason with {words:?}"), || {
            assert_eq!(
                self.agent.json(&["upload", "ls"])["transfers"],
                Value::Array(Vec::new()),
                "{}",
                self.agent.log()
            );
            let status = self.agent.json(&["rule", "status", "cards"]);
            let waiting = status["waiting"].as_array().unwrap().clone();
            waiting.iter().any(|file| words.iter().all(|word| file["reason"].as_str().unwrap().contains(word)))
        });
    }

    /// What arrives with so many complete uploads.
    async fn arrives(&self, uploads: usize) -> Vec<(String, Vec<u8>)> {
        let list = self.agent.wait_for("it is sent", LIMIT, |list| {
            list.len() == uploads && list.iter().all(|upload| upload["state"] == "complete")
        });
        let mut all = Vec::new();
        for upload in list {
            all.extend(received(upload["links"][0]["url"].as_str().unwrap()).await);
        }
        all
    }
}

/// A card of one clip with its list, made elsewhere.
fn card(agent: &Agent, clip: &str) {
    let made = agent.path("A001");
    std::fs::create_dir(&made).unwrap();
    std::fs::write(made.join("clip.mov"), clip).unwrap();
    std::fs::write(made.join("card.md5"), format!("{SUM}  clip.mov\n")).unwrap();
    std::fs::rename(made, agent.path("drop/A001")).unwrap();
}

/// Writes other bytes under the date that the file has, into it.
fn rewrite(path: &Path, bytes: &str) {
    let modified = std::fs::metadata(path).unwrap().modified().unwrap();
    std::fs::write(path, bytes).unwrap();
    File::options().write(true).open(path).unwrap().set_times(FileTimes::new().set_modified(modified)).unwrap();
}

/// The same as a file that is put in its place.
fn replace(path: &Path, bytes: &str) {
    let (beside, modified) = (path.with_file_name(".other"), std::fs::metadata(path).unwrap().modified().unwrap());
    std::fs::write(&beside, bytes).unwrap();
    File::options().write(true).open(&beside).unwrap().set_times(FileTimes::new().set_modified(modified)).unwrap();
    std::fs::rename(beside, path).unwrap();
}

/// A link to a private file that is what the list says.
fn link(path: &Path, bytes: &str) {
    let private = path.ancestors().nth(3).unwrap().join("private.mov");
    std::fs::write(&private, bytes).unwrap();
    std::fs::remove_file(path).unwrap();
    symlink(private, path).unwrap();
}

const CARDS: &str = "package: { per: folder, quiet: 200ms }, ready: { manifest: '*.md5' }";

/// What the list says was read, and another file was there by the time it was sent.
#[tokio::test(flavor = "multi_thread")]
async fn a_clip_exchanged_while_it_is_compared_with_its_list_is_not_sent() {
    type Exchange = fn(&Path, &str);
    let exchanges: [(Exchange, &str, &[&str]); 3] = [
        (rewrite, "harmfull", &["clip.mov", "the list says", SUM]),
        (replace, "harmfull", &["clip.mov", "the list says", SUM]),
        (link, "harmless", &["clip.mov", "does not exist"]),
    ];
    for (exchange, bytes, words) in exchanges {
        let mut held = Held::prepare("listed.opened", CARDS);
        card(&held.agent, "harmless");
        held.agent.go_on();
        held.stands_still();
        exchange(&held.agent.path("drop/A001/clip.mov"), bytes);
        held.goes_on();
        held.holds_because(words);
        std::fs::write(held.agent.path("right"), "harmless").unwrap();
        std::fs::rename(held.agent.path("right"), held.agent.path("drop/A001/clip.mov")).unwrap();
        let clip = held.arrives(1).await.remove(1);
        assert_eq!(clip, ("A001/clip.mov".to_owned(), b"harmless".to_vec()));
    }
}

/// The other way round: a wrong clip is corrected while it is read. It is not held for what it was.
#[tokio::test(flavor = "multi_thread")]
async fn a_clip_corrected_while_it_is_compared_with_its_list_is_sent() {
    for exchange in [rewrite, replace] {
        let mut held = Held::prepare("listed.opened", CARDS);
        card(&held.agent, "harmfull");
        held.agent.go_on();
        held.stands_still();
        exchange(&held.agent.path("drop/A001/clip.mov"), "harmless");
        held.goes_on();
        assert_eq!(held.arrives(1).await.remove(1), ("A001/clip.mov".to_owned(), b"harmless".to_vec()));
    }
}

/// A batch; its folder is not looked at once more before it is sent, and no events tell of changes.
const BATCH: &str =
    "package: { per: batch, quiet: 200ms }, ready: { manifest: '*.md5' }, exclude: ['*.md5'], poll: 1h, rescan: 1h";

/// A list was written anew while it was read: what had been written by then counted as all of it, and the card was sent without the clips
/// that came after.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_written_anew_while_it_is_read_is_read_again() {
    let mut held = Held::prepare("list.opened", BATCH);
    card(&held.agent, "harmless");
    held.agent.go_on();
    held.stands_still();
    let mut list = File::create(held.agent.path("drop/A001/card.md5")).unwrap();
    writeln!(list, "{SUM}  clip.mov").unwrap();
    held.goes_on();
    held.holds_because(&["card.md5", "is not complete yet"]);
    writeln!(list, "{SUM}  second.mov").unwrap();
    drop(list);
    held.holds_because(&["second.mov", "does not exist"]);
}

/// A file that was sent is touched, and exchanged while it is read to see whether it changed: the other one was taken for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_exchanged_while_it_is_compared_with_what_was_sent_is_sent() {
    use std::os::unix::fs::PermissionsExt;
    for exchange in [rewrite, replace] {
        let mut held = Held::prepare("sent.opened", "package: file, rescan: 1s");
        let clip = held.agent.path("drop/clip.mov");
        std::fs::write(&clip, "harmless").unwrap();
        held.agent.go_on();
        held.arrives(1).await;
        std::fs::set_permissions(&clip, std::fs::Permissions::from_mode(0o640)).unwrap();
        held.stands_still();
        exchange(&clip, "harmfull");
        held.goes_on();
        let all = held.arrives(2).await;
        assert!(all.contains(&("clip.mov".to_owned(), b"harmfull".to_vec())), "{all:?}");
    }
}
