//! Decides when a rule may create packages: its schedule, its pause, a request to run now.
//!
//! **In**: the time since the start, the wall clock, which of a moment's files are still pending. **Out**: a [`Gate`],
//! when to check again, and when a moment's run is finished. Pure.
//!
//! A scheduled moment begins a *run*: what was there at that time is packaged, and waited for if it is still settling,
//! no longer than the rule's `max_wait`. The caller stores across restarts how far the schedule has been followed, so
//! that a moment missed while the agent was down is made up for, once.

use std::time::Duration;

use jiff::{Timestamp, Zoned};

use super::package::Gate;
use crate::model::KeptMoment;
use masv_rules::{Per, Rule, Schedule};

/// A schedule is asked at least this often, since the wall clock may be set.
pub const ASK_SCHEDULE: Duration = Duration::from_secs(60);

/// A moment of the schedule has come: what was there by then is packaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// When it began, since the start.
    pub started: Duration,
    /// The wall clock then.
    at: Timestamp,
    /// It ends then at the latest.
    deadline: Duration,
}

/// What was asked of the rule besides its schedule.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Orders {
    /// Package what is ready now.
    pub flush: bool,
    /// Make nothing.
    pub paused: bool,
}

/// Follows the schedule of one rule.
#[derive(Debug)]
pub struct Keeper {
    run: Option<Run>,
    /// See [`Keeper::new`].
    looked_until: KeptMoment,
}

impl Keeper {
    /// `looked_until` is up to when the moments of the schedule have been followed.
    #[must_use]
    pub fn new(looked_until: Timestamp) -> Self {
        Self { run: None, looked_until: KeptMoment::new("how far a schedule was followed", looked_until) }
    }

    /// Whether packages may be made now, and when to ask again. `settling` tells whether files that were there when a
    /// run began are still pending.
    pub fn gate(
        &mut self,
        now: Duration,
        clock: &Zoned,
        rule: &Rule,
        orders: Orders,
        settling: &dyn Fn(Run) -> bool,
    ) -> (Gate, Option<Duration>) {
        if orders.flush {
            return (Gate::Flush, None);
        }
        if orders.paused {
            return (Gate::Closed, None);
        }
        let opens = || {
            let next = rule.schedule.next_after(clock)?;
            let wait = Duration::try_from(clock.duration_until(&next)).unwrap_or(ASK_SCHEDULE);
            Some(now + wait.min(ASK_SCHEDULE))
        };
        match &rule.schedule {
            Schedule::Always => (Gate::Open, None),
            Schedule::Windows(_) if rule.schedule.open_at(clock) => (Gate::Open, None),
            Schedule::Windows(_) => (Gate::Closed, opens()),
            Schedule::Moments(_) => {
                let at = clock.timestamp();
                let looked_until = self.looked_until.at(at).to_zoned(clock.time_zone().clone());
                if self.run.is_none() && rule.schedule.due(&looked_until, clock) {
                    self.run = Some(Run { started: now, at, deadline: now + rule.package.max_wait });
                    *self = Self { run: self.run, ..Self::new(at) };
                }
                match self.run {
                    None => (Gate::Closed, opens()),
                    Some(run) if rule.package.per != Per::Batch => (Gate::Open, Some(run.deadline)),
                    Some(run) if now < run.deadline && settling(run) => (Gate::Closed, Some(run.deadline)),
                    Some(run) => (Gate::Flush, Some(run.deadline)),
                }
            }
        }
    }

    /// After packaging: ends the run once everything that belongs to it is packaged, and returns then up to when the
    /// schedule has been followed, for the caller to keep. `more` says that packages are left for the next pass, `next`
    /// when something may be ready that is not now.
    pub fn ended(
        &mut self,
        now: Duration,
        gate: Gate,
        more: bool,
        next: Option<Duration>,
        settling: &dyn Fn(Run) -> bool,
    ) -> Option<Timestamp> {
        let run = self.run?;
        let waits = now < run.deadline && (settling(run) || next.is_some_and(|at| at <= run.deadline));
        if gate == Gate::Closed || more || (gate == Gate::Open && waits) {
            return None;
        }
        self.run = None;
        Some(run.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::tests::simulation::rule;

    /// The agent was a month ahead while a moment passed, then right: nothing was sent until that date.
    #[test]
    fn a_schedule_that_was_followed_ahead_of_time_goes_on() {
        let rule = rule("schedule: '0 18 * * *'");
        let clock = |text: &str| text.parse::<Timestamp>().unwrap().to_zoned(rule.time_zone.clone());
        let mut keeper = Keeper::new("2026-12-24T18:00:00Z".parse().unwrap());
        let mut gate = |seconds: u64, text: &str| {
            keeper.gate(Duration::from_secs(seconds), &clock(text), &rule, Orders::default(), &|_| false).0
        };
        assert_eq!(gate(0, "2026-11-24T17:59:00Z"), Gate::Closed);
        assert_ne!(gate(60, "2026-11-24T18:00:01Z"), Gate::Closed, "the moment between two looks counts");
    }
}
