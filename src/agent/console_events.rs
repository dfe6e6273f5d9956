//! Events that the running agent reports to whoever started it.

use std::path::PathBuf;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::api::about::Limitation;
use crate::store::{Event, Store};
use masv_rules::{Diagnostic, DownloadRule, Per, Portals, Recipient, Rule, RuleSet, UploadKind};

/// An event to report.
#[derive(Debug, Clone)]
pub enum Notice {
    /// The agent is ready.
    Ready(Banner),
    /// An upload is complete.
    Complete {
        /// Name of the package.
        name: String,
        /// Its link, if it has one.
        link: Option<String>,
        /// Files in it.
        files: u64,
        /// Bytes in it.
        bytes: u64,
    },
    /// A download is complete.
    Received {
        /// Name of the package.
        name: String,
        /// Where it is.
        folder: String,
        /// Files in it.
        files: u64,
        /// Bytes in it.
        bytes: u64,
    },
    /// An upload or a download has failed.
    Failed {
        /// Name of the package.
        name: String,
        /// Why.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// A rule cannot work as it should; it retries automatically.
    RuleProblem {
        /// Which.
        rule: String,
        /// Why.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// The rules were loaded again.
    Reloaded {
        /// How many there are.
        rules: usize,
    },
    /// The rules file is not valid; the previous rules stay active.
    BadRules {
        /// What is wrong with it.
        report: String,
    },
    /// The agent is stopping.
    Stopping,
}

/// What a person needs to know at the start.
#[derive(Debug, Clone)]
pub struct Banner {
    /// Where the API is reached.
    pub api: String,
    /// The cloud it sends to.
    pub cloud: String,
    /// Whether that is the hub in its own process.
    pub embedded_hub: bool,
    /// Limitations of its deliveries under these rules: who is not reached.
    pub limitations: Vec<Limitation>,
    /// Where the state is kept.
    pub data_dir: PathBuf,
    /// The rules file.
    pub rules_file: Option<PathBuf>,
    /// The rules.
    pub rules: Vec<RuleLine>,
    /// Warnings: what is valid in the rules but probably not intended.
    pub warnings: Vec<Diagnostic>,
}

/// A rule in one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleLine {
    /// Its name.
    pub name: String,
    /// Its folder.
    pub watch: PathBuf,
    /// What it does with what lands there.
    pub does: String,
    /// Whether it receives into that folder.
    pub receives: bool,
}

/// One line for each rule.
pub(super) fn rule_lines(rules: &RuleSet) -> Vec<RuleLine> {
    let line = |rule: &Rule| {
        let what = match rule.package.per {
            Per::File => "each file",
            Per::Folder => "each folder",
            Per::Batch => "each batch",
        };
        let to = match &rule.upload.kind {
            UploadKind::Link => "as a link".to_owned(),
            UploadKind::Email { emails } => {
                let text = |item: &Recipient| match item {
                    Recipient::Address(address) => address.to_string(),
                    Recipient::Template(template) => template.source().to_owned(),
                };
                let emails: Vec<String> = emails.iter().map(text).collect();
                format!("by e-mail to {}", emails.join(", "))
            }
            UploadKind::Portal { subdomain, .. } => format!("to the portal {subdomain}"),
        };
        let does = if rule.enabled { format!("{what} becomes a package, sent {to}") } else { "disabled".to_owned() };
        RuleLine { name: rule.name.clone(), watch: rule.watch.clone(), does, receives: false }
    };
    rules.rules.iter().map(|rule| line(rule)).chain(rules.downloads.iter().map(|rule| download_line(rule))).collect()
}

fn download_line(rule: &DownloadRule) -> RuleLine {
    let from = match &rule.portals {
        Portals::All => "any portal".to_owned(),
        Portals::Subdomains(names) => format!("the portal {}", names.join(", ")),
    };
    let does = if rule.enabled { format!("receives what arrives in {from}") } else { "disabled".to_owned() };
    RuleLine { name: rule.name.clone(), watch: rule.into.clone(), does, receives: true }
}

/// Reports transfers as their events are committed, until `stop`.
pub(super) async fn tell(store: Store, mut last: i64, notices: mpsc::Sender<Notice>, stop: CancellationToken) {
    let mut changes = store.changes();
    loop {
        changes.mark_unchanged();
        match store.events_after(last, 256).await {
            Ok(events) => {
                for event in events {
                    last = event.id;
                    if let Some(notice) = notice(&event)
                        && notices.send(notice).await.is_err()
                    {
                        return;
                    }
                }
            }
            Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "the event log cannot be read"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            changed = changes.changed() => if changed.is_err() { return },
        }
    }
}

fn notice(event: &Event) -> Option<Notice> {
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    let body = &event.body;
    if event.kind == "rule.error" {
        let error = &body["error"];
        let hint = (error["code"] == "offline").then(|| {
            "create or mount it, or let the agent create it with `create: true`; the rule retries automatically"
                .to_owned()
        });
        let message = text(&error["message"]).unwrap_or_default();
        return Some(Notice::RuleProblem { rule: event.rule.clone()?, message, hint });
    }
    let name = text(&body["name"])?;
    match event.kind.as_str() {
        "upload.complete" => Some(Notice::Complete {
            name,
            link: text(&body["link"]),
            files: body["files"].as_u64().unwrap_or_default(),
            bytes: body["bytes"].as_u64().unwrap_or_default(),
        }),
        "download.complete" => Some(Notice::Received {
            name,
            folder: text(&body["destination"]).unwrap_or_default(),
            files: body["files"].as_u64().unwrap_or_default(),
            bytes: body["bytes"].as_u64().unwrap_or_default(),
        }),
        "upload.error" | "download.error" => {
            let error = &body["error"];
            let message = text(&error["message"]).unwrap_or_default();
            Some(Notice::Failed { name, message, hint: text(&error["hint"]) })
        }
        _ => None,
    }
}
