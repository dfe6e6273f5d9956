//! The binary as a user runs it: an agent process in a folder of its own, killed when the test ends.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

const MASV: &str = env!("CARGO_BIN_EXE_masv");

/// The folders that rules watch and, by `create: true` behind it, make.
fn folders_that_are_made(rules: &str) -> Vec<String> {
    let folder = |rule: &str| {
        let is_made = rule.contains("create: true") && !rule.contains("enabled: false");
        let named = rule.split([',', '}', '\n']).next()?.trim().trim_matches(['"', '\'']);
        is_made.then(|| named.to_owned())
    };
    rules.split("watch: ").skip(1).filter_map(folder).collect()
}

/// An agent with its own data directory and rules file.
pub struct Agent {
    pub folder: tempfile::TempDir,
    /// What the process is started by, such as `setpriv` with its arguments; empty for nothing.
    pub wrapper: Vec<String>,
    /// What else its process finds in its environment.
    pub environment: Vec<(String, String)>,
    process: Option<Child>,
    flags: Vec<String>,
}

impl Agent {
    /// Starts one with these rules (YAML, without `version`); an empty text means no rules file.
    pub fn start(rules: &str, flags: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), rules, flags)
    }

    /// The same, in a folder that may hold the data of an agent before it.
    pub fn start_in(folder: tempfile::TempDir, rules: &str, flags: &[&str]) -> Self {
        let mut agent = Self::prepare_in(folder, rules, flags);
        agent.go_on();
        agent
    }

    /// The same, not running yet.
    pub fn prepare(rules: &str, flags: &[&str]) -> Self {
        Self::prepare_in(tempfile::tempdir().unwrap(), rules, flags)
    }

    /// The same in this folder.
    pub fn prepare_in(folder: tempfile::TempDir, rules: &str, flags: &[&str]) -> Self {
        let mut flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        for (flag, value) in [("--listen", "http://127.0.0.1:0"), ("--log-level", "info")] {
            if !flags.iter().any(|given| given == flag) {
                flags.extend([flag.to_owned(), value.to_owned()]);
            }
        }
        if !rules.is_empty() {
            std::fs::write(folder.path().join("rules.yaml"), format!("version: 1\n{rules}")).unwrap();
            flags.extend(["--rules".to_owned(), "rules.yaml".to_owned()]);
        }
        Self { folder, wrapper: Vec::new(), environment: Vec::new(), process: None, flags }
    }

    /// Starts the process again on the same data and waits until it is up, and has made the folders that its rules say it makes: a test
    /// that writes into one at once must not be there before it.
    pub fn go_on(&mut self) {
        self.launch();
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.masv(&["server", "status"]).status.success() {
            assert!(Instant::now() < deadline, "the agent does not come up:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        let rules = std::fs::read_to_string(self.path("rules.yaml")).unwrap_or_default();
        // Not every rule is followed: it may be invalid, or its folder one that cannot be made.
        let patience = Instant::now() + Duration::from_secs(5);
        let folders = folders_that_are_made(&rules);
        while folders.iter().any(|folder| !self.path(folder).exists()) && Instant::now() < patience {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Starts the process.
    pub fn launch(&mut self) {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.path("log")).unwrap();
        let start = ["server", "start"];
        let mut command = match self.wrapper.split_first() {
            None => self.command(&start),
            Some((program, arguments)) => {
                let mut command = Command::new(program);
                command.args(arguments).arg(MASV).args(start);
                surroundings(&mut command, self.folder.path());
                command
            }
        };
        let child = command
            .args(&self.flags)
            .envs(self.environment.iter().cloned())
            .stdout(Stdio::from(log.try_clone().unwrap()))
            .stderr(Stdio::from(log))
            .spawn();
        self.process = Some(child.unwrap());
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        let mut process = self.process.take().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// The id of its process.
    #[cfg(target_os = "linux")]
    pub fn id(&self) -> u32 {
        self.process.as_ref().unwrap().id()
    }

    /// Whether its process has not ended.
    pub fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(|process| process.try_wait().unwrap().is_none())
    }

    /// Waits for its end, which is expected to happen on its own.
    pub fn wait_for_the_end(&mut self, limit: Duration) -> std::process::ExitStatus {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.process.as_mut().unwrap().try_wait().unwrap() {
                self.process = None;
                return status;
            }
            assert!(Instant::now() < deadline, "it did not end within {limit:?}:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Sends its process a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(self.process.as_ref().unwrap());
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// SIGTERM; the exit code.
    pub fn stop(&mut self) -> Option<i32> {
        let mut process = self.process.take().unwrap();
        let pid = rustix::process::Pid::from_child(&process);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        process.wait().unwrap().code()
    }

    /// Waits until it has ended on its own; returns the exit code.
    pub fn ended(&mut self) -> Option<i32> {
        self.process.take().unwrap().wait().unwrap().code()
    }

    /// Where its API is.
    pub fn url(&self) -> String {
        let written = std::fs::read(self.path("data/agent.json")).unwrap();
        serde_json::from_slice::<Value>(&written).unwrap()["address"].as_str().unwrap().to_owned()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(self.folder.path(), arguments);
        if let Some(at) = self.flags.iter().position(|flag| flag == "--token-file") {
            command.env("MASV_TOKEN", std::fs::read_to_string(&self.flags[at + 1]).unwrap().trim());
        }
        command
    }

    pub fn masv(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs a command that must succeed and reads the JSON that it prints.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let output = self.masv(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Polls `masv upload ls` until `condition` holds of the list.
    pub fn wait_for(&self, what: &str, limit: Duration, condition: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        self.wait_for_list("upload", what, limit, condition)
    }

    /// The same with `masv download ls`.
    pub fn wait_for_downloads(&self, what: &str, limit: Duration, condition: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        self.wait_for_list("download", what, limit, condition)
    }

    fn wait_for_list(
        &self,
        noun: &str,
        what: &str,
        limit: Duration,
        condition: impl Fn(&[Value]) -> bool,
    ) -> Vec<Value> {
        let deadline = Instant::now() + limit;
        loop {
            let list = self.json(&[noun, "ls"])["transfers"].as_array().unwrap().clone();
            if condition(&list) {
                return list;
            }
            assert!(Instant::now() < deadline, "not within {limit:?}: {what}\n{list:#?}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(30));
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// The binary in `folder`, with its data directory there and nothing of the developer's own settings.
pub fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(MASV);
    command.args(arguments);
    surroundings(&mut command, folder);
    command
}

fn surroundings(command: &mut Command, folder: &Path) {
    command.current_dir(folder).env("MASV_DATA_DIR", folder.join("data"));
    // The contexts of whoever runs the tests are not theirs.
    command.env("XDG_CONFIG_HOME", folder.join("config"));
    let names = [
        "MASV_SERVER",
        "MASV_CONTEXT",
        "MASV_LOG_FILE",
        "MASV_API_KEY",
        "MASV_TOKEN",
        "MASV_CLOUD_URL",
        "MASV_RULES",
        "MASV_LISTEN",
    ];
    for name in names.into_iter().chain(["CREDENTIALS_DIRECTORY"]) {
        command.env_remove(name);
    }
}

/// The exit code of a command that was not killed.
pub fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

/// What a command has written to standard error.
pub fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
