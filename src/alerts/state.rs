//! What is wrong, since when, and whether somebody was told. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Trouble;
use super::queue::Queue;
use crate::model::Setting;

/// What is known across restarts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Kept {
    /// What is wrong, by name.
    open: BTreeMap<String, Open>,
    /// What has to be told.
    pub queue: Queue,
}

impl Setting for Kept {
    const KEY: &'static str = "alerts";
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Open {
    since: Timestamp,
    told: bool,
}

/// What is to be told now.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    /// What has been wrong for long enough.
    pub raised: Vec<Trouble>,
    /// What was told before, and is over.
    pub over: Vec<String>,
}

impl Change {
    pub(super) fn is_empty(&self) -> bool {
        self.raised.is_empty() && self.over.is_empty()
    }
}

impl Kept {
    /// Compares what is wrong now with what was wrong before.
    pub(super) fn observe(&mut self, now: Timestamp, after: Duration, troubles: Vec<Trouble>) -> Change {
        let mut change = Change::default();
        let before = std::mem::take(&mut self.open);
        for trouble in troubles {
            let mut open = before.get(&trouble.name).cloned().unwrap_or(Open { since: now, told: false });
            // A clock that was set back says nothing about how long it has been wrong.
            open.since = open.since.min(now);
            let lasted = Duration::try_from(now.duration_since(open.since)).unwrap_or_default();
            let name = trouble.name.clone();
            if !open.told && lasted >= after {
                open.told = true;
                change.raised.push(trouble);
            }
            self.open.insert(name, open);
        }
        let over = before.into_iter().filter(|(name, open)| open.told && !self.open.contains_key(name));
        change.over = over.map(|(name, _)| name).collect();
        change
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AFTER: Duration = Duration::from_secs(300);

    fn trouble(name: &str) -> Trouble {
        Trouble { name: name.to_owned(), finding: "it is wrong".to_owned(), todo: None }
    }

    fn told(change: &Change) -> (Vec<&str>, Vec<&str>) {
        (change.raised.iter().map(|one| one.name.as_str()).collect(), change.over.iter().map(String::as_str).collect())
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    #[test]
    fn what_stays_wrong_is_told_once_and_once_more_when_it_is_over() {
        let mut kept = Kept::default();
        assert!(kept.observe(at(0), AFTER, vec![trouble("cloud")]).is_empty());
        assert!(kept.observe(at(299), AFTER, vec![trouble("cloud")]).is_empty());
        assert_eq!(told(&kept.observe(at(300), AFTER, vec![trouble("cloud")])), (vec!["cloud"], vec![]));
        assert!(kept.observe(at(900), AFTER, vec![trouble("cloud")]).is_empty());
        assert_eq!(told(&kept.observe(at(930), AFTER, vec![])), (vec![], vec!["cloud"]));
        assert!(kept.observe(at(960), AFTER, vec![]).is_empty());
    }

    #[test]
    fn what_passes_in_time_is_not_told_and_begins_anew() {
        let mut kept = Kept::default();
        kept.observe(at(0), AFTER, vec![trouble("cloud")]);
        assert!(kept.observe(at(200), AFTER, vec![]).is_empty());
        assert!(kept.observe(at(400), AFTER, vec![trouble("cloud")]).is_empty());
        assert!(kept.observe(at(600), AFTER, vec![trouble("cloud")]).is_empty());
        assert!(!kept.observe(at(700), AFTER, vec![trouble("cloud")]).is_empty());
    }

    #[test]
    fn troubles_are_told_apart_and_a_restart_forgets_none() {
        let mut kept = Kept::default();
        kept.observe(at(0), AFTER, vec![trouble("disk")]);
        kept.observe(at(300), AFTER, vec![trouble("disk"), trouble("rule dailies")]);
        let mut again: Kept = serde_json::from_value(serde_json::to_value(&kept).unwrap()).unwrap();
        assert_eq!(again, kept);
        let change = again.observe(at(600), AFTER, vec![trouble("rule dailies")]);
        assert_eq!(told(&change), (vec!["rule dailies"], vec!["disk"]));
    }

    #[test]
    fn a_clock_that_is_set_back_delays_an_alert_and_loses_none() {
        let mut kept = Kept::default();
        kept.observe(at(10_000), AFTER, vec![trouble("disk")]);
        assert!(kept.observe(at(0), AFTER, vec![trouble("disk")]).is_empty());
        assert!(!kept.observe(at(300), AFTER, vec![trouble("disk")]).is_empty());
    }
}
