//! One rule for many clients: to whom a package goes is worked out from its folder, and never guessed.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::process::Agent;

const LIMIT: Duration = Duration::from_secs(60);

fn until(what: &str, agent: &Agent, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {LIMIT:?}: {what}\n{}", agent.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn drop_file(agent: &Agent, path: &str) {
    let path = agent.path(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, "x").unwrap();
}

/// The mails in the outbox of the agent's own hub that are to this address.
fn mails_to(agent: &Agent, address: &str) -> usize {
    let Ok(mails) = std::fs::read_dir(agent.path("data/hub/outbox")) else { return 0 };
    let mails = mails.map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap());
    mails.filter(|mail| mail.lines().any(|line| line.starts_with("To: ") && line.contains(address))).count()
}

fn waits(agent: &Agent, path: &str) -> String {
    let status = agent.json(&["rule", "status", "clients"]);
    let waiting = status["waiting"].as_array().unwrap();
    let file = waiting.iter().find(|file| file["path"] == path);
    file.map(|file| file["reason"].as_str().unwrap().to_owned()).unwrap_or_default()
}

const RULES: &str = "recipients: clients.csv\nrules:\n  - name: clients\n    watch: clients\n    create: true\n    settle: 50ms\n    \
                     package: { per: folder, quiet: 100ms }\n    \
                     upload: { kind: email, emails: ['{{ recipients[item] }}', archive@example.com] }\n";

/// `emails` took no template: 40 clients were 40 rules.
#[test]
fn each_client_s_folder_goes_to_the_client_and_one_without_an_entry_waits_for_it() {
    let mut agent = Agent::prepare(RULES, &[]);
    let table = |text: &str| std::fs::write(agent.path("clients.csv"), text).unwrap();
    table(
        "client,address\nnorth,post@north.example.com\nnorth,producer@north.example.com\nsouth,post@south.example.com\n",
    );
    drop_file(&agent, "clients/north/cut.mov");
    let said = |arguments: &[&str]| String::from_utf8(agent.masv(arguments).stdout).unwrap();
    let rehearsal = said(&["rule", "dry-run", "rules.yaml", "--output", "text"]);
    assert!(rehearsal.contains("post@north.example.com, producer@north.example.com"), "{rehearsal}");
    agent.go_on();
    agent.wait_for("north has its cut", LIMIT, |list| list.iter().any(|upload| upload["state"] == "complete"));
    for address in ["post@north.example.com", "producer@north.example.com", "archive@example.com"] {
        until(address, &agent, || mails_to(&agent, address) == 1);
    }
    drop_file(&agent, "clients/west/cut.mov");
    until("it is told", &agent, || waits(&agent, "west/cut.mov").contains("`recipients` has no entry `west`"));
    let status = agent.json(&["rule", "status", "clients"]);
    assert!(status["last_error"]["message"].as_str().unwrap().contains("no entry `west`"), "{status}");
    let explained = |path: &str| {
        let tests = agent.json(&["rule", "explain", path])["rules"][0]["tests"].clone();
        tests.as_array().unwrap().iter().find(|test| test["test"] == "recipients").unwrap()["detail"].clone()
    };
    assert!(explained("clients/west/cut.mov").as_str().unwrap().contains("no entry `west`"));
    let told = explained("clients/north/cut.mov");
    assert_eq!(told, "will be mailed to post@north.example.com, producer@north.example.com, archive@example.com");
    // A wrong table leaves the one before in force; a right one is enough.
    std::fs::write(agent.path("clients.csv"), "west,nobody\n").unwrap();
    let problem =
        || agent.json(&["rule", "status", "clients"])["rules_problem"].as_str().unwrap_or_default().to_owned();
    until("the table is refused", &agent, || problem().contains("clients.csv:1") && problem().contains("`nobody`"));
    std::fs::write(agent.path("clients.csv"), "west,post@west.example.com\n").unwrap();
    until("west is reached", &agent, || mails_to(&agent, "post@west.example.com") == 1);
    assert_eq!(mails_to(&agent, "archive@example.com"), 2, "and nobody else was told");
}

/// An open package took what came, whoever it was for.
#[test]
fn an_open_package_takes_nothing_for_others() {
    let rules = "recipients: { north: a@example.com, south: b@example.com }\nrules:\n  - name: clients\n    watch: clients\n    create: true\n    \
                 settle: 50ms\n    package: { per: batch, quiet: 100ms }\n    group_by: \"{{ path[0] }}\"\n    finalize: { quiet: 10m }\n    \
                 upload: { kind: email, emails: '{{ recipients[path[1]] }}' }\n";
    let agent = Agent::start(rules, &[]);
    drop_file(&agent, "clients/day/north/1.mov");
    agent.wait_for("a package is open", LIMIT, |list| list.iter().any(|upload| upload["state"] == "idle"));
    drop_file(&agent, "clients/day/south/2.mov");
    until("it is told", &agent, || waits(&agent, "day/south/2.mov").contains("is for b@example.com"));
    drop_file(&agent, "clients/day/north/3.mov");
    let files = |list: &[Value]| list.iter().map(|upload| upload["file_count"].as_u64().unwrap()).collect::<Vec<_>>();
    agent.wait_for("what is for north is added", LIMIT, |list| files(list) == [2]);
}

/// Rules lived in one file for each machine.
#[test]
fn rules_of_included_files_come_and_go_with_them_and_none_of_the_files_is_sent() {
    let mut agent = Agent::prepare("include: rules.d\nuploads: { shared: { kind: link } }\n", &[]);
    let rule = |name: &str, watch: &str| {
        format!(
            "rules:\n  - {{ name: {name}, watch: {watch}, create: true, package: file, settle: 50ms, upload: shared }}\n"
        )
    };
    let save = |name: &str, text: &str| {
        std::fs::create_dir_all(agent.path("rules.d")).unwrap();
        std::fs::write(agent.path("rules.d").join(name), text).unwrap();
    };
    save("a.yaml", &rule("a", "../drop-a"));
    agent.go_on();
    let names = || {
        let rules = agent.json(&["rule", "ls"])["automations"].clone();
        rules.as_array().unwrap().iter().map(|rule| rule["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(), ["a"]);
    let save = |name: &str, text: &str| std::fs::write(agent.path("rules.d").join(name), text).unwrap();
    save("b.yaml", &rule("b", "."));
    until("a new file is taken up", &agent, || names() == ["a", "b"]);
    drop_file(&agent, "rules.d/clip.mov");
    drop_file(&agent, "drop-a/clip.mov");
    let sent = agent.wait_for("both clips are sent", LIMIT, |list| {
        list.len() >= 2 && list.iter().all(|upload| upload["state"] == "complete")
    });
    assert!(sent.iter().all(|upload| upload["name"] == "clip.mov"), "the agent's own files are never sent: {sent:#?}");
    save("b.yaml", "rules: [{ nam: b }]\n");
    let problem = || agent.json(&["rule", "status", "a"])["rules_problem"].as_str().unwrap_or_default().to_owned();
    until("the slip is told with its file", &agent, || problem().contains("rules.d/b.yaml:1") && names() == ["a", "b"]);
    std::fs::remove_file(agent.path("rules.d/b.yaml")).unwrap();
    until("a removed file's rules are gone", &agent, || names() == ["a"]);
    let refused = agent.masv(&["automation", "delete", "a", "--yes"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("rules.d/a.yaml"), "{said}");
}

/// Opening a pipe waits for somebody who writes into it.
#[test]
fn a_pipe_in_the_place_of_a_table_is_refused() {
    let agent = Agent::prepare(RULES, &[]);
    let pipe = agent.path("clients.csv");
    assert!(std::process::Command::new("mkfifo").arg(pipe).status().unwrap().success());
    let checked = agent.masv(&["rule", "check", "rules.yaml"]);
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(checked.status.code() == Some(1) && said.contains("it is not a regular file"), "{said}");
}
