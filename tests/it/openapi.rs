//! The document of the REST API against a running agent: every call of it is made, and every answer is as it says.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::process::Agent;
use crate::support::wait_until;

const RULES: &str = "rules:\n  - name: quick\n    watch: drop\n    create: true\n    settle: 200ms\n    package: file\n    \
                     upload: { kind: link }\n  - name: slow\n    watch: slow\n    create: true\n    settle: 1h\n    \
                     upload: { kind: link }\n    schedule: \"0 18 * * *\"\n";

/// Calls by the document, and remembers which.
struct Caller {
    client: Client,
    base: String,
    document: Value,
    called: BTreeSet<String>,
}

impl Caller {
    async fn new(base: String) -> Self {
        let client = Client::new();
        let answer = client.get(format!("{base}/api/v1/openapi.json")).send().await.unwrap();
        Self { client, base, document: answer.json().await.unwrap(), called: BTreeSet::new() }
    }

    fn operations(&self) -> BTreeSet<String> {
        let paths = self.document["paths"].as_object().unwrap().iter();
        paths
            .flat_map(|(path, item)| item.as_object().unwrap().keys().map(move |verb| format!("{verb} {path}")))
            .collect()
    }

    fn schema(&self, schema: &Value) -> Value {
        let mut schema = schema.clone();
        if schema.is_boolean() {
            return schema;
        }
        schema["components"] = self.document["components"].clone();
        schema
    }

    /// Makes a call such as `post /api/v1/uploads/{id}/pause`; what it sends and gets must be as the document says.
    async fn call(&mut self, operation: &str, fill: &str, body: Option<Value>, status: u16) -> Value {
        let (verb, rest) = operation.split_once(' ').unwrap();
        let (path, query) = rest.split_once('?').map_or((rest, ""), |(path, query)| (path, query));
        let told = self.document["paths"][path][verb].clone();
        assert!(told.is_object(), "docs/openapi.json has no {verb} {path}");
        self.called.insert(format!("{verb} {path}"));
        let filled = path.split('/').map(|word| if word.starts_with('{') { fill } else { word });
        let url = format!("{}{}?{query}", self.base, filled.collect::<Vec<_>>().join("/"));
        let mut request = self.client.request(Method::from_bytes(verb.to_uppercase().as_bytes()).unwrap(), &url);
        // A request has a body, if only an empty one, if the document says so, otherwise the header.
        let body = body.or_else(|| told.get("requestBody").map(|_| json!({})));
        let headers = told["parameters"].as_array().into_iter().flatten();
        for header in headers.filter(|one| one["in"] == "header" && one["required"] == true) {
            request = request.header(header["name"].as_str().unwrap(), "test");
        }
        if let Some(body) = body {
            if status < 400 {
                self.check(&told["requestBody"]["content"]["application/json"]["schema"], &body, operation);
            }
            request = request.json(&body);
        }
        for (name, _) in url::form_urlencoded::parse(query.as_bytes()) {
            let known = told["parameters"].as_array().is_some_and(|all| all.iter().any(|one| one["name"] == *name));
            assert!(known, "{operation}: the parameter {name} is not in the document");
        }
        let answer = request.send().await.unwrap();
        for (name, value) in [("x-content-type-options", "nosniff"), ("cross-origin-resource-policy", "same-origin")] {
            assert_eq!(answer.headers()[name], value, "{operation}");
        }
        assert_eq!(answer.status().as_u16(), status, "{operation}: {}", answer.text().await.unwrap());
        let response = match told["responses"].get(status.to_string()) {
            Some(response) => response,
            None if status >= 400 => &told["responses"]["default"],
            None => panic!("{operation}: the document does not know the answer {status}"),
        };
        let Some(schema) = response["content"].get("application/json") else { return Value::Null };
        let answer: Value = answer.json().await.unwrap();
        self.check(&schema["schema"], &answer, operation);
        answer
    }

    /// That a value is as the schema says; fields that the schema does not name count as wrong.
    fn check(&self, schema: &Value, value: &Value, operation: &str) {
        let validator = jsonschema::validator_for(&closed(self.schema(schema))).unwrap();
        let wrong: Vec<String> =
            validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(wrong.is_empty(), "{operation}: {wrong:#?}\n{value:#}");
    }
}

/// The schema with every object closed to what it does not name.
fn closed(mut schema: Value) -> Value {
    match &mut schema {
        Value::Object(object) => {
            let parts: Vec<String> = object.keys().cloned().collect();
            for part in parts {
                if let Some(value) = object.get_mut(&part) {
                    *value = closed(value.take());
                }
            }
            let names = object.get("properties").is_some_and(Value::is_object);
            if names && !object.contains_key("additionalProperties") && !object.contains_key("anyOf") {
                object.insert("additionalProperties".to_owned(), json!(false));
            }
        }
        Value::Array(parts) => parts.iter_mut().for_each(|part| *part = closed(part.take())),
        _ => {}
    }
    schema
}

/// Cases: every response has `nosniff` and CORP, and a bad query is answered as documented.
#[tokio::test(flavor = "multi_thread")]
async fn every_call_of_the_document_answers_as_it_says() {
    let mut agent = Agent::start(RULES, &[]);
    let mut api = Caller::new(agent.url()).await;
    let clip = agent.path("clip.mov").display().to_string();
    std::fs::write(&clip, b"clip").unwrap();
    std::fs::write(agent.path("slow/waits.mov"), b"waits").unwrap();

    for call in ["get /healthz", "get /readyz", "get /metrics", "get /api/v1/openapi.json"] {
        api.call(call, "", None, 200).await;
    }
    for call in [
        "server",
        "server/settings",
        "doctor",
        "settings/workers",
        "settings/open_files",
        "settings/disk_readers",
        "settings/fifo_mode",
        "automations",
        "folders",
    ] {
        api.call(&format!("get /api/v1/{call}"), "", None, 200).await;
    }
    let folder = agent.path("slow").display().to_string();
    let listed = api.call(&format!("get /api/v1/folders?path={folder}&search=WAITS"), "", None, 200).await;
    assert_eq!(listed["entries"][0]["name"], "waits.mov");
    api.call("get /api/v1/folders?path=relative", "", None, 400).await;
    let new = json!({ "files": [{ "path": "card/a.mov", "size": 1 }] });
    let spool = api.call("post /api/v1/spools", "", Some(new), 201).await["id"].as_str().unwrap().to_owned();
    api.call("get /api/v1/spools/{id}", &spool, None, 200).await;
    api.call("put /api/v1/spools/{id}/{number}?offset=0", &spool, Some(json!({})), 404).await;
    api.call("delete /api/v1/spools/{id}", &spool, None, 204).await;
    uploads(&mut api, &clip).await;
    downloads(&mut api, &clip, agent.path("in").display().to_string()).await;
    automations(&mut api, &agent).await;
    settings(&mut api).await;
    session(&mut api).await;
    let copy = json!({ "path": agent.path("copy.db") });
    api.call("post /api/v1/server/backup", "", Some(copy.clone()), 201).await;
    api.call("post /api/v1/server/backup", "", Some(copy), 409).await;
    api.call("post /api/v1/server/stop", "", None, 202).await;
    assert_eq!(agent.ended(), Some(0));
    let missing: Vec<String> = api.operations().difference(&api.called).cloned().collect();
    assert!(missing.is_empty(), "calls of docs/openapi.json that tests/it/openapi.rs does not make: {missing:#?}");
}

async fn uploads(api: &mut Caller, clip: &str) {
    let order = json!({ "paths": [clip], "auto_finalize": false, "chunk_size": "64MiB" });
    let started = api.call("post /api/v1/uploads", "", Some(order), 201).await;
    let id = started["upload_id"].as_str().unwrap().to_owned();
    let idle = |upload: &Value| upload["state"] == "idle";
    for more in ["?files=true&limit=10", ""] {
        until(api, &format!("get /api/v1/uploads/{{id}}{more}"), &id, idle).await;
    }
    api.call("post /api/v1/uploads/{id}/files", &id, Some(json!({ "paths": [clip], "exclude": ["*.txt"] })), 200).await;
    until(api, "get /api/v1/uploads/{id}", &id, idle).await;
    api.call("patch /api/v1/uploads/{id}", &id, Some(json!({ "priority": 3, "order": "top" })), 200).await;
    api.call("patch /api/v1/uploads/{id}", &id, Some(json!({ "auto_finalise": true })), 400).await;
    api.call("post /api/v1/uploads/{id}/links", &id, Some(json!({ "password": "x" })), 201).await;
    api.call("post /api/v1/uploads/{id}/pause", &id, None, 409).await;
    api.call("post /api/v1/uploads/{id}/resume", &id, None, 200).await;
    api.call("post /api/v1/uploads/{id}/resume_without_gone", &id, None, 409).await;
    api.call("post /api/v1/uploads/{id}/finalize", &id, None, 200).await;
    until(api, "get /api/v1/uploads/{id}", &id, |upload| upload["state"] == "complete").await;
    api.call("get /api/v1/uploads?states=complete,error&rule=&search=x&limit=5&since=2026-01-01T00:00:00Z&until=2026-01-02T00:00:00Z", "", None, 200).await;
    api.call("get /api/v1/uploads/{id}", "none", None, 404).await;
    // A list may come as repeated keys, as generated clients send it.
    let several = api.call("get /api/v1/uploads?states=complete&states=error", "", None, 200).await;
    assert_eq!(several["transfers"].as_array().unwrap().len(), 1);
    for bad in ["?limit=99999999999", "?limit=x", "?states=finished"] {
        api.call(&format!("get /api/v1/uploads{bad}"), "", None, 400).await;
    }
    api.call("get /api/v1/uploads/{id}?files=perhaps", &id, None, 400).await;
    api.call("post /api/v1/uploads/pause", "", None, 200).await;
    api.call("post /api/v1/uploads/resume", "", None, 200).await;
    let portal = json!({ "subdomain": "none", "sender": "a@example.com", "paths": [clip], "metadata": { "a": "b" } });
    let portal = api.call("post /api/v1/uploads/portal", "", Some(portal), 201).await;
    api.call("delete /api/v1/uploads/{id}", portal["upload_id"].as_str().unwrap(), None, 204).await;
    api.call("post /api/v1/uploads", "", Some(json!({ "paths": ["relative"] })), 400).await;
}

async fn downloads(api: &mut Caller, clip: &str, folder: String) {
    let started = api.call("post /api/v1/uploads", "", Some(json!({ "paths": [clip] })), 201).await;
    let id = started["upload_id"].as_str().unwrap().to_owned();
    let complete = |transfer: &Value| transfer["state"] == "complete";
    until(api, "get /api/v1/uploads/{id}", &id, complete).await;
    let order = json!({ "url": started["link"], "dst_folder": folder });
    let started = api.call("post /api/v1/downloads", "", Some(order), 201).await;
    let id = started["download_id"].as_str().unwrap().to_owned();
    until(api, "get /api/v1/downloads/{id}?files=true", &id, complete).await;
    api.call("get /api/v1/downloads?limit=5", "", None, 200).await;
    api.call("patch /api/v1/downloads/{id}", &id, Some(json!({ "priority": 1 })), 200).await;
    api.call("post /api/v1/downloads/{id}/pause", &id, None, 409).await;
    api.call("post /api/v1/downloads/{id}/resume", &id, None, 409).await;
    api.call("post /api/v1/downloads/pause", "", None, 200).await;
    api.call("post /api/v1/downloads/resume", "", None, 200).await;
    api.call("delete /api/v1/downloads/{id}", &id, None, 204).await;
    api.call("delete /api/v1/downloads?states=all", "", None, 200).await;
    api.call("delete /api/v1/uploads?states=complete", "", None, 200).await;
}

async fn automations(api: &mut Caller, agent: &Agent) {
    let waits = |rule: &Value| rule["waiting_count"] == 1;
    until(api, "get /api/v1/automations/{name}", "slow", waits).await;
    api.call("post /api/v1/automations/{name}/run", "slow", None, 200).await;
    let path = agent.path("slow/waits.mov");
    api.call(&format!("get /api/v1/automations/explain?path={}", path.display()), "", None, 200).await;
    api.call("post /api/v1/automations/dry_run", "", Some(json!({})), 200).await;
    api.call("get /api/v1/automations/{name}/history?limit=3", "quick", None, 200).await;
    api.call("get /api/v1/automations/{name}/history?since=true", "quick", None, 400).await;
    api.call("post /api/v1/automations/{name}/forget", "quick", Some(json!({ "all": true })), 200).await;
    api.call("post /api/v1/automations/{name}/mark_sent", "slow", Some(json!({ "path": path })), 200).await;
    api.call("post /api/v1/automations/{name}/pause", "all", None, 200).await;
    api.call("post /api/v1/automations/{name}/resume", "all", None, 200).await;
    api.call("post /api/v1/automations/{name}/accept_folder", "quick", None, 200).await;
    api.call("post /api/v1/automations/{name}/run", "none", None, 404).await;
    let change = |enabled: bool| json!({ "enabled": enabled, "priority": 7 });
    let changed = api.call("patch /api/v1/automations/{name}", "slow", Some(change(false)), 200).await;
    assert_eq!((&changed["state"], &changed["priority"]), (&json!("disabled"), &json!(7)));
    let changed = api.call("patch /api/v1/automations/{name}", "slow", Some(change(true)), 200).await;
    assert_eq!(changed["enabled"], true);
    let written = std::fs::read_to_string(agent.path("rules.yaml")).unwrap();
    assert_eq!(
        written,
        format!("version: 1\n{RULES}").replace("name: slow\n", "name: slow\n    priority: 7\n    enabled: true\n")
    );
    api.call("patch /api/v1/automations/{name}", "slow", Some(json!({})), 400).await;
    api.call("patch /api/v1/automations/{name}", "slow", Some(json!({ "settle": "1s" })), 400).await;
    api.call("patch /api/v1/automations/{name}", "none", Some(change(true)), 404).await;
    let into = json!({ "name": "Clients", "portal_subdomain": "acme", "dst_folder": agent.path("clients") });
    api.call("post /api/v1/automations/portal_download", "", Some(into), 201).await;
    let nowhere = json!({ "name": "Clients", "dst_folder": "relative" });
    api.call("post /api/v1/automations/portal_download", "", Some(nowhere), 400).await;
    let from = json!({ "name": "Sent", "watch_folder": agent.path("sent"), "recipients": ["a@example.com"] });
    api.call("post /api/v1/automations/upload", "", Some(from), 201).await;
    let put = "put /api/v1/automations/portal_download/{name}";
    let moved =
        api.call(put, "clients", Some(json!({ "enabled": false, "dst_folder": agent.path("moved") })), 200).await;
    assert_eq!((&moved["enabled"], &moved["portals"]), (&json!(false), &json!(["acme"])), "what is not named stays");
    api.call(put, "clients", Some(json!({ "enabled": true })), 200).await;
    api.call(put, "slow", Some(json!({ "dst_folder": agent.path("x") })), 400).await;
    api.call("delete /api/v1/automations/{name}", "sent", None, 204).await;
    api.call("delete /api/v1/automations/{name}", "sent", None, 404).await;
    let looked = |rule: &Value| rule["state"] == "polling";
    until(api, "get /api/v1/automations/{name}", "clients", looked).await;
    api.call("get /api/v1/automations/explain?package=01NONE", "", None, 200).await;
    api.call("get /api/v1/automations/{name}/history?limit=3", "clients", None, 200).await;
    api.call("post /api/v1/automations/{name}/forget", "clients", Some(json!({ "package": "01NONE" })), 200).await;
    api.call("post /api/v1/automations/{name}/mark_sent", "clients", Some(json!({ "all": true })), 200).await;
    api.call("post /api/v1/automations/dry_run", "", Some(json!({})), 200).await;
    api.call("get /api/v1/automations", "", None, 200).await;
    api.call("post /api/v1/automations/reload", "", None, 200).await;
    let file = api.call("get /api/v1/automations/rules_file", "", None, 200).await;
    let text = json!({ "text": format!("{}# more\n", file["text"].as_str().unwrap()) });
    let checked = api.call("post /api/v1/automations/check_rules", "", Some(text.clone()), 200).await;
    assert!(checked["rules"].as_u64() > Some(0), "{checked}");
    let checked = api.call("post /api/v1/automations/check_rules", "", Some(json!({ "text": "rules: 1" })), 200).await;
    assert_eq!((&checked["rules"], &checked["problems"][0]["severity"]), (&json!(0), &json!("error")));
    api.call("post /api/v1/automations/dry_run", "", Some(text.clone()), 200).await;
    let save = json!({ "text": text["text"], "version": file["version"] });
    let saved = api.call("put /api/v1/automations/rules_file", "", Some(save.clone()), 200).await;
    assert_eq!(saved["text"], text["text"]);
    api.call("put /api/v1/automations/rules_file", "", Some(save), 409).await;
    let wrong = json!({ "text": "rules: 1", "version": saved["version"] });
    api.call("put /api/v1/automations/rules_file", "", Some(wrong), 400).await;
}

async fn settings(api: &mut Caller) {
    for limit in ["upload_rate_limit", "download_rate_limit"] {
        let path = format!("/api/v1/settings/{limit}");
        let day = json!({ "enabled": true, "start": "09:00", "end": "18:00" });
        let wanted = json!({ "enabled": true, "rate_limit_bps": 9_000_000, "schedule_enabled": true, "schedule": { "mon": day } });
        api.call(&format!("post {path}"), "", Some(wanted), 200).await;
        let kept = api.call(&format!("get {path}"), "", None, 200).await;
        assert_eq!(kept["schedule"]["mon"]["start"], "09:00");
    }
    api.call("post /api/v1/settings/workers", "", Some(json!({ "workers": 3 })), 200).await;
    api.call("post /api/v1/settings/open_files", "", Some(json!({ "open_files": 9 })), 200).await;
    api.call("post /api/v1/settings/disk_readers", "", Some(json!({ "disk_readers": 2 })), 200).await;
    api.call("post /api/v1/settings/fifo_mode", "", Some(json!({ "active_upload_count": 2 })), 200).await;
    let down = json!({ "active_download_count": 1 });
    let mode = api.call("post /api/v1/settings/fifo_mode", "", Some(down), 200).await;
    assert_eq!(mode, json!({ "enabled": true, "active_upload_count": 2, "active_download_count": 1 }));
    let mode = api.call("post /api/v1/settings/fifo_mode", "", Some(json!({ "enabled": true })), 200).await;
    assert_eq!(mode, json!({ "enabled": true, "active_upload_count": 1, "active_download_count": 1 }));
    let mode = api.call("post /api/v1/settings/fifo_mode", "", Some(json!({ "enabled": false })), 200).await;
    assert_eq!(mode["enabled"], false);
    api.call("post /api/v1/settings/workers", "", Some(json!({})), 400).await;
    // It does not end on its own: only the head of the response is checked.
    api.call("get /api/v1/events?progress=true", "", None, 200).await;
}

async fn session(api: &mut Caller) {
    // Its own hub has given the agent a key.
    let known = api.call("get /api/v1/login", "", None, 200).await;
    assert!(known["user"].is_null() && known["teams"][0]["id"].is_string(), "{known}");
    let teams = api.call("get /api/v1/teams", "", None, 200).await;
    assert_eq!(teams["teams"], known["teams"]);
    api.call("post /api/v1/login", "", Some(json!({ "email": "a@example.com", "password": "x" })), 401).await;
    api.call("delete /api/v1/login", "", None, 204).await;
}

/// Calls until the answer is as wanted; each answer is checked.
async fn until(api: &mut Caller, operation: &str, fill: &str, wanted: impl Fn(&Value) -> bool) {
    let api = tokio::sync::Mutex::new(api);
    wait_until(operation, Duration::from_secs(20), || async {
        wanted(&api.lock().await.call(operation, fill, None, 200).await)
    })
    .await;
}
