//! Rules that were ordered below `--allow-root`, while whoever may write there replaces folders by links: nothing outside is read, sent,
//! written to, moved or removed, by a running agent and by the next one. A rule of the file follows the links of its operator.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::beneath::{holds_secret, secret, state_of};
use crate::process::Agent;
use crate::support::wait_until;

const LIMIT: Duration = Duration::from_secs(60);

/// The operator's own rules: one that watches through a link, and nothing to do with what is ordered.
const RULES: &str = "rules:
  - { name: own, watch: link/drop, settle: 50ms, rescan: 1s, package: file, upload: { kind: link } }
";

struct Ordered {
    agent: Agent,
    client: reqwest::Client,
}

impl Ordered {
    /// `root` is allowed; in it is the folder `d` with everything that rules are ordered for. `outside` looks like `d`.
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        for path in ["root/d/drop", "root/d/sent", "root/d/in", "operator/drop"] {
            std::fs::create_dir_all(at(path)).unwrap();
        }
        symlink("operator", at("link")).unwrap();
        for path in ["drop", "drop/card", "sent", "in"] {
            secret(&at("outside").join(path), "secret.mov", 20_000);
        }
        let root = at("root").to_str().unwrap().to_owned();
        let mut agent = Agent::prepare_in(folder, RULES, &["--allow-root", &root]);
        agent.environment = vec![("MASV_HURRY".to_owned(), "1".to_owned())];
        agent.go_on();
        Self { agent, client: reqwest::Client::builder().no_proxy().build().unwrap() }
    }

    async fn order(&self, what: &str, order: Value) {
        let url = format!("{}/api/v1/automations/{what}", self.agent.url());
        let answer = self.client.post(url).json(&order).send().await.unwrap();
        assert_eq!(answer.status(), 201, "{}", answer.text().await.unwrap());
    }

    /// Puts a link to what is outside in the place of the folder.
    fn exchange(&self) {
        std::fs::rename(self.agent.path("root/d"), self.agent.path("root/away")).unwrap();
        symlink(self.agent.path("outside"), self.agent.path("root/d")).unwrap();
    }

    fn exchange_back(&self) {
        std::fs::remove_file(self.agent.path("root/d")).unwrap();
        std::fs::rename(self.agent.path("root/away"), self.agent.path("root/d")).unwrap();
    }

    /// Waits until the rule says that there is a link on the way to its folder.
    async fn sees_the_link(&self, rule: &str) {
        let status = || self.agent.json(&["rule", "status", rule]).to_string();
        wait_until(&format!("{rule} sees the link"), LIMIT, || async { status().contains("is a symbolic link") }).await;
    }

    /// Waits until the rule of the operator has sent another file: whatever the others do, there was time for it.
    async fn operator_sends(&self, name: &str) {
        std::fs::write(self.agent.path("operator/drop").join(name), name).unwrap();
        self.sent(name).await;
    }

    /// Waits until a file of this name is sent.
    async fn sent(&self, name: &str) {
        // Not every test has both rules.
        let history = |rule: &str| self.agent.masv(&["rule", "history", rule, "--output=json"]);
        wait_until(&format!("{name} is sent"), LIMIT, || async {
            self.agent.json(&["upload", "ls"])["transfers"]
                .as_array()
                .unwrap()
                .iter()
                .any(|one| one["state"] == "complete" && one.to_string().contains(name.trim_end_matches(".mov")))
                || ["own", "ordered"].iter().any(|rule| String::from_utf8_lossy(&history(rule).stdout).contains(name))
        })
        .await;
    }
}

fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// Whoever may write into a parent of the folder of an ordered rule put a link in its place: what it led to was watched, sent and moved.
/// The same over a restart, after a reload, and until the folder is back.
#[tokio::test(flavor = "multi_thread")]
async fn an_ordered_rule_follows_no_link_in_the_place_of_its_folder_over_restarts_too() {
    let mut ordered = Ordered::start();
    let root = ordered.agent.path("root");
    let sent = format!("{}/d/sent/{{{{ rule }}}}", root.display());
    let rule = json!({ "name": "ordered", "watch_folder": root.join("d/drop"), "package": "file", "settle": "50ms",
        "package_name": "{{ stem }}", "after": { "complete": { "move": sent } } });
    ordered.order("upload", rule).await;
    let written = std::fs::read_to_string(ordered.agent.path("rules.yaml")).unwrap();
    assert!(written.contains("confined: true"), "{written}");
    // Looked at every five minutes by default.
    let often = written.replace("confined: true", "confined: true\n    rescan: 1s");
    std::fs::write(ordered.agent.path("rules.yaml"), often).unwrap();
    assert_eq!(ordered.agent.masv(&["rule", "reload"]).status.code(), Some(0));
    std::fs::write(root.join("d/drop/first.mov"), "first").unwrap();
    let moved = root.join("d/sent/ordered/first.mov");
    wait_until("the first is moved", LIMIT, || async { exists(&moved) }).await;

    let outside = ordered.agent.path("outside");
    let before = state_of(&outside);
    ordered.exchange();
    ordered.sees_the_link("ordered").await;
    ordered.operator_sends("one.mov").await;
    let told = ordered.agent.masv(&["doctor", "--output", "text"]);
    assert!(String::from_utf8_lossy(&told.stdout).contains("is a symbolic link"), "{told:?}");

    // The next agent knows it, too, and so does one that loads its rules again.
    assert_eq!(ordered.agent.stop(), Some(0));
    ordered.agent.go_on();
    ordered.sees_the_link("ordered").await;
    assert_eq!(ordered.agent.masv(&["rule", "reload"]).status.code(), Some(0));
    let tried = ordered.agent.json(&["rule", "dry-run"]).to_string();
    assert!(!tried.contains("secret.mov"), "{tried}");
    ordered.operator_sends("two.mov").await;
    assert!(state_of(&outside) == before, "something outside changed");
    assert!(!holds_secret(&ordered.agent.path("data")), "a private file was sent");

    // Only the place where files are moved to.
    ordered.exchange_back();
    std::fs::rename(root.join("d/sent"), root.join("d/kept")).unwrap();
    symlink(outside.join("sent"), root.join("d/sent")).unwrap();
    std::fs::write(root.join("d/drop/second.mov"), "second").unwrap();
    ordered.sent("second.mov").await;
    let refused = || ordered.agent.json(&["rule", "status", "ordered"]).to_string().contains("symbolic link");
    wait_until("it is not moved through the link", LIMIT, || async { refused() }).await;
    assert!(exists(&root.join("d/drop/second.mov")) && state_of(&outside) == before, "something outside changed");
}

/// The same of a folder that an ordered rule downloads into: what was delivered was written elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn an_ordered_download_rule_writes_through_no_link_over_restarts_too() {
    let mut ordered = Ordered::start();
    let root = ordered.agent.path("root");
    let rule = json!({ "name": "arrives", "portal_subdomain": "acme", "dst_folder": root.join("d/in") });
    ordered.order("portal_download", rule).await;
    // Checked once a minute by default.
    let text = std::fs::read_to_string(ordered.agent.path("rules.yaml")).unwrap();
    assert!(text.contains("confined: true"), "{text}");
    let text = text.replace("confined: true", "confined: true\n    poll: 1s");
    std::fs::write(ordered.agent.path("rules.yaml"), text).unwrap();
    let reloaded = ordered.agent.masv(&["rule", "reload"]);
    assert_eq!(reloaded.status.code(), Some(0), "{}", String::from_utf8_lossy(&reloaded.stderr));
    let deliver = |agent: &Agent, name: &str| {
        std::fs::write(root.join(name), name).unwrap();
        let file = root.join(name).to_str().unwrap().to_owned();
        let named = format!("--name={name}");
        let start =
            ["upload", "start", "portal", "--subdomain=acme", "--sender=a@example.com", "--wait", &named, &file];
        let output = agent.masv(&start);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    deliver(&ordered.agent, "one");
    wait_until("the first is there", LIMIT, || async { exists(&root.join("d/in/one/one")) }).await;

    let outside = ordered.agent.path("outside");
    let before = state_of(&outside);
    ordered.exchange();
    deliver(&ordered.agent, "two");
    let failed = |list: &[Value]| list.iter().any(|one| one["name"] == "two" && one.to_string().contains("is a link"));
    ordered.agent.wait_for_downloads("the second is refused", LIMIT, failed);
    assert_eq!(ordered.agent.stop(), Some(0));
    ordered.agent.go_on();
    ordered.agent.wait_for_downloads("the second is still refused", LIMIT, failed);
    ordered.operator_sends("three.mov").await;
    assert!(state_of(&outside) == before, "something outside changed");
}

/// A rule that is changed through the API to download elsewhere is confined from then on; one whose folder stays is as its operator wrote it.
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_changed_by_order_is_confined_and_no_other() {
    let ordered = Ordered::start();
    let root = ordered.agent.path("root");
    let mut text = std::fs::read_to_string(ordered.agent.path("rules.yaml")).unwrap();
    text.push_str("  - { name: in, portal: acme, into: link/in }\n");
    std::fs::write(ordered.agent.path("rules.yaml"), text).unwrap();
    assert_eq!(ordered.agent.masv(&["rule", "reload"]).status.code(), Some(0));
    let change = async |change: Value| {
        let url = format!("{}/api/v1/automations/in", ordered.agent.url());
        let answer = ordered.client.patch(url).json(&change).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
        std::fs::read_to_string(ordered.agent.path("rules.yaml")).unwrap()
    };
    assert!(!change(json!({ "priority": 3 })).await.contains("confined"));
    let text = change(json!({ "dst_folder": root.join("d/in") })).await;
    assert!(text.contains("confined: true"), "{text}");
}
