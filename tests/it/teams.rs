//! Several teams in one cloud: uploads wait for the name of theirs, and a team that is full holds up no other.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::hub::client::{TestHub, text};
use crate::process::{Agent, errors};
use crate::support::wait_until;

const LONG: Duration = Duration::from_secs(120);

/// A hub, its second team, and an agent whose user is in both.
async fn in_two_teams(rules: &str) -> (TestHub, String, Agent) {
    let hub = TestHub::start().await;
    let (_, made) = hub.hub.call(Method::POST, "/v1/teams", Some(&json!({ "name": "Second" }))).await.unwrap();
    let second = text(&made, "id");
    let password = secrecy::SecretString::from("correct horse");
    for team in ["Team", "Second"] {
        hub.hub.put_user(team, "ed@example.com", "Ed", &password, masv_hub::Role::Sender).await.unwrap();
    }
    let rules = rules.replace("FIRST", &hub.team).replace("SECOND", &second);
    let agent = Agent::start(&format!("cloud: {{ url: \"{}\" }}\n{rules}", hub.base), &[]);
    std::fs::write(agent.path("password"), "correct horse").unwrap();
    agent.json(&["user", "login", "--email", "ed@example.com", "--password-file", "password"]);
    (hub, second, agent)
}

/// Writes the agent's rules anew and has them loaded.
fn change_rules(agent: &Agent, change: impl FnOnce(String) -> String) {
    let path = agent.path("rules.yaml");
    let rules = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, change(rules)).unwrap();
    agent.json(&["rule", "reload"]);
}

async fn there(agent: &Agent, folder: &str) {
    wait_until("the folder is there", LONG, async || agent.path(folder).exists()).await;
}

fn states<'a>(list: &'a [Value], rule: &str) -> Vec<&'a str> {
    let of_rule = list.iter().filter(|upload| upload["rule"] == rule);
    of_rule.map(|upload| upload["state"].as_str().unwrap()).collect()
}

async fn packages(hub: &TestHub, team: &str) -> u64 {
    let path = format!("/v1/teams/{team}/usage");
    let (_, usage) = hub.hub.call(Method::GET, &path, None::<&Value>).await.unwrap();
    usage["packages"].as_u64().unwrap()
}

/// Case: a person in two teams, and no team is named. Each drop waits, as for a missing sign-in, until the rule names its team or the
/// rules file that of all; the agent goes on running.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_team_is_sent_once_the_rules_name_it_without_a_restart() {
    let rules = "rules:\n  - { name: one, watch: one, create: true, settle: 100ms, package: file, upload: { kind: link } }\n  \
                 - { name: two, watch: two, create: true, settle: 100ms, package: file, upload: { kind: link } }\n";
    let (hub, second, agent) = in_two_teams(rules).await;
    for rule in ["one", "two"] {
        there(&agent, rule).await;
        std::fs::write(agent.path(&format!("{rule}/clip.mov")), rule).unwrap();
    }
    agent.wait_for("both wait and say for what", LONG, |list| {
        list.len() == 2
            && list.iter().all(|upload| upload["state"] == "transferring" && upload.to_string().contains("cloud.team"))
    });
    change_rules(&agent, |rules| {
        let (before, two) = rules.split_once("name: two").unwrap();
        format!("{before}name: two{}", two.replace("kind: link", &format!("kind: link, team_id: {second}")))
    });
    let list = agent.wait_for("the rule's team is named", LONG, |list| states(list, "two") == ["complete"]);
    assert_eq!(states(&list, "one"), ["transferring"], "its team is not named yet");
    change_rules(&agent, |rules| rules.replace("cloud: {", &format!("cloud: {{ team: {},", hub.team)));
    agent.wait_for("the team of all is named", LONG, |list| states(list, "one") == ["complete"]);
    assert_eq!((packages(&hub, &hub.team).await, packages(&hub, &second).await), (1, 1));
    // Another team in the place of one that was named takes a restart, as before.
    let path = agent.path("rules.yaml");
    let rules = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, rules.replace(&format!("team: {},", hub.team), &format!("team: {second},"))).unwrap();
    let refused = agent.masv(&["rule", "reload"]);
    assert!(errors(&refused).contains("restart"), "{refused:?}");
}

/// "32 of A retry in the 32 places, B's three files of 1 kB stay queued": the team's quota is full, in truth.
#[tokio::test(flavor = "multi_thread")]
async fn a_team_whose_quota_is_full_does_not_hold_up_another_and_goes_on_when_there_is_room() {
    let rules = "rules:\n  - { name: full, watch: full, create: true, settle: 100ms, package: file, upload: { kind: link, team_id: \
                 FIRST } }\n  - { name: other, watch: other, create: true, settle: 100ms, package: file, upload: { kind: link, \
                 team_id: SECOND } }\n";
    let (hub, second, agent) = in_two_teams(rules).await;
    let quota = format!("/v1/teams/{}/quota", hub.team);
    let limit = async |quota_of: Value| {
        assert_eq!(hub.hub.call(Method::PUT, &quota, Some(&json!({ "quota": quota_of }))).await.unwrap().0, 200);
    };
    limit(json!(500)).await;
    for rule in ["full", "other"] {
        there(&agent, rule).await;
    }
    for number in 0..45 {
        std::fs::write(agent.path(&format!("full/{number}.mov")), vec![1; 1_000]).unwrap();
    }
    agent.wait_for("the quota is told", LONG, |list| {
        states(list, "full").len() == 45 && list.iter().any(|upload| upload.to_string().contains("quota"))
    });
    for number in 0..3 {
        std::fs::write(agent.path(&format!("other/{number}.mov")), vec![2; 1_000]).unwrap();
    }
    let list = agent.wait_for("the other team's files are sent", LONG, |list| states(list, "other") == ["complete"; 3]);
    assert!(states(&list, "full").iter().all(|state| *state != "complete" && *state != "error"), "{list:#?}");
    limit(Value::Null).await;
    agent.wait_for("there is room", LONG * 2, |list| states(list, "full") == ["complete"; 45]);
    assert_eq!((packages(&hub, &hub.team).await, packages(&hub, &second).await), (45, 3));
}

/// The rules name a cloud and a team there, and the agent was started with another cloud, where its key has one team: that is the one.
#[tokio::test(flavor = "multi_thread")]
async fn a_team_of_the_rules_is_told_to_no_other_cloud() {
    let hub = crate::support::TestHub::start().await;
    let rules = "cloud: { url: \"https://cloud.example\", team: elsewhere }\n\
                 rules:\n  - { name: one, watch: one, create: true, settle: 100ms, package: file, upload: { kind: link } }\n";
    let flags = ["--cloud-url", hub.url.as_str(), "--api-key", crate::support::KEY];
    let agent = Agent::start(rules, &flags);
    there(&agent, "one").await;
    std::fs::write(agent.path("one/clip.mov"), "one").unwrap();
    agent.wait_for("it is sent", LONG, |list| states(list, "one") == ["complete"]);
}
