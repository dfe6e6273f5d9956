//! Hard links: a second name, in a folder that others may write to, of a file that whoever made it cannot read.
//!
//! Linux keeps users from making such names, other systems and other machines do not: here the agent is told that nothing does.

use std::fs::{File, Permissions, hard_link, set_permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use masv_platform::own_user;
use serde_json::{Value, json};

use crate::beneath::{holds_secret, secret};
use crate::process::Agent;
use crate::support::wait_until;

const LIMIT: Duration = Duration::from_secs(60);
/// A user that is nobody on the machine.
const STRANGER: u32 = 61_235;

/// An agent to which nothing keeps others from making hard links, with these rules about folders that everybody may write to.
fn agent(rules: &str, folders: &[&str], flags: &[&str]) -> Agent {
    let folder = tempfile::tempdir().unwrap();
    set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    for name in folders {
        std::fs::create_dir(folder.path().join(name)).unwrap();
        set_permissions(folder.path().join(name), Permissions::from_mode(0o777)).unwrap();
    }
    let flags: Vec<String> = flags.iter().map(|flag| flag.replace("HERE", folder.path().to_str().unwrap())).collect();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let mut agent = Agent::prepare_in(folder, rules, &flags);
    agent.environment = vec![("MASV_HARD_LINKS".to_owned(), "open".to_owned())];
    agent.go_on();
    agent
}

fn sent(list: &[Value], rule: &str) -> usize {
    list.iter().filter(|upload| upload["rule"] == rule && upload["state"] == "complete").count()
}

fn explained(agent: &Agent, path: &str) -> String {
    String::from_utf8(agent.masv(&["rule", "explain", path]).stdout).unwrap()
}

/// Row "hard links": with a link made as if the kernel allowed it, a private file was sent, by a rule and by an order below
/// `--allow-root`. It is held, with the reason; what the owner put into a folder of its own, and what the rule allows, is sent.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_name_of_a_private_file_is_held_and_explain_says_why() {
    let rule = |name: &str, more: &str| {
        format!(
            "  - {{ name: {name}, watch: {name}, package: file, settle: 50ms, rescan: 1s, upload: {{ kind: link }}{more} }}\n"
        )
    };
    let rules = format!("rules:\n{}{}", rule("drop", ""), rule("free", ", hard_links: all"));
    let mut agent = agent(&rules, &["drop", "free"], &["--allow-root", "HERE/drop", "--allow-root", "HERE/free"]);
    let private = secret(&agent.path("private"), "shadow", 4_000);
    set_permissions(agent.path("private"), Permissions::from_mode(0o700)).unwrap();
    std::fs::create_dir(agent.path("drop/card")).unwrap();
    hard_link(&private, agent.path("drop/card/clip.mov")).unwrap();
    set_permissions(agent.path("drop/card"), Permissions::from_mode(0o777)).unwrap();
    hard_link(&private, agent.path("drop/x.mov")).unwrap();
    std::fs::write(agent.path("drop/harmless.mov"), "harmless").unwrap();
    agent.wait_for("what has one name is sent", LIMIT, |list| sent(list, "drop") == 1);
    for path in ["drop/x.mov", "drop/card/clip.mov"] {
        let whole = || async { explained(&agent, path).contains("has several names (hard links)") };
        wait_until("explain says so", LIMIT, whole).await;
    }
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for path in ["drop/x.mov", "drop/card", "drop/*.mov"] {
        let order = json!({ "paths": [agent.path(path)] });
        let answer = client.post(format!("{}/api/v1/uploads", agent.url())).json(&order).send().await.unwrap();
        assert_eq!(answer.status(), 400, "{path}");
        assert!(answer.text().await.unwrap().contains("several names"), "{path}");
    }
    assert!(!holds_secret(&agent.path("data")), "a private file was sent");

    // A folder that only the owner writes to speaks for what is in it, and so does the rule.
    std::fs::write(agent.path("own.mov"), "own").unwrap();
    hard_link(agent.path("own.mov"), agent.path("free/own.mov")).unwrap();
    agent.wait_for("what the rule allows is sent", LIMIT, |list| sent(list, "free") == 1);
    std::fs::create_dir(agent.path("drop/closed")).unwrap();
    set_permissions(agent.path("drop/closed"), Permissions::from_mode(0o755)).unwrap();
    hard_link(agent.path("own.mov"), agent.path("drop/closed/own.mov")).unwrap();
    agent.wait_for("what is in a folder of the owner is sent", LIMIT, |list| sent(list, "drop") == 2);
    assert!(!holds_secret(&agent.path("data")), "a private file was sent");
    assert_eq!(agent.stop(), Some(0));
}

/// A file that another user dropped, and keeps elsewhere under a second name, waits until it has only one.
#[tokio::test(flavor = "multi_thread")]
async fn another_users_file_is_sent_once_it_has_one_name() {
    if own_user() != 0 {
        eprintln!("skipped: only root can start a process of another user");
        return;
    }
    let rules =
        "rules:\n  - { name: drop, watch: drop, package: file, settle: 50ms, rescan: 1s, upload: { kind: link } }\n";
    let mut agent = agent(rules, &["drop", "theirs"], &[]);
    let stranger = |script: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).current_dir(agent.folder.path()).uid(STRANGER).gid(STRANGER);
        shell.output().unwrap()
    };
    assert!(
        stranger("echo harmless > theirs/x.mov && ln theirs/x.mov drop/x.mov && echo one > drop/one.mov")
            .status
            .success()
    );
    // The kernel of this machine keeps the user from naming a file that it may not write to; where it does not, the agent holds it.
    let private = secret(&agent.path("private"), "shadow", 400);
    set_permissions(agent.path("private"), Permissions::from_mode(0o755)).unwrap();
    set_permissions(&private, Permissions::from_mode(0o600)).unwrap();
    let planted = stranger("ln private/shadow drop/shadow.mov").status.success();
    agent.wait_for("what has one name is sent", LIMIT, |list| sent(list, "drop") == 1);
    let held = || async {
        explained(&agent, "drop/x.mov").contains("several names")
            && (!planted || explained(&agent, "drop/shadow.mov").contains("several names"))
    };
    wait_until("it is held", LIMIT, held).await;
    assert!(stranger("rm theirs/x.mov").status.success());
    agent.wait_for("what has one name now is sent", LIMIT, |list| sent(list, "drop") == 2);
    assert!(!holds_secret(&agent.path("data")), "a private file was sent");
    assert_eq!(agent.stop(), Some(0));
}

/// While a file is sent, a second name of a private file of the same owner, size and date takes its place: that is refused, as
/// another user's file is, and nothing of it leaves.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_exchanged_for_a_second_name_of_a_private_one_is_refused() {
    let rules = "rules:\n  - { name: drop, watch: drop, package: file, settle: 50ms, upload: { kind: link, chunk_size: 5MiB } }\n";
    let mut agent = agent(rules, &["drop"], &[]);
    let private = secret(&agent.path("private"), "shadow", 24_000_000);
    let size = private.metadata().unwrap().len();
    let slow = agent.masv(&["settings", "rate-limit", "update", "--limit", "2MB"]);
    assert!(slow.status.success(), "{slow:?}");
    let harmless = vec![b'h'; usize::try_from(size).unwrap()];
    let date = private.metadata().unwrap().modified().unwrap();
    let drop = |name: &Path| {
        std::fs::write(name, &harmless).unwrap();
        File::options().write(true).open(name).unwrap().set_modified(date).unwrap();
    };
    drop(&agent.path("beside"));
    std::fs::rename(agent.path("beside"), agent.path("drop/x.mov")).unwrap();
    agent.wait_for("it is being sent", LIMIT, |list| list.iter().any(|upload| upload["state"] == "transferring"));
    // Replaced by the same content often enough that a replacement is not compared before it is read.
    for _ in 0..4 {
        drop(&agent.path("drop/.beside"));
        std::fs::rename(agent.path("drop/.beside"), agent.path("drop/x.mov")).unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    hard_link(&private, agent.path("drop/.beside")).unwrap();
    std::fs::rename(agent.path("drop/.beside"), agent.path("drop/x.mov")).unwrap();
    assert!(agent.masv(&["settings", "rate-limit", "update", "--enabled=false"]).status.success());
    let list = agent.wait_for("it is refused", LIMIT, |list| list.iter().any(|upload| upload["state"] == "error"));
    let status = agent.json(&["upload", "status", list[0]["id"].as_str().unwrap()]);
    assert!(status.to_string().contains("source_other_user"), "{status}");
    assert!(!holds_secret(&agent.path("data")), "a private file was sent");
    assert_eq!(agent.stop(), Some(0));
}
