//! How long the way to the cloud and back is: asked now and then while something is transferred.
//!
//! What is asked is what the cloud answers without work of its own, three times on a connection that is open. The shortest of the
//! last answers counts: whatever else keeps this machine or the cloud busy only adds to it.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use masv_client::Cloud;

/// How often it is asked.
const EVERY: Duration = Duration::from_secs(20);
/// Answers that are remembered: those of five minutes.
const REMEMBERED: usize = 15;
/// Questions at a time; the first may have to make a connection.
const QUESTIONS: usize = 3;

/// What is known of the way to one cloud.
#[derive(Debug, Default)]
pub(crate) struct RoundTrip {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    asked: Option<Instant>,
    answers: VecDeque<Duration>,
}

impl RoundTrip {
    /// The shortest that was seen lately; `None` before the first answer.
    pub(crate) fn shortest(&self) -> Option<Duration> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).answers.iter().min().copied()
    }

    /// Whether it is time to ask; whoever is told so asks.
    pub(crate) fn is_due(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let due = state.asked.is_none_or(|asked| asked.elapsed() >= EVERY);
        if due {
            state.asked = Some(Instant::now());
        }
        due
    }

    /// Asks the cloud. One that does not answer is left alone until the next time.
    pub(crate) async fn ask(&self, cloud: &Cloud) {
        let mut shortest: Option<Duration> = None;
        for _ in 0..QUESTIONS {
            let begun = Instant::now();
            if cloud.limits().await.is_err() {
                return;
            }
            shortest = Some(shortest.map_or(begun.elapsed(), |before| before.min(begun.elapsed())));
        }
        self.learn(shortest);
    }

    fn learn(&self, shortest: Option<Duration>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.answers.extend(shortest);
        while state.answers.len() > REMEMBERED {
            state.answers.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_shortest_of_the_last_answers_counts_and_it_is_asked_seldom() {
        let trip = RoundTrip::default();
        assert!(trip.is_due() && !trip.is_due());
        tokio::time::advance(EVERY).await;
        assert!(trip.is_due());
        let ms = Duration::from_millis;
        assert_eq!(trip.shortest(), None);
        [40, 20, 30].into_iter().for_each(|answer| trip.learn(Some(ms(answer))));
        assert_eq!(trip.shortest(), Some(ms(20)));
        (0..REMEMBERED).for_each(|_| trip.learn(Some(ms(90))));
        assert_eq!(trip.shortest(), Some(ms(90)), "the way has become longer");
    }
}
