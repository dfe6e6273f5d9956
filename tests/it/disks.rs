//! The disk of the agent's own data fills up, or breaks and is read-only, while rules are at work on another: it is told, the agent ends
//! in order, and nothing is lost or sent twice. Only root can mount; without that each test says that it was skipped.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::operations::small_disk;
use crate::process::Agent;
use crate::support::{KEY, TestHub, wait_until};

const LONG: Duration = Duration::from_secs(120);

/// An agent whose data is in one folder, with a watched folder that is on another disk.
struct Bench {
    hub: TestHub,
    watched: tempfile::TempDir,
    agent: Agent,
}

impl Bench {
    async fn start(folder: tempfile::TempDir) -> Self {
        let (hub, watched) = (TestHub::start().await, tempfile::tempdir().unwrap());
        let rules = format!(
            "rules:\n  - {{ name: cards, watch: \"{}\", settle: 200ms, package: file, upload: {{ kind: link }} }}\n",
            watched.path().display()
        );
        let flags = ["--cloud-url", hub.url.as_str(), "--api-key", KEY, "--team-id", &hub.team];
        let agent = Agent::start_in(folder, &rules, &flags);
        Self { hub, watched, agent }
    }

    fn drop_files(&self, numbers: std::ops::Range<usize>) {
        for number in numbers {
            std::fs::write(self.watched.path().join(format!("{number}.mov")), vec![1; 1_000]).unwrap();
        }
    }

    async fn all_sent(&self, count: usize) {
        self.agent.wait_for("all are sent", LONG, |list| {
            list.len() == count && list.iter().all(|upload| upload["state"] == "complete")
        });
        assert_eq!(self.hub.stored_packages().await, count, "each once");
    }

    async fn ready(&self) -> u16 {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        client.get(format!("{}/readyz", self.agent.url())).send().await.unwrap().status().as_u16()
    }

    /// Probes, the doctor and the rule itself say that nothing can be kept.
    async fn is_told(&self) {
        wait_until("the probe tells that nothing can be kept", LONG, async || self.ready().await == 503).await;
        let examined: Value = serde_json::from_slice(&self.agent.masv(&["doctor"]).stdout).unwrap();
        let state = examined["checks"].as_array().unwrap().iter().find(|check| check["name"] == "state").unwrap();
        assert_eq!(state["grade"], "red", "{state}");
        wait_until("the rule tells why it does nothing", LONG, async || self.has_trouble()).await;
    }

    fn has_trouble(&self) -> bool {
        self.agent.json(&["rule", "status", "cards"])["last_error"]["over"] == false
    }

    /// How many failures of the rule there are events of.
    async fn failures(&self) -> usize {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut answer =
            client.get(format!("{}/metrics", self.agent.url())).send().await.unwrap().text().await.unwrap();
        answer.retain(|character| character != ' ');
        let line = answer.lines().find_map(|line| line.strip_prefix("masv_events_total{kind=\"rule.error\"}"));
        line.map_or(0, |count| count.parse::<f64>().unwrap() as usize)
    }
}

/// "Data directory full": told, and what came meanwhile is sent when there is room, by the agent that runs on and by the next one.
#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_nothing_is_lost_and_the_agent_goes_on_when_there_is_room_or_ends_in_order() {
    let Some(mut disk) = small_disk() else { return };
    let mut bench = Bench::start(disk.folder()).await;
    bench.drop_files(0..1);
    bench.all_sent(1).await;
    let ballast = bench.agent.path("ballast");
    disk.fill(&ballast);
    bench.drop_files(1..4);
    bench.is_told().await;
    std::fs::remove_file(&ballast).unwrap();
    bench.all_sent(4).await;
    wait_until("it is ready again", LONG, async || bench.ready().await == 200).await;
    assert!(!bench.has_trouble(), "it is over");
    wait_until("there is an event of it, although nothing could be written", LONG, async || bench.failures().await > 0)
        .await;

    disk.fill(&ballast);
    bench.drop_files(4..6);
    bench.is_told().await;
    assert_eq!(bench.agent.stop(), Some(0), "{}", bench.agent.log());
    std::fs::remove_file(&ballast).unwrap();
    bench.agent.go_on();
    bench.all_sent(6).await;
}

/// A real file system on a file, which the kernel makes read-only when it finds an error, whoever has files open there.
struct BreakableDisk {
    folder: tempfile::TempDir,
}

impl BreakableDisk {
    #[expect(clippy::print_stderr, reason = "says that the test was skipped")]
    fn new() -> Option<Self> {
        let disk = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::create_dir(disk.mount()).unwrap();
        let image = std::fs::File::create(disk.image()).unwrap();
        image.set_len(64 << 20).unwrap();
        let made = run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(disk.image())) && disk.mount_again();
        let breaks = made && disk.trigger().is_some_and(|trigger| trigger.exists());
        if !breaks {
            eprintln!("skipped: only root can mount a disk and break it");
        }
        breaks.then_some(disk)
    }

    fn image(&self) -> PathBuf {
        self.folder.path().join("image")
    }

    fn mount(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    fn mount_again(&self) -> bool {
        run(Command::new("mount").args(["-o", "loop,errors=remount-ro"]).arg(self.image()).arg(self.mount()))
    }

    /// Where the kernel takes that it has found an error.
    fn trigger(&self) -> Option<PathBuf> {
        let mounts = std::fs::read_to_string("/proc/mounts").ok()?;
        let mount = self.mount();
        let line = mounts.lines().find(|line| line.split(' ').nth(1).is_some_and(|at| Path::new(at) == mount))?;
        let device = Path::new(line.split(' ').next()?).file_name()?.to_owned();
        Some(Path::new("/sys/fs/ext4").join(device).join("trigger_fs_error"))
    }

    fn break_it(&self) {
        std::fs::write(self.trigger().unwrap(), "1").unwrap();
        assert!(std::fs::write(self.mount().join("probe"), "x").is_err(), "it is read-only");
    }

    /// As an operator would: nothing is left open on it, it is checked and mounted again.
    fn repair(&self) {
        assert!(run(Command::new("umount").arg(self.mount())), "somebody has a file open there");
        // It says by its exit code that it mended something.
        let _ = run(Command::new("e2fsck").arg("-fy").arg(self.image()));
        assert!(self.mount_again());
    }
}

impl Drop for BreakableDisk {
    fn drop(&mut self) {
        run(Command::new("umount").arg("--lazy").arg(self.mount()));
    }
}

fn run(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// A disk that becomes read-only under a running agent: told, the agent ends in order, and the next one sends what came meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_becomes_read_only_is_told_and_loses_nothing_once_it_is_repaired() {
    let Some(disk) = BreakableDisk::new() else { return };
    let mut bench = Bench::start(tempfile::tempdir_in(disk.mount()).unwrap()).await;
    bench.drop_files(0..1);
    bench.all_sent(1).await;
    disk.break_it();
    bench.drop_files(1..4);
    bench.is_told().await;
    assert_eq!(bench.agent.stop(), Some(0), "{}", bench.agent.log());
    disk.repair();
    bench.agent.go_on();
    bench.all_sent(4).await;
}
