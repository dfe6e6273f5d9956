//! The rules file is reloaded: by saving it, by SIGHUP, on request. Errors in it are reported everywhere, and
//! the previous rules stay active.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::process::Agent;

const LIMIT: Duration = Duration::from_secs(60);

fn rules(settle: &str) -> String {
    format!(
        "version: 1\nrules:\n  - {{ name: dailies, watch: drop, create: true, package: file, settle: {settle}, upload: {{ kind: link }} }}\n  \
         - {{ name: other, watch: other, create: true, package: file, settle: 50ms, upload: {{ kind: link }} }}\n"
    )
}

fn until(what: &str, agent: &Agent, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {LIMIT:?}: {what}\n{}", agent.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn said(agent: &Agent, arguments: &[&str]) -> String {
    let output = agent.masv(&[arguments, &["--output", "text"]].concat());
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Case: a refused rules file is told by status, rule list and doctor, and the previous rules stay active.
/// Case: broken and good rules files, by saving, SIGHUP and order: nothing is lost, and only what differs is restarted.
#[test]
fn a_wrong_file_is_told_everywhere_and_a_right_one_changes_what_differs() {
    let agent = Agent::start(rules("50ms").trim_start_matches("version: 1\n"), &[]);
    let scan = |rule: &str| agent.json(&["rule", "status", rule])["last_scan"]["at"].clone();
    until("both have looked", &agent, || scan("dailies").is_string() && scan("other").is_string());
    let other = scan("other");
    let save = |text: &str| std::fs::write(agent.path("rules.yaml"), text).unwrap();
    let problem = || agent.json(&["rule", "status", "dailies"])["rules_problem"].clone();

    // Saving is enough.
    save(&rules("50ms").replace("settle", "setle"));
    until("the slip is told", &agent, || problem().is_string());
    let places: [&[&str]; 4] = [&["rule", "ls"], &["rule", "status", "dailies"], &["server", "status"], &["doctor"]];
    for place in places {
        let told = said(&agent, place);
        assert!(
            told.contains("unknown key `setle`") && told.contains("the previous rules stay active"),
            "{place:?}: {told}"
        );
    }
    assert!(agent.log().contains("the rules file is not valid, the previous rules stay active"), "{}", agent.log());
    let refused = agent.masv(&["rule", "reload"]);
    assert_eq!(refused.status.code(), Some(2), "{}", String::from_utf8_lossy(&refused.stderr));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("did you mean `settle`?"));
    std::fs::write(agent.path("drop/clip.mov"), "x").unwrap();
    agent.wait_for("the previous rules stay active", LIMIT, |list| list.len() == 1);

    // SIGHUP, with the file replaced as editors do, before it is polled.
    std::fs::write(agent.path("rules.new"), rules("60ms")).unwrap();
    std::fs::rename(agent.path("rules.new"), agent.path("rules.yaml")).unwrap();
    agent.signal(Signal::HUP);
    until("nothing is wrong any more", &agent, || problem().is_null());
    assert_eq!(scan("other"), other, "what did not change was not restarted");
    assert!(said(&agent, &["doctor"]).contains("dailies"));

    // By order.
    save(&rules("70ms").replace("name: other", "name: another"));
    assert!(said(&agent, &["rule", "reload"]).contains("Loaded 2 rules."));
    let names: Vec<Value> = agent.json(&["rule", "ls"])["automations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| rule["name"].clone())
        .collect();
    assert_eq!(names, ["dailies", "another"]);
}

/// Case: half a rules file. Its writer pauses for longer than the looks at it take, and what is there by then is valid by itself: it was
/// loaded, and rules were gone until the rest came. The next agent takes it for whole no more than the running one.
#[cfg(target_os = "linux")]
#[test]
fn a_rules_file_that_is_being_written_is_not_loaded_before_it_is_closed() {
    use std::io::Write;

    let mut agent = Agent::start(rules("50ms").trim_start_matches("version: 1\n"), &[]);
    let whole =
        format!("{}  - {{ name: third, watch: third, create: true, upload: {{ kind: link }} }}\n", rules("50ms"));
    let half = whole.find("  - { name: other").unwrap();
    let names = || {
        let listed = agent.json(&["rule", "ls"]);
        let names =
            listed["automations"].as_array().unwrap().iter().map(|rule| rule["name"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    let problem =
        || agent.json(&["rule", "status", "dailies"])["rules_problem"].as_str().unwrap_or_default().to_owned();
    let mut file = std::fs::File::create(agent.path("rules.yaml")).unwrap();
    file.write_all(&whole.as_bytes()[..half]).unwrap();
    let pauses_until = Instant::now() + Duration::from_secs(7);
    until("it says that the file is being written", &agent, || problem().contains("is being written by"));
    while Instant::now() < pauses_until {
        assert_eq!(names(), ["dailies", "other"], "half a file is in force");
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(said(&agent, &["server", "status"]).contains("is being written by"));
    assert!(said(&agent, &["doctor"]).contains("is being written by"));
    agent.stop();
    agent.go_on();
    let names = || {
        let listed = agent.json(&["rule", "ls"]);
        let names =
            listed["automations"].as_array().unwrap().iter().map(|rule| rule["name"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    let problem = || agent.json(&["rule", "status", "dailies"])["rules_problem"].clone();
    assert_eq!(names(), ["dailies", "other"], "half a file is in force after a restart");
    file.write_all(&whole.as_bytes()[half..]).unwrap();
    drop(file);
    until("all of it is loaded", &agent, || names() == ["dailies", "other", "third"]);
    until("nothing is wrong", &agent, || problem().is_null());

    // What is opened for writing and closed as it was changes nothing.
    let file = std::fs::OpenOptions::new().append(true).open(agent.path("rules.yaml")).unwrap();
    drop(file);
    assert_eq!(names(), ["dailies", "other", "third"]);
}

/// With an invalid file at boot the whole agent ended, and the service manager restarted it forever; a running one goes
/// on with the rules it has.
#[test]
fn an_agent_starts_over_a_broken_file_with_the_rules_that_the_file_held_before() {
    let mut agent = Agent::start(rules("50ms").trim_start_matches("version: 1\n"), &[]);
    agent.stop();
    std::fs::write(agent.path("rules.yaml"), rules("50ms").replace("settle", "setle")).unwrap();
    agent.go_on();
    for place in [&["rule", "ls"][..], &["server", "status"], &["doctor"]] {
        let told = said(&agent, place);
        assert!(
            told.contains("unknown key `setle`") && told.contains("the previous rules stay active"),
            "{place:?}: {told}"
        );
    }
    std::fs::write(agent.path("drop/clip.mov"), "x").unwrap();
    agent.wait_for("the previous rules stay active", LIMIT, |list| list.len() == 1);
    std::fs::write(agent.path("rules.yaml"), rules("60ms")).unwrap();
    let problem = || agent.json(&["rule", "status", "dailies"])["rules_problem"].clone();
    until("the right one is loaded", &agent, || problem().is_null());

    // Without a copy there is nothing to continue with.
    agent.stop();
    std::fs::remove_file(agent.path("data/rules.last.json")).unwrap();
    std::fs::write(agent.path("rules.yaml"), "version: 1\nrulse: []\n").unwrap();
    agent.launch();
    assert_eq!(agent.ended(), Some(1));
}

/// Stopping takes no longer than its grace, whatever is being read or copied.
#[test]
fn a_checksum_of_hours_does_not_keep_the_agent_from_stopping() {
    let mut agent = Agent::start(
        "rules:\n  - { name: cards, watch: drop, create: true, settle: 50ms, ready: { manifest: '*.md5' }, upload: { kind: link } }\n",
        &[],
    );
    // Holes take no room and are read like anything else.
    std::fs::File::create(agent.path("drop/reel.mov")).unwrap().set_len(400 << 30).unwrap();
    std::fs::write(agent.path("drop/card.md5"), "d41d8cd98f00b204e9800998ecf8427e  reel.mov\n").unwrap();
    let comparing = || {
        let status = agent.json(&["rule", "status", "cards"]);
        let waiting = status["waiting"].as_array().unwrap().clone();
        waiting.iter().any(|file| file["reason"].as_str().unwrap().contains("being compared"))
    };
    until("it is being compared", &agent, comparing);
    let began = Instant::now();
    assert_eq!(agent.stop(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}
