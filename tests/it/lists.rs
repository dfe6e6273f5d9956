//! Lists and ids on the command line: what fits a terminal, what programs get, how one thing of many is named.

#[cfg(target_os = "linux")]
use std::process::Command;
use std::process::Output;
use std::time::Duration;
#[cfg(target_os = "linux")]
use std::time::Instant;

use serde_json::Value;

use crate::process::{Agent, code, errors};

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// An agent with complete uploads of these names, each larger than the one before; and their ids.
fn agent_with(names: &[&str]) -> (Agent, Vec<String>) {
    let agent = Agent::start("", &[]);
    let ids = names.iter().enumerate().map(|(number, name)| {
        let file = format!("{number}.mov");
        std::fs::write(agent.path(&file), vec![b'x'; 1_000 * (number + 1)]).unwrap();
        let started = agent.json(&["upload", "start", "link", "--name", name, &file]);
        started["upload_id"].as_str().unwrap().to_owned()
    });
    let ids = ids.collect();
    agent.wait_for("all are sent", Duration::from_secs(30), |list| {
        list.len() == names.len() && list.iter().all(|upload| upload["state"] == "complete")
    });
    (agent, ids)
}

/// Runs it in a terminal of this size, by the `script` of Linux; what the terminal was sent, without what moves and colours.
#[cfg(target_os = "linux")]
fn in_terminal(agent: &Agent, columns: u32, line: &str) -> String {
    let script = format!("stty cols {columns} rows 24 && exec {} {line}", env!("CARGO_BIN_EXE_masv"));
    let mut command = Command::new("script");
    command.args(["-qec", &script, "/dev/null"]).current_dir(agent.folder.path());
    command.env("XDG_CONFIG_HOME", agent.path("config"));
    command.env("MASV_DATA_DIR", agent.path("data")).env("TERM", "xterm").env_remove("COLUMNS").env_remove("NO_COLOR");
    command.env("SHELL", "/bin/sh").env_remove("MASV_SERVER").stdin(std::process::Stdio::null());
    let output = command.output().unwrap();
    let moves = regex::Regex::new("\u{1b}\\[[0-9;?]*[A-Za-z]").unwrap();
    moves.replace_all(&text(&output), "").into_owned()
}

/// How many columns a line takes, where letters of Japanese take two.
#[cfg(target_os = "linux")]
fn columns(line: &str) -> usize {
    line.chars().map(|letter| if letter >= '\u{2e80}' { 2 } else { 1 }).sum()
}

/// All 36 characters of an id were needed, of which the first are alike: `status 01a22145` and `status A001` were "no upload".
#[test]
fn a_transfer_is_named_by_its_id_the_end_of_it_or_its_name() {
    let (agent, ids) = agent_with(&["A001 dailies", "rushes", "rushes"]);
    let end = &ids[0][ids[0].len() - 8..];
    for typed in [ids[0].as_str(), end, &end.to_uppercase(), "A001 dailies"] {
        assert_eq!(agent.json(&["upload", "show", typed])["id"], ids[0].as_str(), "{typed}");
    }
    assert_eq!(code(&agent.masv(&["upload", "watch", end])), 0);
    let several = agent.masv(&["upload", "rm", "rushes"]);
    assert_eq!(code(&several), 2);
    for id in &ids[1..] {
        assert!(errors(&several).contains(id.as_str()), "the candidates are listed: {}", errors(&several));
    }
    for nothing in ["A001", "no-such-name", "", &ids[0][..13]] {
        let none = agent.masv(&["upload", "rm", nothing]);
        assert_eq!(code(&none), 4, "{nothing:?}: {}", errors(&none));
    }
    assert_eq!(agent.json(&["ls"])["transfers"].as_array().unwrap().len(), 3, "nothing was removed");
    let kept = agent.json(&["upload", "rm", end, "--dry-run"]);
    assert_eq!(kept["would_remove"][0]["id"], ids[0].as_str());
    let kept = agent.json(&["upload", "rm", "all", "--dry-run"]);
    assert_eq!(kept["would_remove"].as_array().unwrap().len(), 3);
    agent.json(&["upload", "remove", end]);
    assert_eq!(agent.json(&["ls"])["transfers"].as_array().unwrap().len(), 2);
    agent.json(&["upload", "rm", "all", "--yes"]);
}

#[test]
fn a_rule_is_named_by_enough_of_its_name() {
    let rule = |name: &str| format!("- {{ name: {name}, watch: {name}, create: true, upload: {{ kind: link }} }}\n");
    let agent = Agent::start(&format!("rules:\n{}{}{}", rule("dailies"), rule("dailies-2"), rule("wrap")), &[]);
    assert_eq!(agent.json(&["rule", "status", "wr"])["name"], "wrap");
    assert_eq!(agent.json(&["rule", "status", "dailies"])["name"], "dailies", "a whole name is that one");
    let several = agent.masv(&["rule", "pause", "dail"]);
    assert!(code(&several) == 2 && errors(&several).contains("dailies-2"), "{}", errors(&several));
    assert_eq!(code(&agent.masv(&["rule", "status", "nothing"])), 4);
    let names = text(&agent.masv(&["rule", "ls", "-q", "--sort", "-name"]));
    assert_eq!(names, "wrap\ndailies-2\ndailies\n");
    let would = agent.json(&["automation", "delete", "wra", "--dry-run"]);
    assert!(would["would"].as_str().unwrap().contains("wrap"), "{would}");
    assert_eq!(agent.json(&["rule", "ls"])["automations"].as_array().unwrap().len(), 3);
}

#[test]
fn a_list_is_shown_as_it_is_asked_for() {
    let (agent, ids) = agent_with(&["beta", "Alpha, \"quoted\"", "gamma"]);
    let masv = |line: &str| {
        let output = agent.masv(&line.split(' ').collect::<Vec<_>>());
        assert_eq!(code(&output), 0, "{line}: {}", errors(&output));
        text(&output)
    };
    let newest_first = [ids[2].as_str(), &ids[1], &ids[0]];
    assert_eq!(masv("ls -q").lines().collect::<Vec<_>>(), newest_first);
    assert_eq!(masv("ls -q --sort name").lines().collect::<Vec<_>>(), [&ids[1], &ids[0], &ids[2]]);
    assert_eq!(masv("ls -q --sort -bytes").lines().collect::<Vec<_>>(), newest_first);
    assert_eq!(masv("upload list -q --search gam").trim_end(), ids[2]);
    assert_eq!(masv("ls -q --since 1h --limit 1").trim_end(), ids[2]);
    assert_eq!(masv("ls -q --since 2100-01-01"), "");
    assert_eq!(
        masv("ls --no-headers --columns name,state --sort name").lines().next_back(),
        Some("gamma            complete")
    );
    let csv = masv("upload ls -o csv --sort name");
    assert!(csv.starts_with("id,state,done,bytes,name,to,rule,created,completed,package,link,error\n"), "{csv}");
    assert!(csv.contains(&format!("{},complete,100,2000,\"Alpha, \"\"quoted\"\"\",link,,20", ids[1])), "{csv}");
    let json: Value = serde_json::from_str(&masv("ls --json --sort bytes")).unwrap();
    assert_eq!(json["transfers"][0]["id"], ids[0].as_str());
    let table = masv("ls -o table");
    assert!(table.contains(&ids[0]) && table.contains("http://"), "into a pipe all of it: {table}");
    let unknown = agent.masv(&["ls", "--sort", "colour"]);
    assert!(code(&unknown) == 2 && errors(&unknown).contains("id, state, done, bytes"), "{}", errors(&unknown));
    assert_eq!(code(&agent.masv(&["server", "stop", "-o", "csv"])), 2, "not done: it lists nothing");
    assert_eq!(masv("download ls -o csv").lines().count(), 1);
}

/// At 80 columns a row took four lines, because of its link; Japanese names moved the columns behind them.
#[cfg(target_os = "linux")]
#[test]
fn a_list_fits_the_terminal() {
    let (agent, ids) =
        agent_with(&["A001C001_a_rather_long_name_for_a_clip.mov", "映像と音声の長いファイル名.mov", "x"]);
    for width in [40, 80, 120] {
        let shown = in_terminal(&agent, width, "upload ls");
        let lines: Vec<&str> = shown.lines().collect();
        for line in &lines {
            assert!(columns(line) <= width as usize, "{width}: {line:?}");
        }
        let end = &ids[2][ids[2].len() - 8..];
        assert!(lines.iter().any(|line| line.starts_with(end)), "ids are short: {shown}");
        assert!(lines[0].starts_with("ID ") && lines[1].contains("complete"), "{shown}");
    }
    let all = in_terminal(&agent, 80, "upload ls -v");
    assert!(all.contains(&ids[0]) && all.contains("http://") && !all.contains('…'), "{all}");
}

/// A file smaller than a part was at 0 % until it was complete, while `upload watch` showed how far it was.
#[cfg(target_os = "linux")]
#[test]
fn what_is_in_flight_counts_in_lists_and_bars_that_fit() {
    let agent = Agent::start("", &[]);
    std::fs::File::create(agent.path("clip.mov")).unwrap().set_len(40_000_000).unwrap();
    agent.json(&["settings", "rate-limit", "update", "--limit", "2MB"]);
    agent.json(&["upload", "start", "link", "--name", "映像と音声の長いファイル名.mov", "clip.mov"]);
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let upload = agent.json(&["upload", "ls"])["transfers"][0].clone();
        let done = text(&agent.masv(&["upload", "ls", "--columns", "done", "--no-headers"]));
        let done: u64 = done.trim().trim_end_matches('%').parse().unwrap();
        if upload["progress"] == 0 && done > 0 {
            assert!(done < 100, "{done}");
            break;
        }
        assert!(upload["progress"] == 0 && Instant::now() < deadline, "{done} %: {upload}");
        std::thread::sleep(Duration::from_millis(50));
    }
    let status = agent.json(&["status"]);
    assert_eq!(status["transferring"]["uploads"].as_array().unwrap().len(), 1, "{status}");
    agent.json(&["settings", "rate-limit", "update", "--limit", "20MB"]);
    let shown = in_terminal(&agent, 40, "upload watch");
    for line in shown.split(['\r', '\n']) {
        assert!(columns(line) <= 40, "{line:?}");
    }
    assert!(shown.contains('%'), "{shown}");
}

#[test]
fn the_status_says_what_is_wrong() {
    let agent = Agent::start("rules:\n- { name: lost, watch: not-there, upload: { kind: link } }\n", &[]);
    let status = agent.json(&["status"]);
    let problems = status["problems"].to_string();
    assert!(status["pid"].is_number() && problems.contains("not-there"), "{status}");
    let shown = text(&agent.masv(&["status", "-o", "text"]));
    assert!(shown.starts_with("masv ") && shown.contains("not-there"), "{shown}");
    assert_eq!(shown.matches("links work on this machine only").count(), 1, "nothing is said twice: {shown}");
}

#[test]
fn words_of_other_programs_lead_to_the_command() {
    let agent = Agent::start("", &[]);
    for (line, said) in [
        (&["send", "a.mov"][..], "masv upload start link FILE"),
        (&["pause"], "masv upload COMMAND ID"),
        (&["help", "uplod"], "did you mean `upload`?"),
        (&["upload", "stat"], "'status'"),
    ] {
        let output = agent.masv(line);
        assert!(code(&output) == 2 && errors(&output).contains(said), "{line:?}: {}", errors(&output));
    }
}

/// Packages, links and keys of a hub took 26 characters.
#[test]
fn what_is_in_a_hub_is_named_by_the_end_of_its_id_or_its_name() {
    let (agent, _) = agent_with(&["first", "second", "second"]);
    let hub = |words: &[&str]| agent.masv(&[&["hub"], words, &["--data-dir", "data/hub"]].concat());
    let lines = |words: &[&str]| {
        let output = hub(words);
        assert_eq!(code(&output), 0, "{words:?}: {}", errors(&output));
        text(&output).lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let ids = lines(&["package", "ls", "-q", "--sort", "created_at"]);
    assert_eq!(ids.len(), 3, "{ids:?}");
    let whole = lines(&["package", "show", &ids[0]]);
    assert_eq!(lines(&["package", "show", &ids[0][18..]]), whole);
    assert_eq!(lines(&["package", "show", "first"]), whole);
    let several = hub(&["package", "rm", "second", "--yes"]);
    assert!(code(&several) == 2 && ids[1..].iter().all(|id| errors(&several).contains(id)), "{}", errors(&several));
    assert_eq!(code(&hub(&["package", "show", "third"])), 4);
    let links = lines(&["link", "ls", "first", "-q"]);
    assert_eq!(lines(&["link", "show", &links[0][18..]]), lines(&["link", "show", &links[0]]));
    lines(&["package", "rm", "first", "--dry-run"]);
    assert_eq!(lines(&["package", "ls", "-q"]).len(), 3, "nothing was removed");
    lines(&["package", "rm", "first", "--yes"]);
    assert_eq!(lines(&["trash", "ls", "-q"]), ids[..1]);
    assert_eq!(lines(&["key", "ls", "-o", "csv"])[0], "id,role,state,since,expires,last-use,name");
}

/// Ends a process when the test does.
struct Ending(std::process::Child);

impl Drop for Ending {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_list_that_is_watched_is_shown_again_when_it_has_changed() {
    use std::io::{BufRead, BufReader};

    let (agent, _) = agent_with(&["first"]);
    let mut command = crate::process::command(agent.folder.path(), &["upload", "ls", "--watch"]);
    let mut watching = Ending(command.stdout(std::process::Stdio::piped()).spawn().unwrap());
    let (sender, lines) = std::sync::mpsc::channel();
    let output = BufReader::new(watching.0.stdout.take().unwrap());
    std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    let entries = |line: &str| serde_json::from_str::<Value>(line).unwrap()["transfers"].as_array().unwrap().len();
    let next = || lines.recv_timeout(Duration::from_secs(30)).unwrap();
    assert_eq!(entries(&next()), 1);
    agent.json(&["upload", "start", "link", "--name", "second", "0.mov"]);
    assert_eq!(entries(&next()), 2, "it is told at once, as one line");
}
