//! The documentation is held to what it says: its commands are run, its links lead somewhere, its lists are whole.
//!
//! A page takes part in the run by a comment `<!-- run first: … -->` with the shell commands that prepare its folder; then
//! every `$` line of its console blocks is run in order, in a folder and a home of its own, against the agents that it
//! starts. What is shown below a command must be among what it prints, line by line in this order, whatever the width of
//! columns; `…` stands for anything, and ids, addresses, times and process numbers may differ.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use regex::Regex;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// What looks and changes nothing is asked again until it says what the page says: things take a moment.
const LOOKS: &[&str] = &[" ls", " status", " explain", " dry-run", " history", " check", " watch"];
const PATIENCE: Duration = Duration::from_secs(30);

fn pages() -> Vec<(String, String)> {
    let mut pages = vec![("README.md".to_owned(), fs::read_to_string(format!("{ROOT}/README.md")).unwrap())];
    for entry in fs::read_dir(format!("{ROOT}/docs")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "md") {
            let name = format!("docs/{}", path.file_name().unwrap().to_str().unwrap());
            pages.push((name, fs::read_to_string(path).unwrap()));
        }
    }
    pages
}

/// A page's folder, home and running agents.
struct Stage {
    folder: tempfile::TempDir,
    agents: Vec<Child>,
    ids: BTreeMap<String, String>,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["bin", "home/masv-agent", "srv"] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        // On a terminal people see text; an agent's port must not meet another's.
        let shim = format!(
            "#!/bin/sh\ncase \"$*\" in\n\"server start\"*) exec {masv} \"$@\" --listen http://127.0.0.1:0 ;;\n\
             \"hub start\"*) exec {masv} \"$@\" --listen 127.0.0.1:0 ;;\n\
             *--output*|completions*|man*|*rule*init*) exec {masv} \"$@\" ;;\n*) exec {masv} \"$@\" --output text ;;\nesac\n",
            masv = env!("CARGO_BIN_EXE_masv")
        );
        let path = folder.path().join("bin/masv");
        fs::write(&path, shim).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        fs::copy(format!("{ROOT}/rules.example.yaml"), folder.path().join("home/masv-agent/rules.example.yaml"))
            .unwrap();
        Self { folder, agents: Vec::new(), ids: BTreeMap::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The documentation's places as those of this stage.
    fn here(&self, text: &str) -> String {
        let place = |name| self.path(name).display().to_string();
        let text = text
            .replace("/home/me", &place("home"))
            .replace("/var/lib/masv-agent", &place("home/.local/share/masv-agent"));
        let text = text.replace("/srv", &place("srv"));
        let text = text.replace("cargo run --release -- ", "masv ").replace("target/release/masv", "masv");
        self.ids.iter().fold(text, |text, (shown, real)| text.replace(shown, real))
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
    fn run(&mut self, page: &str, command: &str, shown: &[&str]) {
        let script = self.here(command);
        let deadline = Instant::now() + PATIENCE;
        let log = self.path("agent.log");
        let starts = script.contains("masv server start") || script.contains("masv hub start");
        if starts {
            let file = fs::File::create(&log).unwrap();
            let child = self.shell(&format!("exec {script}")).stdout(file.try_clone().unwrap()).stderr(file).spawn();
            self.agents.push(child.unwrap());
        }
        loop {
            let printed = if starts {
                fs::read_to_string(&log).unwrap()
            } else {
                let output = self.shell(&script).output().unwrap();
                String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
            };
            match self.compare(&printed, shown) {
                Ok(()) => return,
                Err(line) => {
                    let again = starts || LOOKS.iter().any(|look| command.contains(look));
                    assert!(
                        again && Instant::now() < deadline,
                        "{page}: $ {command}\nthe page shows\n  {line}\nwhich is not (or not in this place) in\n{printed}"
                    );
                    std::thread::sleep(Duration::from_millis(200));
                }
            }
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
        Ok(())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for agent in &mut self.agents {
            let _ = agent.kill();
            let _ = agent.wait();
        }
    }
}

/// What a shown line looks like when it is printed, and the ids in it, a group each.
fn pattern(line: &str) -> (Regex, Vec<String>) {
    let volatile = Regex::new(
        r"(?x) (?<id>[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}) | (?<url>http://(127\.0\.0\.1|localhost)[^\s,]*)
             | (?<time>\d{4}-\d\d-\d\d(T[\d:.]+Z)?) | (?<clock>\b\d\d:\d\d\b) | (?<process>\bprocess\ \d+) | (?<took>\b\d+s\b) | (?<any>…) | (?<gap>\s+)",
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
            r"([0-9a-f-]{36})"
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

/// The console blocks of a page: commands, each with what it is shown to print.
fn commands(text: &str) -> Vec<(&str, Vec<&str>)> {
    let mut commands: Vec<(&str, Vec<&str>)> = Vec::new();
    let mut within = false;
    for line in text.lines() {
        if line.starts_with("```") {
            within = line == "```console";
        } else if let Some(command) = line.strip_prefix("$ ").filter(|_| within) {
            commands.push((command, Vec::new()));
        } else if within && let Some((_, shown)) = commands.last_mut() {
            shown.push(line);
        }
    }
    commands
}

#[test]
fn commands_print_what_the_pages_show() {
    let mut run = Vec::new();
    for (page, text) in pages() {
        let Some((_, rest)) = text.split_once("<!-- run first:") else { continue };
        let mut stage = Stage::new();
        for line in rest.split_once("-->").unwrap().0.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let starts = line.contains("masv server start");
            stage.run(&page, line, if starts { &["masv … is ready"] } else { &[] });
        }
        for (command, shown) in commands(&text) {
            stage.run(&page, command, &shown);
        }
        run.push(page);
    }
    for page in ["README.md", "docs/tutorial.md", "docs/cli.md"] {
        assert!(run.iter().any(|run| run == page), "the commands of {page} are not run");
    }
}

#[test]
fn every_link_leads_to_a_page_and_a_heading() {
    let link = Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    let mut lost = Vec::new();
    for (page, text) in pages() {
        let folder = Path::new(ROOT).join(&page).parent().unwrap().to_owned();
        for target in link.captures_iter(&text).map(|found| found.extract::<1>().1[0]) {
            if target.contains("://") {
                continue;
            }
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let path = if file.is_empty() { Path::new(ROOT).join(&page) } else { folder.join(file) };
            let there = path.exists()
                && (heading.is_empty()
                    || headings(&fs::read_to_string(&path).unwrap()).iter().any(|one| one == heading));
            if !there {
                lost.push(format!("{page}: {target}"));
            }
        }
    }
    assert!(lost.is_empty(), "links that lead nowhere: {lost:#?}");
}

/// The anchors of a page's headings, as forges make them.
fn headings(text: &str) -> Vec<String> {
    let lines = text.lines().filter_map(|line| line.strip_prefix('#'));
    let anchors = lines.map(|line| {
        let words = line.trim_start_matches('#').trim().to_lowercase();
        words.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect::<String>().replace(' ', "-")
    });
    anchors.collect()
}

#[test]
fn every_page_is_in_the_index() {
    let index = fs::read_to_string(format!("{ROOT}/docs/README.md")).unwrap();
    for (page, _) in pages() {
        let name = page.trim_start_matches("docs/");
        let listed = name == "README.md" || index.contains(&format!("]({name})"));
        assert!(listed, "{page} is not in docs/README.md: add it under the kind of page it is");
    }
}

#[test]
fn every_code_of_an_error_is_explained() {
    let page = fs::read_to_string(format!("{ROOT}/docs/errors.md")).unwrap();
    let code = Regex::new(r#"code: "([a-z_]+)"|\(\s*"([a-z]+(?:_[a-z]+)+)",\s*\n?\s*""#).unwrap();
    let mut missing = Vec::new();
    for room in ["transfer", "download", "store"] {
        for entry in walkdir::WalkDir::new(format!("{ROOT}/src/{room}")) {
            let path = entry.unwrap().into_path();
            if path.is_dir() || path.ends_with("tests.rs") {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            for found in code.captures_iter(text.split("#[cfg(test)]").next().unwrap()) {
                let code = found.get(1).or(found.get(2)).unwrap().as_str();
                if !page.contains(&format!("| `{code}` |")) {
                    missing.push(format!("{code} of {}", path.display()));
                }
            }
        }
    }
    assert!(missing.is_empty(), "codes that docs/errors.md does not explain: {missing:#?}");
}
