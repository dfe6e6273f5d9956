//! Whether a rule downloads a package. Pure.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::store::{DeliveryEntry, DeliveryOutcome};
use masv_protocol::{Package, PackageState};
use masv_rules::{DownloadRule, Portals};

/// What a rule does with a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Selection {
    /// It is downloaded.
    Take,
    /// It was downloaded before.
    Known,
    /// It was received through a portal that the rule does not include.
    OtherPortal,
    /// It is not complete, or no longer there.
    NotThere,
    /// It was finalized before the rule's time.
    Early,
}

/// Decides about a package. `portal` is its subdomain, if known; `known` says that the ledger
/// has it.
pub(super) fn judge(
    rule: &DownloadRule,
    since: Timestamp,
    delivery: &Package,
    portal: Option<&str>,
    known: bool,
) -> Selection {
    if known {
        Selection::Known
    } else if !is_from(&rule.portals, portal) {
        Selection::OtherPortal
    } else if !is_whole(delivery) {
        Selection::NotThere
    } else if delivery.arrived_at().is_some_and(|at| at < since) {
        Selection::Early
    } else {
        Selection::Take
    }
}

/// Whether it is complete and can still be downloaded; a cloud that does not report this lists no others.
fn is_whole(delivery: &Package) -> bool {
    delivery.state().is_none_or(|state| *state == PackageState::Finalized)
}

fn is_from(portals: &Portals, portal: Option<&str>) -> bool {
    match portals {
        Portals::All => true,
        Portals::Subdomains(names) => {
            portal.is_some_and(|portal| names.iter().any(|name| name.eq_ignore_ascii_case(portal)))
        }
    }
}

/// One condition for downloading a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DeliveryTest {
    /// Which.
    pub test: &'static str,
    /// Whether it does.
    pub passed: bool,
    /// Why.
    pub detail: String,
}

/// A rule's explanation for a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DeliveryExplanation {
    /// The rule.
    pub rule: String,
    /// The package's name, if it is in the inbox.
    pub package: Option<String>,
    /// Whether the rule downloads it, or has downloaded it.
    pub owned: bool,
    /// Test by test.
    pub tests: Vec<DeliveryTest>,
}

/// A rule's explanation for a package that may be in the inbox and in the ledger.
pub(super) fn explain(
    rule: &DownloadRule,
    since: Timestamp,
    found: Option<(&Package, Option<&str>)>,
    entry: Option<&DeliveryEntry>,
) -> DeliveryExplanation {
    let mut tests = Vec::new();
    let mut test = |test, passed, detail: String| tests.push(DeliveryTest { test, passed, detail });
    match found {
        None => test("inbox", false, "the team's inbox does not contain this package, or no longer does".to_owned()),
        Some((delivery, portal)) => {
            let came = portal.map_or_else(|| "an unknown portal".to_owned(), |portal| format!("the portal {portal}"));
            test("portal", is_from(&rule.portals, portal), format!("it came through {came}"));
            let whole = if is_whole(delivery) { "it is finalized" } else { "it is not finalized, or expired" };
            test("finalized", is_whole(delivery), whole.to_owned());
            let arrived = delivery.arrived_at();
            let at = arrived.map_or_else(|| "an unknown time".to_owned(), |at| format!("{at:.0}"));
            let late = arrived.is_none_or(|at| at >= since);
            test(
                "since",
                late,
                format!("it was finalized at {at}; the rule accepts what was finalized since {since:.0}"),
            );
        }
    }
    let owned =
        entry.is_some_and(|entry| matches!(entry.outcome, DeliveryOutcome::Fetching | DeliveryOutcome::Received));
    let (passed, detail) = match entry {
        None => (true, "the rule has not started it yet".to_owned()),
        Some(DeliveryEntry { outcome, download, at }) => {
            let by = download.map(|id| format!(" by the download {id}")).unwrap_or_default();
            let what = match outcome {
                DeliveryOutcome::Fetching => format!("it is being downloaded{by}, since"),
                DeliveryOutcome::Received => format!("it was received{by}, at"),
                DeliveryOutcome::Skipped => "it was marked as received, at".to_owned(),
                DeliveryOutcome::Cancelled => format!("its download was removed before it was complete{by}, at"),
            };
            (false, format!("{what} {at:.0}"))
        }
    };
    test("new", passed, detail);
    let owned = owned || tests.iter().all(|test| test.passed);
    DeliveryExplanation {
        rule: rule.name.clone(),
        package: found.map(|(delivery, _)| delivery.name.clone()),
        owned,
        tests,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use masv_rules::FixedEnvironment;

    fn rule(portals: &str) -> DownloadRule {
        let text = format!("version: 1\nrules:\n  - name: in\n    {portals}\n    into: /srv/in\n");
        let set = masv_rules::parse(&text, "/srv/rules.yaml".as_ref(), &FixedEnvironment::default()).unwrap();
        (*set.downloads[0]).clone()
    }

    fn delivery(finalized: bool, at: i64) -> Package {
        let state = if finalized { "finalized" } else { "new" };
        let at = Timestamp::from_second(at).unwrap();
        let wire = serde_json::json!({ "id": "P", "name": "Rushes", "state": state, "finalized_at": at });
        serde_json::from_value(wire).unwrap()
    }

    #[test]
    fn what_is_new_whole_late_enough_and_from_the_right_portal_is_taken() {
        let (all, acme) = (rule("portals: all"), rule("portal: acme"));
        let since = Timestamp::from_second(100).unwrap();
        let cases = [
            (&all, delivery(true, 100), None, false, Selection::Take),
            (&all, delivery(true, 99), None, false, Selection::Early),
            (&all, delivery(true, 100), None, true, Selection::Known),
            (&all, delivery(false, 100), Some("acme"), false, Selection::NotThere),
            (&acme, delivery(true, 100), Some("ACME"), false, Selection::Take),
            (&acme, delivery(true, 100), Some("other"), false, Selection::OtherPortal),
            (&acme, delivery(true, 100), None, false, Selection::OtherPortal),
        ];
        for (rule, delivery, portal, known, expected) in cases {
            assert_eq!(judge(rule, since, &delivery, portal, known), expected, "{delivery:?} {portal:?}");
        }
        let timeless: Package = serde_json::from_str(r#"{"id":"P"}"#).unwrap();
        assert_eq!(judge(&all, since, &timeless, None, false), Selection::Take, "better twice seen than never fetched");
    }

    #[test]
    fn an_explanation_agrees_with_the_verdict() {
        let acme = rule("portal: acme");
        let since = Timestamp::from_second(100).unwrap();
        for (finalized, at, portal) in [(true, 100, "acme"), (true, 99, "acme"), (false, 100, "acme"), (true, 100, "x")]
        {
            let delivery = delivery(finalized, at);
            let taken = judge(&acme, since, &delivery, Some(portal), false) == Selection::Take;
            assert_eq!(explain(&acme, since, Some((&delivery, Some(portal))), None).owned, taken);
        }
        assert!(!explain(&acme, since, None, None).owned);
    }
}
