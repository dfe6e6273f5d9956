//! The alerts and the dashboard that the documentation gives to operators: each expression is one of Prometheus' language, and every metric,
//! label and value that it names is among what an agent with its hub exports. A misspelt label makes no error there, but an alert
//! that is never raised.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::time::Duration;

use regex::Regex;
use serde_json::Value;

use crate::operations::read;
use crate::process::Agent;

/// Labels that come from the scrape, not from the agent.
const OF_THE_SCRAPE: [&str; 2] = ["instance", "job"];
/// What only Prometheus has, and what has a sample only while there is a problem, with the labels that it has then.
const ELSEWHERE: [(&str, &[&str]); 2] = [("up", &[]), ("masv_hub_problem", &["problem"])];
const FUNCTIONS: [&str; 4] = ["rate", "increase", "changes", "histogram_quantile"];
const AGGREGATIONS: [&str; 3] = ["sum", "max", "min"];

/// One metric in an expression: its name, and what is asked of its labels.
type Selector = (String, Vec<(String, String, String)>);

/// Reads the part of the language that the pages use; what it does not know it refuses.
struct Expression<'a> {
    tokens: Vec<&'a str>,
    at: usize,
    selectors: Vec<Selector>,
    /// Labels that results are joined or grouped by.
    joined: BTreeSet<String>,
}

impl<'a> Expression<'a> {
    fn read(text: &'a str) -> Result<Self, String> {
        let token = Regex::new(
            r#"^\s*("[^"]*"|\[(?:\d+[smhd]|\$__rate_interval)\]|[a-zA-Z_][a-zA-Z0-9_]*|[0-9][0-9.]*(?:e[0-9]+)?|=~|!~|==|!=|>=|<=|[-+*/><(){},=])"#,
        );
        let (token, mut rest, mut tokens) = (token.unwrap(), text, Vec::new());
        while !rest.trim().is_empty() {
            let found = token.captures(rest).ok_or_else(|| format!("cannot read `{rest}`"))?;
            tokens.push(found.get(1).unwrap().as_str());
            rest = &rest[found.get(0).unwrap().end()..];
        }
        let mut expression = Self { tokens, at: 0, selectors: Vec::new(), joined: BTreeSet::new() };
        expression.operation()?;
        match expression.tokens.get(expression.at) {
            None => Ok(expression),
            Some(token) => Err(format!("`{token}` is not expected")),
        }
    }

    fn next(&mut self) -> Result<&'a str, String> {
        let token = self.tokens.get(self.at).copied().ok_or("ends too early")?;
        self.at += 1;
        Ok(token)
    }

    fn takes(&mut self, wanted: &str) -> bool {
        let is_next = self.tokens.get(self.at) == Some(&wanted);
        self.at += usize::from(is_next);
        is_next
    }

    fn expect(&mut self, wanted: &str) -> Result<(), String> {
        if self.takes(wanted) {
            Ok(())
        } else {
            Err(format!("`{wanted}` is missing before {:?}", self.tokens.get(self.at)))
        }
    }

    fn operation(&mut self) -> Result<(), String> {
        self.operand()?;
        while self.tokens.get(self.at).is_some_and(|token| is_operator(token)) {
            self.at += 1;
            if self.takes("on") {
                self.labels()?;
            }
            self.operand()?;
        }
        Ok(())
    }

    fn operand(&mut self) -> Result<(), String> {
        let token = self.next()?;
        let is_number = token.starts_with(|first: char| first.is_ascii_digit());
        if token == "(" {
            self.operation()?;
            return self.expect(")");
        }
        if is_number {
            return Ok(());
        }
        if AGGREGATIONS.contains(&token) {
            if self.takes("by") {
                self.labels()?;
            }
            self.expect("(")?;
            self.operation()?;
            return self.expect(")");
        }
        if FUNCTIONS.contains(&token) {
            self.expect("(")?;
            self.operation()?;
            while self.takes(",") {
                self.operation()?;
            }
            return self.expect(")");
        }
        if !token.starts_with(|first: char| first.is_ascii_alphabetic()) || is_operator(token) {
            return Err(format!("`{token}` is not a metric"));
        }
        self.selector(token)
    }

    fn labels(&mut self) -> Result<(), String> {
        self.expect("(")?;
        loop {
            let label = self.next()?;
            self.joined.insert(label.to_owned());
            if !self.takes(",") {
                return self.expect(")");
            }
        }
    }

    fn selector(&mut self, name: &str) -> Result<(), String> {
        let mut asked = Vec::new();
        if self.takes("{") {
            loop {
                let (label, how, value) = (self.next()?, self.next()?, self.next()?);
                let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
                let value = value.ok_or_else(|| format!("the value of {label} is not quoted"))?;
                if !matches!(how, "=" | "!=" | "=~" | "!~") {
                    return Err(format!("`{how}` compares no labels"));
                }
                asked.push((label.to_owned(), how.to_owned(), value.to_owned()));
                if !self.takes(",") {
                    break;
                }
            }
            self.expect("}")?;
        }
        self.at += usize::from(self.tokens.get(self.at).is_some_and(|token| token.starts_with('[')));
        self.selectors.push((name.to_owned(), asked));
        Ok(())
    }
}

fn is_operator(token: &str) -> bool {
    matches!(token, "and" | "or" | "unless" | "==" | "!=" | ">" | "<" | ">=" | "<=" | "+" | "-" | "*" | "/")
}

/// What is exported: the labels of each metric, with their values.
fn exported(exposition: &str) -> BTreeMap<String, BTreeMap<String, BTreeSet<String>>> {
    let label = Regex::new(r#"([a-z_]+)="([^"]*)""#).unwrap();
    let mut all: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for line in exposition.lines().filter(|line| !line.starts_with('#')) {
        let (name, rest) = line.split_at(line.find(['{', ' ']).unwrap());
        let labels = all.entry(name.to_owned()).or_default();
        for found in label.captures_iter(rest) {
            labels.entry(found[1].to_owned()).or_default().insert(found[2].to_owned());
        }
    }
    all
}

/// What is wrong with an expression, given what is exported.
fn wrong(text: &str, exported: &BTreeMap<String, BTreeMap<String, BTreeSet<String>>>) -> Vec<String> {
    let expression = match Expression::read(text) {
        Ok(expression) => expression,
        Err(why) => return vec![why],
    };
    let (mut wrong, mut known) = (Vec::new(), BTreeSet::from(OF_THE_SCRAPE));
    for (name, asked) in &expression.selectors {
        let elsewhere = ELSEWHERE.iter().find(|(other, _)| other == name);
        let Some(labels) = exported.get(name) else {
            known.extend(elsewhere.into_iter().flat_map(|(_, labels)| labels.iter().copied()));
            if elsewhere.is_none() {
                wrong.push(format!("{name} is not exported"));
            }
            continue;
        };
        known.extend(labels.keys().map(String::as_str));
        for (label, how, value) in asked.iter().filter(|(label, ..)| !OF_THE_SCRAPE.contains(&label.as_str())) {
            let Some(values) = labels.get(label) else {
                wrong.push(format!("{name} has no label {label}"));
                continue;
            };
            let alternatives = if how.ends_with('~') { value.split('|').collect() } else { vec![value.as_str()] };
            let missing = alternatives.into_iter().filter(|value| !values.contains(*value));
            wrong.extend(missing.map(|value| format!("{name} never has {label}=\"{value}\"")));
        }
    }
    let joined = expression.joined.iter().filter(|label| !known.contains(label.as_str()));
    wrong.extend(joined.map(|label| format!("nothing has the label {label}")));
    wrong
}

/// The expressions of the panels of a dashboard.
fn expressions(dashboard: &Value, found: &mut Vec<String>) {
    match dashboard {
        Value::Object(fields) => {
            found.extend(fields.get("expr").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|value| expressions(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| expressions(value, found)),
        _ => {}
    }
}

/// Cases: a metric, a label, a value of a label that does not exist; a bracket too few. All alerts of all groups, and all panels.
#[tokio::test(flavor = "multi_thread")]
async fn every_expression_for_prometheus_asks_for_what_is_exported() {
    let rule = "  - { name: quick, watch: drop, create: true, settle: 200ms, package: file, upload: { kind: link } }";
    let agent = Agent::start(&format!("rules:\n{rule}\n"), &[]);
    // Some samples are there once there is something to count.
    std::fs::write(agent.path("drop/clip.mov"), "clip").unwrap();
    agent.wait_for("it is sent", Duration::from_secs(60), |list| list.iter().any(|one| one["state"] == "complete"));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client.get(format!("{}/metrics", agent.url())).send().await.unwrap();
    let exported = exported(&answer.text().await.unwrap());

    for (text, what) in [
        ("masv_uploads{state=\"eror\"} > 0", "never has state"),
        ("masv_uploads{stat=\"error\"} > 0", "no label stat"),
        ("masv_upload > 0", "not exported"),
        ("sum by (ruel) (masv_rule_failing)", "label ruel"),
        ("rate(masv_hub_requests_total[5m] > 1", "is missing"),
        ("masv_uploads > > 1", "not a metric"),
    ] {
        let wrong = wrong(text, &exported);
        assert!(wrong.len() == 1 && wrong[0].contains(what), "{text}: {wrong:?}");
    }

    let mut problems = Vec::new();
    let alerts: Value = serde_yaml::from_str(&read("docs/monitoring/alerts.yaml")).unwrap();
    let duration = Regex::new("^[0-9]+[smh]$").unwrap();
    let (label, mut names) = (Regex::new(r"\$labels\.([a-z_]+)").unwrap(), BTreeSet::new());
    for alert in alerts["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap()) {
        let name = alert["alert"].as_str().unwrap();
        assert!(names.insert(name), "two alerts are called {name}");
        let expr = alert["expr"].as_str().unwrap();
        problems.extend(wrong(expr, &exported).into_iter().map(|wrong| format!("{name}: {wrong}")));
        assert!(matches!(alert["labels"]["severity"].as_str(), Some("info" | "warning" | "critical")), "{name}");
        let lasts = alert["for"].as_str().unwrap_or("1m");
        assert!(duration.is_match(lasts), "{name}: for {lasts}");
        // A label that no metric of the expression has is empty in the message.
        let has: BTreeSet<&str> = OF_THE_SCRAPE.into_iter().chain(labels_of(expr, &exported)).collect();
        for text in ["summary", "description"].map(|text| alert["annotations"][text].as_str().unwrap()) {
            let unknown = label.captures_iter(text).filter(|found| !has.contains(found.get(1).unwrap().as_str()));
            problems.extend(unknown.map(|found| format!("{name}: the message names {}", &found[0])));
        }
    }
    let mut panels = Vec::new();
    expressions(&serde_json::from_str(&read("docs/monitoring/grafana-dashboard.json")).unwrap(), &mut panels);
    for expr in &panels {
        problems.extend(wrong(expr, &exported).into_iter().map(|wrong| format!("the panel {expr}: {wrong}")));
    }
    assert!(names.len() > 15 && panels.len() > 15, "{} alerts, {} panels", names.len(), panels.len());
    assert!(problems.is_empty(), "{problems:#?}");
    checked_by_prometheus();
}

/// The labels that the metrics of an expression have.
fn labels_of<'a>(expr: &str, exported: &'a BTreeMap<String, BTreeMap<String, BTreeSet<String>>>) -> Vec<&'a str> {
    let selectors = Expression::read(expr).map(|expression| expression.selectors).unwrap_or_default();
    let mut labels = Vec::new();
    for (name, _) in &selectors {
        labels.extend(exported.get(name).into_iter().flat_map(BTreeMap::keys).map(String::as_str));
        labels
            .extend(ELSEWHERE.iter().filter(|(other, _)| other == name).flat_map(|(_, labels)| labels.iter().copied()));
    }
    labels
}

/// Prometheus' own check, where it is installed.
fn checked_by_prometheus() {
    let alerts = format!("{}/docs/monitoring/alerts.yaml", env!("CARGO_MANIFEST_DIR"));
    match std::process::Command::new("promtool").args(["check", "rules", &alerts]).output() {
        Ok(said) => assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr)),
        Err(error) => {
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
            let _ = writeln!(std::io::stderr(), "promtool is not installed: its check of the alerts is left out");
        }
    }
}
