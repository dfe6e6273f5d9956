//! Speed and remaining time that do not jump. Pure.

use std::time::Duration;

/// How much of the past counts: after this long an old speed weighs a third.
const MEMORY: Duration = Duration::from_secs(10);

/// A moving average of bytes per second, from readings of a counter.
#[derive(Debug, Clone, Copy, Default)]
pub struct Meter {
    last: Option<(Duration, u64)>,
    /// Bytes per second; `None` before the second reading.
    speed: Option<f64>,
}

impl Meter {
    /// Adds a reading: `bytes` so far, at the time `now` of any steady clock. A counter that went back (a part is sent
    /// again) counts as no progress.
    pub fn read(&mut self, now: Duration, bytes: u64) {
        let Some((then, before)) = self.last else {
            self.last = Some((now, bytes));
            return;
        };
        let elapsed = now.saturating_sub(then).as_secs_f64();
        if elapsed <= 0.0 {
            return;
        }
        let fresh = bytes.saturating_sub(before) as f64 / elapsed;
        // Right after the start there is no history: the first readings use a plain average.
        let keep = (-elapsed / MEMORY.as_secs_f64()).exp();
        self.speed = Some(self.speed.map_or(fresh, |speed| speed * keep + fresh * (1.0 - keep)));
        self.last = Some((now, bytes));
    }

    /// Bytes per second.
    #[must_use]
    pub fn speed(&self) -> u64 {
        self.speed.unwrap_or(0.0) as u64
    }

    /// Time until `left` bytes are transferred at this speed; `None` while nothing moves.
    #[must_use]
    pub fn remaining(&self, left: u64) -> Option<Duration> {
        let speed = self.speed.filter(|speed| *speed >= 1.0)?;
        Some(Duration::from_secs((left as f64 / speed).ceil().min(1e9) as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_steady_stream_has_a_steady_speed() {
        let mut meter = Meter::default();
        (0..20).for_each(|second| meter.read(seconds(second), second * 1_000));
        assert_eq!(meter.speed(), 1_000);
        assert_eq!(meter.remaining(5_000), Some(seconds(5)));
    }

    #[test]
    fn one_slow_second_hardly_moves_it_and_a_stop_brings_it_down() {
        let mut meter = Meter::default();
        (0..20).for_each(|second| meter.read(seconds(second), second * 1_000));
        meter.read(seconds(20), 19_000);
        assert!((850..1_000).contains(&meter.speed()), "{}", meter.speed());
        (21..120).for_each(|second| meter.read(seconds(second), 19_000));
        assert_eq!(meter.remaining(1), None);
    }

    #[test]
    fn nothing_is_claimed_before_there_is_anything_to_measure() {
        let mut meter = Meter::default();
        assert_eq!((meter.speed(), meter.remaining(1)), (0, None));
        meter.read(seconds(1), 50);
        assert_eq!((meter.speed(), meter.remaining(1)), (0, None));
    }
}
