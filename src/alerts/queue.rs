//! What has to be told to whom, and when it is tried again. Pure.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::hooks::{Verdict, wait};

/// A receiver that is down for long is told the newest of what happened meanwhile.
const MOST_WAITING: usize = 100;

/// Who is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Receiver {
    Webhook,
    Mail,
}

/// One message to one receiver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pending {
    pub receiver: Receiver,
    /// Stays the same however often it is tried.
    pub delivery: String,
    pub message: Value,
    created_at: Timestamp,
    due: Timestamp,
    attempts: u32,
}

/// Messages, the oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Queue(Vec<Pending>);

impl Queue {
    pub(super) fn add(&mut self, receiver: Receiver, now: Timestamp, message: Value) {
        let waiting = self.0.iter().filter(|pending| pending.receiver == receiver).count();
        if waiting >= MOST_WAITING
            && let Some(oldest) = self.0.iter().position(|pending| pending.receiver == receiver)
        {
            tracing::warn!(?receiver, "too many alerts wait for this receiver; the oldest is dropped");
            self.0.remove(oldest);
        }
        let delivery = Uuid::now_v7().to_string();
        self.0.push(Pending { receiver, delivery, message, created_at: now, due: now, attempts: 0 });
    }

    /// The first message of each receiver, if it is time for it: they arrive in order.
    pub(super) fn due(&self, now: Timestamp) -> Vec<Pending> {
        let first = |receiver| self.0.iter().find(|pending| pending.receiver == receiver);
        let both = [Receiver::Webhook, Receiver::Mail].into_iter().filter_map(first);
        both.filter(|pending| pending.due <= now).cloned().collect()
    }

    /// Records how an attempt ended. `random` is in `0.0..1.0`.
    pub(super) fn ended(
        &mut self,
        sent: &Pending,
        now: Timestamp,
        outcome: Result<(), (Verdict, String)>,
        random: f64,
    ) {
        let Some(place) = self.0.iter().position(|pending| pending.delivery == sent.delivery) else { return };
        let receiver = sent.receiver;
        let Err((verdict, reason)) = outcome else {
            self.0.remove(place);
            return;
        };
        let pending = &mut self.0[place];
        pending.attempts = pending.attempts.saturating_add(1);
        let age = Duration::try_from(now.duration_since(pending.created_at)).unwrap_or_default();
        match (verdict, wait(pending.attempts, age, random)) {
            (Verdict::Later, Some(wait)) => {
                tracing::debug!(?receiver, reason, ?wait, "an alert could not be delivered; trying again");
                let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX);
                pending.due = now.checked_add(wait).unwrap_or(now);
            }
            _ => {
                tracing::warn!(?receiver, reason, "an alert could not be delivered");
                self.0.remove(place);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn later() -> Result<(), (Verdict, String)> {
        Err((Verdict::Later, "down".to_owned()))
    }

    #[test]
    fn a_receiver_that_is_down_is_told_later_in_order_and_holds_up_nobody() {
        let mut queue = Queue::default();
        for (receiver, text) in [(Receiver::Mail, "one"), (Receiver::Mail, "two"), (Receiver::Webhook, "one")] {
            queue.add(receiver, at(0), text.into());
        }
        let due = queue.due(at(0));
        assert_eq!(due.len(), 2);
        for pending in &due {
            let outcome = if pending.receiver == Receiver::Mail { later() } else { Ok(()) };
            queue.ended(pending, at(0), outcome, 1.0);
        }
        assert_eq!(queue.due(at(1)), []);
        let again = queue.due(at(2));
        assert_eq!((again.len(), &again[0].message), (1, &Value::from("one")));
        assert_eq!(again[0].delivery, due.iter().find(|one| one.receiver == Receiver::Mail).unwrap().delivery);
        queue.ended(&again[0], at(2), Ok(()), 1.0);
        assert_eq!(queue.due(at(2))[0].message, "two");
    }

    #[test]
    fn what_is_refused_for_good_or_for_days_is_given_up() {
        let mut queue = Queue::default();
        queue.add(Receiver::Webhook, at(0), Value::Null);
        let due = queue.due(at(0));
        queue.ended(&due[0], at(0), Err((Verdict::Never, "404".to_owned())), 0.5);
        assert_eq!(queue, Queue::default());
        queue.add(Receiver::Webhook, at(0), Value::Null);
        let mut now = at(0);
        for _ in 0..10_000 {
            let Some(due) = queue.due(now).pop() else {
                now = now.checked_add(SignedDuration::from_secs(60)).unwrap();
                if queue == Queue::default() {
                    break;
                }
                continue;
            };
            queue.ended(&due, now, later(), 1.0);
        }
        assert_eq!(queue, Queue::default(), "it is given up");
        assert!(now > at(3 * 24 * 3600) && now < at(4 * 24 * 3600), "{now}");
    }

    #[test]
    fn a_receiver_that_never_answers_does_not_fill_the_database() {
        let mut queue = Queue::default();
        for number in 0..500 {
            queue.add(Receiver::Mail, at(number), number.into());
        }
        assert_eq!((queue.0.len(), &queue.0[0].message), (MOST_WAITING, &Value::from(400)));
    }
}
