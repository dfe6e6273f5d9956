//! docs/migration.md: every command, flag, path and field that it says works as in the MASV Agent is used here as a script would.

use std::time::Duration;

use serde_json::{Value, json};

use crate::process::Agent;
use crate::support::{KEY, TestHub};

const LIMIT: Duration = Duration::from_secs(60);

fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

fn run(agent: &Agent, line: &str) -> Value {
    agent.json(&words(line))
}

fn agent() -> Agent {
    let agent = Agent::start("", &["--auto-finalize=true", "--auto-resume=true", "--chunk-size", "16MiB"]);
    for (path, text) in [("card/clip.mov", "clip"), ("b.txt", "b")] {
        std::fs::create_dir_all(agent.path(path).parent().unwrap()).unwrap();
        std::fs::write(agent.path(path), text).unwrap();
    }
    agent
}

fn id_of(started: &Value, key: &str) -> String {
    started[key].as_str().unwrap_or_else(|| panic!("no {key}: {started}")).to_owned()
}

/// Each row about uploads: what was given arrives in the upload, and every command of its life works by its id and for all.
#[test]
fn uploads_are_started_linked_listed_steered_and_removed_as_documented() {
    let agent = agent();
    let team = run(&agent, "user teams")["teams"][0].clone();
    for field in [
        "id",
        "name",
        "subdomain",
        "custom_expiry_enabled",
        "custom_expiry_default",
        "download_limit_enabled",
        "download_limit_default",
        "max_email_recipients",
    ] {
        assert!(team.get(field).is_some(), "{field}: {team}");
    }
    let team = id_of(&team, "id");
    let common = format!("--name N --description D --priority 3 --chunk-size 16MB --password pw --team-id {team}");
    let limits = "--delete-after 7 --download-limit 3 --tag-name review";
    let email =
        run(&agent, &format!("upload start email --emails=a@example.com,b@example.com {common} {limits} card b.txt"));
    let link = run(&agent, &format!("upload start link {common} --unlimited-storage card"));
    let link = id_of(&link, "upload_id");
    agent.wait_for("both are complete", LIMIT, |list| {
        list.len() == 2 && list.iter().all(|upload| upload["state"] == "complete")
    });
    let status = run(&agent, &format!("upload status {}", id_of(&email, "upload_id")));
    let expected = json!({ "name": "N", "description": "D", "priority": 3, "chunk_size": 16_000_000, "team_id": team, "file_count": 2 });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&status[field], value, "{field}: {status}");
    }
    assert!(run(&agent, &format!("upload link {link}"))["url"].is_string());
    assert!(run(&agent, &format!("upload link {link} --email c@example.com --password q"))["url"].is_string());
    // One that waits for its order, as with `server start --auto-finalize=false`.
    let open = id_of(&run(&agent, "upload start link --no-finalize b.txt"), "upload_id");
    agent.wait_for("it is idle", LIMIT, |list| list.iter().any(|upload| upload["state"] == "idle"));
    run(&agent, &format!("upload finalize {open}"));
    agent.wait_for("it is complete", LIMIT, |list| list.iter().all(|upload| upload["state"] == "complete"));
    // What transfers can be paused and resumed, one or all.
    run(&agent, "settings rate-limit update --enabled --limit 10KB");
    std::fs::write(agent.path("big.mov"), vec![7; 3_000_000]).unwrap();
    let big = id_of(&run(&agent, "upload start link big.mov"), "upload_id");
    for (order, state) in [
        (format!("upload pause {big}"), "paused"),
        (format!("upload resume {big}"), "transferring"),
        ("upload pause all".to_owned(), "paused"),
        ("upload resume all".to_owned(), "transferring"),
    ] {
        run(&agent, &order);
        agent.wait_for(&order, LIMIT, |list| list.iter().any(|one| one["id"] == big.as_str() && one["state"] == state));
    }
    assert_eq!(run(&agent, "upload ls --states transferring")["transfers"].as_array().unwrap().len(), 1);
    run(&agent, &format!("upload rm {big}"));
    assert_eq!(agent.masv(&words("upload rm all")).status.code(), Some(2), "the page says that it asks");
    assert_eq!(run(&agent, "upload rm all --states complete")["removed"], 3);
    let portal = "upload start portal --subdomain https://acme.portal.example.com/ --sender a@example.com --metadata a=1,b=2 --password p \
                  --name P --description D --priority -1 --chunk-size 16MB b.txt";
    let portal = run(&agent, &format!("upload status {}", id_of(&run(&agent, portal), "upload_id")));
    assert_eq!((&portal["kind"], &portal["priority"]), (&"portal".into(), &(-1).into()), "{portal}");
    let teamspace = agent.masv(&words("upload start link --teamspace-id T b.txt"));
    assert!(
        String::from_utf8_lossy(&teamspace.stderr).contains("no teamspaces"),
        "the page says that the hub refuses it"
    );
}

/// Cases: each row about downloads, FIFO mode, rate limits and sessions, as the page has it.
#[test]
fn downloads_settings_and_sessions_are_as_documented() {
    let agent = agent();
    run(&agent, "upload start link --password pw card b.txt");
    let sent = agent.wait_for("it is complete", LIMIT, |list| list.iter().any(|upload| upload["state"] == "complete"));
    let link = sent[0]["links"][0]["url"].as_str().unwrap();
    let start = format!(
        "download start --url {link} --destination in --password pw --create-package-folder=false --priority 2 \
         --bypass-package-quarantine --chunk-size 16MB"
    );
    let id = id_of(&run(&agent, &start), "download_id");
    agent.wait_for_downloads("it is complete", LIMIT, |list| {
        list.iter().all(|download| download["state"] == "complete")
    });
    assert_eq!(std::fs::read_to_string(agent.path("in/card/clip.mov")).unwrap(), "clip");
    let status = run(&agent, &format!("download status {id}"));
    let file = status["files"][0]["file_id"].as_str().unwrap_or_default().to_owned();
    run(&agent, &format!("download rm {id}"));
    assert!(!file.is_empty(), "{status}");
    let some =
        format!("download start --url {link} --destination some --password pw --file-ids {file} --uid 0 --gid 0");
    id_of(&run(&agent, &some), "download_id");
    run(&agent, "download pause all");
    run(&agent, "download resume all");
    let fifo = run(&agent, "settings fifo update --enable --uploads 1 --downloads 1");
    assert_eq!(fifo, json!({ "enabled": true, "active_upload_count": 1, "active_download_count": 1 }));
    assert_eq!(run(&agent, "settings fifo status"), fifo);
    let rate = run(&agent, "settings rate-limit update --enabled --limit 20MB");
    assert_eq!((&rate["enabled"], &rate["rate_limit_bps"]), (&true.into(), &20_000_000.into()));
    assert_eq!(run(&agent, "settings rate-limit status"), rate);
    assert!(run(&agent, "user status")["teams"].is_array());
    assert_eq!(run(&agent, "user logout"), json!({ "signed_in": false }));
    let refused = agent.masv(&words("user login --email a@example.com --password x"));
    assert_eq!(refused.status.code(), Some(5), "there is no such person in the agent's own hub");
}

/// Case: each row about automations: added, updated, disabled and deleted, without a rules file of its own.
#[test]
fn automations_are_added_changed_listed_and_deleted_as_documented() {
    let agent = agent();
    let add = "automation add download --name Clients --subdomain acme --destination in --create-package-folder --create-portal-subfolder \
               --effective-time 2026-01-01T00:00:00Z --enable --priority 2";
    let id = id_of(&run(&agent, add), "automation_id");
    let listed = run(&agent, "automation ls")["automations"][0].clone();
    assert_eq!((&listed["name"], &listed["priority"]), (&id.as_str().into(), &2.into()), "{listed}");
    let changed = run(&agent, &format!("automation update download {id} --disable --priority 4 --subdomain acme-2"));
    assert_eq!((&changed["enabled"], &changed["priority"]), (&false.into(), &4.into()), "{changed}");
    assert_eq!(run(&agent, &format!("automation update download {id} --enable"))["enabled"], true);
    assert_eq!(
        agent.masv(&words(&format!("automation delete {id}"))).status.code(),
        Some(2),
        "the page says that it asks"
    );
    run(&agent, &format!("automation delete {id} --yes"));
    let all = run(&agent, "automation add download --all --name Everything --destination all");
    run(&agent, &format!("automation delete {} --yes", id_of(&all, "automation_id")));
    assert_eq!(run(&agent, "automation ls")["automations"], json!([]));
}

/// Each path and field of the REST API that the page names, as the MASV Agent's documentation shows them.
#[tokio::test(flavor = "multi_thread")]
async fn rest_takes_the_documented_paths_and_fields() {
    let agent = agent();
    let base = format!("{}/api/v1", agent.url());
    let client = reqwest::Client::new();
    let call = async |method: &str, path: &str, body: Value| {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let answer = client.request(method, format!("{base}{path}")).json(&body).send().await.unwrap();
        let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap());
        (status, serde_json::from_str::<Value>(&text).unwrap_or(Value::String(text)))
    };
    let fields = json!({
        "paths": [agent.path("card")], "package_name": "N", "package_description": "D", "chunk_size": 16_777_216, "priority": 3,
        "password": "pw", "delete_after": 7, "download_limit": 3, "tag_name": "review",
    });
    let with = |more: Value| {
        let mut all = fields.clone();
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    let (status, started) = call("POST", "/uploads", with(json!({ "recipients": ["a@example.com"] }))).await;
    assert!(status == 200 || status == 201, "{status} {started}");
    let id = started["upload_id"].as_str().unwrap().to_owned();
    agent.wait_for("it is complete", LIMIT, |list| list.iter().all(|upload| upload["state"] == "complete"));
    let (_, upload) = call("GET", &format!("/uploads/{id}"), json!({})).await;
    assert_eq!(
        (&upload["name"], &upload["priority"], &upload["chunk_size"]),
        (&"N".into(), &3.into(), &16_777_216.into()),
        "{upload}"
    );
    for refused in
        [json!({ "recipients": "a@example.com" }), json!({ "metadata": "a=1" }), json!({ "subdomain": "team" })]
    {
        let (status, told) = call("POST", "/uploads", with(refused.clone())).await;
        assert!(status == 400 && told["message"].is_string(), "{refused}: {status} {told}");
    }
    assert!(matches!(call("DELETE", &format!("/uploads/{id}"), json!({})).await.0, 200 | 204));
    let (status, login) = call("POST", "/login", json!({ "email": "a@example.com", "password": "x" })).await;
    assert_eq!(status, 401, "{login}");
    assert_eq!(call("GET", "/login", json!({})).await.0, 200);
    assert!(call("GET", "/teams", json!({})).await.1["teams"][0]["id"].is_string());
    let portal = json!({
        "name": "Clients", "portal_subdomain": "acme", "dst_folder": agent.path("in"), "create_package_folder": true,
        "create_portal_subfolder": true, "download_priority": 2, "effective_time": "2026-01-01T00:00:00Z", "enabled": true,
    });
    let (status, added) = call("POST", "/automations/portal_download", portal.clone()).await;
    assert!(status == 200 || status == 201, "{status} {added}");
    let automation = added["automation_id"].as_str().unwrap().to_owned();
    let (status, changed) =
        call("PUT", &format!("/automations/portal_download/{automation}"), json!({ "enabled": false })).await;
    assert_eq!((status, &changed["enabled"]), (200, &false.into()), "{changed}");
    let (status, changed) = call("PATCH", &format!("/automations/{automation}"), json!({ "priority": 5 })).await;
    assert_eq!((status, &changed["priority"]), (200, &5.into()), "{changed}");
    assert_eq!(call("GET", "/automations", json!({})).await.1["automations"].as_array().unwrap().len(), 1);
    assert!(matches!(call("DELETE", &format!("/automations/{automation}"), json!({})).await.0, 200 | 204));
    let fifo = json!({ "enabled": true, "active_upload_count": 1, "active_download_count": 2 });
    assert_eq!(call("POST", "/settings/fifo_mode", fifo.clone()).await, (200, fifo.clone()));
    assert_eq!(call("GET", "/settings/fifo_mode", json!({})).await.1, fifo);
    for path in ["/settings/upload_rate_limit", "/settings/download_rate_limit"] {
        let (status, limit) = call("POST", path, json!({ "enabled": true, "rate_limit_bps": 5_000_000 })).await;
        assert_eq!((status, &limit["rate_limit_bps"]), (200, &5_000_000.into()), "{limit}");
        assert_eq!(call("GET", path, json!({})).await.1, limit);
    }
    for missing in ["/settings/disk_status", "/settings/disk_config_default"] {
        assert_eq!(call("GET", missing, json!({})).await.0, 404, "the page says that {missing} is missing");
    }
}

/// What a studio's script for the MASV Agent does: a package by the command line, one by REST, looked at until they are complete; a download;
/// an automation; the end. Only the address is another, because the test has no port 8080 of its own.
const SCRIPT: &str = r#"
set -eu
PATH=$BIN:$PATH
API=${AGENT}/api/v1
field() { python3 -c 'import json,sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }
wait_for() {
  until [ "$(curl -sf "$API/$1/$2" | field state)" = complete ]; do sleep 0.1; done
}

TEAM=$(masv user teams | python3 -c 'import json,sys; print(json.load(sys.stdin)["teams"][0]["id"])')
UPLOAD=$(masv upload start email --team-id="$TEAM" --emails=a@example.com,b@example.com --name="Day 12" \
  --description="Rushes" --priority=5 --chunk-size=16MB --delete-after=7 card | field upload_id)
wait_for uploads "$UPLOAD"
masv upload status "$UPLOAD" | grep -q '"complete"'

SECOND=$(curl -sf -X POST "$API/uploads" -H 'Content-Type: application/json' \
  -d '{"team_id":"'"$TEAM"'","package_name":"By REST","recipients":["c@example.com"],"paths":["'"$PWD"'/b.txt"]}' | field upload_id)
wait_for uploads "$SECOND"
LINK=$(masv upload link "$SECOND" | field url)

DOWNLOAD=$(masv download start --url="$LINK" --destination="$PWD/in" --create-package-folder=false | field download_id)
wait_for downloads "$DOWNLOAD"
cmp b.txt in/b.txt

masv automation add download --name=clients --subdomain=acme --destination="$PWD/clients" --enable >/dev/null
masv automation ls | grep -q clients
masv settings rate-limit update --enabled --limit=20MB >/dev/null
masv upload ls --states=complete | grep -q "$SECOND"
masv upload rm "$UPLOAD"
curl -sf -X DELETE "$API/uploads/$SECOND" -H 'Content-Type: application/json' -d '{}' >/dev/null
"#;

/// Case: a script that was written for the MASV Agent.
#[test]
fn a_script_for_the_masv_agent_runs_unchanged() {
    let agent = agent();
    let mut script = std::process::Command::new("sh");
    let bin = std::path::Path::new(env!("CARGO_BIN_EXE_masv")).parent().unwrap();
    script.args(["-c", SCRIPT]).current_dir(agent.folder.path());
    script.env("BIN", bin).env("AGENT", agent.url()).env("MASV_DATA_DIR", agent.path("data"));
    script.env("XDG_CONFIG_HOME", agent.path("config")).env("NO_PROXY", "127.0.0.1");
    for name in ["MASV_SERVER", "MASV_CONTEXT", "MASV_TOKEN", "MASV_API_KEY", "MASV_RULES"] {
        script.env_remove(name);
    }
    let output = script.output().unwrap();
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}\n{}", said(&output.stdout), said(&output.stderr), agent.log());
    assert_eq!(run(&agent, "upload ls")["transfers"], json!([]), "it has tidied up");
    assert_eq!(std::fs::read_to_string(agent.path("in/b.txt")).unwrap(), "b");
}

/// What the page lists as ending with exit code 2 does, and changes nothing; nothing else that the page names does.
#[test]
fn what_the_page_lists_as_refused_ends_with_exit_code_2_and_changes_nothing() {
    let agent = agent();
    let open = id_of(&run(&agent, "upload start link --no-finalize b.txt"), "upload_id");
    agent.wait_for("it is idle", LIMIT, |list| list.iter().any(|upload| upload["state"] == "idle"));
    let rule =
        id_of(&run(&agent, "automation add download --name a --subdomain acme --destination in"), "automation_id");
    let page = crate::operations::read("docs/migration.md");
    let list = page.split("\n* ").find(|item| item.starts_with("These commands end with exit code 2")).unwrap();
    let commands = regex::Regex::new("`([a-z][^`]+)`").unwrap();
    let mut seen = 0;
    for command in commands.captures_iter(list) {
        let command = command[1].replace("FILE", "b.txt").replace("ID", &rule);
        let output = agent.masv(&words(&command));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{command}: {said}");
        assert!(!said.is_empty(), "{command}");
        seen += 1;
    }
    assert!(seen > 8, "{list}");
    let left = run(&agent, "upload ls")["transfers"].as_array().unwrap().clone();
    assert!(left.len() == 1 && left[0]["id"] == open.as_str() && left[0]["state"] == "idle", "{left:?}");
    assert_eq!(run(&agent, "automation ls")["automations"].as_array().unwrap().len(), 1);
}

/// Starting with a key was no session for the command line, so that a script could not look its team up.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_at_the_start_is_a_session_and_people_sign_in_and_out() {
    let hub = TestHub::start().await;
    let cloud = ["--cloud-url", hub.url.as_str()];
    let agent = Agent::start("", &[&cloud[..], &["--api-key", KEY]].concat());
    std::fs::write(agent.path("b.txt"), "b").unwrap();
    assert_eq!(run(&agent, "user teams")["teams"][0]["id"], hub.team.as_str());
    assert!(run(&agent, "user status")["teams"].is_array());
    run(&agent, "upload start link b.txt");
    let sent = agent.wait_for("it is complete", LIMIT, |list| list.iter().any(|upload| upload["state"] == "complete"));
    assert_eq!(sent[0]["team_id"], hub.team.as_str());

    let agent = Agent::start("", &cloud);
    assert_eq!(agent.masv(&words("user status")).status.code(), Some(5), "nobody is signed in");
    agent.json(&["user", "login", "--email", "editor@example.com", "--password", "correct horse battery"]);
    assert!(run(&agent, "user status").to_string().contains("editor@example.com"));
    assert_eq!(run(&agent, "user teams")["teams"][0]["id"], hub.team.as_str());
    assert_eq!(run(&agent, "user logout")["signed_in"], false);
    assert_eq!(agent.masv(&words("user teams")).status.code(), Some(5));
}
