//! A page's folder, home and running agents, and how what is printed is compared with what is shown.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use regex::Regex;

use crate::s3_server::{self, Place};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// What looks and changes nothing is asked again until it says what the page says: things take a moment.
const LOOKS: &[&str] = &[" ls", " status", " explain", " dry-run", " history", " check", " watch", "find "];
const PATIENCE: Duration = Duration::from_secs(60);
/// The bucket that pages name.
const BUCKET: &str = "s3://media/hub?endpoint=http://10.0.0.5:9000";

/// A page's folder, home and running agents.
pub struct Stage {
    folder: tempfile::TempDir,
    processes: Vec<Child>,
    /// What the page's ids stand for.
    ids: BTreeMap<String, String>,
    bucket: Option<Place>,
    /// Where the hub that the page started listens.
    hub: Option<String>,
}

impl Stage {
    /// A stage for this page; `None` where it needs an S3 server and there is none.
    pub fn of(page: &str) -> Option<Self> {
        let bucket = if page.contains(&format!("$ masv hub start --storage '{BUCKET}'")) {
            Some(s3_server::place()?)
        } else {
            None
        };
        let folder = tempfile::tempdir().unwrap();
        for name in ["bin", "home/masv-agent", "srv"] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        // What the page shows is what a terminal shows, but for what goes into a pipe; an agent's port must not meet another's.
        let shim = format!(
            "#!/bin/sh\ncase \"$*\" in\n\"server start\"*) exec {masv} \"$@\" --listen http://127.0.0.1:0 ;;\n\
             \"hub start\"*) exec {masv} \"$@\" --listen 127.0.0.1:0 ;;\n\
             *--output*|completions*|man*|*rule*init*) exec {masv} \"$@\" ;;\nesac\n\
             [ -p /dev/stdout ] && exec {masv} \"$@\"\nexec {masv} \"$@\" --output text\n",
            masv = env!("CARGO_BIN_EXE_masv")
        );
        let path = folder.path().join("bin/masv");
        fs::write(&path, shim).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        fs::copy(format!("{ROOT}/rules.example.yaml"), folder.path().join("home/masv-agent/rules.example.yaml"))
            .unwrap();
        if let Some(place) = &bucket {
            let credentials = folder.path().join("home/s3-credentials");
            fs::write(&credentials, place.written().1).unwrap();
            fs::set_permissions(&credentials, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        }
        Some(Self { folder, processes: Vec::new(), ids: BTreeMap::new(), bucket, hub: None })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The documentation's places as those of this stage.
    fn here(&self, text: &str) -> String {
        let place = |name| self.path(name).display().to_string();
        let text = text
            .replace("/home/me/tutorial", &place("home/masv-agent"))
            .replace("/home/me", &place("home"))
            .replace("/var/lib/masv-agent", &place("home/.local/share/masv-agent"));
        let text = text.replace("/srv", &place("srv"));
        let mut text = text.replace("cargo run --release -- ", "masv ").replace("target/release/masv", "masv");
        if let Some(bucket) = &self.bucket {
            text = text.replace(BUCKET, &bucket.written().0);
        }
        if let Some(hub) = &self.hub {
            text = text.replace("http://localhost:8090", hub);
        }
        if let Some(agent) = self.agent() {
            text = text.replace("http://localhost:8080", &agent);
        }
        self.ids.iter().fold(text, |text, (shown, real)| {
            // The end of an id is not an id of its own.
            let shown = Regex::new(&format!(r"\b{}\b", regex::escape(shown))).unwrap();
            shown.replace_all(&text, regex::NoExpand(real)).into_owned()
        })
    }

    /// Where the agent that runs listens.
    fn agent(&self) -> Option<String> {
        let written = fs::read(self.path("home/.local/share/masv-agent/agent.json")).ok()?;
        Some(serde_json::from_slice::<serde_json::Value>(&written).ok()?["address"].as_str()?.to_owned())
    }

    fn shell(&self, script: &str) -> Command {
        let mut command = Command::new("bash");
        let path = format!("{}:{}", self.path("bin").display(), std::env::var("PATH").unwrap());
        command.args(["-ec", script]).current_dir(self.path("home/masv-agent")).env("PATH", path);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("MASV_") || name.starts_with("XDG_")) {
            command.env_remove(name);
        }
        command.env("HOME", self.path("home")).env("NO_COLOR", "1").env("TZ", "UTC").stdin(Stdio::null());
        command
    }

    /// Runs a command as the page shows it; panics with both when it prints something else.
    pub fn run(&mut self, page: &str, command: &str, shown: &[&str]) {
        let script = self.here(command);
        let starts = script.contains("masv server start") || script.contains("masv hub start");
        if starts {
            let file = fs::File::create(self.path("agent.log")).unwrap();
            let child = self.shell(&format!("exec {script}")).stdout(file.try_clone().unwrap()).stderr(file).spawn();
            self.processes.push(child.unwrap());
            return self.told(&format!("{page}: $ {command}"), shown);
        }
        let looks = LOOKS.iter().any(|look| command.contains(look));
        self.compare_until(&format!("{page}: $ {command}"), shown, looks, |stage| stage.printed(&script));
    }

    /// What the agent or hub that was started last is shown to say.
    pub fn told(&mut self, page: &str, shown: &[&str]) {
        self.compare_until(page, shown, true, |stage| fs::read_to_string(stage.path("agent.log")).unwrap());
        let log = fs::read_to_string(self.path("agent.log")).unwrap();
        let hub = Regex::new(r"The hub listens on (\S+),").unwrap();
        self.hub = hub.captures(&log).map(|found| found[1].to_owned()).or(self.hub.take());
    }

    fn printed(&self, script: &str) -> String {
        // A file and not a pipe: into a pipe `masv` prints JSON.
        let file = fs::File::create(self.path("printed")).unwrap();
        let status = self.shell(script).stdout(file.try_clone().unwrap()).stderr(file).status().unwrap();
        let printed = fs::read_to_string(self.path("printed")).unwrap();
        match status.code() {
            Some(0) => printed,
            code => format!("{printed}\n(exit code {})\n", code.unwrap_or(-1)),
        }
    }

    fn compare_until(&mut self, what: &str, shown: &[&str], again: bool, printed: impl Fn(&Self) -> String) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let printed = printed(self);
            let Err(line) = self.compare(&printed, shown) else { return };
            assert!(
                again && Instant::now() < deadline,
                "{what}\nthe page shows\n  {line}\nwhich is not (or not in this place) in\n{printed}"
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Finds the shown lines among the printed ones, in order; learns what the page's ids stand for.
    fn compare(&mut self, printed: &str, shown: &[&str]) -> Result<(), String> {
        let mut lines = printed.lines();
        for line in shown.iter().filter(|line| !line.trim().is_empty() && line.trim() != "…") {
            let (pattern, ids) = pattern(&self.here(line));
            let found = lines.find_map(|printed| pattern.captures(printed)).ok_or_else(|| (*line).to_owned())?;
            for (group, id) in ids.into_iter().enumerate() {
                self.ids.insert(id, found[group + 1].to_owned());
            }
        }
        // A command fails only where the page says so.
        if printed.contains("\n(exit code ") && !shown.iter().any(|line| line.starts_with("(exit code ")) {
            return Err("that it succeeds".to_owned());
        }
        Ok(())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// What a shown line looks like when it is printed, and the ids in it, a group each.
fn pattern(line: &str) -> (Regex, Vec<String>) {
    let volatile = Regex::new(
        r"(?x) (?<id>[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12} | \b01[0-9A-HJKMNP-TV-Z]{24}\b) | (?<short>^[0-9a-f]{8}\b) | (?<url>http://(127\.0\.0\.1|localhost)[^\s,]*)
             | (?<time>\d{4}-\d\d-\d\d(T[\d:.]+Z)?) | (?<clock>\b\d\d:\d\d(:\d\d)?\b) | (?<process>\bprocess\ \d+) | (?<took>\b\d+s\b) | (?<any>…) | (?<gap>\s+)",
    )
    .unwrap();
    let (mut pattern, mut ids, mut at) = (String::from(r"^\s*"), Vec::new(), 0);
    let line = line.trim();
    for found in volatile.captures_iter(line) {
        let whole = found.get(0).unwrap();
        pattern += &regex::escape(&line[at..whole.start()]);
        at = whole.end();
        pattern += if let Some(id) = found.name("id") {
            ids.push(id.as_str().to_owned());
            r"([0-9A-Za-z-]{26,36})"
        } else if found.name("short").is_some() {
            // A terminal shows the end of an id; into a file all of it is printed.
            ids.push(found[0].to_owned());
            r"([0-9A-Za-z-]{26,36})"
        } else if found.name("gap").is_some() {
            r"\s+"
        } else if found.name("process").is_some() {
            r"process \d+"
        } else if found.name("any").is_some() {
            r".*"
        } else {
            r"[^\s,]+"
        };
    }
    pattern += &regex::escape(&line[at..]);
    (Regex::new(&(pattern + r"\s*$")).unwrap(), ids)
}
