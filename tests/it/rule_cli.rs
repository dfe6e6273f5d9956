//! `masv rule` as it is typed, against an agent of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::support::wait_until;

const LIMIT: Duration = Duration::from_secs(20);

/// A folder with a rules file, and an agent where one was started.
struct Bench {
    folder: tempfile::TempDir,
    agent: Option<Child>,
}

impl Bench {
    fn new(rules: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("rules.yaml"), format!("version: 1\n{rules}")).unwrap();
        std::fs::create_dir(folder.path().join("drop")).unwrap();
        Self { folder, agent: None }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_masv"));
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("MASV_")) {
            command.env_remove(name);
        }
        command.env("MASV_DATA_DIR", self.path("data")).env("TZ", "UTC");
        command
    }

    async fn with_agent(rules: &str) -> Self {
        let mut bench = Self::new(rules);
        let mut start = bench.command(&["server", "start", "--rules", "rules.yaml", "--listen", "http://127.0.0.1:0"]);
        bench.agent = Some(start.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        wait_until("the agent answers", LIMIT, || async { bench.masv(&["server", "status"]).status.success() }).await;
        bench
    }

    fn masv(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Standard output of a command that succeeds.
    fn said(&self, arguments: &[&str]) -> String {
        let output = self.masv(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.said(arguments)).unwrap()
    }

    async fn wait_for_history(&self, count: usize) -> Value {
        let history = || self.json(&["rule", "history", "dailies", "--output", "json"]);
        wait_until("the history is complete", LIMIT, || async {
            let history = history();
            let complete = history["transfers"].as_array().unwrap().iter().filter(|row| row["state"] == "complete");
            complete.count() == count
        })
        .await;
        history()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if let Some(mut agent) = self.agent.take() {
            let _ = agent.kill();
            let _ = agent.wait();
        }
    }
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const RULE: &str = "rules:
  - name: dailies
    watch: drop
    package: file
    settle: 1s
    exclude: ['*.txt']
    schedule: '0 18 * * *'
    upload: { kind: link, name: 'Roll \"{{ stem }}\", {{ count }}' }
    notify: [{ exec: [sh, -c, 'cat > told.new; echo >> told.new; mv told.new told.json'], events: [upload.complete] }]
timezone: Europe/Berlin
";

#[tokio::test]
async fn rules_are_explained_tried_run_and_told_of() {
    let bench = Bench::with_agent(RULE).await;
    std::fs::write(bench.path("drop/A001.mov"), b"film").unwrap();
    std::fs::write(bench.path("drop/notes.txt"), b"no film").unwrap();

    let explained = bench.said(&["rule", "explain", "./drop/../drop/A001.mov", "--output", "text"]);
    assert!(explained.contains("dailies") && explained.contains("It is the rule dailies's."), "{explained}");
    let output = bench.masv(&["rule", "explain", "drop/notes.txt", "--output", "text"]);
    assert_eq!(code(&output), 4);
    assert!(errors(&output).contains("no rule takes"), "{}", errors(&output));
    assert_eq!(code(&bench.masv(&["rule", "explain", "/elsewhere/A001.mov"])), 4);

    let tried = bench.said(&["rule", "dry-run", "--output", "text"]);
    assert!(tried.contains("would send \"Roll \"A001\", 1\" by link (1 file, 4 B)"), "{tried}");
    let other = RULE.replace("Roll", "Reel");
    std::fs::write(bench.path("other.yaml"), format!("version: 1\n{other}")).unwrap();
    let tried = bench.json(&["rule", "dry-run", "other.yaml", "--output", "json"]);
    assert_eq!(tried["rules"][0]["packages"][0]["name"], "Reel \"A001\", 1");
    std::fs::write(bench.path("other.yaml"), "version: 1\nrules: 7\n").unwrap();
    let output = bench.masv(&["rule", "dry-run", "other.yaml"]);
    assert_eq!(code(&output), 2);
    assert!(errors(&output).contains("other.yaml:2"), "{}", errors(&output));

    let status = bench.said(&["rule", "status", "dailies", "--output", "text"]);
    assert!(status.contains("schedule At 18:00 (Europe/Berlin)"), "{status}");
    let next = status.lines().find(|line| line.starts_with("  next ")).unwrap();
    assert_eq!(next.matches("18:00").count(), 3, "{next}");
    assert!(bench.said(&["rule", "ls", "--output", "text"]).contains("LAST ERROR"));

    let settled =
        || bench.said(&["rule", "explain", "drop/A001.mov", "--output", "text"]).contains("packages are made");
    wait_until("only the schedule is waited for", LIMIT, || async { settled() }).await;
    bench.said(&["rule", "run", "dailies"]);
    let history = bench.wait_for_history(1).await;
    let link = history["transfers"][0]["links"][0]["url"].as_str().unwrap().to_owned();

    let csv = bench.said(&["rule", "history", "dailies", "--since", "1h", "--output", "csv"]);
    let mut lines = csv.lines();
    assert_eq!(lines.next(), Some("when,name,files,bytes,duration,link,outcome"));
    let row = lines.next().unwrap();
    assert!(row.contains("Z,\"Roll \"\"A001\"\", 1\",1,4,") && row.ends_with(&format!(",{link},complete")), "{row}");
    assert_eq!(lines.next(), None);
    let later = bench.said(&["rule", "history", "dailies", "--since", "2999-01-01", "--output", "csv"]);
    assert_eq!(later.lines().count(), 1, "only the header");
    assert_eq!(code(&bench.masv(&["rule", "ls", "--output", "csv"])), 2);
    assert_eq!(code(&bench.masv(&["rule", "history", "dailies", "--since", "soon"])), 2);

    let told = bench.path("told.json");
    wait_until("the program was told", LIMIT, || async { told.exists() }).await;
    let told: Value = serde_json::from_slice(&std::fs::read(told).unwrap()).unwrap();
    assert_eq!((&told["rule"], &told["upload"]["link"]), (&"dailies".into(), &link.into()));
    let tried = bench.said(&["rule", "dry-run", "--output", "text"]);
    assert!(tried.contains("1 file sent, on their way, or counted as sent"), "{tried}");
}

#[test]
fn a_dry_run_needs_no_agent_unless_one_was_named() {
    let bench = Bench::new(RULE);
    std::fs::write(bench.path("drop/A001.mov"), b"film").unwrap();
    let output = bench.masv(&["--output", "json", "rule", "dry-run"]);
    assert!(output.status.success(), "{}", errors(&output));
    assert!(errors(&output).contains("No agent runs"));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["rules"][0]["packages"][0]["name"], "Roll \"A001\", 1");
    assert!(!Path::new(&bench.path("data")).exists(), "nothing is left behind");
    let output = bench.masv(&["--server", "http://127.0.0.1:1", "rule", "dry-run"]);
    assert_eq!(code(&output), 3);
}
