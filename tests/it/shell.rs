//! What a shell and a person at one have of the command line: completion, contexts, logs, manual pages.

use std::os::unix::fs::PermissionsExt;
#[cfg(target_os = "linux")]
use std::path::Path;
#[cfg(target_os = "linux")]
use std::process::Command;
#[cfg(target_os = "linux")]
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::process::{Agent, code, command, errors};

/// What bash offers when the key is pressed behind these words; the last one is being typed.
#[cfg(target_os = "linux")]
fn offered(agent: &Agent, words: &[&str]) -> Vec<String> {
    let program = Path::new(env!("CARGO_BIN_EXE_masv")).parent().unwrap();
    let script = r#"
        source <(masv completions bash)
        name=$(complete -p masv); name=${name#*-F }; name=${name%% *}
        COMP_WORDS=(masv "$@"); COMP_CWORD=$#; COMP_TYPE=9
        $name masv "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let mut bash = Command::new("bash");
    bash.args(["-c", script, "bash"]).args(words).current_dir(agent.folder.path());
    bash.env("MASV_DATA_DIR", agent.path("data")).env("XDG_CONFIG_HOME", agent.path("config"));
    bash.env("PATH", format!("{}:{}", program.display(), std::env::var("PATH").unwrap())).env_remove("MASV_SERVER");
    let output = bash.output().unwrap();
    assert!(errors(&output).is_empty(), "nothing disturbs the line: {}", errors(&output));
    String::from_utf8(output.stdout).unwrap().lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// `masv upload status <TAB>` offered files, `--states <TAB>` files as well.
#[cfg(target_os = "linux")]
#[test]
fn bash_completes_ids_names_rules_and_states() {
    let rules = "rules:\n- { name: dailies, watch: drop, create: true, upload: { kind: link } }\n";
    let mut agent = Agent::start(rules, &[]);
    std::fs::write(agent.path("a.mov"), b"a").unwrap();
    let start = |name: &str| {
        let started = agent.json(&["upload", "start", "link", "--no-finalize", "--name", name, "a.mov"]);
        started["upload_id"].as_str().unwrap().to_owned()
    };
    let ids = [start("A001-day"), start("B002 evening")];
    let short = ids.clone().map(|id| id[id.len() - 8..].to_owned());
    agent.wait_for("both are idle", Duration::from_secs(20), |list| list.iter().all(|one| one["state"] == "idle"));
    assert_eq!(offered(&agent, &["upload", "status", ""]), [short[1].as_str(), &short[0]], "the newest first");
    assert_eq!(offered(&agent, &["upload", "status", &short[0][..5]]), [short[0].as_str()]);
    assert_eq!(offered(&agent, &["upload", "status", "A0"]), ["A001-day"]);
    assert_eq!(offered(&agent, &["upload", "rm", "al"]), ["all"]);
    assert_eq!(offered(&agent, &["upload", "pause", ""]), ["all"], "none is transferring");
    assert_eq!(offered(&agent, &["rule", "status", ""]), ["dailies"]);
    assert_eq!(offered(&agent, &["upload", "ls", "--rule", "da"]), ["dailies"]);
    assert_eq!(offered(&agent, &["upload", "ls", "--states", "paused,com"]), ["paused,complete"]);
    assert!(offered(&agent, &["upload", "rm", "--"]).contains(&"--dry-run".to_owned()));
    assert!(offered(&agent, &["upl"]).contains(&"upload".to_owned()));
    agent.stop();
    let begun = Instant::now();
    let alone = offered(&agent, &["upload", "status", ""]);
    assert!(alone.iter().all(|flag| flag.starts_with("--")), "without an agent there are only flags: {alone:?}");
    assert!(begun.elapsed() < Duration::from_secs(20));
}

/// An agent elsewhere took an address and a token in each command.
#[test]
fn a_context_stands_for_an_agent_and_its_token() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "a-token-of-at-least-sixteen-letters\n").unwrap();
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).unwrap();
    let agent = Agent::start("", &["--token-file", token.to_str().unwrap()]);
    let masv = |arguments: &[&str]| command(folder.path(), arguments).output().unwrap();
    let json = |arguments: &[&str]| {
        let output = masv(arguments);
        assert_eq!(code(&output), 0, "{arguments:?}: {}", errors(&output));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    assert_eq!(code(&masv(&["context", "add", "studio-b"])), 2, "an address is needed");
    assert_eq!(code(&masv(&["context", "add", "studio-b", "--server", "nonsense"])), 2);
    assert_eq!(code(&masv(&["context", "add", "../b", "--server", &agent.url()])), 2);
    json(&["context", "add", "studio-b", "--server", &agent.url(), "--with-token", token.to_str().unwrap()]);
    let kept = folder.path().join("config/masv/studio-b.token");
    assert_eq!(std::fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(json(&["status", "--context", "studio-b"])["version"], env!("CARGO_PKG_VERSION"));
    let none = masv(&["status", "--context", "studio-c"]);
    assert!(code(&none) == 4 && errors(&none).contains("studio-b"), "{}", errors(&none));
    let both = masv(&["status", "--context", "studio-b", "--server", "http://127.0.0.1:9"]);
    assert_eq!(code(&both), 2);
    json(&["context", "add", "nowhere", "--server", "http://127.0.0.1:9"]);
    json(&["context", "use", "nowhere"]);
    assert_eq!(code(&masv(&["ls"])), 3, "it goes to the current one");
    let by_variable = command(folder.path(), &["ls"]).env("MASV_CONTEXT", "studio-b").output().unwrap();
    assert_eq!(code(&by_variable), 0, "{}", errors(&by_variable));
    assert_eq!(code(&masv(&["ls", "--server", "http://127.0.0.1:10"])), 3);
    let list = json(&["context", "ls"]);
    assert_eq!(
        list["contexts"][0],
        serde_json::json!({ "current": true, "name": "nowhere", "server": "http://127.0.0.1:9", "token": false })
    );
    json(&["context", "use", "--none"]);
    json(&["context", "rm", "studio-b"]);
    assert!(!kept.exists(), "its token is gone with it");
}

/// Under launchd a log grew for ever, and there was no command to see it.
#[test]
fn a_log_in_a_file_is_shown_by_a_command() {
    let mut agent = Agent::start("", &["--log-file", "agent.log"]);
    std::fs::write(agent.path("a.mov"), b"a").unwrap();
    assert_eq!(code(&agent.masv(&["upload", "start", "link", "--wait", "a.mov"])), 0);
    let shown = agent.masv(&["logs", "-n", "1000"]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains(" INFO masv_agent::"), "{shown}");
    assert!(!agent.log().contains(" INFO masv_agent::"), "nothing of it on standard error: {}", agent.log());
    assert_eq!(std::fs::metadata(agent.path("agent.log")).unwrap().permissions().mode() & 0o777, 0o600);
    let sent = agent.masv(&["upload", "start", "link", "agent.log"]);
    assert_ne!(code(&sent), 0, "the log is the agent's own");
    agent.stop();
    let alone = agent.masv(&["logs", "-n", "1", "--file", "agent.log"]);
    assert_eq!(String::from_utf8(alone.stdout).unwrap().lines().count(), 1);
    let silent = Agent::start("", &[]);
    let none = silent.masv(&["logs"]);
    assert!(code(&none) == 4 && errors(&none).contains("--log-file"), "{}", errors(&none));
}

#[test]
fn all_settings_are_shown_at_once() {
    let agent = Agent::start("", &[]);
    agent.json(&["settings", "rate-limit", "update", "--limit", "20MB"]);
    let all = agent.json(&["settings"]);
    assert_eq!(all["upload_rate_limit"]["rate_limit_bps"], 20_000_000, "{all}");
    assert!(all["workers"].is_object() && all["fifo_mode"].is_object() && all["disk_readers"].is_number(), "{all}");
    let shown = agent.masv(&["settings", "-o", "text"]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    for setting in ["rate-limit    20.0 MB/s    no limit", "workers", "fifo", "open-files", "disk-readers"] {
        assert!(shown.contains(setting), "{shown}");
    }
}

#[test]
fn the_link_of_an_upload_is_opened() {
    let agent = Agent::start("", &[]);
    std::fs::write(agent.path("a.mov"), b"a").unwrap();
    let link = agent.json(&["upload", "start", "link", "--name", "cut", "a.mov"])["link"].clone();
    assert_eq!(agent.json(&["open", "cut"])["url"], link);
    assert_eq!(code(&agent.masv(&["open", "nothing"])), 4);
}

/// `masv hub package show <TAB>` offered nothing: its ids have 26 characters.
#[cfg(target_os = "linux")]
#[test]
fn bash_completes_what_is_in_a_hub() {
    let mut agent = Agent::start("", &[]);
    std::fs::write(agent.path("a.mov"), b"a").unwrap();
    assert_eq!(code(&agent.masv(&["upload", "start", "link", "--wait", "--name", "A001-day", "a.mov"])), 0);
    let hub = agent.path("data/hub").display().to_string();
    let at = ["--data-dir", hub.as_str()];
    let packages = agent.json(&["hub", "package", "ls", at[0], at[1]]);
    let id = packages["records"][0]["id"].as_str().unwrap().to_owned();
    let short = &id[id.len() - 8..];
    agent.json(&["hub", "key", "add", "DIT-cart", "--output", "json", at[0], at[1]]);
    agent.json(&["hub", "portal", "add", "rushes", "--recipients", "ed@example.com", at[0], at[1]]);
    assert_eq!(offered(&agent, &["hub", at[0], at[1], "package", "show", ""]), [short], "what --data-dir says");
    assert_eq!(offered(&agent, &["hub", "package", "rm", at[0], at[1], "A0"]), ["A001-day"]);
    assert_eq!(offered(&agent, &["hub", "package", "show", at[0], at[1], &short[..4]]), [short]);
    assert_eq!(offered(&agent, &["hub", "link", "show", at[0], at[1], ""]).len(), 1);
    assert!(offered(&agent, &["hub", "key", "rm", at[0], at[1], "DIT"]).contains(&"DIT-cart".to_owned()));
    assert_eq!(offered(&agent, &["hub", "portal", "set", at[0], at[1], "ru"]), ["rushes"]);
    assert_eq!(offered(&agent, &["hub", "package", "show", "--data-dir", "/nowhere", "A"]), [""; 0]);
    assert_eq!(agent.stop(), Some(0));
}

/// "A view of the fleet": nothing showed more than one agent.
#[test]
fn a_fleet_is_seen_at_a_glance() {
    let agent = Agent::start("", &[]);
    let masv = |arguments: &[&str]| command(agent.folder.path(), arguments).output().unwrap();
    assert_eq!(code(&masv(&["fleet", "status"])), 4, "there are no contexts");
    for (name, server) in [("here", agent.url()), ("gone", "http://127.0.0.1:9".to_owned())] {
        assert_eq!(code(&masv(&["context", "add", name, "--server", &server])), 0);
    }
    let all = masv(&["fleet", "status"]);
    assert_eq!(code(&all), 1, "one is silent: {}", errors(&all));
    let all: Value = serde_json::from_slice(&all.stdout).unwrap();
    let agents = all["agents"].as_array().unwrap();
    assert_eq!((&agents[0]["name"], &agents[0]["standing"]), (&"gone".into(), &"silent".into()), "the worst first");
    assert!(agents[0]["error"].as_str().unwrap().contains("no agent is running"), "{all}");
    assert_eq!(
        (&agents[1]["name"], &agents[1]["agent"]["version"]),
        (&"here".into(), &env!("CARGO_PKG_VERSION").into())
    );
    assert_ne!(agents[1]["standing"], "silent");
    let table = masv(&["fleet", "status", "--columns", "name,failed"]);
    assert_eq!(String::from_utf8(table.stdout).unwrap().lines().nth(2).map(str::trim_end), Some("here  0"));
    assert_eq!(code(&masv(&["fleet", "status", "--server", "http://127.0.0.1:9"])), 2);
}
