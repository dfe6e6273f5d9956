//! Clients of others, replayed: `tests/cases/clients/*.json` are sequences of requests as public clients of the protocol make them, with
//! what they need of each answer. A client that is found to need something else is one more file.

use std::collections::BTreeMap;

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{KEY, TestHub};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Client {
    client: String,
    steps: Vec<Step>,
}

/// A request, and what its answer has to be. `{name}` is replaced by what an earlier step has saved.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    /// Method and address.
    call: String,
    headers: BTreeMap<String, String>,
    /// A JSON body.
    body: Option<Value>,
    /// Another body.
    text: Option<String>,
    status: u16,
    /// What is saved under which name: a JSON pointer, `<Tag>` of XML in whatever namespace, or `header:`.
    #[serde(default)]
    save: BTreeMap<String, String>,
    /// JSON pointers that lead to something.
    #[serde(default)]
    has: Vec<String>,
    #[serde(default)]
    equals: BTreeMap<String, Value>,
    /// The whole body of the answer.
    is: Option<String>,
}

/// The text with all names replaced.
fn filled(text: &str, saved: &BTreeMap<String, String>) -> String {
    saved.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
}

fn filled_in(body: &Value, saved: &BTreeMap<String, String>) -> Value {
    match body {
        Value::String(text) => json!(filled(text, saved)),
        Value::Array(all) => all.iter().map(|one| filled_in(one, saved)).collect(),
        Value::Object(all) => all.iter().map(|(name, one)| (name.clone(), filled_in(one, saved))).collect(),
        other => other.clone(),
    }
}

async fn replay(hub: &TestHub, client: &Client) {
    let mut saved: BTreeMap<String, String> =
        [("team", hub.team.as_str()), ("key", KEY)].map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    for step in &client.steps {
        let (method, path) = step.call.split_once(' ').unwrap();
        let mut request = hub.request(method.parse::<Method>().unwrap(), &filled(path, &saved));
        for (name, value) in &step.headers {
            request = request.header(name, filled(value, &saved));
        }
        if let Some(body) = &step.body {
            request = request.json(&filled_in(body, &saved));
        }
        if let Some(text) = &step.text {
            request = request.body(text.clone());
        }
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = answer.text().await.unwrap();
        let at = format!("{}: {}: {status} {body}", client.client, step.call);
        assert_eq!(status, step.status, "{at}");
        let value: Value = serde_json::from_str(&body).unwrap_or_default();
        let found = |pointer: &str| value.pointer(pointer).unwrap_or_else(|| panic!("no {pointer}: {at}"));
        step.has.iter().for_each(|pointer| assert!(!found(pointer).is_null(), "{pointer}: {at}"));
        step.equals.iter().for_each(|(pointer, expected)| assert_eq!(found(pointer), expected, "{at}"));
        assert!(step.is.as_ref().is_none_or(|expected| *expected == body), "{at}");
        for (name, from) in &step.save {
            let value = match (from.strip_suffix(':'), from.strip_prefix('<')) {
                (Some(header), _) => headers[header].to_str().unwrap().to_owned(),
                (_, Some(tag)) => {
                    let begin = body.find(from.as_str()).unwrap_or_else(|| panic!("no <{tag}: {at}")) + from.len();
                    body[begin..].split('<').next().unwrap().to_owned()
                }
                _ => found(from).as_str().unwrap_or_else(|| panic!("{from} is no text: {at}")).to_owned(),
            };
            saved.insert(name.clone(), value);
        }
    }
}

/// Uploaders on Windows and of services, with a key and with a sign-in, scripts that look after keys and portals, and receivers of what was
/// filled in: what public clients send is taken, and what they read of the answers is there, to the last byte of the file.
#[tokio::test]
async fn clients_of_others_send_receive_and_administer_as_they_are_written() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/clients");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let client: Client = serde_json::from_str(&std::fs::read_to_string(entry.unwrap().path()).unwrap()).unwrap();
        println!("{}", client.client);
        let hub = TestHub::start().await;
        let password = secrecy::SecretString::from("correct horse");
        hub.hub.put_user("Team", "ed@example.com", "Ed", &password, masv_hub::Role::Sender).await.unwrap();
        replay(&hub, &client).await;
        count += 1;
    }
    assert!(count >= 5);
}
