//! `/metrics` of the hub: what it counts, in the format that Prometheus reads.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::client::{CODE, TestHub, good, refused, text};
use crate::operations::{metrics_in, read};
use crate::support::wait_until;

struct Metrics<'a> {
    hub: &'a TestHub,
    address: String,
    stop: CancellationToken,
}

impl Drop for Metrics<'_> {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl<'a> Metrics<'a> {
    fn of(hub: &'a TestHub) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/metrics", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        let (serving, until) = (hub.hub.clone(), stop.clone());
        tokio::spawn(async move { serving.serve_metrics(listener, until).await.unwrap() });
        Self { hub, address, stop }
    }

    async fn text(&self) -> String {
        let answer = self.hub.request(Method::GET, &self.address).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("application/openmetrics-text"));
        answer.text().await.unwrap()
    }

    /// All samples by their name with its labels.
    async fn read(&self) -> BTreeMap<String, f64> {
        let text = self.text().await;
        assert!(text.ends_with("# EOF\n"), "{text}");
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        samples
            .map(|line| {
                let (name, value) = line.rsplit_once(' ').unwrap();
                (name.to_owned(), value.parse().unwrap())
            })
            .collect()
    }
}

#[tokio::test]
async fn what_passes_the_hub_and_what_it_has_is_counted() {
    let hub = TestHub::start_with(|config| config.portal_packages_per_hour = Some(1)).await;
    let metrics = Metrics::of(&hub);
    let before = metrics.read().await;
    let sent = hub.sent_package(json!({ "name": "A secret name" }), &[7; 1000]).await;
    let link = sent.new_link(json!({})).await;
    let open = format!("/v1/links/{}?secret={}", text(&link, "id"), text(&link, "download_secret"));
    let token = text(&good(hub.request(Method::GET, &open)).await, "package_token");
    let files = good(sent.request(Method::GET, "/files")).await;
    let address = sent.download_url(&token, files[0]["id"].as_str().unwrap()).await;
    assert_eq!(hub.request(Method::GET, &address).send().await.unwrap().bytes().await.unwrap().len(), 1000);
    let removed = hub.sent_package(json!({ "name": "Removed" }), &[7; 50]).await;
    assert_eq!(removed.request(Method::DELETE, "").send().await.unwrap().status(), 204);
    let portal = good(hub.request(Method::GET, "/v1/subdomains/portals/closed")).await;
    let path = format!("/v1/portals/{}/packages", text(&portal, "id"));
    let begin = || {
        let body = json!({ "name": "In", "sender": "a@example.com", "access_code": CODE });
        hub.request(Method::POST, &path).json(&body)
    };
    good(begin()).await;
    refused(begin(), 429).await;
    let after = metrics.read().await;
    let risen = |name: &str| after[name] - before[name];
    assert!(risen("masv_hub_requests_total{status=\"2xx\"}") > 10.0, "{after:?}");
    assert_eq!(risen("masv_hub_requests_total{status=\"5xx\"}"), 0.0);
    assert!(risen("masv_hub_body_bytes_total{direction=\"in\"}") > 1050.0);
    assert!(risen("masv_hub_body_bytes_total{direction=\"out\"}") > 1000.0);
    assert_eq!(risen("masv_hub_refused_total{limit=\"rate_limited\"}"), 1.0);
    for (name, value) in [
        ("masv_hub_packages{state=\"finalized\"}", 1.0),
        ("masv_hub_stored_bytes{state=\"finalized\"}", 1000.0),
        ("masv_hub_packages{state=\"new\"}", 1.0),
        ("masv_hub_trash_packages", 1.0),
        ("masv_hub_trash_bytes", 50.0),
        ("masv_hub_outbox_given_up{kind=\"mail\"}", 0.0),
        ("masv_hub_outbox_pending{kind=\"webhook\"}", 0.0),
        ("masv_hub_connections_max", 2048.0),
    ] {
        assert_eq!(after.get(name), Some(&value), "{name} in {after:?}");
    }
    let there: BTreeSet<&str> = after.keys().map(|name| name.split('{').next().unwrap()).collect();
    let named = |document: &str| -> BTreeSet<String> {
        let all = metrics_in(&read(document));
        all.into_iter().filter(|name| name.starts_with("masv_hub_")).collect()
    };
    for document in ["docs/hub.md", "docs/monitoring/alerts.yaml"] {
        // A problem has a sample only while there is one.
        let there = |name: &String| name == "masv_hub_problem" || there.contains(name.as_str());
        let missing: Vec<_> = named(document).into_iter().filter(|name| !there(name)).collect();
        assert!(missing.is_empty(), "{document} names what is not there: {missing:?}");
    }
    let documented = named("docs/hub.md");
    let missing: Vec<_> = there.iter().filter(|name| !documented.contains(**name)).collect();
    assert!(missing.is_empty(), "docs/hub.md does not tell of {missing:?}");
    // Numbers, no names: whoever is on the machine may read them.
    let text = metrics.text().await;
    assert!(!text.contains("secret") && !text.contains("example.com") && !text.contains("127.0.0.1"), "{text}");
}

/// Each problem that the hub knows is a sample while there is it, and a word in `/healthz`; the others, and all of them before, are not.
#[tokio::test]
async fn each_problem_has_its_sample_as_long_as_there_is_it() {
    let hub = TestHub::start().await;
    let metrics = Metrics::of(&hub);
    let database = rusqlite::Connection::open(hub.data().join("hub.db")).unwrap();
    let unknown = json!({ "unknown": 30, "all": 40, "first": null });
    let checked = json!({ "missing": 1, "damaged": 2, "unknown": 3, "unknown_packages": 1, "complete": false });
    for (notice, value, codes) in [
        ("damaged", json!(7), &["database_damaged"][..]),
        ("checked", checked, &["content_missing", "content_unknown", "check_incomplete"]),
        ("waiting", json!({ "reason": "clock", "minutes": 5 }), &["clock_doubted"]),
        ("waiting", json!({ "reason": "restored", "until": 4_102_444_800_000_i64 }), &["restored"]),
        ("disk_refused", unknown.clone(), &["sweep_refused"]),
        ("bucket_refused", unknown, &["sweep_refused"]),
    ] {
        let expected: BTreeSet<String> =
            codes.iter().map(|code| format!("masv_hub_problem{{problem=\"{code}\"}}")).collect();
        // The chores of the start write down what they find, too.
        wait_until(notice, Duration::from_secs(30), async || {
            database.execute("DELETE FROM notice", []).unwrap();
            let insert = "INSERT INTO notice (name, at, value) VALUES (?1, 1764000000000, ?2)";
            database.execute(insert, [notice, &value.to_string()]).unwrap();
            let samples = metrics.read().await.into_keys().filter(|name| name.starts_with("masv_hub_problem{"));
            let samples: BTreeSet<String> = samples.collect();
            let health = good(hub.request(Method::GET, "/healthz")).await;
            samples == expected && health["problems"] == json!(codes)
        })
        .await;
    }
    database.execute("DELETE FROM notice", []).unwrap();
    assert!(!metrics.read().await.keys().any(|name| name.starts_with("masv_hub_problem{")));
}

#[tokio::test]
async fn a_webhook_that_nobody_answers_is_seen_in_the_queue() {
    let hub = TestHub::start().await;
    let metrics = Metrics::of(&hub);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let hook = json!({ "name": "h", "url": format!("http://{closed}/"), "events": ["package.created"] });
    let hooks = format!("/v1/teams/{}/custom_webhooks", hub.team);
    good(hub.team_request(Method::POST, &hooks).json(&hook)).await;
    hub.new_package(json!({ "name": "Told" })).await;
    assert_eq!(metrics.read().await["masv_hub_outbox_pending{kind=\"webhook\"}"], 1.0);
}
