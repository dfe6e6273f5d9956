//! Webhooks and programs of rules: what they get, over failures and restarts.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State as Extract;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use hmac::{Hmac, KeyInit, Mac};
use masv_agent::hooks;
use masv_agent::model::UploadId;
use masv_agent::model::{DueSpan, Link, Problem, RemotePackage, State};
use masv_agent::store::Store;
use masv_rules::{RuleSet, SystemEnvironment};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::{spec, wait_until};

const LIMIT: Duration = Duration::from_secs(10);

/// What a receiver was sent, and how it answers.
#[derive(Clone, Default)]
pub struct Receiver {
    got: Arc<Mutex<Vec<(HeaderMap, Bytes)>>>,
    answers: Arc<Mutex<Vec<StatusCode>>>,
}

impl Receiver {
    /// Answers with these, one after the other, then with 204.
    pub fn answering(answers: &[StatusCode]) -> Self {
        let receiver = Self::default();
        *receiver.answers.lock().unwrap() = answers.to_vec();
        receiver
    }

    pub async fn listen(&self, address: &str) -> SocketAddr {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let take = async |Extract(this): Extract<Self>, headers: HeaderMap, body: Bytes| {
            this.got.lock().unwrap().push((headers, body));
            let mut answers = this.answers.lock().unwrap();
            if answers.is_empty() { StatusCode::NO_CONTENT } else { answers.remove(0) }
        };
        let router = Router::new().route("/hook", post(take)).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        address
    }

    pub fn messages(&self) -> Vec<Value> {
        self.got.lock().unwrap().iter().map(|(_, body)| serde_json::from_slice(body).unwrap()).collect()
    }

    pub fn header(&self, index: usize, name: &str) -> String {
        self.got.lock().unwrap()[index].0.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
    }

    async fn wait_for(&self, count: usize) {
        wait_until(&format!("{count} messages"), LIMIT, || async { self.got.lock().unwrap().len() >= count }).await;
    }
}

/// A store, a rule with notifications, and the room working on them.
struct Bench {
    folder: tempfile::TempDir,
    store: Store,
    running: Option<(JoinHandle<()>, CancellationToken, watch::Sender<Arc<RuleSet>>)>,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("drop")).unwrap();
        let store = Store::open(&folder.path().join("agent.db")).unwrap();
        Self { folder, store, running: None }
    }

    fn rules(&self, notify: &str) -> Arc<RuleSet> {
        let text = format!(
            "version: 1\nrules:\n  - name: dailies\n    watch: drop\n    upload: {{ kind: link }}\n    notify: {notify}\n"
        );
        match masv_rules::parse(&text, &self.folder.path().join("rules.yaml"), &SystemEnvironment) {
            Ok(rules) => Arc::new(rules),
            Err(problems) => panic!("{}", problems.render(false)),
        }
    }

    async fn start(&mut self, notify: &str) {
        let (rules, now) = watch::channel(self.rules(notify));
        let stop = CancellationToken::new();
        let task = hooks::start(self.store.clone(), now, stop.clone()).await.unwrap();
        self.running = Some((task, stop, rules));
    }

    async fn stop(&mut self) {
        let (task, stop, _rules) = self.running.take().unwrap();
        stop.cancel();
        task.await.unwrap();
    }

    /// An upload of the rule whose package was made and has a link.
    async fn upload(&self) -> UploadId {
        let id = UploadId::new();
        let mut spec = spec(Vec::new());
        spec.rule = Some("dailies".into());
        self.store.insert_upload(id, spec).await.unwrap();
        let package = RemotePackage { cloud: None, team: None, id: "01PACKAGE".into(), token: "package-token".into() };
        self.store.package_created(id, package).await.unwrap();
        let link = Link { id: "1".into(), url: "https://example.com/1?secret=s".into(), email: None };
        self.store.link_created(id, link).await.unwrap();
        id
    }

    async fn completed(&self) -> UploadId {
        let id = self.upload().await;
        self.store.completed(id).await.unwrap();
        id
    }

    async fn failed(&self) -> UploadId {
        let id = self.upload().await;
        let problem =
            Problem { code: "refused".into(), message: "no".into(), retryable: false, hint: Some("ask".into()) };
        self.store.move_to(id, &[State::Transferring], State::Error, Some(problem)).await.unwrap();
        id
    }

    /// The events that report that a receiver could not be notified.
    async fn given_up(&self) -> Vec<Value> {
        let events = self.store.events_after(0, 1000).await.unwrap();
        events.into_iter().filter(|event| event.kind == "notify.error").map(|event| event.body).collect()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What a file holds, once it is there.
    async fn content(&self, name: &str) -> String {
        let path = self.file(name);
        wait_until(name, LIMIT, || async { std::fs::read(&path).is_ok_and(|content| content.ends_with(b"\n")) }).await;
        std::fs::read_to_string(path).unwrap()
    }
}

#[tokio::test]
async fn a_webhook_gets_what_it_asked_for_signed() {
    let receiver = Receiver::default();
    let address = receiver.listen("127.0.0.1:0").await;
    let mut bench = Bench::new();
    let hook =
        format!("[{{ webhook: \"http://{address}/hook\", secret: s3cret, events: [upload.complete, upload.error] }}]");
    bench.start(&hook).await;
    let complete = bench.completed().await;
    receiver.wait_for(1).await;
    let failed = bench.failed().await;
    receiver.wait_for(2).await;

    let messages = receiver.messages();
    let upload = json!({
        "id": complete, "name": "test package", "files": 0, "bytes": 0,
        "link": "https://example.com/1?secret=s", "package_id": "01PACKAGE",
    });
    assert_eq!(messages[0]["event"], "upload.complete");
    assert_eq!(messages[0]["rule"], "dailies");
    assert_eq!(messages[0]["upload"], upload);
    assert!(messages[0].get("error").is_none());
    assert!(messages[0]["id"].is_i64() && messages[0]["at"].is_string());
    assert_eq!(messages[1]["upload"]["id"], json!(failed));
    assert_eq!(messages[1]["error"], json!({ "code": "refused", "message": "no", "retryable": false, "hint": "ask" }));

    let (timestamp, body) = (receiver.header(0, "x-masv-timestamp"), receiver.got.lock().unwrap()[0].1.clone());
    let mut mac = Hmac::<Sha256>::new_from_slice(b"s3cret").unwrap();
    mac.update(format!("{timestamp}.").as_bytes());
    mac.update(&body);
    let expected = format!("v1={}", hex::encode(mac.finalize().into_bytes()));
    assert_eq!(receiver.header(0, "x-masv-signature"), expected);
    assert_eq!(receiver.header(0, "x-masv-event"), "upload.complete");
    assert_eq!(receiver.header(0, "content-type"), "application/json");
    assert_ne!(receiver.header(0, "x-masv-delivery"), receiver.header(1, "x-masv-delivery"));
    bench.stop().await;
}

#[tokio::test]
async fn a_receiver_that_is_down_gets_it_after_a_restart_and_once() {
    let receiver = Receiver::default();
    // An address without a listener.
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut bench = Bench::new();
    let hook = format!("[{{ webhook: \"http://{address}/hook\", events: [upload.complete] }}]");
    bench.start(&hook).await;
    bench.completed().await;
    wait_until("a try has failed", LIMIT, || async {
        let far = DueSpan { by: jiff::Timestamp::MAX, latest: jiff::Timestamp::MAX };
        bench.store.tellings_due(far).await.unwrap().first().is_some_and(|telling| telling.attempts > 0)
    })
    .await;
    bench.stop().await;

    receiver.listen(&address.to_string()).await;
    bench.start(&hook).await;
    receiver.wait_for(1).await;
    bench.completed().await;
    receiver.wait_for(2).await;
    bench.stop().await;
    assert_eq!(receiver.messages().len(), 2, "each event once");
    assert_eq!(receiver.header(0, "x-masv-signature"), "", "no secret, no signature");
}

#[tokio::test]
async fn tries_of_one_message_carry_one_delivery_id() {
    let receiver = Receiver::answering(&[StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS]);
    let address = receiver.listen("127.0.0.1:0").await;
    let mut bench = Bench::new();
    bench.start(&format!("[{{ webhook: \"http://{address}/hook\", events: [upload.complete] }}]")).await;
    bench.completed().await;
    receiver.wait_for(3).await;
    let first = receiver.header(0, "x-masv-delivery");
    assert!(!first.is_empty() && (1..3).all(|index| receiver.header(index, "x-masv-delivery") == first));
    assert_eq!(bench.given_up().await, Vec::<Value>::new());
    bench.stop().await;
}

#[tokio::test]
async fn a_refusal_ends_it_with_an_event_that_hides_the_address() {
    let receiver = Receiver::answering(&[StatusCode::GONE]);
    let address = receiver.listen("127.0.0.1:0").await;
    let mut bench = Bench::new();
    bench.start(&format!("[{{ webhook: \"http://{address}/hook?key=hidden\", events: [upload.complete] }}]")).await;
    bench.completed().await;
    wait_until("it is given up", LIMIT, || async { !bench.given_up().await.is_empty() }).await;
    let event = bench.given_up().await.remove(0);
    assert_eq!(event["event"], "upload.complete");
    assert_eq!(event["error"]["message"], "webhook 127.0.0.1: it responded with 410 Gone");
    assert!(!event.to_string().contains("hidden"));
    bench.completed().await;
    receiver.wait_for(2).await;
    bench.stop().await;
}

#[tokio::test]
async fn what_happened_while_it_was_down_is_told_once_and_what_was_before_it_never() {
    let receiver = Receiver::default();
    let address = receiver.listen("127.0.0.1:0").await;
    let mut bench = Bench::new();
    let hook = format!("[{{ webhook: \"http://{address}/hook\", events: [upload.complete] }}]");
    bench.completed().await;
    bench.start(&hook).await;
    bench.stop().await;
    let missed = [bench.completed().await, bench.completed().await];
    for _ in 0..2 {
        bench.start(&hook).await;
        receiver.wait_for(2).await;
        bench.stop().await;
    }
    // A message whose answer was cut off by the stop comes again, known by its delivery id.
    let mut deliveries = std::collections::HashSet::new();
    let fresh = receiver.messages().into_iter().enumerate();
    let fresh = fresh.filter(|(index, _)| deliveries.insert(receiver.header(*index, "x-masv-delivery")));
    let told: Vec<Value> = fresh.map(|(_, message)| message["upload"]["id"].clone()).collect();
    assert_eq!(told, missed.map(|id| json!(id)).to_vec());

    // One who has read an old place of the log can write nothing.
    let now = bench.store.relayed().await.unwrap();
    assert!(!bench.store.relay(now - 1, now + 5, Vec::new()).await.unwrap());
    assert_eq!(bench.store.relayed().await.unwrap(), now);
}

#[tokio::test]
async fn one_who_hangs_holds_up_nobody_else_and_one_taken_out_is_not_told() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let receiver = Receiver::default();
    let address = receiver.listen("127.0.0.1:0").await;
    let mut bench = Bench::new();
    let hanging = format!("{{ webhook: \"http://{}/hook\" }}", silent.local_addr().unwrap());
    bench.start(&format!("[{hanging}, {{ webhook: \"http://{address}/hook\", events: [package.created] }}]")).await;
    for _ in 0..3 {
        bench.completed().await;
    }
    receiver.wait_for(3).await;
    assert!(receiver.messages().iter().all(|message| message["event"] == "package.created"));
    bench.stop().await;

    bench.start("[]").await;
    wait_until("nothing is left", LIMIT, || async {
        let far = DueSpan { by: jiff::Timestamp::MAX, latest: jiff::Timestamp::MAX };
        bench.store.tellings_due(far).await.unwrap().is_empty()
    })
    .await;
    bench.stop().await;
}

/// Case: a hook runs without a shell, in a clean environment.
#[tokio::test]
async fn a_program_gets_the_message_and_a_clean_environment() {
    let mut bench = Bench::new();
    let script = "cat > got.json; echo >> got.json; env | sort > env.new; mv env.new env.txt; echo \"$1\" > word.txt";
    let hook = format!("[{{ exec: [sh, -c, '{script}', tell, 'one; word'], events: [upload.complete] }}]");
    bench.start(&hook).await;
    let id = bench.completed().await;
    assert_eq!(bench.content("word.txt").await, "one; word\n", "no shell of ours reads the arguments");
    let message: Value = serde_json::from_str(&bench.content("got.json").await).unwrap();
    assert_eq!(message["upload"]["id"], json!(id));
    let environment = bench.content("env.txt").await;
    let variable = |name: &str| environment.lines().find_map(|line| line.strip_prefix(&format!("{name}=")));
    assert_eq!(variable("MASV_EVENT"), Some("upload.complete"));
    assert_eq!(variable("MASV_RULE"), Some("dailies"));
    assert_eq!(variable("MASV_UPLOAD_ID"), Some(id.to_string().as_str()));
    assert_eq!(variable("MASV_LINK"), Some("https://example.com/1?secret=s"));
    assert!(variable("PATH").is_some() && variable("CARGO_MANIFEST_DIR").is_none(), "{environment}");
    bench.stop().await;
}

#[tokio::test]
async fn a_program_that_fails_or_is_not_there_is_told_of_and_not_run_again() {
    let mut bench = Bench::new();
    bench
        .start("[{ exec: [sh, -c, 'echo run >> runs.txt; exit 7'], events: [upload.complete] }, { exec: [./missing] }]")
        .await;
    bench.completed().await;
    // The other program is asked for two events.
    wait_until("all are given up", LIMIT, || async { bench.given_up().await.len() == 3 }).await;
    let given_up = serde_json::to_string(&bench.given_up().await).unwrap();
    assert!(given_up.contains("exit status: 7") && given_up.contains("cannot be started"), "{given_up}");
    bench.stop().await;
    assert_eq!(bench.content("runs.txt").await, "run\n");
}
